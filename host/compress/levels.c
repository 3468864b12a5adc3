/* levels.c: where non-uniform levels lie.
 *
 * One dimension makes k-means exact: clusters are runs of the sorted points, and dynamic programming finds the best
 * cuts; the last cluster's best start moves only up with its end, so halves are solved within bounds. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compress/levels.h"
#include "compress/sparse.h"

/* ---- k-means --------------------------------------------------------------------------- */

enum { MAX_POINTS = 4096 };

struct point { double x, mass; };

static int by_place(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* Sorted, in at most MAX_POINTS runs; *n of them. */
static struct point *sorted(const float *x, const float *mass, int64_t *n, double *lost)
{
    struct point *p = BASE_NEW_N(struct point, *n);
    int64_t to = 0, run = (*n + MAX_POINTS - 1) / MAX_POINTS;
    *lost = 0;
    if (!p)
        return NULL;
    for (int64_t i = 0; i < *n; i++)
        p[i] = (struct point){ (double)x[i], mass ? (double)mass[i] : 1 };
    qsort(p, (size_t)*n, sizeof *p, by_place);
    for (int64_t i = 0; i < *n && run > 0; i += run, to++) {
        double m = 0, sum = 0, square = 0;
        for (int64_t k = i; k < BASE_MIN(i + run, *n); k++) {
            m += p[k].mass;
            sum += p[k].mass * p[k].x;
            square += p[k].mass * p[k].x * p[k].x;
        }
        double mean = m > 0 ? sum / m : p[i].x;
        *lost += run > 1 ? square - m * mean * mean : 0;
        p[to] = (struct point){ run > 1 ? mean : p[i].x, m };
    }
    *n = to;
    return p;
}

/* sum [n + 1] of mass, mass x, mass x^2 in front of a point; least [k][n]: of the first points in so many clusters. */
struct dp { int64_t n; double *m, *mx, *mxx, *least; int *start; };

/* Squared error of points first .. last as one cluster. */
static double spread(const struct dp *d, int64_t first, int64_t last)
{
    double m = d->m[last + 1] - d->m[first], mx = d->mx[last + 1] - d->mx[first], mxx = d->mxx[last + 1] - d->mxx[first];
    return m > 0 ? fmax(mxx - mx * mx / m, 0) : 0;
}

/* Ends low .. high of cluster c, whose starts lie in from .. to. */
static void best_starts(struct dp *d, int c, int64_t low, int64_t high, int64_t from, int64_t to)
{
    if (low > high)
        return;
    int64_t mid = (low + high) / 2, at = from;
    double least = DBL_MAX;
    for (int64_t s = from; s <= BASE_MIN(to, mid); s++) {
        double e = (s ? d->least[(c - 1) * d->n + s - 1] : 0) + spread(d, s, mid);
        if (e < least) {
            least = e;
            at = s;
        }
    }
    d->least[c * d->n + mid] = least;
    d->start[c * d->n + mid] = (int)at;
    best_starts(d, c, low, mid - 1, from, at);
    best_starts(d, c, mid + 1, high, at, to);
}

/* Sums of mass, mass x, mass x^2 in front of each point: [n + 1], the first 0. */
static void prefixes(double *m, double *mx, double *mxx, const struct point *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        m[i + 1] = m[i] + p[i].mass;
        mx[i + 1] = mx[i] + p[i].mass * p[i].x;
        mxx[i + 1] = mxx[i] + p[i].mass * p[i].x * p[i].x;
    }
}

static void solve(double *centre, struct dp *d, int k, const struct point *p)
{
    prefixes(d->m, d->mx, d->mxx, p, d->n);
    for (int64_t i = 0; i < d->n; i++)
        d->least[i] = spread(d, 0, i);
    for (int c = 1; c < k; c++)
        best_starts(d, c, c, d->n - 1, c, d->n - 1);
    for (int64_t c = k - 1, last = d->n - 1; c >= 0; c--) {
        int64_t first = c ? d->start[c * d->n + last] : 0;
        double m = d->m[last + 1] - d->m[first];
        centre[c] = m > 0 ? (d->mx[last + 1] - d->mx[first]) / m : p[first].x;
        last = first - 1;
    }
}

