/* onnx: the QDQ file by itself: what it holds, what reads back, failures. Its results are held against the
 * integer reference in test_onnx_outside.c. */
#define _GNU_SOURCE
#include "unit.h"

#include "compress/compress.h"
#include "graph_run.h"
#include "onnx/onnx.h"

enum { SIDE = 12, CHANNELS = 3, IMAGE = SIDE * SIDE * CHANNELS, IMAGES = 16 };

static const char *dir;

static int no_fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    (void)ctx, (void)batch, (void)n, (void)pixels, (void)labels;
    return BASE_INTERNAL;
}

/* A chain: what a float network can say exactly. */
static struct graph *chain(void)
{
    static const int pad1[4] = { 1, 1, 1, 1 }, pad0[4] = { 0 };
    struct graph *g = graph_new("chain");
    int x = graph_add_input(g, "x", (struct graph_shape){ SIDE, SIDE, CHANNELS });
    x = graph_add_relu(g, "r1", graph_add_batchnorm(g, "n1", graph_add_conv(g, "c1", x, 8, 3, 3, 1, pad1, false, false)), GRAPH_RELU);
    x = graph_add_pool(g, "max", x, GRAPH_MAXPOOL, 2, 2, 2, pad0);
    x = graph_add_batchnorm(g, "n2", graph_add_conv(g, "c2", x, 16, 3, 3, 2, pad1, false, false)); /* linear: signed */
    x = graph_add_relu(g, "r3", graph_add_conv(g, "c3", x, 16, 3, 3, 1, pad1, true, true), GRAPH_RELU);
    x = graph_add_pool(g, "avg", x, GRAPH_AVGPOOL, 3, 3, 1, pad0);
    assert_true(graph_add_dense(g, "fc", x, 10, true) > 0);
    graph_run_randomize(g, 3);
    g->prep = (struct graph_prep){ .scale = 1.0f / 255, .n = 3, .mean = { 0.48f, 0.45f, 0.4f }, .std = { 0.2f, 0.25f, 0.3f }, .known = true };
    return g;
}

static struct fixed_net *lowered(const struct graph *g, const uint8_t *pixels, int w, int a)
{
    struct base_pool *pool = base_pool_new(1);
    struct compress_data d = { .calibration = pixels, .n_calibration = IMAGES, .train = { no_fill, NULL } };
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_cache *c = NULL;
    struct compress_recipe r;
    struct compress_model *m = NULL;
    struct fixed_net *net = NULL;
    o.batchnorm_images = 0;
    o.val_images = -1;
    assert_ok(compress_cache_new(&c, g, &d, pool));
    assert_ok(compress_recipe_default(&r, compress_cache_graph(c), compress_cache_layers(c), w, a));
    assert_ok(compress_apply(&m, c, &r, &o));
    assert_ok(compress_lower(&net, m));
    compress_model_free(m);
    compress_recipe_free(&r);
    compress_cache_free(c);
    base_pool_free(pool);
    return net;
}

static uint8_t *pixels_of(uint64_t seed)
{
    struct base_rng r;
    base_rng_seed(&r, seed);
    uint8_t *p = base_alloc(IMAGES * IMAGE);
    for (int i = 0; i < IMAGES * IMAGE; i++)
        p[i] = (uint8_t)base_rng_below(&r, 256);
    return p;
}

static double *logits_of(const struct graph *g, const uint8_t *pixels)
{
    double x[IMAGE];
    for (int i = 0; i < IMAGE; i++) {
        const struct graph_prep *p = &g->prep;
        int c = i % CHANNELS;
        x[i] = (pixels[i] * (double)p->scale - (p->n ? (double)p->mean[c] : 0)) / (p->n ? (double)p->std[c] : 1);
    }
    return graph_run(g, x);
}

/* Read back it is a float network again: dequantized weights, the same function but for the rounding of activations. */
static void reads_back(void **state)
{
    (void)state;
    struct graph *g = chain(), *d = NULL;
    uint8_t *pixels = pixels_of(1);
    struct fixed_net *net = lowered(g, pixels, 8, 8);
    const char *path = unit_path(dir, "chain.onnx");
    assert_ok(onnx_write_qdq(net, path));
    assert_ok(onnx_read(&d, path));
    assert_ok(graph_prep_check(d));
    assert_true(d->prep.scale == 1 && d->prep.mean[0] == net->edge[0].pad[0]);
    struct graph_layers ls;
    assert_ok(graph_make_layers(d, &ls));
    for (int i = 0; i < 4; i++) {
        double *p = logits_of(g, pixels + i * IMAGE), *q = logits_of(d, pixels + i * IMAGE), worst = 0, top = 0;
        for (int k = 0; k < 10; k++) {
            worst = fmax(worst, fabs(p[k] - q[k]));
            top = fmax(top, fabs(p[k]));
        }
        assert_true(worst < 0.02 * top);
        base_free(p);
        base_free(q);
    }
    graph_free(d);

    /* Fewer bits are clipped in front of the integers: read back the bounds are dropped, or a ReLU. */
    fixed_net_free(net);
    net = lowered(g, pixels, 4, 4);
    assert_ok(onnx_write_qdq(net, path));
    struct onnx_report report;
    assert_ok(onnx_read_report(&d, &report, path));
    int clips = 0;
    for (int i = 0; i < report.n; i++)
        clips += !strcmp(report.note[i].op, "Clip");
    assert_int_equal(clips, 3);
    onnx_report_free(&report);
    graph_free(d);
    assert_survives_nomem(onnx_write_qdq(net, path), );
    assert_error(onnx_write_qdq(net, "/no/such/folder/a.onnx"), BASE_IO, "/no/such/folder/a.onnx");
    fixed_net_free(net);
    graph_free(g);
    base_free(pixels);
}

/* A ratio of its own per plane pair is written as a Conv on bits, which is no float network's. */
static void bits_are_not_read(void **state)
{
    (void)state;
    static const int pad1[4] = { 1, 1, 1, 1 };
    struct graph *g = chain(), *d = NULL;
    int x = graph_add_conv(g, "c4", graph_find(g, "r1"), 8, 3, 3, 1, pad1, false, false);
    x = graph_add_relu(g, "r4", graph_add_add(g, "sum", x, graph_find(g, "r1")), GRAPH_RELU);
    x = graph_add_pool(g, "avg2", x, GRAPH_AVGPOOL, SIDE, SIDE, 1, (const int[4]){ 0 });
    g->output = graph_add_dense(g, "fc2", x, 10, true);
    graph_run_randomize(g, 4);
    uint8_t *pixels = pixels_of(2);
    const char *path = unit_path(dir, "sum.onnx");
    /* the first chain's tail is not needed: leave it out by writing and reading */
    assert_ok(onnx_write(g, path));
    assert_ok(onnx_read(&d, path));
    struct fixed_net *net = lowered(d, pixels, 8, 8);
    graph_free(d);
    assert_ok(onnx_write_qdq(net, path));
    assert_error(onnx_read(&d, path), BASE_INPUT, "sum.onnx: ");
    assert_non_null(strstr(base_error_hint(), "take the pack (.bpk) or the float model"));
    fixed_net_free(net);
    graph_free(g);
    base_free(pixels);
}

int main(void)
{
    dir = unit_scratch();
    const struct CMUnitTest tests[] = { cmocka_unit_test(reads_back), cmocka_unit_test(bits_are_not_read) };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unit_remove(dir);
    return rc;
}
