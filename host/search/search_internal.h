/* search_internal: what an agent is, and the study's calls that only the driver makes. */
#ifndef SEARCH_INTERNAL_H
#define SEARCH_INTERNAL_H

#include "search/search.h"

/* What an agent may look at. Living as long as the agent. */
struct search_view {
    const struct search_job *job;
    const struct search_trials *history; /* grows; finished and failed trials by id */
    int id;                              /* of the trial being proposed; history->trial[history->n .. id - 1] are in flight: */
                                         /* their genes are known, nothing else */
    struct search_costs *costs;          /* of candidates, remembered */
};

/* One file and one line of the table in agents.c. `propose` fills genes[space.n] from the
 * history and the random stream only; it need not be new nor within the limit: the driver
 * asks again with the stream running on, and repairs, unless `propose` returns SEARCH_AS_IT_IS: a measurement that no limit binds. An agent that rebuilds something from trial to trial has the other three:
 * `observe` sees every trial once, in order; `destroy` takes a NULL state. */
enum { SEARCH_AS_IT_IS = 1 };
struct search_agent {
    const char *name;
    int (*propose)(void *state, const struct search_view *view, struct base_rng *rng, int *genes);
    int (*create)(void **state, const struct search_view *view);
    int (*observe)(void *state, const struct search_view *view, const struct search_trial *trial);
    void (*destroy)(void *state);
};
extern const struct search_agent search_agent_random, search_agent_evolve, search_agent_gp, search_agent_tpe, search_agent_amc, search_agent_haq, search_agent_pocketflow, search_agent_ilp;
/* With the defects that the presets have repaired (ddpg.c): for measurements, not among search_agents(). */
extern const struct search_agent search_agent_blind, search_agent_off_scale, search_agent_shuffled, search_agent_mixed, search_agent_unrepaired;
const struct search_agent *search_agent_find(const char *name);

/* ---- what candidates cost (costs.c) */
int search_costs_new(struct search_costs **out, const struct search_job *job);   /* free *out also after an error */
void search_costs_free(struct search_costs *c);
/* As job->cost says, which is asked once. */
int64_t search_cost(struct search_costs *c, const int *genes);
/* The same as a sum over layers, each known from one question a combination of its own genes: exact where layers do not
 * influence each other, cheap for thousands of candidates. */
int64_t search_estimate(struct search_costs *c, const int *genes);
/* [dims]: genes of one layer have one number, 0..*n-1. */
const int *search_groups(const struct search_costs *c, int *n);

/* ---- what agents share (start.c, agents.c) */
bool search_is_width(const struct search_dim *d);
/* The first trials (SEARCH_AS_IT_IS: outside any limit): *started says that genes were filled; false: the agent's turn has come, one trial at least is done. */
int search_start(const struct search_view *view, struct base_rng *rng, int *genes, bool *started);
/* Measures what each gene is worth by itself, which takes genes + 1 trials outside any limit (SEARCH_AS_IT_IS), then proposes
 * the `most` answers of the integer program to that (ilp.c); *started = false: it is through. */
int search_sensitive_start(const struct search_view *view, int most, struct base_rng *rng, int *genes, bool *started);
/* One or two genes, moved by 1 or 2. */
void search_mutate(const struct search_space *s, struct base_rng *rng, int *genes);
/* Uniform over the space. */
void search_uniform(const struct search_space *s, struct base_rng *rng, int *genes);
/* Lowers random genes by one until the cost is within the limit and the candidate can be built. BASE_TARGET if the floor
 * is reached. */
int search_lower(const struct search_view *view, int64_t limit, struct base_rng *rng, int *genes);
/* The same for the limit in force. */
int search_repair(const struct search_view *view, struct base_rng *rng, int *genes);
/* The limit in force; where there is none, whatever can be built. */
int64_t search_limit(const struct search_job *job);
/* The same by the estimate, for agents that look at many candidates: lowers to `limit`, as far as that goes. */
int search_fit(const struct search_view *view, int64_t limit, struct base_rng *rng, int *genes);
/* Raises random genes by one, as many as there are, where the estimate stays within the limit. */
int search_fill(const struct search_view *view, int64_t limit, struct base_rng *rng, int *genes);
/* Whether a trial, perhaps one in flight, has had these genes. */
bool search_known(const struct search_view *view, const int *genes);
/* Finished trials, the best first (SEARCH_PARETO: front by front): index [history->n]; returns how many, negative = base_code. */
int search_order(const struct search_view *view, int *index);
/* The accuracy that a candidate of so many cycles must be able to reach to matter: for the most accurate that of the fourth
 * best, for a loss the least that keeps it, for the trade-off that of what is no slower. */
double search_hopeless_below(const struct search_objective *o, const struct search_trials *t, int64_t cycles);
/* SEARCH_PARETO: what a candidate of so many cycles adds to the hypervolume, `gain` saying what one above `level`, the best
 * accuracy so far of what is no slower, is worth. */
typedef double search_gain_fn(void *ctx, double level);
double search_gain(const struct search_objective *o, const struct search_trials *t, int64_t cycles, search_gain_fn *gain, void *ctx);
/* SEARCH_PARETO: an upper limit of cycles for one proposal, between `floor` and the reference, even in their logarithm. */
int64_t search_draw_limit(const struct search_view *view, int64_t floor, struct base_rng *rng);

int search_study_begin(struct search_study *s, const struct search_trial *t);
/* The recorded row of `t` (by id) becomes t's state and results. */
int search_study_finish(struct search_study *s, const struct search_trial *t);
int search_study_forget(struct search_study *s, int id);
const char *search_study_path(const struct search_study *s);

#endif
