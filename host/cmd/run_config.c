/* run_config.c: one table of keys; reading, defaults and printing all follow it. */
#include "cmd/run_config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

enum kind { TEXT, TEXTS, PATH, CHOICE, CHOICES, INT, INTS, NUMBER, NUMBERS, BOOL }; /* PATH: ${NAME} in it stands for the environment */

struct key {
    const char *section, *name;   /* section NULL: top level */
    enum kind kind;
    size_t at;
    double lo, hi;
    const char *otherwise;        /* default as text; NULL: must be given; of a CHOICE all values, the default first; of CHOICES all values, the default none */
};

#define AT(member) offsetof(struct run_config, member)
static const struct key keys[] = {
    { NULL, "model", TEXT, AT(model), 0, 0, NULL },
    { NULL, "data", PATH, AT(data), 0, 0, NULL },
    { NULL, "held_out", INT, AT(held_out), 100, 1e6, "5000" },
    { NULL, "seed", INT, AT(seed), 0, 2147483647, "1" },
    { NULL, "out", TEXT, AT(out), 0, 0, "run" },
    { NULL, "board", TEXT, AT(board), 0, 0, "pynq-z2" },
    { NULL, "hardware", CHOICE, AT(hardware), 0, 0, "board|search" },
    { NULL, "verify", INT, AT(verify), 1, 10000, "20" },
    { "train", "epochs", INT, AT(train.epochs), 1, 10000, "5" },
    { "train", "batch", INT, AT(train.batch), 1, 4096, "128" },
    { "train", "warmup", INT, AT(train.warmup), 0, 1e6, "100" },
    { "train", "lr", NUMBER, AT(train.lr), 0, 100, "0.1" },
    { "train", "weight_decay", NUMBER, AT(train.weight_decay), 0, 1, "0.0005" },
    { "train", "momentum", NUMBER, AT(train.momentum), 0, 0.9999, "0.9" },
    { "train", "label_smoothing", NUMBER, AT(train.label_smoothing), 0, 0.9, "0" },
    { "train", "optimizer", CHOICE, AT(train.optimizer), 0, 0, "sgd|adam" },
    { "train", "schedule", CHOICE, AT(train.schedule), 0, 0, "cosine|step" },
    { "train", "steps", INTS, AT(train.steps), 1, 10000, "" },
    { "train", "gamma", NUMBER, AT(train.gamma), 1e-6, 1, "0.1" },
    { "train", "loss", CHOICE, AT(train.loss), 0, 0, "cross_entropy|mse" },
    { "train", "pad", INT, AT(train.pad), 0, 64, "2" },
    { "train", "flip", BOOL, AT(train.flip), 0, 0, "false" },
    { "target", "objective", CHOICE, AT(target.objective), 0, 0, "best|pareto" },
    { "target", "cycles", INT, AT(target.cycles), 1, 2147483647, "0" },
    { "target", "latency_ms", NUMBER, AT(target.latency_ms), 1e-6, 1e6, "0" },
    { "target", "max_loss", NUMBER, AT(target.max_loss), 0, 100, "100" },
    { "search", "agent", TEXT, AT(search.agent), 0, 0, "gp" },
    { "search", "start", CHOICE, AT(search.start), 0, 0, "sensitivities|uniform" },
    { "search", "tied", CHOICE, AT(search.tied), 0, 0, "none|stage|network" },
    { "search", "backend", TEXT, AT(search.backend), 0, 0, "verilator" },
    { "search", "parallel", INT, AT(search.parallel), 0, 1024, "0" },
    { "search", "trials", INT, AT(search.trials), 1, 1e6, "48" },
    { "search", "w_min", INT, AT(search.w_min), 1, 8, "2" },
    { "search", "w_max", INT, AT(search.w_max), 1, 8, "8" },
    { "search", "a_min", INT, AT(search.a_min), 1, 8, "2" },
    { "search", "a_max", INT, AT(search.a_max), 1, 8, "8" },
    { "search", "validation", INT, AT(search.validation), 100, 1e6, "2000" },
    { "search", "batchnorm", INT, AT(search.batchnorm), 128, 1e6, "1024" },
    { "search", "keep", NUMBERS, AT(search.keep), 0, 1, "" },
    { "search", "prune", CHOICE, AT(search.prune), 0, 0, "magnitude-l1|magnitude-l2|bn-scale|lasso|dcp" },
    { "search", "round", INT, AT(search.round), 0, 4096, "0" },
    { "search", "sparsity", NUMBERS, AT(search.sparsity), 0.01, 0.99, "" },
    { "search", "structure", CHOICE, AT(search.structure), 0, 0, "block|unstructured" },
    { "search", "levels", CHOICES, AT(search.levels), 0, 0, "pot|basis|codebook" },
    { "remote", "commands", TEXTS, AT(remote.commands), 0, 0, "" },
    { "remote", "deadline_s", NUMBER, AT(remote.deadline_s), 0.1, 86400, "120" },
    { "distributed", "gradients", CHOICE, AT(distributed.gradients), 0, 0, "exact|qsgd|ecq" },
    { "distributed", "bits", CHOICE, AT(distributed.bits), 0, 0, "4|2|8" },
    { "distributed", "bucket", INT, AT(distributed.bucket), 1, 1e6, "512" },
    { "distributed", "feedback", NUMBER, AT(distributed.feedback), 0, 1, "0.25" },
    { "distributed", "decay", NUMBER, AT(distributed.decay), 0, 1, "1" },
    { "distributed", "batchnorm", CHOICE, AT(distributed.batchnorm), 0, 0, "synchronized|local" },
    { "finetune", "epochs", INT, AT(finetune.epochs), 0, 10000, "1" },
    { "finetune", "full", INT, AT(finetune.full), 0, 10000, "0" },
    { "finetune", "top", INT, AT(finetune.top), 1, 16, "2" },
    { "finetune", "lr", NUMBER, AT(finetune.lr), 0, 100, "0.02" },
    { "finetune", "distill", NUMBER, AT(finetune.distill), 0, 1, "0.5" },
    { "finetune", "temperature", NUMBER, AT(finetune.temperature), 0.01, 1000, "4" },
};

