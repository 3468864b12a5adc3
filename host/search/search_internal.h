/* search_internal: what an agent is, and the study's calls that only the driver makes. */
#ifndef SEARCH_INTERNAL_H
#define SEARCH_INTERNAL_H

#include "search/search.h"

/* What an agent may look at. Living as long as the agent. */
struct search_view {
    const struct search_job *job;
    const struct search_trials *history; /* grows; finished and failed trials by id */
};

/* One file and one line of the table in agents.c. `propose` fills genes[space.n] from the
 * history and the random stream only; it need not be new nor within the limit: the driver
 * asks again with the stream running on, and repairs. */
struct search_agent {
    const char *name;
    int (*create)(void **state, const struct search_view *view);
    int (*propose)(void *state, const struct search_view *view, struct base_rng *rng, int *genes);
    int (*observe)(void *state, const struct search_view *view, const struct search_trial *trial);
    void (*destroy)(void *state);
};
extern const struct search_agent search_agent_random, search_agent_evolve;
const struct search_agent *search_agent_find(const char *name);

/* Uniform over the space. */
void search_uniform(const struct search_space *s, struct base_rng *rng, int *genes);
/* Lowers random genes by one until the cost is within the limit. BASE_TARGET if the floor is reached. */
int search_repair(const struct search_job *job, struct base_rng *rng, int *genes);

int search_study_begin(struct search_study *s, const struct search_trial *t);
/* The recorded row of `t` (by id) becomes t's state and results. */
int search_study_finish(struct search_study *s, const struct search_trial *t);
int search_study_forget(struct search_study *s, int id);
const char *search_study_path(const struct search_study *s);

#endif
