/* 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3): a tile of 4x4 inputs gives 2x2 outputs by 16 products
 * instead of 36. With B, G, A of the method,
 *   forward, backward-data   y  = A^T [(G w G^T) . (B^T x B)] A      summed over the input channels
 *   weight gradient          dw = G^T [(B^T x B) . (A dy A^T)] G     summed over tiles and images
 * so each of the 16 places is a matrix product of its own, done by the kernels of conv.c. All constants are 0, 1 and
 * 1/2: the rounding errors stay those of a sum of a few more terms.
 *
 * Maps are taken in blocks of whole rows of tiles, small enough that transformed inputs and products stay in cache. */
#include "nn/kernels.h"

#include "base/base.h"

#include <string.h>

#define UNROLL4 _Pragma("GCC unroll 4")

enum { PLACES = 16, BLOCK_BYTES = 160 << 10 };

bool nn_winograd_fits(int kh, int kw, int stride, int h, int w, int c)
{
    return kh == 3 && kw == 3 && stride == 1 && h % 2 == 0 && w % 2 == 0 && c % 8 == 0;
}

int nn_winograd_plan(struct nn_winograd *p, struct base_arena *a, int h, int w, int c, int o)
{
    *p = (struct nn_winograd){ .h = h, .w = w, .c = c, .o = o };
    int per_row = PLACES * (w / 2) * (c + o) * (int)sizeof(float);
    p->rows = BASE_MIN(BASE_MAX(BLOCK_BYTES / per_row, 1), h / 2);
    int tiles = p->rows * (w / 2);
    p->scratch = (size_t)PLACES * tiles * (c + o);
    p->product = (struct nn_product){ .n_seg = 1, .seg_len = c, .o = o };
    p->product.seg_off = BASE_ARENA_NEW_N(a, int, 1);
    p->product.x_off = BASE_ARENA_NEW_N(a, int, tiles);
    p->product.y_off = BASE_ARENA_NEW_N(a, int, tiles);
    if (!p->product.seg_off || !p->product.x_off || !p->product.y_off)
        return BASE_NOMEM;
    for (int t = 0; t < tiles; t++) {
        p->product.x_off[t] = t * c;
        p->product.y_off[t] = t * o;
    }
    return BASE_OK;
}

/* ---- weights --------------------------------------------------------------------------- */

/* G g G^T of a 3x3 kernel. */
static void transform_kernel(float u[PLACES], const float g[9])
{
    float t[4][3];
    for (int j = 0; j < 3; j++) {
        t[0][j] = g[j];
        t[1][j] = 0.5f * (g[j] + g[3 + j] + g[6 + j]);
        t[2][j] = 0.5f * (g[j] - g[3 + j] + g[6 + j]);
        t[3][j] = g[6 + j];
    }
    for (int i = 0; i < 4; i++) {
        u[4 * i] = t[i][0];
        u[4 * i + 1] = 0.5f * (t[i][0] + t[i][1] + t[i][2]);
        u[4 * i + 2] = 0.5f * (t[i][0] - t[i][1] + t[i][2]);
        u[4 * i + 3] = t[i][2];
    }
}

/* Kernel of `in` -> `out` at u[place][in][out], in the panels of nn_product. */
static void put_kernel(float *packed, int c, int o, int in, int out, const float g[9])
{
    float u[PLACES];
    int panel = out / 16 * 16, width = o - panel > 8 ? 16 : 8;
    transform_kernel(u, g);
    for (int k = 0; k < PLACES; k++)
        packed[((size_t)k * o + panel) * c + (size_t)in * width + (out - panel)] = u[k];
}

void nn_winograd_pack_forward(float *packed, const struct nn_winograd *p, const float *weight, int cout, int cin)
{
    memset(packed, 0, sizeof *packed * PLACES * (size_t)p->c * p->o);
    for (int o = 0; o < cout; o++)
        for (int i = 0; i < cin; i++) {
            float g[9];
            for (int t = 0; t < 9; t++)
                g[t] = weight[((size_t)o * 9 + t) * cin + i];
            put_kernel(packed, p->c, p->o, i, o, g);
        }
}

