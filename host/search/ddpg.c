/* ddpg: deep deterministic policy gradient (Lillicrap et al., ICLR 2016) that walks over the genes of a network and decides
 * one a step, in three presets: amc (He et al., ECCV 2018), haq (Wang et al., CVPR 2019) and pocketflow (Wu et al., 2018).
 * They differ in what the state holds, in how an action becomes a gene and in how the limit is kept; docs/search.md has
 * the table.
 *
 * In all of them the state has the budget that is left; the replay holds what was executed, whatever clipping, repair or
 * an earlier agent made of it, in the order of the decisions; a moving average is taken off the reward. All of it
 * follows from the trials: `observe` learns from each as it comes, with random numbers of that trial's own.
 *
 * PocketFlow's own agent for bits had none of that: its defects are here one by one, on the preset pocketflow, so that
 * make bench-ablation can say what each repair is worth. */
#include "search/search_internal.h"

#include <math.h>
#include <string.h>

#include "search/mlp.h"

enum { BATCH = 64, UPDATES = 3 /* a step */, MAX_STATE = SEARCH_MAX_DIMS + 5 };
static const float TAU = 0.01f, ACTOR_RATE = 1e-3f, CRITIC_RATE = 1e-3f, BASELINE_DECAY = 0.95f, DISCOUNT = 0.9f;
/* A candidate is tried once, so an actor that is sure of itself would have nothing new to say: noise grows until it has. */
static const double LEAST_SIGMA = 0.02, LOUDER = 1.2;

/* What the repairs are measured against. BLIND: the budget is not in the state. OFF_SCALE: the replay holds a width in bits, from
 * its least up, where the actor says its distance from the least. SHUFFLED: walks decide the genes in random orders, which is
 * no defect; MIXED: and the replay tells them in the network's order all the same. */
enum defect { BLIND = 1, OFF_SCALE = 2, SHUFFLED = 4, MIXED = 8 };

struct preset {
    int warm_up;                       /* trials before the actor is asked */
    double sigma, decay;               /* of the noise after them, and its factor a trial */
    bool sees_last, sees_rest;         /* in the state: the action before and the kind of gene; what the genes to come could use */
    bool wall_at_end;                  /* the limit is kept by lowering from the last gene back, else step by step */
    bool last_takes_rest;
    double (*action_of)(int value, int values);
    int (*value_of)(double action, int values);   /* 0..values-1 */
    unsigned defects;
};

struct step { int next; float action, reward; };  /* next: row of the next state, -1 at the end */

struct ddpg {
    const struct preset *preset;
    const struct search_view *view;
    int n, width;                      /* genes; numbers in a state */
    int64_t floor, budget;             /* cycles of the cheapest, and of the dearest that is allowed */
    int64_t *share;                    /* [n] cycles that a gene adds, from its least to its most */
    int *partial, *order;              /* [n] what is decided, the rest at its least; gene by gene of a walk */
    struct mlp actor, critic, actor_target, critic_target;
    int n_step, capacity;
    struct step *step;                 /* the replay: reward of the whole walk */
    float *state;                      /* [capacity][width] */
    float *row, *next, *joint, *delta; /* a batch of states, of next ones, of states with actions, of gradients */
    double baseline, sum, square;      /* of rewards */
    int n_walk;
    int asked, asks;                   /* for which trial, how often again: what was proposed was known */
};

/* ---- actions and genes ----------------------------------------------------------------------------- */

static double ratio_of(int value, int values)
{
    return values > 1 ? (double)value / (values - 1) : 0;
}

/* AMC: a share of what there is, rounded up, of which something stays. */
static double share_of(int value, int values)
{
    return (value + 1.0) / values;
}

static int by_ceiling(double action, int values)
{
    return BASE_MAX((int)ceil(action * values - 1e-9) - 1, 0);
}

static int by_rounding(double action, int values)
{
    return (int)floor(action * (values - 1) + 0.5);
}

/* HAQ: every value has an equal share of the range. */
static double middle_of(int value, int values)
{
    return (value + 0.5) / values;
}

static int by_share(double action, int values)
{
    return BASE_MIN((int)(action * values), values - 1);
}

