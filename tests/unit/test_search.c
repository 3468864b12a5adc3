/* search: agents on a planted problem, the study against kill -9, refusals, the front. */
#define _GNU_SOURCE
#include "search_planted.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static const char *const agents[] = {"random", "evolve", "gp", "tpe", "ddpg-amc", "ddpg-haq", "ddpg-pocketflow", "ilp"};

static void trials_are_new_and_within_the_limit(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    for (int a = 0; a < BASE_COUNT(agents); a++) {
        struct planted p = {0};
        struct search_job job = job_of(agents[a], 1, 40, &p);
        struct search_trials t;
        planted_run(&t, dir, &job);
        assert_int_equal(p.calls, 40);
        for (int i = 0; i < t.n; i++) {
            bool measurement = !strcmp(agents[a], "ilp") && i <= DIMS;
            assert_int_equal(t.trial[i].feasible, t.trial[i].cycles <= 3000);
            assert_true(t.trial[i].feasible || measurement);
            for (int k = 0; k < i; k++)
                assert_memory_not_equal(t.trial[i].genes, t.trial[k].genes, DIMS * sizeof(int));
        }
        search_trials_free(&t);
    }
    unit_remove(dir);
}

/* A start from sensitivities: uniform recipes, then each gene by itself outside the limit, then within it; the report reads
 * what each gene is worth. */
static void each_gene_is_measured_first(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    for (int a = 1; a < BASE_COUNT(agents); a++) {
        struct planted p = {0};
        struct search_job job = job_of(agents[a], 1, 40, &p);
        struct search_trials t;
        double lost[DIMS];
        job.from = SEARCH_FROM_SENSITIVITIES;
        planted_run(&t, dir, &job);
        for (int i = 0; i < t.n; i++)
            assert_true(t.trial[i].feasible || i <= 6 + DIMS);
        search_sensitivities(lost, &space, &t);
        int wide[DIMS], one[DIMS];
        for (int i = 0; i < DIMS; i++)
            wide[i] = 8;
        for (int i = 0; i < DIMS; i++) {
            memcpy(one, wide, sizeof one);
            one[i] = 2;
            assert_true(fabs(lost[i] - (planted_loss(one) - planted_loss(wide))) < 2e-4);
        }
        t.n = 1;                       /* it differs from none */
        search_sensitivities(lost, &space, &t);
        assert_true(isnan(lost[0]));
        t.n = 40;
        search_trials_free(&t);
    }
    unit_remove(dir);
}

/* Shares of channels: the first candidates of all but `random` are uniform recipes that keep all they may; every agent
 * tries every share, and none outside the list. */
static void shares_are_searched(void **state)
{
    (void)state;
    enum { KEEP = 4, N = DIMS + KEEP };
    static struct search_dim mixed[N];
    const struct search_space all = {N, mixed};
    const char *dir = unit_scratch();
    memcpy(mixed, dims, sizeof dims);
    for (int i = 0; i < KEEP; i++)
        mixed[DIMS + i] = (struct search_dim){dims[2 * i].layer, "keep", 0, 2};
    for (int k = 0; k < BASE_COUNT(agents); k++) {
        struct planted p = {0};
        struct search_job job = job_of(agents[k], 3, 40, &p);
        struct search_study *s;
        struct search_trials t;
        int seen[3] = {0};
        job.space = &all;
        assert_ok(search_study_open(&s, unit_path(dir, agents[k]), SEARCH_CREATE));
        assert_ok(search_run(s, &job));
        assert_ok(search_study_trials(s, &t));
        for (int i = 0; i < t.n; i++)
            for (int d = DIMS; d < N; d++) {
                assert_in_range(t.trial[i].genes[d], 0, 2);
                seen[t.trial[i].genes[d]]++;
            }
        assert_true(seen[0] && seen[1] && seen[2]);
        for (int d = DIMS; k && d < N; d++)
            assert_int_equal(t.trial[0].genes[d], 2);
        search_trials_free(&t);
        search_study_close(s);
    }
    unit_remove(dir);
}

