/* program.h: the accelerator's program image: one truth for the compiler, the cycle model and the
 * HLS C (the RTL has the same numbers in rtl/bp_pkg.sv). Words are 64-bit little-endian.
 * Format in words: docs/rtl/program.md. Plain C, no other include. */
#ifndef ACCEL_PROGRAM_H
#define ACCEL_PROGRAM_H

#include <stdint.h>

#define PROGRAM_MAGIC 0x47525042u      /* "BPRG" */
#define PROGRAM_MAJOR 1
#define PROGRAM_MINOR 5                /* of devices, which take several images a start; an image says 0, with a stream 1, with scratch 2, with paired maps 3, with lists in parts 4, with NEXT 5 */
#define PROGRAM_HEADER_WORDS 8
#define PROGRAM_MAP_WORDS 2
#define PROGRAM_LAYER_WORDS 4
#define PROGRAM_KWORD_WORDS 2
#define PROGRAM_TIMED_LAYERS 256       /* whose cycles a device lists; of further ones it knows the total */

enum program_op { PROGRAM_INPUT = 1, PROGRAM_MAC = 2, PROGRAM_MAXPOOL = 3 };

/* K-word flags */
#define PROGRAM_KW_GROUP 1u            /* taps are channel groups of one pixel (1x1), not a 3x3 window */
#define PROGRAM_KW_STRIDE2 2u
#define PROGRAM_KW_LAST 4u             /* last of its filter group's list */
#define PROGRAM_KW_REPEAT 8u           /* with GROUP: the three taps of a column are one channel group */
#define PROGRAM_KW_NEXT 16u            /* with REPEAT: the second and third are of the next activation plane */
/* Windows that the planes of a K-word's map make. */
static inline int program_windows(uint32_t kword_flags, int planes) { return kword_flags & PROGRAM_KW_NEXT ? (planes + 1) / 2 : planes; }
/* Layer flags */
#define PROGRAM_LY_LOGITS 1u           /* MAC: results are the int32 logits */
#define PROGRAM_LY_SIGNED 2u           /* MAXPOOL: two's complement codes */
#define PROGRAM_LY_MORE 4u             /* the next record goes on with this layer */
#define PROGRAM_LY_SPILL 8u            /* MAXPOOL: the result goes to the scratch */
#define PROGRAM_LY_PART 16u            /* INPUT: another INPUT goes on with the image; MAC: the next MAC with the sums */
#define PROGRAM_LY_EARLY 32u           /* MAC after a MAC: what its first tiles read is written before that drains */
/* Cycles of the array's drain with which layers overlap: fewer leave a short layer no time, more do not fit the gap's bits. */
static inline int program_overlaps(int steps) { return steps >= 2 && steps <= 4; }
/* Rows and filter groups for eight tiles, by their highest bits: a MAC that may begin early, or another after it. */
static inline int program_many(uint32_t rows, uint32_t groups)
{
    return rows >= 8 || (rows >= 4 && groups >= 2) || (rows >= 2 && groups >= 4) || groups >= 8;
}

/* Blocks of the stream: what a block's records are */
enum program_kind {
    PROGRAM_END = 0, PROGRAM_MAP = 1, PROGRAM_LAYER = 2, PROGRAM_KWORD = 3, PROGRAM_COEF = 4, PROGRAM_SCALE = 5,
    PROGRAM_WEIGHT = 6, PROGRAM_KINDS = 7,
    PROGRAM_FILL = 7                   /* not a table: a map's words come from the scratch */
};
#define PROGRAM_FILL_WORDS 4           /* of its record; with its header 5, which a program with scratch reads first */

/* The scratch lies behind the logits in the OUTPUT window. */
#define PROGRAM_PAGE 4096u
static inline uint32_t program_output_bytes(const uint64_t *image) { return (uint32_t)(image[4] >> 32) & 0xffffu; }
static inline uint32_t program_scratch_pages(const uint64_t *image) { return (uint32_t)(image[4] >> 48); }

/* Images of one start lie in the INPUT window one after another, each at a multiple of 8 bytes, their results in the OUTPUT window
 * likewise; with scratch all results share its first page. */
static inline uint64_t program_image_stride(const uint64_t *image) { return ((uint64_t)(uint32_t)image[4] + 7) & ~UINT64_C(7); }
static inline uint64_t program_result_stride(const uint64_t *image) { return ((uint64_t)program_output_bytes(image) + 7) & ~UINT64_C(7); }
static inline uint64_t program_output_window(const uint64_t *image, uint32_t images)
{
    uint64_t pages = program_scratch_pages(image);
    return pages ? (1 + pages) * PROGRAM_PAGE : (images - 1) * program_result_stride(image) + program_output_bytes(image);
}
/* Images that a start can take. */
static inline uint32_t program_most_images(const uint64_t *image)
{
    uint64_t stride = program_result_stride(image);
    return program_scratch_pages(image) && stride ? (uint32_t)(PROGRAM_PAGE / stride) : UINT32_MAX;
}

