/* model_mem: the part of the cycle model around the engine: loader, image unpacker, logit writer
 * and the board's memory. Cycle 0 is the cycle of the engine's start pulse. docs/sim.md. */
#ifndef ACCEL_MODEL_MEM_H
#define ACCEL_MODEL_MEM_H

#include "hw/hw.h"
#include "accel/program.h"

enum { ACCEL_MAX_BURSTS = 8 };             /* that the memory takes at once */
enum { ACCEL_SEEN = 64 };                  /* blocks: more than come while a layer ends */

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

/* Cycles in which a layer writes the activation memory: `count` times `length` of them, every `step`, in order. */
struct accel_writes { int64_t first, step, count; int length; };

/* A block from the scratch: bp_fill. */
struct accel_fill_run {
    enum { FILL_LINE, FILL_NEXT, FILL_WORDS } state;
    int64_t from, pitch, whole, line;      /* words: of the first line, row to row; rows of a group; words of a line */
    int64_t rows, lines, at;               /* rows of a group; all lines; lines that are asked for */
    int64_t words, next;                   /* to be written; of the stream's next segment */
    int64_t ready;                         /* cycle in which the next line is */
    int beat;                              /* of the next word */
    bool full, over;
};

/* The image on its way into the activation memory: bp_input. */
struct accel_unpack {
    int n, channels, words, rows, cols;    /* of the INPUT record; plane words of a block */
    int y, x, word;
    bool upper, full;                      /* of the pixel's channels; a block waits to be copied */
    bool writes, next_writes;              /* one is written: in this cycle, in the next */
};

/* The port in a run: the image, then the stream. */
struct accel_port {
    const struct hw *hw;
    const uint64_t *image;
    struct accel_reader read;
    int64_t image_left;                    /* beats that are not taken yet */
    enum { STREAM_OVER, STREAM_COMMAND, STREAM_BLOCK, STREAM_WAIT, STREAM_SECTION, STREAM_FILL } state;
    int have;                              /* bytes of the image in the unpacker */
    struct accel_unpack unpack;
    /* The next image: none, read from cycle ahead_at on, being unpacked, unpacked. */
    enum { AHEAD_NONE, AHEAD_DUE, AHEAD_FILL, AHEAD_OVER } ahead;
    int64_t ahead_at;
    uint64_t ahead_image;                  /* bytes from the INPUT window's begin */
    struct accel_fill_run fill;
    struct accel_writes *writes;           /* of the layer at hand */
    int n_writes, cap_writes, at_write;
    bool nomem;
    uint32_t write_credit;                 /* of the write port, in cycle write_now */
    int64_t write_now, scratch_beats;      /* beats to and from the scratch so far */
    int64_t written;                       /* last response of the result before */
    int64_t at, section;                   /* words of the stream taken; words of the section to come */
    int kind, after;                       /* of the block at hand */
    int ended;                             /* layers */
    int blocks, layers;                    /* in; and the cycles in which the latest of them were seen, by their count */
    int64_t block_seen[ACCEL_SEEN], layer_seen[ACCEL_SEEN];
};

/* Cycle 0, in which the engine starts, is behind. */
void accel_port_open(struct accel_port *p, const struct hw *hw, const uint64_t *image);
void accel_port_close(struct accel_port *p);
/* A further image's run: the engine starts in cycle `start`, its image lies at byte `at`. What is ahead stays. */
void accel_port_again(struct accel_port *p, int64_t start, uint64_t at);
/* The next image, at byte `at`, is read and unpacked from cycle `from` on, if the port does not read then. */
void accel_port_ahead(struct accel_port *p, const uint64_t *layer, int64_t from, uint64_t at);
/* The cycle of input_done, when input_start came in cycle `start`. */
int64_t accel_port_input(struct accel_port *p, const uint64_t *layer, int64_t start);
/* The cycle of the last response, when a layer to the scratch began in cycle `go`; reads of a window, planes of the map. */
int64_t accel_port_spill(struct accel_port *p, const uint64_t *layer, int64_t go, int first, int reads, int planes);
/* The layer at hand writes then, too. Forgotten by accel_port_ended. */
void accel_port_writes(struct accel_port *p, struct accel_writes w);
/* The first cycle from `from` on in which layer record number `record` is seen, or `blocks` blocks are; they will come. */
int64_t accel_port_layer(struct accel_port *p, int64_t from, int record);
int64_t accel_port_blocks(struct accel_port *p, int64_t from, int blocks);
/* A layer ended in cycle `at`. */
void accel_port_ended(struct accel_port *p, int64_t at);

/* As accel_port_input of layer 0, of a run without a stream. */
int64_t accel_model_input(const struct hw *hw, const uint64_t *image, int64_t start);

/* The result is written: its last logit was handed over in cycle last_logit. `free`: the first cycle in which another run may be begun. The
 * cycle of the last response. */
int64_t accel_port_result(struct accel_port *p, int64_t last_logit, int64_t *free);
/* The CYCLES register of a start whose last result was written in cycle `written` and whose engine was done in cycle core_done. */
int64_t accel_model_finish(int64_t written, int64_t core_done);

/* The CYCLES register of a load. */
int64_t accel_model_load(const struct hw *hw, const uint64_t *image);

/* Bytes over the memory port in a run: whole words of image and stream in, logits out, the scratch both ways. */
int64_t accel_model_ddr_bytes(const struct accel_port *p);

#endif
