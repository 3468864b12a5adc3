/* model: cycles of a run from the program alone, equal to the RTL's. The engine's schedule is static, and
 * all tiles of a filter group take the same time once its pace has settled, so a layer costs
 * a few steps per filter group. Cycle 0 is the cycle of the engine's start pulse.
 * Timing of the blocks: docs/rtl/engine.md. */
#include "accel/accel_internal.h"
#include "accel/model_mem.h"
#include "accel/tables.h"

enum {
    FIRST = 2,                 /* bp_seq: from the start to the first record */
    FRONT = 2,                 /* from a layer's last take (INPUT's Go) to the start of the next one's walk */
    WALK = 5,                  /* bp_walk: from its start to the first place */
    SEQ_GO = 3,                /* bp_seq: from the end of a layer to the next one's Go, if the front is through */
    LOADED_GO = 2,             /* from the start of the walk to Go, if that is later */
    END_DELAY = 9,             /* from a layer's last issue to where the next can begin early no more, and the drain */
    SEQ_END = 1,               /* from the end of the last layer to done */
    READ = 1,                  /* bp_fetch: from a read to its word at the window register */
    ARRAY_CAPTURE = 5,         /* bp_array: from an issue to the capture of its sums */
    REQUANT = 5,               /* bp_requant: from sums to codes */
    MAXPOOL = 1,               /* bp_maxpool: from an issue to the plane's write */
    PART_END = 1,              /* from the last issue of a part of a list to the record's end */
};

/* One tile as fetch and issue see it. Windows follow each other as max(planes of the one in the
 * array, reads of the next); the first and the last meet those of the neighbouring tiles. */
struct tile {
    int first_reads;           /* reads of the first window */
    int inner;                 /* from the take of the first window to that of the last */
    int last_planes;           /* weight planes of the last window */
    int windows;
};

/* Where the engine stands: the last window's take and its last issue. */
struct pace { int64_t take, issue; };

static int planes_of(const struct accel_tables *t, uint32_t map)
{
    return (int)get_bits(t->map[map * PROGRAM_MAP_WORDS], 51, 48);
}

static bool is_paired(const struct accel_tables *t, uint32_t map) { return get_bits(t->map[map * PROGRAM_MAP_WORDS], 63, 63); }

/* Words of a filter group's tile: a paired map has two groups for it, but perhaps for the last one. */
static int tile_words(const struct accel_tables *t, const uint64_t *layer, int filter)
{
    uint32_t map = get_bits(layer[0], 31, 16);
    int groups = (int)get_bits(t->map[map * PROGRAM_MAP_WORDS + 1], 47, 32), next = 2 * ((int)get_bits(layer[1], 63, 48) + filter) + 1;
    return planes_of(t, map) * (is_paired(t, map) && next < groups ? 2 : 1);
}

/* ---- windows ------------------------------------------------------------------------ */

static int width_of(const struct accel_tables *t, uint32_t map)
{
    return (int)get_bits(t->map[map * PROGRAM_MAP_WORDS + 1], 31, 16);
}

/* Reads of a spatial window: blocks of n that n + 2 (stride 1) or 2 n + 1 (stride 2) columns from ox on touch. A map of
 * one block is read once unless the window begins in front of it. */
static int spatial_reads(int ox, bool stride2, int width, int n)
{
    int shift = (ox + 1) & (n - 1);
    if (!stride2 && width <= n && ox >= 0)
        return 1;
    return stride2 ? (shift <= 1 ? 2 : 3) : (shift == 0 ? 1 : 2);
}

static int kword_reads(const struct accel_tables *t, uint64_t word)
{
    uint32_t flags = get_bits(word, 15, 8);
    int columns = (int)get_bits(word, 31, 24);
    bool stride2 = flags & PROGRAM_KW_STRIDE2;
    if (flags & PROGRAM_KW_GROUP)
        return stride2 ? 2 * columns : columns;
    return spatial_reads((int8_t)get_bits(word, 63, 56), stride2, width_of(t, get_bits(word, 7, 0)), t->hw->n);
}

/* `count` windows of the same reads and planes join the tile. */
static void add_windows(struct tile *tile, int reads, int planes, int count)
{
    if (tile->windows == 0)
        tile->first_reads = reads;
    else
        tile->inner += BASE_MAX(tile->last_planes, reads);
    tile->inner += (count - 1) * BASE_MAX(planes, reads);
    tile->last_planes = planes;
    tile->windows += count;
}

