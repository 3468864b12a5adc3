/* search: finds the bits of every layer: a space, a study that survives anything, agents.
 *
 * A candidate is a vector of small integers (genes), one per dimension of the space. What it
 * means and what it costs is the caller's: two callbacks. Agents are deterministic functions
 * of (seed, trials so far) and keep nothing else, so a search that was killed and resumed
 * walks the same way as one that was not. docs/search.md has the study's schema.
 */
#ifndef SEARCH_H
#define SEARCH_H

#include "base/base.h"

enum { SEARCH_MAX_DIMS = 512, SEARCH_MAX_PARALLEL = 1024 };

/* ---- the space ------------------------------------------------------------ */
struct search_dim {
    const char *layer;             /* a layer's name */
    const char *field;             /* w_bits | a_bits | keep, sparsity, levels (an index into shares of channels, of zeros, kinds of levels) */
    int lo, hi;                    /* inclusive */
};
struct search_space { int n; const struct search_dim *dim; };

/* ---- what is wanted ------------------------------------------------------- */
enum search_goal {
    SEARCH_MAX_TOP1,               /* the most accurate with cycles <= cycles_limit */
    SEARCH_MIN_CYCLES,             /* the fastest with loss <= loss_max */
    SEARCH_PARETO,                 /* the trade-off of accuracy against cycles; limit and loss_max hold */
};
struct search_objective {
    enum search_goal goal;
    int64_t cycles_limit;          /* 0 = none; holds for all goals */
    double loss_max;               /* same unit as search_result.loss; not for SEARCH_MAX_TOP1 */
    double reference_top1;         /* SEARCH_PARETO: the point that hypervolume is measured from, which no */
    int64_t reference_cycles;      /* useful network is worse than in either */
};

/* ---- one candidate's outcome ---------------------------------------------- */
enum { SEARCH_GIVEN_UP = -1, SEARCH_CHEAP = 0 };   /* rungs of trials */
struct search_result {
    double hopeless_below;         /* filled in by the driver: what certainly stays below this accuracy need not be judged in */
                                   /* full: set rung = SEARCH_GIVEN_UP then; 0: judge in full */
    int rung;
    double top1;                   /* on the validation split, 0..1 */
    double loss;                   /* accuracy lost against the float network, 0..1 */
    int64_t cycles, size_bytes;
    int feasible;                  /* the caller's own constraints; the objective's are added */
    double wall_s;                 /* 0: the driver's own clock is taken */
    const char *cycles_source;     /* rtl | rtl-table | model | ...; copied at once */
    const char *board;             /* that the cycles are of, by name; copied at once; NULL allowed */
    char *recipe_yaml;             /* base_alloc'd; the driver frees it; NULL allowed */
};

/* Fills *out, which comes zeroed but for hopeless_below and feasible = 1. BASE_INPUT and BASE_TARGET say that this
 * candidate cannot be built: the trial is recorded as failed and the search goes on. Any
 * other error ends the search, and the trial is as if it had never begun. */
typedef int search_evaluate_fn(void *ctx, const int *genes, uint64_t seed, struct search_result *out);
/* The same in two steps, for several candidates at once: `start` begins the evaluation of trial `id` and may return before
 * it is done; `collect` waits for its outcome. Both are called in the order of ids. What was started is collected, once, also
 * after an error or a signal; until then genes stay where they are. An error of `start` ends the search. */
typedef int search_start_fn(void *ctx, int id, const int *genes, uint64_t seed, double hopeless_below);
typedef int search_collect_fn(void *ctx, int id, struct search_result *out);
/* Cycles by the model, cheap; SEARCH_UNBUILDABLE: wider than what can be built, the message says why;
 * negative = one of base_code. */
#define SEARCH_UNBUILDABLE INT64_MAX
typedef int64_t search_cost_fn(void *ctx, const int *genes);

/* ---- the study ------------------------------------------------------------ */
struct search_study;
enum search_open {
    SEARCH_CREATE,                 /* refuses a file that has trials */
    SEARCH_RESUME,                 /* must exist; trials in flight are forgotten */
    SEARCH_READ,                   /* must exist; changes nothing, also while a search runs */
};
/* CREATE and RESUME hold a lock (PATH.lock) until search_study_close: one search per file. */
int search_study_open(struct search_study **out, const char *path, enum search_open how);
void search_study_close(struct search_study *s);

/* The configuration that the trials depend on. The first call keeps it; a later one is
 * BASE_INPUT naming every key that differs. The budget must not be among the keys: a study
 * may be resumed with a larger one. */
struct search_setting { const char *key, *value; };
int search_study_bind(struct search_study *s, const struct search_setting *setting, int n);

/* Free notes (`chosen`, `float_top1`, ...). get: *out is base_alloc'd, NULL if there is none. */
int search_study_set(struct search_study *s, const char *key, const char *value);
int search_study_get(struct search_study *s, const char *key, char **out);

/* Every look at the test set is written here before it happens (result NULL) and completed
 * after it. *id identifies it for the completion. */
int search_study_test_open(struct search_study *s, const char *what, int64_t *id);
int search_study_test_result(struct search_study *s, int64_t id, const char *result);
int search_study_test_openings(struct search_study *s, int *count);

