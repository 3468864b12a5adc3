/* process: a program at the other end of two pipes, and all that it starts. */
#ifndef DEVICE_PROCESS_H
#define DEVICE_PROCESS_H

#include <sys/types.h>

#include "base/base.h"

struct device_process {
    pid_t pid;                 /* leader of its own process group; 0: ended */
    int to, from;              /* its standard input and output; -1: closed */
};
#define DEVICE_PROCESS_INIT { .to = -1, .from = -1 }

/* argv[0] is a path. `err`: its standard error; -1: ours. It does not outlive this thread. `who` for messages.
 * BASE_IO: no pipe, no process; a program that cannot be run ends at once with 127. */
int device_process_start(struct device_process *p, char *const *argv, char *const *envp, int err, const char *who);
/* As write(2) to its input, but never with SIGPIPE: the signal is the program's, not ours to ignore. */
ssize_t device_process_write(const struct device_process *p, const void *buf, size_t n);
/* The last line of a file (a log) that is no hint, "" if it has none: why a process ended. Returns `buf`. */
const char *device_last_words(int fd, char buf[320]);
/* Its input ends; after `patience` seconds it is killed with all that it started. */
void device_process_end(struct device_process *p, double patience);

#endif
