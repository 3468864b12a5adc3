/* gp: Bayesian optimization with a Gaussian process (Rasmussen and Williams: "Gaussian Processes for Machine Learning",
 * 2006; expected improvement under constraints: Gardner et al., ICML 2014).
 *
 * What is modelled is accuracy; cycles are known beforehand, so a limit is no chance constraint: candidates keep it. The
 * kernel is a sum of two Matern 5/2: one over each gene by itself, averaged, since layers' losses nearly add up, and
 * one over all genes together, for what does not. Length scales by kind of gene, their mixture and the noise come from
 * marginal likelihood on a small grid, the amplitude in closed form. Nothing is kept between proposals. */
#include "search/search_internal.h"

#include <math.h>
#include <string.h>

#include "tensor/tensor.h"

enum { MAX_POINTS = 200, CANDIDATES = 256, ROUNDS = 3, ELITE = 8, KINDS = 3, GRID = 5, SWEEPS = 1, HYPERS = KINDS + 2 };

/* length[kind] in ranges of a gene; share of the kernel over all genes together; noise, of the amplitude. */
static const double grid[HYPERS][GRID] = {
    {0.25, 0.5, 1, 2, 4}, {0.25, 0.5, 1, 2, 4}, {0.25, 0.5, 1, 2, 4}, {0, 0.25, 0.5, 0.75, 1}, {1e-4, 1e-3, 1e-2, 5e-2, 2e-1},
};
enum { JOINT = KINDS, NOISE };

struct gp {
    const struct search_view *view;
    const struct search_space *space;
    int n, steps;                  /* points; values that a gene can be away from another, at most, plus one */
    const int **point;             /* [n] genes */
    double *y, *alpha;             /* [n]: standing for accuracy, larger is better; K^-1 (y - mean) */
    double *chol;                  /* [n][n], of K */
    double *near, *square;         /* [genes][steps]: Matern, and scaled squared distance, of values so far apart */
    double mean, amplitude;        /* amplitude: variance */
    double hyper[HYPERS];
    int *order;                    /* trials, the best first */
    int n_order;
};

static double matern52(double r)
{
    double s = sqrt(5.0) * r;
    return (1 + s + s * s / 3) * exp(-s);
}

static int kind_of(const struct search_dim *d)
{
    return !search_is_width(d) ? 2 : *d->field == 'w' ? 0 : 1;
}

/* Of each gene's own distances: genes are few small integers, so everything is looked up. */
static void make_tables(struct gp *g)
{
    for (int i = 0; i < g->space->n; i++) {
        const struct search_dim *d = &g->space->dim[i];
        double scale = BASE_MAX(d->hi - d->lo, 1) * g->hyper[kind_of(d)];
        for (int k = 0; k < g->steps; k++) {
            g->near[i * g->steps + k] = matern52(k / scale) / g->space->n;
            g->square[i * g->steps + k] = k / scale * (k / scale) / g->space->n;
        }
    }
}

static double kernel(const struct gp *g, const int *a, const int *b)
{
    double sum = 0, square = 0, joint = g->hyper[JOINT];
    for (int i = 0; i < g->space->n; i++) {
        int at = i * g->steps + (a[i] < b[i] ? b[i] - a[i] : a[i] - b[i]);
        sum += g->near[at];
        square += g->square[at];
    }
    return (1 - joint) * sum + (joint > 0 ? joint * matern52(sqrt(square)) : 0);
}

/* Fits mean and amplitude to the points under the hyper-parameters; the marginal likelihood's logarithm, -INFINITY
 * where the matrix is not definite. */
static double fit(struct gp *g)
{
    int n = g->n;
    double *ones = BASE_NEW_N(double, n), log_det = 0, one_one = 0, one_y = 0, fit = 0;
    if (!ones)
        return -INFINITY;
    make_tables(g);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            g->chol[i * n + k] = g->chol[k * n + i] = kernel(g, g->point[i], g->point[k]);
        g->chol[i * n + i] = 1 + g->hyper[NOISE];
        g->alpha[i] = g->y[i];
        ones[i] = 1;
    }
    if (tensor_cholesky(g->chol, n, "gp")) {
        base_error_clear();
        base_free(ones);
        return -INFINITY;
    }
    tensor_solve_lower(ones, g->chol, false, n, 1);
    tensor_solve_lower(g->alpha, g->chol, false, n, 1);
    for (int i = 0; i < n; i++) {
        one_one += ones[i] * ones[i];
        one_y += ones[i] * g->alpha[i];
        log_det += log(g->chol[i * n + i]);
    }
    g->mean = one_y / one_one;
    for (int i = 0; i < n; i++) {
        g->alpha[i] -= g->mean * ones[i];
        fit += g->alpha[i] * g->alpha[i];
    }
    g->amplitude = BASE_MAX(fit / n, 1e-12);
    tensor_solve_lower(g->alpha, g->chol, true, n, 1);
    base_free(ones);
    return -0.5 * n * log(g->amplitude) - log_det;
}

