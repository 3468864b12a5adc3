/* accel: choices, limits and refusals of the compiler; hostile images. */
#define _GNU_SOURCE
#include "unit.h"

#include "accel/accel.h"

static struct hw board(void)
{
    struct hw hw;
    assert_ok(hw_load(&hw, "pynq-z2"));
    return hw;
}

static uint32_t bits(uint64_t w, int hi, int lo)
{
    return (uint32_t)(w >> lo & ((2ull << (hi - lo)) - 1));
}

/* ---- small networks by hand ---------------------------------------------------- */

static void add_weights(struct fixed_net *net, struct fixed_term *t, int n_plane)
{
    int act = net->edge[t->edge].bits;
    int64_t n = (int64_t)t->cout * t->kh * t->kw * t->cin;
    t->n_plane = t->w_bits = n_plane;
    t->code = BASE_ARENA_NEW_N(net->arena, uint16_t, n);
    for (int64_t i = 0; i < n; i++)
        t->code[i] = (uint16_t)((uint64_t)i * 2654435761u >> 7 & ((1u << n_plane) - 1));
    t->coef_shared = true;
    t->coef = BASE_ARENA_NEW_N(net->arena, int32_t, n_plane * act);
    for (int p = 0; p < n_plane; p++)
        for (int j = 0; j < act; j++)
            t->coef[p * act + j] = (p == n_plane - 1 && p ? -1 : 1) * (1 << (p + j));
}

/* image h x w x c -> conv k x k (same size) to `mid` channels -> dense to 10. */
static struct fixed_net *two_layers(int size, int c, int k, int w_bits, int mid)
{
    struct fixed_net *net = fixed_net_new("two", 2, 2);
    net->classes = 10;
    net->logit_scale = 1;
    net->edge[0] = (struct fixed_edge){ .name = "image", .h = size, .w = size, .c = c, .bits = 8, .scale = 1 };
    net->edge[1] = (struct fixed_edge){ .name = "mid", .h = size, .w = size, .c = mid, .bits = 4, .scale = 1 };
    for (int i = 0; i < 2; i++) {
        struct fixed_layer *l = &net->layer[i];
        const struct fixed_edge *e = &net->edge[i];
        *l = (struct fixed_layer){ .name = i ? "dense" : "conv", .out = i ? -1 : 1, .h = i ? 1 : size, .w = i ? 1 : size,
                                   .c = i ? 10 : mid, .n_term = 1, .s = 8, .lo = i ? INT32_MIN : 0, .hi = i ? INT32_MAX : 15 };
        l->term[0] = (struct fixed_term){ .edge = i, .kh = i ? size : k, .kw = i ? size : k, .stride = 1, .pad_t = i ? 0 : k / 2,
                                          .pad_l = i ? 0 : k / 2, .cout = l->c, .cin = e->c };
        add_weights(net, &l->term[0], w_bits);
        l->m = BASE_ARENA_NEW_N(net->arena, int32_t, l->c);
        l->b = BASE_ARENA_NEW_N(net->arena, int64_t, l->c);
        for (int o = 0; o < l->c; o++)
            l->m[o] = 3, l->b[o] = 128;
    }
    return net;
}

/* A map of signed codes has a plane apart: it is never paired. */
static struct fixed_net *with_sign(struct fixed_net *net)
{
    struct fixed_term *t = &net->layer[1].term[0];
    net->edge[1].is_signed = true;
    net->layer[0].lo = -8, net->layer[0].hi = 7;
    for (int p = 0; p < t->n_plane; p++)
        t->coef[4 * p + 3] *= -1;
    return net;
}

static struct accel_program *compiled(struct fixed_net *net)
{
    struct hw hw = board();
    struct accel_program *p;
    assert_ok(accel_compile(&p, net, &hw));
    fixed_net_free(net);
    return p;
}

static int input_pack(const struct accel_program *p)
{
    const uint64_t *layer = p->image + 8 + 2 * bits(p->image[2], 31, 16);
    return (int)bits(layer[1], 31, 16);
}

static const uint64_t *first_kword(const struct accel_program *p)
{
    return p->image + 8 + 2 * bits(p->image[2], 31, 16) + 4 * bits(p->image[2], 15, 0);
}

