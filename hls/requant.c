/* requant: (sum * M + B) >> S, arithmetic; then a code, clamped and turned into bit-planes, or a logit. DRAIN lanes
 * work at a time. 32 x 18 bits and 48 bits: 51 bits at most, no wrap. */
#include "hls/bitpress.h"

static int64_t shifted(int32_t sum, int32_t mul, int64_t add, int shift)
{
#pragma HLS INLINE
    return ((int64_t)sum * mul + add) >> shift;
}

static int code_of(int64_t v, int lo, int hi)
{
#pragma HLS INLINE
    return v < lo ? lo : v > hi ? hi : (int)v;
}

void hls_requantize(uint16_t plane[HLS_PLANES][HLS_N], const int32_t sum[HLS_N][HLS_M], const int32_t mul[HLS_M],
                    const int64_t add[HLS_M], int shift, int lo, int hi)
{
    int code[HLS_N][HLS_M];
#pragma HLS ARRAY_PARTITION variable=code dim=0 complete
drain:
    for (int step = 0; step < HLS_N * HLS_M / BITPRESS_DRAIN; step++) {
#pragma HLS PIPELINE II=1
    lanes:
        for (int l = 0; l < BITPRESS_DRAIN; l++) {
#pragma HLS UNROLL
            int q = (step * BITPRESS_DRAIN + l) / HLS_M, m = l % HLS_M;
            code[q][m] = code_of(shifted(sum[q][m], mul[m], add[m], shift), lo, hi);
        }
    }
planes:
    for (int j = 0; j < HLS_PLANES; j++) {
#pragma HLS UNROLL
    pixels:
        for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
            uint32_t word = 0;
        channels:
            for (int m = 0; m < HLS_M; m++) {
#pragma HLS UNROLL
                word |= ((uint32_t)code[q][m] >> j & 1u) << m;
            }
            plane[j][q] = (uint16_t)word;
        }
    }
}

void hls_logits(int32_t logit[HLS_M], const int32_t sum[HLS_N][HLS_M], const int32_t mul[HLS_M], const int64_t add[HLS_M], int shift)
{
lanes:
    for (int m = 0; m < HLS_M; m++) {
#pragma HLS UNROLL
        int64_t v = shifted(sum[0][m], mul[m], add[m], shift);
        logit[m] = v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : (int32_t)v;
    }
}
