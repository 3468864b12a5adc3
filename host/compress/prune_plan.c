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
    base_free(p->stream);
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

static void mark_streams(struct prune_plan *p, const struct graph *g)
{
    for (int i = 0; i < g->n_node; i++)
        for (int c = 0; g->node[i].op == GRAPH_ADD && c < g->node[i].shape.c; c++)
            p->stream[p->ch.block[graph_unit(&p->ch, i, c)]] = true;
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
    p->stream = BASE_NEW_N(bool, p->ch.n_block);
    p->count = BASE_NEW_N(int, p->ch.n_block);
    if (!p->tie || !p->layer || !p->stream || !p->count) {
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
    mark_streams(p, g);
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
        p->count[b] = keep < 1 ? prune_count(p->ch.size[b], keep, r->prune.round) : p->ch.size[b];
    }
}

bool prune_plan_removes(const struct prune_plan *p)
{
    for (int b = 0; b < p->ch.n_block; b++)
        if (p->count[b] < p->ch.size[b])
            return true;
    return false;
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

/* Ties lose channels by a * ln(weights that make them), those of a residual stream half as many of a share,
 * since every block reads it; nothing falls below a fifth. */
static const double least_keep = 0.2, stream_share = 0.5;

static double weights_of(const struct prune_plan *p, const struct graph *g, const struct graph_layers *ls, int tie)
{
    double n = 0;
    for (int i = 0; i < ls->n; i++)
        for (int t = 0; p->tie[i] == tie && t < ls->layer[i].n_term; t++)
            if (ls->layer[i].term[t].node >= 0)
                n += (double)graph_node_params(g, ls->layer[i].term[t].node);
    return n;
}

static bool is_stream(const struct prune_plan *p, int tie)
{
    for (int b = 0; b < p->ch.n_block; b++)
        if (p->stream[b] && p->layer[b] >= 0 && p->tie[p->layer[b]] == tie)
            return true;
    return false;
}

static int64_t spread(struct compress_recipe *r, struct prune_plan *p, const struct graph *g, const double *slope, double a)
{
    for (int i = 0; i < r->n; i++)
        r->layer[i].keep = p->tie[i] < 0 ? 1 : fmax(floor(1e4 * (1 - a * slope[p->tie[i]]) + 0.5) / 1e4, least_keep);
    prune_plan_counts(p, r);
    return prune_plan_macs(p, g);
}

int prune_heuristic(struct compress_recipe *r, struct prune_plan *p, const struct graph *g, const struct graph_layers *ls)
{
    enum { STEPS = 40 };
    double *slope = BASE_NEW_N(double, ls->n), lo = 0, hi = 1;
    if (!slope)
        return BASE_NOMEM;
    for (int i = 0; i < ls->n; i++)
        if (p->tie[i] == i)
            slope[i] = log(weights_of(p, g, ls, i)) * (is_stream(p, i) ? stream_share : 1);
    int64_t all = spread(r, p, g, slope, 0), limit = (int64_t)(r->prune.macs * (double)all), least = spread(r, p, g, slope, hi);
    for (int k = 0; k < STEPS; k++) {
        double a = (lo + hi) / 2;
        *(spread(r, p, g, slope, a) <= limit ? &hi : &lo) = a;
    }
    spread(r, p, g, slope, hi);
    base_free(slope);
    if (least > limit)
        return base_fail(BASE_INPUT, "recipe: prune.macs %g cannot be had: with %d channels at a time, %.3f of the multiply-accumulates stay (a larger share, or a smaller prune.round)",
                         r->prune.macs, BASE_MAX(r->prune.round, 1), (double)least / (double)all);
    return BASE_OK;
}