enum search_state { SEARCH_RUNNING, SEARCH_DONE, SEARCH_FAILED };
struct search_trial {
    int id;                        /* from 0, in order of evaluation */
    enum search_state state;
    const int *genes;              /* [n_genes] */
    int n_genes;
    const char *recipe, *agent, *cycles_source, *board, *error, *started, *ended; /* "" if unknown */
    uint64_t seed;
    int rung, feasible;            /* SEARCH_GIVEN_UP: top1 is of a first slice of the images; never the best, nor on the front */
    double top1, loss, wall_s;
    int64_t cycles, size_bytes;
};
struct search_trials { struct base_arena *arena; struct search_trial *trial; int n; };
/* All trials by id. The caller ends it with search_trials_free. */
int search_study_trials(struct search_study *s, struct search_trials *out);
void search_trials_free(struct search_trials *t);
int search_study_csv(struct search_study *s, struct base_text *out);
int search_study_json(struct search_study *s, struct base_text *out);

/* ---- finalists ------------------------------------------------------------ */
enum { SEARCH_SHORT = 1, SEARCH_FULL = 2 };        /* rungs of finalists, above SEARCH_CHEAP */
/* A trial's recipe, or a uniform rival's, built again for the verdict: judged on all held-out images, with or without
 * fine-tuning. */
struct search_finalist {
    int id;                        /* from 1, in order of building */
    int parent;                    /* trial, -1 = none: a uniform recipe */
    int rung;                      /* SEARCH_CHEAP: not fine-tuned, SEARCH_SHORT, SEARCH_FULL */
    enum search_state state;
    const char *name, *recipe;     /* recipe: YAML, with its fine-tuning */
    const char *cycles_source, *board, *error, *started, *ended; /* "" if unknown */
    int images;                    /* that top1 is of */
    double top1, loss, wall_s;
    int64_t cycles, size_bytes;
};
struct search_finalists { struct base_arena *arena; struct search_finalist *finalist; int n; };
/* All by id; of a study of format 1 none. The caller ends it with search_finalists_free. */
int search_study_finalists(struct search_study *s, struct search_finalists *out);
void search_finalists_free(struct search_finalists *f);
/* A row before it is built: parent, rung, name, recipe are written; fills in f->id. A row still `running` is forgotten when
 * the study is opened for writing. */
int search_study_finalist_begin(struct search_study *s, struct search_finalist *f);
/* f->state and the results. */
int search_study_finalist_finish(struct search_study *s, const struct search_finalist *f);
/* Cycles as measured later. */
int search_study_finalist_cycles(struct search_study *s, int id, int64_t cycles, const char *cycles_source);

/* ---- judging trials ------------------------------------------------------- */
/* True if `a` is better than `b`. Ties go to fewer cycles, then to the earlier trial. */
bool search_better(const struct search_objective *o, const struct search_trial *a, const struct search_trial *b);
/* Index of the best feasible finished trial, of SEARCH_PARETO the front's knee; -1 if there is none. */
int search_best(const struct search_objective *o, const struct search_trials *t);
/* flag[i] = trial i is finished and no finished one has both more accuracy and fewer cycles
 * (of equal ones the first). Returns how many. */
int search_pareto(const struct search_trials *t, bool *flag);
/* Share, 0..1, of the rectangle from the reference to (0 cycles, accuracy 1) that the feasible trials dominate. */
double search_hypervolume(const struct search_objective *o, const struct search_trials *t);

/* What each gene is worth by itself: accuracy lost where it alone goes to its least, from trials that differ in nothing
 * else from the widest one; worth [genes], NAN where there is no such trial. */
void search_sensitivities(double *worth, const struct search_space *s, const struct search_trials *t);

/* ---- running -------------------------------------------------------------- */
/* What every agent but `random` tries first: uniform recipes, and then either a few random ones, or what each gene is worth by
 * itself (genes + 1 trials, outside any limit) and the recipes that follow from it; in spaces of many genes always the former. */
enum search_start { SEARCH_FROM_UNIFORM, SEARCH_FROM_SENSITIVITIES };
struct search_job {
    const struct search_space *space;
    struct search_objective objective;
    const char *agent;             /* one of search_agents() */
    enum search_start from;
    uint64_t seed;
    int budget;                    /* trials in all, those of an earlier run included */
    int parallel;                  /* trials in flight, 0 as 1: which trials there are depends on it, so it belongs to the */
                                   /* configuration; not on how many are really evaluated side by side */
    void *ctx;
    search_evaluate_fn *evaluate;  /* or both of: */
    search_start_fn *start;
    search_collect_fn *collect;
    search_cost_fn *cost;
};
/* Evaluates candidates until the study has `budget` trials or the space is used up. BASE_TARGET
 * if even the cheapest candidate is over cycles_limit (says by how much); BASE_STOPPED after a
 * signal, with a study that can be resumed. */
int search_run(struct search_study *s, const struct search_job *job);
/* Uniform pairs of widths worth knowing, dearest first: of those within the limit the ones that no wider pair within it
 * contains; without a limit, and for SEARCH_PARETO, those whose two widths differ by at most one. */
enum { SEARCH_MAX_BITS = 8, SEARCH_MAX_PAIRS = SEARCH_MAX_BITS * SEARCH_MAX_BITS };
struct search_pair { int w, a; int64_t cycles; };
int search_pairs(struct search_pair out[SEARCH_MAX_PAIRS], int *n, const struct search_job *job);
/* The genes of w weight bits and a activation bits everywhere, moved into each range; what is no width is left as dear
 * as it can be. */
void search_pair_genes(const struct search_space *s, int w, int a, int *genes);
/* Space-separated names, for messages and --help. */
const char *search_agents(void);

#endif
