/* hls: the C for Vitis HLS, run as software: results of random networks equal the reference, damaged
 * programs end with the code of accel_decode_check. */
#define _GNU_SOURCE
#include "unit.h"

#include "accel_nets.h"

#include "accel/accel.h"
#include "hls/bitpress.h"

struct job {
    struct hw hw;
    struct fixed_net *net;
    struct accel_program *p;
    struct hls_engine *e;
    uint64_t *input;           /* whole words */
    int32_t *want, *got;
    uint64_t window;           /* of the output: the result, and the scratch behind it */
};

/* The board that the C was generated for. */
static struct hw board(void)
{
    struct hw hw = { 0 };
    char names[16][32];
    int n = hw_list(names, 16);
    for (int i = 0; i < n; i++)
        if (!hw_load(&hw, names[i]) && (hw.hash & 0xffffffffu) == BITPRESS_HASH)
            return hw;
    fail_msg("no board has the hash of bitpress_hw.h");
    return hw;
}

static void close_job(struct job *j)
{
    base_free(j->input);
    base_free(j->want);
    base_free(j->got);
    base_free(j->e);
    accel_program_free(j->p);
    fixed_net_free(j->net);
}

/* The compiler is told of a board with fewer words: programs then stream. */
static void shrink(struct hw *hw)
{
    hw->weight_depth = 32;
    hw->coef_depth = 256;
    hw->kword_depth = 32;
    hw->scale_depth = 4;
    hw->map_depth = 8;
}

/* False: the network does not fit the board. */
static bool compile_job(struct job *j)
{
    assert_non_null(j->net);
    if (accel_compile(&j->p, j->net, &j->hw)) {
        close_job(j);
        return false;
    }
    j->e = BASE_NEW(struct hls_engine);
    j->input = base_alloc((j->p->input_bytes + 7) / 8 * 8);
    j->window = program_output_window(j->p->image, 1);
    j->want = base_alloc(j->p->output_bytes);
    j->got = base_alloc((j->window + 3) / 4 * 4);
    return true;
}

/* Takes the network. */
static bool open_job(struct job *j, struct fixed_net *net, bool small)
{
    *j = (struct job){ .hw = board(), .net = net };
    if (small)
        shrink(&j->hw);
    return compile_job(j);
}

static void make_image(struct job *j, uint64_t seed)
{
    struct base_rng rng;
    base_rng_seed(&rng, seed);
    uint8_t *pixels = (uint8_t *)j->input;
    for (size_t i = 0; i < j->p->input_bytes; i++)
        pixels[i] = seed % 3 == 0 && i % 7 == 0 ? 255 : (uint8_t)base_rng_below(&rng, 256);
}

static uint32_t load(struct job *j)
{
    return hls_load(j->e, j->p->image, j->p->image_words * 8, j->p->weights, j->p->weight_words64 * 8);
}

static uint32_t run(struct job *j, uint32_t *layer)
{
    return hls_run(j->e, layer, j->p->image, j->p->image_words * 8, j->input, j->p->input_bytes, j->got, j->window, 1);
}

static void compare(struct job *j, uint64_t seed)
{
    uint32_t layer;
    struct qref *q = qref_new(j->net, NULL);
    assert_non_null(q);
    assert_int_equal(load(j), PROGRAM_OK);
    for (uint64_t image = 0; image < 2; image++) {
        make_image(j, seed * 2 + image);
        assert_ok(qref_run(q, (const uint8_t *)j->input, 1, j->want));
        uint32_t status = run(j, &layer);
        if (status)
            fail_msg("seed %llu: status %u in layer %u", (unsigned long long)seed, status, layer);
        for (int i = 0; i < j->net->classes; i++)
            if (j->want[i] != j->got[i])
                fail_msg("seed %llu: logit %d is %d, not %d", (unsigned long long)seed, i, j->got[i], j->want[i]);
    }
    qref_free(q);
}

static void test_random(void **state)
{
    (void)state;
    int nets = getenv("HLS_NETS") ? atoi(getenv("HLS_NETS")) : 60, fit = 0;
    for (int i = 0; i < nets; i++) {
        struct fixed_random limits = { .max_layers = 3 + i % 6, .max_size = 6 + i % 15, .max_channels = 16 + i % 4 * 16 };
        struct job j;
        if (!open_job(&j, fixed_random_net((uint64_t)i + 1, &limits), i % 4 == 3))
            continue;
        compare(&j, (uint64_t)i + 1);
        close_job(&j);
        fit++;
    }
    assert_true(fit > nets / 2);
}

