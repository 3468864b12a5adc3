#include "cmd/space.h"

#include <string.h>

static const char w_field[] = "w_bits", a_field[] = "a_bits", keep_field[] = "keep", sparsity_field[] = "sparsity", levels_field[] = "levels";

/* What the layer's genes are called, one text for layers that share them; NULL: too many stages. */
static const char *owner(struct space *s, int layer)
{
    const struct graph_layer *l = &s->layers->layer[layer];
    char name[sizeof *s->stage] = "network";
    if (s->range.tied == SPACE_FREE)
        return l->name;
    if (s->range.tied == SPACE_STAGE)
        snprintf(name, sizeof name, "stage %dx%d", l->shape.h, l->shape.w);
    for (int i = 0; i < s->n_stage; i++)
        if (!strcmp(s->stage[i], name))
            return s->stage[i];
    if (s->n_stage == SPACE_MAX_STAGES)
        return NULL;
    memcpy(s->stage[s->n_stage], name, sizeof name);
    return s->stage[s->n_stage++];
}

/* The layer takes a gene of its own, or that of those it is tied to, whose range becomes what any of them can have. */
static int add(struct space *s, int layer, const char *field, int lo, int hi)
{
    const char *name = owner(s, layer);
    int k = 0;
    while (name && k < s->search.n && !(s->dim[k].field == field && !strcmp(s->dim[k].layer, name)))
        k++;
    if (!name || k == SEARCH_MAX_DIMS || s->n_use == SPACE_MAX_USES)
        return base_hint(base_fail(BASE_INPUT, "search: more than %d widths and shares to choose", SEARCH_MAX_DIMS), "search: {tied: stage}");
    if (k == s->search.n) {
        s->dim[k] = (struct search_dim){ .layer = name, .field = field, .lo = lo, .hi = hi };
        s->search.n++;
    }
    s->dim[k].lo = BASE_MIN(s->dim[k].lo, lo);
    s->dim[k].hi = BASE_MAX(s->dim[k].hi, hi);
    s->use[s->n_use].dim = k;
    s->use[s->n_use].layer = layer;
    s->use[s->n_use++].lo = lo;
    return BASE_OK;
}

/* Whether a group of layers loses channels at a share: with few channels and a large step it may not. */
static int loses(bool *out, const struct space *s, int layer, double share)
{
    struct compress_recipe r;
    int64_t all, some = 0;
    int rc = compress_recipe_default(&r, s->graph, s->layers, 8, 8);
    if (rc)
        return rc;
    r.prune = s->range.prune;
    rc = compress_recipe_macs(&all, &r, s->graph, s->layers);
    r.layer[layer].keep = share;
    if (!rc)
        rc = compress_recipe_settle(&r, s->graph, s->layers, 1);
    if (!rc)
        rc = compress_recipe_macs(&some, &r, s->graph, s->layers);
    compress_recipe_free(&r);
    *out = some < all;
    return rc;
}

static int add_shares(struct space *s)
{
    int *decider = BASE_NEW_N(int, s->layers->n);
    int rc = decider ? compress_recipe_keep_deciders(decider, s->graph, s->layers) : BASE_NOMEM;
    for (int i = 0; !rc && i < s->layers->n; i++) {
        bool any = false;
        int lo = decider[i] == i && !(s->range.keep[0] > 0) && compress_recipe_can_go(s->graph, s->layers, i) ? 1 : 0;
        if (decider[i] == i && lo < s->range.n_keep)
            rc = loses(&any, s, i, s->range.keep[lo]);
        if (!rc && any)
            rc = add(s, i, keep_field, lo, s->range.n_keep - 1);
    }
    base_free(decider);
    return rc;
}

static int add_zeros(struct space *s, int first, int last)
{
    const struct space_range *r = &s->range;
    int rc = BASE_OK;
    for (int i = 0; !rc && i < s->layers->n; i++)
        if (i != first && i != last && compress_recipe_takes_zeros(&r->sparsify, r->sparsity[r->n_sparsity - 1], s->graph, s->layers, i))
            rc = add(s, i, sparsity_field, 0, r->n_sparsity);
    return rc;
}

