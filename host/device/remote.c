/* remote.c: the host's side: the boards, one request at a time each. */
#define _GNU_SOURCE
#include "device/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/device_internal.h"
#include "device/frame.h"
#include "device/process.h"
#include "device/wire.h"

enum { DEADLINE_S = 120, WHY = 512, UNITS = 15 };
static const double CLOSE_S = 1;

struct board {
    const char *command;       /* the caller's */
    struct device_process process;
    int log;                   /* its standard error */
    struct frame_reader in;
    uint32_t number;           /* of the last request */
    char name[32];
    uint64_t hw_hash;
    bool alive, busy, ready;
    enum frame_source source;
    uint64_t pack, load_cycles;   /* ready: what is loaded there */
    char why[WHY];             /* not alive any more */
};

struct remote {
    double deadline_s;
    int n;
    struct board board[REMOTE_MAX];
    pthread_mutex_t lock;
    pthread_cond_t freed;
    char *commands[REMOTE_MAX];
};

/* ---- bytes, until a deadline ----------------------------------------------------------------- */

static int gone(struct board *b)
{
    char buf[320];
    device_last_words(b->log, buf);
    return base_fail(BASE_MISSING, "the command has ended%s%s", *buf ? ": " : "", buf);
}

/* Waits for one descriptor in steps, so that a signal is noticed; what is there already is found even when it is late. */
static int wait_for(int fd, short events, double until)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = events };
        double left = BASE_MAX(until - base_seconds(), 0.0);
        if (base_stop_requested())
            return base_fail(BASE_STOPPED, "stopped");
        if (poll(&p, 1, left > 0 ? (int)BASE_MIN(left * 1000 + 1, 200.0) : 0) > 0)
            return BASE_OK;
        if (left <= 0)
            return base_fail(BASE_MISSING, "it does not answer");
    }
}

static int receive(struct board *b, double until, struct frame *f)
{
    uint8_t buf[1 << 14];
    int got, rc = BASE_OK;
    while (!(got = frame_next(&b->in, f)) && !rc) {
        rc = wait_for(b->process.from, POLLIN, until);
        if (rc)
            return rc;
        ssize_t n = read(b->process.from, buf, sizeof buf);
        if (n == 0 || (n < 0 && errno != EINTR))
            return gone(b);
        rc = n > 0 ? frame_feed(&b->in, buf, (size_t)n) : BASE_OK;
    }
    return got < 0 ? got : rc;
}

/* The pipe does not block, so a board that reads nothing is noticed. */
static int send_bytes(struct board *b, const struct base_text *t, double until)
{
    int rc = t->failed ? BASE_NOMEM : BASE_OK;
    for (size_t done = 0; !rc && done < t->len;) {
        rc = wait_for(b->process.to, POLLOUT, until);
        ssize_t n = rc ? 0 : device_process_write(&b->process, t->s + done, t->len - done);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            rc = gone(b);
        done += n > 0 ? (size_t)n : 0;
    }
    return rc;
}

/* ---- requests and answers --------------------------------------------------------------------- */

static int failure(struct frame *f, int *failed)
{
    uint64_t code;
    if (!frame_take(f, 4, &code) || f->n < 2 || f->bytes[f->n - 1])
        return base_fail(BASE_INPUT, "its failure cannot be read");
    const char *text = (const char *)f->bytes;
    size_t len = strlen(text) + 1;
    const char *hint = len < f->n ? text + len : "";
    int rc = (int32_t)(uint32_t)code;
    *failed = rc == BASE_INPUT || rc == BASE_MISSING || rc == BASE_IO || rc == BASE_NOMEM || rc == BASE_INTERNAL ? rc : BASE_INTERNAL;
    base_fail(*failed, "%.*s", FRAME_MAX_TEXT, text);
    if (*hint)
        base_hint(*failed, "%.*s", FRAME_MAX_TEXT, hint);
    return BASE_OK;
}

/* One question, its answer in `f`. *failed: what the board says went wrong there, with its message. Anything else that
 * is not the answer is an error of the connection. */
static int ask(struct board *b, enum frame_kind kind, const void *x, size_t nx, const void *y, size_t ny, double deadline_s, struct frame *f, int *failed)
{
    struct base_text t = { 0 };
    double until = base_seconds() + deadline_s;
    *failed = BASE_OK;
    frame_add(&t, kind, ++b->number, x, nx, y, ny);
    int rc = send_bytes(b, &t, until);
    base_text_free(&t);
    if (!rc)
        rc = receive(b, until, f);
    if (!rc && (f->number != b->number || (f->kind != FRAME_FAILED && f->kind != FRAME_READY && f->kind != FRAME_NEED && f->kind != FRAME_RESULT)))
        rc = base_fail(BASE_INPUT, "it answers something else than what was asked");
    return !rc && f->kind == FRAME_FAILED ? failure(f, failed) : rc;
}

