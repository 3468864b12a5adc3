/* score.c: the table of backends and what is common to them. */
#include <string.h>

#include "score/score_internal.h"

static const struct { const char *name; score_backend_fn *run; } backends[] = {
    { "model", score_model },
    { "verilator", score_verilator },
    { "hls", score_hls },
    { "xrt", score_xrt },
    { "opencl", score_opencl },
    { "remote", score_remote },
};

const char *score_backends(void)
{
    return "model verilator hls xrt opencl remote";
}

int score_fill_model(struct score_result *out, const struct score_job *job)
{
    struct accel_cycles *c = BASE_NEW(struct accel_cycles);
    if (!c)
        return BASE_NOMEM;
    int rc = accel_model(c, &job->program->hw, job->program->image, job->program->image_words);
    if (!rc) {
        out->cycles = out->model_cycles = c->total;
        out->ddr_bytes = c->ddr_bytes;
        out->load_cycles = c->load;
        for (int i = 0; i < score_timed(out); i++)
            out->layer[i].cycles = c->layer[i];
    }
    base_free(c);
    return rc;
}

int score_further_image(int64_t *cycles, const struct score_job *job)
{
    const struct accel_program *p = job->program;
    uint32_t images = BASE_MIN(program_most_images(p->image), 3);   /* with the third all is settled */
    struct accel_cycles *c = BASE_NEW(struct accel_cycles);
    int rc = c ? accel_model_images(c, &p->hw, p->image, p->image_words, images) : BASE_NOMEM;
    *cycles = rc ? 0 : c->further;
    base_free(c);
    return rc;
}

int score_pixels(const struct score_job *job, const uint8_t **pixels, int *images, uint8_t **owned)
{
    *owned = NULL;
    *pixels = job->pixels;
    *images = job->images;
    if (job->images > 0)
        return BASE_OK;
    size_t n = job->program->input_bytes;
    if (!(*owned = base_alloc(n)))
        return BASE_NOMEM;
    struct base_rng r;
    base_rng_seed(&r, 1);
    for (size_t i = 0; i < n; i++)
        (*owned)[i] = (uint8_t)base_rng_below(&r, 256);
    *pixels = *owned;
    *images = 1;
    return BASE_OK;
}

int score_reference(int32_t **logits, const struct score_job *job, const uint8_t *pixels, int images)
{
    *logits = BASE_NEW_N(int32_t, (size_t)images * (size_t)job->net->classes);
    struct qref *q = *logits ? qref_new(job->net, NULL) : NULL;
    int rc = q ? qref_run(q, pixels, images, *logits) : BASE_NOMEM;
    qref_free(q);
    if (rc) {
        base_free(*logits);
        *logits = NULL;
    }
    return rc;
}

/* Everything that follows from the program, the board and the cycles. */
static void describe(struct score_result *out, const struct score_job *job)
{
    const struct accel_program *p = job->program;
    out->board = p->hw.name;
    out->clock_mhz = p->hw.clock_mhz;
    out->clock_is = p->hw.clock_is;
    out->n_layer = BASE_MIN(p->n_layer, SCORE_LAYERS);
    for (int i = 0; i < score_timed(out); i++) {
        const struct accel_layer_info *l = &p->layer[i];
        bool pool = l->fixed_layer >= 0 && job->net->layer[l->fixed_layer].kind == FIXED_MAXPOOL;
        out->layer[i] = (struct score_layer){ .name = l->name, .kind = l->fixed_layer < 0 ? "input" : pool ? "maxpool" : "mac",
                                              .ideal_cycles = l->ideal_cycles, .macs = l->macs, .w_bits = l->w_bits, .a_bits = l->a_bits };
    }
    for (int i = PROGRAM_TIMED_LAYERS; i < p->n_layer; i++) {
        struct score_layer *rest = &out->layer[PROGRAM_TIMED_LAYERS];
        *rest = (struct score_layer){ .name = p->rest, .kind = "rest", .ideal_cycles = rest->ideal_cycles + p->layer[i].ideal_cycles, .macs = rest->macs + p->layer[i].macs };
    }
}

static void set_rest(struct score_result *out)
{
    int64_t left = out->cycles;
    for (int i = 0; i < score_timed(out); i++)
        left -= out->layer[i].cycles;
    if (out->n_layer > PROGRAM_TIMED_LAYERS)
        out->layer[PROGRAM_TIMED_LAYERS].cycles = left;
}

static void derive(struct score_result *out)
{
    int64_t ideal = 0;
    set_rest(out);
    for (int i = 0; i < out->n_layer; i++)
        ideal += out->layer[i].ideal_cycles;
    out->latency_ms = (double)out->cycles / (out->clock_mhz * 1e3);
    out->inferences_per_s = out->latency_ms > 0 ? 1e3 / out->latency_ms : 0;
    out->efficiency = out->cycles > 0 ? (double)ideal / (double)out->cycles : 0;
}

int score_run(struct score_result *out, const char *name, const struct score_job *job)
{
    for (int i = 0; i < BASE_COUNT(backends); i++) {
        if (strcmp(backends[i].name, name))
            continue;
        double start = base_seconds();
        memset(out, 0, sizeof *out);
        out->backend = backends[i].name;
        out->bit_exact = -1;
        describe(out, job);
        int rc = backends[i].run(out, job);
        derive(out);
        out->wall_s = base_seconds() - start;
        return rc;
    }
    return base_fail(BASE_INPUT, "backend '%s' is unknown (there are: %s)", name, score_backends());
}
