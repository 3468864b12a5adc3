/* shell_tb BOARD SEED: everything around a good run: identity, start/done/interrupt, every error
 * of load and run, windows, bus faults, cycle limit, abort, recovery after each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "sim/bpsim.h"

static int fails;

static void expect(const char *what, int64_t got, int64_t want)
{
    if (got == want)
        return;
    printf("%s: got %" PRId64 ", want %" PRId64 "\n", what, got, want);
    fails++;
}

struct bench {
    struct hw hw;
    struct fixed_net *net;
    struct accel_program *p;
    struct bpsim *sim;
    uint8_t *pixels;
    int32_t *got, *want;
};

static int load(struct bench *b, const uint64_t *image)
{
    return bpsim_load(b->sim, image, b->p->image_words, b->p->weights, b->p->weight_words64, NULL);
}

static int run(struct bench *b)
{
    return bpsim_run(b->sim, b->pixels, b->p->input_bytes, b->got, b->p->output_bytes, NULL);
}

static void expect_good(struct bench *b, const char *after)
{
    expect(after, load(b, b->p->image), PROGRAM_OK);
    memset(b->got, 0x55, b->p->output_bytes);
    expect(after, run(b), PROGRAM_OK);
    expect(after, memcmp(b->got, b->want, b->p->output_bytes), 0);
}

static void test_identity(struct bench *b)
{
    struct bpsim *s = b->sim;
    const struct hw *h = &b->hw;
    expect("magic", bpsim_peek(s, REG_ID_MAGIC), REG_ID_MAGIC_VALUE);
    expect("version", bpsim_peek(s, REG_ID_VERSION), PROGRAM_MAJOR << 16 | PROGRAM_MINOR);
    expect("array", bpsim_peek(s, REG_ID_ARRAY), h->k << 16 | h->n << 8 | h->m);
    expect("act", bpsim_peek(s, REG_ID_ACT), h->act_depth);
    expect("weight", bpsim_peek(s, REG_ID_WEIGHT), h->weight_depth);
    expect("coef", bpsim_peek(s, REG_ID_COEF), h->coef_depth);
    expect("scale", bpsim_peek(s, REG_ID_SCALE), h->scale_depth);
    expect("kword", bpsim_peek(s, REG_ID_KWORD), h->kword_depth);
    expect("layer", bpsim_peek(s, REG_ID_LAYER), h->layer_depth);
    expect("map", bpsim_peek(s, REG_ID_MAP), h->map_depth);
    expect("hash", bpsim_peek(s, REG_ID_HASH), (int64_t)(h->hash & 0xffffffffu));
    expect("unused register", bpsim_peek(s, 0x8c), 0);
    bpsim_poke(s, REG_WEIGHT + 4, 0x12345678);
    expect("window reads back", bpsim_peek(s, REG_WEIGHT + 4), 0x12345678);
    expect("idle", bpsim_peek(s, REG_CTRL), 4);
}

/* One word of the image changed. */
static void test_header(struct bench *b, const char *what, int word, uint64_t flip, int error)
{
    uint64_t *image = malloc(b->p->image_words * 8);
    memcpy(image, b->p->image, b->p->image_words * 8);
    image[word] ^= flip;
    expect(what, load(b, image), error);
    expect("run after a failed load", run(b), PROGRAM_ERR_NOT_LOADED);
    free(image);
}

static void poke64(struct bpsim *s, uint32_t reg, uint64_t v)
{
    bpsim_poke(s, reg, (uint32_t)v);
    bpsim_poke(s, reg + 4, (uint32_t)(v >> 32));
}

static uint64_t peek64(struct bpsim *s, uint32_t reg)
{
    return bpsim_peek(s, reg) | (uint64_t)bpsim_peek(s, reg + 4) << 32;
}

/* A start with the registers as they are. */
static int start(struct bpsim *s, uint32_t mode)
{
    bpsim_poke(s, REG_MODE, mode);
    bpsim_poke(s, REG_CTRL, 1);
    if (bpsim_wait(s, 10000000))
        return -1;
    return (int)bpsim_peek(s, REG_STATUS);
}

