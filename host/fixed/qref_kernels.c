/* qref_kernels: the fast path's inner loops. Maps are int16 [h][w][c], sums int32 [h][w][c]. */
#ifdef __AVX2__
#include "fixed/qref_avx2.h"
#else
#include "fixed/qref_plain.h"
#endif

enum { TILE = 4 /* pixels a product kernel makes together */ };

static const int16_t *window(const struct qref_term *p, const struct qref_view *v, int y, int x)
{
    return v->map + (int64_t)y * p->t->stride * v->row + (int64_t)x * p->t->stride * v->c;
}

/* ---- products -------------------------------------------------------------------- */

/* n windows times QREF_BLOCK outputs. */
static inline __attribute__((always_inline)) void
tile(int n, struct sums sum[TILE], const struct qref_term *p, const int16_t *const *at, int64_t row, const int16_t *w)
{
    for (int i = 0; i < n; i++)
        sum[i] = (struct sums){ 0 };
    for (int64_t ky = 0; ky < p->t->kh; ky++)
        for (int64_t k = ky * row, end = k + 2 * p->pairs; k < end; k += 2, w += 2 * QREF_BLOCK)
            for (int i = 0; i < n; i++)
                sums_madd(&sum[i], at[i] + k, w);
}

static void add_block(int32_t *acc, const struct sums *sum, const int32_t *unit, int outputs)
{
    if (outputs >= QREF_BLOCK) {
        sums_add(acc, sum, unit);
        return;
    }
    int32_t some[QREF_BLOCK] = { 0 };
    sums_add(some, sum, unit);
    for (int o = 0; o < outputs; o++)
        acc[o] += some[o];
}

/* Pixels first .. first+n-1 of the output, in rows. */
static void products_of(int32_t *acc, const struct qref_term *p, const struct qref_view *v, int block, int first, int n)
{
    const int16_t *at[TILE], *w = p->weight + (int64_t)block * p->t->kh * p->pairs * QREF_BLOCK * 2;
    struct sums sum[TILE];
    for (int i = 0; i < n; i++)
        at[i] = window(p, v, (first + i) / p->out_w, (first + i) % p->out_w);
    switch (n) {
    case 1: tile(1, sum, p, at, v->row, w); break;
    case 2: tile(2, sum, p, at, v->row, w); break;
    case 3: tile(3, sum, p, at, v->row, w); break;
    default: tile(4, sum, p, at, v->row, w); break;
    }
    for (int i = 0; i < n; i++)
        add_block(acc + (int64_t)(first + i) * p->out_c + p->t->chan + block * QREF_BLOCK, &sum[i], p->unit + block * QREF_BLOCK,
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

static void requantize_pixel(int16_t *out, const int32_t *acc, const struct fixed_layer *l)
{
    for (int c = requantize_lanes(out, acc, l); c < l->c; c++)
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
