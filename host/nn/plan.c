/* Laying a graph out for running: buffers, geometry, parameters and the lists of steps. */
#include "nn/nn_internal.h"

#include <math.h>
#include <string.h>

/* ---- edges -------------------------------------------------------------------------- */

/* The input keeps its own channel count unless an operator other than a convolution reads it. */
static bool input_is_convolved(const struct nn *m)
{
    const struct graph_layers *ls = &m->layers;
    for (int i = 0; i < ls->n; i++)
        for (int t = 0; t < ls->layer[i].n_term; t++) {
            const struct graph_term *g = &ls->layer[i].term[t];
            if (g->edge == 0 && (g->node < 0 || m->graph->node[g->node].op != GRAPH_CONV || m->graph->node[g->node].depthwise))
                return false;
        }
    return true;
}

static void *batch_floats(struct nn *m, size_t floats)
{
    return base_arena_alloc(m->arena, sizeof(float) * floats * (size_t)m->max_batch);
}

static int plan_edge(struct nn *m, int e)
{
    struct nn_edge *d = &m->edge[e];
    struct graph_shape s = graph_edge_shape(m->graph, &m->layers, e);
    d->h = s.h, d->w = s.w, d->c = s.c;
    d->cp = e == 0 && input_is_convolved(m) ? s.c : nn_round8(s.c);
    d->floats = (size_t)s.h * s.w * d->cp;
    d->finish.relu_hi = -1;
    if (e == 0)
        return BASE_OK;
    enum graph_op relu = m->layers.layer[e - 1].relu;
    d->finish.relu_hi = relu == GRAPH_RELU ? INFINITY : relu == GRAPH_RELU6 ? 6 : -1;
    if (!m->training)
        return BASE_OK;
    d->mask = base_arena_alloc(m->arena, d->floats / 8 * (size_t)m->max_batch);
    d->scale_grad = BASE_ARENA_NEW_N(m->arena, double, NN_CHUNKS);
    if (m->layers.layer[e - 1].kind == GRAPH_LAYER_MAXPOOL && !(d->which = base_arena_alloc(m->arena, d->floats * (size_t)m->max_batch)))
        return BASE_NOMEM;
    return d->mask && d->scale_grad ? BASE_OK : BASE_NOMEM;
}

/* ---- parameters ----------------------------------------------------------------------- */

static int add_param(struct nn *m, struct nn_param **out, float *value, int64_t n, bool decay, int node, char which)
{
    if (!value || !m->training)
        return BASE_OK;
    struct nn_param *p = &m->param[m->n_param++];
    *p = (struct nn_param){ .value = value, .n = n, .decay = decay, .node = node, .which = which };
    p->grad = BASE_ARENA_NEW_N(m->arena, float, n);
    p->velocity = BASE_ARENA_NEW_N(m->arena, float, n);
    *out = p;
    p->square = BASE_ARENA_NEW_N(m->arena, float, n);
    return p->grad && p->velocity && p->square ? BASE_OK : BASE_NOMEM;
}

static int plan_params(struct nn *m, struct nn_term *t)
{
    const struct graph_node *n = &m->graph->node[t->node];
    int rc;
    if ((rc = add_param(m, &t->weight, n->weight, (int64_t)t->cout * n->kh * n->kw * t->cin, true, t->node, 'w')) ||
        (rc = add_param(m, &t->bias, n->bias, t->cout, false, t->node, 'b')) || t->batchnorm < 0)
        return rc;
    const struct graph_node *bn = &m->graph->node[t->batchnorm];
    if ((rc = add_param(m, &t->gamma, bn->gamma, t->cout, false, t->batchnorm, 'g')))
        return rc;
    return add_param(m, &t->beta, bn->beta, t->cout, false, t->batchnorm, 'e');
}

/* ---- terms ------------------------------------------------------------------------------ */

enum { FEW_PIXELS = 16 };

static bool is_small_pointwise(const struct graph_node *n, const struct nn_edge *in)
{
    return n->kh == 1 && n->kw == 1 && n->stride == 1 && n->shape.h == in->h && n->shape.w == in->w && in->h * in->w <= FEW_PIXELS && in->cp % 8 == 0;
}

static enum nn_term_kind kind_of(const struct graph_node *n, const struct nn_edge *in)
{
    switch (n->op) {
    case GRAPH_CONV: return n->depthwise ? NN_DEPTHWISE : is_small_pointwise(n, in) ? NN_DENSE : NN_CONV;
    case GRAPH_DENSE: return NN_DENSE;
    case GRAPH_AVGPOOL: return NN_AVGPOOL;
    default: return NN_SHORTCUT;
    }
}

