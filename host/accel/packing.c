/* Packed maps: P bit-planes stand side by side in one word. A weight w meets bit b of the word as w << b, in two's
 * complement; the planes of w << b are listed instead of those of w. That is exact when
 * the coefficients are (value of w) x 2^j, which is checked number by number. Images are packed as tightly as they
 * can be, so that a first layer of few channels fills the array; other maps are paired (P = 2) where their readers get faster. */
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
static int32_t row_unit(const int32_t *coef, int n_plane, int bits)
{
    int32_t unit = 0;
    for (int t = 0; t < n_plane; t++) {
        for (int j = 0; j < bits; j++)
            if ((int64_t)coef[t * bits + j] != (int64_t)coef[t * bits] * (1 << j))
                return -1;
        unit = gcd(unit, coef[t * bits]);
    }
    return unit;
}

static int32_t value(const struct view *v, const int32_t *coef, int32_t unit, uint32_t code)
{
    int32_t w = 0;
    for (int i = 0; i < v->term->n_plane && unit; i++)
        w += code >> i & 1 ? coef[i * v->bits] / unit : 0;
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
        const int32_t *coef = coef_row(t, o, v->bits);
        int32_t unit = v->unit[t->coef_shared ? 0 : o];
        for (int64_t i = 0; i < row; i++) {
            int32_t w = value(v, coef, unit, t->code[o * row + i]);
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
        v->unit[o] = row_unit(coef_row(t, o, v->bits), t->n_plane, v->bits);
        if (v->unit[o] < 0)
            return false;
        most = BASE_MAX(most, v->unit[o]);
    }
    value_range(v, &lo, &hi);
    v->planes = width(lo, hi) + v->pack - 1;
    v->top_negative = lo < 0;
    int top = v->planes - 1 + (ceil_div(v->bits, v->pack) - 1) * v->pack;
    return v->planes <= FIXED_MAX_PLANES && (int64_t)most << top < MAX_COEF;
}

int accel_view(struct view *v, const struct build *b, const struct fixed_term *t, int pack)
{
    *v = (struct view){ .term = t, .pack = pack, .planes = t->n_plane, .bits = b->net->edge[t->edge].bits };
    if (v->pack == 1)
        return BASE_OK;
    int rows = t->coef_shared ? 1 : t->cout;
    v->unit = BASE_ARENA_NEW_N(b->arena, int32_t, rows);
    if (!v->unit)
        return BASE_NOMEM;
    return pack_view(v, rows) ? BASE_OK : 1;
}

