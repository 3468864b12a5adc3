/* array: M x N dot-product units: AND a weight row with a pixel's window, count the ones, multiply the count by the
 * row's coefficient, accumulate. One weight plane a cycle; the product is one DSP. */
#include "hls/bitpress.h"

/* Ones in 16 bits, as an adder tree. */
static uint16_t count_ones(uint16_t x)
{
#pragma HLS INLINE
    x = (uint16_t)(x - (x >> 1 & 0x5555));
    x = (uint16_t)((x & 0x3333) + (x >> 2 & 0x3333));
    x = (uint16_t)((x + (x >> 4)) & 0x0f0f);
    return (uint16_t)((x + (x >> 8)) & 0x1f);
}

/* One weight plane in all units. */
static void issue(int32_t sum[HLS_N][HLS_M], const uint16_t window[HLS_N][HLS_TAPS], const uint16_t weight[HLS_TAPS][HLS_M],
                  const int32_t coef[HLS_M])
{
#pragma HLS INLINE
pixels:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
        uint16_t count[HLS_M] = { 0 };
    taps:
        for (int tap = 0; tap < HLS_TAPS; tap++) {
#pragma HLS UNROLL
        counters:
            for (int m = 0; m < HLS_M; m++) {
#pragma HLS UNROLL
                count[m] = (uint16_t)(count[m] + count_ones(window[q][tap] & weight[tap][m]));
            }
        }
    units:
        for (int m = 0; m < HLS_M; m++) {
#pragma HLS UNROLL
            int32_t product = count[m] * coef[m];          /* 8 x 18 bits */
            sum[q][m] = (int32_t)((uint32_t)sum[q][m] + (uint32_t)product);
        }
    }
}

void hls_accumulate(int32_t sum[HLS_N][HLS_M], const uint16_t window[HLS_N][HLS_TAPS],
                    const uint16_t weight[BITPRESS_WEIGHT_DEPTH][HLS_TAPS][HLS_M], int waddr, const int32_t coef[BITPRESS_COEF_DEPTH][HLS_M],
                    int first_coef, int planes)
{
weight_planes:
    for (int wp = 0; wp < planes; wp++) {
#pragma HLS PIPELINE II=1
        issue(sum, window, weight[waddr + wp], coef[first_coef + wp]);
    }
}
