/* score: what a pack costs on the accelerator, and whether its results are the reference's. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "cmd/output.h"
#include "cmd/remote.h"
#include "data/data.h"
#include "pack/pack.h"
#include "score/score.h"

enum { MAX_IMAGES = 100000 };

struct options { const char *board, *data; struct contender_scorer by; struct cmd_list remote; long images; bool no_cache; };

struct scoring {
    struct pack *pack;
    struct accel_program *program;
    uint8_t *pixels;           /* [images] */
    struct score_result result;
    int64_t further;           /* cycles of a further image of the same start; 0: none */
};

/* ---- the program ------------------------------------------------------------------ */

static bool has_program(const struct pack *p)
{
    return p->board[0] && p->program_words;
}

static bool same_program(const struct pack *p, const struct accel_program *c)
{
    return p->program_words == c->image_words && p->weight_words == c->weight_words64 &&
           !memcmp(p->program, c->image, c->image_words * 8) && !memcmp(p->weights, c->weights, c->weight_words64 * 8);
}

/* The pack's own program: what a device runs, though its network compiles to another today. */
static int make_program(struct scoring *s, const char *path, const char *board)
{
    const struct pack *p = s->pack;
    struct hw hw;
    int rc = hw_load(&hw, board ? board : has_program(p) ? p->board : "pynq-z2");
    if (rc)
        return rc;
    if (has_program(p) && p->hw_hash != hw.hash)
        return base_hint(base_fail(BASE_INPUT, "%s: the pack was compiled for %s (hash %016" PRIx64 "), not for %s (%016" PRIx64 ")", path, p->board, p->hw_hash, hw.name, hw.hash),
                         "bitpress apply MODEL --recipe R --board %s makes a pack for it", hw.name);
    rc = accel_compile(&s->program, p->net, &hw);
    if (rc || !has_program(p) || same_program(p, s->program))
        return rc;
    rc = accel_adopt(s->program, p->program, p->program_words, p->weights, p->weight_words);
    return rc == BASE_INPUT ? base_hint(base_fail(rc, "%s: %s", path, base_error()), "bitpress apply makes a new pack") : rc;
}

/* ---- the images ------------------------------------------------------------------- */

static int images_of_data(struct scoring *s, const char *spec, int images)
{
    const struct fixed_edge *in = &s->pack->net->edge[0];
    struct data_set d = { 0 };
    struct data_options o = DATA_OPTIONS_INIT;
    o.shape = (struct data_shape){ .h = in->h, .w = in->w, .c = in->c };
    o.label = "read test pictures";
    int rc = data_open_as(&d, spec, DATA_TEST, &o);
    if (!rc && (d.h != in->h || d.w != in->w || d.c != in->c))
        rc = base_fail(BASE_INPUT, "%s: images of %dx%dx%d do not fit the pack's network, which takes %dx%dx%d", spec, d.h, d.w, d.c, in->h, in->w, in->c);
    if (!rc && images > d.n)
        rc = base_fail(BASE_INPUT, "%s: %d images are asked for, there are %d", spec, images, d.n);
    if (!rc)
        memcpy(s->pixels, d.pixels, (size_t)images * s->program->input_bytes);
    data_free(&d);
    return rc;
}

/* The pack's self-test image, then made-up ones. */
static void images_of_pack(struct scoring *s, int images, uint64_t seed)
{
    size_t bytes = s->program->input_bytes, own = 0;
    struct base_rng r;
    base_rng_seed(&r, seed);
    if (s->pack->test_pixels && s->pack->test_pixel_bytes == bytes) {
        memcpy(s->pixels, s->pack->test_pixels, bytes);
        own = bytes;
    }
    for (size_t i = own; i < (size_t)images * bytes; i++)
        s->pixels[i] = (uint8_t)base_rng_below(&r, 256);
}

static int make_images(struct scoring *s, const struct options *o, long seed)
{
    s->pixels = base_alloc((size_t)o->images * s->program->input_bytes);
    if (!s->pixels)
        return BASE_NOMEM;
    if (o->data)
        return images_of_data(s, o->data, (int)o->images);
    images_of_pack(s, (int)o->images, seed < 0 ? 1 : (uint64_t)seed);
    return BASE_OK;
}

/* ---- the result ------------------------------------------------------------------- */

