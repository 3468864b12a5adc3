#include "cmd/outcome.h"

#include <cblas.h>
#include <jansson.h>
#include <math.h>
#include <sqlite3.h>
#include <string.h>

#include "cmd/output.h"
#include "cmd/pipeline.h"
#include "onnx/onnx.h"
#include "report/report.h"

enum { MAX_ROWS = 8 };

/* A report_data with the memory it points to. */
struct page {
    struct report_data d;
    struct base_arena *arena;
    struct report_row row[MAX_ROWS];
    struct report_setting version[8], fact[20 + OUTCOME_MAX_TIMES];
};

void outcome_time(struct outcome *o, const char *name, double seconds)
{
    if (o->n_time < OUTCOME_MAX_TIMES) {
        o->time[o->n_time].name = name;
        o->time[o->n_time++].s = seconds;
    }
}

void outcome_front(struct outcome *o, int points, const char *hypervolume)
{
    o->n_front = points;
    snprintf(o->hypervolume, sizeof o->hypervolume, "%s", hypervolume);
}

static const struct contender *best_of(const struct outcome *o)
{
    return o->row[o->best];
}

static char *file_in(const struct outcome *o, const char *name)
{
    return base_format("%s/%s", o->dir, name);
}

/* ---- the report's data ------------------------------------------------------------ */

