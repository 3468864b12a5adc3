/* accel_model against the engine's front stepped cycle by cycle: reads, window register and issue as rtl/bp_fetch.sv
 * and rtl/bp_issue.sv have them. The RTL itself is compared in sim/net_tb.c. */
#define _GNU_SOURCE
#include "unit.h"

#include "accel/accel.h"
#include "accel/model_mem.h"
#include "accel_nets.h"

struct window { int reads, planes; bool last; int map, row, rows; };   /* row: the first that it reads of the map */
struct windows { struct window *w; int n, cap; };

static uint32_t bits(uint64_t w, int hi, int lo) { return (uint32_t)(w >> lo & ((2ull << (hi - lo)) - 1)); }

static void add(struct windows *ws, struct window w)
{
    if (ws->n == ws->cap)
        ws->w = realloc(ws->w, sizeof *ws->w * (size_t)(ws->cap = 2 * ws->cap + 64));
    ws->w[ws->n++] = w;
}

/* Blocks of eight whose words hold the 10 or 17 columns from ox on, slot 0 being column -1; behind the only block of a map
 * nothing is read. */
static int reads(const uint64_t *map, int ox, bool stride2)
{
    if (bits(map[1], 31, 16) <= 8 && ox >= 0 && !stride2)
        return 1;
    int d = (ox + 1) & 7;
    return stride2 ? 2 + (d >= 2) : 1 + (d >= 1);
}

struct program { const uint64_t *map, *layer, *kword; };

static void add_list(struct windows *ws, const struct program *p, int *k, int y)
{
    for (bool last = false; !last; ++*k) {
        uint64_t w = p->kword[2 * *k];
        int flags = (int)bits(w, 15, 8), index = (int)bits(w, 7, 0);
        const uint64_t *map = &p->map[2 * index];
        int planes = program_windows((uint32_t)flags, (int)bits(map[0], 51, 48));
        bool s2 = flags & PROGRAM_KW_STRIDE2, group = flags & PROGRAM_KW_GROUP;
        int n = group ? (int)bits(w, 31, 24) * (s2 ? 2 : 1) : reads(map, (int8_t)bits(w, 63, 56), s2);
        last = flags & PROGRAM_KW_LAST;
        for (int j = 0; j < planes; j++)
            add(ws, (struct window){ n, (int)bits(w, 23, 16), last && j == planes - 1, index, y * (s2 ? 2 : 1) + (int8_t)bits(w, 55, 48), group ? 1 : 3 });
    }
}

static int blocks_of(const uint64_t *l) { return ((int)bits(l[0], 63, 48) + 7) / 8; }

/* Windows of a layer in order. */
static struct windows expand(const struct program *p, const uint64_t *l)
{
    struct windows ws = { 0 };
    int tiles = (int)bits(l[0], 47, 32) * blocks_of(l), next = (int)bits(l[1], 31, 16), map = next;
    bool s2 = bits(l[2], 16, 16);
    for (int g = 0; g < (int)bits(l[1], 15, 0); g++) {
        int list = next;
        for (int t = 0; t < tiles; t++) {
            next = list;
            if (bits(l[0], 7, 0) == PROGRAM_MAC)
                add_list(&ws, p, &next, t / blocks_of(l));
            else
                for (int planes = (int)bits(p->map[2 * map], 51, 48); planes--;)
                    add(&ws, (struct window){ reads(&p->map[2 * map], (int8_t)bits(l[2], 15, 8), s2), 1, planes == 0, map,
                                              t / blocks_of(l) * (s2 ? 2 : 1) + (int8_t)bits(l[2], 7, 0), 3 });
        }
    }
    return ws;
}

/* Where the engine stands: cycles of the last window's take, of the last issue, of the last word; what the first tile of a layer
 * that begins before that keeps from the issue, 0: none may. Cycles in which the rows of each map are given to the memory. */
enum { ROWS = 64 };
struct engine { int64_t taken, issue, now; int gap; int64_t (*written)[ROWS]; uint64_t seed; int early; };

static void check_read(const struct engine *e, const struct window *w, int64_t c)
{
    for (int y = BASE_MAX(w->row, 0); y < w->row + w->rows && y < ROWS; y++)
        if (c < e->written[w->map][y] + 2)
            fail_msg("seed %llu: row %d of map %d is read in cycle %lld, written in %lld", (unsigned long long)e->seed, y, w->map, (long long)c,
                     (long long)e->written[w->map][y]);
}

