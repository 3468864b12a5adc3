/* compress: where scales end, known answers; rounding that minimises an output's error; the sections `quantize` and
 * `distill` of a recipe. */
#define _GNU_SOURCE
#include "unit.h"

#include <float.h>
#include <math.h>

#include "compress/compress.h"
#include "compress/reconstruct.h"
#include "tensor/tensor.h"

#define assert_near(got, want, relative)                                                       \
    do {                                                                                       \
        double g_ = (double)(got), w_ = (double)(want);                                        \
        if (!(fabs(g_ - w_) <= (relative) * fabs(w_)))                                         \
            fail_msg("line %d: %.9g, not %.9g", __LINE__, g_, w_);                             \
    } while (0)

/* ---- weights ------------------------------------------------------------------- */

static void weights_by_their_extremes(void **state)
{
    (void)state;
    static const struct { float w[4]; int bits; double scale; } c[] = {
        { { -4, 3, 1, 0 }, 3, 1 },           /* both ends of -4..3 are met */
        { { -4, 2, 1, 0 }, 3, 1 },           /* the negative end decides */
        { { -1, 6, 1, 0 }, 3, 2 },           /* the positive one */
        { { -254, 127, 3, 9 }, 8, 254.0 / 128 },
        { { 0.5f, 0.25f, 0, 0 }, 2, 0.5 },
        { { 0.5f, -1.5f, 1, -1 }, 1, 1 },    /* one bit: the mean magnitude, whatever is asked for */
    };
    for (int i = 0; i < BASE_COUNT(c); i++)
        assert_near(compress_clip_weights(c[i].w, 4, c[i].bits, COMPRESS_MIN_MAX, 99.9), c[i].scale, 1e-6);
    const float zero[3] = { 0 };
    for (int clip = COMPRESS_MSE; clip <= COMPRESS_PERCENTILE; clip++)
        assert_true(compress_clip_weights(zero, 3, 4, (enum compress_clip)clip, 99.9) > 0);
}

/* Nothing is clipped by min-max, whatever the weights. */
static void extremes_clip_nothing(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 17);
    for (int bits = 2; bits <= 8; bits++)
        for (int k = 0; k < 20; k++) {
            float w[50];
            for (int i = 0; i < 50; i++)
                w[i] = base_rng_normal(&r) + 0.2f * (float)(k - 10);
            double s = (double)compress_clip_weights(w, 50, bits, COMPRESS_MIN_MAX, 99.9), half = 1 << (bits - 1), off = 0;
            for (int i = 0; i < 50; i++)
                off = fmax(off, fabs((double)w[i] - fmin(fmax(floor((double)w[i] / s + 0.5), -half), half - 1) * s));
            assert_true(off <= 0.5001 * s);
        }
}

static void weights_by_a_percentile(void **state)
{
    (void)state;
    float w[101], outlier[1001];
    for (int i = 0; i <= 100; i++)
        w[i] = (i % 2 ? -0.01f : 0.01f) * (float)((i * 37) % 101); /* magnitudes 0, 0.01 .. 1 in another order */
    assert_near(compress_clip_weights(w, 101, 4, COMPRESS_PERCENTILE, 90), 0.9 / 7, 1e-5);
    assert_near(compress_clip_weights(w, 101, 4, COMPRESS_PERCENTILE, 99.5), 0.995 / 7, 1e-5); /* between two of them */
    assert_near(compress_clip_weights(w, 101, 2, COMPRESS_PERCENTILE, 100), 1, 1e-5);
    for (int i = 0; i < 1001; i++)
        outlier[i] = i ? (float)((i % 100) - 50) / 50 : 1000;
    assert_near(compress_clip_weights(outlier, 1001, 8, COMPRESS_PERCENTILE, 99.9), 1.0 / 127, 1e-5);
    assert_near(compress_clip_weights(outlier, 1001, 8, COMPRESS_MIN_MAX, 99.9), 1000.0 / 127, 1e-5);
    float mostly_zero[64] = { 0 };
    mostly_zero[5] = -3;
    assert_near(compress_clip_weights(mostly_zero, 64, 3, COMPRESS_PERCENTILE, 90), 0.75, 1e-5); /* as min-max */
}

