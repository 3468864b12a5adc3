/* prune_cache.c: pruned networks that were made already, by method and channel counts: candidates of a
 * search that differ in widths alone share the pruning, the calibration and the scales.
 *
 * Drafts are kept apart from the real ones: what a draft says must not depend on what was asked before. */
#include "compress/prune.h"

#include <string.h>

void prune_memo_free(struct prune_memo *m)
{
    for (int i = 0; i < PRUNE_EXACT; i++)
        compress_cache_free(m->exact[i].cache);
    for (int i = 0; i < PRUNE_DRAFTS; i++)
        compress_cache_free(m->draft[i].cache);
    memset(m, 0, sizeof *m);
}

/* The entry with that key, else the one that was not used for longest. */
static struct prune_kept *look_up(struct prune_kept *list, int n, uint64_t key)
{
    struct prune_kept *oldest = &list[0];
    for (int i = 0; i < n; i++) {
        if (list[i].cache && list[i].key == key)
            return &list[i];
        if (list[i].used < oldest->used)
            oldest = &list[i];
    }
    return oldest;
}

/* What the pruned network depends on; *removes = false: on nothing. */
static int key_of(uint64_t *key, bool *removes, const struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o)
{
    struct prune_plan p;
    int rc = prune_plan_new(&p, compress_cache_graph(c), compress_cache_layers(c));
    if (rc)
        return rc;
    prune_plan_counts(&p, r);
    const int how[2] = { (int)r->prune.method, o->batchnorm_images };
    *removes = prune_plan_removes(&p);
    *key = base_hash64(base_hash64(0, how, sizeof how), p.count, sizeof *p.count * (size_t)p.ch.n_block);
    prune_plan_free(&p);
    return BASE_OK;
}

int prune_cache(struct compress_cache **out, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o)
{
    uint64_t key;
    bool removes = false;
    for (int i = 0; i < r->n; i++)
        removes |= r->layer[i].keep < 1;
    *out = c;
    int rc = removes ? key_of(&key, &removes, c, r, o) : BASE_OK;
    if (rc || !removes)
        return rc;
    struct prune_memo *m = compress_cache_memo(c);
    struct prune_kept *k = o->draft ? look_up(m->draft, PRUNE_DRAFTS, key) : look_up(m->exact, PRUNE_EXACT, key);
    if (!k->cache || k->key != key) {
        struct compress_cache *made;
        struct compress_recipe plain = *r;
        if (o->draft)
            plain.prune.method = COMPRESS_PRUNE_L1;
        if ((rc = compress_cache_pruned(&made, c, &plain, o->draft, o->batchnorm_images)))
            return rc;
        compress_cache_free(k->cache);
        *k = (struct prune_kept){ .key = key, .cache = made };
    }
    k->used = ++m->clock;
    *out = k->cache;
    return BASE_OK;
}