/* A layer whose first read is in cycle `from`, whose first tile ends in `first_end` or later. end[i]: of the i-th tile. */
static void step(struct engine *e, const struct windows *ws, int64_t from, int64_t first_end, int gap, int64_t *end)
{
    int at = 0, part = 0, held = -1, full = -1, left = 0, tile = 0;
    int64_t next_end = first_end;
    bool held_last = false, in_last = false;
    for (int64_t c = from;; c++) {
        bool more = left > 0, have = full >= 0;
        bool final = more ? left == 1 && in_last : have && ws->w[full].planes == 1 && ws->w[full].last;
        bool issue = c > e->issue && (more || have) && !(final && c < next_end), take = issue && !more;
        bool move = held >= 0 && (!have || take), read = at < ws->n && (held < 0 || move);
        if (issue) {
            left = (more ? left : ws->w[full].planes) - 1;
            if (take) {
                in_last = ws->w[full].last;
                e->taken = c;
            }
            if (final) {
                end[tile++] = c;
                next_end = c + gap;
            }
            if (final && at == ws->n && held < 0 && full == (take ? ws->n - 1 : -1)) {
                e->issue = c;
                return;
            }
        }
        if (take)
            full = -1;
        if (move && held_last)
            full = held;
        if (move)
            held = -1;
        if (read) {
            check_read(e, &ws->w[at], c);
            held = at;
            held_last = ++part == ws->w[at].reads;
            if (held_last)
                at++, part = 0;
        }
    }
}

/* The last word of each row of the layer's map: `words` of a tile, `last` of one of the last filter group. */
static void write_rows(struct engine *e, const uint64_t *l, const int64_t *end, int delay, int words, int last)
{
    int blocks = blocks_of(l), tiles = (int)bits(l[0], 47, 32) * blocks, filters = (int)bits(l[1], 15, 0);
    for (int i = 0; i < filters * tiles; i++)
        e->written[bits(l[0], 31, 16)][i % tiles / blocks] = end[i] + delay + (i / tiles < filters - 1 ? words : last);
}

static void layer_end(struct engine *e, const struct program *p, const struct hw *hw, const uint64_t *l, int64_t *last_logit)
{
    struct windows ws = expand(p, l);
    int64_t *end = malloc(sizeof *end * (size_t)(ws.n + 1));
    int steps = hw->m * hw->n / hw->drain, planes = (int)bits(p->map[2 * bits(l[0], 31, 16)], 51, 48), filters = (int)bits(l[1], 15, 0);
    bool mac = bits(l[0], 7, 0) == PROGRAM_MAC, logits = mac && bits(l[0], 15, 8) & PROGRAM_LY_LOGITS;
    /* Map, check and five of the walk behind the last take; three behind the last word. */
    bool early = mac && !logits && e->gap && bits(l[0], 15, 8) & PROGRAM_LY_EARLY;
    int64_t from = early ? e->taken + 7 : BASE_MAX(e->now + 3, e->taken + 7), first_end = early ? e->issue + e->gap : from;
    e->early += early;
    e->gap = 0;
    if (!mac) {
        step(e, &ws, from, first_end, 1, end);
        write_rows(e, l, end, 0, 1, 1);
        e->now = e->issue + 1;
    } else if (logits) {
        int n = (int)bits(l[3], 31, 0), full = (n - 1) / hw->m;
        step(e, &ws, from, first_end, hw->m / 2, end);
        *last_logit = end[full] + 11 + (n - full * hw->m + 1) / 2;
        e->now = full == filters - 1 ? *last_logit : end[filters - 1] + 12;
    } else {
        const uint64_t *map = &p->map[2 * bits(l[0], 31, 16)];
        int pair = map[0] >> 63 ? 2 : 1, groups = (int)bits(map[1], 47, 32), first = pair * (int)(bits(l[1], 63, 48) + filters - 1);
        int words = pair * planes, last = planes * BASE_MIN(pair, groups - first);
        step(e, &ws, from, first_end, BASE_MAX(steps, words), end);
        write_rows(e, l, end, 11 + steps, words, last);
        e->now = e->issue + 11 + steps + last;
        e->gap = !program_overlaps(steps) || !program_many(bits(l[0], 47, 32), (uint32_t)filters) ? 0 : steps + BASE_MAX(5, 3 + words);
    }
    free(end);
    free(ws.w);
}

