/* Tables and stream as the words of docs/rtl/program.md. */
#include "accel/accel_internal.h"

static int64_t scratch_pages(const struct build *b)
{
    return b->tiles ? (b->tiles->words * b->hw->n * 2 + PROGRAM_PAGE - 1) / PROGRAM_PAGE : 0;
}

/* The least minor version that knows all that the program has. */
static int minor_of(const struct build *b)
{
    for (int k = 0; k < b->n_kword; k++)
        if (kword_flags(b, k) & PROGRAM_KW_NEXT)
            return 5;
    for (int i = 0; i < b->n_part; i++)
        if (b->part[i].open)
            return 4;
    for (int e = 0; e < b->net->n_edge; e++)
        if (b->place[e].paired)
            return 3;
    return b->tiles ? 2 : b->stream.n > 0 ? 1 : 0;
}

static void put_header(const struct build *b, uint64_t *w, size_t words, size_t output_bytes)
{
    const struct hw *hw = b->hw;
    const struct fixed_edge *in = &b->net->edge[0];
    bool stream = b->stream.n > 0;
    w[0] = PROGRAM_MAGIC | put_bits(PROGRAM_MAJOR, 47, 32) | put_bits(minor_of(b), 63, 48);
    w[1] = put_bits(hw->m, 7, 0) | put_bits(hw->n, 15, 8) | put_bits(hw->k, 31, 16) | (hw->hash & 0xffffffffu) << 32;
    w[2] = put_bits(b->n_layer, 15, 0) | put_bits(b->n_map, 31, 16) | put_bits(b->n_table_kword, 47, 32) |
           put_bits(b->coef.n, 63, 48);
    w[3] = put_bits(b->n_table_scale, 15, 0) | put_bits(stream ? b->n_head + b->n_step : 0, 31, 16) | put_bits(b->weight.n, 63, 32);
    w[4] = put_bits((int64_t)in->h * in->w * in->c, 31, 0) | put_bits((int64_t)output_bytes, 47, 32) | put_bits(scratch_pages(b), 63, 48);
    w[5] = put_bits((int64_t)words, 31, 0) | put_bits((int64_t)b->stream.n, 63, 32);
    for (int j = 0; in->pad && j < RAW_BITS / b->pack[0]; j++)
        for (int bit = 0; bit < b->pack[0]; bit++)
            for (int c = 0; c < BASE_MIN(in->c, GROUP / b->pack[0]); c++)
                if (in->pad[c] >> (j * b->pack[0] + bit) & 1)
                    w[6 + j / 4] |= 1ull << (16 * (j % 4) + bit * (GROUP / b->pack[0]) + c);
}

void accel_put_area(const struct build *b, uint64_t w[PROGRAM_MAP_WORDS], int edge, const struct place *p, const struct area *a)
{
    int columns = columns_of(b, b->net->edge[edge].w, a->xb, a->blocks);
    w[0] = put_bits(p->base, 15, 0) | put_bits(p->row_stride, 31, 16) | put_bits(p->px_stride, 47, 32) |
           put_bits(p->planes, 51, 48) | put_bits(p->raw, 52, 52) | put_bits(a->y, 62, 53) | put_bits(p->paired, 63, 63);
    w[1] = put_bits(a->rows, 15, 0) | put_bits(columns, 31, 16) | put_bits(p->groups, 47, 32) | put_bits(a->xb, 54, 48);
}

void accel_put_map(const struct build *b, uint64_t w[PROGRAM_MAP_WORDS], int edge)
{
    const struct fixed_edge *e = &b->net->edge[edge];
    accel_put_area(b, w, edge, &b->place[edge], &(struct area){ .rows = e->h, .blocks = ceil_div(e->w, b->hw->n) });
}

static uint64_t layer_word0(int op, int flags, int map, int rows, int columns)
{
    return put_bits(op, 7, 0) | put_bits(flags, 15, 8) | put_bits(map, 31, 16) | put_bits(rows, 47, 32) |
           put_bits(columns, 63, 48);
}

/* ---- the image -------------------------------------------------------------------- */

/* Records that must have ended before the next image may be unpacked into this one's place; 0: it is not free before the run's end. */
static int image_free(const struct build *b)
{
    int last = 0;
    if (!b->image_stays || b->stream.n > 0)
        return 0;
    for (int i = 0; i < b->n_step; i++) {
        const struct fixed_layer *l = &b->net->layer[b->part[b->step[i].part].layer];
        for (int t = 0; t < terms_of(l); t++)
            if (l->term[t].edge == 0)
                last = i;
    }
    return b->n_head + last + 1;
}

static void put_input(const struct build *b, uint64_t *w, int flags, int map, int rows)
{
    const struct fixed_edge *e = &b->net->edge[0];
    w[0] = layer_word0(PROGRAM_INPUT, flags, map, rows, e->w);
    w[1] = put_bits(e->c, 15, 0) | put_bits(b->pack[0], 31, 16) | put_bits(b->place[0].groups, 47, 32);
    w[2] = put_bits(image_free(b), 15, 0);
}

