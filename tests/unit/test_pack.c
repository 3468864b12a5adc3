/* pack: round trips, damage of every byte and length, lies behind good checksums, versions, the C header,
 * and a pack of each minor version (tests/data/golden*.bpk; BITPRESS_WRITE_GOLDEN=1 makes the newest anew). */
#define _GNU_SOURCE
#include "unit.h"

#include <math.h>

#include "accel/accel.h"
#include "pack/pack_internal.h"

static const struct fixed_random small = { .max_layers = 4, .max_size = 9, .max_channels = 12 };
static const char *const golden[] = { "tests/data/golden.bpk", "tests/data/golden-1.1.bpk" };   /* minor 0, 1 */

/* ---- packs to try ------------------------------------------------------------------ */

struct sample { struct pack pack; uint64_t program[40], weights[30]; uint8_t *pixels; int32_t *logits; };

/* Zeros: of single weights in one term, of runs in the next. */
static void thin(struct fixed_net *n)
{
    int terms = 0;
    for (int l = 0; l < n->n_layer; l++)
        for (int k = 0; k < n->layer[l].n_term && n->layer[l].kind == FIXED_MAC; k++) {
            struct fixed_term *t = &n->layer[l].term[k];
            for (int64_t i = 0; i < t->cout * pack_row(t) && !t->depthwise; i++)
                if (terms % 2 ? i / 16 % 4 : i * 7 % 5)
                    t->code[i] = 0;
            terms += !t->depthwise;
        }
}

static bool uses(const struct fixed_net *n, enum pack_plane wanted)
{
    uint8_t kind[FIXED_MAX_PLANES];
    for (int l = 0; l < n->n_layer; l++)
        for (int k = 0; k < n->layer[l].n_term && n->layer[l].kind == FIXED_MAC; k++) {
            pack_plane_kinds(kind, &n->layer[l].term[k]);
            if (memchr(kind, (int)wanted, (size_t)n->layer[l].term[k].n_plane))
                return true;
        }
    return false;
}

/* A random network; every other one with a program, every third without a self-test, two of five sparse. */
static void sample_make(struct sample *s, uint64_t seed, const struct fixed_random *limits)
{
    struct base_rng rng;
    base_rng_seed(&rng, seed);
    *s = (struct sample){ 0 };
    s->pack.net = fixed_random_net(seed, limits);
    assert_non_null(s->pack.net);
    if (seed % 5 == 1 || seed % 5 == 2)
        thin(s->pack.net);
    const struct fixed_edge *in = &s->pack.net->edge[0];
    size_t bytes = (size_t)in->h * (size_t)in->w * (size_t)in->c;
    s->pack.recipe = "default: {w_bits: 4, a_bits: 4}\n";
    s->pack.origin = "{\"seed\": 7}";
    if (seed % 2) {
        for (int i = 0; i < BASE_COUNT(s->program); i++)
            s->program[i] = base_rng_u64(&rng);
        for (int i = 0; i < BASE_COUNT(s->weights); i++)
            s->weights[i] = base_rng_u64(&rng);
        strcpy(s->pack.board, "pynq-z2");
        s->pack.hw_hash = base_rng_u64(&rng);
        s->pack.program = s->program, s->pack.program_words = BASE_COUNT(s->program);
        s->pack.weights = s->weights, s->pack.weight_words = seed % 4 == 1 ? BASE_COUNT(s->weights) : 0;
    }
    if (seed % 3) {
        s->pixels = base_alloc(bytes);
        s->logits = BASE_NEW_N(int32_t, s->pack.net->classes);
        for (size_t i = 0; i < bytes; i++)
            s->pixels[i] = (uint8_t)base_rng_below(&rng, 256);
        struct qref *q = qref_new(s->pack.net, NULL);
        assert_non_null(q);
        assert_ok(qref_run(q, s->pixels, 1, s->logits));
        qref_free(q);
        s->pack.test_pixels = s->pixels, s->pack.test_pixel_bytes = bytes;
        s->pack.test_logits = s->logits;
    }
}

static void sample_free(struct sample *s)
{
    fixed_net_free(s->pack.net);
    base_free(s->pixels);
    base_free(s->logits);
}

