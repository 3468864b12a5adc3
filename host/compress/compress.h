/* compress: a recipe, what it makes of a float network, and the integer network it ends as.
 *
 *   compress_cache_new    once per float network: calibration, scales found so far
 *   compress_apply        recipe -> model: scales, batch norms measured anew, fine-tuning
 *   compress_lower        model -> integer network
 *
 * A recipe is indexed like `graph_layers`. The width of an edge is the `a_bits` of the layers
 * that read it with their main term (the first one with weights, else the first). A max pool has
 * no width of its own: its two edges are one.
 *
 * Ownership: what _new, _apply, _lower and _read return is the caller's; a cache and a model refer
 * to nothing but the data and the pool they were given. One thread at a time per cache or model.
 */
#ifndef COMPRESS_H
#define COMPRESS_H

#include "fixed/fixed.h"
#include "graph/graph.h"
#include "nn/nn.h"

/* ---- recipe ----------------------------------------------------------------- */
enum compress_levels { COMPRESS_UNIFORM, COMPRESS_CODEBOOK, COMPRESS_POT, COMPRESS_BASIS };
enum compress_mode { COMPRESS_FAST, COMPRESS_SHORT, COMPRESS_FULL };   /* fast: no training */

struct compress_choice {
    int w_bits;              /* 1..8; 0 where the layer has no weights */
    int a_bits;              /* 1..8: of the layer's input edge; at least 2 where that is signed */
    double keep;             /* 0 .. 1: share of the layer's output channels; layers that share channels have one value. 0, inside a residual
                                branch: the branch goes, all its layers */
    double sparsity;         /* 0 .. < 1: share of the layer's weights, or blocks of them, that are 0 */
    enum compress_levels levels;   /* w_bits: log2 of a codebook's entries (1..4); planes of the others, 1..8 */
    int planes;              /* codebook: its entries are integers of so many bits, w_bits..8; else 0 */
};

struct compress_finetune {
    enum compress_mode mode;
    int epochs;              /* <= 0: 1 for short, 10 for full */
    int images;              /* per epoch; <= 0: 10,000 for short, all training images for full */
    double lr;               /* <= 0: 0.01 */
    bool fixed_scales;       /* plain straight-through training: scales stay what calibration found */
};

/* Distillation while fine-tuning, from the float network: loss = (1 - weight) CE + weight T^2 KL. */
struct compress_distill {
    double weight;           /* 0: none; up to 1 */
    double temperature;      /* <= 0: 4 */
    bool no_t2;              /* the factor T^2 is left out */
};

/* How scales are found, and weights rounded. */
enum compress_clip { COMPRESS_MSE, COMPRESS_MIN_MAX, COMPRESS_PERCENTILE };
enum compress_rounding { COMPRESS_NEAREST, COMPRESS_ADAPTIVE };
struct compress_quantize {
    enum compress_clip weights, edges;
    double percentile;       /* of magnitudes, above 50, up to 100 */
    int group;               /* output channels in a row that share a weight scale; 0: all of a term */
    bool bias_correction;    /* the mean error of a term's output is taken out of its bias or batch norm */
    enum compress_rounding rounding;
    int batchnorm_images;    /* to measure batch norms anew, 0 = leave them; < 0: as compress_options say */
};
#define COMPRESS_QUANTIZE_INIT { .percentile = 99.9, .group = 1, .batchnorm_images = -1 }

/* Who says which channels go; docs/prune.md. */
enum compress_prune_method { COMPRESS_PRUNE_L1, COMPRESS_PRUNE_L2, COMPRESS_PRUNE_BN, COMPRESS_PRUNE_LASSO, COMPRESS_PRUNE_DCP };

struct compress_prune {
    enum compress_prune_method method;
    int round;               /* channels stay in steps of it; 0: not said, the array's step is to be filled in */
    double macs;             /* > 0: share of multiply-accumulates to keep, from which `keep` is to be found; 0: it stands there */
};

/* Which weights are 0, and how the shares are found and reached; docs/compress.md. */
enum compress_structure { COMPRESS_UNSTRUCTURED, COMPRESS_BLOCK };
enum compress_ratios { COMPRESS_UNIFORM_RATIOS, COMPRESS_ERDOS_RENYI };
struct compress_sparsify {
    enum compress_structure structure;
    enum compress_ratios ratios;     /* ERDOS_RENYI: every sparse layer has the same `sparsity`, of all their weights; each gets its own */
    int block;                       /* channels of a block: the array's m and cg */
    double ramp;                     /* 0..1: part of fine-tuning in which the shares rise from 0 */
    double penalty;                  /* BLOCK, 0..100: group lasso while they rise: each block's root mean square loses that many times the
                                        layer's in all, unless the loss pulls it back */
};
#define COMPRESS_SPARSIFY_INIT { .block = 16, .ramp = 0.5 }

