/* bitpress-xrt: the worker over XRT's native API, through the runtime library. */
#include "runtime/worker.h"

int main(int argc, char **argv)
{
    return worker_main(argc, argv, &runtime_xrt);
}
