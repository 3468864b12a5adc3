/* options.c: option tables: parsing and --help. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"

static void print_option(const struct cmd_option *o)
{
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    printf("  %-26s %s\n", left, o->help);
}

static void print_help(const struct cmd *c, const struct cmd_usage *u, const struct cmd_option *common, int n_common)
{
    printf("usage: bitpress %s %s\n\n%s\n\noptions:\n", c->name, u->args, u->text);
    for (int i = 0; i < u->n_option; i++)
        print_option(&u->option[i]);
    for (int i = 0; i < n_common; i++)
        print_option(&common[i]);
}

/* ---- the same as a man page, and as a list for completion ------------------------------------------ */

/* A text in roff: '-' is a minus sign to be copied, '\' and a leading '.' are not commands. */
static void print_roff(const char *s)
{
    for (const char *p = s; *p; p++) {
        if ((*p == '.' || *p == '\'') && (p == s || p[-1] == '\n'))
            fputs("\\&", stdout);
        if (*p == '-' || *p == '\\')
            fputs(*p == '-' ? "\\-" : "\\e", stdout);
        else
            putchar(*p);
    }
}

static void print_man_options(const struct cmd_option *o, int n)
{
    for (int i = 0; i < n; i++) {
        printf(".TP\n.B \\-\\-");
        print_roff(o[i].name);
        if (o[i].arg) {
            printf(" \\fI");
            print_roff(o[i].arg);
            printf("\\fR");
        }
        putchar('\n');
        print_roff(o[i].help);
        putchar('\n');
    }
}

