#include "cmd/contender.h"

#include <string.h>

#include "cmd/pipeline.h"
#include "pack/pack.h"

int contender_channel_step(const struct hw *hw)
{
    return BASE_MAX(hw->m, hw->cg);
}

static int keep_pruned(struct contender *c, struct compress_cache *cache, const struct compress_options *o)
{
    const struct graph *g = NULL;
    int rc = compress_pruned(&g, cache, &c->recipe, o);
    if (rc || g == compress_cache_graph(cache))
        return rc;
    c->pruned = graph_clone(g);
    return c->pruned ? BASE_OK : BASE_NOMEM;
}

static int fill(struct contender *c, const struct compress_recipe *recipe, struct compress_cache *cache, struct contender_arrays on, const struct compress_options *o)
{
    struct nn_result val = { 0 };
    int which = 0, rc = compress_recipe_copy(&c->recipe, recipe);
    if (!rc)
        rc = compress_recipe_settle(&c->recipe, compress_cache_graph(cache), compress_cache_layers(cache), contender_channel_step(on.hw));
    if (!rc)
        rc = compress_evaluate(&val, &c->net, cache, &c->recipe, o);
    if (!rc && !o->draft)
        rc = keep_pruned(c, cache, o);
    if (!rc)
        rc = accel_compile_fastest(&c->program, &which, &c->model_cycles, c->net, on.hw, on.n);
    if (rc)
        return rc;
    c->hw = &on.hw[which];
    c->val_top1 = val.n ? val.top1 : -1;
    c->val_images = val.n;
    c->trained = compress_finetune_images(cache, &c->recipe, o);
    c->size_bytes = (int64_t)pack_weight_bytes(c->net);
    c->known = true;
    return BASE_OK;
}

int contender_build(struct contender *out, const char *name, int trial, const struct compress_recipe *recipe, struct compress_cache *cache, struct contender_arrays on, const struct compress_options *o)
{
    *out = (struct contender){ .trial = trial, .test_top1 = -1 };
    snprintf(out->name, sizeof out->name, "%s", name);
    int rc = fill(out, recipe, cache, on, o);
    if (rc)
        contender_free(out);
    return rc;
}

char *contender_checkpoint(const char *folder, const char *depends_on)
{
    return base_format("%s/finetune-%016llx.ckpt", folder, (unsigned long long)base_hash64(0, depends_on, strlen(depends_on)));
}

int contender_tune(const struct compress_recipe *recipe, struct compress_cache *cache, const struct hw *hw, const struct compress_options *o)
{
    struct compress_recipe settled;
    struct compress_model *m = NULL;
    int rc = compress_recipe_copy(&settled, recipe);
    if (rc)
        return rc;
    rc = compress_recipe_settle(&settled, compress_cache_graph(cache), compress_cache_layers(cache), contender_channel_step(hw));
    if (!rc)
        rc = compress_apply(&m, cache, &settled, o);
    compress_model_free(m);
    compress_recipe_free(&settled);
    return rc;
}

int contender_score(struct contender *c, const struct contender_scorer *by, const uint8_t *pixels, int images, const char *cache_dir)
{
    if (!c->score && !(c->score = BASE_NEW(struct score_result)))
        return BASE_NOMEM;
    struct score_job job = { .net = c->net, .program = c->program, .pixels = pixels, .images = images, .cache_dir = cache_dir, .boards = by->boards };
    return score_run(c->score, by->backend, &job);
}

int contender_exam_open(struct contender_exam *e, struct graph *g, const uint8_t *pixels, const uint16_t *label, int n, struct base_pool *pool)
{
    struct nn_result v = { 0 };
    *e = (struct contender_exam){ .pixels = pixels, .label = label, .n = n, .pool = pool, .float_right = BASE_NEW_N(uint8_t, n) };
    int rc = e->float_right ? pipeline_eval_float(g, pixels, label, n, pool, &v, e->float_right) : BASE_NOMEM;
    e->float_top1 = v.top1;
    if (rc)
        contender_exam_close(e);
    return rc;
}

int contender_test(struct contender *c, const struct contender_exam *e)
{
    struct nn_result v;
    uint8_t *right = BASE_NEW_N(uint8_t, e->n);
    int rc = right ? pipeline_eval_fixed(c->net, e->pixels, e->label, e->n, e->pool, &v, right) : BASE_NOMEM;
    if (!rc) {
        c->test_top1 = v.top1;
        c->loss = report_paired_loss(e->float_right, right, e->n);
    }
    base_free(right);
    return rc;
}

void contender_exam_close(struct contender_exam *e)
{
    base_free(e->float_right);
    e->float_right = NULL;
}

void contender_free(struct contender *c)
{
    compress_recipe_free(&c->recipe);
    accel_program_free(c->program);
    fixed_net_free(c->net);
    graph_free(c->pruned);
    base_free(c->score);
    memset(c, 0, sizeof *c);
}

int64_t contender_model_cycles(const struct compress_recipe *recipe, struct compress_cache *cache, struct contender_arrays on)
{
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct contender c;
    o.batchnorm_images = 0;
    o.val_images = -1;
    int rc = contender_build(&c, "model", -1, recipe, cache, on, &o);
    int64_t total = rc ? rc : c.model_cycles;
    if (!rc)
        contender_free(&c);
    return total;
}