/* Behind the weight bits, which they need. */
static int add_levels(struct space *s, int first, int last)
{
    int rc = BASE_OK;
    for (int i = 0; !rc && i < s->layers->n; i++)
        if (i != first && i != last && s->layers->layer[i].has_weights)
            rc = add(s, i, levels_field, 0, s->range.n_levels);
    return rc;
}

/* Levels that `planes` AND planes make. */
static void set_levels(struct compress_choice *c, enum compress_levels kind, int planes)
{
    c->levels = kind;
    if (kind != COMPRESS_CODEBOOK)
        return;
    c->planes = BASE_MAX(planes, 2);
    c->w_bits = BASE_MIN(BASE_MAX(planes - 1, 1), 4);
}

int space_make(struct space *s, const struct graph *g, const struct graph_layers *ls, const struct space_range *r)
{
    memset(s, 0, sizeof *s);
    s->graph = g;
    s->layers = ls;
    s->search.dim = s->dim;
    s->range = *r;
    int first = -1, last = -1, rc = BASE_OK;
    for (int i = 0; i < ls->n; i++)
        if (ls->layer[i].has_weights) {
            first = first < 0 ? i : first;
            last = i;
        }
    for (int i = 0; !rc && i < ls->n; i++) {
        if (i == first || i == last)
            continue;
        if (ls->layer[i].has_weights)
            rc = add(s, i, w_field, r->w_min, r->w_max);
        if (!rc && ls->layer[i].kind == GRAPH_LAYER_MAC && compress_recipe_decider(g, ls, i) == i) {
            /* an edge that can be negative takes at least 2 bits */
            int lo = BASE_MAX(r->a_min, compress_recipe_least_a_bits(g, ls, i));
            rc = add(s, i, a_field, lo, BASE_MAX(lo, r->a_max));
        }
    }
    if (!rc && r->n_keep)
        rc = add_shares(s);
    if (!rc && r->n_sparsity)
        rc = add_zeros(s, first, last);
    if (!rc && r->n_levels)
        rc = add_levels(s, first, last);
    if (!rc && !s->search.n)
        rc = base_fail(BASE_INPUT, "search: network '%s' has no layer between the first and the last: there is nothing to search (use apply)", g->name);
    return rc;
}

int space_recipe(struct compress_recipe *out, const struct space *s, const int *genes)
{
    int rc = compress_recipe_default(out, s->graph, s->layers, 8, 8);
    if (rc)
        return rc;
    for (int i = 0; i < s->n_use; i++) {
        struct compress_choice *c = &out->layer[s->use[i].layer];
        const struct search_dim *d = &s->dim[s->use[i].dim];
        int gene = BASE_MAX(genes[s->use[i].dim], s->use[i].lo);
        if (d->field == keep_field)
            c->keep = s->range.keep[gene];
        else if (d->field == sparsity_field)
            c->sparsity = gene < s->range.n_sparsity ? s->range.sparsity[s->range.n_sparsity - 1 - gene] : 0;
        else if (d->field == levels_field)
            set_levels(c, gene < s->range.n_levels ? s->range.levels[gene] : COMPRESS_UNIFORM, c->w_bits);
        else
            *(d->field == w_field ? &c->w_bits : &c->a_bits) = gene;
    }
    out->prune = s->range.prune;
    out->sparsify = s->range.sparsify;
    if (compress_recipe_removes(out))
        out->distill.weight = COMPRESS_PRUNE_DISTILL;
    compress_recipe_tie(out, s->graph, s->layers);
    rc = compress_recipe_settle(out, s->graph, s->layers, 1);
    if (!rc)
        rc = compress_recipe_check(out, s->graph, s->layers);
    if (rc)
        compress_recipe_free(out);
    return rc;
}
