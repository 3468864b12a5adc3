/* agents: the table of agents, and the random one. */
#include "search/search_internal.h"

#include <string.h>

static const struct search_agent *const agents[] = {
    &search_agent_random,
    &search_agent_evolve,
};

const char *search_agents(void)
{
    return "random evolve";
}

const struct search_agent *search_agent_find(const char *name)
{
    for (int i = 0; i < BASE_COUNT(agents); i++)
        if (!strcmp(agents[i]->name, name))
            return agents[i];
    return NULL;
}

void search_uniform(const struct search_space *s, struct base_rng *rng, int *genes)
{
    for (int i = 0; i < s->n; i++)
        genes[i] = s->dim[i].lo + (int)base_rng_below(rng, (uint32_t)(s->dim[i].hi - s->dim[i].lo + 1));
}

static int over_the_floor(int64_t floor, int64_t limit)
{
    if (floor < 0)
        return (int)floor;
    if (floor == SEARCH_UNBUILDABLE)
        return BASE_INPUT;             /* the cost function has said why */
    return base_fail(BASE_TARGET, "the limit of %lld cycles cannot be met: the cheapest candidate needs %lld (%.1f %% over)", (long long)limit, (long long)floor,
                     100.0 * ((double)floor / (double)limit - 1));
}

/* Lowers genes in a random order, one at a time, to the floor: step [sum of genes - lo] says which. */
static void lower_all(int *step, const struct search_space *s, struct base_rng *rng, int *genes)
{
    for (int n = 0;; n++) {
        int open = 0;
        for (int i = 0; i < s->n; i++)
            open += genes[i] > s->dim[i].lo;
        if (!open)
            return;
        int pick = (int)base_rng_below(rng, (uint32_t)open);
        for (int i = 0; i < s->n; i++)
            if (genes[i] > s->dim[i].lo && pick-- == 0) {
                genes[step[n] = i]--;
                break;
            }
    }
}

/* From `at` steps taken to `to`. */
static int move(int *genes, const int *step, int at, int to)
{
    for (; at > to; at--)
        genes[step[at - 1]]++;
    for (; at < to; at++)
        genes[step[at]]--;
    return to;
}

/* Takes no more of n steps, which have all been taken, than it needs: bisection, since what is wider is never cheaper. */
static int raise_to(const struct search_view *view, int64_t limit, const int *step, int n, int *genes)
{
    int over = 0, within = n, at = n;
    int64_t floor = search_cost(view->costs, genes);
    if (floor < 0 || floor > limit)
        return over_the_floor(floor, limit);
    while (within - over > 1) {
        at = move(genes, step, at, (over + within) / 2);
        int64_t cost = search_cost(view->costs, genes);
        if (cost < 0)
            return (int)cost;
        *(cost <= limit ? &within : &over) = at;
    }
    move(genes, step, at, within);
    return BASE_OK;
}

int search_repair(const struct search_view *view, struct base_rng *rng, int *genes)
{
    const struct search_space *s = view->job->space;
    int64_t limit = view->job->objective.cycles_limit > 0 ? view->job->objective.cycles_limit : SEARCH_UNBUILDABLE - 1;
    int64_t cost = search_cost(view->costs, genes);
    if (cost < 0 || cost <= limit)
        return cost < 0 ? (int)cost : BASE_OK;
    int steps = 0;
    for (int i = 0; i < s->n; i++)
        steps += genes[i] - s->dim[i].lo;
    int *step = BASE_NEW_N(int, steps + 1);
    if (!step)
        return BASE_NOMEM;
    lower_all(step, s, rng, genes);
    int rc = raise_to(view, limit, step, steps, genes);
    base_free(step);
    return rc;
}

static int random_create(void **state, const struct search_view *view)
{
    (void)view;
    *state = NULL;
    return BASE_OK;
}

static int random_propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    (void)state;
    search_uniform(view->job->space, rng, genes);
    return BASE_OK;
}

static int random_observe(void *state, const struct search_view *view, const struct search_trial *trial)
{
    (void)state, (void)view, (void)trial;
    return BASE_OK;
}

static void random_destroy(void *state)
{
    (void)state;
}

const struct search_agent search_agent_random = {
    "random", random_create, random_propose, random_observe, random_destroy,
};
