/* compress: the main job. Float network, search over recipes with every candidate scored on the
 * accelerator, fine-tuning of the best few beside their uniform rivals, one choice on held-out
 * images, then - once - the test images, the report and the pack. */
#include <stdlib.h>
#include <string.h>

#include "cmd/candidate.h"
#include "cmd/cmd.h"
#include "cmd/contender.h"
#include "cmd/crew.h"
#include "cmd/ladder.h"
#include "cmd/outcome.h"
#include "cmd/pipeline.h"
#include "cmd/ranks.h"
#include "cmd/run_config.h"
#include "cmd/space.h"
#include "cmd/target.h"
#include "device/remote.h"
#include "onnx/onnx.h"

enum { MAX_SETTINGS = 64, MAX_TRIALS = 1000000 };

struct run {
    const struct cmd *cmd;
    struct run_config config;
    bool resume;
    struct hw hw;                    /* the board as its file has it */
    struct hw shape[HW_MAX_SHAPES];  /* the arrays to choose from: that one, or with `hardware: search` what fits */
    struct contender_arrays arrays;
    struct contender_scorer scorer;
    struct base_pool *pool;
    struct pipeline_data data;
    uint64_t images_hash;            /* of the training images */
    struct graph *graph;             /* the float network */
    struct pipeline_bench bench;
    struct search_study *study;
    struct target target;
    const char *input;               /* YAML with the preprocessing, NULL: the model's own */
    struct space space;
    struct candidate_bench judged_by;
    struct candidate_queue *queue;   /* of a search with boards */
    struct dist *dist;
    struct crew *crew;               /* of a search by several ranks */
    bool alone;                      /* rank 0 fine-tunes by itself */
    struct dist_gradients *gradients; /* of their fine-tuning */
    double float_val;                /* on the images that candidates are judged by */
    double float_held;               /* on all held-out images, which finalists are judged by */
    char *cache_dir;
    struct search_trials trials;
    struct ladder ladder;
    struct contender uniform8, uniform, searched;
    bool searched_is_uniform;        /* then `searched` shares what `uniform` owns, but the score */
    struct outcome outcome;
    bool qonnx;
};

static const struct graph_layers *layers_of(const struct run *r)
{
    return compress_cache_layers(r->bench.cache);
}

static char *file_in(const struct run *r, const char *name)
{
    return base_format("%s/%s", r->config.out, name);
}

/* ---- the study ------------------------------------------------------------------------ */

/* How many trials are in flight where the configuration does not say: as many as when the study began; of a new one, two
 * for each rank; or one for each board and one for the host. */
static int set_parallel(struct run *r)
{
    long *n = &r->config.search.parallel;
    char *was = NULL;
    if (*n)
        return BASE_OK;
    int rc = r->resume ? search_study_get(r->study, "config.search.parallel", &was) : BASE_OK;
    *n = was ? BASE_MIN(BASE_MAX(strtol(was, NULL, 10), 1), SEARCH_MAX_PARALLEL)
       : dist_ranks(r->dist) > 1 ? BASE_MIN(2 * dist_ranks(r->dist), SEARCH_MAX_PARALLEL) : 1 + r->config.remote.commands.n;
    base_free(was);
    return rc;
}

/* What trials depend on; the study refuses to go on under another configuration. */
static int bind_study(struct run *r)
{
    struct search_setting s[MAX_SETTINGS];
    struct base_text key[MAX_SETTINGS] = { 0 }, value[MAX_SETTINGS] = { 0 };
    int n = 0, rc = BASE_OK;
    bool shapes_trials;
    for (int i = 0; i < MAX_SETTINGS - 3 && run_config_item(&r->config, i, &key[i], &value[i], &shapes_trials); i++) {
        if (key[i].failed || value[i].failed)
            rc = BASE_NOMEM;
        if (shapes_trials)
            s[n++] = (struct search_setting){ key[i].s, value[i].s };
    }
    s[n++] = (struct search_setting){ "input", r->config.input ? r->config.input : r->input ? r->input : "as the model says" };
    char limit[24], hardware[160];
    const struct hw *h = &r->hw;     /* what the board's file says of cycles and of the limit */
    uint64_t arrays = r->arrays.hw[0].hash;
    for (int i = 1; i < r->arrays.n; i++)
        arrays = base_hash64(arrays, &r->arrays.hw[i].hash, sizeof arrays);
    snprintf(limit, sizeof limit, "%lld", (long long)r->target.search.cycles_limit);
    snprintf(hardware, sizeof hardware, "%016llx, port %d x %d, latency %d and %d, %g GB/s at %g MHz", (unsigned long long)arrays, h->port_bits, h->burst_beats, h->read_latency,
             h->write_latency, h->port_gbytes_s, h->clock_mhz);
    s[n++] = (struct search_setting){ "cycles limit", limit };
    s[n++] = (struct search_setting){ "board file", hardware };
    if (!rc)
        rc = search_study_bind(r->study, s, n);
    for (int i = 0; i < MAX_SETTINGS; i++) {
        base_text_free(&key[i]);
        base_text_free(&value[i]);
    }
    return rc;
}

static int open_study(struct run *r)
{
    char *path = file_in(r, "study.db");
    if (!path)
        return BASE_NOMEM;
    bool there = base_file_exists(path);
    r->resume = r->resume && there;  /* without its study, what else lies there is not this run's */
    int rc = search_study_open(&r->study, path, r->resume ? SEARCH_RESUME : SEARCH_CREATE);
    if (!rc)
        rc = set_parallel(r);
    if (!rc)
        rc = bind_study(r);
    base_free(path);
    return rc;
}

/* The first run notes a hash, a resumed one must have the same: what files hold, the settings do not say. */
static int bind_hash(struct run *r, const char *key, uint64_t hash, const char *file, const char *what)
{
    char text[24], *noted = NULL;
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    int rc = search_study_get(r->study, key, &noted);
    if (!rc && noted && strcmp(noted, text))
        rc = base_hint(base_fail(BASE_INPUT, "%s: not the %s that this study began with", file, what), "restore it, or start anew in another folder (out)");
    if (!rc && !noted)
        rc = search_study_set(r->study, key, text);
    base_free(noted);
    return rc;
}

