/* Data sets: NumPy arrays, idx files, plain or gzip, and CIFAR-10's (never its 30 MB: unit tests do that). The
 * first byte chooses, the next two say where the second file (the labels) begins. What is accepted has as many
 * pixels and labels as it says. Pictures have a target of their own. */
#include "fuzz.h"

#include "data/data.h"

static void use(struct data_set *s)
{
    uint64_t sum = 0;
    FUZZ_DEMAND(s->n > 0 && s->h > 0 && s->w > 0 && s->c > 0 && s->classes > 0);
    for (size_t i = 0; i < (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->c; i++)
        sum += s->pixels[i];
    for (int i = 0; i < s->n; i++)
        FUZZ_DEMAND(s->label[i] < s->classes && sum + 1);
}

/* Files of a set in a folder: links to two files in memory. */
static const struct { const char *name; int slot; } links[] = {
    { "t10k-images-idx3-ubyte", 0 }, { "t10k-labels-idx1-ubyte", 1 }, { "test_batch.bin", 0 },
};
static char dir[64];

static void clean_up(void)
{
    char path[128];
    for (int i = 0; i < BASE_COUNT(links); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, links[i].name);
        unlink(path);
    }
    rmdir(dir);
}

static void make_folder(const char *const file[2])
{
    char path[128];
    snprintf(dir, sizeof dir, "/tmp/bitpress-fuzz-XXXXXX");
    FUZZ_DEMAND(mkdtemp(dir) != NULL && !atexit(clean_up));
    for (int i = 0; i < BASE_COUNT(links); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, links[i].name);
        FUZZ_DEMAND(!symlink(file[links[i].slot], path));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 3)
        return 0;
    size_t cut = (size_t)bytes[1] | (size_t)bytes[2] << 8, all = len - 3;
    cut = cut < all ? cut : all;
    const char *const file[2] = { fuzz_file(0, bytes + 3, cut), fuzz_file(1, bytes + 3 + cut, all - cut) };
    char spec[256];
    if (!*dir)
        make_folder(file);
    switch (bytes[0] % 3) {
    case 0: snprintf(spec, sizeof spec, "idx:%s", dir); break;
    case 1: snprintf(spec, sizeof spec, "npy:%s,%s", file[0], file[1]); break;
    default: snprintf(spec, sizeof spec, "cifar10:%s", dir);
    }
    struct data_set s = { 0 };
    int rc = data_open(&s, spec, DATA_TEST);
    fuzz_result(rc);
    if (!rc)
        use(&s);
    data_free(&s);
    return 0;
}
