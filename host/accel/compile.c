/* accel: an integer network becomes a program. */
#include "accel/accel_internal.h"

/* ---- what the engine cannot do ---------------------------------------------------- */

static int check_maxpool(const struct fixed_layer *l)
{
    const struct fixed_term *t = &l->term[0];
    if (t->kh > 3 || t->kw > 3) {
        int rc = base_fail(BASE_INPUT, "layer '%s': max pooling of %d x %d is not supported; windows go up to 3 x 3", l->name,
                           t->kh, t->kw);
        return base_hint(rc, "two 3 x 3 poolings of stride 1 make one of 5 x 5");
    }
    if (array_stride(l, t) > 2)
        return base_fail(BASE_INPUT, "layer '%s': max pooling with stride %d is not supported; use 1 or 2", l->name, t->stride);
    return BASE_OK;
}

static int check_input(const struct fixed_edge *in)
{
    if (in->bits != RAW_BITS || in->is_signed)
        return base_fail(BASE_INPUT, "map '%s': the image must have unsigned 8-bit pixels", in->name);
    if (in->c > GROUP)
        return base_fail(BASE_INPUT, "map '%s': an image of %d channels is not supported; the loader takes up to %d", in->name,
                         in->c, GROUP);
    return BASE_OK;
}

static int check_net(const struct fixed_net *net, const struct hw *hw)
{
    if (hw->m != GROUP || hw->cg != GROUP || hw->k != ROW_BITS)
        return base_fail(BASE_INPUT, "board '%s': the compiler makes programs for m = cg = %d only, not m = %d", hw->name, GROUP,
                         hw->m);
    int rc = check_input(&net->edge[0]);
    if (!rc && net->classes > MAX_LOGITS)
        rc = base_fail(BASE_INPUT, "network '%s': %d classes are not supported; the result buffer holds %d", net->name,
                       net->classes, MAX_LOGITS);
    for (int i = 0; !rc && i < net->n_layer; i++)
        if (net->layer[i].kind == FIXED_MAXPOOL)
            rc = check_maxpool(&net->layer[i]);
        else if (net->layer[i].out < 0 && (net->layer[i].h != 1 || net->layer[i].w != 1))
            rc = base_fail(BASE_INPUT, "layer '%s': the logits must be 1 x 1, not %d x %d; pool first", net->layer[i].name,
                           net->layer[i].h, net->layer[i].w);
    return rc;
}

/* ---- tables ------------------------------------------------------------------------ */

static int scratch(struct build *b)
{
    size_t n = (size_t)BASE_MAX(b->net->n_layer, 1), m = (size_t)b->hw->m;
    b->first_kword = BASE_ARENA_NEW_N(b->arena, int, n);
    b->first_scale = BASE_ARENA_NEW_N(b->arena, int, n);
    b->counts = BASE_ARENA_NEW_N(b->arena, struct plane_count, n);
    size_t scales = 1;
    for (int i = 0; i < b->net->n_layer; i++)
        scales += (size_t)ceil_div(b->net->layer[i].c, b->hw->m);
    b->scale_layer = BASE_ARENA_NEW_N(b->arena, int, scales);
    b->words = BASE_ARENA_NEW_N(b->arena, uint64_t, FIXED_MAX_PLANES * m * (size_t)b->hw->k / 64);
    b->coefs = BASE_ARENA_NEW_N(b->arena, int32_t, FIXED_MAX_PLANES * RAW_BITS * m);
    pool_init(&b->weight, m * (size_t)b->hw->k / 8);
    pool_init(&b->coef, m * sizeof(int32_t));
    return b->first_kword && b->first_scale && b->counts && b->scale_layer && b->words && b->coefs ? BASE_OK : BASE_NOMEM;
}

static int add_layers(struct build *b)
{
    int rc = BASE_OK;
    for (int i = 0; !rc && i < b->net->n_layer; i++) {
        const struct fixed_layer *l = &b->net->layer[i];
        if (l->kind != FIXED_MAC)
            continue;
        b->first_kword[i] = b->n_kword;
        b->first_scale[i] = b->n_scale;
        for (int g = ceil_div(l->c, b->hw->m); g > 0; g--)
            b->scale_layer[b->n_scale++] = i;
        rc = accel_kwords(b, i);
    }
    return rc;
}

static void free_build(struct build *b)
{
    pool_free(&b->weight);
    pool_free(&b->coef);
    base_free(b->kword);
    base_free(b->names);
    base_free(b->stream.word);
    base_arena_free(b->arena);
}

