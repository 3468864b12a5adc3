/* A MAC layer as lists of K-words: kernels cut into 3 x 3 pieces and groups of 16 channels. */
#include "accel/accel_internal.h"

/* What one K-word reads: a 3 x 3 window of one group, or up to nine groups of one pixel. */
struct piece {
    bool group_mode, repeat;   /* repeat: group mode with one group a column, in its three rows */
    bool next;                 /* of them the second and third with the next activation plane */
    int group, columns;        /* first channel group; tap columns of group mode */
    int ky, kx, kh, kw;        /* the part of the kernel */
    int oy, ox, shift;         /* window offset; tap column of kx */
    int stride;
};

/* Rows (output channels of the filter group) and what they compute. */
struct rows { int first, count; };

/* ---- one K-word ---------------------------------------------------------------- */

static uint64_t tap_bits(const uint64_t *plane, int row, int tap)
{
    int bit = row * ROW_BITS + tap * GROUP;
    return plane[bit / 64] >> (bit % 64) & 0xffff;
}

static void add_tap_bits(uint64_t *plane, int row, int tap, uint64_t bits)
{
    int bit = row * ROW_BITS + tap * GROUP;
    plane[bit / 64] |= bits << (bit % 64);
}

/* Bit b of byte c becomes bit c of byte b (Warren: "Hacker's Delight", 2013, 7-3). */
static uint64_t transpose(uint64_t x)
{
    uint64_t swap = (x ^ x >> 7) & 0x00aa00aa00aa00aa;
    x ^= swap ^ swap << 7;
    swap = (x ^ x >> 14) & 0x0000cccc0000cccc;
    x ^= swap ^ swap << 14;
    swap = (x ^ x >> 28) & 0x00000000f0f0f0f0;
    return x ^ swap ^ swap << 28;
}

/* The codes of a tap's channels, as their planes. */
static void put_codes(struct build *b, const struct view *v, int row, int tap, const uint32_t code[GROUP])
{
    size_t words = (size_t)(b->hw->m * b->hw->k / 64);
    for (int low = 0; low < v->planes; low += 8) {
        uint64_t half[GROUP / 8] = { 0 };
        for (int c = 0; c < GROUP; c++)
            half[c / 8] |= (uint64_t)(code[c] >> low & 0xff) << c % 8 * 8;
        uint64_t left = transpose(half[0]), right = transpose(half[1]);
        for (int plane = low; plane < BASE_MIN(v->planes, low + 8); plane++, left >>= 8, right >>= 8)
            add_tap_bits(b->words + (size_t)plane * words, row, tap, (left & 0xff) | (right & 0xff) << 8);
    }
}

/* Input channels that tap group g holds for output channel o, as [*lo, *hi) of the edge's. */
static void inputs(const struct view *v, int o, int g, int *lo, int *hi)
{
    const struct fixed_term *t = v->term;
    int span = GROUP / v->pack;
    *lo = g * span;
    *hi = *lo + span;
    if (t->depthwise) {
        *lo = BASE_MAX(*lo, o);
        *hi = BASE_MIN(*hi, o + 1);
    } else {
        *hi = BASE_MIN(*hi, t->cin);
    }
}

static void put_tap(struct build *b, const struct view *v, int row, int o, int g, int ky, int kx, int tap)
{
    const struct fixed_term *t = v->term;
    int lo, hi;
    inputs(v, o, g, &lo, &hi);
    int64_t at = (((int64_t)o * t->kh + ky) * t->kw + kx) * t->cin;
    uint32_t code[GROUP] = { 0 };
    for (int bit = 0; bit < v->pack; bit++)
        for (int i = lo; i < hi; i++)
            code[bit * (GROUP / v->pack) + i - g * (GROUP / v->pack)] = view_code(v, o, at + (t->depthwise ? 0 : i), bit);
    put_codes(b, v, row, tap, code);
}

