/* hw: the predicted area against Yosys' counts, and how it grows. */
#define _GNU_SOURCE
#include "unit.h"

#include "hw/hw.h"
#include "area_yosys.h"

static void test_counted(void **state)
{
    (void)state;
    struct hw h;
    assert_ok(hw_load(&h, "pynq-z2"));
    for (int i = 0; i < BASE_COUNT(area_yosys); i++) {
        struct hw_area a;
        h.n = area_yosys[i].n, h.drain = area_yosys[i].drain;
        hw_area(&a, &h);
        double off = 100.0 * (a.lut - area_yosys[i].lut) / area_yosys[i].lut;
        if (off < -10 || off > 10)
            fail_msg("%d pixels, drain %d: %d LUT predicted, %d counted", h.n, h.drain, a.lut, area_yosys[i].lut);
        assert_int_equal(a.bram36, area_yosys[i].bram36);
        assert_int_equal(a.dsp, area_yosys[i].dsp);
    }
}

/* Twice the pixels: all of a lane's logic twice, nothing of the shell's. */
static void test_grows(void **state)
{
    (void)state;
    struct hw h;
    struct hw_area one, two, four;
    assert_ok(hw_load(&h, "pynq-z2"));
    hw_area(&one, &h);
    h.n *= 2, h.drain *= 2;
    hw_area(&two, &h);
    h.n *= 2, h.drain *= 2;
    hw_area(&four, &h);
    assert_true(two.lut > one.lut + 128 * 144 && two.lut < 2 * one.lut);
    assert_true(four.lut > two.lut + 256 * 144 && four.lut < 2 * two.lut);
    assert_int_equal(two.dsp - one.dsp, 128 + 64);
    h.weight_depth *= 2;
    hw_area(&two, &h);
    assert_int_equal(two.bram36 - four.bram36, 64);       /* 16 rows of 144 bits x 1024 */
}

/* The boards that come with the program hold what is made for them. */
static void test_fits(void **state)
{
    (void)state;
    const char *boards[] = { "pynq-z2", "kv260", "zcu104" };
    for (int i = 0; i < BASE_COUNT(boards); i++) {
        struct hw h;
        struct hw_area a;
        assert_ok(hw_load(&h, boards[i]));
        hw_area(&a, &h);
        assert_true(a.lut < h.lut && a.bram36 <= h.bram36 && a.dsp < h.dsp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counted), cmocka_unit_test(test_grows), cmocka_unit_test(test_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
