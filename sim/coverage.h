/* coverage.h: what the networks of net_tb have in them, in bins: functional coverage of the engine. A network counts
 * once it has run and was right. */
#ifndef BITPRESS_COVERAGE_H
#define BITPRESS_COVERAGE_H

#include <stdio.h>

#include "accel/program.h"
#include "accel/tables.h"
#include "fixed/fixed.h"
#include "hw/hw.h"

enum { COVERAGE_KERNELS = 6, COVERAGE_LISTS = 3, COVERAGE_KINDS = 18, COVERAGE_MAX_N = 32 };

static const char *const coverage_kernel[COVERAGE_KERNELS] = { "1x1", "3x3", "one row or column", "2x2 and other even", "3x5, 5x5", "6x6 to 11x11" };
static const char *const coverage_list[COVERAGE_LISTS] = { "every plane", "a plane absent in a filter group", "a filter group without weights" };
static const char *const coverage_kind[COVERAGE_KINDS] = {
    "depthwise", "dense", "residual", "three terms", "concatenation", "ratios of each channel", "signed map", "padded image", "max pool",
    "odd channels", "window beyond the map", "constants streamed", "random waits", "accumulator beyond 2^24", "paired map",
    "filter group in parts", "two activation planes in a window", "a layer that reads while the one before drains",
};

struct coverage {
    int bits[8][8];                                  /* weight planes (more count as 8) x activation bits, of weighted terms */
    int kernel[COVERAGE_KERNELS][2];                 /* x stride 1, 2 */
    int edge[COVERAGE_MAX_N][2];                     /* output columns mod N x one block, several */
    int list[COVERAGE_LISTS];
    int kind[COVERAGE_KINDS];
};

static inline int coverage_kernel_of(int kh, int kw)
{
    if (kh == 1 && kw == 1)
        return 0;
    if (kh == 3 && kw == 3)
        return 1;
    if (kh >= 6 && kw >= 6)
        return 5;
    if (kh == 1 || kw == 1)
        return 2;
    return kh % 2 == 0 || kw % 2 == 0 ? 3 : 4;
}

/* Planes that the weights of one filter group have. */
static inline unsigned coverage_planes(const struct fixed_term *t, int begin, int end)
{
    unsigned all = 0;
    int64_t row = (int64_t)t->kh * t->kw * t->cin;
    for (int64_t i = begin * row; i < end * row; i++)
        all |= t->code[i];
    return all;
}

static inline void coverage_term(struct coverage *v, const struct hw *hw, const struct fixed_net *net, const struct fixed_layer *l, const struct fixed_term *t)
{
    const struct fixed_edge *in = &net->edge[t->edge];
    v->bits[BASE_MIN(t->n_plane, 8) - 1][in->bits - 1]++;
    v->kernel[coverage_kernel_of(t->kh, t->kw)][t->stride - 1]++;
    for (int begin = 0; begin < t->cout; begin += hw->m) {
        unsigned planes = coverage_planes(t, begin, BASE_MIN(begin + hw->m, t->cout));
        v->list[!planes ? 2 : planes + 1 < 1u << t->n_plane ? 1 : 0]++;
    }
    v->kind[0] += t->depthwise && t->kh * t->kw > 1;
    v->kind[1] += l->h * l->w == 1 && t->kh == in->h && t->kw == in->w && !t->depthwise;
    v->kind[4] += t->chan > 0;
    v->kind[5] += !t->coef_shared;
    v->kind[6] += in->is_signed;
    v->kind[7] += in->pad && (t->pad_t || t->pad_l);
    v->kind[9] += in->c % 16 || t->cout % 16;
    v->kind[10] += (l->h - 1) * t->stride + t->kh > in->h + t->pad_t;
}

