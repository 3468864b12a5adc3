/* Both ends of the protocol between a host and a board elsewhere: the bytes as they are, and as the payloads of frames whose
 * checksums are right. The first byte says which end hears them. */
#include "fuzz.h"

#include "device/session.h"

static int load(void *ctx, const struct pack *pack, uint64_t *load_cycles)
{
    (void)ctx, (void)pack;
    *load_cycles = 5;
    return BASE_OK;
}

static int run(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *counters)
{
    (void)ctx, (void)pixels, (void)logits, (void)image;
    counters->n_layer = (uint32_t)n % PROGRAM_TIMED_LAYERS;
    return n % 3 ? BASE_OK : base_fail(BASE_MISSING, "gone");
}

static void unload(void *ctx) { (void)ctx; }

/* Frames of the input's pieces: kind, length, bytes; a pack gets its right hash. */
static void frame_up(struct base_text *out, const uint8_t *p, size_t len)
{
    while (len >= 2) {
        enum frame_kind kind = (enum frame_kind)(1 + p[0] % (FRAME_KINDS - 1));
        size_t n = BASE_MIN((size_t)p[1] * (p[0] & 128 ? 64 : 1), len - 2);
        struct base_text hash = { 0 };
        frame_put(&hash, base_hash64(0, p + 2, n), 8);
        if (kind == FRAME_PACK)
            frame_add(out, kind, p[0], hash.s, hash.len, p + 2, n);
        else
            frame_add(out, kind, p[0], p + 2, n, NULL, 0);
        base_text_free(&hash);
        p += 2 + n;
        len -= 2 + n;
    }
}

static void to_board(const uint8_t *bytes, size_t len, size_t step)
{
    const struct session_engine engine = { NULL, load, run, unload };
    struct base_text out = { 0 };
    struct session *s = session_new(&engine, "pynq-z2", UINT64_C(0x8877665544332211), FRAME_EMULATED);
    int rc = BASE_OK;
    for (size_t at = 0; !rc && at < len; at += step)
        rc = session_feed(s, bytes + at, BASE_MIN(step, len - at), &out);
    fuzz_result(rc);
    session_free(s);
    base_text_free(&out);
}

static void to_host(const uint8_t *bytes, size_t len, size_t step)
{
    struct frame_reader r = { 0 };
    struct frame f;
    uint64_t v;
    int got = 0;
    for (size_t at = 0; got >= 0 && at < len; at += step) {
        FUZZ_DEMAND(!frame_feed(&r, bytes + at, BASE_MIN(step, len - at)));
        while ((got = frame_next(&r, &f)) > 0)
            while (frame_take(&f, 1 + (int)(f.n & 7), &v))
                ;
    }
    fuzz_result(BASE_MIN(got, 0));
    frame_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (!len)
        return 0;
    struct base_text t = { 0 };
    size_t step = 1 + (bytes[0] & 127);
    frame_up(&t, bytes + 1, len - 1);
    to_board(bytes + 1, len - 1, step);
    to_host(bytes + 1, len - 1, step);
    to_board((const uint8_t *)t.s, t.len, step);
    to_host((const uint8_t *)t.s, t.len, step);
    base_text_free(&t);
    return 0;
}
