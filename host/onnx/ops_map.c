/* ops_map.c: operators on maps without weights: rectifiers, joins, pools. */
#include <math.h>
#include <string.h>

#include "onnx/reader.h"
#include "onnx/window.h"

/* Never below zero: rectified, or picked, averaged or joined from rectified maps. */
bool nonnegative(const struct graph *g, int node)
{
    for (;;) {
        const struct graph_node *n = &g->node[node];
        if (n->op == GRAPH_RELU || n->op == GRAPH_RELU6)
            return true;
        if (n->op != GRAPH_MAXPOOL && n->op != GRAPH_AVGPOOL && n->op != GRAPH_SHORTCUT)
            return false;
        node = n->in[0];
    }
}

/* ---- Relu, Clip ------------------------------------------------------------------ */

int add_relu(struct reader *r, const node_t *n, const struct view *v, enum graph_op op, const char *suffix)
{
    const char *name = name_of(r, n, suffix);
    return name ? graph_add_relu(r->g, name, v->node, op) : BASE_NOMEM;
}

static int rectify(struct reader *r, const node_t *n, enum graph_op op)
{
    struct view v;
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    if (op == GRAPH_RELU && nonnegative(r->g, in)) {
        int rc = define_view(r, n, v, true);
        return rc ? rc : lowered(r, "dropped: its input is never negative");
    }
    int node = add_relu(r, n, &v, op, "");
    return node < 0 ? not_built(r, node) : define_like(r, n, node, &v);
}

int take_relu(struct reader *r, const node_t *n)
{
    return rectify(r, n, GRAPH_RELU);
}

/* Does a QuantizeLinear alone read the node's output? Then its bounds are those of the integers. */
static bool only_quantized(struct reader *r, const node_t *n)
{
    const struct value *v = value_find(r, n->output[0]);
    return v && v->uses == 1 && v->consumer > r->index && !strcmp(r->og->node[v->consumer]->op_type, "QuantizeLinear");
}

static int clip_to_integers(struct reader *r, const node_t *n, double lo, double hi)
{
    struct view v;
    int in = lo < 0 && hi > 0 ? in_node(r, n, 0, &v) : -1;
    if (lo == 0 && hi > 0)
        return rectify(r, n, GRAPH_RELU);
    if (in < 0)
        return in != -1 ? in : refuse(r, "between bounds that do not hold zero is not supported");
    int rc = define_view(r, n, v, true);
    return rc ? rc : lowered(r, "dropped: the bounds of the integers behind");
}

int take_clip(struct reader *r, const node_t *n)
{
    const struct constant *lo = in_constant(r, n, 1), *hi = in_constant(r, n, 2);
    bool bounded = hi && hi->count == 1 && constant_at(hi, 0) < 1e30;
    if (lo && lo->count == 1 && bounded && constant_at(hi, 0) != 6 && only_quantized(r, n))
        return clip_to_integers(r, n, constant_at(lo, 0), constant_at(hi, 0));
    if ((!lo && !in_absent(n, 1)) || (!hi && !in_absent(n, 2)) || !lo || lo->count != 1 || constant_at(lo, 0) != 0 || (bounded && constant_at(hi, 0) != 6))
        return refuse(r, "only from 0 to 6 (Relu6) or from 0 (Relu) is supported");
    return rectify(r, n, bounded ? GRAPH_RELU6 : GRAPH_RELU);
}

/* ---- Concat ------------------------------------------------------------------------ */

/* One map and zeros: option A. The map may be every n-th pixel of a node. */
static int concat_zeros(struct reader *r, const node_t *n)
{
    const struct view *v = NULL;
    int before = 0, cout = 0;
    for (size_t i = 0; i < n->n_input; i++)
        if (in_view(r, n, i))
            v = in_view(r, n, i);
    const char *layout = v ? view_layout(v) : NULL;
    int axis = v ? normal_axis(attribute_int(n, "axis", 1), v->rank) : -1;
    if (!layout || axis < 0 || view_axis(v, axis) != AXIS_C || v->step[0] != v->step[1] || v->ended || v->quantized || v->pad[0] || v->pad[1] || v->pad[2] || v->pad[3])
        return refuse(r, "maps can be joined only along their channels");
    bool seen = false;
    for (size_t i = 0; i < n->n_input; i++) {
        const struct constant *c = in_constant(r, n, i);
        if (c && (!c->zero || c->rank != v->rank || c->dim[axis] > 65536))
            return refuse(r, "a map and constants other than zero channels are not supported");
        cout += c ? (int)c->dim[axis] : v->size[AXIS_C];
        before += c && !seen ? (int)c->dim[axis] : 0;
        seen |= !c;
        if (cout > 65536)
            return refuse(r, "too many channels");
    }
    const char *name = name_of(r, n, "");
    int node = name ? graph_add_shortcut(r->g, name, v->node, cout, v->step[0], before) : BASE_NOMEM;
    if (node < 0)
        return not_built(r, node);
    int rc = define_view(r, n, view_of(r->g, node, r->batch, layout), false);
    return rc ? rc : lowered(r, "as a Shortcut");
}

