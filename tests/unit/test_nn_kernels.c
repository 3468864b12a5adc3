/* nn: the kernels that have a fast form, against sums in double: Winograd's method and depthwise rows. */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "nn/kernels.h"

/* ---- a convolution by its definition ------------------------------------------------------- */

struct layer {
    struct nn_conv c;
    bool depthwise;
    int cout, cin;                       /* real channels */
    float *weight;                       /* [cout][kh][kw][cin], depthwise [cout][kh][kw] */
    float *x, *dy;                       /* padded, as the kernels want them */
    struct base_arena *arena;
};

static float *random_floats(struct layer *l, struct base_rng *r, size_t n)
{
    float *v = BASE_ARENA_NEW_N(l->arena, float, n);
    assert_non_null(v);
    for (size_t i = 0; r && i < n; i++)
        v[i] = base_rng_normal(r);
    return v;
}

/* Random values inside the map and the real channels, zeros elsewhere. */
static float *random_map(struct layer *l, struct base_rng *r, int hp, int wp, int c, int top, int left, int h, int w, int real)
{
    float *v = random_floats(l, NULL, (size_t)hp * wp * c);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < real; k++)
                v[((size_t)(top + y) * wp + left + x) * c + k] = base_rng_normal(r);
    return v;
}

static void layer_open(struct layer *l, struct nn_conv c, int cin, int cout, bool depthwise)
{
    struct base_rng r;
    base_rng_seed(&r, 4);
    *l = (struct layer){ .c = c, .depthwise = depthwise, .cin = cin, .cout = cout, .arena = base_arena_new() };
    l->c.c = nn_round8(cin);
    l->c.o = nn_round8(cout);
    l->c.oh = (c.h + 2 * c.pad_t - c.kh) / c.stride + 1;
    l->c.ow = (c.w + 2 * c.pad_l - c.kw) / c.stride + 1;
    assert_ok(nn_conv_plan(&l->c, l->arena, !depthwise));
    if (depthwise)
        l->c.pack_forward = (size_t)c.kh * c.kw * l->c.c;
    l->weight = random_floats(l, &r, (size_t)cout * c.kh * c.kw * (depthwise ? 1 : cin));
    l->x = random_map(l, &r, l->c.hp, l->c.wp, l->c.c, c.pad_t, c.pad_l, c.h, c.w, cin);
    l->dy = random_map(l, &r, l->c.ghp, l->c.gwp, l->c.o, l->c.gt, l->c.gl, l->c.oh, l->c.ow, cout);
}

/* Of all products y[oy][ox][o] += w[o][ky][kx][i] x[..][i], those that `use` wants, each once. */
typedef void use_fn(void *ctx, const struct layer *l, size_t y, size_t dy, size_t w, size_t x, size_t dx, bool inside);

static void each_product(const struct layer *l, use_fn *use, void *ctx)
{
    const struct nn_conv *c = &l->c;
    for (int oy = 0; oy < c->oh; oy++)
        for (int ox = 0; ox < c->ow; ox++)
            for (int o = 0; o < l->cout; o++)
                for (int t = 0; t < c->kh * c->kw; t++)
                    for (int i = 0; i < (l->depthwise ? 1 : l->cin); i++) {
                        int in = l->depthwise ? o : i, py = oy * c->stride + t / c->kw, px = ox * c->stride + t % c->kw, iy = py - c->pad_t, ix = px - c->pad_l;
                        bool inside = iy >= 0 && iy < c->h && ix >= 0 && ix < c->w;
                        use(ctx, l, ((size_t)oy * c->ow + ox) * c->o + o, ((size_t)(oy + c->gt) * c->gwp + ox + c->gl) * c->o + o,
                            ((size_t)o * c->kh * c->kw + t) * (l->depthwise ? 1 : l->cin) + i, ((size_t)py * c->wp + px) * c->c + in, inside ? ((size_t)iy * c->w + ix) * c->c + in : 0, inside);
                    }
}

struct sums { double *y, *dx, *dw; };

static void add_product(void *ctx, const struct layer *l, size_t y, size_t dy, size_t w, size_t x, size_t dx, bool inside)
{
    struct sums *s = ctx;
    s->y[y] += (double)l->weight[w] * (double)l->x[x];
    s->dw[w] += (double)l->dy[dy] * (double)l->x[x];
    if (inside)
        s->dx[dx] += (double)l->weight[w] * (double)l->dy[dy];
}

