/* search agents on planted problems: each beats random at equal budget. BITPRESS_BENCH=all (make bench-agents) prints the
 * whole table of docs/search.md, BITPRESS_PARALLEL=N the one with N trials in flight, BITPRESS_ABLATION=1 (make bench-ablation) that of
 * ddpg's defects. */
#define _GNU_SOURCE
#include "search_planted.h"

#include <stdlib.h>

enum { SEEDS = 5 };

typedef struct search_job make_job(const char *agent, uint64_t seed, int budget, struct planted *p);

/* Standard deviation over the seeds. */
static double deviation_of(double sum, double square)
{
    return sqrt(BASE_MAX(square / SEEDS - sum / SEEDS * sum / SEEDS, 0) * SEEDS / (SEEDS - 1));
}

/* Mean and standard deviation, over seeds 1..5, of the best accuracy. */
static double mean_best(double *deviation, make_job *make, const char *agent, enum search_start from, int budget)
{
    const char *dir = unit_scratch();
    double sum = 0, square = 0, start = base_seconds();
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct planted p = {0};
        struct search_job job = make(agent, seed, budget, &p);
        struct search_trials t;
        const char *parallel = getenv("BITPRESS_PARALLEL");
        job.parallel = parallel ? atoi(parallel) : 1;
        job.from = from;
        planted_run(&t, dir, &job);
        double best = t.trial[search_best(&job.objective, &t)].top1;
        search_trials_free(&t);
        sum += best;
        square += best * best;
    }
    unit_remove(dir);
    *deviation = deviation_of(sum, square);
    print_message("# %-15s from %-13s %4d trials: %.4f +- %.4f (%.1f s)\n", agent, from ? "sensitivities" : "uniform", budget, sum / SEEDS, *deviation, base_seconds() - start);
    return sum / SEEDS;
}

static void every_agent_beats_random(void **state)
{
    (void)state;
    static const char *const agents[] = {"evolve", "gp", "tpe", "ilp"};
    double deviation, random = mean_best(&deviation, job_of, "random", SEARCH_FROM_UNIFORM, 60);
    for (int i = 0; i < BASE_COUNT(agents); i++)
        assert_true(mean_best(&deviation, job_of, agents[i], SEARCH_FROM_UNIFORM, 60) > random);
}

/* What 13 measurements cost is won back within 50 trials, by every agent that does not measure anyway. */
static void sensitivities_are_a_good_start(void **state)
{
    (void)state;
    static const char *const agents[] = {"evolve", "gp", "tpe"};
    double deviation;
    for (int i = 0; i < BASE_COUNT(agents); i++)
        assert_true(mean_best(&deviation, job_of, agents[i], SEARCH_FROM_SENSITIVITIES, 50) > mean_best(&deviation, job_of, agents[i], SEARCH_FROM_UNIFORM, 50));
}

/* ---- the trade-off --------------------------------------------------------------------------------------- */

static double mean_hypervolume(const char *agent, int budget)
{
    const char *dir = unit_scratch();
    double sum = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct planted p = {0};
        struct search_job job = job_of(agent, seed, budget, &p);
        struct search_trials t;
        job.objective = (struct search_objective){.goal = SEARCH_PARETO, .loss_max = 1, .reference_top1 = 0.1, .reference_cycles = 12900};
        planted_run(&t, dir, &job);
        sum += search_hypervolume(&job.objective, &t) / SEEDS;
        search_trials_free(&t);
    }
    unit_remove(dir);
    print_message("# %-15s %d trials: hypervolume %.4f\n", agent, budget, sum);
    return sum;
}

static void every_agent_finds_a_better_front_than_random(void **state)
{
    (void)state;
    static const char *const agents[] = {"evolve", "gp", "tpe", "ddpg-amc", "ilp"};
    double random = mean_hypervolume("random", 50);
    for (int i = 0; i < BASE_COUNT(agents); i++)
        assert_true(mean_hypervolume(agents[i], 50) > random);
}

/* ---- DDPG on a problem that is small enough to try everything ------------------------------------------ */

enum { FEW = 8, FEW_BITS = 4 };        /* genes, 2..5 each: 65,536 candidates */

