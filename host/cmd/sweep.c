/* sweep: the architect's table: what every pair of widths costs on some boards, and how accurate it is where data is
 * given. Cycles are the model's; accuracy is that of quantization without training. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "cmd/contender.h"
#include "cmd/output.h"
#include "cmd/pipeline.h"
#include "compress/compress.h"
#include "pack/pack.h"
#include "report/sweep.h"

enum { MAX_BOARDS = 16, MAX_KEEP = 8, BITS = 8, MAX_POINTS = MAX_KEEP * MAX_BOARDS * BITS * BITS, WHY = 512 };

struct range { int lo, hi; };

struct sweep {
    const struct cmd *cmd;
    const char *model, *boards, *w, *a, *keep, *prune, *data, *input, *out;
    long held_out, images, pad;
    bool flip;
    struct range w_range, a_range;
    double share[MAX_KEEP];              /* of channels that stay */
    int n_share;
    enum compress_prune_method method;
    struct hw hw[MAX_BOARDS];
    struct report_sweep_board board[MAX_BOARDS];
    struct base_pool *pool;
    struct graph *g;
    struct pipeline_data held;
    struct pipeline_bench bench;
    struct report_sweep_point point[MAX_POINTS];
    char *why[MAX_POINTS];
    struct report_sweep result;
    double wall_s;
};

/* ---- options ------------------------------------------------------------------------------ */

static int read_range(struct range *out, const char *option, const char *text)
{
    char *end;
    long lo = strtol(text, &end, 10), hi = lo;
    if (end != text && *end == '-')
        hi = strtol(end + 1, &end, 10);
    if (end == text || *end || lo < 1 || hi > BITS || lo > hi)
        return base_fail(BASE_INPUT, "sweep: --%s takes one width or a range within 1-8, not '%.40s'", option, text);
    *out = (struct range){ (int)lo, (int)hi };
    return BASE_OK;
}

static int read_shares(struct sweep *s)
{
    for (const char *at = s->keep; *at;) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || (*end && (*end != ',' || !end[1])) || !(v > 0 && v <= 1) || s->n_share == MAX_KEEP)
            return base_fail(BASE_INPUT, "sweep: --keep takes up to %d shares of channels, above 0 and up to 1, separated by commas, not '%.40s'", MAX_KEEP, s->keep);
        for (int i = 0; i < s->n_share; i++)
            if (!(s->share[i] < v || s->share[i] > v))
                return base_fail(BASE_INPUT, "sweep: --keep names %g twice", v);
        s->share[s->n_share++] = v;
        at = end + (*end == ',');
    }
    return s->n_share ? BASE_OK : base_fail(BASE_INPUT, "sweep: --keep names no share");
}

static int read_boards(struct sweep *s)
{
    char name[4096];
    for (const char *at = s->boards; *at;) {
        size_t len = strcspn(at, ",");
        if (s->result.n_board == MAX_BOARDS)
            return base_fail(BASE_INPUT, "sweep: more than %d boards", MAX_BOARDS);
        if (!len || len >= sizeof name)
            return base_fail(BASE_INPUT, "sweep: --board takes names or files, separated by commas, not '%.60s'", s->boards);
        memcpy(name, at, len);
        name[len] = '\0';
        struct hw *h = &s->hw[s->result.n_board];
        int rc = hw_load(h, name);
        if (rc)
            return rc;
        struct hw_area area;
        hw_area(&area, h);
        s->board[s->result.n_board++] = (struct report_sweep_board){ .name = h->name, .part = h->part, .clock_is = h->clock_is, .m = h->m, .n = h->n, .k = h->k, .clock_mhz = h->clock_mhz, .lut = area.lut,
                                                                     .bram36 = area.bram36, .dsp = area.dsp, .has_lut = h->lut, .has_bram36 = h->bram36, .has_dsp = h->dsp };
        at += len + (at[len] == ',');
    }
    return s->result.n_board ? BASE_OK : base_fail(BASE_INPUT, "sweep: --board names no board");
}

/* ---- measuring ---------------------------------------------------------------------------- */

