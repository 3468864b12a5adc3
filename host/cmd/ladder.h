/* ladder: how finalists are built and judged: on all held-out images, rung by rung, each a row of the study.
 *
 *   SEARCH_CHEAP  quantized with adaptive rounding and bias correction, no training
 *   SEARCH_SHORT  fine-tuned for finetune.epochs
 *   SEARCH_FULL   fine-tuned for finetune.full epochs, from the float network: what won, and the best uniform one
 *
 * Several ranks fine-tune together: rank 0 climbs and says what is trained, the others join. What is trained is the same for any
 * number of ranks, to float rounding.
 *
 * A row that an earlier, killed run finished is not built again: its numbers are read, and its network is made only
 * where it is wanted in the end. */
#ifndef CMD_LADDER_H
#define CMD_LADDER_H

#include "cmd/contender.h"
#include "cmd/run_config.h"
#include "dist/dist.h"
#include "search/search.h"

struct ladder {
    const struct run_config *config;
    struct compress_cache *cache;
    struct contender_arrays arrays;
    struct dist *dist;
    const struct nn_ranks *ranks;    /* NULL: alone. Others than rank 0 need only what stands above */
    struct search_study *study;
    double float_held;               /* the float network on all held-out images */
    int64_t cycles_limit;            /* 0 = none */
    bool resume;
    struct search_finalists done;    /* of earlier runs */
};

/* The caller has filled in the rest; ladder_close in any case. */
int ladder_open(struct ladder *l);
void ladder_close(struct ladder *l);
/* Any other rank's: takes part in what rank 0 fine-tunes, until rank 0 lets it go. */
int ladder_join(const struct ladder *l);
int ladder_let_go(const struct ladder *l);
/* What a finalist of that rung gets beside its widths. */
void ladder_treat(struct compress_recipe *recipe, const struct run_config *c, int rung);
/* The better of cheap and short that keeps the limit; where one alone does, that one. `label`: of the progress line.
 * One that cannot be built is warned of and left unknown (out->known). */
int ladder_climb(struct ladder *l, struct contender *out, const char *name, const char *label, int trial, struct compress_recipe *recipe);
/* *c after finetune.full epochs, where that is better and keeps the limit. Nothing happens if it is unknown, or full is 0. */
int ladder_top(struct ladder *l, struct contender *c, const char *label);
/* The network of one whose numbers alone are known. */
int ladder_build(struct ladder *l, struct contender *c);
/* Its row gets the cycles of its score. */
int ladder_measured(struct ladder *l, const struct contender *c);

#endif
