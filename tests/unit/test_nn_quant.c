/* nn: fake quantization: values, straight-through gradients, learned scales; statistics of
 * batch norms and edges. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "nn_nets.h"
#include "nn_oracle.h"

enum { N = 5 };

/* ---- one value ------------------------------------------------------------------------- */

static void values_by_hand(void **state)
{
    (void)state;
    static const struct { float w, s; int bits; float want; } weight[] = {
        { 0.24f, 0.1f, 4, 0.2f },  { 0.25f, 0.5f, 4, 0.5f },   { -0.25f, 0.5f, 4, 0 }, /* half up, also below zero */
        { 9, 0.5f, 4, 3.5f },      { -9, 0.5f, 4, -4 },        { 9, 0.25f, 2, 0.25f }, { -9, 0.25f, 2, -0.5f },
        { 200, 1, 8, 127 },        { -200, 1, 8, -128 },       { 0, 0.7f, 1, 0.7f },   { -1e-9f, 0.7f, 1, -0.7f },
        { 5, 0.7f, 1, 0.7f },
    };
    static const struct { float x, s; int bits; bool is_signed; float want; } edge[] = {
        { 0.3f, 0.5f, 4, false, 0.5f }, { 0.25f, 0.5f, 4, false, 0.5f }, { -3, 0.5f, 4, false, 0 }, { 99, 0.5f, 4, false, 7.5f }, { 0.3f, 1, 1, false, 0 },
        { 0.5f, 1, 1, false, 1 },       { 999, 1, 8, false, 255 },       { 999, 1, 8, true, 127 },   { -999, 1, 8, true, -128 },   { -0.75f, 0.5f, 2, true, -0.5f },
        { -9, 0.5f, 2, true, -1 },
    };
    for (int i = 0; i < BASE_COUNT(weight); i++)
        if (fabsf(nn_fake_weight(weight[i].w, weight[i].s, weight[i].bits) - weight[i].want) > 1e-7f)
            fail_msg("weight case %d", i);
    for (int i = 0; i < BASE_COUNT(edge); i++)
        if (fabsf(nn_fake_activation(edge[i].x, edge[i].s, edge[i].bits, edge[i].is_signed) - edge[i].want) > 1e-7f)
            fail_msg("activation case %d", i);
}

/* ---- networks --------------------------------------------------------------------------- */

/* Widths that differ from term to term and edge to edge, scales that clip some values. The last edge holds logits: float. */
/* Every third weight, from number `first` on, is 0. */
static void set_mask(struct nn_quant_term *q, int64_t weights, int64_t first)
{
    for (int64_t k = 0; q->mask && k < weights; k++)
        q->mask[k] = (k + first) % 3 ? 1 : 0;
}

/* Salt 3: with masks. */
static struct nn_quant *quantize(struct nn *m, int salt)
{
    struct nn_quant *q;
    const struct graph *g = nn_graph(m);
    const struct graph_layers *ls = nn_layers(m);
    struct base_rng r;
    base_rng_seed(&r, (uint64_t)salt);
    assert_ok(nn_quant_new(&q, g, ls));
    assert_ok(nn_quant_pixel_factor(q, g, ls));
    for (int i = 0; i < ls->n; i++) {
        bool last = ls->layer[i].out_node == g->output;
        for (int t = 0; t < ls->layer[i].n_term; t++) {
            struct nn_quant_term *qt = &q->layer[i].term[t];
            const struct graph_node *n = ls->layer[i].term[t].node < 0 ? NULL : &g->node[ls->layer[i].term[t].node];
            if (!n || !n->weight)
                continue;
            int64_t per = (int64_t)n->kh * n->kw * (n->depthwise ? 1 : g->node[n->in[0]].shape.c);
            qt->w_bits = 1 + (i + t + salt) % 8;
            qt->mask = salt == 3 ? BASE_ARENA_NEW_N(q->arena, float, per * n->shape.c) : NULL;
            set_mask(qt, per * n->shape.c, i + 1);
            for (int c = 0; c < n->shape.c; c++) {
                float top = 0;
                for (int64_t k = 0; k < per; k++)
                    top = fmaxf(top, fabsf(n->weight[c * per + k]) * (qt->in_factor ? qt->in_factor[0] : 1));
                qt->w_scale[c] = (0.6f + 0.5f * base_rng_uniform(&r)) * top / (float)(1 << BASE_MAX(qt->w_bits - 1, 1));
            }
        }
        bool is_signed = graph_edge_signed(g, ls, i + 1);
        if (!last && ls->layer[i].kind == GRAPH_LAYER_MAC) {
            int bits = BASE_MAX(2 + (i + salt) % 5, is_signed + 1);
            q->edge[i + 1] = (struct nn_quant_edge){ .bits = bits, .is_signed = is_signed, .scale = 2.0f / (float)(1 << (bits - is_signed)) };
        }
    }
    assert_ok(nn_set_quant(m, q));
    return q;
}

