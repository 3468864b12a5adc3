/* Building and checking graphs: nodes, shape rules, parameters, copies.
 * The view as accelerator layers is in layers.c, batch-norm folding in fold.c. */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

static const char *const op_names[GRAPH_OP_COUNT] = {
#define OP(id, name, inputs, weights, quantizable, prunable, lowerable) name,
#include "graph/ops.def"
#undef OP
};

static const int op_inputs[GRAPH_OP_COUNT] = {
#define OP(id, name, inputs, weights, quantizable, prunable, lowerable) inputs,
#include "graph/ops.def"
#undef OP
};

enum { MAX_SIDE = 1 << 14, MAX_CHANNELS = 1 << 16, MAX_ELEMENTS = 1 << 28 };

const char *graph_op_name(enum graph_op op)
{
    return (unsigned)op < GRAPH_OP_COUNT ? op_names[op] : "?";
}

struct graph *graph_new(const char *name)
{
    struct base_arena *a = base_arena_new();
    if (!a)
        return NULL;
    struct graph *g = BASE_ARENA_NEW(a, struct graph);
    if (g) {
        g->arena = a;
        g->name = base_arena_strdup(a, name ? name : "");
        g->output = -1;
        g->prep.scale = g->own.scale = 1;
    }
    if (!g || !g->name) {
        base_arena_free(a);
        return NULL;
    }
    return g;
}

void graph_free(struct graph *g)
{
    if (g)
        base_arena_free(g->arena);
}

int graph_find(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->n_node; i++)
        if (!strcmp(g->node[i].name, name))
            return i;
    return -1;
}

/* ---- appending nodes -------------------------------------------------------- */

static int64_t elements(struct graph_shape s)
{
    return (int64_t)s.h * s.w * s.c;
}

static int check_shape(const char *name, struct graph_shape s)
{
    if (s.h < 1 || s.w < 1 || s.c < 1 || s.h > MAX_SIDE || s.w > MAX_SIDE || s.c > MAX_CHANNELS || elements(s) > MAX_ELEMENTS)
        return base_fail(BASE_INPUT, "node '%s': the output map %d x %d x %d is empty or too large (sides 1..%d, channels 1..%d)",
                         name, s.h, s.w, s.c, MAX_SIDE, MAX_CHANNELS);
    return BASE_OK;
}

static int check_inputs(const struct graph *g, const char *name, const int *in, int n_in)
{
    for (int i = 0; i < n_in; i++)
        if (in[i] < 0 || in[i] >= g->n_node)
            return base_fail(BASE_INPUT, "node '%s': input %d refers to node %d, which does not exist yet (nodes 0..%d)",
                             name, i, in[i], g->n_node - 1);
    return BASE_OK;
}

/* Append a filled-in node (inputs checked, shape set); returns its index or an error. */
static int append(struct graph *g, const char *name, const struct graph_node *n)
{
    int rc = check_shape(name, n->shape);
    if (rc)
        return rc;
    if (graph_find(g, name) >= 0)
        return base_fail(BASE_INPUT, "node '%s': the name is used twice; names must be unique", name);
    if (g->n_node == g->cap_node) {
        int cap = g->cap_node ? 2 * g->cap_node : 32;
        struct graph_node *p = BASE_ARENA_NEW_N(g->arena, struct graph_node, cap);
        if (!p)
            return BASE_NOMEM;
        if (g->n_node)
            memcpy(p, g->node, sizeof *p * (size_t)g->n_node);
        g->node = p;
        g->cap_node = cap;
    }
    struct graph_node *d = &g->node[g->n_node];
    *d = *n;
    d->name = base_arena_strdup(g->arena, name);
    if (!d->name)
        return BASE_NOMEM;
    if (n->op != GRAPH_SOFTMAX)
        g->output = g->n_node;
    return g->n_node++;
}