static void equal_terms(const struct fixed_net *n, const struct fixed_term *a, const struct fixed_term *b, bool mac)
{
    assert_int_equal(a->edge, b->edge);
    assert_int_equal(a->kh, b->kh);
    assert_int_equal(a->kw, b->kw);
    assert_int_equal(a->stride, b->stride);
    assert_int_equal(a->pad_t, b->pad_t);
    assert_int_equal(a->pad_l, b->pad_l);
    assert_int_equal(a->depthwise, b->depthwise);
    assert_int_equal(a->chan, b->chan);
    assert_int_equal(a->cout, b->cout);
    assert_int_equal(a->cin, b->cin);
    assert_int_equal(a->w_bits, b->w_bits);
    if (!mac)
        return;
    assert_int_equal(a->n_plane, b->n_plane);
    assert_int_equal(a->coef_shared, b->coef_shared);
    assert_memory_equal(a->code, b->code, sizeof *a->code * (size_t)a->cout * (size_t)a->kh * (size_t)a->kw * (size_t)a->cin);
    assert_memory_equal(a->coef, b->coef, sizeof *a->coef * (size_t)(a->coef_shared ? 1 : a->cout) * (size_t)a->n_plane * (size_t)n->edge[a->edge].bits);
}

static void equal_layers(const struct fixed_net *n, const struct fixed_layer *a, const struct fixed_layer *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->out, b->out);
    assert_int_equal(a->h, b->h);
    assert_int_equal(a->w, b->w);
    assert_int_equal(a->c, b->c);
    assert_int_equal(a->n_term, b->n_term);
    assert_int_equal(a->f, b->f);
    assert_int_equal(a->s, b->s);
    assert_int_equal(a->lo, b->lo);
    assert_int_equal(a->hi, b->hi);
    if (a->kind == FIXED_MAXPOOL) {
        equal_terms(n, &a->term[0], &b->term[0], false);
        return;
    }
    assert_memory_equal(a->m, b->m, sizeof *a->m * (size_t)a->c);
    assert_memory_equal(a->b, b->b, sizeof *a->b * (size_t)a->c);
    for (int k = 0; k < a->n_term; k++)
        equal_terms(n, &a->term[k], &b->term[k], true);
}

static void equal_nets(const struct fixed_net *a, const struct fixed_net *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->n_edge, b->n_edge);
    assert_int_equal(a->n_layer, b->n_layer);
    assert_int_equal(a->classes, b->classes);
    assert_true(a->logit_scale == b->logit_scale);
    for (int e = 0; e < a->n_edge; e++) {
        const struct fixed_edge *x = &a->edge[e], *y = &b->edge[e];
        assert_string_equal(x->name ? x->name : "", y->name);
        assert_true(x->h == y->h && x->w == y->w && x->c == y->c && x->bits == y->bits && x->is_signed == y->is_signed && x->scale == y->scale);
        assert_int_equal(!x->pad, !y->pad);
        if (x->pad)
            assert_memory_equal(x->pad, y->pad, x->c);
    }
    for (int i = 0; i < a->n_layer; i++)
        equal_layers(a, &a->layer[i], &b->layer[i]);
}

static void equal_packs(const struct pack *a, const struct pack *b)
{
    equal_nets(a->net, b->net);
    assert_string_equal(a->board, b->board);
    assert_int_equal(a->hw_hash, b->hw_hash);
    assert_int_equal(a->program_words, b->program_words);
    assert_int_equal(a->weight_words, b->weight_words);
    if (a->program_words)
        assert_memory_equal(a->program, b->program, 8 * a->program_words);
    if (a->weight_words)
        assert_memory_equal(a->weights, b->weights, 8 * a->weight_words);
    assert_int_equal(!a->test_pixels, !b->test_pixels);
    if (a->test_pixels) {
        assert_int_equal(a->test_pixel_bytes, b->test_pixel_bytes);
        assert_memory_equal(a->test_pixels, b->test_pixels, a->test_pixel_bytes);
        assert_memory_equal(a->test_logits, b->test_logits, 4 * (size_t)a->net->classes);
    }
    assert_string_equal(a->recipe, b->recipe);
    assert_string_equal(a->origin, b->origin);
}

/* ---- files taken apart and put together, by the page and not by the room's code ------- */

struct part { char name[8]; uint8_t *bytes; size_t len; };
struct parts { int n; struct part part[12]; };

static uint64_t le(const uint8_t *p, int n)
{
    uint64_t v = 0;
    while (n--)
        v = v << 8 | p[n];
    return v;
}

static void put_le(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void take_apart(struct parts *to, const uint8_t *file)
{
    to->n = (int)le(file + 12, 4);
    for (int i = 0; i < to->n; i++) {
        const uint8_t *e = file + 64 + 32 * i;
        memcpy(to->part[i].name, e, 8);
        to->part[i].len = le(e + 16, 8);
        to->part[i].bytes = calloc(1, to->part[i].len + 64);
        memcpy(to->part[i].bytes, file + le(e + 8, 8), to->part[i].len);
    }
}

static void parts_free(struct parts *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->part[i].bytes);
}

