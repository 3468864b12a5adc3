/* report: escaping, the files' contents, and the sample page for report_browser.sh, which is
 * written to the path in REPORT_SAMPLE when that is set. */
#define _GNU_SOURCE
#include "unit.h"

#include <jansson.h>
#include <math.h>

#include "report/report.h"
#include "report/sweep.h"

static const char hostile[] = "conv\"1'</script><script>alert(1)</script>&amp;,x";

static const struct report_row rows[] = {
    {"float", .9184, {0}, 0, 0, 1234567},
    {"uniform 8 bit", .9171, {0}, 421337, 2.8089, 61440},
    {"best uniform (w4a4)", .9036, {0}, 168221, 1.1215, 33792},
    {"searched", .9128, {0}, 165903, 1.1060, 31104},
};
static const struct report_layer layers[] = {
    {"conv1", "conv 3x3", 8, 8, 112896, 39200, 39200, 31360, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}},
    {"conv2", "conv 3x3", 5, 4, 1806336, 143000, 46200, 44100, 2304, 3612672, 4608, 4608, 1152, 2100, 20, 40, {true, .0312}, {0}},
    {"pool1", "max pool", 0, 0, 0, 3136, 3136, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}},
    {"conv3", "conv 3x3", 3, 4, 903168, 98400, 19800, 18100, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}},
    {"conv4", "conv 3x3", 4, 3, 1806336, 128400, 38200, 35200, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}},
    {hostile, "dense", 8, 6, 31360, 9201, 6967, 5000, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}},
};
static const struct report_setting versions[] = {
    {"bitpress", "0.1.0"}, {"verilator", "5.006"}, {"chart.js", "3.9.1"},
};
static const struct report_setting facts[] = {
    {"agent", "evolve"}, {"seed", "1"}, {"images compared in RTL", "20, bit for bit"},
};
static const struct report_finalist finalists[] = {
    {1, 40, 0, "searched", "model", .9, .01, 3.2, 165903, false}, {2, 40, 1, "searched", "rtl", .91, .0, 33.2, 165903, true}, {3, -1, 2, hostile, "rtl", .90, .01, 99, 165000, false},
};
enum { TRIALS = 48 };

static struct report_data sample(struct report_trial *t)
{
    struct base_rng rng;
    base_rng_seed(&rng, 5);
    int best = -1;
    for (int i = 0; i < TRIALS; i++) {
        double x = .45 + .55 * (double)base_rng_uniform(&rng);
        double gain = .012 * i / TRIALS;
        t[i] = (struct report_trial){i, .93 - .06 * (1.1 - x) - .02 * (double)base_rng_uniform(&rng) + gain,
                                     (int64_t)(172000 * x), 30000, false, i % 13 != 5, i < 6 ? "uniform" : "evolve", 0, "rtl-table", "default: {w_bits: 4}  # <&>\n"};
        if (t[i].feasible && (best < 0 || t[i].top1 > t[best].top1))
            best = i;
    }
    for (int i = 0; i < TRIALS; i++) {
        t[i].pareto = true;
        for (int k = 0; k < TRIALS; k++)
            if (k != i && t[k].top1 >= t[i].top1 && t[k].cycles <= t[i].cycles)
                t[i].pareto = false;
    }
    return (struct report_data){
        .title = "fmnist <compressed> & packed", .objective = "the most accurate network within 170,000 cycles",
        .row = rows, .n_row = 4, .baseline = 1, .best_row = 3, .trial = t, .n_trial = TRIALS, .best_trial = best, .finalist = finalists, .n_finalist = 3,
        .cycles_limit = 170000, .layer = layers, .n_layer = 6, .config = "model: a.onnx # <b>&\nsearch:\n  agent: evolve\n",
        .version = versions, .n_version = 3, .fact = facts, .n_fact = 3, .test_openings = 1, .cycles_source = "rtl",
        .board = "pynq-z2", .clock_is = "assumed", .clock_mhz = 150, .pack_file = "best.bpk",
        .pack_info = "31,104 bytes, 6 sections", .wall_s = 212,
    };
}

