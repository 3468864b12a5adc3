/* ilp: bits by integer linear programming on sensitivities of single genes (as HAWQ-V3 does; Yao et al., ICML 2021).
 *
 * First one gene at a time is taken to its least, the rest being as wide as can be built, which says what that gene is
 * worth: these trials are measurements, outside any limit. Between its ends a width's loss falls by 4 a bit, as the power
 * of the quantization error does, anything else's in a line. Then one combination of its own genes is chosen for every
 * layer, so that the losses add up to least while the cycles, by the estimate, add up to the limit at most: GLPK. Later
 * proposals shake the sensitivities, more and more, and solve again. */
#include "search/search_internal.h"

#include <glpk.h>
#include <limits.h>
#include <math.h>
#include <string.h>

enum { MAX_COMBINATIONS = 4096 };

struct combination { int index; double loss, cycles; };   /* index: mixed radix over the layer's genes */

struct ilp {
    const struct search_view *view;
    const struct search_space *space;
    double *worth;                     /* [genes] loss from widest to least */
    int *wide, *work;                  /* [genes] the widest candidate that can be built; scratch */
    int64_t floor;                     /* cycles with all genes at their least */
    int n_column;                      /* of the program */
    struct { int group, index; } *column;
    glp_prob *program;
};

/* The widest candidate that can be built: which depends on the seed alone. */
static int widest(const struct search_view *view, int *genes)
{
    struct base_rng rng;
    base_rng_stream(&rng, view->job->seed, ~(uint64_t)0);
    for (int i = 0; i < view->job->space->n; i++)
        genes[i] = view->job->space->dim[i].hi;
    return search_lower(view, SEARCH_UNBUILDABLE - 1, &rng, genes);
}

/* ---- what a gene is worth --------------------------------------------------------------------------- */

/* Perhaps in flight; NULL: not tried yet. */
static const struct search_trial *trial_of(const struct ilp *p, const int *genes)
{
    for (int i = 0; i < p->view->id; i++)
        if (!memcmp(p->view->history->trial[i].genes, genes, sizeof *genes * (size_t)p->space->n))
            return &p->view->history->trial[i];
    return NULL;
}

/* Measurement i, 0..genes: the widest candidate with gene i - 1 at its least. */
static const struct search_trial *measured(struct ilp *p, int i)
{
    memcpy(p->work, p->wide, sizeof *p->work * (size_t)p->space->n);
    if (i)
        p->work[i - 1] = p->space->dim[i - 1].lo;
    return trial_of(p, p->work);
}

/* A gene whose trial has failed, or whose loss drowns in what the validation images can show, is worth a little; one whose
 * trial is in flight as much as the others are on average. */
static void read_worth(struct ilp *p)
{
    const double unknown = -1, least = 1e-4;
    const struct search_trial *all = measured(p, 0);
    double sum = 0;
    int known = 0;
    for (int i = 0; i < p->space->n; i++) {
        const struct search_trial *one = measured(p, 1 + i);
        double loss = all->state == SEARCH_DONE && one->state == SEARCH_DONE ? all->top1 - one->top1 : 0;
        bool in_flight = all->state == SEARCH_RUNNING || one->state == SEARCH_RUNNING;
        p->worth[i] = in_flight ? unknown : BASE_MAX(loss, least);
        sum += in_flight ? 0 : p->worth[i];
        known += !in_flight;
    }
    for (int i = 0; i < p->space->n; i++)
        if (p->worth[i] == unknown)
            p->worth[i] = known ? sum / known : least;
}

/* Share, 0..1, of a gene's worth that is lost at `value`. */
static double lost(const struct search_dim *d, int value)
{
    if (d->hi == d->lo)
        return 0;
    if (!search_is_width(d))
        return (double)(d->hi - value) / (d->hi - d->lo);
    return (exp2(-2.0 * value) - exp2(-2.0 * d->hi)) / (exp2(-2.0 * d->lo) - exp2(-2.0 * d->hi));
}

/* ---- the program ---------------------------------------------------------------------------------------- */

/* The genes of layer `group` in the combination `index`, into genes; false: there is no such combination. */
static bool combine(const struct ilp *p, int group, int index, int *genes)
{
    int n_group;
    const int *of = search_groups(p->view->costs, &n_group);
    for (int i = 0; i < p->space->n; i++)
        if (of[i] == group) {
            int values = p->space->dim[i].hi - p->space->dim[i].lo + 1;
            genes[i] = p->space->dim[i].lo + index % values;
            index /= values;
        }
    return !index;
}

