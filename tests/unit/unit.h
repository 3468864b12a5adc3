/* unit: what every unit test needs: cmocka in its order of includes, a scratch folder,
 * and the loop that makes each allocation of an operation fail in turn. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

/* The call returned `code` and its message contains `part`. */
#define assert_error(call, code, part)                                                                       \
    do {                                                                                                     \
        base_error_clear();                                                                                  \
        assert_int_equal((call), (code));                                                                    \
        if (!strstr(base_error(), (part)))                                                                   \
            fail_msg("message '%s' lacks '%s'", base_error(), (part));                                       \
    } while (0)

#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        int rc_ = (call);                                                                                    \
        if (rc_)                                                                                             \
            fail_msg("%s: %d: %s", #call, rc_, base_error());                                                \
    } while (0)

/* Runs `call` with its 1st, 2nd, ... allocation failing, until it succeeds: each time
 * it must report BASE_NOMEM and leak nothing (ASan looks). `undo` ends the success. */
#define assert_survives_nomem(call, undo)                                                                    \
    do {                                                                                                     \
        for (long n_ = 1;; n_++) {                                                                           \
            base_error_clear();                                                                              \
            base_alloc_fail_at(n_);                                                                          \
            int rc_ = (call);                                                                                \
            base_alloc_fail_at(0);                                                                           \
            if (rc_ == BASE_OK) {                                                                            \
                undo;                                                                                        \
                assert_true(n_ > 1);                                                                         \
                break;                                                                                       \
            }                                                                                                \
            assert_int_equal(rc_, BASE_NOMEM);                                                               \
            assert_true(n_ < 10000);                                                                         \
        }                                                                                                    \
    } while (0)

/* A new folder below /tmp; the text lives until the process ends. */
static inline const char *unit_scratch(void)
{
    static char dir[64];
    strcpy(dir, "/tmp/bitpress-unit-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

/* Skip this test; the runner's line names the reason. */
#define skip_because(...)          \
    do {                           \
        printf("skipped: ");       \
        printf(__VA_ARGS__);       \
        printf("\n");              \
        fflush(stdout);            \
        skip();                    \
    } while (0)

static inline int unit_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void unit_remove(const char *dir)
{
    nftw(dir, unit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* DIR/NAME in one of four rotating buffers. */
static inline const char *unit_path(const char *dir, const char *name)
{
    static char buf[4][512];
    static int next;
    char *b = buf[next++ & 3];
    snprintf(b, sizeof buf[0], "%s/%s", dir, name);
    return b;
}

#endif
