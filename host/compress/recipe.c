/* recipe.c: the recipe: defaults, rules, ties between layers that share an edge. */
#include <math.h>
#include <string.h>

#include "compress/recipe_internal.h"

int compress_recipe_new(struct compress_recipe *out, int n)
{
    *out = (struct compress_recipe){ .n = n, .quantize = COMPRESS_QUANTIZE_INIT, .sparsify = COMPRESS_SPARSIFY_INIT };
    out->layer = BASE_NEW_N(struct compress_choice, n);
    if (!out->layer)
        return BASE_NOMEM;
    for (int i = 0; i < n; i++)
        out->layer[i] = (struct compress_choice){ .keep = 1, .levels = COMPRESS_UNIFORM };
    return BASE_OK;
}

void compress_recipe_free(struct compress_recipe *r)
{
    if (!r)
        return;
    base_free(r->layer);
    *r = (struct compress_recipe){ 0 };
}

int compress_recipe_copy(struct compress_recipe *out, const struct compress_recipe *r)
{
    int rc = compress_recipe_new(out, r->n);
    if (rc)
        return rc;
    memcpy(out->layer, r->layer, sizeof *r->layer * (size_t)r->n);
    out->quantize = r->quantize;
    out->distill = r->distill;
    out->prune = r->prune;
    out->sparsify = r->sparsify;
    out->codebook = r->codebook;
    out->finetune = r->finetune;
    return BASE_OK;
}

/* ---- who decides an edge's width ------------------------------------------- */

static int main_term(const struct graph *g, const struct graph_layer *l)
{
    for (int t = 0; t < l->n_term; t++)
        if (l->term[t].node >= 0 && g->node[l->term[t].node].weight)
            return t;
    return 0;
}

/* The edge in front of any max pools: a pool's output is as wide as its input. */
static int edge_root(const struct graph_layers *ls, int edge)
{
    while (edge > 0 && ls->layer[edge - 1].kind == GRAPH_LAYER_MAXPOOL)
        edge = ls->layer[edge - 1].term[0].edge;
    return edge;
}

int compress_main_edge(const struct graph *g, const struct graph_layers *ls, int layer)
{
    const struct graph_layer *l = &ls->layer[layer];
    return edge_root(ls, l->term[main_term(g, l)].edge);
}

/* First MAC layer that reads `root` with its main term; else the first that reads it at all; else -1. */
static int root_decider(const struct graph *g, const struct graph_layers *ls, int root)
{
    for (int i = 0; i < ls->n; i++)
        if (ls->layer[i].kind == GRAPH_LAYER_MAC && compress_main_edge(g, ls, i) == root)
            return i;
    for (int i = 0; i < ls->n; i++)
        for (int t = 0; t < ls->layer[i].n_term; t++)
            if (ls->layer[i].kind == GRAPH_LAYER_MAC && edge_root(ls, ls->layer[i].term[t].edge) == root)
                return i;
    return -1;
}

int compress_recipe_decider(const struct graph *g, const struct graph_layers *ls, int layer)
{
    int root = compress_main_edge(g, ls, layer);
    return root == 0 ? -1 : root_decider(g, ls, root);
}

int compress_recipe_least_a_bits(const struct graph *g, const struct graph_layers *ls, int layer)
{
    return graph_edge_signed(g, ls, compress_main_edge(g, ls, layer)) ? 2 : 1;
}

int compress_recipe_edge_bits(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, int edge)
{
    int root = edge_root(ls, edge);
    if (root == 0)
        return 8;
    int d = root_decider(g, ls, root);
    return d < 0 ? 0 : r->layer[d].a_bits;
}

void compress_recipe_tie(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls)
{
    for (int i = 0; i < r->n; i++) {
        if (!ls->layer[i].has_weights)
            r->layer[i].w_bits = 0;
        int root = compress_main_edge(g, ls, i), d = compress_recipe_decider(g, ls, i);
        if (d >= 0 && graph_edge_signed(g, ls, root) && r->layer[d].a_bits < 2)
            r->layer[d].a_bits = 2;
    }
    for (int i = 0; i < r->n; i++) {
        int d = compress_recipe_decider(g, ls, i);
        r->layer[i].a_bits = d < 0 ? 8 : r->layer[d].a_bits;
    }
}

/* ---- defaults and rules ------------------------------------------------------- */

int compress_first_weighted(const struct graph_layers *ls)
{
    for (int i = 0; i < ls->n; i++)
        if (ls->layer[i].has_weights)
            return i;
    return -1;
}

int compress_last_weighted(const struct graph_layers *ls)
{
    for (int i = ls->n - 1; i >= 0; i--)
        if (ls->layer[i].has_weights)
            return i;
    return -1;
}

