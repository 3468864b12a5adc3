/* graph: nodes fused into layers: chains, residuals, shortcuts, concat, pools, signs, faults. */
#define _GNU_SOURCE
#include "unit.h"

#include "graph/graph.h"

static const int pad0[4] = { 0, 0, 0, 0 }, pad1[4] = { 1, 1, 1, 1 };

static struct graph *with_input(int side, int c)
{
    struct graph *g = graph_new("net");
    assert_int_equal(graph_add_input(g, "in", (struct graph_shape){ side, side, c }), 0);
    return g;
}

static int conv(struct graph *g, const char *name, int in, int cout, int stride)
{
    return graph_add_conv(g, name, in, cout, 3, 3, stride, pad1, false, false);
}

static int conv_bn(struct graph *g, const char *name, const char *bn, int in, int cout, int stride)
{
    return graph_add_batchnorm(g, bn, conv(g, name, in, cout, stride));
}

static int relu(struct graph *g, const char *name, int in)
{
    return graph_add_relu(g, name, in, GRAPH_RELU);
}

static void assert_term(const struct graph *g, const struct graph_term *t, const char *node, const char *bn, int edge, int chan)
{
    assert_int_equal(t->node, node ? graph_find(g, node) : -1);
    assert_int_equal(t->batchnorm, bn ? graph_find(g, bn) : -1);
    assert_int_equal(t->edge, edge);
    assert_int_equal(t->chan, chan);
}

static void assert_layer(const struct graph *g, const struct graph_layer *l, const char *name, int n_term, enum graph_op rectifier, const char *out)
{
    assert_string_equal(l->name, name);
    assert_int_equal(l->node, graph_find(g, name));
    assert_int_equal(l->n_term, n_term);
    assert_int_equal(l->relu, rectifier);
    assert_int_equal(l->out_node, graph_find(g, out));
    assert_int_equal(l->shape.c, g->node[l->out_node].shape.c);
}

static void chain(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 3);
    int x = relu(g, "r1", conv_bn(g, "c1", "n1", 0, 8, 1));
    x = graph_add_relu(g, "r2", conv(g, "c2", x, 8, 2), GRAPH_RELU6);
    x = conv_bn(g, "c3", "n3", x, 12, 1);
    graph_add_dense(g, "fc", graph_add_unary(g, "flat", x, GRAPH_FLATTEN), 10, true);
    struct graph_layers ls;
    assert_ok(graph_make_layers(g, &ls));
    assert_int_equal(ls.n, 4);
    assert_int_equal(ls.n_edge, 5);
    assert_layer(g, &ls.layer[0], "c1", 1, GRAPH_RELU, "r1");
    assert_term(g, &ls.layer[0].term[0], "c1", "n1", 0, 0);
    assert_layer(g, &ls.layer[1], "c2", 1, GRAPH_RELU6, "r2");
    assert_term(g, &ls.layer[1].term[0], "c2", NULL, 1, 0);
    assert_layer(g, &ls.layer[2], "c3", 1, GRAPH_OP_COUNT, "n3");
    assert_layer(g, &ls.layer[3], "fc", 1, GRAPH_OP_COUNT, "fc");
    assert_term(g, &ls.layer[3].term[0], "fc", NULL, 3, 0); /* seen through the Flatten */
    for (int i = 0; i < ls.n; i++)
        assert_true(ls.layer[i].has_weights && ls.layer[i].kind == GRAPH_LAYER_MAC);
    const bool sign[5] = { false, false, false, true, true };
    for (int e = 0; e < 5; e++)
        assert_int_equal(graph_edge_signed(g, &ls, e), sign[e]);
    assert_int_equal(graph_edge_shape(g, &ls, 0).c, 3);
    assert_int_equal(graph_edge_shape(g, &ls, 2).h, 4);
    graph_free(g);
}

