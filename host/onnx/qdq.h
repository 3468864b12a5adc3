/* qdq: what the files of the QDQ and QONNX exports share. Not for other rooms. */
#ifndef ONNX_QDQ_H
#define ONNX_QDQ_H

#include "onnx/writer.h"

struct qdq {
    struct writer w;
    const struct fixed_net *net;
    bool qonnx;                      /* QONNX's Quant in place of QuantizeLinear and DequantizeLinear */
    double *scale;                   /* [n_edge]: powers of two */
    bool *bits_made;                 /* [n_edge]: the edge's bits are there */
    const struct fixed_layer *l;     /* at hand */
    double *unit;                    /* [l->c]: value of one step of the accumulator, a power of two */
    int64_t *pad;                    /* [l->c]: steps that padding values of the input add everywhere */
};

/* "edge3.codes", "layer2.0.weight" (term < 0: no term) */
char *qdq_name(struct qdq *q, const char *what, int number, int term, const char *suffix);
char *qdq_unary(struct qdq *q, const char *type, char *name, const char *a);
char *qdq_binary(struct qdq *q, const char *type, char *name, const char *a, const char *b);
void qdq_window(struct writer *w, Onnx__NodeProto *n, const struct fixed_term *t, int pad_b, int pad_r);
/* Padding behind, so that a side of `in` gives `out` windows; negative: the rest is never read. */
int qdq_pad_behind(int in, int out, int kernel, int stride, int pad);
/* The part of an edge (its values, or its bits) that a term reads. */
char *qdq_input(struct qdq *q, const struct fixed_term *t, int layer, int term, int pad_b, int pad_r, bool bits);
/* A term of q->l as a Conv of its own channels: its sum in q->unit, exactly; returns its name. */
char *qdq_term(struct qdq *q, int layer, int term);

/* QONNX's nodes. An edge's values on its codes' grid; the input (pixels less their padding values); an edge's
 * codes as floats; uniform weights, v = integer of each weight [cout][cin][kh][kw], scale [cout]. */
void qonnx_edge(struct qdq *q, int edge, const char *value);
void qonnx_input(struct qdq *q);
char *qonnx_codes(struct qdq *q, int edge);
char *qonnx_weights(struct qdq *q, const struct fixed_term *t, char *name, const int8_t *v, const float *scale);

#endif
