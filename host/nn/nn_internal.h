/* Inside nn: how a graph is laid out for running.
 *
 * A batch is cut into NN_CHUNKS fixed shares; each share sums its own gradients and
 * statistics, and the shares are added in order, so that results do not depend on the
 * number of threads. A run is a list of steps; a share takes each of its images through
 * all steps up to the next barrier (where batch norm needs the whole batch), so that an
 * image's maps stay in cache. */
#ifndef NN_INTERNAL_H
#define NN_INTERNAL_H

#include "nn/kernels.h"
#include "nn/nn.h"

enum { NN_CHUNKS = 16 };

/* DENSE: also a 1x1 convolution over few pixels, which is faster over a share's images together. */
enum nn_term_kind { NN_IDENTITY, NN_CONV, NN_DENSE, NN_DEPTHWISE, NN_AVGPOOL, NN_SHORTCUT };

/* One trained array: the graph's values, their gradient, its momentum, and for Adam the mean of its square. */
struct nn_param { float *value, *grad, *velocity, *square; int64_t n; bool decay, frozen; int node; char which; };

struct nn_term {
    enum nn_term_kind kind;
    int layer, index;                    /* of graph_layers */
    int node, batchnorm, edge, chan;
    int channels;                        /* real channels it adds */
    bool weighted, direct_input;         /* direct_input: no padding, the edge is read in place */
    struct nn_conv conv;                 /* CONV, DEPTHWISE, DENSE (sizes only) */
    bool fast_forward, fast_back;        /* by Winograd's method: forward and weight gradient, backward-data */
    struct nn_winograd winograd, winograd_back;
    struct nn_window window;             /* AVGPOOL */
    int number;                          /* in nn.weighted */
    int cout, cin, k_dense;              /* real channels; k_dense: padded inputs of a dense layer's row */
    int rows;                            /* of a dense layer in an image: 1, or the pixels of a 1x1 convolution */
    float *z;                            /* [max_batch] maps, kept with batch statistics and for dense; else a worker's scratch */
    float *pack_forward, *pack_back;
    float *sc, *sh;                      /* [o]: y = z * sc + sh */
    float *k1, *k2, *k3;                 /* [o]: dz = k1 * d + k2 * z + k3 */
    float *mean, *inv;                   /* [o]: of the batch (mean: before it, the shift of the moments); 1 / sqrt(var + eps) */
    double *average;                     /* [2 o]: sums of batch means and variances, while re-estimating */
    double *sum;                         /* [NN_CHUNKS][2 o] */
    size_t grad_at;                      /* of dw in a share's gradients */
    float *dw;                           /* of a dense term, whole batch: [k_dense][o] */
    size_t grad_floats;
    struct nn_param *weight, *bias, *gamma, *beta;
    struct nn_quant_term *quant;         /* NULL: float */
    float *w_run;                        /* fake-quantized weights */
    float *scale_grad, *scale_velocity;  /* [cout] */
    float *level_grad, *level_velocity;  /* as levels' values */
    float *level_norm;                   /* [rows]: sum of squares of d value / d level */
};

struct nn_edge {
    int h, w, c, cp;                     /* cp: channels in memory */
    size_t floats;                       /* h * w * cp */
    float *x, *grad;                     /* maps: x by image or by worker (memory.c); grad [max_batch], only in training */
    size_t image_step, worker_step;      /* floats from an image's x to the next, or from a worker's; the other is 0 */
    bool remade;                         /* in training: not kept, but made again from its layer's sum where backward needs it */
    size_t grad_step;                    /* from an image's gradient to the next */
    uint8_t *mask, *which;               /* [max_batch]: pass bits; tap of a max pool */
    float *slope;                        /* [max_batch]: d value / d scale, once scales are learned */
    bool learned;                        /* its scale is, now */
    struct nn_finish finish;
    double *scale_grad;                  /* [NN_CHUNKS] */
    float scale_velocity;
};

struct nn_layer {
    const struct graph_layer *g;
    bool live;                           /* the output depends on it */
    int n_term;
    struct nn_term *term;
    struct nn_window window;             /* MAXPOOL */
    bool any_batchnorm;
};

enum nn_step_kind {
    /* per image */
    NN_STEP_INPUT, NN_STEP_TERM, NN_STEP_OUT, NN_STEP_MASK, NN_STEP_BACK,
    /* per share */
    NN_STEP_DENSE, NN_STEP_DENSE_BACK, NN_STEP_LOSS, NN_STEP_ZERO,
    /* whole batch, on the caller */
    NN_STEP_STATISTICS, NN_STEP_STATISTICS_BACK,
};
struct nn_step { enum nn_step_kind kind; int layer, term; bool first; };  /* first: it writes the edge's gradient, others add */

struct nn_program { struct nn_step *step; int n; };

struct nn_scratch { int worker; float *pad, *grad, *sum, *winograd, *z[GRAPH_MAX_TERM]; };

/* What one batch is run on. */
struct nn_batch {
    const uint8_t *pixels;
    const uint16_t *labels;
    const float *teacher;
    const struct nn_loss_options *loss;
    int n;
    int total;                           /* of all ranks */
    double loss_sum[NN_CHUNKS];
    int correct[NN_CHUNKS];
    const struct nn_program *program;
    int from, to;                        /* steps of the phase */
};

