/* qdq_term.c: terms of an integer layer as ONNX's Conv, without rounding: integers times powers of two. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/qdq.h"

/* ---- coefficients ------------------------------------------------------------------------ */

static int32_t coefficient(const struct fixed_term *t, const struct fixed_edge *e, int o, int plane, int j)
{
    return t->coef[((int64_t)(t->coef_shared ? 0 : o) * t->n_plane + plane) * e->bits + j];
}

/* Do the coefficients of each weight plane double from bit to bit, so that the activation counts as a number? */
static bool is_linear(const struct fixed_term *t, const struct fixed_edge *e)
{
    for (int o = 0; o < (t->coef_shared ? 1 : t->cout); o++)
        for (int k = 0; k < t->n_plane; k++)
            for (int j = 0; j < e->bits; j++) {
                int64_t sign = e->is_signed && j == e->bits - 1 ? -1 : 1;
                int32_t first = e->is_signed && e->bits == 1 ? -coefficient(t, e, o, k, 0) : coefficient(t, e, o, k, 0);
                if (coefficient(t, e, o, k, j) != sign * first * ((int64_t)1 << j))
                    return false;
            }
    return true;
}

/* Uniform weights: value of each plane in units of the weight's step; false: the planes are something else. */
static bool uniform_planes(const struct fixed_term *t, int *plane)
{
    if (t->w_bits == 1 && t->n_plane == 2) {
        plane[0] = 2;
        plane[1] = -1;
        return true;
    }
    if (t->n_plane != t->w_bits || t->n_plane > 8)
        return false;
    for (int k = 0; k < t->n_plane; k++)
        plane[k] = t->n_plane > 1 && k == t->n_plane - 1 ? -(1 << k) : 1 << k;
    return true;
}

/* The step of output o's weights, of which every plane is its multiple; 0: they are not. */
static int32_t step_of(const struct fixed_term *t, const struct fixed_edge *e, int o, const int *plane)
{
    int32_t step = coefficient(t, e, o, 0, 0) / plane[0];
    for (int k = 0; k < t->n_plane; k++)
        if (coefficient(t, e, o, k, 0) != (int64_t)step * plane[k])
            return 0;
    return step;
}

/* ---- weights ----------------------------------------------------------------------------- */

static int64_t value_of(uint16_t code, const int32_t *plane, int n)
{
    int64_t v = 0;
    for (int k = 0; k < n; k++)
        v += code >> k & 1 ? plane[k] : 0;
    return v;
}

/* Index into code [cout][kh][kw][cin] of ONNX's [cout][cin][kh][kw]. */
static int64_t code_at(const struct fixed_term *t, int64_t o, int64_t i, int64_t tap)
{
    return (o * t->kh * t->kw + tap) * t->cin + i;
}

/* Zeros of ONNX's padding are padding values in the integer network: each weight sees its channel's. */
static void pad_into_sum(struct qdq *q, const struct fixed_term *t, int o, int64_t i, int64_t value)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    if (e->pad)
        q->pad[t->chan + o] += value * e->pad[t->depthwise ? o : i];
}

/* Any levels: the sums of the planes' coefficients, as floats. */
static char *float_weights(struct qdq *q, const struct fixed_term *t, int layer, int term)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    char *name = qdq_name(q, "layer", layer, term, ".weight");
    float *to = write_tensor(&q->w, name, WRITE_FLOAT, (const int64_t[4]){ t->cout, t->cin, t->kh, t->kw }, 4);
    int32_t plane[FIXED_MAX_PLANES];
    for (int o = 0; to && o < t->cout; o++) {
        for (int k = 0; k < t->n_plane; k++)
            plane[k] = coefficient(t, e, o, k, 0);
        for (int64_t i = 0; i < t->cin; i++)
            for (int64_t tap = 0; tap < t->kh * t->kw; tap++) {
                int64_t v = value_of(t->code[code_at(t, o, i, tap)], plane, t->n_plane);
                *to++ = (float)((double)v * q->unit[t->chan + o] / q->scale[t->edge]);
                pad_into_sum(q, t, o, i, v);
            }
    }
    return name;
}

/* int8 behind a DequantizeLinear. */
static char *dequantized(struct qdq *q, const struct fixed_term *t, char *name, const int8_t *v, const float *scale)
{
    struct writer *w = &q->w;
    char *codes = write_name(w, name ? name : "", ".int8"), *zeros = write_name(w, name ? name : "", ".zero");
    int8_t *to = write_tensor(w, codes, WRITE_INT8, (const int64_t[4]){ t->cout, t->cin, t->kh, t->kw }, 4);
    if (to)
        memcpy(to, v, (size_t)t->cout * (size_t)t->cin * (size_t)(t->kh * t->kw));
    char *scales = write_floats(w, name ? name : "", ".scale", scale, t->cout);
    write_tensor(w, zeros, WRITE_INT8, (const int64_t[1]){ t->cout }, 1);
    Onnx__NodeProto *n = write_node(w, "DequantizeLinear", name);
    write_input(w, n, codes);
    write_input(w, n, scales);
    write_input(w, n, zeros);
    write_int(w, n, "axis", 0);
    return name;
}

