/* moments.c: second moments of a term's inputs and wanted outputs, over sampled places of images.
 *
 * A row is one place of one image: the inputs under the window, [kh][kw][cin] as the weights lie. The float network
 * runs first and leaves what every row should give; the quantized one then has the inputs. Images of a batch
 * are shared out in PARTS fixed parts, each with sums of its own, so results do not depend on the threads. */
#include <math.h>
#include <string.h>

#include "compress/reconstruct.h"
#include "tensor/tensor.h"

enum { PARTS = 4, PLACES = 64 };         /* places: of an image, at most */

struct part {
    float *map;                          /* one edge */
    float *row;                          /* [blocks][images of the part x places][k] */
    float *want;                         /* [blocks][images of the part x places][outs] */
    float *xx, *xy;                      /* sums: as in compress_moments */
    double *x, *y;
};

struct work {
    const struct graph *g;               /* the float network */
    const struct graph_layers *ls;
    const struct graph_layer *layer;
    const struct graph_term *term;
    const struct graph_node *node;
    struct graph_shape in;
    struct nn *nn;                       /* what runs now */
    const struct nn_quant *quant;
    bool coarse, squares, leads;         /* leads: the first term with weights, which makes up for identities */
    int index, cin, places, batch;
    int k, blocks, outs;
    float *want;                         /* [images][places][cout]: from the float network */
    float *pad;                          /* [channels of the input] */
    float *unit;                         /* [cout]: batch norm's factor; 0: dead */
    struct compress_moments *out;
    struct part part[PARTS];
    int first;                           /* image of the batch at hand */
    int count, rc;
};

/* ---- places ------------------------------------------------------------------------ */

/* Which output pixel place `p` of an image is. */
static void places_of(const struct work *w, int image, int *at)
{
    int all = w->node->shape.h * w->node->shape.w;
    struct base_rng r;
    base_rng_stream(&r, (uint64_t)w->index, (uint64_t)image);
    for (int p = 0; p < w->places; p++)
        at[p] = all <= PLACES ? p : (int)base_rng_below(&r, (uint32_t)all);
}

/* One row per block, `step` floats from a block's to the next: the inputs under the window of output pixel `at`. */
static void gather(const struct work *w, float *row, size_t step, const float *map, int at)
{
    const struct graph_node *n = w->node;
    bool conv = n->op == GRAPH_CONV;
    int y0 = conv ? at / n->shape.w * n->stride - n->pad_t : 0, x0 = conv ? at % n->shape.w * n->stride - n->pad_l : 0, c = w->in.c;
    for (int t = 0; t < n->kh * n->kw; t++) {
        int y = y0 + t / n->kw, x = x0 + t % n->kw;
        const float *from = y < 0 || x < 0 || y >= w->in.h || x >= w->in.w ? w->pad : map + ((size_t)y * w->in.w + x) * c;
        if (!n->depthwise)
            memcpy(row + (size_t)t * c, from, sizeof *row * (size_t)c);
        else
            for (int b = 0; b < c; b++)
                row[step * (size_t)b + t] = from[b];
    }
}

/* ---- what the layer's identities and shortcuts add ------------------------------------ */

static bool is_plain(const struct work *w, const struct graph_term *t)
{
    return t->node < 0 || w->g->node[t->node].op == GRAPH_SHORTCUT;
}

/* want += sign x (value of term t) / unit, at the places of an image. */
static void add_plain(const struct work *w, float *want, const struct graph_term *t, const float *map, const int *at, float sign)
{
    const struct graph_node *n = t->node < 0 ? NULL : &w->g->node[t->node];
    struct graph_shape s = graph_edge_shape(w->g, w->ls, t->edge);
    int stride = n ? n->stride : 1, cout = w->node->shape.c, shift = t->chan + (n ? n->chan_before : 0) - w->term->chan;
    for (int p = 0; p < w->places; p++) {
        int y = at[p] / w->node->shape.w, x = at[p] % w->node->shape.w;
        const float *from = map + ((size_t)y * stride * s.w + (size_t)x * stride) * s.c;
        for (int i = 0; i < s.c; i++)
            if (i + shift >= 0 && i + shift < cout)
                want[(size_t)p * cout + i + shift] += sign * from[i] * w->unit[i + shift];
    }
}