/* Everything of the trials that must not depend on when they ran. */
static char *essence(const char *path)
{
    struct search_study *s;
    struct search_trials t;
    struct base_text text = {0};
    assert_ok(search_study_open(&s, path, SEARCH_READ));
    assert_ok(search_study_trials(s, &t));
    for (int i = 0; i < t.n; i++) {
        base_text_add(&text, "%d %d %.17g %lld:", t.trial[i].id, t.trial[i].state, t.trial[i].top1,
                      (long long)t.trial[i].cycles);
        for (int k = 0; k < t.trial[i].n_genes; k++)
            base_text_add(&text, " %d", t.trial[i].genes[k]);
        base_text_add(&text, "\n");
    }
    search_trials_free(&t);
    search_study_close(s);
    return text.s;
}

static void run_once(const char *path, enum search_open how, const char *agent, int parallel, int sleep_us)
{
    struct planted p = {.sleep_us = sleep_us};
    struct search_job job = job_of(agent, 7, 40, &p);
    job.parallel = parallel;
    struct search_study *s;
    assert_ok(search_study_open(&s, path, how));
    assert_ok(search_run(s, &job));
    search_study_close(s);
}

/* Starts the search in a child, kills it at random moments of what it takes, starts it again; the last one ends by itself. */
static int kill_and_resume(const char *path, const char *agent, int parallel, double whole_s, struct base_rng *rng)
{
    enum { KILLS = 20 };
    for (int kills = 0;; kills++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            struct planted p = {.sleep_us = 1500};
            struct search_job job = job_of(agent, 7, 40, &p);
            job.parallel = parallel;
            struct search_study *s;
            int rc = search_study_open(&s, path, base_file_exists(path) ? SEARCH_RESUME : SEARCH_CREATE);
            if (!rc)
                rc = search_run(s, &job);
            _exit(rc ? 1 : 0);
        }
        if (kills < KILLS) {
            long wait_us = (long)(1e6 * whole_s / 4 * (double)base_rng_uniform(rng));
            nanosleep(&(struct timespec){wait_us / 1000000, 1000 * (wait_us % 1000000)}, NULL);
            kill(child, SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return kills;
        }
    }
}

/* The three of ddpg differ in nothing that matters here: with several in flight one of them is enough. */
static void kill_all_agents(int parallel)
{
    const char *dir = unit_scratch();
    struct base_rng rng;
    base_rng_seed(&rng, 3);
    for (int i = 0; i < BASE_COUNT(agents); i++) {
        char whole[200], killed[200];
        if (parallel > 1 && (!strcmp(agents[i], "ddpg-haq") || !strcmp(agents[i], "ddpg-pocketflow")))
            continue;
        snprintf(whole, sizeof whole, "%s/whole-%s.db", dir, agents[i]);
        snprintf(killed, sizeof killed, "%s/killed-%s.db", dir, agents[i]);
        double start = base_seconds();
        run_once(whole, SEARCH_CREATE, agents[i], parallel, 1500);
        int kills = kill_and_resume(killed, agents[i], parallel, base_seconds() - start, &rng);
        char *a = essence(whole), *b = essence(killed);
        assert_string_equal(a, b);
        print_message("# %s: killed %d times\n", agents[i], kills);
        base_free(a);
        base_free(b);
    }
    unit_remove(dir);
}

static void killed_and_resumed_equals_uninterrupted(void **state)
{
    (void)state;
    kill_all_agents(1);
}

static void killed_with_two_in_flight(void **state)
{
    (void)state;
    kill_all_agents(2);
}

static void killed_with_four_in_flight(void **state)
{
    (void)state;
    kill_all_agents(4);
}

/* ---- several at once: a thread a trial, done in any order -------------------------------------------- */

enum { CREW = 8 };
struct errand { pthread_t thread; int genes[DIMS], id, rc, fail_at; uint64_t seed; struct search_result out; };
struct crew { struct planted planted; struct errand errand[CREW]; int out, most, collected, fail_at; };

