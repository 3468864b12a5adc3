/* onnx: each operator as exporters write it, against a network built by hand on the same numbers. */
#define _GNU_SOURCE
#include "unit.h"

#include "graph_run.h"
#include "onnx/onnx.h"
#include "onnx_build.h"

static const char *dir;
static const int pad0[4] = { 0, 0, 0, 0 }, pad1[4] = { 1, 1, 1, 1 };

static struct graph *read_back(struct onnx_build *b)
{
    struct graph *g = NULL;
    const char *path = unit_path(dir, "op.onnx");
    build_write(b, path);
    assert_ok(onnx_read(&g, path));
    return g;
}

/* Both read files compute the same. */
static void same_function(struct onnx_build *a, struct onnx_build *b)
{
    struct graph *g = read_back(a), *d = read_back(b);
    double difference = graph_run_difference(g, d, 11);
    if (!(difference < 1e-5))
        fail_msg("outputs differ by %g of the largest", difference);
    graph_free(g);
    graph_free(d);
}

static void same_as(struct onnx_build *a, struct graph *d)
{
    struct graph *g = read_back(a);
    double difference = graph_run_difference(g, d, 11);
    if (!(difference < 1e-5))
        fail_msg("outputs differ by %g of the largest", difference);
    graph_free(g);
    graph_free(d);
}

static struct graph *by_hand(int h, int w, int c)
{
    struct graph *g = graph_new("hand");
    graph_add_input(g, "x", (struct graph_shape){ h, w, c });
    return g;
}

static const float *numbers_of(const struct onnx_build *b, const char *name)
{
    for (size_t i = 0; i < b->g.n_initializer; i++)
        if (!strcmp(b->g.initializer[i]->name, name))
            return (const float *)(const void *)b->g.initializer[i]->raw_data.data;
    return NULL;
}

/* [o][i][k] -> [o][k][i] */
static void set_weights(struct graph_node *n, const float *w, int cin)
{
    int taps = n->kh * n->kw;
    for (int o = 0; o < n->shape.c; o++)
        for (int i = 0; i < cin; i++)
            for (int k = 0; k < taps; k++)
                n->weight[(o * taps + k) * cin + i] = *w++;
}

/* ---- Conv ------------------------------------------------------------------------- */

static void conv(void **state)
{
    (void)state;
    static const struct { const char *attributes; int kh, kw, stride, pad[4]; const char *shape; } cases[] = {
        { "", 3, 3, 1, { 0 }, "5,3,3,3" },
        { "kernel_shape=3,3 pads=1,1,1,1 strides=2,2 dilations=1,1 group=1", 3, 3, 2, { 1, 1, 1, 1 }, "5,3,3,3" },
        { "pads=0,1,2,1", 3, 3, 1, { 0, 1, 2, 1 }, "5,3,3,3" },
        { "kernel_shape=1,5 pads=0,2,0,2", 1, 5, 1, { 0, 2, 0, 2 }, "5,3,1,5" },
        { "auto_pad='SAME_UPPER' strides=2,2", 3, 3, 2, { 0, 1, 1, 1 }, "5,3,3,3" },
        { "auto_pad='SAME_LOWER' strides=2,2", 4, 4, 2, { 1, 2, 1, 1 }, "5,3,4,4" },
        { "auto_pad='VALID' strides=3,3", 3, 3, 3, { 0 }, "5,3,3,3" },
        { "strides=1,4", 8, 3, 4, { 0 }, "5,3,8,3" }, /* one row of windows: its stride does not matter */
    };
    for (int i = 0; i < BASE_COUNT(cases); i++) {
        struct onnx_build *b = build_new(13);
        build_input(b, "x", "N,3,8,9");
        build_tensor(b, "w", cases[i].shape, 3);
        build_tensor(b, "b", "5", 4);
        build_node(b, "Conv", "y", "x,w,b", cases[i].attributes);
        build_output(b, "y");
        struct graph *g = by_hand(8, 9, 3);
        int y = graph_add_conv(g, "y", 0, 5, cases[i].kh, cases[i].kw, cases[i].stride, cases[i].pad, false, true);
        assert_true(y > 0);
        set_weights(&g->node[y], numbers_of(b, "w"), 3);
        memcpy(g->node[y].bias, numbers_of(b, "b"), 20);
        same_as(b, g);
    }
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,4,6,6");
    build_tensor(b, "w", "4,1,3,3", 3);
    build_node(b, "Conv", "y", "x,w,", "group=4 pads=1,1,1,1");
    build_output(b, "y");
    struct graph *g = by_hand(6, 6, 4);
    set_weights(&g->node[graph_add_conv(g, "y", 0, 4, 3, 3, 1, pad1, true, false)], numbers_of(b, "w"), 1);
    same_as(b, g);
}

/* Zeros around the map in a Pad of their own, as Keras' ZeroPadding2D. */
static void padded_conv(void **state)
{
    (void)state;
    struct onnx_build *b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = build_new(13);
        build_input(b[i], "x", "1,3,8,8");
        build_tensor(b[i], "w", "5,3,3,3", 1);
        build_values(b[i], "p", 7, "8", "0,0,1,0,0,0,1,2");
        if (!i)
            build_node(b[i], "Pad", "xp", "x,p", "mode='constant'");
        build_node(b[i], "Conv", "c", i ? "x,w" : "xp,w", i ? "pads=1,0,1,2" : "");
        build_node(b[i], "Relu", "r", "c", "");
        if (!i)
            build_node(b[i], "Pad", "rp", "r,p", "");
        build_node(b[i], "MaxPool", "y", i ? "r" : "rp", i ? "kernel_shape=3,3 strides=2,2 pads=1,0,1,2" : "kernel_shape=3,3 strides=2,2"); /* rectified: zeros never win */
        build_output(b[i], "y");
    }
    same_function(b[0], b[1]);
}