static const struct preset amc = {25, 0.5, 0.97, true, true, false, false, share_of, by_ceiling, 0};
static const struct preset haq = {25, 0.5, 0.98, true, false, true, false, middle_of, by_share, 0};
#define POCKETFLOW(defects) {25, 0.5, 0.97, false, false, false, true, ratio_of, by_rounding, defects}
static const struct preset pocketflow = POCKETFLOW(0), blind = POCKETFLOW(BLIND), off_scale = POCKETFLOW(OFF_SCALE), shuffled = POCKETFLOW(SHUFFLED),
                           mixed = POCKETFLOW(SHUFFLED | MIXED), unrepaired = POCKETFLOW(BLIND | OFF_SCALE | SHUFFLED | MIXED);

/* ---- states -------------------------------------------------------------------------------------------- */

/* Before the gene i is decided, `decided` holding those before it and the least of the rest. */
static int make_state(float *out, const struct ddpg *d, int i, const int *decided, double last, int64_t budget)
{
    const struct search_dim *dim = &d->view->job->space->dim[i];
    int64_t cycles = search_estimate(d->view->costs, decided);
    if (cycles < 0)
        return (int)cycles;
    double room = (double)BASE_MAX(d->budget - d->floor, 1), rest = 0;
    double left = BASE_MIN(BASE_MAX((double)(budget - cycles) / room, -1), 1);
    for (int k = i + 1; k < d->n; k++)
        rest += (double)d->share[k] / room;
    memset(out, 0, sizeof *out * (size_t)d->width);
    out[i] = 1;                        /* which gene: stands for the shapes of its layer, which this room does not know */
    float *more = out + d->n;
    *more++ = d->preset->defects & BLIND ? 0 : (float)left;
    *more++ = (float)((double)d->share[i] / room);
    if (d->preset->sees_last) {
        *more++ = (float)last;
        *more++ = search_is_width(dim) ? *dim->field == 'w' ? 1 : -1 : 0;
    }
    if (d->preset->sees_rest)
        *more++ = (float)(left > 0 ? left / (left + rest) : 0);
    return BASE_OK;
}

static int state_width(const struct preset *p, int n)
{
    return n + 2 + 2 * p->sees_last + p->sees_rest;
}

static void all_least(const struct ddpg *d, int *genes)
{
    for (int i = 0; i < d->n; i++)
        genes[i] = d->view->job->space->dim[i].lo;
}

/* The order in which walk number `id` decides. */
static void make_order(struct ddpg *d, int id, bool shuffle)
{
    struct base_rng rng;
    base_rng_stream(&rng, d->view->job->seed ^ 0x6f72646572, (uint64_t)id);
    for (int i = 0; i < d->n; i++)
        d->order[i] = i;
    for (int i = d->n - 1; shuffle && i > 0; i--) {
        int k = (int)base_rng_below(&rng, (uint32_t)i + 1), was = d->order[i];
        d->order[i] = d->order[k];
        d->order[k] = was;
    }
}

/* ---- what a trial was worth ---------------------------------------------------------------------------- */

static double reward_of(const struct ddpg *d, const struct search_trial *t)
{
    const struct search_objective *o = &d->view->job->objective;
    if (o->goal != SEARCH_MIN_CYCLES)
        return t->top1;
    return 1 - (double)t->cycles / (double)d->budget - 10 * BASE_MAX(t->loss - o->loss_max, 0);
}

static int grow(struct ddpg *d)
{
    if (d->n_step + d->n <= d->capacity)
        return BASE_OK;
    size_t was = (size_t)d->capacity, now = 2 * was + (size_t)(64 * d->n), width = (size_t)d->width;
    struct step *step = base_realloc(d->step, was * sizeof *step, now * sizeof *step);
    if (step)
        d->step = step;
    float *state = step ? base_realloc(d->state, was * width * sizeof *state, now * width * sizeof *state) : NULL;
    if (!state)
        return BASE_NOMEM;
    d->state = state;
    d->capacity = (int)now;
    return BASE_OK;
}

