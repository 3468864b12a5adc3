/* prune_refit.c: least squares of the layers that read pruned channels: sampled points, moments, the solution.
 *
 * He, Zhang, Sun: "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017. Inputs come
 * from the network as pruned so far, outputs from the unpruned one; where a residual add follows,
 * what the other branch has lost by then is asked of the layer too. Differently from the paper, moments are taken
 * about the means (a constant belongs to the bias or the batch norm). */
#include "compress/prune_refit.h"

#include <math.h>
#include <string.h>

#include "tensor/tensor.h"

enum { MAX_INPUTS = 8192, IMAGES = 512, POINTS = 5120, POINTS_PER_INPUT = 3, BATCH = 64 };
static const double ridge = 1e-4;      /* of the inputs' mean variance, towards the old weights */

/* ---- readers of a block ------------------------------------------------------------ */

static bool reads_block(const struct prune_job *j, int node, int block)
{
    const struct graph_channels *ch = &j->plan->ch;
    int in = j->was->node[node].in[0];
    for (int c = 0; c < j->was->node[in].shape.c; c++)
        if (ch->block[graph_unit(ch, in, c)] == block)
            return true;
    return false;
}

/* Visits layers and terms; returns how many read the block, the first in *first. */
static int find_readers(const struct prune_job *j, int block, struct prune_reader *out, int *first)
{
    int n = 0;
    for (int i = 0; i < j->layers->n; i++)
        for (int t = 0; t < j->layers->layer[i].n_term; t++) {
            int node = j->layers->layer[i].term[t].node;
            if (node < 0 || !graph_mixes(&j->was->node[node]) || !reads_block(j, node, block))
                continue;
            if (!n)
                *first = i;
            if (out)
                out[n] = (struct prune_reader){ .layer = i, .term = t, .node = node };
            n++;
        }
    return n;
}

void prune_block_order(int *order, int *n, const struct prune_job *j)
{
    const struct prune_plan *p = j->plan;
    *n = 0;
    for (int i = 0; i <= j->layers->n; i++)
        for (int b = 0; b < p->ch.n_block; b++) {
            int first = j->layers->n;    /* nobody reads it: last */
            if (p->count[b] == p->ch.size[b])
                continue;
            find_readers(j, b, NULL, &first);
            if (first == i)
                order[(*n)++] = b;
        }
}

static const struct graph_node *batchnorm_of(const struct graph *g, const struct prune_job *j, const struct prune_reader *r)
{
    int bn = j->layers->layer[r->layer].term[r->term].batchnorm;
    return bn < 0 ? NULL : &g->node[bn];
}

static int reader_fill(struct prune_reader *r, const struct prune_job *j, int images)
{
    const struct graph_node *n = &j->was->node[r->node], *bn = batchnorm_of(j->was, j, r);
    r->k = n->kh * n->kw * j->was->node[n->in[0]].shape.c;
    r->cout = n->shape.c;
    if (r->k > MAX_INPUTS)
        return base_fail(BASE_INPUT, "recipe: layer '%s' has %d inputs to an output, which is too many to fit anew (at most %d): use prune method magnitude-l1", n->name, r->k, MAX_INPUTS);
    r->points = BASE_MIN((BASE_MAX(POINTS, POINTS_PER_INPUT * r->k) + images - 1) / images, n->shape.h * n->shape.w);
    r->gain = BASE_NEW_N(float, r->cout);
    r->s = BASE_NEW_N(float, (size_t)r->k * (size_t)r->k);
    r->r = BASE_NEW_N(float, (size_t)r->k * (size_t)r->cout);
    r->mean_x = BASE_NEW_N(double, r->k);
    r->mean_y = BASE_NEW_N(double, r->cout);
    if (!r->gain || !r->s || !r->r || !r->mean_x || !r->mean_y)
        return BASE_NOMEM;
    for (int c = 0; c < r->cout; c++)
        r->gain[c] = bn ? bn->gamma[c] / sqrtf(bn->var[c] + bn->eps) : 1;
    return BASE_OK;
}

void prune_readers_free(struct prune_readers *l)
{
    for (int i = 0; l->reader && i < l->n; i++) {
        struct prune_reader *r = &l->reader[i];
        base_free(r->gain);
        base_free(r->s);
        base_free(r->r);
        base_free(r->mean_x);
        base_free(r->mean_y);
    }
    base_free(l->reader);
    *l = (struct prune_readers){ 0 };
}

/* ---- sampling ------------------------------------------------------------------------ */

/* Maps of one image and the points of one batch. */
struct sampler {
    const struct prune_job *j;
    struct nn *was, *now;
    float *map[2];         /* unpruned, pruned: the largest edge */
    float *x, *x_was, *y;  /* [points of a batch][k], [k], [cout]: the largest reader */
    double *square;        /* [cout] */
};

