/* score: three backends on small networks: what they agree on, the table of measured cycles, what is missing. */
#define _GNU_SOURCE
#include "unit.h"

#include <glob.h>

#include "accel_nets.h"
#include "score/score_internal.h"

struct job { struct hw hw; struct fixed_net *net; struct accel_program *program; struct score_job score; struct score_result *out; };

static void close_job(struct job *j)
{
    accel_program_free(j->program);
    fixed_net_free(j->net);
    base_free(j->out);
}

static void open_job(struct job *j, uint64_t seed)
{
    const struct fixed_random limits = { .max_layers = 5, .max_size = 12, .max_channels = 32 };
    *j = (struct job){ 0 };
    assert_ok(hw_load(&j->hw, "pynq-z2"));
    for (;; seed += 1000) {
        j->net = fixed_random_net(seed, &limits);
        assert_non_null(j->net);
        if (!accel_compile(&j->program, j->net, &j->hw))
            break;
        fixed_net_free(j->net);
    }
    j->out = BASE_NEW(struct score_result);
    j->score = (struct score_job){ .net = j->net, .program = j->program };
}

static void run(struct job *j, const char *backend) { assert_ok(score_run(j->out, backend, &j->score)); }

static int64_t sum(const struct score_result *r)
{
    int64_t cycles = 0;
    for (int i = 0; i < r->n_layer; i++)
        cycles += r->layer[i].cycles;
    return cycles;
}

/* ---- the backends ------------------------------------------------------------------ */

static void test_model(void **state)
{
    (void)state;
    struct job j;
    open_job(&j, 1);
    run(&j, "model");
    assert_string_equal(j.out->cycles_source, "model");
    assert_string_equal(j.out->clock_is, "assumed");
    assert_int_equal(j.out->bit_exact, -1);
    assert_int_equal(j.out->cycles, j.out->model_cycles);
    assert_int_equal(j.out->n_layer, j.net->n_layer + 1);
    assert_string_equal(j.out->layer[0].kind, "input");
    assert_true(sum(j.out) > 0 && sum(j.out) < j.out->cycles);
    assert_float_equal(j.out->latency_ms, (double)j.out->cycles / 150e3, 1e-12);
    close_job(&j);
}

/* The RTL, the model and the reference agree on every network; images side by side too. */
static void test_verilator(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct job j;
        open_job(&j, seed);
        run(&j, "verilator");
        assert_string_equal(j.out->cycles_source, "rtl");
        assert_int_equal(j.out->bit_exact, 1);
        assert_int_equal(j.out->images, 1);
        assert_int_equal(j.out->cycles, j.out->model_cycles);
        assert_int_equal(j.out->n_unit, SCORE_UNITS);
        for (int u = 0; u < SCORE_UNITS; u++)
            assert_int_equal(j.out->unit[u].run + j.out->unit[u].stall + j.out->unit[u].idle, j.out->cycles - 2);
        close_job(&j);
    }
}

static void many_images(struct job *j, const char *backend, int images, int threads)
{
    uint8_t *pixels = base_alloc((size_t)images * j->program->input_bytes);
    for (size_t i = 0; i < (size_t)images * j->program->input_bytes; i++)
        pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    j->score.pixels = pixels;
    j->score.images = images;
    j->score.threads = threads;
    run(j, backend);
    assert_int_equal(j->out->images, images);
    assert_int_equal(j->out->bit_exact, 1);
    base_free(pixels);
}

static void test_images(void **state)
{
    (void)state;
    struct job j;
    open_job(&j, 7);
    for (int threads = 1; threads <= 4; threads += 3) {
        many_images(&j, "verilator", 9, threads);
        many_images(&j, "hls", 9, threads);
    }
    close_job(&j);
}

static void test_hls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct job j;
        open_job(&j, seed);
        run(&j, "hls");
        assert_string_equal(j.out->cycles_source, "hls-estimate");
        assert_int_equal(j.out->bit_exact, 1);
        assert_int_equal(j.out->cycles, sum(j.out));
        close_job(&j);
    }
}

/* A wrong reference is noticed: the same as a wrong accelerator. */
static void test_difference(void **state)
{
    (void)state;
    static const char *const backends[] = { "hls", "verilator" };
    for (int i = 0; i < BASE_COUNT(backends); i++) {
        struct job j;
        open_job(&j, 3);
        struct fixed_layer *last = &j.net->layer[j.net->n_layer - 1];
        for (int c = 0; c < last->c; c++)
            last->b[c] += (int64_t)1 << last->s;           /* behind the compiler's back */
        assert_error(score_run(j.out, backends[i], &j.score), BASE_INTERNAL, "image 0: logit 0 is ");
        assert_int_equal(j.out->bit_exact, 0);
        close_job(&j);
    }
}

