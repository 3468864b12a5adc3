/* qref: the examples of docs/numerics.md, and the fast path against the definition. */
#define _GNU_SOURCE
#include "fixed_nets.h"

/* ---- the examples of docs/numerics.md, by their numbers ------------------------------ */

static void example_1_planes(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 3, 3, false }, (struct fx_shape){ 1, 1, 1, 0, false });
    struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .w_bits = 2, .weight = FX_CODES(-2, 1, -1) });
    const int32_t coef[] = { 1, 2, 4, -2, -4, -8 };
    for (int i = 0; i < 6; i++)
        assert_int_equal(t->coef[i], coef[i]);
    assert_int_equal(t->code[0], 2);
    assert_int_equal(t->code[2], 3);
    fx_expect(net, FX_CODES(5, 3, 6), -13);
    fixed_net_free(net);
}

static void example_2_signed(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 1, 3, true }, (struct fx_shape){ 1, 1, 1, 0, false });
    struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .w_bits = 2, .weight = FX_CODES(-2) });
    const int32_t coef[] = { 1, 2, -4, -2, -4, 8 };
    for (int i = 0; i < 6; i++)
        assert_int_equal(t->coef[i], coef[i]);
    fx_expect(net, FX_CODES(-3), 6);
    fx_expect(net, FX_CODES(-4), 8);
    fx_expect(net, FX_CODES(3), -6);
    fixed_net_free(net);
}

static void example_3_one_bit(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 3, 3, false }, (struct fx_shape){ 1, 1, 1, 0, false });
    struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .w_bits = 1, .weight = FX_CODES(1, -1, 1) });
    const int32_t coef[] = { 2, 4, 8, -1, -2, -4 };
    for (int i = 0; i < 6; i++)
        assert_int_equal(t->coef[i], coef[i]);
    assert_int_equal(t->code[0], 3);
    assert_int_equal(t->code[1], 2);
    fx_expect(net, FX_CODES(5, 3, 6), 8);
    fixed_net_free(net);
}

static void example_4_free_levels(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 2, 3, false }, (struct fx_shape){ 1, 1, 1, 0, false });
    struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .w_bits = 2, .weight = FX_CODES(3, 1) });
    fx_coefs(net, t, FX_CODES(3, 5), 0);
    fx_expect(net, FX_CODES(5, 2), 46);
    fixed_net_free(net);
}

static void example_5_residual(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 2, 3, false }, (struct fx_shape){ 1, 1, 1, 0, false });
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .w_bits = 2, .f = 2, .weight = FX_CODES(0, -1) });
    struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .depthwise = true });
    net->layer[1].f = 2;
    t->coef[0] = 1, t->coef[1] = 2, t->coef[2] = 5;
    fx_expect(net, FX_CODES(6, 5), -13);
    assert_int_equal(fixed_weight(net, 1, 0, 1), -1);
    fixed_net_free(net);
}

static void example_6_requantize(void **state)
{
    (void)state;
    assert_int_equal(qref_requantize(-13, 3, 4, 3, -8, 7), -5);
    assert_int_equal(qref_requantize(-4, 3, 4, 3, -8, 7), -1);
    assert_int_equal(qref_requantize(4, 3, 4, 3, -8, 7), 2);
    assert_int_equal(qref_requantize(-13, 3, 4, 3, 0, 7), 0);
    assert_int_equal(qref_requantize(-4, 3, 4, 3, 0, 7), 0);
    assert_int_equal(qref_requantize(40, 3, 4, 3, 0, 255), 15);
    assert_int_equal(qref_requantize(40, 3, 4, 3, 0, 7), 7);
}

static void example_7_padding(void **state)
{
    (void)state;
    static uint8_t seven[] = { 7 };
    for (int edge = 0; edge < 2; edge++) {
        struct fixed_net *net = fx_new((struct fx_shape){ 1, 2, 1, 8, false }, (struct fx_shape){ 1, 2, 1, 8, false });
        net->edge[0].pad = seven;
        fx_add(net, 1, (struct fx_term){ .edge = edge, .kh = 1, .kw = 3, .pad_l = 1, .cout = 1, .w_bits = 3, .weight = FX_CODES(1, 2, 3) });
        if (edge == 0)
            fx_expect(net, FX_CODES(10, 20), 87, 71);
        else
            fx_expect(net, FX_CODES(10, 20), 80, 50);
        fixed_net_free(net);
    }
}

static struct fixed_net *pool_net(struct fx_shape in, struct fx_shape out, int kh, int kw, int pad_l)
{
    struct fixed_net *net = fx_new(in, out);
    net->layer[1].kind = FIXED_MAXPOOL;
    net->layer[1].n_term = 1;
    net->layer[1].term[0] = (struct fixed_term){ .edge = 1, .kh = kh, .kw = kw, .stride = 1, .pad_l = pad_l };
    return net;
}

