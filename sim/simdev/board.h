/* board: the verilated accelerator with its memory as the device process sees it: bytes by address,
 * registers by address, and time that passes while a start is running. */
#ifndef SIMDEV_BOARD_H
#define SIMDEV_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a test makes the device do wrong; see docs/xrt.md. */
enum board_fault { FAULT_NONE, FAULT_WRONG, FAULT_STALL, FAULT_DIE, FAULT_BUS };

struct board_options {
    const char *simulator;         /* libbpsim.so */
    uint64_t cu_base, memory_end;
    int read_latency, write_latency;
    double gbytes_s, mhz;
    enum board_fault fault;
};

struct board;
/* NULL: printed on stderr why. */
struct board *board_open(const struct board_options *options);
void board_close(struct board *b);

/* False: outside the memory. */
bool board_write_memory(struct board *b, uint64_t address, const uint8_t *p, uint64_t n);
bool board_read_memory(const struct board *b, uint64_t address, uint8_t *p, uint64_t n);
/* Real AXI4-Lite transactions; outside the kernel: ignored, 0. */
void board_write_register(struct board *b, uint64_t address, uint32_t value);
uint32_t board_read_register(struct board *b, uint64_t address);

/* A start has not ended: its time passes in board_advance. */
bool board_busy(const struct board *b);
void board_advance(struct board *b);
uint64_t board_now(const struct board *b);

/* The first rule of AXI4 that the accelerator broke, or NULL. */
const char *board_violation(const struct board *b);

#endif
