/* accel_nets: random integer networks with everything the compiler treats in its own way: packed
 * images, kernels beyond 3 x 3, strides, wide 1 x 1, depthwise, residuals, concatenation, pools,
 * one-bit, uniform and free levels, pruned weights and channels. Also read by sim/. */
#ifndef ACCEL_NETS_H
#define ACCEL_NETS_H

#include <stdlib.h>

#include "fixed/fixed.h"

enum { NETS_MAX_EDGE = 12 };

struct nets {
    struct base_rng rng;
    struct fixed_net *net;
};

static inline int nets_below(struct nets *g, int n) { return (int)base_rng_below(&g->rng, (uint32_t)n); }

static inline struct fixed_edge *nets_edge(struct nets *g, int h, int w, int c, int bits, bool is_signed)
{
    struct fixed_edge *e = &g->net->edge[g->net->n_edge++];
    *e = (struct fixed_edge){ .name = "map", .h = h, .w = w, .c = c, .bits = bits, .is_signed = is_signed, .scale = 1 };
    return e;
}

/* Coefficients value[t] x 2^j, the sign plane of a signed edge negative. */
static inline void nets_coefs(struct nets *g, struct fixed_term *t, const int32_t *value, bool shared, bool free_form)
{
    const struct fixed_edge *e = &g->net->edge[t->edge];
    int rows = shared ? 1 : t->cout;
    t->coef_shared = shared;
    t->coef = BASE_ARENA_NEW_N(g->net->arena, int32_t, rows * t->n_plane * e->bits);
    for (int o = 0; o < rows; o++) {
        int sign = shared || nets_below(g, 4) ? 1 : -1;
        for (int p = 0; p < t->n_plane; p++)
            for (int j = 0; j < e->bits; j++) {
                bool minus = e->is_signed && j == e->bits - 1;
                int32_t v = sign * value[p] * (1 << j) * (minus ? -1 : 1);
                t->coef[(o * t->n_plane + p) * e->bits + j] = v + (free_form ? nets_below(g, 3) - 1 : 0);
            }
    }
}

/* One bit, uniform, or free levels; some weights, channels and inputs are pruned. */
static inline void nets_weights(struct nets *g, struct fixed_term *t, bool free_form)
{
    int32_t value[4];
    int kind = nets_below(g, 4), bits = 2 + nets_below(g, kind == 3 ? 2 : 3), scale = 1 << nets_below(g, 3);
    t->w_bits = t->n_plane = bits;
    for (int p = 0; p < bits; p++)
        value[p] = kind == 3 ? scale * (1 + nets_below(g, 7)) : (p == bits - 1 ? -1 : 1) * scale * (1 << p);
    if (kind == 0) {
        t->n_plane = 2, t->w_bits = 1;
        value[0] = 2 * scale, value[1] = -scale;
    }
    int64_t row = (int64_t)t->kh * t->kw * t->cin;
    t->code = BASE_ARENA_NEW_N(g->net->arena, uint16_t, t->cout * row);
    int sparse = nets_below(g, 3), dead = nets_below(g, 40);
    for (int64_t i = 0; i < t->cout * row; i++) {
        bool off = (sparse == 0 && nets_below(g, 4)) || (i / row % 16 == dead) || (dead > 30 && i / row < 16);
        t->code[i] = off ? 0 : (uint16_t)(kind == 0 ? 2 | nets_below(g, 2) : nets_below(g, 1 << t->n_plane));
    }
    nets_coefs(g, t, value, nets_below(g, 2), free_form);
}

static inline void nets_ones(struct nets *g, struct fixed_term *t)
{
    const int32_t value[1] = { 1 << nets_below(g, 4) };
    t->w_bits = t->n_plane = 1;
    t->code = BASE_ARENA_NEW_N(g->net->arena, uint16_t, t->cout * t->kh * t->kw);
    for (int i = 0; i < t->cout * t->kh * t->kw; i++)
        t->code[i] = 1;
    nets_coefs(g, t, value, nets_below(g, 3), false);
}

static inline struct fixed_term *nets_term(struct fixed_layer *l, int edge, int kh, int kw, int stride, int pt, int pl)
{
    struct fixed_term *t = &l->term[l->n_term++];
    *t = (struct fixed_term){ .edge = edge, .kh = kh, .kw = kw, .stride = stride, .pad_t = pt, .pad_l = pl };
    return t;
}

