/* test_remote.c: the protocol between a host and boards elsewhere: frames, the board's session, the host's boards, and what
 * happens when one dies, stalls or sends nonsense. The boards are this program itself, run with `--board MODE`: the real
 * session over the integer reference. */
#define _GNU_SOURCE
#include "unit.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "accel/accel.h"
#include "device/remote.h"
#include "device/session.h"
#include "score/score.h"

/* ---- a board ---------------------------------------------------------------------------------- */

struct toy { struct fixed_net *net; struct qref *q; struct pack *pack; struct accel_cycles cycles; int runs; };

static int toy_load(void *ctx, const struct pack *pack, uint64_t *load_cycles)
{
    struct toy *t = ctx;
    struct base_text bytes = { 0 };
    struct hw hw;
    int rc = hw_load(&hw, "pynq-z2");
    if (!rc)
        rc = pack_bytes(&bytes, pack, "copy");
    if (!rc)
        rc = pack_parse(&t->pack, (const uint8_t *)bytes.s, bytes.len, "copy");
    base_text_free(&bytes);
    if (!rc)
        rc = accel_model(&t->cycles, &hw, t->pack->program, t->pack->program_words);
    if (!rc)
        rc = (t->q = qref_new(t->pack->net, NULL)) ? BASE_OK : BASE_NOMEM;
    *load_cycles = (uint64_t)t->cycles.load;
    return rc;
}

static int toy_run(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *c)
{
    struct toy *t = ctx;
    t->runs++;
    c->cycles = (uint64_t)t->cycles.total;
    c->n_layer = (uint32_t)t->cycles.n_layer;
    for (int l = 0; l < t->cycles.n_layer; l++)
        c->layer[l] = (uint32_t)t->cycles.layer[l];
    c->unit[4][2] = 7;
    for (int i = 0; i < n; i++)
        image[i] = (struct device_image){ c->cycles, .25 };
    return qref_run(t->q, pixels, n, logits);
}

static void toy_unload(void *ctx)
{
    struct toy *t = ctx;
    qref_free(t->q);
    pack_free(t->pack);
    t->q = NULL;
    t->pack = NULL;
}

static int lost_run(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *c)
{
    (void)ctx, (void)pixels, (void)n, (void)logits, (void)image, (void)c;
    return base_hint(base_fail(BASE_MISSING, "the device does not answer"), "power it on");
}

static int broken_run(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *c)
{
    (void)ctx, (void)pixels, (void)n, (void)logits, (void)image, (void)c;
    return base_fail(BASE_INTERNAL, "the device reports code 9");
}

static int wrong_run(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *c)
{
    int rc = toy_run(ctx, pixels, n, logits, image, c);
    logits[0] ^= 4;
    return rc;
}

static void send(const struct base_text *t, size_t n)
{
    if (write(1, t->s, n) != (ssize_t)n)
        _exit(1);
}

/* How a board goes wrong: by its mode, in the answer that has results (or the one to a pack). */
static void send_answer(const char *mode, struct base_text *t)
{
    bool results = t->len > FRAME_HEAD && t->s[6] == FRAME_RESULT;
    if (results && !strcmp(mode, "stall"))
        for (;;)
            pause();
    if (results && !strcmp(mode, "die")) {
        fprintf(stderr, "some noise\nthe board lost its power\n");
        _exit(1);
    }
    if (results && !strcmp(mode, "truncate")) {
        send(t, t->len - 1);
        _exit(0);
    }
    if (results && !strcmp(mode, "flip"))
        t->s[t->len / 2] ^= 16;
    if (t->s[6] == FRAME_READY && !strcmp(mode, "other-pack")) {
        struct base_text lie = { 0 };
        t->s[FRAME_HEAD] ^= 1;
        frame_add(&lie, FRAME_READY, (uint8_t)t->s[8], t->s + FRAME_HEAD, t->len - FRAME_HEAD, NULL, 0);
        send(&lie, lie.len);
        t->len = 0;
    }
    send(t, t->len);
    t->len = 0;
}

