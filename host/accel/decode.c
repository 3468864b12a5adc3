/* The structural check of a program image, in the order in which the accelerator meets the words:
 * header, then layer by layer, blocks of the stream, map, scale, K-word, coefficient, weight. Hostile images are legal
 * input: everything is bounded by the table sizes that the header check has let pass. */
#include "accel/accel_internal.h"
#include "accel/tables.h"

/* A record of a table, with a stream: who wrote it, and the number of layers to the end of the last that read it. */
struct cell { enum { NOBODY, LOAD, STREAM } from; int read; };

struct check {
    struct accel_tables t;
    struct cell *cell[PROGRAM_KINDS];
    int layer;                 /* being checked */
    int64_t result;            /* bytes of logits that layers so far wrote */
    bool has_result;           /* all of them */
    int64_t image;             /* bytes of it that INPUT layers so far took */
    bool image_over;
    uint32_t input_bytes, output_bytes;
    /* With scratch: layers to the end of the last that touched a word of the banks, that wrote a word of the scratch. */
    int *touched, *written;
};

struct map { int base, row_stride, px_stride, planes, h, w, groups; bool paired; };

/* ---- header ------------------------------------------------------------------------- */

static int check_header(const struct hw *hw, const uint64_t *w, size_t words)
{
    if (words < PROGRAM_HEADER_WORDS)
        return PROGRAM_ERR_SIZE;
    if (get_bits(w[0], 31, 0) != PROGRAM_MAGIC || get_bits(w[0], 47, 32) != PROGRAM_MAJOR)
        return PROGRAM_ERR_MAGIC;
    if (w[1] != (put_bits(hw->m, 7, 0) | put_bits(hw->n, 15, 8) | put_bits(hw->k, 31, 16) | (hw->hash & 0xffffffffu) << 32))
        return PROGRAM_ERR_ARRAY;
    return PROGRAM_OK;
}

/* Records of the load, in the order of the kinds. */
static void counts(int64_t n[PROGRAM_KINDS], const uint64_t *w)
{
    n[PROGRAM_END] = 0;
    n[PROGRAM_LAYER] = get_bits(w[2], 15, 0);
    n[PROGRAM_MAP] = get_bits(w[2], 31, 16);
    n[PROGRAM_KWORD] = get_bits(w[2], 47, 32);
    n[PROGRAM_COEF] = get_bits(w[2], 63, 48);
    n[PROGRAM_SCALE] = get_bits(w[3], 15, 0);
    n[PROGRAM_WEIGHT] = get_bits(w[3], 63, 32);
}

static int check_size(struct check *c, const struct hw *hw, const uint64_t *w, size_t words)
{
    int64_t n[PROGRAM_KINDS], want = PROGRAM_HEADER_WORDS;
    counts(n, w);
    for (int kind = PROGRAM_MAP; kind <= PROGRAM_WEIGHT; kind++) {
        if (n[kind] > accel_table_depth(hw, kind))
            return PROGRAM_ERR_SIZE;
        want += kind == PROGRAM_WEIGHT ? 0 : n[kind] * accel_record_words(hw, kind);
    }
    if (n[PROGRAM_LAYER] == 0 || get_bits(w[5], 31, 0) != want || (int64_t)words < want + get_bits(w[5], 63, 32))
        return PROGRAM_ERR_SIZE;
    c->input_bytes = get_bits(w[4], 31, 0);
    c->output_bytes = program_output_bytes(w);
    if (c->input_bytes == 0 || c->output_bytes == 0 || c->output_bytes % 4 || c->output_bytes > 4 * MAX_LOGITS)
        return PROGRAM_ERR_IO;
    return PROGRAM_OK;
}

/* ---- stream: what a layer reads is there, and stays until its end ---------------------- */

