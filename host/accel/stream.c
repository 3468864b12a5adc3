/* Parts and stream. A filter group that is larger than a table becomes parts whose sums stay in the array. A table that holds the whole
 * network is filled by the load and never again. Of one that does not, the records of some parts stay, those with the fewest tiles first, as
 * many as leave room for twice the largest part; the rest of the table is a ring that the stream fills during the run, part after part: what
 * a block overwrites must have been used by layers that have ended, and its header says how many that are. */
#include <stdlib.h>

#include "accel/accel_internal.h"

/* A part takes at most 1 / SHARE of a table, unless a filter group takes more. All tiles use a part: it is better whole. */
enum { SHARE = 8, SHARE_TILED = 2 };

/* The four tables of constants, in the order of their blocks. */
static const int tables[] = { PROGRAM_KWORD, PROGRAM_COEF, PROGRAM_SCALE, PROGRAM_WEIGHT };

struct ring { int first, next; int *free_after; };     /* layers that have used each record */

struct work {
    struct build *b;
    struct pool weight, coef;              /* of the part at hand */
    struct pool table_weight, table_coef;  /* what the load fills */
    int depth[PROGRAM_KINDS], used[PROGRAM_KINDS];     /* used by the load */
    struct ring ring[PROGRAM_KINDS];
    int *last_use;                         /* [n_edge], records after which the map is dead */
    int *order;                            /* [n_part], in which parts are asked to stay */
    uint64_t (*map)[PROGRAM_MAP_WORDS];    /* [n_edge], the record in the edge's place; zeros: none */
    int *map_used;                         /* [map_depth], records after which nobody reads it */
    int loaded;                            /* part whose constants came last, or -1 */
    struct fills *fills;                   /* with tiles */
};

static bool is_shared(int kind) { return kind == PROGRAM_WEIGHT || kind == PROGRAM_COEF; }

/* ---- K-words of a part ----------------------------------------------------------- */

/* Coefficient vectors of a K-word. */
static int coefs_of(const struct build *b, int k) { return kword_planes(b, k) * kword_windows(b, k); }

static int add_weights(struct pool *p, const struct build *b, int k)
{
    return pool_add(p, b->weight.data + (size_t)b->names[k].waddr * b->weight.word_bytes, kword_planes(b, k));
}

static int add_coefs(struct pool *p, const struct build *b, int k)
{
    return pool_add(p, b->coef.data + (size_t)b->names[k].coef * b->coef.word_bytes, coefs_of(b, k));
}

static int add_run(const struct work *w, struct pool *p, int kind, int k)
{
    return kind == PROGRAM_WEIGHT ? add_weights(p, w->b, k) : add_coefs(p, w->b, k);
}

/* ---- parts --------------------------------------------------------------------- */

static struct part *new_part(struct build *b, int layer, int filter, int kword)
{
    struct part *p = &b->part[b->n_part++];
    *p = (struct part){ .layer = layer, .filter = filter, .kword = kword };
    return p;
}

/* K-words up to `end` join the part. */
static int extend(struct work *w, struct part *p, int end)
{
    const bool *streamed = w->b->streamed;
    for (int k = p->kword + p->n_kword; k < end; k++)
        if ((streamed[PROGRAM_WEIGHT] && add_weights(&w->weight, w->b, k) < 0) ||
            (streamed[PROGRAM_COEF] && add_coefs(&w->coef, w->b, k) < 0))
            return BASE_NOMEM;
    p->n_kword = end - p->kword;
    p->n[PROGRAM_KWORD] = p->n_kword;
    p->n[PROGRAM_SCALE] = p->filters;
    p->n[PROGRAM_COEF] = w->coef.n;
    p->n[PROGRAM_WEIGHT] = w->weight.n;
    return BASE_OK;
}

/* One filter group more; its K-words end before `end`. */
static int add_filter(struct work *w, struct part *p, int end)
{
    p->filters++;
    return extend(w, p, end);
}

static void clear_pools(struct work *w)
{
    pool_trim(&w->weight, 0);
    pool_trim(&w->coef, 0);
}

