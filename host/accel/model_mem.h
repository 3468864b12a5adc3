/* model_mem: the part of the cycle model around the engine: loader, image unpacker, logit writer
 * and the board's memory. Cycle 0 is the cycle of the engine's start pulse. docs/sim.md. */
#ifndef ACCEL_MODEL_MEM_H
#define ACCEL_MODEL_MEM_H

#include "hw/hw.h"
#include "accel/program.h"

/* The cycle of input_done, when input_start came in cycle `start`. Layer 0 must be INPUT. */
int64_t accel_model_input(const struct hw *hw, const uint64_t *image, int64_t start);

/* The CYCLES register of a run whose last logit was handed over in cycle last_logit and whose
 * engine was done in cycle core_done. */
int64_t accel_model_finish(const struct hw *hw, const uint64_t *image, int64_t last_logit,
                           int64_t core_done);

/* The CYCLES register of a load. */
int64_t accel_model_load(const struct hw *hw, const uint64_t *image);

/* Bytes over the memory port in a run: whole words in, logits out. */
int64_t accel_model_ddr_bytes(const uint64_t *image);

#endif