static int open_cells(struct check *c, const uint64_t *image)
{
    int64_t n[PROGRAM_KINDS];
    counts(n, image);
    for (int kind = PROGRAM_MAP; kind <= PROGRAM_WEIGHT; kind++) {
        c->cell[kind] = BASE_NEW_N(struct cell, accel_table_depth(c->t.hw, kind));
        if (!c->cell[kind])
            return BASE_NOMEM;
        for (int64_t i = 0; i < n[kind]; i++)
            c->cell[kind][i].from = LOAD;
    }
    if (c->t.scratch == 0)
        return BASE_OK;
    c->touched = BASE_NEW_N(int, c->t.hw->act_depth);
    c->written = BASE_NEW_N(int, c->t.scratch);
    return c->touched && c->written ? BASE_OK : BASE_NOMEM;
}

/* The layer reads records [first, first + n). */
static int reads(struct check *c, int kind, int first, int n)
{
    if (!c->t.streamed)
        return PROGRAM_OK;
    for (struct cell *cell = c->cell[kind] + first; n > 0; n--, cell++) {
        if (cell->from == NOBODY)
            return PROGRAM_ERR_STREAM;
        cell->read = c->layer + 1;
    }
    return PROGRAM_OK;
}

/* A record may be written when the layers that read what was there have ended. What a layer read of the load must
 * stay for the next run. */
static int writes(struct check *c, const struct accel_block *b)
{
    int first = b->kind == PROGRAM_LAYER ? c->t.layer_place : b->first;
    struct cell *cell = c->cell[b->kind] + first;
    for (int i = 0; i < b->n; i++, cell++) {
        if (cell->read > b->after || (cell->from == LOAD && cell->read > 0))
            return PROGRAM_ERR_STREAM;
        *cell = (struct cell){ .from = STREAM };
    }
    return PROGRAM_OK;
}

/* Rows of a map in the scratch: word `from` is its first, the lines that are named lie inside. */
struct lines { int64_t from; int pitch, whole, rows, groups, words; };

static bool inside(const struct lines *l, const struct check *c)
{
    return l->from + ((int64_t)(l->groups - 1) * l->whole + l->rows - 1) * l->pitch + l->words <= c->t.scratch;
}

/* A word that a block reads was written by a layer that has ended for sure. */
static int read_scratch(const struct check *c, const struct lines *l, int after)
{
    for (int64_t i = 0; i < (int64_t)l->groups * l->rows; i++) {
        const int *w = c->written + l->from + (i / l->rows * l->whole + i % l->rows) * l->pitch;
        for (int k = 0; k < l->words; k++)
            if (w[k] == 0 || w[k] > after)
                return PROGRAM_ERR_STREAM;
    }
    return PROGRAM_OK;
}

/* Words of an area that overlap nowhere. */
static int fills(const struct check *c, const struct accel_block *b)
{
    struct accel_fill f = accel_tables_fill(b);
    if (f.groups == 0)
        return PROGRAM_OK;
    if (f.planes < 1 || f.planes > 8 || f.rows < 1 || f.rows > 1023 || f.columns < 1 || f.columns > 1023)
        return PROGRAM_ERR_STREAM;
    int blocks = ceil_div(f.columns, c->t.hw->n);
    int64_t words = (int64_t)(f.rows - 1) / 4 * f.row_stride + (int64_t)(blocks - 1) * f.px_stride + (int64_t)f.groups * f.planes;
    struct lines l = { f.from, f.pitch, f.whole, f.rows, f.groups, blocks * f.planes };
    if (f.base + words > c->t.hw->act_depth || f.px_stride < f.groups * f.planes || f.row_stride < blocks * f.px_stride || !inside(&l, c))
        return PROGRAM_ERR_STREAM;
    for (int i = f.base; i < f.base + words; i++)
        if (c->touched[i] > b->after)
            return PROGRAM_ERR_STREAM;
    return read_scratch(c, &l, b->after);
}

static int next_block(struct check *c)
{
    struct accel_block b;
    if (!accel_tables_block(&b, &c->t))
        return PROGRAM_ERR_STREAM;
    int rc = b.after > c->layer ? PROGRAM_ERR_STREAM : b.kind == PROGRAM_FILL ? fills(c, &b) : b.kind ? writes(c, &b) : PROGRAM_OK;
    if (!rc)
        accel_tables_put(&c->t, &b);
    return rc;
}

