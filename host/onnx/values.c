/* values.c: the table of the file's values, and what operators ask and say: operands, attributes, names, notes. */
#include <string.h>

#include "onnx/reader.h"

enum { MAX_VALUES = 1 << 20 };

/* ---- values ----------------------------------------------------------------------- */

static struct value *place(struct reader *r, const char *name)
{
    size_t i = base_hash64(0, name, strlen(name)) & r->mask;
    while (r->table[i].name && strcmp(r->table[i].name, name))
        i = (i + 1) & r->mask;
    return &r->table[i];
}

struct value *value_find(struct reader *r, const char *name)
{
    struct value *v = place(r, name);
    return v->name ? v : NULL;
}

/* Room for every name of the file, half empty. */
int value_table(struct reader *r)
{
    size_t names = r->og->n_initializer + r->og->n_input + 1, size = 64;
    for (size_t i = 0; i < r->og->n_node; i++)
        names += r->og->node[i]->n_input + r->og->node[i]->n_output;
    if (names > MAX_VALUES)
        return base_fail(BASE_INPUT, "%s: more than %d values", r->path, MAX_VALUES);
    while (size < 2 * names)
        size *= 2;
    r->table = BASE_NEW_N(struct value, size);
    r->mask = size - 1;
    return r->table ? BASE_OK : BASE_NOMEM;
}

struct value *value_enter(struct reader *r, const char *name)
{
    struct value *v = place(r, name);
    v->name = name;
    return v;
}

static const struct value *operand(struct reader *r, const node_t *n, size_t i)
{
    return i < n->n_input && *n->input[i] ? value_find(r, n->input[i]) : NULL;
}

bool in_absent(const node_t *n, size_t i)
{
    return i >= n->n_input || !*n->input[i];
}

const struct constant *in_constant(struct reader *r, const node_t *n, size_t i)
{
    const struct value *v = operand(r, n, i);
    return v && v->kind == VALUE_CONSTANT ? v->c : NULL;
}

const struct view *in_view(struct reader *r, const node_t *n, size_t i)
{
    const struct value *v = operand(r, n, i);
    return v && v->kind == VALUE_VIEW ? &v->v : NULL;
}

static struct value *define(struct reader *r, const node_t *n, enum value_kind kind)
{
    struct value *v = value_enter(r, n->output[0]);
    v->kind = kind;
    return v;
}

int define_constant(struct reader *r, const node_t *n, struct constant *c)
{
    constant_scan(c);
    define(r, n, VALUE_CONSTANT)->c = c;
    r->note->verdict = ONNX_FOLDED;
    return BASE_OK;
}

/* `same_node`: the view is of an operand's node, so that others may read the node too. */
int define_view(struct reader *r, const node_t *n, struct view view, bool same_node)
{
    struct value *v = define(r, n, VALUE_VIEW);
    view.sole = v->uses <= 1 && (view.sole || !same_node);
    v->v = view;
    return BASE_OK;
}

int define_node(struct reader *r, const node_t *n, int node)
{
    return define_view(r, n, view_of(r->g, node, r->batch, "NCHW"), false);
}

int define_like(struct reader *r, const node_t *n, int node, const struct view *v)
{
    struct view w = *v;
    w.node = node;
    return define_view(r, n, w, false);
}

/* ---- notes ------------------------------------------------------------------------ */

static int note(struct reader *r, enum onnx_verdict verdict, const char *fmt, va_list ap)
{
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    r->note->verdict = verdict;
    r->note->text = base_arena_strdup(r->report->arena, text);
    return r->note->text ? BASE_OK : BASE_NOMEM;
}

int refuse(struct reader *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = note(r, ONNX_REFUSED, fmt, ap);
    va_end(ap);
    return rc;
}

int lowered(struct reader *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = note(r, ONNX_LOWERED, fmt, ap);
    va_end(ap);
    return rc;
}

int folded(struct reader *r)
{
    r->note->verdict = ONNX_FOLDED;
    return BASE_OK;
}

int not_built(struct reader *r, int rc)
{
    const char *text = strstr(base_error(), "': ");
    return rc != BASE_INPUT ? rc : refuse(r, "%s", text ? text + 3 : base_error());
}

/* ---- names ------------------------------------------------------------------------ */