struct quantized { struct graph *g; struct nn *m; struct nn_quant *q; struct oracle o; uint8_t *pixels; };

static void open_net(struct quantized *t, int net, int salt, bool training)
{
    t->g = net_all[net]();
    t->m = net_engine(t->g, 8, training, 2);
    assert_ok(nn_keep_maps(t->m));
    t->q = quantize(t->m, salt);
    t->pixels = net_images(t->g, N, 21);
    oracle_open(&t->o, t->g, nn_layers(t->m), N, t->pixels);
    t->o.q = t->q;
    t->o.engine = t->m;
    t->o.training = training;
}

static void close_net(struct quantized *t)
{
    oracle_close(&t->o);
    free(t->pixels);
    nn_free(t->m);
    nn_quant_free(t->q);
    graph_free(t->g);
}

/* Edge values equal the computation in double but for values at a rounding border. */
static void forward_equals_fake_values(void **state)
{
    (void)state;
    float logits[N * 16];
    for (int net = 0; net < BASE_COUNT(net_all); net++)
        for (int salt = 0; salt < 8; salt++) {
            struct quantized t;
            open_net(&t, net, salt, false);
            assert_ok(nn_forward(t.m, t.pixels, N, logits));
            oracle_run(&t.o);
            assert_true(t.o.same > 100);
            if (t.o.other > t.o.same / 1000)
                fail_msg("net %d, widths %d: %ld of %ld values differ", net, salt, (long)t.o.other, (long)(t.o.same + t.o.other));
            for (int i = 0; i < N * nn_classes(t.m); i++)
                if (fabs((double)logits[i] - t.o.v[t.g->output][i]) > 2e-5 * (1 + fabs((double)logits[i])))
                    fail_msg("net %d, widths %d: logit %g, not %g", net, salt, (double)logits[i], t.o.v[t.g->output][i]);
            close_net(&t);
        }
}

/* ---- gradients ------------------------------------------------------------------------------ */

static void check_weights(struct quantized *t, const uint16_t *labels, const struct nn_loss_options *l)
{
    for (int i = 1; i < t->g->n_node; i++) {
        const struct graph_node *n = &t->g->node[i];
        if (!n->weight)
            continue;
        const float *grad = nn_gradient_of(t->m, i, 'w');
        int64_t count = oracle_weights(t->g, n);
        double top = 0;
        for (int64_t k = 0; k < count; k++)
            top = fmax(top, fabs((double)grad[k]));
        for (int64_t k = 0; k < count; k += BASE_MAX(count / 7, 1)) {
            double want = oracle_derivative(&t->o, n->weight, k, labels, l, NULL);
            if (fabs((double)grad[k] - want) > 1e-3 * top + 1e-6)
                fail_msg("node '%s' [%ld]: gradient %.8g, not %.8g", n->name, (long)k, (double)grad[k], want);
        }
    }
}

/* A step without momentum moves a scale by lr times gradient / sqrt(values * largest code), at most by a tenth of it. */
enum { MAX_SCALE = 128 };
struct moves { const float *scale[MAX_SCALE]; float before[MAX_SCALE]; double want[MAX_SCALE]; int n; };
/* In front of a batch norm a scale's gradient is next to 0 and rounding is what is left: how many tell something. */
struct census { int all, telling, limited; };

static void expect_move(struct moves *v, struct oracle *o, const float *array, int64_t at, double values, double code, const uint16_t *labels, const struct nn_loss_options *l)
{
    assert_true(v->n < MAX_SCALE);
    v->scale[v->n] = array + at;
    v->before[v->n] = array[at];
    v->want[v->n++] = oracle_derivative(o, array, at, labels, l, NULL) / sqrt(values * fmax(code, 1));
}

