/* read.c: an ONNX model as a graph. One pass over the nodes in file order (ONNX demands
 * topological order); each value is a constant tensor, a graph node, or a node seen through
 * a strided Slice that a Pad will complete to an option-A shortcut. Nodes that cannot be
 * taken are collected and reported together. */
#include <math.h>
#include <onnx/onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/onnx.h"

enum { FLOAT = 1, INT64 = 7, OPSET_MIN = 11, OPSET_MAX = 21 };

struct value {
    const char *name;
    const Onnx__TensorProto *tensor; /* constant, or NULL */
    int node;                        /* graph node, when tensor is NULL */
    int slice;                       /* > 1: every slice-th pixel of `node` */
};

struct reader {
    const char *path;
    Onnx__ModelProto *model;
    struct graph *g;
    struct value *value;
    int n_value, cap_value;
    struct base_text refused;
    int n_refused;
};

/* ---- constants ---------------------------------------------------------------- */

static int64_t tensor_count(const Onnx__TensorProto *t)
{
    int64_t n = 1;
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0 || t->dims[i] > ONNX_MAX_BYTES || (t->dims[i] && n > ONNX_MAX_BYTES / t->dims[i]))
            return -1;
        n *= t->dims[i];
    }
    return n;
}

/* Number `i` of a float or int64 tensor; NaN where the tensor is shorter than its shape says. */
static double tensor_at(const Onnx__TensorProto *t, int64_t i)
{
    if (t->data_type == FLOAT) {
        float f;
        if (t->has_raw_data && (size_t)i < t->raw_data.len / 4) {
            memcpy(&f, t->raw_data.data + 4 * i, 4);
            return (double)f;
        }
        return (size_t)i < t->n_float_data ? (double)t->float_data[i] : NAN;
    }
    if (t->data_type == INT64) {
        int64_t v;
        if (t->has_raw_data && (size_t)i < t->raw_data.len / 8) {
            memcpy(&v, t->raw_data.data + 8 * i, 8);
            return (double)v;
        }
        return (size_t)i < t->n_int64_data ? (double)t->int64_data[i] : NAN;
    }
    return NAN;
}

static struct value *find(struct reader *r, const char *name)
{
    for (int i = r->n_value - 1; i >= 0; i--)
        if (!strcmp(r->value[i].name, name))
            return &r->value[i];
    return NULL;
}

static int define(struct reader *r, const char *name, const Onnx__TensorProto *t, int node, int slice)
{
    if (r->n_value == r->cap_value) {
        int cap = r->cap_value ? 2 * r->cap_value : 256;
        struct value *v = base_realloc(r->value, sizeof *v * (size_t)r->cap_value, sizeof *v * (size_t)cap);
        if (!v)
            return BASE_NOMEM;
        r->value = v;
        r->cap_value = cap;
    }
    r->value[r->n_value++] = (struct value){ .name = name, .tensor = t, .node = node, .slice = slice };
    return BASE_OK;
}

/* ---- attributes and operands ---------------------------------------------------- */

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name))
            return n->attribute[i];
    return NULL;
}

static int64_t attribute_int(const Onnx__NodeProto *n, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = attribute(n, name);
    return a && a->has_i ? a->i : otherwise;
}

static int refuse(struct reader *r, const Onnx__NodeProto *n, const char *why)
{
    base_text_add(&r->refused, "\n  node '%s' (%s): %s", n->name && *n->name ? n->name : n->n_output ? n->output[0] : "?", n->op_type, why);
    r->n_refused++;
    return BASE_OK;
}

static const Onnx__TensorProto *constant(struct reader *r, const Onnx__NodeProto *n, size_t i)
{
    if (i >= n->n_input)
        return NULL;
    const struct value *v = find(r, n->input[i]);
    return v ? v->tensor : NULL;
}

/* Graph node of operand i; -1 if it is none (a constant, a pending Slice, or the output of a refused node). */
static int operand(struct reader *r, const Onnx__NodeProto *n, size_t i)
{
    const struct value *v = i < n->n_input ? find(r, n->input[i]) : NULL;
    return v && !v->tensor && v->slice == 1 ? v->node : -1;
}

static const char *node_name(const Onnx__NodeProto *n)
{
    return n->name && *n->name ? n->name : n->output[0];
}

