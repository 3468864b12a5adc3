/* The graph as the accelerator sees it: nodes fused into layers.
 *
 * Nodes are visited in topological order. A term (Conv, Dense, AvgPool, Shortcut, with
 * the BatchNorm behind it) that only an Add reads is kept back for that Add; anything
 * else becomes a layer with the ReLU behind it. Flatten and Softmax are seen through.
 */
#include "graph/graph.h"

#include <string.h>

struct fuse {
    struct graph *g;
    struct graph_layers *ls;
    int *edge;                  /* per node: the edge that holds its output, -1 none */
    bool *kept;                 /* per node: a term waiting for its Add */
    struct graph_term *term;    /* per node: that term */
    struct base_text fault;
};

static bool transparent(enum graph_op op)
{
    return op == GRAPH_FLATTEN || op == GRAPH_SOFTMAX;
}

/* The only node that reads `node` (looking through Flatten and Softmax), or -1 if there
 * are none or several, or if the node is the network's output as well. */
static int sole_consumer(const struct graph *g, int node)
{
    for (;;) {
        int found = -1;
        if (node == g->output)
            return -1;
        for (int i = node + 1; i < g->n_node; i++)
            for (int k = 0; k < g->node[i].n_in; k++)
                if (g->node[i].in[k] == node) {
                    if (found >= 0)
                        return -1;
                    found = i;
                }
        if (found < 0 || !transparent(g->node[found].op))
            return found;
        node = found;
    }
}

static bool sole_consumer_is(const struct graph *g, int node, enum graph_op op)
{
    int c = sole_consumer(g, node);
    return c >= 0 && g->node[c].op == op;
}

static void fault(struct fuse *f, int node, const char *why)
{
    const struct graph_node *n = &f->g->node[node];
    base_text_add(&f->fault, "%snode '%s': %s %s", f->fault.len ? "; " : "", n->name, graph_op_name(n->op), why);
}

/* The producer behind transparent nodes. */
static int producer(const struct graph *g, int node)
{
    while (transparent(g->node[node].op))
        node = g->node[node].in[0];
    return node;
}

static struct graph_layer *open_layer(struct fuse *f, enum graph_layer_kind kind, int node)
{
    struct graph_layer *l = &f->ls->layer[f->ls->n];
    memset(l, 0, sizeof *l);
    l->name = f->g->node[node].name;
    l->kind = kind;
    l->node = node;
    l->relu = GRAPH_OP_COUNT;
    return l;
}

/* End the layer opened last, whose value so far is that of node `tail`. */
static void close_layer(struct fuse *f, struct graph_layer *l, int tail)
{
    const struct graph *g = f->g;
    int next = sole_consumer(g, tail);
    l->out_node = tail;
    if (l->kind == GRAPH_LAYER_MAC && next >= 0 && (g->node[next].op == GRAPH_RELU || g->node[next].op == GRAPH_RELU6)) {
        l->relu = g->node[next].op;
        l->out_node = next;
    }
    for (int t = 0; t < l->n_term; t++)
        l->has_weights |= l->term[t].node >= 0 && g->node[l->term[t].node].weight;
    l->shape = g->node[l->out_node].shape;
    f->edge[l->out_node] = ++f->ls->n;
}

/* Edge read by input k of a node, or -1 with the fault noted. */
static int read_edge(struct fuse *f, int node, int k)
{
    int src = producer(f->g, f->g->node[node].in[k]);
    if (f->edge[src] < 0 && !f->fault.len)
        fault(f, node, "reads a value that is not the output of a layer");
    return f->edge[src];
}

static void visit_term(struct fuse *f, int node)
{
    const struct graph *g = f->g;
    struct graph_term t = { .node = node, .batchnorm = -1, .edge = read_edge(f, node, 0), .chan = 0 };
    int tail = node;
    if (g->node[node].weight && sole_consumer_is(g, node, GRAPH_BATCHNORM))
        tail = t.batchnorm = sole_consumer(g, node);
    if (sole_consumer_is(g, tail, GRAPH_ADD)) {
        f->kept[tail] = true;
        f->term[tail] = t;
        return;
    }
    struct graph_layer *l = open_layer(f, GRAPH_LAYER_MAC, node);
    l->term[l->n_term++] = t;
    close_layer(f, l, tail);
}

static void visit_sum(struct fuse *f, int node)
{
    const struct graph_node *n = &f->g->node[node];
    struct graph_layer *l = open_layer(f, GRAPH_LAYER_MAC, node);
    int chan = 0;
    for (int k = 0; k < n->n_in; k++) {
        int src = producer(f->g, n->in[k]);
        struct graph_term *t = &l->term[l->n_term++];
        if (n->op == GRAPH_ADD && f->kept[src])
            *t = f->term[src];
        else
            *t = (struct graph_term){ .node = -1, .batchnorm = -1, .edge = read_edge(f, node, k), .chan = chan };
        if (n->op == GRAPH_CONCAT)
            chan += f->g->node[src].shape.c;
    }
    close_layer(f, l, node);
}

