/* prune_heads.c: heads of discrimination-aware pruning: cutting the network, fitting the dense layers, gradients. */
#include "compress/prune_heads.h"

#include <math.h>
#include <string.h>

enum { FIT_IMAGES = 2048, FIT_STEPS = 150 };

/* ---- cutting ------------------------------------------------------------------------- */

/* Drop what `last` does not need; node[i] := where node i went, or -1. */
static void cut(struct graph *g, int *node, int last)
{
    for (int i = 0; i < g->n_node; i++)
        node[i] = i == last ? 0 : -1;
    for (int i = last; i >= 0; i--)
        for (int k = 0; node[i] >= 0 && k < g->node[i].n_in; k++)
            node[g->node[i].in[k]] = 0;
    int n = 0, total = g->n_node;
    for (int i = 0; i < total; i++) {
        if (node[i] < 0)
            continue;
        struct graph_node *d = &g->node[n];
        *d = g->node[i];
        for (int k = 0; k < d->n_in; k++)
            d->in[k] = node[d->in[k]];
        node[i] = n++;
    }
    g->n_node = n;
    g->output = n - 1;
}

/* Layers with weights in PRUNE_HEADS equal parts: where part `h` (from 0) ends. */
static int end_of_part(const struct graph_layers *ls, int h)
{
    int weighted = 0, seen = 0;
    for (int i = 0; i < ls->n; i++)
        weighted += ls->layer[i].has_weights;
    for (int i = 0; i < ls->n; i++)
        if (ls->layer[i].has_weights && ++seen * PRUNE_HEADS >= (h + 1) * weighted)
            return i;
    return ls->n - 1;
}

/* The part of job->now up to the head's point, with pooling and classes behind it. */
static int add_classes(struct graph *g)
{
    static const int none[4] = { 0 };
    struct graph_shape s = g->node[g->output].shape;
    return graph_add_pool(g, "head: mean of the map", g->output, GRAPH_AVGPOOL, s.h, s.w, 1, none);
}

static int head_graph(struct prune_head *h, const struct prune_job *j, int index)
{
    bool last = index == PRUNE_HEADS - 1;
    struct graph *g = graph_clone(j->now);
    h->node = BASE_NEW_N(int, j->now->n_node);
    int rc = g && h->node ? BASE_OK : BASE_NOMEM;
    if (!rc)
        cut(g, h->node, last ? j->now->output : j->layers->layer[end_of_part(j->layers, index)].out_node);
    if (!rc && !last && (rc = add_classes(g)) >= 0)
        rc = graph_add_dense(g, "head: classes", rc, j->was->node[j->was->output].shape.c, true);
    if (rc >= 0)
        rc = graph_fold_batchnorm(g, &h->graph);
    for (int i = 0; !rc && i < j->now->n_node; i++)
        h->node[i] = graph_find(h->graph, j->now->node[i].name);
    graph_free(g);
    return rc;
}

/* ---- fitting the dense layers: softmax regression on standardized features ------------------ */

struct fit {
    int n, c, classes;
    float *x;              /* [n][c]: a map's means */
    uint16_t *label;       /* [n] */
    double *mean, *scale;  /* [c] */
    double *w, *v, *gw;    /* [classes][c + 1]: weights and a bias, momentum, gradient */
};

static void fit_free(struct fit *f)
{
    base_free(f->x);
    base_free(f->label);
    base_free(f->mean);
    base_free(f->scale);
    base_free(f->w);
    base_free(f->v);
    base_free(f->gw);
}

static int fit_new(struct fit *f, int n, int c, int classes)
{
    size_t w = (size_t)classes * (size_t)(c + 1);
    *f = (struct fit){ .n = n, .c = c, .classes = classes, .x = BASE_NEW_N(float, (size_t)n * (size_t)c), .label = BASE_NEW_N(uint16_t, n), .mean = BASE_NEW_N(double, c),
                       .scale = BASE_NEW_N(double, c), .w = BASE_NEW_N(double, w), .v = BASE_NEW_N(double, w), .gw = BASE_NEW_N(double, w) };
    return f->x && f->label && f->mean && f->scale && f->w && f->v && f->gw ? BASE_OK : BASE_NOMEM;
}

static void standardize(struct fit *f)
{
    for (int c = 0; c < f->c; c++) {
        double sum = 0, square = 0;
        for (int i = 0; i < f->n; i++) {
            double v = (double)f->x[(size_t)i * (size_t)f->c + (size_t)c];
            sum += v;
            square += v * v;
        }
        f->mean[c] = sum / f->n;
        double var = square / f->n - f->mean[c] * f->mean[c];
        f->scale[c] = var > 1e-12 ? 1 / sqrt(var) : 0;
        for (int i = 0; i < f->n; i++) {
            float *v = &f->x[(size_t)i * (size_t)f->c + (size_t)c];
            *v = (float)(((double)*v - f->mean[c]) * f->scale[c]);
        }
    }
}

