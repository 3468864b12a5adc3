/* accel: programs mean what the reference computes. */
#define _GNU_SOURCE
#include "accel_interp.h"
#include "accel_nets.h"

enum { BOARD_DEPTH = 16384 };

/* Deep tables: functional tests must not stop at the depths of a board. */
static struct hw deep_board(void)
{
    struct hw hw;
    assert_ok(hw_load(&hw, "pynq-z2"));
    hw.act_depth = 4096;
    hw.weight_depth = hw.coef_depth = hw.scale_depth = hw.kword_depth = BOARD_DEPTH;
    hw.map_depth = hw.layer_depth = 256;
    return hw;
}

static void fill_pixels(uint8_t *pixels, size_t n, uint64_t seed)
{
    struct base_rng rng;
    base_rng_seed(&rng, seed ^ 0x5a5a);
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)base_rng_below(&rng, 256);
}

/* Two images through qref and the interpreted program, with blocks as late and as early as they may come. False: the
 * network does not fit. */
static bool compare(const struct fixed_net *net, uint64_t seed, const struct hw *hw, bool *streams)
{
    struct accel_program *p;
    if (accel_compile(&p, net, hw))
        return false;
    uint8_t *pixels = base_alloc(p->input_bytes);
    int32_t *want = base_alloc(p->output_bytes), *got = base_alloc(p->output_bytes);
    struct qref *q = qref_new(net, NULL);
    assert_non_null(q);
    struct interp in;
    *streams = p->stream_words > 0;
    interp_open(&in, hw, p->image, p->weights);
    for (uint64_t image = 0; image <= *streams; image++) {
        fill_pixels(pixels, p->input_bytes, seed + image);
        assert_ok(qref_run(q, pixels, 1, want));
        interp_run(&in, pixels, got, image);
        for (int i = 0; i < net->classes; i++)
            if (want[i] != got[i])
                fail_msg("seed %llu: logit %d is %d, not %d", (unsigned long long)seed, i, got[i], want[i]);
    }
    interp_close(&in);
    assert_int_equal(accel_decode_check(hw, p->image, p->image_words), PROGRAM_OK);
    qref_free(q);
    base_free(pixels);
    base_free(want);
    base_free(got);
    accel_program_free(p);
    return true;
}

static void compare_deep(const struct fixed_net *net, uint64_t seed)
{
    struct hw hw = deep_board();
    bool streams;
    if (!compare(net, seed, &hw, &streams))
        fail_msg("seed %llu: %s", (unsigned long long)seed, base_error());
    assert_false(streams);
}

static void test_random(void **state)
{
    (void)state;
    int nets = getenv("ACCEL_NETS") ? atoi(getenv("ACCEL_NETS")) : 300;
    for (int seed = 0; seed < nets; seed++) {
        struct fixed_net *net = nets_random((uint64_t)seed, seed % 10 ? 11 : 20, seed % 8 ? 20 : 70);
        assert_ok(fixed_check(net));
        compare_deep(net, (uint64_t)seed);
        fixed_net_free(net);
    }
}

static void test_fixed_random(void **state)
{
    (void)state;
    const struct fixed_random limits = { .max_layers = 6, .max_size = 12, .max_channels = 36 };
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct fixed_net *net = fixed_random_net(seed, &limits);
        assert_non_null(net);
        compare_deep(net, seed);
        fixed_net_free(net);
    }
}

/* Dense layers alone read the image: its bytes lie 16 to a pixel, and the weights with them. */
static void test_flat(void **state)
{
    (void)state;
    static const int sides[][3] = { { 28, 28, 1 }, { 1, 784, 1 }, { 1, 640, 1 }, { 1, 97, 1 }, { 8, 9, 3 }, { 1, 1, 1 }, { 6, 4, 16 }, { 1, 1000, 1 }, { 5, 3, 2 } };
    for (int i = 0; i < BASE_COUNT(sides); i++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            struct nets g = { .net = fixed_net_new("flat", NETS_MAX_EDGE, NETS_MAX_EDGE) };
            base_rng_seed(&g.rng, seed);
            g.net->n_edge = g.net->n_layer = 0;
            g.net->classes = 21;
            g.net->logit_scale = 1;
            nets_edge(&g, sides[i][0], sides[i][1], sides[i][2], 8, false);
            nets_dense(&g, 0, 21);
            compare_deep(g.net, seed);
            fixed_net_free(g.net);
        }
}

/* 784 pixels in 9 windows of 3 x 3 x 16 rather than 100 of 3 x 3: what makes a perceptron fit. */
static void test_flat_size(void **state)
{
    (void)state;
    struct hw hw = deep_board();
    for (int c = 1; c <= 16; c *= 16) {
        struct nets g = { .net = fixed_net_new("flat", NETS_MAX_EDGE, NETS_MAX_EDGE) };
        struct accel_program *p;
        base_rng_seed(&g.rng, 1);
        g.net->n_edge = g.net->n_layer = 0;
        g.net->classes = 16;
        g.net->logit_scale = 1;
        nets_edge(&g, c == 1 ? 28 : 7, c == 1 ? 28 : 7, c, 8, false);
        nets_dense(&g, 0, 16);
        assert_ok(accel_compile(&p, g.net, &hw));
        assert_int_equal(p->kwords, 9);
        assert_int_equal(p->input_bytes, 784);
        accel_program_free(p);
        fixed_net_free(g.net);
    }
}

