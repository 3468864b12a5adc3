/* dist: gradients on a few levels: their bytes, bounds, means, and messages that are refused. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "dist/dist.h"

static struct dist_code code_of(int bits, int bucket)
{
    struct dist_code c = DIST_CODE_INIT;
    c.bits = bits;
    c.bucket = bucket;
    return c;
}

static void random_values(float *u, int n, uint64_t seed)
{
    struct base_rng r;
    base_rng_seed(&r, seed);
    for (int i = 0; i < n; i++)
        u[i] = base_rng_normal(&r) * (i % 97 == 0 ? 10 : 1);
}

/* Values on the levels come through whatever the random numbers; known bytes. */
static void known_bytes(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 1);
    struct dist_code c = code_of(2, 8);
    float u[7] = { 0.5f, -0.5f, 0, 0.5f, 0, -0.5f, 0.5f }, sum[7] = { 1, 1, 1, 1, 1, 1, 1 };
    uint8_t out[18];
    assert_int_equal(dist_packed_bytes(&c, 7), 12 + 4 + 2);
    dist_pack(out, u, 7, &c, &r);
    assert_int_equal(out[16], 2 + 0 * 3 + 1 * 9 + 2 * 27 + 1 * 81);
    assert_int_equal(out[17], 0 + 2 * 3);
    assert_ok(dist_unpack_add(sum, 7, out, sizeof out, &c));
    for (int i = 0; i < 7; i++)
        assert_true(sum[i] == 1 + u[i]);
    c = code_of(4, 8);
    float v[3] = { 7, -3, 2 };
    dist_pack(out, v, 3, &c, &r);
    assert_int_equal(dist_packed_bytes(&c, 3), 12 + 4 + 2);
    assert_int_equal(out[16], 15 | 5 << 4);
    assert_int_equal(out[17], 10);
    c = code_of(8, 8);
    float w[2] = { 127, -127 };
    dist_pack(out, w, 2, &c, &r);
    assert_int_equal(out[16], 255);
    assert_int_equal(out[17], 1);
}

/* What was packed is what comes out, within one step of the bucket, for every width and odd sizes. */
static void round_trip_and_bound(void **state)
{
    (void)state;
    enum { MOST = 1500 };
    static float u[MOST], q[MOST], sum[MOST];
    static uint8_t out[8 * MOST + 64];
    static const int sizes[] = { 1, 2, 4, 5, 6, 63, 64, 65, 511, 512, 513, 1500 }, buckets[] = { 1, 3, 64, 512 };
    for (int bits = 2; bits <= 8; bits *= 2)
        for (int b = 0; b < BASE_COUNT(buckets); b++)
            for (int s = 0; s < BASE_COUNT(sizes); s++) {
                struct dist_code c = code_of(bits, buckets[b]);
                struct base_rng r;
                int n = sizes[s], levels = (1 << (bits - 1)) - 1;
                base_rng_seed(&r, (uint64_t)n);
                random_values(u, n, (uint64_t)(n * bits));
                memcpy(q, u, sizeof *q * (size_t)n);
                memset(sum, 0, sizeof sum);
                assert_true(dist_packed_bytes(&c, n) <= sizeof out);
                dist_pack(out, q, n, &c, &r);
                assert_ok(dist_unpack_add(sum, n, out, dist_packed_bytes(&c, n), &c));
                assert_memory_equal(sum, q, sizeof *q * (size_t)n);
                for (int i = 0; i < n; i++) {
                    float m = 0;
                    for (int k = i / c.bucket * c.bucket; k < BASE_MIN((i / c.bucket + 1) * c.bucket, n); k++)
                        m = fmaxf(m, fabsf(u[k]));
                    assert_true(fabsf(q[i] - u[i]) <= 1.00001f * m / (float)levels);
                }
            }
}

/* The mean of many packings is the value, within five standard errors of the worst case. */
static void unbiased(void **state)
{
    (void)state;
    enum { N = 40, TIMES = 4000 };
    for (int bits = 2; bits <= 8; bits *= 2) {
        struct dist_code c = code_of(bits, 16);
        double mean[N] = { 0 };
        float u[N], q[N];
        uint8_t out[256];
        struct base_rng r;
        base_rng_seed(&r, 5);
        random_values(u, N, 3);
        for (int t = 0; t < TIMES; t++) {
            memcpy(q, u, sizeof q);
            dist_pack(out, q, N, &c, &r);
            for (int i = 0; i < N; i++)
                mean[i] += (double)q[i] / TIMES;
        }
        for (int i = 0; i < N; i++) {
            float m = 0;
            for (int k = i / 16 * 16; k < BASE_MIN((i / 16 + 1) * 16, N); k++)
                m = fmaxf(m, fabsf(u[k]));
            double error = 0.5 * (double)m / ((1 << (bits - 1)) - 1) / sqrt(TIMES);
            assert_true(fabs(mean[i] - (double)u[i]) < 5 * error + 1e-6);
        }
    }
}

