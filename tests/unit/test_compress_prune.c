/* compress: channel pruning: recipes, which channels each method takes, the pruned network on its way to integers. */
#define _GNU_SOURCE
#include "unit.h"

#include "compress/prune_heads.h"
#include "compress/prune_refit.h"
#include "graph_run.h"
#include "tensor/tensor.h"

static const int pad0[4] = { 0, 0, 0, 0 }, pad1[4] = { 1, 1, 1, 1 };

struct net { struct graph *g; struct graph_layers ls; };

static void open_net(struct net *n, const char *name)
{
    assert_ok(graph_zoo(&n->g, name));
    nn_init_parameters(n->g, 5);
    assert_ok(graph_make_layers(n->g, &n->ls));
}

static int parse(struct compress_recipe *r, const struct net *n, const char *text)
{
    return compress_recipe_parse(r, "r.yaml", text, strlen(text), n->g, &n->ls);
}

static int layer_at(const struct net *n, const char *name)
{
    for (int i = 0; i < n->ls.n; i++)
        if (!strcmp(n->ls.layer[i].name, name))
            return i;
    fail_msg("there is no layer %s", name);
    return -1;
}

static double keep_of(const struct compress_recipe *r, const struct net *n, const char *name)
{
    return r->layer[layer_at(n, name)].keep;
}

static void assert_near(double a, double b, double by)
{
    if (!(fabs(a - b) <= by))
        fail_msg("%g is not near %g", a, b);
}

/* ---- recipes --------------------------------------------------------------------------- */

#define W "default: {w_bits: 8, a_bits: 8}\n"

static void uniform_and_lists(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe r;
    open_net(&n, "resnet8");
    assert_ok(parse(&r, &n, "default: {w_bits: 8, a_bits: 8, keep: 0.5}\n"));
    for (int i = 0; i < n.ls.n; i++)
        assert_near(r.layer[i].keep, n.ls.layer[i].has_weights && strcmp(n.ls.layer[i].name, "fc") ? 0.5 : 1, 0);
    compress_recipe_free(&r);

    /* one layer of a stream names its share: the others follow, those inside blocks do not */
    assert_ok(parse(&r, &n, W "layers: {stage1.add: {keep: 0.75}}\nprune: {method: lasso, round: 4}\n"));
    assert_near(keep_of(&r, &n, "conv1"), 0.75, 0);
    assert_near(keep_of(&r, &n, "stage1.add"), 0.75, 0);
    assert_near(keep_of(&r, &n, "stage1.conv1"), 1, 0);
    assert_int_equal(r.prune.method, COMPRESS_PRUNE_LASSO);
    assert_int_equal(r.prune.round, 4);

    /* written and read again, it is the same */
    struct compress_recipe again;
    char *text = compress_recipe_text(&r, &n.ls);
    assert_ok(parse(&again, &n, text));
    for (int i = 0; i < n.ls.n; i++)
        assert_near(again.layer[i].keep, r.layer[i].keep, 0);
    assert_memory_equal(&again.prune, &r.prune, sizeof r.prune);
    base_free(text);
    compress_recipe_free(&again);
    compress_recipe_free(&r);
    graph_free(n.g);
}

static void file_errors(void **state)
{
    (void)state;
    static const struct { const char *text, *part; } bad[] = {
        { "default: {w_bits: 8, a_bits: 8, keep: 0}\n", "r.yaml:1: 'default.keep': no channel would be left" },
        { W "layers:\n  conv1: {keep: 0}\n", "r.yaml:3: 'layers.conv1.keep': layer 'conv1': nothing of node 'fc' would be left" },
        { "default: {w_bits: 8, a_bits: 8, keep: 1.5}\n", "keep" },
        { W "layers:\n  conv1: {keep: 0.5}\n  stage1.add: {keep: 0.75}\n", "layers 'conv1' (keep 0.5) and 'stage1.add' (keep 0.75) share channels" },
        { W "layers: {fc: {keep: 0.5}}\n", "logits" },
        { W "last: {keep: 0.5}\n", "logits" },
        { W "layers: {pool: {keep: 0.5}}\n", "no weights of its own" },
        { W "layers: {stage9.conv1: {keep: 0.5}}\n", "the nearest is 'stage1.conv1'" },
        { W "prune: {method: random}\n", "'random' is none of magnitude-l1, magnitude-l2, bn-scale, lasso, dcp" },
        { W "prune: {methods: lasso}\n", "unknown key" },
        { W "prune: {round: 0}\n", "round" },
        { W "prune: {macs: 0}\n", "nothing would be left" },
        { "default: {w_bits: 8, a_bits: 8, keep: 0.5}\nprune: {macs: 0.5}\n", "leave `keep` out" },
        { W "layers: {conv1: {keep: 0.5}}\nprune: {macs: 0.5}\n", "leave `keep` out" },
    };
    struct net n;
    struct compress_recipe r;
    open_net(&n, "resnet8");
    for (int i = 0; i < BASE_COUNT(bad); i++)
        assert_error(parse(&r, &n, bad[i].text), BASE_INPUT, bad[i].part);
    assert_survives_nomem(parse(&r, &n, W "layers: {conv1: {keep: 0.5}}\n"), compress_recipe_free(&r));
    graph_free(n.g);
}

