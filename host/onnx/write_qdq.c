/* write_qdq.c: an integer network as ONNX with QuantizeLinear and DequantizeLinear.
 *
 * Each edge is a QuantizeLinear (uint8 or int8, clipped to its bits in front) and a DequantizeLinear. Each term
 * of a layer is a Conv on dequantized int8 weights whose scale per output channel is the effective one: one
 * unit of the term's integer sum times M[c] / 2^S, in the output's scale. What B[c] adds, less the rounding that
 * QuantizeLinear does itself, is the bias. The input is raw pixels, 0..255; its DequantizeLinear takes the
 * padding value of each channel as zero point, so that ONNX's padding with zeros pads with that value.
 *
 * A term with a ratio of its own has a rounded coefficient for each pair of planes, which no single scale can
 * say. Such a term is a Conv on the bits of its edge, with the coefficients as weights: exact as well. */
#include <math.h>
#include <string.h>

#include "onnx/writer.h"

struct qdq {
    struct writer w;
    const struct fixed_net *net;
    const struct fixed_layer *l;     /* at hand */
    double out;                      /* scale of its output */
    double *bias;                    /* [l->c], real */
    bool *bits_made;                 /* [n_edge]: the edge's bits are there */
};

/* ---- names and scales ---------------------------------------------------------------- */

static char *numbered(struct qdq *q, const char *what, int layer, int term, const char *suffix)
{
    char s[96];
    if (term < 0)
        snprintf(s, sizeof s, "%s%d%s", what, layer, suffix);
    else
        snprintf(s, sizeof s, "%s%d.%d%s", what, layer, term, suffix);
    return write_name(&q->w, s, "");
}

/* Name of an edge's real values. */
static char *edge_name(struct qdq *q, int edge)
{
    return numbered(q, "edge", edge, -1, "");
}

/* Information only, but it must be a number that floats hold. */
static double edge_scale(const struct fixed_net *net, int edge)
{
    double s = edge ? net->edge[edge].scale : 1;
    return s > 1e-20 && s < 1e20 ? s : 1;
}

/* Real value of one step of the accumulator of channel c. */
static double acc_scale(const struct qdq *q, int c)
{
    return ldexp((double)q->l->m[c], -q->l->s) * q->out;
}

/* ---- weights --------------------------------------------------------------------------- */

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
                if (coefficient(t, e, o, k, j) != sign * ((int64_t)first << j))
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

static double value_of(uint16_t code, const double *plane, int n)
{
    double v = 0;
    for (int k = 0; k < n; k++)
        v += code >> k & 1 ? plane[k] : 0;
    return v;
}

/* Index into code [cout][kh][kw][cin] of ONNX's [cout][cin][kh][kw]. */
static int64_t code_at(const struct fixed_term *t, int64_t o, int64_t i, int64_t tap)
{
    return (o * t->kh * t->kw + tap) * t->cin + i;
}

/* Zeros of the input are padding values in the integer network: each weight sees its channel's. */
static void pad_into_bias(struct qdq *q, const struct fixed_term *t, int o, int64_t i, double real)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    if (e->pad)
        q->bias[t->chan + o] += real * e->pad[t->depthwise ? o : i];
}

/* The term's weights, real, for any levels. */
static char *float_weights(struct qdq *q, const struct fixed_term *t, int layer, int term)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    char *name = numbered(q, "layer", layer, term, ".weight");
    float *to = write_tensor(&q->w, name, WRITE_FLOAT, (const int64_t[4]){ t->cout, t->cin, t->kh, t->kw }, 4);
    double plane[FIXED_MAX_PLANES], in = edge_scale(q->net, t->edge);
    for (int o = 0; to && o < t->cout; o++) {
        for (int k = 0; k < t->n_plane; k++)
            plane[k] = coefficient(t, e, o, k, 0) * acc_scale(q, t->chan + o);
        for (int64_t i = 0; i < t->cin; i++)
            for (int64_t tap = 0; tap < t->kh * t->kw; tap++) {
                double v = value_of(t->code[code_at(t, o, i, tap)], plane, t->n_plane);
                *to++ = (float)(v / in);
                pad_into_bias(q, t, o, i, v);
            }
    }
    return name;
}

