/* resnet.h: ResNets for 32 x 32 images (3 stages of `blocks` blocks: 3 for ResNet-20, 9 for ResNet-56) with random weights: first convolution and last
 * dense layer 8 x 8 bits, all else as asked; identity shortcuts (stride 2, channels in the middle). */
#ifndef BITPRESS_SIM_RESNET_H
#define BITPRESS_SIM_RESNET_H

#include <stdlib.h>

#include "fixed/fixed.h"

struct resnet { struct base_rng rng; struct fixed_net *net; int w_bits, a_bits; };

static inline struct fixed_term *resnet_term(struct resnet *r, struct fixed_layer *l, int edge, int k, int stride, int pad, int bits)
{
    struct fixed_term *t = &l->term[l->n_term++];
    int cin = r->net->edge[edge].c, a = r->net->edge[edge].bits;
    *t = (struct fixed_term){ .edge = edge, .kh = k, .kw = k, .stride = stride, .pad_t = pad, .pad_l = pad, .cout = l->c, .cin = cin,
                              .w_bits = bits, .n_plane = bits == 1 ? 2 : bits, .coef_shared = true };
    int64_t n = (int64_t)t->cout * k * k * cin;
    t->code = BASE_ARENA_NEW_N(r->net->arena, uint16_t, n);
    for (int64_t i = 0; i < n; i++)
        t->code[i] = (uint16_t)(bits == 1 ? 2 | base_rng_below(&r->rng, 2) : base_rng_below(&r->rng, 1u << bits));
    t->coef = BASE_ARENA_NEW_N(r->net->arena, int32_t, t->n_plane * a);
    for (int p = 0; p < t->n_plane; p++)
        for (int j = 0; j < a; j++)
            t->coef[p * a + j] = bits == 1 ? (p ? 2 : -1) * (1 << j) * (p ? 1 : -1) : (p == bits - 1 ? -1 : 1) * (1 << (p + j));
    return t;
}

/* Ones: a shortcut of stride s, or a mean over the map. */
static inline void resnet_ones(struct resnet *r, struct fixed_layer *l, int edge, int k, int stride, int chan)
{
    struct fixed_term *t = &l->term[l->n_term++];
    const struct fixed_edge *e = &r->net->edge[edge];
    *t = (struct fixed_term){ .edge = edge, .kh = k, .kw = k, .stride = stride, .depthwise = true, .chan = chan, .cout = e->c, .cin = 1,
                              .w_bits = 1, .n_plane = 1, .coef_shared = true };
    t->code = BASE_ARENA_NEW_N(r->net->arena, uint16_t, e->c * k * k);
    for (int i = 0; i < e->c * k * k; i++)
        t->code[i] = 1;
    t->coef = BASE_ARENA_NEW_N(r->net->arena, int32_t, e->bits);
    for (int j = 0; j < e->bits; j++)
        t->coef[j] = 4 << j;
}

static inline struct fixed_layer *resnet_layer(struct resnet *r, const char *name, int size, int c, int bits)
{
    struct fixed_layer *l = &r->net->layer[r->net->n_layer++];
    bool logits = bits == 0;
    *l = (struct fixed_layer){ .name = name, .out = logits ? -1 : r->net->n_edge, .h = size, .w = size, .c = c, .s = logits ? 1 : 16,
                               .lo = logits ? INT32_MIN : 0, .hi = logits ? INT32_MAX : (1 << bits) - 1 };
    l->m = BASE_ARENA_NEW_N(r->net->arena, int32_t, c);
    l->b = BASE_ARENA_NEW_N(r->net->arena, int64_t, c);
    for (int o = 0; o < c; o++)
        l->m[o] = logits ? 2 : 500 + (int)base_rng_below(&r->rng, 1000), l->b[o] = (int64_t)1 << (l->s - 1);
    if (!logits)
        r->net->edge[r->net->n_edge++] = (struct fixed_edge){ .name = name, .h = size, .w = size, .c = c, .bits = bits, .scale = 1 };
    return l;
}

static inline void resnet_pool(struct resnet *r, const char *name, int k, int stride, int pad)
{
    const struct fixed_edge *e = &r->net->edge[r->net->n_edge - 1];
    int size = (e->h + 2 * pad - k) / stride + 1, c = e->c, bits = e->bits;
    struct fixed_layer *l = resnet_layer(r, name, size, c, bits);
    l->kind = FIXED_MAXPOOL;
    l->term[0] = (struct fixed_term){ .edge = l->out - 1, .kh = k, .kw = k, .stride = stride, .pad_t = pad, .pad_l = pad, .depthwise = true, .cin = 1, .cout = c };
}

