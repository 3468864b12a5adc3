/* xrt-env: the environment in which XRT finds an emulated board: for one command, or to keep. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/output.h"
#include "device/device.h"
#include "score/simlib.h"

static int open_env(struct device_env *env, const char *board)
{
    struct hw hw;
    char dir[256], *simulator = NULL;
    int rc = hw_load(&hw, board);
    if (!rc)
        rc = device_xrt_libraries(dir);
    if (!rc)
        rc = score_simlib_find(&simulator, &hw);
    if (!rc)
        rc = device_env_open(env, &hw, simulator);
    base_free(simulator);
    return rc;
}

/* ---- to keep ----------------------------------------------------------------------------- */

static void print_var(const char *var)
{
    const char *value = strchr(var, '=') + 1;
    printf("export %.*s'", (int)(value - var), var);
    for (; *value; value++)
        printf(*value == '\'' ? "'\\''" : "%c", *value);
    printf("'\n");
}

static json_t *env_json(const struct device_env *env)
{
    json_t *vars = json_object();
    for (int i = 0; i < env->n_var; i++) {
        const char *value = strchr(env->var[i], '=');
        char *name = base_format("%.*s", (int)(value - env->var[i]), env->var[i]);
        if (name)
            json_object_set_new(vars, name, cmd_json_text(value + 1));
        base_free(name);
    }
    return json_pack("{s:s, s:o}", "folder", env->dir, "variables", vars);
}

static int print_env(struct device_env *env, bool json)
{
    int rc;
    if (json) {
        rc = cmd_print_json(env_json(env));
    } else {
        for (int i = 0; i < env->n_var; i++)
            print_var(env->var[i]);
        printf("# remove %s when done\n", env->dir);
        rc = cmd_end_output();
    }
    if (!rc)
        device_env_leave(env);
    return rc;
}

/* ---- for one command ---------------------------------------------------------------------- */

static void child(char **argv, char **envp, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    execvpe(argv[0], argv, envp);
    fprintf(stderr, "bitpress: xrt-env: %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* The terminal's signals reach the command by themselves; those meant for us are passed on. */
static int wait_for(pid_t pid)
{
    int status;
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int sig = sigwaitinfo(&ours, NULL);
        if (sig == SIGTERM || sig == SIGHUP)
            kill(pid, sig);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The command's exit code, or an error. */
static int run_command(const struct device_env *env, char **argv, int *code)
{
    sigset_t block, before;
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old_int, old_quit;
    char **envp = device_env_merge(env);
    if (!envp)
        return BASE_NOMEM;
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGHUP);
    fflush(NULL);
    sigprocmask(SIG_BLOCK, &block, &before);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        child(argv, envp, parent);
    }
    sigaction(SIGINT, &ignore, &old_int);
    sigaction(SIGQUIT, &ignore, &old_quit);
    int rc = pid < 0 ? base_fail(BASE_IO, "xrt-env: no process: %s", strerror(errno)) : BASE_OK;
    if (!rc)
        *code = wait_for(pid);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGQUIT, &old_quit, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    base_free(envp);
    return rc;
}

int cmd_xrt_env(int argc, char **argv)
{
    const char *board = "pynq-z2";
    const struct cmd_option options[] = { { "board", CMD_TEXT, &board, "NAME", "board description (default: pynq-z2)" } };
    const struct cmd_usage u = { "[--board NAME] [-- COMMAND ARGUMENTS]",
                                 "Runs a command in an environment where XRT finds an emulated board: the RTL in a simulation. Exit code: the command's.\n"
                                 "Without a command, makes the environment to keep and prints its variables: eval \"$(bitpress xrt-env)\".",
                                 options, BASE_COUNT(options), 0, 0 };
    struct cmd c = { 0 };
    int own = 1;
    while (own < argc && strcmp(argv[own], "--"))
        own++;
    int rc = cmd_parse(&c, &u, own, argv), code = 0;
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    char **command = argv + BASE_MIN(own + 1, argc);
    struct device_env env;
    rc = open_env(&env, board);
    if (rc)
        return cmd_fail(rc);
    rc = *command ? run_command(&env, command, &code) : print_env(&env, c.json);
    device_env_close(&env);
    return rc ? cmd_fail(rc) : code;
}
