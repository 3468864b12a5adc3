/* compress: scales of least squared error, the recipe's rules and file. */
#define _GNU_SOURCE
#include "unit.h"

#include <float.h>
#include <math.h>

#include "compress/compress.h"

/* ---- scales --------------------------------------------------------------------- */

static double error_of(const float *w, int n, double s, int bits)
{
    double sum = 0, lo = -(double)(1 << (bits - 1));
    for (int i = 0; i < n; i++) {
        double q = bits == 1 ? (w[i] < 0 ? -1 : 1) : fmin(fmax(floor((double)w[i] / s + 0.5), lo), -lo - 1);
        sum += pow((double)w[i] - q * s, 2);
    }
    return sum;
}

/* Brute force: every clipping point on a fine grid. */
static void weight_scale_is_near_the_best(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 5);
    for (int bits = 1; bits <= 8; bits++)
        for (int n = 9; n <= 576; n *= 8) {
            float w[576], max = 0;
            for (int i = 0; i < n; i++) {
                w[i] = 0.1f * base_rng_normal(&r);
                max = fmaxf(max, fabsf(w[i]));
            }
            double least = DBL_MAX;
            for (int i = 1; i <= 4000; i++)
                least = fmin(least, error_of(w, n, (double)max * 2.2 * i / 4000 / (1 << (bits - 1)), bits));
            double got = error_of(w, n, (double)compress_scale_weights(w, n, bits), bits);
            if (!(got <= (n == 9 ? 1.2 : 1.04) * least + 1e-12))
                fail_msg("%d bits, %d weights: error %g, brute force %g", bits, n, got, least);
        }
    const float zero[4] = { 0 };
    assert_true(compress_scale_weights(zero, 4, 3) > 0);
    assert_true(compress_scale_weights(zero, 4, 1) > 0 && compress_scale_weights(zero, 4, 1) < 1e-20f); /* +-1 of next to nothing */
    const float tiny[] = { 1e-42f, -1e-40f, 3e-39f, 1e-45f };
    for (int bits = 1; bits <= 8; bits++)
        for (int clip = COMPRESS_MSE; clip <= COMPRESS_PERCENTILE; clip++)
            assert_true(isnormal(compress_clip_weights(tiny, 4, bits, (enum compress_clip)clip, 90)) && isnormal(1 / compress_clip_weights(tiny, 4, bits, (enum compress_clip)clip, 90)));
}

static void edge_scale_clips_a_tail(void **state)
{
    (void)state;
    static struct nn_histogram h;
    h.width = 0.01f;
    h.max = h.width * NN_BINS;
    for (int i = 0; i < NN_BINS; i++)
        h.count[i] = 1e6 * exp(-i / 100.0);   /* mean 1, tail to 20 */
    float s2 = compress_scale_edge(&h, 2, false), s8 = compress_scale_edge(&h, 8, false);
    assert_true(s2 * 3 > 1.5f && s2 * 3 < 6);
    assert_true(s8 * 255 > 6 && s8 * 255 <= 20.48f);
    assert_true(compress_scale_edge(&h, 4, true) > compress_scale_edge(&h, 4, false));
    memset(&h, 0, sizeof h);
    assert_true(compress_scale_edge(&h, 1, false) > 0);
}

/* ---- recipe ------------------------------------------------------------------------- */

struct net { struct graph *g; struct graph_layers ls; };

static void open_net(struct net *n, const char *name)
{
    assert_ok(graph_zoo(&n->g, name));
    assert_ok(graph_make_layers(n->g, &n->ls));
}

static int layer_named(const struct net *n, const char *name)
{
    for (int i = 0; i < n->ls.n; i++)
        if (!strcmp(n->ls.layer[i].name, name))
            return i;
    fail_msg("no layer %s", name);
    return -1;
}

static int parse(struct compress_recipe *r, const struct net *n, const char *text)
{
    return compress_recipe_parse(r, "r.yaml", text, strlen(text), n->g, &n->ls);
}

