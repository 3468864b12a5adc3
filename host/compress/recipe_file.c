/* recipe_file.c: a recipe as YAML.
 *   default: {w_bits: 4, a_bits: 4}
 *   first: {w_bits: 8}            # first layer with weights; 8 bits unless said
 *   last: {w_bits: 8, a_bits: 8}  # last layer with weights
 *   layers: {NAME: {w_bits: 2, keep: 0.5}}   # overrides these
 *   prune: {method: lasso, round: 16, macs: 0.5}
 *   sparsify: {structure: block}  # recipe_sparse.c
 *   codebook: {init: kmeans}      # recipe_levels.c
 *   quantize: {weights: mse}      # recipe_quantize.c, as is `distill`
 *   finetune: {mode: short, epochs: 2, images: 20000, lr: 0.01, scales: fixed}
 * Only `default` is required. A width that a file leaves to the defaults follows the layer it is tied
 * to; two that it names must agree. */
#include <string.h>

#include "compress/recipe_internal.h"
#include "config/config.h"

/* Where the file names a layer's values; NULL: it leaves them to the defaults. */
struct said { const struct config_node *a_bits, *keep; };

struct reader {
    const struct config_tree *t;
    const struct graph *g;
    const struct graph_layers *ls;
    struct compress_recipe *r;
    struct said *said;                 /* [n] */
    bool keep_said;                    /* anywhere */
};

static const char *const choice_keys[] = { "w_bits", "a_bits", "keep", "sparsity", "levels", "planes", NULL };
static const char *const mode_names[] = { "fast", "short", "full", NULL };

static int read_bits(const struct config_tree *t, const struct config_node *n, int *out)
{
    long v;
    int rc = config_int(t, n, 1, 8, &v);
    if (!rc)
        *out = (int)v;
    return rc;
}

/* Entries of a `{w_bits, a_bits, ...}` map over what `c` holds. */
static int read_choice(const struct config_tree *t, const struct config_node *map, struct compress_choice *c, struct said *said)
{
    int rc = config_check_keys(t, map, choice_keys);
    const struct config_node *n;
    if (!rc && (n = config_get(map, "w_bits")))
        rc = read_bits(t, n, &c->w_bits);
    if (!rc && (n = config_get(map, "a_bits"))) {
        rc = read_bits(t, n, &c->a_bits);
        said->a_bits = n;
    }
    if (!rc && (n = config_get(map, "keep"))) {
        rc = config_number(t, n, 0, 1, &c->keep);
        said->keep = n;
    }
    if (!rc && (n = config_get(map, "sparsity"))) {
        rc = config_number(t, n, 0, 1, &c->sparsity);
        if (!rc && c->sparsity == 1)
            rc = config_fail(t, n, "no weight would be left (0 or more, less than 1)");
    }
    return rc ? rc : compress_read_levels(t, map, c);
}

/* Levenshtein distance; long names count as far. */
static int distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    int la = (int)strlen(a), lb = (int)strlen(b), row[LONGEST + 1];
    if (la > LONGEST || lb > LONGEST)
        return 2 * LONGEST;
    for (int j = 0; j <= lb; j++)
        row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = BASE_MIN(change, 1 + BASE_MIN(row[j], row[j - 1]));
        }
    }
    return row[lb];
}

static int find_layer(const struct reader *rd, const struct config_node *n, int *out)
{
    int nearest = 0, least = 1 << 20;
    for (int i = 0; i < rd->ls->n; i++) {
        int d = distance(n->key, rd->ls->layer[i].name);
        if (d < least) {
            least = d;
            nearest = i;
        }
    }
    *out = nearest;
    if (least)
        return config_fail(rd->t, n, "the network has no layer of this name; the nearest is '%s'", rd->ls->layer[nearest].name);
    return BASE_OK;
}

static int read_layers(struct reader *rd, const struct config_node *map)
{
    if (map->kind != CONFIG_MAP)
        return config_fail(rd->t, map, "`NAME: {w_bits: ..., a_bits: ...}` lines are expected here");
    for (const struct config_node *n = map->child; n; n = n->next) {
        int i, rc = find_layer(rd, n, &i);
        if (!rc)
            rc = read_choice(rd->t, n, &rd->r->layer[i], &rd->said[i]);
        const struct config_node *widths = config_get(n, "w_bits") ? config_get(n, "w_bits") : config_get(n, "levels") ? config_get(n, "levels") : config_get(n, "planes");
        if (!rc && widths && !rd->ls->layer[i].has_weights)
            rc = config_fail(rd->t, widths, "this layer has no weights (leave %s out)", widths->key);
        rd->keep_said |= rd->said[i].keep != NULL;
        if (rc)
            return rc;
    }
    return BASE_OK;
}

