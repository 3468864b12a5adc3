/* Fake quantization: the record of widths and scales, the values, straight-through
 * gradients, and learned scales (LSQ: Esser et al., 2020).
 *
 * A learned scale moves by lr * scale_lr times its gradient / sqrt(values * largest code),
 * where `values` is what shares the scale in one image: LSQ's balance of scales against
 * weights. A step changes it by at most a tenth, so it stays positive. */
#include "nn/nn_internal.h"

#include <math.h>

static float half_up(float x)
{
    return floorf(x + 0.5f);
}

struct range { float lo, hi; };

static struct range signed_range(int bits)
{
    float half = (float)(1 << (bits - 1));
    return (struct range){ -half, half - 1 };
}

static struct range edge_range(int bits, bool is_signed)
{
    return is_signed ? signed_range(bits) : (struct range){ 0, (float)((1 << bits) - 1) };
}

/* The code of u = x / scale; `inside`: it was not clipped. One bit is the sign alone. */
static float weight_code(float u, int bits, bool *inside)
{
    *inside = true;
    if (bits == 1)
        return u < 0 ? -1 : 1;
    struct range r = signed_range(bits);
    float q = half_up(u);
    *inside = q >= r.lo && q <= r.hi;
    return q > r.hi ? r.hi : q >= r.lo ? q : r.lo; /* not a number: lo */
}

float nn_fake_weight(float w, float scale, int bits)
{
    bool inside;
    return weight_code(w / scale, bits, &inside) * scale;
}

float nn_fake_activation(float x, float scale, int bits, bool is_signed)
{
    struct range r = edge_range(bits, is_signed);
    return fminf(fmaxf(half_up(x / scale), r.lo), r.hi) * scale;
}

/* ---- the record ------------------------------------------------------------------------------ */

static bool has_weights(const struct graph *g, const struct graph_term *t)
{
    return t->node >= 0 && g->node[t->node].weight;
}

static int alloc_scales(struct nn_quant *q, const struct graph *g, const struct graph_layers *ls)
{
    for (int i = 0; i < ls->n; i++)
        for (int t = 0; t < ls->layer[i].n_term; t++)
            if (has_weights(g, &ls->layer[i].term[t]) &&
                !(q->layer[i].term[t].w_scale = BASE_ARENA_NEW_N(q->arena, float, g->node[ls->layer[i].term[t].node].shape.c)))
                return BASE_NOMEM;
    return BASE_OK;
}

int nn_quant_new(struct nn_quant **out, const struct graph *g, const struct graph_layers *ls)
{
    *out = NULL;
    struct base_arena *a = base_arena_new();
    struct nn_quant *q = a ? BASE_ARENA_NEW(a, struct nn_quant) : NULL;
    if (!q) {
        base_arena_free(a);
        return BASE_NOMEM;
    }
    *q = (struct nn_quant){ .arena = a, .n_layer = ls->n, .n_edge = ls->n_edge, .scale_lr = 1 };
    q->layer = BASE_ARENA_NEW_N(a, struct nn_quant_layer, ls->n);
    q->edge = BASE_ARENA_NEW_N(a, struct nn_quant_edge, ls->n_edge);
    if (!q->layer || !q->edge || alloc_scales(q, g, ls)) {
        nn_quant_free(q);
        return BASE_NOMEM;
    }
    *out = q;
    return BASE_OK;
}

void nn_quant_free(struct nn_quant *q)
{
    if (q)
        base_arena_free(q->arena);
}

static float input_std(const struct graph *g, int c)
{
    return c < g->prep.n ? g->prep.std[c] : 1;
}

int nn_quant_pixel_factor(struct nn_quant *q, const struct graph *g, const struct graph_layers *ls)
{
    int c = g->node[0].shape.c;
    for (int i = 0; i < ls->n; i++)
        for (int t = 0; t < ls->layer[i].n_term; t++) {
            struct nn_quant_term *qt = &q->layer[i].term[t];
            if (ls->layer[i].term[t].edge || !has_weights(g, &ls->layer[i].term[t]))
                continue;
            if (!(qt->in_factor = BASE_ARENA_NEW_N(q->arena, float, c)))
                return BASE_NOMEM;
            for (int k = 0; k < c; k++)
                qt->in_factor[k] = g->prep.scale / input_std(g, k);
        }
    q->pixel_pad = true;
    return BASE_OK;
}