static void near(const float *got, const double *want, size_t n, double base, const char *what)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - base - want[i]) <= 5e-6 * top))
            fail_msg("%s [%zu]: %g, not %g (largest %g)", what, i, (double)got[i] - base, want[i], top);
}

static struct sums definition(struct layer *l)
{
    const struct nn_conv *c = &l->c;
    struct sums s = { BASE_ARENA_NEW_N(l->arena, double, c->oh * c->ow * c->o), BASE_ARENA_NEW_N(l->arena, double, c->h * c->w * c->c),
                      BASE_ARENA_NEW_N(l->arena, double, c->kh * c->kw * c->c * c->o) };
    each_product(l, add_product, &s);
    return s;
}

/* The engine's dw [tap][c][o] or, depthwise, [tap][c] as the weights are laid out. */
static const float *unpacked(struct layer *l, const float *dw)
{
    int taps = l->c.kh * l->c.kw, cin = l->depthwise ? 1 : l->cin;
    float *v = random_floats(l, NULL, (size_t)l->cout * taps * cin);
    for (int o = 0; o < l->cout; o++)
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < cin; i++)
                v[((size_t)o * taps + t) * cin + i] = l->depthwise ? dw[(size_t)t * l->c.c + o] : dw[((size_t)t * l->c.c + i) * l->c.o + o];
    return v;
}

/* ---- Winograd --------------------------------------------------------------------------------- */

static void winograd_case(int h, int w, int cin, int cout, int pad)
{
    struct layer l;
    struct nn_winograd f, b;
    layer_open(&l, (struct nn_conv){ .h = h, .w = w, .kh = 3, .kw = 3, .stride = 1, .pad_t = pad, .pad_l = pad }, cin, cout, false);
    const struct nn_conv *c = &l.c;
    struct sums s = definition(&l);
    size_t ny = (size_t)c->oh * c->ow * c->o, nx = (size_t)h * w * c->c, nw = (size_t)c->c * c->o;
    assert_ok(nn_winograd_plan(&f, l.arena, c->oh, c->ow, c->c, c->o));
    assert_ok(nn_winograd_plan(&b, l.arena, h, w, c->o, c->c));
    float *scratch = random_floats(&l, NULL, BASE_MAX(f.scratch, b.scratch)), *packed = random_floats(&l, NULL, 16 * nw), *du = random_floats(&l, NULL, 16 * nw);
    float *y = random_floats(&l, NULL, ny), *dx = random_floats(&l, NULL, nx);
    nn_winograd_pack_forward(packed, &f, l.weight, cout, cin);
    nn_winograd_run(y, l.x, c->wp, packed, &f, scratch, false);
    near(y, s.y, ny, 0, "y");
    for (size_t i = 0; i < ny; i++)
        y[i] = 1;
    nn_winograd_run(y, l.x, c->wp, packed, &f, scratch, true);
    near(y, s.y, ny, 1, "1 + y");
    nn_winograd_pack_back(packed, &b, l.weight, cout, cin);
    nn_winograd_run(dx, l.dy + ((size_t)c->pad_t * c->gwp + c->pad_l) * c->o, c->gwp, packed, &b, scratch, false);
    near(dx, s.dx, nx, 0, "dx");
    nn_winograd_weights(du, l.x, c->wp, l.dy + ((size_t)c->gt * c->gwp + c->gl) * c->o, c->gwp * c->o, &f, scratch);
    nn_winograd_unpack(du, du, nw);
    near(unpacked(&l, du), s.dw, (size_t)cout * 9 * cin, 0, "dw");
    base_arena_free(l.arena);
}

static void winograd_equals_definition(void **state)
{
    (void)state;
    winograd_case(8, 8, 16, 16, 1);
    winograd_case(2, 2, 8, 8, 1);
    winograd_case(6, 10, 13, 21, 1);     /* lopsided, channels that fill no panel */
    winograd_case(8, 6, 24, 40, 2);      /* output larger than input */
    winograd_case(12, 8, 9, 8, 0);       /* and smaller */
    winograd_case(64, 32, 40, 24, 1);    /* several blocks of rows, the last one short */
}

