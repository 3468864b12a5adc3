#ifndef DIST_INTERNAL_H
#define DIST_INTERNAL_H

#include <mpi.h>

#include "dist/dist.h"

struct dist_parcel;
struct dist {
    int rank, ranks;
    MPI_Comm comm;
    struct dist_parcel *parcel;      /* messages on their way */
    bool lost;                       /* a rank has died, and the others live */
};

/* The MPI call `what` returned `code`: BASE_OK, or BASE_IO with MPI's message. */
int dist_check(int code, const char *what);
/* Until the request is done. BASE_STOPPED after a signal. */
int dist_wait(MPI_Request *request);
/* The same for about so long, 0: without end; BASE_IO after that. */
int dist_wait_at_most(MPI_Request *request, double seconds);
/* MPI has ended. */
void dist_forget_messages(struct dist *d);

#endif
