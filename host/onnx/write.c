/* write.c: a graph as an ONNX model. The protobuf structures are built in one arena, packed
 * and written atomically; nothing of them outlives the call. */
#include <onnx/onnx.pb-c.h>
#include <string.h>

#include "onnx/onnx.h"

enum { OPSET = 13, IR_VERSION = 7, FLOAT = 1, INT64 = 7 };

struct writer {
    struct base_arena *a;
    const struct graph *g;
    Onnx__GraphProto *graph;
    size_t cap_node, cap_init;
    bool failed;
};

static char *format(struct writer *w, const char *prefix, const char *suffix)
{
    struct base_text t = { 0 };
    base_text_add(&t, "%s%s", prefix, suffix);
    char *s = t.s ? base_arena_strdup(w->a, t.s) : NULL;
    base_text_free(&t);
    if (!s)
        w->failed = true;
    return s;
}

static void *make(struct writer *w, size_t bytes)
{
    void *p = base_arena_alloc(w->a, bytes);
    if (!p)
        w->failed = true;
    return p;
}

#define MAKER(T, init)                                    \
    static T *make_##init(struct writer *w)               \
    {                                                     \
        T *p = make(w, sizeof *p);                        \
        if (p)                                            \
            onnx__##init##__init(p);                      \
        return p;                                         \
    }
MAKER(Onnx__NodeProto, node_proto)
MAKER(Onnx__AttributeProto, attribute_proto)
MAKER(Onnx__TensorProto, tensor_proto)
MAKER(Onnx__ValueInfoProto, value_info_proto)
MAKER(Onnx__TypeProto, type_proto)
MAKER(Onnx__TypeProto__Tensor, type_proto__tensor)
MAKER(Onnx__TensorShapeProto, tensor_shape_proto)
MAKER(Onnx__TensorShapeProto__Dimension, tensor_shape_proto__dimension)
MAKER(Onnx__StringStringEntryProto, string_string_entry_proto)
MAKER(Onnx__OperatorSetIdProto, operator_set_id_proto)
MAKER(Onnx__GraphProto, graph_proto)

/* ---- tensors ------------------------------------------------------------------ */

static Onnx__TensorProto *add_tensor(struct writer *w, char *name, int type, const int64_t *dims, int n_dims)
{
    Onnx__TensorProto *t = make_tensor_proto(w);
    if (!t || !name)
        return NULL;
    size_t count = 1;
    t->dims = make(w, sizeof(int64_t) * (size_t)n_dims);
    if (!t->dims)
        return NULL;
    for (int i = 0; i < n_dims; i++) {
        t->dims[i] = dims[i];
        count *= (size_t)dims[i];
    }
    t->n_dims = (size_t)n_dims;
    t->name = name;
    t->has_data_type = 1;
    t->data_type = type;
    t->has_raw_data = 1;
    t->raw_data.len = count * (type == FLOAT ? 4 : 8);
    t->raw_data.data = make(w, t->raw_data.len);
    if (!t->raw_data.data)
        return NULL;
    w->graph->initializer[w->graph->n_initializer++] = t;
    return t;
}

static char *add_vector(struct writer *w, const char *node, const char *suffix, const float *v, int n)
{
    char *name = format(w, node, suffix);
    Onnx__TensorProto *t = add_tensor(w, name, FLOAT, (const int64_t[1]){ n }, 1);
    if (t)
        memcpy(t->raw_data.data, v, sizeof(float) * (size_t)n);
    return name;
}

static char *add_ints(struct writer *w, const char *node, const char *suffix, const int64_t *v, int n)
{
    char *name = format(w, node, suffix);
    Onnx__TensorProto *t = add_tensor(w, name, INT64, (const int64_t[1]){ n }, 1);
    if (t)
        memcpy(t->raw_data.data, v, sizeof(int64_t) * (size_t)n);
    return name;
}

