/* test_device.c: the xclbin field by field against XRT's own header where that is installed, the private folder of an
 * emulation, and what a worker that misbehaves leads to. */
#define _GNU_SOURCE
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "device/device.h"
#if __has_include(<xrt/xclbin.h>)
#include <xrt/xclbin.h>
#endif

static struct hw board(void)
{
    struct hw hw;
    assert_ok(hw_load(&hw, "boards/pynq-z2/board.yaml"));
    return hw;
}

/* ---- xclbin --------------------------------------------------------------------------------- */

static uint64_t field(const uint8_t *p, size_t at, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[at + (size_t)i] << (8 * i);
    return v;
}

static const uint8_t *section(const uint8_t *p, size_t len, uint32_t kind, size_t *bytes)
{
    for (size_t i = 0, n = field(p, 448, 4); i < n; i++) {
        size_t head = 456 + 40 * i;
        if (field(p, head, 4) != kind)
            continue;
        size_t at = field(p, head + 24, 8);
        *bytes = field(p, head + 32, 8);
        assert_int_equal(at % 8, 0);
        assert_true(at + *bytes <= len);
        return p + at;
    }
    fail_msg("no section %u", kind);
    return NULL;
}

static void test_xclbin(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "a.xclbin");
    struct hw hw = board();
    uint8_t *p, *again;
    size_t len, len2, n;
    assert_ok(device_write_xclbin(path, &hw));
    assert_ok(base_file_read(&p, &len, path, 1 << 20));
    assert_ok(device_write_xclbin(path, &hw));
    assert_ok(base_file_read(&again, &len2, path, 1 << 20));
    assert_int_equal(len, len2);
    assert_memory_equal(p, again, len);             /* nothing of the time or the place in it */
    assert_memory_equal(p, "xclbin2", 8);
    assert_int_equal(field(p, 304, 8), len);

    const uint8_t *mem = section(p, len, 6, &n);
    assert_int_equal(field(mem, 0, 4), 1);
    assert_int_equal(field(mem, 16, 8) << 10, DEVICE_MEM_BYTES);
    assert_int_equal(field(mem, 24, 8), DEVICE_MEM_BASE);

    /* Every argument that is an address is connected, no other. */
    static const int memory[] = { PROGRAM_ARG_program, PROGRAM_ARG_weight, PROGRAM_ARG_input, PROGRAM_ARG_output };
    const uint8_t *con = section(p, len, 7, &n);
    assert_int_equal(field(con, 0, 4), 4);
    assert_int_equal(n, 4 + 4 * 12);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(field(con, 4 + 12 * i, 4), memory[i]);

    const uint8_t *ip = section(p, len, 8, &n);
    assert_int_equal(field(ip, 16, 8), DEVICE_CU_BASE);
    assert_string_equal((const char *)ip + 24, "bitpress:bitpress_1");

    /* The registers are those of the accelerator. */
    char *xml = base_format("%.*s", (int)(section(p, len, 2, &n), n), (const char *)section(p, len, 2, &n));
    static const struct { const char *name; unsigned reg, bytes; } args[] = {
        { "mode", REG_MODE, 4 }, { "program", REG_PROGRAM, 8 }, { "program_size", REG_PROGRAM_SIZE, 8 }, { "weight", REG_WEIGHT, 8 },
        { "weight_size", REG_WEIGHT_SIZE, 8 }, { "input", REG_INPUT, 8 }, { "input_size", REG_INPUT_SIZE, 8 }, { "output", REG_OUTPUT, 8 },
        { "output_size", REG_OUTPUT_SIZE, 8 }, { "limit", REG_LIMIT, 4 }, { "images", REG_IMAGES, 4 },
    };
    for (int i = 0; i < BASE_COUNT(args); i++) {
        char want[160], offset[64];
        snprintf(want, sizeof want, "<arg name=\"%s\" ", args[i].name);
        snprintf(offset, sizeof offset, " size=\"0x%x\" offset=\"0x%x\" ", args[i].bytes, args[i].reg);
        const char *at = strstr(xml, want);
        assert_non_null(at);
        const char *found = strstr(at, offset);
        assert_true(found && found < strchr(at, '\n'));
    }
    assert_non_null(strstr(xml, "dataWidth=\"64\""));
    base_free(xml);
    base_free(p);
    base_free(again);
    unit_remove(dir);
}

