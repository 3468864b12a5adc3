/* ops_shape.c: operators that move or rename numbers: they change views and make no nodes, but for the
 * zero channels of an option-A shortcut. */
#include <string.h>

#include "onnx/reader.h"

/* A view to be changed: Softmax ends a network. NULL with the refusal noted in *rc. */
static const struct view *movable(struct reader *r, const node_t *n, int *rc)
{
    const struct view *v = in_view(r, n, 0);
    *rc = BASE_OK;
    if (!v)
        *rc = refuse(r, "its input must be computed from the input");
    return v;
}

static int moved(struct reader *r, const node_t *n, struct view v)
{
    int rc = define_view(r, n, v, true);
    return rc ? rc : folded(r);
}

int take_same(struct reader *r, const node_t *n)
{
    int rc;
    const struct view *v = movable(r, n, &rc);
    int64_t to = attribute_int(n, "to", 1);
    if (!v)
        return rc;
    if (!strcmp(n->op_type, "Cast") && to != 1 && to != 10 && to != 11 && to != 16)
        return refuse(r, "of a map to integers is not supported");
    return moved(r, n, *v);
}

int take_softmax(struct reader *r, const node_t *n)
{
    struct view v;
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    int d = normal_axis(attribute_int(n, "axis", r->opset < 13 ? 1 : -1), v.rank);
    if (d < 0 || view_axis(&v, d) != AXIS_C)
        return refuse(r, "is supported over the classes");
    v.ended = true;
    return moved(r, n, v);
}

int take_constant(struct reader *r, const node_t *n)
{
    const Onnx__AttributeProto *t = attribute(n, "value"), *f = attribute(n, "value_float"), *i = attribute(n, "value_int"), *is = attribute(n, "value_ints");
    struct constant *c = NULL;
    int rc = BASE_OK;
    if (t && t->t) {
        rc = constant_read(r, t->t, &c);
    } else if (f && f->has_f) {
        if ((c = constant_new(r, true, NULL, 0, &rc)))
            c->f[0] = f->f;
    } else if (i && i->has_i) {
        if ((c = constant_new(r, false, NULL, 0, &rc)))
            c->i[0] = i->i;
    } else if (is && is->n_ints <= INT32_MAX) {
        c = constant_ints(r, is->ints, (int)is->n_ints, &rc);
    }
    if (rc)
        return rc;
    return c ? define_constant(r, n, c) : refuse(r, "only tensors and integers are supported as constants");
}

/* ---- shapes -------------------------------------------------------------------------- */

int take_shape(struct reader *r, const node_t *n)
{
    int rc;
    const struct view *v = movable(r, n, &rc);
    if (!v)
        return rc;
    int64_t dim[MAX_RANK], from = attribute_int(n, "start", 0), to = attribute_int(n, "end", v->rank);
    int count = 0;
    from += from < 0 ? v->rank : 0;
    to += to < 0 ? v->rank : 0;
    for (int d = 0; d < v->rank; d++)
        if (d >= from && d < to)
            dim[count++] = view_dim(v, d);
    struct constant *c = constant_ints(r, dim, count, &rc);
    return c ? define_constant(r, n, c) : rc ? rc : refuse(r, "too many constants");
}

static int reshaped(struct reader *r, const node_t *n, const struct view *v, const int64_t *dim, int rank)
{
    struct view w = *v;
    if (!view_reshape(&w, dim, rank))
        return refuse(r, "splits or cuts an axis of the map: only dimensions as a whole can be joined or parted");
    return moved(r, n, w);
}

int take_reshape(struct reader *r, const node_t *n)
{
    int rc, open = -1;
    const struct view *v = movable(r, n, &rc);
    int64_t dim[MAX_RANK], rest = 1, total = 1;
    int rank = read_ints(r, n, "shape", 1, dim, MAX_RANK);
    if (!v)
        return rc;
    if (rank < 0)
        return refuse(r, "its shape must be constant, of at most %d dimensions", MAX_RANK);
    for (int a = 0; a < AXES; a++)
        total *= v->size[a];
    for (int d = 0; d < rank; d++) {
        if (dim[d] == 0 && !attribute_int(n, "allowzero", 0) && d < v->rank)
            dim[d] = view_dim(v, d);
        if (dim[d] == -1 && open < 0)
            open = d;
        else if (dim[d] < 1 || dim[d] > total || rest > total)
            return refuse(r, "its shape does not fit its input");
        else
            rest *= dim[d];
    }
    if (open >= 0)
        dim[open] = total / rest;
    return reshaped(r, n, v, dim, rank);
}

