/* window: kernel, stride and pads of a Conv or pool. */
#ifndef ONNX_WINDOW_H
#define ONNX_WINDOW_H

#include "onnx/reader.h"

enum { MAX_WINDOW = 1023 };

struct window { int kh, kw, stride, pad[4]; }; /* top, left, bottom, right */

/* Of a node over a map of h x w; kh, kw come in as they are if the node has no kernel_shape. NULL, or why not. */
const char *window_read(struct reader *r, const node_t *n, int h, int w, struct window *out);

#endif
