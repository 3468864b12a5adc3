/* crew_serve: a rank that is not 0. What judges is a process of its own, so that whatever ends it (out of memory, a crash) leaves
 * the rank alive to say so: MPI does not survive a rank. This side only carries messages. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/crew.h"
#include "cmd/crew_message.h"

/* ---- between the two processes: size_t, then so many bytes ------------------------------------------ */

static bool put(int fd, const void *bytes, size_t n)
{
    for (const char *at = bytes; n;) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno != EINTR)
            return false;
        at += BASE_MAX(done, 0);
        n -= (size_t)BASE_MAX(done, 0);
    }
    return true;
}

static bool get(int fd, void *bytes, size_t n)
{
    for (char *at = bytes; n;) {
        ssize_t done = read(fd, at, n);
        if (!done || (done < 0 && errno != EINTR))
            return false;
        at += BASE_MAX(done, 0);
        n -= (size_t)BASE_MAX(done, 0);
    }
    return true;
}

static bool put_message(int fd, const void *bytes, size_t n)
{
    return put(fd, &n, sizeof n) && put(fd, bytes, n);
}

/* *bytes is base_alloc'd; false: the other side is gone. */
static bool get_message(int fd, void **bytes, size_t *n)
{
    *bytes = NULL;
    if (!get(fd, n, sizeof *n) || !(*bytes = base_alloc(*n + 1)))
        return false;
    if (get(fd, *bytes, *n))
        return true;
    base_free(*bytes);
    *bytes = NULL;
    return false;
}

static int with_zero(const char *s)
{
    return s ? (int)strlen(s) + 1 : 0;
}

static int pack_answer(struct base_text *t, struct crew_answer a, const char *recipe, const char *message, const char *hint)
{
    a.recipe = with_zero(recipe);
    a.message = with_zero(message);
    a.hint = with_zero(hint);
    base_text_add_bytes(t, &a, sizeof a);
    base_text_add_bytes(t, recipe, (size_t)a.recipe);
    base_text_add_bytes(t, message, (size_t)a.message);
    base_text_add_bytes(t, hint, (size_t)a.hint);
    return t->failed ? BASE_NOMEM : BASE_OK;
}

/* ---- the process that judges -------------------------------------------------------------------------- */

static bool answer(int fd, int id, int rc, struct search_result *r)
{
    struct base_text t = { 0 };
    struct crew_answer a = { .id = id, .rc = rc, .result = *r };
    snprintf(a.source, sizeof a.source, "%s", r->cycles_source ? r->cycles_source : "");
    snprintf(a.board, sizeof a.board, "%s", r->board ? r->board : "");
    bool sent = !pack_answer(&t, a, r->recipe_yaml, rc ? base_error() : NULL, rc ? base_error_hint() : NULL) && put_message(fd, t.s, t.len);
    base_free(r->recipe_yaml);
    base_text_free(&t);
    return sent;
}

static bool judge(int fd, const struct candidate_bench *b, const void *bytes, size_t n)
{
    struct crew_order o;
    struct search_result r = { .feasible = 1 };
    int rc = n == sizeof o + sizeof(int) * (size_t)b->space->search.n ? BASE_OK : base_fail(BASE_INTERNAL, "a candidate of %zu bytes", n);
    memcpy(&o, bytes, BASE_MIN(n, sizeof o));
    r.hopeless_below = o.hopeless_below;
    double start = base_seconds();
    if (!rc)
        rc = candidate_evaluate(b, (const int *)((const char *)bytes + sizeof o), &r);
    r.wall_s = base_seconds() - start;
    return answer(fd, o.id, rc, &r);
}

/* Until the other side is gone. */
static void run_judge(int fd, const struct crew_job *job, const void *hello, size_t bytes)
{
    const struct candidate_bench *b = NULL;
    struct search_result none = { 0 };
    void *order;
    size_t n;
    int rc = job->open(job->ctx, &b, hello, bytes);
    if (rc)
        answer(fd, -1, rc, &none);
    for (bool on = !rc; on && get_message(fd, &order, &n);) {
        on = judge(fd, b, order, n);
        base_free(order);
    }
    _exit(0);
}

/* ---- the rank ------------------------------------------------------------------------------------------ */

struct rank {
    struct dist *dist;
    const struct crew_job *job;
    void *hello;                     /* rank 0's first message */
    size_t hello_bytes;
    pid_t judge;                     /* 0: none */
    int fd;                          /* to it; -1: none */
    bool busy;                       /* it has order[0] */
    struct { void *bytes; size_t n; } order[CREW_AT_HAND];
    int n_order;
    double beat;                     /* when it last said that it lives */
    bool dismissed, joins;
};