int take_flatten(struct reader *r, const node_t *n)
{
    int rc;
    const struct view *v = movable(r, n, &rc);
    if (!v)
        return rc;
    int64_t axis = attribute_int(n, "axis", 1), dim[2] = { 1, 1 };
    axis += axis < 0 ? v->rank : 0;
    for (int d = 0; d < v->rank; d++)
        dim[d >= axis] *= view_dim(v, d);
    return reshaped(r, n, v, dim, 2);
}

int take_squeeze(struct reader *r, const node_t *n)
{
    int rc, rank = 0;
    const struct view *v = movable(r, n, &rc);
    int64_t axis[MAX_RANK], dim[MAX_RANK];
    int k = read_ints(r, n, "axes", 1, axis, MAX_RANK);
    bool drop[MAX_RANK] = { false };
    if (!v)
        return rc;
    for (int d = 0; k == -1 && d < v->rank; d++)
        drop[d] = view_dim(v, d) == 1;
    for (int i = 0; i < k; i++) {
        int d = normal_axis(axis[i], v->rank);
        if (d < 0 || view_dim(v, d) != 1)
            return refuse(r, "its axes are not of size 1");
        drop[d] = true;
    }
    for (int d = 0; d < v->rank; d++)
        if (!drop[d])
            dim[rank++] = view_dim(v, d);
    return k == -2 ? refuse(r, "its axes must be constant") : reshaped(r, n, v, dim, rank);
}

int take_unsqueeze(struct reader *r, const node_t *n)
{
    int rc, from = 0;
    const struct view *v = movable(r, n, &rc);
    int64_t axis[MAX_RANK], dim[MAX_RANK] = { 0 };
    int k = read_ints(r, n, "axes", 1, axis, MAX_RANK);
    if (!v)
        return rc;
    if (k < 1 || v->rank + k > MAX_RANK)
        return refuse(r, "its axes must be constant, and at most %d dimensions result", MAX_RANK);
    for (int i = 0; i < k; i++) {
        int d = normal_axis(axis[i], v->rank + k);
        if (d < 0 || dim[d])
            return refuse(r, "its axes do not fit its input");
        dim[d] = 1;
    }
    for (int d = 0; d < v->rank + k; d++)
        if (!dim[d])
            dim[d] = view_dim(v, from++);
    return reshaped(r, n, v, dim, v->rank + k);
}

int take_transpose(struct reader *r, const node_t *n)
{
    int rc;
    const struct view *v = movable(r, n, &rc);
    int64_t perm[MAX_RANK];
    int k = read_ints(r, n, "perm", -1, perm, MAX_RANK);
    if (!v)
        return rc;
    for (int d = 0; k == -1 && d < v->rank; d++)
        perm[d] = v->rank - 1 - d;
    struct view w = *v;
    if ((k != -1 && k != v->rank) || !view_transpose(&w, perm))
        return refuse(r, "its perm does not fit its input");
    return moved(r, n, w);
}

/* ---- Slice, Pad: option-A shortcuts ------------------------------------------------------ */

/* One axis of a Slice: NULL, or why not. */
static const char *slice_axis(struct view *v, int d, int64_t start, int64_t end, int64_t step)
{
    int64_t size = d < 0 ? 0 : view_dim(v, d);
    int axis = d < 0 ? -1 : view_axis(v, d);
    start += start < 0 ? size : 0;
    end += end < 0 ? size : 0;
    if (d < 0)
        return "its axes do not fit its input";
    if (start == 0 && end >= size && step == 1)
        return NULL;
    if ((axis != AXIS_H && axis != AXIS_W) || start != 0 || end < size || step < 1 || step > 16)
        return "only every n-th row and column of a map, from the first to the last, is supported (n up to 16)";
    v->step[axis - AXIS_H] *= (int)step;
    v->size[axis] = (v->size[axis] - 1) / (int)step + 1;
    return v->step[axis - AXIS_H] > 16 ? "only every n-th row and column is supported (n up to 16)" : NULL;
}

int take_slice(struct reader *r, const node_t *n)
{
    int rc;
    const struct view *v = movable(r, n, &rc);
    int64_t start[MAX_RANK], end[MAX_RANK], axis[MAX_RANK], step[MAX_RANK];
    int k = read_ints(r, n, "starts", 1, start, MAX_RANK), ka = read_ints(r, n, "axes", 3, axis, MAX_RANK), ks = read_ints(r, n, "steps", 4, step, MAX_RANK);
    if (!v)
        return rc;
    const char *layout = view_layout(v);
    struct view w = *v;
    if (k < 1 || read_ints(r, n, "ends", 2, end, MAX_RANK) != k || (ka != -1 && ka != k) || (ks != -1 && ks != k) || k > v->rank)
        return refuse(r, "starts, ends, axes and steps must be constant");
    if (!layout || v->pad[0] || v->pad[1] || v->pad[2] || v->pad[3])
        return refuse(r, "only every n-th row and column of a map is supported");
    for (int i = 0; i < k; i++) {
        const char *why = slice_axis(&w, normal_axis(ka == -1 ? i : axis[i], v->rank), start[i], end[i], ks == -1 ? 1 : step[i]);
        if (why)
            return refuse(r, "%s", why);
        view_lay_out(&w, layout);
    }
    rc = define_view(r, n, w, true);
    return rc ? rc : lowered(r, "as every n-th pixel");
}

