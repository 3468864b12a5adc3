/* doctor: what the product uses on this machine: there or not, what for, and how to get it. */
#include <cblas.h>
#include <dlfcn.h>
#include <glpk.h>
#include <png.h>
#include <protobuf-c/protobuf-c.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>
#include <zlib.h>

#include "cmd/output.h"
#include "data/data.h"
#include "device/device.h"
#include "hw/hw.h"

/* Without what is needed, compress or score fail. */
enum need { NEEDED, FOR_SIMULATOR /* unless a simulator is built */, OPTIONAL };

/* A check fills `what` (a version or a place) and says whether the thing is there. */
struct item {
    const char *name;
    bool (*check)(const struct item *it, char what[256]);
    const char *arg;           /* of the check */
    enum need need;
    const char *purpose, *install;
};

/* ---- checks -------------------------------------------------------------------------- */

static bool in_path(const char *name, char what[256])
{
    const char *path = getenv("PATH");
    for (const char *p = path ? path : ""; *p;) {
        size_t n = strcspn(p, ":");
        struct stat st;
        bool fits = snprintf(what, 256, "%.*s/%s", (int)n, p, name) < 256;
        if (fits && !stat(what, &st) && S_ISREG(st.st_mode) && !access(what, X_OK))
            return true;
        p += n + (p[n] == ':');
    }
    *what = '\0';
    return false;
}

/* arg: NAME or NAME OPTION, the option that prints a version. */
static bool tool(const struct item *it, char what[256])
{
    char name[64], line[200] = "", command[128];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(it->arg, " "), it->arg);
    if (!in_path(name, what))
        return false;
    snprintf(command, sizeof command, "%s </dev/null 2>/dev/null", it->arg);
    FILE *f = popen(command, "r");
    bool said = f && fgets(line, sizeof line, f);
    if (f)
        pclose(f);
    line[strcspn(line, "\n")] = '\0';
    if (said)
        snprintf(what, 256, "%s", line);
    return true;
}

static bool file(const struct item *it, char what[256])
{
    snprintf(what, 256, "%s", it->arg);
    return base_file_exists(it->arg);
}

static bool fashion_mnist(const struct item *it, char what[256])
{
    static const char *const names[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte" };
    bool ok = true;
    for (int i = 0; ok && i < BASE_COUNT(names); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s.gz", it->arg, names[i]);
        bool gz = base_file_exists(path);
        path[strlen(path) - 3] = '\0';
        ok = gz || base_file_exists(path);
    }
    snprintf(what, 256, "%s", it->arg);
    return ok;
}

static bool boards(const struct item *it, char what[256])
{
    (void)it;
    char names[64][32];
    int n = hw_list(names, BASE_COUNT(names)), good = 0;
    for (int i = 0; i < n; i++) {
        struct hw h;
        good += !hw_load(&h, names[i]);
    }
    snprintf(what, 256, "%d of %d descriptions load", good, n);
    return good > 0;
}

static bool simulator_in(const char *dir, const char *board, char what[256])
{
    return snprintf(what, 256, "%s/%s/libbpsim.so", dir, board) < 256 && base_file_exists(what);
}

/* Of any board: where the backend looks, without building one. */
static bool simulator(const struct item *it, char what[256])
{
    (void)it;
    char names[64][32], exe[4096], installed[4096 + 32];
    const char *env = getenv("BITPRESS_SIM");
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 8);
    exe[BASE_MAX(len, 0)] = '\0';
    char *slash = strrchr(exe, '/');
    bool found = false;
    if (slash) {
        *slash = '\0';
        snprintf(installed, sizeof installed, "%s/../share/bitpress/sim", exe);
        strcpy(slash, "/sim");
    }
    for (int i = 0, n = hw_list(names, BASE_COUNT(names)); !found && i < n; i++) {
        if (env && *env)
            found = simulator_in(env, names[i], what);
        else
            found = (slash && (simulator_in(exe, names[i], what) || simulator_in(installed, names[i], what))) || simulator_in(BITPRESS_SHARE_DIR "/sim", names[i], what);
    }
    if (!found && env && *env)
        found = snprintf(what, 256, "%s/libbpsim.so", env) < 256 && base_file_exists(what);
    return found;
}

/* Of the RTL that a simulator was made from; its library runs nothing when it is loaded. */
static void rtl_hash(const char *path, char hash[64])
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *(*get)(void) = NULL;
    void *symbol = lib ? dlsym(lib, "bpsim_rtl_hash") : NULL;
    memcpy(&get, &symbol, sizeof get);
    snprintf(hash, 64, "%s", get ? get() : "unknown");
    if (lib)
        dlclose(lib);
}

static bool xrt(const struct item *it, char what[256])
{
    (void)it;
    return !device_xrt_libraries(what);
}

/* A program of this build. */
static bool own_program(const struct item *it, char what[256])
{
    char *path = device_program(it->arg);
    snprintf(what, 256, "%s", path ? path : "");
    base_free(path);
    return path;
}

static bool opencl(const struct item *it, char what[256])
{
    (void)it;
    char dir[256];
    bool there = !device_xrt_libraries(dir) && snprintf(what, 256, "%.200s/libxilinxopencl.so.2", dir) < 256 && base_file_exists(what);
    return there;
}

