/* pack: what is in a weight pack, whether it is sound, and the pack as a C header. */
#include <string.h>

#include "accel/accel.h"
#include "cmd/output.h"
#include "pack/pack.h"

struct opened {
    struct pack *pack;
    struct pack_section_info section[PACK_MAX_SECTIONS];
    int n_section, major, minor;
    size_t bytes;              /* of the file */
};

static int open_pack(struct opened *o, const char *path)
{
    memset(o, 0, sizeof *o);
    int rc = pack_read(&o->pack, path);
    if (!rc)
        rc = pack_info(path, o->section, PACK_MAX_SECTIONS, &o->n_section, &o->major, &o->minor);
    for (int i = 0; !rc && i < o->n_section; i++)
        o->bytes = BASE_MAX(o->bytes, (size_t)(o->section[i].offset + o->section[i].bytes));
    return rc;
}

/* ---- info ------------------------------------------------------------------------ */

/* Widths that a layer is known by: those of its first term with weights. */
static const struct fixed_term *main_term(const struct fixed_layer *l)
{
    for (int k = 0; k < l->n_term && l->kind == FIXED_MAC; k++)
        if (!(l->term[k].depthwise && l->term[k].n_plane == 1))
            return &l->term[k];
    return NULL;
}

static json_t *layer_json(const struct fixed_net *net, int i)
{
    const struct fixed_layer *l = &net->layer[i];
    const struct fixed_term *t = main_term(l);
    return json_pack("{s:o, s:s, s:[i,i,i], s:i, s:i, s:i, s:I}", "name", cmd_json_text(l->name), "kind",
                     l->kind == FIXED_MAC ? "mac" : "maxpool", "shape", l->h, l->w, l->c, "terms", l->kind == FIXED_MAC ? l->n_term : 1,
                     "w_bits", t ? t->w_bits : 0, "a_bits", t ? net->edge[t->edge].bits : 0, "macs",
                     l->kind == FIXED_MAC ? (json_int_t)fixed_macs(net, i) : 0);
}

static json_t *net_json(const struct fixed_net *net)
{
    const struct fixed_edge *in = &net->edge[0];
    json_t *layers = json_array();
    for (int i = 0; i < net->n_layer; i++)
        json_array_append_new(layers, layer_json(net, i));
    return json_pack("{s:o, s:[i,i,i], s:i, s:I, s:o}", "name", cmd_json_text(net->name), "image", in->h, in->w, in->c, "classes",
                     net->classes, "weight_bytes", (json_int_t)pack_weight_bytes(net), "layers", layers);
}

static json_t *sections_json(const struct opened *o)
{
    json_t *list = json_array();
    for (int i = 0; i < o->n_section; i++) {
        const struct pack_section_info *s = &o->section[i];
        json_array_append_new(list, json_pack("{s:o, s:I, s:I, s:I}", "name", cmd_json_text(s->name), "offset", (json_int_t)s->offset,
                                              "bytes", (json_int_t)s->bytes, "crc32c", (json_int_t)s->crc));
    }
    return list;
}

static json_t *info_json(const struct opened *o, const char *path)
{
    const struct pack *p = o->pack;
    char version[16], hash[20];
    snprintf(version, sizeof version, "%d.%d", o->major, o->minor);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)p->hw_hash);
    json_t *origin = json_loads(p->origin, 0, NULL);
    return json_pack("{s:o, s:s, s:I, s:o, s:s, s:I, s:I, s:o, s:o, s:b, s:o, s:o}", "file", cmd_json_text(path), "format", version, "bytes",
                     (json_int_t)o->bytes, "board", *p->board ? cmd_json_text(p->board) : json_null(), "hw_hash", hash, "program_words",
                     (json_int_t)p->program_words, "weight_words", (json_int_t)p->weight_words, "network", net_json(p->net), "sections",
                     sections_json(o), "self_test", p->test_pixels != NULL, "recipe", cmd_json_text(p->recipe), "origin",
                     origin ? origin : cmd_json_text(p->origin));
}

