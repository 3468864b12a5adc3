/* target: what the user wants of `compress`: the most accurate network within a latency, or the fastest within a loss of
 * accuracy, or the first with the second as a condition; or the trade-off of the two, within both. */
#ifndef CMD_TARGET_H
#define CMD_TARGET_H

#include "cmd/run_config.h"
#include "hw/hw.h"
#include "search/search.h"

struct target {
    struct search_objective search;    /* what candidates are judged by, before fine-tuning */
    double loss_max;                   /* of the fine-tuned network against the float one, 0..1; 1: any */
};

/* BASE_INPUT: the configuration names no target. */
int target_make(struct target *out, const struct run_config *c, const struct hw *hw);
/* One sentence. */
void target_words(char buf[200], const struct target *t, const struct hw *hw);

/* "1ms", "250us", "0.001s" or a number of milliseconds. BASE_INPUT. */
int target_latency(double *ms, const char *text);

#endif