int take_concat(struct reader *r, const node_t *n)
{
    int in[GRAPH_MAX_IN], maps = 0;
    const char *layout = NULL;
    for (size_t i = 0; i < n->n_input; i++)
        maps += in_view(r, n, i) != NULL;
    if (n->n_input > GRAPH_MAX_IN)
        return refuse(r, "joins %zu maps (at most %d are supported)", n->n_input, GRAPH_MAX_IN);
    if (maps == 1 && n->n_input > 1)
        return concat_zeros(r, n);
    for (size_t i = 0; i < n->n_input; i++) {
        struct view v;
        if ((in[i] = in_node(r, n, i, &v)) < 0)
            return in[i] == -1 ? BASE_OK : in[i];
        int axis = normal_axis(attribute_int(n, "axis", 1), v.rank);
        if (!i)
            layout = view_layout(&v);
        if (!layout || !view_is(&v, layout) || axis < 0 || view_axis(&v, axis) != AXIS_C)
            return refuse(r, "maps can be joined only along their channels, in one order");
    }
    const char *name = name_of(r, n, "");
    int node = name ? graph_add_concat(r->g, name, in, (int)n->n_input) : BASE_NOMEM;
    return node < 0 ? not_built(r, node) : define_view(r, n, view_of(r->g, node, r->batch, layout), false);
}

/* ---- pools --------------------------------------------------------------------------- */

/* ceil_mode: as much padding behind as makes a window of the rest; it must not lie in padding alone. */
static void round_up(struct window *w, int i, int size, int kernel)
{
    int span = size + w->pad[i] + w->pad[i + 2] - kernel, rest = span > 0 ? span % w->stride : 0;
    int start = span > 0 ? (span / w->stride + 1) * w->stride : 0;
    if (rest && start < size + w->pad[i])
        w->pad[i + 2] += w->stride - rest;
}

static bool padded(const int pad[4])
{
    return pad[0] || pad[1] || pad[2] || pad[3];
}

/* `counts`: padding counts into the average. */
static const char *pool_window(struct reader *r, const node_t *n, const struct view *v, bool average, bool *counts, struct window *w)
{
    if (!attribute(n, "kernel_shape"))
        return "kernel_shape is missing";
    const char *why = window_read(r, n, v->size[AXIS_H], v->size[AXIS_W], w);
    if (why)
        return why;
    *counts = average && attribute_int(n, "count_include_pad", 0) && padded(w->pad);
    if (attribute_int(n, "ceil_mode", 0)) {
        struct window up = *w;
        round_up(&up, 0, v->size[AXIS_H], w->kh);
        round_up(&up, 1, v->size[AXIS_W], w->kw);
        if (average && memcmp(&up, w, sizeof up))
            return "ceil_mode makes cut windows: export with ceil_mode=0";
        *w = up;
    }
    return NULL;
}

static int make_pool(struct reader *r, const node_t *n, int in, bool average, const struct window *w)
{
    const char *name = name_of(r, n, "");
    int node = name ? graph_add_pool(r->g, name, in, average ? GRAPH_AVGPOOL : GRAPH_MAXPOOL, w->kh, w->kw, w->stride, w->pad) : BASE_NOMEM;
    return node < 0 ? not_built(r, node) : define_node(r, n, node);
}

/* An average over padding too has one divisor: a depthwise Conv of equal weights. */
static int average_by_conv(struct reader *r, const node_t *n, const struct view *v, const struct window *w)
{
    int c = v->size[AXIS_C], taps = w->kh * w->kw;
    if (!room_for(r, (int64_t)c * taps))
        return refuse(r, "the parameters of all nodes together are too many");
    const char *name = name_of(r, n, "");
    int node = name ? graph_add_conv(r->g, name, v->node, c, w->kh, w->kw, w->stride, w->pad, true, false) : BASE_NOMEM;
    if (node < 0)
        return not_built(r, node);
    for (int i = 0; i < c * taps; i++)
        r->g->node[node].weight[i] = 1 / (float)taps;
    int rc = define_node(r, n, node);
    return rc ? rc : lowered(r, "as a depthwise Conv: padding counts");
}

