/* ranked: a test program that starts itself under mpirun; each rank runs a named part, whose result is its exit code. */
#ifndef RANKED_H
#define RANKED_H

#include "unit.h"

#include "dist/dist.h"

struct ranked_part { const char *name; int (*run)(struct dist *d); };

static char ranked_path[4096];

static inline int ranked_self(const char *argv0)
{
    return !realpath(argv0, ranked_path);
}

static inline int ranked_run(const char *name, const struct ranked_part *part, int n)
{
    struct dist *d;
    int rc = 1;
    base_stop_install();
    if (dist_open(&d))
        return 1;
    for (int i = 0; i < n; i++)
        if (!strcmp(part[i].name, name))
            rc = part[i].run(d);
    if (rc)
        dist_abort(d, rc);
    dist_close(d);
    return 0;
}

/* What the ranks printed, and the exit code. Skips without mpirun. */
static inline int ranked_try(int n, const char *part, char *out, size_t size)
{
    if (system("command -v mpirun >/dev/null")) {
        printf("skipped: mpirun is not installed (apt-get install openmpi-bin)\n");
        skip();
    }
    char command[5000];
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0);   /* Open MPI keeps what it loaded until the end */
    snprintf(command, sizeof command, "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -q -n %d --oversubscribe '%s' %s 2>&1", n, ranked_path, part);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    out[fread(out, 1, size - 1, f)] = '\0';
    return pclose(f);
}

static inline void ranked_launch(int n, const char *part)
{
    static char out[65536];
    int rc = ranked_try(n, part, out, sizeof out);
    if (rc)
        fail_msg("%d ranks, %s: exit %d\n%s", n, part, rc, out);
}

#endif
