// bp_spill and bp_lines against the memory model: every word in its place, bytes around untouched, done with the last response,
// lines beyond the scratch refused, and an end at any time. tb_spill32.cpp: blocks of 32 pixels.
#include <vector>

#include "Vbp_spill.h"
#include "ddr.h"
#include "tb.h"

#ifndef BENCH_N
#define BENCH_N 8
#endif

static const int kN = BENCH_N, kBeats = kN / 4, kWord = 2 * kN;
static const uint64_t kBytes = kN << 15, kScratch = 1 << 13;   // words, from a page on
static const uint64_t kBase = 4096;

struct Tile { int rows, cols, groups, planes, pitch, whole, first; };

static Tile random_tile(Tb &tb)
{
    Tile t = { 1 + tb.below(6), 1 + tb.below(8 * kN - 4), 1 + tb.below(4), 1 + tb.below(8), 0, 0, 0 };
    t.pitch = (t.cols + kN - 1) / kN * t.planes + tb.below(30);
    t.whole = t.rows + tb.below(5);
    t.first = tb.below((int)kScratch - t.groups * t.whole * t.pitch);
    return t;
}

static void put_layer(Vbp_spill *top, const Tile &t)
{
    for (int i = 0; i < 8; i++) top->layer_i[i] = 0;
    tb_put(top->layer_i, 32, 16, t.rows);
    tb_put(top->layer_i, 48, 16, t.cols);
    tb_put(top->layer_i, 64, 16, t.groups);
    tb_put(top->layer_i, 148, 12, t.whole);
    tb_put(top->layer_i, 160, 16, t.pitch);
    tb_put(top->layer_i, 192, 32, t.first);
    top->planes_i = t.planes;
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_spill;
    for (int round = 0; round < 300; round++) {
        std::vector<uint8_t> mem(kBytes + 8, 0xa5), want(kBytes + 8, 0xa5);
        Ddr::Timing timing = {1, 1 + tb.below(40), (uint32_t)(1 + tb.below(8)) << 16, round % 2 ? tb.next() : 0, 16};
        Ddr ddr(mem.data(), kBytes, timing);
        Tile t = random_tile(tb);
        int line = (t.cols + kN - 1) / kN * t.planes, words = t.rows * t.groups * line, sent = 0;
        bool beyond = round % 5 == 3, halt = round % 5 == 4, error = false, done = false, stop = false;
        int limit = beyond ? t.first + ((t.groups - 1) * t.whole + t.rows - 1) * t.pitch + line - 1 : (int)kScratch;
        int halt_at = 5 + tb.below(2 * kBeats * words + 20);
        std::vector<uint64_t> data(kBeats * words);
        for (auto &d : data) d = tb.next();
        for (int i = 0; i < words; i++) {
            int g = i / line / t.rows, y = i / line % t.rows;
            memcpy(&want[kBase + kWord * (t.first + (g * t.whole + y) * t.pitch + i % line)], &data[kBeats * i], kWord);
        }
        put_layer(top, t);
        top->addr_i = kBase;
        top->limit_i = limit;
        top->rst_ni = 0;
        bool held = false;
        for (int cycle = 0; cycle < 60000 && !done; cycle++) {
            top->rst_ni = cycle >= 2;
            top->start_i = cycle == 4;
            stop |= error || (halt && cycle == halt_at);
            top->stop_i = stop;
            top->wait_i = cycle < 10 && round % 3 == 0;
            top->valid_i = cycle > 8 && sent < words && !held && !stop && tb.chance(70);
            for (int i = 0; i < kBeats; i++) tb_put(top->data_i, 64 * i, 64, sent < words ? data[kBeats * sent + i] : 0);
            const DdrOut &o = ddr.out();
            top->awready_i = o.awready, top->wready_i = o.wready, top->bvalid_i = o.bvalid, top->bresp_i = o.bresp;
            tb_settle(top);
            sent += top->valid_i;
            held = top->hold_o;                            // planes that left before arrive a cycle later
            error |= cycle > 4 && top->error_o == 11;
            done = cycle > 6 && (top->done_o || (stop && !top->busy_o));
            DdrIn in = {};
            in.awvalid = top->awvalid_o, in.awaddr = top->awaddr_o, in.awlen = top->awlen_o;
            in.wvalid = top->wvalid_o, in.wdata = top->wdata_o, in.wstrb = top->wstrb_o, in.wlast = top->wlast_o;
            in.bready = top->bready_o;
            tb_edge(top);
            if (top->rst_ni) ddr.edge(in);
        }
        tb.expect("ended", done, 1);
        tb.expect("line beyond the scratch", error, beyond && !halt);
        tb.expect("AXI breaches", ddr.violations(), 0);
        if (ddr.violations()) printf("%s\n", ddr.violation().c_str());
        for (uint64_t i = 0; i < kBytes; i++)
            if (mem[i] != want[i] && !(stop && mem[i] == 0xa5)) {
                tb.expect("byte", mem[i], want[i]);
                break;
            }
    }
    delete top;
    return tb.done("spill");
}
