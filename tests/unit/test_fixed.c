/* fixed: what fixed_check refuses, ranges against brute force, measures, random networks. */
#define _GNU_SOURCE
#include "fixed_nets.h"

/* ---- the check -------------------------------------------------------------------------- */

/* 4 x 4 x 3 -> conv 3 x 3 to 5 channels, an identity of 3 of them -> logit. */
static struct fixed_net *good_net(void)
{
    int weights[135];
    for (int i = 0; i < 135; i++)
        weights[i] = i % 8 - 4;
    struct fixed_net *net = fx_new((struct fx_shape){ 4, 4, 3, 4, false }, (struct fx_shape){ 4, 4, 5, 4, true });
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 3, .kw = 3, .pad_t = 1, .pad_l = 1, .cout = 5, .w_bits = 3, .weight = weights });
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .chan = 2, .cout = 3, .depthwise = true });
    return net;
}

static struct fixed_net *pool_net(void)
{
    struct fixed_net *net = fx_new((struct fx_shape){ 4, 4, 3, 4, false }, (struct fx_shape){ 2, 2, 3, 4, false });
    net->layer[1].kind = FIXED_MAXPOOL;
    net->layer[1].n_term = 1;
    net->layer[1].term[0] = (struct fixed_term){ .edge = 1, .kh = 2, .kw = 2, .stride = 2 };
    return net;
}

/* One change to a good network, and what the refusal says. */
#define REFUSE(net_expr, change, part)                                                                       \
    do {                                                                                                     \
        struct fixed_net *net = net_expr;                                                                    \
        struct fixed_layer *l = &net->layer[1];                                                              \
        struct fixed_term *t = &l->term[0];                                                                  \
        (void)l, (void)t;                                                                                    \
        assert_ok(fixed_check(net));                                                                         \
        change;                                                                                              \
        assert_error(fixed_check(net), BASE_INPUT, part);                                                    \
        fixed_net_free(net);                                                                                 \
    } while (0)
#define REFUSE_LAYER(change, part) REFUSE(good_net(), change, "layer 'tested': " part)

static void refuse_net(void **state)
{
    (void)state;
    REFUSE(good_net(), net->n_layer = 0, "network 'hand': 3 maps, 0 layers");
    REFUSE(good_net(), net->n_edge = 0, "network 'hand': 0 maps");
    REFUSE(good_net(), net->classes = 0, "0 classes");
    REFUSE(good_net(), net->edge[1].name = NULL, "map 1 has no name");
    REFUSE(good_net(), net->edge[1].h = 0, "map 'in': a size of 0 x 4 x 3");
    REFUSE(good_net(), net->edge[1].c = 65536, "map 'in': a size of");
    REFUSE(good_net(), (net->edge[1].h = 65535, net->edge[1].w = 65535), "map 'in': a size of");
    REFUSE(good_net(), net->edge[1].bits = 0, "map 'in': 0 bits");
    REFUSE(good_net(), net->edge[2].bits = 9, "map 'out': 9 bits");
    REFUSE(good_net(), net->edge[2].bits = 1, "map 'out': signed codes need at least 2 bits");
    REFUSE(good_net(), net->edge[0].bits = 7, "map 'image': the image must have unsigned 8-bit");
    REFUSE(good_net(), net->edge[0].is_signed = true, "map 'image': the image must have unsigned 8-bit");
    REFUSE(good_net(), net->edge[1].pad = (const uint8_t[3]){ 0 }, "map 'in': only the image");
}

static void refuse_pad_channels(void **state)
{
    (void)state;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 17, 8, false }, (struct fx_shape){ 1, 1, 1, 0, false });
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1 });
    assert_ok(fixed_check(net));
    net->edge[0].pad = (const uint8_t[17]){ 0 };
    assert_error(fixed_check(net), BASE_INPUT, "map 'image': padding values for 17 channels; at most 16");
    fixed_net_free(net);
}

