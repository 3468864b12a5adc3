/* onnx: held against onnxruntime: float models on their own files and as written here, QDQ models against the
 * integer reference. Needs Python with onnxruntime and numpy (BITPRESS_PYTHON names another interpreter); the
 * real models are in BITPRESS_MODELS, real images in BITPRESS_CIFAR10. What is missing is skipped. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "compress/compress.h"
#include "data/data.h"
#include "graph_run.h"
#include "nn/nn.h"
#include "onnx/onnx.h"

static const char *dir;

static const char *python(void)
{
    const char *p = getenv("BITPRESS_PYTHON");
    return p && *p ? p : "python3";
}

static bool outside(const char *script, const char *arguments)
{
    char *command = base_format("%s tests/outside/%s.py %s", python(), script, arguments);
    int rc = system(command);
    base_free(command);
    return rc == 0;
}

static void need_onnxruntime(void)
{
    static int there = -1;
    if (there < 0)
        there = outside("onnx_compare", "--check >/dev/null 2>&1");
    if (there)
        return;
    skip_because("%s has no onnxruntime and numpy", python());
}

/* ---- cases for the script -------------------------------------------------------------- */

static FILE *open_case(const char *name, const char *end)
{
    char file[128];
    snprintf(file, sizeof file, "%s%s", name, end);
    FILE *fp = fopen(unit_path(dir, file), "wb");
    assert_non_null(fp);
    return fp;
}

/* Images as the model wants them, N x C x H x W, (pixel * scale - mean) / std. */
static void put_input(const char *name, const uint8_t *pixels, int n, struct graph_shape s, const struct graph_prep *p)
{
    FILE *fp = open_case(name, ".in");
    for (int i = 0; i < n; i++)
        for (int c = 0; c < s.c; c++)
            for (int k = 0; k < s.h * s.w; k++) {
                float v = (float)pixels[((size_t)i * (size_t)(s.h * s.w) + (size_t)k) * (size_t)s.c + (size_t)c];
                if (p)
                    v = (v * p->scale - (p->n ? p->mean[c] : 0)) / (p->n ? p->std[c] : 1);
                fwrite(&v, 4, 1, fp);
            }
    fclose(fp);
}

static void put_case(const char *name, const char *model, int n, struct graph_shape s, int outputs, const float *out, const char *mode, double limit)
{
    FILE *fp = open_case(name, ".out");
    fwrite(out, 4, (size_t)n * (size_t)outputs, fp);
    fclose(fp);
    fp = open_case(name, ".txt");
    fprintf(fp, "%s %d %d %d %d %d %s %g\n", model, n, s.c, s.h, s.w, outputs, mode, limit);
    fclose(fp);
}

static uint8_t *random_pixels(size_t n, uint64_t seed)
{
    struct base_rng r;
    base_rng_seed(&r, seed);
    uint8_t *p = base_alloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)base_rng_below(&r, 256);
    return p;
}

static void run_cases(void)
{
    bool ok = outside("onnx_compare", dir);
    unit_remove(dir);
    assert_ok(base_mkdirs(dir));
    assert_true(ok);
}

/* ---- float -------------------------------------------------------------------------------- */

/* nn's logits of `g` against onnxruntime on `model` (NULL: g written). */
static void float_case(const char *name, struct graph *g, const char *model, const uint8_t *pixels, int n)
{
    struct nn *m = NULL;
    struct nn_options o = NN_OPTIONS_INIT;
    char file[128];
    o.threads = 2;
    assert_ok(nn_new(&m, g, &o));
    float *logits = BASE_NEW_N(float, n * nn_classes(m));
    assert_ok(nn_forward(m, pixels, n, logits));
    snprintf(file, sizeof file, "%s.onnx", name);
    if (!model)
        assert_ok(onnx_write(g, unit_path(dir, file)));
    put_input(name, pixels, n, g->node[0].shape, &g->prep);
    put_case(name, model ? model : file, n, g->node[0].shape, nn_classes(m), logits, "diff", 1e-4);
    base_free(logits);
    nn_free(m);
}