/* ---- dense ------------------------------------------------------------------------- */

static void dense(void **state)
{
    (void)state;
    /* Gemm with alpha, beta and a bias; the same by MatMul and Add, with the weights the other way round. */
    struct onnx_build *a = build_new(13), *b = build_new(13);
    build_input(a, "x", "N,3,4,5");
    build_input(b, "x", "N,3,4,5");
    build_tensor(a, "w", "7,60", 1);
    build_tensor(a, "b", "7", 2);
    build_tensor(b, "v", "7,60", 1);
    build_tensor(b, "b", "7", 2);
    build_values(b, "two", 1, "", "2");
    build_values(b, "half", 1, "1", "0.5");
    build_values(b, "to", 7, "2", "0,-1");
    build_node(a, "Flatten", "f", "x", "axis=1");
    build_node(a, "Gemm", "y", "f,w,b", "transB=1 alpha=2.0 beta=0.5");
    build_node(b, "Transpose", "w", "v", "perm=1,0");
    build_node(b, "Mul", "w2", "w,two", "");
    build_node(b, "Mul", "b2", "b,half", "");
    build_node(b, "Reshape", "f", "x,to", "");
    build_node(b, "MatMul", "m", "f,w2", "");
    build_node(b, "Add", "y", "b2,m", "");
    build_output(a, "y");
    build_output(b, "y");
    same_function(a, b);

    /* Scalar bias, inner batch norm of rank 2 against a folded Mul and Add. */
    a = build_new(13), b = build_new(13);
    struct onnx_build *both[2] = { a, b };
    for (int i = 0; i < 2; i++) {
        build_input(both[i], "x", "1,2,3,3");
        build_tensor(both[i], "w", "18,4", 1);
        build_values(both[i], "s", 1, "4", "1.5,2,0.5,1");
        build_values(both[i], "o", 1, "4", "0.5,-1,2,0");
        build_values(both[i], "zero", 1, "4", "0,0,0,0");
        build_values(both[i], "one", 1, "4", "1,1,1,1");
        build_node(both[i], "Flatten", "f", "x", "");
        build_node(both[i], "Gemm", "g", "f,w", "");
        if (i) {
            build_node(both[i], "Mul", "h", "g,s", "");
            build_node(both[i], "Add", "y", "h,o", "");
        } else {
            build_node(both[i], "BatchNormalization", "y", "g,s,o,zero,one", "epsilon=0.0");
        }
        build_output(both[i], "y");
    }
    same_function(a, b);
}

/* MatMul on the channels of an NHWC map is a 1x1 Conv. */
static void pointwise(void **state)
{
    (void)state;
    struct onnx_build *a = build_new(13), *b = build_new(13);
    build_input(a, "x", "N,3,4,5");
    build_input(b, "x", "N,3,4,5");
    build_tensor(a, "w", "6,3,1,1", 1);
    build_tensor(b, "v", "6,3", 1);
    build_node(a, "Conv", "y", "x,w", "");
    build_node(b, "Transpose", "w", "v", "perm=1,0");
    build_node(b, "Transpose", "t", "x", "perm=0,2,3,1");
    build_node(b, "MatMul", "m", "t,w", "");
    build_node(b, "Transpose", "y", "m", "perm=0,3,1,2");
    build_output(a, "y");
    build_output(b, "y");
    same_function(a, b);
}

/* ---- batch norms and constants per channel ---------------------------------------------- */

/* Behind a ReLU, behind a shared Conv, twice in a row: as depthwise 1x1, or folded; the numbers stay. */
static void batchnorms(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,3,6,6");
    build_tensor(b, "w", "4,3,3,3", 1);
    build_tensor(b, "s", "4", -2);
    build_tensor(b, "o", "4", 3);
    build_tensor(b, "m", "4", 4);
    build_tensor(b, "v", "4", -5);
    build_node(b, "Conv", "c", "x,w", "pads=1,1,1,1");
    build_node(b, "Relu", "r", "c", "");
    build_node(b, "BatchNormalization", "n1", "r,s,o,m,v", "epsilon=0.001");
    build_node(b, "BatchNormalization", "n2", "n1,s,o,m,v", "");
    build_node(b, "BatchNormalization", "n3", "c,s,o,m,v", "");
    build_node(b, "Add", "y", "n2,n3", "");
    build_output(b, "y");

    struct graph *g = by_hand(6, 6, 3);
    int c = graph_add_conv(g, "c", 0, 4, 3, 3, 1, pad1, false, false);
    set_weights(&g->node[c], numbers_of(b, "w"), 3);
    int n1 = graph_add_batchnorm(g, "n1", graph_add_relu(g, "r", c, GRAPH_RELU)), n2 = graph_add_batchnorm(g, "n2", n1), n3 = graph_add_batchnorm(g, "n3", c);
    graph_add_add(g, "y", n2, n3);
    const int norms[3] = { n1, n2, n3 };
    for (int i = 0; i < 3; i++) {
        struct graph_node *n = &g->node[norms[i]];
        memcpy(n->gamma, numbers_of(b, "s"), 16);
        memcpy(n->beta, numbers_of(b, "o"), 16);
        memcpy(n->mean, numbers_of(b, "m"), 16);
        memcpy(n->var, numbers_of(b, "v"), 16);
        n->eps = i ? 1e-5f : 0.001f;
    }
    struct graph *d = read_back(b);
    assert_true(graph_run_difference(d, g, 1) < 1e-5);
    struct graph_layers ls;
    assert_ok(graph_make_layers(d, &ls)); /* what cannot be lowered as it is has become something that can */
    assert_error(graph_make_layers(g, &ls), BASE_INPUT, "BatchNorm");
    graph_free(d);
    graph_free(g);
}

