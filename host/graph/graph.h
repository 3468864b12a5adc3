/* graph: the float network: operators, shapes, parameters, and its view as layers.
 *
 * A graph is a list of nodes in topological order; node 0 is the input, every
 * node has one output. Maps are h x w x c (NHWC, one image). The graph owns its
 * nodes and parameters (one arena); `graph_free` ends them. Training updates the
 * parameter arrays in place.
 */
#ifndef GRAPH_H
#define GRAPH_H

#include "base/base.h"

enum graph_op {
#define OP(id, name, inputs, weights, quantizable, prunable, lowerable) GRAPH_##id,
#include "graph/ops.def"
#undef OP
    GRAPH_OP_COUNT
};

enum { GRAPH_MAX_IN = 8 };

struct graph_shape { int h, w, c; };

/* How raw pixels become the network's input: x = (pixel * scale - mean[c]) / std[c]. A file that does
 * not say it leaves `known` false, and then nothing may be run. */
enum { GRAPH_MAX_PREP = 16 };
struct graph_prep { float scale; int n; float mean[GRAPH_MAX_PREP], std[GRAPH_MAX_PREP]; bool known; };

struct graph_node {
    const char *name;
    enum graph_op op;
    int n_in, in[GRAPH_MAX_IN];       /* producers, each < own index */
    struct graph_shape shape;          /* of the output */
    /* Conv, pools, Shortcut */
    int kh, kw, stride, pad_t, pad_l, pad_b, pad_r;
    bool depthwise;                    /* Conv: groups == input channels == output channels */
    int chan_before;                   /* Shortcut: zero channels in front of the input's (the rest behind) */
    /* Parameters. Conv, Dense: weight [cout][kh][kw][cin] (depthwise [c][kh][kw][1];
     * Dense: kh, kw = the input map, so any Dense is a convolution without padding),
     * bias [cout] or NULL. BatchNorm: gamma, beta, mean, var [c], eps. */
    float *weight, *bias;
    float *gamma, *beta, *mean, *var;
    float eps;
    float quant_scale;                 /* of the output, if the model came quantized (else 0): for information */
    int quant_zero;
};

struct graph {
    struct base_arena *arena;
    const char *name;
    struct graph_node *node;
    int n_node, cap_node;
    int output;                        /* index of the logits' node (Softmax excluded) */
    struct graph_prep prep;
    struct graph_prep own;             /* part of it that the file's own first nodes were: behind its input (scale 1) */
};

struct graph *graph_new(const char *name);
void graph_free(struct graph *g);
struct graph *graph_clone(const struct graph *g);                  /* deep copy */
const char *graph_op_name(enum graph_op op);
int graph_find(const struct graph *g, const char *name);           /* index or -1 */

/* Builders: append a node, infer its shape, allocate zeroed parameters; return
 * its index or a negative base_code (message names the node and the rule). */
int graph_add_input(struct graph *g, const char *name, struct graph_shape s);
int graph_add_conv(struct graph *g, const char *name, int in, int cout, int kh, int kw, int stride, const int pad_tlbr[4], bool depthwise, bool bias);
int graph_add_dense(struct graph *g, const char *name, int in, int cout, bool bias);
int graph_add_batchnorm(struct graph *g, const char *name, int in);
int graph_add_relu(struct graph *g, const char *name, int in, enum graph_op relu_or_relu6);
int graph_add_add(struct graph *g, const char *name, int a, int b);
int graph_add_concat(struct graph *g, const char *name, const int *in, int n_in);
int graph_add_pool(struct graph *g, const char *name, int in, enum graph_op max_or_avg, int kh, int kw, int stride, const int pad_tlbr[4]);
int graph_add_shortcut(struct graph *g, const char *name, int in, int cout, int stride, int chan_before);
int graph_add_unary(struct graph *g, const char *name, int in, enum graph_op op); /* Flatten, Softmax */

/* Whole-graph rules: one input, shapes agree, finite parameters, every node fed by an earlier one. */
int graph_check(const struct graph *g);
/* Say how pixels become the file's input; `own` is applied behind. p->n: 0, 1 or the input's channels. */
int graph_prep_set(struct graph *g, const struct graph_prep *p);
/* BASE_INPUT with the remedy unless the preprocessing is known. */
int graph_prep_check(const struct graph *g);
/* Multiply-accumulates of a node, and parameters, per image. */
int64_t graph_macs(const struct graph *g, int node);
int64_t graph_node_params(const struct graph *g, int node);
int64_t graph_params(const struct graph *g);