/* Gradient of one image's cross-entropy, added. */
static void add_image(struct fit *f, int i, double *p)
{
    const float *x = f->x + (size_t)i * (size_t)f->c;
    double top = -INFINITY, sum = 0;
    for (int k = 0; k < f->classes; k++) {
        const double *w = f->w + (size_t)k * (size_t)(f->c + 1);
        p[k] = w[f->c];
        for (int c = 0; c < f->c; c++)
            p[k] += w[c] * (double)x[c];
        top = fmax(top, p[k]);
    }
    for (int k = 0; k < f->classes; k++)
        sum += p[k] = exp(p[k] - top);
    for (int k = 0; k < f->classes; k++) {
        double *g = f->gw + (size_t)k * (size_t)(f->c + 1), d = (p[k] / sum - (k == f->label[i])) / f->n;
        for (int c = 0; c < f->c; c++)
            g[c] += d * (double)x[c];
        g[f->c] += d;
    }
}

static int fit_run(struct fit *f)
{
    size_t n = (size_t)f->classes * (size_t)(f->c + 1);
    double *p = BASE_NEW_N(double, f->classes), rate = 1 / (1 + 0.25 * f->c);   /* below 2 over the largest curvature */
    if (!p)
        return BASE_NOMEM;
    standardize(f);
    for (int step = 0; step < FIT_STEPS; step++) {
        memset(f->gw, 0, sizeof *f->gw * n);
        for (int i = 0; i < f->n; i++)
            add_image(f, i, p);
        for (size_t i = 0; i < n; i++) {
            f->v[i] = 0.9 * f->v[i] + f->gw[i];
            f->w[i] -= rate * f->v[i];
        }
    }
    base_free(p);
    return BASE_OK;
}

/* The weights for features as they come. */
static void fit_store(const struct fit *f, struct graph_node *dense)
{
    for (int k = 0; k < f->classes; k++) {
        const double *w = f->w + (size_t)k * (size_t)(f->c + 1);
        double bias = w[f->c];
        for (int c = 0; c < f->c; c++) {
            double v = w[c] * f->scale[c];
            dense->weight[(size_t)k * (size_t)f->c + (size_t)c] = (float)v;
            bias -= v * f->mean[c];
        }
        dense->bias[k] = (float)bias;
    }
}

static int read_features(struct fit *f, const struct nn *nn, struct graph_shape s, int edge, int images, int at, float *map)
{
    int rc = BASE_OK;
    for (int i = 0; !rc && i < images; i++) {
        float *x = f->x + (size_t)(at + i) * (size_t)f->c;
        rc = nn_edge_read(nn, edge, i, map);
        for (int k = 0; !rc && k < s.h * s.w; k++)
            for (int c = 0; c < s.c; c++)
                x[c] += map[(size_t)k * (size_t)s.c + (size_t)c] / (float)(s.h * s.w);
    }
    return rc;
}

/* One pass of training images through the unpruned network fills the features of all heads. */
static int gather(struct fit *fit, const struct prune_heads *h, const struct prune_job *j, int images)
{
    struct nn *nn = NULL;
    struct nn_options o = NN_OPTIONS_INIT;
    int classes = j->was->node[j->was->output].shape.c;
    float *logits = BASE_NEW_N(float, PRUNE_HEAD_BATCH * classes), *map = NULL;
    o.pool = j->pool;
    o.max_batch = PRUNE_HEAD_BATCH;
    int rc = logits ? nn_new(&nn, j->was, &o) : BASE_NOMEM;
    if (!rc)
        rc = nn_keep_maps(nn);
    for (int at = 0; !rc && at < images; at += PRUNE_HEAD_BATCH) {
        rc = j->data->train.fill(j->data->train.ctx, at / PRUNE_HEAD_BATCH, PRUNE_HEAD_BATCH, h->pixels, h->labels);
        if (!rc)
            rc = nn_forward(nn, h->pixels, PRUNE_HEAD_BATCH, logits);
        for (int k = 0; !rc && k < h->n - 1; k++) {
            int layer = end_of_part(j->layers, k);
            struct graph_shape s = j->layers->layer[layer].shape;
            memcpy(fit[k].label + at, h->labels, sizeof *h->labels * PRUNE_HEAD_BATCH);
            base_free(map);
            map = BASE_NEW_N(float, (size_t)s.h * (size_t)s.w * (size_t)s.c);
            rc = map ? read_features(&fit[k], nn, s, layer + 1, PRUNE_HEAD_BATCH, at, map) : BASE_NOMEM;
        }
        if (!rc && base_stop_requested())
            rc = base_fail(BASE_STOPPED, "stopped while channels were chosen");
    }
    base_free(logits);
    base_free(map);
    nn_free(nn);
    return rc;
}

