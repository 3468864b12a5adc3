/* test_runtime.c: the runtime over a driver that is no device but plays one: what it checks, in which order it moves
 * data, and what it does with devices that lie, fail or stall. */
#define _GNU_SOURCE
#include "unit.h"

#include "accel_nets.h"

#include "accel/accel.h"
#include "pack/pack.h"
#include "runtime/runtime_internal.h"

enum { MAX_EVENTS = 256 };

/* One fake device; events: U upload, S start, D download, with the slot's buffer number. */
static struct fake {
    struct hw hw;
    const struct fixed_net *net;
    uint8_t *buffer[16];
    size_t bytes[16];
    int n_buffer, closed, opened;
    struct runtime_start last;
    bool loaded, running;
    int polls;                                     /* left until done */
    uint32_t status, hash_xor, minor;              /* minor: of its version */
    int fails_at;                                  /* run that ends with `status`, from 1 on; 0: all */
    uint32_t images[16];                           /* of each run */
    int n_run;
    bool stall, obeys, wrong, gives_up, magic_lost;
    char event[MAX_EVENTS][8];
    int n_event;
} fake;

static void event(char what, const void *buffer)
{
    int k = -1;
    for (int i = 0; i < fake.n_buffer; i++)
        if (fake.buffer[i] == buffer)
            k = i;
    if (fake.n_event < MAX_EVENTS)
        snprintf(fake.event[fake.n_event++], sizeof fake.event[0], "%c%d", what, k);
}

static int fake_open(void **device, unsigned index, const char *xclbin)
{
    (void)xclbin;
    if (index)
        return base_fail(BITPRESS_MISSING, "fake: there is no device %u", index);
    fake.opened++;
    *device = &fake;
    return BITPRESS_OK;
}

static void fake_close(void *device)
{
    (void)device;
    fake.closed++;
}

static int fake_alloc(void **buffer, void *device, int window, size_t bytes)
{
    (void)device, (void)window;
    assert_true(fake.n_buffer < 16);
    if (!(fake.buffer[fake.n_buffer] = base_alloc(bytes)))
        return BITPRESS_MEMORY;
    fake.bytes[fake.n_buffer] = bytes;
    *buffer = fake.buffer[fake.n_buffer++];
    return BITPRESS_OK;
}

static void fake_free(void *device, void *buffer)
{
    (void)device;
    for (int i = 0; i < fake.n_buffer; i++)
        if (fake.buffer[i] == buffer)
            fake.buffer[i] = NULL;
    base_free(buffer);
}

static int fake_write(void *device, void *buffer, const void *p, size_t bytes)
{
    (void)device;
    event('U', buffer);
    memcpy(buffer, p, bytes);
    return BITPRESS_OK;
}

static int fake_read(void *device, void *buffer, void *p, size_t bytes)
{
    (void)device;
    event('D', buffer);
    memcpy(p, buffer, bytes);
    return BITPRESS_OK;
}

static int fake_start(void *device, const struct runtime_start *s)
{
    (void)device;
    assert_false(fake.running);
    event('S', s->buffer[WINDOW_INPUT]);
    fake.last = *s;
    if (!s->mode && fake.n_run < BASE_COUNT(fake.images))
        fake.images[fake.n_run] = s->images;
    fake.n_run += !s->mode;
    fake.running = true;
    fake.polls = 3;
    return BITPRESS_OK;
}

static uint32_t current_status(void)
{
    return fake.last.mode || (fake.fails_at && fake.fails_at != fake.n_run) ? 0 : fake.status;
}

static void end_of_start(void)
{
    fake.running = false;
    if (fake.last.mode) {
        fake.loaded = true;
        return;
    }
    const struct fixed_edge *in = &fake.net->edge[0];
    uint64_t bytes = (uint64_t)in->h * (uint64_t)in->w * (uint64_t)in->c, result = 4 * (uint64_t)fake.net->classes;
    struct qref *q = qref_new(fake.net, NULL);
    assert_non_null(q);
    for (uint64_t i = 0; i < BASE_MAX(fake.last.images, 1u) && !current_status(); i++) {
        uint64_t from = i * ((bytes + 7) / 8 * 8), to = i * ((result + 7) / 8 * 8);
        assert_true(from + bytes <= fake.last.bytes[WINDOW_INPUT] && to + result <= fake.last.bytes[WINDOW_OUTPUT]);
        assert_ok(qref_run(q, (uint8_t *)fake.last.buffer[WINDOW_INPUT] + from, 1, (int32_t *)fake.last.buffer[WINDOW_OUTPUT] + to / 4));
    }
    qref_free(q);
    if (fake.wrong)
        *(int32_t *)fake.last.buffer[WINDOW_OUTPUT] += 1;
}

