/* runtime.c: a device with a pack: open, check, load, run batch by batch. What talks to XRT is in the driver. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pack/pack.h"
#include "runtime/runtime_internal.h"

enum { DEADLINE_MS = 10000, PAGE = 4096, MINOR_IMAGES = 4 /* of the first devices that take several images a start */ };

struct bitpress {
    const struct runtime_driver *driver;
    void *device;
    char *name;                /* of the pack, for messages */
    struct pack *pack;         /* NULL: nothing loaded */
    int deadline_ms;
    uint32_t cycle_limit;
    int most_images;           /* of a start, as asked for; 0: the device takes one and has no argument for them */
    int batch;                 /* of a start with this pack */
    bool lost;                 /* a start never ended: XRT must not be called again */
    void *program, *weight;    /* buffers */
    void *input[2], *output[2];
    uint8_t *staging;          /* a batch's images, or its results, as they lie in their window */
    uint64_t input_bytes, output_bytes, load_cycles;       /* bytes of one image, its logits */
    uint64_t input_stride, output_stride;
};

/* ---- messages --------------------------------------------------------------------------- */

const char *bitpress_error(void) { return base_error(); }
const char *bitpress_hint(void) { return base_error_hint(); }

const char *bitpress_code_name(int code)
{
    static const char *const names[] = { "ok", "input", "missing", "busy", "mismatch", "stalled", "device", "wrong", "memory", "io" };
    return code <= 0 && -code < BASE_COUNT(names) ? names[-code] : "?";
}

static const char *device_error(uint32_t status)
{
    static const char *const text[] = {
        "no error", "not a program, or of another version", "a program for another array", "a table does not fit", "an unknown operation",
        "a map out of range", "a K-word out of range", "a coefficient out of range", "a scale out of range", "a weight out of range",
        "an activation address out of range", "image or result do not fit their windows", "the memory answered with an error", "the cycle limit was reached",
        "aborted", "nothing is loaded", "layers and their stream of constants do not match",
    };
    return status < BASE_COUNT(text) ? text[status] : "unknown";
}

/* Of a lower room, with its message. */
static int code_of(int base)
{
    switch (base) {
    case BASE_OK: return BITPRESS_OK;
    case BASE_NOMEM: return BITPRESS_MEMORY;
    case BASE_IO: return BITPRESS_IO;
    default: return BITPRESS_INPUT;
    }
}

/* ---- starts ------------------------------------------------------------------------------ */

static int read64(const bitpress *b, uint32_t reg, uint64_t *value)
{
    uint32_t lo, hi;
    int rc = b->driver->read_register(b->device, reg, &lo);
    if (!rc)
        rc = b->driver->read_register(b->device, reg + 4, &hi);
    if (!rc)
        *value = (uint64_t)hi << 32 | lo;
    return rc;
}

/* Bytes of n images or results in their window. */
static uint64_t window_of(int n, uint64_t stride, uint64_t bytes) { return (uint64_t)(n - 1) * stride + bytes; }

static int start(bitpress *b, uint32_t mode, int slot, int n)
{
    const struct pack *p = b->pack;
    const struct runtime_start s = {
        .mode = mode, .limit = b->cycle_limit, .images = b->most_images ? (uint32_t)n : 0,
        .buffer = { b->program, b->weight, b->input[slot], b->output[slot] },
        .bytes = { p->program_words * 8, p->weight_words * 8, window_of(n, b->input_stride, b->input_bytes), program_output_window(p->program, (uint32_t)n) },
    };
    return b->driver->start(b->device, &s);
}

/* Waits for the last start, of n images, and asks how it went. */
static int finish(bitpress *b, int n, uint64_t *cycles)
{
    uint32_t status = 0, layer = 0;
    int rc = runtime_wait(&b->lost, b->driver, b->device, (int)BASE_MIN((int64_t)b->deadline_ms * n, (int64_t)INT32_MAX));
    if (!rc)
        rc = b->driver->read_register(b->device, REG_STATUS, &status);
    if (!rc && status) {
        b->driver->read_register(b->device, REG_ERROR_LAYER, &layer);
        return base_fail(BITPRESS_DEVICE, "%s: the device reports error %u in layer %u: %s", b->driver->name, status, layer, device_error(status));
    }
    return rc ? rc : read64(b, REG_CYCLES, cycles);
}

static int usable(const bitpress *b, bool loaded)
{
    if (b->lost)
        return base_fail(BITPRESS_STALLED, "%s: the device stalled before and was given up", b->driver->name);
    if (loaded && !b->pack)
        return base_fail(BITPRESS_INPUT, "%s: no pack is loaded", b->driver->name);
    return BITPRESS_OK;
}

