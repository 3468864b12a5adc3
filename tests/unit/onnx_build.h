/* onnx_build: small ONNX files for tests, written as people draw them:
 *
 *   struct onnx_build *b = build_new(13);
 *   build_input(b, "x", "N,3,8,8");
 *   build_tensor(b, "w", "4,3,3,3", 1);                    random floats of seed 1
 *   build_node(b, "Conv", "y", "x,w", "pads=1,1,1,1 strides=2,2 auto_pad='VALID'");
 *   build_output(b, "y");
 *   build_write(b, path);                                   ends b
 */
#ifndef ONNX_BUILD_H
#define ONNX_BUILD_H

#include <onnx/onnx.pb-c.h>

#include "base/base.h"

struct onnx_build {
    struct base_arena *a;
    Onnx__ModelProto m;
    Onnx__GraphProto g;
    Onnx__OperatorSetIdProto opset;
};

enum { BUILD_MAX = 600 };

static inline void *build_alloc(struct onnx_build *b, size_t n)
{
    void *p = base_arena_alloc(b->a, n);
    assert_non_null(p);
    return p;
}

static inline char *build_text(struct onnx_build *b, const char *s)
{
    return base_arena_strdup(b->a, s);
}

static inline struct onnx_build *build_new(int opset)
{
    struct base_arena *a = base_arena_new();
    struct onnx_build *b = BASE_ARENA_NEW(a, struct onnx_build);
    b->a = a;
    onnx__model_proto__init(&b->m);
    onnx__graph_proto__init(&b->g);
    onnx__operator_set_id_proto__init(&b->opset);
    b->opset.has_version = 1;
    b->opset.version = opset;
    b->m.opset_import = build_alloc(b, sizeof(void *));
    b->m.opset_import[b->m.n_opset_import++] = &b->opset;
    b->m.has_ir_version = 1;
    b->m.ir_version = 7;
    b->m.graph = &b->g;
    b->m.metadata_props = build_alloc(b, sizeof(void *) * 8);
    b->g.node = build_alloc(b, sizeof(void *) * BUILD_MAX);
    b->g.initializer = build_alloc(b, sizeof(void *) * BUILD_MAX);
    b->g.input = build_alloc(b, sizeof(void *) * 8);
    b->g.output = build_alloc(b, sizeof(void *) * 8);
    b->g.name = build_text(b, "built");
    return b;
}

static inline void build_meta(struct onnx_build *b, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *e = build_alloc(b, sizeof *e);
    onnx__string_string_entry_proto__init(e);
    e->key = build_text(b, key);
    e->value = build_text(b, value);
    b->m.metadata_props[b->m.n_metadata_props++] = e;
}

/* "3,4" -> numbers; their count. */
static inline size_t build_numbers(const char *s, double *out)
{
    size_t n = 0;
    while (*s) {
        char *end;
        out[n++] = strtod(s, &end);
        assert_true(end != s && n < 1000);
        s = *end == ',' ? end + 1 : end;
    }
    return n;
}

static inline Onnx__ValueInfoProto *build_value(struct onnx_build *b, const char *name, const char *shape)
{
    Onnx__ValueInfoProto *v = build_alloc(b, sizeof *v);
    Onnx__TypeProto *t = build_alloc(b, sizeof *t);
    Onnx__TypeProto__Tensor *tt = build_alloc(b, sizeof *tt);
    Onnx__TensorShapeProto *s = build_alloc(b, sizeof *s);
    onnx__value_info_proto__init(v);
    onnx__type_proto__init(t);
    onnx__type_proto__tensor__init(tt);
    onnx__tensor_shape_proto__init(s);
    v->name = build_text(b, name);
    v->type = t;
    t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    t->tensor_type = tt;
    tt->has_elem_type = 1;
    tt->elem_type = 1;
    tt->shape = s;
    s->dim = build_alloc(b, sizeof(void *) * 8);
    char *copy = build_text(b, shape), *save = NULL;
    for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
        Onnx__TensorShapeProto__Dimension *d = build_alloc(b, sizeof *d);
        onnx__tensor_shape_proto__dimension__init(d);
        bool number = *p >= '0' && *p <= '9';
        d->value_case = number ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        if (number)
            d->dim_value = atoll(p);
        else
            d->dim_param = p;
        s->dim[s->n_dim++] = d;
    }
    return v;
}

static inline void build_input(struct onnx_build *b, const char *name, const char *shape)
{
    b->g.input[b->g.n_input++] = build_value(b, name, shape);
}

static inline void build_output(struct onnx_build *b, const char *name)
{
    b->g.output[b->g.n_output++] = build_value(b, name, "N,10");
}

static inline Onnx__TensorProto *build_empty_tensor(struct onnx_build *b, const char *name, int type, const char *shape)
{
    double dim[1000];
    Onnx__TensorProto *t = build_alloc(b, sizeof *t);
    onnx__tensor_proto__init(t);
    t->name = build_text(b, name);
    t->has_data_type = 1;
    t->data_type = type;
    t->n_dims = build_numbers(shape, dim);
    t->dims = build_alloc(b, sizeof(int64_t) * (t->n_dims + 1));
    for (size_t i = 0; i < t->n_dims; i++)
        t->dims[i] = (int64_t)dim[i];
    return t;
}

static inline Onnx__TensorProto *build_add_tensor(struct onnx_build *b, Onnx__TensorProto *t)
{
    assert_true(b->g.n_initializer < BUILD_MAX);
    return b->g.initializer[b->g.n_initializer++] = t;
}

