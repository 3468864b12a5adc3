/* prune_branches.c: `keep: 0`: residual branches that go whole, with all their layers. */
#include "compress/prune.h"
#include "compress/recipe_internal.h"

#include <string.h>

/* The plan's nodes without channels; *out as graph_remove_branches has it, NULL if none is. */
static int remove_gone(struct graph **out, const struct prune_plan *p, const struct graph *g)
{
    bool any = false, *gone = BASE_NEW_N(bool, g->n_node);
    if (!gone)
        return BASE_NOMEM;
    prune_plan_gone(p, g, gone);
    for (int i = 0; i < g->n_node; i++)
        any |= gone[i];
    int rc = any ? graph_remove_branches(out, g, gone) : BASE_OK;
    base_free(gone);
    return rc;
}

int compress_recipe_can_go(const struct graph *g, const struct graph_layers *ls, int layer)
{
    struct prune_plan p;
    int rc = prune_plan_new(&p, g, ls);
    if (rc)
        return rc;
    for (int b = 0; b < p.ch.n_block; b++)
        if (p.layer[b] >= 0 && p.tie[layer] >= 0 && p.tie[p.layer[b]] == p.tie[layer])
            p.count[b] = 0;
    rc = remove_gone(NULL, &p, g);
    prune_plan_free(&p);
    return rc;
}

int prune_branches(struct graph **out, const struct graph *g, const struct graph_layers *ls, const struct compress_recipe *r)
{
    struct prune_plan p;
    if (out)
        *out = NULL;
    int rc = prune_plan_new(&p, g, ls);
    if (rc)
        return rc;
    prune_plan_counts(&p, r);
    rc = remove_gone(out, &p, g);
    prune_plan_free(&p);
    return rc;
}

int compress_layer_was(const struct graph *g, const struct graph_layers *ls, const struct graph_layer *pruned)
{
    for (int i = 0; i < ls->n; i++) {
        const struct graph_layer *l = &ls->layer[i];
        if (!strcmp(l->name, pruned->name) || !strcmp(g->node[l->out_node].name, pruned->name))
            return i;
        for (int t = 0; t < l->n_term; t++)
            if (l->term[t].node >= 0 && !strcmp(g->node[l->term[t].node].name, pruned->name))
                return i;
    }
    return -1;
}

int prune_narrow(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, const struct graph *now, const struct graph_layers *now_ls)
{
    struct compress_choice *layer = BASE_NEW_N(struct compress_choice, now_ls->n);
    if (!layer)
        return BASE_NOMEM;
    for (int i = 0; i < now_ls->n; i++) {
        int was = compress_layer_was(g, ls, &now_ls->layer[i]);
        if (was < 0) {
            base_free(layer);
            return base_fail(BASE_INTERNAL, "prune: layer '%s' was not there before", now_ls->layer[i].name);
        }
        layer[i] = r->layer[was];
    }
    base_free(r->layer);
    r->layer = layer;
    r->n = now_ls->n;
    compress_recipe_tie(r, now, now_ls);
    return BASE_OK;
}