static void *do_errand(void *arg)
{
    struct errand *e = arg;
    struct base_rng rng;
    struct planted p = {0};
    base_rng_seed(&rng, (uint64_t)e->id);
    nanosleep(&(struct timespec){0, (long)base_rng_below(&rng, 3000000)}, NULL);
    e->rc = e->fail_at && e->id >= e->fail_at ? BASE_IO : planted_evaluate(&p, e->genes, e->seed, &e->out);
    return NULL;
}

static int crew_start(void *ctx, int id, const int *genes, uint64_t seed, double hopeless_below)
{
    struct crew *c = ctx;
    struct errand *e = &c->errand[id % CREW];
    (void)hopeless_below;
    *e = (struct errand){.id = id, .seed = seed, .fail_at = c->fail_at};
    memcpy(e->genes, genes, sizeof e->genes);
    c->out++;
    c->most = BASE_MAX(c->most, c->out);
    return pthread_create(&e->thread, NULL, do_errand, e) ? BASE_NOMEM : BASE_OK;
}

static int crew_collect(void *ctx, int id, struct search_result *out)
{
    struct crew *c = ctx;
    struct errand *e = &c->errand[id % CREW];
    assert_int_equal(e->id, id);
    pthread_join(e->thread, NULL);
    c->out--;
    c->collected++;
    int feasible = out->feasible;
    *out = e->out;
    out->feasible = feasible;
    return e->rc ? base_fail(e->rc, "trial %d: the disk is gone", id) : BASE_OK;
}

static void order_of_outcomes_does_not_matter(void **state)
{
    (void)state;
    static const int width[] = {1, 3, CREW};
    const char *dir = unit_scratch();
    for (int i = 0; i < BASE_COUNT(agents); i++)
        for (int w = 0; w < BASE_COUNT(width); w++) {
            char one[200], many[200];
            struct crew crew = {.collected = 0};
            struct search_job job = job_of(agents[i], 7, 40, &crew.planted);
            struct search_study *s;
            snprintf(one, sizeof one, "%s/one-%s-%d.db", dir, agents[i], w);
            snprintf(many, sizeof many, "%s/many-%s-%d.db", dir, agents[i], w);
            run_once(one, SEARCH_CREATE, agents[i], width[w], 0);
            job.parallel = width[w];
            job.ctx = &crew;
            job.evaluate = NULL, job.start = crew_start, job.collect = crew_collect;
            assert_ok(search_study_open(&s, many, SEARCH_CREATE));
            assert_ok(search_run(s, &job));
            search_study_close(s);
            char *a = essence(one), *b = essence(many);
            assert_string_equal(a, b);
            assert_int_equal(crew.most, width[w]);
            base_free(a);
            base_free(b);
        }
    unit_remove(dir);
}

/* What was started is collected, nothing of it stays, and the search goes on later as if nothing had happened. */
static void error_ends_what_is_in_flight(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db"), *whole = unit_path(dir, "whole.db");
    struct crew crew = {.fail_at = 17};
    struct search_job job = job_of("gp", 7, 40, &crew.planted);
    struct search_study *s;
    struct search_trials t;
    job.parallel = 4;
    job.ctx = &crew;
    job.evaluate = NULL, job.start = crew_start, job.collect = crew_collect;
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_error(search_run(s, &job), BASE_IO, "trial 17: the disk is gone");
    assert_int_equal(crew.out, 0);
    assert_int_equal(crew.collected, 21);
    assert_ok(search_study_trials(s, &t));
    assert_int_equal(t.n, 17);
    search_trials_free(&t);
    crew.fail_at = 0;
    assert_ok(search_run(s, &job));
    search_study_close(s);
    run_once(whole, SEARCH_CREATE, "gp", 4, 0);
    char *a = essence(whole), *b = essence(path);
    assert_string_equal(a, b);
    base_free(a);
    base_free(b);
    job.parallel = SEARCH_MAX_PARALLEL + 1;
    assert_ok(search_study_open(&s, path, SEARCH_RESUME));
    assert_error(search_run(s, &job), BASE_INPUT, "at once");
    search_study_close(s);
    unit_remove(dir);
}