static uint8_t *put_together(const struct parts *p, int major, int minor, size_t *len)
{
    size_t at = 64 + 32 * (size_t)p->n;
    for (int i = 0; i < p->n; i++)
        at = (at + 63) / 64 * 64 + p->part[i].len;
    uint8_t *f = calloc(1, at);
    *len = at;
    at = 64 + 32 * (size_t)p->n;
    for (int i = 0; i < p->n; i++) {
        uint8_t *e = f + 64 + 32 * i;
        at = (at + 63) / 64 * 64;
        memcpy(e, p->part[i].name, 8);
        put_le(e + 8, at, 8);
        put_le(e + 16, p->part[i].len, 8);
        put_le(e + 24, base_crc32c(0, p->part[i].bytes, p->part[i].len), 4);
        memcpy(f + at, p->part[i].bytes, p->part[i].len);
        at += p->part[i].len;
    }
    memcpy(f, "\x89" "BPK\r\n\x1a\n", 8);
    put_le(f + 8, (uint64_t)major, 2);
    put_le(f + 10, (uint64_t)minor, 2);
    put_le(f + 12, (uint64_t)p->n, 4);
    put_le(f + 16, *len, 8);
    put_le(f + 56, base_crc32c(0, f + 64, 32 * (size_t)p->n), 4);
    put_le(f + 60, base_crc32c(0, f, 60), 4);
    return f;
}

static struct part *part_named(struct parts *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->part[i].name, name))
            return &p->part[i];
    fail_msg("no section '%s'", name);
    return NULL;
}

/* The bytes of a sample's file. */
static uint8_t *file_of(const char *dir, uint64_t seed, size_t *len)
{
    struct sample s;
    uint8_t *bytes;
    sample_make(&s, seed, &small);
    assert_ok(pack_write(&s.pack, unit_path(dir, "x.bpk")));
    assert_ok(base_file_read(&bytes, len, unit_path(dir, "x.bpk"), PACK_MAX_BYTES));
    sample_free(&s);
    return bytes;
}

/* Parsing `bytes` from memory of exactly their size, so that ASan sees one byte too far. */
static int parse_exact(struct pack **out, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (len)
        memcpy(copy, bytes, len);
    base_error_clear();
    int rc = pack_parse(out, copy, len, "the-file.bpk");
    free(copy);
    return rc;
}

static void assert_refused(const uint8_t *bytes, size_t len)
{
    struct pack *p;
    int rc = parse_exact(&p, bytes, len);
    assert_int_equal(rc, BASE_INPUT);
    assert_null(p);
    assert_non_null(strstr(base_error(), "the-file.bpk"));
    assert_true(*base_error_hint() != 0);
}

static void assert_parts_refused(const struct parts *p, int major, int minor, const char *message)
{
    struct pack *k;
    size_t len;
    uint8_t *f = put_together(p, major, minor, &len);
    int rc = parse_exact(&k, f, len);
    free(f);
    assert_int_equal(rc, BASE_INPUT);
    if (!strstr(base_error(), message))
        fail_msg("message '%s' lacks '%s'", base_error(), message);
}

/* ---- tests ---------------------------------------------------------------------------- */

static void round_trips(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct sample s;
        struct pack *p;
        sample_make(&s, seed, seed % 2 ? &small : NULL);
        assert_ok(pack_write(&s.pack, unit_path(dir, "a.bpk")));
        assert_ok(pack_read(&p, unit_path(dir, "a.bpk")));
        equal_packs(&s.pack, p);
        pack_free(p);
        sample_free(&s);
    }
    unit_remove(dir);
}

static void layout_follows_the_page(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct pack_section_info info[PACK_MAX_SECTIONS];
    struct parts parts;
    size_t len, again;
    int n, major, minor;
    uint8_t *file = file_of(dir, 1, &len);
    assert_ok(pack_info(unit_path(dir, "x.bpk"), info, PACK_MAX_SECTIONS, &n, &major, &minor));
    assert_int_equal(n, 8);
    assert_int_equal(major, PACK_MAJOR);
    assert_int_equal(minor, PACK_MINOR);
    for (int i = 0; i < n; i++) {
        assert_int_equal(info[i].offset % 64, 0);
        assert_int_equal(info[i].crc, base_crc32c(0, file + info[i].offset, info[i].bytes));
    }
    take_apart(&parts, file);
    uint8_t *copy = put_together(&parts, PACK_MAJOR, PACK_MINOR, &again);
    assert_int_equal(len, again);
    assert_memory_equal(file, copy, len);
    free(copy);
    parts_free(&parts);
    base_free(file);
    unit_remove(dir);
}

