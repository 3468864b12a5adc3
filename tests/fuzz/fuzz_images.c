/* Pictures: one file, PNG or JPEG, in a class folder. The first byte chooses size, cut and colours. */
#include "fuzz.h"

#include <sys/stat.h>

#include "data/data.h"

static char dir[64], picture[128];

static void clean_up(void)
{
    static const char *const made[] = { "test/a", "test/b", "test" };
    char path[128];
    unlink(picture);
    for (int i = 0; i < BASE_COUNT(made); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, made[i]);
        rmdir(path);
    }
    rmdir(dir);
}

/* DIR/test/a/x.png is a link to the file in memory; class b has no pictures. */
static void make_folder(const char *target)
{
    char path[128];
    base_log_level(BASE_LOG_QUIET);
    snprintf(dir, sizeof dir, "/tmp/bitpress-fuzz-XXXXXX");
    FUZZ_DEMAND(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/test/a", dir);
    FUZZ_DEMAND(!base_mkdirs(path));
    snprintf(path, sizeof path, "%s/test/b", dir);
    FUZZ_DEMAND(!base_mkdirs(path));
    snprintf(picture, sizeof picture, "%s/test/a/x.png", dir);
    FUZZ_DEMAND(!symlink(target, picture) && !atexit(clean_up));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char *const size[] = { "@4", "@24", "@16x8", "@8,12" };
    if (len < 1)
        return 0;
    const char *file = fuzz_file(0, bytes + 1, len - 1);
    if (!*dir)
        make_folder(file);
    char spec[128];
    struct data_set s = { 0 };
    struct data_options o = DATA_OPTIONS_INIT;
    o.shape.c = bytes[0] & 4 ? 1 : 3;
    snprintf(spec, sizeof spec, "images:%s%s", dir, size[bytes[0] & 3]);
    int rc = data_open_as(&s, spec, DATA_TEST, &o);
    fuzz_result(rc);
    if (!rc)
        FUZZ_DEMAND(s.n == 1 && s.label[0] == 0 && s.classes == 2);
    uint64_t sum = 0;
    for (size_t i = 0; i < (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)s.c; i++)
        sum += s.pixels[i];
    FUZZ_DEMAND(sum <= 255u * 24 * 24 * 3);
    data_free(&s);
    return 0;
}
