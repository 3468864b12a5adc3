/* compress: from a trained float network over a recipe, batch norms, rounding and fine-tuning to the integer network. */
#define _GNU_SOURCE
#include "compress_bars.h"

#include "data/data.h"
#include "onnx/onnx.h"

static void lowered_equals_fake_quantized(void **state)
{
    const struct fixture *f = *state;
    static const int widths[][2] = { { 8, 8 }, { 4, 4 }, { 3, 5 }, { 2, 2 }, { 1, 3 } };
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    o.batchnorm_images = 256;
    o.batch = 64;
    for (int i = 0; i < BASE_COUNT(widths); i++) {
        struct compress_recipe r;
        struct compress_model *m;
        struct fixed_net *net;
        recipe(&r, f, widths[i][0], widths[i][1], i == 1 ? COMPRESS_SHORT : COMPRESS_FAST);
        assert_ok(compress_apply(&m, f->cache, &r, &o));
        assert_ok(compress_lower(&net, m));
        assert_int_equal(m->val.n, N_VAL);
        assert_true(i > 1 || m->val.top1 > 0.8);
        agree(f, m, net);
        fixed_net_free(net);
        compress_model_free(m);
        compress_recipe_free(&r);
    }
}

/* Every way to find scales and to round, alone and with fine-tuning: what training and accuracy see is what lowering makes. */
static void every_option_lowers_exactly(void **state)
{
    const struct fixture *f = *state;
    static const struct { struct compress_quantize q; int w, a; enum compress_mode mode; bool fixed_scales; double distill; } c[] = {
        { { COMPRESS_MIN_MAX, COMPRESS_MIN_MAX, 99.9, 1, false, COMPRESS_NEAREST, -1 }, 6, 6, COMPRESS_FAST, false, 0 },
        { { COMPRESS_PERCENTILE, COMPRESS_PERCENTILE, 99, 0, true, COMPRESS_NEAREST, 0 }, 4, 4, COMPRESS_FAST, false, 0 },
        { { COMPRESS_MSE, COMPRESS_MSE, 99.9, 3, true, COMPRESS_ADAPTIVE, -1 }, 2, 3, COMPRESS_FAST, false, 0 },
        { { COMPRESS_MSE, COMPRESS_PERCENTILE, 99, 1, true, COMPRESS_ADAPTIVE, 0 }, 1, 4, COMPRESS_FAST, false, 0 },
        { { COMPRESS_MSE, COMPRESS_MSE, 99.9, 1, false, COMPRESS_ADAPTIVE, -1 }, 8, 8, COMPRESS_FAST, false, 0 },
        { { COMPRESS_MSE, COMPRESS_MSE, 99.9, 0, true, COMPRESS_ADAPTIVE, -1 }, 3, 3, COMPRESS_SHORT, false, 0.5 },
        { { COMPRESS_MSE, COMPRESS_MSE, 99.9, 1, true, COMPRESS_NEAREST, 128 }, 2, 4, COMPRESS_SHORT, true, 1 },
    };
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    o.batchnorm_images = 256;
    o.batch = 64;
    for (int i = 0; i < BASE_COUNT(c); i++) {
        struct compress_recipe r;
        struct compress_model *m;
        struct fixed_net *net;
        recipe(&r, f, c[i].w, c[i].a, c[i].mode);
        r.quantize = c[i].q;
        r.finetune.fixed_scales = c[i].fixed_scales;
        r.distill.weight = c[i].distill;
        assert_ok(compress_apply(&m, f->cache, &r, &o));
        assert_ok(compress_lower(&net, m));
        agree(f, m, net);
        fixed_net_free(net);
        compress_model_free(m);
        compress_recipe_free(&r);
    }
}

static double val_loss(const struct fixture *f, int w, int a, const struct compress_quantize *q)
{
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct nn_result v;
    struct compress_recipe r;
    o.batchnorm_images = 256;
    o.batch = 64;
    recipe(&r, f, w, a, COMPRESS_FAST);
    r.quantize = *q;
    assert_ok(compress_evaluate(&v, NULL, f->cache, &r, &o));
    compress_recipe_free(&r);
    return v.loss;
}

