/* writer: protobuf structures of an ONNX model, built in one arena. Not for other rooms.
 *
 * Every function may be called after one has failed: `failed` is looked at once, at the end. Names are
 * copied; a node has its first output's name. */
#ifndef ONNX_WRITER_H
#define ONNX_WRITER_H

#include <onnx/onnx.pb-c.h>

#include "onnx/onnx.h"

enum { WRITE_FLOAT = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, WRITE_UINT8 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
       WRITE_INT8 = ONNX__TENSOR_PROTO__DATA_TYPE__INT8, WRITE_INT64 = ONNX__TENSOR_PROTO__DATA_TYPE__INT64, WRITE_DOUBLE = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE };

/* Metadata key of what onnx_write_qdq writes: the reader gives a hint by it. */
#define QDQ_MARK "bitpress_qdq"
#define QONNX_DOMAIN "qonnx.custom_op.general"

struct writer {
    struct base_arena *a;
    Onnx__ModelProto model;
    Onnx__GraphProto *graph;
    size_t cap_node, cap_tensor, cap_meta;
    bool failed;
};

int writer_begin(struct writer *w, const char *name);
/* Pack and write atomically; the writer is at its end, whatever is returned. */
int writer_end(struct writer *w, const char *path);
void writer_free(struct writer *w);

char *write_name(struct writer *w, const char *prefix, const char *suffix);
/* Data of the tensor, zeroed, to be filled; NULL when failed. dims NULL: one number. */
void *write_tensor(struct writer *w, const char *name, int type, const int64_t *dims, int n_dims);
/* The same with the data at hand; returns the name. */
char *write_floats(struct writer *w, const char *node, const char *suffix, const float *v, int n);
char *write_ints(struct writer *w, const char *node, const char *suffix, const int64_t *v, int n);
/* A single number of any type. */
char *write_scalar(struct writer *w, const char *node, const char *suffix, int type, double v);

Onnx__NodeProto *write_node(struct writer *w, const char *type, const char *name);
void write_input(struct writer *w, Onnx__NodeProto *n, const char *value);      /* at most 9 */
void write_int(struct writer *w, Onnx__NodeProto *n, const char *name, int64_t v);
void write_int_list(struct writer *w, Onnx__NodeProto *n, const char *name, const int64_t *v, int count);
/* Text, and the domain of an operator that is not ONNX's own (write_opset names it once). */
void write_text(struct writer *w, Onnx__NodeProto *n, const char *name, const char *v);
void write_domain(struct writer *w, Onnx__NodeProto *n, const char *domain);
void write_opset(struct writer *w, const char *domain, int64_t version); /* at most 2, ONNX's own included */
void write_float(struct writer *w, Onnx__NodeProto *n, const char *name, float v);

/* The model's input and output: N x dims. */
void write_model_input(struct writer *w, const char *name, const int *dims, int n);
void write_model_output(struct writer *w, const char *name, const int *dims, int n);
void write_metadata(struct writer *w, const char *key, const char *value);
void write_metadata_floats(struct writer *w, const char *key, const float *v, int n);

#endif
