/* Fake quantization in integers against the integer network: every code of every map and every logit. */
#ifndef INTEGERS_H
#define INTEGERS_H

#include "unit.h"

#include "nn/nn.h"

/* The first n <= 16 images by maps, all of them by logits. Returns how many channels of terms went plane by plane. */
static inline int integers_equal(struct graph *g, struct nn_quant *q, const struct fixed_net *net, const uint8_t *pixels, int n, struct base_pool *pool)
{
    struct nn *nn;
    struct nn_options o = NN_OPTIONS_INIT;
    int by_planes, image = net->edge[0].h * net->edge[0].w * net->edge[0].c;
    o.pool = pool;
    o.threads = 2;
    o.max_batch = 16;
    assert_ok(nn_new(&nn, g, &o));
    assert_ok(nn_set_quant(nn, q));
    assert_ok(nn_set_integers(nn, net, &by_planes));
    struct qref *ref = qref_new(net, pool);
    float *got = BASE_NEW_N(float, n * net->classes), *map = NULL;
    int32_t *want = BASE_NEW_N(int32_t, n * net->classes);
    assert_true(ref && got && want);
    assert_ok(qref_run(ref, pixels, n, want));
    assert_ok(nn_forward(nn, pixels, n, got));
    for (int i = 0; i < n * net->classes; i++)
        if (got[i] != (float)want[i] || (int32_t)got[i] != want[i])
            fail_msg("image %d, class %d: %.1f, the integer network says %d", i / net->classes, i % net->classes, (double)got[i], want[i]);
    assert_ok(nn_keep_maps(nn));
    assert_ok(nn_forward(nn, pixels, BASE_MIN(n, 16), got));
    for (int k = 0; k < BASE_MIN(n, 16); k++) {
        int16_t *const *edges;
        assert_ok(qref_run_edges(ref, pixels + (size_t)k * (size_t)image, want, &edges));
        for (int e = 0; e < net->n_edge; e++) {
            int values = net->edge[e].h * net->edge[e].w * net->edge[e].c;
            map = BASE_NEW_N(float, values);
            assert_ok(nn_edge_read(nn, e, k, map));
            for (int i = 0; i < values; i++)
                if (map[i] != (float)edges[e][i])
                    fail_msg("image %d, map %d, value %d: %g, the integer network says %d", k, e, i, (double)map[i], edges[e][i]);
            base_free(map);
        }
    }
    base_free(got);
    base_free(want);
    qref_free(ref);
    nn_free(nn);
    return by_planes;
}

#endif
