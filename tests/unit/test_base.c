/* base: errors, memory, strings, random numbers, threads, checksums. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "base/base_internal.h"

static void error_is_kept_with_its_hint(void **state)
{
    (void)state;
    assert_int_equal(base_fail(BASE_INPUT, "%s:%d: wrong", "a.yaml", 3), BASE_INPUT);
    assert_int_equal(base_hint(BASE_INPUT, "try %s", "this"), BASE_INPUT);
    assert_string_equal(base_error(), "a.yaml:3: wrong");
    assert_string_equal(base_error_hint(), "try this");
    base_fail(BASE_IO, "around (%s)", base_error());
    assert_string_equal(base_error(), "around (a.yaml:3: wrong)");
    assert_string_equal(base_error_hint(), "");
    base_error_clear();
    assert_string_equal(base_error(), "");
    base_hint(base_fail(BASE_INPUT, "%s: no", "\x1b[31m\xc3\xa9\x7f\t"), "\r%s", "a\nb"); /* names out of files */
    assert_string_equal(base_error(), "?[31m\xc3\xa9?\t: no");
    assert_string_equal(base_error_hint(), "?a\nb");
}

static void long_error_is_cut(void **state)
{
    (void)state;
    char text[BASE_ERROR_LEN + 2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    base_fail(BASE_INPUT, "%s", text);
    assert_int_equal(strlen(base_error()), BASE_ERROR_LEN - 1);
}

static void exit_codes(void **state)
{
    (void)state;
    assert_int_equal(base_exit_code(BASE_OK), 0);
    assert_int_equal(base_exit_code(BASE_TARGET), 1);
    assert_int_equal(base_exit_code(BASE_INPUT), 2);
    assert_int_equal(base_exit_code(BASE_IO), 2);
    assert_int_equal(base_exit_code(BASE_MISSING), 3);
    assert_int_equal(base_exit_code(BASE_NOMEM), 4);
    assert_int_equal(base_exit_code(BASE_INTERNAL), 4);
    assert_int_equal(base_exit_code(BASE_STOPPED), 130);
}

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n += 37) {
        uint8_t *p = base_alloc(n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        base_free(p);
    }
    base_free(NULL);
}

static void realloc_keeps_and_zeroes(void **state)
{
    (void)state;
    uint8_t *p = base_realloc(NULL, 0, 10);
    memset(p, 7, 10);
    p = base_realloc(p, 10, 1000);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(p[i], i < 10 ? 7 : 0);
    base_alloc_fail_at(1);
    assert_null(base_realloc(p, 1000, 2000));
    assert_int_equal(p[9], 7);
    p = base_realloc(p, 1000, 5);
    assert_int_equal(p[4], 7);
    base_free(p);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(base_alloc(SIZE_MAX));
    assert_null(base_alloc(SIZE_MAX - 100));
    assert_non_null(strstr(base_error(), "out of memory"));
    assert_null(BASE_NEW_N(double, -1));
    struct base_arena *a = base_arena_new();
    assert_null(base_arena_alloc(a, SIZE_MAX - 10));
    base_arena_free(a);
}

static void nth_allocation_fails_once(void **state)
{
    (void)state;
    base_alloc_fail_at(2);
    char *a = base_strdup("one"), *b = base_strdup("two"), *c = base_strdup("three");
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    base_free(a);
    base_free(c);
}

