/* write_qdq.c: an integer network as ONNX with QuantizeLinear and DequantizeLinear, bit for bit.
 *
 * Each edge is a QuantizeLinear (uint8 or int8, clipped to its bits in front) and a DequantizeLinear. Each term
 * of a layer is a Conv on dequantized int8 weights (qdq_term.c). Scales of edges and weights are powers of two
 * near the real ones, so that floats hold these sums exactly, as long as they stay within 24 bits; the effective
 * scale M[c] / 2^S, less that power, and what B[c] adds follow in double precision, where the sum is rounded.
 * The input is raw pixels, 0..255; its DequantizeLinear takes the padding value of each channel as zero point,
 * so that ONNX's padding with zeros pads with that value.
 *
 * A term with a ratio of its own has a rounded coefficient for each pair of planes, which no single scale can
 * say. Such a term is a Conv on the bits of its edge, with the coefficients as weights. */
#include <math.h>
#include <string.h>

#include "onnx/qdq.h"

/* ---- names and scales ---------------------------------------------------------------- */

char *qdq_name(struct qdq *q, const char *what, int number, int term, const char *suffix)
{
    char s[96];
    if (term < 0)
        snprintf(s, sizeof s, "%s%d%s", what, number, suffix);
    else
        snprintf(s, sizeof s, "%s%d.%d%s", what, number, term, suffix);
    return write_name(&q->w, s, "");
}

char *qdq_unary(struct qdq *q, const char *type, char *name, const char *a)
{
    write_input(&q->w, write_node(&q->w, type, name), a);
    return name;
}

char *qdq_binary(struct qdq *q, const char *type, char *name, const char *a, const char *b)
{
    Onnx__NodeProto *n = write_node(&q->w, type, name);
    write_input(&q->w, n, a);
    write_input(&q->w, n, b);
    return name;
}

/* The power of two nearest to a scale; 1 for what is no scale. */
static double near_power(double s)
{
    return s > 1e-9 && s < 1e9 ? ldexp(1, (int)floor(log2(s) + 0.5)) : 1;
}

/* A max pool picks codes: its edges have one scale. */
static int choose_scales(struct qdq *q)
{
    const struct fixed_net *net = q->net;
    q->scale = base_arena_alloc(q->w.a, sizeof(double) * (size_t)net->n_edge);
    q->bits_made = base_arena_alloc(q->w.a, sizeof(bool) * (size_t)net->n_edge);
    if (!q->scale || !q->bits_made)
        return BASE_NOMEM;
    q->scale[0] = 1;
    for (int e = 1; e < net->n_edge; e++)
        q->scale[e] = near_power(net->edge[e].scale);
    for (int l = 0; l < net->n_layer; l++)
        if (net->layer[l].kind == FIXED_MAXPOOL)
            q->scale[net->layer[l].out] = q->scale[net->layer[l].term[0].edge];
    return BASE_OK;
}

/* ---- sums ------------------------------------------------------------------------------------- */

/* Zero channels around a term that adds to some only. */
static char *term_spread(struct qdq *q, const struct fixed_term *t, int layer, int term, char *value)
{
    if (t->cout == q->l->c)
        return value;
    char *name = qdq_name(q, "layer", layer, term, ".spread");
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
    char *name = qdq_name(q, "layer", layer, -1, ".join");
    Onnx__NodeProto *n = write_node(&q->w, "Concat", name);
    write_int(&q->w, n, "axis", 1);
    for (int k = 0; k < q->l->n_term; k++)
        write_input(&q->w, n, qdq_name(q, "layer", layer, k, ""));
    return name;
}

static char *sum_terms(struct qdq *q, int layer)
{
    const struct fixed_layer *l = q->l;
    char *sum = NULL;
    for (int k = 0; k < l->n_term; k++)
        qdq_term(q, layer, k);
    if (joined(l))
        return join_terms(q, layer);
    for (int k = 0; k < l->n_term; k++) {
        char *value = term_spread(q, &l->term[k], layer, k, qdq_name(q, "layer", layer, k, ""));
        sum = sum ? qdq_binary(q, "Add", qdq_name(q, "layer", layer, k, ".sum"), sum, value) : value;
    }
    return sum;
}

