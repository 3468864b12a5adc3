/* accel_interp: the meaning of a program image (docs/rtl/program.md), literally and slowly. It keeps
 * every map as plane words in four banks, as the engine does, so that two maps that overlap, a wrong
 * stride or a wrong bank show up as wrong logits. */
#ifndef ACCEL_INTERP_H
#define ACCEL_INTERP_H

#include "unit.h"

#include "accel/accel.h"

struct interp_map { int base, row_stride, px_stride, planes, raw, h, w, groups, top, left, paired; };

struct interp {
    const struct hw *hw;
    const uint64_t *image;
    uint64_t *table[PROGRAM_KINDS];                        /* as the load leaves them, then as blocks do */
    int n[PROGRAM_KINDS];                                  /* records that may be named */
    const uint64_t *map, *kword, *coef, *scale, *weights;  /* those of table[] */
    int n_map, n_layer, n_kword, n_coef, n_scale, n_weight;
    size_t at, end;                                        /* of the stream, in the image */
    size_t segment;            /* its end */
    int blocks, layers_in, layer_place;
    uint16_t (*scratch)[8];    /* [word][pixel] */
    bool *there;               /* of the scratch */
    size_t n_scratch, n_pixels;        /* words; bytes of the image so far */
    uint16_t (*act)[8];        /* [bank * act_depth + address][pixel]: 16 channels of a plane */
    bool *written;
    int32_t *logits;
    int n_logits;
    int64_t sum[32][16];       /* of a tile, and whether the next one goes on with them */
    bool carry;
};

static inline int64_t interp_field(uint64_t w, int hi, int lo)
{
    return (int64_t)(w >> lo & ((2ull << (hi - lo)) - 1));
}

static inline int interp_depth(const struct hw *hw, int kind)
{
    const int depth[PROGRAM_KINDS] = { 0, hw->map_depth, hw->layer_depth, hw->kword_depth, hw->coef_depth, hw->scale_depth, hw->weight_depth };
    return depth[kind];
}

static inline size_t interp_words(const struct hw *hw, int kind)
{
    const int words[PROGRAM_KINDS] = { 0, 2, 4, 2, hw->m / 2, 2 * hw->m, hw->m * hw->k / 64 };
    return (size_t)words[kind];
}

/* Records of a section; 0xee where nothing was written. */
static inline const uint64_t *interp_fill(struct interp *p, int kind, const uint64_t *from, int n, bool stream)
{
    size_t words = interp_words(p->hw, kind);
    int depth = stream ? interp_depth(p->hw, kind) : n;
    p->table[kind] = base_alloc(8 * words * (size_t)BASE_MAX(depth, 1));
    memset(p->table[kind], 0xee, 8 * words * (size_t)BASE_MAX(depth, 1));
    memcpy(p->table[kind], from, 8 * words * (size_t)n);
    p->n[kind] = depth;
    return from + words * (size_t)n;
}

static inline void interp_open(struct interp *p, const struct hw *hw, const uint64_t *image, const uint64_t *weights)
{
    const uint64_t *w = image;
    *p = (struct interp){ .hw = hw, .image = image };
    bool stream = w[5] >> 32;
    p->n_layer = p->layers_in = p->layer_place = (int)interp_field(w[2], 15, 0);
    p->at = (size_t)interp_field(w[5], 31, 0);
    p->end = p->at + (size_t)(w[5] >> 32);
    w = interp_fill(p, PROGRAM_MAP, image + 8, (int)interp_field(image[2], 31, 16), stream);
    w = interp_fill(p, PROGRAM_LAYER, w, p->n_layer, stream);
    w = interp_fill(p, PROGRAM_KWORD, w, (int)interp_field(image[2], 47, 32), stream);
    w = interp_fill(p, PROGRAM_COEF, w, (int)interp_field(image[2], 63, 48), stream);
    w = interp_fill(p, PROGRAM_SCALE, w, (int)interp_field(image[3], 15, 0), stream);
    interp_fill(p, PROGRAM_WEIGHT, weights, (int)interp_field(image[3], 63, 32), stream);
    if (stream)
        p->n_layer = (int)interp_field(image[3], 31, 16);
    p->map = p->table[PROGRAM_MAP];
    p->kword = p->table[PROGRAM_KWORD];
    p->coef = p->table[PROGRAM_COEF];
    p->scale = p->table[PROGRAM_SCALE];
    p->weights = p->table[PROGRAM_WEIGHT];
    p->n_map = p->n[PROGRAM_MAP];
    p->n_kword = p->n[PROGRAM_KWORD];
    p->n_coef = p->n[PROGRAM_COEF];
    p->n_scale = p->n[PROGRAM_SCALE];
    p->n_weight = p->n[PROGRAM_WEIGHT];
    p->n_scratch = (size_t)program_scratch_pages(image) * 4096 / 16;
    p->scratch = base_alloc((p->n_scratch + 1) * sizeof *p->scratch);
    p->there = base_alloc(p->n_scratch + 1);
    p->act = base_alloc(4 * (size_t)hw->act_depth * sizeof *p->act);
    p->written = base_alloc(4 * (size_t)hw->act_depth);
}

