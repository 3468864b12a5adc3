/* remote: accelerators on other machines, each at the other end of a command that speaks frame.h's protocol on its
 * standard input and output: "ssh board bitpress serve --stdio". No port is opened anywhere. docs/remote.md.
 *
 * One that dies, stalls or sends nonsense is dropped, for good, and what it was doing is done by another.
 */
#ifndef DEVICE_REMOTE_H
#define DEVICE_REMOTE_H

#include "device/device.h"
#include "device/frame.h"

enum { REMOTE_MAX = 16 };      /* boards */

struct remote;

/* Starts the commands (by /bin/sh) and waits for the boards' first words. deadline_s: longest silence that is waited for,
 * here and in every request (<= 0: 120). At least one must answer, the others are dropped with a warning. */
int remote_open(struct remote **out, const char *const *command, int n, double deadline_s);
void remote_close(struct remote *r);
int remote_boards(const struct remote *r);       /* that are alive */

/* A pack as it goes over the line. */
struct remote_pack {
    const uint8_t *bytes; size_t n;
    uint64_t hash;             /* base_hash64(0, bytes, n) */
    const char *board;         /* it was compiled for, */
    uint64_t hw_hash;          /* with this array */
    size_t image_bytes, classes, layers;
};

struct remote_result { uint64_t load_cycles; struct device_counters counters; enum frame_source source; };

/* As device_run, on whichever board is free, from any thread; the pack is sent where it is not known. BASE_MISSING: no board
 * is left (all are named with what became of them). */
int remote_run(struct remote *r, const struct remote_pack *pack, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct remote_result *out);

#endif