/* The term's weights as int8 behind a DequantizeLinear; `step`: of each output's integers. */
static char *integer_weights(struct qdq *q, const struct fixed_term *t, int layer, int term, const int *plane, const int32_t *step)
{
    struct writer *w = &q->w;
    char *name = numbered(q, "layer", layer, term, ".weight"), *codes = numbered(q, "layer", layer, term, ".weight.int8");
    char *scales = numbered(q, "layer", layer, term, ".weight.scale"), *zeros = numbered(q, "layer", layer, term, ".weight.zero");
    int8_t *to = write_tensor(w, codes, WRITE_INT8, (const int64_t[4]){ t->cout, t->cin, t->kh, t->kw }, 4);
    float *scale = write_tensor(w, scales, WRITE_FLOAT, (const int64_t[1]){ t->cout }, 1);
    write_tensor(w, zeros, WRITE_INT8, (const int64_t[1]){ t->cout }, 1);
    double value[FIXED_MAX_PLANES];
    for (int k = 0; k < t->n_plane; k++)
        value[k] = plane[k];
    for (int o = 0; to && scale && o < t->cout; o++) {
        double unit = step[o] * acc_scale(q, t->chan + o);
        bool dead = !(fabs(unit) > 0);
        scale[o] = (float)(dead ? 1 : fabs(unit) / edge_scale(q->net, t->edge));
        for (int64_t i = 0; i < t->cin; i++)
            for (int64_t tap = 0; tap < t->kh * t->kw; tap++) {
                double v = dead ? 0 : value_of(t->code[code_at(t, o, i, tap)], value, t->n_plane);
                *to++ = (int8_t)(unit < 0 ? -v : v);
                pad_into_bias(q, t, o, i, v * unit);
            }
    }
    Onnx__NodeProto *n = write_node(w, "DequantizeLinear", name);
    write_input(w, n, codes);
    write_input(w, n, scales);
    write_input(w, n, zeros);
    write_int(w, n, "axis", 0);
    return name;
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

static char *binary(struct qdq *q, const char *type, char *name, const char *a, const char *b)
{
    Onnx__NodeProto *n = write_node(&q->w, type, name);
    write_input(&q->w, n, a);
    write_input(&q->w, n, b);
    return name;
}

static char *unary(struct qdq *q, const char *type, char *name, const char *a)
{
    write_input(&q->w, write_node(&q->w, type, name), a);
    return name;
}

/* Bits of the pixels that padding stands for are taken away: zeros of ONNX's padding are then those. */
static char *less_padding(struct qdq *q, char *bits)
{
    const struct fixed_edge *e = &q->net->edge[0];
    float *pad = write_tensor(&q->w, "edge0.bits.pad", WRITE_FLOAT, (const int64_t[4]){ 1, e->c * e->bits, 1, 1 }, 4);
    for (int i = 0; pad && i < e->c * e->bits; i++)
        pad[i] = (float)(e->pad[i / e->bits] >> i % e->bits & 1);
    return binary(q, "Sub", numbered(q, "edge", 0, -1, ".bits"), bits, "edge0.bits.pad");
}

/* N x (channels * bits) x H x W of zeros and ones, two's complement: floor(code / 2^j) mod 2. */
static char *edge_bits(struct qdq *q, int edge)
{
    const struct fixed_edge *e = &q->net->edge[edge];
    bool padded = e->pad != NULL;
    char *name = numbered(q, "edge", edge, -1, ".bits"), *value = numbered(q, "edge", edge, -1, ".codes");
    if (q->bits_made[edge])
        return name;
    q->bits_made[edge] = true;
    char *steps = numbered(q, "edge", edge, -1, ".bits.steps");
    float *step = write_tensor(&q->w, steps, WRITE_FLOAT, (const int64_t[3]){ e->bits, 1, 1 }, 3);
    for (int j = 0; step && j < e->bits; j++)
        step[j] = ldexpf(1, -j);
    char *half = write_scalar(&q->w, name ? name : "", ".half", WRITE_FLOAT, 0.5), *two = write_scalar(&q->w, name ? name : "", ".two", WRITE_FLOAT, 2);
    Onnx__NodeProto *n = write_node(&q->w, "Cast", numbered(q, "edge", edge, -1, ".bits.cast"));
    write_input(&q->w, n, value);
    write_int(&q->w, n, "to", WRITE_FLOAT);
    value = binary(q, "Unsqueeze", numbered(q, "edge", edge, -1, ".bits.each"), numbered(q, "edge", edge, -1, ".bits.cast"), write_ints(&q->w, name ? name : "", ".axis", (const int64_t[1]){ 2 }, 1));
    value = unary(q, "Floor", numbered(q, "edge", edge, -1, ".bits.shifted"), binary(q, "Mul", numbered(q, "edge", edge, -1, ".bits.parts"), value, steps));
    char *above = unary(q, "Floor", numbered(q, "edge", edge, -1, ".bits.above"), binary(q, "Mul", numbered(q, "edge", edge, -1, ".bits.halves"), value, half));
    above = binary(q, "Mul", numbered(q, "edge", edge, -1, ".bits.even"), above, two);
    value = binary(q, "Sub", numbered(q, "edge", edge, -1, ".bits.split"), value, above);
    char *shape = write_ints(&q->w, name ? name : "", ".shape", (const int64_t[4]){ 0, -1, e->h, e->w }, 4);
    value = binary(q, "Reshape", padded ? numbered(q, "edge", edge, -1, ".bits.joined") : name, value, shape);
    return padded ? less_padding(q, value) : name;
}

/* Weights of the Conv on bits: what a weight's planes together give for each bit. */
static char *bit_weights(struct qdq *q, const struct fixed_term *t, int layer, int term)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    char *name = numbered(q, "layer", layer, term, ".weight");
    float *to = write_tensor(&q->w, name, WRITE_FLOAT, (const int64_t[4]){ t->cout, (int64_t)t->cin * e->bits, t->kh, t->kw }, 4);
    for (int o = 0; to && o < t->cout; o++)
        for (int64_t i = 0; i < t->cin; i++)
            for (int j = 0; j < e->bits; j++)
                for (int64_t tap = 0; tap < t->kh * t->kw; tap++) {
                    uint16_t code = t->code[code_at(t, o, i, tap)];
                    double v = 0;
                    for (int k = 0; k < t->n_plane; k++)
                        v += code >> k & 1 ? coefficient(t, e, o, k, j) : 0;
                    v *= acc_scale(q, t->chan + o);
                    *to++ = (float)v;
                    if (e->pad && e->pad[t->depthwise ? o : i] >> j & 1)
                        q->bias[t->chan + o] += v;
                }
    return name;
}

