/* write: a pack as sections, sections as a file. */
#include "pack/pack_internal.h"

const char pack_section_name[PACK_SECTIONS][8] = {
    [PACK_NET] = "net", [PACK_PLANES] = "planes", [PACK_BOARD] = "board", [PACK_PROGRAM] = "program",
    [PACK_WEIGHTS] = "weights", [PACK_TEST] = "test", [PACK_RECIPE] = "recipe", [PACK_ORIGIN] = "origin",
};

/* ---- what may be written ------------------------------------------------------ */

static int check(const struct pack *p, const char *path)
{
    int rc = fixed_check(p->net);
    if (!rc)
        rc = pack_net_limits(p->net);
    if (rc)
        return rc;
    const struct fixed_edge *in = &p->net->edge[0];
    size_t image = (size_t)in->h * (size_t)in->w * (size_t)in->c;
    if (!memchr(p->board, 0, sizeof p->board) || !*p->board != !p->program_words || (!p->program_words && p->weight_words))
        return base_fail(BASE_INTERNAL, "%s: a pack has a board's name, a program and its weights, or none of them", path);
    if (!p->test_pixels != !p->test_logits || (p->test_pixels && p->test_pixel_bytes != image))
        return base_fail(BASE_INTERNAL, "%s: the self-test must have one image of %zu bytes and its logits", path, image);
    return BASE_OK;
}

/* ---- contents of the sections --------------------------------------------------- */

static void put_words(struct base_text *t, const uint64_t *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pack_put(t, w[i], 8);
}

static void put_board(struct base_text *t, const struct pack *p)
{
    pack_put(t, p->hw_hash, 8);
    base_text_add(t, "%s", p->board);
}

static void put_test(struct base_text *t, const struct pack *p)
{
    pack_put(t, (uint64_t)p->net->classes, 4);
    for (int i = 0; i < p->net->classes; i++)
        pack_put(t, (uint32_t)p->test_logits[i], 4);
    base_text_add_bytes(t, p->test_pixels, p->test_pixel_bytes);
}

int pack_contents_make(struct pack_contents *c, const struct pack *p, const char *path)
{
    *c = (struct pack_contents){ 0 };
    int rc = check(p, path);
    if (rc)
        return rc;
    c->present[PACK_NET] = c->present[PACK_PLANES] = true;
    pack_net_put(&c->bytes[PACK_NET], &c->bytes[PACK_PLANES], p->net);
    if ((c->present[PACK_BOARD] = c->present[PACK_PROGRAM] = c->present[PACK_WEIGHTS] = p->program_words > 0)) {
        put_board(&c->bytes[PACK_BOARD], p);
        put_words(&c->bytes[PACK_PROGRAM], p->program, p->program_words);
        put_words(&c->bytes[PACK_WEIGHTS], p->weights, p->weight_words);
    }
    if ((c->present[PACK_TEST] = p->test_pixels != NULL))
        put_test(&c->bytes[PACK_TEST], p);
    if ((c->present[PACK_RECIPE] = p->recipe && *p->recipe))
        base_text_add(&c->bytes[PACK_RECIPE], "%s", p->recipe);
    if ((c->present[PACK_ORIGIN] = p->origin && *p->origin))
        base_text_add(&c->bytes[PACK_ORIGIN], "%s", p->origin);
    for (int i = 0; i < PACK_SECTIONS; i++)
        if (c->bytes[i].failed) {
            pack_contents_free(c);
            return BASE_NOMEM;
        }
    return BASE_OK;
}

void pack_contents_free(struct pack_contents *c)
{
    for (int i = 0; i < PACK_SECTIONS; i++)
        base_text_free(&c->bytes[i]);
}

/* ---- the file ------------------------------------------------------------------- */

static void pad_to(struct base_text *t, size_t at)
{
    static const uint8_t zeros[PACK_ALIGN];
    while (t->len < at && !t->failed)
        base_text_add_bytes(t, zeros, BASE_MIN(at - t->len, sizeof zeros));
}

static size_t aligned(size_t n) { return (n + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN; }

static void put_table(struct base_text *t, const struct pack_contents *c, size_t at, size_t *end)
{
    for (int i = 0; i < PACK_SECTIONS; i++) {
        const struct base_text *s = &c->bytes[i];
        if (!c->present[i])
            continue;
        at = aligned(at);
        base_text_add_bytes(t, pack_section_name[i], 8);
        pack_put(t, at, 8);
        pack_put(t, s->len, 8);
        pack_put(t, base_crc32c(0, s->s, s->len), 4);
        pack_put(t, 0, 4);
        at += s->len;
    }
    *end = at;
}

static void put_header(struct base_text *t, int sections, size_t file_bytes, const struct base_text *table)
{
    base_text_add_bytes(t, PACK_MAGIC, 8);
    pack_put(t, PACK_MAJOR, 2);
    pack_put(t, PACK_MINOR, 2);
    pack_put(t, (uint64_t)sections, 4);
    pack_put(t, file_bytes, 8);
    pad_to(t, 56);
    pack_put(t, base_crc32c(0, table->s, table->len), 4);
    if (!t->failed)
        pack_put(t, base_crc32c(0, t->s, t->len), 4);
}

static int assemble(struct base_text *file, const struct pack_contents *c, const char *path)
{
    struct base_text table = { 0 };
    int sections = 0;
    size_t end;
    for (int i = 0; i < PACK_SECTIONS; i++)
        sections += c->present[i];
    put_table(&table, c, PACK_HEADER + (size_t)sections * PACK_ENTRY, &end);
    put_header(file, sections, end, &table);
    base_text_add_bytes(file, table.s, table.len);
    for (int i = 0; i < PACK_SECTIONS; i++)
        if (c->present[i]) {
            pad_to(file, aligned(file->len));
            base_text_add_bytes(file, c->bytes[i].s, c->bytes[i].len);
        }
    bool failed = table.failed || file->failed;
    base_text_free(&table);
    if (failed)
        return BASE_NOMEM;
    if (end > PACK_MAX_BYTES)
        return base_fail(BASE_INPUT, "%s: a pack of %zu bytes is over the limit of %d", path, end, PACK_MAX_BYTES);
    return BASE_OK;
}

int pack_bytes(struct base_text *out, const struct pack *p, const char *name)
{
    struct pack_contents c;
    int rc = pack_contents_make(&c, p, name);
    if (rc)
        return rc;
    rc = assemble(out, &c, name);
    pack_contents_free(&c);
    return rc;
}

int pack_write(const struct pack *p, const char *path)
{
    struct base_text file = { 0 };
    int rc = pack_bytes(&file, p, path);
    if (!rc)
        rc = base_file_write(path, file.s, file.len);
    base_text_free(&file);
    return rc;
}
