/* qref_plan: each term's tables for the fast kernels. */
#include <string.h>

#include "fixed/fixed_internal.h"

/* One output row of a term. */
struct row { const struct fixed_term *t; const uint16_t *code; const int32_t *coef; int64_t n; int bits; bool is_signed; };

static struct row row_of(const struct fixed_term *t, const struct fixed_edge *e, int o)
{
    int64_t n = (int64_t)t->kh * t->kw * t->cin;
    return (struct row){ t, t->code + o * n, t->coef + (t->coef_shared ? 0 : (int64_t)o * t->n_plane * e->bits), n, e->bits, e->is_signed };
}

/* Every plane's coefficients are its value x 2^j, the sign plane's negative: then the planes
 * of an activation add up to (value of the weight) x (the activation). */
static bool forms_weight(const struct row *r)
{
    for (int t = 0; t < r->t->n_plane; t++)
        for (int j = 0; j < r->bits; j++) {
            int64_t want = (int64_t)r->coef[t * r->bits] * (1 << j);
            if (r->coef[t * r->bits + j] != (r->is_signed && j == r->bits - 1 ? -want : want))
                return false;
        }
    return true;
}

/* What activation bit j of weight i adds; at j = 0 the weight's value. */
static int32_t bit_value(const struct row *r, int64_t i, int j)
{
    int32_t sum = 0;
    for (int t = 0; t < r->t->n_plane; t++)
        if (r->code[i] >> t & 1)
            sum += r->coef[t * r->bits + j];
    return sum;
}

/* ---- products ------------------------------------------------------------------- */

