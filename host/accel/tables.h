/* tables: an image's records as the engine has them while it runs: those of the load, then, block by block, those of
 * the stream. What reads images shares it: the check and the cycle model. */
#ifndef ACCEL_TABLES_H
#define ACCEL_TABLES_H

#include "hw/hw.h"
#include "accel/program.h"

struct accel_block { int kind, first, n, after; const uint64_t *record; };

struct accel_tables {
    const struct hw *hw;
    bool streamed;
    /* Records that may be named; with a stream, all that the tables hold */
    int n_layer, n_map, n_kword, n_coef, n_scale;
    int64_t n_weight;
    const uint64_t *map, *kword, *layer;
    const uint64_t *stream; int64_t words, at, segment;        /* of the stream; read so far; end of the segment */
    int64_t scratch;                                   /* activation words of it */
    int blocks, layers_in, layer_place, loaded;        /* so far; layer records of the load */
    bool ended;                                        /* the block END was read */
    uint64_t *own_map, *own_kword, *own_layer;         /* with a stream */
};

/* The header's counts must fit the depths and the image. BASE_NOMEM. */
int accel_tables_open(struct accel_tables *t, const struct hw *hw, const uint64_t *image);
void accel_tables_close(struct accel_tables *t);

/* The next block of the stream; false: there is none, or it is malformed. */
bool accel_tables_block(struct accel_block *b, const struct accel_tables *t);
/* Its records are in. */
void accel_tables_put(struct accel_tables *t, const struct accel_block *b);
/* Record number i, which must be in. */
const uint64_t *accel_tables_layer(const struct accel_tables *t, int i);
/* FILL: an area of a map comes from the scratch. Words: of the banks, and of the scratch. */
struct accel_fill { int base, row_stride, px_stride, planes, rows, columns, groups, pitch, whole; int64_t from; uint32_t next; };
struct accel_fill accel_tables_fill(const struct accel_block *b);
/* Words of one record of a kind. */
int accel_record_words(const struct hw *hw, int kind);
int accel_table_depth(const struct hw *hw, int kind);

#endif
