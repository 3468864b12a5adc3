/* fixed_nets: small networks by hand. An image becomes the map "in" (edge 1), whose codes a test chooses;
 * the layer under test, number 1, reads it and writes the map "out" or, with out.bits = 0, the logits. */
#ifndef FIXED_NETS_H
#define FIXED_NETS_H

#include "unit.h"

#include "fixed/fixed.h"

struct fx_shape { int h, w, c, bits; bool is_signed; };

/* What fx_term adds: weights[cout][kh][kw][cin] of w_bits, NULL: ones. */
struct fx_term { int edge, kh, kw, stride, pad_t, pad_l, chan, cout; bool depthwise; int w_bits, f; const int *weight; };

static inline void fx_identity_scale(struct fixed_net *net, int layer)
{
    struct fixed_layer *l = &net->layer[layer];
    l->m = BASE_ARENA_NEW_N(net->arena, int32_t, l->c);
    l->b = BASE_ARENA_NEW_N(net->arena, int64_t, l->c);
    l->s = 1;
    for (int o = 0; o < l->c; o++)
        l->m[o] = 2, l->b[o] = 1;
    l->lo = INT32_MIN;
    l->hi = INT32_MAX;
    if (l->out >= 0) {
        const struct fixed_edge *e = &net->edge[l->out];
        l->lo = e->is_signed ? -(1 << (e->bits - 1)) : 0;
        l->hi = (1 << (e->bits - e->is_signed)) - 1;
    }
}

/* Coefficients value[t] x 2^(f+j), the sign plane of a signed edge negative, the same for every channel. */
static inline void fx_coefs(struct fixed_net *net, struct fixed_term *t, const int *value, int f)
{
    const struct fixed_edge *e = &net->edge[t->edge];
    t->coef_shared = true;
    t->coef = BASE_ARENA_NEW_N(net->arena, int32_t, t->n_plane * e->bits);
    for (int p = 0; p < t->n_plane; p++)
        for (int j = 0; j < e->bits; j++)
            t->coef[p * e->bits + j] = value[p] * (1 << (f + j)) * (e->is_signed && j == e->bits - 1 ? -1 : 1);
}

static inline struct fixed_term *fx_add(struct fixed_net *net, int layer, struct fx_term x)
{
    struct fixed_layer *l = &net->layer[layer];
    struct fixed_term *t = &l->term[l->n_term++];
    int value[8] = { 1 }, b = x.weight ? x.w_bits : 0;
    *t = (struct fixed_term){ .edge = x.edge, .kh = x.kh, .kw = x.kw, .stride = x.stride ? x.stride : 1, .pad_t = x.pad_t, .pad_l = x.pad_l,
                              .depthwise = x.depthwise, .chan = x.chan, .cout = x.cout, .cin = x.depthwise ? 1 : net->edge[x.edge].c,
                              .w_bits = b ? b : 1, .n_plane = b == 1 ? 2 : b ? b : 1 };
    int64_t n = (int64_t)t->cout * t->kh * t->kw * t->cin;
    t->code = BASE_ARENA_NEW_N(net->arena, uint16_t, n);
    for (int64_t i = 0; i < n; i++)
        t->code[i] = (uint16_t)(!b ? 1 : b == 1 ? 2 | (x.weight[i] > 0) : x.weight[i] & ((1 << b) - 1));
    for (int p = 0; p < b; p++)
        value[p] = p == b - 1 ? -(1 << p) : 1 << p;
    if (b == 1)
        value[0] = 2, value[1] = -1;
    l->f = x.f;
    fx_coefs(net, t, value, x.f);
    return t;
}