static void adaptive_rounding_loses_less(void **state)
{
    const struct fixture *f = *state;
    struct compress_quantize q = COMPRESS_QUANTIZE_INIT;
    for (int w = 2; w <= 3; w++) {
        q.rounding = COMPRESS_NEAREST;
        double nearest = val_loss(f, w, 6, &q);
        q.rounding = COMPRESS_ADAPTIVE;
        double adaptive = val_loss(f, w, 6, &q);
        if (!(adaptive < (w == 2 ? 0.8 : 0.95) * nearest))
            fail_msg("%d bits: loss %g by nearest, %g by adaptive rounding", w, nearest, adaptive);
    }
}

/* 8 bits lose next to nothing, however they are found; what was found for other options does not stick. */
static void eight_bits_are_nearly_float(void **state)
{
    const struct fixture *f = *state;
    struct nn *m;
    struct nn_options no = NN_OPTIONS_INIT;
    struct nn_result v;
    no.pool = f->pool;
    assert_ok(nn_new(&m, f->g, &no));
    assert_ok(nn_evaluate(m, f->val, f->label, N_VAL, &v));
    nn_free(m);
    struct compress_quantize usual = COMPRESS_QUANTIZE_INIT, q = usual;
    double first = val_loss(f, 3, 3, &usual);
    for (int clip = COMPRESS_MSE; clip <= COMPRESS_PERCENTILE; clip++)
        for (int rounding = COMPRESS_NEAREST; rounding <= COMPRESS_ADAPTIVE; rounding++) {
            q.weights = q.edges = (enum compress_clip)clip;
            q.rounding = (enum compress_rounding)rounding;
            q.batchnorm_images = 0;
            double loss = val_loss(f, 8, 8, &q);
            if (fabs(loss - v.loss) > 0.02 + 0.1 * v.loss)
                fail_msg("clipping %d, rounding %d: loss %g, float %g", clip, rounding, loss, v.loss);
        }
    assert_true(val_loss(f, 3, 3, &usual) == first);
}

/* Weights that were rounded adaptively lie on their scales' grid. */
static void adaptive_weights_lie_on_the_grid(void **state)
{
    const struct fixture *f = *state;
    struct compress_recipe r;
    struct compress_model *m;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    recipe(&r, f, 3, 4, COMPRESS_FAST);
    r.quantize.rounding = COMPRESS_ADAPTIVE;
    r.quantize.group = 5;
    assert_ok(compress_apply(&m, f->cache, &r, &o));
    int differ = 0;
    for (int i = 0; i < m->layers.n; i++)
        for (int t = 0; t < m->layers.layer[i].n_term; t++) {
            const struct nn_quant_term *q = &m->quant->layer[i].term[t];
            const struct graph_node *n = &m->graph->node[BASE_MAX(m->layers.layer[i].term[t].node, 0)];
            const struct graph_node *was = &compress_cache_graph(f->cache)->node[BASE_MAX(m->layers.layer[i].term[t].node, 0)];
            if (!q->w_bits)
                continue;
            int64_t per = (int64_t)n->kh * n->kw * m->graph->node[n->in[0]].shape.c;
            for (int64_t k = 0; k < per * n->shape.c; k++) {
                double s = (double)q->w_scale[k / per], factor = q->in_factor ? (double)q->in_factor[0] : 1, u = (double)n->weight[k] * factor / s;
                assert_true(fabs(u - floor(u + 0.5)) < 1e-4);
                assert_true(u > -(1 << (q->w_bits - 1)) - 0.1 && u < (1 << (q->w_bits - 1)) - 0.9);
                differ += fabs(u - (double)was->weight[k] * factor / s) > 0.6;
            }
            for (int c = 0; c < n->shape.c; c++)
                assert_true(q->w_scale[c] == q->w_scale[c / 5 * 5]);
        }
    assert_true(differ > 10);            /* not simply the nearest */
    compress_model_free(m);
    compress_recipe_free(&r);
}

/* Judged in two parts it is as accurate as in one; what is hopeless is judged on the first part alone. */
static void hopeless_recipe_is_judged_on_a_quarter(void **state)
{
    const struct fixture *f = *state;
    struct compress_recipe r;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_cache *cache;
    struct nn_result whole, parts, quarter;
    recipe(&r, f, 4, 4, COMPRESS_FAST);
    assert_ok(compress_cache_new(&cache, f->g, &f->data, NULL));
    assert_ok(compress_evaluate(&whole, NULL, cache, &r, &o));
    o.hopeless_below = 1e-9;
    assert_ok(compress_evaluate(&parts, NULL, cache, &r, &o));
    o.hopeless_below = 2;
    assert_ok(compress_evaluate(&quarter, NULL, cache, &r, &o));
    assert_int_equal(whole.n, f->data.n_val);
    assert_int_equal(parts.n, f->data.n_val);
    assert_int_equal(quarter.n, f->data.n_val / 4);
    assert_true(fabs(parts.top1 - whole.top1) < 1e-9 && fabs(parts.loss - whole.loss) < 1e-5);
    compress_cache_free(cache);
    compress_recipe_free(&r);
}

