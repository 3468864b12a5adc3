/* images.c: a job's images through a backend: a device a worker, each image compared with the reference. */
#include <string.h>

#include "score/score_internal.h"

struct worker {
    void *device;
    int32_t *logits;           /* of one image */
    bool ran, wrong;           /* an image to its end; with other logits than the reference's */
    int rc, image;             /* the first failure and where */
    char *message, *hint;      /* base_fail's belong to the thread */
};

struct batch {
    const struct score_job *job;
    const struct score_device *device;
    const void *ctx;
    const uint8_t *pixels;
    const int32_t *want;       /* [images][classes] */
    struct worker *worker;
};

static int compare(const struct batch *b, int image, const int32_t *got)
{
    int classes = b->job->net->classes;
    const int32_t *want = b->want + (size_t)image * (size_t)classes;
    for (int c = 0; c < classes; c++)
        if (got[c] != want[c])
            return base_fail(BASE_INTERNAL, "image %d: logit %d is %d, the reference says %d", image, c, got[c], want[c]);
    return BASE_OK;
}

static int run_image(struct batch *b, struct worker *w, int image)
{
    size_t bytes = b->job->program->input_bytes;
    int rc = BASE_OK;
    if (!w->logits && !(w->logits = base_alloc(b->job->program->output_bytes)))
        rc = BASE_NOMEM;
    if (!rc && !w->device)
        rc = b->device->open(&w->device, b->ctx, b->job);
    if (!rc)
        rc = b->device->run(w->device, b->job, b->pixels + (size_t)image * bytes, w->logits);
    if (rc)
        return rc;
    w->ran = true;
    rc = compare(b, image, w->logits);
    w->wrong = rc != BASE_OK;
    return rc || !b->device->check ? rc : b->device->check(w->device, b->job);
}

static void work(void *ctx, int image, int index)
{
    struct batch *b = ctx;
    struct worker *w = &b->worker[index];
    if (w->rc)
        return;
    w->rc = base_stop_requested() ? BASE_STOPPED : run_image(b, w, image);
    if (!w->rc)
        return;
    w->image = image;
    w->message = base_strdup(base_error());
    w->hint = base_strdup(base_error_hint());
}

/* The failure of the lowest image, as this thread's error. */
static int first_failure(const struct batch *b, int workers)
{
    const struct worker *first = NULL;
    for (int i = 0; i < workers; i++)
        if (b->worker[i].rc && (!first || b->worker[i].image < first->image))
            first = &b->worker[i];
    if (!first)
        return BASE_OK;
    if (first->rc == BASE_STOPPED)
        return base_fail(BASE_STOPPED, "stopped");
    base_fail(first->rc, "%s", first->message ? first->message : "out of memory");
    return first->hint && *first->hint ? base_hint(first->rc, "%s", first->hint) : first->rc;
}

static void close_workers(struct batch *b, int workers)
{
    for (int i = 0; b->worker && i < workers; i++) {
        struct worker *w = &b->worker[i];
        if (w->device)
            b->device->close(w->device);
        base_free(w->logits);
        base_free(w->message);
        base_free(w->hint);
    }
    base_free(b->worker);
}

/* One worker's counts stand for all: `check` has compared every image's. */
static void summarize(struct score_result *out, const struct batch *b, int workers)
{
    bool measured = !b->device->measure;
    for (int i = 0; i < workers; i++) {
        const struct worker *w = &b->worker[i];
        if (!w->ran)
            continue;
        out->bit_exact = w->wrong || out->bit_exact == 0 ? 0 : 1;
        if (!measured)
            b->device->measure(out, w->device);
        measured = true;
    }
}

static int run_batch(struct score_result *out, struct batch *b, int images)
{
    struct base_pool *pool = images > 1 ? base_pool_new(b->job->threads) : NULL;
    int workers = pool ? base_pool_threads(pool) : 1, rc = BASE_NOMEM;
    b->worker = BASE_NEW_N(struct worker, workers);
    if (b->worker && (pool || images <= 1)) {
        if (pool)
            base_pool_run_dynamic(pool, images, work, b);
        else
            work(b, 0, 0);
        summarize(out, b, workers);
        rc = first_failure(b, workers);
    }
    close_workers(b, workers);
    base_pool_free(pool);
    return rc;
}

int score_run_images(struct score_result *out, const struct score_job *job, const struct score_device *device, const void *ctx)
{
    uint8_t *owned = NULL;
    int32_t *want = NULL;
    struct batch b = { .job = job, .device = device, .ctx = ctx };
    int images, rc = score_pixels(job, &b.pixels, &images, &owned);
    if (!rc)
        rc = score_reference(&want, job, b.pixels, images);
    b.want = want;
    if (!rc) {
        out->images = images;
        rc = run_batch(out, &b, images);
    }
    base_free(want);
    base_free(owned);
    return rc;
}
