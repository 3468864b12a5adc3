/* xrt.c: the driver over XRT's native C API. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_kernel.h>

#include "runtime/runtime_internal.h"

/* Devices this process has open, a bit an index. XRT gives a second handle of a device it emulates, loads the xclbin
 * again under the first one's feet and crashes at the end; its state is the process's, so this must be, too. */
static atomic_uint_fast64_t devices_open;
enum { MOST_DEVICES = 64 };

struct device {
    unsigned index;
    bool claimed;
    xrtDeviceHandle handle;
    xrtKernelHandle kernel;
    xrtRunHandle run;
};

static void xrt_close(void *device)
{
    struct device *d = device;
    if (d->run)
        xrtRunClose(d->run);
    if (d->kernel)
        xrtKernelClose(d->kernel);
    if (d->handle)
        xrtDeviceClose(d->handle);
    if (d->claimed)
        atomic_fetch_and(&devices_open, ~(UINT64_C(1) << d->index));
    base_free(d);
}

/* XRT ends the process when this is not set. */
static int check_setup(void)
{
    const char *root = getenv("XILINX_XRT");
    if (root && *root)
        return BITPRESS_OK;
    return base_hint(base_fail(BITPRESS_MISSING, "xrt: XILINX_XRT is not set: XRT is not set up here"), "on a board: source setup.sh of XRT; without one: bitpress xrt-env -- PROGRAM");
}

static int claim(struct device *d, unsigned index)
{
    if (index >= MOST_DEVICES)
        return base_fail(BITPRESS_MISSING, "xrt: there is no device %u", index);
    d->index = index;
    d->claimed = !(atomic_fetch_or(&devices_open, UINT64_C(1) << index) >> index & 1);
    if (d->claimed)
        return BITPRESS_OK;
    return base_hint(base_fail(BITPRESS_BUSY, "xrt: device %u is open in this program already", index), "one bitpress_open a device");
}

static int open_kernel(struct device *d)
{
    xuid_t id;
    if (xrtDeviceGetXclbinUUID(d->handle, id))
        return base_fail(BITPRESS_DEVICE, "xrt: the device does not say which xclbin it holds");
    errno = 0;
    d->kernel = xrtPLKernelOpenExclusive(d->handle, id, PROGRAM_KERNEL);
    if (!d->kernel && (errno == EBUSY || errno == EPERM || errno == EAGAIN))
        return base_hint(base_fail(BITPRESS_BUSY, "xrt: the kernel '" PROGRAM_KERNEL "' is used by another program"), "end that program, or take another device");
    if (!d->kernel)
        return base_fail(BITPRESS_INPUT, "xrt: the xclbin has no kernel '" PROGRAM_KERNEL "' that can be opened: %s", strerror(errno));
    d->run = xrtRunOpen(d->kernel);
    return d->run ? BITPRESS_OK : base_fail(BITPRESS_MEMORY, "xrt: no command buffer for the kernel: %s", strerror(errno));
}

static int xrt_open(void **device, unsigned index, const char *xclbin)
{
    int rc = check_setup();
    struct device *d = rc ? NULL : BASE_NEW(struct device);
    if (rc)
        return rc;
    if (!d)
        return BITPRESS_MEMORY;
    *device = d;
    if ((rc = claim(d, index)))
        return rc;
    fflush(NULL);                                  /* XRT may fork */
    errno = 0;
    if (!(d->handle = xrtDeviceOpen(index)))
        return base_hint(base_fail(BITPRESS_MISSING, "xrt: there is no device %u: %s", index, strerror(errno ? errno : ENODEV)), "devices count from 0; xbutil examine lists them");
    errno = 0;
    if (xrtDeviceLoadXclbinFile(d->handle, xclbin))
        return errno == EBUSY || errno == EPERM
                   ? base_fail(BITPRESS_BUSY, "%s: device %u is in use and holds another xclbin", xclbin, index)
                   : base_hint(base_fail(BITPRESS_INPUT, "%s: device %u does not take it%s%s", xclbin, index, errno ? ": " : "", errno ? strerror(errno) : ""), "it must be made for this board");
    return open_kernel(d);
}

