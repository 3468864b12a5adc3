/* Batch norm between the phases of a batch: the shares' sums become the scale and shift of
 * the forward pass, and the coefficients of the backward pass.
 *   y = gamma (z - mean) / sqrt(var + eps) + beta, z without the convolution's bias. */
#include "nn/nn_internal.h"

#include <math.h>

static float bias_of(const struct nn *m, const struct nn_term *t, int o)
{
    const float *bias = m->graph->node[t->node].bias;
    return bias ? bias[o] : 0;
}

void nn_running_scales(const struct nn *m, struct nn_term *t)
{
    const struct graph_node *b = &m->graph->node[t->batchnorm];
    for (int o = 0; o < t->cout; o++) {
        t->sc[o] = b->gamma[o] / sqrtf(b->var[o] + b->eps);
        t->sh[o] = b->beta[o] + (bias_of(m, t, o) - b->mean[o]) * t->sc[o];
    }
}

/* Moments are taken about the running mean: squares of small numbers lose no digits. */
void nn_moment_shift(const struct nn *m, struct nn_term *t)
{
    for (int o = 0; o < t->cout; o++)
        t->mean[o] = m->graph->node[t->batchnorm].mean[o] - bias_of(m, t, o);
}

/* Both sums of channel o over the shares, in order; they are cleared. */
static void take_sums(const struct nn_term *t, int o, double *a, double *b)
{
    *a = *b = 0;
    for (int s = 0; s < NN_CHUNKS; s++) {
        double *at = t->sum + ((size_t)s * t->conv.o + o) * 2;
        *a += at[0];
        *b += at[1];
        at[0] = at[1] = 0;
    }
}

/* Statistics of the whole batch, wherever its images are. */
static bool of_all_ranks(const struct nn *m)
{
    return m->ranks && !m->ranks->local_batchnorm && nn_is_backward(m);
}

static double values_per_channel(const struct nn *m, const struct nn_term *t)
{
    return (double)(of_all_ranks(m) ? m->batch.total : m->batch.n) * t->conv.oh * t->conv.ow;
}

/* Both sums of every channel of the layer's batch norms, into m->moments. */
static void layer_sums(struct nn *m, const struct nn_layer *l)
{
    double *to = m->moments;
    for (int t = 0; t < l->n_term; t++)
        for (int o = 0; l->term[t].batchnorm >= 0 && o < l->term[t].cout; o++, to += 2)
            take_sums(&l->term[t], o, &to[0], &to[1]);
    if (of_all_ranks(m))
        nn_ranks_moments(m, (int)(to - m->moments));
}

static void term_statistics(struct nn *m, struct nn_term *t, const double *sums)
{
    const struct graph_node *b = &m->graph->node[t->batchnorm];
    double n = values_per_channel(m, t), unbias = n > 1 ? n / (n - 1) : 1;
    for (int o = 0; o < t->cout; o++) {
        double s = sums[2 * o], q = sums[2 * o + 1];
        double mean = (double)t->mean[o] + s / n, var = fmax(q / n - s / n * (s / n), 0);
        double real_mean = mean + (double)bias_of(m, t, o);
        t->mean[o] = (float)mean;
        t->inv[o] = (float)(1 / sqrt(var + (double)b->eps));
        t->sc[o] = b->gamma[o] * t->inv[o];
        t->sh[o] = b->beta[o] - t->mean[o] * t->sc[o];
        if (m->reestimate) {
            t->average[2 * o] += real_mean;
            t->average[2 * o + 1] += var * unbias;
        } else {
            b->mean[o] += m->momentum_bn * ((float)real_mean - b->mean[o]);
            b->var[o] += m->momentum_bn * ((float)(var * unbias) - b->var[o]);
        }
    }
}

