/* score_internal.h: what a backend gets and fills. */
#ifndef SCORE_INTERNAL_H
#define SCORE_INTERNAL_H

#include "device/device.h"
#include "score/score.h"

/* Fill cycles, load_cycles, layer[].cycles, bit_exact, images, cycles_source. The rest is score.c's. */
typedef int score_backend_fn(struct score_result *out, const struct score_job *job);
score_backend_fn score_model, score_verilator, score_hls, score_xrt, score_opencl, score_remote;

/* xrt.c, over one of the two programming interfaces: xrt | opencl. */
int score_xrt_api(struct score_result *out, const struct score_job *job, const char *api);

/* Entries of out->layer[] whose cycles a backend fills: the others are score.c's. */
static inline int score_timed(const struct score_result *out) { return BASE_MIN(out->n_layer, PROGRAM_TIMED_LAYERS); }

/* Cycles by the model, in out->layer[], out->cycles and out->model_cycles. */
int score_fill_model(struct score_result *out, const struct score_job *job);

/* ---- counters.c: devices behind a process -------------------------------------------- */
/* The job as a pack; it refers to the job. */
void score_job_pack(struct pack *p, const struct score_job *job);
/* The model's figures in `model`; in `out` cycles stay unmeasured until a device has run. */
int score_expect_model(struct score_result *out, struct score_result *model, const struct score_job *job);
/* An emulated device's memory has the model's timing, so all its cycles are the model's. BASE_INTERNAL names the difference. */
int score_equals_model(const char *who, const struct score_job *job, const struct score_result *model, const struct device_counters *c, uint64_t load_cycles);
void score_take_counters(struct score_result *out, const struct device_counters *c, uint64_t load_cycles);

/* Images to run: the job's, or one made-up image. *owned is freed by the caller. */
int score_pixels(const struct score_job *job, const uint8_t **pixels, int *images, uint8_t **owned);
/* The reference's logits of these images: [images][classes], the caller's. */
int score_reference(int32_t **logits, const struct score_job *job, const uint8_t *pixels, int images);

/* ---- images.c: a job's images on devices side by side ----------------------------- */
/* A device runs one image at a time, in one thread; `ctx` is shared and constant. */
struct score_device {
    int (*open)(void **device, const void *ctx, const struct score_job *job);   /* and load the program */
    int (*run)(void *device, const struct score_job *job, const uint8_t *pixels, int32_t *logits);
    int (*check)(void *device, const struct score_job *job);                    /* after each image; may be NULL */
    void (*measure)(struct score_result *out, void *device);                    /* of the image run last; may be NULL */
    void (*close)(void *device);
};
/* Runs and compares all images; fills images, bit_exact and what `measure` fills. BASE_INTERNAL names the first
 * wrong logit. */
int score_run_images(struct score_result *out, const struct score_job *job, const struct score_device *device, const void *ctx);

/* ---- cache.c: measured cycles by structure (shapes, plane lists, memory) and RTL --------- */
/* True: cycles and layer[].cycles of the job's program are known; load_cycles too, or 0. */
bool score_cache_get(struct score_result *out, const struct score_job *job, const char *rtl_hash);
int score_cache_put(const struct score_result *r, const struct score_job *job, const char *rtl_hash);
/* Whether this very program gave the reference's logits on these very images. */
bool score_cache_exact(const struct score_job *job, const char *rtl_hash);
int score_cache_put_exact(const struct score_job *job, const char *rtl_hash);

#endif