static void every_damaged_byte_is_refused(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    for (uint64_t seed = 1; seed <= 4; seed++) {
        size_t len;
        uint8_t *file = file_of(dir, seed, &len);
        for (size_t i = 0; i < len; i++) {
            file[i] ^= (uint8_t)(1u << i % 8);
            assert_refused(file, len);
            file[i] ^= (uint8_t)(1u << i % 8);
        }
        for (size_t i = 0; i < 64 + 32 * le(file + 12, 4); i++)
            for (int v = 0; v < 256; v += 5) {
                uint8_t old = file[i];
                if (old == v)
                    continue;
                file[i] = (uint8_t)v;
                assert_refused(file, len);
                file[i] = old;
            }
        base_free(file);
    }
    unit_remove(dir);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    size_t len;
    uint8_t *file = file_of(dir, 1, &len), *longer = calloc(1, len + 100);
    for (size_t n = 0; n < len; n++)
        assert_refused(file, n);
    memcpy(longer, file, len);
    for (size_t n = len + 1; n <= len + 100; n++)
        assert_refused(longer, n);
    free(longer);
    base_free(file);
    unit_remove(dir);
}

/* Changed contents with right checksums: refused, or a network that can be written and read again. */
static void lies_behind_good_checksums(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct base_rng rng;
    base_rng_seed(&rng, 3);
    int accepted = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        size_t len;
        uint8_t *file = file_of(dir, seed, &len);
        for (int trial = 0; trial < 400; trial++) {
            static const uint32_t nasty[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 65535, 65536, 4097 };
            struct parts parts;
            struct pack *p, *q;
            take_apart(&parts, file);
            struct part *t = &parts.part[trial % 4 ? 0 : base_rng_below(&rng, (uint32_t)parts.n)];
            for (uint32_t k = 1 + base_rng_below(&rng, 3); k && t->len > 4; k--) {
                size_t at = base_rng_below(&rng, (uint32_t)t->len - 3);
                if (base_rng_below(&rng, 2))
                    t->bytes[at] ^= (uint8_t)base_rng_below(&rng, 256);
                else
                    put_le(t->bytes + at, nasty[base_rng_below(&rng, BASE_COUNT(nasty))], 4);
            }
            if (trial % 7 == 0)
                t->len = base_rng_below(&rng, (uint32_t)t->len + 40);
            size_t n;
            uint8_t *f = put_together(&parts, PACK_MAJOR, PACK_MINOR, &n);
            int rc = parse_exact(&p, f, n);
            if (rc) {
                refused++;
                assert_int_equal(rc, BASE_INPUT);
                assert_non_null(strstr(base_error(), "the-file.bpk"));
            } else {
                if (accepted++ % 8 == 0) { /* writing waits for the disk */
                    assert_ok(pack_write(p, unit_path(dir, "y.bpk")));
                    assert_ok(pack_read(&q, unit_path(dir, "y.bpk")));
                    equal_packs(p, q);
                    pack_free(q);
                }
                pack_free(p);
            }
            free(f);
            parts_free(&parts);
        }
        base_free(file);
    }
    assert_true(accepted > 100);
    assert_true(refused > 100);
    unit_remove(dir);
}

static void sections_missing_twice_unknown(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct parts parts, changed;
    size_t len;
    uint8_t *file = file_of(dir, 1, &len);
    take_apart(&parts, file);
    for (int i = 0; i < parts.n; i++) {
        changed = parts;
        changed.n--;
        memmove(changed.part + i, changed.part + i + 1, sizeof *changed.part * (size_t)(parts.n - 1 - i));
        if (strcmp(parts.part[i].name, "test") && strcmp(parts.part[i].name, "recipe") && strcmp(parts.part[i].name, "origin"))
            assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "is missing");
    }
    changed = parts;
    changed.part[changed.n++] = *part_named(&parts, "recipe");
    assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "section 'recipe': is there twice");
    changed = parts;
    changed.part[changed.n] = *part_named(&parts, "recipe");
    strcpy(changed.part[changed.n++].name, "extra");
    assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "section 'extra' is not one of format");
    changed = parts;
    part_named(&changed, "program")->len -= 3;
    assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "section 'program'");
    changed = parts;
    part_named(&changed, "program")->len = 0;
    assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "section 'program': is empty");
    changed = parts;
    part_named(&changed, "test")->len--;
    assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "section 'test': does not fit");
    changed = parts;
    part_named(&changed, "board")->len = 8;
    assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "section 'board'");
    changed = parts;
    part_named(&changed, "planes")->len++;
    assert_parts_refused(&changed, PACK_MAJOR, PACK_MINOR, "section 'planes': 1 bytes too many");
    parts_free(&parts);
    base_free(file);
    unit_remove(dir);
}