static enum runtime_state fake_state(void *device)
{
    (void)device;
    if (fake.gives_up)
        return RUNTIME_FAILED;
    if (fake.running && !(fake.stall && !fake.last.mode) && --fake.polls <= 0)
        end_of_start();
    return fake.running ? RUNTIME_RUNNING : RUNTIME_DONE;
}

static int fake_read_register(void *device, uint32_t reg, uint32_t *value)
{
    (void)device;
    const struct hw *h = &fake.hw;
    *value = reg == REG_ID_MAGIC     ? (fake.magic_lost ? 0 : REG_ID_MAGIC_VALUE)
             : reg == REG_ID_VERSION ? PROGRAM_MAJOR << 16 | fake.minor
             : reg == REG_ID_ARRAY   ? (uint32_t)h->k << 16 | (uint32_t)h->n << 8 | (uint32_t)h->m
             : reg == REG_ID_HASH    ? (uint32_t)h->hash ^ fake.hash_xor
             : reg == REG_STATUS     ? current_status()
             : reg == REG_ERROR_LAYER ? 2
             : reg == REG_CYCLES     ? 1000
                                     : 7;
    if (reg == REG_CYCLES + 4)
        *value = 0;
    return BITPRESS_OK;
}

static int fake_write_register(void *device, uint32_t reg, uint32_t value)
{
    (void)device;
    if (reg == REG_ABORT && value == 1 && fake.obeys) {
        fake.stall = false;
        fake.running = false;
    }
    return BITPRESS_OK;
}

static const struct runtime_driver driver = {
    .name = "fake", .open = fake_open, .close = fake_close, .alloc = fake_alloc, .free = fake_free, .write = fake_write, .read = fake_read,
    .start = fake_start, .state = fake_state, .read_register = fake_read_register, .write_register = fake_write_register,
};

/* ---- a pack, a device with it ----------------------------------------------------------------- */

struct fixture { const char *dir, *pack; struct fixed_net *net; size_t image; };

/* The pack of the fixture's network. */
static void write_pack(struct fixture *f, const struct accel_program *p)
{
    f->image = p->input_bytes;
    uint8_t *pixels = base_alloc(f->image);
    int32_t *logits = BASE_NEW_N(int32_t, f->net->classes);
    for (size_t i = 0; i < f->image; i++)
        pixels[i] = (uint8_t)(i * 37);
    struct qref *q = qref_new(f->net, NULL);
    assert_ok(qref_run(q, pixels, 1, logits));
    struct pack k = { .net = f->net, .board = "pynq-z2", .hw_hash = fake.hw.hash, .program = p->image, .program_words = p->image_words, .weights = p->weights,
                      .weight_words = p->weight_words64, .test_pixels = pixels, .test_pixel_bytes = f->image, .test_logits = logits };
    assert_ok(pack_write(&k, f->pack));
    qref_free(q);
    base_free(pixels);
    base_free(logits);
}

static int setup(void **state)
{
    static struct fixture f;
    struct accel_program *p;
    memset(&fake, 0, sizeof fake);
    fake.minor = 4;
    f.dir = unit_scratch();
    f.pack = strdup(unit_path(f.dir, "net.bpk"));
    assert_ok(hw_load(&fake.hw, "boards/pynq-z2/board.yaml"));
    fake.net = f.net = fixed_random_net(3, NULL);
    assert_non_null(f.net);
    assert_ok(accel_compile(&p, f.net, &fake.hw));
    write_pack(&f, p);
    accel_program_free(p);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < fake.n_buffer; i++)
        base_free(fake.buffer[i]);                 /* of a device that was given up */
    fixed_net_free(f->net);
    free((char *)(uintptr_t)f->pack);
    unit_remove(f->dir);
    return 0;
}

static bitpress *open_batch(const struct fixture *f, int deadline_ms, int batch)
{
    bitpress *b;
    struct bitpress_options o = { .xclbin = f->pack, .deadline_ms = deadline_ms, .batch = batch };
    assert_ok(runtime_open(&b, &o, &driver));
    assert_ok(bitpress_load(b, f->pack));
    fake.n_event = 0;
    return b;
}

