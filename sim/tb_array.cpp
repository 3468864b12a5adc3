// bp_array, small: sums of tiles of random planes, taken when they are due and drained in order.
// top: bp_array -GM=4 -GN=4 -GK=36 -GDrain=4 -GWeightDepth=32 -GCoefDepth=32
#include <deque>

#include "Vbp_array.h"
#include "tb.h"

enum { kM = 4, kN = 4, kK = 36, kDepth = 32, kSteps = 4, kCapture = 5 };

static uint64_t weight[kDepth][kM], window[kN];
static int32_t coef[kDepth][kM];

static void fill(Tb &tb, Vbp_array *top)
{
    for (int a = 0; a < kDepth; a++) {
        top->weight_we_i = top->coef_we_i = 1;
        top->weight_waddr_i = top->coef_waddr_i = a;
        for (int m = 0; m < kM; m++) {
            weight[a][m] = tb.next() & ((UINT64_C(1) << kK) - 1);
            coef[a][m] = tb.chance(10) ? (tb.chance(50) ? -131072 : 131071) : tb.below(262144) - 131072;
            tb_put(top->weight_wdata_i, m * kK, kK, weight[a][m]);
            tb_put(top->coef_wdata_i, m * 18, 18, (uint64_t)coef[a][m]);
        }
        tb_settle(top);
        tb_edge(top);
    }
    top->weight_we_i = top->coef_we_i = 0;
}

struct Tile { int due; int32_t sum[kN][kM]; };

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_array;
    std::deque<Tile> tiles;
    Tile now = {};
    int left = 0, gap = 0;
    bool fresh = true;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
    fill(tb, top);
    for (int cycle = 0; cycle < 40000; cycle++) {
        bool last = left == 1;
        if (left == 0) left = 1 + tb.below(12), fresh = true, last = left == 1;
        top->valid_i = tb.chance(85) && !(last && gap > 0);
        top->load_i = fresh || tb.chance(50);
        for (int q = 0; q < kN; q++) {
            uint64_t w = tb.next() & ((UINT64_C(1) << kK) - 1);
            tb_put(top->window_i, q * kK, kK, w);
            if (top->valid_i && top->load_i) window[q] = w;
        }
        top->waddr_i = tb.below(kDepth);
        top->coef_i = tb.below(kDepth);
        top->first_i = fresh;
        top->last_i = last;
        tb_settle(top);
        bool want = !tiles.empty() && cycle >= tiles.front().due;
        tb.expect("drain valid", top->drain_valid_o, want);
        if (want) {
            int step = cycle - tiles.front().due;
            tb.expect("step", top->drain_step_o, step);
            tb.expect("last", top->drain_last_o, step == kSteps - 1);
            for (int m = 0; m < kM; m++)                   // 4 sums a step: the rows of one lane
                tb.expect("sum", (int32_t)tb_get(top->drain_o, 32 * m, 32), tiles.front().sum[step][m]);
            if (step == kSteps - 1) tiles.pop_front();
        }
        if (gap > 0) gap--;
        if (top->valid_i) {
            for (int q = 0; q < kN; q++)
                for (int m = 0; m < kM; m++) {
                    int32_t add = __builtin_popcountll(window[q] & weight[top->waddr_i][m]) * coef[top->coef_i][m];
                    now.sum[q][m] = fresh ? add : now.sum[q][m] + add;
                }
            fresh = false;
            left--;
            if (last) {
                now.due = cycle + kCapture + 1;
                tiles.push_back(now);
                gap = kSteps - 1;
            }
        }
        tb_edge(top);
    }
    delete top;
    return tb.done("array");
}