/* Identity, option A and option B residuals: one layer, the convolutions in front of the Add are its terms. */
static void residuals(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 3);
    int x = relu(g, "r0", conv_bn(g, "c0", "n0", 0, 8, 1));
    int y = conv_bn(g, "c2", "n2", relu(g, "r1", conv_bn(g, "c1", "n1", x, 8, 1)), 8, 1);
    x = relu(g, "ra", graph_add_add(g, "sum", y, x));
    y = conv_bn(g, "c3", "n3", x, 16, 2);
    int a = graph_add_shortcut(g, "optA", x, 16, 2, 4);
    int z = relu(g, "rb", graph_add_add(g, "sumA", a, y));
    y = conv_bn(g, "c4", "n4", z, 24, 1);
    int b = graph_add_batchnorm(g, "nB", graph_add_conv(g, "optB", z, 24, 1, 1, 1, pad0, false, false));
    x = graph_add_add(g, "sumB", y, b); /* linear */
    graph_add_dense(g, "fc", graph_add_pool(g, "pool", x, GRAPH_AVGPOOL, 4, 4, 1, pad0), 10, true);
    struct graph_layers ls;
    assert_ok(graph_make_layers(g, &ls));
    assert_int_equal(ls.n, 7);
    assert_layer(g, &ls.layer[2], "sum", 2, GRAPH_RELU, "ra");
    assert_term(g, &ls.layer[2].term[0], "c2", "n2", 2, 0);
    assert_term(g, &ls.layer[2].term[1], NULL, NULL, 1, 0);
    assert_layer(g, &ls.layer[3], "sumA", 2, GRAPH_RELU, "rb");
    assert_term(g, &ls.layer[3].term[0], "optA", NULL, 3, 0);
    assert_term(g, &ls.layer[3].term[1], "c3", "n3", 3, 0);
    assert_layer(g, &ls.layer[4], "sumB", 2, GRAPH_OP_COUNT, "sumB");
    assert_term(g, &ls.layer[4].term[0], "c4", "n4", 4, 0);
    assert_term(g, &ls.layer[4].term[1], "optB", "nB", 4, 0);
    assert_layer(g, &ls.layer[5], "pool", 1, GRAPH_OP_COUNT, "pool");
    assert_false(ls.layer[5].has_weights);
    assert_true(ls.layer[2].has_weights);
    assert_false(graph_edge_signed(g, &ls, 4));
    assert_true(graph_edge_signed(g, &ls, 5));
    assert_true(graph_edge_signed(g, &ls, 6)); /* a mean of signed values */
    graph_free(g);
}

/* A convolution that an Add and another node read is a layer of its own; x + x reads one edge twice. */
static void shared_terms(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 3);
    int x = conv(g, "c1", 0, 4, 1), y = relu(g, "r2", conv(g, "c2", x, 4, 1));
    int s = graph_add_add(g, "sum", x, y), d = graph_add_add(g, "double", s, s);
    graph_add_add(g, "end", d, relu(g, "r3", conv(g, "c3", y, 4, 1)));
    struct graph_layers ls;
    assert_ok(graph_make_layers(g, &ls));
    assert_int_equal(ls.n, 6);
    assert_layer(g, &ls.layer[2], "sum", 2, GRAPH_OP_COUNT, "sum");
    assert_term(g, &ls.layer[2].term[0], NULL, NULL, 1, 0);
    assert_term(g, &ls.layer[2].term[1], NULL, NULL, 2, 0);
    assert_layer(g, &ls.layer[3], "double", 2, GRAPH_OP_COUNT, "double");
    assert_term(g, &ls.layer[3].term[0], NULL, NULL, 3, 0);
    assert_term(g, &ls.layer[3].term[1], NULL, NULL, 3, 0);
    assert_layer(g, &ls.layer[4], "c3", 1, GRAPH_RELU, "r3"); /* a rectified term is not the Add's */
    assert_false(ls.layer[5].has_weights);
    graph_free(g);
}

