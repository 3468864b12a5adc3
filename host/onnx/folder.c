/* folder.c: operators on constants alone, computed while reading: the shape arithmetic that exporters write
 * (Shape, Gather, Concat, ... behind a view's shape) and weights that are stored one operator away. */
#include <math.h>
#include <string.h>

#include "onnx/reader.h"

typedef int fold_fn(struct reader *r, const node_t *n);

static int too_large(struct reader *r, int rc)
{
    return rc ? rc : refuse(r, "its result on constants is too large");
}

static void copy_element(struct constant *to, int64_t k, const struct constant *from, int64_t i)
{
    if (to->f)
        to->f[k] = from->f[i];
    else
        to->i[k] = from->i[i];
}

/* Row-major strides, in elements. */
static void strides_of(const struct constant *c, int64_t *stride)
{
    int64_t s = 1;
    for (int d = c->rank - 1; d >= 0; d--) {
        stride[d] = s;
        s *= c->dim[d];
    }
}

/* Count up a row-major index; the last dimension moves first. */
static void next_index(int64_t *index, const int64_t *dim, int rank)
{
    for (int d = rank - 1; d >= 0 && ++index[d] == dim[d]; d--)
        index[d] = 0;
}

/* to[k] = from[start + sum of index[d] * stride[d]] over all of `to`. */
static void gather_strided(struct constant *to, const struct constant *from, int64_t start, const int64_t *stride)
{
    int64_t index[MAX_RANK] = { 0 };
    for (int64_t k = 0; k < to->count; k++) {
        int64_t at = start;
        for (int d = 0; d < to->rank; d++)
            at += index[d] * stride[d];
        copy_element(to, k, from, at);
        next_index(index, to->dim, to->rank);
    }
}

/* ---- element by element ---------------------------------------------------------- */

static int64_t saturate(double v)
{
    return v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? INT64_MIN : isnan(v) ? 0 : (int64_t)v;
}

static int64_t wrap(char op, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    switch (op) {
    case '+': return (int64_t)(x + y);
    case '-': return (int64_t)(x - y);
    case '*': return (int64_t)(x * y);
    case '/': return b == 0 ? 0 : b == -1 ? (int64_t)(0 - x) : a / b;
    case '<': return BASE_MIN(a, b);
    case '>': return BASE_MAX(a, b);
    default: return a == b;
    }
}

static float arithmetic(char op, float a, float b)
{
    switch (op) {
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    case '/': return a / b;
    case '<': return fminf(a, b);
    case '>': return fmaxf(a, b);
    default: return powf(a, b);
    }
}

/* Dimensions of operands joined as NumPy does; strides of each in the result (0 where it is repeated). */
static bool broadcast(const struct constant *const *in, int n, int64_t *dim, int *rank, int64_t stride[][MAX_RANK])
{
    *rank = 0;
    for (int k = 0; k < n; k++)
        *rank = BASE_MAX(*rank, in[k]->rank);
    for (int d = 0; d < *rank; d++)
        dim[d] = 1;
    for (int k = 0; k < n; k++) {
        int64_t own[MAX_RANK];
        int skip = *rank - in[k]->rank;
        strides_of(in[k], own);
        for (int d = 0; d < *rank; d++) {
            int64_t size = d < skip ? 1 : in[k]->dim[d - skip];
            if (size != 1 && dim[d] != 1 && dim[d] != size)
                return false;
            if (size != 1)
                dim[d] = size;
            stride[k][d] = size == 1 ? 0 : own[d - skip];
        }
    }
    return true;
}

static int fold_binary(struct reader *r, const node_t *n)
{
    static const struct { const char *type; char op; } ops[] = { { "Add", '+' }, { "Sub", '-' }, { "Mul", '*' }, { "Div", '/' }, { "Equal", '=' }, { "Min", '<' }, { "Max", '>' }, { "Pow", '^' } };
    const struct constant *in[2] = { in_constant(r, n, 0), in_constant(r, n, 1) };
    int64_t dim[MAX_RANK], stride[2][MAX_RANK], index[MAX_RANK] = { 0 };
    int rank, rc;
    char op = 0;
    for (int i = 0; i < BASE_COUNT(ops); i++)
        if (!strcmp(n->op_type, ops[i].type))
            op = ops[i].op;
    if (n->n_input != 2 || !in[0] || !in[1] || !in[0]->f != !in[1]->f || (op == '=' && in[0]->f) || (op == '^' && !in[0]->f))
        return refuse(r, "needs two constants of one type");
    if (!broadcast(in, 2, dim, &rank, stride))
        return refuse(r, "shapes of its constants do not fit each other");
    struct constant *c = constant_new(r, in[0]->f != NULL, dim, rank, &rc);
    if (!c)
        return too_large(r, rc);
    for (int64_t k = 0; k < c->count; k++) {
        int64_t a = 0, b = 0;
        for (int d = 0; d < rank; d++) {
            a += index[d] * stride[0][d];
            b += index[d] * stride[1][d];
        }
        if (c->f)
            c->f[k] = arithmetic(op, in[0]->f[a], in[1]->f[b]);
        else
            c->i[k] = wrap(op, in[0]->i[a], in[1]->i[b]);
        next_index(index, dim, rank);
    }
    return define_constant(r, n, c);
}