static inline struct fixed_layer *nets_layer(struct nets *g, enum fixed_kind kind, int h, int w, int c)
{
    struct fixed_layer *l = &g->net->layer[g->net->n_layer++];
    *l = (struct fixed_layer){ .name = base_arena_strdup(g->net->arena, "layer"), .kind = kind, .h = h, .w = w, .c = c };
    return l;
}

/* Scales that spread the sums over the codes; the output edge unless these are the logits. */
static inline void nets_finish(struct nets *g, struct fixed_layer *l, bool logits)
{
    double most = 1;
    for (int i = 0; i < l->n_term; i++) {
        const struct fixed_term *t = &l->term[i];
        double v = 0;
        for (int p = 0; p < t->n_plane * g->net->edge[t->edge].bits; p++)
            v += abs(t->coef[p]);
        most += v * t->kh * t->kw * t->cin;
    }
    int bits = 1 + nets_below(g, 8), up = 0;
    bool is_signed = bits > 1 && nets_below(g, 2);
    while (most > 4 << bits && up < 20)
        most /= 2, up++;
    l->s = logits ? 4 : 12 + up;
    l->m = BASE_ARENA_NEW_N(g->net->arena, int32_t, l->c);
    l->b = BASE_ARENA_NEW_N(g->net->arena, int64_t, l->c);
    for (int o = 0; o < l->c; o++) {
        l->m[o] = logits ? 3 + nets_below(g, 5) : 4096 + nets_below(g, 1 << 15);
        l->b[o] = ((int64_t)1 << (l->s - 1)) + (nets_below(g, 5) - 2) * ((int64_t)1 << l->s) / 2;
    }
    l->lo = logits ? INT32_MIN : is_signed ? -(1 << (bits - 1)) : 0;
    l->hi = logits ? INT32_MAX : is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
    l->out = logits ? -1 : g->net->n_edge;
    if (!logits)
        nets_edge(g, l->h, l->w, l->c, bits, is_signed);
}

static inline int nets_out(int in, int k, int stride, int pad) { return (in + 2 * pad - k) / stride + 1; }

/* Identity of an edge of the same size, at some output channel. */
static inline void nets_residual(struct nets *g, struct fixed_layer *l)
{
    for (int e = 0; e < g->net->n_edge; e++) {
        const struct fixed_edge *edge = &g->net->edge[e];
        int stride = edge->h == l->h && edge->w == l->w ? 1 : 2;
        if (stride == 2 && ((edge->h + 1) / 2 != l->h || (edge->w + 1) / 2 != l->w))
            continue;
        if (edge->c > l->c || l->n_term == 3)
            continue;
        struct fixed_term *t = nets_term(l, e, 1, 1, stride, 0, 0);
        t->depthwise = true;
        t->cin = 1;
        t->cout = edge->c;
        t->chan = nets_below(g, l->c - edge->c + 1);
        nets_ones(g, t);
    }
}

static inline void nets_conv(struct nets *g, int from, int max_channels)
{
    static const int8_t kernel[][2] = { { 1, 1 }, { 3, 3 }, { 3, 3 }, { 5, 5 }, { 7, 7 }, { 1, 3 }, { 3, 1 }, { 2, 2 }, { 4, 5 }, { 1, 1 } };
    const struct fixed_edge *e = &g->net->edge[from];
    int k = nets_below(g, BASE_COUNT(kernel)), kh = kernel[k][0], kw = kernel[k][1], stride = 1 + (nets_below(g, 3) == 0);
    bool same = nets_below(g, 4), depthwise = nets_below(g, 4) == 0;
    int pt = same ? kh / 2 : 0, pl = same ? kw / 2 : 0;
    if (kh > e->h + 2 * pt || kw > e->w + 2 * pl)
        kh = kw = 1, pt = pl = 0;
    int extra = depthwise ? nets_below(g, 5) : 0, c = depthwise ? e->c + extra : 1 + nets_below(g, max_channels);
    struct fixed_layer *l = nets_layer(g, FIXED_MAC, nets_out(e->h, kh, stride, pt), nets_out(e->w, kw, stride, pl), c);
    struct fixed_term *t = nets_term(l, from, kh, kw, stride, pt, pl);
    t->depthwise = depthwise;
    t->cin = depthwise ? 1 : e->c;
    t->chan = extra;
    t->cout = c - extra;
    nets_weights(g, t, nets_below(g, 12) == 0);
    if (nets_below(g, 2))
        nets_residual(g, l);
    nets_finish(g, l, false);
}