/* Copy constant operand i into a parameter of exactly `count` finite floats. */
static bool fill(struct reader *r, const Onnx__NodeProto *n, size_t i, float *to, int64_t count)
{
    const Onnx__TensorProto *t = constant(r, n, i);
    if (!t || tensor_count(t) != count)
        return false;
    for (int64_t k = 0; k < count; k++) {
        double v = tensor_at(t, k);
        if (!isfinite(v))
            return false;
        to[k] = (float)v;
    }
    return true;
}

struct window { int kh, kw, stride, pad[4]; };

/* Kernel, stride and pads (top, left, bottom, right) of a Conv or pool over a map of shape s. */
static const char *read_window(const Onnx__NodeProto *n, struct graph_shape s, struct window *w)
{
    const Onnx__AttributeProto *k = attribute(n, "kernel_shape"), *st = attribute(n, "strides"), *p = attribute(n, "pads"), *d = attribute(n, "dilations");
    const Onnx__AttributeProto *ap = attribute(n, "auto_pad");
    if (k && k->n_ints == 2) {
        if (k->ints[0] < 1 || k->ints[1] < 1 || k->ints[0] > 1023 || k->ints[1] > 1023)
            return "kernel size outside 1..1023";
        w->kh = (int)k->ints[0];
        w->kw = (int)k->ints[1];
    } else if (k) {
        return "only two-dimensional kernels are supported";
    }
    w->stride = 1;
    if (st) {
        if (st->n_ints != 2 || st->ints[0] != st->ints[1] || st->ints[0] < 1 || st->ints[0] > 1023)
            return "strides must be equal in both directions";
        w->stride = (int)st->ints[0];
    }
    if (d)
        for (size_t i = 0; i < d->n_ints; i++)
            if (d->ints[i] != 1)
                return "dilation is not supported";
    if (attribute_int(n, "ceil_mode", 0))
        return "ceil_mode is not supported: export with ceil_mode=0";
    if (p) {
        if (p->n_ints != 4)
            return "pads must be four numbers";
        for (int i = 0; i < 4; i++) {
            if (p->ints[i] < 0 || p->ints[i] > 1023)
                return "pads outside 0..1023";
            w->pad[i] = (int)p->ints[i];
        }
    }
    if (ap && ap->s.len >= 4 && !memcmp(ap->s.data, "SAME", 4)) {
        bool lower = ap->s.len >= 10 && !memcmp(ap->s.data, "SAME_LOWER", 10);
        const int size[2] = { s.h, s.w }, kernel[2] = { w->kh, w->kw };
        for (int i = 0; i < 2; i++) {
            int out = (size[i] + w->stride - 1) / w->stride;
            int total = BASE_MAX(0, (out - 1) * w->stride + kernel[i] - size[i]);
            w->pad[i] = lower ? total - total / 2 : total / 2;
            w->pad[i + 2] = total - w->pad[i];
        }
    }
    return NULL;
}

/* ---- operators ------------------------------------------------------------------ */

static int take_conv(struct reader *r, const Onnx__NodeProto *n)
{
    int in = operand(r, n, 0);
    const Onnx__TensorProto *t = constant(r, n, 1);
    if (in < 0 || !t || t->n_dims != 4)
        return refuse(r, n, "needs a map and constant two-dimensional weights");
    struct graph_shape s = r->g->node[in].shape;
    int64_t cout = t->dims[0], cin = t->dims[1], groups = attribute_int(n, "group", 1);
    bool depthwise = groups > 1;
    if (depthwise && (groups != s.c || cout != s.c || cin != 1))
        return refuse(r, n, "groups must be 1 or the channel count");
    if (tensor_count(t) <= 0 || cout > INT32_MAX || (!depthwise && cin != s.c) || t->dims[2] > 1023 || t->dims[3] > 1023)
        return refuse(r, n, "weight shape does not fit its input");
    struct window w = { .kh = (int)t->dims[2], .kw = (int)t->dims[3] };
    const char *why = read_window(n, s, &w);
    if (why)
        return refuse(r, n, why);
    if (w.kh != t->dims[2] || w.kw != t->dims[3])
        return refuse(r, n, "kernel_shape and weights disagree");
    bool bias = n->n_input > 2;
    int node = graph_add_conv(r->g, node_name(n), in, (int)cout, w.kh, w.kw, w.stride, w.pad, depthwise, bias);
    if (node < 0)
        return node;
    struct graph_node *to = &r->g->node[node];
    int64_t taps = (int64_t)w.kh * w.kw, j = 0;
    for (int64_t o = 0; o < cout; o++)
        for (int64_t i = 0; i < cin; i++)
            for (int64_t k = 0; k < taps; k++)
                to->weight[(o * taps + k) * cin + i] = (float)tensor_at(t, j++);
    if (bias && !fill(r, n, 2, to->bias, cout))
        return refuse(r, n, "bias must be a constant vector");
    return define(r, n->output[0], NULL, node, 1);
}

