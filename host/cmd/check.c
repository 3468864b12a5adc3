/* check: before any data: what of a model is read, lowered, refused, and what it costs on a board. The cycles
 * are the model's, for the network quantized on made-up images: they depend on shapes and widths alone. */
#include <string.h>

#include "accel/accel.h"
#include "cmd/check_layer.h"
#include "cmd/contender.h"
#include "cmd/output.h"
#include "cmd/pipeline.h"
#include "compress/compress.h"
#include "onnx/onnx.h"
#include "pack/pack.h"

enum { WHY = 1024 };

/* The network at one width, or by a recipe. */
struct trial {
    const char *name, *recipe;       /* recipe: file, or NULL: every layer `bits` */
    int bits;
    bool fits;
    char why[WHY];                   /* not */
    int64_t weight_bytes, cycles, ddr_bytes;
    double ms;
    struct accel_program *program;   /* NULL where it does not fit */
    int64_t *layer_cycles;           /* [layers]; -1: one of those that are not timed alone */
};

struct check {
    const char *model, *board, *input, *recipe;
    bool file;
    struct hw hw;
    struct onnx_report report;
    struct graph *g;
    struct graph_layers ls;
    bool runs;                       /* everything is supported, the preprocessing known */
    char why[8 * WHY], hint[WHY];    /* not */
    struct trial trial[3];
    int n_trial;
};

/* ---- looking ------------------------------------------------------------------------- */

/* Whatever is wrong with the model is a result; other errors stay errors. */
static int finding(struct check *k, int rc)
{
    if (rc == BASE_INPUT) {
        snprintf(k->why, sizeof k->why, "%s", base_error());
        snprintf(k->hint, sizeof k->hint, "%s", base_error_hint());
        return 1;
    }
    return rc;
}

static int read_model(struct check *k)
{
    k->file = pipeline_is_file(k->model);
    int rc = k->file ? onnx_read_report(&k->g, &k->report, k->model) : pipeline_model(&k->g, k->model, k->input);
    if (rc)
        return k->report.refused ? finding(k, rc) : rc;
    if (!k->file)
        nn_init_parameters(k->g, 1); /* built-in networks come without */
    rc = finding(k, graph_make_layers(k->g, &k->ls));
    return rc ? rc : finding(k, pipeline_prep(k->g, k->input));
}

/* All layers that cannot run at any width, at once. */
static int check_layers(struct check *k)
{
    struct base_text t = { 0 };
    char why[160];
    int n = 0;
    for (int i = 0; i < k->ls.n; i++)
        if (check_layer(why, k->g, &k->ls, i)) {
            base_text_add(&t, "\n  layer '%s': %s", k->ls.layer[i].name, why);
            n++;
        }
    int rc = t.failed ? BASE_NOMEM : n ? finding(k, base_fail(BASE_INPUT, "%s: %d layer%s not supported:%s", k->model, n, n == 1 ? " is" : "s are", t.s)) : BASE_OK;
    base_text_free(&t);
    return rc;
}

/* Lower, compile and count; what is refused on the way is the trial's `why`. */
static int lower(struct trial *t, const struct check *k, struct compress_cache *cache, const struct compress_recipe *r)
{
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct compress_model *m = NULL;
    struct fixed_net *net = NULL;
    struct accel_cycles *cycles = BASE_NEW(struct accel_cycles);
    o.batchnorm_images = 0;
    o.val_images = -1;
    o.draft = true;
    int rc = cycles ? compress_apply(&m, cache, r, &o) : BASE_NOMEM;
    if (!rc)
        rc = compress_lower(&net, m);
    if (!rc && t->recipe)
        t->weight_bytes = (int64_t)pack_weight_bytes(net);
    if (!rc)
        rc = accel_compile(&t->program, net, &k->hw);
    if (!rc)
        rc = accel_model(cycles, &k->hw, t->program->image, t->program->image_words);
    for (int i = 0; !rc && i < t->program->n_layer; i++)
        if (t->program->layer[i].fixed_layer >= 0) {
            int was = compress_layer_was(k->g, &k->ls, &m->layers.layer[t->program->layer[i].fixed_layer]);
            if (was >= 0)
                t->layer_cycles[was] = i < cycles->n_layer ? t->layer_cycles[was] + cycles->layer[i] : -1;
        }
    if (!rc) {
        t->fits = true;
        t->cycles = cycles->total;
        t->ddr_bytes = cycles->ddr_bytes;
        t->ms = (double)cycles->total / (k->hw.clock_mhz * 1e3);
    } else if (rc == BASE_INPUT) {
        snprintf(t->why, sizeof t->why, "%s", base_error());
        rc = BASE_OK;
    }
    base_free(cycles);
    fixed_net_free(net);
    compress_model_free(m);
    return rc;
}