void nn_statistics(struct nn *m, int layer)
{
    struct nn_layer *l = &m->layer[layer];
    const double *sums = m->moments;
    layer_sums(m, l);
    for (int t = 0; t < l->n_term; t++)
        if (l->term[t].batchnorm >= 0) {
            term_statistics(m, &l->term[t], sums);
            sums += 2 * l->term[t].cout;
        }
}

/* dz = gamma inv (d - dbeta / n - xhat dgamma / n), xhat = (z - mean) inv. */
static void term_back(struct nn *m, struct nn_term *t, const double *sums)
{
    double n = values_per_channel(m, t);
    for (int o = 0; o < t->cout; o++) {
        double s = sums[2 * o], q = sums[2 * o + 1], inv = (double)t->inv[o];
        double dgamma = q * inv;
        t->beta->grad[o] = (float)s;
        t->gamma->grad[o] = (float)dgamma;
        t->k1[o] = t->sc[o];
        t->k2[o] = (float)(-(double)t->sc[o] * inv * dgamma / n);
        t->k3[o] = (float)((double)t->sc[o] * (inv * dgamma * (double)t->mean[o] - s) / n);
    }
}

void nn_statistics_back(struct nn *m, int layer)
{
    struct nn_layer *l = &m->layer[layer];
    const double *sums = m->moments;
    layer_sums(m, l);
    for (int t = 0; t < l->n_term; t++)
        if (l->term[t].batchnorm >= 0) {
            term_back(m, &l->term[t], sums);
            sums += 2 * l->term[t].cout;
        }
}

/* ---- plain averages over some batches ------------------------------------------------------ */

static void start_averages(struct nn *m)
{
    for (int i = 0; i < m->n_weighted; i++)
        for (int o = 0; m->weighted[i]->batchnorm >= 0 && o < 2 * m->weighted[i]->cout; o++)
            m->weighted[i]->average[o] = 0;
}

static void use_averages(struct nn *m, int batches)
{
    for (int i = 0; i < m->n_weighted; i++) {
        const struct nn_term *t = m->weighted[i];
        if (t->batchnorm < 0 || !m->layer[t->layer].live)
            continue;
        const struct graph_node *b = &m->graph->node[t->batchnorm];
        for (int o = 0; o < t->cout; o++) {
            b->mean[o] = (float)(t->average[2 * o] / batches);
            b->var[o] = (float)(t->average[2 * o + 1] / batches);
        }
    }
}

static int plan_averages(struct nn *m)
{
    for (int i = 0; i < m->n_weighted; i++) {
        struct nn_term *t = m->weighted[i];
        if (t->batchnorm >= 0 && !t->average && !(t->average = BASE_ARENA_NEW_N(m->arena, double, 2 * t->cout)))
            return BASE_NOMEM;
    }
    return nn_plan_statistics(m);
}

int nn_batchnorm_reestimate(struct nn *m, const struct nn_source *data, int64_t first_batch, int images)
{
    int n = m->max_batch, batches = (images + n - 1) / n, rc = plan_averages(m);
    if (rc || batches < 1)
        return rc;
    uint8_t *pixels = base_alloc(nn_image_bytes(m) * (size_t)n);
    uint16_t *labels = BASE_NEW_N(uint16_t, n);
    rc = pixels && labels ? BASE_OK : BASE_NOMEM;
    if (rc)
        goto done;
    start_averages(m);
    nn_prepare(m, &m->statistics);
    m->reestimate = true;
    for (int i = 0; !rc && i < batches; i++) {
        if ((rc = data->fill(data->ctx, first_batch + i, n, pixels, labels)))
            break;
        m->batch = (struct nn_batch){ .pixels = pixels, .n = n };
        for (int k = 0; k < m->n_weighted; k++)
            if (m->weighted[k]->batchnorm >= 0)
                nn_moment_shift(m, m->weighted[k]);
        nn_run(m, &m->statistics);
    }
    m->reestimate = false;
    if (!rc)
        use_averages(m, batches);
done:
    base_free(pixels);
    base_free(labels);
    return rc;
}
