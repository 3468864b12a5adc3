/* hw: finds, reads and checks board descriptions. */
#include "hw/hw.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

#ifndef BITPRESS_SHARE_DIR
#define BITPRESS_SHARE_DIR "/usr/local/share/bitpress"
#endif

struct array_file { int m, n, cg, k, drain; };
struct depth_file { int act, weight, coef, scale, kword, layer, map; };
struct budget_file { int lut, ff, bram36, dsp; };
struct memory_file { int port_bits, burst_beats, read_latency, write_latency; double gbytes_per_s; };
struct clock_file { double mhz; char is[16]; };
struct board_file {
    char name[32], part[48], board[64];
    struct array_file array;
    struct depth_file depth;
    struct budget_file budget;
    struct memory_file memory;
    struct clock_file clock;
};

#define INT(T, key) CYAML_FIELD_INT(#key, CYAML_FLAG_DEFAULT, struct T, key)
#define FLOAT(T, key) CYAML_FIELD_FLOAT(#key, CYAML_FLAG_DEFAULT, struct T, key)
#define TEXT(T, key) CYAML_FIELD_STRING(#key, CYAML_FLAG_DEFAULT, struct T, key, 1)
#define PART(key) CYAML_FIELD_MAPPING(#key, CYAML_FLAG_DEFAULT, struct board_file, key, key##_fields)

