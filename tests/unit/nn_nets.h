/* nn_nets: small networks that hold every operator in its odd cases, with random parameters. */
#ifndef NN_NETS_H
#define NN_NETS_H

#include "unit.h"

#include <math.h>

#include "nn/nn.h"

static const int net_pad0[4] __attribute__((unused)) = { 0, 0, 0, 0 }, net_pad1[4] __attribute__((unused)) = { 1, 1, 1, 1 };

static inline struct graph *net_start(int h, int w, int c)
{
    struct graph *g = graph_new("test");
    assert_non_null(g);
    assert_int_equal(graph_add_input(g, "input", (struct graph_shape){ h, w, c }), 0);
    g->prep.scale = 1.0f / 255;
    g->prep.n = c;
    for (int i = 0; i < c; i++) {
        g->prep.mean[i] = 0.3f + 0.1f * (float)i;
        g->prep.std[i] = 0.25f + 0.05f * (float)i;
    }
    return g;
}

static inline void net_name(char out[32], const struct graph *g)
{
    snprintf(out, 32, "node%d", g->n_node);
}

static inline int net_conv(struct graph *g, int in, int cout, int kh, int kw, int stride, const int pad[4], bool bias)
{
    char name[32];
    net_name(name, g);
    return graph_add_conv(g, name, in, cout, kh, kw, stride, pad, false, bias);
}

static inline int net_depthwise(struct graph *g, int in, int k, int stride, const int pad[4])
{
    char name[32];
    net_name(name, g);
    return graph_add_conv(g, name, in, g->node[in].shape.c, k, k, stride, pad, true, true);
}

static inline int net_bn(struct graph *g, int in)
{
    char name[32];
    net_name(name, g);
    return graph_add_batchnorm(g, name, in);
}

static inline int net_relu(struct graph *g, int in, enum graph_op op)
{
    char name[32];
    net_name(name, g);
    return graph_add_relu(g, name, in, op);
}

static inline int net_pool(struct graph *g, int in, enum graph_op op, int kh, int kw, int stride, const int pad[4])
{
    char name[32];
    net_name(name, g);
    return graph_add_pool(g, name, in, op, kh, kw, stride, pad);
}

static inline int net_add(struct graph *g, int a, int b)
{
    char name[32];
    net_name(name, g);
    return graph_add_add(g, name, a, b);
}

static inline int net_dense(struct graph *g, int in, int cout, bool bias)
{
    char name[32];
    net_name(name, g);
    return graph_add_dense(g, name, in, cout, bias);
}

static inline struct graph *net_end(struct graph *g, int output)
{
    if (output <= 0)
        fail_msg("%s", base_error());
    g->output = output;
    struct base_rng r;
    base_rng_seed(&r, 7);
    nn_init_parameters(g, 5);
    for (int i = 0; i < g->n_node; i++) {
        const struct graph_node *n = &g->node[i];
        for (int c = 0; c < n->shape.c; c++) {
            if (n->bias)
                n->bias[c] = 0.3f * base_rng_normal(&r);
            if (!n->gamma)
                continue;
            n->gamma[c] = (base_rng_below(&r, 4) ? 1.0f : -1.0f) * (0.6f + 0.5f * base_rng_uniform(&r));
            n->beta[c] = 0.3f * base_rng_normal(&r);
            n->mean[c] = 0.3f * base_rng_normal(&r);
            n->var[c] = 0.5f + base_rng_uniform(&r);
        }
    }
    assert_ok(graph_check(g));
    return g;
}