/* Mul, Div, Add, Sub of constants in every order, behind Conv, BatchNorm, Relu, the input and a shared map. */
static void constants(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,3,6,6");
    build_tensor(b, "w", "4,3,3,3", 1);
    build_values(b, "k", 1, "4,1,1", "2,0.5,-1,3");
    build_values(b, "q", 1, "1,4,1,1", "1,-2,3,0.25");
    build_values(b, "s", 1, "", "0.5");
    build_node(b, "Conv", "c", "x,w", "pads=1,1,1,1");
    build_node(b, "Mul", "a1", "k,c", "");
    build_node(b, "Sub", "a2", "q,a1", "");
    build_node(b, "Relu", "r", "a2", "");
    build_node(b, "Div", "a3", "r,q", "");
    build_node(b, "Sub", "a4", "a3,k", "");
    build_node(b, "Add", "a5", "a4,s", "");
    build_node(b, "Add", "y", "a5,r", "");
    build_output(b, "y");
    const float k[4] = { 2, 0.5f, -1, 3 }, q[4] = { 1, -2, 3, 0.25f };

    struct graph *g = by_hand(6, 6, 3);
    int c = graph_add_conv(g, "c", 0, 4, 3, 3, 1, pad1, false, false), n1 = graph_add_batchnorm(g, "n1", c);
    set_weights(&g->node[c], numbers_of(b, "w"), 3);
    int r = graph_add_relu(g, "r", n1, GRAPH_RELU), n2 = graph_add_batchnorm(g, "n2", r);
    graph_add_add(g, "y", n2, r);
    g->node[n1].eps = g->node[n2].eps = 0;
    for (int i = 0; i < 4; i++) {
        g->node[n1].gamma[i] = -k[i];
        g->node[n1].beta[i] = q[i];
        g->node[n2].gamma[i] = 1 / q[i];
        g->node[n2].beta[i] = 0.5f - k[i];
    }
    same_as(b, g);
}

/* ---- rectifiers ------------------------------------------------------------------------ */

static void rectifiers(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,3,4,4");
    build_tensor(b, "w", "3,3,1,1", 1);
    build_values(b, "lo", 1, "", "0");
    build_values(b, "hi", 1, "", "6");
    build_values(b, "big", 1, "", "3.4e38");
    build_node(b, "Conv", "c", "x,w", "");
    build_node(b, "Clip", "r6", "c,lo,hi", "");
    build_node(b, "Conv", "d", "r6,w", "");
    build_node(b, "Clip", "r", "d,lo", "");
    build_node(b, "Relu", "again", "r", ""); /* changes nothing: dropped */
    build_node(b, "Conv", "e", "again,w", "");
    build_node(b, "Clip", "y", "e,lo,big", "");
    build_output(b, "y");
    struct graph *g = read_back(b);
    assert_int_equal(g->n_node, 7);
    assert_int_equal(g->node[2].op, GRAPH_RELU6);
    assert_int_equal(g->node[4].op, GRAPH_RELU);
    assert_int_equal(g->node[6].op, GRAPH_RELU);
    graph_free(g);
}

/* ---- pools ------------------------------------------------------------------------------ */

