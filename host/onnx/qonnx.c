/* qonnx.c: what a QONNX file has in place of QuantizeLinear and DequantizeLinear: Quant, whose width is any
 * number of bits, and BipolarQuant. Both map floats to floats on a grid. */
#include <string.h>

#include "onnx/qdq.h"

static void quant(struct writer *w, char *name, const char *value, const char *scale, int bits, bool is_signed)
{
    const char *prefix = name ? name : "";
    Onnx__NodeProto *n = write_node(w, "Quant", name);
    write_domain(w, n, QONNX_DOMAIN);
    write_input(w, n, value);
    write_input(w, n, scale);
    write_input(w, n, write_scalar(w, prefix, ".zero", WRITE_FLOAT, 0));
    write_input(w, n, write_scalar(w, prefix, ".bitwidth", WRITE_FLOAT, bits));
    write_int(w, n, "signed", is_signed);
    write_int(w, n, "narrow", 0);
    write_text(w, n, "rounding_mode", "ROUND");
}

void qonnx_edge(struct qdq *q, int edge, const char *value)
{
    const struct fixed_edge *e = &q->net->edge[edge];
    char *name = qdq_name(q, "edge", edge, -1, "");
    quant(&q->w, name, value, write_scalar(&q->w, name ? name : "", ".scale", WRITE_FLOAT, q->scale[edge]), e->bits, e->is_signed);
}

void qonnx_input(struct qdq *q)
{
    struct writer *w = &q->w;
    const struct fixed_edge *e = &q->net->edge[0];
    char *codes = qdq_name(q, "edge", 0, -1, ".codes");
    write_opset(w, QONNX_DOMAIN, 1);
    write_model_input(w, "input", (const int[3]){ e->c, e->h, e->w }, 3);
    quant(w, codes, "input", write_scalar(w, "input", ".scale", WRITE_FLOAT, 1), 8, false);
    float *pad = write_tensor(w, "input.pad", WRITE_FLOAT, (const int64_t[4]){ 1, e->c, 1, 1 }, 4);
    for (int c = 0; pad && e->pad && c < e->c; c++)
        pad[c] = e->pad[c];
    qdq_binary(q, "Sub", qdq_name(q, "edge", 0, -1, ""), codes, "input.pad");
}

char *qonnx_codes(struct qdq *q, int edge)
{
    char *name = qdq_name(q, "edge", edge, -1, ".codes");
    if (!edge) /* there: before the padding values are taken away */
        return name;
    char *factor = write_scalar(&q->w, name ? name : "", ".factor", WRITE_FLOAT, 1 / q->scale[edge]);
    return qdq_binary(q, "Mul", name, qdq_name(q, "edge", edge, -1, ""), factor);
}

/* Bits that hold lo..hi, at least `bits`. */
static int width(int lo, int hi, bool is_signed, int bits)
{
    while (hi > (1 << (bits - is_signed)) - 1 || (is_signed && lo < -(1 << (bits - 1))))
        bits++;
    return bits;
}

char *qonnx_weights(struct qdq *q, const struct fixed_term *t, char *name, const int8_t *v, const float *scale)
{
    struct writer *w = &q->w;
    int64_t each = (int64_t)t->cin * t->kh * t->kw;
    int lo = 0, hi = 0;
    bool zero = false;
    char *real = write_name(w, name ? name : "", ".real"), *scales = write_name(w, name ? name : "", ".scale");
    float *to = write_tensor(w, real, WRITE_FLOAT, (const int64_t[4]){ t->cout, t->cin, t->kh, t->kw }, 4);
    float *s = write_tensor(w, scales, WRITE_FLOAT, (const int64_t[4]){ t->cout, 1, 1, 1 }, 4);
    if (!to || !s)
        return NULL;
    memcpy(s, scale, sizeof *s * (size_t)t->cout);
    for (int64_t i = 0; i < t->cout * each; i++) {
        to[i] = (float)v[i] * scale[i / each];
        lo = BASE_MIN(lo, v[i]);
        hi = BASE_MAX(hi, v[i]);
        zero |= !v[i];
    }
    if (t->n_plane == 2 && t->w_bits == 1 && !zero && lo >= -1 && hi <= 1) {
        Onnx__NodeProto *n = write_node(w, "BipolarQuant", name);
        write_domain(w, n, QONNX_DOMAIN);
        write_input(w, n, real);
        write_input(w, n, scales);
        return name;
    }
    bool is_signed = lo < 0 || t->w_bits > 1;
    quant(w, name, real, scales, width(lo, hi, is_signed, is_signed ? BASE_MAX(t->w_bits, 2) : t->w_bits), is_signed);
    return name;
}