/* ---- tests ------------------------------------------------------------------------ */

static void test_pack(void **state)
{
    (void)state;
    static const struct { int channels, pack; } want[] = { { 1, 8 }, { 2, 8 }, { 3, 4 }, { 4, 4 }, { 5, 2 }, { 8, 2 }, { 9, 1 }, { 16, 1 } };
    for (int i = 0; i < BASE_COUNT(want); i++) {
        struct accel_program *p = compiled(two_layers(6, want[i].channels, 3, 3, 8));
        assert_int_equal(input_pack(p), want[i].pack);
        assert_int_equal(bits(first_kword(p)[0], 23, 16), 3 + want[i].pack - 1);
        accel_program_free(p);
    }
    struct fixed_net *net = two_layers(6, 1, 3, 3, 8);    /* coefficients that are no value x 2^j */
    net->layer[0].term[0].coef[3] += 1;
    struct accel_program *p = compiled(net);
    assert_int_equal(input_pack(p), 1);
    accel_program_free(p);
}

static void test_tables(void **state)
{
    (void)state;
    struct hw hw = board();
    struct accel_program *p = compiled(two_layers(6, 3, 5, 2, 20));
    assert_int_equal(p->image[0] & 0xffffffffu, PROGRAM_MAGIC);
    assert_int_equal(bits(p->image[5], 31, 0), p->image_words);
    assert_int_equal(p->weight_words64, (size_t)p->weight_words * 36);
    assert_int_equal(p->input_bytes, 6 * 6 * 3);
    assert_int_equal(p->output_bytes, 40);
    assert_int_equal(p->kwords, 2 * 4 + 2 * 4);    /* 2 filter groups x 4 pieces; 2 groups x 4 pieces */
    assert_int_equal(p->scale_words, 2 + 1);
    assert_int_equal(p->act_words, 2 * 2 + 2 * 8);   /* 2 rows a bank: a block of 2 planes, a block of 2 groups x 4 planes */
    assert_int_equal(p->coef_words, 2 * 5 + 4 * 2);    /* one block a layer */
    assert_int_equal(p->n_layer, 3);
    assert_string_equal(p->layer[0].name, "input");
    assert_int_equal(p->layer[0].fixed_layer, -1);
    assert_int_equal(p->layer[1].macs, 6 * 6 * 20 * 75);
    assert_int_equal(p->layer[1].ideal_cycles, (6 * 6 * 20 * 75 * 2 * 8 + 18431) / 18432);
    assert_int_equal(p->layer[2].a_bits, 4);
    assert_int_equal(accel_decode_check(&hw, p->image, p->image_words), PROGRAM_OK);
    accel_program_free(p);
}

static void test_pruned(void **state)
{
    (void)state;
    struct fixed_net *net = two_layers(6, 3, 3, 4, 32);
    struct fixed_term *t = &net->layer[0].term[0];
    memset(t->code, 0, 16 * 27 * sizeof *t->code);         /* the first filter group is gone */
    for (int i = 16 * 27; i < 32 * 27; i++)
        t->code[i] &= 0xd;                                 /* the second lacks plane 1 */
    struct accel_program *p = compiled(net);
    const uint64_t *k = first_kword(p);
    assert_int_equal(bits(k[0], 23, 16), 1);
    assert_true(bits(k[0], 15, 8) & PROGRAM_KW_LAST);
    for (int i = 0; i < 36; i++)
        assert_true(p->weights[bits(k[1], 15, 0) * 36 + (uint32_t)i] == 0);
    accel_program_free(p);
}

/* 4-bit weights of which a filter group needs 2: its sign and the bits that repeat it are one plane. */
static void test_narrow(void **state)
{
    (void)state;
    struct fixed_net *net = two_layers(6, 3, 3, 4, 32);
    struct fixed_term *t = &net->layer[1].term[0];
    int64_t row = (int64_t)t->kh * t->kw * t->cin, n = t->cout * row;
    for (int64_t i = 0; i < n; i++)
        t->code[i] = (uint16_t)((i & 3) < 2 ? i & 1 : 14 | (i & 1));
    struct accel_program *p = compiled(net);
    const struct accel_layer_info *l = &p->layer[2];
    assert_int_equal(l->listed_planes * 4, l->dense_planes * 2);
    const uint64_t *k = first_kword(p) + PROGRAM_KWORD_WORDS * (p->kwords - 1);
    assert_int_equal(bits(k[0], 23, 16), 2);
    accel_program_free(p);
}