static int open_bench(struct sweep *s)
{
    uint64_t seed = s->cmd->seed < 0 ? 1 : (uint64_t)s->cmd->seed;
    int rc = pipeline_model(&s->g, s->model, s->input);
    if (!rc && !pipeline_is_file(s->model))
        nn_init_parameters(s->g, seed);
    if (rc || !s->data)
        return rc ? rc : pipeline_bench_blank(&s->bench, s->g, s->pool);
    rc = pipeline_data_open(&s->held, s->g, s->data, (int)s->held_out, seed, s->pool);
    if (!rc)
        rc = pipeline_bench_open(&s->bench, s->g, &s->held, seed, (int)s->pad, s->flip, s->pool);
    if (!rc)
        s->result.images = BASE_MIN((int)s->images, s->held.n_val);
    return rc;
}

/* BASE_INPUT ends up as the reason of the points it concerns; other errors stay. */
static int note_why(struct sweep *s, int first, int n, int rc)
{
    if (rc != BASE_INPUT)
        return rc;
    for (int i = first; i < first + n; i++) {
        if (!(s->why[i] = base_format("%.*s", WHY, base_error())))
            return BASE_NOMEM;
        s->point[i].why = s->why[i];
    }
    return BASE_OK;
}

static int count_cycles(struct report_sweep_point *p, const struct fixed_net *net, const struct hw *hw)
{
    struct accel_program *program = NULL;
    struct accel_cycles *c = BASE_NEW(struct accel_cycles);
    int rc = c ? accel_compile(&program, net, hw) : BASE_NOMEM;
    if (!rc)
        rc = accel_model(c, hw, program->image, program->image_words);
    if (!rc) {
        p->cycles = c->total;
        p->ddr_bytes = c->ddr_bytes;
        p->latency_ms = (double)c->total / (hw->clock_mhz * 1e3);
    }
    accel_program_free(program);
    base_free(c);
    return rc;
}

/* Channels stay in steps that suit every board. */
static int channel_step(const struct sweep *s)
{
    int step = 1;
    for (int b = 0; b < s->result.n_board; b++)
        step = BASE_MAX(step, contender_channel_step(&s->hw[b]));
    return step;
}

/* The share is every layer's that has channels of its own. */
static int prune_recipe(struct compress_recipe *r, const struct sweep *s, const struct graph *g, const struct graph_layers *ls, double share)
{
    int *decider = BASE_NEW_N(int, ls->n);
    int rc = decider ? compress_recipe_keep_deciders(decider, g, ls) : BASE_NOMEM;
    for (int i = 0; !rc && i < ls->n; i++)
        if (decider[i] == i)
            r->layer[i].keep = share;
    r->prune.method = s->method;
    if (!rc)
        rc = compress_recipe_settle(r, g, ls, channel_step(s));
    base_free(decider);
    return rc;
}

/* One pair of widths on every board: the network is quantized once. */
static int measure(struct sweep *s, double share, int w_bits, int a_bits)
{
    struct compress_recipe r;
    struct compress_size size;
    struct compress_options o = COMPRESS_OPTIONS_INIT;
    struct nn_result val = { 0 };
    struct fixed_net *net = NULL;
    const struct graph *g = compress_cache_graph(s->bench.cache);
    const struct graph_layers *ls = compress_cache_layers(s->bench.cache);
    int first = s->result.n_point, rc = compress_recipe_default(&r, g, ls, w_bits, a_bits);
    if (rc)
        return rc;
    if (share < 1 && (rc = prune_recipe(&r, s, g, ls, share))) {
        compress_recipe_free(&r);
        return rc;
    }
    compress_recipe_size(&size, &r, g, ls);
    for (int b = 0; b < s->result.n_board; b++)
        s->point[s->result.n_point++] = (struct report_sweep_point){ .board = b, .w_bits = w_bits, .a_bits = a_bits, .keep = share, .weight_bytes = size.weight_bytes, .top1 = -1 };
    if (!s->data) {
        o.batchnorm_images = 0;
        o.draft = true;
    }
    o.val_images = s->data ? s->result.images : -1;
    rc = compress_evaluate(&val, &net, s->bench.cache, &r, &o);
    if (rc) {
        rc = note_why(s, first, s->result.n_board, rc);
    } else {
        for (int b = 0; !rc && b < s->result.n_board; b++) {
            if (share < 1)
                s->point[first + b].weight_bytes = (int64_t)pack_weight_bytes(net);
            s->point[first + b].top1 = s->data ? val.top1 : -1;
            rc = note_why(s, first + b, 1, count_cycles(&s->point[first + b], net, &s->hw[b]));
        }
    }
    if (rc)
        s->result.n_point = first;         /* half of a pair tells nothing */
    fixed_net_free(net);
    compress_recipe_free(&r);
    return rc;
}

