// ddr: see ddr.h.
#include "ddr.h"

#include <cstdio>
#include <cstring>

static const uint32_t kBeat = 8u << 16;        // bytes of a beat, 16.16
static const uint32_t kMostCredit = 16u << 16;
static const size_t kMostBursts = 8;           // outstanding in each direction

Ddr::Ddr(uint8_t *mem, uint64_t bytes, const Timing &timing)
    : mem_(mem), bytes_(bytes), timing_(timing), random_(timing.stall_seed)
{
    reset();
}

void Ddr::reset()
{
    out_ = DdrOut();
    last_ = DdrIn();
    reads_.clear();
    writes_.clear();
    responses_.clear();
    read_credit_ = write_credit_ = kMostCredit;
    write_code_ = 0;
}

void Ddr::breach(const char *what, uint64_t addr)
{
    if (violations_++ == 0) {
        char text[128];
        snprintf(text, sizeof text, "%s at 0x%llx", what, (unsigned long long)addr);
        violation_ = text;
    }
}

uint8_t Ddr::response(uint64_t addr) const
{
    if (addr > bytes_ - 8) return 3;
    return addr >= fault_first_ && addr < fault_last_ ? 2 : 0;
}

// True about every other time, with long runs, when random waits are wanted.
bool Ddr::stalled()
{
    if (timing_.stall_seed == 0) return false;
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return (random_ >> 20 & 3) == 0;
}

void Ddr::check_window(uint64_t addr, bool write, uint8_t strb)
{
    if (windows_.empty()) return;
    for (auto &w : windows_) {
        // reads come as whole words; writes have a strobe for each byte
        uint64_t end = write ? w.second : (w.second + 7) & ~UINT64_C(7);
        uint64_t size = write && strb == 0x0f ? 4 : 8;
        if (addr >= w.first && addr + size <= end) return;
    }
    breach(write ? "write outside the windows" : "read outside the windows", addr);
}

void Ddr::check(const DdrIn &in)
{
    if (in.arvalid && out_.arready) {
        uint64_t last = in.araddr + 8u * in.arlen;
        if (in.arlen + 1 > timing_.max_burst) breach("read burst too long", in.araddr);
        if (in.araddr >> 12 != last >> 12) breach("read burst crosses 4 KB", in.araddr);
        if (in.araddr & 7) breach("read not aligned", in.araddr);
    }
    if (in.awvalid && out_.awready) {
        uint64_t last = in.awaddr + 8u * in.awlen;
        if (in.awlen + 1 > timing_.max_burst) breach("write burst too long", in.awaddr);
        if (in.awaddr >> 12 != last >> 12) breach("write burst crosses 4 KB", in.awaddr);
        if (in.awaddr & 7) breach("write not aligned", in.awaddr);
    }
}

void Ddr::read_side(const DdrIn &in)
{
    if (in.arvalid && out_.arready)
        reads_.push_back({in.araddr, in.arlen + 1, now_ + timing_.read_latency});
    if (out_.rvalid && in.rready) out_.rvalid = false;
    read_credit_ += timing_.rate_q16;
    if (read_credit_ > kMostCredit) read_credit_ = kMostCredit;
    if (!out_.rvalid && !reads_.empty() && reads_.front().due <= now_ + 1 &&
        read_credit_ >= kBeat && !stalled()) {
        Burst &b = reads_.front();
        check_window(b.addr, false, 0xff);
        out_.rvalid = true;
        out_.rresp = response(b.addr);
        out_.rlast = b.beats == 1;
        out_.rdata = 0;
        if (out_.rresp != 3) memcpy(&out_.rdata, mem_ + b.addr, 8);
        read_credit_ -= kBeat;
        b.addr += 8;
        if (--b.beats == 0) reads_.pop_front();
    }
    out_.arready = reads_.size() < kMostBursts && !stalled();
}

void Ddr::write_side(const DdrIn &in)
{
    if (in.awvalid && out_.awready) writes_.push_back({in.awaddr, in.awlen + 1, 0});
    if (in.wvalid && out_.wready) {
        write_credit_ -= kBeat;
        if (writes_.empty()) {
            breach("write data without an address", 0);
        } else {
            Burst &b = writes_.front();
            uint8_t code = response(b.addr);
            check_window(b.addr, true, in.wstrb);
            if (code == 0)
                for (int i = 0; i < 8; i++)
                    if (in.wstrb >> i & 1) mem_[b.addr + i] = in.wdata >> (8 * i) & 0xff;
            if (code > write_code_) write_code_ = code;
            b.addr += 8;
            if (in.wlast != (b.beats == 1)) breach("wlast in the wrong beat", b.addr);
            if (--b.beats == 0) {
                responses_.push_back({now_ + timing_.write_latency, write_code_});
                write_code_ = 0;
                writes_.pop_front();
            }
        }
    }
    if (out_.bvalid && in.bready) out_.bvalid = false;
    if (!out_.bvalid && !responses_.empty() && responses_.front().first <= now_ + 1 && !stalled()) {
        out_.bvalid = true;
        out_.bresp = responses_.front().second;
        responses_.pop_front();
    }
    write_credit_ += timing_.rate_q16;
    if (write_credit_ > kMostCredit) write_credit_ = kMostCredit;
    out_.awready = writes_.size() < kMostBursts && !stalled();
    out_.wready = write_credit_ >= kBeat && !stalled();
}

void Ddr::edge(const DdrIn &in)
{
    // What was refused in the cycle before must be offered unchanged.
    if (last_.arvalid && (!in.arvalid || in.araddr != last_.araddr || in.arlen != last_.arlen))
        breach("read address withdrawn", last_.araddr);
    if (last_.awvalid && (!in.awvalid || in.awaddr != last_.awaddr || in.awlen != last_.awlen))
        breach("write address withdrawn", last_.awaddr);
    if (last_.wvalid && (!in.wvalid || in.wdata != last_.wdata || in.wstrb != last_.wstrb))
        breach("write data withdrawn", last_.awaddr);
    check(in);
    last_ = in;
    if (out_.arready) last_.arvalid = false;
    if (out_.awready) last_.awvalid = false;
    if (out_.wready) last_.wvalid = false;
    read_side(in);
    write_side(in);
    now_++;
}
