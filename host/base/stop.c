/* stop: SIGINT and SIGTERM ask long loops to end in good order; a second one kills. */
#include "base/base.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop_flag;

static void on_signal(int sig)
{
    (void)sig;
    stop_flag = 1;
}

void base_stop_install(void)
{
    struct sigaction ask, ignore;
    memset(&ask, 0, sizeof ask);
    ask.sa_handler = on_signal;
    ask.sa_flags = SA_RESTART | (int)SA_RESETHAND;
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