static float *new_floats(struct graph *g, int64_t n, float value)
{
    float *p = BASE_ARENA_NEW_N(g->arena, float, n);
    for (int64_t i = 0; p && i < n && value != 0; i++)
        p[i] = value;
    return p;
}

int graph_add_input(struct graph *g, const char *name, struct graph_shape s)
{
    if (g->n_node)
        return base_fail(BASE_INPUT, "node '%s': the input must be the first node, and there is only one", name);
    struct graph_node n = { .op = GRAPH_INPUT, .shape = s };
    return append(g, name, &n);
}

/* Output size of a sliding window along one side, 0 if it does not fit. */
static int window_out(int size, int before, int after, int k, int stride)
{
    int span = size + before + after - k;
    return span < 0 ? 0 : span / stride + 1;
}

static int check_window(const struct graph *g, const char *name, int in, int kh, int kw, int stride, const int pad[4])
{
    int rc = check_inputs(g, name, &in, 1);
    if (rc)
        return rc;
    struct graph_shape s = g->node[in].shape;
    if (kh < 1 || kw < 1 || stride < 1 || kh > MAX_SIDE || kw > MAX_SIDE || stride > MAX_SIDE)
        return base_fail(BASE_INPUT, "node '%s': kernel %d x %d, stride %d: all must be 1..%d", name, kh, kw, stride, MAX_SIDE);
    for (int i = 0; i < 4; i++)
        if (pad[i] < 0 || pad[i] >= (i % 2 ? kw : kh))
            return base_fail(BASE_INPUT, "node '%s': padding %d must be 0 or more and smaller than the kernel %d x %d", name, pad[i], kh, kw);
    if (!window_out(s.h, pad[0], pad[2], kh, stride) || !window_out(s.w, pad[1], pad[3], kw, stride))
        return base_fail(BASE_INPUT, "node '%s': the kernel %d x %d is larger than the padded input %d x %d", name, kh, kw,
                         s.h + pad[0] + pad[2], s.w + pad[1] + pad[3]);
    return BASE_OK;
}

static struct graph_node window_node(const struct graph *g, enum graph_op op, int in, int cout, int kh, int kw, int stride, const int pad[4])
{
    struct graph_shape s = g->node[in].shape;
    struct graph_node n = { .op = op, .n_in = 1, .in = { in }, .kh = kh, .kw = kw, .stride = stride,
                            .pad_t = pad[0], .pad_l = pad[1], .pad_b = pad[2], .pad_r = pad[3] };
    n.shape = (struct graph_shape){ window_out(s.h, pad[0], pad[2], kh, stride), window_out(s.w, pad[1], pad[3], kw, stride), cout };
    return n;
}

static int append_weighted(struct graph *g, const char *name, struct graph_node *n, int cin, bool bias)
{
    int rc = check_shape(name, n->shape);
    if (rc)
        return rc;
    int64_t count = (int64_t)n->shape.c * n->kh * n->kw * cin;
    if (count > MAX_ELEMENTS)
        return base_fail(BASE_INPUT, "node '%s': %lld weights are too many (at most %d)", name, (long long)count, MAX_ELEMENTS);
    n->weight = new_floats(g, count, 0);
    n->bias = bias ? new_floats(g, n->shape.c, 0) : NULL;
    if (!n->weight || (bias && !n->bias))
        return BASE_NOMEM;
    return append(g, name, n);
}

int graph_add_conv(struct graph *g, const char *name, int in, int cout, int kh, int kw, int stride, const int pad_tlbr[4], bool depthwise, bool bias)
{
    int rc = check_window(g, name, in, kh, kw, stride, pad_tlbr);
    if (rc)
        return rc;
    int cin = g->node[in].shape.c;
    if (depthwise && cin != cout)
        return base_fail(BASE_INPUT, "node '%s': a depthwise Conv has as many outputs (%d) as inputs (%d)", name, cout, cin);
    struct graph_node n = window_node(g, GRAPH_CONV, in, cout, kh, kw, stride, pad_tlbr);
    n.depthwise = depthwise;
    return append_weighted(g, name, &n, depthwise ? 1 : cin, bias);
}