/* ---- taking it into force --------------------------------------------------------------------- */

static bool usable(float scale)
{
    return isfinite(scale) && scale > 0;
}

static int check_term(const struct nn *m, const struct nn_quant_term *q, const struct nn_term *t)
{
    const char *name = m->layers.layer[t->layer].name;
    if (q->w_bits < 0 || q->w_bits > 8)
        return base_fail(BASE_INPUT, "layer '%s': weights of %d bits (1 to 8, or 0 for float)", name, q->w_bits);
    for (int o = 0; q->w_bits && o < t->cout; o++)
        if (!usable(q->w_scale[o]))
            return base_fail(BASE_INPUT, "layer '%s': the weight scale of channel %d is %g (it must be positive)", name, o, (double)q->w_scale[o]);
    return q->levels ? nn_levels_check(q->levels, name) : BASE_OK;
}

static int check_edge(const struct nn *m, const struct nn_quant_edge *q, int layer)
{
    const char *name = m->layers.layer[layer].name;
    if (q->bits < 0 || q->bits > 8 || (q->is_signed && q->bits == 1))
        return base_fail(BASE_INPUT, "layer '%s': an output of %d %s bits (1 to 8, 2 to 8 if signed, or 0 for float)", name, q->bits, q->is_signed ? "signed" : "unsigned");
    if (q->bits && !usable(q->scale))
        return base_fail(BASE_INPUT, "layer '%s': the scale of its output is %g (it must be positive)", name, (double)q->scale);
    return BASE_OK;
}

static int check_quant(const struct nn *m, const struct nn_quant *q)
{
    if (q->n_layer != m->layers.n || q->n_edge != m->layers.n_edge)
        return base_fail(BASE_INPUT, "graph '%s': %d layers do not fit a quantization of %d", m->graph->name, m->layers.n, q->n_layer);
    int rc = BASE_OK;
    for (int i = 0; !rc && i < m->n_weighted; i++)
        rc = check_term(m, &q->layer[m->weighted[i]->layer].term[m->weighted[i]->index], m->weighted[i]);
    for (int i = 0; !rc && i < m->layers.n; i++)
        rc = check_edge(m, &q->edge[i + 1], i);
    return rc;
}

static int64_t weights_per_channel(const struct nn_term *t)
{
    return (int64_t)t->conv.kh * t->conv.kw * t->cin;
}

static int plan_term(struct nn *m, struct nn_term *t)
{
    if (!t->w_run && !(t->w_run = BASE_ARENA_NEW_N(m->arena, float, weights_per_channel(t) * t->cout)))
        return BASE_NOMEM;
    if (!m->training || t->scale_velocity)
        return BASE_OK;
    t->scale_grad = BASE_ARENA_NEW_N(m->arena, float, t->cout);
    float *v = t->scale_grad ? BASE_ARENA_NEW_N(m->arena, float, t->cout) : NULL;
    t->scale_velocity = v;
    return v ? BASE_OK : BASE_NOMEM;
}

static void attach(struct nn *m, struct nn_quant *q)
{
    m->quant = q;
    for (int i = 0; i < m->n_weighted; i++) {
        struct nn_term *t = m->weighted[i];
        t->quant = q ? &q->layer[t->layer].term[t->index] : NULL;
        if (t->weight)
            t->weight->frozen = q && t->quant->levels && t->quant->levels->fixed_weights;
        for (int o = 0; t->scale_velocity && o < t->cout; o++)
            t->scale_velocity[o] = 0;
    }
    for (int e = 0; e < m->layers.n_edge; e++)
        m->edge[e].scale_velocity = 0;
}

int nn_set_quant(struct nn *m, struct nn_quant *q)
{
    int rc = q ? check_quant(m, q) : BASE_OK;
    for (int i = 0; q && !rc && i < m->n_weighted; i++)
        rc = plan_term(m, m->weighted[i]);
    if (rc)
        return rc;
    attach(m, q);
    for (int i = 0; q && !rc && i < m->n_weighted; i++)
        rc = nn_levels_plan(m, m->weighted[i]);
    return rc;
}

