/* tpe: tree-structured Parzen estimator (Bergstra, Bardenet, Bengio, Kegl: "Algorithms for Hyper-Parameter Optimization",
 * NeurIPS 2011) over genes as categories. The best trials and the others give each gene two distributions, l and g,
 * histograms over a prior; of candidates drawn from l the one with the largest product of l/g is proposed. */
#include "search/search_internal.h"

#include <math.h>
#include <string.h>

enum { CANDIDATES = 64, MAX_GOOD = 25 };
static const double GOOD = 0.15;       /* share of the trials that count as good */
static const double PRIOR = 1;         /* weight, in trials, of the flat distribution */
static const double NEAR = 0.5;        /* weight of a trial for the values next to its own */

/* Of one gene over its values, p [hi - lo + 1], from trials index[0..n-1]. */
static void histogram(double *p, const struct search_view *view, int gene, const int *index, int n)
{
    const struct search_dim *d = &view->job->space->dim[gene];
    int values = d->hi - d->lo + 1;
    double sum = 0;
    for (int v = 0; v < values; v++)
        p[v] = PRIOR / values;
    for (int i = 0; i < n; i++) {
        int v = view->history->trial[index[i]].genes[gene] - d->lo;
        p[v] += 1;
        if (v > 0)
            p[v - 1] += NEAR;
        if (v + 1 < values)
            p[v + 1] += NEAR;
    }
    for (int v = 0; v < values; v++)
        sum += p[v];
    for (int v = 0; v < values; v++)
        p[v] /= sum;
}

static int draw(const double *p, int n, struct base_rng *rng)
{
    double u = (double)base_rng_uniform(rng);
    int v = 0;
    while (v < n - 1 && (u -= p[v]) >= 0)
        v++;
    return v;
}

/* l and g of every gene, one behind the other: offset [genes]. */
struct model { double *l, *g; int *offset, *order; };

static int fit_model(struct model *m, const struct search_view *view)
{
    const struct search_space *s = view->job->space;
    int n = search_order(view, m->order), good = BASE_MIN((int)ceil(GOOD * n), MAX_GOOD);
    if (n < 0)
        return n;
    for (int i = 0, at = 0; i < s->n; i++) {
        histogram(m->l + at, view, i, m->order, good);
        histogram(m->g + at, view, i, m->order + good, n - good);
        m->offset[i] = at;
        at += s->dim[i].hi - s->dim[i].lo + 1;
    }
    return BASE_OK;
}

static int best_candidate(const struct model *m, const struct search_view *view, struct base_rng *rng, int *genes, int *candidate)
{
    const struct search_space *s = view->job->space;
    double best = -INFINITY;
    for (int k = 0; k < CANDIDATES; k++) {
        double score = 0;
        for (int i = 0; i < s->n; i++)
            candidate[i] = s->dim[i].lo + draw(m->l + m->offset[i], s->dim[i].hi - s->dim[i].lo + 1, rng);
        int rc = search_fit(view, search_limit(view->job), rng, candidate);
        if (rc)
            return rc;
        for (int i = 0; i < s->n; i++) {
            int at = m->offset[i] + candidate[i] - s->dim[i].lo;
            score += log(m->l[at] / m->g[at]);
        }
        if ((score <= best && k) || search_known(view, candidate))
            continue;
        best = score;
        memcpy(genes, candidate, sizeof *genes * (size_t)s->n);
    }
    return BASE_OK;
}

static int tpe_propose(void *state, const struct search_view *view, struct base_rng *rng, int *genes)
{
    (void)state;
    const struct search_space *s = view->job->space;
    bool started;
    int values = 0, rc = search_start(view, rng, genes, &started);
    if (rc || started)
        return rc;
    search_uniform(s, rng, genes);     /* where every candidate is known */
    for (int i = 0; i < s->n; i++)
        values += s->dim[i].hi - s->dim[i].lo + 1;
    struct model m = {BASE_NEW_N(double, values), BASE_NEW_N(double, values), BASE_NEW_N(int, s->n), BASE_NEW_N(int, view->history->n)};
    int *candidate = BASE_NEW_N(int, s->n);
    rc = m.l && m.g && m.offset && m.order && candidate ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = fit_model(&m, view);
    if (!rc)
        rc = best_candidate(&m, view, rng, genes, candidate);
    base_free(m.l);
    base_free(m.g);
    base_free(m.offset);
    base_free(m.order);
    base_free(candidate);
    return rc;
}

const struct search_agent search_agent_tpe = {.name = "tpe", .propose = tpe_propose};