static void expect_moves(struct moves *v, struct quantized *t, const uint16_t *labels, const struct nn_loss_options *l)
{
    const struct graph_layers *ls = nn_layers(t->m);
    for (int i = 0; i < ls->n; i++) {
        const struct nn_quant_edge *e = &t->q->edge[i + 1];
        if (e->bits)
            expect_move(v, &t->o, &e->scale, 0, (double)oracle_size(ls->layer[i].shape), (1 << (e->bits - e->is_signed)) - 1, labels, l);
        for (int k = 0; k < ls->layer[i].n_term; k++) {
            const struct nn_quant_term *q = &t->q->layer[i].term[k];
            if (!q->w_bits)
                continue;
            const struct graph_node *n = &t->g->node[ls->layer[i].term[k].node];
            double per = (double)n->kh * n->kw * (n->depthwise ? 1 : t->g->node[n->in[0]].shape.c);
            for (int c = 0; c < n->shape.c; c += BASE_MAX(n->shape.c - 1, 1))
                expect_move(v, &t->o, q->w_scale, c, per, (1 << (q->w_bits - 1)) - 1, labels, l);
        }
    }
}

static void check_scales(struct quantized *t, const uint16_t *labels, const struct nn_loss_options *l, struct census *k)
{
    struct moves v = { .n = 0 };
    const double lr = 0.03;
    expect_moves(&v, t, labels, l);
    nn_sgd_step(t->m, &(struct nn_sgd){ .lr = (float)lr });
    for (int i = 0; i < v.n; i++) {
        double before = (double)v.before[i], moved = before - (double)*v.scale[i], step = lr * v.want[i];
        if (fabs(step) > 0.1 * before) {
            step = step > 0 ? 0.1 * before : -0.1 * before;
            k->limited++;
        }
        k->telling += fabs(step) > 2e-3 * before;
        if (fabs(moved - step) > 3e-3 * fabs(step) + 1e-4 * before)
            fail_msg("scale %d of %g moved by %.6g, not %.6g", i, before, moved, step);
    }
    k->all += v.n;
}

/* The loss has a kink where a max pool's inputs tie or a ReLU's input is exactly 0; values of
 * few codes do that all the time. What such layers read stays float. */
static void avoid_kinks(struct quantized *t)
{
    const struct graph_layers *ls = nn_layers(t->m);
    for (int i = 0; i < ls->n; i++)
        for (int k = 0; k < ls->layer[i].n_term && !ls->layer[i].has_weights; k++) {
            int edge = ls->layer[i].term[k].edge;
            t->q->edge[edge].bits = 0;
            if (ls->layer[i].kind == GRAPH_LAYER_MAXPOOL)
                t->q->layer[edge - 1].term[0].w_bits = 0;
        }
}

static void gradients_pass_straight_through(void **state)
{
    (void)state;
    struct nn_loss_options l = NN_LOSS_OPTIONS_INIT;
    uint16_t labels[N] = { 0, 1, 2, 3, 1 };
    struct census k = { 0, 0, 0 };
    for (int net = 0; net < BASE_COUNT(net_all); net++)
        for (int salt = 0; salt < 4; salt += 3) {
            struct quantized t;
            open_net(&t, net, salt, true);
            t.q->learn_edge_scale = t.q->learn_weight_scale = true;
            t.q->scale_lr = 1;
            avoid_kinks(&t);
            assert_ok(nn_gradient(t.m, t.pixels, labels, N, &l, NULL, NULL, NULL));
            oracle_run(&t.o);
            check_weights(&t, labels, &l);
            check_scales(&t, labels, &l, &k);
            close_net(&t);
        }
    if (k.telling < k.all / 4 || k.limited > k.all / 2)
        fail_msg("of %d scales %d move enough to tell and %d are limited", k.all, k.telling, k.limited);
}

