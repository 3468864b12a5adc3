/* vgg.h: VGG-16 for 224 x 224 images and 1000 classes with random weights: first convolution and last dense layer 8 x 8 bits, all else
 * as asked. Its first dense layer has 25,088 inputs: at 4 bits and more a filter group is larger than the weight memory. */
#ifndef BITPRESS_SIM_VGG_H
#define BITPRESS_SIM_VGG_H

#include "sim/resnet.h"

static inline struct fixed_net *vgg16(int w_bits, int a_bits)
{
    static const struct { const char *name; int c; } step[] = {        /* 0 channels: a pool */
        { "conv1.1", 64 },  { "conv1.2", 64 },  { "pool1", 0 }, { "conv2.1", 128 }, { "conv2.2", 128 }, { "pool2", 0 }, { "conv3.1", 256 },
        { "conv3.2", 256 }, { "conv3.3", 256 }, { "pool3", 0 }, { "conv4.1", 512 }, { "conv4.2", 512 }, { "conv4.3", 512 }, { "pool4", 0 },
        { "conv5.1", 512 }, { "conv5.2", 512 }, { "conv5.3", 512 }, { "pool5", 0 },
    };
    struct resnet r = { .net = fixed_net_new("vgg16", 24, 24) };
    base_rng_seed(&r.rng, 16);
    r.net->n_edge = 1, r.net->n_layer = 0, r.net->classes = 1000, r.net->logit_scale = 1;
    r.net->edge[0] = (struct fixed_edge){ .name = "image", .h = 224, .w = 224, .c = 3, .bits = 8, .scale = 1 };
    for (int i = 0; i < BASE_COUNT(step); i++) {
        int from = r.net->n_edge - 1;
        if (step[i].c == 0)
            resnet_pool(&r, step[i].name, 2, 2, 0);
        else
            resnet_term(&r, resnet_layer(&r, step[i].name, r.net->edge[from].h, step[i].c, a_bits), from, 3, 1, 1, i ? w_bits : 8);
    }
    resnet_term(&r, resnet_layer(&r, "dense1", 1, 4096, a_bits), r.net->n_edge - 2, 7, 1, 0, w_bits);
    resnet_term(&r, resnet_layer(&r, "dense2", 1, 4096, 8), r.net->n_edge - 2, 1, 1, 0, w_bits);
    resnet_term(&r, resnet_layer(&r, "dense3", 1, 1000, 0), r.net->n_edge - 1, 1, 1, 0, 8);
    return r.net;
}

#endif
