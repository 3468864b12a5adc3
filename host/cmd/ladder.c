#include "cmd/ladder.h"

#include <string.h>

int ladder_open(struct ladder *l)
{
    return search_study_finalists(l->study, &l->done);
}

void ladder_close(struct ladder *l)
{
    search_finalists_free(&l->done);
}

void ladder_treat(struct compress_recipe *recipe, const struct run_config *c, int rung)
{
    const bool fast = rung == SEARCH_CHEAP;
    recipe->finetune = (struct compress_finetune){ .mode = fast ? COMPRESS_FAST : COMPRESS_FULL, .epochs = (int)(rung == SEARCH_FULL ? c->finetune.full : c->finetune.epochs), .lr = c->finetune.lr };
    recipe->quantize.rounding = fast ? COMPRESS_ADAPTIVE : COMPRESS_NEAREST;       /* whole epochs make up for both (docs/compress.md) */
    recipe->quantize.bias_correction = fast;
    recipe->distill = (struct compress_distill){ .weight = fast ? 0 : c->finetune.distill, .temperature = c->finetune.temperature };
}

/* The checkpoint of fine-tuning is named after the recipe; *path is the caller's. */
static int set_options(struct compress_options *o, char **path, const struct ladder *l, const char *recipe)
{
    const struct run_config *c = l->config;
    *path = contender_checkpoint(c->out, recipe);
    *o = (struct compress_options)COMPRESS_OPTIONS_INIT;
    o->batchnorm_images = (int)c->search.batchnorm;
    o->checkpoint = *path;
    o->ranks = l->ranks;
    return *path ? BASE_OK : BASE_NOMEM;
}

/* What all ranks build next; NULL: there is no more. */
static int say(const struct ladder *l, char *recipe)
{
    size_t n = recipe ? strlen(recipe) : 0;
    int rc = l->ranks ? dist_broadcast(l->dist, &n, sizeof n) : BASE_OK;
    return rc || !l->ranks ? rc : dist_broadcast(l->dist, recipe, n);
}

static int build(struct ladder *l, struct contender *out, const char *name, const char *label, int trial, const struct compress_recipe *recipe, bool resume)
{
    struct compress_options o;
    char *path = NULL, *text = compress_recipe_text(recipe, compress_cache_layers(l->cache));
    const bool tunes = recipe->finetune.mode != COMPRESS_FAST;
    int rc = text ? set_options(&o, &path, l, text) : BASE_NOMEM;
    o.label = label;
    o.resume = resume;
    if (!rc && tunes)
        rc = say(l, text);
    if (!rc)
        rc = contender_build(out, name, trial, recipe, l->cache, l->arrays, &o);
    base_free(path);
    base_free(text);
    return rc;
}

/* ---- any other rank ------------------------------------------------------------------- */

static int join_in(const struct ladder *l, const char *text)
{
    struct compress_recipe recipe;
    struct compress_options o;
    char *path = NULL;
    int rc = compress_recipe_parse(&recipe, "rank 0's recipe", text, strlen(text), compress_cache_graph(l->cache), compress_cache_layers(l->cache));
    if (rc)
        return rc == BASE_INPUT ? BASE_INTERNAL : rc;      /* rank 0 has it, and begins */
    rc = set_options(&o, &path, l, text);
    if (!rc)
        rc = contender_tune(&recipe, l->cache, l->arrays.hw, &o);
    compress_recipe_free(&recipe);
    base_free(path);
    return rc;
}

/* What cannot be built here cannot be built by rank 0 either, which goes on without it. */
int ladder_join(const struct ladder *l)
{
    for (;;) {
        size_t n = 0;
        int rc = dist_broadcast(l->dist, &n, sizeof n);
        char *text = rc || !n ? NULL : base_alloc(n + 1);
        if (rc || !n)
            return rc;
        rc = text ? dist_broadcast(l->dist, text, n) : BASE_NOMEM;
        if (!rc && (rc = join_in(l, text)) == BASE_INPUT) {
            base_error_clear();
            rc = BASE_OK;
        }
        base_free(text);
        if (rc)
            return rc;
    }
}

int ladder_let_go(const struct ladder *l)
{
    return say(l, NULL);
}

/* ---- the study ------------------------------------------------------------------------ */

static const struct search_finalist *find(const struct ladder *l, int trial, int rung, const char *recipe)
{
    for (int i = 0; i < l->done.n; i++) {
        const struct search_finalist *f = &l->done.finalist[i];
        if (f->parent == trial && f->rung == rung && f->state != SEARCH_RUNNING && !strcmp(f->recipe, recipe))
            return f;
    }
    return NULL;
}

static int remember(struct contender *out, const struct search_finalist *f, const char *name, const struct compress_recipe *recipe)
{
    *out = (struct contender){ .trial = f->parent, .test_top1 = -1 };
    if (f->state == SEARCH_FAILED)
        return base_fail(BASE_INPUT, "%s", f->error);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->known = true;
    out->finalist = f->id;
    out->val_top1 = f->top1;
    out->val_images = f->images;
    out->model_cycles = f->cycles;
    out->size_bytes = f->size_bytes;
    int rc = compress_recipe_copy(&out->recipe, recipe);
    if (rc)
        contender_free(out);
    return rc;
}