static void zoo(void **state)
{
    (void)state;
    need_onnxruntime();
    static const char *const names[] = { "fmnist-cnn", "lenet", "resnet8", "resnet20", "resnet56", "mobilenet-v1-x0.25" };
    for (int i = 0; i < BASE_COUNT(names); i++) {
        struct graph *g = NULL;
        assert_ok(graph_zoo(&g, names[i]));
        graph_run_randomize(g, (uint64_t)i + 1);
        uint8_t *pixels = random_pixels(8 * graph_run_size(g->node[0].shape), 5);
        float_case(names[i], g, NULL, pixels, 8);
        base_free(pixels);
        graph_free(g);
    }
    run_cases();
}

static void read_floats(const char *name, const char *end, float *to, size_t n)
{
    char file[64];
    snprintf(file, sizeof file, "%s%s", name, end);
    FILE *fp = fopen(unit_path(dir, file), "rb");
    assert_non_null(fp);
    assert_int_equal(fread(to, sizeof *to, n, fp), n);
    fclose(fp);
}

/* The graph that a file is read as, node by node in double precision, against onnxruntime on the file. */
static void generated_one(const char *name, struct graph_shape s, size_t outputs)
{
    struct graph *g = NULL;
    struct graph_layers ls;
    char file[64];
    float in[24 * 24 * 8], out[64];
    double x[24 * 24 * 8], worst = 0, top = 0;
    size_t area = (size_t)(s.h * s.w), n = area * (size_t)s.c;
    assert_true(n <= BASE_COUNT(in) && outputs <= BASE_COUNT(out));
    read_floats(name, ".in", in, n);
    read_floats(name, ".out", out, outputs);
    snprintf(file, sizeof file, "%s.onnx", name);
    assert_ok(onnx_read(&g, unit_path(dir, file)));
    assert_ok(graph_make_layers(g, &ls));
    for (size_t i = 0; i < n; i++) { /* C x H x W to H x W x C, and what the file does to it first */
        size_t c = i % (size_t)s.c;
        x[i] = ((double)in[c * area + i / (size_t)s.c] - (g->own.n ? (double)g->own.mean[c] : 0)) / (g->own.n ? (double)g->own.std[c] : 1);
    }
    double *y = graph_run(g, x);
    assert_int_equal(graph_run_size(g->node[g->output].shape), outputs);
    for (size_t i = 0; i < outputs; i++) {
        worst = fmax(worst, fabs(y[i] - (double)out[i]));
        top = fmax(top, fabs((double)out[i]));
    }
    if (!(worst <= 1e-4 * top))
        fail_msg("%s: outputs differ by %g of the largest", name, worst / top);
    base_free(y);
    graph_free(g);
}

/* The models that a script wrote. */
static void generated_all(const char *script, const char *arguments)
{
    char name[32];
    assert_true(outside(script, arguments));
    FILE *fp = fopen(unit_path(dir, "list.txt"), "r");
    struct graph_shape s;
    int outputs;
    assert_non_null(fp);
    while (fscanf(fp, "%31s %d %d %d %d", name, &s.c, &s.h, &s.w, &outputs) == 5)
        generated_one(name, s, (size_t)outputs);
    fclose(fp);
    unit_remove(dir);
    assert_ok(base_mkdirs(dir));
}

/* Random models of every operator: pads of all kinds, NHWC pieces, constants, joins, shortcuts. */
static void generated(void **state)
{
    (void)state;
    need_onnxruntime();
    if (!outside("onnx_generate", "--check >/dev/null 2>&1"))
        skip_because("%s has no onnx", python());
    const char *more = getenv("BITPRESS_LONG");
    char *arguments = base_format("%s %d 1", dir, more && *more ? 1000 : 150);
    generated_all("onnx_generate", arguments);
    base_free(arguments);
}

/* What PyTorch's exporters make of thirteen networks. */
static void torch_exports(void **state)
{
    (void)state;
    if (!outside("torch_exports", "--check >/dev/null 2>&1"))
        skip_because("%s has no PyTorch", python());
    const char *more = getenv("BITPRESS_LONG");
    char *arguments = base_format("%s%s", dir, more && *more ? " all" : "");
    generated_all("torch_exports", arguments);
    base_free(arguments);
}