/* The list that starts at K-word *k; *k moves behind it. */
static struct tile list_tile(const struct accel_tables *t, int *k)
{
    struct tile tile = { 0 };
    for (bool last = false; !last; ++*k) {
        uint64_t word = t->kword[(size_t)*k * PROGRAM_KWORD_WORDS];
        add_windows(&tile, kword_reads(t, word), (int)get_bits(word, 23, 16), program_windows(get_bits(word, 15, 8), planes_of(t, get_bits(word, 7, 0))));
        last = get_bits(word, 15, 8) & PROGRAM_KW_LAST;
    }
    return tile;
}

/* ---- tiles -------------------------------------------------------------------------- */

/* A window is complete `reads` cycles after the one before was taken, and is taken when the array is
 * free; a tile's last issue keeps `gap` cycles from the last issue of the tile before. */
static struct pace next_tile(struct pace p, const struct tile *tile, int gap)
{
    int64_t first = BASE_MAX(p.issue + 1, p.take + tile->first_reads);
    struct pace q = { .take = first + tile->inner };
    q.issue = BASE_MAX(q.take + tile->last_planes - 1, p.issue + gap);
    if (tile->last_planes == 1)
        q.take = q.issue;
    return q;
}

/* `count` equal tiles. The distance between take and issue decides the time of the next tile, so
 * when it repeats, all that follow take the same. A tile's words follow its last issue by `delay`. */
static struct pace many_tiles(struct pace p, const struct tile *tile, int gap, int64_t count, struct accel_port *port, int delay, int words)
{
    for (; count > 0; count--) {
        struct pace q = next_tile(p, tile, gap);
        bool steady = q.issue - q.take == p.issue - p.take;
        int64_t step = q.issue - p.issue;
        if (port)
            accel_port_writes(port, (struct accel_writes){ q.issue + delay, step, steady ? count : 1, words });
        if (steady)
            return (struct pace){ p.take + count * step, p.issue + count * step };
        p = q;
    }
    return p;
}

static int64_t tiles_of(const struct accel_tables *t, const uint64_t *layer)
{
    return (int64_t)get_bits(layer[0], 47, 32) * ceil_div((int)get_bits(layer[0], 63, 48), t->hw->n);
}

/* Where a layer begins: its first read; the last issue of the layer before if that still drains, and how far the end of the first tile must be from it. */
struct entry { int64_t read, issue; int gap; };

/* Behind a layer that is over. */
static struct entry at_rest(int64_t read) { return (struct entry){ read, read - 64, 0 }; }

/* Before a layer's first window: nothing to wait for but its reads, or what drains. */
static struct pace layer_start(struct entry e)
{
    return (struct pace){ e.read + READ, e.issue };
}

/* ---- layers: the first read to the cycle of the last write; *take: of the last window -------------- */

/* `port` is told of the writes, where a block from the scratch may meet them. */
static int64_t mac_end(const struct accel_tables *t, const uint64_t *layer, struct entry e, struct pace *last, struct accel_port *port)
{
    uint32_t out = get_bits(layer[0], 31, 16);
    int steps = hw_drain_steps(t->hw), gap = BASE_MAX(steps, planes_of(t, out) << is_paired(t, out)), k = (int)get_bits(layer[1], 31, 16), words = 0;
    struct pace p = layer_start(e);
    for (int filter = 0; filter < (int)get_bits(layer[1], 15, 0); filter++) {
        struct tile tile = list_tile(t, &k);
        words = tile_words(t, layer, filter);
        int64_t tiles = tiles_of(t, layer);
        int delay = ARRAY_CAPTURE + REQUANT + 2 + steps;
        if (filter == 0 && e.gap > 0) {
            p = many_tiles(p, &tile, e.gap, 1, port, delay, words);
            tiles--;
        }
        p = many_tiles(p, &tile, gap, tiles, port, delay, words);
    }
    *last = p;
    return p.issue + ARRAY_CAPTURE + REQUANT + 1 + steps + words;
}

/* The record ends behind its last weight plane; what it adds stays in the array. */
static int64_t part_end(const struct accel_tables *t, const uint64_t *layer, int64_t read, int64_t *take)
{
    int k = (int)get_bits(layer[1], 31, 16);
    struct tile tile = list_tile(t, &k);
    struct pace p = next_tile(layer_start(at_rest(read)), &tile, 1);
    *take = p.take;
    return p.issue + PART_END;
}

