/* fuzz: what the fuzz targets share. A target feeds any bytes to a reader and demands: no crash, no
 * leak, no memory that a few bytes ask for (all three are the sanitizers' and libFuzzer's to see), and
 * for what is refused BASE_INPUT with a message. */
#ifndef FUZZ_H
#define FUZZ_H

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define FUZZ_DEMAND(condition)                                                          \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "%s:%d: %s: '%s'\n", __FILE__, __LINE__, #condition, base_error()); \
            abort();                                                                    \
        }                                                                               \
    } while (0)

/* The result of a reader: accepted, or refused with a message. */
static inline void fuzz_result(int rc)
{
    FUZZ_DEMAND(rc == BASE_OK || (rc == BASE_INPUT && *base_error()));
    base_error_clear();
}

/* A file in memory with these bytes, by path. `slot` 0 or 1: two files at a time. */
static inline const char *fuzz_file(int slot, const uint8_t *bytes, size_t len)
{
    static int fd[2] = { -1, -1 };
    static char path[2][64];
    if (fd[slot] < 0) {
        fd[slot] = memfd_create("fuzz", 0);
        snprintf(path[slot], sizeof path[slot], "/proc/self/fd/%d", fd[slot]);
    }
    FUZZ_DEMAND(fd[slot] >= 0 && !ftruncate(fd[slot], 0) && pwrite(fd[slot], bytes, len, 0) == (ssize_t)len);
    return path[slot];
}

#endif
