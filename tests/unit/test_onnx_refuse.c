/* onnx: what is refused, and how it is said: one line a node, all nodes at once, with a remedy; the report of
 * every node; the table of operators against the documentation. */
#define _GNU_SOURCE
#include "unit.h"

#include "graph_run.h"
#include "onnx/onnx.h"
#include "onnx_build.h"

static const char *dir;

/* A model of one node, between a map x [3][8][8] (r: rectified) and the output y. */
static struct onnx_build *around(const char *type, const char *inputs, const char *attributes)
{
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,3,8,8");
    build_tensor(b, "w", "4,3,3,3", 1);
    build_tensor(b, "wg", "6,1,3,3", 1);
    build_tensor(b, "dense", "10,192", 1);
    build_tensor(b, "v3", "3", 1);
    build_tensor(b, "v4", "4", 1);
    build_tensor(b, "big", "1,3,8,8", 1);
    build_values(b, "minus", 1, "3", "-1,-1,-1");
    build_values(b, "nan", 1, "4,3,1,1", "nan,0,0,0,0,0,0,0,0,0,0,0");
    build_values(b, "zero", 1, "", "0");
    build_values(b, "one", 1, "", "1");
    build_values(b, "five", 1, "", "5");
    build_values(b, "i0", 7, "1", "0");
    build_values(b, "i1", 7, "1", "1");
    build_values(b, "i2", 7, "1", "2");
    build_values(b, "far", 7, "1", "1000");
    build_values(b, "split", 7, "3", "2,96,1");
    build_values(b, "toobig", 7, "2", "1,200");
    build_values(b, "batchpads", 7, "8", "1,0,0,0,0,0,0,0");
    build_values(b, "edgepads", 7, "8", "0,0,1,1,0,0,1,1");
    build_values(b, "negative", 7, "8", "0,0,-1,0,0,0,0,0");
    build_values(b, "u8", 2, "", "0");
    build_node(b, "Conv", "c", "x,wc", "");
    build_tensor(b, "wc", "3,3,1,1", 5);
    build_node(b, "Relu", "r", "c", "");
    build_node(b, type, "y", inputs, attributes);
    build_output(b, "y");
    return b;
}

static void refused(struct onnx_build *b, const char *message)
{
    struct graph *g = NULL;
    const char *path = unit_path(dir, "refused.onnx");
    build_write(b, path);
    assert_error(onnx_read(&g, path), BASE_INPUT, message);
    assert_null(g);
}

