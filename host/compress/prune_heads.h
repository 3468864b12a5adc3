/* Inside compress: auxiliary classifiers at points inside a network, for discrimination-aware pruning. A *head* is the part
 * of the network up to a point, average pooling and one dense layer; the last one is the network itself. */
#ifndef COMPRESS_PRUNE_HEADS_H
#define COMPRESS_PRUNE_HEADS_H

#include "compress/prune.h"

enum { PRUNE_HEADS = 3, PRUNE_HEAD_BATCH = 128 };

struct prune_head {
    struct graph *graph;
    int *node;             /* [n_node of the network]: the same node here; -1: it has no part in this, or is a batch norm, which is folded */
    struct nn *nn;         /* for gradients */
};
struct prune_heads {
    int n;
    struct prune_head head[PRUNE_HEADS];
    uint8_t *pixels;       /* one labelled batch, the same for all gradients */
    uint16_t *labels;
};
/* Heads of job->now with dense layers fitted to job->was. BASE_INPUT without labelled training images. */
int prune_heads_new(struct prune_heads *h, const struct prune_job *j);
void prune_heads_free(struct prune_heads *h);
/* Gradient of the classification loss of the first head behind `node`, with the parameters that job->now has and its
 * batch norms at rest: with respect to the node's weights, laid out like them, and to its biases, both behind the
 * batch norm's gain; valid until the next call. */
int prune_heads_gradient(const float **weight, const float **bias, struct prune_heads *h, const struct prune_job *j, int node);

#endif
