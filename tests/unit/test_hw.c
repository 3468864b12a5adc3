/* hw: the board file, its refusals, and that both generated files say the same. */
#define _GNU_SOURCE
#include "unit.h"

#include "hw/hw.h"

static const char *good =
    "name: %s\nboard: A board\npart: xc7\n"
    "array: {m: %d, n: %d, cg: %d, k: %d, drain: %d}\n"
    "depth: {act: %d, weight: 1024, coef: 1024, scale: 512, kword: 1024, layer: 128, map: 128}\n"
    "budget: {lut: 1, ff: 1, bram36: 1, dsp: 1}\n"
    "memory: {port_bits: 64, burst_beats: 16, read_latency: 40, write_latency: 20, gbytes_per_s: %g}\n"
    "clock: {mhz: 150, is: %s}\n%s";

struct made { const char *name; int m, n, cg, k, drain, act; double gbytes; const char *is, *more; };
static const struct made ok = { "b", 16, 8, 16, 144, 32, 1024, 1.0, "assumed", "" };

static int load(struct hw *out, struct made v)
{
    const char *dir = unit_scratch(), *path = unit_path(dir, "board.yaml");
    char *text = base_format(good, v.name, v.m, v.n, v.cg, v.k, v.drain, v.act, v.gbytes, v.is, v.more);
    assert_ok(base_file_write(path, text, strlen(text)));
    base_free(text);
    int rc = hw_load(out, path);
    unit_remove(dir);
    return rc;
}

static void test_load(void **state)
{
    (void)state;
    struct hw h;
    assert_ok(hw_load(&h, "pynq-z2"));
    assert_string_equal(h.name, "pynq-z2");
    assert_string_equal(h.part, "xc7z020clg400-1");
    assert_string_equal(h.clock_is, "assumed");
    assert_int_equal(h.m * h.n * h.k, 18432);
    assert_int_equal(hw_binary_macs(&h), 18432);
    assert_int_equal(h.dsp, 220);
    assert_ok(hw_load(&h, "kv260"));
    assert_int_equal(hw_binary_macs(&h), 36864);
    assert_ok(hw_load(&h, "zcu104"));
    assert_int_equal(hw_binary_macs(&h), 73728);
    char names[8][32];
    int n = hw_list(names, 8), found = 0;
    for (int i = 0; i < n; i++)
        found += strcmp(names[i], "pynq-z2") == 0;
    assert_int_equal(found, 1);
    assert_error(hw_load(&h, "nothing-such"), BASE_INPUT, "'nothing-such' is unknown");
    assert_int_equal(hw_load(&h, "/nonexistent/board.yaml") != 0, 1);
}

static void test_refuse(void **state)
{
    (void)state;
    struct hw h;
    struct made v;
    assert_ok(load(&h, ok));
    v = ok, v.n = 4; assert_error(load(&h, v), BASE_INPUT, "'array.n' is 4");
    v = ok, v.n = 24; assert_error(load(&h, v), BASE_INPUT, "power of two");
    v = ok, v.n = 32; assert_error(load(&h, v), BASE_INPUT, "at most 15 cycles");
    v = ok, v.cg = 8, v.k = 72; assert_error(load(&h, v), BASE_INPUT, "'array.cg'");
    v = ok, v.k = 128; assert_error(load(&h, v), BASE_INPUT, "9 x cg = 144");
    v = ok, v.m = 12; assert_error(load(&h, v), BASE_INPUT, "'array.m' is 12");
    v = ok, v.drain = 8; assert_error(load(&h, v), BASE_INPUT, "at most 15 cycles");
    v = ok, v.act = 1000; assert_error(load(&h, v), BASE_INPUT, "'depth.act' is 1000");
    v = ok, v.act = 0; assert_error(load(&h, v), BASE_INPUT, "'depth.act' is 0");
    v = ok, v.gbytes = 2; assert_error(load(&h, v), BASE_INPUT, "gbytes_per_s");
    v = ok, v.is = "hoped"; assert_error(load(&h, v), BASE_INPUT, "'clock.is'");
    v = ok, v.name = "a/b"; assert_error(load(&h, v), BASE_INPUT, "'name'");
    v = ok, v.more = "extra: 1\n"; assert_error(load(&h, v), BASE_INPUT, "extra");
}

static void test_hash(void **state)
{
    (void)state;
    struct hw a, b;
    assert_ok(load(&a, ok));
    struct made v = ok;
    v.name = "other", v.gbytes = 0.5, v.is = "routed";
    assert_ok(load(&b, v));
    assert_true(a.hash == b.hash);
    v.act = 2048;
    assert_ok(load(&b, v));
    assert_true(a.hash != b.hash);
}

static void read_text(char *out, size_t size, const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = 0;
    fclose(f);
}

/* The number behind `before NAME between` in the text. */
static long number(const char *text, const char *before, const char *name, const char *between)
{
    char *key = base_format("%s%s%s", before, name, between);
    const char *at = strstr(text, key);
    if (!at)
        fail_msg("'%s' is missing", key);
    at += strlen(key);
    base_free(key);
    return strtol(at, NULL, 0);
}

static void test_generated(void **state)
{
    (void)state;
    static const char *const name[] = { "M", "N", "K", "CG", "DRAIN", "ACT_DEPTH", "WEIGHT_DEPTH", "COEF_DEPTH", "SCALE_DEPTH",
                                        "KWORD_DEPTH", "LAYER_DEPTH", "MAP_DEPTH", "BURST_BEATS" };
    struct hw h;
    assert_ok(hw_load(&h, "pynq-z2"));
    const char *dir = unit_scratch();
    assert_ok(hw_write_sv(&h, unit_path(dir, "a.sv")));
    assert_ok(hw_write_c(&h, unit_path(dir, "a.h")));
    char sv[4096], c[4096];
    read_text(sv, sizeof sv, unit_path(dir, "a.sv"));
    read_text(c, sizeof c, unit_path(dir, "a.h"));
    const long want[] = { h.m, h.n, h.k, h.cg, h.drain, h.act_depth, h.weight_depth, h.coef_depth, h.scale_depth,
                          h.kword_depth, h.layer_depth, h.map_depth, h.burst_beats };
    for (int i = 0; i < BASE_COUNT(name); i++) {
        assert_int_equal(number(sv, "localparam int unsigned ", name[i], " = "), want[i]);
        assert_int_equal(number(c, "#define BITPRESS_", name[i], " "), want[i]);
    }
    char hash[16];
    snprintf(hash, sizeof hash, "%08x", (unsigned)h.hash);
    assert_non_null(strstr(strstr(sv, "HASH = 32'h"), hash));
    assert_non_null(strstr(strstr(c, "BITPRESS_HASH 0x"), hash));
    assert_non_null(strstr(sv, "package bitpress_hw_pkg;"));
    unit_remove(dir);
    assert_int_not_equal(hw_write_sv(&h, "/nonexistent/x/a.sv"), BASE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load), cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_hash), cmocka_unit_test(test_generated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