static int measure_all(struct sweep *s)
{
    struct base_progress p;
    int rows = s->w_range.hi - s->w_range.lo + 1, columns = s->a_range.hi - s->a_range.lo + 1, done = 0, rc = BASE_OK;
    base_progress_begin(&p, "sweep", 0, s->n_share * rows * columns);
    for (int k = 0; k < s->n_share; k++)
        for (int w = s->w_range.lo; !rc && w <= s->w_range.hi; w++)
            for (int a = s->a_range.lo; !rc && a <= s->a_range.hi; a++) {
                rc = base_stop_requested() ? base_fail(BASE_STOPPED, "sweep: stopped") : measure(s, s->share[k], w, a);
                base_progress_update(&p, ++done, "%g w%d a%d", s->share[k], w, a);
            }
    base_progress_end(&p, "%d points", s->result.n_point);
    return rc;
}

/* ---- the front ---------------------------------------------------------------------------- */

static bool dominates(const struct sweep *s, const struct report_sweep_point *p, const struct report_sweep_point *q)
{
    bool good = s->data ? p->top1 >= q->top1 : p->w_bits >= q->w_bits && p->a_bits >= q->a_bits && p->keep >= q->keep;
    bool better = s->data ? p->top1 > q->top1 : p->w_bits > q->w_bits || p->a_bits > q->a_bits || p->keep > q->keep;
    return p->cycles > 0 && good && p->latency_ms <= q->latency_ms && (better || p->latency_ms < q->latency_ms);
}

/* On each board: nothing at least as accurate (without data: as wide) is faster. */
static void mark_front(struct sweep *s)
{
    for (int i = 0; i < s->result.n_point; i++) {
        struct report_sweep_point *q = &s->point[i];
        q->pareto = q->cycles > 0;
        for (int j = 0; q->pareto && j < s->result.n_point; j++)
            q->pareto = s->point[j].board != q->board || !dominates(s, &s->point[j], q);
    }
}

/* ---- results ------------------------------------------------------------------------------ */

static json_t *points_json(const struct sweep *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->result.n_point; i++) {
        const struct report_sweep_point *p = &s->point[i];
        json_t *j = json_pack("{s:o, s:f, s:i, s:i, s:b, s:I, s:b}", "board", cmd_json_text(s->board[p->board].name), "keep", p->keep, "w_bits", p->w_bits, "a_bits", p->a_bits, "fits", p->cycles > 0,
                              "weight_bytes", (json_int_t)p->weight_bytes, "pareto", p->pareto);
        if (p->cycles > 0)
            json_object_update_new(j, json_pack("{s:I, s:f, s:I}", "cycles", (json_int_t)p->cycles, "latency_ms", p->latency_ms, "ddr_bytes", (json_int_t)p->ddr_bytes));
        else
            json_object_set_new(j, "why", cmd_json_text(p->why));
        if (p->top1 >= 0)
            json_object_set_new(j, "top1", json_real(p->top1));
        json_array_append_new(list, j);
    }
    return list;
}

static int print_json(const struct sweep *s)
{
    json_t *boards = json_array();
    for (int b = 0; b < s->result.n_board; b++)
        json_array_append_new(boards, json_pack("{s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:o}", "name", cmd_json_text(s->board[b].name), "m", s->board[b].m, "n", s->board[b].n, "k", s->board[b].k, "lut", s->board[b].lut, "bram36", s->board[b].bram36, "dsp", s->board[b].dsp, "clock_mhz",
                                                s->board[b].clock_mhz, "clock_is", cmd_json_text(s->board[b].clock_is)));
    return cmd_print_json(json_pack("{s:o, s:o, s:i, s:s, s:o, s:o, s:f}", "model", cmd_json_text(s->model), "data", cmd_json_text(s->data), "images", s->result.images, "cycles_source", "model",
                                    "boards", boards, "points", points_json(s), "wall_s", s->wall_s));
}

