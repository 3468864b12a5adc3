/* read.c: an ONNX model as a graph: one pass over the nodes that the output needs (ONNX demands topological
 * order), the list of what was refused, input and output. */
#include <string.h>

#include "onnx/reader.h"
#include "onnx/writer.h"

static const struct importer { const char *type; int (*take)(struct reader *r, const node_t *n); const char *how; } importers[] = {
#define IMPORT(type, take, how) { type, take, how },
#include "onnx/import.def"
#undef IMPORT
};

bool onnx_operator(int i, const char **op, const char **how)
{
    if (i < 0 || i >= BASE_COUNT(importers))
        return false;
    *op = importers[i].type;
    *how = importers[i].how;
    return true;
}

/* What to do about operators that people meet. */
static const struct { const char *type, *remedy; } remedies[] = {
    { "Sigmoid", "use Relu or Relu6, or leave it out behind the logits" },
    { "HardSigmoid", "squeeze-and-excite blocks do not run on the accelerator: train without them" },
    { "HardSwish", "use Relu or Relu6" }, { "LeakyRelu", "use Relu" }, { "PRelu", "use Relu" }, { "Elu", "use Relu" },
    { "Selu", "use Relu" }, { "Gelu", "use Relu" }, { "Mish", "use Relu" }, { "Tanh", "use Relu" }, { "Erf", "use Relu" },
    { "ArgMax", "end the network at its logits" }, { "TopK", "end the network at its logits" },
    { "QLinearConv", "export quantized models in QDQ format (QuantizeLinear, DequantizeLinear)" },
    { "QLinearAdd", "export quantized models in QDQ format (QuantizeLinear, DequantizeLinear)" },
    { "QLinearMatMul", "export quantized models in QDQ format (QuantizeLinear, DequantizeLinear)" },
    { "ConvInteger", "export quantized models in QDQ format (QuantizeLinear, DequantizeLinear)" },
    { "DynamicQuantizeLinear", "quantize with fixed scales, or export the float model" },
    { "InstanceNormalization", "use BatchNormalization" }, { "LayerNormalization", "use BatchNormalization" },
    { "GroupNormalization", "use BatchNormalization" }, { "LRN", "use BatchNormalization" },
    { "ConvTranspose", "only classifiers are supported" }, { "Resize", "only classifiers are supported" }, { "Upsample", "only classifiers are supported" },
    { "If", "export without control flow" }, { "Loop", "export without control flow" }, { "Scan", "export without control flow" },
    { "LSTM", "only convolutional networks are supported" }, { "GRU", "only convolutional networks are supported" },
};

static const char *metadata(const struct reader *r, const char *key)
{
    for (size_t i = 0; i < r->model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = r->model->metadata_props[i];
        if (e->key && e->value && !strcmp(e->key, key))
            return e->value;
    }
    return NULL;
}

/* ---- nodes ------------------------------------------------------------------------ */

static bool standard_domain(const node_t *n)
{
    return !n->domain || !*n->domain || !strcmp(n->domain, "ai.onnx");
}

static int refuse_operator(struct reader *r, const node_t *n)
{
    for (int i = 0; i < BASE_COUNT(remedies); i++)
        if (!strcmp(remedies[i].type, n->op_type))
            return refuse(r, "the operator is not supported: %s", remedies[i].remedy);
    if (!standard_domain(n))
        return refuse(r, "the operator is of another domain ('%.60s'): export with standard operators", n->domain);
    return refuse(r, "the operator is not supported: change the network, or cut it off in front");
}

enum operands { ALL_CONSTANT, SOME_MAP, SOME_REFUSED };