/* ---- opening ----------------------------------------------------------------------------- */

/* batch: images of a start, as asked for. */
static int check_device(bitpress *b, int batch)
{
    uint32_t magic, version;
    int rc = b->driver->read_register(b->device, REG_ID_MAGIC, &magic);
    if (!rc)
        rc = b->driver->read_register(b->device, REG_ID_VERSION, &version);
    if (!rc && (magic != REG_ID_MAGIC_VALUE || version >> 16 != PROGRAM_MAJOR))
        rc = base_fail(BITPRESS_MISMATCH, "%s: the device holds no accelerator of version %d (magic 0x%x, version %u.%u)", b->driver->name, PROGRAM_MAJOR, magic,
                       version >> 16, version & 0xffff);
    if (rc)
        return rc;
    b->most_images = (version & 0xffff) < MINOR_IMAGES ? 0 : BASE_MAX(batch, 1);
    if (b->most_images || batch <= 1)
        return BITPRESS_OK;
    base_fail(BITPRESS_MISMATCH, "%s: %d images a start need an accelerator of version %d.%d, the device holds one of %d.%u", b->driver->name, batch, PROGRAM_MAJOR, MINOR_IMAGES,
              PROGRAM_MAJOR, version & 0xffff);
    return base_hint(BITPRESS_MISMATCH, "a batch of 1, or a bitstream of this build");
}

static int deadline(const struct bitpress_options *o)
{
    const char *env = getenv("BITPRESS_DEADLINE_MS");
    if (o->deadline_ms > 0)
        return o->deadline_ms;
    return env && atoi(env) > 0 ? atoi(env) : DEADLINE_MS;
}

int runtime_open(bitpress **out, const struct bitpress_options *options, const struct runtime_driver *driver)
{
    static const struct bitpress_options none = { 0 };
    const struct bitpress_options *o = options ? options : &none;
    const char *xclbin = o->xclbin ? o->xclbin : getenv("BITPRESS_XCLBIN");
    *out = NULL;
    if (!xclbin || !*xclbin)
        return base_hint(base_fail(BITPRESS_INPUT, "%s: no xclbin is named", driver->name), "options.xclbin or BITPRESS_XCLBIN; without a board: bitpress xrt-env -- PROGRAM");
    if (!base_file_exists(xclbin))
        return base_fail(BITPRESS_INPUT, "%s: there is no such file", xclbin);
    bitpress *b = BASE_NEW(bitpress);
    if (!b)
        return BITPRESS_MEMORY;
    b->driver = driver;
    b->deadline_ms = deadline(o);
    b->cycle_limit = o->cycle_limit;
    int rc = driver->open(&b->device, o->device, xclbin);
    if (!rc)
        rc = check_device(b, o->batch);
    if (rc)
        bitpress_close(b);
    else
        *out = b;
    return rc;
}

/* ---- a pack ------------------------------------------------------------------------------ */

static void free_buffer(bitpress *b, void **buffer)
{
    if (*buffer && !b->lost)
        b->driver->free(b->device, *buffer);
    *buffer = NULL;
}

static void unload(bitpress *b)
{
    free_buffer(b, &b->program);
    free_buffer(b, &b->weight);
    for (int i = 0; i < 2; i++) {
        free_buffer(b, &b->input[i]);
        free_buffer(b, &b->output[i]);
    }
    pack_free(b->pack);
    base_free(b->name);
    base_free(b->staging);
    b->pack = NULL;
    b->name = NULL;
    b->staging = NULL;
}

void bitpress_close(bitpress *b)
{
    if (!b)
        return;
    unload(b);
    if (b->device && !b->lost)
        b->driver->close(b->device);
    base_free(b);
}

/* The same array, tables and program format, or both are named. */
static int check_match(const bitpress *b, const struct pack *p, const char *name)
{
    uint32_t array, hash;
    int rc = b->driver->read_register(b->device, REG_ID_ARRAY, &array);
    if (!rc)
        rc = b->driver->read_register(b->device, REG_ID_HASH, &hash);
    if (rc)
        return rc;
    uint32_t want = (uint32_t)p->program[1];
    if (array == want && hash == (uint32_t)p->hw_hash)
        return BITPRESS_OK;
    base_fail(BITPRESS_MISMATCH, "%s: compiled for '%s', an array of %u x %u x %u (hash %08x); the device holds %u x %u x %u (hash %08x)", name, p->board, want & 0xff,
              want >> 8 & 0xff, want >> 16, (uint32_t)p->hw_hash, array & 0xff, array >> 8 & 0xff, array >> 16, hash);
    return base_hint(BITPRESS_MISMATCH, "compile the pack for this board, or load the bitstream of '%s'", p->board);
}

