/* export: a pack as a C header, for programs without a file system. */
#include <ctype.h>

#include "pack/pack_internal.h"

/* File name without folder and extension, as an identifier; the caller's. */
static char *stem_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *from = slash ? slash + 1 : path;
    size_t n = strcspn(from, ".");
    bool letter = n && !isdigit((unsigned char)from[0]);
    char *s = base_format("%s%.*s", letter ? "" : "pack_", (int)n, from);
    for (char *c = s; c && *c; c++)
        if (!isalnum((unsigned char)*c) || (unsigned char)*c > 127)
            *c = '_';
    return s;
}

static void put_words(struct base_text *t, const char *stem, const char *what, const uint64_t *w, size_t n)
{
    base_text_add(t, "#define %s_%s_words %zu\n", stem, what, n);
    base_text_add(t, "static const uint64_t %s_%s[%zu] = {", stem, what, BASE_MAX(n, (size_t)1));
    for (size_t i = 0; i < n; i++)
        base_text_add(t, "%s0x%016llxu,", i % 4 ? " " : "\n    ", (unsigned long long)w[i]);
    base_text_add(t, "%s\n};\n\n", n ? "" : "0");
}

static void put_bytes(struct base_text *t, const char *stem, const char *what, const void *bytes, size_t n)
{
    const uint8_t *b = bytes;
    base_text_add(t, "#define %s_%s_bytes %zu\n", stem, what, n);
    base_text_add(t, "static const uint8_t %s_%s[%zu] = {", stem, what, BASE_MAX(n, (size_t)1));
    for (size_t i = 0; i < n; i++)
        base_text_add(t, "%s%d,", i % 16 ? " " : "\n    ", b[i]);
    base_text_add(t, "%s\n};\n\n", n ? "" : "0");
}

static void put_logits(struct base_text *t, const char *stem, const int32_t *v, int n)
{
    base_text_add(t, "static const int32_t %s_test_logits[%d] = {", stem, n);
    for (int i = 0; i < n; i++) {
        base_text_add(t, "%s", i % 8 ? " " : "\n    ");
        if (v[i] == INT32_MIN)     /* no literal is as low */
            base_text_add(t, "INT32_MIN,");
        else
            base_text_add(t, "%d,", v[i]);
    }
    base_text_add(t, "\n};\n\n");
}

/* One literal a line; octal escapes are three digits, so nothing can continue them. */
static void put_text(struct base_text *t, const char *stem, const char *what, const char *s)
{
    base_text_add(t, "static const char %s_%s[] =\n    \"", stem, what);
    for (; s && *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\n' && s[1])
            base_text_add(t, "\\n\"\n    \"");
        else if (c < 32 || c > 126 || strchr("\"\\?", c))
            base_text_add(t, "\\%03o", c);
        else
            base_text_add(t, "%c", c);
    }
    base_text_add(t, "\";\n\n");
}

static void put_all(struct base_text *t, const char *stem, const struct pack *p, const struct pack_contents *c)
{
    const struct fixed_edge *in = &p->net->edge[0];
    base_text_add(t, "/* A bitpress weight pack (format %d.%d), written by 'bitpress pack export'. */\n", PACK_MAJOR, PACK_MINOR);
    base_text_add(t, "#ifndef %s_PACK_H\n#define %s_PACK_H\n\n#include <stdint.h>\n\n", stem, stem);
    base_text_add(t, "/* The image: uint8 [height][width][channels]; the result: int32 [classes]. */\n");
    base_text_add(t, "#define %s_height %d\n#define %s_width %d\n#define %s_channels %d\n#define %s_classes %d\n\n", stem, in->h, stem,
                  in->w, stem, in->c, stem, p->net->classes);
    put_text(t, stem, "network", p->net->name);
    put_text(t, stem, "board", p->board);
    base_text_add(t, "#define %s_hw_hash 0x%016llxu\n\n", stem, (unsigned long long)p->hw_hash);
    base_text_add(t, "/* What the accelerator loads: 64-bit little-endian words. */\n");
    put_words(t, stem, "program", p->program, p->program_words);
    put_words(t, stem, "weights", p->weights, p->weight_words);
    if (p->test_pixels) {
        base_text_add(t, "/* Self-test: the image and what must come out. */\n");
        put_bytes(t, stem, "test_pixels", p->test_pixels, p->test_pixel_bytes);
        put_logits(t, stem, p->test_logits, p->net->classes);
    }
    base_text_add(t, "/* The integer network: the file's sections 'net' and 'planes' (docs/formats.md). */\n");
    put_bytes(t, stem, "net", c->bytes[PACK_NET].s, c->bytes[PACK_NET].len);
    put_bytes(t, stem, "planes", c->bytes[PACK_PLANES].s, c->bytes[PACK_PLANES].len);
    put_text(t, stem, "recipe", p->recipe);
    put_text(t, stem, "origin", p->origin);
    base_text_add(t, "#endif\n");
}

int pack_export_c(const struct pack *p, const char *path)
{
    struct pack_contents c;
    struct base_text t = { 0 };
    int rc = pack_contents_make(&c, p, path);
    if (rc)
        return rc;
    char *stem = stem_of(path);
    if (stem)
        put_all(&t, stem, p, &c);
    rc = stem && !t.failed ? base_file_write(path, t.s, t.len) : BASE_NOMEM;
    pack_contents_free(&c);
    base_free(stem);
    base_text_free(&t);
    return rc;
}