static int read_finetune(const struct config_tree *t, const struct config_node *map, struct compress_finetune *f)
{
    static const char *const keys[] = { "mode", "epochs", "images", "lr", "scales", NULL };
    const struct config_node *n;
    const char *scales;
    long v;
    int mode = 0, rc = config_check_keys(t, map, keys);
    if (!rc && (n = config_get(map, "mode"))) {
        rc = compress_read_name(t, n, mode_names, &mode);
        f->mode = (enum compress_mode)mode;
    }
    if (!rc && (n = config_get(map, "epochs")) && !(rc = config_int(t, n, 1, 10000, &v)))
        f->epochs = (int)v;
    if (!rc && (n = config_get(map, "images")) && !(rc = config_int(t, n, 1, 1L << 30, &v)))
        f->images = (int)v;
    if (!rc && (n = config_get(map, "lr")))
        rc = config_number(t, n, 1e-9, 10, &f->lr);
    if (!rc && (n = config_get(map, "scales")) && !(rc = config_string(t, n, &scales))) {
        f->fixed_scales = !strcmp(scales, "fixed");
        if (!f->fixed_scales && strcmp(scales, "learned"))
            rc = config_fail(t, n, "'%.60s' is none of learned, fixed", scales);
    }
    if (!rc && map->child && !config_get(map, "mode"))
        rc = config_fail(t, map, "without `mode` nothing is trained: say `mode: short`, `full`, or `fast` for no training");
    return rc;
}

static int read_prune(const struct reader *rd, const struct config_node *map)
{
    static const char *const keys[] = { "method", "round", "macs", NULL };
    struct compress_prune *p = &rd->r->prune;
    const struct config_node *n;
    const char *name;
    long v;
    int rc = config_check_keys(rd->t, map, keys);
    if (!rc && (n = config_get(map, "method")) && !(rc = config_string(rd->t, n, &name)) && (rc = compress_prune_find(&p->method, name)) == BASE_INPUT) {
        char why[160];
        snprintf(why, sizeof why, "%s", base_error());
        rc = config_fail(rd->t, n, "%s", why);
    }
    if (!rc && (n = config_get(map, "round")) && !(rc = config_int(rd->t, n, 1, 4096, &v)))
        p->round = (int)v;
    if (!rc && (n = config_get(map, "macs")) && !(rc = config_number(rd->t, n, 0, 1, &p->macs))) {
        if (!(p->macs > 0))
            rc = config_fail(rd->t, n, "nothing would be left to compute (more than 0, up to 1)");
        else if (rd->keep_said)
            rc = config_fail(rd->t, n, "this chooses every layer's keep: leave `keep` out, or leave this out");
    }
    return rc;
}

/* Shares that the file names must agree where layers share channels; the rest follow a named one, or the first layer. */
static int settle_keep(struct reader *rd)
{
    struct compress_choice *layer = rd->r->layer;
    int *decider = BASE_NEW_N(int, rd->ls->n);
    int rc = decider ? compress_recipe_keep_deciders(decider, rd->g, rd->ls) : BASE_NOMEM;
    for (int i = 0; !rc && i < rd->ls->n; i++) {
        int d = decider[i];
        const struct config_node *n = rd->said[i].keep;
        if (n && d < 0 && layer[i].keep < 1)
            rc = config_fail(rd->t, n, "layer '%s': %s", rd->ls->layer[i].name, compress_recipe_no_keep(rd->ls, i));
        else if (n && !(layer[i].keep > 0) && (rc = compress_recipe_can_go(rd->g, rd->ls, i)) == BASE_INPUT)
            rc = config_fail(rd->t, n, "layer '%s': %s", rd->ls->layer[i].name, base_error());
        if (!n || d < 0 || d == i)
            continue;
        if (rd->said[d].keep && layer[d].keep != layer[i].keep)
            rc = config_fail(rd->t, n, "layers '%s' (keep %g) and '%s' (keep %g) share channels: give both one share", rd->ls->layer[d].name, layer[d].keep, rd->ls->layer[i].name, layer[i].keep);
        layer[d].keep = layer[i].keep;
        rd->said[d].keep = n;
    }
    for (int i = 0; !rc && i < rd->ls->n; i++)
        layer[i].keep = decider[i] < 0 ? 1 : layer[decider[i]].keep;
    base_free(decider);
    return rc;
}