/* Even weights on [-1, 1], codes -h .. h - 1: the error (2h-1) s^3 / 12 + ((1 - hs)^3 + (1 - (h-1)s)^3) / 3 is least where its
 * derivative is 0. */
static void even_weights_have_the_textbook_scale(void **state)
{
    (void)state;
    enum { N = 40000 };
    static float w[N];
    for (int i = 0; i < N; i++)
        w[i] = (float)(2 * (i + 0.5) / N - 1);
    for (int bits = 2; bits <= 6; bits++) {
        double h = 1 << (bits - 1), want = (h * h + (h - 1) * (h - 1) - 0.5) / (h * h * h + pow(h - 1, 3) - (2 * h - 1) / 4);
        assert_near(compress_clip_weights(w, N, bits, COMPRESS_MSE, 0), want, 0.01);
    }
    assert_near(compress_clip_weights(w, N, 1, COMPRESS_MSE, 0), 0.5, 1e-3);
}

/* Normal weights: 1 bit gives sqrt(2 / pi); else the step lies between those of the symmetric quantizers of 2^b - 1 and of
 * 2^b levels (Max, 1960), as the levels -2^(b-1) .. 2^(b-1) - 1 do. */
static void normal_weights_have_the_textbook_scale(void **state)
{
    (void)state;
    enum { N = 200000 };
    static float w[N];
    static const struct { int bits; double even, odd; } max[] = { { 2, 0.9957, 1.2240 }, { 3, 0.5860, 0.6508 }, { 4, 0.3352, 0.3534 } };
    struct base_rng r;
    base_rng_seed(&r, 3);
    for (int i = 0; i < N; i++)
        w[i] = base_rng_normal(&r);
    assert_near(compress_clip_weights(w, N, 1, COMPRESS_MSE, 0), sqrt(2 / M_PI), 0.005);
    for (int i = 0; i < BASE_COUNT(max); i++) {
        double s = (double)compress_clip_weights(w, N, max[i].bits, COMPRESS_MSE, 0);
        if (s < 0.99 * max[i].even || s > 1.01 * max[i].odd)
            fail_msg("%d bits: step %g is not in %g..%g", max[i].bits, s, max[i].even, max[i].odd);
    }
}

/* ---- edges ------------------------------------------------------------------------- */

static void fill_even(struct nn_histogram *h, float min, float max)
{
    float top = fmaxf(max, -min);
    memset(h, 0, sizeof *h);
    h->min = min;
    h->max = max;
    h->width = top / NN_BINS;
    for (int i = 0; i < NN_BINS; i++) {
        h->count[i] = 10 * ((i + 0.5f) * h->width < max) + 10 * ((i + 0.5f) * h->width < -min);
        h->n += h->count[i];
    }
}

static void edges_by_extremes_and_percentiles(void **state)
{
    (void)state;
    static struct nn_histogram h;
    fill_even(&h, 0, 6);
    assert_near(compress_clip_edge(&h, 4, false, COMPRESS_MIN_MAX, 99), 6.0 / 15, 1e-6);
    assert_near(compress_clip_edge(&h, 4, false, COMPRESS_PERCENTILE, 50), 3.0 / 15, 1e-5);
    assert_near(compress_clip_edge(&h, 8, false, COMPRESS_PERCENTILE, 99), 5.94 / 255, 1e-5);
    assert_near(compress_clip_edge(&h, 8, false, COMPRESS_PERCENTILE, 100), 6.0 / 255, 1e-5);
    fill_even(&h, -8, 3);
    assert_near(compress_clip_edge(&h, 4, true, COMPRESS_MIN_MAX, 99), 1, 1e-6);
    assert_near(compress_clip_edge(&h, 2, true, COMPRESS_MIN_MAX, 99), 4, 1e-6);
    fill_even(&h, -2, 7);
    assert_near(compress_clip_edge(&h, 4, true, COMPRESS_MIN_MAX, 99), 1, 1e-6);
    memset(&h, 0, sizeof h);
    h.n = h.count[0] = 5;                /* a dead edge */
    for (int clip = COMPRESS_MSE; clip <= COMPRESS_PERCENTILE; clip++)
        assert_true(compress_clip_edge(&h, 4, false, (enum compress_clip)clip, 99) > 0);
}