/* ---- the table ----------------------------------------------------------------------- */

static void test_cache(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct job j;
    open_job(&j, 11);
    j.score.cache_dir = dir;
    run(&j, "verilator");
    assert_string_equal(j.out->cycles_source, "rtl");
    struct score_result first = *j.out;
    run(&j, "verilator");
    assert_string_equal(j.out->cycles_source, "rtl-table");
    assert_int_equal(j.out->bit_exact, 1);                 /* this program, this image: known */
    assert_int_equal(j.out->cycles, first.cycles);
    assert_int_equal(j.out->load_cycles, first.load_cycles);
    for (int i = 0; i < first.n_layer; i++)
        assert_int_equal(j.out->layer[i].cycles, first.layer[i].cycles);
    j.score.cache_dir = NULL;
    run(&j, "verilator");
    assert_string_equal(j.out->cycles_source, "rtl");
    j.score.cache_dir = dir;
    j.program->hw.read_latency += 1;                       /* another memory, another time */
    run(&j, "verilator");
    assert_string_equal(j.out->cycles_source, "rtl");
    assert_true(j.out->cycles > first.cycles);
    close_job(&j);
    unit_remove(dir);
}

/* The layers that no counter is left for are one entry, with what is left of the cycles; from the table, too. */
static void test_many_layers(void **state)
{
    (void)state;
    static const char *const backend[] = { "model", "hls", "verilator", "verilator" };
    const char *dir = unit_scratch();
    struct job j = { .net = nets_deep(1, 300), .out = BASE_NEW(struct score_result) };
    assert_ok(hw_load(&j.hw, "pynq-z2"));
    assert_ok(accel_compile(&j.program, j.net, &j.hw));
    j.score = (struct score_job){ .net = j.net, .program = j.program, .cache_dir = dir };
    for (int i = 0; i < BASE_COUNT(backend); i++) {
        run(&j, backend[i]);
        assert_int_equal(j.out->n_layer, 257);
        assert_string_equal(j.out->layer[256].name, "46 more, with the result");
        assert_string_equal(j.out->layer[256].kind, "rest");
        assert_int_equal(sum(j.out), j.out->cycles);
        assert_true(j.out->layer[256].cycles > 0 && j.out->layer[256].macs > 0);
        assert_string_equal(j.out->cycles_source, i == 0 ? "model" : i == 1 ? "hls-estimate" : i == 2 ? "rtl" : "rtl-table");
        if (i != 1)
            assert_int_equal(j.out->cycles, j.out->model_cycles);
        if (i)
            assert_int_equal(j.out->bit_exact, 1);
    }
    close_job(&j);
    unit_remove(dir);
}

/* Other weights of the same structure: known cycles, but images that nobody has compared. */
static void test_cache_weights(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct job j;
    open_job(&j, 12);
    j.score.cache_dir = dir;
    run(&j, "verilator");
    int64_t cycles = j.out->cycles;
    struct fixed_layer *l = &j.net->layer[j.net->n_layer - 1];
    for (int c = 0; c < l->c; c++)
        l->b[c] += 12345;
    accel_program_free(j.program);
    assert_ok(accel_compile(&j.program, j.net, &j.hw));
    j.score.program = j.program;
    run(&j, "verilator");
    assert_string_equal(j.out->cycles_source, "rtl-table");
    assert_int_equal(j.out->cycles, cycles);
    assert_int_equal(j.out->bit_exact, -1);
    assert_int_equal(j.out->images, 0);
    j.score.exact = true;
    run(&j, "verilator");
    assert_string_equal(j.out->cycles_source, "rtl");
    assert_int_equal(j.out->bit_exact, 1);
    close_job(&j);
    unit_remove(dir);
}

/* ---- layers of other networks ----------------------------------------------------------- */

static void set_weights(const struct fixed_net *net, struct fixed_term *t, int planes)
{
    int act = net->edge[t->edge].bits;
    int64_t n = (int64_t)t->cout * t->kh * t->kw * t->cin;
    t->n_plane = t->w_bits = planes;
    t->code = BASE_ARENA_NEW_N(net->arena, uint16_t, n);
    for (int64_t i = 0; i < n; i++)
        t->code[i] = (uint16_t)((uint64_t)i * 2654435761u >> 9 & ((1u << planes) - 1));
    t->coef_shared = true;
    t->coef = BASE_ARENA_NEW_N(net->arena, int32_t, planes * act);
    for (int p = 0; p < planes; p++)
        for (int j = 0; j < act; j++)
            t->coef[p * act + j] = (p == planes - 1 ? -1 : 1) * (1 << (p + j));
}

static void set_scales(const struct fixed_net *net, struct fixed_layer *l)
{
    l->m = BASE_ARENA_NEW_N(net->arena, int32_t, l->c);
    l->b = BASE_ARENA_NEW_N(net->arena, int64_t, l->c);
    for (int o = 0; o < l->c; o++)
        l->m[o] = 3, l->b[o] = 128;
}

