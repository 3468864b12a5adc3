/* Maps too big for the banks live in the scratch (docs/rtl/program.md): which ones, and the tiles of the layers that
 * touch them. A tile is some rows and blocks of the output and some of its filter groups; what it reads comes from
 * the scratch into buffers, two of each where there is room, so that the next tile comes while one computes. */
#include "accel/accel_internal.h"

enum { LATENCY = 100, STEP = 60 };             /* cycles that a block from the scratch and a tile cost beside their words, about */

/* ---- what a tile reads --------------------------------------------------------------- */

/* Positions [first, first + n) of the output along one axis read [*lo, *hi) of a map of `size`. */
struct axis { int stride, pad, kernel; };

static void widen(int *lo, int *hi, struct axis a, int first, int n)
{
    *lo = BASE_MIN(*lo, first * a.stride - a.pad);
    *hi = BASE_MAX(*hi, (first + n - 1) * a.stride - a.pad + a.kernel);
}

/* Inside the map, and not empty: what lies outside is padding. */
static void clip(int *lo, int *hi, int size)
{
    *lo = BASE_MIN(BASE_MAX(*lo, 0), size - 1);
    *hi = BASE_MAX(BASE_MIN(*hi, size), *lo + 1);
}

static void rows_read(const struct build *b, int layer, int edge, int y, int n, int *first, int *rows)
{
    const struct fixed_layer *l = &b->net->layer[layer];
    int lo = INT32_MAX, hi = INT32_MIN;
    for (int t = 0; t < terms_of(l); t++)
        if (l->term[t].edge == edge)
            widen(&lo, &hi, (struct axis){ array_stride(l, &l->term[t]), l->term[t].pad_t, l->term[t].kh }, y, n);
    clip(&lo, &hi, b->net->edge[edge].h);
    *first = lo;
    *rows = hi - lo;
}

/* Windows of the array begin up to two columns before the kernel does, and a block's left halo is the block's before. */
static void blocks_read(const struct build *b, int layer, int edge, int xb, int n, int *first, int *blocks)
{
    const struct fixed_layer *l = &b->net->layer[layer];
    int lo = INT32_MAX, hi = INT32_MIN, px = b->hw->n, all = ceil_div(b->net->edge[edge].w, px);
    for (int t = 0; t < terms_of(l); t++)
        if (l->term[t].edge == edge)
            widen(&lo, &hi, (struct axis){ array_stride(l, &l->term[t]), l->term[t].pad_l + 2, l->term[t].kw + 2 }, xb * px, n * px);
    clip(&lo, &hi, b->net->edge[edge].w);
    *first = n >= ceil_div(l->w, px) ? 0 : lo / px;
    *blocks = (n >= ceil_div(l->w, px) ? all : ceil_div(hi, px)) - *first;
}

/* Channel groups that these K-words read of the edge; false: none names it. */
static bool groups_read(const struct build *b, int edge, int kword, int end, int *first, int *groups)
{
    int lo = INT32_MAX, hi = 0;
    for (int k = kword; k < end; k++) {
        if (b->names[k].edge != edge)
            continue;
        uint64_t w = b->kword[PROGRAM_KWORD_WORDS * k];
        int g = (int)get_bits(w, 47, 32);
        lo = BASE_MIN(lo, g);
        uint32_t flags = get_bits(w, 15, 8);
        int taps = flags & PROGRAM_KW_REPEAT ? (int)get_bits(w, 31, 24) : flags & PROGRAM_KW_GROUP ? TAPS : 1;
        hi = BASE_MAX(hi, BASE_MIN(g + taps, b->place[edge].groups));
    }
    *first = lo;
    *groups = hi - lo;
    return hi > 0;
}

static bool part_groups(const struct build *b, int layer, int filter, int filters, int edge, int *first, int *groups)
{
    const struct fixed_layer *l = &b->net->layer[layer];
    if (l->kind == FIXED_MAXPOOL) {
        *first = filter;
        *groups = filters;
        return l->term[0].edge == edge;
    }
    const int *list = b->tiles->list + b->first_scale[layer] + filter;
    return groups_read(b, edge, list[0], list[filters], first, groups);
}

/* ---- what K-words read -------------------------------------------------------------- */

