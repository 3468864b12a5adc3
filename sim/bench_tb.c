/* bench_tb BOARD [W A [NET]], bench_tb BOARD memory: ResNet-20 and MobileNet-v1 x0.25 at 96 x 96 (random weights) at 8, 4 and 2 bits, or one network at W x A, layer by
 * layer; NET is resnet20, resnet56 or mobilenet: cycles of the model and the RTL, simulated cycles a second, seconds a network, model's time. `memory`: what
 * the first run with its load takes, and runs with other memories. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "accel/accel.h"
#include "sim/bpsim.h"
#include "sim/mobilenet.h"
#include "sim/resnet.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double model_us(struct accel_cycles *c, const struct hw *hw, const struct accel_program *p)
{
    double t0 = seconds(), t1 = t0;
    int n = 0;
    for (; t1 - t0 < 0.05; n++, t1 = seconds())
        if (accel_model(c, hw, p->image, p->image_words))
            return -1;
    return 1e6 * (t1 - t0) / n;
}

static void print_layers(const struct accel_cycles *c, const struct accel_program *p)
{
    printf("  %-10s %8s %8s %6s\n", "layer", "cycles", "ideal", "of it");
    for (int l = 0; l < c->n_layer; l++)
        printf("  %-10s %8" PRId64 " %8" PRId64 " %5.0f%%\n", p->layer[l].name, c->layer[l], p->layer[l].ideal_cycles,
               100.0 * (double)p->layer[l].ideal_cycles / (double)c->layer[l]);
}

/* Cycles of a third image in one start, by RTL and model; -1: they differ, or a status. */
static int64_t further_image(struct bpsim *sim, const struct hw *hw, const struct accel_program *p)
{
    uint8_t *pixels = calloc(3, p->input_bytes);
    int32_t *logits = calloc(3, p->output_bytes);
    uint64_t run[2] = { 0 };
    struct accel_cycles model;
    int rc = 0;
    for (uint32_t i = 0; i < 2 && !rc; i++)
        rc = bpsim_run_images(sim, pixels, p->input_bytes, 2 + i, logits, p->output_bytes, &run[i]) ||
             accel_model_images(&model, hw, p->image, p->image_words, 2 + i) || (int64_t)run[i] != model.total;
    free(pixels);
    free(logits);
    return rc ? -1 : (int64_t)(run[1] - run[0]);
}

/* Runs until two seconds have passed; prints one line. */
static int measure(const struct hw *hw, const struct accel_program *p, const char *name, int w, int a, bool layers)
{
    struct accel_cycles model;
    double us = model_us(&model, hw, p);
    struct bpsim_options opt = {
        .read_latency = hw->read_latency, .write_latency = hw->write_latency,
        .port_gbytes_s = hw->port_gbytes_s, .clock_mhz = hw->clock_mhz,
    };
    uint8_t *pixels = calloc(1, p->input_bytes);
    int32_t *logits = calloc(1, p->output_bytes);
    uint64_t load = 0, run = 0, total = 0;
    double t0 = seconds();
    struct bpsim *sim = bpsim_open(&opt);
    int rc = bpsim_load(sim, p->image, p->image_words, p->weights, p->weight_words64, &load), runs = 0;
    double t1 = seconds(), t2 = t1;
    for (; !rc && (runs < 1 || t2 - t1 < 2); runs++, t2 = seconds()) {
        rc = bpsim_run(sim, pixels, p->input_bytes, logits, p->output_bytes, &run);
        total += run;
    }
    int64_t further = rc ? -1 : further_image(sim, hw, p);
    bpsim_close(sim);
    free(pixels);
    free(logits);
    if (rc || us < 0 || further < 0 || (int64_t)run != model.total || (int64_t)load != model.load) {
        printf("%s W%dA%d: status %d, run %" PRIu64 " and load %" PRIu64 " cycles, model %" PRId64 " and %" PRId64 ", further image %" PRId64 "\n", name, w, a, rc,
               run, load, model.total, model.load, further);
        return 1;
    }
    printf("%s W%dA%d: run %" PRIu64 " cycles, a further image of the same start %" PRId64 ", load %" PRIu64 "; simulated in %.2f s and %.2f s with opening, %.0f cycles/s, "
           "%.0f candidates a minute and process; model %.0f us\n",
           name, w, a, run, further, load, (t2 - t1) / runs, t1 - t0, (double)total / (t2 - t1), 60 / (t1 - t0 + (t2 - t1) / runs), us);
    if (layers)
        print_layers(&model, p);
    return 0;
}

static struct fixed_net *make_resnet20(int w, int a) { return resnet(3, w, a); }
static struct fixed_net *make_resnet56(int w, int a) { return resnet(9, w, a); }

