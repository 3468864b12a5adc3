/* sparse.c: masks by magnitude, of single weights or of the array's own blocks.
 *
 * A block is what one K-word holds of one filter group: `block` output channels x (16 input channels of a 3 x 3 piece of the
 * kernel, or of a 1 x 1 kernel nine times as many). Where it is 0 the compiler lists no K-word. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compress/sparse.h"

enum { PIECE = 3, GROUPS = 9, UPDATES = 64 };

struct sparse_shape sparse_shape_of(const struct graph *g, const struct graph_term *t)
{
    const struct graph_node *n = &g->node[t->node];
    return (struct sparse_shape){ n->shape.c, n->kh, n->kw, n->depthwise ? 1 : g->node[n->in[0]].shape.c, t->chan, n->pad_t > 0 || n->pad_l > 0 };
}

int64_t sparse_weights(const struct sparse_shape *s)
{
    return (int64_t)s->cout * s->kh * s->kw * s->cin;
}

/* ---- blocks ------------------------------------------------------------------------- */

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* How a term's weights fall into blocks: filters x input groups x pieces. */
struct cut { int block, inputs, first, filters, groups, rows, columns; };

static struct cut cut_of(const struct sparse_shape *s, int block)
{
    bool by_groups = s->kh == 1 && s->kw == 1 && !s->padded;
    struct cut c = { .block = block, .inputs = block * (by_groups ? GROUPS : 1), .first = s->chan / block };
    c.filters = (s->chan + s->cout - 1) / block - c.first + 1;
    c.groups = ceil_div(s->cin, c.inputs);
    c.rows = ceil_div(s->kh, PIECE);
    c.columns = ceil_div(s->kw, PIECE);
    return c;
}

static int blocks_of(const struct cut *c)
{
    return c->filters * c->groups * c->rows * c->columns;
}

int64_t sparse_parts(const struct sparse_shape *s, enum compress_structure structure, int block)
{
    struct cut c = cut_of(s, block);
    return structure == COMPRESS_BLOCK ? blocks_of(&c) : sparse_weights(s);
}

/* Block of weight number `at` of the term. */
static int block_of(const struct cut *c, const struct sparse_shape *s, int64_t at)
{
    int i = (int)(at % s->cin), x = (int)(at / s->cin % s->kw), y = (int)(at / s->cin / s->kw % s->kh), o = (int)(at / s->cin / s->kw / s->kh);
    int filter = (s->chan + o) / c->block - c->first;
    return ((filter * c->groups + i / c->inputs) * c->rows + y / PIECE) * c->columns + x / PIECE;
}

/* ---- masks ---------------------------------------------------------------------------- */

struct ranked { double size; int64_t at; };

static int ascending(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->size != y->size ? (x->size > y->size) - (x->size < y->size) : (x->at > y->at) - (x->at < y->at);
}

/* gone[i] for the share of least size. */
static void take_least(bool *gone, struct ranked *r, int64_t n, double share)
{
    int64_t take = BASE_MIN((int64_t)floor(share * (double)n + 0.5), n - 1);
    qsort(r, (size_t)n, sizeof *r, ascending);
    for (int64_t i = 0; i < n; i++)
        gone[r[i].at] = i < take;
}

static void rank_blocks(struct ranked *r, double *count, const float *weight, const struct sparse_shape *s, const struct cut *c)
{
    for (int64_t i = 0; i < sparse_weights(s); i++) {
        int b = block_of(c, s, i);
        r[b].size += (double)weight[i] * (double)weight[i];
        count[b]++;
    }
    for (int b = 0; b < blocks_of(c); b++) {
        r[b].size /= count[b];
        r[b].at = b;
    }
}

/* argmin over w' of |w' - w|^2 / 2 + t sum over blocks of sqrt(n) |w'_block|, t = share * rms of the term: a block is multiplied by
 * 1 - t sqrt(n) / |w_block|, or becomes 0 (Yuan and Lin, 2006). */
int sparse_shrink(float *weight, const struct sparse_shape *s, int block, double share)
{
    struct cut c = cut_of(s, block);
    int64_t weights = sparse_weights(s);
    int blocks = blocks_of(&c);
    double *factor = BASE_NEW_N(double, blocks), *count = BASE_NEW_N(double, blocks), all = 0;
    int rc = factor && count ? BASE_OK : BASE_NOMEM;
    for (int64_t i = 0; !rc && i < weights; i++) {
        int b = block_of(&c, s, i);
        factor[b] += (double)weight[i] * (double)weight[i];
        all += (double)weight[i] * (double)weight[i];
        count[b]++;
    }
    double t = share * sqrt(all / (double)weights);
    for (int b = 0; !rc && b < blocks; b++)
        factor[b] = factor[b] > 0 ? fmax(1 - t / sqrt(factor[b] / count[b]), 0) : 0;
    for (int64_t i = 0; !rc && i < weights; i++)
        weight[i] *= (float)factor[block_of(&c, s, i)];
    base_free(factor);
    base_free(count);
    return rc;
}

