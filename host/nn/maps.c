/* Everything that is not a product: padding, pooling, adding maps, and the sweep over a
 * map that follows a layer's sum (batch norm applied, ReLU, fake quantization) with the
 * matching sweep backward. Half-up rounding is floor(x + 0.5), here as everywhere. */
#include "nn/kernels.h"

#include "base/base.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

enum { MOST_VECTORS = 4 };               /* of a pixel, worked on together */

static inline nn_v8 zero_unless(nn_i8 keep, nn_v8 v)
{
    return (nn_v8)(keep & (nn_i8)v);
}

static inline uint8_t bits_of(nn_i8 keep)
{
    return (uint8_t)_mm256_movemask_ps((__m256)keep);
}

static inline nn_i8 lanes_of(uint8_t bits)
{
    const nn_i8 lane = { 1, 2, 4, 8, 16, 32, 64, 128 };
    int b = bits;
    return ((nn_i8){ b, b, b, b, b, b, b, b } & lane) != 0;
}

/* ---- padding ------------------------------------------------------------------------------ */

static void fill_border(float *out, int pixels, int c, const float *pad)
{
    if (!pad)
        memset(out, 0, sizeof *out * (size_t)pixels * c);
    else
        for (int p = 0; p < pixels; p++)
            memcpy(out + (size_t)p * c, pad, sizeof *out * (size_t)c);
}

void nn_pad(float *out, int hp, int wp, const float *x, int h, int w, int c, int top, int left, const float *pad)
{
    fill_border(out, top * wp, c, pad);
    for (int y = 0; y < h; y++) {
        float *row = out + (size_t)(top + y) * wp * c;
        fill_border(row, left, c, pad);
        memcpy(row + (size_t)left * c, x + (size_t)y * w * c, sizeof *x * (size_t)w * c);
        fill_border(row + (size_t)(left + w) * c, wp - left - w, c, pad);
    }
    fill_border(out + (size_t)(top + h) * wp * c, (hp - top - h) * wp, c, pad);
}

void nn_clear_border(float *out, int hp, int wp, int h, int w, int c, int top, int left)
{
    fill_border(out, top * wp, c, NULL);
    for (int y = 0; y < h; y++) {
        float *row = out + (size_t)(top + y) * wp * c;
        fill_border(row, left, c, NULL);
        fill_border(row + (size_t)(left + w) * c, wp - left - w, c, NULL);
    }
    fill_border(out + (size_t)(top + h) * wp * c, (hp - top - h) * wp, c, NULL);
}

/* ---- pooling -------------------------------------------------------------------------------- */

/* Part of the window of output (oy, ox) inside the map: taps [y0, y1) x [x0, x1), in input coordinates. */
struct span { int y0, y1, x0, x1; };

static struct span span_of(const struct nn_window *p, int oy, int ox)
{
    int y = oy * p->stride - p->pad_t, x = ox * p->stride - p->pad_l;
    return (struct span){ BASE_MAX(y, 0), BASE_MIN(y + p->kh, p->h), BASE_MAX(x, 0), BASE_MIN(x + p->kw, p->w) };
}

void nn_avgpool_add(float *out, const float *in, const struct nn_window *p)
{
    for (int oy = 0; oy < p->oh; oy++)
        for (int ox = 0; ox < p->ow; ox++, out += p->c) {
            struct span s = span_of(p, oy, ox);
            nn_v8 inv = nn_splat(1.0f / (float)((s.y1 - s.y0) * (s.x1 - s.x0)));
            for (int k = 0; k < p->c; k += 8) {
                nn_v8 acc = nn_splat(0);
                for (int y = s.y0; y < s.y1; y++)
                    for (int x = s.x0; x < s.x1; x++)
                        acc += *(const nn_v8 *)(in + ((size_t)y * p->w + x) * p->c + k);
                *(nn_v8 *)(out + k) += acc * inv;
            }
        }
}