static void pools(void **state)
{
    (void)state;
    static const struct { const char *type, *attributes; enum graph_op op; int kh, kw, stride, pad[4]; } cases[] = {
        { "MaxPool", "kernel_shape=2,2 strides=2,2", GRAPH_MAXPOOL, 2, 2, 2, { 0 } },
        { "MaxPool", "kernel_shape=3,3 strides=2,2 pads=1,1,1,1", GRAPH_MAXPOOL, 3, 3, 2, { 1, 1, 1, 1 } },
        { "MaxPool", "kernel_shape=2,2 strides=2,2 ceil_mode=1", GRAPH_MAXPOOL, 2, 2, 2, { 0, 0, 1, 0 } },
        { "MaxPool", "kernel_shape=3,3 strides=2,2 auto_pad='SAME_UPPER'", GRAPH_MAXPOOL, 3, 3, 2, { 1, 0, 1, 1 } },
        { "AveragePool", "kernel_shape=3,2 strides=2,2", GRAPH_AVGPOOL, 3, 2, 2, { 0 } },
        { "AveragePool", "kernel_shape=3,3 strides=1,1 pads=1,1,1,1", GRAPH_AVGPOOL, 3, 3, 1, { 1, 1, 1, 1 } },
        { "AveragePool", "kernel_shape=3,3 strides=2,2 count_include_pad=1", GRAPH_AVGPOOL, 3, 3, 2, { 0 } },
        { "AveragePool", "kernel_shape=7,8 strides=7,8", GRAPH_AVGPOOL, 7, 8, 1, { 0 } },
        { "AveragePool", "kernel_shape=7,2 strides=1,2 ceil_mode=1", GRAPH_AVGPOOL, 7, 2, 2, { 0 } },
        { "GlobalAveragePool", "", GRAPH_AVGPOOL, 7, 8, 1, { 0 } },
        { "GlobalMaxPool", "", GRAPH_MAXPOOL, 7, 8, 1, { 0 } },
        { "ReduceMean", "axes=2,3 keepdims=1", GRAPH_AVGPOOL, 7, 8, 1, { 0 } },
        { "ReduceMean", "axes=-1,-2 keepdims=0", GRAPH_AVGPOOL, 7, 8, 1, { 0 } },
    };
    for (int i = 0; i < BASE_COUNT(cases); i++) {
        struct onnx_build *b = build_new(13);
        build_input(b, "x", "N,3,7,8");
        build_node(b, cases[i].type, "y", "x", cases[i].attributes);
        build_output(b, "y");
        struct graph *g = by_hand(7, 8, 3);
        assert_true(graph_add_pool(g, "y", 0, cases[i].op, cases[i].kh, cases[i].kw, cases[i].stride, cases[i].pad) > 0);
        same_as(b, g);
    }
    /* Opset 18 has the axes as an input. */
    struct onnx_build *b = build_new(18);
    build_input(b, "x", "N,3,7,8");
    build_values(b, "axes", 7, "2", "2,3");
    build_node(b, "ReduceMean", "m", "x,axes", "keepdims=0");
    build_tensor(b, "w", "3,3", 1);
    build_node(b, "Gemm", "y", "m,w", "");
    build_output(b, "y");
    struct graph *g = read_back(b);
    assert_int_equal(g->n_node, 3);
    graph_free(g);
}

/* Padding that counts: by the attribute, or by a Pad in front. */
static void padded_average(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        struct onnx_build *b = build_new(13);
        build_input(b, "x", "N,3,7,8");
        build_values(b, "pads", 7, "8", "0,0,1,0,0,0,0,1");
        if (form)
            build_node(b, "Pad", "p", "x,pads", "");
        build_node(b, "AveragePool", "y", form ? "p" : "x", form ? "kernel_shape=3,2 strides=2,2" : "kernel_shape=3,2 strides=2,2 pads=1,0,0,1 count_include_pad=1");
        build_output(b, "y");
        struct graph *g = by_hand(7, 8, 3);
        int y = graph_add_conv(g, "y", 0, 3, 3, 2, 2, (const int[4]){ 1, 0, 0, 1 }, true, false);
        for (int i = 0; i < 18; i++)
            g->node[y].weight[i] = 1 / 6.0f;
        same_as(b, g);
    }
    struct onnx_build *b = build_new(13);
    struct graph *g = NULL;
    build_input(b, "x", "N,3,7,8");
    build_values(b, "pads", 7, "8", "0,0,1,0,0,0,0,1");
    build_node(b, "Pad", "p", "x,pads", "");
    build_node(b, "AveragePool", "y", "p", "kernel_shape=3,3 pads=1,1,1,1");
    build_output(b, "y");
    build_write(b, unit_path(dir, "both.onnx"));
    assert_error(onnx_read(&g, unit_path(dir, "both.onnx")), BASE_INPUT, "some of its padding counts into the average and some does not");
}

/* x.mean(3).mean(2): one pool; of rows or columns alone: a pool of these. */
static void means(void **state)
{
    (void)state;
    for (int first = 2; first <= 3; first++) {
        struct onnx_build *b = build_new(13);
        build_input(b, "x", "N,3,7,8");
        build_node(b, "ReduceMean", "m", "x", first == 3 ? "axes=3, keepdims=0" : "axes=2, keepdims=0");
        build_node(b, "ReduceMean", "y", "m", "axes=2, keepdims=0");
        build_output(b, "y");
        struct graph *g = by_hand(7, 8, 3);
        assert_true(graph_add_pool(g, "y", 0, GRAPH_AVGPOOL, 7, 8, 1, pad0) > 0);
        same_as(b, g);
    }
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,3,7,8");
    build_tensor(b, "w", "24,5", 1);
    build_node(b, "ReduceMean", "m", "x", "axes=2, keepdims=1");
    build_node(b, "Flatten", "f", "m", "");
    build_node(b, "MatMul", "y", "f,w", "");
    build_output(b, "y");
    struct graph *g = by_hand(7, 8, 3);
    int y = graph_add_dense(g, "y", graph_add_pool(g, "m", 0, GRAPH_AVGPOOL, 7, 1, 1, pad0), 5, false);
    for (int o = 0; o < 5; o++)
        for (int x = 0; x < 8; x++)
            for (int c = 0; c < 3; c++)
                g->node[y].weight[(o * 8 + x) * 3 + c] = numbers_of(b, "w")[(c * 8 + x) * 5 + o];
    same_as(b, g);

    /* Read by others too, the first mean stays what it is. */
    b = build_new(13);
    build_input(b, "x", "N,3,4,4");
    build_node(b, "ReduceMean", "m", "x", "axes=3, keepdims=1");
    build_node(b, "ReduceMean", "n", "m", "axes=2, keepdims=1");
    build_node(b, "GlobalMaxPool", "q", "m", "");
    build_node(b, "Add", "y", "n,q", "");
    build_output(b, "y");
    g = by_hand(4, 4, 3);
    int m = graph_add_pool(g, "m", 0, GRAPH_AVGPOOL, 1, 4, 1, pad0);
    int n = graph_add_pool(g, "n", m, GRAPH_AVGPOOL, 4, 1, 1, pad0), q = graph_add_pool(g, "q", m, GRAPH_MAXPOOL, 4, 1, 1, pad0);
    assert_true(graph_add_add(g, "y", n, q) > 0);
    same_as(b, g);
}

