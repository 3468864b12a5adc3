/* writer.c: see writer.h. */
#include "onnx/writer.h"

#include <string.h>

enum { OPSET = 13, IR_VERSION = 7, MAX_OPERANDS = 9, MAX_ATTRIBUTES = 8, MAX_OPSETS = 2 };

static void *make(struct writer *w, size_t bytes)
{
    void *p = base_arena_alloc(w->a, bytes);
    if (!p)
        w->failed = true;
    return p;
}

#define MAKER(T, init)                      \
    static T *make_##init(struct writer *w) \
    {                                       \
        T *p = make(w, sizeof *p);          \
        if (p)                              \
            onnx__##init##__init(p);        \
        return p;                           \
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

/* One more place at the end of a list of pointers. */
static void append(struct writer *w, void ***list, size_t *n, size_t *cap, void *item)
{
    if (!item)
        return;
    if (*n == *cap) {
        void **p = make(w, sizeof(void *) * (*cap ? 2 * *cap : 64));
        if (!p)
            return;
        if (*n)
            memcpy(p, *list, sizeof(void *) * *n);
        *cap = *cap ? 2 * *cap : 64;
        *list = p;
    }
    (*list)[(*n)++] = item;
}

char *write_name(struct writer *w, const char *prefix, const char *suffix)
{
    size_t n = strlen(prefix), m = strlen(suffix) + 1;
    char *s = make(w, n + m);
    if (s) {
        memcpy(s, prefix, n);
        memcpy(s + n, suffix, m);
    }
    return s;
}

/* ---- tensors ------------------------------------------------------------------ */

static size_t element_bytes(int type)
{
    return type == WRITE_FLOAT ? 4 : type == WRITE_INT64 || type == WRITE_DOUBLE ? 8 : 1;
}

void *write_tensor(struct writer *w, const char *name, int type, const int64_t *dims, int n_dims)
{
    Onnx__TensorProto *t = make_tensor_proto(w);
    size_t count = 1;
    if (!t || !name || !(t->dims = make(w, sizeof(int64_t) * (size_t)(n_dims + 1))))
        return NULL;
    for (int i = 0; i < n_dims; i++) {
        t->dims[i] = dims[i];
        count *= (size_t)dims[i];
    }
    t->n_dims = (size_t)n_dims;
    t->name = write_name(w, name, "");
    t->has_data_type = 1;
    t->data_type = type;
    t->has_raw_data = 1;
    t->raw_data.len = count * element_bytes(type);
    t->raw_data.data = make(w, t->raw_data.len);
    append(w, (void ***)&w->graph->initializer, &w->graph->n_initializer, &w->cap_tensor, t);
    return t->raw_data.data;
}

char *write_floats(struct writer *w, const char *node, const char *suffix, const float *v, int n)
{
    char *name = write_name(w, node, suffix);
    void *p = write_tensor(w, name, WRITE_FLOAT, (const int64_t[1]){ n }, 1);
    if (p)
        memcpy(p, v, sizeof(float) * (size_t)n);
    return name;
}

char *write_ints(struct writer *w, const char *node, const char *suffix, const int64_t *v, int n)
{
    char *name = write_name(w, node, suffix);
    void *p = write_tensor(w, name, WRITE_INT64, (const int64_t[1]){ n }, 1);
    if (p)
        memcpy(p, v, sizeof(int64_t) * (size_t)n);
    return name;
}

char *write_scalar(struct writer *w, const char *node, const char *suffix, int type, double v)
{
    char *name = write_name(w, node, suffix);
    void *p = write_tensor(w, name, type, NULL, 0);
    float f = (float)v;
    int64_t i = (int64_t)v;
    if (p)
        memcpy(p, type == WRITE_FLOAT ? (const void *)&f : type == WRITE_DOUBLE ? (const void *)&v : &i, element_bytes(type)); /* little-endian, as the file */
    return name;
}

/* ---- nodes -------------------------------------------------------------------- */

Onnx__NodeProto *write_node(struct writer *w, const char *type, const char *name)
{
    Onnx__NodeProto *n = make_node_proto(w);
    if (!n || !name)
        return NULL;
    n->op_type = write_name(w, type, "");
    n->name = write_name(w, name, "");
    n->input = make(w, sizeof(char *) * MAX_OPERANDS);
    n->output = make(w, sizeof(char *));
    n->attribute = make(w, sizeof(Onnx__AttributeProto *) * MAX_ATTRIBUTES);
    if (w->failed)
        return NULL;
    n->output[n->n_output++] = n->name;
    append(w, (void ***)&w->graph->node, &w->graph->n_node, &w->cap_node, n);
    return n;
}

void write_input(struct writer *w, Onnx__NodeProto *n, const char *value)
{
    if (n && value && n->n_input < MAX_OPERANDS)
        n->input[n->n_input++] = write_name(w, value, "");
    else
        w->failed = true;
}

static Onnx__AttributeProto *attribute(struct writer *w, Onnx__NodeProto *n, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = make_attribute_proto(w);
    if (!n || !a || n->n_attribute == MAX_ATTRIBUTES) {
        w->failed = true;
        return NULL;
    }
    a->name = write_name(w, name, "");
    a->has_type = 1;
    a->type = type;
    n->attribute[n->n_attribute++] = a;
    return a;
}

void write_int(struct writer *w, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = attribute(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a) {
        a->has_i = 1;
        a->i = v;
    }
}

void write_int_list(struct writer *w, Onnx__NodeProto *n, const char *name, const int64_t *v, int count)
{
    Onnx__AttributeProto *a = attribute(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!a || !(a->ints = make(w, sizeof(int64_t) * (size_t)count)))
        return;
    a->n_ints = (size_t)count;
    memcpy(a->ints, v, sizeof(int64_t) * (size_t)count);
}

void write_float(struct writer *w, Onnx__NodeProto *n, const char *name, float v)
{
    Onnx__AttributeProto *a = attribute(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (a) {
        a->has_f = 1;
        a->f = v;
    }
}

void write_text(struct writer *w, Onnx__NodeProto *n, const char *name, const char *v)
{
    Onnx__AttributeProto *a = attribute(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    char *s = write_name(w, v, "");
    if (a && s) {
        a->has_s = 1;
        a->s = (ProtobufCBinaryData){ strlen(s), (uint8_t *)s };
    }
}

void write_domain(struct writer *w, Onnx__NodeProto *n, const char *domain)
{
    if (n)
        n->domain = write_name(w, domain, "");
}

/* ---- the model ---------------------------------------------------------------- */

/* N x dims */
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
            d->dim_param = write_name(w, "N", "");
        shape->dim[shape->n_dim++] = d;
    }
    t->has_elem_type = 1;
    t->elem_type = WRITE_FLOAT;
    t->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = t;
    v->name = write_name(w, name, "");
    v->type = type;
    return v;
}

void write_model_input(struct writer *w, const char *name, const int *dims, int n)
{
    Onnx__ValueInfoProto *v = value_info(w, name, dims, n);
    size_t cap = w->graph->n_input;
    append(w, (void ***)&w->graph->input, &w->graph->n_input, &cap, v);
}

void write_model_output(struct writer *w, const char *name, const int *dims, int n)
{
    Onnx__ValueInfoProto *v = value_info(w, name, dims, n);
    size_t cap = w->graph->n_output;
    append(w, (void ***)&w->graph->output, &w->graph->n_output, &cap, v);
}

void write_metadata(struct writer *w, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *e = make_string_string_entry_proto(w);
    if (!e)
        return;
    e->key = write_name(w, key, "");
    e->value = write_name(w, value, "");
    append(w, (void ***)&w->model.metadata_props, &w->model.n_metadata_props, &w->cap_meta, e);
}

void write_metadata_floats(struct writer *w, const char *key, const float *v, int n)
{
    struct base_text t = { 0 };
    base_text_add(&t, "[");
    for (int i = 0; i < n; i++)
        base_text_add(&t, "%s%.9g", i ? ", " : "", (double)v[i]);
    base_text_add(&t, "]");
    if (t.failed)
        w->failed = true;
    else
        write_metadata(w, key, t.s);
    base_text_free(&t);
}

void write_opset(struct writer *w, const char *domain, int64_t version)
{
    Onnx__OperatorSetIdProto *o = make_operator_set_id_proto(w);
    if (!o || !w->model.opset_import || w->model.n_opset_import == MAX_OPSETS) {
        w->failed = true;
        return;
    }
    o->has_version = 1;
    o->version = version;
    o->domain = write_name(w, domain, "");
    w->model.opset_import[w->model.n_opset_import++] = o;
}

int writer_begin(struct writer *w, const char *name)
{
    memset(w, 0, sizeof *w);
    onnx__model_proto__init(&w->model);
    if (!(w->a = base_arena_new()))
        return BASE_NOMEM;
    w->graph = w->model.graph = make_graph_proto(w);
    w->model.opset_import = make(w, sizeof(void *) * MAX_OPSETS);
    if (w->failed) {
        writer_free(w);
        return BASE_NOMEM;
    }
    w->graph->name = write_name(w, name, "");
    write_opset(w, "", OPSET);
    w->model.has_ir_version = 1;
    w->model.ir_version = IR_VERSION;
    w->model.producer_name = write_name(w, "bitpress", "");
    return BASE_OK;
}

int writer_end(struct writer *w, const char *path)
{
    size_t size = w->failed ? 0 : onnx__model_proto__get_packed_size(&w->model);
    uint8_t *bytes = size ? base_alloc(size) : NULL;
    int rc = BASE_NOMEM;
    if (bytes) {
        onnx__model_proto__pack(&w->model, bytes);
        rc = base_file_write(path, bytes, size);
    }
    base_free(bytes);
    writer_free(w);
    return rc;
}

void writer_free(struct writer *w)
{
    base_arena_free(w->a);
    w->a = NULL;
}
