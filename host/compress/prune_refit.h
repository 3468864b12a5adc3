/* Inside compress: least squares of pruned layers. A *reader* is a convolution or dense layer that reads a block's
 * channels; its inputs and the outputs that it should have are sampled in the pruned and in the unpruned network. */
#ifndef COMPRESS_PRUNE_REFIT_H
#define COMPRESS_PRUNE_REFIT_H

#include "compress/prune.h"

struct prune_reader {
    int layer, term, node;
    int k, cout;           /* inputs of one output value, weight's kh * kw * cin in its order; outputs */
    int points;            /* an image */
    float *gain;           /* [cout]: of the batch norm behind it, else 1 */
    /* Moments over all points about the means: inputs with inputs, inputs with wanted outputs. */
    float *s;              /* [k][k] */
    float *r;              /* [k][cout] */
    double *mean_x, *mean_y; /* [k], [cout] */
    double energy;         /* of the wanted outputs behind the batch norm; 0: they are constant */
    int64_t n;
};
struct prune_readers { int n; struct prune_reader *reader; };

/* Those of a block, with their moments. BASE_INPUT names a layer that has too many inputs for it. */
int prune_readers_new(struct prune_readers *out, const struct prune_job *j, int block);
void prune_readers_free(struct prune_readers *r);
/* Weights of job->now's layer := the ones that make the wanted outputs best from inputs whose unit is `readable`
 * (others 0), drawn a little to the old weights; bias or batch-norm mean follow. */
int prune_refit(const struct prune_job *j, const struct prune_reader *r, const bool *readable);
/* A bias of 0 for layers without one, and without a batch norm, so that refits may shift them. */
int prune_allow_bias(struct prune_job *j);
/* Blocks that lose channels, in the order of their first reader; order [n_block], *n of them. */
void prune_block_order(int *order, int *n, const struct prune_job *j);
static inline int prune_input_unit(const struct prune_job *j, const struct prune_reader *r, int k)
{
    int in = j->was->node[r->node].in[0];
    return graph_unit(&j->plan->ch, in, k % j->was->node[in].shape.c);
}

/* LASSO on moments: min 1/2 b'Gb - b'h + lambda |b|_1 over the lambda that leaves at least `count` of n
 * coefficients, as few more as possible. beta [n]; g [n][n], h [n]. */
int prune_lasso_path(double *beta, const double *g, const double *h, int n, int count);

#endif