static void example_8_maxpool(void **state)
{
    (void)state;
    struct fx_shape shape = { 1, 2, 1, 3, true };
    struct fixed_net *net = pool_net(shape, shape, 1, 2, 1);
    fx_expect(net, FX_CODES(-4, -3), -4, -3);
    fx_expect(net, FX_CODES(-1, 2), -1, 2);
    fixed_net_free(net);
}

static void example_9_avgpool(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 2, 2, 1, 3, false }, (struct fx_shape){ 1, 1, 1, 3, false });
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 2, .kw = 2, .cout = 1, .depthwise = true });
    net->layer[1].m[0] = 2, net->layer[1].b[0] = 4, net->layer[1].s = 3;
    fx_expect(net, FX_CODES(1, 2, 4, 6), 3);
    fx_expect(net, FX_CODES(1, 3, 4, 6), 4);
    fixed_net_free(net);
}

static void example_10_argmax(void **state)
{
    (void)state;
    assert_int_equal(qref_argmax((const int32_t[]){ 5, 9, 9 }, 3), 1);
    assert_int_equal(qref_argmax((const int32_t[]){ 7, 7, 7 }, 3), 0);
    assert_int_equal(qref_argmax((const int32_t[]){ INT32_MIN, INT32_MIN, -1 }, 3), 2);
    assert_int_equal(qref_argmax((const int32_t[]){ -5 }, 1), 0);
}

/* ---- corners -------------------------------------------------------------------------- */

/* Windows that lie in the border as a whole, in every direction, for all kernels of the fast path. */
static void borders(void **state)
{
    (void)state;
    static uint8_t pad[] = { 3, 200 };
    for (int edge = 0; edge < 2; edge++)
        for (int kind = 0; kind < 3; kind++) {
            struct fixed_net *net = fx_new((struct fx_shape){ 2, 1, 2, 8, false }, (struct fx_shape){ 5, 4, 2, 8, true });
            const int weights[] = { 1, -2, 3, -1, 2, 0, -3, 1, 1, 1, 2, -2, -1, -1, 3, 2 };
            net->edge[0].pad = pad;
            struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = edge, .kh = 2, .kw = 2, .pad_t = 2, .pad_l = 2, .cout = 2,
                                                                    .depthwise = kind == 1, .w_bits = 3, .weight = weights });
            net->layer[1].s = 4;                                /* codes are sums / 8 */
            net->layer[1].b[0] = net->layer[1].b[1] = 8;
            if (kind == 2)
                t->coef[7] += 1;                                /* no longer a weight: the counting kernel */
            int32_t out[40];
            fx_run(net, FX_CODES(9, 100, 255, 31), out);
            /* The first window sees the border only: 3 * 3 - 2 * 200 and 5 * 3 + 0 * 200 (depthwise: 1 * 3 and 0 * 200). */
            assert_int_equal(out[0], edge || kind == 1 ? 0 : -49);
            assert_int_equal(out[1], edge || kind == 1 ? 0 : 2);
            fixed_net_free(net);
        }
}

/* Sums at both ends of int32, in each kernel. */
static void widest_sums(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        int n = kind == 1 ? 1 : 64, taps = kind == 1 ? 64 : 1;
        struct fixed_net *net = fx_new((struct fx_shape){ taps, 1, n, 8, false }, (struct fx_shape){ 1, 1, 1, 0, false });
        int weights[64];
        for (int i = 0; i < 64; i++)
            weights[i] = 1;
        struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = taps, .kw = 1, .cout = 1,
                                                                .depthwise = kind == 1, .w_bits = 2, .weight = weights });
        for (int i = 0; i < 8; i++) {
            t->coef[i] = kind == 2 ? 131071 : 1 << (i + 9);     /* 2: a plane's coefficients are no multiples */
            t->coef[8 + i] = -t->coef[i];
        }
        if (kind == 3)
            for (int i = 0; i < 64; i++)
                t->code[i] = 2;
        int64_t lo, hi;
        fixed_acc_range(net, 1, 0, &lo, &hi);
        int64_t most = kind == 2 ? 64ll * 8 * 131071 : 64ll * 255 * 512;
        assert_int_equal(kind == 3 ? -lo : hi, most);
        int codes[64];
        for (int i = 0; i < 64; i++)
            codes[i] = 255;
        net->layer[1].m[0] = 131071;
        net->layer[1].s = 17;
        net->layer[1].b[0] = 1 << 16;
        int64_t acc = kind == 3 ? -most : most;
        fx_expect(net, codes, (int32_t)((acc * 131071 + 65536) >> 17));
        fixed_net_free(net);
    }
}