/* The layer's record, with all that it waits for: nothing of the stream, which comes behind the image, before that is taken. */
static int wait_for(struct check *c, const uint64_t **layer)
{
    int rc = !c->image_over && c->t.layers_in <= c->layer ? PROGRAM_ERR_STREAM : PROGRAM_OK;
    while (!rc && c->t.layers_in <= c->layer)
        rc = next_block(c);
    if (rc)
        return rc;
    *layer = accel_tables_layer(&c->t, c->layer);
    if (!c->image_over && get_bits((*layer)[3], 55, 32) > 0)
        return PROGRAM_ERR_STREAM;
    while (!rc && (int)get_bits((*layer)[3], 55, 32) > c->t.blocks)
        rc = next_block(c);
    int place = (int)((*layer - c->t.layer) / PROGRAM_LAYER_WORDS);
    return rc ? rc : reads(c, PROGRAM_LAYER, place, 1);
}

/* ---- maps ---------------------------------------------------------------------------- */

static int read_map(struct map *m, struct check *c, uint32_t index)
{
    if (index >= (uint32_t)c->t.n_map)
        return PROGRAM_ERR_MAP;
    int rc = reads(c, PROGRAM_MAP, (int)index, 1);
    if (rc)
        return rc;
    const uint64_t *w = c->t.map + index * PROGRAM_MAP_WORDS;
    *m = (struct map){ (int)get_bits(w[0], 15, 0), (int)get_bits(w[0], 31, 16), (int)get_bits(w[0], 47, 32),
                       (int)get_bits(w[0], 51, 48), (int)get_bits(w[1], 15, 0), (int)get_bits(w[1], 31, 16),
                       (int)get_bits(w[1], 47, 32), get_bits(w[0], 63, 63) };
    if (m->planes < 1 || m->planes > 8 || m->h < 1 || m->h > 1023 || m->w < 1 || m->w > 1023 || m->groups < 1)
        return PROGRAM_ERR_MAP;
    int64_t last = m->base + (int64_t)((m->h - 1) / 4) * m->row_stride + (int64_t)((m->w - 1) / c->t.hw->n) * m->px_stride +
                   (int64_t)m->groups * m->planes - 1;
    return last < c->t.hw->act_depth ? PROGRAM_OK : PROGRAM_ERR_ACT;
}

/* The layer reads or writes the map. */
static void touch(struct check *c, const struct map *m)
{
    int last = m->base + (m->h - 1) / 4 * m->row_stride + (m->w - 1) / c->t.hw->n * m->px_stride + m->groups * m->planes;
    for (int i = m->base; c->touched && i < last; i++)
        c->touched[i] = c->layer + 1;
}

/* ---- layers ---------------------------------------------------------------------------- */

/* Filter groups of a MAC layer fill two groups of a paired map each, or the last one. */
static int check_output(struct map *out, struct check *c, const uint64_t *w, int first, int groups, bool mac)
{
    int rc = read_map(out, c, get_bits(w[0], 31, 16));
    if (rc)
        return rc;
    int pair = mac && out->paired ? 2 : 1;
    bool fits = (int)get_bits(w[0], 47, 32) == out->h && (int)get_bits(w[0], 63, 48) == out->w && groups >= 1 &&
                pair * (first + groups) < out->groups + pair && pair * out->planes <= RAW_BITS;
    return fits ? PROGRAM_OK : PROGRAM_ERR_MAP;
}

static int check_input(struct check *c, const uint64_t *w)
{
    struct map out;
    int channels = (int)get_bits(w[1], 15, 0), pack = (int)get_bits(w[1], 31, 16), groups = (int)get_bits(w[1], 47, 32);
    int rows = (int)get_bits(w[0], 47, 32), columns = (int)get_bits(w[0], 63, 48);
    if ((pack != 1 && pack != 2 && pack != 4 && pack != 8) || channels < 1 || channels > GROUP / pack || groups != 1 ||
        rows < 1 || rows > 1023 || columns < 1 || columns > 1023)
        return PROGRAM_ERR_OP;
    int rc = check_output(&out, c, w, 0, groups, false);
    if (rc)
        return rc;
    if (out.planes != RAW_BITS / pack)
        return PROGRAM_ERR_MAP;
    touch(c, &out);
    bool part = get_bits(w[0], 15, 8) & PROGRAM_LY_PART;
    c->image += (int64_t)out.h * out.w * channels;
    c->image_over = !part;
    return (part ? c->image < c->input_bytes : c->image == c->input_bytes) ? PROGRAM_OK : PROGRAM_ERR_IO;
}