/* ---- joins and shortcuts ------------------------------------------------------------------- */

static struct graph *option_a(void)
{
    struct graph *g = by_hand(8, 8, 4);
    graph_add_shortcut(g, "y", 0, 10, 2, 2);
    return g;
}

/* Option A as torch, as an opset-18 exporter, by a 1x1 pool and by joined zeros. */
static void option_a_shortcuts(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,4,8,8");
    build_values(b, "zero", 7, "1", "0");
    build_values(b, "end", 7, "1", "9223372036854775807");
    build_values(b, "two", 7, "1", "2");
    build_values(b, "three", 7, "1", "3");
    build_values(b, "pads", 7, "8", "0,2,0,0,0,4,0,0");
    build_node(b, "Slice", "s", "x,zero,end,two,two", "");
    build_node(b, "Slice", "t", "s,zero,end,three,two", "");
    build_node(b, "Pad", "y", "t,pads", "");
    build_output(b, "y");
    same_as(b, option_a());

    b = build_new(18);
    build_input(b, "x", "N,4,8,8");
    build_values(b, "zero", 7, "4", "0,0,0,0");
    build_values(b, "end", 7, "4", "1,4,8,8");
    build_values(b, "step", 7, "4", "1,1,2,2");
    build_values(b, "axis", 7, "1", "1");
    build_values(b, "pads", 7, "2", "2,4");
    build_values(b, "value", 1, "", "0");
    build_node(b, "Slice", "s", "x,zero,end,,step", "");
    build_node(b, "Pad", "y", "s,pads,value,axis", "");
    build_output(b, "y");
    same_as(b, option_a());

    b = build_new(13);
    build_input(b, "x", "N,4,8,8");
    build_values(b, "before", 7, "4", "1,2,4,4");
    build_values(b, "behind", 7, "4", "1,4,4,4");
    build_node(b, "AveragePool", "s", "x", "kernel_shape=1,1 strides=2,2");
    build_node(b, "ConstantOfShape", "z1", "before", "");
    build_node(b, "ConstantOfShape", "z2", "behind", "");
    build_node(b, "Concat", "y", "z1,s,z2", "axis=1");
    build_output(b, "y");
    same_as(b, option_a());

    /* Every second pixel alone. */
    b = build_new(13);
    build_input(b, "x", "N,4,8,8");
    build_tensor(b, "w", "3,4,1,1", 1);
    build_node(b, "MaxPool", "s", "x", "kernel_shape=1,1 strides=2,2");
    build_node(b, "Conv", "y", "s,w", "");
    build_output(b, "y");
    struct graph *g = by_hand(8, 8, 4);
    int y = graph_add_conv(g, "y", 0, 3, 1, 1, 2, pad0, false, false);
    set_weights(&g->node[y], numbers_of(b, "w"), 4);
    same_as(b, g);
}

static void concat(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,2,4,4");
    build_tensor(b, "w", "3,2,1,1", 1);
    build_node(b, "Conv", "c", "x,w", "");
    build_node(b, "Concat", "d", "c,x,c", "axis=1");
    build_node(b, "Transpose", "t", "d", "perm=0,2,3,1");
    build_node(b, "Transpose", "u", "x", "perm=0,2,3,1");
    build_node(b, "Concat", "e", "t,u", "axis=-1");
    build_node(b, "Transpose", "y", "e", "perm=0,3,1,2");
    build_output(b, "y");
    struct graph *g = by_hand(4, 4, 2);
    int c = graph_add_conv(g, "c", 0, 3, 1, 1, 1, pad0, false, false);
    set_weights(&g->node[c], numbers_of(b, "w"), 2);
    int d = graph_add_concat(g, "d", (const int[3]){ c, 0, c }, 3);
    graph_add_concat(g, "e", (const int[2]){ d, 0 }, 2);
    same_as(b, g);
}

/* ---- whole exports ------------------------------------------------------------------------- */