static int fold_where(struct reader *r, const node_t *n)
{
    const struct constant *in[3] = { in_constant(r, n, 0), in_constant(r, n, 1), in_constant(r, n, 2) };
    int64_t dim[MAX_RANK], stride[3][MAX_RANK], index[MAX_RANK] = { 0 };
    int rank, rc;
    if (!in[0] || !in[1] || !in[2] || in[0]->f || !in[1]->f != !in[2]->f || !broadcast(in, 3, dim, &rank, stride))
        return refuse(r, "needs a condition and two constants of one type and shape");
    struct constant *c = constant_new(r, in[1]->f != NULL, dim, rank, &rc);
    if (!c)
        return too_large(r, rc);
    for (int64_t k = 0; k < c->count; k++) {
        int64_t at[3] = { 0 };
        for (int j = 0; j < 3; j++)
            for (int d = 0; d < rank; d++)
                at[j] += index[d] * stride[j][d];
        int from = in[0]->i[at[0]] ? 1 : 2;
        copy_element(c, k, in[from], at[from]);
        next_index(index, dim, rank);
    }
    return define_constant(r, n, c);
}

static float unary(const char *op, float v)
{
    return !strcmp(op, "Neg") ? -v : !strcmp(op, "Sqrt") ? sqrtf(v) : !strcmp(op, "Reciprocal") ? 1 / v : !strcmp(op, "Floor") ? floorf(v) : !strcmp(op, "Ceil") ? ceilf(v) : expf(v);
}

static int fold_unary(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int rc;
    if (!a->f && strcmp(n->op_type, "Neg"))
        return refuse(r, "needs floats");
    struct constant *c = constant_new(r, a->f != NULL, a->dim, a->rank, &rc);
    if (!c)
        return too_large(r, rc);
    for (int64_t k = 0; k < c->count; k++)
        if (c->f)
            c->f[k] = unary(n->op_type, a->f[k]);
        else
            c->i[k] = wrap('-', 0, a->i[k]);
    return define_constant(r, n, c);
}

static int fold_cast(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t to = attribute_int(n, "to", 0);
    bool is_float = to == 1 || to == 10 || to == 11 || to == 16;
    int rc;
    if (to < 1 || to > 16 || to == 8 || to == 14 || to == 15)
        return refuse(r, "casts to a type that is not supported (%lld)", (long long)to);
    struct constant *c = constant_new(r, is_float, a->dim, a->rank, &rc);
    if (!c)
        return too_large(r, rc);
    for (int64_t k = 0; k < c->count; k++)
        if (is_float)
            c->f[k] = a->f ? a->f[k] : (float)a->i[k];
        else if (to == 9)
            c->i[k] = a->f ? a->f[k] != 0 : a->i[k] != 0;
        else
            c->i[k] = a->f ? saturate((double)a->f[k]) : a->i[k];
    return define_constant(r, n, c);
}

/* (q - zero) * scale, one scale or one for each index of an axis. */
static int fold_dequantize(struct reader *r, const node_t *n)
{
    const struct constant *q = in_constant(r, n, 0), *scale = in_constant(r, n, 1), *zero = in_constant(r, n, 2);
    int rc, axis = normal_axis(attribute_int(n, "axis", 1), q->rank);
    bool each = scale && scale->count != 1;
    if (q->f || !scale || !scale->f || (zero && (zero->f || zero->count != scale->count)) || (each && (axis < 0 || scale->rank != 1 || scale->count != q->dim[axis])) || attribute_int(n, "block_size", 0))
        return refuse(r, "needs integers with one scale, or one for each index of an axis");
    struct constant *c = constant_new(r, true, q->dim, q->rank, &rc);
    if (!c)
        return too_large(r, rc);
    int64_t stride[MAX_RANK];
    strides_of(q, stride);
    for (int64_t k = 0; k < c->count; k++) {
        int64_t s = each ? k / stride[axis] % q->dim[axis] : 0;
        c->f[k] = (float)(q->i[k] - (zero ? zero->i[s] : 0)) * scale->f[s];
    }
    return define_constant(r, n, c);
}

