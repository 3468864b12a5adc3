/* Direct convolution in NHWC: packing, the forward / backward-data micro-kernel, the
 * weight-gradient micro-kernel, and dense layers by the same kernels.
 *
 * The micro-kernel keeps 6 pixels x 16 output channels in 12 vector registers and walks
 * the reduction axis in contiguous runs of the padded map (a kernel row of all its
 * channels), so no im2col copy is made. Backward-data is the same product over the
 * output gradient: for stride s the input pixels fall into s * s classes, each with its
 * own subset of the kernel's taps. */
#include "nn/kernels.h"

#include "base/base.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 6")

enum { PIX = 6, WIDE = 16 };             /* register block: pixels x output channels */

/* ---- plans --------------------------------------------------------------------------- */

static int product_tables(struct nn_product *p, struct base_arena *a, int pixels, int segs)
{
    p->x_off = BASE_ARENA_NEW_N(a, int, pixels + 1);
    p->y_off = BASE_ARENA_NEW_N(a, int, pixels + 1);
    p->seg_off = BASE_ARENA_NEW_N(a, int, segs + 1);
    return p->x_off && p->y_off && p->seg_off ? BASE_OK : BASE_NOMEM;
}

static int plan_forward(struct nn_conv *c, struct base_arena *a)
{
    struct nn_product *p = &c->forward;
    int rc = product_tables(p, a, c->oh * c->ow, c->kh);
    if (rc)
        return rc;
    for (int y = 0; y < c->oh; y++)
        for (int x = 0; x < c->ow; x++, p->n_pix++) {
            p->x_off[p->n_pix] = (y * c->stride * c->wp + x * c->stride) * c->c;
            p->y_off[p->n_pix] = p->n_pix * c->o;
        }
    p->n_seg = c->kh;
    p->seg_len = c->kw * c->c;
    for (int k = 0; k < c->kh; k++)
        p->seg_off[k] = k * c->wp * c->c;
    p->o = c->o;
    return BASE_OK;
}

/* Taps of class `phase` along one side: phase, phase + stride, ... below k. */
static int class_taps(int k, int phase, int stride)
{
    return phase < k ? (k - phase + stride - 1) / stride : 0;
}

/* Input pixel (iy, ix) of a class sums ny x nx taps; the smallest output row it meets belongs to the largest tap. */
static int plan_back_class(struct nn_conv *c, struct base_arena *a, struct nn_product *p, int py, int px)
{
    int s = c->stride, ny = class_taps(c->kh, py, s), nx = class_taps(c->kw, px, s);
    int rc = product_tables(p, a, (c->h / s + 1) * (c->w / s + 1), ny);
    if (rc)
        return rc;
    p->n_seg = nx ? ny : 0;
    p->seg_len = nx * c->o;
    for (int k = 0; k < ny; k++)
        p->seg_off[k] = k * c->gwp * c->o;
    p->o = c->c;
    for (int iy = 0; iy < c->h; iy++)
        for (int ix = 0; ix < c->w; ix++) {
            if ((iy + c->pad_t) % s != py || (ix + c->pad_l) % s != px)
                continue;
            int oy = (iy + c->pad_t - py) / s - (ny - 1), ox = (ix + c->pad_l - px) / s - (nx - 1);
            p->x_off[p->n_pix] = p->n_seg ? ((oy + c->gt) * c->gwp + ox + c->gl) * c->o : 0;
            p->y_off[p->n_pix++] = (iy * c->w + ix) * c->c;
        }
    return BASE_OK;
}

int nn_conv_plan(struct nn_conv *c, struct base_arena *a, bool need_back)
{
    int s = c->stride;
    c->hp = BASE_MAX((c->oh - 1) * s + c->kh, c->pad_t + c->h);
    c->wp = BASE_MAX((c->ow - 1) * s + c->kw, c->pad_l + c->w);
    c->gt = (c->kh - 1) / s;
    c->gl = (c->kw - 1) / s;
    c->ghp = c->gt + BASE_MAX(c->oh, (c->h - 1 + c->pad_t) / s + 1);
    c->gwp = c->gl + BASE_MAX(c->ow, (c->w - 1 + c->pad_l) / s + 1);
    c->pack_forward = (size_t)c->kh * c->kw * c->c * c->o;
    int rc = plan_forward(c, a);
    if (rc || !need_back)
        return rc;
    c->n_back = s * s;
    c->back = BASE_ARENA_NEW_N(a, struct nn_product, c->n_back);
    if (!c->back)
        return BASE_NOMEM;
    for (int i = 0; !rc && i < c->n_back; i++) {
        c->back[i].w_at = c->pack_back;
        rc = plan_back_class(c, a, &c->back[i], i / s, i % s);
        c->pack_back += (size_t)c->back[i].n_seg * c->back[i].seg_len * c->c;
    }
    return rc;
}