static void test_group_mode(void **state)
{
    (void)state;
    struct accel_program *p = compiled(two_layers(1, 16, 1, 2, 160));
    const uint64_t *k = first_kword(p) + 2 * 10;           /* the dense layer: 10 groups of one pixel */
    assert_int_equal(p->kwords, 10 + 2);
    assert_true(bits(k[0], 15, 8) & PROGRAM_KW_GROUP);
    assert_int_equal(bits(k[0], 31, 24), 3);
    assert_int_equal(bits(k[2], 31, 24), 1);
    assert_int_equal(bits(k[2], 47, 32), 9);
    accel_program_free(p);
}

/* A dense layer of 32 inputs leaves seven of nine taps empty: activation planes 0 and 1 take one window, 2 and 3 the other. */
static void test_next(void **state)
{
    (void)state;
    struct accel_program *p = compiled(two_layers(1, 16, 1, 5, 32));
    const uint64_t *k = first_kword(p) + PROGRAM_KWORD_WORDS * (p->kwords - 1);
    assert_int_equal(bits(p->image[0], 63, 48), 5);
    assert_int_equal(bits(k[0], 15, 8), PROGRAM_KW_GROUP | PROGRAM_KW_REPEAT | PROGRAM_KW_NEXT | PROGRAM_KW_LAST);
    assert_int_equal(bits(k[0], 23, 16), 5);
    assert_int_equal(p->layer[2].listed_planes, 5);
    const uint64_t *w = p->weights + (size_t)bits(k[1], 15, 0) * 36;
    assert_int_equal(w[0] & 0xffffffff, (w[0] >> 48 | w[1] << 16) & 0xffffffff);        /* row 0: taps 0 and 1, 3 and 4, 6 and 7 are one plane */
    assert_int_equal(w[0] & 0xffffffff, w[1] >> 32);
    accel_program_free(p);
    struct fixed_net *net = two_layers(1, 16, 1, 5, 32);                /* a coefficient that is not twice the one before */
    net->layer[1].term[0].coef[4 * 2 + 1]++;
    p = compiled(net);
    k = first_kword(p) + PROGRAM_KWORD_WORDS * (p->kwords - 1);
    assert_false(bits(k[0], 15, 8) & PROGRAM_KW_NEXT);
    accel_program_free(p);
}

/* The sign of activations stays alone; planes 0 and 1 of 5-bit weights are one word, 2 and 3, and the sign. */
static void test_folded(void **state)
{
    (void)state;
    struct accel_program *p = compiled(with_sign(two_layers(1, 16, 1, 5, 16)));
    const uint64_t *k = first_kword(p) + PROGRAM_KWORD_WORDS * (p->kwords - 1);
    assert_int_equal(p->kwords, 2);
    assert_int_equal(bits(k[0], 15, 8), PROGRAM_KW_GROUP | PROGRAM_KW_REPEAT | PROGRAM_KW_LAST);
    assert_int_equal(bits(k[0], 23, 16), 3);
    assert_int_equal(bits(k[0], 31, 24), 1);
    assert_int_equal(p->layer[2].listed_planes, 5);
    const uint64_t *w = p->weights + (size_t)bits(k[1], 15, 0) * 36;
    assert_int_equal(w[0] >> 48 & 0xffff, w[1] >> 32 & 0xffff);        /* row 0: taps 3 and 6 are one plane */
    accel_program_free(p);
    p = compiled(two_layers(1, 16, 1, 5, 64));                          /* four groups: plane by plane */
    k = first_kword(p) + PROGRAM_KWORD_WORDS * (p->kwords - 1);
    assert_int_equal(bits(k[0], 15, 8), PROGRAM_KW_GROUP | PROGRAM_KW_LAST);
    assert_int_equal(bits(k[0], 23, 16), 5);
    accel_program_free(p);
}

