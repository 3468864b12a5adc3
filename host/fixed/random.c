/* random: valid networks for tests, of everything that a network may hold: kernels of any shape,
 * strides, paddings, depthwise and dense layers, sums of several terms with ratios of their own,
 * concatenation, both poolings, 1 to 8 bits, free levels, pruned weights.
 *
 * A network stays inside what the smallest board takes: its needs are estimated from above, and one
 * that is too large is thrown away for the next of the same seed's stream, which may be smaller. */
#include <math.h>
#include <stdlib.h>

#include "fixed/fixed.h"

enum {
    MAX_LAYERS = 30,
    MAX_EDGES = MAX_LAYERS + 4,
    GROUP = 16,              /* channels the accelerator takes together */
    WORDS = 1024,            /* of each memory of the board: activations, weights, coefficients, K-words */
    MAX_CLASSES = 20,
    TRIES = 64
};

/* What the term's coefficients are made of: ratio[o] * value[plane] * 2^(F+j), rounded. */
struct levels { double value[FIXED_MAX_PLANES]; double *ratio; };

struct maker {
    struct base_rng rng;
    struct fixed_net *net;
    int layers, size, channels, w_bits, a_bits;      /* limits */
    bool failed;                                     /* out of memory */
    struct levels levels[FIXED_MAX_TERM];            /* of the layer being made */
};

static int below(struct maker *k, int n)
{
    return (int)base_rng_below(&k->rng, (uint32_t)n);
}

static bool one_in(struct maker *k, int n)
{
    return below(k, n) == 0;
}

static void *take(struct maker *k, int64_t bytes)
{
    void *p = base_arena_alloc(k->net->arena, (size_t)bytes);
    k->failed |= !p;
    return p;
}

/* ---- maps and layers ----------------------------------------------------------- */

static int random_bits(struct maker *k, int limit)
{
    return limit ? limit : 1 + below(k, 8);
}

static void add_edge(struct maker *k, int h, int w, int c, int bits, bool is_signed)
{
    struct fixed_edge *e = &k->net->edge[k->net->n_edge];
    char name[16];
    snprintf(name, sizeof name, "map%d", k->net->n_edge++);
    *e = (struct fixed_edge){ .name = base_arena_strdup(k->net->arena, name), .h = h, .w = w, .c = c, .bits = bits,
                              .is_signed = is_signed, .scale = 1 };
    k->failed |= !e->name;
}

static void add_image(struct maker *k)
{
    static const int channels[] = { 1, 3, 1, 3, 2, 4, 6, 16 };
    int c = channels[below(k, BASE_COUNT(channels))], h = 1 + below(k, k->size);
    add_edge(k, h, one_in(k, 3) ? 1 + below(k, k->size) : h, c, 8, false);
    uint8_t *pad = one_in(k, 2) ? take(k, FIXED_MAX_CHAN_IN_PAD) : NULL;
    for (int i = 0; pad && i < c; i++)
        pad[i] = (uint8_t)below(k, 256);
    k->net->edge[0].pad = pad;
}

static struct fixed_layer *add_layer(struct maker *k, enum fixed_kind kind, int h, int w, int c)
{
    struct fixed_layer *l = &k->net->layer[k->net->n_layer];
    char name[16];
    snprintf(name, sizeof name, "layer%d", k->net->n_layer++);
    *l = (struct fixed_layer){ .name = base_arena_strdup(k->net->arena, name), .kind = kind, .h = h, .w = w, .c = c };
    k->failed |= !l->name;
    return l;
}

/* ---- terms --------------------------------------------------------------------------- */

/* Geometry of a window; bottom and right padding only decide the size of the output. */
struct window { int kh, kw, stride, pad_t, pad_l, h, w; };

static int out_size(int in, int kernel, int stride, int before, int after)
{
    return (in + before + after - kernel) / stride + 1;
}

