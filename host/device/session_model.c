/* session_model.c: the engine of a board's side that has no board: logits by the integer reference, cycles by the cycle
 * model. Every answer a device would give but for the stages' counters, on any machine that runs this program. */
#include <string.h>

#include "accel/accel.h"
#include "device/session.h"

struct session_model {
    struct hw hw;
    struct qref *reference;    /* of the pack that runs; NULL: none */
    struct accel_cycles cycles;
};

int session_model_new(struct session_model **out, const struct hw *hw)
{
    *out = BASE_NEW(struct session_model);
    if (!*out)
        return BASE_NOMEM;
    (*out)->hw = *hw;
    return BASE_OK;
}

void session_model_free(struct session_model *m)
{
    if (m)
        qref_free(m->reference);
    base_free(m);
}

/* A pack comes from afar: the model believes its image only after the check. */
static int load(void *ctx, const struct pack *pack, uint64_t *load_cycles)
{
    struct session_model *m = ctx;
    int rc = accel_decode_check(&m->hw, pack->program, pack->program_words);
    if (rc > 0)
        rc = base_fail(BASE_INPUT, "the pack's program is refused with code %d", rc);
    if (!rc)
        rc = accel_model(&m->cycles, &m->hw, pack->program, pack->program_words);
    if (!rc)
        rc = (m->reference = qref_new(pack->net, NULL)) ? BASE_OK : BASE_NOMEM;
    *load_cycles = rc ? 0 : (uint64_t)m->cycles.load;
    return rc;
}

static int run(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *counters)
{
    struct session_model *m = ctx;
    double start = base_seconds();
    int rc = qref_run(m->reference, pixels, n, logits);
    double each = (base_seconds() - start) / n;
    for (int i = 0; i < n; i++)
        image[i] = (struct device_image){ .cycles = (uint64_t)m->cycles.total, .seconds = each };
    *counters = (struct device_counters){ .cycles = (uint64_t)m->cycles.total, .n_layer = (uint32_t)m->cycles.n_layer };
    for (int l = 0; l < m->cycles.n_layer; l++)
        counters->layer[l] = (uint32_t)m->cycles.layer[l];
    return rc;
}

static void unload(void *ctx)
{
    struct session_model *m = ctx;
    qref_free(m->reference);
    m->reference = NULL;
}

struct session_engine session_model_engine(struct session_model *m)
{
    return (struct session_engine){ m, load, run, unload };
}
