/* rng: xoshiro256** (Blackman and Vigna), seeded through splitmix64. The state is
 * the caller's, so that every consumer has its own reproducible stream. */
#include "base/base.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void base_rng_seed(struct base_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix64(&seed);
}

void base_rng_stream(struct base_rng *r, uint64_t seed, uint64_t index)
{
    /* Both are hashed first, so that neighbouring seeds and indices do not meet. */
    uint64_t a = seed, b = ~index;
    base_rng_seed(r, splitmix64(&a) ^ rotl(splitmix64(&b), 32));
}

uint64_t base_rng_u64(struct base_rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint32_t base_rng_below(struct base_rng *r, uint32_t n)
{
    /* Lemire's multiply, with rejection of the biased low part. */
    uint64_t m = (base_rng_u64(r) >> 32) * n;
    if ((uint32_t)m < n) {
        uint32_t threshold = (uint32_t)(-n) % n;
        while ((uint32_t)m < threshold)
            m = (base_rng_u64(r) >> 32) * n;
    }
    return (uint32_t)(m >> 32);
}

float base_rng_uniform(struct base_rng *r)
{
    return (float)(base_rng_u64(r) >> 40) * 0x1p-24f;
}

float base_rng_normal(struct base_rng *r)
{
    /* Box-Muller; 1 - u keeps the logarithm away from zero. */
    double u = 1.0 - (double)(base_rng_u64(r) >> 11) * 0x1p-53;
    double v = (double)(base_rng_u64(r) >> 11) * 0x1p-53;
    return (float)(sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v));
}

void base_rng_shuffle(struct base_rng *r, uint32_t *v, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = base_rng_below(r, i);
        uint32_t t = v[i - 1];
        v[i - 1] = v[j];
        v[j] = t;
    }
}