static void other_configuration_is_refused(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct search_setting was[] = {{"limit", "3000"}, {"seed", "1"}, {"board", "pynq-z2"}};
    struct search_setting now[] = {{"limit", "4000"}, {"seed", "1"}, {"board", "pynq-z2"}};
    struct search_study *s;
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_ok(search_study_bind(s, was, 3));
    assert_ok(search_study_bind(s, was, 3));
    search_study_close(s);
    assert_ok(search_study_open(&s, path, SEARCH_RESUME));
    assert_error(search_study_bind(s, now, 3), BASE_INPUT, "limit: 4000 (was 3000)");
    assert_null(strstr(base_error(), "board"));
    assert_error(search_study_bind(s, was, 2), BASE_INPUT, "gone");
    search_study_close(s);
    unit_remove(dir);
}

static void second_writer_is_refused_and_reader_is_not(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct search_study *a, *b;
    assert_ok(search_study_open(&a, path, SEARCH_CREATE));
    assert_error(search_study_open(&b, path, SEARCH_RESUME), BASE_IO, "another process");
    assert_null(b);
    assert_ok(search_study_open(&b, path, SEARCH_READ));
    search_study_close(b);
    search_study_close(a);
    unit_remove(dir);
}

static void bad_files_are_refused(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct search_study *s;
    assert_error(search_study_open(&s, path, SEARCH_RESUME), BASE_INPUT, "no such study");
    char junk[8192];
    memset(junk, 'x', sizeof junk);
    assert_ok(base_file_write(path, junk, sizeof junk));
    assert_error(search_study_open(&s, path, SEARCH_RESUME), BASE_INPUT, "damaged");
    assert_error(search_study_open(&s, path, SEARCH_READ), BASE_INPUT, "damaged");
    assert_error(search_study_open(&s, path, SEARCH_CREATE), BASE_INPUT, "damaged");
    remove(path);
    run_once(path, SEARCH_CREATE, "random", 1, 0);
    assert_error(search_study_open(&s, path, SEARCH_CREATE), BASE_INPUT, "40 trials already");
    uint8_t *data;
    size_t len;
    assert_ok(base_file_read(&data, &len, path, 1 << 24));
    memset(data + 4096, 0xa5, len - 4096);
    assert_ok(base_file_write(path, data, len));
    base_free(data);
    assert_error(search_study_open(&s, path, SEARCH_RESUME), BASE_INPUT, "damaged");
    assert_error(search_study_open(&s, "/proc/nowhere/s.db", SEARCH_CREATE), BASE_IO, "cannot open");
    unit_remove(dir);
}

static void bad_candidate_is_recorded_and_bad_disk_is_not(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct planted p = {.fail_at = 3, .stop_at = 6};
    struct search_job job = job_of("evolve", 1, 20, &p);
    struct search_study *s;
    struct search_trials t;
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_error(search_run(s, &job), BASE_IO, "the disk is gone");
    assert_ok(search_study_trials(s, &t));
    assert_int_equal(t.n, 6);
    assert_int_equal(t.trial[3].state, SEARCH_FAILED);
    assert_string_equal(t.trial[3].error, "node 'x': cannot be lowered");
    search_trials_free(&t);
    p = (struct planted){0};
    assert_ok(search_run(s, &job));
    assert_int_equal(p.calls, 14);
    search_study_close(s);
    unit_remove(dir);
}

static void impossible_limit_says_by_how_much(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct planted p = {0};
    struct search_job job = job_of("random", 1, 20, &p);
    job.objective.cycles_limit = 450;
    struct search_study *s;
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_error(search_run(s, &job), BASE_TARGET, "needs 900 (100.0 % over)");
    assert_int_equal(p.calls, 0);
    job.agent = "oracle";
    assert_error(search_run(s, &job), BASE_INPUT, "random evolve");
    search_study_close(s);
    unit_remove(dir);
}

