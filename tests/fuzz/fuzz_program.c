/* Program images: the structural check of any words; the cycle model on those that pass. */
#include "fuzz.h"

#include "accel/accel.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct hw hw;
    if (!hw.m)
        FUZZ_DEMAND(!hw_load(&hw, "pynq-z2"));
    size_t words = len / 8;
    uint64_t *image = malloc(8 * words + 1);
    memcpy(image, bytes, 8 * words);
    if (words > 1) {           /* the array's identity is no secret: let mutations reach what is behind it */
        image[0] = PROGRAM_MAGIC | (uint64_t)PROGRAM_MAJOR << 32;
        image[1] = (uint64_t)hw.m | (uint64_t)hw.n << 8 | (uint64_t)hw.k << 16 | hw.hash << 32;
    }
    if (words > 5) {           /* tables and stream are the whole image */
        uint64_t stream = image[5] >> 32 & 1 ? (image[5] >> 33) % words : 0;
        image[5] = (words - stream) | stream << 32;
    }
    int error = accel_decode_check(&hw, image, words);
    FUZZ_DEMAND(error >= 0 && error <= PROGRAM_ERR_STREAM);
    if (!error) {
        static struct accel_cycles c;
        fuzz_result(accel_model(&c, &hw, image, words));
    }
    free(image);
    return 0;
}
