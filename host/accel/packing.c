/* Packed raw images: P bit-planes of the image stand side by side in one word, so that a first
 * layer of few channels fills the array. A weight w meets image bit b of the word as w << b, in two's
 * complement; the planes of w << b are listed instead of those of w. That is exact when
 * the coefficients are (value of w) x 2^j, which is checked number by number. */
#include "accel/accel_internal.h"

static const int32_t *coef_row(const struct fixed_term *t, int o, int bits)
{
    return t->coef + (t->coef_shared ? 0 : (size_t)o * (size_t)(t->n_plane * bits));
}

static int32_t gcd(int32_t a, int32_t b)
{
    while (b) {
        int32_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* The greatest common divisor of a row's coefficients at j = 0, or -1 unless all are value x 2^j. */
static int32_t row_unit(const int32_t *coef, int n_plane)
{
    int32_t unit = 0;
    for (int t = 0; t < n_plane; t++) {
        for (int j = 0; j < RAW_BITS; j++)
            if ((int64_t)coef[t * RAW_BITS + j] != (int64_t)coef[t * RAW_BITS] * (1 << j))
                return -1;
        unit = gcd(unit, coef[t * RAW_BITS]);
    }
    return unit;
}

static int32_t value(const struct fixed_term *t, const int32_t *coef, int32_t unit, uint32_t code)
{
    int32_t w = 0;
    for (int i = 0; i < t->n_plane && unit; i++)
        w += code >> i & 1 ? coef[i * RAW_BITS] / unit : 0;
    return w;
}

/* Bits that hold lo..hi: two's complement if lo < 0. */
static int width(int32_t lo, int32_t hi)
{
    int n = 1;
    if (lo < 0)
        while (lo < -(1 << (n - 1)) || hi >= 1 << (n - 1))
            n++;
    else
        while (hi >= 1 << n)
            n++;
    return n;
}

static void value_range(const struct view *v, int32_t *lo, int32_t *hi)
{
    const struct fixed_term *t = v->term;
    int64_t row = (int64_t)t->kh * t->kw * t->cin;
    *lo = *hi = 0;
    for (int o = 0; o < t->cout; o++) {
        const int32_t *coef = coef_row(t, o, RAW_BITS);
        int32_t unit = v->unit[t->coef_shared ? 0 : o];
        for (int64_t i = 0; i < row; i++) {
            int32_t w = value(t, coef, unit, t->code[o * row + i]);
            *lo = BASE_MIN(*lo, w);
            *hi = BASE_MAX(*hi, w);
        }
    }
}

/* False: these coefficients cannot be packed. */
static bool pack_view(struct view *v, int rows)
{
    const struct fixed_term *t = v->term;
    int32_t lo, hi, most = 0;
    for (int o = 0; o < rows; o++) {
        v->unit[o] = row_unit(coef_row(t, o, RAW_BITS), t->n_plane);
        if (v->unit[o] < 0)
            return false;
        most = BASE_MAX(most, v->unit[o]);
    }
    value_range(v, &lo, &hi);
    v->planes = width(lo, hi) + v->pack - 1;
    v->top_negative = lo < 0;
    int top = v->planes - 1 + RAW_BITS - v->pack;
    return v->planes <= FIXED_MAX_PLANES && (int64_t)most << top < MAX_COEF;
}

int accel_view(struct view *v, const struct fixed_net *net, const struct fixed_term *t, int pack, struct base_arena *arena)
{
    *v = (struct view){ .term = t, .pack = t->edge == 0 ? pack : 1, .planes = t->n_plane,
                        .bits = net->edge[t->edge].bits };
    if (v->pack == 1)
        return BASE_OK;
    if (net->edge[0].bits != RAW_BITS)
        return 1;
    int rows = t->coef_shared ? 1 : t->cout;
    v->unit = BASE_ARENA_NEW_N(arena, int32_t, rows);
    if (!v->unit)
        return BASE_NOMEM;
    return pack_view(v, rows) ? BASE_OK : 1;
}

/* 0: all readers allow this packing, 1: one does not, or an error. */
static int allowed(struct build *b, int pack)
{
    for (int i = 0; i < b->net->n_layer; i++) {
        const struct fixed_layer *l = &b->net->layer[i];
        if (l->kind == FIXED_MAXPOOL && l->term[0].edge == 0)
            return 1;
        for (int t = 0; l->kind == FIXED_MAC && t < l->n_term; t++) {
            struct view v;
            int rc = accel_view(&v, b->net, &l->term[t], pack, b->arena);
            if (rc)
                return rc;
        }
    }
    return 0;
}

int accel_choose_pack(struct build *b)
{
    for (b->pack = RAW_BITS; b->pack > 1; b->pack /= 2) {
        if (b->net->edge[0].c > GROUP / b->pack)
            continue;
        int rc = allowed(b, b->pack);
        if (rc <= 0)
            return rc;
    }
    return BASE_OK;
}

/* Coefficient of output channel chan + o, a listed plane, and plane word ab of the map. */
int32_t view_coef(const struct view *v, int o, int plane, int ab)
{
    const struct fixed_term *t = v->term;
    if (!v->unit)
        return coef_row(t, o, v->bits)[plane * v->bits + ab];

    int32_t c = v->unit[t->coef_shared ? 0 : o] << (plane + ab * v->pack);
    return v->top_negative && plane == v->planes - 1 ? -c : c;
}

/* Plane bits of weight number `at` as image bit `bit` of a word meets it. */
uint32_t view_code(const struct view *v, int o, int64_t at, int bit)
{
    const struct fixed_term *t = v->term;
    if (!v->unit)
        return t->code[at];
    int32_t w = value(t, coef_row(t, o, RAW_BITS), v->unit[t->coef_shared ? 0 : o], t->code[at]);
    return ((uint32_t)w << bit) & ((1u << v->planes) - 1);
}