/* Error codes: register STATUS, accel_decode_check */
enum program_error {
    PROGRAM_OK = 0,
    PROGRAM_ERR_MAGIC = 1,             /* not a program, or another major version */
    PROGRAM_ERR_ARRAY = 2,             /* compiled for another array */
    PROGRAM_ERR_SIZE = 3,              /* sections exceed the window or a table's depth */
    PROGRAM_ERR_OP = 4,                /* unknown layer operation or impossible field */
    PROGRAM_ERR_MAP = 5,               /* map index or record out of range */
    PROGRAM_ERR_KWORD = 6,             /* K-word index or record out of range, or list without end */
    PROGRAM_ERR_COEF = 7,              /* coefficient index out of range */
    PROGRAM_ERR_SCALE = 8,             /* scale index out of range */
    PROGRAM_ERR_WEIGHT = 9,            /* weight address out of range */
    PROGRAM_ERR_ACT = 10,              /* activation address out of range */
    PROGRAM_ERR_IO = 11,               /* image or result does not fit its window */
    PROGRAM_ERR_BUS = 12,              /* SLVERR or DECERR on the memory port */
    PROGRAM_ERR_LIMIT = 13,            /* cycle limit reached */
    PROGRAM_ERR_ABORT = 14,            /* aborted by the host */
    PROGRAM_ERR_NOT_LOADED = 15,       /* run before a successful load */
    PROGRAM_ERR_STREAM = 16,           /* malformed block, or layers and blocks that wait for each other */
};

/* Register map (byte offsets), Vitis ap_ctrl_hs style; docs/rtl/registers.md */
#define REG_CTRL 0x00                  /* bit 0 start, 1 done (clears on read), 2 idle, 3 ready */
#define REG_GIE 0x04
#define REG_IER 0x08
#define REG_ISR 0x0c
#define REG_MODE 0x10                  /* 0 run, 1 load */
#define REG_PROGRAM 0x18               /* 64-bit address of each window, low word first; ... */
#define REG_PROGRAM_SIZE 0x24          /* ... and its 64-bit size in bytes */
#define REG_WEIGHT 0x30
#define REG_WEIGHT_SIZE 0x3c
#define REG_INPUT 0x48
#define REG_INPUT_SIZE 0x54
#define REG_OUTPUT 0x60
#define REG_OUTPUT_SIZE 0x6c
#define REG_LIMIT 0x78                 /* 32-bit cycle limit of a start, 0 = none */
#define REG_IMAGES 0x7c                /* images of a run, one after another; 0 as 1 */
#define REG_ABORT 0x80                 /* write 1 */
#define REG_STATUS 0x84                /* enum program_error of the last start */
#define REG_ERROR_LAYER 0x88           /* layer it happened in */
#define REG_ID_MAGIC 0x90              /* "BPRS" = 0x53525042 */
#define REG_ID_VERSION 0x94            /* PROGRAM_MAJOR << 16 | PROGRAM_MINOR */
#define REG_ID_ARRAY 0x98              /* k << 16 | n << 8 | m */
#define REG_ID_ACT 0x9c
#define REG_ID_WEIGHT 0xa0
#define REG_ID_COEF 0xa4
#define REG_ID_SCALE 0xa8
#define REG_ID_KWORD 0xac
#define REG_ID_LAYER 0xb0
#define REG_ID_MAP 0xb4
#define REG_ID_HASH 0xb8               /* low 32 bits of hw.hash */
#define REG_CYCLES 0xc0                /* 64-bit, start to done of the last start */
#define REG_COUNTER 0xd0               /* counters, 32-bit each: run, stall, idle of fetch, array, drain, write, memory */
#define REG_LAYER_CYCLES 0x400         /* 32-bit each: cycles of layer 0..255 of the last run (PROGRAM_TIMED_LAYERS) */
#define REG_ID_MAGIC_VALUE 0x53525042u

/* What a start takes, in the order of a kernel's arguments: name, register, bytes, whether it is an
 * address in memory. The runtime, the OpenCL host and the xclbin number arguments by this list. */
#define PROGRAM_ARGS(X)                        \
    X(mode, REG_MODE, 4, 0)                    \
    X(program, REG_PROGRAM, 8, 1)              \
    X(program_size, REG_PROGRAM_SIZE, 8, 0)    \
    X(weight, REG_WEIGHT, 8, 1)                \
    X(weight_size, REG_WEIGHT_SIZE, 8, 0)      \
    X(input, REG_INPUT, 8, 1)                  \
    X(input_size, REG_INPUT_SIZE, 8, 0)        \
    X(output, REG_OUTPUT, 8, 1)                \
    X(output_size, REG_OUTPUT_SIZE, 8, 0)      \
    X(limit, REG_LIMIT, 4, 0)                  \
    X(images, REG_IMAGES, 4, 0)

#define PROGRAM_ARG_ENUM(name, reg, bytes, memory) PROGRAM_ARG_##name,
enum program_arg { PROGRAM_ARGS(PROGRAM_ARG_ENUM) PROGRAM_N_ARG };
#undef PROGRAM_ARG_ENUM
#define PROGRAM_KERNEL "bitpress"      /* name of the kernel; its one instance is bitpress_1 */

#endif
