// bp_output and bp_axi_write against the memory model: any count of logits, several images of which one is written while the next
// is collected, bytes around the results untouched, wrong counts reported.
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
        int logits = 1 + (round % 4 ? tb.below(40) : tb.below(1024)), beats = (logits + 1) / 2;
        int images = 1 + round % 5, wrong = round % 9 == 8 ? (tb.below(2) && beats > 1 ? -1 : 1) : 0;
        if (wrong) images = 1;
        int image = -1, sent = 0, written = 0;             // the image that is collected; its beats; results written
        bool counted = false, done = false;
        uint64_t addr = (uint64_t)tb.below(3000) * 8, each = (uint64_t)beats * 8;
        if (addr + images * each > kBytes) addr = 0;
        std::vector<uint64_t> data(images * beats + 2);
        for (auto &d : data) d = tb.next();
        top->rst_ni = 0;
        for (int cycle = 0; cycle < 60000 && !done; cycle++) {
            top->rst_ni = cycle >= 2;
            top->bytes_i = logits * 4;
            const DdrOut &o = ddr.out();
            top->awready_i = o.awready;
            top->wready_i = o.wready;
            top->bvalid_i = o.bvalid;
            top->bresp_i = o.bresp;
            tb_settle(top);
            bool all = image < 0 || sent == beats + wrong;
            top->start_i = cycle > 3 && all && !counted && top->got_last_o == (image >= 0) && (image < 0 || top->free_o) && image + 1 < images;
            top->stop_i = counted;
            top->addr_i = top->start_i ? addr + (image + 1) * each : tb.next();
            top->logit_valid_i = cycle > 4 && !all && tb.chance(70);
            top->logit_data_i = data[(image < 0 ? 0 : image * beats) + (all ? 0 : sent)];
            top->logit_last_i = sent == beats + wrong - 1;
            tb_settle(top);
            sent = top->start_i ? 0 : sent + (top->logit_valid_i && top->logit_ready_o);
            image += top->start_i;
            counted |= top->rst_ni && top->count_error_o;
            written += top->rst_ni && top->done_o;
            done = written == images || (counted && !top->busy_o);
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
        for (int i = 0; i < images && !wrong; i++)
            tb.expect("logits", memcmp(&mem[addr + i * each], data.data() + i * beats, logits * 4), 0);
        for (uint64_t i = 0; i < kBytes; i++) {
            uint64_t at = i - addr;
            bool result = i >= addr && at / each < (uint64_t)images && at % each < (uint64_t)logits * 4;
            if ((!result || wrong) && mem[i] != 0xa5) {
                tb.expect("byte outside the results", mem[i], 0xa5);
                break;
            }
        }
    }
    delete top;
    return tb.done("output");
}