static char *slurp(const char *path)
{
    uint8_t *p;
    size_t n;
    assert_ok(base_file_read(&p, &n, path, 8 << 20));
    assert_int_equal(strlen((char *)p), n);
    return (char *)p;
}

static void page_escapes_and_needs_no_network(void **state)
{
    (void)state;
    struct report_trial t[TRIALS];
    struct report_data d = sample(t);
    const char *dir = unit_scratch(), *path = getenv("REPORT_SAMPLE");
    path = path ? path : unit_path(dir, "report.html");
    assert_ok(report_html(&d, path, NULL));
    char *html = slurp(path);
    assert_null(strstr(html, "<script>alert"));
    assert_null(strstr(html, "<compressed>"));
    assert_null(strstr(html, "# <b>&"));
    assert_non_null(strstr(html, "# &lt;b&gt;&amp;"));
    assert_non_null(strstr(html, "fmnist &lt;compressed&gt; &amp; packed"));
    assert_non_null(strstr(html, "conv&quot;1&#39;&lt;/script&gt;"));
    assert_non_null(strstr(html, "\\u003c/script\\u003e"));
    assert_non_null(strstr(html, "<pre class=\"recipe\">default: {w_bits: 4}  # &lt;&amp;&gt;"));
    assert_non_null(strstr(html, "<td>3.12</td>"));
    assert_non_null(strstr(html, "1: short"));
    static const char *const loads[] = {"src=\"", "src='", "href=\"http", "href='http", "@import", "url("};
    for (int i = 0; i < BASE_COUNT(loads); i++)
        assert_null(strstr(html, loads[i]));
    base_free(html);
    unit_remove(dir);
}

static void summary_has_the_promised_keys(void **state)
{
    (void)state;
    struct report_trial t[TRIALS];
    struct report_data d = sample(t);
    const char *dir = unit_scratch(), *path = unit_path(dir, "summary.json");
    assert_ok(report_json(&d, path));
    json_t *root = json_load_file(path, 0, NULL), *best = json_object_get(root, "best");
    assert_non_null(root);
    assert_true(json_real_value(json_object_get(best, "top1")) == .9128);
    assert_true(json_real_value(json_object_get(best, "latency_ms")) == 1.1060);
    assert_int_equal(json_integer_value(json_object_get(best, "size_bytes")), 31104);
    assert_int_equal(json_integer_value(json_object_get(best, "trial")), d.best_trial);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "baseline"), "cycles")), 421337);
    assert_int_equal(json_integer_value(json_object_get(root, "trials")), TRIALS);
    assert_true(json_array_size(json_object_get(root, "pareto")) >= 1);
    assert_true(json_real_value(json_object_get(root, "wall_s")) == 212);
    assert_int_equal(json_array_size(json_object_get(root, "rows")), 4);
    json_t *row = json_array_get(json_object_get(root, "rows"), 0);
    assert_true(json_is_null(json_object_get(row, "cycles")));
    assert_int_equal(json_array_size(json_object_get(root, "finalists")), 3);
    json_t *sensitive = json_array_get(json_object_get(root, "layers"), 1);
    assert_true(json_real_value(json_object_get(sensitive, "w_sensitivity")) == .0312 && json_is_null(json_object_get(sensitive, "a_sensitivity")));
    json_t *layer = json_array_get(json_object_get(root, "layers"), 5);
    assert_string_equal(json_string_value(json_object_get(layer, "name")), hostile);
    json_decref(root);
    unit_remove(dir);
}

static void table_quotes_names(void **state)
{
    (void)state;
    struct report_trial t[TRIALS];
    struct report_data d = sample(t);
    const char *dir = unit_scratch(), *path = unit_path(dir, "layers.csv");
    assert_ok(report_csv(&d, path));
    char *csv = slurp(path);
    assert_non_null(strstr(csv, "\nconv2,conv 3x3,5,4,1806336,143000,46200,44100,2304,3612672,4608,0.2500,20,40,2100\n"));
    assert_non_null(strstr(csv, "\n\"conv\"\"1'</script>"));
    base_free(csv);
    unit_remove(dir);
}

