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
    e->remade = false;
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

/* ---- places that maps share in turn ---------------------------------------------------- */

struct places { int n, *of, *until; size_t *floats, *at, total; };  /* of an edge, or -1; until: layer that last needs it */

static int places_new(struct places *p, struct nn *m)
{
    int n = m->layers.n_edge;
    *p = (struct places){ .of = BASE_ARENA_NEW_N(m->arena, int, n), .until = BASE_ARENA_NEW_N(m->arena, int, n),
                          .floats = BASE_ARENA_NEW_N(m->arena, size_t, n), .at = BASE_ARENA_NEW_N(m->arena, size_t, n) };
    for (int e = 0; p->of && e < n; e++)
        p->of[e] = -1;
    return p->of && p->until && p->floats && p->at ? BASE_OK : BASE_NOMEM;
}

/* The first place that is free when the edge's own layer runs, one way or the other. Edges come in order. */
static void places_add(struct places *p, const struct nn *m, int edge)
{
    int k = 0;
    while (k < p->n && p->until[k] >= edge - 1)
        k++;
    p->n = BASE_MAX(p->n, k + 1);
    p->of[edge] = k;
    p->until[k] = last_use(m, edge);
    p->floats[k] = BASE_MAX(p->floats[k], (m->edge[edge].floats + 15) / 16 * 16);
}

static void places_close(struct places *p)
{
    for (int k = 0; k < p->n; k++) {
        p->at[k] = p->total;
        p->total += p->floats[k];
    }
}

/* ---- what an engine needs ------------------------------------------------------------------ */

/* Maps that are not kept. */
static int plan_worker_maps(struct nn *m)
{
    struct places p;
    int rc = places_new(&p, m);
    if (rc)
        return rc;
    for (int e = 0; e < m->layers.n_edge; e++)
        if (!m->edge[e].image_step)
            places_add(&p, m, e);
    places_close(&p);
    float *x = BASE_ARENA_NEW_N(m->arena, float, (p.total + 16) * (size_t)base_pool_threads(m->pool));
    for (int e = 0; x && e < m->layers.n_edge; e++)
        if (p.of[e] >= 0) {
            m->edge[e].x = x + p.at[p.of[e]];
            m->edge[e].worker_step = p.total;
        }
    return x ? BASE_OK : BASE_NOMEM;
}

/* Dense terms take the gradients of a share's images together, and some once more when all is done. */
static bool gradient_meets_dense(const struct nn *m, int edge)
{
    bool meets = has_dense(&m->layer[edge - 1]);
    for (int i = 0; !meets && i < m->n_weighted; i++)
        meets = m->weighted[i]->kind == NN_DENSE && m->weighted[i]->edge == edge;
    return meets;
}

/* Gradients of the edges, for the whole batch: those whose times do not overlap share memory, which stays in cache
 * longer. An image has the same part of a place whatever the edge, since images do not advance together. */
static int plan_gradients(struct nn *m)
{
    struct places p;
    int rc = places_new(&p, m);
    for (int e = 1; !rc && e < m->layers.n_edge; e++) {
        m->edge[e].grad_step = m->edge[e].floats;
        if (!gradient_meets_dense(m, e))
            places_add(&p, m, e);
        else if (!(m->edge[e].grad = base_arena_alloc(m->arena, sizeof(float) * m->edge[e].floats * (size_t)m->max_batch)))
            return BASE_NOMEM;
    }
    if (rc)
        return rc;
    places_close(&p);
    float *grad = BASE_ARENA_NEW_N(m->arena, float, p.total * (size_t)m->max_batch + 16);
    for (int e = 1; grad && e < m->layers.n_edge; e++)
        if (p.of[e] >= 0) {
            m->edge[e].grad = grad + p.at[p.of[e]] * (size_t)m->max_batch;
            m->edge[e].grad_step = p.floats[p.of[e]];
        }
    return grad ? BASE_OK : BASE_NOMEM;
}

static bool is_convolution(const struct nn_term *t)
{
    return t->kind == NN_CONV || t->kind == NN_DEPTHWISE;
}

/* A map that is batch norm and ReLU of one kept sum, and read by the next layer's convolutions alone: to read the sum
 * once more is cheaper than to write the map and read it. */
static bool can_be_remade(const struct nn *m, int edge)
{
    const struct nn_layer *l = edge > 0 ? &m->layer[edge - 1] : NULL;
    if (!l || edge == m->out_edge || l->n_term != 1 || !is_convolution(&l->term[0]) || l->term[0].batchnorm < 0)
        return false;
    for (int i = 0; i < m->layers.n; i++)
        for (int t = 0; t < m->layer[i].n_term; t++)
            if (m->layer[i].term[t].edge == edge && (i != edge || !is_convolution(&m->layer[i].term[t]) || has_dense(&m->layer[i])))
                return false;
    return true;
}

/* The maps of training: an edge that can be made again needs none. */
static int keep_most_maps(struct nn *m)
{
    int rc = BASE_OK;
    for (int e = 0; !rc && e < m->layers.n_edge; e++)
        if (!(m->edge[e].remade = can_be_remade(m, e)))
            rc = keep_map(m, &m->edge[e]);
    return rc;
}

int nn_plan_maps(struct nn *m)
{
    int rc = m->training ? keep_most_maps(m) : keep_shared_maps(m);
    if (!rc)
        rc = plan_worker_maps(m);
    return rc || !m->training ? rc : plan_gradients(m);
}