/* TensorFlow: NHWC input, Transposes round each Conv, bias and ReLU in NHWC, mean over rows and columns, MatMul. */
static void tensorflow(void **state)
{
    (void)state;
    struct onnx_build *a = build_new(13), *b = build_new(15);
    struct onnx_build *both[2] = { a, b };
    for (int i = 0; i < 2; i++) {
        build_tensor(both[i], "w1", "4,3,3,3", 1);
        build_tensor(both[i], "b1", "4", 2);
        build_tensor(both[i], "w2", "4,5", 3);
        build_tensor(both[i], "w3", "100,7", 4);
        build_values(both[i], "to", 7, "2", "1,100");
    }
    build_input(a, "x", "1,3,5,5");
    build_node(a, "Conv", "c", "x,w1,b1", "auto_pad='SAME_UPPER'");
    build_node(a, "Relu", "r", "c", "");
    build_node(a, "GlobalAveragePool", "p", "r", "");
    build_node(a, "Flatten", "f", "p", "");
    build_node(a, "Gemm", "y", "f,w2", "");
    build_output(a, "y");

    build_input(b, "x", "unk__0,5,5,3");
    build_node(b, "Transpose", "xt", "x", "perm=0,3,1,2");
    build_node(b, "Conv", "c", "xt,w1", "auto_pad='SAME_UPPER'");
    build_node(b, "Transpose", "ct", "c", "perm=0,2,3,1");
    build_node(b, "Add", "cb", "ct,b1", "");
    build_node(b, "Relu", "r", "cb", "");
    build_node(b, "ReduceMean", "p", "r", "axes=1,2 keepdims=0");
    build_node(b, "MatMul", "m", "p,w2", "");
    build_node(b, "Softmax", "y", "m", "");
    build_output(b, "y");
    struct graph *g = read_back(b);
    assert_int_equal(g->node[0].shape.c, 3);
    assert_string_equal(g->node[g->output].name, "m");
    struct graph *d = read_back(a);
    assert_true(graph_run_difference(g, d, 3) < 1e-5);
    graph_free(g);
    graph_free(d);

    /* A Dense on the flattened NHWC map has its rows in another order than one on NCHW. */
    b = build_new(13);
    build_input(b, "x", "N,3,5,5");
    build_tensor(b, "w1", "4,3,3,3", 1);
    build_tensor(b, "w3", "100,7", 4);
    build_values(b, "to", 7, "2", "-1,100");
    build_node(b, "Conv", "c", "x,w1", "pads=1,1,1,1");
    build_node(b, "Transpose", "t", "c", "perm=0,2,3,1");
    build_node(b, "Reshape", "f", "t,to", "");
    build_node(b, "MatMul", "y", "f,w3", "");
    build_output(b, "y");
    g = by_hand(5, 5, 3);
    int c = graph_add_conv(g, "c", 0, 4, 3, 3, 1, pad1, false, false), y = graph_add_dense(g, "y", c, 7, false);
    set_weights(&g->node[c], numbers_of(b, "w1"), 3);
    for (int i = 0; i < 100; i++)
        for (int o = 0; o < 7; o++)
            g->node[y].weight[o * 100 + i] = numbers_of(b, "w3")[i * 7 + o];
    same_as(b, g);
}

/* Inputs without channels: a map of one, a row of values; and a single channel that comes last, which exporters
 * turn by a Reshape. All are the same pixels to the same Dense. */
static void one_channel(void **state)
{
    (void)state;
    static const struct { const char *shape, *layout; int h, w; bool conv; } cases[] = {
        { "N,20", "NW", 1, 20, false }, { "N,4,5", "NHW", 4, 5, false }, { "N,4,5,1", "NHWC", 4, 5, false }, { "N,1,4,5", "NCHW", 4, 5, false },
        { "N,4,5,1", "NHWC", 4, 5, true }, { "N,4,5", "NHW", 4, 5, true },
    };
    for (int i = 0; i < BASE_COUNT(cases); i++) {
        struct onnx_build *b = build_new(13);
        struct onnx_report report;
        struct graph *g = NULL;
        build_input(b, "x", cases[i].shape);
        build_tensor(b, "w", "20,7", 1);
        build_tensor(b, "k", "1,1,3,3", 2);
        build_values(b, "map", 7, "4", "-1,1,4,5");
        build_values(b, "row", 7, "2", "-1,20");
        if (cases[i].conv) {
            build_node(b, "Reshape", "m", "x,map", "");
            build_node(b, "Conv", "c", "m,k", "pads=1,1,1,1");
        }
        build_node(b, "Reshape", "f", cases[i].conv ? "c,row" : "x,row", "");
        build_node(b, "MatMul", "y", "f,w", "");
        build_output(b, "y");
        struct graph *d = by_hand(cases[i].h, cases[i].w, 1);
        int in = cases[i].conv ? graph_add_conv(d, "c", 0, 1, 3, 3, 1, pad1, false, false) : 0, y = graph_add_dense(d, "y", in, 7, false);
        if (in)
            set_weights(&d->node[in], numbers_of(b, "k"), 1);
        for (int o = 0; o < 7; o++)
            for (int k = 0; k < 20; k++)
                d->node[y].weight[o * 20 + k] = numbers_of(b, "w")[k * 7 + o];
        build_write(b, unit_path(dir, "one.onnx"));
        assert_ok(onnx_read_report(&g, &report, unit_path(dir, "one.onnx")));
        assert_string_equal(report.layout, cases[i].layout);
        assert_int_equal(g->node[0].shape.h, cases[i].h);
        assert_int_equal(g->node[0].shape.w, cases[i].w);
        assert_int_equal(g->node[0].shape.c, 1);
        assert_true(graph_run_difference(g, d, 5) < 1e-6);
        onnx_report_free(&report);
        graph_free(g);
        graph_free(d);
    }
}