static int check_kword(struct check *c, int index, bool *last)
{
    struct map in;
    int rc = reads(c, PROGRAM_KWORD, index, 1);
    if (rc)
        return rc;
    const uint64_t *w = c->t.kword + (size_t)index * PROGRAM_KWORD_WORDS;
    uint32_t flags = get_bits(w[0], 15, 8);
    int planes = (int)get_bits(w[0], 23, 16), columns = (int)get_bits(w[0], 31, 24);
    bool grouped = flags & PROGRAM_KW_GROUP;
    if (planes < 1 || planes > 15 || flags > 31 || (grouped ? columns < 1 || columns > 3 : flags & PROGRAM_KW_REPEAT) ||
        (flags & PROGRAM_KW_NEXT && !(flags & PROGRAM_KW_REPEAT)))
        return PROGRAM_ERR_KWORD;
    rc = read_map(&in, c, get_bits(w[0], 7, 0));
    if (rc)
        return rc;
    touch(c, &in);
    if ((int)get_bits(w[0], 47, 32) >= in.groups)
        return PROGRAM_ERR_KWORD;
    int coef = (int)get_bits(w[1], 31, 16), weight = (int)get_bits(w[1], 15, 0), coefs = program_windows(flags, in.planes) * planes;
    if (coef + coefs > c->t.n_coef)
        return PROGRAM_ERR_COEF;
    if (weight + planes > c->t.n_weight)
        return PROGRAM_ERR_WEIGHT;
    *last = flags & PROGRAM_KW_LAST;
    rc = reads(c, PROGRAM_COEF, coef, coefs);
    return rc ? rc : reads(c, PROGRAM_WEIGHT, weight, planes);
}

/* Every list from the first K-word on. */
static int check_lists(struct check *c, int first, int filters)
{
    for (int filter = 0, k = first; filter < filters; filter++)
        for (bool last = false; !last; k++) {
            if (k >= c->t.n_kword)
                return PROGRAM_ERR_KWORD;
            int rc = check_kword(c, k, &last);
            if (rc)
                return rc;
        }
    return PROGRAM_OK;
}

/* The records of the logits, all but the last with MORE, write them all, once. */
static int check_logits(struct check *c, const uint64_t *w, int filters)
{
    int64_t logits = get_bits(w[3], 31, 0);
    bool more = get_bits(w[0], 15, 8) & PROGRAM_LY_MORE;
    if (logits < 1 || logits > (int64_t)filters * c->t.hw->m || c->has_result)
        return PROGRAM_ERR_IO;
    c->result += logits * 4;
    c->has_result = !more;
    return more ? c->result < c->output_bytes && logits % 2 == 0 ? PROGRAM_OK : PROGRAM_ERR_IO
                : c->result == c->output_bytes ? PROGRAM_OK : PROGRAM_ERR_IO;
}

static int check_mac(struct check *c, const uint64_t *w)
{
    struct map out;
    int filters = (int)get_bits(w[1], 15, 0), scale = (int)get_bits(w[1], 47, 32), rc;
    uint32_t flags = get_bits(w[0], 15, 8);
    bool part = flags & PROGRAM_LY_PART, final = !part && (flags & PROGRAM_LY_LOGITS);
    if (filters < 1 || get_bits(w[2], 7, 0) > 47)
        return PROGRAM_ERR_OP;
    if ((final || part) && (get_bits(w[0], 47, 32) != 1 || get_bits(w[0], 63, 48) != 1))
        return PROGRAM_ERR_OP;
    if (part && filters != 1)
        return PROGRAM_ERR_OP;
    rc = part ? PROGRAM_OK : final ? check_logits(c, w, filters) : check_output(&out, c, w, (int)get_bits(w[1], 63, 48), filters, true);
    if (rc)
        return rc;
    if (!final && !part)
        touch(c, &out);
    if (scale + filters > c->t.n_scale)
        return PROGRAM_ERR_SCALE;
    rc = part ? PROGRAM_OK : reads(c, PROGRAM_SCALE, scale, filters);
    return rc ? rc : check_lists(c, (int)get_bits(w[1], 31, 16), filters);
}

