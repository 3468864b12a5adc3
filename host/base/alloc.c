/* alloc: the one allocator. Zeroed and aligned to a cache line, so that vector
 * code needs no special cases and every run starts from the same bytes. */
#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* Allocations left until one is made to fail; 0: none is. */
static atomic_long fail_countdown;

void base_alloc_fail_at(long n)
{
    atomic_store(&fail_countdown, n);
}

static bool made_to_fail(void)
{
    if (atomic_load(&fail_countdown) <= 0)
        return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

static void *out_of_memory(size_t bytes)
{
    base_fail(BASE_NOMEM, "out of memory: cannot get %zu bytes", bytes);
    return NULL;
}

/* Not zeroed. A size of 0 is a valid block, so that NULL always means failure. */
static void *raw_alloc(size_t bytes)
{
    if (made_to_fail() || bytes > PTRDIFF_MAX - ALIGNMENT)
        return out_of_memory(bytes);
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *p = aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT);
    return p ? p : out_of_memory(bytes);
}

void *base_alloc(size_t bytes)
{
    void *p = raw_alloc(bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

void *base_realloc(void *p, size_t old_bytes, size_t new_bytes)
{
    /* realloc() does not keep the alignment: allocate and copy. */
    uint8_t *q = raw_alloc(new_bytes);
    if (!q)
        return NULL;
    size_t kept = p ? BASE_MIN(old_bytes, new_bytes) : 0;
    if (kept)
        memcpy(q, p, kept);
    memset(q + kept, 0, new_bytes - kept);
    free(p);
    return q;
}

void base_free(void *p)
{
    free(p);
}

char *base_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = base_alloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}
