/* runtime_internal.h: the runtime over one of two drivers: XRT's native C API (the library), or OpenCL through
 * the ICD loader (the OpenCL worker). Functions return an enum bitpress_code. */
#ifndef RUNTIME_INTERNAL_H
#define RUNTIME_INTERNAL_H

#include "accel/program.h"
#include "base/base.h"
#include "runtime/bitpress_runtime.h"

enum { WINDOW_PROGRAM, WINDOW_WEIGHT, WINDOW_INPUT, WINDOW_OUTPUT, WINDOWS };

/* One start: buffers of the driver and the windows' sizes in bytes. */
struct runtime_start {
    uint32_t mode, limit;
    uint32_t images;           /* 0: the device has no such argument */
    void *buffer[WINDOWS];
    uint64_t bytes[WINDOWS];
};

enum runtime_state { RUNTIME_RUNNING, RUNTIME_DONE, RUNTIME_FAILED };

struct runtime_driver {
    const char *name;          /* for messages */
    int (*open)(void **device, unsigned index, const char *xclbin);
    void (*close)(void *device);
    int (*alloc)(void **buffer, void *device, int window, size_t bytes);
    void (*free)(void *device, void *buffer);
    int (*write)(void *device, void *buffer, const void *p, size_t bytes);   /* returns when it is in the device's memory */
    int (*read)(void *device, void *buffer, void *p, size_t bytes);
    int (*start)(void *device, const struct runtime_start *s);
    enum runtime_state (*state)(void *device);                               /* of the last start */
    int (*read_register)(void *device, uint32_t reg, uint32_t *value);
    int (*write_register)(void *device, uint32_t reg, uint32_t value);
};

extern const struct runtime_driver runtime_xrt, runtime_opencl;

/* bitpress_open over a driver. */
int runtime_open(bitpress **out, const struct bitpress_options *options, const struct runtime_driver *driver);

/* wait.c: until the last start is done. BITPRESS_STALLED after deadline_ms; `*lost`: it did not end when told to, and the
 * device must not be touched again. */
int runtime_wait(bool *lost, const struct runtime_driver *driver, void *device, int deadline_ms);

#endif
