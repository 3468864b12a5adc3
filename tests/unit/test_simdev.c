/* test_simdev.c: the messages of the device process: heads, fields, answers, and bytes that are none of these. */
#define _GNU_SOURCE
#include "unit.h"

#include "sim/simdev/rpc.c"

static void test_heads(void **state)
{
    (void)state;
    uint8_t head[RPC_CALL_HEAD];
    uint32_t call, bytes;
    rpc_write_head(head, RPC_FROM_DEVICE, 70000);
    static const uint8_t want[RPC_CALL_HEAD] = { 0x09, 0x70, 0x11, 0x01, 0, 0, 0, 0, 0, 0x15, 7, 0, 0, 0 };
    assert_memory_equal(head, want, sizeof want);
    assert_true(rpc_parse_head(head, &call, &bytes));
    assert_int_equal(call, 7);
    assert_int_equal(bytes, 70000);
    rpc_write_head(head, 7, (uint64_t)RPC_MAX_BYTES + 1);
    assert_false(rpc_parse_head(head, &call, &bytes));
    for (int at = 0; at < 10; at += 9) {
        rpc_write_head(head, 7, 1);
        head[at] ^= 1;
        assert_false(rpc_parse_head(head, &call, &bytes));
    }
}

static void test_fields(void **state)
{
    (void)state;
    /* 3: 0x10000000; 4: three bytes; 5: 3; 6: 65536; 9: fixed64; 10: fixed32 */
    static const uint8_t call[] = { 0x18, 0x80, 0x80, 0x80, 0x80, 0x01, 0x22, 3, 'a', 'b', 'c', 0x28, 3, 0x30, 0x80, 0x80, 0x04,
                                    0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x55, 9, 0, 0, 0 };
    struct rpc_fields f;
    assert_true(rpc_parse(&f, call, sizeof call));
    assert_int_equal(f.f[3].value, 0x10000000);
    assert_int_equal(f.f[4].value, 3);
    assert_memory_equal(f.f[4].at, "abc", 3);
    assert_int_equal(f.f[6].value, 65536);
    assert_int_equal(f.f[9].value, 0x0807060504030201);
    assert_int_equal(f.f[10].value, 9);
    assert_null(f.f[2].at);
    /* Cut anywhere inside a field it is no call; between fields it is a shorter one. */
    static const size_t whole[] = { 0, 6, 11, 13, 17, 26, 31 };
    for (size_t n = 0; n <= sizeof call; n++) {
        bool boundary = false;
        for (int i = 0; i < BASE_COUNT(whole); i++)
            boundary |= whole[i] == n;
        uint8_t *copy = malloc(n ? n : 1);          /* its end is the end of memory, for the sanitizer */
        memcpy(copy, call, n);
        assert_int_equal(rpc_parse(&f, copy, n), boundary);
        free(copy);
    }
}

static void test_answers(void **state)
{
    (void)state;
    struct rpc_answer a = { 0 };
    rpc_begin(&a);
    rpc_add_number(&a, 1, 300);
    memcpy(rpc_add_bytes(&a, 2, 2), "xy", 2);
    rpc_end(&a);
    static const uint8_t want[] = { 0x09, 7, 0, 0, 0, 0, 0, 0, 0, 0x08, 0xac, 0x02, 0x12, 2, 'x', 'y' };
    assert_int_equal(a.n, sizeof want);
    assert_memory_equal(a.p, want, sizeof want);
    rpc_begin(&a);
    rpc_end(&a);
    assert_int_equal(a.n, RPC_ANSWER_HEAD);
    assert_int_equal(a.p[1], 0);
    free(a.p);
}

/* Whatever the bytes are, nothing outside them is touched (the sanitizers look). */
static void test_rubbish(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 5);
    int taken = 0;
    for (int i = 0; i < 20000; i++) {
        size_t n = base_rng_below(&r, 40);
        uint8_t *p = malloc(n ? n : 1);
        struct rpc_fields f;
        for (size_t k = 0; k < n; k++)
            p[k] = (uint8_t)(base_rng_below(&r, 2) ? base_rng_below(&r, 256) : base_rng_below(&r, 64));
        if (rpc_parse(&f, p, n)) {
            taken++;
            for (int k = 0; k < RPC_FIELDS; k++)
                if (f.f[k].at)
                    assert_true(f.f[k].at >= p && f.f[k].at + f.f[k].value <= p + n);
        }
        free(p);
    }
    assert_true(taken > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads), cmocka_unit_test(test_fields), cmocka_unit_test(test_answers), cmocka_unit_test(test_rubbish),
    };
    return cmocka_run_group_tests_name("simdev", tests, NULL, NULL);
}