/* Into the replay: the walk that ends in this trial's genes. */
static int remember(struct ddpg *d, const struct search_trial *t)
{
    int rc = grow(d);
    double last = 0, reward = reward_of(d, t);
    int64_t budget = d->view->job->objective.goal == SEARCH_PARETO ? t->cycles : d->budget;   /* as if it had been asked for */
    all_least(d, d->partial);
    make_order(d, t->id, d->preset->defects & SHUFFLED && !(d->preset->defects & MIXED));
    for (int k = 0; !rc && k < d->n; k++) {
        int i = d->order[k];
        const struct search_dim *dim = &d->view->job->space->dim[i];
        rc = make_state(d->state + (size_t)d->n_step * (size_t)d->width, d, i, d->partial, last, budget);
        last = d->preset->action_of(t->genes[i] - dim->lo, dim->hi - dim->lo + 1) + (d->preset->defects & OFF_SCALE ? ratio_of(dim->lo, dim->hi - dim->lo + 1) : 0);
        d->partial[i] = t->genes[i];
        d->step[d->n_step] = (struct step){k + 1 < d->n ? d->n_step + 1 : -1, (float)last, (float)reward};
        d->n_step++;
    }
    d->baseline = d->n_walk ? BASELINE_DECAY * d->baseline + (1 - BASELINE_DECAY) * reward : reward;
    d->sum += reward;
    d->square += reward * reward;
    d->n_walk++;
    return rc;
}

/* ---- learning --------------------------------------------------------------------------------------------- */

static float squash(float x)
{
    return 1 / (1 + expf(-x));
}

/* states [BATCH][width] with the actions that the actor gives them: joint [BATCH][width + 1]. */
static void act(struct ddpg *d, struct mlp *actor, const float *states)
{
    mlp_forward(actor, states, BATCH);
    for (int i = 0; i < BATCH; i++) {
        memcpy(d->joint + i * (d->width + 1), states + i * d->width, sizeof *states * (size_t)d->width);
        d->joint[i * (d->width + 1) + d->width] = squash(actor->y[i]);
    }
}

static void learn_critic(struct ddpg *d, const int *pick)
{
    double n = d->n_walk, spread = sqrt(BASE_MAX(d->square / n - d->sum / n * (d->sum / n), 1e-10));
    float target[BATCH];
    act(d, &d->actor_target, d->next);
    mlp_forward(&d->critic_target, d->joint, BATCH);
    for (int i = 0; i < BATCH; i++) {
        const struct step *s = &d->step[pick[i]];
        double reward = BASE_MIN(BASE_MAX((s->reward - d->baseline) / spread, -3), 3) / d->n;
        target[i] = (float)reward + (s->next < 0 ? 0 : DISCOUNT * d->critic_target.y[i]);
        d->joint[i * (d->width + 1) + d->width] = s->action;
        memcpy(d->joint + i * (d->width + 1), d->row + i * d->width, sizeof *d->row * (size_t)d->width);
    }
    mlp_forward(&d->critic, d->joint, BATCH);
    for (int i = 0; i < BATCH; i++)
        d->delta[i] = 2 * (d->critic.y[i] - target[i]) / BATCH;
    mlp_backward(&d->critic, d->delta, BATCH);
    mlp_adam(&d->critic, CRITIC_RATE);
}

/* Up the critic's slope in the action. */
static void learn_actor(struct ddpg *d)
{
    act(d, &d->actor, d->row);
    mlp_forward(&d->critic, d->joint, BATCH);
    for (int i = 0; i < BATCH; i++)
        d->delta[i] = -1.0f / BATCH;
    mlp_backward(&d->critic, d->delta, BATCH);
    for (int i = 0; i < BATCH; i++) {
        float a = d->joint[i * (d->width + 1) + d->width];
        d->delta[i] = d->critic.dx[i * (d->width + 1) + d->width] * a * (1 - a);
    }
    mlp_backward(&d->actor, d->delta, BATCH);
    mlp_adam(&d->actor, ACTOR_RATE);
}