/* Where a result goes in the scratch. */
static void put_target(const struct build *b, uint64_t *w, int edge, int y, int xb, int group)
{
    w[2] |= put_bits(b->net->edge[edge].h, 31, 20) | put_bits(accel_scratch_pitch(b, edge), 47, 32);
    w[3] |= put_bits(accel_scratch_at(b, edge, y, xb, group), 31, 0);
}

/* A tile as it is: a pool of one pixel, put where its window costs one read. */
static void put_copy(uint64_t *w, int flags, int map, int groups, int rows, int columns)
{
    w[0] = layer_word0(PROGRAM_MAXPOOL, PROGRAM_LY_SPILL | flags, map, rows, columns);
    w[1] = put_bits(groups, 15, 0) | put_bits(map, 31, 16) | put_bits(1 << 4, 63, 48);
    w[2] = put_bits(-1, 7, 0) | put_bits(-1, 15, 8);
}

/* Strips of the image: all but the last have map record 0. */
static int strip_rows(const struct build *b, int strip)
{
    return b->n_head == 1 ? b->net->edge[0].h : BASE_MIN(b->tiles->image_rows, b->net->edge[0].h - strip * b->tiles->image_rows);
}

static void put_image(const struct build *b, uint64_t *w)
{
    const struct fixed_edge *e = &b->net->edge[0];
    if (!is_spilled(b, 0)) {
        put_input(b, w, 0, 0, e->h);
        return;
    }
    for (int i = 0; i < b->n_head / 2; i++, w += 2 * PROGRAM_LAYER_WORDS) {
        bool last = i == b->n_head / 2 - 1;
        int map = last ? b->n_map - 1 : 0, rows = strip_rows(b, i);
        put_input(b, w, PROGRAM_LY_MORE | (last ? 0 : PROGRAM_LY_PART), map, rows);
        put_copy(w + PROGRAM_LAYER_WORDS, last ? 0 : PROGRAM_LY_MORE, map, b->place[0].groups, rows, e->w);
        put_target(b, w + PROGRAM_LAYER_WORDS, 0, i * b->tiles->image_rows, 0, 0);
    }
}

static uint64_t *put_maps(const struct build *b, uint64_t *w)
{
    for (int i = 0; i < b->n_map; i++, w += PROGRAM_MAP_WORDS)
        if (is_spilled(b, 0)) {
            struct area a = { .rows = strip_rows(b, i ? b->n_head / 2 - 1 : 0), .blocks = ceil_div(b->net->edge[0].w, b->hw->n),
                              .groups = b->place[0].groups };
            struct place p = accel_area_place(b, 0, &a);
            p.base = 0;
            accel_put_area(b, w, 0, &p, &a);
        } else {
            accel_put_map(b, w, i);
        }
    return w;
}

/* ---- layers ------------------------------------------------------------------------ */

/* One tile, of which nothing leaves the array. */
static void put_part(uint64_t *w, const struct part *p)
{
    w[0] = layer_word0(PROGRAM_MAC, PROGRAM_LY_PART, 0, 1, 1);
    w[1] = put_bits(1, 15, 0) | put_bits(p->at[PROGRAM_KWORD], 31, 16);
    w[2] = w[3] = 0;
}

/* The next record goes on with the layer. */
static bool has_more(const struct build *b, const struct step *s)
{
    const struct step *next = s + 1;
    return next < b->step + b->n_step && b->part[next->part].layer == b->part[s->part].layer;
}

static void put_mac(const struct build *b, uint64_t *w, const struct step *s)
{
    const struct part *p = &b->part[s->part];
    const struct fixed_layer *l = &b->net->layer[p->layer];
    bool logits = l->out < 0;
    w[0] = layer_word0(PROGRAM_MAC, logits ? PROGRAM_LY_LOGITS : 0, logits ? 0 : b->slot[l->out], s->rows, columns_of(b, l->w, s->xb, s->blocks));
    w[1] = put_bits(p->filters, 15, 0) | put_bits(p->at[PROGRAM_KWORD], 31, 16) | put_bits(p->at[PROGRAM_SCALE], 47, 32) |
           put_bits(logits || is_spilled(b, l->out) ? 0 : p->filter, 63, 48);
    w[2] = put_bits(l->s, 7, 0);
    if (!logits)
        w[2] |= put_bits(l->lo, 31, 16) | put_bits(l->hi, 47, 32);
    w[3] = logits ? put_bits(BASE_MIN(l->c - p->filter * b->hw->m, p->filters * b->hw->m), 31, 0) : 0;
}

