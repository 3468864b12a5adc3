/* onnx: files as a whole: round trips, preprocessing, inputs and outputs, damaged and hostile files. Operators
 * are in test_onnx_ops.c, refusals in test_onnx_refuse.c. */
#define _GNU_SOURCE
#include "unit.h"

#include "graph_run.h"
#include "onnx/onnx.h"
#include "onnx_build.h"

static const char *dir;

static const char *file(const char *name)
{
    return unit_path(dir, name);
}

/* Without the fsync of the product's writer: these tests write thousands of files. */
static void put(const char *name, const void *bytes, size_t len)
{
    FILE *fp = fopen(file(name), "wb");
    assert_non_null(fp);
    assert_int_equal(fwrite(bytes, 1, len, fp), len);
    fclose(fp);
}

/* ---- round trips ------------------------------------------------------------------ */

static void same_graphs(const struct graph *a, const struct graph *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->n_node, b->n_node);
    for (int i = 0; i < a->n_node; i++) {
        const struct graph_node *m = &a->node[i], *n = &b->node[i];
        assert_string_equal(m->name, n->name);
        assert_int_equal(m->op, n->op);
        assert_memory_equal(&m->shape, &n->shape, sizeof m->shape);
        assert_int_equal(m->n_in, n->n_in);
        assert_memory_equal(m->in, n->in, sizeof m->in);
        assert_int_equal(m->pad_t + 10 * m->pad_l + 100 * m->pad_b + 1000 * m->pad_r, n->pad_t + 10 * n->pad_l + 100 * n->pad_b + 1000 * n->pad_r);
        assert_true(m->eps == n->eps);
    }
    assert_int_equal(a->output, b->output);
    assert_int_equal(graph_params(a), graph_params(b));
    assert_memory_equal(&a->prep, &b->prep, sizeof a->prep);
}

static void zoo_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = { "fmnist-cnn", "lenet", "resnet8", "resnet20", "resnet56", "mobilenet-v1-x0.25" };
    for (int i = 0; i < BASE_COUNT(names); i++) {
        struct graph *g = NULL, *d = NULL;
        assert_ok(graph_zoo(&g, names[i]));
        graph_run_randomize(g, (uint64_t)i + 1);
        g->prep = (struct graph_prep){ .scale = 1.0f / 255, .n = g->node[0].shape.c, .mean = { 0.485f, 0.456f, 0.406f }, .std = { 0.229f, 0.224f, 0.225f }, .known = true };
        for (int c = g->prep.n; c < 3; c++)
            g->prep.mean[c] = g->prep.std[c] = 0;
        assert_ok(onnx_write(g, file("zoo.onnx")));
        assert_ok(onnx_read(&d, file("zoo.onnx")));
        same_graphs(g, d);
        for (int k = 0; k < g->n_node; k++) { /* bit for bit */
            const struct graph_node *m = &g->node[k], *n = &d->node[k];
            size_t count = m->weight ? (size_t)(graph_macs(g, k) / (m->shape.h * m->shape.w)) : 0;
            if (count)
                assert_memory_equal(m->weight, n->weight, 4 * count);
            if (m->var)
                assert_memory_equal(m->var, n->var, 4 * (size_t)m->shape.c);
        }
        if (i < 3)
            assert_true(graph_run_difference(g, d, 3) == 0);
        graph_free(g);
        graph_free(d);
    }
}

