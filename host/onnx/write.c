/* write.c: a float graph as an ONNX model. */
#include <string.h>

#include "onnx/writer.h"

struct float_writer { struct writer w; const struct graph *g; };

static const char *producer(const struct float_writer *f, const struct graph_node *n, int k)
{
    return f->g->node[n->in[k]].name;
}

/* [cout][kh][kw][cin] -> [cout][cin][kh][kw]; a Dense is written as [cout][cin*kh*kw]. */
static char *weight(struct writer *w, const struct graph_node *n, int cin)
{
    char *name = write_name(w, n->name, ".weight");
    int64_t dims[4] = { n->shape.c, cin, n->kh, n->kw };
    int n_dims = 4;
    if (n->op == GRAPH_DENSE) {
        dims[1] = (int64_t)cin * n->kh * n->kw;
        n_dims = 2;
    }
    float *to = write_tensor(w, name, WRITE_FLOAT, dims, n_dims);
    int taps = n->kh * n->kw;
    for (int64_t o = 0; to && o < n->shape.c; o++)
        for (int i = 0; i < cin; i++)
            for (int k = 0; k < taps; k++)
                *to++ = n->weight[(o * taps + k) * cin + i];
    return name;
}

static void window(struct writer *w, Onnx__NodeProto *o, const struct graph_node *n)
{
    write_int_list(w, o, "kernel_shape", (const int64_t[2]){ n->kh, n->kw }, 2);
    write_int_list(w, o, "strides", (const int64_t[2]){ n->stride, n->stride }, 2);
    write_int_list(w, o, "pads", (const int64_t[4]){ n->pad_t, n->pad_l, n->pad_b, n->pad_r }, 4);
}

static void conv(struct float_writer *f, const struct graph_node *n)
{
    struct writer *w = &f->w;
    Onnx__NodeProto *o = write_node(w, "Conv", n->name);
    write_input(w, o, producer(f, n, 0));
    write_input(w, o, weight(w, n, n->depthwise ? 1 : f->g->node[n->in[0]].shape.c));
    if (n->bias)
        write_input(w, o, write_floats(w, n->name, ".bias", n->bias, n->shape.c));
    window(w, o, n);
    write_int(w, o, "group", n->depthwise ? n->shape.c : 1);
}

/* Gemm reads rows: a Flatten in front turns the map into channel-major order. */
static void dense(struct float_writer *f, const struct graph_node *n)
{
    struct writer *w = &f->w;
    char *flat = write_name(w, n->name, ".flat");
    Onnx__NodeProto *o = write_node(w, "Flatten", flat);
    write_input(w, o, producer(f, n, 0));
    write_int(w, o, "axis", 1);
    o = write_node(w, "Gemm", n->name);
    write_input(w, o, flat);
    write_input(w, o, weight(w, n, f->g->node[n->in[0]].shape.c));
    if (n->bias)
        write_input(w, o, write_floats(w, n->name, ".bias", n->bias, n->shape.c));
    write_int(w, o, "transB", 1);
}

static void batchnorm(struct float_writer *f, const struct graph_node *n)
{
    struct writer *w = &f->w;
    Onnx__NodeProto *o = write_node(w, "BatchNormalization", n->name);
    write_input(w, o, producer(f, n, 0));
    write_input(w, o, write_floats(w, n->name, ".gamma", n->gamma, n->shape.c));
    write_input(w, o, write_floats(w, n->name, ".beta", n->beta, n->shape.c));
    write_input(w, o, write_floats(w, n->name, ".mean", n->mean, n->shape.c));
    write_input(w, o, write_floats(w, n->name, ".var", n->var, n->shape.c));
    write_float(w, o, "epsilon", n->eps);
}

static void relu6(struct float_writer *f, const struct graph_node *n)
{
    struct writer *w = &f->w;
    Onnx__NodeProto *o = write_node(w, "Clip", n->name);
    write_input(w, o, producer(f, n, 0));
    write_input(w, o, write_scalar(w, n->name, ".min", WRITE_FLOAT, 0));
    write_input(w, o, write_scalar(w, n->name, ".max", WRITE_FLOAT, 6));
}

