/* graph: channels that exist together, held against a slow fixed point, and their removal, held against
 * the same graph with those channels zero. */
#define _GNU_SOURCE
#include "unit.h"

#include "graph_run.h"

static const int pad0[4] = { 0, 0, 0, 0 }, pad1[4] = { 1, 1, 1, 1 };

/* ---- the oracle -------------------------------------------------------------------- */

/* Channel of input k that becomes channel c of the node; -1: none. */
static int source_of(const struct graph *g, const struct graph_node *n, int k, int c)
{
    int cin = g->node[n->in[k]].shape.c;
    if (n->op == GRAPH_CONCAT)
        for (int j = 0; j < k; j++)
            c -= g->node[n->in[j]].shape.c;
    if (n->op == GRAPH_SHORTCUT)
        c -= n->chan_before;
    return (n->weight && !n->depthwise) || c < 0 || c >= cin ? -1 : c;
}

/* Everything that has to go with one channel: passed up and down until nothing changes. */
static void closure(const struct graph *g, bool **mark)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < g->n_node; i++)
            for (int k = 0; k < g->node[i].n_in; k++)
                for (int c = 0; c < g->node[i].shape.c; c++) {
                    int s = source_of(g, &g->node[i], k, c);
                    if (s >= 0 && mark[i][c] != mark[g->node[i].in[k]][s])
                        mark[i][c] = mark[g->node[i].in[k]][s] = changed = true;
                }
    }
}

static bool **marks(const struct graph *g)
{
    bool **m = BASE_NEW_N(bool *, g->n_node);
    for (int i = 0; i < g->n_node; i++)
        m[i] = BASE_NEW_N(bool, g->node[i].shape.c);
    return m;
}

static void marks_free(const struct graph *g, bool **m)
{
    for (int i = 0; i < g->n_node; i++)
        base_free(m[i]);
    base_free(m);
}

static void assert_units(const struct graph *g, const struct graph_channels *ch)
{
    for (int i = 0; i < g->n_node; i++)
        for (int c = 0; c < g->node[i].shape.c; c++) {
            bool **m = marks(g);
            m[i][c] = true;
            closure(g, m);
            for (int j = 0; j < g->n_node; j++)
                for (int d = 0; d < g->node[j].shape.c; d++)
                    assert_int_equal(m[j][d], graph_unit(ch, j, d) == graph_unit(ch, i, c));
            marks_free(g, m);
        }
}

static bool node_has(const struct graph *g, const struct graph_channels *ch, int node, int unit)
{
    for (int c = 0; c < g->node[node].shape.c; c++)
        if (graph_unit(ch, node, c) == unit)
            return true;
    return false;
}

/* Two units are of one block exactly if the same nodes have them; the sizes add up. */
static void assert_blocks(const struct graph *g, const struct graph_channels *ch)
{
    int *size = BASE_NEW_N(int, ch->n_block);
    for (int u = 0; u < ch->n_unit; u++) {
        size[ch->block[u]]++;
        assert_int_equal(ch->fixed[ch->block[u]], node_has(g, ch, 0, u) || node_has(g, ch, g->output, u));
        for (int v = 0; v < u; v++) {
            bool same = true;
            for (int i = 0; i < g->n_node; i++)
                same &= node_has(g, ch, i, u) == node_has(g, ch, i, v);
            assert_int_equal(same, ch->block[u] == ch->block[v]);
        }
    }
    for (int b = 0; b < ch->n_block; b++)
        assert_int_equal(size[b], ch->size[b]);
    base_free(size);
}

/* ---- networks ------------------------------------------------------------------------ */

static int conv(struct graph *g, const char *name, int in, int cout, int k, int stride)
{
    char bn[32], relu[32];
    snprintf(bn, sizeof bn, "%.20s.bn", name);
    snprintf(relu, sizeof relu, "%.20s.relu", name);
    int x = graph_add_conv(g, name, in, cout, k, k, stride, k == 1 ? pad0 : pad1, false, false);
    return graph_add_relu(g, relu, graph_add_batchnorm(g, bn, x), GRAPH_RELU);
}

static int linear(struct graph *g, const char *name, int in, int cout, int k, int stride)
{
    return graph_add_conv(g, name, in, cout, k, k, stride, k == 1 ? pad0 : pad1, false, true);
}

