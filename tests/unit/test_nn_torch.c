/* nn: gradients, optimizers and running statistics against PyTorch's, channel by channel. The figures are in
 * tests/data/torch_gradients.f32; tests/outside/torch_gradients.py wrote them and says what is where. */
#define _GNU_SOURCE
#include "nn_nets.h"

enum { N = 6, STEPS = 3 };

static const char path[] = "tests/data/torch_gradients.f32";

struct golden { float *v; size_t n, at; uint8_t pixels[N * 8 * 8 * 3]; uint16_t labels[N]; float loss; };

static const float *take(struct golden *f, size_t n)
{
    assert_true(f->at + n <= f->n);
    f->at += n;
    return f->v + f->at - n;
}

static void golden_open(struct golden *f)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_ok(base_file_read(&bytes, &len, path, 1 << 20));
    *f = (struct golden){ .v = (float *)bytes, .n = len / sizeof(float) };
    const float *p = take(f, BASE_COUNT(f->pixels)), *l = take(f, N);
    for (int i = 0; i < BASE_COUNT(f->pixels); i++)
        f->pixels[i] = (uint8_t)p[i];
    for (int i = 0; i < N; i++)
        f->labels[i] = (uint16_t)l[i];
    f->loss = *take(f, 1);
}

/* The script's Net. */
static struct graph *network(void)
{
    struct graph *g = net_start(8, 8, 3);
    int a = net_relu(g, net_bn(g, net_conv(g, 0, 8, 3, 3, 1, net_pad1, false)), GRAPH_RELU);
    int x = net_relu(g, net_add(g, net_bn(g, net_conv(g, a, 8, 3, 3, 1, net_pad1, false)), a), GRAPH_RELU);
    x = net_relu(g, net_bn(g, net_depthwise(g, x, 3, 2, net_pad1)), GRAPH_RELU6);
    x = net_relu(g, net_bn(g, net_conv(g, x, 16, 1, 1, 1, net_pad0, false)), GRAPH_RELU);
    x = net_relu(g, net_bn(g, net_depthwise(g, x, 3, 1, net_pad1)), GRAPH_RELU);
    x = net_relu(g, net_conv(g, x, 8, 3, 3, 1, net_pad1, true), GRAPH_RELU);
    x = net_pool(g, x, GRAPH_MAXPOOL, 2, 2, 2, net_pad0);
    x = net_relu(g, net_bn(g, net_conv(g, x, 8, 3, 3, 2, net_pad1, false)), GRAPH_RELU);
    x = net_pool(g, x, GRAPH_AVGPOOL, 1, 1, 1, net_pad0);
    return net_end(g, net_dense(g, x, 5, true));
}

/* Largest difference within each output channel, against that channel's largest value; where all of a channel is
 * small beside the array's largest, against a part of that. (PyTorch's own float32 is up to 7e-6 away from its double.) */
static void same(const float *got, const float *want, int channels, size_t each, double tolerance, const char *what, const struct graph_node *n)
{
    double all = 1e-3;
    for (size_t i = 0; i < each * (size_t)channels; i++)
        all = fmax(all, fabs((double)want[i]));
    for (int c = 0; c < channels; c++, got += each, want += each) {
        double top = 0.25 * all, gap = 0;
        for (size_t i = 0; i < each; i++) {
            top = fmax(top, fabs((double)want[i]));
            gap = fmax(gap, fabs((double)got[i] - (double)want[i]));
        }
        if (!(gap <= tolerance * top))
            fail_msg("node '%s', channel %d: %s differs by %g of %g", n->name, c, what, gap, top);
    }
}

enum stage { START, GRADIENT, AFTER_SGD, AFTER_ADAM };

static void one_array(struct golden *f, struct nn *m, int node, char which, float *value, size_t each, enum stage stage)
{
    const struct graph_node *n = &nn_graph(m)->node[node];
    size_t size = each * (size_t)n->shape.c;
    const float *start = take(f, size), *grad = take(f, size), *sgd = take(f, size), *adam = take(f, size);
    switch (stage) {
    case START: memcpy(value, start, size * sizeof *value); break;
    case GRADIENT: same(nn_gradient_of(m, node, which), grad, n->shape.c, each, 3e-4, "the gradient", n); break;
    case AFTER_SGD: same(value, sgd, n->shape.c, each, 5e-5, "the value after SGD", n); break;
    case AFTER_ADAM: same(value, adam, n->shape.c, each, 2e-4, "the value after AdamW", n); break;
    }
}

/* Every array of the network in the file's order, to be set or compared. */
static void all_arrays(struct golden *f, struct nn *m, enum stage stage)
{
    struct graph *g = nn_graph(m);
    size_t from = f->at;
    for (int i = 0; i < g->n_node; i++) {
        struct graph_node *n = &g->node[i];
        if (n->weight) {
            one_array(f, m, i, 'w', n->weight, (size_t)(n->kh * n->kw) * (n->depthwise ? 1 : (size_t)g->node[n->in[0]].shape.c), stage);
            if (n->bias)
                one_array(f, m, i, 'b', n->bias, 1, stage);
        } else if (n->gamma) {
            one_array(f, m, i, 'g', n->gamma, 1, stage);
            one_array(f, m, i, 'e', n->beta, 1, stage);
            const float *mean = take(f, (size_t)n->shape.c), *var = take(f, (size_t)n->shape.c);
            for (int c = 0; c < n->shape.c && stage == START; c++)
                n->mean[c] = 0, n->var[c] = 1;
            if (stage == AFTER_SGD) {
                same(n->mean, mean, n->shape.c, 1, 5e-5, "the running mean", n);
                same(n->var, var, n->shape.c, 1, 5e-5, "the running variance", n);
            }
        }
    }
    assert_int_equal(f->at, f->n);
    f->at = from;
}

static void step(struct nn *m, const struct golden *f, double *loss)
{
    const struct nn_loss_options l = { .label_smoothing = 0.1f, .temperature = 1 };
    assert_ok(nn_gradient(m, f->pixels, f->labels, N, &l, NULL, loss, NULL));
}

static void equals_torch(void **state)
{
    (void)state;
    struct golden f;
    double loss;
    golden_open(&f);
    struct graph *g = network();
    struct nn *m = net_engine(g, N, true, 2);
    all_arrays(&f, m, START);
    step(m, &f, &loss);
    assert_true(fabs(loss - (double)f.loss) < 1e-6);
    all_arrays(&f, m, GRADIENT);
    all_arrays(&f, m, START);
    for (int i = 0; i < STEPS; i++) {
        step(m, &f, NULL);
        nn_sgd_step(m, &(struct nn_sgd){ .lr = 0.05f, .momentum = 0.9f, .weight_decay = 0.01f, .nesterov = true });
    }
    all_arrays(&f, m, AFTER_SGD);
    nn_free(m);
    m = net_engine(g, N, true, 1);
    all_arrays(&f, m, START);
    struct nn_adam adam = NN_ADAM_INIT;
    adam.lr = 0.01f;
    adam.epsilon = 1e-3f;                /* values whose gradient is next to nothing stay put */
    adam.weight_decay = 0.1f;
    for (int i = 1; i <= STEPS; i++) {
        step(m, &f, NULL);
        nn_adam_step(m, &adam, i);
    }
    all_arrays(&f, m, AFTER_ADAM);
    nn_free(m);
    graph_free(g);
    base_free(f.v);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(equals_torch) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
