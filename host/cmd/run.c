/* run: a pack's network on images of a data set through XRT: accuracy and time, on a board or an emulated one. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/output.h"
#include "data/data.h"
#include "device/device.h"
#include "score/simlib.h"

enum { CHUNK_EMULATED = 8, CHUNK_BOARD = 256 };        /* images between two looks at a signal; of whole batches */

struct options { const char *data, *xclbin, *api; long images, device, batch; bool no_check; };

struct run {
    const struct options *o;
    struct pack *pack;
    struct data_set data;
    struct hw hw;
    char *simulator;           /* NULL: a board */
    struct device *device;
    int n, done;
    int32_t *logits;           /* [n][classes] */
    struct device_image *image;
    struct device_counters last;
    int top1, top5;
    double seconds;
};

/* ---- preparation --------------------------------------------------------------------------- */

static int check_fit(const struct run *r)
{
    const struct fixed_net *net = r->pack->net;
    const struct fixed_edge *in = &net->edge[0];
    const struct data_set *d = &r->data;
    if (d->h == in->h && d->w == in->w && d->c == in->c && d->classes <= net->classes)
        return BASE_OK;
    return base_fail(BASE_INPUT, "%s: images of %dx%dx%d in %d classes do not fit the pack's network, which takes %dx%dx%d in %d", r->o->data, d->h, d->w, d->c, d->classes,
                     in->h, in->w, in->c, net->classes);
}

static int prepare(struct run *r, const char *path)
{
    int rc = pack_read(&r->pack, path);
    if (!rc && !*r->pack->board)
        rc = base_hint(base_fail(BASE_INPUT, "%s: has no program for an accelerator", path), "make packs with a board: bitpress apply, bitpress compress");
    if (!rc)
        rc = hw_load(&r->hw, r->pack->board);
    if (!rc)
        rc = data_open(&r->data, r->o->data, DATA_TEST);
    if (!rc)
        rc = check_fit(r);
    if (rc)
        return rc;
    r->n = r->o->images ? (int)BASE_MIN(r->o->images, (long)r->data.n) : r->data.n;
    r->logits = BASE_NEW_N(int32_t, (size_t)r->n * (size_t)r->pack->net->classes);
    r->image = BASE_NEW_N(struct device_image, r->n);
    return r->logits && r->image ? BASE_OK : BASE_NOMEM;
}

static int open_device(struct run *r)
{
    const struct device_target target = { .api = r->o->api, .index = (int)r->o->device, .xclbin = r->o->xclbin, .batch = (int)r->o->batch };
    int rc = score_simlib_behind(&r->simulator, &target, &r->hw);
    return rc ? rc : device_open(&r->device, &target, &r->hw, r->simulator, r->pack);
}

/* ---- images -------------------------------------------------------------------------------- */

static void count(struct run *r)
{
    int classes = r->pack->net->classes;
    for (int i = 0; i < r->done; i++) {
        const int32_t *logit = r->logits + (size_t)i * (size_t)classes;
        int label = r->data.label[i], before = 0;
        for (int k = 0; k < classes; k++)
            before += logit[k] > logit[label] || (logit[k] == logit[label] && k < label);
        r->top1 += before < 1;
        r->top5 += before < 5;
    }
}

static int run_images(struct run *r)
{
    size_t bytes = (size_t)r->data.h * (size_t)r->data.w * (size_t)r->data.c, classes = (size_t)r->pack->net->classes;
    struct base_progress p;
    double start = base_seconds();
    int rc = BASE_OK, batch = (int)r->o->batch, chunk = BASE_MAX((device_emulated(r->device) ? CHUNK_EMULATED : CHUNK_BOARD) / batch, 1) * batch;
    base_progress_begin(&p, device_emulated(r->device) ? "emulate" : "run", 0, r->n);
    while (!rc && r->done < r->n) {
        int n = BASE_MIN(chunk, r->n - r->done);
        rc = base_stop_requested() ? base_fail(BASE_STOPPED, "stopped")
                                   : device_run(r->device, r->data.pixels + (size_t)r->done * bytes, n, r->logits + (size_t)r->done * classes, r->image + r->done, &r->last);
        r->done += rc ? 0 : n;
        base_progress_update(&p, r->done, "%d of %d images", r->done, r->n);
    }
    r->seconds = base_seconds() - start;
    base_progress_end(&p, "%d images", r->done);
    return rc;
}