/* Recipes that were made by hand. */
static void checks(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe r;
    open_net(&n, "resnet8");
    assert_ok(compress_recipe_default(&r, n.g, &n.ls, 8, 8));
    r.layer[0].keep = 0.5;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "layers 'conv1' (keep 0.5) and 'stage1.add' (keep 1) share channels");
    assert_ok(compress_recipe_settle(&r, n.g, &n.ls, 16));
    assert_ok(compress_recipe_check(&r, n.g, &n.ls));
    assert_int_equal(r.prune.round, 16);
    for (int i = 0; i < n.ls.n; i++)
        if (r.layer[i].keep < 1)
            r.layer[i].keep = 0;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "layer 'conv1': keep 0, but nothing of node 'fc' would be left");
    r.layer[0].keep = -0.5;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "layer 'conv1': keep -0.5 is outside 0..1");
    r.layer[0].keep = NAN;
    assert_error(compress_recipe_check(&r, n.g, &n.ls), BASE_INPUT, "layer 'conv1': keep");
    compress_recipe_free(&r);
    graph_free(n.g);
}

static void counts(void **state)
{
    (void)state;
    assert_int_equal(prune_count(64, 0.75, 16), 48);
    assert_int_equal(prune_count(64, 0.6, 16), 32);
    assert_int_equal(prune_count(64, 0.01, 16), 16);
    assert_int_equal(prune_count(64, 1, 16), 64);
    assert_int_equal(prune_count(16, 0.75, 16), 16);
    assert_int_equal(prune_count(16, 0.4, 16), 16);
    assert_int_equal(prune_count(10, 0.5, 16), 10);
    assert_int_equal(prune_count(20, 0.9, 16), 16);
    assert_int_equal(prune_count(20, 0.5, 1), 10);
    assert_int_equal(prune_count(3, 0.01, 1), 1);
}

static int64_t macs_of(const struct graph *g)
{
    int64_t sum = 0;
    for (int i = 0; i < g->n_node; i++)
        sum += graph_macs(g, i);
    return sum;
}

/* The heuristic's network has at most the share asked for and not much less, and the plan counts what graph_macs counts. */
static void heuristic(void **state)
{
    (void)state;
    static const char *const nets[] = { "resnet20", "mobilenet-v1-x0.25", "fmnist-cnn" };
    for (int k = 0; k < BASE_COUNT(nets); k++) {
        struct net n;
        struct compress_recipe r;
        struct graph *less;
        struct prune_plan p;
        open_net(&n, nets[k]);
        assert_ok(parse(&r, &n, W "prune: {macs: 0.5, round: 1}\n"));
        assert_ok(compress_recipe_settle(&r, n.g, &n.ls, 16));
        assert_near(r.prune.macs, 0, 0);
        assert_ok(compress_recipe_check(&r, n.g, &n.ls));
        assert_ok(prune_graph(&less, n.g, &n.ls, &r, &(struct compress_data){ 0 }, NULL, 0));
        assert_ok(prune_plan_new(&p, n.g, &n.ls));
        assert_int_equal(prune_plan_macs(&p, n.g), macs_of(n.g));
        prune_plan_counts(&p, &r);
        assert_int_equal(prune_plan_macs(&p, n.g), macs_of(less));
        assert_true(macs_of(less) <= macs_of(n.g) / 2 && macs_of(less) > macs_of(n.g) * 45 / 100);
        for (int i = 0; i < n.g->n_node; i++)
            assert_int_equal(prune_plan_channels(&p, n.g, i), less->node[i].shape.c);
        prune_plan_free(&p);
        compress_recipe_free(&r);
        graph_free(less);

        assert_ok(parse(&r, &n, W "prune: {macs: 0.001}\n"));
        assert_error(compress_recipe_settle(&r, n.g, &n.ls, 16), BASE_INPUT, "prune.macs 0.001 cannot be had");
        compress_recipe_free(&r);
        graph_free(n.g);
    }
}

/* ---- magnitude -------------------------------------------------------------------------- */

static bool has_unit(const struct graph *g, const struct graph_channels *ch, int node, int u)
{
    for (int c = 0; c < g->node[node].shape.c; c++)
        if (graph_unit(ch, node, c) == u)
            return true;
    return false;
}

