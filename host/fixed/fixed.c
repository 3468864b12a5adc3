/* fixed: the integer network: making, checking and measuring one. What it computes is in qref.c. */
#include "fixed/fixed.h"

#include <string.h>

enum {
    MAX_SIDE = 65535,        /* height, width, channels, kernel, stride: no int product overflows */
    MAX_CELLS = 1 << 28,     /* numbers in a map, weights of a term */
    COEF_BITS = 17,          /* |coef| and m stay below 2^17 */
    ADDEND_BITS = 47,
    MAX_SHIFT = 40,
    MAX_BITS = 8,            /* of an activation */
    TABLE_PLANES = 8         /* ranges of codes this wide are kept in a table */
};

struct fixed_net *fixed_net_new(const char *name, int n_edge, int n_layer)
{
    struct base_arena *a = base_arena_new();
    if (!a)
        return NULL;
    struct fixed_net *net = BASE_ARENA_NEW(a, struct fixed_net);
    if (net) {
        net->arena = a;
        net->name = base_arena_strdup(a, name);
        net->n_edge = n_edge;
        net->n_layer = n_layer;
        net->edge = BASE_ARENA_NEW_N(a, struct fixed_edge, n_edge);
        net->layer = BASE_ARENA_NEW_N(a, struct fixed_layer, n_layer);
        net->logit_scale = 1;
    }
    if (!net || !net->name || !net->edge || !net->layer) {
        base_arena_free(a);
        return NULL;
    }
    return net;
}

void fixed_net_free(struct fixed_net *net)
{
    if (net)
        base_arena_free(net->arena);
}

/* ---- ranges ---------------------------------------------------------------- */

static int64_t row_length(const struct fixed_term *t)
{
    return (int64_t)t->kh * t->kw * t->cin;
}

/* Coefficients [n_plane][bits] of output o of the term. */
static const int32_t *coef_row(const struct fixed_term *t, int o, int bits)
{
    return t->coef + (t->coef_shared ? 0 : (int64_t)o * t->n_plane * bits);
}

struct range { int64_t lo, hi; };

/* What one weight adds at least and at most: every pattern of activation bits can occur, so each
 * activation bit is set where that helps. Both ends reach 0, so sums of some weights stay inside too. */
static struct range range_of(const int32_t added[MAX_BITS])
{
    int32_t lo = 0, hi = 0;  /* at most 15 planes x 8 bits x 2^17 */
    for (int j = 0; j < MAX_BITS; j++) {
        lo += BASE_MIN(added[j], 0);
        hi += BASE_MAX(added[j], 0);
    }
    return (struct range){ lo, hi };
}

/* A row of weights: what each of its planes adds by the bits of an activation; the ranges of all codes, if a table holds them. */
struct row_ranges {
    int32_t plane[FIXED_MAX_PLANES][MAX_BITS];
    struct range code[1 << TABLE_PLANES];
};

static void make_row_ranges(struct row_ranges *r, const struct fixed_term *t, int o, int bits)
{
    int32_t added[1 << TABLE_PLANES][MAX_BITS];
    memset(r->plane, 0, sizeof r->plane);
    for (int p = 0; p < t->n_plane; p++)
        memcpy(r->plane[p], coef_row(t, o, bits) + p * bits, sizeof **r->plane * (size_t)bits);
    memset(added[0], 0, sizeof added[0]);
    r->code[0] = (struct range){ 0, 0 };
    for (int code = 1; t->n_plane <= TABLE_PLANES && code < 1 << t->n_plane; code++) {
        for (int j = 0; j < MAX_BITS; j++)
            added[code][j] = added[code & (code - 1)][j] + r->plane[__builtin_ctz((unsigned)code)][j];
        r->code[code] = range_of(added[code]);
    }
}

static struct range wide_code_range(const struct row_ranges *r, int n_plane, unsigned code)
{
    int32_t added[MAX_BITS] = { 0 };
    for (int p = 0; p < n_plane; p++)
        for (int j = 0; j < MAX_BITS && code >> p & 1; j++)
            added[j] += r->plane[p][j];
    return range_of(added);
}

