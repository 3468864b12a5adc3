/* mse.c: scales of least squared error, for weights and for histograms of activations.
 *
 * The error as a function of the clipping point has several local minima: a grid over
 * clipping points first, then a finer grid around the best. */
#include <float.h>
#include <math.h>

#include "compress/compress.h"

enum { COARSE = 128, FINE = 32 };

static double clampd(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* ---- weights ---- */

static double weight_error(const float *w, int64_t n, float s, int bits)
{
    float lo = -(float)(1 << (bits - 1)), hi = (float)((1 << (bits - 1)) - 1), inv = 1 / s, sum = 0;
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        float q = floorf(w[i] * inv + 0.5f);
        q = q < lo ? lo : q > hi ? hi : q;
        float e = w[i] - q * s;
        sum += e * e;
        if ((i & 255) == 255) { /* short float sums: exact enough, and vectorized */
            total += (double)sum;
            sum = 0;
        }
    }
    return total + (double)sum;
}

float compress_scale_weights(const float *w, int64_t n, int bits)
{
    double max = 0, mean = 0;
    for (int64_t i = 0; i < n; i++) {
        max = fmax(max, fabs((double)w[i]));
        mean += fabs((double)w[i]);
    }
    if (!(max > (double)COMPRESS_NOTHING))
        return bits == 1 ? COMPRESS_NOTHING : 1;      /* one bit has no zero: +-1 of a scale that is as good as 0 */
    if (bits == 1)
        return (float)(mean / (double)n);
    double top = max / ((1 << (bits - 1)) - 0.5), best = top, least = DBL_MAX, step = top * 1.2 / COARSE;
    for (int i = COARSE / 8; i <= COARSE; i++) {
        double e = weight_error(w, n, (float)(i * step), bits);
        if (e < least) {
            least = e;
            best = i * step;
        }
    }
    double centre = best;
    for (int i = -FINE + 1; i < FINE; i++) {
        double s = centre + i * step / FINE, e = weight_error(w, n, (float)s, bits);
        if (e < least) {
            least = e;
            best = s;
        }
    }
    return (float)best;
}

/* ---- activations ---- */

/* Values of bin i stand at its centre, those of bin 0 at 0 (mostly a ReLU's zeros). A signed edge is
 * taken as symmetric: the histogram holds magnitudes. */
static double edge_error(const struct nn_histogram *h, double s, double q_max)
{
    double sum = 0;
    for (int i = 1; i < NN_BINS; i++) {
        if (!(h->count[i] > 0))
            continue;
        double x = (i + 0.5) * (double)h->width, q = clampd(floor(x / s + 0.5), 0, q_max), e = x - q * s;
        sum += h->count[i] * e * e;
    }
    return sum;
}

float compress_scale_edge(const struct nn_histogram *h, int bits, bool is_signed)
{
    double q_max = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
    double max = fmax((double)h->max, -(double)h->min);
    if (!(h->width > 0) || !(max > 0))
        return (float)(1 / q_max);
    double step = max / q_max / COARSE, best = max / q_max, least = DBL_MAX;
    for (int i = 2; i <= COARSE; i++) {
        double e = edge_error(h, i * step, q_max);
        if (e < least) {
            least = e;
            best = i * step;
        }
    }
    double centre = best;
    for (int i = -FINE + 1; i < FINE; i++) {
        double s = centre + i * step / FINE, e = edge_error(h, s, q_max);
        if (e < least) {
            least = e;
            best = s;
        }
    }
    return (float)best;
}
