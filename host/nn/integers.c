/* Fake quantization in integers: inference computes with whole numbers in floats, as the integer network that lowering
 * made of the same graph and quantization does.
 *
 * Maps hold codes. A channel of a term whose coefficients are one factor times its weights' codes, the usual one, goes
 * through the same kernels as ever, on those codes: a float holds every sum below 2^24, which is proved from the real
 * weights. Others (identities, pools, ratios that were rounded, sums that could be larger) are added plane by plane. */
#include "nn/nn_internal.h"

#include <math.h>
#include <stdlib.h>

static const double exact_below = 1 << 24;
enum { BY_PLANES = INT32_MIN };

struct nn_integers {
    const struct fixed_net *net;
    int32_t **factor;                    /* [layer * GRAPH_MAX_TERM + term]: [cout] what a sum counts, or BY_PLANES; NULL without weights */
};

static const struct fixed_term *fixed_of(const struct nn *m, const struct nn_term *t)
{
    return &m->integers->net->layer[t->layer].term[t->index];
}

static const int32_t *coefficients(const struct fixed_term *f, int bits, int o)
{
    return f->coef + (f->coef_shared ? 0 : (int64_t)o * f->n_plane * bits);
}

/* What a weight with these planes multiplies activation plane j by. */
static int64_t plane_value(const struct fixed_term *f, const int32_t *coef, int bits, uint16_t code, int j)
{
    int64_t sum = 0;
    for (int t = 0; t < f->n_plane; t++)
        sum += code >> t & 1 ? coef[t * bits + j] : 0;
    return sum;
}

/* ---- taking it into force ------------------------------------------------------------------------ */

/* What the sum of q [per], the codes of fake quantization, counts in the accumulator; BY_PLANES unless that is exact. */
static int32_t product_factor(const struct fixed_term *f, const struct fixed_edge *e, int o, const float *q)
{
    int64_t per = (int64_t)f->kh * f->kw * f->cin, factor = 0;
    const uint16_t *code = f->code + o * per;
    const int32_t *coef = coefficients(f, e->bits, o);
    double most = 1 << (e->is_signed ? e->bits - 1 : e->bits), sum = 0;
    for (int64_t i = 0; i < per; i++) {
        int64_t v = (int64_t)q[i];
        sum += most * fabs((double)q[i]);
        if (v && !factor)
            factor = plane_value(f, coef, e->bits, code[i], 0) / v;
        for (int j = 0; j < e->bits; j++)
            if (plane_value(f, coef, e->bits, code[i], j) != factor * v * (e->is_signed && j == e->bits - 1 ? -1 : 1) * (1 << j))
                return BY_PLANES;
    }
    return sum < exact_below ? (int32_t)factor : BY_PLANES;
}

static int set_term(struct nn *m, struct nn_term *t, int *by_planes)
{
    const struct fixed_term *f = fixed_of(m, t);
    int64_t per = (int64_t)f->kh * f->kw * f->cin;
    int32_t *factor = BASE_ARENA_NEW_N(m->arena, int32_t, f->cout);
    float *q = BASE_NEW_N(float, per);
    int rc = factor && q ? BASE_OK : BASE_NOMEM;
    for (int o = 0; !rc && o < f->cout; o++) {
        nn_quant_codes(q, t->quant, m->graph->node[t->node].weight, o, f->kh * f->kw, f->cin, f->depthwise);
        factor[o] = product_factor(f, &m->integers->net->edge[f->edge], o, q);
        *by_planes += factor[o] == BY_PLANES;
    }
    m->integers->factor[t->layer * GRAPH_MAX_TERM + t->index] = factor;
    t->fast_forward = false;             /* Winograd's sums have fractions; the direct kernel's weights take less room */
    base_free(q);
    return rc;
}

static bool fits(const struct nn *m, const struct fixed_net *net)
{
    bool same = net->n_layer == m->layers.n && net->classes == m->classes && net->layer[net->n_layer - 1].out < 0;
    for (int i = 0; same && i < net->n_layer; i++) {
        const struct fixed_layer *l = &net->layer[i];
        same = l->h == m->edge[i + 1].h && l->w == m->edge[i + 1].w && l->c == m->edge[i + 1].c && l->n_term == m->layer[i].n_term;
    }
    for (int i = 0; same && i < m->n_weighted; i++) {
        const struct nn_term *t = m->weighted[i];
        const struct fixed_term *f = &net->layer[t->layer].term[t->index];
        same = t->quant && t->quant->w_bits && f->edge == t->edge && f->cout == t->cout && f->cin == t->cin && f->kh == t->conv.kh && f->kw == t->conv.kw;
    }
    return same;
}