void plain_name(char to[NAME_LENGTH + 1], const char *name)
{
    size_t n = 0;
    for (; name[n] && n < NAME_LENGTH; n++) {
        char c = name[n];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("_./-:@+", c);
        to[n] = plain ? c : '_';
    }
    to[n] = '\0';
}

const char *file_name_of(const node_t *n)
{
    return n->name && *n->name ? n->name : n->n_output && *n->output[0] ? n->output[0] : "?";
}

const char *name_of(struct reader *r, const node_t *n, const char *suffix)
{
    char plain[NAME_LENGTH + 1], name[NAME_LENGTH + 64];
    plain_name(plain, file_name_of(n));
    snprintf(name, sizeof name, "%s%s", plain, suffix);
    for (int k = 0; graph_find(r->g, name) >= 0; k++)
        snprintf(name, sizeof name, "%s%s_%d_%d", plain, suffix, r->index, k);
    return base_arena_strdup(r->arena, name);
}

/* ---- attributes ------------------------------------------------------------------- */

const Onnx__AttributeProto *attribute(const node_t *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name))
            return n->attribute[i];
    return NULL;
}

int64_t attribute_int(const node_t *n, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = attribute(n, name);
    return a && a->has_i ? a->i : otherwise;
}

float attribute_float(const node_t *n, const char *name, float otherwise)
{
    const Onnx__AttributeProto *a = attribute(n, name);
    return a && a->has_f ? a->f : otherwise;
}

int read_ints(struct reader *r, const node_t *n, const char *name, int i, int64_t *out, int max)
{
    const Onnx__AttributeProto *a = name ? attribute(n, name) : NULL;
    const struct constant *c = i >= 0 ? in_constant(r, n, (size_t)i) : NULL;
    if (!a && (i < 0 || in_absent(n, (size_t)i)))
        return -1;
    if (!a && (!c || c->f))
        return -2;
    size_t count = a ? a->n_ints : (size_t)c->count;
    if (count > (size_t)max)
        return -2;
    for (size_t k = 0; k < count; k++)
        out[k] = a ? a->ints[k] : c->i[k];
    return (int)count;
}

int normal_axis(int64_t a, int rank)
{
    return a >= -rank && a < rank ? (int)(a < 0 ? a + rank : a) : -1;
}

/* ---- operands that are maps --------------------------------------------------------- */

/* -1 with the refusal noted, or the error. */
static int refused(int rc)
{
    return rc ? rc : -1;
}

/* Every step-th pixel becomes a Shortcut node; zeros around a map are a Conv's business. */
int settle(struct reader *r, const node_t *n, struct view *v)
{
    if (v->ended)
        return refused(refuse(r, "reads a Softmax, which is supported only as the last node"));
    if (v->quantized)
        return refused(refuse(r, "reads quantized integers: put a DequantizeLinear in front"));
    if (v->pad[0] || v->pad[1] || v->pad[2] || v->pad[3])
        return refused(refuse(r, "reads a map with zeros padded around it: only a Conv, or a MaxPool of a rectified map, can take them"));
    if (v->step[0] != v->step[1])
        return refused(refuse(r, "reads every %d-th row but every %d-th column: the steps must be equal", v->step[0], v->step[1]));
    if (v->step[0] == 1)
        return v->node;
    const char *name = name_of(r, n, ".step");
    int node = name ? graph_add_shortcut(r->g, name, v->node, r->g->node[v->node].shape.c, v->step[0], 0) : BASE_NOMEM;
    if (node < 0)
        return refused(not_built(r, node));
    v->node = node;
    v->step[0] = v->step[1] = 1;
    v->sole = true;
    return node;
}

int in_node(struct reader *r, const node_t *n, size_t i, struct view *v)
{
    const struct view *have = in_view(r, n, i);
    if (!have)
        return refused(refuse(r, in_absent(n, i) ? "operand %zu is missing" : "operand %zu must be computed from the input", i));
    *v = *have;
    return settle(r, n, v);
}

int in_map(struct reader *r, const node_t *n, size_t i)
{
    struct view v;
    int node = in_node(r, n, i, &v);
    if (node < 0 || view_is(&v, "NCHW"))
        return node;
    return refused(refuse(r, "its input is not a map N x channels x height x width"));
}