/* image 16 x 16 x 16 -> 1 x 1 conv to `mid` channels, of 4 bits -> k x k conv to 16 -> dense to 10; 5-bit weights. */
static struct fixed_net *three_layers(int mid, int k)
{
    enum { SIZE = 16, N = 3 };
    const int c[N + 1] = { 16, mid, 16, 10 }, kernel[N] = { 1, k, SIZE };
    static const char *const name[N] = { "conv", "middle", "dense" };
    struct fixed_net *net = fixed_net_new("three", N, N);
    net->classes = 10;
    net->logit_scale = 1;
    for (int i = 0; i < N; i++) {
        struct fixed_layer *l = &net->layer[i];
        bool last = i == N - 1;
        int pad = last ? 0 : kernel[i] / 2, size = last ? 1 : SIZE;
        net->edge[i] = (struct fixed_edge){ .name = name[i], .h = SIZE, .w = SIZE, .c = c[i], .bits = i ? 4 : 8, .scale = 1 };
        *l = (struct fixed_layer){ .name = name[i], .out = last ? -1 : i + 1, .h = size, .w = size, .c = c[i + 1], .n_term = 1, .s = 8,
                                   .lo = last ? INT32_MIN : 0, .hi = last ? INT32_MAX : 15 };
        l->term[0] = (struct fixed_term){ .edge = i, .kh = kernel[i], .kw = kernel[i], .stride = 1, .pad_t = pad, .pad_l = pad, .cout = c[i + 1], .cin = c[i] };
        add_weights(net, &l->term[0], 5);
        l->m = BASE_ARENA_NEW_N(net->arena, int32_t, l->c);
        l->b = BASE_ARENA_NEW_N(net->arena, int64_t, l->c);
        for (int o = 0; o < l->c; o++)
            l->m[o] = 3, l->b[o] = 128;
    }
    return net;
}

/* The first layer cannot take two planes of the image at a time: one coefficient is not twice the one before. */
static struct fixed_net *plane_by_plane(struct fixed_net *net)
{
    net->layer[0].term[0].coef[1]++;
    return net;
}

/* Two planes of eight channels in a word, where the middle layer then takes fewer cycles: 16 channels and 1 x 1: planes 0 + 1, 2 + 3, 4 and the
 * sign of numbers of 6 bits, 4 cycles for 2 words, which were 3 for 4. */
static void test_paired(void **state)
{
    (void)state;
    static const struct { int mid, k, planes, paired; } want[] = {
        { 8, 1, 4, true }, { 8, 3, 6, true }, { 16, 1, 4, true }, { 64, 1, 6, true }, { 16, 3, 5, false }, { 144, 1, 5, false },
    };
    for (int i = 0; i < BASE_COUNT(want); i++) {
        struct accel_program *p = compiled(plane_by_plane(three_layers(want[i].mid, want[i].k)));
        const uint64_t *k = first_kword(p);
        while (bits(k[0], 7, 0) == 0)                      /* of the image */
            k += PROGRAM_KWORD_WORDS;
        const uint64_t *map = p->image + 8 + 2 * bits(k[0], 7, 0);
        assert_int_equal(map[0] >> 63, want[i].paired);
        assert_int_equal(bits(map[0], 51, 48), want[i].paired ? 2 : 4);
        assert_int_equal(bits(map[1], 47, 32), want[i].mid / (want[i].paired ? 8 : 16));
        assert_int_equal(bits(p->image[0], 63, 48), want[i].paired ? 3 : 0);
        assert_int_equal(bits(k[0], 23, 16), want[i].planes);
        accel_program_free(p);
    }
    for (int i = 0; i < 2; i++) {                          /* coefficients that are no value x 2^j; signed codes */
        struct fixed_net *net = plane_by_plane(three_layers(16, 1));
        if (i == 0)
            net->layer[1].term[0].coef[3] += 1;
        else
            with_sign(net);
        struct accel_program *p = compiled(net);
        assert_int_equal(bits(p->image[0], 63, 48), 0);
        accel_program_free(p);
    }
}