/* ---- terms --------------------------------------------------------------------------------- */

/* Padding behind, so that a side of `in` gives `out` windows; negative: the rest is never read. */
static int pad_behind(int in, int out, int kernel, int stride, int pad)
{
    return (out - 1) * stride + kernel - pad - in;
}

/* The part of the edge that the term reads: rows and columns behind the last window and channels are cut off. */
static char *term_input(struct qdq *q, const struct fixed_term *t, int layer, int term, int pb, int pr, bool bits)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    char *edge = bits ? edge_bits(q, t->edge) : edge_name(q, t->edge);
    int each = bits ? e->bits : 1;
    bool cut = t->depthwise && t->cout < e->c;
    if (pb >= 0 && pr >= 0 && !cut)
        return edge;
    struct writer *w = &q->w;
    char *name = numbered(q, "layer", layer, term, ".part");
    Onnx__NodeProto *n = write_node(w, "Slice", name);
    write_input(w, n, edge);
    write_input(w, n, write_ints(w, name, ".starts", (const int64_t[3]){ 0, 0, 0 }, 3));
    write_input(w, n, write_ints(w, name, ".ends", (const int64_t[3]){ each * (cut ? t->cout : e->c), e->h + BASE_MIN(pb, 0), e->w + BASE_MIN(pr, 0) }, 3));
    write_input(w, n, write_ints(w, name, ".axes", (const int64_t[3]){ 1, 2, 3 }, 3));
    return name;
}

