/* cache.c: measured cycles on disk, one small file a program. Time on the accelerator does not
 * depend on weights, scales or images, so the key is the program's structure (header, maps, layers,
 * K-words) and the RTL that was measured. A file that does not read back whole counts as absent. */
#include <inttypes.h>
#include <string.h>

#include "score/score_internal.h"

uint64_t score_cache_key(const struct accel_program *p, const char *rtl_hash)
{
    const uint64_t *im = p->image;
    size_t maps = (im[2] >> 16) & 0xffff, layers = im[2] & 0xffff, kwords = (im[2] >> 32) & 0xffff;
    size_t words = PROGRAM_HEADER_WORDS + maps * PROGRAM_MAP_WORDS + layers * PROGRAM_LAYER_WORDS + kwords * PROGRAM_KWORD_WORDS;
    uint64_t h = base_hash64(0, rtl_hash, strlen(rtl_hash));
    const double memory[] = { p->hw.port_gbytes_s, p->hw.clock_mhz, (double)p->hw.read_latency, (double)p->hw.write_latency, (double)p->hw.burst_beats };
    h = base_hash64(h, memory, sizeof memory);
    return base_hash64(h, im, 8 * BASE_MIN(words, p->image_words));
}

static char *cache_path(const char *dir, uint64_t key)
{
    return base_format("%s/%016" PRIx64 ".cycles", dir, key);
}

bool score_cache_get(struct score_result *out, const char *dir, uint64_t key)
{
    char *path = cache_path(dir, key);
    FILE *f = path ? fopen(path, "r") : NULL;
    int n = 0;
    bool ok = f && fscanf(f, "bitpress-cycles 1 %d %" SCNd64 " %" SCNd64, &n, &out->cycles, &out->load_cycles) == 3 && n == out->n_layer;
    for (int i = 0; ok && i < n; i++)
        ok = fscanf(f, "%" SCNd64, &out->layer[i].cycles) == 1;
    ok = ok && fscanf(f, " end %d", &n) == 1;
    if (f)
        fclose(f);
    base_free(path);
    return ok;
}

int score_cache_put(const struct score_result *r, const char *dir, uint64_t key)
{
    int rc = base_mkdirs(dir);
    char *path = rc ? NULL : cache_path(dir, key);
    struct base_text t = { 0 };
    base_text_add(&t, "bitpress-cycles 1 %d %" PRId64 " %" PRId64 "\n", r->n_layer, r->cycles, r->load_cycles);
    for (int i = 0; i < r->n_layer; i++)
        base_text_add(&t, "%" PRId64 "\n", r->layer[i].cycles);
    base_text_add(&t, "end 1\n");
    if (!rc)
        rc = path && !t.failed ? base_file_write(path, t.s, t.len) : BASE_NOMEM;
    base_text_free(&t);
    base_free(path);
    return rc;
}
