/* lower.c: graph + bits and scales -> integer network. docs/compress.md has the arithmetic.
 *
 * Term k adds u_k[c] * (its integer sum) + a constant to the real output of channel c. One unit U[c]
 * of the accumulator is chosen per channel; the term's coefficients are round(u_k[c] / U[c] * 2^(t+j)),
 * the multiplier is U[c] / scale of the output. Where one term is alone, U = |u| and the coefficients
 * are powers of two; else U is the first term's unit over 2^F, with the largest F that fits. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "compress/compress.h"
#include "compress/levels.h"

static const double coef_limit = (1 << 17) - 1.5, acc_limit = 2147483647.0 * 0.98;

/* One layer being lowered. */
struct work {
    const struct graph *g;
    const struct graph_layers *ls;
    const struct nn_quant *q;
    struct fixed_net *net;
    const struct graph_layer *from;
    struct fixed_layer *to;
    int index;
    bool logits;
    double *u[GRAPH_MAX_TERM];      /* [c]: real value of one unit of the term's integer sum; 0: adds nothing there */
    double *bound[GRAPH_MAX_TERM];  /* [c]: largest |integer sum| */
    double *value[GRAPH_MAX_TERM];  /* [rows][n_plane]: of the term's weight planes */
    int rows[GRAPH_MAX_TERM];       /* 1: the same for every output */
    double *offset;                 /* [c]: real constant */
    double *unit;                   /* [c]: U */
};

static double prep_scale(const struct graph *g)
{
    return (double)g->prep.scale;
}

static double prep_mean(const struct graph *g, int c)
{
    return c < g->prep.n ? (double)g->prep.mean[c] : 0;
}

static double prep_std(const struct graph *g, int c)
{
    return c < g->prep.n ? (double)g->prep.std[c] : 1;
}

static void edge_range(const struct fixed_edge *e, double *lo, double *hi)
{
    *lo = e->is_signed ? -(double)(1 << (e->bits - 1)) : 0;
    *hi = (1 << (e->is_signed ? e->bits - 1 : e->bits)) - 1;
}

/* ---- edges ------------------------------------------------------------------- */

static int lower_input(struct fixed_net *net, const struct graph *g)
{
    struct fixed_edge *e = &net->edge[0];
    if (e->c > FIXED_MAX_CHAN_IN_PAD)
        return base_fail(BASE_INPUT, "input '%s': %d channels, at most %d are supported", e->name, e->c, FIXED_MAX_CHAN_IN_PAD);
    uint8_t *pad = BASE_ARENA_NEW_N(net->arena, uint8_t, e->c);
    if (!pad)
        return BASE_NOMEM;
    for (int c = 0; c < e->c; c++)
        pad[c] = (uint8_t)fmin(fmax(floor(prep_mean(g, c) / prep_scale(g) + 0.5), 0), 255);
    e->bits = 8;
    e->is_signed = false;
    e->scale = prep_scale(g);
    e->pad = pad;
    return BASE_OK;
}

static int lower_edges(struct fixed_net *net, const struct graph *g, const struct graph_layers *ls, const struct nn_quant *q)
{
    for (int i = 0; i < net->n_edge; i++) {
        struct fixed_edge *e = &net->edge[i];
        struct graph_shape s = graph_edge_shape(g, ls, i);
        e->name = base_arena_strdup(net->arena, i ? ls->layer[i - 1].name : g->node[0].name);
        if (!e->name)
            return BASE_NOMEM;
        e->h = s.h;
        e->w = s.w;
        e->c = s.c;
        if (!i) {
            int rc = lower_input(net, g);
            if (rc)
                return rc;
            continue;
        }
        /* A max pool picks codes: it has no quantization of its own. */
        bool pool = ls->layer[i - 1].kind == GRAPH_LAYER_MAXPOOL;
        const struct fixed_edge *in = &net->edge[ls->layer[i - 1].term[0].edge];
        e->bits = pool ? in->bits : q->edge[i].bits;
        e->is_signed = pool ? in->is_signed : q->edge[i].is_signed;
        e->scale = pool ? in->scale : (double)q->edge[i].scale;
        if (e->bits < 1 || e->bits > 8 || !(e->scale > 0))
            return base_fail(BASE_INPUT, "layer '%s': its output has no width (%d bits, scale %g): nothing reads it, or it was not quantized", e->name, e->bits, e->scale);
    }
    return BASE_OK;
}