static json_t *layers_json(const struct score_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_layer; i++) {
        const struct score_layer *l = &r->layer[i];
        json_array_append_new(list, json_pack("{s:o, s:s, s:I, s:I, s:i, s:i, s:I}", "name", cmd_json_text(l->name), "kind", l->kind, "cycles", (json_int_t)l->cycles,
                                              "ideal_cycles", (json_int_t)l->ideal_cycles, "w_bits", l->w_bits, "a_bits", l->a_bits, "macs", (json_int_t)l->macs));
    }
    return list;
}

static json_t *units_json(const struct score_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_unit; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I}", "name", r->unit[i].name, "run", (json_int_t)r->unit[i].run, "stall",
                                              (json_int_t)r->unit[i].stall, "idle", (json_int_t)r->unit[i].idle));
    return list;
}

static int print_json(const struct score_result *r, int64_t further)
{
    json_t *exact = r->bit_exact < 0 ? json_null() : json_boolean(r->bit_exact);
    json_t *j = json_pack("{s:s, s:o, s:I, s:s, s:f, s:o, s:f, s:f, s:I, s:f, s:I, s:o, s:i, s:I, s:I, s:f, s:o, s:o}", "backend", r->backend, "board",
                          cmd_json_text(r->board), "cycles", (json_int_t)r->cycles, "cycles_source", r->cycles_source, "clock_mhz", r->clock_mhz,
                          "clock_is", cmd_json_text(r->clock_is), "latency_ms", r->latency_ms, "inferences_per_s", r->inferences_per_s, "further_image_cycles", (json_int_t)further, "efficiency",
                          r->efficiency, "ddr_bytes", (json_int_t)r->ddr_bytes, "bit_exact", exact, "images", r->images, "load_cycles",
                          (json_int_t)r->load_cycles, "model_cycles", (json_int_t)r->model_cycles, "wall_s", r->wall_s, "units", units_json(r), "layers",
                          layers_json(r));
    return cmd_print_json(j);
}

static void print_efficiency(int64_t ideal, int64_t cycles)
{
    if (ideal > 0 && cycles > 0)
        printf("  %8.1f %%\n", 100.0 * (double)ideal / (double)cycles);
    else
        printf("  %10s\n", "-");
}

static void print_layers(const struct score_result *r)
{
    int64_t macs = 0, ideal = 0, sum = 0;
    char name[256];
    printf("%-24s %-7s %2s %2s %12s %10s %10s  %10s\n", "layer", "kind", "w", "a", "MACs", "cycles", "ideal", "efficiency");
    for (int i = 0; i < r->n_layer; i++) {
        const struct score_layer *l = &r->layer[i];
        printf("%-24s %-7s %2d %2d %12" PRId64 " %10" PRId64 " %10" PRId64, cmd_clean(name, l->name), l->kind, l->w_bits, l->a_bits, l->macs, l->cycles, l->ideal_cycles);
        print_efficiency(l->ideal_cycles, l->cycles);
        macs += l->macs;
        ideal += l->ideal_cycles;
        sum += l->cycles;
    }
    printf("%-24s %-7s %2s %2s %12s %10" PRId64 "\n", "start and result", "", "", "", "", r->cycles - sum);
    printf("%-24s %-7s %2s %2s %12" PRId64 " %10" PRId64 " %10" PRId64, "total", "", "", "", macs, r->cycles, ideal);
    print_efficiency(ideal, r->cycles);
}

static void print_units(const struct score_result *r)
{
    if (r->n_unit)
        printf("\n%-24s %10s %10s %10s  cycles\n", "stage", "run", "stall", "idle");
    for (int i = 0; i < r->n_unit; i++)
        printf("%-24s %10" PRId64 " %10" PRId64 " %10" PRId64 "\n", r->unit[i].name, r->unit[i].run, r->unit[i].stall, r->unit[i].idle);
}

static const char *source_words(const char *source)
{
    static const char *const words[][2] = {
        { "rtl", "measured in the RTL" }, { "rtl-table", "measured in the RTL earlier" }, { "model", "by the cycle model" },
        { "hls-estimate", "an estimate from the loops of the HLS C" }, { "xrt-emulation", "measured in the RTL behind XRT's emulation" },
        { "board", "measured on a board" },
    };
    for (int i = 0; i < BASE_COUNT(words); i++)
        if (!strcmp(source, words[i][0]))
            return words[i][1];
    return "unknown";
}

