/* run_config: the YAML of `train` and `compress`: what the user wants, with every default resolved. */
#ifndef CMD_RUN_CONFIG_H
#define CMD_RUN_CONFIG_H

#include "base/base.h"

enum { RUN_MAX_LIST = 16 };
struct run_list { long v[RUN_MAX_LIST]; int n; };
struct run_numbers { double v[RUN_MAX_LIST]; int n; };
struct run_texts { const char *v[RUN_MAX_LIST]; int n; };
/* How several ranks train together; docs/distributed.md. */
struct run_distributed { const char *gradients, *bits, *batchnorm; long bucket; double feedback, decay; };

struct run_config {
    struct base_arena *arena;        /* owns the texts */
    const char *path;
    const char *model;               /* a built-in network's name, or a file *.onnx */
    const char *data;                /* data SPEC, ${NAME} in it replaced by the environment's value */
    long held_out, seed;
    const char *out, *board;
    const char *hardware;            /* the array: board, as its file has it | search, of those that fit its part */
    const char *input;               /* `input: {scale, mean, std}` of this file as YAML text, NULL = not given */
    struct {
        const char *optimizer, *schedule, *loss;
        struct run_list steps;       /* epochs at which `schedule: step` lowers the rate */
        long epochs, batch, warmup, pad;
        bool flip;
        double lr, gamma, weight_decay, momentum, label_smoothing;
    } train;
    struct { const char *objective; long cycles; double latency_ms, max_loss; } target; /* best | pareto; cycles or latency, 0 = not given; points of top-1, 100 = any */
    struct {
        const char *agent, *backend;
        const char *start;           /* sensitivities | uniform */
        const char *tied;            /* layers that share genes: none | stage | network */
        long parallel;               /* trials in flight; 0: as many as the study began with, else one more than there are boards */
        long trials, w_min, w_max, a_min, a_max;
        long validation, batchnorm;  /* images of the cheap rung */
        struct run_numbers keep;     /* shares of channels to choose from; none: every channel stays */
        const char *prune;           /* who chooses which channels go */
        long round;                  /* channels stay in steps of it; 0: the array's */
        struct run_numbers sparsity; /* shares of zeros to choose from besides none; none: no zeros */
        const char *structure;       /* of the zeros: block | unstructured */
        struct run_texts levels;     /* kinds of levels to choose from besides uniform ones; none: all are uniform */
    } search;
    struct { struct run_texts commands; double deadline_s; } remote;   /* each reaches a board; docs/remote.md */
    struct { long epochs, full, top; double lr, distill, temperature; } finetune;   /* full: epochs of the winner; distill: share of the float network in the loss */
    struct run_distributed distributed;
    long verify;                     /* whole test images run through the RTL */
};

/* BASE_INPUT with file, line, key and remedy. */
int run_config_load(struct run_config *out, const char *path);
/* The configuration of a command line: all defaults but what is inside the braces of `distributed: {}` (NULL: nothing); held_out a
 * fifth of the data, at most 5000 (0 until it is open). */
int run_config_of(struct run_config *out, const char *model, const char *data, const char *distributed);
void run_config_free(struct run_config *c);
/* Item `i` of the resolved configuration, added to key ("search.agent") and value; *shapes_trials: the
 * trials of a search depend on it. false: there are no more. */
bool run_config_item(const struct run_config *c, int i, struct base_text *key, struct base_text *value, bool *shapes_trials);
/* The resolved configuration as YAML text, the caller's. */
char *run_config_text(const struct run_config *c);

#endif
