/* tree: YAML text into nodes with line numbers, through libyaml's events. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config/config.h"

struct reader {
    struct config_tree *tree;
    struct config_node *open[CONFIG_MAX_DEPTH]; /* maps and lists begun and not ended */
    struct config_node *last[CONFIG_MAX_DEPTH]; /* their newest entries */
    int depth;
    const char *key; /* of the map entry whose value comes next */
    int key_line;
};

static int fail_line(const struct reader *r, int line, const char *what)
{
    return base_fail(BASE_INPUT, "%s:%d: %s", r->tree->name, line, what);
}

static int add_node(struct reader *r, struct config_node **out, enum config_kind kind, int line)
{
    struct config_node *n = BASE_ARENA_NEW(r->tree->arena, struct config_node);
    if (!n)
        return BASE_NOMEM;
    n->kind = kind;
    n->line = r->key ? r->key_line : line;
    n->key = r->key;
    r->key = NULL;
    if (r->depth == 0) {
        r->tree->root = n;
    } else {
        struct config_node *parent = r->open[r->depth - 1];
        struct config_node *last = r->last[r->depth - 1];
        *(last ? &last->next : &parent->child) = n;
        r->last[r->depth - 1] = n;
        n->parent = parent;
        parent->count++;
    }
    *out = n;
    return BASE_OK;
}

/* Inside a map a scalar is a key unless its key was just read. */
static bool expects_key(const struct reader *r)
{
    return r->depth > 0 && r->open[r->depth - 1]->kind == CONFIG_MAP && !r->key;
}

static int take_key(struct reader *r, const char *text, int line)
{
    if (r->open[r->depth - 1]->count == CONFIG_MAX_KEYS)
        return base_fail(BASE_INPUT, "%s:%d: more than %d keys in one place", r->tree->name, line, CONFIG_MAX_KEYS);
    if (config_get(r->open[r->depth - 1], text))
        return base_fail(BASE_INPUT, "%s:%d: key '%s' is given twice", r->tree->name, line, text);
    r->key = base_arena_strdup(r->tree->arena, text);
    r->key_line = line;
    return r->key ? BASE_OK : BASE_NOMEM;
}

static int take_scalar(struct reader *r, const yaml_event_t *e, int line)
{
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) != e->data.scalar.length)
        return fail_line(r, line, "a zero byte inside a value");
    if (expects_key(r))
        return take_key(r, text, line);
    struct config_node *n;
    int rc = add_node(r, &n, CONFIG_SCALAR, line);
    if (rc)
        return rc;
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    n->value = base_arena_strdup(r->tree->arena, text);
    return n->value ? BASE_OK : BASE_NOMEM;
}

static int begin(struct reader *r, enum config_kind kind, int line)
{
    if (expects_key(r))
        return fail_line(r, line, "a key must be plain text");
    if (r->depth == CONFIG_MAX_DEPTH)
        return fail_line(r, line, "nested too deeply");
    struct config_node *n;
    int rc = add_node(r, &n, kind, line);
    if (rc)
        return rc;
    r->open[r->depth] = n;
    r->last[r->depth++] = NULL;
    return BASE_OK;
}

static int refuse_alias(const struct reader *r, int line)
{
    fail_line(r, line, "anchors and aliases are not supported");
    return base_hint(BASE_INPUT, "write the value out where it is needed");
}

static int take_event(struct reader *r, const yaml_event_t *e)
{
    int line = (int)e->start_mark.line + 1;
    switch (e->type) {
    case YAML_ALIAS_EVENT: return refuse_alias(r, line);
    case YAML_DOCUMENT_START_EVENT:
        return r->tree->root ? fail_line(r, line, "a second document: one is expected") : BASE_OK;
    case YAML_SCALAR_EVENT: return e->data.scalar.anchor ? refuse_alias(r, line) : take_scalar(r, e, line);
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.anchor ? refuse_alias(r, line) : begin(r, CONFIG_LIST, line);
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.anchor ? refuse_alias(r, line) : begin(r, CONFIG_MAP, line);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: r->depth--; return BASE_OK;
    default: return BASE_OK;
    }
}

static int syntax_error(const struct reader *r, const yaml_parser_t *p)
{
    if (p->error == YAML_MEMORY_ERROR)
        return base_fail(BASE_NOMEM, "%s: out of memory", r->tree->name);
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR)
        return base_fail(BASE_INPUT, "%s: byte %zu: %s", r->tree->name, p->problem_offset, problem);
    int line = (int)p->problem_mark.line + 1;
    if (!p->context)
        return base_fail(BASE_INPUT, "%s:%d: %s", r->tree->name, line, problem);
    return base_fail(BASE_INPUT, "%s:%d: %s that begins in line %d: %s", r->tree->name, line, p->context,
                     (int)p->context_mark.line + 1, problem);
}

static int read_events(struct reader *r, yaml_parser_t *p)
{
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e))
            return syntax_error(r, p);
        bool end = e.type == YAML_STREAM_END_EVENT;
        int rc = take_event(r, &e);
        yaml_event_delete(&e);
        if (rc || end)
            return rc;
    }
}