/* Weights of 17 bits that share no divisor: too wide for int16, in some rows of the term only. */
static void wide_rows(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 3, 1, false }, (struct fx_shape){ 1, 1, 19, 0, false });
    int weights[57];
    for (int i = 0; i < 57; i++)
        weights[i] = i % 4 - 2;
    struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 19, .w_bits = 2, .weight = weights });
    t->coef_shared = false;
    t->coef = BASE_ARENA_NEW_N(net->arena, int32_t, 38);
    int32_t want[19], out[19];
    for (int o = 0; o < 19; o++) {
        t->coef[2 * o] = o % 3 ? 5 * o : 131071 - o;
        t->coef[2 * o + 1] = o % 3 ? -10 * o : -99991;
        want[o] = 0;
        for (int i = 0; i < 3; i += 2)
            want[o] += (t->code[3 * o + i] & 1 ? t->coef[2 * o] : 0) + (t->code[3 * o + i] & 2 ? t->coef[2 * o + 1] : 0);
    }
    fx_run(net, FX_CODES(1, 0, 1), out);
    for (int o = 0; o < 19; o++)
        assert_int_equal(out[o], want[o]);
    fixed_net_free(net);
}

/* A sign plane with positive coefficients reads signed codes as unsigned ones: no kernel may multiply. */
static void sign_plane_as_bit(void **state)
{
    (void)state;
    for (int depthwise = 0; depthwise < 2; depthwise++) {
        struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 1, 3, true }, (struct fx_shape){ 1, 1, 1, 0, false });
        struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .depthwise = depthwise });
        t->coef[2] = 4;
        fx_expect(net, FX_CODES(-3), 5);
        fx_expect(net, FX_CODES(3), 3);
        fixed_net_free(net);
    }
}

/* qref_layer refuses sums that fixed_check would have refused. */
static void unproved_sum(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 40, 60, 8, false }, (struct fx_shape){ 1, 1, 1, 0, false });
    struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 40, .cout = 1 });
    for (int j = 0; j < 8; j++)
        t->coef[j] = 131071;
    int16_t codes[2400], *const maps[] = { codes, codes };
    int32_t out;
    for (int i = 0; i < 2400; i++)
        codes[i] = 255;
    assert_error(qref_layer(net, 1, maps, &out), BASE_INPUT, "layer 'tested': the sum of channel 0");
    base_error_clear();
    assert_null(qref_new(net, NULL));
    assert_non_null(strstr(base_error(), "layer 'tested'"));
    fixed_net_free(net);
}

/* Four lanes, the rest, and the definition, over the whole range of M, B and S. */
static void requantize_lanes(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 3);
    for (int s = 1; s <= 40; s++) {
        struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 11, 8, s % 2 }, (struct fx_shape){ 1, 1, 11, 2 + s % 7, s % 3 == 0 });
        struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 11, .depthwise = true });
        struct fixed_layer *l = &net->layer[1];
        fx_coefs(net, t, FX_CODES(512), 0);
        int codes[11];
        int32_t out[11];
        l->s = s;
        for (int c = 0; c < 11; c++) {
            codes[c] = (int)base_rng_below(&r, 256) - (s % 2 ? 128 : 0);
            l->m[c] = (int32_t)(c == 0 ? 131071 : base_rng_below(&r, 1 << 17));
            l->b[c] = c == 1 ? (1ll << 47) - 1 : c == 2 ? 1 - (1ll << 47) : (int64_t)(base_rng_u64(&r) >> 17) - (1ll << 46);
        }
        fx_run(net, codes, out);
        for (int c = 0; c < 11; c++) {
            int64_t y = INT64_C(512) * codes[c] * l->m[c] + l->b[c], d = INT64_C(1) << s;
            y = y >= 0 ? y / d : -((-y + d - 1) / d);
            assert_int_equal(out[c], (int)(y < l->lo ? l->lo : y > l->hi ? l->hi : y));
        }
        fixed_net_free(net);
    }
}

/* ---- random networks ---------------------------------------------------------------------- */

