/* The structural check of a program image, in the order in which the accelerator meets the words:
 * header, then layer by layer, map, scale, K-word, coefficient, weight. Hostile images are legal
 * input: everything is bounded by the table sizes that the header check has let pass. */
#include "accel/accel_internal.h"

struct tables {
    const struct hw *hw;
    const uint64_t *map, *layer, *kword;
    int n_layer, n_map, n_kword, n_coef, n_scale;
    int64_t n_weight;
    uint32_t input_bytes, output_bytes;
    bool has_result;           /* a layer so far wrote the logits */
};

struct map { int base, row_stride, px_stride, planes, h, w, groups; bool raw; };

/* ---- header ------------------------------------------------------------------------- */

static int read_header(struct tables *t, const uint64_t *w, size_t words)
{
    const struct hw *hw = t->hw;
    if (words < PROGRAM_HEADER_WORDS)
        return PROGRAM_ERR_SIZE;
    if (get_bits(w[0], 31, 0) != PROGRAM_MAGIC || get_bits(w[0], 47, 32) != PROGRAM_MAJOR)
        return PROGRAM_ERR_MAGIC;
    if (w[1] != (put_bits(hw->m, 7, 0) | put_bits(hw->n, 15, 8) | put_bits(hw->k, 31, 16) | (hw->hash & 0xffffffffu) << 32))
        return PROGRAM_ERR_ARRAY;
    t->n_layer = (int)get_bits(w[2], 15, 0);
    t->n_map = (int)get_bits(w[2], 31, 16);
    t->n_kword = (int)get_bits(w[2], 47, 32);
    t->n_coef = (int)get_bits(w[2], 63, 48);
    t->n_scale = (int)get_bits(w[3], 15, 0);
    t->n_weight = get_bits(w[3], 63, 32);
    t->input_bytes = get_bits(w[4], 31, 0);
    t->output_bytes = get_bits(w[4], 63, 32);
    t->map = w + PROGRAM_HEADER_WORDS;
    t->layer = t->map + t->n_map * PROGRAM_MAP_WORDS;
    t->kword = t->layer + t->n_layer * PROGRAM_LAYER_WORDS;
    return PROGRAM_OK;
}

static int check_size(const struct tables *t, const uint64_t *w, size_t words)
{
    const struct hw *hw = t->hw;
    int64_t want = PROGRAM_HEADER_WORDS + (int64_t)t->n_map * PROGRAM_MAP_WORDS + (int64_t)t->n_layer * PROGRAM_LAYER_WORDS +
                   (int64_t)t->n_kword * PROGRAM_KWORD_WORDS + (int64_t)t->n_coef * (hw->m / 2) + (int64_t)t->n_scale * 2 * hw->m;
    if (t->n_layer == 0 || t->n_layer > hw->layer_depth || t->n_map > hw->map_depth || t->n_kword > hw->kword_depth ||
        t->n_coef > hw->coef_depth || t->n_scale > hw->scale_depth || t->n_weight > hw->weight_depth ||
        get_bits(w[5], 31, 0) != want || (int64_t)words < want)
        return PROGRAM_ERR_SIZE;
    if (t->input_bytes == 0 || t->output_bytes == 0 || t->output_bytes % 4 ||
        t->output_bytes > 4 * MAX_LOGITS)
        return PROGRAM_ERR_IO;
    return PROGRAM_OK;
}

/* ---- maps ---------------------------------------------------------------------------- */

static int read_map(struct map *m, const struct tables *t, uint32_t index)
{
    if (index >= (uint32_t)t->n_map)
        return PROGRAM_ERR_MAP;
    const uint64_t *w = t->map + index * PROGRAM_MAP_WORDS;
    *m = (struct map){ (int)get_bits(w[0], 15, 0), (int)get_bits(w[0], 31, 16), (int)get_bits(w[0], 47, 32),
                       (int)get_bits(w[0], 51, 48), (int)get_bits(w[1], 15, 0), (int)get_bits(w[1], 31, 16),
                       (int)get_bits(w[1], 47, 32), get_bits(w[0], 52, 52) };
    if (m->planes < 1 || m->planes > 8 || m->h < 1 || m->h > 1023 || m->w < 1 || m->w > 1023 || m->groups < 1)
        return PROGRAM_ERR_MAP;
    int64_t last = m->base + (int64_t)((m->h - 1) / 4) * m->row_stride + (int64_t)((m->w - 1) / t->hw->n) * m->px_stride +
                   (int64_t)m->groups * m->planes - 1;
    return last < t->hw->act_depth ? PROGRAM_OK : PROGRAM_ERR_ACT;
}

/* ---- layers ---------------------------------------------------------------------------- */

static int check_output(struct map *out, const struct tables *t, const uint64_t *w, int first, int groups)
{
    int rc = read_map(out, t, get_bits(w[0], 31, 16));
    if (rc)
        return rc;
    bool fits = (int)get_bits(w[0], 47, 32) == out->h && (int)get_bits(w[0], 63, 48) == out->w && groups >= 1 &&
                first + groups <= out->groups;
    return fits ? PROGRAM_OK : PROGRAM_ERR_MAP;
}

