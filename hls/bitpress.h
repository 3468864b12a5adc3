/* bitpress: the accelerator as C for Vitis HLS; the same program image, weight image and results as rtl/.
 * gcc and clang run the same files as software (backend `hls`). As hardware: untested: needs Vitis HLS.
 * The order is that of the engine: load.c fills the tables, input.c turns the image into planes, fetch.c
 * makes windows, array.c counts and accumulates, requant.c makes codes, maxpool.c pools, store.c writes
 * planes and logits; run.c walks the layers, stream.c brings what the load left out; top.c has the interfaces. docs/hls.md. */
#ifndef HLS_BITPRESS_H
#define HLS_BITPRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/program.h"
#include "bitpress_hw.h"

/* As software, pragmas of HLS and the labels of its loops mean nothing. */
#ifndef __SYNTHESIS__
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wunused-label"
#endif

enum {
    HLS_M = BITPRESS_M, HLS_N = BITPRESS_N,
    HLS_CG = 16,                               /* channels of a word: one uint16_t a pixel and plane */
    HLS_TAPS = 9,                              /* of a window, 3 rows x 3 columns */
    HLS_SLOTS = HLS_N + 2,                     /* pixels of an activation word: a block and its halos */
    HLS_BANKS = 4,
    HLS_PLANES = 8,                            /* most bit-planes of a map */
    HLS_PARTS = 6,                             /* most reads of a window: group mode, stride 2 */
    HLS_LOGITS = 1024,
    HLS_RESULT_WORDS = PROGRAM_PAGE / 4,                   /* 32-bit, before the scratch */
    HLS_SCRATCH_WORDS = HLS_N / 2,                         /* 32-bit, of a word of the scratch */
    HLS_WEIGHT_WORDS = BITPRESS_M * BITPRESS_K / 64,
    HLS_IDENTITY = 11,
};

_Static_assert(BITPRESS_CG == HLS_CG, "a channel group is a 16-bit word");
_Static_assert(BITPRESS_K == HLS_TAPS * HLS_CG, "K is a 3 x 3 window of one channel group");
_Static_assert(BITPRESS_M == BITPRESS_CG, "a filter group of the output is a channel group of the next layer");
_Static_assert(BITPRESS_N == 8, "addresses count blocks of 8 pixels");
_Static_assert(BITPRESS_M * BITPRESS_K % 64 == 0, "a weight word is whole 64-bit words");
_Static_assert(BITPRESS_M % 2 == 0, "two coefficients fill a 64-bit word");
_Static_assert(BITPRESS_M * BITPRESS_N % BITPRESS_DRAIN == 0, "a tile drains in whole steps");
_Static_assert(BITPRESS_DRAIN % BITPRESS_M == 0, "a step of the drain is whole pixels");
_Static_assert(BITPRESS_LAYER_DEPTH <= PROGRAM_TIMED_LAYERS, "an error names its layer in the register's range");

/* What the header says of the tables and the stream. */
struct hls_sizes {
    uint32_t map, layer, kword, coef, scale, weight;       /* records */
    uint32_t input_bytes, output_bytes;
    uint32_t scratch;                                      /* words of a plane of 8 pixels, a page behind the result */
    uint32_t words, stream_words;                          /* header and tables; the stream behind them */
    uint32_t layers;                                       /* of the program */
};

/* How far the stream has come in a run. */
struct hls_stream {
    uint32_t at, segment, blocks;                          /* word of the program; end of the segment; blocks that are in */
    uint32_t layers, place;                                /* layer records that are or were in the table; place of the next */
    bool over;                                             /* the block END was read */
    bool dry;                                              /* for the estimate: no area comes from the scratch */
};

