/* recipe_quantize.c: two sections of a recipe.
 *   quantize: {weights: mse, edges: mse, percentile: 99.9, granularity: channel, rounding: nearest,
 *              bias_correction: true, batchnorm: 1024}
 *   distill: {weight: 0.5, temperature: 4, t2: true} */
#include <stdlib.h>
#include <string.h>

#include "compress/recipe_internal.h"

static const char *const clip_names[] = { "mse", "min-max", "percentile", NULL };
static const char *const rounding_names[] = { "nearest", "adaptive", NULL };

enum { MAX_GROUP = 1 << 20, MAX_IMAGES = 1 << 30 };

int compress_read_name(const struct config_tree *t, const struct config_node *n, const char *const *names, int *out)
{
    struct base_text list = { 0 };
    const char *v;
    int rc = config_string(t, n, &v);
    for (int i = 0; !rc && names[i]; i++) {
        if (!strcmp(v, names[i])) {
            *out = i;
            base_text_free(&list);
            return BASE_OK;
        }
        base_text_add(&list, "%s%s", i ? ", " : "", names[i]);
    }
    if (!rc)
        rc = config_fail(t, n, "'%.60s' is none of %s", v, list.s ? list.s : "the known names");
    base_text_free(&list);
    return rc;
}

static int read_clip(const struct config_tree *t, const struct config_node *n, enum compress_clip *out)
{
    int i = 0, rc = n ? compress_read_name(t, n, clip_names, &i) : BASE_OK;
    if (n && !rc)
        *out = (enum compress_clip)i;
    return rc;
}

/* `channel`, `layer`, or how many output channels in a row share a scale. */
static int read_group(const struct config_tree *t, const struct config_node *n, int *out)
{
    long v = 0;
    bool text = n->kind == CONFIG_SCALAR;
    if (text && !strcmp(n->value, "channel"))
        v = 1;
    else if (!text || strcmp(n->value, "layer")) {
        char *end = NULL;
        v = text ? strtol(n->value, &end, 10) : 0;
        if (!text || !*n->value || *end || v < 1 || v > MAX_GROUP)
            return config_fail(t, n, "`channel`, `layer` or a number of output channels (1..%d) is expected%s%.60s%s", MAX_GROUP, text ? ", not '" : "",
                               text ? n->value : "", text ? "'" : "");
    }
    *out = (int)v;
    return BASE_OK;
}

int compress_read_quantize(const struct config_tree *t, const struct config_node *map, struct compress_quantize *q)
{
    static const char *const keys[] = { "weights", "edges", "percentile", "granularity", "rounding", "bias_correction", "batchnorm", NULL };
    const struct config_node *n;
    long v;
    int i = 0, rc = config_check_keys(t, map, keys);
    if (!rc)
        rc = read_clip(t, config_get(map, "weights"), &q->weights);
    if (!rc)
        rc = read_clip(t, config_get(map, "edges"), &q->edges);
    if (!rc && (n = config_get(map, "percentile"))) {
        rc = config_number(t, n, 50, 100, &q->percentile);
        if (!rc && q->weights != COMPRESS_PERCENTILE && q->edges != COMPRESS_PERCENTILE)
            rc = config_fail(t, n, "nothing uses it: say `weights: percentile` or `edges: percentile`");
    }
    if (!rc && (n = config_get(map, "granularity")))
        rc = read_group(t, n, &q->group);
    if (!rc && (n = config_get(map, "rounding")) && !(rc = compress_read_name(t, n, rounding_names, &i)))
        q->rounding = (enum compress_rounding)i;
    if (!rc && (n = config_get(map, "bias_correction")))
        rc = config_bool(t, n, &q->bias_correction);
    if (!rc && (n = config_get(map, "batchnorm")) && !(rc = config_int(t, n, 0, MAX_IMAGES, &v)))
        q->batchnorm_images = (int)v;
    return rc;
}

int compress_read_distill(const struct config_tree *t, const struct config_node *map, struct compress_distill *d)
{
    static const char *const keys[] = { "weight", "temperature", "t2", NULL };
    const struct config_node *n;
    bool t2 = true;
    int rc = config_check_keys(t, map, keys);
    if (!rc && !(n = config_get(map, "weight")))
        return config_fail(t, map, "`weight`, the share of the teacher's term in the loss (0 to 1), is missing");
    if (!rc)
        rc = config_number(t, n, 0, 1, &d->weight);
    if (!rc && (n = config_get(map, "temperature")))
        rc = config_number(t, n, 0.01, 1000, &d->temperature);
    if (!rc && (n = config_get(map, "t2")))
        rc = config_bool(t, n, &t2);
    d->no_t2 = !t2;
    return rc;
}

void compress_add_quantize(struct base_text *t, const struct compress_quantize *q)
{
    base_text_add(t, "quantize: {weights: %s, edges: %s", clip_names[q->weights], clip_names[q->edges]);
    if (q->weights == COMPRESS_PERCENTILE || q->edges == COMPRESS_PERCENTILE)
        base_text_add(t, ", percentile: %.17g", q->percentile);
    if (q->group > 1)
        base_text_add(t, ", granularity: %d", q->group);
    else
        base_text_add(t, ", granularity: %s", q->group ? "channel" : "layer");
    base_text_add(t, ", rounding: %s, bias_correction: %s", rounding_names[q->rounding], q->bias_correction ? "true" : "false");
    if (q->batchnorm_images >= 0)
        base_text_add(t, ", batchnorm: %d", q->batchnorm_images);
    base_text_add(t, "}\n");
}

void compress_add_distill(struct base_text *t, const struct compress_distill *d)
{
    if (!(d->weight > 0))
        return;
    base_text_add(t, "distill: {weight: %.17g", d->weight);
    if (d->temperature > 0)
        base_text_add(t, ", temperature: %.17g", d->temperature);
    base_text_add(t, ", t2: %s}\n", d->no_t2 ? "false" : "true");
}

int compress_check_quantize(const struct compress_quantize *q, const struct compress_distill *d)
{
    if (q->weights > COMPRESS_PERCENTILE || q->edges > COMPRESS_PERCENTILE || q->rounding > COMPRESS_ADAPTIVE)
        return base_fail(BASE_INPUT, "recipe: quantize: an unknown clipping or rounding");
    if (!(q->percentile >= 50 && q->percentile <= 100))
        return base_fail(BASE_INPUT, "recipe: quantize.percentile %g is outside 50..100", q->percentile);
    if (q->group < 0 || q->group > MAX_GROUP)
        return base_fail(BASE_INPUT, "recipe: quantize.granularity %d is outside 0..%d output channels", q->group, MAX_GROUP);
    if (!(d->weight >= 0 && d->weight <= 1) || !(d->temperature <= 1000))
        return base_fail(BASE_INPUT, "recipe: distill: weight %g (0 to 1) at temperature %g (up to 1000)", d->weight, d->temperature);
    return BASE_OK;
}