static void put_row(struct build *b, const struct view *v, const struct piece *p, int row, int o)
{
    if (p->repeat) {
        for (int column = 0; column < p->columns; column++)
            put_tap(b, v, row, o, p->group + column, 0, 0, column);
        return;
    }
    if (p->group_mode) {
        for (int tap = 0; tap < TAPS; tap++)   /* tap (r, p) = group + 3 p + r */
            put_tap(b, v, row, o, p->group + 3 * (tap % 3) + tap / 3, 0, 0, tap);
        return;
    }
    for (int y = 0; y < p->kh; y++)
        for (int x = 0; x < p->kw; x++)
            put_tap(b, v, row, o, p->group, p->ky + y, p->kx + x, 3 * y + p->shift + x);
}

/* Planes of a term that hold the same bits in a K-word: listed as one, whose coefficient is the sum of theirs. */
struct kept { unsigned planes; };

static int32_t sum_coef(const struct view *v, int o, struct kept k, int ab)
{
    int32_t sum = 0;
    for (int plane = 0; plane < v->planes; plane++)
        if (k.planes >> plane & 1)
            sum += view_coef(v, o, plane, ab);
    return sum;
}

static bool sums_fit(const struct build *b, const struct view *v, struct rows r, int filter, struct kept k)
{
    int o = filter * b->hw->m + r.first - v->term->chan;
    for (int row = 0; row < r.count; row++)
        for (int ab = 0; ab < b->place[v->term->edge].planes; ab++) {
            int32_t sum = sum_coef(v, o + row, k, ab);
            if (sum <= -MAX_COEF || sum >= MAX_COEF)
                return false;
        }
    return true;
}

/* Moves the planes that hold a bit to the front, equal ones to one place. */
static int keep_planes(struct build *b, const struct view *v, struct rows r, int filter, struct kept *kept)
{
    size_t words = (size_t)(b->hw->m * b->hw->k / 64);
    int n = 0;
    for (int plane = 0; plane < v->planes; plane++) {
        uint64_t any = 0, *from = b->words + (size_t)plane * words;
        for (size_t i = 0; i < words; i++)
            any |= from[i];
        if (!any)
            continue;
        int at = 0;
        for (struct kept both; at < n; at++) {
            both.planes = kept[at].planes | 1u << plane;
            if (!memcmp(b->words + (size_t)at * words, from, words * sizeof *from) && sums_fit(b, v, r, filter, both))
                break;
        }
        if (at == n) {
            memmove(b->words + (size_t)n * words, from, words * sizeof *from);
            kept[n++].planes = 0;
        }
        kept[at].planes |= 1u << plane;
    }
    return n;
}

/* Rows without weights get the shared coefficient, which makes more vectors equal. */
static void put_coefs(struct build *b, const struct view *v, struct rows r, int filter, const struct kept *kept, int n, int planes)
{
    const struct fixed_term *t = v->term;
    for (int ab = 0; ab < planes; ab++)
        for (int i = 0; i < n; i++)
            for (int row = 0; row < b->hw->m; row++) {
                int o = filter * b->hw->m + row - t->chan;
                bool ours = row >= r.first && row < r.first + r.count;
                b->coefs[(ab * n + i) * b->hw->m + row] =
                    ours ? sum_coef(v, o, kept[i], ab) : t->coef_shared ? sum_coef(v, 0, kept[i], ab) : 0;
            }
}

/* Plane j of n counts twice as much as plane i, whatever the row and the activation plane. */
static bool is_double(const struct build *b, int n, int planes, int i, int j)
{
    int m = b->hw->m;
    for (int ab = 0; ab < planes; ab++)
        for (int row = 0; row < m; row++)
            if (b->coefs[(ab * n + j) * m + row] != 2 * b->coefs[(ab * n + i) * m + row])
                return false;
    return true;
}

/* Of n planes in the first row of taps, two whose coefficients are c and 2 c become one: the second goes into the other
 * two rows, which see the same activations. Returns how many planes are left. */