static const char *const models[] = { "resnet8-mlperftiny", "resnet20-cifar10", "resnet56-cifar10" };

/* Test images and one of the real models; skips what is not there. */
static struct graph *real_model(const char *name, struct data_set *images, enum data_part part, char path[512])
{
    const char *folder = getenv("BITPRESS_MODELS"), *cifar = getenv("BITPRESS_CIFAR10");
    if (!folder || !*folder || !cifar || !*cifar)
        skip_because("BITPRESS_MODELS and BITPRESS_CIFAR10 name no folders");
    char *spec = base_format("cifar10:%s", cifar);
    struct graph *g = NULL;
    snprintf(path, 512, "%s/%s.onnx", folder, name);
    assert_ok(onnx_read(&g, path));
    if (images)
        assert_ok(data_open(images, spec, part));
    base_free(spec);
    return g;
}

static void real_models(void **state)
{
    (void)state;
    need_onnxruntime();
    for (int i = 0; i < BASE_COUNT(models); i++) {
        struct data_set s;
        char path[512], name[64];
        struct graph *g = real_model(models[i], &s, DATA_TEST, path);
        snprintf(name, sizeof name, "%s-read", models[i]);
        float_case(name, g, path, s.pixels, 32);
        snprintf(name, sizeof name, "%s-written", models[i]);
        float_case(name, g, NULL, s.pixels, 32);
        data_free(&s);
        graph_free(g);
    }
    run_cases();
}

/* Right answers on the whole test set; BITPRESS_LONG=1 adds the large model. */
static void real_accuracy(void **state)
{
    (void)state;
    static const int right[] = { 8719, 9173, 9339 };
    const char *more = getenv("BITPRESS_LONG");
    for (int i = 0; i < (more && *more ? 3 : 2); i++) {
        struct data_set s;
        char path[512];
        struct graph *g = real_model(models[i], &s, DATA_TEST, path);
        struct nn *m = NULL;
        struct nn_options o = NN_OPTIONS_INIT;
        struct nn_result r;
        assert_ok(nn_new(&m, g, &o));
        assert_ok(nn_evaluate(m, s.pixels, s.label, s.n, &r));
        assert_int_equal(r.n, 10000);
        assert_in_range((int)(r.top1 * r.n + 0.5), right[i] - 2, right[i] + 2);
        nn_free(m);
        data_free(&s);
        graph_free(g);
    }
}

/* ---- QDQ ----------------------------------------------------------------------------------- */

static void integer_case(int (*write)(const struct fixed_net *, const char *), const char *name, const struct fixed_net *net, const uint8_t *pixels, int n, double limit)
{
    char file[128];
    struct graph_shape s = { net->edge[0].h, net->edge[0].w, net->edge[0].c };
    struct qref *q = qref_new(net, NULL);
    int count = n * net->classes;
    int32_t *logits = BASE_NEW_N(int32_t, count);
    float *real = BASE_NEW_N(float, count);
    assert_non_null(q);
    assert_ok(qref_run(q, pixels, n, logits));
    for (int i = 0; i < count; i++)
        real[i] = (float)(logits[i] * net->logit_scale);
    snprintf(file, sizeof file, "%s.onnx", name);
    assert_ok(write(net, unit_path(dir, file)));
    put_input(name, pixels, n, s, NULL);
    put_case(name, file, n, s, net->classes, real, "top1", limit);
    base_free(logits);
    base_free(real);
    qref_free(q);
}

/* Everything that an integer network may hold. */
static void qdq_random(void **state)
{
    (void)state;
    need_onnxruntime();
    for (int seed = 1; seed <= 24; seed++) {
        struct fixed_net *net = fixed_random_net((uint64_t)seed, &(struct fixed_random){ .max_layers = 8, .max_size = 14, .max_channels = 24 });
        char name[32];
        assert_non_null(net);
        snprintf(name, sizeof name, "random%02d", seed);
        uint8_t *pixels = random_pixels(100 * (size_t)(net->edge[0].h * net->edge[0].w * net->edge[0].c), (uint64_t)seed);
        integer_case(onnx_write_qdq, name, net, pixels, 100, 1);
        base_free(pixels);
        fixed_net_free(net);
    }
    run_cases();
}

