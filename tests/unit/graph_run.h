/* graph_run: a graph computed node by node in double precision, the slow and obvious way:
 * what the tests of graphs and of ONNX files hold results against. */
#ifndef GRAPH_RUN_H
#define GRAPH_RUN_H

#include <math.h>

#include "graph/graph.h"

static inline size_t graph_run_size(struct graph_shape s)
{
    return (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

static inline double graph_run_at(const double *map, struct graph_shape s, int y, int x, int c)
{
    return map[((size_t)y * (size_t)s.w + (size_t)x) * (size_t)s.c + (size_t)c];
}

/* One output value of a Conv, Dense or pool. */
static inline double graph_run_window(const struct graph_node *n, const double *in, struct graph_shape s, int y, int x, int o)
{
    double sum = n->bias ? (double)n->bias[o] : 0, top = -INFINITY;
    int seen = 0, cin = n->depthwise ? 1 : s.c;
    for (int ky = 0; ky < n->kh; ky++)
        for (int kx = 0; kx < n->kw; kx++) {
            int iy = y * n->stride + ky - n->pad_t, ix = x * n->stride + kx - n->pad_l;
            if (iy < 0 || ix < 0 || iy >= s.h || ix >= s.w)
                continue;
            seen++;
            if (!n->weight) {
                double v = graph_run_at(in, s, iy, ix, o);
                sum += v;
                top = fmax(top, v);
                continue;
            }
            for (int i = 0; i < cin; i++)
                sum += (double)n->weight[((o * n->kh + ky) * n->kw + kx) * cin + i] * graph_run_at(in, s, iy, ix, n->depthwise ? o : i);
        }
    return n->op == GRAPH_MAXPOOL ? top : n->op == GRAPH_AVGPOOL ? sum / seen : sum;
}

static inline double graph_run_value(const struct graph *g, const struct graph_node *n, double *const *map, int y, int x, int c)
{
    const double *in = map[n->in[0]];
    struct graph_shape s = g->node[n->in[0]].shape;
    switch (n->op) {
    case GRAPH_CONV:
    case GRAPH_DENSE:
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL:
        return graph_run_window(n, in, s, y, x, c);
    case GRAPH_BATCHNORM:
        return ((double)graph_run_at(in, s, y, x, c) - (double)n->mean[c]) / sqrt((double)n->var[c] + (double)n->eps) * (double)n->gamma[c] + (double)n->beta[c];
    case GRAPH_RELU:
        return fmax(graph_run_at(in, s, y, x, c), 0);
    case GRAPH_RELU6:
        return fmin(fmax(graph_run_at(in, s, y, x, c), 0), 6);
    case GRAPH_ADD:
        return graph_run_at(in, s, y, x, c) + graph_run_at(map[n->in[1]], s, y, x, c);
    case GRAPH_SHORTCUT:
        c -= n->chan_before;
        return c < 0 || c >= s.c ? 0 : graph_run_at(in, s, y * n->stride, x * n->stride, c);
    case GRAPH_CONCAT:
        for (int k = 0; k < n->n_in; c -= g->node[n->in[k++]].shape.c)
            if (c < g->node[n->in[k]].shape.c)
                return graph_run_at(map[n->in[k]], g->node[n->in[k]].shape, y, x, c);
        return NAN;
    default:
        return graph_run_at(in, s, y, x, c);
    }
}

/* Output map of one input map x [h][w][c] (already normalized); the caller's. */
static inline double *graph_run(const struct graph *g, const double *x)
{
    double **map = BASE_NEW_N(double *, g->n_node), *out;
    for (int i = 0; i < g->n_node; i++) {
        const struct graph_node *n = &g->node[i];
        struct graph_shape s = n->shape;
        size_t at = 0;
        map[i] = BASE_NEW_N(double, graph_run_size(s));
        for (int y = 0; y < s.h; y++)
            for (int xx = 0; xx < s.w; xx++)
                for (int c = 0; c < s.c; c++, at++)
                    map[i][at] = i ? graph_run_value(g, n, map, y, xx, c) : x[at];
    }
    out = map[g->output];
    for (int i = 0; i < g->n_node; i++)
        if (i != g->output)
            base_free(map[i]);
    base_free(map);
    return out;
}

/* Every parameter random; variances and gammas positive. */
static inline void graph_run_randomize(struct graph *g, uint64_t seed)
{
    struct base_rng r;
    base_rng_seed(&r, seed);
    for (int i = 0; i < g->n_node; i++) {
        struct graph_node *n = &g->node[i];
        int cin = n->weight ? n->depthwise ? 1 : g->node[n->in[0]].shape.c : 0;
        int64_t fan = (int64_t)n->kh * n->kw * cin;
        for (int64_t k = 0; n->weight && k < n->shape.c * fan; k++)
            n->weight[k] = base_rng_normal(&r) * sqrtf(2.0f / (float)fan);
        for (int c = 0; c < n->shape.c; c++) {
            if (n->bias)
                n->bias[c] = 0.1f * base_rng_normal(&r);
            if (!n->gamma)
                continue;
            n->gamma[c] = 0.5f + base_rng_uniform(&r);
            n->beta[c] = 0.3f * base_rng_normal(&r);
            n->mean[c] = 0.3f * base_rng_normal(&r);
            n->var[c] = 0.5f + base_rng_uniform(&r);
        }
    }
}

/* A random input map; the caller's. */
static inline double *graph_run_input(const struct graph *g, uint64_t seed)
{
    struct base_rng r;
    base_rng_seed(&r, seed);
    size_t n = graph_run_size(g->node[0].shape);
    double *x = BASE_NEW_N(double, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (double)base_rng_normal(&r);
    return x;
}

/* Largest difference of two graphs' outputs over the largest output of the first, on one random input. */
static inline double graph_run_difference(const struct graph *a, const struct graph *b, uint64_t seed)
{
    double *x = graph_run_input(a, seed), *p = graph_run(a, x), *q = graph_run(b, x), worst = 0, top = 0;
    for (size_t i = 0; i < graph_run_size(a->node[a->output].shape); i++) {
        worst = fmax(worst, fabs(p[i] - q[i]));
        top = fmax(top, fabs(p[i]));
    }
    base_free(x);
    base_free(p);
    base_free(q);
    return worst / top;
}

#endif
