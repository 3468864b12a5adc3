// bp_requant against the definition in 128-bit arithmetic: codes five cycles after their sums, the scale
// vector of each filter group; logits of a tile's first sums two a cycle from the next cycle on, clamped to int32.
// top: bp_requant -GM=4 -GDrain=12 -GScaleDepth=32
#include <cstring>
#include <deque>

#include "Vbp_requant.h"
#include "tb.h"

enum { kM = 4, kDrain = 12, kDepth = 32, kDelay = 5 };

static int64_t mul[kDepth][kM], add[kDepth][kM];

static void fill(Tb &tb, Vbp_requant *top)
{
    for (int a = 0; a < kDepth; a++) {
        top->scale_we_i = 1;
        top->scale_waddr_i = a;
        for (int m = 0; m < kM; m++) {
            mul[a][m] = tb.chance(10) ? 131071 : tb.below(131072);
            add[a][m] = (int64_t)(tb.next() << 16) >> (16 + tb.below(40));
            if (tb.chance(5)) add[a][m] = tb.chance(50) ? (INT64_C(1) << 47) - 1 - tb.below(9) : -(INT64_C(1) << 47) + 1;
            tb_put(top->scale_wdata_i, m * 66, 18, (uint64_t)mul[a][m]);
            tb_put(top->scale_wdata_i, m * 66 + 18, 48, (uint64_t)add[a][m]);
        }
        tb_settle(top);
        tb_edge(top);
    }
    top->scale_we_i = 0;
}

struct Want { int due, step; bool last; uint8_t code[kDrain]; int32_t logit[kM]; };

static int64_t clamp(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_requant;
    std::deque<Want> wants;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
    fill(tb, top);
    int cycle = 0;
    for (int layer = 0; layer < 300; layer++) {
        int scale = tb.below(kDepth - 4), tiles = 1 + tb.below(4), steps = 1 + tb.below(4), groups = 1 + tb.below(4);
        int bits = 1 + tb.below(8), shift = tb.below(48);
        bool is_signed = tb.chance(50), logits = tb.chance(30);
        int lo = is_signed ? -(1 << (bits - 1)) : 0, hi = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
        top->scale_i = scale, top->tiles_i = tiles, top->shift_i = shift, top->lo_i = lo & 0xffff, top->hi_i = hi;
        top->logits_i = logits;
        int step = 0, tile = 0, group = 0, first = -kM, pair = kM;
        int32_t logit[kM] = {};
        for (int t = -2; group < groups || !wants.empty() || (logits && pair < kM); t++, cycle++) {
            top->start_i = t == -2;
            top->valid_i = t >= 0 && group < groups && tb.chance(80) && (!logits || step > 0 || t - first >= kM / 2);
            if (top->valid_i && step == 0) first = t;
            top->step_i = step;
            top->last_i = step == steps - 1;
            Want w = { cycle + kDelay, step, step == steps - 1, {}, {} };
            for (int l = 0; l < kDrain; l++) {
                int32_t sum = (int32_t)((int64_t)(int32_t)tb.next() >> tb.below(31));
                tb_put(top->sum_i, l * 32, 32, (uint32_t)sum);
                if (group >= groups) continue;
                int64_t v = (int64_t)(((__int128)sum * mul[scale + group][l % kM] + add[scale + group][l % kM]) >> shift);
                w.code[l] = (uint8_t)clamp(v, lo, hi);
                if (l < kM) w.logit[l] = (int32_t)clamp(v, INT32_MIN, INT32_MAX);
            }
            tb_settle(top);
            bool due = !wants.empty() && wants.front().due == cycle;
            tb.expect("valid", top->valid_o, due);
            if (due) {
                const Want &f = wants.front();
                tb.expect("step", top->step_o, f.step);
                tb.expect("last", top->last_o, f.last);
                for (int l = 0; l < kDrain; l++) tb.expect("code", (int64_t)tb_get(top->code_o, 8 * l, 8), f.code[l]);
            }
            for (int h = 0; h < 2 && logits && pair < kM; h++, pair++)
                tb.expect("logit", (int32_t)(top->logit_o >> 32 * h), logit[pair]);
            if (due) {
                const Want &f = wants.front();
                if (f.step == 0) memcpy(logit, f.logit, sizeof logit), pair = 0;
                wants.pop_front();
            }
            if (top->valid_i) {
                wants.push_back(w);
                if (++step == steps) step = 0, tile++;
                if (tile == tiles) tile = 0, group++;
            }
            tb_edge(top);
        }
    }
    delete top;
    return tb.done("requant");
}
