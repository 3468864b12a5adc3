/* constant.c: tensors of the file as numbers. Nothing is allocated before the data that fills it has been
 * seen: a shape alone is a claim. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "onnx/reader.h"

enum { MAX_ELEMENTS = 1 << 28, SLACK = 1 << 20 };

double constant_at(const struct constant *c, int64_t k)
{
    return c->f ? (double)c->f[k] : (double)c->i[k];
}

void constant_scan(struct constant *c)
{
    if (c->scanned)
        return;
    c->scanned = c->finite = c->zero = true;
    for (int64_t k = 0; k < c->count; k++) {
        double v = constant_at(c, k);
        c->finite &= isfinite(v) != 0;
        c->zero &= v == 0;
    }
}

/* Computed elements, or parameters: a few times what the file itself holds. */
static bool within(const struct reader *r, int64_t total)
{
    return total <= SLACK + 4 * r->in_file;
}

bool room_for(struct reader *r, int64_t count)
{
    if (!within(r, r->params + count))
        return false;
    r->params += count;
    return true;
}

bool count_elements(const int64_t *dim, int rank, int64_t limit, int64_t *count)
{
    int64_t product = 1; /* of the dimensions that are not 0: strides stay in range as well */
    bool empty = false;
    for (int d = 0; d < rank; d++) {
        if (dim[d] < 0 || (dim[d] && product > limit / dim[d]))
            return false;
        product *= BASE_MAX(dim[d], 1);
        empty = empty || dim[d] == 0;
    }
    *count = empty ? 0 : product;
    return true;
}

struct constant *constant_new(struct reader *r, bool is_float, const int64_t *dim, int rank, int *rc)
{
    int64_t count;
    *rc = BASE_OK;
    if (rank < 0 || rank > MAX_RANK || !count_elements(dim, rank, MAX_ELEMENTS, &count) || !within(r, r->folded + count))
        return NULL;
    r->folded += count;
    struct constant *c = BASE_ARENA_NEW(r->arena, struct constant);
    if (c && is_float)
        c->f = BASE_ARENA_NEW_N(r->arena, float, count);
    else if (c)
        c->i = BASE_ARENA_NEW_N(r->arena, int64_t, count);
    if (!c || (!c->f && !c->i)) {
        *rc = BASE_NOMEM;
        return NULL;
    }
    c->rank = rank;
    c->count = count;
    if (rank)
        memcpy(c->dim, dim, sizeof *dim * (size_t)rank);
    return c;
}

struct constant *constant_ints(struct reader *r, const int64_t *v, int n, int *rc)
{
    struct constant *c = constant_new(r, false, (const int64_t[1]){ n }, 1, rc);
    if (c && n)
        memcpy(c->i, v, sizeof *v * (size_t)n);
    return c;
}

/* ---- element types ----------------------------------------------------------------- */

enum type { FLOAT = 1, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, UINT32, UINT64, BFLOAT16 = 16, TYPES };

static const uint8_t type_bytes[TYPES] = { [FLOAT] = 4, [UINT8] = 1, [INT8] = 1, [UINT16] = 2, [INT16] = 2, [INT32] = 4, [INT64] = 8,
                                           [BOOL] = 1, [FLOAT16] = 2, [DOUBLE] = 8, [UINT32] = 4, [UINT64] = 8, [BFLOAT16] = 2 };

static bool is_float_type(int type)
{
    return type == FLOAT || type == FLOAT16 || type == DOUBLE || type == BFLOAT16;
}

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static float from_half(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float v = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);
    return h >> 15 ? -v : v;
}

/* Element of raw little-endian data. */
#define RAW(T, name)                                \
    static T raw_##name(const uint8_t *p, int64_t k) \
    {                                               \
        T v;                                        \
        memcpy(&v, p + k * (int64_t)sizeof v, sizeof v); \
        return v;                                   \
    }
RAW(float, float)
RAW(double, double)
RAW(uint16_t, u16)
RAW(int16_t, s16)
RAW(uint32_t, u32)
RAW(int32_t, s32)
RAW(uint64_t, u64)
RAW(int64_t, s64)

static float raw_as_float(int type, const uint8_t *p, int64_t k)
{
    switch (type) {
    case FLOAT16: return from_half(raw_u16(p, k));
    case BFLOAT16: return from_bits((uint32_t)raw_u16(p, k) << 16);
    case DOUBLE: return (float)raw_double(p, k);
    default: return raw_float(p, k);
    }
}

static int64_t raw_as_int(int type, const uint8_t *p, int64_t k)
{
    switch (type) {
    case UINT8: return p[k];
    case BOOL: return p[k] != 0;
    case INT8: return (int8_t)p[k];
    case UINT16: return raw_u16(p, k);
    case INT16: return raw_s16(p, k);
    case UINT32: return raw_u32(p, k);
    case INT32: return raw_s32(p, k);
    case UINT64: return (int64_t)raw_u64(p, k);
    default: return raw_s64(p, k);
    }
}

/* The same from the typed fields: how many elements there are, and one of them. */
static size_t typed_count(const Onnx__TensorProto *t)
{
    switch (t->data_type) {
    case FLOAT: return t->n_float_data;
    case DOUBLE: return t->n_double_data;
    case INT64: return t->n_int64_data;
    case UINT32:
    case UINT64: return t->n_uint64_data;
    default: return t->n_int32_data;
    }
}

static float typed_as_float(const Onnx__TensorProto *t, int64_t k)
{
    switch (t->data_type) {
    case FLOAT16: return from_half((uint16_t)t->int32_data[k]);
    case BFLOAT16: return from_bits((uint32_t)t->int32_data[k] << 16);
    case DOUBLE: return (float)t->double_data[k];
    default: return t->float_data[k];
    }
}

