/* bitpress-opencl: the worker over OpenCL. */
#include "runtime/worker.h"

int main(int argc, char **argv)
{
    return worker_main(argc, argv, &runtime_opencl);
}
