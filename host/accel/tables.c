/* See tables.h. */
#include "accel/tables.h"

#include "accel/accel_internal.h"

int accel_record_words(const struct hw *hw, int kind)
{
    switch (kind) {
    case PROGRAM_MAP: return PROGRAM_MAP_WORDS;
    case PROGRAM_LAYER: return PROGRAM_LAYER_WORDS;
    case PROGRAM_KWORD: return PROGRAM_KWORD_WORDS;
    case PROGRAM_COEF: return hw->m / 2;
    case PROGRAM_SCALE: return 2 * hw->m;
    case PROGRAM_WEIGHT: return hw->m * hw->k / 64;
    case PROGRAM_FILL: return PROGRAM_FILL_WORDS;
    default: return 0;
    }
}

int accel_table_depth(const struct hw *hw, int kind)
{
    switch (kind) {
    case PROGRAM_MAP: return hw->map_depth;
    case PROGRAM_LAYER: return hw->layer_depth;
    case PROGRAM_KWORD: return hw->kword_depth;
    case PROGRAM_COEF: return hw->coef_depth;
    case PROGRAM_SCALE: return hw->scale_depth;
    case PROGRAM_WEIGHT: return hw->weight_depth;
    default: return 0;
    }
}

/* A table of its full depth that begins with n records of the load. */
static uint64_t *copy(const struct hw *hw, int kind, const uint64_t *from, int n)
{
    size_t words = (size_t)accel_record_words(hw, kind);
    uint64_t *to = BASE_NEW_N(uint64_t, (size_t)accel_table_depth(hw, kind) * words);
    if (to && n)
        memcpy(to, from, (size_t)n * words * sizeof *to);
    return to;
}

static int open_stream(struct accel_tables *t, const struct hw *hw, const uint64_t *image)
{
    t->own_map = copy(hw, PROGRAM_MAP, t->map, t->n_map);
    t->own_layer = copy(hw, PROGRAM_LAYER, t->layer, t->n_layer);
    t->own_kword = copy(hw, PROGRAM_KWORD, t->kword, t->n_kword);
    if (!t->own_map || !t->own_layer || !t->own_kword) {
        accel_tables_close(t);
        return BASE_NOMEM;
    }
    t->map = t->own_map;
    t->layer = t->own_layer;
    t->kword = t->own_kword;
    t->stream = image + get_bits(image[5], 31, 0);
    t->segment = t->scratch ? 1 + PROGRAM_FILL_WORDS : t->words;
    t->n_layer = (int)get_bits(image[3], 31, 16);
    t->n_map = hw->map_depth;
    t->n_kword = hw->kword_depth;
    t->n_coef = hw->coef_depth;
    t->n_scale = hw->scale_depth;
    t->n_weight = hw->weight_depth;
    return BASE_OK;
}

int accel_tables_open(struct accel_tables *t, const struct hw *hw, const uint64_t *image)
{
    *t = (struct accel_tables){
        .hw = hw, .n_layer = (int)get_bits(image[2], 15, 0), .n_map = (int)get_bits(image[2], 31, 16),
        .n_kword = (int)get_bits(image[2], 47, 32), .n_coef = (int)get_bits(image[2], 63, 48), .n_scale = (int)get_bits(image[3], 15, 0),
        .n_weight = get_bits(image[3], 63, 32), .map = image + PROGRAM_HEADER_WORDS, .words = get_bits(image[5], 63, 32),
        .scratch = (int64_t)program_scratch_pages(image) * PROGRAM_PAGE / (2 * hw->n),
    };
    t->layer = t->map + t->n_map * PROGRAM_MAP_WORDS;
    t->kword = t->layer + t->n_layer * PROGRAM_LAYER_WORDS;
    t->layers_in = t->loaded = t->layer_place = t->n_layer;
    t->streamed = t->words > 0;
    t->ended = !t->streamed;
    return t->streamed ? open_stream(t, hw, image) : BASE_OK;
}

void accel_tables_close(struct accel_tables *t)
{
    base_free(t->own_map);
    base_free(t->own_layer);
    base_free(t->own_kword);
    t->own_map = t->own_kword = t->own_layer = NULL;
}

struct accel_fill accel_tables_fill(const struct accel_block *b)
{
    const uint64_t *w = b->record;
    return (struct accel_fill){
        .base = (int)get_bits(w[0], 15, 0), .row_stride = (int)get_bits(w[0], 31, 16), .px_stride = (int)get_bits(w[0], 47, 32),
        .planes = (int)get_bits(w[0], 51, 48), .rows = (int)get_bits(w[1], 15, 0), .columns = (int)get_bits(w[1], 31, 16),
        .groups = (int)get_bits(w[1], 47, 32), .pitch = (int)get_bits(w[1], 63, 48), .from = get_bits(w[2], 31, 0),
        .whole = (int)get_bits(w[2], 47, 32), .next = get_bits(w[3], 31, 0),
    };
}

/* Blocks for layer records need a ring behind those of the load; a block from the scratch ends its segment. */
static int depth_of(const struct accel_tables *t, const struct accel_block *b, int64_t end)
{
    switch (b->kind) {
    case PROGRAM_LAYER: return t->loaded < t->hw->layer_depth;
    case PROGRAM_FILL: return t->scratch > 0 && end == t->segment && end + accel_tables_fill(b).next <= t->words;
    default: return accel_table_depth(t->hw, b->kind);
    }
}

bool accel_tables_block(struct accel_block *b, const struct accel_tables *t)
{
    if (t->ended || t->at >= t->segment)
        return false;
    uint64_t head = t->stream[t->at];
    *b = (struct accel_block){ (int)get_bits(head, 15, 0), (int)get_bits(head, 31, 16), (int)get_bits(head, 47, 32),
                               (int)get_bits(head, 63, 48), t->stream + t->at + 1 };
    if (b->kind == PROGRAM_END)
        return true;
    int64_t end = t->at + 1 + (int64_t)b->n * accel_record_words(t->hw, b->kind);
    return b->n > 0 && end <= t->segment && b->first + b->n <= depth_of(t, b, end);
}

void accel_tables_put(struct accel_tables *t, const struct accel_block *b)
{
    size_t words = (size_t)b->n * (size_t)accel_record_words(t->hw, b->kind);
    uint64_t *to = b->kind == PROGRAM_MAP ? t->own_map : b->kind == PROGRAM_KWORD ? t->own_kword : t->own_layer;
    int first = b->kind == PROGRAM_LAYER ? t->layer_place : b->first;
    t->blocks++;
    if (b->kind == PROGRAM_END) {
        t->at++;
        t->ended = true;
        return;
    }
    t->at += 1 + (int64_t)words;
    if (b->kind <= PROGRAM_KWORD)
        memcpy(to + (size_t)first * (size_t)accel_record_words(t->hw, b->kind), b->record, words * sizeof *to);
    if (b->kind == PROGRAM_FILL)
        t->segment += accel_tables_fill(b).next;
    if (b->kind == PROGRAM_LAYER) {
        t->layers_in++;
        t->layer_place = t->layer_place == t->hw->layer_depth - 1 ? t->loaded : t->layer_place + 1;
    }
}

const uint64_t *accel_tables_layer(const struct accel_tables *t, int i)
{
    int ring = t->hw->layer_depth - t->loaded, place = i < t->loaded || ring == 0 ? i : t->loaded + (i - t->loaded) % ring;
    return t->layer + (size_t)place * PROGRAM_LAYER_WORDS;
}
