/* qref_kernels: the fast path's inner loops (AVX2). Maps are int16 [h][w][c], sums int32 [h][w][c]. */
#include <immintrin.h>
#include <string.h>

#include "fixed/fixed_internal.h"

enum { TILE = 4 /* pixels a product kernel makes together */ };

static const int16_t *window(const struct qref_term *p, const struct qref_view *v, int y, int x)
{
    return v->map + (int64_t)y * p->t->stride * v->row + (int64_t)x * p->t->stride * v->c;
}

/* ---- products -------------------------------------------------------------------- */

static inline __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void store(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }

static inline __m256i pair(const int16_t *p)
{
    int32_t two;
    memcpy(&two, p, sizeof two);
    return _mm256_set1_epi32(two);
}

/* n windows times 16 outputs: madd multiplies two neighbouring inputs and adds them. */
static inline __attribute__((always_inline)) void
tile(int n, __m256i sum[TILE][2], const struct qref_term *p, const int16_t *const *at, int64_t row, const int16_t *w)
{
    for (int i = 0; i < n; i++)
        sum[i][0] = sum[i][1] = _mm256_setzero_si256();
    for (int64_t ky = 0; ky < p->t->kh; ky++)
        for (int64_t k = ky * row, end = k + 2 * p->pairs; k < end; k += 2, w += 2 * QREF_BLOCK) {
            __m256i w0 = load(w), w1 = load(w + QREF_BLOCK);
            for (int i = 0; i < n; i++) {
                __m256i a = pair(at[i] + k);
                sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(a, w0));
                sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(a, w1));
            }
        }
}

static void add_block(int32_t *acc, const __m256i sum[2], const int32_t *unit, int outputs)
{
    __m256i s0 = _mm256_mullo_epi32(sum[0], load(unit)), s1 = _mm256_mullo_epi32(sum[1], load(unit + 8));
    if (outputs >= QREF_BLOCK) {
        store(acc, _mm256_add_epi32(load(acc), s0));
        store(acc + 8, _mm256_add_epi32(load(acc + 8), s1));
        return;
    }
    int32_t some[QREF_BLOCK];
    store(some, s0);
    store(some + 8, s1);
    for (int o = 0; o < outputs; o++)
        acc[o] += some[o];
}

/* Pixels first .. first+n-1 of the output, in rows. */
static void products_of(int32_t *acc, const struct qref_term *p, const struct qref_view *v, int block, int first, int n)
{
    const int16_t *at[TILE], *w = p->weight + (int64_t)block * p->t->kh * p->pairs * QREF_BLOCK * 2;
    __m256i sum[TILE][2];
    for (int i = 0; i < n; i++)
        at[i] = window(p, v, (first + i) / p->out_w, (first + i) % p->out_w);
    switch (n) {
    case 1: tile(1, sum, p, at, v->row, w); break;
    case 2: tile(2, sum, p, at, v->row, w); break;
    case 3: tile(3, sum, p, at, v->row, w); break;
    default: tile(4, sum, p, at, v->row, w); break;
    }
    for (int i = 0; i < n; i++)
        add_block(acc + (int64_t)(first + i) * p->out_c + p->t->chan + block * QREF_BLOCK, sum[i], p->unit + block * QREF_BLOCK,
                  p->t->cout - block * QREF_BLOCK);
}

void qref_products(int32_t *acc, const struct qref_term *p, const struct qref_view *v)
{
    int pixels = p->out_h * p->out_w;
    for (int block = 0; block < p->blocks; block++)
        for (int first = 0; first < pixels; first += TILE)
            products_of(acc, p, v, block, first, BASE_MIN(TILE, pixels - first));
}

/* ---- channels -------------------------------------------------------------------- */

static void add_weighted(int32_t *restrict acc, const int16_t *restrict a, const int32_t *restrict w, int n)
{
    for (int c = 0; c < n; c++)
        acc[c] += a[c] * w[c];
}

static void add_plane(int32_t *restrict acc, const int16_t *restrict a, int j, const int32_t *restrict coef, int n)
{
    for (int c = 0; c < n; c++)
        acc[c] += -(a[c] >> j & 1) & coef[c];
}

static void channels_of(int32_t *acc, const struct qref_term *p, const int16_t *at, int64_t row, int c)
{
    int n = p->t->cout;
    const int32_t *table = p->table;
    for (int ky = 0; ky < p->t->kh; ky++)
        for (int kx = 0; kx < p->t->kw; kx++) {
            const int16_t *a = at + ky * row + kx * c;
            if (p->channel_planes == 0) {
                add_weighted(acc, a, table, n);
                table += n;
            }
            for (int j = 0; j < p->channel_planes; j++, table += n)
                add_plane(acc, a, j, table, n);
        }
}