int graph_add_dense(struct graph *g, const char *name, int in, int cout, bool bias)
{
    int rc = check_inputs(g, name, &in, 1);
    if (rc)
        return rc;
    struct graph_shape s = g->node[in].shape;
    struct graph_node n = window_node(g, GRAPH_DENSE, in, cout, s.h, s.w, 1, (const int[4]){ 0, 0, 0, 0 });
    return append_weighted(g, name, &n, s.c, bias);
}

/* A node that keeps its input's shape. */
static int add_same(struct graph *g, const char *name, int in, enum graph_op op)
{
    int rc = check_inputs(g, name, &in, 1);
    if (rc)
        return rc;
    struct graph_node n = { .op = op, .n_in = 1, .in = { in }, .shape = g->node[in].shape };
    return append(g, name, &n);
}

int graph_add_batchnorm(struct graph *g, const char *name, int in)
{
    int i = add_same(g, name, in, GRAPH_BATCHNORM);
    if (i < 0)
        return i;
    struct graph_node *n = &g->node[i];
    n->gamma = new_floats(g, n->shape.c, 1);
    n->beta = new_floats(g, n->shape.c, 0);
    n->mean = new_floats(g, n->shape.c, 0);
    n->var = new_floats(g, n->shape.c, 1);
    n->eps = 1e-5f;
    return n->gamma && n->beta && n->mean && n->var ? i : BASE_NOMEM;
}

int graph_add_relu(struct graph *g, const char *name, int in, enum graph_op relu_or_relu6)
{
    if (relu_or_relu6 != GRAPH_RELU && relu_or_relu6 != GRAPH_RELU6)
        return base_fail(BASE_INPUT, "node '%s': %s is not a ReLU", name, graph_op_name(relu_or_relu6));
    return add_same(g, name, in, relu_or_relu6);
}

int graph_add_unary(struct graph *g, const char *name, int in, enum graph_op op)
{
    if (op != GRAPH_FLATTEN && op != GRAPH_SOFTMAX)
        return base_fail(BASE_INPUT, "node '%s': %s is not Flatten or Softmax", name, graph_op_name(op));
    return add_same(g, name, in, op);
}

static bool same_shape(struct graph_shape a, struct graph_shape b)
{
    return a.h == b.h && a.w == b.w && a.c == b.c;
}

int graph_add_add(struct graph *g, const char *name, int a, int b)
{
    int rc = check_inputs(g, name, (const int[2]){ a, b }, 2);
    if (rc)
        return rc;
    struct graph_shape s = g->node[a].shape, t = g->node[b].shape;
    if (!same_shape(s, t))
        return base_fail(BASE_INPUT, "node '%s': Add of a %d x %d x %d map ('%s') and a %d x %d x %d map ('%s'): shapes must be equal",
                         name, s.h, s.w, s.c, g->node[a].name, t.h, t.w, t.c, g->node[b].name);
    struct graph_node n = { .op = GRAPH_ADD, .n_in = 2, .in = { a, b }, .shape = s };
    return append(g, name, &n);
}

int graph_add_concat(struct graph *g, const char *name, const int *in, int n_in)
{
    if (n_in < 1 || n_in > op_inputs[GRAPH_CONCAT])
        return base_fail(BASE_INPUT, "node '%s': Concat of %d maps (1..%d are supported)", name, n_in, op_inputs[GRAPH_CONCAT]);
    int rc = check_inputs(g, name, in, n_in);
    if (rc)
        return rc;
    struct graph_node n = { .op = GRAPH_CONCAT, .n_in = n_in, .shape = g->node[in[0]].shape };
    n.shape.c = 0;
    for (int i = 0; i < n_in; i++) {
        struct graph_shape s = g->node[in[i]].shape;
        if (s.h != n.shape.h || s.w != n.shape.w)
            return base_fail(BASE_INPUT, "node '%s': Concat of a %d x %d and a %d x %d map ('%s'): sides must be equal",
                             name, n.shape.h, n.shape.w, s.h, s.w, g->node[in[i]].name);
        n.in[i] = in[i];
        n.shape.c += s.c;
    }
    return append(g, name, &n);
}

