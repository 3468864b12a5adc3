/* Running a program: the steps of one image or one share, and the loop over phases. */
#include "nn/nn_internal.h"

#include <string.h>

/* ---- addresses -------------------------------------------------------------------------- */

static float *map_of(const struct nn_edge *e, const struct nn_scratch *s, int n)
{
    return e->x + e->image_step * (size_t)n + e->worker_step * (size_t)s->worker;
}

static float *grad_of(const struct nn_edge *e, int n)
{
    return e->grad + e->grad_step * (size_t)n;
}

/* A term's sum before batch norm: kept for the whole batch where it is needed again. */
static float *z_of(const struct nn *m, const struct nn_term *t, const struct nn_scratch *s, int n)
{
    bool keep = t->kind == NN_DENSE || (t->batchnorm >= 0 && nn_keeps_batch_statistics(m));
    return keep ? t->z + (size_t)t->conv.oh * t->conv.ow * t->conv.o * (size_t)n : s->z[t->index];
}

static int pixels_of(const struct nn_term *t)
{
    return t->conv.oh * t->conv.ow;
}

static double *share_sum(const struct nn_term *t, int share)
{
    return t->sum + (size_t)share * 2 * t->conv.o;
}

/* The padded input of a convolution. */
static const float *padded_input(const struct nn *m, const struct nn_term *t, const struct nn_scratch *s, int n)
{
    const struct nn_conv *c = &t->conv;
    const float *x = map_of(&m->edge[t->edge], s, n);
    if (t->direct_input)
        return x;
    nn_pad(s->pad, c->hp, c->wp, x, c->h, c->w, c->c, c->pad_t, c->pad_l, t->edge == 0 ? m->pad_value : NULL);
    return s->pad;
}

/* The same in the backward pass, where some maps have to be made again. */
static const float *padded_input_again(const struct nn *m, const struct nn_term *t, const struct nn_scratch *s, int n)
{
    const struct nn_edge *e = &m->edge[t->edge];
    if (e->remade) {
        const struct nn_term *from = &m->layer[t->edge - 1].term[0];
        nn_finish_map(map_of(e, s, n), NULL, NULL, z_of(m, from, s, n), from->sc, from->sh, NULL, e->h * e->w, e->cp, &e->finish);
    }
    return padded_input(m, t, s, n);
}

/* ---- forward ------------------------------------------------------------------------------- */

static void step_input(struct nn *m, const struct nn_scratch *s, int n)
{
    const struct nn_edge *e = &m->edge[0];
    const uint8_t *p = m->batch.pixels + (size_t)n * e->h * e->w * e->c;
    float *x = map_of(e, s, n);
    for (int i = 0; i < e->h * e->w; i++, x += e->cp)
        for (int c = 0; c < e->cp; c++)  /* what lies beyond: an earlier map's */
            x[c] = c < e->c ? m->lut[c * 256 + *p++] : 0;
}

static void step_term(struct nn *m, struct nn_term *t, const struct nn_scratch *s, int n, int share)
{
    const float *x = padded_input(m, t, s, n);
    float *z = z_of(m, t, s, n);
    if (t->kind == NN_DEPTHWISE)
        nn_depthwise_forward(z, x, t->pack_forward, &t->conv);
    else if (t->fast_forward)
        nn_winograd_run(z, x, t->conv.wp, t->pack_forward, &t->winograd, s->winograd, false);
    else
        nn_product_run(z, x, t->pack_forward, &t->conv.forward, false);
    if (t->batchnorm >= 0 && nn_keeps_batch_statistics(m))
        nn_moments(z, t->mean, pixels_of(t), t->conv.o, share_sum(t, share));
}

static void step_dense(struct nn *m, struct nn_term *t, int begin, int end, int share)
{
    float *z = z_of(m, t, NULL, begin);
    int n = (end - begin) * t->rows;
    nn_dense_forward(z, m->edge[t->edge].x + m->edge[t->edge].floats * (size_t)begin, t->pack_forward, n, t->k_dense, t->conv.o, false);
    if (t->batchnorm >= 0 && nn_keeps_batch_statistics(m))
        nn_moments(z, t->mean, n, t->conv.o, share_sum(t, share));
}

