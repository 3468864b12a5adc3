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
    int *place, *size;             /* [dims] of a gene in its group's index; [groups] combinations */
    int64_t **added;               /* [groups][size]: cycles beside base's, UNKNOWN until asked; NULL: too many to keep */
    int *base, *scratch, *index;   /* [dims]; [groups] */
    int64_t base_cycles;           /* 0: not asked yet */
};

enum { MOST_KEPT = 1 << 16 };
#define UNKNOWN INT64_MIN

static int make_groups(struct search_costs *c)
{
    const struct search_space *s = c->job->space;
    for (int i = 0; i < s->n; i++) {
        c->group[i] = c->n_group;
        for (int k = 0; k < i; k++)
            if (!strcmp(s->dim[k].layer, s->dim[i].layer)) {
                c->group[i] = c->group[k];
                break;
            }
        c->n_group += c->group[i] == c->n_group;
    }
    for (int g = 0; g < s->n; g++)
        c->size[g] = 1;
    for (int i = 0; i < s->n; i++) {
        int *size = &c->size[c->group[i]];
        c->place[i] = *size;
        *size = BASE_MIN(*size * (s->dim[i].hi - s->dim[i].lo + 1), MOST_KEPT + 1);
    }
    for (int g = 0; g < c->n_group; g++) {
        if (c->size[g] > MOST_KEPT)
            continue;
        if (!(c->added[g] = BASE_NEW_N(int64_t, c->size[g])))
            return BASE_NOMEM;
        for (int k = 0; k < c->size[g]; k++)
            c->added[g][k] = UNKNOWN;
    }
    return BASE_OK;
}

int search_costs_new(struct search_costs **out, const struct search_job *job)
{
    int n = job->space->n;
    struct search_costs *c = BASE_NEW(struct search_costs);
    *out = c;
    if (!c)
        return BASE_NOMEM;
    c->job = job;
    if (!(c->group = BASE_NEW_N(int, n)) || !(c->place = BASE_NEW_N(int, n)) || !(c->size = BASE_NEW_N(int, n)) || !(c->added = BASE_NEW_N(int64_t *, n)) || !(c->base = BASE_NEW_N(int, n)) ||
        !(c->scratch = BASE_NEW_N(int, n)) || !(c->index = BASE_NEW_N(int, n)))
        return BASE_NOMEM;
    return make_groups(c);
}

void search_costs_free(struct search_costs *c)
{
    if (!c)
        return;
    for (int g = 0; c->added && g < c->n_group; g++)
        base_free(c->added[g]);
    base_free(c->slot);
    base_free(c->group);
    base_free(c->place);
    base_free(c->size);
    base_free(c->added);
    base_free(c->base);
    base_free(c->index);
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

/* *added: what the genes of one group add to the base's cycles, SEARCH_UNBUILDABLE; negative: base_code. */
static int ask_group(int64_t *added, struct search_costs *c, int group, const int *genes)
{
    for (int i = 0; i < c->job->space->n; i++)
        c->scratch[i] = c->group[i] == group ? genes[i] : c->base[i];
    int64_t cycles = search_cost(c, c->scratch);
    *added = cycles == SEARCH_UNBUILDABLE ? cycles : cycles - c->base_cycles;
    return cycles < 0 ? (int)cycles : BASE_OK;
}

int64_t search_estimate(struct search_costs *c, const int *genes)
{
    const struct search_space *s = c->job->space;
    int64_t sum = c->base_cycles > 0 ? c->base_cycles : ask_base(c);
    if (sum < 0 || sum == SEARCH_UNBUILDABLE)
        return sum;
    memset(c->index, 0, sizeof *c->index * (size_t)c->n_group);
    for (int i = 0; i < s->n; i++)
        c->index[c->group[i]] += c->place[i] * (genes[i] - s->dim[i].lo);
    for (int g = 0; g < c->n_group; g++) {
        int64_t asked = UNKNOWN, *added = c->added[g] ? &c->added[g][c->index[g]] : &asked;
        int rc = *added == UNKNOWN ? ask_group(&asked, c, g, genes) : BASE_OK;
        if (rc)
            return rc;
        if (*added == UNKNOWN)
            *added = asked;
        if (*added == SEARCH_UNBUILDABLE)
            return SEARCH_UNBUILDABLE;
        sum += *added;
    }
    return sum;
}

const int *search_groups(const struct search_costs *c, int *n)
{
    *n = c->n_group;
    return c->group;
}