/* Option A: every stride-th pixel (Slice), zero channels around (Pad). */
static void shortcut(struct float_writer *f, const struct graph_node *n)
{
    struct writer *w = &f->w;
    char *sliced = write_name(w, n->name, ".slice");
    Onnx__NodeProto *s = write_node(w, "Slice", sliced);
    write_input(w, s, producer(f, n, 0));
    write_input(w, s, write_ints(w, n->name, ".starts", (const int64_t[2]){ 0, 0 }, 2));
    write_input(w, s, write_ints(w, n->name, ".ends", (const int64_t[2]){ INT32_MAX, INT32_MAX }, 2));
    write_input(w, s, write_ints(w, n->name, ".axes", (const int64_t[2]){ 2, 3 }, 2));
    write_input(w, s, write_ints(w, n->name, ".steps", (const int64_t[2]){ n->stride, n->stride }, 2));
    Onnx__NodeProto *p = write_node(w, "Pad", n->name);
    int behind = n->shape.c - n->chan_before - f->g->node[n->in[0]].shape.c;
    write_input(w, p, sliced);
    write_input(w, p, write_ints(w, n->name, ".pads", (const int64_t[8]){ 0, n->chan_before, 0, 0, 0, behind, 0, 0 }, 8));
}

static void plain(struct float_writer *f, const struct graph_node *n, const char *type)
{
    struct writer *w = &f->w;
    Onnx__NodeProto *o = write_node(w, type, n->name);
    for (int i = 0; i < n->n_in; i++)
        write_input(w, o, producer(f, n, i));
    if (n->op == GRAPH_CONCAT || n->op == GRAPH_SOFTMAX)
        write_int(w, o, "axis", 1);
    if (n->op == GRAPH_MAXPOOL || n->op == GRAPH_AVGPOOL)
        window(w, o, n);
}

static void node(struct float_writer *f, const struct graph_node *n)
{
    switch (n->op) {
    case GRAPH_CONV: conv(f, n); break;
    case GRAPH_DENSE: dense(f, n); break;
    case GRAPH_BATCHNORM: batchnorm(f, n); break;
    case GRAPH_RELU6: relu6(f, n); break;
    case GRAPH_SHORTCUT: shortcut(f, n); break;
    case GRAPH_RELU: plain(f, n, "Relu"); break;
    case GRAPH_ADD: plain(f, n, "Add"); break;
    case GRAPH_CONCAT: plain(f, n, "Concat"); break;
    case GRAPH_MAXPOOL: plain(f, n, "MaxPool"); break;
    case GRAPH_AVGPOOL: plain(f, n, "AveragePool"); break;
    case GRAPH_SOFTMAX: plain(f, n, "Softmax"); break;
    case GRAPH_FLATTEN: plain(f, n, "Identity"); break; /* Dense brings its own Flatten */
    case GRAPH_INPUT:
    case GRAPH_OP_COUNT: break;
    }
}

/* Behind a Dense values are rows N x C, else maps N x C x H x W. */
static bool is_row(const struct graph *g, int i)
{
    while (i && g->node[i].op != GRAPH_DENSE && (g->node[i].op == GRAPH_BATCHNORM || g->node[i].op == GRAPH_RELU || g->node[i].op == GRAPH_RELU6 || g->node[i].op == GRAPH_FLATTEN || g->node[i].op == GRAPH_ADD || g->node[i].op == GRAPH_CONCAT))
        i = g->node[i].in[0];
    return g->node[i].op == GRAPH_DENSE;
}

int onnx_write(const struct graph *g, const char *path)
{
    struct float_writer f = { .g = g };
    int rc = g->prep.known || !g->own.n ? BASE_OK : graph_prep_check(g); /* what the file did to its input has no place */
    if (rc || (rc = writer_begin(&f.w, g->name)))
        return rc;
    struct graph_shape in = g->node[0].shape, out = g->node[g->output].shape;
    write_model_input(&f.w, g->node[0].name, (const int[3]){ in.c, in.h, in.w }, 3);
    write_model_output(&f.w, g->node[g->output].name, (const int[3]){ out.c, out.h, out.w }, is_row(g, g->output) ? 1 : 3);
    for (int i = 0; i < g->n_node; i++)
        node(&f, &g->node[i]);
    if (g->prep.known) {
        write_metadata_floats(&f.w, "input_scale", &g->prep.scale, 1);
        if (g->prep.n) {
            write_metadata_floats(&f.w, "input_mean", g->prep.mean, g->prep.n);
            write_metadata_floats(&f.w, "input_std", g->prep.std, g->prep.n);
        }
    }
    return writer_end(&f.w, path);
}