/* What records say: a MAC layer's and those of its lists, as they are when it runs. */
static inline void coverage_layer(struct coverage *v, const struct accel_tables *t, const uint64_t *layer)
{
    if ((layer[0] & 0xff) != PROGRAM_MAC)
        return;
    if (!(layer[0] >> 8 & (PROGRAM_LY_LOGITS | PROGRAM_LY_PART)))
        v->kind[14] += t->map[PROGRAM_MAP_WORDS * (layer[0] >> 16 & 0xffff)] >> 63;
    v->kind[15] += (layer[0] >> 8 & PROGRAM_LY_PART) != 0;
    v->kind[17] += (layer[0] >> 8 & PROGRAM_LY_EARLY) != 0;
    int lists = (int)(layer[1] & 0xffff);
    for (int k = (int)(layer[1] >> 16 & 0xffff); lists > 0; k++) {
        uint64_t word = t->kword[PROGRAM_KWORD_WORDS * k];
        v->kind[16] += (word >> 8 & PROGRAM_KW_NEXT) != 0;
        lists -= (word >> 8 & PROGRAM_KW_LAST) != 0;
    }
}

static inline void coverage_records(struct coverage *v, const struct hw *hw, const uint64_t *image)
{
    struct accel_tables t;
    struct accel_block b;
    if (accel_tables_open(&t, hw, image))
        return;
    for (int i = 0; i < t.n_layer; i++) {
        const uint64_t *layer = NULL;
        while (t.layers_in <= i && accel_tables_block(&b, &t))
            accel_tables_put(&t, &b);
        layer = accel_tables_layer(&t, i);
        while (t.blocks < (int)(layer[3] >> 32 & 0xffffff) && accel_tables_block(&b, &t))
            accel_tables_put(&t, &b);
        coverage_layer(v, &t, layer);
    }
    accel_tables_close(&t);
}

static inline void coverage_add(struct coverage *v, const struct hw *hw, const struct fixed_net *net, const uint64_t *image, bool waits)
{
    for (int i = 0; i < net->n_layer; i++) {
        const struct fixed_layer *l = &net->layer[i];
        v->edge[l->w % hw->n][l->w > hw->n]++;
        if (l->kind == FIXED_MAXPOOL) {
            v->kind[8]++;
            continue;
        }
        for (int t = 0; t < l->n_term; t++)
            coverage_term(v, hw, net, l, &l->term[t]);
        v->kind[2] += l->n_term > 1;
        v->kind[3] += l->n_term > 2;
        int64_t lo, hi;
        fixed_acc_range(net, i, 0, &lo, &hi);
        v->kind[13] += hi > 1 << 24 || lo < -(1 << 24);
    }
    v->kind[11] += image[5] >> 32 > 0;
    v->kind[12] += waits;
    coverage_records(v, hw, image);
}

struct coverage_count { int seen, all; bool names; };

static inline void coverage_bin(struct coverage_count *n, int hits, const char *what, const char *of)
{
    n->all++;
    n->seen += hits > 0;
    if (!hits && n->names)
        printf("coverage: no %s%s\n", what, of);
}

/* Prints how many bins are not empty, with `names` which are; true if none is. */
static inline bool coverage_print(const struct coverage *v, const struct hw *hw, bool names)
{
    struct coverage_count n = { .names = names };
    char name[64];
    for (int w = 0; w < 8; w++)
        for (int a = 0; a < 8; a++) {
            snprintf(name, sizeof name, "%d weight planes x %d activation bits", w + 1, a + 1);
            coverage_bin(&n, v->bits[w][a], name, "");
        }
    for (int k = 0; k < COVERAGE_KERNELS; k++)
        for (int s = 0; s < 2; s++)
            coverage_bin(&n, v->kernel[k][s], coverage_kernel[k], s ? ", stride 2" : ", stride 1");
    for (int c = 0; c < hw->n; c++)
        for (int many = 0; many < 2; many++) {
            snprintf(name, sizeof name, "%d columns in the last block of %s", c ? c : hw->n, many ? "several" : "one");
            coverage_bin(&n, v->edge[c][many], name, "");
        }
    for (int i = 0; i < COVERAGE_LISTS; i++)
        coverage_bin(&n, v->list[i], "plane list: ", coverage_list[i]);
    for (int i = 0; i < COVERAGE_KINDS; i++)
        coverage_bin(&n, v->kind[i], coverage_kind[i], "");
    printf("coverage: %d of %d bins\n", n.seen, n.all);
    return n.seen == n.all;
}

#endif
