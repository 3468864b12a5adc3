/* evolve: regularized evolution (Real, Aggarwal, Huang, Le: "Regularized Evolution for Image
 * Classifier Architecture Search", AAAI 2019): a tournament among the youngest POPULATION
 * trials picks a parent, its mutated child joins, the oldest leaves - however good it is.
 *
 * The first trials are uniform recipes that use the limit best, because they are what a
 * person would try first and every search should at least know them; then random ones until
 * the population is half there: with the few dozens of trials that a bit search can afford,
 * mutation earns more than further random points. */
#include "search/search_internal.h"

#include <string.h>

enum { POPULATION = 16, TOURNAMENT = 5, WARM_UP = 10, MAX_SEEDS = 6, MAX_BITS = 8 };

struct evolve {
    int n_seed;
    struct { int w, a; int64_t cost; } seed[MAX_SEEDS];
    int youngest[POPULATION];      /* ids of finished trials, a ring */
    int n_seen;                    /* finished trials observed */
};

static void uniform_genes(const struct search_space *s, int w, int a, int *genes)
{
    for (int i = 0; i < s->n; i++) {
        int v = strcmp(s->dim[i].field, "a_bits") ? w : a;
        if (!strcmp(s->dim[i].field, "keep"))
            v = s->dim[i].hi;        /* a uniform recipe keeps every channel that it may */
        genes[i] = BASE_MIN(BASE_MAX(v, s->dim[i].lo), s->dim[i].hi);
    }
}

/* Keeps the MAX_SEEDS dearest, dearest first: they use most of what is allowed. */
static void keep_seed(struct evolve *e, int w, int a, int64_t cost)
{
    int at = e->n_seed;
    while (at > 0 && e->seed[at - 1].cost < cost)
        at--;
    if (at == MAX_SEEDS)
        return;
    int last = BASE_MIN(e->n_seed, MAX_SEEDS - 1);
    for (int i = last; i > at; i--)
        e->seed[i] = e->seed[i - 1];
    e->seed[at].w = w, e->seed[at].a = a, e->seed[at].cost = cost;
    e->n_seed = last + 1;
}

/* Uniform recipes within the limit that no wider one within the limit contains. */
static int seeds_in_limit(struct evolve *e, const struct search_job *job, int *genes)
{
    int64_t cost[MAX_BITS + 2][MAX_BITS + 2];
    int64_t limit = job->objective.cycles_limit;
    for (int w = 1; w <= MAX_BITS + 1; w++)
        for (int a = 1; a <= MAX_BITS + 1; a++) {
            cost[w][a] = INT64_MAX;
            if (w > MAX_BITS || a > MAX_BITS)
                continue;
            uniform_genes(job->space, w, a, genes);
            int64_t c = job->cost(job->ctx, genes);
            if (c < 0)
                return (int)c;
            cost[w][a] = c;
        }
    for (int w = 1; w <= MAX_BITS; w++)
        for (int a = 1; a <= MAX_BITS; a++)
            if (cost[w][a] <= limit && cost[w + 1][a] > limit && cost[w][a + 1] > limit)
                keep_seed(e, w, a, cost[w][a]);
    return BASE_OK;
}

static int evolve_create(void **state, const struct search_view *view)
{
    struct evolve *e = BASE_NEW(struct evolve);
    int *genes = BASE_NEW_N(int, view->job->space->n);
    int rc = e && genes ? BASE_OK : BASE_NOMEM;
    if (!rc && view->job->objective.cycles_limit > 0) {
        rc = seeds_in_limit(e, view->job, genes);
    } else if (!rc) {
        static const int wa[MAX_SEEDS][2] = {{4, 4}, {3, 4}, {4, 3}, {5, 5}, {3, 3}, {6, 6}};
        for (int i = 0; i < MAX_SEEDS; i++)
            e->seed[i].w = wa[i][0], e->seed[i].a = wa[i][1];
        e->n_seed = MAX_SEEDS;
    }
    base_free(genes);
    if (rc)
        base_free(e);
    else
        *state = e;
    return rc;
}

static void mutate(const struct search_space *s, struct base_rng *rng, int *genes)
{
    int changes = 1 + (int)base_rng_below(rng, 2);
    for (int k = 0; k < changes; k++) {
        int i = (int)base_rng_below(rng, (uint32_t)s->n);
        int step = 1 + (int)base_rng_below(rng, 2);
        int v = genes[i] + (base_rng_below(rng, 2) ? step : -step);
        genes[i] = BASE_MIN(BASE_MAX(v, s->dim[i].lo), s->dim[i].hi);
    }
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
    const struct evolve *e = state;
    const struct search_space *s = view->job->space;
    int index = view->history->n;
    if (index < e->n_seed) {
        uniform_genes(s, e->seed[index].w, e->seed[index].a, genes);
        /* Seeds may coincide after clamping; asked again, the stream has moved on. */
        for (int i = 0; i < index; i++)
            if (!memcmp(view->history->trial[i].genes, genes, (size_t)s->n * sizeof *genes)) {
                search_uniform(s, rng, genes);
                break;
            }
    } else if (index < WARM_UP || !e->n_seen) {
        search_uniform(s, rng, genes);
    } else {
        const struct search_trial *parent = tournament(e, view, rng);
        memcpy(genes, parent->genes, (size_t)s->n * sizeof *genes);
        mutate(s, rng, genes);
    }
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

const struct search_agent search_agent_evolve = {
    "evolve", evolve_create, evolve_propose, evolve_observe, evolve_destroy,
};