static const cyaml_schema_field_t array_fields[] = {
    INT(array_file, m), INT(array_file, n), INT(array_file, cg), INT(array_file, k), INT(array_file, drain),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t depth_fields[] = {
    INT(depth_file, act), INT(depth_file, weight), INT(depth_file, coef), INT(depth_file, scale),
    INT(depth_file, kword), INT(depth_file, layer), INT(depth_file, map),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t budget_fields[] = {
    INT(budget_file, lut), INT(budget_file, ff), INT(budget_file, bram36), INT(budget_file, dsp),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t memory_fields[] = {
    INT(memory_file, port_bits), INT(memory_file, burst_beats), INT(memory_file, read_latency),
    INT(memory_file, write_latency), FLOAT(memory_file, gbytes_per_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t clock_fields[] = {
    FLOAT(clock_file, mhz), TEXT(clock_file, is),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t board_fields[] = {
    TEXT(board_file, name), TEXT(board_file, part), TEXT(board_file, board),
    PART(array), PART(depth), PART(budget), PART(memory), PART(clock),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t board_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct board_file, board_fields)
};

/* ---- checks ----------------------------------------------------------------- */

struct limit { const char *key; int value, lo, hi; bool power; };

static int check_limits(const char *path, const struct limit *l, int n)
{
    for (int i = 0; i < n; i++) {
        if (l[i].value < l[i].lo || l[i].value > l[i].hi)
            return base_fail(BASE_INPUT, "%s: '%s' is %d; allowed is %d to %d", path, l[i].key, l[i].value, l[i].lo,
                             l[i].hi);
        if (l[i].power && (l[i].value & (l[i].value - 1)))
            return base_fail(BASE_INPUT, "%s: '%s' is %d; it must be a power of two", path, l[i].key, l[i].value);
    }
    return BASE_OK;
}

static int check_names(const char *path, const struct hw *h)
{
    const char *known[] = { "assumed", "routed", "measured" };
    if (!*h->name || strspn(h->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(h->name))
        return base_fail(BASE_INPUT, "%s: 'name' may hold letters, digits, '-', '_' and '.' only", path);
    for (int i = 0; i < BASE_COUNT(known); i++)
        if (strcmp(h->clock_is, known[i]) == 0)
            return BASE_OK;
    return base_fail(BASE_INPUT, "%s: 'clock.is' is '%s'; allowed are assumed, routed, measured", path, h->clock_is);
}

static int check(const char *path, const struct hw *h)
{
    const struct limit limits[] = {
        { "array.m", h->m, 16, 16, true },
        { "array.n", h->n, 8, 32, true },
        { "array.cg", h->cg, 16, 16, true },
        { "array.drain", h->drain, 1, h->m * h->n, true },
        { "depth.act", h->act_depth, 64, 65536, true },
        { "depth.weight", h->weight_depth, 16, 65536, true },
        { "depth.coef", h->coef_depth, 16, 32768, true },
        { "depth.scale", h->scale_depth, 16, 32768, true },
        { "depth.kword", h->kword_depth, 16, 32768, true },
        { "depth.layer", h->layer_depth, 4, 256, true },
        { "depth.map", h->map_depth, 4, 256, true },
        { "budget.lut", h->lut, 1, 10000000, false },
        { "budget.ff", h->ff, 1, 10000000, false },
        { "budget.bram36", h->bram36, 1, 100000, false },
        { "budget.dsp", h->dsp, 1, 100000, false },
        { "memory.port_bits", h->port_bits, 64, 64, true },
        { "memory.burst_beats", h->burst_beats, 1, 16, true },
        { "memory.read_latency", h->read_latency, 1, 10000, false },
        { "memory.write_latency", h->write_latency, 1, 10000, false },
    };
    int rc = check_limits(path, limits, BASE_COUNT(limits));
    if (rc)
        return rc;
    if (h->k != 9 * h->cg)
        return base_fail(BASE_INPUT, "%s: 'array.k' is %d; it must be 9 x cg = %d", path, h->k, 9 * h->cg);
    if (hw_drain_steps(h) > 15)
        return base_fail(BASE_INPUT, "%s: 'array.drain' is %d; a tile of %d must drain in at most 15 cycles", path, h->drain,
                         h->m * h->n);
    if (h->drain % h->m)
        return base_fail(BASE_INPUT, "%s: 'array.drain' is %d; it must be a multiple of m = %d", path, h->drain, h->m);
    if (!(h->clock_mhz >= 1 && h->clock_mhz <= 2000))
        return base_fail(BASE_INPUT, "%s: 'clock.mhz' is %g; allowed is 1 to 2000", path, h->clock_mhz);
    double peak = h->port_bits / 8 * h->clock_mhz / 1000;
    if (!(h->port_gbytes_s > 0 && h->port_gbytes_s <= peak))
        return base_fail(BASE_INPUT, "%s: 'memory.gbytes_per_s' is %g; the port gives at most %g at this clock", path,
                         h->port_gbytes_s, peak);
    return check_names(path, h);
}

/* Budget, clock and memory timing change no wire and no program. */
uint64_t hw_shape_hash(const struct hw *h)
{
    const int32_t v[] = { h->m, h->n, h->cg, h->k, h->drain, h->act_depth, h->weight_depth, h->coef_depth,
                          h->scale_depth, h->kword_depth, h->layer_depth, h->map_depth, h->port_bits, h->burst_beats };
    return base_hash64(1, v, sizeof v);
}

/* ---- loading ---------------------------------------------------------------- */

static void take(struct hw *h, const struct board_file *f)
{
    *h = (struct hw){
        .m = f->array.m, .n = f->array.n, .cg = f->array.cg, .k = f->array.k, .drain = f->array.drain,
        .act_depth = f->depth.act, .weight_depth = f->depth.weight, .coef_depth = f->depth.coef,
        .scale_depth = f->depth.scale, .kword_depth = f->depth.kword, .layer_depth = f->depth.layer,
        .map_depth = f->depth.map,
        .lut = f->budget.lut, .ff = f->budget.ff, .bram36 = f->budget.bram36, .dsp = f->budget.dsp,
        .port_bits = f->memory.port_bits, .burst_beats = f->memory.burst_beats,
        .read_latency = f->memory.read_latency, .write_latency = f->memory.write_latency,
        .port_gbytes_s = f->memory.gbytes_per_s, .clock_mhz = f->clock.mhz,
    };
    memcpy(h->name, f->name, sizeof h->name);
    memcpy(h->part, f->part, sizeof h->part);
    memcpy(h->board, f->board, sizeof h->board);
    memcpy(h->clock_is, f->clock.is, sizeof h->clock_is);
}

static int load_file(struct hw *out, const char *path)
{
    void *file = NULL;
    int rc = config_load(&file, path, &board_schema);
    if (rc)
        return rc;
    take(out, file);
    config_free(file, &board_schema);
    rc = check(path, out);
    out->hash = hw_shape_hash(out);
    return rc;
}

/* The folders that hold NAME/board.yaml, in order of search: what the user says, the working folder, the
 * source tree that the program was built in, where it is installed. */
enum { MAX_DIRS = 6, DIR_LEN = 4096 };
struct dirs { int n; char at[MAX_DIRS][DIR_LEN]; };

static void add_dir(struct dirs *d, const char *base, const char *rest)
{
    if ((size_t)snprintf(d->at[d->n], DIR_LEN, "%s%s", base, rest) < DIR_LEN)
        d->n++;
}

static void search_path(struct dirs *d)
{
    char exe[DIR_LEN];
    const char *env = getenv("BITPRESS_BOARDS");
    d->n = 0;
    if (env && *env)
        add_dir(d, env, "");
    add_dir(d, "boards", "");
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[BASE_MAX(len, 0)] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash) {
        *slash = '\0';
        add_dir(d, exe, "/../boards");           /* build/bitpress */
        add_dir(d, exe, "/../../boards");        /* build/tests/NAME */
        add_dir(d, exe, "/../share/bitpress/boards");
    }
    add_dir(d, BITPRESS_SHARE_DIR, "/boards");
}

int hw_load(struct hw *out, const char *name_or_path)
{
    if (strchr(name_or_path, '/') || strstr(name_or_path, ".yaml"))
        return load_file(out, name_or_path);
    struct dirs d;
    search_path(&d);
    for (int i = 0; i < d.n; i++) {
        char path[DIR_LEN + 64];
        if ((size_t)snprintf(path, sizeof path, "%s/%s/board.yaml", d.at[i], name_or_path) >= sizeof path)
            return base_fail(BASE_INPUT, "board name of %zu characters is too long", strlen(name_or_path));
        if (base_file_exists(path))
            return load_file(out, path);
    }
    int rc = base_fail(BASE_INPUT, "board '%.60s' is unknown", name_or_path);
    return base_hint(rc, "`bitpress board list` lists those that are found; BITPRESS_BOARDS names a folder with more, as NAME/board.yaml");
}

static bool listed(char names[][32], int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static int list_one(char names[][32], int n, int max, const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return n;
    for (struct dirent *e; n < max && (e = readdir(d));) {
        char path[4096];
        if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof names[0] || listed(names, n, e->d_name))
            continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s/board.yaml", dir, e->d_name) < sizeof path && base_file_exists(path))
            strcpy(names[n++], e->d_name);
    }
    closedir(d);
    return n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

int hw_list(char names[][32], int max)
{
    struct dirs d;
    int n = 0;
    search_path(&d);
    for (int i = 0; i < d.n; i++)
        n = list_one(names, n, max, d.at[i]);
    qsort(names, (size_t)n, sizeof names[0], by_name);
    return n;
}
