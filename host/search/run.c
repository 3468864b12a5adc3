/* run: the loop: propose, repair, evaluate, record.
 *
 * Trial k is proposed from the outcomes of the trials below k - width + 1 and the genes of those after them, whatever is
 * known of these by then, and outcomes are recorded in the order of ids: a search that was killed goes the same way again. */
#include "search/search_internal.h"

#include <string.h>

/* How often an agent is asked for something new, and chance after it, before the space counts as used up. */
enum { AGENT_ASKS = 50, MAX_ASKS = 2000 };

/* What is known of a trial in flight and not shown to the agent. */
struct flight {
    double hopeless_below, start;
    bool is_recorded;              /* by an earlier run: `outcome` is the study's row */
    struct search_trial outcome;
};

struct loop {
    struct search_study *study;
    const struct search_job *job;
    const struct search_agent *agent;
    void *state;
    struct search_trials history;  /* trial [view.id]: n finished ones, then those in flight */
    int capacity;
    int width;                     /* trials in flight, at most */
    struct flight *flight;         /* [width] by id modulo width */
    int recorded;                  /* trials that the study has */
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
    if (job->parallel < 0 || job->parallel > SEARCH_MAX_PARALLEL)
        return base_fail(BASE_INPUT, "search: %d trials at once (1..%d are possible)", job->parallel, SEARCH_MAX_PARALLEL);
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
    base_rng_stream(&rng, l->job->seed, (uint64_t)l->view.id);
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
    if (l->view.id < l->capacity)
        return BASE_OK;
    int more = l->capacity ? 2 * l->capacity : 64;
    struct search_trial *t = base_arena_alloc(l->history.arena, sizeof *t * (size_t)more);
    if (!t)
        return BASE_NOMEM;
    if (l->view.id)
        memcpy(t, l->history.trial, sizeof *t * (size_t)l->view.id);
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

static struct flight *flight_of(struct loop *l, int id)
{
    return &l->flight[id % l->width];
}

/* ---- a trial takes off ---- */

static int start(struct loop *l, const struct search_trial *t, bool measurement)
{
    struct flight *f = flight_of(l, t->id);
    int64_t cycles = search_cost(l->view.costs, t->genes);
    if (cycles < 0)
        return (int)cycles;
    *f = (struct flight){.start = base_seconds()};
    if (!measurement)
        f->hopeless_below = search_hopeless_below(&l->job->objective, &l->history, cycles);
    return l->job->start ? l->job->start(l->job->ctx, t->id, t->genes, t->seed, f->hopeless_below) : BASE_OK;
}

static int launch(struct loop *l, bool *found)
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
    base_rng_stream(&rng, ~l->job->seed, (uint64_t)l->view.id);
    struct search_trial t = {
        .id = l->view.id, .genes = genes, .n_genes = n, .seed = base_rng_u64(&rng), .agent = l->agent->name,
        .recipe = "", .cycles_source = "", .board = "", .error = "", .started = "", .ended = "",
    };
    rc = search_study_begin(l->study, &t);
    if (rc)
        return rc;
    rc = start(l, &t, measurement);
    if (rc) {
        search_study_forget(l->study, t.id);
        return rc;
    }
    l->history.trial[l->view.id++] = t;
    return BASE_OK;
}

/* ---- and lands ---- */

static int outcome(struct loop *l, const struct search_trial *t, struct search_result *out)
{
    struct flight *f = flight_of(l, t->id);
    const struct search_job *job = l->job;
    *out = (struct search_result){.feasible = 1, .hopeless_below = f->hopeless_below};
    if (!job->start)
        f->start = base_seconds();
    int rc = job->start ? job->collect(job->ctx, t->id, out) : job->evaluate(job->ctx, t->genes, t->seed, out);
    if (!(out->wall_s > 0))
        out->wall_s = base_seconds() - f->start;
    return rc;
}

/* BASE_OK: *t is done or failed; else the search ends. */
static int collect(struct loop *l, struct search_trial *t)
{
    struct search_result r;
    int rc = outcome(l, t, &r);
    t->recipe = r.recipe_yaml ? base_arena_strdup(l->history.arena, r.recipe_yaml) : "";
    base_free(r.recipe_yaml);
    if (!t->recipe)
        return BASE_NOMEM;
    t->wall_s = r.wall_s;
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
    t->cycles_source = base_arena_strdup(l->history.arena, r.cycles_source ? r.cycles_source : "");
    t->board = base_arena_strdup(l->history.arena, r.board ? r.board : "");
    if (!t->cycles_source || !t->board)
        return BASE_NOMEM;
    t->feasible = r.feasible;
    judge(&l->job->objective, t);
    return BASE_OK;
}