/* The networks of the compiler's own test: every trick of it. */
static void test_tricks(void **state)
{
    (void)state;
    int nets = getenv("HLS_NETS") ? atoi(getenv("HLS_NETS")) : 60, fit = 0, streams = 0;
    for (int i = 0; i < nets; i++) {
        struct job j;
        if (!open_job(&j, nets_random((uint64_t)i, i % 10 ? 11 : 20, i % 8 ? 20 : 70), i % 2))
            continue;
        streams += j.p->stream_words > 0;
        compare(&j, (uint64_t)i);
        close_job(&j);
        fit++;
    }
    assert_true(fit > nets / 2 && streams > nets / 8);
}

/* So few words of maps that most networks use the scratch. */
static void test_tiles(void **state)
{
    (void)state;
    int nets = getenv("HLS_NETS") ? atoi(getenv("HLS_NETS")) : 60, fit = 0, tiled = 0;
    for (int i = 0; i < nets; i++) {
        struct job j = { .hw = board(), .net = nets_random((uint64_t)i, i % 10 ? 24 : 40, i % 8 ? 40 : 70) };
        j.hw.act_depth = 64 << i % 3;
        if (!compile_job(&j))
            continue;
        tiled += j.p->scratch_bytes > 0;
        compare(&j, (uint64_t)i);
        close_job(&j);
        fit++;
    }
    assert_true(fit > nets / 2 && tiled > nets / 4);
}

/* More layers than a device times. */
static void test_deep(void **state)
{
    (void)state;
    struct job j;
    assert_true(open_job(&j, nets_deep(1, 300), false));
    compare(&j, 1);
    close_job(&j);
}

/* ---- the kernel -------------------------------------------------------------------- */

static void small_job(struct job *j, bool stream)
{
    const struct fixed_random limits = { .max_layers = 5, .max_size = 10, .max_channels = 24 };
    for (uint64_t seed = 3;; seed++) {
        assert_true(seed < 40);
        if (!open_job(j, fixed_random_net(seed, &limits), stream))
            continue;
        if (!stream || j->p->stream_words > 0)
            break;
        close_job(j);
    }
    j->hw = board();
    make_image(j, 5);
}

static uint32_t start_images(struct job *j, uint32_t mode, uint64_t program_size, uint64_t weight_size, uint64_t input_size, uint64_t output_size, uint32_t images)
{
    uint32_t status = 99, layer = 99, id[HLS_IDENTITY];
    bp_kernel(mode, j->p->image, program_size, j->p->weights, weight_size, j->input, input_size, j->got, output_size, images, &status, &layer, id);
    assert_int_equal(id[0], REG_ID_MAGIC_VALUE);
    assert_int_equal(id[2], j->hw.k << 16 | j->hw.n << 8 | j->hw.m);
    assert_int_equal(id[3], j->hw.act_depth);
    assert_int_equal(id[10], j->hw.hash & 0xffffffffu);
    assert_int_equal(layer, 0);
    return status;
}

static uint32_t start(struct job *j, uint32_t mode, uint64_t program_size, uint64_t weight_size, uint64_t input_size, uint64_t output_size)
{
    return start_images(j, mode, program_size, weight_size, input_size, output_size, 1);
}

static void test_kernel(void **state)
{
    (void)state;
    struct job j;
    small_job(&j, false);
    uint64_t ps = j.p->image_words * 8, ws = j.p->weight_words64 * 8, is = j.p->input_bytes, os = j.window;
    assert_int_equal(start(&j, 0, ps, ws, is, os), PROGRAM_ERR_NOT_LOADED);
    assert_int_equal(start(&j, 1, 63, ws, is, os), PROGRAM_ERR_SIZE);
    assert_int_equal(start(&j, 1, ps - 1, ws, is, os), PROGRAM_ERR_SIZE);
    assert_int_equal(start(&j, 1, ps, ws - 1, is, os), PROGRAM_ERR_SIZE);
    assert_int_equal(start(&j, 0, ps, ws, is, os), PROGRAM_ERR_NOT_LOADED);
    assert_int_equal(start(&j, 1, ps, ws, is, os), PROGRAM_OK);
    assert_int_equal(start(&j, 0, ps, ws, is - 1, os), PROGRAM_ERR_IO);
    assert_int_equal(start(&j, 0, ps, ws, is, os - 1), PROGRAM_ERR_IO);
    assert_int_equal(start_images(&j, 0, ps, ws, is, os, 2), PROGRAM_ERR_IO);
    assert_int_equal(start(&j, 0, ps, ws, is, os), PROGRAM_OK);
    struct qref *q = qref_new(j.net, NULL);
    assert_ok(qref_run(q, (const uint8_t *)j.input, 1, j.want));
    assert_memory_equal(j.got, j.want, os);
    qref_free(q);
    close_job(&j);
}

