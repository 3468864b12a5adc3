/* store: write-back of planes with their halos, the scratch, and the result. A word (y, xb, g, plane) also fills the right halo
 * of the block on its left and the left halo of the block on its right. */
#include "hls/bitpress.h"

void hls_store_plane(uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_map *map, int y, int xb, int group,
                     int plane, const uint16_t pixel[HLS_N])
{
#pragma HLS INLINE
    int bank = (y + group + plane) & 3;
    int address = map->base + (y >> 2) * map->row_stride + xb * map->px_stride + group * map->planes + plane;
word:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
        act[bank][address][q + 1] = pixel[q];
    }
    if (xb > 0)
        act[bank][address - map->px_stride][HLS_SLOTS - 1] = pixel[0];
    if (xb < (map->w - 1) >> 3)
        act[bank][address + map->px_stride][0] = pixel[HLS_N - 1];
}

/* ---- the scratch ---------------------------------------------------------------- */

/* Rows of the map's groups, from word `first` on. */
bool hls_scratch_holds(const struct hls_engine *e, uint32_t first, uint32_t pitch, uint32_t whole, const struct hls_map *map, int groups)
{
#pragma HLS INLINE
    uint64_t line = (uint64_t)(((map->w - 1) >> 3) + 1) * (uint64_t)map->planes;
    uint64_t last = first + ((uint64_t)(groups - 1) * whole + (uint64_t)(map->h - 1)) * pitch;
    return last + line <= e->size.scratch;
}

void hls_spill_plane(int32_t *output, const struct hls_layer *l, const struct hls_map *out, int y, int xb, int group, int plane,
                     const uint16_t pixel[HLS_N])
{
#pragma HLS INLINE
    uint64_t at = l->scratch + ((uint64_t)group * l->whole + (uint64_t)y) * l->pitch + (uint64_t)(xb * out->planes + out->planes - 1 - plane);
pairs:
    for (int i = 0; i < HLS_SCRATCH_WORDS; i++) {
#pragma HLS PIPELINE II=1
        output[HLS_RESULT_WORDS + at * HLS_SCRATCH_WORDS + (uint64_t)i] = (int32_t)(pixel[2 * i] | (uint32_t)pixel[2 * i + 1] << 16);
    }
}

static void fill_block(struct hls_engine *e, const int32_t *output, const struct hls_map *map, uint64_t at, int y, int xb, int group)
{
planes:
    for (int j = map->planes - 1; j >= 0; j--, at++) {
        uint16_t pixel[HLS_N];
#pragma HLS ARRAY_PARTITION variable=pixel complete
    pairs:
        for (int i = 0; i < HLS_SCRATCH_WORDS; i++) {
#pragma HLS PIPELINE II=1
            uint32_t two = (uint32_t)output[HLS_RESULT_WORDS + at * HLS_SCRATCH_WORDS + (uint64_t)i];
            pixel[2 * i] = (uint16_t)two;
            pixel[2 * i + 1] = (uint16_t)(two >> 16);
        }
        hls_store_plane(e->act, map, y, xb, group, j, pixel);
    }
}

uint32_t hls_fill(struct hls_engine *e, const int32_t *output, const uint64_t record[PROGRAM_FILL_WORDS])
{
    const struct hls_map map = {
        .base = (int)hls_bits(record[0], 15, 0), .row_stride = (int)hls_bits(record[0], 31, 16), .px_stride = (int)hls_bits(record[0], 47, 32),
        .planes = (int)hls_bits(record[0], 51, 48), .h = (int)hls_bits(record[1], 15, 0), .w = (int)hls_bits(record[1], 31, 16),
        .groups = (int)hls_bits(record[1], 47, 32),
    };
    uint32_t pitch = hls_bits(record[1], 63, 48), first = hls_bits(record[2], 31, 0), whole = hls_bits(record[2], 47, 32);
    if (map.groups == 0)
        return PROGRAM_OK;
    if (map.planes < 1 || map.planes > HLS_PLANES || map.h < 1 || map.h > 1023 || map.w < 1 || map.w > 1023)
        return PROGRAM_ERR_STREAM;
    int blocks = ((map.w - 1) >> 3) + 1;
    int64_t words = (int64_t)((map.h - 1) >> 2) * map.row_stride + (int64_t)(blocks - 1) * map.px_stride + (int64_t)map.groups * map.planes;
    if (map.base + words > BITPRESS_ACT_DEPTH || map.px_stride < map.groups * map.planes || map.row_stride < blocks * map.px_stride ||
        !hls_scratch_holds(e, first, pitch, whole, &map, map.groups))
        return PROGRAM_ERR_STREAM;
groups:
    for (int g = 0; g < map.groups; g++) {
    rows:
        for (int y = 0; y < map.h; y++) {
        blocks:
            for (int xb = 0; xb < blocks; xb++) {
                uint64_t at = first + ((uint64_t)g * whole + (uint64_t)y) * pitch + (uint64_t)(xb * map.planes);
                fill_block(e, output, &map, at, y, xb, g);
            }
        }
    }
    return PROGRAM_OK;
}

/* ---- the result ------------------------------------------------------------------ */

/* The first n of a filter group's, behind those that are there. */
void hls_store_logits(struct hls_engine *e, const int32_t logit[HLS_M], uint32_t n)
{
rows:
    for (uint32_t m = 0; m < HLS_M; m++) {
#pragma HLS PIPELINE II=1
        if (m < n) {
            e->logits[e->n_logits++] = logit[m];
        }
    }
}

void hls_store_result(const struct hls_engine *e, int32_t *result)
{
burst:
    for (uint32_t i = 0; i < e->n_logits; i++) {
#pragma HLS PIPELINE II=1
        result[i] = e->logits[i];
    }
}