int nn_set_integers(struct nn *m, const struct fixed_net *net, int *by_planes)
{
    if (m->training || m->integers || !m->quant || !fits(m, net))
        return base_fail(BASE_INTERNAL, "graph '%s': integers need an engine for inference with the quantization that the integer network was lowered from", m->graph->name);
    struct nn_integers *in = BASE_ARENA_NEW(m->arena, struct nn_integers);
    if (!in || !(in->factor = BASE_ARENA_NEW_N(m->arena, int32_t *, m->layers.n * GRAPH_MAX_TERM)))
        return BASE_NOMEM;
    in->net = net;
    m->integers = in;
    int rc = BASE_OK, planes = 0;
    for (int i = 0; !rc && i < m->n_weighted; i++)
        rc = set_term(m, m->weighted[i], &planes);
    if (rc) {
        m->integers = NULL;
        return rc;
    }
    for (int c = 0; c < m->edge[0].c; c++)
        for (int v = 0; v < 256; v++)
            m->lut[c * 256 + v] = (float)v;
    if (by_planes)
        *by_planes = planes;
    return BASE_OK;
}

/* ---- running -------------------------------------------------------------------------------------- */

float nn_integers_pad(const struct nn *m, int c)
{
    const uint8_t *pad = m->integers->net->edge[0].pad;
    return pad ? pad[c] : 0;
}

void nn_integers_weights(struct nn_term *t, const float *weight)
{
    int taps = t->conv.kh * t->conv.kw;
    for (int o = 0; o < t->cout; o++)
        nn_quant_codes(t->w_run + (int64_t)o * taps * t->cin, t->quant, weight, o, taps, t->cin, t->kind == NN_DEPTHWISE);
}

/* One output of a term by its definition: x is the whole map it reads. */
static int64_t sum_by_planes(const struct nn *m, const struct fixed_term *f, const float *x, int oy, int ox, int o)
{
    const struct nn_edge *in = &m->edge[f->edge];
    const struct fixed_edge *e = &m->integers->net->edge[f->edge];
    const int32_t *coef = coefficients(f, e->bits, o);
    const uint16_t *code = f->code + (int64_t)o * f->kh * f->kw * f->cin;
    int64_t sum = 0;
    for (int ky = 0; ky < f->kh; ky++)
        for (int kx = 0; kx < f->kw; kx++)
            for (int i = 0; i < f->cin; i++, code++) {
                int y = oy * f->stride - f->pad_t + ky, z = ox * f->stride - f->pad_l + kx, c = f->depthwise ? o : i;
                bool inside = y >= 0 && y < in->h && z >= 0 && z < in->w;
                int a = (int)(inside ? x[((size_t)y * in->w + z) * in->cp + c] : f->edge ? 0 : nn_integers_pad(m, c));
                for (int j = 0; *code && j < e->bits; j++)
                    sum += a >> j & 1 ? plane_value(f, coef, e->bits, *code, j) : 0;
            }
    return sum;
}

void nn_integers_out(float *y, const struct nn *m, int layer, const float *const *x, const float *const *z)
{
    const struct nn_layer *l = &m->layer[layer];
    const struct fixed_layer *to = &m->integers->net->layer[layer];
    const struct nn_edge *e = &m->edge[layer + 1];
    int32_t *const *factor = m->integers->factor + layer * GRAPH_MAX_TERM;
    for (int p = 0; p < e->h * e->w; p++)
        for (int c = 0; c < e->cp; c++) {
            int64_t acc = 0;
            for (int k = 0; c < e->c && k < l->n_term; k++) {
                const struct fixed_term *f = &to->term[k];
                int o = c - f->chan;
                if (o < 0 || o >= f->cout)
                    continue;
                bool product = factor[k] && factor[k][o] != BY_PLANES;
                acc += product ? factor[k][o] * (int64_t)z[k][(size_t)p * (size_t)l->term[k].conv.o + (size_t)o] : sum_by_planes(m, f, x[k], p / e->w, p % e->w, o);
            }
            y[(size_t)p * (size_t)e->cp + (size_t)c] = c < e->c ? (float)qref_requantize((int32_t)acc, to->m[c], to->b[c], to->s, to->lo, to->hi) : 0;
        }
}
