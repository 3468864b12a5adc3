/* The engine's life, single batches, and the optimizer's step. */
#include "nn/nn_internal.h"

#include <math.h>
#include <string.h>

/* ---- life --------------------------------------------------------------------------- */

static const struct graph_node *input_of(const struct nn *m)
{
    return &m->graph->node[0];
}

/* Pixel value -> input value, per channel. */
static int plan_input(struct nn *m)
{
    const struct graph_prep *p = &m->graph->prep;
    int c = input_of(m)->shape.c;
    m->lut = BASE_ARENA_NEW_N(m->arena, float, 256 * (size_t)c);
    m->pad_value = BASE_ARENA_NEW_N(m->arena, float, m->edge[0].cp);
    if (!m->lut || !m->pad_value)
        return BASE_NOMEM;
    for (int k = 0; k < c; k++)
        for (int v = 0; v < 256; v++)
            m->lut[k * 256 + v] = k < p->n ? ((float)v * p->scale - p->mean[k]) / p->std[k] : (float)v * p->scale;
    return BASE_OK;
}

/* The edge that holds the output node's value. */
static int find_output(struct nn *m)
{
    const struct graph *g = m->graph;
    int node = g->output;
    while (g->node[node].op == GRAPH_FLATTEN || g->node[node].op == GRAPH_SOFTMAX)
        node = g->node[node].in[0];
    for (int i = 0; i < m->layers.n; i++)
        if (m->layers.layer[i].out_node == node)
            m->out_edge = i + 1;
    struct graph_shape s = m->out_edge ? graph_edge_shape(g, &m->layers, m->out_edge) : (struct graph_shape){ 0, 0, 0 };
    if (s.h != 1 || s.w != 1)
        return base_fail(BASE_INPUT, "node '%s': the output is a map of %d x %d x %d, not 1 x 1 x classes; end the network with a global pool or a dense layer",
                         g->node[g->output].name, s.h, s.w, s.c);
    m->classes = s.c;
    return BASE_OK;
}

static int plan(struct nn *m)
{
    int rc = graph_make_layers(m->graph, &m->layers);
    if (rc || (rc = find_output(m)) || (rc = nn_plan_terms(m)) || (rc = plan_input(m)))
        return rc;
    m->loss_row = BASE_ARENA_NEW_N(m->arena, double, NN_CHUNKS * (size_t)m->classes);
    return m->loss_row ? nn_plan_program(m) : BASE_NOMEM;
}

int nn_new(struct nn **out, struct graph *g, const struct nn_options *o)
{
    *out = NULL;
    if (o->max_batch < 1)
        return base_fail(BASE_INPUT, "graph '%s': a batch of %d images (at least 1)", g->name, o->max_batch);
    struct nn *m = BASE_NEW(struct nn);
    if (!m)
        return BASE_NOMEM;
    m->graph = g;
    m->training = o->training;
    m->max_batch = o->max_batch;
    m->momentum_bn = 0.1f;
    m->own_pool = !o->pool;
    m->pool = o->pool ? o->pool : base_pool_new(o->threads);
    m->arena = base_arena_new();
    int rc = m->pool && m->arena ? plan(m) : BASE_NOMEM;
    if (rc) {
        nn_free(m);
        return rc;
    }
    *out = m;
    return BASE_OK;
}

void nn_free(struct nn *m)
{
    if (!m)
        return;
    if (m->own_pool)
        base_pool_free(m->pool);
    base_arena_free(m->arena);
    base_free(m);
}

const struct graph_layers *nn_layers(const struct nn *m)
{
    return &m->layers;
}

struct graph *nn_graph(struct nn *m)
{
    return m->graph;
}

int nn_classes(const struct nn *m)
{
    return m->classes;
}

int nn_max_batch(const struct nn *m)
{
    return m->max_batch;
}

struct base_pool *nn_pool(const struct nn *m)
{
    return m->pool;
}