static int bind_float(struct run *r, const char *path)
{
    uint8_t *bytes;
    size_t len;
    int rc = base_file_read(&bytes, &len, path, ONNX_MAX_BYTES);
    if (rc)
        return rc;
    uint64_t hash = base_hash64(0, bytes, len);
    base_free(bytes);
    return bind_hash(r, "float_hash", hash, path, "network");
}

/* The images, and how their pixels become the network's input. */
static int bind_images(struct run *r)
{
    const struct graph_prep *p = &r->graph->prep;
    uint64_t input = base_hash64(base_hash64(base_hash64(0, &p->scale, sizeof p->scale), p->mean, sizeof *p->mean * (size_t)p->n), p->std, sizeof *p->std * (size_t)p->n);
    int rc = bind_hash(r, "images_hash", r->images_hash, r->config.data, "set of training images");
    return rc ? rc : bind_hash(r, "input_hash", input, r->input ? r->input : r->config.model, "preprocessing");
}

/* ---- the float network ------------------------------------------------------------------ */

static int train_float(struct run *r, const char *path)
{
    double start = base_seconds();
    int rc = pipeline_train(r->graph, &r->config, &r->data, r->pool, r->config.out, r->resume, NULL);
    if (!rc)
        rc = onnx_write(r->graph, path);
    outcome_time(&r->outcome, "train", base_seconds() - start);
    return rc;
}

/* The network that the configuration names, and images that fit it. */
static int open_inputs(struct run *r)
{
    const struct run_config *c = &r->config;
    r->pool = base_pool_new((int)r->cmd->threads);
    int rc = r->pool ? pipeline_model(&r->graph, c->model, r->input) : BASE_NOMEM;
    if (!rc)
        rc = pipeline_images_check(r->graph, c->data, DATA_TEST);
    if (!rc)
        rc = pipeline_data_open(&r->data, r->graph, c->data, (int)c->held_out, (uint64_t)c->seed, r->pool);
    r->config.held_out = rc ? c->held_out : r->data.n_val;
    if (!rc)
        r->images_hash = ranks_data_hash(&r->data.train);
    return rc;
}

/* A built-in network is trained and from then on read from its file, as any other. */
static int float_network(struct run *r)
{
    const char *model = r->config.model;
    char *trained = file_in(r, "model.onnx");
    if (!trained)
        return BASE_NOMEM;
    bool built_in = !pipeline_is_file(model);
    const char *path = built_in ? trained : model;
    int rc = BASE_OK;
    if (built_in && !(r->resume && base_file_exists(trained)))
        rc = train_float(r, trained);
    if (!rc && built_in) {
        graph_free(r->graph);
        r->graph = NULL;
        rc = onnx_read(&r->graph, path);
    }
    if (!rc)
        rc = bind_float(r, path);
    struct nn_result v;
    int n = BASE_MIN((int)r->config.search.validation, r->data.n_val);
    if (!rc)
        rc = pipeline_eval_float(r->graph, r->data.val_pixels, r->data.val_label, n, r->pool, &v, NULL);
    if (!rc) {
        r->float_val = r->float_held = v.top1;
        base_log("float network: %.2f %% of %d held-out images", 100 * v.top1, n);
    }
    if (!rc && n < r->data.n_val) {
        rc = pipeline_eval_float(r->graph, r->data.val_pixels, r->data.val_label, r->data.n_val, r->pool, &v, NULL);
        r->float_held = v.top1;
    }
    base_free(trained);
    return rc;
}

/* What the other ranks need of rank 0's: what the network is worth, the images' hash, and the network if rank 0 has trained one. */
struct hello { double float_val; uint64_t images; };

static int write_hello(struct base_text *t, const struct run *r)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    const struct hello h = { r->float_val, r->images_hash };
    char *path = file_in(r, "model.onnx");
    int rc = !path ? BASE_NOMEM : pipeline_is_file(r->config.model) ? BASE_OK : base_file_read(&bytes, &len, path, ONNX_MAX_BYTES);
    base_text_add_bytes(t, &h, sizeof h);
    base_text_add_bytes(t, bytes, len);
    base_free(bytes);
    base_free(path);
    return rc ? rc : t->failed ? BASE_NOMEM : BASE_OK;
}

static int read_hello(struct run *r, const char *bytes, size_t n)
{
    struct hello h;
    char *mine = base_format("%s/rank-%d.onnx", r->config.out, dist_rank(r->dist));
    int rc = mine ? BASE_OK : BASE_NOMEM;
    memcpy(&h, bytes, sizeof h);
    r->float_val = h.float_val;
    if (!rc && h.images != r->images_hash)
        rc = base_hint(base_fail(BASE_INPUT, "this rank has another set of training images than rank 0"), "every rank needs the same program, configuration and data");
    if (!rc && n > sizeof h) {
        graph_free(r->graph);
        r->graph = NULL;
        rc = base_file_write(mine, bytes + sizeof h, n - sizeof h);
        rc = rc ? rc : onnx_read(&r->graph, mine);
        remove(mine);
    }
    base_free(mine);
    return rc;
}

/* ---- the search --------------------------------------------------------------------------- */

static struct compress_options cheap_options(const struct run *r)
{
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    o.batchnorm_images = (int)r->config.search.batchnorm;
    o.val_images = (int)r->config.search.validation;
    return o;
}

static int64_t cost(void *ctx, const int *genes)
{
    struct run *r = ctx;
    struct compress_recipe recipe;
    int rc = space_recipe(&recipe, &r->space, genes);
    if (rc)
        return rc;
    int64_t cycles = contender_model_cycles(&recipe, r->bench.cache, r->arrays);
    compress_recipe_free(&recipe);
    return cycles == BASE_INPUT ? SEARCH_UNBUILDABLE : cycles;
}