void qref_channels(int32_t *acc, const struct qref_term *p, const struct qref_view *v)
{
    for (int y = 0; y < p->out_h; y++)
        for (int x = 0; x < p->out_w; x++)
            channels_of(acc + ((int64_t)y * p->out_w + x) * p->out_c + p->t->chan, p, window(p, v, y, x), v->row, v->c);
}

/* ---- counts ---------------------------------------------------------------------- */

/* Bit j of 32 codes. */
static uint32_t plane32(const int16_t *a, int j)
{
    __m128i up = _mm_cvtsi32_si128(15 - j);
    __m256i both = _mm256_packs_epi16(_mm256_sll_epi16(load(a), up), _mm256_sll_epi16(load(a + 16), up));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(both, 0xd8));
}

/* The window at `at` as bit planes [bits][kh][words]; bits behind a row's end meet weights of 0. */
static void pack_window(uint64_t *bits, const struct qref_term *p, const int16_t *at, int64_t row)
{
    for (int j = 0; j < p->e->bits; j++)
        for (int ky = 0; ky < p->t->kh; ky++)
            for (int i = 0; i < p->words; i++) {
                const int16_t *a = at + ky * row + i * 64;
                *bits++ = plane32(a, j) | (uint64_t)plane32(a + 32, j) << 32;
            }
}

static int64_t count(const uint64_t *a, const uint64_t *b, int n)
{
    int64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += __builtin_popcountll(a[i] & b[i]);
    return sum;
}

static int64_t count_row(const struct qref_term *p, int index, const uint64_t *bits)
{
    int n = p->t->kh * p->words, planes = p->t->n_plane, act = p->e->bits;
    const uint64_t *w = p->plane + (int64_t)index * planes * n;
    const int32_t *coef = p->t->coef + (p->t->coef_shared ? 0 : (int64_t)p->count_row[index] * planes * act);
    int64_t sum = 0;
    for (int t = 0; t < planes; t++)
        for (int j = 0; j < act; j++)
            sum += coef[t * act + j] * count(w + (int64_t)t * n, bits + (int64_t)j * n, n);
    return sum;
}

void qref_counts(int32_t *acc, const struct qref_term *p, const struct qref_view *v, uint64_t *bits)
{
    for (int y = 0; y < p->out_h; y++)
        for (int x = 0; x < p->out_w; x++, acc += p->out_c) {
            pack_window(bits, p, window(p, v, y, x), v->row);
            for (int i = 0; i < p->n_count; i++)
                acc[p->t->chan + p->count_row[i]] += (int32_t)count_row(p, i, bits);
        }
}

/* ---- requantization and pooling --------------------------------------------------- */

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

static void requantize_pixel(int16_t *out, const int32_t *acc, const struct fixed_layer *l)
{
    const __m128i s = _mm_cvtsi32_si128(l->s);
    const __m256i lo = _mm256_set1_epi64x(l->lo), hi = _mm256_set1_epi64x(l->hi), sign = _mm256_set1_epi64x((int64_t)(1ull << 63 >> l->s));
    int c = 0;
    for (; c + 4 <= l->c; c += 4) {
        __m256i y = requantize4(acc + c, l->m + c, l->b + c, s, sign, lo, hi);
        __m128i low = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(y, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
        _mm_storel_epi64((__m128i *)(out + c), _mm_packs_epi32(low, low));
    }
    for (; c < l->c; c++)
        out[c] = (int16_t)qref_requantize(acc[c], l->m[c], l->b[c], l->s, l->lo, l->hi);
}

void qref_requantize_map(int16_t *out, const int32_t *acc, const struct fixed_layer *l)
{
    for (int64_t i = 0, n = (int64_t)l->h * l->w; i < n; i++)
        requantize_pixel(out + i * l->c, acc + i * l->c, l);
}

static void take_larger(int16_t *restrict out, const int16_t *restrict in, int n)
{
    for (int c = 0; c < n; c++)
        out[c] = BASE_MAX(out[c], in[c]);
}

void qref_maxpool(int16_t *out, const struct fixed_layer *l, const struct fixed_edge *e, const int16_t *map)
{
    const struct fixed_term *t = &l->term[0];
    const int16_t lowest = (int16_t)(e->is_signed ? -(1 << (e->bits - 1)) : 0);
    for (int y = 0; y < l->h; y++)
        for (int x = 0; x < l->w; x++, out += l->c) {
            for (int c = 0; c < l->c; c++)
                out[c] = lowest;
            int y0 = y * t->stride - t->pad_t, x0 = x * t->stride - t->pad_l;
            for (int iy = BASE_MAX(y0, 0); iy < BASE_MIN(y0 + t->kh, e->h); iy++)
                for (int ix = BASE_MAX(x0, 0); ix < BASE_MIN(x0 + t->kw, e->w); ix++)
                    take_larger(out, map + ((int64_t)iy * e->w + ix) * e->c, e->c);
        }
}