/* ResNet-18 for images of `size` x `size`, 224 in its paper, with projections where a stage begins. */
static inline struct fixed_net *resnet18(int w_bits, int a_bits, int size)
{
    static const char *const name[4][2] = { { "stage1.a", "stage1.b" }, { "stage2.a", "stage2.b" }, { "stage3.a", "stage3.b" }, { "stage4.a", "stage4.b" } };
    struct resnet r = { .net = fixed_net_new("resnet18", 24, 24) };
    base_rng_seed(&r.rng, 18);
    r.net->n_edge = 1, r.net->n_layer = 0, r.net->classes = 1000, r.net->logit_scale = 1;
    r.net->edge[0] = (struct fixed_edge){ .name = "image", .h = size, .w = size, .c = 3, .bits = 8, .scale = 1 };
    resnet_term(&r, resnet_layer(&r, "conv1", (size + 1) / 2, 64, a_bits), 0, 7, 2, 3, 8);
    resnet_pool(&r, "pool1", 3, 2, 1);
    for (int stage = 0, c = 64; stage < 4; stage++, c *= 2)
        for (int block = 0; block < 2; block++) {
            int from = r.net->n_edge - 1, stride = stage > 0 && block == 0 ? 2 : 1, side = (r.net->edge[from].h + stride - 1) / stride;
            resnet_term(&r, resnet_layer(&r, name[stage][0], side, c, a_bits), from, 3, stride, 1, w_bits);
            struct fixed_layer *l = resnet_layer(&r, name[stage][1], side, c, a_bits);
            resnet_term(&r, l, from + 1, 3, 1, 1, w_bits);
            if (stride == 2)
                resnet_term(&r, l, from, 1, 2, 0, w_bits);
            else
                resnet_ones(&r, l, from, 1, 1, 0);
        }
    int side = r.net->edge[r.net->n_edge - 1].h;
    resnet_ones(&r, resnet_layer(&r, "pool", 1, 512, 8), r.net->n_edge - 2, side, 1, 0);
    resnet_term(&r, resnet_layer(&r, "dense", 1, 1000, 0), r.net->n_edge - 1, 1, 1, 0, 8);
    return r.net;
}

static inline struct fixed_net *resnet(int blocks, int w_bits, int a_bits)
{
    struct resnet r = { .net = fixed_net_new("resnet", 6 * blocks + 4, 6 * blocks + 4), .w_bits = w_bits, .a_bits = a_bits };
    base_rng_seed(&r.rng, 20);
    r.net->n_edge = 1, r.net->n_layer = 0, r.net->classes = 10, r.net->logit_scale = 1;
    r.net->edge[0] = (struct fixed_edge){ .name = "image", .h = 32, .w = 32, .c = 3, .bits = 8, .scale = 1 };
    resnet_term(&r, resnet_layer(&r, "conv1", 32, 16, a_bits), 0, 3, 1, 1, 8);
    for (int stage = 0, size = 32, c = 16; stage < 3; stage++)
        for (int block = 0; block < blocks; block++) {
            static const char *const name[2][3] = { { "stage1.a", "stage2.a", "stage3.a" }, { "stage1.b", "stage2.b", "stage3.b" } };
            int from = r.net->n_edge - 1, stride = stage > 0 && block == 0 ? 2 : 1;
            size /= stride, c *= stride;
            resnet_term(&r, resnet_layer(&r, name[0][stage], size, c, a_bits), from, 3, stride, 1, w_bits);
            struct fixed_layer *l = resnet_layer(&r, name[1][stage], size, c, a_bits);
            resnet_term(&r, l, from + 1, 3, 1, 1, w_bits);
            resnet_ones(&r, l, from, 1, stride, (c - r.net->edge[from].c) / 2);
        }
    resnet_ones(&r, resnet_layer(&r, "pool", 1, 64, 8), r.net->n_edge - 2, 8, 1, 0);
    resnet_term(&r, resnet_layer(&r, "dense", 1, 10, 0), r.net->n_edge - 1, 1, 1, 0, 8);
    return r.net;
}

#endif