/* ---- terms ------------------------------------------------------------------- */

/* Planes of weights and what each stands for; codes are found row by row. */
struct planes {
    const struct nn_quant_term *q;
    int n;
    uint16_t set[LEVELS_MAX_ENTRIES];   /* of a codebook's entries */
    struct nn_level table[NN_MAX_LEVELS];
    int levels;
};

static int uniform_planes(struct work *w, int k, struct planes *p)
{
    int bits = p->q->w_bits;
    p->n = bits == 1 ? 2 : bits;
    w->rows[k] = 1;
    double *v = w->value[k] = BASE_ARENA_NEW_N(w->net->arena, double, p->n);
    for (int t = 0; v && t < p->n; t++)
        v[t] = bits == 1 ? (t ? -1 : 2) : ldexp(t == bits - 1 ? -1 : 1, t);
    return v ? BASE_OK : BASE_NOMEM;
}

/* A codebook's entries out of as few planes as hold them. */
static int codebook_planes(struct work *w, int k, struct planes *p)
{
    int entry[LEVELS_MAX_ENTRIES], value[LEVELS_MAX_PLANES];
    for (int i = 0; i < p->q->levels->planes; i++)
        entry[i] = (int)floorf(p->q->levels->value[i] + 0.5f);
    p->n = levels_planes(value, p->set, entry, p->q->levels->planes);
    w->rows[k] = 1;
    double *v = w->value[k] = BASE_ARENA_NEW_N(w->net->arena, double, p->n);
    for (int t = 0; v && t < p->n; t++)
        v[t] = value[t];
    return v ? BASE_OK : BASE_NOMEM;
}

static int basis_planes(struct work *w, int k, struct planes *p)
{
    const struct nn_levels *l = p->q->levels;
    p->n = l->planes;
    w->rows[k] = l->rows;
    double *v = w->value[k] = BASE_ARENA_NEW_N(w->net->arena, double, l->rows * l->planes);
    for (int i = 0; v && i < l->rows * l->planes; i++)
        v[i] = (double)floorf(l->value[i] + 0.5f);
    return v ? BASE_OK : BASE_NOMEM;
}

/* One plane an entry, as compress_apply makes it: those planes are not the ones that run. */
static bool is_codebook(const struct nn_quant_term *q)
{
    return q->levels && q->levels->planes == q->levels->n_code && q->levels->code[0] == 1;
}

static int find_planes(struct work *w, int k, struct planes *p)
{
    return !p->q->levels ? uniform_planes(w, k, p) : is_codebook(p->q) ? codebook_planes(w, k, p) : basis_planes(w, k, p);
}

/* Planes of a weight whose integer is v. A masked one is in none, also where 0 is no level. */
static uint16_t plane_code(const struct planes *p, float v, bool masked)
{
    int bits = p->q->w_bits, q = (int)v;
    if (masked)
        return 0;
    if (!p->q->levels)
        return (uint16_t)(bits > 1 ? q & ((1 << bits) - 1) : 2 | (q > 0));
    uint16_t code = p->table[nn_level_nearest(p->table, p->levels, v)].code;
    return is_codebook(p->q) ? p->set[__builtin_ctz(code)] : code;
}

static void batchnorm(double *factor, double *shift, const struct graph *g, const struct graph_term *t, int o)
{
    const struct graph_node *n = &g->node[t->node];
    double bias = n->bias ? (double)n->bias[o] : 0;
    *factor = 1;
    *shift = bias;
    if (t->batchnorm < 0)
        return;
    const struct graph_node *b = &g->node[t->batchnorm];
    *factor = (double)b->gamma[o] / sqrt((double)b->var[o] + (double)b->eps);
    *shift = (double)b->beta[o] + (bias - (double)b->mean[o]) * *factor;
}

