/* device: the accelerator behind XRT, from the program's side: the xclbin that describes it, the private
 * environment in which XRT finds an emulated one, and the worker process that drives it.
 *
 * XRT is never loaded into this process: its emulation ends its host, or spins for ever, when something
 * goes wrong. A worker (host/runtime) links it; here is a pipe, a deadline and a process group to kill.
 * docs/xrt.md. Accelerators on other machines: remote.h, session.h.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "accel/program.h"
#include "hw/hw.h"
#include "pack/pack.h"

/* ---- xclbin ------------------------------------------------------------------------
 * Where the emulated device has its kernel and its memory. */
#define DEVICE_CU_BASE UINT64_C(0x1800000)
#define DEVICE_MEM_BASE UINT64_C(0x10000000)
#define DEVICE_MEM_BYTES (UINT64_C(256) << 20)

/* The file for hardware emulation of `hw`: memory bank, kernel, arguments, their connections; no
 * bitstream, so no board takes it. The same bytes for the same hw. */
int device_write_xclbin(const char *path, const struct hw *hw);

/* For a Zynq-7000 board that is programmed by other means (boards/NAME/overlay.tcl): the kernel at the begin of the PS's
 * GP0 window, the PS's memory. No bitstream: XRT's driver then leaves the logic alone. BASE_INPUT for another part. */
#define DEVICE_OVERLAY_CU_BASE UINT64_C(0x40000000)
#define DEVICE_OVERLAY_MEM_BYTES (UINT64_C(512) << 20)
int device_write_overlay_xclbin(const char *path, const struct hw *hw);
/* kernel.xml, which v++ and package_xo take with the RTL; appended to `t`. */
void device_kernel_xml(struct base_text *t, const struct hw *hw);

/* ---- environment -------------------------------------------------------------------
 * A private folder below /tmp with all that XRT's emulation reads and writes, its sockets too. */
struct device_env {
    char dir[64];              /* "" if there is none */
    int lock;                  /* held while the folder is in use */
    int n_var;
    char *var[16];             /* NAME=VALUE */
};

/* `simulator`: libbpsim.so of this board. BASE_MISSING names what is lacking: XRT, or a part of this
 * program that is built when XRT's headers are there. Folders of processes that were killed are removed. */
int device_env_open(struct device_env *env, const struct hw *hw, const char *simulator);
/* The folder alone, for a worker on a board. */
int device_env_folder(struct device_env *env);
void device_env_close(struct device_env *env);           /* removes the folder */
void device_env_leave(struct device_env *env);           /* leaves it to the user, for good */
/* envp for exec: this process's environment with `env` on top; env NULL: a copy. One block, base_free. */
char **device_env_merge(const struct device_env *env);
/* A program of this build: beside the running one, in the folder above (tests), or installed. The
 * caller's; NULL with the error set. */
char *device_program(const char *name);
/* Where the XRT libraries are: XILINX_XRT/lib or the system's folder. BASE_MISSING with the package's name. */
int device_xrt_libraries(char dir[256]);

/* ---- worker ------------------------------------------------------------------------ */
struct device_target {
    const char *api;           /* xrt | opencl */
    int index;                 /* of the device */
    const char *xclbin;        /* of a board; NULL: BITPRESS_XCLBIN, and without that an emulated board */
    int batch;                 /* most images of a start; 0: one */
};

/* Start to done; start to logits on the host. Of a batch: those of its start, divided by its images. */
struct device_image { uint64_t cycles; double seconds; };

struct device_counters {
    uint64_t cycles;           /* of the start */
    uint32_t n_layer, layer[PROGRAM_TIMED_LAYERS];
    uint32_t unit[5][3];       /* fetch, array, drain, write, memory: run, stall, idle */
};

struct device;
/* Starts a worker and loads the pack. hw and simulator are needed when the board is emulated. */
int device_open(struct device **out, const struct device_target *target, const struct hw *hw, const char *simulator, const struct pack *pack);
/* pixels [n][input bytes] -> logits [n][classes], each [n] of image (may be NULL). `counters` (may be NULL):
 * of the last image. BASE_MISSING: the device is gone or does not answer; BASE_INTERNAL: it reports an error. */
int device_run(struct device *d, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *counters);
uint64_t device_load_cycles(const struct device *d);
const char *device_source(const struct device *d);       /* xrt-emulation | board */
bool device_emulated(const struct device *d);            /* the environment may say so, too */
void device_close(struct device *d);

/* An environment for emulation is needed: neither the target nor BITPRESS_XCLBIN names an xclbin. */
bool device_needs_emulation(const struct device_target *target);

#endif
