/* main.c: the table of subcommands. */
#include <string.h>

#include "cmd/cmd.h"

static const struct { const char *name; cmd_fn *run; const char *help; } commands[] = {
    { "train", cmd_train, "train a built-in network in float" },
    { "check", cmd_check, "what of a model is supported, what it costs on a board" },
    { "eval", cmd_eval, "accuracy of a model or a pack on real data" },
    { "apply", cmd_apply, "compress a model by one recipe, no search" },
    { "compress", cmd_compress, "the main job: search recipes for a target" },
    { "score", cmd_score, "cycles of a pack on the accelerator" },
    { "run", cmd_run, "inference through XRT: a board, or an emulated one" },
    { "sweep", cmd_sweep, "what every width costs: the architect's table" },
    { "serve", cmd_serve, "run packs for a host elsewhere: the board's side" },
    { "study", cmd_study, "the record of a search" },
    { "pack", cmd_pack, "look into a weight pack" },
    { "report", cmd_report, "where a run's report is, and its summary" },
    { "board", cmd_board, "board descriptions" },
    { "xrt-env", cmd_xrt_env, "the environment in which XRT finds an emulated board" },
    { "doctor", cmd_doctor, "what is installed, what is missing, how to get it" },
};

static void usage(FILE *to)
{
    fputs("bitpress: hardware-in-the-loop compression of convolutional networks for FPGAs\n\nusage: bitpress COMMAND ... (COMMAND --help tells more)\n\n", to);
    for (int i = 0; i < BASE_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\nexit codes: 0 done, 1 target not met, 2 bad usage or input, 3 missing device or tool, 4 internal error, 130 stopped\n", to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("bitpress %s\n", BITPRESS_VERSION);
        return 0;
    }
    base_stop_install();
    for (int i = 0; i < BASE_COUNT(commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "bitpress: '%s' is not a command\nhint: bitpress --help lists them\n", argv[1]);
    return 2;
}