static int fold_planes(struct build *b, int n, int planes)
{
    size_t words = (size_t)(b->hw->m * b->hw->k / 64), m = (size_t)b->hw->m;
    int first[FIXED_MAX_PLANES], left = 0;
    bool used[FIXED_MAX_PLANES] = { false };
    for (int i = 0; i < n; i++) {
        if (used[i])
            continue;
        uint64_t *plane = b->words + (size_t)i * words;
        int j = i + 1;
        while (j < n && (used[j] || !is_double(b, n, planes, i, j)))
            j++;
        for (int row = 0; j < n && row < b->hw->m; row++)
            for (int column = 0; column < 3; column++)
                for (int r = 1; r < 3; r++)
                    add_tap_bits(plane, row, 3 * r + column, tap_bits(b->words + (size_t)j * words, row, column));
        if (j < n)
            used[j] = true;
        memmove(b->words + (size_t)left * words, plane, words * sizeof *plane);
        first[left++] = i;
    }
    for (int ab = 0; ab < planes; ab++)
        for (int i = 0; i < left; i++)
            memmove(b->coefs + (size_t)(ab * left + i) * m, b->coefs + (size_t)(ab * n + first[i]) * m, m * sizeof *b->coefs);
    return left;
}

static int append(struct build *b, uint64_t w0, struct kword names)
{
    if (b->n_kword == b->cap_kword) {
        int cap = 2 * b->cap_kword + 64;
        size_t record = PROGRAM_KWORD_WORDS * sizeof *b->kword;
        uint64_t *k = base_realloc(b->kword, (size_t)b->cap_kword * record, (size_t)cap * record);
        if (!k)
            return BASE_NOMEM;
        b->kword = k;
        struct kword *n = base_realloc(b->names, (size_t)b->cap_kword * sizeof *n, (size_t)cap * sizeof *n);
        if (!n)
            return BASE_NOMEM;
        b->names = n;
        b->cap_kword = cap;
    }
    b->kword[PROGRAM_KWORD_WORDS * b->n_kword] = w0;
    b->names[b->n_kword++] = names;
    return BASE_OK;
}

/* The n planes in b->words with the coefficients in b->coefs become a K-word. */
static int emit(struct build *b, int edge, const struct piece *p, int n)
{
    int planes = p->next ? ceil_div(b->place[edge].planes, 2) : b->place[edge].planes;
    int waddr = pool_add(&b->weight, b->words, n), coef = pool_add(&b->coef, b->coefs, planes * n);
    if (waddr < 0 || coef < 0)
        return BASE_NOMEM;
    int flags = (p->group_mode ? PROGRAM_KW_GROUP : 0) | (p->repeat ? PROGRAM_KW_REPEAT : 0) | (p->next ? PROGRAM_KW_NEXT : 0) | (p->stride == 2 ? PROGRAM_KW_STRIDE2 : 0);
    uint64_t w0 = put_bits(flags, 15, 8) | put_bits(n, 23, 16) | put_bits(p->columns, 31, 24) |
                  put_bits(p->group, 47, 32) | put_bits(p->oy, 55, 48) | put_bits(p->ox, 63, 56);
    return append(b, w0, (struct kword){ edge, waddr, coef });
}

/* The piece's planes and their coefficients; returns how many. */
static int make_planes(struct build *b, const struct view *v, const struct piece *p, struct rows r, int filter)
{
    const struct fixed_term *t = v->term;
    struct kept kept[FIXED_MAX_PLANES];
    memset(b->words, 0, (size_t)v->planes * (size_t)(b->hw->m * b->hw->k / 8));
    for (int row = r.first; row < r.first + r.count; row++)
        put_row(b, v, p, row, filter * b->hw->m + row - t->chan);
    int n = keep_planes(b, v, r, filter, kept);
    put_coefs(b, v, r, filter, kept, n, b->place[t->edge].planes);
    return n;
}

/* `n` planes of the term are there; `listed` are left where some were folded. None: the piece is pruned. */
static int finish_piece(struct build *b, const struct view *v, const struct piece *p, int n, int listed)
{
    if (is_weighted(v->term)) {
        b->count->dense += v->planes;
        b->count->listed += n;
    }
    return n ? emit(b, v->term->edge, p, listed) : BASE_OK;
}

static int add_piece(struct build *b, const struct view *v, const struct piece *p, struct rows r, int filter)
{
    int n = make_planes(b, v, p, r, filter);
    return finish_piece(b, v, p, n, n);
}

/* ---- a term's pieces ------------------------------------------------------------- */