/* The method's keep[] for one recipe, unit by unit; the caller's. */
static bool *kept_by(int (*learner)(struct prune_job *), struct net *n, const struct compress_recipe *r, struct prune_plan *p)
{
    assert_ok(prune_plan_new(p, n->g, &n->ls));
    prune_plan_counts(p, r);
    struct prune_job j = { .was = n->g, .now = graph_clone(n->g), .layers = &n->ls, .plan = p, .data = NULL, .keep = BASE_NEW_N(bool, p->ch.n_unit) };
    memset(j.keep, 1, (size_t)p->ch.n_unit);
    assert_ok(learner(&j));
    graph_free(j.now);
    return j.keep;
}

static double norm_of(const struct graph *g, int node, int c, int power)
{
    const struct graph_node *n = &g->node[node];
    int64_t per = (int64_t)n->kh * n->kw * g->node[n->in[0]].shape.c;
    double sum = 0;
    for (int64_t i = 0; i < per; i++)
        sum += pow(fabs((double)n->weight[c * per + i]), power);
    return sum;
}

/* Inside a block one layer decides: no filter that went is larger than one that stayed. */
static void magnitude(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe r;
    open_net(&n, "resnet8");
    int conv = graph_find(n.g, "stage2.conv1"), bn = graph_find(n.g, "stage2.conv1.bn");
    assert_true(conv > 0 && bn > 0);
    struct base_rng rng;
    base_rng_seed(&rng, 7);
    for (int c = 0; c < n.g->node[bn].shape.c; c++)
        n.g->node[bn].gamma[c] = base_rng_normal(&rng);
    assert_ok(parse(&r, &n, W "layers: {stage2.conv1: {keep: 0.4}}\nprune: {round: 1}\n"));
    int (*const learner[3])(struct prune_job *) = { prune_l1, prune_l2, prune_bn };
    for (int k = 0; k < 3; k++) {
        struct prune_plan p;
        bool *keep = kept_by(learner[k], &n, &r, &p);
        double least = INFINITY, most = 0;
        int stay = 0;
        for (int c = 0; c < 32; c++) {
            double v = k == 2 ? fabs((double)n.g->node[bn].gamma[c]) : norm_of(n.g, conv, c, k + 1);
            bool in = keep[graph_unit(&p.ch, conv, c)];
            stay += in;
            least = in ? fmin(least, v) : least;
            most = in ? most : fmax(most, v);
        }
        assert_int_equal(stay, 13);
        assert_true(most < least);
        for (int u = 0; u < p.ch.n_unit; u++)
            assert_true(keep[u] || has_unit(n.g, &p.ch, conv, u));
        prune_plan_free(&p);
        base_free(keep);
    }
    compress_recipe_free(&r);
    graph_free(n.g);
}

/* A stream's channel is worth what all its layers make of it, each over its own mean. */
static void stream_magnitude(void **state)
{
    (void)state;
    struct net n;
    struct compress_recipe r;
    struct prune_plan p;
    open_net(&n, "resnet8");
    const int maker[2] = { graph_find(n.g, "conv1"), graph_find(n.g, "stage1.conv2") };
    for (int64_t i = 0; i < 16 * 9 * 16; i++)
        n.g->node[maker[1]].weight[i] *= 100;    /* a layer's scale alone must not decide */
    assert_ok(parse(&r, &n, W "layers: {conv1: {keep: 0.5}}\nprune: {method: magnitude-l1, round: 1}\n"));
    bool *keep = kept_by(prune_l1, &n, &r, &p);
    double score[16] = { 0 }, least = INFINITY, most = 0;
    for (int k = 0; k < 2; k++) {
        double sum = 0;
        for (int c = 0; c < 16; c++)
            sum += norm_of(n.g, maker[k], c, 1);
        for (int c = 0; c < 16; c++)
            score[c] += norm_of(n.g, maker[k], c, 1) / sum;
    }
    for (int c = 0; c < 16; c++) {
        assert_int_equal(graph_unit(&p.ch, maker[0], c), graph_unit(&p.ch, maker[1], c));
        if (keep[graph_unit(&p.ch, maker[0], c)])
            least = fmin(least, score[c]);
        else
            most = fmax(most, score[c]);
    }
    assert_true(most < least);
    prune_plan_free(&p);
    base_free(keep);
    compress_recipe_free(&r);
    graph_free(n.g);
}

