/* ranks: a subcommand that several ranks run together: who speaks, what must be alike, how it ends. */
#ifndef CMD_RANKS_H
#define CMD_RANKS_H

#include "cmd/cmd.h"
#include "cmd/pipeline.h"
#include "dist/dist.h"

/* Join the ranks. All but rank 0 are silent from now on; without --threads the cores are shared among the ranks of the machine. */
int ranks_open(struct dist **out, struct cmd *c);
/* BASE_INPUT, naming the rank, unless all ranks run the same program, with the same `settings` (text) and `model` (a file or a name). */
int ranks_same_job(struct dist *d, const char *settings, const char *model);
/* The same for the training images. */
int ranks_same_data(struct dist *d, const struct data_set *s);
/* What they are compared by. */
uint64_t ranks_data_hash(const struct data_set *s);
/* Sums of gradients as a configuration's `distributed` says, the caller's. */
int ranks_gradients(struct dist_gradients **out, struct dist *d, const struct run_distributed *how, long seed);
/* What each rank has sent, as a line. */
enum { RANKS_WORDS = 256 };
void ranks_traffic_words(char out[static RANKS_WORDS], const struct dist *d, const struct dist_gradients *g);
/* The same to the log. */
void ranks_log_traffic(const struct dist *d, const struct dist_gradients *g);
/* After success or failure on this rank, which ends all of them; the exit code. */
int ranks_end(struct dist *d, int rc);

#endif