static const char *text(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *text(struct page *p, const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    const char *s = base_arena_strdup(p->arena, buf);
    return s ? s : "";
}

static void add_rows(struct page *p, const struct outcome *o)
{
    p->row[0] = (struct report_row){ .name = "float", .top1 = o->float_test };
    for (int i = 0; i < o->n_row && i + 1 < MAX_ROWS; i++) {
        const struct contender *c = o->row[i];
        p->row[i + 1] = (struct report_row){ .name = c->name, .top1 = c->test_top1, .loss = c->loss, .cycles = c->score->cycles, .latency_ms = c->score->latency_ms, .size_bytes = c->size_bytes };
    }
    p->d.row = p->row;
    p->d.n_row = BASE_MIN(o->n_row + 1, MAX_ROWS);
    p->d.baseline = o->baseline < 0 ? -1 : o->baseline + 1;
    p->d.best_row = o->best + 1;
}

static int add_trials(struct page *p, const struct outcome *o)
{
    p->d.best_trial = best_of(o)->trial;
    if (!o->trials || !o->trials->n)
        return BASE_OK;
    int n = o->trials->n, kept = 0;
    struct report_trial *t = BASE_ARENA_NEW_N(p->arena, struct report_trial, n);
    bool *front = BASE_ARENA_NEW_N(p->arena, bool, n);
    if (!t || !front)
        return BASE_NOMEM;
    search_pareto(o->trials, front);
    for (int i = 0; i < n; i++) {
        const struct search_trial *s = &o->trials->trial[i];
        if (s->state == SEARCH_DONE)
            t[kept++] = (struct report_trial){ .id = s->id, .top1 = s->top1, .cycles = s->cycles, .size_bytes = s->size_bytes, .pareto = front[i], .feasible = s->feasible, .agent = s->agent,
                                                .rung = s->rung, .cycles_source = s->cycles_source, .recipe = s->recipe };
    }
    p->d.trial = t;
    p->d.n_trial = kept;
    p->d.cycles_limit = o->goal ? o->goal->cycles_limit : 0;
    return BASE_OK;
}

static int add_finalists(struct page *p, const struct outcome *o)
{
    if (!o->finalists || !o->finalists->n)
        return BASE_OK;
    struct report_finalist *to = BASE_ARENA_NEW_N(p->arena, struct report_finalist, o->finalists->n);
    if (!to)
        return BASE_NOMEM;
    for (int i = 0; i < o->finalists->n; i++) {
        const struct search_finalist *f = &o->finalists->finalist[i];
        if (f->state == SEARCH_DONE)
            to[p->d.n_finalist++] = (struct report_finalist){ .id = f->id, .parent = f->parent, .rung = BASE_MIN(BASE_MAX(f->rung, SEARCH_CHEAP), SEARCH_FULL), .name = f->name, .cycles_source = f->cycles_source, .top1 = f->top1,
                                                              .loss = f->loss, .wall_s = f->wall_s, .cycles = f->cycles, .best = f->id == best_of(o)->finalist };
    }
    p->d.finalist = to;
    return BASE_OK;
}

/* Sensitivities that the search has measured, by layer. */
static int add_worth(struct report_layer *l, int n, const struct outcome *o)
{
    if (!o->trials || !o->space)
        return BASE_OK;
    const struct space *space = o->space;
    double *worth = BASE_NEW_N(double, space->search.n);
    if (!worth)
        return BASE_NOMEM;
    search_sensitivities(worth, &space->search, o->trials);
    for (int k = 0; k < space->n_use; k++)
        for (int i = 0; i < n; i++) {
            const char *field = space->dim[space->use[k].dim].field;
            double value = worth[space->use[k].dim];
            if (isnan(value) || strcmp(space->layers->layer[space->use[k].layer].name, l[i].name))
                continue;
            if (!strcmp(field, "w_bits"))
                l[i].w_worth = (struct report_worth){ true, value };
            else if (!strcmp(field, "a_bits"))
                l[i].a_worth = (struct report_worth){ true, value };
        }
    base_free(worth);
    return BASE_OK;
}

static int64_t cycles_by_name(const struct score_result *s, const char *name)
{
    for (int i = 0; s && i < s->n_layer; i++)
        if (!strcmp(s->layer[i].name, name))
            return s->layer[i].cycles;
    return 0;
}

/* The float network, and the same with the best one's channels. */
static const struct graph *graph_of(const struct outcome *o, bool before)
{
    return before || !best_of(o)->pruned ? compress_cache_graph(o->cache) : best_of(o)->pruned;
}

static int64_t count_node(int64_t (*count)(const struct graph *, int), const struct graph *g, const struct graph *named, int node)
{
    int at = node < 0 ? -1 : graph_find(g, named->node[node].name);
    return at < 0 ? 0 : count(g, at);
}

/* Multiply-accumulates or parameters of a layer; nodes keep their names in what is left. */
static int64_t count_layer(int64_t (*count)(const struct graph *, int), const struct outcome *o, const char *name, bool before)
{
    const struct graph *g = graph_of(o, before), *was = graph_of(o, true);
    const struct graph_layers *ls = compress_cache_layers(o->cache);
    int64_t sum = 0;
    for (int i = 0; i < ls->n; i++)
        for (int t = 0; !strcmp(ls->layer[i].name, name) && t < ls->layer[i].n_term; t++)
            sum += count_node(count, g, was, ls->layer[i].term[t].node) + count_node(count, g, was, ls->layer[i].term[t].batchnorm);
    return sum;
}

static void add_totals(struct page *p, const struct outcome *o)
{
    const struct graph *is = graph_of(o, false), *was = graph_of(o, true);
    for (int i = 0; i < is->n_node; i++)
        p->d.macs += graph_macs(is, i);
    for (int i = 0; i < was->n_node; i++)
        p->d.macs_before += graph_macs(was, i);
    p->d.params = graph_params(is);
    p->d.params_before = graph_params(was);
}

/* What the integer network and its program have of a layer: weights, zeros, bytes, planes. */
static void add_weights(struct report_layer *l, const struct contender *c)
{
    for (int i = 0; i < c->net->n_layer; i++)
        for (int k = 0; !strcmp(c->net->layer[i].name, l->name) && k < c->net->layer[i].n_term && c->net->layer[i].kind == FIXED_MAC; k++) {
            const struct fixed_term *t = &c->net->layer[i].term[k];
            int64_t n = (int64_t)t->cout * t->kh * t->kw * t->cin;
            l->weight_bytes += (int64_t)pack_term_bytes(t);
            if (t->depthwise && t->n_plane == 1)     /* identity, pooling: ones */
                continue;
            l->weights += n;
            for (int64_t w = 0; w < n; w++)
                l->zeros += t->code[w] == 0;
        }
    for (int i = 0; i < c->program->n_layer; i++)
        if (c->program->layer[i].fixed_layer >= 0 && !strcmp(c->program->layer[i].name, l->name)) {
            l->planes = c->program->layer[i].listed_planes;
            l->dense_planes = c->program->layer[i].dense_planes;
        }
}

static int add_layers(struct page *p, const struct outcome *o)
{
    const struct score_result *s = best_of(o)->score, *was = o->baseline < 0 ? NULL : o->row[o->baseline]->score;
    struct report_layer *l = BASE_ARENA_NEW_N(p->arena, struct report_layer, s->n_layer);
    if (!l)
        return BASE_NOMEM;
    for (int i = 0; i < s->n_layer; i++) {
        const struct score_layer *k = &s->layer[i];
        l[i] = (struct report_layer){ .name = k->name, .kind = k->kind, .w_bits = k->w_bits, .a_bits = k->a_bits, .macs = k->macs,
                                      .cycles_before = cycles_by_name(was, k->name), .cycles_after = k->cycles, .ideal_cycles = k->ideal_cycles };
        l[i].params = count_layer(graph_node_params, o, k->name, false);
        l[i].params_before = count_layer(graph_node_params, o, k->name, true);
        l[i].macs_before = count_layer(graph_macs, o, k->name, true);
        add_weights(&l[i], best_of(o));
    }
    p->d.layer = l;
    p->d.n_layer = s->n_layer;
    return add_worth(l, s->n_layer, o);
}

static void add_version(struct page *p, const char *key, const char *value)
{
    p->version[p->d.n_version++] = (struct report_setting){ key, value };
}

static void add_fact(struct page *p, const char *key, const char *value)
{
    p->fact[p->d.n_fact++] = (struct report_setting){ key, value };
}

/* First line that a tool prints about itself. */
static const char *tool_version(struct page *p, const char *command)
{
    char line[160] = "";
    FILE *f = popen(command, "r");
    if (f) {
        if (!fgets(line, sizeof line, f))
            line[0] = '\0';
        pclose(f);
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line[0] ? text(p, "%s", line) : "not found";
}

/* The best one's cycles while it was searched, where fine-tuning has changed them; else 0. */
static int64_t cycles_when_searched(const struct outcome *o)
{
    const struct contender *c = best_of(o);
    for (int i = 0; o->trials && i < o->trials->n; i++)
        if (o->trials->trial[i].id == c->trial && o->trials->trial[i].cycles != c->score->cycles)
            return o->trials->trial[i].cycles;
    return 0;
}

enum { ARRAY_WORDS = 80 };

static const char *array_words(char out[static ARRAY_WORDS], const struct hw *h)
{
    snprintf(out, ARRAY_WORDS, "%d x %d x %d, %d words of maps a bank, %d of weights", h->m, h->n, h->k, h->act_depth, h->weight_depth);
    return out;
}

static void add_texts(struct page *p, const struct outcome *o)
{
    const struct score_result *s = best_of(o)->score;
    add_version(p, "Bitpress", BITPRESS_VERSION);
    add_version(p, "compiler", text(p, "%s", __VERSION__));
    add_version(p, "OpenBLAS", text(p, "%s", openblas_get_config()));
    add_version(p, "SQLite", sqlite3_libversion());
    add_version(p, "jansson", JANSSON_VERSION);
    add_version(p, "Verilator", tool_version(p, "verilator --version 2>/dev/null"));
    add_version(p, "hardware hash", text(p, "%016llx", (unsigned long long)o->hw->hash));
    char array[ARRAY_WORDS];
    add_fact(p, "array", text(p, "%s (%s%s)", array_words(array, o->hw), o->array_searched ? "searched: " : "", o->hw->name));
    add_fact(p, "model", o->model);
    add_fact(p, "data", o->data);
    add_fact(p, "seed", text(p, "%llu", (unsigned long long)o->seed));
    add_fact(p, o->test_openings ? "test images" : "held-out images", text(p, "%d, by the integer reference", o->test_images));
    add_fact(p, "fine-tuning", text(p, "%lld images seen by the best network", (long long)best_of(o)->trained));
    add_fact(p, "processor time", text(p, "%.0f s", base_cpu_seconds()));
    if (*o->hypervolume)
        add_fact(p, "front", text(p, "%d networks, recipes in front/; the pack is the knee; hypervolume %s", o->n_front, o->hypervolume));
    if (best_of(o)->pruned)
        add_fact(p, "channels removed", text(p, "%lld of %lld multiply-accumulates, %lld of %lld parameters stay; the float network is pruned.onnx", (long long)p->d.macs,
                                             (long long)p->d.macs_before, (long long)p->d.params, (long long)p->d.params_before));
    if (s->bit_exact >= 0)
        add_fact(p, "bit-exactness", text(p, "%d images of the best pack on backend %s: %s", o->verified, s->backend, s->bit_exact ? "every logit equals the reference" : "DIFFERS"));
    if (cycles_when_searched(o))
        add_fact(p, "cycles when searched", text(p, "%lld for trial %d, %lld with its final weights: planes that are absent change with the weights", (long long)cycles_when_searched(o), best_of(o)->trial, (long long)s->cycles));
    add_fact(p, "load, once", text(p, "%lld cycles for program and weights", (long long)s->load_cycles));
    for (int i = 0; i < o->n_time; i++)
        add_fact(p, text(p, "time: %s", o->time[i].name), text(p, "%.1f s", o->time[i].s));
}

static int page_make(struct page *p, const struct outcome *o)
{
    const struct score_result *s = best_of(o)->score;
    memset(p, 0, sizeof *p);
    if (!(p->arena = base_arena_new()))
        return BASE_NOMEM;
    p->d.title = o->title;
    p->d.objective = o->objective;
    p->d.config = o->config;
    p->d.version = p->version;
    p->d.fact = p->fact;
    p->d.test_openings = o->test_openings;
    p->d.cycles_source = s->cycles_source;
    p->d.board = o->hw->board;
    p->d.clock_is = o->hw->clock_is;
    p->d.clock_mhz = o->hw->clock_mhz;
    p->d.pack_file = "best.bpk";
    p->d.pack_info = text(p, "%lld bytes of weights, compiled for %s", (long long)best_of(o)->size_bytes, o->hw->name);
    p->d.wall_s = o->wall_s;
    add_rows(p, o);
    add_totals(p, o);
    add_texts(p, o);
    int rc = add_trials(p, o);
    if (!rc)
        rc = add_finalists(p, o);
    return rc ? rc : add_layers(p, o);
}

/* ---- files ---------------------------------------------------------------------------- */

static int write_pack(const struct outcome *o, const char *path, const uint8_t *pixels)
{
    const struct contender *c = best_of(o);
    char *recipe = compress_recipe_text(&c->recipe, compress_cache_layers(o->cache));
    json_t *j = json_pack("{s:s, s:o, s:o, s:I, s:f, s:f, s:I, s:s}", "tool", "bitpress " BITPRESS_VERSION, "model", cmd_json_text(o->model), "data", cmd_json_text(o->data), "seed", (json_int_t)o->seed,
                          "validation_top1", c->val_top1, o->test_openings ? "test_top1" : "held_out_top1", c->test_top1, "cycles", (json_int_t)c->score->cycles, "cycles_source", c->score->cycles_source);
    char *origin = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
    int rc = recipe && origin ? pipeline_write_pack(path, c->net, c->program, pixels, recipe, origin) : base_fail(BASE_NOMEM, "out of memory");
    free(origin);
    json_decref(j);
    base_free(recipe);
    return rc;
}

/* Where BITPRESS_BOARDS finds it by the name that the pack says. */
static int write_board(const struct outcome *o)
{
    char *folder = base_format("%s/boards/%s", o->dir, o->hw->name), *path = folder ? base_format("%s/board.yaml", folder) : NULL;
    int rc = path ? base_mkdirs(folder) : BASE_NOMEM;
    if (!rc)
        rc = hw_write_yaml(o->hw, path);
    base_free(folder);
    base_free(path);
    return rc;
}

int outcome_write(const struct outcome *o, const uint8_t *pixels)
{
    struct page p;
    static const char *const names[] = { "best.bpk", "best.onnx", "summary.json", "layers.csv", "report.html", "best.qonnx.onnx", "pruned.onnx" };
    char *path[BASE_COUNT(names)] = { NULL };
    int rc = page_make(&p, o);
    for (int i = 0; !rc && i < BASE_COUNT(names); i++)
        rc = (path[i] = file_in(o, names[i])) ? BASE_OK : BASE_NOMEM;
    if (!rc)
        rc = write_pack(o, path[0], pixels);
    if (!rc)
        rc = onnx_write_qdq(best_of(o)->net, path[1]);
    if (!rc && o->qonnx)
        rc = onnx_write_qonnx(best_of(o)->net, path[5]);
    if (!rc && best_of(o)->pruned)
        rc = onnx_write(best_of(o)->pruned, path[6]);
    if (!rc && o->array_searched)
        rc = write_board(o);
    if (!rc)
        rc = report_json(&p.d, path[2]);
    if (!rc)
        rc = report_csv(&p.d, path[3]);
    if (!rc)
        rc = report_html(&p.d, path[4], NULL);
    for (int i = 0; i < BASE_COUNT(names); i++)
        base_free(path[i]);
    base_arena_free(p.arena);
    return rc;
}

/* ---- the terminal -------------------------------------------------------------------------- */

static void print_row(const char *name, double top1, const struct contender *c)
{
    printf("%-22s %8.2f %%", name, 100 * top1);
    if (c)
        printf(" %6.2f +-%5.2f %10lld %10.4f %9.1f\n", 100 * c->loss.value, 100 * c->loss.half, (long long)c->score->cycles, c->score->latency_ms, (double)c->size_bytes / 1024);
    else
        printf(" %14s %10s %10s %9s\n", "-", "-", "-", "-");
}

static void print_pruned(const struct outcome *o)
{
    struct page p = { 0 };
    if (!best_of(o)->pruned)
        return;
    add_totals(&p, o);
    printf("channels removed: %lld of %lld multiply-accumulates, %lld of %lld parameters stay\nfloat:  %s/pruned.onnx\n", (long long)p.d.macs, (long long)p.d.macs_before,
           (long long)p.d.params, (long long)p.d.params_before, o->dir);
}

static void print_table(const struct outcome *o)
{
    const struct score_result *s = best_of(o)->score;
    printf("%-22s %10s %14s %10s %10s %9s\n", "", o->test_openings ? "test top-1" : "held-out", "lost, 95 %", "cycles", "ms", "size KiB");
    print_row("float", o->float_test, NULL);
    for (int i = 0; i < o->n_row; i++)
        print_row(o->row[i]->name, o->row[i]->test_top1, o->row[i]);
    if (o->test_openings)
        printf("%d test images, opened %d time%s", o->test_images, o->test_openings, o->test_openings == 1 ? "" : "s");
    else
        printf("%d held-out training images; the test images were not opened", o->test_images);
    printf("; cycles: %s; ms at %g MHz (%s)\n", s->cycles_source, s->clock_mhz, s->clock_is);
    if (s->bit_exact == 1)
        printf("bit-exact: %d whole images, every logit\n", o->verified);
    if (cycles_when_searched(o))
        printf("trial %d took %lld cycles when it was searched, %lld with its final weights\n", best_of(o)->trial, (long long)cycles_when_searched(o), (long long)s->cycles);
    print_pruned(o);
    char array[ARRAY_WORDS];
    if (o->array_searched)
        printf("array:  %s (%s; export BITPRESS_BOARDS=%s/boards)\n", array_words(array, o->hw), o->hw->name, o->dir);
    if (*o->hypervolume)
        printf("front:  %d recipes in %s/front, the pack is the knee; hypervolume %s\n", o->n_front, o->dir, o->hypervolume);
    if (o->n_time) {
        printf("time:");
        for (int i = 0; i < o->n_time; i++)
            printf("%s %s %.0f s", i ? "," : "", o->time[i].name, o->time[i].s);
        printf("\n");
    }
    printf("pack:   %s/best.bpk\nreport: %s/report.html\n", o->dir, o->dir);
}

int outcome_print(const struct outcome *o, const struct cmd *c)
{
    if (!c->json) {
        print_table(o);
        return cmd_end_output();
    }
    struct page p;
    struct base_text t = { 0 };
    int rc = page_make(&p, o);
    if (!rc)
        rc = report_json_text(&p.d, &t);
    if (!rc) {
        fputs(t.s, stdout);
        rc = cmd_end_output();
    }
    base_text_free(&t);
    base_arena_free(p.arena);
    return rc;
}
