/* scale: a picture's rows in, the network's pixels out.
 *
 * Bilinear filter with antialiasing: a triangle, as wide as a source pixel when enlarging and as wide as
 * a target pixel when reducing; along rows first, then along columns, rounded to 8 bits after each.
 * Weights are ratios of integers rounded to 22 bits, so every machine gives the same pixels; they are
 * those that Pillow's (and with it torchvision's) BILINEAR uses. */
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

enum { WEIGHT_BITS = 22 };

/* Output i is the sum of weight[i * taps + k] * input[first[i] + k] over k < count[i]. */
struct filter {
    int n, taps;
    int *first, *count;
    int32_t *weight;
};

struct data_scaler {
    struct data_fit fit;
    int w, channels;       /* of the rows that come */
    int y, y_first, y_end; /* the row that is next; rows that the cut needs */
    struct filter across, down;
    int32_t *line;         /* [w] grey or [w][4] RGB: the row in the network's colours */
    uint8_t *middle;       /* [y_end - y_first][fit.w][c]: filtered across */
    int32_t *sum;          /* [fit.w][c]: of the row that is filtered down */
};

int data_fit_size(int *scaled_h, int *scaled_w, const char *path, const struct data_fit *fit, int h, int w)
{
    int64_t sh, sw;
    if (fit->shorter) {
        sh = h <= w ? fit->shorter : (int64_t)fit->shorter * h / w;
        sw = h <= w ? (int64_t)fit->shorter * w / h : fit->shorter;
    } else {
        bool by_height = (int64_t)fit->h * w >= (int64_t)fit->w * h;
        sh = by_height ? fit->h : (int64_t)fit->w * h / w;
        sw = by_height ? (int64_t)fit->h * w / h : fit->w;
    }
    if (sh < fit->h || sw < fit->w)
        return base_fail(BASE_INPUT, "%s: %d x %d pixels scaled to %lld x %lld are smaller than the %d x %d to cut out", path,
                         w, h, (long long)sw, (long long)sh, fit->w, fit->h);
    *scaled_h = (int)sh; /* at most 4096 * 16384 */
    *scaled_w = (int)sw;
    return BASE_OK;
}

/* The middle: where a cut of `cut` begins in `all`; halves go to the even number. */
static int cut_begin(int all, int cut)
{
    int spare = all - cut;
    return spare / 2 + (spare % 2 && spare / 2 % 2);
}

/* In units of 1/unit source pixels: how near the centre of source pixel k is to that of target pixel i. */
static int64_t closeness(int64_t k, int64_t i, int64_t in, int64_t out)
{
    int64_t reach = 2 * (in > out ? in : out);
    int64_t distance = llabs((2 * k + 1) * out - (2 * i + 1) * in);
    return reach > distance ? reach - distance : 0;
}

static int filter_alloc(struct filter *f, int in, int out, int n)
{
    f->n = n;
    f->taps = (in > out ? (int)(2 * (int64_t)in / out) : 2) + 2;
    f->first = BASE_NEW_N(int, n);
    f->count = BASE_NEW_N(int, n);
    f->weight = BASE_NEW_N(int32_t, (size_t)n * (size_t)f->taps);
    return f->first && f->count && f->weight ? BASE_OK : BASE_NOMEM;
}

/* Targets begin .. begin + n - 1 of `out`, from `in` source pixels. */
static int filter_make(struct filter *f, int in, int out, int begin, int n)
{
    int rc = filter_alloc(f, in, out, n);
    for (int i = 0; !rc && i < n; i++) {
        int64_t centre = (2 * (int64_t)(begin + i) + 1) * in, half = in > out ? in : out;
        int64_t from = (centre - 2 * half) / (2 * (int64_t)out) - 1, sum = 0;
        int32_t *weight = f->weight + (size_t)i * (size_t)f->taps;
        int64_t k = from > 0 ? from : 0;
        while (k < in - 1 && !closeness(k, begin + i, in, out))
            k++;
        f->first[i] = (int)k;
        int64_t end = k;
        while (end < in && closeness(end, begin + i, in, out))
            sum += closeness(end++, begin + i, in, out);
        f->count[i] = (int)(end - k);
        for (int64_t t = k; t < end; t++)
            weight[t - k] = (int32_t)(((closeness(t, begin + i, in, out) << WEIGHT_BITS) + sum / 2) / sum);
    }
    return rc;
}

static void filter_free(struct filter *f)
{
    base_free(f->first);
    base_free(f->count);
    base_free(f->weight);
}

/* Numbers of a pixel in a line: three colours and a spare one make a vector. */
static int lanes(int c)
{
    return c == 3 ? 4 : 1;
}