/* Adds what row o of the term adds. */
static void add_row(struct range *sum, const struct row_ranges *r, const struct fixed_term *t, int o)
{
    int64_t n = row_length(t);
    for (const uint16_t *code = t->code + o * n, *end = code + n; code < end; code++) {
        struct range one = t->n_plane <= TABLE_PLANES ? r->code[*code] : wide_code_range(r, t->n_plane, *code);
        sum->lo += one.lo;
        sum->hi += one.hi;
    }
}

/* Of channels [first, end) of a layer, into sum[0 ...]. */
static void acc_ranges(struct range *sum, const struct fixed_net *net, const struct fixed_layer *l, int first, int end)
{
    memset(sum, 0, sizeof *sum * (size_t)(end - first));
    for (int i = 0; l->kind == FIXED_MAC && i < l->n_term; i++) {
        const struct fixed_term *t = &l->term[i];
        struct row_ranges r;
        bool known = false;
        for (int c = BASE_MAX(first, t->chan); c < BASE_MIN(end, t->chan + t->cout); c++) {
            if (!known)
                make_row_ranges(&r, t, c - t->chan, net->edge[t->edge].bits);
            known = t->coef_shared;
            add_row(&sum[c - first], &r, t, c - t->chan);
        }
    }
}

void fixed_acc_range(const struct fixed_net *net, int layer, int chan, int64_t *lo, int64_t *hi)
{
    struct range sum;
    acc_ranges(&sum, net, &net->layer[layer], chan, chan + 1);
    *lo = sum.lo;
    *hi = sum.hi;
}

/* ---- measures ---------------------------------------------------------------- */

static int64_t layer_macs(const struct fixed_layer *l)
{
    int64_t n = 0;
    for (int i = 0; l->kind == FIXED_MAC && i < l->n_term; i++) {
        const struct fixed_term *t = &l->term[i];
        if (!(t->depthwise && t->n_plane == 1))    /* identity and pooling are ones, one a channel */
            n += (int64_t)l->h * l->w * t->cout * row_length(t);
    }
    return n;
}

int64_t fixed_macs(const struct fixed_net *net, int layer)
{
    int64_t n = 0;
    for (int i = 0; i < net->n_layer; i++)
        if (layer < 0 || layer == i)
            n += layer_macs(&net->layer[i]);
    return n;
}

int fixed_weight(const struct fixed_net *net, int layer, int term, int64_t index)
{
    const struct fixed_layer *l = &net->layer[layer];
    const struct fixed_term *t = &l->term[term];
    int bits = net->edge[t->edge].bits, sum = 0;
    const int32_t *coef = coef_row(t, (int)(index / row_length(t)), bits);
    for (int p = 0; p < t->n_plane; p++)
        if (t->code[index] >> p & 1)
            sum += coef[p * bits];
    return sum / (1 << l->f);
}

/* ---- the check: maps ------------------------------------------------------------ */

static int check_edge(const struct fixed_net *net, int index)
{
    const struct fixed_edge *e = &net->edge[index];
    if (!e->name)
        return base_fail(BASE_INPUT, "network '%s': map %d has no name", net->name, index);
    if (e->h < 1 || e->w < 1 || e->c < 1 || e->h > MAX_SIDE || e->w > MAX_SIDE || e->c > MAX_SIDE ||
        (int64_t)e->h * e->w * e->c > MAX_CELLS)
        return base_fail(BASE_INPUT, "map '%s': a size of %d x %d x %d is not possible", e->name, e->h, e->w, e->c);
    if (e->bits < 1 || e->bits > 8)
        return base_fail(BASE_INPUT, "map '%s': %d bits; use 1 to 8", e->name, e->bits);
    if (e->is_signed && e->bits < 2)
        return base_fail(BASE_INPUT, "map '%s': signed codes need at least 2 bits", e->name);
    if (index == 0 && (e->bits != 8 || e->is_signed))
        return base_fail(BASE_INPUT, "map '%s': the image must have unsigned 8-bit pixels", e->name);
    if (e->pad && index)
        return base_fail(BASE_INPUT, "map '%s': only the image may have padding values of its own", e->name);
    if (e->pad && e->c > FIXED_MAX_CHAN_IN_PAD)
        return base_fail(BASE_INPUT, "map '%s': padding values for %d channels; at most %d have room", e->name, e->c,
                         FIXED_MAX_CHAN_IN_PAD);
    return BASE_OK;
}

/* ---- the check: layers ---------------------------------------------------------- */