static void learn(struct ddpg *d, struct base_rng *rng)
{
    int pick[BATCH];
    for (int i = 0; i < BATCH; i++) {
        pick[i] = (int)base_rng_below(rng, (uint32_t)d->n_step);
        int next = BASE_MAX(d->step[pick[i]].next, 0);
        memcpy(d->row + i * d->width, d->state + (size_t)pick[i] * (size_t)d->width, sizeof *d->row * (size_t)d->width);
        memcpy(d->next + i * d->width, d->state + (size_t)next * (size_t)d->width, sizeof *d->row * (size_t)d->width);
    }
    learn_critic(d, pick);
    learn_actor(d);
    mlp_follow(&d->actor_target, &d->actor, TAU);
    mlp_follow(&d->critic_target, &d->critic, TAU);
}

static int observe(void *state, const struct search_view *view, const struct search_trial *t)
{
    struct ddpg *d = state;
    struct base_rng rng;
    if (t->state != SEARCH_DONE || t->cycles > search_limit(view->job))   /* a measurement: no walk ends there */
        return BASE_OK;
    int rc = remember(d, t);
    base_rng_stream(&rng, view->job->seed ^ 0x64647067, (uint64_t)t->id);
    for (int i = 0; !rc && i < UPDATES * d->n && d->n_walk >= d->preset->warm_up / 2; i++)
        learn(d, &rng);
    return rc;
}

/* ---- deciding --------------------------------------------------------------------------------------------- */

/* A normal variable within 0..1. */
static double truncated_normal(double mean, double sigma, struct base_rng *rng)
{
    for (int i = 0; i < 100; i++) {
        double v = mean + sigma * (double)base_rng_normal(rng);
        if (v >= 0 && v <= 1)
            return v;
    }
    return BASE_MIN(BASE_MAX(mean, 0), 1);
}

static double choose_action(struct ddpg *d, const float *state, struct base_rng *rng)
{
    int past = d->view->id - d->preset->warm_up;
    if (past < 0)
        return (double)base_rng_uniform(rng);
    mlp_forward(&d->actor, state, 1);
    double sigma = BASE_MAX(d->preset->sigma * pow(d->preset->decay, past), LEAST_SIGMA) * pow(LOUDER, d->asks);
    return truncated_normal((double)squash(*d->actor.y), BASE_MIN(sigma, 1), rng);
}

/* The gene i no wider than leaves the rest its least. */
static int wall(struct ddpg *d, int i, int64_t budget, int *genes)
{
    for (;; genes[i]--) {
        int64_t cycles = search_estimate(d->view->costs, genes);
        if (cycles < 0)
            return (int)cycles;
        if (cycles <= budget || genes[i] == d->view->job->space->dim[i].lo)
            return BASE_OK;
    }
}

/* HAQ's: from the last gene to the first, again and again, one less each, until the limit is met. */
static int sweep(struct ddpg *d, int64_t budget, int *genes)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = d->n - 1; i >= 0; i--) {
            int64_t cycles = search_estimate(d->view->costs, genes);
            if (cycles < 0 || cycles <= budget)
                return cycles < 0 ? (int)cycles : BASE_OK;
            if (genes[i] > d->view->job->space->dim[i].lo) {
                genes[i]--;
                moved = true;
            }
        }
    }
    return BASE_OK;
}

static int walk(struct ddpg *d, struct base_rng *rng, int *genes)
{
    const struct search_space *s = d->view->job->space;
    int64_t budget = d->view->job->objective.goal == SEARCH_PARETO ? search_draw_limit(d->view, d->floor, rng) : d->budget;
    double last = 0;
    int rc = BASE_OK;
    all_least(d, genes);
    make_order(d, d->view->id, d->preset->defects & SHUFFLED);
    for (int k = 0; !rc && k < d->n; k++) {
        int i = d->order[k];
        int values = s->dim[i].hi - s->dim[i].lo + 1;
        float state[MAX_STATE];
        rc = make_state(state, d, i, genes, last, budget);
        if (rc)
            break;
        bool takes_rest = d->preset->last_takes_rest && k == d->n - 1;
        genes[i] = s->dim[i].lo + (takes_rest ? values - 1 : d->preset->value_of(choose_action(d, state, rng), values));
        if (!d->preset->wall_at_end)
            rc = wall(d, i, budget, genes);
        last = d->preset->action_of(genes[i] - s->dim[i].lo, values);
    }
    return !rc && d->preset->wall_at_end ? sweep(d, budget, genes) : rc;
}

