/* What happens to parameters around a batch: weights fake-quantized and packed for the
 * kernels, the scales of batch norms; afterwards the shares' gradients added in order and
 * brought back into the parameters' layout. Terms are worked on in parallel. */
#include "nn/nn_internal.h"

#include <string.h>

/* ---- in ------------------------------------------------------------------------------ */

static void pack_depthwise(float *packed, const struct nn_conv *c, const float *weight, int cout)
{
    int taps = c->kh * c->kw;
    for (int o = 0; o < cout; o++)
        for (int t = 0; t < taps; t++)
            packed[(size_t)t * c->c + o] = packed[(size_t)(2 * taps - 1 - t) * c->c + o] = weight[(size_t)o * taps + t];
}

/* A dense layer is a convolution whose kernel is the whole map. */
static void pack_term(const struct nn_term *t, const float *weight, bool back)
{
    if (t->kind == NN_DEPTHWISE) {
        pack_depthwise(t->pack_forward, &t->conv, weight, t->cout);
        return;
    }
    if (t->fast_forward)
        nn_winograd_pack_forward(t->pack_forward, &t->winograd, weight, t->cout, t->cin);
    else
        nn_conv_pack_forward(t->pack_forward, &t->conv, weight, t->cout, t->cin);
    if (!back || t->edge == 0)
        return;
    if (t->kind == NN_DENSE)
        nn_dense_pack_back(t->pack_back, weight, t->k_dense, t->conv.o, t->cout, t->cin, t->conv.c);
    else if (t->fast_back)
        nn_winograd_pack_back(t->pack_back, &t->winograd_back, weight, t->cout, t->cin);
    else
        nn_conv_pack_back(t->pack_back, &t->conv, weight, t->cout, t->cin);
}

static int taps_of(const struct nn_term *t)
{
    return t->conv.kh * t->conv.kw;
}

static void plain_scales(const struct nn *m, struct nn_term *t)
{
    const float *bias = m->graph->node[t->node].bias;
    for (int o = 0; o < t->cout; o++) {
        t->sc[o] = 1;
        t->sh[o] = bias ? bias[o] : 0;
    }
}

static void prepare_term(void *ctx, int index, int worker)
{
    struct nn *m = ctx;
    struct nn_term *t = m->weighted[index];
    const float *weight = m->graph->node[t->node].weight;
    (void)worker;
    if (t->quant && t->quant->w_bits) {
        if (m->integers)
            nn_integers_weights(t, weight);
        else
            nn_quant_weights(t, weight, taps_of(t));
        weight = t->w_run;
    }
    pack_term(t, weight, nn_is_backward(m));
    if (t->batchnorm < 0)
        plain_scales(m, t);
    else if (nn_keeps_batch_statistics(m))
        nn_moment_shift(m, t);
    else
        nn_running_scales(m, t);
}

void nn_prepare(struct nn *m, const struct nn_program *p)
{
    m->batch.program = p;
    nn_quant_edges(m);
    base_pool_run_dynamic(m->pool, m->n_weighted, prepare_term, m);
}

/* ---- out ------------------------------------------------------------------------------- */

/* Blocks of rows of a dense term's weight gradient; none where the output does not depend on it. */
static int dense_blocks(const struct nn *m, const struct nn_term *t)
{
    return t->kind == NN_DENSE && m->layer[t->layer].live ? (t->k_dense + NN_DENSE_BLOCK - 1) / NN_DENSE_BLOCK : 0;
}

/* A dense term's weight gradient over the whole batch, in blocks of its rows: `at` counts them over all terms. */
static void dense_block(void *ctx, int at, int worker)
{
    struct nn *m = ctx;
    (void)worker;
    for (int i = 0; i < m->n_weighted; i++) {
        const struct nn_term *t = m->weighted[i];
        int blocks = dense_blocks(m, t);
        if (at < blocks) {
            const float *d = t->batchnorm >= 0 ? t->z : m->edge[t->layer + 1].grad;
            int row = at * NN_DENSE_BLOCK;
            nn_dense_weights_block(t->dw, m->edge[t->edge].x, d, m->batch.n * t->rows, t->k_dense, t->conv.o, row, BASE_MIN(NN_DENSE_BLOCK, t->k_dense - row));
            return;
        }
        at -= blocks;
    }
}

/* All shares into the first, in order. */
static float *sum_shares(const struct nn *m, const struct nn_term *t)
{
    float *sum = m->share_grad + t->grad_at;
    for (int s = 1; s < NN_CHUNKS; s++) {
        const float *g = sum + m->share_floats * (size_t)s;
        for (size_t i = 0; i < t->grad_floats; i++)
            sum[i] += g[i];
    }
    return sum;
}

/* dw [tap][c][o] -> grad [cout][tap][cin]; depthwise dw [tap][c] -> [cout][tap]. */
static void unpack_gradient(float *grad, const float *dw, const struct nn_term *t)
{
    int taps = taps_of(t), wide = t->kind == NN_DEPTHWISE ? 1 : t->conv.c;
    for (int o = 0; o < t->cout; o++)
        for (int k = 0; k < taps; k++)
            for (int i = 0; i < t->cin; i++)
                *grad++ = dw[((size_t)k * wide + i) * t->conv.o + o];
}

void nn_bias_gradient(const struct nn_term *t)
{
    for (int o = 0; o < t->cout; o++) {
        double sum = 0;                  /* batch statistics take a bias out again: its gradient is 0 */
        for (int s = 0; t->batchnorm < 0 && s < NN_CHUNKS; s++)
            sum += t->sum[((size_t)s * t->conv.o + o) * 2];
        t->bias->grad[o] = (float)sum;
    }
}

static void collect_weight(const struct nn *m, struct nn_term *t)
{
    float *sum = t->kind == NN_DENSE ? t->dw : sum_shares(m, t);
    if (t->fast_forward)
        nn_winograd_unpack(sum, sum, (size_t)t->conv.c * t->conv.o);
    unpack_gradient(t->weight->grad, sum, t);
}

static void collect_rest(void *ctx, int index, int worker)
{
    struct nn *m = ctx;
    struct nn_term *t = m->weighted[index];
    (void)worker;
    if (t->quant && t->quant->w_bits)
        nn_quant_gradient(t, t->weight->value, t->weight->grad, taps_of(t));
}

static void collect_term(void *ctx, int index, int worker)
{
    struct nn *m = ctx;
    struct nn_term *t = m->weighted[index];
    collect_weight(m, t);
    if (t->bias)
        nn_bias_gradient(t);
    collect_rest(m, index, worker);
}

void nn_collect_gradients(struct nn *m)
{
    int blocks = 0;
    for (int i = 0; i < m->n_weighted; i++)
        blocks += dense_blocks(m, m->weighted[i]);
    base_pool_run_dynamic(m->pool, blocks, dense_block, m);
    base_pool_run_dynamic(m->pool, m->n_weighted, collect_term, m);
}

struct term_job { struct nn *m; int first; };

static void dense_block_of(void *ctx, int at, int worker)
{
    const struct term_job *j = ctx;
    dense_block(j->m, j->first + at, worker);
}

void nn_collect_weight(struct nn *m, struct nn_term *t)
{
    struct term_job j = { m, 0 };
    for (int i = 0; i < t->number; i++)
        j.first += dense_blocks(m, m->weighted[i]);
    base_pool_run_dynamic(m->pool, dense_blocks(m, t), dense_block_of, &j);
    collect_weight(m, t);
}

void nn_collect_rest(struct nn *m)
{
    base_pool_run_dynamic(m->pool, m->n_weighted, collect_rest, m);
}