/* Uniform levels; `step`: coefficient of one step of each output's weights. */
static char *integer_weights(struct qdq *q, const struct fixed_term *t, int layer, int term, const int *plane, const int32_t *step)
{
    char *name = qdq_name(q, "layer", layer, term, ".weight");
    int64_t each = (int64_t)t->cin * t->kh * t->kw;
    int8_t *values = base_arena_alloc(q->w.a, (size_t)(t->cout * each)), *to = values;
    float *scale = base_arena_alloc(q->w.a, sizeof(float) * (size_t)t->cout);
    if (!values || !scale) {
        q->w.failed = true;
        return NULL;
    }
    for (int o = 0; o < t->cout; o++) {
        scale[o] = (float)(abs(step[o]) * q->unit[t->chan + o] / q->scale[t->edge]);
        for (int64_t i = 0; i < t->cin; i++)
            for (int64_t tap = 0; tap < t->kh * t->kw; tap++) {
                int64_t v = value_of(t->code[code_at(t, o, i, tap)], plane, t->n_plane);
                *to++ = (int8_t)(step[o] < 0 ? -v : v);
                pad_into_sum(q, t, o, i, v * step[o]);
            }
    }
    return q->qonnx ? qonnx_weights(q, t, name, values, scale) : dequantized(q, t, name, values, scale);
}

static char *weights(struct qdq *q, const struct fixed_term *t, int layer, int term)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    int plane[FIXED_MAX_PLANES] = { 0 };
    int32_t *step = base_arena_alloc(q->w.a, sizeof(int32_t) * (size_t)t->cout);
    bool fits = t->n_plane > 0 && uniform_planes(t, plane);
    if (!step) {
        q->w.failed = true;
        return NULL;
    }
    for (int o = 0; fits && o < t->cout; o++) {
        step[o] = step_of(t, e, o, plane);
        fits = step[o] && (step[o] > 0 || t->w_bits < 8); /* -(-128) has no place in int8 */
    }
    return fits ? integer_weights(q, t, layer, term, plane, step) : float_weights(q, t, layer, term);
}

/* ---- bits: terms whose planes have coefficients of their own -------------------------------- */

/* Bits of the pixels that padding stands for are taken away: zeros of ONNX's padding are then those. */
static char *less_padding(struct qdq *q, char *bits)
{
    const struct fixed_edge *e = &q->net->edge[0];
    float *pad = write_tensor(&q->w, "edge0.bits.pad", WRITE_FLOAT, (const int64_t[4]){ 1, e->c * e->bits, 1, 1 }, 4);
    for (int i = 0; pad && i < e->c * e->bits; i++)
        pad[i] = (float)(e->pad[i / e->bits] >> i % e->bits & 1);
    return qdq_binary(q, "Sub", qdq_name(q, "edge", 0, -1, ".bits"), bits, "edge0.bits.pad");
}

static char *float_codes(struct qdq *q, int edge)
{
    char *name = qdq_name(q, "edge", edge, -1, ".bits.cast");
    Onnx__NodeProto *n = write_node(&q->w, "Cast", name);
    write_input(&q->w, n, qdq_name(q, "edge", edge, -1, ".codes"));
    write_int(&q->w, n, "to", WRITE_FLOAT);
    return name;
}

/* N x (channels * bits) x H x W of zeros and ones, two's complement: floor(code / 2^j) mod 2. */
static char *edge_bits(struct qdq *q, int edge)
{
    const struct fixed_edge *e = &q->net->edge[edge];
    bool padded = e->pad != NULL;
    char *name = qdq_name(q, "edge", edge, -1, ".bits"), *value;
    if (q->bits_made[edge])
        return name;
    q->bits_made[edge] = true;
    char *steps = qdq_name(q, "edge", edge, -1, ".bits.steps");
    float *step = write_tensor(&q->w, steps, WRITE_FLOAT, (const int64_t[3]){ e->bits, 1, 1 }, 3);
    for (int j = 0; step && j < e->bits; j++)
        step[j] = ldexpf(1, -j);
    char *half = write_scalar(&q->w, name ? name : "", ".half", WRITE_FLOAT, 0.5), *two = write_scalar(&q->w, name ? name : "", ".two", WRITE_FLOAT, 2);
    value = q->qonnx ? qonnx_codes(q, edge) : float_codes(q, edge);
    value = qdq_binary(q, "Unsqueeze", qdq_name(q, "edge", edge, -1, ".bits.each"), value, write_ints(&q->w, name ? name : "", ".axis", (const int64_t[1]){ 2 }, 1));
    value = qdq_unary(q, "Floor", qdq_name(q, "edge", edge, -1, ".bits.shifted"), qdq_binary(q, "Mul", qdq_name(q, "edge", edge, -1, ".bits.parts"), value, steps));
    char *above = qdq_unary(q, "Floor", qdq_name(q, "edge", edge, -1, ".bits.above"), qdq_binary(q, "Mul", qdq_name(q, "edge", edge, -1, ".bits.halves"), value, half));
    above = qdq_binary(q, "Mul", qdq_name(q, "edge", edge, -1, ".bits.even"), above, two);
    value = qdq_binary(q, "Sub", qdq_name(q, "edge", edge, -1, ".bits.split"), value, above);
    char *shape = write_ints(&q->w, name ? name : "", ".shape", (const int64_t[4]){ 0, -1, e->h, e->w }, 4);
    value = qdq_binary(q, "Reshape", padded ? qdq_name(q, "edge", edge, -1, ".bits.joined") : name, value, shape);
    return padded ? less_padding(q, value) : name;
}