static void window(struct writer *w, Onnx__NodeProto *n, const struct fixed_term *t, int pb, int pr)
{
    write_int_list(w, n, "kernel_shape", (const int64_t[2]){ t->kh, t->kw }, 2);
    write_int_list(w, n, "strides", (const int64_t[2]){ t->stride, t->stride }, 2);
    write_int_list(w, n, "pads", (const int64_t[4]){ t->pad_t, t->pad_l, BASE_MAX(pb, 0), BASE_MAX(pr, 0) }, 4);
}

/* The term as a Conv of its own channels. */
static char *term_conv(struct qdq *q, int layer, int term)
{
    const struct fixed_layer *l = q->l;
    const struct fixed_term *t = &l->term[term];
    const struct fixed_edge *e = &q->net->edge[t->edge];
    int pb = pad_behind(e->h, l->h, t->kh, t->stride, t->pad_t), pr = pad_behind(e->w, l->w, t->kw, t->stride, t->pad_l);
    bool bits = !is_linear(t, e);
    char *in = term_input(q, t, layer, term, pb, pr, bits), *weight = bits ? bit_weights(q, t, layer, term) : weights(q, t, layer, term), *name = numbered(q, "layer", layer, term, "");
    Onnx__NodeProto *n = write_node(&q->w, "Conv", name);
    write_input(&q->w, n, in);
    write_input(&q->w, n, weight);
    window(&q->w, n, t, pb, pr);
    write_int(&q->w, n, "group", t->depthwise ? t->cout : 1);
    return name;
}

/* Zero channels around a term that adds to some only. */
static char *term_spread(struct qdq *q, const struct fixed_term *t, int layer, int term, char *value)
{
    if (t->cout == q->l->c)
        return value;
    char *name = numbered(q, "layer", layer, term, ".spread");
    Onnx__NodeProto *n = write_node(&q->w, "Pad", name);
    write_input(&q->w, n, value);
    write_input(&q->w, n, write_ints(&q->w, name, ".pads", (const int64_t[8]){ 0, t->chan, 0, 0, 0, q->l->c - t->chan - t->cout, 0, 0 }, 8));
    return name;
}

/* Terms that share out the channels in order are joined, others are added. */
static bool joined(const struct fixed_layer *l)
{
    int c = 0;
    for (int k = 0; k < l->n_term; c += l->term[k++].cout)
        if (l->term[k].chan != c)
            return false;
    return l->n_term > 1 && c == l->c;
}

static char *join_terms(struct qdq *q, int layer)
{
    char *name = numbered(q, "layer", layer, -1, ".join");
    Onnx__NodeProto *n = write_node(&q->w, "Concat", name);
    write_int(&q->w, n, "axis", 1);
    for (int k = 0; k < q->l->n_term; k++)
        write_input(&q->w, n, numbered(q, "layer", layer, k, ""));
    return name;
}

static char *sum_terms(struct qdq *q, int layer)
{
    const struct fixed_layer *l = q->l;
    char *sum = NULL;
    for (int k = 0; k < l->n_term; k++)
        term_conv(q, layer, k);
    if (joined(l))
        return join_terms(q, layer);
    for (int k = 0; k < l->n_term; k++) {
        char *value = term_spread(q, &l->term[k], layer, k, numbered(q, "layer", layer, k, ""));
        sum = sum ? binary(q, "Add", numbered(q, "layer", layer, k, ".sum"), sum, value) : value;
    }
    return sum;
}

/* B[c] / 2^S without its rounding constant; ties go up, which QuantizeLinear leaves to even codes: half of the
 * smallest step more settles them. */
static void start_bias(struct qdq *q)
{
    const struct fixed_layer *l = q->l;
    for (int c = 0; c < l->c; c++)
        q->bias[c] = ldexp((double)(l->b[c] - ((int64_t)1 << (l->s - 1))) + 0.5, -l->s) * q->out;
}

