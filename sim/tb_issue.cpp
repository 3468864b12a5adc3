// bp_issue: a window's planes in order, its addresses, the gaps between the ends of tiles and layers, and windows that are held.
#include "Vbp_issue.h"
#include "tb.h"

// window_t, the lowest first: coef 16, waddr 16, wn 4, last 1, first 1, single 1, layer_last 1.
static uint64_t window(int coef, int waddr, int wn, bool first, bool last, bool layer_last)
{
    return (uint64_t)coef | (uint64_t)waddr << 16 | (uint64_t)wn << 32 | (uint64_t)last << 36 | (uint64_t)first << 37 | (uint64_t)(wn == 1 && last) << 38 | (uint64_t)layer_last << 39;
}

int main(int argc, char **argv)
{
    Tb tb(argc, argv);
    auto *top = new Vbp_issue;
    int wn = 0, waddr = 0, coef = 0, plane = -1;           // -1: no window in the array
    bool have = false, first = true, last = false, in_last = false, layer_last = false, in_layer_last = false;
    int64_t end = -100;
    top->rst_ni = 0;
    tb_settle(top);
    tb_edge(top);
    top->rst_ni = 1;
    int gap = 4, end_gap = 9, keep = 0, busy_wn = 0, busy_waddr = 0, busy_coef = 0;
    for (int64_t cycle = 0; cycle < 40000; cycle++) {
        if (!have && tb.chance(70)) {
            have = true;
            wn = 1 + tb.below(tb.chance(50) ? 2 : 15), waddr = tb.below(1000), coef = tb.below(1000);
            last = tb.chance(40);
            layer_last = last && tb.chance(20);
        }
        bool hold = tb.chance(cycle / 10000 % 2 ? 30 : 0), ready = have && !hold;
        top->gap_i = gap;
        top->end_gap_i = end_gap;
        top->hold_i = hold;
        top->window_valid_i = have;
        top->window_i = window(coef, waddr, wn, first, last, layer_last);
        tb_settle(top);
        bool more = plane >= 0;
        bool final_plane = more ? plane == busy_wn - 1 && in_last : ready && wn == 1 && last;
        bool wait = final_plane && cycle < end + keep;
        bool valid = (more || ready) && !wait;
        tb.expect("valid", top->valid_o, valid);
        tb.expect("wait", top->wait_o, wait);
        tb.expect("take", top->window_take_o, valid && !more);
        if (valid) {
            tb.expect("first", top->first_o, !more && first);
            tb.expect("last", top->last_o, final_plane);
            tb.expect("end of the layer", top->end_o, final_plane && (more ? in_layer_last : layer_last));
            tb.expect("weight", top->waddr_o, more ? busy_waddr + plane : waddr);
            tb.expect("coefficient", top->coef_o, more ? busy_coef + plane : coef);
            if (!more) {
                busy_wn = wn, busy_waddr = waddr, busy_coef = coef, in_last = last, in_layer_last = layer_last, plane = 0;
                have = false, first = last;
            }
            if (++plane == busy_wn) plane = -1;
            if (final_plane) {
                end = cycle, keep = in_layer_last ? end_gap : gap;
                if (in_layer_last) gap = 1 + tb.below(8), end_gap = 1 + tb.below(15);
            }
        }
        tb_edge(top);
    }
    delete top;
    return tb.done("issue");
}