static int look_at_operands(struct reader *r, const node_t *n, enum operands *out)
{
    *out = ALL_CONSTANT;
    for (size_t i = 0; i < n->n_input; i++) {
        if (!*n->input[i])
            continue;
        const struct value *v = value_find(r, n->input[i]);
        if (!v || v->kind == VALUE_NONE)
            return base_fail(BASE_INPUT, "%s: node '%.100s' (%.40s) reads '%.100s', which nothing before it computes: the file is damaged", r->path, file_name_of(n), n->op_type, n->input[i]);
        if (v->kind == VALUE_REFUSED)
            *out = SOME_REFUSED;
        else if (v->kind == VALUE_VIEW && *out == ALL_CONSTANT)
            *out = SOME_MAP;
    }
    return BASE_OK;
}

static const struct importer *importer_of(const node_t *n)
{
    for (int i = 0; standard_domain(n) && i < BASE_COUNT(importers); i++)
        if (!strcmp(n->op_type, importers[i].type))
            return &importers[i];
    return NULL;
}

static int dispatch(struct reader *r, const node_t *n)
{
    enum operands operands;
    int rc = look_at_operands(r, n, &operands);
    if (rc)
        return rc;
    if (operands == ALL_CONSTANT && n->n_input && standard_domain(n)) {
        rc = fold_node(r, n);
        if (rc <= 0)
            return rc;
    }
    const struct importer *im = importer_of(n);
    if (!im && !(operands == SOME_REFUSED && standard_domain(n) && fold_knows(n->op_type)))
        return refuse_operator(r, n);
    if (operands == SOME_REFUSED) {
        r->note->verdict = ONNX_SKIPPED;
        return BASE_OK;
    }
    if (operands == ALL_CONSTANT && strcmp(n->op_type, "Constant"))
        return refuse(r, "is not computed on constants");
    return im->take(r, n);
}

static int take_node(struct reader *r, const node_t *n)
{
    char plain[NAME_LENGTH + 1];
    r->note = &r->report->note[r->report->n++];
    r->note->text = "";
    plain_name(plain, file_name_of(n));
    if (!(r->note->node = base_arena_strdup(r->report->arena, plain)))
        return BASE_NOMEM;
    plain_name(plain, n->op_type);
    if (!(r->note->op = base_arena_strdup(r->report->arena, plain)))
        return BASE_NOMEM;
    int rc = dispatch(r, n);
    if (rc)
        return rc;
    bool bad = r->note->verdict == ONNX_REFUSED || r->note->verdict == ONNX_SKIPPED;
    r->report->refused += r->note->verdict == ONNX_REFUSED;
    /* A Dropout's mask, a pool's indices: outputs that we do not compute. */
    for (size_t i = 0; i < n->n_output; i++)
        if (*n->output[i] && (bad || i))
            value_enter(r, n->output[i])->kind = VALUE_REFUSED;
    return BASE_OK;
}

/* ---- which nodes the output needs ----------------------------------------------------- */

static int check_nodes(const struct reader *r)
{
    const Onnx__GraphProto *og = r->og;
    if (og->n_node > ONNX_MAX_NODES)
        return base_fail(BASE_INPUT, "%s: %zu nodes (at most %d are supported)", r->path, og->n_node, ONNX_MAX_NODES);
    for (size_t i = 0; i < og->n_node; i++)
        if (!og->node[i]->op_type || !*og->node[i]->op_type || og->node[i]->n_output < 1 || !*og->node[i]->output[0])
            return base_fail(BASE_INPUT, "%s: node %zu has no operator or no output: the file is damaged", r->path, i);
    if (og->n_output != 1 || !og->output[0]->name)
        return base_hint(base_fail(BASE_INPUT, "%s: the model has %zu outputs; exactly one, the logits, is supported", r->path, og->n_output), "export it with the logits as the only output");
    return BASE_OK;
}

/* Count each name's uses by the nodes that the output needs; needed[i] of a node. Each value is computed once. */
static void count_uses(struct reader *r, bool *needed)
{
    value_enter(r, r->og->output[0]->name)->uses = 1;
    for (size_t i = r->og->n_node; i-- > 0;) {
        const node_t *n = r->og->node[i];
        for (size_t k = 0; k < n->n_output; k++)
            if (*n->output[k]) {
                const struct value *v = value_find(r, n->output[k]);
                needed[i] |= v && v->uses;
            }
        for (size_t k = 0; needed[i] && k < n->n_input; k++)
            if (*n->input[k]) {
                struct value *v = value_enter(r, n->input[k]);
                v->uses++;
                v->consumer = (int)i;
            }
    }
}

