/* base: errors, log, memory, strings, random numbers, threads, progress, files.
 *
 * Level 0: includes nothing of ours. Everything here is safe to call from any
 * thread unless said otherwise. Ownership rule: what a `_new`/`_open`/`_read`
 * returns belongs to the caller, who ends it with the matching `_free`/`_close`;
 * `_free(NULL)` is legal.
 */
#ifndef BASE_H
#define BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- errors ---------------------------------------------------------------
 * Functions return BASE_OK (0) or one of these. The message is set once, where
 * the fault is seen, and travels untouched; cmd/main.c prints it. */
enum base_code {
    BASE_OK = 0,
    BASE_INPUT = -1,    /* bad usage, file or value           -> exit 2 */
    BASE_MISSING = -2,  /* a device, tool or package is absent -> exit 3 */
    BASE_IO = -3,       /* cannot read or write                -> exit 2 */
    BASE_NOMEM = -4,    /* out of memory                       -> exit 4 */
    BASE_INTERNAL = -5, /* our own fault                       -> exit 4 */
    BASE_TARGET = -6,   /* the user's target was not met       -> exit 1 */
    BASE_STOPPED = -7,  /* interrupted by a signal             -> exit 130 */
};

/* Set this thread's error message (printf format) and return `code`. */
int base_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Add a `hint:` line (a command or remedy) to the message set last; returns `code`. */
int base_hint(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What another thread or rank failed with, said again by this one; frees both texts, which may be NULL. Returns code. */
int base_fail_again(int code, char *message, char *hint);
const char *base_error(void);      /* last message of this thread, "" if none */
const char *base_error_hint(void); /* its hint, "" if none */
void base_error_clear(void);
int base_exit_code(int code);      /* the process exit code for a base_code */

/* ---- log ------------------------------------------------------------------
 * Level and stream are process-wide settings made once by main. */
enum base_level { BASE_LOG_QUIET, BASE_LOG_INFO, BASE_LOG_DEBUG };
void base_log_level(enum base_level level);
void base_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* info, stderr */
void base_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void base_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* shown even when quiet */

/* ---- memory ---------------------------------------------------------------
 * The one allocator: all heap memory of the product comes from here. Zeroed,
 * 64-byte aligned. NULL on failure with the error set (BASE_NOMEM). */
void *base_alloc(size_t bytes);
void *base_realloc(void *p, size_t old_bytes, size_t new_bytes); /* new part zeroed; p stays valid on failure */
void base_free(void *p);
char *base_strdup(const char *s);
/* Test hook: the n-th allocation from now fails (0 = never). */
void base_alloc_fail_at(long n);

/* Arena: many allocations, one free. */
struct base_arena;
struct base_arena *base_arena_new(void);
void *base_arena_alloc(struct base_arena *a, size_t bytes);        /* zeroed, 64-byte aligned */
char *base_arena_strdup(struct base_arena *a, const char *s);
size_t base_arena_bytes(const struct base_arena *a);               /* peak footprint */
void base_arena_free(struct base_arena *a);

#define BASE_NEW(T) ((T *)base_alloc(sizeof(T)))
#define BASE_NEW_N(T, n) ((T *)base_alloc(sizeof(T) * (size_t)(n)))
#define BASE_ARENA_NEW(a, T) ((T *)base_arena_alloc((a), sizeof(T)))
#define BASE_ARENA_NEW_N(a, T, n) ((T *)base_arena_alloc((a), sizeof(T) * (size_t)(n)))
#define BASE_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define BASE_MIN(a, b) ((a) < (b) ? (a) : (b))
#define BASE_MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- strings --------------------------------------------------------------
 * Growing text buffer; text is always NUL-terminated once something was added. */
struct base_text { char *s; size_t len, cap; bool failed; };
void base_text_add(struct base_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void base_text_add_bytes(struct base_text *t, const void *p, size_t n);
/* A field of a CSV row: quoted when it has to be (RFC 4180). */
void base_text_add_csv(struct base_text *t, const char *field);
void base_text_free(struct base_text *t);
/* Heap string by format; NULL on failure. */
char *base_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- random numbers: xoshiro256**, seeded by splitmix64 ------------------- */
struct base_rng { uint64_t s[4]; };
void base_rng_seed(struct base_rng *r, uint64_t seed);
/* An independent stream `index` of the same seed (per thread, per image, ...). */
void base_rng_stream(struct base_rng *r, uint64_t seed, uint64_t index);
uint64_t base_rng_u64(struct base_rng *r);
uint32_t base_rng_below(struct base_rng *r, uint32_t n);           /* 0..n-1, n > 0, unbiased */
float base_rng_uniform(struct base_rng *r);                        /* [0, 1) */
float base_rng_normal(struct base_rng *r);                         /* mean 0, variance 1 */
void base_rng_shuffle(struct base_rng *r, uint32_t *v, uint32_t n);

/* ---- threads --------------------------------------------------------------
 * A pool of `threads` workers, the caller being worker 0. */
struct base_pool;
struct base_pool *base_pool_new(int threads);                      /* <= 0: one per core */
void base_pool_free(struct base_pool *p);
int base_pool_threads(const struct base_pool *p);
/* fn(ctx, index, worker) for index 0..n-1. Static: worker w gets the contiguous
 * share [n*w/T, n*(w+1)/T), so results are reproducible for a thread count. */
typedef void base_pool_fn(void *ctx, int index, int worker);
void base_pool_run(struct base_pool *p, int n, base_pool_fn *fn, void *ctx);
/* The same with indices handed out one by one (uneven work). */
void base_pool_run_dynamic(struct base_pool *p, int n, base_pool_fn *fn, void *ctx);

/* ---- stopping: SIGINT/SIGTERM set a flag that long loops look at ---------- */
void base_stop_install(void);
bool base_stop_requested(void);

/* ---- time and progress ---------------------------------------------------- */
double base_seconds(void);                                         /* monotonic */
double base_cpu_seconds(void);                                     /* that this process and its ended children ran, all threads */
/* One line on stderr: a bar with ETA on a terminal (rewritten in place), a plain
 * line at most every 5 s elsewhere, nothing when quiet. */
struct base_progress { const char *label; double total, begun, start, last; bool tty, open; };
void base_progress_begin(struct base_progress *p, const char *label, double begun, double total);   /* `begun`: of the total, done before */
void base_progress_update(struct base_progress *p, double done, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void base_progress_end(struct base_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- files ---------------------------------------------------------------- */
/* Whole file into memory (one NUL byte behind it). Refuses > max_bytes. */
int base_file_read(uint8_t **out, size_t *len, const char *path, size_t max_bytes);
/* The same through zlib: plain or gzip by content; a truncated or corrupt stream is BASE_INPUT naming the file. */
int base_file_read_gz(uint8_t **out, size_t *len, const char *path, size_t max_bytes);
bool base_file_exists(const char *path);
int base_mkdirs(const char *path);                                 /* like mkdir -p */
/* Atomic output: written under a temporary name in the same folder; commit =
 * flush, fsync, rename; abort or a crash leaves nothing under the final name. */
struct base_out { FILE *fp; char *path, *tmp; };
int base_out_folder(const char *path);                             /* made if need be, and one may write to it: asked before the work, not after */
int base_out_open(struct base_out *o, const char *path);
int base_out_commit(struct base_out *o);                           /* closes; BASE_IO on any earlier write error */
void base_out_abort(struct base_out *o);
int base_file_write(const char *path, const void *data, size_t len); /* open + write + commit */

/* ---- checksums ------------------------------------------------------------ */
uint32_t base_crc32c(uint32_t crc, const void *data, size_t len);  /* Castagnoli; start with 0 */
/* 64-bit content hash (XXH3) for cache keys and build hashes; not cryptographic. */
uint64_t base_hash64(uint64_t seed, const void *data, size_t len);

#endif