/* Wherever memory ends, it is said and nothing leaks; a cache without a pool has engines of their own. */
static void adaptive_rounding_survives_no_memory(void **state)
{
    const struct fixture *f = *state;
    struct compress_recipe r;
    struct compress_cache *cache;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_data small = f->data;
    small.n_calibration = 16;
    small.train.fill = NULL;
    o.val_images = 8;
    recipe(&r, f, 2, 4, COMPRESS_FAST);
    r.quantize.rounding = COMPRESS_ADAPTIVE;
    r.quantize.weights = COMPRESS_PERCENTILE;
    r.quantize.bias_correction = true;
    assert_ok(compress_cache_new(&cache, f->g, &small, NULL));
    int rc = BASE_NOMEM, failures = 0;
    for (long n = 1; rc; n += 29, failures++) {
        struct compress_model *m = NULL;
        base_alloc_fail_at(n);
        rc = compress_apply(&m, cache, &r, &o);
        base_alloc_fail_at(0);
        assert_true(rc == BASE_OK || rc == BASE_NOMEM);
        compress_model_free(m);
    }
    assert_true(failures > 5);
    compress_cache_free(cache);
    compress_recipe_free(&r);
}

/* ---- bias correction --------------------------------------------------------------------------- */

/* Largest |mean logit - float's| over the calibration images. */
static double mean_logit_error(const struct fixture *f, struct compress_cache *cache, struct graph *g, bool correct, bool *grew)
{
    enum { N = 512 };
    static float exact[N * CLASSES], coarse[N * CLASSES];
    struct compress_recipe r;
    struct compress_model *m;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct nn *nn;
    struct nn_options no = NN_OPTIONS_INIT;
    no.pool = f->pool;
    assert_ok(compress_recipe_default(&r, compress_cache_graph(cache), compress_cache_layers(cache), 3, 4));
    r.quantize.bias_correction = correct;
    assert_ok(compress_apply(&m, cache, &r, &o));
    *grew = m->graph->node[1].bias != NULL;
    assert_ok(nn_new(&nn, g, &no));
    assert_ok(nn_forward(nn, f->calibration, N, exact));
    nn_free(nn);
    assert_ok(nn_new(&nn, m->graph, &no));
    assert_ok(nn_set_quant(nn, m->quant));
    assert_ok(nn_forward(nn, f->calibration, N, coarse));
    nn_free(nn);
    double most = 0;
    for (int c = 0; c < CLASSES; c++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += (double)(coarse[i * CLASSES + c] - exact[i * CLASSES + c]) / N;
        most = fmax(most, fabs(sum));
    }
    compress_model_free(m);
    compress_recipe_free(&r);
    return most;
}

/* Without batch norms there is nothing else that takes mean errors out. */
static void biases_take_the_mean_error(void **state)
{
    const struct fixture *f = *state;
    struct graph *folded;
    struct compress_cache *cache;
    bool grew;
    assert_ok(graph_fold_batchnorm(f->g, &folded));
    assert_ok(compress_cache_new(&cache, folded, &f->data, f->pool));
    double without = mean_logit_error(f, cache, folded, false, &grew), with = mean_logit_error(f, cache, folded, true, &grew);
    assert_true(grew);
    if (!(with < 0.1 * without))
        fail_msg("mean error of a logit: %g without, %g with correction", without, with);
    compress_cache_free(cache);
    graph_free(folded);
}

/* ---- fine-tuning --------------------------------------------------------------------------------- */

static int64_t asked_by(struct fixture *f, const struct compress_finetune *tune)
{
    struct compress_recipe r;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct nn_result v;
    o.batchnorm_images = 128;
    o.batch = 64;
    recipe(&r, f, 4, 4, COMPRESS_FAST);
    r.quantize.bias_correction = false;
    r.finetune = *tune;
    f->asked = 0;
    assert_ok(compress_evaluate(&v, NULL, f->cache, &r, &o));
    compress_recipe_free(&r);
    return f->asked;
}