static bitpress *open_loaded(const struct fixture *f, int deadline_ms)
{
    return open_batch(f, deadline_ms, 0);
}

/* ---- tests -------------------------------------------------------------------------------------- */

static void test_runs_images(void **state)
{
    struct fixture *f = *state;
    enum { N = 5 };
    bitpress *b = open_loaded(f, 5000);
    struct bitpress_network net;
    assert_ok(bitpress_network(&net, b));
    assert_int_equal(net.classes, f->net->classes);
    assert_int_equal(net.load_cycles, 1000);
    assert_string_equal(net.board, "pynq-z2");
    uint8_t *pixels = base_alloc(N * f->image);
    int32_t *got = BASE_NEW_N(int32_t, N * net.classes), *want = BASE_NEW_N(int32_t, N * net.classes);
    struct bitpress_image image[N];
    for (size_t i = 0; i < N * f->image; i++)
        pixels[i] = (uint8_t)(i * 131 >> 3);
    assert_ok(bitpress_run(b, pixels, N, got, image));
    struct qref *q = qref_new(f->net, NULL);
    assert_ok(qref_run(q, pixels, N, want));
    assert_memory_equal(got, want, sizeof *want * N * (size_t)net.classes);
    assert_int_equal(image[N - 1].cycles, 1000);
    assert_ok(bitpress_run(b, pixels, 0, got, NULL));
    assert_ok(bitpress_self_test(b));
    struct bitpress_counters c;
    assert_ok(bitpress_counters(b, &c));
    assert_string_equal(c.unit[4].name, "memory");
    assert_int_equal(c.unit[4].idle, 7);
    assert_int_equal(c.layers, f->net->n_layer + 1);
    qref_free(q);
    base_free(pixels);
    base_free(got);
    base_free(want);
    bitpress_close(b);
    assert_int_equal(fake.closed, 1);
}

/* While an image runs the next goes up; its result comes down while the next runs. Buffers: 0 program, 1 weights,
 * 2 and 4 inputs, 3 and 5 outputs. */
static void test_double_buffering(void **state)
{
    struct fixture *f = *state;
    static const char *const want[] = { "U2", "S2", "U4", "S4", "D3", "U2", "S2", "D5", "D3" };
    bitpress *b = open_loaded(f, 5000);
    uint8_t *pixels = base_alloc(3 * f->image);
    int32_t *logits = BASE_NEW_N(int32_t, 3 * f->net->classes);
    assert_ok(bitpress_run(b, pixels, 3, logits, NULL));
    assert_int_equal(fake.n_event, BASE_COUNT(want));
    for (int i = 0; i < BASE_COUNT(want); i++)
        assert_string_equal(fake.event[i], want[i]);
    base_free(pixels);
    base_free(logits);
    bitpress_close(b);
}

/* ---- batches ---- */

struct images { int n; size_t bytes; uint8_t *pixels; int32_t *got, *want; };      /* got: all bytes 0x5a */

static struct images open_images(const struct fixture *f, int n)
{
    size_t bytes = sizeof(int32_t) * (size_t)n * (size_t)f->net->classes;
    struct images s = { n, bytes, base_alloc((size_t)n * f->image), base_alloc(bytes), base_alloc(bytes) };
    for (size_t i = 0; i < (size_t)n * f->image; i++)
        s.pixels[i] = (uint8_t)(i * 131 >> 3);
    struct qref *q = qref_new(f->net, NULL);
    assert_ok(qref_run(q, s.pixels, n, s.want));
    qref_free(q);
    memset(s.got, 0x5a, bytes);
    return s;
}

static void close_images(struct images *s)
{
    base_free(s->pixels);
    base_free(s->got);
    base_free(s->want);
}

