// bp_output and bp_axi_write against the memory model: any count of logits, bytes around the
// result untouched, wrong counts reported.
#include <vector>

#include "Vbp_output.h"
#include "ddr.h"
#include "tb.h"

static const uint64_t kBytes = 1 << 16;

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_output;
    for (int round = 0; round < 200; round++) {
        std::vector<uint8_t> mem(kBytes + 8, 0xa5);
        Ddr::Timing timing = {1, 1 + tb.below(40), (uint32_t)(1 + tb.below(8)) << 16,
                              round % 2 ? tb.next() : 0, 16};
        Ddr ddr(mem.data(), kBytes, timing);
        int logits = 1 + (round % 4 ? tb.below(40) : tb.below(1024)), beats = (logits + 1) / 2, sent = 0;
        int wrong = round % 9 == 8 ? (tb.below(2) && beats > 1 ? -1 : 1) : 0;
        bool counted = false, done = false;
        uint64_t addr = (uint64_t)tb.below(3000) * 8;
        std::vector<uint64_t> data(beats + 2);
        for (auto &d : data) d = tb.next();
        top->rst_ni = 0;
        for (int cycle = 0; cycle < 30000 && !done; cycle++) {
            top->rst_ni = cycle >= 2;
            top->start_i = cycle == 3;
            top->stop_i = counted;
            top->addr_i = addr;
            top->bytes_i = logits * 4;
            top->logit_valid_i = cycle > 4 && sent < beats + wrong && tb.chance(70);
            top->logit_data_i = data[sent < beats + wrong ? sent : 0];
            top->logit_last_i = sent == beats + wrong - 1;
            const DdrOut &o = ddr.out();
            top->awready_i = o.awready;
            top->wready_i = o.wready;
            top->bvalid_i = o.bvalid;
            top->bresp_i = o.bresp;
            tb_settle(top);
            sent += top->logit_valid_i && top->logit_ready_o;
            counted |= top->rst_ni && top->count_error_o;
            done = top->rst_ni && cycle > 4 && (top->done_o || (counted && !top->busy_o));
            DdrIn in = {};
            in.awvalid = top->awvalid_o;
            in.awaddr = top->awaddr_o;
            in.awlen = top->awlen_o;
            in.wvalid = top->wvalid_o;
            in.wdata = top->wdata_o;
            in.wstrb = top->wstrb_o;
            in.wlast = top->wlast_o;
            in.bready = top->bready_o;
            tb_edge(top);
            if (top->rst_ni) ddr.edge(in);
        }
        tb.expect("ended", done, 1);
        tb.expect("count error", counted, wrong != 0);
        tb.expect("AXI breaches", ddr.violations(), 0);
        if (ddr.violations()) printf("%s\n", ddr.violation().c_str());
        if (!wrong) tb.expect("logits", memcmp(&mem[addr], data.data(), logits * 4), 0);
        for (uint64_t i = 0; i < kBytes; i++)
            if ((i < addr || i >= addr + logits * 4 || wrong) && mem[i] != 0xa5) {
                tb.expect("byte outside the result", mem[i], 0xa5);
                break;
            }
    }
    delete top;
    return tb.done("output");
}
