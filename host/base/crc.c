/* crc: CRC-32C (Castagnoli, reflected 0x82f63b78), the checksum of pack sections. */
#include "base/base_internal.h"

#include <string.h>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

/* Four bits a step: small enough to be a constant in sight. */
uint32_t base_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return ~crc;
}

#ifdef __SSE4_2__
uint32_t base_crc32c(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t c = (uint32_t)~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; len; len--, p++)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return ~(uint32_t)c;
}
#else
uint32_t base_crc32c(uint32_t crc, const void *data, size_t len)
{
    return base_crc32c_portable(crc, data, len);
}
#endif
