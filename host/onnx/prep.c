/* prep.c: how raw pixels become the network's input, as the file's metadata or a YAML file says it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "onnx/reader.h"

static const char blanks[] = " \t";

/* A number or a fraction at *s; false: none. */
static bool read_number(const char **s, float *out)
{
    char *end;
    double v = strtod(*s, &end), d;
    if (end == *s)
        return false;
    *s = end + strspn(end, blanks);
    if (**s == '/') {
        const char *p = *s + 1;
        d = strtod(p, &end);
        if (end == p || d == 0)
            return false;
        v /= d;
        *s = end + strspn(end, blanks);
    }
    *out = (float)v;
    return isfinite(*out);
}

/* "1/255", "0.5", "[0.1, 0.2, 0.3]": how many numbers; 0: nonsense, or more than max. */
static int read_numbers(const char *s, float *out, int max)
{
    int n = 0;
    s += strspn(s, blanks);
    bool list = *s == '[';
    s += list;
    for (;;) {
        s += strspn(s, blanks);
        if (n == max || !read_number(&s, &out[n++]))
            return 0;
        if (!list || *s != ',')
            break;
        s++;
    }
    if (list && *s++ != ']')
        return 0;
    return s[strspn(s, blanks)] ? 0 : n;
}

/* One number stands for every channel. */
static bool spread(float *v, int n, int channels)
{
    for (int c = 1; n == 1 && c < channels; c++)
        v[c] = v[0];
    return n == 1 || n == channels;
}

static int check_channels(const char *path, int channels)
{
    if (channels > GRAPH_MAX_PREP)
        return base_fail(BASE_INPUT, "%s: an input of %d channels (at most %d are supported)", path, channels, GRAPH_MAX_PREP);
    return BASE_OK;
}

static struct graph_prep plain_prep(int channels)
{
    struct graph_prep p = { .scale = 1, .n = channels, .known = true };
    for (int c = 0; c < channels; c++)
        p.std[c] = 1;
    return p;
}

/* ---- metadata -------------------------------------------------------------------- */

static const char *metadata(const Onnx__ModelProto *m, const char *key)
{
    for (size_t i = 0; i < m->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = m->metadata_props[i];
        if (e->key && e->value && !strcmp(e->key, key))
            return e->value;
    }
    return NULL;
}

int prep_from_metadata(struct graph_prep *out, const Onnx__ModelProto *m, const char *path, int channels, bool *found)
{
    const char *scale = metadata(m, "input_scale"), *mean = metadata(m, "input_mean"), *std = metadata(m, "input_std");
    *found = scale || mean || std;
    if (!*found)
        return BASE_OK;
    int rc = check_channels(path, channels);
    if (rc)
        return rc;
    *out = plain_prep(channels);
    if ((scale && read_numbers(scale, &out->scale, 1) != 1) || (mean && !spread(out->mean, read_numbers(mean, out->mean, channels), channels)) ||
        (std && !spread(out->std, read_numbers(std, out->std, channels), channels)))
        return base_hint(base_fail(BASE_INPUT, "%s: metadata input_scale is not a number, or input_mean or input_std not 1 or %d numbers", path, channels),
                         "for example input_scale = 1/255, input_mean = [0.485, 0.456, 0.406]");
    return BASE_OK;
}

/* ---- YAML ------------------------------------------------------------------------- */

static int yaml_text(const struct config_tree *t, const struct config_node *n, float *out)
{
    const char *s;
    int rc = config_string(t, n, &s);
    return rc ? rc : read_numbers(s, out, 1) == 1 ? BASE_OK : config_fail(t, n, "must be a number or a fraction like 1/255");
}

static int yaml_numbers(const struct config_tree *t, const struct config_node *n, float *out, int channels)
{
    if (n->kind == CONFIG_SCALAR) {
        int rc = yaml_text(t, n, out);
        spread(out, 1, channels);
        return rc;
    }
    if (n->kind != CONFIG_LIST || (n->count != 1 && n->count != channels))
        return config_fail(t, n, "must be a number, or a list of %d, one a channel", channels);
    int i = 0;
    for (const struct config_node *k = n->child; k; k = k->next) {
        int rc = yaml_text(t, k, &out[i++]);
        if (rc)
            return rc;
    }
    spread(out, n->count, channels);
    return BASE_OK;
}

/* A misspelt key would be a preprocessing that nobody gave. Files beside models describe their input further. */
static int check_keys(const struct config_tree *t, const struct config_node *input)
{
    static const char *const known[] = { "scale", "mean", "std", "name", "shape", "type", "layout", "channels", "note", NULL };
    return config_check_keys(t, input, known);
}

static int check_values(const struct config_tree *t, const struct config_node *input, const struct graph_prep *p)
{
    const struct config_node *scale = config_get(input, "scale"), *std = config_get(input, "std");
    if (scale && !(p->scale > 0))
        return config_fail(t, scale, "must be positive");
    for (int c = 0; std && c < p->n; c++)
        if (!(p->std[c] > 0))
            return config_fail(t, std, "must be positive");
    return BASE_OK;
}

static int read_yaml(struct graph_prep *out, const char *path, int channels, bool *found)
{
    struct config_tree t;
    int rc = config_tree_read(&t, path);
    *found = false;
    if (rc)
        return rc;
    const struct config_node *input = config_get(t.root, "input"), *n;
    if (input && (config_get(input, "scale") || config_get(input, "mean") || config_get(input, "std")) && !(rc = check_channels(path, channels))) {
        *found = true;
        *out = plain_prep(channels);
        rc = check_keys(&t, input);
        if (!rc && (n = config_get(input, "scale")))
            rc = yaml_text(&t, n, &out->scale);
        if (!rc && (n = config_get(input, "mean")))
            rc = yaml_numbers(&t, n, out->mean, channels);
        if (!rc && (n = config_get(input, "std")))
            rc = yaml_numbers(&t, n, out->std, channels);
        if (!rc)
            rc = check_values(&t, input, out);
    }
    config_tree_free(&t);
    return rc;
}

int onnx_prep_read(struct graph_prep *out, const char *path, int channels)
{
    bool found;
    int rc = read_yaml(out, path, channels, &found);
    if (!rc && !found)
        rc = base_hint(base_fail(BASE_INPUT, "%s: it has no `input:` with scale, mean or std", path), "input: {scale: 1/255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}");
    return rc;
}

/* NAME.yaml beside NAME.onnx, if it is there and has an `input`. */
int prep_from_sidecar(struct graph_prep *out, const char *path, int channels, const char **found, struct base_arena *a)
{
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
    char *yaml = base_format("%.*s.yaml", (int)BASE_MIN(stem, (size_t)4000), path);
    bool has = false;
    int rc = yaml ? BASE_OK : BASE_NOMEM;
    if (!rc && base_file_exists(yaml))
        rc = read_yaml(out, yaml, channels, &has);
    if (!rc && has && !(*found = base_arena_strdup(a, yaml)))
        rc = BASE_NOMEM;
    base_free(yaml);
    return rc;
}
