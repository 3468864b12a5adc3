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
struct place { int base, row_stride, px_stride, planes, groups, words; bool raw, paired; };

/* How one term's weights and coefficients look to the array. */
struct view {
    const struct fixed_term *term;
    int pack;                  /* bit-planes of the map in one word (P) */
    int planes;                /* weight planes listed */
    int bits;                  /* of the edge */
    bool top_negative;         /* of packed weights */
    int32_t *unit;             /* packed: value of weight 1 at bit 0, [cout or 1]; else NULL */
};

/* What a K-word names, as numbers of any size: edge, words of the pools. */
struct kword { int edge, waddr, coef; };

/* One layer record: a layer, or a run of its filter groups where the tables are too small for all, or a run of K-words of one. */
struct part {
    int layer;                 /* of the network */
    int filter, filters;
    int kword, n_kword;        /* in build.kword */
    int at[PROGRAM_KINDS], n[PROGRAM_KINDS];   /* records in the tables: KWORD, COEF, SCALE, WEIGHT */
    bool streamed[PROGRAM_KINDS];
    bool placed;               /* its streamed records have places */
    bool open;                 /* the next part goes on with its filter group: with the sums of one tile */
};

/* One layer record behind those of the image: a part at a tile of its output, or that tile's way to the scratch. */
struct step {
    int part;
    bool copy;
    int y, rows, xb, blocks;   /* the tile */
    int need;                  /* blocks of the stream */
};

/* What a step reads of a map. */
struct area { int y, rows, xb, blocks, group, groups; };

/* How a layer that reads or writes a map of the scratch runs. */
struct plan {
    bool tiled;
    int rows, blocks, filters; /* of a tile */
    bool by_part;              /* all tiles of a part before the next part; else all parts of a tile */
    bool pieces;               /* not even one filter group's window fits: parts of its list, each with what its own K-words read */
    int buffers;               /* of each map that comes from the scratch */
    int edge[FIXED_MAX_TERM], words[FIXED_MAX_TERM], base[FIXED_MAX_TERM], n_edge;   /* these maps, and their (first) buffer */
    int out;                   /* base of the output's tile */
};

/* Of a network whose maps do not fit: those that live in the scratch. */
struct tiles {
    bool *spilled;             /* [n_edge] */
    int64_t *scratch;          /* [n_edge], first word */
    int64_t words;             /* of the scratch */
    struct plan *plan;         /* [n_layer] */
    int image_rows;            /* of a strip of the image */
    int *list;                 /* [n_scale + 1], first K-word of each filter group */
};

