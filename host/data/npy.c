/* npy: arrays of NumPy's format: images, uint8 [n][h][w][c], [n][h][w] or [n][values], and labels, integers [n]
 * or [n][1]. C order, little-endian. Two files are one part, which serves as either; four are the
 * training images and labels, then the test images and labels. */
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

/* NULL, or what is wrong with the shape. */
static const char *parse_shape(struct npy_file *f, const char *s, size_t *count)
{
    static const char why[] = "an array with 1 to 4 dimensions is expected";
    *count = 1;
    if (*s++ != '(')
        return why;
    while (*s && *s != ')') {
        char *end;
        long v = strtol(s, &end, 10);
        if (end != s && v == 0)
            return "the array is empty";
        if (end == s || v < 1 || v > 1 << 27 || f->dims == 4 || *count > DATA_MAX_BYTES / (size_t)v)
            return why;
        f->dim[f->dims++] = (int)v;
        *count *= (size_t)v;
        s = end + strspn(end, ", ");
    }
    return *s == ')' && f->dims ? NULL : why;
}

/* NULL, or what is wrong with the array. */
static const char *parse_header(struct npy_file *f, const char *header, size_t *count)
{
    const char *type = header_value(header, "'descr'");
    const char *order = header_value(header, "'fortran_order'");
    const char *shape = header_value(header, "'shape'");
    if (!type || !order || !shape)
        return "its header is damaged";
    if (strncmp(order, "False", 5) != 0)
        return "an array in C order is expected";
    size_t n = type[0] == '\'' ? strcspn(type + 1, "'") : 0;
    if (n < 3 || n >= sizeof f->type)
        return "an array of plain numbers is expected";
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
        return base_hint(base_fail(BASE_INPUT, "%s: not a NumPy array (.npy)", path), "numpy.save writes such files");
    bool wide = f->bytes[6] > 1; /* version 2 on: a 32-bit header length */
    header = (size_t)f->bytes[8] | (size_t)f->bytes[9] << 8;
    if (wide)
        header |= (size_t)f->bytes[10] << 16 | (size_t)f->bytes[11] << 24;
    size_t at = (wide ? 12 : 10) + header;
    if (at > len)
        return base_hint(base_fail(BASE_INPUT, "%s: truncated inside its header", path), "write the file again");
    char *text = base_format("%.*s", (int)BASE_MIN(header, (size_t)65536), (char *)f->bytes + at - header);
    if (!text)
        return BASE_NOMEM;
    const char *bad = parse_header(f, text, &count);
    base_free(text);
    if (bad)
        return base_hint(base_fail(BASE_INPUT, "%s: %s", path, bad),
                         "numpy.save(\"x.npy\", numpy.ascontiguousarray(x)), with x as [n][height][width][channels]");
    size_t size = (size_t)(f->type[2] - '0');
    if (size < 1 || size > 8 || len - at != count * size)
        return base_hint(base_fail(BASE_INPUT, "%s: %zu bytes of data do not fit its shape and type %s: truncated?", path,
                                   len - at, f->type), "write the file again");
    f->data = f->bytes + at;
    return BASE_OK;
}

/* ---- images ------------------------------------------------------------------- */

static int check_images(const struct npy_file *x, const char *path, const struct data_options *o, struct data_set *out)
{
    if (strcmp(x->type + 1, "u1") != 0 || x->dims < 2) {
        base_fail(BASE_INPUT, "%s: uint8 [n][height][width][channels] is expected, not %s with %d dimension%s", path, x->type,
                  x->dims, x->dims == 1 ? "" : "s");
        return base_hint(BASE_INPUT, "raw pixels 0..255: numpy.save(\"x.npy\", x.astype(numpy.uint8))");
    }
    int h = x->dims == 2 ? 1 : x->dim[1], w = x->dim[x->dims == 2 ? 1 : 2], c = x->dims == 4 ? x->dim[3] : 1;
    if (h <= 4 && c > 4) {
        base_fail(BASE_INPUT, "%s: [n][%d][%d][%d]: the channels must come last", path, h, w, c);
        return base_hint(BASE_INPUT, "numpy.save(\"x.npy\", numpy.ascontiguousarray(x.transpose(0, 2, 3, 1)))");
    }
    if (h > DATA_MAX_SIDE || w > DATA_MAX_SIDE || c > 4) {
        base_fail(BASE_INPUT, "%s: images of %d x %d x %d are too large", path, h, w, c);
        return base_hint(BASE_INPUT, "at most %d a side and 4 channels", DATA_MAX_SIDE);
    }
    *out = (struct data_set){.n = x->dim[0], .h = h, .w = w, .c = c};
    return data_check_shape(o, path, &out->h, &out->w, c);
}