/* Pairs of logits leave one a cycle; filter groups beyond the last logit still take one. */
static int64_t logits_end(const struct accel_tables *t, const uint64_t *layer, int64_t read, int64_t *take, int64_t *last_logit)
{
    int m = t->hw->m, left = (int)get_bits(layer[3], 31, 0), k = (int)get_bits(layer[1], 31, 16);
    int64_t end = read;
    struct pace p = layer_start(at_rest(read));
    for (int groups = (int)get_bits(layer[1], 15, 0); groups > 0; groups--) {
        struct tile tile = list_tile(t, &k);
        p = next_tile(p, &tile, BASE_MAX(hw_drain_steps(t->hw), m / 2));
        int pairs = ceil_div(BASE_MIN(left, m), 2);
        end = p.issue + ARRAY_CAPTURE + 1 + REQUANT + BASE_MAX(pairs, 1);
        if (pairs > 0)
            *last_logit = end;
        left -= BASE_MIN(left, m);
    }
    *take = p.take;
    return end;
}

/* All planes of all tiles follow each other as their reads do. */
static int64_t maxpool_end(const struct accel_tables *t, const uint64_t *layer, int64_t go, int64_t read, int64_t *take, struct accel_port *port)
{
    uint32_t map = get_bits(layer[1], 31, 16);
    int planes = planes_of(t, map), reads = spatial_reads((int8_t)get_bits(layer[2], 15, 8), get_bits(layer[2], 16, 16), width_of(t, map), t->hw->n);
    int64_t words = tiles_of(t, layer) * get_bits(layer[1], 15, 0) * planes, first = read + READ + reads + MAXPOOL;
    *take = first - MAXPOOL + (words - 1) * reads;          /* or later, where a spill holds windows: long before its end */
    if (get_bits(layer[0], 15, 8) & PROGRAM_LY_SPILL)
        return accel_port_spill(port, layer, go, read + READ - go, reads, planes);
    if (port)
        accel_port_writes(port, (struct accel_writes){ first, reads, words, 1 });
    return first + (words - 1) * reads;
}

/* ---- program ---------------------------------------------------------------------------- */

/* Blocks come in order; what a layer reads is that of the blocks that it waits for. */
static void put_blocks(struct accel_tables *t, int layers, int blocks)
{
    struct accel_block b;
    while ((t->layers_in < layers || t->blocks < blocks) && accel_tables_block(&b, t))
        accel_tables_put(t, &b);
}

/* The start of a layer's walk, after its record and its blocks; the layer before took its last window in cycle `take`. */
static int64_t walk_start(struct accel_port *port, struct accel_tables *t, int layer, int64_t take, const uint64_t **record)
{
    if (!t->streamed) {
        *record = accel_tables_layer(t, layer);
        return take + FRONT;
    }
    put_blocks(t, layer + 1, 0);
    *record = accel_tables_layer(t, layer);
    int need = (int)get_bits((*record)[3], 55, 32);
    put_blocks(t, 0, need);
    int64_t decode = accel_port_layer(port, take - 1, layer) + 1;
    return accel_port_blocks(port, decode, need) + FRONT;
}

/* A layer that may begin while another drains, or drain while another begins. */
static bool overlaps_others(const uint64_t *layer)
{
    return get_bits(layer[0], 7, 0) == PROGRAM_MAC && !(get_bits(layer[0], 15, 8) & (PROGRAM_LY_LOGITS | PROGRAM_LY_PART)) &&
           program_many(get_bits(layer[0], 47, 32), get_bits(layer[1], 15, 0));
}

enum { AHEAD_GO = 3 };         /* bp_ahead: from the end of the layer to the read */

/* An image's run that begins in cycle `start`; `next`: where the next image lies, -1: there is none. The cycle of the engine's
 * end; the last logit's. */
