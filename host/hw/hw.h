/* hw: one description of the board and the accelerator on it (boards/NAME/board.yaml),
 * the only source of the array's parameters: the SystemVerilog package and the C header
 * for HLS are generated from it. */
#ifndef HW_H
#define HW_H

#include "base/base.h"

struct hw {
    char name[32], part[48], board[64];
    /* Array: m output channels x n pixels (one row) x k = 9 taps x cg channels. */
    int m, n, cg, k;
    int drain;                 /* accumulators requantized per cycle, a multiple of m */
    /* Depths, in words (powers of two) */
    int act_depth;             /* activation words per row bank (4 banks, (n+2)*cg bits) */
    int weight_depth;          /* weight words, m*k bits */
    int coef_depth;            /* coefficient vectors, m x 18 bits */
    int scale_depth;           /* filter groups (m x {M 18, B 48}) */
    int kword_depth;           /* K-word records */
    int layer_depth;           /* layer descriptors */
    int map_depth;             /* map records */
    /* Budget of the part */
    int lut, ff, bram36, dsp;
    /* Memory port, as modelled */
    int port_bits;             /* data width, 64 */
    int burst_beats;           /* longest burst, 16 on AXI3 */
    int read_latency;          /* cycles from address to first beat */
    int write_latency;         /* cycles from last beat to response */
    double port_gbytes_s;      /* sustained */
    double clock_mhz;
    char clock_is[16];         /* assumed | routed | measured */
    uint64_t hash;             /* of the fields that shape the RTL and its program */
};

/* Load and check boards/NAME/board.yaml; name_or_path: a name (searched in BITPRESS_BOARDS,
 * ./boards, the boards beside the program, the installed share) or a file. */
int hw_load(struct hw *out, const char *name_or_path);
int hw_list(char names[][32], int max);
/* Generated files. */
int hw_write_sv(const struct hw *hw, const char *path);   /* package bitpress_hw_pkg */
int hw_write_c(const struct hw *hw, const char *path);    /* BITPRESS_M, ... */
/* What the accelerator takes: predicted, LUT before packing; `make synth` counts. */
struct hw_area { int lut, bram36, dsp; };
void hw_area(struct hw_area *out, const struct hw *hw);
/* Whether that is within the board's budget. */
bool hw_fits(const struct hw *hw);
/* The arrays that this board's part could hold instead of its own: n and the words of maps and of weights vary (m, k are what the
 * RTL takes), clock and budget stay; only those whose memories could not be larger. Each has a name of its own. BASE_INPUT: none. */
enum { HW_MAX_SHAPES = 75 };
int hw_shapes(struct hw out[HW_MAX_SHAPES], int *n, const struct hw *board);
uint64_t hw_shape_hash(const struct hw *hw);              /* hw.hash */
int hw_write_yaml(const struct hw *hw, const char *path); /* a board file, as hw_load reads it */
/* Binary multiply-accumulates a cycle. */
/* Cycles in which the array's sums leave it. */
static inline int hw_drain_steps(const struct hw *hw) { return hw->m * hw->n / hw->drain; }
static inline int64_t hw_binary_macs(const struct hw *hw) { return (int64_t)hw->m * hw->n * hw->k; }

#endif
