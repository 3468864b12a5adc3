/* view.c: in which order a tensor of the file holds a graph node's map. */
#include <string.h>

#include "onnx/reader.h"

static const char letters[AXES + 1] = "NHWC";

static int axis_of(char letter)
{
    return (int)(strchr(letters, letter) - letters);
}

void view_lay_out(struct view *v, const char *layout)
{
    v->rank = (int)strlen(layout);
    for (int d = 0; d < v->rank; d++) {
        v->axis[d][0] = (uint8_t)axis_of(layout[d]);
        v->n_axis[d] = v->size[v->axis[d][0]] != 1;
    }
}

struct view view_of(const struct graph *g, int node, int batch, const char *layout)
{
    struct graph_shape s = g->node[node].shape;
    struct view v = { .node = node, .size = { batch, s.h, s.w, s.c }, .step = { 1, 1 } };
    view_lay_out(&v, layout);
    return v;
}

bool view_is(const struct view *v, const char *layout)
{
    struct view w = *v;
    int axes = 0, laid = 0;
    view_lay_out(&w, layout);
    for (int a = 0; a < AXES; a++)
        axes += v->size[a] != 1;
    for (int d = 0; d < w.rank; d++)
        laid += w.n_axis[d];
    return laid == axes && view_same(v, &w);
}

const char *view_layout(const struct view *v)
{
    static const char *const common[] = { "NCHW", "NHWC", "NC" };
    for (int i = 0; i < BASE_COUNT(common); i++)
        if (view_is(v, common[i]))
            return common[i];
    return NULL;
}

int64_t view_dim(const struct view *v, int d)
{
    int64_t n = 1;
    for (int k = 0; k < v->n_axis[d]; k++)
        n *= v->size[v->axis[d][k]];
    return n;
}

bool view_same(const struct view *a, const struct view *b)
{
    if (a->rank != b->rank || memcmp(a->size, b->size, sizeof a->size))
        return false;
    for (int d = 0; d < a->rank; d++)
        if (a->n_axis[d] != b->n_axis[d] || memcmp(a->axis[d], b->axis[d], a->n_axis[d]))
            return false;
    return true;
}

bool view_transpose(struct view *v, const int64_t *perm)
{
    struct view old = *v;
    bool seen[MAX_RANK] = { false };
    for (int d = 0; d < v->rank; d++) {
        if (perm[d] < 0 || perm[d] >= v->rank || seen[perm[d]])
            return false;
        seen[perm[d]] = true;
        v->n_axis[d] = old.n_axis[perm[d]];
        memcpy(v->axis[d], old.axis[perm[d]], sizeof v->axis[d]);
    }
    return true;
}

/* All axes in order, dealt out anew: a dimension takes axes until their product is its size. */
bool view_reshape(struct view *v, const int64_t *dim, int rank)
{
    uint8_t all[AXES];
    int n = 0, k = 0;
    struct view w = *v;
    for (int d = 0; d < v->rank; d++)
        for (int i = 0; i < v->n_axis[d]; i++)
            all[n++] = v->axis[d][i];
    w.rank = rank;
    memset(w.n_axis, 0, sizeof w.n_axis);
    for (int d = 0; d < rank; d++) {
        int64_t have = 1;
        while (k < n && have < dim[d]) {
            have *= v->size[all[k]];
            w.axis[d][w.n_axis[d]++] = all[k++];
        }
        if (have != dim[d])
            return false;
    }
    if (k < n)
        return false;
    *v = w;
    return true;
}

int view_axis(const struct view *v, int d)
{
    const char *layout = view_layout(v);
    return layout ? axis_of(layout[d]) : v->n_axis[d] == 1 ? v->axis[d][0] : -1;
}