/* Even values on [0, 1], codes 0 .. q: q s^3 / 12 + (1 - q s)^3 / 3 is least at s = 1 / (q + 1/2). */
static void even_edges_have_the_textbook_scale(void **state)
{
    (void)state;
    static struct nn_histogram h;
    for (int bits = 1; bits <= 6; bits++) {
        fill_even(&h, 0, 1);
        assert_near(compress_clip_edge(&h, bits, false, COMPRESS_MSE, 0), 1 / ((1 << bits) - 0.5), 0.01);
        fill_even(&h, -1, 1);
        if (bits > 1)
            assert_near(compress_clip_edge(&h, bits, true, COMPRESS_MSE, 0), 1 / ((1 << (bits - 1)) - 0.5), 0.01);
    }
}

/* ---- rounding ------------------------------------------------------------------------ */

enum { K = 5 };

struct problem { double h[K * K], l[K * K], want[K], step[K]; };

/* H from inputs that share a common part, as the pixels of a window do. */
static void random_problem(struct problem *p, struct base_rng *r, double common)
{
    memset(p, 0, sizeof *p);
    for (int row = 0; row < 40; row++) {
        double x[K], shared = (double)base_rng_normal(r);
        for (int i = 0; i < K; i++)
            x[i] = common * shared + (double)base_rng_normal(r);
        for (int i = 0; i < K * K; i++)
            p->h[i] += x[i / K] * x[i % K] / 40;
    }
    memcpy(p->l, p->h, sizeof p->h);
    assert_ok(tensor_cholesky(p->l, K, "test"));
    for (int i = 0; i < K; i++) {
        p->want[i] = (double)base_rng_normal(r);
        p->step[i] = 0.5 + 0.3 * (double)base_rng_uniform(r);
    }
}

static double error_of(const struct problem *p, const int *code)
{
    double sum = 0;
    for (int i = 0; i < K; i++)
        for (int j = 0; j < K; j++)
            sum += (code[i] * p->step[i] - p->want[i]) * p->h[i * K + j] * (code[j] * p->step[j] - p->want[j]);
    return sum;
}

static void nearest_codes(int *code, const struct problem *p, int bits)
{
    int half = 1 << (bits - 1);
    for (int i = 0; i < K; i++)
        code[i] = bits == 1 ? (p->want[i] < 0 ? -1 : 1) : (int)fmin(fmax(floor(p->want[i] / p->step[i] + 0.5), -half), half - 1);
}

static double best_error(const struct problem *p, int bits)
{
    int levels = 1 << bits, code[K], all = 1;
    double least = DBL_MAX;
    for (int i = 0; i < K; i++)
        all *= levels;
    for (int n = 0; n < all; n++) {
        for (int i = 0, rest = n; i < K; i++, rest /= levels)
            code[i] = bits == 1 ? 2 * (rest % 2) - 1 : rest % levels - levels / 2;
        least = fmin(least, error_of(p, code));
    }
    return least;
}

