/* qref_run: whole images through the fast kernels, one image a thread. Equal to qref_layer bit for bit. */
#include <string.h>

#include "fixed/fixed_internal.h"

/* One thread's buffers. */
struct worker {
    int16_t **edge;          /* [n_edge] maps */
    int16_t *padded;         /* a map with its border */
    int32_t *acc;
    uint64_t *bits;
};

struct qref {
    const struct fixed_net *net;
    struct base_pool *pool;
    struct base_arena *arena;
    struct qref_layer_plan *plan;
    int workers;
    struct worker *worker;
};

/* ---- making ------------------------------------------------------------------------ */

static int64_t edge_size(const struct fixed_edge *e)
{
    return (int64_t)e->h * e->w * e->c;
}

struct room { int64_t padded, acc, bits; };

static void need_term(struct room *n, const struct qref_term *p)
{
    if (p->padded)
        n->padded = BASE_MAX(n->padded, (int64_t)p->pad_h * p->pad_w * p->e->c);
    n->bits = BASE_MAX(n->bits, (int64_t)p->e->bits * p->t->kh * p->words);
}

static struct room needed(const struct qref *q)
{
    struct room n = { 0 };
    for (int i = 0; i < q->net->n_layer; i++) {
        const struct fixed_layer *l = &q->net->layer[i];
        n.acc = BASE_MAX(n.acc, (int64_t)l->h * l->w * l->c);
        for (int t = 0; l->kind == FIXED_MAC && t < l->n_term; t++)
            need_term(&n, &q->plan[i].term[t]);
    }
    return n;
}

static bool new_worker(struct qref *q, struct worker *w, const struct room *n)
{
    w->edge = BASE_ARENA_NEW_N(q->arena, int16_t *, q->net->n_edge);
    w->padded = BASE_ARENA_NEW_N(q->arena, int16_t, n->padded + QREF_SLACK);
    w->acc = BASE_ARENA_NEW_N(q->arena, int32_t, n->acc);
    w->bits = BASE_ARENA_NEW_N(q->arena, uint64_t, n->bits);
    bool good = w->edge && w->padded && w->acc && w->bits;
    for (int e = 0; good && e < q->net->n_edge; e++) {
        w->edge[e] = BASE_ARENA_NEW_N(q->arena, int16_t, edge_size(&q->net->edge[e]) + QREF_SLACK);
        good = w->edge[e] != NULL;
    }
    return good;
}

static bool build(struct qref *q)
{
    q->arena = base_arena_new();
    if (!q->arena)
        return false;
    q->plan = BASE_ARENA_NEW_N(q->arena, struct qref_layer_plan, q->net->n_layer);
    q->worker = BASE_ARENA_NEW_N(q->arena, struct worker, q->workers);
    if (!q->plan || !q->worker)
        return false;
    for (int i = 0; i < q->net->n_layer; i++)
        if (qref_plan_layer(&q->plan[i], q->net, i, q->arena))
            return false;
    struct room n = needed(q);
    for (int i = 0; i < q->workers; i++)
        if (!new_worker(q, &q->worker[i], &n))
            return false;
    return true;
}

struct qref *qref_new(const struct fixed_net *net, struct base_pool *pool)
{
    if (fixed_check(net))
        return NULL;
    struct qref *q = BASE_NEW(struct qref);
    if (!q)
        return NULL;
    q->net = net;
    q->pool = pool;
    q->workers = pool ? base_pool_threads(pool) : 1;
    if (!build(q)) {
        qref_free(q);
        return NULL;
    }
    return q;
}

void qref_free(struct qref *q)
{
    if (!q)
        return;
    base_arena_free(q->arena);
    base_free(q);
}

/* ---- one layer ---------------------------------------------------------------------- */

/* Fills n pixels of c channels with what padding inserts. */
static void fill(int16_t *to, const uint8_t *pad, int64_t n, int c)
{
    if (!pad) {
        memset(to, 0, sizeof *to * (size_t)(n * c));
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < c; k++)
            *to++ = pad[k];
}