/* Every logit against the integer reference. */
static int check(const struct run *r, long threads)
{
    size_t classes = (size_t)r->pack->net->classes, all = (size_t)r->done * classes;
    int32_t *want = BASE_NEW_N(int32_t, all);
    struct base_pool *pool = base_pool_new((int)threads);
    struct qref *q = want && pool ? qref_new(r->pack->net, pool) : NULL;
    int rc = q ? qref_run(q, r->data.pixels, r->done, want) : BASE_NOMEM;
    for (size_t i = 0; !rc && i < all; i++)
        if (want[i] != r->logits[i])
            rc = base_fail(BASE_INTERNAL, "%s: image %zu: logit %zu is %d, the reference says %d", r->o->api, i / classes, i % classes, r->logits[i], want[i]);
    qref_free(q);
    base_pool_free(pool);
    base_free(want);
    return rc;
}

/* ---- figures ------------------------------------------------------------------------------- */

struct figures { double cycles[3], host_ms[3]; };          /* median, 99th percentile, largest */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void percentiles(double out[3], double *v, int n)
{
    static const double percent[3] = { 50, 99, 100 };
    qsort(v, (size_t)n, sizeof *v, by_value);
    for (int i = 0; i < 3; i++)
        out[i] = v[BASE_MAX((int)ceil(percent[i] / 100 * n) - 1, 0)];
}

static int measure(struct figures *f, const struct run *r)
{
    double *v = BASE_NEW_N(double, r->done);
    if (!v)
        return BASE_NOMEM;
    for (int i = 0; i < r->done; i++)
        v[i] = (double)r->image[i].cycles;
    percentiles(f->cycles, v, r->done);
    for (int i = 0; i < r->done; i++)
        v[i] = r->image[i].seconds * 1e3;
    percentiles(f->host_ms, v, r->done);
    base_free(v);
    return BASE_OK;
}

/* An image of a batch waits for the others: its share of the start is no latency. */
static json_t *latency(const struct run *r, double cycles)
{
    return r->o->batch > 1 ? json_null() : json_real(cycles / (r->hw.clock_mhz * 1e3));
}

static int print_json(const struct run *r, const struct figures *f)
{
    double khz = r->hw.clock_mhz * 1e3;
    json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:s}", "backend", r->o->api, "board", r->hw.name, "cycles_source",
                          device_source(r->device), "images", r->done, "top1", (double)r->top1 / r->done, "top5", (double)r->top5 / r->done, "cycles",
                          (json_int_t)f->cycles[0], "cycles_p99", (json_int_t)f->cycles[1], "cycles_max", (json_int_t)f->cycles[2], "load_cycles",
                          (json_int_t)device_load_cycles(r->device), "clock_mhz", r->hw.clock_mhz, "clock_is", r->hw.clock_is);
    json_object_set_new(j, "batch", json_integer(r->o->batch));
    json_object_set_new(j, "latency_ms", latency(r, f->cycles[0]));
    json_object_set_new(j, "latency_p99_ms", latency(r, f->cycles[1]));
    json_object_set_new(j, "inferences_per_s", json_real(khz * 1e3 / f->cycles[0]));
    json_object_set_new(j, "host_p50_ms", json_real(f->host_ms[0]));
    json_object_set_new(j, "host_p99_ms", json_real(f->host_ms[1]));
    json_object_set_new(j, "host_time_is", json_string(device_emulated(r->device) ? "of a simulation" : "of this host"));
    json_object_set_new(j, "images_per_s", json_real(r->done / r->seconds));
    json_object_set_new(j, "bit_exact", r->o->no_check ? json_null() : json_true());
    return cmd_print_json(j);
}

