/* start: what every agent but `random` tries first: uniform recipes, because they are what a person would try first and
 * every search should at least know them; then what each gene is worth by itself and the recipes that follow from it, or where
 * that would take too many trials a few random ones. */
#include "search/search_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 6, RANDOM_UNTIL = 10, MOST_MEASURED = 48, ANSWERS = 4 };

/* Not by the budget, with which a study may grow. */
static bool is_measured(const struct search_job *job)
{
    return job->from == SEARCH_FROM_SENSITIVITIES && job->space->n <= MOST_MEASURED;
}

bool search_is_width(const struct search_dim *d)
{
    return !strcmp(d->field, "w_bits") || !strcmp(d->field, "a_bits");
}

void search_pair_genes(const struct search_space *s, int w, int a, int *genes)
{
    for (int i = 0; i < s->n; i++) {
        const struct search_dim *d = &s->dim[i];
        int v = !search_is_width(d) ? d->hi : *d->field == 'w' ? w : a;
        genes[i] = BASE_MIN(BASE_MAX(v, d->lo), d->hi);
    }
}

/* The widths that a field has anywhere; one of them where the space has no such field. */
static void field_range(const struct search_space *s, char field, int *lo, int *hi)
{
    bool any = false;
    for (int i = 0; i < s->n; i++)
        if (search_is_width(&s->dim[i]) && *s->dim[i].field == field) {
            *lo = any ? BASE_MIN(*lo, s->dim[i].lo) : s->dim[i].lo;
            *hi = any ? BASE_MAX(*hi, s->dim[i].hi) : s->dim[i].hi;
            any = true;
        }
    if (!any)
        *lo = *hi = SEARCH_MAX_BITS;
    *hi = BASE_MIN(*hi, SEARCH_MAX_BITS);
}

static int dearest_first(const void *x, const void *y)
{
    const struct search_pair *a = x, *b = y;
    if (a->cycles != b->cycles)
        return a->cycles < b->cycles ? 1 : -1;
    return a->w != b->w ? a->w - b->w : a->a - b->a;
}

/* Whether it is only what is near the limit that is wanted. */
static bool at_the_limit(const struct search_job *job)
{
    return job->objective.cycles_limit > 0 && job->objective.goal != SEARCH_PARETO;
}

/* Kept: of what is within a limit, the pairs that no wider one within it contains; where all prices are wanted, those
 * whose two widths are not far apart. */
static bool is_kept(int64_t cycles[SEARCH_MAX_BITS + 2][SEARCH_MAX_BITS + 2], const struct search_job *job, int w, int a)
{
    int64_t limit = search_limit(job);
    if (!at_the_limit(job))
        return cycles[w][a] <= limit && w - a <= 1 && a - w <= 1;
    return cycles[w][a] <= limit && cycles[w + 1][a] > limit && cycles[w][a + 1] > limit;
}

static int pairs_by(struct search_pair *out, int *n, const struct search_job *job, search_cost_fn *cost, void *ctx)
{
    const struct search_space *s = job->space;
    int64_t cycles[SEARCH_MAX_BITS + 2][SEARCH_MAX_BITS + 2];
    int w_lo, w_hi, a_lo, a_hi, *genes = BASE_NEW_N(int, s->n);
    *n = 0;
    if (!genes)
        return BASE_NOMEM;
    field_range(s, 'w', &w_lo, &w_hi);
    field_range(s, 'a', &a_lo, &a_hi);
    for (int w = 0; w < SEARCH_MAX_BITS + 2; w++)
        for (int a = 0; a < SEARCH_MAX_BITS + 2; a++) {
            cycles[w][a] = SEARCH_UNBUILDABLE;
            if (w < w_lo || w > w_hi || a < a_lo || a > a_hi)
                continue;
            search_pair_genes(s, w, a, genes);
            cycles[w][a] = cost(ctx, genes);
            if (cycles[w][a] < 0) {
                base_free(genes);
                return (int)cycles[w][a];
            }
        }
    base_free(genes);
    for (int w = w_lo; w <= w_hi; w++)
        for (int a = a_lo; a <= a_hi; a++)
            if (is_kept(cycles, job, w, a))
                out[(*n)++] = (struct search_pair){w, a, cycles[w][a]};
    qsort(out, (size_t)*n, sizeof *out, dearest_first);
    return BASE_OK;
}

int search_pairs(struct search_pair out[SEARCH_MAX_PAIRS], int *n, const struct search_job *job)
{
    return pairs_by(out, n, job, job->cost, job->ctx);
}

static int64_t known_cost(void *costs, const int *genes)
{
    return search_cost(costs, genes);
}

/* The dearest ones, which use most of the limit; or some of all prices. */
static int seed_pair(struct search_pair *out, bool *found, const struct search_view *view, int index)
{
    struct search_pair pair[SEARCH_MAX_PAIRS];
    int n, rc = pairs_by(pair, &n, view->job, known_cost, view->costs);
    int seeds = BASE_MIN(n, SEEDS);
    *found = !rc && index < seeds;
    if (*found)
        *out = pair[at_the_limit(view->job) || seeds < 2 ? index : index * (n - 1) / (seeds - 1)];
    return rc;
}

int search_start(const struct search_view *view, struct base_rng *rng, int *genes, bool *started)
{
    int index = view->id, done = 0;
    struct search_pair pair;
    bool found = false;
    *started = true;
    int rc = index < SEEDS ? seed_pair(&pair, &found, view, index) : BASE_OK;
    if (rc)
        return rc;
    if (found) {
        search_pair_genes(view->job->space, pair.w, pair.a, genes);
        if (!search_known(view, genes))
            return BASE_OK;
    }
    if (is_measured(view->job)) {
        rc = search_sensitive_start(view, ANSWERS, rng, genes, started);
        if (rc || *started)
            return rc;
    }
    for (int i = 0; i < view->history->n; i++)
        done += view->history->trial[i].state == SEARCH_DONE;
    *started = (index < RANDOM_UNTIL && !is_measured(view->job)) || !done;
    if (*started)
        search_uniform(view->job->space, rng, genes);
    return BASE_OK;
}

void search_mutate(const struct search_space *s, struct base_rng *rng, int *genes)
{
    int changes = 1 + (int)base_rng_below(rng, 2);
    for (int k = 0; k < changes; k++) {
        int i = (int)base_rng_below(rng, (uint32_t)s->n);
        int step = 1 + (int)base_rng_below(rng, 2);
        int v = genes[i] + (base_rng_below(rng, 2) ? step : -step);
        genes[i] = BASE_MIN(BASE_MAX(v, s->dim[i].lo), s->dim[i].hi);
    }
}
