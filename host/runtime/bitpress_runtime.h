/* bitpress_runtime.h: run a weight pack (*.bpk) on the accelerator through XRT.
 *
 * Link with `pkg-config --cflags --libs bitpress-runtime`. One device holds one pack at a time; its
 * weights stay in the device from bitpress_load on, a run is one start of the kernel for a whole
 * network, or for a batch of images through it. A device and what belongs to it are for one thread at a time.
 *
 * Functions return BITPRESS_OK or a code below; bitpress_error() says in words what happened,
 * bitpress_hint() what helps ("" if nothing in particular). Both belong to the calling thread.
 */
#ifndef BITPRESS_RUNTIME_H
#define BITPRESS_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bitpress_code {
    BITPRESS_OK = 0,
    BITPRESS_INPUT = -1,       /* a file or a value is not usable */
    BITPRESS_MISSING = -2,     /* no such device, or XRT is not set up */
    BITPRESS_BUSY = -3,        /* another program has the kernel */
    BITPRESS_MISMATCH = -4,    /* the pack was compiled for another array than the device holds */
    BITPRESS_STALLED = -5,     /* not done by the deadline */
    BITPRESS_DEVICE = -6,      /* the device reports an error code */
    BITPRESS_WRONG = -7,       /* the self-test gave other logits than the pack's */
    BITPRESS_MEMORY = -8,      /* out of memory, on the host or the device */
    BITPRESS_IO = -9,          /* a file cannot be read */
};

struct bitpress_options {
    unsigned device;           /* index */
    const char *xclbin;        /* file; NULL: the environment's BITPRESS_XCLBIN */
    int deadline_ms;           /* of one image; 0: BITPRESS_DEADLINE_MS, and without that 10 s */
    uint32_t cycle_limit;      /* the device ends a start that takes longer; 0: none */
    int batch;                 /* images of one start; 0 or 1: one. More than a pack's results have room for is that many; a device before version
                                * 1.4 takes one, and is refused */
};

typedef struct bitpress bitpress;

/* Opens the device, loads the xclbin if need be, takes the kernel. `options` NULL: all 0. */
int bitpress_open(bitpress **out, const struct bitpress_options *options);
/* NULL is legal. After BITPRESS_STALLED what XRT still holds is left to the end of the process, which should then be
 * quick_exit or _exit: XRT's clean-up waits for the device. */
void bitpress_close(bitpress *b);

/* From a file, or from memory (copied; `name` stands for it in messages). Replaces the pack loaded before. */
int bitpress_load(bitpress *b, const char *pack);
int bitpress_load_bytes(bitpress *b, const void *bytes, size_t len, const char *name);
/* The pack's own image; BITPRESS_INPUT if it has none. */
int bitpress_self_test(bitpress *b);

struct bitpress_network {
    int height, width, channels, classes;
    uint64_t load_cycles;      /* program and weights into the device */
    const char *board;         /* the pack was compiled for; lives until the next load */
};
int bitpress_network(struct bitpress_network *out, const bitpress *b);

/* Of a batch: those of its start, divided by its images. */
struct bitpress_image {
    uint64_t cycles;           /* of the device: start to done */
    double seconds;            /* of the host: start to logits in its memory */
};
/* images [n][height][width][channels] of uint8 -> logits [n][classes], `batch` of them a start. The next start's images travel
 * to the device while one is running. `image`: [n], or NULL. On an error the results of the starts before it are there. */
int bitpress_run(bitpress *b, const uint8_t *images, int n, int32_t *logits, struct bitpress_image *image);
/* Index of the largest logit, the lowest of equal ones. */
int bitpress_class(const int32_t *logits, int classes);

/* The value that `percent` % of the images do not exceed: 50 the median, 99, 100 the largest. */
uint64_t bitpress_cycles_percentile(const struct bitpress_image *image, int n, double percent);
double bitpress_seconds_percentile(const struct bitpress_image *image, int n, double percent);

/* What the stages did in the last run: cycles moving, waiting with work, idle. Of a batch: `cycles` of all its images, the rest of the last one. */
enum { BITPRESS_UNITS = 5, BITPRESS_LAYERS = 256 };
struct bitpress_counters {
    uint64_t cycles;
    struct { const char *name; uint32_t run, stall, idle; } unit[BITPRESS_UNITS];
    int layers;                /* the image's unpacking and those of the network, or the first BITPRESS_LAYERS of them */
    uint32_t layer_cycles[BITPRESS_LAYERS];
};
int bitpress_counters(bitpress *b, struct bitpress_counters *out);

const char *bitpress_error(void);
const char *bitpress_hint(void);
const char *bitpress_code_name(int code);

#ifdef __cplusplus
}
#endif

#endif
