/* xclbin.c: the container that XRT loads, written field by field at its offsets (little-endian):
 *
 *   0 magic "xclbin2"; 8 signature length -1; 12..296 unused, 0xff; 296 unique id; 304 header; 456 sections
 *   header: length, time stamp, feature ROM time; 328 version; 332 mode; 336 ROM id; 352 platform name;
 *   416 uuid; 432 debug name; 448 number of sections
 *   section: kind, name [16], 4 bytes of padding, offset, bytes
 *
 * Sections here: metadata, memory topology, connectivity, IP layout. */
#include <string.h>

#include "device/device_internal.h"

enum { SECTIONS = 4, HEAD = 456, SECTION_HEAD = 40 };
enum { EMBEDDED_METADATA = 2, MEM_TOPOLOGY = 6, CONNECTIVITY = 7, IP_LAYOUT = 8 };
enum { MODE_FLAT = 0, MODE_HW_EMU = 4, MEM_DDR4 = 1, IP_KERNEL = 1 };

const struct device_place device_emulation = { "emulation", "hw_em", MODE_HW_EMU, DEVICE_CU_BASE, DEVICE_MEM_BASE, DEVICE_MEM_BYTES };
static const struct device_place overlay = { "overlay", "bitstream", MODE_FLAT, DEVICE_OVERLAY_CU_BASE, 0, DEVICE_OVERLAY_MEM_BYTES };

/* ---- bytes -------------------------------------------------------------------------- */

static void put(struct base_text *t, uint64_t v, int bytes)
{
    uint8_t b[8];
    for (int i = 0; i < bytes; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    base_text_add_bytes(t, b, (size_t)bytes);
}

static void fill(struct base_text *t, int byte, size_t n)
{
    const uint8_t b = (uint8_t)byte;
    while (n-- > 0)
        base_text_add_bytes(t, &b, 1);
}

/* A text in a field of `n` bytes, the last one zero. */
static void put_text(struct base_text *t, const char *s, size_t n)
{
    size_t len = BASE_MIN(strlen(s), n - 1);
    base_text_add_bytes(t, s, len);
    fill(t, 0, n - len);
}

/* ---- sections ------------------------------------------------------------------------ */

static void mem_topology(struct base_text *t, const struct device_place *at)
{
    put(t, 1, 4);
    put(t, 0, 4);
    put(t, MEM_DDR4, 1);
    put(t, 1, 1);                                  /* used */
    fill(t, 0, 6);
    put(t, at->mem_bytes >> 10, 8);             /* KiB */
    put(t, at->mem_base, 8);
    put_text(t, "bank0", 16);
}

static void connectivity(struct base_text *t)
{
    int n = 0;
#define COUNT(name, reg, bytes, memory) n += memory;
    PROGRAM_ARGS(COUNT)
#undef COUNT
    put(t, (uint64_t)n, 4);
#define CONNECT(name, reg, bytes, memory)  \
    if (memory) {                          \
        put(t, PROGRAM_ARG_##name, 4);     \
        put(t, 0, 4);  /* the kernel */    \
        put(t, 0, 4);  /* bank 0 */        \
    }
    PROGRAM_ARGS(CONNECT)
#undef CONNECT
}

static void ip_layout(struct base_text *t, const struct device_place *at)
{
    put(t, 1, 4);
    put(t, 0, 4);
    put(t, IP_KERNEL, 4);
    put(t, 0, 4);                                  /* ap_ctrl_hs, no interrupt */
    put(t, at->cu_base, 8);
    put_text(t, PROGRAM_KERNEL ":" PROGRAM_KERNEL "_1", 64);
}

/* ---- the file ------------------------------------------------------------------------ */

static void head(struct base_text *t, const struct hw *hw, const struct device_place *at, uint64_t length)
{
    char platform[64];
    device_platform(platform, hw, at);
    put_text(t, "xclbin2", 8);
    put(t, 0xffffffff, 4);
    fill(t, 0xff, 28 + 256);
    put(t, hw->hash, 8);
    put(t, length, 8);
    put(t, 0, 8);                                  /* no time: the same file for the same hardware */
    put(t, 0, 8);
    put(t, 0, 2);
    put(t, 2, 1);
    put(t, 13, 1);
    put(t, (uint64_t)at->mode, 2);
    put(t, 0, 2);
    fill(t, 0, 16);
    put_text(t, platform, 64);
    put(t, hw->hash, 8);                           /* uuid */
    put(t, base_hash64(hw->hash, "xclbin", 6), 8);
    fill(t, 0, 16);
    put(t, SECTIONS, 4);
    put(t, 0, 4);
}

static void section_head(struct base_text *t, int kind, uint64_t offset, uint64_t bytes)
{
    put(t, (uint64_t)kind, 4);
    fill(t, 0, 16 + 4);
    put(t, offset, 8);
    put(t, bytes, 8);
}

static void assemble(struct base_text *t, const struct hw *hw, const struct device_place *place, const int *kind, const struct base_text *part)
{
    uint64_t offset[SECTIONS], at = HEAD + SECTIONS * SECTION_HEAD;
    for (int i = 0; i < SECTIONS; i++) {
        offset[i] = at;
        at += (part[i].len + 7) & ~UINT64_C(7);
    }
    head(t, hw, place, at);
    for (int i = 0; i < SECTIONS; i++)
        section_head(t, kind[i], offset[i], part[i].len);
    for (int i = 0; i < SECTIONS; i++) {
        base_text_add_bytes(t, part[i].s, part[i].len);
        fill(t, 0, -part[i].len & 7);
    }
}

static int write_xclbin(const char *path, const struct hw *hw, const struct device_place *at)
{
    static const int kind[SECTIONS] = { EMBEDDED_METADATA, MEM_TOPOLOGY, CONNECTIVITY, IP_LAYOUT };
    struct base_text part[SECTIONS] = { 0 }, t = { 0 };
    device_metadata(&part[0], hw, at);
    mem_topology(&part[1], at);
    connectivity(&part[2]);
    ip_layout(&part[3], at);
    bool failed = false;
    for (int i = 0; i < SECTIONS; i++)
        failed = failed || part[i].failed;
    if (!failed)
        assemble(&t, hw, at, kind, part);
    int rc = failed || t.failed ? BASE_NOMEM : base_file_write(path, t.s, t.len);
    for (int i = 0; i < SECTIONS; i++)
        base_text_free(&part[i]);
    base_text_free(&t);
    return rc;
}

int device_write_xclbin(const char *path, const struct hw *hw)
{
    return write_xclbin(path, hw, &device_emulation);
}

int device_write_overlay_xclbin(const char *path, const struct hw *hw)
{
    if (strncmp(hw->part, "xc7z", 4))
        return base_hint(base_fail(BASE_INPUT, "%s: the part %s is no Zynq-7000", hw->name, hw->part), "v++ makes the xclbin: make bitstream BOARD=%s", hw->name);
    return write_xclbin(path, hw, &overlay);
}