/* ---- information ------------------------------------------------------------------- */

static void describe(struct accel_layer_info *info, const struct fixed_net *net, int layer, const struct hw *hw)
{
    const struct fixed_layer *l = &net->layer[layer];
    int64_t binary = 0, macs = hw_binary_macs(hw);
    info->name = l->name;
    info->fixed_layer = layer;
    for (int i = 0; l->kind == FIXED_MAC && i < l->n_term; i++) {
        const struct fixed_term *t = &l->term[i];
        if (!is_weighted(t))
            continue;
        int64_t n = (int64_t)l->h * l->w * t->cout * t->kh * t->kw * t->cin;
        if (info->w_bits == 0) {
            info->w_bits = t->w_bits;
            info->a_bits = net->edge[t->edge].bits;
        }
        info->macs += n;
        binary += n * (t->w_bits == 1 ? 1 : t->n_plane) * net->edge[t->edge].bits;
    }
    info->ideal_cycles = (binary + macs - 1) / macs;
}

static int describe_all(struct accel_program *p, const struct build *b)
{
    const struct fixed_net *net = b->net;
    p->n_layer = net->n_layer + 1;
    p->layer = BASE_ARENA_NEW_N(p->arena, struct accel_layer_info, p->n_layer);
    if (!p->layer)
        return BASE_NOMEM;
    if (p->n_layer > PROGRAM_TIMED_LAYERS) {
        char rest[64];
        snprintf(rest, sizeof rest, "%d more, with the result", p->n_layer - PROGRAM_TIMED_LAYERS);
        p->rest = base_arena_strdup(p->arena, rest);
        if (!p->rest)
            return BASE_NOMEM;
    }
    p->layer[0] = (struct accel_layer_info){ .name = "input", .fixed_layer = -1 };
    for (int i = 0; i < net->n_layer; i++) {
        describe(&p->layer[i + 1], net, i, &p->hw);
        p->layer[i + 1].dense_planes = b->counts[i].dense;
        p->layer[i + 1].listed_planes = b->counts[i].listed;
        p->layer[i + 1].name = base_arena_strdup(p->arena, net->layer[i].name);
        if (!p->layer[i + 1].name)
            return BASE_NOMEM;
    }
    return BASE_OK;
}

/* ---- the compiler ------------------------------------------------------------------ */

static bool unpair(struct build *b)
{
    bool any = false;
    for (int e = 1; e < b->net->n_edge; e++) {
        any |= b->pack[e] > 1;
        b->pack[e] = 1;
    }
    return any;
}

/* Places and lists. A layer that runs tile by tile needs tiles, and tiles know no pairs: once more without them. */
static int make_lists(struct build *b)
{
    for (;;) {
        bool large;
        b->n_kword = b->n_scale = 0;
        memset(b->counts, 0, (size_t)b->net->n_layer * sizeof *b->counts);
        pool_trim(&b->weight, 0);
        pool_trim(&b->coef, 0);
        int rc = accel_place(b);
        if (!rc)
            rc = add_layers(b);
        if (!rc)
            rc = accel_find_large(b, &large);
        if (rc || b->tiles || !large)
            return rc;
        if (unpair(b))
            continue;
        b->tiles = BASE_ARENA_NEW(b->arena, struct tiles);
        return b->tiles ? BASE_OK : BASE_NOMEM;
    }
}

static int build_program(struct accel_program *p, struct build *b)
{
    int rc = scratch(b);
    if (!rc)
        rc = accel_choose_pack(b);
    if (!rc)
        rc = make_lists(b);
    if (!rc && b->tiles)
        rc = accel_tile(b);
    if (rc)
        return rc;
    const struct fixed_edge *in = &b->net->edge[0];
    p->input_bytes = (size_t)in->h * (size_t)in->w * (size_t)in->c;
    p->output_bytes = sizeof(int32_t) * (size_t)b->net->classes;
    p->act_words = b->act_words;
    p->weight_words = b->weight.n;
    p->coef_words = b->coef.n;
    p->scale_words = b->n_scale;
    p->kwords = b->n_kword;
    rc = accel_parts(b);                       /* what does not fit leaves the pools */
    if (!rc)
        rc = accel_image(b, p);
    p->n_part = b->n_head - 1 + b->n_step;
    p->stream_words = b->stream.n;
    p->scratch_bytes = !rc && b->tiles ? program_output_window(p->image, 1) - PROGRAM_PAGE : 0;
    return rc ? rc : describe_all(p, b);
}

