/* opencl.c: backend `opencl`: the same kernel as in `xrt`, driven through OpenCL's ICD loader and Xilinx's platform. */
#include "score/score_internal.h"

int score_opencl(struct score_result *out, const struct score_job *job)
{
    return score_xrt_api(out, job, "opencl");
}
