/* simlib: the simulator of one board (libbpsim.so, docs/sim.md) as functions, found or built. */
#ifndef SCORE_SIMLIB_H
#define SCORE_SIMLIB_H

#include "device/device.h"
#include "sim/bpsim.h"

struct score_simlib {
    void *handle;
    char rtl_hash[32];
    struct bpsim *(*open)(const struct bpsim_options *);
    void (*close)(struct bpsim *);
    uint32_t (*peek)(struct bpsim *, uint32_t);
    int (*load)(struct bpsim *, const uint64_t *, size_t, const uint64_t *, size_t, uint64_t *);
    int (*run)(struct bpsim *, const uint8_t *, size_t, int32_t *, size_t, uint64_t *);
    uint64_t (*violations)(const struct bpsim *, const char **);
};

/* Searched in BITPRESS_SIM (a file or a folder), beside this program, in the installed share. In a source
 * tree it is built when it is absent, older than the RTL or of another array: that takes about a minute.
 * BASE_MISSING says what is lacking and how to get it. */
int score_simlib_find(char **path, const struct hw *hw);   /* the file; the caller's */
/* What stands behind XRT's libraries, which must be there: *path the simulator that emulates the board, or NULL where `target` is a
 * board of its own. The caller's. */
int score_simlib_behind(char **path, const struct device_target *target, const struct hw *hw);
int score_simlib_open(struct score_simlib *lib, const struct hw *hw);
void score_simlib_close(struct score_simlib *lib);

#endif