/* One number of each channel, double. */
static char *channels(struct qdq *q, int layer, const char *suffix, const double *v)
{
    char *name = qdq_name(q, "layer", layer, -1, suffix);
    double *to = write_tensor(&q->w, name, WRITE_DOUBLE, (const int64_t[4]){ 1, q->l->c, 1, 1 }, 4);
    if (to)
        memcpy(to, v, sizeof *v * (size_t)q->l->c);
    return name;
}

static char *cast(struct qdq *q, char *name, const char *value, int type)
{
    Onnx__NodeProto *n = write_node(&q->w, "Cast", name);
    write_input(&q->w, n, value);
    write_int(&q->w, n, "to", type);
    return name;
}

/* (acc * M + B) >> S, then in steps of `step`. Round is to even codes in a tie, the shift goes up: half of the
 * smallest step more settles ties, and B's own rounding constant is left out. */
static char *requantize(struct qdq *q, int layer, const char *sum, double step)
{
    const struct fixed_layer *l = q->l;
    double *v = base_arena_alloc(q->w.a, sizeof(double) * (size_t)l->c);
    if (!v) {
        q->w.failed = true;
        return NULL;
    }
    for (int c = 0; c < l->c; c++)
        v[c] = ldexp((double)l->m[c], -l->s) / q->unit[c];
    char *factor = channels(q, layer, ".factor", v);
    for (int c = 0; c < l->c; c++)
        v[c] = ldexp((double)(q->pad[c] * l->m[c] + l->b[c] - ((int64_t)1 << (l->s - 1))) + 0.5, -l->s);
    char *addend = channels(q, layer, ".addend", v);
    char *value = cast(q, qdq_name(q, "layer", layer, -1, ".double"), sum, WRITE_DOUBLE);
    value = qdq_binary(q, "Mul", qdq_name(q, "layer", layer, -1, ".scaled"), value, factor);
    value = qdq_binary(q, "Add", qdq_name(q, "layer", layer, -1, ".shifted"), value, addend);
    value = qdq_unary(q, "Round", qdq_name(q, "layer", layer, -1, ".rounded"), value);
    value = qdq_binary(q, "Mul", qdq_name(q, "layer", layer, -1, ".real"), value, write_scalar(&q->w, value ? value : "", ".step", WRITE_DOUBLE, step));
    return cast(q, qdq_name(q, "layer", layer, -1, ""), value, WRITE_FLOAT);
}

/* ---- edges ----------------------------------------------------------------------------------- */

/* Only as much as the integers' type, or a Quant's bits, does not clip itself. */
static char *clip(struct qdq *q, int edge, char *value)
{
    const struct fixed_edge *e = &q->net->edge[edge];
    const struct fixed_layer *l = q->l;
    double scale = q->scale[edge];
    int bits = q->qonnx ? e->bits : 8, lo = e->is_signed ? -(1 << (bits - 1)) : 0, hi = (1 << (bits - e->is_signed)) - 1;
    bool mac = l->kind == FIXED_MAC;
    if (!mac || (l->lo <= lo && l->hi >= hi))
        return value;
    char *name = qdq_name(q, "edge", edge, -1, ".clip");
    Onnx__NodeProto *n = write_node(&q->w, "Clip", name);
    write_input(&q->w, n, value);
    write_input(&q->w, n, write_scalar(&q->w, name, ".min", WRITE_FLOAT, l->lo * scale));
    write_input(&q->w, n, write_scalar(&q->w, name, ".max", WRITE_FLOAT, l->hi * scale));
    return name;
}

