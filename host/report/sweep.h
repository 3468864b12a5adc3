/* sweep: what every width costs on some boards: a table for programs, heat maps for people. Rules of report.h. */
#ifndef REPORT_SWEEP_H
#define REPORT_SWEEP_H

#include "base/base.h"

struct report_sweep_board {
    const char *name, *part, *clock_is;    /* assumed | routed | measured */
    int m, n, k;
    double clock_mhz;
    int lut, bram36, dsp;                  /* that the kernel takes, predicted */
    int has_lut, has_bram36, has_dsp;      /* of the part */
};

struct report_sweep_point {
    int board;                             /* index */
    int w_bits, a_bits;
    double keep;                           /* share of every layer's channels, 0..1 */
    int64_t cycles;                        /* by the model; 0: does not run */
    int64_t weight_bytes, ddr_bytes;
    double latency_ms;
    double top1;                           /* validation images, 0..1; < 0: not measured */
    bool pareto;
    const char *why;                       /* it does not run; else NULL */
};

struct report_sweep {
    const char *model, *data;              /* data NULL: accuracy not measured */
    const struct report_sweep_board *board;
    int n_board;
    const struct report_sweep_point *point;
    int n_point;
    const double *keep;                    /* the shares of the points, each once */
    int n_keep;
    int images;                            /* that top1 was measured on */
};

/* sweep.csv: a row per point. */
int report_sweep_csv(const struct report_sweep *s, const char *path);
/* One self-contained page: a heat map of cycles per board, one of accuracy if it was measured. */
int report_sweep_html(const struct report_sweep *s, const char *path);

#endif