static struct window random_window(struct maker *k, const struct fixed_edge *e)
{
    static const int8_t kernel[][2] = { { 1, 1 }, { 3, 3 }, { 3, 3 }, { 3, 3 }, { 5, 5 }, { 1, 3 }, { 3, 1 }, { 2, 2 }, { 4, 5 }, { 1, 1 } };
    int i = below(k, BASE_COUNT(kernel));
    struct window v = { .kh = kernel[i][0], .kw = kernel[i][1], .stride = one_in(k, 5) ? 2 : 1 };
    if (one_in(k, 24))
        v.kh = 6 + below(k, 6), v.kw = 6 + below(k, 6);
    bool same = !one_in(k, 4);
    v.pad_t = same ? v.kh / 2 : below(k, v.kh);
    v.pad_l = same ? v.kw / 2 : below(k, v.kw);
    int pad_b = same ? (v.kh - 1) / 2 : below(k, v.kh), pad_r = same ? (v.kw - 1) / 2 : below(k, v.kw);
    if (v.kh > e->h + v.pad_t + pad_b)
        v.kh = 1, v.pad_t = pad_b = 0;
    if (v.kw > e->w + v.pad_l + pad_r)
        v.kw = 1, v.pad_l = pad_r = 0;
    v.h = out_size(e->h, v.kh, v.stride, v.pad_t, pad_b);
    v.w = out_size(e->w, v.kw, v.stride, v.pad_l, pad_r);
    return v;
}

static struct fixed_term *add_term(struct maker *k, struct fixed_layer *l, int edge, const struct window *v, bool depthwise, int chan, int cout)
{
    struct fixed_term *t = &l->term[l->n_term];
    struct levels *levels = &k->levels[l->n_term++];
    *t = (struct fixed_term){ .edge = edge, .kh = v->kh, .kw = v->kw, .stride = v->stride, .pad_t = v->pad_t, .pad_l = v->pad_l,
                              .depthwise = depthwise, .chan = chan, .cout = cout, .cin = depthwise ? 1 : k->net->edge[edge].c };
    t->code = take(k, (int64_t)sizeof *t->code * cout * t->kh * t->kw * t->cin);
    t->coef = take(k, (int64_t)sizeof *t->coef * cout * FIXED_MAX_PLANES * k->net->edge[edge].bits);
    levels->ratio = take(k, (int64_t)sizeof *levels->ratio * cout);
    for (int o = 0; levels->ratio && o < cout; o++)
        levels->ratio[o] = 1;
    return t;
}

static void random_ratios(struct maker *k, const struct fixed_term *t, struct levels *v)
{
    for (int o = 0; o < t->cout && v->ratio; o++)
        v->ratio[o] = (0.05 + 2 * (double)base_rng_uniform(&k->rng)) * (one_in(k, 8) ? -1 : 1) * (one_in(k, 12) ? 0 : 1);
}

/* Number of planes and what each stands for. */
static void random_levels(struct maker *k, struct fixed_term *t, struct levels *v)
{
    t->n_plane = t->w_bits = random_bits(k, k->w_bits);
    if (t->w_bits == 1) {
        t->n_plane = 2;
        v->value[0] = 2, v->value[1] = -1;
        return;
    }
    bool free_levels = one_in(k, 6);
    if (free_levels)
        t->n_plane = one_in(k, 6) ? 9 + below(k, 7) : 1 + below(k, 4);
    if (free_levels && t->depthwise)
        t->n_plane = BASE_MAX(t->n_plane, 2);
    for (int p = 0; p < t->n_plane; p++)
        v->value[p] = free_levels ? below(k, 61) - 30 : ldexp(p == t->n_plane - 1 ? -1 : 1, p);
}

/* Weights of every code, some pruned: single ones, output channels, a whole group of outputs. */
static void random_weights(struct maker *k, struct fixed_term *t, struct levels *v)
{
    random_levels(k, t, v);
    int64_t row = (int64_t)t->kh * t->kw * t->cin;
    bool sparse = one_in(k, 4), dead = one_in(k, 6), half = one_in(k, 10);
    for (int64_t i = 0; t->code && i < t->cout * row; i++) {
        bool off = (sparse && !one_in(k, 4)) || (dead && i / row % 5 == 2) || (half && i / row < GROUP);
        t->code[i] = (uint16_t)(off ? 0 : t->w_bits == 1 ? 2 | below(k, 2) : below(k, 1 << t->n_plane));
    }
    if (one_in(k, 5))
        random_ratios(k, t, v);
}

static void ones(struct maker *k, struct fixed_term *t, struct levels *v)
{
    t->n_plane = t->w_bits = 1;
    v->value[0] = 1;
    for (int64_t i = 0; t->code && i < (int64_t)t->cout * t->kh * t->kw; i++)
        t->code[i] = 1;
    if (!one_in(k, 3))
        random_ratios(k, t, v);
}

/* ---- the end of a layer: coefficients and scales ----------------------------------------- */