static void no_gammas(void **state)
{
    (void)state;
    struct net n = { 0 };
    struct compress_recipe r;
    struct graph *less, *g = graph_new("plain");
    int x = graph_add_input(g, "in", (struct graph_shape){ 4, 4, 1 });
    x = graph_add_relu(g, "r", graph_add_conv(g, "c", x, 8, 3, 3, 1, pad1, false, true), GRAPH_RELU);
    graph_add_dense(g, "fc", x, 2, true);
    n.g = g;
    assert_ok(graph_make_layers(g, &n.ls));
    assert_ok(parse(&r, &n, W "first: {keep: 0.5}\nprune: {method: bn-scale, round: 1}\n"));
    assert_error(prune_graph(&less, g, &n.ls, &r, &(struct compress_data){ 0 }, NULL, 0), BASE_INPUT, "layer 'c' has no batch norm");
    r.prune.method = COMPRESS_PRUNE_DCP;
    assert_error(prune_graph(&less, g, &n.ls, &r, &(struct compress_data){ 0 }, NULL, 0), BASE_INPUT, "dcp needs labelled training images");
    compress_recipe_free(&r);
    graph_free(g);
}

/* ---- LASSO: planted channels ----------------------------------------------------------------- */

/* The path finds the columns that made the right-hand side, among others that are correlated with them. */
static void lasso_path(void **state)
{
    (void)state;
    enum { N = 24, ROWS = 400, PLANTED = 6 };
    static double z[ROWS][N], g[N * N], h[N], beta[N];
    struct base_rng rng;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        base_rng_seed(&rng, seed);
        memset(g, 0, sizeof g);
        memset(h, 0, sizeof h);
        for (int i = 0; i < ROWS; i++) {
            double common = (double)base_rng_normal(&rng), y = 0.05 * (double)base_rng_normal(&rng);
            for (int k = 0; k < N; k++) {
                z[i][k] = 0.3 * common + (double)base_rng_normal(&rng);
                y += k % 4 == 1 ? (1 + 0.2 * k / 4) * z[i][k] : 0;
            }
            for (int a = 0; a < N; a++) {
                h[a] += z[i][a] * y / ROWS;
                for (int b = 0; b < N; b++)
                    g[a * N + b] += z[i][a] * z[i][b] / ROWS;
            }
        }
        assert_ok(prune_lasso_path(beta, g, h, N, PLANTED));
        for (int k = 0; k < N; k++)
            assert_int_equal(fabs(beta[k]) > 0, k % 4 == 1);
    }
}

enum { SIDE = 6, CHANNELS = 3, PIXELS = SIDE * SIDE * CHANNELS, N_IMAGES = 256 };

/* Colours of which the first says the class, with a dot at another place in each image. */
static uint16_t draw(uint8_t *pixels, uint64_t stream, uint64_t index)
{
    struct base_rng r;
    base_rng_stream(&r, stream, index);
    int kind = (int)base_rng_below(&r, 2);
    for (int i = 0; i < PIXELS; i++)
        pixels[i] = i % CHANNELS == 0 ? (uint8_t)(base_rng_below(&r, 60) + (kind ? 110u : 60u)) : (uint8_t)base_rng_below(&r, 256);
    return (uint16_t)kind;
}

static int fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    (void)ctx;
    for (int i = 0; i < n; i++)
        labels[i] = draw(pixels + (size_t)i * PIXELS, 1, (uint64_t)((batch * n + i) % N_IMAGES));
    return BASE_OK;
}

static struct compress_data images(void)
{
    static uint8_t calibration[N_IMAGES * PIXELS], val[N_IMAGES * PIXELS];
    static uint16_t label[N_IMAGES];
    for (int i = 0; i < N_IMAGES; i++) {
        draw(calibration + i * PIXELS, 1, (uint64_t)i);
        label[i] = draw(val + i * PIXELS, 2, (uint64_t)i);
    }
    return (struct compress_data){ .calibration = calibration, .n_calibration = N_IMAGES, .train = { fill, NULL }, .n_train = N_IMAGES, .val_pixels = val, .val_labels = label, .n_val = N_IMAGES };
}

/* Two convolutions; the second reads `live` of the first one's 12 channels, the others with tiny weights. */
static void planted_net(struct net *n, const bool *live)
{
    struct graph *g = graph_new("planted");
    int x = graph_add_input(g, "in", (struct graph_shape){ SIDE, SIDE, CHANNELS });
    x = graph_add_relu(g, "r1", graph_add_batchnorm(g, "n1", graph_add_conv(g, "c1", x, 12, 3, 3, 1, pad1, false, false)), GRAPH_RELU);
    int second = graph_add_conv(g, "c2", x, 10, 3, 3, 1, pad1, false, false);
    x = graph_add_relu(g, "r2", graph_add_batchnorm(g, "n2", second), GRAPH_RELU);
    graph_add_dense(g, "fc", graph_add_pool(g, "mean", x, GRAPH_AVGPOOL, SIDE, SIDE, 1, pad0), 2, true);
    g->prep = (struct graph_prep){ .scale = 1.0f / 255, .known = true };
    graph_run_randomize(g, 11);
    for (int i = 0; i < 10 * 9 * 12; i++)
        if (!live[i % 12])
            g->node[second].weight[i] *= 1e-3f;
    n->g = g;
    assert_ok(graph_make_layers(g, &n->ls));
}