/* image 9 x 11 x 3 -> convolutions 3 x 3 to 20 channels -> dense to 10; weight widths, one a digit. */
static struct fixed_net *chain(const char *widths)
{
    int n = (int)strlen(widths), last = n - 1;
    struct fixed_net *net = fixed_net_new("chain", n, n);
    net->classes = 10;
    net->logit_scale = 1;
    net->edge[0] = (struct fixed_edge){ .name = "image", .h = 9, .w = 11, .c = 3, .bits = 8, .scale = 1 };
    for (int i = 0; i < last; i++) {
        net->edge[i + 1] = (struct fixed_edge){ .name = "mid", .h = 9, .w = 11, .c = 20, .bits = 4, .scale = 1 };
        net->layer[i] = (struct fixed_layer){ .name = "conv", .out = i + 1, .h = 9, .w = 11, .c = 20, .n_term = 1, .s = 8, .hi = 15 };
        net->layer[i].term[0] = (struct fixed_term){ .edge = i, .kh = 3, .kw = 3, .stride = 1, .pad_t = 1, .pad_l = 1, .cout = 20, .cin = i ? 20 : 3 };
    }
    net->layer[last] = (struct fixed_layer){ .name = "dense", .out = -1, .h = 1, .w = 1, .c = 10, .n_term = 1, .s = 8, .lo = INT32_MIN, .hi = INT32_MAX };
    net->layer[last].term[0] = (struct fixed_term){ .edge = last, .kh = 9, .kw = 11, .stride = 1, .cout = 10, .cin = 20 };
    for (int i = 0; i < n; i++) {
        set_weights(net, &net->layer[i].term[0], widths[i] - '0');
        set_scales(net, &net->layer[i]);
    }
    return net;
}

static void score_chain(struct job *j, const char *widths, const char *cache_dir)
{
    *j = (struct job){ .net = chain(widths), .out = BASE_NEW(struct score_result) };
    assert_ok(hw_load(&j->hw, "pynq-z2"));
    assert_ok(accel_compile(&j->program, j->net, &j->hw));
    j->score = (struct score_job){ .net = j->net, .program = j->program, .cache_dir = cache_dir };
    run(j, "verilator");
}

/* Layers measured in two networks make a third that never ran: its rows add up to what the RTL then takes. */
static void compose(const char *first, const char *second, const char *third)
{
    const char *dir = unit_scratch();
    struct job a, b, c, d;
    score_chain(&a, first, dir);
    score_chain(&b, second, dir);
    score_chain(&c, third, dir);
    score_chain(&d, third, NULL);
    assert_string_equal(a.out->cycles_source, "rtl");
    assert_string_equal(b.out->cycles_source, "rtl");
    assert_string_equal(c.out->cycles_source, "rtl-table");
    assert_string_equal(d.out->cycles_source, "rtl");
    assert_int_equal(c.out->cycles, d.out->cycles);
    for (int i = 0; i < c.program->n_layer; i++)
        assert_int_equal(c.out->layer[i].cycles, d.out->layer[i].cycles);
    assert_true(a.out->cycles != c.out->cycles && b.out->cycles != c.out->cycles);
    close_job(&a);
    close_job(&b);
    close_job(&c);
    close_job(&d);
    unit_remove(dir);
}

/* Convolutions begin while the one before drains: pairs of them are what is measured. */
static void test_cache_layers(void **state)
{
    (void)state;
    compose("25", "43", "23");
    compose("44445", "44223", "44423");
    struct job a, b;
    const char *dir = unit_scratch();
    score_chain(&a, "4444", dir);
    score_chain(&b, "2444", dir);
    assert_string_equal(b.out->cycles_source, "rtl");
    assert_true(a.out->layer[2].cycles != b.out->layer[2].cycles);
    close_job(&a);
    close_job(&b);
    unit_remove(dir);
}

/* ---- keys: everything that decides a layer's time, by the model, which is the RTL's to the cycle --------- */

enum { KEY_NETS = 600, KEY_ROWS = KEY_NETS * 16 };
struct key_row { unsigned long long key; long long cycles; };