static void print_man(const struct cmd *c, const struct cmd_usage *u, const struct cmd_option *common, int n_common)
{
    printf(".TH BITPRESS-");
    for (const char *p = c->name; *p; p++)
        putchar(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    printf(" 1 \"\" \"bitpress %s\"\n.SH NAME\nbitpress\\-%s \\- %s\n.SH SYNOPSIS\n.B bitpress %s\n", BITPRESS_VERSION, c->name, cmd_summary(c->name), c->name);
    print_roff(u->args);
    printf("\n.SH DESCRIPTION\n");
    print_roff(u->text);
    printf("\n.SH OPTIONS\n");
    print_man_options(u->option, u->n_option);
    print_man_options(common, n_common);
    printf(".SH EXIT STATUS\n%s\n.SH SEE ALSO\n.BR bitpress (1)\n", CMD_EXIT_CODES);
}

/* "--name" of a flag, "--name=" of an option with a value, a line each. */
static void print_names(const struct cmd_option *o, int n)
{
    for (int i = 0; i < n; i++)
        printf("--%s%s\n", o[i].name, o[i].arg ? "=" : "");
}

static int set(const struct cmd *c, const struct cmd_option *o, const char *value)
{
    char *end;
    errno = 0;
    switch (o->kind) {
    case CMD_FLAG:
        *(bool *)o->to = true;
        return BASE_OK;
    case CMD_TEXT:
        *(const char **)o->to = value;
        return BASE_OK;
    case CMD_LIST: {
        struct cmd_list *l = o->to;
        if (l->n == CMD_MAX_LIST)
            return base_fail(BASE_INPUT, "%s: --%s is given more than %d times", c->name, o->name, CMD_MAX_LIST);
        l->v[l->n++] = value;
        return BASE_OK;
    }
    case CMD_INT:
        *(long *)o->to = strtol(value, &end, 10);
        break;
    case CMD_NUMBER:
        *(double *)o->to = strtod(value, &end);
        break;
    }
    if (end == value || *end || errno || (o->kind == CMD_NUMBER && !isfinite(*(double *)o->to)))
        return base_fail(BASE_INPUT, "%s: --%s needs a number, not '%s'", c->name, o->name, value);
    return BASE_OK;
}

static const struct cmd_option *find(const struct cmd_option *o, int n, const char *name, size_t len)
{
    for (int i = 0; i < n; i++)
        if (strlen(o[i].name) == len && !strncmp(o[i].name, name, len))
            return &o[i];
    return NULL;
}

static int parse_option(struct cmd *c, const struct cmd_usage *u, const struct cmd_option *common, int n_common, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct cmd_option *o = find(u->option, u->n_option, name, len);
    if (!o)
        o = find(common, n_common, name, len);
    if (!o)
        return base_hint(base_fail(BASE_INPUT, "%s: unknown option '--%.*s'", c->name, (int)len, name), "bitpress %s --help lists the options", c->name);
    if (o->kind == CMD_FLAG) {
        if (equals)
            return base_fail(BASE_INPUT, "%s: --%s takes no value", c->name, o->name);
        return set(c, o, NULL);
    }
    const char *value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    if (!value)
        return base_fail(BASE_INPUT, "%s: --%s needs a value (%s)", c->name, o->name, o->arg);
    return set(c, o, value);
}

int cmd_parse(struct cmd *c, const struct cmd_usage *u, int argc, char **argv)
{
    bool help = false;
    const struct cmd_option common[] = {
        { "json", CMD_FLAG, &c->json, NULL, "one JSON object on stdout, nothing else" },
        { "seed", CMD_INT, &c->seed, "N", "random seed" },
        { "threads", CMD_INT, &c->threads, "N", "worker threads (default: one per core)" },
        { "quiet", CMD_FLAG, &c->quiet, NULL, "no progress, no log" },
        { "help", CMD_FLAG, &help, NULL, "this text; --help=man: a man page, --help=options: a list of the options" },
    };
    c->name = argv[0];
    c->seed = LONG_MIN;             /* not given */
    bool options = true;
    for (int i = 1; i < argc; i++) {
        if (options && !strcmp(argv[i], "--help=man")) {
            print_man(c, u, common, BASE_COUNT(common));
            return 1;
        }
        if (options && !strcmp(argv[i], "--help=options")) {
            print_names(u->option, u->n_option);
            print_names(common, BASE_COUNT(common));
            return 1;
        }
        if (options && !strcmp(argv[i], "-h")) {
            help = true;
        } else if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && !strcmp(argv[i], "-o")) {
            argv[i] = (char *)"--out";
            i--;
        } else if (options && !strncmp(argv[i], "--", 2)) {
            int rc = parse_option(c, u, common, BASE_COUNT(common), argc, argv, &i);
            if (rc)
                return rc;
        } else if (c->n_arg == BASE_MIN(u->max_arg, BASE_COUNT(c->arg))) {
            return base_hint(base_fail(BASE_INPUT, "%s: '%s' is one argument too many", c->name, argv[i]), "usage: bitpress %s %s", c->name, u->args);
        } else {
            c->arg[c->n_arg++] = argv[i];
        }
    }
    if (help) {
        print_help(c, u, common, BASE_COUNT(common));
        return 1;
    }
    if (c->n_arg < u->min_arg)
        return base_hint(base_fail(BASE_INPUT, "%s: an argument is missing", c->name), "usage: bitpress %s %s", c->name, u->args);
    if (c->threads < 0 || c->threads > 1024)
        return base_fail(BASE_INPUT, "%s: --threads must be 0 (one per core) to 1024", c->name);
    if (c->seed < 0 && c->seed != LONG_MIN)
        return base_fail(BASE_INPUT, "%s: --seed must not be negative", c->name);
    if (c->seed < 0)
        c->seed = -1;
    base_log_level(c->quiet ? BASE_LOG_QUIET : BASE_LOG_INFO);
    return 0;
}

int cmd_fail(int rc)
{
    fprintf(stderr, "bitpress: %s\n", base_error());
    if (*base_error_hint())
        fprintf(stderr, "hint: %s\n", base_error_hint());
    return base_exit_code(rc);
}

int cmd_check_name(const char *what, const char *name, const char *list)
{
    size_t len = strlen(name);
    for (const char *p = list; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (len && strcspn(p, " ") == len && !strncmp(p, name, len))
            return BASE_OK;
    return base_fail(BASE_INPUT, "%s '%s' is unknown (there are: %s)", what, name, list);
}
