/* compress: sparse weights: masks, blocks, schedule and ratios with known answers; the whole way with zeros; K-words that go. */
#define _GNU_SOURCE
#include "compress_bars.h"

#include "accel/accel.h"
#include "compress/reconstruct.h"
#include "compress/sparse.h"
#include "tensor/tensor.h"

/* ---- masks ----------------------------------------------------------------------------- */

static void least_magnitudes_go(void **state)
{
    (void)state;
    const struct sparse_shape s = { .cout = 2, .kh = 1, .kw = 2, .cin = 2 };
    const float w[8] = { 3, -1, 0.5f, 2, -0.5f, -4, 0, 1 };
    static const struct { double share; float mask[8]; } c[] = {
        { 0, { 1, 1, 1, 1, 1, 1, 1, 1 } },
        { 0.25, { 1, 1, 0, 1, 1, 1, 0, 1 } },    /* of two equal ones the first */
        { 0.5, { 1, 0, 0, 1, 0, 1, 0, 1 } },
        { 0.99, { 0, 0, 0, 0, 0, 1, 0, 0 } },    /* one is left */
    };
    for (int i = 0; i < BASE_COUNT(c); i++) {
        float mask[8];
        assert_ok(sparse_mask(mask, w, &s, COMPRESS_UNSTRUCTURED, 16, c[i].share));
        assert_memory_equal(mask, c[i].mask, sizeof mask);
    }
}

/* Weights of size `size(block)`; the blocks that stay at a share. */
static void check_blocks(const struct sparse_shape *s, int blocks, int (*block)(const struct sparse_shape *s, int o, int y, int x, int i), double share)
{
    int64_t n = sparse_weights(s), at = 0;
    float *w = BASE_NEW_N(float, n), *mask = BASE_NEW_N(float, n);
    for (int o = 0; o < s->cout; o++)
        for (int y = 0; y < s->kh; y++)
            for (int x = 0; x < s->kw; x++)
                for (int i = 0; i < s->cin; i++, at++) /* blocks in an order of their own: number b is the (7 b mod blocks)th smallest */
                    w[at] = (float)(1 + block(s, o, y, x, i) * 7 % blocks) * (at % 2 ? 1 : -1);
    assert_ok(sparse_mask(mask, w, s, COMPRESS_BLOCK, 16, share));
    for (int64_t k = 0; k < n; k++)
        assert_true((mask[k] == 0) == (fabsf(w[k]) <= (float)(int)(share * blocks + 0.5)));
    base_free(w);
    base_free(mask);
}

static int of_3x3(const struct sparse_shape *s, int o, int y, int x, int i)
{
    (void)y, (void)x;
    return (o + s->chan) / 16 * 3 + i / 16;      /* 33 to 48 inputs: three groups */
}

static int of_5x5(const struct sparse_shape *s, int o, int y, int x, int i)
{
    (void)s, (void)i;
    return o / 16 * 4 + y / 3 * 2 + x / 3;
}

static int of_1x1(const struct sparse_shape *s, int o, int y, int x, int i)
{
    (void)s, (void)y, (void)x;
    return o / 16 * 3 + i / 144;
}

static void blocks_are_the_arrays(void **state)
{
    (void)state;
    for (int share = 0; share < 10; share++) {
        check_blocks(&(struct sparse_shape){ .cout = 32, .kh = 3, .kw = 3, .cin = 40 }, 6, of_3x3, share / 10.0);
        check_blocks(&(struct sparse_shape){ .cout = 20, .kh = 3, .kw = 3, .cin = 48, .chan = 8 }, 6, of_3x3, share / 10.0);   /* rows 8..15, then 16..27 */
        check_blocks(&(struct sparse_shape){ .cout = 48, .kh = 5, .kw = 5, .cin = 16 }, 12, of_5x5, share / 10.0);
        check_blocks(&(struct sparse_shape){ .cout = 32, .kh = 1, .kw = 1, .cin = 300 }, 6, of_1x1, share / 10.0);
    }
}

static void the_ramp_is_cubic(void **state)
{
    (void)state;
    assert_true(sparse_ramp(0.8, 0, 10) == 0);
    assert_true(fabs(sparse_ramp(0.8, 5, 10) - 0.8 * 0.875) < 1e-12);
    assert_true(fabs(sparse_ramp(0.8, 9, 10) - 0.8 * 0.999) < 1e-12);
    assert_true(sparse_ramp(0.8, 10, 10) == 0.8 && sparse_ramp(0.8, 11, 10) == 0.8);
}