static int check_input(const struct tables *t, const uint64_t *w)
{
    struct map out;
    int channels = (int)get_bits(w[1], 15, 0), pack = (int)get_bits(w[1], 31, 16), groups = (int)get_bits(w[1], 47, 32);
    int rows = (int)get_bits(w[0], 47, 32), columns = (int)get_bits(w[0], 63, 48);
    if ((pack != 1 && pack != 2 && pack != 4 && pack != 8) || channels < 1 || channels > GROUP / pack || groups != 1 ||
        rows < 1 || rows > 1023 || columns < 1 || columns > 1023)
        return PROGRAM_ERR_OP;
    int rc = check_output(&out, t, w, 0, groups);
    if (rc)
        return rc;
    if (out.planes != RAW_BITS / pack)
        return PROGRAM_ERR_MAP;
    return (int64_t)out.h * out.w * channels == t->input_bytes ? PROGRAM_OK : PROGRAM_ERR_IO;
}

static int check_kword(const struct tables *t, int index, bool *last)
{
    struct map in;
    const uint64_t *w = t->kword + (size_t)index * PROGRAM_KWORD_WORDS;
    uint32_t flags = get_bits(w[0], 15, 8);
    int planes = (int)get_bits(w[0], 23, 16), columns = (int)get_bits(w[0], 31, 24);
    bool grouped = flags & PROGRAM_KW_GROUP;
    if (planes < 1 || planes > 15 || flags > 7 || (grouped && (columns < 1 || columns > 3)))
        return PROGRAM_ERR_KWORD;
    int rc = read_map(&in, t, get_bits(w[0], 7, 0));
    if (rc)
        return rc;
    if ((int)get_bits(w[0], 47, 32) >= in.groups)
        return PROGRAM_ERR_KWORD;
    if ((int)get_bits(w[1], 31, 16) + in.planes * planes > t->n_coef)
        return PROGRAM_ERR_COEF;
    if ((int)get_bits(w[1], 15, 0) + planes > t->n_weight)
        return PROGRAM_ERR_WEIGHT;
    *last = flags & PROGRAM_KW_LAST;
    return PROGRAM_OK;
}

/* Every list from the first K-word on. */
static int check_lists(const struct tables *t, int first, int filters)
{
    for (int filter = 0, k = first; filter < filters; filter++)
        for (bool last = false; !last; k++) {
            if (k >= t->n_kword)
                return PROGRAM_ERR_KWORD;
            int rc = check_kword(t, k, &last);
            if (rc)
                return rc;
        }
    return PROGRAM_OK;
}

static int check_mac(struct tables *t, const uint64_t *w)
{
    struct map out;
    int filters = (int)get_bits(w[1], 15, 0), logits = (int)get_bits(w[3], 31, 0), rc = PROGRAM_OK;
    bool final = get_bits(w[0], 15, 8) & PROGRAM_LY_LOGITS;
    if (filters < 1 || get_bits(w[2], 7, 0) > 47)
        return PROGRAM_ERR_OP;
    if (final && (get_bits(w[0], 47, 32) != 1 || get_bits(w[0], 63, 48) != 1))
        return PROGRAM_ERR_OP;
    if (final && (logits < 1 || logits > filters * t->hw->m || (int64_t)logits * 4 != t->output_bytes))
        return PROGRAM_ERR_IO;
    if (!final)
        rc = check_output(&out, t, w, (int)get_bits(w[1], 63, 48), filters);
    if (rc)
        return rc;
    if ((int)get_bits(w[1], 47, 32) + filters > t->n_scale)
        return PROGRAM_ERR_SCALE;
    if (final && t->has_result)
        return PROGRAM_ERR_IO;
    t->has_result |= final;
    return check_lists(t, (int)get_bits(w[1], 31, 16), filters);
}

static int check_maxpool(const struct tables *t, const uint64_t *w)
{
    struct map in, out;
    int groups = (int)get_bits(w[1], 15, 0), taps = (int)get_bits(w[1], 63, 48);
    if (groups < 1 || taps == 0 || taps > 0x1ff)
        return PROGRAM_ERR_OP;
    int rc = read_map(&in, t, get_bits(w[1], 31, 16));
    if (rc)
        return rc;
    rc = check_output(&out, t, w, (int)get_bits(w[1], 47, 32), groups);
    if (rc)
        return rc;
    return groups <= in.groups && in.planes == out.planes ? PROGRAM_OK : PROGRAM_ERR_MAP;
}

static int check_layer(struct tables *t, int index)
{
    const uint64_t *w = t->layer + (size_t)index * PROGRAM_LAYER_WORDS;
    uint32_t op = get_bits(w[0], 7, 0);
    if ((op == PROGRAM_INPUT) != (index == 0))
        return PROGRAM_ERR_OP;
    switch (op) {
    case PROGRAM_INPUT: return check_input(t, w);
    case PROGRAM_MAC: return check_mac(t, w);
    case PROGRAM_MAXPOOL: return check_maxpool(t, w);
    default: return PROGRAM_ERR_OP;
    }
}

int accel_decode_check(const struct hw *hw, const uint64_t *image, size_t image_words)
{
    struct tables t = { .hw = hw };
    int rc = read_header(&t, image, image_words);
    if (!rc)
        rc = check_size(&t, image, image_words);
    for (int i = 0; !rc && i < t.n_layer; i++)
        rc = check_layer(&t, i);
    return rc || t.has_result ? rc : PROGRAM_ERR_IO;
}
