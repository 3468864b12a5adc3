/* FILL blocks: what a tile reads comes from the scratch into a buffer when the records that used the buffer have ended, and
 * those that wrote the rows. The compiler keeps for each word of the banks and each row of the scratch which records
 * these are. A FILL is the last block of a segment of the stream and tells how long the next one is. */
#include "accel/accel_internal.h"

struct buffer { bool full; struct area area; int base; };

struct fills {
    struct build *b;
    int layer;                                 /* whose buffers these are */
    struct buffer (*buffer)[2];                /* [n_edge] */
    int *now;                                  /* [n_edge], the buffer in use */
    int *used;                                 /* [act_depth], records after which the word is free */
    int **written;                             /* [n_edge][h], records after which the row is in the scratch */
    size_t segment, length;                    /* words of the stream: where the segment begins, where its length is told */
};

/* ---- segments -------------------------------------------------------------------------- */

static void end_segment(struct fills *f)
{
    struct stream *s = &f->b->stream;
    if (f->segment)
        s->word[f->length] |= put_bits((int64_t)(s->n - f->segment), 31, 0);
    f->segment = s->n;
    f->length = s->n - 1;
}

static int put_fill(struct fills *f, int edge, const struct place *p, const struct area *a, int after)
{
    struct build *b = f->b;
    uint64_t *w = accel_put_block(b, PROGRAM_FILL, 0, 1, after, PROGRAM_FILL_WORDS);
    if (!w)
        return BASE_NOMEM;
    if (a) {
        accel_put_area(b, w, edge, p, a);
        w[0] &= ~put_bits(-1, 63, 52);         /* where the area lies in the map is the map record's */
        w[1] = (w[1] & ~put_bits(-1, 63, 48)) | put_bits(accel_scratch_pitch(b, edge), 63, 48);
        w[2] = put_bits(accel_scratch_at(b, edge, a->y, a->xb, a->group), 31, 0) | put_bits(b->net->edge[edge].h, 47, 32);
    }
    end_segment(f);
    return BASE_OK;
}

int accel_fills_open(struct fills **out, struct build *b)
{
    size_t n = (size_t)b->net->n_edge;
    struct fills *f = BASE_ARENA_NEW(b->arena, struct fills);
    if (!f || !(f->buffer = base_arena_alloc(b->arena, n * sizeof *f->buffer)) || !(f->now = BASE_ARENA_NEW_N(b->arena, int, n)) ||
        !(f->used = BASE_ARENA_NEW_N(b->arena, int, b->hw->act_depth)) || !(f->written = BASE_ARENA_NEW_N(b->arena, int *, n)))
        return BASE_NOMEM;
    f->b = b;
    f->layer = -1;
    for (size_t e = 0; e < n; e++)
        if (b->tiles->spilled[e] && !(f->written[e] = BASE_ARENA_NEW_N(b->arena, int, b->net->edge[e].h)))
            return BASE_NOMEM;
    for (int y = 0; is_spilled(b, 0) && y < b->net->edge[0].h; y++)
        f->written[0][y] = y / b->tiles->image_rows * 2 + 2;
    for (int i = 0; i < b->hw->act_depth; i++)
        f->used[i] = b->n_head;                /* the image's records */
    *out = f;
    return put_fill(f, 0, NULL, NULL, 0);
}

void accel_fills_close(struct fills *f) { end_segment(f); }

/* ---- buffers --------------------------------------------------------------------------- */

static void new_layer(struct fills *f, int layer)
{
    const struct plan *p = &f->b->tiles->plan[layer];
    f->layer = layer;
    for (int i = 0; i < p->n_edge; i++) {
        for (int k = 0; k < 2; k++)
            f->buffer[p->edge[i]][k] = (struct buffer){ .base = p->base[i] + (k < p->buffers ? k * p->words[i] : 0) };
        f->now[p->edge[i]] = 0;
    }
}

static bool same_area(const struct area *a, const struct area *b) { return memcmp(a, b, sizeof *a) == 0; }

