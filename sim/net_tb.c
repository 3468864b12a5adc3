/* net_tb BOARD SEED N [TRACE], net_tb BOARD resnet18|vgg16 W A: N random networks through compiler, RTL and reference: logits equal qref,
 * cycles of load, run and every layer equal the model, counters are what the program asks for, no
 * breach of AXI; what they had in them is counted (coverage.h). Odd seeds make the unit tests' networks (everything the compiler treats in its own way),
 * even ones those of fixed_random_net. Of three, one is compiled for smaller tables, so that most of these stream, and one for
 * fewer activation words, so that most of these use the scratch. Every fourth network also runs with random waits on the port. Then
 * a ResNet-56 of more layer records than the table holds, a ResNet-8 in an eighth of the words,
 * dense layers whose lists no table holds, and a network of 301 layers. A failure prints the command that runs it alone; TRACE, with N = 1, is an FST file of that run. resnet18, vgg16: one 224 x 224 image, cycles layer by layer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "sim/bpsim.h"
#include "sim/coverage.h"
#include "sim/narrow.h"
#include "sim/resnet.h"
#include "sim/vgg.h"
#include "sim/work.h"
#include "tests/unit/accel_nets.h"

enum { IMAGES = 2, COVERED_BY = 1000, MEMORY = 1 << 20 };       /* COVERED_BY networks must fill every bin of coverage.h */

struct job { const struct hw *hw; struct fixed_net *net; struct accel_program *p; uint64_t seed; const char *trace; bool one; };

