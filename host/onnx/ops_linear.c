/* ops_linear.c: operators with weights: Conv, Gemm, MatMul, BatchNormalization, and constants per channel. */
#include <math.h>
#include <string.h>

#include "onnx/reader.h"
#include "onnx/window.h"

/* ---- Conv ------------------------------------------------------------------------ */

static const char *check_conv_weights(const node_t *n, const struct constant *w, int cin, bool *depthwise)
{
    int64_t groups = attribute_int(n, "group", 1);
    *depthwise = groups > 1;
    if (!w || !w->f || w->rank != 4)
        return "needs constant weights for two-dimensional windows";
    if (!w->finite)
        return "its weights are not all finite numbers";
    if (w->dim[2] < 1 || w->dim[3] < 1 || w->dim[2] > MAX_WINDOW || w->dim[3] > MAX_WINDOW || w->dim[0] < 1 || w->dim[0] > INT32_MAX)
        return "its weights have no size";
    if (groups < 1 || (*depthwise && (groups != cin || w->dim[0] != cin || w->dim[1] != 1)))
        return "groups must be 1, or the channel count with as many outputs";
    if (!*depthwise && w->dim[1] != cin)
        return "its weights do not fit the channels of its input";
    return NULL;
}

/* [cout][cin][kh][kw] -> [cout][kh][kw][cin] */
static void conv_weights(float *to, const struct constant *w)
{
    int64_t cin = w->dim[1], taps = w->dim[2] * w->dim[3], k = 0;
    for (int64_t o = 0; o < w->dim[0]; o++)
        for (int64_t i = 0; i < cin; i++)
            for (int64_t t = 0; t < taps; t++)
                to[(o * taps + t) * cin + i] = w->f[k++];
}

