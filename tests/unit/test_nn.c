/* nn: values and gradients of every operator against a computation in double, and what an engine promises. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "nn_nets.h"
#include "nn_oracle.h"

enum { N = 5 };

/* ---- forward --------------------------------------------------------------------------- */

static void near(double got, double want, double tolerance, const char *what, int at)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s %d: %.9g, not %.9g", what, at, got, want);
}

static void check_edges(const struct nn *m, const struct oracle *o)
{
    const struct graph_layers *ls = nn_layers(m);
    float map[4096];
    for (int e = 0; e < ls->n_edge; e++) {
        int node = e ? ls->layer[e - 1].out_node : 0;
        int64_t size = oracle_size(o->g->node[node].shape);
        bool early = e && ls->layer[e - 1].relu == GRAPH_RELU && o->g->node[node].op != GRAPH_RELU; /* moved in front of a max pool */
        assert_true(size <= 4096);
        for (int i = 0; i < o->n; i++) {
            assert_ok(nn_edge_read(m, e, i, map));
            for (int k = 0; k < size; k++)
                near((double)map[k], early ? fmax(o->v[node][i * size + k], 0) : o->v[node][i * size + k], 2e-5, "edge", e);
        }
    }
}

static void forward_equals_direct(void **state)
{
    (void)state;
    for (int t = 0; t < BASE_COUNT(net_all); t++) {
        struct graph *g = net_all[t]();
        struct nn *m = net_engine(g, N, t & 1, 2);
        struct oracle o;
        uint8_t *pixels = net_images(g, N, (uint64_t)t);
        float logits[N * 16];
        oracle_open(&o, g, nn_layers(m), N, pixels);
        oracle_run(&o);
        assert_ok(nn_keep_maps(m));
        assert_ok(nn_forward(m, pixels, N, logits));
        for (int i = 0; i < N * nn_classes(m); i++)
            near((double)logits[i], o.v[g->output][i], 2e-5, "logit of net", t);
        check_edges(m, &o);
        oracle_close(&o);
        free(pixels);
        nn_free(m);
        graph_free(g);
    }
}

/* Maps that share memory while an image runs are the same maps; they cannot be read afterwards. */
static void maps_need_not_be_kept(void **state)
{
    (void)state;
    enum { MANY = 40 };
    int hidden = 0;
    for (int t = 0; t < BASE_COUNT(net_all); t++) {
        struct graph *g = net_all[t]();
        struct nn *kept = net_engine(g, MANY, false, 2), *lean = net_engine(g, MANY, false, 2);
        uint8_t *pixels = net_images(g, MANY, (uint64_t)t);
        float a[MANY * 16], b[MANY * 16], map[4096];
        assert_ok(nn_keep_maps(kept));
        for (int pass = 0; pass < 2; pass++) {
            assert_ok(nn_forward(kept, pixels, MANY, a));
            assert_ok(nn_forward(lean, pixels, MANY, b));
            assert_memory_equal(a, b, sizeof(float) * (size_t)(MANY * nn_classes(lean)));
        }
        assert_ok(nn_edge_read(kept, 0, 3, map));
        for (int e = 0; e < nn_layers(lean)->n_edge; e++)
            hidden += nn_edge_read(lean, e, 3, map) == BASE_INTERNAL;
        free(pixels);
        nn_free(kept);
        nn_free(lean);
        graph_free(g);
    }
    assert_true(hidden > 0);
}

/* Any number of images, whatever the batch. */
static void forward_takes_any_number(void **state)
{
    (void)state;
    struct graph *g = net_residual();
    struct nn *one = net_engine(g, 64, false, 1), *few = net_engine(g, 3, false, 2);
    uint8_t *pixels = net_images(g, 31, 3);
    float a[31 * 5], b[31 * 5];
    assert_ok(nn_forward(one, pixels, 31, a));
    assert_ok(nn_forward(few, pixels, 31, b));
    assert_memory_equal(a, b, sizeof a);
    assert_ok(nn_forward(few, pixels, 0, b));
    free(pixels);
    nn_free(one);
    nn_free(few);
    graph_free(g);
}

/* ---- gradients --------------------------------------------------------------------------- */

