/* prune_plan.c: how many channels stay, before anyone asks which: layers tied by channels that they
 * share, counts in steps of the array, the heuristic that spreads a share of multiply-accumulates. */
#include <math.h>
#include <string.h>

#include "compress/prune.h"

/* ---- ties ------------------------------------------------------------------------- */

void prune_plan_free(struct prune_plan *p)
{
    graph_channels_free(&p->ch);
    base_free(p->tie);
    base_free(p->layer);
    base_free(p->count);
    memset(p, 0, sizeof *p);
}

/* Layers with weights that have a removable block in common are one tie; union-find, the first one leads. */
static int leader(int *tie, int i)
{
    while (tie[i] != i)
        i = tie[i] = tie[tie[i]];
    return i;
}

static void tie_layer(struct prune_plan *p, const struct graph *g, const struct graph_layers *ls, int i)
{
    int node = ls->layer[i].out_node;
    p->tie[i] = -1;
    if (!ls->layer[i].has_weights)
        return;
    for (int c = 0; c < g->node[node].shape.c; c++) {
        int b = p->ch.block[graph_unit(&p->ch, node, c)];
        if (p->ch.fixed[b])
            continue;
        if (p->tie[i] < 0)
            p->tie[i] = i;
        if (p->layer[b] < 0)
            p->layer[b] = i;
        int a = leader(p->tie, p->layer[b]), z = leader(p->tie, i);
        p->tie[BASE_MAX(a, z)] = BASE_MIN(a, z);
    }
}

int prune_plan_new(struct prune_plan *p, const struct graph *g, const struct graph_layers *ls)
{
    memset(p, 0, sizeof *p);
    int rc = graph_channels_new(&p->ch, g);
    if (rc)
        return rc;
    p->n_layer = ls->n;
    p->tie = BASE_NEW_N(int, ls->n);
    p->layer = BASE_NEW_N(int, p->ch.n_block);
    p->count = BASE_NEW_N(int, p->ch.n_block);
    if (!p->tie || !p->layer || !p->count) {
        prune_plan_free(p);
        return BASE_NOMEM;
    }
    memcpy(p->count, p->ch.size, sizeof *p->count * (size_t)p->ch.n_block);
    for (int b = 0; b < p->ch.n_block; b++)
        p->layer[b] = -1;
    for (int i = 0; i < ls->n; i++)
        tie_layer(p, g, ls, i);
    for (int i = 0; i < ls->n; i++)
        if (p->tie[i] >= 0)
            p->tie[i] = leader(p->tie, i);
    return BASE_OK;
}

/* ---- counts -------------------------------------------------------------------------- */

int prune_count(int size, double keep, int round)
{
    int step = BASE_MAX(round, 1), n = (int)floor(keep * size / step + 0.5) * step;
    return BASE_MIN(BASE_MAX(n, step), size);
}

void prune_plan_counts(struct prune_plan *p, const struct compress_recipe *r)
{
    for (int b = 0; b < p->ch.n_block; b++) {
        double keep = p->layer[b] < 0 ? 1 : r->layer[p->layer[b]].keep;
        p->count[b] = keep >= 1 ? p->ch.size[b] : keep > 0 ? prune_count(p->ch.size[b], keep, r->prune.round) : 0;
    }
}

bool prune_plan_removes(const struct prune_plan *p)
{
    for (int b = 0; b < p->ch.n_block; b++)
        if (p->count[b] < p->ch.size[b])
            return true;
    return false;
}

void prune_plan_gone(const struct prune_plan *p, const struct graph *g, bool *gone)
{
    for (int i = 0; i < g->n_node; i++)
        gone[i] = prune_plan_channels(p, g, i) == 0;
}

/* A node has each unit of a block equally often. */
int prune_plan_channels(const struct prune_plan *p, const struct graph *g, int node)
{
    double n = 0;
    for (int c = 0; c < g->node[node].shape.c; c++) {
        int b = p->ch.block[graph_unit(&p->ch, node, c)];
        n += (double)p->count[b] / p->ch.size[b];
    }
    return (int)lround(n);
}

