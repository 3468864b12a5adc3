/* verilator.c: backend `verilator`: the RTL itself runs the job's images. Every logit is compared with the
 * reference and every cycle count with the model: whoever changes one of the three hears of it. */
#include <inttypes.h>

#include "score/score_internal.h"
#include "score/simlib.h"

/* The simulator, and what the images must agree on. */
struct run {
    const struct score_simlib *lib;
    const struct score_result *model;
};

/* One simulated device; the counts of the image run last. */
struct device {
    const struct run *run;
    struct bpsim *sim;
    uint64_t load, cycles;
};

/* ---- a device -------------------------------------------------------------------- */

static int check_identity(const struct device *d, const struct hw *hw)
{
    const struct { const char *what; uint32_t reg; uint32_t want; } id[] = {
        { "magic", REG_ID_MAGIC, REG_ID_MAGIC_VALUE },
        { "version", REG_ID_VERSION, PROGRAM_MAJOR << 16 | PROGRAM_MINOR },
        { "array", REG_ID_ARRAY, (uint32_t)hw->k << 16 | (uint32_t)hw->n << 8 | (uint32_t)hw->m },
        { "activation depth", REG_ID_ACT, (uint32_t)hw->act_depth },
        { "weight depth", REG_ID_WEIGHT, (uint32_t)hw->weight_depth },
        { "coefficient depth", REG_ID_COEF, (uint32_t)hw->coef_depth },
        { "scale depth", REG_ID_SCALE, (uint32_t)hw->scale_depth },
        { "K-word depth", REG_ID_KWORD, (uint32_t)hw->kword_depth },
        { "layer depth", REG_ID_LAYER, (uint32_t)hw->layer_depth },
        { "map depth", REG_ID_MAP, (uint32_t)hw->map_depth },
        { "hash", REG_ID_HASH, (uint32_t)hw->hash },
    };
    for (int i = 0; i < BASE_COUNT(id); i++) {
        uint32_t is = d->run->lib->peek(d->sim, id[i].reg);
        if (is != id[i].want)
            return base_hint(base_fail(BASE_MISSING, "verilator: the simulator is of another accelerator than %s: %s 0x%x, not 0x%x", hw->name, id[i].what, is, id[i].want),
                             "make sim BOARD=%s", hw->name);
    }
    return BASE_OK;
}

static uint64_t memory_of(const struct accel_program *p)
{
    uint64_t need = 8 * (uint64_t)(p->image_words + p->weight_words64) + p->input_bytes + p->output_bytes + p->scratch_bytes + 9 * 4096;
    return BASE_MAX(need, (uint64_t)16 << 20);
}

static void sim_close(void *device)
{
    struct device *d = device;
    if (d->sim)
        d->run->lib->close(d->sim);
    base_free(d);
}

static int load_program(struct device *d, const struct accel_program *p)
{
    int rc = check_identity(d, &p->hw);
    int status = rc ? 0 : d->run->lib->load(d->sim, p->image, p->image_words, p->weights, p->weight_words64, &d->load);
    return status ? base_fail(BASE_INTERNAL, "verilator: the load ends with status %d", status) : rc;
}

static int sim_open(void **device, const void *ctx, const struct score_job *job)
{
    const struct hw *hw = &job->program->hw;
    const struct bpsim_options o = { .mem_bytes = memory_of(job->program), .read_latency = hw->read_latency, .write_latency = hw->write_latency,
                                     .port_gbytes_s = hw->port_gbytes_s, .clock_mhz = hw->clock_mhz };
    struct device *d = BASE_NEW(struct device);
    if (!d)
        return BASE_NOMEM;
    d->run = ctx;
    d->sim = d->run->lib->open(&o);
    int rc = d->sim ? load_program(d, job->program) : base_fail(BASE_NOMEM, "verilator: no memory for the simulation");
    if (rc)
        sim_close(d);
    else
        *device = d;
    return rc;
}

/* ---- an image --------------------------------------------------------------------- */

static int sim_image(void *device, const struct score_job *job, const uint8_t *pixels, int32_t *logits)
{
    struct device *d = device;
    const struct accel_program *p = job->program;
    const char *breach;
    int status = d->run->lib->run(d->sim, pixels, p->input_bytes, logits, p->output_bytes, &d->cycles);
    if (status)
        return base_fail(BASE_INTERNAL, "verilator: the run ends with status %d in layer %u", status, d->run->lib->peek(d->sim, REG_ERROR_LAYER));
    if (d->run->lib->violations(d->sim, &breach))
        return base_fail(BASE_INTERNAL, "verilator: the accelerator broke a rule of its bus: %s", breach ? breach : "?");
    return BASE_OK;
}