static double worst_difference(struct graph *a, struct graph *b, const struct compress_data *d)
{
    struct nn *p, *q;
    struct nn_options o = NN_OPTIONS_INIT;
    static float x[N_IMAGES * 2], y[N_IMAGES * 2];
    double worst = 0, top = 0;
    assert_ok(nn_new(&p, a, &o));
    assert_ok(nn_new(&q, b, &o));
    assert_ok(nn_forward(p, d->val_pixels, N_IMAGES, x));
    assert_ok(nn_forward(q, d->val_pixels, N_IMAGES, y));
    for (int i = 0; i < N_IMAGES * 2; i++) {
        worst = fmax(worst, fabs((double)(x[i] - y[i])));
        top = fmax(top, fabs((double)x[i]));
    }
    nn_free(p);
    nn_free(q);
    return worst / top;
}

static void lasso_planted(void **state)
{
    (void)state;
    static const bool live[12] = { 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1 };
    struct compress_data d = images();
    struct net n;
    struct compress_recipe r;
    struct graph *less;
    planted_net(&n, live);
    assert_ok(parse(&r, &n, W "first: {keep: 0.41}\nprune: {method: lasso, round: 1}\n"));
    assert_ok(prune_graph(&less, n.g, &n.ls, &r, &d, NULL, 0));
    assert_int_equal(less->node[1].shape.c, 5);
    for (int c = 0, k = 0; c < 12; c++)      /* c1 keeps its filters as they are */
        if (live[c])
            assert_memory_equal(less->node[1].weight + k++ * 27, n.g->node[1].weight + c * 27, 27 * sizeof(float));
    assert_true(worst_difference(n.g, less, &d) < 0.01);
    graph_free(less);
    compress_recipe_free(&r);
    graph_free(n.g);
}