static void operators(void **state)
{
    (void)state;
    static const struct { const char *type, *inputs, *attributes, *message; } cases[] = {
        { "Conv", "x,w", "dilations=2,2", "node 'y' (Conv): dilation is not supported" },
        { "Conv", "x,w", "strides=1,2", "strides must be equal" },
        { "Conv", "x,w", "pads=1,1", "pads must be four numbers" },
        { "Conv", "x,w", "pads=-1,0,0,0", "negative or huge pads" },
        { "Conv", "x,w", "pads=3,3,3,3", "padding 3 must be 0 or more and smaller than the kernel 3 x 3" },
        { "Conv", "x,w", "kernel_shape=5,5", "kernel_shape and weights disagree" },
        { "Conv", "x,w", "kernel_shape=3,3,3", "kernel_shape must be two numbers" },
        { "Conv", "x,w", "auto_pad='ODD'", "auto_pad is none of" },
        { "Conv", "x,w", "group=0", "groups must be 1, or the channel count" },
        { "Conv", "x,wg", "group=3", "groups must be 1, or the channel count with as many outputs" },
        { "Conv", "x,wg", "", "its weights do not fit the channels of its input" },
        { "Conv", "x,x", "", "needs constant weights" },
        { "Conv", "x,v3", "", "needs constant weights" },
        { "Conv", "x,nan", "", "not all finite" },
        { "Conv", "x,w,v3", "", "its bias must be a constant, finite vector" },
        { "Gemm", "x,dense", "transB=1", "its input is not a matrix" },
        { "MatMul", "x,big", "", "needs constant weights of two dimensions" },
        { "MatMul", "x,dense", "", "its weights do not fit its input" },
        { "BatchNormalization", "c,v3,v3,v3,minus", "", "variance + epsilon of channel 0 is not positive" },
        { "BatchNormalization", "c,v4,v3,v3,v3", "", "must be constant, finite vectors of its channels" },
        { "BatchNormalization", "c,v3,v3,v3,v3", "training_mode=1", "inference mode" },
        { "Clip", "c,zero,five", "", "only from 0 to 6 (Relu6) or from 0 (Relu)" },
        { "Clip", "c,one", "", "only from 0 to 6" },
        { "Clip", "c", "", "only from 0 to 6" },
        { "Add", "c,big", "", "its other operand must be one constant, or one a channel" },
        { "Mul", "c,r", "", "of two maps is not supported" },
        { "Div", "one,c", "", "by a map is not supported" },
        { "Div", "c,zero", "", "by zero" },
        { "Sub", "c,r", "", "its other operand must be one constant" },
        { "Concat", "c,r", "axis=2", "only along their channels" },
        { "Concat", "c,big", "axis=1", "constants other than zero channels" },
        { "MaxPool", "c", "", "kernel_shape is missing" },
        { "MaxPool", "c", "kernel_shape=2,2 dilations=2,2", "dilation is not supported" },
        { "MaxPool", "c", "kernel_shape=9,9", "larger than the padded input" },
        { "AveragePool", "c", "kernel_shape=3,3 strides=2,2 ceil_mode=1", "ceil_mode=0" },
        { "ReduceMean", "c", "axes=1,2", "over height and width, not over channels" },
        { "ReduceMean", "c", "axes=4,", "its axes must be" },
        { "Reshape", "c,split", "", "splits or cuts an axis" },
        { "Reshape", "c,toobig", "", "its shape does not fit its input" },
        { "Reshape", "c,c", "", "its shape must be constant" },
        { "Squeeze", "c,i1", "", "not of size 1" },
        { "Transpose", "c", "perm=0,1", "its perm does not fit" },
        { "Transpose", "c", "perm=0,1,1,2", "its perm does not fit" },
        { "Slice", "c,i1,far,i2", "", "only every n-th row and column" },
        { "Slice", "c,i0,i1,i1", "", "only every n-th row and column" },
        { "Pad", "c,batchpads", "", "only zeros around the rows, columns or channels" },
        { "Pad", "c,negative", "", "only zeros around" },
        { "Pad", "c,edgepads", "mode='reflect'", "only padding with zeros" },
        { "Pad", "c,edgepads,one", "", "only padding with zeros" },
        { "Cast", "c", "to=7", "of a map to integers" },
        { "Softmax", "c", "axis=2", "over the classes" },
        { "QuantizeLinear", "c,v3,u8", "", "one constant, positive scale" },
        { "DequantizeLinear", "c,one", "", "must come from a QuantizeLinear" },
        { "Round", "c", "", "only in quantized models" },
        { "Sigmoid", "c", "", "the operator is not supported: use Relu or Relu6" },
        { "QLinearConv", "c,one,u8", "", "QDQ format" },
        { "Resize", "c", "", "only classifiers" },
        { "NoSuchThing", "c", "", "the operator is not supported: change the network" },
    };
    for (int i = 0; i < BASE_COUNT(cases); i++)
        refused(around(cases[i].type, cases[i].inputs, cases[i].attributes), cases[i].message);
}