static int add_plain_terms(const struct work *w, const struct part *part, float *want, int index, const int *at)
{
    int rc = BASE_OK;
    for (int t = 0; !rc && w->leads && t < w->layer->n_term; t++) {
        const struct graph_term *q = &w->layer->term[t];
        if (!is_plain(w, q))
            continue;
        rc = nn_edge_read(w->nn, q->edge, index, part->map);
        if (!rc)
            add_plain(w, want, q, part->map, at, w->coarse ? -1 : 1);
    }
    return rc;
}

/* ---- a part of a batch ------------------------------------------------------------------ */

static size_t part_rows(const struct work *w)
{
    return (size_t)((w->batch + PARTS - 1) / PARTS) * (size_t)w->places;
}

/* Rows of the part's images; the wanted outputs are completed on the way. */
static int gather_part(struct work *w, struct part *part, int begin, int end)
{
    size_t step = part_rows(w) * (size_t)w->k;
    int at[PLACES], cout = w->node->shape.c;
    for (int i = begin; i < end; i++) {
        int rc = nn_edge_read(w->nn, w->term->edge, i, part->map);
        if (rc)
            return rc;
        places_of(w, w->first + i, at);
        for (int p = 0; p < w->places; p++)
            gather(w, part->row + (size_t)((i - begin) * w->places + p) * (size_t)w->k, step, part->map, at[p]);
        if ((rc = add_plain_terms(w, part, w->want + (size_t)(w->first + i) * (size_t)(w->places * cout), i, at)))
            return rc;
    }
    return BASE_OK;
}

/* want += rows x weights. */
static void float_outputs(struct work *w, struct part *part, int begin, int rows)
{
    int cout = w->node->shape.c, places = w->places;
    float *want = w->want + (size_t)(w->first + begin) * (size_t)(places * cout);
    if (w->blocks == 1) {
        tensor_gemm(want, part->row, false, w->node->weight, true, rows, cout, w->k, 1, 1);
        return;
    }
    for (int b = 0; b < w->blocks; b++) {
        const float *row = part->row + (size_t)b * part_rows(w) * (size_t)w->k, *weight = w->node->weight + (size_t)b * (size_t)w->k;
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < w->k; i++)
                want[(size_t)r * (size_t)cout + (size_t)b] += row[(size_t)r * (size_t)w->k + (size_t)i] * weight[i];
    }
}

static void add_columns(double *sum, const float *v, int rows, int n)
{
    for (int r = 0; r < rows; r++, v += n)
        for (int i = 0; i < n; i++)
            sum[i] += (double)v[i];
}

static void add_moments(struct work *w, struct part *part, int begin, int rows)
{
    int cout = w->node->shape.c;
    const float *want = w->want + (size_t)(w->first + begin) * (size_t)(w->places * cout);
    size_t k = (size_t)w->k, outs = (size_t)w->outs;
    for (size_t b = 0; b < (size_t)w->blocks; b++) {
        const float *row = part->row + b * part_rows(w) * k;
        float *block = part->want;
        for (int r = 0; r < rows; r++)
            memcpy(block + (size_t)r * outs, want + (size_t)r * (size_t)cout + b * outs, sizeof *block * outs);
        add_columns(part->x + b * k, row, rows, w->k);
        add_columns(part->y + b * outs, block, rows, w->outs);
        if (!w->squares)
            continue;
        tensor_gram(part->xx + b * k * k, row, rows, w->k, 1);
        tensor_gemm(part->xy + b * outs * k, block, true, row, false, w->outs, w->k, rows, 1, 1);
    }
}