static int64_t run_layers(struct accel_cycles *out, struct accel_port *port, struct accel_tables *t, int64_t start, int64_t next, int64_t *last_logit)
{
    const uint64_t *input = NULL;
    int64_t now = start - SEQ_GO, begin = start, take = start + FIRST;
    struct pace before = { 0, INT64_MIN / 2 };
    int end_gap = 0;           /* of the layer before; 0: nothing begins while it drains */
    int free = 0;              /* the next image may come when so many records have ended */
    out->n_layer = 0;
    for (int i = 0; i < t->n_layer; i++) {
        const uint64_t *layer;
        int64_t walk = walk_start(port, t, i, take, &layer), go = BASE_MAX(now + SEQ_GO, walk + LOADED_GO), read = BASE_MAX(go, walk + WALK), end;
        struct entry e = at_rest(read);
        bool overlaps = overlaps_others(layer);
        if (end_gap > 0 && overlaps && get_bits(layer[0], 15, 8) & PROGRAM_LY_EARLY && walk < before.issue + END_DELAY + hw_drain_steps(t->hw))
            e = (struct entry){ walk + WALK, before.issue, end_gap };
        end_gap = 0;
        bool writes = t->scratch || free > 0;
        if (get_bits(layer[0], 7, 0) == PROGRAM_INPUT) {
            end = accel_port_input(port, layer, go);
            take = go;
            input = layer;
            free = next < 0 ? 0 : (int)get_bits(layer[2], 15, 0);
        } else if (get_bits(layer[0], 7, 0) == PROGRAM_MAXPOOL)
            end = maxpool_end(t, layer, go, read, &take, writes ? port : NULL);
        else if (get_bits(layer[0], 15, 8) & PROGRAM_LY_PART)
            end = part_end(t, layer, read, &take);
        else if (get_bits(layer[0], 15, 8) & PROGRAM_LY_LOGITS)
            end = logits_end(t, layer, read, &take, last_logit);
        else {
            uint32_t map = get_bits(layer[0], 31, 16);
            int steps = hw_drain_steps(t->hw);
            end = mac_end(t, layer, e, &before, writes ? port : NULL);
            take = before.take;
            end_gap = !program_overlaps(steps) || !overlaps ? 0 : steps + BASE_MAX(5, 3 + (planes_of(t, map) << is_paired(t, map)));
        }
        if (t->streamed || free > 0)
            accel_port_ended(port, end);
        if (i + 1 == free)
            accel_port_ahead(port, input, end + AHEAD_GO, (uint64_t)next);
        now = end;
        if (get_bits(layer[0], 15, 8) & PROGRAM_LY_MORE)
            continue;
        if (out->n_layer < PROGRAM_TIMED_LAYERS)
            out->layer[out->n_layer++] = now - begin;
        begin = now;
    }
    return now + SEQ_END;
}

enum { AGAIN = 2 };            /* bp_ctrl: from the engine's end to the next image's start, if its result has a place */

/* `images` in one start, to out->total; layers are those of the last. */
static int run_images(struct accel_cycles *out, const struct hw *hw, const uint64_t *image, uint32_t images)
{
    struct accel_tables t;
    struct accel_port port;
    int rc = BASE_OK;
    int64_t start = 0;
    uint64_t stride = program_image_stride(image);
    accel_port_open(&port, hw, image);
    for (uint32_t i = 0; !rc && i < images; i++) {
        int64_t next = i + 1 < images ? (int64_t)((i + 1) * stride) : -1, last_logit = 0, free;
        if ((rc = accel_tables_open(&t, hw, image)))
            break;
        if (i > 0)
            accel_port_again(&port, start, i * stride);
        int64_t done = run_layers(out, &port, &t, start, next, &last_logit);
        int64_t written = accel_port_result(&port, last_logit, &free), before = out->total;
        out->total = accel_model_finish(written, done);
        out->further = i > 0 ? out->total - before : 0;
        start = BASE_MAX(done + AGAIN, free + 1);
        accel_tables_close(&t);
    }
    out->ddr_bytes = accel_model_ddr_bytes(&port);
    accel_port_close(&port);
    return rc ? rc : port.nomem ? BASE_NOMEM : BASE_OK;
}

int accel_model_images(struct accel_cycles *out, const struct hw *hw, const uint64_t *image, size_t image_words, uint32_t images)
{
    int code = accel_decode_check(hw, image, image_words);
    if (code < 0)
        return code;
    if (code)
        return base_fail(BASE_INPUT, "the program is damaged (code %d): it cannot be timed", code);
    *out = (struct accel_cycles){ 0 };
    int rc = run_images(out, hw, image, images);
    out->load = accel_model_load(hw, image);
    return rc;
}

int accel_model(struct accel_cycles *out, const struct hw *hw, const uint64_t *image, size_t image_words)
{
    return accel_model_images(out, hw, image, image_words, 1);
}
