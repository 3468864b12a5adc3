/* Softmax cross-entropy or squared error with label smoothing, and the distillation term: the value and its
 * gradient with respect to the logits, image by image in double. */
#include "nn/nn_internal.h"

#include <math.h>
#include <string.h>

const float *nn_batch_logits(const struct nn *m, int index)
{
    const struct nn_edge *e = &m->edge[m->out_edge];
    return e->x + e->floats * (size_t)index;
}

/* log of the sum of exp(z / T), stable. */
static double log_sum(const float *z, int n, double inv_t)
{
    double top = (double)z[0], sum = 0;
    for (int k = 1; k < n; k++)
        top = fmax(top, (double)z[k]);
    for (int k = 0; k < n; k++)
        sum += exp(((double)z[k] - top) * inv_t);
    return top * inv_t + log(sum);
}

static double target_of(int k, int n, int label, double smoothing)
{
    return smoothing / n + (k == label ? 1 - smoothing : 0);
}

/* Mean of the squares of logit - target; d += share * gradient. */
static double squared_error(const float *z, int n, int label, double smoothing, double share, double *d)
{
    double loss = 0;
    for (int k = 0; k < n; k++) {
        double off = (double)z[k] - target_of(k, n, label, smoothing);
        loss += off * off / n;
        d[k] += share * 2 * off / n;
    }
    return loss;
}

/* (1 - smoothing) on the label and smoothing / n on every class; d += share * gradient. */
static double cross_entropy(const float *z, int n, int label, double smoothing, double share, double *d)
{
    double all = log_sum(z, n, 1), loss = 0;
    for (int k = 0; k < n; k++) {
        double log_p = (double)z[k] - all, target = target_of(k, n, label, smoothing);
        loss -= target * log_p;
        d[k] += share * (exp(log_p) - target);
    }
    return loss;
}

/* factor KL(teacher || student), both softened by T; the factor is T^2 or 1. */
static double distillation(const float *z, const float *teacher, int n, double temperature, double factor, double share, double *d)
{
    double inv = 1 / temperature, all = log_sum(z, n, inv), all_t = log_sum(teacher, n, inv), loss = 0;
    for (int k = 0; k < n; k++) {
        double log_p = (double)z[k] * inv - all, log_t = (double)teacher[k] * inv - all_t, t = exp(log_t);
        loss += t * (log_t - log_p);
        d[k] += share * factor * inv * (exp(log_p) - t);
    }
    return loss * factor;
}

/* How many classes come before the label's: ties go to the lower index, and what is not a number is never right. */
static int rank_of(const float *z, int n, int label)
{
    int rank = 0;
    for (int k = 0; k < n; k++)
        rank += k != label && !(z[k] < z[label] || (z[k] == z[label] && k > label));
    return rank;
}

static void loss_of_image(struct nn *m, int index, int share, double *d)
{
    struct nn_batch *b = &m->batch;
    struct nn_edge *e = &m->edge[m->out_edge];
    const float *z = nn_batch_logits(m, index);
    float *grad = e->grad + e->grad_step * (size_t)index;
    double kd = b->teacher ? (double)b->loss->distill_weight : 0;
    memset(d, 0, sizeof *d * (size_t)m->classes);
    double hard = (b->loss->kind == NN_MSE ? squared_error : cross_entropy)(z, m->classes, b->labels[index], (double)b->loss->label_smoothing, 1 - kd, d);
    b->loss_sum[share] += (1 - kd) * hard;
    if (kd > 0) {
        double t = (double)b->loss->temperature;
        b->loss_sum[share] += kd * distillation(z, b->teacher + (size_t)index * m->classes, m->classes, t, b->loss->no_t2 ? 1 : t * t, kd, d);
    }
    b->correct[share] += rank_of(z, m->classes, b->labels[index]) == 0;
    memset(grad, 0, sizeof *grad * e->floats);
    for (int k = 0; k < m->classes; k++)
        grad[k] = (float)(d[k] / b->total);
}

void nn_loss_share(struct nn *m, int share)
{
    double *d = m->loss_row + (size_t)share * m->classes;
    for (int i = nn_share_begin(m->batch.n, share); i < nn_share_begin(m->batch.n, share + 1); i++)
        loss_of_image(m, i, share, d);
}

int nn_check_labels(const struct nn *m, const uint16_t *labels, int n)
{
    for (int i = 0; i < n; i++)
        if (labels[i] >= m->classes)
            return base_fail(BASE_INPUT, "graph '%s': label %d of image %d, but the network has %d classes", m->graph->name, labels[i], i, m->classes);
    return BASE_OK;
}

int nn_evaluate(struct nn *m, const uint8_t *pixels, const uint16_t *labels, int n, struct nn_result *out)
{
    return nn_evaluate_each(m, pixels, labels, n, out, NULL);
}

int nn_evaluate_each(struct nn *m, const uint8_t *pixels, const uint16_t *labels, int n, struct nn_result *out, uint8_t *right)
{
    int top1 = 0, top5 = 0, rc = nn_check_labels(m, labels, n);
    double loss = 0;
    if (rc)
        return rc;
    nn_prepare(m, &m->forward);
    for (int i = 0; i < n; i += m->max_batch) {
        int part = BASE_MIN(n - i, m->max_batch);
        nn_forward_batch(m, pixels + nn_image_bytes(m) * (size_t)i, part);
        for (int k = 0; k < part; k++) {
            const float *z = nn_batch_logits(m, k);
            int rank = rank_of(z, m->classes, labels[i + k]);
            top1 += rank < 1;
            if (right)
                right[i + k] = rank < 1;
            top5 += rank < 5;
            loss += log_sum(z, m->classes, 1) - (double)z[labels[i + k]];
        }
    }
    int per = BASE_MAX(n, 1);
    *out = (struct nn_result){ .top1 = (double)top1 / per, .top5 = (double)top5 / per, .loss = loss / per, .n = n };
    return BASE_OK;
}
