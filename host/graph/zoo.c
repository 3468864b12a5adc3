/* zoo.c: the built-in networks, by name: architectures only, parameters zero.
 *   fmnist-cnn       28x28x1: five 3x3 convolutions, two max pools, global average pool, dense (5.5 MMAC)
 *   lenet            28x28x1: two 5x5 convolutions with max pools, two dense layers
 *   resnet8          32x32x3: the MLPerf Tiny image-classification network's shape, option-B shortcuts
 *   mobilenet-v1-x0.25, -x0.5, -x1  32x32x3: Howard et al., 2017, with strides and depth for small images: the first
 *                    convolution and block keep 32 x 32, four halvings follow; width times the multiplier
 *   resnet20 .. 56   32x32x3: He et al., 2016, section 4.2, option-A shortcuts (6n + 2 layers)
 * and the shapes of published FPGA designs (docs/comparison.md):
 *   mobilenet-v1-x0.25-96  96x96x3, two classes: MLPerf Tiny's visual wake words
 *   ds-cnn           49x10x1, twelve classes: MLPerf Tiny's keyword spotting
 *   kws-mlp          49x10x1: FINN's network for keyword spotting, four dense layers
 *   cnv              32x32x3: FINN's CNV, six 3x3 convolutions without padding, three dense layers
 */
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

/* A name for the next node; the builders copy it. */
struct maker {
    struct graph *g;
    int last; /* newest node, or a negative error that stays */
};

static const int pad1[4] = { 1, 1, 1, 1 }, pad0[4] = { 0, 0, 0, 0 };

enum { MAX_NAME = 64 };

/* "name.part"; the names of this file are short, and a cut one would still be a name. */
static void name_part(char to[MAX_NAME], const char *name, const char *part)
{
    snprintf(to, MAX_NAME, "%.40s.%s", name, part);
}

static void conv(struct maker *m, const char *name, int in, int cout, int k, int stride)
{
    if (m->last >= 0)
        m->last = graph_add_conv(m->g, name, in, cout, k, k, stride, k == 1 ? pad0 : k == 3 ? pad1 : (const int[4]){ 2, 2, 2, 2 }, false, false);
}

static void conv_bn(struct maker *m, const char *name, int in, int cout, int k, int stride)
{
    char bn[MAX_NAME];
    name_part(bn, name, "bn");
    conv(m, name, in, cout, k, stride);
    if (m->last >= 0)
        m->last = graph_add_batchnorm(m->g, bn, m->last);
}

static void relu(struct maker *m, const char *name)
{
    char s[MAX_NAME];
    name_part(s, name, "relu");
    if (m->last >= 0)
        m->last = graph_add_relu(m->g, s, m->last, GRAPH_RELU);
}

static void conv_bn_relu(struct maker *m, const char *name, int cout, int k, int stride)
{
    conv_bn(m, name, m->last, cout, k, stride);
    relu(m, name);
}

/* Batch norm and ReLU behind the last node, `name`. */
static void bn_relu(struct maker *m, const char *name)
{
    char bn[MAX_NAME];
    name_part(bn, name, "bn");
    if (m->last >= 0)
        m->last = graph_add_batchnorm(m->g, bn, m->last);
    relu(m, name);
}

static void maxpool2(struct maker *m, const char *name)
{
    if (m->last >= 0)
        m->last = graph_add_pool(m->g, name, m->last, GRAPH_MAXPOOL, 2, 2, 2, pad0);
}

static void head(struct maker *m, int classes)
{
    if (m->last < 0)
        return;
    struct graph_shape s = m->g->node[m->last].shape;
    m->last = graph_add_pool(m->g, "pool", m->last, GRAPH_AVGPOOL, s.h, s.w, 1, pad0);
    if (m->last >= 0)
        m->last = graph_add_dense(m->g, "fc", m->last, classes, true);
}

static void fmnist_cnn(struct maker *m, int unused)
{
    (void)unused;
    conv_bn_relu(m, "conv1", 16, 3, 1);
    maxpool2(m, "pool1");
    conv_bn_relu(m, "conv2", 32, 3, 1);
    conv_bn_relu(m, "conv3", 32, 3, 1);
    maxpool2(m, "pool2");
    conv_bn_relu(m, "conv4", 64, 3, 1);
    conv_bn_relu(m, "conv5", 64, 3, 1);
    head(m, 10);
}