/* ---- several images in one start ------------------------------------------------------- */

enum { BATCH = 3, UNTOUCHED = 0x5a };

struct batch {
    uint64_t image, result;    /* strides */
    uint64_t input_size, output_size;
    uint64_t *input;           /* as long as the window, so that a sanitizer sees a step beyond it */
    int32_t *got;
    uint8_t *want;             /* [BATCH][result bytes]: of each image alone */
};

static struct batch open_batch(struct job *j, uint64_t seed)
{
    const uint64_t *image = j->p->image;
    struct batch b = { .image = program_image_stride(image), .result = program_result_stride(image), .output_size = program_output_window(image, BATCH) };
    struct base_rng rng;
    uint32_t layer;
    b.input_size = (BATCH - 1) * b.image + j->p->input_bytes;
    b.input = base_alloc(BATCH * b.image);
    b.got = base_alloc(b.output_size);
    b.want = base_alloc(BATCH * j->p->output_bytes);
    base_rng_seed(&rng, seed);
    for (uint64_t i = 0; i < b.input_size; i++)
        ((uint8_t *)b.input)[i] = (uint8_t)base_rng_below(&rng, 256);
    for (uint64_t i = 0; i < BATCH; i++) {
        memcpy(j->input, (uint8_t *)b.input + i * b.image, j->p->input_bytes);
        assert_int_equal(run(j, &layer), PROGRAM_OK);
        memcpy(b.want + i * j->p->output_bytes, j->got, j->p->output_bytes);
    }
    return b;
}

static void close_batch(struct batch *b)
{
    base_free(b->input);
    base_free(b->got);
    base_free(b->want);
}

/* The first `good` results are those of the images alone, the others are not written. */
static void expect_batch(struct job *j, struct batch *b, uint64_t input_size, uint64_t output_size, uint32_t images, uint32_t status, uint32_t good)
{
    uint32_t layer = 99;
    memset(b->got, UNTOUCHED, b->output_size);
    assert_int_equal(hls_run(j->e, &layer, j->p->image, j->p->image_words * 8, b->input, input_size, b->got, output_size, images), status);
    assert_int_equal(layer, 0);
    for (uint32_t i = 0; i < BATCH; i++) {
        const uint8_t *result = (uint8_t *)b->got + i * b->result;
        if (i < good)
            assert_memory_equal(result, b->want + i * j->p->output_bytes, j->p->output_bytes);
        for (size_t k = 0; i >= good && k < j->p->output_bytes; k++)
            assert_int_equal(result[k], UNTOUCHED);
    }
}

static void check_batch(struct job *j, uint64_t seed)
{
    assert_int_equal(load(j), PROGRAM_OK);
    struct batch b = open_batch(j, seed);
    const bool tiled = j->p->scratch_bytes > 0;
    expect_batch(j, &b, b.input_size, b.output_size, BATCH, PROGRAM_OK, BATCH);
    expect_batch(j, &b, b.input_size, b.output_size, 0, PROGRAM_OK, 1);
    expect_batch(j, &b, b.input_size - 1, b.output_size, BATCH, PROGRAM_ERR_IO, BATCH - 1);
    expect_batch(j, &b, b.image, b.output_size, BATCH, PROGRAM_ERR_IO, 1);
    expect_batch(j, &b, b.input_size, b.output_size - 1, BATCH, PROGRAM_ERR_IO, tiled ? 0 : BATCH - 1);
    close_batch(&b);
}