static int take_ready(struct board *b, struct frame *f, const struct remote_pack *p)
{
    uint64_t hash, load, bytes, classes;
    if (f->kind != FRAME_READY || !frame_take(f, 8, &hash) || !frame_take(f, 8, &load) || !frame_take(f, 4, &bytes) || !frame_take(f, 4, &classes) || f->n)
        return base_fail(BASE_INPUT, "it does not say that the pack is ready");
    if (hash != p->hash || bytes != p->image_bytes || classes != p->classes)
        return base_fail(BASE_INPUT, "it has another pack ready than the one that was sent");
    b->ready = true;
    b->pack = hash;
    b->load_cycles = load;
    return BASE_OK;
}

static int make_ready(struct board *b, const struct remote_pack *p, double deadline_s, int *failed)
{
    struct frame f;
    struct base_text hash = { 0 };
    *failed = BASE_OK;
    if (b->ready && b->pack == p->hash)
        return BASE_OK;
    b->ready = false;
    frame_put(&hash, p->hash, 8);
    int rc = hash.failed ? BASE_NOMEM : ask(b, FRAME_HAVE, hash.s, hash.len, NULL, 0, deadline_s, &f, failed);
    if (!rc && !*failed && f.kind == FRAME_NEED)
        rc = ask(b, FRAME_PACK, hash.s, hash.len, p->bytes, p->n, deadline_s, &f, failed);
    base_text_free(&hash);
    return rc || *failed ? rc : take_ready(b, &f, p);
}

static int cut_short(void)
{
    return base_fail(BASE_INPUT, "its results have another size than was asked for");
}

static int take_results(struct frame *f, const struct remote_pack *p, int n, int32_t *logits, struct device_image *image, struct device_counters *c)
{
    uint64_t v, layers, cycles, ns;
    if (f->kind != FRAME_RESULT || f->n != (size_t)n * (16 + 4 * p->classes) + 12 + 4 * p->layers + 4 * UNITS)
        return cut_short();
    for (int i = 0; i < n; i++) {
        if (!frame_take(f, 8, &cycles) || !frame_take(f, 8, &ns))
            return cut_short();
        if (image)
            image[i] = (struct device_image){ .cycles = cycles, .seconds = (double)ns * 1e-9 };
        for (size_t k = 0; k < p->classes; k++) {
            if (!frame_take(f, 4, &v))
                return cut_short();
            logits[(size_t)i * p->classes + k] = (int32_t)(uint32_t)v;
        }
    }
    if (!frame_take(f, 8, &cycles) || !frame_take(f, 4, &layers) || layers != p->layers || layers > PROGRAM_TIMED_LAYERS)
        return cut_short();
    *c = (struct device_counters){ .cycles = cycles, .n_layer = (uint32_t)layers };
    for (size_t l = 0; l < layers && frame_take(f, 4, &v); l++)
        c->layer[l] = (uint32_t)v;
    for (int u = 0; u < UNITS && frame_take(f, 4, &v); u++)
        c->unit[u / 3][u % 3] = (uint32_t)v;
    return f->n ? cut_short() : BASE_OK;
}

static int run_on(struct board *b, const struct remote_pack *p, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct remote_result *out, double deadline_s, int *failed)
{
    struct frame f;
    struct base_text count = { 0 };
    int rc = make_ready(b, p, deadline_s, failed);
    if (rc || *failed)
        return rc;
    frame_put(&count, (uint32_t)n, 4);
    rc = count.failed ? BASE_NOMEM : ask(b, FRAME_RUN, count.s, count.len, pixels, (size_t)n * p->image_bytes, deadline_s * n, &f, failed);
    base_text_free(&count);
    if (*failed)
        b->ready = false;
    if (!rc && !*failed)
        rc = take_results(&f, p, n, logits, image, &out->counters);
    out->load_cycles = b->load_cycles;
    out->source = b->source;
    return rc;
}

/* ---- a board's life ------------------------------------------------------------------------------ */

static void bury(struct board *b, double patience)
{
    device_process_end(&b->process, patience);
    if (b->log >= 0)
        close(b->log);
    b->log = -1;
    frame_reader_free(&b->in);
    b->alive = false;
}

static int start(struct board *b, char *command)
{
    char sh[] = "/bin/sh", c[] = "-c", *argv[] = { sh, c, command, NULL };
    char **envp = device_env_merge(NULL);
    b->command = command;
    b->log = memfd_create("bitpress-remote", MFD_CLOEXEC);
    int rc = envp ? device_process_start(&b->process, argv, envp, b->log, command) : BASE_NOMEM;
    base_free(envp);
    if (!rc && fcntl(b->process.to, F_SETFL, O_NONBLOCK))
        rc = base_fail(BASE_IO, "%s: %s", command, strerror(errno));
    b->alive = !rc;
    return rc;
}