/* Reads of the activation memory for one window. */
static int reads(int stride, int ox)
{
    int d = (ox + 1) & 7;
    return stride == 1 ? (d ? 2 : 1) : (d <= 1 ? 2 : 3);
}

/* A piece narrower than three may sit anywhere in the window: where it costs the fewest reads. */
static void place_piece(struct piece *p, const struct fixed_term *t)
{
    int start = p->kx - t->pad_l;
    p->oy = p->ky - t->pad_t;
    p->shift = 0;
    for (int s = 1; s <= 3 - p->kw; s++)
        if (reads(p->stride, start - s) < reads(p->stride, start - p->shift))
            p->shift = s;
    p->ox = start - p->shift;
}

/* What group mode asks for: it has neither padding nor offsets. */
bool accel_one_pixel(const struct build *b, const struct fixed_layer *l, const struct fixed_term *t)
{
    const struct fixed_edge *e = &b->net->edge[t->edge];
    int s = array_stride(l, t);
    return t->kh == 1 && t->kw == 1 && t->pad_t == 0 && t->pad_l == 0 && (l->h - 1) * s < e->h && (l->w - 1) * s < e->w;
}

static int spatial_pieces(struct build *b, const struct view *v, int stride, int g, struct rows r, int filter)
{
    const struct fixed_term *t = v->term;
    for (int ky = 0; ky < t->kh; ky += 3)
        for (int kx = 0; kx < t->kw; kx += 3) {
            struct piece p = { .group = g, .ky = ky, .kx = kx, .kh = BASE_MIN(3, t->kh - ky),
                               .kw = BASE_MIN(3, t->kw - kx), .stride = stride };
            place_piece(&p, t);
            int rc = add_piece(b, v, &p, r, filter);
            if (rc)
                return rc;
        }
    return BASE_OK;
}

static int group_pieces(struct build *b, const struct view *v, int stride, struct rows r, int filter)
{
    int groups = b->place[v->term->edge].groups;
    for (int g = 0; g < groups; g += TAPS) {
        struct piece p = { .group_mode = true, .group = g, .columns = ceil_div(BASE_MIN(TAPS, groups - g), 3), .stride = stride };
        int rc = add_piece(b, v, &p, r, filter);
        if (rc)
            return rc;
    }
    return BASE_OK;
}

/* Every second activation plane counts twice as much as the one before, whatever the row and the weight plane: no sign among them. */
static bool next_is_double(const struct build *b, int n, int planes)
{
    int vector = n * b->hw->m;
    for (int ab = 0; ab + 1 < planes; ab += 2)
        for (int i = 0; i < vector; i++)
            if (b->coefs[(ab + 1) * vector + i] != 2 * b->coefs[ab * vector + i])
                return false;
    return true;
}

/* The bits of the first row of taps in the other two as well, which see the plane behind: the coefficients of every second plane stay. */
static void spread_rows(struct build *b, int n, int planes)
{
    size_t words = (size_t)(b->hw->m * b->hw->k / 64), vector = (size_t)(n * b->hw->m);
    for (int i = 0; i < n; i++)
        for (int row = 0; row < b->hw->m; row++)
            for (int column = 0; column < 3; column++)
                for (int r = 1; r < 3; r++)
                    add_tap_bits(b->words + (size_t)i * words, row, 3 * r + column, tap_bits(b->words + (size_t)i * words, row, column));
    for (int ab = 2; ab < planes; ab += 2)
        memmove(b->coefs + (size_t)(ab / 2) * vector, b->coefs + (size_t)ab * vector, vector * sizeof *b->coefs);
}

/* A 1x1 kernel over up to three groups leaves most of the K slots empty: two weight planes go into one word, or two activation
 * planes into one window, whichever makes the array faster than plane by plane, in which case *taken. A window takes as many
 * reads as columns (at stride 2 twice); plane by plane a depthwise term takes one for each group. */