static const struct search_dim few_dims[FEW] = {
    {"l0", "w_bits", 2, 5}, {"l1", "w_bits", 2, 5}, {"l2", "w_bits", 2, 5}, {"l3", "w_bits", 2, 5},
    {"l4", "w_bits", 2, 5}, {"l5", "w_bits", 2, 5}, {"l6", "w_bits", 2, 5}, {"l7", "w_bits", 2, 5},
};
static const struct search_space few_space = {FEW, few_dims};

static int64_t few_cost(void *ctx, const int *g)
{
    static const int price_of[FEW] = {5, 30, 30, 10, 40, 40, 5, 20};
    int64_t c = 0;
    (void)ctx;
    for (int i = 0; i < FEW; i++)
        c += price_of[i] * g[i];
    return c;
}

static double few_top1(const int *g)
{
    static const double worth_of[FEW] = {8, 1, 6, 2, 1, 5, 9, 2};
    double loss = 0;
    for (int i = 0; i < FEW; i++)
        loss += worth_of[i] * exp2(-g[i]) / 16;
    return 0.95 - loss;
}

static int few_evaluate(void *ctx, const int *g, uint64_t seed, struct search_result *out)
{
    (void)ctx, (void)seed;
    out->top1 = few_top1(g);
    out->cycles = few_cost(NULL, g);
    return BASE_OK;
}

enum { FEW_LIMIT = 560 };              /* everything at 2 bits takes 360, at 5 bits 900 */

static struct search_job few_job(const char *agent, uint64_t seed, int budget, struct planted *p)
{
    return (struct search_job){.space = &few_space, .objective = {.goal = SEARCH_MAX_TOP1, .cycles_limit = FEW_LIMIT}, .agent = agent, .seed = seed, .budget = budget,
                               .ctx = p, .evaluate = few_evaluate, .cost = few_cost};
}

static double few_optimum(void)
{
    double best = 0;
    for (int code = 0; code < 1 << 2 * FEW; code++) {
        int g[FEW];
        for (int i = 0; i < FEW; i++)
            g[i] = 2 + (code >> 2 * i) % FEW_BITS;
        if (few_cost(NULL, g) <= FEW_LIMIT)
            best = BASE_MAX(best, few_top1(g));
    }
    return best;
}

/* Means over 5 seeds: the best accuracy, that of the first 25 proposals and that of the last; standard deviations of the best and
 * of the last. */
struct course { double best, early, late, best_deviation, late_deviation; };

static struct course course_of(const char *agent, int budget)
{
    enum { WINDOW = 25 };
    const char *dir = unit_scratch();
    struct course c = {0};
    double best_square = 0, late_square = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct planted p = {0};
        struct search_job job = few_job(agent, seed, budget, &p);
        struct search_trials t;
        planted_run(&t, dir, &job);
        double best = t.trial[search_best(&job.objective, &t)].top1, late = 0;
        for (int i = 0; i < WINDOW; i++) {
            c.early += t.trial[i].top1 / (WINDOW * SEEDS);
            late += t.trial[budget - WINDOW + i].top1 / WINDOW;
        }
        c.best += best / SEEDS;
        c.late += late / SEEDS;
        best_square += best * best;
        late_square += late * late;
        search_trials_free(&t);
    }
    c.best_deviation = deviation_of(SEEDS * c.best, best_square);
    c.late_deviation = deviation_of(SEEDS * c.late, late_square);
    unit_remove(dir);
    return c;
}

static void ddpg_learns(void **state)
{
    (void)state;
    static const char *const agents[] = {"ddpg-amc", "ddpg-haq", "ddpg-pocketflow"};
    double optimum = few_optimum(), random = course_of("random", 100).best;
    print_message("# best of 100 trials: random %.4f; the optimum of 65,536: %.4f\n", random, optimum);
    for (int i = 0; i < BASE_COUNT(agents); i++) {
        struct course c = course_of(agents[i], 100);
        print_message("# %s: best %.4f, proposals %.4f on average at first, %.4f at last\n", agents[i], c.best, c.early, c.late);
        assert_true(c.best > random && c.best <= optimum);
        assert_true(c.late > c.early + (optimum - c.early) / 3);
    }
}

