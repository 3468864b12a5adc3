/* window.c: kernel, stride and pads of a Conv or pool, whichever way a file gives them. */
#include "onnx/window.h"

#include <string.h>

static bool is_text(const Onnx__AttributeProto *a, const char *s)
{
    return a && a->s.len == strlen(s) && !memcmp(a->s.data, s, a->s.len);
}

/* Two integers 1..MAX_WINDOW; false: something else is there. */
static bool read_pair(struct reader *r, const node_t *n, const char *name, int *a, int *b)
{
    int64_t v[2];
    int k = read_ints(r, n, name, -1, v, 2);
    if (k == -1)
        return true;
    if (k != 2 || v[0] < 1 || v[1] < 1 || v[0] > MAX_WINDOW || v[1] > MAX_WINDOW)
        return false;
    *a = (int)v[0];
    *b = (int)v[1];
    return true;
}

static const char *read_pads(struct reader *r, const node_t *n, int pad[4])
{
    int64_t v[4];
    int k = read_ints(r, n, "pads", -1, v, 4);
    if (k != -1 && k != 4)
        return "pads must be four numbers";
    for (int i = 0; i < k; i++) {
        if (v[i] < 0 || v[i] > MAX_WINDOW)
            return "negative or huge pads are not supported";
        pad[i] = (int)v[i];
    }
    return NULL;
}

/* Pads so that an output is ceil(input / stride); the odd one behind (upper) or in front. */
static void pad_same(int pad[4], int i, int size, int kernel, int stride, bool lower)
{
    int out = (size + stride - 1) / stride, total = BASE_MAX(0, (out - 1) * stride + kernel - size);
    pad[i] = lower ? total - total / 2 : total / 2;
    pad[i + 2] = total - pad[i];
}

static const char *read_auto_pad(const node_t *n, int h, int w, int sh, int sw, struct window *win)
{
    const Onnx__AttributeProto *a = attribute(n, "auto_pad");
    if (!a || is_text(a, "NOTSET"))
        return NULL;
    if (attribute(n, "pads") && !is_text(a, "VALID"))
        return "auto_pad and pads together";
    if (is_text(a, "VALID")) {
        memset(win->pad, 0, sizeof win->pad);
        return NULL;
    }
    if (!is_text(a, "SAME_UPPER") && !is_text(a, "SAME_LOWER"))
        return "auto_pad is none of NOTSET, SAME_UPPER, SAME_LOWER, VALID";
    pad_same(win->pad, 0, h, win->kh, sh, is_text(a, "SAME_LOWER"));
    pad_same(win->pad, 1, w, win->kw, sw, is_text(a, "SAME_LOWER"));
    return NULL;
}

/* Windows along a side, rounded down; at least 1 if one fits. */
static int windows(int size, int kernel, int stride)
{
    return size < kernel ? 0 : (size - kernel) / stride + 1;
}

const char *window_read(struct reader *r, const node_t *n, int h, int w, struct window *out)
{
    int sh = 1, sw = 1, dh = 1, dw = 1;
    if (!read_pair(r, n, "kernel_shape", &out->kh, &out->kw))
        return "kernel_shape must be two numbers from 1 to 1023";
    if (!read_pair(r, n, "strides", &sh, &sw))
        return "strides must be two numbers from 1 to 1023";
    if (!read_pair(r, n, "dilations", &dh, &dw) || (dh > 1 && out->kh > 1) || (dw > 1 && out->kw > 1))
        return "dilation is not supported: use a larger or a second kernel";
    const char *why = read_pads(r, n, out->pad);
    if (!why)
        why = read_auto_pad(n, h, w, sh, sw, out);
    if (why)
        return why;
    /* Where there is but one window along a side, its stride does not matter. */
    if (windows(h + out->pad[0] + out->pad[2], out->kh, sh) == 1)
        sh = sw;
    if (windows(w + out->pad[1] + out->pad[3], out->kw, sw) == 1)
        sw = sh;
    if (sh != sw)
        return "strides must be equal in both directions";
    out->stride = sh;
    return NULL;
}
