/* libbitpress-emu.so: preloaded into programs that run against the emulated device, and only there
 * (bitpress xrt-env). It changes nothing in XRT; it takes the edge off what XRT's emulation does to its host:
 *
 *   sleep(1), sleep(10) while waiting  -> a fifth of a millisecond; XRT looks again in a loop
 *   kill(0, signal) in its crash handler -> only this process
 *   endless reading of a socket whose device has died -> one line, exit code 3
 *   a log file beside the program -> in the private folder */
#define _GNU_SOURCE
#include <dlfcn.h>
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
    return (int)syscall(SYS_kill, pid ? pid : getpid(), sig);
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

ssize_t read(int fd, void *buf, size_t n)
{
    static const char gone[] = "the emulated device has ended\n";
    ssize_t got = syscall(SYS_read, fd, buf, n);
    if (got == 0 && n > 0 && is_device(fd)) {
        ssize_t unused = write(2, gone, sizeof gone - 1);
        (void)unused;
        _exit(3);
    }
    return got;
}
