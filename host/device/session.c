#include "device/session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "device/wire.h"

/* Packs are kept as they came, the oldest forgotten first. */
enum { KEEP = 64, KEEP_BYTES = 64 << 20 };

struct kept { uint64_t hash; uint8_t *bytes; size_t n; };

struct session {
    const struct session_engine *engine;
    char board[32];
    uint64_t hw_hash;
    enum frame_source source;
    struct frame_reader in;
    struct kept kept[KEEP];    /* oldest first */
    int n_kept;
    uint64_t ready;            /* hash of the pack that runs */
    struct pack *loaded;       /* it, or NULL */
    uint64_t load_cycles;
    size_t image_bytes, classes;
};

struct session *session_new(const struct session_engine *engine, const char *board, uint64_t hw_hash, enum frame_source source)
{
    struct session *s = BASE_NEW(struct session);
    if (s) {
        s->engine = engine;
        s->hw_hash = hw_hash;
        s->source = source;
        snprintf(s->board, sizeof s->board, "%s", board);
    }
    return s;
}

static void unload(struct session *s)
{
    if (s->loaded)
        s->engine->unload(s->engine->ctx);
    pack_free(s->loaded);
    s->loaded = NULL;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    unload(s);
    for (int i = 0; i < s->n_kept; i++)
        base_free(s->kept[i].bytes);
    frame_reader_free(&s->in);
    base_free(s);
}

void session_hello(struct session *s, struct base_text *out)
{
    struct base_text t = { 0 };
    frame_put(&t, s->hw_hash, 8);
    frame_put(&t, s->source, 1);
    frame_add(out, FRAME_HELLO, 0, t.s, t.len, s->board, strlen(s->board));
    out->failed |= t.failed;
    base_text_free(&t);
}

/* ---- packs -------------------------------------------------------------------------------- */

static const struct kept *find(const struct session *s, uint64_t hash)
{
    for (int i = 0; i < s->n_kept; i++)
        if (s->kept[i].hash == hash)
            return &s->kept[i];
    return NULL;
}

static int keep(struct session *s, uint64_t hash, const uint8_t *bytes, size_t n)
{
    size_t total = n;
    for (int i = 0; i < s->n_kept; i++)
        total += s->kept[i].n;
    while (s->n_kept && (s->n_kept == KEEP || total > KEEP_BYTES)) {
        total -= s->kept[0].n;
        base_free(s->kept[0].bytes);
        memmove(s->kept, s->kept + 1, sizeof s->kept[0] * (size_t)--s->n_kept);
    }
    struct kept k = { .hash = hash, .bytes = base_alloc(n ? n : 1), .n = n };
    if (!k.bytes)
        return BASE_NOMEM;
    memcpy(k.bytes, bytes, n);
    s->kept[s->n_kept++] = k;
    return BASE_OK;
}

static int load(struct session *s, const struct kept *k)
{
    struct pack *p = NULL;
    if (s->loaded && s->ready == k->hash)
        return BASE_OK;
    unload(s);
    int rc = pack_parse(&p, k->bytes, k->n, "the pack");
    if (!rc && (!*p->board || p->hw_hash != s->hw_hash))
        rc = base_hint(base_fail(BASE_INPUT, "the pack was compiled for %s, the array here is that of %s", *p->board ? p->board : "no board", s->board), "serve --board names the board");
    if (!rc)
        rc = s->engine->load(s->engine->ctx, p, &s->load_cycles);
    if (!rc) {
        const struct fixed_edge *in = &p->net->edge[0];
        s->ready = k->hash;
        s->image_bytes = (size_t)in->h * (size_t)in->w * (size_t)in->c;
        s->classes = (size_t)p->net->classes;
        s->loaded = p;
    } else {
        pack_free(p);
    }
    return rc;
}

static int make_ready(struct session *s, const struct kept *k, uint32_t number, struct base_text *out)
{
    struct base_text t = { 0 };
    int rc = load(s, k);
    if (rc)
        return rc;
    frame_put(&t, s->ready, 8);
    frame_put(&t, s->load_cycles, 8);
    frame_put(&t, s->image_bytes, 4);
    frame_put(&t, s->classes, 4);
    frame_add(out, FRAME_READY, number, t.s, t.len, NULL, 0);
    out->failed |= t.failed;
    base_text_free(&t);
    return BASE_OK;
}

/* ---- requests ------------------------------------------------------------------------------ */

static int nonsense(const char *what)
{
    return base_fail(BASE_INPUT, "%s", what);
}

static int have(struct session *s, struct frame *f, struct base_text *out, bool *hostile)
{
    uint64_t hash;
    *hostile = !frame_take(f, 8, &hash) || f->n;
    if (*hostile)
        return nonsense("a question for a pack has 8 bytes");
    const struct kept *k = find(s, hash);
    if (k)
        return make_ready(s, k, f->number, out);
    frame_add(out, FRAME_NEED, f->number, NULL, 0, NULL, 0);
    return BASE_OK;
}

static int take_pack(struct session *s, struct frame *f, struct base_text *out, bool *hostile)
{
    uint64_t hash;
    *hostile = !frame_take(f, 8, &hash) || hash != base_hash64(0, f->bytes, f->n);
    if (*hostile)
        return nonsense("a pack's bytes are not those of its hash");
    const struct kept *k = find(s, hash);
    int rc = k ? BASE_OK : keep(s, hash, f->bytes, f->n);
    return rc ? rc : make_ready(s, find(s, hash), f->number, out);
}

