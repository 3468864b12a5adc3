/* Inside compress: what recipe.c and recipe_file.c share. */
#ifndef COMPRESS_RECIPE_INTERNAL_H
#define COMPRESS_RECIPE_INTERNAL_H

#include "compress/compress.h"

int compress_recipe_new(struct compress_recipe *out, int n);   /* zero widths */
/* Edge that a layer's main term reads, seen through max pools. */
int compress_main_edge(const struct graph *g, const struct graph_layers *ls, int layer);
int compress_first_weighted(const struct graph_layers *ls);
int compress_last_weighted(const struct graph_layers *ls);

#endif
