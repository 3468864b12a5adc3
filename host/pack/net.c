/* net: the integer network as bytes and back. Bytes are hostile until proven otherwise: counts are compared
 * with what is left of the section before memory is asked for, products with fixed limits. Whether the
 * network means anything is fixed_check's business. */
#include <math.h>

#include "pack/pack_internal.h"

enum { MAX_SIDE = 65535, EDGE_BYTES = 2 + 3 * 4 + 3 + 8, LAYER_BYTES = 2 + 1 + 4 + 3 * 4 + 4 + 4 * 4 };

/* ---- writing ---------------------------------------------------------------- */

static void put_string(struct base_text *t, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    pack_put(t, n, 2);
    base_text_add_bytes(t, s, n);
}

static void put_double(struct base_text *t, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    pack_put(t, bits, 8);
}

static void put_ints(struct base_text *t, const int *v, int n)
{
    for (int i = 0; i < n; i++)
        pack_put(t, (uint32_t)v[i], 4);
}

static void put_edge(struct base_text *t, const struct fixed_edge *e)
{
    put_string(t, e->name);
    put_ints(t, (const int[]){ e->h, e->w, e->c }, 3);
    pack_put(t, (uint64_t)e->bits, 1);
    pack_put(t, e->is_signed, 1);
    pack_put(t, e->pad != NULL, 1);
    put_double(t, e->scale);
    if (e->pad)
        base_text_add_bytes(t, e->pad, (size_t)e->c);
}

static int64_t coefs(const struct fixed_term *t, const struct fixed_edge *e)
{
    return (int64_t)(t->coef_shared ? 1 : t->cout) * t->n_plane * e->bits;
}

static void put_geometry(struct base_text *t, const struct fixed_term *m, int n_plane)
{
    put_ints(t, (const int[]){ m->edge, m->kh, m->kw, m->stride, m->pad_t, m->pad_l, m->chan, m->cout, m->cin, m->w_bits }, 10);
    pack_put(t, (uint64_t)n_plane, 1);
    pack_put(t, m->depthwise, 1);
    pack_put(t, m->coef_shared, 1);
}

static void put_term(struct base_text *t, struct base_text *planes, const struct fixed_net *n, const struct fixed_term *m)
{
    uint8_t kind[FIXED_MAX_PLANES];
    pack_plane_kinds(kind, m);
    put_geometry(t, m, m->n_plane);
    base_text_add_bytes(t, kind, (size_t)m->n_plane);
    pack_planes_put(planes, m, kind);
    for (int64_t i = 0; i < coefs(m, &n->edge[m->edge]); i++)
        pack_put(t, (uint32_t)m->coef[i], 4);
}

static void put_layer(struct base_text *t, struct base_text *planes, const struct fixed_net *n, const struct fixed_layer *l)
{
    put_string(t, l->name);
    pack_put(t, (uint64_t)l->kind, 1);
    put_ints(t, (const int[]){ l->out, l->h, l->w, l->c, l->n_term, l->f, l->s, l->lo, l->hi }, 9);
    if (l->kind == FIXED_MAXPOOL) {
        put_geometry(t, &l->term[0], 0);
        return;
    }
    for (int c = 0; c < l->c; c++)
        pack_put(t, (uint32_t)l->m[c], 4);
    for (int c = 0; c < l->c; c++)
        pack_put(t, (uint64_t)l->b[c], 8);
    for (int k = 0; k < l->n_term; k++)
        put_term(t, planes, n, &l->term[k]);
}

void pack_net_put(struct base_text *net, struct base_text *planes, const struct fixed_net *n)
{
    put_string(net, n->name);
    put_ints(net, (const int[]){ n->n_edge, n->n_layer, n->classes }, 3);
    put_double(net, n->logit_scale);
    for (int e = 0; e < n->n_edge; e++)
        put_edge(net, &n->edge[e]);
    for (int i = 0; i < n->n_layer; i++)
        put_layer(net, planes, n, &n->layer[i]);
}

/* ---- limits ----------------------------------------------------------------- */

static bool name_fits(const char *s)
{
    return !s || strlen(s) <= PACK_MAX_NAME;
}