/* Gemm or MatMul over a flattened map: weights per channel-major input become h x w x c. */
static int take_dense(struct reader *r, const Onnx__NodeProto *n)
{
    int in = operand(r, n, 0);
    const Onnx__TensorProto *t = constant(r, n, 1);
    if (in < 0 || !t || t->n_dims != 2 || tensor_count(t) <= 0)
        return refuse(r, n, "needs a map and constant weights");
    bool gemm = !strcmp(n->op_type, "Gemm"), trans = gemm && attribute_int(n, "transB", 0);
    const Onnx__AttributeProto *alpha = attribute(n, "alpha"), *beta = attribute(n, "beta");
    if (gemm && (attribute_int(n, "transA", 0) || (alpha && alpha->f != 1) || (beta && beta->f != 1)))
        return refuse(r, n, "transA, alpha and beta are not supported");
    struct graph_shape s = r->g->node[in].shape;
    int64_t cout = t->dims[trans ? 0 : 1], cin = t->dims[trans ? 1 : 0];
    if (cin != (int64_t)s.h * s.w * s.c || cout > INT32_MAX)
        return refuse(r, n, "weight shape does not fit its input");
    bool bias = gemm && n->n_input > 2;
    int node = graph_add_dense(r->g, node_name(n), in, (int)cout, bias);
    if (node < 0)
        return node;
    struct graph_node *to = &r->g->node[node];
    int64_t taps = (int64_t)s.h * s.w;
    for (int64_t o = 0; o < cout; o++)
        for (int64_t c = 0; c < s.c; c++)
            for (int64_t k = 0; k < taps; k++) {
                int64_t i = c * taps + k;
                to->weight[(o * taps + k) * s.c + c] = (float)tensor_at(t, trans ? o * cin + i : i * cout + o);
            }
    if (bias && !fill(r, n, 2, to->bias, cout))
        return refuse(r, n, "bias must be a constant vector");
    return define(r, n->output[0], NULL, node, 1);
}

static int take_batchnorm(struct reader *r, const Onnx__NodeProto *n)
{
    int in = operand(r, n, 0);
    if (in < 0)
        return refuse(r, n, "its input is not a map");
    int node = graph_add_batchnorm(r->g, node_name(n), in);
    if (node < 0)
        return node;
    struct graph_node *to = &r->g->node[node];
    const Onnx__AttributeProto *eps = attribute(n, "epsilon");
    to->eps = eps && eps->has_f ? eps->f : 1e-5f;
    int c = to->shape.c;
    if (!fill(r, n, 1, to->gamma, c) || !fill(r, n, 2, to->beta, c) || !fill(r, n, 3, to->mean, c) || !fill(r, n, 4, to->var, c))
        return refuse(r, n, "scale, bias, mean and var must be constant vectors");
    return define(r, n->output[0], NULL, node, 1);
}

static int take_relu(struct reader *r, const Onnx__NodeProto *n)
{
    int in = operand(r, n, 0);
    enum graph_op op = GRAPH_RELU;
    if (in < 0)
        return refuse(r, n, "its input is not a map");
    if (!strcmp(n->op_type, "Clip")) {
        const Onnx__TensorProto *lo = constant(r, n, 1), *hi = constant(r, n, 2);
        if (!lo || tensor_at(lo, 0) != 0)
            return refuse(r, n, "only Clip from 0 (ReLU) to 6 (ReLU6) is supported");
        if (hi && tensor_at(hi, 0) != 6)
            return refuse(r, n, "only Clip from 0 to 6 (ReLU6) is supported");
        op = hi ? GRAPH_RELU6 : GRAPH_RELU;
    }
    int node = graph_add_relu(r->g, node_name(n), in, op);
    return node < 0 ? node : define(r, n->output[0], NULL, node, 1);
}