static char *add_bias(struct qdq *q, int layer, char *sum)
{
    char *name = numbered(q, "layer", layer, -1, ".bias");
    float *to = write_tensor(&q->w, name, WRITE_FLOAT, (const int64_t[4]){ 1, q->l->c, 1, 1 }, 4);
    for (int c = 0; to && c < q->l->c; c++)
        to[c] = (float)q->bias[c];
    return binary(q, "Add", numbered(q, "layer", layer, -1, ""), sum, name);
}

/* ---- logits ------------------------------------------------------------------------------------ */

enum { COARSE = 1 << 18 };

/* Are the integer logits so small that their rounding decides between classes? */
static bool coarse_logits(const struct qdq *q, int layer)
{
    double top = 0;
    for (int c = 0; c < q->l->c; c++) {
        int64_t lo, hi;
        fixed_acc_range(q->net, layer, c, &lo, &hi);
        top = fmax(top, ldexp(fmax(fabs((double)lo), fabs((double)hi)) * q->l->m[c] + fabs((double)q->l->b[c]), -q->l->s));
    }
    return top < COARSE;
}

/* sum / scale + 1/2, rounded down, is the integer. */
static char *round_logits(struct qdq *q, char *sum)
{
    char *step = write_scalar(&q->w, "logits", ".step", WRITE_FLOAT, q->out), *half = write_scalar(&q->w, "logits", ".half", WRITE_FLOAT, 0.5);
    char *value = binary(q, "Div", write_name(&q->w, "logits", ".steps"), sum, step);
    value = unary(q, "Floor", write_name(&q->w, "logits", ".codes"), binary(q, "Add", write_name(&q->w, "logits", ".up"), value, half));
    return binary(q, "Mul", write_name(&q->w, "logits", ".real"), value, step);
}

/* ---- edges ----------------------------------------------------------------------------------- */

/* Only as much as the integers' type does not clip itself. */
static char *clip(struct qdq *q, int edge, char *value)
{
    const struct fixed_edge *e = &q->net->edge[edge];
    const struct fixed_layer *l = q->l;
    double scale = edge_scale(q->net, edge);
    int lo = e->is_signed ? -128 : 0, hi = e->is_signed ? 127 : 255;
    bool mac = l->kind == FIXED_MAC;
    if (!mac || (l->lo <= lo && l->hi >= hi))
        return value;
    char *name = numbered(q, "edge", edge, -1, ".clip");
    Onnx__NodeProto *n = write_node(&q->w, "Clip", name);
    write_input(&q->w, n, value);
    write_input(&q->w, n, write_scalar(&q->w, name, ".min", WRITE_FLOAT, l->lo * scale));
    write_input(&q->w, n, write_scalar(&q->w, name, ".max", WRITE_FLOAT, l->hi * scale));
    return name;
}

static void quantize(struct qdq *q, int edge, const char *value)
{
    struct writer *w = &q->w;
    int type = q->net->edge[edge].is_signed ? WRITE_INT8 : WRITE_UINT8;
    char *name = edge_name(q, edge), *codes = numbered(q, "edge", edge, -1, ".codes");
    char *scale = write_scalar(w, name ? name : "", ".scale", WRITE_FLOAT, edge_scale(q->net, edge)), *zero = write_scalar(w, name ? name : "", ".zero", type, 0);
    Onnx__NodeProto *n = write_node(w, "QuantizeLinear", codes);
    write_input(w, n, value);
    write_input(w, n, scale);
    write_input(w, n, zero);
    n = write_node(w, "DequantizeLinear", name);
    write_input(w, n, codes);
    write_input(w, n, scale);
    write_input(w, n, zero);
}