/* What stands between two nodes. */
static void pairs(void **state)
{
    (void)state;
    static const struct { const char *first, *inputs, *attributes, *second, *more, *message; } cases[] = {
        { "Pad", "c,edgepads", "", "Relu", "", "node 'z' (Relu): reads a map with zeros padded around it" },
        { "Pad", "c,edgepads", "", "MaxPool", "kernel_shape=3,3", "zeros padded around it" }, /* negative maps: zeros could win */
        { "Softmax", "c", "axis=1", "Relu", "", "reads a Softmax" },
        { "Slice", "c,i0,far,i2,i2", "", "Relu", "", "every 2-th row but every 1-th column" },
        { "QuantizeLinear", "c,one,u8", "", "Relu", "", "reads quantized integers" },
        { "Flatten", "c", "", "MaxPool", "kernel_shape=1,1", "not a map N x channels" },
        { "Transpose", "c", "perm=0,2,3,1", "GlobalAveragePool", "", "not a map N x channels" },
    };
    for (int i = 0; i < BASE_COUNT(cases); i++) {
        struct onnx_build *b = around(cases[i].first, cases[i].inputs, cases[i].attributes);
        build_node(b, cases[i].second, "z", "y", cases[i].more);
        b->g.n_output = 0;
        build_output(b, "z");
        refused(b, cases[i].message);
    }
}

/* Shapes that no memory holds, also where an axis is empty. */
static void huge_shapes(void **state)
{
    (void)state;
    static const struct { const char *type, *shape, *message; } cases[] = {
        { "Expand", "30064771073,30064771073,30064771073", "node 'y' (Expand): its shape does not fit its input" },
        { "Expand", "0,2147483647,2147483647,2147483647", "node 'y' (Expand): its shape does not fit its input" },
        { "Expand", "1,-30064771073,1", "node 'y' (Expand): its shape does not fit its input" },
        { "ConstantOfShape", "0,2147483647,2147483647,2147483647", "node 'y' (ConstantOfShape): its result on constants is too large" },
    };
    for (int i = 0; i < BASE_COUNT(cases); i++) {
        bool expand = !strcmp(cases[i].type, "Expand");
        struct onnx_build *b = around(cases[i].type, expand ? "one,huge" : "huge", "");
        build_values(b, "huge", 7, expand && cases[i].shape[0] != '0' ? "3" : "4", cases[i].shape);
        build_node(b, "Add", "z", "x,y", "");
        b->g.n_output = 0;
        build_output(b, "z");
        refused(b, cases[i].message);
    }
}

static void other_domain(void **state)
{
    (void)state;
    struct onnx_build *b = around("Conv", "x,w", "");
    b->g.node[b->g.n_node - 1]->domain = build_text(b, "com.example");
    refused(b, "node 'y' (Conv): the operator is of another domain ('com.example')");

    b = around("Relu", "big", ""); /* on a constant, beside a map */
    build_node(b, "Add", "z", "x,y", "");
    b->g.n_output = 0;
    build_output(b, "z");
    refused(b, "node 'y' (Relu): is not computed on constants");
}

/* All of them at once, what follows them left out, in the file's order. */
static void all_at_once(void **state)
{
    (void)state;
    struct onnx_build *b = around("Sigmoid", "x", "");
    build_node(b, "Conv", "d", "x,w", "dilations=2,2");
    build_node(b, "LeakyRelu", "e", "d", "");
    build_node(b, "Flatten", "f", "e", "");
    build_node(b, "Gemm", "g", "y,dense", "");
    build_node(b, "Add", "h", "f,g", "");
    b->g.n_output = 0;
    build_output(b, "h");
    const char *path = unit_path(dir, "many.onnx");
    build_write(b, path);
    struct graph *g = NULL;
    struct onnx_report report;
    assert_error(onnx_read_report(&g, &report, path), BASE_INPUT,
                 "many.onnx: 3 nodes are not supported:\n"
                 "  node 'y' (Sigmoid): the operator is not supported: use Relu or Relu6, or leave it out behind the logits\n"
                 "  node 'd' (Conv): dilation is not supported: use a larger or a second kernel\n"
                 "  node 'e' (LeakyRelu): the operator is not supported: use Relu");
    assert_int_equal(report.refused, 3);
    assert_int_equal(report.opset, 13);
    assert_int_equal(report.n, 6); /* c and r are not needed */
    const enum onnx_verdict verdicts[6] = { ONNX_REFUSED, ONNX_REFUSED, ONNX_REFUSED, ONNX_SKIPPED, ONNX_SKIPPED, ONNX_SKIPPED };
    for (int i = 0; i < 6; i++)
        assert_int_equal(report.note[i].verdict, verdicts[i]);
    onnx_report_free(&report);

    /* Shape arithmetic behind a refused node is not to blame. */
    b = around("Sigmoid", "x", "");
    build_values(b, "first", 7, "1", "0");
    build_values(b, "rest", 7, "1", "-1");
    build_node(b, "Shape", "shape", "y", "");
    build_node(b, "Gather", "n", "shape,first", "axis=0");
    build_node(b, "Concat", "to", "n,rest", "axis=0");
    build_node(b, "Reshape", "f", "y,to", "");
    b->g.n_output = 0;
    build_output(b, "f");
    build_write(b, path);
    assert_error(onnx_read_report(&g, &report, path), BASE_INPUT, "1 node is not supported:\n  node 'y' (Sigmoid)");
    assert_int_equal(report.refused, 1);
    onnx_report_free(&report);

    /* Hundreds: the message stops, the report does not. */
    b = build_new(13);
    build_input(b, "x", "N,3,8,8");
    char last[16] = "x", name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "n%d", i);
        build_node(b, "Sigmoid", name, last, "");
        strcpy(last, name);
    }
    build_output(b, last);
    build_write(b, path);
    assert_error(onnx_read_report(&g, &report, path), BASE_INPUT, "many.onnx: 300 nodes are not supported:");
    assert_non_null(strstr(base_error(), "more"));
    assert_int_equal(report.refused, 300);
    onnx_report_free(&report);
}