static void refuse_layer(void **state)
{
    (void)state;
    REFUSE(good_net(), l->name = NULL, "layer 1 has no name");
    REFUSE_LAYER(l->kind = (enum fixed_kind)7, "there is no kind 7");
    REFUSE_LAYER(l->h = 0, "an output of 0 x 4 x 5");
    REFUSE_LAYER(l->out = -1, "only the last layer may write the logits");
    REFUSE_LAYER(l->out = 0, "writes map 0; maps 1 to 2");
    REFUSE_LAYER(l->out = 3, "writes map 3; maps 1 to 2");
    REFUSE_LAYER(l->out = -2, "writes map -2");
    REFUSE_LAYER(l->out = 1, "map 'in' is written already");
    REFUSE_LAYER(l->w = 3, "its output is 4 x 3 x 5, map 'out' is 4 x 4 x 5");
    REFUSE(good_net(), net->n_layer = 2, "layer 'tested': the last layer must write the logits");
    REFUSE(good_net(), net->classes = 2, "layer 'last': 1 logits for 2 classes");
    REFUSE(good_net(), net->layer[2].h = 2, "layer 'last': the logits must be 1 x 1, not 2 x 1");
    REFUSE(good_net(), net->layer[2].kind = FIXED_MAXPOOL, "layer 'last': a max pooling cannot write the logits");
    REFUSE(good_net(), (net->layer[1].term[0].edge = 1, net->layer[2].term[0].edge = 1, net->layer[2].term[0].cin = 3, l->out = 2, net->n_edge = 4,
                        net->edge = memcpy(BASE_ARENA_NEW_N(net->arena, struct fixed_edge, 4), net->edge, 3 * sizeof *net->edge),
                        net->edge[3] = net->edge[2], net->edge[3].name = "orphan"), "map 'orphan': no layer writes it");
}

static void refuse_term(void **state)
{
    (void)state;
    REFUSE_LAYER(l->n_term = 0, "0 terms; use 1 to 8");
    REFUSE_LAYER(l->n_term = 9, "9 terms");
    REFUSE_LAYER(t->edge = 2, "reads map 2, which no layer before it writes");
    REFUSE_LAYER(t->edge = -1, "reads map -1");
    REFUSE_LAYER(t->edge = 3, "reads map 3");
    REFUSE_LAYER(t->stride = 0, "a stride of 0");
    REFUSE_LAYER(t->stride = INT32_MAX, "a stride of");
    REFUSE_LAYER(t->stride = 2, "windows of 3 x 3, stride 2, padding 1 and 1, do not make 4 x 4 of map 'in', 4 x 4");
    REFUSE_LAYER(t->kh = 0, "windows of 0 x 3");
    REFUSE_LAYER(t->kw = 65536, "windows of 3 x 65536");
    REFUSE_LAYER(t->pad_t = -1, "windows of");
    REFUSE_LAYER(t->pad_l = 4, "windows of");
    REFUSE_LAYER(l->term[1].chan = -1, "a term adds to channels -1 to 1 of 5");
    REFUSE_LAYER(l->term[1].chan = 3, "a term adds to channels 3 to 5 of 5");
    REFUSE_LAYER(l->term[1].cout = 0, "a term adds to channels");
    REFUSE_LAYER(t->cout = INT32_MAX, "a term adds to channels");
    REFUSE_LAYER(t->cin = 2, "a term reads 2 channels for each output; map 'in' gives 3");
    REFUSE_LAYER(l->term[1].cin = 3, "a term reads 3 channels for each output; map 'in' gives 1");
    REFUSE_LAYER((l->term[1].chan = 0, l->term[1].cout = 4), "a depthwise term of 4 channels reads map 'in' of 3");
    REFUSE_LAYER((t->kh = t->kw = 60000, t->pad_t = t->pad_l = 30000), "a term of 5 x 60000 x 60000 x 3 weights is too large");
    REFUSE_LAYER(t->n_plane = 0, "0 weight planes; use 1 to 15");
    REFUSE_LAYER(t->n_plane = 16, "16 weight planes");
    REFUSE_LAYER(t->w_bits = 0, "weights of 0 bits");
    REFUSE_LAYER(t->w_bits = 9, "weights of 9 bits");
    REFUSE_LAYER(t->code = NULL, "a term has no weights");
    REFUSE_LAYER(t->coef = NULL, "a term has no weights or no coefficients");
    REFUSE_LAYER(t->code[134] = 8, "weight 134 has code 8, which 3 planes do not hold");
    REFUSE_LAYER(t->coef[11] = 1 << 17, "coefficient 131072 does not lie between");
    REFUSE_LAYER(t->coef[0] = -(1 << 17), "coefficient -131072");
}