void nn_avgpool_back(float *dx, const float *dy, const struct nn_window *p)
{
    for (int oy = 0; oy < p->oh; oy++)
        for (int ox = 0; ox < p->ow; ox++, dy += p->c) {
            struct span s = span_of(p, oy, ox);
            nn_v8 inv = nn_splat(1.0f / (float)((s.y1 - s.y0) * (s.x1 - s.x0)));
            for (int y = s.y0; y < s.y1; y++)
                for (int x = s.x0; x < s.x1; x++)
                    for (int k = 0; k < p->c; k += 8)
                        *(nn_v8 *)(dx + ((size_t)y * p->w + x) * p->c + k) += *(const nn_v8 *)(dy + k) * inv;
        }
}

typedef uint8_t bytes8 __attribute__((vector_size(8), aligned(1), may_alias));

void nn_maxpool(float *out, uint8_t *which, const float *in, const struct nn_window *p)
{
    for (int oy = 0; oy < p->oh; oy++)
        for (int ox = 0; ox < p->ow; ox++, out += p->c) {
            struct span s = span_of(p, oy, ox);
            int top = oy * p->stride - p->pad_t, left = ox * p->stride - p->pad_l;
            for (int k = 0; k < p->c; k += 8) {
                nn_v8 best = nn_splat(-INFINITY);
                nn_i8 tap = { 0 };
                for (int y = s.y0; y < s.y1; y++)
                    for (int x = s.x0; x < s.x1; x++) {
                        nn_v8 v = *(const nn_v8 *)(in + ((size_t)y * p->w + x) * p->c + k);
                        nn_i8 more = v > best;
                        int t = (y - top) * p->kw + x - left;
                        best = (nn_v8)((more & (nn_i8)v) | (~more & (nn_i8)best));
                        tap = (more & (nn_i8){ t, t, t, t, t, t, t, t }) | (~more & tap);
                    }
                *(nn_v8 *)(out + k) = best;
                if (which)
                    *(bytes8 *)(which + k) = __builtin_convertvector(tap, bytes8);
            }
            if (which)
                which += p->c;
        }
}

void nn_maxpool_back(float *dx, const float *dy, const uint8_t *which, const struct nn_window *p)
{
    for (int oy = 0; oy < p->oh; oy++)
        for (int ox = 0; ox < p->ow; ox++, dy += p->c, which += p->c) {
            struct span s = span_of(p, oy, ox);
            int top = oy * p->stride - p->pad_t, left = ox * p->stride - p->pad_l;
            for (int k = 0; k < p->c; k += 8) {
                nn_v8 d = *(const nn_v8 *)(dy + k);
                nn_i8 tap = __builtin_convertvector(*(const bytes8 *)(which + k), nn_i8);
                for (int y = s.y0; y < s.y1; y++)
                    for (int x = s.x0; x < s.x1; x++) {
                        int t = (y - top) * p->kw + x - left;
                        *(nn_v8 *)(dx + ((size_t)y * p->w + x) * p->c + k) += zero_unless(tap == t, d);
                    }
            }
        }
}

/* ---- identity, shortcut, concat ----------------------------------------------------------------- */

void nn_copy_add(float *y, int y_c, int y_chan, const float *x, int x_c, int x_chan, int n, int oh, int ow, int w, int stride)
{
    for (int r = 0; r < oh; r++)
        for (int q = 0; q < ow; q++) {
            const float *s = x + ((size_t)r * stride * w + (size_t)q * stride) * x_c + x_chan;
            float *d = y + ((size_t)r * ow + q) * y_c + y_chan;
            for (int i = 0; i < n; i++)
                d[i] += s[i];
        }
}

void nn_copy_back(float *dx, int x_c, int x_chan, const float *dy, int y_c, int y_chan, int n, int oh, int ow, int w, int stride)
{
    for (int r = 0; r < oh; r++)
        for (int q = 0; q < ow; q++) {
            float *d = dx + ((size_t)r * stride * w + (size_t)q * stride) * x_c + x_chan;
            const float *s = dy + ((size_t)r * ow + q) * y_c + y_chan;
            for (int i = 0; i < n; i++)
                d[i] += s[i];
        }
}

