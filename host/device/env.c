/* env.c: where XRT's hardware emulation lives while it runs: one private folder, all of it configuration.
 *
 *   /tmp/bitpress-xrt-XXXXXX/
 *     lock            held by the owner; a folder whose lock is free belongs to nobody any more
 *     root/lib        link to the XRT libraries (XILINX_XRT)
 *     sim/simulate.sh starts the device process (XRT: [Emulation] sim_dir)
 *     xrt.ini, emconfig.json, icd/xilinx.icd, bitpress.xclbin, run/
 *
 * XRT puts its sockets into /tmp/$USER: USER is the folder's name, so they are in there too. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/device_internal.h"

#define PREFIX "bitpress-xrt-"
extern char **environ;

/* ---- programs and libraries ---------------------------------------------------------- */

char *device_program(const char *name)
{
    static const char *const place[] = { "", "../", "../lib/bitpress/" };
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[BASE_MAX(n, 0)] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash)
        slash[1] = '\0';
    for (int i = 0; slash && i < BASE_COUNT(place); i++) {
        char *path = base_format("%s%s%s", exe, place[i], name);
        if (!path)
            return NULL;
        if (base_file_exists(path))
            return path;
        base_free(path);
    }
    base_hint(base_fail(BASE_MISSING, "xrt: %s is not built: it needs the XRT and OpenCL headers", name), "apt-get install libxrt-dev ocl-icd-opencl-dev && make all");
    return NULL;
}

static bool has_library(const char *dir)
{
    char *path = base_format("%s/libxrt_coreutil.so.2", dir);
    bool is = path && base_file_exists(path);
    base_free(path);
    return is;
}

int device_xrt_libraries(char dir[256])
{
    static const char *const place[] = { "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/arm-linux-gnueabihf", "/usr/lib" };
    const char *root = getenv("XILINX_XRT");
    if (root && *root) {
        snprintf(dir, 256, "%s/lib", root);
        if (has_library(dir))
            return BASE_OK;
        return base_hint(base_fail(BASE_MISSING, "xrt: XILINX_XRT=%s has no lib/libxrt_coreutil.so.2", root), "unset XILINX_XRT, or let it name an XRT installation");
    }
    for (int i = 0; i < BASE_COUNT(place); i++) {
        snprintf(dir, 256, "%s", place[i]);
        if (has_library(dir))
            return BASE_OK;
    }
    return base_hint(base_fail(BASE_MISSING, "xrt: the XRT libraries are not installed (libxrt_coreutil.so.2)"), "apt-get install libxrt-dev");
}

/* ---- folders of the dead --------------------------------------------------------------- */

static void remove_if_orphan(const char *dir)
{
    struct stat st;
    char *lock = base_format("%s/lock", dir);
    int fd = lock && !lstat(dir, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() ? open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
        device_remove_tree(dir);
    if (fd >= 0)
        close(fd);
    base_free(lock);
}

static void remove_orphans(void)
{
    DIR *d = opendir("/tmp");
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = strncmp(e->d_name, PREFIX, strlen(PREFIX)) ? NULL : base_format("/tmp/%s", e->d_name);
        if (path)
            remove_if_orphan(path);
        base_free(path);
    }
    if (d)
        closedir(d);
}

/* ---- files ----------------------------------------------------------------------------- */