static void test_windows(struct bench *b)
{
    struct bpsim *s = b->sim;
    struct { uint32_t base, size; uint64_t less; int mode, error; } window[] = {
        { REG_PROGRAM, REG_PROGRAM_SIZE, 8, 1, PROGRAM_ERR_SIZE },
        { REG_WEIGHT, REG_WEIGHT_SIZE, 1, 1, PROGRAM_ERR_SIZE },
        { REG_INPUT, REG_INPUT_SIZE, 1, 0, PROGRAM_ERR_IO },
        { REG_OUTPUT, REG_OUTPUT_SIZE, 1, 0, PROGRAM_ERR_IO },
    };
    for (int i = 0; i < 4; i++) {
        expect_good(b, "before a window test");
        uint64_t base = peek64(s, window[i].base), size = peek64(s, window[i].size);
        poke64(s, window[i].size, size - window[i].less);
        expect("window too small", start(s, window[i].mode), window[i].error);
        poke64(s, window[i].size, size);
        poke64(s, window[i].base, base + 4);
        expect("window not aligned", start(s, window[i].mode), window[i].error);
        poke64(s, window[i].base, base);
        if (!window[i].mode)
            expect("window good again", start(s, 0), PROGRAM_OK);
    }
    expect_good(b, "before the wrap test");
    poke64(s, REG_OUTPUT, UINT64_MAX - 15);
    poke64(s, REG_OUTPUT_SIZE, 4096);
    expect("window wraps", start(s, 0), PROGRAM_ERR_IO);
    expect_good(b, "after the wrap test");
    poke64(s, REG_INPUT, UINT64_C(1) << 40);
    expect("input where no memory is", start(s, 0), PROGRAM_ERR_BUS);
    expect_good(b, "after a missing input");
    poke64(s, REG_OUTPUT, UINT64_C(1) << 40);
    expect("output where no memory is", start(s, 0), PROGRAM_ERR_BUS);
    expect_good(b, "after a missing output");
}

static void test_bus(struct bench *b)
{
    struct bpsim *s = b->sim;
    uint32_t base[4] = { REG_PROGRAM, REG_WEIGHT, REG_INPUT, REG_OUTPUT };
    for (int i = 0; i < 4; i++) {
        expect_good(b, "before a bus fault");
        uint64_t at = peek64(s, base[i]);
        bpsim_fault(s, at, at + 8);
        expect("bus fault", start(s, i < 2), PROGRAM_ERR_BUS);
        bpsim_fault(s, 0, 0);
    }
    expect_good(b, "after bus faults");
}

static void test_limit_and_abort(struct bench *b, uint64_t seed)
{
    struct bpsim *s = b->sim;
    expect_good(b, "before the limit");
    uint64_t total = peek64(s, REG_CYCLES);
    for (int i = 0; i < 12; i++) {
        uint64_t at = 2 + (seed * 7919 + (uint64_t)i * 104729) % (total - 3);
        bpsim_poke(s, REG_LIMIT, (uint32_t)at);
        expect("limit", start(s, 0), PROGRAM_ERR_LIMIT);
        bpsim_poke(s, REG_LIMIT, 0);
        bpsim_poke(s, REG_CTRL, 1);
        bpsim_tick(s, at);
        bpsim_poke(s, REG_ABORT, 1);
        expect("abort ends", bpsim_wait(s, 100000), 0);
        int status = (int)bpsim_peek(s, REG_STATUS);
        expect("abort", status == PROGRAM_ERR_ABORT || (at + 8 > total && status == 0), 1);
        memset(b->got, 0, b->p->output_bytes);
        expect("run after limit and abort", run(b), PROGRAM_OK);
        expect("its result", memcmp(b->got, b->want, b->p->output_bytes), 0);
        expect("its time", (int64_t)peek64(s, REG_CYCLES), (int64_t)total);
    }
    bpsim_poke(s, REG_LIMIT, (uint32_t)total + 1);
    expect("limit just enough", start(s, 0), PROGRAM_OK);
    bpsim_poke(s, REG_LIMIT, 0);
}

