/* graph: builders and what they refuse, counts, checks, copies, batch-norm folding, the zoo.
 * The view as layers is in test_graph_layers.c. */
#define _GNU_SOURCE
#include "unit.h"

#include "graph_run.h"

static const int pad0[4] = { 0, 0, 0, 0 }, pad1[4] = { 1, 1, 1, 1 };

static struct graph *with_input(int h, int w, int c)
{
    struct graph *g = graph_new("net");
    assert_int_equal(graph_add_input(g, "in", (struct graph_shape){ h, w, c }), 0);
    return g;
}

static void assert_shape(const struct graph *g, int node, int h, int w, int c)
{
    assert_true(node >= 0);
    struct graph_shape s = g->node[node].shape;
    if (s.h != h || s.w != w || s.c != c)
        fail_msg("node '%s' is %d x %d x %d, expected %d x %d x %d", g->node[node].name, s.h, s.w, s.c, h, w, c);
}

/* ---- shapes --------------------------------------------------------------------- */

static void shapes(void **state)
{
    (void)state;
    struct graph *g = with_input(9, 12, 3);
    assert_shape(g, graph_add_conv(g, "same", 0, 8, 3, 3, 1, pad1, false, false), 9, 12, 8);
    assert_shape(g, graph_add_conv(g, "half", 0, 8, 3, 3, 2, pad1, false, false), 5, 6, 8);
    assert_shape(g, graph_add_conv(g, "tall", 0, 4, 5, 1, 1, pad0, false, false), 5, 12, 4);
    assert_shape(g, graph_add_conv(g, "lopsided", 0, 4, 3, 3, 2, (const int[4]){ 0, 1, 1, 0 }, false, false), 4, 6, 4);
    assert_shape(g, graph_add_conv(g, "whole", 0, 2, 9, 12, 1, pad0, false, true), 1, 1, 2);
    assert_shape(g, graph_add_conv(g, "deep", 0, 3, 3, 3, 1, pad1, true, false), 9, 12, 3);
    assert_shape(g, graph_add_dense(g, "fc", 0, 10, true), 1, 1, 10);
    assert_shape(g, graph_add_pool(g, "max", 0, GRAPH_MAXPOOL, 2, 2, 2, pad0), 4, 6, 3);
    assert_shape(g, graph_add_pool(g, "avg", 0, GRAPH_AVGPOOL, 9, 12, 1, pad0), 1, 1, 3);
    assert_shape(g, graph_add_shortcut(g, "cut", 0, 8, 2, 2), 5, 6, 8);
    assert_shape(g, graph_add_concat(g, "cat", (const int[3]){ 0, graph_find(g, "same"), graph_find(g, "deep") }, 3), 9, 12, 14);
    assert_shape(g, graph_add_add(g, "sum", graph_find(g, "deep"), 0), 9, 12, 3);
    assert_shape(g, graph_add_unary(g, "flat", 0, GRAPH_FLATTEN), 9, 12, 3);
    assert_int_equal(graph_find(g, "nobody"), -1);
    graph_free(g);
}

/* ---- refusals ------------------------------------------------------------------- */