/* Pads of each axis, before and behind, from a pads vector over all or some dimensions. */
static const char *read_axis_pads(struct reader *r, const node_t *n, const struct view *v, int64_t pad[AXES][2])
{
    int64_t p[2 * MAX_RANK], axis[MAX_RANK];
    int k = read_ints(r, n, "pads", 1, p, 2 * MAX_RANK), ka = read_ints(r, n, "axes", 3, axis, MAX_RANK);
    int dims = ka < 0 ? v->rank : ka;
    if (k != 2 * dims || ka == -2)
        return "its pads must be constant, two a dimension";
    memset(pad, 0, sizeof(int64_t) * AXES * 2);
    for (int i = 0; i < dims; i++) {
        int d = ka < 0 ? i : normal_axis(axis[i], v->rank), a = d < 0 ? -1 : view_axis(v, d);
        if (!p[i] && !p[i + dims])
            continue;
        if (a < 0 || a == AXIS_N || p[i] < 0 || p[i + dims] < 0 || p[i] > 65536 || p[i + dims] > 65536)
            return "only zeros around the rows, columns or channels of a map are supported";
        pad[a][0] = p[i];
        pad[a][1] = p[i + dims];
    }
    return NULL;
}

static bool pads_with_zero(struct reader *r, const node_t *n)
{
    const Onnx__AttributeProto *mode = attribute(n, "mode");
    const struct constant *value = in_constant(r, n, 2);
    bool constant = !mode || (mode->s.len == 8 && !memcmp(mode->s.data, "constant", 8));
    return constant && (in_absent(n, 2) || (value && (!value->count || constant_at(value, 0) == 0)));
}

/* Zero channels: a Shortcut of the node, with the steps that a Slice left. */
static int pad_channels(struct reader *r, const node_t *n, struct view *v, const int64_t pad[2])
{
    if (v->step[0] != v->step[1])
        return settle(r, n, v); /* says so */
    const char *name = name_of(r, n, "");
    int cout = v->size[AXIS_C] + (int)pad[0] + (int)pad[1];
    int node = name ? graph_add_shortcut(r->g, name, v->node, cout, v->step[0], (int)pad[0]) : BASE_NOMEM;
    if (node < 0) {
        int rc = not_built(r, node);
        return rc ? rc : -1;
    }
    v->node = node;
    v->step[0] = v->step[1] = 1;
    v->size[AXIS_C] = cout;
    v->sole = true;
    return node;
}

int take_pad(struct reader *r, const node_t *n)
{
    int rc;
    const struct view *v = movable(r, n, &rc);
    int64_t pad[AXES][2];
    if (!v)
        return rc;
    struct view w = *v;
    const char *layout = view_layout(v), *why = !layout ? "its input is not a map" : !pads_with_zero(r, n) ? "only padding with zeros is supported" : read_axis_pads(r, n, v, pad);
    if (!why && (v->ended || v->quantized || (pad[AXIS_C][0] + pad[AXIS_C][1] && (v->pad[0] || v->pad[1] || v->pad[2] || v->pad[3]))))
        why = "only zeros around the rows, columns or channels of a map are supported";
    if (why)
        return refuse(r, "%s", why);
    bool channels = pad[AXIS_C][0] + pad[AXIS_C][1] > 0, around = pad[AXIS_H][0] || pad[AXIS_H][1] || pad[AXIS_W][0] || pad[AXIS_W][1];
    int node = channels ? pad_channels(r, n, &w, pad[AXIS_C]) : around && w.step[0] * w.step[1] > 1 ? settle(r, n, &w) : w.node;
    if (node < 0)
        return node == -1 ? BASE_OK : node;
    for (int i = 0; i < 2; i++) {
        w.pad[i] += (int)pad[AXIS_H + i][0];
        w.pad[i + 2] += (int)pad[AXIS_H + i][1];
        w.size[AXIS_H + i] += (int)(pad[AXIS_H + i][0] + pad[AXIS_H + i][1]);
        if (w.size[AXIS_H + i] > 65536)
            return refuse(r, "too much padding");
    }
    view_lay_out(&w, layout);
    rc = define_view(r, n, w, !channels);
    return rc ? rc : lowered(r, channels ? "as a Shortcut" : around ? "as padding of the node behind" : "dropped");
}