static void do_part(void *ctx, int index, int worker)
{
    struct work *w = ctx;
    struct part *part = &w->part[index];
    int begin = w->count * index / PARTS, end = w->count * (index + 1) / PARTS, rows = (end - begin) * w->places;
    (void)worker;
    if (!rows)
        return;
    if (gather_part(w, part, begin, end)) {
        __atomic_store_n(&w->rc, BASE_INTERNAL, __ATOMIC_RELAXED);
        return;
    }
    if (w->coarse)
        add_moments(w, part, begin, rows);
    else
        float_outputs(w, part, begin, rows);
}

static int each_batch(void *ctx, int first, int count)
{
    struct work *w = ctx;
    w->first = first;
    w->count = count;
    base_pool_run_dynamic(nn_pool(w->nn), PARTS, do_part, w);
    return w->rc ? base_fail(w->rc, "layer '%s': its maps were not kept", w->layer->name) : BASE_OK;
}

/* ---- memory, sums of the parts ------------------------------------------------------------- */

static size_t largest_map(const struct work *w)
{
    size_t most = 0;
    for (int t = 0; t < w->layer->n_term; t++) {
        struct graph_shape s = graph_edge_shape(w->g, w->ls, w->layer->term[t].edge);
        most = BASE_MAX(most, (size_t)s.h * (size_t)s.w * (size_t)s.c);
    }
    return most;
}

static int alloc_part(const struct work *w, struct part *p)
{
    size_t blocks = (size_t)w->blocks, k = (size_t)w->k, outs = (size_t)w->outs, rows = part_rows(w);
    p->map = BASE_NEW_N(float, largest_map(w));
    p->row = BASE_NEW_N(float, blocks * rows * k);
    p->want = BASE_NEW_N(float, rows * outs);
    p->x = BASE_NEW_N(double, blocks * k);
    p->y = BASE_NEW_N(double, blocks * outs);
    if (w->squares) {
        p->xx = BASE_NEW_N(float, blocks * k * k);
        p->xy = BASE_NEW_N(float, blocks * outs * k);
    }
    return p->map && p->row && p->want && p->x && p->y && (!w->squares || (p->xx && p->xy)) ? BASE_OK : BASE_NOMEM;
}

static void free_work(struct work *w)
{
    for (int i = 0; i < PARTS; i++) {
        struct part *p = &w->part[i];
        base_free(p->map);
        base_free(p->row);
        base_free(p->want);
        base_free(p->xx);
        base_free(p->xy);
        base_free(p->x);
        base_free(p->y);
    }
    base_free(w->want);
    base_free(w->pad);
    base_free(w->unit);
}

void compress_moments_free(struct compress_moments *m)
{
    base_free(m->xx);
    base_free(m->xy);
    base_free(m->x);
    base_free(m->y);
    *m = (struct compress_moments){ 0 };
}

static int alloc_moments(struct compress_moments *m, const struct work *w)
{
    size_t blocks = (size_t)w->blocks, k = (size_t)w->k, outs = (size_t)w->outs;
    *m = (struct compress_moments){ .blocks = w->blocks, .k = w->k, .outs = w->outs };
    m->x = BASE_NEW_N(double, blocks * k);
    m->y = BASE_NEW_N(double, blocks * outs);
    if (w->squares) {
        m->xx = BASE_NEW_N(double, blocks * k * k);
        m->xy = BASE_NEW_N(double, blocks * outs * k);
    }
    return m->x && m->y && (!w->squares || (m->xx && m->xy)) ? BASE_OK : BASE_NOMEM;
}