/* Nothing here is random: the seeds of trials are not used. */
static int evaluate(void *ctx, const int *genes, uint64_t seed, struct search_result *out)
{
    const struct run *r = ctx;
    (void)seed;
    return candidate_evaluate(&r->judged_by, genes, out);
}

static int start(void *ctx, int id, const int *genes, uint64_t seed, double hopeless_below)
{
    const struct run *r = ctx;
    (void)seed;
    return r->crew ? crew_start(r->crew, id, genes, hopeless_below) : candidate_start(r->queue, id, genes, hopeless_below);
}

static int collect(void *ctx, int id, struct search_result *out)
{
    const struct run *r = ctx;
    return r->crew ? crew_collect(r->crew, id, out) : candidate_collect(r->queue, id, out);
}

static int space_range_of(struct space_range *out, const struct run *r)
{
    const struct run_config *c = &r->config;
    *out = (struct space_range){ .w_min = (int)c->search.w_min, .w_max = (int)c->search.w_max, .a_min = (int)c->search.a_min, .a_max = (int)c->search.a_max, .n_keep = c->search.keep.n };
    memcpy(out->keep, c->search.keep.v, sizeof *out->keep * (size_t)out->n_keep);
    out->tied = !strcmp(c->search.tied, "stage") ? SPACE_STAGE : !strcmp(c->search.tied, "network") ? SPACE_NETWORK : SPACE_FREE;
    out->n_sparsity = c->search.sparsity.n;
    memcpy(out->sparsity, c->search.sparsity.v, sizeof *out->sparsity * (size_t)out->n_sparsity);
    out->sparsify = (struct compress_sparsify)COMPRESS_SPARSIFY_INIT;
    out->sparsify.structure = strcmp(c->search.structure, "block") ? COMPRESS_UNSTRUCTURED : COMPRESS_BLOCK;
    out->n_levels = c->search.levels.n;
    for (int i = 0; i < out->n_levels; i++)
        for (int k = COMPRESS_CODEBOOK; k <= COMPRESS_BASIS; k++)
            if (!strcmp(c->search.levels.v[i], compress_levels_name((enum compress_levels)k)))
                out->levels[i] = (enum compress_levels)k;
    out->prune.round = c->search.round ? (int)c->search.round : contender_channel_step(&r->hw);
    return compress_prune_find(&out->prune.method, c->search.prune);
}

static struct search_job search_job_of(struct run *r)
{
    const struct run_config *c = &r->config;
    return (struct search_job){ .space = &r->space.search, .objective = r->target.search, .agent = c->search.agent, .from = strcmp(c->search.start, "uniform") ? SEARCH_FROM_SENSITIVITIES : SEARCH_FROM_UNIFORM, .seed = (uint64_t)c->seed,
                                .budget = (int)c->search.trials, .parallel = (int)c->search.parallel, .ctx = r, .evaluate = evaluate, .cost = cost };
}

static void set_bench(struct run *r)
{
    r->judged_by = (struct candidate_bench){ .space = &r->space, .cache = r->bench.cache, .arrays = r->arrays, .scorer = &r->scorer, .options = cheap_options(r), .pixels = r->data.val_pixels,
                                             .n_val = r->data.n_val, .float_val = r->float_val, .cache_dir = r->cache_dir };
}

/* By all ranks; or boards measure some candidates while the host judges another. */
static int search(struct run *r)
{
    struct search_job job = search_job_of(r);
    struct base_text hello = { 0 };
    int rc = dist_ranks(r->dist) > 1 ? write_hello(&hello, r) : BASE_OK;
    set_bench(r);
    if (!rc && dist_ranks(r->dist) > 1)
        rc = crew_new(&r->crew, r->dist, &r->judged_by, job.parallel, hello.s, hello.len);
    else if (!rc && r->scorer.boards && job.parallel > 1)
        rc = candidate_queue_new(&r->queue, &r->judged_by, job.parallel);
    if (r->crew || r->queue) {
        job.start = start;
        job.collect = collect;
    }
    base_text_free(&hello);
    if (!rc)
        rc = search_run(r->study, &job);
    r->alone = !r->config.finetune.epochs && !r->config.finetune.full;      /* there is nothing to share */
    if (!rc && r->crew)
        rc = crew_dismiss(r->crew, &r->alone);
    crew_free(r->crew);
    candidate_queue_free(r->queue);
    r->crew = NULL;
    r->queue = NULL;
    return rc;
}

/* Where hypervolume is measured from: chance, and the limit or the dearest uniform recipe. */
static int set_reference(struct run *r)
{
    struct search_objective *o = &r->target.search;
    struct search_pair pair[SEARCH_MAX_PAIRS];
    const struct search_job job = search_job_of(r);
    int n = 0, rc = o->cycles_limit ? BASE_OK : search_pairs(pair, &n, &job);
    o->reference_top1 = 1.0 / r->data.train.classes;
    o->reference_cycles = n ? pair[0].cycles : o->cycles_limit;
    if (!rc && !o->reference_cycles)
        rc = base_fail(BASE_INPUT, "no uniform recipe of these widths can be built: search.w_max or search.a_max would have to be smaller");
    return rc;
}

/* What candidates are made of and judged by: on every rank. */
static int open_bench(struct run *r)
{
    const struct run_config *c = &r->config;
    struct space_range range;
    int rc = pipeline_bench_open(&r->bench, r->graph, &r->data, (uint64_t)c->seed, (int)c->train.pad, c->train.flip, r->pool);
    if (!rc)
        rc = space_range_of(&range, r);
    return rc ? rc : space_make(&r->space, compress_cache_graph(r->bench.cache), layers_of(r), &range);
}