/* Networks whose tables fit, whose tables stream, whose maps use the scratch. */
static void test_batches(void **state)
{
    (void)state;
    int fit = 0, streams = 0, tiled = 0, padded = 0;
    for (int i = 0; i < 60; i++) {
        struct job j = { .hw = board(), .net = nets_random((uint64_t)i, i % 3 == 2 ? 24 : 11, i % 3 == 2 ? 40 : 20) };
        if (i % 3 == 1)
            shrink(&j.hw);
        if (i % 3 == 2)
            j.hw.act_depth = 64;
        if (!compile_job(&j))
            continue;
        streams += j.p->stream_words > 0;
        tiled += j.p->scratch_bytes > 0;
        padded += j.p->input_bytes % 8 && j.p->output_bytes % 8;
        check_batch(&j, (uint64_t)i);
        close_job(&j);
        fit++;
    }
    assert_true(fit > 30 && streams > 2 && tiled > 2 && padded > 0);
}

/* With scratch the results are one page: an image more has no place there, though its window goes on. */
static void test_page_of_results(void **state)
{
    (void)state;
    struct job j = { .hw = board() };
    for (uint64_t seed = 0;; seed++) {
        assert_true(seed < 60);
        j = (struct job){ .hw = board(), .net = nets_random(seed, 24, 40) };
        j.hw.act_depth = 64;
        if (!compile_job(&j))
            continue;
        if (j.p->scratch_bytes > 0)
            break;
        close_job(&j);
    }
    uint32_t most = program_most_images(j.p->image), layer;
    uint64_t image = program_image_stride(j.p->image), size = (most + 1) * image;
    uint64_t *input = base_alloc(size);
    assert_int_equal(load(&j), PROGRAM_OK);
    assert_int_equal(run(&j, &layer), PROGRAM_OK);
    memcpy(j.want, j.got, j.p->output_bytes);
    memset(j.got, UNTOUCHED, PROGRAM_PAGE);
    assert_int_equal(hls_run(j.e, &layer, j.p->image, j.p->image_words * 8, input, size, j.got, j.window, most), PROGRAM_OK);
    assert_memory_equal((uint8_t *)j.got + (most - 1) * program_result_stride(j.p->image), j.want, j.p->output_bytes);
    assert_int_equal(hls_run(j.e, &layer, j.p->image, j.p->image_words * 8, input, size, j.got, j.window, most + 1), PROGRAM_ERR_IO);
    base_free(input);
    close_job(&j);
}

/* ---- damaged programs -------------------------------------------------------------- */

/* The image is copied to its exact size, so that a sanitizer sees a step beyond it. */
static uint32_t status_of(struct job *j, const uint64_t *image, size_t words)
{
    uint64_t *copy = malloc(words * 8 + 1);
    uint32_t layer = 0;
    memcpy(copy, image, words * 8);
    uint32_t status = hls_load(j->e, copy, words * 8, j->p->weights, j->p->weight_words64 * 8);
    status = status ? status : hls_run(j->e, &layer, copy, words * 8, j->input, j->p->input_bytes, j->got, j->window, 1);
    free(copy);
    return status;
}

/* What the check says, but for windows that it does not know: those of this job. */
static uint32_t expected(const struct job *j, const uint64_t *image, size_t words)
{
    int code = accel_decode_check(&j->hw, image, words);
    if (code == PROGRAM_ERR_MAGIC || code == PROGRAM_ERR_ARRAY || code == PROGRAM_ERR_SIZE)
        return (uint32_t)code;
    if (image[3] >> 32 > (uint64_t)j->p->weight_words)
        return PROGRAM_ERR_SIZE;
    if ((image[4] & 0xffffffffu) > j->p->input_bytes || program_output_window(image, 1) > j->window)
        return PROGRAM_ERR_IO;
    return (uint32_t)code;
}

static void damage(struct base_rng *rng, uint64_t *image, size_t words, size_t near)
{
    for (uint32_t n = 1 + base_rng_below(rng, 3); n--;)
        image[base_rng_below(rng, (uint32_t)(base_rng_below(rng, 4) ? near : words))] ^= 1ull << base_rng_below(rng, 64);
}