static int column_piece(struct build *b, const struct view *v, int stride, int first, int columns, struct rows r, int filter, bool *taken)
{
    int edge = v->term->edge, planes = b->place[edge].planes;
    struct piece p = { .group_mode = true, .repeat = true, .group = first, .columns = columns, .stride = stride };
    int n = make_planes(b, v, &p, r, filter), plain = planes * BASE_MAX(n, stride) * (v->term->depthwise ? columns : 1);
    int next = next_is_double(b, n, planes) ? ceil_div(planes, 2) * BASE_MAX(n, columns * stride) : plain;
    int listed = v->term->depthwise ? n : fold_planes(b, n, planes), folded = planes * BASE_MAX(listed, columns * stride);
    *taken = BASE_MIN(next, folded) < plain;
    if (!*taken || folded <= next)
        return *taken ? finish_piece(b, v, &p, n, listed) : BASE_OK;
    p.next = true;
    make_planes(b, v, &p, r, filter);
    spread_rows(b, n, planes);
    return finish_piece(b, v, &p, n, n);
}

static int add_term(struct build *b, const struct fixed_layer *l, const struct view *v, int filter)
{
    const struct fixed_term *t = v->term;
    int m = b->hw->m, lo = BASE_MAX(t->chan, filter * m), hi = BASE_MIN(t->chan + t->cout, (filter + 1) * m);
    if (lo >= hi)
        return BASE_OK;
    struct rows r = { lo - filter * m, hi - lo };
    int stride = array_stride(l, t), first = 0, last = b->place[t->edge].groups - 1, rc = BASE_OK;
    if (t->depthwise) {                        /* only the groups of these channels */
        first = (lo - t->chan) / (GROUP / v->pack);
        last = (hi - 1 - t->chan) / (GROUP / v->pack);
    }
    if (accel_one_pixel(b, l, t)) {
        bool taken = false;
        if (last - first < 3)
            rc = column_piece(b, v, stride, first, last - first + 1, r, filter, &taken);
        if (rc || taken)
            return rc;
        if (!t->depthwise && last > 0)
            return group_pieces(b, v, stride, r, filter);
    }
    for (int g = first; g <= last; g++) {
        rc = spatial_pieces(b, v, stride, g, r, filter);
        if (rc)
            return rc;
    }
    return BASE_OK;
}

/* ---- a layer --------------------------------------------------------------------- */

static int add_nothing(struct build *b, int edge)
{
    const struct piece p = { .ox = -1, .stride = 1 };
    memset(b->words, 0, (size_t)(b->hw->m * b->hw->k / 8));
    memset(b->coefs, 0, (size_t)(b->place[edge].planes * b->hw->m) * sizeof *b->coefs);
    return emit(b, edge, &p, 1);
}

static int check_term(const struct fixed_layer *l, const struct fixed_term *t)
{
    if (array_stride(l, t) > 2)
        return base_fail(BASE_INPUT, "layer '%s': stride %d is not supported; the accelerator has strides 1 and 2", l->name,
                         t->stride);
    if (t->pad_t > MAX_REACH || t->pad_l > MAX_REACH || t->kh - t->pad_t > MAX_REACH || t->kw - t->pad_l > MAX_REACH)
        return base_fail(BASE_INPUT, "layer '%s': the kernel of %d x %d reaches more than %d pixels from its origin; "
                         "pool the map before this layer", l->name, t->kh, t->kw, MAX_REACH);
    return BASE_OK;
}

int accel_kwords(struct build *b, int layer)
{
    const struct fixed_layer *l = &b->net->layer[layer];
    struct view view[FIXED_MAX_TERM];
    int rc = BASE_OK;
    b->count = &b->counts[layer];
    for (int t = 0; !rc && t < l->n_term; t++) {
        rc = check_term(l, &l->term[t]);
        if (!rc)
            rc = accel_view(&view[t], b, &l->term[t], b->pack[l->term[t].edge]);
    }
    for (int filter = 0; !rc && filter < ceil_div(l->c, b->hw->m); filter++) {
        int first = b->n_kword;
        for (int t = 0; !rc && t < l->n_term; t++)
            rc = add_term(b, l, &view[t], filter);
        if (!rc && b->n_kword == first)
            rc = add_nothing(b, l->n_term ? l->term[0].edge : 0);
        if (!rc)
            b->kword[PROGRAM_KWORD_WORDS * (b->n_kword - 1)] |= (uint64_t)PROGRAM_KW_LAST << 8;
    }
    return rc;
}