/* Levels that are not uniform; docs/nonuniform.md. */
enum compress_codebook_init { COMPRESS_INIT_KMEANS, COMPRESS_INIT_QUANTILE, COMPRESS_INIT_UNIFORM };
enum compress_codebook_train { COMPRESS_TRAIN_BOTH, COMPRESS_TRAIN_WEIGHTS, COMPRESS_TRAIN_LEVELS };
struct compress_codebook {
    enum compress_codebook_init init;
    enum compress_codebook_train train;   /* what fine-tuning moves; powers of two stay */
};

struct compress_recipe {
    int n;
    struct compress_choice *layer;   /* [n] */
    struct compress_prune prune;
    struct compress_sparsify sparsify;
    struct compress_codebook codebook;
    struct compress_quantize quantize;
    struct compress_distill distill;
    struct compress_finetune finetune;
};

/* Every layer w / a bits, the first and last layer with weights 8 / 8; raw input 8; ties kept; rounding to nearest and no
 * bias correction, the cheap way (a recipe's file means adaptive rounding with bias correction unless it says otherwise). */
int compress_recipe_default(struct compress_recipe *out, const struct graph *g, const struct graph_layers *ls, int w_bits, int a_bits);
int compress_recipe_copy(struct compress_recipe *out, const struct compress_recipe *r);
void compress_recipe_free(struct compress_recipe *r);
/* BASE_INPUT with file and line, or the layer's name, and the remedy. */
int compress_recipe_read(struct compress_recipe *out, const char *path, const struct graph *g, const struct graph_layers *ls);
int compress_recipe_parse(struct compress_recipe *out, const char *name, const char *text, size_t len, const struct graph *g, const struct graph_layers *ls);
/* YAML that reads back as the same recipe; the caller's. NULL: no memory. */
char *compress_recipe_text(const struct compress_recipe *r, const struct graph_layers *ls);
int compress_recipe_check(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls);
/* Make a vector of free choices legal: layers that share an edge get the first one's width, the
 * raw input 8 bits, signed edges at least 2, layers without weights w_bits 0. */
void compress_recipe_tie(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls);
/* The layer whose a_bits is free and decides that of `layer`: itself, or an earlier or later one it is
 * tied to; -1: fixed by the raw input. A search varies a_bits only where this is the layer itself. */
int compress_recipe_decider(const struct graph *g, const struct graph_layers *ls, int layer);
/* The least a_bits of a layer: 2 where its input can be negative, else 1. */
int compress_recipe_least_a_bits(const struct graph *g, const struct graph_layers *ls, int layer);
/* Fill in what the file leaves to the array and to heuristics: prune.round := `step` where it is 0; prune.macs
 * becomes each layer's `keep`, sparsify.ratios each layer's `sparsity`. A vector of free choices becomes legal: layers that share channels get the first
 * one's `keep`, layers without channels of their own 1. Nothing else happens to a recipe that removes nothing. */
int compress_recipe_settle(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, int step);
/* Whether a layer that has zeros by default gets any at that share: a layer of one block has none. */
bool compress_recipe_takes_zeros(const struct compress_sparsify *how, double share, const struct graph *g, const struct graph_layers *ls, int layer);
/* Whether it asks for zeros anywhere. */
bool compress_recipe_sparse(const struct compress_recipe *r);
/* Whether it asks for fewer channels anywhere. */
bool compress_recipe_removes(const struct compress_recipe *r);
/* Share of distillation from the unpruned network where a recipe file that removes channels does not say one. */
#define COMPRESS_PRUNE_DISTILL 0.5
/* The layer whose `keep` is free and decides that of `layer`, itself or an earlier one: decider [n layers]; -1:
 * it has no channels that can be removed. */
int compress_recipe_keep_deciders(int *decider, const struct graph *g, const struct graph_layers *ls);
/* Whether `keep: 0` can be said of a layer, so that a residual branch goes; BASE_INPUT names the node that cannot do without it. */
int compress_recipe_can_go(const struct graph *g, const struct graph_layers *ls, int layer);
/* The layer that a layer of the pruned network was, or was a part of (where a branch went, an Add may be its other term alone); -1: none. */
int compress_layer_was(const struct graph *g, const struct graph_layers *ls, const struct graph_layer *pruned);
/* Multiply-accumulates that a settled recipe's channels leave. */
int compress_recipe_macs(int64_t *out, const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls);
/* A level kind's name; NULL: there is none of this number. */
const char *compress_levels_name(enum compress_levels l);
/* The learners' names. find: BASE_INPUT lists them. */
const char *compress_prune_name(enum compress_prune_method m);
int compress_prune_find(enum compress_prune_method *out, const char *name);
/* Width of an edge (the logits: 0). */
int compress_recipe_edge_bits(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, int edge);

