/* main.c: the table of subcommands. */
#include <string.h>

#include "cmd/output.h"

/* What a board has no use for is left out of its program (make cross). */
#ifdef BITPRESS_ON_BOARD
#define DESK(...)
#else
#define DESK(...) __VA_ARGS__,
#endif

static const struct { const char *name; cmd_fn *run; const char *help; } commands[] = {
    DESK({ "train", cmd_train, "train a built-in network in float" })
    DESK({ "check", cmd_check, "what of a model is supported, what it costs on a board" })
    DESK({ "eval", cmd_eval, "accuracy of a model or a pack on real data" })
    DESK({ "apply", cmd_apply, "compress a model by one recipe, no search" })
    DESK({ "compress", cmd_compress, "the main job: search recipes for a target" })
    { "score", cmd_score, "cycles of a pack on the accelerator" },
    { "run", cmd_run, "inference through XRT: a board, or an emulated one" },
    DESK({ "sweep", cmd_sweep, "what every width costs: the architect's table" })
    { "serve", cmd_serve, "run packs for a host elsewhere: the board's side" },
    DESK({ "study", cmd_study, "the record of a search" })
    { "pack", cmd_pack, "look into a weight pack" },
    DESK({ "report", cmd_report, "where a run's report is, and its summary" })
    { "board", cmd_board, "board descriptions" },
    DESK({ "xrt-env", cmd_xrt_env, "the environment in which XRT finds an emulated board" })
    DESK({ "doctor", cmd_doctor, "what is installed, what is missing, how to get it" })
};

static void usage(FILE *to)
{
    fputs("bitpress: hardware-in-the-loop compression of convolutional networks for FPGAs\n\nusage: bitpress COMMAND ... (COMMAND --help tells more)\n\n", to);
    for (int i = 0; i < BASE_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\nexit codes: " CMD_EXIT_CODES "\n", to);
}

const char *cmd_summary(const char *name)
{
    for (int i = 0; i < BASE_COUNT(commands); i++)
        if (!strcmp(commands[i].name, name))
            return commands[i].help;
    return "";
}

static int version(void)
{
    printf("bitpress %s\n", BITPRESS_VERSION);
#ifndef BITPRESS_ON_BOARD
    cmd_version_details();
#endif
    int rc = cmd_end_output();
    return rc ? cmd_fail(rc) : 0;
}

static void names(void)
{
    for (int i = 0; i < BASE_COUNT(commands); i++)
        puts(commands[i].name);
}

static void man(void)
{
    printf(".TH BITPRESS 1 \"\" \"bitpress %s\"\n.SH NAME\nbitpress \\- hardware-in-the-loop compression of convolutional networks for FPGAs\n"
           ".SH SYNOPSIS\n.B bitpress\n.I COMMAND\n[ARGUMENTS]\n.SH COMMANDS\n", BITPRESS_VERSION);
    for (int i = 0; i < BASE_COUNT(commands); i++)
        printf(".TP\n.BR bitpress\\-%s (1)\n%s\n", commands[i].name, commands[i].help);
    puts(".SH EXIT STATUS\n" CMD_EXIT_CODES);
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
    if (!strcmp(argv[1], "--help=commands") || !strcmp(argv[1], "--help=man")) {
        (argv[1][7] == 'c' ? names : man)();
        return 0;
    }
    if (!strcmp(argv[1], "--version"))
        return version();
    base_stop_install();
    for (int i = 0; i < BASE_COUNT(commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "bitpress: '%s' is not a command\nhint: bitpress --help lists them\n", argv[1]);
    return 2;
}