int graph_add_pool(struct graph *g, const char *name, int in, enum graph_op max_or_avg, int kh, int kw, int stride, const int pad_tlbr[4])
{
    if (max_or_avg != GRAPH_MAXPOOL && max_or_avg != GRAPH_AVGPOOL)
        return base_fail(BASE_INPUT, "node '%s': %s is not a pooling operator", name, graph_op_name(max_or_avg));
    int rc = check_window(g, name, in, kh, kw, stride, pad_tlbr);
    if (rc)
        return rc;
    struct graph_node n = window_node(g, max_or_avg, in, g->node[in].shape.c, kh, kw, stride, pad_tlbr);
    return append(g, name, &n);
}

int graph_add_shortcut(struct graph *g, const char *name, int in, int cout, int stride, int chan_before)
{
    int rc = check_inputs(g, name, &in, 1);
    if (rc)
        return rc;
    struct graph_shape s = g->node[in].shape;
    if (stride < 1 || stride > MAX_SIDE || chan_before < 0 || cout > MAX_CHANNELS || chan_before > cout - s.c)
        return base_fail(BASE_INPUT, "node '%s': Shortcut of %d channels to %d with %d before, stride %d does not fit", name, s.c, cout, chan_before, stride);
    struct graph_node n = { .op = GRAPH_SHORTCUT, .n_in = 1, .in = { in }, .kh = 1, .kw = 1, .stride = stride, .chan_before = chan_before,
                            .shape = { (s.h - 1) / stride + 1, (s.w - 1) / stride + 1, cout } };
    return append(g, name, &n);
}

/* ---- counts ------------------------------------------------------------------- */

static int64_t weight_count(const struct graph *g, const struct graph_node *n)
{
    if (!n->weight)
        return 0;
    int cin = n->depthwise ? 1 : g->node[n->in[0]].shape.c;
    return (int64_t)n->shape.c * n->kh * n->kw * cin;
}

int64_t graph_macs(const struct graph *g, int node)
{
    const struct graph_node *n = &g->node[node];
    return weight_count(g, n) * n->shape.h * n->shape.w;
}

int64_t graph_node_params(const struct graph *g, int node)
{
    const struct graph_node *n = &g->node[node];
    return weight_count(g, n) + (n->bias ? n->shape.c : 0) + (n->gamma ? 2 * n->shape.c : 0);
}

int64_t graph_params(const struct graph *g)
{
    int64_t sum = 0;
    for (int i = 0; i < g->n_node; i++)
        sum += graph_node_params(g, i);
    return sum;
}

/* ---- whole-graph rules ---------------------------------------------------------- */

static int check_finite(const char *node, const char *what, const float *v, int64_t n)
{
    for (int64_t i = 0; v && i < n; i++)
        if (!isfinite(v[i]))
            return base_fail(BASE_INPUT, "node '%s': %s[%lld] is not a finite number", node, what, (long long)i);
    return BASE_OK;
}

static int check_parameters(const struct graph *g, const struct graph_node *n)
{
    int c = n->shape.c, rc = BASE_OK;
    if ((rc = check_finite(n->name, "weight", n->weight, weight_count(g, n))) || (rc = check_finite(n->name, "bias", n->bias, c)) ||
        (rc = check_finite(n->name, "gamma", n->gamma, c)) || (rc = check_finite(n->name, "beta", n->beta, c)) ||
        (rc = check_finite(n->name, "mean", n->mean, c)) || (rc = check_finite(n->name, "var", n->var, c)))
        return rc;
    for (int i = 0; n->var && i < c; i++)
        if (n->var[i] + n->eps <= 0)
            return base_fail(BASE_INPUT, "node '%s': variance of channel %d is %g; variance + eps must be positive", n->name, i, (double)n->var[i]);
    return BASE_OK;
}