/* A streamed program's blocks. What is wrong with time the check calls so; the C has no time. */
static void test_damaged_stream(void **state)
{
    (void)state;
    struct job j;
    struct base_rng rng;
    small_job(&j, true);
    base_rng_seed(&rng, 13);
    size_t words = j.p->image_words;
    uint64_t *image = base_alloc(words * 8);
    int good = 0, same = 0, count = 3000;
    for (int i = 0; i < count; i++) {
        memcpy(image, j.p->image, words * 8);
        damage(&rng, image, words, words);
        uint32_t want = expected(&j, image, words), got = status_of(&j, image, words);
        if (got != want && want != PROGRAM_ERR_STREAM)
            fail_msg("damage %d: status %u, the check says %u", i, got, want);
        good += want == PROGRAM_OK;
        same += want == PROGRAM_ERR_STREAM && got == want;
    }
    assert_in_range(good, 1, count - 1);
    assert_true(same > 0);
    base_free(image);
    close_job(&j);
}

static void test_damaged(void **state)
{
    (void)state;
    struct job j;
    struct base_rng rng;
    small_job(&j, false);
    base_rng_seed(&rng, 11);
    size_t words = j.p->image_words, tables = 8 + 2 * (size_t)(j.p->image[2] >> 16 & 0xffff) + 4 * (size_t)j.p->n_layer + 2 * (size_t)j.p->kwords;
    uint64_t *image = base_alloc(words * 8);
    int seen[PROGRAM_ERR_STREAM + 1] = { 0 };
    for (int i = 0; i < 3000; i++) {
        memcpy(image, j.p->image, words * 8);
        damage(&rng, image, words, tables);
        uint32_t want = expected(&j, image, words), got = status_of(&j, image, words);
        if (got != want)
            fail_msg("damage %d: status %u, the check says %u", i, got, want);
        seen[got]++;
    }
    for (int code = PROGRAM_OK; code <= PROGRAM_ERR_IO; code++)
        if (!seen[code])
            fail_msg("no damage led to code %d", code);
    for (size_t n = 0; n < words; n++) {
        assert_int_equal(status_of(&j, j.p->image, n), PROGRAM_ERR_SIZE);
        assert_int_equal(expected(&j, j.p->image, n), PROGRAM_ERR_SIZE);
    }
    base_free(image);
    close_job(&j);
}

/* Random records behind a good header: only codes, never a step outside. */
static void test_noise(void **state)
{
    (void)state;
    struct job j;
    struct base_rng rng;
    small_job(&j, false);
    base_rng_seed(&rng, 12);
    size_t words = j.p->image_words;
    uint64_t *image = base_alloc(words * 8);
    for (int i = 0; i < 500; i++) {
        memcpy(image, j.p->image, words * 8);
        for (size_t w = PROGRAM_HEADER_WORDS; w < words; w++)
            if (base_rng_below(&rng, 16) < (uint32_t)(i % 16) + 1)
                image[w] = base_rng_u64(&rng) & base_rng_u64(&rng) & base_rng_u64(&rng);
        assert_int_equal(status_of(&j, image, words), expected(&j, image, words));
    }
    base_free(image);
    close_job(&j);
}

/* Results are one: a program that writes them twice, or never, is refused. */
static void test_results(void **state)
{
    (void)state;
    struct job j;
    small_job(&j, false);
    uint64_t *image = base_alloc(j.p->image_words * 8);
    memcpy(image, j.p->image, j.p->image_words * 8);
    uint64_t *layer = image + 8 + 2 * (image[2] >> 16 & 0xffff);
    int n = j.p->n_layer;
    memcpy(layer + 4 * (n - 2), layer + 4 * (n - 1), 32);
    assert_int_equal(status_of(&j, image, j.p->image_words), PROGRAM_ERR_IO);
    assert_int_equal(accel_decode_check(&j.hw, image, j.p->image_words), PROGRAM_ERR_IO);
    memcpy(image, j.p->image, j.p->image_words * 8);
    memcpy(layer + 4 * (n - 1), layer + 4 * (n - 2), 32);
    assert_int_equal(status_of(&j, image, j.p->image_words), PROGRAM_ERR_IO);
    assert_int_equal(accel_decode_check(&j.hw, image, j.p->image_words), PROGRAM_ERR_IO);
    base_free(image);
    close_job(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_tricks), cmocka_unit_test(test_tiles), cmocka_unit_test(test_deep), cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_batches), cmocka_unit_test(test_page_of_results),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_damaged_stream), cmocka_unit_test(test_noise), cmocka_unit_test(test_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