static uint8_t *random_pixels(const struct fixed_net *net, int n, uint64_t seed)
{
    size_t bytes = (size_t)n * (size_t)net->edge[0].h * (size_t)net->edge[0].w * (size_t)net->edge[0].c;
    uint8_t *p = base_alloc(bytes);
    struct base_rng r;
    base_rng_seed(&r, seed);
    for (size_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(base_rng_below(&r, 8) ? base_rng_below(&r, 256) : 255);
    return p;
}

static void compare_layer(const struct fixed_net *net, int layer, int16_t *const *edges, const int32_t *logits, uint64_t seed)
{
    const struct fixed_layer *l = &net->layer[layer];
    int n = l->h * l->w * l->c;
    int32_t *want = BASE_NEW_N(int32_t, n);
    assert_ok(qref_layer(net, layer, edges, want));
    for (int i = 0; i < n; i++) {
        int got = l->out < 0 ? logits[i] : edges[l->out][i];
        if (got != want[i])
            fail_msg("seed %llu, layer '%s', number %d: %d, not %d", (unsigned long long)seed, l->name, i, got, want[i]);
    }
    base_free(want);
}

static void compare(uint64_t seed, const struct fixed_random *limits)
{
    struct fixed_net *net = fixed_random_net(seed, limits);
    assert_non_null(net);
    struct qref *q = qref_new(net, NULL);
    assert_non_null(q);
    uint8_t *pixels = random_pixels(net, 1, seed);
    int32_t logits[64];
    int16_t *const *edges;
    assert_in_range(net->classes, 1, 64);
    assert_ok(qref_run_edges(q, pixels, logits, &edges));
    for (int i = 0; i < net->n_layer; i++)
        compare_layer(net, i, edges, logits, seed);
    base_free(pixels);
    qref_free(q);
    fixed_net_free(net);
}

static void fast_equals_definition(void **state)
{
    (void)state;
    int n = getenv("QREF_NETS") ? atoi(getenv("QREF_NETS")) : 400;
    const struct fixed_random small = { .max_layers = 5, .max_size = 9, .max_channels = 24 };
    for (int seed = 0; seed < n; seed++)
        compare((uint64_t)seed, &small);
}

static void fast_equals_definition_by_width(void **state)
{
    (void)state;
    for (int w = 1; w <= 8; w++)
        for (int a = 1; a <= 8; a++)
            compare((uint64_t)(100 * w + a), &(struct fixed_random){ .max_layers = 3, .max_size = 7, .max_channels = 20, .w_bits = w, .a_bits = a });
}

/* The same logits for every number of threads, and image by image. */
static void threads(void **state)
{
    (void)state;
    enum { IMAGES = 13 };
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct fixed_net *net = fixed_random_net(seed, NULL);
        assert_non_null(net);
        uint8_t *pixels = random_pixels(net, IMAGES, seed);
        size_t image = (size_t)net->edge[0].h * (size_t)net->edge[0].w * (size_t)net->edge[0].c, n = (size_t)net->classes;
        int32_t *want = BASE_NEW_N(int32_t, IMAGES * n), *got = BASE_NEW_N(int32_t, IMAGES * n);
        struct qref *q = qref_new(net, NULL);
        int16_t *const *edges;
        for (size_t i = 0; i < IMAGES; i++)
            assert_ok(qref_run_edges(q, pixels + i * image, want + i * n, &edges));
        assert_ok(qref_run(q, pixels, IMAGES, got));
        assert_memory_equal(got, want, sizeof *got * IMAGES * n);
        qref_free(q);
        for (int t = 1; t <= 4; t++) {
            struct base_pool *pool = base_pool_new(t);
            q = qref_new(net, pool);
            memset(got, 0, sizeof *got * IMAGES * n);
            assert_ok(qref_run(q, pixels, IMAGES, got));
            assert_memory_equal(got, want, sizeof *got * IMAGES * n);
            assert_ok(qref_run(q, pixels, 0, NULL));
            qref_free(q);
            base_pool_free(pool);
        }
        base_free(want);
        base_free(got);
        base_free(pixels);
        fixed_net_free(net);
    }
}

static int make_qref(struct qref **q, const struct fixed_net *net)
{
    *q = qref_new(net, NULL);
    return *q ? BASE_OK : BASE_NOMEM;
}

static void no_memory(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct fixed_net *net = fixed_random_net(seed, NULL);
        struct qref *q;
        assert_non_null(net);
        assert_survives_nomem(make_qref(&q, net), qref_free(q));
        fixed_net_free(net);
    }
    qref_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_1_planes), cmocka_unit_test(example_2_signed), cmocka_unit_test(example_3_one_bit),
        cmocka_unit_test(example_4_free_levels), cmocka_unit_test(example_5_residual), cmocka_unit_test(example_6_requantize),
        cmocka_unit_test(example_7_padding), cmocka_unit_test(example_8_maxpool), cmocka_unit_test(example_9_avgpool),
        cmocka_unit_test(example_10_argmax), cmocka_unit_test(borders), cmocka_unit_test(widest_sums),
        cmocka_unit_test(wide_rows), cmocka_unit_test(sign_plane_as_bit), cmocka_unit_test(unproved_sum), cmocka_unit_test(requantize_lanes),
        cmocka_unit_test(fast_equals_definition), cmocka_unit_test(fast_equals_definition_by_width),
        cmocka_unit_test(threads), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