/* The set keeps the file as its pixels. */
static int take_images(struct data_set *out, const char *path, const struct data_options *o)
{
    struct npy_file x;
    int rc = npy_open(&x, path);
    if (!rc)
        rc = check_images(&x, path, o, out);
    if (rc) {
        base_free(x.bytes);
        return rc;
    }
    out->memory[0] = x.bytes;
    out->pixels = x.data;
    return BASE_OK;
}

/* ---- labels ------------------------------------------------------------------- */

static int64_t label_at(const struct npy_file *f, int i)
{
    int size = f->type[2] - '0';
    uint64_t v = 0;
    for (int b = 0; b < size; b++)
        v |= (uint64_t)f->data[(size_t)i * (size_t)size + (size_t)b] << (8 * b);
    int shift = 64 - 8 * size;
    return f->type[1] == 'i' ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

static int check_labels(const struct npy_file *y, const char *path, const char *x_path, int n)
{
    bool integer = (y->type[1] == 'i' || y->type[1] == 'u') && y->type[0] != '>';
    bool column = y->dims == 1 || (y->dims == 2 && y->dim[1] == 1);
    if (integer && column && y->dim[0] == n)
        return BASE_OK;
    if (integer && column)
        base_fail(BASE_INPUT, "%s: %d labels for the %d images of %s", path, y->dim[0], n, x_path);
    else
        base_fail(BASE_INPUT, "%s: %d integer labels are expected, not %s with %d dimension%s", path, n, y->type, y->dims,
                  y->dims == 1 ? "" : "s");
    return base_hint(BASE_INPUT, "numpy.save(\"y.npy\", y.astype(numpy.int64)): one class number for each image");
}

static int fill_labels(struct data_set *out, const struct npy_file *y, const char *path, const struct data_options *o)
{
    uint16_t *label = BASE_NEW_N(uint16_t, out->n);
    out->memory[1] = label;
    out->label = label;
    int rc = label ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < out->n; i++) {
        int64_t v = label_at(y, i);
        rc = data_check_label(o, path, v, i, DATA_MAX_CLASSES);
        if (rc)
            break;
        label[i] = (uint16_t)v;
        out->classes = BASE_MAX(out->classes, (int)v + 1);
    }
    return rc;
}

static int take_labels(struct data_set *out, const char *path, const char *x_path, const struct data_options *o)
{
    struct npy_file y;
    int rc = npy_open(&y, path);
    if (!rc)
        rc = check_labels(&y, path, x_path, out->n);
    if (!rc)
        rc = fill_labels(out, &y, path, o);
    base_free(y.bytes);
    return rc;
}

/* ---- the SPEC ------------------------------------------------------------------ */

/* Cuts `text` at its commas; how many pieces, more than `max` counted but not kept. */
static int cut(char *text, char **piece, int max)
{
    int n = 0;
    for (char *s = text; s; n++) {
        char *comma = strchr(s, ',');
        if (comma)
            *comma++ = 0;
        if (!*s)
            return -1;
        if (n < max)
            piece[n] = s;
        s = comma;
    }
    return n;
}

static int look_for(const char *path)
{
    return base_file_exists(path) ? BASE_OK : base_hint(base_fail(BASE_INPUT, "%s: no such file", path), "check the path; relative paths start at the current folder");
}

int data_read_npy(struct data_set *out, const char *arg, enum data_part part, const struct data_options *o)
{
    char *piece[4], *text = base_strdup(arg);
    if (!text)
        return BASE_NOMEM;
    int n = cut(text, piece, 4), rc;
    if (n != 2 && n != 4) {
        base_fail(BASE_INPUT, "data 'npy:%s': two files or four are expected", arg);
        rc = base_hint(BASE_INPUT, "npy:IMAGES.npy,LABELS.npy or npy:IMAGES.npy,LABELS.npy,TESTIMAGES.npy,TESTLABELS.npy");
    } else {
        if (out && n == 2 && part == DATA_TRAIN)
            base_warn("npy:%s has no test images of its own: the same images are learned from and tested; give four files", arg);
        char **p = piece + (n == 4 && part == DATA_TEST ? 2 : 0);
        if (!out)
            rc = look_for(p[0]) ? BASE_INPUT : look_for(p[1]);
        else if (!(rc = take_images(out, p[0], o)))
            rc = take_labels(out, p[1], p[0], o);
    }
    base_free(text);
    return rc;
}