static inline void interp_close(struct interp *p)
{
    for (int kind = 0; kind < PROGRAM_KINDS; kind++)
        base_free(p->table[kind]);
    base_free(p->scratch);
    base_free(p->there);
    base_free(p->act);
    base_free(p->written);
}

static inline struct interp_map interp_map(const struct interp *p, int index)
{
    assert_true(index < p->n_map);
    const uint64_t *w = p->map + 2 * index;
    return (struct interp_map){
        (int)interp_field(w[0], 15, 0), (int)interp_field(w[0], 31, 16), (int)interp_field(w[0], 47, 32),
        (int)interp_field(w[0], 51, 48), (int)interp_field(w[0], 52, 52), (int)interp_field(w[1], 15, 0),
        (int)interp_field(w[1], 31, 16), (int)interp_field(w[1], 47, 32), (int)interp_field(w[0], 62, 53), (int)interp_field(w[1], 54, 48), interp_field(w[0], 63, 63) };
}

static inline size_t interp_at(const struct interp *p, const struct interp_map *m, int y, int xb, int g, int plane)
{
    int a = m->base + (y >> 2) * m->row_stride + xb * m->px_stride + g * m->planes + plane;
    assert_true(a >= 0 && a < p->hw->act_depth);
    return (size_t)((y + g + plane) % 4) * (size_t)p->hw->act_depth + (size_t)a;
}

static inline int interp_loaded(const struct interp *p) { return (int)interp_field(p->image[2], 15, 0); }

/* An area from the scratch, in the order group, row, block, plane from the top. */
static inline void interp_scratch(struct interp *p, const uint64_t *w)
{
    struct interp_map m = {
        (int)interp_field(w[0], 15, 0), (int)interp_field(w[0], 31, 16), (int)interp_field(w[0], 47, 32), (int)interp_field(w[0], 51, 48), 0,
        (int)interp_field(w[1], 15, 0), (int)interp_field(w[1], 31, 16), (int)interp_field(w[1], 47, 32), 0, 0, false };
    size_t pitch = (size_t)interp_field(w[1], 63, 48), whole = (size_t)interp_field(w[2], 47, 32);
    for (int g = 0; g < m.groups; g++)
        for (int y = 0; y < m.h; y++) {
            size_t from = (size_t)interp_field(w[2], 31, 0) + ((size_t)g * whole + (size_t)y) * pitch;
            for (int xb = 0; xb < (m.w + 7) / 8; xb++)
                for (int plane = m.planes - 1; plane >= 0; plane--, from++) {
                    size_t at = interp_at(p, &m, y, xb, g, plane);
                    assert_true(from < p->n_scratch && p->there[from]);
                    memcpy(p->act[at], p->scratch[from], sizeof p->act[at]);
                    p->written[at] = true;
                }
        }
}

/* The next block, as early as `ended` layers allow; false: not yet, or none. */
static inline bool interp_block(struct interp *p, int ended)
{
    assert_true(p->at <= p->segment);
    if (p->at >= p->end || p->at == p->segment)
        return false;
    uint64_t head = p->image[p->at];
    int kind = (int)interp_field(head, 7, 0), first = (int)interp_field(head, 31, 16), n = (int)interp_field(head, 47, 32);
    if (kind && interp_field(head, 63, 48) > ended)
        return false;
    p->at++;
    p->blocks++;
    if (kind == PROGRAM_END) {
        assert_int_equal(p->at, p->end);
        return true;
    }
    if (kind == PROGRAM_FILL) {
        interp_scratch(p, p->image + p->at);
        p->at += PROGRAM_FILL_WORDS;
        assert_int_equal(p->at, p->segment);
        p->segment += (size_t)interp_field(p->image[p->at - 1], 31, 0);
        return true;
    }
    size_t words = interp_words(p->hw, kind);
    if (kind == PROGRAM_LAYER) {
        assert_true(n == 1 && first == 0);
        first = p->layer_place;
        p->layer_place = first == p->hw->layer_depth - 1 ? interp_loaded(p) : first + 1;
        p->layers_in++;
    }
    assert_true(n > 0 && first + n <= interp_depth(p->hw, kind));
    memcpy(p->table[kind] + words * (size_t)first, p->image + p->at, 8 * words * (size_t)n);
    p->at += words * (size_t)n;
    return true;
}

