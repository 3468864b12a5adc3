/* worker.c: the parent's side of a worker: start it, talk with a deadline, end it and all it started. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/device_internal.h"
#include "device/process.h"
#include "device/wire.h"

/* Patience, seconds: opening; beyond the worker's own deadline for one image; closing. */
enum { OPEN_S = 120, IMAGE_S = 120, BEYOND_S = 10, CLOSE_S = 5 };

struct device {
    char *api;
    struct device_process process;
    bool emulated, failed;     /* failed: it will not end by itself */
    struct device_env env;
    struct wire_ready ready;
};

/* ---- pipes ------------------------------------------------------------------------------- */

/* The worker's last words on standard error, if it left any: why it died. */
static int died(struct device *d)
{
    char buf[320] = "", *path = base_format("%s/worker.log", d->env.dir);
    int log = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (log >= 0) {
        device_last_words(log, buf);
        close(log);
    }
    base_free(path);
    return base_fail(BASE_MISSING, "%s: the process that drives the device has ended%s%s", d->api, *buf ? ": " : "", buf);
}

static int late(const struct device *d)
{
    return base_fail(BASE_MISSING, "%s: the process that drives the device does not answer", d->api);
}

static int read_all(struct device *d, void *buf, size_t n, double end)
{
    for (size_t got = 0; got < n;) {
        struct pollfd p = { .fd = d->process.from, .events = POLLIN };
        double left = end - base_seconds();
        int ready = poll(&p, 1, left > 0 ? (int)BASE_MIN(left * 1000 + 1, 200.0) : 0);
        if (base_stop_requested())
            return base_fail(BASE_STOPPED, "stopped");
        if (ready == 0 && left <= 0)
            return late(d);
        if (ready <= 0)
            continue;
        ssize_t r = read(d->process.from, (char *)buf + got, n - got);
        if (r == 0 || (r < 0 && errno != EINTR))
            return died(d);
        got += r > 0 ? (size_t)r : 0;
    }
    return BASE_OK;
}

static int write_all(struct device *d, const void *buf, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = device_process_write(&d->process, (const char *)buf + done, n - done);
        if (r == 0 || (r < 0 && errno != EINTR))
            return BASE_MISSING;
        done += r > 0 ? (size_t)r : 0;
    }
    return BASE_OK;
}

/* ---- messages ---------------------------------------------------------------------------- */

static int failure(struct device *d, size_t bytes, double end)
{
    struct wire_failed f;
    char text[WIRE_MAX_TEXT + 2] = "";
    if (bytes < sizeof f || bytes > sizeof f + WIRE_MAX_TEXT)
        return base_fail(BASE_INTERNAL, "%s: the worker's message has %zu bytes", d->api, bytes);
    int rc = read_all(d, &f, sizeof f, end);
    if (!rc)
        rc = read_all(d, text, bytes - sizeof f, end);
    if (rc)
        return rc;
    const char *hint = text + strlen(text) + 1;
    base_fail(f.code, "%s", text);
    return *hint ? base_hint(f.code, "%s", hint) : f.code;
}

/* The next message must be of this kind and size, or a failure. */
static int expect(struct device *d, uint32_t kind, size_t bytes, double end)
{
    struct wire_head h;
    int rc = read_all(d, &h, sizeof h, end);
    if (rc)
        return rc;
    if (h.kind == WIRE_FAILED)
        return failure(d, h.bytes, end);
    if (h.kind != kind || h.bytes != bytes)
        return base_fail(BASE_INTERNAL, "%s: the worker sent message %u of %u bytes, not %u of %zu", d->api, h.kind, h.bytes, kind, bytes);
    return BASE_OK;
}

/* ---- process ----------------------------------------------------------------------------- */

static int start(struct device *d, char *const *argv)
{
    char *log = base_format("%s/worker.log", d->env.dir);
    char **envp = device_env_merge(d->emulated ? &d->env : NULL);
    int err = log ? open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    int rc = envp ? device_process_start(&d->process, argv, envp, err, d->api) : BASE_NOMEM;
    if (err >= 0)
        close(err);
    base_free(envp);
    base_free(log);
    return rc;
}

/* ---- interface --------------------------------------------------------------------------- */

static const char *xclbin_of(const struct device_target *t)
{
    const char *env = getenv("BITPRESS_XCLBIN");
    return t->xclbin ? t->xclbin : env && *env ? env : NULL;
}

bool device_needs_emulation(const struct device_target *target)
{
    return !xclbin_of(target);
}

