/* counters.c: what the backends that reach a device through a process share: the job as a pack, the device's counters
 * as a result, and their comparison with the model. */
#include <inttypes.h>

#include "score/score_internal.h"

void score_job_pack(struct pack *p, const struct score_job *job)
{
    const struct accel_program *a = job->program;
    *p = (struct pack){ .net = (struct fixed_net *)(uintptr_t)job->net, .hw_hash = a->hw.hash, .program = a->image, .program_words = a->image_words,
                        .weights = a->weights, .weight_words = a->weight_words64 };
    snprintf(p->board, sizeof p->board, "%s", a->hw.name);
}

int score_expect_model(struct score_result *out, struct score_result *model, const struct score_job *job)
{
    int rc = score_fill_model(out, job);
    *model = *out;
    out->cycles_source = "not measured";                   /* until they are */
    out->cycles = out->load_cycles = 0;
    for (int i = 0; i < score_timed(out); i++)
        out->layer[i].cycles = 0;
    return rc;
}

int score_equals_model(const char *who, const struct score_job *job, const struct score_result *model, const struct device_counters *c, uint64_t load_cycles)
{
    for (int i = 0; i < score_timed(model); i++)
        if (c->layer[i] != model->layer[i].cycles)
            return base_fail(BASE_INTERNAL, "%s: layer '%s' took %" PRIu32 " cycles, the model says %" PRId64, who, job->program->layer[i].name, c->layer[i], model->layer[i].cycles);
    if ((int64_t)c->cycles != model->cycles)
        return base_fail(BASE_INTERNAL, "%s: the run took %" PRIu64 " cycles, the model says %" PRId64, who, c->cycles, model->cycles);
    if ((int64_t)load_cycles != model->load_cycles)
        return base_fail(BASE_INTERNAL, "%s: the load took %" PRIu64 " cycles, the model says %" PRId64, who, load_cycles, model->load_cycles);
    return BASE_OK;
}

void score_take_counters(struct score_result *out, const struct device_counters *c, uint64_t load_cycles)
{
    static const char *const names[SCORE_UNITS] = { "fetch", "array", "drain", "write", "memory" };
    out->cycles = (int64_t)c->cycles;
    out->load_cycles = (int64_t)load_cycles;
    for (int i = 0; i < score_timed(out); i++)
        out->layer[i].cycles = c->layer[i];
    out->n_unit = SCORE_UNITS;
    for (int u = 0; u < SCORE_UNITS; u++)
        out->unit[u] = (struct score_unit){ names[u], c->unit[u][0], c->unit[u][1], c->unit[u][2] };
}