static void refuse(struct fixed_net *net, const struct hw *hw, const char *part)
{
    struct accel_program *p;
    assert_error(accel_compile(&p, net, hw), BASE_INPUT, part);
    assert_null(p);
    fixed_net_free(net);
}

static void test_refuse(void **state)
{
    (void)state;
    struct hw hw = board(), small = hw;
    refuse(two_layers(6, 17, 3, 2, 8), &hw, "17 channels");
    struct fixed_net *net = two_layers(8, 1, 3, 2, 8);
    net->layer[0].term[0].stride = 3;
    net->layer[0].h = net->layer[0].w = net->edge[1].h = net->edge[1].w = 3;
    net->layer[1].term[0].kh = net->layer[1].term[0].kw = 3;
    refuse(net, &hw, "stride 3");
    small.m = 8;
    refuse(two_layers(6, 1, 3, 2, 8), &small, "m = cg = 16");
    small = hw, small.act_depth = 7;
    refuse(two_layers(30, 1, 3, 2, 20), &small, "layer 'dense': activations do not fit");
    small = hw, small.weight_depth = 8;
    refuse(two_layers(12, 1, 3, 2, 20), &small, "layer 'conv': the weight memory of pynq-z2 is too small: one window of 16 output channels needs 9 words, there are 8");
    small = hw, small.coef_depth = 8;
    refuse(two_layers(6, 1, 3, 4, 20), &small, "coefficient memory");
    net = two_layers(6, 1, 5, 2, 1);
    net->layer[0].kind = FIXED_MAXPOOL;
    net->edge[1].bits = 8;
    net->layer[0].term[0].depthwise = true;
    net->layer[1].term[0].n_plane = 0;
    add_weights(net, &net->layer[1].term[0], 2);
    refuse(net, &hw, "max pooling of 5 x 5");
}

static void test_memory(void **state)
{
    (void)state;
    struct hw hw = board();
    struct fixed_net *net = two_layers(6, 3, 3, 2, 20);
    struct accel_program *p;
    assert_survives_nomem(accel_compile(&p, net, &hw), accel_program_free(p));
    fixed_net_free(net);
}

static struct accel_program *compiled_for(struct fixed_net *net, const struct hw *hw)
{
    struct accel_program *p;
    assert_ok(accel_compile(&p, net, hw));
    assert_ok(accel_decode_check(hw, p->image, p->image_words));
    fixed_net_free(net);
    return p;
}

/* A table that is too small makes a stream of what it cannot hold, and of nothing else. */
static void test_stream(void **state)
{
    (void)state;
    const struct hw hw = board();
    struct hw weight = hw, coef = hw, kword = hw, scale = hw, layer = hw;
    weight.weight_depth = 64, coef.coef_depth = 16, kword.kword_depth = 12, scale.scale_depth = 2, layer.layer_depth = 2;
    const struct { const struct hw *hw; int kind; } one[] = {
        { &weight, PROGRAM_WEIGHT }, { &coef, PROGRAM_COEF }, { &kword, PROGRAM_KWORD }, { &scale, PROGRAM_SCALE }, { &layer, PROGRAM_LAYER },
    };
    struct accel_program *all = compiled_for(two_layers(6, 1, 3, 4, 40), &hw);
    assert_int_equal(all->stream_words, 0);
    assert_int_equal(all->image[5] >> 32, 0);
    for (int i = 0; i < BASE_COUNT(one); i++) {
        struct accel_program *p = compiled_for(two_layers(6, 1, 3, 4, 40), one[i].hw);
        int seen[PROGRAM_KINDS] = { 0 };
        const uint64_t *w = p->image + bits(p->image[5], 31, 0), *end = p->image + p->image_words;
        const int words[PROGRAM_KINDS] = { 0, 2, 4, 2, hw.m / 2, 2 * hw.m, hw.m * hw.k / 64 };
        assert_int_equal(end - w, p->stream_words);
        for (; w < end; w += 1 + words[bits(*w, 7, 0)] * (int)bits(*w, 47, 32))
            seen[bits(*w, 7, 0)]++;
        for (int kind = PROGRAM_MAP; kind < PROGRAM_KINDS; kind++)
            assert_int_equal(seen[kind] > 0, kind == one[i].kind);
        assert_int_equal(seen[PROGRAM_END], 1);
        assert_int_equal(p->weight_words, all->weight_words);
        accel_program_free(p);
    }
    struct fixed_net *net = two_layers(6, 1, 3, 4, 40);
    struct accel_program *p;
    struct accel_cycles c;
    weight.kword_depth = 12, weight.coef_depth = 16;
    assert_survives_nomem(accel_compile(&p, net, &weight), accel_program_free(p));
    p = compiled_for(net, &weight);
    assert_survives_nomem(accel_model(&c, &weight, p->image, p->image_words), (void)0);
    /* The image comes before the stream: an INPUT that waits for a block waits for ever. */
    uint64_t *need = p->image + PROGRAM_HEADER_WORDS + 2 * bits(p->image[2], 31, 16) + 3;
    assert_int_equal(accel_decode_check(&weight, p->image, p->image_words), PROGRAM_OK);
    *need |= 1ull << 32;
    assert_int_equal(accel_decode_check(&weight, p->image, p->image_words), PROGRAM_ERR_STREAM);
    accel_program_free(p);
    accel_program_free(all);
}