/* Record number i. Early: all blocks that may come have come, else only those that the layer waits for. */
static inline const uint64_t *interp_layer(struct interp *p, int i, bool early)
{
    while (early && interp_block(p, i)) {}
    while (p->layers_in <= i)
        assert_true(interp_block(p, i));
    int first = interp_loaded(p), place = i < first ? i : first + (i - first) % (p->hw->layer_depth - first);
    const uint64_t *w = p->table[PROGRAM_LAYER] + 4 * place;
    while (p->blocks < interp_field(w[3], 55, 32))
        assert_true(interp_block(p, i));
    return w;
}

/* 16 channels of one plane of one pixel, padding outside. */
static inline uint16_t interp_read(const struct interp *p, const struct interp_map *m, int y, int x, int g, int plane)
{
    y -= m->top;
    x -= 8 * m->left;
    if (y < 0 || y >= m->h || x < 0 || x >= m->w)
        return m->raw ? (uint16_t)interp_field(p->image[6 + plane / 4], 16 * (plane % 4) + 15, 16 * (plane % 4)) : 0;
    assert_true(g < m->groups);
    size_t at = interp_at(p, m, y, x / 8, g, plane);
    assert_true(p->written[at]);
    return p->act[at][x % 8];
}

static inline void interp_write(struct interp *p, const struct interp_map *m, int y, int x, int g, int plane, uint16_t bits)
{
    size_t at = interp_at(p, m, y, x / 8, g, plane);
    p->act[at][x % 8] = bits;
    p->written[at] = true;
}

static inline void interp_input(struct interp *p, const uint64_t *w, const uint8_t *pixels)
{
    struct interp_map m = interp_map(p, (int)interp_field(w[0], 31, 16));
    int channels = (int)interp_field(w[1], 15, 0), pack = (int)interp_field(w[1], 31, 16), span = 16 / pack;
    for (int y = 0; y < m.h; y++)
        for (int x = 0; x < m.w; x++)
            for (int g = 0; g < m.groups; g++)
                for (int j = 0; j < 8 / pack; j++) {
                    uint16_t word = 0;
                    for (int slot = 0; slot < 16; slot++) {
                        int c = g * 16 + slot % span, bit = j * pack + slot / span;
                        if (c < channels)
                            word |= (uint16_t)((pixels[p->n_pixels + ((size_t)y * (size_t)m.w + (size_t)x) * (size_t)channels + (size_t)c] >> bit & 1) << slot);
                    }
                    interp_write(p, &m, y, x, g, j, word);
                }
    p->n_pixels += (size_t)m.h * (size_t)m.w * (size_t)channels;
    bool part = interp_field(w[0], 15, 8) & PROGRAM_LY_PART;
    assert_int_equal(part, p->n_pixels < (size_t)interp_field(p->image[4], 31, 0));
}

/* window(kw, ab) of one output pixel as nine words of 16 channels. */
static inline void interp_window(const struct interp *p, uint64_t kw, const struct interp_map *m, int y, int x, int window, uint16_t tap[9])
{
    int flags = (int)interp_field(kw, 15, 8), g = (int)interp_field(kw, 47, 32), s = flags & PROGRAM_KW_STRIDE2 ? 2 : 1;
    int oy = (int8_t)interp_field(kw, 55, 48), ox = (int8_t)interp_field(kw, 63, 56), columns = (int)interp_field(kw, 31, 24);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++) {
            int ab = flags & PROGRAM_KW_NEXT ? 2 * window + (r > 0) : window;
            if (!(flags & PROGRAM_KW_GROUP))
                tap[r * 3 + c] = interp_read(p, m, y * s + oy + r, x * s + ox + c, g, ab);
            else if (c < columns && ab < m->planes && g + (flags & PROGRAM_KW_REPEAT ? c : 3 * c + r) < m->groups)
                tap[r * 3 + c] = interp_read(p, m, y * s, x * s, g + (flags & PROGRAM_KW_REPEAT ? c : 3 * c + r), ab);
            else
                tap[r * 3 + c] = 0;
        }
}

static inline int interp_count(const struct interp *p, int waddr, int row, const uint16_t tap[9])
{
    int n = 0;
    const uint64_t *w = p->weights + (size_t)waddr * (size_t)(p->hw->m * p->hw->k / 64);
    for (int t = 0; t < 9; t++) {
        int bit = row * 144 + t * 16;          /* never across a word: 144 and 64 are multiples of 16 */
        n += __builtin_popcount((unsigned)(w[bit / 64] >> (bit % 64) & 0xffff) & tap[t]);
    }
    return n;
}