static const struct config_node *section_of(const struct config_tree *t, const struct key *k)
{
    return k->section ? config_get(t->root, k->section) : t->root;
}

/* `s` with every ${NAME} replaced by the environment's value. */
static int expand(struct base_text *out, const struct config_tree *t, const struct config_node *n, const char *s)
{
    for (const char *open, *close; (open = strstr(s, "${")); s = close + 1) {
        if (!(close = strchr(open, '}')))
            return config_fail(t, n, "'${' without '}'");
        base_text_add_bytes(out, s, (size_t)(open - s));
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(close - open - 2), open + 2);
        const char *value = getenv(name);
        if (!value || !*value)
            return base_hint(config_fail(t, n, "the environment has no %s", name), "export %s=DIR", name);
        base_text_add(out, "%s", value);
    }
    base_text_add(out, "%s", s);
    return BASE_OK;
}

static int read_path(struct run_config *c, const struct config_tree *t, const struct config_node *n, const char **to)
{
    struct base_text text = { 0 };
    const char *s;
    int rc = config_string(t, n, &s);
    if (!rc)
        rc = expand(&text, t, n, s);
    if (!rc)
        rc = !text.failed && (*to = base_arena_strdup(c->arena, text.s)) ? BASE_OK : BASE_NOMEM;
    base_text_free(&text);
    return rc;
}

static int read_text(struct run_config *c, const struct config_tree *t, const struct config_node *n, const char **to)
{
    const char *s;
    int rc = config_string(t, n, &s);
    if (rc)
        return rc;
    *to = base_arena_strdup(c->arena, s);
    return *to ? BASE_OK : BASE_NOMEM;
}

