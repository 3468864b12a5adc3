#define _GNU_SOURCE
#include "device/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Between fork and exec: only calls that a signal handler may make. */
static void become(char *const *argv, char *const *envp, int in, int out, int err, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || (err >= 0 && dup2(err, 2) < 0))
        _exit(127);
    execve(argv[0], argv, envp);
    _exit(127);
}

int device_process_start(struct device_process *p, char *const *argv, char *const *envp, int err, const char *who)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, rc = BASE_OK;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        rc = base_fail(BASE_IO, "%s: no pipe: %s", who, strerror(errno));
    pid_t parent = getpid(), pid = rc ? -1 : fork();
    if (pid == 0)
        become(argv, envp, in[0], out[1], err, parent);
    if (!rc && pid < 0)
        rc = base_fail(BASE_IO, "%s: no process: %s", who, strerror(errno));
    if (!rc) {
        setpgid(pid, pid);     /* whoever comes first */
        *p = (struct device_process){ .pid = pid, .to = in[1], .from = out[0] };
    }
    int mine[] = { in[0], out[1], rc ? in[1] : -1, rc ? out[0] : -1 };
    for (int i = 0; i < BASE_COUNT(mine); i++)
        if (mine[i] >= 0)
            close(mine[i]);
    return rc;
}

ssize_t device_process_write(const struct device_process *p, const void *buf, size_t n)
{
    sigset_t pipe_only, before;
    struct timespec now = { 0 };
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t written = write(p->to, buf, n);
    int error = errno;
    if (written < 0 && error == EPIPE)
        sigtimedwait(&pipe_only, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

const char *device_last_words(int fd, char buf[320])
{
    char text[4096];
    off_t size = lseek(fd, 0, SEEK_END), from = BASE_MAX(size - (off_t)sizeof text + 1, 0);
    ssize_t n = pread(fd, text, sizeof text - 1, from);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    text[BASE_MAX(n, 0)] = '\0';
    char *line = strrchr(text, '\n');
    if (line && !strncmp(line + 1, "hint: ", 6)) {
        *line = '\0';
        line = strrchr(text, '\n');
    }
    snprintf(buf, 320, "%.300s", line ? line + 1 : text);
    return buf;
}

void device_process_end(struct device_process *p, double patience)
{
    if (p->to >= 0)
        close(p->to);
    double until = base_seconds() + patience;
    bool ended = false;
    while (p->pid && !(ended = waitpid(p->pid, NULL, WNOHANG) == p->pid) && base_seconds() < until)
        usleep(1000);
    if (p->pid)
        kill(-p->pid, SIGKILL);
    if (p->pid && !ended)
        waitpid(p->pid, NULL, 0);
    if (p->from >= 0)
        close(p->from);
    *p = (struct device_process)DEVICE_PROCESS_INIT;
}