static inline int32_t interp_coef(const struct interp *p, int index, int row)
{
    uint64_t w = p->coef[index * p->hw->m / 2 + row / 2];
    return (int32_t)(row & 1 ? w >> 32 : w);
}

/* What the list adds to the sums of the M rows at one pixel; returns the K-word after it. */
static inline int interp_list(const struct interp *p, int k, int y, int x, int64_t *sum)
{
    for (;; k++) {
        assert_true(k < p->n_kword);
        const uint64_t *w = p->kword + 2 * k;
        struct interp_map m = interp_map(p, (int)interp_field(w[0], 7, 0));
        int windows = program_windows((uint32_t)interp_field(w[0], 15, 8), m.planes), wn = (int)interp_field(w[0], 23, 16), waddr = (int)interp_field(w[1], 15, 0), coef = (int)interp_field(w[1], 31, 16);
        assert_true(wn >= 1 && waddr + wn <= p->n_weight && coef + wn * windows <= p->n_coef);
        for (int window = 0; window < windows; window++) {
            uint16_t tap[9];
            interp_window(p, w[0], &m, y, x, window, tap);
            for (int wp = 0; wp < wn; wp++)
                for (int row = 0; row < p->hw->m; row++)
                    sum[row] += (int64_t)interp_coef(p, coef + window * wn + wp, row) * interp_count(p, waddr + wp, row, tap);
        }
        if (interp_field(w[0], 15, 8) & PROGRAM_KW_LAST)
            return k + 1;
    }
}

static inline void interp_mac_pixel(struct interp *p, const uint64_t *w, int mt, const int64_t *sum, int y, int x)
{
    bool logits = interp_field(w[0], 15, 8) & PROGRAM_LY_LOGITS;
    int first = (int)interp_field(w[1], 47, 32) + mt, s = (int)interp_field(w[2], 7, 0);
    int lo = (int16_t)interp_field(w[2], 31, 16), hi = (int16_t)interp_field(w[2], 47, 32), code[64];
    assert_true(first < p->n_scale);
    for (int row = 0; row < p->hw->m; row++) {
        const uint64_t *scale = p->scale + ((size_t)first * (size_t)p->hw->m + (size_t)row) * 2;
        int64_t v = (sum[row] * (int64_t)scale[1] + (int64_t)scale[0]) >> s;
        if (logits && mt * p->hw->m + row < interp_field(w[3], 31, 0))
            p->logits[p->n_logits++] = (int32_t)v;
        code[row] = (int)BASE_MAX(BASE_MIN(v, hi), lo);
    }
    if (logits)
        return;
    struct interp_map out = interp_map(p, (int)interp_field(w[0], 31, 16));
    int first_group = ((int)interp_field(w[1], 63, 48) + mt) << out.paired;
    for (int half = 0; half < 2; half++)
        for (int plane = 0; plane < out.planes && first_group + half < out.groups && half <= out.paired; plane++) {
            uint16_t word = 0;
            for (int slot = 0; slot < 16; slot++) {
                int row = out.paired ? 8 * half + slot % 8 : slot, bit = out.paired ? 2 * plane + slot / 8 : plane;
                word |= (uint16_t)((code[row] >> bit & 1) << slot);
            }
            interp_write(p, &out, y, x, first_group + half, plane, word);
        }
}

static inline void interp_mac(struct interp *p, const uint64_t *w)
{
    int y0 = (int)interp_field(w[2], 57, 48), x0 = 8 * (int)interp_field(w[3], 63, 56);
    int next = 0, k = (int)interp_field(w[1], 31, 16), rows = (int)interp_field(w[0], 47, 32), columns = (int)interp_field(w[0], 63, 48);
    bool part = interp_field(w[0], 15, 8) & PROGRAM_LY_PART;
    assert_true(!part || (rows == 1 && columns == 1 && interp_field(w[1], 15, 0) == 1));
    for (int mt = 0; mt < interp_field(w[1], 15, 0); mt++, k = next)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < (part ? p->hw->n : columns); x++) {
                if (!p->carry || y || x >= p->hw->n || mt)
                    memset(p->sum[x % p->hw->n], 0, sizeof p->sum[0]);
                next = interp_list(p, k, y + y0, x + x0, p->sum[x % p->hw->n]);
                if (!part)
                    interp_mac_pixel(p, w, mt, p->sum[x % p->hw->n], y, x);
            }
    p->carry = part;
}

