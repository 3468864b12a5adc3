/* tensor: against loops. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "tensor/tensor.h"

enum { M = 5, N = 7, K = 11 };

static void gemm_all_layouts(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 1);
    for (int mode = 0; mode < 4; mode++) {
        bool at = mode & 1, bt = mode & 2;
        float a[M * K], b[K * N], c[M * N], c0[M * N];
        for (int i = 0; i < M * K; i++)
            a[i] = base_rng_normal(&r);
        for (int i = 0; i < K * N; i++)
            b[i] = base_rng_normal(&r);
        for (int i = 0; i < M * N; i++)
            c[i] = c0[i] = base_rng_normal(&r);
        tensor_gemm(c, a, at, b, bt, M, N, K, 2.0f, 0.5f);
        for (int i = 0; i < M; i++) {
            for (int j = 0; j < N; j++) {
                double sum = 0.5 * c0[i * N + j];
                for (int k = 0; k < K; k++)
                    sum += 2.0 * (at ? a[k * M + i] : a[i * K + k]) * (bt ? b[j * K + k] : b[k * N + j]);
                assert_true(fabs(sum - c[i * N + j]) < 1e-4);
            }
        }
    }
}

static void gemv(void **state)
{
    (void)state;
    float a[6] = {1, 2, 3, 4, 5, 6}, x[3] = {1, 0, -1}, y[2] = {10, 20};
    tensor_gemv(y, a, x, 2, 3, 1.0f);
    assert_true(y[0] == 8 && y[1] == 18);
}

/* y = 2 + 3 t, exactly; and with noise, where the residual is orthogonal to the columns. */
static void least_squares(void **state)
{
    (void)state;
    double a[8], b[4], x[2];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = 1;
        a[2 * i + 1] = i;
        b[i] = 2 + 3 * i;
    }
    assert_ok(tensor_least_squares(x, a, b, 4, 2, 1, "line"));
    assert_true(fabs(x[0] - 2) < 1e-12 && fabs(x[1] - 3) < 1e-12);
    b[2] += 1;
    assert_ok(tensor_least_squares(x, a, b, 4, 2, 1, "line"));
    for (int j = 0; j < 2; j++) {
        double dot = 0;
        for (int i = 0; i < 4; i++)
            dot += a[2 * i + j] * (a[2 * i] * x[0] + a[2 * i + 1] * x[1] - b[i]);
        assert_true(fabs(dot) < 1e-12);
    }
    for (int i = 0; i < 4; i++)
        a[2 * i + 1] = 1;
    assert_error(tensor_least_squares(x, a, b, 4, 2, 1, "fit of 'conv1'"), BASE_INPUT, "fit of 'conv1'");
    a[1] = 2;
    assert_survives_nomem(tensor_least_squares(x, a, b, 4, 2, 1, "line"), );
}

static void positive_definite(void **state)
{
    (void)state;
    double a[9] = {4, 2, 1, 2, 5, 3, 1, 3, 6}, b[6] = {1, 0, 0, 1, 2, 2}, x[6], l[9];
    assert_ok(tensor_solve_spd(x, a, b, 3, 2, "a"));
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            double sum = 0;
            for (int k = 0; k < 3; k++)
                sum += a[3 * i + k] * x[2 * k + j];
            assert_true(fabs(sum - b[2 * i + j]) < 1e-12);
        }
    memcpy(l, a, sizeof a);
    assert_ok(tensor_cholesky(l, 3, "a"));
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double sum = 0;
            for (int k = 0; k < 3; k++)
                sum += l[3 * i + k] * l[3 * j + k];
            assert_true(fabs(sum - a[3 * i + j]) < 1e-12);
            assert_true(j <= i || l[3 * i + j] == 0);
        }
    memcpy(x, b, sizeof b);            /* l^-T l^-1 b is what tensor_solve_spd gives */
    tensor_solve_lower(x, l, false, 3, 2);
    tensor_solve_lower(x, l, true, 3, 2);
    double whole[6];
    assert_ok(tensor_solve_spd(whole, a, b, 3, 2, "a"));
    for (int i = 0; i < 6; i++)
        assert_true(fabs(x[i] - whole[i]) < 1e-12);
    assert_survives_nomem(tensor_solve_spd(x, a, b, 3, 2, "a"), );
    a[0] = -1;
    assert_error(tensor_solve_spd(x, a, b, 3, 2, "Hessian of 'conv1'"), BASE_INPUT, "Hessian of 'conv1'");
    assert_error(tensor_cholesky(a, 3, "a"), BASE_INPUT, "not positive definite");
}

int main(void)
{
    tensor_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_all_layouts),
        cmocka_unit_test(gemv),
        cmocka_unit_test(least_squares),
        cmocka_unit_test(positive_definite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