static void test_control(struct bench *b)
{
    struct bpsim *s = b->sim;
    expect_good(b, "before control");
    bpsim_poke(s, REG_CTRL, 1);
    expect("busy", bpsim_peek(s, REG_CTRL), 1);
    bpsim_poke(s, REG_CTRL, 1);                    /* a start while busy is nothing */
    bpsim_poke(s, REG_INPUT, 0xdead0000);          /* nor do windows move */
    while (!(bpsim_peek(s, REG_CTRL) & 2)) {}
    expect("done was cleared by reading it", bpsim_peek(s, REG_CTRL), 4);
    expect("interrupt status", bpsim_peek(s, REG_ISR), 1);
    bpsim_poke(s, REG_ISR, 1);
    expect("interrupt status cleared", bpsim_peek(s, REG_ISR), 0);
    expect("status", bpsim_peek(s, REG_STATUS), 0);
    uint64_t cycles = peek64(s, REG_CYCLES);
    for (uint32_t u = 0; u < 5; u++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < 3; i++)
            sum += bpsim_peek(s, REG_COUNTER + 12 * u + 4 * i);
        /* counters see the run from the engine's start to done: all but the first two cycles */
        expect("run + stall + idle", sum, (int64_t)cycles - 2);
    }
    bpsim_reset(s);
    expect("reset forgets the program", run(b), PROGRAM_ERR_NOT_LOADED);
}

/* Several images in one start: windows that are too small for the last, limits, faults and aborts while one computes and the next
 * is on its way; what was finished before is there. */
static void test_images(struct bench *b)
{
    enum { IMAGES = 5 };
    struct bpsim *s = b->sim;
    size_t in = b->p->input_bytes, out = b->p->output_bytes;
    uint64_t each_in = program_image_stride(b->p->image), each_out = program_result_stride(b->p->image);
    uint8_t *pixels = malloc(IMAGES * in);
    int32_t *got = malloc(IMAGES * out), *want = malloc(IMAGES * out);
    for (size_t i = 0; i < IMAGES * in; i++)
        pixels[i] = (uint8_t)(i * 41 + i / 7);
    struct qref *q = qref_new(b->net, NULL);
    expect("qref of images", qref_run(q, pixels, IMAGES, want), 0);
    qref_free(q);
    for (uint32_t n = 0; n <= IMAGES; n++) {
        memset(got, 0x55, IMAGES * out);
        expect("images", bpsim_run_images(s, pixels, in, n ? n : 1, got, out, NULL), PROGRAM_OK);
        expect("their logits", memcmp(got, want, (n ? n : 1) * out), 0);
    }
    uint64_t input = peek64(s, REG_INPUT), output = peek64(s, REG_OUTPUT), total = peek64(s, REG_CYCLES);
    uint8_t *result = bpsim_mem(s) + output;
    for (uint64_t fits = 1; fits < IMAGES; fits++) {
        const struct { uint32_t reg; uint64_t small, size; } windows[] = {
            { REG_INPUT_SIZE, fits * each_in + in - 1, (IMAGES - 1) * each_in + in },
            { REG_OUTPUT_SIZE, fits * each_out + out - 1, (IMAGES - 1) * each_out + out },
        };
        for (int w = 0; w < 2; w++) {
            memset(result, 0x55, IMAGES * each_out);
            poke64(s, windows[w].reg, windows[w].small);
            expect("window too small for the last images", start(s, 0), PROGRAM_ERR_IO);
            for (uint64_t i = 0; i < fits; i++)
                expect("result before", memcmp(result + i * each_out, (uint8_t *)want + i * out, out), 0);
            expect("no result behind", result[fits * each_out], 0x55);
            poke64(s, windows[w].reg, windows[w].size);
        }
        bpsim_fault(s, input + fits * each_in, input + fits * each_in + 8);
        expect("bus fault in an image", start(s, 0), PROGRAM_ERR_BUS);
        bpsim_fault(s, output + fits * each_out, output + fits * each_out + 8);
        expect("bus fault in a result", start(s, 0), PROGRAM_ERR_BUS);
        bpsim_fault(s, 0, 0);
        expect("images after faults", start(s, 0), PROGRAM_OK);
        expect("logits after faults", memcmp(result + each_out, (uint8_t *)want + out, out), 0);
    }
    for (uint64_t at = total / 60; at < total; at += total / 15) {
        bpsim_poke(s, REG_LIMIT, (uint32_t)at);
        expect("limit among images", start(s, 0), PROGRAM_ERR_LIMIT);
        bpsim_poke(s, REG_LIMIT, 0);
        bpsim_poke(s, REG_CTRL, 1);
        bpsim_tick(s, at + 7);
        bpsim_poke(s, REG_IMAGES, 1);              /* changes nothing now */
        bpsim_poke(s, REG_ABORT, 1);
        expect("aborted", bpsim_wait(s, 100000), 0);
        expect("abort among images", bpsim_peek(s, REG_STATUS), PROGRAM_ERR_ABORT);
        memset(result, 0x55, IMAGES * each_out);
        expect("images after an abort", start(s, 0), PROGRAM_OK);
        expect("cycles after an abort", (int64_t)peek64(s, REG_CYCLES), (int64_t)total);
        for (uint64_t i = 0; i < IMAGES; i++)
            expect("logits after an abort", memcmp(result + i * each_out, (uint8_t *)want + i * out, out), 0);
    }
    bpsim_poke(s, REG_IMAGES, 0);
    memset(result, 0x55, IMAGES * each_out);
    expect("0 images", start(s, 0), PROGRAM_OK);
    expect("are one", result[each_out], 0x55);
    free(pixels);
    free(got);
    free(want);
    expect_good(b, "after several images");
}