static void versions(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct parts parts, newer;
    struct pack *p, *same;
    size_t len, n;
    uint8_t *file = file_of(dir, 1, &len);
    take_apart(&parts, file);
    assert_parts_refused(&parts, PACK_MAJOR + 1, 0, "pack format 2.0; this program reads 1.x");
    assert_string_equal(base_error_hint(), "use a newer bitpress");
    assert_parts_refused(&parts, 0, 9, "pack format 0.9; this program reads 1.x");
    /* A newer minor version: one more section, and more at the end of the network. */
    newer = parts;
    newer.part[newer.n] = *part_named(&parts, "recipe");
    strcpy(newer.part[newer.n++].name, "extra");
    part_named(&newer, "net")->len += 20;
    assert_parts_refused(&newer, PACK_MAJOR, PACK_MINOR, "extra");
    uint8_t *f = put_together(&newer, PACK_MAJOR, PACK_MINOR + 3, &n);
    assert_ok(pack_parse(&p, f, n, "newer"));
    assert_ok(pack_read(&same, unit_path(dir, "x.bpk")));
    equal_packs(same, p);
    pack_free(p);
    pack_free(same);
    free(f);
    parts_free(&parts);
    base_free(file);
    unit_remove(dir);
}

static void files_that_are_no_packs(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct pack *p;
    struct pack_section_info info[1];
    int n, major, minor;
    assert_error(pack_read(&p, unit_path(dir, "none.bpk")), BASE_INPUT, "none.bpk");
    assert_error(pack_read(&p, dir), BASE_INPUT, dir);
    assert_ok(base_file_write(unit_path(dir, "empty.bpk"), "", 0));
    assert_error(pack_read(&p, unit_path(dir, "empty.bpk")), BASE_INPUT, "empty.bpk: not a weight pack");
    assert_ok(base_file_write(unit_path(dir, "text.bpk"), "default: {w_bits: 4}\n", 21));
    assert_error(pack_read(&p, unit_path(dir, "text.bpk")), BASE_INPUT, "not a weight pack");
    assert_error(pack_info(unit_path(dir, "text.bpk"), info, 1, &n, &major, &minor), BASE_INPUT, "not a weight pack");
    unit_remove(dir);
}

static void writing_refuses(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct sample s;
    sample_make(&s, 1, &small);
    assert_error(pack_write(&s.pack, "/dev/full"), BASE_IO, "/dev/full");
    assert_error(pack_write(&s.pack, unit_path(dir, "no/such/x.bpk")), BASE_IO, "no/such/x.bpk");
    assert_error(pack_write(&s.pack, dir), BASE_IO, "it is a folder");
    s.pack.board[0] = 0;
    assert_error(pack_write(&s.pack, unit_path(dir, "x.bpk")), BASE_INTERNAL, "a board's name");
    strcpy(s.pack.board, "b");
    s.pack.test_pixel_bytes++;
    assert_error(pack_write(&s.pack, unit_path(dir, "x.bpk")), BASE_INTERNAL, "self-test");
    s.pack.test_pixel_bytes--;
    struct fixed_layer *last = &s.pack.net->layer[s.pack.net->n_layer - 1];
    int was = last->s;
    last->s = 99;
    assert_int_equal(pack_write(&s.pack, unit_path(dir, "x.bpk")), BASE_INPUT);
    last->s = was;
    s.pack.net->logit_scale = NAN;
    assert_error(pack_write(&s.pack, unit_path(dir, "x.bpk")), BASE_INPUT, "a scale is not a finite number");
    s.pack.net->logit_scale = 1;
    char *name = malloc(5001);
    memset(name, 'n', 5000);
    name[5000] = 0;
    const char *old = last->name;
    last->name = name;
    assert_error(pack_write(&s.pack, unit_path(dir, "x.bpk")), BASE_INPUT, "a name is longer");
    last->name = old;
    free(name);
    assert_false(base_file_exists(unit_path(dir, "x.bpk")));
    sample_free(&s);
    unit_remove(dir);
}

static void out_of_memory(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct sample s;
    struct pack *p;
    sample_make(&s, 1, &small);
    assert_survives_nomem(pack_write(&s.pack, unit_path(dir, "m.bpk")), (void)0);
    assert_survives_nomem(pack_read(&p, unit_path(dir, "m.bpk")), pack_free(p));
    assert_survives_nomem(pack_export_c(&s.pack, unit_path(dir, "m.h")), (void)0);
    sample_free(&s);
    unit_remove(dir);
}

/* ---- size ------------------------------------------------------------------------------- */

