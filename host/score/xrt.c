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

static void job_pack(struct pack *p, const struct score_job *job)
{
    const struct accel_program *a = job->program;
    *p = (struct pack){ .net = (struct fixed_net *)(uintptr_t)job->net, .hw_hash = a->hw.hash, .program = a->image, .program_words = a->image_words,
                        .weights = a->weights, .weight_words = a->weight_words64 };
    snprintf(p->board, sizeof p->board, "%s", a->hw.name);
}

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
    job_pack(&pack, job);
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
    const struct score_result *model = w->ctx->model;
    const char *api = w->ctx->target.api;
    if (!device_emulated(w->device))
        return BASE_OK;
    for (int i = 0; i < model->n_layer; i++)
        if (w->last.layer[i] != model->layer[i].cycles)
            return base_fail(BASE_INTERNAL, "%s: layer '%s' took %" PRIu32 " cycles, the model says %" PRId64, api, job->program->layer[i].name, w->last.layer[i],
                             model->layer[i].cycles);
    if ((int64_t)w->last.cycles != model->cycles)
        return base_fail(BASE_INTERNAL, "%s: the run took %" PRIu64 " cycles, the model says %" PRId64, api, w->last.cycles, model->cycles);
    if ((int64_t)device_load_cycles(w->device) != model->load_cycles)
        return base_fail(BASE_INTERNAL, "%s: the load took %" PRIu64 " cycles, the model says %" PRId64, api, device_load_cycles(w->device), model->load_cycles);
    return BASE_OK;
}

static void xrt_measure(struct score_result *out, void *device)
{
    static const char *const names[SCORE_UNITS] = { "fetch", "array", "drain", "write", "memory" };
    const struct worker *w = device;
    out->cycles_source = device_source(w->device);
    out->cycles = (int64_t)w->last.cycles;
    out->load_cycles = (int64_t)device_load_cycles(w->device);
    for (int i = 0; i < out->n_layer; i++)
        out->layer[i].cycles = w->last.layer[i];
    out->n_unit = SCORE_UNITS;
    for (int u = 0; u < SCORE_UNITS; u++)
        out->unit[u] = (struct score_unit){ names[u], w->last.unit[u][0], w->last.unit[u][1], w->last.unit[u][2] };
}

static int run(struct score_result *out, const struct score_job *job, struct ctx *ctx)
{
    static const struct score_device device = { xrt_open, xrt_image, xrt_check, xrt_measure, xrt_close };
    struct score_result *model = BASE_NEW(struct score_result);
    if (!model)
        return BASE_NOMEM;
    int rc = score_fill_model(out, job);
    *model = *out;
    ctx->model = model;
    out->cycles_source = "not measured";                   /* until they are */
    out->cycles = out->load_cycles = 0;
    for (int i = 0; i < out->n_layer; i++)
        out->layer[i].cycles = 0;
    if (!rc)
        rc = score_run_images(out, job, &device, ctx);
    base_free(model);
    return rc;
}

int score_xrt_api(struct score_result *out, const struct score_job *job, const char *api)
{
    struct ctx ctx = { .target = { .api = api } };
    char dir[256], *simulator = NULL;
    int rc = device_xrt_libraries(dir);
    if (!rc && device_needs_emulation(&ctx.target))
        rc = score_simlib_find(&simulator, job->program->hw.name);
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