static int read_initializers(struct reader *r)
{
    int rc = BASE_OK;
    for (size_t i = 0; !rc && i < r->og->n_initializer; i++) {
        const Onnx__TensorProto *t = r->og->initializer[i];
        struct value *v = t->name ? value_find(r, t->name) : NULL;
        if (!v || !v->uses)
            continue;
        if (v->kind != VALUE_NONE)
            return base_fail(BASE_INPUT, "%s: tensor '%.100s' is there twice: the file is damaged", r->path, t->name);
        rc = constant_read(r, t, &v->c);
        if (!rc)
            constant_scan(v->c);
        v->kind = VALUE_CONSTANT;
    }
    return rc;
}

/* ---- input ------------------------------------------------------------------------- */

/* The sizes that a file gives its input, 0 where it leaves one open; their number, -1: no such tensor. */
static int input_dims(const Onnx__ValueInfoProto *v, int dim[4])
{
    const Onnx__TypeProto *t = v->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type || !t->tensor_type->shape || t->tensor_type->shape->n_dim > 4)
        return -1;
    int rank = (int)t->tensor_type->shape->n_dim;
    for (int i = 0; i < rank; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->tensor_type->shape->dim[i];
        bool number = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim[i] = !number || d->dim_value < 1 ? 0 : d->dim_value <= 65535 ? (int)d->dim_value : -1;
    }
    return rank;
}

/* Follow the input through element-wise nodes to a Transpose that makes channels the second dimension. Of a
 * single channel that comes last (`one`) exporters make a Reshape of it. */
static bool ends_with_channels(const struct reader *r, const char *input, bool one)
{
    static const char *const passing[] = { "Identity", "Cast", "Mul", "Add", "Sub", "Div", "QuantizeLinear", "DequantizeLinear" };
    const char *name = input;
    for (size_t i = 0; i < r->og->n_node; i++) {
        const node_t *n = r->og->node[i];
        if (!n->n_input || strcmp(n->input[0], name))
            continue;
        const Onnx__AttributeProto *p = attribute(n, "perm");
        if (!strcmp(n->op_type, "Transpose"))
            return p && p->n_ints == 4 && p->ints[0] == 0 && p->ints[1] == 3 && p->ints[2] == 1 && p->ints[3] == 2;
        if (one && !strcmp(n->op_type, "Reshape"))
            return true;
        if (!strcmp(n->op_type, "Shape")) /* of that Reshape */
            continue;
        bool passes = false;
        for (int k = 0; k < BASE_COUNT(passing); k++)
            passes |= !strcmp(n->op_type, passing[k]);
        if (!passes)
            return false;
        name = n->output[0];
    }
    return false;
}

/* Four dimensions are a map, three a map of one channel, two a row of values. */
static int input_shape(struct reader *r, const Onnx__ValueInfoProto *v, const int *dim, int rank, const char *layout, struct graph_shape *s)
{
    bool fits = rank > 1 && dim[0] >= 0;
    *s = (struct graph_shape){ 1, 1, 1 };
    for (int i = 1; fits && i < rank; i++) {
        fits = dim[i] > 0;
        *(layout[i] == 'H' ? &s->h : layout[i] == 'W' ? &s->w : &s->c) = dim[i];
    }
    if (!fits)
        return base_hint(base_fail(BASE_INPUT, "%s: input '%.100s' is not of fixed size, N x channels x height x width (N x height x width, N x values)", r->path, v->name),
                         "export with a fixed image size; only the batch may be free");
    r->batch = BASE_MAX(dim[0], 1);
    return BASE_OK;
}

