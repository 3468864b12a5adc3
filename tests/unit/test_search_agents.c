/* search agents on planted problems: each beats random at equal budget. BITPRESS_BENCH=1 (make bench-agents) prints the
 * whole table of docs/search.md. */
#define _GNU_SOURCE
#include "search_planted.h"

#include <stdlib.h>

enum { SEEDS = 5 };

typedef struct search_job make_job(const char *agent, uint64_t seed, int budget, struct planted *p);

/* Mean and standard deviation, over seeds 1..5, of the best accuracy. */
static double mean_best(double *deviation, make_job *make, const char *agent, int budget)
{
    const char *dir = unit_scratch();
    double sum = 0, square = 0, start = base_seconds();
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct planted p = {0};
        struct search_job job = make(agent, seed, budget, &p);
        struct search_trials t;
        planted_run(&t, dir, &job);
        double best = t.trial[search_best(&job.objective, &t)].top1;
        search_trials_free(&t);
        sum += best;
        square += best * best;
    }
    unit_remove(dir);
    *deviation = sqrt(BASE_MAX(square / SEEDS - sum / SEEDS * sum / SEEDS, 0) * SEEDS / (SEEDS - 1));
    print_message("# %-10s %4d trials: %.4f +- %.4f (%.1f s)\n", agent, budget, sum / SEEDS, *deviation, base_seconds() - start);
    return sum / SEEDS;
}

static void every_agent_beats_random(void **state)
{
    (void)state;
    static const char *const agents[] = {"evolve", "gp", "tpe"};
    double deviation, random = mean_best(&deviation, job_of, "random", 60);
    for (int i = 0; i < BASE_COUNT(agents); i++)
        assert_true(mean_best(&deviation, job_of, agents[i], 60) > random);
}

static void table(void **state)
{
    (void)state;
    static const int budgets[] = {50, 100, 200};
    static const struct { const char *name; make_job *make; } problem[] = {{"six layers, 3000 cycles", job_of}, {"eighteen layers, 9000 cycles", wide_job}};
    if (!getenv("BITPRESS_BENCH"))
        skip();
    for (int k = 0; k < BASE_COUNT(problem); k++) {
        char names[256], *save;
        snprintf(names, sizeof names, "%s", search_agents());
        print_message("# %s\n", problem[k].name);
        for (char *a = strtok_r(names, " ", &save); a; a = strtok_r(NULL, " ", &save))
            for (int b = 0; b < BASE_COUNT(budgets); b++) {
                double deviation;
                mean_best(&deviation, problem[k].make, a, budgets[b]);
            }
    }
}

int main(void)
{
    base_log_level(BASE_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_agent_beats_random), cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
