/* Inside nn: the numeric kernels. Maps are h x w x c with c a multiple of 8 (the
 * network input may keep its own c when only convolutions read it); channels beyond
 * the real ones hold zeros. Everything works on one image unless said otherwise. */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef float nn_v8 __attribute__((vector_size(32), aligned(4), may_alias));   /* unaligned loads and stores */
typedef int32_t nn_i8 __attribute__((vector_size(32), aligned(4), may_alias));

static inline nn_v8 nn_splat(float x) { return (nn_v8){ x, x, x, x, x, x, x, x }; }
static inline int nn_round8(int c) { return (c + 7) / 8 * 8; }

/* ---- convolution (conv.c) -----------------------------------------------------
 * One product: y[pixel][o] = sum over segments and k of x[x_off[pixel] + seg_off[s] + k] * w[s][k][o]. */
struct nn_product {
    int n_pix, *x_off, *y_off;
    int n_seg, *seg_off, seg_len;
    int o;                               /* output channels, multiple of 8 */
    size_t w_at;                         /* its packed weights start here */
};

struct nn_conv {
    int h, w, c;                         /* input map */
    int oh, ow, o;                       /* output map */
    int kh, kw, stride, pad_t, pad_l;
    int hp, wp;                          /* padded input: hp x wp x c */
    int gt, gl, ghp, gwp;                /* padded output gradient: ghp x gwp x o, data at (gt, gl) */
    struct nn_product forward;
    int n_back;                          /* stride^2 classes of input pixels */
    struct nn_product *back;
    size_t pack_forward, pack_back;      /* floats of packed weights */
};

struct base_arena;
/* Geometry and tables; `back` only if need_back. BASE_NOMEM or 0. */
int nn_conv_plan(struct nn_conv *c, struct base_arena *a, bool need_back);
/* weight [cout][kh][kw][cin] -> the layout of the forward / backward products. */
void nn_conv_pack_forward(float *packed, const struct nn_conv *c, const float *weight, int cout, int cin);
void nn_conv_pack_back(float *packed, const struct nn_conv *c, const float *weight, int cout, int cin);
/* y = product, or y += product. */
void nn_product_run(float *y, const float *x, const float *packed, const struct nn_product *p, bool add);
/* dx [h][w][c] = or += from dy padded [ghp][gwp][o]; without `add` every element is written. */
void nn_conv_back(float *dx, const float *dy, const float *packed, const struct nn_conv *c, bool add);
/* dw [kh][kw][c][o] += from x padded [hp][wp][c] and dy [oh] rows `dy_row` floats apart of [ow][o]. */
void nn_conv_weights(float *dw, const float *x, const float *dy, int dy_row, const struct nn_conv *c);

/* ---- 3x3 of stride 1, by Winograd's F(2x2, 3x3) (winograd.c) ---------------------------
 * For maps of even sides. Both directions: the output map is h x w x o, the input padded. */
struct nn_winograd {
    int h, w, c, o;
    int rows;                            /* of tiles, worked on together */
    size_t scratch;                      /* floats that a run needs */
    struct nn_product product;           /* of one of the 16 places */
};
bool nn_winograd_fits(int kh, int kw, int stride, int h, int w, int c);
int nn_winograd_plan(struct nn_winograd *p, struct base_arena *a, int h, int w, int c, int o);
/* weight [cout][3][3][cin] -> [16][c][o] in panels; back: c and o of the plan are those of the gradient's way. */
void nn_winograd_pack_forward(float *packed, const struct nn_winograd *p, const float *weight, int cout, int cin);
void nn_winograd_pack_back(float *packed, const struct nn_winograd *p, const float *weight, int cout, int cin);
/* y [h][w][o] = or += the convolution of x, whose window of output (0, 0) starts at x, `wp` pixels a row. */
void nn_winograd_run(float *y, const float *x, int wp, const float *packed, const struct nn_winograd *p, float *scratch, bool add);
/* du [16][c][o] += the transformed weight gradient; dy rows `dy_row` floats apart. */
void nn_winograd_weights(float *du, const float *x, int wp, const float *dy, int dy_row, const struct nn_winograd *p, float *scratch);
/* dw [3][3][n] = du [16][n]; they may start at the same place. */
void nn_winograd_unpack(float *dw, const float *du, size_t n);