static int print_text(const struct run *r, const struct figures *f)
{
    double khz = r->hw.clock_mhz * 1e3;
    bool several = r->o->batch > 1;
    if (several)
        printf("up to %ld images a start: times are an image's share of it\n", r->o->batch);
    printf("top-1 %.2f %%  top-5 %.2f %%  (%d of %d images right)\n", 100.0 * r->top1 / r->done, 100.0 * r->top5 / r->done, r->top1, r->done);
    printf("cycles an image: median %.0f, 99 %% at most %.0f, largest %.0f; cycles_source %s\n", f->cycles[0], f->cycles[1], f->cycles[2], device_source(r->device));
    printf("%s: median %.4f ms, 99 %% at most %.4f ms at %g MHz (%s clock), %s\n", several ? "device" : "latency", f->cycles[0] / khz, f->cycles[1] / khz, r->hw.clock_mhz, r->hw.clock_is, r->hw.name);
    printf("before the first image: program and weights in %" PRIu64 " cycles\n", device_load_cycles(r->device));
    printf("host, start to logits: median %.3f ms, 99 %% at most %.3f ms; %.1f images a second%s\n", f->host_ms[0], f->host_ms[1], r->done / r->seconds,
           device_emulated(r->device) ? " (the time of a simulation says nothing about a board)" : "");
    printf("%s\n", r->o->no_check ? "logits were not compared" : "every logit equals the reference");
    return cmd_end_output();
}

/* ---- the command --------------------------------------------------------------------------- */

static int run(struct run *r, const struct cmd *c)
{
    struct figures f;
    int rc = prepare(r, c->arg[0]);
    if (!rc)
        rc = open_device(r);
    if (!rc)
        rc = run_images(r);
    if (!rc && !r->o->no_check)
        rc = check(r, c->threads);
    if (!rc)
        rc = measure(&f, r);
    if (rc)
        return rc;
    count(r);
    return c->json ? print_json(r, &f) : print_text(r, &f);
}

static int check_options(const struct options *o, const struct cmd *c)
{
    if (!o->data)
        return base_hint(base_fail(BASE_INPUT, "run: --data is missing"), "bitpress run %s --data idx:%s", c->arg[0], DATA_FASHION_MNIST_DIR);
    if (strcmp(o->api, "xrt") && strcmp(o->api, "opencl"))
        return base_fail(BASE_INPUT, "run: --api '%.40s' is not one of xrt, opencl", o->api);
    if (o->batch < 1 || o->batch > CHUNK_BOARD)
        return base_fail(BASE_INPUT, "run: --batch must be 1 to %d", CHUNK_BOARD);
    if (o->images < 0 || o->device < 0 || o->device > 255)
        return base_fail(BASE_INPUT, "run: --images must be 0 (all) or more, --device 0 to 255");
    return BASE_OK;
}

int cmd_run(int argc, char **argv)
{
    struct options o = { .api = "xrt", .images = 100, .batch = 1 };
    const struct cmd_option options[] = {
        { "data", CMD_TEXT, &o.data, "SPEC", "whose test images: idx:DIR, cifar10:DIR, images:DIR or npy:X,Y" },
        { "images", CMD_INT, &o.images, "N", "the first N of them (default 100; 0: all)" },
        { "batch", CMD_INT, &o.batch, "N", "images that the accelerator takes in one start (default 1, at most 256): more a second, each for itself later" },
        { "device", CMD_INT, &o.device, "N", "index of the device (default 0)" },
        { "xclbin", CMD_TEXT, &o.xclbin, "FILE", "of a board (default: BITPRESS_XCLBIN; without one, the RTL as an emulated board)" },
        { "api", CMD_TEXT, &o.api, "NAME", "xrt (default) or opencl" },
        { "no-check", CMD_FLAG, &o.no_check, NULL, "do not compare logits with the integer reference" },
    };
    const struct cmd_usage u = { "PACK --data SPEC [--images N] [--device N]",
                                 "Runs a pack on images through XRT: a board, or XRT's hardware emulation with the RTL behind it. Accuracy, cycles, latency.", options,
                                 BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    rc = check_options(&o, &c);
    if (rc)
        return cmd_fail(rc);
    struct run *r = BASE_NEW(struct run);
    if (!r)
        return cmd_fail(BASE_NOMEM);
    r->o = &o;
    base_stop_install();
    rc = run(r, &c);
    int code = rc ? cmd_fail(rc) : 0;
    device_close(r->device);
    data_free(&r->data);
    pack_free(r->pack);
    base_free(r->simulator);
    base_free(r->logits);
    base_free(r->image);
    base_free(r);
    return code;
}