int config_tree_parse(struct config_tree *out, const char *name, const char *text, size_t len)
{
    *out = (struct config_tree){0};
    out->arena = base_arena_new();
    out->name = out->arena ? base_arena_strdup(out->arena, name) : NULL;
    struct reader r = {.tree = out};
    yaml_parser_t p;
    int rc = BASE_NOMEM;
    if (!out->name)
        goto done;
    if (!yaml_parser_initialize(&p)) {
        rc = base_fail(BASE_NOMEM, "%s: out of memory", name);
        goto done;
    }
    yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
    rc = read_events(&r, &p);
    yaml_parser_delete(&p);
    if (rc == BASE_OK && !out->root) {
        base_fail(BASE_INPUT, "%s: empty: nothing is configured", name);
        rc = base_hint(BASE_INPUT, "start from an example in configs/");
    }
done:
    if (rc)
        config_tree_free(out);
    return rc;
}

int config_tree_read(struct config_tree *out, const char *path)
{
    uint8_t *text;
    size_t len;
    *out = (struct config_tree){0};
    int rc = base_file_read(&text, &len, path, CONFIG_MAX_BYTES);
    if (rc)
        return rc;
    rc = config_tree_parse(out, path, (const char *)text, len);
    base_free(text);
    return rc;
}

void config_tree_free(struct config_tree *t)
{
    if (!t)
        return;
    base_arena_free(t->arena);
    *t = (struct config_tree){0};
}

/* ---- reading the tree ----------------------------------------------------- */

const struct config_node *config_get(const struct config_node *map, const char *key)
{
    if (!map || map->kind != CONFIG_MAP)
        return NULL;
    for (const struct config_node *n = map->child; n; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

/* "layers.conv1[2].bits" */
static void add_path(struct base_text *t, const struct config_node *n)
{
    if (!n->parent)
        return;
    add_path(t, n->parent);
    if (n->key) {
        base_text_add(t, "%s%s", t->len ? "." : "", n->key);
        return;
    }
    int index = 0;
    for (const struct config_node *s = n->parent->child; s != n; s = s->next)
        index++;
    base_text_add(t, "[%d]", index);
}

int config_fail(const struct config_tree *t, const struct config_node *n, const char *fmt, ...)
{
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    struct base_text path = {0};
    add_path(&path, n);
    if (path.s)
        base_fail(BASE_INPUT, "%s:%d: '%s': %s", t->name, n->line, path.s, what);
    else
        base_fail(BASE_INPUT, "%s:%d: %s", t->name, n->line, what);
    base_text_free(&path);
    return BASE_INPUT;
}

int config_check_keys(const struct config_tree *t, const struct config_node *map, const char *const *allowed)
{
    if (map->kind != CONFIG_MAP)
        return config_fail(t, map, "`key: value` lines are expected here");
    for (const struct config_node *n = map->child; n; n = n->next) {
        int i = 0;
        while (allowed[i] && strcmp(allowed[i], n->key) != 0)
            i++;
        if (allowed[i])
            continue;
        struct base_text list = {0};
        for (i = 0; allowed[i]; i++)
            base_text_add(&list, "%s%s", i ? ", " : "", allowed[i]);
        config_fail(t, n, "unknown key");
        base_hint(BASE_INPUT, "allowed keys: %s", list.s ? list.s : "none");
        base_text_free(&list);
        return BASE_INPUT;
    }
    return BASE_OK;
}

int config_int(const struct config_tree *t, const struct config_node *n, long lo, long hi, long *out)
{
    char *end = NULL;
    errno = 0;
    bool text = n->kind != CONFIG_SCALAR || n->quoted || !*n->value;
    long v = text ? 0 : strtol(n->value, &end, 10);
    if (text || *end)
        return config_fail(t, n, "a whole number is expected%s%.60s%s", text ? "" : ", not '",
                           text ? "" : n->value, text ? "" : "'");
    if (errno || v < lo || v > hi)
        return config_fail(t, n, "%.60s is outside %ld..%ld", n->value, lo, hi);
    *out = v;
    return BASE_OK;
}

int config_number(const struct config_tree *t, const struct config_node *n, double lo, double hi, double *out)
{
    char *end = NULL;
    bool text = n->kind != CONFIG_SCALAR || n->quoted || !*n->value;
    double v = text ? 0 : strtod(n->value, &end);
    if (text || *end || !isfinite(v))
        return config_fail(t, n, "a number is expected%s%.60s%s", text ? "" : ", not '", text ? "" : n->value,
                           text ? "" : "'");
    if (v < lo || v > hi)
        return config_fail(t, n, "%.60s is outside %g..%g", n->value, lo, hi);
    *out = v;
    return BASE_OK;
}

int config_bool(const struct config_tree *t, const struct config_node *n, bool *out)
{
    const char *v = n->kind == CONFIG_SCALAR ? n->value : "";
    if (strcmp(v, "true") != 0 && strcmp(v, "false") != 0)
        return config_fail(t, n, "true or false is expected");
    *out = v[0] == 't';
    return BASE_OK;
}

int config_string(const struct config_tree *t, const struct config_node *n, const char **out)
{
    if (n->kind != CONFIG_SCALAR || !*n->value)
        return config_fail(t, n, "text is expected");
    *out = n->value;
    return BASE_OK;
}