static const struct report_sweep_point *find_point(const struct sweep *s, int board, double keep, int w, int a)
{
    for (int i = 0; i < s->result.n_point; i++)
        if (s->point[i].board == board && s->point[i].keep >= keep && s->point[i].keep <= keep && s->point[i].w_bits == w && s->point[i].a_bits == a)
            return &s->point[i];
    return NULL;
}

static void print_grid(const struct sweep *s, int board, double keep, bool accuracy)
{
    printf("  %-8s", accuracy ? "top-1, %" : "cycles");
    for (int a = s->a_range.lo; a <= s->a_range.hi; a++)
        printf("  %9s%d", "a", a);
    puts("");
    for (int w = s->w_range.lo; w <= s->w_range.hi; w++) {
        printf("  w%-7d", w);
        for (int a = s->a_range.lo; a <= s->a_range.hi; a++) {
            const struct report_sweep_point *p = find_point(s, board, keep, w, a);
            char mark = p && p->pareto ? '*' : ' ';
            if (!p || p->cycles <= 0)
                printf("  %9s ", "-");
            else if (accuracy)
                printf("  %9.2f%c", 100 * p->top1, mark);
            else
                printf("  %9" PRId64 "%c", p->cycles, mark);
        }
        puts("");
    }
}

static int print_text(const struct sweep *s)
{
    char name[256];
    printf("model     %s; first and last layer at 8 bits; cycles by the model\n", cmd_clean(name, s->model));
    if (s->data)
        printf("accuracy  on %d held-out images, quantized without training\n", s->result.images);
    printf("*         nothing %s is faster on that board\n", s->data ? "at least as accurate" : "at least as wide");
    for (int b = 0; b < s->result.n_board; b++) {
        const struct report_sweep_board *o = &s->board[b];
        printf("\n%s: %d x %d x %d, %g MHz (%s); predicted %d of %d LUT, %d of %d BRAM36, %d of %d DSP\n", o->name, o->m, o->n, o->k, o->clock_mhz, o->clock_is, o->lut, o->has_lut, o->bram36,
               o->has_bram36, o->dsp, o->has_dsp);
        for (int k = 0; k < s->n_share; k++) {
            if (s->n_share > 1 || s->share[0] < 1)
                printf("  %g of the channels\n", s->share[k]);
            print_grid(s, b, s->share[k], false);
            if (s->data)
                print_grid(s, b, s->share[k], true);
        }
    }
    if (s->out)
        printf("\n%s/sweep.html, sweep.csv\n", s->out);
    return cmd_end_output();
}

static int write_files(const struct sweep *s)
{
    char *csv = base_format("%s/sweep.csv", s->out), *html = base_format("%s/sweep.html", s->out);
    int rc = csv && html ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = report_sweep_csv(&s->result, csv);
    if (!rc)
        rc = report_sweep_html(&s->result, html);
    base_free(csv);
    base_free(html);
    return rc;
}

/* ---- the command --------------------------------------------------------------------------- */

static int sweep(struct sweep *s)
{
    double start = base_seconds();
    int rc = read_range(&s->w_range, "w", s->w);
    if (!rc)
        rc = read_range(&s->a_range, "a", s->a);
    if (!rc)
        rc = read_shares(s);
    if (!rc)
        rc = compress_prune_find(&s->method, s->prune);
    if (!rc)
        rc = read_boards(s);
    if (!rc)
        rc = (s->pool = base_pool_new((int)s->cmd->threads)) ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = open_bench(s);
    if (!rc && s->out)
        rc = base_out_folder(s->out);
    s->result = (struct report_sweep){ .model = s->model, .data = s->data, .board = s->board, .n_board = s->result.n_board, .point = s->point, .keep = s->share, .n_keep = s->n_share, .images = s->result.images };
    int end = rc ? rc : measure_all(s);
    if (end && !(end == BASE_STOPPED && s->result.n_point > 0))
        return end;
    mark_front(s);
    s->wall_s = base_seconds() - start;
    rc = s->out ? write_files(s) : BASE_OK;
    if (!rc)
        rc = s->cmd->json ? print_json(s) : print_text(s);
    if (!rc && end)
        return base_fail(end, "sweep: stopped; what was measured by then, %d points, is above%s%s", s->result.n_point, s->out ? " and in " : "", s->out ? s->out : "");
    bool any = false;
    for (int i = 0; i < s->result.n_point; i++)
        any |= s->point[i].cycles > 0;
    return rc || any ? rc : base_fail(BASE_INPUT, "%s runs at no width: %s", s->model, s->point[0].why);
}

