// bp_axi_read against the memory model: every command's beats in order, flush, errors, 4 KB.
#include <vector>

#include "Vbp_axi_read.h"
#include "ddr.h"
#include "tb.h"

static const uint64_t kBytes = 1 << 16;

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_axi_read;
    std::vector<uint8_t> mem(kBytes + 8);
    for (auto &b : mem) b = (uint8_t)tb.next();
    for (int round = 0; round < 200; round++) {
        Ddr::Timing timing = {1 + tb.below(50), 1, (uint32_t)(1 + tb.below(8)) << 16,
                              round % 2 ? tb.next() : 0, 16};
        Ddr ddr(mem.data(), kBytes, timing);
        uint64_t addr = (uint64_t)tb.below(6000) * 8;
        int beats = 1 + tb.below(300), got = 0;
        bool flush = round % 5 == 4, fault = round % 7 == 6, error = false, started = false;
        int flush_at = 20 + tb.below(200), ready = 10 + tb.below(91);
        if (fault) ddr.fault(addr, addr + 8);
        top->rst_ni = 0;
        for (int cycle = 0; cycle < 20000; cycle++) {
            top->rst_ni = cycle >= 2;
            top->start_i = cycle == 3;
            top->addr_i = addr;
            top->beats_i = beats;
            top->flush_i = flush && cycle >= flush_at;
            top->ready_i = tb.chance(ready);
            const DdrOut &o = ddr.out();
            top->arready_i = o.arready;
            top->rvalid_i = o.rvalid;
            top->rdata_i = o.rdata;
            top->rresp_i = o.rresp;
            tb_settle(top);
            started |= top->start_i;
            error |= top->error_o;
            if (cycle > 3 && top->valid_o && top->ready_i && !top->flush_i) {
                uint64_t want;
                memcpy(&want, &mem[addr + 8 * got], 8);
                tb.expect("beat", top->data_o, want);
                got++;
            }
            bool over = cycle > 4 && started && !top->busy_o && !top->valid_o &&
                        (!flush || cycle > flush_at);
            DdrIn in = {};
            in.arvalid = top->arvalid_o;
            in.araddr = top->araddr_o;
            in.arlen = top->arlen_o;
            in.rready = top->rready_o;
            tb_edge(top);
            if (top->rst_ni) ddr.edge(in);
            if (over) break;
        }
        if (!flush) tb.expect("beats", got, beats);
        if (!flush) tb.expect("error", error, fault);
        tb.expect("busy at the end", top->busy_o, 0);
        tb.expect("AXI breaches", ddr.violations(), 0);
        if (ddr.violations()) printf("%s\n", ddr.violation().c_str());
    }
    delete top;
    return tb.done("axi_read");
}