double levels_kmeans(float *centre, int k, const float *x, const float *mass, int64_t n)
{
    double lost, error = -1, c[LEVELS_MAX_ENTRIES];
    struct point *p = sorted(x, mass, &n, &lost);
    int used = (int)BASE_MIN(k, n);
    double *room = BASE_NEW_N(double, 3 * (n + 1) + n * k);
    int *start = BASE_NEW_N(int, n * k);
    if (p && room && start) {
        struct dp d = { n, room, room + n + 1, room + 2 * (n + 1), room + 3 * (n + 1), start };
        solve(c, &d, used, p);
        for (int i = 0; i < k; i++)
            centre[i] = (float)c[BASE_MIN(i, used - 1)];
        error = d.least[(int64_t)(used - 1) * n + n - 1] + lost;
    }
    base_free(p);
    base_free(room);
    base_free(start);
    return error;
}

int levels_codebook(float *centre, int k, const float *x, const float *mass, int64_t n, enum compress_codebook_init init)
{
    if (init == COMPRESS_INIT_KMEANS)
        return levels_kmeans(centre, k, x, mass, n) < 0 ? BASE_NOMEM : BASE_OK;
    double lost;
    struct point *p = sorted(x, mass, &n, &lost);
    if (!p)
        return BASE_NOMEM;
    for (int c = 0; c < k; c++) {
        double sum = 0, m = 0;
        for (int64_t i = n * c / k; i < BASE_MAX(n * (c + 1) / k, n * c / k + 1) && i < n; i++) {
            sum += p[i].mass * p[i].x;
            m += p[i].mass;
        }
        centre[c] = (float)(init == COMPRESS_INIT_UNIFORM ? p[0].x + (p[n - 1].x - p[0].x) * c / BASE_MAX(k - 1, 1) : m > 0 ? sum / m : p[BASE_MIN(n * c / k, n - 1)].x);
    }
    base_free(p);
    return BASE_OK;
}

/* ---- sums of planes ------------------------------------------------------------------------ */

enum { PATTERNS = 1 << LEVELS_MAX_PLANES, ROUNDS = 20, REACHES = 10, POT_ROUNDS = 4, POT_EXPONENTS = 7 };

struct sum { double value; int set; };

static int by_value(const void *a, const void *b)
{
    const struct sum *p = a, *q = b;
    return (p->value > q->value) - (p->value < q->value);
}

/* What the weights of each pattern, the nearest to them, add up to: count, sum, and the error of all. */
struct members { double count[PATTERNS], sum[PATTERNS], error; };

/* Sorted points with what lies in front of each: count, sum, sum of squares [n + 1]. */
struct line { const struct point *p; int64_t n; double *m, *mx, *mxx; };