int cmd_sweep(int argc, char **argv)
{
    struct sweep *s = BASE_NEW(struct sweep);
    if (!s)
        return cmd_fail(BASE_NOMEM);
    s->boards = "pynq-z2";
    s->w = s->a = "1-8";
    s->keep = "1";
    s->prune = "magnitude-l1";
    s->held_out = 5000;
    s->images = 1000;
    s->pad = 2;
    const struct cmd_option options[] = {
        { "board", CMD_TEXT, &s->boards, "B[,B]", "names or files of board descriptions (default: pynq-z2)" },
        { "w", CMD_TEXT, &s->w, "LO-HI", "weight bits (default 1-8)" },
        { "a", CMD_TEXT, &s->a, "LO-HI", "activation bits (default 1-8)" },
        { "keep", CMD_TEXT, &s->keep, "S[,S]", "shares of channels that stay in every layer that can lose some (default 1)" },
        { "prune", CMD_TEXT, &s->prune, "METHOD", "who chooses which channels go, with --keep: magnitude-l1, magnitude-l2, bn-scale, lasso, dcp" },
        { "data", CMD_TEXT, &s->data, "SPEC", "measure accuracy as well: idx:DIR, cifar10:DIR, images:DIR or npy:X,Y" },
        { "images", CMD_INT, &s->images, "N", "held-out images that accuracy is measured on (default 1000)" },
        { "held-out", CMD_INT, &s->held_out, "N", "training images kept for validation (default 5000)" },
        { "pad", CMD_INT, &s->pad, "N", "augmentation: shifts by up to N pixels (default 2)" },
        { "flip", CMD_FLAG, &s->flip, NULL, "augmentation: mirrors half of the images" },
        { "input", CMD_TEXT, &s->input, "FILE", "YAML with `input: {scale, mean, std}`: how pixels become the network's input" },
        { "out", CMD_TEXT, &s->out, "DIR", "write sweep.csv and sweep.html there (default: neither)" },
    };
    const struct cmd_usage u = { "MODEL [--board B[,B]] [--data SPEC] [--out DIR]",
                                 "What every pair of weight and activation bits costs on some boards, by the cycle model; with data, how\n"
                                 "accurate each is without training. MODEL: an .onnx file or a built-in network's name.",
                                 options, BASE_COUNT(options), 1, 1 };
    struct cmd c = { 0 };
    int rc = cmd_parse(&c, &u, argc, argv);
    if (!rc) {
        s->cmd = &c;
        s->model = c.arg[0];
        if (s->images < 1 || s->images > 1000000 || s->held_out < 1 || s->held_out > 1000000 || s->pad < 0 || s->pad > 64)
            rc = base_fail(BASE_INPUT, "sweep: --images and --held-out must be 1 to 1000000, --pad 0 to 64");
        else if (s->data && !pipeline_is_file(s->model))
            rc = base_hint(base_fail(BASE_INPUT, "sweep: '%s' is not a trained network (.onnx)", s->model), "bitpress train CONFIG makes one; without --data the cycles alone are counted");
        else
            rc = sweep(s);
    }
    for (int i = 0; i < MAX_POINTS; i++)
        base_free(s->why[i]);
    pipeline_bench_free(&s->bench);
    pipeline_data_free(&s->held);
    graph_free(s->g);
    base_pool_free(s->pool);
    base_free(s);
    return rc < 0 ? cmd_fail(rc) : 0;
}