/* ---- shapes ------------------------------------------------------------------------ */

/* The same elements under another shape. */
static int define_shaped(struct reader *r, const node_t *n, const struct constant *a, const int64_t *dim, int rank)
{
    int64_t count;
    if (rank > MAX_RANK || !count_elements(dim, rank, INT32_MAX, &count) || count != a->count)
        return refuse(r, "its shape does not fit its input");
    struct constant *c = BASE_ARENA_NEW(r->arena, struct constant);
    if (!c)
        return BASE_NOMEM;
    *c = *a; /* constants do not change: the elements are shared */
    c->rank = rank;
    if (rank)
        memcpy(c->dim, dim, sizeof *dim * (size_t)rank);
    return define_constant(r, n, c);
}

static int fold_same(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    return define_shaped(r, n, a, a->dim, a->rank);
}

static int fold_shape(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int rc;
    struct constant *c = constant_ints(r, a->dim, a->rank, &rc);
    return c ? define_constant(r, n, c) : too_large(r, rc);
}

static int fold_reshape(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t dim[MAX_RANK], rest = 1;
    int rank = read_ints(r, n, "shape", 1, dim, MAX_RANK), open = -1;
    if (rank < 0)
        return refuse(r, "needs a constant shape");
    for (int d = 0; d < rank; d++) {
        if (dim[d] == 0 && d < a->rank && !attribute_int(n, "allowzero", 0))
            dim[d] = a->dim[d];
        if (dim[d] == -1 && open < 0)
            open = d;
        else if (dim[d] < 0 || (dim[d] && rest > INT32_MAX / dim[d]))
            return refuse(r, "its shape does not fit its input");
        else
            rest *= dim[d];
    }
    if (open >= 0)
        dim[open] = rest ? a->count / rest : 0;
    return define_shaped(r, n, a, dim, rank);
}

static int fold_unsqueeze(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t axis[MAX_RANK], dim[MAX_RANK] = { 0 };
    int k = read_ints(r, n, "axes", 1, axis, MAX_RANK), rank = a->rank + k, from = 0;
    if (k < 1 || rank > MAX_RANK)
        return refuse(r, "needs constant axes");
    for (int j = 0; j < k; j++) {
        int at = normal_axis(axis[j], rank);
        if (at < 0 || dim[at])
            return refuse(r, "its axes do not fit its input");
        dim[at] = 1;
    }
    for (int d = 0; d < rank; d++)
        if (!dim[d])
            dim[d] = a->dim[from++];
    return define_shaped(r, n, a, dim, rank);
}

static int fold_squeeze(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t axis[MAX_RANK], dim[MAX_RANK];
    bool drop[MAX_RANK] = { false };
    int k = read_ints(r, n, "axes", 1, axis, MAX_RANK), rank = 0;
    if (k == -2)
        return refuse(r, "needs constant axes");
    for (int d = 0; k == -1 && d < a->rank; d++)
        drop[d] = a->dim[d] == 1;
    for (int j = 0; j < k; j++) {
        int at = normal_axis(axis[j], a->rank);
        if (at < 0 || a->dim[at] != 1)
            return refuse(r, "its axes do not fit its input");
        drop[at] = true;
    }
    for (int d = 0; d < a->rank; d++)
        if (!drop[d])
            dim[rank++] = a->dim[d];
    return define_shaped(r, n, a, dim, rank);
}

static int fold_transpose(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t perm[MAX_RANK], dim[MAX_RANK], own[MAX_RANK], stride[MAX_RANK];
    int k = read_ints(r, n, "perm", -1, perm, MAX_RANK), rc;
    bool seen[MAX_RANK] = { false };
    for (int d = 0; k == -1 && d < a->rank; d++)
        perm[d] = a->rank - 1 - d;
    if (k >= 0 && k != a->rank)
        return refuse(r, "its perm does not fit its input");
    strides_of(a, own);
    for (int d = 0; d < a->rank; d++) {
        if (perm[d] < 0 || perm[d] >= a->rank || seen[perm[d]])
            return refuse(r, "its perm does not fit its input");
        seen[perm[d]] = true;
        dim[d] = a->dim[perm[d]];
        stride[d] = own[perm[d]];
    }
    struct constant *c = constant_new(r, a->f != NULL, dim, a->rank, &rc);
    if (!c)
        return too_large(r, rc);
    gather_strided(c, a, 0, stride);
    return define_constant(r, n, c);
}

