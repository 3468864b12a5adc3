/* worker.h: a process that does nothing but drive one device for its parent (device/wire.h). */
#ifndef RUNTIME_WORKER_H
#define RUNTIME_WORKER_H

#include "runtime/runtime_internal.h"

/* main of a worker: PROGRAM DEVICE-INDEX XCLBIN PACK IMAGES-OF-A-START, messages on standard input and output. */
int worker_main(int argc, char **argv, const struct runtime_driver *driver);

#endif