static int read_choice(const struct config_tree *t, const struct config_node *n, const struct key *k, struct run_config *c, const char **to)
{
    int rc = read_text(c, t, n, to);
    size_t len = rc ? 0 : strlen(*to);
    for (const char *p = k->otherwise; !rc && p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (len == strcspn(p, "|") && !strncmp(p, *to, len))
            return BASE_OK;
    return rc ? rc : config_fail(t, n, "'%s' is none of %s", *to, k->otherwise);
}

/* Each once. */
static int read_choices(const struct config_tree *t, const struct config_node *n, const struct key *k, struct run_config *c, struct run_texts *to)
{
    if (n->kind != CONFIG_LIST)
        return config_fail(t, n, "expected a list of some of %s", k->otherwise);
    int rc = BASE_OK;
    for (const struct config_node *v = n->child; !rc && v; v = v->next) {
        const char *name;
        rc = read_choice(t, v, k, c, &name);
        for (int i = 0; !rc && i < to->n; i++)
            if (!strcmp(to->v[i], name))
                rc = config_fail(t, v, "'%s' is there twice", name);
        if (!rc)
            to->v[to->n++] = name;
    }
    return rc;
}

static int read_ints(const struct config_tree *t, const struct config_node *n, const struct key *k, struct run_list *to)
{
    if (n->kind != CONFIG_LIST)
        return config_fail(t, n, "expected a list: [%g, ...]", k->lo);
    if (n->count > RUN_MAX_LIST)
        return config_fail(t, n, "%d values, %d at most", n->count, RUN_MAX_LIST);
    int rc = BASE_OK;
    for (const struct config_node *v = n->child; !rc && v; v = v->next) {
        rc = config_int(t, v, (long)k->lo, (long)k->hi, &to->v[to->n++]);
        if (!rc && to->n > 1 && to->v[to->n - 1] <= to->v[to->n - 2])
            rc = config_fail(t, v, "%ld does not follow %ld; the list must ascend", to->v[to->n - 1], to->v[to->n - 2]);
    }
    return rc;
}

/* In double quotes, as YAML reads back. */
static void add_quoted(struct base_text *t, const char *s)
{
    base_text_add(t, "\"");
    for (; *s; s++)
        base_text_add(t, "%s%c", *s == '"' || *s == '\\' ? "\\" : "", *s);
    base_text_add(t, "\"");
}

static int read_texts(struct run_config *c, const struct config_tree *t, const struct config_node *n, struct run_texts *to)
{
    if (n->kind != CONFIG_LIST)
        return config_fail(t, n, "expected a list: [\"...\", ...]");
    if (n->count > RUN_MAX_LIST)
        return config_fail(t, n, "%d values, %d at most", n->count, RUN_MAX_LIST);
    int rc = BASE_OK;
    for (const struct config_node *v = n->child; !rc && v; v = v->next)
        rc = read_text(c, t, v, &to->v[to->n++]);
    return rc;
}

static int read_numbers(const struct config_tree *t, const struct config_node *n, const struct key *k, struct run_numbers *to)
{
    if (n->kind != CONFIG_LIST)
        return config_fail(t, n, "expected a list: [0.5, 1.0]");
    if (n->count > RUN_MAX_LIST)
        return config_fail(t, n, "%d values, %d at most", n->count, RUN_MAX_LIST);
    int rc = BASE_OK;
    for (const struct config_node *v = n->child; !rc && v; v = v->next) {
        double *x = &to->v[to->n++];
        rc = config_number(t, v, k->lo, k->hi, x);
        if (!rc && to->n > 1 && *x <= x[-1])
            rc = config_fail(t, v, "%g does not follow %g; the list must ascend", *x, x[-1]);
    }
    return rc;
}

static int read_key(struct run_config *c, const struct config_tree *t, const struct config_node *n, const struct key *k)
{
    void *to = (char *)c + k->at;
    switch (k->kind) {
    case TEXT: return read_text(c, t, n, to);
    case TEXTS: return read_texts(c, t, n, to);
    case PATH: return read_path(c, t, n, to);
    case CHOICE: return read_choice(t, n, k, c, to);
    case CHOICES: return read_choices(t, n, k, c, to);
    case INTS: return read_ints(t, n, k, to);
    case INT: return config_int(t, n, (long)k->lo, (long)k->hi, to);
    case NUMBER: return config_number(t, n, k->lo, k->hi, to);
    case NUMBERS: return read_numbers(t, n, k, to);
    case BOOL: return config_bool(t, n, to);
    }
    return BASE_INTERNAL;
}

static int set_default(struct run_config *c, const struct config_tree *t, const struct key *k)
{
    void *to = (char *)c + k->at;
    if (!k->otherwise)
        return base_hint(base_fail(BASE_INPUT, "%s: key '%s' is missing", t->name, k->name), "%s: %s", k->name, !strcmp(k->name, "data") ? "idx:DIR, cifar10:DIR, images:DIR or npy:X,Y" : "a built-in network or a file.onnx");
    switch (k->kind) {
    case TEXT:
    case PATH: *(const char **)to = k->otherwise; break;
    case CHOICE: {
        char first[32];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(k->otherwise, "|"), k->otherwise);
        return (*(const char **)to = base_arena_strdup(c->arena, first)) ? BASE_OK : BASE_NOMEM;
    }
    case TEXTS:
    case CHOICES:
    case INTS:
    case NUMBERS: break;             /* empty */
    case INT: *(long *)to = strtol(k->otherwise, NULL, 10); break;
    case NUMBER: *(double *)to = strtod(k->otherwise, NULL); break;
    case BOOL: *(bool *)to = !strcmp(k->otherwise, "true"); break;
    }
    return BASE_OK;
}