/* The row is there as `running` before the work and gets its outcome after it. */
static int build_row(struct ladder *l, struct contender *out, struct search_finalist *f, const char *name, const char *label, const struct compress_recipe *recipe)
{
    double start = base_seconds();
    int rc = base_stop_requested() ? base_fail(BASE_STOPPED, "stopped among the finalists") : search_study_finalist_begin(l->study, f);
    if (rc)
        return rc;
    rc = build(l, out, name, label, f->parent, recipe, l->resume);
    if (rc && rc != BASE_INPUT)
        return rc;
    f->wall_s = base_seconds() - start;
    f->state = rc ? SEARCH_FAILED : SEARCH_DONE;
    f->error = rc ? base_error() : "";
    if (!rc) {
        out->finalist = f->id;
        f->images = out->val_images;
        f->top1 = out->val_top1;
        f->loss = l->float_held - out->val_top1;
        f->cycles = out->model_cycles;
        f->cycles_source = "model";
        f->board = out->hw->name;
        f->size_bytes = out->size_bytes;
    }
    int noted = search_study_finalist_finish(l->study, f);
    if (noted && !rc)
        contender_free(out);
    return noted ? noted : rc;
}

/* One rung: read from the study, or built and written to it. BASE_INPUT: it cannot be built. */
static int step(struct ladder *l, struct contender *out, const char *name, const char *label, int trial, struct compress_recipe *recipe, int rung)
{
    ladder_treat(recipe, l->config, rung);
    char *text = compress_recipe_text(recipe, compress_cache_layers(l->cache));
    if (!text)
        return BASE_NOMEM;
    const struct search_finalist *known = find(l, trial, rung, text);
    struct search_finalist f = { .parent = trial, .rung = rung, .name = name, .recipe = text };
    int rc = known ? remember(out, known, name, recipe) : build_row(l, out, &f, name, label, recipe);
    base_free(text);
    return rc;
}

/* ---- climbing --------------------------------------------------------------------------- */

static bool keeps_limit(const struct ladder *l, const struct contender *c)
{
    return !l->cycles_limit || c->model_cycles <= l->cycles_limit;
}

/* *c becomes `tuned`, where that is more accurate; training moves weights, and may make planes present that were absent:
 * what keeps the limit goes before what does not. `tuned` is used up. */
static void take_better(const struct ladder *l, struct contender *c, struct contender *tuned)
{
    bool better = tuned->val_top1 > c->val_top1;
    if (keeps_limit(l, tuned) != keeps_limit(l, c)) {
        base_log("%s: %lld cycles after fine-tuning, %lld before, the limit is %lld: it stays as it was %s", c->name, (long long)tuned->model_cycles, (long long)c->model_cycles, (long long)l->cycles_limit,
                 keeps_limit(l, c) ? "before" : "after");
        better = keeps_limit(l, tuned);
    }
    contender_free(better ? c : tuned);
    if (better)
        *c = *tuned;
}

int ladder_climb(struct ladder *l, struct contender *out, const char *name, const char *label, int trial, struct compress_recipe *recipe)
{
    struct contender tuned = { 0 };
    *out = (struct contender){ 0 };
    int rc = step(l, out, name, label, trial, recipe, SEARCH_CHEAP);
    if (!rc && l->config->finetune.epochs)
        rc = step(l, &tuned, name, label, trial, recipe, SEARCH_SHORT);
    if (rc == BASE_INPUT && out->known) {
        base_error_clear();            /* it can be built as it is */
        rc = BASE_OK;
    }
    if (!rc && tuned.known) {
        base_log("%s: %.2f %% of %d held-out images, %.2f %% before", label, 100 * tuned.val_top1, tuned.val_images, 100 * out->val_top1);
        take_better(l, out, &tuned);
    }
    if (rc)
        contender_free(out);
    if (rc != BASE_INPUT)
        return rc;
    base_warn("%s is left out: %s", label, base_error());
    base_error_clear();
    return BASE_OK;
}

int ladder_top(struct ladder *l, struct contender *c, const char *label)
{
    struct contender tuned = { 0 };
    struct compress_recipe recipe;
    if (!c->known || !l->config->finetune.full)
        return BASE_OK;
    int rc = compress_recipe_copy(&recipe, &c->recipe);
    if (rc)
        return rc;
    rc = step(l, &tuned, c->name, label, c->trial, &recipe, SEARCH_FULL);
    compress_recipe_free(&recipe);
    if (rc == BASE_INPUT) {
        base_error_clear();            /* it stays as it is */
        return BASE_OK;
    }
    if (rc)
        return rc;
    base_log("%s: %.2f %% of %d held-out images, %.2f %% before", label, 100 * tuned.val_top1, tuned.val_images, 100 * c->val_top1);
    take_better(l, c, &tuned);
    return BASE_OK;
}

int ladder_build(struct ladder *l, struct contender *c)
{
    if (!c->known || c->net)
        return BASE_OK;
    struct contender built;
    int rc = build(l, &built, c->name, c->name, c->trial, &c->recipe, true);
    if (rc)
        return rc;
    built.finalist = c->finalist;
    contender_free(c);
    *c = built;
    return BASE_OK;
}

int ladder_measured(struct ladder *l, const struct contender *c)
{
    return c->finalist && c->score ? search_study_finalist_cycles(l->study, c->finalist, c->score->cycles, c->score->cycles_source) : BASE_OK;
}
