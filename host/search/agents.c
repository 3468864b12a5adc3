/* agents: the table of agents, and the random one. */
#include "search/search_internal.h"

#include <math.h>
#include <string.h>

static const struct search_agent *const agents[] = {
    &search_agent_random,
    &search_agent_evolve,
    &search_agent_gp,
    &search_agent_tpe,
    &search_agent_amc,
    &search_agent_haq,
    &search_agent_pocketflow,
    &search_agent_ilp,
    &search_agent_blind,
    &search_agent_off_scale,
    &search_agent_shuffled,
    &search_agent_mixed,
    &search_agent_unrepaired,
};

const char *search_agents(void)
{
    return "random evolve gp tpe ddpg-amc ddpg-haq ddpg-pocketflow ilp";
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

typedef int64_t cost_fn(struct search_costs *, const int *);

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
static int raise_to(struct search_costs *costs, cost_fn *cost_of, int64_t limit, const int *step, int n, int *genes)
{
    int over = 0, within = n, at = n;
    int64_t floor = cost_of(costs, genes);
    if (floor < 0 || floor > limit)
        return over_the_floor(floor, limit);
    while (within - over > 1) {
        at = move(genes, step, at, (over + within) / 2);
        int64_t cost = cost_of(costs, genes);
        if (cost < 0)
            return (int)cost;
        *(cost <= limit ? &within : &over) = at;
    }
    move(genes, step, at, within);
    return BASE_OK;
}

/* Lowers random genes until cost_of says at most `limit`. */
static int lower(const struct search_view *view, cost_fn *cost_of, int64_t limit, struct base_rng *rng, int *genes)
{
    const struct search_space *s = view->job->space;
    int64_t cost = cost_of(view->costs, genes);
    if (cost < 0 || cost <= limit)
        return cost < 0 ? (int)cost : BASE_OK;
    int steps = 0;
    for (int i = 0; i < s->n; i++)
        steps += genes[i] - s->dim[i].lo;
    int *step = BASE_NEW_N(int, steps + 1);
    if (!step)
        return BASE_NOMEM;
    lower_all(step, s, rng, genes);
    int rc = raise_to(view->costs, cost_of, limit, step, steps, genes);
    base_free(step);
    return rc;
}

int64_t search_limit(const struct search_job *job)
{
    return job->objective.cycles_limit > 0 ? job->objective.cycles_limit : SEARCH_UNBUILDABLE - 1;
}

int64_t search_draw_limit(const struct search_view *view, int64_t floor, struct base_rng *rng)
{
    double lo = (double)BASE_MAX(floor, 1), hi = (double)BASE_MAX(view->job->objective.reference_cycles, floor + 1);
    return (int64_t)(lo * pow(hi / lo, (double)base_rng_uniform(rng)));
}

int search_lower(const struct search_view *view, int64_t limit, struct base_rng *rng, int *genes)
{
    return lower(view, search_cost, limit, rng, genes);
}

int search_repair(const struct search_view *view, struct base_rng *rng, int *genes)
{
    return search_lower(view, search_limit(view->job), rng, genes);
}

int search_fit(const struct search_view *view, int64_t limit, struct base_rng *rng, int *genes)
{
    int rc = lower(view, search_estimate, limit, rng, genes);
    if (rc != BASE_TARGET)
        return rc;
    base_error_clear();                /* by the estimate; what it really takes the driver finds out */
    return BASE_OK;
}

int search_fill(const struct search_view *view, int64_t limit, struct base_rng *rng, int *genes)
{
    const struct search_space *s = view->job->space;
    for (int k = 0; k < s->n; k++) {
        int i = (int)base_rng_below(rng, (uint32_t)s->n);
        if (genes[i] == s->dim[i].hi)
            continue;
        genes[i]++;
        int64_t cost = search_estimate(view->costs, genes);
        if (cost < 0)
            return (int)cost;
        genes[i] -= cost > limit;
    }
    return BASE_OK;
}

bool search_known(const struct search_view *view, const int *genes)
{
    for (int i = 0; i < view->id; i++)
        if (!memcmp(view->history->trial[i].genes, genes, (size_t)view->job->space->n * sizeof *genes))
            return true;
    return false;
}

static int random_propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    (void)state;
    search_uniform(view->job->space, rng, genes);
    return BASE_OK;
}

const struct search_agent search_agent_random = {.name = "random", .propose = random_propose};
