/* dist: training by several ranks against training alone: the program starts itself under mpirun. Each rank trains
 * alone first, then with the others. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>
#include <signal.h>

#include "dist/dist.h"
#include "nn_nets.h"
#include "ranked.h"

enum { BATCH = 18, STEPS = 20 };

static int fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    const struct nn *m = ctx;
    size_t image = nn_image_bytes(m);
    struct base_rng r;
    base_rng_stream(&r, 99, (uint64_t)(batch % 5));
    for (int i = 0; i < n; i++) {
        labels[i] = (uint16_t)base_rng_below(&r, (uint32_t)nn_classes(m));
        for (size_t k = 0; k < image; k++)
            pixels[(size_t)i * image + k] = (uint8_t)((base_rng_below(&r, 120) + 40 * labels[i] + k) % 256);
    }
    return BASE_OK;
}

struct trained { struct graph *g; struct nn *m; struct nn_quant *q; double loss[STEPS]; int steps; struct dist_traffic traffic; int rc; };

static int note(void *ctx, const struct nn_train_report *r)
{
    struct trained *t = ctx;
    t->loss[t->steps++] = r->loss;
    return BASE_OK;
}

/* 4 bits everywhere, learned scales. */
static void quantize(struct trained *t)
{
    assert_ok(nn_quant_new(&t->q, t->g, nn_layers(t->m)));
    for (int l = 0; l < t->q->n_layer; l++)
        for (int k = 0; k < GRAPH_MAX_TERM; k++)
            if (t->q->layer[l].term[k].w_scale) {
                t->q->layer[l].term[k].w_bits = 4;
                for (int o = 0; o < t->g->node[nn_layers(t->m)->layer[l].term[k].node].shape.c; o++)
                    t->q->layer[l].term[k].w_scale[o] = 0.08f;
            }
    for (int e = 1; e < t->q->n_edge - 1; e++)
        t->q->edge[e] = (struct nn_quant_edge){ .bits = 4, .is_signed = nn_layers(t->m)->layer[e - 1].relu == GRAPH_INPUT, .scale = 0.2f };
    t->q->learn_edge_scale = t->q->learn_weight_scale = true;
    t->q->scale_lr = 0.1f;
    assert_ok(nn_set_quant(t->m, t->q));
}

static struct nn_train_options options(struct trained *t)
{
    struct nn_train_options o = NN_TRAIN_OPTIONS_INIT;
    o.epochs = STEPS;
    o.batches_per_epoch = 1;
    o.batch = BATCH;
    o.lr = 0.01f;
    o.warmup = 3;
    o.epoch_done = note;
    o.ctx = t;
    return o;
}

static void train(struct trained *t, struct graph *g, struct dist *d, const struct dist_code *code, bool quant)
{
    struct dist_gradients *gradients = NULL;
    *t = (struct trained){ .g = g };
    t->m = net_engine(g, BATCH, true, 1);
    if (quant)
        quantize(t);
    struct nn_train_options o = options(t);
    if (d) {
        assert_ok(dist_gradients_new(&gradients, d, code));
        o.ranks = dist_gradients_ranks(gradients);
    }
    assert_ok(nn_train(t->m, &(struct nn_source){ fill, t->m }, &o, NULL));
    if (d)
        t->traffic = dist_gradients_traffic(gradients);
    dist_gradients_free(gradients);
}

static void end(struct trained *t)
{
    nn_free(t->m);
    nn_quant_free(t->q);
    graph_free(t->g);
}

