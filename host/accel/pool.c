/* Tables of words in which equal runs are stored once. */
#include "accel/accel_internal.h"

void pool_init(struct pool *p, size_t word_bytes)
{
    *p = (struct pool){ .word_bytes = word_bytes };
}

void pool_free(struct pool *p)
{
    base_free(p->data);
    base_free(p->hash);
    base_free(p->next);
}

void pool_trim(struct pool *p, int n)
{
    while (p->n > n) {                         /* chains have the newest word first */
        p->n--;
        p->head[p->hash[p->n] % BASE_COUNT(p->head)] = p->next[p->n] + 1;
    }
}

static int grow(struct pool *p, int n)
{
    if (n <= p->cap)
        return BASE_OK;
    size_t old = (size_t)p->cap, cap = (size_t)BASE_MAX(n, 2 * p->cap + 64);
    void *data = base_realloc(p->data, old * p->word_bytes, cap * p->word_bytes);
    if (!data)
        return BASE_NOMEM;
    p->data = data;
    uint64_t *hash = base_realloc(p->hash, old * sizeof *hash, cap * sizeof *hash);
    if (!hash)
        return BASE_NOMEM;
    p->hash = hash;
    int *next = base_realloc(p->next, old * sizeof *next, cap * sizeof *next);
    if (!next)
        return BASE_NOMEM;
    p->next = next;
    p->cap = (int)cap;
    return BASE_OK;
}

static int find(const struct pool *p, const void *run, int count, uint64_t hash)
{
    for (int i = p->head[hash % BASE_COUNT(p->head)] - 1; i >= 0; i = p->next[i])
        if (p->hash[i] == hash && i + count <= p->n &&
            memcmp(p->data + (size_t)i * p->word_bytes, run, (size_t)count * p->word_bytes) == 0)
            return i;
    return -1;
}

int pool_add(struct pool *p, const void *run, int count)
{
    const uint8_t *from = run;
    int at = find(p, run, count, base_hash64(0, run, p->word_bytes));
    if (at >= 0)
        return at;
    if (grow(p, p->n + count))
        return BASE_NOMEM;
    at = p->n;
    memcpy(p->data + (size_t)at * p->word_bytes, run, (size_t)count * p->word_bytes);
    for (int i = 0; i < count; i++, p->n++) {
        uint64_t h = base_hash64(0, from + (size_t)i * p->word_bytes, p->word_bytes);
        int *head = &p->head[h % BASE_COUNT(p->head)];
        p->hash[p->n] = h;
        p->next[p->n] = *head - 1;
        *head = p->n + 1;
    }
    return at;
}