static void empty_and_broken_texts_are_fine(void **state)
{
    (void)state;
    struct report_row odd = {.name = "caf\xe9", .top1 = -1};
    struct report_data d = {.title = "bad\xff" "bytes", .row = &odd, .n_row = 1, .baseline = -1, .best_row = -1, .best_trial = -1};
    const char *dir = unit_scratch();
    assert_ok(report_html(&d, unit_path(dir, "a.html"), NULL));
    assert_ok(report_json(&d, unit_path(dir, "a.json")));
    assert_ok(report_csv(&d, unit_path(dir, "a.csv")));
    unit_remove(dir);
}

/* Two widths on two boards, one point that does not run; names and reasons may hold anything. */
static void sweep_has_every_point_and_escapes(void **state)
{
    (void)state;
    const struct report_sweep_board boards[] = {
        { .name = "small", .part = "xc7z020", .clock_is = "assumed", .m = 16, .n = 8, .k = 144, .clock_mhz = 150, .lut = 35000, .bram36 = 100, .dsp = 200, .has_lut = 53200, .has_bram36 = 140, .has_dsp = 220 },
        { .name = hostile, .part = "other", .clock_is = "assumed", .m = 16, .n = 16, .k = 144, .clock_mhz = 200 },
    };
    const struct report_sweep_point points[] = {
        { .board = 0, .keep = 1, .w_bits = 2, .a_bits = 4, .cycles = 1234567, .weight_bytes = 77, .ddr_bytes = 99, .latency_ms = 8.230447, .top1 = .875, .pareto = true },
        { .board = 0, .keep = 1, .w_bits = 3, .a_bits = 4, .weight_bytes = 78, .top1 = -1, .why = "too big: \"a,b\" <x>" },
        { .board = 1, .keep = .5, .w_bits = 2, .a_bits = 4, .cycles = 4321, .weight_bytes = 77, .ddr_bytes = 99, .latency_ms = .021605, .top1 = .875 },
    };
    const double shares[] = { 1, .5 };
    const struct report_sweep s = { .model = hostile, .data = "idx:<here>", .board = boards, .n_board = 2, .point = points, .n_point = 3, .keep = shares, .n_keep = 2, .images = 100 };
    const char *dir = unit_scratch();
    assert_ok(report_sweep_csv(&s, unit_path(dir, "sweep.csv")));
    assert_ok(report_sweep_html(&s, unit_path(dir, "sweep.html")));
    char *csv = slurp(unit_path(dir, "sweep.csv")), *html = slurp(unit_path(dir, "sweep.html"));
    assert_non_null(strstr(csv, "\nsmall,16,8,144,35000,100,200,150,assumed,2,4,1234567,model,8.230447,77,99,0.875000,1,,1\n"));
    assert_non_null(strstr(csv, "\nsmall,16,8,144,35000,100,200,150,assumed,3,4,,,,78,0,,0,\"too big: \"\"a,b\"\" <x>\",1\n"));
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "<x>"));
    assert_null(strstr(html, "<here>"));
    assert_non_null(strstr(html, ">1,234,567</td>"));
    assert_non_null(strstr(html, "predicted 35,000 of 53,200 LUT, 100 of 140 BRAM36, 200 of 220 DSP"));
    assert_non_null(strstr(html, ">87.50</td>"));
    assert_non_null(strstr(html, "Cycles per image, 0.5 of the channels"));
    assert_non_null(strstr(html, "too big: &quot;a,b&quot; &lt;x&gt;"));
    base_free(csv);
    base_free(html);
    assert_int_equal(report_sweep_csv(&s, "/proc/nowhere/sweep.csv"), BASE_IO);
    base_alloc_fail_at(2);
    assert_int_equal(report_sweep_html(&s, unit_path(dir, "none.html")), BASE_NOMEM);
    base_alloc_fail_at(0);
    assert_false(base_file_exists(unit_path(dir, "none.html")));
    unit_remove(dir);
}