/* The compiler is told of a device with fewer words, and streams; more than LAYER_DEPTH records stream on their own. */
static struct hw shrunk(const struct hw *board, uint64_t seed)
{
    struct hw hw = *board;
    uint64_t pick = seed * 0x9e3779b97f4a7c15u >> 40;
    hw.weight_depth = 32 << (pick & 3);
    hw.coef_depth = 64 << (pick >> 2 & 3);
    hw.kword_depth = pick & 16 ? 16 << (pick >> 5 & 1) : hw.kword_depth;
    hw.scale_depth = pick & 64 ? 4 : hw.scale_depth;
    hw.map_depth = pick & 128 ? 8 : hw.map_depth;
    return hw;
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static int fail(const struct job *j, const char *what, int64_t got, int64_t want)
{
    printf("seed %" PRIu64 ": %s: got %" PRId64 ", want %" PRId64 "  (rerun: make -C sim net BOARD=%s SEED=%" PRIu64 " N=1)\n",
           j->seed, what, got, want, j->hw->name, j->seed);
    return 1;
}

static int check_cycles(const struct job *j, struct bpsim *sim, uint64_t load, uint64_t run)
{
    struct accel_cycles model;
    if (accel_model(&model, j->hw, j->p->image, j->p->image_words))
        return fail(j, "accel_model", -1, 0);
    for (int l = 0; l < model.n_layer; l++) {
        uint32_t cycles = bpsim_peek(sim, REG_LAYER_CYCLES + 4 * (uint32_t)l);
        if (cycles != model.layer[l]) {
            printf("layer %d (%s): ", l, j->p->layer[l].name);
            return fail(j, "layer cycles", cycles, model.layer[l]);
        }
    }
    if ((int64_t)run != model.total)
        return fail(j, "run cycles", (int64_t)run, model.total);
    if ((int64_t)load != model.load)
        return fail(j, "load cycles", (int64_t)load, model.load);
    return 0;
}

/* run + stall + idle of every unit is the time since the engine's start; run is the program's work. */
static int check_counters(const struct job *j, struct bpsim *sim, uint64_t run)
{
    static const char *const name[] = { "fetch run", "array run", "drain run", "write run", "memory run" };
    struct work want = work_of(j->hw, j->p->image);
    const int64_t moved[] = { want.fetch, want.array, want.drain, want.write, want.memory };
    for (uint32_t u = 0; u < 5; u++) {
        uint32_t count[3];
        for (uint32_t i = 0; i < 3; i++)
            count[i] = bpsim_peek(sim, REG_COUNTER + 12 * u + 4 * i);
        /* A word from the scratch and a pair of logits may share a cycle, and so may beats of both directions. */
        bool shared = u >= 3 && j->p->scratch_bytes > 0 && count[0] <= moved[u];
        if (count[0] != moved[u] && !shared)
            return fail(j, name[u], count[0], moved[u]);
        if ((uint64_t)count[0] + count[1] + count[2] != run - 2)
            return fail(j, "run + stall + idle", (int64_t)count[0] + count[1] + count[2], (int64_t)run - 2);
    }
    return 0;
}

/* Several images in one start: the reference's logits, the model's cycles. */
static int run_together(const struct job *j, struct bpsim *sim, bool timed)
{
    uint64_t random = j->seed * 0x9e3779b97f4a7c15u | 2, cycles;
    uint32_t images = 2 + (uint32_t)(j->seed % 3);
    if (images > program_most_images(j->p->image))
        images = program_most_images(j->p->image);
    size_t bytes = j->p->input_bytes, classes = (size_t)j->net->classes;
    uint8_t *pixels = malloc(images * bytes);
    int32_t *got = malloc(images * j->p->output_bytes), *want = malloc(images * classes * sizeof *want);
    struct qref *q = qref_new(j->net, NULL);
    struct accel_cycles model;
    int rc = 0;
    for (size_t k = 0; k < images * bytes; k++)
        pixels[k] = (uint8_t)(next_random(&random) >> 24);
    int status = bpsim_run_images(sim, pixels, bytes, images, got, j->p->output_bytes, &cycles);
    if (status)
        rc = fail(j, "status of several images", status, 0);
    else if (!q || qref_run(q, pixels, (int)images, want))
        rc = fail(j, "qref_run", -1, 0);
    for (size_t c = 0; c < images * classes && !rc; c++)
        if (got[c] != want[c])
            rc = fail(j, "logit of several images", got[c], want[c]);
    if (!rc && timed && accel_model_images(&model, j->hw, j->p->image, j->p->image_words, images))
        rc = fail(j, base_error(), -1, 0);
    for (int l = 0; l < model.n_layer && !rc && timed; l++)
        if (bpsim_peek(sim, REG_LAYER_CYCLES + 4 * (uint32_t)l) != model.layer[l])
            rc = fail(j, "layer cycles of the last image", bpsim_peek(sim, REG_LAYER_CYCLES + 4 * (uint32_t)l), model.layer[l]);
    if (!rc && timed && (int64_t)cycles != model.total)
        rc = fail(j, "cycles of several images", (int64_t)cycles, model.total);
    struct accel_cycles fewer;
    if (!rc && timed && images > 1 && accel_model_images(&fewer, j->hw, j->p->image, j->p->image_words, images - 1))
        rc = fail(j, base_error(), -1, 0);
    if (!rc && timed && images > 1 && model.total - fewer.total != model.further)
        rc = fail(j, "cycles of a further image", model.further, model.total - fewer.total);
    qref_free(q);
    free(pixels);
    free(got);
    free(want);
    return rc;
}

static int run_images(const struct job *j, struct bpsim *sim, bool timed, uint64_t load)
{
    uint64_t random = j->seed * 0x9e3779b97f4a7c15u | 1;
    size_t bytes = j->p->input_bytes;
    int classes = j->net->classes, rc = 0;
    uint8_t *pixels = malloc(bytes);
    int32_t *got = malloc(j->p->output_bytes), *want = malloc(sizeof(int32_t) * (size_t)classes);
    struct qref *q = qref_new(j->net, NULL);
    for (int i = 0; i < (j->one ? 1 : IMAGES) && !rc; i++) {
        uint64_t cycles;
        for (size_t k = 0; k < bytes; k++)
            pixels[k] = i == 0 && k % 7 == 0 ? 255 : (uint8_t)(next_random(&random) >> 24);
        int status = bpsim_run(sim, pixels, bytes, got, j->p->output_bytes, &cycles);
        if (status) {
            printf("layer %u: ", bpsim_peek(sim, REG_ERROR_LAYER));
            rc = fail(j, "status", status, 0);
        } else if (!q || qref_run(q, pixels, 1, want)) {
            rc = fail(j, "qref_run", -1, 0);
        }
        for (int c = 0; c < classes && !rc; c++)
            if (got[c] != want[c])
                rc = fail(j, "logit", got[c], want[c]);
        if (!rc && timed)
            rc = check_cycles(j, sim, load, cycles);
        if (!rc)
            rc = check_counters(j, sim, cycles);
    }
    if (!rc && !j->one)
        rc = run_together(j, sim, timed);
    qref_free(q);
    free(pixels);
    free(got);
    free(want);
    return rc;
}

static uint64_t memory_of(const struct accel_program *p)
{
    return MEMORY + 8 * (uint64_t)(p->image_words + p->weight_words64) + IMAGES * (p->input_bytes + p->output_bytes) + p->scratch_bytes;
}

static int run_program(const struct job *j, uint64_t stall_seed)
{
    struct bpsim_options opt = {
        .read_latency = j->hw->read_latency, .write_latency = j->hw->write_latency,
        .port_gbytes_s = j->hw->port_gbytes_s, .clock_mhz = j->hw->clock_mhz, .stall_seed = stall_seed, .mem_bytes = memory_of(j->p),
        .trace = stall_seed ? NULL : j->trace,
    };
    struct bpsim *sim = bpsim_open(&opt);
    uint64_t load;
    const char *what;
    if (!sim)
        return fail(j, "a simulator (a trace needs one built with TRACE=1)", 0, 1);
    int status = bpsim_load(sim, j->p->image, j->p->image_words, j->p->weights, j->p->weight_words64, &load);
    int rc = status ? fail(j, "load status", status, 0) : run_images(j, sim, stall_seed == 0, load);
    if (!rc && bpsim_violations(sim, &what)) {
        printf("%s: ", what);
        rc = fail(j, "AXI breaches", (int64_t)bpsim_violations(sim, NULL), 0);
    }
    bpsim_close(sim);
    return rc;
}

/* 1: failed, 0: good, -1: the network does not fit this board. */
static int run_seed(const struct hw *board, uint64_t seed, const char *trace, int *streams, int *tiled, struct coverage *coverage)
{
    struct hw small = shrunk(board, seed);
    const struct hw *hw = seed % 3 == 2 ? &small : board;
    int size = 6 + (int)(seed % 15), channels = 16 + (int)(seed % 4) * 16;
    struct fixed_random limits = { .max_layers = 3 + (int)(seed % 6), .max_size = size, .max_channels = channels };
    struct job j = { .hw = hw, .seed = seed, .trace = trace };
    j.net = seed & 1 ? nets_random(seed, size, channels) : fixed_random_net(seed, &limits);
    if (!j.net)
        return fail(&j, "network", -1, 0);
    int rc = seed % 3 == 1 ? compile_narrow(&j.p, j.net, hw) : accel_compile(&j.p, j.net, hw);
    if (rc) {
        fixed_net_free(j.net);
        return -1;
    }
    *streams += j.p->stream_words > 0;
    *tiled += j.p->scratch_bytes > 0;
    rc = run_program(&j, 0);
    const bool waits = seed % 4 == 0;
    if (!rc && waits)
        rc = run_program(&j, seed);
    if (!rc)
        coverage_add(coverage, hw, j.net, j.p->image, waits);
    accel_program_free(j.p);
    fixed_net_free(j.net);
    return rc;
}

/* More layer records than the table holds: a ResNet-56 in parts of a filter group. */
static int run_deep(const struct hw *board)
{
    struct hw small = *board;
    struct job j = { .hw = board, .seed = 56, .net = resnet(9, 2, 2) };
    small.weight_depth = 64;
    small.scale_depth = 4;
    if (accel_compile(&j.p, j.net, &small))
        return fail(&j, base_error(), -1, 0);
    int rc = j.p->n_part < board->layer_depth ? fail(&j, "layer records", j.p->n_part, board->layer_depth) : run_program(&j, 0);
    accel_program_free(j.p);
    fixed_net_free(j.net);
    return rc;
}

static void dense_weights(struct nets *g, struct fixed_term *t, int bits)
{
    int32_t value[8];
    t->w_bits = t->n_plane = bits;
    for (int p = 0; p < bits; p++)
        value[p] = p == bits - 1 ? -(1 << p) : 1 << p;
    int64_t n = (int64_t)t->cout * t->kh * t->kw * t->cin;
    t->code = BASE_ARENA_NEW_N(g->net->arena, uint16_t, n);
    for (int64_t i = 0; i < n; i++)
        t->code[i] = (uint16_t)nets_below(g, 1 << bits);
    nets_coefs(g, t, value, true, false);
}

/* A dense layer over 7 x 7 x 512 at 8 bits, as VGG-16 has: a filter group is 2304 weight words, more than the memory has.
 * Its output are codes that another layer reads, or the logits. */
static struct fixed_net *large_dense(bool logits)
{
    struct nets g = { .net = fixed_net_new("dense", NETS_MAX_EDGE, NETS_MAX_EDGE) };
    base_rng_seed(&g.rng, 7);
    g.net->n_edge = g.net->n_layer = 0;
    g.net->classes = 20;
    g.net->logit_scale = 1;
    nets_edge(&g, 7, 7, 16, 8, false);
    for (int i = 0; i < 2 + !logits; i++) {
        int from = g.net->n_edge - 1, size = i == 1 ? 7 : 1, out = i == 0 ? 512 : 20;
        bool last = i == 2 || (i == 1 && logits);
        struct fixed_layer *l = nets_layer(&g, FIXED_MAC, i ? 1 : 7, i ? 1 : 7, out);
        struct fixed_term *t = nets_term(l, from, size, size, 1, 0, 0);
        t->cin = g.net->edge[from].c;
        t->cout = out;
        dense_weights(&g, t, i == 1 ? 8 : 4);
        if (size == 1)
            t->coef[1]++;                                   /* no two planes at a time: the minor version is that of lists in parts */
        nets_finish(&g, l, last);
        if (!last) {
            l->lo = 0, l->hi = 255;
            g.net->edge[l->out].bits = 8;
            g.net->edge[l->out].is_signed = false;
        }
    }
    return g.net;
}

/* Lists that no table holds. */
static int run_large(const struct hw *board)
{
    int rc = 0;
    for (int logits = 0; logits < 2 && !rc; logits++) {
        struct hw small = *board;
        struct job j = { .hw = board, .seed = 7, .net = large_dense(logits), .one = true };
        small.weight_depth = BASE_MIN(board->weight_depth, 1024);
        if (accel_compile(&j.p, j.net, &small))
            return fail(&j, base_error(), -1, 0);
        rc = j.p->image[0] >> 48 != 4 ? fail(&j, "minor version", (int64_t)(j.p->image[0] >> 48), 4) : run_program(&j, logits ? 7 : 0);
        accel_program_free(j.p);
        fixed_net_free(j.net);
    }
    return rc;
}

/* More layers than are timed. */
static int run_many(const struct hw *board)
{
    struct job j = { .hw = board, .seed = 300, .net = nets_deep(300, 300), .one = true };
    if (accel_compile(&j.p, j.net, board))
        return fail(&j, base_error(), -1, 0);
    int rc = run_program(&j, 0);
    accel_program_free(j.p);
    fixed_net_free(j.net);
    return rc;
}

/* Maps of 8 and 4 bits through the scratch. */
static int run_narrow(const struct hw *board)
{
    int rc = 0;
    for (int bits = 8; bits >= 4 && !rc; bits /= 2) {
        struct hw small = *board;
        struct job j = { .hw = board, .seed = 8, .net = resnet(1, bits, bits) };
        small.act_depth = bits * 16;
        if (accel_compile(&j.p, j.net, &small))
            return fail(&j, base_error(), -1, 0);
        rc = j.p->scratch_bytes == 0 ? fail(&j, "bytes of scratch", 0, 1) : run_program(&j, 0);
        if (!rc)
            rc = run_program(&j, 8);
        accel_program_free(j.p);
        fixed_net_free(j.net);
    }
    return rc;
}

/* Maps, image and weights beyond the chip. */
static int run_imagenet(const struct hw *board, const char *name, int w_bits, int a_bits)
{
    bool vgg = strcmp(name, "vgg16") == 0;
    struct job j = { .hw = board, .seed = 18, .net = vgg ? vgg16(w_bits, a_bits) : resnet18(w_bits, a_bits, 224), .one = true };
    struct accel_cycles c;
    if (accel_compile(&j.p, j.net, board) || accel_model(&c, board, j.p->image, j.p->image_words))
        return fail(&j, base_error(), -1, 0);
    int rc = run_program(&j, 0);
    for (int l = 0; l < c.n_layer && !rc; l++)
        printf("  %-10s %9" PRId64 " cycles, ideal %9" PRId64 "\n", j.p->layer[l].name, c.layer[l], j.p->layer[l].ideal_cycles);
    printf("%s W%dA%d: %" PRId64 " cycles, load %" PRId64 ", %" PRId64 " KiB over the port, %zu KiB of scratch%s\n", name, w_bits, a_bits, c.total, c.load,
           c.ddr_bytes / 1024, j.p->scratch_bytes / 1024, rc ? "" : ": RTL equal to model and reference");
    accel_program_free(j.p);
    fixed_net_free(j.net);
    return rc;
}

int main(int argc, char **argv)
{
    struct hw hw;
    bool imagenet = argc == 5 && (!strcmp(argv[2], "resnet18") || !strcmp(argv[2], "vgg16"));
    const char *trace = argc == 5 && !imagenet ? argv[4] : NULL;
    if (argc < 4 || hw_load(&hw, argv[1]) || (trace && atoi(argv[3]) != 1)) {
        fprintf(stderr, "usage: net_tb BOARD SEED N [TRACE.fst with N = 1] | net_tb BOARD resnet18|vgg16 W A\n");
        return 2;
    }
    if (imagenet)
        return run_imagenet(&hw, argv[2], atoi(argv[3]), atoi(argv[4]));
    uint64_t seed = strtoull(argv[2], NULL, 10);
    int n = atoi(argv[3]), bad = 0, good = 0, unfit = 0, streams = 0, tiled = 0;
    struct coverage coverage = { 0 };
    for (int i = 0; i < n && bad < 5; i++) {
        int rc = run_seed(&hw, seed + (uint64_t)i, trace, &streams, &tiled, &coverage);
        bad += rc > 0;
        good += rc == 0;
        unfit += rc < 0;
    }
    if (n > 20)
        bad += run_deep(&hw) + run_narrow(&hw) + run_large(&hw) + run_many(&hw);
    bad += !coverage_print(&coverage, &hw, n >= COVERED_BY) && n >= COVERED_BY;
    printf("%d networks (%d with a stream, %d with scratch) equal to the reference and to the cycle model, %d failed, %d did not fit\n", good, streams,
           tiled, bad, unfit);
    return bad || !good || (n > 20 && (!streams || !tiled));
}