/* ---- after the sum -------------------------------------------------------------------------------- */

struct finished { nn_v8 y; nn_i8 keep; nn_v8 slope; };

static inline struct finished finish(nn_v8 v, const struct nn_finish *f)
{
    struct finished r = { .keep = (nn_i8){ -1, -1, -1, -1, -1, -1, -1, -1 } };
    if (f->relu_hi >= 0) {
        nn_v8 hi = nn_splat(f->relu_hi);
        r.keep = (v > nn_splat(0)) & (v < hi);
        v = (nn_v8)_mm256_min_ps(_mm256_max_ps((__m256)v, _mm256_setzero_ps()), (__m256)hi);
    }
    r.y = v;
    if (f->scale > 0) {
        nn_v8 u = v / nn_splat(f->scale);
        nn_v8 q = (nn_v8)_mm256_floor_ps((__m256)(u + nn_splat(0.5f)));
        nn_i8 in = (q >= nn_splat(f->q_lo)) & (q <= nn_splat(f->q_hi));
        q = (nn_v8)_mm256_min_ps(_mm256_max_ps((__m256)q, (__m256)nn_splat(f->q_lo)), (__m256)nn_splat(f->q_hi));
        r.slope = q - zero_unless(in, u);
        r.y = q * nn_splat(f->scale);
        r.keep &= in;
    }
    return r;
}

/* V vectors of every pixel, whose scales stay in registers; `plain`: neither fake quantization nor a slope. */
INLINE void finish_columns(const int V, const bool plain, float *y, uint8_t *mask, float *slope, const float *z, const float *sc, const float *sh, const float *res,
                           int pixels, int c, const struct nn_finish *f)
{
    const struct nn_finish fin = { .relu_hi = f->relu_hi, .scale = plain ? 0 : f->scale, .q_lo = f->q_lo, .q_hi = f->q_hi };
    nn_v8 scale[MOST_VECTORS], shift[MOST_VECTORS];
    for (int v = 0; v < V; v++) {
        scale[v] = shift[v] = nn_splat(0);
        if (z) {
            scale[v] = *(const nn_v8 *)(sc + 8 * v);
            shift[v] = *(const nn_v8 *)(sh + 8 * v);
        }
    }
    for (size_t i = 0, end = (size_t)pixels * c; i < end; i += c)
        UNROLL for (int v = 0; v < V; v++) {
            nn_v8 x = nn_splat(0);
            if (z)
                x = *(const nn_v8 *)(z + i + 8 * v) * scale[v] + shift[v];
            if (res)
                x += *(const nn_v8 *)(res + i + 8 * v);
            struct finished r = finish(x, &fin);
            *(nn_v8 *)(y + i + 8 * v) = r.y;
            if (mask)
                mask[i / 8 + v] = bits_of(r.keep);
            if (!plain && slope)
                *(nn_v8 *)(slope + i + 8 * v) = r.slope;
        }
}

#define FINISH(V) \
    do { \
        if (plain) \
            finish_columns(V, true, y + k, mask ? mask + k / 8 : NULL, NULL, z ? z + k : NULL, z ? sc + k : NULL, z ? sh + k : NULL, res ? res + k : NULL, pixels, c, f); \
        else \
            finish_columns(V, false, y + k, mask ? mask + k / 8 : NULL, slope ? slope + k : NULL, z ? z + k : NULL, z ? sc + k : NULL, z ? sh + k : NULL, res ? res + k : NULL, pixels, c, f); \
    } while (0)

void nn_finish_map(float *y, uint8_t *mask, float *slope, const float *z, const float *sc, const float *sh, const float *res,
                   int pixels, int c, const struct nn_finish *f)
{
    bool plain = !slope && !(f->scale > 0);
    for (int k = 0, left = c; left > 0; left = c - k)
        if (left >= 32) {
            FINISH(4);
            k += 32;
        } else if (left >= 16) {
            FINISH(2);
            k += 16;
        } else {
            FINISH(1);
            k += 8;
        }
}

