/* compress: lowered networks against a direct computation of the fake-quantized values. */
#define _GNU_SOURCE
#include "integers.h"

#include <math.h>

#include "compress/compress.h"

/* ---- the oracle: a graph's layers in double, weights and edges quantized -------------- */

struct oracle {
    const struct graph *g;
    const struct graph_layers *ls;
    const struct nn_quant *q;
    double **map;              /* [n_edge] [h][w][c]; edge 0: normalized input */
    const double *outside;     /* [c]: normalized padding of edge 0 */
};

static double value_at(const struct oracle *o, int edge, int y, int x, int c)
{
    struct graph_shape s = graph_edge_shape(o->g, o->ls, edge);
    if (y < 0 || x < 0 || y >= s.h || x >= s.w)
        return edge ? 0 : o->outside[c];
    return o->map[edge][((int64_t)y * s.w + x) * s.c + c];
}

static double weight_value(const struct nn_quant_term *t, float w, int out, int in)
{
    float g = t->in_factor ? t->in_factor[in] : 1, s = t->w_scale[out];
    float lo = -(float)(1 << (t->w_bits - 1));
    float v = t->w_bits == 1 ? (w * g < 0 ? -1 : 1) : fminf(fmaxf(floorf(w * g / s + 0.5f), lo), -lo - 1);
    return (double)v * (double)s / (double)g;
}

static double term_value(const struct oracle *o, int layer, int k, int y, int x, int c)
{
    const struct graph_term *t = &o->ls->layer[layer].term[k];
    const struct graph_node *n = t->node < 0 ? NULL : &o->g->node[t->node];
    int cin = graph_edge_shape(o->g, o->ls, t->edge).c, ch = c - t->chan - (n ? n->chan_before : 0);
    if (!n || !n->weight) {
        double sum = 0;
        int kh = n ? n->kh : 1, kw = n ? n->kw : 1, st = n ? n->stride : 1;
        if (ch < 0 || ch >= cin)
            return 0;
        for (int i = 0; i < kh * kw; i++)
            sum += value_at(o, t->edge, y * st + i / kw, x * st + i % kw, ch);
        return sum / (kh * kw);
    }
    int st = n->op == GRAPH_DENSE ? 1 : n->stride, per = n->depthwise ? 1 : cin;
    double sum = n->bias ? (double)n->bias[c] : 0;
    const float *w = n->weight + (int64_t)c * n->kh * n->kw * per;
    for (int i = 0; i < n->kh * n->kw * per; i++) {
        int in = n->depthwise ? c : i % per, tap = i / per;
        sum += weight_value(&o->q->layer[layer].term[k], w[i], c, in) *
               value_at(o, t->edge, y * st - n->pad_t + tap / n->kw, x * st - n->pad_l + tap % n->kw, in);
    }
    if (t->batchnorm < 0)
        return sum;
    const struct graph_node *b = &o->g->node[t->batchnorm];
    return (sum - (double)b->mean[c]) / sqrt((double)b->var[c] + (double)b->eps) * (double)b->gamma[c] + (double)b->beta[c];
}

static double pooled(const struct oracle *o, const struct graph_layer *l, int y, int x, int c)
{
    const struct graph_node *n = &o->g->node[l->node];
    struct graph_shape s = graph_edge_shape(o->g, o->ls, l->term[0].edge);
    double best = -1e30;
    for (int i = 0; i < n->kh * n->kw; i++) {
        int yy = y * n->stride - n->pad_t + i / n->kw, xx = x * n->stride - n->pad_l + i % n->kw;
        if (yy >= 0 && xx >= 0 && yy < s.h && xx < s.w)
            best = fmax(best, value_at(o, l->term[0].edge, yy, xx, c));
    }
    return best;
}

static double quantized(const struct nn_quant_edge *e, double v)
{
    double s = (double)e->scale, lo = e->is_signed ? -(double)(1 << (e->bits - 1)) : 0, hi = (1 << (e->bits - e->is_signed)) - 1;
    return e->bits ? fmin(fmax(floor(v / s + 0.5), lo), hi) * s : v;
}

/* Value of (layer, y, x, c) from the maps in front of it. */
static double layer_value(const struct oracle *o, int i, int y, int x, int c)
{
    const struct graph_layer *l = &o->ls->layer[i];
    double v = 0;
    if (l->kind == GRAPH_LAYER_MAXPOOL)
        return pooled(o, l, y, x, c);
    for (int k = 0; k < l->n_term; k++) {
        int from = l->term[k].chan, n = l->term[k].node, width = n < 0 ? graph_edge_shape(o->g, o->ls, l->term[k].edge).c : o->g->node[n].shape.c;
        if (c >= from && c < from + width)
            v += term_value(o, i, k, y, x, c);
    }
    if (l->relu != GRAPH_OP_COUNT)
        v = fmax(v, 0);
    return l->relu == GRAPH_RELU6 ? fmin(v, 6) : v;
}

