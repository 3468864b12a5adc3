/* cifar10: the binary version of CIFAR-10 (A. Krizhevsky): records of one label byte and
 * 3072 pixel bytes, colour planes one after the other. DIR may be the folder that holds
 * cifar-10-batches-bin, too. */
#include <string.h>

#include "data/data_internal.h"

#define BINARY_VERSION "the binary version of CIFAR-10 is expected: data_batch_1.bin to data_batch_5.bin, test_batch.bin"

enum { SIDE = 32, PLANE = SIDE * SIDE, RECORD = 1 + 3 * PLANE, PER_FILE = 10000 };

static int take_file(uint8_t *pixels, uint16_t *label, const char *path, const struct data_options *o)
{
    uint8_t *bytes;
    size_t len;
    int rc = base_file_read(&bytes, &len, path, (size_t)2 * PER_FILE * RECORD);
    if (rc)
        return rc == BASE_INPUT ? base_hint(rc, BINARY_VERSION) : rc;
    if (len != (size_t)PER_FILE * RECORD) {
        rc = base_fail(BASE_INPUT, "%s: %zu bytes instead of %d: truncated or not CIFAR-10's binary version", path,
                       len, PER_FILE * RECORD);
        base_hint(rc, "unpack the archive again");
    }
    for (int i = 0; !rc && i < PER_FILE; i++) {
        const uint8_t *record = bytes + (size_t)i * RECORD;
        uint8_t *image = pixels + (size_t)i * 3 * PLANE;
        rc = record[0] > 9 ? base_hint(base_fail(BASE_INPUT, "%s: label %d of image %d is not in 0..9", path, record[0], i), "unpack the archive again")
                           : data_check_label(o, path, record[0], i, 10);
        label[i] = record[0];
        for (int k = 0; k < PLANE; k++)
            for (int c = 0; c < 3; c++)
                image[k * 3 + c] = record[1 + c * PLANE + k];
    }
    base_free(bytes);
    return rc;
}

static char *file_path(const char *dir, enum data_part part, int i)
{
    char name[32] = "test_batch.bin";
    if (part == DATA_TRAIN)
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
    return data_join(dir, name);
}

static int look_for_file(const char *path)
{
    if (base_file_exists(path))
        return BASE_OK;
    return base_hint(base_fail(BASE_INPUT, "%s: no such file", path), BINARY_VERSION);
}

static int read_files(struct data_set *out, const char *dir, enum data_part part, const struct data_options *o)
{
    uint8_t *pixels = NULL;
    uint16_t *label = NULL;
    int files = part == DATA_TRAIN ? 5 : 1;
    int h = SIDE, w = SIDE, rc = data_check_shape(o, dir, &h, &w, 3);
    if (!rc && out) {
        *out = (struct data_set){.n = files * PER_FILE, .h = SIDE, .w = SIDE, .c = 3, .classes = 10};
        rc = data_set_alloc(out, &pixels, &label);
    }
    for (int i = 0; !rc && i < files; i++) {
        char *path = file_path(dir, part, i);
        size_t at = (size_t)i * PER_FILE;
        if (!path)
            rc = BASE_NOMEM;
        else
            rc = out ? take_file(pixels + at * 3 * PLANE, label + at, path, o) : look_for_file(path);
        base_free(path);
    }
    return rc;
}

int data_read_cifar10(struct data_set *out, const char *arg, enum data_part part, const struct data_options *o)
{
    char *inner = data_join(arg, "cifar-10-batches-bin");
    if (!inner)
        return BASE_NOMEM;
    int rc = read_files(out, base_file_exists(inner) ? inner : arg, part, o);
    base_free(inner);
    return rc;
}