/* The result goes past the banks. Lines of two rows must not share words. */
static int check_spill(struct check *c, const uint64_t *w, const struct map *out, int groups)
{
    struct lines l = { get_bits(w[3], 31, 0), (int)get_bits(w[2], 47, 32), (int)get_bits(w[2], 31, 20), out->h, groups,
                       ceil_div(out->w, c->t.hw->n) * out->planes };
    if (!inside(&l, c))
        return PROGRAM_ERR_IO;
    if (!c->written || l.pitch < l.words || l.whole < l.rows)
        return PROGRAM_ERR_STREAM;
    for (int64_t i = 0; i < (int64_t)l.groups * l.rows; i++)
        for (int k = 0; k < l.words; k++)
            c->written[l.from + (i / l.rows * l.whole + i % l.rows) * l.pitch + k] = c->layer + 1;
    return PROGRAM_OK;
}

static int check_maxpool(struct check *c, const uint64_t *w)
{
    struct map in, out;
    int groups = (int)get_bits(w[1], 15, 0), taps = (int)get_bits(w[1], 63, 48);
    if (groups < 1 || taps == 0 || taps > 0x1ff)
        return PROGRAM_ERR_OP;
    int rc = read_map(&in, c, get_bits(w[1], 31, 16));
    if (rc)
        return rc;
    rc = check_output(&out, c, w, (int)get_bits(w[1], 47, 32), groups, false);
    if (rc)
        return rc;
    if (groups > in.groups || in.planes != out.planes)
        return PROGRAM_ERR_MAP;
    touch(c, &in);
    if (get_bits(w[0], 15, 8) & PROGRAM_LY_SPILL)
        return check_spill(c, w, &out, groups);
    touch(c, &out);
    return PROGRAM_OK;
}

static int check_layer(struct check *c)
{
    const uint64_t *w;
    int rc = wait_for(c, &w);
    if (rc)
        return rc;
    uint32_t op = get_bits(w[0], 7, 0);
    if (op == PROGRAM_INPUT ? c->image_over : c->layer == 0)
        return PROGRAM_ERR_OP;
    switch (op) {
    case PROGRAM_INPUT: return check_input(c, w);
    case PROGRAM_MAC: return check_mac(c, w);
    case PROGRAM_MAXPOOL: return check_maxpool(c, w);
    default: return PROGRAM_ERR_OP;
    }
}

/* The last layer waits for the whole stream: a run leaves nothing of it behind. */
static int check_layers(struct check *c, const uint64_t *image)
{
    int rc = c->t.streamed ? open_cells(c, image) : PROGRAM_OK;
    for (c->layer = 0; !rc && c->layer < c->t.n_layer; c->layer++)
        rc = check_layer(c);
    if (!rc && (!c->has_result || !c->image_over))
        rc = PROGRAM_ERR_IO;
    if (!rc && (!c->t.ended || c->t.n_layer == 0 || (c->t.streamed && c->t.at != c->t.words)))
        rc = PROGRAM_ERR_STREAM;
    return rc;
}

int accel_decode_check(const struct hw *hw, const uint64_t *image, size_t image_words)
{
    struct check c = { 0 };
    int rc = check_header(hw, image, image_words);
    if (!rc)
        rc = check_size(&c, hw, image, image_words);
    if (!rc)
        rc = accel_tables_open(&c.t, hw, image);
    if (!rc)
        rc = check_layers(&c, image);
    for (int kind = 0; kind < PROGRAM_KINDS; kind++)
        base_free(c.cell[kind]);
    base_free(c.touched);
    base_free(c.written);
    accel_tables_close(&c.t);
    return rc;
}
