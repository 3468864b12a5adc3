/* planes: weights as bit-planes, of which only the needed bits are stored. */
#include "pack/pack_internal.h"

enum { MAX_TABLE = 256, RUN = 16 };              /* of PACK_PLANE_RUNS: the inputs of one tap in a block that the array skips */

/* rows[t]: output channels with a bit in plane t; all: the planes of nothing but ones; kept: weights that a map leaves. */
struct census { int rows[FIXED_MAX_PLANES]; unsigned all; int64_t weights, kept[PACK_PLANE_KINDS]; };

static int run_of(enum pack_plane kind) { return kind == PACK_PLANE_RUNS ? RUN : 1; }

/* A term's codes as they are stored: themselves, or numbers in a table of the codes that there are. */
struct stored { const struct fixed_term *t; int planes, codes; uint8_t index[1 << FIXED_MAX_PLANES]; uint16_t table[MAX_TABLE]; };

static unsigned code_at(const struct stored *s, int64_t i) { return s->codes ? s->index[s->t->code[i]] : s->t->code[i]; }

static void as_codes(struct stored *s, const struct fixed_term *t)
{
    s->t = t;
    s->planes = t->n_plane;
    s->codes = 0;
}

/* False: a table would save no plane. */
static bool as_table(struct stored *s, const struct fixed_term *t)
{
    s->t = t;
    s->codes = s->planes = 0;
    memset(s->index, 0, sizeof s->index);
    for (int64_t i = 0; i < t->cout * pack_row(t); i++)
        s->index[t->code[i]] = 1;
    for (int c = 0; c < 1 << FIXED_MAX_PLANES; c++)
        if (s->index[c]) {
            if (s->codes == MAX_TABLE)
                return false;
            s->index[c] = (uint8_t)s->codes;
            s->table[s->codes++] = (uint16_t)c;
        }
    while (1 << s->planes < s->codes)
        s->planes++;
    return s->planes < t->n_plane;
}

static size_t table_bytes(const struct stored *s) { return s->codes ? 1 + 2 * (size_t)s->codes : 0; }

static int64_t runs_of(const struct fixed_term *t, enum pack_plane kind)
{
    return (t->cout * pack_row(t) + run_of(kind) - 1) / run_of(kind);
}

/* Codes of run number `at` of the term's weights, together. */
static unsigned run_codes(const struct stored *s, enum pack_plane kind, int64_t at, int64_t *n)
{
    int64_t first = at * run_of(kind), end = BASE_MIN(first + run_of(kind), s->t->cout * pack_row(s->t));
    unsigned any = 0;
    for (int64_t i = first; i < end; i++)
        any |= code_at(s, i);
    *n = end - first;
    return any;
}

static void count(struct census *c, const struct stored *s)
{
    int64_t row = pack_row(s->t), n;
    *c = (struct census){ .all = ~0u, .weights = s->t->cout * row };
    for (int o = 0; o < s->t->cout; o++) {
        unsigned any = 0;
        for (int64_t i = o * row; i < (o + 1) * row; i++) {
            any |= code_at(s, i);
            c->all &= code_at(s, i);
        }
        for (int p = 0; p < s->planes; p++)
            c->rows[p] += any >> p & 1;
    }
    for (int k = PACK_PLANE_WEIGHTS; k <= PACK_PLANE_RUNS; k++)
        for (int64_t r = 0; r < runs_of(s->t, (enum pack_plane)k); r++)
            c->kept[k] += run_codes(s, (enum pack_plane)k, r, &n) ? n : 0;
}

static size_t bytes_of(const struct fixed_term *t, const struct census *c, int plane, enum pack_plane kind)
{
    size_t row = (size_t)pack_row(t), all = (size_t)t->cout;
    switch (kind) {
    case PACK_PLANE_ALL: return (all * row + 7) / 8;
    case PACK_PLANE_ROWS: return (all + 7) / 8 + ((size_t)c->rows[plane] * row + 7) / 8;
    case PACK_PLANE_WEIGHTS:
    case PACK_PLANE_RUNS: return ((size_t)c->kept[kind] + 7) / 8;
    default: return 0;
    }
}

/* The smallest, where the term has a map of kind `map` (PACK_PLANE_ZEROS: none). */
static enum pack_plane kind_of(const struct fixed_term *t, const struct census *c, int plane, enum pack_plane map)
{
    if (!c->rows[plane])
        return PACK_PLANE_ZEROS;
    if (c->all >> plane & 1)
        return PACK_PLANE_ONES;
    enum pack_plane best = PACK_PLANE_ALL;
    if (bytes_of(t, c, plane, PACK_PLANE_ROWS) < bytes_of(t, c, plane, best))
        best = PACK_PLANE_ROWS;
    return map && bytes_of(t, c, plane, map) < bytes_of(t, c, plane, best) ? map : best;
}

