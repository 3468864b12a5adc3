/* check_layer: what the accelerator cannot run whatever the widths and the board: the rules of lowering and of
 * the compiler that a layer's shape alone decides, so that `check` can say all of them at once. */
#ifndef CMD_CHECK_LAYER_H
#define CMD_CHECK_LAYER_H

#include "graph/graph.h"

/* Why a layer cannot run, into `why`; false: nothing is against it. */
bool check_layer(char why[160], const struct graph *g, const struct graph_layers *ls, int layer);

#endif