/* ---- the penalty ---------------------------------------------------------------------------- */

/* |to - from|^2 / 2 + t sum of sqrt(n) |block of to| */
static double proximal(const float *to, const float *from, double t, int weights, int blocks, int (*block)(const struct sparse_shape *, int, int, int, int), const struct sparse_shape *s)
{
    double sum = 0, square[8] = { 0 };
    int count[8] = { 0 };
    for (int i = 0; i < weights; i++) {
        double d = (double)to[i] - (double)from[i];
        int b = block(s, i / (9 * s->cin), i / s->cin % 9 / 3, i / s->cin % 3, i % s->cin);
        sum += d * d / 2;
        square[b] += (double)to[i] * (double)to[i];
        count[b]++;
    }
    for (int b = 0; b < blocks; b++)
        sum += t * sqrt(count[b] * square[b]);
    return sum;
}

/* A step leaves each block's root mean square smaller by the same, or 0; nothing near has a smaller value of what it minimizes. */
static void the_penalty_is_group_lasso(void **state)
{
    (void)state;
    struct sparse_shape s = { .cout = 32, .kh = 3, .kw = 3, .cin = 40 };   /* 2 x 3 blocks, the last ones of 8 inputs */
    enum { N = 32 * 9 * 40, BLOCKS = 6 };
    static float w[N], to[N], near[N];
    static const double size[BLOCKS] = { 1, 0.02, 0.5, 0.3, 2, 0 };
    struct base_rng r;
    double all = 0, was[BLOCKS] = { 0 }, is[BLOCKS] = { 0 };
    int count[BLOCKS] = { 0 };
    base_rng_seed(&r, 8);
    for (int i = 0; i < N; i++) {
        int b = of_3x3(&s, i / (9 * 40), i / 40 % 9 / 3, i / 40 % 3, i % 40);
        to[i] = w[i] = (float)size[b] * base_rng_normal(&r);
        all += (double)w[i] * (double)w[i] / N;
        was[b] += (double)w[i] * (double)w[i];
        count[b]++;
    }
    assert_ok(sparse_shrink(to, &s, 16, 0.1));
    double t = 0.1 * sqrt(all), least = proximal(to, w, t, N, BLOCKS, of_3x3, &s);
    for (int i = 0; i < N; i++)
        is[of_3x3(&s, i / (9 * 40), i / 40 % 9 / 3, i / 40 % 3, i % 40)] += (double)to[i] * (double)to[i];
    for (int b = 0; b < BLOCKS; b++)
        assert_true(fabs(sqrt(is[b] / count[b]) - fmax(sqrt(was[b] / count[b]) - t, 0)) < 1e-6);
    assert_true(is[1] == 0 && is[5] == 0 && is[3] > 0);
    for (int k = 0; k < 50; k++) {
        for (int i = 0; i < N; i++)
            near[i] = to[i] + 0.01f * base_rng_normal(&r);
        assert_true(proximal(near, w, t, N, BLOCKS, of_3x3, &s) > least);
    }
    for (int k = 0; k < N; k += 97)          /* w - w' is the penalty's gradient at w' */
        if (to[k] != 0) {
            float kept = to[k];
            double value[2];
            for (int side = 0; side < 2; side++) {
                to[k] = kept + (side ? 1 : -1) * 1e-2f;
                value[side] = proximal(to, to, t, N, BLOCKS, of_3x3, &s);
            }
            to[k] = kept;
            assert_true(fabs((value[1] - value[0]) / 2e-2 - ((double)w[k] - (double)kept)) < 1e-3 * t + 1e-5);
        }
    assert_survives_nomem(sparse_shrink(to, &s, 16, 0.1), (void)0);
}

/* ---- recipes ------------------------------------------------------------------------------ */

struct net { struct graph *g; struct graph_layers ls; };

static void open_net(struct net *n, const char *name)
{
    assert_ok(graph_zoo(&n->g, name));
    assert_ok(graph_make_layers(n->g, &n->ls));
}

static int parse(struct compress_recipe *r, const struct net *n, const char *text)
{
    return compress_recipe_parse(r, "r.yaml", text, strlen(text), n->g, &n->ls);
}