static void lenet(struct maker *m, int unused)
{
    (void)unused;
    conv_bn_relu(m, "conv1", 16, 5, 1);
    maxpool2(m, "pool1");
    conv_bn_relu(m, "conv2", 32, 5, 1);
    maxpool2(m, "pool2");
    if (m->last >= 0)
        m->last = graph_add_dense(m->g, "fc1", m->last, 128, true);
    relu(m, "fc1");
    if (m->last >= 0)
        m->last = graph_add_dense(m->g, "fc2", m->last, 10, true);
}

/* Two 3x3 convolutions and a shortcut: identity, or option A / B where the shape changes. */
static void block(struct maker *m, const char *name, int cout, int stride, bool option_b)
{
    char s[MAX_NAME];
    int in = m->last;
    if (in < 0)
        return;
    int cin = m->g->node[in].shape.c;
    name_part(s, name, "conv1");
    conv_bn_relu(m, s, cout, 3, stride);
    name_part(s, name, "conv2");
    conv_bn(m, s, m->last, cout, 3, 1);
    int body = m->last, shortcut = in;
    if (body >= 0 && (stride != 1 || cin != cout)) {
        name_part(s, name, "shortcut");
        if (option_b)
            conv_bn(m, s, in, cout, 1, stride);
        else
            m->last = graph_add_shortcut(m->g, s, in, cout, stride, (cout - cin) / 2);
        shortcut = m->last;
    }
    if (m->last >= 0) {
        name_part(s, name, "add");
        m->last = graph_add_add(m->g, s, body, shortcut);
    }
    relu(m, name);
}

static void resnet8(struct maker *m, int unused)
{
    (void)unused;
    conv_bn_relu(m, "conv1", 16, 3, 1);
    block(m, "stage1", 16, 1, true);
    block(m, "stage2", 32, 2, true);
    block(m, "stage3", 64, 2, true);
    head(m, 10);
}

static void resnet(struct maker *m, int n)
{
    conv_bn_relu(m, "conv1", 16, 3, 1);
    for (int stage = 0; stage < 3; stage++)
        for (int b = 0; b < n; b++) {
            char name[32];
            snprintf(name, sizeof name, "s%d.b%d", stage + 1, b + 1);
            block(m, name, 16 << stage, stage && !b ? 2 : 1, false);
        }
    head(m, 10);
}

/* Depthwise 3x3, then 1x1, each with batch norm and ReLU. */
static void separable(struct maker *m, int number, int cout, int stride)
{
    char s[MAX_NAME];
    snprintf(s, sizeof s, "b%d.dw", number);
    if (m->last >= 0)
        m->last = graph_add_conv(m->g, s, m->last, m->g->node[m->last].shape.c, 3, 3, stride, pad1, true, false);
    bn_relu(m, s);
    snprintf(s, sizeof s, "b%d.pw", number);
    conv_bn_relu(m, s, cout, 1, 1);
}

static void mobilenet_of(struct maker *m, int quarters, int first_stride, int classes)
{
    static const struct { int cout, stride; } body[] = {
        { 64, 1 }, { 128, 2 }, { 128, 1 }, { 256, 2 }, { 256, 1 }, { 512, 2 },
        { 512, 1 }, { 512, 1 }, { 512, 1 }, { 512, 1 }, { 512, 1 }, { 1024, 2 }, { 1024, 1 },
    };
    conv_bn_relu(m, "conv1", 32 * quarters / 4, 3, first_stride);
    for (int i = 0; i < BASE_COUNT(body); i++)
        separable(m, i + 1, body[i].cout * quarters / 4, body[i].stride);
    head(m, classes);
}

/* quarters: four times the width multiplier. */
static void mobilenet(struct maker *m, int quarters)
{
    mobilenet_of(m, quarters, 1, 10);
}

static void mobilenet_96(struct maker *m, int quarters)
{
    mobilenet_of(m, quarters, 2, 2);
}

static void ds_cnn(struct maker *m, int channels)
{
    if (m->last >= 0)
        m->last = graph_add_conv(m->g, "conv1", m->last, channels, 10, 4, 2, (const int[4]){ 4, 1, 5, 1 }, false, false);
    bn_relu(m, "conv1");
    for (int i = 0; i < 4; i++)
        separable(m, i + 1, channels, 1);
    head(m, 12);
}

