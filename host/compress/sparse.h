/* Inside compress: sparse weights. Which weights of a term are 0, at a share of it; how that share rises while training. */
#ifndef COMPRESS_SPARSE_H
#define COMPRESS_SPARSE_H

#include "compress/compress.h"

/* The weights of a term as the array cuts them: [cout][kh][kw][cin], 1 x 1 without padding over several channel groups at once. */
struct sparse_shape { int cout, kh, kw, cin, chan; bool padded; };
struct sparse_shape sparse_shape_of(const struct graph *g, const struct graph_term *t);
int64_t sparse_weights(const struct sparse_shape *s);
/* Weights or blocks, of which a share is taken. */
int64_t sparse_parts(const struct sparse_shape *s, enum compress_structure structure, int block);

/* mask [cout][kh][kw][cin] := 0 for the share of least magnitude (of equal ones the earlier), else 1; one weight or block is left
 * at least. Blocks of `block` outputs x one K-word go by the mean square of their weights. */
int sparse_mask(float *mask, const float *weight, const struct sparse_shape *s, enum compress_structure structure, int block, double share);
/* A step of group lasso, in proximal form: the root mean square of each block of `block` outputs x one K-word loses `share` of the whole
 * term's, or all it has. */
int sparse_shrink(float *weight, const struct sparse_shape *s, int block, double share);
/* Zhu & Gupta, 2017, after update `at` of `n`: share (1 - (1 - at / n)^3). */
double sparse_ramp(double share, int64_t at, int64_t n);

/* Masks of a model, [cout][kh][kw][cin] in quant's arena: at the recipe's shares, or, where training will raise them, all 1. */
int sparse_begin(struct compress_model *m, bool rising);
/* nn_train's step_begin; ctx is the compress_model. */
int sparse_step(void *ctx, int64_t step, int64_t steps);
/* Weights outside the masks become 0 in the graph as well. */
void sparse_end(struct compress_model *m);

#endif