static int board_main(const char *mode)
{
    struct toy toy = { 0 };
    struct session_engine engine = { &toy, toy_load, toy_run, toy_unload };
    struct base_text out = { 0 };
    struct hw hw;
    uint8_t buf[1000];
    if (hw_load(&hw, "pynq-z2"))
        return 4;
    engine.run = !strcmp(mode, "lost") ? lost_run : !strcmp(mode, "broken") ? broken_run : !strcmp(mode, "wrong") ? wrong_run : toy_run;
    if (!strcmp(mode, "mute"))
        pause();
    if (!strcmp(mode, "garbage")) {
        printf("Welcome to the board! Last login: yesterday.\n");
        fflush(stdout);
        pause();
    }
    if (!strcmp(mode, "slow-reader"))
        for (struct session *s = session_new(&engine, hw.name, hw.hash, FRAME_EMULATED);;) {
            session_hello(s, &out);
            send(&out, out.len);
            pause();
        }
    struct session_model *model = NULL;
    if (!strcmp(mode, "model")) {
        if (session_model_new(&model, &hw))
            return 4;
        engine = session_model_engine(model);
    }
    enum frame_source source = model ? FRAME_MODEL : strcmp(mode, "source") ? FRAME_EMULATED : FRAME_SOURCES;
    struct session *s = session_new(&engine, hw.name, hw.hash ^ !strcmp(mode, "other-array"), source);
    session_hello(s, &out);
    if (!strcmp(mode, "version")) {
        uint32_t crc;
        out.s[4] = 9;
        crc = base_crc32c(0, out.s, 20);
        memcpy(out.s + 20, &crc, 4);
    }
    if (!strcmp(mode, "one-byte"))
        for (size_t i = 0; i + 1 < out.len; i++)
            send(&(struct base_text){ .s = out.s + i }, 1);
    send(&(struct base_text){ .s = out.s + (strcmp(mode, "one-byte") ? 0 : out.len - 1) }, strcmp(mode, "one-byte") ? out.len : 1);
    out.len = 0;
    for (ssize_t n; (n = read(0, buf, sizeof buf)) > 0;) {
        if (session_feed(s, buf, (size_t)n, &out))
            return 2;
        if (out.len)
            send_answer(mode, &out);
    }
    base_text_free(&out);
    session_free(s);
    session_model_free(model);
    return 0;
}

static char self[4096];

static const char *board(const char *mode)
{
    static char text[16][4200];
    static int next;
    char *t = text[next++ % 16];
    snprintf(t, sizeof text[0], "%s --board %s", self, mode);
    return t;
}

/* ---- a job ------------------------------------------------------------------------------------ */

struct job { struct hw hw; struct fixed_net *net; struct accel_program *program; struct score_job score; struct score_result *out; };

static void open_job(struct job *j)
{
    const struct fixed_random limits = { .max_layers = 4, .max_size = 10, .max_channels = 20 };
    *j = (struct job){ 0 };
    assert_ok(hw_load(&j->hw, "pynq-z2"));
    for (uint64_t seed = 5;; seed += 1000) {
        assert_non_null(j->net = fixed_random_net(seed, &limits));
        if (!accel_compile(&j->program, j->net, &j->hw))
            break;
        fixed_net_free(j->net);
    }
    assert_non_null(j->out = BASE_NEW(struct score_result));
    j->score = (struct score_job){ .net = j->net, .program = j->program };
}

static void close_job(struct job *j)
{
    accel_program_free(j->program);
    fixed_net_free(j->net);
    base_free(j->out);
    remote_close(j->score.boards);
}

/* Scores `images` made-up images on the boards; the code. */
static int score(struct job *j, const char *const *commands, int n, int images, double deadline_s)
{
    static uint8_t pixels[64 * 4096];
    assert_true((size_t)images * j->program->input_bytes <= sizeof pixels);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    j->score.pixels = pixels;
    j->score.images = images;
    int rc = remote_open(&j->score.boards, commands, n, deadline_s);
    return rc ? rc : score_run(j->out, "remote", &j->score);
}

/* ---- frames ----------------------------------------------------------------------------------- */

