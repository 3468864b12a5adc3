/* proto.c: an ONNX file as protobuf structures, safely. protobuf-c recurses as deep as the file nests and
 * allocates a structure of a hundred bytes for two bytes of file: so the nesting is measured first, and the
 * unpacker's memory is bounded by the file's size. */
#include "onnx/reader.h"

enum { MAX_DEPTH = 24 };

/* ---- nesting -------------------------------------------------------------------- */

struct wire { const uint8_t *p, *end; };

static bool varint(struct wire *w, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && w->p < w->end; shift += 7) {
        uint8_t b = *w->p++;
        *out |= (uint64_t)(b & 127) << shift;
        if (!(b & 128))
            return true;
    }
    return false;
}

static bool skip_fixed(struct wire *w, int bytes)
{
    if (w->end - w->p < bytes)
        return false;
    w->p += bytes;
    return true;
}

/* Is every message in these bytes well-formed and nested at most `depth` deep? */
static bool nests_at_most(const ProtobufCMessageDescriptor *d, struct wire w, int depth)
{
    while (w.p < w.end) {
        uint64_t tag, n;
        if (!varint(&w, &tag))
            return false;
        switch (tag & 7) {
        case 0:
            if (!varint(&w, &n))
                return false;
            break;
        case 1:
            if (!skip_fixed(&w, 8))
                return false;
            break;
        case 5:
            if (!skip_fixed(&w, 4))
                return false;
            break;
        case 2: {
            if (!varint(&w, &n) || n > (uint64_t)(w.end - w.p))
                return false;
            const ProtobufCFieldDescriptor *f = tag >> 3 <= UINT32_MAX ? protobuf_c_message_descriptor_get_field(d, (unsigned)(tag >> 3)) : NULL;
            if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && (!depth || !nests_at_most(f->descriptor, (struct wire){ w.p, w.p + n }, depth - 1)))
                return false;
            w.p += n;
            break;
        }
        default:
            return false;
        }
    }
    return true;
}

/* ---- memory --------------------------------------------------------------------- */

struct budget { size_t left; bool nomem; };

/* Real models are mostly raw data (copied once) and a few structures of ten times their bytes. */
static size_t budget_for(size_t len)
{
    return BASE_MIN(16 * len + ((size_t)1 << 20), 3 * len + ((size_t)1 << 28));
}

static void *budget_alloc(void *ctx, size_t size)
{
    struct budget *b = ctx;
    size_t cost = BASE_MAX(size, (size_t)64); /* what the allocator takes for small ones */
    if (cost > b->left)
        return NULL;
    void *p = base_alloc(size);
    if (p)
        b->left -= cost;
    else
        b->nomem = true;
    return p;
}

static void budget_free(void *ctx, void *p)
{
    (void)ctx;
    base_free(p);
}

static ProtobufCAllocator allocator(struct budget *b)
{
    return (ProtobufCAllocator){ .alloc = budget_alloc, .free = budget_free, .allocator_data = b };
}

int proto_read(Onnx__ModelProto **out, const char *path)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    *out = NULL;
    int rc = base_file_read(&bytes, &len, path, ONNX_MAX_BYTES);
    if (rc)
        return rc;
    struct budget b = { .left = budget_for(len) };
    ProtobufCAllocator a = allocator(&b);
    if (nests_at_most(&onnx__model_proto__descriptor, (struct wire){ bytes, bytes + len }, MAX_DEPTH))
        *out = onnx__model_proto__unpack(&a, len, bytes);
    base_free(bytes);
    if (b.nomem)
        rc = BASE_NOMEM;
    else if (!*out || !(*out)->graph)
        rc = base_hint(base_fail(BASE_INPUT, "%s: not an ONNX model, or a damaged one", path), "export it again; python's onnx.checker.check_model tells more");
    if (rc) {
        proto_free(*out);
        *out = NULL;
    }
    return rc;
}

void proto_free(Onnx__ModelProto *m)
{
    struct budget b = { 0 };
    ProtobufCAllocator a = allocator(&b);
    if (m)
        onnx__model_proto__free_unpacked(m, &a);
}
