/* prune_lasso.c: channels chosen by a LASSO on their contributions to the readers' outputs, then the readers'
 * weights by least squares.
 *
 * He, Zhang, Sun: "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017. A channel's
 * contribution is its inputs times its old weights, normed to length 1; where several layers read it
 * (a residual stream), their problems are added, each over its outputs' variance. */
#include <math.h>
#include <string.h>

#include "compress/prune_refit.h"
#include "tensor/tensor.h"

/* ---- the LASSO ------------------------------------------------------------------------ */

enum { SWEEPS = 200, HALVINGS = 40 };

static double shrink(double v, double by)
{
    return v > by ? v - by : v < -by ? v + by : 0;
}

/* Coordinate descent from the beta that is there; rest = h - G beta. */
static void descend(double *beta, double *rest, const double *g, int n, double lambda, double tolerance)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double moved = 0;
        for (int i = 0; i < n; i++) {
            const double *row = g + (size_t)i * (size_t)n;
            double next = row[i] > 0 ? shrink(rest[i] + row[i] * beta[i], lambda) / row[i] : 0, step = next - beta[i];
            if (!(step < 0 || step > 0))
                continue;
            for (int k = 0; k < n; k++)
                rest[k] -= row[k] * step;
            beta[i] = next;
            moved = fmax(moved, fabs(step) * sqrt(row[i]));
        }
        if (moved < tolerance)
            break;
    }
}

static int count_nonzero(const double *beta, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += beta[i] < 0 || beta[i] > 0;
    return count;
}

/* The coefficients at lambda 0 are those of all channels; from lambda_max on there are none. */
int prune_lasso_path(double *beta, const double *g, const double *h, int n, int count)
{
    double *b = BASE_NEW_N(double, n), *rest = BASE_NEW_N(double, n), lo = 0, hi = 0;
    int least = n + 1;
    if (!b || !rest) {
        base_free(b);
        base_free(rest);
        return BASE_NOMEM;
    }
    for (int i = 0; i < n; i++)
        hi = fmax(hi, fabs(h[i]));
    memcpy(rest, h, sizeof *rest * (size_t)n);
    double tolerance = 1e-7 * sqrt(hi) + 1e-300, lambda = hi;
    for (int k = 0; k <= HALVINGS && least != count; k++) {
        lambda = k < HALVINGS ? (lo + hi) / 2 : lo;
        descend(b, rest, g, n, lambda, tolerance);
        int now = count_nonzero(b, n);
        if (now >= count && now < least) {
            least = now;
            memcpy(beta, b, sizeof *b * (size_t)n);
        }
        *(now >= count ? &lo : &hi) = lambda;
    }
    if (least > n)                       /* fewer channels than asked for say anything at all */
        memcpy(beta, b, sizeof *b * (size_t)n);
    base_free(b);
    base_free(rest);
    return BASE_OK;
}

/* ---- the problem of a block --------------------------------------------------------------- */

struct problem {
    const struct prune_job *j;
    int n, *index;         /* units of the block; [n_unit]: 0..n-1 or -1 */
    double *g, *h, *norm;  /* [n][n], [n], [n]: squared lengths of the units' weights */
};

/* H = S o (W'W) summed over the channels' inputs; weights behind the batch norm's gain. */
static int add_reader(struct problem *p, const struct prune_reader *r)
{
    size_t k = (size_t)r->k;
    const float *weight = p->j->now->node[r->node].weight;
    float *w = BASE_NEW_N(float, k * (size_t)r->cout), *q = BASE_NEW_N(float, k * k);
    int *unit = BASE_NEW_N(int, k);
    int rc = w && q && unit ? BASE_OK : BASE_NOMEM;
    for (size_t i = 0; !rc && i < k * (size_t)r->cout; i++)
        w[i] = weight[i] * r->gain[i / k];
    if (!rc)
        tensor_gemm(q, w, true, w, false, r->k, r->k, r->cout, 1, 0);
    for (int a = 0; !rc && a < r->k; a++)
        unit[a] = p->index[prune_input_unit(p->j, r, a)];
    for (int a = 0; !rc && a < r->k; a++) {
        if (unit[a] < 0)
            continue;
        double *row = p->g + (size_t)unit[a] * (size_t)p->n, wanted = 0;
        for (int o = 0; o < r->cout; o++)
            wanted += (double)(w[(size_t)o * k + (size_t)a] * r->gain[o]) * (double)r->r[(size_t)a * (size_t)r->cout + (size_t)o];
        for (int b = 0; b < r->k; b++) {
            double v = (double)r->s[(size_t)a * k + (size_t)b] * (double)q[(size_t)a * k + (size_t)b] / r->energy;
            if (unit[b] < 0)
                p->h[unit[a]] -= v;
            else
                row[unit[b]] += v;
        }
        p->h[unit[a]] += wanted / r->energy;
        p->norm[unit[a]] += (double)q[(size_t)a * k + (size_t)a] / r->energy;
    }
    base_free(w);
    base_free(q);
    base_free(unit);
    return rc;
}