static int run_search(struct run *r)
{
    double start = base_seconds();
    int rc = open_bench(r);
    if (!rc && r->target.search.goal == SEARCH_PARETO)
        rc = set_reference(r);
    if (!rc)
        rc = search(r);
    if (!rc)
        rc = search_study_trials(r->study, &r->trials);
    outcome_time(&r->outcome, "search", base_seconds() - start);
    return rc;
}

/* ---- which of two fine-tuned networks ------------------------------------------------------------ */

/* It loses no more than is allowed, on all held-out images. */
static bool within_loss(const struct run *r, const struct contender *c)
{
    return r->float_held - c->val_top1 <= r->target.loss_max + 1e-9;
}

/* For a latency the more accurate one; for a loss the faster of those within it, else the more accurate. */
static bool is_better(const struct run *r, const struct contender *a, const struct contender *b)
{
    if (r->target.search.goal == SEARCH_MIN_CYCLES) {
        if (within_loss(r, a) != within_loss(r, b))
            return within_loss(r, a);
        if (within_loss(r, a))
            return a->model_cycles < b->model_cycles;
    }
    return a->val_top1 > b->val_top1;
}

/* Keep the better of two within the limit of cycles; on a tie the one that came first. */
static void keep_better(const struct run *r, struct contender *best, struct contender *c)
{
    if (!c->known)
        return;
    const int64_t limit = r->target.search.cycles_limit;
    if (limit && c->model_cycles > limit) {        /* planes that were alike, or absent, before its weights moved */
        base_warn("%s is left out: with its final weights it takes %lld cycles, the limit is %lld", c->name, (long long)c->model_cycles, (long long)limit);
        contender_free(c);
        return;
    }
    if (best->known && !is_better(r, c, best)) {
        contender_free(c);
        return;
    }
    contender_free(best);
    *best = *c;
}

/* ---- which networks are finalists ----------------------------------------------------------------- */

/* What may be fine-tuned: a trial, or a uniform pair (trial -1), as the cheap rung judged it. */
struct choice { int trial, w, a; int64_t cycles; double val; };

static int finalist_uniform(struct run *r, struct contender *out, const char *name, int w, int a)
{
    struct compress_recipe recipe;
    int rc = compress_recipe_default(&recipe, compress_cache_graph(r->bench.cache), layers_of(r), w, a);
    if (rc)
        return rc;
    char label[48];
    snprintf(label, sizeof label, "fine-tune uniform w%d a%d", w, a);
    rc = ladder_climb(&r->ladder, out, name, label, -1, &recipe);
    compress_recipe_free(&recipe);
    return rc;
}

static int finalist_trial(struct run *r, struct contender *out, int trial)
{
    struct compress_recipe recipe;
    char label[48];
    snprintf(label, sizeof label, "fine-tune trial %d", trial);
    int rc = space_recipe(&recipe, &r->space, r->trials.trial[trial].genes);
    if (rc)
        return rc;
    rc = ladder_climb(&r->ladder, out, "searched", label, trial, &recipe);
    compress_recipe_free(&recipe);
    return rc;
}

static int finalist_choice(struct run *r, struct contender *out, const struct choice *c)
{
    char name[32];
    if (c->trial >= 0)
        return finalist_trial(r, out, c->trial);
    snprintf(name, sizeof name, "best uniform (w%d a%d)", c->w, c->a);
    return finalist_uniform(r, out, name, c->w, c->a);
}

/* The most accurate first; of equal ones the one that was there first. */
static int by_val(const void *x, const void *y)
{
    const struct choice *a = x, *b = y;
    if (a->val != b->val)
        return a->val < b->val ? 1 : -1;
    if (a->cycles != b->cycles)
        return a->cycles > b->cycles ? 1 : -1;
    return (a->trial > b->trial) - (a->trial < b->trial);
}

/* For a latency: the best few. */
static int most_accurate(struct run *r, struct contender *best, struct choice *choice, int n)
{
    int rc = BASE_OK;
    qsort(choice, (size_t)n, sizeof *choice, by_val);
    for (int k = 0; !rc && k < BASE_MIN(n, (int)r->config.finetune.top); k++) {
        struct contender c;
        rc = finalist_choice(r, &c, &choice[k]);
        if (!rc)
            keep_better(r, best, &c);
    }
    return rc;
}

static int by_cycles(const void *x, const void *y)
{
    const struct choice *a = x, *b = y;
    if (a->cycles != b->cycles)
        return a->cycles > b->cycles ? 1 : -1;
    return by_val(x, y);
}

/* For a loss: bisection along the front, from the fastest that the cheap rung calls good enough. What is slower is more
 * accurate, before fine-tuning and, nearly always, after it. */
static int fastest(struct run *r, struct contender *best, struct choice *choice, int n)
{
    int front = 0, rc = BASE_OK;
    qsort(choice, (size_t)n, sizeof *choice, by_cycles);
    for (int i = 0; i < n; i++)
        if (!front || choice[i].val > choice[front - 1].val)
            choice[front++] = choice[i];
    int lo = 0, hi = front - 1, at = 0;
    while (at < hi && r->float_val - choice[at].val > r->target.search.loss_max)
        at++;
    for (int k = 0; !rc && k < (int)r->config.finetune.top && lo <= hi; k++) {
        struct contender c;
        rc = finalist_choice(r, &c, &choice[at]);
        if (rc)
            return rc;
        if (c.known && within_loss(r, &c))
            hi = at - 1;
        else
            lo = at + 1;
        keep_better(r, best, &c);
        at = (lo + hi + 1) / 2;
    }
    return rc;
}

static int run_choices(struct run *r, struct contender *best, struct choice *choice, int n)
{
    return r->target.search.goal == SEARCH_MIN_CYCLES ? fastest(r, best, choice, n) : most_accurate(r, best, choice, n);
}

