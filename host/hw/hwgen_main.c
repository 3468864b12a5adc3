/* hwgen BOARD OUTDIR: writes OUTDIR/bitpress_hw_pkg.sv and OUTDIR/bitpress_hw.h. */
#include "hw/hw.h"

static int generate(const char *board, const char *dir)
{
    struct hw hw;
    char sv[4096], c[4096];
    int rc = hw_load(&hw, board);
    if (rc)
        return rc;
    if ((size_t)snprintf(sv, sizeof sv, "%s/bitpress_hw_pkg.sv", dir) >= sizeof sv ||
        (size_t)snprintf(c, sizeof c, "%s/bitpress_hw.h", dir) >= sizeof c)
        return base_fail(BASE_INPUT, "the name of the output folder is too long");
    rc = base_mkdirs(dir);
    if (!rc)
        rc = hw_write_sv(&hw, sv);
    return rc ? rc : hw_write_c(&hw, c);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: hwgen BOARD OUTDIR\n");
        return 2;
    }
    int rc = generate(argv[1], argv[2]);
    if (rc)
        fprintf(stderr, "hwgen: %s\n", base_error());
    return base_exit_code(rc);
}