static void zeros_and_tiny_values(void **state)
{
    (void)state;
    struct dist_code c = code_of(4, 4);
    struct base_rng r;
    float u[8] = { 0, 0, 0, 0, 1e-44f, -1e-44f, 0, 1e-45f }, sum[8] = { 0 };
    uint8_t out[64];
    base_rng_seed(&r, 1);
    dist_pack(out, u, 8, &c, &r);
    assert_ok(dist_unpack_add(sum, 8, out, dist_packed_bytes(&c, 8), &c));
    for (int i = 0; i < 8; i++)
        assert_true(u[i] == 0 && sum[i] == 0);
}

static void refused(void **state)
{
    (void)state;
    enum { N = 20 };
    struct dist_code c = code_of(2, 8);
    struct base_rng r;
    float u[N], sum[N] = { 0 };
    uint8_t out[128], bad[128];
    size_t bytes = dist_packed_bytes(&c, N);
    base_rng_seed(&r, 1);
    random_values(u, N, 1);
    dist_pack(out, u, N, &c, &r);
    for (size_t k = 0; k < bytes; k++) {
        memcpy(bad, out, bytes);
        bad[k] ^= 0x10;
        assert_error(dist_unpack_add(sum, N, bad, bytes, &c), BASE_INPUT, "damaged");
    }
    assert_error(dist_unpack_add(sum, N, out, bytes - 1, &c), BASE_INPUT, "bytes");
    assert_error(dist_unpack_add(sum, N - 1, out, bytes, &c), BASE_INPUT, "");
    assert_error(dist_unpack_add(sum, 0, out, 0, &c), BASE_INPUT, "bytes");
    /* whole, but of levels that there are not */
    memcpy(bad, out, bytes);
    bad[16] = 250;
    uint32_t crc = base_crc32c(0, bad + 12, bytes - 12);
    memcpy(bad + 8, &crc, sizeof crc);
    assert_error(dist_unpack_add(sum, N, bad, bytes, &c), BASE_INPUT, "levels that there are not");
    u[11] = NAN;
    dist_pack(out, u, N, &c, &r);
    assert_error(dist_unpack_add(sum, N, out, bytes, &c), BASE_INPUT, "values 8 to 15 are not finite");
}

/* h = decay h + g - sent: with decay 1, all that was sent is all gradients less the last error; and the error stays
 * bounded, far below what plain rounding errors add up to. */
static void feedback_makes_up(void **state)
{
    (void)state;
    enum { N = 64, STEPS = 400 };
    double lost[2] = { 0 };
    for (int ecq = 0; ecq < 2; ecq++) {
        struct dist_code c = code_of(2, 64);
        struct base_rng r;
        float h[N] = { 0 }, u[N], g[N];
        double sent[N] = { 0 }, all[N] = { 0 };
        uint8_t out[128];
        c.method = ecq ? DIST_ECQ : DIST_QSGD;
        base_rng_seed(&r, 9);
        for (int t = 0; t < STEPS; t++) {
            random_values(g, N, (uint64_t)t);
            for (int i = 0; i < N; i++) {
                u[i] = g[i] + (ecq ? c.feedback * h[i] : 0);
                h[i] = c.decay * h[i] + g[i];
                all[i] += (double)g[i];
            }
            dist_pack(out, u, N, &c, &r);
            for (int i = 0; i < N; i++) {
                h[i] -= u[i];
                sent[i] += (double)u[i];
            }
        }
        for (int i = 0; i < N; i++) {
            assert_true(fabs(all[i] - (double)h[i] - sent[i]) < 2e-2);
            lost[ecq] += (all[i] - sent[i]) * (all[i] - sent[i]);
        }
    }
    assert_true(lost[1] < 0.1 * lost[0]);
}

static void options_out_of_range(void **state)
{
    (void)state;
    struct dist *d;
    struct dist_gradients *g;
    struct dist_code c = code_of(3, 512);
    assert_ok(dist_open(&d));
    assert_ok(dist_gradients_new(&g, d, &c));              /* exact: bits are not looked at */
    assert_null(dist_gradients_ranks(g));
    dist_gradients_free(g);
    c.method = DIST_ECQ;
    assert_error(dist_gradients_new(&g, d, &c), BASE_INPUT, "3 bits");
    c = code_of(2, 512);
    c.method = DIST_ECQ;
    c.decay = 1.5f;
    assert_error(dist_gradients_new(&g, d, &c), BASE_INPUT, "decay 1.5");
    dist_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes), cmocka_unit_test(round_trip_and_bound), cmocka_unit_test(unbiased), cmocka_unit_test(zeros_and_tiny_values),
        cmocka_unit_test(refused), cmocka_unit_test(feedback_makes_up), cmocka_unit_test(options_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