static int finalists_of_search(struct run *r)
{
    const struct search_objective *goal = &r->target.search;
    int n = r->trials.n, failed = 0, kept = 0, rc;
    const char *why = "";
    for (int i = 0; i < n; i++)
        if (r->trials.trial[i].state == SEARCH_FAILED) {
            why = r->trials.trial[i].error;
            failed++;
        }
    if (n && failed == n)
        return base_fail(BASE_TARGET, "none of %d candidates can be built; the last: %s", n, why);
    int best = search_best(goal, &r->trials);
    if (goal->goal == SEARCH_MAX_TOP1 && best < 0)
        return base_fail(BASE_TARGET, "none of %d candidates meets the limit of %lld cycles", r->trials.n, (long long)goal->cycles_limit);
    if (goal->goal == SEARCH_PARETO)
        return best < 0 ? base_fail(BASE_TARGET, "none of %d candidates keeps the loss", r->trials.n) : finalist_trial(r, &r->searched, best);
    struct choice *choice = BASE_NEW_N(struct choice, n + 1);
    if (!choice)
        return BASE_NOMEM;
    for (int i = 0; i < n; i++) {
        const struct search_trial *t = &r->trials.trial[i];
        if (t->state == SEARCH_DONE && t->rung >= SEARCH_CHEAP && (t->feasible || goal->goal == SEARCH_MIN_CYCLES))
            choice[kept++] = (struct choice){ .trial = t->id, .cycles = t->cycles, .val = t->top1 };
    }
    rc = run_choices(r, &r->searched, choice, kept);
    base_free(choice);
    return rc;
}

/* Uniform (w, a) pairs, judged as candidates are. */
static int uniform_rivals(struct run *r, struct choice *choice, int *n)
{
    struct search_pair pair[SEARCH_MAX_PAIRS];
    const struct compress_options o = cheap_options(r);
    const struct search_job job = search_job_of(r);
    int rc = search_pairs(pair, n, &job);
    for (int i = 0; !rc && i < *n; i++) {
        struct compress_recipe recipe;
        struct nn_result val;
        rc = compress_recipe_default(&recipe, compress_cache_graph(r->bench.cache), layers_of(r), pair[i].w, pair[i].a);
        if (rc)
            break;
        rc = compress_evaluate(&val, NULL, r->bench.cache, &recipe, &o);
        compress_recipe_free(&recipe);
        choice[i] = (struct choice){ .trial = -1, .w = pair[i].w, .a = pair[i].a, .cycles = pair[i].cycles, .val = val.top1 };
    }
    return rc;
}

/* Uniform pairs get what candidates get. */
static int finalists_of_uniform(struct run *r)
{
    struct choice choice[SEARCH_MAX_PAIRS];
    int n = 0, rc = uniform_rivals(r, choice, &n);
    return rc ? rc : run_choices(r, &r->uniform, choice, n);
}

/* A network that fits at few bits only is compressed without this row of the table. */
static bool has_uniform8(struct run *r)
{
    int genes[SEARCH_MAX_DIMS];
    for (int i = 0; i < r->space.search.n; i++)
        genes[i] = SEARCH_MAX_BITS;
    if (cost(r, genes) != SEARCH_UNBUILDABLE)
        return true;
    base_warn("uniform 8 bit is left out: %s", base_error());
    base_error_clear();
    return false;
}

/* Uniform recipes are candidates too: the search's answer is never worse, on the held-out images, than the
 * best of them. */
static void adopt_uniform(struct run *r)
{
    if (!r->uniform.known || (r->searched.known && !is_better(r, &r->uniform, &r->searched)))
        return;
    contender_free(&r->searched);
    r->searched = r->uniform;
    snprintf(r->searched.name, sizeof r->searched.name, "searched");
    r->searched_is_uniform = true;
}

/* ---- the trade-off --------------------------------------------------------------------------------- */

/* DIR/front/trial-N.yaml with what a finalist gets, for `bitpress apply`; there is none for a trial off the front. */
static int write_point(struct run *r, const struct search_trial *t, bool on_front)
{
    char *path = base_format("%s/front/trial-%d.yaml", r->config.out, t->id);
    struct compress_recipe recipe;
    struct base_text text = { 0 };
    int rc = path ? BASE_OK : BASE_NOMEM;
    if (!rc && !on_front)
        remove(path);                  /* an earlier, shorter search had it there */
    if (rc || !on_front || (rc = space_recipe(&recipe, &r->space, t->genes))) {
        base_free(path);
        return rc;
    }
    ladder_treat(&recipe, &r->config, r->config.finetune.full ? SEARCH_FULL : r->config.finetune.epochs ? SEARCH_SHORT : SEARCH_CHEAP);
    char *yaml = compress_recipe_text(&recipe, layers_of(r));
    base_text_add(&text, "# trial %d: %.2f %% of the validation images before fine-tuning, %lld cycles (%s)\n%s", t->id, 100 * t->top1, (long long)t->cycles, t->cycles_source, yaml ? yaml : "");
    rc = yaml && !text.failed ? base_file_write(path, text.s, text.len) : BASE_NOMEM;
    base_free(yaml);
    base_text_free(&text);
    compress_recipe_free(&recipe);
    base_free(path);
    return rc;
}

static int write_front(struct run *r)
{
    const struct search_objective *o = &r->target.search;
    char *dir = file_in(r, "front");
    bool *front = BASE_NEW_N(bool, r->trials.n + 1);
    struct base_text note = { 0 };
    int count = 0, rc = dir && front ? base_mkdirs(dir) : BASE_NOMEM;
    if (!rc)
        search_pareto(&r->trials, front);
    for (int i = 0; !rc && i < r->trials.n; i++) {
        bool on_front = front[i] && r->trials.trial[i].feasible;
        rc = write_point(r, &r->trials.trial[i], on_front);
        count += on_front;
    }
    base_text_add(&note, "%.4f of %lld cycles x %.2f points above %.2f %%", search_hypervolume(o, &r->trials), (long long)o->reference_cycles, 100 * (1 - o->reference_top1), 100 * o->reference_top1);
    if (!rc)
        rc = note.failed ? BASE_NOMEM : search_study_set(r->study, "hypervolume", note.s);
    if (!rc)
        outcome_front(&r->outcome, count, note.s);
    base_text_free(&note);
    base_free(front);
    base_free(dir);
    return rc;
}

