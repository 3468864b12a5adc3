/* Where the maps of the edges live. Training, batch statistics and whoever wants to look at maps need them for every
 * image of the batch. Plain inference does not: a worker takes an image through the whole network before the next, so
 * maps belong to the worker, share memory when their times do not overlap, and stay in cache. */
#include "nn/nn_internal.h"

static int keep_map(struct nn *m, struct nn_edge *e)
{
    if (e->image_step)
        return BASE_OK;
    float *x = base_arena_alloc(m->arena, sizeof(float) * e->floats * (size_t)m->max_batch);
    if (!x)
        return BASE_NOMEM;
    e->x = x;
    e->image_step = e->floats;
    e->worker_step = 0;
    return BASE_OK;
}

int nn_keep_maps(struct nn *m)
{
    int rc = BASE_OK;
    for (int e = 0; !rc && e < m->layers.n_edge; e++)
        rc = keep_map(m, &m->edge[e]);
    return rc;
}

/* The last layer that reads the edge; its own layer if none does. */
static int last_use(const struct nn *m, int edge)
{
    int last = edge - 1;
    for (int i = 0; i < m->layers.n; i++)
        for (int t = 0; t < m->layer[i].n_term; t++)
            if (m->layer[i].term[t].edge == edge)
                last = i;
    return last;
}

static bool has_dense(const struct nn_layer *l)
{
    for (int t = 0; t < l->n_term; t++)
        if (l->term[t].kind == NN_DENSE)
            return true;
    return false;
}

/* The logits, and maps that live while a dense term takes a share's images together. */
static int keep_shared_maps(struct nn *m)
{
    int rc = keep_map(m, &m->edge[m->out_edge]);
    for (int e = 0; !rc && e < m->layers.n_edge; e++)
        for (int i = e, last = last_use(m, e); !rc && i <= last; i++)
            if (has_dense(&m->layer[i]))
                rc = keep_map(m, &m->edge[e]);
    return rc;
}

/* Give each map the first place that is free when its layer runs; total floats of all places. */
static size_t place_maps(const struct nn *m, int *place, int *until, size_t *floats)
{
    int n = 0;
    size_t total = 0;
    for (int e = 0; e < m->layers.n_edge; e++) {
        if (m->edge[e].image_step)
            continue;
        int p = 0;
        while (p < n && until[p] >= e - 1)
            p++;
        if (p == n)
            n++;
        place[e] = p;
        until[p] = last_use(m, e);
        floats[p] = BASE_MAX(floats[p], m->edge[e].floats);
    }
    for (int p = 0; p < n; p++)
        total += floats[p] = (floats[p] + 15) / 16 * 16;
    return total;
}

int nn_plan_maps(struct nn *m)
{
    if (m->training)
        return nn_keep_maps(m);
    int n = m->layers.n_edge, rc = keep_shared_maps(m);
    int *place = BASE_ARENA_NEW_N(m->arena, int, n), *until = BASE_ARENA_NEW_N(m->arena, int, n);
    size_t *floats = BASE_ARENA_NEW_N(m->arena, size_t, n);
    if (rc || !place || !until || !floats)
        return BASE_NOMEM;
    size_t total = place_maps(m, place, until, floats);
    float *x = BASE_ARENA_NEW_N(m->arena, float, (total + 16) * (size_t)base_pool_threads(m->pool));
    if (!x)
        return BASE_NOMEM;
    for (int e = 0; e < n; e++) {
        struct nn_edge *d = &m->edge[e];
        if (d->image_step)
            continue;
        d->x = x;
        for (int p = 0; p < place[e]; p++)
            d->x += floats[p];
        d->worker_step = total;
    }
    return BASE_OK;
}
