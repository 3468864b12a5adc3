/* libbitpress-emu.so: preloaded into programs that run against the emulated device, and only there
 * (bitpress xrt-env). It changes nothing in XRT; it takes the edge off what XRT's emulation does to its host:
 *
 *   sleep(1), sleep(10) while waiting  -> a fifth of a millisecond; XRT looks again in a loop
 *   kill(0, signal) and exit() in its crash handler, which may wait for itself -> only this process ends, at once
 *   endless reading of a socket whose device has died, crashes after writing to it -> one line, exit code 3
 *   a log file beside the program -> in the private folder */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

unsigned sleep(unsigned seconds)
{
    (void)seconds;
    usleep(200);
    return 0;
}

int kill(pid_t pid, int sig)
{
    if (!pid)
        _exit(128 + sig);
    return (int)syscall(SYS_kill, pid, sig);
}

/* XRT asks for the program's place to put its log there. Others are told the truth. */
ssize_t readlink(const char *restrict path, char *restrict buf, size_t size)
{
    Dl_info caller;
    const char *dir = getenv("EMCONFIG_PATH");
    char fake[128];
    if (dir && !strcmp(path, "/proc/self/exe") && dladdr(__builtin_return_address(0), &caller) && caller.dli_fname && strstr(caller.dli_fname, "libxrt_")) {
        int n = snprintf(fake, sizeof fake, "%.100s/program", dir);
        size_t len = (size_t)n < size ? (size_t)n : size;
        memcpy(buf, fake, len);
        return (ssize_t)len;
    }
    return syscall(SYS_readlinkat, AT_FDCWD, path, buf, size);
}

/* The device's socket is bound in /tmp/$USER and named device... */
static int is_device(int fd)
{
    struct sockaddr_un a = { 0 };
    socklen_t n = sizeof a;
    const char *user = getenv("USER");
    char start[64];
    if (!user || getsockname(fd, (struct sockaddr *)&a, &n) || a.sun_family != AF_UNIX)
        return 0;
    snprintf(start, sizeof start, "/tmp/%.40s/device", user);
    return !strncmp(a.sun_path, start, strlen(start));
}

static void gone(void)
{
    static const char line[] = "the emulated device has ended\n";
    syscall(SYS_write, 2, line, sizeof line - 1);
    _exit(3);
}

/* A device that dies with requests unread resets the connection. */
ssize_t read(int fd, void *buf, size_t n)
{
    ssize_t got = syscall(SYS_read, fd, buf, n);
    if (n > 0 && (got == 0 || (got < 0 && errno == ECONNRESET)) && is_device(fd))
        gone();
    return got;
}

ssize_t write(int fd, const void *buf, size_t n)
{
    ssize_t done = syscall(SYS_write, fd, buf, n);
    if (done < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        int error = errno;
        if (is_device(fd))
            gone();
        errno = error;
    }
    return done;
}