/* Weights of the Conv on bits: what a weight's planes together give for each bit. */
static char *bit_weights(struct qdq *q, const struct fixed_term *t, int layer, int term)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    char *name = qdq_name(q, "layer", layer, term, ".weight");
    float *to = write_tensor(&q->w, name, WRITE_FLOAT, (const int64_t[4]){ t->cout, (int64_t)t->cin * e->bits, t->kh, t->kw }, 4);
    int32_t plane[FIXED_MAX_PLANES];
    for (int o = 0; to && o < t->cout; o++)
        for (int64_t i = 0; i < t->cin; i++)
            for (int j = 0; j < e->bits; j++) {
                for (int k = 0; k < t->n_plane; k++)
                    plane[k] = coefficient(t, e, o, k, j);
                for (int64_t tap = 0; tap < t->kh * t->kw; tap++) {
                    int64_t v = value_of(t->code[code_at(t, o, i, tap)], plane, t->n_plane);
                    *to++ = (float)((double)v * q->unit[t->chan + o]);
                    q->pad[t->chan + o] += e->pad && e->pad[t->depthwise ? o : i] >> j & 1 ? v : 0;
                }
            }
    return name;
}

/* ---- the term -------------------------------------------------------------------------------- */

int qdq_pad_behind(int in, int out, int kernel, int stride, int pad)
{
    return (out - 1) * stride + kernel - pad - in;
}

/* The part of the edge that the term reads: rows and columns behind the last window and channels are cut off. */
char *qdq_input(struct qdq *q, const struct fixed_term *t, int layer, int term, int pb, int pr, bool bits)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    char *edge = bits ? edge_bits(q, t->edge) : qdq_name(q, "edge", t->edge, -1, "");
    int each = bits ? e->bits : 1;
    bool cut = t->depthwise && t->cout < e->c;
    if (pb >= 0 && pr >= 0 && !cut)
        return edge;
    struct writer *w = &q->w;
    char *name = qdq_name(q, "layer", layer, term, ".part");
    Onnx__NodeProto *n = write_node(w, "Slice", name);
    write_input(w, n, edge);
    write_input(w, n, write_ints(w, name, ".starts", (const int64_t[3]){ 0, 0, 0 }, 3));
    write_input(w, n, write_ints(w, name, ".ends", (const int64_t[3]){ each * (cut ? t->cout : e->c), e->h + BASE_MIN(pb, 0), e->w + BASE_MIN(pr, 0) }, 3));
    write_input(w, n, write_ints(w, name, ".axes", (const int64_t[3]){ 1, 2, 3 }, 3));
    return name;
}

void qdq_window(struct writer *w, Onnx__NodeProto *n, const struct fixed_term *t, int pb, int pr)
{
    write_int_list(w, n, "kernel_shape", (const int64_t[2]){ t->kh, t->kw }, 2);
    write_int_list(w, n, "strides", (const int64_t[2]){ t->stride, t->stride }, 2);
    write_int_list(w, n, "pads", (const int64_t[4]){ t->pad_t, t->pad_l, BASE_MAX(pb, 0), BASE_MAX(pr, 0) }, 4);
}

char *qdq_term(struct qdq *q, int layer, int term)
{
    const struct fixed_layer *l = q->l;
    const struct fixed_term *t = &l->term[term];
    const struct fixed_edge *e = &q->net->edge[t->edge];
    int pb = qdq_pad_behind(e->h, l->h, t->kh, t->stride, t->pad_t), pr = qdq_pad_behind(e->w, l->w, t->kw, t->stride, t->pad_l);
    bool bits = !is_linear(t, e);
    char *in = qdq_input(q, t, layer, term, pb, pr, bits), *weight = bits ? bit_weights(q, t, layer, term) : weights(q, t, layer, term), *name = qdq_name(q, "layer", layer, term, "");
    Onnx__NodeProto *n = write_node(&q->w, "Conv", name);
    write_input(&q->w, n, in);
    write_input(&q->w, n, weight);
    qdq_window(&q->w, n, t, pb, pr);
    write_int(&q->w, n, "group", t->depthwise ? t->cout : 1);
    return name;
}