static struct nn_window window_of(const struct graph_node *n, const struct nn_edge *in)
{
    return (struct nn_window){ .h = in->h, .w = in->w, .oh = n->shape.h, .ow = n->shape.w, .c = in->cp, .kh = n->kh, .kw = n->kw,
                               .stride = n->stride, .pad_t = n->pad_t, .pad_l = n->pad_l };
}

static int plan_vectors(struct nn *m, struct nn_term *t)
{
    int o = t->conv.o;
    float **v[] = { &t->sc, &t->sh, &t->k1, &t->k2, &t->k3, &t->mean, &t->inv };
    for (int i = 0; i < BASE_COUNT(v); i++)
        if (!(*v[i] = BASE_ARENA_NEW_N(m->arena, float, o)))
            return BASE_NOMEM;
    t->sum = BASE_ARENA_NEW_N(m->arena, double, (size_t)NN_CHUNKS * 2 * o);
    return t->sum ? BASE_OK : BASE_NOMEM;
}

/* Winograd's method where it applies; the packed weights and their gradient take another form then. */
static int plan_winograd(struct nn *m, struct nn_term *t, bool back)
{
    struct nn_conv *c = &t->conv;
    int rc = BASE_OK;
    t->fast_forward = nn_winograd_fits(c->kh, c->kw, c->stride, c->oh, c->ow, c->c);
    t->fast_back = back && nn_winograd_fits(c->kh, c->kw, c->stride, c->h, c->w, c->o);
    if (t->fast_forward)
        rc = nn_winograd_plan(&t->winograd, m->arena, c->oh, c->ow, c->c, c->o);
    if (!rc && t->fast_back)
        rc = nn_winograd_plan(&t->winograd_back, m->arena, c->h, c->w, c->o, c->c);
    if (t->fast_forward)
        c->pack_forward = 16 * (size_t)c->c * c->o;
    if (t->fast_back)
        c->pack_back = 16 * (size_t)c->c * c->o;
    return rc;
}

static int plan_weighted(struct nn *m, struct nn_term *t)
{
    const struct graph_node *n = &m->graph->node[t->node];
    const struct nn_edge *in = &m->edge[t->edge];
    struct nn_conv *c = &t->conv;
    int rc = BASE_OK;
    bool back = m->training && t->edge > 0;
    *c = (struct nn_conv){ .h = in->h, .w = in->w, .c = in->cp, .oh = n->shape.h, .ow = n->shape.w, .o = nn_round8(n->shape.c),
                           .kh = n->kh, .kw = n->kw, .stride = n->stride, .pad_t = n->pad_t, .pad_l = n->pad_l };
    t->cout = n->shape.c;
    t->cin = n->depthwise ? 1 : in->c;
    t->weighted = true;
    t->number = m->n_weighted;
    m->weighted[m->n_weighted++] = t;
    if (t->kind != NN_DENSE && (rc = nn_conv_plan(c, m->arena, back && t->kind == NN_CONV)))
        return rc;
    if (t->kind == NN_CONV && (rc = plan_winograd(m, t, back)))
        return rc;
    if (t->kind == NN_DENSE) {
        t->rows = n->op == GRAPH_CONV ? in->h * in->w : 1;
        t->k_dense = (int)in->floats / t->rows;
        c->pack_forward = (size_t)t->k_dense * c->o;
        c->pack_back = back ? c->pack_forward : 0;
    } else if (t->kind == NN_DEPTHWISE) {
        c->pack_forward = (size_t)c->kh * c->kw * c->c;
    }
    t->direct_input = c->hp == in->h && c->wp == in->w;
    t->pack_forward = BASE_ARENA_NEW_N(m->arena, float, (t->kind == NN_DEPTHWISE ? 2 : 1) * c->pack_forward);
    t->pack_back = c->pack_back ? BASE_ARENA_NEW_N(m->arena, float, c->pack_back) : t->pack_forward;
    t->grad_floats = c->pack_forward;
    if (t->kind != NN_DENSE) {
        t->grad_at = m->share_floats;
        m->share_floats += t->grad_floats;
    } else if (m->training && !(t->dw = BASE_ARENA_NEW_N(m->arena, float, t->grad_floats)))
        return BASE_NOMEM;
    if ((t->kind == NN_DENSE || (m->training && t->batchnorm >= 0)) && !(t->z = batch_floats(m, (size_t)c->oh * c->ow * c->o)))
        return BASE_NOMEM;
    if (!t->pack_forward || !t->pack_back)
        return BASE_NOMEM;
    if ((rc = plan_vectors(m, t)))
        return rc;
    return plan_params(m, t);
}

