/* fixed: the integer network and the integer semantics every backend reproduces.
 *
 * docs/numerics.md is the specification in words; qref_* is the specification in
 * code. `lower` makes an integer network, `pack` stores it, the accelerator's
 * compiler, the RTL, the HLS C and XRT run it; all agree bit for bit.
 *
 * A network is a list of layers; a layer reads edges (integer maps, h x w x c)
 * and writes one edge, or the logits. Edge 0 is the raw image.
 */
#ifndef FIXED_H
#define FIXED_H

#include "base/base.h"

enum { FIXED_MAX_TERM = 8, FIXED_MAX_PLANES = 15, FIXED_MAX_CHAN_IN_PAD = 16 };

/* A quantized map. Real value = code * scale (scale is information only). */
struct fixed_edge {
    const char *name;
    int h, w, c;
    int bits;               /* 1..8 */
    bool is_signed;         /* two's complement (bits >= 2) or unsigned */
    double scale;
    /* What padding inserts, per channel; NULL = 0. Only edge 0 has one: round(pixel of real zero). */
    const uint8_t *pad;
};

/* One summand of a layer: a (depthwise or dense) convolution given as AND planes.
 *
 *   sum[o] = sum over taps and inputs, over weight planes t, over activation planes j:
 *            coef[o][t][j] * bit_t(code[o][ky][kx][i]) * bit_j(a)
 *
 * bit_j(a) is bit j of the activation's code (two's complement when signed). Uniform
 * b-bit weights: n_plane = b, code = the low b bits, coef = +-2^(F+t+j), minus where
 * exactly one of t, j is a sign plane. 1-bit weights {-1,+1}: code = 2 | (w > 0), planes
 * with coefficients 2*2^(F+j) and -2^(F+j). Identity and pooling: one plane of ones. */
struct fixed_term {
    int edge;                              /* read from */
    int kh, kw, stride, pad_t, pad_l;      /* bottom and right follow from the sizes */
    bool depthwise;                        /* output channel chan + i reads input channel i only */
    int chan, cout;                        /* adds to output channels chan .. chan+cout-1 */
    int cin;                               /* channels read per output: 1 if depthwise, else the edge's */
    int w_bits;                            /* nominal width (information; 1 for identity and pooling) */
    int n_plane;                           /* weight planes, 1..15 */
    uint16_t *code;                        /* [cout][kh][kw][cin], bit t = membership in plane t */
    bool coef_shared;                      /* coef is [1][n_plane][bits], the same for every channel */
    int32_t *coef;                         /* [cout or 1][n_plane][bits of the edge], |coef| < 2^17 */
};

enum fixed_kind { FIXED_MAC, FIXED_MAXPOOL };

struct fixed_layer {
    const char *name;
    enum fixed_kind kind;
    int out;                               /* edge written, or -1: the int32 logits (last layer) */
    int h, w, c;                           /* of the output */
    /* MAC */
    int n_term;
    struct fixed_term term[FIXED_MAX_TERM];
    int f;                                 /* F: fraction bits of the accumulator (information) */
    int32_t *m;                            /* [c], 0 <= m < 2^17 */
    int64_t *b;                            /* [c], |b| < 2^47, rounding constant 2^(S-1) included */
    int s;                                 /* S, 1..40 */
    int32_t lo, hi;                        /* clamp; for the logits INT32_MIN, INT32_MAX */
    /* MAXPOOL (padding = lowest code): term[0].edge, kh, kw, stride, pad_t, pad_l are used */
};

struct fixed_net {
    struct base_arena *arena;              /* owns everything below */
    const char *name;
    int n_edge, n_layer;
    struct fixed_edge *edge;
    struct fixed_layer *layer;
    int classes;
    double logit_scale;                    /* real logit = int * logit_scale */
};

struct fixed_net *fixed_net_new(const char *name, int n_edge, int n_layer);
void fixed_net_free(struct fixed_net *net);
/* Every rule above, and that no accumulator can leave int32 and no |acc*m + b| can reach
 * 2^62: the worst case from the real weights and widths. BASE_INPUT names the layer. */
int fixed_check(const struct fixed_net *net);
/* Largest and smallest value the accumulator of (layer, channel) can take. */
void fixed_acc_range(const struct fixed_net *net, int layer, int chan, int64_t *lo, int64_t *hi);
/* MACs of a layer's weighted terms (residual and pooling words excluded); layer -1: of the net. */
int64_t fixed_macs(const struct fixed_net *net, int layer);
/* Value of one weight in units of 2^F (uniform levels): sum of coefficients of its planes at j = 0, / 2^F. */
int fixed_weight(const struct fixed_net *net, int layer, int term, int64_t index);

/* ---- qref: the reference -------------------------------------------------- */
/* y = clamp((acc * m + b) >> s, lo, hi), arithmetic shift. */
int32_t qref_requantize(int32_t acc, int32_t m, int64_t b, int s, int32_t lo, int32_t hi);
/* One layer of a net that fixed_check accepts, literally by planes (slow, the definition).
 * in[e] = codes of edge e, int16 [h][w][c]; out int32 [h][w][c]. */
int qref_layer(const struct fixed_net *net, int layer, int16_t *const *in, int32_t *out);
/* Whole images. pixels uint8 [n][h][w][c]; logits int32 [n][classes]. Fast path (integer
 * arithmetic on values where the planes form one), equal to qref_layer bit for bit. */
struct qref;                                /* scratch for one network; not for two threads at once */
/* NULL with the error set if fixed_check refuses the net. net and pool must outlive it; pool NULL: one thread. */
struct qref *qref_new(const struct fixed_net *net, struct base_pool *pool);
void qref_free(struct qref *q);
int qref_run(struct qref *q, const uint8_t *pixels, int n, int32_t *logits);
/* One image, keeping every edge: edge[e] points to int16 [h][w][c] inside q, valid until the next call. */
int qref_run_edges(struct qref *q, const uint8_t *pixels, int32_t *logits, int16_t *const **edges);
int qref_argmax(const int32_t *logits, int classes); /* ties go to the lowest index */

/* A random, valid network for tests: shapes, kernels, strides, bits, residuals, pools. The same for the same
 * seed and limits. It fits the smallest board's memories, whatever the limits; NULL when out of memory. */
struct fixed_random {
    int max_layers, max_size, max_channels;  /* 0 = 6, 16, 32; pooling and dense layers at the end come on top */
    int w_bits, a_bits;                      /* 0 = random */
};
/* limits NULL: all 0. */
struct fixed_net *fixed_random_net(uint64_t seed, const struct fixed_random *limits);

#endif
