/* cache.c: cycles that the RTL took, on disk. The engine runs layer after layer, so a layer's cycles depend on its
 * own records, on what kind of layer it follows and, where it begins while that drains (EARLY), on that one's records:
 * the table holds one row for each layer ever measured behind such a one, one for what follows the last layer and one
 * for the load. (What that one had left of its own predecessor's pace is settled by its end, but for rare shapes; rows
 * that disagree with the model are measured again.) A row's key is the hash of all that decides its time - shapes, plane lists, memory port, the RTL's
 * hash - and of nothing else: not of weights, scales, addresses or images.
 *
 * DIR/rtl-HASH.cycles, a row a line: key, cycles, CRC32C of the two. Rows are appended in one write, so
 * processes can share the file; a line that does not read back whole counts as absent. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "score/score_internal.h"

enum { MAX_TABLE = 1 << 28, MAX_KEYS = PROGRAM_TIMED_LAYERS + 2 };

struct row { uint64_t key; int64_t cycles; };
struct table { struct row *row; int n; };

/* ---- the file -------------------------------------------------------------------- */

static char *table_path(const char *dir, const char *rtl_hash)
{
    return base_format("%s/rtl-%s.cycles", dir, rtl_hash);
}

static uint32_t check_of(const struct row *r)
{
    uint32_t crc = base_crc32c(0, &r->key, sizeof r->key);
    return base_crc32c(crc, &r->cycles, sizeof r->cycles);
}

static bool parse_row(struct row *r, const char *line)
{
    uint32_t check;
    return sscanf(line, "%16" SCNx64 " %" SCNd64 " %8" SCNx32, &r->key, &r->cycles, &check) == 3 && check == check_of(r) && r->cycles >= 0;
}