static int alloc_window(bitpress *b, void **buffer, int window, uint64_t bytes)
{
    return b->driver->alloc(buffer, b->device, window, (bytes + PAGE) / PAGE * PAGE);  /* the image's last word is read whole */
}

static int alloc_windows(bitpress *b)
{
    const struct pack *p = b->pack;
    int rc = alloc_window(b, &b->program, WINDOW_PROGRAM, p->program_words * 8);
    if (!rc)
        rc = alloc_window(b, &b->weight, WINDOW_WEIGHT, p->weight_words * 8);
    for (int i = 0; !rc && i < 2; i++) {
        rc = alloc_window(b, &b->input[i], WINDOW_INPUT, window_of(b->batch, b->input_stride, b->input_bytes));
        if (!rc)
            rc = alloc_window(b, &b->output[i], WINDOW_OUTPUT, program_output_window(p->program, (uint32_t)b->batch));
    }
    return rc;
}

static int load_device(bitpress *b)
{
    const struct pack *p = b->pack;
    int rc = alloc_windows(b);
    if (!rc)
        rc = b->driver->write(b->device, b->program, p->program, p->program_words * 8);
    if (!rc && p->weight_words)
        rc = b->driver->write(b->device, b->weight, p->weights, p->weight_words * 8);
    if (!rc)
        rc = start(b, 1, 0, 1);
    return rc ? rc : finish(b, 1, &b->load_cycles);
}

/* Where images and results lie, and how many at a time. */
static int plan_windows(bitpress *b)
{
    const uint64_t *program = b->pack->program;
    if ((uint32_t)program[4] != b->input_bytes || program_output_bytes(program) != b->output_bytes)
        return base_fail(BITPRESS_INPUT, "%s: its program takes %" PRIu32 " bytes an image and gives %" PRIu32 ", its network %" PRIu64 " and %" PRIu64, b->name, (uint32_t)program[4],
                         program_output_bytes(program), b->input_bytes, b->output_bytes);
    b->input_stride = program_image_stride(program);
    b->output_stride = program_result_stride(program);
    b->batch = (int)BASE_MIN((uint32_t)BASE_MAX(b->most_images, 1), program_most_images(program));
    uint64_t bytes = (uint64_t)b->batch * BASE_MAX(b->input_stride, b->output_stride);
    b->staging = bytes == (size_t)bytes ? base_alloc((size_t)bytes) : NULL;
    return b->staging ? BITPRESS_OK : BITPRESS_MEMORY;
}

/* Takes the pack. */
static int load(bitpress *b, struct pack *p, const char *name)
{
    int rc = BITPRESS_OK;
    if (!*p->board || p->program_words < PROGRAM_HEADER_WORDS)
        rc = base_hint(base_fail(BITPRESS_INPUT, "%s: has no program for an accelerator", name), "make packs with a board: bitpress apply, bitpress compress");
    if (!rc)
        rc = check_match(b, p, name);
    if (rc) {
        pack_free(p);
        return rc;
    }
    unload(b);
    b->pack = p;
    b->name = base_strdup(name);
    const struct fixed_edge *image = &p->net->edge[0];
    b->input_bytes = (uint64_t)image->h * (uint64_t)image->w * (uint64_t)image->c;
    b->output_bytes = 4 * (uint64_t)p->net->classes;
    rc = b->name ? plan_windows(b) : BITPRESS_MEMORY;
    if (!rc)
        rc = load_device(b);
    if (rc)
        unload(b);
    return rc;
}

int bitpress_load(bitpress *b, const char *path)
{
    struct pack *p;
    int rc = usable(b, false);
    if (!rc)
        rc = code_of(pack_read(&p, path));
    return rc ? rc : load(b, p, path);
}

int bitpress_load_bytes(bitpress *b, const void *bytes, size_t len, const char *name)
{
    struct pack *p;
    int rc = usable(b, false);
    if (!rc)
        rc = code_of(pack_parse(&p, bytes, len, name));
    return rc ? rc : load(b, p, name);
}

int bitpress_network(struct bitpress_network *out, const bitpress *b)
{
    int rc = usable(b, true);
    if (rc)
        return rc;
    const struct fixed_net *net = b->pack->net;
    *out = (struct bitpress_network){ .height = net->edge[0].h, .width = net->edge[0].w, .channels = net->edge[0].c, .classes = net->classes,
                                      .load_cycles = b->load_cycles, .board = b->pack->board };
    return BITPRESS_OK;
}

