/* outcome: what a run leaves behind: pack, ONNX, report, tables, and the table on the terminal. */
#ifndef CMD_OUTCOME_H
#define CMD_OUTCOME_H

#include "cmd/cmd.h"
#include "cmd/contender.h"
#include "cmd/space.h"
#include "search/search.h"

enum { OUTCOME_MAX_TIMES = 8 };

struct outcome {
    const char *title, *objective, *dir;
    const char *config;                      /* the resolved configuration or recipe, text */
    const char *data, *model;
    const struct hw *hw;                     /* that the best one is compiled for */
    bool array_searched;                     /* boards/NAME/board.yaml as well */
    double float_test;                       /* top-1 of the float network on the same images as the rows */
    struct contender *const *row;            /* quantized networks, in the table's order */
    int n_row, baseline, best;               /* indices into row */
    const struct compress_cache *cache;      /* of the float network: its layers are the recipes' */
    const struct search_trials *trials;      /* NULL = no search */
    const struct search_objective *goal;     /* with trials */
    const struct space *space;               /* with trials */
    const struct search_finalists *finalists;   /* with trials */
    int test_images, test_openings, verified; /* test_openings 0: they are held-out training images */
    uint64_t seed;
    struct { const char *name; double s; } time[OUTCOME_MAX_TIMES];
    int n_time;
    double wall_s;
    int n_front; char hypervolume[120];      /* of a trade-off; "" where none was asked for */
    bool qonnx;                              /* best.qonnx.onnx as well */
};

/* Remember how long a phase took. */
void outcome_time(struct outcome *o, const char *name, double seconds);
/* A trade-off's front has so many points, whose recipes are in DIR/front. */
void outcome_front(struct outcome *o, int points, const char *hypervolume);
/* DIR/best.bpk, best.onnx, (best.qonnx.onnx,) summary.json, layers.csv, report.html; pruned.onnx if channels were removed. `pixels`: the pack's self-test image. */
int outcome_write(const struct outcome *o, const uint8_t *pixels);
/* The table, or with --json the summary. */
int outcome_print(const struct outcome *o, const struct cmd *c);

#endif
