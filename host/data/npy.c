/* npy: two arrays of NumPy's format: images, uint8 [n][h][w][c] or [n][h][w], and labels,
 * integers [n]. C order, little-endian. There is one part: it serves as either. */
#include <stdlib.h>
#include <string.h>

#include "data/data_internal.h"

struct npy_file {
    uint8_t *bytes;
    char type[8];        /* "|u1", "<i8", ... */
    int dims, dim[4];
    const uint8_t *data;
};

/* The text behind 'key': in the header, a Python literal. */
static const char *header_value(const char *header, const char *key)
{
    const char *p = strstr(header, key);
    if (!p)
        return NULL;
    p += strlen(key);
    return p + strspn(p, " :");
}

static int parse_shape(struct npy_file *f, const char *s, size_t *count)
{
    *count = 1;
    if (*s++ != '(')
        return -1;
    while (*s && *s != ')') {
        char *end;
        long v = strtol(s, &end, 10);
        if (end == s || v < 1 || v > 1 << 27 || f->dims == 4 || *count > DATA_MAX_BYTES / (size_t)v)
            return -1;
        f->dim[f->dims++] = (int)v;
        *count *= (size_t)v;
        s = end + strspn(end, ", ");
    }
    return *s == ')' && f->dims ? 0 : -1;
}

static int parse_header(struct npy_file *f, const char *header, size_t *count)
{
    const char *type = header_value(header, "'descr'");
    const char *order = header_value(header, "'fortran_order'");
    const char *shape = header_value(header, "'shape'");
    if (!type || !order || !shape || type[0] != '\'' || strncmp(order, "False", 5) != 0)
        return -1;
    size_t n = strcspn(type + 1, "'");
    if (n < 3 || n >= sizeof f->type)
        return -1;
    memcpy(f->type, type + 1, n);
    return parse_shape(f, shape, count);
}

static int npy_open(struct npy_file *f, const char *path)
{
    *f = (struct npy_file){0};
    size_t len, count, header;
    int rc = base_file_read(&f->bytes, &len, path, DATA_MAX_BYTES);
    if (rc)
        return rc;
    if (len < 12 || memcmp(f->bytes, "\x93NUMPY", 6) != 0)
        return base_fail(BASE_INPUT, "%s: not a NumPy array (.npy)", path);
    bool wide = f->bytes[6] > 1; /* version 2 on: a 32-bit header length */
    header = (size_t)f->bytes[8] | (size_t)f->bytes[9] << 8;
    if (wide)
        header |= (size_t)f->bytes[10] << 16 | (size_t)f->bytes[11] << 24;
    size_t at = (wide ? 12 : 10) + header;
    if (at > len)
        return base_fail(BASE_INPUT, "%s: truncated inside its header", path);
    char *text = base_format("%.*s", (int)BASE_MIN(header, (size_t)65536), (char *)f->bytes + at - header);
    if (!text)
        return BASE_NOMEM;
    int bad = parse_header(f, text, &count);
    base_free(text);
    if (bad)
        return base_fail(BASE_INPUT, "%s: an array in C order with 1 to 4 dimensions is expected", path);
    size_t size = (size_t)(f->type[2] - '0');
    if (size < 1 || size > 8 || len - at != count * size)
        return base_fail(BASE_INPUT, "%s: %zu bytes of data do not fit its shape and type %s: truncated?", path,
                         len - at, f->type);
    f->data = f->bytes + at;
    return BASE_OK;
}

static int64_t label_at(const struct npy_file *f, int i)
{
    int size = f->type[2] - '0';
    uint64_t v = 0;
    for (int b = 0; b < size; b++)
        v |= (uint64_t)f->data[(size_t)i * (size_t)size + (size_t)b] << (8 * b);
    int shift = 64 - 8 * size;
    return f->type[1] == 'i' ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

static int fill_set(struct data_set *out, const struct npy_file *x, const char *x_path, const struct npy_file *y,
                    const char *y_path)
{
    if (strcmp(x->type + 1, "u1") != 0 || x->dims < 3)
        return base_fail(BASE_INPUT, "%s: uint8 [n][h][w][c] is expected, not %s with %d dimensions", x_path,
                         x->type, x->dims);
    bool integer = (y->type[1] == 'i' || y->type[1] == 'u') && y->type[0] != '>';
    if (!integer || y->dims != 1 || y->dim[0] != x->dim[0])
        return base_fail(BASE_INPUT, "%s: %d integer labels are expected, one for each image of %s", y_path,
                         x->dim[0], x_path);
    *out = (struct data_set){.n = x->dim[0], .h = x->dim[1], .w = x->dim[2], .c = x->dims == 4 ? x->dim[3] : 1};
    if (out->h > DATA_MAX_SIDE || out->w > DATA_MAX_SIDE || out->c > 4)
        return base_fail(BASE_INPUT, "%s: images of %d x %d x %d are too large", x_path, out->h, out->w, out->c);
    uint8_t *pixels;
    uint16_t *label;
    int rc = data_set_alloc(out, &pixels, &label);
    if (rc)
        return rc;
    memcpy(pixels, x->data, (size_t)out->n * (size_t)out->h * (size_t)out->w * (size_t)out->c);
    for (int i = 0; i < out->n; i++) {
        int64_t v = label_at(y, i);
        if (v < 0 || v >= DATA_MAX_CLASSES)
            return base_fail(BASE_INPUT, "%s: label %lld of image %d is not in 0..%d", y_path, (long long)v, i,
                             DATA_MAX_CLASSES - 1);
        label[i] = (uint16_t)v;
        out->classes = BASE_MAX(out->classes, (int)v + 1);
    }
    return BASE_OK;
}

int data_read_npy(struct data_set *out, const char *arg, enum data_part part)
{
    (void)part;
    const char *comma = strchr(arg, ',');
    if (!comma || comma == arg || !comma[1])
        return base_fail(BASE_INPUT, "data 'npy:%s': two files are expected: npy:IMAGES.npy,LABELS.npy", arg);
    char *x_path = base_format("%.*s", (int)(comma - arg), arg);
    if (!x_path)
        return BASE_NOMEM;
    struct npy_file x, y = {0};
    int rc = npy_open(&x, x_path);
    if (!rc)
        rc = npy_open(&y, comma + 1);
    if (!rc)
        rc = fill_set(out, &x, x_path, &y, comma + 1);
    base_free(x.bytes);
    base_free(y.bytes);
    base_free(x_path);
    return rc;
}