/* Rows and columns of all windows of K-words [kword, end) over the edge, at a block of a row. */
struct box { int y0, y1, x0, x1; };

static struct box windows(const struct build *b, int edge, int kword, int end, int y, int xb)
{
    struct box r = { INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN };
    for (int k = kword; k < end; k++) {
        if (b->names[k].edge != edge)
            continue;
        uint64_t w = b->kword[PROGRAM_KWORD_WORDS * k];
        uint32_t flags = get_bits(w, 15, 8);
        bool group = flags & PROGRAM_KW_GROUP;
        int stride = flags & PROGRAM_KW_STRIDE2 ? 2 : 1, size = group ? 1 : 3;
        widen(&r.y0, &r.y1, (struct axis){ stride, group ? 0 : -(int8_t)get_bits(w, 55, 48), size }, y, 1);
        widen(&r.x0, &r.x1, (struct axis){ stride, group ? 0 : -(int8_t)get_bits(w, 63, 56), size }, xb * b->hw->n, b->hw->n);
    }
    return r;
}

static struct area piece_area(const struct build *b, int edge, int kword, int end, int y, int xb)
{
    struct box r = windows(b, edge, kword, end, y, xb);
    struct area a = { 0 };
    clip(&r.y0, &r.y1, b->net->edge[edge].h);
    clip(&r.x0, &r.x1, b->net->edge[edge].w);
    a.y = r.y0;
    a.rows = r.y1 - r.y0;
    a.xb = r.x0 / b->hw->n;
    a.blocks = ceil_div(r.x1, b->hw->n) - a.xb;
    groups_read(b, edge, kword, end, &a.group, &a.groups);
    return a;
}

/* Words that they take wherever the block lies: no more than the whole map, which may cut a window. 0: none names the edge. */
static int piece_words(const struct build *b, int edge, int kword, int end)
{
    int first, groups, px = b->hw->n, reach = 64 * px;     /* of a window beside the map: no number is negative */
    if (!groups_read(b, edge, kword, end, &first, &groups))
        return 0;
    struct box r = windows(b, edge, kword, end, 0, 0);
    int rows = BASE_MIN(r.y1 - r.y0, b->net->edge[edge].h), blocks = ceil_div(r.x1 + reach, px) - (r.x0 + reach) / px;
    return ceil_div(rows, 4) * BASE_MIN(blocks, ceil_div(b->net->edge[edge].w, px)) * groups * b->place[edge].planes;
}

bool accel_too_wide(const struct build *b, const struct part *p)
{
    const struct plan *plan = &b->tiles->plan[p->layer];
    bool wide = false;
    for (int i = 0; i < plan->n_edge; i++)
        wide |= piece_words(b, plan->edge[i], p->kword, p->kword + p->n_kword) > plan->words[i];
    return wide;
}

bool accel_part_reads(const struct build *b, const struct part *p, int edge)
{
    int first, groups;
    if (b->tiles->plan[p->layer].pieces)
        return groups_read(b, edge, p->kword, p->kword + p->n_kword, &first, &groups);
    return part_groups(b, p->layer, p->filter, p->filters, edge, &first, &groups);
}

struct area accel_area(const struct build *b, const struct step *s, int edge)
{
    const struct part *p = &b->part[s->part];
    struct area a = { 0 };
    if (b->tiles->plan[p->layer].pieces)
        return piece_area(b, edge, p->kword, p->kword + p->n_kword, s->y, s->xb);
    rows_read(b, p->layer, edge, s->y, s->rows, &a.y, &a.rows);
    blocks_read(b, p->layer, edge, s->xb, s->blocks, &a.xb, &a.blocks);
    part_groups(b, p->layer, p->filter, p->filters, edge, &a.group, &a.groups);
    return a;
}

struct place accel_area_place(const struct build *b, int edge, const struct area *a)
{
    struct place p = b->place[edge];
    p.groups = a->groups;
    p.px_stride = a->groups * p.planes;
    p.row_stride = a->blocks * p.px_stride;
    p.words = ceil_div(a->rows, 4) * p.row_stride;
    return p;
}

int accel_scratch_pitch(const struct build *b, int edge)
{
    return ceil_div(b->net->edge[edge].w, b->hw->n) * b->place[edge].planes;
}

