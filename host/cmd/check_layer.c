#include "cmd/check_layer.h"

enum { MAX_STRIDE = 2, MAX_POOL = 3 };

/* A window over the edge's border divides by fewer pixels there. */
static bool reaches_padding(const struct graph_node *n, struct graph_shape in)
{
    return n->pad_t > 0 || n->pad_l > 0 || (n->shape.h - 1) * n->stride + n->kh > in.h || (n->shape.w - 1) * n->stride + n->kw > in.w;
}

/* A single window takes no step. */
static const char *check_stride(const struct graph_node *n)
{
    bool once = n->shape.h == 1 && n->shape.w == 1;
    return n->stride > MAX_STRIDE && !once ? "a stride of more than 2" : NULL;
}

static const char *check_term(const struct graph *g, const struct graph_layers *ls, const struct graph_term *t)
{
    const struct graph_node *n = t->node < 0 ? NULL : &g->node[t->node];
    if (!n || n->op == GRAPH_DENSE)
        return NULL;
    if (n->op == GRAPH_AVGPOOL && reaches_padding(n, graph_edge_shape(g, ls, t->edge)))
        return "an average pool whose windows reach into padding: use windows that tile the map";
    return check_stride(n);
}

static const char *check_maxpool(const struct graph *g, const struct graph_layer *l, bool last)
{
    const struct graph_node *n = &g->node[l->node];
    if (l->term[0].edge == 0 || last)
        return "a max pool of the image itself, or as the last layer";
    if (n->kh > MAX_POOL || n->kw > MAX_POOL)
        return "a max pool of more than 3 x 3: use two behind each other";
    return check_stride(n);
}

bool check_layer(char why[160], const struct graph *g, const struct graph_layers *ls, int layer)
{
    const struct graph_layer *l = &ls->layer[layer];
    bool last = layer == ls->n - 1;
    const char *text = l->kind == GRAPH_LAYER_MAXPOOL ? check_maxpool(g, l, last) : NULL;
    for (int t = 0; !text && l->kind == GRAPH_LAYER_MAC && t < l->n_term; t++)
        text = check_term(g, ls, &l->term[t]);
    if (!text && last && (l->shape.h != 1 || l->shape.w != 1))
        text = "logits of more than 1 x 1: pool in front";
    if (text)
        snprintf(why, 160, "the accelerator does not run %s", text);
    return text != NULL;
}
