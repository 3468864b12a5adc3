/* Checkpoints: one file with every array that a step changes.
 *   "BPCKPT02", u64 fingerprint of the network and its widths, i64 step, u64 floats, the floats, u32 CRC32C of all before.
 * Little-endian. A file is written whole or not at all, and read into the network only after every check. */
#include "nn/nn_internal.h"

#include <string.h>

static const char magic[8] = "BPCKPT02";

struct header { char magic[8]; uint64_t fingerprint; int64_t step; uint64_t floats; };

/* ---- the arrays, in a fixed order -------------------------------------------------------- */

typedef void visit_fn(void *ctx, float *v, int64_t n);

static void visit_node(const struct graph_node *n, visit_fn *visit, void *ctx)
{
    float *v[] = { n->bias, n->gamma, n->beta, n->mean, n->var };
    for (int i = 0; i < BASE_COUNT(v); i++)
        if (v[i])
            visit(ctx, v[i], n->shape.c);
}

static void visit_scales(const struct nn *m, visit_fn *visit, void *ctx)
{
    for (int i = 0; i < m->n_weighted; i++) {
        const struct nn_term *t = m->weighted[i];
        if (t->quant && t->quant->w_bits) {
            visit(ctx, t->quant->w_scale, t->cout);
            if (t->quant->levels) {
                visit(ctx, t->quant->levels->value, t->quant->levels->rows * t->quant->levels->planes);
                if (m->training)
                    visit(ctx, t->level_velocity, t->quant->levels->rows * t->quant->levels->planes);
            }
            if (t->quant->mask)
                visit(ctx, t->quant->mask, (int64_t)t->cout * t->conv.kh * t->conv.kw * t->cin);
            if (m->training)
                visit(ctx, t->scale_velocity, t->cout);
        }
    }
    for (int e = 1; m->quant && e < m->layers.n_edge; e++) {
        visit(ctx, &m->quant->edge[e].scale, 1);
        visit(ctx, &m->edge[e].scale_velocity, 1);
    }
}

static void visit_all(const struct nn *m, visit_fn *visit, void *ctx)
{
    for (int i = 0; i < m->graph->n_node; i++)
        visit_node(&m->graph->node[i], visit, ctx);
    for (int i = 0; i < m->n_weighted; i++) {
        const struct nn_term *t = m->weighted[i];
        visit(ctx, m->graph->node[t->node].weight, (int64_t)t->cout * t->conv.kh * t->conv.kw * t->cin);
    }
    for (int i = 0; i < m->n_param; i++) {
        visit(ctx, m->param[i].velocity, m->param[i].n);
        visit(ctx, m->param[i].square, m->param[i].n);
    }
    visit_scales(m, visit, ctx);
}

static void count_floats(void *ctx, float *v, int64_t n)
{
    (void)v;
    *(uint64_t *)ctx += (uint64_t)n;
}

static void copy_out(void *ctx, float *v, int64_t n)
{
    float **to = ctx;
    memcpy(*to, v, sizeof *v * (size_t)n);
    *to += n;
}

static void copy_in(void *ctx, float *v, int64_t n)
{
    const float **from = ctx;
    memcpy(v, *from, sizeof *v * (size_t)n);
    *from += n;
}

/* ---- what network it is ---------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, int64_t value)
{
    return base_hash64(h, &value, sizeof value);
}

static uint64_t node_fingerprint(uint64_t h, const struct graph_node *n)
{
    const int64_t v[] = { n->op, n->shape.h, n->shape.w, n->shape.c, n->kh, n->kw, n->stride, n->pad_t, n->pad_l, n->depthwise, n->bias != NULL };
    for (int i = 0; i < BASE_COUNT(v); i++)
        h = mix(h, v[i]);
    for (int k = 0; k < n->n_in; k++)
        h = mix(h, n->in[k]);
    return h;
}

static uint64_t fingerprint(const struct nn *m)
{
    uint64_t h = mix(1, m->training);
    for (int i = 0; i < m->graph->n_node; i++)
        h = node_fingerprint(h, &m->graph->node[i]);
    for (int i = 0; i < m->n_weighted; i++)
        h = mix(h, m->weighted[i]->quant ? m->weighted[i]->quant->w_bits : 0);
    for (int e = 1; m->quant && e < m->layers.n_edge; e++)
        h = mix(mix(h, m->quant->edge[e].bits), m->quant->edge[e].is_signed);
    return h;
}

/* ---- files ------------------------------------------------------------------------------------- */