static int try_width(struct trial *t, const struct check *k, struct compress_cache *cache)
{
    struct compress_recipe r;
    struct compress_size size;
    const struct graph *g = compress_cache_graph(cache);
    const struct graph_layers *ls = compress_cache_layers(cache);
    int rc = t->recipe ? compress_recipe_read(&r, t->recipe, g, ls) : compress_recipe_default(&r, g, ls, t->bits, t->bits);
    if (rc)
        return rc;
    compress_recipe_size(&size, &r, g, ls);
    t->weight_bytes = size.weight_bytes;
    r.finetune.mode = COMPRESS_FAST;     /* there are no images: what training would change costs no cycles */
    t->layer_cycles = BASE_NEW_N(int64_t, k->ls.n);
    rc = t->layer_cycles ? compress_recipe_settle(&r, g, ls, contender_channel_step(&k->hw)) : BASE_NOMEM;
    if (!rc)
        rc = lower(t, k, cache, &r);
    compress_recipe_free(&r);
    return rc;
}

static int try_widths(struct check *k, struct base_pool *pool)
{
    struct pipeline_bench bench;
    int rc = finding(k, pipeline_bench_blank(&bench, k->g, pool));
    for (int i = 0; !rc && i < k->n_trial; i++)
        rc = try_width(&k->trial[i], k, bench.cache);
    pipeline_bench_free(&bench);
    return rc;
}

static int look(struct check *k, struct base_pool *pool)
{
    int rc = hw_load(&k->hw, k->board);
    if (!rc)
        rc = read_model(k);
    if (!rc)
        rc = check_layers(k);
    if (!rc)
        rc = try_widths(k, pool);
    k->runs = !rc;
    return rc > 0 ? BASE_OK : rc;
}

/* ---- counts ------------------------------------------------------------------------------ */

static int64_t layer_macs(const struct check *k, const struct graph_layer *l)
{
    int64_t sum = 0;
    for (int t = 0; t < l->n_term; t++)
        if (l->kind == GRAPH_LAYER_MAC && l->term[t].node >= 0)
            sum += graph_macs(k->g, l->term[t].node);
    return sum;
}

static int64_t layer_weights(const struct check *k, const struct graph_layer *l)
{
    int64_t sum = 0;
    for (int t = 0; t < l->n_term; t++) {
        const struct graph_node *n = l->kind == GRAPH_LAYER_MAC && l->term[t].node >= 0 ? &k->g->node[l->term[t].node] : NULL;
        if (n && n->weight)
            sum += graph_macs(k->g, l->term[t].node) / ((int64_t)n->shape.h * n->shape.w);
    }
    return sum;
}

static int64_t total_macs(const struct check *k)
{
    int64_t sum = 0;
    for (int i = 0; i < k->g->n_node; i++)
        sum += graph_macs(k->g, i);
    return sum;
}

