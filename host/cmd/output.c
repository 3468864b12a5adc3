#include "cmd/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int unknown_action(const struct cmd *c, const struct cmd_action *action, int n)
{
    struct base_text t = { 0 };
    for (int i = 0; i < n; i++)
        base_text_add(&t, "%s%s", i ? ", " : "", action[i].name);
    int rc = base_fail(BASE_INPUT, "%s: '%.60s' is not one of %s", c->name, c->arg[0], t.failed ? "its actions" : t.s);
    base_text_free(&t);
    return base_hint(rc, "bitpress %s --help", c->name);
}

static int act(const struct cmd *c, const struct cmd_action *action, int n, const void *options)
{
    for (int i = 0; i < n; i++) {
        const struct cmd_action *a = &action[i];
        if (strcmp(c->arg[0], a->name))
            continue;
        if (c->n_arg - 1 >= a->min_arg && c->n_arg - 1 <= a->max_arg)
            return a->run(c, options);
        int rc = base_fail(BASE_INPUT, "%s %s: %s", c->name, a->name,
                           c->n_arg - 1 < a->min_arg ? "an argument is missing" : "there are too many arguments");
        return base_hint(rc, "usage: bitpress %s %s%s%s", c->name, a->name, *a->args ? " " : "", a->args);
    }
    return unknown_action(c, action, n);
}

int cmd_act(const struct cmd_usage *u, const struct cmd_action *action, int n, const void *options, int argc, char **argv)
{
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    rc = act(&c, action, n, options);
    return rc ? cmd_fail(rc) : 0;
}

json_t *cmd_json_text(const char *s)
{
    if (!s)
        return json_null();
    json_t *j = json_string(s);
    char *copy = j ? NULL : base_strdup(s);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c > 127)
            *c = '?';
    if (copy)
        j = json_string(copy);
    base_free(copy);
    return j;
}

int cmd_print_json(json_t *j)
{
    char *s = j ? json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(j);
    if (!s)
        return base_fail(BASE_NOMEM, "out of memory for the JSON object");
    puts(s);
    free(s);
    return cmd_end_output();
}

static char shown(char c)
{
    return (unsigned char)c < 32 || c == 127 ? '?' : c;
}

const char *cmd_clean(char buf[256], const char *s)
{
    size_t n = 0;
    for (; s && s[n] && n < 255; n++)
        buf[n] = shown(s[n]);
    buf[n] = '\0';
    return buf;
}

void cmd_print_text(const char *s)
{
    char last = '\n';
    for (; *s; last = *s++)
        putchar(*s == '\n' || *s == '\t' ? *s : shown(*s));
    if (last != '\n')
        putchar('\n');
}

int cmd_end_output(void)
{
    errno = 0;
    if (fflush(stdout) || ferror(stdout))
        return base_fail(BASE_IO, "standard output: cannot write: %s", errno ? strerror(errno) : "an earlier write failed");
    return BASE_OK;
}
