/* qref_avx2.h: the inner steps of the fast path with AVX2; qref_plain.h has the same in C. */
#ifndef FIXED_QREF_AVX2_H
#define FIXED_QREF_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "fixed/fixed_internal.h"

static inline __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void store(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }

/* QREF_BLOCK sums */
struct sums { __m256i v[2]; };

/* Two neighbouring inputs times weights [QREF_BLOCK][2]: madd multiplies and adds both. */
static inline __attribute__((always_inline)) void sums_madd(struct sums *s, const int16_t *a, const int16_t *w)
{
    int32_t two;
    memcpy(&two, a, sizeof two);
    __m256i both = _mm256_set1_epi32(two);
    s->v[0] = _mm256_add_epi32(s->v[0], _mm256_madd_epi16(both, load(w)));
    s->v[1] = _mm256_add_epi32(s->v[1], _mm256_madd_epi16(both, load(w + QREF_BLOCK)));
}

/* acc += sums x unit */
static inline void sums_add(int32_t *acc, const struct sums *s, const int32_t *unit)
{
    store(acc, _mm256_add_epi32(load(acc), _mm256_mullo_epi32(s->v[0], load(unit))));
    store(acc + 8, _mm256_add_epi32(load(acc + 8), _mm256_mullo_epi32(s->v[1], load(unit + 8))));
}

/* Bit j of 32 codes. */
static inline uint32_t plane32(const int16_t *a, int j)
{
    __m128i up = _mm_cvtsi32_si128(15 - j);
    __m256i both = _mm256_packs_epi16(_mm256_sll_epi16(load(a), up), _mm256_sll_epi16(load(a + 16), up));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(both, 0xd8));
}

/* Four of qref_requantize in 64-bit lanes. AVX2 has no arithmetic shift of 64 bits: the sign bit
 * is moved along and subtracted. */
static inline __m256i requantize4(const int32_t *acc, const int32_t *m, const int64_t *b, __m128i s, __m256i sign, __m256i lo, __m256i hi)
{
    __m256i a = _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)acc)), f = _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)m));
    __m256i y = _mm256_srl_epi64(_mm256_add_epi64(_mm256_mul_epi32(a, f), load(b)), s);
    y = _mm256_sub_epi64(_mm256_xor_si256(y, sign), sign);
    y = _mm256_blendv_epi8(y, lo, _mm256_cmpgt_epi64(lo, y));
    return _mm256_blendv_epi8(y, hi, _mm256_cmpgt_epi64(y, hi));
}

/* The first channels of a pixel; how many. */
static inline int requantize_lanes(int16_t *out, const int32_t *acc, const struct fixed_layer *l)
{
    const __m128i s = _mm_cvtsi32_si128(l->s);
    const __m256i lo = _mm256_set1_epi64x(l->lo), hi = _mm256_set1_epi64x(l->hi), sign = _mm256_set1_epi64x((int64_t)(1ull << 63 >> l->s));
    int c = 0;
    for (; c + 4 <= l->c; c += 4) {
        __m256i y = requantize4(acc + c, l->m + c, l->b + c, s, sign, lo, hi);
        __m128i low = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(y, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
        _mm_storel_epi64((__m128i *)(out + c), _mm_packs_epi32(low, low));
    }
    return c;
}

#endif