/* One dense layer of `cout` outputs on an image of 1 x 1 x 16. */
static struct fixed_net *dense(int cout, int n_plane, const uint16_t *code)
{
    struct fixed_net *n = fixed_net_new("dense", 1, 1);
    n->classes = cout;
    n->logit_scale = 1;
    n->edge[0] = (struct fixed_edge){ .name = "image", .h = 1, .w = 1, .c = 16, .bits = 8, .scale = 1 };
    struct fixed_layer *l = &n->layer[0];
    *l = (struct fixed_layer){ .name = "fc", .out = -1, .h = 1, .w = 1, .c = cout, .n_term = 1, .s = 1, .lo = INT32_MIN, .hi = INT32_MAX };
    l->m = BASE_ARENA_NEW_N(n->arena, int32_t, cout);
    l->b = BASE_ARENA_NEW_N(n->arena, int64_t, cout);
    struct fixed_term *t = &l->term[0];
    *t = (struct fixed_term){ .kh = 1, .kw = 1, .stride = 1, .cout = cout, .cin = 16, .w_bits = n_plane, .n_plane = n_plane, .coef_shared = true };
    t->code = BASE_ARENA_NEW_N(n->arena, uint16_t, cout * 16);
    memcpy(t->code, code, sizeof *code * (size_t)cout * 16);
    t->coef = BASE_ARENA_NEW_N(n->arena, int32_t, n_plane * 8);
    for (int i = 0; i < n_plane * 8; i++)
        t->coef[i] = 1 << i % 8;
    for (int o = 0; o < cout; o++)
        l->m[o] = 1, l->b[o] = 1;
    return n;
}

static void size_counts_the_bits_that_are_needed(void **state)
{
    (void)state;
    enum { COUT = 64, N = COUT * 16 };
    uint16_t code[N];
    struct { const char *what; size_t bytes; } want[] = {
        { "planes of zeros and of ones", 0 },
        { "one plane in full", N / 8 },
        { "two planes in full", 2 * N / 8 },
        { "three channels of 64: a mask and their rows", COUT / 8 + 3 * 16 / 8 },
        { "three channels of 64 in one plane, another in full", COUT / 8 + 3 * 16 / 8 + N / 8 },
    };
    for (int k = 0; k < BASE_COUNT(want); k++) {
        for (int i = 0; i < N; i++) {
            int few = i / 16 % 30 == 7 ? i % 2 : 0, every = i % 3 == 0; /* channels 7, 37 */
            few |= i / 16 == 50 ? 1 : 0;
            code[i] = (uint16_t)(k == 0 ? 2 : k == 1 ? every : k == 2 ? every | (i % 2) << 1 : k == 3 ? few : few | every << 1);
        }
        struct fixed_net *n = dense(COUT, 2, code);
        if (pack_weight_bytes(n) != want[k].bytes)
            fail_msg("%s: %zu bytes instead of %zu", want[k].what, pack_weight_bytes(n), want[k].bytes);
        fixed_net_free(n);
    }
}

/* 8 planes, a quarter of the weights, or of runs of 16, not 0: the map and what it keeps. */
static void size_of_sparse_weights(void **state)
{
    (void)state;
    enum { COUT = 64, N = COUT * 16 };
    uint16_t single[N], run[N];
    for (int i = 0; i < N; i++) {
        single[i] = (uint16_t)(i % 4 == 1 ? 1 + i * 37 % 255 : 0);
        run[i] = (uint16_t)(i / 16 % 4 == 1 && i % 16 ? 1 + i * 37 % 255 : 0);   /* a run has zeros too */
    }
    struct fixed_net *a = dense(COUT, 8, single), *b = dense(COUT, 8, run);
    assert_int_equal(pack_weight_bytes(a), N / 8 + 8 * (N / 4) / 8);
    assert_int_equal(pack_weight_bytes(b), N / 16 / 8 + 8 * (N / 4) / 8);
    assert_true(uses(a, PACK_PLANE_WEIGHTS) && uses(b, PACK_PLANE_RUNS));
    fixed_net_free(a);
    fixed_net_free(b);
}

/* Four of 256 codes: their table and two planes. */
static void size_of_a_codebook(void **state)
{
    (void)state;
    enum { COUT = 64, N = COUT * 16 };
    static const uint16_t entry[4] = { 3, 77, 130, 255 };
    uint16_t code[N];
    for (int i = 0; i < N; i++)
        code[i] = entry[(i * 7 + i / 5) % 4];
    struct fixed_net *a = dense(COUT, 8, code);
    assert_int_equal(pack_weight_bytes(a), 1 + 2 * 4 + 2 * N / 8);
    assert_true(uses(a, PACK_PLANE_TABLE));
    fixed_net_free(a);
}