static void set_coefs(struct fixed_term *t, const struct levels *v, const struct fixed_edge *e, int f)
{
    t->coef_shared = true;
    for (int o = 0; o < t->cout; o++) {
        t->coef_shared &= v->ratio[o] == v->ratio[0];
        for (int i = 0; i < t->n_plane * e->bits; i++) {
            int j = i % e->bits;
            double c = floor(ldexp(v->ratio[o] * v->value[i / e->bits], f + j) + 0.5);
            c = fmin(fmax(c, -131071), 131071);
            int32_t *to = &t->coef[(int64_t)o * t->n_plane * e->bits + i];
            bool twice = f % 2 == 0 && j % 2 == 1 && t->kh * t->kw == 1 && abs(to[-1]) < 1 << 16; /* as lowering has it */
            *to = e->is_signed && j == e->bits - 1 ? -(int32_t)c : twice ? 2 * to[-1] : (int32_t)c;
        }
    }
}

/* Coefficients with the fraction bits f; the widest range of any channel's sum. */
static double set_layer_coefs(struct maker *k, struct fixed_layer *l, int f)
{
    double most = 1;
    l->f = f;
    for (int i = 0; i < l->n_term; i++)
        set_coefs(&l->term[i], &k->levels[i], &k->net->edge[l->term[i].edge], f);
    for (int o = 0; o < l->c; o++) {
        int64_t lo, hi;
        fixed_acc_range(k->net, k->net->n_layer - 1, o, &lo, &hi);
        most = fmax(most, fmax((double)hi, -(double)lo));
    }
    return most;
}

/* Scales that spread typical sums, far below the worst case, over the codes. */
static void set_scales(struct maker *k, struct fixed_layer *l, double most, bool logits, int bits)
{
    double gain = logits ? 1 : ldexp(1, bits) / most * (1 + 15 * (double)base_rng_uniform(&k->rng));
    l->s = 1;
    while (ldexp(gain, l->s + 1) < 1 << 16 && l->s < 36)
        l->s++;
    for (int o = 0; o < l->c; o++) {
        double m = ldexp(gain, l->s) * (0.5 + (double)base_rng_uniform(&k->rng));
        l->m[o] = one_in(k, 30) ? 0 : (int32_t)fmin(m, 131071);
        l->b[o] = ((int64_t)1 << (l->s - 1)) + (int64_t)ldexp(0.3 * (double)base_rng_normal(&k->rng), l->s + bits);
    }
}

static void finish_layer(struct maker *k, struct fixed_layer *l, bool logits)
{
    int bits = random_bits(k, k->a_bits), f = below(k, 4) * below(k, 4);
    bool is_signed = bits > 1 && one_in(k, 3);
    l->m = take(k, (int64_t)sizeof *l->m * l->c);
    l->b = take(k, (int64_t)sizeof *l->b * l->c);
    if (k->failed)
        return;
    double most = set_layer_coefs(k, l, f);
    while (most > INT32_MAX && f > 0)
        most = set_layer_coefs(k, l, --f);
    set_scales(k, l, most, logits, bits);
    l->lo = logits ? INT32_MIN : is_signed ? -(1 << (bits - 1)) : 0;
    l->hi = logits ? INT32_MAX : (1 << (bits - is_signed)) - 1;
    if (!logits && one_in(k, 5))
        l->hi -= l->hi / 4;
    l->out = logits ? -1 : k->net->n_edge;
    if (!logits)
        add_edge(k, l->h, l->w, l->c, bits, is_signed);
}

/* ---- layers of each kind ---------------------------------------------------------------- */

/* Stride with which a 1 x 1 window makes h x w of the edge; 0: none does. */
static int fitting_stride(const struct fixed_edge *e, int h, int w)
{
    if (e->h == h && e->w == w)
        return 1;
    return (e->h + 1) / 2 == h && (e->w + 1) / 2 == w ? 2 : 0;
}

/* More summands from earlier maps: identities, shortcut convolutions. */
static void add_shortcuts(struct maker *k, struct fixed_layer *l)
{
    for (int tries = 1 + below(k, 4); tries > 0 && l->n_term < FIXED_MAX_TERM; tries--) {
        int from = below(k, k->net->n_edge);
        const struct fixed_edge *e = &k->net->edge[from];
        struct window v = { .kh = 1, .kw = 1, .stride = fitting_stride(e, l->h, l->w) };
        if (!v.stride)
            continue;
        if (one_in(k, 4)) {
            int chan = one_in(k, 2) ? 0 : below(k, l->c);
            struct fixed_term *t = add_term(k, l, from, &v, false, chan, l->c - chan);
            random_weights(k, t, &k->levels[l->n_term - 1]);
        } else {
            int chan = e->c < l->c && one_in(k, 2) ? below(k, l->c - e->c + 1) : 0;
            struct fixed_term *t = add_term(k, l, from, &v, true, chan, BASE_MIN(e->c, l->c));
            ones(k, t, &k->levels[l->n_term - 1]);
        }
    }
}

