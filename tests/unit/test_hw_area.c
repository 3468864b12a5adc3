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

/* Every shape fits, none has less of both memories than another of its width; the boards' own ones are within one of theirs. */
static void test_shapes(void **state)
{
    (void)state;
    const struct { const char *board; int n; } boards[] = { { "pynq-z2", 1 }, { "kv260", 4 }, { "zcu104", 5 } };
    for (int b = 0; b < BASE_COUNT(boards); b++) {
        struct hw own, s[HW_MAX_SHAPES], back;
        int n, within = 0;
        assert_ok(hw_load(&own, boards[b].board));
        assert_ok(hw_shapes(s, &n, &own));
        assert_int_equal(n, boards[b].n);
        for (int i = 0; i < n; i++) {
            assert_true(hw_fits(&s[i]));
            within += s[i].n >= own.n && s[i].act_depth >= own.act_depth && s[i].weight_depth >= own.weight_depth;
            for (int j = 0; j < n; j++)
                assert_true(i == j || s[j].n != s[i].n || s[j].act_depth < s[i].act_depth || s[j].weight_depth < s[i].weight_depth);
            const char *dir = unit_scratch(), *path = unit_path(dir, "board.yaml");
            assert_ok(hw_write_yaml(&s[i], path));
            assert_ok(hw_load(&back, path));
            assert_memory_equal(&back, &s[i], sizeof back);
            unit_remove(dir);
        }
        assert_true(within > 0);
    }
}

static void test_no_shape(void **state)
{
    (void)state;
    struct hw h, s[HW_MAX_SHAPES];
    int n;
    assert_ok(hw_load(&h, "pynq-z2"));
    h.dsp = 195;
    assert_error(hw_shapes(s, &n, &h), BASE_INPUT, "no array fits board 'pynq-z2': the least, 16 x 8 x 144, takes 38868 LUT, 78 BRAM36, 196 DSP");
    h.dsp = 196, h.bram36 = 86;                /* 78 for the least, 86 for twice the maps, 110 for twice the weights */
    assert_ok(hw_shapes(s, &n, &h));
    assert_int_equal(n, 1);
    assert_string_equal(s[0].name, "pynq-z2.n8.a1024.w512");
    snprintf(h.name, sizeof h.name, "a-name-of-many-characters");
    assert_error(hw_shapes(s, &n, &h), BASE_INPUT, "leaves room");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counted), cmocka_unit_test(test_grows), cmocka_unit_test(test_fits), cmocka_unit_test(test_shapes), cmocka_unit_test(test_no_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
