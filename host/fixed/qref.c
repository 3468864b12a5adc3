/* qref: the meaning of an integer network, written as its definition reads and no faster.
 * docs/numerics.md says the same in words; qref_run.c does whole images quickly. */
#include "fixed/fixed.h"

int32_t qref_requantize(int32_t acc, int32_t m, int64_t b, int s, int32_t lo, int32_t hi)
{
    int64_t y = ((int64_t)acc * m + b) >> s;
    return (int32_t)(y < lo ? lo : y > hi ? hi : y);
}

int qref_argmax(const int32_t *logits, int classes)
{
    int best = 0;
    for (int i = 1; i < classes; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Code of an edge, or what padding inserts outside the map. map int16 [h][w][c]. */
static int code_at(const struct fixed_edge *e, const int16_t *map, int y, int x, int c)
{
    if (y < 0 || x < 0 || y >= e->h || x >= e->w)
        return e->pad ? e->pad[c] : 0;
    return map[((int64_t)y * e->w + x) * e->c + c];
}

/* The AND of weight plane t and activation plane j under the window of output (y, x, o), counted. */
static int64_t count_pair(const struct fixed_term *t, const struct fixed_edge *e, const int16_t *map, int y, int x, int o, int plane, int bit)
{
    int64_t n = 0;
    const uint16_t *code = t->code + (int64_t)o * t->kh * t->kw * t->cin;
    for (int ky = 0; ky < t->kh; ky++)
        for (int kx = 0; kx < t->kw; kx++)
            for (int i = 0; i < t->cin; i++, code++) {
                int a = code_at(e, map, y * t->stride - t->pad_t + ky, x * t->stride - t->pad_l + kx, t->depthwise ? o : i);
                n += (*code >> plane & 1) & (a >> bit & 1);
            }
    return n;
}

static int64_t term_sum(const struct fixed_term *t, const struct fixed_edge *e, const int16_t *map, int y, int x, int o)
{
    int64_t sum = 0;
    const int32_t *coef = t->coef + (t->coef_shared ? 0 : (int64_t)o * t->n_plane * e->bits);
    for (int plane = 0; plane < t->n_plane; plane++)
        for (int bit = 0; bit < e->bits; bit++)
            sum += coef[plane * e->bits + bit] * count_pair(t, e, map, y, x, o, plane, bit);
    return sum;
}

static int mac_value(const struct fixed_net *net, const struct fixed_layer *l, int16_t *const *in, int y, int x, int c, int32_t *out)
{
    int64_t acc = 0;
    for (int i = 0; i < l->n_term; i++) {
        const struct fixed_term *t = &l->term[i];
        if (c >= t->chan && c < t->chan + t->cout)
            acc += term_sum(t, &net->edge[t->edge], in[t->edge], y, x, c - t->chan);
    }
    if (acc < INT32_MIN || acc > INT32_MAX)
        return base_fail(BASE_INPUT, "layer '%s': the sum of channel %d is %lld, which 32 bits do not hold", l->name, c, (long long)acc);
    *out = qref_requantize((int32_t)acc, l->m[c], l->b[c], l->s, l->lo, l->hi);
    return BASE_OK;
}

static int32_t max_value(const struct fixed_net *net, const struct fixed_layer *l, int16_t *const *in, int y, int x, int c)
{
    const struct fixed_term *t = &l->term[0];
    const struct fixed_edge *e = &net->edge[t->edge];
    int best = e->is_signed ? -(1 << (e->bits - 1)) : 0;    /* padding: the lowest code */
    for (int ky = 0; ky < t->kh; ky++)
        for (int kx = 0; kx < t->kw; kx++) {
            int iy = y * t->stride - t->pad_t + ky, ix = x * t->stride - t->pad_l + kx;
            if (iy >= 0 && ix >= 0 && iy < e->h && ix < e->w)
                best = BASE_MAX(best, code_at(e, in[t->edge], iy, ix, c));
        }
    return best;
}

int qref_layer(const struct fixed_net *net, int layer, int16_t *const *in, int32_t *out)
{
    const struct fixed_layer *l = &net->layer[layer];
    for (int y = 0; y < l->h; y++)
        for (int x = 0; x < l->w; x++)
            for (int c = 0; c < l->c; c++, out++) {
                int rc = BASE_OK;
                if (l->kind == FIXED_MAXPOOL)
                    *out = max_value(net, l, in, y, x, c);
                else
                    rc = mac_value(net, l, in, y, x, c, out);
                if (rc)
                    return rc;
            }
    return BASE_OK;
}