/* Against every choice of codes: never worse than the nearest, and most of the way from there to the best. */
static void rounding_comes_near_the_best(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 11);
    for (int bits = 1; bits <= 3; bits++) {
        double nearest = 0, got = 0, best = 0;
        for (int n = 0; n < 60; n++) {
            struct problem p;
            int code[K], plain[K];
            double scratch[2 * K];
            random_problem(&p, &r, 2);
            double e = compress_round(code, p.h, p.l, p.want, p.step, K, &(struct compress_grid){ .bits = bits }, scratch);
            assert_true(fabs(e - error_of(&p, code)) < 1e-9 * (1 + e));
            for (int i = 0; i < K; i++)
                assert_true(bits == 1 ? abs(code[i]) == 1 : code[i] >= -(1 << (bits - 1)) && code[i] < 1 << (bits - 1));
            nearest_codes(plain, &p, bits);
            nearest += error_of(&p, plain);
            got += e;
            best += best_error(&p, bits);
        }
        if (!(got < nearest && nearest - got > 0.7 * (nearest - best)))
            fail_msg("%d bits: nearest %g, got %g, best %g", bits, nearest, got, best);
    }
}

/* Inputs that have nothing in common: the nearest codes are the best. */
static void independent_inputs_round_to_nearest(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 12);
    for (int bits = 1; bits <= 8; bits++) {
        struct problem p;
        int code[K], plain[K];
        double scratch[2 * K];
        random_problem(&p, &r, 0);
        for (int i = 0; i < K * K; i++) {
            p.h[i] = i / K == i % K ? 1 + i : 0;
            p.l[i] = sqrt(p.h[i]);
        }
        compress_round(code, p.h, p.l, p.want, p.step, K, &(struct compress_grid){ .bits = bits }, scratch);
        nearest_codes(plain, &p, bits);
        assert_memory_equal(code, plain, sizeof code);
    }
}

/* ---- the recipe's sections --------------------------------------------------------------- */

struct net { struct graph *g; struct graph_layers ls; };

static void open_net(struct net *n)
{
    assert_ok(graph_zoo(&n->g, "fmnist-cnn"));
    assert_ok(graph_make_layers(n->g, &n->ls));
}

static int parse(struct compress_recipe *r, const struct net *n, const char *sections)
{
    char text[512];
    int len = snprintf(text, sizeof text, "default: {w_bits: 4, a_bits: 4}\n%s", sections);
    return compress_recipe_parse(r, "r.yaml", text, (size_t)len, n->g, &n->ls);
}

static void sections_round_trip(void **state)
{
    (void)state;
    static const char *const sections[] = {
        "",
        "quantize: {weights: min-max, edges: percentile, percentile: 99.25, granularity: layer}\n",
        "quantize: {granularity: 7, rounding: adaptive, bias_correction: false, batchnorm: 0}\n",
        "quantize: {weights: percentile, batchnorm: 512, bias_correction: true}\ndistill: {weight: 0.3, temperature: 2.5, t2: false}\n",
        "distill: {weight: 1}\nfinetune: {mode: full, epochs: 3, scales: fixed}\n",
    };
    struct net n;
    open_net(&n);
    for (int i = 0; i < BASE_COUNT(sections); i++) {
        struct compress_recipe a, b;
        assert_ok(parse(&a, &n, sections[i]));
        char *text = compress_recipe_text(&a, &n.ls);
        assert_non_null(text);
        assert_ok(compress_recipe_parse(&b, "again.yaml", text, strlen(text), n.g, &n.ls));
        char *again = compress_recipe_text(&b, &n.ls);
        assert_string_equal(text, again);
        assert_true(a.quantize.percentile == b.quantize.percentile || a.quantize.weights + a.quantize.edges == 0);
        assert_int_equal(a.quantize.group, b.quantize.group);
        assert_int_equal(a.quantize.batchnorm_images, b.quantize.batchnorm_images);
        assert_true(a.distill.weight == b.distill.weight && a.distill.temperature == b.distill.temperature && a.distill.no_t2 == b.distill.no_t2);
        assert_int_equal(a.finetune.fixed_scales, b.finetune.fixed_scales);
        base_free(text);
        base_free(again);
        compress_recipe_free(&a);
        compress_recipe_free(&b);
    }
    struct compress_recipe r, copy;
    assert_ok(parse(&r, &n, "quantize: {}\n"));
    assert_ok(parse(&copy, &n, ""));
    char *one = compress_recipe_text(&r, &n.ls), *other = compress_recipe_text(&copy, &n.ls);
    assert_string_equal(one, other);     /* an empty section says nothing */
    base_free(one);
    base_free(other);
    compress_recipe_free(&copy);
    r.distill.weight = 0.5;
    r.quantize.group = 3;
    assert_ok(compress_recipe_copy(&copy, &r));
    assert_int_equal(copy.quantize.group, 3);
    assert_true(copy.distill.weight == 0.5);
    compress_recipe_free(&r);
    compress_recipe_free(&copy);
    graph_free(n.g);
}

