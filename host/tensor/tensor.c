/* tensor: wrappers that hide BLAS's argument lists and LAPACK's column order. */
#include "tensor/tensor.h"

#include <cblas.h>
#include <string.h>

/* LAPACK, Fortran interface: column-major, everything by pointer. */
extern void dgels_(const char *trans, const int *m, const int *n, const int *nrhs, double *a, const int *lda,
                   double *b, const int *ldb, double *work, const int *lwork, int *info);
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
extern void dpotrs_(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda, double *b,
                    const int *ldb, int *info);

void tensor_init(void)
{
    openblas_set_num_threads(1);
}

void tensor_gemm(float *c, const float *a, bool a_t, const float *b, bool b_t, int m, int n, int k, float alpha,
                 float beta)
{
    cblas_sgemm(CblasRowMajor, a_t ? CblasTrans : CblasNoTrans, b_t ? CblasTrans : CblasNoTrans, m, n, k, alpha, a,
                a_t ? m : k, b, b_t ? k : n, beta, c, n);
}

void tensor_gram(float *c, const float *a, int m, int n, float beta)
{
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, n, m, 1.0f, a, n, beta, c, n);
}

void tensor_gemv(float *y, const float *a, const float *x, int m, int n, float beta)
{
    cblas_sgemv(CblasRowMajor, CblasNoTrans, m, n, 1.0f, a, n, x, 1, beta, y, 1);
}

/* out [cols][rows] = in [rows][cols]: row-major to column-major and back. */
static void transpose(double *out, const double *in, int rows, int cols)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            out[(size_t)j * (size_t)rows + (size_t)i] = in[(size_t)i * (size_t)cols + (size_t)j];
}

/* dgels takes any full-rank matrix as its arithmetic sees it: look at R's diagonal too. */
static bool full_rank(const double *r, int m, int n)
{
    double largest = 0, smallest = 0;
    for (int i = 0; i < n; i++) {
        double d = r[(size_t)i * (size_t)m + (size_t)i];
        d = d < 0 ? -d : d;
        largest = i ? BASE_MAX(largest, d) : d;
        smallest = i ? BASE_MIN(smallest, d) : d;
    }
    return smallest > largest * 1e-13 * m;
}

int tensor_least_squares(double *x, const double *a, const double *b, int m, int n, int r, const char *what)
{
    int info = 0, lwork = -1, rc = BASE_NOMEM;
    double best, *work = NULL;
    double *ac = BASE_NEW_N(double, (size_t)m * (size_t)n);
    double *bc = BASE_NEW_N(double, (size_t)m * (size_t)r);
    if (!ac || !bc)
        goto done;
    transpose(ac, a, m, n);
    transpose(bc, b, m, r);
    dgels_("N", &m, &n, &r, ac, &m, bc, &m, &best, &lwork, &info);
    lwork = (int)best;
    work = BASE_NEW_N(double, lwork);
    if (!work)
        goto done;
    dgels_("N", &m, &n, &r, ac, &m, bc, &m, work, &lwork, &info);
    if (info || !full_rank(ac, m, n)) {
        rc = base_fail(BASE_INPUT, "%s: the least-squares problem has no single solution", what);
        goto done;
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < r; j++)
            x[(size_t)i * (size_t)r + (size_t)j] = bc[(size_t)j * (size_t)m + (size_t)i];
    rc = BASE_OK;
done:
    base_free(ac);
    base_free(bc);
    base_free(work);
    return rc;
}

static int not_positive(const char *what)
{
    return base_fail(BASE_INPUT, "%s: the matrix is not positive definite", what);
}

int tensor_solve_spd(double *x, const double *a, const double *b, int n, int r, const char *what)
{
    int info = 0, rc = BASE_NOMEM;
    double *l = BASE_NEW_N(double, (size_t)n * (size_t)n);
    double *bc = BASE_NEW_N(double, (size_t)n * (size_t)r);
    if (!l || !bc)
        goto done;
    memcpy(l, a, (size_t)n * (size_t)n * sizeof *l);
    transpose(bc, b, n, r);
    dpotrf_("L", &n, l, &n, &info);
    if (info) {
        rc = not_positive(what);
        goto done;
    }
    dpotrs_("L", &n, &r, l, &n, bc, &n, &info);
    transpose(x, bc, r, n);
    rc = BASE_OK;
done:
    base_free(l);
    base_free(bc);
    return rc;
}

int tensor_cholesky(double *a, int n, const char *what)
{
    int info = 0;
    dpotrf_("U", &n, a, &n, &info); /* the upper triangle, column-major, is the lower one here */
    if (info)
        return not_positive(what);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            a[(size_t)i * (size_t)n + (size_t)j] = 0;
    return BASE_OK;
}

void tensor_solve_lower(double *b, const double *l, bool transposed, int n, int r)
{
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, transposed ? CblasTrans : CblasNoTrans, CblasNonUnit, n, r, 1.0, l, n, b, r);
}
