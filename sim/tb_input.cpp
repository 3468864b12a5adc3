// bp_input against the definition of a raw image's plane words: every word once, with bank,
// address and halo writes; images too small, bad descriptors, addresses beyond the memory; the next image ahead, beside an
// engine that writes when it likes.
#include <map>
#include <vector>

#include "Vbp_input.h"
#include "tb.h"

enum { kDepth = 1024, kOk = 0, kOp = 4, kAct = 10, kIo = 11 };

struct Image {
    int c, p, h, w, base, row, px;
    std::vector<uint8_t> bytes;

    int planes() const { return 8 / p; }
    int blocks() const { return (w + 7) / 8; }
    int addr(int y, int xb, int j) const { return base + (y >> 2) * row + xb * px + j; }
    // Bit of slot s of pixel q of block xb.
    int bit(int y, int xb, int j, int q, int s) const
    {
        int cs = 16 / p, ch = s % cs, x = xb * 8 + q;
        if (x >= w || ch >= c) return 0;
        return bytes[(y * w + x) * c + ch] >> (j * p + s / cs) & 1;
    }
};

static void set_layer(Vbp_input *top, const Image &m)
{
    memset(&top->layer_i, 0, 32);
    memset(&top->map_i, 0, 16);
    top->layer_i[0] = 1;
    top->layer_i[1] = (uint32_t)m.h | (uint32_t)m.w << 16;
    top->layer_i[2] = (uint32_t)m.c | (uint32_t)m.p << 16;
    top->layer_i[3] = 1;
    top->map_i[0] = (uint32_t)m.base | (uint32_t)m.row << 16;
    top->map_i[1] = (uint32_t)m.px;
}

static Image random_image(Tb &tb)
{
    Image m;
    m.c = 1 + tb.below(16);
    m.p = m.c <= 2 ? 8 : m.c <= 4 ? 4 : m.c <= 8 ? 2 : 1;
    while (m.p > 1 && tb.chance(20)) m.p /= 2;
    m.h = 1 + tb.below(12);
    m.w = 1 + tb.below(30);
    m.base = tb.below(100);
    m.px = m.planes();
    m.row = m.px * m.blocks();
    m.bytes.resize(m.h * m.w * m.c);
    for (auto &b : m.bytes) b = (uint8_t)tb.next();
    return m;
}

// One INPUT layer; result: the error code, -1 when it did not end.
static int unpack(Tb &tb, Vbp_input *top, const Image &m, size_t bytes, bool check, bool part = false, bool ahead = false)
{
    size_t beat = 0, beats = (bytes + 7) / 8;
    int words = 0, result = -1, start = ahead ? 3 + tb.below(3 * (int)bytes) : 2;
    bool seen = false;
    if (!ahead) set_layer(top, m);
    else memset(&top->layer_i, 0x52, 32);                  // some other layer runs
    top->layer_i[0] |= part ? 1 << 12 : 0;
    top->bytes_i = bytes;
    top->rst_ni = 1;
    for (int cycle = 0; cycle < 50000 && result < 0; cycle++) {
        top->clear_i = cycle == 0 && !ahead;
        top->again_i = cycle == 0 && ahead;
        top->hold_i = ahead && cycle < start - 2 && tb.chance(40);
        top->enable_i = cycle > 0;
        top->start_i = cycle == start;
        if (ahead && cycle == start - 1) set_layer(top, m);
        top->beat_valid_i = cycle > 0 && beat < beats && tb.chance(70);
        uint64_t data = 0;
        for (size_t i = 0; i < 8 && beat * 8 + i < m.bytes.size(); i++)
            data |= (uint64_t)m.bytes[beat * 8 + i] << (8 * i);
        top->beat_data_i = data;
        tb_settle(top);
        if (top->we_o && !top->hold_i && check) {
            int j = words % m.planes(), xb = words / m.planes() % m.blocks();
            int y = words / m.planes() / m.blocks();
            tb.expect("bank", top->bank_o, (y + j) & 3);
            tb.expect("address", top->addr_o, m.addr(y, xb, j));
            tb.expect("left halo", top->left_we_o, xb > 0);
            tb.expect("right halo", top->right_we_o, xb + 1 < m.blocks());
            if (xb > 0) tb.expect("left address", top->left_addr_o, m.addr(y, xb - 1, j));
            if (xb + 1 < m.blocks()) tb.expect("right address", top->right_addr_o, m.addr(y, xb + 1, j));
            for (int q = 0; q < 8 && xb * 8 + q < m.w; q++)
                for (int s = 0; s < 16; s++) {
                    int n = q * 16 + s;
                    tb.expect("bit", top->data_o[n / 32] >> (n % 32) & 1, m.bit(y, xb, j, q, s));
                }
            words++;
        }
        seen |= cycle < start && top->done_o;
        if (cycle > start && top->done_o) result = top->error_o;
        beat += top->beat_valid_i && top->beat_ready_o;
        tb_edge(top);
    }
    if (check) tb.expect("words", words, m.h * m.blocks() * m.planes());
    tb.expect("done before the layer", seen, 0);
    return result;
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_input;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    for (int i = 0; i < 100; i++) {
        Image m = random_image(tb);
        tb.expect("good", unpack(tb, top, m, m.bytes.size(), true), kOk);
        for (int next = 0; next < 2; next++) {
            for (auto &b : m.bytes) b = (uint8_t)tb.next();
            tb.expect("ahead", unpack(tb, top, m, m.bytes.size(), true, false, true), kOk);
        }
        tb.expect("image too small", unpack(tb, top, m, m.bytes.size() - 1, false), kIo);
        tb.expect("image too large", unpack(tb, top, m, m.bytes.size() + 1, false), kIo);
        tb.expect("part of the image", unpack(tb, top, m, m.bytes.size() + 1, true, true), kOk);
        tb.expect("all but more to come", unpack(tb, top, m, m.bytes.size(), false, true), kIo);
        Image bad = m;
        bad.base = kDepth - 1 - m.px * tb.below(2);
        bad.row = kDepth;
        bad.h = m.h + 4;
        bad.bytes.resize(bad.h * bad.w * bad.c);
        tb.expect("address", unpack(tb, top, bad, bad.bytes.size(), false), kAct);
        bad = m;
        if (i % 4 == 0) bad.c = i % 8 ? 0 : 17;
        if (i % 4 == 1) bad.p = i % 8 == 1 ? 3 : 16;
        if (i % 4 == 2) bad.h = 1024;
        if (i % 4 == 3) bad.w = 0;
        tb.expect("descriptor", unpack(tb, top, bad, m.bytes.size(), false), kOp);
    }
    delete top;
    return tb.done("input");
}
