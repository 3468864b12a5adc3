/* evolve: regularized evolution (Real, Aggarwal, Huang, Le: "Regularized Evolution for Image
 * Classifier Architecture Search", AAAI 2019): a tournament among the youngest POPULATION
 * trials picks a parent, its mutated child joins, the oldest leaves - however good it is.
 *
 * For the trade-off of accuracy against cycles the parents are NSGA-II's instead.
 *
 * It starts from search_start's uniform recipes and few random ones: with the few dozens of
 * trials that a bit search can afford, mutation earns more than further random points. */
#include "search/search_internal.h"

#include <string.h>

enum { POPULATION = 16, TOURNAMENT = 5 };

struct evolve {
    int youngest[POPULATION];      /* ids of finished trials, a ring */
    int n_seen;                    /* finished trials observed */
};

static int evolve_create(void **state, const struct search_view *view)
{
    (void)view;
    return (*state = BASE_NEW(struct evolve)) ? BASE_OK : BASE_NOMEM;
}

static const struct search_trial *tournament(const struct evolve *e, const struct search_view *view,
                                             struct base_rng *rng)
{
    int alive = BASE_MIN(e->n_seen, POPULATION);
    const struct search_trial *best = NULL;
    for (int k = 0; k < TOURNAMENT; k++) {
        int slot = (int)base_rng_below(rng, (uint32_t)alive);
        const struct search_trial *t = &view->history->trial[e->youngest[slot]];
        if (!best || search_better(&view->job->objective, t, best))
            best = t;
    }
    return best;
}

/* NSGA-II, one child a trial: the first POPULATION places of all trials are the parents, two of which win a tournament of
 * two; each gene of the child is either's. */
static int cross(const struct search_view *view, struct base_rng *rng, int *genes)
{
    int *order = BASE_NEW_N(int, view->history->n), n = order ? search_order(view, order) : BASE_NOMEM;
    const struct search_trial *parent[2] = {NULL, NULL};
    for (int k = 0; n > 0 && k < 2; k++) {
        uint32_t among = (uint32_t)BASE_MIN(n, POPULATION), a = base_rng_below(rng, among), b = base_rng_below(rng, among);
        parent[k] = &view->history->trial[order[BASE_MIN(a, b)]];
    }
    for (int i = 0; n > 0 && i < view->job->space->n; i++)
        genes[i] = parent[base_rng_below(rng, 2)]->genes[i];
    base_free(order);
    return BASE_MIN(n, 0);
}

static int evolve_propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    bool started;
    int rc = search_start(view, rng, genes, &started);
    if (rc || started)
        return rc;
    if (view->job->objective.goal == SEARCH_PARETO)
        rc = cross(view, rng, genes);
    else
        memcpy(genes, tournament(state, view, rng)->genes, (size_t)view->job->space->n * sizeof *genes);
    if (!rc)
        search_mutate(view->job->space, rng, genes);
    return rc;
}

static int evolve_observe(void *state, const struct search_view *view, const struct search_trial *trial)
{
    (void)view;
    struct evolve *e = state;
    if (trial->state == SEARCH_DONE)
        e->youngest[e->n_seen++ % POPULATION] = trial->id;
    return BASE_OK;
}

static void evolve_destroy(void *state)
{
    base_free(state);
}

const struct search_agent search_agent_evolve = {"evolve", evolve_propose, evolve_create, evolve_observe, evolve_destroy};
