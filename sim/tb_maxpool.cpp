// bp_maxpool: the largest code of the listed taps, signed and unsigned, from its planes.
#include "Vbp_maxpool.h"
#include "tb.h"

enum { kN = 8, kC = 16, kK = 144 };

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_maxpool;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
    static int code[kN][9][kC], got[kN][kC];
    int taps = 0;
    for (int i = 0; i < 400; i++) {
        int planes = 1 + tb.below(8);
        if (i % 3 == 0) taps = 1 + tb.below(511);
        bool is_signed = planes > 1 && tb.chance(50);
        for (auto &lane : code)
            for (auto &tap : lane)
                for (int &c : tap) c = tb.below(1 << planes);
        memset(got, 0, sizeof got);
        top->taps_i = taps;
        top->signed_i = is_signed;
        if (i % 3 == 0) {                                  // a layer begins: else the taps stay
            top->start_i = 1, top->valid_i = 0;
            tb_settle(top);
            tb_edge(top);
            top->start_i = 0;
        }
        for (int j = planes - 1; j >= -1; j--) {           // one more cycle for the last plane
            do {
                top->valid_i = j >= 0 && tb.chance(80);
                top->top_i = j == planes - 1;
                top->last_i = j == 0;
                for (int n = 0; n < kN * kK; n++)
                    tb_put(top->window_i, n, 1, top->valid_i ? code[n / kK][n % kK / kC][n % kC] >> j & 1 : tb.next() & 1);
                tb_settle(top);
                if (top->valid_o)
                    for (int n = 0; n < kN * kC; n++) got[n / kC][n % kC] = got[n / kC][n % kC] << 1 | (int)tb_get(top->plane_o, n, 1);
                tb_edge(top);
            } while (j >= 0 && !top->valid_i);
        }
        for (int q = 0; q < kN; q++)
            for (int c = 0; c < kC; c++) {
                int flip = is_signed ? 1 << (planes - 1) : 0, best = -1;
                for (int t = 0; t < 9; t++)
                    if (taps >> t & 1 && (code[q][t][c] ^ flip) > best) best = code[q][t][c] ^ flip;
                tb.expect("largest", got[q][c], best ^ flip);
            }
    }
    delete top;
    return tb.done("maxpool");
}