/* However many a start takes, the logits are those of the images; cycles are shared among a start's. */
static void test_batches(void **state)
{
    struct fixture *f = *state;
    enum { N = 7 };
    static const struct { int batch; uint32_t start[N + 1]; } cases[] = {
        { 0, { 1, 1, 1, 1, 1, 1, 1 } }, { 1, { 1, 1, 1, 1, 1, 1, 1 } }, { 4, { 4, 3 } }, { 7, { 7 } }, { 9, { 7 } },
    };
    assert_int_not_equal(f->image % 8, 0);          /* images lie apart */
    assert_int_not_equal(f->net->classes % 2, 0);
    for (int k = 0; k < BASE_COUNT(cases); k++) {
        struct images s = open_images(f, N);
        struct bitpress_image image[N];
        fake.n_buffer = 0;
        bitpress *b = open_batch(f, 5000, cases[k].batch);
        memset(fake.images, 0, sizeof fake.images);
        fake.n_run = 0;
        assert_ok(bitpress_run(b, s.pixels, N, s.got, image));
        assert_memory_equal(s.got, s.want, s.bytes);
        assert_memory_equal(fake.images, cases[k].start, sizeof cases[k].start);
        for (uint32_t i = 0, at = 0; cases[k].start[i]; i++)
            for (uint32_t n = 0; n < cases[k].start[i]; n++, at++)
                assert_int_equal(image[at].cycles, 1000 / cases[k].start[i]);
        assert_ok(bitpress_self_test(b));
        close_images(&s);
        bitpress_close(b);
    }
    fake.n_buffer = 0;
}

/* The next start's images go up while one runs, as they do one by one. */
static void test_batches_double_buffered(void **state)
{
    struct fixture *f = *state;
    static const char *const want[] = { "U2", "S2", "U4", "S4", "D3", "U2", "S2", "D5", "D3" };
    bitpress *b = open_batch(f, 5000, 3);
    struct images s = open_images(f, 7);
    assert_ok(bitpress_run(b, s.pixels, 7, s.got, NULL));
    assert_memory_equal(s.got, s.want, s.bytes);
    assert_int_equal(fake.n_event, BASE_COUNT(want));
    for (int i = 0; i < BASE_COUNT(want); i++)
        assert_string_equal(fake.event[i], want[i]);
    close_images(&s);
    bitpress_close(b);
}

/* The second start fails: the first one's results are there, and nothing else. */
static void test_batch_error(void **state)
{
    struct fixture *f = *state;
    bitpress *b = open_batch(f, 5000, 3);
    struct images s = open_images(f, 7);
    size_t first = 3 * sizeof(int32_t) * (size_t)f->net->classes;
    fake.status = PROGRAM_ERR_BUS;
    fake.fails_at = fake.n_run + 2;
    assert_error(bitpress_run(b, s.pixels, 7, s.got, NULL), BITPRESS_DEVICE, "error 12");
    assert_memory_equal(s.got, s.want, first);
    for (size_t i = first; i < s.bytes; i++)
        assert_int_equal(((uint8_t *)s.got)[i], 0x5a);
    assert_int_equal(fake.n_run, fake.fails_at);
    assert_ok(bitpress_run(b, s.pixels, 7, s.got, NULL));
    assert_memory_equal(s.got, s.want, s.bytes);
    close_images(&s);
    bitpress_close(b);
}

/* The deadline is an image's. */
static void test_batch_deadline(void **state)
{
    struct fixture *f = *state;
    bitpress *b = open_batch(f, 30, 4);
    struct images s = open_images(f, 4);
    fake.stall = fake.obeys = true;
    assert_error(bitpress_run(b, s.pixels, 4, s.got, NULL), BITPRESS_STALLED, "not done after 120 ms");
    fake.stall = true;
    assert_error(bitpress_run(b, s.pixels, 1, s.got, NULL), BITPRESS_STALLED, "not done after 30 ms");
    close_images(&s);
    bitpress_close(b);
}

/* A device from before there were batches has no such argument; it takes one image, and says so where more are asked for. */
static void test_old_device(void **state)
{
    struct fixture *f = *state;
    bitpress *b;
    struct bitpress_options o = { .xclbin = f->pack, .batch = 4 };
    fake.minor = 3;
    assert_error(runtime_open(&b, &o, &driver), BITPRESS_MISMATCH, "4 images a start need an accelerator of version 1.4, the device holds one of 1.3");
    b = open_batch(f, 5000, 1);
    struct images s = open_images(f, 2);
    assert_ok(bitpress_run(b, s.pixels, 2, s.got, NULL));
    assert_memory_equal(s.got, s.want, s.bytes);
    assert_int_equal(fake.n_run, 2);
    assert_int_equal(fake.images[0], 0);
    close_images(&s);
    bitpress_close(b);
}

