/* run: images through the program, in the engine's fixed order: layer, filter group, row, block, K-word,
 * activation plane, weight plane. Every record is checked as it is used; the first bad one ends the run. */
#include "hls/bitpress.h"

static int blocks_of(int columns) { return (columns + HLS_N - 1) / HLS_N; }

/* ---- MAC --------------------------------------------------------------------------- */

/* One K-word at one place: its planes against the windows of the activation planes, of which one may hold two. The next window is fetched while
 * the array works on this one. */
static void multiply(int32_t sum[HLS_N][HLS_M], const struct hls_engine *e, const struct hls_map *map, const struct hls_kword *k, int y, int xb)
{
windows:
    for (int i = 0; i < program_windows(k->next ? PROGRAM_KW_NEXT : 0, map->planes); i++) {
#pragma HLS DATAFLOW
        uint16_t window[HLS_N][HLS_TAPS];
#pragma HLS ARRAY_PARTITION variable=window dim=0 complete
        int plane = k->next ? 2 * i : i;
        hls_fetch(window, e->act, map, k, y, xb, plane, map->raw ? e->pad[plane] : 0);
        hls_accumulate(sum, window, e->weight, k->waddr, e->coef, k->coef + i * k->wn, k->wn);
    }
}

static void clear(int32_t sum[HLS_N][HLS_M])
{
#pragma HLS INLINE
clear_pixels:
    for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
    clear_rows:
        for (int m = 0; m < HLS_M; m++) {
#pragma HLS UNROLL
            sum[q][m] = 0;
        }
    }
}

/* The list that begins at K-word `first`; *next: the K-word behind it. */
static uint32_t sum_list(int *next, struct hls_engine *e, int first, int y, int xb)
{
    bool last = false;
    if (!e->carry)
        clear(e->sum);
    e->carry = false;
    *next = first;
kwords:
    while (!last) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
        struct hls_kword k;
        struct hls_map map;
        uint32_t error = hls_read_kword(&k, &map, e, *next);
        if (error)
            return error;
        multiply(e->sum, e, &map, &k, y, xb);
        last = k.last;
        *next += 1;
    }
    return PROGRAM_OK;
}

/* Planes of a tile to the activation memory; of a paired map, words of two planes of the first eight channels, then of the last. */
static void store_tile(struct hls_engine *e, const struct hls_map *out, const uint16_t plane[HLS_PLANES][HLS_N], int filter, int y, int xb)
{
    int first = filter << out->paired;
halves:
    for (int half = 0; half <= (int)out->paired; half++) {
        if (first + half < out->groups) {
        planes:
            for (int j = 0; j < out->planes; j++) {
#pragma HLS PIPELINE II=1
                uint16_t pixel[HLS_N];
#pragma HLS ARRAY_PARTITION variable=pixel complete
            pixels:
                for (int q = 0; q < HLS_N; q++) {
#pragma HLS UNROLL
                    uint32_t low = plane[(2 * j) & (HLS_PLANES - 1)][q], high = plane[(2 * j + 1) & (HLS_PLANES - 1)][q];
                    pixel[q] = out->paired ? (uint16_t)((low >> 8 * half & 0xff) | (high >> 8 * half & 0xff) << 8) : plane[j][q];
                }
                hls_store_plane(e->act, out, y, xb, first + half, j, pixel);
            }
        }
    }
}

static void finish_tile(struct hls_engine *e, const struct hls_layer *l, const struct hls_map *out, const int32_t sum[HLS_N][HLS_M],
                        int filter, int y, int xb)
{
    int scale = l->arg2 + filter;
    if (l->logits) {
        int32_t logit[HLS_M];
#pragma HLS ARRAY_PARTITION variable=logit complete
        hls_logits(logit, sum, e->mul[scale], e->add[scale], l->shift);
        int left = (int)l->n_logits - filter * HLS_M;
        hls_store_logits(e, logit, left < 0 ? 0 : (uint32_t)left);
        return;
    }
    uint16_t plane[HLS_PLANES][HLS_N];                     /* from the lanes to the write-back */
#pragma HLS ARRAY_RESHAPE variable=plane dim=2 complete
    hls_requantize(plane, sum, e->mul[scale], e->add[scale], l->shift, l->lo, l->hi);
    store_tile(e, out, plane, l->arg3 + filter, y, xb);
}

static uint32_t run_mac(struct hls_engine *e, const struct hls_layer *l)
{
    struct hls_map out = { 0 };
    uint32_t error = hls_check_mac(&out, e, l);
    int first = l->arg1, next = first;
filters:
    for (int filter = 0; !error && filter < l->count; filter++) {
    rows:
        for (int y = 0; !error && y < l->rows; y++) {
        blocks:
            for (int xb = 0; !error && xb < blocks_of(l->columns); xb++) {
                error = sum_list(&next, e, first, y + l->first_row, xb + l->first_block);
                if (!error && !l->part)
                    finish_tile(e, l, &out, e->sum, filter, y, xb);
            }
        }
        first = next;
    }
    e->carry = l->part;
    e->has_result = e->has_result || (l->logits && !l->more);
    return error;
}

/* ---- MAXPOOL ------------------------------------------------------------------------- */