static int64_t small_cost(void *ctx, const int *g)
{
    ((struct planted *)ctx)->costs++;
    return g[0] * g[1];
}

static int small_evaluate(void *ctx, const int *g, uint64_t seed, struct search_result *out)
{
    (void)seed;
    ((struct planted *)ctx)->calls++;
    out->cycles = small_cost(ctx, g);
    return BASE_OK;
}

static void used_up_space_ends_the_search(void **state)
{
    (void)state;
    static const struct search_dim two[] = {{"a", "w_bits", 2, 3}, {"a", "a_bits", 2, 4}};
    static const struct search_space small = {2, two};
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    for (int i = 0; i < BASE_COUNT(agents); i++) {
        struct planted p = {0};
        struct search_job job = job_of(agents[i], 1, 50, &p);
        job.space = &small;
        job.objective.cycles_limit = 0;
        job.evaluate = small_evaluate;
        job.cost = small_cost;
        struct search_study *s;
        remove(path);
        assert_ok(search_study_open(&s, path, SEARCH_CREATE));
        assert_ok(search_run(s, &job));
        assert_int_equal(p.calls, 6);
        assert_true(p.costs <= 50);    /* six candidates; pairs of widths that the space has not are moved into it */
        search_study_close(s);
    }
    unit_remove(dir);
}

/* Layer l0 can be built with at most `widest` weight bits, whatever the limit. */
static int widest;
static int64_t narrow_cost(void *ctx, const int *g)
{
    if (g[0] <= widest)
        return planted_cost(ctx, g);
    base_fail(BASE_INPUT, "layer 'l0' needs more words than there are");
    return SEARCH_UNBUILDABLE;
}

static void what_cannot_be_built_is_not_tried(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    for (int i = 0; i < BASE_COUNT(agents); i++) {
        struct planted p = {0};
        struct search_job job = job_of(agents[i], 1, 30, &p);
        job.objective.cycles_limit = 1 << 20;
        job.cost = narrow_cost;
        struct search_study *s;
        struct search_trials t;
        remove(path);
        assert_ok(search_study_open(&s, path, SEARCH_CREATE));
        widest = 1;
        assert_error(search_run(s, &job), BASE_INPUT, "layer 'l0' needs more words");
        widest = 3;
        assert_ok(search_run(s, &job));
        assert_ok(search_study_trials(s, &t));
        assert_int_equal(t.n, 30);
        for (int k = 0; k < t.n; k++)
            assert_in_range(t.trial[k].genes[0], 2, 3);
        search_trials_free(&t);
        search_study_close(s);
    }
    unit_remove(dir);
}

static void notes_and_openings(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct search_study *s;
    char *v;
    int64_t id;
    int n;
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_ok(search_study_get(s, "chosen", &v));
    assert_null(v);
    assert_ok(search_study_set(s, "chosen", "12"));
    assert_ok(search_study_set(s, "chosen", "13"));
    assert_ok(search_study_get(s, "chosen", &v));
    assert_string_equal(v, "13");
    base_free(v);
    assert_ok(search_study_test_open(s, "final", &id));
    assert_ok(search_study_test_result(s, id, "top1 0.91"));
    assert_ok(search_study_test_openings(s, &n));
    assert_int_equal(n, 1);
    search_study_close(s);
    unit_remove(dir);
}

static struct search_trial point(int id, double top1, int64_t cycles)
{
    return (struct search_trial){.id = id, .state = SEARCH_DONE, .feasible = 1, .top1 = top1, .cycles = cycles};
}