/* The top rung, alike for the answer and its rival; then the networks of those whose numbers alone were kept. */
static int climb_to_top(struct run *r)
{
    int rc = ladder_top(&r->ladder, &r->uniform, "fine-tune best uniform in full");
    if (!rc)
        rc = ladder_top(&r->ladder, &r->searched, "fine-tune searched in full");
    if (!rc)
        rc = ladder_build(&r->ladder, &r->uniform8);
    if (!rc)
        rc = ladder_build(&r->ladder, &r->uniform);
    if (!rc)
        adopt_uniform(r);
    return rc ? rc : ladder_build(&r->ladder, &r->searched);
}

/* What fine-tuning takes: on every rank. */
static int open_tuning(struct run *r)
{
    int rc = ranks_gradients(&r->gradients, r->dist, &r->config.distributed, r->config.seed);
    if (!rc)
        r->ladder = (struct ladder){ .config = &r->config, .cache = r->bench.cache, .arrays = r->arrays, .dist = r->dist, .ranks = r->alone ? NULL : dist_gradients_ranks(r->gradients) };
    return rc;
}

static int close_tuning(struct run *r)
{
    int rc = ladder_let_go(&r->ladder);
    if (!rc && dist_gradients_traffic(r->gradients).steps)
        ranks_log_traffic(r->dist, r->gradients);
    return rc;
}

static int run_finalists(struct run *r)
{
    double start = base_seconds();
    int rc = open_tuning(r);
    if (rc)
        return rc;
    r->ladder.study = r->study;
    r->ladder.float_held = r->float_held;
    r->ladder.cycles_limit = r->target.search.cycles_limit;
    r->ladder.resume = r->resume;
    rc = ladder_open(&r->ladder);
    if (!rc && has_uniform8(r))
        rc = finalist_uniform(r, &r->uniform8, "uniform 8 bit", 8, 8);
    /* uniform recipes are among the trials; of a trade-off none of them is the rival */
    if (!rc && r->target.search.goal != SEARCH_PARETO)
        rc = finalists_of_uniform(r);
    if (!rc)
        rc = finalists_of_search(r);
    if (!rc)
        rc = climb_to_top(r);
    if (!rc && r->target.search.goal == SEARCH_PARETO)
        rc = write_front(r);
    if (!rc)
        rc = close_tuning(r);
    if (!rc && !r->searched.net)
        rc = base_fail(BASE_TARGET, "none of the fine-tuned candidates can be built: search.w_max or search.a_max would have to be smaller");
    outcome_time(&r->outcome, "fine-tune", base_seconds() - start);
    return rc;
}

/* ---- the verdict ------------------------------------------------------------------------------- */

/* Every row is measured afresh, the chosen one on `verify` whole images: held-out ones, since a
 * choice that fails here must not have cost a look at the test images. */
static int measure(struct run *r)
{
    double start = base_seconds();
    const uint8_t *pixels = r->data.val_pixels;
    int images = BASE_MIN((int)r->config.verify, r->data.n_val), rc = BASE_OK;
    if (r->uniform8.net)
        rc = contender_score(&r->uniform8, &r->scorer, pixels, 1, NULL);
    if (!rc && r->uniform.net)
        rc = contender_score(&r->uniform, &r->scorer, pixels, 1, NULL);
    if (!rc)
        rc = contender_score(&r->searched, &r->scorer, pixels, images, NULL);
    if (!rc)
        rc = ladder_measured(&r->ladder, &r->uniform8);
    if (!rc)
        rc = ladder_measured(&r->ladder, &r->uniform);
    if (!rc)
        rc = ladder_measured(&r->ladder, &r->searched);
    int64_t limit = r->target.search.cycles_limit;
    if (!rc && limit && r->searched.score->cycles > limit)
        rc = base_fail(BASE_TARGET, "the chosen network takes %lld cycles, the limit is %lld", (long long)r->searched.score->cycles, (long long)limit);
    r->outcome.verified = images;
    outcome_time(&r->outcome, "verify", base_seconds() - start);
    return rc;
}

static int test_one(struct contender *c, const struct contender_exam *exam, struct base_text *text)
{
    if (!c->net)
        return BASE_OK;
    int rc = contender_test(c, exam);
    base_text_add(text, ", %s %.4f", c->name, c->test_top1);
    return rc;
}

/* The choice is in the study before the test images are looked at, and so is the look. */
static int run_test(struct run *r, const struct data_set *test)
{
    struct base_text chosen = { 0 }, result = { 0 };
    struct contender_exam exam = { 0 };
    int64_t id = 0;
    if (r->searched_is_uniform)
        base_text_add(&chosen, "%s", r->uniform.name);
    else
        base_text_add(&chosen, "trial %d", r->searched.trial);
    base_text_add(&chosen, ", finalist f%d: %.4f of %d held-out images", r->searched.finalist, r->searched.val_top1, r->data.n_val);
    int rc = chosen.failed ? BASE_NOMEM : search_study_set(r->study, "chosen", chosen.s);
    if (!rc)
        rc = search_study_test_open(r->study, "float, uniform 8 bit, best uniform, searched", &id);
    if (!rc)
        rc = contender_exam_open(&exam, r->graph, test->pixels, test->label, test->n, r->pool);
    if (!rc) {
        r->outcome.float_test = exam.float_top1;
        base_text_add(&result, "float %.4f", exam.float_top1);
        rc = test_one(&r->uniform8, &exam, &result);
    }
    if (!rc)
        rc = test_one(&r->uniform, &exam, &result);
    if (!rc)
        rc = test_one(&r->searched, &exam, &result);
    contender_exam_close(&exam);
    if (!rc)
        rc = search_study_test_result(r->study, id, result.s);
    if (!rc)
        rc = search_study_test_openings(r->study, &r->outcome.test_openings);
    base_text_free(&chosen);
    base_text_free(&result);
    return rc;
}

