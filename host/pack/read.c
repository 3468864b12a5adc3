/* read: header, table, checksums, then each section; nothing is used before it is checked. */
#include "pack/pack_internal.h"

struct table {
    const char *name;          /* of the file */
    const uint8_t *file;
    size_t len;
    int major, minor, n;
    struct pack_section_info entry[PACK_MAX_SECTIONS];
};

static int remedy(int code)
{
    return base_hint(code, "copy or fetch the file again, or make it anew with 'bitpress apply' or 'bitpress compress'");
}

int pack_damaged(const char *name, enum pack_section section, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return remedy(base_fail(BASE_INPUT, "%s: section '%s': %s", name, pack_section_name[section], text));
}

/* ---- header and table ------------------------------------------------------- */

static int check_version(const struct table *t)
{
    if (t->major == PACK_MAJOR)
        return BASE_OK;
    base_fail(BASE_INPUT, "%s: pack format %d.%d; this program reads %d.x", t->name, t->major, t->minor, PACK_MAJOR);
    return base_hint(BASE_INPUT, "%s", t->major > PACK_MAJOR ? "use a newer bitpress" : "make the pack again with this bitpress");
}

static int read_header(struct table *t)
{
    const uint8_t *h = t->file;
    if (t->len < 8 || memcmp(h, PACK_MAGIC, 8) != 0) {
        base_fail(BASE_INPUT, "%s: not a weight pack", t->name);
        return base_hint(BASE_INPUT, "'bitpress apply' and 'bitpress compress' write packs (*.bpk)");
    }
    if (t->len < PACK_HEADER)
        return remedy(base_fail(BASE_INPUT, "%s: truncated inside its header", t->name));
    if (base_crc32c(0, h, PACK_HEADER - 4) != pack_little_endian(h + 60, 4))
        return remedy(base_fail(BASE_INPUT, "%s: the header is damaged (CRC)", t->name));
    t->major = (int)pack_little_endian(h + 8, 2);
    t->minor = (int)pack_little_endian(h + 10, 2);
    int rc = check_version(t);
    if (rc)
        return rc;
    uint64_t n = pack_little_endian(h + 12, 4), bytes = pack_little_endian(h + 16, 8);
    if (bytes != t->len)
        return remedy(base_fail(BASE_INPUT, "%s: %zu bytes where its header says %llu: %s", t->name, t->len, (unsigned long long)bytes,
                                t->len < bytes ? "truncated" : "something is behind its end"));
    if (n > PACK_MAX_SECTIONS || PACK_HEADER + n * PACK_ENTRY > t->len)
        return remedy(base_fail(BASE_INPUT, "%s: a table of %llu sections is impossible", t->name, (unsigned long long)n));
    if (base_crc32c(0, h + PACK_HEADER, n * PACK_ENTRY) != pack_little_endian(h + 56, 4))
        return remedy(base_fail(BASE_INPUT, "%s: the section table is damaged (CRC)", t->name));
    t->n = (int)n;
    return BASE_OK;
}

static bool zeros(const uint8_t *p, size_t n)
{
    while (n && !*p)
        p++, n--;
    return !n;
}

