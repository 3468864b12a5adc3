#include "device/frame.h"

#include <string.h>

static const char magic[4] = "BPRM";

/* The most bytes that a kind may have. */
static const uint32_t limit[FRAME_KINDS] = {
    [FRAME_HELLO] = 64, [FRAME_HAVE] = 8, [FRAME_NEED] = 0, [FRAME_PACK] = 8 + (256u << 20), [FRAME_READY] = 24,
    [FRAME_RUN] = 4 + (64u << 20), [FRAME_RESULT] = 64u << 20, [FRAME_FAILED] = 4 + 2 * FRAME_MAX_TEXT,
};

static uint64_t get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    while (n--)
        v = v << 8 | p[n];
    return v;
}

static void put(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

int frame_feed(struct frame_reader *r, const void *bytes, size_t n)
{
    if (r->taken) {            /* room for what follows, not for what has been */
        r->in.len -= r->taken;
        memmove(r->in.s, r->in.s + r->taken, r->in.len);
        r->taken = 0;
    }
    base_text_add_bytes(&r->in, bytes, n);
    return r->in.failed ? BASE_NOMEM : BASE_OK;
}

static int check_head(const uint8_t *h)
{
    if (memcmp(h, magic, sizeof magic) || get(h + 20, 4) != base_crc32c(0, h, 20))
        return base_fail(BASE_INPUT, "what arrives is not Bitpress's protocol");
    if (get(h + 4, 2) != FRAME_VERSION)
        return base_hint(base_fail(BASE_INPUT, "the other side speaks version %d of the protocol, this side version %d", (int)get(h + 4, 2), FRAME_VERSION), "install the same Bitpress on both");
    uint64_t kind = get(h + 6, 2), n = get(h + 12, 4);
    if (kind < 1 || kind >= FRAME_KINDS || n > limit[kind])
        return base_fail(BASE_INPUT, "a message of kind %d and %llu bytes is not allowed", (int)kind, (unsigned long long)n);
    return BASE_OK;
}

int frame_next(struct frame_reader *r, struct frame *out)
{
    const uint8_t *h = (const uint8_t *)r->in.s + r->taken;
    size_t have = r->in.len - r->taken;
    if (have < FRAME_HEAD)
        return 0;
    int rc = check_head(h);
    if (rc)
        return rc;
    size_t n = get(h + 12, 4);
    if (have < FRAME_HEAD + n)
        return 0;
    if (get(h + 16, 4) != base_crc32c(0, h + FRAME_HEAD, n))
        return base_fail(BASE_INPUT, "a message arrived damaged");
    *out = (struct frame){ .kind = (enum frame_kind)get(h + 6, 2), .number = (uint32_t)get(h + 8, 4), .bytes = h + FRAME_HEAD, .n = n };
    r->taken += FRAME_HEAD + n;
    return 1;
}

void frame_reader_free(struct frame_reader *r)
{
    base_text_free(&r->in);
    *r = (struct frame_reader){ 0 };
}

void frame_add(struct base_text *out, enum frame_kind kind, uint32_t number, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uint8_t h[FRAME_HEAD];
    a = a ? a : "";
    b = b ? b : "";
    memcpy(h, magic, sizeof magic);
    put(h + 4, FRAME_VERSION, 2);
    put(h + 6, kind, 2);
    put(h + 8, number, 4);
    put(h + 12, a_bytes + b_bytes, 4);
    put(h + 16, base_crc32c(base_crc32c(0, a, a_bytes), b, b_bytes), 4);
    put(h + 20, base_crc32c(0, h, 20), 4);
    base_text_add_bytes(out, h, sizeof h);
    base_text_add_bytes(out, a, a_bytes);
    base_text_add_bytes(out, b, b_bytes);
}

void frame_put(struct base_text *t, uint64_t v, int n)
{
    uint8_t b[8];
    put(b, v, 8);
    base_text_add_bytes(t, b, (size_t)n);
}

bool frame_take(struct frame *f, int n, uint64_t *v)
{
    if (f->n < (size_t)n)
        return false;
    *v = get(f->bytes, n);
    f->bytes += n;
    f->n -= (size_t)n;
    return true;
}