/* Keys that the table does not know are refused, section by section. */
static int check_unknown(const struct config_tree *t)
{
    const char *top[BASE_COUNT(keys) + 2] = { "input" };
    int n = 1;
    for (int i = 0; i < BASE_COUNT(keys); i++) {
        const char *name = keys[i].section ? keys[i].section : keys[i].name;
        if (!n || strcmp(top[n - 1], name))
            top[n++] = name;
    }
    top[n] = NULL;
    int rc = config_check_keys(t, t->root, top);
    for (int i = 0; !rc && i < BASE_COUNT(keys); i++) {
        if (!keys[i].section || (i && keys[i - 1].section && !strcmp(keys[i - 1].section, keys[i].section)) || !config_get(t->root, keys[i].section))
            continue;
        const char *allowed[BASE_COUNT(keys) + 1];
        int m = 0;
        for (int j = i; j < BASE_COUNT(keys) && !strcmp(keys[j].section, keys[i].section); j++)
            allowed[m++] = keys[j].name;
        allowed[m] = NULL;
        rc = config_check_keys(t, config_get(t->root, keys[i].section), allowed);
    }
    return rc;
}

/* The section `input`, whose values only the model's reader can check, as text. */
static int read_input(struct run_config *c, const struct config_tree *t)
{
    static const char *const allowed[] = { "scale", "mean", "std", NULL };
    const struct config_node *input = config_get(t->root, "input");
    struct base_text text = { 0 };
    int rc = input ? config_check_keys(t, input, allowed) : BASE_OK;
    if (!input || rc)
        return rc;
    base_text_add(&text, "input:\n");
    for (const struct config_node *n = input->child; n; n = n->next) {
        base_text_add(&text, "  %s: %s", n->key, n->kind == CONFIG_LIST ? "[" : "");
        for (const struct config_node *k = n->kind == CONFIG_LIST ? n->child : n; k; k = n->kind == CONFIG_LIST ? k->next : NULL)
            base_text_add(&text, "%s%s", k->value ? k->value : "", n->kind == CONFIG_LIST && k->next ? ", " : "");
        base_text_add(&text, "%s\n", n->kind == CONFIG_LIST ? "]" : "");
    }
    c->input = text.failed ? NULL : base_arena_strdup(c->arena, text.s);
    base_text_free(&text);
    return c->input ? BASE_OK : BASE_NOMEM;
}

static int check_relations(const struct run_config *c)
{
    bool remote = !strcmp(c->search.backend, "remote");
    if (remote != (c->remote.commands.n > 0))
        return base_hint(base_fail(BASE_INPUT, "%s: search: 'backend: remote' and 'remote: {commands: [...]}' go together", c->path), "remote: {commands: [\"ssh BOARD bitpress serve --stdio\"]}");
    if (c->target.cycles && c->target.latency_ms > 0)
        return base_fail(BASE_INPUT, "%s: target: give 'cycles' or 'latency_ms', not both", c->path);
    if (c->search.w_min > c->search.w_max || c->search.a_min > c->search.a_max)
        return base_fail(BASE_INPUT, "%s: search: w_min and a_min must not exceed w_max and a_max", c->path);
    if (c->train.steps.n && strcmp(c->train.schedule, "step") != 0)
        return base_fail(BASE_INPUT, "%s: train: 'steps' needs 'schedule: step'", c->path);
    if (!c->train.steps.n && !strcmp(c->train.schedule, "step"))
        return base_fail(BASE_INPUT, "%s: train: 'schedule: step' needs 'steps: [EPOCH, ...]', where the rate drops by gamma", c->path);
    return BASE_OK;
}

static int from_tree(struct run_config *c, const struct config_tree *t, const char *path)
{
    c->arena = base_arena_new();
    c->path = c->arena ? base_arena_strdup(c->arena, path) : NULL;
    int rc = c->path ? check_unknown(t) : BASE_NOMEM;
    for (int i = 0; !rc && i < BASE_COUNT(keys); i++) {
        const struct config_node *n = config_get(section_of(t, &keys[i]), keys[i].name);
        rc = n ? read_key(c, t, n, &keys[i]) : set_default(c, t, &keys[i]);
    }
    if (!rc)
        rc = read_input(c, t);
    if (!rc)
        rc = check_relations(c);
    if (rc)
        run_config_free(c);
    return rc;
}