int data_scaler_new(struct data_scaler **out, const char *path, const struct data_fit *fit, int h, int w, int channels)
{
    int sh = 0, sw = 0, rc = data_fit_size(&sh, &sw, path, fit, h, w);
    *out = NULL;
    if (rc)
        return rc;
    struct data_scaler *s = BASE_NEW(struct data_scaler);
    if (!s)
        return BASE_NOMEM;
    s->fit = *fit;
    s->w = w;
    s->channels = channels;
    rc = filter_make(&s->across, w, sw, cut_begin(sw, fit->w), fit->w);
    if (!rc)
        rc = filter_make(&s->down, h, sh, cut_begin(sh, fit->h), fit->h);
    if (!rc) {
        s->y_first = s->down.first[0];
        s->y_end = s->down.first[fit->h - 1] + s->down.count[fit->h - 1];
        s->line = BASE_NEW_N(int32_t, (size_t)w * (size_t)lanes(fit->c));
        s->sum = BASE_NEW_N(int32_t, fit->w * fit->c);
        s->middle = base_alloc((size_t)(s->y_end - s->y_first) * (size_t)fit->w * (size_t)fit->c);
        rc = s->line && s->middle && s->sum ? BASE_OK : BASE_NOMEM;
    }
    if (rc)
        data_scaler_free(s);
    else
        *out = s;
    return rc;
}

void data_scaler_free(struct data_scaler *s)
{
    if (!s)
        return;
    filter_free(&s->across);
    filter_free(&s->down);
    base_free(s->line);
    base_free(s->middle);
    base_free(s->sum);
    base_free(s);
}

/* ---- colours -------------------------------------------------------------------- */

/* ITU-R BT.601 luma in 16 bits. */
static uint8_t luma(const uint8_t rgb[3])
{
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/* x * y / 255, rounded. */
static uint8_t multiply(unsigned x, unsigned y)
{
    unsigned p = x * y + 128;
    return (uint8_t)((p + (p >> 8)) >> 8);
}

static void take_pixel(int32_t *out, int c, const uint8_t *in, int channels)
{
    uint8_t rgb[3] = {in[0], in[0], in[0]};
    if (channels == 4) /* ink is stored inverted: a lack of ink times a lack of black */
        for (int k = 0; k < 3; k++)
            rgb[k] = multiply(in[k], in[3]);
    else if (channels == 3)
        memcpy(rgb, in, 3);
    for (int k = 0; k < c; k++)
        out[k] = rgb[k];
    if (c == 1 && channels > 1)
        *out = luma(rgb);
}

/* The line in the network's colours. */
static void take_row(struct data_scaler *s, const uint8_t *row)
{
    int step = lanes(s->fit.c), channels = s->channels;
    if (channels == 3 && s->fit.c == 3) /* the most frequent kind */
        for (int x = 0; x < s->w; x++)
            for (int k = 0; k < 3; k++)
                s->line[4 * x + k] = row[3 * x + k];
    else
        for (int x = 0; x < s->w; x++)
            take_pixel(s->line + (size_t)x * (size_t)step, s->fit.c, row + (size_t)x * (size_t)channels, channels);
}

/* ---- filtering ---------------------------------------------------------------------- */

/* Weights are positive and sum to 1 within a few units: no sum leaves 0..255. */
enum { HALF = 1 << (WEIGHT_BITS - 1) };

typedef int32_t pixel __attribute__((vector_size(16)));

/* out [n][3], in [w][4]. */
static void filter_row_3(uint8_t *out, const int32_t *in, const struct filter *f)
{
    for (int i = 0; i < f->n; i++) {
        const pixel *from = (const pixel *)in + f->first[i];
        const int32_t *weight = f->weight + (size_t)i * (size_t)f->taps;
        pixel sum = {HALF, HALF, HALF, 0};
        for (int k = 0, n = f->count[i]; k < n; k++)
            sum += weight[k] * from[k];
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = (uint8_t)(sum[c] >> WEIGHT_BITS);
    }
}

/* out [n], in [w]. */
static void filter_row_1(uint8_t *out, const int32_t *in, const struct filter *f)
{
    for (int i = 0; i < f->n; i++) {
        const int32_t *weight = f->weight + (size_t)i * (size_t)f->taps;
        int32_t sum = HALF;
        for (int k = 0; k < f->count[i]; k++)
            sum += weight[k] * in[f->first[i] + k];
        out[i] = (uint8_t)(sum >> WEIGHT_BITS);
    }
}

void data_scaler_row(struct data_scaler *s, const uint8_t *row)
{
    int y = s->y++;
    if (y < s->y_first || y >= s->y_end)
        return;
    take_row(s, row);
    uint8_t *out = s->middle + (size_t)(y - s->y_first) * (size_t)s->fit.w * (size_t)s->fit.c;
    if (s->fit.c == 3)
        filter_row_3(out, s->line, &s->across);
    else
        filter_row_1(out, s->line, &s->across);
}

void data_scaler_finish(struct data_scaler *s, uint8_t *out)
{
    int stride = s->fit.w * s->fit.c;
    for (int i = 0; i < s->fit.h; i++, out += stride) {
        const uint8_t *from = s->middle + (size_t)(s->down.first[i] - s->y_first) * (size_t)stride;
        const int32_t *weight = s->down.weight + (size_t)i * (size_t)s->down.taps;
        for (int x = 0; x < stride; x++)
            s->sum[x] = HALF;
        for (int k = 0; k < s->down.count[i]; k++, from += stride)
            for (int x = 0; x < stride; x++)
                s->sum[x] += weight[k] * from[x];
        for (int x = 0; x < stride; x++)
            out[x] = (uint8_t)(s->sum[x] >> WEIGHT_BITS);
    }
}