static int plan_term(struct nn *m, struct nn_term *t, const struct graph_term *g, int layer, int index)
{
    t->layer = layer, t->index = index;
    t->node = g->node, t->batchnorm = g->batchnorm, t->edge = g->edge, t->chan = g->chan;
    t->channels = m->edge[g->edge].c;
    if (g->node < 0)
        return BASE_OK;                  /* NN_IDENTITY */
    const struct graph_node *n = &m->graph->node[g->node];
    t->kind = kind_of(n, &m->edge[g->edge]);
    if (n->weight)
        return plan_weighted(m, t);
    t->window = window_of(n, &m->edge[g->edge]);
    return BASE_OK;
}

static void mark_live(struct nn *m)
{
    m->layer[m->out_edge - 1].live = true;
    for (int i = m->layers.n - 1; i >= 0; i--)
        for (int t = 0; m->layer[i].live && t < m->layers.layer[i].n_term; t++)
            if (m->layers.layer[i].term[t].edge > 0)
                m->layer[m->layers.layer[i].term[t].edge - 1].live = true;
}

static int plan_layer(struct nn *m, int i)
{
    struct nn_layer *l = &m->layer[i];
    const struct graph_layer *g = l->g = &m->layers.layer[i];
    if (g->kind == GRAPH_LAYER_MAXPOOL) {
        const struct graph_node *n = &m->graph->node[g->node];
        if (n->kh * n->kw > 255)
            return base_fail(BASE_INPUT, "node '%s': a max pool of %d x %d is larger than the supported 255 taps", n->name, n->kh, n->kw);
        l->window = window_of(n, &m->edge[g->term[0].edge]);
    }
    if (!(l->term = BASE_ARENA_NEW_N(m->arena, struct nn_term, g->n_term)))
        return BASE_NOMEM;
    l->n_term = g->n_term;
    int rc = BASE_OK;
    for (int t = 0; !rc && t < g->n_term; t++) {
        rc = plan_term(m, &l->term[t], &g->term[t], i, t);
        l->any_batchnorm |= g->term[t].batchnorm >= 0;
    }
    return rc;
}

/* ---- scratch of a worker: the largest of each kind ------------------------------------------ */

static int plan_scratch(struct nn *m)
{
    size_t pad = 8, grad = 8, map = 8, z = 8, winograd = 8;
    for (int e = 0; e < m->layers.n_edge; e++)
        map = BASE_MAX(map, m->edge[e].floats);
    for (int i = 0; i < m->layers.n; i++)
        for (int t = 0; t < m->layer[i].n_term; t++) {
            const struct nn_term *q = &m->layer[i].term[t];
            pad = BASE_MAX(pad, (size_t)q->conv.hp * q->conv.wp * q->conv.c);
            grad = BASE_MAX(grad, (size_t)q->conv.ghp * q->conv.gwp * q->conv.o);
            winograd = BASE_MAX(winograd, BASE_MAX(q->winograd.scratch, q->winograd_back.scratch));
            z = BASE_MAX(z, (size_t)q->conv.oh * q->conv.ow * q->conv.o);
        }
    int workers = base_pool_threads(m->pool);
    if (!(m->scratch = BASE_ARENA_NEW_N(m->arena, struct nn_scratch, workers)))
        return BASE_NOMEM;
    for (int w = 0; w < workers; w++) {
        struct nn_scratch *s = &m->scratch[w];
        s->worker = w;
        s->pad = BASE_ARENA_NEW_N(m->arena, float, pad);
        s->grad = BASE_ARENA_NEW_N(m->arena, float, grad);
        s->sum = BASE_ARENA_NEW_N(m->arena, float, map);
        s->winograd = BASE_ARENA_NEW_N(m->arena, float, winograd);
        if (!s->pad || !s->grad || !s->sum || !s->winograd)
            return BASE_NOMEM;
        for (int t = 0; t < GRAPH_MAX_TERM; t++)
            if (!(s->z[t] = BASE_ARENA_NEW_N(m->arena, float, z)))
                return BASE_NOMEM;
    }
    return BASE_OK;
}

static size_t most_moments(const struct nn *m)
{
    size_t most = 1;
    for (int i = 0; i < m->layers.n; i++) {
        size_t n = 0;
        for (int t = 0; t < m->layer[i].n_term; t++)
            n += m->layer[i].term[t].batchnorm >= 0 ? 2 * (size_t)m->layer[i].term[t].cout : 0;
        most = BASE_MAX(most, n);
    }
    return most;
}

