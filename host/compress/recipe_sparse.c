/* recipe_sparse.c: the rules of `sparsity`, the section
 *   sparsify: {structure: block, ratios: erdos-renyi, block: 16, ramp: 0.5, penalty: 0.3}
 * and what it fills in. */
#include <math.h>
#include <string.h>

#include "compress/recipe_internal.h"
#include "compress/sparse.h"

enum { MAX_PENALTY = 100 };

static const char *const structure_names[] = { "unstructured", "block", NULL };
static const char *const ratio_names[] = { "uniform", "erdos-renyi", NULL };

static bool has_weights(const struct graph *g, const struct graph_term *t)
{
    return t->node >= 0 && g->node[t->node].weight;
}

static bool is_depthwise(const struct graph *g, const struct graph_layer *l)
{
    for (int k = 0; k < l->n_term; k++)
        if (has_weights(g, &l->term[k]) && g->node[l->term[k].node].depthwise)
            return true;
    return false;
}

bool compress_sparse_by_default(const struct graph *g, const struct graph_layers *ls, int layer)
{
    return ls->layer[layer].has_weights && !is_depthwise(g, &ls->layer[layer]);
}

bool compress_recipe_sparse(const struct compress_recipe *r)
{
    bool any = false;
    for (int i = 0; i < r->n; i++)
        any |= r->layer[i].sparsity > 0;
    return any;
}

bool compress_recipe_takes_zeros(const struct compress_sparsify *how, double share, const struct graph *g, const struct graph_layers *ls, int layer)
{
    const struct graph_layer *l = &ls->layer[layer];
    for (int k = 0; compress_sparse_by_default(g, ls, layer) && k < l->n_term; k++)
        if (has_weights(g, &l->term[k])) {
            struct sparse_shape s = sparse_shape_of(g, &l->term[k]);
            double parts = (double)sparse_parts(&s, how->structure, how->block);
            if (parts > 1 && share * parts >= 0.5)
                return true;
        }
    return false;
}

int compress_read_sparsify(const struct config_tree *t, const struct config_node *map, struct compress_sparsify *s)
{
    static const char *const keys[] = { "structure", "ratios", "block", "ramp", "penalty", NULL };
    const struct config_node *n;
    long v;
    int i = 0, rc = config_check_keys(t, map, keys);
    if (!rc && (n = config_get(map, "structure")) && !(rc = compress_read_name(t, n, structure_names, &i)))
        s->structure = (enum compress_structure)i;
    if (!rc && (n = config_get(map, "ratios")) && !(rc = compress_read_name(t, n, ratio_names, &i)))
        s->ratios = (enum compress_ratios)i;
    if (!rc && (n = config_get(map, "block")) && !(rc = config_int(t, n, 1, 4096, &v)))
        s->block = (int)v;
    if (!rc && (n = config_get(map, "ramp")))
        rc = config_number(t, n, 0, 1, &s->ramp);
    if (!rc && (n = config_get(map, "penalty")) && !(rc = config_number(t, n, 0, MAX_PENALTY, &s->penalty)) && s->penalty > 0 && s->structure != COMPRESS_BLOCK)
        rc = config_fail(t, n, "it draws whole blocks towards 0: say `structure: block`");
    return rc;
}

void compress_add_sparsify(struct base_text *t, const struct compress_recipe *r)
{
    const struct compress_sparsify *s = &r->sparsify;
    if (!compress_recipe_sparse(r))
        return;
    base_text_add(t, "sparsify: {structure: %s, ratios: %s, block: %d, ramp: %.9g", structure_names[s->structure], ratio_names[s->ratios], s->block, s->ramp);
    if (s->penalty > 0)
        base_text_add(t, ", penalty: %.9g", s->penalty);
    base_text_add(t, "}\n");
}

