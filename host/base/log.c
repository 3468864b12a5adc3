/* log: messages for people, on stderr. Level and bar state are process-wide. */
#include "base/base_internal.h"

#include <stdatomic.h>

static atomic_int log_level = BASE_LOG_INFO;
static atomic_bool log_bar;

void base_log_level(enum base_level level)
{
    atomic_store(&log_level, (int)level);
}

bool base_log_is_quiet(void)
{
    return atomic_load(&log_level) == BASE_LOG_QUIET;
}

void base_log_bar(bool open)
{
    atomic_store(&log_bar, open);
}

/* One call, one line: the stream's lock keeps lines of several threads whole. */
static void print_line(const char *prefix, const char *fmt, va_list ap)
{
    flockfile(stderr);
    if (atomic_load(&log_bar))
        fputs("\r\033[K", stderr);
    fputs(prefix, stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void base_log(const char *fmt, ...)
{
    if (atomic_load(&log_level) < BASE_LOG_INFO)
        return;
    va_list ap;
    va_start(ap, fmt);
    print_line("", fmt, ap);
    va_end(ap);
}

void base_debug(const char *fmt, ...)
{
    if (atomic_load(&log_level) < BASE_LOG_DEBUG)
        return;
    va_list ap;
    va_start(ap, fmt);
    print_line("debug: ", fmt, ap);
    va_end(ap);
}

void base_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line("warning: ", fmt, ap);
    va_end(ap);
}