static void print_layers(const struct fixed_net *net)
{
    char name[256];
    printf("\n  %-24s %-8s %13s %5s %6s %6s %12s\n", "layer", "kind", "output", "terms", "w_bits", "a_bits", "macs");
    for (int i = 0; i < net->n_layer; i++) {
        const struct fixed_layer *l = &net->layer[i];
        const struct fixed_term *t = main_term(l);
        char shape[40], w[12] = "-", a[12] = "-";
        snprintf(shape, sizeof shape, "%dx%dx%d", l->h, l->w, l->c);
        if (t) {
            snprintf(w, sizeof w, "%d", t->w_bits);
            snprintf(a, sizeof a, "%d", net->edge[t->edge].bits);
        }
        bool mac = l->kind == FIXED_MAC;
        printf("  %-24s %-8s %13s %5d %6s %6s %12lld\n", cmd_clean(name, l->name), mac ? "mac" : "maxpool", shape, mac ? l->n_term : 1, w, a,
               mac ? (long long)fixed_macs(net, i) : 0);
    }
}

static void print_info(const struct opened *o, const char *path)
{
    const struct pack *p = o->pack;
    const struct fixed_edge *in = &p->net->edge[0];
    char text[256];
    printf("%s: weight pack, format %d.%d, %zu bytes\n", path, o->major, o->minor, o->bytes);
    printf("network    %s: image %dx%dx%d, %d classes, %d layers, weights %zu bytes\n", cmd_clean(text, p->net->name), in->h, in->w, in->c,
           p->net->classes, p->net->n_layer, pack_weight_bytes(p->net));
    if (p->program_words)
        printf("board      %s (array %016llx): program %zu words, weights %zu words of 64 bits\n", cmd_clean(text, p->board),
               (unsigned long long)p->hw_hash, p->program_words, p->weight_words);
    else
        printf("board      none: not compiled\n");
    printf("self-test  %s\n", p->test_pixels ? "one image and its logits" : "none");
    printf("\n  %-8s %10s %10s %10s\n", "section", "offset", "bytes", "CRC-32C");
    for (int i = 0; i < o->n_section; i++)
        printf("  %-8s %10llu %10llu   %08x\n", cmd_clean(text, o->section[i].name), (unsigned long long)o->section[i].offset,
               (unsigned long long)o->section[i].bytes, o->section[i].crc);
    print_layers(p->net);
    if (*p->recipe) {
        printf("\nrecipe:\n");
        cmd_print_text(p->recipe);
    }
    if (*p->origin) {
        printf("\norigin:\n");
        cmd_print_text(p->origin);
    }
}

static int info(const struct cmd *c, const void *options)
{
    (void)options;
    struct opened *o = BASE_NEW(struct opened);
    if (!o)
        return BASE_NOMEM;
    int rc = open_pack(o, c->arg[1]);
    if (!rc && c->json)
        rc = cmd_print_json(info_json(o, c->arg[1]));
    else if (!rc) {
        print_info(o, c->arg[1]);
        rc = cmd_end_output();
    }
    pack_free(o->pack);
    base_free(o);
    return rc;
}

/* ---- verify ------------------------------------------------------------------------ */

static int self_test(const struct pack *p, const char *path, struct base_pool *pool, const char **result)
{
    *result = "absent";
    if (!p->test_pixels)
        return BASE_OK;
    int32_t *logits = BASE_NEW_N(int32_t, p->net->classes);
    struct qref *q = logits ? qref_new(p->net, pool) : NULL;
    int rc = q ? qref_run(q, p->test_pixels, 1, logits) : BASE_NOMEM;
    for (int i = 0; !rc && i < p->net->classes; i++)
        if (logits[i] != p->test_logits[i]) {
            rc = base_fail(BASE_INPUT, "%s: self-test: logit %d of the integer reference is %d, the pack says %d", path, i, logits[i], p->test_logits[i]);
            base_hint(rc, "the pack was made by another version of the reference; make it anew");
        }
    qref_free(q);
    base_free(logits);
    *result = "equal";
    return rc;
}

