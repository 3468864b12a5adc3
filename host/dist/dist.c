/* The ranks' life, and small things that all of them say at once. */
#define _GNU_SOURCE
#include "dist/dist_internal.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Launchers say so in the environment: mpirun, and srun with --mpi=pmix. */
static bool launched(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK");
}

int dist_check(int code, const char *what)
{
    if (code == MPI_SUCCESS)
        return BASE_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    MPI_Error_string(code, text, &len);
    return base_fail(BASE_IO, "%s: %s", what, text);
}

static int join(struct dist *d)
{
    int level, rc = dist_check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread");
    if (rc)
        return base_hint(BASE_MISSING, "mpirun and bitpress must be of the same Open MPI");
    d->comm = MPI_COMM_WORLD;
    MPI_Comm_set_errhandler(d->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(d->comm, &d->rank);
    MPI_Comm_size(d->comm, &d->ranks);
    return BASE_OK;
}

int dist_open(struct dist **out)
{
    struct dist *d = *out = BASE_NEW(struct dist);
    if (!d)
        return BASE_NOMEM;
    d->ranks = 1;
    d->comm = MPI_COMM_NULL;
    int rc = launched() ? join(d) : BASE_OK;
    if (rc) {
        base_free(d);
        *out = NULL;
    }
    return rc;
}

int dist_rank(const struct dist *d)
{
    return d->rank;
}

int dist_ranks(const struct dist *d)
{
    return d->ranks;
}

int dist_threads(const struct dist *d)
{
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t bound;
    if (d->ranks == 1)
        return 0;
    if (!sched_getaffinity(0, sizeof bound, &bound) && CPU_COUNT(&bound) < cores)
        return CPU_COUNT(&bound);
    return (int)BASE_MAX(cores / BASE_MAX(local ? atol(local) : d->ranks, 1), 1);
}

void dist_lost(struct dist *d)
{
    d->lost = true;
}


/* ---- failing ------------------------------------------------------------------------------- */

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

bool dist_reports(const struct dist *d, int rc)
{
    if (!d || d->ranks == 1 || d->rank == 0)
        return true;
    for (int i = 0; i < 100; i++) {
        if (base_stop_requested())
            return false;
        sleep_us(10000);
    }
    char *message = base_strdup(base_error()), *hint = base_strdup(base_error_hint());
    base_fail(rc, "rank %d: %s", d->rank, message ? message : "out of memory");
    if (hint && *hint)
        base_hint(rc, "%s", hint);
    base_free(message);
    base_free(hint);
    return true;
}

/* After a signal the launcher is ending the ranks already, with less to say than it has about MPI_Abort. */
void dist_abort(struct dist *d, int exit_code)
{
    for (int i = 0; i < 300 && d && d->ranks > 1 && base_stop_requested(); i++)
        sleep_us(10000);
    if (d && d->comm != MPI_COMM_NULL)
        MPI_Abort(d->comm, exit_code);
    exit(exit_code);
}

/* ---- together -------------------------------------------------------------------------------- */

enum { YIELDS = 1000, NAP_US = 100 };

/* MPI's own waiting keeps the core busy, which other ranks and threads may need. Naps are counted, so that a while in which all
 * were stopped is none. */
int dist_wait_at_most(MPI_Request *request, double seconds)
{
    const double most = YIELDS + seconds * 1e6 / NAP_US;
    for (double looks = 0;; looks++) {
        int done = 0, rc = dist_check(MPI_Test(request, &done, MPI_STATUS_IGNORE), "MPI_Test");
        if (rc || done)
            return rc;
        if (base_stop_requested())
            return base_fail(BASE_STOPPED, "stopped while waiting for the other ranks");
        if (seconds > 0 && looks > most)
            return base_fail(BASE_IO, "no answer of another rank for %g s: it has died", seconds);
        if (looks < YIELDS)
            sched_yield();
        else
            sleep_us(NAP_US);
    }
}

int dist_wait(MPI_Request *request)
{
    return dist_wait_at_most(request, 0);
}

int dist_sum(struct dist *d, double *v, int n)
{
    if (d->ranks == 1)
        return BASE_OK;
    MPI_Request request;
    int rc = dist_check(MPI_Iallreduce(MPI_IN_PLACE, v, n, MPI_DOUBLE, MPI_SUM, d->comm, &request), "MPI_Iallreduce");
    return rc ? rc : dist_wait(&request);
}

/* The others wait for the slowest here: MPI_Finalize would keep their cores busy, and wait for the dead without end. Rank 0 has all that the run
 * was for, and waits a moment. */
static bool all_here(struct dist *d)
{
    enum { MOMENT_S = 10 };
    MPI_Request request;
    int rc = dist_check(MPI_Ibarrier(d->comm, &request), "MPI_Ibarrier");
    if (!rc)
        rc = dist_wait_at_most(&request, d->rank == 0 ? MOMENT_S : 0);
    if (rc == BASE_IO && d->rank == 0)
        base_warn("%s", base_error());
    return rc != BASE_IO;
}

void dist_close(struct dist *d)
{
    if (d && d->comm != MPI_COMM_NULL) {
        if (d->lost || !all_here(d))
            MPI_Abort(d->comm, 0);
        MPI_Finalize();
        dist_forget_messages(d);
    }
    base_free(d);
}

enum { PIECE = 1 << 28 };                  /* MPI counts in int */

int dist_broadcast(struct dist *d, void *data, size_t bytes)
{
    int rc = BASE_OK;
    for (size_t at = 0; d->ranks > 1 && !rc && at < bytes; at += PIECE) {
        MPI_Request request;
        rc = dist_check(MPI_Ibcast((char *)data + at, (int)BASE_MIN(bytes - at, (size_t)PIECE), MPI_BYTE, 0, d->comm, &request), "MPI_Ibcast");
        if (!rc)
            rc = dist_wait(&request);
    }
    return rc;
}

static int gather(struct dist *d, uint64_t *all, const uint64_t *mine, int n)
{
    MPI_Request request;
    int rc = dist_check(MPI_Iallgather(mine, n, MPI_UINT64_T, all, n, MPI_UINT64_T, d->comm, &request), "MPI_Iallgather");
    return rc ? rc : dist_wait(&request);
}

int dist_same(struct dist *d, const struct dist_fact *fact, int n)
{
    if (d->ranks == 1)
        return BASE_OK;
    uint64_t *mine = BASE_NEW_N(uint64_t, n), *all = BASE_NEW_N(uint64_t, (size_t)n * (size_t)d->ranks);
    int rc = mine && all ? BASE_OK : BASE_NOMEM;
    for (int i = 0; !rc && i < n; i++)
        mine[i] = fact[i].hash;
    if (!rc)
        rc = gather(d, all, mine, n);
    for (int k = 0; !rc && k < d->ranks * n; k++)
        if (all[k] != all[k % n]) {
            base_fail(BASE_INPUT, "rank %d has another %s than rank 0 (%016llx, not %016llx)", k / n, fact[k % n].what, (unsigned long long)all[k],
                      (unsigned long long)all[k % n]);
            rc = base_hint(BASE_INPUT, "every rank needs the same program, configuration and data");
        }
    base_free(mine);
    base_free(all);
    return rc;
}
