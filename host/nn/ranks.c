/* Several ranks train one network: what they tell each other inside a batch and at its end.
 *
 * Weight gradients set out as soon as a phase of the backward pass has made them, and travel while the next ones are
 * computed. What is small goes in one message at the end: loss, biases, gradients of learned edge scales, and with
 * local statistics the gradients and running values of batch norms (else their sums were of the whole batch already).
 * Learned weight scales need no message: their gradients follow from the weights'. */
#include "nn/nn_internal.h"

/* ---- the message at the end of a step ------------------------------------------------------ */

enum pass { COUNT, WRITE, READ };
struct message { double *v; int n; enum pass pass; };

static void add_number(struct message *s, double *x)
{
    if (s->pass == WRITE)
        s->v[s->n] = *x;
    else if (s->pass == READ)
        *x = s->v[s->n];
    s->n++;
}

/* Sums over the ranks, or their mean: what is read back is divided by `ranks`. */
static void add_floats(struct message *s, float *x, int n, int ranks)
{
    for (int i = 0; i < n; i++) {
        double value = (double)x[i];
        add_number(s, &value);
        if (s->pass == READ)
            x[i] = (float)(value / ranks);
    }
}

static void add_term(struct message *s, const struct nn *m, const struct nn_term *t)
{
    if (t->bias)
        add_floats(s, t->bias->grad, t->cout, 1);
    if (t->batchnorm < 0 || !m->ranks->local_batchnorm)
        return;
    const struct graph_node *b = &m->graph->node[t->batchnorm];
    add_floats(s, t->gamma->grad, t->cout, 1);
    add_floats(s, t->beta->grad, t->cout, 1);
    add_floats(s, b->mean, t->cout, m->ranks->ranks);
    add_floats(s, b->var, t->cout, m->ranks->ranks);
}

/* An edge's scale gradient is the sum of its shares: the first stands for all. */
static void add_edge(struct message *s, const struct nn_edge *e)
{
    for (int share = 1; s->pass == WRITE && share < NN_CHUNKS; share++) {
        e->scale_grad[0] += e->scale_grad[share];
        e->scale_grad[share] = 0;
    }
    add_number(s, e->scale_grad);
}

static int run_message(struct nn *m, enum pass pass, double *loss, double *correct)
{
    struct message s = { .v = m->exchange, .pass = pass };
    add_number(&s, loss);
    add_number(&s, correct);
    for (int i = 0; i < m->n_weighted; i++)
        add_term(&s, m, m->weighted[i]);
    for (int e = 1; e < m->layers.n_edge; e++)
        add_edge(&s, &m->edge[e]);
    return s.n;
}

/* ---- calls of the engine ------------------------------------------------------------------------ */

int nn_ranks_plan(struct nn *m)
{
    double none = 0;
    int64_t *floats = BASE_NEW_N(int64_t, m->n_weighted + 1);
    m->n_exchange = run_message(m, COUNT, &none, &none);
    m->exchange = BASE_ARENA_NEW_N(m->arena, double, m->n_exchange);
    int rc = floats && m->exchange ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < m->n_weighted; i++)
        floats[i] = m->weighted[i]->weight->n;
    if (!rc)
        rc = m->ranks->plan(m->ranks->ctx, m->n_weighted, floats);
    base_free(floats);
    return rc;
}

void nn_ranks_moments(struct nn *m, int n)
{
    if (!m->failed)
        m->failed = m->ranks->sum(m->ranks->ctx, m->moments, n);
}

void nn_ranks_collect(struct nn *m)
{
    const struct nn_batch *b = &m->batch;
    for (int i = b->from; !m->failed && i < b->to; i++) {
        const struct nn_step *s = &b->program->step[i];
        if (s->kind != NN_STEP_BACK && s->kind != NN_STEP_DENSE_BACK)
            continue;
        struct nn_term *t = nn_term_of(m, s);
        if (!t->weighted)
            continue;
        nn_collect_weight(m, t);
        m->failed = m->ranks->add(m->ranks->ctx, t->number, t->weight->grad);
    }
}

int nn_ranks_finish(struct nn *m, double *loss, int *correct)
{
    double right = *correct;
    int rc = m->failed ? m->failed : m->ranks->finish(m->ranks->ctx);
    if (rc)
        return rc;
    for (int i = 0; i < m->n_weighted; i++)
        if (m->weighted[i]->bias)
            nn_bias_gradient(m->weighted[i]);
    run_message(m, WRITE, loss, &right);
    if ((rc = m->ranks->sum(m->ranks->ctx, m->exchange, m->n_exchange)))
        return rc;
    run_message(m, READ, loss, &right);
    *correct = (int)right;
    nn_collect_rest(m);
    return BASE_OK;
}