static int weighted_term(struct work *w, int k)
{
    const struct graph_term *t = &w->from->term[k];
    const struct graph_node *n = &w->g->node[t->node];
    const struct nn_quant_term *qt = &w->q->layer[w->index].term[k];
    struct fixed_term *f = &w->to->term[k];
    const struct fixed_edge *e = &w->net->edge[t->edge];
    if (qt->w_bits < 1 || qt->w_bits > 8)
        return base_fail(BASE_INPUT, "layer '%s': its weights were not quantized (w_bits %d)", w->from->name, qt->w_bits);
    *f = (struct fixed_term){ .edge = t->edge, .kh = n->kh, .kw = n->kw, .stride = n->op == GRAPH_DENSE ? 1 : n->stride, .pad_t = n->pad_t, .pad_l = n->pad_l,
                              .depthwise = n->depthwise, .chan = t->chan, .cout = n->shape.c, .cin = n->depthwise ? 1 : e->c,
                              .w_bits = qt->w_bits };
    struct planes p = { .q = qt };
    int rc = find_planes(w, k, &p);
    if (rc)
        return rc;
    f->n_plane = p.n;
    int64_t per = (int64_t)f->kh * f->kw * f->cin;
    f->code = BASE_ARENA_NEW_N(w->net->arena, uint16_t, per * f->cout);
    float *value = BASE_NEW_N(float, per);
    if (!f->code || !value) {
        base_free(value);
        return BASE_NOMEM;
    }
    double lo, hi;
    edge_range(e, &lo, &hi);
    for (int o = 0; o < f->cout; o++) {
        double factor, shift, mean = 0;
        int64_t up = 0, down = 0;              /* sums of the positive and of the negative weights */
        batchnorm(&factor, &shift, w->g, t, o);
        nn_quant_codes(value, qt, n->weight, o, f->kh * f->kw, f->cin, f->depthwise);
        p.levels = qt->levels ? nn_level_table(p.table, qt->levels, o) : 0;
        for (int64_t i = 0; i < per; i++) {
            int q = (int)value[i];
            f->code[o * per + i] = plane_code(&p, value[i], qt->mask && qt->mask[o * per + i] == 0);
            up += BASE_MAX(q, 0);
            down += BASE_MIN(q, 0);
            if (t->edge == 0)
                mean += q * prep_mean(w->g, f->depthwise ? o : (int)(i % f->cin)) / prep_scale(w->g);
        }
        double s = (double)qt->w_scale[o];
        w->u[k][f->chan + o] = factor * s * (t->edge ? e->scale : 1);
        w->bound[k][f->chan + o] = fmax((double)up * hi + (double)down * lo, -(double)up * lo - (double)down * hi); /* lo <= 0 <= hi */
        w->offset[f->chan + o] += shift - (t->edge ? 0 : factor * s * mean);
    }
    base_free(value);
    return BASE_OK;
}

/* A window that reaches into the padding divides by fewer pixels. */
static bool pool_reaches_padding(const struct graph_node *n, struct graph_shape in)
{
    return n->pad_t > 0 || n->pad_l > 0 || (n->shape.h - 1) * n->stride + n->kh > in.h || (n->shape.w - 1) * n->stride + n->kw > in.w;
}

/* Identity, shortcut, average pool: a depthwise sum of ones. */
static int plain_term(struct work *w, int k)
{
    const struct graph_term *t = &w->from->term[k];
    const struct graph_node *n = t->node < 0 ? NULL : &w->g->node[t->node];
    struct fixed_term *f = &w->to->term[k];
    const struct fixed_edge *e = &w->net->edge[t->edge];
    bool pool = n && n->op == GRAPH_AVGPOOL;
    *f = (struct fixed_term){ .edge = t->edge, .kh = pool ? n->kh : 1, .kw = pool ? n->kw : 1, .stride = n ? n->stride : 1, .depthwise = true,
                              .chan = t->chan + (n ? n->chan_before : 0), .cout = e->c, .cin = 1, .w_bits = 1, .n_plane = 1 };
    if (pool && pool_reaches_padding(n, graph_edge_shape(w->g, w->ls, t->edge)))
        return base_fail(BASE_INPUT, "layer '%s': an average pool whose windows reach into padding divides by a different count at the edges; "
                         "it cannot be lowered (use windows that tile the map)", w->from->name);
    int per = f->kh * f->kw;
    f->code = BASE_ARENA_NEW_N(w->net->arena, uint16_t, (int64_t)per * f->cout);
    w->value[k] = BASE_ARENA_NEW(w->net->arena, double);
    w->rows[k] = 1;
    if (!f->code || !w->value[k])
        return BASE_NOMEM;
    w->value[k][0] = 1;
    for (int i = 0; i < per * f->cout; i++)
        f->code[i] = 1;
    double lo, hi;
    edge_range(e, &lo, &hi);
    for (int o = 0; o < f->cout; o++) {
        double s = t->edge ? e->scale : prep_scale(w->g) / prep_std(w->g, o);
        w->u[k][f->chan + o] = s / per;
        w->bound[k][f->chan + o] = fmax(hi, -lo) * per;
        if (t->edge == 0)
            w->offset[f->chan + o] -= prep_mean(w->g, o) / prep_std(w->g, o);
    }
    return BASE_OK;
}

