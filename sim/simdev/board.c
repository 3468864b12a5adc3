#include "sim/simdev/board.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/accel/program.h"
#include "sim/bpsim.h"

enum {
    SLICE = 512,               /* cycles between looks at the socket */
    HOLD = 20000,              /* the longest that a read of CTRL waits for the end of a start */
    REGISTERS = 4096,          /* bytes of the kernel's window */
};

struct board {
    struct board_options o;
    struct bpsim *sim;
    bool busy, stalled;
    uint32_t written[REGISTERS / 4];
    struct bpsim *(*open)(const struct bpsim_options *);
    void (*close)(struct bpsim *);
    void (*poke)(struct bpsim *, uint32_t, uint32_t);
    uint32_t (*peek)(struct bpsim *, uint32_t);
    uint8_t *(*mem)(struct bpsim *);
    void (*tick)(struct bpsim *, uint64_t);
    uint64_t (*now)(const struct bpsim *);
    void (*fault)(struct bpsim *, uint64_t, uint64_t);
    uint64_t (*violations)(const struct bpsim *, const char **);
};

/* ---- opening --------------------------------------------------------------------------- */

static bool bind(void *library, void *function, const char *name)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol;
}

static bool load(struct board *b)
{
    void *l = dlopen(b->o.simulator, RTLD_NOW | RTLD_LOCAL);
    if (l && bind(l, &b->open, "bpsim_open") && bind(l, &b->close, "bpsim_close") && bind(l, &b->poke, "bpsim_poke") && bind(l, &b->peek, "bpsim_peek") &&
        bind(l, &b->mem, "bpsim_mem") && bind(l, &b->tick, "bpsim_tick") && bind(l, &b->now, "bpsim_now") && bind(l, &b->fault, "bpsim_fault") &&
        bind(l, &b->violations, "bpsim_violations"))
        return true;
    fprintf(stderr, "bitpress-simdev: %s\n", dlerror());
    return false;
}

struct board *board_open(const struct board_options *options)
{
    struct board *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->o = *options;
    const struct bpsim_options o = { .mem_bytes = b->o.memory_end, .read_latency = b->o.read_latency, .write_latency = b->o.write_latency,
                                     .port_gbytes_s = b->o.gbytes_s, .clock_mhz = b->o.mhz };
    if (load(b) && !(b->sim = b->open(&o)))
        fprintf(stderr, "bitpress-simdev: no memory for the simulation\n");
    if (!b->sim) {
        free(b);
        return NULL;
    }
    return b;
}

void board_close(struct board *b)
{
    if (!b)
        return;
    b->close(b->sim);
    free(b);
}

/* ---- memory ---------------------------------------------------------------------------- */

static bool inside(const struct board *b, uint64_t address, uint64_t n)
{
    return address <= b->o.memory_end && n <= b->o.memory_end - address;
}

bool board_write_memory(struct board *b, uint64_t address, const uint8_t *p, uint64_t n)
{
    if (!inside(b, address, n))
        return false;
    memcpy(b->mem(b->sim) + address, p, n);
    return true;
}

bool board_read_memory(const struct board *b, uint64_t address, uint8_t *p, uint64_t n)
{
    if (!inside(b, address, n))
        return false;
    memcpy(p, b->mem(b->sim) + address, n);
    return true;
}

/* ---- time ------------------------------------------------------------------------------ */

static uint64_t window(const struct board *b, uint32_t reg)
{
    return b->written[reg / 4] | (uint64_t)b->written[reg / 4 + 1] << 32;
}

/* The interrupt's pending bit says that the start has ended, and reading it changes nothing for the host. */
static void look(struct board *b)
{
    if (b->stalled || !(b->peek(b->sim, REG_ISR) & 1))
        return;
    b->poke(b->sim, REG_ISR, 1);
    b->busy = false;
    if (b->o.fault == FAULT_WRONG && inside(b, window(b, REG_OUTPUT), 4) && !(b->written[REG_MODE / 4] & 1))
        b->mem(b->sim)[window(b, REG_OUTPUT)] ^= 1;
}

bool board_busy(const struct board *b)
{
    return b->busy;
}

void board_advance(struct board *b)
{
    if (!b->stalled)
        b->tick(b->sim, SLICE);
    look(b);
}

uint64_t board_now(const struct board *b)
{
    return b->now(b->sim);
}

/* ---- registers --------------------------------------------------------------------------- */

/* Only runs fail, so that a load shows the device as good. */
static void start(struct board *b)
{
    bool run = !(b->written[REG_MODE / 4] & 1);
    if (run && b->o.fault == FAULT_DIE)
        abort();
    if (run && b->o.fault == FAULT_STALL)
        b->stalled = true;
    if (run && b->o.fault == FAULT_BUS)
        b->fault(b->sim, window(b, REG_INPUT), window(b, REG_INPUT) + window(b, REG_INPUT_SIZE));
    b->busy = true;
}

void board_write_register(struct board *b, uint64_t address, uint32_t value)
{
    uint64_t reg = address - b->o.cu_base;
    if (address < b->o.cu_base || reg >= REGISTERS)
        return;
    b->written[reg / 4] = value;
    if (reg == REG_CTRL && (value & 1))
        start(b);
    if (!b->stalled)
        b->poke(b->sim, (uint32_t)reg, value);
}

/* A host polls CTRL; its read takes as long as a start may, up to HOLD, which spares both sides the rest. */
uint32_t board_read_register(struct board *b, uint64_t address)
{
    uint64_t reg = address - b->o.cu_base;
    if (address < b->o.cu_base || reg >= REGISTERS)
        return 0;
    if (b->stalled) {
        usleep(1000);
        return reg == REG_CTRL;                    /* started, not ended */
    }
    for (int held = 0; reg == REG_CTRL && b->busy && held < HOLD; held += SLICE)
        board_advance(b);
    uint32_t value = b->peek(b->sim, (uint32_t)reg);
    if (b->busy)
        look(b);
    return value;
}

const char *board_violation(const struct board *b)
{
    const char *what = NULL;
    return b->violations(b->sim, &what) ? what : NULL;
}