/* Layer by layer, each from the integer network's own maps: no error is counted twice. */
struct tally { int64_t equal, near, far; double logit_error, logit_top; };

static void compare(struct tally *t, const struct oracle *o, const struct fixed_net *net, int16_t *const *edges, const int32_t *logits)
{
    for (int i = 0; i < o->ls->n; i++) {
        struct graph_shape s = o->ls->layer[i].shape;
        const struct nn_quant_edge *e = &o->q->edge[i + 1];
        for (int at = 0; at < s.h * s.w * s.c; at++) {
            double v = layer_value(o, i, at / s.c / s.w, at / s.c % s.w, at % s.c);
            if (i == o->ls->n - 1) {
                t->logit_error = fmax(t->logit_error, fabs(v - logits[at] * net->logit_scale));
                t->logit_top = fmax(t->logit_top, fabs(v));
                continue;
            }
            double scale = net->edge[i + 1].scale;
            int want = (int)floor(quantized(e, v) / scale + 0.5), got = edges[i + 1][at];
            *(want == got ? &t->equal : abs(want - got) == 1 ? &t->near : &t->far) += 1;
            o->map[i + 1][at] = got * scale;
        }
    }
}

/* ---- networks ------------------------------------------------------------------------ */

static const int pad1[4] = { 1, 1, 1, 1 }, pad0[4] = { 0, 0, 0, 0 };

static int conv(struct graph *g, const char *name, int in, int cout, int k, int stride, bool depthwise)
{
    int c = graph_add_conv(g, name, in, cout, k, k, stride, k == 3 ? pad1 : pad0, depthwise, true);
    char bn[64];
    snprintf(bn, sizeof bn, "%s.bn", name);
    return graph_add_batchnorm(g, bn, c);
}

static int relu(struct graph *g, const char *name, int in, bool six)
{
    return graph_add_relu(g, name, in, six ? GRAPH_RELU6 : GRAPH_RELU);
}

static struct graph *start(int h, int w, int c)
{
    struct graph *g = graph_new("test");
    assert_non_null(g);
    assert_int_equal(graph_add_input(g, "input", (struct graph_shape){ h, w, c }), 0);
    g->prep.scale = 1.0f / 255;
    g->prep.n = c;
    for (int i = 0; i < c; i++) {
        g->prep.mean[i] = 0.3f + 0.1f * (float)i;
        g->prep.std[i] = 0.25f + 0.05f * (float)i;
    }
    return g;
}

static void randomize(struct graph *g, uint64_t seed, bool negative_gamma)
{
    struct base_rng r;
    base_rng_seed(&r, seed);
    for (int i = 0; i < g->n_node; i++) {
        struct graph_node *n = &g->node[i];
        int per = n->weight ? n->kh * n->kw * (n->depthwise ? 1 : g->node[n->in[0]].shape.c) : 0;
        for (int64_t j = 0; n->weight && j < (int64_t)per * n->shape.c; j++)
            n->weight[j] = base_rng_normal(&r) * sqrtf(2.0f / (float)per);
        for (int c = 0; n->bias && c < n->shape.c; c++)
            n->bias[c] = 0.2f * base_rng_normal(&r);
        for (int c = 0; n->gamma && c < n->shape.c; c++) {
            n->gamma[c] = (0.5f + base_rng_uniform(&r)) * (negative_gamma && c % 4 == 1 ? -1.0f : 1.0f);
            n->beta[c] = 0.3f * base_rng_normal(&r);
            n->mean[c] = 0.3f * base_rng_normal(&r);
            n->var[c] = 0.5f + base_rng_uniform(&r);
        }
    }
}

/* Channels whose batch norm (nearly) switches them off, as training leaves some. */
static void fade(struct graph *g)
{
    for (int i = 0; i < g->n_node; i++)
        for (int c = 0; g->node[i].gamma && c < g->node[i].shape.c; c++)
            g->node[i].gamma[c] *= c % 5 == 2 ? 0 : c % 5 == 3 ? 1e-4f : 1;
}

static int finish(struct graph *g, int in)
{
    struct graph_shape s = g->node[in].shape;
    int p = graph_add_pool(g, "pool", in, GRAPH_AVGPOOL, s.h, s.w, 1, pad0);
    g->output = graph_add_dense(g, "fc", p, 10, true);
    return g->output;
}