static inline int interp_code(const struct interp *p, const struct interp_map *m, int y, int x, int c, bool is_signed)
{
    int code = 0;
    for (int plane = 0; plane < m->planes; plane++)
        code |= (interp_read(p, m, y, x, c / 16, plane) >> (c % 16) & 1) << plane;
    return is_signed && code >> (m->planes - 1) ? code - (1 << m->planes) : code;
}

/* Where a pixel of a plane goes in the scratch. */
static inline uint16_t *interp_target(struct interp *p, const uint64_t *w, const struct interp_map *out, int g, int y, int x, int plane)
{
    size_t pitch = (size_t)interp_field(w[2], 47, 32), whole = (size_t)interp_field(w[2], 31, 20);
    size_t at = (size_t)interp_field(w[3], 31, 0) + ((size_t)g * whole + (size_t)y) * pitch + (size_t)(x / 8 * out->planes + out->planes - 1 - plane);
    assert_true(at < p->n_scratch);
    p->there[at] = true;
    return &p->scratch[at][x % 8];
}

static inline void interp_maxpool(struct interp *p, const uint64_t *w)
{
    struct interp_map in = interp_map(p, (int)interp_field(w[1], 31, 16)), out = interp_map(p, (int)interp_field(w[0], 31, 16));
    bool is_signed = interp_field(w[0], 15, 8) & PROGRAM_LY_SIGNED;
    int taps = (int)interp_field(w[1], 63, 48), s = interp_field(w[2], 16, 16) ? 2 : 1;
    int oy = (int8_t)interp_field(w[2], 7, 0), ox = (int8_t)interp_field(w[2], 15, 8);
    int y0 = (int)interp_field(w[2], 57, 48), x0 = 8 * (int)interp_field(w[3], 63, 56);
    bool spill = interp_field(w[0], 15, 8) & PROGRAM_LY_SPILL;
    for (int c = 0; c < 16 * interp_field(w[1], 15, 0); c++)
        for (int y = 0; y < interp_field(w[0], 47, 32); y++)
            for (int x = 0; x < interp_field(w[0], 63, 48); x++) {
                int best = is_signed ? -(1 << (in.planes - 1)) : 0;
                for (int t = 0; t < 9; t++) {
                    int iy = (y0 + y) * s + oy + t / 3, ix = (x0 + x) * s + ox + t % 3, ry = iy - in.top, rx = ix - 8 * in.left;
                    if ((taps >> t & 1) && ry >= 0 && ry < in.h && rx >= 0 && rx < in.w)
                        best = BASE_MAX(best, interp_code(p, &in, iy, ix, c, is_signed));
                }
                for (int plane = 0; plane < out.planes && spill; plane++) {
                    uint16_t *pixel = interp_target(p, w, &out, c / 16, y, x, plane);
                    *pixel = (uint16_t)((c % 16 ? *pixel : 0) | (best >> plane & 1) << (c % 16));
                }
                for (int plane = 0; plane < out.planes && !spill; plane++) {
                    int g = (int)interp_field(w[1], 47, 32) + c / 16;
                    size_t at = interp_at(p, &out, y, x / 8, g, plane);
                    uint16_t old = c % 16 ? p->act[at][x % 8] : 0;
                    interp_write(p, &out, y, x, g, plane, (uint16_t)(old | (best >> plane & 1) << (c % 16)));
                }
            }
}

/* One image through the program. pixels uint8 [h][w][c], logits int32. */
static inline void interp_run(struct interp *p, const uint8_t *pixels, int32_t *logits, bool early)
{
    p->logits = logits;
    p->n_logits = p->blocks = 0;
    p->n_pixels = 0;
    p->carry = false;
    p->at = (size_t)interp_field(p->image[5], 31, 0);
    p->segment = p->n_scratch ? p->at + 1 + PROGRAM_FILL_WORDS : p->end;
    memset(p->there, 0, p->n_scratch);
    p->layers_in = p->layer_place = (int)interp_field(p->image[2], 15, 0);
    for (int i = 0; i < p->n_layer; i++) {
        const uint64_t *w = interp_layer(p, i, early);
        switch (interp_field(w[0], 7, 0)) {
        case PROGRAM_INPUT: interp_input(p, w, pixels); break;
        case PROGRAM_MAC: interp_mac(p, w); break;
        case PROGRAM_MAXPOOL: interp_maxpool(p, w); break;
        default: fail_msg("layer %d: unknown operation", i);
        }
    }
    assert_int_equal(p->at, p->end);
    assert_int_equal(p->n_logits * 4, program_output_bytes(p->image));
}

#endif
