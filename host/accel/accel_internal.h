/* What the compiler's files share: the tables being built, and bit fields. */
#ifndef ACCEL_INTERNAL_H
#define ACCEL_INTERNAL_H

#include <string.h>

#include "accel/accel.h"

enum { GROUP = 16, TAPS = 9, ROW_BITS = GROUP * TAPS, RAW_BITS = 8, MAX_LOGITS = 1024, MAX_REACH = 126, MAX_COEF = 1 << 17 };

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
/* Forgets the words from number n on. */
void pool_trim(struct pool *p, int n);

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

/* What a K-word names, as numbers of any size: edge, words of the pools. */
struct kword { int edge, waddr, coef; };

/* One layer record: a layer, or a run of its filter groups where the tables are too small for all. */
struct part {
    int layer;                 /* of the network */
    int filter, filters;
    int kword, n_kword;        /* in build.kword */
    int at[PROGRAM_KINDS], n[PROGRAM_KINDS];   /* records in the tables: KWORD, COEF, SCALE, WEIGHT */
    bool streamed[PROGRAM_KINDS];
    int need;                  /* blocks of the stream */
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
    struct kword *names;       /* of each K-word */
    int n_kword, cap_kword;
    struct part *part;         /* in the program's order: record 0 is the image, part i is record i + 1 */
    int n_part;
    int *slot;                 /* [n_edge], of the edge's map record */
    bool streamed[PROGRAM_KINDS];
    struct stream { uint64_t *word; size_t n, cap; int blocks; } stream;
    /* What the load fills */
    int n_map, n_layer, n_table_kword;
    uint64_t *table_kword;
    int *table_scale;          /* [n_table_scale], number of the network's scale vector */
    int n_table_scale;
    int n_scale, *scale_layer; /* [n_scale], the layer of each */
    int *first_kword, *first_scale;   /* [n_layer], of the network */
    struct plane_count { int64_t dense, listed; } *counts, *count;   /* [n_layer], of weighted terms; of the layer at hand */
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
/* stream.c: the layers as parts, every table's records on the chip or in the stream. */
int accel_parts(struct build *b);
/* image.c: tables to words. */
int accel_image(struct build *b, struct accel_program *p);
void accel_put_map(const struct build *b, uint64_t w[PROGRAM_MAP_WORDS], int edge);
void accel_put_layer(const struct build *b, uint64_t w[PROGRAM_LAYER_WORDS], const struct part *p);
/* Words of the network's scale vector number `scale`. */
void accel_put_scale(const struct build *b, uint64_t *w, int scale);

/* Identity, pooling and shortcuts are ones, one a channel: not work that a network is judged by. */
static inline bool is_weighted(const struct fixed_term *t)
{
    return !(t->depthwise && t->n_plane == 1);
}

/* Stride the array sees: a single output pixel needs none. */
static inline int array_stride(const struct fixed_layer *l, const struct fixed_term *t)
{
    return l->h == 1 && l->w == 1 ? 1 : t->stride;
}

#endif