/* The layout by the header that XRT itself is built with. */
static void test_xclbin_layout(void **state)
{
    (void)state;
#ifdef XCLBIN_MAX_NUM_SECTION
    const char *dir = unit_scratch(), *path = unit_path(dir, "a.xclbin");
    struct hw hw = board();
    uint8_t *p;
    size_t len;
    assert_ok(device_write_xclbin(path, &hw));
    assert_ok(base_file_read(&p, &len, path, 1 << 20));
    const struct axlf *x = (const void *)p;
    assert_int_equal(x->m_signature_length, -1);
    assert_int_equal(x->m_header.m_length, len);
    assert_int_equal(x->m_header.m_mode, XCLBIN_HW_EMU);
    assert_int_equal(x->m_header.m_numSections, 4);
    assert_string_equal((const char *)x->m_header.m_platformVBNV, "bitpress_pynq-z2_emulation_1");
    for (uint32_t i = 0; i < 4; i++) {
        const struct axlf_section_header *h = &x->m_sections[i];
        const void *data = p + h->m_sectionOffset;
        if (h->m_sectionKind == MEM_TOPOLOGY) {
            const struct mem_topology *m = data;
            assert_int_equal(m->m_mem_data[0].m_type, MEM_DDR4);
            assert_int_equal(m->m_mem_data[0].m_used, 1);
            assert_int_equal(m->m_mem_data[0].m_base_address, DEVICE_MEM_BASE);
        } else if (h->m_sectionKind == IP_LAYOUT) {
            const struct ip_layout *l = data;
            assert_int_equal(l->m_ip_data[0].m_type, IP_KERNEL);
            assert_int_equal(l->m_ip_data[0].properties, AP_CTRL_HS << IP_CONTROL_SHIFT);
            assert_int_equal(l->m_ip_data[0].m_base_address, DEVICE_CU_BASE);
        } else if (h->m_sectionKind == CONNECTIVITY) {
            const struct connectivity *c = data;
            assert_int_equal(c->m_connection[c->m_count - 1].arg_index, PROGRAM_ARG_output);
            assert_int_equal(c->m_connection[c->m_count - 1].mem_data_index, 0);
        }
    }
    base_free(p);
    unit_remove(dir);
#else
    skip();
#endif
}

/* What v++ packages: the ports of rtl/bp_kernel.sv and the registers of rtl/bp_shell_pkg.sv. */
static void test_kernel_xml(void **state)
{
    (void)state;
    struct hw hw = board();
    struct base_text xml = { 0 };
    uint8_t *package, *top;
    size_t len;
    device_kernel_xml(&xml, &hw);
    assert_false(xml.failed);
    assert_ok(base_file_read(&package, &len, "rtl/bp_shell_pkg.sv", 1 << 20));
    assert_ok(base_file_read(&top, &len, "rtl/bp_kernel.sv", 1 << 20));
    static const char *const args[][2] = {
        { "mode", "RegMode" }, { "program", "RegProgram" }, { "program_size", "RegProgramSize" }, { "weight", "RegWeight" }, { "weight_size", "RegWeightSize" },
        { "input", "RegInput" }, { "input_size", "RegInputSize" }, { "output", "RegOutput" }, { "output_size", "RegOutputSize" }, { "limit", "RegLimit" },
        { "images", "RegImages" },
    };
    const char *at = xml.s;
    for (int i = 0; i < BASE_COUNT(args); i++) {
        unsigned offset, reg, id;
        char name[32], want[64];
        at = strstr(at, "<arg name=\"");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "<arg name=\"%31[a-z_]\" addressQualifier=\"%*d\" id=\"%u\"", name, &id), 2);
        assert_string_equal(name, args[i][0]);
        assert_int_equal(id, i);
        assert_int_equal(sscanf(strstr(at, "offset=\""), "offset=\"0x%x\"", &offset), 1);
        snprintf(want, sizeof want, " %s ", args[i][1]);
        assert_non_null(strstr((char *)package, want));
        assert_int_equal(sscanf(strstr((char *)package, want) + strlen(want), " = 12'h%x", &reg), 1);
        assert_int_equal(offset, reg);
        at++;
    }
    assert_null(strstr(at, "<arg "));
    /* 12 address bits are a range of 0x1000 */
    assert_non_null(strstr((char *)top, "input  logic [11:0] s_axi_control_awaddr"));
    assert_non_null(strstr(xml.s, "name=\"s_axi_control\" mode=\"slave\" range=\"0x1000\" dataWidth=\"32\""));
    assert_non_null(strstr((char *)top, "input  logic [63:0] m_axi_gmem_rdata"));
    assert_non_null(strstr(xml.s, "name=\"m_axi_gmem\" mode=\"master\" range=\"0xFFFFFFFFFFFFFFFF\" dataWidth=\"64\""));
    base_free(package);
    base_free(top);
    base_text_free(&xml);
}