/* A layer being checked. written[e]: an earlier layer made edge e. */
struct check {
    const struct fixed_net *net;
    const struct fixed_layer *l;
    bool last;
    bool *written;
};

static int check_size(const struct fixed_layer *l)
{
    if (l->h >= 1 && l->w >= 1 && l->c >= 1 && l->h <= MAX_SIDE && l->w <= MAX_SIDE && l->c <= MAX_SIDE &&
        (int64_t)l->h * l->w * l->c <= MAX_CELLS)
        return BASE_OK;
    return base_fail(BASE_INPUT, "layer '%s': an output of %d x %d x %d is not possible", l->name, l->h, l->w, l->c);
}

static int check_logits(const struct check *k)
{
    const struct fixed_layer *l = k->l;
    if (!k->last)
        return base_fail(BASE_INPUT, "layer '%s': only the last layer may write the logits", l->name);
    if (l->kind != FIXED_MAC)
        return base_fail(BASE_INPUT, "layer '%s': a max pooling cannot write the logits", l->name);
    if (l->h != 1 || l->w != 1)
        return base_fail(BASE_INPUT, "layer '%s': the logits must be 1 x 1, not %d x %d; pool first", l->name, l->h, l->w);
    if (l->c != k->net->classes)
        return base_fail(BASE_INPUT, "layer '%s': %d logits for %d classes", l->name, l->c, k->net->classes);
    return BASE_OK;
}

static int check_output(const struct check *k)
{
    const struct fixed_layer *l = k->l;
    if (l->out == -1)
        return check_logits(k);
    if (k->last)
        return base_fail(BASE_INPUT, "layer '%s': the last layer must write the logits", l->name);
    if (l->out < 1 || l->out >= k->net->n_edge)
        return base_fail(BASE_INPUT, "layer '%s': writes map %d; maps 1 to %d can be written", l->name, l->out, k->net->n_edge - 1);
    const struct fixed_edge *e = &k->net->edge[l->out];
    if (k->written[l->out])
        return base_fail(BASE_INPUT, "layer '%s': map '%s' is written already; one layer writes a map", l->name, e->name);
    if (e->h != l->h || e->w != l->w || e->c != l->c)
        return base_fail(BASE_INPUT, "layer '%s': its output is %d x %d x %d, map '%s' is %d x %d x %d", l->name, l->h, l->w, l->c,
                         e->name, e->h, e->w, e->c);
    return BASE_OK;
}

/* Padding on either side may be as wide as the kernel, no wider: else a size is wrong. */
static bool window_fits(int in, int out, int kernel, int stride, int pad)
{
    int after = (out - 1) * stride + kernel - pad - in;
    return kernel >= 1 && kernel <= MAX_SIDE && pad >= 0 && pad <= kernel && after <= kernel;
}

static int check_window(const struct check *k, const struct fixed_term *t)
{
    const struct fixed_layer *l = k->l;
    if (t->edge < 0 || t->edge >= k->net->n_edge || !k->written[t->edge])
        return base_fail(BASE_INPUT, "layer '%s': reads map %d, which no layer before it writes", l->name, t->edge);
    const struct fixed_edge *e = &k->net->edge[t->edge];
    if (t->stride < 1 || t->stride > MAX_SIDE || (int64_t)BASE_MAX(l->h, l->w) * t->stride > MAX_CELLS)
        return base_fail(BASE_INPUT, "layer '%s': a stride of %d is not possible", l->name, t->stride);
    if (!window_fits(e->h, l->h, t->kh, t->stride, t->pad_t) || !window_fits(e->w, l->w, t->kw, t->stride, t->pad_l))
        return base_fail(BASE_INPUT, "layer '%s': windows of %d x %d, stride %d, padding %d and %d, do not make %d x %d of map '%s', %d x %d",
                         l->name, t->kh, t->kw, t->stride, t->pad_t, t->pad_l, l->h, l->w, e->name, e->h, e->w);
    return BASE_OK;
}