int compress_recipe_check_sparsity(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls)
{
    const struct compress_sparsify *s = &r->sparsify;
    double share = 0;
    if (s->structure > COMPRESS_BLOCK || s->ratios > COMPRESS_ERDOS_RENYI || s->block < 1 || !(s->ramp >= 0 && s->ramp <= 1))
        return base_fail(BASE_INPUT, "recipe: sparsify: an unknown structure or ratios, block %d below 1, or ramp %g outside 0..1", s->block, s->ramp);
    if (!(s->penalty >= 0 && s->penalty <= MAX_PENALTY) || (s->penalty > 0 && s->structure != COMPRESS_BLOCK))
        return base_fail(BASE_INPUT, "recipe: sparsify: penalty %g is outside 0..%d, or its structure is not `block`", s->penalty, MAX_PENALTY);
    for (int i = 0; i < r->n; i++) {
        double v = r->layer[i].sparsity;
        const char *name = ls->layer[i].name;
        if (!(v >= 0 && v < 1))
            return base_fail(BASE_INPUT, "recipe: layer '%s': sparsity %g is not 0 or more and less than 1", name, v);
        if (v > 0 && !ls->layer[i].has_weights)
            return base_fail(BASE_INPUT, "recipe: layer '%s' has no weights: leave `sparsity` out", name);
        if (v > 0 && s->structure == COMPRESS_BLOCK && is_depthwise(g, &ls->layer[i]))
            return base_fail(BASE_INPUT, "recipe: layer '%s': a block of a depthwise layer is all of %d channels: remove channels by `keep`, or leave `sparsity` out", name, s->block);
        if (v > 0 && s->ratios == COMPRESS_ERDOS_RENYI && share > 0 && v != share)
            return base_fail(BASE_INPUT, "recipe: layer '%s': sparsity %g, but `ratios: erdos-renyi` chooses every layer's from one (%g): leave this out, or say `ratios: uniform`", name, v, share);
        share = v > 0 ? v : share;
    }
    return BASE_OK;
}

/* ---- Erdos-Renyi ratios -------------------------------------------------------------------- */

/* Weights of a layer, and what its number of kept ones is proportional to: (cout + cin + kh + kw) for each term. */
static void measure(double *weights, double *ends, const struct graph *g, const struct graph_layer *l)
{
    *weights = *ends = 0;
    for (int k = 0; k < l->n_term; k++)
        if (has_weights(g, &l->term[k])) {
            struct sparse_shape s = sparse_shape_of(g, &l->term[k]);
            *weights += (double)sparse_weights(&s);
            *ends += s.cout + s.cin + s.kh + s.kw;
        }
}

/* One density for each unit of `ends`, such that `kept` weights stay in all; layers that would stay whole are whole. */
void compress_recipe_settle_sparsity(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls)
{
    double weights, ends, kept = 0, factor = 0;
    if (r->sparsify.ratios != COMPRESS_ERDOS_RENYI)
        return;
    for (int i = 0; i < r->n; i++) {
        measure(&weights, &ends, g, &ls->layer[i]);
        kept += r->layer[i].sparsity > 0 ? weights * (1 - r->layer[i].sparsity) : 0;
    }
    double low = 0, high = kept;                    /* of a factor: at the upper end one connection is the whole sum */
    for (int step = 0; step < 100; step++) {
        double sum = 0;
        factor = (low + high) / 2;
        for (int i = 0; i < r->n; i++) {
            measure(&weights, &ends, g, &ls->layer[i]);
            sum += r->layer[i].sparsity > 0 ? fmin(weights, factor * ends) : 0;
        }
        *(sum < kept ? &low : &high) = factor;
    }
    for (int i = 0; i < r->n; i++) {
        measure(&weights, &ends, g, &ls->layer[i]);
        if (r->layer[i].sparsity > 0)
            r->layer[i].sparsity = floor((1 - fmin(1, factor * ends / weights)) * 1e4 + 0.5) / 1e4; /* as a file has it */
    }
    r->sparsify.ratios = COMPRESS_UNIFORM_RATIOS;
}