/* A term has one map, and a table behind all planes that number its codes. */
static void impossible_planes_are_refused(void **state)
{
    (void)state;
    uint8_t zeros[64] = { 0 }, kind[4] = { PACK_PLANE_WEIGHTS, PACK_PLANE_ZEROS, PACK_PLANE_WEIGHTS, PACK_PLANE_RUNS };
    uint16_t code[64] = { 0 };
    struct fixed_term t = { .kh = 1, .kw = 1, .cin = 16, .cout = 4, .n_plane = 3, .code = code };
    assert_null(pack_planes_get(&(struct pack_source){ .p = zeros, .left = sizeof zeros }, &t, kind));
    t.n_plane = 4;
    assert_non_null(strstr(pack_planes_get(&(struct pack_source){ .p = zeros, .left = sizeof zeros }, &t, kind), "two kinds"));
    const uint8_t beyond[2] = { PACK_PLANE_ONES, PACK_PLANE_TABLE }, between[3] = { PACK_PLANE_TABLE, PACK_PLANE_ONES, PACK_PLANE_TABLE };
    t.n_plane = 2;                        /* a table of one code, and the number 1 */
    assert_non_null(strstr(pack_planes_get(&(struct pack_source){ .p = zeros, .left = sizeof zeros }, &t, beyond), "beyond its table"));
    t.n_plane = 3;
    assert_non_null(strstr(pack_planes_get(&(struct pack_source){ .p = zeros, .left = sizeof zeros }, &t, between), "behind its table's"));
}

static void size_equals_the_section(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct pack_section_info info[PACK_MAX_SECTIONS];
        struct sample s;
        int n, major, minor;
        sample_make(&s, seed, NULL);
        assert_ok(pack_write(&s.pack, unit_path(dir, "a.bpk")));
        assert_ok(pack_info(unit_path(dir, "a.bpk"), info, PACK_MAX_SECTIONS, &n, &major, &minor));
        assert_string_equal(info[1].name, "planes");
        assert_int_equal(info[1].bytes, pack_weight_bytes(s.pack.net));
        sample_free(&s);
    }
    unit_remove(dir);
}

/* ---- export ------------------------------------------------------------------------------ */

static void the_header_compiles_and_agrees(void **state)
{
    (void)state;
    const char *dir = unit_scratch();
    struct sample s;
    char command[1200], line[256] = "";
    sample_make(&s, 1, &small);
    s.pack.recipe = "a: \"quoted\" \\ ?\?= */\nb: \xc3\xa9" "12\n";
    s.logits[0] = INT32_MIN;
    assert_ok(pack_export_c(&s.pack, unit_path(dir, "my-net.v1.h")));
    const char *program =
        "#include <stdio.h>\n#include \"my-net.v1.h\"\n"
        "#include <string.h>\nint main(void) {\n"
        "unsigned long long h = 0; long long sum = 0; unsigned px = 0, nb = 0;\n"
        "for (int i = 0; i < my_net_program_words; i++) h = h * 31 + my_net_program[i];\n"
        "for (int i = 0; i < my_net_weights_words; i++) h = h * 31 + my_net_weights[i];\n"
        "for (int i = 0; i < my_net_classes; i++) sum += (long long)my_net_test_logits[i] * (i + 1);\n"
        "for (int i = 0; i < my_net_test_pixels_bytes; i++) px = px * 31 + my_net_test_pixels[i];\n"
        "for (int i = 0; i < my_net_net_bytes; i++) nb += my_net_net[i];\n"
        "for (int i = 0; i < my_net_planes_bytes; i++) nb += my_net_planes[i];\n"
        "printf(\"%llu %lld %u %d %d %s %zu %d\\n\", h + my_net_hw_hash, sum, px, my_net_height * my_net_width * my_net_channels,\n"
        "nb > 0, my_net_board, strlen(my_net_recipe), my_net_recipe[strlen(my_net_recipe) - 1] + (my_net_network[0] == 0) + (my_net_origin[0] == 0)); }\n";
    assert_ok(base_file_write(unit_path(dir, "t.c"), program, strlen(program)));
    snprintf(command, sizeof command, "cd %s && cc -std=c11 -Wall -Wextra -Werror -o t t.c 2>&1 && ./t", dir);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    if (pclose(f))
        fail_msg("%s", line);
    uint64_t h = 0;
    int64_t sum = 0;
    uint32_t px = 0;
    for (size_t i = 0; i < s.pack.program_words; i++)
        h = h * 31 + s.program[i];
    for (size_t i = 0; i < s.pack.weight_words; i++)
        h = h * 31 + s.weights[i];
    for (int i = 0; i < s.pack.net->classes; i++)
        sum += (int64_t)s.logits[i] * (i + 1);
    for (size_t i = 0; i < s.pack.test_pixel_bytes; i++)
        px = px * 31 + s.pixels[i];
    char want[256];
    snprintf(want, sizeof want, "%llu %lld %u %zu 1 pynq-z2 %zu 10\n", (unsigned long long)(h + s.pack.hw_hash), (long long)sum, px,
             s.pack.test_pixel_bytes, strlen(s.pack.recipe));
    assert_string_equal(line, want);
    sample_free(&s);
    unit_remove(dir);
}

/* ---- packs of earlier builds ------------------------------------------------------------ */

