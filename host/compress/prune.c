/* prune.c: from a recipe's `keep` to a network with fewer channels: plan, learner, removal. */
#include "compress/prune.h"

#include <string.h>

static const struct { const char *name; int (*run)(struct prune_job *j); } learners[] = {
    [COMPRESS_PRUNE_L1] = { "magnitude-l1", prune_l1 },
    [COMPRESS_PRUNE_L2] = { "magnitude-l2", prune_l2 },
    [COMPRESS_PRUNE_BN] = { "bn-scale", prune_bn },
    [COMPRESS_PRUNE_LASSO] = { "lasso", prune_lasso },
    [COMPRESS_PRUNE_DCP] = { "dcp", prune_dcp },
};

const char *compress_prune_name(enum compress_prune_method m)
{
    return (unsigned)m < BASE_COUNT(learners) ? learners[m].name : NULL;
}

int compress_prune_find(enum compress_prune_method *out, const char *name)
{
    struct base_text known = { 0 };
    for (int i = 0; i < BASE_COUNT(learners); i++) {
        if (!strcmp(learners[i].name, name)) {
            *out = (enum compress_prune_method)i;
            base_text_free(&known);
            return BASE_OK;
        }
        base_text_add(&known, "%s%s", i ? ", " : "", learners[i].name);
    }
    int rc = known.failed ? BASE_NOMEM : base_fail(BASE_INPUT, "'%.60s' is none of %s", name, known.s);
    base_text_free(&known);
    return rc;
}

/* ---- what learners share -------------------------------------------------------------- */

int prune_take_best(bool *keep, const struct prune_plan *p, int block, const double *score)
{
    int left = p->ch.size[block];
    for (; left > p->count[block]; left--) {
        int worst = -1;
        for (int u = 0; u < p->ch.n_unit; u++)
            if (p->ch.block[u] == block && keep[u] && (worst < 0 || score[u] <= score[worst]))
                worst = u;
        if (worst < 0)
            return base_fail(BASE_INTERNAL, "prune: a block has fewer units than it should");
        keep[worst] = false;
    }
    return BASE_OK;
}

static void zero_inputs(struct graph_node *n, int cin, int c)
{
    for (int64_t i = 0; i < (int64_t)n->shape.c * n->kh * n->kw; i++)
        n->weight[i * cin + c] = 0;
}

static void zero_channel(struct graph_node *n, int64_t per, int c)
{
    if (n->weight)
        memset(n->weight + c * per, 0, sizeof *n->weight * (size_t)per);
    if (n->bias)
        n->bias[c] = 0;
    if (n->gamma)
        n->gamma[c] = n->beta[c] = 0;
}

void prune_zero(const struct prune_job *j, int unit)
{
    for (int i = 0; i < j->now->n_node; i++) {
        struct graph_node *n = &j->now->node[i];
        int cin = n->n_in ? j->now->node[n->in[0]].shape.c : 0;
        for (int c = 0; c < n->shape.c; c++)
            if (graph_unit(&j->plan->ch, i, c) == unit)
                zero_channel(n, (int64_t)n->kh * n->kw * (n->depthwise ? 1 : cin), c);
        for (int c = 0; graph_mixes(n) && c < cin; c++)
            if (graph_unit(&j->plan->ch, n->in[0], c) == unit)
                zero_inputs(n, cin, c);
    }
}

/* ---- the whole way ---------------------------------------------------------------------- */

static int measure_batchnorms(struct graph *g, const struct compress_data *d, struct base_pool *pool, int images)
{
    struct nn *nn = NULL;
    struct nn_options o = NN_OPTIONS_INIT;
    o.pool = pool;
    int rc = nn_new(&nn, g, &o);
    if (!rc)
        rc = nn_batchnorm_reestimate(nn, &d->train, 0, images);
    nn_free(nn);
    return rc;
}

static int run_learner(struct graph **out, struct prune_job *j, enum compress_prune_method method)
{
    j->now = graph_clone(j->was);
    j->keep = BASE_NEW_N(bool, j->plan->ch.n_unit);
    int rc = j->now && j->keep ? BASE_OK : BASE_NOMEM;
    if (!rc)
        memset(j->keep, true, sizeof *j->keep * (size_t)j->plan->ch.n_unit);
    if (!rc)
        rc = learners[method].run(j);
    if (!rc)
        rc = graph_remove_channels(out, j->now, &j->plan->ch, j->keep);
    graph_free(j->now);
    base_free(j->keep);
    return rc;
}

static int prune_channels(struct graph **out, struct graph *g, const struct graph_layers *ls, const struct compress_recipe *r, const struct compress_data *d, struct base_pool *pool)
{
    struct prune_plan plan;
    int rc = prune_plan_new(&plan, g, ls);
    if (rc)
        return rc;
    prune_plan_counts(&plan, r);
    struct prune_job j = { .was = g, .layers = ls, .plan = &plan, .data = d, .pool = pool };
    if (prune_plan_removes(&plan))
        rc = run_learner(out, &j, r->prune.method);
    prune_plan_free(&plan);
    return rc;
}

/* Channels of what is `left` of g without branches. */
static int prune_rest(struct graph **out, struct graph *left, const struct graph *g, const struct graph_layers *ls, const struct compress_recipe *r, const struct compress_data *d, struct base_pool *pool)
{
    struct graph_layers left_ls;
    struct compress_recipe narrow;
    int rc = graph_make_layers(left, &left_ls);
    if (rc || (rc = compress_recipe_copy(&narrow, r)))
        return rc;
    if (!(rc = prune_narrow(&narrow, g, ls, left, &left_ls)))
        rc = prune_channels(out, left, &left_ls, &narrow, d, pool);
    compress_recipe_free(&narrow);
    return rc;
}

int prune_graph(struct graph **out, struct graph *g, const struct graph_layers *ls, const struct compress_recipe *r, const struct compress_data *d, struct base_pool *pool, int batchnorm_images)
{
    struct graph *left;
    *out = NULL;
    int rc = prune_branches(&left, g, ls, r);
    if (!rc)
        rc = left ? prune_rest(out, left, g, ls, r, d, pool) : prune_channels(out, g, ls, r, d, pool);
    if (!rc && !*out) {
        *out = left;
        left = NULL;
    }
    graph_free(left);
    if (!rc && *out && batchnorm_images > 0 && d->train.fill)
        rc = measure_batchnorms(*out, d, pool, batchnorm_images);
    if (rc) {
        graph_free(*out);
        *out = NULL;
    }
    return rc;
}
