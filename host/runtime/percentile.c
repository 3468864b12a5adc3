/* percentile.c: nearest rank: the smallest value that at least `percent` % of the values do not exceed. */
#include <math.h>
#include <stdlib.h>

#include "runtime/runtime_internal.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double *v, int n, double percent)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    int rank = (int)ceil(percent / 100 * n) - 1;
    return v[BASE_MAX(0, BASE_MIN(rank, n - 1))];
}

static double of(const struct bitpress_image *image, int n, double percent, bool cycles)
{
    double *v = n > 0 ? BASE_NEW_N(double, n) : NULL;
    if (!v)
        return 0;
    for (int i = 0; i < n; i++)
        v[i] = cycles ? (double)image[i].cycles : image[i].seconds;
    double p = percentile(v, n, percent);
    base_free(v);
    return p;
}

/* Exact: a device that takes 2^53 cycles for an image is not one of ours. */
uint64_t bitpress_cycles_percentile(const struct bitpress_image *image, int n, double percent)
{
    return (uint64_t)of(image, n, percent, true);
}

double bitpress_seconds_percentile(const struct bitpress_image *image, int n, double percent)
{
    return of(image, n, percent, false);
}
