/* planes: weights as bit-planes, of which only the needed bits are stored. */
#include "pack/pack_internal.h"

/* rows[t]: output channels with a bit in plane t; all: the planes of nothing but ones. */
struct census { int rows[FIXED_MAX_PLANES]; unsigned all; };

static void count(struct census *c, const struct fixed_term *t)
{
    int64_t row = pack_row(t);
    *c = (struct census){ .all = ~0u };
    for (int o = 0; o < t->cout; o++) {
        unsigned any = 0;
        for (int64_t i = o * row; i < (o + 1) * row; i++) {
            any |= t->code[i];
            c->all &= t->code[i];
        }
        for (int p = 0; p < t->n_plane; p++)
            c->rows[p] += any >> p & 1;
    }
}

static size_t bytes_of(const struct fixed_term *t, int rows, enum pack_plane kind)
{
    size_t row = (size_t)pack_row(t), all = (size_t)t->cout;
    switch (kind) {
    case PACK_PLANE_ALL: return (all * row + 7) / 8;
    case PACK_PLANE_ROWS: return (all + 7) / 8 + ((size_t)rows * row + 7) / 8;
    default: return 0;
    }
}

static enum pack_plane kind_of(const struct fixed_term *t, const struct census *c, int plane)
{
    if (!c->rows[plane])
        return PACK_PLANE_ZEROS;
    if (c->all >> plane & 1)
        return PACK_PLANE_ONES;
    bool rows = bytes_of(t, c->rows[plane], PACK_PLANE_ROWS) < bytes_of(t, c->rows[plane], PACK_PLANE_ALL);
    return rows ? PACK_PLANE_ROWS : PACK_PLANE_ALL;
}

void pack_plane_kinds(uint8_t kind[FIXED_MAX_PLANES], const struct fixed_term *t)
{
    struct census c;
    count(&c, t);
    for (int p = 0; p < t->n_plane; p++)
        kind[p] = (uint8_t)kind_of(t, &c, p);
}

size_t pack_weight_bytes(const struct fixed_net *net)
{
    size_t bytes = 0;
    for (int i = 0; i < net->n_layer; i++)
        for (int k = 0; k < net->layer[i].n_term && net->layer[i].kind == FIXED_MAC; k++) {
            const struct fixed_term *t = &net->layer[i].term[k];
            struct census c;
            count(&c, t);
            for (int p = 0; p < t->n_plane; p++)
                bytes += bytes_of(t, c.rows[p], kind_of(t, &c, p));
        }
    return bytes;
}

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

static bool row_has(const struct fixed_term *t, int o, int plane)
{
    int64_t row = pack_row(t);
    for (int64_t i = o * row; i < (o + 1) * row; i++)
        if (t->code[i] >> plane & 1)
            return true;
    return false;
}

void pack_plane_put(struct base_text *to, const struct fixed_term *t, int plane, enum pack_plane kind)
{
    struct bits b = { 0 };
    int64_t row = pack_row(t);
    if (kind != PACK_PLANE_ALL && kind != PACK_PLANE_ROWS)
        return;
    for (int o = 0; o < t->cout && kind == PACK_PLANE_ROWS; o++)
        put_bit(to, &b, row_has(t, o, plane));
    end_bits(to, &b);
    for (int o = 0; o < t->cout; o++)
        if (kind == PACK_PLANE_ALL || row_has(t, o, plane))
            for (int64_t i = o * row; i < (o + 1) * row; i++)
                put_bit(to, &b, t->code[i] >> plane & 1u);
    end_bits(to, &b);
}

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

void pack_plane_get(struct pack_source *from, struct fixed_term *t, int plane, enum pack_plane kind)
{
    const uint8_t *rows = NULL, *bits = NULL;
    int n = t->cout;
    if (kind == PACK_PLANE_ZEROS)
        return;
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