/* A copy without batch norms: each folded into the Conv or Dense before it, which it
 * must be the only consumer of (BASE_INPUT names the node else). *out is the caller's. */
int graph_fold_batchnorm(const struct graph *g, struct graph **out);

/* A built-in network by name (zoo.c lists them), parameters zero, pixels scaled to 0..1.
 * BASE_INPUT lists the names. *out is the caller's. */
int graph_zoo(struct graph **out, const char *name);

/* ---- channels: what can be removed, and what goes with it --------------------
 * A *unit* is a set of channels, one or more of some nodes, that exist together: what an Add adds,
 * what a depthwise convolution, a batch norm, a ReLU, a pool or a Concat passes on, what a Shortcut
 * carries. Units that the same nodes have form a *block*: they differ in nothing but their weights. */
struct graph_channels {
    int n_node, n_unit, n_block;
    int *first;      /* [n_node + 1]: channel c of node i has entry first[i] + c of `unit` */
    int *unit;       /* [first[n_node]] */
    int *block;      /* [n_unit] */
    int *size;       /* [n_block]: units in it */
    bool *fixed;     /* [n_block]: channels of the image or logits: cannot be removed */
};
int graph_channels_new(struct graph_channels *out, const struct graph *g);
void graph_channels_free(struct graph_channels *ch);
static inline int graph_unit(const struct graph_channels *ch, int node, int c) { return ch->unit[ch->first[node] + c]; }
/* A convolution or dense layer that makes its output channels anew, from all of its input's. */
static inline bool graph_mixes(const struct graph_node *n) { return n->weight && !n->depthwise; }

/* A copy of g without the units of which keep[unit] is false: weights, batch norms, biases, and the inputs of
 * those that read them. BASE_INPUT names the node of a unit that is fixed, or that would have no channel left.
 * *out is the caller's. */
int graph_remove_channels(struct graph **out, const struct graph *g, const struct graph_channels *ch, const bool *keep);

/* A copy of g in which the maps of some nodes [n_node] are not there: what is computed from nothing else goes with
 * them, constants too, an Add of one is the other, and what only they read goes as well. BASE_INPUT names the node that cannot
 * do without (a Concat, the logits). *out is the caller's; out NULL: only whether it can be. */
int graph_remove_branches(struct graph **out, const struct graph *g, const bool *gone);

/* ---- layers: what the accelerator sees ------------------------------------
 * A MAC layer is the sum of terms (convolution, dense, average pool, identity,
 * shortcut), each with its own batch norm, followed by an optional ReLU, and
 * one requantization to its output edge. A MAXPOOL layer picks maxima. An *edge*
 * is a quantized map: the network input or a layer's output. Edge 0 is the input;
 * edge i + 1 is the output of layer i. */
enum graph_layer_kind { GRAPH_LAYER_MAC, GRAPH_LAYER_MAXPOOL };

struct graph_term {
    int node;        /* Conv, Dense, AvgPool or Shortcut node; -1: identity */
    int batchnorm;   /* BatchNorm node behind it, or -1 */
    int edge;        /* the edge it reads */
    int chan;        /* first output channel it adds to (Concat, else 0) */
};

enum { GRAPH_MAX_TERM = 8 };

struct graph_layer {
    const char *name;           /* of its main node: recipes, reports and packs use it */
    enum graph_layer_kind kind;
    int node;                   /* main node: Conv, Dense, AvgPool, Add, Concat, MaxPool, or a ReLU of a shared map */
    int n_term;
    struct graph_term term[GRAPH_MAX_TERM]; /* MAXPOOL: term[0].edge is the input */
    enum graph_op relu;         /* GRAPH_RELU, GRAPH_RELU6, or GRAPH_OP_COUNT for none */
    int out_node;               /* node whose output is the layer's output edge */
    struct graph_shape shape;   /* of the output edge */
    bool has_weights;           /* a Conv or Dense term: its w_bits are in the recipe */
};

struct graph_layers { int n; struct graph_layer *layer; int n_edge; };

/* Fuse nodes into layers; memory in the graph's arena. BASE_INPUT names every
 * node that does not fit (a BatchNorm behind a ReLU, say). */
int graph_make_layers(struct graph *g, struct graph_layers *out);
/* Shape of an edge; whether it can be negative (the input: false, raw pixels are uint8;
 * a layer's output: true unless rectified or pooled from rectified edges). */
struct graph_shape graph_edge_shape(const struct graph *g, const struct graph_layers *ls, int edge);
bool graph_edge_signed(const struct graph *g, const struct graph_layers *ls, int edge);

#endif