static bool processor(const struct item *it, char what[256])
{
    (void)it;
#ifdef __x86_64__
    snprintf(what, 256, "x86-64-v3");
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt");
#else
    snprintf(what, 256, "not x86-64");
    return true;
#endif
}

/* Linked libraries: they are there, or the program would not have started. */
static bool libraries(const struct item *it, char what[256])
{
    (void)it;
    png_uint_32 png = png_access_version_number();
    snprintf(what, 256, "zlib %s, libpng %u.%u.%u, SQLite %s, jansson %s, libyaml %s, protobuf-c %s, GLPK %s", zlibVersion(), png / 10000, png / 100 % 100, png % 100,
             sqlite3_libversion(), jansson_version_str(), yaml_get_version_string(), protobuf_c_version(), glp_version());
    return true;
}

static const struct item items[] = {
    { "processor", processor, NULL, NEEDED, "the program's vector instructions (AVX2, FMA, POPCNT)", "a machine of the last ten years" },
    { "libraries", libraries, NULL, NEEDED, "files, data, studies", "make deps" },
    { "boards", boards, NULL, NEEDED, "what a program is compiled for", "run in the source tree, or: make install" },
    { "chart.js", file, "/usr/share/javascript/chart.js/chart.min.js", NEEDED, "charts of report.html", "apt-get install libjs-chart.js" },
    { "simulator", simulator, NULL, OPTIONAL, "the RTL's own cycles (backend verilator)", "built by the first run that needs it, or: make sim" },
    { "XRT", xrt, NULL, OPTIONAL, "Xilinx's runtime: boards and emulated ones (run, backends xrt, opencl)", "apt-get install libxrt-dev" },
    { "XRT worker", own_program, "bitpress-xrt", OPTIONAL, "drives a device through XRT", "apt-get install libxrt-dev && make all" },
    { "OpenCL", opencl, NULL, OPTIONAL, "Xilinx's OpenCL platform (backend opencl)", "apt-get install libxrt-dev" },
    { "OpenCL worker", own_program, "bitpress-opencl", OPTIONAL, "drives a device through OpenCL", "apt-get install ocl-icd-opencl-dev libxrt-dev && make all" },
    { "verilator", tool, "verilator --version", FOR_SIMULATOR, "builds the simulator", "apt-get install verilator" },
    { "g++", tool, "g++ -dumpfullversion", FOR_SIMULATOR, "the same", "apt-get install g++" },
    { "make", tool, "make --version", FOR_SIMULATOR, "the same", "apt-get install make" },
    { "yosys", tool, "yosys -V", OPTIONAL, "LUT, FF, BRAM and DSP of the RTL (make synth)", "apt-get install yosys" },
    { "Fashion-MNIST", fashion_mnist, DATA_FASHION_MNIST_DIR, OPTIONAL, "the data of the examples and the tests", "apt-get install dataset-fashion-mnist" },
};

/* ---- output ---------------------------------------------------------------------------- */

static void add_json(json_t *list, const struct item *it, bool needed, bool found, const char *what)
{
    json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:o, s:s, s:s}", "name", it->name, "found", found, "needed", needed, "what", cmd_json_text(what),
                                          "purpose", it->purpose, "install", it->install));
}

static void print_item(const struct item *it, bool needed, bool found, const char *what)
{
    char text[256];
    printf("%-14s %-8s %s\n", it->name, found ? "found" : needed ? "MISSING" : "missing", found ? cmd_clean(text, what) : it->purpose);
    if (!found)
        printf("%-14s %-8s %s\n", "", "", it->install);
}

static int doctor(const struct cmd *c)
{
    json_t *list = c->json ? json_array() : NULL;
    const struct item *first = NULL;
    char where[256];
    bool built = simulator(NULL, where);
    int missing = 0;
    for (int i = 0; i < BASE_COUNT(items); i++) {
        char what[256] = "";
        bool found = items[i].check(&items[i], what);
        bool needed = items[i].need == NEEDED || (items[i].need == FOR_SIMULATOR && !built);
        if (!found && needed && !missing++)
            first = &items[i];
        if (c->json)
            add_json(list, &items[i], needed, found, what);
        else
            print_item(&items[i], needed, found, what);
    }
    int rc = c->json ? cmd_print_json(json_pack("{s:b, s:o}", "ok", !missing, "items", list)) : cmd_end_output();
    if (rc || !missing)
        return rc;
    base_fail(BASE_MISSING, "doctor: %d needed thing%s missing", missing, missing == 1 ? " is" : "s are");
    return base_hint(BASE_MISSING, "%s", first->install);
}

void cmd_version_details(void)
{
    const struct item verilator = { "verilator", tool, "verilator --version", OPTIONAL, "", "" };
    char what[256], hash[64];
    printf("BLAS       %s\n", openblas_get_config());
    printf("Verilator  %s\n", verilator.check(&verilator, what) ? what : "not found");
    if (simulator(NULL, what)) {
        rtl_hash(what, hash);
        printf("RTL        %s (%s)\n", hash, what);
    } else {
        puts("RTL        no simulator is built");
    }
}

int cmd_doctor(int argc, char **argv)
{
    const struct cmd_usage u = { "", "What is installed, what is missing, what it is for, and how to get it. Exit code 3 if compress or score lack something.", NULL, 0, 0, 0 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    rc = doctor(&c);
    return rc ? cmd_fail(rc) : 0;
}