/* What the accelerator does with a layer, beyond its name. */
static const char *layer_kind(const struct check *k, const struct graph_layer *l)
{
    return graph_op_name(k->g->node[l->node].op);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static const char *const verdicts[] = { [ONNX_TAKEN] = "supported", [ONNX_LOWERED] = "lowered", [ONNX_FOLDED] = "folded", [ONNX_REFUSED] = "refused", [ONNX_SKIPPED] = "not examined" };

static json_t *nodes_json(const struct onnx_report *r)
{
    json_t *all = json_array();
    for (int i = 0; i < r->n; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "node", r->note[i].node, "op", r->note[i].op, "verdict", verdicts[r->note[i].verdict], "text", r->note[i].text));
    return all;
}

static json_t *input_json(const struct check *k)
{
    const struct graph_prep *p = &k->g->prep;
    struct graph_shape s = k->g->node[0].shape;
    json_t *mean = json_array(), *std = json_array();
    for (int c = 0; c < p->n; c++) {
        json_array_append_new(mean, json_real((double)p->mean[c]));
        json_array_append_new(std, json_real((double)p->std[c]));
    }
    const char *from = k->input ? k->input : k->file ? k->report.prep_from : "built in";
    return json_pack("{s:i, s:i, s:i, s:s, s:b, s:o, s:f, s:o, s:o}", "height", s.h, "width", s.w, "channels", s.c, "layout", k->file ? k->report.layout : "NHWC",
                     "known", p->known, "from", cmd_json_text(from), "scale", (double)p->scale, "mean", mean, "std", std);
}

static json_t *layers_json(const struct check *k)
{
    json_t *all = json_array();
    for (int i = 0; i < k->ls.n; i++) {
        const struct graph_layer *l = &k->ls.layer[i];
        json_t *j = json_pack("{s:s, s:s, s:i, s:i, s:i, s:I, s:I}", "name", l->name, "kind", layer_kind(k, l), "h", l->shape.h, "w", l->shape.w, "c", l->shape.c,
                              "macs", (json_int_t)layer_macs(k, l), "weights", (json_int_t)layer_weights(k, l));
        json_t *cycles = json_object();
        for (int t = 0; k->runs && t < k->n_trial; t++)
            if (k->trial[t].fits)
                json_object_set_new(cycles, k->trial[t].name, k->trial[t].layer_cycles[i] < 0 ? json_null() : json_integer(k->trial[t].layer_cycles[i]));
        json_object_set_new(j, "cycles", cycles);
        char why[160];
        json_object_set_new(j, "refused", check_layer(why, k->g, &k->ls, i) ? json_string(why) : json_null());
        json_array_append_new(all, j);
    }
    return all;
}

static json_t *trial_json(const struct check *k, const struct trial *t)
{
    const struct accel_program *p = t->program;
    json_t *j = json_pack("{s:s, s:b, s:I}", "width", t->name, "fits", t->fits, "weight_bytes", (json_int_t)t->weight_bytes);
    if (!t->fits)
        json_object_set_new(j, "why", cmd_json_text(t->why));
    else
        json_object_update_new(j, json_pack("{s:I, s:f, s:i, s:i, s:i, s:i, s:I}", "cycles", (json_int_t)t->cycles, "latency_ms", t->ms, "act_words", p->act_words, "act_depth", k->hw.act_depth,
                                            "weight_words", p->weight_words, "weight_depth", k->hw.weight_depth, "stream_bytes", (json_int_t)p->stream_words * 8));
    if (t->fits)                               /* of maps that do not fit, and all that a run moves */
        json_object_update_new(j, json_pack("{s:I, s:I}", "scratch_bytes", (json_int_t)p->scratch_bytes, "ddr_bytes", (json_int_t)t->ddr_bytes));
    return j;
}