int sparse_mask(float *mask, const float *weight, const struct sparse_shape *s, enum compress_structure structure, int block, double share)
{
    struct cut c = cut_of(s, block);
    bool blocks = structure == COMPRESS_BLOCK;
    int64_t weights = sparse_weights(s), n = sparse_parts(s, structure, block);
    struct ranked *r = BASE_NEW_N(struct ranked, n);
    bool *gone = BASE_NEW_N(bool, n);
    double *count = BASE_NEW_N(double, n);
    int rc = r && gone && count ? BASE_OK : BASE_NOMEM;
    for (int64_t i = 0; !rc && !blocks && i < n; i++)
        r[i] = (struct ranked){ fabs((double)weight[i]), i };
    if (!rc && blocks)
        rank_blocks(r, count, weight, s, &c);
    if (!rc)
        take_least(gone, r, n, share);
    for (int64_t i = 0; !rc && i < weights; i++)
        mask[i] = gone[blocks ? block_of(&c, s, i) : i] ? 0 : 1;
    base_free(r);
    base_free(gone);
    base_free(count);
    return rc;
}

/* ---- a model's masks ---------------------------------------------------------------------- */

double sparse_ramp(double share, int64_t at, int64_t n)
{
    double left = at < n ? 1 - (double)at / (double)n : 0;
    return share * (1 - left * left * left);
}

/* Every term with weights of a sparse layer. */
typedef int term_fn(struct compress_model *m, const struct graph_term *t, struct nn_quant_term *q, double share, void *ctx);
static int each_term(struct compress_model *m, term_fn *fn, void *ctx)
{
    int rc = BASE_OK;
    for (int i = 0; i < m->layers.n; i++)
        for (int k = 0; !rc && k < m->layers.layer[i].n_term && m->recipe.layer[i].sparsity > 0; k++) {
            const struct graph_term *t = &m->layers.layer[i].term[k];
            if (t->node >= 0 && m->graph->node[t->node].weight)
                rc = fn(m, t, &m->quant->layer[i].term[k], m->recipe.layer[i].sparsity, ctx);
        }
    return rc;
}

static int set_term(struct compress_model *m, const struct graph_term *t, struct nn_quant_term *q, double share)
{
    struct sparse_shape s = sparse_shape_of(m->graph, t);
    return sparse_mask(q->mask, m->graph->node[t->node].weight, &s, m->recipe.sparsify.structure, m->recipe.sparsify.block, share);
}

static int begin_term(struct compress_model *m, const struct graph_term *t, struct nn_quant_term *q, double share, void *ctx)
{
    const bool *rising = ctx;
    struct sparse_shape s = sparse_shape_of(m->graph, t);
    q->mask = BASE_ARENA_NEW_N(m->quant->arena, float, sparse_weights(&s));
    return q->mask ? set_term(m, t, q, *rising ? 0 : share) : BASE_NOMEM;
}

int sparse_begin(struct compress_model *m, bool rising)
{
    return each_term(m, begin_term, &rising);
}

/* Numbers of masks set so far and in all. */
struct ramp { int64_t at, n; };

static int raise_term(struct compress_model *m, const struct graph_term *t, struct nn_quant_term *q, double share, void *ctx)
{
    const struct ramp *r = ctx;
    return set_term(m, t, q, sparse_ramp(share, r->at, r->n));
}

static int shrink_term(struct compress_model *m, const struct graph_term *t, struct nn_quant_term *q, double share, void *ctx)
{
    const int64_t *steps = ctx;
    struct sparse_shape s = sparse_shape_of(m->graph, t);
    (void)q;
    (void)share;
    return sparse_shrink(m->graph->node[t->node].weight, &s, m->recipe.sparsify.block, m->recipe.sparsify.penalty / (double)*steps);
}

int sparse_step(void *ctx, int64_t step, int64_t steps)
{
    struct compress_model *m = ctx;
    int64_t end = BASE_MAX((int64_t)(m->recipe.sparsify.ramp * (double)steps), 1), every = BASE_MAX(end / UPDATES, 1);
    struct ramp r = { step + 1, end };
    int rc = step < end && m->recipe.sparsify.penalty > 0 ? each_term(m, shrink_term, &end) : BASE_OK;
    if (rc || step >= end || (step + 1 < end && step % every))
        return rc;
    return each_term(m, raise_term, &r);
}

static int end_term(struct compress_model *m, const struct graph_term *t, struct nn_quant_term *q, double share, void *ctx)
{
    struct sparse_shape s = sparse_shape_of(m->graph, t);
    (void)share;
    (void)ctx;
    for (int64_t i = 0; i < sparse_weights(&s); i++)
        m->graph->node[t->node].weight[i] *= q->mask[i];
    return BASE_OK;
}

void sparse_end(struct compress_model *m)
{
    each_term(m, end_term, NULL);
}