/* From output gradients to inputs: channels swapped, the kernel turned by 180 degrees. */
void nn_winograd_pack_back(float *packed, const struct nn_winograd *p, const float *weight, int cout, int cin)
{
    memset(packed, 0, sizeof *packed * PLACES * (size_t)p->c * p->o);
    for (int o = 0; o < cout; o++)
        for (int i = 0; i < cin; i++) {
            float g[9];
            for (int t = 0; t < 9; t++)
                g[t] = weight[((size_t)o * 9 + 8 - t) * cin + i];
            put_kernel(packed, p->c, p->o, o, i, g);
        }
}

/* dw [3][3][c][o] = G^T du G of du [16][c][o]; they may start at the same place. */
void nn_winograd_unpack(float *dw, const float *du, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        nn_v8 m[3][4], half = nn_splat(0.5f);
        UNROLL4 for (int j = 0; j < 4; j++) {
            const float *u = du + (size_t)j * n + i;
            nn_v8 u0 = *(const nn_v8 *)u, u1 = *(const nn_v8 *)(u + 4 * n), u2 = *(const nn_v8 *)(u + 8 * n), u3 = *(const nn_v8 *)(u + 12 * n);
            m[0][j] = u0 + half * (u1 + u2);
            m[1][j] = half * (u1 - u2);
            m[2][j] = half * (u1 + u2) + u3;
        }
        for (int r = 0; r < 3; r++) {
            float *w = dw + (size_t)(3 * r) * n + i;
            *(nn_v8 *)w = m[r][0] + half * (m[r][1] + m[r][2]);
            *(nn_v8 *)(w + n) = half * (m[r][1] - m[r][2]);
            *(nn_v8 *)(w + 2 * n) = half * (m[r][1] + m[r][2]) + m[r][3];
        }
    }
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* v [16][tiles][c] = B^T x B of the 4x4 windows of `rows` rows of tiles; x has `wp` pixels a row. */
static void transform_input(float *v, const float *x, int wp, int c, int rows, int across)
{
    size_t place = (size_t)rows * across * c;
    for (int ty = 0; ty < rows; ty++)
        for (int tx = 0; tx < across; tx++)
            for (int k = 0; k < c; k += 8) {
                const float *p = x + ((size_t)2 * ty * wp + 2 * tx) * c + k;
                float *q = v + ((size_t)ty * across + tx) * c + k;
                nn_v8 a[4][4];
                UNROLL4 for (int j = 0; j < 4; j++) {
                    const float *d = p + (size_t)j * c;
                    size_t row = (size_t)wp * c;
                    nn_v8 d0 = *(const nn_v8 *)d, d1 = *(const nn_v8 *)(d + row), d2 = *(const nn_v8 *)(d + 2 * row), d3 = *(const nn_v8 *)(d + 3 * row);
                    a[0][j] = d0 - d2;
                    a[1][j] = d1 + d2;
                    a[2][j] = d2 - d1;
                    a[3][j] = d1 - d3;
                }
                UNROLL4 for (int i = 0; i < 4; i++, q += 4 * place) {
                    *(nn_v8 *)q = a[i][0] - a[i][2];
                    *(nn_v8 *)(q + place) = a[i][1] + a[i][2];
                    *(nn_v8 *)(q + 2 * place) = a[i][2] - a[i][1];
                    *(nn_v8 *)(q + 3 * place) = a[i][1] - a[i][3];
                }
            }
}