/* The table of which the part takes more than its share, or 0. */
static int too_large(const struct work *w, const struct part *p, int share)
{
    for (int i = 0; i < BASE_COUNT(tables); i++)
        if (w->b->streamed[tables[i]] && p->n[tables[i]] > w->depth[tables[i]] / share)
            return tables[i];
    return 0;
}

static int refuse(const struct work *w, const struct part *p, int kind)
{
    const struct build *b = w->b;
    int rc = base_fail(BASE_INPUT, "layer '%s': the %s memory of %s is too small: one window of %d output channels needs %d words, there are %d",
                       b->net->layer[p->layer].name, kind == PROGRAM_COEF ? "coefficient" : "weight", b->hw->name, b->hw->m, p->n[kind], w->depth[kind]);
    return base_hint(rc, "fewer bits in this layer");
}

static bool is_tiled(const struct build *b, int layer) { return b->tiles && b->tiles->plan[layer].tiled; }
static bool is_in_pieces(const struct build *b, int layer) { return b->tiles && b->tiles->plan[layer].pieces; }

static struct part *open_part(struct work *w, int layer, int filter, int kword)
{
    clear_pools(w);
    return new_part(w->b, layer, filter, kword);
}

/* A filter group that is larger than a table: parts of its list, K-words [k, end). */
static int cut_list(struct work *w, int layer, int filter, int k, int end)
{
    struct part *p = open_part(w, layer, filter, k);
    int rc = add_filter(w, p, k);
    for (; !rc && k < end; k++) {
        struct part before = *p;
        rc = extend(w, p, k + 1);
        if (!rc && before.n_kword && (too_large(w, p, SHARE) || (is_in_pieces(w->b, layer) && accel_too_wide(w->b, p)))) {
            *p = before;
            p->open = true;
            p->n[PROGRAM_SCALE] = 0;
            p = open_part(w, layer, filter, k);
            rc = add_filter(w, p, k + 1);
        }
        int kind = rc ? 0 : too_large(w, p, 1);
        if (kind)
            rc = refuse(w, p, kind);
    }
    return rc;
}

static int cut_mac(struct work *w, int layer)
{
    struct build *b = w->b;
    int groups = ceil_div(b->net->layer[layer].c, b->hw->m), k = b->first_kword[layer], rc = BASE_OK;
    int share = is_tiled(b, layer) ? SHARE_TILED : SHARE, most = is_tiled(b, layer) ? b->tiles->plan[layer].filters : groups;
    struct part *p = NULL;                     /* that may take more filter groups */
    for (int g = 0, end; !rc && g < groups; g++, k = end) {
        end = list_end(b, k);
        struct part before = p ? *p : (struct part){ 0 };
        if (p)
            rc = add_filter(w, p, end);
        if (!rc && p && (before.filters == most || too_large(w, p, share))) {
            *p = before;
            p = NULL;
        }
        if (!rc && !p) {
            p = open_part(w, layer, g, k);
            rc = add_filter(w, p, end);
        }
        if (!rc && (too_large(w, p, 1) || is_in_pieces(b, layer))) {
            b->n_part--;
            p = NULL;
            rc = cut_list(w, layer, g, k, end);
        }
    }
    return rc;
}

static void cut_pool(struct build *b, int layer)
{
    int groups = ceil_div(b->net->layer[layer].c, GROUP), most = is_tiled(b, layer) ? b->tiles->plan[layer].filters : groups;
    for (int g = 0; g < groups; g += most)
        new_part(b, layer, g, 0)->filters = BASE_MIN(most, groups - g);
}

static int cut(struct work *w)
{
    struct build *b = w->b;
    int most = b->n_kword, rc = BASE_OK;
    for (int i = 0; i < b->net->n_layer; i++)
        most += ceil_div(b->net->layer[i].c, b->hw->m);
    b->part = BASE_ARENA_NEW_N(b->arena, struct part, BASE_MAX(most, 1));
    if (!b->part)
        return BASE_NOMEM;
    for (int i = 0; !rc && i < b->net->n_layer; i++)
        if (b->net->layer[i].kind == FIXED_MAC)
            rc = cut_mac(w, i);
        else
            cut_pool(b, i);
    return rc;
}

/* ---- steps ----------------------------------------------------------------------- */

