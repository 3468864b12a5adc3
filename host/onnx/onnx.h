/* onnx: float networks to and from ONNX files, the product's model format.
 *
 * Maps are NCHW in the file (NHWC exports of TensorFlow are seen through) and NHWC in a graph; the
 * preprocessing of raw pixels, x = (pixel * scale - mean) / std, travels in metadata (input_scale,
 * input_mean, input_std) or in a YAML file beside the model. What is not understood is refused: every
 * such node is listed, none is guessed. docs/onnx.md has the tables.
 *
 * Ownership: graphs and reports are the caller's; end reports with onnx_report_free.
 */
#ifndef ONNX_H
#define ONNX_H

#include "fixed/fixed.h"
#include "graph/graph.h"

enum { ONNX_MAX_BYTES = 1 << 30, ONNX_MAX_NODES = 10000, ONNX_OPSET_MIN = 11, ONNX_OPSET_MAX = 21 };

/* ---- reading ------------------------------------------------------------------- */

/* Read a model (opset 11-21). BASE_INPUT names the file, the nodes and what to do. The graph's `prep` is
 * known if the metadata, or the YAML file of the same name beside the model, has it (graph_prep_check). */
int onnx_read(struct graph **out, const char *path);

/* What became of each node that the output needs, in file order. */
enum onnx_verdict {
    ONNX_TAKEN,    /* as it is */
    ONNX_LOWERED,  /* as something else: `text` says what */
    ONNX_FOLDED,   /* computed while reading: constants, or a change of layout alone */
    ONNX_REFUSED,  /* `text` says why, and what to do */
    ONNX_SKIPPED,  /* not looked at: it reads what a refused node computes */
};
struct onnx_note { const char *node, *op, *text; enum onnx_verdict verdict; };
struct onnx_report {
    struct base_arena *arena;
    int n;
    struct onnx_note *note;   /* [n] */
    int refused, opset;
    const char *layout;       /* of the input: "NCHW", "NHWC", "NHW" (one channel) or "NW" (a row of values: 1 x W x 1) */
    const char *prep_from;    /* "metadata", a file's name, or "" if nothing says it */
};
/* The same; *report is filled even where nodes are refused (BASE_INPUT, refused > 0). */
int onnx_read_report(struct graph **out, struct onnx_report *report, const char *path);
void onnx_report_free(struct onnx_report *r);

/* The operators that are read, one call a line of the table in docs/onnx.md; false behind the last. */
bool onnx_operator(int i, const char **op, const char **how);

/* Preprocessing from YAML: a mapping `input: {scale, mean, std}` at the top of the file; other keys are
 * not looked at. Numbers, or lists of one or `channels` numbers; scale may be a fraction "1/255".
 * Keys of `input` that describe it otherwise (name, shape, ...) are passed over, others refused. BASE_INPUT with file and line. */
int onnx_prep_read(struct graph_prep *out, const char *path, int channels);

/* ---- writing ------------------------------------------------------------------- */

/* Write a graph as opset 13 float ONNX, atomically. */
int onnx_write(const struct graph *g, const char *path);
/* Write an integer network as QDQ ONNX, atomically; docs/onnx.md says what it computes. */
int onnx_write_qdq(const struct fixed_net *net, const char *path);
/* The same with QONNX's Quant and BipolarQuant, which say bit widths below 8. */
int onnx_write_qonnx(const struct fixed_net *net, const char *path);

#endif