static void arena_serves_small_and_large(void **state)
{
    (void)state;
    struct base_arena *a = base_arena_new();
    uint8_t *first = base_arena_alloc(a, 1);
    *first = 1;
    for (int i = 0; i < 3000; i++) {
        uint8_t *p = base_arena_alloc(a, (size_t)i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (int k = 0; k < i; k += 61)
            assert_int_equal(p[k], 0);
        memset(p, 0xff, (size_t)i);
    }
    assert_non_null(base_arena_alloc(a, 1 << 20));
    assert_string_equal(base_arena_strdup(a, "text"), "text");
    assert_int_equal(*first, 1);
    assert_true(base_arena_bytes(a) >= (1 << 20) + 3000 * 1500);
    base_alloc_fail_at(1);
    assert_null(base_arena_alloc(a, 1 << 20));
    base_arena_free(a);
    base_arena_free(NULL);
}

static void text_grows(void **state)
{
    (void)state;
    struct base_text t = {0};
    for (int i = 0; i < 1000; i++)
        base_text_add(&t, "%03d,", i);
    base_text_add_bytes(&t, "end", 3);
    assert_int_equal(t.len, 4003);
    assert_int_equal(strlen(t.s), 4003);
    assert_memory_equal(t.s + 4 * 123, "123,", 4);
    assert_string_equal(t.s + 4000, "end");
    assert_false(t.failed);
    base_text_free(&t);
    base_alloc_fail_at(1);
    base_text_add(&t, "x");
    base_text_add(&t, "y");
    assert_true(t.failed);
    base_text_free(&t);
    char *s = base_format("%s-%d", "a", 5);
    assert_string_equal(s, "a-5");
    base_free(s);
}

/* The generator's published reference: state 1, 2, 3, 4 gives these first values. */
static void rng_matches_reference(void **state)
{
    (void)state;
    struct base_rng r = {{1, 2, 3, 4}};
    assert_true(base_rng_u64(&r) == 11520u);
    assert_true(base_rng_u64(&r) == 0u);
    assert_true(base_rng_u64(&r) == 1509978240u);
    assert_true(base_rng_u64(&r) == 1215971899390074240u);
}

static void rng_streams_differ_and_repeat(void **state)
{
    (void)state;
    struct base_rng a, b, c;
    base_rng_stream(&a, 1, 0);
    base_rng_stream(&b, 1, 0);
    base_rng_stream(&c, 1, 1);
    uint64_t first = base_rng_u64(&a);
    assert_true(first == base_rng_u64(&b));
    assert_true(first != base_rng_u64(&c));
    base_rng_stream(&c, 0, 1);
    assert_true(first != base_rng_u64(&c));
}

static void rng_moments(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 42);
    double su = 0, sn = 0, sn2 = 0;
    int hist[7] = {0}, n = 200000;
    for (int i = 0; i < n; i++) {
        float u = base_rng_uniform(&r), z = base_rng_normal(&r);
        assert_true(u >= 0 && u < 1);
        su += u;
        sn += z;
        sn2 += z * z;
        hist[base_rng_below(&r, 7)]++;
    }
    assert_true(fabs(su / n - 0.5) < 0.005);
    assert_true(fabs(sn / n) < 0.01);
    assert_true(fabs(sn2 / n - 1) < 0.02);
    for (int i = 0; i < 7; i++)
        assert_true(abs(hist[i] - n / 7) < 1000);
}

static void shuffle_is_a_permutation(void **state)
{
    (void)state;
    uint32_t v[100];
    bool seen[100] = {false};
    struct base_rng r;
    base_rng_seed(&r, 3);
    for (uint32_t i = 0; i < 100; i++)
        v[i] = i;
    base_rng_shuffle(&r, v, 100);
    int moved = 0;
    for (uint32_t i = 0; i < 100; i++) {
        assert_false(seen[v[i]]);
        seen[v[i]] = true;
        moved += v[i] != i;
    }
    assert_true(moved > 80);
    base_rng_shuffle(&r, v, 0);
}

struct loop { int worker[1000]; int count[1000]; struct base_pool *inner; };

static void note(void *ctx, int i, int worker)
{
    struct loop *l = ctx;
    l->worker[i] = worker;
    l->count[i]++;
}

