/* config: what is loaded, and what each kind of bad file is told. */
#define _GNU_SOURCE
#include "unit.h"

#include "config/config.h"

enum color { RED, GREEN };
struct item { char *name; int bits; };
struct sample {
    int count;
    unsigned size;
    int8_t small;
    float rate;
    bool on;
    enum color color;
    char tag[8];
    char *note;
    struct item *items;
    unsigned items_count;
    struct item sub;
};

static const cyaml_strval_t colors[] = {{"red", RED}, {"green", GREEN}};
static const cyaml_schema_field_t item_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct item, name, 1, CYAML_UNLIMITED),
    CYAML_FIELD_INT("bits", CYAML_FLAG_OPTIONAL, struct item, bits),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t item_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct item, item_fields)};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_INT("count", CYAML_FLAG_DEFAULT, struct sample, count),
    CYAML_FIELD_UINT("size", CYAML_FLAG_OPTIONAL, struct sample, size),
    CYAML_FIELD_INT("small", CYAML_FLAG_OPTIONAL, struct sample, small),
    CYAML_FIELD_FLOAT("rate", CYAML_FLAG_OPTIONAL, struct sample, rate),
    CYAML_FIELD_BOOL("on", CYAML_FLAG_OPTIONAL, struct sample, on),
    CYAML_FIELD_ENUM("color", CYAML_FLAG_OPTIONAL, struct sample, color, colors, 2),
    CYAML_FIELD_STRING("tag", CYAML_FLAG_OPTIONAL, struct sample, tag, 0),
    CYAML_FIELD_STRING_PTR("note", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct sample, note, 0, 100),
    CYAML_FIELD_SEQUENCE("items", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct sample, items, &item_value, 0, 3),
    CYAML_FIELD_MAPPING("sub", CYAML_FLAG_OPTIONAL, struct sample, sub, item_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sample, fields)};

static int load(struct sample **out, const char *text)
{
    void *p = NULL;
    int rc = config_load_text(&p, "t.yaml", text, strlen(text), &schema);
    *out = p;
    return rc;
}

static void refuse(const char *text, const char *part)
{
    struct sample *s;
    assert_error(load(&s, text), BASE_INPUT, part);
    assert_null(s);
    assert_null(strchr(base_error(), '\n'));
}

static const char *const good = "# a comment\n"
                                "count: -3\n"
                                "size: 0x10\n"
                                "small: -128\n"
                                "rate: 1e-3\n"
                                "on: true\n"
                                "color: green\n"
                                "tag: '0123456'\n"
                                "note: some text\n"
                                "items:\n"
                                "  - name: a\n"
                                "    bits: 4\n"
                                "  - {name: b}\n"
                                "sub: {name: c, bits: 8}\n";

static void good_file(void **state)
{
    (void)state;
    struct sample *s;
    assert_ok(load(&s, good));
    assert_int_equal(s->count, -3);
    assert_int_equal(s->size, 16);
    assert_int_equal(s->small, -128);
    assert_true(s->rate == 1e-3f);
    assert_true(s->on);
    assert_int_equal(s->color, GREEN);
    assert_string_equal(s->tag, "0123456");
    assert_string_equal(s->note, "some text");
    assert_int_equal(s->items_count, 2);
    assert_string_equal(s->items[1].name, "b");
    assert_int_equal(s->items[0].bits, 4);
    assert_int_equal(s->sub.bits, 8);
    config_free(s, &schema);
    config_free(NULL, &schema);
}

static void optional_is_zero(void **state)
{
    (void)state;
    struct sample *s;
    assert_ok(load(&s, "count: 1"));
    assert_int_equal(s->size, 0);
    assert_null(s->items);
    assert_null(s->note);
    config_free(s, &schema);
}