/* Size and mean widths: w by weights, a by values of the edges (raw input left out). */
struct compress_size { int64_t weight_bytes; double mean_w_bits, mean_a_bits; int64_t bit_macs; };
void compress_recipe_size(struct compress_size *out, const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls);

/* ---- uniform quantization: scales of least squared error ----------------------- */
/* Weights that are all smaller count as none: their scale, or its reciprocal, would not be a normal float. */
#define COMPRESS_NOTHING 0x1p-100f
/* Scale for n weights: q = clamp(round(w / s), -2^(b-1), 2^(b-1)-1); 1 bit: {-1,+1}. > 0. */
float compress_scale_weights(const float *w, int64_t n, int bits);
/* Scale for an edge from its histogram. > 0. */
float compress_scale_edge(const struct nn_histogram *h, int bits, bool is_signed);
/* The same by the recipe's choice. min-max: every value seen is inside, for a signed range at both ends;
 * percentile: that part of the magnitudes is. One bit of weight is always the mean magnitude. */
float compress_clip_weights(const float *w, int64_t n, int bits, enum compress_clip clip, double percentile);
float compress_clip_edge(const struct nn_histogram *h, int bits, bool is_signed, enum compress_clip clip, double percentile);

/* ---- model -------------------------------------------------------------------- */
struct compress_data {
    const uint8_t *calibration; int n_calibration;      /* raw training images for the edges' ranges */
    struct nn_source train; int n_train;                /* augmented batches: batch norms, fine-tuning; images in an epoch */
    const uint8_t *val_pixels; const uint16_t *val_labels; int n_val;
};

struct compress_cache;
/* Clones `g`, runs the calibration images once. `data` is copied, what it points to is not. */
int compress_cache_new(struct compress_cache **out, const struct graph *g, const struct compress_data *data, struct base_pool *pool);
void compress_cache_free(struct compress_cache *c);
const struct graph *compress_cache_graph(const struct compress_cache *c);
const struct graph_layers *compress_cache_layers(const struct compress_cache *c);

struct compress_options {
    int batchnorm_images;        /* to measure batch norms anew; 0 = leave them */
    int val_images;              /* for the accuracy; 0 = all, < 0 = none */
    double hopeless_below;       /* > 0: no more than a quarter of them where three standard errors above the accuracy on */
                                 /* that quarter are still below this; nn_result.n says how many it were */
    int batch;                   /* of fine-tuning and evaluation */
    double weight_decay;         /* of fine-tuning */
    const char *checkpoint;      /* of fine-tuning; NULL = none */
    bool resume;
    const char *label;           /* of the progress line; NULL = none */
    const struct nn_ranks *ranks; /* fine-tuning together with others, which apply the same recipe; all but rank 0 do that alone: */
                                 /* their model is not measured. NULL: alone */
    bool draft;                  /* for cycles alone, quick: channels by magnitude-l1, edges scaled as in the unpruned network */
};
#define COMPRESS_OPTIONS_INIT { .batchnorm_images = 1024, .val_images = 0, .batch = 128, .weight_decay = 1e-4 }

struct compress_model {
    struct graph *graph;             /* own copy; batch norms measured anew, weights fine-tuned */
    struct graph_layers layers;      /* of that graph */
    struct nn_quant *quant;          /* bits and scales in force */
    struct compress_recipe recipe;
    struct nn_result val;            /* with fake quantization on the first val_images; n = 0: not measured */
};
/* BASE_STOPPED after a signal during fine-tuning (a checkpoint has been written). */
int compress_apply(struct compress_model **out, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o);
/* Training images that the recipe's fine-tuning looks at, again and again counted. */
int64_t compress_finetune_images(const struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o);
void compress_model_free(struct compress_model *m);
/* The float network that a recipe's `keep` leaves, before anything is quantized; belongs to the cache and lives until
 * the next call with that cache. The cache's own graph if nothing is removed. */
int compress_pruned(const struct graph **out, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o);
/* The search's cheap rung: apply, lower, and the integer network with its fake-quantized accuracy.
 * `net` may be NULL. */
int compress_evaluate(struct nn_result *val, struct fixed_net **net, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o);

/* ---- lowering ----------------------------------------------------------------- */
/* BASE_INPUT names the layer and the remedy where the integer rules cannot hold it. */
int compress_lower(struct fixed_net **out, const struct compress_model *m);
/* The same from the parts: a graph, its layers, and bits and scales. */
int compress_lower_graph(struct fixed_net **out, const struct graph *g, const struct graph_layers *ls, const struct nn_quant *q);

/* The same function with every batch norm's gamma >= 0: where it is negative, weights, bias, mean and gamma
 * change sign. */
void compress_positive_gamma(struct graph *g);

#endif
