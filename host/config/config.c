/* config: a tree checked against a libcyaml schema, then loaded by libcyaml.
 *
 * The check is ours because libcyaml names the line of the token before the fault and
 * takes `8x` for 8; what it still refuses afterwards is reported in its words. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

/* ---- check ----------------------------------------------------------------- */

static int check_value(const struct config_tree *t, const struct config_node *n, const cyaml_schema_value_t *s);

static int check_scalar(const struct config_tree *t, const struct config_node *n, const char *expected)
{
    if (n->kind != CONFIG_SCALAR)
        return config_fail(t, n, "%s is expected, not a %s", expected, n->kind == CONFIG_MAP ? "map" : "list");
    return BASE_OK;
}

static int wrong(const struct config_tree *t, const struct config_node *n, const char *expected)
{
    return config_fail(t, n, "%s is expected, not '%.60s'", expected, n->value);
}

static int check_integer(const struct config_tree *t, const struct config_node *n, bool is_signed, int bytes)
{
    const char *expected = is_signed ? "a whole number" : "a whole number from 0 on";
    int rc = check_scalar(t, n, expected);
    if (rc)
        return rc;
    char *end;
    errno = 0;
    int shift = 64 - 8 * BASE_MIN(bytes, 8);
    bool fits;
    if (is_signed) {
        long long v = strtoll(n->value, &end, 0);
        fits = v >= INT64_MIN >> shift && v <= INT64_MAX >> shift;
    } else {
        fits = strtoull(n->value, &end, 0) <= UINT64_MAX >> shift;
    }
    bool minus = !is_signed && strchr(n->value, '-');
    if (end == n->value || *end || minus || n->quoted)
        return wrong(t, n, expected);
    return errno || !fits ? config_fail(t, n, "%.60s is too large", n->value) : BASE_OK;
}

static int check_float(const struct config_tree *t, const struct config_node *n)
{
    int rc = check_scalar(t, n, "a number");
    if (rc)
        return rc;
    char *end;
    double v = strtod(n->value, &end);
    return end == n->value || *end || n->quoted || !isfinite(v) ? wrong(t, n, "a number") : BASE_OK;
}

static int check_bool(const struct config_tree *t, const struct config_node *n)
{
    int rc = check_scalar(t, n, "true or false");
    if (rc)
        return rc;
    bool ok = strcmp(n->value, "true") == 0 || strcmp(n->value, "false") == 0;
    return ok && !n->quoted ? BASE_OK : wrong(t, n, "true or false");
}

static int check_enum(const struct config_tree *t, const struct config_node *n, const cyaml_schema_value_t *s)
{
    int rc = check_scalar(t, n, "a word");
    if (rc)
        return rc;
    struct base_text list = {0};
    for (uint32_t i = 0; i < s->enumeration.count; i++) {
        if (strcmp(n->value, s->enumeration.strings[i].str) == 0) {
            base_text_free(&list);
            return BASE_OK;
        }
        base_text_add(&list, "%s%s", i ? ", " : "", s->enumeration.strings[i].str);
    }
    config_fail(t, n, "'%.60s' is not one of: %s", n->value, list.s ? list.s : "");
    base_text_free(&list);
    return BASE_INPUT;
}

static int check_string(const struct config_tree *t, const struct config_node *n, const cyaml_schema_value_t *s)
{
    int rc = check_scalar(t, n, "text");
    if (rc)
        return rc;
    size_t len = strlen(n->value);
    if (len > s->string.max)
        return config_fail(t, n, "longer than %u characters", s->string.max);
    if (len < s->string.min)
        return config_fail(t, n, "shorter than %u characters", s->string.min);
    return BASE_OK;
}

static const cyaml_schema_field_t *find_field(const cyaml_schema_value_t *s, const char *key)
{
    for (const cyaml_schema_field_t *f = s->mapping.fields; f->key; f++)
        if (strcmp(f->key, key) == 0)
            return f;
    return NULL;
}

static int unknown_key(const struct config_tree *t, const struct config_node *n, const cyaml_schema_value_t *s)
{
    struct base_text list = {0};
    for (const cyaml_schema_field_t *f = s->mapping.fields; f->key; f++)
        base_text_add(&list, "%s%s", list.len ? ", " : "", f->key);
    config_fail(t, n, "unknown key");
    base_hint(BASE_INPUT, "allowed keys: %s", list.s ? list.s : "none");
    base_text_free(&list);
    return BASE_INPUT;
}

static int check_mapping(const struct config_tree *t, const struct config_node *n, const cyaml_schema_value_t *s)
{
    if (n->kind != CONFIG_MAP)
        return config_fail(t, n, "`key: value` lines are expected here");
    for (const struct config_node *c = n->child; c; c = c->next) {
        const cyaml_schema_field_t *f = find_field(s, c->key);
        if (!f)
            return unknown_key(t, c, s);
        int rc = check_value(t, c, &f->value);
        if (rc)
            return rc;
    }
    for (const cyaml_schema_field_t *f = s->mapping.fields; f->key; f++)
        if (!(f->value.flags & CYAML_FLAG_OPTIONAL) && !config_get(n, f->key))
            return config_fail(t, n, "key '%s' is missing", f->key);
    return BASE_OK;
}

