/* crew: the ranks that mpirun has started judge the candidates of one search. Rank 0 holds the study and proposes; it judges
 * candidates itself while it would have to wait. The others judge what they are sent, each in a process of its own, two at hand so
 * that none of them waits for rank 0.
 *
 * What is lost is given out again: a candidate whose process ended, to another rank if there is one, and those of a rank that is
 * silent. A candidate that was lost twice has failed. */
#ifndef CMD_CREW_H
#define CMD_CREW_H

#include "cmd/candidate.h"
#include "dist/dist.h"

/* Rank 0's. As search_start_fn and search_collect_fn say, up to `n` candidates at once. `hello`: what the other ranks need of rank
 * 0 before they can judge. */
struct crew;
int crew_new(struct crew **out, struct dist *d, const struct candidate_bench *b, int n, const void *hello, size_t bytes);
void crew_free(struct crew *c);      /* all have been collected */
int crew_start(struct crew *c, int id, const int *genes, double hopeless_below);
int crew_collect(struct crew *c, int id, struct search_result *out);
/* After the search: the other ranks go on to `join`, or, if *alone, crew_serve returns; it becomes true where one of them was lost. */
int crew_dismiss(struct crew *c, bool *alone);

/* Any other rank's: judges what it is sent until it is dismissed. `open` makes the bench from `hello`, in the process that judges:
 * again in each that follows one that was lost. `join` is what this process does after that; until then it must have no threads. */
struct crew_job {
    int (*open)(void *ctx, const struct candidate_bench **out, const void *hello, size_t bytes);
    int (*join)(void *ctx, const void *hello, size_t bytes);
    void *ctx;
};
int crew_serve(struct dist *d, const struct crew_job *job);

#endif
