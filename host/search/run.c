/* run: the loop: propose, repair, evaluate, record. */
#include "search/search_internal.h"

#include <string.h>

/* How often an agent is asked for something new, and chance after it, before the space counts as used up. */
enum { AGENT_ASKS = 50, MAX_ASKS = 2000 };

struct loop {
    struct search_study *study;
    const struct search_job *job;
    const struct search_agent *agent;
    void *state;
    struct search_trials history;
    int capacity;
    struct search_view view;
    int *genes;                    /* [space.n], of the trial being proposed */
};

static int check_job(const struct search_job *job)
{
    const struct search_space *s = job->space;
    if (s->n < 1 || s->n > SEARCH_MAX_DIMS)
        return base_fail(BASE_INPUT, "search: %d dimensions (1..%d are possible)", s->n, SEARCH_MAX_DIMS);
    for (int i = 0; i < s->n; i++)
        if (s->dim[i].lo > s->dim[i].hi)
            return base_fail(BASE_INPUT, "search: layer '%s': %s has an empty range %d..%d", s->dim[i].layer,
                             s->dim[i].field, s->dim[i].lo, s->dim[i].hi);
    if (job->budget < 1)
        return base_fail(BASE_INPUT, "search: a budget of %d trials (at least 1 is needed)", job->budget);
    return BASE_OK;
}

/* BASE_TARGET unless the cheapest candidate fits. */
static int check_limit(const struct search_view *view, int *genes)
{
    struct base_rng rng;
    base_rng_seed(&rng, 0);
    for (int i = 0; i < view->job->space->n; i++)
        genes[i] = view->job->space->dim[i].lo;
    return search_repair(view, &rng, genes);
}

/* *found = false: nothing new was proposed. */
static int propose(struct loop *l, bool *found, bool *measurement)
{
    struct base_rng rng;
    base_rng_stream(&rng, l->job->seed, (uint64_t)l->history.n);
    for (int ask = 0; ask < MAX_ASKS; ask++) {
        int rc = BASE_OK;
        if (ask < AGENT_ASKS)
            rc = l->agent->propose(l->state, &l->view, &rng, l->genes);
        else
            search_uniform(l->job->space, &rng, l->genes);
        if (!rc)
            rc = search_repair(&l->view, &rng, l->genes);
        if (rc < 0)
            return rc;
        if (!search_known(&l->view, l->genes)) {
            *found = true;
            *measurement = rc == SEARCH_AS_IT_IS;
            return BASE_OK;
        }
    }
    *found = false;
    return BASE_OK;
}

static int grow(struct loop *l)
{
    if (l->history.n < l->capacity)
        return BASE_OK;
    int more = l->capacity ? 2 * l->capacity : 64;
    struct search_trial *t = base_arena_alloc(l->history.arena, sizeof *t * (size_t)more);
    if (!t)
        return BASE_NOMEM;
    if (l->history.n)
        memcpy(t, l->history.trial, sizeof *t * (size_t)l->history.n);
    l->history.trial = t;
    l->capacity = more;
    return BASE_OK;
}

static void judge(const struct search_objective *o, struct search_trial *t)
{
    if (o->cycles_limit > 0 && t->cycles > o->cycles_limit)
        t->feasible = 0;
    if (o->goal != SEARCH_MAX_TOP1 && t->loss > o->loss_max)
        t->feasible = 0;
}

/* Evaluates *t. BASE_OK: it is done or failed; else the search ends. */
static int evaluate(struct loop *l, struct search_trial *t, bool measurement)
{
    struct search_result r = {.feasible = 1};
    int64_t cycles = search_cost(l->view.costs, t->genes);
    if (cycles < 0)
        return (int)cycles;
    if (!measurement)
        r.hopeless_below = search_hopeless_below(&l->job->objective, &l->history, cycles);
    double start = base_seconds();
    int rc = l->job->evaluate(l->job->ctx, t->genes, t->seed, &r);
    t->recipe = r.recipe_yaml ? base_arena_strdup(l->history.arena, r.recipe_yaml) : "";
    base_free(r.recipe_yaml);
    if (!t->recipe)
        return BASE_NOMEM;
    t->wall_s = r.wall_s > 0 ? r.wall_s : base_seconds() - start;
    if (rc == BASE_INPUT || rc == BASE_TARGET) {
        t->state = SEARCH_FAILED;
        t->error = base_arena_strdup(l->history.arena, base_error());
        return t->error ? BASE_OK : BASE_NOMEM;
    }
    if (rc)
        return rc;
    t->state = SEARCH_DONE;
    t->top1 = r.top1, t->loss = r.loss, t->rung = r.rung;
    t->cycles = r.cycles, t->size_bytes = r.size_bytes;
    t->cycles_source = r.cycles_source ? r.cycles_source : "";
    t->feasible = r.feasible;
    judge(&l->job->objective, t);
    return BASE_OK;
}

/* Shows the agent the last trial. */
static int observe(struct loop *l)
{
    return l->agent->observe ? l->agent->observe(l->state, &l->view, &l->history.trial[l->history.n - 1]) : BASE_OK;
}