static void put_maxpool(const struct build *b, uint64_t *w, const struct step *s)
{
    const struct part *p = &b->part[s->part];
    const struct fixed_layer *l = &b->net->layer[p->layer];
    const struct fixed_term *t = &l->term[0];
    bool spill = is_spilled(b, l->out);
    int taps = 0;
    for (int y = 0; y < t->kh; y++)
        for (int x = 0; x < t->kw; x++)
            taps |= 1 << (3 * y + x);
    w[0] = layer_word0(PROGRAM_MAXPOOL, (b->net->edge[t->edge].is_signed ? PROGRAM_LY_SIGNED : 0) | (spill ? PROGRAM_LY_SPILL : 0), b->slot[l->out], s->rows,
                       columns_of(b, l->w, s->xb, s->blocks));
    w[1] = put_bits(p->filters, 15, 0) | put_bits(b->slot[t->edge], 31, 16) | put_bits(spill ? 0 : p->filter, 47, 32) | put_bits(taps, 63, 48);
    w[2] = put_bits(-t->pad_t, 7, 0) | put_bits(-t->pad_l, 15, 8) | put_bits(array_stride(l, t) == 2, 16, 16);
    w[3] = 0;
    if (spill)
        put_target(b, w, l->out, s->y, s->xb, p->filter);
}

void accel_put_layer(const struct build *b, uint64_t w[PROGRAM_LAYER_WORDS], const struct step *s)
{
    const struct part *p = &b->part[s->part];
    const struct fixed_layer *l = &b->net->layer[p->layer];
    if (s->copy) {
        w[3] = 0;
        put_copy(w, 0, b->slot[l->out], p->filters, s->rows, columns_of(b, l->w, s->xb, s->blocks));
        put_target(b, w, l->out, s->y, s->xb, p->filter);
    } else if (l->kind == FIXED_MAXPOOL) {
        put_maxpool(b, w, s);
    } else if (p->open) {
        put_part(w, p);
    } else {
        put_mac(b, w, s);
    }
    w[0] |= has_more(b, s) ? put_bits(PROGRAM_LY_MORE, 15, 8) : 0;
    w[0] |= accel_early(b, s) ? put_bits(PROGRAM_LY_EARLY, 15, 8) : 0;
    w[2] |= s->copy ? 0 : put_bits(s->y, 57, 48);
    w[3] |= put_bits(s->need, 55, 32) | (s->copy ? 0 : put_bits(s->xb, 63, 56));
}

static uint64_t *put_layers(const struct build *b, uint64_t *w)
{
    put_image(b, w);
    for (int i = b->n_head; i < b->n_layer; i++)
        accel_put_layer(b, w + i * PROGRAM_LAYER_WORDS, &b->step[i - b->n_head]);
    return w + b->n_layer * PROGRAM_LAYER_WORDS;
}

/* Rows past the last channel stay zero. */
void accel_put_scale(const struct build *b, uint64_t *w, int scale)
{
    int layer = b->scale_layer[scale], first = (scale - b->first_scale[layer]) * b->hw->m;
    const struct fixed_layer *l = &b->net->layer[layer];
    for (int row = 0; row < b->hw->m && first + row < l->c; row++) {
        w[2 * row] = (uint64_t)l->b[first + row];
        w[2 * row + 1] = (uint64_t)l->m[first + row];
    }
}

static int image_layout(const struct build *b, struct accel_program *p)
{
    size_t m = (size_t)b->hw->m;
    p->image_words = PROGRAM_HEADER_WORDS + (size_t)b->n_map * PROGRAM_MAP_WORDS + (size_t)b->n_layer * PROGRAM_LAYER_WORDS +
                     (size_t)b->n_table_kword * PROGRAM_KWORD_WORDS + (size_t)b->coef.n * m / 2 + (size_t)b->n_table_scale * 2 * m +
                     b->stream.n;
    p->weight_words64 = (size_t)b->weight.n * b->weight.word_bytes / 8;
    p->image = BASE_ARENA_NEW_N(p->arena, uint64_t, p->image_words);
    p->weights = BASE_ARENA_NEW_N(p->arena, uint64_t, BASE_MAX(p->weight_words64, 1));
    return p->image && p->weights ? BASE_OK : BASE_NOMEM;
}

static uint64_t *put_words(uint64_t *w, const void *from, size_t n)
{
    if (n)
        memcpy(w, from, n * sizeof *w);
    return w + n;
}

int accel_image(struct build *b, struct accel_program *p)
{
    int rc = image_layout(b, p);
    if (rc)
        return rc;
    uint64_t *w = p->image;
    put_header(b, w, p->image_words - b->stream.n, p->output_bytes);
    w += PROGRAM_HEADER_WORDS;
    w = put_maps(b, w);
    w = put_layers(b, w);
    w = put_words(w, b->table_kword, (size_t)b->n_table_kword * PROGRAM_KWORD_WORDS);
    w = put_words(w, b->coef.data, (size_t)b->coef.n * b->coef.word_bytes / sizeof *w);
    for (int i = 0; i < b->n_table_scale; i++, w += 2 * b->hw->m)
        accel_put_scale(b, w, b->table_scale[i]);
    put_words(w, b->stream.word, b->stream.n);
    if (p->weight_words64)
        memcpy(p->weights, b->weight.data, p->weight_words64 * sizeof *p->weights);
    return BASE_OK;
}
