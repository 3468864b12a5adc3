/* feed: batches in a shuffled order, each image shifted and mirrored at random.
 *
 * Random numbers come from streams named by (epoch) for the order and (epoch, position)
 * for an image, so a batch is the same whenever and by however many threads it is made. */
#include <string.h>

#include "data/data_internal.h"

struct data_feed {
    const struct data_set *set;
    struct data_feed_options options;
    const uint32_t *index; /* NULL: all */
    int n;
    uint32_t *order;       /* [n], of `epoch` */
    int64_t epoch;
};

int data_feed_new(struct data_feed **out, const struct data_set *s, const uint32_t *index, int n,
                  const struct data_feed_options *o)
{
    static const struct data_feed_options defaults = DATA_FEED_OPTIONS_INIT;
    *out = NULL;
    if (!index)
        n = s->n;
    if (n < 1)
        return base_fail(BASE_INPUT, "no images to feed");
    struct data_feed *f = BASE_NEW(struct data_feed);
    if (!f)
        return BASE_NOMEM;
    f->set = s;
    f->options = o ? *o : defaults;
    f->index = index;
    f->n = n;
    f->epoch = -1;
    f->order = BASE_NEW_N(uint32_t, n);
    if (!f->order) {
        data_feed_free(f);
        return BASE_NOMEM;
    }
    if (f->options.pad < 0 || f->options.pad >= BASE_MIN(s->h, s->w)) {
        int rc = base_fail(BASE_INPUT, "a shift of %d pixels is not possible with images of %d x %d", f->options.pad,
                           s->h, s->w);
        data_feed_free(f);
        return rc;
    }
    *out = f;
    return BASE_OK;
}

void data_feed_free(struct data_feed *f)
{
    if (!f)
        return;
    base_free(f->order);
    base_free(f);
}

int data_feed_batches(const struct data_feed *f, int batch)
{
    return f->n / batch;
}

static void make_order(struct data_feed *f, int64_t epoch)
{
    if (f->epoch == epoch)
        return;
    for (int i = 0; i < f->n; i++)
        f->order[i] = f->index ? f->index[i] : (uint32_t)i;
    if (f->options.shuffle) {
        struct base_rng rng;
        base_rng_stream(&rng, f->options.seed, (uint64_t)epoch);
        base_rng_shuffle(&rng, f->order, (uint32_t)f->n);
    }
    f->epoch = epoch;
}

/* out[y][x] = in[y + dy][x + dx], mirrored after the shift; outside the image: fill. */
static void shifted_copy(uint8_t *out, const uint8_t *in, const struct data_set *s, int dy, int dx, bool mirror,
                         uint8_t fill)
{
    size_t c = (size_t)s->c;
    for (int y = 0; y < s->h; y++) {
        for (int x = 0; x < s->w; x++) {
            int sy = y + dy, sx = (mirror ? s->w - 1 - x : x) + dx;
            uint8_t *to = out + ((size_t)y * (size_t)s->w + (size_t)x) * c;
            if (sy < 0 || sy >= s->h || sx < 0 || sx >= s->w)
                memset(to, fill, c);
            else
                memcpy(to, in + ((size_t)sy * (size_t)s->w + (size_t)sx) * c, c);
        }
    }
}

struct fill_job {
    const struct data_feed *feed;
    int first; /* position of the batch in the order */
    uint8_t *pixels;
    uint16_t *labels;
};

static void fill_one(void *ctx, int i, int worker)
{
    (void)worker;
    const struct fill_job *job = ctx;
    const struct data_feed *f = job->feed;
    const struct data_feed_options *o = &f->options;
    const struct data_set *s = f->set;
    size_t image = (size_t)s->h * (size_t)s->w * (size_t)s->c;
    int position = job->first + i;
    uint32_t from = f->order[position % f->n];
    uint8_t *to = job->pixels + (size_t)i * image;
    const uint8_t *in = s->pixels + from * image;
    job->labels[i] = s->label[from];
    if (!o->pad && !o->flip) {
        memcpy(to, in, image);
        return;
    }
    struct base_rng rng;
    base_rng_stream(&rng, ~o->seed, (uint64_t)f->epoch << 32 | (uint32_t)position);
    uint32_t range = 2 * (uint32_t)o->pad + 1;
    int dy = (int)base_rng_below(&rng, range) - o->pad;
    int dx = (int)base_rng_below(&rng, range) - o->pad;
    bool mirror = o->flip && base_rng_below(&rng, 2);
    shifted_copy(to, in, s, dy, dx, mirror, o->fill);
}

int data_feed_fill(void *feed, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    struct data_feed *f = feed;
    if (n < 1)
        return base_fail(BASE_INPUT, "a batch of %d images is not possible", n);
    int64_t per_epoch = BASE_MAX(f->n / n, 1);
    make_order(f, batch / per_epoch);
    struct fill_job job = {f, (int)(batch % per_epoch) * n, pixels, labels};
    if (f->options.pool)
        base_pool_run(f->options.pool, n, fill_one, &job);
    else
        for (int i = 0; i < n; i++)
            fill_one(&job, i, 0);
    return BASE_OK;
}