static void conv(struct maker *k, int from)
{
    const struct fixed_edge *e = &k->net->edge[from];
    struct window v = random_window(k, e);
    bool depthwise = one_in(k, 4);
    int before = one_in(k, 6) ? below(k, 6) : 0, cout = depthwise ? e->c : 1 + below(k, k->channels);
    struct fixed_layer *l = add_layer(k, FIXED_MAC, v.h, v.w, before + cout);
    struct fixed_term *t = add_term(k, l, from, &v, depthwise, before, cout);
    random_weights(k, t, &k->levels[0]);
    if (before || one_in(k, 2))
        add_shortcuts(k, l);
    finish_layer(k, l, false);
}

/* Maps of the same size side by side. */
static void concat(struct maker *k, int from)
{
    const struct fixed_edge *first = &k->net->edge[from];
    int parts[3], n = 0, c = 0, want = 2 + below(k, 2);
    for (int e = from; e >= 0 && n < want; e--)
        if (k->net->edge[e].h == first->h && k->net->edge[e].w == first->w) {
            parts[n++] = e;
            c += k->net->edge[e].c;
        }
    struct fixed_layer *l = add_layer(k, FIXED_MAC, first->h, first->w, c);
    const struct window v = { .kh = 1, .kw = 1, .stride = 1 };
    for (int i = 0, chan = 0; i < n; chan += k->net->edge[parts[i++]].c) {
        struct fixed_term *t = add_term(k, l, parts[i], &v, true, chan, k->net->edge[parts[i]].c);
        ones(k, t, &k->levels[i]);
    }
    finish_layer(k, l, false);
}

static void maxpool(struct maker *k, int from)
{
    const struct fixed_edge *e = &k->net->edge[from];
    int size = BASE_MIN(2 + below(k, 2), BASE_MIN(e->h, e->w));
    struct window v = { .kh = size, .kw = size, .stride = 1 + below(k, 2), .pad_t = below(k, size), .pad_l = below(k, size) };
    struct fixed_layer *l = add_layer(k, FIXED_MAXPOOL, out_size(e->h, size, v.stride, v.pad_t, 0), out_size(e->w, size, v.stride, v.pad_l, 0), e->c);
    l->n_term = 1;
    l->term[0] = (struct fixed_term){ .edge = from, .kh = v.kh, .kw = v.kw, .stride = v.stride, .pad_t = v.pad_t, .pad_l = v.pad_l,
                                      .depthwise = true, .cout = e->c, .cin = 1 };
    l->out = k->net->n_edge;
    add_edge(k, l->h, l->w, e->c, e->bits, e->is_signed);
}

/* Windows that tile the map, or the whole map. */
static void avgpool(struct maker *k, int from, bool global)
{
    const struct fixed_edge *e = &k->net->edge[from];
    int kh = global ? e->h : BASE_MIN(2, e->h), kw = global ? e->w : BASE_MIN(2, e->w), stride = global ? 1 : 2;
    struct window v = { kh, kw, stride, 0, 0, out_size(e->h, kh, stride, 0, 0), out_size(e->w, kw, stride, 0, 0) };
    struct fixed_layer *l = add_layer(k, FIXED_MAC, v.h, v.w, e->c);
    ones(k, add_term(k, l, from, &v, true, 0, e->c), &k->levels[0]);
    if (one_in(k, 4))
        add_shortcuts(k, l);
    finish_layer(k, l, false);
}

/* Every number of the map to every output. */
static void dense(struct maker *k, int from, int c, bool logits)
{
    const struct fixed_edge *e = &k->net->edge[from];
    struct window v = { e->h, e->w, 1, 0, 0, 1, 1 };
    struct fixed_layer *l = add_layer(k, FIXED_MAC, 1, 1, c);
    random_weights(k, add_term(k, l, from, &v, false, 0, c), &k->levels[0]);
    if (one_in(k, 3))
        add_shortcuts(k, l);
    finish_layer(k, l, logits);
}

