/* remote: `--remote COMMAND`, which subcommands that measure cycles share. docs/remote.md. */
#ifndef CMD_REMOTE_H
#define CMD_REMOTE_H

#include "cmd/cmd.h"
#include "cmd/contender.h"
#include "device/remote.h"

#define CMD_REMOTE_HELP "backend remote: reaches a board, \"ssh BOARD bitpress serve --stdio\"; once for each board"

/* Opens by->boards where by->backend is `remote`; remote_close(by->boards) ends them. BASE_INPUT unless backend and commands
 * go together. */
int cmd_remote(struct contender_scorer *by, const struct cmd_list *commands);

#endif