static void patch(float *to, const float *map, struct graph_shape s, const struct graph_node *n, int y, int x)
{
    for (int ky = 0; ky < n->kh; ky++)
        for (int kx = 0; kx < n->kw; kx++, to += s.c) {
            int iy = y * n->stride + ky - n->pad_t, ix = x * n->stride + kx - n->pad_l;
            if (iy < 0 || ix < 0 || iy >= s.h || ix >= s.w)
                memset(to, 0, sizeof *to * (size_t)s.c);
            else
                memcpy(to, map + ((size_t)iy * (size_t)s.w + (size_t)ix) * (size_t)s.c, sizeof *to * (size_t)s.c);
        }
}

struct point { int y, x; };

/* The same points whenever an image and a reader are the same. */
static void draw_points(struct point *p, const struct prune_reader *r, struct graph_shape s, int64_t image)
{
    struct base_rng rng;
    base_rng_stream(&rng, (uint64_t)r->node, (uint64_t)image);
    bool all = r->points == s.h * s.w;
    for (int i = 0; i < r->points; i++) {
        int at = all ? i : (int)base_rng_below(&rng, (uint32_t)(s.h * s.w));
        p[i] = (struct point){ at / s.w, at % s.w };
    }
}

static int read_maps(struct sampler *s, int edge, int image)
{
    int rc = nn_edge_read(s->was, edge, image, s->map[0]);
    return rc ? rc : nn_edge_read(s->now, edge, image, s->map[1]);
}

/* What an identity or option-A branch has lost at the points, asked of the reader: y += (was - now) / gain. */
static int add_branch(struct sampler *s, const struct prune_reader *r, const struct graph_term *t, const struct point *p, int image, float *y)
{
    const struct graph *g = s->j->was;
    struct graph_shape m = graph_edge_shape(g, s->j->layers, t->edge);
    const struct graph_node *cut = t->node < 0 ? NULL : &g->node[t->node];
    int before = cut ? cut->chan_before : 0, stride = cut ? cut->stride : 1;
    int rc = read_maps(s, t->edge, image);
    float most = 0;
    for (int c = 0; c < r->cout; c++)
        most = fmaxf(most, fabsf(r->gain[c]));
    for (int i = 0; !rc && i < r->points; i++)
        for (int c = 0; c < m.c; c++) {
            size_t at = ((size_t)(p[i].y * stride) * (size_t)m.w + (size_t)(p[i].x * stride)) * (size_t)m.c + (size_t)c;
            float u = r->gain[before + c];
            if (fabsf(u) > 1e-3f * most)
                y[(size_t)i * (size_t)r->cout + (size_t)(before + c)] += (s->map[0][at] - s->map[1][at]) / u;
        }
    return rc;
}

static int add_branches(struct sampler *s, const struct prune_reader *r, const struct point *p, int image, float *y)
{
    const struct graph_layer *l = &s->j->layers->layer[r->layer];
    int rc = BASE_OK;
    for (int t = 0; !rc && t < l->n_term; t++)
        if (t != r->term && (l->term[t].node < 0 || s->j->was->node[l->term[t].node].op == GRAPH_SHORTCUT))
            rc = add_branch(s, r, &l->term[t], p, image, y);
    return rc;
}

/* Points of image `index` of the batch just run become rows of x, x_was; y gets the branches' share. */
static int sample_image(struct sampler *s, const struct prune_reader *r, int index, int64_t image, size_t row)
{
    const struct graph_node *n = &s->j->was->node[r->node];
    struct graph_shape in = s->j->was->node[n->in[0]].shape;
    struct point *p = BASE_NEW_N(struct point, r->points);
    int rc = p ? read_maps(s, s->j->layers->layer[r->layer].term[r->term].edge, index) : BASE_NOMEM;
    if (!rc) {
        draw_points(p, r, n->shape, image);
        for (int i = 0; i < r->points; i++) {
            patch(s->x_was + (row + (size_t)i) * (size_t)r->k, s->map[0], in, n, p[i].y, p[i].x);
            patch(s->x + (row + (size_t)i) * (size_t)r->k, s->map[1], in, n, p[i].y, p[i].x);
        }
        rc = add_branches(s, r, p, index, s->y + row * (size_t)r->cout);
    }
    base_free(p);
    return rc;
}

static void add_columns(double *sum, const float *v, int rows, int columns)
{
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < columns; c++)
            sum[c] += (double)v[(size_t)i * (size_t)columns + (size_t)c];
}

