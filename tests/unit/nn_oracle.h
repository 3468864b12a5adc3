/* nn_oracle: a network computed node by node in double, from the definitions and without
 * any of the engine's code but its one-value fake quantization. One parameter can be moved
 * by a small amount, so that a derivative is a difference of two losses. Where values are
 * quantized, the moved network is the straight-through surrogate about the unmoved one:
 *   y = y0 + [not clipped] (x - x0) + (d y / d scale) (s - s0). */
#ifndef NN_ORACLE_H
#define NN_ORACLE_H

#include "unit.h"

#include <math.h>

#include "nn/nn.h"

enum { ORACLE_MAX_NODE = 32 };

struct oracle {
    const struct graph *g;
    const struct graph_layers *ls;
    const struct nn_quant *q;            /* NULL: float */
    bool training;                       /* batch statistics */
    int n;
    const uint8_t *pixels;
    double *v[ORACLE_MAX_NODE];          /* [n][h][w][c] of each node */
    double *x0[ORACLE_MAX_NODE], *y0[ORACLE_MAX_NODE]; /* before and after quantization, of the unmoved network */
    const struct nn *engine;             /* y0 is what this engine computed (a value at a rounding border must not spread); NULL: our own */
    int64_t same, other;                 /* values equal to the engine's, and not */
    double *w[ORACLE_MAX_NODE];          /* weights as they are used */
    double mean[ORACLE_MAX_NODE][64], var[ORACLE_MAX_NODE][64]; /* of the batch, biased */
    const float *moved;                  /* the parameter array with the moved value; NULL: record x0 */
    int64_t moved_at;
    double by;
};

static inline double oracle_param(const struct oracle *o, const float *p, int64_t i)
{
    return (double)p[i] + (p == o->moved && i == o->moved_at ? o->by : 0);
}

static inline int64_t oracle_size(struct graph_shape s)
{
    return (int64_t)s.h * s.w * s.c;
}

static inline int64_t oracle_weights(const struct graph *g, const struct graph_node *n)
{
    return n->weight ? (int64_t)n->kh * n->kw * n->shape.c * (n->depthwise ? 1 : g->node[n->in[0]].shape.c) : 0;
}

static inline void oracle_open(struct oracle *o, const struct graph *g, const struct graph_layers *ls, int n, const uint8_t *pixels)
{
    *o = (struct oracle){ .g = g, .ls = ls, .n = n, .pixels = pixels };
    assert_true(g->n_node <= ORACLE_MAX_NODE);
    for (int i = 0; i < g->n_node; i++) {
        o->v[i] = calloc((size_t)(n * oracle_size(g->node[i].shape)), sizeof(double));
        o->x0[i] = calloc((size_t)(n * oracle_size(g->node[i].shape)), sizeof(double));
        o->w[i] = calloc((size_t)oracle_weights(g, &g->node[i]) + 1, sizeof(double));
        o->y0[i] = calloc((size_t)(n * oracle_size(g->node[i].shape)), sizeof(double));
    }
}

static inline void oracle_close(struct oracle *o)
{
    for (int i = 0; i < o->g->n_node; i++) {
        free(o->v[i]);
        free(o->x0[i]);
        free(o->y0[i]);
        free(o->w[i]);
    }
}

/* ---- quantization ------------------------------------------------------------------- */

static inline const struct nn_quant_term *oracle_term(const struct oracle *o, int node)
{
    for (int i = 0; o->q && i < o->ls->n; i++)
        for (int t = 0; t < o->ls->layer[i].n_term; t++)
            if (o->ls->layer[i].term[t].node == node && o->q->layer[i].term[t].w_bits)
                return &o->q->layer[i].term[t];
    return NULL;
}

static inline bool oracle_inside(double u, double lo, double hi)
{
    return floor(u + 0.5) >= lo && floor(u + 0.5) <= hi;
}

