/* contender: one compressed network on its way into the final table: its recipe, the integer
 * network it became, the program, and what was measured. */
#ifndef CMD_CONTENDER_H
#define CMD_CONTENDER_H

#include "accel/accel.h"
#include "compress/compress.h"
#include "report/report.h"
#include "score/score.h"

struct contender {
    char name[32];
    int trial, finalist;             /* of the study; trial -1, finalist 0 = none */
    bool known;                      /* its numbers are; its network is too, where `net` is there */
    struct compress_recipe recipe;
    const struct hw *hw;             /* the array that it is compiled for, one of the caller's */
    int val_images;                  /* that val_top1 is of */
    double val_top1, test_top1;      /* 0..1; < 0 = not measured */
    struct report_loss loss;         /* against the float network, on the same images as test_top1 */
    struct fixed_net *net;
    struct accel_program *program;
    struct score_result *score;
    struct graph *pruned;            /* the float network with channels removed; NULL: none were */
    int64_t model_cycles;            /* before it is measured */
    int64_t trained;                 /* images seen by fine-tuning */
    int64_t size_bytes;              /* integer weights, bit-packed */
};

/* Channels that the array takes at a time, on both sides of a layer: fewer cost as much. */
int contender_channel_step(const struct hw *hw);
/* The arrays that a network may be compiled for: a board's own, or shapes of it (hw_shapes), which take channels in the same steps. */
struct contender_arrays { const struct hw *hw; int n; };
/* Apply `recipe` (copied, settled for the arrays) and lower it for the one that runs it in the fewest cycles by the model, of equal
 * ones the first; its accuracy is the same on all. BASE_INPUT: it cannot be built; the message says why. */
int contender_build(struct contender *out, const char *name, int trial, const struct compress_recipe *recipe, struct compress_cache *cache, struct contender_arrays on, const struct compress_options *o);
/* The checkpoint of a fine-tuning, named after all that it depends on, so that no other goes on with it; the caller's, NULL: no memory. */
char *contender_checkpoint(const char *folder, const char *depends_on);
/* What the other ranks of options->ranks do while rank 0 builds: the fine-tuning, and nothing of theirs is left. */
int contender_tune(const struct compress_recipe *recipe, struct compress_cache *cache, const struct hw *hw, const struct compress_options *o);
/* Who measures: a backend, and the boards of `remote`. */
struct contender_scorer { const char *backend; struct remote *boards; };
/* Cycles and, image by image, bit-exactness; `cache_dir` as in score.h. */
int contender_score(struct contender *c, const struct contender_scorer *by, const uint8_t *pixels, int images, const char *cache_dir);

/* The images that have the last word, and which of them the float network gets right. */
struct contender_exam { const uint8_t *pixels; const uint16_t *label; int n; struct base_pool *pool; double float_top1; uint8_t *float_right; };
/* Runs the float network `g`. The images are the caller's and stay. */
int contender_exam_open(struct contender_exam *e, struct graph *g, const uint8_t *pixels, const uint16_t *label, int n, struct base_pool *pool);
/* test_top1 and loss, by the integer reference. */
int contender_test(struct contender *c, const struct contender_exam *e);
void contender_exam_close(struct contender_exam *e);
void contender_free(struct contender *c);

/* Cycles of a recipe by the model, without running the network; negative = base_code. */
int64_t contender_model_cycles(const struct compress_recipe *recipe, struct compress_cache *cache, struct contender_arrays on);

#endif