/* torch: x.view(x.size(0), -1), and the pads of F.pad computed by nodes. */
static void torch(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(11);
    build_input(b, "x", "batch,4,8,8");
    build_tensor(b, "w", "5,640", 1);
    build_values(b, "zero", 7, "", "0");
    build_values(b, "pad", 7, "6", "0,0,0,0,2,4");
    build_values(b, "missing", 7, "1", "2");
    build_values(b, "square", 7, "2", "-1,2");
    build_values(b, "m1", 7, "1", "-1");
    build_values(b, "min", 7, "1", "-9223372036854775807");
    build_values(b, "flat", 7, "1", "-1");
    build_values(b, "z1", 7, "1", "0");
    build_node(b, "Cast", "pad64", "pad", "to=7");
    build_values(b, "v", 7, "1", "0");
    build_node(b, "ConstantOfShape", "fill", "missing", "value=@v");
    build_node(b, "Concat", "all", "pad64,fill", "axis=0");
    build_node(b, "Reshape", "pairs", "all,square", "");
    build_node(b, "Slice", "turned", "pairs,m1,min,z1,m1", "");
    build_node(b, "Transpose", "columns", "turned", "perm=1,0");
    build_node(b, "Reshape", "pads", "columns,flat", "");
    build_node(b, "Pad", "p", "x,pads", "mode='constant'");
    build_node(b, "Shape", "shape", "p", "");
    build_node(b, "Gather", "n", "shape,zero", "axis=0");
    build_node(b, "Unsqueeze", "n1", "n", "axes=0,");
    build_node(b, "Concat", "to", "n1,m1", "axis=0");
    build_node(b, "Reshape", "f", "p,to", "");
    build_node(b, "Dropout", "d,mask", "f", "");
    build_node(b, "Identity", "i", "d", "");
    build_node(b, "Gemm", "y", "i,w", "transB=1");
    build_output(b, "y");
    struct graph *g = read_back(b);
    assert_int_equal(g->n_node, 3);
    assert_int_equal(g->node[1].op, GRAPH_SHORTCUT);
    assert_int_equal(g->node[1].chan_before, 2);
    assert_int_equal(g->node[1].shape.c, 10);
    assert_int_equal(g->node[1].stride, 1);
    graph_free(g);
}

/* Squeeze, Unsqueeze and Reshape round a global pool; both ways to name axes. */
static void views(void **state)
{
    (void)state;
    for (int opset = 11; opset <= 13; opset += 2) {
        struct onnx_build *b = build_new(opset);
        build_input(b, "x", "N,6,4,4");
        build_tensor(b, "w", "6,5", 1);
        build_values(b, "axes", 7, "2", "2,3");
        build_values(b, "shape", 7, "4", "0,0,1,1");
        build_node(b, "GlobalAveragePool", "p", "x", "");
        build_node(b, "Squeeze", "s", opset < 13 ? "p" : "p,axes", opset < 13 ? "axes=2,3" : "");
        build_node(b, "Unsqueeze", "u", opset < 13 ? "s" : "s,axes", opset < 13 ? "axes=2,3" : "");
        build_node(b, "Reshape", "r", "u,shape", "");
        build_node(b, "Squeeze", "q", opset < 13 ? "r" : "r,axes", opset < 13 ? "axes=2,3" : "");
        build_node(b, "Gemm", "y", "q,w", "");
        build_output(b, "y");
        struct graph *g = read_back(b);
        assert_int_equal(g->n_node, 3);
        assert_int_equal(g->node[2].op, GRAPH_DENSE);
        graph_free(g);
    }
}

/* ---- quantized models --------------------------------------------------------------------------- */

static void quantized(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,2,4,4");
    build_values(b, "s", 1, "", "0.125");
    build_values(b, "ws", 1, "3", "0.5,0.25,0.125");
    build_values(b, "u0", 2, "", "0");
    build_values(b, "i0", 3, "", "0");
    build_values(b, "wz", 3, "3", "0,0,2");
    build_values(b, "wq", 3, "3,2,1,1", "1,-2,3,4,5,-6");
    build_node(b, "QuantizeLinear", "xq", "x,s,i0", "");
    build_node(b, "DequantizeLinear", "xd", "xq,s,i0", "");
    build_node(b, "DequantizeLinear", "w", "wq,ws,wz", "axis=0");
    build_node(b, "Conv", "c", "xd,w", "");
    build_node(b, "QuantizeLinear", "cq", "c,s,u0", "");
    build_node(b, "DequantizeLinear", "cd", "cq,s,u0", "");
    build_node(b, "MaxPool", "y", "cd", "kernel_shape=2,2 strides=2,2");
    build_output(b, "y");
    struct graph *g = read_back(b);
    assert_int_equal(g->n_node, 4);
    const float w[6] = { 0.5f, -1, 0.75f, 1, 0.375f, -1 };
    assert_memory_equal(g->node[1].weight, w, sizeof w);
    assert_int_equal(g->node[2].op, GRAPH_RELU); /* what an unsigned range cuts off */
    assert_true(g->node[2].quant_scale == 0.125f && g->node[0].quant_scale == 0.125f);
    graph_free(g);
}

/* ---- element types -------------------------------------------------------------------------------- */