/* The operands' blocks of `inner` elements along the axis, one operand after the other. */
static int fold_concat(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t dim[MAX_RANK], sum = 0, inner = 1, offset = 0;
    int axis = normal_axis(attribute_int(n, "axis", 0), a->rank), rc;
    if (axis < 0)
        return refuse(r, "its axis does not fit its inputs");
    for (size_t i = 0; i < n->n_input; i++) {
        const struct constant *b = in_constant(r, n, i);
        if (!b || b->rank != a->rank || !b->f != !a->f)
            return refuse(r, "its inputs do not fit each other");
        for (int d = 0; d < a->rank; d++)
            if (d != axis && b->dim[d] != a->dim[d])
                return refuse(r, "its inputs do not fit each other");
        sum += b->dim[axis];
    }
    memcpy(dim, a->dim, sizeof dim);
    dim[axis] = sum;
    for (int d = axis + 1; d < a->rank; d++)
        inner *= dim[d];
    struct constant *c = constant_new(r, a->f != NULL, dim, a->rank, &rc);
    if (!c)
        return too_large(r, rc);
    for (size_t i = 0; i < n->n_input; i++) {
        const struct constant *b = in_constant(r, n, i);
        int64_t block = b->dim[axis] * inner;
        for (int64_t k = 0; k < b->count; k++)
            copy_element(c, k / block * sum * inner + offset + k % block, b, k);
        offset += block;
    }
    return define_constant(r, n, c);
}

/* Along one axis by a vector or a single index. */
static int fold_gather(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0), *at = in_constant(r, n, 1);
    int axis = normal_axis(attribute_int(n, "axis", 0), a->rank), rank = 0, rc;
    int64_t dim[MAX_RANK], inner = 1;
    if (axis < 0 || !at || at->f || at->rank > 1)
        return refuse(r, "needs a constant index");
    for (int d = 0; d < a->rank; d++) {
        if (d != axis || at->rank)
            dim[rank++] = d == axis ? at->count : a->dim[d];
        if (d > axis)
            inner *= a->dim[d];
    }
    for (int64_t k = 0; k < at->count; k++)
        if (at->i[k] < -a->dim[axis] || at->i[k] >= a->dim[axis])
            return refuse(r, "its index is outside its input");
    struct constant *c = constant_new(r, a->f != NULL, dim, rank, &rc);
    if (!c)
        return too_large(r, rc);
    for (int64_t k = 0; k < c->count; k++) {
        int64_t i = at->i[k / inner % at->count];
        i += i < 0 ? a->dim[axis] : 0;
        copy_element(c, k, a, (k / inner / at->count * a->dim[axis] + i) * inner + k % inner);
    }
    return define_constant(r, n, c);
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return BASE_MAX(lo, BASE_MIN(v, hi));
}

static int fold_slice(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t start[MAX_RANK], end[MAX_RANK], axis[MAX_RANK], step[MAX_RANK], dim[MAX_RANK], stride[MAX_RANK], from = 0;
    int k = read_ints(r, n, "starts", 1, start, MAX_RANK), rc;
    int ka = read_ints(r, n, "axes", 3, axis, MAX_RANK), ks = read_ints(r, n, "steps", 4, step, MAX_RANK);
    if (k < 1 || read_ints(r, n, "ends", 2, end, MAX_RANK) != k || (ka != -1 && ka != k) || (ks != -1 && ks != k))
        return refuse(r, "needs constant starts, ends, axes and steps");
    memcpy(dim, a->dim, sizeof dim);
    strides_of(a, stride);
    for (int j = 0; j < k; j++) {
        int d = normal_axis(ka == -1 ? j : axis[j], a->rank);
        int64_t s = ks == -1 ? 1 : step[j], size = d < 0 ? 0 : a->dim[d];
        if (d < 0 || s == 0 || s < -INT32_MAX || s > INT32_MAX || dim[d] != size)
            return refuse(r, "its axes or steps do not fit its input");
        int64_t b = clamp(start[j] + (start[j] < 0 ? size : 0), 0, s > 0 ? size : size - 1);
        int64_t e = clamp(end[j] + (end[j] < 0 ? size : 0), s > 0 ? 0 : -1, size);
        dim[d] = !size ? 0 : s > 0 ? BASE_MAX(0, (e - b + s - 1) / s) : BASE_MAX(0, (b - e - s - 1) / -s);
        from += b * stride[d];
        stride[d] *= s;
    }
    struct constant *c = constant_new(r, a->f != NULL, dim, a->rank, &rc);
    if (!c)
        return too_large(r, rc);
    gather_strided(c, a, from, stride);
    return define_constant(r, n, c);
}