/* Layer records of the kind PART among the stream's. */
static int parts_of(const struct accel_program *p, const struct hw *hw)
{
    const int words[PROGRAM_KINDS + 1] = { 0, 2, 4, 2, hw->m / 2, 2 * hw->m, hw->m * hw->k / 64, PROGRAM_FILL_WORDS };
    int n = 0;
    const uint64_t *w = p->image + bits(p->image[5], 31, 0), *end = p->image + p->image_words;
    const uint64_t *layer = p->image + 8 + 2 * bits(p->image[2], 31, 16);
    for (int i = 1; i < (int)bits(p->image[2], 15, 0); i++)
        n += bits(layer[4 * i], 15, 8) >> 4 & 1;
    for (; w < end; w += 1 + words[bits(*w, 7, 0)] * (int)bits(*w, 47, 32))
        n += bits(*w, 7, 0) == PROGRAM_LAYER && (bits(w[1], 15, 8) & PROGRAM_LY_PART);
    return n;
}

/* A filter group that a table cannot hold comes in parts of an eighth of the table: of dense layers once, of others for each block of each row. */
static void test_parts(void **state)
{
    (void)state;
    const struct hw hw = board();
    struct hw weight = hw, kword = hw, conv = hw;
    weight.weight_depth = 16;                              /* dense over 12 x 12 x 20: 16 pieces x 2 groups x 2 planes in parts of a K-word */
    kword.kword_depth = 24;                                /* 32 K-words in parts of 3 */
    conv.weight_depth = 7;                                 /* conv 5 x 5: 4 K-words for each of 18 blocks and 2 groups; dense 18 */
    const struct { const struct hw *hw; int size, c, k, w_bits, mid, parts; } one[] = {
        { &weight, 12, 1, 3, 2, 20, 31 }, { &kword, 12, 1, 3, 2, 20, 10 }, { &conv, 9, 16, 5, 2, 20, 18 * 2 * 3 + 17 },
        { &hw, 12, 1, 3, 2, 20, 0 },
    };
    for (int i = 0; i < BASE_COUNT(one); i++) {
        struct accel_program *p = compiled_for(two_layers(one[i].size, one[i].c, one[i].k, one[i].w_bits, one[i].mid), one[i].hw);
        assert_int_equal(parts_of(p, one[i].hw), one[i].parts);
        assert_int_equal(bits(p->image[0], 63, 48), one[i].parts ? 4 : 0);
        accel_program_free(p);
    }
    struct fixed_net *net = two_layers(12, 1, 3, 2, 20);
    struct accel_program *p;
    assert_survives_nomem(accel_compile(&p, net, &weight), accel_program_free(p));
    fixed_net_free(net);
}

/* A window that the banks cannot hold comes in pieces, too: dense over 30 x 30 x 20. Three rows of a channel group are 4 blocks of 4 planes,
 * so 20 pieces of a buffer of 16 words (two where there is room), 10 of two bands in one of 32. */