static void check_array(struct oracle *o, const struct nn *m, int node, char which, const float *p, int64_t n, const uint16_t *labels, const struct nn_loss_options *l,
                        const float *teacher)
{
    const float *grad = nn_gradient_of(m, node, which);
    if (!p) {
        assert_null(grad);
        return;
    }
    assert_non_null(grad);
    double top = 0;
    for (int64_t i = 0; i < n; i++)
        top = fmax(top, fabs((double)grad[i]));
    for (int64_t i = 0; i < n; i += BASE_MAX(n / 23, 1)) {
        double want = oracle_derivative(o, p, i, labels, l, teacher);
        if (fabs((double)grad[i] - want) > 2e-4 * top + 1e-6)
            fail_msg("node '%s', '%c' [%ld]: gradient %.8g, not %.8g", o->g->node[node].name, which, (long)i, (double)grad[i], want);
    }
}

static void check_node(struct oracle *o, const struct nn *m, int i, const uint16_t *labels, const struct nn_loss_options *l, const float *teacher)
{
    const struct graph_node *n = &o->g->node[i];
    check_array(o, m, i, 'w', n->weight, oracle_weights(o->g, n), labels, l, teacher);
    check_array(o, m, i, 'b', n->bias, n->shape.c, labels, l, teacher);
    check_array(o, m, i, 'g', n->gamma, n->shape.c, labels, l, teacher);
    check_array(o, m, i, 'e', n->beta, n->shape.c, labels, l, teacher);
}

static void check_running(const struct oracle *o, const struct graph *before)
{
    for (int i = 0; i < o->g->n_node; i++) {
        const struct graph_node *n = &o->g->node[i], *b = &before->node[i];
        double count = (double)o->n * n->shape.h * n->shape.w;
        for (int c = 0; n->gamma && c < n->shape.c; c++) {
            near((double)n->mean[c], 0.9 * (double)b->mean[c] + 0.1 * o->mean[i][c], 1e-5, "running mean", i);
            near((double)n->var[c], 0.9 * (double)b->var[c] + 0.1 * o->var[i][c] * count / (count - 1), 1e-5, "running variance", i);
        }
    }
}

static void check_gradients(net_fn *make, const struct nn_loss_options *l, bool with_teacher)
{
    struct graph *g = make(), *before = graph_clone(g);
    struct nn *m = net_engine(g, 8, true, 2);
    struct oracle o;
    uint8_t *pixels = net_images(g, N, 11);
    uint16_t labels[N];
    float teacher[N * 16];
    double loss;
    int correct;
    struct base_rng r;
    base_rng_seed(&r, 2);
    for (int i = 0; i < N; i++)
        labels[i] = (uint16_t)base_rng_below(&r, (uint32_t)nn_classes(m));
    for (int i = 0; i < N * 16; i++)
        teacher[i] = 2 * base_rng_normal(&r);
    const float *t = with_teacher ? teacher : NULL;
    assert_ok(nn_gradient(m, pixels, labels, N, l, t, &loss, &correct));
    oracle_open(&o, g, nn_layers(m), N, pixels);
    o.training = true;
    oracle_run(&o);
    near(loss, oracle_loss(&o, labels, l, t), 1e-5, "loss", 0);
    check_running(&o, before);
    for (int i = 1; i < g->n_node; i++)
        check_node(&o, m, i, labels, l, t);
    oracle_close(&o);
    free(pixels);
    nn_free(m);
    graph_free(g);
    graph_free(before);
}

static void gradients_equal_differences(void **state)
{
    (void)state;
    struct nn_loss_options plain = NN_LOSS_OPTIONS_INIT, smooth = plain;
    smooth.label_smoothing = 0.15f;
    for (int t = 0; t < BASE_COUNT(net_all); t++)
        check_gradients(net_all[t], t & 1 ? &plain : &smooth, false);
}

static void distillation_gradients(void **state)
{
    (void)state;
    struct nn_loss_options l = { .label_smoothing = 0.1f, .distill_weight = 0.7f, .temperature = 3 };
    check_gradients(net_dense_chain, &l, true);
    l.no_t2 = true;
    check_gradients(net_dense_chain, &l, true);
    l.no_t2 = false;
    l.distill_weight = 1;
    check_gradients(net_dense_chain, &l, true);
    check_gradients(net_dense_chain, &l, false); /* without a teacher: cross-entropy alone */
}