/* Tables so small that most networks stream, each of them now and then; and little room for maps. */
static void test_streams(void **state)
{
    (void)state;
    int nets = getenv("ACCEL_NETS") ? atoi(getenv("ACCEL_NETS")) : 300, fit = 0, streamed = 0;
    for (int seed = 0; seed < nets; seed++) {
        struct hw hw = deep_board();
        struct base_rng rng;
        bool streams;
        base_rng_seed(&rng, (uint64_t)seed + 77);
        if (base_rng_below(&rng, 4))
            hw.weight_depth = 16 << base_rng_below(&rng, 3);
        if (base_rng_below(&rng, 4))
            hw.coef_depth = 64 << base_rng_below(&rng, 3);
        if (base_rng_below(&rng, 4))
            hw.kword_depth = 8 << base_rng_below(&rng, 3);
        if (base_rng_below(&rng, 2))
            hw.scale_depth = 2 << base_rng_below(&rng, 2);
        if (base_rng_below(&rng, 2))
            hw.map_depth = 4 << base_rng_below(&rng, 2);
        if (base_rng_below(&rng, 2))
            hw.layer_depth = 4;
        if (seed % 4 == 1)
            hw.act_depth = 24 << base_rng_below(&rng, 3);
        struct fixed_net *net = nets_random((uint64_t)seed, 9, seed % 4 ? 40 : 70);
        if (compare(net, (uint64_t)seed, &hw, &streams)) {
            fit++;
            streamed += streams;
        }
        fixed_net_free(net);
    }
    assert_true(fit > nets / 2 && streamed > nets / 3);
}

/* Blocks whose codes need fewer bits than the layer has: what their planes have in common is listed once. */
static void test_narrow_blocks(void **state)
{
    (void)state;
    int merged = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct hw hw = deep_board();
        struct fixed_net *net = nets_random(seed + 500, 5, 40);
        struct accel_program *p;
        for (int l = 0; l < net->n_layer; l++)
            for (int k = 0; k < net->layer[l].n_term && net->layer[l].kind == FIXED_MAC; k++) {
                struct fixed_term *t = &net->layer[l].term[k];
                int64_t row = (int64_t)t->kh * t->kw * t->cin;
                for (int64_t i = 0; i < t->cout * row && t->n_plane > 2; i++) {
                    int keep = 1 + (int)((i / row / 16 + i % t->cin / 16) % t->n_plane), top = t->code[i] >> (keep - 1) & 1;
                    t->code[i] = (uint16_t)((t->code[i] & ((1 << keep) - 1)) | (top ? (1 << t->n_plane) - (1 << keep) : 0));
                }
            }
        if (fixed_check(net) == BASE_OK && accel_compile(&p, net, &hw) == BASE_OK) {
            for (int l = 0; l < p->n_layer; l++)
                merged += p->layer[l].listed_planes < p->layer[l].dense_planes;
            accel_program_free(p);
            compare_deep(net, seed);
        }
        fixed_net_free(net);
    }
    assert_true(merged > 60);
}

/* So few words that maps of most networks live in the scratch, down to tiles of a block. */
static void test_tiles(void **state)
{
    (void)state;
    int nets = getenv("ACCEL_NETS") ? atoi(getenv("ACCEL_NETS")) : 300, fit = 0, tiled = 0;
    for (int seed = 0; seed < nets; seed++) {
        struct hw hw = deep_board();
        struct base_rng rng;
        bool streams;
        base_rng_seed(&rng, (uint64_t)seed + 78);
        hw.act_depth = 32 << base_rng_below(&rng, 4) >> (seed % 4 == 3 ? 2 : 0);    /* or less than a window takes */
        if (base_rng_below(&rng, 3) == 0)
            hw.weight_depth = 32 << base_rng_below(&rng, 3);
        if (base_rng_below(&rng, 4) == 0)
            hw.kword_depth = 16 << base_rng_below(&rng, 3);
        if (base_rng_below(&rng, 4) == 0)
            hw.scale_depth = 4;
        hw.layer_depth = 16 << base_rng_below(&rng, 4);
        struct fixed_net *net = nets_random((uint64_t)seed, seed % 4 ? 24 : 50, seed % 8 ? 40 : 70);
        if (compare(net, (uint64_t)seed, &hw, &streams)) {
            fit++;
            tiled += streams;
        }
        fixed_net_free(net);
    }
    assert_true(fit > nets / 2 && tiled > nets / 3);
}

/* More layers than a device times. */
static void test_deep(void **state)
{
    (void)state;
    for (int depth = 128; depth <= 512; depth *= 4)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct hw hw = deep_board();
            struct fixed_net *net = nets_deep(seed, 300);
            bool streams;
            hw.layer_depth = hw.map_depth = depth;
            assert_ok(fixed_check(net));
            if (!compare(net, seed, &hw, &streams))
                fail_msg("seed %d: %s", (int)seed, base_error());
            assert_true(streams);                          /* a K-word names one of 256 maps */
            fixed_net_free(net);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_fixed_random),
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_flat_size),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_narrow_blocks),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