static void defaults(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe r;
    open_net(&n, "fmnist-cnn");
    assert_ok(compress_recipe_default(&r, n.g, &n.ls, 4, 3));
    int c1 = layer_named(&n, "conv1"), p1 = layer_named(&n, "pool1"), c2 = layer_named(&n, "conv2"), fc = layer_named(&n, "fc"), pool = layer_named(&n, "pool");
    assert_int_equal(r.layer[c1].w_bits, 8);
    assert_int_equal(r.layer[c1].a_bits, 8);
    assert_int_equal(r.layer[c2].w_bits, 4);
    assert_int_equal(r.layer[c2].a_bits, 3);
    assert_int_equal(r.layer[p1].a_bits, 3);
    assert_int_equal(r.layer[p1].w_bits, 0);
    assert_int_equal(r.layer[pool].a_bits, 3);
    assert_int_equal(r.layer[fc].a_bits, 8);
    assert_int_equal(compress_recipe_decider(n.g, &n.ls, c1), -1);
    assert_int_equal(compress_recipe_decider(n.g, &n.ls, p1), c2);
    assert_int_equal(compress_recipe_edge_bits(&r, n.g, &n.ls, c1 + 1), 3);
    assert_int_equal(compress_recipe_edge_bits(&r, n.g, &n.ls, p1 + 1), 3);
    assert_int_equal(compress_recipe_edge_bits(&r, n.g, &n.ls, n.ls.n), 0);
    struct compress_size s;
    compress_recipe_size(&s, &r, n.g, &n.ls);
    assert_true(s.mean_w_bits > 4 && s.mean_w_bits < 4.2);
    assert_int_equal(s.weight_bytes, 9 * 16 + 64 * 10 + (9 * (16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)) / 2);
    r.layer[c2].a_bits = 5;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "'pool1'");
    compress_recipe_tie(&r, n.g, &n.ls);
    assert_ok(compress_recipe_check(&r, n.g, &n.ls));
    assert_int_equal(r.layer[p1].a_bits, 5);
    compress_recipe_free(&r);
    graph_free(n.g);
}

static void file_round_trip(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe a, b;
    open_net(&n, "resnet8");
    assert_ok(parse(&a, &n, "default: {w_bits: 3, a_bits: 4}\nfirst: {w_bits: 6}\nlayers: {stage1.conv1: {w_bits: 2, a_bits: 5}}\n"
                            "finetune: {mode: short, epochs: 2, lr: 0.005}\n"));
    assert_int_equal(a.layer[layer_named(&n, "conv1")].w_bits, 6);
    assert_int_equal(a.layer[layer_named(&n, "stage1.conv1")].a_bits, 5);
    assert_int_equal(a.layer[layer_named(&n, "stage1.conv1")].w_bits, 2);
    char *text = compress_recipe_text(&a, &n.ls);
    assert_non_null(text);
    assert_ok(parse(&b, &n, text));
    assert_memory_equal(a.layer, b.layer, sizeof *a.layer * (size_t)a.n);
    assert_int_equal(b.finetune.mode, COMPRESS_SHORT);
    assert_int_equal(b.finetune.epochs, 2);
    assert_true(b.finetune.lr == 0.005);
    base_free(text);
    compress_recipe_free(&a);
    compress_recipe_free(&b);
    graph_free(n.g);
}

static void file_errors(void **state)
{
    (void)state;
    static const struct { const char *text, *part; } bad[] = {
        { "first: {w_bits: 4}\n", "`default" },
        { "default: {w_bits: 4}\n", "both w_bits and a_bits" },
        { "default: {w_bits: 9, a_bits: 4}\n", "outside 1..8" },
        { "default: {w_bits: 4, a_bits: 4}\nlayrs: {}\n", "unknown key" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers:\n  conv22: {w_bits: 2}\n", "r.yaml:3" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers:\n  conv22: {w_bits: 2}\n", "nearest is 'conv2'" },
        { "default: {w_bits: 4, a_bits: 4, sparsity: 1}\n", "no weight would be left" },
        { "default: {w_bits: 4, a_bits: 4, levels: cubic}\n", "none of uniform, codebook" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers: {pool1: {w_bits: 2}}\n", "no weights" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers: {conv1: {a_bits: 4}}\n", "raw image" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers: {pool1: {a_bits: 5}, conv2: {a_bits: 4}}\n", "same values" },
        { "default: {w_bits: 4, a_bits: 4}\nfinetune: {mode: long}\n", "none of fast" },
    };
    struct net n;
    struct compress_recipe r;
    open_net(&n, "fmnist-cnn");
    for (int i = 0; i < BASE_COUNT(bad); i++)
        assert_error(parse(&r, &n, bad[i].text), BASE_INPUT, bad[i].part);
    assert_survives_nomem(parse(&r, &n, "default: {w_bits: 4, a_bits: 4}\nlayers: {conv2: {w_bits: 2}}\n"), compress_recipe_free(&r));
    graph_free(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_scale_is_near_the_best),
        cmocka_unit_test(edge_scale_clips_a_tail),
        cmocka_unit_test(defaults),
        cmocka_unit_test(file_round_trip),
        cmocka_unit_test(file_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