static void test_frames(void **state)
{
    (void)state;
    struct base_text t = { 0 };
    struct frame_reader r = { 0 };
    struct frame f;
    uint64_t v;
    frame_add(&t, FRAME_HAVE, 7, "abcd", 4, "efgh", 4);
    frame_add(&t, FRAME_NEED, 8, NULL, 0, NULL, 0);
    for (size_t i = 0; i < t.len; i++) {
        assert_ok(frame_feed(&r, t.s + i, 1));
        int got = frame_next(&r, &f);
        assert_int_equal(got, i == FRAME_HEAD + 7 || i == t.len - 1);
        if (i == FRAME_HEAD + 7) {
            assert_int_equal(f.kind, FRAME_HAVE);
            assert_int_equal(f.number, 7);
            assert_int_equal(f.n, 8);
            assert_memory_equal(f.bytes, "abcdefgh", 8);
            assert_true(frame_take(&f, 4, &v) && v == 0x64636261);
            assert_true(frame_take(&f, 2, &v) && v == 0x6665);
            assert_false(frame_take(&f, 4, &v));
        }
    }
    assert_int_equal(f.kind, FRAME_NEED);
    frame_reader_free(&r);
    /* every bit counts */
    for (size_t bit = 0; bit < 8 * (FRAME_HEAD + 8); bit++) {
        t.s[bit / 8] ^= (char)(1 << bit % 8);
        assert_ok(frame_feed(&r, t.s, t.len));
        assert_int_equal(frame_next(&r, &f), BASE_INPUT);
        frame_reader_free(&r);
        t.s[bit / 8] ^= (char)(1 << bit % 8);
    }
    /* a length within the kind's limit is waited for without room being made for it */
    struct base_text big = { 0 };
    frame_add(&big, FRAME_PACK, 1, NULL, 0, NULL, 0);
    uint32_t n = 200u << 20, crc;
    memcpy(big.s + 12, &n, 4);
    crc = base_crc32c(0, big.s, 20);
    memcpy(big.s + 20, &crc, 4);
    assert_ok(frame_feed(&r, big.s, big.len));
    assert_int_equal(frame_next(&r, &f), 0);
    assert_true(r.in.cap < 4096);
    frame_reader_free(&r);
    base_text_free(&big);
    base_text_free(&t);
}

/* ---- the board's side --------------------------------------------------------------------------- */

static void test_hostile_host(void **state)
{
    (void)state;
    static const struct { enum frame_kind kind; size_t n; const char *words; } bad[] = {
        { FRAME_HELLO, 4, "not a host's" }, { FRAME_READY, 4, "not a host's" }, { FRAME_HAVE, 7, "8 bytes" }, { FRAME_PACK, 7, "its hash" },
        { FRAME_PACK, 20, "its hash" }, { FRAME_RUN, 8, "before a pack" },
    };
    struct toy toy = { 0 };
    const struct session_engine engine = { &toy, toy_load, toy_run, toy_unload };
    for (int i = 0; i < BASE_COUNT(bad); i++) {
        struct base_text in = { 0 }, out = { 0 };
        struct session *s = session_new(&engine, "pynq-z2", 1, FRAME_EMULATED);
        frame_add(&in, bad[i].kind, 1, "aaaaaaaaaaaaaaaaaaaaaaaa", bad[i].n, NULL, 0);
        assert_error(session_feed(s, in.s, in.len, &out), BASE_INPUT, bad[i].words);
        session_free(s);
        base_text_free(&in);
        base_text_free(&out);
    }
}

/* A damaged pack with the right hash is an answer, not the end. */
static void test_bad_pack(void **state)
{
    (void)state;
    struct toy toy = { 0 };
    const struct session_engine engine = { &toy, toy_load, toy_run, toy_unload };
    struct base_text in = { 0 }, out = { 0 }, hash = { 0 };
    struct session *s = session_new(&engine, "pynq-z2", 1, FRAME_EMULATED);
    frame_put(&hash, base_hash64(0, "no pack", 7), 8);
    frame_add(&in, FRAME_PACK, 3, hash.s, 8, "no pack", 7);
    assert_ok(session_feed(s, in.s, in.len, &out));
    assert_int_equal(out.s[6], FRAME_FAILED);
    assert_int_equal(out.s[8], 3);
    assert_non_null(memmem(out.s, out.len, "the pack", 8));
    session_free(s);
    base_text_free(&in);
    base_text_free(&out);
    base_text_free(&hash);
}

/* ---- the host's side ------------------------------------------------------------------------------ */

static void test_boards(void **state)
{
    (void)state;
    struct job j;
    const char *two[] = { board("good"), board("one-byte") };
    open_job(&j);
    assert_ok(score(&j, two, 2, 9, 30));
    assert_int_equal(j.out->bit_exact, 1);
    assert_int_equal(j.out->images, 9);
    assert_int_equal(j.out->cycles, j.out->model_cycles);
    assert_string_equal(j.out->cycles_source, "xrt-emulation");
    assert_int_equal(j.out->unit[4].idle, 7);
    assert_int_equal(remote_boards(j.score.boards), 2);
    assert_ok(score_run(j.out, "remote", &j.score));         /* the same boards again, the pack is there */
    close_job(&j);
}