int pack_net_limits(const struct fixed_net *n)
{
    int64_t weights = 0, elements = 0;
    bool names = name_fits(n->name), finite = isfinite(n->logit_scale);
    for (int e = 0; e < n->n_edge; e++) {
        elements += (int64_t)n->edge[e].h * n->edge[e].w * n->edge[e].c;
        names &= name_fits(n->edge[e].name);
        finite &= isfinite(n->edge[e].scale);
    }
    for (int i = 0; i < n->n_layer; i++) {
        names &= name_fits(n->layer[i].name);
        for (int k = 0; k < n->layer[i].n_term && n->layer[i].kind == FIXED_MAC; k++)
            weights += n->layer[i].term[k].cout * pack_row(&n->layer[i].term[k]);
    }
    if (weights > PACK_MAX_WEIGHTS || elements > PACK_MAX_ELEMENTS)
        return base_fail(BASE_INPUT, "network '%s': %lld weights and %lld values in its maps; a pack holds at most %d and %d", n->name,
                         (long long)weights, (long long)elements, PACK_MAX_WEIGHTS, PACK_MAX_ELEMENTS);
    if (!finite)
        return base_fail(BASE_INPUT, "network '%s': a scale is not a finite number", n->name);
    if (!names)
        return base_fail(BASE_INPUT, "network '%.40s': a name is longer than %d bytes; shorten it in the model", n->name, PACK_MAX_NAME);
    return BASE_OK;
}

/* ---- reading ---------------------------------------------------------------- */

struct reader {
    const char *name;          /* of the file */
    struct pack_source *net, *planes;
    struct fixed_net *to;
    int64_t weights, elements; /* so far */
};

#define bad(r, ...) pack_damaged((r)->name, PACK_NET, __VA_ARGS__)

static int ended(const struct reader *r)
{
    return bad(r, "ends too early");
}

/* A copy in the arena. */
static int get_string(struct reader *r, const char **out, struct base_arena *a)
{
    size_t n = (size_t)pack_get(r->net, 2);
    if (n > PACK_MAX_NAME)
        return bad(r, "a name of %zu bytes is longer than %d", n, PACK_MAX_NAME);
    const uint8_t *p = pack_take(r->net, n);
    if (!p)
        return ended(r);
    if (memchr(p, 0, n))
        return bad(r, "a name holds a zero byte");
    char *s = base_arena_alloc(a, n + 1);
    if (!s)
        return BASE_NOMEM;
    memcpy(s, p, n);
    *out = s;
    return BASE_OK;
}