static void refusals(void **state)
{
    (void)state;
    struct graph *g = with_input(8, 8, 4);
    const int four = graph_add_conv(g, "four", 0, 6, 3, 3, 2, pad1, false, false);
    const int wide[2] = { 0, four };
    assert_error(graph_add_input(g, "again", (struct graph_shape){ 8, 8, 4 }), BASE_INPUT, "node 'again': the input must be the first");
    assert_error(graph_add_conv(g, "c", 7, 8, 3, 3, 1, pad1, false, false), BASE_INPUT, "node 'c': input 0 refers to node 7");
    assert_error(graph_add_conv(g, "c", -1, 8, 3, 3, 1, pad1, false, false), BASE_INPUT, "refers to node -1");
    assert_error(graph_add_conv(g, "c", 0, 0, 3, 3, 1, pad1, false, false), BASE_INPUT, "node 'c': the output map 8 x 8 x 0");
    assert_error(graph_add_conv(g, "c", 0, 1 << 20, 1, 1, 1, pad0, false, false), BASE_INPUT, "too large");
    assert_error(graph_add_conv(g, "c", 0, 8, 0, 3, 1, pad0, false, false), BASE_INPUT, "kernel 0 x 3");
    assert_error(graph_add_conv(g, "c", 0, 8, 3, 3, 0, pad1, false, false), BASE_INPUT, "stride 0");
    assert_error(graph_add_conv(g, "c", 0, 8, 3, 3, 1, (const int[4]){ 3, 0, 0, 0 }, false, false), BASE_INPUT, "padding 3");
    assert_error(graph_add_conv(g, "c", 0, 8, 3, 3, 1, (const int[4]){ 0, 0, 0, -1 }, false, false), BASE_INPUT, "padding -1");
    assert_error(graph_add_conv(g, "c", 0, 8, 11, 3, 1, pad1, false, false), BASE_INPUT, "larger than the padded input 10 x 10");
    assert_error(graph_add_conv(g, "c", 0, 8, 3, 3, 1, pad1, true, false), BASE_INPUT, "as many outputs (8) as inputs (4)");
    assert_error(graph_add_conv(g, "four", 0, 8, 3, 3, 1, pad1, false, false), BASE_INPUT, "'four': the name is used twice");
    assert_error(graph_add_dense(g, "d", 9, 8, false), BASE_INPUT, "node 'd'");
    assert_error(graph_add_dense(g, "d", 0, 1 << 24, false), BASE_INPUT, "too large");
    assert_error(graph_add_batchnorm(g, "b", 9), BASE_INPUT, "node 'b'");
    assert_error(graph_add_relu(g, "r", 0, GRAPH_ADD), BASE_INPUT, "Add is not a ReLU");
    assert_error(graph_add_unary(g, "u", 0, GRAPH_ADD), BASE_INPUT, "Add is not Flatten or Softmax");
    assert_error(graph_add_add(g, "a", 0, four), BASE_INPUT, "node 'a': Add of a 8 x 8 x 4 map ('in') and a 4 x 4 x 6 map ('four')");
    assert_error(graph_add_concat(g, "a", wide, 2), BASE_INPUT, "Concat of a 8 x 8 and a 4 x 4 map ('four')");
    assert_error(graph_add_concat(g, "a", wide, 0), BASE_INPUT, "Concat of 0 maps");
    assert_error(graph_add_concat(g, "a", (const int[9]){ 0 }, 9), BASE_INPUT, "Concat of 9 maps");
    assert_error(graph_add_pool(g, "p", 0, GRAPH_RELU, 2, 2, 2, pad0), BASE_INPUT, "Relu is not a pooling operator");
    assert_error(graph_add_pool(g, "p", 0, GRAPH_MAXPOOL, 9, 2, 2, pad0), BASE_INPUT, "larger than the padded input");
    assert_error(graph_add_shortcut(g, "s", 0, 3, 2, 0), BASE_INPUT, "Shortcut of 4 channels to 3");
    assert_error(graph_add_shortcut(g, "s", 0, 8, 2, 5), BASE_INPUT, "with 5 before");
    assert_error(graph_add_shortcut(g, "s", 0, 8, 2, INT32_MAX), BASE_INPUT, "does not fit");
    assert_error(graph_add_shortcut(g, "s", 0, 8, 0, 0), BASE_INPUT, "stride 0");
    assert_int_equal(g->n_node, 2); /* a refused node leaves no trace */
    graph_free(g);

    g = with_input(128, 128, 4);
    assert_error(graph_add_dense(g, "d", 0, 65536, false), BASE_INPUT, "node 'd': 4294967296 weights are too many");
    graph_free(g);

    g = graph_new("net");
    assert_error(graph_add_input(g, "in", (struct graph_shape){ 0, 8, 3 }), BASE_INPUT, "0 x 8 x 3 is empty or too large");
    assert_error(graph_add_input(g, "in", (struct graph_shape){ 16384, 16384, 2 }), BASE_INPUT, "too large");
    graph_free(g);
}

/* ---- whole-graph checks ----------------------------------------------------------- */

static struct graph *checked_net(void)
{
    struct graph *g = with_input(8, 8, 3);
    int x = graph_add_batchnorm(g, "bn", graph_add_conv(g, "conv", 0, 4, 3, 3, 1, pad1, false, true));
    x = graph_add_dense(g, "fc", graph_add_relu(g, "relu", x, GRAPH_RELU), 5, true);
    assert_int_equal(g->output, x);
    assert_ok(graph_check(g));
    return g;
}

