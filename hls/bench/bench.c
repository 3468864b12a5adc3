/* bench: a pack's program on its self-test image through bp_kernel, its logits against the pack's: exit 0 if they are equal. The bench of
 * C simulation and cosimulation (hls/run.tcl); gcc runs it, too. pack.h is what `bitpress pack export PACK pack.h` writes. */
#include <stdio.h>
#include <string.h>

#include "hls/bitpress.h"
#include "pack.h"

enum { CLASSES = sizeof pack_test_logits / sizeof pack_test_logits[0] };

static uint64_t input[(pack_test_pixels_bytes + 7) / 8];
static int32_t logits[CLASSES];

static int start(uint32_t mode, const char *what)
{
    uint32_t status, layer, identity[HLS_IDENTITY];
    bp_kernel(mode, pack_program, sizeof pack_program, pack_weights, sizeof pack_weights, input, sizeof pack_test_pixels, logits, sizeof logits, 1, &status, &layer,
              identity);
    if (status)
        printf("bench: %s ends with status %u in layer %u\n", what, (unsigned)status, (unsigned)layer);
    return status != 0;
}

int main(void)
{
    int wrong = 0;
    memcpy(input, pack_test_pixels, sizeof pack_test_pixels);
    if (start(1, "the load") || start(0, "the run"))
        return 1;
    for (int i = 0; i < CLASSES; i++)
        if (logits[i] != pack_test_logits[i]) {
            printf("bench: logit %d is %d, the pack says %d\n", i, (int)logits[i], (int)pack_test_logits[i]);
            wrong++;
        }
    printf("bench: %d of %d logits are the pack's\n", CLASSES - wrong, CLASSES);
    return wrong != 0;
}