/* Dense over `n` rows, images or pixels: the same kernels; k inputs, o outputs (multiples of 8). */
void nn_dense_pack_back(float *packed, const float *weight, int k, int o, int cout, int cin, int c); /* weight [cout][k / c][cin] */
void nn_dense_forward(float *y, const float *x, const float *packed, int n, int k, int o, bool add);
void nn_dense_weights(float *dw, const float *x, const float *dy, int n, int k, int o);   /* dw [k][o] += */

/* Rows at .. at + count of dw [k][o], count <= NN_DENSE_BLOCK, from zero over all n: for many images at once. */
enum { NN_DENSE_BLOCK = 48 };
void nn_dense_weights_block(float *dw, const float *x, const float *dy, int n, int k, int o, int at, int count);

/* ---- depthwise (depthwise.c) ------------------------------------------------------------
 * packed [kh][kw][c], and behind it the same with the taps in reverse; x padded [hp][wp][c], dy padded [ghp][gwp][c]
 * for back, with rows `dy_row` floats apart for weights. dx [h][w][c] = or +=; dw [kh][kw][c] +=. */
void nn_depthwise_forward(float *y, const float *x, const float *packed, const struct nn_conv *c);
void nn_depthwise_back(float *dx, const float *dy, const float *packed, const struct nn_conv *c, bool add);
void nn_depthwise_weights(float *dw, const float *x, const float *dy, int dy_row, const struct nn_conv *c);

/* ---- maps (maps.c) --------------------------------------------------------------- */
/* out [hp][wp][c]: x [h][w][c] at (top, left), `pad` [c] or 0 around. */
void nn_pad(float *out, int hp, int wp, const float *x, int h, int w, int c, int top, int left, const float *pad);
/* Zero what lies around the h x w map at (top, left). */
void nn_clear_border(float *out, int hp, int wp, int h, int w, int c, int top, int left);

struct nn_window { int h, w, oh, ow, c, kh, kw, stride, pad_t, pad_l; };
void nn_avgpool_add(float *y, const float *x, const struct nn_window *p);        /* y [oh][ow][c] += */
void nn_avgpool_back(float *dx, const float *dy, const struct nn_window *p);     /* dx += */
void nn_maxpool(float *y, uint8_t *which, const float *x, const struct nn_window *p); /* which: tap of the maximum, may be NULL */
void nn_maxpool_back(float *dx, const float *dy, const uint8_t *which, const struct nn_window *p); /* dx += */
/* y[p][y_chan + i] += x[every stride-th pixel][x_chan + i], i < n, over oh x ow pixels; y_c, x_c channels per pixel. */
void nn_copy_add(float *y, int y_c, int y_chan, const float *x, int x_c, int x_chan, int n, int oh, int ow, int w, int stride);
/* The reverse: dx[every stride-th pixel] += dy. */
void nn_copy_back(float *dx, int x_c, int x_chan, const float *dy, int y_c, int y_chan, int n, int oh, int ow, int w, int stride);

/* ---- what follows a layer's sum (maps.c) -------------------------------------------- */
struct nn_finish {
    float relu_hi;                       /* < 0: no ReLU; +inf: ReLU; 6: ReLU6 */
    float scale, q_lo, q_hi;             /* scale 0: no fake quantization */
};
/* y = finish(z * sc + sh + res) over `pixels` x c; z or res may be NULL; sc, sh [c].
 * mask (may be NULL): one bit per value, set where the gradient passes.
 * slope (may be NULL): d y / d scale, for learned scales. */
void nn_finish_map(float *y, uint8_t *mask, float *slope, const float *z, const float *sc, const float *sh, const float *res,
                   int pixels, int c, const struct nn_finish *f);
/* d = mask ? d : 0 in place (mask may be NULL); sum[2i] += sum of d, sum[2i+1] += sum of d * (z - mean) (z may be NULL). */
void nn_mask_sums(float *d, const uint8_t *mask, const float *z, const float *mean, int pixels, int c, double *sum);
/* sum[2i] += sum of (z - shift), sum[2i+1] += sum of its square. */
void nn_moments(const float *z, const float *shift, int pixels, int c, double *sum);
double nn_dot(const float *a, const float *b, size_t n);
/* out (rows out_row floats apart) [h][w][c] = k1 * d + k2 * z + k3. */
void nn_affine_grad(float *out, int out_row, const float *d, const float *z, const float *k1, const float *k2, const float *k3, int h, int w, int c);

#endif
