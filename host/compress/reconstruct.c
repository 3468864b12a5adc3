/* reconstruct.c: layer by layer, in order, each on what the quantized layers before it really give.
 *
 * Adaptive rounding: a term's weights w shall make |X w - y|^2 small over places of images, X the quantized network's
 * inputs and y what the float network adds there. With H = X'X + ridge the best real weights are H^-1 (X'y + ridge w0);
 * round.c finds integers near them in the measure of H; at few bits for several scales, of which the best stays (with
 * more bits that gains nothing on images not seen). */
#include <float.h>
#include <math.h>
#include <string.h>

#include "compress/reconstruct.h"
#include "tensor/tensor.h"

enum {
    BATCH = 64,
    MAX_K = 4608,                        /* a 3x3 window of 512 channels; beyond it weights are rounded to nearest */
    SCALED_BITS = 2,                     /* up to here other scales are tried */
};
static const double ridge_share = 0.01;  /* of the mean of H's diagonal */

struct place {                           /* one term and what belongs to it */
    struct compress_model *m;
    const struct graph_term *term;
    struct graph_node *node;
    struct graph_node *norm;             /* its batch norm or NULL */
    const struct graph_node *exact;      /* the node in the float network */
    struct nn_quant_term *quant;
};

/* Both networks, ready to run. */
struct engines { struct nn *exact, *coarse; };

static void close_engines(struct engines *e)
{
    nn_free(e->coarse);
    nn_free(e->exact);                   /* may own the pool of both */
}

static int open_engines(struct engines *e, struct compress_model *m, struct graph *exact, struct base_pool *pool)
{
    struct nn_options o = NN_OPTIONS_INIT;
    o.pool = pool;
    o.max_batch = BATCH;
    *e = (struct engines){ 0 };
    int rc = nn_new(&e->exact, exact, &o);
    if (!rc) {
        o.pool = nn_pool(e->exact);
        rc = nn_new(&e->coarse, m->graph, &o);
    }
    if (!rc)
        rc = nn_set_quant(e->coarse, m->quant);
    if (rc)
        close_engines(e);
    return rc;
}

static bool find_place(struct place *p, struct compress_model *m, const struct graph *exact, int layer, int term)
{
    const struct graph_term *t = &m->layers.layer[layer].term[term];
    if (t->node < 0 || !m->graph->node[t->node].weight)
        return false;
    *p = (struct place){ .m = m, .term = t, .node = &m->graph->node[t->node], .norm = t->batchnorm < 0 ? NULL : &m->graph->node[t->batchnorm],
                         .exact = &exact->node[t->node], .quant = &m->quant->layer[layer].term[term] };
    return true;
}

static int inputs_of(const struct place *p)
{
    const struct graph_node *n = p->node;
    return n->kh * n->kw * (n->depthwise ? 1 : p->m->graph->node[n->in[0]].shape.c);
}

/* The inputs' factor of weight i of output o (nn_quant_term). */
static float factor_of(const struct place *p, int o, int i)
{
    int cin = p->node->depthwise ? 1 : p->m->graph->node[p->node->in[0]].shape.c;
    return p->quant->in_factor ? p->quant->in_factor[p->node->depthwise ? o : i % cin] : 1;
}

static double grid_step(const struct place *p, int o, int i)
{
    return (double)p->quant->w_scale[o] / (double)factor_of(p, o, i);
}