static size_t map_bytes(const struct fixed_term *t, enum pack_plane map)
{
    return ((size_t)runs_of(t, map) + 7) / 8;
}

/* Bytes of the term with this map, its kinds on the way. */
static size_t with_map(uint8_t *kind, const struct stored *s, const struct census *c, enum pack_plane map)
{
    size_t bytes = table_bytes(s);
    bool used = false;
    for (int p = 0; p < s->t->n_plane; p++) {
        kind[p] = (uint8_t)(p < s->planes ? kind_of(s->t, c, p, map) : PACK_PLANE_TABLE);
        bytes += bytes_of(s->t, c, p, (enum pack_plane)kind[p]);
        used |= map && kind[p] == map;
    }
    return bytes + (used ? map_bytes(s->t, map) : 0);
}

/* Takes the kinds over where they are fewer bytes than `least`. */
static size_t try_maps(uint8_t *kind, const struct stored *s, size_t least)
{
    static const enum pack_plane maps[] = { PACK_PLANE_ZEROS, PACK_PLANE_WEIGHTS, PACK_PLANE_RUNS };
    struct census c;
    count(&c, s);
    for (int k = 0; k < BASE_COUNT(maps); k++) {
        uint8_t other[FIXED_MAX_PLANES];
        size_t bytes = with_map(other, s, &c, maps[k]);
        if (bytes < least) {
            least = bytes;
            memcpy(kind, other, (size_t)s->t->n_plane);
        }
    }
    return least;
}

size_t pack_plane_kinds(uint8_t kind[FIXED_MAX_PLANES], const struct fixed_term *t)
{
    struct stored s;
    as_codes(&s, t);
    size_t least = try_maps(kind, &s, SIZE_MAX);
    return as_table(&s, t) ? try_maps(kind, &s, least) : least;
}

size_t pack_term_bytes(const struct fixed_term *t)
{
    uint8_t kind[FIXED_MAX_PLANES];
    return pack_plane_kinds(kind, t);
}

size_t pack_weight_bytes(const struct fixed_net *net)
{
    size_t bytes = 0;
    for (int i = 0; i < net->n_layer; i++)
        for (int k = 0; k < net->layer[i].n_term && net->layer[i].kind == FIXED_MAC; k++)
            bytes += pack_term_bytes(&net->layer[i].term[k]);
    return bytes;
}

/* ---- writing --------------------------------------------------------------------- */

/* Bits, the lowest of a byte first. */
struct bits { uint8_t byte; int n; };

static void put_bit(struct base_text *to, struct bits *b, unsigned bit)
{
    b->byte |= (uint8_t)(bit << b->n);
    if (++b->n == 8) {
        base_text_add_bytes(to, &b->byte, 1);
        *b = (struct bits){ 0 };
    }
}

static void end_bits(struct base_text *to, struct bits *b)
{
    if (b->n)
        base_text_add_bytes(to, &b->byte, 1);
    *b = (struct bits){ 0 };
}

static bool row_has(const struct stored *s, int o, int plane)
{
    int64_t row = pack_row(s->t);
    for (int64_t i = o * row; i < (o + 1) * row; i++)
        if (code_at(s, i) >> plane & 1)
            return true;
    return false;
}

static void put_rows(struct base_text *to, const struct stored *s, int plane, enum pack_plane kind)
{
    struct bits b = { 0 };
    int64_t row = pack_row(s->t);
    for (int o = 0; o < s->t->cout && kind == PACK_PLANE_ROWS; o++)
        put_bit(to, &b, row_has(s, o, plane));
    end_bits(to, &b);
    for (int o = 0; o < s->t->cout; o++)
        if (kind == PACK_PLANE_ALL || row_has(s, o, plane))
            for (int64_t i = o * row; i < (o + 1) * row; i++)
                put_bit(to, &b, code_at(s, i) >> plane & 1u);
    end_bits(to, &b);
}

static void put_map(struct base_text *to, const struct stored *s, enum pack_plane kind)
{
    struct bits b = { 0 };
    int64_t n;
    for (int64_t r = 0; r < runs_of(s->t, kind); r++)
        put_bit(to, &b, run_codes(s, kind, r, &n) != 0);
    end_bits(to, &b);
}

static void put_kept(struct base_text *to, const struct stored *s, int plane, enum pack_plane kind)
{
    struct bits b = { 0 };
    int64_t n;
    for (int64_t r = 0; r < runs_of(s->t, kind); r++)
        if (run_codes(s, kind, r, &n))
            for (int64_t i = r * run_of(kind); n > 0; i++, n--)
                put_bit(to, &b, code_at(s, i) >> plane & 1u);
    end_bits(to, &b);
}

static bool has_table(const struct fixed_term *t, const uint8_t *kind) { return kind[t->n_plane - 1] == PACK_PLANE_TABLE; }