static void front_and_best(void **state)
{
    (void)state;
    struct search_trial v[] = {point(0, .9, 100), point(1, .8, 50), point(2, .8, 60), point(3, .9, 100),
                               point(4, .95, 300), point(5, .99, 10)};
    v[5].state = SEARCH_FAILED;
    v[4].feasible = 0;
    v[0].loss = .05, v[1].loss = .15, v[2].loss = .15, v[3].loss = .05;
    struct search_trials t = {.trial = v, .n = 6};
    bool flag[6];
    assert_int_equal(search_pareto(&t, flag), 3);
    assert_true(flag[0] && flag[1] && !flag[2] && !flag[3] && flag[4] && !flag[5]);
    assert_int_equal(search_best(&(struct search_objective){.goal = SEARCH_MAX_TOP1}, &t), 0);
    assert_int_equal(search_best(&(struct search_objective){.goal = SEARCH_MIN_CYCLES, .loss_max = 1}, &t), 1);
    t.n = 0;
    assert_int_equal(search_best(&(struct search_objective){.goal = SEARCH_MAX_TOP1}, &t), -1);
}

/* Two rectangles by hand; the knee is the corner, not the ends; what is over the limit counts for nothing. */
static void trade_off(void **state)
{
    (void)state;
    struct search_trial v[] = {point(0, .5, 20), point(1, .8, 40), point(2, .9, 100), point(3, .7, 60), point(4, .99, 10)};
    struct search_trials t = {.trial = v, .n = 5};
    const struct search_objective o = {.goal = SEARCH_PARETO, .reference_top1 = .1, .reference_cycles = 100};
    v[4].feasible = 0;
    double area = (20 * .4 + 60 * .7) / (.9 * 100);
    assert_true(fabs(search_hypervolume(&o, &t) - area) < 1e-12);
    assert_int_equal(search_best(&o, &t), 1);
    v[1].cycles = 101;                 /* behind the reference */
    assert_true(fabs(search_hypervolume(&o, &t) - (40 * .4 + 40 * .6) / (.9 * 100)) < 1e-12);
    t.n = 1;
    assert_int_equal(search_best(&o, &t), 0);
    t.n = 0;
    assert_int_equal(search_best(&o, &t), -1);
    assert_true(search_hypervolume(&o, &t) == 0);
}

/* What the driver says is hopeless: below the fourth best, below what keeps the loss, below what is no slower; and a
 * candidate given up is neither the best nor on the front, however good the slice. */
static double floors[40];
static int giving_up_evaluate(void *ctx, const int *g, uint64_t seed, struct search_result *out)
{
    int call = ((struct planted *)ctx)->calls;
    floors[call] = out->hopeless_below;
    int rc = planted_evaluate(ctx, g, seed, out);
    if (out->top1 < out->hopeless_below) {
        out->rung = SEARCH_GIVEN_UP;
        out->top1 = 0.99;
    }
    return rc;
}

static void hopeless_candidates_are_given_up(void **state)
{
    (void)state;
    static const enum search_goal goals[] = {SEARCH_MAX_TOP1, SEARCH_MIN_CYCLES, SEARCH_PARETO};
    const char *dir = unit_scratch();
    for (int k = 0; k < BASE_COUNT(goals); k++) {
        struct planted p = {0};
        struct search_job job = job_of("evolve", 1, 40, &p);
        struct search_trials t;
        bool front[40];
        int given_up = 0;
        job.objective = (struct search_objective){.goal = goals[k], .cycles_limit = 5000, .loss_max = 0.2, .reference_top1 = 0.1, .reference_cycles = 5000};
        job.evaluate = giving_up_evaluate;
        planted_run(&t, dir, &job);
        search_pareto(&t, front);
        for (int i = 0; i < t.n; i++) {
            given_up += t.trial[i].rung == SEARCH_GIVEN_UP;
            assert_false(front[i] && t.trial[i].rung == SEARCH_GIVEN_UP);
        }
        assert_in_range(given_up, 1, 36);
        assert_int_equal(t.trial[search_best(&job.objective, &t)].rung, SEARCH_CHEAP);
        assert_true(floors[0] == 0);
        if (goals[k] == SEARCH_MAX_TOP1)
            assert_true(floors[3] == 0 && floors[4] > 0);
        if (goals[k] == SEARCH_MIN_CYCLES)
            assert_true(fabs(floors[39] - 0.75) < 1e-9);
        search_trials_free(&t);
    }
    unit_remove(dir);
}