/* The memories of the engine. Records stay packed; they are checked and unpacked as they are used. */
struct hls_engine {
    bool loaded;
    struct hls_sizes size;                                 /* of the load */
    struct hls_sizes limit;                                /* records that may be named: with a stream, whole tables */
    struct hls_stream stream;
    uint16_t pad[HLS_PLANES];                              /* of the raw image, a plane word each */
    uint64_t map[BITPRESS_MAP_DEPTH][PROGRAM_MAP_WORDS];
    uint64_t layer[BITPRESS_LAYER_DEPTH][PROGRAM_LAYER_WORDS];
    uint64_t kword[BITPRESS_KWORD_DEPTH][PROGRAM_KWORD_WORDS];
    int32_t coef[BITPRESS_COEF_DEPTH][HLS_M];              /* 18 bits */
    int32_t mul[BITPRESS_SCALE_DEPTH][HLS_M];              /* 18 bits */
    int64_t add[BITPRESS_SCALE_DEPTH][HLS_M];              /* 48 bits */
    uint16_t weight[BITPRESS_WEIGHT_DEPTH][HLS_TAPS][HLS_M];
    uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS];
    uint32_t n_logits;                                     /* of this run so far */
    bool has_result;                                       /* all of them */
    uint32_t image;                                        /* bytes of it that INPUT layers so far took */
    bool image_over;
    int32_t logits[HLS_LOGITS];
    int32_t sum[HLS_N][HLS_M];                             /* of a tile */
    bool carry;                                            /* the next tile goes on with them */
};

/* ---- records, docs/rtl/program.md ------------------------------------------------ */
struct hls_map { int base, row_stride, px_stride, planes, h, w, groups, top, left; bool raw, paired; };

struct hls_layer {
    int op, out_map, rows, columns, count;                 /* count: filter groups, groups, or channels */
    bool logits, is_signed, stride2, more, spill, part;    /* part: the next INPUT goes on with the image, the next MAC with the sums */
    int first_row, first_block;                            /* of the output */
    uint32_t scratch, pitch, whole;                        /* spill: word; words of a row; rows of the whole map */
    int arg1, arg2, arg3;                                  /* the upper fields of word 1 */
    int shift, lo, hi, oy, ox;
    uint32_t n_logits, need;                               /* need: blocks of the stream */
};

struct hls_kword {
    int map, wn, columns, group, oy, ox, waddr, coef;
    bool group_mode, repeat, next, stride2, last;
};

static inline uint32_t hls_bits(uint64_t word, int hi, int lo)
{
    return (uint32_t)(word >> lo & ((2ull << (hi - lo)) - 1));
}

/* Two's complement of the low `bits` (1..63) of a word. */
static inline int64_t hls_signed(uint64_t word, int bits)
{
    uint64_t sign = 1ull << (bits - 1);
    return (int64_t)((word & (2 * sign - 1)) ^ sign) - (int64_t)sign;
}

/* decode.c: unpack a record and check it: 0 or PROGRAM_ERR_*. */
struct hls_layer hls_decode_layer(const uint64_t word[PROGRAM_LAYER_WORDS]);
uint32_t hls_read_map(struct hls_map *map, const struct hls_engine *e, int index);
uint32_t hls_read_kword(struct hls_kword *k, struct hls_map *map, const struct hls_engine *e, int index);
uint32_t hls_check_input(struct hls_map *out, struct hls_engine *e, const struct hls_layer *l);
uint32_t hls_check_mac(struct hls_map *out, const struct hls_engine *e, const struct hls_layer *l);
uint32_t hls_check_maxpool(struct hls_map *in, struct hls_map *out, const struct hls_engine *e, const struct hls_layer *l);

/* ---- stages ------------------------------------------------------------------------ */
/* Each gets the memories that it reads or writes, so that one memory has one reader and one writer at a time. */
/* load.c: memory -> tables. Sizes in bytes; the arrays hold whole 64-bit words. */
uint32_t hls_load(struct hls_engine *e, const uint64_t *program, uint64_t program_size, const uint64_t *weight, uint64_t weight_size);
/* Records [first, first + n) of a table from the words at `from`. */
void hls_load_records(struct hls_engine *e, uint32_t kind, const uint64_t *from, uint32_t first, uint32_t n);
uint32_t hls_record_words(uint32_t kind);
uint32_t hls_table_depth(uint32_t kind);
/* stream.c: before a run; then, for each layer in order, its record with all the blocks that it waits for. */
void hls_stream_open(struct hls_engine *e);
uint32_t hls_stream_layer(struct hls_layer *l, struct hls_engine *e, const uint64_t *program, const int32_t *output, uint32_t index);
/* input.c: the raw image from byte `at` on -> planes. */
void hls_input(uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_layer *l, const struct hls_map *out,
               const uint64_t *input, uint32_t at);