/* The part at a tile, and the tile's way to the scratch. */
static void add_step(struct build *b, int part, struct step s)
{
    const struct fixed_layer *l = &b->net->layer[b->part[part].layer];
    s.part = part;
    if (b->step)
        b->step[b->n_step] = s;
    b->n_step++;
    if (!is_spilled(b, l->out) || l->kind == FIXED_MAXPOOL || b->part[part].open)
        return;
    s.copy = true;
    if (b->step)
        b->step[b->n_step] = s;
    b->n_step++;
}

/* Parts [first, end) are those of a layer. */
static void add_tiles(struct build *b, int first, int end)
{
    int layer = b->part[first].layer;
    const struct fixed_layer *l = &b->net->layer[layer];
    int blocks = ceil_div(l->w, b->hw->n);
    struct plan p = is_tiled(b, layer) ? b->tiles->plan[layer] : (struct plan){ .rows = l->h, .blocks = blocks };
    int tiles_x = ceil_div(blocks, p.blocks), tiles = ceil_div(l->h, p.rows) * tiles_x, parts = end - first;
    for (int i = 0; i < tiles * parts; i++) {
        int part = p.by_part ? i / tiles : i % parts, tile = p.by_part ? i % tiles : i / parts;
        int y = tile / tiles_x * p.rows, xb = tile % tiles_x * p.blocks;
        add_step(b, first + part, (struct step){ .y = y, .rows = BASE_MIN(p.rows, l->h - y), .xb = xb, .blocks = BASE_MIN(p.blocks, blocks - xb) });
    }
}

static void add_steps(struct build *b)
{
    b->n_step = 0;
    for (int first = 0, end; first < b->n_part; first = end) {
        for (end = first; end < b->n_part && b->part[end].layer == b->part[first].layer; end++) {}
        add_tiles(b, first, end);
    }
}

