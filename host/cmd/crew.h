/* crew: the ranks that mpirun has started judge the candidates of one search. Rank 0 holds the study and proposes; it judges
 * candidates itself while it would have to wait. The others judge what they are sent, two at hand so that none of them waits
 * for rank 0. A rank's death ends the run, as mpirun has it; the study goes on with --resume, on any number of ranks. */
#ifndef CMD_CREW_H
#define CMD_CREW_H

#include "cmd/candidate.h"
#include "dist/dist.h"

/* Rank 0's. As search_start_fn and search_collect_fn say, up to `n` candidates at once. */
struct crew;
int crew_new(struct crew **out, struct dist *d, const struct candidate_bench *b, int n);
void crew_free(struct crew *c);      /* all have been collected */
int crew_start(struct crew *c, int id, const int *genes, double hopeless_below);
int crew_collect(struct crew *c, int id, struct search_result *out);
/* The other ranks' crew_serve returns. */
int crew_dismiss(struct dist *d);

/* Any other rank's: judges what it is sent until it is dismissed. */
int crew_serve(struct dist *d, const struct candidate_bench *b);

#endif
