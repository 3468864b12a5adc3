/* prune_dcp.c: channels chosen for what they tell about the classes and for what they rebuild.
 *
 * Zhuang, Tan, Zhuang, Liu, Guo, Wu, Huang, Zhu: "Discrimination-aware Channel Pruning for Deep Neural Networks",
 * NeurIPS 2018. Starting from none, the channels with the largest gradient of (reconstruction error + the
 * classification loss of a head behind the layer) join. Differently from the paper: heads are fitted to the
 * trained network instead of being trained with it, channels join in ROUNDS batches, and after each the layer's
 * weights are the least-squares solution instead of some hundred steps of descent. */
#include <math.h>
#include <string.h>

#include "compress/prune_heads.h"
#include "compress/prune_refit.h"
#include "tensor/tensor.h"

enum { ROUNDS = 8 };

/* Squared gradient norms of one reader, added to its inputs' units. The constant that a channel brings belongs to the bias:
 * inputs count about their means. */
static int add_gradient(double *score, const struct prune_job *j, struct prune_heads *heads, const struct prune_reader *r)
{
    size_t k = (size_t)r->k;
    const float *w = j->now->node[r->node].weight, *loss, *constant;
    float *d = BASE_NEW_N(float, k * (size_t)r->cout);
    int rc = d ? prune_heads_gradient(&loss, &constant, heads, j, r->node) : BASE_NOMEM;
    if (!rc) {                           /* d [k][cout] = S W' - R */
        memcpy(d, r->r, sizeof *d * k * (size_t)r->cout);
        tensor_gemm(d, r->s, false, w, true, r->k, r->cout, r->k, 1, -1);
    }
    for (size_t i = 0; !rc && i < k; i++) {
        double sum = 0;
        for (int o = 0; o < r->cout; o++) {
            double gain = (double)r->gain[o], rebuild = r->energy > 0 ? 2 * gain * gain * (double)d[i * (size_t)r->cout + (size_t)o] / r->energy : 0;
            double g = rebuild + gain * ((double)loss[(size_t)o * k + i] - r->mean_x[i] * (double)constant[o]);
            sum += g * g;
        }
        score[prune_input_unit(j, r, (int)i)] += sum;
    }
    base_free(d);
    return rc;
}

/* The `more` units of the largest score that are not in yet. */
static void join(bool *in, const struct prune_plan *p, int block, const double *score, int more)
{
    for (; more > 0; more--) {
        int best = -1;
        for (int u = 0; u < p->ch.n_unit; u++)
            if (p->ch.block[u] == block && !in[u] && (best < 0 || score[u] > score[best]))
                best = u;
        if (best < 0)
            return;
        in[best] = true;
    }
}

static int refit_all(const struct prune_job *j, const struct prune_readers *l, const bool *in)
{
    int rc = BASE_OK;
    for (int i = 0; !rc && i < l->n; i++)
        rc = prune_refit(j, &l->reader[i], in);
    return rc;
}

/* in [n_unit]: everything but the block comes true and stays so. */
static int grow(bool *in, struct prune_job *j, struct prune_heads *heads, const struct prune_readers *l, int block)
{
    const struct prune_plan *p = j->plan;
    double *score = BASE_NEW_N(double, p->ch.n_unit);
    int rc = score ? refit_all(j, l, in) : BASE_NOMEM;
    for (int round = 0, have = 0; !rc && have < p->count[block]; round++) {
        int more = (p->count[block] - have + ROUNDS - round - 1) / (ROUNDS - round);
        memset(score, 0, sizeof *score * (size_t)p->ch.n_unit);
        for (int i = 0; !rc && i < l->n; i++)
            rc = add_gradient(score, j, heads, &l->reader[i]);
        if (rc)
            break;
        join(in, p, block, score, more);
        have += more;
        rc = refit_all(j, l, in);
    }
    base_free(score);
    return rc;
}

static int prune_block(struct prune_job *j, struct prune_heads *heads, int block)
{
    const struct graph_channels *ch = &j->plan->ch;
    struct prune_readers l = { 0 };
    bool *in = BASE_NEW_N(bool, ch->n_unit);
    int rc = in ? prune_readers_new(&l, j, block) : BASE_NOMEM;
    for (int u = 0; !rc && u < ch->n_unit; u++)
        in[u] = j->keep[u] && ch->block[u] != block;
    if (!rc)
        rc = grow(in, j, heads, &l, block);
    for (int u = 0; !rc && u < ch->n_unit; u++)
        if (ch->block[u] == block && !in[u]) {
            j->keep[u] = false;
            prune_zero(j, u);
        }
    prune_readers_free(&l);
    base_free(in);
    return rc;
}

int prune_dcp(struct prune_job *j)
{
    struct prune_heads heads;
    int n = 0, *order = BASE_NEW_N(int, j->plan->ch.n_block);
    int rc = order ? prune_allow_bias(j) : BASE_NOMEM;
    if (!rc)
        rc = prune_heads_new(&heads, j);
    if (!rc) {
        prune_block_order(order, &n, j);
        for (int i = 0; !rc && i < n; i++)
            rc = prune_block(j, &heads, order[i]);
        prune_heads_free(&heads);
    }
    base_free(order);
    return rc;
}