/* Pixels less the padding value of their channel. */
static void input_edge(struct qdq *q)
{
    struct writer *w = &q->w;
    const struct fixed_edge *e = &q->net->edge[0];
    char *codes = numbered(q, "edge", 0, -1, ".codes"), *name = edge_name(q, 0);
    write_model_input(w, "input", (const int[3]){ e->c, e->h, e->w }, 3);
    Onnx__NodeProto *n = write_node(w, "QuantizeLinear", codes);
    write_input(w, n, "input");
    write_input(w, n, write_scalar(w, "input", ".scale", WRITE_FLOAT, 1));
    write_input(w, n, write_scalar(w, "input", ".zero", WRITE_UINT8, 0));
    n = write_node(w, "DequantizeLinear", name);
    float *scale = write_tensor(w, "input.scales", WRITE_FLOAT, (const int64_t[1]){ e->c }, 1);
    uint8_t *zero = write_tensor(w, "input.pad", WRITE_UINT8, (const int64_t[1]){ e->c }, 1);
    for (int c = 0; scale && zero && c < e->c; c++) {
        scale[c] = 1;
        zero[c] = e->pad ? e->pad[c] : 0;
    }
    write_input(w, n, codes);
    write_input(w, n, "input.scales");
    write_input(w, n, "input.pad");
    write_int(w, n, "axis", 1);
}

/* ---- layers ------------------------------------------------------------------------------------- */

static void mac_layer(struct qdq *q, int layer)
{
    q->out = q->l->out < 0 ? (q->net->logit_scale > 1e-20 && q->net->logit_scale < 1e20 ? q->net->logit_scale : 1) : edge_scale(q->net, q->l->out);
    q->bias = base_arena_alloc(q->w.a, sizeof(double) * (size_t)q->l->c);
    if (!q->bias) {
        q->w.failed = true;
        return;
    }
    start_bias(q);
    char *sum = add_bias(q, layer, sum_terms(q, layer));
    if (q->l->out >= 0) {
        quantize(q, q->l->out, clip(q, q->l->out, sum));
        return;
    }
    if (coarse_logits(q, layer))
        sum = round_logits(q, sum);
    if (q->l->lo > INT32_MIN) /* rectified logits */
        sum = unary(q, "Relu", numbered(q, "layer", layer, -1, ".relu"), sum);
    Onnx__NodeProto *n = write_node(&q->w, "Flatten", "logits");
    write_input(&q->w, n, sum);
    write_int(&q->w, n, "axis", 1);
}

/* ONNX pads with minus infinity: the lowest code never wins either. */
static void maxpool_layer(struct qdq *q, int layer)
{
    const struct fixed_layer *l = q->l;
    const struct fixed_term *t = &l->term[0];
    const struct fixed_edge *e = &q->net->edge[t->edge];
    int pb = pad_behind(e->h, l->h, t->kh, t->stride, t->pad_t), pr = pad_behind(e->w, l->w, t->kw, t->stride, t->pad_l);
    struct fixed_term whole = *t;
    whole.cout = e->c;
    char *name = numbered(q, "layer", layer, -1, ""), *in = term_input(q, &whole, layer, 0, pb, pr, false);
    Onnx__NodeProto *n = write_node(&q->w, "MaxPool", name);
    write_input(&q->w, n, in);
    window(&q->w, n, t, pb, pr);
    quantize(q, l->out, name);
}

int onnx_write_qdq(const struct fixed_net *net, const char *path)
{
    struct qdq q = { .net = net };
    const struct fixed_layer *last = &net->layer[net->n_layer - 1];
    if (last->h != 1 || last->w != 1 || last->out >= 0)
        return base_fail(BASE_INPUT, "layer '%s': the last layer must give 1 x 1 logits", last->name);
    int rc = writer_begin(&q.w, net->name);
    if (rc)
        return rc;
    if (!(q.bits_made = base_arena_alloc(q.w.a, sizeof(bool) * (size_t)net->n_edge)))
        q.w.failed = true;
    input_edge(&q);
    for (int i = 0; i < net->n_layer && !q.w.failed; i++) {
        q.l = &net->layer[i];
        if (q.l->kind == FIXED_MAC)
            mac_layer(&q, i);
        else
            maxpool_layer(&q, i);
    }
    write_model_output(&q.w, "logits", &net->classes, 1);
    write_metadata(&q.w, "input_scale", "1");
    write_metadata(&q.w, "input_mean", "0");
    write_metadata(&q.w, "input_std", "1");
    write_metadata(&q.w, "input_note", "raw pixels, 0..255");
    return writer_end(&q.w, path);
}