static int lower_terms(struct work *w)
{
    w->to->n_term = w->from->n_term;
    for (int k = 0; k < w->from->n_term; k++) {
        int node = w->from->term[k].node;
        int rc = node >= 0 && w->g->node[node].weight ? weighted_term(w, k) : plain_term(w, k);
        if (rc)
            return rc;
    }
    return BASE_OK;
}

/* ---- units and coefficients ---------------------------------------------------- */

/* Largest coefficient of a term when its unit is the accumulator's. */
static double top_coefficient(const struct work *w, int k)
{
    const struct fixed_term *f = &w->to->term[k];
    double top = 0;
    for (int i = 0; i < w->rows[k] * f->n_plane; i++)
        top = fmax(top, fabs(w->value[k][i]));
    return ldexp(top, w->net->edge[f->edge].bits - 1);
}

/* Terms of a channel: how many, the first, and the smallest U that fits coefficients and accumulator. */
static int terms_of(const struct work *w, int c, int *first, double *least)
{
    int n = 0;
    double sum = 0, coef = 0;
    for (int k = 0; k < w->to->n_term; k++) {
        double u = fabs(w->u[k][c]);
        if (!(u > 0))
            continue;
        if (!n++)
            *first = k;
        coef = fmax(coef, u * top_coefficient(w, k) / coef_limit);
        sum += u * w->bound[k][c];
    }
    *least = fmax(coef, sum / acc_limit);
    return n;
}

/* The term with most weights leads: its coefficients shall be powers of two, the same for every channel. */
static int leading_term(const struct work *w)
{
    int lead = 0;
    int64_t most = 0;
    for (int k = 0; k < w->to->n_term; k++) {
        const struct fixed_term *f = &w->to->term[k];
        int64_t n = w->from->term[k].node >= 0 && w->g->node[w->from->term[k].node].weight ? (int64_t)f->kh * f->kw * f->cin : 0;
        if (n > most) {
            lead = k;
            most = n;
        }
    }
    return lead;
}

/* Largest F with which every channel fits and the leading term's coefficients are common; -1: none. */
static int common_f(const struct work *w, int lead)
{
    int f = 16;
    bool sum = false;
    for (int c = 0; c < w->to->c; c++) {
        int first = 0;
        double least, u = w->u[lead][c];
        int n = terms_of(w, c, &first, &least);
        if (!n)
            continue;
        if (!(u > 0) || u < least)
            return -1;
        f = BASE_MIN(f, (int)floor(log2(u / least)));
        sum |= n > 1;
    }
    return sum ? f : BASE_MIN(f, 0);
}

/* A unit of which u is a power of two, if one as large as `least` exists. */
static double exact_if_fits(double u, double least)
{
    return u >= least ? ldexp(u, -(int)floor(log2(u / least))) : least;
}

static void choose_units(struct work *w)
{
    int lead = leading_term(w), f = common_f(w, lead), first = 0;
    bool sum = false;
    double least;
    w->to->f = BASE_MAX(f, 0);
    for (int c = 0; c < w->to->c; c++)
        sum |= terms_of(w, c, &first, &least) > 1;
    for (int c = 0; c < w->to->c; c++) {
        int n = terms_of(w, c, &first, &least);
        if (!n)
            w->unit[c] = 0;
        else if (f >= 0)
            w->unit[c] = ldexp(w->u[lead][c], -f);
        else if (!sum)
            w->unit[c] = fmax(fabs(w->u[first][c]), least);
        else /* units of like size, so that the multipliers are as precise for every channel */
            w->unit[c] = exact_if_fits(fabs(w->u[n == 1 ? first : lead][c]), least);
    }
}