/* Each unit's weights to length 1. */
static void normalize(struct problem *p)
{
    for (int a = 0; a < p->n; a++)
        p->norm[a] = p->norm[a] > 0 ? 1 / sqrt(p->norm[a]) : 0;
    for (int a = 0; a < p->n; a++) {
        p->h[a] *= p->norm[a];
        for (int b = 0; b < p->n; b++)
            p->g[(size_t)a * (size_t)p->n + (size_t)b] *= p->norm[a] * p->norm[b];
    }
}

static int choose(struct problem *p, int block, double *score)
{
    const struct prune_plan *plan = p->j->plan;
    double *beta = BASE_NEW_N(double, p->n);
    int rc = beta ? prune_lasso_path(beta, p->g, p->h, p->n, plan->count[block]) : BASE_NOMEM;
    for (int u = 0; !rc && u < plan->ch.n_unit; u++)
        if (p->index[u] >= 0)
            score[u] = fabs(beta[p->index[u]]) * sqrt(fmax(p->g[(size_t)p->index[u] * (size_t)(p->n + 1)], 0));
    if (!rc)
        rc = prune_take_best(p->j->keep, plan, block, score);
    base_free(beta);
    return rc;
}

static int problem_new(struct problem *p, const struct prune_job *j, int block)
{
    const struct graph_channels *ch = &j->plan->ch;
    *p = (struct problem){ .j = j, .index = BASE_NEW_N(int, ch->n_unit) };
    for (int u = 0; p->index && u < ch->n_unit; u++)
        p->index[u] = ch->block[u] == block ? p->n++ : -1;
    p->g = BASE_NEW_N(double, (size_t)p->n * (size_t)p->n);
    p->h = BASE_NEW_N(double, p->n);
    p->norm = BASE_NEW_N(double, p->n);
    return p->index && p->g && p->h && p->norm ? BASE_OK : BASE_NOMEM;
}

static void problem_free(struct problem *p)
{
    base_free(p->index);
    base_free(p->g);
    base_free(p->h);
    base_free(p->norm);
}

static int prune_block(struct prune_job *j, int block, double *score)
{
    struct problem p;
    struct prune_readers l = { 0 };
    int rc = problem_new(&p, j, block);
    if (!rc)
        rc = prune_readers_new(&l, j, block);
    for (int i = 0; !rc && i < l.n; i++)
        if (l.reader[i].energy > 0)
            rc = add_reader(&p, &l.reader[i]);
    if (!rc) {
        normalize(&p);
        rc = choose(&p, block, score);
    }
    for (int u = 0; !rc && u < j->plan->ch.n_unit; u++)
        if (p.index[u] >= 0 && !j->keep[u])
            prune_zero(j, u);
    for (int i = 0; !rc && i < l.n; i++)
        rc = prune_refit(j, &l.reader[i], j->keep);
    prune_readers_free(&l);
    problem_free(&p);
    return rc;
}

int prune_lasso(struct prune_job *j)
{
    int n = 0, *order = BASE_NEW_N(int, j->plan->ch.n_block);
    double *score = BASE_NEW_N(double, j->plan->ch.n_unit);
    int rc = order && score ? prune_allow_bias(j) : BASE_NOMEM;
    if (!rc)
        prune_block_order(order, &n, j);
    for (int i = 0; !rc && i < n; i++)
        rc = prune_block(j, order[i], score);
    base_free(order);
    base_free(score);
    return rc;
}