static struct graph *plain_net(void)
{
    struct graph *g = start(8, 8, 3);
    int x = relu(g, "r1", conv(g, "c1", 0, 8, 3, 1, false), false);
    x = graph_add_pool(g, "max", x, GRAPH_MAXPOOL, 3, 3, 2, pad1);
    x = relu(g, "r2", conv(g, "c2", x, 12, 3, 1, false), true);
    assert_true(finish(g, x) > 0);
    return g;
}

static struct graph *residual_net(void)
{
    struct graph *g = start(8, 8, 2);
    int x = relu(g, "r1", conv(g, "c1", 0, 8, 3, 1, false), false);
    int y = conv(g, "b1", relu(g, "r2", conv(g, "a1", x, 8, 3, 1, false), false), 8, 3, 1, false);
    x = relu(g, "r3", graph_add_add(g, "identity", y, x), false);
    y = conv(g, "b2", relu(g, "r4", conv(g, "a2", x, 16, 3, 2, false), false), 16, 3, 1, false);
    x = relu(g, "r5", graph_add_add(g, "option_b", y, conv(g, "sc", x, 16, 1, 2, false)), false);
    y = conv(g, "b3", relu(g, "r6", conv(g, "a3", x, 24, 3, 2, false), false), 24, 3, 1, false);
    x = relu(g, "r7", graph_add_add(g, "option_a", y, graph_add_shortcut(g, "sa", x, 24, 2, 4)), false);
    assert_true(finish(g, x) > 0);
    return g;
}

/* Linear (signed) edges, depthwise, concat, a sum of two edges. */
static struct graph *mobile_net(void)
{
    struct graph *g = start(8, 8, 1);
    int x = conv(g, "c1", 0, 8, 3, 1, false);
    int y = relu(g, "r2", conv(g, "dw", relu(g, "r1", conv(g, "up", x, 16, 1, 1, false), true), 16, 3, 1, true), true);
    int z = graph_add_add(g, "linear", conv(g, "down", y, 8, 1, 1, false), x);
    int cat = graph_add_concat(g, "cat", (const int[3]){ z, y, x }, 3);
    int u = relu(g, "r3", conv(g, "mix", cat, 8, 1, 1, false), false);
    int v = graph_add_add(g, "edges", u, z);
    int mean = graph_add_pool(g, "mean", v, GRAPH_AVGPOOL, 2, 2, 2, pad0);
    assert_true(finish(g, mean) > 0);
    return g;
}

/* ---- the check -------------------------------------------------------------------------- */

/* Scales that suit the network's real range: from the oracle's own float run of one image. */
static void set_scales(struct oracle *o, struct nn_quant *q, const struct compress_recipe *r)
{
    for (int i = 0; i < o->ls->n; i++) {
        const struct graph_layer *l = &o->ls->layer[i];
        for (int k = 0; k < l->n_term; k++) {
            const struct graph_node *n = l->term[k].node < 0 ? NULL : &o->g->node[l->term[k].node];
            if (!n || !n->weight)
                continue;
            int cin = graph_edge_shape(o->g, o->ls, l->term[k].edge).c, per = n->kh * n->kw * (n->depthwise ? 1 : cin);
            struct nn_quant_term *t = &q->layer[i].term[k];
            t->w_bits = r->layer[i].w_bits;
            for (int c = 0; c < n->shape.c; c++) {
                float w[1024];
                assert_true(per <= 1024);
                for (int j = 0; j < per; j++)
                    w[j] = n->weight[c * per + j] * (t->in_factor ? t->in_factor[n->depthwise ? c : j % cin] : 1);
                t->w_scale[c] = compress_scale_weights(w, per, t->w_bits);
            }
        }
        struct nn_quant_edge *e = &q->edge[i + 1];
        double top = 0;
        for (int at = 0; at < l->shape.h * l->shape.w * l->shape.c; at++) {
            double v = layer_value(o, i, at / l->shape.c / l->shape.w, at / l->shape.c % l->shape.w, at % l->shape.c);
            o->map[i + 1][at] = v;
            top = fmax(top, fabs(v));
        }
        e->bits = compress_recipe_edge_bits(r, o->g, o->ls, i + 1);
        e->is_signed = graph_edge_signed(o->g, o->ls, i + 1);
        e->scale = e->bits ? (float)(top * 0.7 / ((1 << (e->bits - e->is_signed)) - 1)) : 1;
        if (l->kind == GRAPH_LAYER_MAXPOOL)
            e->bits = 0;
    }
}

