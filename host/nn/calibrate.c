/* Distributions of the edges' values. Two passes over the images: the extremes fix the
 * bins, then the values are counted; edges are worked on in parallel. */
#include "nn/nn_internal.h"

#include <math.h>

struct job { struct nn *m; struct nn_histogram *hist; bool count; };

static void extremes(struct nn_histogram *h, float v)
{
    h->min = fminf(h->min, v);
    h->max = fmaxf(h->max, v);
}

static void count(struct nn_histogram *h, float v)
{
    float bin = h->width > 0 ? fabsf(v) / h->width : 0;
    h->count[bin < NN_BINS - 1 ? (int)bin : NN_BINS - 1]++;
    h->n++;
}

static void edge_job(void *ctx, int index, int worker)
{
    const struct job *j = ctx;
    const struct nn_edge *e = &j->m->edge[index + 1];
    struct nn_histogram *h = &j->hist[index + 1];
    (void)worker;
    for (int64_t p = 0; p < (int64_t)j->m->batch.n * e->h * e->w; p++)
        for (int c = 0; c < e->c; c++)
            (j->count ? count : extremes)(h, e->x[p * e->cp + c]);
}

static void pass(struct nn *m, const uint8_t *pixels, int n, struct job *j)
{
    nn_prepare(m, &m->forward);
    for (int i = 0; i < n; i += m->max_batch) {
        nn_forward_batch(m, pixels + nn_image_bytes(m) * (size_t)i, BASE_MIN(n - i, m->max_batch));
        base_pool_run_dynamic(m->pool, m->layers.n, edge_job, j);
    }
}

int nn_edge_histogram(struct nn *m, const uint8_t *pixels, int n, struct nn_histogram *hist)
{
    struct job j = { .m = m, .hist = hist };
    int rc = nn_keep_maps(m);
    if (rc)
        return rc;
    for (int e = 0; e < m->layers.n_edge; e++)
        hist[e] = (struct nn_histogram){ .min = e && n > 0 ? INFINITY : 0, .max = e && n > 0 ? -INFINITY : 0 };
    pass(m, pixels, n, &j);
    for (int e = 1; e < m->layers.n_edge; e++) {
        float top = fmaxf(fabsf(hist[e].min), fabsf(hist[e].max));
        if (!isfinite(top))
            return base_fail(BASE_INPUT, "layer '%s': its output is not finite on the calibration images", m->layers.layer[e - 1].name);
        hist[e].width = top / NN_BINS;
    }
    j.count = true;
    pass(m, pixels, n, &j);
    return BASE_OK;
}