/* What the zoo lacks: depthwise, lopsided pads, ReLU6, concat, Flatten, Softmax. */
static void other_round_trip(void **state)
{
    (void)state;
    static const int pad[4] = { 0, 1, 2, 0 }, pad0[4] = { 0 };
    struct graph *g = graph_new("other"), *d = NULL;
    graph_add_input(g, "x", (struct graph_shape){ 9, 7, 3 });
    int a = graph_add_relu(g, "r6", graph_add_conv(g, "c", 0, 6, 3, 3, 2, pad, false, true), GRAPH_RELU6);
    int b = graph_add_conv(g, "dw", a, 6, 3, 3, 1, (const int[4]){ 1, 1, 1, 1 }, true, false);
    int s = graph_add_shortcut(g, "cut", a, 9, 1, 2);
    int m = graph_add_concat(g, "cat", (const int[3]){ a, b, s }, 3);
    m = graph_add_pool(g, "max", m, GRAPH_MAXPOOL, 3, 2, 1, (const int[4]){ 1, 0, 1, 1 });
    m = graph_add_pool(g, "avg", m, GRAPH_AVGPOOL, 2, 2, 2, pad0);
    m = graph_add_dense(g, "fc", m, 10, false);
    m = graph_add_batchnorm(g, "bn", m);
    assert_true(m > 0);
    graph_run_randomize(g, 9);
    g->prep = (struct graph_prep){ .scale = 1, .n = 3, .std = { 1, 1, 1 }, .known = true };
    assert_ok(onnx_write(g, file("other.onnx")));
    assert_ok(onnx_read(&d, file("other.onnx")));
    same_graphs(g, d);
    assert_true(graph_run_difference(g, d, 4) == 0);
    graph_free(d);

    /* The outputs of a Softmax are not the logits: dropped; a Flatten is a view. */
    int f = graph_add_unary(g, "flat", m, GRAPH_FLATTEN);
    graph_add_unary(g, "soft", f, GRAPH_SOFTMAX);
    assert_ok(onnx_write(g, file("other.onnx")));
    assert_ok(onnx_read(&d, file("other.onnx")));
    assert_string_equal(d->node[d->output].name, "bn");
    graph_free(d);
    assert_survives_nomem(onnx_write(g, file("other.onnx")), );
    assert_survives_nomem(onnx_read(&d, file("other.onnx")), graph_free(d));
    assert_error(onnx_write(g, file("no/such/folder.onnx")), BASE_IO, "no/such/folder.onnx");
    graph_free(g);
}

/* ---- preprocessing ------------------------------------------------------------------ */

static struct onnx_build *tiny(void)
{
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "N,3,4,4");
    build_tensor(b, "w", "10,48", 1);
    build_node(b, "Flatten", "f", "x", "axis=1");
    build_node(b, "Gemm", "y", "f,w", "transB=1");
    build_output(b, "y");
    return b;
}

static int read_with(struct graph **g, const char *scale, const char *mean, const char *std)
{
    struct onnx_build *b = tiny();
    if (scale)
        build_meta(b, "input_scale", scale);
    if (mean)
        build_meta(b, "input_mean", mean);
    if (std)
        build_meta(b, "input_std", std);
    build_write(b, file("prep.onnx"));
    return onnx_read(g, file("prep.onnx"));
}

static void metadata(void **state)
{
    (void)state;
    struct graph *g = NULL;
    assert_ok(read_with(&g, "1/255", "[0.485, 0.456, 0.406]", "[ 0.229,0.224 , 0.225 ]"));
    assert_true(g->prep.known && g->prep.n == 3 && g->prep.scale == 1.0f / 255);
    assert_true(g->prep.mean[1] == 0.456f && g->prep.std[2] == 0.225f);
    graph_free(g);
    assert_ok(read_with(&g, NULL, "127.5", "[64]"));
    assert_true(g->prep.known && g->prep.scale == 1 && g->prep.mean[2] == 127.5f && g->prep.std[2] == 64);
    graph_free(g);
    assert_ok(read_with(&g, "1", NULL, NULL));
    assert_true(g->prep.known && g->prep.std[0] == 1 && g->prep.mean[0] == 0);
    graph_free(g);

    /* Nothing said: read, but not to be run. */
    assert_ok(read_with(&g, NULL, NULL, NULL));
    assert_false(g->prep.known);
    assert_error(graph_prep_check(g), BASE_INPUT, "how raw pixels become the network's input is not given");
    graph_free(g);

    static const struct { const char *scale, *mean, *std; } bad[] = {
        { "fast", NULL, NULL }, { "1/0", NULL, NULL }, { "1/", NULL, NULL },        { "[1, 2]", NULL, NULL },      { "1", "[1, 2]", NULL },
        { "1", "", NULL },      { "1", "[1,2,3", NULL }, { "1", "[1, 2, 3, 4]", NULL }, { "1", NULL, "[1, 2, 3] x" }, { "nan", NULL, NULL },
    };
    for (int i = 0; i < BASE_COUNT(bad); i++)
        assert_error(read_with(&g, bad[i].scale, bad[i].mean, bad[i].std), BASE_INPUT, "prep.onnx: metadata input_scale is not a number");
    assert_error(read_with(&g, "1", NULL, "[1, 0, 1]"), BASE_INPUT, "std must be positive");
    assert_error(read_with(&g, "-1", NULL, NULL), BASE_INPUT, "pixel scale -1 must be positive");
    assert_null(g);
}