static int32_t gcd(int32_t a, int32_t b)
{
    while (b) {
        int32_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* Greatest common divisor of the row's weights; 0: they do not fit int16 even so. */
static int32_t unit_of(const struct row *r)
{
    int32_t unit = 0, most = 0;
    for (int64_t i = 0; i < r->n; i++) {
        int32_t w = bit_value(r, i, 0);
        if (w % (unit ? unit : 1) || !unit)
            unit = gcd(unit, w);
        most = BASE_MAX(most, w < 0 ? -w : w);
    }
    if (unit == 0)
        return 1;
    return most / unit <= INT16_MAX ? unit : 0;
}

static void put_products(struct qref_term *p, const struct row *r, int o, int32_t unit)
{
    int block = o / QREF_BLOCK, lane = o % QREF_BLOCK, width = p->t->kw * p->t->cin;
    p->unit[o] = unit;
    for (int64_t i = 0; i < r->n; i++) {
        int64_t ky = i / width, x = i % width, at = ((int64_t)block * p->t->kh + ky) * p->pairs + x / 2;
        p->weight[(at * QREF_BLOCK + lane) * 2 + x % 2] = (int16_t)(bit_value(r, i, 0) / unit);
    }
}

static int plan_products(struct qref_term *p, struct base_arena *a, int32_t *units, int *left)
{
    const struct fixed_term *t = p->t;
    int products = 0;
    for (int o = 0; o < t->cout; o++) {
        struct row r = row_of(t, p->e, o);
        units[o] = forms_weight(&r) ? unit_of(&r) : 0;
        products += units[o] != 0;
    }
    *left = t->cout - products;
    if (!products)
        return BASE_OK;
    p->blocks = (t->cout + QREF_BLOCK - 1) / QREF_BLOCK;
    p->pairs = (t->kw * t->cin + 1) / 2;
    p->weight = BASE_ARENA_NEW_N(a, int16_t, (int64_t)p->blocks * t->kh * p->pairs * QREF_BLOCK * 2);
    p->unit = BASE_ARENA_NEW_N(a, int32_t, p->blocks * QREF_BLOCK);
    if (!p->weight || !p->unit)
        return BASE_NOMEM;
    for (int o = 0; o < t->cout; o++) {
        struct row r = row_of(t, p->e, o);
        if (units[o])
            put_products(p, &r, o, units[o]);
    }
    return BASE_OK;
}

/* ---- counts ---------------------------------------------------------------------- */

static void put_planes(struct qref_term *p, const struct row *r, uint64_t *plane)
{
    int width = p->t->kw * p->t->cin;
    for (int64_t i = 0; i < r->n; i++) {
        int64_t ky = i / width, x = i % width;
        for (int t = 0; t < p->t->n_plane; t++)
            plane[(t * p->t->kh + ky) * p->words + x / 64] |= (uint64_t)(r->code[i] >> t & 1) << (x % 64);
    }
}

static int plan_counts(struct qref_term *p, struct base_arena *a, const int32_t *units, int left)
{
    const struct fixed_term *t = p->t;
    p->words = (t->kw * t->cin + 63) / 64;
    int64_t size = (int64_t)t->n_plane * t->kh * p->words;
    p->count_row = BASE_ARENA_NEW_N(a, int, left);
    p->plane = BASE_ARENA_NEW_N(a, uint64_t, left * size);
    if (!p->count_row || !p->plane)
        return BASE_NOMEM;
    for (int o = 0; o < t->cout; o++) {
        struct row r = row_of(t, p->e, o);
        if (units[o])
            continue;
        put_planes(p, &r, p->plane + p->n_count * size);
        p->count_row[p->n_count++] = o;
    }
    return BASE_OK;
}

static int plan_dense(struct qref_term *p, struct base_arena *a)
{
    int left, rc;
    int32_t *units = BASE_NEW_N(int32_t, p->t->cout);
    if (!units)
        return BASE_NOMEM;
    rc = plan_products(p, a, units, &left);
    if (!rc && left)
        rc = plan_counts(p, a, units, left);
    base_free(units);
    return rc;
}

/* ---- channels -------------------------------------------------------------------- */

static int plan_channels(struct qref_term *p, struct base_arena *a)
{
    const struct fixed_term *t = p->t;
    int taps = t->kh * t->kw, planes;
    for (int o = 0; o < t->cout; o++) {
        struct row r = row_of(t, p->e, o);
        if (!forms_weight(&r))
            p->channel_planes = p->e->bits;
    }
    planes = BASE_MAX(p->channel_planes, 1);
    p->table = BASE_ARENA_NEW_N(a, int32_t, (int64_t)taps * planes * t->cout);
    if (!p->table)
        return BASE_NOMEM;
    for (int o = 0; o < t->cout; o++) {
        struct row r = row_of(t, p->e, o);
        for (int tap = 0; tap < taps; tap++)
            for (int j = 0; j < planes; j++)
                p->table[((int64_t)tap * planes + j) * t->cout + o] = bit_value(&r, tap, j);
    }
    return BASE_OK;
}

/* ---- a layer --------------------------------------------------------------------- */

static void plan_window(struct qref_term *p)
{
    const struct fixed_term *t = p->t;
    p->pad_h = (p->out_h - 1) * t->stride + t->kh;
    p->pad_w = (p->out_w - 1) * t->stride + t->kw;
    p->padded = t->pad_t || t->pad_l || p->pad_h > p->e->h || p->pad_w > p->e->w;
}

int qref_plan_layer(struct qref_layer_plan *p, const struct fixed_net *net, int layer, struct base_arena *a)
{
    const struct fixed_layer *l = p->l = &net->layer[layer];
    for (int i = 0; l->kind == FIXED_MAC && i < l->n_term; i++) {
        struct qref_term *q = &p->term[i];
        *q = (struct qref_term){ .t = &l->term[i], .e = &net->edge[l->term[i].edge], .out_h = l->h, .out_w = l->w, .out_c = l->c };
        plan_window(q);
        int rc = q->t->depthwise ? plan_channels(q, a) : plan_dense(q, a);
        if (rc)
            return rc;
    }
    return BASE_OK;
}
