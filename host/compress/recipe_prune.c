/* recipe_prune.c: the rules of `keep` and `prune`, and what fills in the rest. */
#include "compress/prune.h"
#include "compress/recipe_internal.h"

bool compress_recipe_removes(const struct compress_recipe *r)
{
    bool any = r->prune.macs > 0;
    for (int i = 0; i < r->n; i++)
        any |= r->layer[i].keep != 1;
    return any;
}

const char *compress_recipe_no_keep(const struct graph_layers *ls, int layer)
{
    return ls->layer[layer].has_weights ? "its channels are the network's logits (or the image's), which stay: leave `keep` out"
                                        : "it has no weights of its own: its channels go with those of the layers in front; leave `keep` out";
}

int compress_recipe_keep_deciders(int *decider, const struct graph *g, const struct graph_layers *ls)
{
    struct prune_plan p;
    int rc = prune_plan_new(&p, g, ls);
    if (rc)
        return rc;
    for (int i = 0; i < ls->n; i++)
        decider[i] = p.tie[i];
    prune_plan_free(&p);
    return BASE_OK;
}

static int check_ties(const struct compress_recipe *r, const struct graph_layers *ls, const int *decider)
{
    for (int i = 0; i < r->n; i++) {
        double keep = r->layer[i].keep;
        int d = decider[i];
        if (d < 0 && keep != 1)
            return base_fail(BASE_INPUT, "recipe: layer '%s': keep %g, but %s", ls->layer[i].name, keep, compress_recipe_no_keep(ls, i));
        if (d >= 0 && r->layer[d].keep != keep)
            return base_fail(BASE_INPUT, "recipe: layers '%s' (keep %g) and '%s' (keep %g) share channels: give both one share", ls->layer[d].name, r->layer[d].keep, ls->layer[i].name, keep);
    }
    return BASE_OK;
}

/* All that go, at once; of what cannot, the layer. */
static int check_branches(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, const int *decider)
{
    int rc = prune_branches(NULL, g, ls, r);
    for (int i = 0; rc == BASE_INPUT && i < r->n; i++)
        if (decider[i] == i && !(r->layer[i].keep > 0) && compress_recipe_can_go(g, ls, i))
            return base_fail(rc, "recipe: layer '%s': keep 0, but %s", ls->layer[i].name, base_error());
    return rc == BASE_INPUT ? base_fail(rc, "recipe: keep 0, but %s", base_error()) : rc;
}

int compress_recipe_check_keep(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls)
{
    const struct compress_prune *p = &r->prune;
    for (int i = 0; i < r->n; i++)
        if (!(r->layer[i].keep >= 0 && r->layer[i].keep <= 1))
            return base_fail(BASE_INPUT, "recipe: layer '%s': keep %g is outside 0..1", ls->layer[i].name, r->layer[i].keep);
    if (!compress_prune_name(p->method) || p->round < 0 || !(p->macs >= 0 && p->macs <= 1))
        return base_fail(BASE_INPUT, "recipe: prune: an unknown method, round %d below 0, or macs %g outside 0..1", p->round, p->macs);
    if (!compress_recipe_removes(r))
        return BASE_OK;
    int *decider = BASE_NEW_N(int, ls->n);
    int rc = decider ? compress_recipe_keep_deciders(decider, g, ls) : BASE_NOMEM;
    if (!rc)
        rc = check_ties(r, ls, decider);
    if (!rc)
        rc = check_branches(r, g, ls, decider);
    base_free(decider);
    return rc;
}

int compress_recipe_settle(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, int step)
{
    struct prune_plan p;
    compress_recipe_settle_sparsity(r, g, ls);
    if (!compress_recipe_removes(r))
        return BASE_OK;
    int rc = prune_plan_new(&p, g, ls);
    if (rc)
        return rc;
    if (!r->prune.round)
        r->prune.round = step;
    if (r->prune.macs > 0)
        rc = prune_heuristic(r, &p, g);
    r->prune.macs = 0;
    for (int i = 0; i < r->n; i++)
        r->layer[i].keep = p.tie[i] < 0 ? 1 : r->layer[p.tie[i]].keep;
    prune_plan_free(&p);
    return rc;
}

int compress_recipe_macs(int64_t *out, const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls)
{
    struct prune_plan p;
    int rc = prune_plan_new(&p, g, ls);
    if (rc)
        return rc;
    prune_plan_counts(&p, r);
    *out = prune_plan_macs(&p, g);
    prune_plan_free(&p);
    return BASE_OK;
}