static int xrt_alloc(void **buffer, void *device, int window, size_t bytes)
{
    static const int arg[WINDOWS] = { PROGRAM_ARG_program, PROGRAM_ARG_weight, PROGRAM_ARG_input, PROGRAM_ARG_output };
    struct device *d = device;
    int group = xrtKernelArgGroupId(d->kernel, arg[window]);
    *buffer = group < 0 ? NULL : xrtBOAlloc(d->handle, bytes, 0, (xrtMemoryGroup)group);
    return *buffer ? BITPRESS_OK : base_fail(BITPRESS_MEMORY, "xrt: no device memory for %zu bytes", bytes);
}

static void xrt_free(void *device, void *buffer)
{
    (void)device;
    xrtBOFree(buffer);
}

static int xrt_write(void *device, void *buffer, const void *p, size_t bytes)
{
    (void)device;
    if (xrtBOWrite(buffer, p, bytes, 0) || xrtBOSync(buffer, XCL_BO_SYNC_BO_TO_DEVICE, bytes, 0))
        return base_fail(BITPRESS_DEVICE, "xrt: %zu bytes cannot be written to the device", bytes);
    return BITPRESS_OK;
}

static int xrt_read(void *device, void *buffer, void *p, size_t bytes)
{
    (void)device;
    if (xrtBOSync(buffer, XCL_BO_SYNC_BO_FROM_DEVICE, bytes, 0) || xrtBORead(buffer, p, bytes, 0))
        return base_fail(BITPRESS_DEVICE, "xrt: %zu bytes cannot be read from the device", bytes);
    return BITPRESS_OK;
}

static int xrt_start(void *device, const struct runtime_start *s)
{
    xrtRunHandle run = ((struct device *)device)->run;
    int bad = xrtRunSetArg(run, PROGRAM_ARG_mode, s->mode);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_program, s->buffer[WINDOW_PROGRAM]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_program_size, s->bytes[WINDOW_PROGRAM]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_weight, s->buffer[WINDOW_WEIGHT]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_weight_size, s->bytes[WINDOW_WEIGHT]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_input, s->buffer[WINDOW_INPUT]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_input_size, s->bytes[WINDOW_INPUT]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_output, s->buffer[WINDOW_OUTPUT]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_output_size, s->bytes[WINDOW_OUTPUT]);
    bad |= xrtRunSetArg(run, PROGRAM_ARG_limit, s->limit);
    bad |= s->images && xrtRunSetArg(run, PROGRAM_ARG_images, s->images);
    if (bad || xrtRunStart(run))
        return base_fail(BITPRESS_DEVICE, "xrt: the kernel cannot be started");
    return BITPRESS_OK;
}

static enum runtime_state xrt_state(void *device)
{
    switch (xrtRunState(((struct device *)device)->run)) {
    case ERT_CMD_STATE_NEW:
    case ERT_CMD_STATE_QUEUED:
    case ERT_CMD_STATE_SUBMITTED:
    case ERT_CMD_STATE_RUNNING: return RUNTIME_RUNNING;
    case ERT_CMD_STATE_COMPLETED: return RUNTIME_DONE;
    default: return RUNTIME_FAILED;
    }
}

static int xrt_read_register(void *device, uint32_t reg, uint32_t *value)
{
    *value = 0;
    return xrtKernelReadRegister(((struct device *)device)->kernel, reg, value) ? base_fail(BITPRESS_DEVICE, "xrt: register 0x%x cannot be read", reg) : BITPRESS_OK;
}

static int xrt_write_register(void *device, uint32_t reg, uint32_t value)
{
    return xrtKernelWriteRegister(((struct device *)device)->kernel, reg, value) ? base_fail(BITPRESS_DEVICE, "xrt: register 0x%x cannot be written", reg) : BITPRESS_OK;
}

const struct runtime_driver runtime_xrt = {
    .name = "xrt", .open = xrt_open, .close = xrt_close, .alloc = xrt_alloc, .free = xrt_free, .write = xrt_write, .read = xrt_read,
    .start = xrt_start, .state = xrt_state, .read_register = xrt_read_register, .write_register = xrt_write_register,
};

int bitpress_open(bitpress **out, const struct bitpress_options *options)
{
    return runtime_open(out, options, &runtime_xrt);
}
