// tb.h: what every module bench shares: seed, random numbers, clock, failures.
#ifndef BITPRESS_TB_H
#define BITPRESS_TB_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "verilated.h"

struct Tb {
    uint64_t random, seed = 1;
    int fails = 0;

    // Plusarg +seed=N.
    Tb(int argc, char **argv)
    {
        Verilated::commandArgs(argc, argv);
        for (int i = 1; i < argc; i++)
            if (strncmp(argv[i], "+seed=", 6) == 0) seed = strtoull(argv[i] + 6, nullptr, 10);
        random = (seed + 1) * 0x9e3779b97f4a7c15u;
    }
    uint64_t next()
    {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return random;
    }
    int below(int n) { return (int)(next() >> 33) % n; }
    bool chance(int percent) { return below(100) < percent; }
    void expect(const char *what, int64_t got, int64_t want)
    {
        if (got == want) return;
        if (fails++ < 10)
            printf("%s: got %lld, want %lld (+seed=%llu)\n", what, (long long)got, (long long)want,
                   (unsigned long long)seed);
    }
    int done(const char *what)
    {
        printf("%s: %d failures\n", what, fails);
        return fails != 0;
    }
};

// Bits lo .. lo + n - 1 of a port wider than 64 bits (VlWide).
template <class Port> void tb_put(Port &port, int lo, int n, uint64_t v)
{
    for (int i = 0; i < n; i++) {
        uint32_t bit = 1u << ((lo + i) % 32);
        port[(lo + i) / 32] = (port[(lo + i) / 32] & ~bit) | (v >> i & 1 ? bit : 0);
    }
}
template <class Port> uint64_t tb_get(const Port &port, int lo, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)(port[(lo + i) / 32] >> ((lo + i) % 32) & 1) << i;
    return v;
}

// Outputs settle for the inputs that were set; then the edge.
template <class Top> void tb_settle(Top *top)
{
    top->clk_i = 0;
    top->eval();
}
template <class Top> void tb_edge(Top *top)
{
    top->clk_i = 1;
    top->eval();
}

#endif
