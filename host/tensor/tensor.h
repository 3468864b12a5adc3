/* tensor: dense linear algebra in row-major order, through OpenBLAS and its LAPACK.
 *
 * OpenBLAS runs single-threaded: parallel loops are the caller's (base_pool), so results
 * do not depend on the number of threads. All matrices are the caller's. */
#ifndef TENSOR_H
#define TENSOR_H

#include "base/base.h"

/* Once at the program's start, before threads exist. */
void tensor_init(void);

/* c [m][n] = alpha * op(a) [m][k] * op(b) [k][n] + beta * c; op transposes where asked:
 * a is then stored [k][m], b [n][k]. Rows are dense (no leading dimensions). */
void tensor_gemm(float *c, const float *a, bool a_t, const float *b, bool b_t, int m, int n, int k, float alpha,
                 float beta);
/* c [n][n] = a [m][n]^T * a + beta * c; only the lower triangle of c is read and written. */
void tensor_gram(float *c, const float *a, int m, int n, float beta);
/* y [m] = a [m][n] * x [n] + beta * y. */
void tensor_gemv(float *y, const float *a, const float *x, int m, int n, float beta);

/* Least squares: x [n][r] minimizing |a [m][n] * x - b [m][r]|, m >= n, a of full rank. `a` and
 * `b` are kept. BASE_INPUT if a is rank-deficient (to its precision), naming `what`. */
int tensor_least_squares(double *x, const double *a, const double *b, int m, int n, int r, const char *what);
/* Solve a [n][n] * x = b [n][r] with a symmetric positive definite (Cholesky), in double
 * precision. `a` and `b` are kept. BASE_INPUT if a is not positive definite, naming `what`. */
int tensor_solve_spd(double *x, const double *a, const double *b, int n, int r, const char *what);
/* a [n][n] = l * l^T in place: lower triangle with zeros above. BASE_INPUT as above. */
int tensor_cholesky(double *a, int n, const char *what);
/* b [n][r] := l^-1 * b, or l^-T * b with `transposed`; l [n][n] is lower triangular with a diagonal free of zeros. */
void tensor_solve_lower(double *b, const double *l, bool transposed, int n, int r);

#endif