static int take_add(struct reader *r, const Onnx__NodeProto *n)
{
    int a = operand(r, n, 0), b = operand(r, n, 1);
    if (a < 0 || b < 0)
        return refuse(r, n, "both inputs must be maps");
    int node = graph_add_add(r->g, node_name(n), a, b);
    return node < 0 ? node : define(r, n->output[0], NULL, node, 1);
}

static int take_concat(struct reader *r, const Onnx__NodeProto *n)
{
    int in[GRAPH_MAX_IN];
    if (attribute_int(n, "axis", 1) != 1 || n->n_input > GRAPH_MAX_IN)
        return refuse(r, n, "only up to 8 maps along the channels can be joined");
    for (size_t i = 0; i < n->n_input; i++)
        if ((in[i] = operand(r, n, i)) < 0)
            return refuse(r, n, "its inputs must be maps");
    int node = graph_add_concat(r->g, node_name(n), in, (int)n->n_input);
    return node < 0 ? node : define(r, n->output[0], NULL, node, 1);
}

static int take_pool(struct reader *r, const Onnx__NodeProto *n)
{
    int in = operand(r, n, 0);
    if (in < 0)
        return refuse(r, n, "its input is not a map");
    struct graph_shape s = r->g->node[in].shape;
    struct window w = { .kh = s.h, .kw = s.w, .stride = 1 };
    if (strcmp(n->op_type, "GlobalAveragePool")) {
        const char *why = attribute(n, "kernel_shape") ? read_window(n, s, &w) : "kernel_shape is missing";
        if (!why && !strcmp(n->op_type, "AveragePool") && attribute_int(n, "count_include_pad", 0) && (w.pad[0] | w.pad[1] | w.pad[2] | w.pad[3]))
            why = "count_include_pad is not supported with padding";
        if (why)
            return refuse(r, n, why);
    }
    int node = graph_add_pool(r->g, node_name(n), in, strcmp(n->op_type, "MaxPool") ? GRAPH_AVGPOOL : GRAPH_MAXPOOL, w.kh, w.kw, w.stride, w.pad);
    return node < 0 ? node : define(r, n->output[0], NULL, node, 1);
}

/* Slice with equal steps over rows and columns from 0: one or two nodes; a Pad makes it a Shortcut. */
static int take_slice(struct reader *r, const Onnx__NodeProto *n)
{
    const struct value *v = n->n_input ? find(r, n->input[0]) : NULL;
    const Onnx__TensorProto *starts = constant(r, n, 1), *ends = constant(r, n, 2), *axes = constant(r, n, 3), *steps = constant(r, n, 4);
    if (!v || v->tensor || !starts || !ends || !axes || !steps)
        return refuse(r, n, "needs a map and constant starts, ends, axes and steps");
    int64_t count = tensor_count(axes);
    int step = 1;
    for (int64_t i = 0; i < count; i++) {
        double axis = tensor_at(axes, i), st = tensor_at(steps, i);
        if ((axis != 2 && axis != 3 && axis != -1 && axis != -2) || tensor_at(starts, i) != 0 || !(tensor_at(ends, i) >= 1023) || !(st >= 1 && st <= 16))
            return refuse(r, n, "only every n-th row and column from the first is supported");
        step = (int)st;
    }
    return define(r, n->output[0], NULL, v->node, step);
}

static int take_pad(struct reader *r, const Onnx__NodeProto *n)
{
    const struct value *v = n->n_input ? find(r, n->input[0]) : NULL;
    const Onnx__TensorProto *pads = constant(r, n, 1), *fill_value = constant(r, n, 2);
    if (!v || v->tensor || !pads || tensor_count(pads) != 8 || (fill_value && tensor_count(fill_value) > 0 && tensor_at(fill_value, 0) != 0))
        return refuse(r, n, "only zero channels around a map are supported (ResNet option A)");
    int64_t p[8];
    for (int i = 0; i < 8; i++) {
        double d = tensor_at(pads, i);
        if (!(d >= 0 && d < 65536) || (i != 1 && i != 5 && d != 0))
            return refuse(r, n, "only zero channels around a map are supported (ResNet option A)");
        p[i] = (int64_t)d;
    }
    int cout = r->g->node[v->node].shape.c + (int)p[1] + (int)p[5];
    int node = graph_add_shortcut(r->g, node_name(n), v->node, cout, v->slice, (int)p[1]);
    return node < 0 ? node : define(r, n->output[0], NULL, node, 1);
}