/* Add a term's value to `out` (the layer's map, cp channels). */
static void add_term(const struct nn *m, float *out, const struct nn_edge *e, const struct nn_term *t, const struct nn_scratch *s, int n)
{
    const struct nn_edge *in = &m->edge[t->edge];
    const float *x = map_of(in, s, n);
    const struct nn_finish plain = { .relu_hi = -1 };
    switch (t->kind) {
    case NN_IDENTITY:
        nn_copy_add(out, e->cp, t->chan, x, in->cp, 0, t->channels, e->h, e->w, in->w, 1);
        break;
    case NN_SHORTCUT: {
        const struct graph_node *g = &m->graph->node[t->node];
        nn_copy_add(out, e->cp, t->chan + g->chan_before, x, in->cp, 0, t->channels, e->h, e->w, in->w, g->stride);
        break;
    }
    case NN_AVGPOOL:
        nn_avgpool_add(out, x, &t->window);
        break;
    default:
        nn_finish_map(out, NULL, NULL, z_of(m, t, s, n), t->sc, t->sh, out, pixels_of(t), e->cp, &plain);
    }
}

/* What is added to the first weighted term: nothing, one map as it is, or the sum of the other terms. */
static const float *other_terms(const struct nn *m, const struct nn_layer *l, const struct nn_edge *e, const struct nn_term *first, const struct nn_scratch *s, int n)
{
    int others = l->n_term - (first != NULL);
    if (!others)
        return NULL;
    const struct nn_term *t = &l->term[first == &l->term[0] ? 1 : 0];
    if (others == 1 && t->kind == NN_IDENTITY && t->chan == 0 && m->edge[t->edge].cp == e->cp)
        return map_of(&m->edge[t->edge], s, n);
    memset(s->sum, 0, sizeof *s->sum * e->floats);
    for (int i = 0; i < l->n_term; i++)
        if (&l->term[i] != first)
            add_term(m, s->sum, e, &l->term[i], s, n);
    return s->sum;
}

/* The layer's map in integers. */
static void step_integers(const struct nn *m, const struct nn_layer *l, float *y, const struct nn_scratch *s, int n)
{
    const float *x[GRAPH_MAX_TERM], *z[GRAPH_MAX_TERM];
    for (int t = 0; t < l->n_term; t++) {
        x[t] = map_of(&m->edge[l->term[t].edge], s, n);
        z[t] = l->term[t].weighted ? z_of(m, &l->term[t], s, n) : NULL;
    }
    nn_integers_out(y, m, (int)(l - m->layer), x, z);
}