static inline double oracle_weight(const struct oracle *o, int node, int64_t i)
{
    const struct graph_node *n = &o->g->node[node];
    const struct nn_quant_term *q = oracle_term(o, node);
    if (!q)
        return oracle_param(o, n->weight, i);
    int cin = n->depthwise ? 1 : o->g->node[n->in[0]].shape.c, out = (int)(i / ((int64_t)n->kh * n->kw * cin)), in = n->depthwise ? out : (int)(i % cin);
    float f = q->in_factor ? q->in_factor[in] : 1, s = q->w_scale[out], w = n->weight[i];
    if (q->mask && q->mask[i] == 0)
        return oracle_param(o, n->weight, i) - (double)w;
    double y0 = (double)(nn_fake_weight(w * f, s, q->w_bits) / f), u = (double)(w * f / s), half = 1 << (q->w_bits - 1);
    bool inside = q->w_bits == 1 || oracle_inside(u, -half, half - 1);
    double slope = y0 / (double)s - (q->w_bits > 1 && inside ? u / (double)f : 0);
    return y0 + (inside ? oracle_param(o, n->weight, i) - (double)w : 0) + slope * (oracle_param(o, q->w_scale, out) - (double)s);
}

/* The quantized edge that this node's output is, or 0. */
static inline int oracle_edge(const struct oracle *o, int node)
{
    for (int i = 0; o->q && i < o->ls->n; i++)
        if (o->ls->layer[i].out_node == node && o->q->edge[i + 1].bits)
            return i + 1;
    return 0;
}

/* The unmoved network's values: rounded here, or the engine's. */
static inline void oracle_record(struct oracle *o, int node, int edge)
{
    const struct nn_quant_edge *e = &o->q->edge[edge];
    int64_t size = oracle_size(o->g->node[node].shape);
    float map[4096];
    assert_true(size <= 4096);
    for (int64_t i = 0; i < o->n * size; i++) {
        o->x0[node][i] = o->v[node][i];
        o->y0[node][i] = (double)nn_fake_activation((float)o->v[node][i], e->scale, e->bits, e->is_signed);
    }
    for (int n = 0; o->engine && n < o->n; n++) {
        assert_ok(nn_edge_read(o->engine, edge, n, map));
        for (int64_t i = 0; i < size; i++) {
            double *y0 = &o->y0[node][n * size + i], gap = fabs((double)map[i] - *y0) / (double)e->scale;
            if (gap > 1.001 || fabs((double)(map[i] / e->scale) - round((double)(map[i] / e->scale))) > 1e-3)
                fail_msg("output of '%s': %.9g, not %.9g in steps of %.9g", o->g->node[node].name, (double)map[i], *y0, (double)e->scale);
            *(gap < 1e-3 ? &o->same : &o->other) += 1;
            *y0 = (double)map[i];
        }
    }
}

static inline void oracle_quantize(struct oracle *o, int node)
{
    int edge = oracle_edge(o, node);
    if (!edge)
        return;
    const struct nn_quant_edge *e = &o->q->edge[edge];
    double s = (double)e->scale, lo = e->is_signed ? -(1 << (e->bits - 1)) : 0, hi = (1 << (e->bits - e->is_signed)) - 1;
    if (!o->moved)
        oracle_record(o, node, edge);
    for (int64_t i = 0; i < o->n * oracle_size(o->g->node[node].shape); i++) {
        double x = o->v[node][i], x0 = o->x0[node][i], y0 = o->y0[node][i];
        bool inside = oracle_inside(x0 / s, lo, hi);
        o->v[node][i] = y0 + (inside ? x - x0 : 0) + (y0 / s - (inside ? x0 / s : 0)) * (oracle_param(o, &e->scale, 0) - s);
    }
}

/* ---- operators ------------------------------------------------------------------------ */

static inline double *oracle_at(const struct oracle *o, int node, int image, int y, int x)
{
    struct graph_shape s = o->g->node[node].shape;
    return o->v[node] + (((int64_t)image * s.h + y) * s.w + x) * s.c;
}

static inline double oracle_pixel(const struct oracle *o, double pixel, int c)
{
    const struct graph_prep *p = &o->g->prep;
    return c < p->n ? (pixel * (double)p->scale - (double)p->mean[c]) / (double)p->std[c] : pixel * (double)p->scale;
}

static inline double oracle_outside(const struct oracle *o, int node, int c)
{
    if (node || !o->q || !o->q->pixel_pad)
        return 0;
    double pixel = fmin(fmax(floor((double)o->g->prep.mean[c] / (double)o->g->prep.scale + 0.5), 0), 255);
    return oracle_pixel(o, pixel, c);
}