/* A 1x1 kernel's odd planes count exactly twice as much as the planes before them, so that the accelerator can take two at a time. */
static void pair_planes(const struct fixed_term *f, int32_t *coef, const struct fixed_edge *e)
{
    int end = e->is_signed ? e->bits - 1 : e->bits;        /* the sign has none before it */
    for (int t = 0; f->kh == 1 && f->kw == 1 && t < f->n_plane; t++)
        for (int j = 1; j < end; j += 2)
            coef[t * e->bits + j] = 2 * coef[t * e->bits + j - 1];
}

static int set_coefficients(struct work *w, int k)
{
    struct fixed_term *f = &w->to->term[k];
    const struct fixed_edge *e = &w->net->edge[f->edge];
    int row = f->n_plane * e->bits;
    bool shared = true;
    f->coef = BASE_ARENA_NEW_N(w->net->arena, int32_t, (int64_t)f->cout * row);
    if (!f->coef)
        return BASE_NOMEM;
    for (int o = 0; o < f->cout; o++) {
        double unit = w->unit[f->chan + o];
        double ratio = unit > 0 ? w->u[k][f->chan + o] / unit : ldexp(1, w->to->f); /* a dead channel: m = 0 */
        const double *value = w->value[k] + (w->rows[k] > 1 ? o * f->n_plane : 0);
        for (int t = 0; t < f->n_plane; t++)
            for (int j = 0; j < e->bits; j++)
                f->coef[o * row + t * e->bits + j] = (int32_t)floor(ratio * value[t] * ldexp(e->is_signed && j == e->bits - 1 ? -1 : 1, j) + 0.5);
        pair_planes(f, f->coef + o * row, e);
        shared &= memcmp(f->coef, f->coef + o * row, sizeof *f->coef * (size_t)row) == 0;
    }
    f->coef_shared = shared;
    return BASE_OK;
}

/* ---- requantization -------------------------------------------------------------- */

/* Real value of one step of the output; for logits so that the largest takes about 24 bits. */
static double output_scale(const struct work *w)
{
    if (!w->logits)
        return w->net->edge[w->to->out].scale;
    double top = 0;
    for (int c = 0; c < w->to->c; c++) {
        double v = fabs(w->offset[c]);
        for (int k = 0; k < w->to->n_term; k++)
            v += fabs(w->u[k][c]) * w->bound[k][c];
        top = fmax(top, v);
    }
    return top > 0 ? top / (1 << 24) : 1;
}

static bool shift_fits(const struct work *w, double out, int s)
{
    for (int c = 0; c < w->to->c; c++)
        if (ldexp(w->unit[c] / out, s) > (1 << 17) - 1.5 || ldexp(fabs(w->offset[c] / out) + 1, s) > 0x1p46)
            return false;
    return true;
}

static void set_clamp(struct work *w)
{
    struct fixed_layer *l = w->to;
    if (w->logits) {
        l->lo = w->from->relu == GRAPH_OP_COUNT ? INT32_MIN : 0;
        l->hi = INT32_MAX;
        return;
    }
    const struct fixed_edge *e = &w->net->edge[l->out];
    double lo, hi;
    edge_range(e, &lo, &hi);
    if (w->from->relu == GRAPH_RELU6)
        hi = fmin(hi, floor(6 / e->scale + 0.5));
    l->lo = (int32_t)lo;
    l->hi = (int32_t)hi;
}

static int requantize(struct work *w)
{
    struct fixed_layer *l = w->to;
    double out = output_scale(w);
    int s = 40;
    while (s >= 1 && !shift_fits(w, out, s))
        s--;
    if (s < 1)
        return base_fail(BASE_INPUT, "layer '%s': its sums are too large for its output's scale %g: check its batch norm, or give the next layer more a_bits", l->name, out);
    l->s = s;
    l->m = BASE_ARENA_NEW_N(w->net->arena, int32_t, l->c);
    l->b = BASE_ARENA_NEW_N(w->net->arena, int64_t, l->c);
    if (!l->m || !l->b)
        return BASE_NOMEM;
    for (int c = 0; c < l->c; c++) {
        l->m[c] = (int32_t)floor(ldexp(w->unit[c] / out, s) + 0.5);
        l->b[c] = (int64_t)floor(ldexp(w->offset[c] / out, s) + 0.5) + ((int64_t)1 << (s - 1));
    }
    if (w->logits)
        w->net->logit_scale = out;
    set_clamp(w);
    return BASE_OK;
}