/* A board that is programmed by other means: no emulation, no bitstream, the PS's addresses. */
static void test_overlay_xclbin(void **state)
{
    (void)state;
    const char *dir = unit_scratch(), *path = unit_path(dir, "a.xclbin");
    struct hw hw = board(), other;
    uint8_t *p;
    size_t len, n;
    assert_ok(device_write_overlay_xclbin(path, &hw));
    assert_ok(base_file_read(&p, &len, path, 1 << 20));
    assert_int_equal(field(p, 332, 2), 0);
    assert_string_equal((const char *)p + 352, "bitpress_pynq-z2_overlay_1");
    const uint8_t *mem = section(p, len, 6, &n), *ip = section(p, len, 8, &n);
    assert_int_equal(field(mem, 16, 8) << 10, DEVICE_OVERLAY_MEM_BYTES);
    assert_int_equal(field(mem, 24, 8), 0);
    assert_int_equal(field(ip, 16, 8), DEVICE_OVERLAY_CU_BASE);
    assert_ok(hw_load(&other, "zcu104"));
    assert_error(device_write_overlay_xclbin(path, &other), BASE_INPUT, "no Zynq-7000");
    base_free(p);
    unit_remove(dir);
}

static void test_xclbin_failures(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct hw hw = board();
    assert_survives_nomem(device_write_xclbin(unit_path(dir, "a.xclbin"), &hw), (void)0);
    assert_error(device_write_xclbin("/nonexistent/a.xclbin", &hw), BASE_IO, "/nonexistent/a.xclbin");
    unit_remove(dir);
}

/* ---- the private folder ---------------------------------------------------------------------- */

static const char *value(const struct device_env *env, const char *name)
{
    for (int i = 0; i < env->n_var; i++)
        if (!strncmp(env->var[i], name, strlen(name)) && env->var[i][strlen(name)] == '=')
            return env->var[i] + strlen(name) + 1;
    fail_msg("no variable %s", name);
    return NULL;
}

/* The programs of this build must be there, and XRT. */
static bool can_emulate(void)
{
    char dir[256], *simdev = device_program("bitpress-simdev"), *shim = device_program("libbitpress-emu.so");
    bool can = simdev && shim && !device_xrt_libraries(dir);
    base_free(simdev);
    base_free(shim);
    return can;
}

