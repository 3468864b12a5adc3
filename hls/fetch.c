/* fetch: windows from the activation memory. A read gives one word of each bank, so 3 rows x 10 pixels x 16
 * channels of one plane; up to six reads (parts) make a window of 8 pixels x 9 taps.
 *   spatial: parts are neighbouring blocks; the window begins `shift` slots into the first.
 *   group mode: taps are the channel groups g + 3 p + r of one pixel; a part is a tap column p (stride 2: and a block). */
#include "hls/bitpress.h"

struct view {
    int stride, row, block, shift;             /* of the window's first tap; slot 0 of a block is its left halo */
    int parts, last_block;
};

/* A window may begin or end beside the map. Its first block is then the map's first or last one, with a shift that
 * puts the other columns outside 0..9: every pixel of the map is found in a block that exists. */
static struct view view_of(const struct hls_kword *k, const struct hls_map *map, int y, int xb)
{
#pragma HLS INLINE
    struct view v;
    v.stride = k->stride2 ? 2 : 1;
    v.row = y * v.stride + (k->group_mode ? 0 : k->oy) - map->top;
    int slot = (xb * v.stride - map->left) * HLS_N + (k->group_mode ? 0 : k->ox + 1);    /* in a row of blocks without halos between */
    v.last_block = (map->w - 1) >> 3;
    v.block = slot < 0 ? 0 : slot >> 3 > v.last_block ? v.last_block : slot >> 3;
    v.shift = slot - HLS_N * v.block;
    v.parts = hls_parts(k, map);
    return v;
}

int hls_parts(const struct hls_kword *k, const struct hls_map *map)
{
#pragma HLS INLINE
    int shift = (k->ox + 1) & 7;
    if (k->group_mode)
        return k->stride2 ? 2 * k->columns : k->columns;
    if (k->stride2)
        return shift <= 1 ? 2 : 3;
    return shift == 0 || (map->w <= HLS_N && k->ox >= 0) ? 1 : 2;
}

/* Channel groups from a tap column to the next, and from a row of it to the next. */
static int column_groups(const struct hls_kword *k) { return !k->group_mode ? 0 : k->repeat ? 1 : 3; }
static int row_groups(const struct hls_kword *k) { return k->group_mode && !k->repeat ? 1 : 0; }

/* Planes from the first row's to another's. */
static int row_planes(const struct hls_kword *k, int r) { return k->next && r > 0 ? 1 : 0; }

/* Tap column and block of a part. */
static int column_of(const struct hls_kword *k, int part)
{
#pragma HLS INLINE
    return k->stride2 ? part >> 1 : part;
}

static int block_of(const struct hls_kword *k, int part)
{
#pragma HLS INLINE
    return !k->group_mode ? part : k->stride2 ? part & 1 : 0;
}

/* Three rows of one part, in the window's order. What lies outside the map is not read. */
static void read_part(uint16_t word[3][HLS_SLOTS], const uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_map *map,
                      const struct hls_kword *k, const struct view *v, int part, int plane)
{
#pragma HLS INLINE
    uint16_t bank_word[HLS_BANKS][HLS_SLOTS];
    int address[HLS_BANKS] = { 0, 0, 0, 0 };
    bool inside[HLS_BANKS] = { false, false, false, false };
    int block = v->block + block_of(k, part), column = column_of(k, part);
    int first_bank = v->row + k->group + column_groups(k) * column + plane;
rows:
    for (int r = 0; r < 3; r++) {
#pragma HLS UNROLL
        int row = v->row + (k->group_mode ? 0 : r), bit = plane + row_planes(k, r), group = k->group + column_groups(k) * column + row_groups(k) * r;
        int bank = (row + group + bit) & 3;
        inside[bank] = row >= 0 && row < map->h && block <= v->last_block && group < map->groups && bit < map->planes;
        address[bank] = map->base + (row >> 2) * map->row_stride + block * map->px_stride + group * map->planes + bit;
    }
banks:
    for (int b = 0; b < HLS_BANKS; b++) {
#pragma HLS UNROLL
    slots:
        for (int s = 0; s < HLS_SLOTS; s++) {
#pragma HLS UNROLL
            bank_word[b][s] = inside[b] ? act[b][address[b]][s] : 0;
        }
    }
order:
    for (int r = 0; r < 3; r++) {
#pragma HLS UNROLL
    order_slots:
        for (int s = 0; s < HLS_SLOTS; s++) {
#pragma HLS UNROLL
            word[r][s] = bank_word[(first_bank + (k->repeat ? row_planes(k, r) : r)) & 3][s];
        }
    }
}

/* Slot of the part's word that holds window column j; -1: not this part's. */
static int slot_of(int shift, int j, int block)
{
#pragma HLS INLINE
    int slot = shift + j, home = slot < HLS_SLOTS ? 0 : slot < HLS_SLOTS + HLS_N ? 1 : 2;
    return home == block && slot < HLS_SLOTS + 2 * HLS_N ? slot - HLS_N * home : -1;
}

/* Puts a part's pixels where the window wants them. */
static void steer_part(uint16_t window[HLS_N][HLS_TAPS], uint16_t word[3][HLS_SLOTS], const struct hls_map *map,
                       const struct hls_kword *k, const struct view *v, int part)
{
#pragma HLS INLINE
    int left = v->block * HLS_N + v->shift - 1;            /* map column of window column 0 */
lanes:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
    columns:
        for (int p = 0; p < 3; p++) {
#pragma HLS UNROLL
            int j = v->stride * q + (k->group_mode ? 1 : p);
            int slot = slot_of(v->shift, j, block_of(k, part));
            if (slot < 0 || (k->group_mode && p != column_of(k, part)))
                continue;
            bool in_row = left + j >= 0 && left + j < map->w;
        window_rows:
            for (int r = 0; r < 3; r++) {
#pragma HLS UNROLL
                int row = v->row + r;
                if (in_row && (k->group_mode || (row >= 0 && row < map->h)))
                    window[q][3 * r + p] = word[r][slot];
            }
        }
    }
}

void hls_fetch(uint16_t window[HLS_N][HLS_TAPS], const uint16_t act[HLS_BANKS][BITPRESS_ACT_DEPTH][HLS_SLOTS], const struct hls_map *map,
               const struct hls_kword *k, int y, int xb, int plane, uint16_t pad)
{
    const struct view v = view_of(k, map, y, xb);
    uint16_t word[HLS_PARTS][3][HLS_SLOTS];                /* a FIFO from the memory to the window */
#pragma HLS STREAM variable=word depth=2
#pragma HLS ARRAY_RESHAPE variable=word dim=2 complete
#pragma HLS ARRAY_RESHAPE variable=word dim=3 complete
reads:
    for (int part = 0; part < v.parts; part++) {
#pragma HLS PIPELINE II=1
        read_part(word[part], act, map, k, &v, part, plane);
    }
padding:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
    padding_taps:
        for (int tap = 0; tap < HLS_TAPS; tap++) {
#pragma HLS UNROLL
            window[q][tap] = k->group_mode ? 0 : pad;
        }
    }
writes:
    for (int part = 0; part < v.parts; part++) {
#pragma HLS PIPELINE II=1
        steer_part(window, word[part], map, k, &v, part);
    }
}
