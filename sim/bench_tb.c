/* bench_tb BOARD: simulated cycles a second, seconds a network, on a built-up random network. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "accel/accel.h"
#include "sim/bpsim.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct hw hw;
    if (argc < 2 || hw_load(&hw, argv[1]))
        return 2;
    /* The largest of a few random networks that fit. */
    struct fixed_random limits = { .max_layers = 8, .max_size = 32, .max_channels = 64 };
    struct accel_program *best = NULL;
    int64_t most = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fixed_net *net = fixed_random_net(seed, &limits);
        struct accel_program *p = NULL;
        struct accel_cycles c;
        if (net && !accel_compile(&p, net, &hw) && !accel_model(&c, &hw, p->image, p->image_words) && c.total > most) {
            accel_program_free(best);
            best = p;
            most = c.total;
        } else if (p) {
            accel_program_free(p);
        }
        fixed_net_free(net);
    }
    if (!best)
        return 1;
    struct bpsim_options opt = {
        .read_latency = hw.read_latency, .write_latency = hw.write_latency,
        .port_gbytes_s = hw.port_gbytes_s, .clock_mhz = hw.clock_mhz,
    };
    double t0 = seconds();
    struct bpsim *sim = bpsim_open(&opt);
    uint64_t load, run, total = 0;
    int rc = bpsim_load(sim, best->image, best->image_words, best->weights, best->weight_words64, &load);
    double t1 = seconds(), t2 = t1;
    uint8_t *pixels = calloc(1, best->input_bytes);
    int32_t *logits = calloc(1, best->output_bytes);
    int runs = 0;
    for (; !rc && (runs < 1 || t2 - t1 < 2); runs++, t2 = seconds()) {
        rc = bpsim_run(sim, pixels, best->input_bytes, logits, best->output_bytes, &run);
        total += run;
    }
    if (!rc)
        printf("load  %" PRIu64 " cycles, %.3f s with opening\n"
               "run   %" PRIu64 " cycles, %.3f s each (%d runs)\n"
               "speed %.0f simulated cycles/s, %.0f networks of this size a minute, opening and loading included\n",
               load, t1 - t0, run, (t2 - t1) / runs, runs, (double)total / (t2 - t1),
               60 / (t1 - t0 + (t2 - t1) / runs));
    bpsim_close(sim);
    accel_program_free(best);
    free(pixels);
    free(logits);
    return rc != 0;
}
