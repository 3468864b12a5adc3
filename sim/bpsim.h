/* bpsim: the verilated accelerator with a model of the board's memory, behind a C ABI
 * (build/sim/BOARD/libbpsim.so). docs/sim.md.
 *
 * One struct bpsim is one device: registers through real AXI4-Lite transactions, memory as bytes
 * that the device's AXI4 port reads and writes. Instances share nothing; one thread each.
 * Time only passes inside calls. Functions return 0, or -1 where they can fail. */
#ifndef BITPRESS_BPSIM_H
#define BITPRESS_BPSIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bpsim;

struct bpsim_options {
    const char *trace;         /* FST file (GTKWave), NULL = none (needs a library built with TRACE=1) */
    uint64_t mem_bytes;        /* memory from address 0; 0 = 16 MiB. Beyond it: DECERR */
    int read_latency;          /* cycles from an accepted read address to its first beat, >= 1 */
    int write_latency;         /* cycles from the last write beat to the response, >= 1 */
    double port_gbytes_s;      /* sustained, each direction; 0 = one beat a cycle */
    double clock_mhz;          /* 0 = 100 */
    uint64_t stall_seed;       /* not 0: random waits on every channel (cycles then mean nothing) */
};

/* NULL: no memory, or a trace was asked for that the library cannot make. Device is reset. */
struct bpsim *bpsim_open(const struct bpsim_options *opt);
void bpsim_close(struct bpsim *sim);
void bpsim_reset(struct bpsim *sim);

void bpsim_poke(struct bpsim *sim, uint32_t reg, uint32_t value);
uint32_t bpsim_peek(struct bpsim *sim, uint32_t reg);
uint8_t *bpsim_mem(struct bpsim *sim);          /* mem_bytes, lives until close */
uint64_t bpsim_mem_bytes(const struct bpsim *sim);
void bpsim_tick(struct bpsim *sim, uint64_t cycles);
uint64_t bpsim_now(const struct bpsim *sim);    /* cycles since open */

/* Waits for done (by interrupt) and acknowledges it; -1 after timeout cycles without. */
int bpsim_wait(struct bpsim *sim, uint64_t timeout);

/* Writes the MODE, windows and start, waits. Result: the STATUS register (0 = good), or -1 when
 * the device did not end. Windows lie at multiples of 4 KB, as the cycle model assumes. */
int bpsim_load(struct bpsim *sim, const uint64_t *program, size_t program_words,
               const uint64_t *weights, size_t weight_words64, uint64_t *cycles);
int bpsim_run(struct bpsim *sim, const uint8_t *image, size_t image_bytes,
              int32_t *logits, size_t logit_bytes, uint64_t *cycles);
/* The same with `images` of them in one start: image [images][image_bytes], logits [images][logit_bytes / 4]. */
int bpsim_run_images(struct bpsim *sim, const uint8_t *image, size_t image_bytes, uint32_t images,
                     int32_t *logits, size_t logit_bytes, uint64_t *cycles);

/* Test hooks. Accesses to [first, last) answer SLVERR; first == last: none. */
void bpsim_fault(struct bpsim *sim, uint64_t first, uint64_t last);
/* Breaches of AXI4 by the device (4 KB, burst length, unstable payload, wlast, access outside the
 * windows of the last start) since open; what: a description of the first, or NULL. */
uint64_t bpsim_violations(const struct bpsim *sim, const char **what);

/* Of the RTL and the hardware package this library was built from (hex). */
const char *bpsim_rtl_hash(void);

#ifdef __cplusplus
}
#endif

#endif