static int print_json(const struct check *k)
{
    json_t *j = json_pack("{s:o, s:b, s:o, s:s, s:f, s:s}", "model", cmd_json_text(k->model), "supported", k->runs, "board", cmd_json_text(k->hw.name), "cycles_source", "model",
                          "clock_mhz", k->hw.clock_mhz, "clock_is", k->hw.clock_is);
    if (!k->runs)
        json_object_set_new(j, "why", cmd_json_text(k->why));
    if (k->file)
        json_object_update_new(j, json_pack("{s:i, s:o}", "opset", k->report.opset, "nodes", nodes_json(&k->report)));
    if (k->g)
        json_object_update_new(j, json_pack("{s:o, s:I, s:I, s:o}", "input", input_json(k), "macs", (json_int_t)total_macs(k), "parameters", (json_int_t)graph_params(k->g), "layers", layers_json(k)));
    json_t *widths = json_array();
    for (int t = 0; k->runs && t < k->n_trial; t++)
        json_array_append_new(widths, trial_json(k, &k->trial[t]));
    json_object_set_new(j, "widths", widths);
    return cmd_print_json(j);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_nodes(const struct onnx_report *r)
{
    int count[BASE_COUNT(verdicts)] = { 0 };
    for (int i = 0; i < r->n; i++)
        count[r->note[i].verdict]++;
    printf("nodes     %d (opset %d):", r->n, r->opset);
    for (int v = 0; v < BASE_COUNT(verdicts); v++)
        if (count[v])
            printf(" %d %s", count[v], verdicts[v]);
    puts("");
    for (int i = 0; i < r->n; i++)
        if (r->note[i].verdict == ONNX_LOWERED || r->note[i].verdict == ONNX_REFUSED)
            printf("  %-8s  %s (%s): %s\n", verdicts[r->note[i].verdict], r->note[i].node, r->note[i].op, r->note[i].text);
}

static void print_list(const char *name, const float *v, int n)
{
    printf("%s", name);
    for (int c = 0; c < n; c++)
        printf("%s%g", c ? ", " : "", (double)v[c]);
}

static void print_input(const struct check *k)
{
    const struct graph_prep *p = &k->g->prep;
    struct graph_shape s = k->g->node[0].shape;
    char from[256];
    printf("input     %d x %d x %d", s.h, s.w, s.c);
    if (!p->known) {
        puts(", preprocessing not given");
        return;
    }
    printf(", x = (pixel * %g - mean) / std", (double)p->scale);
    if (p->n) {
        print_list(", mean ", p->mean, p->n);
        print_list("; std ", p->std, p->n);
    }
    printf(" (%s)\n", cmd_clean(from, k->input ? k->input : k->file ? k->report.prep_from : "built in"));
}

static void print_layers(const struct check *k)
{
    printf("layers    %d; %lld multiply-accumulates, %lld parameters\n", k->ls.n, (long long)total_macs(k), (long long)graph_params(k->g));
    printf("  %-32s %-9s %16s %12s %9s", "name", "kind", "output", "MACs", "weights");
    for (int t = 0; t < k->n_trial; t++)
        printf(" %10s", k->trial[t].name);
    puts("");
    for (int i = 0; i < k->ls.n; i++) {
        const struct graph_layer *l = &k->ls.layer[i];
        char shape[48];
        snprintf(shape, sizeof shape, "%d x %d x %d", l->shape.h, l->shape.w, l->shape.c);
        printf("  %-32s %-9s %16s %12lld %9lld", l->name, layer_kind(k, l), shape, (long long)layer_macs(k, l), (long long)layer_weights(k, l));
        for (int t = 0; k->runs && t < k->n_trial; t++)
            if (k->trial[t].fits && k->trial[t].layer_cycles[i] >= 0)
                printf(" %10lld", (long long)k->trial[t].layer_cycles[i]);
            else
                printf(" %10s", "-");
        puts("");
    }
}

static void print_trial(const struct check *k, const struct trial *t)
{
    const struct accel_program *p = t->program;
    if (!t->fits) {
        printf("%-9s does not run: %s\n", t->name, t->why);
        return;
    }
    char stream[128] = "fits on chip";
    if (p->scratch_bytes)
        snprintf(stream, sizeof stream, "maps stream through DDR (%.1f KiB of it), %.1f KiB a run", (double)p->scratch_bytes / 1024, (double)t->ddr_bytes / 1024);
    else if (p->stream_words)
        snprintf(stream, sizeof stream, "streams %.1f KiB a run", (double)p->stream_words / 128);
    printf("%-9s %s: maps %d of %d words, weights %d of %d words (%lld bytes); %lld cycles by the model, %.3f ms at %g MHz (%s)\n", t->name, stream, p->act_words, k->hw.act_depth,
           p->weight_words, k->hw.weight_depth, (long long)t->weight_bytes, (long long)t->cycles, t->ms, k->hw.clock_mhz, k->hw.clock_is);
}

static int print_text(const struct check *k)
{
    char name[256];
    printf("model     %s\n", cmd_clean(name, k->model));
    if (k->g)
        print_input(k);
    if (k->file)
        print_nodes(&k->report);
    if (k->g && k->ls.n)
        print_layers(k);
    printf("board     %s: %d x %d x %d, first and last layer at 8 bits\n", k->hw.name, k->hw.m, k->hw.n, k->hw.k);
    for (int t = 0; k->runs && t < k->n_trial; t++)
        print_trial(k, &k->trial[t]);
    return cmd_end_output();
}

/* ---- the command -------------------------------------------------------------------------------- */

static int check(struct check *k, const struct cmd *c)
{
    struct base_pool *pool = base_pool_new((int)c->threads);
    int rc = pool ? look(k, pool) : BASE_NOMEM;
    if (!rc)
        rc = c->json ? print_json(k) : print_text(k);
    if (!rc && !k->runs)
        rc = *k->hint ? base_hint(base_fail(BASE_INPUT, "%s", k->why), "%s", k->hint) : base_fail(BASE_INPUT, "%s", k->why);
    bool any = k->recipe ? k->trial[2].fits : k->trial[0].fits || k->trial[1].fits;
    if (!rc && !any)
        rc = base_fail(BASE_INPUT, k->recipe ? "%s does not run on %s by this recipe: %s" : "%s does not run on %s at any width tried: %s", k->model, k->hw.name, k->trial[k->n_trial - 1].why);
    base_pool_free(pool);
    return rc;
}

int cmd_check(int argc, char **argv)
{
    struct check *k = BASE_NEW(struct check);
    if (!k)
        return cmd_fail(BASE_NOMEM);
    k->board = "pynq-z2";
    const struct cmd_option options[] = {
        { "board", CMD_TEXT, &k->board, "BOARD", "name or file of a board description (default: pynq-z2)" },
        { "input", CMD_TEXT, &k->input, "FILE", "YAML with the preprocessing, `input: {scale, mean, std}`, where the model lacks it" },
        { "recipe", CMD_TEXT, &k->recipe, "FILE", "a recipe as well: what its widths, channels, zeros and levels cost" },
    };
    const struct cmd_usage u = { "MODEL --board BOARD", "What of a model (.onnx, or a built-in network's name) is supported, whether it fits on a board, and its cycles at 8 and 4 bits and by a recipe.", options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (!rc) {
        k->model = c.arg[0];
        k->trial[0] = (struct trial){ .name = "W8A8", .bits = 8 };
        k->trial[1] = (struct trial){ .name = "W4A4", .bits = 4 };
        k->trial[2] = (struct trial){ .name = "recipe", .recipe = k->recipe };
        k->n_trial = k->recipe ? 3 : 2;
        rc = check(k, &c);
    }
    for (int t = 0; t < k->n_trial; t++) {
        accel_program_free(k->trial[t].program);
        base_free(k->trial[t].layer_cycles);
    }
    onnx_report_free(&k->report);
    graph_free(k->g);
    base_free(k);
    return rc < 0 ? cmd_fail(rc) : 0;
}
