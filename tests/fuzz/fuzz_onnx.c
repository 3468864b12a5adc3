/* onnx_read: what is accepted is a graph that passes its own check, folds or says why not, and has layers. */
#include "fuzz.h"

#include "onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct graph *g = NULL, *folded = NULL;
    int rc = onnx_read(&g, fuzz_file(0, bytes, len));
    fuzz_result(rc);
    if (rc)
        return 0;
    FUZZ_DEMAND(!graph_check(g));
    fuzz_result(graph_fold_batchnorm(g, &folded));
    graph_free(folded);
    struct graph_layers ls;
    fuzz_result(graph_make_layers(g, &ls));
    graph_free(g);
    return 0;
}