static int check_channels(const struct check *k, const struct fixed_term *t)
{
    const struct fixed_layer *l = k->l;
    const struct fixed_edge *e = &k->net->edge[t->edge];
    if (t->chan < 0 || t->cout < 1 || t->cout > l->c - t->chan)
        return base_fail(BASE_INPUT, "layer '%s': a term adds to channels %d to %d of %d", l->name, t->chan, t->chan + t->cout - 1, l->c);
    if (t->cin != (t->depthwise ? 1 : e->c))
        return base_fail(BASE_INPUT, "layer '%s': a term reads %d channels for each output; map '%s' gives %d", l->name, t->cin, e->name,
                         t->depthwise ? 1 : e->c);
    if (t->depthwise && t->cout > e->c)
        return base_fail(BASE_INPUT, "layer '%s': a depthwise term of %d channels reads map '%s' of %d", l->name, t->cout, e->name, e->c);
    if (row_length(t) > MAX_CELLS || t->cout * row_length(t) > MAX_CELLS)
        return base_fail(BASE_INPUT, "layer '%s': a term of %d x %d x %d x %d weights is too large", l->name, t->cout, t->kh, t->kw, t->cin);
    return BASE_OK;
}

static int check_codes(const struct check *k, const struct fixed_term *t)
{
    int64_t n = t->cout * row_length(t);
    for (int64_t i = 0; i < n; i++)
        if (t->code[i] >> t->n_plane)
            return base_fail(BASE_INPUT, "layer '%s': weight %lld has code %u, which %d planes do not hold", k->l->name, (long long)i,
                             t->code[i], t->n_plane);
    int64_t coefs = (int64_t)(t->coef_shared ? 1 : t->cout) * t->n_plane * k->net->edge[t->edge].bits;
    for (int64_t i = 0; i < coefs; i++)
        if (t->coef[i] <= -(1 << COEF_BITS) || t->coef[i] >= 1 << COEF_BITS)
            return base_fail(BASE_INPUT, "layer '%s': coefficient %d does not lie between -2^%d and 2^%d", k->l->name, t->coef[i],
                             COEF_BITS, COEF_BITS);
    return BASE_OK;
}

static int check_term(const struct check *k, const struct fixed_term *t)
{
    int rc = check_window(k, t);
    if (!rc)
        rc = check_channels(k, t);
    if (rc)
        return rc;
    if (t->n_plane < 1 || t->n_plane > FIXED_MAX_PLANES)
        return base_fail(BASE_INPUT, "layer '%s': %d weight planes; use 1 to %d", k->l->name, t->n_plane, FIXED_MAX_PLANES);
    if (t->w_bits < 1 || t->w_bits > 8)
        return base_fail(BASE_INPUT, "layer '%s': weights of %d bits; use 1 to 8", k->l->name, t->w_bits);
    if (!t->code || !t->coef)
        return base_fail(BASE_INPUT, "layer '%s': a term has no weights or no coefficients", k->l->name);
    return check_codes(k, t);
}

/* ---- the check: sums and scales --------------------------------------------------- */

static int check_clamp(const struct check *k)
{
    const struct fixed_layer *l = k->l;
    if (l->out == -1) {
        if (l->lo == INT32_MIN && l->hi == INT32_MAX)
            return BASE_OK;
        return base_fail(BASE_INPUT, "layer '%s': logits are not clamped, but lo and hi are %d and %d; remove the activation behind the last layer",
                         l->name, l->lo, l->hi);
    }
    const struct fixed_edge *e = &k->net->edge[l->out];
    int lo = e->is_signed ? -(1 << (e->bits - 1)) : 0, hi = (1 << (e->bits - e->is_signed)) - 1;
    if (l->lo < lo || l->hi > hi || l->lo > l->hi)
        return base_fail(BASE_INPUT, "layer '%s': clamps to %d..%d; map '%s' holds %d..%d", l->name, l->lo, l->hi, e->name, lo, hi);
    return BASE_OK;
}

static int check_scales(const struct check *k)
{
    const struct fixed_layer *l = k->l;
    if (!l->m || !l->b)
        return base_fail(BASE_INPUT, "layer '%s': has no multipliers or no addends", l->name);
    if (l->s < 1 || l->s > MAX_SHIFT)
        return base_fail(BASE_INPUT, "layer '%s': a shift of %d; use 1 to %d", l->name, l->s, MAX_SHIFT);
    if (l->f < 0 || l->f > 30)
        return base_fail(BASE_INPUT, "layer '%s': %d fraction bits; use 0 to 30", l->name, l->f);
    const int64_t most = (int64_t)1 << ADDEND_BITS;
    for (int o = 0; o < l->c; o++) {
        if (l->m[o] < 0 || l->m[o] >= 1 << COEF_BITS)
            return base_fail(BASE_INPUT, "layer '%s': multiplier %d of channel %d does not lie in 0..2^%d - 1", l->name, l->m[o], o, COEF_BITS);
        if (l->b[o] <= -most || l->b[o] >= most)
            return base_fail(BASE_INPUT, "layer '%s': addend %lld of channel %d does not lie between -2^%d and 2^%d", l->name,
                             (long long)l->b[o], o, ADDEND_BITS, ADDEND_BITS);
    }
    return check_clamp(k);
}