static int layer_named(const struct net *n, const char *name)
{
    for (int i = 0; i < n->ls.n; i++)
        if (!strcmp(n->ls.layer[i].name, name))
            return i;
    fail_msg("no layer %s", name);
    return -1;
}

static void defaults_spare_ends_and_depthwise(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe r, again;
    open_net(&n, "mobilenet-v1-x0.25");
    assert_ok(parse(&r, &n, "default: {w_bits: 4, a_bits: 4, sparsity: 0.5}\nlast: {sparsity: 0.25}\nlayers: {b2.dw: {sparsity: 0.125}, b3.pw: {sparsity: 0.75}}\nsparsify: {ramp: 0.25}\n"));
    assert_true(r.layer[layer_named(&n, "conv1")].sparsity == 0);
    assert_true(r.layer[layer_named(&n, "b1.dw")].sparsity == 0 && r.layer[layer_named(&n, "b2.dw")].sparsity == 0.125);
    assert_true(r.layer[layer_named(&n, "b1.pw")].sparsity == 0.5 && r.layer[layer_named(&n, "b3.pw")].sparsity == 0.75);
    assert_true(r.layer[layer_named(&n, "pool")].sparsity == 0 && r.layer[layer_named(&n, "fc")].sparsity == 0.25);
    char *text = compress_recipe_text(&r, &n.ls);
    assert_ok(parse(&again, &n, text));
    assert_memory_equal(r.layer, again.layer, sizeof *r.layer * (size_t)r.n);
    assert_true(again.sparsify.ramp == 0.25 && again.sparsify.block == 16);
    base_free(text);
    compress_recipe_free(&again);
    compress_recipe_free(&r);
    static const struct { const char *text, *part; } bad[] = {
        { "default: {w_bits: 4, a_bits: 4, sparsity: -0.1}\n", "r.yaml:1" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers: {pool: {sparsity: 0.5}}\n", "no weights" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers: {b1.dw: {sparsity: 0.5}}\nsparsify: {structure: block}\n", "by `keep`" },
        { "default: {w_bits: 4, a_bits: 4, sparsity: 0.5}\nsparsify: {structure: rows}\n", "unstructured, block" },
        { "default: {w_bits: 4, a_bits: 4, sparsity: 0.5}\nlayers: {b1.pw: {sparsity: 0.3}}\nsparsify: {ratios: erdos-renyi}\n", "chooses every layer's" },
        { "default: {w_bits: 4, a_bits: 4, sparsity: 0.5}\nsparsify: {ramp: 2}\n", "r.yaml:2" },
        { "default: {w_bits: 4, a_bits: 4, sparsity: 0.5}\nsparsify: {penalty: 0.5}\n", "whole blocks towards 0: say `structure: block`" },
    };
    for (int i = 0; i < BASE_COUNT(bad); i++)
        assert_error(parse(&r, &n, bad[i].text), BASE_INPUT, bad[i].part);
    graph_free(n.g);
}

static int64_t weights_of_layer(const struct net *n, int layer)
{
    struct sparse_shape s = sparse_shape_of(n->g, &n->ls.layer[layer].term[0]);
    return sparse_weights(&s);
}

/* Densities as (cout + cin + kh + kw) / (cout cin kh kw), the same number of zeros in all; too small layers stay whole. */
static void erdos_renyi_ratios(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe r;
    open_net(&n, "fmnist-cnn");
    for (int percent = 5; percent < 100; percent += 15) {
        char text[160];
        snprintf(text, sizeof text, "default: {w_bits: 4, a_bits: 4, sparsity: 0.%02d}\nsparsify: {ratios: erdos-renyi}\n", percent);
        assert_ok(parse(&r, &n, text));
        assert_ok(compress_recipe_settle(&r, n.g, &n.ls, 16));
        int c2 = layer_named(&n, "conv2"), c5 = layer_named(&n, "conv5");
        double all = 0, zero = 0, last = 0, d2 = (16 + 32 + 6) / (16 * 32 * 9.0), d5 = (64 + 64 + 6) / (64 * 64 * 9.0);
        for (int i = 0; i < r.n; i++) {
            if (i < c2 || !n.ls.layer[i].has_weights || i == layer_named(&n, "fc"))
                continue;
            all += (double)weights_of_layer(&n, i);
            zero += (double)weights_of_layer(&n, i) * r.layer[i].sparsity;
            assert_true(r.layer[i].sparsity >= last);     /* layers grow */
            last = r.layer[i].sparsity;
        }
        assert_true(fabs(zero / all - percent / 100.0) < 2e-4);
        if (r.layer[c2].sparsity > 0)
            assert_true(fabs((1 - r.layer[c2].sparsity) / (1 - r.layer[c5].sparsity) - d2 / d5) < 0.02 * d2 / d5);
        assert_int_equal(r.sparsify.ratios, COMPRESS_UNIFORM_RATIOS);
        compress_recipe_free(&r);
    }
    graph_free(n.g);
}