/* Layers that began while the one before drained. */
static int compare(const struct hw *hw, const struct accel_program *a, uint64_t seed)
{
    struct program p = { .map = a->image + PROGRAM_HEADER_WORDS };
    int maps = (int)bits(a->image[2], 31, 16);
    p.layer = p.map + 2 * maps;
    p.kword = p.layer + 4 * bits(a->image[2], 15, 0);
    struct accel_cycles model;
    assert_ok(accel_model(&model, hw, a->image, a->image_words));
    assert_int_equal(model.n_layer, a->n_layer);
    struct engine e = { .taken = 6, .seed = seed, .written = calloc((size_t)maps, sizeof *e.written) };   /* the INPUT's Go is the sixth cycle */
    int64_t last_logit = 0, free_at;
    e.now = accel_model_input(hw, a->image, e.taken);
    assert_int_equal(model.layer[0], e.now);
    for (int i = 1; i < a->n_layer; i++) {
        int64_t before = e.now;
        layer_end(&e, &p, hw, p.layer + 4 * i, &last_logit);
        if (e.now - before != model.layer[i])
            fail_msg("seed %llu: layer %d takes %lld, model %lld", (unsigned long long)seed, i, (long long)(e.now - before), (long long)model.layer[i]);
    }
    free(e.written);
    struct accel_port port;
    accel_port_open(&port, hw, a->image);
    assert_int_equal(model.total, accel_model_finish(accel_port_result(&port, last_logit, &free_at), e.now + 1));
    assert_int_equal(model.load, accel_model_load(hw, a->image));
    return e.early;
}

static void test_step(void **state)
{
    (void)state;
    struct hw hw;
    int early = 0;
    assert_ok(hw_load(&hw, "pynq-z2"));
    for (uint64_t seed = 0; seed < 400; seed++) {
        static const int drain[] = { 32, 16, 64, 128 };
        hw.drain = drain[seed % 4];
        struct fixed_net *net = nets_random(seed, 16, 60);
        struct accel_program *p;
        if (!accel_compile(&p, net, &hw)) {
            early += compare(&hw, p, seed);
            accel_program_free(p);
        }
        fixed_net_free(net);
    }
    assert_in_range(early, 1, INT32_MAX);
}

/* 1x1 kernels of 128 channels on one row, the last with an identity besides and no weights in its first filter group: that one
 * reads nothing of the map before it, the next do. */
static struct fixed_net *one_row(uint64_t seed)
{
    struct nets g = { .net = fixed_net_new("one row", 4, 4) };
    base_rng_seed(&g.rng, seed);
    g.net->n_edge = g.net->n_layer = 0;
    g.net->classes = 10;
    g.net->logit_scale = 1;
    nets_edge(&g, 1, 8, 16, 8, false);
    for (int i = 0; i < 3; i++) {
        struct fixed_layer *l = nets_layer(&g, FIXED_MAC, 1, 8, 128);
        struct fixed_term *t = nets_term(l, i, 1, 1, 1, 0, 0);
        t->cin = i ? 128 : 16, t->cout = 128;
        nets_weights(&g, t, false);
        if (i == 2) {
            memset(t->code, 0, sizeof *t->code * 16 * 128);
            t = nets_term(l, 1, 1, 1, 1, 0, 0);
            t->depthwise = true, t->cin = 1, t->cout = 128;
            nets_ones(&g, t);
        }
        nets_finish(&g, l, false);
    }
    nets_dense(&g, 3, 10);
    return g.net;
}

static void test_filter_groups(void **state)
{
    (void)state;
    struct hw hw;
    assert_ok(hw_load(&hw, "pynq-z2"));
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fixed_net *net = one_row(seed);
        struct accel_program *p;
        assert_ok(accel_compile(&p, net, &hw));
        if (p->stream_words == 0)
            compare(&hw, p, seed);
        accel_program_free(p);
        fixed_net_free(net);
    }
}

/* Whatever passes the check can be timed; whatever does not is refused. */
static void test_damaged(void **state)
{
    (void)state;
    struct hw hw;
    struct accel_cycles c;
    struct accel_program *p;
    struct base_rng rng;
    base_rng_seed(&rng, 3);
    assert_ok(hw_load(&hw, "pynq-z2"));
    struct fixed_net *net = nets_random(5, 10, 30);
    assert_ok(accel_compile(&p, net, &hw));
    uint64_t *image = malloc(p->image_words * 8);
    int timed = 0, count = 3000;
    for (int i = 0; i < count; i++) {
        memcpy(image, p->image, p->image_words * 8);
        for (int n = 0; n < 1 + i % 2; n++)
            image[2 + base_rng_below(&rng, 80)] ^= 1ull << base_rng_below(&rng, 64);
        int code = accel_decode_check(&hw, image, p->image_words), rc = accel_model(&c, &hw, image, p->image_words);
        assert_int_equal(rc, code ? BASE_INPUT : BASE_OK);
        timed += !code;
    }
    assert_in_range(timed, 1, count - 1);
    free(image);
    accel_program_free(p);
    fixed_net_free(net);
}

