/* candidate: a recipe of the search, judged at the cheap rung in two steps: the network and its accuracy, which takes all
 * threads here; then its cycles, which a board may measure while the next candidate is judged. */
#ifndef CMD_CANDIDATE_H
#define CMD_CANDIDATE_H

#include "cmd/contender.h"
#include "cmd/space.h"

/* What candidates are judged by. All of it is the caller's and outlives what is made of it. */
struct candidate_bench {
    const struct space *space;
    struct compress_cache *cache;
    struct contender_arrays arrays;
    const struct contender_scorer *scorer;
    struct compress_options options;
    const uint8_t *pixels;           /* the image that is scored */
    int n_val;                       /* validation images, at most */
    double float_val;                /* accuracy of the float network on them */
    const char *cache_dir;           /* of measured cycles */
};

/* As search_evaluate_fn says. */
int candidate_evaluate(const struct candidate_bench *b, const int *genes, struct search_result *out);

/* Up to `n` candidates that are being scored, each waited for by a thread; as search_start_fn and search_collect_fn say. */
struct candidate_queue;
int candidate_queue_new(struct candidate_queue **out, const struct candidate_bench *b, int n);
void candidate_queue_free(struct candidate_queue *q);   /* all have been collected */
int candidate_start(struct candidate_queue *q, int id, const int *genes, double hopeless_below);
int candidate_collect(struct candidate_queue *q, int id, struct search_result *out);

#endif
