// bp_popcount's compressor tree, the one that is synthesized: every pattern of 18 neighbouring bits, which is
// every pattern of its first counters, then random words, with pauses.
// top: bp_popcount -GTree=1
#include "Vbp_popcount.h"
#include "tb.h"

enum { kBits = 144, kSlice = 18 };

static int ones(const Vbp_popcount *top)
{
    int n = 0;
    for (int i = 0; i < (kBits + 31) / 32; i++) n += __builtin_popcount(top->a_i[i] & top->b_i[i]);
    return n;
}

static void drive(Tb &tb, Vbp_popcount *top, int cycle)
{
    bool exhaustive = cycle < 1 << kSlice;
    for (int i = 0; i < (kBits + 31) / 32; i++) {
        uint32_t mask = i == kBits / 32 ? (1u << kBits % 32) - 1 : ~0u;
        uint32_t dense = cycle % 8 == 0 ? ~0u : tb.chance(50) ? (uint32_t)(tb.next() | tb.next()) : 0;
        top->a_i[i] = exhaustive ? 0 : ((uint32_t)tb.next() | dense) & mask;
        top->b_i[i] = exhaustive ? mask : ((uint32_t)tb.next() | dense) & mask;
    }
    if (exhaustive) tb_put(top->a_i, kSlice * (cycle % (kBits / kSlice)), kSlice, (uint64_t)cycle);
    top->valid_i = exhaustive || tb.chance(80);
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_popcount;
    int want[2] = { 0, 0 };                                // held, shown
    for (int cycle = 0; cycle < (1 << kSlice) + 50000; cycle++) {
        drive(tb, top, cycle);
        tb_settle(top);
        if (cycle > 2) tb.expect("count", top->count_o, want[1]);
        want[1] = want[0];
        if (top->valid_i) want[0] = ones(top);
        tb_edge(top);
    }
    delete top;
    return tb.done("popcount");
}
