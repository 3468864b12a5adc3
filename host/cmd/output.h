/* output: what subcommands with actions (`pack info`, `study best`, ...) share: choosing the action, and
 * printing texts that came out of files. */
#ifndef CMD_OUTPUT_H
#define CMD_OUTPUT_H

#include <jansson.h>

#include "cmd/cmd.h"

struct cmd_action {
    const char *name;
    const char *args;          /* behind the name, for messages: "PACK FILE.h" */
    int min_arg, max_arg;      /* behind the name */
    int (*run)(const struct cmd *c, const void *options);
};
/* A whole subcommand: parses argv and runs the action that its first argument names, whose own arguments
 * are c->arg[1], ... Returns the exit code. */
int cmd_act(const struct cmd_usage *u, const struct cmd_action *action, int n, const void *options, int argc, char **argv);

/* A text as JSON: NULL is null, bytes that are no UTF-8 become '?'. */
json_t *cmd_json_text(const char *s);
/* Prints and ends the object; `j` NULL is out of memory. BASE_IO if stdout takes no more. */
int cmd_print_json(json_t *j);
/* For people: control characters, which a terminal would obey, become '?'. Returns `buf`. */
const char *cmd_clean(char buf[256], const char *s);
/* The same for whole texts, to stdout; keeps line ends and tabs, adds a last line end. */
void cmd_print_text(const char *s);
/* What was printed has arrived. */
int cmd_end_output(void);

#endif
