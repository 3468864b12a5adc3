/* opencl.c: the driver over OpenCL through the ICD loader: the platform named by BITPRESS_OPENCL_PLATFORM
 * ("Xilinx" unless said), of its accelerators the one with the given index among those whose name
 * contains BITPRESS_OPENCL_DEVICE.
 *
 * OpenCL has no way to a kernel's registers. Status and cycles are read through XRT's C functions (xclRegRead),
 * which the platform has loaded; on a board they need `rw_shared=true` in xrt.ini's [Runtime]. */
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime_internal.h"

/* Of XRT's HAL, in libxrt_core or libxrt_hwemu. */
struct hal {
    void *handle;
    int (*reg_read)(void *, uint32_t, uint32_t, uint32_t *);
    int (*reg_write)(void *, uint32_t, uint32_t, uint32_t);
};

struct device {
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue compute, transfer;    /* transfers do not wait for the kernel */
    cl_program program;
    cl_kernel kernel;
    cl_event event;                        /* of the last start */
    struct hal hal;
};

/* ---- choosing ---------------------------------------------------------------------------- */

static const char *variable(const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    return v && *v ? v : otherwise;
}

static int choose_platform(struct device *d)
{
    enum { MOST = 16 };
    const char *want = variable("BITPRESS_OPENCL_PLATFORM", "Xilinx");
    cl_platform_id id[MOST];
    cl_uint n = 0;
    if (clGetPlatformIDs(MOST, id, &n))
        n = 0;
    for (cl_uint i = 0; !d->platform && i < BASE_MIN(n, (cl_uint)MOST); i++) {
        char name[128] = "";
        clGetPlatformInfo(id[i], CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
        if (strstr(name, want))
            d->platform = id[i];
    }
    if (d->platform)
        return BITPRESS_OK;
    return base_hint(base_fail(BITPRESS_MISSING, "opencl: there is no platform '%s' among %u", want, n), "OCL_ICD_VENDORS or /etc/OpenCL/vendors must name libxilinxopencl.so.2");
}

static int choose_device(struct device *d, unsigned index)
{
    enum { MOST = 16 };
    const char *want = variable("BITPRESS_OPENCL_DEVICE", "");
    cl_device_id id[MOST];
    cl_uint n = 0;
    unsigned seen = 0;
    if (clGetDeviceIDs(d->platform, CL_DEVICE_TYPE_ACCELERATOR, MOST, id, &n))
        n = 0;
    for (cl_uint i = 0; !d->id && i < BASE_MIN(n, (cl_uint)MOST); i++) {
        char name[128] = "";
        clGetDeviceInfo(id[i], CL_DEVICE_NAME, sizeof name - 1, name, NULL);
        if (strstr(name, want) && seen++ == index)
            d->id = id[i];
    }
    return d->id ? BITPRESS_OK : base_fail(BITPRESS_MISSING, "opencl: there is no device %u whose name contains '%s'", index, want);
}

/* ---- opening ----------------------------------------------------------------------------- */

static bool bind(void *function, const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol;
}

static int open_hal(struct hal *h, unsigned index)
{
    void *(*hal_open)(unsigned, const char *, int);
    if (!bind(&hal_open, "xclOpen") || !bind(&h->reg_read, "xclRegRead") || !bind(&h->reg_write, "xclRegWrite") || !(h->handle = hal_open(index, NULL, 0)))
        return base_fail(BITPRESS_MISSING, "opencl: the platform gives no access to the kernel's registers");
    return BITPRESS_OK;
}

static int make_program(struct device *d, const char *xclbin)
{
    uint8_t *bytes;
    size_t len;
    cl_int error = 0, taken = 0;
    if (base_file_read(&bytes, &len, xclbin, (size_t)1 << 30))
        return BITPRESS_IO;
    const unsigned char *binary = bytes;
    d->program = clCreateProgramWithBinary(d->context, 1, &d->id, &len, &binary, &taken, &error);
    base_free(bytes);
    if (error || taken || clBuildProgram(d->program, 1, &d->id, "", NULL, NULL))
        return base_hint(base_fail(BITPRESS_INPUT, "%s: the device does not take it (OpenCL error %d)", xclbin, error ? error : taken), "it must be made for this board");
    d->kernel = clCreateKernel(d->program, PROGRAM_KERNEL, &error);
    return d->kernel ? BITPRESS_OK : base_fail(BITPRESS_INPUT, "%s: has no kernel '" PROGRAM_KERNEL "' (OpenCL error %d)", xclbin, error);
}

static void opencl_close(void *device)
{
    struct device *d = device;
    if (d->event)
        clReleaseEvent(d->event);
    if (d->kernel)
        clReleaseKernel(d->kernel);
    if (d->program)
        clReleaseProgram(d->program);
    if (d->compute)
        clReleaseCommandQueue(d->compute);
    if (d->transfer)
        clReleaseCommandQueue(d->transfer);
    if (d->context)
        clReleaseContext(d->context);
    base_free(d);
}

static int opencl_open(void **device, unsigned index, const char *xclbin)
{
    struct device *d = BASE_NEW(struct device);
    cl_int error = 0;
    if (!d)
        return BITPRESS_MEMORY;
    *device = d;
    fflush(NULL);                                  /* XRT may fork */
    int rc = choose_platform(d);
    if (!rc)
        rc = choose_device(d, index);
    if (rc)
        return rc;
    d->context = clCreateContext(NULL, 1, &d->id, NULL, NULL, &error);
    if (!error)
        d->compute = clCreateCommandQueue(d->context, d->id, 0, &error);
    if (!error)
        d->transfer = clCreateCommandQueue(d->context, d->id, 0, &error);
    if (error)
        return base_fail(error == CL_DEVICE_NOT_AVAILABLE ? BITPRESS_BUSY : BITPRESS_DEVICE, "opencl: device %u cannot be used (OpenCL error %d)", index, error);
    rc = make_program(d, xclbin);
    return rc ? rc : open_hal(&d->hal, index);
}

/* ---- use --------------------------------------------------------------------------------- */

/* The argument is set at once: it says which bank the buffer belongs to. */
static int opencl_alloc(void **buffer, void *device, int window, size_t bytes)
{
    static const cl_uint arg[WINDOWS] = { PROGRAM_ARG_program, PROGRAM_ARG_weight, PROGRAM_ARG_input, PROGRAM_ARG_output };
    struct device *d = device;
    cl_int error;
    cl_mem m = clCreateBuffer(d->context, window == WINDOW_OUTPUT ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY, bytes, NULL, &error);
    if (error || clSetKernelArg(d->kernel, arg[window], sizeof m, &m))
        return base_fail(BITPRESS_MEMORY, "opencl: no device memory for %zu bytes", bytes);
    *buffer = m;
    return BITPRESS_OK;
}

static void opencl_free(void *device, void *buffer)
{
    (void)device;
    clReleaseMemObject(buffer);
}

static int opencl_write(void *device, void *buffer, const void *p, size_t bytes)
{
    struct device *d = device;
    cl_int error = clEnqueueWriteBuffer(d->transfer, buffer, CL_TRUE, 0, bytes, p, 0, NULL, NULL);
    return error ? base_fail(BITPRESS_DEVICE, "opencl: %zu bytes cannot be written to the device (OpenCL error %d)", bytes, error) : BITPRESS_OK;
}

static int opencl_read(void *device, void *buffer, void *p, size_t bytes)
{
    struct device *d = device;
    cl_int error = clEnqueueReadBuffer(d->transfer, buffer, CL_TRUE, 0, bytes, p, 0, NULL, NULL);
    return error ? base_fail(BITPRESS_DEVICE, "opencl: %zu bytes cannot be read from the device (OpenCL error %d)", bytes, error) : BITPRESS_OK;
}

static int opencl_start(void *device, const struct runtime_start *s)
{
    struct device *d = device;
    cl_int e = clSetKernelArg(d->kernel, PROGRAM_ARG_mode, 4, &s->mode);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_program, sizeof(cl_mem), &s->buffer[WINDOW_PROGRAM]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_program_size, 8, &s->bytes[WINDOW_PROGRAM]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_weight, sizeof(cl_mem), &s->buffer[WINDOW_WEIGHT]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_weight_size, 8, &s->bytes[WINDOW_WEIGHT]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_input, sizeof(cl_mem), &s->buffer[WINDOW_INPUT]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_input_size, 8, &s->bytes[WINDOW_INPUT]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_output, sizeof(cl_mem), &s->buffer[WINDOW_OUTPUT]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_output_size, 8, &s->bytes[WINDOW_OUTPUT]);
    e = e ? e : clSetKernelArg(d->kernel, PROGRAM_ARG_limit, 4, &s->limit);
    cl_int images = clSetKernelArg(d->kernel, PROGRAM_ARG_images, 4, &s->images);       /* all that the xclbin names must be set, of a device without it too */
    e = e ? e : s->images ? images : CL_SUCCESS;
    if (d->event)
        clReleaseEvent(d->event);
    d->event = NULL;
    e = e ? e : clEnqueueTask(d->compute, d->kernel, 0, NULL, &d->event);   /* starts at once; Xilinx's clFlush would wait for the end */
    return e ? base_fail(BITPRESS_DEVICE, "opencl: the kernel cannot be started (OpenCL error %d)", e) : BITPRESS_OK;
}