/* 0: all readers of the edge allow this packing, 1: one does not, or an error. */
static int allowed(const struct build *b, int edge, int pack)
{
    for (int i = 0; i < b->net->n_layer; i++) {
        const struct fixed_layer *l = &b->net->layer[i];
        for (int t = 0; t < terms_of(l); t++) {
            struct view v;
            if (l->term[t].edge != edge)
                continue;
            int rc = l->kind == FIXED_MAXPOOL ? 1 : accel_view(&v, b, &l->term[t], pack);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int pack_image(struct build *b)
{
    for (b->pack[0] = RAW_BITS; b->pack[0] > 1; b->pack[0] /= 2) {
        if (b->net->edge[0].c > GROUP / b->pack[0])
            continue;
        int rc = allowed(b, 0, b->pack[0]);
        if (rc <= 0)
            return rc;
    }
    return BASE_OK;
}

/* ---- pairs --------------------------------------------------------------------------- */

/* Of a term in a packing of the map that it reads, for each filter group: cycles of a tile, weight words. The lists of kwords.c, weights dense. */
struct cost { int cycles, words; };

static struct cost term_cost(const struct build *b, const struct fixed_layer *l, const struct fixed_term *t, int pack)
{
    const struct fixed_edge *e = &b->net->edge[t->edge];
    int groups = ceil_div(e->c, GROUP / pack), stride = array_stride(l, t), planes = ceil_div(e->bits, pack), w = t->n_plane + pack - 1;
    int columns = t->depthwise ? BASE_MIN(groups, pack) : groups;
    bool one_pixel = accel_one_pixel(b, l, t);
    struct cost sum = { 0 };
    if (t->depthwise || !one_pixel) {
        sum.words = w * ceil_div(t->kh, 3) * ceil_div(t->kw, 3) * columns;
        sum.cycles = planes * sum.words;
    }
    for (int g = 0; one_pixel && !t->depthwise && g < groups; g += TAPS) {
        sum.cycles += planes * BASE_MAX(w, stride * ceil_div(BASE_MIN(TAPS, groups - g), 3));
        sum.words += w;
    }
    if (!one_pixel || columns > 3)
        return sum;
    struct cost folded = { planes * BASE_MAX(w / 2 + 1, stride * columns), w / 2 + 1 };        /* the sign stays alone */
    struct cost next = { ceil_div(planes, 2) * BASE_MAX(w, stride * columns), w };
    if (!t->depthwise && folded.cycles < sum.cycles)
        sum = folded;
    return pack == 1 && !e->is_signed && next.cycles < sum.cycles ? next : sum;
}

/* Cycles of the layers that read the edge when it has this packing, and of the way of their weights to the chip. */
static int64_t read_cycles(const struct build *b, int edge, int pack)
{
    int64_t sum = 0;
    int steps = hw_drain_steps(b->hw);
    for (int i = 0; i < b->net->n_layer; i++) {
        const struct fixed_layer *l = &b->net->layer[i];
        struct cost all = { 0 };
        bool reads = false;
        for (int t = 0; l->kind == FIXED_MAC && t < l->n_term; t++) {
            int from = l->term[t].edge;
            struct cost c = term_cost(b, l, &l->term[t], from == edge ? pack : b->pack[from]);
            reads |= from == edge;
            all.cycles += c.cycles;
            all.words += c.words;
        }
        int64_t tile = BASE_MAX(all.cycles, BASE_MAX(steps, l->out < 0 ? 0 : b->net->edge[l->out].bits));
        if (reads)
            sum += ceil_div(l->c, b->hw->m) * (l->h * ceil_div(l->w, b->hw->n) * tile + (int64_t)all.words * b->hw->m * b->hw->k / 64);
    }
    return sum;
}

static bool written_by_mac(const struct fixed_net *net, int edge)
{
    for (int i = 0; i < net->n_layer; i++)
        if (net->layer[i].out == edge)
            return net->layer[i].kind == FIXED_MAC;
    return false;
}

/* Edge by edge: two bit-planes of eight channels in a word, if that makes its readers faster by more than the longer weights take to come. */
static int pair_maps(struct build *b)
{
    int rc = BASE_OK;
    for (int e = 1; rc >= 0 && e < b->net->n_edge; e++) {
        const struct fixed_edge *edge = &b->net->edge[e];
        b->pack[e] = 1;
        if (edge->bits < 2 || edge->is_signed || !written_by_mac(b->net, e) || read_cycles(b, e, 2) >= read_cycles(b, e, 1))
            continue;
        rc = allowed(b, e, 2);
        b->pack[e] = rc == 0 ? 2 : 1;
    }
    return BASE_MIN(rc, BASE_OK);
}

int accel_choose_pack(struct build *b)
{
    b->pack = BASE_ARENA_NEW_N(b->arena, int, b->net->n_edge);
    if (!b->pack)
        return BASE_NOMEM;
    for (int e = 0; e < b->net->n_edge; e++)
        b->pack[e] = 1;
    int rc = pack_image(b);
    return rc ? rc : pair_maps(b);
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

/* Plane bits of weight number `at` as bit `bit` of a word meets it. */
uint32_t view_code(const struct view *v, int o, int64_t at, int bit)
{
    const struct fixed_term *t = v->term;
    if (!v->unit)
        return t->code[at];
    int32_t w = value(v, coef_row(t, o, v->bits), v->unit[t->coef_shared ? 0 : o], t->code[at]);
    return ((uint32_t)w << bit) & ((1u << v->planes) - 1);
}
