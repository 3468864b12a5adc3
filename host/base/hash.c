/* hash: XXH3 for cache keys and build hashes. */
#include "base/base.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t base_hash64(uint64_t seed, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed);
}