static inline double oracle_conv(const struct oracle *o, int node, int image, int y, int x, int c)
{
    const struct graph_node *n = &o->g->node[node];
    struct graph_shape in = o->g->node[n->in[0]].shape;
    int cin = n->depthwise ? 1 : in.c, stride = n->op == GRAPH_DENSE ? 1 : n->stride;
    double sum = n->bias ? oracle_param(o, n->bias, c) : 0;
    for (int ky = 0; ky < n->kh; ky++)
        for (int kx = 0; kx < n->kw; kx++)
            for (int k = 0; k < cin; k++) {
                int iy = y * stride + ky - n->pad_t, ix = x * stride + kx - n->pad_l, ci = n->depthwise ? c : k;
                bool in_map = iy >= 0 && ix >= 0 && iy < in.h && ix < in.w;
                double value = in_map ? oracle_at(o, n->in[0], image, iy, ix)[ci] : oracle_outside(o, n->in[0], ci);
                sum += o->w[node][(((int64_t)c * n->kh + ky) * n->kw + kx) * cin + k] * value;
            }
    return sum;
}

static inline double oracle_pool(const struct oracle *o, int node, int image, int y, int x, int c)
{
    const struct graph_node *n = &o->g->node[node];
    struct graph_shape in = o->g->node[n->in[0]].shape;
    double sum = 0, top = -INFINITY;
    int count = 0;
    for (int iy = y * n->stride - n->pad_t; iy < y * n->stride - n->pad_t + n->kh; iy++)
        for (int ix = x * n->stride - n->pad_l; ix < x * n->stride - n->pad_l + n->kw; ix++)
            if (iy >= 0 && ix >= 0 && iy < in.h && ix < in.w) {
                double v = oracle_at(o, n->in[0], image, iy, ix)[c];
                sum += v;
                top = fmax(top, v);
                count++;
            }
    return n->op == GRAPH_MAXPOOL ? top : sum / count;
}

static inline double oracle_concat(const struct oracle *o, const struct graph_node *n, int image, int y, int x, int c)
{
    int k = 0;
    while (c >= o->g->node[n->in[k]].shape.c)
        c -= o->g->node[n->in[k++]].shape.c;
    return oracle_at(o, n->in[k], image, y, x)[c];
}

static inline double oracle_shortcut(const struct oracle *o, const struct graph_node *n, int image, int y, int x, int c)
{
    c -= n->chan_before;
    return c >= 0 && c < o->g->node[n->in[0]].shape.c ? oracle_at(o, n->in[0], image, y * n->stride, x * n->stride)[c] : 0;
}

static inline double oracle_batchnorm(const struct oracle *o, int node, double x, int c)
{
    const struct graph_node *n = &o->g->node[node];
    double mean = o->training ? o->mean[node][c] : (double)n->mean[c], var = o->training ? o->var[node][c] : (double)n->var[c];
    return (x - mean) / sqrt(var + (double)n->eps) * oracle_param(o, n->gamma, c) + oracle_param(o, n->beta, c);
}

static inline void oracle_moments(struct oracle *o, int node)
{
    struct graph_shape s = o->g->node[node].shape;
    const double *x = o->v[o->g->node[node].in[0]];
    int64_t count = (int64_t)o->n * s.h * s.w;
    for (int c = 0; c < s.c; c++) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < count; i++)
            sum += x[i * s.c + c];
        for (int64_t i = 0; i < count; i++)
            square += (x[i * s.c + c] - sum / (double)count) * (x[i * s.c + c] - sum / (double)count);
        o->mean[node][c] = sum / (double)count;
        o->var[node][c] = square / (double)count;
    }
}

