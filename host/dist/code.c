/* Gradients on a few levels, packed.
 *   u32 magic, u32 values, u32 CRC32C of all behind it, then for each bucket: float scale, its levels.
 * Little-endian, no padding. Levels -s .. s are stored as 1 .. 2 s + 1: 2 bits (s = 1) go five to a byte, in base 3
 * and from 0 on, 1.6 bits each; 4 bits two to a byte, low half first; 8 bits one. */
#include "dist/dist.h"

#include <math.h>
#include <string.h>

enum { MAGIC = 0x31475042, FIVE = 5, POWER = 243 };

struct head { uint32_t magic, values, crc; };

static int levels_of(const struct dist_code *c)
{
    return (1 << (c->bits - 1)) - 1;
}

static size_t level_bytes(const struct dist_code *c, int64_t n)
{
    int per_byte = c->bits == 2 ? FIVE : 8 / c->bits;
    return (size_t)((n + per_byte - 1) / per_byte);
}

size_t dist_packed_bytes(const struct dist_code *c, int64_t n)
{
    int64_t whole = n / c->bucket, rest = n % c->bucket;
    return sizeof(struct head) + (size_t)whole * (sizeof(float) + level_bytes(c, c->bucket)) + (rest ? sizeof(float) + level_bytes(c, rest) : 0);
}

/* ---- in ------------------------------------------------------------------------------------ */

/* Infinite if a value is not finite: that must be seen at the other end. */
static float largest(const float *u, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(u[i]))
            return INFINITY;
        most = fmaxf(most, fabsf(u[i]));
    }
    return most;
}

/* The level of u: x = |u| s / m, up or down at random with mean x. */
static int level_of(float u, float per, int s, float random)
{
    float x = fabsf(u) * per, low = floorf(x);
    int l = (int)low + (random < x - low);
    l = BASE_MIN(l, s);
    return u < 0 ? -l : l;
}

static uint8_t *pack_level(uint8_t *to, int bits, int s, int i, int level)
{
    static const uint8_t power[FIVE] = { 1, 3, 9, 27, 81 };
    int place = bits == 2 ? i % FIVE : bits == 4 ? i % 2 : 0;
    int add = bits == 2 ? (level + 1) * power[place] : (level + s + 1) << (4 * place);
    *to = (uint8_t)((place ? *to : 0) + add);
    return to + (place == (bits == 2 ? FIVE - 1 : bits == 4 ? 1 : 0));
}

static uint8_t *pack_bucket(uint8_t *to, float *u, int n, const struct dist_code *c, struct base_rng *rng)
{
    int s = levels_of(c);
    float m = largest(u, n), per = (float)s / m, step = m / (float)s;
    uint8_t *at = to + sizeof m;
    uint64_t random = 0;
    memcpy(to, &m, sizeof m);
    if (!(m > 0 && isfinite(m) && isfinite(per)))
        per = step = 0;                                    /* zeros, or as small; or not finite, which the scale says */
    for (int i = 0; i < n; i++) {
        random = i % 2 ? random >> 32 : base_rng_u64(rng);
        int level = level_of(isfinite(u[i]) ? u[i] : 0, per, s, (float)((uint32_t)random >> 8) * 0x1p-24f);
        at = pack_level(at, c->bits, s, i, level);
        u[i] = (float)level * step;
    }
    return to + sizeof m + level_bytes(c, n);
}

void dist_pack(uint8_t *out, float *u, int64_t n, const struct dist_code *c, struct base_rng *rng)
{
    struct head h = { MAGIC, (uint32_t)n, 0 };
    uint8_t *to = out + sizeof h;
    for (int64_t i = 0; i < n; i += c->bucket)
        to = pack_bucket(to, u + i, (int)BASE_MIN(n - i, c->bucket), c, rng);
    h.crc = base_crc32c(0, out + sizeof h, (size_t)(to - out) - sizeof h);
    memcpy(out, &h, sizeof h);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* false: no such level. */
static bool unpack_bucket(float *sum, int n, const uint8_t *in, const struct dist_code *c)
{
    int s = levels_of(c), bad = 0, rest = 0;
    float m, step;
    memcpy(&m, in, sizeof m);
    in += sizeof m;
    step = isfinite((float)s / m) ? m / (float)s : 0;
    for (int i = 0; i < n; i++) {
        int level;
        if (c->bits == 2) {
            rest = i % FIVE ? rest / 3 : *in++;
            bad |= rest >= POWER;
            level = rest % 3 - 1;
        } else {
            int byte = c->bits == 8 ? *in++ : i % 2 ? *in++ >> 4 : *in & 15;
            bad |= byte == 0;
            level = byte - s - 1;
        }
        sum[i] += (float)level * step;
    }
    return !bad && m >= 0 && isfinite(m);
}

int dist_unpack_add(float *sum, int64_t n, const uint8_t *in, size_t bytes, const struct dist_code *c)
{
    struct head h;
    if (bytes != dist_packed_bytes(c, n))
        return base_fail(BASE_INPUT, "a packed gradient of %zu bytes, not the %zu of %lld values", bytes, dist_packed_bytes(c, n), (long long)n);
    memcpy(&h, in, sizeof h);
    if (h.magic != MAGIC || h.values != (uint32_t)n || h.crc != base_crc32c(0, in + sizeof h, bytes - sizeof h))
        return base_fail(BASE_INPUT, "a packed gradient of %lld values is damaged", (long long)n);
    in += sizeof h;
    for (int64_t i = 0; i < n; i += c->bucket) {
        int part = (int)BASE_MIN(n - i, c->bucket);
        if (!unpack_bucket(sum + i, part, in, c))
            return base_fail(BASE_INPUT, "a packed gradient's values %lld to %lld are not finite, or levels that there are not", (long long)i, (long long)(i + part - 1));
        in += sizeof(float) + level_bytes(c, part);
    }
    return BASE_OK;
}