/* |acc * m + b| < 2^31 * 2^17 + 2^47 < 2^62 once the accumulator fits. */
_Static_assert(31 + COEF_BITS < 61 && ADDEND_BITS < 61, "requantization could leave 62 bits");

static int check_sums(const struct check *k)
{
    int rc = BASE_OK;
    struct range *sum = BASE_NEW_N(struct range, k->l->c);
    if (!sum)
        return BASE_NOMEM;
    acc_ranges(sum, k->net, k->l, 0, k->l->c);
    for (int o = 0; !rc && o < k->l->c; o++)
        if (sum[o].lo < INT32_MIN || sum[o].hi > INT32_MAX)
            rc = base_hint(base_fail(BASE_INPUT, "layer '%s': the sum of channel %d can reach %lld..%lld, which 32 bits do not hold", k->l->name, o,
                                     (long long)sum[o].lo, (long long)sum[o].hi),
                           "fewer weight bits or activation bits for this layer");
    base_free(sum);
    return rc;
}

static int check_mac(const struct check *k)
{
    int rc = BASE_OK;
    if (k->l->n_term < 1 || k->l->n_term > FIXED_MAX_TERM)
        return base_fail(BASE_INPUT, "layer '%s': %d terms; use 1 to %d", k->l->name, k->l->n_term, FIXED_MAX_TERM);
    for (int i = 0; !rc && i < k->l->n_term; i++)
        rc = check_term(k, &k->l->term[i]);
    if (!rc)
        rc = check_scales(k);
    return rc ? rc : check_sums(k);
}

static int check_maxpool(const struct check *k)
{
    int rc = check_window(k, &k->l->term[0]);
    if (rc)
        return rc;
    const struct fixed_edge *in = &k->net->edge[k->l->term[0].edge], *out = &k->net->edge[k->l->out];
    if (in->c != out->c || in->bits != out->bits || in->is_signed != out->is_signed)
        return base_fail(BASE_INPUT, "layer '%s': max pooling picks codes, so maps '%s' and '%s' must have the same channels, bits and sign",
                         k->l->name, in->name, out->name);
    return BASE_OK;
}

static int check_layer(const struct fixed_net *net, int index, bool *written)
{
    const struct fixed_layer *l = &net->layer[index];
    const struct check k = { net, l, index == net->n_layer - 1, written };
    if (!l->name)
        return base_fail(BASE_INPUT, "network '%s': layer %d has no name", net->name, index);
    if (l->kind != FIXED_MAC && l->kind != FIXED_MAXPOOL)
        return base_fail(BASE_INPUT, "layer '%s': there is no kind %d", l->name, (int)l->kind);
    int rc = check_size(l);
    if (!rc)
        rc = check_output(&k);
    if (!rc)
        rc = l->kind == FIXED_MAC ? check_mac(&k) : check_maxpool(&k);
    if (!rc && l->out >= 0)
        written[l->out] = true;
    return rc;
}

int fixed_check(const struct fixed_net *net)
{
    int rc = BASE_OK;
    if (net->n_edge < 1 || net->n_layer < 1 || net->classes < 1)
        return base_fail(BASE_INPUT, "network '%s': %d maps, %d layers, %d classes; at least one of each is needed", net->name, net->n_edge,
                         net->n_layer, net->classes);
    bool *written = BASE_NEW_N(bool, net->n_edge);
    if (!written)
        return BASE_NOMEM;
    for (int i = 0; !rc && i < net->n_edge; i++)
        rc = check_edge(net, i);
    written[0] = true;
    for (int i = 0; !rc && i < net->n_layer; i++)
        rc = check_layer(net, i, written);
    for (int i = 0; !rc && i < net->n_edge; i++)
        if (!written[i])
            rc = base_fail(BASE_INPUT, "map '%s': no layer writes it", net->edge[i].name);
    base_free(written);
    return rc;
}