static void bad_keys(void **state)
{
    (void)state;
    refuse("count: 1\nbogus: 2\n", "t.yaml:2: 'bogus': unknown key");
    assert_non_null(strstr(base_error_hint(), "count, size, small"));
    refuse("count: 1\nitems:\n  - name: a\n  - name: b\n    bit: 3\n", "t.yaml:5: 'items[1].bit': unknown key");
    assert_string_equal(base_error_hint(), "allowed keys: name, bits");
    refuse("size: 1\n", "t.yaml:1: key 'count' is missing");
    refuse("count: 1\nsub:\n  bits: 2\n", "t.yaml:2: 'sub': key 'name' is missing");
    refuse("count: 1\ncount: 2\n", "t.yaml:2: key 'count' is given twice");
    refuse("count: 1\n[a]: 2\n", "t.yaml:2: a key must be plain text");
}

static void wrong_types(void **state)
{
    (void)state;
    refuse("count: hello", "t.yaml:1: 'count': a whole number is expected, not 'hello'");
    refuse("count: 8x", "'count': a whole number is expected");
    refuse("count: 1.5", "'count': a whole number is expected");
    refuse("count: '8'", "'count': a whole number is expected");
    refuse("count:", "'count': a whole number is expected");
    refuse("count: [1]", "'count': a whole number is expected, not a list");
    refuse("count: {a: 1}", "'count': a whole number is expected, not a map");
    refuse("count: 99999999999", "'count': 99999999999 is too large");
    refuse("count: 99999999999999999999999", "is too large");
    refuse("count: 1\nsmall: 128", "t.yaml:2: 'small': 128 is too large");
    refuse("count: 1\nsize: -1", "'size': a whole number from 0 on");
    refuse("count: 1\nrate: fast", "'rate': a number is expected");
    refuse("count: 1\nrate: .nan", "'rate': a number is expected");
    refuse("count: 1\nrate: nan", "'rate': a number is expected");
    refuse("count: 1\non: yes", "'on': true or false is expected");
    refuse("count: 1\ncolor: blue", "'color': 'blue' is not one of: red, green");
    refuse("count: 1\ntag: '01234567'", "'tag': longer than 7");
    refuse("count: 1\nsub: 3", "'sub': `key: value` lines");
    refuse("count: 1\nitems: 3", "'items': a list is expected");
    refuse("count: 1\nitems: [{name: a}, {name: b}, {name: c}, {name: d}]", "4 entries; 0 to 3");
    refuse("count: 1\nitems: [{name: ''}]", "'items[0].name': shorter");
    refuse("- 1", "t.yaml:1: `key: value`");
    refuse("hello", "t.yaml:1: `key: value`");
}

static void not_yaml(void **state)
{
    (void)state;
    refuse("", "t.yaml: empty");
    refuse("# only this\n", "t.yaml: empty");
    refuse("count: [1", "a flow sequence that begins in line 1: did not find");
    refuse("a: b: c", "t.yaml:1");
    refuse("count: 1\n\tsize: 2\n", "t.yaml:2");
    refuse("count: 1\n---\ncount: 2\n", "t.yaml:2: a second document");
    refuse("count: \"a\\0b\"", "a zero byte");
    refuse("count: \xff\xfe", "t.yaml: byte 7");
}

static void aliases_are_refused(void **state)
{
    (void)state;
    refuse("count: &x 1", "t.yaml:1: anchors and aliases");
    refuse("a: &a [x, x]\nb: &b [*a, *a]\n", "t.yaml:1: anchors and aliases");
    refuse("count: *x", "anchors and aliases");
    char deep[4096];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    refuse(deep, "t.yaml:1: nested too deeply");
}

static void files(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    char path[256];
    void *p;
    snprintf(path, sizeof path, "%s/c.yaml", dir);
    assert_error(config_load(&p, path, &schema), BASE_INPUT, "c.yaml: No such file");
    assert_null(p);
    assert_ok(base_file_write(path, good, strlen(good)));
    assert_ok(config_load(&p, path, &schema));
    config_free(p, &schema);
    size_t big = CONFIG_MAX_BYTES + 1;
    char *text = base_alloc(big);
    memset(text, '#', big);
    assert_ok(base_file_write(path, text, big));
    assert_error(config_load(&p, path, &schema), BASE_INPUT, "c.yaml: larger than");
    assert_error(config_load_text(&p, "t", text, big, &schema), BASE_INPUT, "t: larger than");
    base_free(text);
    unit_remove(dir);
}