/* ---- the whole way ---------------------------------------------------------------------------- */

/* Zeros of each sparse term are as many as the recipe says, in the integer network and in the graph. */
static void count_zeros(const struct compress_model *m, const struct fixed_net *net)
{
    int sparse = 0;
    for (int i = 0; i < m->layers.n; i++)
        for (int k = 0; k < m->layers.layer[i].n_term; k++) {
            const struct nn_quant_term *q = &m->quant->layer[i].term[k];
            if (!q->mask)
                continue;
            const struct fixed_term *t = &net->layer[i].term[k];
            struct sparse_shape s = sparse_shape_of(m->graph, &m->layers.layer[i].term[k]);
            int64_t n = sparse_weights(&s), masked = 0;
            for (int64_t w = 0; w < n; w++) {
                masked += q->mask[w] == 0;
                assert_true(q->mask[w] != 0 || (t->code[w] == 0 && (m->graph->node[m->layers.layer[i].term[k].node].weight[w] == 0 || m->recipe.finetune.mode == COMPRESS_FAST)));
            }
            if (m->recipe.sparsify.structure == COMPRESS_UNSTRUCTURED)
                assert_int_equal(masked, lround(m->recipe.layer[i].sparsity * (double)n));
            sparse++;
        }
    assert_true(sparse > 0);
}

static struct compress_model *sparse_model(const struct fixture *f, int w, double share, enum compress_mode mode, enum compress_rounding rounding, int layers)
{
    struct compress_recipe r;
    struct compress_model *m;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    o.batchnorm_images = 256;
    o.batch = 64;
    recipe(&r, f, w, 4, mode);
    for (int i = 1; i <= layers; i++)
        r.layer[i].sparsity = compress_cache_layers(f->cache)->layer[i].has_weights ? share : 0;
    r.quantize.rounding = rounding;
    assert_ok(compress_apply(&m, f->cache, &r, &o));
    compress_recipe_free(&r);
    return m;
}

static void lowered_equals_fake_quantized(void **state)
{
    const struct fixture *f = *state;
    static const struct { int w; double share; enum compress_mode mode; enum compress_rounding rounding; } c[] = {
        { 4, 0.5, COMPRESS_FAST, COMPRESS_NEAREST },  { 1, 0.4, COMPRESS_FAST, COMPRESS_NEAREST }, { 3, 0.6, COMPRESS_FAST, COMPRESS_ADAPTIVE },
        { 1, 0.3, COMPRESS_FAST, COMPRESS_ADAPTIVE }, { 4, 0.7, COMPRESS_SHORT, COMPRESS_NEAREST }, { 2, 0.5, COMPRESS_SHORT, COMPRESS_ADAPTIVE },
    };
    for (int i = 0; i < BASE_COUNT(c); i++) {
        struct fixed_net *net;
        struct compress_model *m = sparse_model(f, c[i].w, c[i].share, c[i].mode, c[i].rounding, 5);
        assert_ok(compress_lower(&net, m));
        count_zeros(m, net);
        agree(f, m, net);
        fixed_net_free(net);
        compress_model_free(m);
    }
}

