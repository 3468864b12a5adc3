/* bench: how fast the engine trains and infers, against what the cores' multiply-add units could do.
 *   bench-train [THREADS [SECONDS]]      `make bench-train`
 * Random images, batch 128; the best and the median step of SECONDS (5) per row. Training
 * counts 6 FLOP a multiply-accumulate of the network, inference 2. */
#include <stdlib.h>

#include "nn/kernels.h"
#include "nn/nn.h"

enum { BATCH = 128, MAX_STEPS = 4096 };

/* ---- the peak ------------------------------------------------------------------------- */

enum { CHAINS = 12, ROUNDS = 4000000 };  /* independent sums: latency 4 x 2 units, and some to spare */

static void multiply_add(void *ctx, int index, int worker)
{
    float *sink = ctx;
    nn_v8 a[CHAINS], x = nn_splat(0.9999f), y = nn_splat(1e-4f);
    (void)worker;
    for (int i = 0; i < CHAINS; i++)
        a[i] = x + (float)i;
    for (int r = 0; r < ROUNDS; r++)
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++)
            a[i] = a[i] * x + y;
    for (int i = 0; i < CHAINS; i++)
        sink[index] += a[i][0];
}

static double peak_gflops(struct base_pool *pool)
{
    int threads = base_pool_threads(pool);
    float *sink = BASE_NEW_N(float, threads);
    double best = 0;
    for (int i = 0; sink && i < 5; i++) {
        double start = base_seconds();
        base_pool_run(pool, threads, multiply_add, sink);
        double rate = 16.0 * CHAINS * ROUNDS * threads / (base_seconds() - start) / 1e9;
        best = BASE_MAX(best, rate);
    }
    base_free(sink);
    return best;
}

/* ---- a network ---------------------------------------------------------------------------- */

struct subject {
    struct graph *g;
    struct nn *m;
    uint8_t *pixels;
    uint16_t labels[BATCH];
    float *logits;
};

static void subject_close(struct subject *s)
{
    nn_free(s->m);
    graph_free(s->g);
    base_free(s->pixels);
    base_free(s->logits);
}

static int subject_open(struct subject *s, const char *name, struct base_pool *pool, bool training)
{
    struct nn_options o = { .pool = pool, .max_batch = BATCH, .training = training };
    struct base_rng r;
    base_rng_seed(&r, 1);
    *s = (struct subject){ .g = NULL };
    int rc = graph_zoo(&s->g, name);
    if (rc)
        return rc;
    nn_init_parameters(s->g, 1);
    if ((rc = nn_new(&s->m, s->g, &o)))
        return rc;
    size_t bytes = nn_image_bytes(s->m) * BATCH;
    s->pixels = base_alloc(bytes);
    s->logits = BASE_NEW_N(float, BATCH * nn_classes(s->m));
    if (!s->pixels || !s->logits)
        return BASE_NOMEM;
    for (size_t i = 0; i < bytes; i++)
        s->pixels[i] = (uint8_t)base_rng_below(&r, 256);
    for (int i = 0; i < BATCH; i++)
        s->labels[i] = (uint16_t)base_rng_below(&r, (uint32_t)nn_classes(s->m));
    return BASE_OK;
}

static int step(struct subject *s, bool training)
{
    static const struct nn_loss_options loss = NN_LOSS_OPTIONS_INIT;
    if (!training)
        return nn_forward(s->m, s->pixels, BATCH, s->logits);
    int rc = nn_gradient(s->m, s->pixels, s->labels, BATCH, &loss, NULL, NULL, NULL);
    if (!rc)
        nn_sgd_step(s->m, &(struct nn_sgd){ .lr = 0.01f, .momentum = 0.9f, .weight_decay = 5e-4f, .nesterov = true });
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double network_macs(const struct graph *g)
{
    double macs = 0;
    for (int i = 0; i < g->n_node; i++)
        macs += (double)graph_macs(g, i);
    return macs;
}

static int bench(const char *name, struct base_pool *pool, bool training, double seconds, double peak)
{
    static double took[MAX_STEPS];
    struct subject s;
    int n = 0, rc = subject_open(&s, name, pool, training);
    if (!rc)
        rc = step(&s, training);         /* pages and caches */
    for (double start = base_seconds(); !rc && n < MAX_STEPS && (n < 3 || base_seconds() - start < seconds); n++) {
        double from = base_seconds();
        rc = step(&s, training);
        took[n] = base_seconds() - from;
    }
    if (!rc) {
        qsort(took, (size_t)n, sizeof took[0], by_value);
        double best = BATCH / took[0], flops = (training ? 6 : 2) * network_macs(s.g) * best / 1e9;
        printf("%-12s %-6s %9.0f %9.0f %9.1f %7.0f\n", name, training ? "train" : "infer", BATCH / took[n / 2], best, flops, 100 * flops / peak);
    }
    subject_close(&s);
    return rc;
}

int main(int argc, char **argv)
{
    static const char *const nets[] = { "fmnist-cnn", "resnet20" };
    int threads = argc > 1 ? atoi(argv[1]) : 2, rc = BASE_OK;
    double seconds = argc > 2 ? atof(argv[2]) : 5;
    struct base_pool *pool = base_pool_new(threads);
    if (!pool)
        return base_exit_code(BASE_NOMEM);
    double peak = peak_gflops(pool);
    printf("%d threads, batch %d, multiply-add peak %.0f GFLOP/s\n", base_pool_threads(pool), BATCH, peak);
    printf("%-12s %-6s %9s %9s %9s %7s\n", "network", "", "images/s", "best", "GFLOP/s", "% peak");
    for (int i = 0; !rc && i < BASE_COUNT(nets); i++)
        for (int training = 1; !rc && training >= 0; training--)
            rc = bench(nets[i], pool, training, seconds, peak);
    base_pool_free(pool);
    if (rc)
        fprintf(stderr, "bench-train: %s\n", base_error());
    return base_exit_code(rc);
}