int take_conv(struct reader *r, const node_t *n)
{
    const struct view *have = in_view(r, n, 0);
    const struct constant *w = in_constant(r, n, 1), *b = in_constant(r, n, 2);
    struct window win = { 0 };
    bool depthwise;
    if (!have)
        return refuse(r, "its input must be a map");
    struct view v = *have;
    memset(v.pad, 0, sizeof v.pad);
    int in = settle(r, n, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    const char *why = !view_is(&v, "NCHW") ? "its input is not a map N x channels x height x width" : check_conv_weights(n, w, v.size[AXIS_C], &depthwise);
    if (!why) {
        win.kh = (int)w->dim[2];
        win.kw = (int)w->dim[3];
        why = window_read(r, n, v.size[AXIS_H], v.size[AXIS_W], &win);
    }
    if (!why && (win.kh != w->dim[2] || win.kw != w->dim[3]))
        why = "kernel_shape and weights disagree";
    if (!why && !in_absent(n, 2) && (!b || !b->f || b->count != w->dim[0] || !b->finite))
        why = "its bias must be a constant, finite vector";
    if (!why && !room_for(r, w->count))
        why = "the weights of all nodes together are too many";
    if (why)
        return refuse(r, "%s", why);
    for (int i = 0; i < 4; i++)
        win.pad[i] += have->pad[i];
    const char *name = name_of(r, n, "");
    int node = name ? graph_add_conv(r->g, name, in, (int)w->dim[0], win.kh, win.kw, win.stride, win.pad, depthwise, b != NULL) : BASE_NOMEM;
    if (node < 0)
        return not_built(r, node);
    conv_weights(r->g->node[node].weight, w);
    if (b)
        memcpy(r->g->node[node].bias, b->f, sizeof(float) * (size_t)b->count);
    return define_node(r, n, node);
}

/* ---- Gemm, MatMul ------------------------------------------------------------------- */

/* w as rows of inputs or of outputs; scale folded in. */
struct dense { const struct constant *w; bool transposed; float scale; int64_t cin, cout; };

static const char *check_dense(const struct view *v, struct dense *d)
{
    if (!d->w || !d->w->f || d->w->rank != 2 || d->w->count < 1)
        return "needs constant weights of two dimensions";
    if (!d->w->finite || !isfinite(d->scale))
        return "its weights are not all finite numbers";
    d->cout = d->w->dim[d->transposed ? 0 : 1];
    d->cin = d->w->dim[d->transposed ? 1 : 0];
    if (v->rank < 2 || view_dim(v, v->rank - 1) != d->cin || d->cout > INT32_MAX)
        return "its weights do not fit its input";
    for (int i = 0; i < v->n_axis[v->rank - 1]; i++)
        if (v->axis[v->rank - 1][i] == AXIS_N)
            return "its input's last dimension holds the batch";
    return NULL;
}

/* Step of an axis in the last dimension; 0 if its size is 1. */
static int64_t step_of(const struct view *v, int axis)
{
    int64_t step = 1;
    int d = v->rank - 1;
    for (int k = v->n_axis[d] - 1; k >= 0; k--) {
        if (v->axis[d][k] == axis)
            return step;
        step *= v->size[v->axis[d][k]];
    }
    return 0;
}

/* In the order in which the file flattens the map -> [cout][h][w][c]. */
static void dense_weights(float *to, const struct view *v, const struct dense *d)
{
    int64_t sh = step_of(v, AXIS_H), sw = step_of(v, AXIS_W), sc = step_of(v, AXIS_C);
    for (int64_t o = 0; o < d->cout; o++)
        for (int h = 0; h < v->size[AXIS_H]; h++)
            for (int w = 0; w < v->size[AXIS_W]; w++)
                for (int c = 0; c < v->size[AXIS_C]; c++) {
                    int64_t i = h * sh + w * sw + c * sc;
                    *to++ = d->scale * d->w->f[d->transposed ? o * d->cin + i : i * d->cout + o];
                }
}

/* The last dimension is the channels alone and others are left: a 1x1 Conv; [cout][1][1][cin]. */
static void pointwise_weights(float *to, const struct dense *d)
{
    for (int64_t o = 0; o < d->cout; o++)
        for (int64_t i = 0; i < d->cin; i++)
            *to++ = d->scale * d->w->f[d->transposed ? o * d->cin + i : i * d->cout + o];
}

static int make_dense(struct reader *r, const node_t *n, const struct view *v, const struct dense *d, bool bias, struct view *out)
{
    const char *name = name_of(r, n, "");
    int64_t map = (int64_t)v->size[AXIS_H] * v->size[AXIS_W] * v->size[AXIS_C];
    bool pointwise = map != d->cin, fits = !pointwise || (v->n_axis[v->rank - 1] <= 1 && v->size[AXIS_C] == d->cin);
    int rc = BASE_NOMEM, node = -1;
    if (!fits)
        return refuse(r, "its input's last dimension is neither the whole map nor its channels");
    if (!room_for(r, d->w->count))
        return refuse(r, "the weights of all nodes together are too many");
    if (name && pointwise)
        rc = node = graph_add_conv(r->g, name, v->node, (int)d->cout, 1, 1, 1, (const int[4]){ 0 }, false, bias);
    else if (name)
        rc = node = graph_add_dense(r->g, name, v->node, (int)d->cout, bias);
    if (node < 0)
        return not_built(r, rc);
    if (pointwise)
        pointwise_weights(r->g->node[node].weight, d);
    else
        dense_weights(r->g->node[node].weight, v, d);
    *out = *v;
    out->node = node;
    out->size[AXIS_C] = (int)d->cout;
    if (!pointwise)
        out->size[AXIS_H] = out->size[AXIS_W] = 1;
    out->n_axis[v->rank - 1] = d->cout != 1;
    out->axis[v->rank - 1][0] = AXIS_C;
    return pointwise ? lowered(r, "as a 1x1 Conv") : BASE_OK;
}

int take_gemm(struct reader *r, const node_t *n)
{
    const struct constant *b = in_constant(r, n, 2);
    struct view v, out;
    struct dense d = { .w = in_constant(r, n, 1), .transposed = attribute_int(n, "transB", 0) != 0, .scale = attribute_float(n, "alpha", 1) };
    float beta = attribute_float(n, "beta", 1);
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    const char *why = attribute_int(n, "transA", 0) ? "transA is not supported" : v.rank != 2 ? "its input is not a matrix N x values" : check_dense(&v, &d);
    if (!why && !in_absent(n, 2) && (!b || !b->f || (b->count != 1 && b->count != d.cout) || !b->finite || !isfinite(beta)))
        why = "its bias must be a constant, finite vector";
    if (why)
        return refuse(r, "%s", why);
    int rc = make_dense(r, n, &v, &d, b != NULL, &out);
    if (rc || r->note->verdict == ONNX_REFUSED)
        return rc;
    for (int64_t o = 0; b && o < d.cout; o++)
        r->g->node[out.node].bias[o] = beta * b->f[b->count == 1 ? 0 : o];
    return define_view(r, n, out, false);
}

int take_matmul(struct reader *r, const node_t *n)
{
    struct view v, out;
    struct dense d = { .w = in_constant(r, n, 1), .scale = 1 };
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    const char *why = check_dense(&v, &d);
    if (why)
        return refuse(r, "%s", why);
    int rc = make_dense(r, n, &v, &d, false, &out);
    return rc || r->note->verdict == ONNX_REFUSED ? rc : define_view(r, n, out, false);
}

/* ---- y = factor[c] * x + offset[c] ----------------------------------------------------- */

/* A chain of a thousand factors behind large weights is nobody's network. */
static int scale_weighted(struct reader *r, struct graph_node *to, const float *factor, const float *offset)
{
    struct graph *g = r->g;
    int64_t per = (int64_t)to->kh * to->kw * (to->depthwise ? 1 : g->node[to->in[0]].shape.c);
    r->work += factor ? per * to->shape.c : 0;
    if (r->work > 64 * (r->in_file + (1 << 20)))
        return refuse(r, "too many factors on the weights of '%s'", to->name);
    if (!to->bias && offset && !(to->bias = BASE_ARENA_NEW_N(g->arena, float, to->shape.c)))
        return BASE_NOMEM;
    for (int c = 0; c < to->shape.c; c++) {
        for (int64_t i = 0; factor && i < per; i++)
            to->weight[c * per + i] *= factor[c];
        if (to->bias)
            to->bias[c] = to->bias[c] * (factor ? factor[c] : 1) + (offset ? offset[c] : 0);
    }
    return BASE_OK;
}

static void scale_batchnorm(struct graph_node *to, const float *factor, const float *offset)
{
    for (int c = 0; c < to->shape.c; c++) {
        to->gamma[c] *= factor ? factor[c] : 1;
        to->beta[c] = to->beta[c] * (factor ? factor[c] : 1) + (offset ? offset[c] : 0);
    }
}

/* x = (raw - mean) / std: y = (raw - (mean - offset * std / factor)) / (std / factor), if every factor is positive. */
static bool scale_prep(struct graph *g, const float *factor, const float *offset)
{
    struct graph_prep *p = &g->own;
    int channels = g->node[0].shape.c;
    if (channels > GRAPH_MAX_PREP)
        return false;
    for (int c = 0; factor && c < channels; c++)
        if (!(factor[c] > 0))
            return false;
    for (int c = 0; c < channels; c++) {
        double f = factor ? (double)factor[c] : 1, std = p->n ? (double)p->std[c] : 1, mean = p->n ? (double)p->mean[c] : 0;
        p->mean[c] = (float)(mean - (offset ? (double)offset[c] : 0) * std / f);
        p->std[c] = (float)(std / f);
    }
    p->n = channels;
    return true;
}

/* A depthwise 1x1 Conv of ones, to carry a BatchNorm where no Conv or Dense stands in front. */
static int carrier(struct reader *r, const node_t *n, int in)
{
    const char *name = name_of(r, n, ".scale");
    if (!name)
        return BASE_NOMEM;
    int c = r->g->node[in].shape.c;
    if (!room_for(r, 5 * (int64_t)c))
        return base_fail(BASE_INPUT, "node '%s': too many parameters", name);
    int node = graph_add_conv(r->g, name, in, c, 1, 1, 1, (const int[4]){ 0 }, true, false);
    for (int i = 0; node >= 0 && i < c; i++)
        r->g->node[node].weight[i] = 1;
    return node;
}

static int add_batchnorm(struct reader *r, const node_t *n, int in)
{
    const char *name = name_of(r, n, "");
    return name ? graph_add_batchnorm(r->g, name, in) : BASE_NOMEM;
}

int apply_affine(struct reader *r, const node_t *n, const struct view *v, const float *factor, const float *offset, int *out)
{
    struct graph_node *to = &r->g->node[v->node];
    *out = v->node;
    if (v->sole && (to->op == GRAPH_CONV || to->op == GRAPH_DENSE)) {
        int rc = scale_weighted(r, to, factor, offset);
        return rc || r->note->verdict == ONNX_REFUSED ? rc : lowered(r, "folded into '%s'", to->name);
    }
    if (v->sole && to->op == GRAPH_BATCHNORM) {
        scale_batchnorm(to, factor, offset);
        return lowered(r, "folded into '%s'", to->name);
    }
    if (v->sole && to->op == GRAPH_INPUT && scale_prep(r->g, factor, offset))
        return lowered(r, "folded into the preprocessing");
    int node = carrier(r, n, v->node);
    if (node >= 0)
        node = add_batchnorm(r, n, node);
    if (node < 0)
        return not_built(r, node);
    struct graph_node *bn = &r->g->node[node];
    for (int c = 0; c < bn->shape.c; c++) {
        bn->gamma[c] = factor ? factor[c] : 1;
        bn->beta[c] = offset ? offset[c] : 0;
    }
    bn->eps = 0;
    *out = node;
    return lowered(r, "as a depthwise 1x1 Conv and a BatchNorm");
}

/* ---- BatchNormalization ------------------------------------------------------------------ */

/* As factors and offsets, where it can be folded into what is there. */
static int fold_batchnorm(struct reader *r, const node_t *n, const struct view *v, const struct constant *const k[4], float eps)
{
    int c = v->size[AXIS_C], out;
    float *factor = BASE_ARENA_NEW_N(r->arena, float, c), *offset = BASE_ARENA_NEW_N(r->arena, float, c);
    if (!factor || !offset)
        return BASE_NOMEM;
    for (int i = 0; i < c; i++) {
        double f = (double)k[0]->f[i] / sqrt((double)k[3]->f[i] + (double)eps);
        factor[i] = (float)f;
        offset[i] = (float)((double)k[1]->f[i] - (double)k[2]->f[i] * f);
    }
    int rc = apply_affine(r, n, v, factor, offset, &out);
    return rc || r->note->verdict == ONNX_REFUSED ? rc : out == v->node ? define_view(r, n, *v, true) : define_like(r, n, out, v);
}

int take_batchnorm(struct reader *r, const node_t *n)
{
    const struct constant *k[4];
    float eps = attribute_float(n, "epsilon", 1e-5f);
    struct view v;
    int in = in_node(r, n, 0, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    if (attribute_int(n, "training_mode", 0))
        return refuse(r, "training_mode: export the network in inference mode");
    if (v.rank < 2 || view_axis(&v, 1) != AXIS_C)
        return refuse(r, "its second dimension is not the channels of a map");
    for (int i = 0; i < 4; i++) {
        k[i] = in_constant(r, n, (size_t)i + 1);
        if (!k[i] || !k[i]->f || k[i]->count != v.size[AXIS_C] || !k[i]->finite)
            return refuse(r, "scale, bias, mean and variance must be constant, finite vectors of its channels");
    }
    for (int c = 0; c < v.size[AXIS_C]; c++)
        if (!(k[3]->f[c] + eps > 0))
            return refuse(r, "variance + epsilon of channel %d is not positive", c);
    if (!room_for(r, 4 * (int64_t)v.size[AXIS_C]))
        return refuse(r, "the parameters of all nodes together are too many");
    enum graph_op op = r->g->node[in].op;
    if (v.sole && (op == GRAPH_INPUT || op == GRAPH_BATCHNORM))
        return fold_batchnorm(r, n, &v, k, eps);
    bool own = v.sole && (op == GRAPH_CONV || op == GRAPH_DENSE);
    if (!own && (in = carrier(r, n, in)) < 0)
        return not_built(r, in);
    int node = add_batchnorm(r, n, in), rc = own ? BASE_OK : lowered(r, "as a depthwise 1x1 Conv and a BatchNorm");
    if (node < 0 || rc)
        return node < 0 ? not_built(r, node) : rc;
    struct graph_node *to = &r->g->node[node];
    float *const parameter[4] = { to->gamma, to->beta, to->mean, to->var };
    for (int i = 0; i < 4; i++)
        memcpy(parameter[i], k[i]->f, sizeof(float) * (size_t)to->shape.c);
    to->eps = eps;
    return define_like(r, n, node, &v);
}

/* ---- Add, Sub, Mul, Div -------------------------------------------------------------------- */

/* A constant, repeated as NumPy does, as one number a channel; NULL: it is not that (or no memory: *rc). */
static float *per_channel(struct reader *r, const struct constant *c, const struct view *v, int *rc)
{
    int along = -1;
    *rc = BASE_OK;
    for (int d = 0; d < c->rank; d++) {
        int at = d + v->rank - c->rank;
        if (at < 0 || (c->dim[d] != 1 && (along >= 0 || c->dim[d] != v->size[AXIS_C] || view_axis(v, at) != AXIS_C)))
            return NULL;
        if (c->dim[d] != 1)
            along = d;
    }
    if (!c->finite || !room_for(r, 2 * (int64_t)v->size[AXIS_C]))
        return NULL;
    float *out = BASE_ARENA_NEW_N(r->arena, float, v->size[AXIS_C]);
    if (!out)
        *rc = BASE_NOMEM;
    for (int i = 0; out && i < v->size[AXIS_C]; i++)
        out[i] = (float)constant_at(c, along < 0 ? 0 : i);
    return out;
}

static int add_maps(struct reader *r, const node_t *n)
{
    struct view a, b;
    int x = in_node(r, n, 0, &a), y = x < 0 ? x : in_node(r, n, 1, &b);
    if (y < 0)
        return y == -1 ? BASE_OK : y;
    if (!view_same(&a, &b))
        return refuse(r, "its maps differ in shape or order");
    const char *name = name_of(r, n, "");
    int node = name ? graph_add_add(r->g, name, x, y) : BASE_NOMEM;
    return node < 0 ? not_built(r, node) : define_like(r, n, node, &a);
}

/* One operand a constant. `op`: + - * / */
static int with_constant(struct reader *r, const node_t *n, char op)
{
    int which = in_constant(r, n, 0) ? 1 : 0, rc, out;
    struct view v;
    int in = in_node(r, n, (size_t)which, &v);
    if (in < 0)
        return in == -1 ? BASE_OK : in;
    const struct constant *k = in_constant(r, n, (size_t)(1 - which));
    float *value = k ? per_channel(r, k, &v, &rc) : NULL, *minus = NULL;
    if (!value)
        return k && rc ? rc : refuse(r, op == '*' ? "of two maps is not supported (a constant per channel is)" : "its other operand must be one constant, or one a channel");
    for (int c = 0; c < v.size[AXIS_C]; c++) {
        if (op == '/' && (which || value[c] == 0))
            return refuse(r, which ? "by a map is not supported" : "by zero");
        value[c] = op == '/' ? 1 / value[c] : op == '-' && !which ? -value[c] : value[c];
    }
    if (op == '-' && which) { /* constant - map */
        if (!(minus = BASE_ARENA_NEW_N(r->arena, float, v.size[AXIS_C])))
            return BASE_NOMEM;
        for (int c = 0; c < v.size[AXIS_C]; c++)
            minus[c] = -1;
    }
    bool product = op == '*' || op == '/';
    rc = apply_affine(r, n, &v, product ? value : minus, product ? NULL : value, &out);
    if (rc || r->note->verdict == ONNX_REFUSED)
        return rc;
    return out == v.node ? define_view(r, n, v, true) : define_like(r, n, out, &v);
}

int take_add(struct reader *r, const node_t *n)
{
    return in_view(r, n, 0) && in_view(r, n, 1) ? add_maps(r, n) : with_constant(r, n, '+');
}

int take_sub(struct reader *r, const node_t *n)
{
    return with_constant(r, n, '-');
}

int take_mul(struct reader *r, const node_t *n)
{
    return with_constant(r, n, '*');
}

int take_div(struct reader *r, const node_t *n)
{
    return with_constant(r, n, '/');
}
