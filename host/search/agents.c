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

int search_repair(const struct search_job *job, struct base_rng *rng, int *genes)
{
    int64_t limit = job->objective.cycles_limit;
    if (limit <= 0)
        return BASE_OK;
    const struct search_space *s = job->space;
    for (;;) {
        int64_t cost = job->cost(job->ctx, genes);
        if (cost < 0)
            return (int)cost;
        if (cost <= limit)
            return BASE_OK;
        int open = 0;
        for (int i = 0; i < s->n; i++)
            open += genes[i] > s->dim[i].lo;
        if (!open && cost == SEARCH_UNBUILDABLE)
            return BASE_INPUT;
        if (!open)
            return base_fail(BASE_TARGET,
                             "the limit of %lld cycles cannot be met: the cheapest candidate needs %lld (%.1f %% over)",
                             (long long)limit, (long long)cost, 100.0 * ((double)cost / (double)limit - 1));
        int pick = (int)base_rng_below(rng, (uint32_t)open);
        for (int i = 0; i < s->n; i++)
            if (genes[i] > s->dim[i].lo && pick-- == 0) {
                genes[i]--;
                break;
            }
    }
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
