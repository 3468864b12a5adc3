/* maxpool: plane by plane from the top. A tap is in the race while its bits equal those of the best; the output bit
 * is the OR over the taps in the race. The top plane of signed codes is inverted on the way in and out. */
#include "hls/bitpress.h"

void hls_maxpool(uint16_t best[HLS_N], uint16_t race[HLS_N][HLS_TAPS], const uint16_t window[HLS_N][HLS_TAPS], int taps, bool top,
                 bool invert)
{
#pragma HLS INLINE
    const uint16_t flip = invert ? 0xffff : 0;
lanes:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
        uint16_t any = 0;
    ask:
        for (int tap = 0; tap < HLS_TAPS; tap++) {
#pragma HLS UNROLL
            if (top)
                race[q][tap] = taps >> tap & 1 ? 0xffff : 0;
            any |= race[q][tap] & (window[q][tap] ^ flip);
        }
    drop:
        for (int tap = 0; tap < HLS_TAPS; tap++) {
#pragma HLS UNROLL
            race[q][tap] &= (uint16_t)((window[q][tap] ^ flip) | ~any);
        }
        best[q] = any ^ flip;
    }
}
