/* accel_model against the engine's front stepped cycle by cycle: reads, window register and issue as rtl/bp_fetch.sv
 * and rtl/bp_issue.sv have them. The RTL itself is compared in sim/net_tb.c. */
#define _GNU_SOURCE
#include "unit.h"

#include "accel/accel.h"
#include "accel/model_mem.h"
#include "accel_nets.h"

struct window { int reads, planes; bool last; };
struct windows { struct window *w; int n, cap; };

static uint32_t bits(uint64_t w, int hi, int lo) { return (uint32_t)(w >> lo & ((2ull << (hi - lo)) - 1)); }

static void add(struct windows *ws, int reads, int planes, bool last)
{
    if (ws->n == ws->cap)
        ws->w = realloc(ws->w, sizeof *ws->w * (size_t)(ws->cap = 2 * ws->cap + 64));
    ws->w[ws->n++] = (struct window){ reads, planes, last };
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

static void add_list(struct windows *ws, const struct program *p, int *k)
{
    for (bool last = false; !last; ++*k) {
        uint64_t w = p->kword[2 * *k];
        const uint64_t *map = &p->map[2 * bits(w, 7, 0)];
        int flags = (int)bits(w, 15, 8), planes = program_windows((uint32_t)flags, (int)bits(map[0], 51, 48));
        bool s2 = flags & PROGRAM_KW_STRIDE2;
        int n = flags & PROGRAM_KW_GROUP ? (int)bits(w, 31, 24) * (s2 ? 2 : 1) : reads(map, (int8_t)bits(w, 63, 56), s2);
        last = flags & PROGRAM_KW_LAST;
        for (int j = 0; j < planes; j++)
            add(ws, n, (int)bits(w, 23, 16), last && j == planes - 1);
    }
}

/* Windows of a layer in order. */
static struct windows expand(const struct program *p, const uint64_t *l)
{
    struct windows ws = { 0 };
    int tiles = (int)(bits(l[0], 47, 32) * ((bits(l[0], 63, 48) + 7) / 8)), next = (int)bits(l[1], 31, 16);
    for (int g = 0; g < (int)bits(l[1], 15, 0); g++) {
        int list = next;
        for (int t = 0; t < tiles; t++) {
            next = list;
            if (bits(l[0], 7, 0) == PROGRAM_MAC)
                add_list(&ws, p, &next);
            else
                for (int planes = (int)bits(p->map[2 * bits(l[1], 31, 16)], 51, 48); planes--;)
                    add(&ws, reads(&p->map[2 * bits(l[1], 31, 16)], (int8_t)bits(l[2], 15, 8), bits(l[2], 16, 16)), 1, planes == 0);
        }
    }
    return ws;
}

/* Cycles from Go to the last issue; end[i]: of the i-th tile. */
static int64_t step(const struct windows *ws, int gap, int64_t *end)
{
    int at = 0, part = 0, held = -1, full = -1, left = 0, wait = 0, tile = 0;
    bool held_last = false, in_last = false;
    for (int64_t c = 0;; c++) {
        bool more = left > 0, have = full >= 0;
        bool final = more ? left == 1 && in_last : have && ws->w[full].planes == 1 && ws->w[full].last;
        bool issue = (more || have) && !(final && wait > 0), take = issue && !more;
        bool move = held >= 0 && (!have || take), read = c >= 5 && at < ws->n && (held < 0 || move);
        wait -= wait > 0;
        if (issue) {
            left = (more ? left : ws->w[full].planes) - 1;
            if (take)
                in_last = ws->w[full].last;
            if (final) {
                end[tile++] = c;
                wait = gap - 1;
            }
            if (final && at == ws->n && held < 0 && full == (take ? ws->n - 1 : -1))
                return c;
        }
        if (take)
            full = -1;
        if (move && held_last)
            full = held;
        if (move)
            held = -1;
        if (read) {
            held = at;
            held_last = ++part == ws->w[at].reads;
            if (held_last)
                at++, part = 0;
        }
    }
}

static int64_t layer_end(const struct program *p, const struct hw *hw, const uint64_t *l, int64_t *last_logit)
{
    struct windows ws = expand(p, l);
    int64_t *end = malloc(sizeof *end * (size_t)(ws.n + 1)), done;
    int steps = hw->m * hw->n / hw->drain, planes = (int)bits(p->map[2 * bits(l[0], 31, 16)], 51, 48);
    if (bits(l[0], 7, 0) == PROGRAM_MAXPOOL) {
        done = step(&ws, 1, end) + 1;
    } else if (bits(l[0], 15, 8) & PROGRAM_LY_LOGITS) {
        int logits = (int)bits(l[3], 31, 0), tiles = (int)bits(l[1], 15, 0), full = (logits - 1) / hw->m;
        step(&ws, hw->m / 2, end);
        *last_logit = end[full] + 11 + (logits - full * hw->m + 1) / 2;
        done = full == tiles - 1 ? *last_logit : end[tiles - 1] + 12;
    } else {
        const uint64_t *map = &p->map[2 * bits(l[0], 31, 16)];
        int pair = map[0] >> 63 ? 2 : 1, groups = (int)bits(map[1], 47, 32), first = pair * (int)(bits(l[1], 63, 48) + bits(l[1], 15, 0) - 1);
        done = step(&ws, BASE_MAX(steps, pair * planes), end) + 11 + steps + planes * BASE_MIN(pair, groups - first);
    }
    free(end);
    free(ws.w);
    return done;
}

static void compare(const struct hw *hw, const struct accel_program *a, uint64_t seed)
{
    struct program p = { .map = a->image + PROGRAM_HEADER_WORDS };
    p.layer = p.map + 2 * bits(a->image[2], 31, 16);
    p.kword = p.layer + 4 * bits(a->image[2], 15, 0);
    struct accel_cycles model;
    assert_ok(accel_model(&model, hw, a->image, a->image_words));
    assert_int_equal(model.n_layer, a->n_layer);
    int64_t now = accel_model_input(hw, a->image, 4), last_logit = 0, free;
    assert_int_equal(model.layer[0], now);
    for (int i = 1; i < a->n_layer; i++) {
        int64_t logit = 0, end = 4 + layer_end(&p, hw, p.layer + 4 * i, &logit);
        if (end != model.layer[i])
            fail_msg("seed %llu: layer %d takes %lld, model %lld", (unsigned long long)seed, i, (long long)end, (long long)model.layer[i]);
        last_logit = logit ? now + 4 + logit : last_logit;
        now += end;
    }
    struct accel_port port;
    accel_port_open(&port, hw, a->image);
    assert_int_equal(model.total, accel_model_finish(accel_port_result(&port, last_logit, &free), now + 1));
    assert_int_equal(model.load, accel_model_load(hw, a->image));
}

static void test_step(void **state)
{
    (void)state;
    struct hw hw;
    assert_ok(hw_load(&hw, "pynq-z2"));
    for (uint64_t seed = 0; seed < 400; seed++) {
        static const int drain[] = { 32, 16, 64, 128 };
        hw.drain = drain[seed % 4];
        struct fixed_net *net = nets_random(seed, 16, 60);
        struct accel_program *p;
        if (!accel_compile(&p, net, &hw)) {
            compare(&hw, p, seed);
            accel_program_free(p);
        }
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
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_step), cmocka_unit_test(test_damaged), cmocka_unit_test(test_fastest), cmocka_unit_test(test_memory_costs_no_cycles) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