static void pool_shares_are_static(void **state)
{
    (void)state;
    static struct loop l;
    struct base_pool *p = base_pool_new(3);
    assert_int_equal(base_pool_threads(p), 3);
    for (int round = 1; round <= 200; round++)
        base_pool_run(p, 1000, note, &l);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(l.count[i], 200);
        int w = i < 333 ? 0 : i < 666 ? 1 : 2;
        assert_int_equal(l.worker[i], w);
    }
    memset(&l, 0, sizeof l);
    base_pool_run_dynamic(p, 1000, note, &l);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(l.count[i], 1);
    base_pool_run(p, 0, note, &l);
    base_pool_free(p);
    base_pool_free(NULL);
    p = base_pool_new(0);
    assert_true(base_pool_threads(p) >= 1);
    base_pool_free(p);
}

static void run_inner(void *ctx, int i, int worker)
{
    struct loop *l = ctx;
    (void)i, (void)worker;
    base_pool_run(l->inner, 0, note, l);
    int base = 10 * i;
    for (int k = 0; k < 10; k++)
        note(l, base + k, worker);
}

static void nested_run_is_serial(void **state)
{
    (void)state;
    static struct loop l;
    l.inner = base_pool_new(2);
    base_pool_run_dynamic(l.inner, 100, run_inner, &l);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(l.count[i], 1);
    base_pool_free(l.inner);
}

static void fail_at_last(void *ctx, int i, int worker)
{
    (void)ctx, (void)worker;
    if (i == 3)
        base_fail(BASE_INPUT, "index %d is bad", i);
}

static void worker_error_reaches_the_caller(void **state)
{
    (void)state;
    struct base_pool *p = base_pool_new(4);
    base_error_clear();
    base_pool_run(p, 4, fail_at_last, NULL);
    assert_string_equal(base_error(), "index 3 is bad");
    base_error_clear();
    base_pool_run(p, 3, fail_at_last, NULL);
    assert_string_equal(base_error(), "");
    base_pool_free(p);
}

static int make_pool(void)
{
    struct base_pool *p = base_pool_new(2);
    if (!p)
        return BASE_NOMEM;
    base_pool_free(p);
    return BASE_OK;
}

static void pool_survives_nomem(void **state)
{
    (void)state;
    assert_survives_nomem(make_pool(), );
}

/* RFC 3720, appendix B.4. */
static void crc32c_matches_rfc3720(void **state)
{
    (void)state;
    uint8_t buf[32] = {0}, up[32];
    for (int i = 0; i < 32; i++)
        up[i] = (uint8_t)i;
    assert_true(base_crc32c(0, buf, 32) == 0x8a9136aau);
    assert_true(base_crc32c(0, up, 32) == 0x46dd794eu);
    memset(buf, 0xff, 32);
    assert_true(base_crc32c(0, buf, 32) == 0x62a8ab43u);
    assert_true(base_crc32c(0, "123456789", 9) == 0xe3069283u);
    assert_true(base_crc32c(base_crc32c(0, up, 13), up + 13, 19) == 0x46dd794eu);
    for (size_t n = 0; n <= 32; n++)
        assert_true(base_crc32c(0, up, n) == base_crc32c_portable(0, up, n));
}

static void hash_depends_on_all(void **state)
{
    (void)state;
    uint64_t h = base_hash64(0, "abc", 3);
    assert_true(h == 0x78af5f94892f3950u); /* XXH3-64 of "abc" */
    assert_true(h != base_hash64(1, "abc", 3));
    assert_true(h != base_hash64(0, "abd", 3));
    assert_true(h != base_hash64(0, "abc", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_kept_with_its_hint),
        cmocka_unit_test(long_error_is_cut),
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(realloc_keeps_and_zeroes),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(nth_allocation_fails_once),
        cmocka_unit_test(arena_serves_small_and_large),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(rng_matches_reference),
        cmocka_unit_test(rng_streams_differ_and_repeat),
        cmocka_unit_test(rng_moments),
        cmocka_unit_test(shuffle_is_a_permutation),
        cmocka_unit_test(pool_shares_are_static),
        cmocka_unit_test(nested_run_is_serial),
        cmocka_unit_test(worker_error_reaches_the_caller),
        cmocka_unit_test(pool_survives_nomem),
        cmocka_unit_test(crc32c_matches_rfc3720),
        cmocka_unit_test(hash_depends_on_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