/* A run reads its stream in the program's window. */
static void test_stream(struct bench *b)
{
    struct bpsim *s = b->sim;
    expect_good(b, "a program with a stream");
    expect("again", run(b), PROGRAM_OK);
    expect("its result", memcmp(b->got, b->want, b->p->output_bytes), 0);
    uint64_t base = peek64(s, REG_PROGRAM), size = peek64(s, REG_PROGRAM_SIZE);
    uint64_t at = base + 8 * (b->p->image_words - b->p->stream_words);
    poke64(s, REG_PROGRAM_SIZE, size - 8);
    expect("program window too small in a run", start(s, 0), PROGRAM_ERR_STREAM);
    poke64(s, REG_PROGRAM_SIZE, size);
    poke64(s, REG_PROGRAM, base + 4);
    expect("program window not aligned in a run", start(s, 0), PROGRAM_ERR_STREAM);
    poke64(s, REG_PROGRAM, UINT64_C(1) << 40);
    expect("program where no memory is", start(s, 0), PROGRAM_ERR_BUS);
    poke64(s, REG_PROGRAM, base);
    expect_good(b, "after missing programs");
    for (uint64_t word = 0; word < b->p->stream_words; word += 1 + b->p->stream_words / 5) {
        bpsim_fault(s, at + 8 * word, at + 8 * word + 8);
        expect("bus fault in the stream", start(s, 0), PROGRAM_ERR_BUS);
        bpsim_fault(s, 0, 0);
        expect_good(b, "after a bus fault in the stream");
    }
    /* No END: layers get all they need, and the run still ends. */
    uint64_t *image = malloc(b->p->image_words * 8);
    memcpy(image, b->p->image, b->p->image_words * 8);
    image[b->p->image_words - 1] = PROGRAM_WEIGHT | UINT64_C(1) << 32;
    expect("load without END", load(b, image), PROGRAM_OK);
    expect("run without END", run(b), PROGRAM_ERR_STREAM);
    memcpy(image, b->p->image, b->p->image_words * 8);
    image[b->p->image_words - b->p->stream_words] |= UINT64_C(0xffff) << 48;
    expect("load of a block that waits for ever", load(b, image), PROGRAM_OK);
    expect("run of a block that waits for ever", run(b), PROGRAM_ERR_STREAM);
    free(image);
    expect_good(b, "after damaged streams");
}