/* One layer of kh x kh kernels with dense weights of 8 bits, on a map of `size` x `size`. */
static struct fixed_net *planted(int size, int cin, int cout, int kernel)
{
    struct nets g = { .net = fixed_net_new("planted", 1, 1) };
    int32_t value[8];
    base_rng_seed(&g.rng, 1);
    g.net->n_edge = g.net->n_layer = 0;
    g.net->classes = cout;
    g.net->logit_scale = 1;
    nets_edge(&g, size, size, cin, 8, false);
    struct fixed_layer *l = nets_layer(&g, FIXED_MAC, size - kernel + 1, size - kernel + 1, cout);
    struct fixed_term *t = nets_term(l, 0, kernel, kernel, 1, 0, 0);
    t->cin = cin, t->cout = cout, t->w_bits = t->n_plane = 8;
    for (int p = 0; p < 8; p++)
        value[p] = p == 7 ? -128 : 1 << p;
    t->code = BASE_ARENA_NEW_N(g.net->arena, uint16_t, (int64_t)cout * kernel * kernel * cin);
    for (int64_t i = 0; i < (int64_t)cout * kernel * kernel * cin; i++)
        t->code[i] = (uint16_t)nets_below(&g, 256);
    nets_coefs(&g, t, value, true, false);
    nets_finish(&g, l, true);
    return g.net;
}

/* Many filters at one pixel want memory for weights; whatever the network, the least of all arrays is found. */
static void test_fastest(void **state)
{
    (void)state;
    const struct { int size, cin, cout, kernel; } net[] = { { 9, 16, 640, 9 }, { 3, 16, 64, 3 }, { 8, 16, 8, 8 } };
    struct hw own, shape[HW_MAX_SHAPES];
    int n, deep = 0;
    assert_ok(hw_load(&own, "zcu104"));
    assert_ok(hw_shapes(shape, &n, &own));
    for (int i = 0; i < BASE_COUNT(net); i++) {
        struct fixed_net *f = planted(net[i].size, net[i].cin, net[i].cout, net[i].kernel);
        struct accel_program *best, *p;
        struct accel_cycles c;
        int which, first = -1;
        int64_t cycles, least = INT64_MAX;
        assert_ok(accel_compile_fastest(&best, &which, &cycles, f, shape, n));
        for (int k = 0; k < n; k++) {
            assert_ok(accel_compile(&p, f, &shape[k]));
            assert_ok(accel_model(&c, &shape[k], p->image, p->image_words));
            if (c.total < least)
                least = c.total, first = k;
            accel_program_free(p);
        }
        assert_int_equal(which, first);
        assert_true(cycles == least && best->hw.hash == shape[which].hash);
        if (!i) {                                             /* 40 groups x 9 words x 8 planes = 2880: only 4096 words hold them */
            deep = shape[which].weight_depth;
            assert_true(best->weight_words <= deep);
            for (int k = 0; k < n; k++)
                assert_true(shape[k].weight_depth <= deep);
        }
        accel_program_free(best);
        fixed_net_free(f);
    }
}

/* Why hw_shapes leaves out what has less memory: it would not be faster. */
static void test_memory_costs_no_cycles(void **state)
{
    (void)state;
    struct hw h[3];
    assert_ok(hw_load(&h[0], "zcu104"));
    h[0].n = 8, h[0].drain = 32, h[0].act_depth = h[0].weight_depth = 512;
    h[1] = h[2] = h[0];
    h[1].act_depth *= 4;
    h[2].weight_depth *= 4;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fixed_net *f = nets_random(seed, seed % 4 ? 40 : 90, seed % 3 ? 40 : 90);
        int64_t cycles[3] = { 0 };
        for (int i = 0; i < 3; i++) {
            struct accel_program *p;
            int which;
            if (accel_compile_fastest(&p, &which, &cycles[i], f, &h[i], 1))
                break;                                        /* a window that the small memory cannot hold */
            accel_program_free(p);
            if (cycles[i] > cycles[0])
                fail_msg("seed %d: %lld cycles with more words of %s, %lld before", (int)seed, (long long)cycles[i], i == 1 ? "maps" : "weights", (long long)cycles[0]);
        }
        fixed_net_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_step), cmocka_unit_test(test_filter_groups), cmocka_unit_test(test_damaged), cmocka_unit_test(test_fastest), cmocka_unit_test(test_memory_costs_no_cycles) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