static double combined_loss(const struct ilp *p, int group, const int *genes)
{
    int n_group;
    const int *of = search_groups(p->view->costs, &n_group);
    double sum = 0;
    for (int i = 0; i < p->space->n; i++)
        if (of[i] == group)
            sum += p->worth[i] * lost(&p->space->dim[i], genes[i]);
    return sum;
}

/* Combinations of a layer that no other one beats in both: list [MAX_COMBINATIONS]. */
static int list_combinations(struct combination *list, int *n, struct ilp *p, int group)
{
    *n = 0;
    for (int index = 0; combine(p, group, index, p->work); index++) {
        int64_t cycles = search_estimate(p->view->costs, p->work);
        if (cycles < 0)
            return (int)cycles;
        if (cycles == SEARCH_UNBUILDABLE)
            continue;
        struct combination c = {index, combined_loss(p, group, p->work), (double)(cycles - p->floor)};
        bool beaten = false;
        for (int k = 0; k < *n && !beaten; k++)
            beaten = list[k].loss <= c.loss && list[k].cycles <= c.cycles;
        if (beaten)
            continue;
        int kept = 0;
        for (int k = 0; k < *n; k++)
            if (list[k].loss < c.loss || list[k].cycles < c.cycles)
                list[kept++] = list[k];
        if (kept == MAX_COMBINATIONS)
            return base_fail(BASE_INPUT, "search: agent ilp: a layer has more than %d combinations worth a look", MAX_COMBINATIONS);
        list[kept++] = c;
        *n = kept;
    }
    combine(p, group, 0, p->work);
    return BASE_OK;
}

/* Row 1 is the limit (or the loss), row 2 + g says that layer g takes one combination. */
static int add_layer(struct ilp *p, struct combination *list, int group)
{
    const struct search_objective *o = &p->view->job->objective;
    int n, rc = list_combinations(list, &n, p, group);
    if (rc || !n)
        return rc;
    bool fastest = o->goal == SEARCH_MIN_CYCLES;
    int row = glp_add_rows(p->program, 1), first = glp_add_cols(p->program, n);
    size_t was = sizeof *p->column * (size_t)p->n_column;
    void *column = base_realloc(p->column, was, was + sizeof *p->column * (size_t)n);
    if (!column)
        return BASE_NOMEM;
    p->column = column;
    glp_set_row_bnds(p->program, row, GLP_FX, 1, 1);
    for (int k = 0; k < n; k++) {
        int at[3] = {0, 1, row};
        double value[3] = {0, fastest ? list[k].loss : list[k].cycles, 1};
        glp_set_col_kind(p->program, first + k, GLP_BV);
        glp_set_obj_coef(p->program, first + k, fastest ? list[k].cycles : list[k].loss);
        glp_set_mat_col(p->program, first + k, 2, at, value);
        p->column[p->n_column].group = group;
        p->column[p->n_column++].index = list[k].index;
    }
    return BASE_OK;
}

/* The least genes where the program has no answer. */
static int read_answer(struct ilp *p, int *genes)
{
    glp_iocp options;
    glp_init_iocp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.presolve = GLP_ON;
    options.mip_gap = 1e-4;            /* no limit of time: the answer must not depend on the machine */
    for (int i = 0; i < p->space->n; i++)
        genes[i] = p->space->dim[i].lo;
    if (!p->n_column || glp_intopt(p->program, &options) || (glp_mip_status(p->program) != GLP_OPT && glp_mip_status(p->program) != GLP_FEAS))
        return BASE_OK;
    for (int k = 0; k < p->n_column; k++)
        if (glp_mip_col_val(p->program, k + 1) > 0.5)
            combine(p, p->column[k].group, p->column[k].index, genes);
    return BASE_OK;
}

