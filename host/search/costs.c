/* costs: cycles of candidates. What the caller's cost function has said is kept by the candidate's 64-bit hash, so
 * asking again is free; and an estimate that adds up layers, which agents may ask for thousands of candidates: it needs
 * one answer for each combination of a layer's own genes, not for each candidate. */
#include "search/search_internal.h"

#include <string.h>

struct search_costs {
    const struct search_job *job;
    struct { uint64_t key; int64_t cycles; } *slot; /* open addressing; key 0: empty */
    int n, capacity;               /* a power of two */
    int *group, n_group;           /* [dims]: genes of one layer, by the order of their first */
    int *base, *scratch;           /* [dims] */
    int64_t base_cycles;           /* 0: not asked yet */
};

int search_costs_new(struct search_costs **out, const struct search_job *job)
{
    int n = job->space->n;
    struct search_costs *c = BASE_NEW(struct search_costs);
    *out = c;
    if (!c || !(c->group = BASE_NEW_N(int, n)) || !(c->base = BASE_NEW_N(int, n)) || !(c->scratch = BASE_NEW_N(int, n)))
        return BASE_NOMEM;
    c->job = job;
    for (int i = 0; i < n; i++) {
        c->group[i] = c->n_group;
        for (int k = 0; k < i; k++)
            if (!strcmp(job->space->dim[k].layer, job->space->dim[i].layer)) {
                c->group[i] = c->group[k];
                break;
            }
        c->n_group += c->group[i] == c->n_group;
    }
    return BASE_OK;
}

void search_costs_free(struct search_costs *c)
{
    if (!c)
        return;
    base_free(c->slot);
    base_free(c->group);
    base_free(c->base);
    base_free(c->scratch);
    base_free(c);
}

static int find_slot(const struct search_costs *c, uint64_t key)
{
    int i = (int)(key & (uint64_t)(c->capacity - 1));
    while (c->slot[i].key && c->slot[i].key != key)
        i = (i + 1) & (c->capacity - 1);
    return i;
}

static int grow(struct search_costs *c)
{
    struct search_costs old = *c;
    c->capacity = old.capacity ? 2 * old.capacity : 1024;
    c->slot = base_alloc(sizeof *c->slot * (size_t)c->capacity);
    if (!c->slot) {
        *c = old;
        return BASE_NOMEM;
    }
    for (int i = 0; i < old.capacity; i++)
        if (old.slot[i].key)
            c->slot[find_slot(c, old.slot[i].key)] = old.slot[i];
    base_free(old.slot);
    return BASE_OK;
}

int64_t search_cost(struct search_costs *c, const int *genes)
{
    uint64_t key = base_hash64(0, genes, sizeof *genes * (size_t)c->job->space->n) | 1;
    if (2 * c->n >= c->capacity && grow(c))
        return BASE_NOMEM;
    int i = find_slot(c, key);
    if (c->slot[i].key)
        return c->slot[i].cycles;
    int64_t cycles = c->job->cost(c->job->ctx, genes);
    if (cycles < 0)
        return cycles;
    c->slot[i].key = key;
    c->slot[i].cycles = cycles;
    c->n++;
    return cycles;
}

/* Narrow everywhere, with every channel: what is wider in one layer then differs by that layer's share. */
static int64_t ask_base(struct search_costs *c)
{
    const struct search_space *s = c->job->space;
    for (int i = 0; i < s->n; i++)
        c->base[i] = search_is_width(&s->dim[i]) ? s->dim[i].lo : s->dim[i].hi;
    c->base_cycles = search_cost(c, c->base);
    if (c->base_cycles != SEARCH_UNBUILDABLE)
        return c->base_cycles;
    for (int i = 0; i < s->n; i++)
        c->base[i] = s->dim[i].lo;
    return c->base_cycles = search_cost(c, c->base);
}

int64_t search_estimate(struct search_costs *c, const int *genes)
{
    int n = c->job->space->n;
    int64_t sum = c->base_cycles > 0 ? c->base_cycles : ask_base(c);
    if (sum < 0 || sum == SEARCH_UNBUILDABLE)
        return sum;
    memcpy(c->scratch, c->base, sizeof *c->base * (size_t)n);
    for (int g = 0; g < c->n_group; g++) {
        for (int i = 0; i < n; i++)
            if (c->group[i] == g)
                c->scratch[i] = genes[i];
        int64_t cycles = search_cost(c, c->scratch);
        if (cycles < 0 || cycles == SEARCH_UNBUILDABLE)
            return cycles;
        sum += cycles - c->base_cycles;
        for (int i = 0; i < n; i++)
            if (c->group[i] == g)
                c->scratch[i] = c->base[i];
    }
    return sum;
}

const int *search_groups(const struct search_costs *c, int *n)
{
    *n = c->n_group;
    return c->group;
}
