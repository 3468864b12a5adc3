/* onnx: the QONNX file by itself: nodes, bit widths, scales, weights, failures. Its results are held against
 * the integer reference in test_onnx_outside.c. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "onnx/reader.h"
#include "onnx/writer.h"

static const char *dir;

static const Onnx__NodeProto *node_of(const Onnx__ModelProto *m, const char *name)
{
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (!strcmp(m->graph->node[i]->name, name))
            return m->graph->node[i];
    return NULL;
}

static const float *floats_of(const Onnx__ModelProto *m, const char *name, size_t *count)
{
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        const Onnx__TensorProto *t = m->graph->initializer[i];
        if (strcmp(t->name, name))
            continue;
        assert_int_equal(t->data_type, WRITE_FLOAT);
        *count = t->raw_data.len / sizeof(float);
        return (const float *)(const void *)t->raw_data.data;
    }
    fail_msg("no constant '%s'", name);
    return NULL;
}

static float one_of(const Onnx__ModelProto *m, const char *name)
{
    size_t n;
    const float *v = floats_of(m, name, &n);
    assert_int_equal(n, 1);
    return *v;
}

/* Domain, four operands, three attributes; returns its bits. */
static int quant_bits(const Onnx__ModelProto *m, const Onnx__NodeProto *n, bool *is_signed)
{
    assert_string_equal(n->op_type, "Quant");
    assert_string_equal(n->domain, "qonnx.custom_op.general");
    assert_int_equal(n->n_input, 4);
    assert_int_equal(n->n_attribute, 3);
    assert_string_equal(n->attribute[0]->name, "signed");
    assert_string_equal(n->attribute[1]->name, "narrow");
    assert_string_equal(n->attribute[2]->name, "rounding_mode");
    assert_int_equal(n->attribute[1]->i, 0);
    assert_int_equal(n->attribute[2]->s.len, 5);
    assert_memory_equal(n->attribute[2]->s.data, "ROUND", 5);
    *is_signed = n->attribute[0]->i;
    assert_true(one_of(m, n->input[2]) == 0);
    return (int)one_of(m, n->input[3]);
}

static void check_edges(const Onnx__ModelProto *m, const struct fixed_net *net)
{
    for (int e = 0; e < net->n_edge; e++) {
        char name[32];
        bool is_signed;
        snprintf(name, sizeof name, e ? "edge%d" : "edge0.codes", e);
        const Onnx__NodeProto *n = node_of(m, name);
        assert_non_null(n);
        assert_int_equal(quant_bits(m, n, &is_signed), net->edge[e].bits);
        assert_int_equal(is_signed, net->edge[e].is_signed);
        int exponent;
        assert_true(frexp((double)one_of(m, n->input[1]), &exponent) == 0.5); /* a power of two */
    }
}

/* What a weight gives for the lowest bit of the activation. */
static double coefficient_of(const struct fixed_term *t, int bits, int64_t o, uint16_t code)
{
    double sum = 0;
    for (int p = 0; p < t->n_plane; p++)
        sum += code >> p & 1 ? t->coef[((t->coef_shared ? 0 : o) * t->n_plane + p) * bits] : 0;
    return sum;
}

