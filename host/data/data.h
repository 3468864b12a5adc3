/* data: image data sets, their split, and batches for training.
 *
 * Pixels stay uint8 [n][h][w][c], as in the files: the network's first layer holds the
 * normalization. A SPEC names a set (docs/data.md has the details):
 *   idx:DIR      MNIST and Fashion-MNIST files, gzip or not
 *   cifar10:DIR  the binary version (data_batch_1..5.bin, test_batch.bin)
 *   images:DIR   DIR/train/CLASS/NAME.png|jpg and DIR/test/CLASS/..., scaled to the network's input
 *                or, with `images:DIR@SIZE`, to SIZE x SIZE
 *   npy:X,Y      two NumPy arrays: uint8 [n][h][w][c] (or [n][h][w]) and integer labels [n];
 *                `npy:X,Y,TESTX,TESTY` has a test part of its own
 * Ownership: what data_open, data_split and data_feed_new return is the caller's; a feed
 * refers to its set and index list, which must outlive it.
 */
#ifndef DATA_H
#define DATA_H

#include "base/base.h"

/* Where Debian's package dataset-fashion-mnist puts its files. */
#define DATA_FASHION_MNIST_DIR "/usr/share/datasets/fashion-mnist"

enum data_part { DATA_TRAIN, DATA_TEST };

struct data_set {
    int n, h, w, c;
    int classes;             /* labels are 0 .. classes-1 */
    const uint8_t *pixels;   /* [n][h][w][c] */
    const uint16_t *label;   /* [n] */
    void *memory[2];         /* what data_free ends */
};

/* What the caller's network takes: pictures are scaled to it, all else must fit it. 0: whatever the
 * set has; pictures then need a size in the SPEC, and get 3 channels. */
struct data_shape { int h, w, c, classes; };

struct data_options {
    struct data_shape shape;
    struct base_pool *pool; /* decodes pictures; NULL: the calling thread */
    const char *label;      /* of a progress line while pictures are read; NULL: none */
};
#define DATA_OPTIONS_INIT { .pool = NULL, .label = NULL }

/* BASE_INPUT or BASE_IO name the file, and the image where one is at fault; a set without
 * its own test part (npy:X,Y) gives all images as either part. */
int data_open_as(struct data_set *out, const char *spec, enum data_part part, const struct data_options *o);
/* BASE_INPUT unless the part is there, whole, and fits: before long work that ends with it. Of pictures
 * the folders are looked at, not the pixels. */
int data_check(const char *spec, enum data_part part, const struct data_options *o);
/* data_open_as with DATA_OPTIONS_INIT. */
int data_open(struct data_set *out, const char *spec, enum data_part part);
void data_free(struct data_set *s);

/* ---- split ----------------------------------------------------------------
 * Images of a training set: some to learn from, `held_out` for every choice made.
 * Depends on the seed and the set's size alone. Ascending within each part. */
struct data_split {
    uint32_t *train, *validation;
    int n_train, n_validation;
};
int data_split(struct data_split *out, const struct data_set *s, int held_out, uint64_t seed);
void data_split_free(struct data_split *s);

/* Copy the images of an index list: pixels [n][h][w][c], labels [n] (may be NULL). */
void data_gather(const struct data_set *s, const uint32_t *index, int n, uint8_t *pixels, uint16_t *labels);

/* ---- feed: shuffled, augmented batches ------------------------------------ */
struct data_feed_options {
    uint64_t seed;
    bool shuffle;   /* a new order each epoch */
    int pad;        /* shift by up to `pad` pixels either way, edges filled with `fill` */
    bool flip;      /* mirror half of the images: not for digits and letters */
    uint8_t fill;
    struct base_pool *pool; /* NULL: the calling thread */
};
#define DATA_FEED_OPTIONS_INIT { .seed = 0, .shuffle = true, .pad = 0, .flip = false, .fill = 0, .pool = NULL }

struct data_feed;
/* Feeds the `n` images of `index` (NULL: the whole set). */
int data_feed_new(struct data_feed **out, const struct data_set *s, const uint32_t *index, int n,
                  const struct data_feed_options *o);
void data_feed_free(struct data_feed *f);
/* Batches of `batch` images in an epoch; a remainder is left out (another one each epoch). */
int data_feed_batches(const struct data_feed *f, int batch);
/* Batch number `batch`, counted over the whole run: pixels [n][h][w][c], labels [n]. Depends on
 * seed, `batch` and n alone, whatever was asked before and however many threads work. Its type
 * fits the training loop: `feed` is a struct data_feed. One thread at a time per feed. A batch of
 * more images than there are takes them several times over. */
int data_feed_fill(void *feed, int64_t batch, int n, uint8_t *pixels, uint16_t *labels);

#endif