static void checks(void **state)
{
    (void)state;
    struct graph *g = graph_new("net");
    assert_error(graph_check(g), BASE_INPUT, "it must begin with an input");
    graph_free(g);

    g = checked_net();
    struct graph_node *conv = &g->node[1], *bn = &g->node[2];
    g->output = 99;
    assert_error(graph_check(g), BASE_INPUT, "no output");
    g->output = 4;
    conv->weight[7] = NAN;
    assert_error(graph_check(g), BASE_INPUT, "node 'conv': weight[7] is not a finite number");
    conv->weight[7] = 0;
    conv->bias[3] = INFINITY;
    assert_error(graph_check(g), BASE_INPUT, "node 'conv': bias[3]");
    conv->bias[3] = 0;
    bn->var[1] = -1;
    assert_error(graph_check(g), BASE_INPUT, "node 'bn': variance of channel 1 is -1");
    bn->var[1] = 1;
    bn->mean[2] = NAN;
    assert_error(graph_check(g), BASE_INPUT, "node 'bn': mean[2]");
    bn->mean[2] = 0;
    conv->pad_t = 0;
    assert_error(graph_check(g), BASE_INPUT, "node 'conv': its output 8 x 8 x 4 does not follow from its inputs");
    conv->pad_t = 1;
    conv->stride = 0;
    assert_error(graph_check(g), BASE_INPUT, "node 'conv'");
    conv->stride = 1;
    bn->in[0] = 3;
    assert_error(graph_check(g), BASE_INPUT, "node 'bn': nodes are not in topological order");
    bn->in[0] = 1;
    bn->n_in = 0;
    assert_error(graph_check(g), BASE_INPUT, "node 'bn': it has no input");
    bn->n_in = 1;
    g->node[3].op = GRAPH_INPUT;
    assert_error(graph_check(g), BASE_INPUT, "node 'relu': a graph has exactly one input");
    g->node[3].op = GRAPH_RELU;
    assert_ok(graph_check(g));
    graph_free(g);
}

static void preprocessing(void **state)
{
    (void)state;
    struct graph *g = checked_net();
    assert_false(g->prep.known);
    assert_error(graph_prep_check(g), BASE_INPUT, "how raw pixels become the network's input is not given");
    assert_non_null(strstr(base_error_hint(), "input_scale"));
    assert_non_null(strstr(base_error_hint(), "input: {scale"));

    struct graph_prep p = { .scale = 1.0f / 255, .n = 3, .mean = { 0.5f, 0.25f, 0 }, .std = { 0.5f, 2, 1 } };
    g->own = (struct graph_prep){ .scale = 1, .n = 3, .mean = { 1, 0, -1 }, .std = { 2, 1, 4 } }; /* what the file does itself */
    assert_ok(graph_prep_set(g, &p));
    assert_ok(graph_prep_check(g));
    for (int c = 0; c < 3; c++)
        for (int pixel = 0; pixel < 256; pixel += 51) {
            double raw = (pixel / 255.0 - (double)p.mean[c]) / (double)p.std[c];
            double x = (raw - (double)(const float[]){ 1, 0, -1 }[c]) / (double)(const float[]){ 2, 1, 4 }[c];
            double got = (pixel * (double)g->prep.scale - (double)g->prep.mean[c]) / (double)g->prep.std[c];
            assert_true(fabs(got - x) < 1e-6);
        }
    g->own.n = 0;
    /* Set again, it is replaced; one mean and deviation stand for every channel. */
    assert_ok(graph_prep_set(g, &(struct graph_prep){ .scale = 1, .n = 1, .mean = { 127 }, .std = { 64 } }));
    assert_int_equal(g->prep.n, 3);
    assert_true(g->prep.mean[2] == 127 && g->prep.std[2] == 64 && g->prep.scale == 1);

    p.n = 2;
    assert_error(graph_prep_set(g, &p), BASE_INPUT, "2 means and deviations for an input of 3 channels");
    p.n = 3;
    p.std[1] = 0;
    assert_error(graph_prep_set(g, &p), BASE_INPUT, "normalization of channel 1: mean 0.25, std 0");
    p.std[1] = 1;
    p.scale = -1;
    assert_error(graph_prep_set(g, &p), BASE_INPUT, "pixel scale -1 must be positive");
    assert_true(g->prep.mean[0] == 127); /* a refused one changes nothing */
    graph_free(g);
}

/* ---- counts --------------------------------------------------------------------- */

