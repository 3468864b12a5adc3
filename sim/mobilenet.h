/* mobilenet.h: MobileNet-v1 x0.25 for 96 x 96 images, two classes, as MLPerf Tiny's visual wake words has it, with random weights:
 * first convolution and last dense layer 8 x 8 bits, all else as asked. */
#ifndef BITPRESS_SIM_MOBILENET_H
#define BITPRESS_SIM_MOBILENET_H

#include "sim/resnet.h"

/* 3 x 3, each channel alone. Odd strides begin a pixel in front of the map, even ones on it: padding as TensorFlow's "same". */
static inline void mobilenet_depthwise(struct resnet *r, const char *name, int stride)
{
    int from = r->net->n_edge - 1, bits = r->w_bits, a = r->net->edge[from].bits, c = r->net->edge[from].c;
    struct fixed_layer *l = resnet_layer(r, name, (r->net->edge[from].h + stride - 1) / stride, c, a);
    struct fixed_term *t = &l->term[l->n_term];
    resnet_term(r, l, from, 3, stride, stride == 1, bits);
    t->depthwise = true, t->cin = 1;           /* of the codes the first c x 9 */
}

static inline struct fixed_net *mobilenet(int w_bits, int a_bits)
{
    static const struct { const char *name[2]; int stride, c; } block[13] = {
        { { "dw1", "pw1" }, 1, 16 },    { { "dw2", "pw2" }, 2, 32 },    { { "dw3", "pw3" }, 1, 32 },   { { "dw4", "pw4" }, 2, 64 },
        { { "dw5", "pw5" }, 1, 64 },    { { "dw6", "pw6" }, 2, 128 },   { { "dw7", "pw7" }, 1, 128 },  { { "dw8", "pw8" }, 1, 128 },
        { { "dw9", "pw9" }, 1, 128 },   { { "dw10", "pw10" }, 1, 128 }, { { "dw11", "pw11" }, 1, 128 }, { { "dw12", "pw12" }, 2, 256 },
        { { "dw13", "pw13" }, 1, 256 },
    };
    struct resnet r = { .net = fixed_net_new("mobilenet", 32, 32), .w_bits = w_bits, .a_bits = a_bits };
    base_rng_seed(&r.rng, 25);
    r.net->n_edge = 1, r.net->n_layer = 0, r.net->classes = 2, r.net->logit_scale = 1;
    r.net->edge[0] = (struct fixed_edge){ .name = "image", .h = 96, .w = 96, .c = 3, .bits = 8, .scale = 1 };
    resnet_term(&r, resnet_layer(&r, "conv1", 48, 8, a_bits), 0, 3, 2, 0, 8);
    for (int i = 0; i < 13; i++) {
        mobilenet_depthwise(&r, block[i].name[0], block[i].stride);
        int from = r.net->n_edge - 1;
        resnet_term(&r, resnet_layer(&r, block[i].name[1], r.net->edge[from].h, block[i].c, a_bits), from, 1, 1, 0, w_bits);
    }
    int last = r.net->n_edge - 1;
    resnet_ones(&r, resnet_layer(&r, "pool", 1, 256, 8), last, 3, 1, 0);
    resnet_term(&r, resnet_layer(&r, "dense", 1, 2, 0), r.net->n_edge - 1, 1, 1, 0, 8);
    return r.net;
}

#endif