/* The last word has the test set, whatever the held-out images said. */
static int verdict(const struct run *r)
{
    double held = r->float_held - r->searched.val_top1, test = r->outcome.float_test - r->searched.test_top1;
    if (r->target.loss_max >= 1 || test <= r->target.loss_max + 1e-9)
        return BASE_OK;
    return base_fail(BASE_TARGET, "the network loses %.2f points on the test images (%.2f on the held-out ones), at most %.2f were asked for", 100 * test, 100 * held, 100 * r->target.loss_max);
}

static int finish(struct run *r, double start)
{
    struct data_set test = { 0 };
    struct outcome *o = &r->outcome;
    struct contender *row[3];
    struct search_finalists finalists = { 0 };
    int rc = measure(r);
    if (!rc)
        rc = search_study_finalists(r->study, &finalists);
    if (!rc)
        rc = pipeline_images_open(&test, r->graph, r->config.data, DATA_TEST, r->pool);
    if (!rc)
        rc = run_test(r, &test);
    char *config = rc ? NULL : run_config_text(&r->config);
    if (!rc && config) {
        o->baseline = r->uniform8.net ? 0 : -1;
        if (r->uniform8.net)
            row[o->n_row++] = &r->uniform8;
        if (r->uniform.net)
            row[o->n_row++] = &r->uniform;
        o->best = o->n_row;
        row[o->n_row++] = &r->searched;
        o->hw = r->searched.hw;
        o->array_searched = !strcmp(r->config.hardware, "search");
        o->row = row;
        o->cache = r->bench.cache;
        o->config = config;
        o->trials = &r->trials;
        o->goal = &r->target.search;
        o->space = &r->space;
        o->finalists = &finalists;
        o->test_images = test.n;
        o->wall_s = base_seconds() - start;
        rc = outcome_write(o, test.pixels);
        if (!rc)
            rc = outcome_print(o, r->cmd);
        if (!rc)
            rc = verdict(r);
    } else if (!rc) {
        rc = BASE_NOMEM;
    }
    base_free(config);
    search_finalists_free(&finalists);
    data_free(&test);
    return rc;
}

/* ---- the command ------------------------------------------------------------------------------------ */

/* What the command line says beside a configuration, or instead of one. */
struct wishes { const char *data, *input, *board, *out, *latency; double max_loss; long cycles, trials; bool pareto; };

static int load_config(struct run *r, const char *arg, const struct wishes *w)
{
    struct run_config *c = &r->config;
    bool model = pipeline_is_file(arg);
    if (model && !w->data)
        return base_hint(base_fail(BASE_INPUT, "compress: --data is missing"), "bitpress compress %s --data images:DIR --latency 1ms", arg);
    int rc = model ? run_config_of(c, arg, w->data, NULL) : run_config_load(c, arg);
    if (rc)
        return rc;
    if (!model)
        c->data = w->data ? w->data : c->data;
    c->board = w->board ? w->board : c->board;
    c->out = w->out ? w->out : c->out;
    r->input = w->input ? w->input : c->input ? c->path : NULL;
    if (w->input)
        c->input = NULL;
    if (w->latency || w->cycles > 0) {
        c->target.cycles = BASE_MAX(w->cycles, 0);
        c->target.latency_ms = 0;
    }
    if (w->latency && (rc = target_latency(&c->target.latency_ms, w->latency)))
        return rc;
    if (w->max_loss >= 0)
        c->target.max_loss = w->max_loss;
    if (w->pareto)
        c->target.objective = "pareto";
    if (w->trials > 0)
        c->search.trials = w->trials;
    return BASE_OK;
}

static int check_wishes(const struct wishes *w)
{
    if (w->latency && w->cycles >= 0)
        return base_fail(BASE_INPUT, "compress: give --latency or --cycles, not both");
    if (!w->trials || w->trials < -1 || w->trials > MAX_TRIALS)
        return base_fail(BASE_INPUT, "compress: --trials must be 1 to %d", MAX_TRIALS);
    if (!w->cycles || w->cycles < -1 || w->cycles > INT32_MAX)
        return base_fail(BASE_INPUT, "compress: --cycles must be 1 to %d", INT32_MAX);
    if (w->max_loss > 100 || (w->max_loss < 0 && w->max_loss != -1))
        return base_fail(BASE_INPUT, "compress: --max-loss must be 0 to 100 points");
    return BASE_OK;
}

static int choose_arrays(struct run *r)
{
    const char *by = r->config.search.backend;
    r->shape[0] = r->hw;
    r->arrays = (struct contender_arrays){ r->shape, 1 };
    if (strcmp(r->config.hardware, "search"))
        return BASE_OK;
    if (strcmp(by, "model") && strcmp(by, "verilator"))
        return base_hint(base_fail(BASE_INPUT, "'hardware: search' tries arrays that backend '%s' does not have", by), "search: {backend: verilator} or model");
    return hw_shapes(r->shape, &r->arrays.n, &r->hw);
}

static int prepare(struct run *r)
{
    int rc;
    if (r->cmd->seed >= 0)
        r->config.seed = r->cmd->seed;
    if ((rc = cmd_check_name("backend", r->config.search.backend, score_backends())) || (rc = cmd_check_name("agent", r->config.search.agent, search_agents())))
        return rc;
    if ((rc = hw_load(&r->hw, r->config.board)) || (rc = choose_arrays(r)) || (rc = target_make(&r->target, &r->config, &r->hw)) || (rc = base_out_folder(r->config.out)))
        return rc;
    r->scorer.backend = r->config.search.backend;
    if (r->config.remote.commands.n && (rc = remote_open(&r->scorer.boards, r->config.remote.commands.v, r->config.remote.commands.n, r->config.remote.deadline_s)))
        return rc;
    r->cache_dir = file_in(r, "cycles");
    return r->cache_dir ? BASE_OK : BASE_NOMEM;
}