static void put_table(struct base_text *to, const struct stored *s)
{
    pack_put(to, (uint64_t)(s->codes - 1), 1);
    for (int i = 0; i < s->codes; i++)
        pack_put(to, s->table[i], 2);
}

void pack_planes_put(struct base_text *to, const struct fixed_term *t, const uint8_t *kind)
{
    struct stored s;
    bool mapped = false;
    as_codes(&s, t);
    if (has_table(t, kind)) {
        as_table(&s, t);
        put_table(to, &s);
    }
    for (int p = 0; p < s.planes; p++) {
        enum pack_plane k = (enum pack_plane)kind[p];
        if (k == PACK_PLANE_ALL || k == PACK_PLANE_ROWS)
            put_rows(to, &s, p, k);
        if (k != PACK_PLANE_WEIGHTS && k != PACK_PLANE_RUNS)
            continue;
        if (!mapped)
            put_map(to, &s, k);
        mapped = true;
        put_kept(to, &s, p, k);
    }
}

/* ---- reading --------------------------------------------------------------------- */

static unsigned bit_at(const uint8_t *p, size_t i) { return p ? p[i / 8] >> i % 8 & 1u : 1; }

/* rows NULL: all of them; bits NULL: all ones. */
static void add_bits(struct fixed_term *t, int plane, const uint8_t *rows, const uint8_t *bits)
{
    size_t at = 0;
    int64_t row = pack_row(t);
    for (int o = 0; o < t->cout; o++)
        if (bit_at(rows, (size_t)o))
            for (int64_t i = o * row; i < (o + 1) * row; i++)
                t->code[i] |= (uint16_t)(bit_at(bits, at++) << plane);
}

static void get_rows(struct pack_source *from, struct fixed_term *t, int plane, enum pack_plane kind)
{
    const uint8_t *rows = NULL, *bits = NULL;
    int n = t->cout;
    if (kind == PACK_PLANE_ROWS) {
        rows = pack_take(from, ((size_t)t->cout + 7) / 8);
        n = 0;
        for (int o = 0; rows && o < t->cout; o++)
            n += (int)bit_at(rows, (size_t)o);
    }
    if (kind != PACK_PLANE_ONES)
        bits = pack_take(from, ((size_t)n * (size_t)pack_row(t) + 7) / 8);
    if (!from->ended)
        add_bits(t, plane, rows, bits);
}

/* Of weight i, the map's bit. */
static bool is_kept(const uint8_t *map, enum pack_plane kind, int64_t i) { return bit_at(map, (size_t)(i / run_of(kind))); }

static void get_kept(struct pack_source *from, struct fixed_term *t, int plane, enum pack_plane kind, const uint8_t *map)
{
    int64_t all = t->cout * pack_row(t);
    size_t n = 0, at = 0;
    for (int64_t i = 0; i < all; i++)
        n += is_kept(map, kind, i);
    const uint8_t *bits = pack_take(from, (n + 7) / 8);
    for (int64_t i = 0; bits && i < all; i++)
        if (is_kept(map, kind, i))
            t->code[i] |= (uint16_t)(bit_at(bits, at++) << plane);
}

/* Numbers become the table's codes. False: one is beyond it. */
static bool look_up(struct fixed_term *t, const uint8_t *table, int codes)
{
    for (int64_t i = 0; i < t->cout * pack_row(t); i++) {
        if (t->code[i] >= codes)
            return false;
        t->code[i] = (uint16_t)pack_little_endian(table + 2 * t->code[i], 2);
    }
    return true;
}

const char *pack_planes_get(struct pack_source *from, struct fixed_term *t, const uint8_t *kind)
{
    enum pack_plane mapped = PACK_PLANE_ZEROS;
    const uint8_t *map = NULL, *table = NULL;
    int codes = 0, planes = t->n_plane;
    if (has_table(t, kind)) {
        codes = (int)pack_get(from, 1) + 1;
        table = pack_take(from, 2 * (size_t)codes);
        while (planes > 0 && kind[planes - 1] == PACK_PLANE_TABLE)
            planes--;
    }
    for (int p = 0; p < planes && !from->ended; p++) {
        enum pack_plane k = (enum pack_plane)kind[p];
        if (k == PACK_PLANE_TABLE)
            return "a plane stands behind its table's";
        if (k >= PACK_PLANE_ONES && k <= PACK_PLANE_ROWS)
            get_rows(from, t, p, k);
        if (k != PACK_PLANE_WEIGHTS && k != PACK_PLANE_RUNS)
            continue;
        if (mapped && mapped != k)
            return "its planes have maps of two kinds";
        if (!mapped)
            map = pack_take(from, map_bytes(t, k));
        mapped = k;
        if (map)
            get_kept(from, t, p, k, map);
    }
    return !table || from->ended || look_up(t, table, codes) ? NULL : "a weight is beyond its table of codes";
}