static int fold_constant_of_shape(struct reader *r, const node_t *n)
{
    const Onnx__AttributeProto *a = attribute(n, "value");
    struct constant *value = NULL;
    int64_t dim[MAX_RANK];
    int rank = read_ints(r, n, NULL, 0, dim, MAX_RANK), rc = BASE_OK;
    if (rank < 0 || (a && !a->t))
        return refuse(r, "needs a constant shape");
    if (a && (rc = constant_read(r, a->t, &value)))
        return rc;
    if (value && value->count != 1)
        return refuse(r, "its value is not one number");
    struct constant *c = constant_new(r, !value || value->f, dim, rank, &rc);
    if (!c)
        return too_large(r, rc);
    for (int64_t k = 0; value && k < c->count; k++)
        copy_element(c, k, value, 0);
    return define_constant(r, n, c);
}

static int fold_expand(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    struct constant shape = { 0 };
    int64_t dim[MAX_RANK], stride[2][MAX_RANK];
    int rank = read_ints(r, n, NULL, 1, shape.dim, MAX_RANK), rc;
    const struct constant *in[2] = { a, &shape };
    shape.rank = rank;
    if (rank < 0 || !count_elements(shape.dim, rank, INT32_MAX, &shape.count) || !broadcast(in, 2, dim, &rank, stride))
        return refuse(r, "its shape does not fit its input");
    struct constant *c = constant_new(r, a->f != NULL, dim, rank, &rc);
    if (!c)
        return too_large(r, rc);
    gather_strided(c, a, 0, stride[0]);
    return define_constant(r, n, c);
}

static int fold_range(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0), *b = in_constant(r, n, 1), *s = in_constant(r, n, 2);
    int rc;
    if (!a || !b || !s || a->f || b->f || s->f || a->count != 1 || b->count != 1 || s->count != 1 || !s->i[0])
        return refuse(r, "needs three integers");
    double span = ((double)b->i[0] - (double)a->i[0]) / (double)s->i[0];
    int64_t count = span <= 0 ? 0 : span > INT32_MAX ? INT32_MAX : (int64_t)ceil(span);
    struct constant *c = constant_new(r, false, &count, 1, &rc);
    if (!c)
        return too_large(r, rc);
    for (int64_t k = 0; k < count; k++)
        c->i[k] = wrap('+', a->i[0], wrap('*', k, s->i[0]));
    return define_constant(r, n, c);
}

static int fold_reduce_prod(struct reader *r, const node_t *n)
{
    const struct constant *a = in_constant(r, n, 0);
    int64_t product = 1, one = 1;
    int rc;
    if (a->f || a->rank != 1 || a->count > MAX_RANK)
        return refuse(r, "is computed only on a short vector of integers");
    for (int64_t k = 0; k < a->count; k++)
        product = wrap('*', product, a->i[k]);
    struct constant *c = constant_new(r, false, &one, attribute_int(n, "keepdims", 1) ? 1 : 0, &rc);
    if (!c)
        return too_large(r, rc);
    c->i[0] = product;
    return define_constant(r, n, c);
}

static const struct { const char *type; fold_fn *fold; } folders[] = {
    { "Add", fold_binary },       { "Sub", fold_binary },       { "Mul", fold_binary },         { "Div", fold_binary },
    { "Equal", fold_binary },     { "Min", fold_binary },       { "Max", fold_binary },         { "Pow", fold_binary },
    { "Where", fold_where },      { "Neg", fold_unary },        { "Sqrt", fold_unary },         { "Reciprocal", fold_unary },
    { "Floor", fold_unary },      { "Ceil", fold_unary },       { "Exp", fold_unary },          { "Cast", fold_cast },
    { "DequantizeLinear", fold_dequantize }, { "Identity", fold_same }, { "Dropout", fold_same }, { "Shape", fold_shape },
    { "Reshape", fold_reshape },  { "Unsqueeze", fold_unsqueeze }, { "Squeeze", fold_squeeze }, { "Transpose", fold_transpose },
    { "Concat", fold_concat },    { "Gather", fold_gather },    { "Slice", fold_slice },        { "ConstantOfShape", fold_constant_of_shape },
    { "Expand", fold_expand },    { "Range", fold_range },      { "ReduceProd", fold_reduce_prod },
};

bool fold_knows(const char *type)
{
    for (int i = 0; i < BASE_COUNT(folders); i++)
        if (!strcmp(type, folders[i].type))
            return true;
    return false;
}

int fold_node(struct reader *r, const node_t *n)
{
    if (!in_constant(r, n, 0))
        return 1;
    for (int i = 0; i < BASE_COUNT(folders); i++)
        if (!strcmp(n->op_type, folders[i].type))
            return folders[i].fold(r, n);
    return 1;
}
