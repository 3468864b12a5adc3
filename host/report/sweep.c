/* sweep: sweep.csv and the page of heat maps. The maps are tables whose cells carry their colour, so the page
 * needs no script. */
#include "report/sweep.h"

#include <inttypes.h>
#include <math.h>

#include "report/report_internal.h"

int report_sweep_csv(const struct report_sweep *s, const char *path)
{
    struct base_text o = { 0 };
    base_text_add(&o, "board,m,n,k,lut,bram36,dsp,clock_mhz,clock_is,w_bits,a_bits,cycles,cycles_source,latency_ms,weight_bytes,ddr_bytes,top1,pareto,why,keep\n");
    for (int i = 0; i < s->n_point; i++) {
        const struct report_sweep_point *p = &s->point[i];
        const struct report_sweep_board *b = &s->board[p->board];
        base_text_add_csv(&o, b->name);
        base_text_add(&o, ",%d,%d,%d,%d,%d,%d,%g,%s,%d,%d,", b->m, b->n, b->k, b->lut, b->bram36, b->dsp, b->clock_mhz, b->clock_is, p->w_bits, p->a_bits);
        if (p->cycles > 0)
            base_text_add(&o, "%" PRId64 ",model,%.6f,", p->cycles, p->latency_ms);
        else
            base_text_add(&o, ",,,");
        base_text_add(&o, "%" PRId64 ",%" PRId64 ",", p->weight_bytes, p->ddr_bytes);
        if (p->top1 >= 0)
            base_text_add(&o, "%.6f", p->top1);
        base_text_add(&o, ",%d,", p->pareto);
        base_text_add_csv(&o, p->why ? p->why : "");
        base_text_add(&o, ",%g\n", p->keep);
    }
    int rc = o.failed ? BASE_NOMEM : base_file_write(path, o.s, o.len);
    base_text_free(&o);
    return rc;
}

/* ---- the page ------------------------------------------------------------------------- */

enum { BITS = 8 };

/* The points of one board by (weight bits, activation bits). */
struct grid { const struct report_sweep_point *at[BITS + 1][BITS + 1]; bool row[BITS + 1], column[BITS + 1]; };

static void make_grid(struct grid *g, const struct report_sweep *s, int board, double keep)
{
    *g = (struct grid){ 0 };
    for (int i = 0; i < s->n_point; i++) {
        const struct report_sweep_point *p = &s->point[i];
        if (p->board != board || p->keep < keep || p->keep > keep || p->w_bits < 1 || p->w_bits > BITS || p->a_bits < 1 || p->a_bits > BITS)
            continue;
        g->at[p->w_bits][p->a_bits] = p;
        g->row[p->w_bits] = g->column[p->a_bits] = true;
    }
}

/* What a map shows: the value of a point, NaN where there is none. */
typedef double value_fn(const struct report_sweep_point *p);

static double log_cycles(const struct report_sweep_point *p)
{
    return p->cycles > 0 ? log((double)p->cycles) : (double)NAN;
}

static double accuracy(const struct report_sweep_point *p)
{
    return p->top1 >= 0 ? p->top1 : (double)NAN;
}

static void range(const struct grid *g, value_fn *value, double *lo, double *hi)
{
    *lo = (double)INFINITY;
    *hi = -(double)INFINITY;
    for (int w = 1; w <= BITS; w++)
        for (int a = 1; a <= BITS; a++)
            if (g->at[w][a] && !isnan(value(g->at[w][a]))) {
                *lo = fmin(*lo, value(g->at[w][a]));
                *hi = fmax(*hi, value(g->at[w][a]));
            }
}

/* Green (good, 1) through yellow to red (0); the ink stays dark in both colour schemes. */
static void cell_open(struct base_text *o, double goodness, const struct report_sweep_point *p)
{
    base_text_add(o, "<td style=\"background:hsl(%.0f 62%% 78%%);color:#17202e%s\" title=\"w%d a%d: ", 8 + 132 * goodness, p->pareto ? ";font-weight:700" : "", p->w_bits, p->a_bits);
    base_text_add(o, "%.4f ms, %" PRId64 " bytes of weights", p->latency_ms, p->weight_bytes);
    if (p->top1 >= 0)
        base_text_add(o, ", %.2f %%", 100 * p->top1);
    base_text_add(o, "\">");
}

