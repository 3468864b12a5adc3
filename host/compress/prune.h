/* Inside compress: channel pruning. A plan says how many units of each block stay; a learner says which, and may
 * refit weights to it; prune.c removes the rest.
 *
 * Learners work on a copy of the network in which a removed unit is zero, so that all indices stay. */
#ifndef COMPRESS_PRUNE_H
#define COMPRESS_PRUNE_H

#include "compress/compress.h"

struct prune_plan {
    struct graph_channels ch;
    int n_layer;
    int *tie;                 /* [n_layer]: the first of the layers that share channels; -1: none can be removed */
    int *layer;               /* [n_block]: a layer whose `keep` holds; -1: it stays as it is */
    int *count;               /* [n_block]: units that stay; 0: a residual branch goes whole */
};
/* count: everything stays. */
int prune_plan_new(struct prune_plan *p, const struct graph *g, const struct graph_layers *ls);
void prune_plan_free(struct prune_plan *p);
/* Units of a block at a share of its size, in steps of `round` (the nearest; at least one step, or all). */
int prune_count(int size, double keep, int round);
/* By the recipe's `keep` and prune.round. */
void prune_plan_counts(struct prune_plan *p, const struct compress_recipe *r);
bool prune_plan_removes(const struct prune_plan *p);
/* Channels of a node that stay, and the network's multiply-accumulates. */
int prune_plan_channels(const struct prune_plan *p, const struct graph *g, int node);
int64_t prune_plan_macs(const struct prune_plan *p, const struct graph *g);
/* Nodes without a channel: gone [g->n_node]. */
void prune_plan_gone(const struct prune_plan *p, const struct graph *g, bool *gone);
/* The heuristic: sets `keep` so that at most prune.macs of the multiply-accumulates are left. */
int prune_heuristic(struct compress_recipe *r, struct prune_plan *p, const struct graph *g);

/* The network without the branches of which the recipe keeps nothing; *out NULL: all stay. out NULL: only whether they can go. */
int prune_branches(struct graph **out, const struct graph *g, const struct graph_layers *ls, const struct compress_recipe *r);
/* A recipe of `ls` becomes one of what is left, `now`. */
int prune_narrow(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls, const struct graph *now, const struct graph_layers *now_ls);

struct prune_job {
    struct graph *was;                   /* the float network */
    struct graph *now;                   /* its copy: what a learner refits and zeroes */
    const struct graph_layers *layers;   /* of `was`; the copy's have the same indices */
    const struct prune_plan *plan;
    const struct compress_data *data;
    struct base_pool *pool;
    bool *keep;                          /* [n_unit]: comes all true */
};

/* Rank: keep[] of a block := the `count` units of the largest score (ties: the earlier). score [n_unit]. */
int prune_take_best(bool *keep, const struct prune_plan *p, int block, const double *score);
/* A unit's channels become zero in job->now, with the weights that read them. */
void prune_zero(const struct prune_job *j, int unit);

int prune_l1(struct prune_job *j);
int prune_l2(struct prune_job *j);
int prune_bn(struct prune_job *j);
int prune_lasso(struct prune_job *j);
int prune_dcp(struct prune_job *j);

/* The float network `g` pruned by a settled recipe; batch norms measured anew where there are training images.
 * *out is NULL if nothing goes. */
int prune_graph(struct graph **out, struct graph *g, const struct graph_layers *ls, const struct compress_recipe *r, const struct compress_data *d, struct base_pool *pool, int batchnorm_images);

/* ---- caches of pruned networks: what candidates with the same channels share ---------------- */
enum { PRUNE_EXACT = 8, PRUNE_DRAFTS = 16 };
struct prune_kept { uint64_t key; struct compress_cache *cache; int64_t used; };
struct prune_memo { struct prune_kept exact[PRUNE_EXACT], draft[PRUNE_DRAFTS]; int64_t clock; };
void prune_memo_free(struct prune_memo *m);
/* *out: c itself where a settled recipe removes nothing, else a cache of its own that belongs to c. */
int prune_cache(struct compress_cache **out, struct compress_cache *c, const struct compress_recipe *r, const struct compress_options *o);
/* apply.c's part: the memo, and a new cache of the pruned network (the caller's). */
struct prune_memo *compress_cache_memo(struct compress_cache *c);
int compress_cache_pruned(struct compress_cache **out, struct compress_cache *c, const struct compress_recipe *r, bool draft, int batchnorm_images);

#endif