static void exports(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct planted p = {.fail_at = 2, .name = "b\xff\"<"};
    struct search_job job = job_of("random", 1, 5, &p);
    struct search_study *s;
    struct base_text csv = {0}, json = {0};
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_ok(search_run(s, &job));
    assert_ok(search_study_csv(s, &csv));
    assert_ok(search_study_json(s, &json));
    int lines = 0;
    for (const char *c = csv.s; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 6);
    assert_non_null(strstr(csv.s, "2,failed,random"));
    assert_non_null(strstr(json.s, "\"recipe\": \"default: {w_bits: 4}\\n\""));
    assert_non_null(strstr(json.s, "\"node 'b?\\\"<': cannot be lowered\""));
    base_text_free(&csv);
    base_text_free(&json);
    search_study_close(s);
    unit_remove(dir);
}

/* Rows of what is built for the verdict: read back whole, told apart by parent and rung, a running one forgotten. */
static void finalists_are_rows(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct search_finalist a = {.parent = 3, .rung = SEARCH_SHORT, .name = "searched", .recipe = "default: {w_bits: 4}\n", .state = SEARCH_DONE, .images = 5000, .top1 = .9,
                                .loss = .01, .cycles = 4400, .cycles_source = "model", .board = "b.n8.a512.w512", .size_bytes = 77, .wall_s = 2.5};
    struct search_finalist b = {.parent = -1, .rung = SEARCH_FULL, .name = "uniform", .recipe = "x", .state = SEARCH_FAILED, .error = "node 'x'"}, c = b;
    struct search_finalists f;
    struct search_study *s;
    struct base_text csv = {0}, json = {0};
    assert_ok(search_study_open(&s, path, SEARCH_CREATE));
    assert_ok(search_study_finalist_begin(s, &a));
    assert_ok(search_study_finalist_finish(s, &a));
    assert_ok(search_study_finalist_begin(s, &b));
    assert_ok(search_study_finalist_finish(s, &b));
    assert_ok(search_study_finalist_begin(s, &c));
    assert_ok(search_study_finalist_cycles(s, a.id, 4410, "rtl"));
    assert_ok(search_study_csv(s, &csv));
    assert_ok(search_study_json(s, &json));
    assert_non_null(strstr(csv.s, "\nf1,done,,1,,"));
    assert_non_null(strstr(csv.s, ",,3,b.n8.a512.w512\nf2,failed,,2,,"));
    assert_non_null(strstr(json.s, "\"finalists\""));
    search_study_close(s);
    assert_ok(search_study_open(&s, path, SEARCH_RESUME));
    assert_ok(search_study_finalists(s, &f));
    assert_int_equal(f.n, 2);
    assert_int_equal(f.finalist[0].id, a.id);
    assert_int_equal(f.finalist[0].parent, 3);
    assert_int_equal(f.finalist[0].rung, SEARCH_SHORT);
    assert_int_equal(f.finalist[0].state, SEARCH_DONE);
    assert_int_equal(f.finalist[0].images, 5000);
    assert_true(f.finalist[0].top1 == .9 && f.finalist[0].loss == .01 && f.finalist[0].wall_s == 2.5);
    assert_int_equal(f.finalist[0].cycles, 4410);
    assert_string_equal(f.finalist[0].cycles_source, "rtl");
    assert_string_equal(f.finalist[0].board, "b.n8.a512.w512");
    assert_string_equal(f.finalist[0].recipe, a.recipe);
    assert_int_equal(f.finalist[1].parent, -1);
    assert_int_equal(f.finalist[1].state, SEARCH_FAILED);
    assert_string_equal(f.finalist[1].error, "node 'x'");
    search_finalists_free(&f);
    search_study_close(s);
    base_text_free(&csv);
    base_text_free(&json);
    unit_remove(dir);
}