struct build {
    const struct fixed_net *net;
    const struct hw *hw;
    struct base_arena *arena;  /* of the build, gone after it */
    int *pack;                 /* [n_edge], bit-planes in one word: 1, 2, 4 or 8 of the image, 1 or 2 of other maps */
    struct place *place;       /* [n_edge] */
    int act_words;
    bool image_stays;          /* nothing else takes the image's place */
    bool roomy;                /* the stream has more room, what stays on the chip less */
    struct pool weight, coef;
    uint64_t *kword;           /* 2 words each */
    struct kword *names;       /* of each K-word */
    int n_kword, cap_kword;
    struct part *part;         /* in the program's order */
    int n_part;
    struct step *step;         /* step i is record n_head + i */
    int n_step, n_head;
    struct tiles *tiles;       /* NULL: all maps fit */
    bool *by_tile;             /* [n_layer], a filter group is larger than the tables: one block of one row after another */
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

/* memory.c: place every edge, or set b->tiles: there is no room. Then only those that stay on the chip: false: no room. */
int accel_place(struct build *b);
bool accel_place_some(struct build *b, const bool *spilled);
/* [n_edge]: the layers, -1 the image, that write and last read each edge. */
void accel_lives(const struct fixed_net *net, int *born, int *last);
/* tile.c: after accel_place found no room: which maps go to the scratch, and the tiles of the layers that touch them. */
int accel_tile(struct build *b);
/* What the step reads of the edge; the edge's words where an area is stored alone. */
struct area accel_area(const struct build *b, const struct step *s, int edge);
struct place accel_area_place(const struct build *b, int edge, const struct area *a);
bool accel_part_reads(const struct build *b, const struct part *p, int edge);
/* Of a plan in pieces: the part's K-words read more of a map than its buffer holds. */
bool accel_too_wide(const struct build *b, const struct part *p);
/* The scratch's word of a row, block and group of the edge; words of a row. */
int64_t accel_scratch_at(const struct build *b, int edge, int y, int xb, int group);
int accel_scratch_pitch(const struct build *b, int edge);
/* flat.c: the network with its image laid out for the dense layers that read it, in `arena`; `net` itself elsewhere. */
int accel_flatten(const struct fixed_net **out, const struct fixed_net *net, struct base_arena *arena);
/* packing.c: the largest packing of the raw image that all its readers allow, the maps that are paired, and a term's view. */
int accel_choose_pack(struct build *b);
int accel_view(struct view *v, const struct build *b, const struct fixed_term *t, int pack);
int32_t view_coef(const struct view *v, int o, int plane, int ab);
uint32_t view_code(const struct view *v, int o, int64_t at, int bit);
/* kwords.c: lists of a MAC layer. */
int accel_kwords(struct build *b, int layer);
/* stream.c: which layers of several tiles have a filter group that no table holds: b->by_tile. */
int accel_find_large(struct build *b, bool *any);
/* The layers as parts, every table's records on the chip or in the stream. */
int accel_parts(struct build *b);
/* A block's header; the room for its records, zero. NULL: no memory. Valid until the next call. */
uint64_t *accel_put_block(struct build *b, int kind, int first, int n, int after, size_t record_words);
/* fill.c: blocks from the scratch. Open before the first step's blocks, put before a step's, use after them, close at the end. */
struct fills;
int accel_fills_open(struct fills **out, struct build *b);
int accel_fills_put(struct fills *f, const struct step *s);
void accel_fills_use(struct fills *f, const struct step *s, int record);
void accel_fills_close(struct fills *f);
/* Where the edge's area is now; where the step's output goes. */
struct place accel_fills_place(const struct fills *f, int edge, struct area *a);
struct place accel_out_place(const struct build *b, const struct step *s, struct area *a);
/* early.c: the step, a MAC layer's, may read while the one before it drains. */
bool accel_early(const struct build *b, const struct step *s);
/* image.c: tables to words. */
int accel_image(struct build *b, struct accel_program *p);
/* A map that begins at (y, block) of the edge, or the whole edge. */
void accel_put_map(const struct build *b, uint64_t w[PROGRAM_MAP_WORDS], int edge);
void accel_put_area(const struct build *b, uint64_t w[PROGRAM_MAP_WORDS], int edge, const struct place *p, const struct area *a);
void accel_put_layer(const struct build *b, uint64_t w[PROGRAM_LAYER_WORDS], const struct step *s);
/* Words of the network's scale vector number `scale`. */
void accel_put_scale(const struct build *b, uint64_t *w, int scale);

/* K-word k: its flags; weight planes; windows of a tile, each with as many reads at least, and with a coefficient vector for each plane. */
static inline uint32_t kword_flags(const struct build *b, int k) { return get_bits(b->kword[PROGRAM_KWORD_WORDS * k], 15, 8); }
static inline int kword_planes(const struct build *b, int k) { return (int)get_bits(b->kword[PROGRAM_KWORD_WORDS * k], 23, 16); }
static inline int kword_windows(const struct build *b, int k) { return program_windows(kword_flags(b, k), b->place[b->names[k].edge].planes); }
/* Behind the list that begins at K-word k. */
static inline int list_end(const struct build *b, int k)
{
    while (!(kword_flags(b, k++) & PROGRAM_KW_LAST)) {}
    return k;
}

/* Identity, pooling and shortcuts are ones, one a channel: not work that a network is judged by. */
static inline bool is_weighted(const struct fixed_term *t)
{
    return !(t->depthwise && t->n_plane == 1);
}

static inline int terms_of(const struct fixed_layer *l) { return l->kind == FIXED_MAXPOOL ? 1 : l->n_term; }
static inline bool is_spilled(const struct build *b, int edge) { return b->tiles && edge >= 0 && b->tiles->spilled[edge]; }
static inline int columns_of(const struct build *b, int w, int xb, int blocks) { return BASE_MIN(w - xb * b->hw->n, blocks * b->hw->n); }

/* 1x1 without padding or offsets: every pixel that it reads lies in the map. */
bool accel_one_pixel(const struct build *b, const struct fixed_layer *l, const struct fixed_term *t);

/* Stride the array sees: a single output pixel needs none. */
static inline int array_stride(const struct fixed_layer *l, const struct fixed_term *t)
{
    return l->h == 1 && l->w == 1 ? 1 : t->stride;
}

#endif