static void quantize(struct qdq *q, int edge, const char *value)
{
    struct writer *w = &q->w;
    if (q->qonnx) {
        qonnx_edge(q, edge, value);
        return;
    }
    int type = q->net->edge[edge].is_signed ? WRITE_INT8 : WRITE_UINT8;
    char *name = qdq_name(q, "edge", edge, -1, ""), *codes = qdq_name(q, "edge", edge, -1, ".codes");
    char *scale = write_scalar(w, name ? name : "", ".scale", WRITE_FLOAT, q->scale[edge]), *zero = write_scalar(w, name ? name : "", ".zero", type, 0);
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
    char *codes = qdq_name(q, "edge", 0, -1, ".codes"), *name = qdq_name(q, "edge", 0, -1, "");
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

static void logits(struct qdq *q, int layer, const char *value)
{
    if (q->l->lo > INT32_MIN) /* rectified */
        value = qdq_unary(q, "Relu", qdq_name(q, "layer", layer, -1, ".relu"), value);
    Onnx__NodeProto *n = write_node(&q->w, "Flatten", "logits");
    write_input(&q->w, n, value);
    write_int(&q->w, n, "axis", 1);
}

static void mac_layer(struct qdq *q, int layer)
{
    const struct fixed_layer *l = q->l;
    double logit = q->net->logit_scale, step = l->out >= 0 ? q->scale[l->out] : logit > 1e-20 && logit < 1e20 ? logit : 1;
    q->unit = base_arena_alloc(q->w.a, sizeof(double) * (size_t)l->c);
    q->pad = base_arena_alloc(q->w.a, sizeof(int64_t) * (size_t)l->c);
    if (!q->unit || !q->pad) {
        q->w.failed = true;
        return;
    }
    for (int c = 0; c < l->c; c++)
        q->unit[c] = near_power(ldexp((double)l->m[c], -l->s) * step);
    char *value = requantize(q, layer, sum_terms(q, layer), step);
    if (l->out >= 0)
        quantize(q, l->out, clip(q, l->out, value));
    else
        logits(q, layer, value);
}

/* ONNX pads with minus infinity: the lowest code never wins either. */
static void maxpool_layer(struct qdq *q, int layer)
{
    const struct fixed_layer *l = q->l;
    const struct fixed_term *t = &l->term[0];
    const struct fixed_edge *e = &q->net->edge[t->edge];
    int pb = qdq_pad_behind(e->h, l->h, t->kh, t->stride, t->pad_t), pr = qdq_pad_behind(e->w, l->w, t->kw, t->stride, t->pad_l);
    struct fixed_term whole = *t;
    whole.cout = e->c;
    char *name = qdq_name(q, "layer", layer, -1, ""), *in = qdq_input(q, &whole, layer, 0, pb, pr, false);
    Onnx__NodeProto *n = write_node(&q->w, "MaxPool", name);
    write_input(&q->w, n, in);
    qdq_window(&q->w, n, t, pb, pr);
    quantize(q, l->out, name);
}

static int write_net(const struct fixed_net *net, const char *path, bool qonnx)
{
    struct qdq q = { .net = net, .qonnx = qonnx };
    const struct fixed_layer *last = &net->layer[net->n_layer - 1];
    if (last->h != 1 || last->w != 1 || last->out >= 0)
        return base_fail(BASE_INPUT, "layer '%s': the last layer must give 1 x 1 logits", last->name);
    int rc = writer_begin(&q.w, net->name);
    if (rc)
        return rc;
    if ((rc = choose_scales(&q))) {
        writer_free(&q.w);
        return rc;
    }
    if (qonnx)
        qonnx_input(&q);
    else
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
    write_metadata(&q.w, QDQ_MARK, "of an integer network");
    return writer_end(&q.w, path);
}

int onnx_write_qdq(const struct fixed_net *net, const char *path)
{
    return write_net(net, path, false);
}

int onnx_write_qonnx(const struct fixed_net *net, const char *path)
{
    return write_net(net, path, true);
}