/* [cout][kh][kw][cin] -> [cout][cin][kh][kw]; a Dense is written as [cout][cin*kh*kw]. */
static char *add_weight(struct writer *w, const struct graph_node *n, int cin)
{
    char *name = format(w, n->name, ".weight");
    int64_t dims[4] = { n->shape.c, cin, n->kh, n->kw };
    int n_dims = 4;
    if (n->op == GRAPH_DENSE) {
        dims[1] = (int64_t)cin * n->kh * n->kw;
        n_dims = 2;
    }
    Onnx__TensorProto *t = add_tensor(w, name, FLOAT, dims, n_dims);
    if (!t)
        return name;
    float *to = (float *)(void *)t->raw_data.data;
    for (int o = 0; o < n->shape.c; o++)
        for (int i = 0; i < cin; i++)
            for (int k = 0; k < n->kh * n->kw; k++)
                *to++ = n->weight[((size_t)o * (size_t)(n->kh * n->kw) + (size_t)k) * (size_t)cin + (size_t)i];
    return name;
}

/* ---- nodes -------------------------------------------------------------------- */

static Onnx__NodeProto *add_node(struct writer *w, const char *type, const char *name, int n_in)
{
    Onnx__NodeProto *n = make_node_proto(w);
    if (!n)
        return NULL;
    n->op_type = format(w, type, "");
    n->name = format(w, name, "");
    n->input = make(w, sizeof(char *) * (size_t)n_in);
    n->output = make(w, sizeof(char *));
    n->attribute = make(w, sizeof(Onnx__AttributeProto *) * 8);
    if (w->failed)
        return NULL;
    n->output[n->n_output++] = n->name;
    w->graph->node[w->graph->n_node++] = n;
    return n;
}

static void add_input(struct writer *w, Onnx__NodeProto *n, char *value)
{
    if (!n || !value)
        w->failed = true;
    else
        n->input[n->n_input++] = value;
}

static void add_producer(struct writer *w, Onnx__NodeProto *n, int node)
{
    add_input(w, n, format(w, w->g->node[node].name, ""));
}

static Onnx__AttributeProto *add_attribute(struct writer *w, Onnx__NodeProto *n, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = make_attribute_proto(w);
    if (!n || !a)
        return NULL;
    a->name = format(w, name, "");
    a->has_type = 1;
    a->type = type;
    n->attribute[n->n_attribute++] = a;
    return a;
}

static void attribute_int(struct writer *w, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = add_attribute(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a) {
        a->has_i = 1;
        a->i = v;
    }
}

static void attribute_ints(struct writer *w, Onnx__NodeProto *n, const char *name, const int64_t *v, int count)
{
    Onnx__AttributeProto *a = add_attribute(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!a || !(a->ints = make(w, sizeof(int64_t) * (size_t)count)))
        return;
    a->n_ints = (size_t)count;
    memcpy(a->ints, v, sizeof(int64_t) * (size_t)count);
}