/* A batch of `images` into the reader's sums (not yet about the means). */
static int sample_batch(struct sampler *s, struct prune_reader *r, int64_t first, int images)
{
    int rows = images * r->points, rc = BASE_OK;
    memset(s->y, 0, sizeof *s->y * (size_t)rows * (size_t)r->cout);
    for (int i = 0; !rc && i < images; i++)
        rc = sample_image(s, r, i, first + i, (size_t)(i * r->points));
    if (rc)
        return rc;
    tensor_gemm(s->y, s->x_was, false, s->j->was->node[r->node].weight, true, rows, r->cout, r->k, 1, 1);
    tensor_gemm(r->s, s->x, true, s->x, false, r->k, r->k, rows, 1, 1);
    tensor_gemm(r->r, s->x, true, s->y, false, r->k, r->cout, rows, 1, 1);
    add_columns(r->mean_x, s->x, rows, r->k);
    add_columns(r->mean_y, s->y, rows, r->cout);
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < r->cout; c++) {
            double v = (double)(s->y[(size_t)i * (size_t)r->cout + (size_t)c] * r->gain[c]);
            r->energy += v * v;
        }
    r->n += rows;
    return BASE_OK;
}

/* Sums become moments about the means. */
static void centre(struct prune_reader *r)
{
    double n = (double)r->n;
    r->energy /= n;
    for (int c = 0; c < r->cout; c++) {
        r->mean_y[c] /= n;
        double m = r->mean_y[c] * (double)r->gain[c];
        r->energy -= m * m;
    }
    r->energy = fmax(r->energy, 0);
    for (int a = 0; a < r->k; a++)
        r->mean_x[a] /= n;
    for (int a = 0; a < r->k; a++) {
        float *s = r->s + (size_t)a * (size_t)r->k, *y = r->r + (size_t)a * (size_t)r->cout;
        for (int b = 0; b < r->k; b++)
            s[b] = (float)((double)s[b] / n - r->mean_x[a] * r->mean_x[b]);
        for (int c = 0; c < r->cout; c++)
            y[c] = (float)((double)y[c] / n - r->mean_x[a] * r->mean_y[c]);
    }
}

static int sampler_open(struct sampler *s, const struct prune_job *j, const struct prune_readers *l)
{
    struct nn_options o = NN_OPTIONS_INIT;
    size_t edge = 0, k = 0, y = 0;
    o.pool = j->pool;
    o.max_batch = BATCH;
    *s = (struct sampler){ .j = j };
    for (int e = 0; e < j->layers->n_edge; e++) {
        struct graph_shape m = graph_edge_shape(j->was, j->layers, e);
        edge = BASE_MAX(edge, (size_t)m.h * (size_t)m.w * (size_t)m.c);
    }
    for (int i = 0; i < l->n; i++) {
        size_t rows = (size_t)l->reader[i].points * BATCH;
        k = BASE_MAX(k, rows * (size_t)l->reader[i].k);
        y = BASE_MAX(y, rows * (size_t)l->reader[i].cout);
    }
    s->map[0] = BASE_NEW_N(float, edge);
    s->map[1] = BASE_NEW_N(float, edge);
    s->x = BASE_NEW_N(float, k);
    s->x_was = BASE_NEW_N(float, k);
    s->y = BASE_NEW_N(float, y);
    if (!s->map[0] || !s->map[1] || !s->x || !s->x_was || !s->y)
        return BASE_NOMEM;
    int rc = nn_new(&s->was, j->was, &o);
    if (!rc)
        rc = nn_new(&s->now, j->now, &o);
    if (!rc)
        rc = nn_keep_maps(s->was);
    return rc ? rc : nn_keep_maps(s->now);
}

static void sampler_close(struct sampler *s)
{
    nn_free(s->was);
    nn_free(s->now);
    base_free(s->map[0]);
    base_free(s->map[1]);
    base_free(s->x);
    base_free(s->x_was);
    base_free(s->y);
}

static int sample(struct prune_readers *l, const struct prune_job *j, int images)
{
    struct sampler s;
    int rc = sampler_open(&s, j, l);
    float *logits = rc ? NULL : BASE_NEW_N(float, BATCH * nn_classes(s.was));
    if (!rc && !logits)
        rc = BASE_NOMEM;
    for (int at = 0, n; !rc && at < images; at += n) {
        const uint8_t *pixels = j->data->calibration + (size_t)at * nn_image_bytes(s.was);
        n = BASE_MIN(BATCH, images - at);
        rc = nn_forward(s.was, pixels, n, logits);
        if (!rc)
            rc = nn_forward(s.now, pixels, n, logits);
        for (int i = 0; !rc && i < l->n; i++)
            rc = sample_batch(&s, &l->reader[i], at, n);
        if (!rc && base_stop_requested())
            rc = base_fail(BASE_STOPPED, "stopped while channels were chosen");
    }
    for (int i = 0; !rc && i < l->n; i++)
        centre(&l->reader[i]);
    base_free(logits);
    sampler_close(&s);
    return rc;
}