/* Scales stay where they are unless they are learned. */
static void fixed_scales_do_not_move(void **state)
{
    (void)state;
    struct nn_loss_options l = NN_LOSS_OPTIONS_INIT;
    struct quantized t;
    open_net(&t, 4, 2, true);
    float w = t.q->layer[0].term[0].w_scale[1], e = t.q->edge[1].scale;
    assert_ok(nn_gradient(t.m, t.pixels, (const uint16_t[]){ 0, 1, 2, 3, 1 }, N, &l, NULL, NULL, NULL));
    nn_sgd_step(t.m, &(struct nn_sgd){ .lr = 0.1f });
    assert_true(t.q->layer[0].term[0].w_scale[1] == w && t.q->edge[1].scale == e);
    t.q->learn_edge_scale = true;        /* also when the wish comes later */
    assert_ok(nn_gradient(t.m, t.pixels, (const uint16_t[]){ 0, 1, 2, 3, 1 }, N, &l, NULL, NULL, NULL));
    nn_sgd_step(t.m, &(struct nn_sgd){ .lr = 0.1f });
    assert_true(t.q->layer[0].term[0].w_scale[1] == w && t.q->edge[1].scale != e);
    close_net(&t);
}

/* NULL makes the engine float again, with the bits of one that never was anything else. */
static void quantization_can_be_taken_off(void **state)
{
    (void)state;
    struct quantized t;
    float quantized[N * 16], off[N * 16], never[N * 16];
    open_net(&t, 0, 1, false);
    struct nn *plain = net_engine(t.g, 8, false, 1);
    size_t bytes = sizeof(float) * N * (size_t)nn_classes(t.m);
    assert_ok(nn_forward(t.m, t.pixels, N, quantized));
    assert_ok(nn_set_quant(t.m, NULL));
    assert_ok(nn_forward(t.m, t.pixels, N, off));
    assert_ok(nn_forward(plain, t.pixels, N, never));
    assert_memory_equal(off, never, bytes);
    assert_memory_not_equal(off, quantized, bytes);
    nn_free(plain);
    close_net(&t);
}

static void bad_widths_are_refused(void **state)
{
    (void)state;
    struct quantized t;
    open_net(&t, 4, 1, true);
    struct nn_quant_term *w = &t.q->layer[0].term[0];
    struct nn_quant_edge *e = &t.q->edge[2], edge = *e;
    const char *first = nn_layers(t.m)->layer[0].name, *second = nn_layers(t.m)->layer[1].name;
    int bits = w->w_bits;
    float scale = w->w_scale[1];
    w->w_bits = 9;
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, first);
    w->w_bits = -1;
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, "-1 bits");
    w->w_bits = bits;
    w->w_scale[1] = 0;
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, "channel 1");
    w->w_scale[1] = NAN;
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, "channel 1");
    w->w_scale[1] = scale;
    e->bits = 9;
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, second);
    *e = (struct nn_quant_edge){ .bits = 1, .is_signed = true, .scale = 1 };
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, "1 signed bits");
    *e = (struct nn_quant_edge){ .bits = 4, .scale = INFINITY };
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, "scale of its output");
    *e = edge;
    assert_ok(nn_set_quant(t.m, t.q));
    t.q->n_layer--;
    assert_error(nn_set_quant(t.m, t.q), BASE_INPUT, "do not fit");
    close_net(&t);
}

/* ---- quantized training ----------------------------------------------------------------------- */

static int fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    size_t image = *(const size_t *)ctx;
    for (int i = 0; i < n; i++) {
        struct base_rng r;
        base_rng_stream(&r, 5, (uint64_t)((batch * n + i) % 64));
        labels[i] = (uint16_t)base_rng_below(&r, 2);
        for (size_t k = 0; k < image; k++)
            pixels[(size_t)i * image + k] = (uint8_t)(base_rng_below(&r, 100) + (labels[i] ? 90 : 0) * (k % 2) + 20);
    }
    return BASE_OK;
}

static int change_mask(void *ctx, int64_t step, int64_t steps)
{
    struct quantized *t = ctx;
    assert_true(step < steps);
    if (step % 10 == 0)
        set_mask(&t->q->layer[0].term[0], 270, step / 10);
    return BASE_OK;
}

static void train_to(struct quantized *t, const char *checkpoint, int64_t stop_at, bool resume)
{
    struct nn_train_options o = NN_TRAIN_OPTIONS_INIT;
    o.step_begin = change_mask;
    o.ctx = t;
    size_t image = nn_image_bytes(t->m);
    o.epochs = 10;
    o.batch = 8;
    o.batches_per_epoch = 8;
    o.lr = 0.02f;
    o.checkpoint = checkpoint;
    o.checkpoint_steps = 7;
    o.stop_at = stop_at;
    o.resume = resume;
    t->q->learn_edge_scale = t->q->learn_weight_scale = true;
    assert_ok(nn_train(t->m, &(struct nn_source){ fill, &image }, &o, NULL));
}