/* Odd channel counts, an odd map, strides that leave pixels over, unequal pads. */
static inline struct graph *net_convs(void)
{
    struct graph *g = net_start(9, 7, 3);
    static const int pad_a[4] = { 2, 1, 0, 2 }, pad_b[4] = { 1, 1, 0, 2 };
    int x = net_relu(g, net_bn(g, net_conv(g, 0, 11, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    x = net_relu(g, net_conv(g, x, 5, 5, 3, 2, pad_a, true), GRAPH_RELU);
    x = net_bn(g, net_conv(g, x, 19, 1, 1, 2, net_pad0, true));
    x = net_relu(g, net_conv(g, x, 8, 2, 4, 1, pad_b, false), GRAPH_RELU);
    return net_end(g, net_dense(g, x, 6, true));
}

/* A 1x1 convolution with stride, no ReLU between; global pooling; batch norm behind a dense layer. */
static inline struct graph *net_dense_chain(void)
{
    struct graph *g = net_start(4, 5, 1);
    int x = net_relu(g, net_conv(g, 0, 4, 3, 3, 2, net_pad1, true), GRAPH_RELU);
    x = net_relu(g, net_bn(g, net_dense(g, x, 21, false)), GRAPH_RELU);
    x = net_relu(g, net_dense(g, x, 9, true), GRAPH_RELU6);
    return net_end(g, net_dense(g, x, 5, true));
}

static inline struct graph *net_depthwise_chain(void)
{
    struct graph *g = net_start(8, 8, 3);
    static const int pad2[4] = { 0, 1, 1, 0 };
    int x = net_relu(g, net_bn(g, net_depthwise(g, 0, 3, 1, net_pad1)), GRAPH_RELU6);
    x = net_relu(g, net_bn(g, net_conv(g, x, 12, 1, 1, 1, net_pad0, false)), GRAPH_RELU6);
    x = net_relu(g, net_depthwise(g, x, 3, 2, pad2), GRAPH_RELU);
    x = net_pool(g, x, GRAPH_AVGPOOL, g->node[x].shape.h, g->node[x].shape.w, 1, net_pad0);
    return net_end(g, net_dense(g, x, 4, true));
}

/* Overlapping and padded windows; a ReLU behind a max pool; average pooling at the edges. */
static inline struct graph *net_pools(void)
{
    struct graph *g = net_start(11, 9, 2);
    int x = net_relu(g, net_bn(g, net_conv(g, 0, 9, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    x = net_pool(g, x, GRAPH_MAXPOOL, 3, 3, 2, net_pad1);
    x = net_pool(g, net_conv(g, x, 7, 3, 3, 1, net_pad1, true), GRAPH_MAXPOOL, 2, 2, 1, net_pad0);
    x = net_relu(g, x, GRAPH_RELU);
    x = net_pool(g, x, GRAPH_AVGPOOL, 3, 2, 2, net_pad1);
    return net_end(g, net_dense(g, x, 4, false));
}

/* Identity, option A and option B shortcuts, a sum of maps without weights, one edge with several readers. */
static inline struct graph *net_residual(void)
{
    struct graph *g = net_start(8, 8, 3);
    int x = net_relu(g, net_bn(g, net_conv(g, 0, 10, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    int y = net_relu(g, net_bn(g, net_conv(g, x, 10, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    y = net_relu(g, net_add(g, net_bn(g, net_conv(g, y, 10, 3, 3, 1, net_pad1, false)), x), GRAPH_RELU);
    int a = net_bn(g, net_conv(g, y, 16, 3, 3, 2, net_pad1, false));
    x = net_relu(g, net_add(g, a, graph_add_shortcut(g, "short", y, 16, 2, 3)), GRAPH_RELU);
    int b = net_bn(g, net_conv(g, x, 12, 3, 3, 2, net_pad1, true));
    x = net_add(g, b, net_bn(g, net_conv(g, x, 12, 1, 1, 2, net_pad0, false)));
    x = net_relu(g, net_add(g, x, net_pool(g, x, GRAPH_AVGPOOL, 1, 1, 1, net_pad0)), GRAPH_RELU);
    return net_end(g, net_dense(g, net_pool(g, x, GRAPH_AVGPOOL, 2, 2, 1, net_pad0), 5, true));
}

/* Concat of maps of odd widths; two dense layers and a pool read the same edge. */
static inline struct graph *net_readers(void)
{
    struct graph *g = net_start(6, 6, 2);
    int x = net_relu(g, net_bn(g, net_conv(g, 0, 5, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    int a = net_relu(g, net_conv(g, x, 3, 3, 3, 1, net_pad1, true), GRAPH_RELU), b = net_conv(g, x, 6, 1, 1, 1, net_pad0, true);
    int c = graph_add_concat(g, "cat", (const int[3]){ a, x, b }, 3);
    c = net_relu(g, c, GRAPH_RELU);
    int d = net_dense(g, c, 4, true), e = net_dense(g, c, 4, false);
    int f = net_dense(g, net_relu(g, net_conv(g, c, 3, 3, 3, 2, net_pad1, true), GRAPH_RELU), 4, true);
    int de = net_relu(g, net_add(g, d, e), GRAPH_RELU);
    return net_end(g, net_add(g, de, net_relu(g, f, GRAPH_RELU)));
}

typedef struct graph *net_fn(void);
static net_fn *const net_all[] __attribute__((unused)) = { net_convs, net_dense_chain, net_depthwise_chain, net_pools, net_residual, net_readers };

static inline uint8_t *net_images(const struct graph *g, int n, uint64_t seed)
{
    struct graph_shape s = g->node[0].shape;
    size_t bytes = (size_t)n * (size_t)s.h * (size_t)s.w * (size_t)s.c;
    uint8_t *p = malloc(bytes);
    struct base_rng r;
    base_rng_seed(&r, seed);
    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)base_rng_below(&r, 256);
    return p;
}

static inline struct nn *net_engine(struct graph *g, int batch, bool training, int threads)
{
    struct nn *m;
    struct nn_options o = NN_OPTIONS_INIT;
    o.max_batch = batch;
    o.training = training;
    o.threads = threads;
    assert_ok(nn_new(&m, g, &o));
    return m;
}

#endif
