/* compress: non-uniform levels: k-means and planes against every choice, powers of two, recipes, and the whole way. */
#define _GNU_SOURCE
#include "compress_bars.h"

#include <float.h>

#include "accel/accel.h"
#include "compress/levels.h"
#include "pack/pack.h"

/* ---- k-means ----------------------------------------------------------------------- */

/* Least error of n points in k clusters, by trying every way to share them out. */
static double every_clustering(const float *x, const float *mass, int n, int k)
{
    double least = DBL_MAX;
    int all = 1;
    for (int i = 0; i < n; i++)
        all *= k;
    for (int way = 0; way < all; way++) {
        double m[4] = { 0 }, mx[4] = { 0 }, mxx = 0, error = 0;
        for (int i = 0, rest = way; i < n; i++, rest /= k) {
            m[rest % k] += (double)mass[i];
            mx[rest % k] += (double)mass[i] * (double)x[i];
            mxx += (double)mass[i] * (double)x[i] * (double)x[i];
        }
        for (int c = 0; c < k; c++)
            error += m[c] > 0 ? mx[c] * mx[c] / m[c] : 0;
        least = fmin(least, mxx - error);
    }
    return least;
}

static void kmeans_is_the_best_clustering(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 21);
    for (int n = 1; n <= 8; n++)
        for (int k = 1; k <= 4; k++)
            for (int trial = 0; trial < 5; trial++) {
                float x[8], mass[8], centre[4];
                for (int i = 0; i < n; i++) {
                    x[i] = trial == 4 ? (float)base_rng_below(&r, 3) : base_rng_normal(&r);
                    mass[i] = trial % 2 ? 0.2f + base_rng_uniform(&r) : 1;
                }
                double got = levels_kmeans(centre, k, x, trial % 2 ? mass : NULL, n), want = every_clustering(x, mass, n, k), error = 0;
                if (fabs(got - want) > 1e-6)
                    fail_msg("%d points, %d clusters: %g, not %g", n, k, got, want);
                for (int i = 0; i < n; i++) {
                    double near = DBL_MAX;
                    for (int c = 0; c < k; c++)
                        near = fmin(near, pow((double)(x[i] - centre[c]), 2));
                    error += (double)mass[i] * near;
                }
                assert_true(fabs(error - want) < 1e-5);
                for (int c = 1; c < k; c++)
                    assert_true(centre[c] >= centre[c - 1]);
            }
    float many[20000], centre[4];
    for (int i = 0; i < 20000; i++)
        many[i] = (float)(i % 4) * 10 + 0.001f * (float)(i % 7);
    assert_true(levels_kmeans(centre, 4, many, NULL, 20000) >= 0);   /* put together first */
    for (int c = 0; c < 4; c++)
        assert_true(fabsf(centre[c] - (float)c * 10) < 0.01f);
}

static void other_starts_by_hand(void **state)
{
    (void)state;
    const float x[8] = { 8, 1, 2, 3, 0, 5, 6, 7 };
    float c[4];
    assert_ok(levels_codebook(c, 4, x, NULL, 8, COMPRESS_INIT_QUANTILE));
    assert_true(c[0] == 0.5f && c[1] == 2.5f && c[2] == 5.5f && c[3] == 7.5f);
    assert_ok(levels_codebook(c, 3, x, NULL, 8, COMPRESS_INIT_UNIFORM));
    assert_true(c[0] == 0 && c[1] == 4 && c[2] == 8);
}

/* ---- planes of a codebook ---------------------------------------------------------------- */

static bool holds(const int *value, int planes, const int *entry, int n)
{
    for (int i = 0; i < n; i++) {
        bool found = false;
        for (int set = 0; set < 1 << planes && !found; set++) {
            int sum = 0;
            for (int t = 0; t < planes; t++)
                sum += set >> t & 1 ? value[t] : 0;
            found = sum == entry[i];
        }
        if (!found)
            return false;
    }
    return true;
}

/* The fewest planes, values from -most to most: 1 to 3; 4: it takes more. */
static int every_value(const int *entry, int n, int most)
{
    int v[3];
    for (v[0] = -most; v[0] <= most; v[0]++)
        if (holds(v, 1, entry, n))
            return 1;
    for (v[0] = -most; v[0] <= most; v[0]++)
        for (v[1] = v[0]; v[1] <= most; v[1]++)
            if (holds(v, 2, entry, n))
                return 2;
    for (v[0] = -most; v[0] <= most; v[0]++)
        for (v[1] = v[0]; v[1] <= most; v[1]++)
            for (v[2] = v[1]; v[2] <= most; v[2]++)
                if (holds(v, 3, entry, n))
                    return 3;
    return 4;
}

