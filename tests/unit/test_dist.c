/* dist: alone, and as several ranks: the program starts itself under mpirun. */
#define _GNU_SOURCE
#include "unit.h"

#include "dist/dist.h"

#define RUN(n, part) "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 mpirun -q -n " #n " '%s' " part " >'%s/out' 2>&1"

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

static int ranked(const char *what)
{
    struct dist *d;
    base_stop_install();
    if (dist_open(&d))
        return 1;
    int rc = !strcmp(what, "sum") ? ranked_sum(d) : !strcmp(what, "same") ? ranked_same(d) : ranked_fail(d);
    dist_close(d);
    return rc;
}

/* ---- tests ---------------------------------------------------------------------------------------- */

static char self[4096];

static int launch(const char *format, char *out, size_t size)
{
    if (system("command -v mpirun >/dev/null")) {
        printf("skipped: mpirun is not installed (apt-get install openmpi-bin)\n");
        skip();
    }
    char dir[] = "/tmp/test_dist_XXXXXX", command[9000], path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(command, sizeof command, format, self, dir);
    int rc = system(command);
    snprintf(path, sizeof path, "%s/out", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    out[fread(out, 1, size - 1, f)] = '\0';
    fclose(f);
    unlink(path);
    rmdir(dir);
    return rc;
}

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
    char out[4096];
    if (launch(RUN(3, "sum"), out, sizeof out))
        fail_msg("%s", out);
}

static void differing_ranks_are_named(void **state)
{
    (void)state;
    char out[4096];
    if (launch(RUN(3, "same"), out, sizeof out))
        fail_msg("%s", out);
}

static void one_that_fails_ends_all(void **state)
{
    (void)state;
    char out[4096];
    assert_int_not_equal(launch(RUN(3, "fail"), out, sizeof out), 0);
    const char *at = strstr(out, "rank 1: this one fails\n");
    if (!at || strstr(at + strlen("rank 1: "), "rank 1: "))
        fail_msg("%s", out);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return ranked(argv[1]);
    if (!realpath(argv[0], self))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(sums_and_broadcasts),
        cmocka_unit_test(differing_ranks_are_named),
        cmocka_unit_test(one_that_fails_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
