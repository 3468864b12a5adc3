/* serve: the board's side of backend `remote`: packs come in on standard input, results go out on standard output. Nothing
 * listens anywhere; the host starts this by a command of its own. docs/remote.md. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cmd/output.h"
#include "device/session.h"
#include "score/simlib.h"

struct serve {
    const char *board, *xclbin, *api;
    long device;
    bool stdio;
    struct hw hw;
    char *simulator;           /* NULL: a board */
    struct device *running;
    struct session_model *model;   /* of --api model */
};

static struct device_target target_of(const struct serve *s)
{
    return (struct device_target){ .api = s->api, .index = (int)s->device, .xclbin = s->xclbin };
}

static int load(void *ctx, const struct pack *pack, uint64_t *load_cycles)
{
    struct serve *s = ctx;
    const struct device_target target = target_of(s);
    int rc = device_open(&s->running, &target, &s->hw, s->simulator, pack);
    if (!rc)
        *load_cycles = device_load_cycles(s->running);
    return rc;
}

static int run(void *ctx, const uint8_t *pixels, int n, int32_t *logits, struct device_image *image, struct device_counters *counters)
{
    struct serve *s = ctx;
    return device_run(s->running, pixels, n, logits, image, counters);
}

static void unload(void *ctx)
{
    struct serve *s = ctx;
    device_close(s->running);
    s->running = NULL;
}

/* What else writes to standard output must not disturb the protocol. */
static int serve(struct serve *s)
{
    const struct device_target target = target_of(s);
    const bool model = !strcmp(s->api, "model");
    int out = -1, rc = hw_load(&s->hw, s->board);
    if (!rc)
        rc = model ? session_model_new(&s->model, &s->hw) : score_simlib_behind(&s->simulator, &target, &s->hw);
    const struct session_engine engine = model ? session_model_engine(s->model) : (struct session_engine){ s, load, run, unload };
    if (!rc && ((out = dup(STDOUT_FILENO)) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0))
        rc = base_fail(BASE_IO, "serve: standard output cannot be moved");
    signal(SIGPIPE, SIG_IGN);
    struct session *session = rc ? NULL : session_new(&engine, s->hw.name, s->hw.hash, model ? FRAME_MODEL : s->simulator ? FRAME_EMULATED : FRAME_BOARD);
    if (!rc)
        rc = session ? session_serve(session, STDIN_FILENO, out) : BASE_NOMEM;
    session_free(session);
    session_model_free(s->model);
    if (out >= 0)
        close(out);
    return rc;
}

int cmd_serve(int argc, char **argv)
{
    struct serve s = { .board = "pynq-z2", .api = "xrt" };
    const struct cmd_option options[] = {
        { "stdio", CMD_FLAG, &s.stdio, NULL, "speak on standard input and output (the only way there is)" },
        { "board", CMD_TEXT, &s.board, "B", "the board that this is (default: pynq-z2)" },
        { "api", CMD_TEXT, &s.api, "NAME", "xrt (default), opencl, or model: no device, the reference and the cycle model answer" },
        { "xclbin", CMD_TEXT, &s.xclbin, "FILE", "the board's xclbin (default: BITPRESS_XCLBIN; without either the board is emulated)" },
        { "device", CMD_INT, &s.device, "N", "index of the device (default 0)" },
    };
    const struct cmd_usage u = { "--stdio [--board B]", "Run packs for a host elsewhere, which starts this by a command such as `ssh BOARD bitpress serve --stdio`\n"
                                                        "(bitpress score --backend remote --remote COMMAND). Ends when its input ends.",
                                 options, BASE_COUNT(options), 0, 0 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    if (!s.stdio)
        rc = base_hint(base_fail(BASE_INPUT, "serve: --stdio is missing"), "a host starts `bitpress serve --stdio`; no port is opened");
    else if (s.device < 0 || s.device > 255)
        rc = base_fail(BASE_INPUT, "serve: --device must be 0 to 255");
    else
        rc = cmd_check_name("api", s.api, "xrt opencl model");
    if (!rc)
        rc = serve(&s);
    base_free(s.simulator);
    return rc ? cmd_fail(rc) : 0;
}