/* Named widths must agree within a tie; the rest follow a named one, or the layer that decides. */
static int settle_ties(struct reader *rd)
{
    for (int i = 0; i < rd->ls->n; i++) {
        int d = compress_recipe_decider(rd->g, rd->ls, i), width = rd->r->layer[i].a_bits;
        if (!rd->said[i].a_bits)
            continue;
        if (d < 0 && width != 8)
            return config_fail(rd->t, rd->said[i].a_bits, "this layer reads the raw image: its a_bits is 8");
        if (d < 0)
            continue;
        if (width < 2 && graph_edge_signed(rd->g, rd->ls, compress_main_edge(rd->g, rd->ls, i)))
            return config_fail(rd->t, rd->said[i].a_bits, "the layer's input can be negative (no ReLU in front): at least 2 bits");
        if (d == i)
            continue;
        if (rd->said[d].a_bits && rd->r->layer[d].a_bits != width)
            return config_fail(rd->t, rd->said[i].a_bits, "layer '%s' reads the same values with a_bits %d: give both one width", rd->ls->layer[d].name, rd->r->layer[d].a_bits);
        rd->r->layer[d].a_bits = width;
        rd->said[d].a_bits = rd->said[i].a_bits;
    }
    compress_recipe_tie(rd->r, rd->g, rd->ls);
    return BASE_OK;
}

static int read_tree(struct reader *rd)
{
    static const char *const keys[] = { "default", "first", "last", "layers", "prune", "sparsify", "codebook", "quantize", "distill", "finetune", NULL };
    const struct config_node *root = rd->t->root, *n;
    struct said said = { 0 };
    int rc = config_check_keys(rd->t, root, keys);
    if (rc)
        return rc;
    struct compress_choice usual = { .keep = 1 }, ends[2];
    if (!(n = config_get(root, "default")))
        return config_fail(rd->t, root, "`default: {w_bits: ..., a_bits: ...}` is missing");
    if ((rc = read_choice(rd->t, n, &usual, &said)))
        return rc;
    if (!usual.w_bits || !usual.a_bits)
        return config_fail(rd->t, n, "both w_bits and a_bits are needed here");
    if (!(usual.keep > 0))
        return config_fail(rd->t, said.keep, "no channel would be left (more than 0, up to 1; `layers` may say 0 inside a residual branch)");
    for (int i = 0; i < rd->ls->n; i++) {
        rd->r->layer[i] = usual;
        if (!compress_sparse_by_default(rd->g, rd->ls, i))
            rd->r->layer[i].sparsity = 0;
        if (!rd->ls->layer[i].has_weights) {
            rd->r->layer[i].levels = COMPRESS_UNIFORM;
            rd->r->layer[i].planes = 0;
        }
    }
    rd->keep_said = said.keep != NULL;
    int at[2] = { compress_first_weighted(rd->ls), compress_last_weighted(rd->ls) };
    for (int e = 0; e < 2; e++) {
        ends[e] = (struct compress_choice){ .w_bits = 8, .a_bits = 8, .keep = usual.keep };
        said = (struct said){ 0 };
        if ((n = config_get(root, e ? "last" : "first")) && (rc = read_choice(rd->t, n, &ends[e], &said)))
            return rc;
        rd->keep_said |= said.keep != NULL;
        if (at[e] < 0)
            continue;
        rd->r->layer[at[e]] = ends[e];
        rd->said[at[e]].keep = said.keep;
    }
    if ((n = config_get(root, "layers")) && (rc = read_layers(rd, n)))
        return rc;
    if ((n = config_get(root, "prune")) && (rc = read_prune(rd, n)))
        return rc;
    if ((n = config_get(root, "sparsify")) && (rc = compress_read_sparsify(rd->t, n, &rd->r->sparsify)))
        return rc;
    if ((n = config_get(root, "codebook")) && (rc = compress_read_codebook(rd->t, n, &rd->r->codebook)))
        return rc;
    if (rd->keep_said && (rc = settle_keep(rd)))
        return rc;
    if (!config_get(root, "distill") && compress_recipe_removes(rd->r))
        rd->r->distill.weight = COMPRESS_PRUNE_DISTILL;
    rd->r->quantize.rounding = COMPRESS_ADAPTIVE;
    rd->r->quantize.bias_correction = true;
    if ((n = config_get(root, "quantize")) && (rc = compress_read_quantize(rd->t, n, &rd->r->quantize)))
        return rc;
    if ((n = config_get(root, "distill")) && (rc = compress_read_distill(rd->t, n, &rd->r->distill)))
        return rc;
    if ((n = config_get(root, "finetune")) && (rc = read_finetune(rd->t, n, &rd->r->finetune)))
        return rc;
    return settle_ties(rd);
}

