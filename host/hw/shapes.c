/* shapes: which arrays of the one RTL a board's part could hold, by the area model. */
#include "hw/hw.h"

#include <string.h>

/* Fewer words make no block RAM smaller; more than this no part here holds. */
enum { LEAST_DEPTH = 512, MOST_DEPTH = 8192, LEAST_N = 8, MOST_N = 32, SIZES = 5, WIDTHS = 3 };

bool hw_fits(const struct hw *h)
{
    struct hw_area a;
    hw_area(&a, h);
    return a.lut <= h->lut && a.bram36 <= h->bram36 && a.dsp <= h->dsp;
}

/* The board with another array: a tile drains in as many cycles. */
static struct hw variant(const struct hw *board, int n, int act, int weight)
{
    struct hw h = *board;
    h.drain = board->drain * n / board->n;
    h.n = n;
    h.act_depth = act;
    h.weight_depth = weight;
    return h;
}

/* Neither memory can have twice the words. */
static bool is_full(const struct hw *h)
{
    struct hw maps = variant(h, h->n, 2 * h->act_depth, h->weight_depth), weights = variant(h, h->n, h->act_depth, 2 * h->weight_depth);
    return !(maps.act_depth <= MOST_DEPTH && hw_fits(&maps)) && !(weights.weight_depth <= MOST_DEPTH && hw_fits(&weights));
}

static int name(struct hw *h, const char *board)
{
    if ((size_t)snprintf(h->name, sizeof h->name, "%s.n%d.a%d.w%d", board, h->n, h->act_depth, h->weight_depth) < sizeof h->name)
        return BASE_OK;
    return base_fail(BASE_INPUT, "board '%s': a name of at most %d characters leaves room for those of its shapes", board, (int)sizeof h->name - 20);
}

int hw_shapes(struct hw out[HW_MAX_SHAPES], int *n, const struct hw *board)
{
    char base[sizeof board->name];
    memcpy(base, board->name, sizeof base);
    *n = 0;
    for (int i = 0; i < WIDTHS * SIZES * SIZES; i++) {
        struct hw h = variant(board, MOST_N >> (i / (SIZES * SIZES)), LEAST_DEPTH << (i / SIZES % SIZES), LEAST_DEPTH << (i % SIZES));
        int rc;
        if (!hw_fits(&h) || !is_full(&h))
            continue;
        if ((rc = name(&h, base)))
            return rc;
        h.hash = hw_shape_hash(&h);
        out[(*n)++] = h;
    }
    if (*n)
        return BASE_OK;
    struct hw_area a;
    struct hw least = variant(board, LEAST_N, LEAST_DEPTH, LEAST_DEPTH);
    hw_area(&a, &least);
    return base_fail(BASE_INPUT, "no array fits board '%s': the least, %d x %d x %d, takes %d LUT, %d BRAM36, %d DSP by the area model; the budget is %d, %d, %d", base, least.m, least.n, least.k, a.lut,
                     a.bram36, a.dsp, board->lut, board->bram36, board->dsp);
}

static void quoted(FILE *f, const char *key, const char *text)
{
    fprintf(f, "%s: '", key);
    for (; *text; text++)
        fprintf(f, *text == '\'' ? "''" : "%c", *text);
    fputs("'\n", f);
}

int hw_write_yaml(const struct hw *h, const char *path)
{
    struct base_out o;
    int rc = base_out_open(&o, path);
    if (rc)
        return rc;
    fprintf(o.fp, "# An array that a search chose within the budget of this board.\nname: %s\n", h->name);
    quoted(o.fp, "board", h->board);
    quoted(o.fp, "part", h->part);
    fprintf(o.fp, "array: {m: %d, n: %d, cg: %d, k: %d, drain: %d}\n", h->m, h->n, h->cg, h->k, h->drain);
    fprintf(o.fp, "depth: {act: %d, weight: %d, coef: %d, scale: %d, kword: %d, layer: %d, map: %d}\n", h->act_depth, h->weight_depth, h->coef_depth, h->scale_depth, h->kword_depth, h->layer_depth, h->map_depth);
    fprintf(o.fp, "budget: {lut: %d, ff: %d, bram36: %d, dsp: %d}\n", h->lut, h->ff, h->bram36, h->dsp);
    fprintf(o.fp, "memory: {port_bits: %d, burst_beats: %d, read_latency: %d, write_latency: %d, gbytes_per_s: %.17g}\n", h->port_bits, h->burst_beats, h->read_latency, h->write_latency, h->port_gbytes_s);
    fprintf(o.fp, "clock: {mhz: %.17g, is: %s}\n", h->clock_mhz, h->clock_is);
    return base_out_commit(&o);
}
