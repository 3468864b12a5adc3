/* model_mem: the part of the cycle model around the engine: loader, image unpacker, logit writer
 * and the board's memory. Cycle 0 is the cycle of the engine's start pulse. docs/sim.md. */
#ifndef ACCEL_MODEL_MEM_H
#define ACCEL_MODEL_MEM_H

#include "hw/hw.h"
#include "accel/program.h"

enum { ACCEL_MAX_BURSTS = 8 };             /* that the memory takes at once */

struct accel_burst { int64_t due; int beats; };

/* The read port: bp_axi_read and the memory behind it. */
struct accel_reader {
    int burst_beats, latency;
    uint32_t rate, credit;
    int64_t now;
    uint64_t addr;
    int64_t left;                          /* beats not asked for */
    bool ar_valid, ar_ready, r_valid;
    int ar_len, held, owed, fifo;
    struct accel_burst queue[ACCEL_MAX_BURSTS];
    int queued;
};

/* The port in a run: the image, then the stream. */
struct accel_port {
    const struct hw *hw;
    const uint64_t *image;
    struct accel_reader read;
    int64_t image_left;                    /* beats that are not taken yet */
    enum { STREAM_OVER, STREAM_COMMAND, STREAM_BLOCK, STREAM_WAIT, STREAM_SECTION } state;
    int64_t at, section;                   /* words of the stream taken; words of the section to come */
    int kind, after;                       /* of the block at hand */
    int ended;                             /* layers */
    int blocks, layers;                    /* in, and the cycle in which the last is seen */
    int64_t block_seen, layer_seen;
};

/* Cycle 0, in which the engine starts, is behind. */
void accel_port_open(struct accel_port *p, const struct hw *hw, const uint64_t *image);
/* The cycle of input_done, when input_start came in cycle `start`. Layer 0 must be INPUT. */
int64_t accel_port_input(struct accel_port *p, int64_t start);
/* The first cycle from `from` on in which layer record number `record` is seen, or `blocks` blocks are; they will come. */
int64_t accel_port_layer(struct accel_port *p, int64_t from, int record);
int64_t accel_port_blocks(struct accel_port *p, int64_t from, int blocks);
/* A layer ended in cycle `at`. */
void accel_port_ended(struct accel_port *p, int64_t at);

/* As accel_port_input, of a run without a stream. */
int64_t accel_model_input(const struct hw *hw, const uint64_t *image, int64_t start);

/* The CYCLES register of a run whose last logit was handed over in cycle last_logit and whose
 * engine was done in cycle core_done. */
int64_t accel_model_finish(const struct hw *hw, const uint64_t *image, int64_t last_logit,
                           int64_t core_done);

/* The CYCLES register of a load. */
int64_t accel_model_load(const struct hw *hw, const uint64_t *image);

/* Bytes over the memory port in a run: whole words of image and stream in, logits out. */
int64_t accel_model_ddr_bytes(const uint64_t *image);

#endif