int compress_recipe_default(struct compress_recipe *out, const struct graph *g, const struct graph_layers *ls, int w_bits, int a_bits)
{
    int rc = compress_recipe_new(out, ls->n);
    if (rc)
        return rc;
    for (int i = 0; i < ls->n; i++) {
        bool wide = i == compress_first_weighted(ls) || i == compress_last_weighted(ls);
        out->layer[i].w_bits = wide ? 8 : w_bits;
        out->layer[i].a_bits = wide ? 8 : a_bits;
    }
    compress_recipe_tie(out, g, ls);
    rc = compress_recipe_check(out, g, ls);
    if (rc)
        compress_recipe_free(out);
    return rc;
}

static int check_layer(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, int i)
{
    const struct compress_choice *c = &r->layer[i];
    const char *name = ls->layer[i].name;
    bool weights = ls->layer[i].has_weights;
    if (weights ? c->w_bits < 1 || c->w_bits > 8 : c->w_bits != 0)
        return base_fail(BASE_INPUT, weights ? "recipe: layer '%s': w_bits %d is outside 1..8" : "recipe: layer '%s' has no weights: w_bits %d has no meaning there", name, c->w_bits);
    if (c->a_bits < 1 || c->a_bits > 8)
        return base_fail(BASE_INPUT, "recipe: layer '%s': a_bits %d is outside 1..8", name, c->a_bits);
    int rc = compress_check_levels(c, name);
    if (rc)
        return rc;
    int d = compress_recipe_decider(g, ls, i), root = compress_main_edge(g, ls, i);
    if (d < 0 && c->a_bits != 8)
        return base_fail(BASE_INPUT, "recipe: layer '%s' reads the raw image: its a_bits is 8, not %d", name, c->a_bits);
    if (d >= 0 && r->layer[d].a_bits != c->a_bits)
        return base_fail(BASE_INPUT, "recipe: layers '%s' (a_bits %d) and '%s' (a_bits %d) read the same values: give both one width", ls->layer[d].name, r->layer[d].a_bits, name, c->a_bits);
    if (d >= 0 && graph_edge_signed(g, ls, root) && c->a_bits < 2)
        return base_fail(BASE_INPUT, "recipe: layer '%s': a_bits 1, but its input can be negative (no ReLU in front): at least 2", name);
    return BASE_OK;
}

int compress_recipe_check(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls)
{
    if (r->n != ls->n)
        return base_fail(BASE_INPUT, "recipe: %d layers, but the network has %d", r->n, ls->n);
    for (int i = 0; i < r->n; i++) {
        int rc = check_layer(r, g, ls, i);
        if (rc)
            return rc;
    }
    int rc = compress_recipe_check_keep(r, g, ls);
    if (!rc)
        rc = compress_recipe_check_sparsity(r, g, ls);
    if (rc)
        return rc;
    const struct compress_finetune *f = &r->finetune;
    if (!(f->lr >= 0 && f->lr <= 10))
        return base_fail(BASE_INPUT, "recipe: finetune.lr %g is outside 0..10", f->lr);
    return compress_check_quantize(&r->quantize, &r->distill);
}

/* ---- size ----------------------------------------------------------------------- */

static int64_t weights_of(const struct graph *g, int node)
{
    const struct graph_node *n = &g->node[node];
    return (int64_t)n->shape.c * n->kh * n->kw * (n->depthwise ? 1 : g->node[n->in[0]].shape.c);
}

void compress_recipe_size(struct compress_size *out, const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls)
{
    int64_t weights = 0, weight_bits = 0, values = 0, value_bits = 0;
    *out = (struct compress_size){ 0 };
    for (int i = 0; i < ls->n; i++) {
        const struct graph_layer *l = &ls->layer[i];
        for (int t = 0; t < l->n_term; t++) {
            if (l->term[t].node < 0 || !g->node[l->term[t].node].weight)
                continue;
            int64_t n = weights_of(g, l->term[t].node);
            weights += n;
            weight_bits += n * r->layer[i].w_bits;
            out->bit_macs += graph_macs(g, l->term[t].node) * r->layer[i].w_bits * compress_recipe_edge_bits(r, g, ls, l->term[t].edge);
        }
        int64_t v = (int64_t)l->shape.h * l->shape.w * l->shape.c;
        int bits = compress_recipe_edge_bits(r, g, ls, i + 1);
        if (bits) {
            values += v;
            value_bits += v * bits;
        }
    }
    out->weight_bytes = (weight_bits + 7) / 8;
    out->mean_w_bits = weights ? (double)weight_bits / (double)weights : 0;
    out->mean_a_bits = values ? (double)value_bits / (double)values : 0;
}
