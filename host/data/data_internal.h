/* What the readers of data share; nobody else includes it. */
#ifndef DATA_INTERNAL_H
#define DATA_INTERNAL_H

#include "data/data.h"

enum {
    DATA_MAX_CLASSES = 65535, /* labels are 16 bits */
    DATA_MAX_SIDE = 4096,     /* of what a network takes */
    DATA_MAX_PICTURE = 16384, /* side of a PNG or JPEG file */
};
/* Of one array file: a bound against nonsense in a header, not a wish. */
#define DATA_MAX_BYTES ((size_t)BASE_MIN(INT64_C(8) << 30, PTRDIFF_MAX))

/* One reader: the argument is what follows "NAME:" in a SPEC. Options are never NULL. `out` NULL: look for
 * the files only (data_check). */
typedef int data_reader(struct data_set *out, const char *arg, enum data_part part, const struct data_options *o);
data_reader data_read_idx, data_read_cifar10, data_read_images, data_read_npy;

/* BASE_INPUT with numbers unless the memory for `s` is there; `where` begins the message. */
int data_check_memory(const struct data_set *s, const char *where);
/* Gives `s` its arrays, zeroed; the pixels are [n][h][w][c]. */
int data_set_alloc(struct data_set *s, uint8_t **pixels, uint16_t **label);
/* Does the network take a row of values? An image of one channel then serves row by row. */
bool data_wants_row(const struct data_options *o);
/* BASE_INPUT naming `path` unless images of this size fit the network of the options; they become a row if that is wanted. */
int data_check_shape(const struct data_options *o, const char *path, int *h, int *w, int c);
/* BASE_INPUT naming `path` and the image unless the label is below `classes`, which is the network's
 * number of outputs if the options know one. */
int data_check_label(const struct data_options *o, const char *path, int64_t label, int image, int classes);
/* DIR/NAME on the heap. */
char *data_join(const char *dir, const char *name);

/* ---- one picture ------------------------------------------------------------- */

/* What becomes of a picture: its shorter side is scaled to `shorter` (0: so that it just covers
 * h x w), then the middle h x w is cut out; c is 1 (grey) or 3 (RGB). */
struct data_fit { int h, w, c, shorter; };

/* The scaler takes a picture row by row and keeps no more of it than the cut needs. */
struct data_scaler;
/* `path` is for messages; rows have 1 (grey), 3 (RGB) or 4 (inverted CMYK) channels. */
int data_scaler_new(struct data_scaler **out, const char *path, const struct data_fit *fit, int h, int w, int channels);
void data_scaler_row(struct data_scaler *s, const uint8_t *row);
void data_scaler_finish(struct data_scaler *s, uint8_t *out); /* out [h][w][c] of the fit */
void data_scaler_free(struct data_scaler *s);
/* Size that a picture of h x w is scaled to before the cut. BASE_INPUT: smaller than the cut. */
int data_fit_size(int *scaled_h, int *scaled_w, const char *path, const struct data_fit *fit, int h, int w);

/* A PNG or JPEG file, told apart by content, as out [h][w][c] of the fit. */
int data_picture_read(uint8_t *out, const char *path, const struct data_fit *fit);
/* The decoders behind it. */
int data_png_read(uint8_t *out, const char *path, const uint8_t *bytes, size_t len, const struct data_fit *fit);
int data_jpeg_read(uint8_t *out, const char *path, const uint8_t *bytes, size_t len, const struct data_fit *fit);
int data_picture_size(const char *path, uint64_t w, uint64_t h);

/* ---- class folders ------------------------------------------------------------- */

struct data_folder {
    char *root;            /* DIR/train or DIR/test */
    char *names;           /* "CLASS/FILE\0CLASS/SUB/FILE\0..." */
    size_t *at;            /* [n] where each name begins */
    uint16_t *label;       /* [n] */
    int n, classes;
    size_t names_len, names_cap;
    int cap;
};
int data_folder_read(struct data_folder *out, const char *dir, enum data_part part, const struct data_options *o);
void data_folder_free(struct data_folder *f);

#endif
