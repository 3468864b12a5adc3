/* Tables and stream as the words of docs/rtl/program.md. */
#include "accel/accel_internal.h"

static void put_header(const struct build *b, uint64_t *w, size_t words, size_t output_bytes)
{
    const struct hw *hw = b->hw;
    const struct fixed_edge *in = &b->net->edge[0];
    bool stream = b->stream.n > 0;
    w[0] = PROGRAM_MAGIC | put_bits(PROGRAM_MAJOR, 47, 32) | put_bits(stream ? PROGRAM_MINOR : 0, 63, 48);
    w[1] = put_bits(hw->m, 7, 0) | put_bits(hw->n, 15, 8) | put_bits(hw->k, 31, 16) | (hw->hash & 0xffffffffu) << 32;
    w[2] = put_bits(b->n_layer, 15, 0) | put_bits(b->n_map, 31, 16) | put_bits(b->n_table_kword, 47, 32) |
           put_bits(b->coef.n, 63, 48);
    w[3] = put_bits(b->n_table_scale, 15, 0) | put_bits(stream ? b->n_part + 1 : 0, 31, 16) | put_bits(b->weight.n, 63, 32);
    w[4] = put_bits((int64_t)in->h * in->w * in->c, 31, 0) | put_bits((int64_t)output_bytes, 63, 32);
    w[5] = put_bits((int64_t)words, 31, 0) | put_bits((int64_t)b->stream.n, 63, 32);
    for (int j = 0; in->pad && j < RAW_BITS / b->pack; j++)
        for (int bit = 0; bit < b->pack; bit++)
            for (int c = 0; c < BASE_MIN(in->c, GROUP / b->pack); c++)
                if (in->pad[c] >> (j * b->pack + bit) & 1)
                    w[6 + j / 4] |= 1ull << (16 * (j % 4) + bit * (GROUP / b->pack) + c);
}

void accel_put_map(const struct build *b, uint64_t w[PROGRAM_MAP_WORDS], int edge)
{
    const struct place *p = &b->place[edge];
    const struct fixed_edge *e = &b->net->edge[edge];
    w[0] = put_bits(p->base, 15, 0) | put_bits(p->row_stride, 31, 16) | put_bits(p->px_stride, 47, 32) |
           put_bits(p->planes, 51, 48) | put_bits(p->raw, 52, 52);
    w[1] = put_bits(e->h, 15, 0) | put_bits(e->w, 31, 16) | put_bits(p->groups, 47, 32);
}

static uint64_t layer_word0(int op, int flags, int map, int rows, int columns)
{
    return put_bits(op, 7, 0) | put_bits(flags, 15, 8) | put_bits(map, 31, 16) | put_bits(rows, 47, 32) |
           put_bits(columns, 63, 48);
}

static void put_input(const struct build *b, uint64_t *w)
{
    const struct fixed_edge *e = &b->net->edge[0];
    w[0] = layer_word0(PROGRAM_INPUT, 0, 0, e->h, e->w);
    w[1] = put_bits(e->c, 15, 0) | put_bits(b->pack, 31, 16) | put_bits(b->place[0].groups, 47, 32);
}

static void put_mac(const struct build *b, uint64_t *w, const struct part *p)
{
    const struct fixed_layer *l = &b->net->layer[p->layer];
    bool logits = l->out < 0, more = p->filter + p->filters < ceil_div(l->c, b->hw->m);
    w[0] = layer_word0(PROGRAM_MAC, (logits ? PROGRAM_LY_LOGITS : 0) | (more ? PROGRAM_LY_MORE : 0), logits ? 0 : b->slot[l->out], l->h, l->w);
    w[1] = put_bits(p->filters, 15, 0) | put_bits(p->at[PROGRAM_KWORD], 31, 16) | put_bits(p->at[PROGRAM_SCALE], 47, 32) |
           put_bits(logits ? 0 : p->filter, 63, 48);
    w[2] = put_bits(l->s, 7, 0);
    if (!logits)
        w[2] |= put_bits(l->lo, 31, 16) | put_bits(l->hi, 47, 32);
    w[3] = logits ? put_bits(BASE_MIN(l->c - p->filter * b->hw->m, p->filters * b->hw->m), 31, 0) : 0;
}

static void put_maxpool(const struct build *b, uint64_t *w, const struct part *p)
{
    const struct fixed_layer *l = &b->net->layer[p->layer];
    const struct fixed_term *t = &l->term[0];
    int taps = 0;
    for (int y = 0; y < t->kh; y++)
        for (int x = 0; x < t->kw; x++)
            taps |= 1 << (3 * y + x);
    w[0] = layer_word0(PROGRAM_MAXPOOL, b->net->edge[t->edge].is_signed ? PROGRAM_LY_SIGNED : 0, b->slot[l->out], l->h, l->w);
    w[1] = put_bits(ceil_div(l->c, GROUP), 15, 0) | put_bits(b->slot[t->edge], 31, 16) | put_bits(taps, 63, 48);
    w[2] = put_bits(-t->pad_t, 7, 0) | put_bits(-t->pad_l, 15, 8) | put_bits(array_stride(l, t) == 2, 16, 16);
}

void accel_put_layer(const struct build *b, uint64_t w[PROGRAM_LAYER_WORDS], const struct part *p)
{
    if (b->net->layer[p->layer].kind == FIXED_MAXPOOL)
        put_maxpool(b, w, p);
    else
        put_mac(b, w, p);
    w[3] |= put_bits(p->need, 55, 32);
}

static uint64_t *put_layers(const struct build *b, uint64_t *w)
{
    put_input(b, w);
    for (int i = 1; i < b->n_layer; i++)
        accel_put_layer(b, w + i * PROGRAM_LAYER_WORDS, &b->part[i - 1]);
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
    for (int e = 0; e < b->n_map; e++, w += PROGRAM_MAP_WORDS)
        accel_put_map(b, w, e);
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