/* ---- layers ---------------------------------------------------------------------- */

static int lower_mac(struct work *w)
{
    int c = w->to->c, rc = BASE_NOMEM;
    double *room = BASE_NEW_N(double, (int64_t)c * (2 * GRAPH_MAX_TERM + 2));
    if (!room)
        return rc;
    for (int k = 0; k < GRAPH_MAX_TERM; k++) {
        w->u[k] = room + (int64_t)c * 2 * k;
        w->bound[k] = w->u[k] + c;
    }
    w->offset = room + (int64_t)c * 2 * GRAPH_MAX_TERM;
    w->unit = w->offset + c;
    rc = lower_terms(w);
    if (!rc) {
        choose_units(w);
        for (int k = 0; !rc && k < w->to->n_term; k++)
            rc = set_coefficients(w, k);
    }
    if (!rc)
        rc = requantize(w);
    base_free(room);
    return rc;
}

static int lower_maxpool(struct work *w)
{
    const struct graph_node *n = &w->g->node[w->from->node];
    int in = w->from->term[0].edge;
    if (in == 0 || w->logits)
        return base_fail(BASE_INPUT, "layer '%s': a max pool of the raw image or as the last layer is not available yet", w->from->name);
    w->to->n_term = 1;
    w->to->term[0] = (struct fixed_term){ .edge = in, .kh = n->kh, .kw = n->kw, .stride = n->stride, .pad_t = n->pad_t, .pad_l = n->pad_l,
                                          .depthwise = true, .cout = w->to->c, .cin = 1 };
    return BASE_OK;
}

static int lower_layer(struct work *w)
{
    struct fixed_layer *l = w->to;
    l->name = base_arena_strdup(w->net->arena, w->from->name);
    if (!l->name)
        return BASE_NOMEM;
    l->kind = w->from->kind == GRAPH_LAYER_MAC ? FIXED_MAC : FIXED_MAXPOOL;
    l->out = w->logits ? -1 : w->index + 1;
    l->h = w->from->shape.h;
    l->w = w->from->shape.w;
    l->c = w->from->shape.c;
    return w->from->kind == GRAPH_LAYER_MAC ? lower_mac(w) : lower_maxpool(w);
}

/* The node whose value the logits are, behind Flatten and Softmax. */
static int output_node(const struct graph *g)
{
    int i = g->output;
    while (g->node[i].op == GRAPH_FLATTEN || g->node[i].op == GRAPH_SOFTMAX)
        i = g->node[i].in[0];
    return i;
}

int compress_lower_graph(struct fixed_net **out, const struct graph *g, const struct graph_layers *ls, const struct nn_quant *q)
{
    *out = NULL;
    const struct graph_layer *last = &ls->layer[ls->n - 1];
    if (last->out_node != output_node(g))
        return base_fail(BASE_INPUT, "graph '%s': layer '%s' comes after the output; remove what the output does not need", g->name, last->name);
    if (last->shape.h != 1 || last->shape.w != 1)
        return base_fail(BASE_INPUT, "layer '%s': the output is a %d x %d map; a classifier's is 1 x 1", last->name, last->shape.h, last->shape.w);
    struct fixed_net *net = fixed_net_new(g->name, ls->n, ls->n); /* edges 0 .. n-1: the last layer writes logits */
    if (!net)
        return BASE_NOMEM;
    net->classes = last->shape.c;
    int rc = lower_edges(net, g, ls, q);
    for (int i = 0; !rc && i < ls->n; i++) {
        struct work w = { .g = g, .ls = ls, .q = q, .net = net, .from = &ls->layer[i], .to = &net->layer[i], .index = i, .logits = i == ls->n - 1 };
        rc = lower_layer(&w);
    }
    if (!rc)
        rc = fixed_check(net);
    if (rc) {
        fixed_net_free(net);
        return rc;
    }
    *out = net;
    return BASE_OK;
}

int compress_lower(struct fixed_net **out, const struct compress_model *m)
{
    return compress_lower_graph(out, m->graph, &m->layers, m->quant);
}
