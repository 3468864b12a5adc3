/* recipe_levels.c: where a layer's weights may lie.
 *   default: {levels: codebook, w_bits: 3, planes: 6, a_bits: 4}   # 8 entries, integers of 6 bits
 *   default: {levels: pot, planes: 3, a_bits: 4}                   # planes and w_bits are one number; so for basis
 *   codebook: {init: kmeans, train: both} */
#include <string.h>

#include "compress/recipe_internal.h"

enum { MAX_CODEBOOK_BITS = 4, ENTRY_BITS = 8 };

static const char *const level_names[] = { "uniform", "codebook", "pot", "basis", NULL };
static const char *const init_names[] = { "kmeans", "quantile", "uniform", NULL };
static const char *const train_names[] = { "both", "weights", "codebook", NULL };

const char *compress_levels_name(enum compress_levels l)
{
    return (int)l < BASE_COUNT(level_names) ? level_names[l] : NULL;
}

int compress_read_levels(const struct config_tree *t, const struct config_node *map, struct compress_choice *c)
{
    const struct config_node *levels = config_get(map, "levels"), *planes = config_get(map, "planes"), *bits = config_get(map, "w_bits");
    long v = 0;
    int i = (int)c->levels, rc = levels ? compress_read_name(t, levels, level_names, &i) : BASE_OK;
    c->levels = (enum compress_levels)i;
    if (!rc && planes)
        rc = config_int(t, planes, 1, ENTRY_BITS, &v);
    if (rc)
        return rc;
    if (c->levels == COMPRESS_CODEBOOK) {
        c->planes = planes ? (int)v : c->planes && !levels ? c->planes : ENTRY_BITS;
        return BASE_OK;
    }
    c->planes = 0;
    if (planes && c->levels == COMPRESS_UNIFORM)
        return config_fail(t, planes, "uniform levels have as many planes as w_bits: leave this out, or say `levels: codebook`, `pot` or `basis`");
    if (planes && bits && c->w_bits != v)
        return config_fail(t, planes, "w_bits is %d: of `pot` and `basis` both are the number of planes, one of them is enough", c->w_bits);
    if (planes)
        c->w_bits = (int)v;
    return BASE_OK;
}

void compress_add_levels(struct base_text *t, const struct compress_choice *c)
{
    if (c->levels != COMPRESS_UNIFORM)
        base_text_add(t, "levels: %s, ", level_names[c->levels]);
    if (c->planes)
        base_text_add(t, "planes: %d, ", c->planes);
}

int compress_check_levels(const struct compress_choice *c, const char *layer)
{
    if (!compress_levels_name(c->levels) || (c->levels != COMPRESS_CODEBOOK && c->planes))
        return base_fail(BASE_INPUT, "recipe: layer '%s': unknown levels, or planes where there is no codebook", layer);
    if (c->levels == COMPRESS_CODEBOOK && c->w_bits > MAX_CODEBOOK_BITS)
        return base_fail(BASE_INPUT, "recipe: layer '%s': a codebook of w_bits %d; up to %d: more entries need as many planes as uniform levels", layer, c->w_bits, MAX_CODEBOOK_BITS);
    if (c->levels == COMPRESS_CODEBOOK && (c->planes < BASE_MAX(c->w_bits, 2) || c->planes > ENTRY_BITS))
        return base_fail(BASE_INPUT, "recipe: layer '%s': entries of %d bits (`planes`) for a codebook of w_bits %d; use %d to %d", layer, c->planes, c->w_bits, BASE_MAX(c->w_bits, 2), ENTRY_BITS);
    return BASE_OK;
}

int compress_read_codebook(const struct config_tree *t, const struct config_node *map, struct compress_codebook *b)
{
    static const char *const keys[] = { "init", "train", NULL };
    const struct config_node *n;
    int i = 0, rc = config_check_keys(t, map, keys);
    if (!rc && (n = config_get(map, "init")) && !(rc = compress_read_name(t, n, init_names, &i)))
        b->init = (enum compress_codebook_init)i;
    if (!rc && (n = config_get(map, "train")) && !(rc = compress_read_name(t, n, train_names, &i)))
        b->train = (enum compress_codebook_train)i;
    return rc;
}

void compress_add_codebook(struct base_text *t, const struct compress_recipe *r)
{
    bool any = false;
    for (int i = 0; i < r->n; i++)
        any |= r->layer[i].levels != COMPRESS_UNIFORM;
    if (any)
        base_text_add(t, "codebook: {init: %s, train: %s}\n", init_names[r->codebook.init], train_names[r->codebook.train]);
}
