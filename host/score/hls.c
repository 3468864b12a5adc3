/* hls.c: backend `hls`: the C for Vitis HLS, run as software: results bit for bit, cycles only by the
 * bounds of its loops. The C is compiled for one array, that of bitpress_hw.h. */
#include <string.h>

#include "hls/bitpress.h"
#include "score/score_internal.h"

struct device {
    struct hls_engine engine;
    uint64_t *input;           /* the image in whole words */
    int32_t *output;           /* the window: logits, and the scratch behind them */
    uint64_t window;           /* bytes */
};

static void hls_close(void *device)
{
    struct device *d = device;
    base_free(d->input);
    base_free(d->output);
    base_free(d);
}

static int status_error(const struct score_job *job, uint32_t status, uint32_t layer, const char *what)
{
    const char *name = (int)layer < job->program->n_layer ? job->program->layer[layer].name : "?";
    return base_fail(BASE_INTERNAL, "hls: %s ends with status %u in layer %u ('%s')", what, status, layer, name);
}

static int hls_open(void **device, const void *ctx, const struct score_job *job)
{
    (void)ctx;
    const struct accel_program *p = job->program;
    struct device *d = BASE_NEW(struct device);
    if (!d)
        return BASE_NOMEM;
    d->window = program_output_window(p->image, 1);
    if (!(d->input = base_alloc((p->input_bytes + 7) / 8 * 8)) || !(d->output = base_alloc((size_t)d->window))) {
        hls_close(d);
        return BASE_NOMEM;
    }
    uint32_t status = hls_load(&d->engine, p->image, p->image_words * 8, p->weights, p->weight_words64 * 8);
    if (status) {
        hls_close(d);
        return status_error(job, status, 0, "the load");
    }
    *device = d;
    return BASE_OK;
}

static int hls_image(void *device, const struct score_job *job, const uint8_t *pixels, int32_t *logits)
{
    struct device *d = device;
    uint32_t layer;
    memcpy(d->input, pixels, job->program->input_bytes);
    uint32_t status = hls_run(&d->engine, &layer, job->program->image, job->program->image_words * 8, d->input, job->program->input_bytes, d->output, d->window, 1);
    memcpy(logits, d->output, job->program->output_bytes);
    return status ? status_error(job, status, layer, "the run") : BASE_OK;
}

static int estimate(struct score_result *out, const struct score_job *job)
{
    void *device;
    int rc = hls_open(&device, NULL, job);
    if (rc)
        return rc;
    out->cycles = out->load_cycles = 0;
    int n = job->program->n_layer;
    int64_t *cycles = BASE_NEW_N(int64_t, n);
    if (cycles)
        hls_estimate(cycles, n, &((struct device *)device)->engine, job->program->image);
    for (int i = 0; cycles && i < n; i++) {
        out->cycles += cycles[i];
        if (i < score_timed(out))
            out->layer[i].cycles = cycles[i];
    }
    hls_close(device);
    rc = cycles ? BASE_OK : BASE_NOMEM;
    base_free(cycles);
    return rc;
}

int score_hls(struct score_result *out, const struct score_job *job)
{
    static const struct score_device device = { .open = hls_open, .run = hls_image, .close = hls_close };
    const struct hw *hw = &job->program->hw;
    out->cycles_source = "hls-estimate";
    if ((hw->hash & 0xffffffffu) != BITPRESS_HASH)
        return base_hint(base_fail(BASE_MISSING, "hls: the C was compiled for another array (hash %08x) than the program's, %s (%08x)",
                                   BITPRESS_HASH, hw->name, (unsigned)(hw->hash & 0xffffffffu)),
                         "make BOARD=%s builds it for that one", hw->name);
    int rc = score_fill_model(out, job);
    if (!rc)
        rc = estimate(out, job);
    return rc ? rc : score_run_images(out, job, &device, NULL);
}