/* With scratch the results of a start are one page. */
static void test_batch_clamped(void **state)
{
    struct fixture *f = *state;
    struct accel_program *p = NULL;
    fake.hw.act_depth = 64;
    for (uint64_t seed = 0; !p; seed++) {
        assert_true(seed < 60);
        fixed_net_free(f->net);
        fake.net = f->net = nets_random(seed, 24, 40);
        assert_non_null(f->net);
        if (!accel_compile(&p, f->net, &fake.hw) && !p->scratch_bytes) {
            accel_program_free(p);
            p = NULL;
        }
    }
    write_pack(f, p);
    uint32_t most = program_most_images(p->image);
    bitpress *b = open_batch(f, 5000, 1000000);
    struct images s = open_images(f, (int)most + 2);
    assert_ok(bitpress_run(b, s.pixels, s.n, s.got, NULL));
    assert_memory_equal(s.got, s.want, s.bytes);
    assert_int_equal(fake.n_run, 2);
    assert_int_equal(fake.images[0], most);
    assert_int_equal(fake.images[1], 2);
    close_images(&s);
    bitpress_close(b);
    accel_program_free(p);
}

/* A pack whose program is not its network's: where results lie would be the program's word alone. */
static void test_program_of_another_network(void **state)
{
    struct fixture *f = *state;
    struct accel_program *p;
    bitpress *b;
    struct bitpress_options o = { .xclbin = f->pack };
    assert_ok(accel_compile(&p, f->net, &fake.hw));
    p->image[4] += 1;
    write_pack(f, p);
    accel_program_free(p);
    assert_ok(runtime_open(&b, &o, &driver));
    assert_error(bitpress_load(b, f->pack), BITPRESS_INPUT, "its program takes");
    bitpress_close(b);
}

static void test_refuses(void **state)
{
    struct fixture *f = *state;
    bitpress *b;
    struct bitpress_options o = { .xclbin = f->pack, .device = 1 };
    assert_error(runtime_open(&b, &o, &driver), BITPRESS_MISSING, "no device 1");
    assert_null(b);
    o.device = 0;
    o.xclbin = "/nonexistent/x.xclbin";
    assert_error(runtime_open(&b, &o, &driver), BITPRESS_INPUT, "no such file");
    o.xclbin = NULL;
    unsetenv("BITPRESS_XCLBIN");
    assert_error(runtime_open(&b, &o, &driver), BITPRESS_INPUT, "no xclbin is named");
    o.xclbin = f->pack;
    fake.magic_lost = true;
    assert_error(runtime_open(&b, &o, &driver), BITPRESS_MISMATCH, "no accelerator of version 1");
    assert_int_equal(fake.closed, fake.opened);
    fake.magic_lost = false;
    assert_ok(runtime_open(&b, &o, &driver));
    assert_error(bitpress_self_test(b), BITPRESS_INPUT, "no pack is loaded");
    assert_error(bitpress_load(b, "/nonexistent.bpk"), BITPRESS_INPUT, "/nonexistent.bpk");
    assert_error(bitpress_load_bytes(b, "rubbish", 7, "memory"), BITPRESS_INPUT, "memory");
    bitpress_close(b);
    bitpress_close(NULL);
}

/* Another array: both are named. */
static void test_mismatch(void **state)
{
    struct fixture *f = *state;
    bitpress *b;
    struct bitpress_options o = { .xclbin = f->pack };
    fake.hw.n = 32;
    fake.hash_xor = 1;
    assert_ok(runtime_open(&b, &o, &driver));
    assert_error(bitpress_load(b, f->pack), BITPRESS_MISMATCH, "compiled for 'pynq-z2', an array of 16 x 8 x 144");
    assert_non_null(strstr(bitpress_error(), "the device holds 16 x 32 x 144"));
    fake.hw.n = 8;                                  /* the same array with other tables */
    assert_error(bitpress_load(b, f->pack), BITPRESS_MISMATCH, "hash");
    bitpress_close(b);
}

static void test_device_errors(void **state)
{
    struct fixture *f = *state;
    bitpress *b = open_loaded(f, 5000);
    int32_t *logits = BASE_NEW_N(int32_t, f->net->classes);
    uint8_t *pixels = base_alloc(f->image);
    fake.status = PROGRAM_ERR_BUS;
    assert_error(bitpress_run(b, pixels, 1, logits, NULL), BITPRESS_DEVICE, "error 12 in layer 2: the memory answered with an error");
    fake.status = 99;
    assert_error(bitpress_run(b, pixels, 1, logits, NULL), BITPRESS_DEVICE, "error 99");
    fake.status = 0;
    assert_ok(bitpress_run(b, pixels, 1, logits, NULL));
    fake.wrong = true;
    assert_error(bitpress_self_test(b), BITPRESS_WRONG, "self-test: logit 0");
    fake.gives_up = true;
    assert_error(bitpress_run(b, pixels, 1, logits, NULL), BITPRESS_DEVICE, "given up by XRT");
    base_free(pixels);
    base_free(logits);
    bitpress_close(b);
}

