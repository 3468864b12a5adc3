/* The generated faces of a board description: one table, two languages. */
#include "hw/hw.h"

#define N_VALUE 13
struct value { const char *name; int v; };

static void values(struct value v[N_VALUE], const struct hw *h)
{
    const struct value all[N_VALUE] = {
        { "M", h->m }, { "N", h->n }, { "K", h->k }, { "CG", h->cg }, { "DRAIN", h->drain },
        { "ACT_DEPTH", h->act_depth }, { "WEIGHT_DEPTH", h->weight_depth }, { "COEF_DEPTH", h->coef_depth },
        { "SCALE_DEPTH", h->scale_depth }, { "KWORD_DEPTH", h->kword_depth }, { "LAYER_DEPTH", h->layer_depth },
        { "MAP_DEPTH", h->map_depth }, { "BURST_BEATS", h->burst_beats },
    };
    for (int i = 0; i < N_VALUE; i++)
        v[i] = all[i];
}

int hw_write_sv(const struct hw *hw, const char *path)
{
    struct base_out o;
    struct value v[N_VALUE];
    int rc = base_out_open(&o, path);
    if (rc)
        return rc;
    values(v, hw);
    fprintf(o.fp, "// Made by hwgen from boards/%s/board.yaml; do not edit.\npackage bitpress_hw_pkg;\n", hw->name);
    for (int i = 0; i < N_VALUE; i++)
        fprintf(o.fp, "  localparam int unsigned %s = %d;\n", v[i].name, v[i].v);
    fprintf(o.fp, "  localparam int unsigned HASH = 32'h%08x;\nendpackage\n", (unsigned)(hw->hash & 0xffffffffu));
    return base_out_commit(&o);
}

int hw_write_c(const struct hw *hw, const char *path)
{
    struct base_out o;
    struct value v[N_VALUE];
    int rc = base_out_open(&o, path);
    if (rc)
        return rc;
    values(v, hw);
    fprintf(o.fp, "/* Made by hwgen from boards/%s/board.yaml; do not edit. */\n#ifndef BITPRESS_HW_H\n"
                  "#define BITPRESS_HW_H\n\n", hw->name);
    for (int i = 0; i < N_VALUE; i++)
        fprintf(o.fp, "#define BITPRESS_%s %d\n", v[i].name, v[i].v);
    fprintf(o.fp, "#define BITPRESS_HASH 0x%08xu\n\n#endif\n", (unsigned)(hw->hash & 0xffffffffu));
    return base_out_commit(&o);
}
