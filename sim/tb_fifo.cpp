// bp_fifo against a queue: order, full, empty, clear.
#include <deque>

#include "Vbp_fifo.h"
#include "tb.h"

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_fifo;
    std::deque<uint64_t> want;
    top->rst_ni = 0;
    for (int cycle = 0; cycle < 20000; cycle++) {
        int phase = cycle / 500 % 4;                       // filling, draining, both, little
        top->rst_ni = cycle >= 2;
        top->clear_i = cycle >= 2 && tb.chance(1);
        top->valid_i = cycle >= 2 && tb.chance(phase == 1 ? 20 : 80);
        top->ready_i = cycle >= 2 && tb.chance(phase == 0 ? 20 : 80);
        top->data_i = tb.next();
        tb_settle(top);
        if (cycle >= 2) {
            tb.expect("valid", top->valid_o, !want.empty());
            tb.expect("ready", top->ready_o, want.size() < 64);
            if (!want.empty()) tb.expect("data", top->data_o, want.front());
        }
        bool push = top->valid_i && top->ready_o, pop = top->valid_o && top->ready_i;
        if (cycle >= 2 && pop) want.pop_front();
        if (cycle >= 2 && push) want.push_back(top->data_i);
        if (top->clear_i) want.clear();
        tb_edge(top);
    }
    delete top;
    return tb.done("fifo");
}
