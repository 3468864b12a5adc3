/* stop: SIGINT and SIGTERM ask long loops to end in good order; a second one kills. timeout, mpirun and a terminal send the same
 * request twice at once, to the process and to its group: what comes within a second of the first is that. */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t stop_flag;

static void on_signal(int sig)
{
    static struct timespec first;
    struct timespec now;
    int before = errno;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!stop_flag)
        first = now;
    else if (now.tv_sec - first.tv_sec > 1 || (now.tv_sec > first.tv_sec && now.tv_nsec >= first.tv_nsec)) {
        signal(sig, SIG_DFL);
        raise(sig);                /* when the handler returns */
    }
    stop_flag = 1;
    errno = before;
}

void base_stop_install(void)
{
    struct sigaction ask, ignore;
    memset(&ask, 0, sizeof ask);
    ask.sa_handler = on_signal;
    ask.sa_flags = SA_RESTART;
    sigaddset(&ask.sa_mask, SIGINT);       /* one at a time */
    sigaddset(&ask.sa_mask, SIGTERM);
    sigaction(SIGINT, &ask, NULL);
    sigaction(SIGTERM, &ask, NULL);
    /* A closed pipe or a file over the size limit is then an ordinary write error. */
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

bool base_stop_requested(void)
{
    return stop_flag != 0;
}