/* The first random network that fits, and streams if it shall. */
static void open_bench(struct bench *b, uint64_t seed, bool stream)
{
    struct fixed_random limits = { .max_layers = stream ? 6 : 3, .max_size = 9, .max_channels = stream ? 48 : 16 };
    struct hw small = b->hw;
    if (stream)
        small.weight_depth = 64, small.kword_depth = 32;
    for (uint64_t s = seed; !b->p; s++) {
        b->net = fixed_random_net(s, &limits);
        bool good = b->net && !accel_compile(&b->p, b->net, &small);
        if (good && (!stream || b->p->stream_words))
            break;
        accel_program_free(b->p);
        fixed_net_free(b->net);
        b->p = NULL;
    }
    struct bpsim_options opt = {
        .read_latency = b->hw.read_latency, .write_latency = b->hw.write_latency,
        .port_gbytes_s = b->hw.port_gbytes_s, .clock_mhz = b->hw.clock_mhz,
    };
    b->sim = bpsim_open(&opt);
    b->pixels = malloc(b->p->input_bytes);
    for (size_t i = 0; i < b->p->input_bytes; i++)
        b->pixels[i] = (uint8_t)(i * 37 + i / 5);
    b->got = malloc(b->p->output_bytes);
    b->want = malloc(b->p->output_bytes);
    struct qref *q = qref_new(b->net, NULL);
    expect("qref", qref_run(q, b->pixels, 1, b->want), 0);
    qref_free(q);
}

static void close_bench(struct bench *b)
{
    const char *what;
    if (bpsim_violations(b->sim, &what)) {
        printf("AXI: %s\n", what);
        fails++;
    }
    bpsim_close(b->sim);
    accel_program_free(b->p);
    fixed_net_free(b->net);
    free(b->pixels);
    free(b->got);
    free(b->want);
    b->p = NULL;
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    if (argc < 3 || hw_load(&b.hw, argv[1])) {
        fprintf(stderr, "usage: shell_tb BOARD SEED\n");
        return 2;
    }
    uint64_t seed = strtoull(argv[2], NULL, 10);
    open_bench(&b, seed, false);

    test_identity(&b);
    expect("run before a load", run(&b), PROGRAM_ERR_NOT_LOADED);
    expect_good(&b, "first run");
    test_header(&b, "magic", 0, 1, PROGRAM_ERR_MAGIC);
    test_header(&b, "major", 0, UINT64_C(2) << 32, PROGRAM_ERR_MAGIC);
    test_header(&b, "array", 1, 16, PROGRAM_ERR_ARRAY);
    test_header(&b, "hash", 1, UINT64_C(1) << 63, PROGRAM_ERR_ARRAY);
    test_header(&b, "layers", 2, 0x8000, PROGRAM_ERR_SIZE);
    test_header(&b, "maps", 2, UINT64_C(0x8000) << 16, PROGRAM_ERR_SIZE);
    test_header(&b, "weights", 3, UINT64_C(1) << 40, PROGRAM_ERR_SIZE);
    test_header(&b, "words", 5, 1, PROGRAM_ERR_SIZE);
    test_header(&b, "output bytes", 4, UINT64_C(1) << 32, PROGRAM_ERR_IO);
    expect_good(&b, "after bad headers");
    test_windows(&b);
    test_bus(&b);
    test_limit_and_abort(&b, seed);
    test_images(&b);
    test_control(&b);
    close_bench(&b);
    open_bench(&b, seed, true);
    test_stream(&b);
    test_images(&b);
    test_limit_and_abort(&b, seed);
    test_control(&b);
    close_bench(&b);
    printf("%d failures\n", fails);
    return fails != 0;
}