/* The pixel that stands for 0 is rounded: padding is not exactly 0. */
static float padding(const struct graph *g, int c)
{
    if (c >= g->prep.n)
        return 0;
    double mean = (double)g->prep.mean[c], scale = (double)g->prep.scale;
    double pixel = fmin(fmax(floor(mean / scale + 0.5), 0), 255);
    return (float)((pixel * scale - mean) / (double)g->prep.std[c]);
}

void nn_quant_edges(struct nn *m)
{
    const struct nn_quant *q = m->quant;
    for (int c = 0; c < m->edge[0].c; c++)
        m->pad_value[c] = m->integers ? nn_integers_pad(m, c) : q && q->pixel_pad ? padding(m->graph, c) : 0;
    for (int e = 1; e < m->layers.n_edge; e++) {
        struct nn_edge *d = &m->edge[e];
        bool on = q && q->edge[e].bits > 0;
        d->learned = on && q->learn_edge_scale && d->slope;
        d->finish.scale = on ? q->edge[e].scale : 0;
        if (!on)
            continue;
        struct range r = edge_range(q->edge[e].bits, q->edge[e].is_signed);
        d->finish.q_lo = r.lo;
        d->finish.q_hi = r.hi;
    }
}

int nn_quant_slopes(struct nn *m)
{
    const struct nn_quant *q = m->quant;
    for (int e = 1; q && q->learn_edge_scale && e < m->layers.n_edge; e++) {
        struct nn_edge *d = &m->edge[e];
        if (q->edge[e].bits && !d->slope && !(d->slope = BASE_ARENA_NEW_N(m->arena, float, d->floats * (size_t)m->max_batch)))
            return BASE_NOMEM;
    }
    return BASE_OK;
}

/* ---- weights ------------------------------------------------------------------------------------ */

static float factor_of(const struct nn_quant_term *q, bool depthwise, int out, int in)
{
    return !q->in_factor ? 1 : q->in_factor[depthwise ? out : in];
}

void nn_quant_codes(float *code, const struct nn_quant_term *q, const float *weight, int o, int taps, int cin, bool depthwise)
{
    int64_t n = (int64_t)taps * cin;
    const float *mask = q->mask ? q->mask + o * n : NULL;
    struct nn_level table[NN_MAX_LEVELS];
    int levels = q->levels ? nn_level_table(table, q->levels, o) : 0;
    bool inside;
    weight += o * n;
    for (int64_t k = 0; k < n; k += cin)
        for (int i = 0; i < cin; i++) {
            float u = weight[k + i] * factor_of(q, depthwise, o, i) / q->w_scale[o];
            code[k + i] = mask && mask[k + i] == 0 ? 0 : levels ? table[nn_level_nearest(table, levels, u)].value : weight_code(u, q->w_bits, &inside);
        }
}

void nn_quant_weights(struct nn_term *t, const float *weight, int taps)
{
    float *to = t->w_run;
    bool depthwise = t->kind == NN_DEPTHWISE;
    for (int o = 0; o < t->cout; o++) {
        nn_quant_codes(to, t->quant, weight, o, taps, t->cin, depthwise);
        for (int k = 0; k < taps; k++)
            for (int i = 0; i < t->cin; i++, to++)
                *to = *to * t->quant->w_scale[o] / factor_of(t->quant, depthwise, o, i);
    }
}

