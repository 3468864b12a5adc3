/* pool: a fixed team of threads that runs one loop at a time.
 *
 * The caller is worker 0 and works too. A run from inside a run (a parallel
 * kernel called by a parallel loop) is done serially by the calling worker. An
 * error message set by a worker is carried to the caller; the lowest worker's wins.
 * Short loops follow each other closely, and a thread asleep takes as long to wake as some of
 * them run: who waits looks for a moment before it sleeps, unless threads outnumber cores. */
#include "base/base_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

struct pool_worker {
    struct base_pool *pool;
    pthread_t thread;
    int id;
    struct base_error_state error;
};

struct base_pool {
    int threads, started; /* started: threads created, the caller not counted */
    struct pool_worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    atomic_uint generation; /* counts runs: a worker runs when it changes */
    atomic_int busy;
    atomic_bool quit;
    int looks;              /* before sleeping */
    /* the current run */
    base_pool_fn *fn;
    void *ctx;
    int n;
    bool dynamic;
    atomic_int next;
};

static _Thread_local const struct base_pool *inside_pool;
static _Thread_local int inside_worker;

static void run_share(struct base_pool *p, int worker)
{
    if (p->dynamic) {
        for (int i = atomic_fetch_add(&p->next, 1); i < p->n; i = atomic_fetch_add(&p->next, 1))
            p->fn(p->ctx, i, worker);
        return;
    }
    int first = (int)((int64_t)p->n * worker / p->threads);
    int end = (int)((int64_t)p->n * (worker + 1) / p->threads);
    for (int i = first; i < end; i++)
        p->fn(p->ctx, i, worker);
}

enum { LOOKS = 4000 };   /* about 0.1 ms */

static void pause_thread(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void *worker_main(void *arg)
{
    struct pool_worker *w = arg;
    struct base_pool *p = w->pool;
    inside_pool = p;
    inside_worker = w->id;
    unsigned seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        if (p->generation == seen && !p->quit) {
            pthread_mutex_unlock(&p->lock);
            for (int i = 0; i < p->looks && p->generation == seen && !p->quit; i++)
                pause_thread();
            pthread_mutex_lock(&p->lock);
        }
        while (p->generation == seen && !p->quit)
            pthread_cond_wait(&p->wake, &p->lock);
        if (p->quit)
            break;
        seen = p->generation;
        pthread_mutex_unlock(&p->lock);
        base_error_clear();
        run_share(p, w->id);
        base_error_save(&w->error);
        pthread_mutex_lock(&p->lock);
        if (--p->busy == 0)
            pthread_cond_signal(&p->idle);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct base_pool *base_pool_new(int threads)
{
    long cores = BASE_MAX(1L, sysconf(_SC_NPROCESSORS_ONLN));
    if (threads <= 0)
        threads = (int)cores;
    struct base_pool *p = BASE_NEW(struct base_pool);
    if (!p)
        return NULL;
    p->threads = threads;
    p->looks = threads > cores ? 0 : LOOKS;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->workers = BASE_NEW_N(struct pool_worker, threads);
    if (!p->workers)
        goto fail;
    for (int i = 1; i < threads; i++) {
        struct pool_worker *w = &p->workers[i];
        w->pool = p;
        w->id = i;
        int err = pthread_create(&w->thread, NULL, worker_main, w);
        if (err) {
            base_fail(BASE_NOMEM, "cannot start thread %d of %d: %s", i + 1, threads, strerror(err));
            base_hint(BASE_NOMEM, "use a smaller --threads");
            goto fail;
        }
        p->started++;
    }
    return p;
fail:
    base_pool_free(p);
    return NULL;
}

void base_pool_free(struct base_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    base_free(p->workers);
    base_free(p);
}

int base_pool_threads(const struct base_pool *p)
{
    return p->threads;
}

/* The caller keeps its own message, else takes the lowest worker's. */
static void adopt_error(const struct base_pool *p)
{
    for (int i = 1; i < p->threads && !base_error()[0]; i++)
        if (p->workers[i].error.message[0])
            base_error_restore(&p->workers[i].error);
}

static void run(struct base_pool *p, int n, base_pool_fn *fn, void *ctx, bool dynamic)
{
    if (inside_pool == p) {
        for (int i = 0; i < n; i++)
            fn(ctx, i, inside_worker);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->ctx = ctx;
    p->n = n;
    p->dynamic = dynamic;
    atomic_store(&p->next, 0);
    p->busy = p->threads - 1;
    p->generation++;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);

    const struct base_pool *outer_pool = inside_pool;
    int outer_worker = inside_worker;
    inside_pool = p;
    inside_worker = 0;
    run_share(p, 0);
    inside_pool = outer_pool;
    inside_worker = outer_worker;

    for (int i = 0; i < p->looks && p->busy > 0; i++)
        pause_thread();
    pthread_mutex_lock(&p->lock);
    while (p->busy > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
    adopt_error(p);
}

void base_pool_run(struct base_pool *p, int n, base_pool_fn *fn, void *ctx)
{
    run(p, n, fn, ctx, false);
}

void base_pool_run_dynamic(struct base_pool *p, int n, base_pool_fn *fn, void *ctx)
{
    run(p, n, fn, ctx, true);
}