/* Blocks of 4 x 4 channels, half of them 0. Each block of the last mask has a smaller part of its term's weight for the penalty. */
static void the_penalty_empties_what_goes(void **state)
{
    const struct fixture *f = *state;
    struct nn_result val[2];
    double kept[2] = { 0 };
    for (int k = 0; k < 2; k++) {
        struct compress_recipe r, again;
        struct compress_model *m;
        struct compress_options o = COMPRESS_OPTIONS_INIT;
        o.batchnorm_images = 256;
        o.batch = 64;
        recipe(&r, f, 4, 4, COMPRESS_SHORT);
        for (int i = 1; i < r.n - 1; i++)
            r.layer[i].sparsity = compress_cache_layers(f->cache)->layer[i].has_weights ? 0.5 : 0;
        r.sparsify.structure = COMPRESS_BLOCK;
        r.sparsify.block = 4;
        r.sparsify.penalty = k ? 0.8 : 0;
        char *text = compress_recipe_text(&r, compress_cache_layers(f->cache));
        assert_ok(compress_recipe_parse(&again, "again.yaml", text, strlen(text), compress_cache_graph(f->cache), compress_cache_layers(f->cache)));
        assert_true(again.sparsify.penalty == r.sparsify.penalty);
        base_free(text);
        compress_recipe_free(&again);
        assert_ok(compress_apply(&m, f->cache, &r, &o));
        val[k] = m->val;
        for (int i = 1; i < m->layers.n - 1; i++)
            for (int t = 0; t < m->layers.layer[i].n_term; t++)
                if (m->quant->layer[i].term[t].mask) {
                    struct sparse_shape s = sparse_shape_of(m->graph, &m->layers.layer[i].term[t]);
                    const float *w = m->graph->node[m->layers.layer[i].term[t].node].weight;
                    for (int64_t j = 0; j < sparse_weights(&s); j++)
                        kept[k] += (double)w[j] * (double)w[j];
                }
        compress_model_free(m);
        compress_recipe_free(&r);
    }
    if (!(kept[1] < kept[0] && val[1].top1 > 0.75 && val[0].loss != val[1].loss))
        fail_msg("top-1 %g, %g with the penalty; weight %g, %g", val[0].top1, val[1].top1, kept[0], kept[1]);
}

/* Zeros of a fine-tuned network are not simply the float network's least weights: some came back. */
static void masked_weights_may_return(void **state)
{
    const struct fixture *f = *state;
    struct compress_model *fast = sparse_model(f, 4, 0.7, COMPRESS_FAST, COMPRESS_NEAREST, 5), *tuned = sparse_model(f, 4, 0.7, COMPRESS_SHORT, COMPRESS_NEAREST, 5);
    int differ = 0;
    for (int i = 0; i < fast->layers.n; i++) {
        const float *a = fast->quant->layer[i].term[0].mask, *b = tuned->quant->layer[i].term[0].mask;
        struct sparse_shape s = { 0 };
        if (a)
            s = sparse_shape_of(fast->graph, &fast->layers.layer[i].term[0]);
        for (int64_t k = 0; k < sparse_weights(&s); k++)
            differ += a[k] < b[k];
    }
    if (differ < 2)
        fail_msg("%d weights came back", differ);
    if (!(tuned->val.loss < fast->val.loss && tuned->val.top1 > 0.8))
        fail_msg("loss %g -> %g, top-1 %g", fast->val.loss, tuned->val.loss, tuned->val.top1);
    compress_model_free(fast);
    compress_model_free(tuned);
}

static void adaptive_rounding_makes_up_for_zeros(void **state)
{
    const struct fixture *f = *state;
    struct compress_model *nearest = sparse_model(f, 6, 0.6, COMPRESS_FAST, COMPRESS_NEAREST, 5), *adaptive = sparse_model(f, 6, 0.6, COMPRESS_FAST, COMPRESS_ADAPTIVE, 5);
    if (!(adaptive->val.loss < 0.8 * nearest->val.loss))
        fail_msg("loss %g by nearest, %g by adaptive rounding", nearest->val.loss, adaptive->val.loss);
    compress_model_free(nearest);
    compress_model_free(adaptive);
}