static int one_trial(struct loop *l, bool *found)
{
    bool measurement = false;
    int rc = propose(l, found, &measurement);
    if (rc || !*found)
        return rc;
    int n = l->job->space->n;
    int *genes = BASE_ARENA_NEW_N(l->history.arena, int, n);
    if (!genes || grow(l))
        return BASE_NOMEM;
    memcpy(genes, l->genes, (size_t)n * sizeof *genes);
    struct base_rng rng;
    base_rng_stream(&rng, ~l->job->seed, (uint64_t)l->history.n);
    struct search_trial t = {
        .id = l->history.n, .genes = genes, .n_genes = n, .seed = base_rng_u64(&rng), .agent = l->agent->name,
        .recipe = "", .cycles_source = "", .error = "", .started = "", .ended = "",
    };
    rc = search_study_begin(l->study, &t);
    if (rc)
        return rc;
    rc = evaluate(l, &t, measurement);
    if (!rc)
        rc = search_study_finish(l->study, &t);
    if (rc) {
        search_study_forget(l->study, t.id);
        return rc;
    }
    l->history.trial[l->history.n++] = t;
    return observe(l);
}

static void show(const struct loop *l, struct base_progress *p, int begun)
{
    double spent = base_seconds() - p->start, fresh = l->history.n - begun;
    double rate = spent > 0 ? 60 * fresh / spent : 0;
    int best = search_best(&l->job->objective, &l->history);
    if (best < 0)
        base_progress_update(p, fresh, "trial %d/%d, none feasible yet, %.1f/min", l->history.n, l->job->budget, rate);
    else
        base_progress_update(p, fresh, "trial %d/%d, best %.2f %% @ %lld cycles, %.1f/min", l->history.n,
                             l->job->budget, 100 * l->history.trial[best].top1,
                             (long long)l->history.trial[best].cycles, rate);
}

static int walk(struct loop *l)
{
    struct base_progress p;
    int begun = l->history.n, rc = BASE_OK;
    bool found = true;
    base_progress_begin(&p, "search", l->job->budget - begun);
    while (!rc && found && l->history.n < l->job->budget) {
        if (base_stop_requested())
            rc = base_fail(BASE_STOPPED, "search stopped after %d of %d trials", l->history.n, l->job->budget);
        else
            rc = one_trial(l, &found);
        if (!rc)
            show(l, &p, begun);
    }
    base_progress_end(&p, "%d trials%s", l->history.n, found ? "" : ": nothing new left in the space");
    if (rc == BASE_STOPPED)
        return base_hint(rc, "every finished trial is in %s: go on with --resume", search_study_path(l->study));
    return rc;
}

/* Rebuilds the agent from what the study has. */
static int replay(struct loop *l)
{
    for (int i = 0; i < l->history.n; i++) {
        const struct search_trial *t = &l->history.trial[i];
        if (t->id != i || t->state == SEARCH_RUNNING || t->n_genes != l->job->space->n)
            return base_fail(BASE_INPUT, "%s: trial %d does not belong to this search (%d genes, %d expected)",
                             search_study_path(l->study), t->id, t->n_genes, l->job->space->n);
    }
    for (int i = 0; i < l->history.n; i++)
        for (int k = 0; k < l->job->space->n; k++) {
            int v = l->history.trial[i].genes[k];
            if (v < l->job->space->dim[k].lo || v > l->job->space->dim[k].hi)
                return base_fail(BASE_INPUT, "%s: trial %d does not belong to this search (%s %d of layer '%s' is outside %d..%d)", search_study_path(l->study), i,
                                 l->job->space->dim[k].field, v, l->job->space->dim[k].layer, l->job->space->dim[k].lo, l->job->space->dim[k].hi);
        }
    int n = l->history.n, rc = BASE_OK;
    l->capacity = n;
    for (l->history.n = 0; !rc && l->history.n < n;) {
        l->history.n++;
        rc = observe(l);
    }
    return rc;
}

int search_run(struct search_study *s, const struct search_job *job)
{
    struct loop l = {.study = s, .job = job, .agent = search_agent_find(job->agent)};
    if (!l.agent)
        return base_fail(BASE_INPUT, "search: no agent '%s' (there are: %s)", job->agent, search_agents());
    struct search_costs *costs = NULL;
    int rc = check_job(job);
    if (rc)
        return rc;
    rc = search_costs_new(&costs, job);
    l.view = (struct search_view){job, &l.history, costs};
    if (!rc)
        rc = (l.genes = BASE_NEW_N(int, job->space->n)) ? check_limit(&l.view, l.genes) : BASE_NOMEM;
    if (!rc)
        rc = search_study_trials(s, &l.history);
    if (!rc && l.agent->create)
        rc = l.agent->create(&l.state, &l.view);
    if (!rc)
        rc = replay(&l);
    if (!rc)
        rc = walk(&l);
    if (l.agent->destroy)
        l.agent->destroy(l.state);
    search_trials_free(&l.history);
    search_costs_free(costs);
    base_free(l.genes);
    return rc;
}