static int body(struct graph *g, const char *name, int in, int mid, int cout, int stride)
{
    char a[32], b[32];
    snprintf(a, sizeof a, "%.20s.a", name);
    snprintf(b, sizeof b, "%.20s.b", name);
    return linear(g, b, conv(g, a, in, mid, 3, stride), cout, 3, 1);
}

/* Option A, option B and identity shortcuts. */
static struct graph *residual(void)
{
    struct graph *g = graph_new("residual");
    int x = conv(g, "stem", graph_add_input(g, "in", (struct graph_shape){ 8, 8, 3 }), 4, 3, 1);
    x = graph_add_relu(g, "r1", graph_add_add(g, "s1", body(g, "b1", x, 3, 4, 1), x), GRAPH_RELU);
    int cut = graph_add_shortcut(g, "cut", x, 9, 2, 2);
    x = graph_add_relu(g, "r2", graph_add_add(g, "s2", body(g, "b2", x, 5, 9, 2), cut), GRAPH_RELU);
    int side = linear(g, "side", x, 7, 1, 2);
    x = graph_add_relu(g, "r3", graph_add_add(g, "s3", body(g, "b3", x, 5, 7, 2), side), GRAPH_RELU);
    x = graph_add_pool(g, "mean", x, GRAPH_AVGPOOL, 2, 2, 1, pad0);
    graph_add_dense(g, "fc", graph_add_unary(g, "flat", x, GRAPH_FLATTEN), 5, true);
    return g;
}

/* Depthwise and pointwise layers. */
static struct graph *separable(void)
{
    struct graph *g = graph_new("separable");
    int x = conv(g, "stem", graph_add_input(g, "in", (struct graph_shape){ 8, 8, 3 }), 6, 3, 2);
    for (int i = 0; i < 2; i++) {
        const char *dw = i ? "d2" : "d1", *bn = i ? "d2.bn" : "d1.bn", *relu = i ? "d2.relu" : "d1.relu";
        x = graph_add_conv(g, dw, x, g->node[x].shape.c, 3, 3, 1, pad1, true, false);
        x = graph_add_relu(g, relu, graph_add_batchnorm(g, bn, x), GRAPH_RELU6);
        x = conv(g, i ? "p2" : "p1", x, 7 - i, 1, 1);
    }
    x = graph_add_pool(g, "max", x, GRAPH_MAXPOOL, 2, 2, 2, pad0);
    graph_add_dense(g, "fc", x, 4, true);     /* over a 2 x 2 map */
    return g;
}

/* Branches joined, one of them twice, and a sum of a joined map with a convolution. */
static struct graph *joined(void)
{
    struct graph *g = graph_new("joined");
    int x = conv(g, "stem", graph_add_input(g, "in", (struct graph_shape){ 6, 6, 2 }), 5, 3, 1);
    int a = conv(g, "a", x, 3, 1, 1), b = conv(g, "b", x, 4, 3, 1);
    int cat = graph_add_concat(g, "cat", (const int[4]){ a, b, x, a }, 4);
    x = graph_add_relu(g, "r", graph_add_add(g, "sum", linear(g, "c", x, 15, 3, 1), cat), GRAPH_RELU);
    x = conv(g, "d", graph_add_concat(g, "cat2", (const int[2]){ x, b }, 2), 6, 3, 2);
    graph_add_unary(g, "soft", graph_add_dense(g, "fc", x, 3, false), GRAPH_SOFTMAX);
    return g;
}

typedef struct graph *maker(void);
static maker *const makers[] = { residual, separable, joined };

static void against_oracle(void **state)
{
    (void)state;
    for (int k = 0; k < BASE_COUNT(makers); k++) {
        struct graph *g = makers[k]();
        struct graph_channels ch;
        assert_ok(graph_channels_new(&ch, g));
        assert_units(g, &ch);
        assert_blocks(g, &ch);
        graph_channels_free(&ch);
        graph_free(g);
    }
}

/* ---- removal --------------------------------------------------------------------------- */

static void zero_unit(struct graph *g, const struct graph_channels *ch, int unit)
{
    for (int i = 0; i < g->n_node; i++)
        for (int c = 0; c < g->node[i].shape.c; c++) {
            struct graph_node *n = &g->node[i];
            if (graph_unit(ch, i, c) != unit)
                continue;
            int64_t per = n->weight ? (int64_t)n->kh * n->kw * (n->depthwise ? 1 : g->node[n->in[0]].shape.c) : 0;
            for (int64_t j = 0; j < per; j++)
                n->weight[c * per + j] = 0;
            if (n->bias)
                n->bias[c] = 0;
            if (n->gamma)
                n->gamma[c] = n->beta[c] = 0;
        }
}