static int from_tree(struct compress_recipe *out, const struct config_tree *t, const struct graph *g, const struct graph_layers *ls)
{
    struct reader rd = { .t = t, .g = g, .ls = ls, .r = out };
    int rc = compress_recipe_new(out, ls->n);
    if (rc)
        return rc;
    rd.said = BASE_NEW_N(struct said, ls->n);
    rc = rd.said ? read_tree(&rd) : BASE_NOMEM;
    if (!rc)
        rc = compress_recipe_check(out, g, ls);
    base_free(rd.said);
    if (rc)
        compress_recipe_free(out);
    return rc;
}

int compress_recipe_parse(struct compress_recipe *out, const char *name, const char *text, size_t len, const struct graph *g, const struct graph_layers *ls)
{
    struct config_tree t = { 0 };
    *out = (struct compress_recipe){ 0 };
    int rc = config_tree_parse(&t, name, text, len);
    if (!rc)
        rc = from_tree(out, &t, g, ls);
    config_tree_free(&t);
    return rc;
}

int compress_recipe_read(struct compress_recipe *out, const char *path, const struct graph *g, const struct graph_layers *ls)
{
    struct config_tree t = { 0 };
    *out = (struct compress_recipe){ 0 };
    int rc = config_tree_read(&t, path);
    if (!rc)
        rc = from_tree(out, &t, g, ls);
    config_tree_free(&t);
    return rc;
}

/* Names are quoted: an exporter may have made one that YAML reads as something else. */
static void add_name(struct base_text *t, const char *s)
{
    base_text_add(t, "\"");
    for (; *s; s++)
        if ((unsigned char)*s < 32 || *s == 127)
            base_text_add(t, "\\x%02x", *s);
        else
            base_text_add(t, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    base_text_add(t, "\"");
}

/* A recipe that removes channels distils unless it says otherwise. */
static void add_prune(struct base_text *t, const struct compress_recipe *r)
{
    const struct compress_prune *p = &r->prune;
    if (!compress_recipe_removes(r))
        return;
    base_text_add(t, "prune: {method: %s", compress_prune_name(p->method));
    if (p->round > 0)
        base_text_add(t, ", round: %d", p->round);
    if (p->macs > 0)
        base_text_add(t, ", macs: %.9g", p->macs);
    base_text_add(t, "}\n%s", r->distill.weight > 0 ? "" : "distill: {weight: 0}\n");
}

char *compress_recipe_text(const struct compress_recipe *r, const struct graph_layers *ls)
{
    struct base_text t = { 0 };
    base_text_add(&t, "default: {w_bits: 8, a_bits: 8}\nlayers:\n");
    for (int i = 0; i < r->n; i++) {
        base_text_add(&t, "  ");
        add_name(&t, ls->layer[i].name);
        base_text_add(&t, ": {");
        if (r->layer[i].w_bits)
            base_text_add(&t, "w_bits: %d, ", r->layer[i].w_bits);
        if (r->layer[i].keep != 1)
            base_text_add(&t, "keep: %.9g, ", r->layer[i].keep);
        if (r->layer[i].sparsity > 0)
            base_text_add(&t, "sparsity: %.9g, ", r->layer[i].sparsity);
        compress_add_levels(&t, &r->layer[i]);
        base_text_add(&t, "a_bits: %d}\n", r->layer[i].a_bits);
    }
    add_prune(&t, r);
    compress_add_sparsify(&t, r);
    compress_add_codebook(&t, r);
    compress_add_quantize(&t, &r->quantize);
    compress_add_distill(&t, &r->distill);
    const struct compress_finetune *f = &r->finetune;
    base_text_add(&t, "finetune: {mode: %s", mode_names[f->mode]);
    if (f->epochs > 0)
        base_text_add(&t, ", epochs: %d", f->epochs);
    if (f->images > 0)
        base_text_add(&t, ", images: %d", f->images);
    if (f->lr > 0)
        base_text_add(&t, ", lr: %.9g", f->lr);
    if (f->fixed_scales)
        base_text_add(&t, ", scales: fixed");
    base_text_add(&t, "}\n");
    if (t.failed) {
        base_text_free(&t);
        return NULL;
    }
    return t.s;
}
