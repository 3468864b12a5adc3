/* nn: the float engine: forward, backward, training and fake quantization of a graph.
 *
 * An `nn` runs one graph, layer by layer as `graph_make_layers` fuses it, on its
 * parameter arrays in place: training changes the graph, and a change of the graph's
 * parameters is seen by the next call. Images are raw pixels, uint8 [n][h][w][c];
 * the graph's `prep` turns them into the network's input. Results depend on the
 * seed and the data, not on the number of threads.
 *
 * Ownership: the graph, the quantization record and the data belong to the caller
 * and must outlive the `nn`. One `nn` is used by one thread at a time.
 */
#ifndef NN_H
#define NN_H

#include "fixed/fixed.h"
#include "graph/graph.h"

struct nn;

struct nn_options {
    struct base_pool *pool;  /* NULL: a pool of its own with `threads` workers */
    int threads;             /* <= 0: one per core */
    int max_batch;           /* images in flight: the largest training batch, and the step of an evaluation */
    bool training;           /* allocate what backward needs (about 3x the memory) */
};
#define NN_OPTIONS_INIT { .pool = NULL, .threads = 0, .max_batch = 128, .training = false }

int nn_new(struct nn **out, struct graph *g, const struct nn_options *o);
void nn_free(struct nn *m);
const struct graph_layers *nn_layers(const struct nn *m);
struct graph *nn_graph(struct nn *m);
int nn_classes(const struct nn *m);
int nn_max_batch(const struct nn *m);
struct base_pool *nn_pool(const struct nn *m);      /* the one given, or its own */
size_t nn_image_bytes(const struct nn *m);          /* raw pixels of one image */
size_t nn_memory(const struct nn *m);               /* bytes of maps, gradients, tables: all that an nn allocates */

/* Start values: convolutions and dense layers normal with variance 2 / fan-in, biases 0,
 * gamma 1, beta 0, mean 0, variance 1. */
void nn_init_parameters(struct graph *g, uint64_t seed);

/* ---- inference (batch norm by its running statistics) --------------------- */
/* Logits of `n` images, any n: logits [n][classes]. */
int nn_forward(struct nn *m, const uint8_t *pixels, int n, float *logits);

/* Fractions of n; mean cross-entropy in nats. Ties go to the lowest class index. */
struct nn_result { double top1, top5, loss; int n; };
int nn_evaluate(struct nn *m, const uint8_t *pixels, const uint16_t *labels, int n, struct nn_result *out);
/* The same, and for each image whether it is right: right [n], 0 or 1. */
int nn_evaluate_each(struct nn *m, const uint8_t *pixels, const uint16_t *labels, int n, struct nn_result *out, uint8_t *right);

/* Maps are not kept longer than they are needed (they take memory and time) unless this was called before:
 * then the last batch run has them for nn_edge_read. */
int nn_keep_maps(struct nn *m);
/* The map of `edge` for image `index` of the last batch run (n <= max_batch): out [h][w][c].
 * Edge 0 holds the normalized input. BASE_INTERNAL if it was not kept. */
int nn_edge_read(const struct nn *m, int edge, int index, float *out);
/* Runs `n` images, any n, through the first `layers` layers, and calls `each` after every batch, whose `count` images
 * (from number `first`) nn_edge_read then reads: edges 0 .. layers. Keeps maps from now on. */
typedef int nn_maps_fn(void *ctx, int first, int count);
int nn_forward_maps(struct nn *m, const uint8_t *pixels, int n, int layers, nn_maps_fn *each, void *ctx);

/* ---- data -----------------------------------------------------------------
 * Fill batch number `batch` (counted from 0 over the whole run) with `n` images:
 * pixels [n][h][w][c], labels [n]. The result must depend on `batch` alone, so that
 * a resumed run sees the same images. */
typedef int nn_fill_fn(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels);
struct nn_source { nn_fill_fn *fill; void *ctx; };

/* ---- one step -------------------------------------------------------------- */
enum nn_loss_kind { NN_CROSS_ENTROPY, NN_MSE };
struct nn_loss_options {
    enum nn_loss_kind kind;  /* NN_MSE: mean over the classes of (logit - target)^2, the target 1 on the label */
    float label_smoothing;   /* 0 .. < 1; of either kind's targets */
    float distill_weight;    /* share of the distillation term, 0 = none */
    float temperature;       /* of the distillation term */
    bool no_t2;              /* the distillation term without its factor T^2 */
};
#define NN_LOSS_OPTIONS_INIT { .kind = NN_CROSS_ENTROPY, .label_smoothing = 0, .distill_weight = 0, .temperature = 4 }