static int check_prep(const struct graph_prep *p, const struct graph *g)
{
    int c = g->node[0].shape.c;
    if (p->n && (p->n != c || c > GRAPH_MAX_PREP))
        return base_fail(BASE_INPUT, "graph '%s': %d means and deviations for an input of %d channels (none or as many are possible, at most %d)", g->name, p->n, c, GRAPH_MAX_PREP);
    for (int i = 0; i < p->n; i++)
        if (!isfinite(p->mean[i]) || !(p->std[i] > 0) || !isfinite(p->std[i]))
            return base_fail(BASE_INPUT, "graph '%s': normalization of channel %d: mean %g, std %g; std must be positive", g->name, i, (double)p->mean[i], (double)p->std[i]);
    if (!(p->scale > 0) || !isfinite(p->scale))
        return base_fail(BASE_INPUT, "graph '%s': pixel scale %g must be positive", g->name, (double)p->scale);
    return BASE_OK;
}

/* The shape that a node's inputs and window demand; parameters changed in place must not change it. */
static struct graph_shape expected_shape(const struct graph *g, const struct graph_node *n)
{
    struct graph_shape in = n->n_in ? g->node[n->in[0]].shape : n->shape, out = in;
    switch (n->op) {
    case GRAPH_CONV:
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL:
        out = (struct graph_shape){ window_out(in.h, n->pad_t, n->pad_b, n->kh, n->stride),
                                    window_out(in.w, n->pad_l, n->pad_r, n->kw, n->stride), n->op == GRAPH_CONV ? n->shape.c : in.c };
        break;
    case GRAPH_SHORTCUT:
        out = (struct graph_shape){ (in.h - 1) / n->stride + 1, (in.w - 1) / n->stride + 1, n->shape.c };
        break;
    case GRAPH_DENSE:
        out = (struct graph_shape){ 1, 1, n->shape.c };
        break;
    case GRAPH_CONCAT:
        for (int k = 1; k < n->n_in; k++)
            out.c += g->node[n->in[k]].shape.c;
        break;
    default:
        break;
    }
    return out;
}

/* What the shape of a node rests on besides its input's. */
static bool sane_window(const struct graph *g, const struct graph_node *n)
{
    const struct graph_shape in = g->node[n->in[0]].shape;
    switch (n->op) {
    case GRAPH_CONV:
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL:
        return n->kh > 0 && n->kw > 0 && n->stride > 0 && (!n->depthwise || in.c == n->shape.c);
    case GRAPH_DENSE:
        return n->kh == in.h && n->kw == in.w;
    case GRAPH_SHORTCUT:
        return n->stride > 0 && n->chan_before >= 0 && n->chan_before <= n->shape.c - in.c;
    default:
        return true;
    }
}

static int check_against_inputs(const struct graph *g, int i)
{
    const struct graph_node *n = &g->node[i];
    if (i && n->n_in < 1)
        return base_fail(BASE_INPUT, "node '%s': it has no input", n->name);
    if (n->n_in > op_inputs[n->op] || (n->op == GRAPH_ADD && n->n_in != 2))
        return base_fail(BASE_INPUT, "node '%s': %s with %d inputs", n->name, graph_op_name(n->op), n->n_in);
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] < 0 || n->in[k] >= i)
            return base_fail(BASE_INPUT, "node '%s': nodes are not in topological order", n->name);
    if (i && (!sane_window(g, n) || !same_shape(expected_shape(g, n), n->shape)))
        return base_fail(BASE_INPUT, "node '%s': its output %d x %d x %d does not follow from its inputs", n->name, n->shape.h, n->shape.w, n->shape.c);
    return BASE_OK;
}