static int64_t typed_as_int(const Onnx__TensorProto *t, int64_t k)
{
    switch (t->data_type) {
    case INT64: return t->int64_data[k];
    case UINT32:
    case UINT64: return (int64_t)t->uint64_data[k];
    default: return t->int32_data[k];
    }
}

/* ---- external data ------------------------------------------------------------------- */

static const char *external_entry(const Onnx__TensorProto *t, const char *key)
{
    for (size_t i = 0; i < t->n_external_data; i++)
        if (t->external_data[i]->key && t->external_data[i]->value && !strcmp(t->external_data[i]->key, key))
            return t->external_data[i]->value;
    return NULL;
}

static bool whole_number(const char *s, int64_t *out)
{
    char *end;
    errno = 0;
    *out = s ? strtoll(s, &end, 10) : 0;
    return !s || (*s >= '0' && *s <= '9' && !*end && !errno);
}

/* `bytes` bytes of the tensor from a file beside the model: a plain name, a regular file, a range inside it. */
static int external_read(struct reader *r, const Onnx__TensorProto *t, int64_t bytes, uint8_t **out)
{
    const char *name = external_entry(t, "location"), *slash = strrchr(r->path, '/'), *tensor = t->name ? t->name : "";
    int64_t offset, length;
    if (!name || !*name || strchr(name, '/') || !strcmp(name, "..") || !strcmp(name, "."))
        return base_fail(BASE_INPUT, "%s: tensor '%s': its data shall be in '%s'; only a file beside the model is read", r->path, tensor, name ? name : "");
    if (!whole_number(external_entry(t, "offset"), &offset) || !whole_number(external_entry(t, "length"), &length) || (external_entry(t, "length") && length != bytes))
        return base_fail(BASE_INPUT, "%s: tensor '%s': offset or length of its external data do not fit its shape (%lld bytes)", r->path, tensor, (long long)bytes);
    char *path = base_format("%.*s%s", slash ? (int)(slash - r->path) + 1 : 0, r->path, name);
    if (!path)
        return BASE_NOMEM;
    struct stat st;
    int rc = BASE_OK;
    FILE *fp = stat(path, &st) || !S_ISREG(st.st_mode) ? NULL : fopen(path, "rb");
    if (!fp)
        rc = base_fail(BASE_INPUT, "%s: tensor '%s': cannot open its data file '%s'", r->path, tensor, path);
    else if (offset > st.st_size || bytes > st.st_size - offset)
        rc = base_fail(BASE_INPUT, "%s: tensor '%s': its data file '%s' is too short", r->path, tensor, path);
    else if (!(*out = base_alloc((size_t)bytes)))
        rc = BASE_NOMEM;
    else if (fseeko(fp, offset, SEEK_SET) || fread(*out, 1, (size_t)bytes, fp) != (size_t)bytes)
        rc = base_fail(BASE_IO, "%s: cannot read '%s'", r->path, path);
    if (fp)
        fclose(fp);
    base_free(path);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------- */

static int check_tensor(const struct reader *r, const Onnx__TensorProto *t, int64_t *count)
{
    const char *name = t->name ? t->name : "";
    if (t->data_type < 1 || t->data_type >= TYPES || !type_bytes[t->data_type])
        return base_fail(BASE_INPUT, "%s: tensor '%s': element type %d is not supported (float, double, float16, bfloat16, integers and bool are)", r->path, name, t->data_type);
    if (t->n_dims > MAX_RANK)
        return base_fail(BASE_INPUT, "%s: tensor '%s' has %zu dimensions (at most %d are supported)", r->path, name, t->n_dims, MAX_RANK);
    if (!count_elements(t->dims, (int)t->n_dims, ONNX_MAX_BYTES, count))
        return base_fail(BASE_INPUT, "%s: tensor '%s': its dimensions are negative or too large: the file is damaged", r->path, name);
    return BASE_OK;
}

static void fill(struct constant *c, const Onnx__TensorProto *t, const uint8_t *raw)
{
    for (int64_t k = 0; k < c->count; k++)
        if (c->f)
            c->f[k] = raw ? raw_as_float(t->data_type, raw, k) : typed_as_float(t, k);
        else
            c->i[k] = raw ? raw_as_int(t->data_type, raw, k) : typed_as_int(t, k);
}

int constant_read(struct reader *r, const Onnx__TensorProto *t, struct constant **out)
{
    int64_t count = 0;
    uint8_t *external = NULL;
    *out = NULL;
    int rc = check_tensor(r, t, &count);
    if (rc)
        return rc;
    int64_t bytes = count * type_bytes[t->data_type];
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        if ((rc = external_read(r, t, bytes, &external)))
            goto done;
    } else if (t->has_raw_data ? (int64_t)t->raw_data.len != bytes : (int64_t)typed_count(t) != count) {
        return base_fail(BASE_INPUT, "%s: tensor '%s': its data do not fill its shape of %lld elements: the file is damaged", r->path, t->name ? t->name : "", (long long)count);
    }
    r->in_file += count;
    *out = constant_new(r, is_float_type(t->data_type), t->dims, (int)t->n_dims, &rc);
    if (*out)
        (*out)->type = t->data_type;
    if (*out)
        fill(*out, t, external ? external : t->has_raw_data ? t->raw_data.data : NULL);
    else if (!rc)
        rc = base_fail(BASE_INPUT, "%s: its constants are too large", r->path);
done:
    base_free(external);
    return rc;
}
