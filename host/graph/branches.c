/* branches.c: a copy of a graph without some of its residual branches. */
#include "graph/graph.h"

/* Where a node's map comes from: a node of the old graph, or nowhere. */
enum { ZERO = -1 };

static int refuse(const struct graph *g, int i, const char *what)
{
    return base_fail(BASE_INPUT, "%s of node '%s' would be left: only what an Add adds to something else can go whole", what, g->node[i].name);
}

/* A ReLU of what the same kind of ReLU made is the map itself. */
static bool rectified_before(const struct graph *g, int node, int from)
{
    return (g->node[node].op == GRAPH_RELU || g->node[node].op == GRAPH_RELU6) && g->node[from].op == g->node[node].op;
}

/* from[i]: the node whose map stands for node i's. */
static int trace(const struct graph *g, const bool *gone, int *from, int i)
{
    const struct graph_node *n = &g->node[i];
    int zero = 0, last = ZERO;
    for (int k = 0; k < n->n_in; k++) {
        zero += from[n->in[k]] == ZERO;
        last = from[n->in[k]] == ZERO ? last : from[n->in[k]];
    }
    from[i] = i;
    if (gone[i] || (n->n_in && zero == n->n_in))
        from[i] = ZERO;
    else if (zero && n->op != GRAPH_ADD)
        return refuse(g, i, "a part");
    else if (zero || (n->n_in == 1 && last != n->in[0] && rectified_before(g, i, last)))
        from[i] = last;
    return BASE_OK;
}

/* Nodes that the output needs, and what is behind it (a Softmax). */
static void mark_used(const struct graph *g, const int *from, bool *used)
{
    used[from[g->output]] = used[0] = true;
    for (int i = g->output + 1; i < g->n_node; i++)
        used[i] = from[i] == i;
    for (int i = g->n_node - 1; i >= 0; i--)
        for (int k = 0; used[i] && k < g->node[i].n_in; k++)
            used[from[g->node[i].in[k]]] = true;
}

/* Close up the nodes of a copy; at[]: new indices. */
static void close_up(struct graph *d, const int *from, const bool *used, int *at)
{
    int n = 0;
    for (int i = 0; i < d->n_node; i++) {
        if (!used[i])
            continue;
        struct graph_node node = d->node[i];
        for (int k = 0; k < node.n_in; k++)
            node.in[k] = at[from[node.in[k]]];
        at[i] = n;
        d->node[n++] = node;
    }
    d->output = at[from[d->output]];
    d->n_node = n;
}

static int remove_traced(struct graph **out, const struct graph *g, const bool *gone, int *from, int *at, bool *used)
{
    int rc = graph_check(g);
    for (int i = 0; !rc && i < g->n_node; i++)
        rc = trace(g, gone, from, i);
    if (!rc && from[g->output] == ZERO)
        rc = refuse(g, g->output, "nothing");
    if (rc || !out)
        return rc;
    mark_used(g, from, used);
    struct graph *d = graph_clone(g);
    if (!d)
        return BASE_NOMEM;
    close_up(d, from, used, at);
    if ((rc = graph_check(d))) {
        graph_free(d);
        return rc;
    }
    *out = d;
    return BASE_OK;
}

int graph_remove_branches(struct graph **out, const struct graph *g, const bool *gone)
{
    if (out)
        *out = NULL;
    int *from = BASE_NEW_N(int, g->n_node), *at = BASE_NEW_N(int, g->n_node);
    bool *used = BASE_NEW_N(bool, g->n_node);
    int rc = from && at && used ? remove_traced(out, g, gone, from, at, used) : BASE_NOMEM;
    base_free(from);
    base_free(at);
    base_free(used);
    return rc;
}
