/* Messages from one rank to another: small, and never waited for in MPI, whose waiting keeps the core busy. */
#include "dist/dist_internal.h"

enum { TAG = 1 };

int dist_send(struct dist *d, int to, const void *bytes, size_t n)
{
    MPI_Request request;
    int rc = n > INT32_MAX ? base_fail(BASE_INTERNAL, "a message of %zu bytes", n) : dist_check(MPI_Isend(bytes, (int)n, MPI_BYTE, to, TAG, d->comm, &request), "MPI_Isend");
    return rc ? rc : dist_wait(&request);
}

int dist_receive(struct dist *d, int *from, void **bytes, size_t *n)
{
    MPI_Status status;
    int there = 0, count = 0;
    *from = -1;
    *bytes = NULL;
    *n = 0;
    int rc = dist_check(MPI_Iprobe(MPI_ANY_SOURCE, TAG, d->comm, &there, &status), "MPI_Iprobe");
    if (rc || !there)
        return rc;
    MPI_Get_count(&status, MPI_BYTE, &count);
    if (!(*bytes = base_alloc((size_t)count + 1)))
        return BASE_NOMEM;
    rc = dist_check(MPI_Recv(*bytes, count, MPI_BYTE, status.MPI_SOURCE, TAG, d->comm, MPI_STATUS_IGNORE), "MPI_Recv");
    *from = status.MPI_SOURCE;
    *n = (size_t)count;
    return rc;
}