/* Pre-activation: the ReLU of a map that the residual reads too is a layer of its own. */
static void shared_relu(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 3);
    int x = conv(g, "c1", 0, 4, 1), r = graph_add_relu(g, "r", x, GRAPH_RELU6), y = conv(g, "c2", r, 4, 1);
    graph_add_relu(g, "r2", graph_add_add(g, "sum", x, y), GRAPH_RELU);
    struct graph_layers ls;
    assert_ok(graph_make_layers(g, &ls));
    assert_int_equal(ls.n, 3);
    assert_layer(g, &ls.layer[0], "c1", 1, GRAPH_OP_COUNT, "c1");
    assert_layer(g, &ls.layer[1], "r", 1, GRAPH_RELU6, "r");
    assert_term(g, &ls.layer[1].term[0], NULL, NULL, 1, 0);
    assert_layer(g, &ls.layer[2], "sum", 2, GRAPH_RELU, "r2");
    assert_term(g, &ls.layer[2].term[1], "c2", NULL, 2, 0);
    assert_true(graph_edge_signed(g, &ls, 1));
    assert_false(graph_edge_signed(g, &ls, 2));
    graph_free(g);
}

static void concat(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 3);
    int a = relu(g, "ra", conv(g, "a", 0, 5, 1)), b = conv(g, "b", a, 7, 1);
    int x = relu(g, "rc", graph_add_concat(g, "cat", (const int[3]){ a, b, a }, 3));
    graph_add_concat(g, "cat2", (const int[2]){ x, a }, 2);
    struct graph_layers ls;
    assert_ok(graph_make_layers(g, &ls));
    assert_int_equal(ls.n, 4);
    assert_layer(g, &ls.layer[2], "cat", 3, GRAPH_RELU, "rc");
    assert_term(g, &ls.layer[2].term[0], NULL, NULL, 1, 0);
    assert_term(g, &ls.layer[2].term[1], NULL, NULL, 2, 5);
    assert_term(g, &ls.layer[2].term[2], NULL, NULL, 1, 12);
    assert_layer(g, &ls.layer[3], "cat2", 2, GRAPH_OP_COUNT, "cat2");
    assert_true(graph_edge_signed(g, &ls, 2));
    assert_false(graph_edge_signed(g, &ls, 4)); /* joined from rectified edges only */
    graph_free(g);
}

/* A ReLU behind a max pool moves in front of it, unless something else reads the map in front. */
static void pools(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 3);
    int x = relu(g, "r1", graph_add_pool(g, "p1", conv(g, "c1", 0, 8, 1), GRAPH_MAXPOOL, 2, 2, 2, pad0));
    int c = conv(g, "c2", x, 8, 1);
    int p = graph_add_pool(g, "p2", c, GRAPH_MAXPOOL, 2, 2, 2, pad0);
    int q = graph_add_pool(g, "q", relu(g, "rq", graph_add_pool(g, "avg", c, GRAPH_AVGPOOL, 2, 2, 2, pad0)), GRAPH_MAXPOOL, 1, 1, 1, pad0);
    graph_add_add(g, "sum", p, q);
    struct graph_layers ls;
    assert_ok(graph_make_layers(g, &ls));
    assert_int_equal(ls.n, 7);
    assert_layer(g, &ls.layer[0], "c1", 1, GRAPH_RELU, "c1");
    assert_int_equal(ls.layer[1].kind, GRAPH_LAYER_MAXPOOL);
    assert_layer(g, &ls.layer[1], "p1", 1, GRAPH_OP_COUNT, "r1");
    assert_int_equal(ls.layer[1].term[0].edge, 1);
    assert_term(g, &ls.layer[2].term[0], "c2", NULL, 2, 0); /* reads what stood behind the ReLU */
    assert_layer(g, &ls.layer[3], "p2", 1, GRAPH_OP_COUNT, "p2");
    assert_false(ls.layer[3].has_weights);
    assert_layer(g, &ls.layer[4], "avg", 1, GRAPH_RELU, "rq");
    assert_false(graph_edge_signed(g, &ls, 1));
    assert_false(graph_edge_signed(g, &ls, 2));
    assert_true(graph_edge_signed(g, &ls, 4));
    assert_false(graph_edge_signed(g, &ls, 6)); /* picked from a rectified map */
    graph_free(g);

    /* Pooled straight from the image: unsigned if by a max, signed (normalized) if by a mean. */
    g = with_input(8, 3);
    graph_add_pool(g, "avg", graph_add_pool(g, "max", 0, GRAPH_MAXPOOL, 2, 2, 2, pad0), GRAPH_AVGPOOL, 2, 2, 2, pad0);
    assert_ok(graph_make_layers(g, &ls));
    assert_false(graph_edge_signed(g, &ls, 1));
    graph_free(g);
    g = with_input(8, 3);
    graph_add_pool(g, "avg", 0, GRAPH_AVGPOOL, 2, 2, 2, pad0);
    assert_ok(graph_make_layers(g, &ls));
    assert_true(graph_edge_signed(g, &ls, 1));
    graph_free(g);
}