static void refuse_scale(void **state)
{
    (void)state;
    REFUSE_LAYER(l->m = NULL, "has no multipliers");
    REFUSE_LAYER(l->b = NULL, "has no multipliers or no addends");
    REFUSE_LAYER(l->s = 0, "a shift of 0; use 1 to 40");
    REFUSE_LAYER(l->s = 41, "a shift of 41");
    REFUSE_LAYER(l->f = -1, "-1 fraction bits");
    REFUSE_LAYER(l->f = 31, "31 fraction bits");
    REFUSE_LAYER(l->m[4] = -1, "multiplier -1 of channel 4");
    REFUSE_LAYER(l->m[4] = 1 << 17, "multiplier 131072 of channel 4");
    REFUSE_LAYER(l->b[3] = 1ll << 47, "addend 140737488355328 of channel 3");
    REFUSE_LAYER(l->b[3] = -(1ll << 47), "addend -140737488355328 of channel 3");
    REFUSE_LAYER(l->lo = -9, "clamps to -9..7; map 'out' holds -8..7");
    REFUSE_LAYER(l->hi = 8, "clamps to -8..8");
    REFUSE_LAYER((l->lo = 3, l->hi = 2), "clamps to 3..2");
    REFUSE(good_net(), net->layer[2].lo = 0, "layer 'last': logits are not clamped");
}

static void refuse_pool(void **state)
{
    (void)state;
    REFUSE(pool_net(), net->layer[1].term[0].edge = 2, "layer 'tested': reads map 2");
    REFUSE(pool_net(), net->layer[1].term[0].pad_l = 3, "layer 'tested': windows of 2 x 2");
    REFUSE(pool_net(), net->edge[2].bits = 3, "layer 'tested': max pooling picks codes");
    REFUSE(pool_net(), net->edge[2].is_signed = true, "layer 'tested': max pooling picks codes");
    REFUSE(pool_net(), (net->edge[2].c = net->layer[1].c = net->layer[2].term[0].cin = 2), "layer 'tested': max pooling picks codes");
}

/* The widest sum that int32 holds is accepted, one more is refused. */
static void sum_limit(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 1, 1, false }, (struct fx_shape){ 1, 1, 1, 0, false });
        struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1 });
        enum { TAPS = 16385 };                        /* 16384 weights of 131071 and one that fills up */
        t->kw = TAPS;
        net->edge[0].w = net->edge[1].w = net->layer[0].w = TAPS;
        t->code = BASE_ARENA_NEW_N(net->arena, uint16_t, TAPS);
        t->n_plane = 2;
        t->coef = BASE_ARENA_NEW_N(net->arena, int32_t, 2);
        for (int i = 0; i < TAPS; i++)
            t->code[i] = i < TAPS - 1 ? 1 : 2;
        int64_t lo, hi, limit = sign > 0 ? INT32_MAX : -(int64_t)INT32_MIN;
        t->coef[0] = sign * 131071;
        t->coef[1] = (int32_t)(sign * (limit - 16384ll * 131071));
        fixed_acc_range(net, 1, 0, &lo, &hi);
        assert_true(sign > 0 ? hi == limit && lo == 0 : lo == -limit && hi == 0);
        assert_ok(fixed_check(net));
        t->coef[1] += sign;
        assert_error(fixed_check(net), BASE_INPUT, "layer 'tested': the sum of channel 0 can reach");
        fixed_net_free(net);
    }
}

/* ---- ranges ------------------------------------------------------------------------------- */

/* Every image of codes: the extreme sums are those of fixed_acc_range. */
static void brute_force(const struct fixed_net *net, int cells)
{
    const struct fixed_edge *e = &net->edge[1];
    int levels = 1 << e->bits, total = 1;
    int64_t least[4], most[4];
    for (int i = 0; i < cells; i++)
        total *= levels;
    for (int at = 0; at < total; at++) {
        int16_t codes[8], *const maps[] = { codes, codes };
        int32_t out[4];
        for (int i = 0, rest = at; i < cells; i++, rest /= levels)
            codes[i] = (int16_t)(rest % levels - (e->is_signed ? levels / 2 : 0));
        assert_ok(qref_layer(net, 1, maps, out));
        for (int o = 0; o < net->classes; o++) {
            least[o] = at ? BASE_MIN(least[o], out[o]) : out[o];
            most[o] = at ? BASE_MAX(most[o], out[o]) : out[o];
        }
    }
    for (int o = 0; o < net->classes; o++) {
        int64_t lo, hi;
        fixed_acc_range(net, 1, o, &lo, &hi);
        assert_int_equal(lo, BASE_MIN(least[o], 0));
        assert_int_equal(hi, BASE_MAX(most[o], 0));
    }
}