/* Random floats (seed > 0: normal / 4; seed < 0: 0.5 .. 1.5). */
static inline Onnx__TensorProto *build_tensor(struct onnx_build *b, const char *name, const char *shape, int seed)
{
    Onnx__TensorProto *t = build_empty_tensor(b, name, 1, shape);
    struct base_rng r;
    base_rng_seed(&r, (uint64_t)(seed < 0 ? -seed : seed));
    size_t n = 1;
    for (size_t i = 0; i < t->n_dims; i++)
        n *= (size_t)t->dims[i];
    t->has_raw_data = 1;
    t->raw_data.len = 4 * n;
    t->raw_data.data = build_alloc(b, 4 * n + 1);
    for (size_t i = 0; i < n; i++) {
        float v = seed < 0 ? 0.5f + base_rng_uniform(&r) : 0.25f * base_rng_normal(&r);
        memcpy(t->raw_data.data + 4 * i, &v, 4);
    }
    return build_add_tensor(b, t);
}

/* Given values: type 1 float_data, 7 int64_data, others int32_data. */
static inline Onnx__TensorProto *build_values(struct onnx_build *b, const char *name, int type, const char *shape, const char *values)
{
    double v[1000];
    Onnx__TensorProto *t = build_empty_tensor(b, name, type, shape);
    size_t n = build_numbers(values, v);
    t->float_data = build_alloc(b, sizeof(float) * (n + 1));
    t->int64_data = build_alloc(b, sizeof(int64_t) * (n + 1));
    t->int32_data = build_alloc(b, sizeof(int32_t) * (n + 1));
    for (size_t i = 0; i < n; i++) {
        t->float_data[i] = (float)v[i];
        t->int64_data[i] = v[i] >= 9e18 ? INT64_MAX : v[i] <= -9e18 ? INT64_MIN : (int64_t)v[i];
        t->int32_data[i] = v[i] >= 2e9 || v[i] <= -2e9 ? 0 : (int32_t)v[i];
    }
    t->n_float_data = type == 1 ? n : 0;
    t->n_int64_data = type == 7 ? n : 0;
    t->n_int32_data = type != 1 && type != 7 ? n : 0;
    return build_add_tensor(b, t);
}

/* name=1  name=1.5 (has a point)  name=1,2,3  name='text'  name=@tensor (moved from the initializers) */
static inline Onnx__AttributeProto *build_attribute(struct onnx_build *b, char *text)
{
    double v[1000];
    Onnx__AttributeProto *a = build_alloc(b, sizeof *a);
    onnx__attribute_proto__init(a);
    char *value = strchr(text, '=');
    assert_non_null(value);
    *value++ = '\0';
    a->name = text;
    a->has_type = 1;
    if (*value == '\'') {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        a->has_s = 1;
        a->s.data = (uint8_t *)(value + 1);
        a->s.len = strlen(value) - 2;
    } else if (*value == '@') {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        a->t = b->g.initializer[--b->g.n_initializer];
    } else if (strchr(value, ',')) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->n_ints = build_numbers(value, v);
        a->ints = build_alloc(b, sizeof(int64_t) * a->n_ints);
        for (size_t i = 0; i < a->n_ints; i++)
            a->ints[i] = (int64_t)v[i];
    } else if (strchr(value, '.')) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        a->has_f = 1;
        a->f = strtof(value, NULL);
    } else {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->has_i = 1;
        a->i = atoll(value);
    }
    return a;
}

/* `inputs`: names joined by commas ("" between two: absent); the node has its first output's name. */
static inline Onnx__NodeProto *build_node(struct onnx_build *b, const char *type, const char *outputs, const char *inputs, const char *attributes)
{
    Onnx__NodeProto *n = build_alloc(b, sizeof *n);
    onnx__node_proto__init(n);
    n->op_type = build_text(b, type);
    n->input = build_alloc(b, sizeof(void *) * 64);
    n->output = build_alloc(b, sizeof(void *) * 8);
    n->attribute = build_alloc(b, sizeof(void *) * 16);
    char *s = build_text(b, inputs), *o = build_text(b, outputs), *t = build_text(b, attributes), *save = NULL;
    for (char *p; *inputs && (p = strsep(&s, ","));)
        n->input[n->n_input++] = p;
    for (char *p; (p = strsep(&o, ","));)
        n->output[n->n_output++] = p;
    for (char *p = strtok_r(t, " ", &save); p; p = strtok_r(NULL, " ", &save))
        n->attribute[n->n_attribute++] = build_attribute(b, p);
    n->name = n->output[0];
    assert_true(b->g.n_node < BUILD_MAX);
    return b->g.node[b->g.n_node++] = n;
}

static inline uint8_t *build_bytes(struct onnx_build *b, size_t *len)
{
    *len = onnx__model_proto__get_packed_size(&b->m);
    uint8_t *p = base_alloc(*len + 1);
    onnx__model_proto__pack(&b->m, p);
    return p;
}

static inline void build_free(struct onnx_build *b)
{
    base_arena_free(b->a);
}

static inline void build_write(struct onnx_build *b, const char *path)
{
    size_t len;
    uint8_t *p = build_bytes(b, &len);
    FILE *fp = fopen(path, "wb"); /* no fsync: tests write many */
    assert_non_null(fp);
    assert_int_equal(fwrite(p, 1, len, fp), len);
    fclose(fp);
    base_free(p);
    build_free(b);
}

#endif
