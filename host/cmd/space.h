/* space: which numbers of a recipe a search varies, and the recipe that a vector of them stands for.
 *
 * One dimension for the weight bits of each layer with weights, one for each edge's width (the layer
 * that decides it, see compress.h). The first and the last layer with weights keep 8 and 8 bits, as
 * in every uniform recipe. */
#ifndef CMD_SPACE_H
#define CMD_SPACE_H

#include "compress/compress.h"
#include "search/search.h"

struct space {
    const struct graph *graph;
    const struct graph_layers *layers;
    struct search_dim dim[SEARCH_MAX_DIMS];
    int layer[SEARCH_MAX_DIMS];      /* of each dimension */
    struct search_space search;      /* for search_job */
};

struct space_range { int w_min, w_max, a_min, a_max; };

/* Refers to `g` and `ls`, which must outlive it. BASE_INPUT: nothing to vary, or too much. */
int space_make(struct space *s, const struct graph *g, const struct graph_layers *ls, const struct space_range *r);
/* The recipe is the caller's. */
int space_recipe(struct compress_recipe *out, const struct space *s, const int *genes);
/* Genes of the recipe with w weight bits and a activation bits everywhere, moved into each range. */
void space_uniform(const struct space *s, int w, int a, int *genes);

#endif