int run_config_load(struct run_config *c, const char *path)
{
    struct config_tree t;
    memset(c, 0, sizeof *c);
    int rc = config_tree_read(&t, path);
    if (rc)
        return rc;
    rc = from_tree(c, &t, path);
    config_tree_free(&t);
    return rc;
}

int run_config_of(struct run_config *c, const char *model, const char *data, const char *distributed)
{
    struct config_tree t;
    struct base_text text = { 0 };
    memset(c, 0, sizeof *c);
    base_text_add(&text, "model: ");
    add_quoted(&text, model);
    base_text_add(&text, "\ndata: ");
    add_quoted(&text, data);
    base_text_add(&text, "\ndistributed: {%s}\n", distributed ? distributed : "");
    int rc = text.failed ? BASE_NOMEM : config_tree_parse(&t, "the command line", text.s, text.len);
    base_text_free(&text);
    if (rc)
        return rc;
    rc = from_tree(c, &t, "the command line");
    config_tree_free(&t);
    if (!rc)
        c->held_out = 0;
    return rc;
}

void run_config_free(struct run_config *c)
{
    base_arena_free(c->arena);
    memset(c, 0, sizeof *c);
}

/* What only says how much is done, or what follows the trials. */
static bool affects_trials(const struct key *k)
{
    if (k->section)
        return strcmp(k->section, "finetune") != 0 && strcmp(k->section, "remote") != 0 && strcmp(k->name, "trials") != 0;
    return strcmp(k->name, "out") != 0 && strcmp(k->name, "verify") != 0;
}

static void add_list(struct base_text *t, const struct run_list *l)
{
    base_text_add(t, "[");
    for (int i = 0; i < l->n; i++)
        base_text_add(t, "%s%ld", i ? ", " : "", l->v[i]);
    base_text_add(t, "]");
}

static void add_texts(struct base_text *t, const struct run_texts *l)
{
    base_text_add(t, "[");
    for (int i = 0; i < l->n; i++) {
        base_text_add(t, "%s", i ? ", " : "");
        add_quoted(t, l->v[i]);
    }
    base_text_add(t, "]");
}

static void add_choices(struct base_text *t, const struct run_texts *l)
{
    base_text_add(t, "[");
    for (int i = 0; i < l->n; i++)
        base_text_add(t, "%s%s", i ? ", " : "", l->v[i]);
    base_text_add(t, "]");
}

static void add_numbers(struct base_text *t, const struct run_numbers *l)
{
    base_text_add(t, "[");
    for (int i = 0; i < l->n; i++)
        base_text_add(t, "%s%g", i ? ", " : "", l->v[i]);
    base_text_add(t, "]");
}

static void add_value(struct base_text *t, const struct run_config *c, const struct key *k)
{
    const void *from = (const char *)c + k->at;
    switch (k->kind) {
    case TEXT:
    case PATH:
    case CHOICE: base_text_add(t, "%s", *(const char *const *)from); break;
    case TEXTS: add_texts(t, from); break;
    case CHOICES: add_choices(t, from); break;
    case INTS: add_list(t, from); break;
    case INT: base_text_add(t, "%ld", *(const long *)from); break;
    case NUMBER: base_text_add(t, "%g", *(const double *)from); break;
    case NUMBERS: add_numbers(t, from); break;
    case BOOL: base_text_add(t, "%s", *(const bool *)from ? "true" : "false"); break;
    }
}

bool run_config_item(const struct run_config *c, int i, struct base_text *key, struct base_text *value, bool *shapes_trials)
{
    if (i >= BASE_COUNT(keys))
        return false;
    base_text_add(key, "%s%s%s", keys[i].section ? keys[i].section : "", keys[i].section ? "." : "", keys[i].name);
    add_value(value, c, &keys[i]);
    *shapes_trials = affects_trials(&keys[i]);
    return true;
}

char *run_config_text(const struct run_config *c)
{
    struct base_text t = { 0 };
    const char *section = NULL;
    for (int i = 0; i < BASE_COUNT(keys); i++) {
        const struct key *k = &keys[i];
        if (k->section && (!section || strcmp(section, k->section)))
            base_text_add(&t, "%s:\n", section = k->section);
        base_text_add(&t, "%s%s: ", k->section ? "  " : "", k->name);
        add_value(&t, c, k);
        base_text_add(&t, "\n");
    }
    if (c->input)
        base_text_add(&t, "%s", c->input);
    if (t.failed) {
        base_text_free(&t);
        base_fail(BASE_NOMEM, "out of memory");
        return NULL;
    }
    return t.s;
}