int64_t accel_scratch_at(const struct build *b, int edge, int y, int xb, int group)
{
    return b->tiles->scratch[edge] + ((int64_t)group * b->net->edge[edge].h + y) * accel_scratch_pitch(b, edge) +
           xb * b->place[edge].planes;
}

/* ---- a layer's plan ------------------------------------------------------------------ */

/* What the tiles of a plan read of one map. */
struct reads { int64_t rows, blocks, groups; int most_rows, most_blocks, most_groups; bool same_groups; };

typedef void span_fn(const struct build *b, int layer, int edge, int from, int n, int *first, int *count);

/* Rows or blocks that tiles of `step` out of `all` of the output read, added up, and the most of one. */
static void read_spans(int64_t *sum, int *most, span_fn *read, const struct build *b, int layer, int edge, int all, int step)
{
    *sum = *most = 0;
    for (int from = 0; from < all; from += step) {
        int first, n;
        read(b, layer, edge, from, BASE_MIN(step, all - from), &first, &n);
        *sum += n;
        *most = BASE_MAX(*most, n);
    }
}

static void read_rows(struct reads *r, const struct build *b, int layer, int edge, int rows)
{
    read_spans(&r->rows, &r->most_rows, rows_read, b, layer, edge, b->net->layer[layer].h, rows);
}

static void read_blocks(struct reads *r, const struct build *b, int layer, int edge, int blocks)
{
    read_spans(&r->blocks, &r->most_blocks, blocks_read, b, layer, edge, ceil_div(b->net->layer[layer].w, b->hw->n), blocks);
}

static void read_groups(struct reads *r, const struct build *b, int layer, int edge, int filters)
{
    int all = ceil_div(b->net->layer[layer].c, GROUP), from = -1, first, n;
    r->groups = r->most_groups = 0;
    r->same_groups = true;
    for (int f = 0; f < all; f += filters) {
        if (!part_groups(b, layer, f, BASE_MIN(filters, all - f), edge, &first, &n))
            continue;
        r->same_groups &= from < 0 || (from == first && n == r->most_groups);
        from = first;
        r->groups += n;
        r->most_groups = BASE_MAX(r->most_groups, n);
    }
}

struct choice {
    const struct build *b;
    int layer, room;
    struct plan *best;
    double cost, cycles, constants, rate;      /* of the array; beats; cycles of a beat */
    int cuts;                                  /* parts that the tables ask for */
};

/* What the layer asks of array, port and tables, about. */
static void weigh(struct choice *c)
{
    const struct build *b = c->b;
    const struct fixed_layer *l = &b->net->layer[c->layer];
    int groups = ceil_div(l->c, b->hw->m), words = 0;
    c->cuts = 1;
    if (l->kind == FIXED_MAXPOOL) {
        c->cycles = 2.0 * groups * b->place[l->term[0].edge].planes;
    } else {
        const int *list = b->tiles->list + b->first_scale[c->layer];
        for (int k = list[0]; k < list[groups]; k++) {
            int n = kword_planes(b, k);
            c->cycles += BASE_MAX(n, 2) * b->place[b->names[k].edge].planes;
            words += n;
        }
        if (b->weight.n > b->hw->weight_depth) {
            c->constants = (double)words * b->hw->m * b->hw->k / 64;
            c->cuts = ceil_div(2 * words, b->hw->weight_depth);
        }
        if (b->n_kword > b->hw->kword_depth)
            c->cuts = BASE_MAX(c->cuts, ceil_div(2 * (list[groups] - list[0]), b->hw->kword_depth));
    }
    c->cycles *= (double)l->h * ceil_div(l->w, b->hw->n);
}

static int tile_words(const struct build *b, int edge, const struct reads *r)
{
    return ceil_div(r->most_rows, 4) * r->most_blocks * r->most_groups * b->place[edge].planes;
}