static int take_same(struct reader *r, const Onnx__NodeProto *n)
{
    int in = operand(r, n, 0);
    return in < 0 ? refuse(r, n, "its input is not a map") : define(r, n->output[0], NULL, in, 1);
}

static int take_softmax(struct reader *r, const Onnx__NodeProto *n)
{
    int in = operand(r, n, 0);
    if (in < 0)
        return refuse(r, n, "its input is not a map");
    return define(r, n->output[0], NULL, in, 1); /* keeps the order of the classes: the logits are the output */
}

static int take_constant(struct reader *r, const Onnx__NodeProto *n)
{
    const Onnx__AttributeProto *a = attribute(n, "value");
    return a && a->t ? define(r, n->output[0], a->t, -1, 1) : refuse(r, n, "only tensor constants are supported");
}

static const struct { const char *type; int (*take)(struct reader *r, const Onnx__NodeProto *n); } takers[] = {
    { "Conv", take_conv },           { "Gemm", take_dense },          { "MatMul", take_dense },
    { "BatchNormalization", take_batchnorm }, { "Relu", take_relu },  { "Clip", take_relu },
    { "Add", take_add },             { "Concat", take_concat },       { "MaxPool", take_pool },
    { "AveragePool", take_pool },    { "GlobalAveragePool", take_pool }, { "Slice", take_slice },
    { "Pad", take_pad },             { "Flatten", take_same },        { "Identity", take_same },
    { "Dropout", take_same },        { "Softmax", take_softmax },     { "Constant", take_constant },
};

static int take_node(struct reader *r, const Onnx__NodeProto *n)
{
    if (!n->op_type || n->n_output < 1 || !n->output[0])
        return base_fail(BASE_INPUT, "%s: a node without operator or output: the file is corrupt", r->path);
    for (int i = 0; i < BASE_COUNT(takers); i++)
        if (!strcmp(n->op_type, takers[i].type))
            return takers[i].take(r, n);
    return refuse(r, n, "operator is not supported");
}

/* ---- input, preprocessing, the whole -------------------------------------------- */

static bool read_input(struct reader *r, const Onnx__ValueInfoProto *v, struct graph_shape *s)
{
    const Onnx__TypeProto *t = v->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type->shape || t->tensor_type->shape->n_dim != 4)
        return false;
    int *to[4] = { NULL, &s->c, &s->h, &s->w };
    for (int i = 1; i < 4; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->tensor_type->shape->dim[i];
        if (d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE || d->dim_value < 1 || d->dim_value > 65535)
            return false;
        *to[i] = (int)d->dim_value;
    }
    (void)r;
    return true;
}

static const char *metadata(const Onnx__ModelProto *m, const char *key)
{
    for (size_t i = 0; i < m->n_metadata_props; i++)
        if (m->metadata_props[i]->key && m->metadata_props[i]->value && !strcmp(m->metadata_props[i]->key, key))
            return m->metadata_props[i]->value;
    return NULL;
}

/* "1/255", "0.5", "[0.1, 0.2, 0.3]" -> numbers; their count, 0 on nonsense. */
static int numbers(const char *s, float *out, int max)
{
    int n = 0;
    while (*s && n < max) {
        while (*s == '[' || *s == ',' || *s == ' ')
            s++;
        if (*s == ']' || !*s)
            break;
        char *end;
        double v = strtod(s, &end);
        if (end == s)
            return 0;
        if (*end == '/') {
            s = end + 1;
            double d = strtod(s, &end);
            if (end == s || d == 0)
                return 0;
            v /= d;
        }
        if (!isfinite(v))
            return 0;
        out[n++] = (float)v;
        s = end;
    }
    return n;
}