static int start_judge(struct rank *k)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return base_fail(BASE_IO, "no socket: %s", strerror(errno));
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
        close(pair[0]);
        run_judge(pair[1], k->job, k->hello, k->hello_bytes);
    }
    close(pair[1]);
    if (child < 0) {
        close(pair[0]);
        return base_fail(BASE_IO, "no process: %s", strerror(errno));
    }
    k->judge = child;
    k->fd = pair[0];
    return BASE_OK;
}

static void end_judge(struct rank *k)
{
    if (!k->judge)
        return;
    close(k->fd);
    kill(k->judge, SIGKILL);
    while (waitpid(k->judge, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static void drop_order(struct rank *k)
{
    base_free(k->order[0].bytes);
    for (int i = 1; i < k->n_order; i++)
        k->order[i - 1] = k->order[i];
    k->n_order--;
    k->busy = false;
}

/* The judge is gone, and what it had with it. */
static int report_loss(struct rank *k)
{
    char how[80];
    struct base_text t = { 0 };
    int status = 0;
    while (waitpid(k->judge, &status, WNOHANG) == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);   /* its end of the socket closes a little earlier */
    k->judge = 0;
    close(k->fd);
    k->fd = -1;
    if (!k->n_order)
        return BASE_OK;
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "exit code %d", WEXITSTATUS(status));
    struct crew_order o;
    memcpy(&o, k->order[0].bytes, sizeof o);
    int rc = pack_answer(&t, (struct crew_answer){ .id = o.id, .lost = true }, NULL, how, NULL);
    if (!rc)
        rc = dist_send(k->dist, 0, t.s, t.len);
    base_text_free(&t);
    drop_order(k);
    return rc;
}

/* An answer goes on to rank 0, unless it says that nothing can be judged here. */
static int pass_on(struct rank *k)
{
    void *bytes;
    size_t n;
    struct crew_answer a;
    if (!get_message(k->fd, &bytes, &n))
        return report_loss(k);
    memcpy(&a, bytes, sizeof a);
    int rc = BASE_OK;
    if (a.id < 0) {
        const char *message = (const char *)bytes + sizeof a + a.recipe;
        rc = base_fail_again(a.rc, base_strdup(message), a.hint ? base_strdup(message + a.message) : NULL);
    } else {
        rc = dist_send(k->dist, 0, bytes, n);
        drop_order(k);
    }
    base_free(bytes);
    return rc;
}

/* What has arrived from rank 0. */
static int take_orders(struct rank *k)
{
    for (;;) {
        void *bytes;
        size_t n;
        int from, rc = dist_receive(k->dist, &from, &bytes, &n);
        if (rc || from < 0)
            return rc;
        if (!k->hello && n) {
            k->hello = bytes;
            k->hello_bytes = n;
        } else if (n && k->n_order < CREW_AT_HAND && n >= sizeof(struct crew_order)) {
            k->order[k->n_order].bytes = bytes;
            k->order[k->n_order++].n = n;
        } else {
            k->dismissed = n == 1;
            k->joins = n == 1 && *(const char *)bytes == CREW_JOIN;
            base_free(bytes);
            return k->dismissed ? BASE_OK : base_fail(BASE_INTERNAL, "rank 0 sends %zu bytes that are no candidate", n);
        }
    }
}

/* Until something can have happened. */
static int look(struct rank *k)
{
    struct pollfd p = { .fd = k->fd, .events = POLLIN };
    int rc = take_orders(k);
    if (!rc && k->hello && base_seconds() - k->beat >= CREW_BEAT_S) {
        k->beat = base_seconds();
        rc = dist_send(k->dist, 0, NULL, 0);
    }
    if (!rc && k->n_order && !k->judge)
        rc = start_judge(k);
    if (!rc && k->n_order && !k->busy)
        k->busy = put_message(k->fd, k->order[0].bytes, k->order[0].n);   /* if it is gone, reading says so */
    return !rc && !k->dismissed && poll(&p, k->fd >= 0, 1) > 0 ? pass_on(k) : rc;
}

int crew_serve(struct dist *d, const struct crew_job *job)
{
    struct rank k = { .dist = d, .job = job, .fd = -1 };
    int rc = BASE_OK;
    while (!rc && !k.dismissed)
        rc = base_stop_requested() ? base_fail(BASE_STOPPED, "stopped") : look(&k);
    end_judge(&k);
    while (k.n_order)
        drop_order(&k);
    if (!rc && k.joins)
        rc = job->join(job->ctx, k.hello, k.hello_bytes);
    base_free(k.hello);
    return rc;
}
