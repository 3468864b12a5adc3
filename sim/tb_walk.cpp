// bp_walk: the places of random layers in their order, with waits, and the error of every bad field.
#include <vector>

#include "Vbp_walk.h"
#include "place.h"

enum { kMaps = 6, kKwords = 64, kMapErr = 5, kKwordErr = 6, kCoefErr = 7, kWeightErr = 9 };

static Map map[kMaps];
static Kword kword[kKwords];
static uint64_t map_word[kMaps][2], kword_word[kKwords][2];
static int in_map[kKwords];

static void put_map(int i)
{
    const Map &m = map[i];
    map_word[i][0] = (uint64_t)m.base | (uint64_t)m.row_stride << 16 | (uint64_t)m.px_stride << 32 | (uint64_t)m.planes << 48 |
                     (uint64_t)m.raw << 52 | (uint64_t)m.top << 53;
    map_word[i][1] = (uint64_t)m.h | (uint64_t)m.w << 16 | (uint64_t)m.groups << 32 | (uint64_t)m.left << 48;
}

static void put_kword(int i, bool last)
{
    const Kword &k = kword[i];
    uint64_t flags = (uint64_t)k.group_mode | (uint64_t)k.stride2 << 1 | (uint64_t)last << 2 | (uint64_t)k.repeat << 3 | (uint64_t)k.next << 4;
    kword_word[i][0] = (uint64_t)in_map[i] | flags << 8 | (uint64_t)k.wn << 16 | (uint64_t)k.columns << 24 | (uint64_t)k.group << 32 |
                       (uint64_t)(uint8_t)k.oy << 48 | (uint64_t)(uint8_t)k.ox << 56;
    kword_word[i][1] = (uint64_t)k.waddr | (uint64_t)k.coef << 16;
}

struct Layer { int op, count, rows, cols, first, source, oy, ox, planes; bool stride2; int row, block; };

static void put_layer(Vbp_walk *top, const Layer &l)
{
    for (int i = 0; i < 8; i++) top->layer_i[i] = 0;
    tb_put(top->layer_i, 0, 8, l.op);
    tb_put(top->layer_i, 32, 16, l.rows);
    tb_put(top->layer_i, 48, 16, l.cols);
    tb_put(top->layer_i, 64, 16, l.count);
    tb_put(top->layer_i, 80, 16, l.op == 2 ? l.first : l.source);
    tb_put(top->layer_i, 128, 8, (uint8_t)l.oy);           // S or the pool's offsets
    tb_put(top->layer_i, 136, 8, (uint8_t)l.ox);
    tb_put(top->layer_i, 144, 1, l.stride2);
    tb_put(top->layer_i, 176, 16, l.row);
    tb_put(top->layer_i, 248, 8, l.block);
    top->last_block_i = (l.cols - 1) / 8;
    top->out_planes_i = l.planes;
}

// Runs the layer; the first error, or 0 after all places.
static int run(Tb &tb, Vbp_walk *top, const Layer &l, const std::vector<Place> &want, bool check)
{
    uint32_t kw_addr = 0, map_addr = 0;
    size_t got = 0;
    put_layer(top, l);
    for (int t = 0; t < 30000 && (got < want.size() || !check); t++) {
        top->clear_i = t == 0;
        top->start_i = t == 1;
        top->ready_i = 0;
        for (int i = 0; i < 2; i++) {
            tb_put(top->kword_i, 64 * i, 64, kword_word[kw_addr % kKwords][i]);
            tb_put(top->map_i, 64 * i, 64, map_word[map_addr % kMaps][i]);
        }
        tb_settle(top);
        top->ready_i = top->valid_o && tb.chance(70);
        tb_settle(top);
        if (t > 1 && top->error_o) return top->error_o;
        if (t > 1 && top->ready_i && check) want[got].expect(tb, top->place_o);
        if (t > 1) got += top->ready_i;
        bool kre = top->kword_re_o, mre = top->map_re_o;
        uint32_t ka = top->kword_raddr_o, ma = top->map_raddr_o;
        tb_edge(top);
        if (kre) kw_addr = ka;
        if (mre) map_addr = ma;
        if (t > 2000 && !check) return 0;
    }
    tb.expect("places", (int64_t)got, (int64_t)want.size());
    return 0;
}

