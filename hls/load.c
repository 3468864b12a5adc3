/* load: program and weights from memory into the tables: header, checks, sections, weights. */
#include "hls/bitpress.h"

static uint64_t words_of(const struct hls_sizes *s)
{
    return PROGRAM_HEADER_WORDS + (uint64_t)s->map * PROGRAM_MAP_WORDS + (uint64_t)s->layer * PROGRAM_LAYER_WORDS +
           (uint64_t)s->kword * PROGRAM_KWORD_WORDS + (uint64_t)s->coef * (HLS_M / 2) + (uint64_t)s->scale * (2 * HLS_M);
}

static bool fits(const struct hls_sizes *s)
{
    return s->layer > 0 && s->layer <= BITPRESS_LAYER_DEPTH && s->map <= BITPRESS_MAP_DEPTH && s->kword <= BITPRESS_KWORD_DEPTH &&
           s->coef <= BITPRESS_COEF_DEPTH && s->scale <= BITPRESS_SCALE_DEPTH && s->weight <= BITPRESS_WEIGHT_DEPTH;
}

static uint32_t check_header(struct hls_sizes *s, const uint64_t head[PROGRAM_HEADER_WORDS], uint64_t program_size, uint64_t weight_size)
{
    const uint64_t array = (uint64_t)BITPRESS_HASH << 32 | BITPRESS_K << 16 | BITPRESS_N << 8 | BITPRESS_M;
    if (hls_bits(head[0], 31, 0) != PROGRAM_MAGIC || hls_bits(head[0], 47, 32) != PROGRAM_MAJOR)
        return PROGRAM_ERR_MAGIC;
    if (head[1] != array)
        return PROGRAM_ERR_ARRAY;
    s->layer = hls_bits(head[2], 15, 0);
    s->map = hls_bits(head[2], 31, 16);
    s->kword = hls_bits(head[2], 47, 32);
    s->coef = hls_bits(head[2], 63, 48);
    s->scale = hls_bits(head[3], 15, 0);
    s->weight = hls_bits(head[3], 63, 32);
    s->input_bytes = hls_bits(head[4], 31, 0);
    s->output_bytes = hls_bits(head[4], 47, 32);
    s->scratch = hls_bits(head[4], 63, 48) * (PROGRAM_PAGE / (2 * HLS_N));
    uint64_t words = words_of(s);
    s->words = hls_bits(head[5], 31, 0);
    s->stream_words = hls_bits(head[5], 63, 32);
    s->layers = s->stream_words ? hls_bits(head[3], 31, 16) : s->layer;
    if (!fits(s) || s->words != words || program_size / 8 < words + s->stream_words ||
        weight_size < (uint64_t)s->weight * HLS_WEIGHT_WORDS * 8)
        return PROGRAM_ERR_SIZE;
    if (s->input_bytes == 0 || s->output_bytes == 0 || s->output_bytes % 4 || s->output_bytes > 4 * HLS_LOGITS)
        return PROGRAM_ERR_IO;
    return PROGRAM_OK;
}

/* ---- records ------------------------------------------------------------------------ */

uint32_t hls_record_words(uint32_t kind)
{
#pragma HLS INLINE
    switch (kind) {
    case PROGRAM_MAP: return PROGRAM_MAP_WORDS;
    case PROGRAM_LAYER: return PROGRAM_LAYER_WORDS;
    case PROGRAM_KWORD: return PROGRAM_KWORD_WORDS;
    case PROGRAM_COEF: return HLS_M / 2;
    case PROGRAM_SCALE: return 2 * HLS_M;
    case PROGRAM_WEIGHT: return HLS_WEIGHT_WORDS;
    case PROGRAM_FILL: return PROGRAM_FILL_WORDS;
    default: return 0;
    }
}

uint32_t hls_table_depth(uint32_t kind)
{
#pragma HLS INLINE
    switch (kind) {
    case PROGRAM_MAP: return BITPRESS_MAP_DEPTH;
    case PROGRAM_LAYER: return BITPRESS_LAYER_DEPTH;
    case PROGRAM_KWORD: return BITPRESS_KWORD_DEPTH;
    case PROGRAM_COEF: return BITPRESS_COEF_DEPTH;
    case PROGRAM_SCALE: return BITPRESS_SCALE_DEPTH;
    case PROGRAM_WEIGHT: return BITPRESS_WEIGHT_DEPTH;
    default: return 0;
    }
}