/* Genes of least loss within `cycles` above the floor, or of fewest cycles within the loss. */
static int solve(struct ilp *p, double allowed, int *genes)
{
    int n_group;
    search_groups(p->view->costs, &n_group);
    for (int i = 0; i < p->space->n; i++)
        p->work[i] = p->space->dim[i].lo;
    struct combination *list = BASE_NEW_N(struct combination, MAX_COMBINATIONS);
    int rc = list ? BASE_OK : BASE_NOMEM;
    bool fastest = p->view->job->objective.goal == SEARCH_MIN_CYCLES;
    glp_term_out(GLP_OFF);
    p->program = glp_create_prob();
    glp_set_obj_dir(p->program, GLP_MIN);
    glp_add_rows(p->program, 1);
    glp_set_row_bnds(p->program, 1, GLP_UP, 0, fastest ? allowed : allowed - (double)p->floor);
    for (int g = 0; !rc && g < n_group; g++)
        rc = add_layer(p, list, g);
    if (!rc)
        rc = read_answer(p, genes);
    glp_delete_prob(p->program);
    glp_free_env();
    base_free(p->column);
    base_free(list);
    p->column = NULL;
    p->n_column = 0;
    return rc;
}

/* ---- proposals -------------------------------------------------------------------------------------------- */

static int solved(struct ilp *p, int past, struct base_rng *rng, int *genes)
{
    const struct search_job *job = p->view->job;
    /* The first answer takes the sensitivities as they are, later ones doubt them. */
    double doubt = past ? BASE_MIN(0.2 + 0.02 * past, 1) : 0;
    read_worth(p);
    for (int i = 0; i < p->space->n; i++)
        p->work[i] = p->space->dim[i].lo;
    p->floor = search_estimate(p->view->costs, p->work);
    if (p->floor < 0)
        return (int)p->floor;
    for (int i = 0; i < p->space->n; i++)
        p->worth[i] *= exp(doubt * (double)base_rng_normal(rng));
    if (job->objective.goal == SEARCH_MIN_CYCLES)
        return solve(p, job->objective.loss_max, genes);
    if (job->objective.goal == SEARCH_PARETO)
        return solve(p, (double)search_draw_limit(p->view, p->floor, rng), genes);
    return solve(p, (double)search_limit(job), genes);
}

static int ilp_open(struct ilp *p, const struct search_view *view)
{
    int n = view->job->space->n;
    *p = (struct ilp){.view = view, .space = view->job->space, .worth = BASE_NEW_N(double, n), .wide = BASE_NEW_N(int, n), .work = BASE_NEW_N(int, n)};
    return p->worth && p->wide && p->work ? widest(view, p->wide) : BASE_NOMEM;
}

static void ilp_close(struct ilp *p)
{
    base_free(p->worth);
    base_free(p->wide);
    base_free(p->work);
}

/* The first measurement that is not there goes into p->work; returns its number, or -1 and in *last the youngest trial of
 * them all. */
static int missing(struct ilp *p, int *last)
{
    *last = -1;
    for (int i = 0; i <= p->space->n; i++) {
        const struct search_trial *t = measured(p, i);
        if (!t)
            return i;
        *last = BASE_MAX(*last, t->id);
    }
    return -1;
}

static int propose(struct ilp *p, int most, struct base_rng *rng, int *genes, bool *done)
{
    int last, n = p->space->n;
    *done = false;
    if (missing(p, &last) >= 0) {
        memcpy(genes, p->work, sizeof *genes * (size_t)n);
        return SEARCH_AS_IT_IS;
    }
    *done = p->view->id - last - 1 >= most;
    if (*done)
        return BASE_OK;
    int rc = solved(p, BASE_MAX(p->view->history->n - last - 1, 0), rng, genes);   /* no doubt before the last measurement is known */
    if (!rc && search_known(p->view, genes))
        search_mutate(p->space, rng, genes);
    return rc;
}

int search_sensitive_start(const struct search_view *view, int most, struct base_rng *rng, int *genes, bool *started)
{
    struct ilp p;
    bool done = false;
    int rc = ilp_open(&p, view);
    if (!rc)
        rc = propose(&p, most, rng, genes, &done);
    *started = !done;
    ilp_close(&p);
    return rc;
}

static int ilp_propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    (void)state;
    bool started;
    return search_sensitive_start(view, INT_MAX, rng, genes, &started);
}

static int ilp_create(void **state, const struct search_view *view)
{
    int n = view->job->space->n;
    *state = NULL;
    if (view->job->budget > n + 1)
        return BASE_OK;
    return base_hint(base_fail(BASE_INPUT, "search: agent ilp measures each of %d genes once before it proposes: %d trials are too few", n, view->job->budget),
                     "--trials %d, or another agent", n + 9);
}

const struct search_agent search_agent_ilp = {.name = "ilp", .propose = ilp_propose, .create = ilp_create};
