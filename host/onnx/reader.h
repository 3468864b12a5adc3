/* reader: what the files of the import share. Not for other rooms.
 *
 * Every value of the file is a constant or a view: a graph node's map with the order in which the
 * file's tensor holds it. Operators that only move numbers (Transpose, Reshape, Flatten, ...) change
 * views and make no nodes; what depends on shapes alone is computed while reading. */
#ifndef ONNX_READER_H
#define ONNX_READER_H

#include <onnx/onnx.pb-c.h>

#include "onnx/onnx.h"

enum { MAX_RANK = 8 };

/* ---- constants (constant.c) ------------------------------------------------------ */
struct constant {
    int rank, type;            /* type: of its elements in the file, 0: computed */
    int64_t dim[MAX_RANK], count;
    float *f;     /* [count], or NULL */
    int64_t *i;   /* [count], or NULL: integers and booleans */
    bool scanned, finite, zero; /* all elements are (constant_scan) */
};
void constant_scan(struct constant *c);
double constant_at(const struct constant *c, int64_t k);

/* ---- views (view.c) ---------------------------------------------------------------- */
enum axis { AXIS_N, AXIS_H, AXIS_W, AXIS_C, AXES };
struct view {
    int node;
    int size[AXES];            /* N, H, W, C as seen from here, pending changes included */
    int rank;
    uint8_t n_axis[MAX_RANK];  /* each dimension is a product of axes, outermost first; axes of size 1 are left out */
    uint8_t axis[MAX_RANK][AXES];
    int step[2];               /* every step-th row, column of the node, from the first */
    int pad[4];                /* zeros around it: top, left, bottom, right */
    bool sole;                 /* nothing else reads the node */
    bool quantized;            /* between QuantizeLinear and DequantizeLinear */
    bool ended;                /* behind a Softmax: only the output may follow */
    float scale;               /* of the QuantizeLinear */
    int zero;
};
/* Layouts: "NCHW", "NHWC", "NC"; of inputs with one channel "NHW", "NW" too: a letter a dimension. */
struct view view_of(const struct graph *g, int node, int batch, const char *layout);
bool view_is(const struct view *v, const char *layout);
const char *view_layout(const struct view *v);                     /* NULL: none of the three */
void view_lay_out(struct view *v, const char *layout);             /* anew, after sizes have changed */
int64_t view_dim(const struct view *v, int d);
bool view_same(const struct view *a, const struct view *b);        /* the same order of the same sizes */
bool view_transpose(struct view *v, const int64_t *perm);
bool view_reshape(struct view *v, const int64_t *dim, int rank);   /* no -1, no 0 left */
/* The axis that dimension d is; -1: several, or unknown (size 1 in no common layout). */
int view_axis(const struct view *v, int d);

/* ---- the reader ---------------------------------------------------------------------- */
enum value_kind { VALUE_NONE, VALUE_CONSTANT, VALUE_VIEW, VALUE_REFUSED };
struct value {
    const char *name;          /* NULL: a free place of the table */
    int uses;                  /* by nodes that the output needs, and by the output */
    int consumer;              /* index of one of these nodes */
    enum value_kind kind;
    struct constant *c;
    struct view v;
};

struct reader {
    const char *path;
    Onnx__ModelProto *model;
    const Onnx__GraphProto *og;
    struct base_arena *arena;  /* constants, names */
    struct graph *g;
    struct value *table;       /* open addressing */
    size_t mask;
    int opset, batch;
    bool quantized;            /* a QuantizeLinear has been read */
    int64_t in_file;           /* elements of constants in the file */
    int64_t folded, params;    /* elements computed, copied into parameters: bounded by those */
    int64_t work;              /* multiplications of parameters already there: bounded too */
    int index;                 /* of the node at hand */
    struct onnx_note *note;    /* of the node at hand */
    struct onnx_report *report;
};
typedef Onnx__NodeProto node_t;

/* proto.c */
int proto_read(Onnx__ModelProto **out, const char *path);
void proto_free(Onnx__ModelProto *m);

