/* xrt.c: backend `xrt`: the real XRT libraries drive the accelerator: a board, if an xclbin is named (BITPRESS_XCLBIN), or
 * XRT's hardware emulation with the RTL behind it. Every logit is compared with the reference; emulated cycles with the model. */
#include <inttypes.h>
#include <string.h>

#include "device/device.h"
#include "score/score_internal.h"
#include "score/simlib.h"

struct ctx {
    struct device_target target;
    const char *simulator;     /* file; NULL: a board */
    const struct score_result *model;
};

struct worker {
    const struct ctx *ctx;
    struct device *device;
    struct device_counters last;
};

static void xrt_close(void *device)
{
    struct worker *w = device;
    device_close(w->device);
    base_free(w);
}

static int xrt_open(void **device, const void *ctx, const struct score_job *job)
{
    struct pack pack;
    struct worker *w = BASE_NEW(struct worker);
    if (!w)
        return BASE_NOMEM;
    w->ctx = ctx;
    score_job_pack(&pack, job);
    int rc = device_open(&w->device, &w->ctx->target, &job->program->hw, w->ctx->simulator, &pack);
    if (rc)
        xrt_close(w);
    else
        *device = w;
    return rc;
}

static int xrt_image(void *device, const struct score_job *job, const uint8_t *pixels, int32_t *logits)
{
    (void)job;
    struct worker *w = device;
    return device_run(w->device, pixels, 1, logits, NULL, &w->last);
}

/* The emulated memory has the model's timing; a board's is its own. */
static int xrt_check(void *device, const struct score_job *job)
{
    const struct worker *w = device;
    if (!device_emulated(w->device))
        return BASE_OK;
    return score_equals_model(w->ctx->target.api, job, w->ctx->model, &w->last, device_load_cycles(w->device));
}

static void xrt_measure(struct score_result *out, void *device)
{
    const struct worker *w = device;
    out->cycles_source = device_source(w->device);
    score_take_counters(out, &w->last, device_load_cycles(w->device));
}

static int run(struct score_result *out, const struct score_job *job, struct ctx *ctx)
{
    static const struct score_device device = { xrt_open, xrt_image, xrt_check, xrt_measure, xrt_close };
    struct score_result *model = BASE_NEW(struct score_result);
    if (!model)
        return BASE_NOMEM;
    int rc = score_expect_model(out, model, job);
    ctx->model = model;
    if (!rc)
        rc = score_run_images(out, job, &device, ctx);
    base_free(model);
    return rc;
}

int score_xrt_api(struct score_result *out, const struct score_job *job, const char *api)
{
    struct ctx ctx = { .target = { .api = api } };
    char *simulator;
    int rc = score_simlib_behind(&simulator, &ctx.target, &job->program->hw);
    ctx.simulator = simulator;
    if (!rc)
        rc = run(out, job, &ctx);
    base_free(simulator);
    return rc;
}

int score_xrt(struct score_result *out, const struct score_job *job)
{
    return score_xrt_api(out, job, "xrt");
}