static void verdicts(void **state)
{
    (void)state;
    struct onnx_build *b = around("MatMul", "flat,t", "");
    struct graph *g = NULL;
    struct onnx_report report;
    Onnx__NodeProto *last = b->g.node[--b->g.n_node];
    build_node(b, "Mul", "k", "r,one", "");
    build_node(b, "Flatten", "flat", "k", "");
    build_node(b, "Transpose", "t", "dense", "");
    b->g.node[b->g.n_node++] = last;
    const char *path = unit_path(dir, "verdicts.onnx");
    build_write(b, path);
    assert_ok(onnx_read_report(&g, &report, path));
    const enum onnx_verdict expected[6] = { ONNX_TAKEN, ONNX_TAKEN, ONNX_LOWERED, ONNX_FOLDED, ONNX_FOLDED, ONNX_TAKEN };
    assert_int_equal(report.n, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(report.note[i].verdict, expected[i]);
    assert_string_equal(report.note[2].node, "k");
    assert_string_equal(report.note[2].op, "Mul");
    assert_string_equal(report.note[2].text, "as a depthwise 1x1 Conv and a BatchNorm");
    assert_string_equal(report.layout, "NCHW");
    assert_string_equal(report.prep_from, "");
    onnx_report_free(&report);
    graph_free(g);
}

/* docs/onnx.md has a line `| Conv | how |` for every operator that is read, and for no other. */
static void documented(void **state)
{
    (void)state;
    uint8_t *text = NULL;
    size_t len;
    if (base_file_read(&text, &len, "docs/onnx.md", 1 << 20)) {
        print_message("skipped: not run in the source tree\n");
        skip();
    }
    const char *op, *how;
    int n = 0, lines = 0;
    for (; onnx_operator(n, &op, &how); n++) {
        char *line = base_format("\n| `%s` | %s |\n", op, how);
        if (!strstr((const char *)text, line))
            fail_msg("docs/onnx.md lacks:%s", line);
        base_free(line);
    }
    const char *table = strstr((const char *)text, "## Operators");
    assert_non_null(table);
    for (const char *p = table; (p = strstr(p, "\n| `")) && (!strstr(table + 5, "\n## ") || p < strstr(table + 5, "\n## ")); p++)
        lines++;
    assert_int_equal(lines, n);
    base_free(text);
}

int main(void)
{
    dir = unit_scratch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators),   cmocka_unit_test(pairs), cmocka_unit_test(huge_shapes),    cmocka_unit_test(other_domain),
        cmocka_unit_test(all_at_once), cmocka_unit_test(verdicts), cmocka_unit_test(documented),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unit_remove(dir);
    return rc;
}