/* PocketFlow's agent with its defects, one by one and together, against the repaired one. */
static void ablation(void **state)
{
    (void)state;
    static const char *const agents[] = {"random", "ddpg-pocketflow", "ddpg-blind", "ddpg-off-scale", "ddpg-shuffled", "ddpg-mixed", "ddpg-unrepaired"};
    print_message("# optimum %.4f\n", few_optimum());
    for (int i = 0; i < BASE_COUNT(agents); i++)
        for (int budget = 100; budget <= 300; budget += 200) {
            struct course c = course_of(agents[i], budget);
            print_message("# %-15s %d trials: best %.4f +- %.4f, last 25 proposals %.4f +- %.4f\n", agents[i], budget, c.best, c.best_deviation, c.late, c.late_deviation);
        }
}

/* ---- kinds of levels ------------------------------------------------------------------------------------- */

/* The six layers again, each with a third gene that costs no cycles: four kinds, of which one suits the layer; any other
 * doubles what its weights lose. */
enum { KINDS = 4, KIND_DIMS = 3 * LAYERS };
static struct search_dim kind_dims[KIND_DIMS];
static const struct search_space kind_space = {KIND_DIMS, kind_dims};
static const int suits[LAYERS] = {2, 0, 1, 3, 2, 0};

static int64_t kind_cost(void *ctx, const int *g)
{
    return planted_cost(ctx, g);
}

static int kind_evaluate(void *ctx, const int *g, uint64_t seed, struct search_result *out)
{
    int rc = planted_evaluate(ctx, g, seed, out);
    for (int i = 0; !rc && i < LAYERS; i++)
        out->loss += g[DIMS + i] == suits[i] ? 0 : worth[2 * i] * exp2(-g[2 * i]) / 20;
    out->top1 = 0.95 - out->loss;
    return rc;
}

static struct search_job kind_job(const char *agent, uint64_t seed, int budget, struct planted *p)
{
    for (int i = 0; i < DIMS; i++)
        kind_dims[i] = dims[i];
    for (int i = 0; i < LAYERS; i++)
        kind_dims[DIMS + i] = (struct search_dim){dims[2 * i].layer, "levels", 0, KINDS - 1};
    struct search_job job = job_of(agent, seed, budget, p);
    job.space = &kind_space;
    job.evaluate = kind_evaluate;
    job.cost = kind_cost;
    return job;
}

/* Of seeds 1..3, the mean of the best accuracy; *right: share of the kinds that suit, each counted by what its layer's weights are worth. */
static double find_kinds(double *right, const char *agent)
{
    enum { RUNS = 3, TRIALS = 100 };
    const char *dir = unit_scratch();
    double best = 0, all = 0;
    *right = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct planted p = {0};
        struct search_job job = kind_job(agent, seed, TRIALS, &p);
        struct search_trials t;
        planted_run(&t, dir, &job);
        const struct search_trial *found = &t.trial[search_best(&job.objective, &t)];
        best += found->top1 / RUNS;
        for (int k = 0; k < LAYERS; k++) {
            all += worth[2 * k];
            *right += found->genes[DIMS + k] == suits[k] ? worth[2 * k] : 0;
        }
        search_trials_free(&t);
    }
    unit_remove(dir);
    *right /= all;
    print_message("# %-10s %d trials: %.4f, %.2f of the kinds\n", agent, TRIALS, best, *right);
    return best;
}

static void agents_find_the_kinds_that_suit(void **state)
{
    (void)state;
    static const char *const agents[] = {"evolve", "gp"};
    double right, random = find_kinds(&right, "random");
    for (int i = 0; i < BASE_COUNT(agents); i++)
        assert_true(find_kinds(&right, agents[i]) > random && right > 0.5); /* by chance a quarter */
}

static void table(void **state)
{
    (void)state;
    static const int budgets[] = {50, 100};
    static const struct { const char *name; make_job *make; } problem[] = {{"six layers, 3000 cycles", job_of}, {"eighteen layers, 9000 cycles", wide_job}};
    const char *which = getenv("BITPRESS_BENCH");   /* names, or all */
    for (int k = 0; k < BASE_COUNT(problem); k++) {
        char names[256], *save;
        snprintf(names, sizeof names, "%s", strcmp(which, "all") != 0 ? which : search_agents());
        print_message("# %s\n", problem[k].name);
        for (char *a = strtok_r(names, " ", &save); a; a = strtok_r(NULL, " ", &save))
            for (int b = 0; b < 2 * BASE_COUNT(budgets); b++) {
                double deviation;
                mean_best(&deviation, problem[k].make, a, b % 2 ? SEARCH_FROM_SENSITIVITIES : SEARCH_FROM_UNIFORM, budgets[b / 2]);
            }
    }
}