static void test_pieces(void **state)
{
    (void)state;
    struct hw hw = board();
    static const int want[] = { 19, 19, 9 };
    for (int i = 0; i < 3; i++) {
        hw.act_depth = 16 << i;
        struct accel_program *p = compiled_for(two_layers(30, 1, 3, 2, 20), &hw);
        assert_int_equal(parts_of(p, &hw), want[i]);
        assert_true(p->scratch_bytes > 0);
        accel_program_free(p);
    }
    struct fixed_net *net = two_layers(30, 1, 3, 2, 20);
    struct accel_program *p;
    assert_survives_nomem(accel_compile(&p, net, &hw), accel_program_free(p));
    fixed_net_free(net);
}

/* Any image ends with a code, and a changed header with the right one. */
static void test_hostile(void **state)
{
    (void)state;
    struct hw hw = board();
    struct accel_program *p = compiled(two_layers(6, 3, 5, 2, 20));
    uint64_t *image = base_alloc(p->image_words * 8);
    struct base_rng rng;
    base_rng_seed(&rng, 7);
    int ok = 0, count = 20000;
    for (int i = 0; i < count; i++) {
        memcpy(image, p->image, p->image_words * 8);
        for (uint32_t n = 1 + base_rng_below(&rng, 3); n--;)
            image[base_rng_below(&rng, i & 1 ? 60 : (uint32_t)p->image_words)] ^= 1ull << base_rng_below(&rng, 64);
        int rc = accel_decode_check(&hw, image, p->image_words);
        assert_in_range(rc, PROGRAM_OK, PROGRAM_ERR_STREAM);
        ok += rc == PROGRAM_OK;
        for (size_t w = 2; w < p->image_words && i < 300; w++)
            image[w] = base_rng_u64(&rng);
        assert_in_range(accel_decode_check(&hw, image, p->image_words), PROGRAM_OK, PROGRAM_ERR_STREAM);
    }
    assert_in_range(ok, 1, count - 1);
    const struct { size_t word; uint64_t flip; int code; } one[] = {
        { 0, 1, PROGRAM_ERR_MAGIC }, { 0, 1ull << 32, PROGRAM_ERR_MAGIC }, { 1, 1, PROGRAM_ERR_ARRAY }, { 1, 1ull << 40, PROGRAM_ERR_ARRAY },
        { 2, 1ull << 15, PROGRAM_ERR_SIZE }, { 5, 1, PROGRAM_ERR_SIZE }, { 4, 1ull << 32, PROGRAM_ERR_IO }, { 4, 1, PROGRAM_ERR_IO },
        { 8, 1ull << 15, PROGRAM_ERR_ACT }, { 12, 8, PROGRAM_ERR_OP }, { 12, 1ull << 24, PROGRAM_ERR_MAP },
        { 17, 1ull << 47, PROGRAM_ERR_SCALE }, { 17, 1ull << 31, PROGRAM_ERR_KWORD }, { 24, 1ull << 7, PROGRAM_ERR_MAP },
        { 25, 1ull << 31, PROGRAM_ERR_COEF }, { 25, 1ull << 15, PROGRAM_ERR_WEIGHT },
    };
    for (int i = 0; i < BASE_COUNT(one); i++) {
        memcpy(image, p->image, p->image_words * 8);
        image[one[i].word] ^= one[i].flip;
        if (accel_decode_check(&hw, image, p->image_words) != one[i].code)
            fail_msg("change %d: code %d, not %d", i, accel_decode_check(&hw, image, p->image_words), one[i].code);
    }
    for (size_t n = 0; n < p->image_words; n++) {          /* cut short: copied so that ASan sees the end */
        uint64_t *cut = malloc(n * 8 + 1);
        memcpy(cut, p->image, n * 8);
        assert_int_not_equal(accel_decode_check(&hw, cut, n), PROGRAM_OK);
        free(cut);
    }
    base_free(image);
    accel_program_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack), cmocka_unit_test(test_tables), cmocka_unit_test(test_pruned), cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_group_mode), cmocka_unit_test(test_next), cmocka_unit_test(test_folded), cmocka_unit_test(test_paired), cmocka_unit_test(test_refuse), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_stream), cmocka_unit_test(test_parts), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
