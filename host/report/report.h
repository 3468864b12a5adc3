/* report: what a run found, as a page for people and as files for programs.
 *
 * The caller fills a report_data; nothing in it is kept or freed. Every text may hold anything
 * (names come from a user's model): it is escaped where it is written. Files appear whole or
 * not at all. docs/report.md has the keys and columns.
 */
#ifndef REPORT_H
#define REPORT_H

#include "base/base.h"

/* What a network loses in top-1 against the float one on the same images, 0..1; with 95 % confidence within +- half. */
struct report_loss { bool known; double value, half; };
/* Of n images: right or not (1 or 0) by the first network and by the second. */
struct report_loss report_paired_loss(const uint8_t *first, const uint8_t *second, int n);

/* One line of the main table: float, uniform8, best uniform, searched. */
struct report_row {
    const char *name;
    double top1;                   /* test images (held-out ones if those were not opened), 0..1; < 0 = unknown */
    struct report_loss loss;
    int64_t cycles;                /* <= 0: does not run on the accelerator (float) */
    double latency_ms;             /* at report_data.clock_mhz */
    int64_t size_bytes;
};

struct report_trial {
    int id;
    double top1;                   /* validation, 0..1 */
    int64_t cycles, size_bytes;
    bool pareto, feasible;
    const char *agent;
    int rung;                      /* -1: given up early, 0: judged in full */
    const char *cycles_source, *recipe; /* recipe: YAML, for the front's table; NULL = unknown */
};

/* What was built again for the verdict, on all held-out images. */
struct report_finalist {
    int id, parent, rung;          /* parent: trial, -1 = none; rung 0: not fine-tuned, 1: short, 2: in full */
    const char *name, *cycles_source;
    double top1, loss, wall_s;     /* 0..1 */
    int64_t cycles;
    bool best;
};

/* Points of top-1, 0..1, lost where this alone goes to its least width. */
struct report_worth { bool known; double value; };

struct report_layer {
    const char *name, *kind;
    int w_bits, a_bits;            /* 0 = the layer has none (pooling) */
    int64_t macs;
    int64_t cycles_before;         /* uniform 8 bits; 0 = unknown */
    int64_t cycles_after, ideal_cycles;
    int64_t params, macs_before, params_before; /* before: of the float network; params_before 0 = unknown */
    int64_t weights, zeros, weight_bytes;       /* of the integer network; bytes of the pack */
    int64_t planes, dense_planes;               /* weight planes of all K-words: listed, and if none were left out; dense 0 = unknown */
    struct report_worth w_worth, a_worth;       /* sensitivity of the weight bits, of the activation bits */
};

struct report_setting { const char *key, *value; };

struct report_data {
    const char *title;
    const char *objective;         /* one sentence: what was asked for */
    const struct report_row *row;
    int n_row;
    int baseline, best_row;        /* index of the baseline's and of the best's row; -1 = none */
    const struct report_trial *trial;
    int n_trial;
    int best_trial;                /* id; -1 = none */
    const struct report_finalist *finalist;
    int n_finalist;
    int64_t cycles_limit;          /* 0 = none */
    const struct report_layer *layer;
    int n_layer;
    int64_t macs, params;          /* of the best network; params 0 = unknown, as the next two */
    int64_t macs_before, params_before;
    const char *config;            /* the resolved configuration, as YAML text */
    const struct report_setting *version; /* tools and libraries */
    int n_version;
    const struct report_setting *fact;    /* seeds, data, checks done, ... shown as a table */
    int n_fact;
    int test_openings;             /* 0: the accuracies are of held-out training images */
    const char *cycles_source;     /* rtl | rtl-table | model | ... */
    const char *board, *clock_is;  /* assumed | routed | measured */
    double clock_mhz;
    const char *pack_file;         /* NULL = none */
    const char *pack_info;         /* one line about it, NULL = none */
    double wall_s;
};

/* One self-contained page. BASE_MISSING if the chart library (Debian's libjs-chart.js) is not
 * installed; chart_js NULL looks where Debian puts it. */
int report_html(const struct report_data *d, const char *path, const char *chart_js);
/* layers.csv: one row per layer. */
int report_csv(const struct report_data *d, const char *path);
/* summary.json. */
int report_json(const struct report_data *d, const char *path);
/* The same object as text; the caller ends it with base_text_free. */
int report_json_text(const struct report_data *d, struct base_text *out);

#endif