struct nn {
    struct base_arena *arena;
    struct graph *graph;
    struct graph_layers layers;
    struct base_pool *pool;
    bool own_pool, training;
    int max_batch, classes, out_edge;
    struct nn_layer *layer;
    struct nn_edge *edge;
    struct nn_param *param;
    int n_param;
    struct nn_term **weighted;           /* terms with weights, for work that goes term by term */
    int n_weighted;
    float *lut;                          /* [c][256]: pixel -> input */
    float *pad_value;                    /* [cp of edge 0]: what pads edge 0 */
    float *share_grad;                   /* [NN_CHUNKS][share_floats] */
    size_t share_floats;
    struct nn_scratch *scratch;          /* per worker */
    struct nn_program forward, train, statistics;   /* inference; forward + backward; forward with batch statistics */
    struct nn_quant *quant;
    struct nn_integers *integers;        /* NULL: floats */
    struct nn_batch batch;
    double *loss_row;                    /* [NN_CHUNKS][classes] */
    double *moments;                     /* both sums of a layer's batch norms, term by term: [2 o] */
    const struct nn_ranks *ranks;        /* NULL: alone */
    int total;                           /* images of a batch on all ranks */
    double *exchange;                    /* what ranks sum at the end of a step */
    int n_exchange;
    int failed;                          /* of the ranks, inside a run */
    float momentum_bn;                   /* of running statistics in training */
    bool reestimate;                     /* batch statistics are added to each term's `average` */
};

static inline int nn_share_begin(int n, int share) { return (int)((int64_t)n * share / NN_CHUNKS); }
static inline struct nn_term *nn_term_of(const struct nn *m, const struct nn_step *s) { return &m->layer[s->layer].term[s->term]; }

static inline bool nn_keeps_batch_statistics(const struct nn *m) { return m->batch.program != &m->forward; }
static inline bool nn_is_backward(const struct nn *m) { return m->batch.program == &m->train; }

/* memory.c */
int nn_plan_maps(struct nn *m);
/* plan.c */
int nn_plan_terms(struct nn *m);
int nn_plan_program(struct nn *m);
int nn_plan_statistics(struct nn *m);             /* maps that batch statistics need and inference does not */
/* weights.c: what is done to parameters around a batch. */
void nn_prepare(struct nn *m, const struct nn_program *p); /* fake-quantize and pack weights, scales of batch norms */
void nn_collect_gradients(struct nn *m);          /* add the shares, undo the packing, straight-through masks */
void nn_collect_weight(struct nn *m, struct nn_term *t);   /* the same in two parts: of one term before the masks, */
void nn_collect_rest(struct nn *m);                        /* and the masks */
void nn_bias_gradient(const struct nn_term *t);
/* run.c */
void nn_run(struct nn *m, const struct nn_program *p);   /* on m->batch */
/* ranks.c: while m->ranks is set */
int nn_ranks_plan(struct nn *m);
void nn_ranks_moments(struct nn *m, int n);       /* m->moments[n] of all ranks */
void nn_ranks_collect(struct nn *m);              /* weight gradients that the phase just run has made */
int nn_ranks_finish(struct nn *m, double *loss, int *correct);
/* checkpoint.c: a checkpoint in memory; zeroed: none yet. */
struct nn_checkpoint { uint8_t *file; size_t bytes; int64_t step; };
int nn_checkpoint_take(struct nn_checkpoint *c, const struct nn *m, int64_t step);
int nn_checkpoint_put(struct nn_checkpoint *c, const char *path);
uint64_t nn_checkpoint_hash(const struct nn_checkpoint *c);
int nn_checkpoint_broadcast(const struct nn *m, const struct nn_ranks *r);
/* batchnorm.c */
void nn_statistics(struct nn *m, int layer);
void nn_statistics_back(struct nn *m, int layer);
void nn_running_scales(const struct nn *m, struct nn_term *t);
void nn_moment_shift(const struct nn *m, struct nn_term *t);
/* loss.c */
void nn_loss_share(struct nn *m, int share);
int nn_check_labels(const struct nn *m, const uint16_t *labels, int n);
/* quant.c */
void nn_quant_edges(struct nn *m);                /* scales in force onto the edges */
int nn_quant_slopes(struct nn *m);                /* memory that learned edge scales need */
void nn_quant_weights(struct nn_term *t, const float *weight, int taps);
void nn_quant_gradient(struct nn_term *t, const float *weight, float *grad, int taps);
void nn_quant_step(struct nn *m, const struct nn_sgd *o);
/* integers.c: while m->integers is set */
float nn_integers_pad(const struct nn *m, int c);         /* the pixel outside the image */
void nn_integers_weights(struct nn_term *t, const float *weight);
/* A layer's map out of its terms' input maps x and sums z (of those that have weights). */
void nn_integers_out(float *y, const struct nn *m, int layer, const float *const *x, const float *const *z);
/* levels.c */
int nn_levels_check(const struct nn_levels *l, const char *name);
int nn_levels_plan(struct nn *m, struct nn_term *t);
void nn_levels_clear(struct nn_term *t);
/* A weight of output o with that code; `step`: its real value for one of the level's. */
void nn_levels_add(struct nn_term *t, int o, uint16_t code, float grad, float step);
void nn_levels_step(struct nn_term *t, double weights, const struct nn_sgd *o, float rate);
/* loss.c, nn.c */
const float *nn_batch_logits(const struct nn *m, int index);
void nn_forward_batch(struct nn *m, const uint8_t *pixels, int n);

#endif