/* Channels that copy others are worth nothing beside them: least squares puts their weights on the ones that stay. */
static void refit(void **state)
{
    (void)state;
    static const bool live[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    struct compress_data d = images();
    struct net n;
    struct compress_recipe r;
    struct graph *less;
    planted_net(&n, live);
    struct graph_node *c1 = &n.g->node[1], *n1 = &n.g->node[2];
    for (int c = 6; c < 12; c++) {
        memcpy(c1->weight + c * 27, c1->weight + (c - 6) * 27, 27 * sizeof(float));
        n1->gamma[c] = 0.5f * n1->gamma[c - 6];
        n1->beta[c] = 0.5f * n1->beta[c - 6];
        n1->mean[c] = n1->mean[c - 6];
        n1->var[c] = n1->var[c - 6];
    }
    static const enum compress_prune_method method[2] = { COMPRESS_PRUNE_LASSO, COMPRESS_PRUNE_DCP };
    for (int k = 0; k < 2; k++) {
        assert_ok(parse(&r, &n, W "first: {keep: 0.5}\nprune: {round: 1}\n"));
        r.prune.method = COMPRESS_PRUNE_L1;
        assert_ok(prune_graph(&less, n.g, &n.ls, &r, &d, NULL, 0));
        double blunt = worst_difference(n.g, less, &d);
        graph_free(less);
        r.prune.method = method[k];
        assert_ok(prune_graph(&less, n.g, &n.ls, &r, &d, NULL, 0));
        double fitted = worst_difference(n.g, less, &d);
        printf("method %d: %.4f, magnitude %.4f\n", k, fitted, blunt);
        assert_true(fitted < blunt / 5 && blunt > 0.1);
        graph_free(less);
        compress_recipe_free(&r);
    }
    graph_free(n.g);
}

/* ---- DCP: a small channel that tells the class beside large ones that do not ------------------------ */

static void dcp_planted(void **state)
{
    (void)state;
    struct compress_data d = images();
    struct net n;
    struct graph *g = graph_new("colours");
    int x = graph_add_input(g, "in", (struct graph_shape){ SIDE, SIDE, CHANNELS });
    int first = graph_add_conv(g, "c1", x, 8, 1, 1, 1, pad0, false, true);
    x = graph_add_relu(g, "r1", first, GRAPH_RELU);
    int second = graph_add_conv(g, "c2", x, 8, 1, 1, 1, pad0, false, true);
    x = graph_add_relu(g, "r2", second, GRAPH_RELU);
    int fc = graph_add_dense(g, "fc", graph_add_pool(g, "mean", x, GRAPH_AVGPOOL, SIDE, SIDE, 1, pad0), 2, true);
    assert_true(fc > 0);
    g->prep = (struct graph_prep){ .scale = 1.0f / 255, .known = true };
    /* c1: channels 2 and 5 are the colour that tells; the others the two that do not, ten times as large.
     * c2 passes each on; the classes are read from 2 and 5. */
    for (int c = 0; c < 8; c++) {
        bool tells = c == 2 || c == 5;
        g->node[first].weight[c * 3 + (tells ? 0 : 1 + c % 2)] = tells ? 1 + 0.1f * (float)c : 3 + 0.2f * (float)c;
        g->node[second].weight[c * 8 + c] = 1;
    }
    g->node[fc].weight[0 * 8 + 2] = g->node[fc].weight[0 * 8 + 5] = -20;
    g->node[fc].weight[1 * 8 + 2] = g->node[fc].weight[1 * 8 + 5] = 20;
    g->node[fc].bias[0] = 20, g->node[fc].bias[1] = -20;
    n.g = g;
    assert_ok(graph_make_layers(g, &n.ls));
    struct compress_recipe r;
    struct graph *less[2];
    assert_ok(parse(&r, &n, W "layers: {c1: {keep: 0.25}}\nprune: {method: dcp, round: 1}\n"));
    assert_ok(prune_graph(&less[0], g, &n.ls, &r, &d, NULL, 0));
    r.prune.method = COMPRESS_PRUNE_L1;
    assert_ok(prune_graph(&less[1], g, &n.ls, &r, &d, NULL, 0));
    int tells[2] = { 0 };
    for (int k = 0; k < 2; k++)
        for (int c = 0; c < 2; c++)
            tells[k] += less[k]->node[first].weight[c * 3] > 0;
    assert_true(tells[0] >= 1);          /* one of two that say the same is enough */
    assert_int_equal(tells[1], 0);
    struct nn_result v[3];
    struct graph *const net[3] = { g, less[0], less[1] };
    for (int k = 0; k < 3; k++) {
        struct nn *m;
        struct nn_options o = NN_OPTIONS_INIT;
        assert_ok(nn_new(&m, net[k], &o));
        assert_ok(nn_evaluate(m, d.val_pixels, d.val_labels, d.n_val, &v[k]));
        nn_free(m);
    }
    assert_true(v[0].top1 > 0.95 && v[1].top1 > 0.95 && v[2].top1 < 0.7);
    graph_free(less[0]);
    graph_free(less[1]);
    compress_recipe_free(&r);
    graph_free(g);
}

/* ---- the whole way ------------------------------------------------------------------------------ */

static struct compress_recipe recipe(struct compress_cache *c, const char *text)
{
    struct compress_recipe r;
    assert_ok(compress_recipe_parse(&r, "r.yaml", text, strlen(text), compress_cache_graph(c), compress_cache_layers(c)));
    return r;
}

/* Right answers of the integer network over the images: what fake quantization says, but for a rare tie. */
static void assert_same_accuracy(const struct fixed_net *net, const struct compress_data *d, double top1)
{
    static int32_t logits[N_IMAGES * 2];
    struct qref *q = qref_new(net, NULL);
    int right = 0;
    assert_ok(qref_run(q, d->val_pixels, N_IMAGES, logits));
    for (int i = 0; i < N_IMAGES; i++)
        right += (logits[2 * i + 1] > logits[2 * i]) == d->val_labels[i];
    assert_near((double)right / N_IMAGES, top1, 0.01);
    qref_free(q);
}

static void assert_same_net(const struct fixed_net *a, const struct fixed_net *b)
{
    assert_int_equal(a->n_layer, b->n_layer);
    struct base_rng r;
    static uint8_t pixels[PIXELS];
    static int32_t x[16], y[16];
    base_rng_seed(&r, 1);
    for (int i = 0; i < PIXELS; i++)
        pixels[i] = (uint8_t)base_rng_below(&r, 256);
    struct qref *p = qref_new(a, NULL), *q = qref_new(b, NULL);
    assert_ok(qref_run(p, pixels, 1, x));
    assert_ok(qref_run(q, pixels, 1, y));
    assert_memory_equal(x, y, sizeof *x * (size_t)a->classes);
    qref_free(p);
    qref_free(q);
}

/* keep 1, and any keep that rounds to all channels, is the identity; pruned networks of any width lower. */
static void to_integers(void **state)
{
    (void)state;
    static const bool live[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    static const char *const same[2] = { W "layers: {c1: {keep: 1.0}}\nprune: {method: lasso}\n", "default: {w_bits: 8, a_bits: 8, keep: 0.7}\nprune: {round: 16}\n" };
    struct compress_data d = images();
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_cache *c;
    struct nn_result v[2];
    struct fixed_net *plain, *net;
    const struct graph *p;
    struct net n;
    o.batchnorm_images = 128;
    planted_net(&n, live);
    assert_ok(compress_cache_new(&c, n.g, &d, NULL));
    struct compress_recipe r = recipe(c, W);
    assert_ok(compress_evaluate(&v[0], &plain, c, &r, &o));
    compress_recipe_free(&r);
    for (int k = 0; k < 2; k++) {
        r = recipe(c, same[k]);
        assert_ok(compress_evaluate(&v[1], &net, c, &r, &o));
        assert_near(v[1].top1, v[0].top1, 0);
        assert_same_net(plain, net);
        assert_ok(compress_pruned(&p, c, &r, &o));
        assert_ptr_equal(p, compress_cache_graph(c));
        fixed_net_free(net);
        compress_recipe_free(&r);
    }
    static const char *const methods[] = { "magnitude-l1", "magnitude-l2", "bn-scale", "lasso", "dcp" };
    for (int k = 0; k < BASE_COUNT(methods); k++) {
        char text[160];
        snprintf(text, sizeof text, "default: {w_bits: 8, a_bits: 8, keep: 0.6}\nprune: {method: %s, round: 1}\n", methods[k]);
        r = recipe(c, text);
        assert_ok(compress_evaluate(&v[1], &net, c, &r, &o));
        assert_int_equal(net->edge[1].c, 7);
        assert_int_equal(net->edge[2].c, 6);
        assert_int_equal(v[1].n, N_IMAGES);
        assert_same_accuracy(net, &d, v[1].top1);
        assert_ok(compress_pruned(&p, c, &r, &o));
        assert_true(macs_of(p) < macs_of(n.g));
        fixed_net_free(net);

        /* a second time nothing is made anew */
        const struct graph *again;
        assert_ok(compress_pruned(&again, c, &r, &o));
        assert_ptr_equal(p, again);
        compress_recipe_free(&r);
    }
    fixed_net_free(plain);
    compress_cache_free(c);
    graph_free(n.g);
}

/* Fine-tuning is taught by the unpruned network and ends as an integer network of the pruned shape. */
static void finetuned(void **state)
{
    (void)state;
    static const bool live[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    struct compress_data d = images();
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_cache *c;
    struct compress_model *m;
    struct net n;
    planted_net(&n, live);
    o.batch = 64;
    assert_ok(compress_cache_new(&c, n.g, &d, NULL));
    struct compress_recipe r = recipe(c, "default: {w_bits: 8, a_bits: 8, keep: 0.5}\nprune: {round: 1}\nfinetune: {mode: short, epochs: 6, lr: 0.05}\n");
    assert_ok(compress_apply(&m, c, &r, &o));
    assert_int_equal(m->graph->node[1].shape.c, 6);
    assert_true(m->val.top1 > 0.9);      /* images are labelled, the teacher is random: labels win */
    compress_model_free(m);
    compress_recipe_free(&r);
    compress_cache_free(c);
    graph_free(n.g);
}

/* Two residual branches, in front of an identity and of an option-B shortcut. */
static void residual_net(struct net *n)
{
    struct graph *g = graph_new("residual");
    int x = graph_add_input(g, "in", (struct graph_shape){ SIDE, SIDE, CHANNELS });
    x = graph_add_relu(g, "r0", graph_add_conv(g, "c0", x, 6, 3, 3, 1, pad1, false, true), GRAPH_RELU);
    int y = graph_add_relu(g, "r1", graph_add_conv(g, "c1", x, 8, 3, 3, 1, pad1, false, true), GRAPH_RELU);
    y = graph_add_batchnorm(g, "n2", graph_add_conv(g, "c2", y, 6, 3, 3, 1, pad1, false, false));
    x = graph_add_relu(g, "r2", graph_add_add(g, "a2", y, x), GRAPH_RELU);
    y = graph_add_relu(g, "r3", graph_add_conv(g, "c3", x, 8, 3, 3, 2, pad1, false, true), GRAPH_RELU);
    y = graph_add_conv(g, "c4", y, 10, 3, 3, 1, pad1, false, true);
    x = graph_add_conv(g, "side", x, 10, 1, 1, 2, pad0, false, true);
    x = graph_add_relu(g, "r4", graph_add_add(g, "a4", y, x), GRAPH_RELU);
    graph_add_dense(g, "fc", graph_add_pool(g, "mean", x, GRAPH_AVGPOOL, SIDE / 2, SIDE / 2, 1, pad0), 2, true);
    g->prep = (struct graph_prep){ .scale = 1.0f / 255, .known = true };
    graph_run_randomize(g, 17);
    n->g = g;
    assert_ok(graph_make_layers(g, &n->ls));
}

/* `keep: 0`: the integer network is that of the network without the branch, under the choices that its layers had; a layer that was an Add
 * is its other operand, with the Add's bits. Channels of other layers go as ever. */
static void branches_go(void **state)
{
    (void)state;
    static const char *const with[3] = {
        "layers: {c1: {keep: 0}, a4: {w_bits: 5, a_bits: 6}, c3: {w_bits: 3, a_bits: 7}}\n",
        "layers: {c3: {keep: 0}, c1: {w_bits: 5}, a2: {w_bits: 3}, a4: {w_bits: 6}}\n",
        "layers: {c1: {keep: 0}, c3: {keep: 0.5}, a4: {w_bits: 5, a_bits: 6}}\nprune: {round: 1}\n",
    };
    static const char *const without[3] = {
        "layers: {a4: {w_bits: 5, a_bits: 6}, c3: {w_bits: 3, a_bits: 7}}\n",
        "layers: {c1: {w_bits: 5}, a2: {w_bits: 3}, side: {w_bits: 6}}\n",
        "layers: {c3: {keep: 0.5}, a4: {w_bits: 5, a_bits: 6}}\nprune: {round: 1}\n",
    };
    static const char *const first[3] = { "c1", "c3", "c1" };
    struct compress_data d = images();
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct net n;
    o.batchnorm_images = 0;              /* the pruned network's would be measured once more */
    residual_net(&n);
    for (int k = 0; k < 3; k++) {
        struct compress_cache *c, *less;
        struct fixed_net *a, *b;
        struct nn_result v[2];
        struct graph *g;
        bool gone[32] = { false };
        char text[2][200];
        gone[graph_find(n.g, first[k])] = true;
        assert_ok(graph_remove_branches(&g, n.g, gone));
        snprintf(text[0], sizeof text[0], W "%s", with[k]);
        snprintf(text[1], sizeof text[1], W "%s", without[k]);
        for (int draft = 0; draft < 2; draft++) {
            o.draft = draft;
            assert_ok(compress_cache_new(&c, n.g, &d, NULL));
            assert_ok(compress_cache_new(&less, g, &d, NULL));
            struct compress_recipe r = recipe(c, text[0]), s = recipe(less, text[1]);
            int64_t macs;
            assert_ok(compress_evaluate(&v[0], &a, c, &r, &o));
            assert_ok(compress_evaluate(&v[1], &b, less, &s, &o));
            assert_int_equal(a->n_layer, b->n_layer);
            if (!draft) {                /* a draft's scales are those of the whole network's edges */
                assert_same_net(a, b);
                assert_same_accuracy(a, &d, v[0].top1);
            }
            assert_ok(compress_recipe_macs(&macs, &r, n.g, &n.ls));
            assert_true(macs == macs_of(g) || k == 2);
            fixed_net_free(a);
            fixed_net_free(b);
            compress_recipe_free(&r);
            compress_recipe_free(&s);
            compress_cache_free(c);
            compress_cache_free(less);
        }
        graph_free(g);
    }
    graph_free(n.g);
}

static int with_little_memory(struct net *n, struct compress_data *d, const char *text)
{
    struct compress_recipe r;
    struct graph *less = NULL;
    struct base_pool *pool = base_pool_new(1);
    int rc = pool ? parse(&r, n, text) : BASE_NOMEM;
    if (!rc) {
        rc = prune_graph(&less, n->g, &n->ls, &r, d, pool, 0);
        compress_recipe_free(&r);
    }
    graph_free(less);
    base_pool_free(pool);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    static const bool live[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    struct compress_data d = images();
    struct net n;
    d.n_calibration = 8;
    d.n_train = 128;
    planted_net(&n, live);
    assert_survives_nomem(with_little_memory(&n, &d, W "first: {keep: 0.5}\nprune: {method: magnitude-l2, round: 1}\n"), (void)0);
    assert_survives_nomem(with_little_memory(&n, &d, W "first: {keep: 0.5}\nprune: {method: lasso, round: 1}\n"), (void)0);
    assert_survives_nomem(with_little_memory(&n, &d, W "first: {keep: 0.5}\nprune: {method: dcp, round: 1}\n"), (void)0);
    graph_free(n.g);
    residual_net(&n);
    assert_survives_nomem(with_little_memory(&n, &d, W "layers: {c1: {keep: 0}, c3: {keep: 0.5}}\nprune: {method: magnitude-l1, round: 1}\n"), (void)0);
    graph_free(n.g);
}

int main(void)
{
    tensor_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_and_lists), cmocka_unit_test(file_errors), cmocka_unit_test(checks), cmocka_unit_test(counts), cmocka_unit_test(heuristic),
        cmocka_unit_test(magnitude), cmocka_unit_test(stream_magnitude), cmocka_unit_test(no_gammas), cmocka_unit_test(lasso_path), cmocka_unit_test(lasso_planted),
        cmocka_unit_test(refit), cmocka_unit_test(dcp_planted), cmocka_unit_test(to_integers), cmocka_unit_test(finetuned), cmocka_unit_test(branches_go), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