static int open_worker(struct device *d, const struct device_target *target, const struct pack *pack)
{
    char dir[256], index[16], batch[16], *file = base_format("%s/net.bpk", d->env.dir), *name = base_format("bitpress-%s", d->api);
    char *program = name ? device_program(name) : NULL;
    char *emulation = d->emulated ? base_format("%s/bitpress.xclbin", d->env.dir) : NULL;
    int rc = program ? device_xrt_libraries(dir) : BASE_MISSING;
    if (!rc)
        rc = file ? pack_write(pack, file) : BASE_NOMEM;
    snprintf(index, sizeof index, "%d", target->index);
    snprintf(batch, sizeof batch, "%d", target->batch);
    char *argv[] = { program, index, emulation ? emulation : (char *)(uintptr_t)xclbin_of(target), file, batch, NULL };
    if (!rc)
        rc = start(d, argv);
    double until = base_seconds() + OPEN_S;
    if (!rc)
        rc = expect(d, WIRE_READY, sizeof d->ready, until);
    if (!rc)
        rc = read_all(d, &d->ready, sizeof d->ready, until);
    if (!rc && d->ready.version != WIRE_VERSION)
        rc = base_hint(base_fail(BASE_MISSING, "%s: %s is of another build", d->api, program), "make all");
    base_free(file);
    base_free(name);
    base_free(program);
    base_free(emulation);
    return rc;
}

int device_open(struct device **out, const struct device_target *target, const struct hw *hw, const char *simulator, const struct pack *pack)
{
    struct device *d = BASE_NEW(struct device);
    if (!d)
        return BASE_NOMEM;
    *d = (struct device){ .process = DEVICE_PROCESS_INIT, .env = { .lock = -1 }, .emulated = device_needs_emulation(target) };
    int rc = (d->api = base_strdup(target->api)) ? BASE_OK : BASE_NOMEM;
    if (!rc && d->emulated && target->index)
        rc = base_fail(BASE_MISSING, "%s: there is no device %d: the emulated board is device 0", d->api, target->index);
    if (!rc)
        rc = d->emulated ? device_env_open(&d->env, hw, simulator) : device_env_folder(&d->env);
    if (!rc)
        rc = open_worker(d, target, pack);
    if (rc) {
        device_process_end(&d->process, 0);
        device_close(d);
        d = NULL;
    }
    *out = d;
    return rc;
}

static int read_results(struct device *d, int n, int32_t *logits, struct device_image *image, double until)
{
    size_t classes = d->ready.classes;
    for (int i = 0; i < n; i++) {
        struct wire_result r;
        int rc = expect(d, WIRE_RESULT, sizeof r + 4 * classes, until);
        if (!rc)
            rc = read_all(d, &r, sizeof r, until);
        if (!rc)
            rc = read_all(d, logits + (size_t)i * classes, 4 * classes, until);
        if (rc)
            return rc;
        if (image)
            image[i] = (struct device_image){ r.cycles, r.seconds };
    }
    return BASE_OK;
}

static int read_counters(struct device *d, struct device_counters *counters, double until)
{
    struct wire_counters c;
    int rc = expect(d, WIRE_COUNTERS, sizeof c, until);
    if (!rc)
        rc = read_all(d, &c, sizeof c, until);
    if (rc || !counters)
        return rc;
    counters->cycles = c.cycles;
    counters->n_layer = BASE_MIN(c.n_layer, (uint32_t)PROGRAM_TIMED_LAYERS);
    memcpy(counters->layer, c.layer, sizeof counters->layer);
    memcpy(counters->unit, c.unit, sizeof counters->unit);
    return BASE_OK;
}

/* The worker has its deadline from the same variable, or one that is shorter than this. */
static double image_seconds(void)
{
    const char *ms = getenv("BITPRESS_DEADLINE_MS");
    return ms && atoi(ms) > 0 ? atoi(ms) * 1e-3 : IMAGE_S;
}

int device_run(struct device *d, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *counters)
{
    uint32_t images = (uint32_t)n;
    size_t bytes = (size_t)n * d->ready.input_bytes;
    const struct wire_head h = { WIRE_RUN, (uint32_t)(sizeof images + bytes) };
    double until = base_seconds() + (double)n * (image_seconds() + BEYOND_S);
    if (n < 1 || n > WIRE_MAX_IMAGES || bytes > UINT32_MAX - sizeof images)
        return base_fail(BASE_INPUT, "%s: %d images are too many at once", d->api, n);
    int rc = write_all(d, &h, sizeof h);
    d->failed = true;                              /* until it has worked */
    if (!rc)
        rc = write_all(d, &images, sizeof images);
    if (!rc)
        rc = write_all(d, pixels, bytes);
    if (rc)                                        /* what it said before it ended */
        rc = expect(d, WIRE_RESULT, 0, until);
    else
        rc = read_results(d, n, logits, image, until);
    if (!rc)
        rc = read_counters(d, counters, until);
    d->failed = rc != BASE_OK;
    return rc;
}

uint64_t device_load_cycles(const struct device *d)
{
    return d->ready.load_cycles;
}

bool device_emulated(const struct device *d)
{
    return d->ready.emulated;
}

const char *device_source(const struct device *d)
{
    return device_emulated(d) ? "xrt-emulation" : "board";
}

void device_close(struct device *d)
{
    if (!d)
        return;
    device_process_end(&d->process, d->failed ? 0 : CLOSE_S);
    device_env_close(&d->env);
    base_free(d->api);
    base_free(d);
}