static void squared_error_gradients(void **state)
{
    (void)state;
    struct nn_loss_options l = { .kind = NN_MSE, .label_smoothing = 0.1f, .distill_weight = 0.4f, .temperature = 2 };
    check_gradients(net_dense_chain, &l, false);
    check_gradients(net_dense_chain, &l, true);
}

/* ---- promises ------------------------------------------------------------------------------ */

static void threads_do_not_change_bits(void **state)
{
    (void)state;
    enum { IMAGES = 21 };
    struct nn_loss_options l = NN_LOSS_OPTIONS_INIT;
    for (int t = 0; t < BASE_COUNT(net_all); t++) {
        struct graph *g[3];
        struct nn *m[3];
        uint16_t labels[IMAGES] = { 1, 2, 0, 3 };
        for (int k = 0; k < 3; k++) {
            g[k] = net_all[t]();
            m[k] = net_engine(g[k], IMAGES, true, k + 1);
            uint8_t *pixels = net_images(g[k], IMAGES, 9);
            for (int step = 0; step < 2; step++) {
                assert_ok(nn_gradient(m[k], pixels, labels, IMAGES, &l, NULL, NULL, NULL));
                nn_sgd_step(m[k], &(struct nn_sgd){ .lr = 0.05f, .momentum = 0.9f, .nesterov = true, .weight_decay = 1e-3f });
            }
            free(pixels);
        }
        for (int k = 1; k < 3; k++)
            for (int i = 0; i < g[0]->n_node; i++)
                if (g[0]->node[i].weight)
                    assert_memory_equal(g[0]->node[i].weight, g[k]->node[i].weight, sizeof(float) * (size_t)g[0]->node[i].shape.c);
        for (int k = 0; k < 3; k++) {
            nn_free(m[k]);
            graph_free(g[k]);
        }
    }
}

/* v = momentum v + g + decay w, decay on weights only. */
static void sgd_follows_its_formula(void **state)
{
    (void)state;
    struct nn_loss_options l = NN_LOSS_OPTIONS_INIT;
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        struct graph *g = net_dense_chain();
        struct nn *m = net_engine(g, N, true, 1);
        uint8_t *pixels = net_images(g, N, 1);
        uint16_t labels[N] = { 0, 1, 2, 3, 4 };
        const struct graph_node *fc = &g->node[g->output];
        double w = (double)fc->weight[3], b = (double)fc->bias[1], vw = 0, vb = 0;
        struct nn_sgd sgd = { .lr = 0.1f, .momentum = 0.8f, .weight_decay = 0.05f, .nesterov = nesterov };
        for (int step = 0; step < 3; step++) {
            assert_ok(nn_gradient(m, pixels, labels, N, &l, NULL, NULL, NULL));
            double gw = (double)nn_gradient_of(m, g->output, 'w')[3] + 0.05 * w, gb = (double)nn_gradient_of(m, g->output, 'b')[1];
            nn_sgd_step(m, &sgd);
            vw = 0.8 * vw + gw;
            vb = 0.8 * vb + gb;
            w -= 0.1 * (nesterov ? gw + 0.8 * vw : vw);
            b -= 0.1 * (nesterov ? gb + 0.8 * vb : vb);
            near((double)fc->weight[3], w, 1e-6, "weight after step", step);
            near((double)fc->bias[1], b, 1e-6, "bias after step", step);
        }
        free(pixels);
        nn_free(m);
        graph_free(g);
    }
}

