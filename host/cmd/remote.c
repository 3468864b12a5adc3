#include "cmd/remote.h"

#include <string.h>

int cmd_remote(struct contender_scorer *by, const struct cmd_list *commands)
{
    bool wanted = !strcmp(by->backend, "remote");
    if (wanted != (commands->n > 0))
        return base_hint(base_fail(BASE_INPUT, "--backend remote and --remote COMMAND go together"), "--backend remote --remote \"ssh BOARD bitpress serve --stdio\"");
    return wanted ? remote_open(&by->boards, commands->v, commands->n, 0) : BASE_OK;
}