/* Four halfwords of a weight word: it is M rows of 9 taps; in the memory taps come first, so that a tap's rows lie side by
 * side. */
static void put_weight(uint16_t weight[HLS_TAPS][HLS_M], uint32_t i, uint64_t part)
{
#pragma HLS INLINE
halfwords:
    for (uint32_t j = 0; j < 4; j++) {
#pragma HLS UNROLL
        uint32_t at = 4 * i + j;
        weight[at % HLS_TAPS][at / HLS_TAPS] = (uint16_t)(part >> (16 * j));
    }
}

/* Word i of record r. Two coefficients a word, of which the multiplier takes 18 bits; scales: per channel the addend, then
 * the multiplier. */
static void put_word(struct hls_engine *e, uint32_t kind, uint32_t r, uint32_t i, uint64_t word)
{
#pragma HLS INLINE
    switch (kind) {
    case PROGRAM_MAP: e->map[r][i] = word; break;
    case PROGRAM_LAYER: e->layer[r][i] = word; break;
    case PROGRAM_KWORD: e->kword[r][i] = word; break;
    case PROGRAM_COEF:
        e->coef[r][2 * i] = (int32_t)hls_signed(word, 18);
        e->coef[r][2 * i + 1] = (int32_t)hls_signed(word >> 32, 18);
        break;
    case PROGRAM_SCALE:
        if (i % 2)
            e->mul[r][i / 2] = (int32_t)hls_signed(word, 18);
        else
            e->add[r][i / 2] = hls_signed(word, 48);
        break;
    default: put_weight(e->weight[r], i, word); break;
    }
}

void hls_load_records(struct hls_engine *e, uint32_t kind, const uint64_t *from, uint32_t first, uint32_t n)
{
    uint32_t words = hls_record_words(kind);
records:
    for (uint32_t r = 0; r < n; r++) {
    record_words:
        for (uint32_t i = 0; i < words; i++) {
#pragma HLS PIPELINE II=1
            put_word(e, kind, first + r, i, from[r * words + i]);
        }
    }
}

static void load_pad(struct hls_engine *e, const uint64_t head[PROGRAM_HEADER_WORDS])
{
pad_words:
    for (int j = 0; j < HLS_PLANES; j++) {
#pragma HLS UNROLL
        e->pad[j] = (uint16_t)(head[6 + j / 4] >> (16 * (j % 4)));
    }
}

/* A stream may write, and layers may read, all of every table. */
static void set_limits(struct hls_engine *e)
{
    e->limit = e->size;
    if (e->size.stream_words == 0)
        return;
    e->limit.map = BITPRESS_MAP_DEPTH;
    e->limit.kword = BITPRESS_KWORD_DEPTH;
    e->limit.coef = BITPRESS_COEF_DEPTH;
    e->limit.scale = BITPRESS_SCALE_DEPTH;
    e->limit.weight = BITPRESS_WEIGHT_DEPTH;
}

uint32_t hls_load(struct hls_engine *e, const uint64_t *program, uint64_t program_size, const uint64_t *weight, uint64_t weight_size)
{
    uint64_t head[PROGRAM_HEADER_WORDS];
#pragma HLS ARRAY_PARTITION variable=head complete
    e->loaded = false;
    if (program_size < PROGRAM_HEADER_WORDS * 8)
        return PROGRAM_ERR_SIZE;
header:
    for (int i = 0; i < PROGRAM_HEADER_WORDS; i++) {
#pragma HLS PIPELINE II=1
        head[i] = program[i];
    }
    uint32_t error = check_header(&e->size, head, program_size, weight_size);
    if (error)
        return error;
    load_pad(e, head);
    const uint32_t count[PROGRAM_KINDS] = { 0, e->size.map, e->size.layer, e->size.kword, e->size.coef, e->size.scale, 0 };
    uint32_t at = PROGRAM_HEADER_WORDS;
sections:
    for (uint32_t kind = PROGRAM_MAP; kind <= PROGRAM_SCALE; kind++) {
        hls_load_records(e, kind, program + at, 0, count[kind]);
        at += count[kind] * hls_record_words(kind);
    }
    hls_load_records(e, PROGRAM_WEIGHT, weight, 0, e->size.weight);
    set_limits(e);
    e->loaded = true;
    return PROGRAM_OK;
}