static enum runtime_state opencl_state(void *device)
{
    struct device *d = device;
    cl_int status;
    if (clGetEventInfo(d->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL) || status < 0)
        return RUNTIME_FAILED;
    return status == CL_COMPLETE ? RUNTIME_DONE : RUNTIME_RUNNING;
}

static int opencl_read_register(void *device, uint32_t reg, uint32_t *value)
{
    const struct hal *h = &((struct device *)device)->hal;
    *value = 0;
    if (!h->reg_read(h->handle, 0, reg, value))
        return BITPRESS_OK;
    return base_hint(base_fail(BITPRESS_DEVICE, "opencl: register 0x%x cannot be read", reg), "on a board: [Runtime] rw_shared=true in xrt.ini");
}

static int opencl_write_register(void *device, uint32_t reg, uint32_t value)
{
    const struct hal *h = &((struct device *)device)->hal;
    return h->reg_write(h->handle, 0, reg, value) ? base_fail(BITPRESS_DEVICE, "opencl: register 0x%x cannot be written", reg) : BITPRESS_OK;
}

const struct runtime_driver runtime_opencl = {
    .name = "opencl", .open = opencl_open, .close = opencl_close, .alloc = opencl_alloc, .free = opencl_free, .write = opencl_write, .read = opencl_read,
    .start = opencl_start, .state = opencl_state, .read_register = opencl_read_register, .write_register = opencl_write_register,
};
