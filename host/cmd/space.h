/* space: which numbers of a recipe a search varies, and the recipe that a vector of them stands for.
 *
 * One dimension for the weight bits of each layer with weights, one for each edge's width (the layer
 * that decides it, see compress.h). The first and the last layer with weights keep 8 and 8 bits, as
 * in every uniform recipe. Where there are shares of channels to choose from, one dimension for each group of
 * layers that share channels and would lose some at the smallest share: a gene is an index into the shares.
 * Where there are shares of zeros, one for each layer that gets some at the largest: the lower the gene the more zeros.
 * Where there are kinds of levels, one for each layer whose weight bits vary; these are AND planes then, whatever the kind: a
 * codebook has half as many entries as integers of so many bits, its entries. The highest gene is uniform.
 *
 * Layers may be tied: those of one stage (maps of one size), or all, then share each of their genes, a width clamped to what
 * the layer's edge can have. */
#ifndef CMD_SPACE_H
#define CMD_SPACE_H

#include "compress/compress.h"
#include "search/search.h"

enum { SPACE_MAX_KEEP = 16, SPACE_MAX_LEVELS = 3, SPACE_MAX_USES = 4 * SEARCH_MAX_DIMS, SPACE_MAX_STAGES = 32 };
enum space_tie { SPACE_FREE, SPACE_STAGE, SPACE_NETWORK };
struct space_range {
    enum space_tie tied;
    int w_min, w_max, a_min, a_max;
    int n_keep;                      /* shares of channels, ascending; 0: every channel stays */
    double keep[SPACE_MAX_KEEP];
    struct compress_prune prune;     /* method, and round filled in */
    int n_sparsity;                  /* shares of zeros to choose from besides none, ascending */
    double sparsity[SPACE_MAX_KEEP];
    struct compress_sparsify sparsify;
    int n_levels;                    /* kinds to choose from besides uniform ones */
    enum compress_levels levels[SPACE_MAX_LEVELS];
};

struct space {
    const struct graph *graph;
    const struct graph_layers *layers;
    struct search_dim dim[SEARCH_MAX_DIMS];
    struct { int dim, layer, lo; } use[SPACE_MAX_USES];   /* which gene a layer takes, at least lo */
    int n_use;
    char stage[SPACE_MAX_STAGES][24];   /* what tied layers are called */
    int n_stage;
    struct space_range range;
    struct search_space search;      /* for search_job */
};

/* Refers to `g` and `ls`, which must outlive it. BASE_INPUT: nothing to vary, or too much. */
int space_make(struct space *s, const struct graph *g, const struct graph_layers *ls, const struct space_range *r);
/* The recipe is the caller's. */
int space_recipe(struct compress_recipe *out, const struct space *s, const int *genes);

#endif
