// bp_writeback: every plane of every tile once, in its bank and address, with its halos, and the same of paired maps; logits in
// pairs; pooled planes from the top; done with the last.
#include <vector>

#include "Vbp_writeback.h"
#include "tb.h"

enum { kM = 16, kN = 8, kDrain = 32, kSteps = 4, kDepth = 1024 };

struct Layer { int op, count, rows, cols, first, logits, base, row, px, planes, groups; bool is_logits, paired; };

static void set(Vbp_writeback *top, const Layer &l)
{
    for (int i = 0; i < 8; i++) top->layer_i[i] = 0;
    for (int i = 0; i < 4; i++) top->map_i[i] = 0;
    tb_put(top->layer_i, 0, 8, l.op);
    tb_put(top->layer_i, 8, 8, l.is_logits);
    tb_put(top->layer_i, 32, 16, l.rows);
    tb_put(top->layer_i, 48, 16, l.cols);
    tb_put(top->layer_i, 64, 16, l.count);
    tb_put(top->layer_i, l.op == 3 ? 96 : 112, 16, l.first);
    tb_put(top->layer_i, 192, 32, l.logits);
    tb_put(top->map_i, 0, 16, l.base);
    tb_put(top->map_i, 16, 16, l.row);
    tb_put(top->map_i, 32, 16, l.px);
    tb_put(top->map_i, 48, 4, l.planes);
    tb_put(top->map_i, 63, 1, l.paired);
    tb_put(top->map_i, 96, 16, l.groups);
    top->last_block_i = (l.cols - 1) / 8;
}

// What must be written, in order.
struct Write { int bank, addr; bool left, right; uint8_t bits[kN * kM]; };

static void check(Tb &tb, const Vbp_writeback *top, const Write &w, int px)
{
    tb.expect("bank", top->bank_o, w.bank);
    tb.expect("address", top->addr_o, w.addr);
    tb.expect("left", top->left_we_o, w.left);
    tb.expect("right", top->right_we_o, w.right);
    if (w.left) tb.expect("left address", top->left_addr_o, w.addr - px);
    if (w.right) tb.expect("right address", top->right_addr_o, w.addr + px);
    for (int i = 0; i < kN * kM; i++) tb.expect("bit", (int64_t)tb_get(top->data_o, i, 1), w.bits[i]);
}

// Bit of a word: slot s of group g of the map, from the codes of the filter group.
static int bit_of(const Layer &l, const uint8_t *code, int g, int j, int n)
{
    if (!l.paired) return code[n] >> j & 1;
    int slot = n % kM, channel = g % 2 * 8 + slot % 8;
    return code[n - slot + channel] >> (2 * j + slot / 8) & 1;
}