static void sidecar(void **state)
{
    (void)state;
    struct graph *g = NULL;
    static const char good[] = "name: prep\ninput:\n  layout: NCHW\n  scale: 1/255\n  mean: [0.1, 0.2, 0.3]\n  std: 0.5\nops: {Add: 9}\n";
    put("prep.yaml", good, strlen(good));
    assert_ok(read_with(&g, NULL, NULL, NULL));
    assert_true(g->prep.known && g->prep.mean[2] == 0.3f && g->prep.std[1] == 0.5f && g->prep.scale == 1.0f / 255);
    graph_free(g);
    assert_ok(read_with(&g, "1", NULL, NULL)); /* the file itself goes first */
    assert_true(g->prep.scale == 1 && g->prep.mean[2] == 0);
    graph_free(g);

    struct graph_prep p;
    assert_ok(onnx_prep_read(&p, file("prep.yaml"), 3));
    assert_true(p.known && p.n == 3 && p.mean[0] == 0.1f);
    assert_error(onnx_prep_read(&p, file("none.yaml"), 3), BASE_INPUT, "none.yaml");
    static const struct { const char *text, *message; } bad[] = {
        { "data: x\n", "has no `input:`" },
        { "input:\n  shape: 3\n", "has no `input:`" },
        { "input:\n  scale: 1/255\n  maen: 0.5\n", "prep.yaml:3: 'input.maen': unknown key" },
        { "input:\n  scale: -1\n", "prep.yaml:2: 'input.scale': must be positive" },
        { "input:\n  mean: 3\n  std: [1, 0, 1]\n", "prep.yaml:3: 'input.std': must be positive" },
        { "input:\n  scale: much\n", "prep.yaml:2: 'input.scale': must be a number or a fraction" },
        { "input:\n  scale: 1\n  mean: [1, 2]\n", "prep.yaml:3: 'input.mean': must be a number, or a list of 3" },
        { "input:\n  mean:\n    - 1\n    - 2\n    - x\n", "prep.yaml:5: 'input.mean[2]': must be a number" },
    };
    for (int i = 0; i < BASE_COUNT(bad); i++) {
        put("prep.yaml", bad[i].text, strlen(bad[i].text));
        assert_error(onnx_prep_read(&p, file("prep.yaml"), 3), BASE_INPUT, bad[i].message);
        if (i > 1)
            assert_error(read_with(&g, NULL, NULL, NULL), BASE_INPUT, bad[i].message);
    }
    assert_int_equal(remove(file("prep.yaml")), 0);
}

/* What the first nodes do to the input joins the preprocessing. */
static void input_arithmetic(void **state)
{
    (void)state;
    struct graph *g = NULL;
    struct onnx_build *b = build_new(13);
    build_input(b, "x", "1,3,4,4");
    build_values(b, "scale", 1, "", "0.00390625");
    build_values(b, "mean", 1, "3,1,1", "0.5,0.25,0.125");
    build_values(b, "std", 1, "1,3,1,1", "0.5,1,2");
    build_tensor(b, "w", "10,3,4,4", 1);
    build_node(b, "Mul", "a", "x,scale", "");
    build_node(b, "Sub", "b", "a,mean", "");
    build_node(b, "Div", "c", "b,std", "");
    build_node(b, "Conv", "y", "c,w", "");
    build_output(b, "y");
    build_meta(b, "input_scale", "1");
    build_write(b, file("norm.onnx"));
    assert_ok(onnx_read(&g, file("norm.onnx")));
    assert_int_equal(g->n_node, 2);
    static const double mean[3] = { 0.5, 0.25, 0.125 }, std[3] = { 0.5, 1, 2 };
    for (int c = 0; c < 3; c++)
        for (int pixel = 0; pixel < 256; pixel += 85)
            assert_true(fabs((pixel * (double)g->prep.scale - (double)g->prep.mean[c]) / (double)g->prep.std[c] - (pixel / 256.0 - mean[c]) / std[c]) < 1e-6);
    graph_free(g);
}

/* ---- input and output ------------------------------------------------------------------ */

static void read_fails(struct onnx_build *b, const char *message)
{
    struct graph *g = NULL;
    build_write(b, file("bad.onnx"));
    assert_error(onnx_read(&g, file("bad.onnx")), BASE_INPUT, message);
    assert_null(g);
}

