/* dist: several processes, the ranks of one run, started by mpirun or a batch system; and what they exchange.
 *
 * A program that was not started as one of several is rank 0 of 1: MPI is not touched, and every call here returns
 * at once. Calls that say "all ranks" wait for the others; while they wait they give the processor away and see
 * SIGTERM, which mpirun sends to the rest when a rank has died (BASE_STOPPED). One thread at a time calls.
 * Ownership: what dist_open makes is the caller's; one of them at a time in a process.
 */
#ifndef DIST_H
#define DIST_H

#include "base/base.h"

struct dist;

/* Join the ranks; only once in a process. BASE_MISSING if MPI cannot start. */
int dist_open(struct dist **out);
int dist_rank(const struct dist *d);
int dist_ranks(const struct dist *d);      /* 1: alone */
/* After success, all ranks. */
void dist_close(struct dist *d);

/* After failure, on those ranks that failed: whether this one is to print its message, which from then on names the
 * rank. Where all fail for one reason it is rank 0 alone: the others wait a moment to be ended by it. */
bool dist_reports(const struct dist *d, int rc);
/* End every rank; nothing is written by them any more. Alone: exit. Does not return. */
void dist_abort(struct dist *d, int exit_code) __attribute__((noreturn));

/* v[n] becomes the sum over the ranks, the same bits on each. All ranks. */
int dist_sum(struct dist *d, double *v, int n);
/* Rank 0's bytes, on every rank. All ranks. */
int dist_broadcast(struct dist *d, void *data, size_t bytes);

/* What every rank must have alike, by hash. */
struct dist_fact { const char *what; uint64_t hash; };
/* BASE_INPUT on every rank, naming the lowest rank whose fact is not rank 0's, and the fact. All ranks, with
 * the same `n` and names. */
int dist_same(struct dist *d, const struct dist_fact *fact, int n);

#endif
