/* worker.c: the loop of a worker. XRT writes on standard output when it likes, so the messages get a descriptor
 * of their own and standard output becomes standard error. */
#include "runtime/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/wire.h"

struct worker {
    int to;                    /* the parent */
    bitpress *device;
    struct bitpress_network net;
    size_t image_bytes;
    uint8_t *pixels;           /* [WIRE_MAX_IMAGES at most][image_bytes] */
    int32_t *logits;
    struct bitpress_image *image;
    int cap;                   /* images there is room for */
};

/* ---- messages ---------------------------------------------------------------------------- */

static bool read_all(void *buf, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = read(0, (char *)buf + got, n - got);
        if (r == 0 || (r < 0 && errno != EINTR))
            return false;
        got += r > 0 ? (size_t)r : 0;
    }
    return true;
}

static bool write_all(const struct worker *w, const void *buf, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = write(w->to, (const char *)buf + done, n - done);
        if (r < 0 && errno != EINTR)
            return false;
        done += r > 0 ? (size_t)r : 0;
    }
    return true;
}

static bool send_two(const struct worker *w, uint32_t kind, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    struct wire_head h = { kind, (uint32_t)(a_bytes + b_bytes) };
    return write_all(w, &h, sizeof h) && write_all(w, a, a_bytes) && write_all(w, b, b_bytes);
}

/* The parent knows base's codes. */
static int base_code_of(int code)
{
    switch (code) {
    case BITPRESS_INPUT:
    case BITPRESS_MISMATCH: return BASE_INPUT;
    case BITPRESS_IO: return BASE_IO;
    case BITPRESS_MISSING:
    case BITPRESS_BUSY:
    case BITPRESS_STALLED: return BASE_MISSING;
    case BITPRESS_MEMORY: return BASE_NOMEM;
    default: return BASE_INTERNAL;
    }
}

static void send_failure(const struct worker *w, int code)
{
    struct wire_failed f = { base_code_of(code) };
    char text[WIRE_MAX_TEXT];
    int n = snprintf(text, sizeof text / 2, "%s", bitpress_error()) + 1;
    n = BASE_MIN(n, (int)sizeof text / 2);
    n += snprintf(text + n, sizeof text / 2, "%s", bitpress_hint()) + 1;
    send_two(w, WIRE_FAILED, &f, sizeof f, text, (size_t)BASE_MIN(n, (int)sizeof text));
}

/* ---- work -------------------------------------------------------------------------------- */

static int open_device(struct worker *w, char **argv, const struct runtime_driver *driver)
{
    const struct bitpress_options o = { .device = (unsigned)atoi(argv[1]), .xclbin = argv[2], .batch = atoi(argv[4]) };
    int rc = runtime_open(&w->device, &o, driver);
    if (!rc)
        rc = bitpress_load(w->device, argv[3]);
    if (!rc)
        rc = bitpress_network(&w->net, w->device);
    w->image_bytes = (size_t)w->net.height * (size_t)w->net.width * (size_t)w->net.channels;
    return rc;
}

static bool send_ready(const struct worker *w)
{
    const char *mode = getenv("XCL_EMULATION_MODE");
    const struct wire_ready r = { .version = WIRE_VERSION, .emulated = mode && *mode, .input_bytes = (uint32_t)w->image_bytes, .classes = (uint32_t)w->net.classes,
                                  .load_cycles = w->net.load_cycles };
    return send_two(w, WIRE_READY, &r, sizeof r, NULL, 0);
}

static int reserve(struct worker *w, int n)
{
    if (n <= w->cap)
        return BITPRESS_OK;
    base_free(w->pixels);
    base_free(w->logits);
    base_free(w->image);
    w->pixels = base_alloc((size_t)n * w->image_bytes);
    w->logits = BASE_NEW_N(int32_t, (size_t)n * (size_t)w->net.classes);
    w->image = BASE_NEW_N(struct bitpress_image, n);
    w->cap = n;
    return w->pixels && w->logits && w->image ? BITPRESS_OK : BITPRESS_MEMORY;
}

static bool send_results(const struct worker *w, int n, const struct bitpress_counters *c)
{
    struct wire_counters last = { .cycles = c->cycles, .n_layer = (uint32_t)c->layers };
    for (int i = 0; i < n; i++) {
        const struct wire_result r = { w->image[i].cycles, w->image[i].seconds };
        if (!send_two(w, WIRE_RESULT, &r, sizeof r, w->logits + (size_t)i * (size_t)w->net.classes, 4 * (size_t)w->net.classes))
            return false;
    }
    memcpy(last.layer, c->layer_cycles, sizeof last.layer);
    for (int u = 0; u < BITPRESS_UNITS; u++) {
        last.unit[3 * u] = c->unit[u].run;
        last.unit[3 * u + 1] = c->unit[u].stall;
        last.unit[3 * u + 2] = c->unit[u].idle;
    }
    return send_two(w, WIRE_COUNTERS, &last, sizeof last, NULL, 0);
}

/* False: there is nothing more to do. */
static bool run_once(struct worker *w, int *rc)
{
    struct wire_head h;
    struct bitpress_counters c;
    uint32_t n;
    if (!read_all(&h, sizeof h) || h.kind != WIRE_RUN || !read_all(&n, sizeof n) || n < 1 || n > WIRE_MAX_IMAGES || h.bytes != sizeof n + n * w->image_bytes)
        return false;
    *rc = reserve(w, (int)n);
    if (!*rc && !read_all(w->pixels, n * w->image_bytes))
        return false;
    if (!*rc)
        *rc = bitpress_run(w->device, w->pixels, (int)n, w->logits, w->image);
    if (!*rc)
        *rc = bitpress_counters(w->device, &c);
    return !*rc && send_results(w, (int)n, &c);
}

int worker_main(int argc, char **argv, const struct runtime_driver *driver)
{
    struct worker w = { .to = -1 };
    int rc = BITPRESS_OK;
    if (argc != 5) {
        fprintf(stderr, "%s is started by bitpress\n", argc ? argv[0] : "worker");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if ((w.to = dup(1)) < 0 || dup2(2, 1) < 0)
        return 4;
    rc = open_device(&w, argv, driver);
    if (!rc && send_ready(&w))
        while (run_once(&w, &rc))
            ;
    if (rc) {
        /* A device that stalled may keep XRT's threads for ever: they end with the process. */
        send_failure(&w, rc);
        _exit(1);
    }
    bitpress_close(w.device);
    base_free(w.pixels);
    base_free(w.logits);
    base_free(w.image);
    return 0;
}