/* fast: no training image but for the batch norms; short: the images that it states; full: whole epochs. */
static void modes_train_on_what_they_say(void **state)
{
    struct fixture *f = *state;
    int64_t fast = asked_by(f, &(struct compress_finetune){ .mode = COMPRESS_FAST });
    assert_int_equal(fast, 128);
    assert_int_equal(asked_by(f, &(struct compress_finetune){ .mode = COMPRESS_SHORT, .images = 192 }) - fast, 192);
    assert_int_equal(asked_by(f, &(struct compress_finetune){ .mode = COMPRESS_SHORT, .images = 200, .epochs = 2 }) - fast, 2 * 192);
    assert_int_equal(asked_by(f, &(struct compress_finetune){ .mode = COMPRESS_SHORT }) - fast, N_TRAIN); /* fewer than 10,000 */
    assert_int_equal(asked_by(f, &(struct compress_finetune){ .mode = COMPRESS_FULL }) - fast, 10 * N_TRAIN);
    assert_int_equal(asked_by(f, &(struct compress_finetune){ .mode = COMPRESS_FULL, .epochs = 3 }) - fast, 3 * N_TRAIN);
}

static struct compress_model *tuned(const struct fixture *f, int w, int group, bool fixed_scales, const struct compress_distill *d)
{
    struct compress_recipe r;
    struct compress_model *m;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    o.batch = 64;
    recipe(&r, f, w, 4, COMPRESS_SHORT);
    r.quantize.group = group;
    r.finetune.fixed_scales = fixed_scales;
    r.distill = *d;
    assert_ok(compress_apply(&m, f->cache, &r, &o));
    compress_recipe_free(&r);
    return m;
}

/* Scales are learned, or stay; those of a group are one before and after. */
static void scales_are_learned_in_groups(void **state)
{
    const struct fixture *f = *state;
    const struct compress_distill none = { 0 };
    struct compress_recipe r;
    struct compress_model *start, *fixed, *learned;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    recipe(&r, f, 3, 4, COMPRESS_FAST);
    r.quantize.group = 3;
    assert_ok(compress_apply(&start, f->cache, &r, &o));
    fixed = tuned(f, 3, 3, true, &none);
    learned = tuned(f, 3, 3, false, &none);
    int moved = 0;
    for (int i = 0; i < start->layers.n; i++) {
        const struct nn_quant_term *a = &start->quant->layer[i].term[0], *b = &fixed->quant->layer[i].term[0], *c = &learned->quant->layer[i].term[0];
        assert_true(start->quant->edge[i + 1].scale == fixed->quant->edge[i + 1].scale);
        for (int k = 0; a->w_bits && k < start->layers.layer[i].shape.c; k++) {
            assert_true(a->w_scale[k] == b->w_scale[k]);
            assert_true(a->w_scale[k] == a->w_scale[k / 3 * 3] && c->w_scale[k] == c->w_scale[k / 3 * 3]);
            moved += a->w_scale[k] != c->w_scale[k];
        }
    }
    assert_true(moved > 20);
    compress_model_free(start);
    compress_model_free(fixed);
    compress_model_free(learned);
    compress_recipe_free(&r);
}

/* Mean squared difference of the logits, each image's mean taken out, to the float network's. */
static double far_from_teacher(const struct fixture *f, struct compress_model *m)
{
    static float a[N_VAL * CLASSES], b[N_VAL * CLASSES];
    struct nn *nn;
    struct nn_options no = NN_OPTIONS_INIT;
    no.pool = f->pool;
    assert_ok(nn_new(&nn, f->g, &no));
    assert_ok(nn_forward(nn, f->val, N_VAL, a));
    nn_free(nn);
    assert_ok(nn_new(&nn, m->graph, &no));
    assert_ok(nn_set_quant(nn, m->quant));
    assert_ok(nn_forward(nn, f->val, N_VAL, b));
    nn_free(nn);
    double sum = 0;
    for (int i = 0; i < N_VAL; i++) {
        double mean = 0;
        for (int c = 0; c < CLASSES; c++)
            mean += (double)(a[i * CLASSES + c] - b[i * CLASSES + c]) / CLASSES;
        for (int c = 0; c < CLASSES; c++)
            sum += pow((double)(a[i * CLASSES + c] - b[i * CLASSES + c]) - mean, 2) / N_VAL;
    }
    compress_model_free(m);
    return sum;
}