static const struct { const char *name; struct fixed_net *(*make)(int w, int a); } nets[] = {
    { "resnet20", make_resnet20 }, { "mobilenet", mobilenet }, { "resnet56", make_resnet56 },
};

static int bench(const struct hw *hw, int net, int w, int a, bool layers)
{
    struct fixed_net *n = nets[net].make(w, a);
    struct accel_program *p = NULL;
    int rc = accel_compile(&p, n, hw);
    if (rc)
        printf("%s W%dA%d: %s\n", nets[net].name, w, a, base_error());
    else
        rc = measure(hw, p, nets[net].name, w, a, layers);
    accel_program_free(p);
    fixed_net_free(n);
    return rc;
}

/* ---- other memories ---------------------------------------------------------------------- */

/* One run in the RTL, which must be the model's; *load: program and weights before it. -1: it is not. */
static int64_t run_once(int64_t *load, const struct hw *hw, const struct accel_program *p)
{
    struct bpsim_options opt = {
        .read_latency = hw->read_latency, .write_latency = hw->write_latency,
        .port_gbytes_s = hw->port_gbytes_s, .clock_mhz = hw->clock_mhz,
    };
    uint8_t *pixels = calloc(1, p->input_bytes);
    int32_t *logits = calloc(1, p->output_bytes);
    struct bpsim *sim = bpsim_open(&opt);
    struct accel_cycles model;
    uint64_t run = 0, loaded = 0;
    int rc = bpsim_load(sim, p->image, p->image_words, p->weights, p->weight_words64, &loaded) ||
             bpsim_run(sim, pixels, p->input_bytes, logits, p->output_bytes, &run) || accel_model(&model, hw, p->image, p->image_words) ||
             model.total != (int64_t)run || model.load != (int64_t)loaded;
    bpsim_close(sim);
    free(pixels);
    free(logits);
    *load = (int64_t)loaded;
    return rc ? -1 : (int64_t)run;
}

static struct hw other_memory(const struct hw *hw, double latency, double bandwidth)
{
    struct hw h = *hw;
    h.read_latency = (int)(hw->read_latency * latency);
    h.write_latency = (int)(hw->write_latency * latency);
    h.port_gbytes_s = hw->port_gbytes_s * bandwidth;
    return h;
}

/* A table's row. */
static int memory_row(const struct hw *hw, int net, int bits)
{
    static const struct { double latency, bandwidth; } others[] = { { 0.5, 1 }, { 2, 1 }, { 1, 0.5 } };
    struct fixed_net *n = nets[net].make(bits, bits);
    struct accel_program *p = NULL;
    int64_t load, other, cycles = accel_compile(&p, n, hw) ? -1 : run_once(&load, hw, p);
    int rc = cycles < 0;
    if (!rc)
        printf("| %s W%dA%d%s | %" PRId64 " | %" PRId64 " |", nets[net].name, bits, bits, p->stream_words ? ", weights from memory" : "", cycles, load + cycles);
    for (int i = 0; i < BASE_COUNT(others) && !rc; i++) {
        const struct hw h = other_memory(hw, others[i].latency, others[i].bandwidth);
        rc = (cycles = run_once(&other, &h, p)) < 0;
        if (!rc)
            printf(" %" PRId64 " |", cycles);
    }
    puts(rc ? " failed, or the model differs" : "");
    fflush(stdout);
    accel_program_free(p);
    fixed_net_free(n);
    return rc;
}

static int memories(const struct hw *hw)
{
    int rc = 0;
    printf("| %s | run | load and run | latency x 0.5 | latency x 2 | bandwidth x 0.5 |\n|---|---|---|---|---|---|\n", hw->name);
    for (int net = 0; net < BASE_COUNT(nets); net++)
        for (int bits = 8; !rc && bits > 1; bits /= 2)
            rc = memory_row(hw, net, bits);
    return rc;
}

int main(int argc, char **argv)
{
    struct hw hw;
    int net = 0, rc = 0;
    while (argc > 4 && net < BASE_COUNT(nets) && strcmp(argv[4], nets[net].name))
        net++;
    if (argc < 2 || net == BASE_COUNT(nets) || hw_load(&hw, argv[1])) {
        fprintf(stderr, "usage: bench_tb BOARD [W A [resnet20|resnet56|mobilenet]] | bench_tb BOARD memory\n");
        return 2;
    }
    if (argc == 3 && !strcmp(argv[2], "memory"))
        return memories(&hw) != 0;
    if (argc >= 4)
        return bench(&hw, net, atoi(argv[2]), atoi(argv[3]), true) != 0;
    for (net = 0; net < 2; net++)
        for (int bits = 8; !rc && bits > 1; bits /= 2)
            rc = bench(&hw, net, bits, bits, bits == 2);
    return rc != 0;
}
