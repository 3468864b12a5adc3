/* Inside compress: quantizing layer by layer on images: what a term's inputs and wanted outputs look like
 * (moments.c), integer weights that reproduce them (round.c), and the order of work (reconstruct.c). */
#ifndef COMPRESS_RECONSTRUCT_H
#define COMPRESS_RECONSTRUCT_H

#include "compress/compress.h"

/* ---- round.c: one output's weights ---------------------------------------------- */
/* What a code may be: `bits` bits, one bit is -1 and +1; or one of `levels` values, ascending; 0 where mask [k] is (NULL: nowhere). */
struct compress_grid { int bits; const float *mask; const struct nn_level *level; int levels; };
/* Codes q of k weights w_i = q_i * step_i that make (w - want)' H (w - want) small; returns that value. h [k][k]
 * positive definite, l its Cholesky factor (lower, zeros above); scratch [2 k]. Each weight in turn takes up the errors
 * of those rounded before it; then single codes change as long as one that does helps. */
double compress_round(int *code, const double *h, const double *l, const double *want, const double *step, int k, const struct compress_grid *grid, double *scratch);
/* The best real weights that are 0 where the mask is, in place of `want`: those that stay make up for the others. scratch [2 k]. */
void compress_fit_kept(double *want, const double *h, const float *mask, int k, double *scratch);

/* ---- moments.c ------------------------------------------------------------------- */
/* Means over sampled places of images, for one term with weights. A depthwise term is a block per channel. x: the
 * quantized network's inputs under the window; y: what the term should add, before batch norm and without bias:
 * what it adds in the float network, and what the layer's identities and shortcuts lack (for its first term with weights). */
struct compress_moments {
    int blocks, k, outs;     /* outs: outputs of a block */
    double *xx;              /* [blocks][k][k]; NULL unless asked for */
    double *xy;              /* [blocks][outs][k]; the same */
    double *x;               /* [blocks][k] */
    double *y;               /* [blocks][outs] */
};
struct compress_images { const uint8_t *pixels; int n; };
/* `exact` runs the float network (cache's graph), `coarse` the quantized one; `layer` and `term` as in graph_layers. */
int compress_moments_measure(struct compress_moments *out, struct nn *exact, struct nn *coarse, const struct nn_quant *q, const struct compress_images *images,
                              int layer, int term, bool squares);
void compress_moments_free(struct compress_moments *m);

/* ---- reconstruct.c ----------------------------------------------------------------- */
/* Adaptive rounding of every weighted term, in order: weights in m->graph move onto the grid, m->quant's scales follow,
 * batch norms fit the new outputs. */
int compress_reconstruct(struct compress_model *m, struct graph *exact, struct base_pool *pool, const struct compress_images *images);
/* The mean error of outputs goes into biases, in order; with `batchnorms` into batch norms' means too. *changed: of
 * a layer that others follow. */
int compress_correct_bias(struct compress_model *m, struct graph *exact, struct base_pool *pool, const struct compress_images *images, bool batchnorms, bool *changed);

#endif