/* Forward and backward in training mode (batch statistics, running ones updated) on
 * n <= max_batch images; gradients are left inside, parameters unchanged.
 * loss = (1 - kd) * (CE or MSE) + kd * T^2 * KL(teacher || student), mean over the batch.
 * `teacher` logits [n][classes] or NULL. */
int nn_gradient(struct nn *m, const uint8_t *pixels, const uint16_t *labels, int n,
                const struct nn_loss_options *o, const float *teacher, double *loss, int *correct);
/* Gradient of a node's parameter as the last nn_gradient left it, laid out like the
 * parameter: 'w' weight, 'b' bias, 'g' gamma, 'e' beta. NULL if there is none. */
const float *nn_gradient_of(const struct nn *m, int node, char which);

struct nn_sgd { float lr, momentum, weight_decay; bool nesterov; };
/* v = momentum * v + g (+ weight_decay * w, weights only); w -= lr * (v, or g + momentum * v). */
void nn_sgd_step(struct nn *m, const struct nn_sgd *o);

/* m = beta1 m + (1 - beta1) g; s = beta2 s + (1 - beta2) g^2; with both freed of their start at 0 by
 * 1 - beta^step (step counts from 1): w -= lr (m / (sqrt(s) + epsilon) + weight_decay w, weights only).
 * Learned scales keep the rule of nn_sgd_step, with momentum beta1. */
struct nn_adam { float lr, beta1, beta2, epsilon, weight_decay; };
#define NN_ADAM_INIT { .lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f }
void nn_adam_step(struct nn *m, const struct nn_adam *o, int64_t step);

/* ---- several ranks -----------------------------------------------------------
 * Processes that train one network together: each takes its part of every batch, all make the same step. What the
 * engine needs of them; `dist` makes one over MPI. Every rank makes the same calls in the same order, from the thread
 * that called nn_train; a nonzero return ends the training with it. */
struct nn_ranks {
    int rank, ranks;
    bool local_batchnorm;            /* statistics of each rank's own part, running ones averaged; else of the whole batch */
    /* Before the first step: weight arrays 0 .. n-1 have floats[i] values. */
    int (*plan)(void *ctx, int n, const int64_t *floats);
    int (*broadcast)(void *ctx, void *data, size_t bytes);       /* rank 0's */
    int (*sum)(void *ctx, double *v, int n);                     /* v[n] over the ranks, the same bits on each */
    int (*begin)(void *ctx, int64_t step);
    /* Sum weight gradient number `array` over the ranks: started here, done when `finish` returns. */
    int (*add)(void *ctx, int array, float *grad);
    void (*progress)(void *ctx);                                 /* called between other work */
    int (*finish)(void *ctx);
    /* What the sums remember from step to step, beside the checkpoint at `path`; all ranks. Loading finds it or starts anew. */
    int (*save)(void *ctx, const char *path, int64_t step);
    int (*load)(void *ctx, const char *path, int64_t step);
    void *ctx;
};

/* ---- training --------------------------------------------------------------- */
struct nn_train_report { int64_t step, steps; int epoch; double loss, accuracy, lr, images_per_s; };

enum nn_optimizer { NN_SGD, NN_ADAM };
enum nn_schedule {
    NN_COSINE,                       /* half a cosine down to 0 at the end */
    NN_STEP,                         /* times `gamma` from the first batch of each epoch in `drop` on */
};
enum { NN_MAX_DROPS = 16 };

