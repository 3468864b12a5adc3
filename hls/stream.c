/* stream: the blocks of a program that does not fit the tables: a header word and records of one table. Here a block is
 * read when a layer waits for it; the RTL reads ahead, as far as the headers' numbers of ended layers allow. */
#include "hls/bitpress.h"

void hls_stream_open(struct hls_engine *e)
{
    uint32_t n = e->size.layer;
    uint32_t words = e->size.scratch ? 1 + PROGRAM_FILL_WORDS : e->size.stream_words;
    e->stream = (struct hls_stream){ .at = e->size.words, .segment = e->size.words + words, .layers = n, .place = n, .over = e->size.stream_words == 0 };
}

/* The layer ring lies behind the records of the load. */
static uint32_t next_place(const struct hls_engine *e, uint32_t place)
{
#pragma HLS INLINE
    return place == BITPRESS_LAYER_DEPTH - 1 ? e->size.layer : place + 1;
}

static uint32_t depth_of(const struct hls_engine *e, uint32_t kind)
{
#pragma HLS INLINE
    if (kind == PROGRAM_LAYER)
        return e->size.layer < BITPRESS_LAYER_DEPTH;
    return kind == PROGRAM_FILL ? e->size.scratch > 0 : hls_table_depth(kind);
}

/* An area comes from the scratch; the block ends its segment and tells the next one's length. */
static uint32_t fill(struct hls_engine *e, const uint64_t *program, const int32_t *output)
{
#pragma HLS INLINE
    struct hls_stream *s = &e->stream;
    uint64_t record[PROGRAM_FILL_WORDS];
#pragma HLS ARRAY_PARTITION variable=record complete
record_words:
    for (uint32_t i = 0; i < PROGRAM_FILL_WORDS; i++) {
#pragma HLS PIPELINE II=1
        record[i] = program[s->at + i];
    }
    uint32_t next = hls_bits(record[3], 31, 0), left = e->size.words + e->size.stream_words - s->segment;
    if (s->at + PROGRAM_FILL_WORDS != s->segment || next > left)
        return PROGRAM_ERR_STREAM;
    s->at = s->segment;
    s->segment += next;
    return s->dry ? PROGRAM_OK : hls_fill(e, output, record);
}

static uint32_t next_block(struct hls_engine *e, const uint64_t *program, const int32_t *output, uint32_t ended)
{
    struct hls_stream *s = &e->stream;
    uint32_t all = e->size.words + e->size.stream_words, end = s->segment < all ? s->segment : all;
    if (s->over || s->at >= end)
        return PROGRAM_ERR_STREAM;
    uint64_t head = program[s->at];
    uint32_t kind = hls_bits(head, 15, 0), first = hls_bits(head, 31, 16), n = hls_bits(head, 47, 32);
    uint32_t depth = depth_of(e, kind), words = n * hls_record_words(kind);
    if (hls_bits(head, 63, 48) > ended)
        return PROGRAM_ERR_STREAM;                         /* the layer and the block wait for each other */
    s->over = kind == PROGRAM_END;
    s->at++;
    s->blocks++;
    if (s->over)
        return PROGRAM_OK;
    if (n == 0 || first + n > depth || words > end - s->at)
        return PROGRAM_ERR_STREAM;
    if (kind == PROGRAM_FILL)
        return fill(e, program, output);
    hls_load_records(e, kind, program + s->at, kind == PROGRAM_LAYER ? s->place : first, n);
    s->at += words;
    if (kind == PROGRAM_LAYER) {
        s->layers++;
        s->place = next_place(e, s->place);
    }
    return PROGRAM_OK;
}

uint32_t hls_stream_layer(struct hls_layer *l, struct hls_engine *e, const uint64_t *program, const int32_t *output, uint32_t index)
{
    uint32_t error = PROGRAM_OK, loaded = e->size.layer, ring = BITPRESS_LAYER_DEPTH - loaded;
    uint32_t place = index < loaded || ring == 0 ? index : loaded + (index - loaded) % ring;
record:
    while (!error && e->stream.layers <= index) {
        error = next_block(e, program, output, index);
    }
    if (error)
        return error;
    *l = hls_decode_layer(e->layer[place]);
blocks:
    while (!error && e->stream.blocks < l->need) {
        error = next_block(e, program, output, index);
    }
    return error;
}
