/* Inside compress: what recipe.c and recipe_file.c share. */
#ifndef COMPRESS_RECIPE_INTERNAL_H
#define COMPRESS_RECIPE_INTERNAL_H

#include "compress/compress.h"
#include "config/config.h"

int compress_recipe_new(struct compress_recipe *out, int n);   /* zero widths */
/* Edge that a layer's main term reads, seen through max pools. */
int compress_main_edge(const struct graph *g, const struct graph_layers *ls, int layer);
int compress_first_weighted(const struct graph_layers *ls);
int compress_last_weighted(const struct graph_layers *ls);

/* Index of the node's text in `names`, which end with NULL; a text that is none of them lists them all. */
int compress_read_name(const struct config_tree *t, const struct config_node *n, const char *const *names, int *out);
/* recipe_quantize.c: the sections `quantize` and `distill`. */
int compress_read_quantize(const struct config_tree *t, const struct config_node *map, struct compress_quantize *q);
int compress_read_distill(const struct config_tree *t, const struct config_node *map, struct compress_distill *d);
void compress_add_quantize(struct base_text *t, const struct compress_quantize *q);
void compress_add_distill(struct base_text *t, const struct compress_distill *d);
int compress_check_quantize(const struct compress_quantize *q, const struct compress_distill *d);
/* recipe_levels.c: `levels`, `planes` and the section `codebook`. */
int compress_read_levels(const struct config_tree *t, const struct config_node *map, struct compress_choice *c);
void compress_add_levels(struct base_text *t, const struct compress_choice *c);
int compress_check_levels(const struct compress_choice *c, const char *layer);
int compress_read_codebook(const struct config_tree *t, const struct config_node *map, struct compress_codebook *b);
void compress_add_codebook(struct base_text *t, const struct compress_recipe *r);
/* recipe_sparse.c: `sparsity` and the section `sparsify`. By default only dense convolutions and dense layers are sparse. */
bool compress_sparse_by_default(const struct graph *g, const struct graph_layers *ls, int layer);
int compress_read_sparsify(const struct config_tree *t, const struct config_node *map, struct compress_sparsify *s);
void compress_add_sparsify(struct base_text *t, const struct compress_recipe *r);
int compress_recipe_check_sparsity(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls);
/* Ratios that the heuristic chooses become each layer's. */
void compress_recipe_settle_sparsity(struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls);
/* Rules of `keep` and `prune` (recipe_prune.c). */
int compress_recipe_check_keep(const struct compress_recipe *r, const struct graph *g, const struct graph_layers *ls);
/* Why no channel of a layer can be removed. */
const char *compress_recipe_no_keep(const struct graph_layers *ls, int layer);

#endif