static void finish_moments(struct compress_moments *m, const struct work *w, int images)
{
    size_t blocks = (size_t)w->blocks, k = (size_t)w->k, outs = (size_t)w->outs;
    double per = 1 / ((double)images * w->places);
    for (int i = 0; i < PARTS; i++) {
        const struct part *p = &w->part[i];
        for (size_t j = 0; j < blocks * k; j++)
            m->x[j] += p->x[j] * per;
        for (size_t j = 0; j < blocks * outs; j++)
            m->y[j] += p->y[j] * per;
        for (size_t j = 0; w->squares && j < blocks * outs * k; j++)
            m->xy[j] += (double)p->xy[j] * per;
        for (size_t b = 0; w->squares && b < blocks; b++)
            for (size_t r = 0; r < k; r++)
                for (size_t c = 0; c <= r; c++)
                    m->xx[(b * k + r) * k + c] += (double)p->xx[(b * k + r) * k + c] * per;
    }
    for (size_t b = 0; w->squares && b < blocks; b++)
        for (size_t r = 0; r < k; r++)
            for (size_t c = r + 1; c < k; c++)
                m->xx[(b * k + r) * k + c] = m->xx[(b * k + c) * k + r];
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* 1 / (gamma / sigma): what one of the real output is before batch norm. */
static int find_units(struct work *w)
{
    const struct graph_node *b = w->term->batchnorm >= 0 ? &w->g->node[w->term->batchnorm] : NULL;
    w->unit = BASE_NEW_N(float, w->node->shape.c);
    for (int o = 0; w->unit && o < w->node->shape.c; o++) {
        float factor = b ? b->gamma[o] / sqrtf(b->var[o] + b->eps) : 1;
        w->unit[o] = fabsf(factor) > 1e-3f ? 1 / factor : 0;
    }
    return w->unit ? BASE_OK : BASE_NOMEM;
}

/* Padding of the image: real zero, or the pixel nearest to it once pixels are what weights multiply. */
static void find_padding(struct work *w)
{
    const struct graph_prep *p = &w->g->prep;
    for (int c = 0; c < w->in.c; c++) {
        w->pad[c] = 0;
        if (!w->coarse || w->term->edge || !w->quant->pixel_pad || c >= p->n)
            continue;
        double pixel = fmin(fmax(floor((double)p->mean[c] / (double)p->scale + 0.5), 0), 255);
        w->pad[c] = (float)((pixel * (double)p->scale - (double)p->mean[c]) / (double)p->std[c]);
    }
}

static int set_up(struct work *w, int images)
{
    const struct graph_node *n = w->node;
    w->in = graph_edge_shape(w->g, w->ls, w->term->edge);
    w->cin = n->depthwise ? 1 : w->in.c;
    w->k = n->kh * n->kw * w->cin;
    w->blocks = n->depthwise ? n->shape.c : 1;
    w->outs = n->depthwise ? 1 : n->shape.c;
    w->places = BASE_MIN(n->shape.h * n->shape.w, PLACES);
    w->pad = BASE_NEW_N(float, w->in.c);
    w->want = BASE_NEW_N(float, (size_t)images * (size_t)(w->places * n->shape.c));
    int rc = w->pad && w->want ? find_units(w) : BASE_NOMEM;
    for (int i = 0; !rc && i < PARTS; i++)
        rc = alloc_part(w, &w->part[i]);
    return rc ? rc : alloc_moments(w->out, w);
}

static bool is_first_weighted(const struct graph *g, const struct graph_layer *l, int term)
{
    for (int t = 0; t < term; t++)
        if (l->term[t].node >= 0 && g->node[l->term[t].node].weight)
            return false;
    return true;
}

int compress_moments_measure(struct compress_moments *out, struct nn *exact, struct nn *coarse, const struct nn_quant *q, const struct compress_images *images,
                             int layer, int term, bool squares)
{
    const struct graph *g = nn_graph(exact);
    const struct graph_layers *ls = nn_layers(exact);
    const struct graph_layer *l = &ls->layer[layer];
    struct work w = { .g = g, .ls = ls, .layer = l, .term = &l->term[term], .node = &g->node[l->term[term].node], .quant = q, .squares = squares,
                      .leads = is_first_weighted(g, l, term), .index = layer * GRAPH_MAX_TERM + term, .batch = nn_max_batch(exact), .out = out };
    *out = (struct compress_moments){ 0 };
    int rc = set_up(&w, images->n);
    for (int i = 0; !rc && i < 2; i++) {
        w.coarse = i;
        w.nn = i ? coarse : exact;
        find_padding(&w);
        rc = nn_forward_maps(w.nn, images->pixels, images->n, layer, each_batch, &w);
    }
    if (!rc)
        finish_moments(out, &w, images->n);
    free_work(&w);
    if (rc)
        compress_moments_free(out);
    return rc;
}
