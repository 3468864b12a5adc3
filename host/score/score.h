/* score: what a network costs on the accelerator, behind one interface.
 *
 * A backend is one file and one line of the table in score.c. `model` computes cycles;
 * `verilator` runs the RTL itself; `hls` runs the HLS C as software (results; its cycles are an
 * estimate); `xrt` and `opencl` drive a board, or the RTL as an emulated board, through Xilinx's runtime; `remote`
 * asks other machines to do that. Each says where its cycles come from; a result is never called by another name.
 * docs/score.md.
 */
#ifndef SCORE_H
#define SCORE_H

#include "accel/accel.h"

struct score_layer {
    const char *name, *kind;       /* owned by the program's arena; kind: input | mac | maxpool | rest */
    int64_t cycles, ideal_cycles, macs;
    int w_bits, a_bits;
};

/* What a stage of the engine did in the last run: cycles moving, waiting with work, idle. */
struct score_unit { const char *name; int64_t run, stall, idle; };
/* A device lists the cycles of so many layers; of those behind them together is known what is left: the last entry, kind "rest", which ends
 * with the result. */
enum { SCORE_UNITS = 5, SCORE_LAYERS = PROGRAM_TIMED_LAYERS + 1 };

struct score_result {
    const char *backend;
    const char *cycles_source;     /* rtl | rtl-table | model | hls-estimate | xrt-emulation | board */
    const char *board, *clock_is;  /* of the job's hw; clock_is: assumed | routed | measured */
    double clock_mhz, latency_ms, inferences_per_s;
    int64_t cycles;                /* start to done, weights resident */
    int64_t load_cycles;           /* program and weights from memory, once; 0 if not measured */
    int64_t model_cycles;          /* `cycles` by the model, for comparison */
    double efficiency;             /* ideal cycles of all layers / cycles */
    int64_t ddr_bytes;             /* image in, logits out */
    int bit_exact;                 /* 1: every logit of every image equals qref; 0: not; -1: not run */
    int images;                    /* run through the backend, now or when the cache was filled */
    double wall_s;
    int n_unit;                    /* 0: the backend has no counters, or nothing was run */
    struct score_unit unit[SCORE_UNITS];
    int n_layer;
    struct score_layer layer[SCORE_LAYERS];
};

struct score_job {
    const struct fixed_net *net;
    const struct accel_program *program;
    const uint8_t *pixels;         /* [images][h][w][c]; NULL with images 0: one made-up image */
    int images;
    const char *cache_dir;         /* measured cycles are kept here; NULL = measure afresh, keep nothing */
    bool exact;                    /* known cycles are not enough: these images must have been run and compared */
    int threads;                   /* images side by side; 0 = one per core */
    struct remote *boards;         /* of backend `remote` (device/remote.h), else NULL */
};

/* Run `job` on backend `name`. BASE_MISSING names what the backend lacks and how to get it;
 * BASE_INTERNAL if an image's logits or cycles disagree with the reference: `out` then holds what was
 * measured, the message the difference. */
int score_run(struct score_result *out, const char *name, const struct score_job *job);
/* Cycles that a further image of the same start takes, by the model; 0: a start takes one image. */
int score_further_image(int64_t *cycles, const struct score_job *job);
/* Space-separated names, for messages and --help. */
const char *score_backends(void);

#endif
