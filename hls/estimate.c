/* estimate: cycles of the loops of run.c by their bounds: one issue of the array or one read a cycle, fetch beside
 * the array, a tile's planes behind the next tile's sums. No pipeline depths, no memory port. */
#include <stddef.h>

#include "hls/bitpress.h"

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t tiles(const struct hls_layer *l)
{
    return (int64_t)l->rows * ((l->columns + HLS_N - 1) / HLS_N);
}

/* Cycles of one tile of the list at *index, which moves behind it; -1 at a bad record. */
static int64_t list(const struct hls_engine *e, int *index)
{
    int64_t cycles = 0;
    for (bool last = false; !last; ++*index) {
        struct hls_kword k;
        struct hls_map map;
        if (hls_read_kword(&k, &map, e, *index))
            return -1;
        cycles += map.planes * most(k.wn, hls_parts(&k, &map));
        last = k.last;
    }
    return cycles;
}

static int64_t estimate_mac(const struct hls_engine *e, const struct hls_layer *l)
{
    struct hls_map out = { 0 };
    int64_t cycles = 0;
    if (!l->logits && hls_check_mac(&out, e, l))
        return 0;
    for (int filter = 0, index = l->arg1; filter < l->count; filter++) {
        int64_t one = list(e, &index);
        if (one < 0)
            return 0;
        cycles += tiles(l) * most(one, l->part ? 0 : l->logits ? HLS_M : most(out.planes << out.paired, HLS_N * HLS_M / BITPRESS_DRAIN));
    }
    return cycles;
}

static int64_t estimate_maxpool(const struct hls_engine *e, const struct hls_layer *l)
{
    struct hls_map in, out;
    const struct hls_kword k = { .ox = l->ox, .stride2 = l->stride2 };
    return hls_check_maxpool(&in, &out, e, l) ? 0 : l->count * tiles(l) * in.planes * hls_parts(&k, &in);
}

/* A byte a cycle, then the plane words of the block. */
static int64_t estimate_input(struct hls_engine *e, const struct hls_layer *l)
{
    struct hls_map out;
    if (hls_check_input(&out, e, l))
        return 0;
    int bytes = out.h * out.w * l->count;
    e->image += (uint32_t)bytes;
    return bytes + tiles(l) * out.planes;
}

static int64_t estimate_layer(struct hls_engine *e, const struct hls_layer *l)
{
    switch (l->op) {
    case PROGRAM_INPUT: return estimate_input(e, l);
    case PROGRAM_MAC: return estimate_mac(e, l);
    case PROGRAM_MAXPOOL: return estimate_maxpool(e, l);
    default: return 0;
    }
}

/* Records of one layer add up. */
void hls_estimate(int64_t *cycles, int n, struct hls_engine *e, const uint64_t *program)
{
    int at = 0;
    for (int i = 0; i < n; i++)
        cycles[i] = 0;
    if (!e->loaded)
        return;
    hls_stream_open(e);
    e->stream.dry = true;
    e->image = 0;
    for (uint32_t i = 0; i < e->size.layers && at < n; i++) {
        struct hls_layer l;
        if (hls_stream_layer(&l, e, program, NULL, i))
            return;
        cycles[at] += estimate_layer(e, &l);
        at += !l.more;
    }
}