static int greet(struct board *b, double until)
{
    struct frame f;
    uint64_t source;
    int rc = receive(b, until, &f);
    if (rc)
        return rc;
    if (f.kind != FRAME_HELLO || !frame_take(&f, 8, &b->hw_hash) || !frame_take(&f, 1, &source) || source >= FRAME_SOURCES || f.n < 1 || f.n >= sizeof b->name || memchr(f.bytes, 0, f.n))
        return base_fail(BASE_INPUT, "it does not say which board it is");
    memcpy(b->name, f.bytes, f.n);
    for (size_t i = 0; i < f.n; i++)
        if (b->name[i] < ' ' || b->name[i] > '~')
            b->name[i] = '?';
    b->source = (enum frame_source)source;
    return BASE_OK;
}

static void drop(struct board *b)
{
    snprintf(b->why, sizeof b->why, "%s", base_error());
    bury(b, 0);
    base_warn("dropped '%s': %s", b->command, b->why);
}

/* Each with what became of it. */
static int none_left(const struct remote *r)
{
    struct base_text t = { 0 };
    for (int i = 0; i < r->n; i++)
        base_text_add(&t, "\n  %s: %s", r->board[i].command, r->board[i].why);
    int rc = base_fail(BASE_MISSING, "no remote board is left:%s", t.s ? t.s : "");
    base_text_free(&t);
    return base_hint(rc, "each command must reach `bitpress serve --stdio`; try it by hand: it prints a few bytes and waits");
}

int remote_boards(const struct remote *r)
{
    int n = 0;
    for (int i = 0; i < r->n; i++)
        n += r->board[i].alive;
    return n;
}

int remote_open(struct remote **out, const char *const *command, int n, double deadline_s)
{
    *out = NULL;
    if (n < 1 || n > REMOTE_MAX)
        return base_fail(BASE_INPUT, "remote: 1 to %d commands are needed, each of which reaches a board", REMOTE_MAX);
    struct remote *r = BASE_NEW(struct remote);
    if (!r)
        return BASE_NOMEM;
    int rc = BASE_OK;
    r->deadline_s = deadline_s > 0 ? deadline_s : DEADLINE_S;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->freed, NULL);
    for (int i = 0; i < n; i++)
        r->board[i] = (struct board){ .process = DEVICE_PROCESS_INIT, .log = -1 };
    for (int i = 0; !rc && i < n; i++) {
        r->commands[i] = base_strdup(command[i]);
        r->n += r->commands[i] != NULL;
        rc = r->commands[i] ? start(&r->board[i], r->commands[i]) : BASE_NOMEM;
    }
    double until = base_seconds() + r->deadline_s;
    for (int i = 0; !rc && i < n; i++) {
        int heard = greet(&r->board[i], until);
        if (heard == BASE_STOPPED || heard == BASE_NOMEM)
            rc = heard;
        else if (heard)
            drop(&r->board[i]);
    }
    if (!rc && !remote_boards(r))
        rc = none_left(r);
    if (rc) {
        remote_close(r);
        r = NULL;
    }
    *out = r;
    return rc;
}

void remote_close(struct remote *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n; i++)
        bury(&r->board[i], r->board[i].alive ? CLOSE_S : 0);
    for (int i = 0; i < r->n; i++)
        base_free(r->commands[i]);
    pthread_cond_destroy(&r->freed);
    pthread_mutex_destroy(&r->lock);
    base_free(r);
}

/* A free board, the one that has the pack if there is one; NULL: none is alive. */
static struct board *acquire(struct remote *r, uint64_t pack)
{
    struct board *best = NULL;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        int alive = 0;
        for (int i = 0; i < r->n; i++) {
            struct board *b = &r->board[i];
            alive += b->alive;
            if (b->alive && !b->busy && (!best || (b->ready && b->pack == pack)))
                best = b;
        }
        if (best || !alive)
            break;
        pthread_cond_wait(&r->freed, &r->lock);
    }
    if (best)
        best->busy = true;
    pthread_mutex_unlock(&r->lock);
    return best;
}

static void release(struct remote *r, struct board *b, bool broken)
{
    pthread_mutex_lock(&r->lock);
    if (broken)
        drop(b);
    b->busy = false;
    pthread_cond_broadcast(&r->freed);
    pthread_mutex_unlock(&r->lock);
}

int remote_run(struct remote *r, const struct remote_pack *pack, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct remote_result *out)
{
    if (n < 1 || n > WIRE_MAX_IMAGES)
        return base_fail(BASE_INPUT, "remote: %d images are too many at once", n);
    for (;;) {
        struct board *b = acquire(r, pack->hash);
        if (!b)
            return none_left(r);
        if (b->hw_hash != pack->hw_hash) {
            int rc = base_fail(BASE_INPUT, "'%s' has the array of %s, the pack was compiled for %s", b->command, b->name, pack->board);
            release(r, b, false);
            return base_hint(rc, "`serve --board` there and `--board` here name the same board");
        }
        int failed, rc = run_on(b, pack, pixels, n, logits, image, out, r->deadline_s, &failed);
        bool out_of_order = failed == BASE_MISSING || failed == BASE_IO;     /* there, not in the pack */
        bool ours = rc == BASE_STOPPED || rc == BASE_NOMEM;
        release(r, b, (rc && !ours) || out_of_order);
        if (ours || (!rc && !out_of_order))
            return rc ? rc : failed;
    }
}
