/* channels.c: which channels of a graph exist together, and a copy of the graph without some of them.
 *
 * Union-find over the channels of all nodes: a convolution or dense layer makes new ones, anything
 * else hands on its inputs'. A Shortcut's zero channels are new ones too: removing some of them, or
 * some of those that it carries, leaves its carried channels side by side. */
#include "graph/graph.h"

#include <string.h>

/* ---- units ------------------------------------------------------------------------- */

static int root_of(int *parent, int i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* The earlier channel stands for both. */
static void unite(int *parent, int a, int b)
{
    a = root_of(parent, a);
    b = root_of(parent, b);
    parent[BASE_MAX(a, b)] = BASE_MIN(a, b);
}

static void unite_node(const struct graph *g, const int *first, int *parent, int i)
{
    const struct graph_node *n = &g->node[i];
    int at = first[i] + (n->op == GRAPH_SHORTCUT ? n->chan_before : 0);
    if (graph_mixes(n))
        return;
    for (int k = 0; k < n->n_in; k++) {
        int c = g->node[n->in[k]].shape.c;
        for (int j = 0; j < c; j++)
            unite(parent, at + j, first[n->in[k]] + j);
        if (n->op == GRAPH_CONCAT)
            at += c;
    }
}

/* Roots become numbers 0, 1, ... in the order in which they first appear. */
static int number_roots(int *unit, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        unit[i] = root_of(unit, i);
    for (int i = 0; i < n; i++)      /* a root comes before all that it stands for */
        unit[i] = unit[i] == i ? count++ : unit[unit[i]];
    return count;
}

/* ---- blocks ------------------------------------------------------------------------- */

/* Of the nodes that have the unit, in order: equal for the units of a block. */
static void sign_units(const struct graph *g, const struct graph_channels *ch, uint64_t *sign)
{
    for (int i = 0; i < g->n_node; i++)
        for (int c = 0; c < g->node[i].shape.c; c++) {
            uint64_t *s = &sign[graph_unit(ch, i, c)];
            *s = base_hash64(*s, &i, sizeof i);
        }
}

/* Units that a node has and that carry one signature become one block; by first appearance. */
static void number_blocks(const struct graph *g, struct graph_channels *ch, const uint64_t *sign, int *leader)
{
    for (int u = 0; u < ch->n_unit; u++)
        ch->block[u] = -1;
    for (int i = 0; i < g->n_node; i++) {
        int from = ch->n_block;      /* blocks of this node that no earlier one has */
        for (int c = 0; c < g->node[i].shape.c; c++) {
            int u = graph_unit(ch, i, c), b = from;
            if (ch->block[u] >= 0)
                continue;
            while (b < ch->n_block && sign[leader[b]] != sign[u])
                b++;
            if (b == ch->n_block)
                leader[ch->n_block++] = u;
            ch->block[u] = b;
            ch->size[b]++;
        }
    }
}

static void fix(const struct graph *g, struct graph_channels *ch, int node)
{
    for (int c = 0; c < g->node[node].shape.c; c++)
        ch->fixed[ch->block[graph_unit(ch, node, c)]] = true;
}

void graph_channels_free(struct graph_channels *ch)
{
    base_free(ch->first);
    base_free(ch->unit);
    base_free(ch->block);
    base_free(ch->size);
    base_free(ch->fixed);
    memset(ch, 0, sizeof *ch);
}

static int find_units(struct graph_channels *ch, const struct graph *g)
{
    ch->n_node = g->n_node;
    ch->first = BASE_NEW_N(int, g->n_node + 1);
    if (!ch->first)
        return BASE_NOMEM;
    for (int i = 0; i < g->n_node; i++)
        ch->first[i + 1] = ch->first[i] + g->node[i].shape.c;
    int total = ch->first[g->n_node];
    if (!(ch->unit = BASE_NEW_N(int, total)))
        return BASE_NOMEM;
    for (int i = 0; i < total; i++)
        ch->unit[i] = i;
    for (int i = 0; i < g->n_node; i++)
        unite_node(g, ch->first, ch->unit, i);
    ch->n_unit = number_roots(ch->unit, total);
    return BASE_OK;
}

int graph_channels_new(struct graph_channels *out, const struct graph *g)
{
    memset(out, 0, sizeof *out);
    int rc = graph_check(g);
    if (!rc)
        rc = find_units(out, g);
    uint64_t *sign = rc ? NULL : BASE_NEW_N(uint64_t, out->n_unit);
    int *leader = rc ? NULL : BASE_NEW_N(int, out->n_unit);
    if (!rc) {
        out->block = BASE_NEW_N(int, out->n_unit);
        out->size = BASE_NEW_N(int, out->n_unit);
        out->fixed = BASE_NEW_N(bool, out->n_unit);
        if (!sign || !leader || !out->block || !out->size || !out->fixed)
            rc = BASE_NOMEM;
    }
    if (!rc) {
        sign_units(g, out, sign);
        number_blocks(g, out, sign, leader);
        fix(g, out, 0);
        fix(g, out, g->output);
    }
    base_free(sign);
    base_free(leader);
    if (rc)
        graph_channels_free(out);
    return rc;
}

/* ---- removing ------------------------------------------------------------------------ */

struct removal {
    const struct graph *g;
    const struct graph_channels *ch;
    const bool *keep;
};

static bool stays(const struct removal *r, int node, int c)
{
    return r->keep[graph_unit(r->ch, node, c)];
}

static int count_kept(const struct removal *r, int node, int from, int to)
{
    int n = 0;
    for (int c = from; c < to; c++)
        n += stays(r, node, c);
    return n;
}

static int check_removal(const struct removal *r)
{
    for (int i = 0; i < r->g->n_node; i++) {
        const struct graph_node *n = &r->g->node[i];
        for (int c = 0; c < n->shape.c; c++)
            if (!stays(r, i, c) && r->ch->fixed[r->ch->block[graph_unit(r->ch, i, c)]])
                return base_fail(BASE_INPUT, "node '%s': its channel %d is one of the image or of the logits and cannot be removed", n->name, c);
        if (!count_kept(r, i, 0, n->shape.c))
            return base_fail(BASE_INPUT, "node '%s': no channel would be left", n->name);
    }
    return BASE_OK;
}

/* v [c] closes up in place. */
static void squeeze(const struct removal *r, int node, float *v)
{
    int n = 0;
    for (int c = 0; v && c < r->g->node[node].shape.c; c++)
        if (stays(r, node, c))
            v[n++] = v[c];
}

/* weight [cout][taps][cin] closes up in place. */
static void squeeze_weight(const struct removal *r, int node, float *w)
{
    const struct graph_node *n = &r->g->node[node];
    int taps = n->kh * n->kw, cin = n->depthwise ? 1 : r->g->node[n->in[0]].shape.c;
    float *to = w;
    for (int o = 0; o < n->shape.c; o++)
        for (int t = 0; t < taps && stays(r, node, o); t++)
            for (int i = 0; i < cin; i++)
                if (n->depthwise || stays(r, n->in[0], i))
                    *to++ = w[((int64_t)o * taps + t) * cin + i];
}

static void remove_from_node(const struct removal *r, struct graph *d, int i)
{
    const struct graph_node *old = &r->g->node[i];
    struct graph_node *n = &d->node[i];
    if (n->weight)
        squeeze_weight(r, i, n->weight);
    squeeze(r, i, n->bias);
    squeeze(r, i, n->gamma);
    squeeze(r, i, n->beta);
    squeeze(r, i, n->mean);
    squeeze(r, i, n->var);
    n->shape.c = count_kept(r, i, 0, old->shape.c);
    if (n->op == GRAPH_SHORTCUT)
        n->chan_before = count_kept(r, i, 0, old->chan_before);
}

int graph_remove_channels(struct graph **out, const struct graph *g, const struct graph_channels *ch, const bool *keep)
{
    *out = NULL;
    struct removal r = { g, ch, keep };
    int rc = check_removal(&r);
    struct graph *d = rc ? NULL : graph_clone(g);
    if (!rc && !d)
        rc = BASE_NOMEM;
    for (int i = 0; !rc && i < g->n_node; i++)
        remove_from_node(&r, d, i);
    if (!rc)
        rc = graph_check(d);
    if (rc) {
        graph_free(d);
        return rc;
    }
    *out = d;
    return BASE_OK;
}
