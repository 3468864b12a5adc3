/* work.h: what a program asks of each unit of the engine, counted from its meaning (docs/rtl/program.md):
 * the run counters must show exactly this. */
#ifndef BITPRESS_WORK_H
#define BITPRESS_WORK_H

#include "hw/hw.h"
#include "accel/program.h"
#include "accel/tables.h"

/* Reads of the activation memory, weight planes, drain steps, words and pairs of logits, beats. */
struct work { int64_t fetch, array, drain, write, memory; };

static inline int work_bits(uint64_t w, int hi, int lo) { return (int)(w >> lo & ((2ull << (hi - lo)) - 1)); }

/* Memory words that the columns of a window touch, or tap columns; words behind a map of one block are not there. */
static inline int work_reads(const struct hw *hw, const uint64_t *map, uint64_t kword)
{
    int flags = work_bits(kword, 15, 8), s = flags & PROGRAM_KW_STRIDE2 ? 2 : 1, ox = (int8_t)work_bits(kword, 63, 56);
    if (flags & PROGRAM_KW_GROUP)
        return s * work_bits(kword, 31, 24);
    if (s == 1 && work_bits(map[1], 31, 16) <= hw->n && ox >= 0)
        return 1;
    int slot = (ox + 17 * hw->n + 1) % hw->n;              /* a word has slots 0..n + 1 */
    return (slot >= s) + s;
}

static inline void work_list(struct work *w, const struct hw *hw, const uint64_t *map, const uint64_t *kword, int *k, int64_t tiles)
{
    for (bool last = false; !last; ++*k) {
        uint64_t word = kword[PROGRAM_KWORD_WORDS * *k];
        const uint64_t *in = &map[PROGRAM_MAP_WORDS * work_bits(word, 7, 0)];
        int planes = program_windows((uint32_t)work_bits(word, 15, 8), work_bits(in[0], 51, 48));
        w->fetch += tiles * planes * work_reads(hw, in, word);
        w->array += tiles * planes * work_bits(word, 23, 16);
        last = work_bits(word, 15, 8) & PROGRAM_KW_LAST;
    }
}

/* Groups of the output that a MAC layer writes: two of a paired map for a filter group, if there are two. */
static inline int work_groups(const uint64_t *map, const uint64_t *layer)
{
    const uint64_t *out = &map[PROGRAM_MAP_WORDS * work_bits(layer[0], 31, 16)];
    int first = work_bits(layer[1], 63, 48), count = work_bits(layer[1], 15, 0);
    return out[0] >> 63 ? BASE_MIN(2 * count, work_bits(out[1], 47, 32) - 2 * first) : count;
}

static inline void work_layer(struct work *w, const struct hw *hw, const uint64_t *map, const uint64_t *layer, const uint64_t *kword)
{
    int64_t tiles = (int64_t)work_bits(layer[0], 47, 32) * ((work_bits(layer[0], 63, 48) + hw->n - 1) / hw->n);
    int count = work_bits(layer[1], 15, 0), k = work_bits(layer[1], 31, 16);
    int planes = work_bits(map[PROGRAM_MAP_WORDS * work_bits(layer[0], 31, 16)], 51, 48);
    switch (work_bits(layer[0], 7, 0)) {
    case PROGRAM_INPUT:
        w->write += tiles * planes;
        break;
    case PROGRAM_MAXPOOL: {
        uint64_t kw = (uint64_t)work_bits(layer[2], 15, 8) << 56 | (uint64_t)(work_bits(layer[2], 16, 16) ? PROGRAM_KW_STRIDE2 : 0) << 8;
        w->fetch += tiles * count * planes * work_reads(hw, &map[PROGRAM_MAP_WORDS * work_bits(layer[1], 31, 16)], kw);
        w->array += tiles * count * planes;
        if (work_bits(layer[0], 15, 8) & PROGRAM_LY_SPILL)
            w->memory += tiles * count * planes * hw->n / 4;
        else
            w->write += tiles * count * planes;
        break;
    }
    default:
        for (int g = 0; g < count; g++)
            work_list(w, hw, map, kword, &k, tiles);
        if (work_bits(layer[0], 15, 8) & PROGRAM_LY_PART)
            break;
        w->drain += tiles * count * (hw->m * hw->n / hw->drain);
        w->write += work_bits(layer[0], 15, 8) & PROGRAM_LY_LOGITS ? (work_bits(layer[3], 31, 0) + 1) / 2 : tiles * planes * work_groups(map, layer);
    }
}

/* A block is in; words that it brings from the scratch. */
static inline void work_block(struct work *w, const struct hw *hw, struct accel_tables *t, const struct accel_block *b)
{
    if (b->kind == PROGRAM_FILL) {
        struct accel_fill f = accel_tables_fill(b);
        int64_t words = (int64_t)f.groups * f.rows * ((f.columns + hw->n - 1) / hw->n) * f.planes;
        w->write += words;
        w->memory += words * hw->n / 4;
    }
    accel_tables_put(t, b);
}

/* Records change while the program runs: the tables as blocks fill them. */
static inline struct work work_of(const struct hw *hw, const uint64_t *image)
{
    struct work w = { .memory = (work_bits(image[4], 31, 0) + 7) / 8 + (program_output_bytes(image) + 7) / 8 + (int64_t)(image[5] >> 32) };
    struct accel_tables t;
    struct accel_block b;
    if (accel_tables_open(&t, hw, image))
        return w;
    for (int i = 0; i < t.n_layer; i++) {
        while (t.layers_in <= i && accel_tables_block(&b, &t))
            work_block(&w, hw, &t, &b);
        const uint64_t *layer = accel_tables_layer(&t, i);
        while (t.blocks < work_bits(layer[3], 55, 32) && accel_tables_block(&b, &t))
            work_block(&w, hw, &t, &b);
        work_layer(&w, hw, t.map, layer, t.kword);
    }
    accel_tables_close(&t);
    return w;
}

#endif