static void dense_bn_relu(struct maker *m, const char *name, int cout)
{
    if (m->last >= 0)
        m->last = graph_add_dense(m->g, name, m->last, cout, false);
    bn_relu(m, name);
}

static void kws_mlp(struct maker *m, int width)
{
    dense_bn_relu(m, "fc1", width);
    dense_bn_relu(m, "fc2", width);
    dense_bn_relu(m, "fc3", width);
    if (m->last >= 0)
        m->last = graph_add_dense(m->g, "fc4", m->last, 12, true);
}

static void cnv(struct maker *m, int unused)
{
    static const int width[] = { 64, 64, 128, 128, 256, 256 };
    (void)unused;
    for (int i = 0; i < BASE_COUNT(width); i++) {
        char s[MAX_NAME];
        snprintf(s, sizeof s, "conv%d", i + 1);
        if (m->last >= 0)
            m->last = graph_add_conv(m->g, s, m->last, width[i], 3, 3, 1, pad0, false, false);
        bn_relu(m, s);
        if (i == 1 || i == 3)
            maxpool2(m, i == 1 ? "pool1" : "pool2");
    }
    dense_bn_relu(m, "fc1", 512);
    dense_bn_relu(m, "fc2", 512);
    if (m->last >= 0)
        m->last = graph_add_dense(m->g, "fc3", m->last, 10, true);
}

static const struct {
    const char *name;
    struct graph_shape in;
    void (*make)(struct maker *m, int arg);
    int arg;
} zoo[] = {
    { "fmnist-cnn", { 28, 28, 1 }, fmnist_cnn, 0 }, { "lenet", { 28, 28, 1 }, lenet, 0 },
    { "resnet8", { 32, 32, 3 }, resnet8, 0 },       { "resnet20", { 32, 32, 3 }, resnet, 3 },
    { "resnet32", { 32, 32, 3 }, resnet, 5 },       { "resnet44", { 32, 32, 3 }, resnet, 7 },
    { "resnet56", { 32, 32, 3 }, resnet, 9 },
    { "mobilenet-v1-x0.25", { 32, 32, 3 }, mobilenet, 1 }, { "mobilenet-v1-x0.5", { 32, 32, 3 }, mobilenet, 2 },
    { "mobilenet-v1-x1", { 32, 32, 3 }, mobilenet, 4 }, { "mobilenet-v1-x0.25-96", { 96, 96, 3 }, mobilenet_96, 1 },
    { "ds-cnn", { 49, 10, 1 }, ds_cnn, 64 },            { "kws-mlp", { 49, 10, 1 }, kws_mlp, 256 },
    { "cnv", { 32, 32, 3 }, cnv, 0 },
};

int graph_zoo(struct graph **out, const char *name)
{
    *out = NULL;
    for (int i = 0; i < BASE_COUNT(zoo); i++) {
        if (strcmp(zoo[i].name, name))
            continue;
        struct maker m = { .g = graph_new(name) };
        if (!m.g)
            return BASE_NOMEM;
        m.last = graph_add_input(m.g, "input", zoo[i].in);
        if (m.last >= 0)
            zoo[i].make(&m, zoo[i].arg);
        int rc = m.last < 0 ? m.last : BASE_OK;
        if (!rc) {
            m.g->output = m.last;
            struct graph_prep *p = &m.g->prep;
            p->scale = 1.0f / 255;
            p->known = true;
            p->n = zoo[i].in.c;
            for (int c = 0; c < p->n; c++) {
                p->mean[c] = 0;
                p->std[c] = 1;
            }
            rc = graph_check(m.g);
        }
        if (rc) {
            graph_free(m.g);
            return rc;
        }
        *out = m.g;
        return BASE_OK;
    }
    struct base_text names = { 0 };
    for (int i = 0; i < BASE_COUNT(zoo); i++)
        base_text_add(&names, "%s%s", i ? ", " : "", zoo[i].name);
    int rc = base_fail(BASE_INPUT, "network '%s' is not built in (there are %s)", name, names.s ? names.s : "none");
    base_text_free(&names);
    return rc;
}