/* Coordinate-wise over the grid. */
static void choose_hyper(struct gp *g)
{
    bool there[HYPERS] = {false, false, false, true, true};
    static const double first[HYPERS] = {1, 1, 1, 0.5, 1e-2};
    for (int i = 0; i < g->space->n; i++)
        there[kind_of(&g->space->dim[i])] = true;
    memcpy(g->hyper, first, sizeof first);
    double best = fit(g);
    for (int s = 0; s < SWEEPS; s++)
        for (int h = 0; h < HYPERS; h++)
            for (int k = 0; there[h] && k < GRID; k++) {
                double was = g->hyper[h];
                if (grid[h][k] == was)
                    continue;
                g->hyper[h] = grid[h][k];
                double now = fit(g);
                if (now > best)
                    best = now;
                else
                    g->hyper[h] = was;
            }
    fit(g);
}

static double value_of(const struct search_objective *o, const struct search_trial *t)
{
    return o->goal == SEARCH_MIN_CYCLES ? -t->loss : t->top1;
}

/* The youngest finished trials. Networks that have collapsed say nothing more by how deep: they are raised to where the
 * model still sees the difference between good ones. */
static int take_points(struct gp *g)
{
    const struct search_trials *t = g->view->history;
    const struct search_objective *o = &g->view->job->objective;
    g->n_order = search_order(g->view, g->order);
    if (g->n_order < 0)
        return g->n_order;
    double best = value_of(o, &t->trial[g->order[0]]), median = value_of(o, &t->trial[g->order[g->n_order / 2]]);
    double floor = best - 4 * fabs(best - median) - 1e-6;
    for (int i = t->n - 1; i >= 0 && g->n < MAX_POINTS; i--)
        if (t->trial[i].state == SEARCH_DONE) {
            g->point[g->n] = t->trial[i].genes;
            g->y[g->n++] = BASE_MAX(value_of(o, &t->trial[i]), floor);
        }
    return BASE_OK;
}

static double believed(const struct gp *g, const int *genes)
{
    double mean = g->mean;
    for (int i = 0; i < g->n; i++)
        mean += kernel(g, genes, g->point[i]) * g->alpha[i];
    return mean;
}

/* Trials in flight count as points at what is believed of them, so that others are tried beside them (Ginsbourger, Le Riche,
 * Carraro: "Kriging Is Well-Suited to Parallelize Optimization", 2010). They add nothing to the mean and the amplitude. */
static void believe_in_flight(struct gp *g)
{
    const struct search_trial *t = g->view->history->trial;
    double amplitude = g->amplitude;
    int n = g->n;
    for (int i = g->view->history->n; i < g->view->id; i++) {
        g->y[n] = believed(g, t[i].genes);
        g->point[n++] = t[i].genes;
    }
    if (n == g->n)
        return;
    g->n = n;
    fit(g);
    g->amplitude = amplitude;
}

/* ---- what a candidate promises ------------------------------------------------------------------ */

static double normal_below(double z)
{
    return 0.5 * erfc(-z / sqrt(2.0));
}

/* Of a normal variable over `level`. */
static double expected_gain(double mean, double deviation, double level)
{
    double z = (mean - level) / deviation;
    return deviation * (z * normal_below(z) + exp(-0.5 * z * z) / sqrt(2 * M_PI));
}

struct belief { double mean, deviation; };

static double gain_over(void *ctx, double level)
{
    const struct belief *b = ctx;
    return expected_gain(b->mean, b->deviation, level);
}

static double promise(const struct gp *g, double mean, double deviation, int64_t cycles)
{
    const struct search_objective *o = &g->view->job->objective;
    const struct search_trial *best = &g->view->history->trial[g->order[0]];
    if (o->goal == SEARCH_MAX_TOP1)
        return expected_gain(mean, deviation, best->feasible ? best->top1 : -INFINITY);
    if (o->goal == SEARCH_PARETO)
        return search_gain(o, g->view->history, cycles, gain_over, &(struct belief){mean, deviation});
    double meets = normal_below((mean + o->loss_max) / deviation);
    if (!best->feasible)
        return meets;
    return meets * BASE_MAX(1 - (double)cycles / (double)best->cycles, 0);
}