/* Means of gradient and square freed of their start at 0; decay apart from them, on weights only. */
static void adam_follows_its_formula(void **state)
{
    (void)state;
    struct nn_loss_options l = NN_LOSS_OPTIONS_INIT;
    struct graph *g = net_dense_chain();
    struct nn *m = net_engine(g, N, true, 1);
    uint8_t *pixels = net_images(g, N, 1);
    uint16_t labels[N] = { 0, 1, 2, 3, 4 };
    const struct graph_node *fc = &g->node[g->output];
    const float *value[2] = { &fc->weight[3], &fc->bias[1] };
    double x[2] = { (double)fc->weight[3], (double)fc->bias[1] }, mean[2] = { 0 }, square[2] = { 0 };
    struct nn_adam adam = { .lr = 0.01f, .beta1 = 0.8f, .beta2 = 0.95f, .epsilon = 1e-6f, .weight_decay = 0.1f };
    for (int step = 1; step <= 4; step++) {
        assert_ok(nn_gradient(m, pixels, labels, N, &l, NULL, NULL, NULL));
        double d[2] = { (double)nn_gradient_of(m, g->output, 'w')[3], (double)nn_gradient_of(m, g->output, 'b')[1] };
        nn_adam_step(m, &adam, step);
        for (int k = 0; k < 2; k++) {
            mean[k] = 0.8 * mean[k] + 0.2 * d[k];
            square[k] = 0.95 * square[k] + 0.05 * d[k] * d[k];
            double root = sqrt(square[k] / (1 - pow(0.95, step)));
            x[k] -= 0.01 * (mean[k] / (1 - pow(0.8, step)) / (root + 1e-6) + (k ? 0 : 0.1 * x[k]));
            near((double)*value[k], x[k], 2e-6, k ? "bias after step" : "weight after step", step);
        }
    }
    free(pixels);
    nn_free(m);
    graph_free(g);
}

/* Logits by hand: a dense layer whose weights are zero answers with its bias. */
static void evaluation_counts(void **state)
{
    (void)state;
    struct graph *g = net_start(2, 2, 1);
    net_end(g, net_dense(g, 0, 7, true));
    struct graph_node *fc = &g->node[g->output];
    memset(fc->weight, 0, sizeof(float) * 7 * 4);
    memcpy(fc->bias, (const float[]){ 1, 3, 3, 2, 0, -1, -2 }, sizeof(float) * 7);
    struct nn *m = net_engine(g, 2, false, 1);
    uint8_t *pixels = net_images(g, 7, 1);
    uint16_t labels[7] = { 1, 2, 0, 4, 5, 6, 1 };  /* ranks 0 1 3 4 5 6 0: ties go to the lower index */
    struct nn_result r;
    assert_ok(nn_evaluate(m, pixels, labels, 7, &r));
    near(r.top1, 2.0 / 7, 1e-12, "top1", 0);
    near(r.top5, 5.0 / 7, 1e-12, "top5", 0);
    double all = log(exp(1) + 2 * exp(3) + exp(2) + 1 + exp(-1) + exp(-2));
    near(r.loss, all - (3 + 3 + 1 + 0 - 1 - 2 + 3) / 7.0, 1e-6, "loss", 0);
    assert_int_equal(r.n, 7);
    fc->bias[0] = NAN;                   /* what is not a number is never the right answer, nor beaten */
    assert_ok(nn_evaluate(m, pixels, (const uint16_t[]){ 0, 0 }, 2, &r));
    assert_true(r.top1 == 0 && r.top5 == 0);
    labels[3] = 7;
    assert_error(nn_evaluate(m, pixels, labels, 7, &r), BASE_INPUT, "label 7 of image 3");
    free(pixels);
    nn_free(m);
    graph_free(g);
}

static void start_values(void **state)
{
    (void)state;
    struct graph *g = net_start(8, 8, 16), *same;
    int c = net_bn(g, net_conv(g, 0, 200, 3, 3, 1, net_pad1, true));
    net_end(g, net_dense(g, c, 3, true));
    nn_init_parameters(g, 42);
    same = graph_clone(g);
    nn_init_parameters(same, 42);
    const struct graph_node *n = &g->node[1];
    double sum = 0, square = 0, count = 200 * 144;
    for (int i = 0; i < 200 * 144; i++) {
        sum += (double)n->weight[i];
        square += (double)n->weight[i] * (double)n->weight[i];
    }
    near(sum / count, 0, 2e-3, "mean of weights", 0);
    near(square / count, 2.0 / 144, 5e-4, "variance of weights", 0);
    assert_memory_equal(n->weight, same->node[1].weight, sizeof(float) * 200 * 144);
    nn_init_parameters(same, 43);
    assert_true(memcmp(n->weight, same->node[1].weight, sizeof(float) * 200 * 144) != 0);
    assert_true(n->bias[5] == 0 && g->node[2].gamma[7] == 1 && g->node[2].beta[7] == 0 && g->node[2].mean[3] == 0 && g->node[2].var[3] == 1);
    graph_free(g);
    graph_free(same);
}