/* Nearly always the fewest that any values give; never fewer, and one too many at most. */
static void planes_are_as_few_as_can_be(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 5);
    int more = 0;
    for (int trial = 0; trial < 150; trial++) {
        int entry[8], n = 1 + (int)base_rng_below(&r, 6), value[LEVELS_MAX_PLANES];
        uint16_t set[8];
        for (int i = 0; i < n; i++)
            entry[i] = (int)base_rng_below(&r, 15) - 7;
        int got = levels_planes(value, set, entry, n), want = every_value(entry, n, 14);
        if (got < want || (want < 4 && got > want + 1))
            fail_msg("trial %d: %d planes, not %d", trial, got, want);
        more += want < 4 && got > want;
    }
    if (more > 10)
        fail_msg("%d of 150 sets take a plane more than they need", more);
}

/* Any sixteen 8-bit integers: at most eight planes, and every sum is right. */
static void planes_add_up(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 6);
    for (int trial = 0; trial < 60; trial++) {
        int entry[LEVELS_MAX_ENTRIES], value[LEVELS_MAX_PLANES];
        uint16_t set[LEVELS_MAX_ENTRIES];
        int n = 1 + (int)base_rng_below(&r, LEVELS_MAX_ENTRIES);
        for (int i = 0; i < n; i++)
            entry[i] = trial == 0 ? 0 : (int)base_rng_below(&r, 255) - 127;
        int planes = levels_planes(value, set, entry, n);
        assert_true(planes >= 1 && planes <= LEVELS_MAX_PLANES);
        for (int i = 0; i < n; i++) {
            int sum = 0;
            for (int t = 0; t < planes; t++)
                sum += set[i] >> t & 1 ? value[t] : 0;
            assert_int_equal(sum, entry[i]);
        }
    }
    const int even[4] = { -12, -4, 4, 8 };       /* -3, -1, 1, 2 times 4 */
    int value[LEVELS_MAX_PLANES];
    uint16_t set[4];
    assert_int_equal(levels_planes(value, set, even, 4), 3);
}

/* ---- bases --------------------------------------------------------------------------------- */

static double error_of(const float *value, float scale, int planes, const float *w, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double near = DBL_MAX;
        for (int set = 0; set < 1 << planes; set++) {
            double v = 0;
            for (int t = 0; t < planes; t++)
                v += set >> t & 1 ? (double)value[t] : 0;
            near = fmin(near, pow((double)w[i] - v * (double)scale, 2));
        }
        sum += near;
    }
    return sum;
}

/* Free values and powers of two are never worse than the uniform levels of as many planes, which are both. */
static void bases_beat_uniform_levels(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 9);
    for (int planes = 2; planes <= 4; planes++) {
        double all[3] = { 0 };
        for (int trial = 0; trial < 20; trial++) {
            float w[144], value[LEVELS_MAX_PLANES], scale;
            for (int i = 0; i < 144; i++)
                w[i] = base_rng_normal(&r) * (trial % 2 ? fabsf(base_rng_normal(&r)) : 1);
            float s = compress_scale_weights(w, 144, planes), two[LEVELS_MAX_PLANES] = { 1, 2, 4, 8 };
            two[planes - 1] *= -1;
            all[0] += error_of(two, s, planes, w, 144);
            for (int pot = 0; pot < 2; pot++) {
                double e = levels_basis(value, &scale, planes, pot, w, NULL, 144);
                assert_true(fabs(e - error_of(value, scale, planes, w, 144)) < 1e-3 * e + 1e-6);
                all[1 + pot] += e;
                for (int t = 0; t < planes; t++) {
                    int v = abs((int)value[t]);
                    assert_true(value[t] == floorf(value[t]) && v <= 127);
                    assert_true(!pot || (v && !(v & (v - 1))));
                }
            }
        }
        if (!(all[1] <= all[2] * 1.02 && all[2] <= all[0] * 1.001))
            fail_msg("%d planes: uniform %g, free %g, powers of two %g", planes, all[0], all[1], all[2]);
    }
}

/* Weights that are -1, 0 or 1: two planes, no error. Masked ones do not count. */
static void ternary_weights_need_two_planes(void **state)
{
    (void)state;
    float w[60], mask[60], value[2], scale;
    for (int i = 0; i < 60; i++) {
        mask[i] = i % 4 ? 1 : 0;
        w[i] = mask[i] > 0 ? 0.25f * (float)(i % 3 - 1) : 7;
    }
    for (int pot = 0; pot < 2; pot++)
        assert_true(levels_basis(value, &scale, 2, pot, w, mask, 60) < 1e-9);
}