static int by_key(const void *a, const void *b)
{
    const struct key_row *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int read_rows(struct key_row *row, int n, const char *dir)
{
    glob_t found;
    char line[128];
    unsigned check;
    assert_int_equal(glob(unit_path(dir, "rtl-*.cycles"), 0, NULL, &found), 0);
    FILE *f = fopen(found.gl_pathv[0], "r");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%llx %lld %x", &row[n].key, &row[n].cycles, &check) == 3)
            assert_true(++n < KEY_ROWS);
    fclose(f);
    globfree(&found);
    return n;
}

/* Layers of different networks that have one key have one time; there are many, so the key ignores enough. */
static void test_cache_keys(void **state)
{
    (void)state;
    struct key_row *row = base_alloc(KEY_ROWS * sizeof *row);
    int rows = 0, shared = 0;
    for (uint64_t seed = 1; seed <= KEY_NETS; seed++) {
        const struct fixed_random limits = { .max_layers = 4, .max_size = 3 + (int)(seed % 3) * 4, .max_channels = 40 };
        const char *dir = unit_scratch();
        struct job j = { .net = fixed_random_net(seed, &limits), .out = BASE_NEW(struct score_result) };
        assert_ok(hw_load(&j.hw, "pynq-z2"));
        if (!accel_compile(&j.program, j.net, &j.hw)) {
            j.score = (struct score_job){ .net = j.net, .program = j.program, .cache_dir = dir };
            run(&j, "model");
            assert_ok(score_cache_put(j.out, &j.score, "abc"));
            rows = read_rows(row, rows, dir);
        }
        close_job(&j);
        unit_remove(dir);
    }
    qsort(row, (size_t)rows, sizeof *row, by_key);
    for (int i = 1; i < rows; i++)
        if (row[i].key == row[i - 1].key) {
            assert_int_equal(row[i].cycles, row[i - 1].cycles);
            shared++;
        }
    assert_true(shared > 100);
    base_free(row);
}

/* Whatever happens to the file, numbers stay right: damaged rows are measured again. */
static void test_cache_damage(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct job first, j;
    score_chain(&first, "22", dir);
    glob_t found;
    assert_int_equal(glob(unit_path(dir, "rtl-*.cycles"), 0, NULL, &found), 0);
    const char *path = found.gl_pathv[0];
    uint8_t *text;
    size_t len;
    assert_ok(base_file_read(&text, &len, path, 1 << 20));
    for (size_t cut = 0; cut < len; cut += 37) {
        assert_ok(base_file_write(path, text, cut));
        score_chain(&j, "22", dir);
        assert_int_equal(j.out->cycles, first.out->cycles);
        close_job(&j);
        text[cut] ^= 1;
        assert_ok(base_file_write(path, text, len));
        text[cut] ^= 1;
        score_chain(&j, "22", dir);
        assert_int_equal(j.out->cycles, first.out->cycles);
        close_job(&j);
    }
    base_free(text);
    globfree(&found);
    close_job(&first);
    unit_remove(dir);
}

/* ---- what is missing ---------------------------------------------------------------------- */

static void test_missing(void **state)
{
    (void)state;
    struct job j;
    open_job(&j, 2);
    const char *dir = unit_scratch(), *outside = getenv("BITPRESS_SIM");
    char *before = outside ? base_strdup(outside) : NULL;
    assert_error(score_run(j.out, "vivado", &j.score), BASE_INPUT, "there are: model verilator hls xrt opencl");
    setenv("BITPRESS_SIM", dir, 1);
    assert_error(score_run(j.out, "verilator", &j.score), BASE_MISSING, "has no simulator");
    assert_non_null(strstr(base_error_hint(), "make sim BOARD=pynq-z2"));
    const char *lib = unit_path(dir, "libbpsim.so");
    assert_ok(base_file_write(lib, "no library", 10));
    assert_error(score_run(j.out, "verilator", &j.score), BASE_MISSING, "does not load");
    unsetenv("BITPRESS_SIM");
    if (before)
        setenv("BITPRESS_SIM", before, 1);
    base_free(before);
    struct hw other = j.hw;                                /* a program for another array */
    other.hash ^= 1;
    accel_program_free(j.program);
    assert_ok(accel_compile(&j.program, j.net, &other));
    j.score.program = j.program;
    assert_error(score_run(j.out, "verilator", &j.score), BASE_MISSING, "another accelerator");
    assert_error(score_run(j.out, "hls", &j.score), BASE_MISSING, "another array");
    close_job(&j);
    unit_remove(dir);
}

static void test_memory(void **state)
{
    (void)state;
    struct job j;
    open_job(&j, 4);
    assert_survives_nomem(score_run(j.out, "hls", &j.score), (void)0);
    assert_survives_nomem(score_run(j.out, "verilator", &j.score), (void)0);
    close_job(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model), cmocka_unit_test(test_verilator), cmocka_unit_test(test_images), cmocka_unit_test(test_hls),
        cmocka_unit_test(test_difference), cmocka_unit_test(test_cache), cmocka_unit_test(test_many_layers), cmocka_unit_test(test_cache_weights), cmocka_unit_test(test_cache_layers),
        cmocka_unit_test(test_cache_keys),
        cmocka_unit_test(test_cache_damage), cmocka_unit_test(test_missing), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