static void fill_input(struct oracle *o, uint8_t *pixels, int n, struct base_rng *r)
{
    int c = o->g->node[0].shape.c;
    const struct graph_prep *p = &o->g->prep;
    for (int i = 0; i < n; i++) {
        pixels[i] = (uint8_t)base_rng_below(r, 256);
        o->map[0][i] = (pixels[i] * (double)p->scale - (double)p->mean[i % c]) / (double)p->std[i % c];
    }
}

/* Returns how many channels of terms the float engine could not run as products of integers. */
static int check_net(struct graph *g, int w_bits, int a_bits, uint64_t seed, bool flip, bool faint)
{
    struct graph_layers ls;
    struct compress_recipe r;
    struct nn_quant *q;
    struct fixed_net *net;
    randomize(g, seed, true);
    if (faint)
        fade(g);
    if (flip)
        compress_positive_gamma(g);
    assert_ok(graph_make_layers(g, &ls));
    assert_ok(compress_recipe_default(&r, g, &ls, w_bits, a_bits));
    assert_ok(nn_quant_new(&q, g, &ls));
    assert_ok(nn_quant_pixel_factor(q, g, &ls));
    double outside[16];
    for (int c = 0; c < g->prep.n; c++)
        outside[c] = (floor((double)g->prep.mean[c] / (double)g->prep.scale + 0.5) * (double)g->prep.scale - (double)g->prep.mean[c]) / (double)g->prep.std[c];
    struct oracle o = { .g = g, .ls = &ls, .q = q, .outside = outside };
    o.map = BASE_NEW_N(double *, ls.n_edge);
    for (int e = 0; e < ls.n_edge; e++) {
        struct graph_shape s = graph_edge_shape(g, &ls, e);
        o.map[e] = BASE_NEW_N(double, s.h * s.w * s.c);
    }
    struct graph_shape in = g->node[0].shape;
    uint8_t pixels[8 * 8 * 3];
    struct base_rng rng;
    base_rng_seed(&rng, seed);
    fill_input(&o, pixels, in.h * in.w * in.c, &rng);
    set_scales(&o, q, &r);
    assert_ok(compress_lower_graph(&net, g, &ls, q));
    struct qref *ref = qref_new(net, NULL);
    assert_non_null(ref);
    struct tally t = { 0 };
    for (int i = 0; i < 6; i++) {
        int32_t logits[10];
        int16_t *const *edges;
        fill_input(&o, pixels, in.h * in.w * in.c, &rng);
        assert_ok(qref_run_edges(ref, pixels, logits, &edges));
        compare(&t, &o, net, edges, logits);
    }
    /* coefficients of 18 bits of what does not lead, a residual's in pairs (lower.c) */
    if (t.far || (double)t.near > (w_bits + a_bits > 14 ? 2e-3 : 1e-3) * (double)t.equal || !(t.logit_error < 2e-3 * t.logit_top))
        fail_msg("W%dA%d: %ld equal, %ld off by one, %ld further; logits off by %g of %g", w_bits, a_bits, (long)t.equal, (long)t.near, (long)t.far, t.logit_error, t.logit_top);
    enum { IMAGES = 20 };
    uint8_t images[IMAGES * 8 * 8 * 3];
    for (int i = 0; i < BASE_COUNT(images); i++)
        images[i] = (uint8_t)base_rng_below(&rng, 256);
    int by_planes = integers_equal(g, q, net, images, IMAGES, NULL);
    qref_free(ref);
    fixed_net_free(net);
    nn_quant_free(q);
    compress_recipe_free(&r);
    for (int e = 0; e < ls.n_edge; e++)
        base_free(o.map[e]);
    base_free(o.map);
    graph_free(g);
    return by_planes;
}

static const int widths[][2] = { { 8, 8 }, { 4, 4 }, { 2, 3 }, { 1, 2 }, { 1, 8 }, { 8, 2 }, { 3, 6 } };

static void plain(void **state)
{
    (void)state;
    for (int i = 0; i < BASE_COUNT(widths); i++)
        assert_int_equal(check_net(plain_net(), widths[i][0], widths[i][1], (uint64_t)i + 1, i % 2, false), 0);
}

static void residual(void **state)
{
    (void)state;
    for (int i = 0; i < BASE_COUNT(widths); i++)
        assert_true(check_net(residual_net(), widths[i][0], widths[i][1], (uint64_t)i + 11, i % 2, false) <= 16); /* option B's ratios are rounded */
}

static void mobile(void **state)
{
    (void)state;
    for (int i = 0; i < BASE_COUNT(widths); i++)
        assert_int_equal(check_net(mobile_net(), widths[i][0], widths[i][1], (uint64_t)i + 21, i % 2, false), 0);
}