static void counts(void **state)
{
    (void)state;
    struct graph *g = with_input(10, 6, 3);
    int conv = graph_add_conv(g, "conv", 0, 8, 3, 5, 1, (const int[4]){ 1, 2, 1, 2 }, false, true);
    int deep = graph_add_conv(g, "deep", conv, 8, 3, 3, 2, pad1, true, false);
    int bn = graph_add_batchnorm(g, "bn", deep);
    int fc = graph_add_dense(g, "fc", bn, 7, true);
    assert_int_equal(graph_macs(g, conv), 10 * 6 * 8 * 3 * 5 * 3);
    assert_int_equal(graph_macs(g, deep), 5 * 3 * 8 * 9);
    assert_int_equal(graph_macs(g, bn), 0);
    assert_int_equal(graph_macs(g, fc), 5 * 3 * 8 * 7);
    assert_int_equal(graph_params(g), (8 * 3 * 5 * 3 + 8) + 8 * 9 + 2 * 8 + (5 * 3 * 8 * 7 + 7));
    graph_free(g);
}

/* Multiply-accumulates and parameters as their papers, or a count by hand, have them. */
static void zoo(void **state)
{
    (void)state;
    static const struct { const char *name; int64_t macs, params; int c, classes; } nets[] = {
        { "fmnist-cnn", 5532544, 70330, 1, 10 }, { "lenet", 3024384, 215418, 1, 10 },
        { "resnet8", 12501632, 78042, 3, 10 },   { "resnet20", 40551040, 269722, 3, 10 },
        { "resnet32", 68862592, 464154, 3, 10 }, { "resnet44", 97174144, 658586, 3, 10 },
        { "resnet56", 125485696, 853018, 3, 10 },
        { "mobilenet-v1-x0.25", 3331072, 215642, 3, 10 },
        { "mobilenet-v1-x0.5", 12167168, 823722, 3, 10 },
        { "mobilenet-v1-x1", 46354432, 3217226, 3, 10 },
        { "mobilenet-v1-x0.25-96", 7489664, 213586, 3, 2 },
        { "ds-cnn", 2656768, 23180, 1, 12 },
        { "kws-mlp", 259584, 261132, 1, 12 },
        { "cnv", 59461376, 1546698, 3, 10 },
    };
    for (int i = 0; i < BASE_COUNT(nets); i++) {
        struct graph *g = NULL;
        assert_ok(graph_zoo(&g, nets[i].name));
        int64_t macs = 0;
        for (int k = 0; k < g->n_node; k++)
            macs += graph_macs(g, k);
        assert_int_equal(macs, nets[i].macs);
        assert_int_equal(graph_params(g), nets[i].params);
        assert_int_equal(g->node[0].shape.c, nets[i].c);
        assert_shape(g, g->output, 1, 1, nets[i].classes);
        assert_ok(graph_prep_check(g));
        struct graph_layers ls;
        assert_ok(graph_make_layers(g, &ls));
        graph_free(g);
    }
    struct graph *g = (struct graph *)&nets;
    assert_error(graph_zoo(&g, "alexnet"), BASE_INPUT, "network 'alexnet' is not built in (there are fmnist-cnn, lenet, resnet8");
    assert_null(g);
    assert_survives_nomem(graph_zoo(&g, "lenet"), graph_free(g));
}

/* ---- copies and folding ----------------------------------------------------------- */

/* Every operator in one network: option A and B shortcuts, concat, pools, depthwise, ReLU6. */
static struct graph *everything(void)
{
    struct graph *g = with_input(12, 12, 3);
    int x = graph_add_relu(g, "r1", graph_add_batchnorm(g, "n1", graph_add_conv(g, "c1", 0, 8, 3, 3, 1, pad1, false, true)), GRAPH_RELU);
    int y = graph_add_batchnorm(g, "n2", graph_add_conv(g, "c2", x, 16, 3, 3, 2, (const int[4]){ 0, 0, 1, 1 }, false, false));
    int a = graph_add_shortcut(g, "a", x, 16, 2, 4), b = graph_add_batchnorm(g, "nb", graph_add_conv(g, "b", x, 16, 1, 1, 2, pad0, false, false));
    y = graph_add_add(g, "s2", graph_add_add(g, "s1", y, a), b);
    y = graph_add_relu(g, "r2", y, GRAPH_RELU6);
    int d = graph_add_relu(g, "r3", graph_add_batchnorm(g, "n3", graph_add_conv(g, "dw", y, 16, 3, 3, 1, pad1, true, false)), GRAPH_RELU);
    x = graph_add_concat(g, "cat", (const int[2]){ y, d }, 2);
    x = graph_add_pool(g, "max", x, GRAPH_MAXPOOL, 3, 3, 2, pad1);
    x = graph_add_pool(g, "avg", x, GRAPH_AVGPOOL, 3, 3, 3, pad0);
    x = graph_add_unary(g, "flat", x, GRAPH_FLATTEN);
    x = graph_add_batchnorm(g, "nf", graph_add_dense(g, "fc", x, 10, false));
    assert_true(graph_add_unary(g, "soft", x, GRAPH_SOFTMAX) > 0);
    assert_int_equal(g->output, x);
    graph_run_randomize(g, 5);
    assert_ok(graph_check(g));
    return g;
}