/* ---- rank 0 by itself -------------------------------------------------------------------------------------- */

/* Workers in simulated time: each candidate takes 0.75 to 1.25 s; what the search itself takes is real time, during which
 * workers that have nothing to do are idle. */
enum { MOST_WORKERS = 256 };
struct crew {
    struct planted planted;
    int workers;
    double now, seen, master, busy;        /* simulated now; real time of the last look; the search's own; workers' */
    double free_at[MOST_WORKERS], done_at[2 * MOST_WORKERS];
    struct search_result result[2 * MOST_WORKERS];
};

static void look(struct crew *c)
{
    double real = base_seconds(), spent = real - c->seen;
    c->now += spent;
    c->master += spent;
}

static int sim_start(void *ctx, int id, const int *genes, uint64_t seed, double hopeless_below)
{
    struct crew *c = ctx;
    struct base_rng rng;
    int first = 0, at = id % (2 * c->workers);
    (void)hopeless_below;
    look(c);
    base_rng_seed(&rng, seed);
    for (int i = 1; i < c->workers; i++)
        first = c->free_at[i] < c->free_at[first] ? i : first;
    double takes = 0.75 + 0.5 * (double)base_rng_uniform(&rng);
    c->done_at[at] = c->free_at[first] = BASE_MAX(c->free_at[first], c->now) + takes;
    c->busy += takes;
    c->result[at] = (struct search_result){.feasible = 1};
    int rc = wide_evaluate(c, genes, seed, &c->result[at]);
    c->seen = base_seconds();
    return rc;
}

static int sim_collect(void *ctx, int id, struct search_result *out)
{
    struct crew *c = ctx;
    look(c);
    c->now = BASE_MAX(c->now, c->done_at[id % (2 * c->workers)]);
    *out = c->result[id % (2 * c->workers)];
    c->seen = base_seconds();
    return BASE_OK;
}

static void master(void **state)
{
    (void)state;
    static const int workers[] = {1, 4, 16, 64, MOST_WORKERS};
    const char *dir = unit_scratch();
    char names[256], *save;
    snprintf(names, sizeof names, "%s", getenv("BITPRESS_BENCH"));
    for (char *a = strtok_r(names, " ", &save); a; a = strtok_r(NULL, " ", &save))
        for (int i = 0; i < BASE_COUNT(workers); i++) {
            int trials = BASE_MAX(200, 6 * workers[i]);
            struct crew *c = BASE_NEW(struct crew);
            struct search_job job = wide_job(a, 1, trials, &c->planted);
            struct search_trials t;
            c->workers = workers[i];
            c->seen = base_seconds();
            job.parallel = 2 * workers[i];
            job.evaluate = NULL, job.start = sim_start, job.collect = sim_collect;
            planted_run(&t, dir, &job);
            search_trials_free(&t);
            print_message("# %-8s %3d workers, candidates of 1 s: %.0f proposals/s, workers idle %.1f %%\n", a, workers[i], trials / c->master, 100 * (1 - c->busy / (c->workers * c->now)));
            base_free(c);
        }
    unit_remove(dir);
}

int main(void)
{
    base_log_level(BASE_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_agent_beats_random), cmocka_unit_test(sensitivities_are_a_good_start), cmocka_unit_test(every_agent_finds_a_better_front_than_random), cmocka_unit_test(ddpg_learns),
        cmocka_unit_test(agents_find_the_kinds_that_suit),
    };
    const struct CMUnitTest bench[] = {cmocka_unit_test(table)}, ablated[] = {cmocka_unit_test(ablation)}, simulated[] = {cmocka_unit_test(master)};
    if (getenv("BITPRESS_ABLATION"))
        return cmocka_run_group_tests(ablated, NULL, NULL);
    if (getenv("BITPRESS_WORKERS"))
        return cmocka_run_group_tests(simulated, NULL, NULL);
    return getenv("BITPRESS_BENCH") ? cmocka_run_group_tests(bench, NULL, NULL) : cmocka_run_group_tests(tests, NULL, NULL);
}
