/* Messages from one rank to another: never waited for, since MPI's own waiting keeps the core busy and a rank that has died takes
 * nothing any more. */
#include "dist/dist_internal.h"

#include <string.h>

enum { TAG = 1 };

/* On its way, with a copy of what it carries. */
struct dist_parcel {
    struct dist_parcel *next;
    MPI_Request request;
    char bytes[];
};

/* Forgets what has been sent. */
static int sweep(struct dist *d)
{
    int rc = BASE_OK;
    for (struct dist_parcel **at = &d->parcel; !rc && *at;) {
        struct dist_parcel *p = *at;
        int done = 0;
        rc = dist_check(MPI_Test(&p->request, &done, MPI_STATUS_IGNORE), "MPI_Test");
        if (done) {
            *at = p->next;
            base_free(p);
        } else {
            at = &p->next;
        }
    }
    return rc;
}

int dist_send(struct dist *d, int to, const void *bytes, size_t n)
{
    if (n > INT32_MAX)
        return base_fail(BASE_INTERNAL, "a message of %zu bytes", n);
    struct dist_parcel *p = base_alloc(sizeof *p + n);
    if (!p)
        return BASE_NOMEM;
    if (n)
        memcpy(p->bytes, bytes, n);
    int rc = dist_check(MPI_Isend(p->bytes, (int)n, MPI_BYTE, to, TAG, d->comm, &p->request), "MPI_Isend");
    if (rc) {
        base_free(p);
        return rc;
    }
    p->next = d->parcel;
    d->parcel = p;
    return sweep(d);
}

int dist_receive(struct dist *d, int *from, void **bytes, size_t *n)
{
    MPI_Status status;
    int there = 0, count = 0;
    *from = -1;
    *bytes = NULL;
    *n = 0;
    int rc = sweep(d);
    if (!rc)
        rc = dist_check(MPI_Iprobe(MPI_ANY_SOURCE, TAG, d->comm, &there, &status), "MPI_Iprobe");
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

void dist_forget_messages(struct dist *d)
{
    while (d->parcel) {
        struct dist_parcel *p = d->parcel;
        d->parcel = p->next;
        base_free(p);
    }
}
