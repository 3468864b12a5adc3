/* decode: records become fields, checked in the order of accel_decode_check. A map that passes has all its
 * words inside the activation memory, so no later address can leave it. */
#include "hls/bitpress.h"

struct hls_layer hls_decode_layer(const uint64_t word[PROGRAM_LAYER_WORDS])
{
#pragma HLS INLINE
    struct hls_layer l;
    uint32_t flags = hls_bits(word[0], 15, 8);
    l.op = (int)hls_bits(word[0], 7, 0);
    l.part = flags & PROGRAM_LY_PART;
    l.logits = l.op == PROGRAM_MAC && (flags & PROGRAM_LY_LOGITS) && !l.part;
    l.is_signed = flags & PROGRAM_LY_SIGNED;
    l.out_map = (int)hls_bits(word[0], 31, 16);
    l.rows = (int)hls_bits(word[0], 47, 32);
    l.columns = (int)hls_bits(word[0], 63, 48);
    l.count = (int)hls_bits(word[1], 15, 0);
    l.arg1 = (int)hls_bits(word[1], 31, 16);
    l.arg2 = (int)hls_bits(word[1], 47, 32);
    l.arg3 = (int)hls_bits(word[1], 63, 48);
    l.shift = (int)hls_bits(word[2], 7, 0);
    l.oy = (int)hls_signed(word[2], 8);
    l.ox = (int)hls_signed(word[2] >> 8, 8);
    l.stride2 = hls_bits(word[2], 16, 16);
    l.lo = (int)hls_signed(word[2] >> 16, 16);
    l.hi = (int)hls_signed(word[2] >> 32, 16);
    l.n_logits = hls_bits(word[3], 31, 0);
    l.need = hls_bits(word[3], 55, 32);
    l.more = flags & PROGRAM_LY_MORE;
    l.spill = l.op == PROGRAM_MAXPOOL && (flags & PROGRAM_LY_SPILL);
    l.first_row = (int)hls_bits(word[2], 57, 48);
    l.first_block = (int)hls_bits(word[3], 62, 56);
    l.scratch = hls_bits(word[3], 31, 0);
    l.pitch = hls_bits(word[2], 47, 32);
    l.whole = hls_bits(word[2], 31, 20);
    return l;
}

uint32_t hls_read_map(struct hls_map *map, const struct hls_engine *e, int index)
{
#pragma HLS INLINE
    if (index >= (int)e->limit.map)
        return PROGRAM_ERR_MAP;
    const uint64_t w0 = e->map[index][0], w1 = e->map[index][1];
    map->base = (int)hls_bits(w0, 15, 0);
    map->row_stride = (int)hls_bits(w0, 31, 16);
    map->px_stride = (int)hls_bits(w0, 47, 32);
    map->planes = (int)hls_bits(w0, 51, 48);
    map->raw = hls_bits(w0, 52, 52);
    map->paired = hls_bits(w0, 63, 63);
    map->h = (int)hls_bits(w1, 15, 0);
    map->w = (int)hls_bits(w1, 31, 16);
    map->groups = (int)hls_bits(w1, 47, 32);
    map->top = (int)hls_bits(w0, 62, 53);
    map->left = (int)hls_bits(w1, 54, 48);
    if (map->planes < 1 || map->planes > HLS_PLANES || map->h < 1 || map->h > 1023 || map->w < 1 || map->w > 1023 || map->groups < 1)
        return PROGRAM_ERR_MAP;
    int last = map->base + ((map->h - 1) >> 2) * map->row_stride + ((map->w - 1) >> 3) * map->px_stride +
               map->groups * map->planes - 1;
    return last < BITPRESS_ACT_DEPTH ? PROGRAM_OK : PROGRAM_ERR_ACT;
}

uint32_t hls_read_kword(struct hls_kword *k, struct hls_map *map, const struct hls_engine *e, int index)
{
#pragma HLS INLINE
    if (index >= (int)e->limit.kword)
        return PROGRAM_ERR_KWORD;
    const uint64_t w0 = e->kword[index][0], w1 = e->kword[index][1];
    uint32_t flags = hls_bits(w0, 15, 8);
    k->map = (int)hls_bits(w0, 7, 0);
    k->group_mode = flags & PROGRAM_KW_GROUP;
    k->repeat = flags & PROGRAM_KW_REPEAT;
    k->next = flags & PROGRAM_KW_NEXT;
    k->stride2 = flags & PROGRAM_KW_STRIDE2;
    k->last = flags & PROGRAM_KW_LAST;
    k->wn = (int)hls_bits(w0, 23, 16);
    k->columns = (int)hls_bits(w0, 31, 24);
    k->group = (int)hls_bits(w0, 47, 32);
    k->oy = (int)hls_signed(w0 >> 48, 8);
    k->ox = (int)hls_signed(w0 >> 56, 8);
    k->waddr = (int)hls_bits(w1, 15, 0);
    k->coef = (int)hls_bits(w1, 31, 16);
    if (k->wn < 1 || k->wn > 15 || flags > 31 || (k->group_mode ? k->columns < 1 || k->columns > 3 : k->repeat) || (k->next && !k->repeat))
        return PROGRAM_ERR_KWORD;
    uint32_t error = hls_read_map(map, e, k->map);
    if (error)
        return error;
    if (k->group >= map->groups)
        return PROGRAM_ERR_KWORD;
    if (k->coef + program_windows(flags, map->planes) * k->wn > (int)e->limit.coef)
        return PROGRAM_ERR_COEF;
    return k->waddr + k->wn > (int)e->limit.weight ? PROGRAM_ERR_WEIGHT : PROGRAM_OK;
}