struct nn_train_options {
    int epochs;
    int batches_per_epoch;
    int batch;                       /* <= max_batch */
    float lr;                        /* after the warm-up, before the schedule lowers it */
    int warmup;                      /* steps of linear rise to lr, under either schedule */
    enum nn_schedule schedule;
    int drop[NN_MAX_DROPS], n_drop;  /* epochs, ascending, counted from 0 */
    float gamma;
    enum nn_optimizer optimizer;
    float momentum, weight_decay;    /* Adam: momentum is its beta1, the rest as NN_ADAM_INIT */
    bool nesterov;                   /* of SGD */
    struct nn_loss_options loss;
    struct nn *teacher;              /* distillation: same input and classes; NULL = none */
    const char *label;               /* of the progress line; NULL = none */
    /* Before step number `step` of `steps`: what the quantization in force is from now on. May be NULL; a nonzero return ends the run with it. */
    int (*step_begin)(void *ctx, int64_t step, int64_t steps);
    /* After each epoch; a nonzero return ends the run with it. May be NULL. */
    int (*epoch_done)(void *ctx, const struct nn_train_report *r);
    void *ctx;
    /* NULL: alone. Then `batch` is that of all ranks together, of which rank r takes images batch * r / ranks and on,
     * max_batch need only hold that part, and rank 0 alone writes the checkpoint, which any number of ranks continues
     * (the same number with the same bits). */
    const struct nn_ranks *ranks;
    const char *checkpoint;          /* file, NULL = none: written every `checkpoint_steps` and at the end */
    int checkpoint_steps;            /* <= 0: once per epoch */
    bool resume;                     /* continue from `checkpoint` if it exists */
    int64_t stop_at;                 /* > 0: leave (BASE_OK) after this many steps of the schedule, as a kill
                                        would: no checkpoint is written for it */
};
#define NN_TRAIN_OPTIONS_INIT { .epochs = 1, .batch = 128, .lr = 0.1f, .gamma = 0.1f, .momentum = 0.9f, .nesterov = true, \
                                .weight_decay = 5e-4f, .loss = NN_LOSS_OPTIONS_INIT }
/* Train in place; `out` (may be NULL) gets the last epoch's figures (on resuming, of its steps
 * since). With a checkpoint, a run that was killed and resumed with the same options ends with
 * the same bits as one that was not. BASE_STOPPED after a signal (a checkpoint is written
 * first); BASE_INPUT for options out of range, a label beyond the classes, a loss that is not
 * finite, or a checkpoint that is damaged or belongs to another network. */
int nn_train(struct nn *m, const struct nn_source *data, const struct nn_train_options *o, struct nn_train_report *out);

/* Parameters, running statistics, momentum, learned scales, levels and masks with the step: atomic, CRC-checked.
 * Reading changes nothing unless the whole file is right and of the same network, widths and
 * kind of engine (training or not). */
int nn_checkpoint_write(const struct nn *m, const char *path, int64_t step);
int nn_checkpoint_read(struct nn *m, const char *path, int64_t *step);

/* ---- fake quantization --------------------------------------------------------
 * The values a quantized network would compute with, in float. Rounding is half up:
 * floor(x + 0.5). Backward is the straight-through estimator: the gradient passes
 * where the value was not clipped.
 *
 * Weights of a Conv or Dense term, per output channel c: q = clamp(round(w / s[c]),
 * -2^(b-1), 2^(b-1) - 1), value q * s[c]; with 1 bit: sign(w) * s[c], sign(0) = +1.
 * With `in_factor` g [cin]: q from w * g[cin], value q * s[c] / g[cin] (a term that reads
 * raw pixels: the integer weights multiply pixels, not normalized input). Where `mask` is 0 the value is 0,
 * whatever the weight, which the gradient reaches all the same: it may come back.
 *
 * Activations of an edge, after its ReLU: unsigned q = clamp(round(x / s), 0, 2^b - 1),
 * signed q = clamp(round(x / s), -2^(b-1), 2^(b-1) - 1), value q * s. Edge 0 is never touched.
 *
 * Batch norm stays as it is in the graph: batch statistics in training, running ones else. */
/* Non-uniform levels: a weight is in some planes, and stands for the sum of their values. `code` lists the sets of planes that
 * there are; q is the nearest of their sums to w * g / s[c]. A value counts as the nearest integer. */
enum { NN_MAX_PLANES = 16, NN_MAX_LEVELS = 256 };
struct nn_levels {
    int planes, n_code, rows;        /* rows: 1, values of all outputs, or the outputs */
    const uint16_t *code;            /* [n_code], bit t: in plane t */
    float *value;                    /* [rows][planes], in steps of w_scale, -128..128 */
    bool learned;                    /* values are trained */
    bool fixed_weights;              /* weights are not: which level each has stays */
};
struct nn_level { float value; uint16_t code; };
/* Levels of output o, ascending, each value once; how many. */
int nn_level_table(struct nn_level table[NN_MAX_LEVELS], const struct nn_levels *l, int o);
int nn_level_nearest(const struct nn_level *table, int n, float u);      /* index */
const float *nn_level_values(const struct nn_levels *l, int o);         /* [planes] of output o */

