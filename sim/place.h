// place.h: what a K-word at a place of the output is to the fetch (bp_pkg::place_t), from the definition
// in docs/rtl/program.md; shared by the benches of bp_walk and bp_fetch.
#ifndef BITPRESS_PLACE_H
#define BITPRESS_PLACE_H

#include "tb.h"

struct Map {
    int base, row_stride, px_stride, planes, h, w, groups;
    bool raw;
    int top = 0, left = 0;     // of an area: its first row and block in the whole map
    int blocks() const { return (w + 7) / 8; }
};

struct Kword {
    bool group_mode, repeat, next, stride2;
    int columns, group, oy, ox, wn, waddr, coef;
};

// Fields of the record, the lowest first.
#define PLACE_FIELDS(X) \
    X(ahead, 2) X(behind, 2) X(blk_ok, 3) X(row_ok, 9) X(col_ok, 17) X(col_high, 48) X(px_stride, 16) X(row_stride, 16) X(addr, 30) X(row, 2) \
    X(bank, 2) X(shift, 5) X(parts, 3) X(coef, 16) X(waddr, 16) X(wn, 4) X(planes, 4) X(raw, 1) X(stride2, 1) \
    X(lone, 1) X(next, 1) X(repeats, 1) X(group, 1) X(tile_last, 1) X(tile_first, 1) X(layer_last, 1)

struct Place {
#define FIELD(name, width) uint32_t name = 0;
    PLACE_FIELDS(FIELD)
#undef FIELD
    template <class Port> void pack(Port &port) const
    {
        int at = 0;
#define FIELD(name, width) tb_put(port, at, width, name), at += width;
        PLACE_FIELDS(FIELD)
#undef FIELD
    }
    template <class Port> void expect(Tb &tb, const Port &port) const
    {
        int at = 0;
#define FIELD(name, width) tb.expect("place " #name, (int64_t)tb_get(port, at, width), name), at += width;
        PLACE_FIELDS(FIELD)
#undef FIELD
    }
};

static inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// The K-word k over map m at output row y, block x.
static inline Place place_of(const Map &m, const Kword &k, int y, int x)
{
    Place p;
    int s = k.stride2 ? 2 : 1;
    int row = y * s + (k.group_mode ? 0 : k.oy) - m.top, col = x * 8 * s + (k.group_mode ? -1 : k.ox) - 8 * m.left;
    int block = floor_div(col + 1, 8), last = m.blocks() - 1;
    p.shift = (uint32_t)(col + 1) & 7;
    p.lone = !k.group_mode && s == 1 && last == 0 && k.ox >= 0;
    p.group = k.group_mode, p.repeats = k.repeat, p.next = k.next, p.stride2 = k.stride2, p.raw = m.raw;
    p.planes = m.planes, p.wn = k.wn, p.waddr = k.waddr, p.coef = k.coef;
    p.parts = k.group_mode ? k.columns * s : s == 1 ? 1 + (p.shift > 0 && !p.lone) : 2 + (p.shift > 1);
    p.bank = (uint32_t)(row + k.group) & 3;
    p.row = (uint32_t)row & 3;
    p.row_stride = m.row_stride, p.px_stride = m.px_stride;
    for (int j = 0; j < 17; j++) p.col_ok |= (uint32_t)(col + j >= 0 && col + j < m.w) << j;
    for (int r = 0; r < 9; r++) {
        bool ok = k.group_mode ? k.group + (k.repeat ? r / 3 : r) < m.groups && row >= 0 && row < m.h : row + r >= 0 && row + r < m.h;
        p.row_ok |= (uint32_t)ok << r;
    }
    for (int b = 0; b < 3; b++) p.blk_ok |= (uint32_t)(block + b >= 0 && block + b <= last) << b;
    // Halos of blocks that are not there.
    int read = block;
    if (!k.group_mode && p.shift == 0 && block == last + 1) p.behind = 1, read = last;
    if (!k.group_mode && p.shift == 0 && k.stride2 && block == last) p.behind = 2;
    if (!k.group_mode && p.shift <= 1 && block == -1) p.ahead = 1, read = 0;
    if (!k.group_mode && p.shift <= 1 && k.stride2 && block == -2) p.ahead = 2, read = -1;
    p.blk_ok |= p.behind | p.ahead;
    p.addr = (uint32_t)(m.base + floor_div(row, 4) * m.row_stride + read * m.px_stride + k.group * m.planes) & 0x3fffffff;
    return p;
}

static inline Map random_map(Tb &tb)
{
    Map m;
    m.h = 1 + tb.below(20), m.w = 1 + tb.below(30);
    m.groups = 1 + tb.below(tb.chance(50) ? 2 : 12), m.planes = 1 + tb.below(8);
    m.px_stride = m.groups * m.planes;
    m.row_stride = m.px_stride * m.blocks();
    m.base = tb.below(60);
    m.raw = tb.chance(20);
    return m;
}

static inline Kword random_kword(Tb &tb, const Map &m)
{
    Kword k = {};
    k.group_mode = tb.chance(30), k.stride2 = tb.chance(40), k.repeat = k.group_mode && tb.chance(60), k.next = k.repeat && tb.chance(50);
    k.group = tb.below(m.groups);
    k.columns = k.group_mode ? 1 + tb.below(3) : 0;
    k.oy = tb.below(12) - 6, k.ox = tb.below(44) - 22;
    k.wn = 1 + tb.below(15), k.waddr = tb.below(500), k.coef = tb.below(500);
    return k;
}

#endif
