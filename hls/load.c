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
    s->output_bytes = hls_bits(head[4], 63, 32);
    uint64_t words = words_of(s);
    if (!fits(s) || hls_bits(head[5], 31, 0) != words || program_size < words * 8 ||
        weight_size < (uint64_t)s->weight * HLS_WEIGHT_WORDS * 8)
        return PROGRAM_ERR_SIZE;
    if (s->input_bytes == 0 || s->output_bytes == 0 || s->output_bytes % 4 || s->output_bytes > 4 * HLS_LOGITS)
        return PROGRAM_ERR_IO;
    return PROGRAM_OK;
}

/* Records of 64-bit words: maps, layers, K-words. `at` is the section's first word; each returns the one behind it. */
static uint32_t load_maps(struct hls_engine *e, const uint64_t *program, uint32_t at)
{
maps:
    for (uint32_t i = 0; i < e->size.map * PROGRAM_MAP_WORDS; i++) {
#pragma HLS PIPELINE II=1
        e->map[i / PROGRAM_MAP_WORDS][i % PROGRAM_MAP_WORDS] = program[at + i];
    }
    return at + e->size.map * PROGRAM_MAP_WORDS;
}

static uint32_t load_layers(struct hls_engine *e, const uint64_t *program, uint32_t at)
{
layers:
    for (uint32_t i = 0; i < e->size.layer * PROGRAM_LAYER_WORDS; i++) {
#pragma HLS PIPELINE II=1
        e->layer[i / PROGRAM_LAYER_WORDS][i % PROGRAM_LAYER_WORDS] = program[at + i];
    }
    return at + e->size.layer * PROGRAM_LAYER_WORDS;
}

static uint32_t load_kwords(struct hls_engine *e, const uint64_t *program, uint32_t at)
{
kwords:
    for (uint32_t i = 0; i < e->size.kword * PROGRAM_KWORD_WORDS; i++) {
#pragma HLS PIPELINE II=1
        e->kword[i / PROGRAM_KWORD_WORDS][i % PROGRAM_KWORD_WORDS] = program[at + i];
    }
    return at + e->size.kword * PROGRAM_KWORD_WORDS;
}

/* Two coefficients a word, of which the multiplier takes 18 bits. */
static uint32_t load_coefs(struct hls_engine *e, const uint64_t *program, uint32_t at)
{
coefs:
    for (uint32_t i = 0; i < e->size.coef * (HLS_M / 2); i++) {
#pragma HLS PIPELINE II=1
        uint64_t word = program[at + i];
        uint32_t row = i % (HLS_M / 2) * 2;
        e->coef[i / (HLS_M / 2)][row] = (int32_t)hls_signed(word, 18);
        e->coef[i / (HLS_M / 2)][row + 1] = (int32_t)hls_signed(word >> 32, 18);
    }
    return at + e->size.coef * (HLS_M / 2);
}

/* Per channel the addend, then the multiplier. */
static void load_scales(struct hls_engine *e, const uint64_t *program, uint32_t at)
{
scales:
    for (uint32_t i = 0; i < e->size.scale * HLS_M; i++) {
#pragma HLS PIPELINE II=2
        e->add[i / HLS_M][i % HLS_M] = hls_signed(program[at + 2 * i], 48);
        e->mul[i / HLS_M][i % HLS_M] = (int32_t)hls_signed(program[at + 2 * i + 1], 18);
    }
}

/* A weight word is M rows of 9 taps; in the memory taps come first, so that a tap's rows lie side by side. */
static void load_weights(struct hls_engine *e, const uint64_t *weight)
{
weight_words:
    for (uint32_t w = 0; w < e->size.weight; w++) {
    parts:
        for (int i = 0; i < HLS_WEIGHT_WORDS; i++) {
#pragma HLS PIPELINE II=1
            uint64_t part = weight[w * HLS_WEIGHT_WORDS + (uint32_t)i];
        halfwords:
            for (int j = 0; j < 4; j++) {
#pragma HLS UNROLL
                int at = 4 * i + j;
                e->weight[w][at % HLS_TAPS][at / HLS_TAPS] = (uint16_t)(part >> (16 * j));
            }
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
    uint32_t at = load_maps(e, program, PROGRAM_HEADER_WORDS);
    at = load_layers(e, program, at);
    at = load_kwords(e, program, at);
    at = load_coefs(e, program, at);
    load_scales(e, program, at);
    load_weights(e, weight);
    e->loaded = true;
    return PROGRAM_OK;
}