/* constant.c: a constant of a tensor in the file, its data checked against its shape. */
int constant_read(struct reader *r, const Onnx__TensorProto *t, struct constant **out);
/* Elements of a shape; false: a dimension is negative, or those that are not 0 multiply to more than `limit`. */
bool count_elements(const int64_t *dim, int rank, int64_t limit, int64_t *count);
/* New, zeroed; NULL without an error: too large. BASE_NOMEM through *rc. */
struct constant *constant_new(struct reader *r, bool is_float, const int64_t *dim, int rank, int *rc);
struct constant *constant_ints(struct reader *r, const int64_t *v, int n, int *rc);
/* May so many more parameters be made? A few bytes of file must not ask for much memory. */
bool room_for(struct reader *r, int64_t count);
/* folder.c: an operator on constants only. 1: not one that is folded. */
int fold_node(struct reader *r, const node_t *n);
bool fold_knows(const char *type);

/* values.c */
int value_table(struct reader *r);
struct value *value_enter(struct reader *r, const char *name);     /* makes it if there is none */
struct value *value_find(struct reader *r, const char *name);      /* NULL: no such name */
const struct constant *in_constant(struct reader *r, const node_t *n, size_t i); /* NULL: absent or no constant */
bool in_absent(const node_t *n, size_t i);
const struct view *in_view(struct reader *r, const node_t *n, size_t i);
int define_constant(struct reader *r, const node_t *n, struct constant *c);
int define_view(struct reader *r, const node_t *n, struct view v, bool same_node);
int define_node(struct reader *r, const node_t *n, int node);      /* as N x C x H x W */
int define_like(struct reader *r, const node_t *n, int node, const struct view *v); /* laid out like v, a settled view of equal sizes */
enum { NAME_LENGTH = 120 };
/* Names end up in messages, YAML keys and reports: printable, without blanks, not too long. */
void plain_name(char to[NAME_LENGTH + 1], const char *name);
const char *file_name_of(const node_t *n);                         /* the node's, or its output's */
/* A unique name for a graph node made of n; `suffix` "" for its main node. NULL: no memory. */
const char *name_of(struct reader *r, const node_t *n, const char *suffix);
/* Note the refusal of the node at hand, or how it was taken; both return BASE_OK (or BASE_NOMEM). */
int refuse(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int lowered(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int folded(struct reader *r);
/* A builder's error as a refusal; BASE_NOMEM stays one. */
int not_built(struct reader *r, int rc);

/* The graph node behind operand i as a map without pending changes, N x C x H x W; -1 with the refusal noted,
 * other negative codes are errors. */
int in_map(struct reader *r, const node_t *n, size_t i);
/* The same in any order. */
int in_node(struct reader *r, const node_t *n, size_t i, struct view *v);
/* Make the pending changes of a view; codes as above. */
int settle(struct reader *r, const node_t *n, struct view *v);

/* attributes */
const Onnx__AttributeProto *attribute(const node_t *n, const char *name);
int64_t attribute_int(const node_t *n, const char *name, int64_t otherwise);
float attribute_float(const node_t *n, const char *name, float otherwise);
/* Integers from an attribute or a constant operand (i < 0: none); their number, -1: absent, -2: not constant
 * or more than max. */
int read_ints(struct reader *r, const node_t *n, const char *name, int i, int64_t *out, int max);
/* Axis a of a tensor of this rank, counted from the end if negative; -1: outside. */
int normal_axis(int64_t a, int rank);

/* operators: one function each (import.def) */
#define IMPORT(type, take, how) int take(struct reader *r, const node_t *n);
#include "onnx/import.def"
#undef IMPORT

/* ops_map.c */
bool nonnegative(const struct graph *g, int node);                 /* never below zero */
int add_relu(struct reader *r, const node_t *n, const struct view *v, enum graph_op op, const char *suffix); /* node or error */
/* ops_linear.c: y = factor[c] * x + offset[c] on the node of v (factor or offset may be NULL), folded into the
 * node where possible; *out is the node that holds y. */
int apply_affine(struct reader *r, const node_t *n, const struct view *v, const float *factor, const float *offset, int *out);
/* prep.c */
int prep_from_metadata(struct graph_prep *out, const Onnx__ModelProto *m, const char *path, int channels, bool *found);
int prep_from_sidecar(struct graph_prep *out, const char *path, int channels, const char **found, struct base_arena *a);

#endif