static void pool_block(struct hls_engine *e, int32_t *output, const struct hls_layer *l, const struct hls_map *in, const struct hls_map *out,
                       const struct hls_kword *k, int y, int xb)
{
    uint16_t race[HLS_N][HLS_TAPS];
#pragma HLS ARRAY_PARTITION variable=race dim=0 complete
planes:
    for (int j = in->planes - 1; j >= 0; j--) {
        uint16_t window[HLS_N][HLS_TAPS], best[HLS_N];
#pragma HLS ARRAY_PARTITION variable=window dim=0 complete
#pragma HLS ARRAY_PARTITION variable=best complete
        bool top = j == in->planes - 1, invert = top && l->is_signed;
        hls_fetch(window, e->act, in, k, y + l->first_row, xb + l->first_block, j, invert ? 0xffff : 0);    /* padding: the lowest code */
        hls_maxpool(best, race, window, l->arg3, top, invert);
        if (l->spill)
            hls_spill_plane(output, l, out, y, xb, k->group, j, best);
        else
            hls_store_plane(e->act, out, y, xb, l->arg2 + k->group, j, best);
    }
}

static uint32_t run_maxpool(struct hls_engine *e, int32_t *output, const struct hls_layer *l)
{
    struct hls_map in, out;
    uint32_t error = hls_check_maxpool(&in, &out, e, l);
    if (error)
        return error;
groups:
    for (int g = 0; g < l->count; g++) {
        const struct hls_kword k = { .map = l->arg1, .wn = 1, .group = g, .oy = l->oy, .ox = l->ox, .stride2 = l->stride2, .last = true };
    rows:
        for (int y = 0; y < l->rows; y++) {
        blocks:
            for (int xb = 0; xb < blocks_of(l->columns); xb++)
                pool_block(e, output, l, &in, &out, &k, y, xb);
        }
    }
    return PROGRAM_OK;
}

/* ---- the program ------------------------------------------------------------------- */

static uint32_t run_input(struct hls_engine *e, const struct hls_layer *l, const uint64_t *input)
{
    struct hls_map out;
    uint32_t error = hls_check_input(&out, e, l);
    if (error)
        return error;
    hls_input(e->act, l, &out, input, e->image);
    e->image += (uint32_t)(out.h * out.w * l->count);
    return PROGRAM_OK;
}

static uint32_t run_layer(struct hls_engine *e, uint32_t index, const uint64_t *program, const uint64_t *input, int32_t *output)
{
    struct hls_layer l;
    uint32_t error = hls_stream_layer(&l, e, program, output, index);
    if (error)
        return error;
    if (l.op == PROGRAM_INPUT ? e->image_over : index == 0)
        return PROGRAM_ERR_OP;
    switch (l.op) {
    case PROGRAM_INPUT: return run_input(e, &l, input);
    case PROGRAM_MAC: return run_mac(e, &l);
    case PROGRAM_MAXPOOL: return run_maxpool(e, output, &l);
    default: return PROGRAM_ERR_OP;
    }
}

static uint32_t run_program(struct hls_engine *e, uint32_t *layer, const uint64_t *program, const uint64_t *input, int32_t *output, int32_t *result)
{
    uint32_t error = PROGRAM_OK;
    e->n_logits = 0;
    e->has_result = e->carry = false;
    e->image = 0;
    e->image_over = false;
    hls_stream_open(e);
layers:
    for (uint32_t i = 0; i < e->size.layers && !error; i++) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65535
        *layer = i;
        error = run_layer(e, i, program, input, output);
    }
    if (error)
        return error;
    if (!e->has_result || !e->image_over)
        return PROGRAM_ERR_IO;
    if (!e->stream.over || e->stream.at != e->size.words + e->size.stream_words)
        return PROGRAM_ERR_STREAM;                         /* a part that no layer waited for */
    hls_store_result(e, result);
    *layer = 0;
    return PROGRAM_OK;
}

/* Image and result end inside their windows; with scratch, the result in the page before it. */
static bool in_windows(const struct hls_sizes *s, uint64_t image, uint64_t result, uint64_t input_size, uint64_t output_size)
{
#pragma HLS INLINE
    uint64_t scratch = (uint64_t)s->scratch * (2 * HLS_N), results = output_size;
    if (s->scratch) {
        if (output_size < PROGRAM_PAGE + scratch)
            return false;
        results = PROGRAM_PAGE;
    }
    return image + s->input_bytes <= input_size && result + s->output_bytes <= results;
}

uint32_t hls_run(struct hls_engine *e, uint32_t *layer, const uint64_t *program, uint64_t program_size, const uint64_t *input, uint64_t input_size,
                 int32_t *output, uint64_t output_size, uint32_t images)
{
    uint32_t error = PROGRAM_OK;
    *layer = 0;
    if (!e->loaded)
        return PROGRAM_ERR_NOT_LOADED;
    uint64_t image = 0, result = 0;                        /* bytes into the windows */
images_of_start:
    for (uint32_t left = images ? images : 1; left && !error; left--) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=256
        if (!in_windows(&e->size, image, result, input_size, output_size))
            return PROGRAM_ERR_IO;
        if (e->size.stream_words && program_size / 8 < (uint64_t)e->size.words + e->size.stream_words)
            return PROGRAM_ERR_STREAM;
        error = run_program(e, layer, program, input + image / 8, output, output + result / 4);
        image += ((uint64_t)e->size.input_bytes + 7) & ~UINT64_C(7);
        result += ((uint64_t)e->size.output_bytes + 7) & ~UINT64_C(7);
    }
    return error;
}
