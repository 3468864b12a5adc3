/* Batch-norm folding: a copy of a graph whose batch norms are gone into the
 * weights and biases of the convolutions or dense layers before them. */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

static int consumers(const struct graph *g, int node)
{
    int n = node == g->output;
    for (int i = 0; i < g->n_node; i++)
        for (int k = 0; k < g->node[i].n_in; k++)
            n += g->node[i].in[k] == node;
    return n;
}

/* w' = w * gamma / sqrt(var + eps), b' = beta + (b - mean) * gamma / sqrt(var + eps) */
static void fold_into(struct graph_node *conv, const struct graph_node *bn, const float *old_bias, int64_t per_channel)
{
    for (int c = 0; c < conv->shape.c; c++) {
        double k = (double)bn->gamma[c] / sqrt((double)bn->var[c] + (double)bn->eps);
        for (int64_t i = 0; i < per_channel; i++)
            conv->weight[c * per_channel + i] = (float)(conv->weight[c * per_channel + i] * k);
        double b = old_bias ? (double)old_bias[c] : 0;
        conv->bias[c] = (float)((double)bn->beta[c] + (b - (double)bn->mean[c]) * k);
    }
}

static int fold_one(struct graph *g, int i)
{
    const struct graph_node *bn = &g->node[i];
    struct graph_node *conv = &g->node[bn->in[0]];
    if ((conv->op != GRAPH_CONV && conv->op != GRAPH_DENSE) || consumers(g, bn->in[0]) != 1)
        return base_fail(BASE_INPUT, "node '%s': a BatchNorm can be folded only into a Conv or Dense of which it is the sole consumer; '%s' is a %s%s",
                         bn->name, conv->name, graph_op_name(conv->op), conv->weight ? " with other consumers" : "");
    const float *old_bias = conv->bias;
    if (!conv->bias && !(conv->bias = BASE_ARENA_NEW_N(g->arena, float, conv->shape.c)))
        return BASE_NOMEM;
    int cin = conv->depthwise ? 1 : g->node[conv->in[0]].shape.c;
    fold_into(conv, bn, old_bias, (int64_t)conv->kh * conv->kw * cin);
    return BASE_OK;
}

/* Drop the (already folded) batch norms; their consumers read what they read. */
static void drop_batchnorms(struct graph *g, int *map)
{
    int n = 0;
    for (int i = 0; i < g->n_node; i++) {
        struct graph_node *s = &g->node[i];
        for (int k = 0; k < s->n_in; k++)
            s->in[k] = map[s->in[k]];
        if (s->op == GRAPH_BATCHNORM) {
            map[i] = s->in[0];
            continue;
        }
        map[i] = n;
        if (n != i)
            g->node[n] = *s;
        n++;
    }
    g->n_node = n;
    g->output = map[g->output];
}

int graph_fold_batchnorm(const struct graph *g, struct graph **out)
{
    *out = NULL;
    struct graph *d = graph_clone(g);
    if (!d)
        return BASE_NOMEM;
    int rc = BASE_OK;
    for (int i = 0; !rc && i < d->n_node; i++)
        if (d->node[i].op == GRAPH_BATCHNORM)
            rc = fold_one(d, i);
    int *map = rc ? NULL : BASE_ARENA_NEW_N(d->arena, int, d->n_node);
    if (!rc && !map)
        rc = BASE_NOMEM;
    if (rc) {
        graph_free(d);
        return rc;
    }
    drop_batchnorms(d, map);
    *out = d;
    return BASE_OK;
}
