/* Depthwise convolution: forward, backward-data and weight gradient. A channel meets only itself, so there is little
 * to compute per value read: 4 outputs of a row are made together, for 8 channels, from the values that they share. */
#include "nn/kernels.h"

#include "base/base.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 9")

enum { OUTS = 4 };

/* ---- forward ------------------------------------------------------------------------------ */

/* P outputs of a 3x3 kernel of stride S. */
INLINE void row3(const int P, const int S, float *y, const float *x, long row, const float *w, long c, bool add)
{
    nn_v8 acc[OUTS], in[2 * OUTS + 1];
    UNROLL for (int p = 0; p < P; p++)
        acc[p] = add ? *(const nn_v8 *)(y + p * c) : nn_splat(0);
    UNROLL for (int ky = 0; ky < 3; ky++, x += row, w += 3 * c) {
        nn_v8 w0 = *(const nn_v8 *)w, w1 = *(const nn_v8 *)(w + c), w2 = *(const nn_v8 *)(w + 2 * c);
        UNROLL for (int i = 0; i < (P - 1) * S + 3; i++)
            in[i] = *(const nn_v8 *)(x + i * c);
        UNROLL for (int p = 0; p < P; p++) {
            acc[p] += in[p * S] * w0;
            acc[p] += in[p * S + 1] * w1;
            acc[p] += in[p * S + 2] * w2;
        }
    }
    UNROLL for (int p = 0; p < P; p++)
        *(nn_v8 *)(y + p * c) = acc[p];
}

INLINE void map3(const int S, float *y, int oh, int ow, const float *x, int wp, const float *packed, int c, bool add)
{
    for (int oy = 0; oy < oh; oy++)
        for (int ox = 0; ox < ow; ox += OUTS) {
            const float *xp = x + ((size_t)oy * S * wp + (size_t)ox * S) * c;
            float *yp = y + ((size_t)oy * ow + ox) * c;
            int left = ow - ox;
            for (int k = 0; k < c; k += 8)
                if (left >= 4)
                    row3(4, S, yp + k, xp + k, (long)wp * c, packed + k, c, add);
                else if (left == 3)
                    row3(3, S, yp + k, xp + k, (long)wp * c, packed + k, c, add);
                else if (left == 2)
                    row3(2, S, yp + k, xp + k, (long)wp * c, packed + k, c, add);
                else
                    row3(1, S, yp + k, xp + k, (long)wp * c, packed + k, c, add);
        }
}

static void any_map(float *y, const float *x, const float *packed, const struct nn_conv *c)
{
    for (int oy = 0; oy < c->oh; oy++)
        for (int ox = 0; ox < c->ow; ox++, y += c->c) {
            const float *xp = x + ((size_t)oy * c->stride * c->wp + (size_t)ox * c->stride) * c->c;
            for (int k = 0; k < c->c; k += 8) {
                nn_v8 acc = nn_splat(0);
                for (int ky = 0; ky < c->kh; ky++)
                    for (int kx = 0; kx < c->kw; kx++)
                        acc += *(const nn_v8 *)(xp + (ky * c->wp + kx) * c->c + k) * *(const nn_v8 *)(packed + (ky * c->kw + kx) * c->c + k);
                *(nn_v8 *)(y + k) = acc;
            }
        }
}

static bool is_3x3(const struct nn_conv *c)
{
    return c->kh == 3 && c->kw == 3;
}