/* Counted, then made. */
static int make_steps(struct build *b)
{
    b->n_head = BASE_MAX(b->n_head, 1);
    add_steps(b);
    if (b->n_head + b->n_step > 65535)
        return base_fail(BASE_INPUT, "network '%s' needs %d layer records; a program has at most 65535", b->net->name, b->n_head + b->n_step);
    b->step = BASE_ARENA_NEW_N(b->arena, struct step, BASE_MAX(b->n_step, 1));
    if (!b->step)
        return BASE_NOMEM;
    add_steps(b);
    return BASE_OK;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* ---- what the load fills --------------------------------------------------------- */

/* The part's records join those of the load, if they are not more than `limit` then. */
static int keep_shared(struct work *w, struct part *p, int kind, int limit)
{
    struct pool *pool = kind == PROGRAM_WEIGHT ? &w->table_weight : &w->table_coef;
    int before = pool->n;
    for (int k = p->kword; k < p->kword + p->n_kword; k++)
        if (add_run(w, pool, kind, k) < 0)
            return BASE_NOMEM;
    p->streamed[kind] = pool->n > limit;
    if (p->streamed[kind])
        pool_trim(pool, before);
    w->used[kind] = pool->n;
    return BASE_OK;
}

static void keep(struct work *w, struct part *p, int kind, int limit)
{
    p->streamed[kind] = w->used[kind] + p->n[kind] > limit;
    if (p->streamed[kind])
        return;
    p->at[kind] = w->used[kind];
    w->used[kind] += p->n[kind];
}

/* The first layer, which has nothing to hide behind, then those that use a constant for the fewest tiles. */
static int set_order(struct work *w)
{
    struct build *b = w->b;
    uint64_t *key = BASE_ARENA_NEW_N(b->arena, uint64_t, BASE_MAX(b->n_part, 1));
    w->order = BASE_ARENA_NEW_N(b->arena, int, BASE_MAX(b->n_part, 1));
    if (!key || !w->order)
        return BASE_NOMEM;
    for (int i = 0; i < b->n_part; i++) {
        const struct fixed_layer *l = &b->net->layer[b->part[i].layer];
        uint64_t tiles = b->part[i].layer ? (uint64_t)l->h * (uint64_t)ceil_div(l->w, b->hw->n) : 0;
        key[i] = tiles << 32 | (uint64_t)i;
    }
    qsort(key, (size_t)b->n_part, sizeof *key, compare_keys);
    for (int i = 0; i < b->n_part; i++)
        w->order[i] = (int)(uint32_t)key[i];
    return BASE_OK;
}

static int keep_some(struct work *w, int kind)
{
    struct build *b = w->b;
    int most = 0, rc = BASE_OK;
    for (int i = 0; i < b->n_part; i++)
        most = BASE_MAX(most, b->part[i].n[kind]);
    int room = 2 * most + (b->roomy ? most / 8 : 0);
    int limit = b->streamed[kind] ? BASE_MAX(w->depth[kind] - room, 0) : w->depth[kind];
    for (int i = 0; !rc && i < b->n_part; i++) {
        struct part *p = &b->part[b->streamed[kind] ? w->order[i] : i];
        if (b->net->layer[p->layer].kind != FIXED_MAC)
            continue;
        if (is_shared(kind) && b->streamed[kind])
            rc = keep_shared(w, p, kind, limit);
        else
            keep(w, p, kind, is_shared(kind) ? INT32_MAX : limit);
    }
    return rc;
}

/* ---- rings ------------------------------------------------------------------------ */

static int open_ring(struct work *w, int kind, int first)
{
    struct ring *r = &w->ring[kind];
    r->first = r->next = first;
    r->free_after = BASE_ARENA_NEW_N(w->b->arena, int, w->depth[kind]);
    return r->free_after ? BASE_OK : BASE_NOMEM;
}

/* Layer record `user` uses n records from `at` on; returns the layers that must have ended before they are written. */
static int take(struct work *w, int kind, int at, int n, int user)
{
    int *free_after = w->ring[kind].free_after, after = 0;
    for (int i = at; i < at + n; i++) {
        after = BASE_MAX(after, free_after[i]);
        free_after[i] = user + 1;
    }
    return after;
}

/* The place of n records in a row. */
static int claim(struct work *w, int kind, int n)
{
    struct ring *r = &w->ring[kind];
    int middle = r->first + (w->depth[kind] - r->first) / 2;
    if (r->next < middle && r->next + n > middle && middle + n <= w->depth[kind])
        r->next = middle;                      /* across it, it would make the next two wait */
    if (r->next + n > w->depth[kind])
        r->next = r->first;
    r->next += n;
    return r->next - n;
}

/* A map keeps its record as long as it is used, so the one that is free first. */
static int claim_map(struct work *w, int edge, int user)
{
    struct build *b = w->b;
    int *free_after = w->ring[PROGRAM_MAP].free_after, best = b->n_map;
    for (int i = b->n_map; i < w->depth[PROGRAM_MAP]; i++)
        if (free_after[i] < free_after[best])
            best = i;
    if (best >= w->depth[PROGRAM_MAP] || free_after[best] > user)
        return base_fail(BASE_INPUT, "layer '%s': more than the %d maps of %s are in use at once", b->net->edge[edge].name,
                         w->depth[PROGRAM_MAP], b->hw->name);
    free_after[best] = w->last_use[edge];
    b->slot[edge] = best;
    return BASE_OK;
}

static int map_uses(struct work *w)
{
    struct build *b = w->b;
    w->last_use = BASE_ARENA_NEW_N(b->arena, int, b->net->n_edge);
    w->map = base_arena_alloc(b->arena, (size_t)b->net->n_edge * sizeof *w->map);
    w->map_used = BASE_ARENA_NEW_N(b->arena, int, w->depth[PROGRAM_MAP]);
    if (!w->last_use || !w->map || !w->map_used)
        return BASE_NOMEM;
    memset(w->map, 0, (size_t)b->net->n_edge * sizeof *w->map);
    if (!is_spilled(b, 0))                     /* the load has it */
        accel_put_map(b, w->map[0], 0);
    for (int i = 0; i < b->n_step; i++) {
        const struct fixed_layer *l = &b->net->layer[b->part[b->step[i].part].layer];
        if (l->out >= 0)
            w->last_use[l->out] = b->n_head + i + 1;
        for (int t = 0; t < terms_of(l); t++)
            w->last_use[l->term[t].edge] = b->n_head + i + 1;
    }
    return BASE_OK;
}

/* ---- the stream -------------------------------------------------------------------- */

/* `words` more words, zero; NULL: no memory. Valid until the next call. */
static uint64_t *put(struct stream *s, size_t words)
{
    if (s->n + words > s->cap) {
        size_t cap = 2 * s->cap + words + 1024;
        uint64_t *to = base_realloc(s->word, s->cap * sizeof *to, cap * sizeof *to);
        if (!to)
            return NULL;
        s->word = to;
        s->cap = cap;
    }
    uint64_t *at = s->word + s->n;
    memset(at, 0, words * sizeof *at);
    s->n += words;
    return at;
}

uint64_t *accel_put_block(struct build *b, int kind, int first, int n, int after, size_t record_words)
{
    uint64_t *at = put(&b->stream, 1 + (size_t)n * record_words);
    if (!at)
        return NULL;
    b->stream.blocks++;
    *at = put_bits(kind, 7, 0) | put_bits(first, 31, 16) | put_bits(n, 47, 32) | put_bits(after, 63, 48);
    return at + 1;
}

/* The words of the part's K-words, their names replaced by places in the tables. */
static int put_kwords(struct work *w, const struct part *p, uint64_t *to)
{
    struct build *b = w->b;
    struct step one = { .part = (int)(p - b->part), .rows = 1, .blocks = 1 };
    struct area area = { 0 };
    int edge = -1;
    clear_pools(w);
    for (int k = p->kword; k < p->kword + p->n_kword; k++, to += PROGRAM_KWORD_WORDS) {
        if (is_spilled(b, b->names[k].edge) && edge != b->names[k].edge) {
            edge = b->names[k].edge;
            area = accel_area(b, &one, edge);
        }
        int at[PROGRAM_KINDS] = { [PROGRAM_WEIGHT] = b->names[k].waddr, [PROGRAM_COEF] = b->names[k].coef };
        for (int kind = PROGRAM_COEF; kind <= PROGRAM_WEIGHT; kind += PROGRAM_WEIGHT - PROGRAM_COEF) {
            struct pool *part = kind == PROGRAM_WEIGHT ? &w->weight : &w->coef;
            struct pool *table = kind == PROGRAM_WEIGHT ? &w->table_weight : &w->table_coef;
            if (b->streamed[kind])
                at[kind] = p->streamed[kind] ? add_run(w, part, kind, k) : add_run(w, table, kind, k);
            if (at[kind] < 0)
                return BASE_NOMEM;
            at[kind] += p->streamed[kind] ? p->at[kind] : 0;
        }
        to[0] = b->kword[PROGRAM_KWORD_WORDS * k] | put_bits(b->slot[b->names[k].edge], 7, 0);
        if (k == p->kword + p->n_kword - 1)
            to[0] |= put_bits(PROGRAM_KW_LAST, 15, 8);
        if (is_spilled(b, b->names[k].edge))   /* a tile holds the groups that the part reads */
            to[0] -= put_bits(area.group, 47, 32);
        to[1] = put_bits(at[PROGRAM_WEIGHT], 15, 0) | put_bits(at[PROGRAM_COEF], 31, 16);
    }
    return BASE_OK;
}

static int put_records(struct work *w, const struct part *p, int kind, uint64_t *to)
{
    struct build *b = w->b;
    switch (kind) {
    case PROGRAM_KWORD:
        return put_kwords(w, p, to);
    case PROGRAM_SCALE:
        for (int i = 0; i < p->filters; i++)
            accel_put_scale(b, to + 2 * (size_t)(i * b->hw->m), b->first_scale[p->layer] + p->filter + i);
        return BASE_OK;
    default: {
        struct pool *pool = kind == PROGRAM_WEIGHT ? &w->weight : &w->coef;
        pool_trim(pool, 0);
        for (int k = p->kword; k < p->kword + p->n_kword; k++)
            if (add_run(w, pool, kind, k) < 0)
                return BASE_NOMEM;
        memcpy(to, pool->data, (size_t)pool->n * pool->word_bytes);
        return BASE_OK;
    }
    }
}

static size_t record_words(const struct build *b, int kind)
{
    size_t m = (size_t)b->hw->m;
    return kind == PROGRAM_KWORD ? PROGRAM_KWORD_WORDS : kind == PROGRAM_COEF ? m / 2 : kind == PROGRAM_SCALE ? 2 * m : m * (size_t)b->hw->k / 64;
}

/* Place and header first: the K-words, whose block is the first, name the places of the others. */
static int put_constants(struct work *w, struct part *p, int user)
{
    struct build *b = w->b;
    int rc = BASE_OK;
    for (int i = 0; !p->placed && i < BASE_COUNT(tables); i++)
        if (p->streamed[tables[i]])
            p->at[tables[i]] = claim(w, tables[i], p->n[tables[i]]);
    p->placed = true;                          /* for good: K-words that stay name the place */
    for (int i = 0; !rc && i < BASE_COUNT(tables); i++) {
        int kind = tables[i];
        if (!p->streamed[kind])
            continue;
        int after = take(w, kind, p->at[kind], p->n[kind], user);
        uint64_t *to = accel_put_block(b, kind, p->at[kind], p->n[kind], after, record_words(b, kind));
        rc = to ? put_records(w, p, kind, to) : BASE_NOMEM;
    }
    return rc;
}

/* The edge's place in the table holds this record when the step begins. */
static int put_map(struct work *w, int edge, const uint64_t record[PROGRAM_MAP_WORDS])
{
    struct build *b = w->b;
    size_t bytes = PROGRAM_MAP_WORDS * sizeof *record;
    if (memcmp(w->map[edge], record, bytes) == 0)
        return BASE_OK;
    uint64_t *to = accel_put_block(b, PROGRAM_MAP, b->slot[edge], 1, w->map_used[b->slot[edge]], PROGRAM_MAP_WORDS);
    if (!to)
        return BASE_NOMEM;
    memcpy(to, record, bytes);
    memcpy(w->map[edge], record, bytes);
    return BASE_OK;
}

/* The places of the maps that the step reads and writes. */
static int claim_maps(struct work *w, const struct step *s, int user)
{
    struct build *b = w->b;
    const struct fixed_layer *l = &b->net->layer[b->part[s->part].layer];
    int rc = BASE_OK;
    for (int t = -1; !rc && t < terms_of(l); t++) {
        int edge = t < 0 ? l->out : l->term[t].edge;
        if (edge >= 0 && !b->slot[edge] && (edge > 0 || is_spilled(b, 0)))
            rc = claim_map(w, edge, user);
    }
    return rc;
}

static int put_maps(struct work *w, const struct step *s, int user)
{
    struct build *b = w->b;
    const struct part *p = &b->part[s->part];
    const struct fixed_layer *l = &b->net->layer[p->layer];
    int rc = BASE_OK;
    for (int t = -1; !rc && t < (s->copy ? 0 : terms_of(l)); t++) {
        int edge = t < 0 ? l->out : l->term[t].edge;
        uint64_t record[PROGRAM_MAP_WORDS];
        struct area a;
        if (edge < 0 || (t >= 0 && is_spilled(b, edge) && !accel_part_reads(b, p, edge)))
            continue;
        if (b->tiles && (t < 0 || is_spilled(b, edge))) {
            struct place at = t < 0 ? accel_out_place(b, s, &a) : accel_fills_place(w->fills, edge, &a);
            accel_put_area(b, record, edge, &at, &a);
            if (t < 0)                         /* written from its own first row and block on */
                record[0] &= ~put_bits(-1, 62, 53), record[1] &= ~put_bits(-1, 54, 48);
        } else {
            accel_put_map(b, record, edge);
        }
        rc = put_map(w, edge, record);
    }
    for (int t = -1; !rc && t < terms_of(l); t++) {
        int edge = t < 0 ? l->out : l->term[t].edge;
        if (edge >= 0)
            w->map_used[b->slot[edge]] = user + 1;
    }
    return rc;
}

/* The part's constants are those that came last: they stay until this step has ended. */
static void keep_constants(struct work *w, const struct part *p, int user)
{
    for (int i = 0; i < BASE_COUNT(tables); i++)
        if (p->streamed[tables[i]])
            take(w, tables[i], p->at[tables[i]], p->n[tables[i]], user);
}

static int put_part_constants(struct work *w, const struct step *s, int user)
{
    struct part *p = &w->b->part[s->part];
    if (s->copy)
        return BASE_OK;
    if (w->loaded == s->part) {
        keep_constants(w, p, user);
        return BASE_OK;
    }
    w->loaded = s->part;
    return put_constants(w, p, user);
}

/* The layer's record is the first block, so that the last layer can wait for the last block. A tile's map record waits for the
 * tile before: what need not wait comes before it. */
static int put_step(struct work *w, int i)
{
    struct build *b = w->b;
    struct step *s = &b->step[i];
    size_t record = b->stream.n + 1;
    bool streamed = b->streamed[PROGRAM_LAYER], maps = b->streamed[PROGRAM_MAP];
    int after = 0, user = b->n_head + i, rc = BASE_OK;
    if (streamed) {
        after = take(w, PROGRAM_LAYER, claim(w, PROGRAM_LAYER, 1), 1, user);
        if (!accel_put_block(b, PROGRAM_LAYER, 0, 1, after, PROGRAM_LAYER_WORDS))
            return BASE_NOMEM;
    }
    if (maps)
        rc = claim_maps(w, s, user);
    if (!rc && w->fills)
        rc = accel_fills_put(w->fills, s);
    else if (!rc && maps)
        rc = put_maps(w, s, user);
    if (!rc)
        rc = put_part_constants(w, s, user);
    if (!rc && w->fills) {
        rc = put_maps(w, s, user);
        accel_fills_use(w->fills, s, user);
    }
    if (!rc && i == b->n_step - 1 && !accel_put_block(b, PROGRAM_END, 0, 0, 0, 0))
        rc = BASE_NOMEM;
    s->need = b->stream.blocks;
    if (!rc && streamed)
        accel_put_layer(b, b->stream.word + record, s);
    return rc;
}

/* ---- all of it -------------------------------------------------------------------- */

static int fill_tables(struct work *w)
{
    struct build *b = w->b;
    int rc = BASE_OK;
    b->table_kword = BASE_ARENA_NEW_N(b->arena, uint64_t, BASE_MAX(PROGRAM_KWORD_WORDS * w->used[PROGRAM_KWORD], 1));
    b->table_scale = BASE_ARENA_NEW_N(b->arena, int, BASE_MAX(w->used[PROGRAM_SCALE], 1));
    if (!b->table_kword || !b->table_scale)
        return BASE_NOMEM;
    for (int i = 0; !rc && i < b->n_part; i++) {
        const struct part *p = &b->part[i];
        if (p->n_kword && !p->streamed[PROGRAM_KWORD])
            rc = put_kwords(w, p, b->table_kword + PROGRAM_KWORD_WORDS * (size_t)p->at[PROGRAM_KWORD]);
        for (int f = 0; !p->streamed[PROGRAM_SCALE] && f < p->n[PROGRAM_SCALE]; f++)
            b->table_scale[p->at[PROGRAM_SCALE] + f] = b->first_scale[p->layer] + p->filter + f;
    }
    b->n_table_kword = w->used[PROGRAM_KWORD];
    b->n_table_scale = w->used[PROGRAM_SCALE];
    b->n_layer = b->streamed[PROGRAM_LAYER] ? b->n_head : b->n_head + b->n_step;
    return rc;
}

static void swap_pools(struct pool *a, struct pool *b)
{
    struct pool t = *a;
    *a = *b;
    *b = t;
}

static int stream(struct work *w)
{
    struct build *b = w->b;
    int rc = map_uses(w);
    if (!rc)
        rc = set_order(w);
    for (int i = 0; !rc && i < BASE_COUNT(tables); i++)
        rc = keep_some(w, tables[i]);
    for (int i = 0; !rc && i < BASE_COUNT(tables); i++)
        rc = open_ring(w, tables[i], w->used[tables[i]]);
    if (!rc)
        rc = open_ring(w, PROGRAM_MAP, b->n_map);
    if (!rc)
        rc = open_ring(w, PROGRAM_LAYER, b->n_head);
    if (!rc && b->tiles)
        rc = accel_fills_open(&w->fills, b);
    bool any = false;
    for (int kind = 0; kind < PROGRAM_KINDS; kind++)
        any |= b->streamed[kind];
    for (int i = 0; !rc && any && i < b->n_step; i++)
        rc = put_step(w, i);
    if (!rc && w->fills)
        accel_fills_close(w->fills);
    if (!rc)
        rc = fill_tables(w);
    return rc;
}

static void measure(struct work *w)
{
    struct build *b = w->b;
    const struct hw *hw = b->hw;
    const int depth[PROGRAM_KINDS] = { 0, BASE_MIN(hw->map_depth, 256), BASE_MIN(hw->layer_depth, 65535), hw->kword_depth, hw->coef_depth,
                                       hw->scale_depth, hw->weight_depth };
    const int need[PROGRAM_KINDS] = { 0, b->net->n_edge, b->net->n_layer + 1, b->n_kword, b->coef.n, b->n_scale, b->weight.n };
    for (int kind = 0; kind < PROGRAM_KINDS; kind++) {
        w->depth[kind] = depth[kind];
        b->streamed[kind] = need[kind] > depth[kind];
    }
    b->streamed[PROGRAM_MAP] |= b->tiles != NULL;
}

static int is_large(bool *large, struct work *w, int k, int end)
{
    const struct build *b = w->b;
    int weights = 0, coefs = 0;
    for (int i = k; i < end; i++) {
        weights += kword_planes(b, i);
        coefs += coefs_of(b, i);
    }
    *large = false;
    if (end - k <= w->depth[PROGRAM_KWORD] && weights <= w->depth[PROGRAM_WEIGHT] && coefs <= w->depth[PROGRAM_COEF])
        return BASE_OK;
    struct part p = { .kword = k };
    clear_pools(w);
    int rc = add_filter(w, &p, end);
    *large = !rc && too_large(w, &p, 1);
    return rc;
}

int accel_find_large(struct build *b, bool *any)
{
    struct work w = { .b = b };
    int rc = BASE_OK;
    *any = false;
    b->by_tile = BASE_ARENA_NEW_N(b->arena, bool, BASE_MAX(b->net->n_layer, 1));
    if (!b->by_tile)
        return BASE_NOMEM;
    pool_init(&w.weight, b->weight.word_bytes);
    pool_init(&w.coef, b->coef.word_bytes);
    measure(&w);
    for (int i = 0; !rc && i < b->net->n_layer; i++) {
        const struct fixed_layer *l = &b->net->layer[i];
        if (l->kind != FIXED_MAC || (l->h == 1 && l->w <= b->hw->n))
            continue;
        for (int g = ceil_div(l->c, b->hw->m), k = b->first_kword[i], end; !rc && !b->by_tile[i] && g > 0; g--, k = end) {
            end = list_end(b, k);
            rc = is_large(&b->by_tile[i], &w, k, end);
        }
        *any |= b->by_tile[i];
    }
    pool_free(&w.weight);
    pool_free(&w.coef);
    return rc;
}

int accel_parts(struct build *b)
{
    struct work w = { .b = b, .loaded = -1 };
    pool_init(&w.weight, b->weight.word_bytes);
    pool_init(&w.coef, b->coef.word_bytes);
    pool_init(&w.table_weight, b->weight.word_bytes);
    pool_init(&w.table_coef, b->coef.word_bytes);
    measure(&w);
    b->slot = BASE_ARENA_NEW_N(b->arena, int, b->net->n_edge);
    int rc = b->slot ? cut(&w) : BASE_NOMEM;
    for (int e = 0; !rc && e < b->net->n_edge; e++)
        b->slot[e] = b->streamed[PROGRAM_MAP] ? 0 : e;
    if (!rc)
        rc = make_steps(b);
    if (!rc) {
        b->streamed[PROGRAM_LAYER] = b->n_head + b->n_step > w.depth[PROGRAM_LAYER];
        b->n_map = !b->streamed[PROGRAM_MAP] ? b->net->n_edge : 1 + (b->n_head > 2);
        rc = stream(&w);
    }
    if (!rc && b->streamed[PROGRAM_WEIGHT])
        swap_pools(&b->weight, &w.table_weight);
    if (!rc && b->streamed[PROGRAM_COEF])
        swap_pools(&b->coef, &w.table_coef);
    pool_free(&w.weight);
    pool_free(&w.coef);
    pool_free(&w.table_weight);
    pool_free(&w.table_coef);
    return rc;
}
