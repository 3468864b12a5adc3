/* model.c: backend `model`: the cycle model in C, which the tests hold equal to the RTL. Runs no image. */
#include "score/score_internal.h"

int score_model(struct score_result *out, const struct score_job *job)
{
    out->cycles_source = "model";
    return score_fill_model(out, job);
}