int prune_readers_new(struct prune_readers *out, const struct prune_job *j, int block)
{
    int first, images = BASE_MIN(j->data->n_calibration, IMAGES), rc = BASE_OK;
    *out = (struct prune_readers){ .n = find_readers(j, block, NULL, &first) };
    if (!out->n)
        return BASE_OK;
    if (!(out->reader = BASE_NEW_N(struct prune_reader, out->n)))
        return BASE_NOMEM;
    find_readers(j, block, out->reader, &first);
    for (int i = 0; !rc && i < out->n; i++)
        rc = reader_fill(&out->reader[i], j, images);
    if (!rc)
        rc = sample(out, j, images);
    if (rc)
        prune_readers_free(out);
    return rc;
}

/* ---- the solution ---------------------------------------------------------------------- */

int prune_allow_bias(struct prune_job *j)
{
    for (int i = 0; i < j->layers->n; i++)
        for (int t = 0; t < j->layers->layer[i].n_term; t++) {
            const struct graph_term *m = &j->layers->layer[i].term[t];
            struct graph_node *n = m->node < 0 ? NULL : &j->now->node[m->node];
            if (n && graph_mixes(n) && !n->bias && m->batchnorm < 0 && !(n->bias = BASE_ARENA_NEW_N(j->now->arena, float, n->shape.c)))
                return BASE_NOMEM;
        }
    return BASE_OK;
}

/* (S + ridge) x = R + ridge * old, on the readable inputs at[0..n-1]; x [n][cout]. */
static int solve(double *x, const struct prune_job *j, const struct prune_reader *r, const int *at, int n)
{
    const float *old = j->was->node[r->node].weight;
    double *a = BASE_NEW_N(double, (size_t)n * (size_t)n), *b = BASE_NEW_N(double, (size_t)n * (size_t)r->cout), trace = 0;
    int rc = a && b ? BASE_OK : BASE_NOMEM;
    for (int i = 0; i < n; i++)
        trace += (double)r->s[(size_t)at[i] * (size_t)r->k + (size_t)at[i]];
    double pull = ridge * trace / n + 1e-12;
    for (int i = 0; !rc && i < n; i++) {
        for (int m = 0; m < n; m++)
            a[(size_t)i * (size_t)n + (size_t)m] = (double)r->s[(size_t)at[i] * (size_t)r->k + (size_t)at[m]];
        a[(size_t)i * (size_t)n + (size_t)i] += pull;
        for (int o = 0; o < r->cout; o++)
            b[(size_t)i * (size_t)r->cout + (size_t)o] = (double)r->r[(size_t)at[i] * (size_t)r->cout + (size_t)o] + pull * (double)old[(size_t)o * (size_t)r->k + (size_t)at[i]];
    }
    if (!rc)
        rc = tensor_solve_spd(x, a, b, n, r->cout, j->was->node[r->node].name);
    base_free(a);
    base_free(b);
    return rc;
}

/* Output o has new weights: the constant that it had is kept. */
static void set_constant(const struct prune_job *j, const struct prune_reader *r, int o)
{
    const float *w = j->now->node[r->node].weight + (size_t)o * (size_t)r->k;
    const struct graph_node *bn = batchnorm_of(j->was, j, r), *old = &j->was->node[r->node];
    double lost = r->mean_y[o];
    for (int i = 0; i < r->k; i++)
        lost -= r->mean_x[i] * (double)w[i];
    if (bn)
        batchnorm_of(j->now, j, r)->mean[o] = (float)((double)bn->mean[o] - lost);
    else
        j->now->node[r->node].bias[o] = (float)((old->bias ? (double)old->bias[o] : 0) + lost);
}

static void set_weights(const struct prune_job *j, const struct prune_reader *r, const double *x, const int *at, int n)
{
    struct graph_node *node = &j->now->node[r->node];
    for (int o = 0; o < r->cout; o++) {
        float *w = node->weight + (size_t)o * (size_t)r->k;
        if (!j->keep[graph_unit(&j->plan->ch, r->node, o)])
            continue;
        memset(w, 0, sizeof *w * (size_t)r->k);
        for (int i = 0; i < n; i++)
            w[at[i]] = (float)x[(size_t)i * (size_t)r->cout + (size_t)o];
        set_constant(j, r, o);
    }
}

int prune_refit(const struct prune_job *j, const struct prune_reader *r, const bool *readable)
{
    int n = 0, *at = BASE_NEW_N(int, r->k), rc = at ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < r->k; i++)
        if (readable[prune_input_unit(j, r, i)])
            at[n++] = i;
    double *x = rc ? NULL : BASE_NEW_N(double, (size_t)n * (size_t)r->cout + 1);
    if (!rc && !x)
        rc = BASE_NOMEM;
    if (!rc && n)
        rc = solve(x, j, r, at, n);
    if (!rc)
        set_weights(j, r, x, at, n);
    base_free(x);
    base_free(at);
    return rc;
}