static int make_folder(struct device_env *env)
{
    strcpy(env->dir, "/tmp/" PREFIX "XXXXXX");
    if (!mkdtemp(env->dir)) {
        *env->dir = '\0';
        return base_fail(BASE_IO, "xrt: cannot make a folder in /tmp: %s", strerror(errno));
    }
    /* The name `lock` appears only when the lock is held. */
    char *made = base_format("%s/lock.new", env->dir), *lock = base_format("%s/lock", env->dir);
    int rc = made && lock ? BASE_OK : BASE_NOMEM;
    if (!rc && ((env->lock = open(made, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0 || flock(env->lock, LOCK_EX) || rename(made, lock)))
        rc = base_fail(BASE_IO, "%s: cannot lock: %s", env->dir, strerror(errno));
    base_free(made);
    base_free(lock);
    return rc;
}

static int write_file(const struct device_env *env, const char *name, const struct base_text *t)
{
    char *path = t->failed ? NULL : base_format("%s/%s", env->dir, name);
    int rc = path ? base_file_write(path, t->s, t->len) : BASE_NOMEM;
    base_free(path);
    return rc;
}

/* XRT's buffer for messages must never grow (docs/xrt.md): the first message, which carries all these keys, is
 * made longer than any other. */
static int write_ini(const struct device_env *env)
{
    enum { PACKET = 65536, PAD = PACKET + 4464 };
    struct base_text t = { 0 };
    base_text_add(&t,
                  "[Runtime]\nverbosity=4\n"
                  "[Emulation]\nsim_dir=%s/sim\npacket_size=%d\nsystem_dpa=false\nprint_infos_in_console=false\nkeep_run_dir=false\n"
                  "[Debug]\nrpcbuf_pad=",
                  env->dir, PACKET);
    for (int i = 0; i < PAD; i++)
        base_text_add_bytes(&t, "x", 1);
    base_text_add(&t, "\n");
    int rc = write_file(env, "xrt.ini", &t);
    base_text_free(&t);
    return rc;
}

/* Feature_Bitmap 0: no embedded scheduler; the host writes and polls the kernel's registers. */
static int write_emconfig(const struct device_env *env, const struct hw *hw)
{
    char platform[64];
    struct base_text t = { 0 };
    device_platform(platform, hw, &device_emulation);
    base_text_add(&t,
                  "{\"Version\": {\"FileVersion\": \"2.0\", \"ToolVersion\": \"1.0\"},\n"
                  " \"Platform\": {\"UnifiedPlatform\": \"true\", \"ExpandedPR\": \"false\", \"Boards\": [{\"NumBoards\": \"1\", \"Devices\": [{\n"
                  "  \"Name\": \"%s\", \"HalMajorVersion\": \"1\", \"HalMinorVersion\": \"0\", \"VendorId\": \"0\", \"SubsystemVendorId\": \"0\",\n"
                  "  \"DeviceVersion\": \"0\", \"DataAlignment\": \"4096\", \"OclFreqency\": \"%.0f\", \"NumDevices\": \"1\",\n"
                  "  \"DdrBanks\": [{\"Size\": \"%uMB\"}],\n"
                  "  \"FeatureRom\": {\"Major_Version\": \"10\", \"Minor_Version\": \"1\", \"Ddr_Channel_Count\": \"1\", \"Ddr_Channel_Size\": \"1\",\n"
                  "   \"Feature_Bitmap\": \"0\"}}]}]}}\n",
                  platform, hw->clock_mhz, (unsigned)(DEVICE_MEM_BYTES >> 20));
    int rc = write_file(env, "emconfig.json", &t);
    base_text_free(&t);
    return rc;
}

/* 'text' for a shell. */
static void add_quoted(struct base_text *t, const char *s)
{
    base_text_add(t, "'");
    for (; *s; s++)
        base_text_add(t, *s == '\'' ? "'\\''" : "%c", *s);
    base_text_add(t, "'");
}

static int write_start(const struct device_env *env, const struct hw *hw, const char *simulator, const char *simdev)
{
    struct base_text t = { 0 };
    char *whole = realpath(simulator, NULL);       /* it will run in another folder */
    base_text_add(&t, "#!/bin/sh\nunset LD_PRELOAD\nexec ");
    add_quoted(&t, simdev);
    base_text_add(&t, " --simulator ");
    add_quoted(&t, whole ? whole : simulator);
    free(whole);
    base_text_add(&t, " --cu-base %llu --memory-end %llu --read-latency %d --write-latency %d --gbytes-per-s %.17g --mhz %.17g\n",
                  (unsigned long long)DEVICE_CU_BASE, (unsigned long long)(DEVICE_MEM_BASE + DEVICE_MEM_BYTES), hw->read_latency, hw->write_latency,
                  hw->port_gbytes_s, hw->clock_mhz);
    int rc = write_file(env, "sim/simulate.sh", &t);
    char *path = base_format("%s/sim/simulate.sh", env->dir);
    if (!rc && (!path || chmod(path, 0700)))
        rc = base_fail(BASE_IO, "%s: cannot be made executable", path ? path : "simulate.sh");
    base_free(path);
    base_text_free(&t);
    return rc;
}

static int make_folders(const struct device_env *env)
{
    static const char *const names[] = { "root", "sim", "icd", "run" };
    int rc = BASE_OK;
    for (int i = 0; !rc && i < BASE_COUNT(names); i++) {
        char *path = base_format("%s/%s", env->dir, names[i]);
        rc = path ? base_mkdirs(path) : BASE_NOMEM;
        base_free(path);
    }
    return rc;
}

static int link_libraries(const struct device_env *env)
{
    char libraries[256], *path = base_format("%s/root/lib", env->dir);
    int rc = path ? device_xrt_libraries(libraries) : BASE_NOMEM;
    if (!rc && symlink(libraries, path))
        rc = base_fail(BASE_IO, "%s: %s", path, strerror(errno));
    base_free(path);
    return rc;
}

static int write_files(const struct device_env *env, const struct hw *hw, const char *simulator, const char *simdev)
{
    struct base_text icd = { 0 };
    char *xclbin = base_format("%s/bitpress.xclbin", env->dir);
    base_text_add(&icd, "libxilinxopencl.so.2\n");
    int rc = xclbin ? make_folders(env) : BASE_NOMEM;
    if (!rc)
        rc = link_libraries(env);
    if (!rc)
        rc = write_ini(env);
    if (!rc)
        rc = write_emconfig(env, hw);
    if (!rc)
        rc = write_start(env, hw, simulator, simdev);
    if (!rc)
        rc = write_file(env, "icd/xilinx.icd", &icd);
    if (!rc)
        rc = device_write_xclbin(xclbin, hw);
    base_text_free(&icd);
    base_free(xclbin);
    return rc;
}

/* ---- variables --------------------------------------------------------------------------- */

static int add_var(struct device_env *env, char *text)
{
    if (!text || env->n_var == BASE_COUNT(env->var)) {
        base_free(text);
        return BASE_NOMEM;
    }
    env->var[env->n_var++] = text;
    return BASE_OK;
}

static int add_vars(struct device_env *env, const char *shim)
{
    const char *d = env->dir, *preload = getenv("LD_PRELOAD"), *deadline = getenv("BITPRESS_DEADLINE_MS");
    int rc = add_var(env, base_format("XCL_EMULATION_MODE=hw_emu"));
    rc = rc ? rc : add_var(env, base_format("XILINX_XRT=%s/root", d));
    rc = rc ? rc : add_var(env, base_format("USER=%s", d + strlen("/tmp/")));
    rc = rc ? rc : add_var(env, base_format("EMCONFIG_PATH=%s", d));
    rc = rc ? rc : add_var(env, base_format("XRT_INI_PATH=%s/xrt.ini", d));
    rc = rc ? rc : add_var(env, base_format("SDACCEL_EM_RUN_DIR=%s/run", d));
    rc = rc ? rc : add_var(env, base_format("OCL_ICD_VENDORS=%s/icd", d));
    rc = rc ? rc : add_var(env, base_format("BITPRESS_XCLBIN=%s/bitpress.xclbin", d));
    rc = rc ? rc : add_var(env, base_format("BITPRESS_DEADLINE_MS=%s", deadline && *deadline ? deadline : "120000"));   /* a simulation, on a busy machine */
    return rc ? rc : add_var(env, preload && *preload ? base_format("LD_PRELOAD=%s:%s", shim, preload) : base_format("LD_PRELOAD=%s", shim));
}

static bool same_name(const char *var, const char *other)
{
    size_t n = strcspn(var, "=");
    return !strncmp(var, other, n + 1);
}

static bool is_set(const struct device_env *env, const char *var)
{
    for (int i = 0; env && i < env->n_var; i++)
        if (same_name(env->var[i], var))
            return true;
    return false;
}

char **device_env_merge(const struct device_env *env)
{
    int n = 0, all = env ? env->n_var : 0;
    while (environ[n])
        n++;
    char **out = BASE_NEW_N(char *, n + all + 1), **at = out;
    for (int i = 0; out && i < n; i++)
        if (!is_set(env, environ[i]))
            *at++ = environ[i];
    for (int i = 0; out && i < all; i++)
        *at++ = env->var[i];
    return out;
}

/* ---- whole --------------------------------------------------------------------------------- */

int device_env_folder(struct device_env *env)
{
    *env = (struct device_env){ .lock = -1 };
    remove_orphans();
    int rc = make_folder(env);
    if (rc)
        device_env_close(env);
    return rc;
}

int device_env_open(struct device_env *env, const struct hw *hw, const char *simulator)
{
    char *simdev = device_program("bitpress-simdev"), *shim = simdev ? device_program("libbitpress-emu.so") : NULL;
    *env = (struct device_env){ .lock = -1 };
    int rc = shim ? device_env_folder(env) : BASE_MISSING;
    if (!rc)
        rc = write_files(env, hw, simulator, simdev);
    if (!rc)
        rc = add_vars(env, shim);
    base_free(simdev);
    base_free(shim);
    if (rc)
        device_env_close(env);
    return rc;
}

/* Without a lock it is nobody's orphan. */
void device_env_leave(struct device_env *env)
{
    char *lock = base_format("%s/lock", env->dir);
    if (lock)
        unlink(lock);
    base_free(lock);
    *env->dir = '\0';
    device_env_close(env);
}

void device_env_close(struct device_env *env)
{
    if (*env->dir)
        device_remove_tree(env->dir);
    if (env->lock >= 0)
        close(env->lock);
    for (int i = 0; i < env->n_var; i++)
        base_free(env->var[i]);
    *env = (struct device_env){ .lock = -1 };
}