static int fit_heads(struct prune_heads *h, const struct prune_job *j)
{
    struct fit fit[PRUNE_HEADS] = { 0 };
    int images = BASE_MIN(FIT_IMAGES, j->data->n_train) / PRUNE_HEAD_BATCH * PRUNE_HEAD_BATCH, rc = BASE_OK;
    int classes = j->was->node[j->was->output].shape.c;
    images = BASE_MAX(images, PRUNE_HEAD_BATCH);
    for (int k = 0; !rc && k < h->n - 1; k++)
        rc = fit_new(&fit[k], images, j->layers->layer[end_of_part(j->layers, k)].shape.c, classes);
    if (!rc)
        rc = gather(fit, h, j, images);
    for (int k = 0; !rc && k < h->n - 1; k++) {
        rc = fit_run(&fit[k]);
        if (!rc)
            fit_store(&fit[k], &h->head[k].graph->node[h->head[k].graph->output]);
    }
    for (int k = 0; k < h->n - 1; k++)
        fit_free(&fit[k]);
    return rc;
}

/* ---- life ------------------------------------------------------------------------------ */

void prune_heads_free(struct prune_heads *h)
{
    for (int i = 0; i < h->n; i++) {
        nn_free(h->head[i].nn);
        graph_free(h->head[i].graph);
        base_free(h->head[i].node);
    }
    base_free(h->pixels);
    base_free(h->labels);
    memset(h, 0, sizeof *h);
}

int prune_heads_new(struct prune_heads *h, const struct prune_job *j)
{
    struct graph_shape in = j->was->node[0].shape;
    struct nn_options o = NN_OPTIONS_INIT;
    memset(h, 0, sizeof *h);
    if (!j->data->train.fill || j->data->n_train < 1)
        return base_fail(BASE_INPUT, "recipe: prune method dcp needs labelled training images: use lasso or magnitude-l1");
    h->n = PRUNE_HEADS;
    h->pixels = base_alloc((size_t)in.h * (size_t)in.w * (size_t)in.c * PRUNE_HEAD_BATCH);
    h->labels = BASE_NEW_N(uint16_t, PRUNE_HEAD_BATCH);
    o.pool = j->pool;
    o.max_batch = PRUNE_HEAD_BATCH;
    o.training = true;
    int rc = h->pixels && h->labels ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < h->n; i++)
        rc = head_graph(&h->head[i], j, i);
    if (!rc)
        rc = fit_heads(h, j);
    for (int i = 0; !rc && i < h->n; i++)
        rc = nn_new(&h->head[i].nn, h->head[i].graph, &o);
    if (!rc)
        rc = j->data->train.fill(j->data->train.ctx, 0, PRUNE_HEAD_BATCH, h->pixels, h->labels);
    if (rc)
        prune_heads_free(h);
    return rc;
}

/* ---- gradients --------------------------------------------------------------------------- */

static const struct graph_node *batchnorm_behind(const struct graph *g, int node)
{
    for (int i = node + 1; i < g->n_node; i++)
        if (g->node[i].op == GRAPH_BATCHNORM && g->node[i].in[0] == node)
            return &g->node[i];
    return NULL;
}

/* The head's weights and bias of output o := job->now's, its batch norm folded in. */
static void copy_output(struct graph_node *d, const struct graph_node *n, const struct graph_node *bn, int o, int64_t per)
{
    float gain = bn ? bn->gamma[o] / sqrtf(bn->var[o] + bn->eps) : 1, bias = n->bias ? n->bias[o] : 0;
    for (int64_t i = o * per; i < (o + 1) * per; i++)
        d->weight[i] = n->weight[i] * gain;
    if (d->bias)
        d->bias[o] = bn ? bn->beta[o] + (bias - bn->mean[o]) * gain : bias;
}

/* A refit has changed job->now. */
static void synchronize(struct prune_head *h, const struct graph *now)
{
    for (int i = 0; i < now->n_node; i++) {
        const struct graph_node *n = &now->node[i], *bn = batchnorm_behind(now, i);
        int64_t per = n->weight ? (int64_t)n->kh * n->kw * (n->depthwise ? 1 : now->node[n->in[0]].shape.c) : 0;
        for (int o = 0; per && h->node[i] >= 0 && o < n->shape.c; o++)
            copy_output(&h->graph->node[h->node[i]], n, bn, o, per);
    }
}

int prune_heads_gradient(const float **weight, const float **bias, struct prune_heads *h, const struct prune_job *j, int node)
{
    struct nn_loss_options o = NN_LOSS_OPTIONS_INIT;
    struct prune_head *head = &h->head[h->n - 1];
    double loss;
    int correct;
    for (int i = h->n - 1; i >= 0; i--)
        if (h->head[i].node[node] >= 0)
            head = &h->head[i];
    synchronize(head, j->now);
    int rc = nn_gradient(head->nn, h->pixels, h->labels, PRUNE_HEAD_BATCH, &o, NULL, &loss, &correct);
    *weight = rc ? NULL : nn_gradient_of(head->nn, head->node[node], 'w');
    *bias = rc ? NULL : nn_gradient_of(head->nn, head->node[node], 'b');
    if (!rc && (!*weight || !*bias))
        rc = base_fail(BASE_INTERNAL, "prune: layer '%s' has no gradient", j->was->node[node].name);
    return rc;
}
