/* early: which layers may read while the one before them drains (docs/rtl/engine.md, Early): the rows that their first tiles read must
 * be none of those that the last tiles write. Bounds, for each tile takes the time of its issues at least, a window that of a read. */
#include "accel/accel_internal.h"

enum {
    FIRST_READ = 7,            /* from the last take: bp_seq 2, bp_walk 5 */
    LAST_WORD = 12,            /* from the last issue, and the drain's steps and the words: bp_array 5, bp_requant 5, bp_writeback 1, the port 1 */
};

/* With fewer tiles than eight a layer may be over before the one before it has drained. */
static bool is_plain(const struct build *b, const struct step *s)
{
    const struct part *p = &b->part[s->part];
    const struct fixed_layer *l = &b->net->layer[p->layer];
    return !s->copy && l->kind == FIXED_MAC && l->out >= 0 && !p->open && program_many((uint32_t)l->h, (uint32_t)p->filters);
}

/* What a tile of the list [k, end) takes at least: a cycle for each issue, one for the reads of each window. */
struct tile_work { int issues, reads; };
static struct tile_work work_of(const struct build *b, int k, int end)
{
    struct tile_work w = { 0 };
    for (; k < end; k++) {
        w.issues += kword_planes(b, k) * kword_windows(b, k);
        w.reads += kword_windows(b, k);
    }
    return w;
}

/* The layer's last filter group: the first row with a word that is not written when `*span` cycles are left to the last word, the
 * cycles from the next layer's first read. */
static int first_late_row(const struct build *b, const struct part *p, int *span)
{
    const struct fixed_layer *l = &b->net->layer[p->layer];
    const struct place *out = &b->place[l->out];
    int blocks = ceil_div(l->w, b->hw->n), tiles = l->h * blocks, last = p->kword, end;
    for (int f = 1; f < p->filters; f++)
        last = list_end(b, last);
    end = list_end(b, last);
    int steps = hw_drain_steps(b->hw), words = out->planes << out->paired, gap = BASE_MAX(steps, words);
    int held = BASE_MAX(kword_planes(b, end - 1) - 1, gap);        /* from the last take to the last issue, at most */
    *span = held + LAST_WORD + steps + words - FIRST_READ;
    int late = BASE_MIN(*span / BASE_MAX(work_of(b, last, end).issues, gap) + 1, tiles);
    return (tiles - late) / blocks;
}

/* The last row of the edge that the list's tiles up to row y read; -1: none. */
static int last_row(const struct build *b, int k, int end, int edge, int y)
{
    int last = -1;
    for (; k < end; k++) {
        int stride = kword_flags(b, k) & PROGRAM_KW_STRIDE2 ? 2 : 1, taps = kword_flags(b, k) & PROGRAM_KW_GROUP ? 1 : 3;
        if (b->names[k].edge == edge)
            last = BASE_MAX(last, y * stride + (int8_t)get_bits(b->kword[PROGRAM_KWORD_WORDS * k], 55, 48) + taps - 1);
    }
    return last;
}

/* Of all tiles that begin within `span` cycles, filter group after filter group. */
static int last_early_row(const struct build *b, const struct part *p, int edge, int span)
{
    const struct fixed_layer *l = &b->net->layer[p->layer];
    int blocks = ceil_div(l->w, b->hw->n), last = -1, k = p->kword;
    for (int f = 0; f < p->filters && span >= 0; f++) {
        int end = list_end(b, k), tile = work_of(b, k, end).reads;
        last = BASE_MAX(last, last_row(b, k, end, edge, BASE_MIN(span / tile / blocks, l->h - 1)));
        span -= tile * blocks * l->h;
        k = end;
    }
    return last;
}

bool accel_early(const struct build *b, const struct step *s)
{
    if (s == b->step || b->tiles || !program_overlaps(hw_drain_steps(b->hw)) || !is_plain(b, s) || !is_plain(b, s - 1))
        return false;
    const struct part *p = &b->part[s->part], *before = &b->part[s[-1].part];
    int out = b->net->layer[before->layer].out, span;
    int late = first_late_row(b, before, &span);
    return last_early_row(b, p, out, span) < late;
}
