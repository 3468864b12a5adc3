// ddr: the memory behind the accelerator's AXI4 port. Deterministic: the first beat of a read
// comes read_latency cycles after its address was taken, beats leave in order, never faster than
// the bandwidth (16.16 fixed-point bytes a cycle, at most 16 bytes saved up). Outputs are
// registered: what the device shows in cycle t changes what it sees in t + 1.
#ifndef BITPRESS_DDR_H
#define BITPRESS_DDR_H

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

// Pins of the port as the device drives them (m2s) and sees them (s2m).
struct DdrIn {
    bool arvalid, rready, awvalid, wvalid, wlast, bready;
    uint64_t araddr, awaddr, wdata;
    uint8_t arlen, awlen, wstrb;
};
struct DdrOut {
    bool arready = true, rvalid = false, rlast = false, awready = true, wready = true, bvalid = false;
    uint64_t rdata = 0;
    uint8_t rresp = 0, bresp = 0;
};

class Ddr {
public:
    struct Timing {
        int read_latency, write_latency;
        uint32_t rate_q16;     // bytes a cycle, 16.16
        uint64_t stall_seed;
        int max_burst;
    };

    Ddr(uint8_t *mem, uint64_t bytes, const Timing &timing);
    void reset();
    // One clock edge: `in` are the device's pins before it.
    void edge(const DdrIn &in);
    const DdrOut &out() const { return out_; }

    void fault(uint64_t first, uint64_t last) { fault_first_ = first; fault_last_ = last; }
    void allow(const std::vector<std::pair<uint64_t, uint64_t>> &windows) { windows_ = windows; }
    uint64_t violations() const { return violations_; }
    const std::string &violation() const { return violation_; }

private:
    struct Burst { uint64_t addr; int beats; uint64_t due; };

    void check(const DdrIn &in);
    void check_window(uint64_t addr, bool write, uint8_t strb);
    void breach(const char *what, uint64_t addr);
    uint8_t response(uint64_t addr) const;
    bool stalled();
    void read_side(const DdrIn &in);
    void write_side(const DdrIn &in);

    uint8_t *mem_;
    uint64_t bytes_;
    Timing timing_;
    DdrOut out_;
    DdrIn last_ = {};
    uint64_t now_ = 0, random_ = 0;
    uint32_t read_credit_ = 0, write_credit_ = 0;
    std::deque<Burst> reads_;
    std::deque<Burst> writes_;
    std::deque<std::pair<uint64_t, uint8_t>> responses_;  // due, code
    uint8_t write_code_ = 0;
    uint64_t fault_first_ = 0, fault_last_ = 0;
    std::vector<std::pair<uint64_t, uint64_t>> windows_;
    uint64_t violations_ = 0;
    std::string violation_;
};

#endif
