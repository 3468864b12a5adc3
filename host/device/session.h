/* session: the board's side of the protocol of frame.h: what a host may ask, and the answers. */
#ifndef DEVICE_SESSION_H
#define DEVICE_SESSION_H

#include "device/device.h"
#include "device/frame.h"

/* What runs packs here. */
struct session_engine {
    void *ctx;
    /* Make `pack`, which is there until `unload`, the one that runs; *load_cycles. The one before has been unloaded. */
    int (*load)(void *ctx, const struct pack *pack, uint64_t *load_cycles);
    int (*run)(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *counters);
    void (*unload)(void *ctx);
};

/* session_model.c: an engine without a device: the integer reference and the cycle model of hw. Ended by session_model_free,
 * behind the session. BASE_NOMEM. */
struct session_model;
int session_model_new(struct session_model **out, const struct hw *hw);
void session_model_free(struct session_model *m);
struct session_engine session_model_engine(struct session_model *m);

struct session;
/* `board` and `hw_hash` are what packs must be compiled for. */
struct session *session_new(const struct session_engine *engine, const char *board, uint64_t hw_hash, enum frame_source source);
void session_free(struct session *s);
/* The first words, added to `out`. */
void session_hello(struct session *s, struct base_text *out);
/* Bytes from the host; answers are added to `out`. BASE_INPUT: hostile or damaged bytes, the connection is to be ended;
 * what fails otherwise is an answer. */
int session_feed(struct session *s, const void *bytes, size_t n, struct base_text *out);
/* From `in` to `out` until `in` ends, the host goes away or sends nonsense. Descriptors. */
int session_serve(struct session *s, int in, int out);

#endif
