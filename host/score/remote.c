/* remote.c: backend `remote`: boards, or machines that emulate one, at the other end of commands. Every logit is compared
 * with the reference here; cycles that are no board's with the model. */
#include "device/remote.h"

#include <inttypes.h>
#include <string.h>

#include "score/score_internal.h"

struct ctx {
    struct remote_pack pack;
    const struct score_result *model;
};

struct worker {
    const struct ctx *ctx;
    struct remote_result last;
};

static int open_worker(void **device, const void *ctx, const struct score_job *job)
{
    (void)job;
    struct worker *w = BASE_NEW(struct worker);
    if (w)
        w->ctx = ctx;
    *device = w;
    return w ? BASE_OK : BASE_NOMEM;
}

static int run_image(void *device, const struct score_job *job, const uint8_t *pixels, int32_t *logits)
{
    struct worker *w = device;
    return remote_run(job->boards, &w->ctx->pack, pixels, 1, logits, NULL, &w->last);
}

static int check(void *device, const struct score_job *job)
{
    const struct worker *w = device;
    if (w->last.source == FRAME_BOARD)
        return BASE_OK;
    return score_equals_model("remote", job, w->ctx->model, &w->last.counters, w->last.load_cycles);
}

static void measure(struct score_result *out, void *device)
{
    const struct worker *w = device;
    static const char *const source[FRAME_SOURCES] = { "board", "xrt-emulation", "model" };
    out->cycles_source = source[w->last.source];
    score_take_counters(out, &w->last.counters, w->last.load_cycles);
    if (w->last.source == FRAME_MODEL)
        out->n_unit = 0;           /* it has no counters */
}

static void close_worker(void *device)
{
    base_free(device);
}

static int run(struct score_result *out, const struct score_job *job, struct ctx *ctx)
{
    static const struct score_device device = { open_worker, run_image, check, measure, close_worker };
    struct score_job spread = *job;
    struct base_text bytes = { 0 };
    struct pack pack;
    score_job_pack(&pack, job);
    int rc = pack_bytes(&bytes, &pack, "the pack");
    ctx->pack = (struct remote_pack){ .bytes = (const uint8_t *)bytes.s, .n = bytes.len, .hash = base_hash64(0, bytes.s, bytes.len), .board = job->program->hw.name, .hw_hash = job->program->hw.hash,
                                      .image_bytes = job->program->input_bytes, .classes = (size_t)job->net->classes, .layers = (size_t)BASE_MIN(job->program->n_layer, PROGRAM_TIMED_LAYERS) };
    spread.threads = BASE_MAX(remote_boards(job->boards), 1);      /* an image a board at a time */
    if (!rc)
        rc = score_run_images(out, &spread, &device, ctx);
    base_text_free(&bytes);
    return rc;
}

int score_remote(struct score_result *out, const struct score_job *job)
{
    if (!job->boards)
        return base_hint(base_fail(BASE_INPUT, "backend 'remote' needs a command that reaches a board"), "--remote \"ssh BOARD bitpress serve --stdio\", or `remote: {commands: [...]}` in the configuration");
    struct ctx ctx = { .pack = { 0 } };
    struct score_result *model = BASE_NEW(struct score_result);
    if (!model)
        return BASE_NOMEM;
    int rc = score_expect_model(out, model, job);
    ctx.model = model;
    if (!rc)
        rc = run(out, job, &ctx);
    base_free(model);
    return rc;
}