struct nn_quant_term {
    int w_bits;                      /* 0: float */
    float *w_scale, *in_factor;
    struct nn_levels *levels;        /* NULL: uniform ones */
    float *mask;                     /* [cout][kh][kw][cin] of 1 and 0; NULL: every weight is in force */
    int group;                       /* channels in a row whose scales are one, also while they are learned; 0 and 1: each its own */
};
struct nn_quant_layer { struct nn_quant_term term[GRAPH_MAX_TERM]; };
struct nn_quant_edge { int bits; bool is_signed; float scale; };          /* bits 0: float */
struct nn_quant {
    struct base_arena *arena;
    int n_layer, n_edge;
    struct nn_quant_layer *layer;    /* [n_layer], as in nn_layers */
    struct nn_quant_edge *edge;      /* [n_edge] */
    bool pixel_pad;                  /* edge 0 is padded with the pixel nearest to 0: (round(mean/scale) * scale - mean) / std */
    bool learn_edge_scale;           /* LSQ: train edge scales (training only) */
    bool learn_weight_scale;         /* and weight scales */
    float scale_lr;                  /* learning rate of scales relative to the weights'; gradients are first divided by
                                        sqrt(values that share the scale x largest code), a step is at most a tenth */
};
/* All float; w_scale of every Conv/Dense term allocated [cout], in_factor NULL. Set w_bits,
 * bits and scales, and in_factor by nn_quant_pixel_factor for terms that read edge 0. */
int nn_quant_new(struct nn_quant **out, const struct graph *g, const struct graph_layers *ls);
void nn_quant_free(struct nn_quant *q);
/* in_factor of every Conv/Dense term that reads edge 0: prep.scale / prep.std[cin]. Sets pixel_pad. */
int nn_quant_pixel_factor(struct nn_quant *q, const struct graph *g, const struct graph_layers *ls);
/* Use `q` (kept by reference, scales may be changed by training) from now on; NULL = float.
 * BASE_INPUT names the layer whose bits or scales are out of range. */
int nn_set_quant(struct nn *m, struct nn_quant *q);

/* Integer-valued fake quantization: from now on this engine, for inference and with the quantization in force that `net` (which must
 * outlive it) was lowered from, computes with integers in floats. Maps (nn_edge_read) hold codes, and logits are those of `net` bit for
 * bit. A float is exact below 2^24: channels of a term whose sums could pass it, or whose coefficients are not one factor times the
 * weights' codes, are added plane by plane, slowly; *by_planes (may be NULL): how many of those with weights. There is no way back. */
int nn_set_integers(struct nn *m, const struct fixed_net *net, int *by_planes);

/* Integers that stand for the weights of output o, in steps of w_scale[o]: code [taps][cin]; `weight` [cout][taps][cin] of
 * the term, cin 1 where it is depthwise. Their values are code * w_scale[o] / in_factor. */
void nn_quant_codes(float *code, const struct nn_quant_term *q, const float *weight, int o, int taps, int cin, bool depthwise);
/* The same arithmetic for other rooms: one value. */
float nn_fake_weight(float w, float scale, int bits);
float nn_fake_activation(float x, float scale, int bits, bool is_signed);

/* Running mean and variance of every batch norm := plain averages over `images` images of
 * `data` (rounded up to whole batches of max_batch; the variance is the mean of the batch
 * variances, unbiased), with the weights and quantization in force. `first_batch`
 * is the number of the first batch asked for. */
int nn_batchnorm_reestimate(struct nn *m, const struct nn_source *data, int64_t first_batch, int images);

/* ---- calibration ---------------------------------------------------------------
 * Distribution of an edge's values over some images (after ReLU, after its own fake
 * quantization if that is on). */
enum { NN_BINS = 2048 };
struct nn_histogram {
    double count[NN_BINS];           /* of |x| in [i, i + 1) * width; values of exactly 0 are in bin 0 */
    float width;                     /* of a bin; 0 = only zeros were seen */
    float min, max;                  /* of x */
    double n;                        /* values seen */
};
/* hist [n_edge]; entry 0 stays empty. */
int nn_edge_histogram(struct nn *m, const uint8_t *pixels, int n, struct nn_histogram *hist);

#endif
