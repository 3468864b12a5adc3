/* dist: alone, and as several ranks: the program starts itself under mpirun. */
#define _GNU_SOURCE
#include "unit.h"

#include "dist/dist.h"
#include "ranked.h"

/* ---- what each rank does; its exit code is the verdict ------------------------------------------ */

static int ranked_sum(struct dist *d)
{
    int rank = dist_rank(d), n = dist_ranks(d), word = rank ? 0 : 42;
    double v[3] = { 1, rank, 0.1 * rank };
    if (n != 3 || dist_sum(d, v, 3) || dist_broadcast(d, &word, sizeof word))
        return 1;
    return v[0] == 3 && v[1] == 3 && v[2] > 0.29 && v[2] < 0.31 && word == 42 ? 0 : 1;
}

static int ranked_same(struct dist *d)
{
    const struct dist_fact alike[] = { { "seed", 7 }, { "program", 8 } };
    const struct dist_fact differ[] = { { "seed", 7 }, { "program", dist_rank(d) == 2 ? 9 : 8 } };
    if (dist_same(d, alike, 2) || dist_same(d, differ, 2) != BASE_INPUT)
        return 1;
    return strstr(base_error(), "rank 2 has another program than rank 0") ? 0 : 1;
}

/* One rank fails while the others wait for it. */
static int ranked_fail(struct dist *d)
{
    double v = 1;
    int rc = dist_rank(d) == 1 ? base_fail(BASE_INPUT, "this one fails") : dist_sum(d, &v, 1);
    if (rc && dist_reports(d, rc))
        printf("%s\n", base_error());
    fflush(stdout);
    dist_abort(d, 2);
}

/* ---- tests ---------------------------------------------------------------------------------------- */

static void alone(void **state)
{
    (void)state;
    struct dist *d;
    double v = 3;
    assert_ok(dist_open(&d));
    assert_int_equal(dist_ranks(d), 1);
    assert_int_equal(dist_rank(d), 0);
    assert_ok(dist_sum(d, &v, 1));
    assert_ok(dist_broadcast(d, &v, sizeof v));
    assert_ok(dist_same(d, &(struct dist_fact){ "seed", 1 }, 1));
    assert_true(v == 3);
    assert_true(dist_reports(d, BASE_INPUT));
    dist_close(d);
    dist_close(NULL);
}

static void sums_and_broadcasts(void **state)
{
    (void)state;
    ranked_launch(3, "sum");
}

static void differing_ranks_are_named(void **state)
{
    (void)state;
    ranked_launch(3, "same");
}

static void one_that_fails_ends_all(void **state)
{
    (void)state;
    char out[4096];
    assert_int_not_equal(ranked_try(3, "fail", out, sizeof out), 0);
    const char *at = strstr(out, "rank 1: this one fails\n");
    if (!at || strstr(at + strlen("rank 1: "), "rank 1: "))
        fail_msg("%s", out);
}

int main(int argc, char **argv)
{
    const struct ranked_part parts[] = { { "sum", ranked_sum }, { "same", ranked_same }, { "fail", ranked_fail } };
    if (argc > 1)
        return ranked_run(argv[1], parts, BASE_COUNT(parts));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(sums_and_broadcasts),
        cmocka_unit_test(differing_ranks_are_named),
        cmocka_unit_test(one_that_fails_ends_all),
    };
    return ranked_self(argv[0]) ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