/* y (w pixels a row) = or += A^T m A of m [16][tiles][o]. */
static void transform_output(float *y, int w, const float *m, int o, int rows, int across, bool add)
{
    size_t place = (size_t)rows * across * o;
    for (int ty = 0; ty < rows; ty++)
        for (int tx = 0; tx < across; tx++)
            for (int k = 0; k < o; k += 8) {
                const float *q = m + ((size_t)ty * across + tx) * o + k;
                nn_v8 s[2][4];
                UNROLL4 for (int j = 0; j < 4; j++) {
                    const float *e = q + (size_t)j * place;
                    nn_v8 m0 = *(const nn_v8 *)e, m1 = *(const nn_v8 *)(e + 4 * place), m2 = *(const nn_v8 *)(e + 8 * place), m3 = *(const nn_v8 *)(e + 12 * place);
                    s[0][j] = m0 + m1 + m2;
                    s[1][j] = m1 - m2 - m3;
                }
                for (int i = 0; i < 2; i++) {
                    float *d = y + ((size_t)(2 * ty + i) * w + 2 * tx) * o + k;
                    nn_v8 left = s[i][0] + s[i][1] + s[i][2], right = s[i][1] - s[i][2] - s[i][3];
                    if (add) {
                        left += *(const nn_v8 *)d;
                        right += *(const nn_v8 *)(d + o);
                    }
                    *(nn_v8 *)d = left;
                    *(nn_v8 *)(d + o) = right;
                }
            }
}

/* n [16][tiles][o] = A dy A^T of the 2x2 output gradients. */
static void transform_gradient(float *n, const float *dy, int dy_row, int o, int rows, int across)
{
    size_t place = (size_t)rows * across * o;
    for (int ty = 0; ty < rows; ty++)
        for (int tx = 0; tx < across; tx++)
            for (int k = 0; k < o; k += 8) {
                const float *p = dy + (size_t)2 * ty * dy_row + (size_t)2 * tx * o + k;
                float *q = n + ((size_t)ty * across + tx) * o + k;
                nn_v8 t[4][2];
                for (int j = 0; j < 2; j++) {
                    nn_v8 d0 = *(const nn_v8 *)(p + (size_t)j * o), d1 = *(const nn_v8 *)(p + dy_row + (size_t)j * o);
                    t[0][j] = d0;
                    t[1][j] = d0 + d1;
                    t[2][j] = d0 - d1;
                    t[3][j] = -d1;
                }
                UNROLL4 for (int i = 0; i < 4; i++, q += 4 * place) {
                    *(nn_v8 *)q = t[i][0];
                    *(nn_v8 *)(q + place) = t[i][0] + t[i][1];
                    *(nn_v8 *)(q + 2 * place) = t[i][0] - t[i][1];
                    *(nn_v8 *)(q + 3 * place) = -t[i][1];
                }
            }
}

/* ---- whole maps --------------------------------------------------------------------------------- */

void nn_winograd_run(float *y, const float *x, int wp, const float *packed, const struct nn_winograd *p, float *scratch, bool add)
{
    int across = p->w / 2;
    struct nn_product q = p->product;
    for (int ty = 0; ty < p->h / 2; ty += p->rows) {
        int rows = BASE_MIN(p->rows, p->h / 2 - ty);
        q.n_pix = rows * across;
        float *v = scratch, *m = scratch + (size_t)PLACES * q.n_pix * p->c;
        transform_input(v, x + (size_t)2 * ty * wp * p->c, wp, p->c, rows, across);
        for (int k = 0; k < PLACES; k++)
            nn_product_run(m + (size_t)k * q.n_pix * p->o, v + (size_t)k * q.n_pix * p->c, packed + (size_t)k * p->c * p->o, &q, false);
        transform_output(y + (size_t)2 * ty * p->w * p->o, p->w, m, p->o, rows, across, add);
    }
}

void nn_winograd_weights(float *du, const float *x, int wp, const float *dy, int dy_row, const struct nn_winograd *p, float *scratch)
{
    int across = p->w / 2;
    for (int ty = 0; ty < p->h / 2; ty += p->rows) {
        int rows = BASE_MIN(p->rows, p->h / 2 - ty), tiles = rows * across;
        float *v = scratch, *n = scratch + (size_t)PLACES * tiles * p->c;
        transform_input(v, x + (size_t)2 * ty * wp * p->c, wp, p->c, rows, across);
        transform_gradient(n, dy + (size_t)2 * ty * dy_row, dy_row, p->o, rows, across);
        for (int k = 0; k < PLACES; k++)
            nn_dense_weights(du + (size_t)k * p->c * p->o, v + (size_t)k * tiles * p->c, n + (size_t)k * tiles * p->o, tiles, p->c, p->o);
    }
}