static int take_input(struct reader *r, const Onnx__ValueInfoProto *info)
{
    const char *said = metadata(r, "input_layout");
    int dim[4] = { 0 }, rank = input_dims(info, dim);
    bool nhwc = said ? !strcmp(said, "NHWC") : ends_with_channels(r, info->name, rank == 4 && dim[3] == 1 && dim[1] != 1);
    const char *layout = rank == 2 ? "NW" : rank == 3 ? "NHW" : nhwc ? "NHWC" : "NCHW";
    struct graph_shape s;
    int rc = input_shape(r, info, dim, rank, layout, &s);
    if (rc)
        return rc;
    char plain[NAME_LENGTH + 1];
    plain_name(plain, info->name);
    int node = graph_add_input(r->g, plain, s);
    if (node < 0)
        return node;
    struct value *v = value_enter(r, info->name);
    v->kind = VALUE_VIEW;
    v->v = view_of(r->g, node, r->batch, layout);
    v->v.sole = v->uses <= 1;
    r->report->layout = layout;
    return BASE_OK;
}

static int read_input(struct reader *r)
{
    bool have = false;
    for (size_t i = 0; i < r->og->n_input; i++) {
        const Onnx__ValueInfoProto *info = r->og->input[i];
        const struct value *v = info->name ? value_find(r, info->name) : NULL;
        if (!v || v->kind == VALUE_CONSTANT) /* old exporters list initializers as inputs */
            continue;
        if (have)
            return base_fail(BASE_INPUT, "%s: the model has more than one input ('%.100s'): one image is supported", r->path, info->name);
        int rc = take_input(r, info);
        if (rc)
            return rc;
        have = true;
    }
    return have ? BASE_OK : base_fail(BASE_INPUT, "%s: the model has no input that its output depends on", r->path);
}

static int read_opset(struct reader *r)
{
    for (size_t i = 0; i < r->model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = r->model->opset_import[i];
        if (o->domain && *o->domain && strcmp(o->domain, "ai.onnx"))
            continue;
        r->opset = (int)BASE_MAX(0, BASE_MIN(o->version, 1000));
        if (o->version < ONNX_OPSET_MIN || o->version > ONNX_OPSET_MAX)
            return base_hint(base_fail(BASE_INPUT, "%s: opset %lld is not supported (%d to %d are)", r->path, (long long)o->version, ONNX_OPSET_MIN, ONNX_OPSET_MAX),
                             "export it again with opset %d, or convert it: onnx.version_converter.convert_version(model, 13)", 13);
    }
    return r->opset ? BASE_OK : base_fail(BASE_INPUT, "%s: the model does not say its opset: the file is damaged", r->path);
}

/* ---- the whole ----------------------------------------------------------------------- */

static int all_refusals(const struct reader *r)
{
    enum { ROOM = 7000 };
    struct base_text t = { 0 };
    int shown = 0;
    for (int i = 0; i < r->report->n && t.len < ROOM; i++) {
        const struct onnx_note *k = &r->report->note[i];
        if (k->verdict == ONNX_REFUSED) {
            base_text_add(&t, "\n  node '%s' (%s): %s", k->node, k->op, k->text);
            shown++;
        }
    }
    int n = r->report->refused;
    if (shown < n)
        base_text_add(&t, "\n  and %d more", n - shown);
    int rc = t.failed ? BASE_NOMEM : base_fail(BASE_INPUT, "%s: %d node%s not supported:%s", r->path, n, n == 1 ? " is" : "s are", t.s);
    base_text_free(&t);
    return rc == BASE_INPUT && metadata(r, QDQ_MARK) ? base_hint(rc, "this file is the export of a compressed network, for other tools: take the pack (.bpk) or the float model") : rc;
}

