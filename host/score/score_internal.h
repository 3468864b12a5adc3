/* score_internal.h: what a backend gets and fills. */
#ifndef SCORE_INTERNAL_H
#define SCORE_INTERNAL_H

#include "score/score.h"

/* Fill cycles, load_cycles, layer[].cycles, bit_exact, images, cycles_source. The rest is score.c's. */
typedef int score_backend_fn(struct score_result *out, const struct score_job *job);
score_backend_fn score_model, score_verilator, score_hls;

/* Cycles by the model, in out->layer[] and out->cycles. */
int score_fill_model(struct score_result *out, const struct score_job *job);

/* Images to run: the job's, or one made-up image. *owned is freed by the caller. */
int score_pixels(const struct score_job *job, const uint8_t **pixels, int *images, uint8_t **owned);
/* The reference's logits of these images: [images][classes], the caller's. */
int score_reference(int32_t **logits, const struct score_job *job, const uint8_t *pixels, int images);

/* Measured cycles by a program's structure (shapes, plane lists, array) and the RTL's hash. */
uint64_t score_cache_key(const struct accel_program *p, const char *rtl_hash);
bool score_cache_get(struct score_result *out, const char *dir, uint64_t key);
int score_cache_put(const struct score_result *r, const char *dir, uint64_t key);

#endif