/* Learned scales, their momentum and masks are in the checkpoint too. */
static void quantized_training_resumes(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *file = unit_path(dir, "q.ckpt");
    struct quantized whole, part, rest;
    open_net(&whole, 4, 3, true);
    open_net(&part, 4, 3, true);
    open_net(&rest, 4, 3, true);
    float start = whole.q->edge[2].scale;
    train_to(&whole, NULL, 0, false);
    train_to(&part, file, 31, false);
    train_to(&rest, file, 0, true);
    assert_true(whole.q->edge[2].scale != start);
    for (int e = 1; e < whole.q->n_edge; e++)
        assert_true(whole.q->edge[e].scale == rest.q->edge[e].scale);
    assert_memory_equal(whole.q->layer[1].term[0].w_scale, rest.q->layer[1].term[0].w_scale, sizeof(float) * 10);
    assert_memory_equal(whole.g->node[1].weight, rest.g->node[1].weight, sizeof(float) * 270);
    assert_memory_equal(whole.q->layer[0].term[0].mask, rest.q->layer[0].term[0].mask, sizeof(float) * 270);
    rest.q->edge[1].bits++;
    int64_t step;
    assert_error(nn_checkpoint_read(rest.m, file, &step), BASE_INPUT, "bit widths");
    rest.q->edge[1].bits--;
    close_net(&whole);
    close_net(&part);
    close_net(&rest);
    unit_remove(dir);
}

static void quantized_training_learns(void **state)
{
    (void)state;
    struct quantized t;
    struct nn_result r;
    open_net(&t, 4, 4, true);
    size_t image = nn_image_bytes(t.m);
    uint8_t *pixels = malloc(64 * image);
    uint16_t labels[64];
    train_to(&t, NULL, 0, false);
    fill(&image, 0, 64, pixels, labels);
    assert_ok(nn_evaluate(t.m, pixels, labels, 64, &r));
    if (r.top1 < 0.98)
        fail_msg("%g of the set", r.top1);
    free(pixels);
    close_net(&t);
}

/* ---- statistics --------------------------------------------------------------------------------- */

/* Means and unbiased variances averaged over batches, by the computation in double; with
 * quantization batch by batch, so that the engine's own roundings can be taken. */
static void reestimate(struct quantized *t, int first, int batches, bool quantized)
{
    enum { BATCH = 8 };
    size_t image = nn_image_bytes(t->m);
    uint8_t *pixels = malloc(BATCH * image);
    uint16_t labels[BATCH];
    static double mean[ORACLE_MAX_NODE][64], var[ORACLE_MAX_NODE][64];
    memset(mean, 0, sizeof mean);
    memset(var, 0, sizeof var);
    struct oracle o;
    oracle_open(&o, t->g, nn_layers(t->m), BATCH, pixels);
    o.training = true;
    o.q = quantized ? t->q : NULL;
    o.engine = t->m;
    assert_ok(nn_set_quant(t->m, quantized ? t->q : NULL));
    assert_ok(nn_batchnorm_reestimate(t->m, &(struct nn_source){ fill, &image }, first, BATCH * (batches - 1) + 1));
    for (int b = 0; b < batches; b++) {
        fill(&image, first + b, BATCH, pixels, labels);
        oracle_run(&o);
        for (int i = 0; i < t->g->n_node; i++)
            for (int c = 0; t->g->node[i].gamma && c < t->g->node[i].shape.c; c++) {
                double n = (double)BATCH * t->g->node[i].shape.h * t->g->node[i].shape.w;
                mean[i][c] += o.mean[i][c] / batches;
                var[i][c] += o.var[i][c] * n / (n - 1) / batches;
            }
    }
    for (int i = 0; i < t->g->n_node; i++) {
        const struct graph_node *n = &t->g->node[i];
        for (int c = 0; n->gamma && c < n->shape.c; c++)
            if (fabs(mean[i][c] - (double)n->mean[c]) > 1e-5 * (1 + fabs(mean[i][c])) || fabs(var[i][c] - (double)n->var[c]) > 1e-5 * (1 + var[i][c]))
                fail_msg("node '%s' channel %d: %g %g, not %g %g", n->name, c, (double)n->mean[c], (double)n->var[c], mean[i][c], var[i][c]);
    }
    oracle_close(&o);
    free(pixels);
}