/* What fake quantization makes of the weights of output o: w [k]; code [k] is room for them. */
static void weights_in_force(double *w, float *code, const struct place *p, int o, int k)
{
    int taps = p->node->kh * p->node->kw;
    nn_quant_codes(code, p->quant, p->node->weight, o, taps, k / taps, p->node->depthwise);
    for (int i = 0; i < k; i++)
        w[i] = (double)code[i] * grid_step(p, o, i);
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* ---- mean errors ------------------------------------------------------------------------- */

/* Into batch norm's mean, or a bias, which comes to be where there is none. */
static int take_mean_error(const struct place *p, const struct compress_moments *q)
{
    struct graph_node *n = p->node;
    double *w = BASE_NEW_N(double, q->k);
    float *code = BASE_NEW_N(float, q->k);
    if (!n->bias && !p->norm)
        n->bias = BASE_ARENA_NEW_N(p->m->graph->arena, float, n->shape.c);
    bool ready = w && code && (n->bias || p->norm);
    for (int o = 0; ready && o < n->shape.c; o++) {
        weights_in_force(w, code, p, o, q->k);
        double lacks = q->y[o] - dot(w, q->x + (q->blocks > 1 ? (int64_t)o * q->k : 0), q->k);
        if (p->norm)
            p->norm->mean[o] -= (float)lacks;
        else
            n->bias[o] += (float)lacks;
    }
    base_free(w);
    base_free(code);
    return ready ? BASE_OK : BASE_NOMEM;
}

/* ---- adaptive rounding ---------------------------------------------------------------------- */

struct rounding {
    const struct place *p;
    const struct compress_moments *q;
    double *h, *l;                       /* [blocks][k][k] */
    double *want;                        /* [cout][k] */
    int groups, group;
    double *scratch;                     /* per worker: worker_doubles() */
    int *code;                           /* per worker: [2][group][k] */
};

static size_t worker_doubles(const struct rounding *r)
{
    return 3 * (size_t)r->q->k;
}

static const float *mask_of(const struct rounding *r, int o)
{
    return r->p->quant->mask ? r->p->quant->mask + (size_t)o * (size_t)r->q->k : NULL;
}

/* Error of a group with its scale times `factor`; codes [outputs][k]. */
static double round_group(const struct rounding *r, int *code, double *scratch, int from, int to, double factor)
{
    int k = r->q->k;
    double *step = scratch + 2 * k, error = 0;
    const struct nn_levels *levels = r->p->quant->levels;
    struct nn_level table[NN_MAX_LEVELS];
    for (int o = from; o < to; o++) {
        size_t block = r->q->blocks > 1 ? (size_t)o * (size_t)(k * k) : 0;
        for (int i = 0; i < k; i++)
            step[i] = grid_step(r->p, o, i) * factor;
        const struct compress_grid grid = { r->p->quant->w_bits, mask_of(r, o), levels ? table : NULL, levels ? nn_level_table(table, levels, o) : 0 };
        error += compress_round(code + (size_t)(o - from) * (size_t)k, r->h + block, r->l + block, r->want + (size_t)o * (size_t)k, step, k, &grid, scratch);
    }
    return error;
}

static void use_codes(const struct rounding *r, const int *code, int from, int to, double factor)
{
    int k = r->q->k;
    for (int o = from; o < to; o++)
        r->p->quant->w_scale[o] = (float)((double)r->p->quant->w_scale[o] * factor);
    for (int o = from; o < to; o++)
        for (int i = 0; i < k; i++)
            r->p->node->weight[(int64_t)o * k + i] = (float)(*code++ * grid_step(r->p, o, i));
}

static void do_group(void *ctx, int index, int worker)
{
    static const double factors[] = { 1, 0.7, 0.76, 0.82, 0.88, 0.94, 1.06, 1.12, 1.2 }; /* 1: the scale that the recipe's clipping gave */
    const struct rounding *r = ctx;
    int from = index * r->group, to = BASE_MIN(from + r->group, r->p->node->shape.c), best = 0;
    size_t codes = (size_t)r->group * (size_t)r->q->k;
    int *kept = r->code + (size_t)worker * 2 * codes, *tried = kept + codes;
    double *scratch = r->scratch + (size_t)worker * worker_doubles(r), least = DBL_MAX;
    for (int o = from; o < to && mask_of(r, o); o++) {
        size_t k = (size_t)r->q->k, block = r->q->blocks > 1 ? (size_t)o * k * k : 0;
        compress_fit_kept(r->want + (size_t)o * k, r->h + block, mask_of(r, o), r->q->k, scratch);
    }
    int tries = r->p->quant->w_bits <= SCALED_BITS ? BASE_COUNT(factors) : 1;
    for (int f = 0; f < tries; f++) {
        double e = round_group(r, tried, scratch, from, to, factors[f]);
        if (e < least) {
            int *swap = kept;
            kept = tried;
            tried = swap;
            least = e;
            best = f;
        }
    }
    use_codes(r, kept, from, to, factors[best]);
}

/* h = xx + ridge; want = h^-1 (xy + ridge w0); l = Cholesky factor of h. One block. */
static int solve_block(struct rounding *r, int block)
{
    const struct compress_moments *q = r->q;
    size_t k = (size_t)q->k, outs = (size_t)q->outs;
    double *h = r->h + (size_t)block * k * k, *l = r->l + (size_t)block * k * k, *b = BASE_NEW_N(double, 2 * k * outs), *x = b ? b + k * outs : NULL, mean = 0;
    if (!b)
        return BASE_NOMEM;
    memcpy(h, q->xx + (size_t)block * k * k, sizeof *h * k * k);
    for (size_t i = 0; i < k; i++)
        mean += h[i * k + i] / (double)k;
    double ridge = fmax(mean, 1e-12) * ridge_share;
    for (size_t i = 0; i < k; i++)
        h[i * k + i] += ridge;
    int first = block * q->outs;
    for (size_t o = 0; o < outs; o++)
        for (size_t i = 0; i < k; i++)
            b[i * outs + o] = q->xy[((size_t)block * outs + o) * k + i] + ridge * (double)r->p->exact->weight[((size_t)first + o) * k + i];
    int rc = tensor_solve_spd(x, h, b, q->k, q->outs, r->p->node->name);
    for (size_t o = 0; !rc && o < outs; o++)
        for (size_t i = 0; i < k; i++)
            r->want[((size_t)first + o) * k + i] = x[i * outs + o];
    memcpy(l, h, sizeof *h * k * k);
    if (!rc)
        rc = tensor_cholesky(l, q->k, r->p->node->name);
    base_free(b);
    return rc;
}

/* The batch norm that batches of such outputs would have. */
static int fit_norm(const struct place *p, const struct compress_moments *q)
{
    int k = q->k;
    double *w = BASE_NEW_N(double, k);
    float *code = BASE_NEW_N(float, k);
    int rc = w && code ? BASE_OK : BASE_NOMEM;
    for (int o = 0; !rc && o < p->node->shape.c; o++) {
        int64_t block = q->blocks > 1 ? o : 0;
        double square = 0;
        weights_in_force(w, code, p, o, k);
        double mean = dot(w, q->x + block * k, k);
        for (int i = 0; i < k; i++)
            square += w[i] * dot(w, q->xx + (block * k + i) * k, k);
        p->norm->mean[o] = (float)mean + (p->node->bias ? p->node->bias[o] : 0);
        p->norm->var[o] = (float)fmax(square - mean * mean, 0);
    }
    base_free(w);
    base_free(code);
    return rc;
}

static int round_term(const struct place *p, const struct compress_moments *q, struct base_pool *pool)
{
    struct rounding r = { .p = p, .q = q, .group = BASE_MAX(p->quant->group, 1) };
    size_t k = (size_t)q->k, squares = (size_t)q->blocks * k * k, workers = (size_t)base_pool_threads(pool);
    r.groups = (p->node->shape.c + r.group - 1) / r.group;
    r.h = BASE_NEW_N(double, squares);
    r.l = BASE_NEW_N(double, squares);
    r.want = BASE_NEW_N(double, (size_t)p->node->shape.c * k);
    r.scratch = BASE_NEW_N(double, workers * worker_doubles(&r));
    r.code = BASE_NEW_N(int, workers * 2 * (size_t)r.group * k);
    int rc = r.h && r.l && r.want && r.scratch && r.code ? BASE_OK : BASE_NOMEM;
    for (int b = 0; !rc && b < q->blocks; b++)
        rc = solve_block(&r, b);
    if (!rc)
        base_pool_run_dynamic(pool, r.groups, do_group, &r);
    base_free(r.h);
    base_free(r.l);
    base_free(r.want);
    base_free(r.scratch);
    base_free(r.code);
    return rc;
}

static int reconstruct_term(struct compress_model *m, struct engines *e, const struct compress_images *images, int layer, int term)
{
    struct place p;
    struct compress_moments q;
    if (!find_place(&p, m, nn_graph(e->exact), layer, term) || inputs_of(&p) > MAX_K)
        return BASE_OK;
    int rc = compress_moments_measure(&q, e->exact, e->coarse, m->quant, images, layer, term, true);
    if (!rc)
        rc = round_term(&p, &q, nn_pool(e->exact));
    if (!rc && p.norm)
        rc = fit_norm(&p, &q);
    else if (!rc && m->recipe.quantize.bias_correction)
        rc = take_mean_error(&p, &q);
    compress_moments_free(&q);
    return rc;
}

int compress_reconstruct(struct compress_model *m, struct graph *exact, struct base_pool *pool, const struct compress_images *images)
{
    struct engines e;
    int rc = open_engines(&e, m, exact, pool);
    if (rc)
        return rc;
    for (int i = 0; !rc && i < m->layers.n; i++)
        for (int t = 0; !rc && t < m->layers.layer[i].n_term; t++)
            rc = reconstruct_term(m, &e, images, i, t);
    close_engines(&e);
    return rc;
}

static int correct_term(struct compress_model *m, struct engines *e, const struct compress_images *images, int layer, int term, bool batchnorms, bool *changed)
{
    struct place p;
    struct compress_moments q;
    if (!find_place(&p, m, nn_graph(e->exact), layer, term) || (p.norm && !batchnorms))
        return BASE_OK;
    int rc = compress_moments_measure(&q, e->exact, e->coarse, m->quant, images, layer, term, false);
    if (!rc)
        rc = take_mean_error(&p, &q);
    compress_moments_free(&q);
    *changed |= layer + 1 < m->layers.n;
    return rc;
}

int compress_correct_bias(struct compress_model *m, struct graph *exact, struct base_pool *pool, const struct compress_images *images, bool batchnorms, bool *changed)
{
    struct engines e;
    *changed = false;
    int rc = open_engines(&e, m, exact, pool);
    if (rc)
        return rc;
    for (int i = 0; !rc && i < m->layers.n; i++)
        for (int t = 0; !rc && t < m->layers.layer[i].n_term; t++)
            rc = correct_term(m, &e, images, i, t, batchnorms, changed);
    close_engines(&e);
    return rc;
}