/* ---- recipes --------------------------------------------------------------------------------- */

static void recipes(void **state)
{
    (void)state;
    struct graph *g;
    struct graph_layers ls;
    struct compress_recipe r, again;
    assert_ok(graph_zoo(&g, "fmnist-cnn"));
    assert_ok(graph_make_layers(g, &ls));
    const char *text = "default: {levels: pot, planes: 3, a_bits: 4}\nlast: {levels: basis, w_bits: 5}\n"
                       "layers: {conv3: {levels: codebook, w_bits: 3}, conv4: {levels: codebook, w_bits: 2, planes: 6}, conv5: {levels: uniform}}\ncodebook: {init: quantile, train: codebook}\n";
    assert_ok(compress_recipe_parse(&r, "r.yaml", text, strlen(text), g, &ls));
    static const struct { const char *name; enum compress_levels levels; int w_bits, planes; } want[] = {
        { "conv1", COMPRESS_UNIFORM, 8, 0 }, { "pool1", COMPRESS_UNIFORM, 0, 0 }, { "conv2", COMPRESS_POT, 3, 0 }, { "conv3", COMPRESS_CODEBOOK, 3, 8 },
        { "conv4", COMPRESS_CODEBOOK, 2, 6 }, { "conv5", COMPRESS_UNIFORM, 3, 0 }, { "fc", COMPRESS_BASIS, 5, 0 },
    };
    for (int i = 0; i < BASE_COUNT(want); i++)
        for (int l = 0; l < ls.n; l++)
            if (!strcmp(ls.layer[l].name, want[i].name)) {
                assert_int_equal(r.layer[l].levels, want[i].levels);
                assert_int_equal(r.layer[l].w_bits, want[i].w_bits);
                assert_int_equal(r.layer[l].planes, want[i].planes);
            }
    char *written = compress_recipe_text(&r, &ls);
    assert_ok(compress_recipe_parse(&again, "again.yaml", written, strlen(written), g, &ls));
    assert_memory_equal(r.layer, again.layer, sizeof *r.layer * (size_t)r.n);
    assert_memory_equal(&r.codebook, &again.codebook, sizeof r.codebook);
    base_free(written);
    compress_recipe_free(&r);
    compress_recipe_free(&again);
    static const struct { const char *text, *part; } bad[] = {
        { "default: {w_bits: 4, a_bits: 4, levels: cubic}\n", "uniform, codebook, pot, basis" },
        { "default: {w_bits: 4, a_bits: 4, planes: 3}\n", "as many planes as w_bits" },
        { "default: {w_bits: 4, a_bits: 4, levels: pot, planes: 3}\n", "one of them is enough" },
        { "default: {w_bits: 5, a_bits: 4, levels: codebook}\n", "up to 4" },
        { "default: {w_bits: 4, a_bits: 4, levels: codebook, planes: 3}\n", "use 4 to 8" },
        { "default: {w_bits: 4, a_bits: 4}\nlayers: {pool1: {levels: pot}}\n", "leave levels out" },
        { "default: {w_bits: 4, a_bits: 4}\ncodebook: {init: random}\n", "kmeans, quantile, uniform" },
    };
    for (int i = 0; i < BASE_COUNT(bad); i++)
        assert_error(compress_recipe_parse(&r, "r.yaml", bad[i].text, strlen(bad[i].text), g, &ls), BASE_INPUT, bad[i].part);
    graph_free(g);
}

/* ---- the whole way ------------------------------------------------------------------------------ */

struct plan { enum compress_levels levels; int w, planes; double sparsity; enum compress_mode mode; enum compress_rounding rounding; struct compress_codebook book; };

static struct compress_model *model(const struct fixture *f, const struct plan *p)
{
    struct compress_recipe r;
    struct compress_model *m;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    const struct graph_layers *ls = compress_cache_layers(f->cache);
    o.batchnorm_images = 256;
    o.batch = 64;
    recipe(&r, f, p->w, 4, p->mode);
    for (int i = 0; i < r.n; i++)
        if (ls->layer[i].has_weights && (p->w < 4 || (i && i < r.n - 1))) {
            r.layer[i].levels = p->levels;
            r.layer[i].w_bits = p->w;
            r.layer[i].planes = p->planes;
            r.layer[i].sparsity = p->sparsity;
        }
    r.codebook = p->book;
    r.quantize.rounding = p->rounding;
    assert_ok(compress_apply(&m, f->cache, &r, &o));
    compress_recipe_free(&r);
    return m;
}