static double apart(const float *a, const float *b, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; a && i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* Largest difference of losses, weights, batch norms and learned scales. */
static double difference(const struct trained *a, const struct trained *b)
{
    double most = 0;
    for (int i = 0; i < STEPS; i++)
        most = fmax(most, fabs(a->loss[i] - b->loss[i]));
    for (int i = 0; i < a->g->n_node; i++) {
        const struct graph_node *p = &a->g->node[i], *q = &b->g->node[i];
        int64_t c = p->shape.c, weights = p->weight ? (int64_t)p->kh * p->kw * c * (p->depthwise ? 1 : a->g->node[p->in[0]].shape.c) : 0;
        if (p->op == GRAPH_DENSE)
            weights = c * a->g->node[p->in[0]].shape.h * a->g->node[p->in[0]].shape.w * a->g->node[p->in[0]].shape.c;
        most = fmax(most, apart(p->weight, q->weight, weights));
        most = fmax(fmax(most, apart(p->bias, q->bias, c)), fmax(apart(p->gamma, q->gamma, c), apart(p->beta, q->beta, c)));
        most = fmax(most, fmax(apart(p->mean, q->mean, c), apart(p->var, q->var, c)));
    }
    for (int e = 1; a->q && e < a->q->n_edge; e++)
        most = fmax(most, fabs((double)a->q->edge[e].scale - (double)b->q->edge[e].scale));
    return most;
}

/* ---- what each rank does ---------------------------------------------------------------------- */

static int equals_alone(struct dist *d, struct graph *(*net)(void), bool quant, const char *name)
{
    struct trained alone, together;
    const struct dist_code exact = DIST_CODE_INIT;
    train(&alone, net(), NULL, NULL, quant);
    train(&together, net(), d, &exact, quant);
    double most = difference(&alone, &together);
    printf("# %d ranks, %s%s: losses, weights and statistics within %.1e\n", dist_ranks(d), name, quant ? ", 4 bits" : "", most);
    fflush(stdout);
    end(&alone);
    end(&together);
    return most < 1e-5 ? 0 : 1;
}

static int ranked_equal(struct dist *d)
{
    return equals_alone(d, net_residual, false, "residual") | equals_alone(d, net_convs, false, "convolutions") | equals_alone(d, net_dense_chain, false, "dense") |
           equals_alone(d, net_depthwise_chain, false, "depthwise") | equals_alone(d, net_residual, true, "residual");
}

/* Each packed method learns, sends less, and twice the same bits; ranks agree (nn_train would fail otherwise). */
static int ranked_packed(struct dist *d)
{
    struct trained exact, t, again;
    struct dist_code code = DIST_CODE_INIT;
    int bad = 0;
    code.bucket = 64;
    train(&exact, net_residual(), d, &code, false);
    for (int k = 0; k < 6; k++) {
        code.method = k % 2 ? DIST_ECQ : DIST_QSGD;
        code.bits = 2 << k / 2;
        train(&t, net_residual(), d, &code, false);
        train(&again, net_residual(), d, &code, false);
        bool learns = t.loss[STEPS - 1] < 0.8 * t.loss[0], less = t.traffic.gradient_bytes < exact.traffic.gradient_bytes, same = difference(&t, &again) == 0;
        printf("# %d ranks, %s, %d bits: loss %.3f to %.3f (exact %.3f), %.0f of %.0f bytes%s\n", dist_ranks(d), k % 2 ? "ecq" : "qsgd", code.bits, t.loss[0], t.loss[STEPS - 1],
               exact.loss[STEPS - 1], t.traffic.gradient_bytes / STEPS, exact.traffic.gradient_bytes / STEPS, same ? "" : ", another time other bits");
        fflush(stdout);
        bad |= !learns || !less || !same;
        end(&t);
        end(&again);
    }
    end(&exact);
    return bad;
}

/* Statistics of each rank's own part: another training, but one that learns, and on which the ranks agree. */
static int ranked_local(struct dist *d)
{
    struct trained alone, t;
    struct dist_code code = DIST_CODE_INIT;
    code.local_batchnorm = true;
    train(&alone, net_residual(), NULL, NULL, false);
    train(&t, net_residual(), d, &code, false);
    double sum[2] = { (double)t.g->node[2].mean[0], t.loss[STEPS - 1] }, own[2] = { sum[0], sum[1] };
    int bad = dist_sum(d, sum, 2) || fabs(sum[0] - own[0] * dist_ranks(d)) > 1e-6 || fabs(sum[1] - own[1] * dist_ranks(d)) > 1e-6;
    bad |= !(t.loss[STEPS - 1] < 0.8 * t.loss[0]) || difference(&alone, &t) < 1e-4;
    end(&alone);
    end(&t);
    return bad;
}

static int die(void *ctx, const struct nn_train_report *r)
{
    return r->step == 3 && dist_rank(ctx) == 1 ? raise(SIGKILL) : BASE_OK;
}

/* The launcher lets a rank die: rank 0 gives up, with a checkpoint of the step that had begun. */
static int ranked_silent(struct dist *d)
{
    struct trained t = { .g = net_residual() };
    struct dist_gradients *gradients;
    struct dist_code code = DIST_CODE_INIT;
    code.silence_s = 0.5;
    t.m = net_engine(t.g, BATCH, true, 1);
    assert_ok(dist_gradients_new(&gradients, d, &code));
    struct nn_train_options o = options(&t);
    o.epoch_done = die;
    o.ctx = d;
    const char *dir = dist_rank(d) ? "/nowhere" : unit_scratch();
    o.checkpoint = unit_path(dir, "silent.ckpt");
    o.checkpoint_steps = STEPS;
    o.ranks = dist_gradients_ranks(gradients);
    int rc = nn_train(t.m, &(struct nn_source){ fill, t.m }, &o, NULL);
    int64_t step = 0;
    if (dist_rank(d) == 0 && rc == BASE_STOPPED && !nn_checkpoint_read(t.m, o.checkpoint, &step))
        printf("# a checkpoint of step %d\n", (int)step);
    fflush(stdout);
    unit_remove(dir);
    dist_gradients_free(gradients);
    end(&t);
    return 1;                            /* there is nobody to end with */
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void equals_training_alone(void **state)
{
    (void)state;
    for (int n = 2; n <= 4; n++)
        ranked_launch(n, "equal");
}

static void packed_gradients_train(void **state)
{
    (void)state;
    ranked_launch(3, "packed");
}

static void local_statistics_train(void **state)
{
    (void)state;
    ranked_launch(2, "local");
}

static void a_dead_rank_is_not_waited_for(void **state)
{
    (void)state;
    static char out[65536];
    setenv("OMPI_MCA_orte_enable_recovery", "1", 1);
    int rc = ranked_try(2, "silent", out, sizeof out);   /* which mpirun makes 0 of the abort */
    unsetenv("OMPI_MCA_orte_enable_recovery");
    if (!strstr(out, "no answer of another rank for 0.5 s") || !strstr(out, "# a checkpoint of step 3"))
        fail_msg("exit %d\n%s", rc, out);
}

int main(int argc, char **argv)
{
    const struct ranked_part parts[] = { { "equal", ranked_equal }, { "packed", ranked_packed }, { "local", ranked_local }, { "silent", ranked_silent } };
    if (argc > 1)
        return ranked_run(argv[1], parts, BASE_COUNT(parts));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_training_alone),
        cmocka_unit_test(packed_gradients_train),
        cmocka_unit_test(local_statistics_train),
        cmocka_unit_test(a_dead_rank_is_not_waited_for),
    };
    return ranked_self(argv[0]) ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