/* ---- packing: panels of 16 (or 8) output channels, the reduction axis outside -------------- */

static int panel_width(int left)
{
    return left > 8 ? WIDE : 8;
}

void nn_conv_pack_forward(float *packed, const struct nn_conv *c, const float *weight, int cout, int cin)
{
    int taps = c->kh * c->kw;
    memset(packed, 0, sizeof *packed * c->pack_forward);
    for (int o = 0; o < c->o;) {
        int width = panel_width(c->o - o), real = BASE_MIN(width, cout - o);
        for (int i = 0; i < real; i++) {
            const float *w = weight + (size_t)(o + i) * taps * cin;
            for (int t = 0; t < taps; t++)
                for (int k = 0; k < cin; k++)
                    packed[((size_t)t * c->c + k) * width + i] = w[(size_t)t * cin + k];
        }
        packed += (size_t)taps * c->c * width;
        o += width;
    }
}

static void pack_back_class(float *packed, const struct nn_conv *c, int py, int px, const float *weight, int cout, int cin)
{
    int s = c->stride, ny = class_taps(c->kh, py, s), nx = class_taps(c->kw, px, s);
    for (int k0 = 0; k0 < c->c;) {
        int width = panel_width(c->c - k0), real = BASE_MIN(width, cin - k0);
        for (int a = 0; a < ny; a++)
            for (int b = 0; b < nx; b++) {
                int ky = py + (ny - 1 - a) * s, kx = px + (nx - 1 - b) * s;
                for (int o = 0; o < cout; o++) {
                    const float *w = weight + (((size_t)o * c->kh + ky) * c->kw + kx) * cin + k0;
                    float *d = packed + ((size_t)(a * nx + b) * c->o + o) * width;
                    for (int i = 0; i < real; i++)
                        d[i] = w[i];
                }
            }
        packed += (size_t)ny * nx * c->o * width;
        k0 += width;
    }
}

void nn_conv_pack_back(float *packed, const struct nn_conv *c, const float *weight, int cout, int cin)
{
    memset(packed, 0, sizeof *packed * c->pack_back);
    for (int i = 0; i < c->n_back; i++)
        if (c->back[i].n_seg)
            pack_back_class(packed + c->back[i].w_at, c, i / c->stride, i % c->stride, weight, cout, cin);
}

/* ---- the product micro-kernel ---------------------------------------------------------------- */

/* P pixels x 8 V output channels. */
INLINE void product_block(const int P, const int V, float *y, const int *y_off, const float *x, const int *x_off, const struct nn_product *q, const float *w, bool add)
{
    nn_v8 acc[PIX][2];
    const float *xp[PIX];
    UNROLL for (int p = 0; p < P; p++)
        acc[p][0] = acc[p][1] = nn_splat(0);
    for (int s = 0; s < q->n_seg; s++) {
        UNROLL for (int p = 0; p < P; p++)
            xp[p] = x + x_off[p] + q->seg_off[s];
        for (long k = 0, n = q->seg_len; k < n; k++, w += 8 * V) {
            nn_v8 w0 = *(const nn_v8 *)w, w1 = V > 1 ? *(const nn_v8 *)(w + 8) : w0;
            UNROLL for (int p = 0; p < P; p++) {
                nn_v8 b = nn_splat(xp[p][k]);
                acc[p][0] += b * w0;
                if (V > 1)
                    acc[p][1] += b * w1;
            }
        }
    }
    UNROLL for (int p = 0; p < P; p++)
        for (int v = 0; v < V; v++) {
            nn_v8 *d = (nn_v8 *)(y + y_off[p] + 8 * v);
            if (add)
                acc[p][v] += *d;
            *d = acc[p][v];
        }
}

/* `blocks` of them, one after the other. */
typedef void product_fn(int, float *, const int *, const float *, const int *, const struct nn_product *, const float *, bool);
#define PRODUCT(P, V)                                                                                                             \
    static void product_##P##_##V(int blocks, float *y, const int *yo, const float *x, const int *xo, const struct nn_product *q, const float *w, bool add) \
    {                                                                                                                             \
        for (; blocks > 0; blocks--, yo += P, xo += P)                                                                            \
            product_block(P, V, y, yo, x, xo, q, w, add);                                                                         \
    }
