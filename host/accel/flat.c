/* An image that only dense layers read is a string of bytes: laid out anew, 16 to a pixel, it fills whole words of
 * the array, where one channel would leave 15 of 16 places empty. The weights' order stays what it is. */
#include "accel/accel_internal.h"

/* Does every reader take the whole image in one window? */
static bool all_dense(const struct fixed_net *net)
{
    const struct fixed_edge *in = &net->edge[0];
    bool any = false;
    for (int i = 0; i < net->n_layer; i++) {
        const struct fixed_layer *l = &net->layer[i];
        for (int t = 0; t < (l->kind == FIXED_MAC ? l->n_term : 1); t++) {
            const struct fixed_term *m = &l->term[t];
            if (m->edge)
                continue;
            if (l->kind != FIXED_MAC || m->depthwise || m->pad_t || m->pad_l || m->kh != in->h || m->kw != in->w || l->h != 1 || l->w != 1)
                return false;
            any = true;
        }
    }
    return any;
}

/* The h x w x c, c at most 16, of as many bytes that takes the fewest K-words; false: what there is is best. */
static bool best_shape(const struct fixed_edge *in, int out[3])
{
    int bytes = in->h * in->w * in->c;
    int64_t least = in->c <= GROUP ? (int64_t)ceil_div(in->h, 3) * ceil_div(in->w, 3) : INT64_MAX;
    bool found = false;
    for (int c = GROUP; c > BASE_MIN(in->c, GROUP); c--)
        for (int h = 1; bytes % c == 0 && (int64_t)h * h <= bytes / c; h++) {
            int w = bytes / c / h;
            int64_t words = (int64_t)ceil_div(h, 3) * ceil_div(w, 3);
            if (bytes / c % h || w > MAX_REACH || words >= least)
                continue;
            least = words;
            memcpy(out, (int[3]){ h, w, c }, sizeof(int[3]));
            found = true;
        }
    return found;
}

int accel_flatten(const struct fixed_net **out, const struct fixed_net *net, struct base_arena *arena)
{
    int shape[3] = { 0 };
    *out = net;
    if (!all_dense(net) || !best_shape(&net->edge[0], shape))
        return BASE_OK;
    struct fixed_net *flat = BASE_ARENA_NEW(arena, struct fixed_net);
    struct fixed_edge *edge = BASE_ARENA_NEW_N(arena, struct fixed_edge, net->n_edge);
    struct fixed_layer *layer = BASE_ARENA_NEW_N(arena, struct fixed_layer, net->n_layer);
    if (!flat || !edge || !layer)
        return BASE_NOMEM;
    *flat = *net;
    flat->edge = memcpy(edge, net->edge, (size_t)net->n_edge * sizeof *edge);
    flat->layer = memcpy(layer, net->layer, (size_t)net->n_layer * sizeof *layer);
    edge[0].h = shape[0];
    edge[0].w = shape[1];
    edge[0].c = shape[2];
    edge[0].pad = NULL; /* no window reaches beyond the image */
    for (int i = 0; i < flat->n_layer; i++)
        for (int t = 0; layer[i].kind == FIXED_MAC && t < layer[i].n_term; t++)
            if (layer[i].term[t].edge == 0) {
                layer[i].term[t].kh = shape[0];
                layer[i].term[t].kw = shape[1];
                layer[i].term[t].cin = shape[2];
            }
    *out = flat;
    return BASE_OK;
}
