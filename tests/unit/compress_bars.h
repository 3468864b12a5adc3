/* What tests of the whole way share: a small network trained on bars of four directions, and the comparison of its fake
 * quantization with the integer network. */
#ifndef COMPRESS_BARS_H
#define COMPRESS_BARS_H

#include "integers.h"

#include <math.h>

#include "compress/compress.h"

enum { SIDE = 8, IMAGE = SIDE * SIDE, CLASSES = 4, N_TRAIN = 512, N_VAL = 200 };

/* Bars of four directions with noise; image number `index` of a stream. */
static inline uint16_t draw(uint8_t *pixels, uint64_t stream, uint64_t index)
{
    struct base_rng r;
    base_rng_stream(&r, stream, index);
    int kind = (int)base_rng_below(&r, CLASSES), at = 2 + (int)base_rng_below(&r, SIDE - 4);
    for (int i = 0; i < IMAGE; i++) {
        int y = i / SIDE, x = i % SIDE;
        bool on = kind == 0 ? y == at : kind == 1 ? x == at : kind == 2 ? x - y == at - SIDE / 2 : x + y == at + 3;
        pixels[i] = (uint8_t)(base_rng_below(&r, 110) + (on ? 90 : 0));
    }
    return (uint16_t)kind;
}

/* *ctx counts the images asked for. */
static inline int fill(void *ctx, int64_t batch, int n, uint8_t *pixels, uint16_t *labels)
{
    *(int64_t *)ctx += n;
    for (int i = 0; i < n; i++)
        labels[i] = draw(pixels + i * IMAGE, 1, (uint64_t)((batch * n + i) % N_TRAIN));
    return BASE_OK;
}

struct fixture {
    struct graph *g;
    struct base_pool *pool;
    struct compress_data data;
    struct compress_cache *cache;
    uint8_t *calibration, *val;
    uint16_t *label;
    int64_t asked;
};

static inline struct graph *small_net(void)
{
    static const int pad[4] = { 1, 1, 1, 1 }, none[4] = { 0 };
    struct graph *g = graph_new("bars");
    int x = graph_add_input(g, "input", (struct graph_shape){ SIDE, SIDE, 1 });
    x = graph_add_relu(g, "r1", graph_add_batchnorm(g, "n1", graph_add_conv(g, "c1", x, 8, 3, 3, 1, pad, false, false)), GRAPH_RELU);
    int y = graph_add_relu(g, "r2", graph_add_batchnorm(g, "n2", graph_add_conv(g, "c2", x, 8, 3, 3, 1, pad, false, false)), GRAPH_RELU);
    y = graph_add_batchnorm(g, "n3", graph_add_conv(g, "c3", y, 8, 3, 3, 1, pad, false, false));
    x = graph_add_relu(g, "r3", graph_add_add(g, "sum", y, x), GRAPH_RELU);
    x = graph_add_pool(g, "max", x, GRAPH_MAXPOOL, 2, 2, 2, none);
    x = graph_add_relu(g, "r4", graph_add_batchnorm(g, "n4", graph_add_conv(g, "c4", x, 16, 3, 3, 1, pad, false, false)), GRAPH_RELU);
    g->output = graph_add_dense(g, "fc", graph_add_pool(g, "mean", x, GRAPH_AVGPOOL, 4, 4, 1, none), CLASSES, true);
    assert_true(g->output > 0);
    g->prep = (struct graph_prep){ .scale = 1.0f / 255, .n = 1, .mean = { 0.3f }, .std = { 0.25f } };
    return g;
}

static inline int set_up(void **state)
{
    struct fixture *f = BASE_NEW(struct fixture);
    f->g = small_net();
    f->pool = base_pool_new(2);
    f->calibration = BASE_NEW_N(uint8_t, N_TRAIN * IMAGE);
    f->val = BASE_NEW_N(uint8_t, N_VAL * IMAGE);
    f->label = BASE_NEW_N(uint16_t, N_VAL);
    for (int i = 0; i < N_TRAIN; i++)
        draw(f->calibration + i * IMAGE, 1, (uint64_t)i);
    for (int i = 0; i < N_VAL; i++)
        f->label[i] = draw(f->val + i * IMAGE, 2, (uint64_t)i);
    f->data = (struct compress_data){ .calibration = f->calibration, .n_calibration = 128, .train = { fill, &f->asked }, .n_train = N_TRAIN,
                                      .val_pixels = f->val, .val_labels = f->label, .n_val = N_VAL };
    nn_init_parameters(f->g, 3);
    struct nn *m;
    struct nn_options o = NN_OPTIONS_INIT;
    o.pool = f->pool;
    o.max_batch = 64;
    o.training = true;
    assert_ok(nn_new(&m, f->g, &o));
    struct nn_train_options t = NN_TRAIN_OPTIONS_INIT;
    t.epochs = 6;
    t.batch = 64;
    t.batches_per_epoch = N_TRAIN / 64;
    assert_ok(nn_train(m, &f->data.train, &t, NULL));
    nn_free(m);
    assert_ok(compress_cache_new(&f->cache, f->g, &f->data, f->pool));
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    compress_cache_free(f->cache);
    graph_free(f->g);
    base_pool_free(f->pool);
    base_free(f->calibration);
    base_free(f->val);
    base_free(f->label);
    base_free(f);
    return 0;
}