static int propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    struct ddpg *d = state;
    bool started;
    int rc = search_start(view, rng, genes, &started);
    if (rc || started)
        return rc;
    d->asks = d->asked == view->id ? d->asks + 1 : 0;
    d->asked = view->id;
    return walk(d, rng, genes);
}

/* ---- birth and death ------------------------------------------------------------------------------------------ */

static void destroy(void *state)
{
    struct ddpg *d = state;
    if (!d)
        return;
    mlp_free(&d->actor);
    mlp_free(&d->critic);
    mlp_free(&d->actor_target);
    mlp_free(&d->critic_target);
    void *const all[] = {d->share, d->partial, d->order, d->step, d->state, d->row, d->next, d->joint, d->delta};
    for (int i = 0; i < BASE_COUNT(all); i++)
        base_free(all[i]);
    base_free(d);
}

/* What the cheapest costs, what each gene adds to it, and what may be spent. */
static int measure_budget(struct ddpg *d)
{
    const struct search_job *job = d->view->job;
    struct search_pair pair[SEARCH_MAX_PAIRS];
    int n_pair = 0, rc = BASE_OK;
    all_least(d, d->partial);
    d->floor = search_estimate(d->view->costs, d->partial);
    d->budget = job->objective.cycles_limit;
    if (d->floor < 0)
        return (int)d->floor;
    if (d->budget <= 0 && !(rc = search_pairs(pair, &n_pair, job)))
        d->budget = n_pair ? pair[0].cycles : 2 * d->floor;
    for (int i = 0; !rc && i < d->n; i++) {
        d->partial[i] = job->space->dim[i].hi;
        int64_t cycles = search_estimate(d->view->costs, d->partial);
        d->share[i] = BASE_MIN(cycles, d->budget) - d->floor;
        d->partial[i] = job->space->dim[i].lo;
        rc = cycles < 0 ? (int)cycles : BASE_OK;
    }
    return rc;
}

static int create(void **state, const struct search_view *view, const struct preset *preset)
{
    struct ddpg *d = BASE_NEW(struct ddpg);
    struct base_rng rng;
    *state = d;
    if (!d)
        return BASE_NOMEM;
    d->preset = preset;
    d->view = view;
    d->n = view->job->space->n;
    d->width = state_width(preset, d->n);
    if (!(d->share = BASE_NEW_N(int64_t, d->n)) || !(d->partial = BASE_NEW_N(int, d->n)) || !(d->order = BASE_NEW_N(int, d->n)) || !(d->row = BASE_NEW_N(float, BATCH * d->width)) ||
        !(d->next = BASE_NEW_N(float, BATCH * d->width)) || !(d->joint = BASE_NEW_N(float, BATCH * (d->width + 1))) || !(d->delta = BASE_NEW_N(float, BATCH)))
        return BASE_NOMEM;
    base_rng_stream(&rng, view->job->seed ^ 0x64647067, ~(uint64_t)0);
    int rc = mlp_new(&d->actor, d->width, BATCH, &rng);
    if (!rc)
        rc = mlp_new(&d->critic, d->width + 1, BATCH, &rng);
    if (!rc)
        rc = mlp_new(&d->actor_target, d->width, BATCH, &rng);
    if (!rc)
        rc = mlp_new(&d->critic_target, d->width + 1, BATCH, &rng);
    if (rc)
        return rc;
    mlp_follow(&d->actor_target, &d->actor, 1);
    mlp_follow(&d->critic_target, &d->critic, 1);
    return measure_budget(d);
}

#define AGENT(preset, label) \
    static int create_##preset(void **state, const struct search_view *view) { return create(state, view, &preset); } \
    const struct search_agent search_agent_##preset = {label, propose, create_##preset, observe, destroy};
AGENT(amc, "ddpg-amc")
AGENT(haq, "ddpg-haq")
AGENT(pocketflow, "ddpg-pocketflow")
AGENT(blind, "ddpg-blind")
AGENT(off_scale, "ddpg-off-scale")
AGENT(shuffled, "ddpg-shuffled")
AGENT(mixed, "ddpg-mixed")
AGENT(unrepaired, "ddpg-unrepaired")