/* No device at all: everything a device says but the stages' counters. */
static void test_model(void **state)
{
    (void)state;
    struct job j;
    const char *one[] = { board("model") };
    open_job(&j);
    assert_ok(score(&j, one, 1, 3, 30));
    assert_int_equal(j.out->bit_exact, 1);
    assert_int_equal(j.out->cycles, j.out->model_cycles);
    assert_true(j.out->load_cycles > 0 && j.out->layer[0].cycles > 0);
    assert_string_equal(j.out->cycles_source, "model");
    assert_int_equal(j.out->n_unit, 0);
    close_job(&j);
}

/* A board that goes wrong is dropped, its images are done by the other. */
static void test_dropped(void **state)
{
    (void)state;
    static const char *const bad[] = { "stall", "die", "truncate", "flip", "other-pack", "mute", "garbage", "version", "lost", "slow-reader" };
    for (int i = 0; i < BASE_COUNT(bad); i++) {
        struct job j;
        const char *commands[] = { board(bad[i]), board("good") };
        open_job(&j);
        bool silent = !strcmp(bad[i], "stall") || !strcmp(bad[i], "mute") || !strcmp(bad[i], "slow-reader");
        double start = base_seconds();
        assert_ok(score(&j, commands, 2, 5, silent ? 2 : 30));
        assert_int_equal(j.out->bit_exact, 1);
        assert_int_equal(j.out->images, 5);
        assert_true(remote_boards(j.score.boards) == 1);
        assert_true(base_seconds() - start < 25);
        close_job(&j);
    }
}

static void test_none_left(void **state)
{
    (void)state;
    static const struct { const char *mode, *words; } bad[] = {
        { "die", "the board lost its power" }, { "flip", "arrived damaged" }, { "garbage", "not Bitpress's protocol" }, { "version", "version 9" },
        { "source", "which board it is" }, { "truncate", "has ended" }, { "other-pack", "another pack" }, { "lost", "does not answer" },
    };
    for (int i = 0; i < BASE_COUNT(bad); i++) {
        struct job j;
        const char *one[] = { board(bad[i].mode) };
        open_job(&j);
        assert_error(score(&j, one, 1, 1, 30), BASE_MISSING, bad[i].words);
        assert_non_null(strstr(base_error(), one[0]));
        close_job(&j);
    }
    struct job j;
    const char *nowhere[] = { "echo 'no route to host' >&2; exit 255", "/nonexistent/ssh board" };
    open_job(&j);
    assert_error(score(&j, nowhere, 2, 1, 30), BASE_MISSING, "no route to host");
    assert_error(remote_open(&j.score.boards, nowhere, 0, 1), BASE_INPUT, "1 to 16");
    close_job(&j);
}

/* What is the pack's or the array's fault is nobody else's to do again. */
static void test_not_retried(void **state)
{
    (void)state;
    static const struct { const char *mode, *words; int code; } bad[] = {
        { "broken", "code 9", BASE_INTERNAL }, { "wrong", "the reference says", BASE_INTERNAL }, { "other-array", "was compiled for pynq-z2", BASE_INPUT },
    };
    for (int i = 0; i < BASE_COUNT(bad); i++) {
        struct job j;
        const char *one[] = { board(bad[i].mode) };
        open_job(&j);
        assert_error(score(&j, one, 1, 1, 30), bad[i].code, bad[i].words);
        assert_int_equal(remote_boards(j.score.boards), 1);
        close_job(&j);
    }
    struct job j;
    open_job(&j);
    assert_error(score_run(j.out, "remote", &j.score), BASE_INPUT, "needs a command");
    close_job(&j);
}

/* No process is left, and no descriptor. */
static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_nothing_left(void **state)
{
    (void)state;
    int before = descriptors();
    for (int i = 0; i < 5; i++) {
        struct job j;
        const char *commands[] = { board("die"), board("good"), board("garbage") };
        open_job(&j);
        assert_ok(score(&j, commands, 3, 3, 30));
        close_job(&j);
    }
    assert_int_equal(descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(int argc, char **argv)
{
    base_log_level(BASE_LOG_QUIET);
    if (argc == 3 && !strcmp(argv[1], "--board"))
        return board_main(argv[2]);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames), cmocka_unit_test(test_hostile_host), cmocka_unit_test(test_bad_pack), cmocka_unit_test(test_boards), cmocka_unit_test(test_model), cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_none_left), cmocka_unit_test(test_not_retried), cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
