/* write_qdq.c: an integer network as ONNX with QuantizeLinear and DequantizeLinear.
 *
 * Each edge is a QuantizeLinear (uint8 or int8, clipped to its bits in front) and a DequantizeLinear. Each term
 * of a layer is a Conv on dequantized int8 weights whose scale per output channel is the effective one: one
 * unit of the term's integer sum times M[c] / 2^S, in the output's scale. What B[c] adds, less the rounding that
 * QuantizeLinear does itself, is the bias. The input is raw pixels, 0..255; its DequantizeLinear takes the
 * padding value of each channel as zero point, so that ONNX's padding with zeros pads with that value. */
#include <math.h>
#include <string.h>

#include "onnx/writer.h"

struct qdq {
    struct writer w;
    const struct fixed_net *net;
    const struct fixed_layer *l;     /* at hand */
    double out;                      /* scale of its output */
    double *bias;                    /* [l->c], real */
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

static int sign_of(const struct fixed_edge *e, int j)
{
    return e->is_signed && j == e->bits - 1 ? -1 : 1;
}

/* Value of plane t per unit of activation: coefficients are rounded to integers, so a fit over the activation's
 * planes, in which the large ones count. */
static double plane_value(const struct fixed_term *t, const struct fixed_edge *e, int o, int plane)
{
    const int32_t *coef = t->coef + ((int64_t)(t->coef_shared ? 0 : o) * t->n_plane + plane) * e->bits;
    double sum = 0, squares = 0;
    for (int j = 0; j < e->bits; j++) {
        double x = ldexp(sign_of(e, j), j);
        sum += coef[j] * x;
        squares += x * x;
    }
    return sum / squares;
}

/* Uniform weights: value of plane t in units of the weight's step; false: the planes are something else. */
static bool uniform_planes(const struct fixed_term *t, double *plane)
{
    if (t->w_bits == 1 && t->n_plane == 2) {
        plane[0] = 2;
        plane[1] = -1;
        return true;
    }
    if (t->n_plane != t->w_bits || t->n_plane > 8)
        return false;
    for (int k = 0; k < t->n_plane; k++)
        plane[k] = t->n_plane == 1 ? 1 : ldexp(k == t->n_plane - 1 ? -1 : 1, k);
    return true;
}

/* Planes of output o as multiples of a step (returned), fitted; false where they are not multiples of it. */
static bool fit_step(const struct fixed_term *t, const struct fixed_edge *e, int o, const double *plane, double *step)
{
    double sum = 0, squares = 0, worst = 0, top = 0;
    for (int k = 0; k < t->n_plane; k++) {
        sum += plane_value(t, e, o, k) * plane[k];
        squares += plane[k] * plane[k];
    }
    *step = sum / squares;
    for (int k = 0; k < t->n_plane; k++) {
        worst = fmax(worst, fabs(plane_value(t, e, o, k) - *step * plane[k]));
        top = fmax(top, fabs(plane_value(t, e, o, k)));
    }
    return worst <= 1.01 + top * 0.005; /* coefficients are within half of what they stand for */
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
            plane[k] = plane_value(t, e, o, k) * acc_scale(q, t->chan + o);
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
static char *integer_weights(struct qdq *q, const struct fixed_term *t, int layer, int term, const double *plane, const double *step)
{
    struct writer *w = &q->w;
    char *name = numbered(q, "layer", layer, term, ".weight"), *codes = write_name(w, name ? name : "", ".int8");
    char *scales = write_name(w, name ? name : "", ".scale"), *zeros = write_name(w, name ? name : "", ".zero");
    int8_t *to = write_tensor(w, codes, WRITE_INT8, (const int64_t[4]){ t->cout, t->cin, t->kh, t->kw }, 4);
    float *scale = write_tensor(w, scales, WRITE_FLOAT, (const int64_t[1]){ t->cout }, 1);
    write_tensor(w, zeros, WRITE_INT8, (const int64_t[1]){ t->cout }, 1);
    for (int o = 0; to && scale && o < t->cout; o++) {
        double unit = step[o] * acc_scale(q, t->chan + o);
        bool dead = !(fabs(unit) > 0);
        scale[o] = (float)(dead ? 1 : fabs(unit) / edge_scale(q->net, t->edge));
        for (int64_t i = 0; i < t->cin; i++)
            for (int64_t tap = 0; tap < t->kh * t->kw; tap++) {
                double v = dead ? 0 : value_of(t->code[code_at(t, o, i, tap)], plane, t->n_plane);
                *to++ = (int8_t)(unit < 0 ? fmin(-v, 127) : v);
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
    double plane[FIXED_MAX_PLANES], *step = base_arena_alloc(q->w.a, sizeof(double) * (size_t)t->cout);
    bool fits = uniform_planes(t, plane);
    if (!step) {
        q->w.failed = true;
        return NULL;
    }
    for (int o = 0; fits && o < t->cout; o++) {
        fits = fit_step(t, e, o, plane, &step[o]);
        if (step[o] < 0 && t->w_bits == 8) /* -(-128) has no place in int8 */
            fits = false;
    }
    return fits ? integer_weights(q, t, layer, term, plane, step) : float_weights(q, t, layer, term);
}

/* ---- terms --------------------------------------------------------------------------------- */

/* Padding behind, so that a side of `in` gives `out` windows; negative: the rest is never read. */
static int pad_behind(int in, int out, int kernel, int stride, int pad)
{
    return (out - 1) * stride + kernel - pad - in;
}

/* The part of the edge that the term reads: rows and columns behind the last window and channels are cut off. */
static char *term_input(struct qdq *q, const struct fixed_term *t, int layer, int term, int pb, int pr)
{
    const struct fixed_edge *e = &q->net->edge[t->edge];
    char *edge = edge_name(q, t->edge);
    bool cut = t->depthwise && t->cout < e->c;
    if (pb >= 0 && pr >= 0 && !cut)
        return edge;
    struct writer *w = &q->w;
    char *name = numbered(q, "layer", layer, term, ".part");
    Onnx__NodeProto *n = write_node(w, "Slice", name);
    write_input(w, n, edge);
    write_input(w, n, write_ints(w, name, ".starts", (const int64_t[3]){ 0, 0, 0 }, 3));
    write_input(w, n, write_ints(w, name, ".ends", (const int64_t[3]){ cut ? t->cout : e->c, e->h + BASE_MIN(pb, 0), e->w + BASE_MIN(pr, 0) }, 3));
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
    char *in = term_input(q, t, layer, term, pb, pr), *weight = weights(q, t, layer, term), *name = numbered(q, "layer", layer, term, "");
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

static char *binary(struct qdq *q, const char *type, char *name, const char *a, const char *b)
{
    Onnx__NodeProto *n = write_node(&q->w, type, name);
    write_input(&q->w, n, a);
    write_input(&q->w, n, b);
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
    if (q->l->lo > INT32_MIN) { /* rectified logits */
        char *name = numbered(q, "layer", layer, -1, ".relu");
        write_input(&q->w, write_node(&q->w, "Relu", name), sum);
        sum = name;
    }
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
    char *name = numbered(q, "layer", layer, -1, ""), *in = term_input(q, &whole, layer, 0, pb, pr);
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