static void failures_leave_nothing_behind(void **state)
{
    (void)state;
    struct report_trial t[TRIALS];
    struct report_data d = sample(t);
    const char *dir = unit_scratch(), *path = unit_path(dir, "report.html");
    assert_error(report_html(&d, path, "/nowhere/chart.js"), BASE_MISSING, "/nowhere/chart.js");
    assert_non_null(strstr(base_error_hint(), "libjs-chart.js"));
    assert_false(base_file_exists(path));
    assert_int_equal(report_html(&d, "/proc/nowhere/report.html", NULL), BASE_IO);
    base_alloc_fail_at(3);
    assert_int_equal(report_html(&d, path, NULL), BASE_NOMEM);
    base_alloc_fail_at(0);
    assert_false(base_file_exists(path));
    unit_remove(dir);
}

/* 10 images: two that only the first network gets right, one that only the second does. */
static void paired_loss_counts_what_differs(void **state)
{
    (void)state;
    const uint8_t first[10] = { 1, 1, 1, 1, 1, 1, 0, 0, 0, 0 }, second[10] = { 1, 1, 1, 1, 0, 0, 1, 0, 0, 0 };
    struct report_loss l = report_paired_loss(first, second, 10);
    assert_true(l.known);
    assert_true(fabs(l.value - .1) < 1e-12);
    assert_true(fabs(l.half - 1.959964 * sqrt(3 - .1) / 10) < 1e-12);   /* variance (2 + 1 - 1 / 10) / 100 */
    l = report_paired_loss(second, first, 10);
    assert_true(fabs(l.value + .1) < 1e-12);
    l = report_paired_loss(first, first, 10);
    assert_true(l.known && l.value == 0 && l.half == 0);
    assert_false(report_paired_loss(first, second, 0).known);
}

/* Rows of a run that left the test images closed say so. */
static void held_out_images_are_named(void **state)
{
    (void)state;
    struct report_trial t[TRIALS];
    struct report_data d = sample(t);
    const char *dir = unit_scratch(), *path = unit_path(dir, "report.html");
    struct report_row two[] = { { .name = "float", .top1 = .93 }, { .name = "recipe", .top1 = .92, .loss = { true, .01, .0025 }, .cycles = 10 } };
    d.row = two;
    d.n_row = 2;
    d.best_row = 1;
    d.baseline = -1;
    d.test_openings = 0;
    assert_ok(report_html(&d, path, NULL));
    char *html = slurp(path);
    assert_non_null(strstr(html, "the test images were not opened"));
    assert_non_null(strstr(html, "held-out accuracy"));
    assert_null(strstr(html, "test accuracy"));
    assert_non_null(strstr(html, "<td>1.00 \xc2\xb1 0.25</td>"));
    base_free(html);
    path = unit_path(dir, "summary.json");
    assert_ok(report_json(&d, path));
    json_t *root = json_load_file(path, 0, NULL), *list = json_object_get(root, "rows");
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "loss")));
    assert_true(json_real_value(json_object_get(json_array_get(list, 1), "loss")) == .01);
    assert_true(json_real_value(json_object_get(json_array_get(list, 1), "loss_half")) == .0025);
    json_decref(root);
    unit_remove(dir);
}

int main(void)
{
    base_log_level(BASE_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_escapes_and_needs_no_network),
        cmocka_unit_test(summary_has_the_promised_keys),
        cmocka_unit_test(table_quotes_names),
        cmocka_unit_test(empty_and_broken_texts_are_fine),
        cmocka_unit_test(sweep_has_every_point_and_escapes),
        cmocka_unit_test(paired_loss_counts_what_differs),
        cmocka_unit_test(held_out_images_are_named),
        cmocka_unit_test(failures_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
