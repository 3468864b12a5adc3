/* What the readers of data share; nobody else includes it. */
#ifndef DATA_INTERNAL_H
#define DATA_INTERNAL_H

#include "data/data.h"

enum { DATA_MAX_CLASSES = 1000, DATA_MAX_SIDE = 4096 };
/* Of one part in memory: a bound against nonsense in a header, not a wish. */
#define DATA_MAX_BYTES ((size_t)8 << 30)

/* One reader: the argument is what follows "NAME:" in a SPEC. */
typedef int data_reader(struct data_set *out, const char *arg, enum data_part part);
data_reader data_read_idx, data_read_cifar10, data_read_images, data_read_npy;

/* Gives `s` its arrays, zeroed; the pixels are [n][h][w][c]. */
int data_set_alloc(struct data_set *s, uint8_t **pixels, uint16_t **label);
/* DIR/NAME on the heap. */
char *data_join(const char *dir, const char *name);

#endif