/* The integer network through a pack: the same, and as many bytes as its planes. */
static void survives_a_pack(struct fixed_net *net)
{
    struct base_text t = { 0 };
    struct pack p = { .net = net }, *q;
    assert_ok(pack_bytes(&t, &p, "levels.bpk"));
    assert_ok(pack_parse(&q, (const uint8_t *)t.s, t.len, "levels.bpk"));
    for (int l = 0; l < net->n_layer; l++)
        for (int k = 0; k < net->layer[l].n_term && net->layer[l].kind == FIXED_MAC; k++) {
            const struct fixed_term *a = &net->layer[l].term[k], *b = &q->net->layer[l].term[k];
            assert_int_equal(a->n_plane, b->n_plane);
            assert_memory_equal(a->code, b->code, sizeof *a->code * (size_t)(a->cout * a->kh * a->kw * a->cin));
        }
    pack_free(q);
    base_text_free(&t);
}

static void lowered_equals_fake_quantized(void **state)
{
    const struct fixture *f = *state;
    static const struct plan plans[] = {
        { COMPRESS_CODEBOOK, 2, 8, 0, COMPRESS_FAST, COMPRESS_NEAREST, { COMPRESS_INIT_KMEANS, COMPRESS_TRAIN_BOTH } },
        { COMPRESS_CODEBOOK, 3, 6, 0.4, COMPRESS_FAST, COMPRESS_ADAPTIVE, { COMPRESS_INIT_QUANTILE, COMPRESS_TRAIN_BOTH } },
        { COMPRESS_CODEBOOK, 4, 8, 0, COMPRESS_SHORT, COMPRESS_NEAREST, { COMPRESS_INIT_UNIFORM, COMPRESS_TRAIN_WEIGHTS } },
        { COMPRESS_CODEBOOK, 1, 3, 0.3, COMPRESS_SHORT, COMPRESS_NEAREST, { COMPRESS_INIT_KMEANS, COMPRESS_TRAIN_BOTH } },
        { COMPRESS_POT, 2, 0, 0, COMPRESS_FAST, COMPRESS_ADAPTIVE, { 0 } },
        { COMPRESS_POT, 3, 0, 0.5, COMPRESS_SHORT, COMPRESS_NEAREST, { 0 } },
        { COMPRESS_BASIS, 2, 0, 0, COMPRESS_FAST, COMPRESS_ADAPTIVE, { 0 } },
        { COMPRESS_BASIS, 3, 0, 0.5, COMPRESS_SHORT, COMPRESS_ADAPTIVE, { COMPRESS_INIT_KMEANS, COMPRESS_TRAIN_LEVELS } },
        { COMPRESS_BASIS, 5, 0, 0, COMPRESS_FAST, COMPRESS_NEAREST, { 0 } },
    };
    struct hw hw;
    assert_ok(hw_load(&hw, "boards/pynq-z2/board.yaml"));
    for (int i = 0; i < BASE_COUNT(plans); i++) {
        struct fixed_net *net;
        struct accel_program *p;
        struct compress_model *m = model(f, &plans[i]);
        assert_ok(compress_lower(&net, m));
        agree(f, m, net);
        survives_a_pack(net);
        assert_ok(accel_compile(&p, net, &hw));
        assert_int_equal(accel_decode_check(&hw, p->image, p->image_words), PROGRAM_OK);
        for (int l = 1; l < net->n_layer - 1; l++)
            for (int k = 0; k < net->layer[l].n_term && plans[i].w < 4; k++)
                if (m->quant->layer[l].term[k].levels)
                    assert_true(plans[i].levels == COMPRESS_CODEBOOK ? net->layer[l].term[k].n_plane <= plans[i].planes : net->layer[l].term[k].n_plane == plans[i].w);
        accel_program_free(p);
        fixed_net_free(net);
        compress_model_free(m);
    }
}

/* What a cache has found is what a fresh one finds, whatever else it was asked in between; masked terms are fitted anew, or in a
 * draft as if they were not. */