PRODUCT(1, 1) PRODUCT(2, 1) PRODUCT(3, 1) PRODUCT(4, 1) PRODUCT(5, 1) PRODUCT(6, 1)
PRODUCT(1, 2) PRODUCT(2, 2) PRODUCT(3, 2) PRODUCT(4, 2) PRODUCT(5, 2) PRODUCT(6, 2)

static product_fn *const product_table[2][PIX + 1] = {
    { NULL, product_1_1, product_2_1, product_3_1, product_4_1, product_5_1, product_6_1 },
    { NULL, product_1_2, product_2_2, product_3_2, product_4_2, product_5_2, product_6_2 },
};

/* Even blocks, for one of a single pixel takes as long as one of four: `many` of size `most`, then of one less. */
struct cut { int most, many, less; };

static struct cut cut_pixels(int n)
{
    int blocks = (n + PIX - 1) / PIX, most = blocks ? (n + blocks - 1) / blocks : 0, less = most * blocks - n;
    return (struct cut){ .most = most, .many = blocks - less, .less = less };
}

void nn_product_run(float *y, const float *x, const float *packed, const struct nn_product *p, bool add)
{
    const float *w = packed + p->w_at;
    struct cut cut = cut_pixels(p->n_pix);
    int rest = cut.most * cut.many;
    for (int o = 0; o < p->o;) {
        int width = panel_width(p->o - o);
        if (cut.many)
            product_table[width / 8 - 1][cut.most](cut.many, y + o, p->y_off, x, p->x_off, p, w, add);
        if (cut.less)
            product_table[width / 8 - 1][cut.most - 1](cut.less, y + o, p->y_off + rest, x, p->x_off + rest, p, w, add);
        w += (size_t)p->n_seg * p->seg_len * width;
        o += width;
    }
}

void nn_conv_back(float *dx, const float *dy, const float *packed, const struct nn_conv *c, bool add)
{
    for (int i = 0; i < c->n_back; i++)
        nn_product_run(dx, dy, packed, &c->back[i], add);
}

/* ---- weight gradient ---------------------------------------------------------------------------- */

/* dw[j][0..8V) += sum over rows x cols of x[j] * dy: J input values x 8 V output channels. */
INLINE void weights_block(const int J, const int V, float *dw, int dw_ld, const float *x, long x_col, long x_row, const float *dy, long dy_col, long dy_row, int rows, int cols)
{
    nn_v8 acc[PIX][2];
    UNROLL for (int j = 0; j < J; j++)
        acc[j][0] = acc[j][1] = nn_splat(0);
    for (int r = 0; r < rows; r++, x += x_row, dy += dy_row) {
        const float *xx = x, *dd = dy;
        for (int k = 0; k < cols; k++, xx += x_col, dd += dy_col) {
            nn_v8 d0 = *(const nn_v8 *)dd, d1 = V > 1 ? *(const nn_v8 *)(dd + 8) : d0;
            UNROLL for (int j = 0; j < J; j++) {
                nn_v8 b = nn_splat(xx[j]);
                acc[j][0] += b * d0;
                if (V > 1)
                    acc[j][1] += b * d1;
            }
        }
    }
    UNROLL for (int j = 0; j < J; j++) {
        *(nn_v8 *)(dw + (long)j * dw_ld) += acc[j][0];
        if (V > 1)
            *(nn_v8 *)(dw + (long)j * dw_ld + 8) += acc[j][1];
    }
}

typedef void weights_fn(float *, int, const float *, long, long, const float *, long, long, int, int);
#define WEIGHTS(J, V)                                                                                                                     \
    static void weights_##J##_##V(float *dw, int ld, const float *x, long xc, long xr, const float *dy, long dc, long dr, int rows, int cols) \
    {                                                                                                                                     \
        weights_block(J, V, dw, ld, x, xc, xr, dy, dc, dr, rows, cols);                                                                   \
    }
WEIGHTS(1, 1) WEIGHTS(2, 1) WEIGHTS(3, 1) WEIGHTS(4, 1) WEIGHTS(5, 1) WEIGHTS(6, 1)
WEIGHTS(1, 2) WEIGHTS(2, 2) WEIGHTS(3, 2) WEIGHTS(4, 2) WEIGHTS(5, 2) WEIGHTS(6, 2)

static weights_fn *const weights_table[2][PIX + 1] = {
    { NULL, weights_1_1, weights_2_1, weights_3_1, weights_4_1, weights_5_1, weights_6_1 },
    { NULL, weights_1_2, weights_2_2, weights_3_2, weights_4_2, weights_5_2, weights_6_2 },
};

enum { BLOCK_FLOATS = 6144 };            /* rows of x and dy worked on together: about 24 KB, inside L1 */

