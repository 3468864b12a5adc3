// bp_fetch: windows from a memory whose words outside the map, and halos without a neighbour, are garbage;
// random places, waits on both sides, pooling order, padding of raw maps, addresses beyond the memory.
#include <vector>

#include "Vbp_fetch.h"
#include "place.h"

enum { kDepth = 1024, kSlots = 10, kC = 16, kK = 144, kAct = 10 };

static uint16_t mem[4][kDepth][kSlots];
static uint16_t pixels[32][32][16][8];                     // [y][x][group][plane] of the map
static uint16_t pad[8];

static void fill(Tb &tb, const Map &m)
{
    for (auto &bank : mem)
        for (auto &word : bank)
            for (auto &slot : word) slot = (uint16_t)tb.next();
    for (int y = 0; y < m.h; y++)
        for (int x = 0; x < m.blocks() * 8; x++)
            for (int g = 0; g < m.groups; g++)
                for (int j = 0; j < m.planes; j++) {
                    uint16_t v = (uint16_t)tb.next();
                    auto *word = &mem[(y + g + j) & 3][m.base + (y >> 2) * m.row_stride + x / 8 * m.px_stride + g * m.planes + j];
                    if (x < m.w) pixels[y][x][g][j] = v;
                    word[0][1 + x % 8] = v;
                    if (x % 8 == 0 && x > 0) word[-m.px_stride][9] = v;
                    if (x % 8 == 7 && x / 8 + 1 < m.blocks()) word[m.px_stride][0] = v;
                }
}

// The window's 16 channels of tap (r, p) of lane q.
static uint16_t tap_of(const Map &m, const Kword &k, int y, int x, int plane, int q, int r, int p, uint16_t outside)
{
    int s = k.stride2 ? 2 : 1;
    int row = y * s + (k.group_mode ? 0 : k.oy + r), col = (x * 8 + q) * s + (k.group_mode ? 0 : k.ox + p);
    int group = k.group + (!k.group_mode ? 0 : k.repeat ? p : 3 * p + r);
    if (k.next && r > 0) plane++;
    if (k.group_mode && (p >= k.columns || group >= m.groups || plane >= m.planes)) return 0;
    if (row < 0 || row >= m.h || col < 0 || col >= m.w) return k.group_mode ? 0 : outside;
    return pixels[row][col][group][plane];
}

static int windows_of(const Map &m, const Kword &k) { return k.next ? (m.planes + 1) / 2 : m.planes; }

struct Job { Kword k; int y, x; bool first, last; };

static void check_window(Tb &tb, const Vbp_fetch *top, const Map &m, const Job &j, int n, bool pool, bool is_signed)
{
    int plane = pool ? m.planes - 1 - n : j.k.next ? 2 * n : n;
    uint16_t outside = pool ? (is_signed && n == 0 ? 0xffff : 0) : m.raw ? pad[plane] : 0;
    for (int q = 0; q < 8; q++)
        for (int r = 0; r < 3; r++)
            for (int p = 0; p < 3; p++)
                tb.expect("tap", (int64_t)tb_get(top->window_o, q * kK + (3 * r + p) * kC, kC),
                          tap_of(m, j.k, j.y, j.x, plane, q, r, p, outside));
    uint64_t ctl = top->window_ctl_o;
    tb.expect("coefficient", ctl & 0xffff, j.k.coef + n * j.k.wn);
    tb.expect("weight", ctl >> 16 & 0xffff, j.k.waddr);
    tb.expect("planes", ctl >> 32 & 15, j.k.wn);
    tb.expect("last", ctl >> 36 & 1, j.last && n == windows_of(m, j.k) - 1);
    tb.expect("first", ctl >> 37 & 1, j.first && n == 0);
    tb.expect("single", ctl >> 38 & 1, j.k.wn == 1 && j.last && n == windows_of(m, j.k) - 1);
}

static void run_map(Tb &tb, Vbp_fetch *top)
{
    Map m = random_map(tb);
    while (m.base + m.h / 4 * m.row_stride + m.row_stride >= kDepth) m = random_map(tb);
    bool pool = tb.chance(20), is_signed = pool && tb.chance(50);
    fill(tb, m);
    std::vector<Job> jobs(40);
    for (auto &j : jobs) {
        j.k = random_kword(tb, m);
        j.k.group_mode &= !pool;
        j.k.repeat &= !pool;
        j.k.next &= !pool;
        j.y = tb.below(m.h + 2), j.x = tb.below(m.blocks() + 1);
        j.first = tb.chance(50), j.last = tb.chance(50);
    }
    for (int i = 0; i < 8; i++) pad[i] = (uint16_t)tb.next(), tb_put(top->pad_i, 16 * i, 16, pad[i]);
    top->pool_i = pool, top->signed_i = is_signed;
    size_t at = 0, done = 0;
    int window = 0, reads = 0, wanted = 0;
    uint64_t address = 0;
    bool arrive = false;
    for (int cycle = 0; cycle < 40000 && done < jobs.size(); cycle++) {
        top->clear_i = cycle == 0;
        top->valid_i = cycle > 0 && at < jobs.size() && tb.chance(90);
        if (at < jobs.size()) {
            Place p = place_of(m, jobs[at].k, jobs[at].y, jobs[at].x);
            p.tile_first = jobs[at].first, p.tile_last = jobs[at].last;
            p.pack(top->place_i);
        }
        if (arrive)
            for (int b = 0; b < 4; b++)
                for (int s = 0; s < kSlots; s++)
                    tb_put(top->act_rdata_i, (b * kSlots + s) * kC, kC, mem[b][address >> (10 * b) & 1023][s]);
        top->window_take_i = 0;
        tb_settle(top);
        top->window_take_i = top->window_valid_o && tb.chance(60);
        tb_settle(top);
        tb.expect("error", top->error_o, 0);
        if (top->window_valid_o) check_window(tb, top, m, jobs[done], window, pool, is_signed);
        if (top->window_take_i && ++window == windows_of(m, jobs[done].k)) window = 0, done++;
        reads += top->read_o;
        arrive = top->act_re_o;
        if (arrive) address = top->act_raddr_o;
        if (top->valid_i && top->ready_o) {
            wanted += windows_of(m, jobs[at].k) * (int)place_of(m, jobs[at].k, 0, 0).parts;
            at++;
        }
        tb_edge(top);
    }
    tb.expect("windows", (int64_t)done, (int64_t)jobs.size());
    tb.expect("reads", reads, wanted);
}

static void run_beyond(Tb &tb, Vbp_fetch *top)
{
    Map m = { kDepth - 2, 8, 4, 4, 4, 8, 1, false };
    Kword k = {};
    k.wn = 1, k.ox = -1;
    top->clear_i = 1, top->valid_i = 0, top->pool_i = 0, top->window_take_i = 0;
    tb_settle(top);
    tb_edge(top);
    top->clear_i = 0, top->valid_i = 1, top->window_take_i = 1;
    place_of(m, k, 0, 0).pack(top->place_i);
    int error = 0;
    for (int i = 0; i < 10; i++) {
        top->window_take_i = 0;
        tb_settle(top);
        top->window_take_i = top->window_valid_o;
        tb_settle(top);
        if (top->error_o) error = top->error_o;
        tb_edge(top);
    }
    tb.expect("address beyond the memory", error, kAct);
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_fetch;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
    for (int i = 0; i < 60; i++) run_map(tb, top);
    run_beyond(tb, top);
    delete top;
    return tb.done("fetch");
}