void nn_depthwise_forward(float *y, const float *x, const float *packed, const struct nn_conv *c)
{
    if (is_3x3(c) && c->stride == 1)
        map3(1, y, c->oh, c->ow, x, c->wp, packed, c->c, false);
    else if (is_3x3(c) && c->stride == 2)
        map3(2, y, c->oh, c->ow, x, c->wp, packed, c->c, false);
    else
        any_map(y, x, packed, c);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* Input pixel (iy, ix) gathers from the taps that meet it: every stride-th of each side. */
static void gather(float *dx, const float *dy, const float *packed, const struct nn_conv *c, int iy, int ix, bool add)
{
    int s = c->stride, y0 = (iy + c->pad_t) % s, x0 = (ix + c->pad_l) % s;
    int oy = (iy + c->pad_t) / s + c->gt, ox = (ix + c->pad_l) / s + c->gl;
    for (int k = 0; k < c->c; k += 8) {
        nn_v8 acc = add ? *(const nn_v8 *)(dx + k) : nn_splat(0);
        for (int ky = y0, a = 0; ky < c->kh; ky += s, a++)
            for (int kx = x0, b = 0; kx < c->kw; kx += s, b++)
                acc += *(const nn_v8 *)(dy + ((long)(oy - a) * c->gwp + ox - b) * c->c + k) * *(const nn_v8 *)(packed + (ky * c->kw + kx) * c->c + k);
        *(nn_v8 *)(dx + k) = acc;
    }
}

void nn_depthwise_back(float *dx, const float *dy, const float *packed, const struct nn_conv *c, bool add)
{
    if (is_3x3(c) && c->stride == 1) {   /* the forward pass with the kernel turned by 180 degrees */
        map3(1, dx, c->h, c->w, dy + ((size_t)c->pad_t * c->gwp + c->pad_l) * c->c, c->gwp, packed + c->pack_forward, c->c, add);
        return;
    }
    for (int iy = 0; iy < c->h; iy++)
        for (int ix = 0; ix < c->w; ix++, dx += c->c)
            gather(dx, dy, packed, c, iy, ix, add);
}

/* ---- weight gradient --------------------------------------------------------------------------- */

/* dw of three taps of a row += over `rows` x `cols` outputs. */
INLINE void taps3(const int S, float *dw, const float *x, long x_row, const float *dy, long dy_row, int rows, int cols, long c)
{
    nn_v8 acc[3] = { *(const nn_v8 *)dw, *(const nn_v8 *)(dw + c), *(const nn_v8 *)(dw + 2 * c) };
    for (int r = 0; r < rows; r++, x += x_row, dy += dy_row) {
        const float *xp = x, *dp = dy;
        int i = 0;
        for (; i + OUTS <= cols; i += OUTS, xp += OUTS * S * c, dp += OUTS * c) {
            nn_v8 in[2 * OUTS + 1];
            UNROLL for (int q = 0; q < (OUTS - 1) * S + 3; q++)
                in[q] = *(const nn_v8 *)(xp + q * c);
            UNROLL for (int p = 0; p < OUTS; p++) {
                nn_v8 d = *(const nn_v8 *)(dp + p * c);
                acc[0] += in[p * S] * d;
                acc[1] += in[p * S + 1] * d;
                acc[2] += in[p * S + 2] * d;
            }
        }
        for (; i < cols; i++, xp += S * c, dp += c)
            UNROLL for (int t = 0; t < 3; t++)
                acc[t] += *(const nn_v8 *)(xp + t * c) * *(const nn_v8 *)dp;
    }
    UNROLL for (int t = 0; t < 3; t++)
        *(nn_v8 *)(dw + t * c) = acc[t];
}

enum { BLOCK_FLOATS = 6144 };            /* of the rows worked on together: they stay in L1 for all channels and taps */

INLINE void weights3(const int S, float *dw, const float *x, const float *dy, int dy_row, const struct nn_conv *c)
{
    int block = BASE_MAX(1, BLOCK_FLOATS / ((S * c->wp + c->ow) * c->c)), x_row = c->wp * c->c;
    for (int y0 = 0; y0 < c->oh; y0 += block)
        for (int k = 0; k < c->c; k += 8)
            for (int ky = 0; ky < 3; ky++)
                taps3(S, dw + (size_t)(3 * ky) * c->c + k, x + (size_t)(y0 * S + ky) * x_row + k, (long)S * x_row, dy + (size_t)y0 * dy_row + k, dy_row,
                      BASE_MIN(block, c->oh - y0), c->ow, c->c);
}

void nn_depthwise_weights(float *dw, const float *x, const float *dy, int dy_row, const struct nn_conv *c)
{
    if (is_3x3(c) && c->stride <= 2) {
        if (c->stride == 1)
            weights3(1, dw, x, dy, dy_row, c);
        else
            weights3(2, dw, x, dy, dy_row, c);
        return;
    }
    for (int ky = 0; ky < c->kh; ky++)
        for (int kx = 0; kx < c->kw; kx++, dw += c->c)
            for (int k = 0; k < c->c; k += 8) {
                nn_v8 acc = nn_splat(0);
                for (int oy = 0; oy < c->oh; oy++) {
                    const float *xp = x + ((size_t)(oy * c->stride + ky) * c->wp + kx) * c->c + k;
                    const float *dp = dy + (size_t)oy * dy_row + k;
                    for (int ox = 0; ox < c->ow; ox++)
                        acc += *(const nn_v8 *)(xp + (size_t)ox * c->stride * c->c) * *(const nn_v8 *)(dp + (size_t)ox * c->c);
                }
                *(nn_v8 *)(dw + k) += acc;
            }
}