/* Sections lie in the table's order, each at the next multiple of 64, zeros between them. */
static int read_entries(struct table *t)
{
    size_t at = PACK_HEADER + (size_t)t->n * PACK_ENTRY;
    for (int i = 0; i < t->n; i++) {
        const uint8_t *e = t->file + PACK_HEADER + (size_t)i * PACK_ENTRY;
        struct pack_section_info *s = &t->entry[i];
        memcpy(s->name, e, sizeof s->name);
        s->offset = pack_little_endian(e + 8, 8);
        s->bytes = pack_little_endian(e + 16, 8);
        s->crc = (uint32_t)pack_little_endian(e + 24, 4);
        size_t start = (at + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
        if (s->name[7] || s->offset != start || start > t->len || s->bytes > t->len - start || !zeros(t->file + at, start - at))
            return remedy(base_fail(BASE_INPUT, "%s: section %d does not lie where it must", t->name, i));
        at = start + s->bytes;
    }
    if (at != t->len)
        return remedy(base_fail(BASE_INPUT, "%s: %zu bytes belong to no section", t->name, t->len - at));
    return BASE_OK;
}

static int read_table(struct table *t, const uint8_t *file, size_t len, const char *name)
{
    *t = (struct table){ .name = name, .file = file, .len = len };
    int rc = read_header(t);
    return rc ? rc : read_entries(t);
}

int pack_info(const char *path, struct pack_section_info *out, int max, int *n, int *major, int *minor)
{
    uint8_t *file;
    size_t len;
    struct table t;
    int rc = base_file_read(&file, &len, path, PACK_MAX_BYTES);
    if (rc)
        return rc;
    rc = read_table(&t, file, len, path);
    base_free(file);
    if (rc)
        return rc;
    *n = t.n;
    *major = t.major;
    *minor = t.minor;
    memcpy(out, t.entry, sizeof *out * (size_t)BASE_MAX(0, BASE_MIN(max, t.n)));
    return BASE_OK;
}

/* ---- sections ----------------------------------------------------------------- */

/* Where each known section lies; unknown ones are of a newer minor version. */
static int find_sections(const struct table *t, struct pack_source s[PACK_SECTIONS])
{
    memset(s, 0, sizeof *s * PACK_SECTIONS);
    for (int i = 0; i < t->n; i++) {
        const struct pack_section_info *e = &t->entry[i];
        if (base_crc32c(0, t->file + e->offset, e->bytes) != e->crc)
            return remedy(base_fail(BASE_INPUT, "%s: section '%s': damaged (CRC)", t->name, e->name));
        int k = 0;
        while (k < PACK_SECTIONS && strcmp(e->name, pack_section_name[k]) != 0)
            k++;
        if (k == PACK_SECTIONS && t->minor <= PACK_MINOR)
            return remedy(base_fail(BASE_INPUT, "%s: section '%s' is not one of format %d.%d", t->name, e->name, t->major, t->minor));
        if (k == PACK_SECTIONS)
            continue;
        if (s[k].p)
            return pack_damaged(t->name, (enum pack_section)k, "is there twice");
        s[k] = (struct pack_source){ .p = t->file + e->offset, .left = e->bytes };
    }
    for (int k = PACK_NET; k <= PACK_PLANES; k++)
        if (!s[k].p)
            return pack_damaged(t->name, (enum pack_section)k, "is missing");
    if (!s[PACK_BOARD].p != !s[PACK_PROGRAM].p || !s[PACK_BOARD].p != !s[PACK_WEIGHTS].p)
        return remedy(base_fail(BASE_INPUT, "%s: of the sections 'board', 'program' and 'weights' one is missing", t->name));
    return BASE_OK;
}

static int get_words(uint64_t **out, size_t *n, struct pack *p, const struct table *t, struct pack_source *s, enum pack_section which)
{
    if (s->left % 8)
        return pack_damaged(t->name, which, "%zu bytes are no whole 64-bit words", s->left);
    *n = s->left / 8;
    *out = BASE_ARENA_NEW_N(p->arena, uint64_t, *n);
    for (size_t i = 0; *out && i < *n; i++)
        (*out)[i] = pack_get(s, 8);
    return *out ? BASE_OK : BASE_NOMEM;
}

static int get_board(struct pack *p, const struct table *t, struct pack_source *s)
{
    p->hw_hash = pack_get(s, 8);
    if (s->ended || s->left < 1 || s->left >= sizeof p->board || memchr(s->p, 0, s->left))
        return pack_damaged(t->name, PACK_BOARD, "holds no board's name");
    memcpy(p->board, s->p, s->left);
    return BASE_OK;
}

static int get_compiled(struct pack *p, const struct table *t, struct pack_source s[PACK_SECTIONS])
{
    if (!s[PACK_BOARD].p)
        return BASE_OK;
    int rc = get_board(p, t, &s[PACK_BOARD]);
    if (!rc)
        rc = get_words(&p->program, &p->program_words, p, t, &s[PACK_PROGRAM], PACK_PROGRAM);
    if (!rc && !p->program_words)
        rc = pack_damaged(t->name, PACK_PROGRAM, "is empty");
    if (!rc)
        rc = get_words(&p->weights, &p->weight_words, p, t, &s[PACK_WEIGHTS], PACK_WEIGHTS);
    return rc;
}

static int get_test(struct pack *p, const struct table *t, struct pack_source *s)
{
    if (!s->p)
        return BASE_OK;
    const struct fixed_edge *in = &p->net->edge[0];
    size_t classes = (size_t)p->net->classes, image = (size_t)in->h * (size_t)in->w * (size_t)in->c;
    uint64_t n = pack_get(s, 4);
    if (n != classes || s->left != 4 * classes + image)
        return pack_damaged(t->name, PACK_TEST, "does not fit the network's %zu classes and image of %zu bytes", classes, image);
    p->test_pixel_bytes = image;
    p->test_logits = BASE_ARENA_NEW_N(p->arena, int32_t, classes);
    p->test_pixels = base_arena_alloc(p->arena, image);
    if (!p->test_logits || !p->test_pixels)
        return BASE_NOMEM;
    for (size_t i = 0; i < classes; i++)
        p->test_logits[i] = pack_get_i32(s);
    memcpy(p->test_pixels, s->p, image);
    return BASE_OK;
}

static int get_text(const char **out, struct pack *p, const struct table *t, struct pack_source *s, enum pack_section which)
{
    if (s->left && memchr(s->p, 0, s->left))
        return pack_damaged(t->name, which, "holds a zero byte");
    char *text = base_arena_alloc(p->arena, s->left + 1);
    if (text && s->left)
        memcpy(text, s->p, s->left);
    *out = text;
    return text ? BASE_OK : BASE_NOMEM;
}

int pack_parse(struct pack **out, const uint8_t *bytes, size_t len, const char *name)
{
    struct table t;
    struct pack_source s[PACK_SECTIONS];
    *out = NULL;
    int rc = read_table(&t, bytes, len, name);
    if (!rc)
        rc = find_sections(&t, s);
    if (rc)
        return rc;
    struct pack *p = BASE_NEW(struct pack);
    if (p)
        p->arena = base_arena_new();
    rc = p && p->arena ? pack_net_get(&p->net, &s[PACK_NET], &s[PACK_PLANES], t.minor > PACK_MINOR, name) : BASE_NOMEM;
    if (!rc)
        rc = get_compiled(p, &t, s);
    if (!rc)
        rc = get_test(p, &t, &s[PACK_TEST]);
    if (!rc)
        rc = get_text(&p->recipe, p, &t, &s[PACK_RECIPE], PACK_RECIPE);
    if (!rc)
        rc = get_text(&p->origin, p, &t, &s[PACK_ORIGIN], PACK_ORIGIN);
    if (rc) {
        pack_free(p);
        return rc;
    }
    *out = p;
    return BASE_OK;
}

int pack_read(struct pack **out, const char *path)
{
    uint8_t *file;
    size_t len;
    *out = NULL;
    int rc = base_file_read(&file, &len, path, PACK_MAX_BYTES);
    if (rc)
        return rc;
    rc = pack_parse(out, file, len, path);
    base_free(file);
    return rc;
}

void pack_free(struct pack *p)
{
    if (!p)
        return;
    fixed_net_free(p->net);
    base_arena_free(p->arena);
    base_free(p);
}
