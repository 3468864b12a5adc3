/* YAML: the strict tree, a board description through libcyaml, a recipe for a built-in network; a recipe
 * that is accepted reads back from its own text. */
#include "fuzz.h"

#include "compress/compress.h"
#include "config/config.h"
#include "hw/hw.h"

static void walk(const struct config_tree *t, const struct config_node *n, int depth)
{
    long i;
    double d;
    bool b;
    const char *s;
    FUZZ_DEMAND(depth <= CONFIG_MAX_DEPTH + 1 && n->line >= 1);
    if (n->kind == CONFIG_SCALAR) {
        config_int(t, n, -1000, 1000, &i);
        config_number(t, n, -1e9, 1e9, &d);
        config_bool(t, n, &b);
        FUZZ_DEMAND(config_string(t, n, &s) || strlen(s) < CONFIG_MAX_BYTES);
    }
    int count = 0;
    for (const struct config_node *c = n->child; c; c = c->next, count++)
        walk(t, c, depth + 1);
    FUZZ_DEMAND(count == n->count);
    if (n->kind == CONFIG_MAP)
        for (const struct config_node *c = n->child; c; c = c->next)
            FUZZ_DEMAND(config_get(n, c->key) == c);
}

static void tree(const char *text, size_t len)
{
    struct config_tree t = { 0 };
    int rc = config_tree_parse(&t, "fuzz.yaml", text, len);
    fuzz_result(rc);
    if (!rc)
        walk(&t, t.root, 0);
    config_tree_free(&t);
    base_error_clear();
}

static void recipe(const char *text, size_t len)
{
    static struct graph *g;
    static struct graph_layers ls;
    if (!g) {
        FUZZ_DEMAND(!graph_zoo(&g, "resnet20") && !graph_make_layers(g, &ls));
        ls.layer[1].name = "odd \"name\" \\ tab\t line\n: {"; /* exporters name layers as they like */
    }
    struct compress_recipe r, again;
    int rc = compress_recipe_parse(&r, "fuzz.yaml", text, len, g, &ls);
    fuzz_result(rc);
    if (rc)
        return;
    char *out = compress_recipe_text(&r, &ls);
    FUZZ_DEMAND(out && !compress_recipe_parse(&again, "again.yaml", out, strlen(out), g, &ls));
    FUZZ_DEMAND(!memcmp(r.layer, again.layer, sizeof *r.layer * (size_t)r.n));
    base_free(out);
    compress_recipe_free(&r);
    compress_recipe_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1); /* exact, so that a byte too far is seen; the readers want no end */
    memcpy(text, bytes, len);
    text[len] = 0;
    tree(text, len);
    recipe(text, len);
    free(text);
    struct hw h;
    fuzz_result(hw_load(&h, fuzz_file(0, bytes, len)));
    return 0;
}