static void winograd_needs_even_maps(void **state)
{
    (void)state;
    assert_true(nn_winograd_fits(3, 3, 1, 8, 8, 16));
    assert_false(nn_winograd_fits(3, 3, 2, 8, 8, 16));
    assert_false(nn_winograd_fits(3, 3, 1, 7, 8, 16));
    assert_false(nn_winograd_fits(3, 3, 1, 8, 7, 16));
    assert_false(nn_winograd_fits(5, 5, 1, 8, 8, 16));
    assert_false(nn_winograd_fits(3, 1, 1, 8, 8, 16));
    assert_false(nn_winograd_fits(3, 3, 1, 8, 8, 3));
}

/* ---- depthwise ----------------------------------------------------------------------------------- */

static void depthwise_case(int h, int w, int k, int stride, int channels)
{
    struct layer l;
    layer_open(&l, (struct nn_conv){ .h = h, .w = w, .kh = k, .kw = k, .stride = stride, .pad_t = k / 2, .pad_l = k / 2 }, channels, channels, true);
    const struct nn_conv *c = &l.c;
    struct sums s = definition(&l);
    int taps = k * k;
    size_t ny = (size_t)c->oh * c->ow * c->o, nx = (size_t)h * w * c->c;
    float *packed = random_floats(&l, NULL, 2 * c->pack_forward), *y = random_floats(&l, NULL, ny), *dx = random_floats(&l, NULL, nx), *dw = random_floats(&l, NULL, c->pack_forward);
    for (int t = 0; t < taps; t++)
        for (int i = 0; i < channels; i++)
            packed[(size_t)t * c->c + i] = packed[(size_t)(2 * taps - 1 - t) * c->c + i] = l.weight[(size_t)i * taps + t];
    nn_depthwise_forward(y, l.x, packed, c);
    near(y, s.y, ny, 0, "y");
    nn_depthwise_back(dx, l.dy, packed, c, false);
    near(dx, s.dx, nx, 0, "dx");
    for (size_t i = 0; i < nx; i++)
        dx[i] = 1;
    nn_depthwise_back(dx, l.dy, packed, c, true);
    near(dx, s.dx, nx, 1, "1 + dx");
    nn_depthwise_weights(dw, l.x, l.dy + ((size_t)c->gt * c->gwp + c->gl) * c->o, c->gwp * c->o, c);
    near(unpacked(&l, dw), s.dw, (size_t)channels * taps, 0, "dw");
    base_arena_free(l.arena);
}

static void depthwise_equals_definition(void **state)
{
    (void)state;
    for (int w = 1; w <= 9; w++)         /* every remainder of a row */
        for (int stride = 1; stride <= 2; stride++)
            depthwise_case(w + 2, w, 3, stride, 11);
    depthwise_case(9, 7, 3, 3, 8);
    depthwise_case(10, 9, 5, 2, 16);
    depthwise_case(40, 40, 3, 1, 48);    /* several blocks of rows */
}

/* ---- dense ------------------------------------------------------------------------------------------ */

static void dense_weights_equal_definition(void **state)
{
    (void)state;
    enum { ROWS = 131, K = 56, O = 24 };
    static float x[ROWS * K], dy[ROWS * O], dw[K * O];
    static double want[K * O];
    struct base_rng r;
    base_rng_seed(&r, 8);
    for (int i = 0; i < ROWS * K; i++)
        x[i] = base_rng_normal(&r);
    for (int i = 0; i < ROWS * O; i++)
        dy[i] = base_rng_normal(&r);
    for (int i = 0; i < K * O; i++) {
        dw[i] = 99;                      /* overwritten */
        for (int n = 0; n < ROWS; n++)
            want[i] += (double)x[n * K + i / O] * (double)dy[n * O + i % O];
    }
    for (int k = 0; k < K; k += NN_DENSE_BLOCK)
        nn_dense_weights_block(dw, x, dy, ROWS, K, O, k, BASE_MIN(NN_DENSE_BLOCK, K - k));
    near(dw, want, K * O, 0, "dw");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(winograd_equals_definition),
        cmocka_unit_test(winograd_needs_even_maps),
        cmocka_unit_test(depthwise_equals_definition),
        cmocka_unit_test(dense_weights_equal_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