static void maps(Tb &tb, Vbp_writeback *top, bool pool, bool paired)
{
    int groups = 1 + tb.below(3), cols = 1 + tb.below(30);
    Layer l = {};
    l.op = pool ? 3 : 2, l.count = groups, l.rows = 1 + tb.below(9), l.cols = cols, l.first = tb.below(4);
    int each = paired ? 2 : 1;
    l.paired = paired || (pool && tb.chance(50));                   // a pool does not look at it
    l.groups = each * (l.first + groups) - (paired && tb.chance(50));
    l.planes = 1 + tb.below(8 / each), l.px = l.groups * l.planes, l.row = l.px * ((cols + 7) / 8), l.base = tb.below(100);
    if (l.base + (l.rows / 4 + 1) * l.row > kDepth) return;
    set(top, l);
    int blocks = (cols + 7) / 8, tiles = groups * l.rows * blocks, gap = each * l.planes > kSteps ? each * l.planes : kSteps;
    std::vector<Write> want;
    std::vector<std::vector<uint8_t>> code(tiles, std::vector<uint8_t>(kN * kM));
    for (int t = 0; t < tiles; t++) {
        int x = t % blocks, y = t / blocks % l.rows, first = each * (l.first + t / blocks / l.rows);
        for (auto &c : code[t]) c = (uint8_t)tb.next();
        for (int i = 0; i < each * l.planes && first + i / l.planes < l.groups; i++) {
            int g = first + i / l.planes, j = pool ? l.planes - 1 - i : i % l.planes;
            Write w = { (y + g + j) & 3, l.base + (y >> 2) * l.row + x * l.px + g * l.planes + j, x > 0, x + 1 < blocks, {} };
            for (int n = 0; n < kN * kM; n++) w.bits[n] = pool ? code[t][n] >> j & 1 : bit_of(l, code[t].data(), g, j, n);
            want.push_back(w);
        }
    }
    size_t got = 0, planes_in = 0;
    int tile = 0, step = 0, wait = 0;
    bool done = false;
    for (int cycle = 0; cycle < 100000 && !done; cycle++) {
        top->clear_i = cycle == 0;
        top->start_i = cycle == 1;
        top->code_valid_i = !pool && cycle > 2 && tile < tiles && (step > 0 || wait <= 0);
        top->code_step_i = step;
        top->code_last_i = step == kSteps - 1;
        top->pool_valid_i = pool && cycle > 2 && planes_in < want.size() && tb.chance(80);
        for (int n = 0; n < kDrain && top->code_valid_i; n++) tb_put(top->code_i, 8 * n, 8, code[tile][step * kDrain + n]);
        for (int n = 0; n < kN * kM && top->pool_valid_i; n++) tb_put(top->pool_plane_i, n, 1, want[planes_in].bits[n]);
        tb_settle(top);
        if (top->we_o) {
            if (got < want.size()) check(tb, top, want[got], l.px);
            got++;
        }
        done = cycle > 1 && top->done_o;
        wait--;
        planes_in += top->pool_valid_i;
        if (top->code_valid_i && ++step == kSteps) step = 0, tile++, wait = gap - kSteps + tb.below(3);
        tb.expect("error", top->error_o, 0);
        tb_edge(top);
    }
    tb.expect("planes", (int64_t)got, (int64_t)want.size());
    tb.expect("done", done, true);
}

static void logits(Tb &tb, Vbp_writeback *top)
{
    Layer l = {};
    l.op = 2, l.is_logits = true, l.count = 1 + tb.below(5), l.rows = l.cols = 1, l.planes = 1;
    l.logits = 1 + tb.below(l.count * kM);
    set(top, l);
    std::vector<uint32_t> want(l.count * kM);
    for (auto &w : want) w = (uint32_t)tb.next();
    int got = 0, tile = 0, step = 0, wait = 0;
    int at = 0;                                            // the pair that comes now: kM / 2 of a tile, after its first code
    bool done = false;
    top->pool_valid_i = 0;
    for (int cycle = 0; cycle < 5000 && !done; cycle++) {
        top->clear_i = cycle == 0;
        top->start_i = cycle == 1;
        top->logit_ready_i = 1;
        top->code_valid_i = cycle > 2 && tile < l.count && (step > 0 || wait <= 0);
        top->code_step_i = step;
        top->code_last_i = step == kSteps - 1;
        top->logit_i = at < (int)want.size() ? want[at] | (uint64_t)want[at + 1] << 32 : 0;
        tb_settle(top);
        tb.expect("no plane", top->we_o, 0);
        if (top->logit_valid_o) {
            uint64_t pair = want[got] | (uint64_t)(got + 1 < l.logits ? want[got + 1] : 0) << 32;
            tb.expect("logits", (int64_t)top->logit_data_o, (int64_t)pair);
            got += 2;
            tb.expect("last pair", top->logit_last_o, got >= l.logits);
        }
        done = cycle > 1 && top->done_o;
        wait--;
        at = top->code_valid_i && step == 0 ? tile * kM : at + 2;
        if (top->code_valid_i && ++step == kSteps) step = 0, tile++, wait = kM / 2 - kSteps + tb.below(3);
        tb_edge(top);
    }
    tb.expect("all logits", got >= l.logits, true);
    tb.expect("done", done, true);
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_writeback;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
    for (int i = 0; i < 60; i++) {
        maps(tb, top, false, false);
        maps(tb, top, false, true);
        maps(tb, top, true, false);
        logits(tb, top);
    }
    delete top;
    return tb.done("writeback");
}