static void ranges(void **state)
{
    (void)state;
    struct base_rng r;
    base_rng_seed(&r, 1);
    for (int i = 0; i < 300; i++) {
        int cells = 1 + (int)base_rng_below(&r, 3), bits = 1 + (int)base_rng_below(&r, 3);
        struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, cells, bits, bits > 1 && i % 2 }, (struct fx_shape){ 1, 1, 2, 0, false });
        int weights[6];
        for (int k = 0; k < 6; k++)
            weights[k] = (int)base_rng_below(&r, 16) - 8;
        struct fixed_term *t = fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 2, .w_bits = 1 + i % 4, .f = i % 3, .weight = weights });
        if (i % 5 == 0) {                             /* any coefficients, its own for each channel; many planes */
            t->n_plane = i % 2 ? 12 : 3;
            t->coef_shared = false;
            t->coef = BASE_ARENA_NEW_N(net->arena, int32_t, 2 * t->n_plane * bits);
            for (int k = 0; k < 2 * t->n_plane * bits; k++)
                t->coef[k] = (int32_t)base_rng_below(&r, 4001) - 2000;
            for (int k = 0; k < 2 * cells; k++)
                t->code[k] = (uint16_t)base_rng_below(&r, 1u << t->n_plane);
        }
        assert_ok(fixed_check(net));
        brute_force(net, cells);
        fixed_net_free(net);
    }
}

/* docs/numerics.md, example 1: -21..7; the terms of a channel add up, others do not count. */
static void range_by_hand(void **state)
{
    (void)state;
    int64_t lo, hi;
    struct fixed_net *net = fx_new((struct fx_shape){ 1, 1, 3, 3, false }, (struct fx_shape){ 1, 1, 2, 0, false });
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .w_bits = 2, .weight = FX_CODES(-2, 1, -1) });
    fixed_acc_range(net, 1, 0, &lo, &hi);
    assert_true(lo == -21 && hi == 7);
    fixed_acc_range(net, 1, 1, &lo, &hi);
    assert_true(lo == 0 && hi == 0);
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 2, .depthwise = true });
    fixed_acc_range(net, 1, 0, &lo, &hi);
    assert_true(lo == -21 && hi == 14);
    fixed_acc_range(net, 1, 1, &lo, &hi);
    assert_true(lo == 0 && hi == 7);
    fixed_net_free(net);
}

/* ---- measures -------------------------------------------------------------------------------- */

static void measures(void **state)
{
    (void)state;
    struct fixed_net *net = good_net();
    assert_int_equal(fixed_macs(net, 0), 0);               /* identity */
    assert_int_equal(fixed_macs(net, 1), 4 * 4 * 5 * 27);  /* not the identity term */
    assert_int_equal(fixed_macs(net, 2), 4 * 4 * 5);
    assert_int_equal(fixed_macs(net, -1), 4 * 4 * 5 * 28);
    for (int i = 0; i < 135; i++)
        assert_int_equal(fixed_weight(net, 1, 0, i), i % 8 - 4);
    assert_int_equal(fixed_weight(net, 1, 1, 2), 1);
    fixed_net_free(net);
    net = pool_net();
    assert_int_equal(fixed_macs(net, 1), 0);
    fixed_net_free(net);
    net = fx_new((struct fx_shape){ 1, 1, 3, 2, true }, (struct fx_shape){ 1, 1, 1, 0, false });
    fx_add(net, 1, (struct fx_term){ .edge = 1, .kh = 1, .kw = 1, .cout = 1, .w_bits = 1, .f = 5, .weight = FX_CODES(1, -1, 1) });
    assert_int_equal(fixed_weight(net, 1, 0, 0), 1);
    assert_int_equal(fixed_weight(net, 1, 0, 1), -1);
    fixed_net_free(net);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static int make_net(struct fixed_net **net)
{
    *net = fixed_net_new("n", 3, 4);
    return *net ? BASE_OK : BASE_NOMEM;
}

static int make_random(struct fixed_net **net, uint64_t seed)
{
    *net = fixed_random_net(seed, NULL);
    return *net ? BASE_OK : BASE_NOMEM;
}

static void no_memory(void **state)
{
    (void)state;
    struct fixed_net *net;
    assert_survives_nomem(make_net(&net), fixed_net_free(net));
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_survives_nomem(make_random(&net, seed), fixed_net_free(net));
    net = good_net();
    assert_survives_nomem(fixed_check(net), (void)0);
    fixed_net_free(net);
    fixed_net_free(NULL);
}

/* ---- random networks ------------------------------------------------------------------------- */

/* What a network holds, to see that every kind turns up. */
enum { HAS_POOL, HAS_PAD, HAS_SIGNED, HAS_ONE_BIT, HAS_RATIO, HAS_DEPTHWISE, HAS_CHAN, HAS_WIDE, HAS_STRIDE,
       HAS_LARGE, HAS_MANY_PLANES, HAS_HIDDEN_DENSE, N_HAS };

static unsigned features(const struct fixed_net *net)
{
    unsigned f = net->edge[0].pad ? 1u << HAS_PAD : 0;
    for (int i = 1; i < net->n_edge; i++)
        f |= net->edge[i].is_signed ? 1u << HAS_SIGNED : 0;
    for (int i = 0; i < net->n_layer; i++) {
        const struct fixed_layer *l = &net->layer[i];
        f |= l->kind == FIXED_MAXPOOL ? 1u << HAS_POOL : 0;
        for (int k = 0; l->kind == FIXED_MAC && k < l->n_term; k++) {
            const struct fixed_term *t = &l->term[k];
            f |= (unsigned)(t->w_bits == 1 && t->n_plane == 2) << HAS_ONE_BIT | (unsigned)!t->coef_shared << HAS_RATIO |
                 (unsigned)(t->depthwise && t->n_plane > 1) << HAS_DEPTHWISE | (unsigned)(t->chan > 0) << HAS_CHAN |
                 (unsigned)(l->n_term > 2) << HAS_WIDE | (unsigned)(t->stride == 2) << HAS_STRIDE | (unsigned)(t->kh > 5 && t->pad_t) << HAS_LARGE |
                 (unsigned)(t->n_plane > 8) << HAS_MANY_PLANES | (unsigned)(l->out > 0 && !t->depthwise && l->h == 1 && t->kh > 1) << HAS_HIDDEN_DENSE;
        }
    }
    return f;
}

static void random_kinds(void **state)
{
    (void)state;
    int seen[N_HAS] = { 0 };
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct fixed_net *net = fixed_random_net(seed, NULL);
        assert_non_null(net);
        assert_string_equal(base_error(), "");
        assert_ok(fixed_check(net));
        unsigned f = features(net);
        for (int i = 0; i < N_HAS; i++)
            seen[i] += f >> i & 1;
        fixed_net_free(net);
    }
    for (int i = 0; i < N_HAS; i++)
        if (seen[i] < 5)
            fail_msg("feature %d is in %d of 300 networks", i, seen[i]);
}