/* The map inside its border, as large as the windows reach. */
static struct qref_view with_border(int16_t *to, const struct qref_term *p, const int16_t *map)
{
    const struct fixed_edge *e = p->e;
    int c = e->c, left = BASE_MIN(p->t->pad_l, p->pad_w), width = BASE_MAX(BASE_MIN(e->w, p->pad_w - left), 0);
    int right = p->pad_w - left - width;
    struct qref_view v = { to, (int64_t)p->pad_w * c, c };
    for (int y = 0; y < p->pad_h; y++, to += v.row) {
        int from = y - p->t->pad_t;
        if (from < 0 || from >= e->h) {
            fill(to, e->pad, p->pad_w, c);
            continue;
        }
        fill(to, e->pad, left, c);
        memcpy(to + (int64_t)left * c, map + (int64_t)from * e->w * c, sizeof *to * (size_t)width * (size_t)c);
        fill(to + (int64_t)(left + width) * c, e->pad, right, c);
    }
    return v;
}

static void run_term(struct worker *w, const struct qref_term *p)
{
    const int16_t *map = w->edge[p->t->edge];
    struct qref_view v = { map, (int64_t)p->e->w * p->e->c, p->e->c };
    if (p->padded)
        v = with_border(w->padded, p, map);
    if (p->table)
        qref_channels(w->acc, p, &v);
    if (p->weight)
        qref_products(w->acc, p, &v);
    if (p->n_count)
        qref_counts(w->acc, p, &v, w->bits);
}

static void run_layer(const struct qref *q, struct worker *w, const struct qref_layer_plan *p, int32_t *logits)
{
    const struct fixed_layer *l = p->l;
    if (l->kind == FIXED_MAXPOOL) {
        qref_maxpool(w->edge[l->out], l, &q->net->edge[l->term[0].edge], w->edge[l->term[0].edge]);
        return;
    }
    memset(w->acc, 0, sizeof *w->acc * (size_t)l->h * (size_t)l->w * (size_t)l->c);
    for (int t = 0; t < l->n_term; t++)
        run_term(w, &p->term[t]);
    if (l->out >= 0)
        qref_requantize_map(w->edge[l->out], w->acc, l);
    else
        for (int c = 0; c < l->c; c++)
            logits[c] = qref_requantize(w->acc[c], l->m[c], l->b[c], l->s, l->lo, l->hi);
}

/* ---- images --------------------------------------------------------------------------- */

static void run_image(const struct qref *q, struct worker *w, const uint8_t *pixels, int32_t *logits)
{
    for (int64_t i = 0, n = edge_size(&q->net->edge[0]); i < n; i++)
        w->edge[0][i] = pixels[i];
    for (int i = 0; i < q->net->n_layer; i++)
        run_layer(q, w, &q->plan[i], logits);
}

struct job { const struct qref *q; const uint8_t *pixels; int32_t *logits; };

static void run_one(void *ctx, int index, int worker)
{
    const struct job *j = ctx;
    const struct fixed_net *net = j->q->net;
    run_image(j->q, &j->q->worker[worker], j->pixels + index * edge_size(&net->edge[0]), j->logits + (int64_t)index * net->classes);
}

int qref_run(struct qref *q, const uint8_t *pixels, int n, int32_t *logits)
{
    struct job j = { q, pixels, logits };
    if (q->pool)
        base_pool_run_dynamic(q->pool, n, run_one, &j);
    else
        for (int i = 0; i < n; i++)
            run_one(&j, i, 0);
    return BASE_OK;
}

int qref_run_edges(struct qref *q, const uint8_t *pixels, int32_t *logits, int16_t *const **edges)
{
    run_image(q, &q->worker[0], pixels, logits);
    *edges = q->worker[0].edge;
    return BASE_OK;
}