static int clone(struct graph **out, const struct graph *g)
{
    return (*out = graph_clone(g)) ? BASE_OK : BASE_NOMEM;
}

static void copies(void **state)
{
    (void)state;
    struct graph *g = everything(), *d = NULL;
    g->prep = (struct graph_prep){ .scale = 0.5f, .known = true };
    assert_survives_nomem(clone(&d, g), );
    assert_int_equal(d->n_node, g->n_node);
    assert_int_equal(d->output, g->output);
    assert_true(d->prep.known && d->prep.scale == 0.5f);
    assert_ok(graph_check(d));
    assert_true(graph_run_difference(g, d, 1) == 0);
    d->node[1].weight[0] += 1;
    d->node[2].var[0] += 1;
    assert_true(g->node[1].weight[0] + 1 == d->node[1].weight[0]); /* deep */
    assert_true(graph_run_difference(g, d, 1) > 0);
    graph_free(d);
    graph_free(g);
}

static void folding(void **state)
{
    (void)state;
    struct graph *g = everything(), *d = NULL;
    assert_survives_nomem(graph_fold_batchnorm(g, &d), );
    for (int i = 0; i < d->n_node; i++)
        assert_true(d->node[i].op != GRAPH_BATCHNORM);
    assert_int_equal(d->n_node, g->n_node - 5);
    assert_ok(graph_check(d));
    assert_true(graph_run_difference(g, d, 2) < 1e-5);
    assert_string_equal(d->node[d->output].name, "fc"); /* the folded output is the Dense */
    graph_free(d);
    graph_free(g);

    g = with_input(4, 4, 2);
    int r = graph_add_relu(g, "r", graph_add_conv(g, "c", 0, 2, 1, 1, 1, pad0, false, false), GRAPH_RELU);
    graph_add_batchnorm(g, "late", r);
    assert_error(graph_fold_batchnorm(g, &d), BASE_INPUT, "node 'late'");
    graph_free(g);

    g = with_input(4, 4, 2);
    int c = graph_add_conv(g, "c", 0, 2, 1, 1, 1, pad0, false, false);
    graph_add_add(g, "sum", graph_add_batchnorm(g, "bn", c), c);
    assert_error(graph_fold_batchnorm(g, &d), BASE_INPUT, "'c' is a Conv with other consumers");
    assert_null(d);
    graph_free(g);
}

/* docs/graph.md has a line for every operator, as ops.def has it. */
static void documented(void **state)
{
    (void)state;
    static const struct { const char *name; int inputs, weights, quantizable, prunable; } ops[] = {
#define OP(id, name, inputs, weights, quantizable, prunable, lowerable) { name, inputs, weights, quantizable, prunable },
#include "graph/ops.def"
#undef OP
    };
    uint8_t *text = NULL;
    size_t len;
    if (base_file_read(&text, &len, "docs/graph.md", 1 << 20)) {
        print_message("skipped: not run in the source tree\n");
        skip();
    }
    for (int i = 0; i < BASE_COUNT(ops); i++) {
        char *line = base_format("\n| `%s` | %d | %s | %s | %s |", ops[i].name, ops[i].inputs, ops[i].weights ? "yes" : "-", ops[i].quantizable ? "yes" : "-", ops[i].prunable ? "yes" : "-");
        if (!strstr((const char *)text, line))
            fail_msg("docs/graph.md lacks:%s", line);
        base_free(line);
        assert_string_equal(graph_op_name((enum graph_op)i), ops[i].name);
    }
    assert_string_equal(graph_op_name(GRAPH_OP_COUNT), "?");
    base_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes), cmocka_unit_test(refusals), cmocka_unit_test(checks), cmocka_unit_test(preprocessing),
        cmocka_unit_test(counts), cmocka_unit_test(zoo),      cmocka_unit_test(copies), cmocka_unit_test(folding),
        cmocka_unit_test(documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