/* At least one unit of each block stays: then every node keeps a channel. */
static void pick(bool *keep, const struct graph_channels *ch, struct base_rng *r)
{
    int *left = BASE_NEW_N(int, ch->n_block);
    memcpy(left, ch->size, sizeof *left * (size_t)ch->n_block);
    for (int u = 0; u < ch->n_unit; u++) {
        keep[u] = ch->fixed[ch->block[u]] || left[ch->block[u]] == 1 || base_rng_below(r, 2);
        left[ch->block[u]] -= !keep[u];
    }
    base_free(left);
}

static int64_t macs(const struct graph *g)
{
    int64_t sum = 0;
    for (int i = 0; i < g->n_node; i++)
        sum += graph_macs(g, i);
    return sum;
}

static void remove_some(const struct graph *g, uint64_t seed)
{
    struct graph_channels ch;
    struct graph *zero = graph_clone(g), *less;
    struct base_rng r;
    base_rng_seed(&r, seed);
    assert_ok(graph_channels_new(&ch, g));
    bool *keep = BASE_NEW_N(bool, ch.n_unit);
    pick(keep, &ch, &r);
    int gone = 0;
    for (int u = 0; u < ch.n_unit; u++)
        if (!keep[u]) {
            zero_unit(zero, &ch, u);
            gone++;
        }
    assert_ok(graph_remove_channels(&less, g, &ch, keep));
    struct graph_layers was, is;
    assert_ok(graph_make_layers(zero, &was));
    assert_ok(graph_make_layers(less, &is));
    assert_int_equal(was.n, is.n);
    assert_true(gone ? macs(less) < macs(g) && graph_params(less) < graph_params(g) : macs(less) == macs(g));
    assert_true(graph_run_difference(zero, less, seed) < 1e-12);
    graph_free(zero);
    graph_free(less);
    graph_channels_free(&ch);
    base_free(keep);
}

static void removal(void **state)
{
    (void)state;
    for (int k = 0; k < BASE_COUNT(makers); k++) {
        struct graph *g = makers[k]();
        graph_run_randomize(g, 40 + (uint64_t)k);
        for (uint64_t seed = 1; seed <= 20; seed++)
            remove_some(g, seed);
        graph_free(g);
    }
}

/* Keeping all is the identity, bit for bit; what cannot go is refused. */
static void limits(void **state)
{
    (void)state;
    struct graph *g = residual(), *d;
    struct graph_channels ch;
    graph_run_randomize(g, 1);
    assert_ok(graph_channels_new(&ch, g));
    bool *keep = BASE_NEW_N(bool, ch.n_unit);
    for (int u = 0; u < ch.n_unit; u++)
        keep[u] = true;
    assert_ok(graph_remove_channels(&d, g, &ch, keep));
    assert_true(graph_run_difference(g, d, 3) <= 0);
    graph_free(d);
    keep[graph_unit(&ch, g->output, 2)] = false;
    assert_error(graph_remove_channels(&d, g, &ch, keep), BASE_INPUT, "node 'fc': its channel 2 is one of the image or of the logits");
    assert_null(d);
    keep[graph_unit(&ch, g->output, 2)] = true;
    keep[graph_unit(&ch, 0, 1)] = false;
    assert_error(graph_remove_channels(&d, g, &ch, keep), BASE_INPUT, "node 'in': its channel 1");
    keep[graph_unit(&ch, 0, 1)] = true;
    int a = graph_find(g, "b1.a");
    for (int c = 0; c < g->node[a].shape.c; c++)
        keep[graph_unit(&ch, a, c)] = false;
    assert_error(graph_remove_channels(&d, g, &ch, keep), BASE_INPUT, "node 'b1.a': no channel would be left");
    base_free(keep);
    graph_channels_free(&ch);
    graph_free(g);
}

/* ---- whole branches --------------------------------------------------------------------- */