static int read_prep(struct reader *r, int channels)
{
    struct graph_prep *p = &r->g->prep;
    const char *scale = metadata(r->model, "input_scale"), *mean = metadata(r->model, "input_mean"), *std = metadata(r->model, "input_std");
    if (!scale && !mean && !std)
        return base_fail(BASE_INPUT, "%s: how raw pixels become the input is not said: metadata input_scale, input_mean and input_std are missing", r->path);
    p->scale = 1;
    p->n = channels;
    if (channels > BASE_COUNT(p->mean))
        return base_fail(BASE_INPUT, "%s: %d input channels (at most %d are supported)", r->path, channels, BASE_COUNT(p->mean));
    int nm = mean ? numbers(mean, p->mean, channels) : 0, ns = std ? numbers(std, p->std, channels) : 0;
    if ((scale && numbers(scale, &p->scale, 1) != 1) || (mean && nm != 1 && nm != channels) || (std && ns != 1 && ns != channels))
        return base_fail(BASE_INPUT, "%s: metadata input_scale, input_mean or input_std is not 1 or %d numbers", r->path, channels);
    for (int c = 0; c < channels; c++) {
        p->mean[c] = mean ? p->mean[nm == 1 ? 0 : c] : 0;
        p->std[c] = std ? p->std[ns == 1 ? 0 : c] : 1;
        if (!(p->std[c] > 0) || !(p->scale > 0))
            return base_fail(BASE_INPUT, "%s: metadata input_std and input_scale must be positive", r->path);
    }
    return BASE_OK;
}

static int read_opset(struct reader *r)
{
    for (size_t i = 0; i < r->model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = r->model->opset_import[i];
        if ((!o->domain || !*o->domain) && (o->version < OPSET_MIN || o->version > OPSET_MAX))
            return base_fail(BASE_INPUT, "%s: opset %ld is not supported (%d to %d are): export it again with one of these", r->path, (long)o->version, OPSET_MIN, OPSET_MAX);
    }
    return BASE_OK;
}

static int read_graph(struct reader *r)
{
    const Onnx__GraphProto *og = r->model->graph;
    int rc = BASE_OK, input = -1;
    for (size_t i = 0; !rc && i < og->n_initializer; i++)
        if (og->initializer[i]->name && tensor_count(og->initializer[i]) >= 0)
            rc = define(r, og->initializer[i]->name, og->initializer[i], -1, 1);
    for (size_t i = 0; !rc && i < og->n_input; i++) {
        const Onnx__ValueInfoProto *v = og->input[i];
        struct graph_shape s;
        if (!v->name || find(r, v->name))
            continue; /* an initializer listed as input, as old exporters do */
        if (input >= 0 || !read_input(r, v, &s))
            return base_fail(BASE_INPUT, "%s: one input of fixed shape N x channels x height x width is supported; input '%s' is not that", r->path, v->name);
        input = graph_add_input(r->g, v->name, s);
        if (input < 0)
            return input;
        rc = read_prep(r, s.c);
        if (!rc)
            rc = define(r, v->name, NULL, input, 1);
    }
    if (!rc && input < 0)
        return base_fail(BASE_INPUT, "%s: the model has no input", r->path);
    for (size_t i = 0; !rc && i < og->n_node; i++)
        rc = take_node(r, og->node[i]);
    if (rc)
        return rc;
    if (r->n_refused)
        return base_fail(BASE_INPUT, "%s: %d node%s not supported:%s", r->path, r->n_refused, r->n_refused == 1 ? " is" : "s are", r->refused.s ? r->refused.s : "");
    const struct value *out = og->n_output == 1 && og->output[0]->name ? find(r, og->output[0]->name) : NULL;
    if (!out || out->tensor || out->slice != 1)
        return base_fail(BASE_INPUT, "%s: the model must have one output, computed by its nodes", r->path);
    r->g->output = out->node;
    return graph_check(r->g);
}

int onnx_read(struct graph **out, const char *path)
{
    struct reader r = { .path = path };
    uint8_t *bytes = NULL;
    size_t len = 0;
    *out = NULL;
    int rc = base_file_read(&bytes, &len, path, ONNX_MAX_BYTES);
    if (rc)
        return rc;
    r.model = onnx__model_proto__unpack(NULL, len, bytes);
    base_free(bytes);
    if (!r.model || !r.model->graph) {
        rc = base_fail(BASE_INPUT, "%s: not an ONNX model, or a damaged one: export it again", path);
        goto done;
    }
    const char *slash = strrchr(path, '/');
    r.g = graph_new(r.model->graph->name && *r.model->graph->name ? r.model->graph->name : slash ? slash + 1 : path);
    rc = r.g ? read_opset(&r) : BASE_NOMEM;
    if (!rc)
        rc = read_graph(&r);
    if (!rc) {
        *out = r.g;
        r.g = NULL;
    }
done:
    if (r.model)
        onnx__model_proto__free_unpacked(r.model, NULL);
    graph_free(r.g);
    base_free(r.value);
    base_text_free(&r.refused);
    return rc;
}
