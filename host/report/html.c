/* html: report.html, one page that needs no network: style, chart library and data are inside,
 * and a content security policy forbids everything else. */
#include "report/report_internal.h"

#include <string.h>

static const char chart_default[] = "/usr/share/javascript/chart.js/chart.min.js";
enum { MAX_CHART_JS = 4 << 20 };

/* <td> with a number, or a dash when it is unknown. */
static void td_count(struct base_text *o, int64_t v)
{
    char buf[32];
    base_text_add(o, "<td>%s</td>", v > 0 ? report_grouped(buf, v) : "\xe2\x80\x93");
}

static void td_text(struct base_text *o, const char *s)
{
    base_text_add(o, "<td class=\"text\">");
    report_escape(o, s ? s : "");
    base_text_add(o, "</td>");
}

static void add_head(struct base_text *o, const struct report_data *d)
{
    base_text_add(o, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n<title>");
    report_escape(o, d->title);
    base_text_add(o, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<header><h1>", report_css);
    report_escape(o, d->title);
    base_text_add(o, "</h1><p>");
    report_escape(o, d->objective ? d->objective : "");
    base_text_add(o, "</p></header>\n");
}

/* The last line is `delta` and, unless that is empty, the name of what it is compared with. */
static void add_kpi(struct base_text *o, const char *label, const char *value, const char *delta, const char *to)
{
    base_text_add(o, "<div class=\"kpi\"><span>%s</span><b>%s</b><em>%s", label, value, delta);
    report_escape(o, delta[0] ? to : "");
    base_text_add(o, "</em></div>\n");
}

/* "3.21x fewer than uniform 8 bit", "" without a baseline. */
static void ratio(char out[64], const char *less, const char *more, double before, double after)
{
    out[0] = '\0';
    if (before > 0 && after > 0)
        snprintf(out, 64, "%.2f\xc3\x97 %s than ", before > after ? before / after : after / before,
                 before >= after ? less : more);
}

static void add_kpis(struct base_text *o, const struct report_data *d)
{
    if (d->best_row < 0 || d->best_row >= d->n_row)
        return;
    static const struct report_row none;
    const struct report_row *b = &d->row[d->best_row];
    const struct report_row *was = d->baseline >= 0 && d->baseline < d->n_row ? &d->row[d->baseline] : &none;
    const char *to = was->name ? was->name : "";
    char value[64], delta[64] = "", group[32];
    base_text_add(o, "<section class=\"kpis\">\n");
    if (was != &none && was->top1 >= 0)
        snprintf(delta, sizeof delta, "%+.2f points against ", 100 * (b->top1 - was->top1));
    snprintf(value, sizeof value, "%.2f %%", 100 * b->top1);
    add_kpi(o, d->test_openings ? "test accuracy" : "held-out accuracy", b->top1 >= 0 ? value : "unknown", delta, to);
    ratio(delta, "fewer", "more", (double)was->cycles, (double)b->cycles);
    add_kpi(o, "cycles per image", report_grouped(group, b->cycles), delta, to);
    snprintf(value, sizeof value, "%.3f ms", b->latency_ms);
    snprintf(delta, sizeof delta, "at %.0f MHz, ", d->clock_mhz);
    add_kpi(o, "latency", value, delta, d->clock_is ? d->clock_is : "assumed");
    snprintf(value, sizeof value, "%.1f KiB", (double)b->size_bytes / 1024);
    ratio(delta, "smaller", "larger", (double)was->size_bytes, (double)b->size_bytes);
    add_kpi(o, "weight pack", value, delta, to);
    base_text_add(o, "</section>\n");
}

static void add_rows(struct base_text *o, const struct report_data *d)
{
    base_text_add(o, "<section class=\"card\"><h2>Result</h2><p class=\"note\">");
    if (d->test_openings)
        base_text_add(o, "Accuracy on the test images, opened %d time%s. ", d->test_openings, d->test_openings == 1 ? "" : "s");
    else
        base_text_add(o, "Accuracy on held-out training images; the test images were not opened. ");
    base_text_add(o, "Lost: points against the float network on the same images, with the paired 95 %% interval. Cycles from ");
    report_escape(o, d->cycles_source ? d->cycles_source : "unknown");
    base_text_add(o, "; latency at the ");
    report_escape(o, d->clock_is ? d->clock_is : "assumed");
    base_text_add(o, " clock of %.1f MHz", d->clock_mhz);
    if (d->board) {
        base_text_add(o, " on ");
        report_escape(o, d->board);
    }
    base_text_add(o, ".</p><div class=\"scroll\"><table><thead><tr><th>network</th><th>top-1</th><th>lost</th><th>cycles</th>"
                     "<th>latency, ms</th><th>size, bytes</th></tr></thead><tbody>\n");
    for (int i = 0; i < d->n_row; i++) {
        const struct report_row *r = &d->row[i];
        base_text_add(o, "<tr%s>", i == d->best_row ? " class=\"best\"" : "");
        td_text(o, r->name);
        base_text_add(o, r->top1 >= 0 ? "<td>%.2f %%</td>" : "<td>\xe2\x80\x93</td>", 100 * r->top1);
        base_text_add(o, r->loss.known ? "<td>%.2f \xc2\xb1 %.2f</td>" : "<td>\xe2\x80\x93</td>", 100 * r->loss.value, 100 * r->loss.half);
        td_count(o, r->cycles);
        base_text_add(o, r->cycles > 0 ? "<td>%.3f</td>" : "<td>\xe2\x80\x93</td>", r->latency_ms);
        td_count(o, r->size_bytes);
        base_text_add(o, "</tr>\n");
    }
    base_text_add(o, "</tbody></table></div></section>\n");
}

/* Cheapest first. */
static const struct report_trial *next_on_front(const struct report_data *d, const struct report_trial *after)
{
    const struct report_trial *next = NULL;
    for (int i = 0; i < d->n_trial; i++) {
        const struct report_trial *t = &d->trial[i];
        if (t->pareto && (!after || t->cycles > after->cycles) && (!next || t->cycles < next->cycles))
            next = t;
    }
    return next;
}

/* Each recipe folded away beside its numbers, to be copied as it stands. */
static void add_front(struct base_text *o, const struct report_data *d)
{
    const struct report_trial *t = next_on_front(d, NULL);
    if (!t)
        return;
    base_text_add(o, "<section class=\"card\"><h2>Pareto front</h2><p class=\"note\">Candidates that no other one beats in both, before fine-tuning, on the validation images. "
                     "A recipe is what <code>bitpress apply MODEL --recipe FILE</code> takes.</p><div class=\"scroll\"><table><thead><tr><th>trial</th><th>top-1</th><th>cycles</th><th class=\"kind\">from</th>"
                     "<th>size, bytes</th><th class=\"kind\">agent</th><th class=\"kind\">recipe</th></tr></thead><tbody>\n");
    for (; t; t = next_on_front(d, t)) {
        base_text_add(o, "<tr%s><td>%d</td><td>%.2f %%</td>", t->id == d->best_trial ? " class=\"best\"" : "", t->id, 100 * t->top1);
        td_count(o, t->cycles);
        td_text(o, t->cycles_source);
        td_count(o, t->size_bytes);
        td_text(o, t->agent);
        base_text_add(o, "<td class=\"text\"><details><summary>show</summary><pre class=\"recipe\">");
        report_escape(o, t->recipe ? t->recipe : "");
        base_text_add(o, "</pre></details></td></tr>\n");
    }
    base_text_add(o, "</tbody></table></div></section>\n");
}

static void add_finalists(struct base_text *o, const struct report_data *d)
{
    static const char *const rung[] = { "0: not fine-tuned", "1: short", "2: in full" };
    if (d->n_finalist < 1)
        return;
    base_text_add(o, "<section class=\"card\"><h2>Finalists</h2><p class=\"note\">Built again, and judged on all held-out images.</p><div class=\"scroll\"><table><thead><tr><th>network</th>"
                     "<th>trial</th><th class=\"kind\">rung</th><th>top-1</th><th>lost</th><th>cycles</th><th class=\"kind\">from</th><th>wall, s</th></tr></thead><tbody>\n");
    for (int i = 0; i < d->n_finalist; i++) {
        const struct report_finalist *f = &d->finalist[i];
        base_text_add(o, "<tr%s>", f->best ? " class=\"best\"" : "");
        td_text(o, f->name);
        base_text_add(o, f->parent >= 0 ? "<td>%d</td>" : "<td>\xe2\x80\x93</td>", f->parent);
        td_text(o, rung[f->rung]);
        base_text_add(o, "<td>%.2f %%</td><td>%.2f</td>", 100 * f->top1, 100 * f->loss);
        td_count(o, f->cycles);
        td_text(o, f->cycles_source);
        base_text_add(o, "<td>%.1f</td></tr>\n", f->wall_s);
    }
    base_text_add(o, "</tbody></table></div></section>\n");
}

static void add_plot(struct base_text *o, const char *id, const char *title, const char *note)
{
    base_text_add(o, "<section class=\"card\"><h2>%s</h2><p class=\"note\">%s</p><div class=\"plot\">"
                     "<canvas id=\"%s\" role=\"img\" aria-label=\"%s\"></canvas></div></section>\n", title, note, id, title);
}

static void add_plots(struct base_text *o, const struct report_data *d)
{
    base_text_add(o, "<div class=\"grid\">\n");
    if (d->n_trial > 0) {
        add_plot(o, "chart-candidates", "Candidates", "Every network that was tried: accuracy against cycles.");
        add_plot(o, "chart-history", "Search history", "The best accuracy within the limits, trial by trial.");
    }
    if (d->n_layer > 0) {
        add_plot(o, "chart-bits", "Bits per layer", "What the search chose for the best network.");
        add_plot(o, "chart-cycles", "Cycles per layer", "Before and after; ideal is the array at full use.");
    }
    base_text_add(o, "</div>\n");
}

static void td_share(struct base_text *o, int64_t part, int64_t of)
{
    if (of > 0)
        base_text_add(o, "<td>%.0f %%</td>", 100.0 * (double)part / (double)of);
    else
        base_text_add(o, "<td>\xe2\x80\x93</td>");
}

static void td_worth(struct base_text *o, const struct report_worth *w)
{
    base_text_add(o, w->known ? "<td>%.2f</td>" : "<td>\xe2\x80\x93</td>", 100 * w->value);
}

static void add_layers(struct base_text *o, const struct report_data *d)
{
    if (d->n_layer < 1)
        return;
    base_text_add(o, "<section class=\"card\"><h2>Layers</h2><p class=\"note\">Of the best network. Sensitivity: points of top-1 lost where this one width alone goes to its least, all else as wide as can be.</p><div class=\"scroll\">"
                     "<table><thead><tr><th>layer</th><th class=\"kind\">kind</th><th>weight bits</th><th>activation bits</th>"
                     "<th>sensitivity, weights</th><th>activations</th><th>zeros</th><th>planes listed</th><th>weight bytes</th><th>MACs</th><th>of float's</th><th>cycles at 8 bits</th><th>cycles</th><th>ideal</th><th>array use</th></tr></thead><tbody>\n");
    for (int i = 0; i < d->n_layer; i++) {
        const struct report_layer *l = &d->layer[i];
        base_text_add(o, "<tr>");
        td_text(o, l->name);
        base_text_add(o, "<td class=\"kind\">");
        report_escape(o, l->kind);
        base_text_add(o, "</td>");
        td_count(o, l->w_bits);
        td_count(o, l->a_bits);
        td_worth(o, &l->w_worth);
        td_worth(o, &l->a_worth);
        td_share(o, l->zeros, l->weights);
        td_share(o, l->planes, l->dense_planes);
        td_count(o, l->weight_bytes);
        td_count(o, l->macs);
        td_share(o, l->macs, l->macs_before);
        td_count(o, l->cycles_before);
        td_count(o, l->cycles_after);
        td_count(o, l->ideal_cycles);
        td_share(o, l->ideal_cycles, l->ideal_cycles > 0 ? l->cycles_after : 0);
        base_text_add(o, "</tr>\n");
    }
    base_text_add(o, "</tbody></table></div></section>\n");
}

static void add_settings(struct base_text *o, const char *title, const struct report_setting *v, int n)
{
    if (n < 1)
        return;
    base_text_add(o, "<section class=\"card\"><h2>%s</h2><table><tbody>\n", title);
    for (int i = 0; i < n; i++) {
        base_text_add(o, "<tr>");
        td_text(o, v[i].key);
        td_text(o, v[i].value);
        base_text_add(o, "</tr>\n");
    }
    base_text_add(o, "</tbody></table></section>\n");
}

static void add_evidence(struct base_text *o, const struct report_data *d)
{
    base_text_add(o, "<div class=\"grid\">\n");
    add_settings(o, "How it was made", d->fact, d->n_fact);
    add_settings(o, "Versions", d->version, d->n_version);
    base_text_add(o, "</div>\n");
    if (d->config) {
        base_text_add(o, "<section class=\"card\"><details><summary>Resolved configuration</summary><pre>");
        report_escape(o, d->config);
        base_text_add(o, "</pre></details></section>\n");
    }
    base_text_add(o, "<footer>");
    if (d->pack_file) {
        base_text_add(o, "Weight pack: ");
        report_escape(o, d->pack_file);
        if (d->pack_info) {
            base_text_add(o, " (");
            report_escape(o, d->pack_info);
            base_text_add(o, ")");
        }
        base_text_add(o, ". ");
    }
    base_text_add(o, "%d trials, %.0f s.</footer>\n</main>\n", d->n_trial, d->wall_s);
}

static int add_scripts(struct base_text *o, const struct report_data *d, const char *chart_js)
{
    uint8_t *chart;
    size_t len;
    if (!base_file_exists(chart_js))
        return base_hint(base_fail(BASE_MISSING, "%s: the report's chart library is not there", chart_js),
                         "apt-get install libjs-chart.js");
    int rc = base_file_read(&chart, &len, chart_js, MAX_CHART_JS);
    if (rc)
        return rc;
    struct base_text json = {0};
    rc = report_json_text(d, &json);
    if (!rc) {
        base_text_add(o, "<script type=\"application/json\" id=\"data\">");
        report_script_json(o, json.s);
        base_text_add(o, "</script>\n<script>\n");
        base_text_add_bytes(o, chart, len);
        base_text_add(o, "\n</script>\n<script>\n");
        base_text_add_bytes(o, report_js, strlen(report_js));
        base_text_add(o, "</script>\n</body>\n</html>\n");
    }
    base_text_free(&json);
    base_free(chart);
    return rc;
}

int report_html(const struct report_data *d, const char *path, const char *chart_js)
{
    struct base_text o = {0};
    add_head(&o, d);
    add_kpis(&o, d);
    add_rows(&o, d);
    add_plots(&o, d);
    add_finalists(&o, d);
    add_front(&o, d);
    add_layers(&o, d);
    add_evidence(&o, d);
    int rc = add_scripts(&o, d, chart_js ? chart_js : chart_default);
    if (!rc && o.failed)
        rc = BASE_NOMEM;
    if (!rc)
        rc = base_file_write(path, o.s, o.len);
    base_text_free(&o);
    return rc;
}