/* The kept weights solve their part of the normal equations. */
static void kept_weights_are_the_least_squares(void **state)
{
    (void)state;
    enum { K = 9, KEPT = 5 };
    struct base_rng r;
    base_rng_seed(&r, 4);
    for (int n = 0; n < 20; n++) {
        double x[40][K], h[K * K], want[K], got[K], scratch[2 * K], sub[KEPT * KEPT], b[KEPT], best[KEPT];
        float mask[K];
        int kept[KEPT], left = 0;
        for (int i = 0; i < K; i++) {
            want[i] = got[i] = (double)base_rng_normal(&r);
            mask[i] = (i + n) % K < KEPT ? 1 : 0;
            if (mask[i] > 0)
                kept[left++] = i;
            for (int k = 0; k < 40; k++)
                x[k][i] = (double)base_rng_normal(&r) + (i ? 0.4 * x[k][i - 1] : 0);
        }
        for (int i = 0; i < K * K; i++) {
            h[i] = 0;
            for (int k = 0; k < 40; k++)
                h[i] += x[k][i / K] * x[k][i % K];
        }
        for (int i = 0; i < KEPT; i++) {         /* H_kk w_k = (H want)_k */
            b[i] = 0;
            for (int j = 0; j < K; j++)
                b[i] += h[kept[i] * K + j] * want[j];
            for (int j = 0; j < KEPT; j++)
                sub[i * KEPT + j] = h[kept[i] * K + kept[j]];
        }
        assert_ok(tensor_solve_spd(best, sub, b, KEPT, 1, "kept"));
        compress_fit_kept(got, h, mask, K, scratch);
        for (int i = 0; i < K; i++)
            assert_true(mask[i] > 0 || got[i] == 0);
        for (int i = 0; i < KEPT; i++)
            if (fabs(got[kept[i]] - best[i]) > 1e-3 * (1 + fabs(best[i])))
                fail_msg("weight %d: %g, not %g", kept[i], got[kept[i]], best[i]);
    }
}

/* ---- the array ----------------------------------------------------------------------------------- */

/* Half of the blocks: half of the planes, and the rest of the time that they took; single zeros save none. */
static void blocks_take_kwords_away(void **state)
{
    (void)state;
    static uint8_t image[32 * 32 * 3];
    struct net n;
    struct hw hw;
    struct compress_cache *cache;
    struct compress_data data = { .calibration = image, .n_calibration = 1 };
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    int64_t cycles[3];
    for (int i = 0; i < BASE_COUNT(image); i++)
        image[i] = (uint8_t)(i * 37 % 251);
    open_net(&n, "resnet20");
    nn_init_parameters(n.g, 1);
    assert_ok(hw_load(&hw, "boards/pynq-z2/board.yaml"));
    assert_ok(compress_cache_new(&cache, n.g, &data, NULL));
    o.batchnorm_images = 0;
    o.val_images = -1;
    for (int kind = 0; kind < 3; kind++) {
        static const char *const text[] = { "default: {w_bits: 4, a_bits: 4}\nquantize: {rounding: nearest}\n",
                                            "default: {w_bits: 4, a_bits: 4, sparsity: 0.5}\nquantize: {rounding: nearest}\n",
                                            "default: {w_bits: 4, a_bits: 4, sparsity: 0.5}\nsparsify: {structure: block}\nquantize: {rounding: nearest}\n" };
        struct compress_recipe r;
        struct compress_model *m;
        struct fixed_net *net;
        struct accel_program *p;
        struct accel_cycles *c = BASE_NEW(struct accel_cycles);
        assert_ok(parse(&r, &n, text[kind]));
        assert_ok(compress_apply(&m, cache, &r, &o));
        assert_ok(compress_lower(&net, m));
        assert_ok(accel_compile(&p, net, &hw));
        assert_ok(accel_model(c, &hw, p->image, p->image_words));
        cycles[kind] = c->total;
        const struct accel_layer_info *l = &p->layer[layer_named(&n, "s3.b2.conv1") + 1];
        assert_int_equal(l->dense_planes, 4 * 4 * 4);     /* filter groups, input groups, planes */
        assert_int_equal(l->listed_planes, kind == 2 ? 32 : 64);
        base_free(c);
        accel_program_free(p);
        fixed_net_free(net);
        compress_model_free(m);
        compress_recipe_free(&r);
    }
    assert_int_equal(cycles[0], cycles[1]);
    assert_true(cycles[2] < 0.75 * (double)cycles[0]);
    compress_cache_free(cache);
    graph_free(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_magnitudes_go),
        cmocka_unit_test(blocks_are_the_arrays),
        cmocka_unit_test(the_ramp_is_cubic),
        cmocka_unit_test(the_penalty_is_group_lasso),
        cmocka_unit_test(defaults_spare_ends_and_depthwise),
        cmocka_unit_test(erdos_renyi_ratios),
        cmocka_unit_test(kept_weights_are_the_least_squares),
        cmocka_unit_test(lowered_equals_fake_quantized),
        cmocka_unit_test(masked_weights_may_return),
        cmocka_unit_test(the_penalty_empties_what_goes),
        cmocka_unit_test(adaptive_rounding_makes_up_for_zeros),
        cmocka_unit_test(blocks_take_kwords_away),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