/* The same in QONNX, run by the package of that name. */
static void qonnx_random(void **state)
{
    (void)state;
    if (!outside("qonnx_compare", "--check >/dev/null 2>&1"))
        skip_because("%s has no qonnx", python());
    for (int seed = 1; seed <= 24; seed++) {
        int bits = 1 + seed % 8;
        struct fixed_net *net = fixed_random_net((uint64_t)seed, &(struct fixed_random){ .max_layers = 6, .max_size = 12, .max_channels = 16, .w_bits = seed <= 16 ? bits : 0 });
        char name[32];
        assert_non_null(net);
        snprintf(name, sizeof name, "qonnx%02d", seed);
        uint8_t *pixels = random_pixels(20 * (size_t)(net->edge[0].h * net->edge[0].w * net->edge[0].c), (uint64_t)seed);
        integer_case(onnx_write_qonnx, name, net, pixels, 20, 1);
        base_free(pixels);
        fixed_net_free(net);
    }
    bool ok = outside("qonnx_compare", dir);
    unit_remove(dir);
    assert_ok(base_mkdirs(dir));
    assert_true(ok);
}

static int no_fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    struct data_set *s = ctx;
    size_t image = (size_t)(s->h * s->w * s->c);
    for (int i = 0; i < n; i++) {
        size_t k = (size_t)((batch * n + i) % 2000);
        memcpy(pixels + (size_t)i * image, s->pixels + k * image, image);
        labels[i] = s->label[k];
    }
    return BASE_OK;
}

/* A real network compressed without training, to w and a bits; as the product does it. */
static struct fixed_net *compressed(const char *name, int w, int a)
{
    struct data_set s;
    char path[512];
    struct graph *g = real_model(name, &s, DATA_TRAIN, path);
    struct base_pool *pool = base_pool_new(2);
    struct compress_data d = { .calibration = s.pixels, .n_calibration = 128, .train = { no_fill, &s }, .n_train = 2000 };
    struct compress_cache *c = NULL;
    struct compress_recipe r;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_model *m = NULL;
    struct fixed_net *net = NULL;
    o.val_images = -1;
    o.batchnorm_images = 256;
    assert_ok(compress_cache_new(&c, g, &d, pool));
    assert_ok(compress_recipe_default(&r, compress_cache_graph(c), compress_cache_layers(c), w, a));
    assert_ok(compress_apply(&m, c, &r, &o));
    assert_ok(compress_lower(&net, m));
    compress_model_free(m);
    compress_recipe_free(&r);
    compress_cache_free(c);
    base_pool_free(pool);
    data_free(&s);
    graph_free(g);
    return net;
}

static void qdq_real(void **state)
{
    (void)state;
    need_onnxruntime();
    const char *more = getenv("BITPRESS_LONG");
    bool whole = more && *more;
    static const struct { int model, w, a; } cases[] = { { 0, 8, 8 }, { 0, 4, 4 }, { 1, 8, 8 }, { 1, 4, 4 }, { 1, 2, 3 }, { 2, 4, 4 } };
    for (int i = 0; i < (whole ? BASE_COUNT(cases) : 2); i++) {
        struct data_set s;
        char path[512], name[64];
        struct graph *g = real_model(models[cases[i].model], &s, DATA_TEST, path);
        struct fixed_net *net = compressed(models[cases[i].model], cases[i].w, cases[i].a);
        snprintf(name, sizeof name, "%s-w%da%d", models[cases[i].model], cases[i].w, cases[i].a);
        integer_case(onnx_write_qdq, name, net, s.pixels, whole ? 2000 : 500, 0.999);
        fixed_net_free(net);
        data_free(&s);
        graph_free(g);
    }
    run_cases();
}

int main(void)
{
    dir = unit_scratch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zoo), cmocka_unit_test(generated), cmocka_unit_test(torch_exports), cmocka_unit_test(real_models), cmocka_unit_test(real_accuracy), cmocka_unit_test(qdq_random), cmocka_unit_test(qonnx_random), cmocka_unit_test(qdq_real),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unit_remove(dir);
    return rc;
}