/* Something of everything, and small. */
static bool is_rich(const struct fixed_net *n)
{
    bool pool = false, sum = false, depthwise = false;
    for (int i = 0; i < n->n_layer; i++) {
        pool |= n->layer[i].kind == FIXED_MAXPOOL;
        sum |= n->layer[i].n_term > 1;
        depthwise |= n->layer[i].kind == FIXED_MAC && n->layer[i].term[0].depthwise;
    }
    return pool && sum && depthwise && n->edge[0].pad && n->classes > 3 && n->edge[0].h > 4 && n->edge[0].w > 4 && pack_weight_bytes(n) > 300;
}

static bool write_golden(const struct hw *hw, uint64_t seed)
{
    struct accel_program *a = NULL;
    struct sample s;
    const struct fixed_random limits = { .max_layers = 6, .max_size = 8, .max_channels = 20 };
    sample_make(&s, seed, &limits);
    bool ok = s.pixels && is_rich(s.pack.net) && uses(s.pack.net, PACK_PLANE_WEIGHTS) && uses(s.pack.net, PACK_PLANE_RUNS) && !accel_compile(&a, s.pack.net, hw) && 8 * (a->image_words + a->weight_words64) < 30000;
    if (ok) {
        char origin[64];
        snprintf(origin, sizeof origin, "{\"model\": \"random network %llu\"}", (unsigned long long)seed);
        strcpy(s.pack.board, hw->name);
        s.pack.hw_hash = hw->hash;
        s.pack.program = a->image, s.pack.program_words = a->image_words;
        s.pack.weights = a->weights, s.pack.weight_words = a->weight_words64;
        s.pack.origin = origin;
        assert_ok(pack_write(&s.pack, golden[BASE_COUNT(golden) - 1]));
    }
    accel_program_free(a);
    sample_free(&s);
    return ok;
}

/* What another version of the compiler made of the network is what a device runs. */
static void adopts(const struct pack *p)
{
    struct hw hw;
    struct accel_program *c;
    assert_ok(hw_load(&hw, "boards/pynq-z2/board.yaml"));
    assert_ok(accel_compile(&c, p->net, &hw));
    assert_ok(accel_adopt(c, p->program, p->program_words, p->weights, p->weight_words));
    assert_memory_equal(c->image, p->program, 8 * p->program_words);
    uint64_t *damaged = BASE_NEW_N(uint64_t, p->program_words);
    for (int word = 0; word < 5; word += 2) {          /* magic, layers, bytes of the image */
        memcpy(damaged, p->program, 8 * p->program_words);
        damaged[word] ^= 1;
        assert_int_equal(accel_adopt(c, damaged, p->program_words, p->weights, p->weight_words), BASE_INPUT);
        assert_memory_equal(c->image, p->program, 8 * p->program_words);
    }
    base_free(damaged);
    accel_program_free(c);
}

static void golden_still_runs(void **state)
{
    (void)state;
    if (getenv("BITPRESS_WRITE_GOLDEN")) {
        struct hw hw;
        uint64_t seed = 1;
        assert_ok(hw_load(&hw, "boards/pynq-z2/board.yaml"));
        while (!write_golden(&hw, seed))
            assert_true(++seed < 10000);
    }
    for (int i = 0; i < BASE_COUNT(golden); i++) {
        struct pack_section_info info[PACK_MAX_SECTIONS];
        struct pack *p;
        int n, major, minor;
        assert_ok(pack_info(golden[i], info, PACK_MAX_SECTIONS, &n, &major, &minor));
        assert_int_equal(minor, i);
        assert_ok(pack_read(&p, golden[i]));
        assert_string_equal(p->board, "pynq-z2");
        assert_true(p->program_words > 8 && is_rich(p->net) && uses(p->net, PACK_PLANE_WEIGHTS) == (i > 0));
        int32_t *logits = BASE_NEW_N(int32_t, p->net->classes);
        struct qref *q = qref_new(p->net, NULL);
        assert_ok(qref_run(q, p->test_pixels, 1, logits));
        assert_memory_equal(logits, p->test_logits, sizeof *logits * (size_t)p->net->classes);
        qref_free(q);
        base_free(logits);
        adopts(p);
        pack_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(layout_follows_the_page),
        cmocka_unit_test(every_damaged_byte_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(lies_behind_good_checksums),
        cmocka_unit_test(sections_missing_twice_unknown),
        cmocka_unit_test(versions),
        cmocka_unit_test(files_that_are_no_packs),
        cmocka_unit_test(writing_refuses),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(size_counts_the_bits_that_are_needed),
        cmocka_unit_test(size_of_sparse_weights),
        cmocka_unit_test(size_of_a_codebook),
        cmocka_unit_test(impossible_planes_are_refused),
        cmocka_unit_test(size_equals_the_section),
        cmocka_unit_test(the_header_compiles_and_agrees),
        cmocka_unit_test(golden_still_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