static inline void nets_maxpool(struct nets *g, int from)
{
    const struct fixed_edge *e = &g->net->edge[from];
    int most = 2 + nets_below(g, 2), k = BASE_MIN(most, BASE_MIN(e->h, e->w)), stride = 1 + nets_below(g, 2), pad = nets_below(g, 2) && k > 1;
    struct fixed_layer *l = nets_layer(g, FIXED_MAXPOOL, nets_out(e->h, k, stride, pad), nets_out(e->w, k, stride, pad), e->c);
    struct fixed_term *t = nets_term(l, from, k, k, stride, pad, pad);
    t->cin = 1, t->cout = e->c, t->depthwise = true;
    l->out = g->net->n_edge;
    nets_edge(g, l->h, l->w, l->c, e->bits, e->is_signed);
}

static inline void nets_averagepool(struct nets *g, int from)
{
    const struct fixed_edge *e = &g->net->edge[from];
    struct fixed_layer *l = nets_layer(g, FIXED_MAC, 1, 1, e->c);
    struct fixed_term *t = nets_term(l, from, e->h, e->w, 1, 0, 0);
    t->depthwise = true, t->cin = 1, t->cout = e->c;
    nets_ones(g, t);
    nets_finish(g, l, false);
}

static inline void nets_dense(struct nets *g, int from, int classes)
{
    const struct fixed_edge *e = &g->net->edge[from];
    struct fixed_layer *l = nets_layer(g, FIXED_MAC, 1, 1, classes);
    struct fixed_term *t = nets_term(l, from, e->h, e->w, 1, 0, 0);
    t->cin = e->c, t->cout = classes;
    nets_weights(g, t, false);
    nets_finish(g, l, true);
}

static inline struct fixed_net *nets_random(uint64_t seed, int max_size, int max_channels)
{
    struct nets g = { .net = fixed_net_new("random", NETS_MAX_EDGE, NETS_MAX_EDGE) };
    base_rng_seed(&g.rng, seed);
    static const int image_channels[] = { 1, 3, 1, 2, 3, 4, 7, 16 };
    g.net->n_edge = g.net->n_layer = 0;
    g.net->classes = 1 + nets_below(&g, 20);
    g.net->logit_scale = 1;
    int layers = 1 + nets_below(&g, 6), c = image_channels[nets_below(&g, 8)];
    nets_edge(&g, 1 + nets_below(&g, max_size), 1 + nets_below(&g, max_size), c, 8, false);
    if (nets_below(&g, 2)) {
        uint8_t *pad = BASE_ARENA_NEW_N(g.net->arena, uint8_t, FIXED_MAX_CHAN_IN_PAD);
        for (int i = 0; i < c; i++)
            pad[i] = (uint8_t)nets_below(&g, 256);
        g.net->edge[0].pad = pad;
    }
    for (int i = 0; i < layers; i++) {
        int back = 1 + (nets_below(&g, 4) == 0), from = BASE_MAX(0, g.net->n_edge - back);
        if (nets_below(&g, 6) == 0)
            nets_maxpool(&g, from);
        else
            nets_conv(&g, from, max_channels);
    }
    if (nets_below(&g, 2))
        nets_averagepool(&g, g.net->n_edge - 1);
    nets_dense(&g, g.net->n_edge - 1, g.net->classes);
    return g.net;
}

/* `layers` layers on a small map, more of them than a device times, and the logits. */
static inline struct fixed_net *nets_deep(uint64_t seed, int layers)
{
    struct nets g = { .net = fixed_net_new("deep", layers + 1, layers + 1) };
    base_rng_seed(&g.rng, seed);
    g.net->n_edge = g.net->n_layer = 0;
    g.net->classes = 10;
    g.net->logit_scale = 1;
    nets_edge(&g, 4, 4, 3, 8, false);
    for (int i = 0; i < layers; i++)
        nets_conv(&g, g.net->n_edge - 1, 12);
    nets_dense(&g, g.net->n_edge - 1, 10);
    return g.net;
}

#endif
