/* config: YAML files into C structures, strictly.
 *
 * A file is first read into a tree that knows its lines, then checked against a
 * libcyaml schema - an unknown, repeated or missing key and a value of the wrong type
 * are BASE_INPUT with `file:line:`, the key and a remedy - and only then loaded by
 * libcyaml. Files whose keys are names (a recipe's layers) are read as the tree.
 *
 * Refused: more than CONFIG_MAX_BYTES, anchors and aliases (a few lines of them can
 * stand for gigabytes), a second document, an empty file.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <cyaml/cyaml.h>

#include "base/base.h"

enum { CONFIG_MAX_BYTES = 4 << 20, CONFIG_MAX_DEPTH = 64, CONFIG_MAX_KEYS = 10000 };

/* ---- by schema ------------------------------------------------------------
 * The top of `schema` must be a CYAML_FLAG_POINTER mapping. *out is the caller's,
 * ended by config_free with the same schema; NULL on error. Optional fields that
 * the file lacks are zero. */
int config_load(void **out, const char *path, const cyaml_schema_value_t *schema);
/* The same from memory; `name` stands for the file in messages. */
int config_load_text(void **out, const char *name, const char *text, size_t len,
                     const cyaml_schema_value_t *schema);
void config_free(void *p, const cyaml_schema_value_t *schema);

/* ---- as a tree ------------------------------------------------------------ */
enum config_kind { CONFIG_SCALAR, CONFIG_MAP, CONFIG_LIST };
struct config_node {
    enum config_kind kind;
    const char *key;           /* of a map's entry, else NULL */
    const char *value;         /* of a scalar, else NULL */
    bool quoted;               /* "8" is text, 8 a number */
    int line;                  /* from 1: of the key, else of the value */
    int count;                 /* entries of a map or list */
    struct config_node *child; /* first entry */
    struct config_node *next;  /* next entry of the same map or list */
    struct config_node *parent;
};
struct config_tree {
    struct base_arena *arena;
    const char *name;          /* for messages */
    struct config_node *root;
};
int config_tree_read(struct config_tree *out, const char *path);
int config_tree_parse(struct config_tree *out, const char *name, const char *text, size_t len);
void config_tree_free(struct config_tree *t);

/* Entry `key` of a map, NULL if there is none (or `map` is none). */
const struct config_node *config_get(const struct config_node *map, const char *key);
/* BASE_INPUT naming the key, its line and the allowed ones (a NULL-terminated list) unless `map` is
 * a map of nothing but allowed keys. */
int config_check_keys(const struct config_tree *t, const struct config_node *map, const char *const *allowed);
/* A scalar's value; BASE_INPUT with file, line and key for another type or a value outside lo..hi. */
int config_int(const struct config_tree *t, const struct config_node *n, long lo, long hi, long *out);
int config_number(const struct config_tree *t, const struct config_node *n, double lo, double hi, double *out);
int config_bool(const struct config_tree *t, const struct config_node *n, bool *out);
/* The text belongs to the tree. */
int config_string(const struct config_tree *t, const struct config_node *n, const char **out);
/* `file:line: 'a.b[2].c': message`: for checks that only the caller can make. Returns BASE_INPUT. */
int config_fail(const struct config_tree *t, const struct config_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