/* max and ReLU commute: a ReLU behind a MaxPool moves to the MAC layer in front if nothing else reads that. */
static void visit_maxpool(struct fuse *f, int node)
{
    const struct graph *g = f->g;
    struct graph_layer *l = open_layer(f, GRAPH_LAYER_MAXPOOL, node);
    l->n_term = 1;
    l->term[0] = (struct graph_term){ .node = -1, .batchnorm = -1, .edge = read_edge(f, node, 0) };
    close_layer(f, l, node);
    int next = sole_consumer(g, node), src = producer(g, g->node[node].in[0]);
    struct graph_layer *front = l->term[0].edge > 0 ? &f->ls->layer[l->term[0].edge - 1] : NULL;
    if (front && front->kind == GRAPH_LAYER_MAC && front->relu == GRAPH_OP_COUNT && sole_consumer(g, src) == node && next >= 0 &&
        (g->node[next].op == GRAPH_RELU || g->node[next].op == GRAPH_RELU6)) {
        front->relu = g->node[next].op;
        f->edge[node] = -1;
        f->edge[next] = f->ls->n;
        l->out_node = next;
    }
}

/* A ReLU of a map that others read as well (pre-activation networks): a layer that rectifies its edge. */
static void visit_relu(struct fuse *f, int node)
{
    if (f->edge[node] >= 0)
        return;
    int edge = read_edge(f, node, 0);
    struct graph_layer *l = open_layer(f, GRAPH_LAYER_MAC, node);
    l->n_term = 1;
    l->term[0] = (struct graph_term){ .node = -1, .batchnorm = -1, .edge = edge };
    close_layer(f, l, node);
    l->relu = f->g->node[node].op;
}

static bool has_consumer(const struct graph *g, int node)
{
    for (int i = node + 1; i < g->n_node; i++)
        for (int k = 0; k < g->node[i].n_in; k++)
            if (g->node[i].in[k] == node)
                return true;
    return false;
}

static void visit(struct fuse *f, int i)
{
    switch (f->g->node[i].op) {
    case GRAPH_INPUT:
        f->edge[i] = 0;
        break;
    case GRAPH_CONV:
    case GRAPH_DENSE:
    case GRAPH_AVGPOOL:
    case GRAPH_SHORTCUT:
        visit_term(f, i);
        break;
    case GRAPH_ADD:
    case GRAPH_CONCAT:
        visit_sum(f, i);
        break;
    case GRAPH_MAXPOOL:
        visit_maxpool(f, i);
        break;
    case GRAPH_BATCHNORM:
        if (f->edge[i] < 0 && !f->kept[i] && !f->g->node[producer(f->g, f->g->node[i].in[0])].weight)
            fault(f, i, "must directly follow a Conv or Dense that nothing else reads (fold it elsewhere before export)");
        else if (sole_consumer(f->g, producer(f->g, f->g->node[i].in[0])) != i)
            fault(f, i, "follows a Conv or Dense that other nodes read too");
        break;
    case GRAPH_RELU:
    case GRAPH_RELU6:
        visit_relu(f, i);
        break;
    case GRAPH_SOFTMAX:
        if (has_consumer(f->g, i))
            fault(f, i, "must be the last node: only the order of the classes is kept");
        break;
    case GRAPH_FLATTEN:
    case GRAPH_OP_COUNT:
        break;
    }
}

int graph_make_layers(struct graph *g, struct graph_layers *out)
{
    *out = (struct graph_layers){ 0 };
    struct fuse f = { .g = g, .ls = out };
    int rc = graph_check(g);
    if (rc)
        return rc;
    out->layer = BASE_ARENA_NEW_N(g->arena, struct graph_layer, g->n_node);
    f.edge = BASE_NEW_N(int, g->n_node);
    f.kept = BASE_NEW_N(bool, g->n_node);
    f.term = BASE_NEW_N(struct graph_term, g->n_node);
    if (!out->layer || !f.edge || !f.kept || !f.term) {
        rc = BASE_NOMEM;
        goto done;
    }
    for (int i = 0; i < g->n_node; i++)
        f.edge[i] = -1;
    for (int i = 0; i < g->n_node; i++)
        visit(&f, i);
    out->n_edge = out->n + 1;
    if (f.fault.failed)
        rc = BASE_NOMEM;
    else if (f.fault.len)
        rc = base_fail(BASE_INPUT, "graph '%s': %s", g->name, f.fault.s);
    else if (f.edge[producer(g, g->output)] < 1)
        rc = base_fail(BASE_INPUT, "graph '%s': its output '%s' is not the output of a layer", g->name, g->node[g->output].name);
done:
    base_text_free(&f.fault);
    base_free(f.edge);
    base_free(f.kept);
    base_free(f.term);
    return rc;
}

struct graph_shape graph_edge_shape(const struct graph *g, const struct graph_layers *ls, int edge)
{
    return edge == 0 ? g->node[0].shape : ls->layer[edge - 1].shape;
}

/* A term that multiplies by trained weights, or reads the normalized (signed) input, can be negative. */
static bool term_signed(const struct graph *g, const struct graph_layers *ls, const struct graph_term *t)
{
    if (t->edge == 0 || (t->node >= 0 && g->node[t->node].weight))
        return true;
    return graph_edge_signed(g, ls, t->edge);
}

bool graph_edge_signed(const struct graph *g, const struct graph_layers *ls, int edge)
{
    if (edge == 0)
        return false;
    const struct graph_layer *l = &ls->layer[edge - 1];
    if (l->relu != GRAPH_OP_COUNT)
        return false;
    if (l->kind == GRAPH_LAYER_MAXPOOL)
        return graph_edge_signed(g, ls, l->term[0].edge);
    bool any = false;
    for (int t = 0; t < l->n_term; t++)
        any |= term_signed(g, ls, &l->term[t]);
    return any;
}