static void attribute_float(struct writer *w, Onnx__NodeProto *n, const char *name, float v)
{
    Onnx__AttributeProto *a = add_attribute(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (a) {
        a->has_f = 1;
        a->f = v;
    }
}

static void attribute_window(struct writer *w, Onnx__NodeProto *o, const struct graph_node *n)
{
    attribute_ints(w, o, "kernel_shape", (const int64_t[2]){ n->kh, n->kw }, 2);
    attribute_ints(w, o, "strides", (const int64_t[2]){ n->stride, n->stride }, 2);
    attribute_ints(w, o, "pads", (const int64_t[4]){ n->pad_t, n->pad_l, n->pad_b, n->pad_r }, 4);
}

static void write_conv(struct writer *w, const struct graph_node *n)
{
    int cin = n->depthwise ? 1 : w->g->node[n->in[0]].shape.c;
    Onnx__NodeProto *o = add_node(w, "Conv", n->name, 3);
    add_producer(w, o, n->in[0]);
    add_input(w, o, add_weight(w, n, cin));
    if (n->bias)
        add_input(w, o, add_vector(w, n->name, ".bias", n->bias, n->shape.c));
    attribute_window(w, o, n);
    attribute_int(w, o, "group", n->depthwise ? n->shape.c : 1);
}

/* Gemm reads rows: a Flatten in front turns the map into channel-major order. */
static void write_dense(struct writer *w, const struct graph_node *n)
{
    char *flat = format(w, n->name, ".flat");
    Onnx__NodeProto *f = flat ? add_node(w, "Flatten", flat, 1) : NULL;
    add_producer(w, f, n->in[0]);
    attribute_int(w, f, "axis", 1);
    Onnx__NodeProto *o = add_node(w, "Gemm", n->name, 3);
    add_input(w, o, flat);
    add_input(w, o, add_weight(w, n, w->g->node[n->in[0]].shape.c));
    if (n->bias)
        add_input(w, o, add_vector(w, n->name, ".bias", n->bias, n->shape.c));
    attribute_int(w, o, "transB", 1);
}

static void write_batchnorm(struct writer *w, const struct graph_node *n)
{
    Onnx__NodeProto *o = add_node(w, "BatchNormalization", n->name, 5);
    add_producer(w, o, n->in[0]);
    add_input(w, o, add_vector(w, n->name, ".gamma", n->gamma, n->shape.c));
    add_input(w, o, add_vector(w, n->name, ".beta", n->beta, n->shape.c));
    add_input(w, o, add_vector(w, n->name, ".mean", n->mean, n->shape.c));
    add_input(w, o, add_vector(w, n->name, ".var", n->var, n->shape.c));
    attribute_float(w, o, "epsilon", n->eps);
}

static void write_relu6(struct writer *w, const struct graph_node *n)
{
    Onnx__NodeProto *o = add_node(w, "Clip", n->name, 3);
    add_producer(w, o, n->in[0]);
    const float lo = 0, hi = 6;
    char *names[2] = { format(w, n->name, ".min"), format(w, n->name, ".max") };
    for (int i = 0; i < 2; i++) {
        Onnx__TensorProto *t = add_tensor(w, names[i], FLOAT, NULL, 0);
        if (t)
            memcpy(t->raw_data.data, i ? &hi : &lo, 4);
        add_input(w, o, names[i]);
    }
}

/* Option A: every stride-th pixel (Slice), zero channels around (Pad). */
static void write_shortcut(struct writer *w, const struct graph_node *n)
{
    char *sliced = format(w, n->name, ".slice");
    Onnx__NodeProto *s = sliced ? add_node(w, "Slice", sliced, 5) : NULL;
    add_producer(w, s, n->in[0]);
    add_input(w, s, add_ints(w, n->name, ".starts", (const int64_t[2]){ 0, 0 }, 2));
    add_input(w, s, add_ints(w, n->name, ".ends", (const int64_t[2]){ INT32_MAX, INT32_MAX }, 2));
    add_input(w, s, add_ints(w, n->name, ".axes", (const int64_t[2]){ 2, 3 }, 2));
    add_input(w, s, add_ints(w, n->name, ".steps", (const int64_t[2]){ n->stride, n->stride }, 2));
    Onnx__NodeProto *p = add_node(w, "Pad", n->name, 2);
    int behind = n->shape.c - n->chan_before - w->g->node[n->in[0]].shape.c;
    add_input(w, p, sliced);
    add_input(w, p, add_ints(w, n->name, ".pads", (const int64_t[8]){ 0, n->chan_before, 0, 0, 0, behind, 0, 0 }, 8));
}

static void write_plain(struct writer *w, const struct graph_node *n, const char *type)
{
    Onnx__NodeProto *o = add_node(w, type, n->name, n->n_in);
    for (int i = 0; i < n->n_in; i++)
        add_producer(w, o, n->in[i]);
    if (n->op == GRAPH_CONCAT || n->op == GRAPH_FLATTEN || n->op == GRAPH_SOFTMAX)
        attribute_int(w, o, "axis", 1);
    if (n->op == GRAPH_MAXPOOL || n->op == GRAPH_AVGPOOL)
        attribute_window(w, o, n);
}

static void write_node(struct writer *w, const struct graph_node *n)
{
    switch (n->op) {
    case GRAPH_CONV: write_conv(w, n); break;
    case GRAPH_DENSE: write_dense(w, n); break;
    case GRAPH_BATCHNORM: write_batchnorm(w, n); break;
    case GRAPH_RELU6: write_relu6(w, n); break;
    case GRAPH_SHORTCUT: write_shortcut(w, n); break;
    case GRAPH_RELU: write_plain(w, n, "Relu"); break;
    case GRAPH_ADD: write_plain(w, n, "Add"); break;
    case GRAPH_CONCAT: write_plain(w, n, "Concat"); break;
    case GRAPH_MAXPOOL: write_plain(w, n, "MaxPool"); break;
    case GRAPH_AVGPOOL: write_plain(w, n, "AveragePool"); break;
    case GRAPH_SOFTMAX: write_plain(w, n, "Softmax"); break;
    case GRAPH_FLATTEN: write_plain(w, n, "Identity"); break; /* Dense brings its own Flatten */
    case GRAPH_INPUT:
    case GRAPH_OP_COUNT: break;
    }
}

/* ---- the model ---------------------------------------------------------------- */

static Onnx__ValueInfoProto *value_info(struct writer *w, const char *name, const int *dims, int n)
{
    Onnx__ValueInfoProto *v = make_value_info_proto(w);
    Onnx__TypeProto *type = make_type_proto(w);
    Onnx__TypeProto__Tensor *t = make_type_proto__tensor(w);
    Onnx__TensorShapeProto *shape = make_tensor_shape_proto(w);
    if (w->failed || !(shape->dim = make(w, sizeof *shape->dim * (size_t)(n + 1))))
        return NULL;
    for (int i = 0; i <= n; i++) {
        Onnx__TensorShapeProto__Dimension *d = make_tensor_shape_proto__dimension(w);
        if (!d)
            return NULL;
        d->value_case = i ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        if (i)
            d->dim_value = dims[i - 1];
        else
            d->dim_param = format(w, "N", "");
        shape->dim[shape->n_dim++] = d;
    }
    t->has_elem_type = 1;
    t->elem_type = FLOAT;
    t->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = t;
    v->name = format(w, name, "");
    v->type = type;
    return v;
}

static void metadata(struct writer *w, Onnx__ModelProto *m, const char *key, const float *v, int n)
{
    struct base_text t = { 0 };
    base_text_add(&t, "[");
    for (int i = 0; i < n; i++)
        base_text_add(&t, "%s%.9g", i ? ", " : "", (double)v[i]);
    base_text_add(&t, "]");
    Onnx__StringStringEntryProto *e = make_string_string_entry_proto(w);
    if (e && t.s) {
        e->key = format(w, key, "");
        e->value = format(w, t.s, "");
        m->metadata_props[m->n_metadata_props++] = e;
    }
    base_text_free(&t);
}

static int build(struct writer *w, Onnx__ModelProto *m)
{
    const struct graph *g = w->g;
    size_t n = (size_t)g->n_node;
    w->graph = m->graph = make_graph_proto(w);
    if (!w->graph)
        return BASE_NOMEM;
    w->graph->name = format(w, g->name, "");
    w->graph->node = make(w, sizeof(void *) * 2 * n);
    w->graph->initializer = make(w, sizeof(void *) * 6 * n);
    w->graph->input = make(w, sizeof(void *));
    w->graph->output = make(w, sizeof(void *));
    m->opset_import = make(w, sizeof(void *));
    m->metadata_props = make(w, sizeof(void *) * 3);
    if (w->failed)
        return BASE_NOMEM;
    Onnx__OperatorSetIdProto *opset = make_operator_set_id_proto(w);
    if (!opset)
        return BASE_NOMEM;
    opset->has_version = 1;
    opset->version = OPSET;
    opset->domain = format(w, "", "");
    m->opset_import[m->n_opset_import++] = opset;
    m->has_ir_version = 1;
    m->ir_version = IR_VERSION;
    m->producer_name = format(w, "bitpress", "");
    struct graph_shape s = g->node[0].shape;
    w->graph->input[w->graph->n_input++] = value_info(w, g->node[0].name, (const int[3]){ s.c, s.h, s.w }, 3);
    const struct graph_node *out = &g->node[g->output];
    w->graph->output[w->graph->n_output++] = value_info(w, out->name, &out->shape.c, 1);
    for (int i = 0; i < g->n_node && !w->failed; i++)
        write_node(w, &g->node[i]);
    metadata(w, m, "input_scale", &g->prep.scale, 1);
    metadata(w, m, "input_mean", g->prep.mean, g->prep.n);
    metadata(w, m, "input_std", g->prep.std, g->prep.n);
    return w->failed ? BASE_NOMEM : BASE_OK;
}

int onnx_write(const struct graph *g, const char *path)
{
    struct writer w = { .a = base_arena_new(), .g = g };
    uint8_t *bytes = NULL;
    if (!w.a)
        return BASE_NOMEM;
    Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
    int rc = build(&w, &m);
    if (rc)
        goto done;
    size_t size = onnx__model_proto__get_packed_size(&m);
    if (!(bytes = base_alloc(size))) {
        rc = BASE_NOMEM;
        goto done;
    }
    onnx__model_proto__pack(&m, bytes);
    rc = base_file_write(path, bytes, size);
done:
    base_free(bytes);
    base_arena_free(w.a);
    return rc;
}