struct place accel_fills_place(const struct fills *f, int edge, struct area *a)
{
    const struct buffer *buf = &f->buffer[edge][f->now[edge]];
    *a = buf->area;
    struct place p = accel_area_place(f->b, edge, a);
    p.base = buf->base;
    return p;
}

static int fill(struct fills *f, int edge, const struct area *a)
{
    const struct plan *plan = &f->b->tiles->plan[f->layer];
    for (int k = 0; k < plan->buffers; k++)
        if (f->buffer[edge][k].full && same_area(&f->buffer[edge][k].area, a)) {
            f->now[edge] = k;
            return BASE_OK;
        }
    int next = (f->now[edge] + 1) % plan->buffers, after = 0;
    f->now[edge] = next;
    f->buffer[edge][next].full = true;
    f->buffer[edge][next].area = *a;
    struct area at;
    struct place p = accel_fills_place(f, edge, &at);
    for (int i = p.base; i < p.base + p.words; i++)
        after = BASE_MAX(after, f->used[i]);
    for (int y = a->y; y < a->y + a->rows; y++)
        after = BASE_MAX(after, f->written[edge][y]);
    return put_fill(f, edge, &p, a, after);
}

/* The maps of the scratch that the step reads; a record that copies reads its layer's tile. */
int accel_fills_put(struct fills *f, const struct step *s)
{
    const struct part *p = &f->b->part[s->part];
    const struct plan *plan = &f->b->tiles->plan[p->layer];
    int rc = BASE_OK;
    if (f->layer != p->layer)
        new_layer(f, p->layer);
    for (int i = 0; !rc && !s->copy && i < plan->n_edge; i++)
        if (accel_part_reads(f->b, p, plan->edge[i])) {
            struct area a = accel_area(f->b, s, plan->edge[i]);
            rc = fill(f, plan->edge[i], &a);
        }
    return rc;
}

/* ---- who used what ------------------------------------------------------------------------ */

struct place accel_out_place(const struct build *b, const struct step *s, struct area *a)
{
    const struct part *part = &b->part[s->part];
    const struct fixed_layer *l = &b->net->layer[part->layer];
    *a = (struct area){ .y = s->y, .rows = s->rows, .xb = s->xb, .blocks = s->blocks, .groups = part->filters };
    if (!is_spilled(b, l->out)) {
        struct place p = b->place[l->out];
        p.base += (s->y >> 2) * p.row_stride;
        return p;
    }
    struct place p = accel_area_place(b, l->out, a);
    p.base = b->tiles->plan[part->layer].out;
    if (l->kind == FIXED_MAXPOOL)              /* it goes past the banks: a shape and no place */
        p.base = p.row_stride = p.px_stride = p.words = 0;
    return p;
}

static void use(struct fills *f, const struct place *p, int record)
{
    for (int i = p->base; i < p->base + p->words && i < f->b->hw->act_depth; i++)
        f->used[i] = record + 1;
}

void accel_fills_use(struct fills *f, const struct step *s, int record)
{
    struct build *b = f->b;
    const struct part *part = &b->part[s->part];
    const struct fixed_layer *l = &b->net->layer[part->layer];
    struct area a;
    for (int t = 0; !s->copy && t < terms_of(l); t++) {
        int edge = l->term[t].edge;
        struct place p = b->place[edge];
        if (is_spilled(b, edge) && accel_part_reads(b, part, edge))
            p = accel_fills_place(f, edge, &a);
        else if (is_spilled(b, edge))
            continue;
        use(f, &p, record);
    }
    if (l->out < 0)
        return;
    struct place p = accel_out_place(b, s, &a);
    if (!is_spilled(b, l->out))
        p.base = b->place[l->out].base;
    use(f, &p, record);
    for (int y = s->y; is_spilled(b, l->out) && (s->copy || l->kind == FIXED_MAXPOOL) && y < s->y + s->rows; y++)
        f->written[l->out][y] = record + 1;
}