int take_pool(struct reader *r, const node_t *n)
{
    bool average = !strcmp(n->op_type, "AveragePool");
    const struct view *have = in_view(r, n, 0);
    struct window w = { 0 };
    if (!have)
        return refuse(r, "its input must be a map");
    struct view v = *have;
    bool zeros = average && padded(v.pad), counts = false;
    if (zeros || nonnegative(r->g, v.node)) /* for a maximum zeros are as good as no pixel there */
        memset(v.pad, 0, sizeof v.pad);
    int in = settle(r, n, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    const char *why = view_is(&v, "NCHW") ? pool_window(r, n, &v, average, &counts, &w) : "its input is not a map N x channels x height x width";
    if (!why && zeros && !counts && padded(w.pad))
        why = "some of its padding counts into the average and some does not: export with count_include_pad=1";
    if (why)
        return refuse(r, "%s", why);
    for (int i = 0; i < 4; i++)
        w.pad[i] += have->pad[i];
    if (counts || zeros)
        return average_by_conv(r, n, &v, &w);
    if (w.kh == 1 && w.kw == 1 && !padded(w.pad)) { /* every n-th pixel: perhaps a Shortcut's */
        v.step[0] = v.step[1] = w.stride;
        v.size[AXIS_H] = (v.size[AXIS_H] - 1) / w.stride + 1;
        v.size[AXIS_W] = (v.size[AXIS_W] - 1) / w.stride + 1;
        view_lay_out(&v, "NCHW");
        int rc = define_view(r, n, v, true);
        return rc ? rc : lowered(r, "as every %d. pixel", w.stride);
    }
    return make_pool(r, n, in, average, &w);
}

static int whole_map(struct reader *r, const node_t *n, const struct view *v, bool average)
{
    struct window w = { .kh = v->size[AXIS_H], .kw = v->size[AXIS_W], .stride = 1 };
    const char *name = name_of(r, n, "");
    return name ? graph_add_pool(r->g, name, v->node, average ? GRAPH_AVGPOOL : GRAPH_MAXPOOL, w.kh, w.kw, w.stride, w.pad) : BASE_NOMEM;
}

int take_global(struct reader *r, const node_t *n)
{
    struct view v;
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    if (!view_is(&v, "NCHW"))
        return refuse(r, "its input is not a map N x channels x height x width");
    if (v.size[AXIS_H] * v.size[AXIS_W] == 1)
        return define_view(r, n, v, true);
    int node = whole_map(r, n, &v, !strcmp(n->op_type, "GlobalAveragePool"));
    return node < 0 ? not_built(r, node) : define_node(r, n, node);
}

/* Which dimensions are averaged, as a bit mask; negative: not to be said. */
static int reduced_dimensions(struct reader *r, const node_t *n, int rank)
{
    int64_t axis[MAX_RANK];
    int k = read_ints(r, n, "axes", 1, axis, MAX_RANK), mask = 0;
    if (k == -1 || k == 0)
        return attribute_int(n, "noop_with_empty_axes", 0) ? 0 : (1 << rank) - 1;
    for (int i = 0; i < k; i++) {
        int d = normal_axis(axis[i], rank);
        if (d < 0)
            return -1;
        mask |= 1 << d;
    }
    return k < 0 ? -1 : mask;
}

static int mean(struct reader *r, const node_t *n, const struct view *v, const int k[2])
{
    const char *name = name_of(r, n, "");
    return name ? graph_add_pool(r->g, name, v->node, GRAPH_AVGPOOL, k[0], k[1], 1, (const int[4]){ 0 }) : BASE_NOMEM;
}

/* A mean over the rows of a mean over the columns, or the other way round, is one over the map. */
static bool widen_mean(struct graph_node *to, const struct graph *g, const int k[2])
{
    if (to->op != GRAPH_AVGPOOL || to->stride != 1 || to->pad_t + to->pad_b + to->pad_l + to->pad_r)
        return false;
    struct graph_shape in = g->node[to->in[0]].shape;
    bool columns = k[0] > 1 && to->kw == in.w && to->kh == 1, rows = k[1] > 1 && to->kh == in.h && to->kw == 1;
    if (!columns && !rows)
        return false;
    to->kh = in.h;
    to->kw = in.w;
    to->shape.h = to->shape.w = 1;
    return true;
}

int take_reduce(struct reader *r, const node_t *n)
{
    struct view v, out;
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    int mask = reduced_dimensions(r, n, v.rank), k[2] = { 1, 1 };
    if (mask < 0)
        return refuse(r, "its axes must be constant and those of its input");
    out = v;
    out.rank = 0;
    for (int d = 0; d < v.rank; d++)
        for (int i = 0; i < v.n_axis[d] && mask >> d & 1; i++) {
            int a = v.axis[d][i];
            if (a != AXIS_H && a != AXIS_W)
                return refuse(r, "is supported over height and width, not over channels or the batch");
            k[a - AXIS_H] = v.size[a];
            out.size[a] = 1;
        }
    for (int d = 0; d < v.rank; d++) {
        if (mask >> d & 1 && !attribute_int(n, "keepdims", 1))
            continue;
        out.n_axis[out.rank] = mask >> d & 1 ? 0 : v.n_axis[d];
        memcpy(out.axis[out.rank++], v.axis[d], sizeof v.axis[d]);
    }
    if (k[0] * k[1] == 1)
        return define_view(r, n, out, true);
    if (v.sole && widen_mean(&r->g->node[v.node], r->g, k)) {
        int rc = define_view(r, n, out, true);
        return rc ? rc : lowered(r, "folded into '%s'", r->g->node[v.node].name);
    }
    int node = mean(r, n, &v, k);
    return node < 0 ? not_built(r, node) : define_like(r, n, node, &out);
}
