/* progress: how far a long piece of work is, and when it will end. */
#include "base/base_internal.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 24 };
#define BAR_PERIOD_S 0.1
#define LINE_PERIOD_S 5.0

double base_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double of_timeval(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

double base_cpu_seconds(void)
{
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return of_timeval(own.ru_utime) + of_timeval(own.ru_stime) + of_timeval(children.ru_utime) + of_timeval(children.ru_stime);
}

void base_progress_begin(struct base_progress *p, const char *label, double begun, double total)
{
    double now = base_seconds();
    *p = (struct base_progress){.label = label, .total = total, .begun = begun, .start = now, .last = now};
    p->open = !base_log_is_quiet();
    p->tty = p->open && isatty(STDERR_FILENO);
    if (p->tty)
        base_log_bar(true);
}

/* "1:05", or "2:01:05" from an hour on. */
static void format_time(char out[32], double s)
{
    long t = s < 0 ? 0 : s > 1e7 ? 10000000 : (long)(s + 0.5);
    if (t >= 3600)
        snprintf(out, 32, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
    else
        snprintf(out, 32, "%ld:%02ld", t / 60, t % 60);
}

static void print_state(const struct base_progress *p, double done, double now, const char *note)
{
    double part = p->total > 0 ? BASE_MIN(BASE_MAX(done / p->total, 0.0), 1.0) : 0;
    char eta[32] = "-:--";
    if (done > p->begun)
        format_time(eta, (now - p->start) * (p->total - done) / (done - p->begun));
    if (!p->tty) {
        fprintf(stderr, "%s: %3.0f%% eta %s %s\n", p->label, part * 100, eta, note);
        return;
    }
    char bar[BAR_WIDTH + 1];
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)(part * BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r\033[K%s [%s] %3.0f%% eta %s %s", p->label, bar, part * 100, eta, note);
    fflush(stderr);
}

void base_progress_update(struct base_progress *p, double done, const char *fmt, ...)
{
    if (!p->open)
        return;
    double now = base_seconds();
    if (now - p->last < (p->tty ? BAR_PERIOD_S : LINE_PERIOD_S))
        return;
    p->last = now;
    char note[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(note, sizeof note, fmt, ap);
    va_end(ap);
    print_state(p, done, now, note);
}

void base_progress_end(struct base_progress *p, const char *fmt, ...)
{
    if (!p->open)
        return;
    p->open = false;
    if (p->tty)
        base_log_bar(false);
    char note[160], took[32];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(note, sizeof note, fmt, ap);
    va_end(ap);
    format_time(took, base_seconds() - p->start);
    fprintf(stderr, "%s%s: done in %s %s\n", p->tty ? "\r\033[K" : "", p->label, took, note);
}
