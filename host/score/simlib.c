/* simlib.c: finds, builds and opens libbpsim.so. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "score/simlib.h"

#define LIB_NAME "libbpsim.so"

/* ---- building -------------------------------------------------------------------- */

/* Newest change of the files in dir/sub that end in `ext`. */
static time_t newest(const char *root, const char *sub, const char *ext)
{
    time_t last = 0;
    char *dir = base_format("%s/%s", root, sub);
    DIR *d = dir ? opendir(dir) : NULL;
    for (struct dirent *f; d && (f = readdir(d));) {
        const char *dot = strrchr(f->d_name, '.');
        struct stat st;
        if (dot && !strcmp(dot, ext) && !fstatat(dirfd(d), f->d_name, &st, 0))
            last = BASE_MAX(last, st.st_mtime);
    }
    if (d)
        closedir(d);
    base_free(dir);
    return last;
}

static bool is_source(const char *root)
{
    char *makefile = base_format("%s/sim/Makefile", root);
    bool yes = makefile && base_file_exists(makefile) && newest(root, "rtl", ".sv");
    base_free(makefile);
    return yes;
}

/* Of one board (hw.h: a name of letters, digits, '-', '_', '.') in one source tree. */
struct place { const char *root, *build, *board, *lib; const struct hw *hw; };

/* The RTL's package says what array it is of. */
static bool has_package(const char *package, const struct hw *hw)
{
    char line[40];
    uint8_t *text = NULL;
    size_t len = 0;
    snprintf(line, sizeof line, "HASH = 32'h%08x;", (unsigned)(hw->hash & 0xffffffffu));
    bool yes = base_file_exists(package) && !base_file_read(&text, &len, package, 1 << 20) && memmem(text, len, line, strlen(line));
    base_free(text);
    return yes;
}

static char *package_of(const struct place *p)
{
    return base_format("%s/gen/%s/bitpress_hw_pkg.sv", p->build, p->board);
}

/* The source tree's own boards: make describes them to the RTL, whatever another file calls by their name. */
static bool is_own(const struct place *p)
{
    char *file = base_format("%s/boards/%s/board.yaml", p->root, p->board);
    bool own = file && base_file_exists(file);
    base_free(file);
    return own;
}

static bool is_described(const struct place *p, const char *package)
{
    return is_own(p) || has_package(package, p->hw);
}

static bool is_current(const struct place *p)
{
    struct stat st;
    char *package = package_of(p);
    bool described = package && is_described(p, package);
    base_free(package);
    if (!described || stat(p->lib, &st))
        return false;
    char *gen = base_format("gen/%s", p->board);
    time_t rtl = BASE_MAX(newest(p->root, "rtl", ".sv"), gen ? newest(p->build, gen, ".sv") : 0);
    time_t shim = BASE_MAX(newest(p->root, "sim", ".cpp"), newest(p->root, "sim", ".h"));
    base_free(gen);
    return st.st_mtime >= BASE_MAX(rtl, shim);
}

static bool on_path(const char *tool)
{
    const char *path = getenv("PATH");
    char *copy = base_strdup(path ? path : ""), *rest = copy;
    bool found = false;
    for (char *dir; copy && !found && (dir = strsep(&rest, ":"));) {
        char *file = base_format("%s/%s", dir, tool);
        found = file && !access(file, X_OK);
        base_free(file);
    }
    base_free(copy);
    return found;
}

/* The package of a board that is not one of the source tree's. */
static int write_package(const struct place *p)
{
    char *folder = base_format("%s/gen/%s", p->build, p->board), *package = package_of(p);
    int rc = folder && package ? BASE_OK : BASE_NOMEM;
    if (!rc && !is_described(p, package) && !(rc = base_mkdirs(folder)))
        rc = hw_write_sv(p->hw, package);
    base_free(folder);
    base_free(package);
    return rc;
}