/* One way to run the layer: is it possible, and what does it cost? */
static void consider(struct choice *c, struct plan p, const struct reads *r)
{
    const struct build *b = c->b;
    const struct fixed_layer *l = &b->net->layer[c->layer];
    int tiles = ceil_div(l->h, p.rows) * ceil_div(ceil_div(l->w, b->hw->n), p.blocks), parts = BASE_MAX(ceil_div(ceil_div(l->c, GROUP), p.filters), c->cuts);
    int64_t need = 0;
    double words = 0, fills = 0;
    for (int i = 0; i < p.n_edge; i++) {
        bool once = r[i].same_groups && (p.by_part ? tiles == 1 : true);
        p.words[i] = tile_words(b, p.edge[i], &r[i]);
        p.base[i] = (int)need;
        need += (int64_t)p.words[i] * p.buffers;
        words += (double)r[i].rows * (double)r[i].blocks * b->place[p.edge[i]].planes * (once ? r[i].most_groups : (double)r[i].groups);
        fills += (double)tiles * (once ? 1 : parts);
    }
    p.out = (int)need;
    if (is_spilled(b, l->out) && l->kind == FIXED_MAC)
        need += (int64_t)ceil_div(p.rows, 4) * p.blocks * p.filters * b->place[l->out].planes;
    if (need > c->room)
        return;
    double beats = words * b->hw->n * 2 / 8 + (p.by_part || parts == 1 ? 1 : tiles) * c->constants;
    double move = beats * c->rate + fills * LATENCY, cost = (p.buffers > 1 ? BASE_MAX(move, c->cycles) : move + c->cycles) + STEP * (double)tiles * parts;
    if (cost < c->cost) {
        c->cost = cost;
        *c->best = p;
    }
}

/* Rows, orders and buffers of tiles so wide and so deep. */
static void consider_rows(struct choice *c, struct plan p)
{
    const struct build *b = c->b;
    const struct fixed_layer *l = &b->net->layer[c->layer];
    struct reads r[FIXED_MAX_TERM];
    bool stays = l->out >= 0 && !is_spilled(b, l->out);    /* its banks are told by rows of four */
    for (int i = 0; i < p.n_edge; i++) {
        read_blocks(&r[i], b, c->layer, p.edge[i], p.blocks);
        read_groups(&r[i], b, c->layer, p.edge[i], p.filters);
    }
    bool by_tile = b->by_tile[c->layer];
    for (int n = by_tile ? l->h : 1, last = 0; n <= l->h; n++) {
        p.rows = ceil_div(l->h, n);
        if (stays && n > 1)
            p.rows = ceil_div(p.rows, 4) * 4;
        if (p.rows == last)
            continue;
        last = p.rows;
        for (int i = 0; i < p.n_edge; i++)
            read_rows(&r[i], b, c->layer, p.edge[i], p.rows);
        for (p.buffers = 1; p.buffers <= 2; p.buffers++)
            for (int order = 0; order < (by_tile ? 1 : 2); order++) {
                p.by_part = order;
                consider(c, p, r);
            }
    }
}

/* The maps of the scratch that the layer reads. */
static void find_edges(struct plan *p, const struct build *b, const struct fixed_layer *l)
{
    for (int t = 0; t < terms_of(l); t++) {
        int edge = l->term[t].edge, i = 0;
        while (i < p->n_edge && p->edge[i] != edge)
            i++;
        if (is_spilled(b, edge) && i == p->n_edge)
            p->edge[p->n_edge++] = edge;
    }
}

/* A block of a row and a filter group at a time, and of that as many K-words as find in the buffers what they read. False: not even one. */
static bool plan_pieces(struct plan *best, const struct build *b, int layer, int room)
{
    const struct fixed_layer *l = &b->net->layer[layer];
    struct plan p = { .tiled = true, .pieces = true, .rows = 1, .blocks = 1, .filters = 1 };
    if (l->kind == FIXED_MAXPOOL || (!is_spilled(b, l->out) && (l->h > 1 || l->w > b->hw->n)))
        return false;
    find_edges(&p, b, l);
    int most = 0, first = b->first_scale[layer], out = is_spilled(b, l->out) ? b->place[l->out].planes : 0;
    for (int k = b->tiles->list[first]; k < b->tiles->list[first + ceil_div(l->c, b->hw->m)]; k++)
        for (int i = 0; i < p.n_edge; i++)
            most = BASE_MAX(most, piece_words(b, p.edge[i], k, k + 1));
    p.buffers = p.n_edge * 2 * most <= room - out ? 2 : 1;
    int words = p.n_edge ? (room - out) / (p.n_edge * p.buffers) : 0;
    for (int i = 0; i < p.n_edge; i++) {
        p.words[i] = words;
        p.base[i] = i * p.buffers * words;
    }
    p.out = p.n_edge * p.buffers * words;
    *best = p;
    return most <= words && out <= room;
}

