/* onnx: float networks to and from ONNX files, the product's model format.
 *
 * Maps are NCHW in the file and NHWC in a graph; the preprocessing of raw pixels,
 * x = (pixel * scale - mean) / std, travels in metadata (input_scale, input_mean, input_std).
 * What is not understood is refused: every such node is listed, none is guessed.
 */
#ifndef ONNX_H
#define ONNX_H

#include "graph/graph.h"

enum { ONNX_MAX_BYTES = 1 << 30 };

/* Read a model (opset 11-21). *out is the caller's. BASE_INPUT names the file, the nodes and what to do. */
int onnx_read(struct graph **out, const char *path);
/* Write a graph as opset 13 float ONNX, atomically. */
int onnx_write(const struct graph *g, const char *path);

#endif
