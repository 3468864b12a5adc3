/* input: the INPUT layer: bytes of a raw NHWC image -> bit-planes. P bit-planes of CS = 16 / P channels share a
 * word: slot b * CS + c of plane word j is bit j * P + b of channel c. */
#include "hls/bitpress.h"

/* The next 8 pixels of a row, or what is left of it; the rest is zero. Returns the byte behind them. */
static uint32_t read_block(uint8_t pixel[HLS_N][HLS_CG], const uint64_t *input, uint32_t at, int pixels, int channels)
{
    uint64_t word = 0;
clear_pixels:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
    clear_channels:
        for (int c = 0; c < HLS_CG; c++) {
#pragma HLS UNROLL
            pixel[q][c] = 0;
        }
    }
pixels_of_block:
    for (int q = 0; q < pixels; q++) {
    channels_of_pixel:
        for (int c = 0; c < channels; c++, at++) {
#pragma HLS PIPELINE II=1
            if (at % 8 == 0 || (q == 0 && c == 0))
                word = input[at / 8];
            pixel[q][c] = (uint8_t)(word >> (8 * (at % 8)));
        }
    }
    return at;
}

/* One plane word of the block. */
static void pack_plane(uint16_t plane[HLS_N], const uint8_t pixel[HLS_N][HLS_CG], int j, int pack)
{
    int span = HLS_CG / pack;
lanes:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
        uint32_t word = 0;
    slots:
        for (int slot = 0; slot < HLS_CG; slot++) {
#pragma HLS UNROLL
            uint32_t bit = pixel[q][slot % span] >> (j * pack + slot / span) & 1u;
            word |= bit << slot;
        }
        plane[q] = (uint16_t)word;
    }
}

void hls_input(uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_layer *l, const struct hls_map *out,
               const uint64_t *input, uint32_t at)
{
rows:
    for (int y = 0; y < out->h; y++) {
    blocks:
        for (int x = 0; x < out->w; x += HLS_N) {
            uint8_t pixel[HLS_N][HLS_CG];
#pragma HLS ARRAY_PARTITION variable=pixel dim=0 complete
            at = read_block(pixel, input, at, out->w - x < HLS_N ? out->w - x : HLS_N, l->count);
        planes:
            for (int j = 0; j < out->planes; j++) {
#pragma HLS PIPELINE II=1
                uint16_t plane[HLS_N];
                pack_plane(plane, pixel, j, l->arg1);
                hls_store_plane(act, out, y, x / HLS_N, 0, j, plane);
            }
        }
    }
}