size_t nn_image_bytes(const struct nn *m)
{
    struct graph_shape s = input_of(m)->shape;
    return (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

size_t nn_memory(const struct nn *m)
{
    return base_arena_bytes(m->arena);
}

/* ---- start values ---------------------------------------------------------------------- */

static void set_all(float *v, int n, float value)
{
    for (int i = 0; v && i < n; i++)
        v[i] = value;
}

static void init_node(const struct graph *g, const struct graph_node *n, struct base_rng *r)
{
    int c = n->shape.c;
    set_all(n->bias, c, 0);
    set_all(n->gamma, c, 1);
    set_all(n->beta, c, 0);
    set_all(n->mean, c, 0);
    set_all(n->var, c, 1);
    if (!n->weight)
        return;
    int64_t fan_in = (int64_t)n->kh * n->kw * (n->depthwise ? 1 : g->node[n->in[0]].shape.c);
    float sigma = sqrtf(2.0f / (float)fan_in);
    for (int64_t i = 0; i < fan_in * c; i++)
        n->weight[i] = sigma * base_rng_normal(r);
}

void nn_init_parameters(struct graph *g, uint64_t seed)
{
    for (int i = 0; i < g->n_node; i++) {
        struct base_rng r;
        base_rng_stream(&r, seed, (uint64_t)i);
        init_node(g, &g->node[i], &r);
    }
}

/* ---- inference ---------------------------------------------------------------------------- */

void nn_forward_batch(struct nn *m, const uint8_t *pixels, int n)
{
    m->batch = (struct nn_batch){ .pixels = pixels, .n = n };
    nn_run(m, &m->forward);
}

int nn_forward(struct nn *m, const uint8_t *pixels, int n, float *logits)
{
    nn_prepare(m, &m->forward);
    for (int i = 0; i < n; i += m->max_batch) {
        int part = BASE_MIN(n - i, m->max_batch);
        nn_forward_batch(m, pixels + nn_image_bytes(m) * (size_t)i, part);
        for (int k = 0; k < part; k++, logits += m->classes)
            memcpy(logits, nn_batch_logits(m, k), sizeof *logits * (size_t)m->classes);
    }
    return BASE_OK;
}

int nn_edge_read(const struct nn *m, int edge, int index, float *out)
{
    if (edge < 0 || edge >= m->layers.n_edge || index < 0 || index >= m->batch.n || !m->edge[edge].image_step)
        return base_fail(BASE_INTERNAL, "graph '%s': edge %d of image %d is not there", m->graph->name, edge, index);
    const struct nn_edge *e = &m->edge[edge];
    const float *x = e->x + e->floats * (size_t)index;
    for (int p = 0; p < e->h * e->w; p++)
        memcpy(out + (size_t)p * e->c, x + (size_t)p * e->cp, sizeof *out * (size_t)e->c);
    return BASE_OK;
}

/* Steps of the inference program before layer `layers` begins; the first is the input's. */
static int steps_before(const struct nn *m, int layers)
{
    int n = 1;
    while (n < m->forward.n && m->forward.step[n].layer < layers)
        n++;
    return n;
}

int nn_forward_maps(struct nn *m, const uint8_t *pixels, int n, int layers, nn_maps_fn *each, void *ctx)
{
    int rc = nn_keep_maps(m), whole = m->forward.n;
    if (rc)
        return rc;
    nn_prepare(m, &m->forward);
    m->forward.n = steps_before(m, layers);
    for (int i = 0; !rc && i < n; i += m->max_batch) {
        int part = BASE_MIN(n - i, m->max_batch);
        nn_forward_batch(m, pixels + nn_image_bytes(m) * (size_t)i, part);
        rc = each(ctx, i, part);
    }
    m->forward.n = whole;
    return rc;
}

/* ---- one step --------------------------------------------------------------------------------- */

int nn_gradient(struct nn *m, const uint8_t *pixels, const uint16_t *labels, int n,
                const struct nn_loss_options *o, const float *teacher, double *loss, int *correct)
{
    if (!m->training || n < 1 || n > m->max_batch)
        return base_fail(BASE_INTERNAL, "graph '%s': a gradient of %d images from an engine for %s of at most %d", m->graph->name, n,
                         m->training ? "training" : "inference", m->max_batch);
    int rc = nn_check_labels(m, labels, n);
    if (rc || (rc = nn_quant_slopes(m)))
        return rc;
    m->batch = (struct nn_batch){ .pixels = pixels, .labels = labels, .teacher = teacher, .loss = o, .n = n, .total = m->ranks ? m->total : n };
    nn_prepare(m, &m->train);
    m->failed = BASE_OK;
    nn_run(m, &m->train);
    if (!m->ranks)
        nn_collect_gradients(m);
    double sum = 0;
    int right = 0;
    for (int s = 0; s < NN_CHUNKS; s++) {
        sum += m->batch.loss_sum[s];
        right += m->batch.correct[s];
    }
    if (m->ranks && (rc = nn_ranks_finish(m, &sum, &right)))
        return rc;
    if (loss)
        *loss = sum / m->batch.total;
    if (correct)
        *correct = right;
    return BASE_OK;
}

const float *nn_gradient_of(const struct nn *m, int node, char which)
{
    for (int i = 0; i < m->n_param; i++)
        if (m->param[i].node == node && m->param[i].which == which)
            return m->param[i].grad;
    return NULL;
}

static void sgd_param(struct nn_param *p, const struct nn_sgd *o)
{
    if (p->frozen)
        return;
    float decay = p->decay ? o->weight_decay : 0;
    for (int64_t i = 0; i < p->n; i++) {
        float g = p->grad[i] + decay * p->value[i];
        float v = p->velocity[i] = o->momentum * p->velocity[i] + g;
        p->value[i] -= o->lr * (o->nesterov ? g + o->momentum * v : v);
    }
}

void nn_sgd_step(struct nn *m, const struct nn_sgd *o)
{
    for (int i = 0; i < m->n_param; i++)
        sgd_param(&m->param[i], o);
    nn_quant_step(m, o);
}

static void adam_param(struct nn_param *p, const struct nn_adam *o, double unbias1, double unbias2)
{
    if (p->frozen)
        return;
    float decay = p->decay ? o->lr * o->weight_decay : 0, rate = (float)((double)o->lr / unbias1), root = (float)(1 / sqrt(unbias2));
    for (int64_t i = 0; i < p->n; i++) {
        float g = p->grad[i];
        float v = p->velocity[i] = o->beta1 * p->velocity[i] + (1 - o->beta1) * g;
        float s = p->square[i] = o->beta2 * p->square[i] + (1 - o->beta2) * g * g;
        p->value[i] -= decay * p->value[i] + rate * v / (sqrtf(s) * root + o->epsilon);
    }
}

void nn_adam_step(struct nn *m, const struct nn_adam *o, int64_t step)
{
    double unbias1 = 1 - pow((double)o->beta1, (double)step), unbias2 = 1 - pow((double)o->beta2, (double)step);
    for (int i = 0; i < m->n_param; i++)
        adam_param(&m->param[i], o, unbias1, unbias2);
    nn_quant_step(m, &(struct nn_sgd){ .lr = o->lr, .momentum = o->beta1, .weight_decay = o->weight_decay });
}
