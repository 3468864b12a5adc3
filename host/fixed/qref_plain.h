/* qref_plain.h: what qref_avx2.h has, in C, for boards' processors. Sums wrap, as vectors' do. */
#ifndef FIXED_QREF_PLAIN_H
#define FIXED_QREF_PLAIN_H

#include "fixed/fixed_internal.h"

struct sums { uint32_t v[QREF_BLOCK]; };

static inline __attribute__((always_inline)) void sums_madd(struct sums *s, const int16_t *a, const int16_t *w)
{
    for (int o = 0; o < QREF_BLOCK; o++)
        s->v[o] += (uint32_t)(a[0] * w[2 * o]) + (uint32_t)(a[1] * w[2 * o + 1]);
}

static inline void sums_add(int32_t *acc, const struct sums *s, const int32_t *unit)
{
    for (int o = 0; o < QREF_BLOCK; o++)
        acc[o] = (int32_t)((uint32_t)acc[o] + s->v[o] * (uint32_t)unit[o]);
}

static inline uint32_t plane32(const int16_t *a, int j)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(a[i] >> j & 1) << i;
    return bits;
}

/* None: qref_requantize takes them all. */
static inline int requantize_lanes(int16_t *out, const int32_t *acc, const struct fixed_layer *l)
{
    (void)out, (void)acc, (void)l;
    return 0;
}

#endif