static void inputs_and_outputs(void **state)
{
    (void)state;
    struct onnx_build *b = tiny();
    b->g.n_input = 0;
    build_input(b, "x", "N,3,H,W");
    read_fails(b, "input 'x' is not of fixed size");
    b = tiny();
    b->g.n_input = 0;
    build_input(b, "x", "N,V");
    read_fails(b, "input 'x' is not of fixed size");
    b = tiny();
    b->g.n_input = 0;
    build_input(b, "x", "N,");
    read_fails(b, "input 'x' is not of fixed size");
    b = tiny();
    b->g.n_input = 0;
    build_input(b, "x", "N,1,3,4,4");
    read_fails(b, "input 'x' is not of fixed size");
    b = tiny();
    b->g.n_input = 0;
    read_fails(b, "no input that its output depends on");
    b = tiny();
    b->g.input[0]->type = NULL;
    read_fails(b, "input 'x' is not of fixed size");
    b = tiny();
    build_input(b, "second", "N,3,4,4");
    build_node(b, "Add", "z", "x,second", "");
    build_node(b, "Flatten", "g", "z", "");
    build_node(b, "Gemm", "u", "g,w", "transB=1");
    b->g.n_output = 0;
    build_output(b, "u");
    read_fails(b, "more than one input ('second')");
    b = tiny();
    build_output(b, "f");
    read_fails(b, "2 outputs; exactly one");
    b = tiny();
    b->g.n_output = 0;
    read_fails(b, "0 outputs; exactly one");
    b = tiny();
    b->g.output[0]->name = build_text(b, "nowhere");
    read_fails(b, "no input that its output depends on");
    b = tiny();
    b->opset.version = 10;
    read_fails(b, "opset 10 is not supported (11 to 21 are)");
    b = tiny();
    b->opset.version = 22;
    read_fails(b, "opset 22 is not supported");
    b = tiny();
    b->m.n_opset_import = 0;
    read_fails(b, "does not say its opset");
    b = tiny();
    build_node(b, "Identity", "y", "f", "");
    read_fails(b, "'y' is computed twice");
    b = tiny();
    b->g.node[1]->input[1] = build_text(b, "gone");
    read_fails(b, "node 'y' (Gemm) reads 'gone', which nothing before it computes");
    b = tiny();
    b->g.node[0]->n_output = 0;
    read_fails(b, "node 0 has no operator or no output");
    b = tiny();
    build_tensor(b, "w", "10,48", 2);
    read_fails(b, "tensor 'w' is there twice");
}

/* Initializers that are listed as inputs, dead nodes, names that are missing, repeated or odd. */
static void tolerated(void **state)
{
    (void)state;
    struct onnx_build *b = build_new(15);
    build_input(b, "w", "4,3,1,1");
    build_input(b, "x", "N,3,4,4");
    build_tensor(b, "w", "4,3,1,1", 1);
    build_tensor(b, "v", "10,4,4,4", 2);
    build_node(b, "Conv", "a b", "x,w", "")->name = build_text(b, "");
    build_node(b, "NonMaxSuppression", "dead", "a b", "");
    build_node(b, "Relu", "r", "a b", "")->name = build_text(b, "twice");
    build_node(b, "Conv", "y", "r,v", "")->name = build_text(b, "twice");
    build_output(b, "y");
    build_write(b, file("odd.onnx"));
    struct graph *g = NULL;
    assert_ok(onnx_read(&g, file("odd.onnx")));
    assert_int_equal(g->n_node, 4);
    assert_string_equal(g->node[1].name, "a_b");
    assert_string_equal(g->node[2].name, "twice");
    assert_true(!strncmp(g->node[3].name, "twice_", 6));
    graph_free(g);
}

/* ---- damaged and hostile files ------------------------------------------------------------ */

static void truncated(void **state)
{
    (void)state;
    struct graph *g = NULL;
    struct onnx_build *b = tiny();
    build_meta(b, "input_scale", "1");
    size_t len;
    uint8_t *bytes = build_bytes(b, &len);
    build_free(b);
    for (size_t n = 0; n < len; n += n < 100 || n > len - 200 ? 1 : 61) {
        put("cut.onnx", bytes, n);
        int rc = onnx_read(&g, file("cut.onnx"));
        assert_true(rc == BASE_INPUT || (rc == BASE_OK && n > len - 40)); /* a cut between fields leaves out metadata */
        graph_free(g);
        g = NULL;
    }
    base_free(bytes);
    assert_error(onnx_read(&g, file("absent.onnx")), BASE_INPUT, "absent.onnx");
    put("text.onnx", "hello, world\n", 13);
    assert_error(onnx_read(&g, file("text.onnx")), BASE_INPUT, "text.onnx: not an ONNX model");
}