static int compress(struct run *r)
{
    double start = base_seconds();
    char title[160], objective[200];
    const struct run_config *c = &r->config;
    snprintf(title, sizeof title, "%.60s on %.60s", c->model, r->hw.board);
    target_words(objective, &r->target, &r->hw);
    r->outcome = (struct outcome){ .title = title, .objective = objective, .dir = c->out, .data = c->data, .model = c->model, .hw = &r->hw, .seed = (uint64_t)c->seed, .qonnx = r->qonnx };
    int rc = open_study(r);
    if (!rc)
        rc = open_inputs(r);
    if (!rc)
        rc = bind_images(r);
    if (!rc)
        rc = float_network(r);
    if (!rc)
        rc = run_search(r);
    if (!rc)
        rc = run_finalists(r);
    if (!rc)
        rc = finish(r, start);
    if (rc == BASE_STOPPED && r->study && !*base_error_hint())
        base_hint(rc, "what is done is in %s: go on with --resume", c->out);
    return rc;
}

/* A rank's other than 0: what judging and fine-tuning take. */
static int open_member(struct run *r, const void *hello, size_t n)
{
    int rc = open_inputs(r);
    if (!rc)
        rc = read_hello(r, hello, n);
    if (!rc)
        rc = open_bench(r);
    if (!rc)
        set_bench(r);
    return rc;
}

/* In the process that judges. */
static int open_judge(void *ctx, const struct candidate_bench **out, const void *hello, size_t n)
{
    struct run *r = ctx;
    *out = &r->judged_by;
    return open_member(r, hello, n);
}

/* In the rank's own, which has ended that one. */
static int join_tuning(void *ctx, const void *hello, size_t n)
{
    struct run *r = ctx;
    int rc = open_member(r, hello, n);
    if (!rc)
        rc = open_tuning(r);
    return rc ? rc : ladder_join(&r->ladder);
}

static int open_ranks(struct run *r, struct cmd *c)
{
    int rc = ranks_open(&r->dist, c);
    if (!rc && dist_ranks(r->dist) > 1 && r->config.remote.commands.n)
        rc = base_hint(base_fail(BASE_INPUT, "boards of 'backend: remote' are reached by one process, not by the ranks of mpirun"), "run it without mpirun: all boards are busy at once");
    char *text = rc || dist_ranks(r->dist) == 1 ? NULL : run_config_text(&r->config);
    if (!rc && text)
        rc = ranks_same_job(r->dist, text, r->config.model);
    base_free(text);
    return rc;
}

static void run_free(struct run *r)
{
    ladder_close(&r->ladder);
    dist_gradients_free(r->gradients);
    remote_close(r->scorer.boards);
    contender_free(&r->uniform8);
    contender_free(&r->uniform);
    if (r->searched_is_uniform)
        base_free(r->searched.score);
    else
        contender_free(&r->searched);
    search_trials_free(&r->trials);
    search_study_close(r->study);
    pipeline_bench_free(&r->bench);
    pipeline_data_free(&r->data);
    graph_free(r->graph);
    base_pool_free(r->pool);
    base_free(r->cache_dir);
    run_config_free(&r->config);
}

int cmd_compress(int argc, char **argv)
{
    struct wishes w = { .max_loss = -1, .cycles = -1, .trials = -1 };   /* not given */
    bool resume = false, qonnx = false;
    const struct cmd_option options[] = {
        { "data", CMD_TEXT, &w.data, "SPEC", "idx:DIR, cifar10:DIR, images:DIR or npy:X,Y" },
        { "latency", CMD_TEXT, &w.latency, "TIME", "the most accurate network within it: 1ms, 250us" },
        { "cycles", CMD_INT, &w.cycles, "N", "the same in clock cycles" },
        { "max-loss", CMD_NUMBER, &w.max_loss, "POINTS", "at most so many points of top-1 less than in float; alone: the fastest such network" },
        { "pareto", CMD_FLAG, &w.pareto, NULL, "the trade-off of accuracy against cycles: a recipe for each point of the front, the pack of its knee" },
        { "board", CMD_TEXT, &w.board, "NAME", "board description (default pynq-z2)" },
        { "input", CMD_TEXT, &w.input, "FILE", "YAML with `input: {scale, mean, std}`: how pixels become the network's input" },
        { "out", CMD_TEXT, &w.out, "DIR", "where everything goes (default: the configuration's out, run)" },
        { "trials", CMD_INT, &w.trials, "N", "candidates in all (default: the configuration's search.trials, 48)" },
        { "resume", CMD_FLAG, &resume, NULL, "go on with an interrupted run" },
        { "qonnx", CMD_FLAG, &qonnx, NULL, "write best.qonnx.onnx as well: QONNX, with bit widths below 8" },
    };
    const struct cmd_usage u = { "MODEL.onnx --data SPEC --latency TIME | CONFIG",
                                 "The main job: search recipes for the target with the accelerator in the loop, fine-tune the best,\n"
                                 "verify; leaves best.bpk, best.onnx and report.html. A model, data and one limit are enough; a configuration\n"
                                 "(YAML) may say more, and have a built-in network trained first. An option overrides it. Started by mpirun, the\n"
                                 "ranks share the search's candidates and the fine-tuning.",
                                 options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    struct run *r = BASE_NEW(struct run);
    if (!r)
        return cmd_fail(BASE_NOMEM);
    r->cmd = &c;
    r->resume = resume;
    r->qonnx = qonnx;
    rc = check_wishes(&w);
    if (!rc)
        rc = load_config(r, c.arg[0], &w);
    if (!rc)
        rc = open_ranks(r, &c);
    if (!rc)
        rc = prepare(r);
    if (!rc)
        rc = dist_rank(r->dist) ? crew_serve(r->dist, &(struct crew_job){ open_judge, join_tuning, r }) : compress(r);
    struct dist *d = r->dist;
    run_free(r);
    base_free(r);
    return ranks_end(d, rc);
}
