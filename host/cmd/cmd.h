/* cmd: the command line: one file a subcommand, a table in main.c, options declared as tables.
 * Results go to stdout (a table for people, one JSON object with --json), all else to stderr. */
#ifndef CMD_H
#define CMD_H

#include "base/base.h"

enum cmd_kind { CMD_TEXT, CMD_LIST, CMD_INT, CMD_NUMBER, CMD_FLAG };

/* An option that may be given more than once. */
enum { CMD_MAX_LIST = 16 };
struct cmd_list { const char *v[CMD_MAX_LIST]; int n; };

struct cmd_option {
    const char *name;      /* without the dashes */
    enum cmd_kind kind;
    void *to;              /* const char **, struct cmd_list *, long *, double * or bool * */
    const char *arg;       /* its name in --help; NULL for a flag */
    const char *help;
};

/* What every subcommand understands besides its own options. */
struct cmd {
    const char *name;
    bool json, quiet;
    long seed, threads;    /* seed -1: not given */
    int n_arg;
    const char *arg[8];    /* what is left: files and names */
};

struct cmd_usage {
    const char *args;      /* "MODEL --data SPEC" */
    const char *text;      /* what it does, a line or two */
    const struct cmd_option *option;
    int n_option;
    int min_arg, max_arg;
};

/* One line on what a subcommand does; "" if there is none of the name. */
const char *cmd_summary(const char *name);
#define CMD_EXIT_CODES "0 done, 1 target not met, 2 bad usage or input, 3 missing device or tool, 4 internal error, 130 stopped"
/* Below the version in `bitpress --version`: what this program was built with and finds. */
void cmd_version_details(void);

/* Parse argv behind the subcommand's name. 1 if --help was printed (exit 0), 0, or BASE_INPUT. */
int cmd_parse(struct cmd *c, const struct cmd_usage *u, int argc, char **argv);

/* BASE_INPUT unless `name` is one of the space-separated `list`: bad names are found before hours of work. */
int cmd_check_name(const char *what, const char *name, const char *list);

/* Exit code by a base_code, message printed. */
int cmd_fail(int rc);

typedef int cmd_fn(int argc, char **argv);
cmd_fn cmd_train, cmd_eval, cmd_check, cmd_sweep, cmd_apply, cmd_compress, cmd_score, cmd_study, cmd_pack, cmd_report, cmd_board, cmd_doctor, cmd_run, cmd_serve, cmd_xrt_env;

#endif