static void faint_channels(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        check_net(residual_net(), widths[i][0], widths[i][1], (uint64_t)i + 31, i % 2, true);
        check_net(mobile_net(), widths[i][0], widths[i][1], (uint64_t)i + 41, i % 2, true);
    }
}

/* 1008 inputs x 127 x 255 pass 2^24: what floats cannot hold is added otherwise. Another network is refused. */
static void sums_beyond_floats(void **state)
{
    (void)state;
    struct graph *g = start(4, 4, 1), *other = plain_net();
    struct graph_layers ls;
    struct compress_recipe r;
    struct nn_quant *q;
    struct fixed_net *net;
    int x = relu(g, "r1", graph_add_conv(g, "c1", 0, 112, 1, 1, 1, pad0, false, true), false);
    x = relu(g, "r2", graph_add_conv(g, "c2", x, 4, 3, 3, 1, pad1, false, true), false);
    assert_true(finish(g, x) > 0);
    assert_ok(graph_make_layers(g, &ls));
    assert_ok(compress_recipe_default(&r, g, &ls, 8, 8));
    assert_ok(nn_quant_new(&q, g, &ls));
    assert_ok(nn_quant_pixel_factor(q, g, &ls));
    randomize(g, 5, false);
    for (int i = 0; i < ls.n; i++) {
        for (int k = 0; ls.layer[i].has_weights && k < 1; k++) {
            struct graph_node *n = &g->node[ls.layer[i].term[k].node];
            int64_t weights = (int64_t)n->kh * n->kw * g->node[n->in[0]].shape.c * n->shape.c;
            for (int64_t j = 0; i == 1 && j < weights; j++)
                n->weight[j] = (float)(j % 7 ? 127 : 126) / 1024;
            q->layer[i].term[k].w_bits = 8;
            for (int c = 0; c < n->shape.c; c++)
                q->layer[i].term[k].w_scale[c] = 1.0f / 1024;
        }
        q->edge[i + 1] = (struct nn_quant_edge){ .bits = 8, .scale = i == 0 ? 1.0f / 256 : 8 };
    }
    uint8_t pixels[16 * 20];
    struct base_rng rng;
    base_rng_seed(&rng, 9);
    for (int i = 0; i < BASE_COUNT(pixels); i++)
        pixels[i] = (uint8_t)base_rng_below(&rng, 256);
    assert_ok(compress_lower_graph(&net, g, &ls, q));
    assert_int_equal(integers_equal(g, q, net, pixels, 20, NULL), 4);
    struct nn *nn;
    struct nn_options o = NN_OPTIONS_INIT;
    assert_ok(nn_new(&nn, g, &o));
    assert_error(nn_set_integers(nn, net, NULL), BASE_INTERNAL, "lowered from");
    nn_free(nn);
    assert_ok(nn_new(&nn, other, &o));
    assert_error(nn_set_integers(nn, net, NULL), BASE_INTERNAL, "lowered from");
    nn_free(nn);
    fixed_net_free(net);
    nn_quant_free(q);
    compress_recipe_free(&r);
    graph_free(g);
    graph_free(other);
}

static void refusals(void **state)
{
    (void)state;
    struct graph *g = start(8, 8, 1);
    struct graph_layers ls;
    struct nn_quant *q;
    struct fixed_net *net;
    int x = graph_add_pool(g, "edgy", relu(g, "r1", conv(g, "c1", 0, 4, 3, 1, false), false), GRAPH_AVGPOOL, 3, 3, 2, pad1);
    assert_true(finish(g, x) > 0);
    randomize(g, 1, false);
    assert_ok(graph_make_layers(g, &ls));
    assert_ok(nn_quant_new(&q, g, &ls));
    assert_error(compress_lower_graph(&net, g, &ls, q), BASE_INPUT, "layer 'c1': its output has no width");
    for (int e = 1; e < ls.n_edge; e++)
        q->edge[e] = (struct nn_quant_edge){ .bits = 4, .scale = 0.1f };
    assert_error(compress_lower_graph(&net, g, &ls, q), BASE_INPUT, "layer 'c1': its weights were not quantized");
    for (int i = 0; i < ls.n; i++)
        for (int c = 0; ls.layer[i].has_weights && c < ls.layer[i].shape.c; c++) {
            q->layer[i].term[0].w_bits = 4;
            q->layer[i].term[0].w_scale[c] = 0.1f;
        }
    assert_error(compress_lower_graph(&net, g, &ls, q), BASE_INPUT, "'edgy'");
    nn_quant_free(q);
    graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(residual),
        cmocka_unit_test(mobile),
        cmocka_unit_test(faint_channels),
        cmocka_unit_test(sums_beyond_floats),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