/* Every prefix and many single-byte changes: an error or a value, never a crash. */
static void damaged_text(void **state)
{
    (void)state;
    char text[512];
    size_t len = strlen(good);
    for (size_t i = 0; i < len; i++) {
        void *p = NULL;
        if (config_load_text(&p, "t", good, i, &schema) == BASE_OK)
            config_free(p, &schema);
        static const char bytes[] = {'\0', '{', ']', ':', '\n', '\xff', '*', '"'};
        for (int k = 0; k < BASE_COUNT(bytes); k++) {
            memcpy(text, good, len + 1);
            text[i] = bytes[k];
            if (config_load_text(&p, "t", text, len, &schema) == BASE_OK)
                config_free(p, &schema);
        }
    }
}

static void survives_nomem(void **state)
{
    (void)state;
    struct sample *s;
    assert_survives_nomem(load(&s, good), config_free(s, &schema));
}

static void tree(void **state)
{
    (void)state;
    static const char text[] = "default: {w_bits: 4}\n"
                               "layers:\n"
                               "  conv1: {w_bits: 3, keep: 16}\n"
                               "  'odd name': {w_bits: 2}\n"
                               "on: true\n"
                               "list: [1, 2.5, x]\n";
    struct config_tree t;
    assert_ok(config_tree_parse(&t, "r.yaml", text, strlen(text)));
    const struct config_node *layers = config_get(t.root, "layers");
    assert_int_equal(layers->count, 2);
    assert_string_equal(layers->child->next->key, "odd name");
    assert_int_equal(layers->child->next->line, 4);
    const struct config_node *bits = config_get(layers->child, "w_bits");
    long v;
    double d;
    bool on;
    const char *word;
    assert_ok(config_int(&t, bits, 1, 8, &v));
    assert_int_equal(v, 3);
    assert_error(config_int(&t, bits, 4, 8, &v), BASE_INPUT, "r.yaml:3: 'layers.conv1.w_bits': 3 is outside 4..8");
    assert_ok(config_bool(&t, config_get(t.root, "on"), &on));
    assert_true(on);
    const struct config_node *list = config_get(t.root, "list");
    assert_ok(config_number(&t, list->child->next, 0, 3, &d));
    assert_true(d == 2.5);
    assert_error(config_number(&t, list->child->next, 0, 1, &d), BASE_INPUT, "'list[1]': 2.5 is outside 0..1");
    assert_error(config_int(&t, list->child->next, 0, 3, &v), BASE_INPUT, "a whole number is expected, not '2.5'");
    assert_error(config_number(&t, list->child->next->next, 0, 1, &d), BASE_INPUT, "a number is expected, not 'x'");
    assert_error(config_number(&t, list, 0, 1, &d), BASE_INPUT, "'list': a number is expected");
    assert_error(config_bool(&t, list, &on), BASE_INPUT, "true or false");
    assert_ok(config_string(&t, list->child->next->next, &word));
    assert_string_equal(word, "x");
    static const char *const allowed[] = {"w_bits", NULL}, *const top[] = {"default", "layers", "on", "list", NULL};
    assert_ok(config_check_keys(&t, t.root, top));
    assert_error(config_check_keys(&t, layers->child, allowed), BASE_INPUT, "r.yaml:3: 'layers.conv1.keep': unknown");
    assert_error(config_check_keys(&t, list, allowed), BASE_INPUT, "'list': `key: value`");
    assert_null(config_get(list, "a"));
    assert_null(config_get(NULL, "a"));
    config_tree_free(&t);
    config_tree_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file),   cmocka_unit_test(optional_is_zero),
        cmocka_unit_test(bad_keys),    cmocka_unit_test(wrong_types),
        cmocka_unit_test(not_yaml),    cmocka_unit_test(aliases_are_refused),
        cmocka_unit_test(files),       cmocka_unit_test(damaged_text),
        cmocka_unit_test(survives_nomem), cmocka_unit_test(tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