/* Every byte changed in turn, and random ones many at a time: an answer, never a crash. */
static void corrupted(void **state)
{
    (void)state;
    struct onnx_build *b = tiny();
    build_meta(b, "input_scale", "1");
    size_t len;
    uint8_t *bytes = build_bytes(b, &len);
    build_free(b);
    struct base_rng r;
    base_rng_seed(&r, 7);
    for (int i = 0; i < 3000; i++) {
        uint8_t *copy = base_alloc(len);
        memcpy(copy, bytes, len);
        for (int k = 0; k < 1 + i % 3; k++) {
            size_t at = base_rng_below(&r, 10) ? base_rng_below(&r, 120) : base_rng_below(&r, (uint32_t)len);
            copy[i % 2 ? at : len - 1 - at] ^= (uint8_t)(1u << base_rng_below(&r, 8));
        }
        struct graph *g = NULL;
        put("flip.onnx", copy, len);
        int rc = onnx_read(&g, file("flip.onnx"));
        assert_true(rc == BASE_OK || rc == BASE_INPUT || rc == BASE_IO);
        assert_int_equal(rc == BASE_OK, g != NULL);
        graph_free(g);
        base_free(copy);
    }
    base_free(bytes);
}

/* Shapes that promise more than there is, nesting without end, structures from nothing. */
static void lies(void **state)
{
    (void)state;
    static const struct { const char *shape, *message; } shapes[] = {
        { "1000000,1000000", "tensor 'w': its dimensions are negative or too large" }, { "-10,-48", "dimensions are negative" },
        { "10,49", "do not fill its shape of 490 elements" },        { "1,1,1,1,1,1,1,1,480", "9 dimensions" },
    };
    for (int i = 0; i < BASE_COUNT(shapes); i++) {
        struct onnx_build *b = tiny();
        double dim[16];
        Onnx__TensorProto *t = b->g.initializer[0];
        t->n_dims = build_numbers(shapes[i].shape, dim);
        t->dims = build_alloc(b, sizeof(int64_t) * 16);
        for (size_t k = 0; k < t->n_dims; k++)
            t->dims[k] = (int64_t)dim[k];
        read_fails(b, shapes[i].message);
    }
    struct onnx_build *b = tiny();
    b->g.initializer[0]->data_type = 8;
    read_fails(b, "element type 8 is not supported");
    b = tiny();
    b->g.initializer[0]->has_raw_data = 0;
    read_fails(b, "do not fill its shape");

    /* An attribute in a graph in an attribute in a graph ... */
    enum { DEEP = 20000 };
    uint8_t *nest = base_alloc(DEEP * 24);
    size_t len = 0;
    for (int i = 0; i < DEEP; i++) { /* from the inside out: graph { node { attribute { g } } } */
        static const uint8_t tags[3] = { 0x32, 0x2a, 0x0a };
        for (int k = 0; k < 3; k++) {
            uint8_t head[8];
            size_t n = 0, v = len;
            head[n++] = tags[k];
            do
                head[n++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
            while (v >>= 7);
            if (len + n > DEEP * 24)
                break;
            memmove(nest + n, nest, len);
            memcpy(nest, head, n);
            len += n;
        }
        if (i > 200 && i < DEEP - 1)
            i += 19; /* memmove is quadratic: deep enough all the same */
    }
    uint8_t *whole = base_alloc(len + 16);
    size_t n = 0, v = len;
    whole[n++] = 0x3a; /* model.graph */
    do
        whole[n++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
    while (v >>= 7);
    memcpy(whole + n, nest, len);
    struct graph *g = NULL;
    put("deep.onnx", whole, n + len);
    assert_error(onnx_read(&g, file("deep.onnx")), BASE_INPUT, "deep.onnx: not an ONNX model, or a damaged one");
    base_free(nest);
    base_free(whole);

    /* Two bytes a node: half a million nodes in a megabyte. */
    enum { MANY = 1 << 20 };
    uint8_t *many = base_alloc(MANY + 8);
    n = 0, v = MANY;
    many[n++] = 0x3a;
    do
        many[n++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
    while (v >>= 7);
    for (size_t i = 0; i < MANY; i += 2)
        many[n + i] = 0x0a;
    put("many.onnx", many, n + MANY);
    assert_int_equal(onnx_read(&g, file("many.onnx")), BASE_INPUT);
    base_free(many);
}

/* A few hundred bytes ask for gigabytes: constants of a claimed shape, parameters for a claimed map. */
static void large_from_small(void **state)
{
    (void)state;
    struct onnx_build *b = tiny();
    build_values(b, "shape", 7, "4", "1,4096,128,128");
    build_node(b, "ConstantOfShape", "zeros", "shape", "");
    build_node(b, "Concat", "more", "x,zeros", "axis=1");
    b->g.n_output = 0;
    build_output(b, "more");
    read_fails(b, "node 'zeros' (ConstantOfShape): its result on constants is too large");

    b = build_new(13);
    build_input(b, "x", "N,65535,4,4");
    build_values(b, "two", 1, "", "2");
    char last[16] = "x", name[16];
    for (int i = 0; i < 200; i++) {
        char inputs[32];
        snprintf(name, sizeof name, "m%d", i);
        snprintf(inputs, sizeof inputs, i % 2 ? "%s" : "%s,two", last);
        build_node(b, i % 2 ? "Relu" : "Mul", name, inputs, "");
        strcpy(last, name);
    }
    build_output(b, last);
    read_fails(b, "too many parameters");
}

static void external_data(void **state)
{
    (void)state;
    struct onnx_build *b = tiny();
    Onnx__TensorProto *t = b->g.initializer[0];
    put("weights.bin", t->raw_data.data, t->raw_data.len);
    build_write(b, file("inside.onnx"));
    static const struct { const char *location, *offset, *length, *message; } cases[] = {
        { "weights.bin", NULL, NULL, NULL },       { "weights.bin", "0", "1920", NULL },
        { "../weights.bin", NULL, NULL, "only a file beside the model is read" }, { "/etc/passwd", NULL, NULL, "only a file beside the model" },
        { "..", NULL, NULL, "only a file beside" }, { "", NULL, NULL, "only a file beside" },
        { "none.bin", NULL, NULL, "cannot open its data file" }, { ".", NULL, NULL, "only a file beside" },
        { "weights.bin", "4", NULL, "is too short" }, { "weights.bin", "99999999999999999999", NULL, "offset or length" },
        { "weights.bin", "-4", NULL, "offset or length" }, { "weights.bin", "0", "1916", "offset or length" },
    };
    for (int i = 0; i < BASE_COUNT(cases); i++) {
        b = tiny();
        t = b->g.initializer[0];
        t->has_raw_data = 0;
        t->has_data_location = 1;
        t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
        t->external_data = build_alloc(b, sizeof(void *) * 3);
        const char *const entries[3][2] = { { "location", cases[i].location }, { "offset", cases[i].offset }, { "length", cases[i].length } };
        for (int k = 0; k < 3; k++)
            if (entries[k][1]) {
                build_meta(b, entries[k][0], entries[k][1]);
                t->external_data[t->n_external_data++] = b->m.metadata_props[--b->m.n_metadata_props];
            }
        if (cases[i].message) {
            read_fails(b, cases[i].message);
            continue;
        }
        struct graph *g = NULL, *d = NULL;
        build_write(b, file("outside.onnx"));
        assert_ok(onnx_read(&g, file("outside.onnx")));
        assert_ok(onnx_read(&d, file("inside.onnx")));
        assert_memory_equal(g->node[1].weight, d->node[1].weight, 1920);
        graph_free(g);
        graph_free(d);
    }
}

int main(void)
{
    dir = unit_scratch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zoo_round_trip),   cmocka_unit_test(other_round_trip),   cmocka_unit_test(metadata),  cmocka_unit_test(sidecar),
        cmocka_unit_test(input_arithmetic), cmocka_unit_test(inputs_and_outputs), cmocka_unit_test(tolerated), cmocka_unit_test(truncated),
        cmocka_unit_test(corrupted),        cmocka_unit_test(lies),               cmocka_unit_test(external_data),
        cmocka_unit_test(large_from_small),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unit_remove(dir);
    return rc;
}