static void sections_refuse(void **state)
{
    (void)state;
    static const struct { const char *text, *part; } bad[] = {
        { "quantize: {weights: max}\n", "'quantize.weights': 'max' is none of mse, min-max, percentile" },
        { "quantize: {edges: 3}\n", "'quantize.edges': '3' is none of mse" },
        { "quantize: {edges: percentile, percentile: 101}\n", "'quantize.percentile': 101 is outside 50..100" },
        { "quantize: {percentile: 99}\n", "'quantize.percentile': nothing uses it" },
        { "quantize: {granularity: 0}\n", "'quantize.granularity': `channel`, `layer` or a number" },
        { "quantize: {granularity: tensor}\n", "not 'tensor'" },
        { "quantize: {granularity: [3]}\n", "'quantize.granularity'" },
        { "quantize: {rounding: up}\n", "'quantize.rounding': 'up' is none of nearest, adaptive" },
        { "quantize: {bias_correction: 2}\n", "'quantize.bias_correction': true or false" },
        { "quantize: {batchnorm: -1}\n", "'quantize.batchnorm': -1 is outside" },
        { "quantize: {bias: true}\n", "'quantize.bias': unknown key" },
        { "quantize: mse\n", "'quantize'" },
        { "distill: {weight: 2}\n", "'distill.weight': 2 is outside 0..1" },
        { "distill: {temperature: 4}\n", "`weight`" },
        { "distill: {weight: 0.5, temperature: 0}\n", "'distill.temperature': 0 is outside" },
        { "distill: {weight: 0.5, t2: 4}\n", "'distill.t2'" },
        { "distill: {alpha: 0.5}\n", "'distill.alpha': unknown key" },
        { "finetune: {scales: free}\n", "'finetune.scales': 'free' is none of learned, fixed" },
    };
    struct net n;
    struct compress_recipe r;
    open_net(&n);
    for (int i = 0; i < BASE_COUNT(bad); i++)
        assert_error(parse(&r, &n, bad[i].text), BASE_INPUT, bad[i].part);
    assert_survives_nomem(parse(&r, &n, "quantize: {weights: percentile, granularity: 2}\ndistill: {weight: 0.5}\n"), compress_recipe_free(&r));
    assert_ok(parse(&r, &n, ""));
    r.quantize.percentile = NAN;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "quantize.percentile");
    r.quantize.percentile = 99;
    r.quantize.group = -1;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "quantize.granularity");
    r.quantize.group = 1;
    r.distill.weight = -0.5;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "distill: weight -0.5");
    compress_recipe_free(&r);
    graph_free(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_by_their_extremes),
        cmocka_unit_test(extremes_clip_nothing),
        cmocka_unit_test(weights_by_a_percentile),
        cmocka_unit_test(even_weights_have_the_textbook_scale),
        cmocka_unit_test(normal_weights_have_the_textbook_scale),
        cmocka_unit_test(edges_by_extremes_and_percentiles),
        cmocka_unit_test(even_edges_have_the_textbook_scale),
        cmocka_unit_test(rounding_comes_near_the_best),
        cmocka_unit_test(independent_inputs_round_to_nearest),
        cmocka_unit_test(sections_round_trip),
        cmocka_unit_test(sections_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