/* tests/data/study.db, also read by tests/cli/study.test; BITPRESS_WRITE_GOLDEN=1 makes it anew. */
static void study_of_an_earlier_build(void **state)
{
    (void)state;
    static const char golden[] = "tests/data/study.db";
    const char *dir = unit_scratch(), *path = unit_path(dir, "s.db");
    struct search_study *s;
    struct search_trials t;
    uint8_t *bytes;
    size_t len;
    int64_t id;
    char *v;
    if (getenv("BITPRESS_WRITE_GOLDEN")) {
        struct planted p = {.fail_at = 2};
        struct search_job job = job_of("random", 1, 6, &p);
        remove(golden);
        assert_ok(search_study_open(&s, golden, SEARCH_CREATE));
        assert_ok(search_run(s, &job));
        assert_ok(search_study_set(s, "chosen", "3"));
        assert_ok(search_study_test_open(s, "final", &id));
        assert_ok(search_study_test_result(s, id, "top1 0.91"));
        search_study_close(s);
        remove("tests/data/study.db.lock");
    }
    assert_ok(base_file_read(&bytes, &len, golden, 1 << 20)); /* reading may put a log beside it: not there */
    assert_ok(base_file_write(path, bytes, len));
    base_free(bytes);
    assert_ok(search_study_open(&s, path, SEARCH_READ));
    assert_ok(search_study_trials(s, &t));
    assert_int_equal(t.n, 6);
    assert_int_equal(t.trial[2].state, SEARCH_FAILED);
    assert_int_equal(t.trial[3].state, SEARCH_DONE);
    assert_int_equal(t.trial[3].n_genes, DIMS);
    assert_string_equal(t.trial[3].recipe, "default: {w_bits: 4}\n");
    assert_string_equal(t.trial[3].board, "");
    assert_ok(search_study_get(s, "chosen", &v));
    assert_string_equal(v, "3");
    base_free(v);
    search_trials_free(&t);
    struct search_finalists f;         /* of format 1: it has no such table, until something is written */
    assert_ok(search_study_finalists(s, &f));
    assert_int_equal(f.n, 0);
    search_study_close(s);
    struct search_finalist one = {.parent = 3, .name = "searched", .recipe = "x"};
    assert_ok(search_study_open(&s, path, SEARCH_RESUME));
    assert_ok(search_study_finalist_begin(s, &one));
    search_study_close(s);
    assert_ok(search_study_open(&s, path, SEARCH_READ));
    assert_ok(search_study_finalists(s, &f));
    assert_int_equal(f.n, 1);
    search_finalists_free(&f);
    search_study_close(s);
    unit_remove(dir);
}

int main(void)
{
    base_log_level(BASE_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trials_are_new_and_within_the_limit), cmocka_unit_test(shares_are_searched), cmocka_unit_test(each_gene_is_measured_first),
        cmocka_unit_test(killed_and_resumed_equals_uninterrupted), cmocka_unit_test(killed_with_two_in_flight), cmocka_unit_test(killed_with_four_in_flight),
        cmocka_unit_test(order_of_outcomes_does_not_matter), cmocka_unit_test(error_ends_what_is_in_flight),
        cmocka_unit_test(other_configuration_is_refused),
        cmocka_unit_test(second_writer_is_refused_and_reader_is_not),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(bad_candidate_is_recorded_and_bad_disk_is_not),
        cmocka_unit_test(impossible_limit_says_by_how_much),
        cmocka_unit_test(used_up_space_ends_the_search),
        cmocka_unit_test(what_cannot_be_built_is_not_tried),
        cmocka_unit_test(notes_and_openings),
        cmocka_unit_test(front_and_best), cmocka_unit_test(trade_off), cmocka_unit_test(hopeless_candidates_are_given_up),
        cmocka_unit_test(exports), cmocka_unit_test(finalists_are_rows),
        cmocka_unit_test(study_of_an_earlier_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
