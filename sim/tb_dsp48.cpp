// bp_dsp48: the DSP48E2 as it is instantiated, in a model of it, against the plain form: random operands, extremes, every
// clock enable, restarts of the sum; and the plain form against the definition.
// top: dsp48_pair
#include "Vdsp48_pair.h"
#include "tb.h"

static int64_t word(Tb &tb, int bits)
{
    if (tb.chance(10)) return tb.chance(50) ? (INT64_C(1) << (bits - 1)) - 1 : -(INT64_C(1) << (bits - 1));
    return (int64_t)(tb.next() << (64 - bits)) >> (64 - bits);
}

static int64_t low_bits(int64_t v, int bits) { return (int64_t)((uint64_t)v << (64 - bits)) >> (64 - bits); }

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vdsp48_pair;
    int64_t m = 0;
    uint32_t sum = 0;
    for (int cycle = 0; cycle < 200000; cycle++) {
        bool start = cycle < 4;                            // registers hold nothing yet: fill them
        int64_t a = word(tb, 25), b = word(tb, 18);
        top->a_i = (uint32_t)a & 0x1ffffff, top->b_i = (uint32_t)b & 0x3ffff;
        top->c_i = (uint64_t)word(tb, 48) & 0xffffffffffff;
        top->ce_ab_i = start || tb.chance(70), top->ce_m_i = start || tb.chance(70), top->ce_p_i = start || tb.chance(70);
        top->first_i = start || tb.chance(10);
        tb_settle(top);
        if (!start) {
            tb.expect("low", (int64_t)top->low_o[1], (int64_t)top->low_o[0]);
            tb.expect("high", (int64_t)top->high_o[1], (int64_t)top->high_o[0]);
            tb.expect("sum", top->sum_o[1], top->sum_o[0]);
            tb.expect("defined sum", top->sum_o[0], sum);
        }
        if (top->ce_p_i) sum = (top->first_i ? 0 : sum) + (uint32_t)m;
        if (top->ce_m_i) m = low_bits(a, 9) * b;
        tb_edge(top);
    }
    delete top;
    return tb.done("dsp48");
}