/* Is the program what this build makes of the network? A program of another build may differ and be right. */
static const char *compare_program(const struct pack *p, const struct hw *hw)
{
    struct accel_program *a = NULL;
    bool equal = !accel_compile(&a, p->net, hw) && a->image_words == p->program_words && a->weight_words64 == p->weight_words &&
                 !memcmp(a->image, p->program, 8 * p->program_words) && !memcmp(a->weights, p->weights, 8 * p->weight_words);
    accel_program_free(a);
    return equal ? "equal" : "fits";
}

/* Whether the board of this name, as described here, would take the program. */
static int check_program(const struct pack *p, const char *path, const char **result)
{
    struct hw hw;
    *result = "absent";
    if (!p->program_words)
        return BASE_OK;
    *result = "unchecked";
    if (hw_load(&hw, p->board)) {
        base_warn("%s; the program is not checked", base_error());
        return BASE_OK;
    }
    if (hw.hash != p->hw_hash)
        return base_hint(base_fail(BASE_INPUT, "%s: compiled for another array than the '%s' described here", path, hw.name),
                         "compile it anew: bitpress apply ... --board %s", hw.name);
    int error = accel_decode_check(&hw, p->program, p->program_words);
    *result = error ? "bad" : compare_program(p, &hw);
    return error ? base_fail(BASE_INPUT, "%s: section 'program': the accelerator would end it with error %d (docs/rtl/registers.md)", path, error) : BASE_OK;
}

static int verify(const struct cmd *c, const void *options)
{
    (void)options;
    const char *path = c->arg[1], *test = NULL, *program = NULL;
    struct pack *p = NULL;
    struct base_pool *pool = base_pool_new((int)c->threads);
    int rc = pool ? pack_read(&p, path) : BASE_NOMEM;
    if (!rc)
        rc = self_test(p, path, pool, &test);
    if (!rc)
        rc = check_program(p, path, &program);
    if (!rc && c->json)
        rc = cmd_print_json(json_pack("{s:o, s:b, s:s, s:s, s:s}", "file", cmd_json_text(path), "ok", 1, "checksums", "equal", "self_test", test,
                                      "program", program));
    else if (!rc) {
        char board[256];
        printf("%s: ok\n  checksums  equal\n  self-test  %s\n  program    %s%s%s\n", path, test, program, p->program_words ? ", board " : "",
               cmd_clean(board, p->board));
        rc = cmd_end_output();
    }
    pack_free(p);
    base_pool_free(pool);
    return rc;
}

/* ---- export ------------------------------------------------------------------------ */

static int export(const struct cmd *c, const void *options)
{
    (void)options;
    struct pack *p = NULL;
    int rc = pack_read(&p, c->arg[1]);
    if (!rc)
        rc = pack_export_c(p, c->arg[2]);
    pack_free(p);
    if (rc)
        return rc;
    if (c->json)
        return cmd_print_json(json_pack("{s:o, s:o}", "file", cmd_json_text(c->arg[1]), "header", cmd_json_text(c->arg[2])));
    printf("%s: written\n", c->arg[2]);
    return cmd_end_output();
}

int cmd_pack(int argc, char **argv)
{
    static const struct cmd_action actions[] = {
        { "info", "PACK", 1, 1, info },
        { "verify", "PACK", 1, 1, verify },
        { "export", "PACK FILE.h", 2, 2, export },
    };
    const struct cmd_usage u = { "info PACK | verify PACK | export PACK FILE.h",
                                 "info    sections, network, board, recipe and origin of a weight pack\n"
                                 "verify  its checksums, its self-test by the integer reference, its program: 'equal' to what this build\n"
                                 "        compiles, or 'fits' the board\n"
                                 "export  the same sections as a C header",
                                 NULL, 0, 1, 3 };
    return cmd_act(&u, actions, BASE_COUNT(actions), NULL, argc, argv);
}
