/* ops_quant.c: QuantizeLinear and DequantizeLinear on maps. The network stays a float one: the pair is dropped,
 * its scale is noted on the node, and what its range cuts off below zero becomes a Relu. */
#include <math.h>

#include "onnx/reader.h"

/* One positive scale and its zero point; the type's range from the zero point's type. */
static const char *read_scale(struct reader *r, const node_t *n, float *scale, int *zero)
{
    const struct constant *s = in_constant(r, n, 1), *z = in_constant(r, n, 2);
    if (!s || !s->f || s->count != 1 || !(s->f[0] > 0) || !isfinite(s->f[0]))
        return "one constant, positive scale for the whole map is supported";
    if (!in_absent(n, 2) && (!z || z->f || z->count != 1 || z->i[0] < -65536 || z->i[0] > 65536))
        return "its zero point must be one constant integer";
    *scale = s->f[0];
    *zero = z ? (int)z->i[0] : 0;
    return NULL;
}

/* Type of the integers: of the zero point's tensor, else the output_dtype, else uint8. */
static bool is_unsigned(struct reader *r, const node_t *n)
{
    int64_t type = attribute_int(n, "output_dtype", 0);
    if (!in_absent(n, 2) && value_find(r, n->input[2])->c)
        type = value_find(r, n->input[2])->c->type;
    return !type || type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 || type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT16;
}

int take_quantize(struct reader *r, const node_t *n)
{
    float scale;
    int zero;
    struct view v;
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    const char *why = read_scale(r, n, &scale, &zero);
    if (why)
        return refuse(r, "%s", why);
    if (in && is_unsigned(r, n) && zero == 0 && !nonnegative(r->g, in)) {
        int node = add_relu(r, n, &v, GRAPH_RELU, ".relu");
        if (node < 0)
            return not_built(r, node);
        v.node = node;
        v.sole = true;
    }
    r->quantized = true;
    struct graph_node *g = &r->g->node[v.node];
    g->quant_scale = scale;
    g->quant_zero = zero;
    v.quantized = true;
    v.scale = scale;
    v.zero = zero;
    int rc = define_view(r, n, v, v.node == in);
    return rc ? rc : lowered(r, v.node == in ? "dropped, its scale is noted" : "as a Relu: its range begins at zero");
}

/* Scales and zero points of their own for each channel: y = (q - zero[c]) * scale[c] of q = x / s. */
static int dequantize_channels(struct reader *r, const node_t *n, const struct view *v, const struct constant *scale, const struct constant *zero)
{
    int axis = normal_axis(attribute_int(n, "axis", 1), v->rank), channels = v->size[AXIS_C], out;
    if (axis < 0 || view_axis(v, axis) != AXIS_C || scale->count != channels || (zero && zero->count != channels) || v->zero)
        return refuse(r, "one scale and zero point, or one a channel, is supported");
    float *factor = BASE_ARENA_NEW_N(r->arena, float, channels), *offset = BASE_ARENA_NEW_N(r->arena, float, channels);
    if (!factor || !offset)
        return BASE_NOMEM;
    for (int c = 0; c < channels; c++) {
        if (!(scale->f[c] > 0) || !isfinite(scale->f[c]))
            return refuse(r, "its scales must be positive");
        factor[c] = scale->f[c] / v->scale;
        offset[c] = zero ? -(float)zero->i[c] * scale->f[c] : 0;
    }
    struct view w = *v;
    w.quantized = false;
    int rc = apply_affine(r, n, &w, factor, offset, &out);
    if (rc || r->note->verdict == ONNX_REFUSED)
        return rc;
    return out == w.node ? define_view(r, n, w, true) : define_like(r, n, out, &w);
}

int take_dequantize(struct reader *r, const node_t *n)
{
    const struct view *v = in_view(r, n, 0);
    const struct constant *s = in_constant(r, n, 1), *z = in_constant(r, n, 2);
    float scale;
    int zero;
    if (!v || !v->quantized)
        return refuse(r, "its input must come from a QuantizeLinear, or be constant");
    if (s && s->f && s->count > 1 && (in_absent(n, 2) || (z && z->i)))
        return dequantize_channels(r, n, v, s, z);
    const char *why = read_scale(r, n, &scale, &zero);
    if (!why && (scale != v->scale || zero != v->zero))
        why = "its scale and zero point are not those of the QuantizeLinear in front";
    if (why)
        return refuse(r, "%s", why);
    struct view w = *v;
    w.quantized = false;
    int rc = define_view(r, n, w, true);
    return rc ? rc : lowered(r, "dropped");
}

/* The network read is a float one: it rounds nothing. */
int take_round(struct reader *r, const node_t *n)
{
    struct view v;
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    if (!r->quantized)
        return refuse(r, "is supported only in quantized models, behind a QuantizeLinear");
    int rc = define_view(r, n, v, true);
    return rc ? rc : lowered(r, "dropped");
}