static inline void recipe(struct compress_recipe *r, const struct fixture *f, int w, int a, enum compress_mode mode)
{
    assert_ok(compress_recipe_default(r, compress_cache_graph(f->cache), compress_cache_layers(f->cache), w, a));
    r->finetune = (struct compress_finetune){ .mode = mode, .epochs = 4, .lr = 0.01 };
}

static inline int engine_argmax(const float *v)
{
    int best = 0;
    for (int i = 1; i < CLASSES; i++)
        if (v[i] > v[best])
            best = i;
    return best;
}

struct tally { int64_t equal, near, far; int same_class; };

/* Each layer of the integer network on the engine's own codes, so that a value which the two round
 * to different sides of a border is counted once and not again in what follows. */
static inline void compare_layers(struct tally *t, const struct nn *nn, const struct fixed_net *net, const uint8_t *pixels, int index)
{
    static int16_t code[16][IMAGE * 16];
    static int32_t out[IMAGE * 16];
    int16_t *in[16];
    float map[IMAGE * 16];
    assert_true(net->n_edge <= 16);
    for (int e = 0; e < net->n_edge; e++) {
        const struct fixed_edge *fe = &net->edge[e];
        assert_ok(nn_edge_read(nn, e, index, map));
        for (int j = 0; j < fe->h * fe->w * fe->c; j++)
            code[e][j] = (int16_t)(e ? lround((double)map[j] / fe->scale) : pixels[j]);
        in[e] = code[e];
    }
    for (int l = 0; l < net->n_layer; l++) {
        const struct fixed_layer *fl = &net->layer[l];
        if (fl->out < 0)
            continue;
        assert_ok(qref_layer(net, l, in, out));
        for (int j = 0; j < fl->h * fl->w * fl->c; j++) {
            int d = abs(out[j] - code[fl->out][j]);
            *(d == 0 ? &t->equal : d == 1 ? &t->near : &t->far) += 1;
        }
    }
}

/* Every weight of the integer network is the code that fake quantization computes with. */
static inline void same_weights(const struct compress_model *m, const struct fixed_net *net)
{
    for (int i = 0; i < m->layers.n; i++)
        for (int t = 0; t < m->layers.layer[i].n_term; t++) {
            const struct nn_quant_term *q = &m->quant->layer[i].term[t];
            if (!q->w_bits)
                continue;
            const struct graph_node *n = &m->graph->node[m->layers.layer[i].term[t].node];
            int cin = m->graph->node[n->in[0]].shape.c, per = n->kh * n->kw * cin;
            float code[1024];
            assert_true(per <= 1024);
            for (int o = 0; o < n->shape.c; o++) {
                nn_quant_codes(code, q, n->weight, o, n->kh * n->kw, cin, false);
                for (int k = 0; k < per; k++)
                    assert_int_equal(fixed_weight(net, i, t, (int64_t)o * per + k), lroundf(code[k]));
            }
        }
}

/* Activations and decisions of the integer network against the engine's fake quantization. */
static inline void agree(const struct fixture *f, const struct compress_model *m, const struct fixed_net *net)
{
    same_weights(m, net);
    struct nn *nn;
    struct nn_options o = NN_OPTIONS_INIT;
    struct tally t = { 0, 0, 0, 0 };
    o.pool = f->pool;
    o.max_batch = 50;
    assert_ok(nn_new(&nn, m->graph, &o));
    assert_ok(nn_keep_maps(nn));
    assert_ok(nn_set_quant(nn, m->quant));
    struct qref *ref = qref_new(net, NULL);
    assert_non_null(ref);
    for (int i = 0; i < N_VAL; i += 50) {
        float logits[50 * CLASSES];
        assert_ok(nn_forward(nn, f->val + i * IMAGE, 50, logits));
        for (int k = 0; k < 50; k++) {
            int32_t exact[CLASSES];
            assert_ok(qref_run(ref, f->val + (i + k) * IMAGE, 1, exact));
            t.same_class += qref_argmax(exact, CLASSES) == engine_argmax(logits + k * CLASSES);
            if (k % 5 == 0)
                compare_layers(&t, nn, net, f->val + (i + k) * IMAGE, k);
        }
    }
    if (t.far || (double)t.near > 1e-3 * (double)t.equal || t.same_class < N_VAL - 1)
        fail_msg("%ld equal, %ld off by one, %ld further; %d of %d classes", (long)t.equal, (long)t.near, (long)t.far, t.same_class, N_VAL);
    qref_free(ref);
    nn_free(nn);
    integers_equal(m->graph, m->quant, net, f->val, 32, f->pool);
}

#endif