static int by_key(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int count_lines(const char *s)
{
    int n = 1;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

/* A table that cannot be read is empty: then things are measured again. */
static void table_read(struct table *t, const char *path)
{
    uint8_t *text = NULL;
    size_t len;
    *t = (struct table){ 0 };
    if (!base_file_exists(path) || base_file_read(&text, &len, path, MAX_TABLE))
        return;
    t->row = BASE_NEW_N(struct row, count_lines((char *)text));
    char *next = (char *)text;
    for (char *line; t->row && (line = strsep(&next, "\n"));)
        t->n += parse_row(&t->row[t->n], line);
    if (t->n)
        qsort(t->row, (size_t)t->n, sizeof *t->row, by_key);
    base_free(text);
}

static bool table_find(const struct table *t, uint64_t key, int64_t *cycles)
{
    const struct row want = { .key = key };
    const struct row *r = t->n ? bsearch(&want, t->row, (size_t)t->n, sizeof *t->row, by_key) : NULL;
    if (r)
        *cycles = r->cycles;
    return r;
}

/* The empty line ends whatever a killed process left behind. */
static int table_append(const char *path, const struct row *row, int n)
{
    struct base_text t = { 0 };
    base_text_add(&t, "\n");
    for (int i = 0; i < n; i++)
        base_text_add(&t, "%016" PRIx64 " %" PRId64 " %08" PRIx32 "\n", row[i].key, row[i].cycles, check_of(&row[i]));
    int rc = t.failed ? BASE_NOMEM : BASE_OK;
    int fd = rc ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (!rc && (fd < 0 || write(fd, t.s, t.len) != (ssize_t)t.len))
        rc = base_hint(base_fail(BASE_IO, "%s: cannot keep the measured cycles", path), "free some space there, or measure without the cache (--no-cache)");
    if (fd >= 0)
        close(fd);
    base_text_free(&t);
    return rc;
}

/* ---- keys ------------------------------------------------------------------------ */

static uint32_t bits(uint64_t word, int hi, int lo)
{
    return (uint32_t)(word >> lo & ((2ull << (hi - lo)) - 1));
}

static uint64_t add(uint64_t h, uint64_t value)
{
    return base_hash64(h, &value, sizeof value);
}

struct view { const uint64_t *image, *map, *layer, *kword; };

static struct view view_of(const struct accel_program *p)
{
    struct view v = { .image = p->image, .map = p->image + PROGRAM_HEADER_WORDS };
    v.layer = v.map + bits(v.image[2], 31, 16) * PROGRAM_MAP_WORDS;
    v.kword = v.layer + bits(v.image[2], 15, 0) * PROGRAM_LAYER_WORDS;
    return v;
}

static uint32_t planes_of(const struct view *v, uint32_t map)
{
    return bits(v->map[map * PROGRAM_MAP_WORDS], 51, 48);
}

/* Words of a tile: planes of the output, or of a paired map those of two groups, of which the last filter group may have one. */
static uint32_t words_key(const struct view *v, const uint64_t *layer)
{
    uint32_t map = bits(layer[0], 31, 16), behind = bits(layer[1], 63, 48) + bits(layer[1], 15, 0);
    const uint64_t *w = v->map + map * PROGRAM_MAP_WORDS;
    uint32_t paired = bits(w[0], 63, 63);
    return planes_of(v, map) | paired << 8 | (paired && bits(w[1], 47, 32) < 2 * behind) << 9;
}

/* Where a window begins, and the map's width, decide its reads. */
static uint64_t window_key(const struct view *v, uint32_t map, uint32_t flags, uint32_t wn, uint32_t columns, uint32_t ox)
{
    uint32_t start = flags & PROGRAM_KW_GROUP ? columns : ox, width = bits(v->map[map * PROGRAM_MAP_WORDS + 1], 31, 16);
    return (uint64_t)width << 40 | (uint64_t)planes_of(v, map) << 32 | flags << 16 | wn << 8 | start;
}

static uint64_t lists_key(uint64_t h, const struct view *v, const uint64_t *layer)
{
    const uint64_t *k = v->kword + (size_t)bits(layer[1], 31, 16) * PROGRAM_KWORD_WORDS;
    for (uint32_t filters = bits(layer[1], 15, 0); filters > 0; k += PROGRAM_KWORD_WORDS) {
        uint32_t flags = bits(k[0], 15, 8);
        h = add(h, window_key(v, bits(k[0], 7, 0), flags, bits(k[0], 23, 16), bits(k[0], 31, 24), bits(k[0], 63, 56)));
        filters -= (flags & PROGRAM_KW_LAST) != 0;
    }
    return h;
}

/* Operation and shape, then what the operation's time depends on. */
static uint64_t records_key(uint64_t h, const struct view *v, const uint64_t *layer)
{
    uint32_t op = bits(layer[0], 7, 0);
    bool logits = op == PROGRAM_MAC && (bits(layer[0], 15, 8) & PROGRAM_LY_LOGITS);
    h = add(h, (uint64_t)op << 8 | logits);
    h = add(h, bits(layer[0], 63, 32));
    h = add(h, bits(layer[1], 15, 0));
    if (op == PROGRAM_INPUT)
        return add(h, bits(layer[1], 31, 16));
    h = add(h, logits ? bits(layer[3], 31, 0) : words_key(v, layer));
    if (op == PROGRAM_MAXPOOL)
        return add(h, window_key(v, bits(layer[1], 31, 16), bits(layer[2], 16, 16) ? PROGRAM_KW_STRIDE2 : 0, 1, 0, bits(layer[2], 15, 8)));
    return lists_key(h, v, layer);
}

/* Layer i behind the one before it. */
static uint64_t layer_key(uint64_t root, const struct view *v, int i)
{
    const uint64_t *layer = v->layer + (size_t)i * PROGRAM_LAYER_WORDS, *before = layer - PROGRAM_LAYER_WORDS;
    uint64_t h = records_key(root, v, layer);
    if (i == 0)
        return h;
    return bits(layer[0], 15, 8) & PROGRAM_LY_EARLY ? add(records_key(h, v, before), bits(before[0], 15, 8)) : add(h, bits(before[0], 7, 0));
}

static uint64_t root_key(const struct hw *hw, const char *rtl_hash)
{
    const double memory[] = { hw->port_gbytes_s, hw->clock_mhz, (double)hw->read_latency, (double)hw->write_latency, (double)hw->burst_beats };
    uint64_t h = base_hash64(0, rtl_hash, strlen(rtl_hash));
    return add(base_hash64(h, memory, sizeof memory), hw->hash);
}

/* With a stream a layer's time depends on all that comes before it, and with more layers than are timed the tail on more than the
 * last: the program's own keys. */
static int stream_keys(uint64_t key[MAX_KEYS], const struct accel_program *p, uint64_t root)
{
    uint64_t h = base_hash64(add(root, 'S'), p->image, p->image_words * 8);
    int n = BASE_MIN(p->n_layer, PROGRAM_TIMED_LAYERS) + 2;
    for (int i = 0; i < n; i++)
        key[i] = add(h, (uint64_t)i);
    return n;
}

/* Keys of the layers, of the tail behind the last, and of the load; their number, or 0 where a network does not
 * end with its result: then the tail depends on more than the last layer. */
static int keys_of(uint64_t key[MAX_KEYS], const struct accel_program *p, const char *rtl_hash)
{
    struct view v = view_of(p);
    uint64_t root = root_key(&p->hw, rtl_hash);
    if (p->stream_words || p->n_layer > PROGRAM_TIMED_LAYERS)
        return stream_keys(key, p, root);
    for (int i = 0; i < p->n_layer; i++)
        key[i] = layer_key(root, &v, i);
    const uint64_t *last = v.layer + (size_t)(p->n_layer - 1) * PROGRAM_LAYER_WORDS;
    if (bits(last[0], 7, 0) != PROGRAM_MAC || !(bits(last[0], 15, 8) & PROGRAM_LY_LOGITS))
        return 0;
    key[p->n_layer] = add(key[p->n_layer - 1], 'T');
    uint64_t load = add(root, 'L');
    for (int i = 2; i <= 3; i++)
        load = add(load, v.image[i]);
    key[p->n_layer + 1] = load;
    return p->n_layer + 2;
}

/* ---- cycles ---------------------------------------------------------------------- */

bool score_cache_get(struct score_result *out, const struct score_job *job, const char *rtl_hash)
{
    uint64_t key[MAX_KEYS];
    int64_t cycles[MAX_KEYS] = { 0 };
    struct table t = { 0 };
    int n = keys_of(key, job->program, rtl_hash), layers = score_timed(out);
    char *path = table_path(job->cache_dir, rtl_hash);
    bool known = n > 0 && path;
    if (known)
        table_read(&t, path);
    for (int i = 0; known && i <= layers; i++)
        known = table_find(&t, key[i], &cycles[i]);
    if (known) {
        out->load_cycles = 0;
        table_find(&t, key[layers + 1], &out->load_cycles);
        out->cycles = cycles[layers];
        for (int i = 0; i < layers; i++) {
            out->layer[i].cycles = cycles[i];
            out->cycles += cycles[i];
        }
    }
    base_free(t.row);
    base_free(path);
    return known;
}

/* Rows that the table has already are not written again. */
static int put_rows(const char *dir, const char *rtl_hash, struct row *row, int n)
{
    struct table t = { 0 };
    int64_t old;
    int fresh = 0, rc = base_mkdirs(dir);
    char *path = rc ? NULL : table_path(dir, rtl_hash);
    if (!rc && !path)
        rc = BASE_NOMEM;
    if (!rc) {
        table_read(&t, path);
        for (int i = 0; i < n; i++)
            if (!table_find(&t, row[i].key, &old))
                row[fresh++] = row[i];
        if (fresh)
            rc = table_append(path, row, fresh);
    }
    base_free(t.row);
    base_free(path);
    return rc;
}

int score_cache_put(const struct score_result *r, const struct score_job *job, const char *rtl_hash)
{
    uint64_t key[MAX_KEYS];
    struct row row[MAX_KEYS];
    int n = keys_of(key, job->program, rtl_hash);
    if (n == 0)
        return BASE_OK;
    int64_t tail = r->cycles;
    int layers = score_timed(r);
    for (int i = 0; i < layers; i++) {
        row[i] = (struct row){ key[i], r->layer[i].cycles };
        tail -= r->layer[i].cycles;
    }
    row[layers] = (struct row){ key[layers], tail };
    row[layers + 1] = (struct row){ key[layers + 1], r->load_cycles };
    return put_rows(job->cache_dir, rtl_hash, row, n);
}

/* ---- comparisons ------------------------------------------------------------------ */

static uint64_t exact_key(const struct score_job *job, const char *rtl_hash)
{
    const struct accel_program *p = job->program;
    uint64_t h = add(root_key(&p->hw, rtl_hash), 'E');
    h = base_hash64(h, p->image, p->image_words * 8);
    h = base_hash64(h, p->weights, p->weight_words64 * 8);
    return job->images ? base_hash64(h, job->pixels, (size_t)job->images * p->input_bytes) : h;
}

bool score_cache_exact(const struct score_job *job, const char *rtl_hash)
{
    struct table t = { 0 };
    int64_t images = 0;
    char *path = table_path(job->cache_dir, rtl_hash);
    if (path)
        table_read(&t, path);
    bool known = table_find(&t, exact_key(job, rtl_hash), &images) && images == BASE_MAX(job->images, 1);
    base_free(t.row);
    base_free(path);
    return known;
}

int score_cache_put_exact(const struct score_job *job, const char *rtl_hash)
{
    struct row row = { exact_key(job, rtl_hash), BASE_MAX(job->images, 1) };
    return put_rows(job->cache_dir, rtl_hash, &row, 1);
}
