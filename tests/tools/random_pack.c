/* random_pack NET W A BOARD OUT.bpk: a pack of a built-in network with random weights, W-bit weights and A-bit
 * activations, with a self-test. For tests that need a network of real shape and not one that knows anything. */
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "compress/compress.h"
#include "pack/pack.h"

enum { IMAGES = 32 };

static int lower(struct fixed_net **net, int w, int a, const uint8_t *pixels, struct graph *g)
{
    struct compress_data data = { .calibration = pixels, .n_calibration = IMAGES };
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_cache *cache = NULL;
    struct compress_recipe recipe = { 0 };
    struct nn_result unused;
    struct base_pool *pool = base_pool_new(2);
    o.batchnorm_images = 0;
    o.val_images = -1;
    int rc = pool ? compress_cache_new(&cache, g, &data, pool) : BASE_NOMEM;
    if (!rc)
        rc = compress_recipe_default(&recipe, compress_cache_graph(cache), compress_cache_layers(cache), w, a);
    if (!rc)
        rc = compress_evaluate(&unused, net, cache, &recipe, &o);
    compress_recipe_free(&recipe);
    compress_cache_free(cache);
    base_pool_free(pool);
    return rc;
}

static int write_pack(const char *path, const struct fixed_net *net, const struct hw *hw, uint8_t *pixels)
{
    struct accel_program *p = NULL;
    struct qref *q = NULL;
    int32_t *logits = BASE_NEW_N(int32_t, net->classes);
    int rc = logits ? accel_compile(&p, net, hw) : BASE_NOMEM;
    if (!rc)
        rc = (q = qref_new(net, NULL)) ? qref_run(q, pixels, 1, logits) : BASE_NOMEM;
    if (!rc) {
        struct pack k = { .net = (struct fixed_net *)(uintptr_t)net, .hw_hash = hw->hash, .program = p->image, .program_words = p->image_words, .weights = p->weights,
                          .weight_words = p->weight_words64, .test_pixels = pixels, .test_pixel_bytes = p->input_bytes, .test_logits = logits };
        snprintf(k.board, sizeof k.board, "%s", hw->name);
        rc = pack_write(&k, path);
    }
    qref_free(q);
    accel_program_free(p);
    base_free(logits);
    return rc;
}

int main(int argc, char **argv)
{
    struct graph *g = NULL;
    struct hw hw;
    struct fixed_net *net = NULL;
    if (argc != 6) {
        fprintf(stderr, "usage: random_pack NET W A BOARD OUT.bpk\n");
        return 2;
    }
    int rc = hw_load(&hw, argv[4]);
    if (!rc)
        rc = graph_zoo(&g, argv[1]);
    uint8_t *pixels = NULL;
    if (!rc) {
        struct graph_shape in = g->node[0].shape;
        size_t n = (size_t)IMAGES * (size_t)in.h * (size_t)in.w * (size_t)in.c;
        struct base_rng r;
        base_rng_seed(&r, 1);
        nn_init_parameters(g, 1);
        pixels = base_alloc(n);
        for (size_t i = 0; pixels && i < n; i++)
            pixels[i] = (uint8_t)base_rng_below(&r, 256);
        rc = pixels ? lower(&net, atoi(argv[2]), atoi(argv[3]), pixels, g) : BASE_NOMEM;
    }
    if (!rc)
        rc = write_pack(argv[5], net, &hw, pixels);
    if (rc)
        fprintf(stderr, "random_pack: %s\n", base_error());
    fixed_net_free(net);
    graph_free(g);
    base_free(pixels);
    return base_exit_code(rc);
}