static inline struct fixed_net *fx_new(struct fx_shape in, struct fx_shape out)
{
    bool map = out.bits > 0;
    struct fixed_net *net = fixed_net_new("hand", map ? 3 : 2, map ? 3 : 2);
    assert_non_null(net);
    net->classes = map ? 1 : out.c;
    net->edge[0] = (struct fixed_edge){ .name = "image", .h = in.h, .w = in.w, .c = in.c, .bits = 8, .scale = 1 };
    net->edge[1] = (struct fixed_edge){ .name = "in", .h = in.h, .w = in.w, .c = in.c, .bits = in.bits, .is_signed = in.is_signed, .scale = 1 };
    net->layer[0] = (struct fixed_layer){ .name = "first", .out = 1, .h = in.h, .w = in.w, .c = in.c };
    net->layer[1] = (struct fixed_layer){ .name = "tested", .out = map ? 2 : -1, .h = out.h, .w = out.w, .c = out.c };
    fx_add(net, 0, (struct fx_term){ .edge = 0, .kh = 1, .kw = 1, .cout = in.c, .depthwise = true });
    fx_identity_scale(net, 0);
    for (int c = 0; in.is_signed && c < in.c; c++)
        net->layer[0].b[c] -= 2 * 128;         /* pixel p is code p - 128 */
    if (map) {
        net->edge[2] = (struct fixed_edge){ .name = "out", .h = out.h, .w = out.w, .c = out.c, .bits = out.bits, .is_signed = out.is_signed, .scale = 1 };
        net->layer[2] = (struct fixed_layer){ .name = "last", .out = -1, .h = 1, .w = 1, .c = 1 };
        fx_add(net, 2, (struct fx_term){ .edge = 2, .kh = out.h, .kw = out.w, .cout = 1 });
        fx_identity_scale(net, 2);
    }
    fx_identity_scale(net, 1);
    return net;
}

/* The tested layer's output for codes `in`, by the definition and by the fast path, which must agree. */
static __attribute__((noinline, unused)) void fx_run(const struct fixed_net *net, const int *in, int32_t *out)
{
    const struct fixed_edge *e = &net->edge[1];
    const struct fixed_layer *l = &net->layer[1];
    int n = e->h * e->w * e->c, n_out = l->h * l->w * l->c;
    uint8_t *pixels = base_alloc((size_t)n);
    int16_t *image = BASE_NEW_N(int16_t, n), *codes = BASE_NEW_N(int16_t, n), *const maps[] = { image, codes }, *const *edges;
    int32_t *logits = BASE_NEW_N(int32_t, BASE_MAX(n_out, 1));
    for (int i = 0; i < n; i++) {
        codes[i] = (int16_t)in[i];
        pixels[i] = (uint8_t)(in[i] + (e->is_signed ? 128 : 0));
        image[i] = pixels[i];
    }
    assert_ok(fixed_check(net));
    assert_ok(qref_layer(net, 1, maps, out));
    struct qref *q = qref_new(net, NULL);
    assert_non_null(q);
    assert_ok(qref_run_edges(q, pixels, logits, &edges));
    for (int i = 0; i < n; i++)
        assert_int_equal(edges[1][i], in[i]);
    for (int i = 0; i < n_out; i++)
        assert_int_equal(l->out < 0 ? logits[i] : edges[l->out][i], out[i]);
    qref_free(q);
    base_free(pixels);
    base_free(image);
    base_free(codes);
    base_free(logits);
}

#define FX_CODES(...) ((const int[]){ __VA_ARGS__ })
#define fx_expect(net, in, ...)                                                                              \
    do {                                                                                                     \
        const int32_t want_[] = { __VA_ARGS__ };                                                             \
        int32_t got_[BASE_COUNT(want_)];                                                                     \
        assert_int_equal(BASE_COUNT(want_), (net)->layer[1].h * (net)->layer[1].w * (net)->layer[1].c);      \
        fx_run((net), (in), got_);                                                                           \
        for (int i_ = 0; i_ < BASE_COUNT(want_); i_++)                                                       \
            assert_int_equal(got_[i_], want_[i_]);                                                           \
    } while (0)

#endif