static int print_text(const struct score_result *r, int64_t further)
{
    print_layers(r);
    print_units(r);
    printf("\n%" PRId64 " cycles, %s (%s); %s\n", r->cycles, source_words(r->cycles_source), r->cycles_source, r->board);
    printf("latency %.4f ms, %.0f inferences/s at %g MHz (%s clock); %" PRId64 " bytes over the memory port\n", r->latency_ms, r->inferences_per_s, r->clock_mhz, r->clock_is, r->ddr_bytes);
    if (further > 0)
        printf("each further image of the same start: %" PRId64 " cycles by the cycle model, %.0f inferences/s\n", further, r->clock_mhz * 1e6 / (double)further);
    if (r->load_cycles > 0)
        printf("before the first image: program and weights in %" PRId64 " cycles\n", r->load_cycles);
    if (r->bit_exact < 0)
        printf("no image was run\n");
    else
        printf("%d image%s: %s\n", r->images, r->images == 1 ? "" : "s", r->bit_exact ? "every logit equals the reference" : "logits DIFFER from the reference");
    return cmd_end_output();
}

/* ---- the command ------------------------------------------------------------------- */

/* Where cycles measured earlier are kept; NULL = nowhere. The caller's. */
static char *cache_folder(void)
{
    const char *own = getenv("BITPRESS_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && *own)
        return base_strdup(own);
    if (xdg && *xdg)
        return base_format("%s/bitpress", xdg);
    return home && *home ? base_format("%s/.cache/bitpress", home) : NULL;
}

static int score(struct scoring *s, const struct options *o, const struct cmd *c)
{
    int rc = pack_read(&s->pack, c->arg[0]);
    if (!rc)
        rc = make_program(s, c->arg[0], o->board);
    if (!rc)
        rc = make_images(s, o, c->seed);
    if (rc)
        return rc;
    char *cache = o->no_cache ? NULL : cache_folder();
    const struct score_job job = { .net = s->pack->net, .program = s->program, .pixels = s->pixels, .images = (int)o->images, .cache_dir = cache,
                                   .exact = true, .threads = (int)c->threads, .boards = o->by.boards };
    rc = score_run(&s->result, o->by.backend, &job);
    base_free(cache);
    return rc ? rc : score_further_image(&s->further, &job);
}

/* What was measured is shown even when it is not what it should be. */
static int show(const struct score_result *r, int64_t further, int rc, bool json)
{
    if (rc && !(rc == BASE_INTERNAL && r->cycles > 0))
        return cmd_fail(rc);
    int code = rc ? cmd_fail(rc) : 0, printed = json ? print_json(r, further) : print_text(r, further);
    return code ? code : printed ? cmd_fail(printed) : 0;
}

static void close_scoring(struct scoring *s)
{
    base_free(s->pixels);
    accel_program_free(s->program);
    pack_free(s->pack);
    base_free(s);
}

int cmd_score(int argc, char **argv)
{
    struct options o = { .by.backend = "verilator", .images = 1 };
    const struct cmd_option options[] = {
        { "board", CMD_TEXT, &o.board, "B", "the board (default: the one the pack was compiled for)" },
        { "backend", CMD_TEXT, &o.by.backend, "NAME", "model, verilator (default), hls, xrt, opencl or remote" },
        { "remote", CMD_LIST, &o.remote, "COMMAND", CMD_REMOTE_HELP },
        { "images", CMD_INT, &o.images, "N", "images to run and compare (default 1)" },
        { "data", CMD_TEXT, &o.data, "SPEC", "whose test images (default: the pack's own, then made-up ones)" },
        { "no-cache", CMD_FLAG, &o.no_cache, NULL, "measure afresh, keep nothing" },
    };
    const struct cmd_usage u = { "PACK [--board B] [--backend NAME]",
                                 "Cycles of a pack on the accelerator, layer by layer, and whether its logits equal the integer reference.\n"
                                 "verilator runs the RTL; model counts without running; hls runs the HLS C as software and estimates;\n"
                                 "xrt and opencl drive a board (BITPRESS_XCLBIN names its xclbin), or the RTL in XRT's hardware emulation.",
                                 options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (rc)
        return rc > 0 ? 0 : cmd_fail(rc);
    if (o.images < 1 || o.images > MAX_IMAGES)
        return cmd_fail(base_fail(BASE_INPUT, "score: --images must be 1 to %d", MAX_IMAGES));
    struct scoring *s = BASE_NEW(struct scoring);
    if (!s)
        return cmd_fail(BASE_NOMEM);
    rc = cmd_check_name("backend", o.by.backend, score_backends());
    if (!rc)
        rc = cmd_remote(&o.by, &o.remote);
    if (!rc)
        rc = score(s, &o, &c);
    remote_close(o.by.boards);
    int code = show(&s->result, s->further, rc, c.json);
    close_scoring(s);
    return code;
}