static int check_sequence(const struct config_tree *t, const struct config_node *n, const cyaml_schema_value_t *s)
{
    if (n->kind != CONFIG_LIST)
        return config_fail(t, n, "a list is expected: [a, b] or lines that begin with '- '");
    if ((uint32_t)n->count < s->sequence.min || (uint32_t)n->count > s->sequence.max)
        return config_fail(t, n, "%d entries; %u to %u are allowed", n->count, s->sequence.min, s->sequence.max);
    for (const struct config_node *c = n->child; c; c = c->next) {
        int rc = check_value(t, c, s->sequence.entry);
        if (rc)
            return rc;
    }
    return BASE_OK;
}

static bool is_allowed_null(const struct config_node *n, const cyaml_schema_value_t *s)
{
    int null_bit = CYAML_FLAG_POINTER_NULL & ~CYAML_FLAG_POINTER;
    return (s->flags & null_bit) && n->kind == CONFIG_SCALAR && !*n->value;
}

static int check_value(const struct config_tree *t, const struct config_node *n, const cyaml_schema_value_t *s)
{
    if (is_allowed_null(n, s))
        return BASE_OK;
    switch (s->type) {
    case CYAML_INT: return check_integer(t, n, true, (int)s->data_size);
    case CYAML_UINT: return check_integer(t, n, false, (int)s->data_size);
    case CYAML_FLOAT: return check_float(t, n);
    case CYAML_BOOL: return check_bool(t, n);
    case CYAML_ENUM: return check_enum(t, n, s);
    case CYAML_STRING: return check_string(t, n, s);
    case CYAML_MAPPING: return check_mapping(t, n, s);
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED: return check_sequence(t, n, s);
    default: return BASE_OK; /* flags, bit fields: left to libcyaml */
    }
}

/* ---- load ------------------------------------------------------------------ */

enum { HEADER = 64 }; /* keeps the payload aligned; holds its size */

/* libcyaml's realloc and free in one, through the one allocator. */
static void *cyaml_memory(void *ctx, void *p, size_t size)
{
    (void)ctx;
    uint8_t *block = p ? (uint8_t *)p - HEADER : NULL;
    if (size == 0) {
        base_free(block);
        return NULL;
    }
    size_t old = block ? *(size_t *)block + HEADER : 0;
    uint8_t *q = size <= SIZE_MAX - HEADER ? base_realloc(block, old, size + HEADER) : NULL;
    if (!q)
        return NULL;
    *(size_t *)q = size;
    return q + HEADER;
}

/* Keeps libcyaml's first complaint; the rest is its backtrace. */
struct complaint { char text[256]; };

static void keep_complaint(cyaml_log_t level, void *ctx, const char *fmt, va_list ap)
{
    struct complaint *c = ctx;
    if (level != CYAML_LOG_ERROR || c->text[0])
        return;
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    c->text[strcspn(c->text, "\n")] = '\0';
}

static cyaml_config_t cyaml_settings(struct complaint *c)
{
    return (cyaml_config_t){
        .log_fn = keep_complaint,
        .log_ctx = c,
        .mem_fn = cyaml_memory,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

int config_load_text(void **out, const char *name, const char *text, size_t len,
                     const cyaml_schema_value_t *schema)
{
    *out = NULL;
    if (len > CONFIG_MAX_BYTES)
        return base_fail(BASE_INPUT, "%s: larger than the %d bytes allowed for such a file", name, CONFIG_MAX_BYTES);
    struct config_tree tree;
    int rc = config_tree_parse(&tree, name, text, len);
    if (rc)
        return rc;
    rc = check_value(&tree, tree.root, schema);
    config_tree_free(&tree);
    if (rc)
        return rc;
    struct complaint c = {{0}};
    cyaml_config_t settings = cyaml_settings(&c);
    cyaml_data_t *data = NULL;
    cyaml_err_t err = cyaml_load_data((const uint8_t *)text, len, &settings, schema, &data, NULL);
    if (err == CYAML_ERR_OOM)
        return base_fail(BASE_NOMEM, "%s: out of memory", name);
    if (err != CYAML_OK)
        return base_fail(BASE_INPUT, "%s: %s", name, c.text[0] ? c.text : cyaml_strerror(err));
    *out = data;
    return BASE_OK;
}

int config_load(void **out, const char *path, const cyaml_schema_value_t *schema)
{
    uint8_t *text;
    size_t len;
    *out = NULL;
    int rc = base_file_read(&text, &len, path, CONFIG_MAX_BYTES);
    if (rc)
        return rc;
    rc = config_load_text(out, path, (const char *)text, len, schema);
    base_free(text);
    return rc;
}

void config_free(void *p, const cyaml_schema_value_t *schema)
{
    if (!p)
        return;
    struct complaint c = {{0}};
    cyaml_config_t settings = cyaml_settings(&c);
    cyaml_free(&settings, schema, p, 0);
}