/* value = q s / f, u = w f / s: d value / d s = (q - u) / f where it was not clipped, q / f where it was; 0 of a masked one. */
static void levels_gradient(struct nn_term *t, const float *weight, const float *grad)
{
    const struct nn_quant_term *q = t->quant;
    int64_t n = weights_per_channel(t), at = 0;
    struct nn_level table[NN_MAX_LEVELS];
    nn_levels_clear(t);
    for (int o = 0; o < t->cout; o++) {
        int levels = nn_level_table(table, q->levels, o);
        double sum = 0;
        for (int64_t end = at + n; at < end; at++) {
            float f = factor_of(q, t->kind == NN_DEPTHWISE, o, (int)(at % t->cin)), u = weight[at] * f / q->w_scale[o];
            if (q->mask && q->mask[at] == 0)
                continue;
            const struct nn_level *l = &table[nn_level_nearest(table, levels, u)];
            bool inside = u >= table[0].value && u <= table[levels - 1].value;
            sum += (double)(grad[at] * (inside ? l->value - u : l->value) / f);
            nn_levels_add(t, o, l->code, grad[at], q->w_scale[o] / f);
        }
        t->scale_grad[o] = (float)sum;
    }
}

void nn_quant_gradient(struct nn_term *t, const float *weight, float *grad, int taps)
{
    if (t->quant->levels) {
        levels_gradient(t, weight, grad);
        return;
    }
    int bits = t->quant->w_bits;
    const float *mask = t->quant->mask;
    for (int o = 0; o < t->cout; o++) {
        double sum = 0;
        for (int k = 0; k < taps; k++)
            for (int i = 0; i < t->cin; i++, grad++, weight++) {
                bool inside;
                if (mask && *mask++ == 0)
                    continue;
                float f = factor_of(t->quant, t->kind == NN_DEPTHWISE, o, i), u = *weight * f / t->quant->w_scale[o], q = weight_code(u, bits, &inside);
                sum += (double)(*grad * (bits > 1 && inside ? q - u : q) / f);
                if (!inside)
                    *grad = 0;
            }
        t->scale_grad[o] = (float)sum;
    }
}

/* ---- learned scales ------------------------------------------------------------------------------- */

static void scale_step(float *scale, float *velocity, double grad, double values, double code, const struct nn_sgd *o, float rate)
{
    float g = (float)(grad / sqrt(values * fmax(code, 1)));
    *velocity = o->momentum * *velocity + g;
    float step = o->lr * rate * (o->nesterov ? g + o->momentum * *velocity : *velocity), most = 0.1f * *scale;
    *scale -= fminf(fmaxf(step, -most), most);
}

static void step_weight_scales(struct nn *m, struct nn_term *t, const struct nn_sgd *o)
{
    if (!t->quant || !t->quant->w_bits)
        return;
    for (int c = 0, n; c < t->cout; c += n) {
        double grad = 0;
        n = BASE_MIN(BASE_MAX(t->quant->group, 1), t->cout - c);
        for (int i = c; i < c + n; i++)
            grad += (double)t->scale_grad[i];
        scale_step(&t->quant->w_scale[c], &t->scale_velocity[c], grad, (double)(weights_per_channel(t) * n), t->quant->levels ? 127 : (double)signed_range(t->quant->w_bits).hi, o, m->quant->scale_lr);
        for (int i = c + 1; i < c + n; i++)
            t->quant->w_scale[i] = t->quant->w_scale[c];
    }
}

static void step_edge_scale(struct nn *m, int e, const struct nn_sgd *o)
{
    struct nn_edge *d = &m->edge[e];
    struct nn_quant_edge *q = &m->quant->edge[e];
    double sum = 0;
    if (!d->learned)
        return;
    for (int s = 0; s < NN_CHUNKS; s++)
        sum += d->scale_grad[s];
    scale_step(&q->scale, &d->scale_velocity, sum, (double)d->h * d->w * d->c, (double)d->finish.q_hi, o, m->quant->scale_lr);
}

void nn_quant_step(struct nn *m, const struct nn_sgd *o)
{
    const struct nn_quant *q = m->quant;
    for (int i = 0; q && q->learn_weight_scale && i < m->n_weighted; i++)
        step_weight_scales(m, m->weighted[i], o);
    for (int i = 0; q && i < m->n_weighted; i++)
        if (m->weighted[i]->quant->levels)
            nn_levels_step(m->weighted[i], (double)weights_per_channel(m->weighted[i]) * m->weighted[i]->cout, o, q->scale_lr);
    for (int e = 1; q && q->learn_edge_scale && e < m->layers.n_edge; e++)
        step_edge_scale(m, e, o);
}