void nn_conv_weights(float *dw, const float *x, const float *dy, int dy_row, const struct nn_conv *c)
{
    int len = c->kw * c->c, per_row = c->wp * c->c * c->stride + c->ow * c->o;
    int block = BASE_MAX(1, BLOCK_FLOATS / per_row);
    for (int y0 = 0; y0 < c->oh; y0 += block) {
        int rows = BASE_MIN(block, c->oh - y0);
        for (int o = 0; o < c->o;) {
            int width = panel_width(c->o - o);
            for (int ky = 0; ky < c->kh; ky++)
                for (int j = 0; j < len; j += PIX)
                    weights_table[width / 8 - 1][BASE_MIN(PIX, len - j)](
                        dw + ((size_t)ky * len + j) * c->o + o, c->o, x + (size_t)(y0 * c->stride + ky) * c->wp * c->c + j,
                        (long)c->stride * c->c, (long)c->stride * c->wp * c->c, dy + (size_t)y0 * dy_row + o, c->o, dy_row, rows, c->ow);
            o += width;
        }
    }
}

/* ---- dense: images (or the pixels of many small maps) are the rows --------------------------------------------------------------- */

void nn_dense_pack_back(float *packed, const float *weight, int k, int o, int cout, int cin, int c)
{
    memset(packed, 0, sizeof *packed * (size_t)k * o);
    for (int k0 = 0; k0 < k;) {
        int width = panel_width(k - k0);
        for (int i = 0; i < width; i++) {
            int tap = (k0 + i) / c, ci = (k0 + i) % c;
            for (int j = 0; ci < cin && j < cout; j++)
                packed[(size_t)j * width + i] = weight[((size_t)j * (k / c) + tap) * cin + ci];
        }
        packed += (size_t)o * width;
        k0 += width;
    }
}

void nn_dense_forward(float *y, const float *x, const float *packed, int n, int k, int o, bool add)
{
    int zero = 0;
    struct nn_product q = { .n_seg = 1, .seg_off = &zero, .seg_len = k };
    for (int o0 = 0; o0 < o;) {
        int width = panel_width(o - o0);
        for (int i = 0, m, left = (n + PIX - 1) / PIX; left > 0; i += m, left--) {
            int xo[PIX], yo[PIX];
            m = (n - i + left - 1) / left;
            for (int p = 0; p < m; p++) {
                xo[p] = p * k;
                yo[p] = p * o;
            }
            product_table[width / 8 - 1][m](1, y + (size_t)i * o + o0, yo, x + (size_t)i * k, xo, &q, packed, add);
        }
        packed += (size_t)k * width;
        o0 += width;
    }
}

void nn_dense_weights(float *dw, const float *x, const float *dy, int n, int k, int o)
{
    for (int j = 0; j < k; j += PIX)
        for (int o0 = 0; o0 < o;) {
            int width = panel_width(o - o0);
            weights_table[width / 8 - 1][BASE_MIN(PIX, k - j)](dw + (size_t)j * o + o0, o, x + j, k, 0, dy + o0, o, 0, 1, n);
            o0 += width;
        }
}

enum { ROW_BLOCK = 96 };                 /* rows packed at a time: 48 values of x and 16 of dy each fit L1 */

void nn_dense_weights_block(float *dw, const float *x, const float *dy, int n, int k, int o, int at, int count)
{
    float xs[ROW_BLOCK * NN_DENSE_BLOCK] __attribute__((aligned(64))), ds[ROW_BLOCK * WIDE] __attribute__((aligned(64)));
    memset(dw + (size_t)at * o, 0, sizeof *dw * (size_t)count * o);
    for (int r = 0; r < n; r += ROW_BLOCK) {
        int rows = BASE_MIN(ROW_BLOCK, n - r);
        for (int i = 0; i < rows; i++)
            memcpy(xs + i * NN_DENSE_BLOCK, x + (size_t)(r + i) * k + at, sizeof *x * (size_t)count);
        for (int o0 = 0; o0 < o;) {
            int width = panel_width(o - o0);
            for (int i = 0; i < rows; i++)
                for (int v = 0; v < width; v += 8)
                    *(nn_v8 *)(ds + i * width + v) = *(const nn_v8 *)(dy + (size_t)(r + i) * o + o0 + v);
            for (int j = 0; j < count; j += PIX)
                weights_table[width / 8 - 1][BASE_MIN(PIX, count - j)](dw + (size_t)(at + j) * o + o0, o, xs + j, NN_DENSE_BLOCK, 0, ds, width, 0, 1, rows);
            o0 += width;
        }
    }
}