static void step_out(struct nn *m, int layer, const struct nn_scratch *s, int n)
{
    struct nn_layer *l = &m->layer[layer];
    struct nn_edge *e = &m->edge[layer + 1];
    bool back = nn_is_backward(m);
    float *y = map_of(e, s, n), *slope = back && e->learned ? e->slope + e->floats * (size_t)n : NULL;
    uint8_t *mask = back ? e->mask + e->floats / 8 * (size_t)n : NULL;
    if (l->g->kind == GRAPH_LAYER_MAXPOOL) {
        nn_maxpool(y, back ? e->which + e->floats * (size_t)n : NULL, map_of(&m->edge[l->term[0].edge], s, n), &l->window);
        if (mask || (e->finish.scale > 0 && !m->integers))
            nn_finish_map(y, mask, slope, NULL, NULL, NULL, y, e->h * e->w, e->cp, &e->finish);
        return;
    }
    if (m->integers) {
        step_integers(m, l, y, s, n);
        return;
    }
    const struct nn_term *first = NULL;
    for (int t = l->n_term - 1; t >= 0; t--)
        if (l->term[t].weighted)
            first = &l->term[t];
    const float *res = other_terms(m, l, e, first, s, n);
    nn_finish_map(y, mask, slope, first ? z_of(m, first, s, n) : NULL, first ? first->sc : NULL, first ? first->sh : NULL, res, e->h * e->w, e->cp, &e->finish);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* Gradient through the edge's ReLU and clipping, and the sums that bias and batch norm need. */
static void step_mask(struct nn *m, int layer, int n, int share)
{
    struct nn_layer *l = &m->layer[layer];
    struct nn_edge *e = &m->edge[layer + 1];
    float *d = grad_of(e, n);
    const uint8_t *mask = e->finish.relu_hi >= 0 || e->finish.scale > 0 ? e->mask + e->floats / 8 * (size_t)n : NULL;
    if (e->learned)
        e->scale_grad[share] += nn_dot(d, e->slope + e->floats * (size_t)n, e->floats);
    for (int i = 0; i < l->n_term; i++) {
        struct nn_term *t = &l->term[i];
        if (!t->weighted)
            continue;
        const float *z = t->batchnorm >= 0 ? z_of(m, t, NULL, n) : NULL;
        nn_mask_sums(d, mask, z, t->mean, pixels_of(t), t->conv.o, share_sum(t, share));
        mask = NULL;
    }
    if (mask)
        nn_mask_sums(d, mask, NULL, NULL, e->h * e->w, e->cp, NULL);
}

/* Where a term adds its input gradient: the edge's map, cleared if it is the first to write. */
static float *input_grad(struct nn *m, const struct nn_term *t, int n, bool first)
{
    struct nn_edge *in = &m->edge[t->edge];
    float *dx = grad_of(in, n);
    if (first)
        memset(dx, 0, sizeof *dx * in->floats);
    return dx;
}

/* The gradient of a term's sum before batch norm, padded, in the scratch; returns where the map begins in it. */
static const float *padded_gradient(struct nn *m, struct nn_term *t, const struct nn_scratch *s, int n)
{
    const struct nn_conv *c = &t->conv;
    const float *d = grad_of(&m->edge[t->layer + 1], n);
    int row = c->gwp * c->o;
    float *dz = s->grad + (size_t)c->gt * row + (size_t)c->gl * c->o;
    nn_clear_border(s->grad, c->ghp, c->gwp, c->oh, c->ow, c->o, c->gt, c->gl);
    if (t->batchnorm >= 0)
        nn_affine_grad(dz, row, d, z_of(m, t, s, n), t->k1, t->k2, t->k3, c->oh, c->ow, c->o);
    else
        for (int y = 0; y < c->oh; y++)
            memcpy(dz + (size_t)y * row, d + (size_t)y * c->ow * c->o, sizeof *d * (size_t)c->ow * c->o);
    return dz;
}

static void back_conv(struct nn *m, struct nn_term *t, const struct nn_scratch *s, int n, int share, bool first)
{
    const struct nn_conv *c = &t->conv;
    const float *dz = padded_gradient(m, t, s, n);
    int row = c->gwp * c->o;
    float *dw = m->share_grad + m->share_floats * (size_t)share + t->grad_at;
    if (t->fast_forward)
        nn_winograd_weights(dw, padded_input_again(m, t, s, n), c->wp, dz, row, &t->winograd, s->winograd);
    else
        nn_conv_weights(dw, padded_input_again(m, t, s, n), dz, row, c);
    if (t->edge == 0)
        return;
    if (t->fast_back)
        nn_winograd_run(grad_of(&m->edge[t->edge], n), s->grad + ((size_t)c->pad_t * c->gwp + c->pad_l) * c->o, c->gwp, t->pack_back, &t->winograd_back, s->winograd, !first);
    else
        nn_conv_back(grad_of(&m->edge[t->edge], n), s->grad, t->pack_back, c, !first);
}

static void back_depthwise(struct nn *m, struct nn_term *t, const struct nn_scratch *s, int n, int share, bool first)
{
    const struct nn_conv *c = &t->conv;
    const float *dz = padded_gradient(m, t, s, n);
    nn_depthwise_weights(m->share_grad + m->share_floats * (size_t)share + t->grad_at, padded_input_again(m, t, s, n), dz, c->gwp * c->o, c);
    if (t->edge > 0)
        nn_depthwise_back(grad_of(&m->edge[t->edge], n), s->grad, t->pack_forward, c, !first);
}

static void step_back(struct nn *m, const struct nn_step *st, const struct nn_scratch *s, int n, int share)
{
    struct nn_term *t = nn_term_of(m, st);
    struct nn_layer *l = &m->layer[st->layer];
    const struct nn_edge *e = &m->edge[st->layer + 1], *in = &m->edge[t->edge];
    const float *d = grad_of(e, n);
    if (l->g->kind == GRAPH_LAYER_MAXPOOL)
        nn_maxpool_back(input_grad(m, t, n, st->first), d, e->which + e->floats * (size_t)n, &l->window);
    else if (t->kind == NN_CONV)
        back_conv(m, t, s, n, share, st->first);
    else if (t->kind == NN_DEPTHWISE)
        back_depthwise(m, t, s, n, share, st->first);
    else if (t->kind == NN_AVGPOOL)
        nn_avgpool_back(input_grad(m, t, n, st->first), d, &t->window);
    else if (t->kind == NN_SHORTCUT) {
        const struct graph_node *g = &m->graph->node[t->node];
        nn_copy_back(input_grad(m, t, n, st->first), in->cp, 0, d, e->cp, t->chan + g->chan_before, t->channels, e->h, e->w, in->w, g->stride);
    } else
        nn_copy_back(input_grad(m, t, n, st->first), in->cp, 0, d, e->cp, t->chan, t->channels, e->h, e->w, in->w, 1);
}

/* The weight gradient waits for the whole batch. */
static void step_dense_back(struct nn *m, const struct nn_step *st, int begin, int end)
{
    struct nn_term *t = nn_term_of(m, st);
    struct nn_edge *in = &m->edge[t->edge];
    int n = (end - begin) * t->rows, o = t->conv.o;
    float *d = grad_of(&m->edge[st->layer + 1], begin);
    if (t->batchnorm >= 0) {             /* into z, for the weight gradient */
        float *z = z_of(m, t, NULL, begin);
        nn_affine_grad(z, o, d, z, t->k1, t->k2, t->k3, n, 1, o);
        d = z;
    }
    if (t->edge > 0)
        nn_dense_forward(grad_of(in, begin), d, t->pack_back, n, o, t->k_dense, !st->first);
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static bool barrier(enum nn_step_kind k)
{
    return k >= NN_STEP_STATISTICS;
}

static bool per_share(enum nn_step_kind k)
{
    return k >= NN_STEP_DENSE;
}

static void image_step(struct nn *m, const struct nn_step *st, int n, int share, int worker)
{
    const struct nn_scratch *s = &m->scratch[worker];
    switch (st->kind) {
    case NN_STEP_INPUT: step_input(m, s, n); break;
    case NN_STEP_TERM: step_term(m, nn_term_of(m, st), s, n, share); break;
    case NN_STEP_OUT: step_out(m, st->layer, s, n); break;
    case NN_STEP_MASK: step_mask(m, st->layer, n, share); break;
    default: step_back(m, st, s, n, share);
    }
}

static void share_step(struct nn *m, const struct nn_step *st, int begin, int end, int share)
{
    switch (st->kind) {
    case NN_STEP_DENSE: step_dense(m, nn_term_of(m, st), begin, end, share); break;
    case NN_STEP_DENSE_BACK: step_dense_back(m, st, begin, end); break;
    case NN_STEP_LOSS: nn_loss_share(m, share); break;
    default: memset(m->share_grad + m->share_floats * (size_t)share, 0, sizeof(float) * m->share_floats);
    }
}

/* One share through the steps of a phase. */
static void run_share(void *ctx, int share, int worker)
{
    struct nn *m = ctx;
    const struct nn_batch *b = &m->batch;
    const struct nn_step *step = b->program->step;
    int begin = nn_share_begin(b->n, share), end = nn_share_begin(b->n, share + 1);
    for (int i = b->from; i < b->to;) {
        if (per_share(step[i].kind)) {
            share_step(m, &step[i++], begin, end, share);
            continue;
        }
        int to = i;
        while (to < b->to && !per_share(step[to].kind))
            to++;
        for (int n = begin; n < end; n++) {
            for (int k = i; k < to; k++)
                image_step(m, &step[k], n, share, worker);
            if (m->ranks && worker == 0)
                m->ranks->progress(m->ranks->ctx);
        }
        i = to;
    }
}

static void clear_sums(struct nn *m)
{
    for (int i = 0; i < m->layers.n; i++)
        for (int t = 0; t < m->layer[i].n_term; t++)
            if (m->layer[i].term[t].weighted)
                memset(m->layer[i].term[t].sum, 0, sizeof(double) * NN_CHUNKS * 2 * (size_t)m->layer[i].term[t].conv.o);
    for (int e = 1; e < m->layers.n_edge && m->training; e++)
        memset(m->edge[e].scale_grad, 0, sizeof(double) * NN_CHUNKS);
    memset(m->batch.loss_sum, 0, sizeof m->batch.loss_sum);
    memset(m->batch.correct, 0, sizeof m->batch.correct);
}

void nn_run(struct nn *m, const struct nn_program *p)
{
    struct nn_batch *b = &m->batch;
    b->program = p;
    clear_sums(m);
    for (b->from = 0; b->from < p->n; b->from = b->to + 1) {
        b->to = b->from;
        while (b->to < p->n && !barrier(p->step[b->to].kind))
            b->to++;
        base_pool_run_dynamic(m->pool, NN_CHUNKS, run_share, m);
        if (m->ranks && p == &m->train)
            nn_ranks_collect(m);
        if (b->to == p->n || m->failed)
            break;
        const struct nn_step *s = &p->step[b->to];
        if (s->kind == NN_STEP_STATISTICS)
            nn_statistics(m, s->layer);
        else
            nn_statistics_back(m, s->layer);
    }
}