/* Each weight is the integer network's, over a scale of its channel: integers within the said bits. Counts what it saw. */
static void check_weights(const Onnx__ModelProto *m, const struct fixed_net *net, int seen[9])
{
    for (int l = 0; l < net->n_layer; l++)
        for (int k = 0; net->layer[l].kind == FIXED_MAC && k < net->layer[l].n_term; k++) {
            const struct fixed_term *t = &net->layer[l].term[k];
            char name[48];
            bool is_signed = true;
            size_t count, scales;
            snprintf(name, sizeof name, "layer%d.%d.weight", l, k);
            const Onnx__NodeProto *n = node_of(m, name);
            if (!n) /* coefficients that no scale says: floats */
                continue;
            bool bipolar = !strcmp(n->op_type, "BipolarQuant");
            int bits = bipolar ? 1 : quant_bits(m, n, &is_signed);
            const float *v = floats_of(m, n->input[0], &count), *s = floats_of(m, n->input[1], &scales);
            int64_t each = (int64_t)t->cin * t->kh * t->kw;
            double step = 0;
            assert_int_equal(scales, t->cout);
            assert_int_equal(count, t->cout * each);
            assert_true(bits >= t->w_bits && bits <= t->w_bits + 1);
            seen[bipolar ? 1 : t->w_bits == 1 ? 0 : t->w_bits]++;
            for (int64_t i = 0; i < t->cout * each; i++) {
                int64_t o = i / each, c = i % each / (t->kh * t->kw), tap = i % (t->kh * t->kw);
                double x = (double)v[i] / (double)s[o], want = coefficient_of(t, net->edge[t->edge].bits, o, t->code[(o * t->kh * t->kw + tap) * t->cin + c]);
                assert_true(s[o] > 0 && fabs(x - rint(x)) < 1e-5);
                assert_true(bipolar ? fabs(fabs(x) - 1) < 1e-5 : x > (is_signed ? -ldexp(1, bits - 1) : 0) - 0.5 && x < ldexp(1, bits - is_signed) - 0.5);
                if (i % each == 0)
                    step = 0;
                if (want != 0 && step == 0)
                    step = want / rint(x);
                assert_true(step >= 0 && want == rint(x) * step); /* one step a channel, and the weight's sign */
            }
        }
}

static void says_bits(void **state)
{
    (void)state;
    int seen[9] = { 0 };
    const char *path = unit_path(dir, "a.onnx");
    for (int i = 0; i < 64; i++) {
        struct fixed_net *net = fixed_random_net((uint64_t)i + 1, &(struct fixed_random){ .max_layers = 5, .max_size = 8, .max_channels = 12, .w_bits = 1 + i % 8 });
        Onnx__ModelProto *m = NULL;
        assert_non_null(net);
        assert_ok(onnx_write_qonnx(net, path));
        assert_ok(proto_read(&m, path));
        assert_int_equal(m->n_opset_import, 2);
        assert_string_equal(m->opset_import[1]->domain, "qonnx.custom_op.general");
        assert_int_equal(m->opset_import[1]->version, 1);
        for (size_t k = 0; k < m->graph->n_node; k++)
            assert_null(strstr(m->graph->node[k]->op_type, "quantizeLinear"));
        check_edges(m, net);
        check_weights(m, net, seen);
        proto_free(m);
        fixed_net_free(net);
    }
    for (int bits = 1; bits <= 8; bits++)
        if (!seen[bits])
            fail_msg("no weights of %d bits were written", bits);
}

static void fails_cleanly(void **state)
{
    (void)state;
    struct fixed_net *net = fixed_random_net(3, &(struct fixed_random){ .max_layers = 2, .max_size = 6, .max_channels = 4 });
    struct graph *g = NULL;
    const char *path = unit_path(dir, "b.onnx");
    assert_non_null(net);
    assert_survives_nomem(onnx_write_qonnx(net, path), );
    assert_error(onnx_read(&g, path), BASE_INPUT, "b.onnx: ");
    assert_error(onnx_write_qonnx(net, "/no/such/folder/a.onnx"), BASE_IO, "/no/such/folder/a.onnx");
    assert_error(onnx_write_qonnx(net, dir), BASE_IO, dir);
    struct fixed_layer *last = &net->layer[net->n_layer - 1];
    last->h = 2;
    assert_error(onnx_write_qonnx(net, path), BASE_INPUT, "the last layer must give 1 x 1 logits");
    fixed_net_free(net);
}

int main(void)
{
    dir = unit_scratch();
    const struct CMUnitTest tests[] = { cmocka_unit_test(says_bits), cmocka_unit_test(fails_cleanly) };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unit_remove(dir);
    return rc;
}
