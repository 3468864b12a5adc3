/* pipeline: the steps that several subcommands share: data with its split, the float network
 * (trained or read), what compression needs of both, accuracy of float and integer networks, a
 * pack from an integer network. */
#ifndef CMD_PIPELINE_H
#define CMD_PIPELINE_H

#include "accel/accel.h"
#include "cmd/run_config.h"
#include "compress/compress.h"
#include "data/data.h"
#include "graph/graph.h"
#include "nn/nn.h"
#include "pack/pack.h"

/* Training images and their split; gathered validation images for quick evaluation. */
struct pipeline_data {
    struct data_set train;
    struct data_split split;
    uint8_t *val_pixels;  /* [n_val][h][w][c] */
    uint16_t *val_label;
    int n_val;
};
/* Pictures are scaled to the network's input; `d` does not refer to `g`. held_out 0: a fifth of the images, at most 5000. */
int pipeline_data_open(struct pipeline_data *d, const struct graph *g, const char *spec, int held_out, uint64_t seed, struct base_pool *pool);
void pipeline_data_free(struct pipeline_data *d);

/* The images of one part, which fit the network. */
int pipeline_images_open(struct data_set *out, const struct graph *g, const char *spec, enum data_part part, struct base_pool *pool);
/* BASE_INPUT unless that part is there, as far as can be seen without its pixels: before long work that ends with it. */
int pipeline_images_check(const struct graph *g, const char *spec, enum data_part part);

/* BASE_INPUT unless images and labels fit the network. */
int pipeline_check_fit(const struct graph *g, const struct data_set *s, const char *spec);

bool pipeline_is_file(const char *model);
/* A built-in network's name or a file *.onnx, which must say how pixels become its input, if `input`,
 * a YAML file with `input: {scale, mean, std}` that goes before the model's own, does not (NULL: none). */
int pipeline_model(struct graph **out, const char *model, const char *input);
/* The same for a model at hand: the preprocessing of `input` if that is not NULL; BASE_INPUT if none is known then. */
int pipeline_prep(struct graph *g, const char *input);

/* Train g in place by the configuration; progress on stderr; checkpoint in `dir`/train.ckpt
 * (continued when `resume`). `ranks`: together with others; NULL: alone. */
int pipeline_train(struct graph *g, const struct run_config *c, const struct pipeline_data *d, struct base_pool *pool, const char *dir, bool resume, const struct nn_ranks *ranks);

/* What compressing a network needs of its data: calibration images, augmented batches, validation images. */
struct pipeline_bench {
    struct data_feed *feed;
    uint8_t *calibration;
    struct compress_cache *cache;
};
/* `pad` and `flip`: the augmentation. `g` is copied; `d` and `pool` must outlive the bench. */
int pipeline_bench_open(struct pipeline_bench *b, const struct graph *g, const struct pipeline_data *d, uint64_t seed, int pad, bool flip, struct base_pool *pool);
/* The same before any data: calibrated on made-up images, nothing to train or validate on. For cycles, which
 * depend on shapes and widths alone. */
int pipeline_bench_blank(struct pipeline_bench *b, const struct graph *g, struct base_pool *pool);
void pipeline_bench_free(struct pipeline_bench *b);

/* Fractions of n. `right` [n]: for each image whether it is right, 0 or 1; NULL: not wanted. */
int pipeline_eval_float(struct graph *g, const uint8_t *pixels, const uint16_t *labels, int n, struct base_pool *pool, struct nn_result *out, uint8_t *right);
/* The same by the integer reference. */
int pipeline_eval_fixed(const struct fixed_net *net, const uint8_t *pixels, const uint16_t *labels, int n, struct base_pool *pool, struct nn_result *out, uint8_t *right);

/* Write `net` with its program as a pack; the self-test is `pixels` (one image). */
int pipeline_write_pack(const char *path, struct fixed_net *net, const struct accel_program *p, const uint8_t *pixels, const char *recipe, const char *origin);

#endif