static void reestimated_equals_direct(void **state)
{
    (void)state;
    for (int net = 0; net < BASE_COUNT(net_all); net++) {
        struct quantized t;
        open_net(&t, net, 6, net & 1);
        reestimate(&t, 4, 3, false);
        reestimate(&t, 2, 1, true);
        reestimate(&t, 5, 1, true);
        close_net(&t);
    }
}

static void check_histogram(const struct nn_histogram *h, const double *v, int64_t n, bool rectified)
{
    double lo = 1e30, hi = -1e30, total = 0, outside = 0;
    static double count[NN_BINS];
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < n; i++) {
        double x = rectified ? fmax(v[i], 0) : v[i];
        lo = fmin(lo, x);
        hi = fmax(hi, x);
        count[(int)fmin(fabs(x) / (double)h->width, NN_BINS - 1)]++;
    }
    for (int b = 0; b < NN_BINS; b++) {
        total += h->count[b];
        outside += fabs(h->count[b] - count[b]);
    }
    assert_true(h->n == (double)n && total == (double)n);
    assert_true(fabs((double)h->min - lo) < 1e-4 && fabs((double)h->max - hi) < 1e-4);
    assert_true(fabs((double)h->width * NN_BINS - fmax(fabs(lo), fabs(hi))) < 1e-4);
    assert_true(outside <= 0.02 * (double)n + 2); /* neighbours at a border */
}

static void histograms_count_every_value(void **state)
{
    (void)state;
    enum { IMAGES = 19 };
    static struct nn_histogram hist[ORACLE_MAX_NODE];
    for (int net = 0; net < BASE_COUNT(net_all); net++) {
        struct graph *g = net_all[net]();
        struct nn *m = net_engine(g, 8, false, 2);
        uint8_t *pixels = net_images(g, IMAGES, 4);
        struct oracle o;
        oracle_open(&o, g, nn_layers(m), IMAGES, pixels);
        oracle_run(&o);
        assert_ok(nn_edge_histogram(m, pixels, IMAGES, hist));
        assert_true(hist[0].n == 0);
        for (int i = 0; i < nn_layers(m)->n; i++) {
            const struct graph_layer *l = &nn_layers(m)->layer[i];
            check_histogram(&hist[i + 1], o.v[l->out_node], IMAGES * oracle_size(l->shape), l->relu != GRAPH_OP_COUNT);
        }
        oracle_close(&o);
        free(pixels);
        nn_free(m);
        graph_free(g);
    }
}

static void a_dead_edge_has_no_width(void **state)
{
    (void)state;
    static struct nn_histogram hist[4];
    struct graph *g = net_start(4, 4, 1);
    int x = net_relu(g, net_conv(g, 0, 2, 3, 3, 1, net_pad1, true), GRAPH_RELU);
    net_end(g, net_dense(g, x, 2, true));
    memset(g->node[1].weight, 0, sizeof(float) * 18);
    g->node[1].bias[0] = g->node[1].bias[1] = -1;
    struct nn *m = net_engine(g, 4, false, 1);
    uint8_t *pixels = net_images(g, 3, 1);
    assert_ok(nn_edge_histogram(m, pixels, 3, hist));
    assert_true(hist[1].width == 0 && hist[1].count[0] == 96 && hist[1].n == 96 && hist[1].max == 0);
    g->node[1].bias[0] = NAN;
    g->node[1].bias[1] = INFINITY;
    assert_error(nn_edge_histogram(m, pixels, 3, hist), BASE_INPUT, "not finite");
    free(pixels);
    nn_free(m);
    graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(forward_equals_fake_values),
        cmocka_unit_test(gradients_pass_straight_through),
        cmocka_unit_test(fixed_scales_do_not_move),
        cmocka_unit_test(quantization_can_be_taken_off),
        cmocka_unit_test(bad_widths_are_refused),
        cmocka_unit_test(quantized_training_resumes),
        cmocka_unit_test(quantized_training_learns),
        cmocka_unit_test(reestimated_equals_direct),
        cmocka_unit_test(histograms_count_every_value),
        cmocka_unit_test(a_dead_edge_has_no_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