static int judge(double *out, const struct gp *g, const int *genes, int64_t limit)
{
    int64_t cycles = search_estimate(g->view->costs, genes);
    *out = -INFINITY;
    if (cycles < 0)
        return (int)cycles;
    if (cycles > limit || search_known(g->view, genes))
        return BASE_OK;
    double *k = BASE_NEW_N(double, g->n), mean = g->mean, variance = 1;
    if (!k)
        return BASE_NOMEM;
    for (int i = 0; i < g->n; i++) {
        k[i] = kernel(g, genes, g->point[i]);
        mean += k[i] * g->alpha[i];
    }
    tensor_solve_lower(k, g->chol, false, g->n, 1);
    for (int i = 0; i < g->n; i++)
        variance -= k[i] * k[i];
    *out = promise(g, mean, sqrt(g->amplitude * BASE_MAX(variance, 1e-9)), cycles);
    base_free(k);
    return BASE_OK;
}

/* ---- candidates: chance, then neighbours of the best trials, then of the best candidate so far --------- */

static int candidate(const struct gp *g, int *genes, const int *best, int round, int k, int64_t limit, struct base_rng *rng)
{
    int n = g->space->n;
    const int *from = round ? best : g->view->history->trial[g->order[base_rng_below(rng, (uint32_t)BASE_MIN(g->n_order, ELITE))]].genes;
    if (!round && k % 4 == 0) {
        search_uniform(g->space, rng, genes);
    } else {
        memcpy(genes, from, sizeof *genes * (size_t)n);
        search_mutate(g->space, rng, genes);
        if (base_rng_below(rng, 2))
            search_mutate(g->space, rng, genes);
    }
    int rc = search_fit(g->view, limit, rng, genes);
    if (!rc && g->view->job->objective.goal != SEARCH_PARETO && base_rng_below(rng, 2))
        rc = search_fill(g->view, limit, rng, genes);
    return rc;
}

/* How far the estimate is off is known where a trial was: taken into the limit. */
static int limit_by_estimate(int64_t *limit, const struct gp *g)
{
    const struct search_trial *best = &g->view->history->trial[g->order[0]];
    int64_t cycles = search_estimate(g->view->costs, best->genes);
    *limit = search_limit(g->view->job);
    if (cycles >= 0 && cycles != SEARCH_UNBUILDABLE && g->view->job->objective.cycles_limit > 0)
        *limit += cycles - best->cycles;
    return cycles < 0 ? (int)cycles : BASE_OK;
}

static int choose(const struct gp *g, int *genes, struct base_rng *rng)
{
    int n = g->space->n, *c = BASE_NEW_N(int, n), *best = BASE_NEW_N(int, n);
    double most = -INFINITY;
    int64_t limit = 0;
    int rc = c && best ? limit_by_estimate(&limit, g) : BASE_NOMEM;
    search_uniform(g->space, rng, genes);  /* where every candidate is known */
    for (int round = 0; !rc && round < ROUNDS; round++) {
        if (round)
            memcpy(best, genes, sizeof *best * (size_t)n);
        for (int k = 0; !rc && k < CANDIDATES; k++) {
            double value;
            rc = candidate(g, c, best, round, k, limit, rng);
            if (!rc)
                rc = judge(&value, g, c, limit);
            if (!rc && value > most) {
                most = value;
                memcpy(genes, c, sizeof *genes * (size_t)n);
            }
        }
    }
    base_free(c);
    base_free(best);
    return rc;
}

static int gp_propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    (void)state;
    bool started;
    int rc = search_start(view, rng, genes, &started);
    if (rc || started)
        return rc;
    struct gp g = {.view = view, .space = view->job->space, .steps = 1};
    size_t most = (size_t)(BASE_MIN(view->history->n, MAX_POINTS) + view->id - view->history->n), dims = (size_t)g.space->n;
    for (int i = 0; i < g.space->n; i++)
        g.steps = BASE_MAX(g.steps, g.space->dim[i].hi - g.space->dim[i].lo + 1);
    struct base_arena *a = base_arena_new();
    if (!a || !(g.point = BASE_ARENA_NEW_N(a, const int *, most)) || !(g.y = BASE_ARENA_NEW_N(a, double, most)) || !(g.alpha = BASE_ARENA_NEW_N(a, double, most)) ||
        !(g.chol = BASE_ARENA_NEW_N(a, double, most * most)) || !(g.near = BASE_ARENA_NEW_N(a, double, dims * (size_t)g.steps)) ||
        !(g.square = BASE_ARENA_NEW_N(a, double, dims * (size_t)g.steps)) || !(g.order = BASE_ARENA_NEW_N(a, int, view->history->n)))
        rc = BASE_NOMEM;
    if (!rc)
        rc = take_points(&g);
    if (!rc) {
        choose_hyper(&g);
        believe_in_flight(&g);
        rc = choose(&g, genes, rng);
    }
    base_arena_free(a);
    return rc;
}

const struct search_agent search_agent_gp = {.name = "gp", .propose = gp_propose};