static void add_cell(struct base_text *o, const struct report_sweep_point *p, value_fn *value, double lo, double hi)
{
    char buf[32];
    if (!p || isnan(value(p))) {
        base_text_add(o, "<td title=\"");
        report_escape(o, p && p->why ? p->why : "");
        base_text_add(o, "\">\xe2\x80\x93</td>");
        return;
    }
    double place = hi > lo ? (value(p) - lo) / (hi - lo) : 1;
    if (value == log_cycles) {
        cell_open(o, 1 - place, p);
        base_text_add(o, "%s</td>", report_grouped(buf, p->cycles));
    } else {
        cell_open(o, place, p);
        base_text_add(o, "%.2f</td>", 100 * p->top1);
    }
}

static void add_map(struct base_text *o, const struct grid *g, const char *title, const char *note, value_fn *value)
{
    double lo, hi;
    range(g, value, &lo, &hi);
    base_text_add(o, "<section class=\"card\"><h2>%s</h2><p class=\"note\">%s</p><div class=\"scroll\"><table><thead><tr><th>weights</th>", title, note);
    for (int a = 1; a <= BITS; a++)
        if (g->column[a])
            base_text_add(o, "<th>a%d</th>", a);
    base_text_add(o, "</tr></thead><tbody>\n");
    for (int w = 1; w <= BITS; w++) {
        if (!g->row[w])
            continue;
        base_text_add(o, "<tr><th>w%d</th>", w);
        for (int a = 1; a <= BITS; a++)
            if (g->column[a])
                add_cell(o, g->at[w][a], value, lo, hi);
        base_text_add(o, "</tr>\n");
    }
    base_text_add(o, "</tbody></table></div></section>\n");
}

/* Both maps of one board and one share of channels. */
static void add_maps(struct base_text *o, const struct report_sweep *s, int board, double keep)
{
    struct grid g;
    char title[64], share[32] = "";
    make_grid(&g, s, board, keep);
    if (s->n_keep > 1 || keep < 1)
        snprintf(share, sizeof share, ", %g of the channels", keep);
    snprintf(title, sizeof title, "Cycles per image%s", share);
    add_map(o, &g, title, "By the cycle model, which equals the RTL. Bold: nothing at least as good costs less.", log_cycles);
    snprintf(title, sizeof title, "Accuracy, %%%s", share);
    if (s->data)
        add_map(o, &g, title, "Quantized without training, on held-out training images.", accuracy);
}

static void add_board(struct base_text *o, const struct report_sweep *s, int board)
{
    const struct report_sweep_board *b = &s->board[board];
    char buf[32], of[32];
    base_text_add(o, "<header class=\"part\"><h2>");
    report_escape(o, b->name);
    base_text_add(o, "</h2><p>%d x %d x %d, %g MHz (%s), part ", b->m, b->n, b->k, b->clock_mhz, b->clock_is);
    report_escape(o, b->part);
    base_text_add(o, "; predicted %s of %s LUT", report_grouped(buf, b->lut), report_grouped(of, b->has_lut));
    base_text_add(o, ", %d of %d BRAM36, %d of %d DSP</p></header>\n", b->bram36, b->has_bram36, b->dsp, b->has_dsp);
    for (int k = 0; k < s->n_keep; k++)
        add_maps(o, s, board, s->keep[k]);
}

int report_sweep_html(const struct report_sweep *s, const char *path)
{
    struct base_text o = { 0 };
    base_text_add(&o, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n<title>");
    report_escape(&o, s->model);
    base_text_add(&o, ": every width</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<header><h1>", report_css);
    report_escape(&o, s->model);
    base_text_add(&o, ": what each bit costs</h1><p>Rows: weight bits, columns: activation bits; first and last layer at 8 bits. ");
    if (s->data) {
        base_text_add(&o, "Accuracy on %d held-out images of ", s->images);
        report_escape(&o, s->data);
    }
    base_text_add(&o, "</p></header>\n");
    for (int b = 0; b < s->n_board; b++)
        add_board(&o, s, b);
    base_text_add(&o, "</main>\n</body>\n</html>\n");
    int rc = o.failed ? BASE_NOMEM : base_file_write(path, o.s, o.len);
    base_text_free(&o);
    return rc;
}