int graph_check(const struct graph *g)
{
    if (g->n_node < 2 || g->node[0].op != GRAPH_INPUT)
        return base_fail(BASE_INPUT, "graph '%s': it must begin with an input and have at least one more node", g->name);
    if (g->output < 1 || g->output >= g->n_node)
        return base_fail(BASE_INPUT, "graph '%s': it has no output", g->name);
    int rc = check_prep(&g->prep, g);
    for (int i = 0; !rc && i < g->n_node; i++) {
        const struct graph_node *n = &g->node[i];
        if ((n->op == GRAPH_INPUT) != (i == 0))
            return base_fail(BASE_INPUT, "node '%s': a graph has exactly one input, its first node", n->name);
        if (!(rc = check_shape(n->name, n->shape)) && !(rc = check_against_inputs(g, i)))
            rc = check_parameters(g, n);
    }
    return rc;
}

/* ---- preprocessing ---------------------------------------------------------------- */

/* One mean and deviation for all channels, or none, spelled out for each. */
static void spread_prep(struct graph_prep *out, const struct graph_prep *p, int c)
{
    *out = *p;
    if (p->n > 1 || c > GRAPH_MAX_PREP)
        return;
    out->n = c;
    for (int i = 0; i < c; i++) {
        out->mean[i] = p->n ? p->mean[0] : 0;
        out->std[i] = p->n ? p->std[0] : 1;
    }
}

/* x = (raw - m) / s, what the file does to its input, behind raw = (pixel * scale - mean) / std. */
int graph_prep_set(struct graph *g, const struct graph_prep *p)
{
    int c = g->node[0].shape.c;
    struct graph_prep sum, own;
    spread_prep(&sum, p, c);
    spread_prep(&own, &g->own, c);
    sum.known = true;
    int rc = check_prep(&sum, g);
    for (int i = 0; !rc && i < sum.n; i++) {
        sum.mean[i] += own.mean[i] * sum.std[i];
        sum.std[i] *= own.std[i];
    }
    if (!rc)
        rc = check_prep(&sum, g);
    if (!rc)
        g->prep = sum;
    return rc;
}

int graph_prep_check(const struct graph *g)
{
    if (g->prep.known)
        return BASE_OK;
    return base_hint(base_fail(BASE_INPUT, "%s: how raw pixels become the network's input is not given", g->name),
                     "give it as x = (pixel * scale - mean) / std: ONNX metadata input_scale, input_mean, input_std, "
                     "or YAML `input: {scale: 1/255, mean: [..], std: [..]}` in MODEL.yaml beside the model, in the file of --input, or in the configuration");
}

/* ---- copy ------------------------------------------------------------------------- */

static int copy_floats(struct graph *d, float **p, int64_t n)
{
    if (!*p)
        return BASE_OK;
    float *q = BASE_ARENA_NEW_N(d->arena, float, n);
    if (!q)
        return BASE_NOMEM;
    memcpy(q, *p, sizeof *q * (size_t)n);
    *p = q;
    return BASE_OK;
}

static int copy_node(struct graph *d, const struct graph *g, int i)
{
    struct graph_node n = g->node[i];
    int c = n.shape.c;
    if (copy_floats(d, &n.weight, weight_count(g, &n)) || copy_floats(d, &n.bias, c) || copy_floats(d, &n.gamma, c) ||
        copy_floats(d, &n.beta, c) || copy_floats(d, &n.mean, c) || copy_floats(d, &n.var, c))
        return BASE_NOMEM;
    return append(d, g->node[i].name, &n);
}

struct graph *graph_clone(const struct graph *g)
{
    struct graph *d = graph_new(g->name);
    for (int i = 0; d && i < g->n_node; i++)
        if (copy_node(d, g, i) < 0) {
            graph_free(d);
            return NULL;
        }
    if (d) {
        d->output = g->output;
        d->prep = g->prep;
        d->own = g->own;
    }
    return d;
}
