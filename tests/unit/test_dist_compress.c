/* dist: fine-tuning by several ranks against fine-tuning alone: the program starts itself under mpirun. Each rank applies a
 * recipe alone first, then with the others. */
#define _GNU_SOURCE
#include "compress_bars.h"

#include "dist/dist.h"
#include "ranked.h"

enum { BATCH = 18, STEPS = 20 };

static struct compress_options options(const struct nn_ranks *ranks)
{
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    o.batch = BATCH;
    o.batchnorm_images = 0;          /* running statistics stay what training made of them */
    o.ranks = ranks;
    return o;
}

static void steps(struct compress_recipe *r, const struct fixture *f, int w, int a)
{
    recipe(r, f, w, a, COMPRESS_SHORT);
    r->finetune.epochs = 1;
    r->finetune.images = STEPS * BATCH;
}

/* ---- what is compared -------------------------------------------------------------------------- */

static double apart(const float *a, const float *b, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; a && b && i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return !a == !b ? most : INFINITY;
}

static double nodes_apart(double *statistics, const struct graph *a, const struct graph *b)
{
    double most = a->n_node == b->n_node ? 0 : INFINITY;
    for (int i = 0; i < a->n_node && i < b->n_node; i++) {
        const struct graph_node *p = &a->node[i], *q = &b->node[i];
        int64_t c = p->shape.c, weights = !p->weight ? 0 : c * (p->op == GRAPH_DENSE ? (int64_t)a->node[p->in[0]].shape.h * a->node[p->in[0]].shape.w : (int64_t)p->kh * p->kw) * a->node[p->in[0]].shape.c;
        most = fmax(most, p->shape.c == q->shape.c ? apart(p->weight, q->weight, weights) : INFINITY);
        most = fmax(fmax(most, apart(p->bias, q->bias, c)), fmax(apart(p->gamma, q->gamma, c), apart(p->beta, q->beta, c)));
        *statistics = fmax(*statistics, fmax(apart(p->mean, q->mean, c), apart(p->var, q->var, c)));
    }
    return most;
}

static double term_apart(const struct compress_model *a, const struct compress_model *b, int layer, int term)
{
    const struct nn_quant_term *p = &a->quant->layer[layer].term[term], *q = &b->quant->layer[layer].term[term];
    const struct graph_node *n = &a->graph->node[BASE_MAX(a->layers.layer[layer].term[term].node, 0)];
    if (!p->w_bits)
        return 0;
    double most = apart(p->w_scale, q->w_scale, n->shape.c);
    if (p->mask)
        most = fmax(most, apart(p->mask, q->mask, (int64_t)n->shape.c * n->kh * n->kw * a->graph->node[n->in[0]].shape.c));
    return p->levels ? fmax(most, apart(p->levels->value, q->levels->value, (int64_t)p->levels->rows * p->levels->planes)) : most;
}

/* Largest difference of weights, batch norms, learned scales and levels, masks; and of batch norms' statistics. */
static double difference(double *statistics, const struct compress_model *a, const struct compress_model *b)
{
    double most = nodes_apart(statistics, a->graph, b->graph);
    for (int i = 0; i < a->layers.n; i++)
        for (int t = 0; t < a->layers.layer[i].n_term; t++)
            most = fmax(most, term_apart(a, b, i, t));
    for (int e = 1; e < a->layers.n_edge; e++)
        most = fmax(most, fabs((double)a->quant->edge[e].scale - (double)b->quant->edge[e].scale));
    return most;
}

/* Edge 1's scale before it is trained. */
static float first_scale(const struct fixture *f, const struct compress_recipe *r)
{
    struct compress_options o = options(NULL);
    struct compress_recipe fast;
    struct compress_model *m;
    assert_ok(compress_recipe_copy(&fast, r));
    fast.finetune.mode = COMPRESS_FAST;
    o.val_images = -1;
    assert_ok(compress_apply(&m, f->cache, &fast, &o));
    float scale = m->quant->edge[1].scale;
    compress_model_free(m);
    compress_recipe_free(&fast);
    return scale;
}

/* ---- what each rank does ------------------------------------------------------------------------ */

/* Rank 0's is measured, the others' is not. Of statistics and loss a value at the border of two codes may be on its other side: all
 * else equal, one such value in a batch is 1e-5 of a variance. */