static void test_env(void **state)
{
    (void)state;
    struct device_env env, other;
    struct hw hw = board();
    struct stat st;
    if (!can_emulate())
        skip();
    setenv("LD_PRELOAD", "", 1);
    assert_ok(device_env_open(&env, &hw, "/some where/it's.so"));
    assert_int_equal(stat(env.dir, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);          /* nobody else's business */
    assert_string_equal(value(&env, "XCL_EMULATION_MODE"), "hw_emu");
    char *user = base_format("/tmp/%s", value(&env, "USER"));
    assert_string_equal(user, env.dir);             /* XRT's sockets land in the folder */
    base_free(user);

    /* The first message, which carries the padding, is longer than any later one. */
    uint8_t *ini;
    size_t len;
    assert_ok(base_file_read(&ini, &len, value(&env, "XRT_INI_PATH"), 1 << 20));
    const char *packet = strstr((char *)ini, "packet_size="), *pad = strstr((char *)ini, "rpcbuf_pad=");
    assert_true(packet && pad);
    assert_true(strspn(pad + 11, "x") > (size_t)atol(packet + 12) + 100);
    base_free(ini);

    assert_int_equal(stat(unit_path(env.dir, "sim/simulate.sh"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_ok(base_file_read(&ini, &len, unit_path(env.dir, "sim/simulate.sh"), 1 << 20));
    assert_non_null(strstr((char *)ini, "--simulator '/some where/it'\\''s.so'"));
    assert_non_null(strstr((char *)ini, "--read-latency 40 "));
    base_free(ini);

    /* A second one takes the first one, which is in use, for nobody's orphan no more than itself. */
    char first[64];
    strcpy(first, env.dir);
    assert_ok(device_env_open(&other, &hw, "/x.so"));
    assert_int_equal(access(first, F_OK), 0);
    device_env_close(&other);
    device_env_close(&env);
    assert_int_equal(access(first, F_OK), -1);
}

/* A folder whose owner was killed goes when the next one comes; one that was left on purpose stays. */
static void test_orphans(void **state)
{
    (void)state;
    struct device_env env;
    char dir[64] = "", kept[64];
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (!device_env_folder(&env) && write(fd[1], env.dir, sizeof env.dir) > 0)
            raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(read(fd[0], dir, sizeof dir), sizeof dir);
    waitpid(pid, NULL, 0);
    assert_int_equal(access(dir, F_OK), 0);
    assert_ok(device_env_folder(&env));
    assert_int_equal(access(dir, F_OK), -1);
    strcpy(kept, env.dir);
    device_env_leave(&env);
    assert_ok(device_env_folder(&env));
    assert_int_equal(access(kept, F_OK), 0);
    device_env_close(&env);
    unit_remove(kept);
    close(fd[0]);
    close(fd[1]);
}

static void test_merge(void **state)
{
    (void)state;
    struct device_env env = { .lock = -1, .n_var = 2, .var = { (char *)"USER=x", (char *)"BITPRESS_NEW=1" } };
    setenv("USER", "somebody", 1);
    setenv("BITPRESS_TEST_KEPT", "yes", 1);
    char **e = device_env_merge(&env);
    int users = 0, news = 0, kept = 0;
    for (char **v = e; *v; v++) {
        users += !strncmp(*v, "USER=", 5);
        news += !strcmp(*v, "BITPRESS_NEW=1") || !strcmp(*v, "USER=x");
        kept += !strcmp(*v, "BITPRESS_TEST_KEPT=yes");
    }
    assert_int_equal(users, 1);
    assert_int_equal(news, 2);
    assert_int_equal(kept, 1);
    base_free(e);
}

static void test_missing(void **state)
{
    (void)state;
    char dir[256];
    setenv("XILINX_XRT", "/nonexistent", 1);
    assert_error(device_xrt_libraries(dir), BASE_MISSING, "XILINX_XRT=/nonexistent has no lib/libxrt_coreutil.so.2");
    unsetenv("XILINX_XRT");
    assert_null(device_program("bitpress-nothing"));
    assert_non_null(strstr(base_error(), "bitpress-nothing is not built"));
    assert_non_null(strstr(base_error_hint(), "libxrt-dev"));
    struct device *d;
    struct hw hw = board();
    struct device_target t = { .api = "xrt", .index = 2 };
    unsetenv("BITPRESS_XCLBIN");
    assert_error(device_open(&d, &t, &hw, "/x.so", NULL), BASE_MISSING, "there is no device 2");
    assert_null(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xclbin),  cmocka_unit_test(test_xclbin_layout), cmocka_unit_test(test_xclbin_failures), cmocka_unit_test(test_kernel_xml), cmocka_unit_test(test_overlay_xclbin), cmocka_unit_test(test_env),
        cmocka_unit_test(test_orphans), cmocka_unit_test(test_merge),         cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