/* fetch.c: window of output row y, block xb: 16 channels of one plane for each pixel and tap. */
int hls_parts(const struct hls_kword *k, const struct hls_map *map);
void hls_fetch(uint16_t window[HLS_N][HLS_TAPS], const uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_map *map,
               const struct hls_kword *k, int y, int xb, int plane, uint16_t pad);
/* array.c: for `planes` weight planes from waddr on: sum[q][m] += coef[m] * popcount(window[q] & weight[m]). */
void hls_accumulate(int32_t sum[HLS_N][HLS_M], const uint16_t window[HLS_N][HLS_TAPS],
                    const uint16_t weight[BITPRESS_WEIGHT_DEPTH][HLS_TAPS][HLS_M], int waddr, const int32_t coef[BITPRESS_COEF_DEPTH][HLS_M],
                    int first_coef, int planes);
/* requant.c: sums -> bit-planes of codes; pixel 0 -> int32 logits. */
void hls_requantize(uint16_t plane[HLS_PLANES][HLS_N], const int32_t sum[HLS_N][HLS_M], const int32_t mul[HLS_M],
                    const int64_t add[HLS_M], int shift, int lo, int hi);
void hls_logits(int32_t logit[HLS_M], const int32_t sum[HLS_N][HLS_M], const int32_t mul[HLS_M], const int64_t add[HLS_M], int shift);
/* maxpool.c: one plane of a window, from the top one down -> one plane of the output. */
void hls_maxpool(uint16_t best[HLS_N], uint16_t race[HLS_N][HLS_TAPS], const uint16_t window[HLS_N][HLS_TAPS], int taps, bool top,
                 bool invert);
/* store.c: a plane of a block with its halos; a filter group's logits; the result. */
void hls_store_plane(uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_map *map, int y, int xb, int group,
                     int plane, const uint16_t pixel[HLS_N]);
/* The same to and from the scratch, whose words lie in the output's window: for a group, row and block planes from the top. */
void hls_spill_plane(int32_t *output, const struct hls_layer *l, const struct hls_map *out, int y, int xb, int group, int plane,
                     const uint16_t pixel[HLS_N]);
bool hls_scratch_holds(const struct hls_engine *e, uint32_t first, uint32_t pitch, uint32_t whole, const struct hls_map *map, int groups);
uint32_t hls_fill(struct hls_engine *e, const int32_t *output, const uint64_t record[PROGRAM_FILL_WORDS]);
void hls_store_logits(struct hls_engine *e, const int32_t logit[HLS_M], uint32_t n);
void hls_store_result(const struct hls_engine *e, int32_t *result);
/* run.c: images through the program, one after another (0 as 1), at the strides of program.h; for each the stream is read again. Ends at the first
 * error, with the results before it there; *layer: where it ended. */
uint32_t hls_run(struct hls_engine *e, uint32_t *layer, const uint64_t *program, uint64_t program_size, const uint64_t *input, uint64_t input_size,
                 int32_t *output, uint64_t output_size, uint32_t images);

/* estimate.c: cycles of the first n layers if every pipelined loop reaches its interval, fetch overlaps the array and the
 * stream is never late; not a measurement, and not the RTL's. 0 where a layer's records are bad. */
void hls_estimate(int64_t *cycles, int n, struct hls_engine *e, const uint64_t *program);

/* ---- the kernel: top.c ---------------------------------------------------------- */
/* Arguments are the registers of docs/rtl/registers.md. mode 1: load, 0: run. identity: the ID_ registers. */
void bp_kernel(uint32_t mode, const uint64_t *program, uint64_t program_size, const uint64_t *weight, uint64_t weight_size,
               const uint64_t *input, uint64_t input_size, int32_t *output, uint64_t output_size, uint32_t images,
               uint32_t *status, uint32_t *error_layer, uint32_t identity[HLS_IDENTITY]);

#endif