static void types(void **state)
{
    (void)state;
    static const uint16_t half[8] = { 0x3c00, 0xc000, 0x0001, 0x8000, 0x3555, 0x7bff, 0x0400, 0x3800 };
    static const float expected[8] = { 1, -2, 5.9604645e-8f, -0.0f, 0.33325195f, 65504, 6.1035156e-5f, 0.5f };
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,2,2,2");
    Onnx__TensorProto *t = build_add_tensor(b, build_empty_tensor(b, "h", 10, "1,8"));
    t->has_raw_data = 1;
    t->raw_data.data = (uint8_t *)build_alloc(b, sizeof half);
    t->raw_data.len = sizeof half;
    memcpy(t->raw_data.data, half, sizeof half);
    build_node(b, "Flatten", "f", "x", "");
    build_node(b, "Cast", "w", "h", "to=1");
    build_node(b, "Gemm", "y", "f,w", "transB=1");
    build_output(b, "y");
    struct graph *g = read_back(b);
    for (int c = 0; c < 2; c++)
        for (int k = 0; k < 4; k++)
            assert_true(g->node[1].weight[k * 2 + c] == expected[c * 4 + k]);
    graph_free(g);

    static const double wide[8] = { 1, 2, 3, 4, 5, 6, 7, 0.5 };
    for (int type = 11; type <= 16; type += 5) {
        b = build_new(13);
        build_input(b, "x", "N,2,2,2");
        t = build_add_tensor(b, build_empty_tensor(b, "w", type, "1,8"));
        t->has_raw_data = 1;
        t->raw_data.data = (uint8_t *)build_alloc(b, sizeof wide);
        t->raw_data.len = type == 11 ? sizeof wide : 16;
        for (int i = 0; i < 8; i++) {
            float f = (float)wide[i];
            memcpy(t->raw_data.data + i * (type == 11 ? 8 : 2), type == 11 ? (const void *)&wide[i] : (const uint8_t *)&f + 2, type == 11 ? 8 : 2);
        }
        build_node(b, "Flatten", "f", "x", "");
        build_node(b, "Gemm", "y", "f,w", "transB=1");
        build_output(b, "y");
        g = read_back(b);
        for (int c = 0; c < 2; c++)
            for (int k = 0; k < 4; k++)
                assert_true((double)g->node[1].weight[k * 2 + c] == wide[c * 4 + k]);
        graph_free(g);
    }
}

/* The arithmetic on constants: a shape computed by every folded operator must come out as 1, 48. */
static void arithmetic(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,3,4,4");
    build_tensor(b, "w", "10,48", 1);
    build_values(b, "i2", 7, "", "2");
    build_values(b, "i5", 7, "1", "5");
    build_values(b, "i0", 7, "", "0");
    build_values(b, "i10", 7, "", "10");
    build_values(b, "e3", 7, "1", "3");
    build_values(b, "ax0", 7, "1", "0");
    build_values(b, "f", 1, "1", "23.9");
    build_values(b, "one", 7, "1", "1");
    build_node(b, "Constant", "k", "", "value_int=2");
    build_node(b, "Range", "r", "i0,i10,i2", "");          /* 0 2 4 6 8 */
    build_node(b, "Gather", "g", "r,i2", "");              /* 4 */
    build_node(b, "Unsqueeze", "g1", "g,ax0", "");
    build_node(b, "Mul", "m", "g1,i5", "");                /* 20 */
    build_node(b, "Floor", "fl", "f", "");
    build_node(b, "Cast", "c", "fl,", "to=7");             /* 23 */
    build_node(b, "Add", "a", "m,c", "");                  /* 43 */
    build_node(b, "Sub", "s", "a,i5", "");                 /* 38 */
    build_node(b, "Div", "d", "s,k", "");                  /* 19 */
    build_node(b, "Expand", "ex", "d,e3", "");             /* 19 19 19 */
    build_node(b, "Equal", "eq", "ex,d", "");              /* 1 1 1 */
    build_node(b, "Where", "wh", "eq,e3,ex", "");          /* 3 3 3 */
    build_node(b, "ReduceProd", "p", "wh", "keepdims=1");  /* 27 */
    build_node(b, "Max", "mx", "p,s", "");                 /* 38 */
    build_node(b, "Neg", "ng", "m", "");                   /* -20 */
    build_node(b, "Squeeze", "sq", "ng", "");
    build_node(b, "Add", "sum", "sq,mx", "");              /* 18 */
    build_node(b, "Add", "total", "sum,p", "");            /* 45 */
    build_node(b, "Add", "t48", "total,e3", "");           /* 48 */
    build_node(b, "Concat", "shape", "one,t48", "axis=0");
    build_node(b, "Reshape", "fx", "x,shape", "");
    build_node(b, "Gemm", "y", "fx,w", "transB=1");
    build_output(b, "y");
    struct graph *g = read_back(b);
    assert_int_equal(g->n_node, 2);
    graph_free(g);
}

int main(void)
{
    dir = unit_scratch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv),       cmocka_unit_test(padded_conv), cmocka_unit_test(dense),              cmocka_unit_test(pointwise),
        cmocka_unit_test(batchnorms), cmocka_unit_test(constants),   cmocka_unit_test(rectifiers),         cmocka_unit_test(pools), cmocka_unit_test(padded_average), cmocka_unit_test(means), cmocka_unit_test(one_channel),
        cmocka_unit_test(concat),     cmocka_unit_test(tensorflow),  cmocka_unit_test(option_a_shortcuts), cmocka_unit_test(torch),
        cmocka_unit_test(views),      cmocka_unit_test(quantized),   cmocka_unit_test(types),              cmocka_unit_test(arithmetic),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unit_remove(dir);
    return rc;
}
