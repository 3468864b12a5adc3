/* search_planted: searches whose answers are known, in microseconds a candidate: layers differ in what a bit is worth and in
 * what it costs. */
#ifndef SEARCH_PLANTED_H
#define SEARCH_PLANTED_H

#include <math.h>
#include <string.h>
#include <time.h>

#include "search/search.h"
#include "unit.h"

enum { LAYERS = 6, DIMS = 2 * LAYERS, WIDE_LAYERS = 18, WIDE_DIMS = 2 * WIDE_LAYERS };

/* ---- six layers ----------------------------------------------------------------------------------- */

static const struct search_dim dims[DIMS] = {
    {"l0", "w_bits", 2, 8}, {"l0", "a_bits", 2, 8}, {"l1", "w_bits", 2, 8}, {"l1", "a_bits", 2, 8},
    {"l2", "w_bits", 2, 8}, {"l2", "a_bits", 2, 8}, {"l3", "w_bits", 2, 8}, {"l3", "a_bits", 2, 8},
    {"l4", "w_bits", 2, 8}, {"l4", "a_bits", 2, 8}, {"l5", "w_bits", 2, 8}, {"l5", "a_bits", 2, 8},
};
static const struct search_space space = {DIMS, dims};

static const double worth[DIMS] = {9, 1, 4, 2, 1, 1, 6, 3, 1, 2, 2, 8};
static const int price[LAYERS] = {10, 40, 40, 20, 80, 10};

struct planted { int calls, fail_at, stop_at, sleep_us, costs; const char *name; };

static inline int64_t planted_cost(void *ctx, const int *g)
{
    ((struct planted *)ctx)->costs++;
    int64_t c = 100;
    for (int i = 0; i < LAYERS; i++)
        c += price[i] * g[2 * i] * g[2 * i + 1];
    return c;
}

/* Without the noise that a candidate's seed adds. */
static inline double planted_loss(const int *g)
{
    double loss = 0;
    for (int i = 0; i < DIMS; i++)
        loss += worth[i] * exp2(-g[i]) / 20;
    return loss;
}

static inline int planted_evaluate(void *ctx, const int *g, uint64_t seed, struct search_result *out)
{
    struct planted *p = ctx;
    int call = p->calls++;
    if (p->sleep_us)
        nanosleep(&(struct timespec){0, 1000L * p->sleep_us}, NULL);
    if (p->stop_at && call == p->stop_at)
        return base_fail(BASE_IO, "the disk is gone");
    if (p->fail_at && call == p->fail_at)
        return base_fail(BASE_INPUT, "node '%s': cannot be lowered", p->name ? p->name : "x");
    struct base_rng rng;
    base_rng_seed(&rng, seed);
    out->loss = planted_loss(g) + 1e-4 * (double)base_rng_uniform(&rng);
    out->top1 = 0.95 - out->loss;
    out->cycles = planted_cost(ctx, g);
    out->size_bytes = 1000;
    out->cycles_source = "model";
    out->recipe_yaml = base_strdup("default: {w_bits: 4}\n");
    return BASE_OK;
}

static inline struct search_job job_of(const char *agent, uint64_t seed, int budget, struct planted *p)
{
    return (struct search_job){
        .space = &space, .objective = {.goal = SEARCH_MAX_TOP1, .cycles_limit = 3000}, .agent = agent, .seed = seed, .budget = budget,
        .ctx = p, .evaluate = planted_evaluate, .cost = planted_cost,
    };
}

/* ---- eighteen layers, as in a residual network: compute or memory sets a layer's cycles, losses multiply, and the
 * accuracy is what 2,000 images can show ------------------------------------------------------------------ */

static const char *const wide_name[WIDE_LAYERS] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11", "c12", "c13", "c14", "c15", "c16", "c17"};

static inline const struct search_space *wide_space(void)
{
    static struct search_dim d[WIDE_DIMS];
    static const struct search_space s = {WIDE_DIMS, d};
    for (int i = 0; i < WIDE_LAYERS; i++) {
        d[2 * i] = (struct search_dim){wide_name[i], "w_bits", 2, 8};
        d[2 * i + 1] = (struct search_dim){wide_name[i], "a_bits", 2, 8};
    }
    return &s;
}

static inline int64_t wide_cost(void *ctx, const int *g)
{
    ((struct planted *)ctx)->costs++;
    int64_t c = 400;
    for (int i = 0; i < WIDE_LAYERS; i++) {
        int stage = i / 6, macs = 40, memory = 200 >> stage;   /* as many operations everywhere, smaller maps */
        c += 20 + BASE_MAX(macs * g[2 * i] * g[2 * i + 1], memory * g[2 * i + 1]);
    }
    return c;
}

static inline int wide_evaluate(void *ctx, const int *g, uint64_t seed, struct search_result *out)
{
    struct base_rng rng;
    double left = 1;
    base_rng_seed(&rng, 99);
    for (int i = 0; i < WIDE_DIMS; i++) {
        double worth_of = exp2(3 * (double)base_rng_uniform(&rng));      /* 1..8 */
        left *= 1 - BASE_MIN(worth_of * exp2(-2 * g[i]) / 5, 0.9);
    }
    base_rng_seed(&rng, seed);
    ((struct planted *)ctx)->calls++;
    double top1 = 0.1 + 0.82 * left + 0.002 * (double)base_rng_normal(&rng);
    out->top1 = floor(2000 * BASE_MIN(BASE_MAX(top1, 0), 1)) / 2000;
    out->loss = 0.92 - out->top1;
    out->cycles = wide_cost(ctx, g);
    out->cycles_source = "model";
    return BASE_OK;
}

static inline struct search_job wide_job(const char *agent, uint64_t seed, int budget, struct planted *p)
{
    return (struct search_job){
        .space = wide_space(), .objective = {.goal = SEARCH_MAX_TOP1, .cycles_limit = 9000}, .agent = agent, .seed = seed, .budget = budget,
        .ctx = p, .evaluate = wide_evaluate, .cost = wide_cost,
    };
}

/* ---- running one ------------------------------------------------------------------------------------ */

/* A whole search in a new study; its trials are the caller's. */
static inline void planted_run(struct search_trials *t, const char *dir, const struct search_job *job)
{
    const char *path = unit_path(dir, "planted.db");
    struct search_study *s;
    remove(path);
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_ok(search_run(s, job));
    assert_ok(search_study_trials(s, t));
    search_study_close(s);
}

#endif