/* Whole rows if possible; else as wide as possible. False: not even one block of one row of one filter group fits. */
static bool plan_layer(struct plan *best, const struct build *b, int layer, int room)
{
    const struct fixed_layer *l = &b->net->layer[layer];
    const struct hw *hw = b->hw;
    int groups = ceil_div(l->c, GROUP), wide = ceil_div(l->w, hw->n);
    double bytes = hw->port_gbytes_s * 1000 / (hw->clock_mhz > 0 ? hw->clock_mhz : 100);
    struct choice c = { .b = b, .layer = layer, .room = room, .best = best, .cost = 1e300, .rate = bytes > 0 && bytes < 8 ? 8 / bytes : 1 };
    struct plan p = { .tiled = true };
    bool source_stays = false;
    weigh(&c);
    find_edges(&p, b, l);
    for (int t = 0; t < terms_of(l); t++)
        source_stays |= !is_spilled(b, l->term[t].edge);
    bool whole = l->kind == FIXED_MAXPOOL && source_stays;         /* a pool counts groups from the source's first */
    for (p.blocks = b->by_tile[layer] ? 1 : wide; c.cost == 1e300; p.blocks = ceil_div(p.blocks, 2)) {
        for (p.filters = groups;; p.filters = ceil_div(p.filters, 2)) {
            consider_rows(&c, p);
            if (p.filters == 1 || whole)
                break;
        }
        if (p.blocks == 1 || (l->out >= 0 && !is_spilled(b, l->out)))
            break;                             /* halos of a map that stays are written by its whole rows */
    }
    return c.cost < 1e300;
}

/* ---- which maps ------------------------------------------------------------------------ */

struct lives { int *born, *last; };

static bool lives_at(const struct build *b, const struct lives *v, int edge, int layer)
{
    return !b->tiles->spilled[edge] && v->born[edge] <= layer && layer <= v->last[edge];
}

/* The largest run of words that no map that stays has while the layer runs. */
static int gap(const struct build *b, const struct lives *v, int layer, int *base)
{
    int best = 0, at = 0;
    *base = 0;
    while (at < b->hw->act_depth) {
        int next = b->hw->act_depth, over = at;
        for (int e = 0; e < b->net->n_edge; e++) {
            const struct place *p = &b->place[e];
            if (!lives_at(b, v, e, layer) || p->base + p->words <= at)
                continue;
            if (p->base <= at)
                over = BASE_MAX(over, p->base + p->words);
            else
                next = BASE_MIN(next, p->base);
        }
        if (over > at) {
            at = over;
            continue;
        }
        if (next - at > best) {
            best = next - at;
            *base = at;
        }
        at = next;
    }
    return best;
}

static bool touches(const struct build *b, int layer)
{
    const struct fixed_layer *l = &b->net->layer[layer];
    bool any = is_spilled(b, l->out);
    for (int t = 0; t < terms_of(l); t++)
        any |= is_spilled(b, l->term[t].edge);
    return any;
}

/* The largest map that lives at the layer leaves the chip; false: none does. */
static bool evict(struct build *b, const struct lives *v, int layer)
{
    int most = -1;
    for (int e = 0; e < b->net->n_edge; e++)
        if (lives_at(b, v, e, layer) && (most < 0 || b->place[e].words > b->place[most].words))
            most = e;
    if (most >= 0)
        b->tiles->spilled[most] = true;
    return most >= 0;
}

/* The layer at which the most words live. */
static int fullest(const struct build *b, const struct lives *v)
{
    int64_t most = -1;
    int at = 0;
    for (int i = 0; i < b->net->n_layer; i++) {
        int64_t words = 0;
        for (int e = 0; e < b->net->n_edge; e++)
            words += lives_at(b, v, e, i) ? b->place[e].words : 0;
        if (words > most) {
            most = words;
            at = i;
        }
    }
    return at;
}

static int too_big(const struct build *b, int layer)
{
    int rc = base_fail(BASE_INPUT, "layer '%s': activations do not fit: what 3 x 3 pixels of its kernel or 9 channel groups read is more than the %d words a bank of %s",
                       b->net->layer[layer].name, b->hw->act_depth, b->hw->name);
    return base_hint(rc, "fewer activation bits before this layer");
}

