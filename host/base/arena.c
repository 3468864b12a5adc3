/* arena: many small allocations with one end. Blocks are chained; one that is
 * larger than a block gets its own. */
#include "base/base.h"

#include <string.h>

enum { ARENA_BLOCK = 64 * 1024, ARENA_ALIGN = 64 };

struct arena_block {
    struct arena_block *next;
    size_t used, size; /* bytes behind the header */
};

struct base_arena {
    struct arena_block *blocks; /* the newest first */
    size_t bytes;
};

/* The header padded to the alignment, so that the first allocation is aligned. */
#define ARENA_HEADER ((sizeof(struct arena_block) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN)

struct base_arena *base_arena_new(void)
{
    return BASE_NEW(struct base_arena);
}

static struct arena_block *add_block(struct base_arena *a, size_t size)
{
    struct arena_block *b = base_alloc(ARENA_HEADER + size);
    if (!b)
        return NULL;
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    a->bytes += ARENA_HEADER + size;
    return b;
}

void *base_arena_alloc(struct base_arena *a, size_t bytes)
{
    if (bytes > PTRDIFF_MAX - ARENA_HEADER - ARENA_ALIGN) {
        base_fail(BASE_NOMEM, "out of memory: cannot get %zu bytes", bytes);
        return NULL;
    }
    size_t rounded = BASE_MAX((bytes + ARENA_ALIGN - 1) / ARENA_ALIGN, (size_t)1) * ARENA_ALIGN;
    struct arena_block *b = a->blocks;
    if (!b || b->size - b->used < rounded)
        b = add_block(a, BASE_MAX(rounded, (size_t)ARENA_BLOCK));
    if (!b)
        return NULL;
    uint8_t *p = (uint8_t *)b + ARENA_HEADER + b->used;
    b->used += rounded;
    return p;
}

char *base_arena_strdup(struct base_arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = base_arena_alloc(a, n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

size_t base_arena_bytes(const struct base_arena *a)
{
    return a->bytes;
}

void base_arena_free(struct base_arena *a)
{
    if (!a)
        return;
    while (a->blocks) {
        struct arena_block *next = a->blocks->next;
        base_free(a->blocks);
        a->blocks = next;
    }
    base_free(a);
}
