/* wire: what a worker and its parent say to each other over two pipes. Both run on one machine from one
 * build; the first message carries a version all the same. Plain structs, each behind a head.
 *
 * parent: RUN (u32 images, then their pixels); the end of the pipe ends the worker.
 * worker: READY once, then for each RUN: n RESULT (with logits), COUNTERS; or FAILED, and it ends. */
#ifndef DEVICE_WIRE_H
#define DEVICE_WIRE_H

#include <stdint.h>

#include "accel/program.h"

enum { WIRE_VERSION = 1, WIRE_MAX_IMAGES = 4096, WIRE_MAX_TEXT = 4096 };
enum wire_kind { WIRE_READY = 1, WIRE_RUN, WIRE_RESULT, WIRE_COUNTERS, WIRE_FAILED };

struct wire_head { uint32_t kind, bytes; };        /* bytes that follow */
struct wire_ready { uint32_t version, emulated, input_bytes, classes; uint64_t load_cycles; };
struct wire_result { uint64_t cycles; double seconds; };               /* then int32 logits [classes] */
struct wire_counters { uint64_t cycles; uint32_t n_layer, layer[PROGRAM_TIMED_LAYERS], unit[15]; };
struct wire_failed { int32_t code; };              /* a base_code; then message NUL hint NUL */

#endif
