/* dist: several processes, the ranks of one run, started by mpirun or a batch system; and what they exchange.
 *
 * A program that was not started as one of several is rank 0 of 1: MPI is not touched, and every call here returns
 * at once. Calls that say "all ranks" wait for the others; while they wait they give the processor away and see
 * SIGTERM, which mpirun sends to the rest when a rank has died (BASE_STOPPED). One thread at a time calls.
 * Ownership: what dist_open makes is the caller's; one of them at a time in a process.
 */
#ifndef DIST_H
#define DIST_H

#include "nn/nn.h"

struct dist;

/* Join the ranks; only once in a process. BASE_MISSING if MPI cannot start. */
int dist_open(struct dist **out);
int dist_rank(const struct dist *d);
int dist_ranks(const struct dist *d);      /* 1: alone */
/* Threads for this rank: the cores that it is bound to, or its share of the machine's. Alone: 0, the pool's own choice. */
int dist_threads(const struct dist *d);
/* After success, all ranks. Where one was lost, or does not come within seconds, rank 0 ends the others. */
void dist_close(struct dist *d);
/* Rank 0 has seen that another rank is dead, which only mpirun --enable-recovery lets happen: from now on nothing that all
 * ranks take part in. */
void dist_lost(struct dist *d);

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

/* ---- messages, from one rank to another ---------------------------------------------------- */
/* Returns at once; a copy of `bytes` is on its way. To a dead rank it stays there. */
int dist_send(struct dist *d, int to, const void *bytes, size_t n);
/* A message that has arrived, from anyone: *bytes is base_alloc'd, *from its rank; -1: there is none. Does not wait. */
int dist_receive(struct dist *d, int *from, void **bytes, size_t *n);

/* ---- gradients ------------------------------------------------------------------------------
 * Their sums over the ranks for nn_train: exact, or of what each rank's gradient becomes on a few levels.
 * A bucket of values has the scale m = max |u| and s = 2^(bits - 1) - 1 levels either side of 0; a value goes to one of the
 * two levels around it, at random so that its mean is the value (quantized SGD, QSGD). ECQ sends g + feedback h instead of the gradient
 * g, and keeps h = decay h + g - sent: what was lost is made up for later. */
enum dist_method { DIST_EXACT, DIST_QSGD, DIST_ECQ };
struct dist_code {
    enum dist_method method;
    int bits;                              /* 2, 4 or 8 */
    int bucket;                            /* values that share a scale */
    float feedback, decay;                 /* of ECQ, 0 .. 1 */
    uint64_t seed;
    bool local_batchnorm;
    double silence_s;                      /* rank 0 that waits so long in a step gives up, BASE_IO: another rank has died, and the launcher let it; 0: never */
};
#define DIST_CODE_INIT { .method = DIST_EXACT, .bits = 4, .bucket = 512, .feedback = 0.25f, .decay = 1, .silence_s = 600 }

struct dist_gradients;
/* For one training after another; `d` must outlive it. BASE_INPUT for a code out of range. */
int dist_gradients_new(struct dist_gradients **out, struct dist *d, const struct dist_code *code);
void dist_gradients_free(struct dist_gradients *g);
/* For nn_train_options; belongs to `g`. NULL when alone. */
const struct nn_ranks *dist_gradients_ranks(const struct dist_gradients *g);

/* What this rank sent since dist_gradients_new. A sum of n bytes among N ranks counts 2 (N-1)/N n, what a ring of them sends; a
 * packed gradient goes to each of the N-1 others. */
struct dist_traffic {
    int64_t steps;
    double gradient_bytes, other_bytes;    /* other: batch norms' sums, losses, biases */
    int64_t arrays, early;                 /* gradients summed; of them done before the backward pass was */
    double wait_s;                         /* spent waiting: for gradients, and for other sums */
};
struct dist_traffic dist_gradients_traffic(const struct dist_gradients *g);

/* ---- the code, by itself ----------------------------------------------------------------------- */
/* Bytes of n values on their way. */
size_t dist_packed_bytes(const struct dist_code *code, int64_t n);
/* u[n] packed into out[dist_packed_bytes], and what it says there into u. */
void dist_pack(uint8_t *out, float *u, int64_t n, const struct dist_code *code, struct base_rng *rng);
/* sum[n] += what `in` says. BASE_INPUT, and sum may be changed, unless `in` is a whole, undamaged message of n finite values. */
int dist_unpack_add(float *sum, int64_t n, const uint8_t *in, size_t bytes, const struct dist_code *code);

#endif