int nn_plan_terms(struct nn *m)
{
    int n = m->layers.n, rc = BASE_OK;
    m->edge = BASE_ARENA_NEW_N(m->arena, struct nn_edge, m->layers.n_edge);
    m->layer = BASE_ARENA_NEW_N(m->arena, struct nn_layer, n);
    m->param = BASE_ARENA_NEW_N(m->arena, struct nn_param, 4 * (size_t)m->graph->n_node);
    m->weighted = BASE_ARENA_NEW_N(m->arena, struct nn_term *, (size_t)n * GRAPH_MAX_TERM);
    if (!m->edge || !m->layer || !m->param || !m->weighted)
        return BASE_NOMEM;
    for (int e = 0; !rc && e < m->layers.n_edge; e++)
        rc = plan_edge(m, e);
    for (int i = 0; !rc && i < n; i++)
        rc = plan_layer(m, i);
    if (rc)
        return rc;
    mark_live(m);
    if ((rc = nn_plan_maps(m)))
        return rc;
    if (!(m->moments = BASE_ARENA_NEW_N(m->arena, double, most_moments(m))))
        return BASE_NOMEM;
    if (m->training && !(m->share_grad = BASE_ARENA_NEW_N(m->arena, float, NN_CHUNKS * m->share_floats + 8)))
        return BASE_NOMEM;
    return plan_scratch(m);
}

int nn_plan_statistics(struct nn *m)
{
    int rc = nn_keep_maps(m);
    if (rc)
        return rc;
    for (int i = 0; i < m->layers.n; i++)
        for (int t = 0; t < m->layer[i].n_term; t++) {
            struct nn_term *q = &m->layer[i].term[t];
            if (q->batchnorm >= 0 && !q->z && !(q->z = batch_floats(m, (size_t)q->conv.oh * q->conv.ow * q->conv.o)))
                return BASE_NOMEM;
        }
    return BASE_OK;
}

/* ---- programs --------------------------------------------------------------------------------- */

static void add_step(struct nn_program *p, enum nn_step_kind kind, int layer, int term, bool first)
{
    p->step[p->n++] = (struct nn_step){ .kind = kind, .layer = layer, .term = term, .first = first };
}

static void add_forward(struct nn_program *p, const struct nn *m, bool training)
{
    add_step(p, NN_STEP_INPUT, 0, 0, false);
    for (int i = 0; i < m->layers.n; i++) {
        const struct nn_layer *l = &m->layer[i];
        if (!l->live)
            continue;
        for (int t = 0; t < l->n_term; t++) /* a share's steps first: the sums of the others stay in scratch until NN_STEP_OUT */
            if (l->term[t].kind == NN_DENSE)
                add_step(p, NN_STEP_DENSE, i, t, false);
        for (int t = 0; t < l->n_term; t++)
            if (l->term[t].weighted && l->term[t].kind != NN_DENSE)
                add_step(p, NN_STEP_TERM, i, t, false);
        if (training && l->any_batchnorm)
            add_step(p, NN_STEP_STATISTICS, i, 0, false);
        add_step(p, NN_STEP_OUT, i, 0, false);
    }
}

static void add_backward(struct nn_program *p, const struct nn *m, bool *written)
{
    add_step(p, NN_STEP_LOSS, 0, 0, false);
    written[m->out_edge] = true;
    for (int i = m->layers.n - 1; i >= 0; i--) {
        const struct nn_layer *l = &m->layer[i];
        if (!l->live)
            continue;
        add_step(p, NN_STEP_MASK, i, 0, false);
        if (l->any_batchnorm)
            add_step(p, NN_STEP_STATISTICS_BACK, i, 0, false);
        for (int t = 0; t < l->n_term; t++) {
            const struct nn_term *q = &l->term[t];
            if (q->edge == 0 && !q->weighted)
                continue;
            add_step(p, q->kind == NN_DENSE ? NN_STEP_DENSE_BACK : NN_STEP_BACK, i, t, !written[q->edge]);
            written[q->edge] = true;
        }
    }
}

int nn_plan_program(struct nn *m)
{
    size_t most = 4;
    for (int i = 0; i < m->layers.n; i++)
        most += 4 + 2 * (size_t)m->layer[i].n_term;
    m->forward.step = BASE_ARENA_NEW_N(m->arena, struct nn_step, most);
    m->statistics.step = BASE_ARENA_NEW_N(m->arena, struct nn_step, most);
    m->train.step = BASE_ARENA_NEW_N(m->arena, struct nn_step, most);
    bool *written = BASE_ARENA_NEW_N(m->arena, bool, m->layers.n_edge);
    if (!m->forward.step || !m->statistics.step || !m->train.step || !written)
        return BASE_NOMEM;
    add_forward(&m->forward, m, false);
    add_forward(&m->statistics, m, true);
    add_step(&m->train, NN_STEP_ZERO, 0, 0, false);
    add_forward(&m->train, m, true);
    add_backward(&m->train, m, written);
    return BASE_OK;
}