static int read_nodes(struct reader *r)
{
    bool *needed = BASE_NEW_N(bool, r->og->n_node + 1);
    int rc = needed ? value_table(r) : BASE_NOMEM;
    if (!rc)
        count_uses(r, needed);
    if (!rc)
        rc = read_initializers(r);
    if (!rc)
        rc = read_input(r);
    for (size_t i = 0; !rc && i < r->og->n_node; i++) {
        const node_t *n = r->og->node[i];
        const struct value *v = value_find(r, n->output[0]);
        if (!needed[i])
            continue;
        if (v && v->kind != VALUE_NONE)
            rc = base_fail(BASE_INPUT, "%s: '%.100s' is computed twice: the file is damaged", r->path, n->output[0]);
        r->index = (int)i;
        if (!rc)
            rc = take_node(r, n);
    }
    base_free(needed);
    return rc;
}

static int read_output(struct reader *r)
{
    const struct value *v = value_find(r, r->og->output[0]->name);
    if (!v || v->kind != VALUE_VIEW || v->v.quantized || v->v.step[0] != 1 || v->v.step[1] != 1)
        return base_fail(BASE_INPUT, "%s: the output '%.100s' is not computed by the model's nodes", r->path, r->og->output[0]->name);
    r->g->output = v->v.node;
    return graph_check(r->g);
}

/* What the file's metadata or the YAML beside it says about pixels, in front of what its first nodes do. */
static int read_prep(struct reader *r)
{
    struct graph_prep p = { .scale = 1 };
    bool found = false;
    int channels = r->g->node[0].shape.c;
    r->report->prep_from = "";
    int rc = prep_from_metadata(&p, r->model, r->path, channels, &found);
    if (!rc && found)
        r->report->prep_from = "metadata";
    else if (!rc)
        rc = prep_from_sidecar(&p, r->path, channels, &r->report->prep_from, r->report->arena);
    if (rc || !*r->report->prep_from)
        return rc;
    return graph_prep_set(r->g, &p);
}

/* The graph's name, or the file's where the graph has the one that every export has. */
static const char *model_name(struct reader *r)
{
    static const char *const common[] = { "", "torch_jit", "torch-jit-export", "main_graph", "tf2onnx" };
    char plain[NAME_LENGTH + 1];
    const char *slash = strrchr(r->path, '/'), *name = r->og->name ? r->og->name : "";
    plain_name(plain, name);
    for (int i = 0; i < BASE_COUNT(common); i++)
        if (!strcmp(name, common[i])) {
            plain_name(plain, slash ? slash + 1 : r->path);
            char *dot = strrchr(plain, '.');
            if (dot && dot != plain)
                *dot = '\0';
        }
    return base_arena_strdup(r->arena, plain);
}

static int read_model(struct reader *r)
{
    r->og = r->model->graph;
    r->report->note = BASE_ARENA_NEW_N(r->report->arena, struct onnx_note, r->og->n_node);
    const char *name = model_name(r);
    r->g = name ? graph_new(name) : NULL;
    int rc = r->g && r->report->note ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = read_opset(r);
    r->report->opset = r->opset;
    if (!rc)
        rc = check_nodes(r);
    if (!rc)
        rc = read_nodes(r);
    if (!rc && r->report->refused)
        rc = all_refusals(r);
    if (!rc)
        rc = read_output(r);
    if (!rc)
        rc = read_prep(r);
    return rc;
}

void onnx_report_free(struct onnx_report *r)
{
    base_arena_free(r->arena);
    memset(r, 0, sizeof *r);
}

int onnx_read_report(struct graph **out, struct onnx_report *report, const char *path)
{
    struct reader r = { .path = path, .arena = base_arena_new(), .report = report, .batch = 1 };
    *out = NULL;
    *report = (struct onnx_report){ .arena = base_arena_new(), .layout = "", .prep_from = "" };
    int rc = r.arena && report->arena ? proto_read(&r.model, path) : BASE_NOMEM;
    if (!rc)
        rc = read_model(&r);
    if (!rc) {
        *out = r.g;
        r.g = NULL;
    }
    proto_free(r.model);
    graph_free(r.g);
    base_free(r.table);
    base_arena_free(r.arena);
    return rc;
}

int onnx_read(struct graph **out, const char *path)
{
    struct onnx_report report;
    int rc = onnx_read_report(out, &report, path);
    onnx_report_free(&report);
    return rc;
}