static int64_t first_from(const struct line *l, int64_t low, double x)
{
    int64_t high = l->n;
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (l->p[mid].x >= x)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static void assign(struct members *m, const double *value, int planes, const struct line *l)
{
    struct sum s[PATTERNS];
    int all = 1 << planes;
    for (int set = 0; set < all; set++) {
        s[set] = (struct sum){ 0, set };
        for (int t = 0; t < planes; t++)
            s[set].value += set >> t & 1 ? value[t] : 0;
    }
    qsort(s, (size_t)all, sizeof *s, by_value);
    m->error = 0;
    for (int64_t k = 0, from = 0, to; k < all; k++, from = to) {
        to = k + 1 < all ? first_from(l, from, (s[k].value + s[k + 1].value) / 2) : l->n;
        double n = l->m[to] - l->m[from], sum = l->mx[to] - l->mx[from];
        m->count[s[k].set] = n;
        m->sum[s[k].set] = sum;
        m->error += l->mxx[to] - l->mxx[from] - 2 * s[k].value * sum + n * s[k].value * s[k].value;
    }
}

/* Least squares for the planes' values, the members given: A value = b with a small ridge. */
static void refit(double *value, int planes, const struct members *m)
{
    double a[LEVELS_MAX_PLANES][LEVELS_MAX_PLANES + 1] = { { 0 } };
    for (int set = 0; set < 1 << planes; set++)
        for (int t = 0; t < planes && m->count[set] > 0; t++)
            if (set >> t & 1) {
                for (int u = 0; u < planes; u++)
                    a[t][u] += set >> u & 1 ? m->count[set] : 0;
                a[t][planes] += m->sum[set];
            }
    for (int t = 0; t < planes; t++) {
        a[t][t] += 1e-6;
        a[t][planes] += 1e-6 * value[t];
    }
    for (int t = 0; t < planes; t++)           /* positive definite: no pivots */
        for (int u = 0; u < planes; u++)
            if (u != t) {
                double f = a[u][t] / a[t][t];
                for (int k = t; k <= planes; k++)
                    a[u][k] -= f * a[t][k];
            }
    for (int t = 0; t < planes; t++)
        value[t] = a[t][planes] / a[t][t];
}

/* Values of two's complement, one step `s`. */
static void two_s_complement(double *value, int planes, double s)
{
    for (int t = 0; t < planes; t++)
        value[t] = ldexp(planes > 1 && t == planes - 1 ? -s : s, t);
}

/* +1 -1 +2 -2 ...: as many levels on either side. */
static void pairs(double *value, int planes, double s)
{
    for (int t = 0; t < planes; t++)
        value[t] = ldexp(t % 2 ? -s : s, t / 2);
}

/* From a start to where neither members nor values change the error; values become integers in steps of *scale. */
static double descend(double *value, double *scale, int planes, const struct line *l)
{
    struct members m;
    double last = DBL_MAX, top = 0, up = 0, down = 0;
    for (int r = 0; r < ROUNDS; r++) {
        assign(&m, value, planes, l);
        if (!(m.error < last * (1 - 1e-6)))
            break;
        last = m.error;
        refit(value, planes, &m);
    }
    for (int t = 0; t < planes; t++)
        *(value[t] > 0 ? &up : &down) += fabs(value[t]);
    top = fmax(up, down);
    *scale = top > 0 ? top / LEVELS_MAX_VALUE : 1;
    for (int t = 0; t < planes; t++)
        value[t] = floor(value[t] / *scale + 0.5) * *scale;
    assign(&m, value, planes, l);
    return m.error;
}

/* Best common factor of the values for their members, then the error with it. */
static double rescale(double *value, int planes, const struct line *l)
{
    struct members m;
    for (int r = 0; r < 2; r++) {
        double square = 0, cross = 0;
        assign(&m, value, planes, l);
        for (int set = 0; set < 1 << planes; set++) {
            double v = 0;
            for (int t = 0; t < planes; t++)
                v += set >> t & 1 ? value[t] : 0;
            square += m.count[set] * v * v;
            cross += m.sum[set] * v;
        }
        for (int t = 0; t < planes && square > 0 && cross > 0; t++)
            value[t] *= cross / square;
    }
    assign(&m, value, planes, l);
    return m.error;
}

/* Plane by plane, every sign and power of two, while one of them helps. */
static double search_powers(double *value, double *scale, int planes, const struct line *l)
{
    int power[LEVELS_MAX_PLANES];
    double least = rescale(value, planes, l), step = fabs(value[0]), tried[LEVELS_MAX_PLANES];
    for (int t = 0; t < planes; t++)
        power[t] = (int)lround(value[t] / step);
    bool moved = true;
    for (int round = 0; moved && round < POT_ROUNDS; round++) {
        moved = false;
        for (int t = 0; t < planes; t++)
            for (int k = 0; k < 2 * POT_EXPONENTS; k++) {
                int with = (k % 2 ? -1 : 1) * (1 << k / 2);
                for (int u = 0; u < planes; u++)
                    tried[u] = step * (u == t ? with : power[u]);
                double e = with == power[t] ? DBL_MAX : rescale(tried, planes, l);
                if (e < least * (1 - 1e-9)) {
                    least = e;
                    power[t] = with;
                    step = fabs(tried[0] / power[0]);
                    moved = true;
                }
            }
    }
    *scale = step;
    for (int t = 0; t < planes; t++)
        value[t] = power[t] * step;
    return least;
}

/* Of several reaches of a start the best, then from there. */
static double best_start(float *value, float *scale, int planes, bool pot, const struct line *l)
{
    static void (*const starts[])(double *, int, double) = { two_s_complement, pairs };
    double least = DBL_MAX, top = fmax(fabs(l->p[0].x), fabs(l->p[l->n - 1].x));
    for (int k = 0; k < BASE_COUNT(starts) && top > 0; k++) {
        double v[LEVELS_MAX_PLANES], from[LEVELS_MAX_PLANES], s, near = DBL_MAX, step = top / ldexp(1, k ? planes / 2 : planes - 1);
        for (int reach = 1; reach <= REACHES; reach++) {
            starts[k](v, planes, step * reach / REACHES);
            double e = rescale(v, planes, l);
            if (e < near) {
                near = e;
                memcpy(from, v, sizeof from);
            }
        }
        double e = pot ? search_powers(from, &s, planes, l) : descend(from, &s, planes, l);
        if (e < least) {
            least = e;
            *scale = (float)s;
            for (int t = 0; t < planes; t++)
                value[t] = (float)lround(from[t] / s);
        }
    }
    return top > 0 ? fmax(least, 0) : 0;
}

double levels_basis(float *value, float *scale, int planes, bool pot, const float *w, const float *mask, int64_t n)
{
    double lost, error = -1;
    int64_t kept = 0;
    float *x = BASE_NEW_N(float, n);
    for (int64_t i = 0; x && i < n; i++)
        if (!mask || mask[i] != 0)
            x[kept++] = w[i];
    *scale = 1;
    for (int t = 0; t < planes; t++)
        value[t] = ldexpf(1, t);
    if (x && !kept) {                    /* all masked */
        base_free(x);
        return 0;
    }
    struct point *p = x ? sorted(x, NULL, &kept, &lost) : NULL;
    double *room = BASE_NEW_N(double, 3 * (kept + 1));
    if (p && room) {
        struct line l = { p, kept, room, room + kept + 1, room + 2 * (kept + 1) };
        prefixes(l.m, l.mx, l.mxx, p, kept);
        error = best_start(value, scale, planes, pot, &l) + lost;
    }
    base_free(x);
    base_free(p);
    base_free(room);
    return error;
}

/* ---- planes of a codebook -------------------------------------------------------------------- */

enum { SEARCHED_PLANES = 5, TRIED_PLANES = 4 };

struct sums { const int *entry; int n, planes; int value[LEVELS_MAX_PLANES]; };

static int sum_of(const struct sums *s, int set)
{
    int sum = 0;
    for (int t = 0; t < s->planes; t++)
        sum += set >> t & 1 ? s->value[t] : 0;
    return sum;
}

/* The set of fewest planes whose sum is v; -1: none. */
static int set_of(const struct sums *s, int v)
{
    int best = -1;
    for (int set = 0; set < 1 << s->planes; set++)
        if (sum_of(s, set) == v && (best < 0 || __builtin_popcount((unsigned)set) < __builtin_popcount((unsigned)best)))
            best = set;
    return best;
}

/* Up to `most` planes that hold all entries: each new one makes an entry that is missing out of a sum that is there. Of the last
 * two planes one alone must make some entry, if both are needed: there, all that are missing are tried. */
static bool extend(struct sums *s, int most)
{
    int missing = 0, tries = most <= TRIED_PLANES && most - s->planes <= 2 ? s->n : 1, left = most - s->planes;
    for (int i = 0; i < s->n; i++)
        missing += set_of(s, s->entry[i]) < 0;
    if (!missing || !left)
        return !missing;
    for (int i = 0; i < s->n && tries; i++) {
        if (set_of(s, s->entry[i]) >= 0)
            continue;
        tries--;
        for (int set = 0; set < 1 << s->planes; set++) {
            s->value[s->planes] = s->entry[i] - sum_of(s, set);
            s->planes++;
            if (extend(s, most))
                return true;
            s->planes--;
        }
    }
    return false;
}

/* Two's complement of the entries over their common divisor. */
static void fall_back(struct sums *s)
{
    int unit = 0, lo = 0, hi = 0, bits = 1;
    for (int i = 0; i < s->n; i++) {
        for (int a = abs(s->entry[i]); a;) {
            int r = unit % a;
            unit = a;
            a = r;
        }
        lo = BASE_MIN(lo, s->entry[i]);
        hi = BASE_MAX(hi, s->entry[i]);
    }
    unit = BASE_MAX(unit, 1);
    while (lo / unit < -(1 << (bits - 1)) || hi / unit >= (lo < 0 ? 1 << (bits - 1) : 1 << bits))
        bits++;
    s->planes = bits;
    for (int t = 0; t < bits; t++)
        s->value[t] = unit * (lo < 0 && t == bits - 1 ? -(1 << t) : 1 << t);
}

int levels_planes(int value[LEVELS_MAX_PLANES], uint16_t *set, const int *entry, int n)
{
    struct sums s = { .entry = entry, .n = n };
    bool found = false;
    fall_back(&s);
    for (int most = 1; !found && most < s.planes && most <= SEARCHED_PLANES; most++) {
        struct sums t = { .entry = entry, .n = n };
        found = extend(&t, most);
        if (found)
            s = t;
    }
    s.planes = BASE_MAX(s.planes, 1);          /* nothing but zeros: a plane with no weight in it */
    for (int i = 0; i < n; i++)
        set[i] = (uint16_t)set_of(&s, entry[i]);
    memcpy(value, s.value, sizeof s.value);
    return s.planes;
}

/* ---- a model's levels -------------------------------------------------------------------------- */

struct term { const struct graph_node *node; struct nn_quant_term *q; int64_t per; int cin; };

/* Weights of output o as the integers will multiply: [per]. */
static void real_weights(float *w, const struct term *t, int o)
{
    for (int64_t i = 0; i < t->per; i++)
        w[i] = t->node->weight[o * t->per + i] * (t->q->in_factor ? t->q->in_factor[t->node->depthwise ? o : i % t->cin] : 1);
}

static const float *mask_of(const struct term *t, int o)
{
    return t->q->mask ? t->q->mask + o * t->per : NULL;
}

/* Scale of each output: its weights' root mean square. x: what stays, in that unit; mass: its square; how many. */
static int64_t normalize(float *x, float *mass, float *w, const struct term *t)
{
    int64_t n = 0;
    for (int o = 0; o < t->node->shape.c; o++) {
        const float *mask = mask_of(t, o);
        double square = 0;
        int64_t kept = 0;
        real_weights(w, t, o);
        for (int64_t i = 0; i < t->per; i++)
            if (!mask || mask[i] != 0) {
                square += (double)w[i] * (double)w[i];
                kept++;
            }
        float rms = square > 0 ? (float)sqrt(square / (double)kept) : 1;
        t->q->w_scale[o] = rms;
        for (int64_t i = 0; i < t->per && square > 0; i++)
            if (!mask || mask[i] != 0) {
                x[n] = w[i] / rms;
                mass[n++] = rms * rms;
            }
    }
    return n;
}

static int codebook(struct nn_levels *l, const struct term *t, const struct compress_choice *c, enum compress_codebook_init init)
{
    int64_t weights = t->per * t->node->shape.c;
    float *x = BASE_NEW_N(float, weights), *mass = BASE_NEW_N(float, weights), *w = BASE_NEW_N(float, t->per), top = 0;
    int half = (1 << (c->planes - 1)) - 1, rc = x && mass && w ? BASE_OK : BASE_NOMEM;
    int64_t n = rc ? 0 : normalize(x, mass, w, t);
    if (!rc && n)
        rc = levels_codebook(l->value, l->planes, x, mass, n, init);
    for (int i = 0; !rc && i < l->planes; i++)
        top = fmaxf(top, fabsf(l->value[i]));
    float step = top > 0 ? top / (float)half : 1;
    for (int i = 0; i < l->planes; i++)
        l->value[i] = floorf(l->value[i] / step + 0.5f);
    for (int o = 0; o < t->node->shape.c; o++)
        t->q->w_scale[o] *= step;
    base_free(x);
    base_free(mass);
    base_free(w);
    return rc;
}

static int basis(struct nn_levels *l, const struct term *t, bool pot)
{
    float *w = BASE_NEW_N(float, t->per);
    bool ok = w != NULL;
    for (int o = 0; ok && o < t->node->shape.c; o++) {
        real_weights(w, t, o);
        ok = levels_basis(l->value + o * l->planes, &t->q->w_scale[o], l->planes, pot, w, mask_of(t, o), t->per) >= 0;
    }
    base_free(w);
    return ok ? BASE_OK : BASE_NOMEM;
}

static int fit(struct nn_levels *l, const struct term *t, const struct compress_choice *c, enum compress_codebook_init init)
{
    return c->levels == COMPRESS_CODEBOOK ? codebook(l, t, c, init) : basis(l, t, c->levels == COMPRESS_POT);
}

void levels_memo_free(struct levels_memo *memo)
{
    for (struct levels_memo *next; memo; memo = next) {
        next = memo->next;
        base_free(memo->value);
        base_free(memo);
    }
}

/* On all weights of a term, once. `key`: a memo's. */
static int fit_once(struct levels_memo **memo, const struct levels_memo *key, struct nn_levels *l, const struct term *t, const struct compress_choice *c)
{
    size_t values = (size_t)(l->rows * l->planes), scales = (size_t)t->node->shape.c;
    for (const struct levels_memo *k = *memo; k; k = k->next)
        if (!memcmp(&k->key, &key->key, sizeof k->key)) {
            memcpy(l->value, k->value, sizeof *l->value * values);
            memcpy(t->q->w_scale, k->scale, sizeof *k->scale * scales);
            return BASE_OK;
        }
    float *mask = t->q->mask;
    t->q->mask = NULL;
    int rc = fit(l, t, c, (enum compress_codebook_init)key->key.init);
    t->q->mask = mask;
    struct levels_memo *k = rc ? NULL : BASE_NEW(struct levels_memo);
    float *kept = k ? BASE_NEW_N(float, values + scales) : NULL;
    if (!kept) {
        base_free(k);
        return rc ? rc : BASE_NOMEM;
    }
    *k = (struct levels_memo){ .next = *memo, .key = key->key, .value = kept, .scale = kept + values };
    memcpy(k->value, l->value, sizeof *kept * values);
    memcpy(k->scale, t->q->w_scale, sizeof *kept * scales);
    *memo = k;
    return BASE_OK;
}

static int begin_term(struct compress_model *m, int layer, int term, struct levels_memo **memo, bool draft)
{
    const struct graph_term *gt = &m->layers.layer[layer].term[term];
    const struct compress_choice *c = &m->recipe.layer[layer];
    struct nn_quant_term *q = &m->quant->layer[layer].term[term];
    const struct graph_node *n = &m->graph->node[gt->node];
    struct sparse_shape s = sparse_shape_of(m->graph, gt);
    struct term t = { n, q, sparse_weights(&s) / n->shape.c, s.cin };
    bool book = c->levels == COMPRESS_CODEBOOK;
    int codes = 1 << c->w_bits;
    struct nn_levels *l = BASE_ARENA_NEW(m->quant->arena, struct nn_levels);
    uint16_t *code = BASE_ARENA_NEW_N(m->quant->arena, uint16_t, codes);
    if (!l || !code)
        return BASE_NOMEM;
    *l = (struct nn_levels){ .planes = book ? codes : c->w_bits, .n_code = codes, .rows = book ? 1 : n->shape.c, .code = code };
    l->learned = c->levels != COMPRESS_POT && m->recipe.codebook.train != COMPRESS_TRAIN_WEIGHTS;
    l->fixed_weights = c->levels != COMPRESS_POT && m->recipe.codebook.train == COMPRESS_TRAIN_LEVELS;
    for (int i = 0; i < codes; i++)
        code[i] = (uint16_t)(book ? 1 << i : i);     /* a codebook: a plane an entry */
    l->value = BASE_ARENA_NEW_N(m->quant->arena, float, l->rows * l->planes);
    if (!l->value)
        return BASE_NOMEM;
    q->levels = l;
    q->group = 1;
    const struct levels_memo key = { .key = { layer, term, (int)c->levels, c->w_bits, c->planes, (int)m->recipe.codebook.init } };
    return q->mask && !draft ? fit(l, &t, c, m->recipe.codebook.init) : fit_once(memo, &key, l, &t, c);
}

int levels_begin(struct compress_model *m, struct levels_memo **memo, bool draft)
{
    int rc = BASE_OK;
    for (int i = 0; i < m->layers.n; i++)
        for (int k = 0; !rc && k < m->layers.layer[i].n_term && m->recipe.layer[i].levels != COMPRESS_UNIFORM; k++) {
            const struct graph_term *t = &m->layers.layer[i].term[k];
            if (t->node >= 0 && m->graph->node[t->node].weight)
                rc = begin_term(m, i, k, memo, draft);
        }
    return rc;
}