/* Layers that the output does not need are left alone. */
static void unneeded_layers_are_skipped(void **state)
{
    (void)state;
    struct graph *g = net_start(4, 4, 1);
    int x = net_relu(g, net_bn(g, net_conv(g, 0, 3, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    net_bn(g, net_conv(g, x, 2, 3, 3, 1, net_pad1, false));
    net_end(g, net_dense(g, x, 2, true));
    struct nn *m = net_engine(g, 4, true, 1);
    struct nn_loss_options l = NN_LOSS_OPTIONS_INIT;
    uint8_t *pixels = net_images(g, 4, 1);
    float mean = g->node[5].mean[0];
    assert_ok(nn_gradient(m, pixels, (const uint16_t[]){ 0, 1, 0, 1 }, 4, &l, NULL, NULL, NULL));
    assert_true(g->node[5].mean[0] == mean && nn_gradient_of(m, 4, 'w')[0] == 0);
    free(pixels);
    nn_free(m);
    graph_free(g);
}

/* ---- refusals ---------------------------------------------------------------------------------- */

static void bad_input_is_refused(void **state)
{
    (void)state;
    struct nn *m = NULL;
    struct nn_options o = NN_OPTIONS_INIT;
    struct graph *g = net_start(4, 4, 1);
    net_end(g, net_conv(g, 0, 3, 3, 3, 1, net_pad1, true));
    assert_error(nn_new(&m, g, &o), BASE_INPUT, "4 x 4 x 3");
    assert_null(m);
    graph_free(g);

    g = net_start(4, 4, 1);
    net_end(g, net_dense(g, 0, 3, true));
    o.max_batch = 0;
    assert_error(nn_new(&m, g, &o), BASE_INPUT, "batch of 0");
    m = net_engine(g, 4, false, 1);
    struct nn_loss_options l = NN_LOSS_OPTIONS_INIT;
    uint8_t *pixels = net_images(g, 4, 1);
    float map[16];
    assert_error(nn_gradient(m, pixels, (const uint16_t[]){ 0 }, 1, &l, NULL, NULL, NULL), BASE_INTERNAL, "inference");
    assert_ok(nn_keep_maps(m));
    assert_ok(nn_forward(m, pixels, 2, map));
    assert_error(nn_edge_read(m, 0, 2, map), BASE_INTERNAL, "image 2");
    assert_error(nn_edge_read(m, 2, 0, map), BASE_INTERNAL, "edge 2");
    nn_free(m);
    m = net_engine(g, 4, true, 1);
    assert_error(nn_gradient(m, pixels, (const uint16_t[]){ 0, 3 }, 2, &l, NULL, NULL, NULL), BASE_INPUT, "label 3 of image 1");
    assert_error(nn_gradient(m, pixels, (const uint16_t[]){ 0 }, 5, &l, NULL, NULL, NULL), BASE_INTERNAL, "5 images");
    free(pixels);
    nn_free(m);
    nn_free(NULL);
    graph_free(g);
}

static int make_engine(struct nn **m, struct graph *g)
{
    struct nn_options o = NN_OPTIONS_INIT;
    o.max_batch = 64;
    o.threads = 2;
    o.training = true;
    return nn_new(m, g, &o);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    struct graph *g = net_residual();
    struct nn *m = NULL;
    assert_survives_nomem(make_engine(&m, g), nn_free(m));
    graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_equals_direct),
        cmocka_unit_test(maps_need_not_be_kept),
        cmocka_unit_test(forward_takes_any_number),
        cmocka_unit_test(gradients_equal_differences),
        cmocka_unit_test(distillation_gradients),
        cmocka_unit_test(squared_error_gradients),
        cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(sgd_follows_its_formula),
        cmocka_unit_test(adam_follows_its_formula),
        cmocka_unit_test(evaluation_counts),
        cmocka_unit_test(start_values),
        cmocka_unit_test(unneeded_layers_are_skipped),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