/* ---- layers: fields, then the output map --------------------------------------- */

/* `each`: groups of a paired map that one of the layer's fills, or the map's last alone. */
static uint32_t read_output(struct hls_map *out, const struct hls_engine *e, const struct hls_layer *l, int first, int groups, int each)
{
    uint32_t error = hls_read_map(out, e, l->out_map);
    if (error)
        return error;
    int pair = out->paired ? each : 1;
    bool fits = l->rows == out->h && l->columns == out->w && groups >= 1 && pair * (first + groups) < out->groups + pair && pair * out->planes <= HLS_PLANES;
    return fits ? PROGRAM_OK : PROGRAM_ERR_MAP;
}

uint32_t hls_check_input(struct hls_map *out, struct hls_engine *e, const struct hls_layer *l)
{
    int channels = l->count, pack = l->arg1, groups = l->arg2;
    if ((pack != 1 && pack != 2 && pack != 4 && pack != 8) || channels < 1 || channels * pack > HLS_CG || groups != 1 ||
        l->rows < 1 || l->rows > 1023 || l->columns < 1 || l->columns > 1023)
        return PROGRAM_ERR_OP;
    uint32_t error = read_output(out, e, l, 0, groups, 1);
    if (error)
        return error;
    if (out->planes * pack != HLS_PLANES)
        return PROGRAM_ERR_MAP;
    uint64_t bytes = (uint64_t)e->image + (uint64_t)(out->h * out->w * channels);
    if (l->part ? bytes >= e->size.input_bytes : bytes != e->size.input_bytes)
        return PROGRAM_ERR_IO;
    e->image_over = !l->part;
    return PROGRAM_OK;
}

/* The records of the logits, all but the last with `more`, write them all, once. */
static uint32_t check_logits(const struct hls_engine *e, const struct hls_layer *l)
{
    uint64_t bytes = 4 * ((uint64_t)e->n_logits + l->n_logits);
    if (l->n_logits < 1 || l->n_logits > (uint32_t)l->count * HLS_M || e->has_result)
        return PROGRAM_ERR_IO;
    if (l->more)
        return bytes < e->size.output_bytes && l->n_logits % 2 == 0 ? PROGRAM_OK : PROGRAM_ERR_IO;
    return bytes == e->size.output_bytes ? PROGRAM_OK : PROGRAM_ERR_IO;
}

uint32_t hls_check_mac(struct hls_map *out, const struct hls_engine *e, const struct hls_layer *l)
{
    if (l->count < 1 || l->shift > 47 || ((l->logits || l->part) && (l->rows != 1 || l->columns != 1)) || (l->part && l->count != 1))
        return PROGRAM_ERR_OP;
    uint32_t error = l->part ? PROGRAM_OK : l->logits ? check_logits(e, l) : read_output(out, e, l, l->arg3, l->count, 2);
    if (error)
        return error;
    return l->arg2 + l->count > (int)e->limit.scale ? PROGRAM_ERR_SCALE : PROGRAM_OK;
}

uint32_t hls_check_maxpool(struct hls_map *in, struct hls_map *out, const struct hls_engine *e, const struct hls_layer *l)
{
    if (l->count < 1 || l->arg3 == 0 || l->arg3 >> HLS_TAPS)
        return PROGRAM_ERR_OP;
    uint32_t error = hls_read_map(in, e, l->arg1);
    if (error)
        return error;
    error = read_output(out, e, l, l->arg2, l->count, 1);
    if (error)
        return error;
    if (l->count > in->groups || in->planes != out->planes)
        return PROGRAM_ERR_MAP;
    return l->spill && !hls_scratch_holds(e, l->scratch, l->pitch, l->whole, out, l->count) ? PROGRAM_ERR_IO : PROGRAM_OK;
}