static struct graph *without(const struct graph *g, const char *const *name, int n)
{
    struct graph *d;
    bool *gone = BASE_NEW_N(bool, g->n_node);
    for (int i = 0; i < n; i++)
        gone[graph_find(g, name[i])] = true;
    assert_ok(graph_remove_branches(NULL, g, gone));
    assert_ok(graph_remove_branches(&d, g, gone));
    base_free(gone);
    return d;
}

static void zero_node(struct graph *g, const char *name)
{
    struct graph_node *n = &g->node[graph_find(g, name)];
    memset(n->weight, 0, sizeof *n->weight * (size_t)(n->shape.c * n->kh * n->kw * g->node[n->in[0]].shape.c));
    if (n->bias)
        memset(n->bias, 0, sizeof *n->bias * (size_t)n->shape.c);
}

/* A branch that is not there adds nothing: any of them, in front of identity, option A and option B; what is left is a network with fewer
 * layers, without the ReLU that was there to rectify the sum where the other operand is rectified. */
static void branches(void **state)
{
    (void)state;
    static const struct { const char *end; int layers; } branch[3] = { { "b1", 2 }, { "b2", 1 }, { "b3", 1 } };
    struct graph *g = residual();
    struct graph_layers ls;
    graph_run_randomize(g, 2);
    assert_ok(graph_make_layers(g, &ls));
    for (int set = 0; set < 8; set++) {
        const char *name[3];
        struct graph *zero = graph_clone(g), *less;
        struct graph_layers is;
        int n = 0, fewer = 0;
        char b[8];
        for (int k = 0; k < 3; k++)
            if (set >> k & 1) {
                snprintf(b, sizeof b, "%s.b", branch[k].end);
                zero_node(zero, b);
                name[n] = g->node[graph_find(g, b) - 3].name;    /* the branch's first layer: what it feeds goes with it */
                assert_int_equal(strncmp(name[n], branch[k].end, 2), 0);
                n++;
                fewer += branch[k].layers;
            }
        less = without(g, name, n);
        assert_ok(graph_make_layers(less, &is));
        assert_int_equal(is.n, ls.n - fewer);
        assert_true(graph_run_difference(zero, less, 5) < 1e-12);
        graph_free(zero);
        graph_free(less);
    }
    graph_free(g);
}

/* What cannot be spared is named; a branch that ends in a sum with a joined map can, and the Softmax stays behind. */
static void branch_limits(void **state)
{
    (void)state;
    struct graph *g = residual(), *d;
    bool gone[64] = { false };
    assert_true(g->n_node <= BASE_COUNT(gone));
    gone[graph_find(g, "stem")] = true;
    assert_error(graph_remove_branches(&d, g, gone), BASE_INPUT, "nothing of node 'fc' would be left");
    assert_null(d);
    memset(gone, 0, sizeof gone);
    gone[graph_find(g, "b3.a")] = gone[graph_find(g, "side")] = true;
    assert_error(graph_remove_branches(NULL, g, gone), BASE_INPUT, "nothing of node 'fc' would be left");
    graph_free(g);

    g = joined();
    memset(gone, 0, sizeof gone);
    gone[graph_find(g, "a")] = true;
    assert_error(graph_remove_branches(&d, g, gone), BASE_INPUT, "a part of node 'cat' would be left");
    d = without(g, (const char *const[]){ "c" }, 1);
    assert_int_equal(d->node[d->n_node - 1].op, GRAPH_SOFTMAX);
    assert_int_equal(graph_find(d, "sum"), -1);
    graph_free(d);
    graph_free(g);
}

static int both(const struct graph *g)
{
    struct graph_channels ch;
    struct graph *d = NULL;
    int rc = graph_channels_new(&ch, g);
    bool keep[64];
    memset(keep, 1, sizeof keep);
    if (!rc) {
        assert_true(ch.n_unit <= BASE_COUNT(keep));
        rc = graph_remove_channels(&d, g, &ch, keep);
        graph_channels_free(&ch);
    }
    graph_free(d);
    d = NULL;
    bool gone[64] = { false };
    if (!rc)
        rc = graph_remove_branches(&d, g, gone);
    graph_free(d);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    struct graph *g = separable();
    assert_survives_nomem(both(g), (void)0);
    graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(against_oracle), cmocka_unit_test(removal), cmocka_unit_test(limits), cmocka_unit_test(branches), cmocka_unit_test(branch_limits), cmocka_unit_test(no_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