static double get_double(struct reader *r)
{
    uint64_t bits = pack_get(r->net, 8);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void get_ints(struct reader *r, int *const *to, int n)
{
    for (int i = 0; i < n; i++)
        *to[i] = pack_get_i32(r->net);
}

/* An array of `n` elements of `bytes` each lies ahead. */
static bool has(const struct reader *r, int64_t n, int bytes)
{
    return n >= 0 && (uint64_t)n <= r->net->left / (unsigned)bytes;
}

static bool is_size(int v) { return v >= 1 && v <= MAX_SIDE; }

static int get_edge(struct reader *r, int index)
{
    struct fixed_edge *e = &r->to->edge[index];
    int rc = get_string(r, &e->name, r->to->arena);
    if (rc)
        return rc;
    get_ints(r, (int *[]){ &e->h, &e->w, &e->c }, 3);
    e->bits = (int)pack_get(r->net, 1);
    unsigned is_signed = (unsigned)pack_get(r->net, 1), has_pad = (unsigned)pack_get(r->net, 1);
    e->scale = get_double(r);
    if (r->net->ended)
        return ended(r);
    if (!is_size(e->h) || !is_size(e->w) || !is_size(e->c) || e->bits < 1 || e->bits > 8 || is_signed > 1 || has_pad > 1)
        return bad(r, "map %d is impossible: %d x %d x %d of %d bits", index, e->h, e->w, e->c, e->bits);
    r->elements += (int64_t)e->h * e->w * e->c;
    if (r->elements > PACK_MAX_ELEMENTS)
        return bad(r, "maps of more than %d values", PACK_MAX_ELEMENTS);
    e->is_signed = is_signed;
    if (!has_pad)
        return BASE_OK;
    const uint8_t *pad = pack_take(r->net, (size_t)e->c);
    if (!pad)
        return ended(r);
    /* The image's readers may look at FIXED_MAX_CHAN_IN_PAD channels. */
    uint8_t *copy = base_arena_alloc(r->to->arena, (size_t)BASE_MAX(e->c, FIXED_MAX_CHAN_IN_PAD));
    if (!copy)
        return BASE_NOMEM;
    e->pad = memcpy(copy, pad, (size_t)e->c);
    return BASE_OK;
}

static int get_geometry(struct reader *r, struct fixed_term *t, const struct fixed_layer *l, int term)
{
    get_ints(r, (int *[]){ &t->edge, &t->kh, &t->kw, &t->stride, &t->pad_t, &t->pad_l, &t->chan, &t->cout, &t->cin, &t->w_bits }, 10);
    t->n_plane = (int)pack_get(r->net, 1);
    unsigned depthwise = (unsigned)pack_get(r->net, 1), shared = (unsigned)pack_get(r->net, 1);
    if (r->net->ended)
        return ended(r);
    t->depthwise = depthwise;
    t->coef_shared = shared;
    int least = l->kind == FIXED_MAC ? 1 : 0, most = l->kind == FIXED_MAC ? FIXED_MAX_PLANES : 0;
    bool ok = t->edge >= 0 && t->edge < r->to->n_edge && is_size(t->kh) && is_size(t->kw) && is_size(t->stride) &&
              t->pad_t >= -MAX_SIDE && t->pad_t <= MAX_SIDE && t->pad_l >= -MAX_SIDE && t->pad_l <= MAX_SIDE &&
              t->chan >= 0 && t->chan <= MAX_SIDE && t->cout >= least && t->cout <= MAX_SIDE && t->cin >= least && t->cin <= MAX_SIDE &&
              t->w_bits >= 0 && t->w_bits <= FIXED_MAX_PLANES && t->n_plane >= least && t->n_plane <= most && depthwise <= 1 && shared <= 1;
    return ok ? BASE_OK : bad(r, "layer '%s': term %d is impossible", l->name, term);
}

static int get_codes(struct reader *r, struct fixed_term *t, const struct fixed_layer *l, const uint8_t *kind)
{
    int64_t row = (int64_t)t->kh * t->kw <= PACK_MAX_WEIGHTS ? pack_row(t) : INT64_MAX;
    if (row > PACK_MAX_WEIGHTS || (r->weights += row * t->cout) > PACK_MAX_WEIGHTS)
        return bad(r, "more than %d weights", PACK_MAX_WEIGHTS);
    t->code = BASE_ARENA_NEW_N(r->to->arena, uint16_t, row * t->cout);
    if (!t->code)
        return BASE_NOMEM;
    for (int p = 0; p < t->n_plane; p++)
        if (kind[p] >= PACK_PLANE_KINDS)
            return bad(r, "layer '%s': plane of unknown kind %d", l->name, kind[p]);
    const char *wrong = pack_planes_get(r->planes, t, kind);
    if (wrong)
        return bad(r, "layer '%s': %s", l->name, wrong);
    return r->planes->ended ? pack_damaged(r->name, PACK_PLANES, "ends within layer '%s'", l->name) : BASE_OK;
}

static int get_term(struct reader *r, struct fixed_term *t, const struct fixed_layer *l, int term)
{
    int rc = get_geometry(r, t, l, term);
    if (rc)
        return rc;
    const uint8_t *kind = pack_take(r->net, (size_t)t->n_plane);
    int64_t n = coefs(t, &r->to->edge[t->edge]);
    if (!kind || !has(r, n, 4))
        return ended(r);
    t->coef = BASE_ARENA_NEW_N(r->to->arena, int32_t, n);
    if (!t->coef)
        return BASE_NOMEM;
    for (int64_t i = 0; i < n; i++)
        t->coef[i] = pack_get_i32(r->net);
    return get_codes(r, t, l, kind);
}

static int get_scales(struct reader *r, struct fixed_layer *l)
{
    if (!has(r, l->c, 12))
        return ended(r);
    l->m = BASE_ARENA_NEW_N(r->to->arena, int32_t, l->c);
    l->b = BASE_ARENA_NEW_N(r->to->arena, int64_t, l->c);
    if (!l->m || !l->b)
        return BASE_NOMEM;
    for (int c = 0; c < l->c; c++)
        l->m[c] = pack_get_i32(r->net);
    for (int c = 0; c < l->c; c++)
        l->b[c] = (int64_t)pack_get(r->net, 8);
    return BASE_OK;
}

static int get_layer(struct reader *r, int index)
{
    struct fixed_layer *l = &r->to->layer[index];
    int rc = get_string(r, &l->name, r->to->arena);
    if (rc)
        return rc;
    unsigned kind = (unsigned)pack_get(r->net, 1);
    get_ints(r, (int *[]){ &l->out, &l->h, &l->w, &l->c, &l->n_term, &l->f, &l->s, &l->lo, &l->hi }, 9);
    if (r->net->ended)
        return ended(r);
    if (kind > FIXED_MAXPOOL || l->out < -1 || l->out >= r->to->n_edge || !is_size(l->h) || !is_size(l->w) || !is_size(l->c) ||
        l->n_term < 0 || l->n_term > FIXED_MAX_TERM)
        return bad(r, "layer %d ('%s') is impossible", index, l->name);
    l->kind = (enum fixed_kind)kind;
    if (l->kind == FIXED_MAXPOOL)
        return get_geometry(r, &l->term[0], l, 0);
    rc = get_scales(r, l);
    for (int k = 0; !rc && k < l->n_term; k++)
        rc = get_term(r, &l->term[k], l, k);
    return rc;
}

static int get_all(struct reader *r, bool newer)
{
    int rc = BASE_OK;
    for (int e = 0; !rc && e < r->to->n_edge; e++)
        rc = get_edge(r, e);
    for (int i = 0; !rc && i < r->to->n_layer; i++)
        rc = get_layer(r, i);
    if (!rc && !newer && r->net->left)
        rc = bad(r, "%zu bytes too many", r->net->left);
    if (!rc && !newer && r->planes->left)
        rc = pack_damaged(r->name, PACK_PLANES, "%zu bytes too many", r->planes->left);
    if (rc)
        return rc;
    rc = fixed_check(r->to);
    if (!rc)
        rc = pack_net_limits(r->to);
    /* The message names the layer; the file is ours to add. */
    return rc == BASE_INPUT ? bad(r, "%s", base_error()) : rc;
}

int pack_net_get(struct fixed_net **out, struct pack_source *net, struct pack_source *planes, bool newer, const char *name)
{
    struct reader r = { .name = name, .net = net, .planes = planes };
    struct base_arena *scratch = base_arena_new();
    const char *title = NULL;
    int n_edge = 0, n_layer = 0, classes = 0;
    *out = NULL;
    int rc = scratch ? get_string(&r, &title, scratch) : BASE_NOMEM;
    if (!rc) {
        get_ints(&r, (int *[]){ &n_edge, &n_layer, &classes }, 3);
        double logit_scale = get_double(&r);
        if (net->ended)
            rc = ended(&r);
        else if (n_edge < 1 || n_layer < 1 || classes < 1 || classes > MAX_SIDE || !has(&r, n_edge, EDGE_BYTES) || !has(&r, n_layer, LAYER_BYTES))
            rc = bad(&r, "%d maps, %d layers and %d classes are impossible", n_edge, n_layer, classes);
        else if (!(r.to = fixed_net_new(title, n_edge, n_layer)))
            rc = BASE_NOMEM;
        else {
            r.to->classes = classes;
            r.to->logit_scale = logit_scale;
            rc = get_all(&r, newer);
        }
    }
    base_arena_free(scratch);
    if (rc) {
        fixed_net_free(r.to);
        return rc;
    }
    *out = r.to;
    return BASE_OK;
}
