/* stream: the blocks of a program that does not fit the tables: a header word and records of one table. Here a block is
 * read when a layer waits for it; the RTL reads ahead, as far as the headers' numbers of ended layers allow. */
#include "hls/bitpress.h"

void hls_stream_open(struct hls_engine *e)
{
    uint32_t n = e->size.layer;
    e->stream = (struct hls_stream){ .at = e->size.words, .layers = n, .place = n == BITPRESS_LAYER_DEPTH ? 1 : n,
                                     .over = e->size.stream_words == 0 };
}

/* The layer ring lies behind record 0. */
static uint32_t next_place(uint32_t place)
{
#pragma HLS INLINE
    return place == BITPRESS_LAYER_DEPTH - 1 ? 1 : place + 1;
}

static uint32_t next_block(struct hls_engine *e, const uint64_t *program, uint32_t ended)
{
    struct hls_stream *s = &e->stream;
    uint32_t end = e->size.words + e->size.stream_words;
    if (s->over || s->at >= end)
        return PROGRAM_ERR_STREAM;
    uint64_t head = program[s->at];
    uint32_t kind = hls_bits(head, 15, 0), first = hls_bits(head, 31, 16), n = hls_bits(head, 47, 32);
    uint32_t depth = kind == PROGRAM_LAYER ? 1 : hls_table_depth(kind), words = n * hls_record_words(kind);
    if (hls_bits(head, 63, 48) > ended)
        return PROGRAM_ERR_STREAM;                         /* the layer and the block wait for each other */
    s->over = kind == PROGRAM_END;
    s->at++;
    s->blocks++;
    if (s->over)
        return PROGRAM_OK;
    if (n == 0 || first + n > depth || words > end - s->at)
        return PROGRAM_ERR_STREAM;
    hls_load_records(e, kind, program + s->at, kind == PROGRAM_LAYER ? s->place : first, n);
    s->at += words;
    if (kind == PROGRAM_LAYER) {
        s->layers++;
        s->place = next_place(s->place);
    }
    return PROGRAM_OK;
}

uint32_t hls_stream_layer(struct hls_layer *l, struct hls_engine *e, const uint64_t *program, uint32_t index)
{
    uint32_t error = PROGRAM_OK, ring = BITPRESS_LAYER_DEPTH - 1;
    uint32_t place = e->size.stream_words && index > 0 ? 1 + (index - 1) % ring : index;
record:
    while (!error && e->stream.layers <= index) {
        error = next_block(e, program, index);
    }
    if (error)
        return error;
    *l = hls_decode_layer(e->layer[place]);
blocks:
    while (!error && e->stream.blocks < l->need) {
        error = next_block(e, program, index);
    }
    return error;
}
