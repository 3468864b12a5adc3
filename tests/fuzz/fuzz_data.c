/* Data sets: NumPy arrays and idx files, plain or gzip. The first byte chooses, the next two say where the
 * second file (the labels) begins. What is accepted has as many pixels and labels as it says. */
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

/* A folder whose two idx files are links to files in memory. */
static const char *idx_folder(const char *images, const char *labels)
{
    static char dir[64];
    if (!*dir) {
        char path[128];
        snprintf(dir, sizeof dir, "/tmp/bitpress-fuzz-XXXXXX");
        FUZZ_DEMAND(mkdtemp(dir) != NULL);
        snprintf(path, sizeof path, "%s/t10k-images-idx3-ubyte", dir);
        FUZZ_DEMAND(!symlink(images, path));
        snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", dir);
        FUZZ_DEMAND(!symlink(labels, path));
    }
    return dir;
}

static void clean_up(void)
{
    const char *dir = idx_folder("", "");
    char path[128];
    snprintf(path, sizeof path, "%s/t10k-images-idx3-ubyte", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", dir);
    unlink(path);
    rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static bool once;
    if (len < 3)
        return 0;
    size_t cut = (size_t)bytes[1] | (size_t)bytes[2] << 8, all = len - 3;
    cut = cut < all ? cut : all;
    const char *first = fuzz_file(0, bytes + 3, cut), *second = fuzz_file(1, bytes + 3 + cut, all - cut);
    char spec[256];
    if (bytes[0] & 1)
        snprintf(spec, sizeof spec, "npy:%s,%s", first, second);
    else
        snprintf(spec, sizeof spec, "idx:%s", idx_folder(first, second));
    if (!once && !(bytes[0] & 1))
        once = !atexit(clean_up);
    struct data_set s = { 0 };
    int rc = data_open(&s, spec, DATA_TEST);
    fuzz_result(rc);
    if (!rc)
        use(&s);
    data_free(&s);
    return 0;
}
