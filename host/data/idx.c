/* idx: MNIST's file format (Y. LeCun): big-endian magic 0x000008DD with DD dimensions
 * of bytes, the dimensions, then the bytes. */
#include <string.h>

#include "data/data_internal.h"

struct idx_file {
    char *path;
    uint8_t *bytes;      /* the whole file */
    uint32_t dim[3];     /* as many as asked for */
    const uint8_t *data;
};

static void idx_close(struct idx_file *f)
{
    base_free(f->path);
    base_free(f->bytes);
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The plain file if it is there, else the gzip one; `name` without .gz. */
static int find_file(char **out, const char *dir, const char *name)
{
    char *plain = data_join(dir, name);
    char *gz = plain ? base_format("%s.gz", plain) : NULL;
    int rc = BASE_NOMEM;
    if (gz) {
        char **found = base_file_exists(plain) ? &plain : base_file_exists(gz) ? &gz : NULL;
        if (found) {
            *out = *found;
            *found = NULL;
            rc = BASE_OK;
        } else {
            rc = base_fail(BASE_INPUT, "%s: neither this file nor its .gz is there", plain);
            base_hint(rc, "Debian's package dataset-fashion-mnist has such files in %s", DATA_FASHION_MNIST_DIR);
        }
    }
    base_free(plain);
    base_free(gz);
    return rc;
}

static int check_header(struct idx_file *f, size_t len, int dims)
{
    size_t header = 4 + 4 * (size_t)dims;
    if (len < 4 || big_endian(f->bytes) != 0x0800u + (uint32_t)dims)
        return base_fail(BASE_INPUT, "%s: not an idx file of bytes with %d dimension%s (magic 0x%08x is missing)",
                         f->path, dims, dims == 1 ? "" : "s", 0x0800u + (unsigned)dims);
    if (len < header)
        return base_fail(BASE_INPUT, "%s: truncated inside its header", f->path);
    uint64_t bytes = 1;
    for (int i = 0; i < dims; i++) {
        f->dim[i] = big_endian(f->bytes + 4 + 4 * i);
        if (f->dim[i] == 0 || f->dim[i] > (i ? (uint32_t)DATA_MAX_SIDE : 1u << 27))
            return base_fail(BASE_INPUT, "%s: dimension %d is %u: empty or too large", f->path, i, f->dim[i]);
        bytes *= f->dim[i]; /* at most 2^27 * 2^12 * 2^12 */
    }
    if (len - header != bytes) {
        base_fail(BASE_INPUT, "%s: %zu bytes of data where its header promises %llu: %s", f->path, len - header,
                  (unsigned long long)bytes, len - header < bytes ? "truncated" : "not an idx file");
        return base_hint(BASE_INPUT, "fetch the file again");
    }
    f->data = f->bytes + header;
    return BASE_OK;
}

static int idx_open(struct idx_file *f, const char *dir, const char *name, int dims)
{
    *f = (struct idx_file){0};
    size_t len;
    int rc = find_file(&f->path, dir, name);
    if (!rc)
        rc = base_file_read_gz(&f->bytes, &len, f->path, DATA_MAX_BYTES);
    if (!rc)
        rc = check_header(f, len, dims);
    return rc;
}

static int fill_set(struct data_set *out, const struct idx_file *images, const struct idx_file *labels,
                    const struct data_options *o)
{
    if (images->dim[0] != labels->dim[0])
        return base_hint(base_fail(BASE_INPUT, "%s: %u labels for the %u images of %s", labels->path, labels->dim[0],
                                   images->dim[0], images->path), "fetch both files again");
    out->n = (int)images->dim[0];
    out->h = (int)images->dim[1];
    out->w = (int)images->dim[2];
    out->c = 1;
    out->classes = 10; /* in the sets that name their files so; more only where a network expects more */
    uint8_t *pixels;
    uint16_t *label;
    int rc = data_check_shape(o, images->path, &out->h, &out->w, 1);
    if (!rc)
        rc = data_set_alloc(out, &pixels, &label);
    if (rc)
        return rc;
    memcpy(pixels, images->data, (size_t)out->n * (size_t)out->h * (size_t)out->w);
    int highest = 0;
    for (int i = 0; !rc && i < out->n; i++) {
        label[i] = labels->data[i];
        highest = BASE_MAX(highest, label[i]);
        rc = data_check_label(o, labels->path, label[i], i, out->classes);
    }
    if (o->shape.classes) /* all labels fit it */
        out->classes = BASE_MAX(highest + 1, BASE_MIN(10, o->shape.classes));
    return rc;
}

int data_read_idx(struct data_set *out, const char *arg, enum data_part part, const struct data_options *o)
{
    static const char *const names[2][2] = {
        [DATA_TRAIN] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
        [DATA_TEST] = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
    };
    struct idx_file images = {0}, labels = {0};
    if (!out) {
        int missing = find_file(&images.path, arg, names[part][0]);
        if (!missing)
            missing = find_file(&labels.path, arg, names[part][1]);
        idx_close(&images);
        idx_close(&labels);
        return missing;
    }
    int rc = idx_open(&images, arg, names[part][0], 3);
    if (!rc)
        rc = idx_open(&labels, arg, names[part][1], 1);
    if (!rc)
        rc = fill_set(out, &images, &labels, o);
    idx_close(&images);
    idx_close(&labels);
    return rc;
}