static int equals_alone(struct dist *d, struct fixture *f, struct compress_recipe *r, const char *name)
{
    struct dist_gradients *gradients;
    struct compress_model *alone, *together;
    const struct dist_code exact = DIST_CODE_INIT;
    bool first = dist_rank(d) == 0;
    assert_ok(dist_gradients_new(&gradients, d, &exact));
    struct compress_options o = options(NULL), shared = options(dist_gradients_ranks(gradients));
    assert_ok(compress_apply(&alone, f->cache, r, &o));
    assert_ok(compress_apply(&together, f->cache, r, &shared));
    double measured = first ? fabs(alone->val.loss - together->val.loss) : 0, most = difference(&measured, alone, together);
    double moved = fabs((double)together->quant->edge[1].scale - (double)first_scale(f, r));
    printf("# rank %d of %d, %s: what was trained within %.1e, statistics%s within %.1e (a scale moved by %.1e)\n", dist_rank(d), dist_ranks(d), name, most, first ? " and loss" : "", measured, moved);
    fflush(stdout);
    int bad = !(most < 1e-5) || !(measured < 1e-3) || (moved > 0) == r->finetune.fixed_scales;
    bad |= together->val.n != (first ? N_VAL : 0) || dist_gradients_traffic(gradients).steps != STEPS;
    compress_model_free(alone);
    compress_model_free(together);
    compress_recipe_free(r);
    dist_gradients_free(gradients);
    return bad;
}

static int ranked_equal(struct dist *d)
{
    void *state;
    struct compress_recipe r;
    set_up(&state);
    struct fixture *f = state;

    steps(&r, f, 4, 4);
    r.quantize.rounding = COMPRESS_ADAPTIVE;
    r.distill.weight = 0.5;
    int bad = equals_alone(d, f, &r, "4 bits, learned scales, distillation");

    steps(&r, f, 3, 4);
    r.sparsify = (struct compress_sparsify){ .structure = COMPRESS_BLOCK, .block = 2, .ramp = 0.5, .penalty = 1 };
    for (int i = 1; i < r.n; i++)
        r.layer[i].sparsity = r.layer[i].w_bits ? 0.5 : 0;
    bad |= equals_alone(d, f, &r, "3 bits, half of the blocks 0 by group lasso");

    steps(&r, f, 4, 4);
    for (int i = 0; i < r.n; i++)
        if (r.layer[i].w_bits == 4) {
            r.layer[i].levels = i % 2 ? COMPRESS_CODEBOOK : COMPRESS_BASIS;
            r.layer[i].w_bits = 2;
            r.layer[i].planes = i % 2 ? 4 : 0;
        }
    bad |= equals_alone(d, f, &r, "learned levels");

    steps(&r, f, 4, 6);
    r.prune.round = 4;
    for (int i = 0; i < r.n; i++)
        r.layer[i].keep = 0.5;
    assert_ok(compress_recipe_settle(&r, compress_cache_graph(f->cache), compress_cache_layers(f->cache), 4));
    r.finetune.fixed_scales = true;
    r.distill.weight = 1;
    bad |= equals_alone(d, f, &r, "half of the channels, fixed scales, taught by the whole network");
    tear_down(&state);
    return bad;
}

/* Without fine-tuning no rank waits for another, and rank 0 alone measures. */
static int ranked_fast(struct dist *d)
{
    void *state;
    struct dist_gradients *gradients;
    struct compress_recipe r;
    struct compress_model *m;
    const struct dist_code exact = DIST_CODE_INIT;
    set_up(&state);
    struct fixture *f = state;
    recipe(&r, f, 4, 4, COMPRESS_FAST);
    assert_ok(dist_gradients_new(&gradients, d, &exact));
    struct compress_options o = options(dist_gradients_ranks(gradients));
    int bad = dist_rank(d) == 1 ? 0 : compress_apply(&m, f->cache, &r, &o) || m->val.n != (dist_rank(d) ? 0 : N_VAL);
    if (dist_rank(d) != 1)
        compress_model_free(m);
    compress_recipe_free(&r);
    dist_gradients_free(gradients);
    tear_down(&state);
    return bad;
}

/* ---- tests ---------------------------------------------------------------------------------------- */

static void fine_tuning_equals_that_of_one(void **state)
{
    (void)state;
    for (int n = 2; n <= 3; n++)
        ranked_launch(n, "equal");
}

static void fast_recipe_needs_no_others(void **state)
{
    (void)state;
    ranked_launch(2, "fast");
}

int main(int argc, char **argv)
{
    const struct ranked_part parts[] = { { "equal", ranked_equal }, { "fast", ranked_fast } };
    if (argc > 1)
        return ranked_run(argv[1], parts, BASE_COUNT(parts));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fine_tuning_equals_that_of_one),
        cmocka_unit_test(fast_recipe_needs_no_others),
    };
    return ranked_self(argv[0]) ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
