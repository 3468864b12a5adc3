/* The memory map: every edge gets its words in the activation banks from the layer that writes
 * it to the last layer that reads it; first fit, in the order of layers, or where that leaves no room, of sizes. */
#include "accel/accel_internal.h"

static void shape(struct place *p, const struct fixed_edge *e, int n_pixels, int pack, bool raw)
{
    p->raw = raw;
    p->paired = !raw && pack == 2;
    p->planes = ceil_div(e->bits, pack);
    p->groups = ceil_div(e->c, GROUP / pack);
    p->px_stride = p->groups * p->planes;
    p->row_stride = ceil_div(e->w, n_pixels) * p->px_stride;
    p->words = ceil_div(e->h, 4) * p->row_stride;
}

static bool overlap(const struct place *p, int base, int words)
{
    return base < p->base + p->words && p->base < base + words;
}

/* Lowest base at which `words` words touch no live edge. */
static int first_fit(const struct build *b, const bool *live, int words)
{
    int base = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int e = 0; e < b->net->n_edge; e++)
            if (live[e] && overlap(&b->place[e], base, words)) {
                base = b->place[e].base + b->place[e].words;
                moved = true;
            }
    }
    return base;
}

/* False: no room. */
static bool claim(struct build *b, bool *live, int edge)
{
    struct place *p = &b->place[edge];
    p->base = first_fit(b, live, p->words);
    if (p->base + p->words > b->hw->act_depth || p->row_stride > 65535)
        return false;
    live[edge] = true;
    b->act_words = BASE_MAX(b->act_words, p->base + p->words);
    return true;
}

void accel_lives(const struct fixed_net *net, int *born, int *last)
{
    for (int e = 0; e < net->n_edge; e++)
        born[e] = last[e] = -1;
    for (int i = 0; i < net->n_layer; i++) {
        const struct fixed_layer *l = &net->layer[i];
        if (l->out >= 0)
            born[l->out] = last[l->out] = i;
        for (int t = 0; t < terms_of(l); t++)
            last[l->term[t].edge] = i;
    }
}

/* ---- in the order of sizes ---------------------------------------------------------- */

static bool together(const int *born, const int *last, int a, int b)
{
    return born[a] <= last[b] && born[b] <= last[a];
}

/* The largest first, each at the lowest base where nothing that lives at the same time lies. False: no room. */
static bool place_by_size(struct build *b, const int *last, const int *born, bool *done, const bool *spilled)
{
    const struct fixed_net *net = b->net;
    int used = 0;
    memset(done, 0, (size_t)net->n_edge * sizeof *done);
    for (;;) {
        int next = -1;
        for (int e = 0; e < net->n_edge; e++)
            if (!done[e] && !(spilled && spilled[e]) && (next < 0 || b->place[e].words > b->place[next].words))
                next = e;
        if (next < 0)
            break;
        struct place *p = &b->place[next];
        p->base = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int e = 0; e < net->n_edge; e++)
                if (done[e] && together(born, last, e, next) && overlap(&b->place[e], p->base, p->words)) {
                    p->base = b->place[e].base + b->place[e].words;
                    moved = true;
                }
        }
        done[next] = true;
        used = BASE_MAX(used, p->base + p->words);
        if (used > b->hw->act_depth || p->row_stride > 65535)
            return false;
    }
    b->act_words = used;
    return true;
}

static bool place_by_layer(struct build *b, const int *last, bool *live)
{
    const struct fixed_net *net = b->net;
    bool fits = claim(b, live, 0);
    for (int i = 0; fits && i < net->n_layer; i++) {
        if (net->layer[i].out >= 0)
            fits = claim(b, live, net->layer[i].out);
        for (int e = 0; e < net->n_edge; e++)
            live[e] = live[e] && last[e] > i;
    }
    return fits;
}

/* Every edge in its packing; false: no room. */
static bool place_all(struct build *b, const int *last, const int *born, bool *live)
{
    const struct fixed_net *net = b->net;
    b->act_words = 0;
    memset(live, 0, (size_t)net->n_edge * sizeof *live);
    for (int e = 0; e < net->n_edge; e++)
        shape(&b->place[e], &net->edge[e], b->hw->n, b->pack[e], e == 0);
    return place_by_layer(b, last, live) || place_by_size(b, last, born, live, NULL);
}

bool accel_place_some(struct build *b, const bool *spilled)
{
    size_t n = (size_t)b->net->n_edge;
    int *last = BASE_ARENA_NEW_N(b->arena, int, n), *born = BASE_ARENA_NEW_N(b->arena, int, n);
    bool *done = BASE_ARENA_NEW_N(b->arena, bool, n);
    if (!last || !born || !done)
        return false;
    accel_lives(b->net, born, last);
    return place_by_size(b, last, born, done, spilled);
}

int accel_place(struct build *b)
{
    const struct fixed_net *net = b->net;
    int *last = BASE_ARENA_NEW_N(b->arena, int, net->n_edge), *born = BASE_ARENA_NEW_N(b->arena, int, net->n_edge);
    bool *live = BASE_ARENA_NEW_N(b->arena, bool, net->n_edge);
    b->place = BASE_ARENA_NEW_N(b->arena, struct place, net->n_edge);
    if (!last || !born || !live || !b->place)
        return BASE_NOMEM;
    accel_lives(net, born, last);
    for (int e = 0; e < net->n_edge; e++)
        if (net->edge[e].h > 1023 || net->edge[e].w > 1023)
            return base_fail(BASE_INPUT, "map '%s' is %d x %d; the accelerator takes at most 1023 x 1023", net->edge[e].name,
                             net->edge[e].h, net->edge[e].w);
    int image_last = last[0];
    last[0] = net->n_layer;                    /* room for the next image while this one computes */
    b->image_stays = place_all(b, last, born, live);
    if (b->image_stays)
        return BASE_OK;
    last[0] = image_last;
    if (place_all(b, last, born, live))
        return BASE_OK;
    for (int e = 1; e < net->n_edge; e++)
        b->pack[e] = 1;                        /* fewer words where bits are odd; tiles know no pairs */
    if (place_all(b, last, born, live))
        return BASE_OK;
    b->tiles = BASE_ARENA_NEW(b->arena, struct tiles);     /* some must live in the scratch */
    return b->tiles ? BASE_OK : BASE_NOMEM;
}
