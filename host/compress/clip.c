/* clip.c: where a scale's range ends: the least squared error (mse.c), the extremes, or a percentile of
 * the magnitudes. */
#include <math.h>
#include <stdlib.h>

#include "compress/compress.h"

/* ---- weights ---- */

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Between the two magnitudes around place (n - 1) * p of the sorted ones. NaN: no memory. */
static double weight_percentile(const float *w, int64_t n, double p)
{
    float *m = BASE_NEW_N(float, n);
    if (!m)
        return (double)NAN;
    for (int64_t i = 0; i < n; i++)
        m[i] = fabsf(w[i]);
    qsort(m, (size_t)n, sizeof *m, ascending);
    double at = (double)(n - 1) * p / 100;
    int64_t low = (int64_t)at, high = BASE_MIN(low + 1, n - 1);
    double v = (double)m[low] + (at - (double)low) * ((double)m[high] - (double)m[low]);
    base_free(m);
    return v;
}

static void extremes(double *min, double *max, const float *w, int64_t n)
{
    *min = *max = 0;
    for (int64_t i = 0; i < n; i++) {
        *min = fmin(*min, (double)w[i]);
        *max = fmax(*max, (double)w[i]);
    }
}

float compress_clip_weights(const float *w, int64_t n, int bits, enum compress_clip clip, double percentile)
{
    double min, max, half = 1 << (bits - 1), top;
    extremes(&min, &max, w, n);
    if (bits == 1 || clip == COMPRESS_MSE || !(max - min > (double)COMPRESS_NOTHING))
        return compress_scale_weights(w, n, bits);
    if (clip == COMPRESS_PERCENTILE) {
        top = weight_percentile(w, n, percentile) / (half - 1);
        if (isnan(top) || top > (double)COMPRESS_NOTHING) /* NaN travels to the caller */
            return (float)top;
    }
    return (float)fmax(max / (half - 1), -min / half);
}

/* ---- edges ---- */

/* Values are taken as even within a bin. */
static double edge_percentile(const struct nn_histogram *h, double p)
{
    double want = h->n * p / 100, seen = 0;
    for (int i = 0; i < NN_BINS; i++) {
        if (h->count[i] > 0 && seen + h->count[i] >= want)
            return (i + (want - seen) / h->count[i]) * (double)h->width;
        seen += h->count[i];
    }
    return NN_BINS * (double)h->width;
}

float compress_clip_edge(const struct nn_histogram *h, int bits, bool is_signed, enum compress_clip clip, double percentile)
{
    double half = 1 << (bits - 1), top = is_signed ? half - 1 : 2 * half - 1, max = (double)h->max, min = is_signed ? (double)h->min : 0;
    if (clip == COMPRESS_MSE || !(h->width > 0) || !(max > 0 || min < 0))
        return compress_scale_edge(h, bits, is_signed);
    double p = clip == COMPRESS_PERCENTILE ? edge_percentile(h, percentile) : 0;
    if (p > 0)
        return (float)(p / top);
    return (float)fmax(max / top, -min / half);
}
