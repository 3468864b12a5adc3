/* evolve: regularized evolution (Real, Aggarwal, Huang, Le: "Regularized Evolution for Image
 * Classifier Architecture Search", AAAI 2019): a tournament among the youngest POPULATION
 * trials picks a parent, its mutated child joins, the oldest leaves - however good it is.
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

static int evolve_propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    bool started;
    int rc = search_start(view, rng, genes, &started);
    if (rc || started)
        return rc;
    const struct search_trial *parent = tournament(state, view, rng);
    memcpy(genes, parent->genes, (size_t)view->job->space->n * sizeof *genes);
    search_mutate(view->job->space, rng, genes);
    return BASE_OK;
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