static void add(std::vector<Place> &want, const Map &m, const Kword &k, int y, int x, bool first, bool last)
{
    Place p = place_of(m, k, y, x);
    if (!want.empty()) want.back().layer_last = false;
    p.layer_last = true;
    p.tile_first = first, p.tile_last = last;
    want.push_back(p);
}

static void mac(Tb &tb, Vbp_walk *top)
{
    Layer l = { 2, 1 + tb.below(3), 1 + tb.below(6), 1 + tb.below(30), tb.below(8), 0, 0, 0, 1, false, tb.below(20), tb.below(6) };
    int k = l.first, blocks = (l.cols + 7) / 8;
    std::vector<Place> want;
    for (int g = 0; g < l.count; g++) {
        int list = k, n = 1 + tb.below(5);
        for (int i = 0; i < n; i++, k++) {
            in_map[k] = tb.below(kMaps);
            kword[k] = random_kword(tb, map[in_map[k]]);
            put_kword(k, i == n - 1);
        }
        for (int y = 0; y < l.rows; y++)
            for (int x = 0; x < blocks; x++)
                for (int i = 0; i < n; i++) add(want, map[in_map[list + i]], kword[list + i], l.row + y, l.block + x, i == 0, i == n - 1);
    }
    tb.expect("no error", run(tb, top, l, want, true), 0);

    int bad = l.first + tb.below(k - l.first), error = kKwordErr;
    Kword good = kword[bad];
    bool last = kword_word[bad][0] >> 10 & 1;
    int good_map = in_map[bad];
    switch (tb.below(9)) {
    case 0: kword[bad].wn = tb.chance(50) ? 0 : 16; break;
    case 1: kword[bad].group_mode = true, kword[bad].next = false, kword[bad].columns = tb.chance(50) ? 0 : 4; break;
    case 2: kword[bad].group = map[in_map[bad]].groups; break;
    case 3: in_map[bad] = kMaps, error = kMapErr; break;
    case 4: kword[bad].coef = 40000, error = kCoefErr; break;
    case 5: kword[bad].waddr = 40000, error = kWeightErr; break;
    case 6: kword[bad].group_mode = false, kword[bad].repeat = true; break;
    case 7: kword[bad].repeat = false, kword[bad].next = true; break;
    default: top->n_kword_i = bad; break;
    }
    put_kword(bad, last);
    tb.expect("bad K-word", run(tb, top, l, want, false), error);
    kword[bad] = good, in_map[bad] = good_map;
    put_kword(bad, last);
    top->n_kword_i = kKwords;
}

static void pool(Tb &tb, Vbp_walk *top)
{
    int source = tb.below(kMaps);
    const Map &m = map[source];
    Layer l = { 3, 1 + tb.below(m.groups), 1 + tb.below(6), 1 + tb.below(20), 0, source, -tb.below(3), -tb.below(3), m.planes,
                tb.chance(50), tb.below(20), tb.below(6) };
    std::vector<Place> want;
    for (int g = 0; g < l.count; g++)
        for (int y = 0; y < l.rows; y++)
            for (int x = 0; x < (l.cols + 7) / 8; x++) {
                Kword k = {};
                k.stride2 = l.stride2, k.group = g, k.oy = l.oy, k.ox = l.ox, k.wn = 1;
                add(want, m, k, l.row + y, l.block + x, true, true);
            }
    tb.expect("no error", run(tb, top, l, want, true), 0);
    l.planes = m.planes % 8 + 1;
    tb.expect("other planes", run(tb, top, l, want, false), kMapErr);
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_walk;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
    top->n_map_i = kMaps, top->n_kword_i = kKwords, top->n_coef_i = 1000, top->n_weight_i = 1000;
    for (int i = 0; i < 250; i++) {
        for (int j = 0; j < kMaps; j++) {
            map[j] = random_map(tb);
            if (tb.chance(50)) map[j].top = tb.below(20), map[j].left = tb.below(6);
            put_map(j);
        }
        mac(tb, top);
        pool(tb, top);
    }
    delete top;
    return tb.done("walk");
}