int64_t prune_plan_macs(const struct prune_plan *p, const struct graph *g)
{
    int64_t sum = 0;
    for (int i = 0; i < g->n_node; i++) {
        const struct graph_node *n = &g->node[i];
        if (n->weight)
            sum += (int64_t)n->shape.h * n->shape.w * n->kh * n->kw * prune_plan_channels(p, g, i) * (n->depthwise ? 1 : prune_plan_channels(p, g, n->in[0]));
    }
    return sum;
}

/* ---- the heuristic --------------------------------------------------------------------- */

/* Inside residual blocks (and everywhere in a network without them) channels go first, the same share of each
 * layer, down to a half; then those of streams too, which every block reads, and all go on down to a fifth. One
 * number t from 0, all channels, to 1 says how far; it is found by halving. Since counts come in
 * steps, each tie in turn then gets the next larger share if that still fits. */
static const double half_keep = 0.5, least_keep = 0.2;

static bool is_stream(const struct prune_plan *p, const struct graph *g, int tie)
{
    for (int i = 0; i < g->n_node; i++)
        for (int c = 0; g->node[i].op == GRAPH_ADD && c < g->node[i].shape.c; c++) {
            int l = p->layer[p->ch.block[graph_unit(&p->ch, i, c)]];
            if (l >= 0 && p->tie[l] == tie)
                return true;
        }
    return false;
}

/* Four digits: what a recipe file shows is what counts. */
static double share_at(double t, bool stream)
{
    double first = BASE_MIN(2 * t, 1), second = BASE_MAX(2 * t - 1, 0);
    double share = stream ? 1 - (1 - least_keep) * second : 1 - (1 - half_keep) * first - (half_keep - least_keep) * second;
    return floor(1e4 * share + 0.5) / 1e4;
}

static void set_share(struct compress_recipe *r, const struct prune_plan *p, int tie, double share)
{
    for (int i = 0; i < r->n; i++)
        if (p->tie[i] == tie)
            r->layer[i].keep = share;
}

/* Every tie's share at t; what is left to multiply. */
static int64_t set_all(struct compress_recipe *r, struct prune_plan *p, const struct graph *g, const bool *stream, double t)
{
    for (int i = 0; i < r->n; i++)
        if (p->tie[i] == i)
            set_share(r, p, i, share_at(t, stream[i]));
    prune_plan_counts(p, r);
    return prune_plan_macs(p, g);
}

static void raise_each(struct compress_recipe *r, struct prune_plan *p, const struct graph *g, const bool *stream, double t, int64_t limit)
{
    for (int i = 0; i < r->n; i++) {
        double share = r->layer[i].keep;
        if (p->tie[i] != i)
            continue;
        set_share(r, p, i, BASE_MIN(share_at(t, stream[i]) + 1e-3, 1));
        prune_plan_counts(p, r);
        if (prune_plan_macs(p, g) > limit)
            set_share(r, p, i, share);
    }
}

static int spread(struct compress_recipe *r, struct prune_plan *p, const struct graph *g, const bool *stream)
{
    enum { STEPS = 20 };
    int64_t all = set_all(r, p, g, stream, 0), least = set_all(r, p, g, stream, 1), limit = (int64_t)(r->prune.macs * (double)all);
    double lo = 0, hi = 1;               /* too much is left; it fits */
    if (least > limit)
        return base_fail(BASE_INPUT, "recipe: prune.macs %g cannot be had: with %d channels at a time, %.3f of the multiply-accumulates stay (a larger share, or a smaller prune.round)",
                         r->prune.macs, BASE_MAX(r->prune.round, 1), (double)least / (double)all);
    for (int k = 0; k < STEPS; k++) {
        double t = (lo + hi) / 2;
        *(set_all(r, p, g, stream, t) <= limit ? &hi : &lo) = t;
    }
    set_all(r, p, g, stream, hi);
    raise_each(r, p, g, stream, lo, limit);
    return BASE_OK;
}

int prune_heuristic(struct compress_recipe *r, struct prune_plan *p, const struct graph *g)
{
    bool *stream = BASE_NEW_N(bool, r->n);
    if (!stream)
        return BASE_NOMEM;
    for (int i = 0; i < r->n; i++)
        stream[i] = p->tie[i] == i && is_stream(p, g, i);
    int rc = spread(r, p, g, stream);
    base_free(stream);
    return rc;
}