/* Plans for all layers that touch the scratch; *moved: a map had to leave the chip, so once more. */
static int plan_all(struct build *b, const struct lives *v, bool *moved)
{
    *moved = false;
    for (int i = 0; i < b->net->n_layer && !*moved; i++) {
        struct plan *p = &b->tiles->plan[i];
        int base;
        *p = (struct plan){ 0 };
        if (!touches(b, i))
            continue;
        int room = gap(b, v, i, &base);
        bool fits = plan_layer(p, b, i, room);
        *moved = !fits && evict(b, v, i);
        if (!fits && !*moved && !plan_pieces(p, b, i, room))
            return too_big(b, i);
        for (int e = 0; e < p->n_edge; e++)
            p->base[e] += base;
        p->out += base;
    }
    return BASE_OK;
}

/* ---- scratch and image ------------------------------------------------------------------- */

static int place_scratch(struct build *b)
{
    struct tiles *t = b->tiles;
    for (int e = 0; e < b->net->n_edge; e++)
        if (t->spilled[e]) {
            t->scratch[e] = t->words;
            t->words += (int64_t)b->net->edge[e].h * b->place[e].groups * accel_scratch_pitch(b, e);
        }
    if (t->words * b->hw->n * 2 > (int64_t)65535 * PROGRAM_PAGE)
        return base_fail(BASE_INPUT, "network '%s': its maps need %lld MiB of memory; a program names at most 255", b->net->name,
                         (long long)(t->words * b->hw->n * 2 >> 20));
    return BASE_OK;
}

/* The image is unpacked strip by strip before anything streams: all these records are in the load. */
static int strip_image(struct build *b)
{
    const struct fixed_edge *e = &b->net->edge[0];
    b->n_head = 1;
    if (!b->tiles->spilled[0])
        return BASE_OK;
    int rows = b->tiles->image_rows = b->hw->act_depth / b->place[0].row_stride * 4;
    if (rows == 0)
        return base_fail(BASE_INPUT, "map '%s': four rows of %d pixels do not fit the %d words a bank of %s", e->name, e->w, b->hw->act_depth, b->hw->name);
    b->n_head = 2 * ceil_div(e->h, rows);
    if (b->n_head >= b->hw->layer_depth)
        return base_fail(BASE_INPUT, "map '%s': an image of %d strips is not supported; %s has room for %d", e->name, b->n_head / 2, b->hw->name,
                         b->hw->layer_depth / 2 - 1);
    return BASE_OK;
}

static int find_lists(struct build *b)
{
    int *list = b->tiles->list = BASE_ARENA_NEW_N(b->arena, int, b->n_scale + 1), n = 0;
    if (!list)
        return BASE_NOMEM;
    for (int k = 0; k < b->n_kword; k++)
        if (kword_flags(b, k) & PROGRAM_KW_LAST)
            list[++n] = k + 1;
    return BASE_OK;
}

int accel_tile(struct build *b)
{
    struct tiles *t = b->tiles;
    size_t n = (size_t)b->net->n_edge;
    struct lives v = { BASE_ARENA_NEW_N(b->arena, int, n), BASE_ARENA_NEW_N(b->arena, int, n) };
    t->spilled = BASE_ARENA_NEW_N(b->arena, bool, n);
    t->scratch = BASE_ARENA_NEW_N(b->arena, int64_t, n);
    t->plan = BASE_ARENA_NEW_N(b->arena, struct plan, b->net->n_layer);
    if (!v.born || !v.last || !t->spilled || !t->scratch || !t->plan)
        return BASE_NOMEM;
    int rc = find_lists(b);
    for (int i = 0; i < b->net->n_layer; i++)
        if (b->by_tile[i])
            t->spilled[b->net->layer[i].out] = true;
    accel_lives(b->net, v.born, v.last);
    for (bool again = true; !rc && again;)
        if (accel_place_some(b, t->spilled))
            rc = plan_all(b, &v, &again);
        else if (!evict(b, &v, fullest(b, &v)))
            t->spilled[0] = true;              /* an image that no layer reads */
    b->act_words = b->hw->act_depth;
    if (!rc)
        rc = place_scratch(b);
    return rc ? rc : strip_image(b);
}