/* ---- images ------------------------------------------------------------------------------ */

static int upload(bitpress *b, int slot, const uint8_t *images, int n)
{
    for (int i = 0; i < n; i++)
        memcpy(b->staging + (uint64_t)i * b->input_stride, images + (uint64_t)i * b->input_bytes, b->input_bytes);
    return b->driver->write(b->device, b->input[slot], b->staging, window_of(n, b->input_stride, b->input_bytes));
}

static int download(bitpress *b, int slot, int32_t *logits, int n)
{
    int rc = b->driver->read(b->device, b->output[slot], b->staging, window_of(n, b->output_stride, b->output_bytes));
    for (int i = 0; !rc && i < n; i++)
        memcpy(logits + (size_t)i * (size_t)b->pack->net->classes, b->staging + (uint64_t)i * b->output_stride, b->output_bytes);
    return rc;
}

/* Two slots: the images of the next start go up while one runs, its logits come down while the next runs. The next start waits
 * until the registers of this one were read. */
int bitpress_run(bitpress *b, const uint8_t *images, int n, int32_t *logits, struct bitpress_image *image)
{
    int rc = usable(b, true), count = rc ? 0 : BASE_MIN(b->batch, n);
    if (!rc && n > 0)
        rc = upload(b, 0, images, count);
    double started = base_seconds();
    if (!rc && n > 0)
        rc = start(b, 0, 0, count);
    for (int at = 0, slot = 0, left; !rc && at < n; at += count, count = left, slot ^= 1) {
        uint64_t cycles;
        double next = 0;
        left = BASE_MIN(b->batch, n - at - count);
        int up = left ? upload(b, slot ^ 1, images + (size_t)(at + count) * b->input_bytes, left) : BITPRESS_OK;
        if ((rc = finish(b, count, &cycles)))
            break;
        rc = up;
        if (!rc && left) {
            next = base_seconds();
            rc = start(b, 0, slot ^ 1, left);
        }
        int down = download(b, slot, logits + (size_t)at * (size_t)b->pack->net->classes, count);
        rc = rc ? rc : down;
        double seconds = base_seconds() - started;
        for (int i = 0; !rc && image && i < count; i++)
            image[at + i] = (struct bitpress_image){ cycles / (uint64_t)count, seconds / count };
        started = next;
    }
    return rc;
}

int bitpress_self_test(bitpress *b)
{
    int rc = usable(b, true);
    if (rc)
        return rc;
    const struct pack *p = b->pack;
    if (!p->test_pixels || p->test_pixel_bytes != b->input_bytes)
        return base_fail(BITPRESS_INPUT, "%s: has no self-test", b->name);
    int32_t *logits = BASE_NEW_N(int32_t, p->net->classes);
    rc = logits ? bitpress_run(b, p->test_pixels, 1, logits, NULL) : BITPRESS_MEMORY;
    for (int c = 0; !rc && c < p->net->classes; c++)
        if (logits[c] != p->test_logits[c])
            rc = base_fail(BITPRESS_WRONG, "%s: self-test: logit %d is %d, the pack says %d", b->name, c, logits[c], p->test_logits[c]);
    base_free(logits);
    return rc;
}

int bitpress_class(const int32_t *logits, int classes)
{
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (logits[c] > logits[best])
            best = c;
    return best;
}

int bitpress_counters(bitpress *b, struct bitpress_counters *out)
{
    static const char *const names[BITPRESS_UNITS] = { "fetch", "array", "drain", "write", "memory" };
    int rc = usable(b, true);
    memset(out, 0, sizeof *out);
    if (!rc)
        rc = read64(b, REG_CYCLES, &out->cycles);
    for (uint32_t u = 0; !rc && u < BITPRESS_UNITS; u++) {
        uint32_t *to[3] = { &out->unit[u].run, &out->unit[u].stall, &out->unit[u].idle };
        out->unit[u].name = names[u];
        for (uint32_t k = 0; !rc && k < 3; k++)
            rc = b->driver->read_register(b->device, REG_COUNTER + 12 * u + 4 * k, to[k]);
    }
    if (rc)
        return rc;
    out->layers = BASE_MIN(b->pack->net->n_layer + 1, BITPRESS_LAYERS);
    for (int l = 0; !rc && l < out->layers; l++)
        rc = b->driver->read_register(b->device, REG_LAYER_CYCLES + 4 * (uint32_t)l, &out->layer_cycles[l]);
    return rc;
}