/* Shows the agent the last trial. */
static int observe(struct loop *l)
{
    return l->agent->observe ? l->agent->observe(l->state, &l->view, &l->history.trial[l->history.n - 1]) : BASE_OK;
}

/* Waits for the oldest trial in flight. It is in flight no more whatever comes back: *landed is the next id. */
static int land(struct loop *l, int *landed)
{
    struct search_trial t = l->history.trial[l->history.n];
    struct flight *f = flight_of(l, t.id);
    int rc = BASE_OK;
    *landed = t.id + 1;
    if (f->is_recorded)
        t = f->outcome;
    else if (!(rc = collect(l, &t)) && !(rc = search_study_finish(l->study, &t)))
        l->recorded++;
    if (rc)
        return rc;
    l->history.trial[l->history.n++] = t;
    return observe(l);
}

/* After an error, whose message stays: what is in flight from `first` on is waited for and leaves no trace. */
static int abandon(struct loop *l, int first, int rc)
{
    char *message = base_strdup(base_error()), *hint = base_strdup(base_error_hint());
    for (int id = l->history.n; id < l->view.id; id++) {
        struct search_result r = {0};
        if (flight_of(l, id)->is_recorded)
            continue;
        if (id >= first && l->job->start)
            l->job->collect(l->job->ctx, id, &r);
        base_free(r.recipe_yaml);
        search_study_forget(l->study, id);
    }
    if (message)
        base_fail(rc, "%s", message);
    if (hint && *hint)
        base_hint(rc, "%s", hint);
    base_free(message);
    base_free(hint);
    return rc;
}

static void show(const struct loop *l, struct base_progress *p)
{
    double spent = base_seconds() - p->start, fresh = l->recorded - p->begun;
    double rate = spent > 0 ? 60 * fresh / spent : 0;
    int best = search_best(&l->job->objective, &l->history);
    if (best < 0)
        base_progress_update(p, l->recorded, "trial %d/%d, none feasible yet, %.1f/min", l->recorded, l->job->budget, rate);
    else
        base_progress_update(p, l->recorded, "trial %d/%d, best %.2f %% @ %lld cycles, %.1f/min", l->recorded,
                             l->job->budget, 100 * l->history.trial[best].top1,
                             (long long)l->history.trial[best].cycles, rate);
}

static int walk(struct loop *l)
{
    struct base_progress p;
    int landed = 0, rc = BASE_OK;
    bool found = true;
    base_progress_begin(&p, "search", l->recorded, l->job->budget);
    while (!rc) {
        if (base_stop_requested()) {
            rc = base_fail(BASE_STOPPED, "search stopped after %d of %d trials", l->recorded, l->job->budget);
        } else if (found && l->view.id < l->job->budget && l->view.id - l->history.n < l->width) {
            rc = launch(l, &found);
        } else if (l->history.n < l->view.id) {
            rc = land(l, &landed);
            if (!rc)
                show(l, &p);
        } else {
            break;
        }
    }
    if (rc)
        abandon(l, landed, rc);
    base_progress_end(&p, "%d trials%s", l->recorded, found ? "" : ": nothing new left in the space");
    if (rc == BASE_STOPPED)
        return base_hint(rc, "every finished trial is in %s: go on with --resume", search_study_path(l->study));
    return rc;
}

static int check_recorded(const struct loop *l)
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
    return BASE_OK;
}

/* Back to where the first trial that the study does not have is proposed: the last width - 1 ones are in flight then. */
static int replay(struct loop *l)
{
    int rc = check_recorded(l);
    if (rc)
        return rc;
    l->recorded = l->capacity = l->view.id = l->history.n;
    int seen = BASE_MAX(l->recorded - l->width + 1, 0);
    for (int i = seen; i < l->recorded; i++) {
        struct search_trial *t = &l->history.trial[i];
        *flight_of(l, i) = (struct flight){.is_recorded = true, .outcome = *t};
        *t = (struct search_trial){.id = i, .genes = t->genes, .n_genes = t->n_genes, .seed = t->seed, .agent = t->agent};
    }
    for (l->history.n = 0; !rc && l->history.n < seen;) {
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
    l.view = (struct search_view){.job = job, .history = &l.history, .costs = costs};
    l.width = BASE_MAX(job->parallel, 1);
    l.flight = BASE_NEW_N(struct flight, l.width);
    if (!rc)
        rc = l.flight && (l.genes = BASE_NEW_N(int, job->space->n)) ? check_limit(&l.view, l.genes) : BASE_NOMEM;
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
    base_free(l.flight);
    return rc;
}
