/* What the compiler's files share: the tables being built, and bit fields. */
#ifndef ACCEL_INTERNAL_H
#define ACCEL_INTERNAL_H

#include <string.h>

#include "accel/accel.h"

enum { GROUP = 16, TAPS = 9, ROW_BITS = GROUP * TAPS, RAW_BITS = 8, MAX_LOGITS = 1024, MAX_REACH = 126 };

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
/* Bits hi..lo of a word. */
static inline uint32_t get_bits(uint64_t w, int hi, int lo) { return (uint32_t)(w >> lo & ((2ull << (hi - lo)) - 1)); }
static inline uint64_t put_bits(int64_t v, int hi, int lo) { return ((uint64_t)v & ((2ull << (hi - lo)) - 1)) << lo; }

/* Equal runs of equal-sized words are stored once: a growing table that finds a run it has. */
struct pool {
    size_t word_bytes;
    uint8_t *data;
    uint64_t *hash;            /* of each word */
    int *next;                 /* chain of words with the same bucket */
    int n, cap;
    int head[1024];            /* word + 1 */
};
void pool_init(struct pool *p, size_t word_bytes);
void pool_free(struct pool *p);
/* Index of `count` words equal to `run`, appended if they were not there; < 0: out of memory. */
int pool_add(struct pool *p, const void *run, int count);

/* Where an edge lies in the activation banks; the map record. */
struct place { int base, row_stride, px_stride, planes, groups, words; bool raw; };

/* How one term's weights and coefficients look to the array. */
struct view {
    const struct fixed_term *term;
    int pack;                  /* bit-planes of the image in one word (P), 1 for other maps */
    int planes;                /* weight planes listed */
    int bits;                  /* of the edge */
    bool top_negative;         /* of packed weights */
    int32_t *unit;             /* packed: value of weight 1 at image bit 0, [cout or 1]; else NULL */
};

struct build {
    const struct fixed_net *net;
    const struct hw *hw;
    struct base_arena *arena;  /* of the build, gone after it */
    int pack;                  /* of the raw image */
    struct place *place;       /* [n_edge] */
    int act_words;
    struct pool weight, coef;
    uint64_t *kword;           /* 2 words each */
    int n_kword, cap_kword;
    int n_scale;
    int *first_kword, *first_scale;   /* [n_layer] */
    /* First layer at which a table passed its depth, -1: none */
    int weight_layer, coef_layer, kword_layer, scale_layer;
    /* One K-word under construction: [plane][m * k / 64] */
    uint64_t *words;
    int32_t *coefs;            /* [ab][plane][m] */
};

/* memory.c: place every edge. */
int accel_place(struct build *b);
/* flat.c: the network with its image laid out for the dense layers that read it, in `arena`; `net` itself elsewhere. */
int accel_flatten(const struct fixed_net **out, const struct fixed_net *net, struct base_arena *arena);
/* packing.c: the largest packing of the raw image that all its readers allow, and a term's view. */
int accel_choose_pack(struct build *b);
int accel_view(struct view *v, const struct fixed_net *net, const struct fixed_term *t, int pack, struct base_arena *arena);
int32_t view_coef(const struct view *v, int o, int plane, int ab);
uint32_t view_code(const struct view *v, int o, int64_t at, int bit);
/* kwords.c: lists of a MAC layer. */
int accel_kwords(struct build *b, int layer);
/* image.c: tables to words. */
int accel_image(struct build *b, struct accel_program *p);

/* Stride the array sees: a single output pixel needs none. */
static inline int array_stride(const struct fixed_layer *l, const struct fixed_term *t)
{
    return l->h == 1 && l->w == 1 ? 1 : t->stride;
}

#endif