static size_t file_bytes(uint64_t floats)
{
    return sizeof(struct header) + sizeof(float) * (size_t)floats + sizeof(uint32_t);
}

int nn_checkpoint_take(struct nn_checkpoint *c, const struct nn *m, int64_t step)
{
    struct header h = { .fingerprint = fingerprint(m), .step = step };
    memcpy(h.magic, magic, sizeof magic);
    visit_all(m, count_floats, &h.floats);
    if (!c->file && !(c->file = base_alloc(file_bytes(h.floats))))
        return BASE_NOMEM;
    c->bytes = file_bytes(h.floats);
    c->step = step;
    float *at = (float *)(c->file + sizeof h);
    memcpy(c->file, &h, sizeof h);
    visit_all(m, copy_out, &at);
    return BASE_OK;
}

int nn_checkpoint_put(struct nn_checkpoint *c, const char *path)
{
    size_t body = c->bytes - sizeof(uint32_t);
    uint32_t crc = base_crc32c(0, c->file, body);
    memcpy(c->file + body, &crc, sizeof crc);
    return base_file_write(path, c->file, c->bytes);
}

uint64_t nn_checkpoint_hash(const struct nn_checkpoint *c)
{
    return base_hash64(0, c->file, c->bytes - sizeof(uint32_t));
}

int nn_checkpoint_write(const struct nn *m, const char *path, int64_t step)
{
    struct nn_checkpoint c = { 0 };
    int rc = nn_checkpoint_take(&c, m, step);
    if (!rc)
        rc = nn_checkpoint_put(&c, path);
    base_free(c.file);
    return rc;
}

struct broadcast { const struct nn_ranks *ranks; int rc; };

static void broadcast_array(void *ctx, float *v, int64_t n)
{
    struct broadcast *b = ctx;
    if (!b->rc)
        b->rc = b->ranks->broadcast(b->ranks->ctx, v, sizeof *v * (size_t)n);
}

int nn_checkpoint_broadcast(const struct nn *m, const struct nn_ranks *r)
{
    struct broadcast b = { r, BASE_OK };
    visit_all(m, broadcast_array, &b);
    return b.rc;
}

static int damaged(const char *path, const char *what)
{
    base_fail(BASE_INPUT, "%s: %s", path, what);
    return base_hint(BASE_INPUT, "remove it, or start without resuming");
}

static int check_file(const struct nn *m, const char *path, const uint8_t *file, size_t len, struct header *h)
{
    uint64_t floats = 0;
    uint32_t crc;
    visit_all(m, count_floats, &floats);
    if (len < file_bytes(0) || memcmp(file, magic, sizeof magic))
        return damaged(path, "not a checkpoint of this program");
    memcpy(h, file, sizeof *h);
    memcpy(&crc, file + len - sizeof crc, sizeof crc);
    if (crc != base_crc32c(0, file, len - sizeof crc))
        return damaged(path, "the checkpoint is damaged (its checksum does not match)");
    if (h->fingerprint != fingerprint(m) || h->floats != floats || len != file_bytes(floats) || h->step < 0)
        return damaged(path, "the checkpoint belongs to another network or to other bit widths");
    return BASE_OK;
}

int nn_checkpoint_read(struct nn *m, const char *path, int64_t *step)
{
    uint8_t *file = NULL;
    size_t len = 0;
    struct header h;
    int rc = base_file_read(&file, &len, path, (size_t)1 << 40);
    if (!rc)
        rc = check_file(m, path, file, len, &h);
    if (!rc) {
        const float *at = (const float *)(file + sizeof h);
        visit_all(m, copy_in, &at);
        *step = h.step;
    }
    base_free(file);
    return rc;
}