/* Pixels are summed in float in short runs, the runs in double: little error, no slow inner loop. */
enum { RUN = 1024 };

static inline void sum_out(double *sum, nn_v8 s, nn_v8 q)
{
    for (int i = 0; i < 8; i++) {
        sum[2 * i] += (double)s[i];
        sum[2 * i + 1] += (double)q[i];
    }
}

void nn_mask_sums(float *d, const uint8_t *mask, const float *z, const float *mean, int pixels, int c, double *sum)
{
    for (int p0 = 0; p0 < pixels; p0 += RUN) {
        int p1 = BASE_MIN(pixels, p0 + RUN);
        for (int k = 0; k < c; k += 8) {
            nn_v8 s = nn_splat(0), q = nn_splat(0), m = z ? *(const nn_v8 *)(mean + k) : nn_splat(0);
            for (int p = p0; p < p1; p++) {
                size_t i = (size_t)p * c + k;
                nn_v8 v = *(const nn_v8 *)(d + i);
                if (mask) {
                    v = zero_unless(lanes_of(mask[i / 8]), v);
                    *(nn_v8 *)(d + i) = v;
                }
                s += v;
                if (z)
                    q += v * (*(const nn_v8 *)(z + i) - m);
            }
            if (sum)
                sum_out(sum + 2 * k, s, q);
        }
    }
}

void nn_moments(const float *z, const float *shift, int pixels, int c, double *sum)
{
    for (int p0 = 0; p0 < pixels; p0 += RUN) {
        int p1 = BASE_MIN(pixels, p0 + RUN);
        for (int k = 0; k < c; k += 8) {
            nn_v8 s = nn_splat(0), q = nn_splat(0), m = *(const nn_v8 *)(shift + k);
            for (int p = p0; p < p1; p++) {
                nn_v8 v = *(const nn_v8 *)(z + (size_t)p * c + k) - m;
                s += v;
                q += v * v;
            }
            sum_out(sum + 2 * k, s, q);
        }
    }
}

double nn_dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i0 = 0; i0 < n; i0 += 4096) {
        nn_v8 s = nn_splat(0);
        for (size_t i = i0; i < BASE_MIN(n, i0 + 4096); i += 8)
            s += *(const nn_v8 *)(a + i) * *(const nn_v8 *)(b + i);
        for (int i = 0; i < 8; i++)
            sum += (double)s[i];
    }
    return sum;
}

INLINE void affine_columns(const int V, float *out, int out_row, const float *d, const float *z, const float *k1, const float *k2, const float *k3, int h, int w, int c)
{
    nn_v8 a[MOST_VECTORS], b[MOST_VECTORS], e[MOST_VECTORS];
    for (int v = 0; v < V; v++) {
        a[v] = *(const nn_v8 *)(k1 + 8 * v);
        b[v] = *(const nn_v8 *)(k2 + 8 * v);
        e[v] = *(const nn_v8 *)(k3 + 8 * v);
    }
    for (int y = 0; y < h; y++, out += out_row)
        for (int x = 0; x < w; x++, d += c, z += c)
            UNROLL for (int v = 0; v < V; v++)
                *(nn_v8 *)(out + (size_t)x * c + 8 * v) = a[v] * *(const nn_v8 *)(d + 8 * v) + b[v] * *(const nn_v8 *)(z + 8 * v) + e[v];
}

void nn_affine_grad(float *out, int out_row, const float *d, const float *z, const float *k1, const float *k2, const float *k3, int h, int w, int c)
{
    int k = 0;
    for (; k + 16 <= c; k += 16)
        affine_columns(2, out + k, out_row, d + k, z + k, k1 + k, k2 + k, k3 + k, h, w, c);
    if (k < c)
        affine_columns(1, out + k, out_row, d + k, z + k, k1 + k, k2 + k, k3 + k, h, w, c);
}