static void add_results(struct session *s, struct base_text *t, int n, const int32_t *logits, const struct device_image *image, const struct device_counters *c)
{
    for (int i = 0; i < n; i++) {
        frame_put(t, image[i].cycles, 8);
        frame_put(t, image[i].seconds > 0 ? (uint64_t)(image[i].seconds * 1e9) : 0, 8);
        for (size_t k = 0; k < s->classes; k++)
            frame_put(t, (uint32_t)logits[(size_t)i * s->classes + k], 4);
    }
    frame_put(t, c->cycles, 8);
    frame_put(t, c->n_layer, 4);
    for (uint32_t l = 0; l < c->n_layer; l++)
        frame_put(t, c->layer[l], 4);
    for (int u = 0; u < 15; u++)
        frame_put(t, c->unit[u / 3][u % 3], 4);
}

static int run(struct session *s, struct frame *f, struct base_text *out, bool *hostile)
{
    uint64_t n;
    *hostile = !s->loaded || !frame_take(f, 4, &n) || n < 1 || n > WIRE_MAX_IMAGES || f->n != n * s->image_bytes;
    if (*hostile)
        return nonsense(s->loaded ? "a run's images have another size than the pack's" : "a run before a pack");
    struct base_text t = { 0 };
    struct device_counters c = { 0 };
    int32_t *logits = BASE_NEW_N(int32_t, n * s->classes);
    struct device_image *image = BASE_NEW_N(struct device_image, n);
    int rc = logits && image ? s->engine->run(s->engine->ctx, f->bytes, (int)n, logits, image, &c) : BASE_NOMEM;
    if (rc) {
        unload(s);             /* whatever state the device is in */
    } else {
        add_results(s, &t, (int)n, logits, image, &c);
        frame_add(out, FRAME_RESULT, f->number, t.s, t.len, NULL, 0);
        out->failed |= t.failed;
    }
    base_text_free(&t);
    base_free(logits);
    base_free(image);
    return rc;
}

static void add_failure(struct base_text *out, uint32_t number, int rc)
{
    struct base_text t = { 0 };
    frame_put(&t, (uint32_t)rc, 4);
    base_text_add(&t, "%.*s", FRAME_MAX_TEXT - 1, base_error());
    base_text_add_bytes(&t, "", 1);
    base_text_add(&t, "%.*s", FRAME_MAX_TEXT - 1, base_error_hint());
    base_text_add_bytes(&t, "", 1);
    frame_add(out, FRAME_FAILED, number, t.s, t.len, NULL, 0);
    out->failed |= t.failed;
    base_text_free(&t);
}

static int answer(struct session *s, struct frame *f, struct base_text *out)
{
    bool hostile = false;
    int rc;
    base_error_clear();
    switch (f->kind) {
    case FRAME_HAVE: rc = have(s, f, out, &hostile); break;
    case FRAME_PACK: rc = take_pack(s, f, out, &hostile); break;
    case FRAME_RUN: rc = run(s, f, out, &hostile); break;
    default: return base_fail(BASE_INPUT, "a message of kind %d is not a host's", (int)f->kind);
    }
    if (rc && hostile)
        return rc;
    if (rc)
        add_failure(out, f->number, rc);
    return out->failed ? BASE_NOMEM : BASE_OK;
}

int session_feed(struct session *s, const void *bytes, size_t n, struct base_text *out)
{
    struct frame f;
    int rc = frame_feed(&s->in, bytes, n), got = 0;
    while (!rc && (got = frame_next(&s->in, &f)) > 0)
        rc = answer(s, &f, out);
    return rc ? rc : got;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static int send_all(int out, struct base_text *t)
{
    for (size_t done = 0; done < t->len;) {
        ssize_t n = write(out, t->s + done, t->len - done);
        if (n < 0 && errno != EINTR)
            return base_fail(BASE_IO, "the host is gone: %s", strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    t->len = 0;
    return BASE_OK;
}

int session_serve(struct session *s, int in, int out)
{
    static const size_t STEP = 1 << 16;
    struct base_text reply = { 0 };
    uint8_t *buf = base_alloc(STEP);
    int rc = buf ? BASE_OK : BASE_NOMEM;
    session_hello(s, &reply);
    if (!rc)
        rc = reply.failed ? BASE_NOMEM : send_all(out, &reply);
    while (!rc && !base_stop_requested()) {
        struct pollfd p = { .fd = in, .events = POLLIN };
        if (poll(&p, 1, 200) <= 0)   /* in steps, so that a signal is noticed */
            continue;
        ssize_t n = read(in, buf, STEP);
        if (n == 0 && s->in.in.len > s->in.taken)
            rc = base_fail(BASE_INPUT, "the host ended in the middle of a message");
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        rc = n < 0 ? base_fail(BASE_IO, "the host is gone: %s", strerror(errno)) : session_feed(s, buf, (size_t)n, &reply);
        int sent = send_all(out, &reply);          /* the answers before the nonsense, too */
        rc = rc ? rc : sent;
    }
    base_text_free(&reply);
    base_free(buf);
    return rc;
}
