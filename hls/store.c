/* store: write-back of planes with their halos, and the result. A word (y, xb, g, plane) also fills the right halo
 * of the block on its left and the left halo of the block on its right. */
#include "hls/bitpress.h"

void hls_store_plane(uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_map *map, int y, int xb, int group,
                     int plane, const uint16_t pixel[HLS_N])
{
#pragma HLS INLINE
    int bank = (y + group) & 3;
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

void hls_store_result(const struct hls_engine *e, int32_t *output)
{
burst:
    for (uint32_t i = 0; i < e->n_logits; i++) {
#pragma HLS PIPELINE II=1
        output[i] = e->logits[i];
    }
}