static void random_limits(void **state)
{
    (void)state;
    const struct fixed_random limits = { .max_layers = 2, .max_size = 5, .max_channels = 7, .w_bits = 3, .a_bits = 5 };
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fixed_net *net = fixed_random_net(seed, &limits);
        assert_non_null(net);
        assert_in_range(net->n_layer, 1, 5);
        assert_in_range(net->edge[0].h, 1, 5);
        assert_in_range(net->edge[0].w, 1, 5);
        for (int i = 1; i < net->n_edge; i++)
            assert_true(net->edge[i].bits == 5 || net->edge[i].bits == 8);   /* 8: a pooled image */
        for (int i = 0; i < net->n_layer; i++)
            for (int k = 0; net->layer[i].kind == FIXED_MAC && k < net->layer[i].n_term; k++)
                assert_true(net->layer[i].term[k].w_bits == 3 || net->layer[i].term[k].n_plane == 1);
        fixed_net_free(net);
    }
}

/* A seed is a network: the same on every call. */
static void random_repeats(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct fixed_net *a = fixed_random_net(seed, NULL), *b = fixed_random_net(seed, NULL);
        assert_int_equal(a->n_layer, b->n_layer);
        for (int i = 0; i < a->n_layer; i++) {
            const struct fixed_layer *x = &a->layer[i], *y = &b->layer[i];
            assert_true(x->h == y->h && x->w == y->w && x->c == y->c && x->s == y->s && x->n_term == y->n_term);
            if (x->kind == FIXED_MAXPOOL)
                continue;
            assert_memory_equal(x->m, y->m, sizeof *x->m * (size_t)x->c);
            for (int k = 0; k < x->n_term; k++)
                assert_memory_equal(x->term[k].code, y->term[k].code, sizeof(uint16_t) * (size_t)x->term[k].cout * (size_t)x->term[k].kh);
        }
        fixed_net_free(a);
        fixed_net_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuse_net), cmocka_unit_test(refuse_pad_channels), cmocka_unit_test(refuse_layer), cmocka_unit_test(refuse_term),
        cmocka_unit_test(refuse_scale), cmocka_unit_test(refuse_pool), cmocka_unit_test(sum_limit), cmocka_unit_test(ranges),
        cmocka_unit_test(range_by_hand), cmocka_unit_test(measures), cmocka_unit_test(no_memory), cmocka_unit_test(random_kinds),
        cmocka_unit_test(random_limits), cmocka_unit_test(random_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