static void levels_are_found_once(void **state)
{
    const struct fixture *f = *state;
    static const struct plan plans[] = {
        { COMPRESS_BASIS, 2, 0, 0, COMPRESS_FAST, COMPRESS_NEAREST, { 0 } },
        { COMPRESS_BASIS, 3, 0, 0, COMPRESS_FAST, COMPRESS_NEAREST, { 0 } },
        { COMPRESS_POT, 2, 0, 0, COMPRESS_FAST, COMPRESS_NEAREST, { 0 } },
        { COMPRESS_CODEBOOK, 2, 8, 0, COMPRESS_FAST, COMPRESS_NEAREST, { COMPRESS_INIT_KMEANS, COMPRESS_TRAIN_BOTH } },
        { COMPRESS_CODEBOOK, 2, 4, 0, COMPRESS_FAST, COMPRESS_NEAREST, { COMPRESS_INIT_KMEANS, COMPRESS_TRAIN_BOTH } },
        { COMPRESS_CODEBOOK, 2, 8, 0, COMPRESS_FAST, COMPRESS_NEAREST, { COMPRESS_INIT_QUANTILE, COMPRESS_TRAIN_BOTH } },
        { COMPRESS_BASIS, 2, 0, 0.5, COMPRESS_FAST, COMPRESS_NEAREST, { 0 } },
    };
    struct fixture one = *f;
    assert_ok(compress_cache_new(&one.cache, f->g, &f->data, f->pool));
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < BASE_COUNT(plans); i++) {
            struct fixture fresh = *f;
            assert_ok(compress_cache_new(&fresh.cache, f->g, &f->data, f->pool));
            struct compress_model *a = model(&one, &plans[i]), *b = model(&fresh, &plans[i]);
            for (int l = 0; l < a->layers.n; l++)
                for (int k = 0; k < a->layers.layer[l].n_term; k++) {
                    const struct nn_quant_term *x = &a->quant->layer[l].term[k], *y = &b->quant->layer[l].term[k];
                    if (!x->levels)
                        continue;
                    assert_memory_equal(x->levels->value, y->levels->value, sizeof(float) * (size_t)(x->levels->rows * x->levels->planes));
                    assert_memory_equal(x->w_scale, y->w_scale, sizeof(float) * (size_t)a->graph->node[a->layers.layer[l].term[k].node].shape.c);
                }
            compress_model_free(a);
            compress_model_free(b);
            compress_cache_free(fresh.cache);
        }
    compress_cache_free(one.cache);
}

/* What is trained moves, what is not stays. */
static void training_moves_what_it_says(void **state)
{
    const struct fixture *f = *state;
    for (int levels = COMPRESS_CODEBOOK; levels <= COMPRESS_BASIS; levels++)
        for (int train = COMPRESS_TRAIN_BOTH; train <= COMPRESS_TRAIN_LEVELS; train++) {
            struct plan p = { (enum compress_levels)levels, 2, levels == COMPRESS_CODEBOOK ? 8 : 0, 0, COMPRESS_FAST, COMPRESS_NEAREST, { COMPRESS_INIT_KMEANS, (enum compress_codebook_train)train } };
            struct compress_model *start = model(f, &p), *end;
            p.mode = COMPRESS_SHORT;
            end = model(f, &p);
            bool weights = false, values = false;
            for (int i = 0; i < start->layers.n; i++) {
                const struct nn_levels *a = start->quant->layer[i].term[0].levels, *b = end->quant->layer[i].term[0].levels;
                if (!a)
                    continue;
                int node = start->layers.layer[i].term[0].node;
                weights |= start->graph->node[node].weight[1] != end->graph->node[node].weight[1];
                for (int k = 0; k < a->rows * a->planes; k++)
                    values |= a->value[k] != b->value[k];
            }
            assert_int_equal(weights, train != COMPRESS_TRAIN_LEVELS || levels == COMPRESS_POT);
            assert_int_equal(values, train != COMPRESS_TRAIN_WEIGHTS && levels != COMPRESS_POT);
            if (!(end->val.loss < start->val.loss))
                fail_msg("levels %d, training %d: loss %g -> %g", levels, train, start->val.loss, end->val.loss);
            compress_model_free(start);
            compress_model_free(end);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kmeans_is_the_best_clustering),
        cmocka_unit_test(other_starts_by_hand),
        cmocka_unit_test(planes_are_as_few_as_can_be),
        cmocka_unit_test(planes_add_up),
        cmocka_unit_test(bases_beat_uniform_levels),
        cmocka_unit_test(ternary_weights_need_two_planes),
        cmocka_unit_test(recipes),
        cmocka_unit_test(lowered_equals_fake_quantized),
        cmocka_unit_test(levels_are_found_once), cmocka_unit_test(training_moves_what_it_says),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
