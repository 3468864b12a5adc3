// bp_fill and bp_lines: commands of every line and of the segment, words in their places with their halos whatever the port and
// the engine do, and the error of a bad record. tb_fill32.cpp: blocks of 32 pixels.
#include <deque>
#include <vector>

#include "Vbp_fill.h"
#include "tb.h"

#ifndef BENCH_N
#define BENCH_N 8
#endif

static const int kN = BENCH_N, kBeats = kN / 4, kDepth = 1024, kScratch = 1 << 13;
static const uint64_t kBase = 1 << 20, kSegment = 1 << 24;

struct Area { int base, row_stride, px_stride, planes, rows, cols, groups, pitch, whole, first, next; };

static Area random_area(Tb &tb)
{
    Area a = {};
    a.rows = 1 + tb.below(9), a.cols = 1 + tb.below(5 * kN), a.groups = tb.chance(10) ? 0 : 1 + tb.below(3), a.planes = 1 + tb.below(8);
    int blocks = (a.cols + kN - 1) / kN;
    a.px_stride = a.groups * a.planes, a.row_stride = a.px_stride * blocks + tb.below(4);
    a.base = tb.below(kDepth - 3 * a.row_stride);
    a.pitch = blocks * a.planes + tb.below(20), a.whole = a.rows + tb.below(5);
    a.first = tb.below(kScratch - a.groups * a.whole * a.pitch);
    a.next = tb.chance(20) ? 0 : 1 + tb.below(50);
    return a;
}

static void put_record(Vbp_fill *top, const Area &a)
{
    for (int i = 0; i < 8; i++) top->record_i[i] = 0;
    tb_put(top->record_i, 0, 16, a.base), tb_put(top->record_i, 16, 16, a.row_stride), tb_put(top->record_i, 32, 16, a.px_stride);
    tb_put(top->record_i, 48, 4, a.planes);
    tb_put(top->record_i, 64, 16, a.rows), tb_put(top->record_i, 80, 16, a.cols), tb_put(top->record_i, 96, 16, a.groups);
    tb_put(top->record_i, 112, 16, a.pitch);
    tb_put(top->record_i, 128, 32, a.first), tb_put(top->record_i, 160, 16, a.whole);
    tb_put(top->record_i, 192, 32, a.next);
}

static uint64_t beat_at(uint64_t addr) { return (addr + 1) * 0x9e3779b97f4a7c15u; }

struct Result { bool done, error; };

static Result run(Tb &tb, Vbp_fill *top, const Area &a, int limit, bool check)
{
    int blocks = (a.cols + kN - 1) / kN, words = a.groups * a.rows * blocks * a.planes, at = 0, line = 0, lines = a.groups * a.rows, unasked = 0;
    std::deque<uint64_t> beats;
    bool segment = false;
    put_record(top, a);
    top->addr_i = kBase, top->limit_i = limit, top->segment_i = kSegment;
    for (int cycle = 0; cycle < 60000; cycle++) {
        top->start_i = cycle == 1;
        top->asked_i = unasked == 0;
        top->beat_valid_i = !beats.empty() && tb.chance(80);
        top->beat_data_i = beats.empty() ? 0 : beats.front();
        top->write_i = tb.chance(30);
        tb_settle(top);
        if (top->error_o && cycle > 1) return { false, true };
        if (top->rd_start_o && check) {
            bool last = line == lines;
            int g = last ? 0 : line / a.rows, y = last ? 0 : line % a.rows;
            tb.expect("segment", top->segment_o, last);
            tb.expect("address", (int64_t)top->rd_addr_o, (int64_t)(last ? kSegment : kBase + 2 * kN * (uint64_t)(a.first + (g * a.whole + y) * a.pitch)));
            tb.expect("beats", top->rd_beats_o, last ? a.next : kBeats * blocks * a.planes);
        }
        if (top->rd_start_o) {
            unasked = top->rd_beats_o;
            for (uint32_t i = 0; i < top->rd_beats_o; i++) beats.push_back(beat_at(top->rd_addr_o + 8 * i));
            segment |= top->segment_o;
            line += !top->segment_o;
        } else if (tb.chance(60)) {
            unasked = unasked > 16 ? unasked - 16 : 0;
        }
        if (top->we_o && !top->write_i && check) {
            int j = a.planes - 1 - at % a.planes, x = at / a.planes % blocks, y = at / a.planes / blocks % a.rows, g = at / a.planes / blocks / a.rows;
            int addr = a.base + y / 4 * a.row_stride + x * a.px_stride + g * a.planes + j;
            uint64_t from = kBase + 2 * kN * (uint64_t)(a.first + (g * a.whole + y) * a.pitch + x * a.planes + a.planes - 1 - j);
            tb.expect("bank", top->bank_o, (y + g + j) & 3);
            tb.expect("word", top->addr_o, addr);
            tb.expect("left", top->left_we_o, x > 0);
            tb.expect("right", top->right_we_o, x < blocks - 1);
            if (x > 0) tb.expect("left word", top->left_addr_o, addr - a.px_stride);
            if (x < blocks - 1) tb.expect("right word", top->right_addr_o, addr + a.px_stride);
            for (int i = 0; i < kBeats; i++) tb.expect("data", (int64_t)tb_get(top->data_o, 64 * i, 64), (int64_t)beat_at(from + 8 * i));
        }
        at += top->we_o && !top->write_i;
        bool done = cycle > 1 && top->done_o;
        if (top->beat_valid_i && top->beat_ready_o) beats.pop_front();
        tb_edge(top);
        if (!done) continue;
        tb.expect("words", at, words);
        tb.expect("segment was asked for", segment, a.next > 0);
        tb.expect("beats left", (int64_t)beats.size(), a.next);
        return { true, false };
    }
    return { false, false };
}

static void reset(Vbp_fill *top)
{
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_fill;
    reset(top);
    for (int round = 0; round < 300; round++) {
        Area a = random_area(tb), bad = a;
        Result r = run(tb, top, a, kScratch, true);
        tb.expect("done", r.done, 1);
        if (a.groups == 0) continue;
        int limit = kScratch;
        switch (round % 4) {
        case 0: limit = a.first + ((a.groups - 1) * a.whole + a.rows - 1) * a.pitch + (a.cols + kN - 1) / kN * a.planes - 1; break;
        case 1: bad.planes = tb.chance(50) ? 0 : 9; break;
        case 2: bad.rows = tb.chance(50) ? 0 : 1024; break;
        default: bad.base = kDepth - tb.below(a.groups * a.planes);
        }
        r = run(tb, top, bad, limit, false);
        tb.expect("error", r.error, 1);
        reset(top);
    }
    delete top;
    return tb.done("fill");
}
