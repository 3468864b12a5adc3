/* prune_magnitude.c: the channels whose filters, or whose batch norms' gammas, are smallest go.
 *
 * Filters: Li, Kadav, Durdanovic, Samet, Graf: "Pruning Filters for Efficient ConvNets", ICLR 2017.
 * Gammas: Liu, Li, Shen, Huang, Yan, Zhang: "Learning Efficient Convolutional Networks through Network
 * Slimming", ICCV 2017. A unit that several layers make has the sum of its norms, each over its layer's mean. */
#include <math.h>

#include "compress/prune.h"

typedef double norm_fn(const struct graph *g, const struct graph_node *n, int c);

static double filter_norm(const struct graph *g, const struct graph_node *n, int c, bool squares)
{
    int64_t per = (int64_t)n->kh * n->kw * g->node[n->in[0]].shape.c;
    double sum = 0;
    for (int64_t i = 0; i < per; i++) {
        double w = (double)n->weight[c * per + i];
        sum += squares ? w * w : fabs(w);
    }
    return squares ? sqrt(sum) : sum;
}

static double norm_l1(const struct graph *g, const struct graph_node *n, int c)
{
    return filter_norm(g, n, c, false);
}

static double norm_l2(const struct graph *g, const struct graph_node *n, int c)
{
    return filter_norm(g, n, c, true);
}

static double norm_bn(const struct graph *g, const struct graph_node *n, int c)
{
    (void)g;
    return fabs((double)n->gamma[c]);
}

static void add_scores(const struct prune_job *j, int node, norm_fn *norm, double *score)
{
    const struct graph_node *n = &j->now->node[node];
    double mean = 0;
    for (int c = 0; c < n->shape.c; c++)
        mean += norm(j->now, n, c) / n->shape.c;
    for (int c = 0; c < n->shape.c && mean > 0; c++)
        score[graph_unit(&j->plan->ch, node, c)] += norm(j->now, n, c) / mean;
}

/* Batch norms are not everywhere: a block without one cannot be judged by them. */
static int check_gammas(const struct prune_job *j)
{
    const struct prune_plan *p = j->plan;
    for (int b = 0; b < p->ch.n_block; b++) {
        bool found = p->count[b] == p->ch.size[b];
        for (int i = 0; !found && i < j->now->n_node; i++)
            for (int c = 0; !found && j->now->node[i].gamma && c < j->now->node[i].shape.c; c++)
                found = p->ch.block[graph_unit(&p->ch, i, c)] == b;
        if (!found)
            return base_fail(BASE_INPUT, "recipe: layer '%s' has no batch norm, which prune method bn-scale goes by: use magnitude-l1, or keep: 1 there", j->layers->layer[p->layer[b]].name);
    }
    return BASE_OK;
}

static int prune_by(struct prune_job *j, norm_fn *norm)
{
    const struct prune_plan *p = j->plan;
    double *score = BASE_NEW_N(double, p->ch.n_unit);
    int rc = score ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < j->now->n_node; i++)
        if (norm == norm_bn ? j->now->node[i].gamma != NULL : graph_mixes(&j->now->node[i]))
            add_scores(j, i, norm, score);
    for (int b = 0; !rc && b < p->ch.n_block; b++)
        rc = prune_take_best(j->keep, p, b, score);
    base_free(score);
    return rc;
}

int prune_l1(struct prune_job *j)
{
    return prune_by(j, norm_l1);
}

int prune_l2(struct prune_job *j)
{
    return prune_by(j, norm_l2);
}

int prune_bn(struct prune_job *j)
{
    int rc = check_gammas(j);
    return rc ? rc : prune_by(j, norm_bn);
}