static void any_layer(struct maker *k)
{
    int from = k->net->n_edge - 1;
    if (one_in(k, 5))
        from = BASE_MAX(0, from - 1 - below(k, 2));
    switch (below(k, 10)) {
    case 0: maxpool(k, from); break;
    case 1: avgpool(k, from, false); break;
    case 2: concat(k, from); break;
    default: conv(k, from); break;
    }
}

static void make_layers(struct maker *k)
{
    add_image(k);
    for (int n = 1 + below(k, k->layers), i = 0; i < n && !k->failed; i++)
        any_layer(k);
    if (!k->failed && one_in(k, 2))
        avgpool(k, k->net->n_edge - 1, true);
    if (!k->failed && one_in(k, 5))
        dense(k, k->net->n_edge - 1, 1 + below(k, k->channels), false);
    if (!k->failed)
        dense(k, k->net->n_edge - 1, k->net->classes, true);
}

/* ---- does it fit? ---------------------------------------------------------------------- */

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

struct need { int64_t act, weight, coef, kword, scale; };

static void add_term_need(struct need *n, const struct fixed_term *t, const struct fixed_edge *e)
{
    int filters = (t->chan + t->cout - 1) / GROUP - t->chan / GROUP + 1, groups = t->depthwise ? 2 : ceil_div(e->c, GROUP);
    int planes = t->edge ? t->n_plane : t->n_plane + 7;       /* packed images list shifted weights */
    int kwords = filters * groups * ceil_div(t->kh, 3) * ceil_div(t->kw, 3);
    n->kword += kwords;
    n->weight += (int64_t)kwords * planes;
    n->coef += (int64_t)filters * (t->depthwise ? 2 : 1) * t->n_plane * e->bits;
}

static bool fits(const struct fixed_net *net)
{
    struct need n = { 0 };
    for (int i = 0; i < net->n_edge; i++) {
        const struct fixed_edge *e = &net->edge[i];
        n.act += (int64_t)ceil_div(e->h, 4) * ceil_div(e->w, 8) * ceil_div(e->c, GROUP) * e->bits;
    }
    for (int i = 0; i < net->n_layer; i++) {
        const struct fixed_layer *l = &net->layer[i];
        n.scale += ceil_div(l->c, GROUP);
        for (int t = 0; l->kind == FIXED_MAC && t < l->n_term; t++)
            add_term_need(&n, &l->term[t], &net->edge[l->term[t].edge]);
    }
    return n.act <= WORDS && n.weight <= WORDS && n.coef <= WORDS && n.kword <= WORDS && n.scale <= WORDS / 2;
}

/* ---- the network ------------------------------------------------------------------------- */

static int limit(int asked, int usual, int most)
{
    return BASE_MIN(asked > 0 ? asked : usual, most);
}

/* Later tries are smaller, the last ones tiny. */
static struct fixed_net *make(uint64_t seed, const struct fixed_random *r, int attempt)
{
    int shrink = attempt / 12;
    struct maker k = { .w_bits = limit(r->w_bits, 0, 8), .a_bits = limit(r->a_bits, 0, 8) };
    k.layers = BASE_MAX(limit(r->max_layers, 6, MAX_LAYERS - 3) >> shrink, 1);
    k.size = BASE_MAX(limit(r->max_size, 16, 120) >> shrink, 1);
    k.channels = BASE_MAX(limit(r->max_channels, 32, 512) >> shrink, 1);
    base_rng_stream(&k.rng, seed, (uint64_t)attempt);
    k.net = fixed_net_new("random", MAX_EDGES, MAX_LAYERS);
    if (!k.net)
        return NULL;
    k.net->n_edge = k.net->n_layer = 0;
    k.net->classes = 1 + below(&k, MAX_CLASSES);
    make_layers(&k);
    if (!k.failed)
        return k.net;
    fixed_net_free(k.net);
    return NULL;
}

struct fixed_net *fixed_random_net(uint64_t seed, const struct fixed_random *limits)
{
    const struct fixed_random usual = { 0 };
    for (int attempt = 0; attempt < TRIES; attempt++) {
        struct fixed_net *net = make(seed, limits ? limits : &usual, attempt);
        if (!net)
            return NULL;
        int rc = fits(net) ? fixed_check(net) : BASE_INPUT;
        if (!rc) {
            base_error_clear();
            return net;
        }
        fixed_net_free(net);
        if (rc != BASE_INPUT)
            return NULL;
    }
    base_fail(BASE_INTERNAL, "no random network of seed %llu fits the limits", (unsigned long long)seed);
    return NULL;
}