/* make, without what an outer make says in the environment; its words go to `log`. */
static int run_make(const struct place *p, const char *log)
{
    char *board_is = base_format("BOARD=%s", p->board), *build_is = base_format("BUILD=%s", p->build), *dir = base_format("%s/sim", p->root);
    char *argv[] = { (char *)"env", (char *)"-u", (char *)"MAKEFLAGS", (char *)"-u", (char *)"MFLAGS", (char *)"-u", (char *)"MAKELEVEL",
                     (char *)"make", (char *)"-C", dir, (char *)"lib", board_is, build_is, NULL };
    int status = -1;
    pid_t child = board_is && build_is && dir ? fork() : -1;
    if (child == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (fd >= 0) {
            dup2(fd, 1);
            dup2(fd, 2);
        }
        execvp(argv[0], argv);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    base_free(board_is);
    base_free(build_is);
    base_free(dir);
    return status == 0 ? BASE_OK : BASE_MISSING;
}

/* One process builds, the others wait for it. */
static int build_locked(const struct place *p)
{
    char *folder = base_format("%s/sim", p->build), *log = base_format("%s/sim/%s-make.log", p->build, p->board),
         *lock = base_format("%s/sim/%s.lock", p->build, p->board);
    int rc = folder && log && lock ? base_mkdirs(folder) : BASE_NOMEM, fd = -1;
    if (!rc && ((fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0 || flock(fd, LOCK_EX)))
        rc = base_fail(BASE_IO, "%s: cannot lock", lock);
    if (!rc && !is_current(p)) {
        base_log("building the simulator of %s from %s/rtl, about a minute", p->board, p->root);
        rc = write_package(p);
        if (!rc && (rc = run_make(p, log)))
            base_hint(base_fail(rc, "verilator: the simulator of %s cannot be built; see %s", p->board, log), "make -C %s BOARD=%s sim", p->root, p->board);
    }
    if (fd >= 0)
        close(fd);
    base_free(folder);
    base_free(log);
    base_free(lock);
    return rc;
}

static int build_lib(const struct place *p)
{
    static const char *const tools[] = { "make", "verilator", "g++" };
    for (int i = 0; i < BASE_COUNT(tools); i++)
        if (!on_path(tools[i]))
            return base_hint(base_fail(BASE_MISSING, "verilator: there is no simulator of %s and no `%s` to build it", p->board, tools[i]),
                             "apt-get install %s; or name a built " LIB_NAME " in BITPRESS_SIM", tools[i]);
    return build_locked(p);
}

/* ---- finding --------------------------------------------------------------------- */

static char *if_exists(char *path)
{
    if (path && base_file_exists(path))
        return path;
    base_free(path);
    return NULL;
}

/* BITPRESS_SIM: the file, its folder, or the folder of all boards. */
static int from_environment(char **path, const char *board)
{
    struct stat st;
    const char *where = getenv("BITPRESS_SIM");
    if (!where || !*where)
        return BASE_OK;
    if (!stat(where, &st) && !S_ISDIR(st.st_mode))
        *path = base_strdup(where);
    if (!*path)
        *path = if_exists(base_format("%s/" LIB_NAME, where));
    if (!*path)
        *path = if_exists(base_format("%s/%s/" LIB_NAME, where, board));
    if (*path)
        return BASE_OK;
    return base_hint(base_fail(BASE_MISSING, "verilator: BITPRESS_SIM=%s has no simulator (%s/" LIB_NAME ")", where, board),
                     "make sim BOARD=%s builds one in build/sim/%s", board, board);
}

/* The folder of this program, or the one above it (tests), may be the build folder of a source tree; or the
 * program is PREFIX/bin/bitpress of an installed tree, wherever that was put. */
static int from_build(char **path, const struct hw *hw)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    int rc = BASE_OK;
    if (n <= 0)
        return BASE_OK;
    exe[n] = '\0';
    for (int up = 0; !rc && !*path && up < 2; up++) {
        char *slash = strrchr(exe, '/');
        if (!slash)
            break;
        *slash = '\0';
        char *lib = base_format("%s/sim/%s/" LIB_NAME, exe, hw->name), *root = base_format("%s/..", exe);
        const struct place p = { root, exe, hw->name, lib, hw };
        if (lib && root && is_source(root) && !is_current(&p))
            rc = build_lib(&p);
        if (!rc)
            *path = if_exists(base_format("%s", lib ? lib : ""));
        if (!rc && !*path)
            *path = if_exists(base_format("%s/share/bitpress/sim/%s/" LIB_NAME, exe, hw->name));
        base_free(lib);
        base_free(root);
    }
    return rc;
}

int score_simlib_find(char **path, const struct hw *hw)
{
    const char *board = hw->name;
    *path = NULL;
    int rc = from_environment(path, board);
    if (!rc && !*path)
        rc = from_build(path, hw);
    if (!rc && !*path)
        *path = if_exists(base_format("%s/sim/%s/" LIB_NAME, BITPRESS_SHARE_DIR, board));
    if (!rc && !*path)
        rc = base_hint(base_fail(BASE_MISSING, "verilator: there is no simulator of %s", board),
                       "make sim BOARD=%s in the source tree builds it; BITPRESS_SIM names the folder of " LIB_NAME, board);
    return rc;
}

/* ---- opening --------------------------------------------------------------------- */

/* A function pointer from dlsym, without a cast that ISO C does not know. */
static bool bind(const struct score_simlib *lib, void *function, const char *name)
{
    void *symbol = dlsym(lib->handle, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol;
}

static bool bind_all(struct score_simlib *lib)
{
    const char *(*rtl_hash)(void);
    bool ok = bind(lib, &lib->open, "bpsim_open") && bind(lib, &lib->close, "bpsim_close") && bind(lib, &lib->peek, "bpsim_peek") &&
              bind(lib, &lib->load, "bpsim_load") && bind(lib, &lib->run, "bpsim_run") && bind(lib, &lib->violations, "bpsim_violations") &&
              bind(lib, &rtl_hash, "bpsim_rtl_hash");
    if (ok)
        snprintf(lib->rtl_hash, sizeof lib->rtl_hash, "%s", rtl_hash());
    return ok && strspn(lib->rtl_hash, "0123456789abcdef") == strlen(lib->rtl_hash);
}

int score_simlib_behind(char **path, const struct device_target *target, const struct hw *hw)
{
    char dir[256];
    int rc = device_xrt_libraries(dir);
    *path = NULL;
    if (rc || !device_needs_emulation(target))
        return rc;
    char *simdev = device_program("bitpress-simdev");
    if (!simdev)
        return base_hint(base_fail(BASE_MISSING, "%s: no xclbin is named, and bitpress-simdev, which emulates a board, is not built", target->api),
                         "--xclbin FILE or BITPRESS_XCLBIN names a board's; an emulated one: apt-get install libxrt-dev ocl-icd-opencl-dev && make all");
    base_free(simdev);
    return score_simlib_find(path, hw);
}

int score_simlib_open(struct score_simlib *lib, const struct hw *hw)
{
    char *path;
    *lib = (struct score_simlib){ 0 };
    int rc = score_simlib_find(&path, hw);
    if (rc)
        return rc;
    /* It stays mapped: the C++ library behind it does not like to be unloaded. */
    lib->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!lib->handle)
        rc = base_fail(BASE_MISSING, "verilator: %s does not load: %s", path, dlerror());
    else if (!bind_all(lib))
        rc = base_fail(BASE_MISSING, "verilator: %s is not a simulator of this version", path);
    if (rc) {
        base_hint(rc, "delete it and run: make sim BOARD=%s", hw->name);
        score_simlib_close(lib);
    }
    base_free(path);
    return rc;
}

void score_simlib_close(struct score_simlib *lib)
{
    if (lib->handle)
        dlclose(lib->handle);
    lib->handle = NULL;
}