/* Time does not depend on data, so this holds for every image. */
static int sim_check(void *device, const struct score_job *job)
{
    const struct device *d = device;
    const struct score_result *model = d->run->model;
    for (int i = 0; i < score_timed(model); i++) {
        int64_t is = d->run->lib->peek(d->sim, REG_LAYER_CYCLES + 4 * (uint32_t)i);
        if (is != model->layer[i].cycles)
            return base_fail(BASE_INTERNAL, "verilator: layer '%s' took %" PRId64 " cycles, the model says %" PRId64 " (in all %" PRIu64 " and %" PRId64 ")",
                             job->program->layer[i].name, is, model->layer[i].cycles, d->cycles, model->cycles);
    }
    if ((int64_t)d->cycles != model->cycles)
        return base_fail(BASE_INTERNAL, "verilator: the run took %" PRIu64 " cycles, the model says %" PRId64, d->cycles, model->cycles);
    if ((int64_t)d->load != model->load_cycles)
        return base_fail(BASE_INTERNAL, "verilator: the load took %" PRIu64 " cycles, the model says %" PRId64, d->load, model->load_cycles);
    return BASE_OK;
}

static void read_units(struct score_result *out, const struct device *d)
{
    static const char *const names[SCORE_UNITS] = { "fetch", "array", "drain", "write", "memory" };
    out->n_unit = SCORE_UNITS;
    for (uint32_t u = 0; u < SCORE_UNITS; u++) {
        uint32_t count[3];
        for (uint32_t k = 0; k < 3; k++)
            count[k] = d->run->lib->peek(d->sim, REG_COUNTER + 12 * u + 4 * k);
        out->unit[u] = (struct score_unit){ names[u], count[0], count[1], count[2] };
    }
}

static void sim_measure(struct score_result *out, void *device)
{
    const struct device *d = device;
    out->cycles = (int64_t)d->cycles;
    out->load_cycles = (int64_t)d->load;
    for (int i = 0; i < score_timed(out); i++)
        out->layer[i].cycles = d->run->lib->peek(d->sim, REG_LAYER_CYCLES + 4 * (uint32_t)i);
    read_units(out, d);
}

/* ---- the backend -------------------------------------------------------------------- */

/* What the cache knows, if that is enough; else `out` is as the model left it. */
static bool from_cache(struct score_result *out, const struct score_job *job, const char *rtl_hash)
{
    bool compared = score_cache_exact(job, rtl_hash);
    if ((job->exact && !compared) || !score_cache_get(out, job, rtl_hash))
        return false;
    if (out->cycles != out->model_cycles) {                /* the model has changed: ask the RTL again */
        score_fill_model(out, job);
        return false;
    }
    out->cycles_source = "rtl-table";
    if (compared) {
        out->bit_exact = 1;
        out->images = BASE_MAX(job->images, 1);
    }
    return true;
}

/* A measurement is worth no less for not being kept. */
static void keep(const struct score_result *r, const struct score_job *job, const char *rtl_hash)
{
    if (score_cache_put(r, job, rtl_hash) || score_cache_put_exact(job, rtl_hash)) {
        base_warn("%s", base_error());
        base_error_clear();
    }
}

static int measure(struct score_result *out, const struct score_job *job, const struct score_simlib *lib)
{
    static const struct score_device device = { sim_open, sim_image, sim_check, sim_measure, sim_close };
    struct score_result *model = BASE_NEW(struct score_result);
    if (!model)
        return BASE_NOMEM;
    *model = *out;
    out->cycles_source = "rtl";
    out->cycles = out->load_cycles = 0;                    /* until they are measured */
    for (int i = 0; i < score_timed(out); i++)
        out->layer[i].cycles = 0;
    const struct run run = { lib, model };
    int rc = score_run_images(out, job, &device, &run);
    if (!rc && job->cache_dir)
        keep(out, job, lib->rtl_hash);
    base_free(model);
    return rc;
}

int score_verilator(struct score_result *out, const struct score_job *job)
{
    struct score_simlib lib;
    int rc = score_fill_model(out, job);
    out->cycles_source = "model";                          /* until the RTL has spoken */
    if (!rc)
        rc = score_simlib_open(&lib, &job->program->hw);
    if (rc)
        return rc;
    if (!job->cache_dir || !from_cache(out, job, lib.rtl_hash))
        rc = measure(out, job, &lib);
    score_simlib_close(&lib);
    return rc;
}