static int compile(struct accel_program **out, const struct fixed_net *net, const struct hw *hw, bool roomy)
{
    *out = NULL;
    struct base_arena *arena = base_arena_new();
    struct accel_program *p = arena ? BASE_ARENA_NEW(arena, struct accel_program) : NULL;
    struct build b = { .net = net, .hw = hw, .arena = base_arena_new(), .roomy = roomy };
    int rc = p && b.arena ? accel_flatten(&b.net, net, b.arena) : BASE_NOMEM;
    if (!rc)
        rc = check_net(b.net, hw);
    if (!rc) {
        p->arena = arena;
        p->hw = *hw;
        rc = build_program(p, &b);
    }
    free_build(&b);
    if (rc) {
        base_arena_free(arena);
        return rc;
    }
    *out = p;
    return BASE_OK;
}

static int cycles_of(int64_t *cycles, const struct accel_program *p)
{
    struct accel_cycles *c = BASE_NEW(struct accel_cycles);
    int rc = c ? accel_model(c, &p->hw, p->image, p->image_words) : BASE_NOMEM;
    *cycles = rc ? 0 : c->total;
    base_free(c);
    return rc;
}

/* The roomier program takes *out's place if it is there and faster. */
static int try_roomy(struct accel_program **out, const struct fixed_net *net, const struct hw *hw)
{
    struct accel_program *roomy;
    int64_t cycles = 0, less = 0;
    int rc = compile(&roomy, net, hw, true);
    if (rc == BASE_INPUT) {                    /* too little stays on the chip */
        base_error_clear();
        return BASE_OK;
    }
    if (!rc)
        rc = cycles_of(&cycles, *out);
    if (!rc)
        rc = cycles_of(&less, roomy);
    bool faster = !rc && less < cycles;
    accel_program_free(faster ? *out : roomy);
    *out = faster ? roomy : *out;
    return rc;
}

/* Small parts between large ones make a stream wait that has just twice the room of the largest; an eighth more helps those, and costs
 * others a part that would stay on the chip. */
int accel_compile(struct accel_program **out, const struct fixed_net *net, const struct hw *hw)
{
    *out = NULL;
    int rc = fixed_check(net);
    if (!rc)
        rc = compile(out, net, hw, false);
    if (!rc && (*out)->stream_words > 0 && (rc = try_roomy(out, net, hw))) {
        accel_program_free(*out);
        *out = NULL;
    }
    return rc;
}

static bool of_this_network(const struct accel_program *p, const uint64_t *image, size_t image_words, size_t weight_words64)
{
    struct accel_cycles *c = BASE_NEW(struct accel_cycles);
    bool same = c && !accel_decode_check(&p->hw, image, image_words) && (image[3] >> 32) * (uint64_t)(p->hw.m * p->hw.k / 64) == weight_words64 &&
                (uint32_t)image[4] == p->input_bytes && program_output_bytes(image) == p->output_bytes &&
                !accel_model(c, &p->hw, image, image_words) && c->n_layer == BASE_MIN(p->n_layer, PROGRAM_TIMED_LAYERS);
    base_free(c);
    return same;
}

int accel_adopt(struct accel_program *p, const uint64_t *image, size_t image_words, const uint64_t *weights, size_t weight_words64)
{
    if (!of_this_network(p, image, image_words, weight_words64))
        return base_fail(BASE_INPUT, "the program is damaged, or of another network");
    uint64_t *own = BASE_ARENA_NEW_N(p->arena, uint64_t, image_words), *own_weights = BASE_ARENA_NEW_N(p->arena, uint64_t, BASE_MAX(weight_words64, 1));
    if (!own || !own_weights)
        return BASE_NOMEM;
    memcpy(own, image, image_words * sizeof *own);
    if (weight_words64)
        memcpy(own_weights, weights, weight_words64 * sizeof *own_weights);
    p->image = own;
    p->image_words = image_words;
    p->weights = own_weights;
    p->weight_words64 = weight_words64;
    p->stream_words = own[5] >> 32;
    p->scratch_bytes = (size_t)program_scratch_pages(own) * PROGRAM_PAGE;
    return BASE_OK;
}

void accel_program_free(struct accel_program *p)
{
    if (p)
        base_arena_free(p->arena);
}