static inline double oracle_value(const struct oracle *o, int node, int image, int y, int x, int c)
{
    const struct graph_node *n = &o->g->node[node];
    double a = n->n_in && n->op != GRAPH_DENSE && y < o->g->node[n->in[0]].shape.h && x < o->g->node[n->in[0]].shape.w && c < o->g->node[n->in[0]].shape.c
                   ? oracle_at(o, n->in[0], image, y, x)[c] : 0;
    switch (n->op) {
    case GRAPH_INPUT: return oracle_pixel(o, o->pixels[(((int64_t)image * n->shape.h + y) * n->shape.w + x) * n->shape.c + c], c);
    case GRAPH_CONV:
    case GRAPH_DENSE: return oracle_conv(o, node, image, y, x, c);
    case GRAPH_BATCHNORM: return oracle_batchnorm(o, node, a, c);
    case GRAPH_RELU: return fmax(a, 0);
    case GRAPH_RELU6: return fmin(fmax(a, 0), 6);
    case GRAPH_ADD: return a + oracle_at(o, n->in[1], image, y, x)[c];
    case GRAPH_CONCAT: return oracle_concat(o, n, image, y, x, c);
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL: return oracle_pool(o, node, image, y, x, c);
    case GRAPH_SHORTCUT: return oracle_shortcut(o, n, image, y, x, c);
    default: return a;
    }
}

static inline void oracle_run(struct oracle *o)
{
    for (int i = 0; i < o->g->n_node; i++) {
        struct graph_shape s = o->g->node[i].shape;
        if (o->g->node[i].op == GRAPH_FLATTEN) {
            memcpy(o->v[i], o->v[o->g->node[i].in[0]], sizeof(double) * (size_t)(o->n * oracle_size(s)));
            continue;
        }
        for (int64_t k = 0; k < oracle_weights(o->g, &o->g->node[i]); k++)
            o->w[i][k] = oracle_weight(o, i, k);
        if (o->g->node[i].op == GRAPH_BATCHNORM && o->training)
            oracle_moments(o, i);
        for (int n = 0; n < o->n; n++)
            for (int y = 0; y < s.h; y++)
                for (int x = 0; x < s.w; x++)
                    for (int c = 0; c < s.c; c++)
                        oracle_at(o, i, n, y, x)[c] = oracle_value(o, i, n, y, x, c);
        oracle_quantize(o, i);
    }
}

/* ---- loss -------------------------------------------------------------------------------- */

static inline void oracle_softmax(double *p, const double *z, int n, double temperature)
{
    double sum = 0;
    for (int k = 0; k < n; k++)
        sum += p[k] = exp(z[k] / temperature);
    for (int k = 0; k < n; k++)
        p[k] /= sum;
}

static inline double oracle_loss(const struct oracle *o, const uint16_t *labels, const struct nn_loss_options *l, const float *teacher)
{
    int classes = o->g->node[o->g->output].shape.c;
    double total = 0, p[64], t[64], zt[64], kd = teacher ? (double)l->distill_weight : 0, temperature = (double)l->temperature;
    for (int i = 0; i < o->n; i++) {
        const double *z = o->v[o->g->output] + (int64_t)i * classes;
        oracle_softmax(p, z, classes, 1);
        for (int k = 0; k < classes; k++) {
            double target = (k == labels[i] ? 1 - (double)l->label_smoothing : 0) + (double)l->label_smoothing / classes;
            total += (1 - kd) * (l->kind == NN_MSE ? (z[k] - target) * (z[k] - target) / classes : -target * log(p[k]));
        }
        for (int k = 0; k < classes && teacher; k++)
            zt[k] = (double)teacher[i * classes + k];
        if (!teacher)
            continue;
        oracle_softmax(p, z, classes, temperature);
        oracle_softmax(t, zt, classes, temperature);
        for (int k = 0; k < classes; k++)
            total += kd * (l->no_t2 ? 1 : temperature * temperature) * t[k] * log(t[k] / p[k]);
    }
    return total / o->n;
}

/* d loss / d p[i]. */
static inline double oracle_derivative(struct oracle *o, const float *p, int64_t i, const uint16_t *labels, const struct nn_loss_options *l, const float *teacher)
{
    double side[2];
    for (int k = 0; k < 2; k++) {
        o->moved = p;
        o->moved_at = i;
        o->by = k ? 1e-5 : -1e-5;
        oracle_run(o);
        side[k] = oracle_loss(o, labels, l, teacher);
    }
    o->moved = NULL;
    return (side[1] - side[0]) / 2e-5;
}

#endif
