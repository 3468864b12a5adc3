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

/* One image through qref and through the interpreted program. */
static void compare(const struct fixed_net *net, uint64_t seed)
{
    struct hw hw = deep_board();
    struct accel_program *p;
    if (accel_compile(&p, net, &hw))
        fail_msg("seed %llu: %s", (unsigned long long)seed, base_error());
    uint8_t *pixels = base_alloc(p->input_bytes);
    int32_t *want = base_alloc(p->output_bytes), *got = base_alloc(p->output_bytes);
    fill_pixels(pixels, p->input_bytes, seed);
    struct qref *q = qref_new(net, NULL);
    assert_non_null(q);
    assert_ok(qref_run(q, pixels, 1, want));
    struct interp in;
    interp_open(&in, &hw, p->image, p->weights);
    interp_run(&in, pixels, got);
    interp_close(&in);
    for (int i = 0; i < net->classes; i++)
        if (want[i] != got[i])
            fail_msg("seed %llu: logit %d is %d, not %d", (unsigned long long)seed, i, got[i], want[i]);
    assert_int_equal(accel_decode_check(&hw, p->image, p->image_words), PROGRAM_OK);
    qref_free(q);
    base_free(pixels);
    base_free(want);
    base_free(got);
    accel_program_free(p);
}

static void test_random(void **state)
{
    (void)state;
    int nets = getenv("ACCEL_NETS") ? atoi(getenv("ACCEL_NETS")) : 300;
    for (int seed = 0; seed < nets; seed++) {
        struct fixed_net *net = nets_random((uint64_t)seed, seed % 10 ? 11 : 20, seed % 8 ? 20 : 70);
        assert_ok(fixed_check(net));
        compare(net, (uint64_t)seed);
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
        compare(net, seed);
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
            compare(g.net, seed);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_fixed_random),
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_flat_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