/* A Softmax at the end is seen through: the layers end at the logits. */
static void output(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 3);
    int fc = graph_add_dense(g, "fc", relu(g, "r", conv(g, "c", 0, 4, 1)), 10, false);
    graph_add_unary(g, "soft", fc, GRAPH_SOFTMAX);
    assert_int_equal(g->output, fc);
    struct graph_layers ls;
    assert_ok(graph_make_layers(g, &ls));
    assert_int_equal(ls.n, 2);
    assert_layer(g, &ls.layer[1], "fc", 1, GRAPH_OP_COUNT, "fc");
    graph_free(g);

    /* An inner map that is the output as well keeps its own edge: nothing is fused behind it. */
    g = with_input(8, 3);
    int c = conv(g, "c", 0, 4, 1);
    relu(g, "r", c);
    g->output = c;
    assert_ok(graph_make_layers(g, &ls));
    assert_layer(g, &ls.layer[0], "c", 1, GRAPH_OP_COUNT, "c");
    assert_layer(g, &ls.layer[1], "r", 1, GRAPH_RELU, "r");
    assert_term(g, &ls.layer[1].term[0], NULL, NULL, 1, 0);
    graph_free(g);
}

static void faults(void **state)
{
    (void)state;
    struct graph_layers ls;
    struct graph *g = with_input(8, 3);
    int x = relu(g, "r1", conv(g, "c1", 0, 8, 1));
    graph_add_dense(g, "fc", graph_add_batchnorm(g, "late", x), 10, false);
    assert_error(graph_make_layers(g, &ls), BASE_INPUT, "node 'late': BatchNorm must directly follow a Conv or Dense");
    graph_free(g);

    g = with_input(8, 3);
    x = conv(g, "c1", 0, 8, 1);
    graph_add_add(g, "sum", graph_add_batchnorm(g, "bn", x), x);
    assert_error(graph_make_layers(g, &ls), BASE_INPUT, "node 'bn': BatchNorm follows a Conv or Dense that other nodes read too");
    graph_free(g);

    g = with_input(8, 3);
    x = graph_add_unary(g, "soft", conv(g, "c1", 0, 8, 1), GRAPH_SOFTMAX);
    graph_add_dense(g, "fc", x, 10, false);
    assert_error(graph_make_layers(g, &ls), BASE_INPUT, "node 'soft': Softmax must be the last node");
    graph_free(g);

    g = with_input(8, 3);
    graph_add_unary(g, "flat", 0, GRAPH_FLATTEN);
    assert_error(graph_make_layers(g, &ls), BASE_INPUT, "output 'flat' is not the output of a layer");
    graph_free(g);
}

static void survives_nomem(void **state)
{
    (void)state;
    struct graph *g = NULL;
    struct graph_layers ls;
    assert_ok(graph_zoo(&g, "resnet8"));
    assert_survives_nomem(graph_make_layers(g, &ls), );
    assert_int_equal(ls.n, 9);
    graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain),  cmocka_unit_test(residuals), cmocka_unit_test(shared_terms), cmocka_unit_test(concat), cmocka_unit_test(shared_relu),
        cmocka_unit_test(pools),  cmocka_unit_test(output),    cmocka_unit_test(faults),       cmocka_unit_test(survives_nomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