static void the_float_network_teaches(void **state)
{
    const struct fixture *f = *state;
    double alone = far_from_teacher(f, tuned(f, 2, 1, false, &(struct compress_distill){ .weight = 0 }));
    double taught = far_from_teacher(f, tuned(f, 2, 1, false, &(struct compress_distill){ .weight = 1, .temperature = 2 }));
    double gently = far_from_teacher(f, tuned(f, 2, 1, false, &(struct compress_distill){ .weight = 1, .temperature = 2, .no_t2 = true }));
    if (!(taught < 0.7 * alone) || gently == taught)
        fail_msg("logits off by %g alone, %g taught, %g without T^2", alone, taught, gently);
}

static void finetuning_helps(void **state)
{
    const struct fixture *f = *state;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct nn_result fast, tuned;
    struct fixed_net *net;
    struct compress_recipe r;
    o.batchnorm_images = 256;
    o.batch = 64;
    recipe(&r, f, 2, 2, COMPRESS_FAST);
    assert_ok(compress_evaluate(&fast, NULL, f->cache, &r, &o));
    r.finetune.mode = COMPRESS_FULL;
    assert_ok(compress_evaluate(&tuned, &net, f->cache, &r, &o));
    if (!(tuned.loss < fast.loss && tuned.top1 >= fast.top1 && tuned.top1 > 0.8))
        fail_msg("loss %g -> %g, top-1 %g -> %g", fast.loss, tuned.loss, fast.top1, tuned.top1);
    fixed_net_free(net);
    compress_recipe_free(&r);
}

static void same_result_again(void **state)
{
    const struct fixture *f = *state;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct nn_result a, b;
    struct compress_recipe r;
    o.batchnorm_images = 128;
    recipe(&r, f, 3, 3, COMPRESS_FAST);
    assert_ok(compress_evaluate(&a, NULL, f->cache, &r, &o));
    assert_ok(compress_evaluate(&b, NULL, f->cache, &r, &o));
    assert_true(a.loss == b.loss && a.top1 == b.top1);
    compress_recipe_free(&r);
}

/* ResNet-20 of the zoo on real images: the float engine in integers is the integer network. */
static void a_real_network_runs_in_integers(void **state)
{
    const struct fixture *f = *state;
    static const int widths[][2] = { { 8, 8 }, { 4, 4 }, { 2, 3 } };
    const char *cifar = getenv("BITPRESS_CIFAR10");
    if (!cifar || !*cifar)
        skip_because("BITPRESS_CIFAR10 names no folder");
    char *spec = base_format("cifar10:%s", cifar);
    struct data_set images;
    struct graph *g;
    struct compress_cache *cache;
    assert_ok(data_open(&images, spec, DATA_TRAIN));
    assert_ok(onnx_read(&g, "configs/zoo/resnet20-cifar10.onnx"));
    struct compress_data d = { .calibration = images.pixels, .n_calibration = 256 };
    assert_ok(compress_cache_new(&cache, g, &d, f->pool));
    for (int i = 0; i < BASE_COUNT(widths); i++) {
        struct compress_recipe r;
        struct compress_model *m;
        struct fixed_net *net;
        struct compress_options o = COMPRESS_OPTIONS_INIT;
        o.val_images = -1;
        assert_ok(compress_recipe_default(&r, compress_cache_graph(cache), compress_cache_layers(cache), widths[i][0], widths[i][1]));
        assert_ok(compress_apply(&m, cache, &r, &o));
        assert_ok(compress_lower(&net, m));
        assert_in_range(integers_equal(m->graph, m->quant, net, images.pixels, 32, f->pool), 0, 100); /* of 698 channels: faint ones beside a residual */
        fixed_net_free(net);
        compress_model_free(m);
        compress_recipe_free(&r);
    }
    compress_cache_free(cache);
    graph_free(g);
    data_free(&images);
    base_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lowered_equals_fake_quantized),
        cmocka_unit_test(every_option_lowers_exactly),
        cmocka_unit_test(adaptive_rounding_loses_less),
        cmocka_unit_test(eight_bits_are_nearly_float),
        cmocka_unit_test(adaptive_weights_lie_on_the_grid),
        cmocka_unit_test(hopeless_recipe_is_judged_on_a_quarter), cmocka_unit_test(adaptive_rounding_survives_no_memory),
        cmocka_unit_test(biases_take_the_mean_error),
        cmocka_unit_test(modes_train_on_what_they_say),
        cmocka_unit_test(scales_are_learned_in_groups),
        cmocka_unit_test(the_float_network_teaches),
        cmocka_unit_test(finetuning_helps),
        cmocka_unit_test(same_result_again),
        cmocka_unit_test(a_real_network_runs_in_integers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
