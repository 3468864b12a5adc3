/* What the files of fixed share among themselves: the fast path of qref; nobody else includes it.
 *
 * qref_plan.c turns each term into the tables of the kernel that runs it, qref_kernels.c has the
 * kernels, qref_run.c takes images through them. Three kernels cover every term:
 *   products  dense rows whose planes form an integer weight x unit: int16 x int16 into int32
 *   channels  depthwise rows: int32 tables, by activation plane where the planes form no weight
 *   counts    what is left: AND and popcount of packed planes, as the definition has it
 * A sum of any selection of (weight, activation bit) pairs lies in fixed_acc_range, so no order
 * of adding, and no kernel's share, leaves the int32 that fixed_check has proved. */
#ifndef FIXED_INTERNAL_H
#define FIXED_INTERNAL_H

#include "fixed/fixed.h"

enum {
    QREF_BLOCK = 16,         /* outputs a product kernel makes together */
    QREF_SLACK = 64          /* int16 behind every map that kernels may read */
};

/* Where a term reads: row y of window (oy, ox) starts at map + (oy*stride + y)*row + ox*stride*c. */
struct qref_view { const int16_t *map; int64_t row; int c; };

struct qref_term {
    const struct fixed_term *t;
    const struct fixed_edge *e;
    int out_h, out_w, out_c;                /* of the layer */
    bool padded;                            /* the windows leave the map: a copy with its border is made */
    int pad_h, pad_w;                       /* size of that copy */
    /* products */
    int blocks, pairs;                      /* of outputs; of inputs in one row of the window */
    int16_t *weight;                        /* [blocks][kh][pairs][16][2] */
    int32_t *unit;                          /* [blocks][16] */
    /* channels */
    int channel_planes;                     /* 0: table holds weights; else coefficients by plane */
    int32_t *table;                         /* [kh*kw][1 or planes][cout] */
    /* counts */
    int n_count, words;                     /* rows left; 64-bit words of one row of the window */
    int *count_row;                         /* [n_count] output of the term */
    uint64_t *plane;                        /* [n_count][n_plane][kh][words] */
};

struct qref_layer_plan { const struct fixed_layer *l; struct qref_term term[FIXED_MAX_TERM]; };

/* Fills the plan of one layer. Every table comes from the arena. */
int qref_plan_layer(struct qref_layer_plan *p, const struct fixed_net *net, int layer, struct base_arena *a);

/* acc int32 [out_h][out_w][out_c], added to. */
void qref_products(int32_t *acc, const struct qref_term *p, const struct qref_view *v);
void qref_channels(int32_t *acc, const struct qref_term *p, const struct qref_view *v);
/* bits: room for [8][kh][words]. */
void qref_counts(int32_t *acc, const struct qref_term *p, const struct qref_view *v, uint64_t *bits);
/* out int16 [n][c] of acc int32 [n][c]; the same for int32. */
void qref_requantize_map(int16_t *out, const int32_t *acc, const struct fixed_layer *l);
/* out int16 [out_h][out_w][c]. */
void qref_maxpool(int16_t *out, const struct fixed_layer *l, const struct fixed_edge *e, const int16_t *map);

#endif
