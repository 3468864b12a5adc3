#include "sim/simdev/rpc.h"

#include <stdlib.h>
#include <string.h>

/* Both heads: field 1, fixed64: bytes that follow; in calls also field 2, fixed32: the call. */
enum { TAG_LENGTH = 1 << 3 | 1, TAG_CALL = 2 << 3 | 5 };
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static uint64_t get(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void put(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

bool rpc_parse_head(const uint8_t head[RPC_CALL_HEAD], uint32_t *call, uint32_t *bytes)
{
    uint64_t n = get(head + 1, 8);
    if (head[0] != TAG_LENGTH || head[9] != TAG_CALL || n > RPC_MAX_BYTES)
        return false;
    *bytes = (uint32_t)n;
    *call = (uint32_t)get(head + 10, 4);
    return true;
}

void rpc_write_head(uint8_t head[RPC_CALL_HEAD], uint32_t call, uint64_t bytes)
{
    head[0] = TAG_LENGTH;
    put(head + 1, bytes, 8);
    head[9] = TAG_CALL;
    put(head + 10, call, 4);
}

/* ---- reading --------------------------------------------------------------------------- */

struct cursor { const uint8_t *p, *end; };

static bool varint(struct cursor *c, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; c->p < c->end && shift < 64; shift += 7) {
        uint8_t b = *c->p++;
        *v |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return true;
    }
    return false;
}

static bool fixed(struct cursor *c, uint64_t *v, int bytes)
{
    if (c->end - c->p < bytes)
        return false;
    *v = get(c->p, bytes);
    c->p += bytes;
    return true;
}

static bool field(struct cursor *c, uint64_t *number, struct rpc_field *f)
{
    uint64_t tag;
    f->at = NULL;
    if (!varint(c, &tag))
        return false;
    *number = tag >> 3;
    switch (tag & 7) {
    case VARINT:
        return varint(c, &f->value);
    case FIXED64:
        return fixed(c, &f->value, 8);
    case FIXED32:
        return fixed(c, &f->value, 4);
    case BYTES:
        if (!varint(c, &f->value) || f->value > (uint64_t)(c->end - c->p))
            return false;
        f->at = c->p;
        c->p += f->value;
        return true;
    default:
        return false;
    }
}

bool rpc_parse(struct rpc_fields *out, const uint8_t *p, size_t n)
{
    struct cursor c = { p, p + n };
    memset(out, 0, sizeof *out);
    while (c.p < c.end) {
        uint64_t number;
        struct rpc_field f;
        if (!field(&c, &number, &f))
            return false;
        if (number < RPC_FIELDS)
            out->f[number] = f;
    }
    return true;
}

/* ---- writing --------------------------------------------------------------------------- */

static uint8_t *grow(struct rpc_answer *a, size_t n)
{
    if (a->failed)
        return NULL;
    if (a->n + n > a->cap) {
        size_t cap = (a->n + n) * 2 + 256;
        uint8_t *p = realloc(a->p, cap);
        if (!p) {
            a->failed = true;
            return NULL;
        }
        a->p = p;
        a->cap = cap;
    }
    a->n += n;
    return a->p + a->n - n;
}

static void add_varint(struct rpc_answer *a, uint64_t v)
{
    do {
        uint8_t *p = grow(a, 1);
        if (p)
            *p = (uint8_t)(v & 127) | (v > 127 ? 128 : 0);
        v >>= 7;
    } while (v);
}

void rpc_begin(struct rpc_answer *a)
{
    a->n = 0;
    grow(a, RPC_ANSWER_HEAD);
}

void rpc_add_number(struct rpc_answer *a, int number, uint64_t value)
{
    add_varint(a, (uint64_t)number << 3 | VARINT);
    add_varint(a, value);
}

uint8_t *rpc_add_bytes(struct rpc_answer *a, int number, size_t n)
{
    add_varint(a, (uint64_t)number << 3 | BYTES);
    add_varint(a, n);
    return grow(a, n);
}

void rpc_end(struct rpc_answer *a)
{
    if (a->failed)
        return;
    a->p[0] = TAG_LENGTH;
    put(a->p + 1, a->n - RPC_ANSWER_HEAD, 8);
}