/* A late start is told to end. One that obeys leaves the device usable; one that does not ends all use of it. */
static void test_stalls(void **state)
{
    struct fixture *f = *state;
    bitpress *b = open_loaded(f, 50);
    int32_t *logits = BASE_NEW_N(int32_t, f->net->classes);
    uint8_t *pixels = base_alloc(f->image);
    fake.stall = fake.obeys = true;
    assert_error(bitpress_run(b, pixels, 1, logits, NULL), BITPRESS_STALLED, "not done after 50 ms; it was aborted");
    assert_ok(bitpress_run(b, pixels, 1, logits, NULL));
    fake.stall = true;
    fake.obeys = false;
    double start = base_seconds();
    assert_error(bitpress_run(b, pixels, 1, logits, NULL), BITPRESS_STALLED, "does not obey an abort");
    assert_true(base_seconds() - start < 4);
    assert_error(bitpress_run(b, pixels, 1, logits, NULL), BITPRESS_STALLED, "was given up");
    assert_error(bitpress_load(b, f->pack), BITPRESS_STALLED, "was given up");
    bitpress_close(b);
    assert_int_equal(fake.closed, 0);
    base_free(pixels);
    base_free(logits);
    usleep(1200000);                                /* the thread that tried to stop it lets go of its memory */
}

static void test_deadline_from_environment(void **state)
{
    struct fixture *f = *state;
    setenv("BITPRESS_DEADLINE_MS", "40", 1);
    bitpress *b = open_loaded(f, 0);
    unsetenv("BITPRESS_DEADLINE_MS");
    fake.stall = fake.obeys = true;
    assert_error(bitpress_self_test(b), BITPRESS_STALLED, "after 40 ms");
    bitpress_close(b);
}

static void test_percentiles(void **state)
{
    (void)state;
    struct bitpress_image image[200];
    for (int i = 0; i < 200; i++)
        image[i] = (struct bitpress_image){ .cycles = (uint64_t)(200 - i), .seconds = (200 - i) * 0.5 };
    assert_int_equal(bitpress_cycles_percentile(image, 200, 50), 100);
    assert_int_equal(bitpress_cycles_percentile(image, 200, 99), 198);
    assert_int_equal(bitpress_cycles_percentile(image, 200, 100), 200);
    assert_int_equal(bitpress_cycles_percentile(image, 200, 0), 1);
    assert_int_equal(bitpress_cycles_percentile(image, 1, 99), 200);
    assert_int_equal(bitpress_cycles_percentile(image, 0, 99), 0);
    assert_true(bitpress_seconds_percentile(image, 200, 99) == 99.0);
    const int32_t logits[] = { -3, 5, 5, 1 };
    assert_int_equal(bitpress_class(logits, 4), 1);
    assert_string_equal(bitpress_code_name(BITPRESS_STALLED), "stalled");
    assert_string_equal(bitpress_code_name(-77), "?");
}

static int open_and_load(bitpress **b, const char *pack)
{
    struct bitpress_options o = { .xclbin = pack };
    int rc = runtime_open(b, &o, &driver);
    if (!rc)
        rc = bitpress_load(*b, pack);
    if (rc) {
        bitpress_close(*b);
        *b = NULL;
    }
    return rc == BITPRESS_MEMORY ? BASE_NOMEM : rc;
}

static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    bitpress *b = NULL;
    for (long n = 1;; n++) {
        fake.n_buffer = 0;
        base_alloc_fail_at(n);
        int rc = open_and_load(&b, f->pack);
        base_alloc_fail_at(0);
        if (!rc)
            break;
        assert_int_equal(rc, BASE_NOMEM);
        assert_true(n < 10000);
    }
    assert_ok(bitpress_self_test(b));
    bitpress_close(b);
    fake.n_buffer = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runs_images, setup, teardown),
        cmocka_unit_test_setup_teardown(test_double_buffering, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches_double_buffered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_device, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch_clamped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program_of_another_network, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mismatch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stalls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_from_environment, setup, teardown),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
