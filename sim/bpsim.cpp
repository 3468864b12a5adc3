// bpsim: see bpsim.h. The verilated top, the memory model and an AXI4-Lite master in C++.
#include "bpsim.h"

#include <sys/mman.h>

#include <cstring>
#include <memory>

#include "Vbp_kernel.h"
#include "ddr.h"
#include "host/accel/program.h"
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

#ifndef BPSIM_RTL_HASH
#define BPSIM_RTL_HASH "unknown"
#endif
#ifndef BPSIM_BURST_BEATS
#define BPSIM_BURST_BEATS 16
#endif

static const uint64_t kPage = 4096;

struct bpsim {
    VerilatedContext context;
    std::unique_ptr<Vbp_kernel> top;
    std::unique_ptr<Ddr> ddr;
    uint8_t *mem = nullptr;
    uint64_t mem_bytes = 0, now = 0;
    uint64_t io_base = 0;      // behind program and weights
    uint64_t scratch = 0;      // OUTPUT window of a program with scratch
    uint32_t shadow[1024] = {};// what was poked: the windows of the next start
#if VM_TRACE
    std::unique_ptr<VerilatedFstC> fst;
#endif
};

static void drive(struct bpsim *sim)
{
    const DdrOut &o = sim->ddr->out();
    Vbp_kernel *t = sim->top.get();
    t->m_axi_gmem_arready = o.arready;
    t->m_axi_gmem_rvalid = o.rvalid;
    t->m_axi_gmem_rdata = o.rdata;
    t->m_axi_gmem_rresp = o.rresp;
    t->m_axi_gmem_rlast = o.rlast;
    t->m_axi_gmem_awready = o.awready;
    t->m_axi_gmem_wready = o.wready;
    t->m_axi_gmem_bvalid = o.bvalid;
    t->m_axi_gmem_bresp = o.bresp;
}

// The first half of a cycle: inputs are set, outputs settle; finish() is the clock edge.
static void settle(struct bpsim *sim)
{
    sim->top->ap_clk = 0;
    sim->top->eval();
#if VM_TRACE
    if (sim->fst) sim->fst->dump(sim->now * 10);
#endif
}

static void finish(struct bpsim *sim)
{
    Vbp_kernel *t = sim->top.get();
    DdrIn in;
    in.arvalid = t->m_axi_gmem_arvalid;
    in.araddr = t->m_axi_gmem_araddr;
    in.arlen = t->m_axi_gmem_arlen;
    in.rready = t->m_axi_gmem_rready;
    in.awvalid = t->m_axi_gmem_awvalid;
    in.awaddr = t->m_axi_gmem_awaddr;
    in.awlen = t->m_axi_gmem_awlen;
    in.wvalid = t->m_axi_gmem_wvalid;
    in.wdata = t->m_axi_gmem_wdata;
    in.wstrb = t->m_axi_gmem_wstrb;
    in.wlast = t->m_axi_gmem_wlast;
    in.bready = t->m_axi_gmem_bready;
    t->ap_clk = 1;
    t->eval();
#if VM_TRACE
    if (sim->fst) sim->fst->dump(sim->now * 10 + 5);
#endif
    if (t->ap_rst_n) sim->ddr->edge(in);
    drive(sim);
    sim->now++;
}

static void tick(struct bpsim *sim)
{
    settle(sim);
    finish(sim);
}

extern "C" struct bpsim *bpsim_open(const struct bpsim_options *opt)
{
#if !VM_TRACE
    if (opt->trace) return nullptr;
#endif
    auto *sim = new (std::nothrow) bpsim;
    if (!sim) return nullptr;
    sim->mem_bytes = opt->mem_bytes ? opt->mem_bytes : UINT64_C(16) << 20;
    void *mem = mmap(nullptr, sim->mem_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) {
        delete sim;
        return nullptr;
    }
    sim->mem = (uint8_t *)mem;

    // The same arithmetic as in host/accel/model_mem.c.
    double mhz = opt->clock_mhz > 0 ? opt->clock_mhz : 100;
    double rate = opt->port_gbytes_s > 0 ? opt->port_gbytes_s * 1000 / mhz : 8;
    if (rate > 8) rate = 8;
    Ddr::Timing timing;
    timing.read_latency = opt->read_latency > 0 ? opt->read_latency : 1;
    timing.write_latency = opt->write_latency > 0 ? opt->write_latency : 1;
    timing.rate_q16 = (uint32_t)(rate * 65536);
    timing.stall_seed = opt->stall_seed;
    timing.max_burst = BPSIM_BURST_BEATS;
    sim->ddr.reset(new Ddr(sim->mem, sim->mem_bytes, timing));
    sim->top.reset(new Vbp_kernel(&sim->context, "bp_kernel"));
#if VM_TRACE
    if (opt->trace) {
        sim->context.traceEverOn(true);
        sim->fst.reset(new VerilatedFstC);
        sim->top->trace(sim->fst.get(), 99);
        sim->fst->open(opt->trace);
    }
#endif
    bpsim_reset(sim);
    return sim;
}

extern "C" void bpsim_close(struct bpsim *sim)
{
    if (!sim) return;
    // Verilator takes a model's names out of the context of the calling thread, which may be that
    // of another device.
    Verilated::threadContextp(&sim->context);
    sim->top->final();
#if VM_TRACE
    if (sim->fst) sim->fst->close();
#endif
    munmap(sim->mem, sim->mem_bytes);
    delete sim;
    Verilated::threadContextp(Verilated::defaultContextp());
}

extern "C" void bpsim_reset(struct bpsim *sim)
{
    Vbp_kernel *t = sim->top.get();
    t->ap_rst_n = 0;
    t->s_axi_control_awvalid = 0;
    t->s_axi_control_wvalid = 0;
    t->s_axi_control_arvalid = 0;
    t->s_axi_control_bready = 1;
    t->s_axi_control_rready = 1;
    sim->ddr->reset();
    drive(sim);
    for (int i = 0; i < 4; i++) tick(sim);
    t->ap_rst_n = 1;
    bpsim_poke(sim, REG_GIE, 1);
    bpsim_poke(sim, REG_IER, 1);
}

static std::pair<uint64_t, uint64_t> window(const struct bpsim *sim, uint32_t reg, uint32_t size)
{
    auto word = [sim](uint32_t r) { return sim->shadow[r / 4] | (uint64_t)sim->shadow[r / 4 + 1] << 32; };
    return {word(reg), word(reg) + word(size)};
}

// A start may only touch its own windows.
static void snoop(struct bpsim *sim, uint32_t reg, uint32_t value)
{
    sim->shadow[reg % 4096 / 4] = value;
    if (reg != REG_CTRL || !(value & 1)) return;
    if (sim->shadow[REG_MODE / 4] & 1)
        sim->ddr->allow({window(sim, REG_PROGRAM, REG_PROGRAM_SIZE), window(sim, REG_WEIGHT, REG_WEIGHT_SIZE)});
    else
        sim->ddr->allow({window(sim, REG_INPUT, REG_INPUT_SIZE), window(sim, REG_OUTPUT, REG_OUTPUT_SIZE),
                         window(sim, REG_PROGRAM, REG_PROGRAM_SIZE)});
}

extern "C" void bpsim_poke(struct bpsim *sim, uint32_t reg, uint32_t value)
{
    Vbp_kernel *t = sim->top.get();
    snoop(sim, reg, value);
    t->s_axi_control_awvalid = 1;
    t->s_axi_control_awaddr = reg & 0xfff;
    t->s_axi_control_wvalid = 1;
    t->s_axi_control_wdata = value;
    t->s_axi_control_wstrb = 0xf;
    bool taken = false;
    while (!taken) {
        settle(sim);
        taken = t->s_axi_control_awready && t->s_axi_control_wready;
        finish(sim);
    }
    t->s_axi_control_awvalid = 0;
    t->s_axi_control_wvalid = 0;
}

extern "C" uint32_t bpsim_peek(struct bpsim *sim, uint32_t reg)
{
    Vbp_kernel *t = sim->top.get();
    t->s_axi_control_arvalid = 1;
    t->s_axi_control_araddr = reg & 0xfff;
    uint32_t value = 0;
    for (;;) {
        settle(sim);
        bool taken = t->s_axi_control_arvalid && t->s_axi_control_arready;
        bool valid = t->s_axi_control_rvalid;
        value = t->s_axi_control_rdata;
        finish(sim);
        if (taken) t->s_axi_control_arvalid = 0;
        if (valid) return value;
    }
}

extern "C" uint8_t *bpsim_mem(struct bpsim *sim) { return sim->mem; }
extern "C" uint64_t bpsim_mem_bytes(const struct bpsim *sim) { return sim->mem_bytes; }
extern "C" uint64_t bpsim_now(const struct bpsim *sim) { return sim->now; }
extern "C" const char *bpsim_rtl_hash(void) { return BPSIM_RTL_HASH; }

extern "C" void bpsim_tick(struct bpsim *sim, uint64_t cycles)
{
    while (cycles-- > 0) tick(sim);
}

extern "C" int bpsim_wait(struct bpsim *sim, uint64_t timeout)
{
    while (!sim->top->__SYM__interrupt) {
        if (timeout-- == 0) return -1;
        tick(sim);
    }
    bpsim_poke(sim, REG_ISR, 1);
    bpsim_peek(sim, REG_CTRL);                 // clears done
    return 0;
}

static void poke_window(struct bpsim *sim, uint32_t reg, uint32_t size_reg, uint64_t base,
                        uint64_t bytes)
{
    bpsim_poke(sim, reg, (uint32_t)base);
    bpsim_poke(sim, reg + 4, (uint32_t)(base >> 32));
    bpsim_poke(sim, size_reg, (uint32_t)bytes);
    bpsim_poke(sim, size_reg + 4, (uint32_t)(bytes >> 32));
}

static uint64_t page_up(uint64_t x) { return (x + kPage - 1) / kPage * kPage; }

// Generous: a device that has not ended by then never will.
static const uint64_t kTimeout = UINT64_C(1) << 32;

static int start(struct bpsim *sim, uint32_t mode, uint64_t *cycles)
{
    bpsim_poke(sim, REG_MODE, mode);
    bpsim_poke(sim, REG_CTRL, 1);
    if (bpsim_wait(sim, kTimeout) != 0) return -1;
    if (cycles)
        *cycles = (uint64_t)bpsim_peek(sim, REG_CYCLES + 4) << 32 | bpsim_peek(sim, REG_CYCLES);
    return (int)bpsim_peek(sim, REG_STATUS);
}

extern "C" int bpsim_load(struct bpsim *sim, const uint64_t *program, size_t program_words,
                          const uint64_t *weights, size_t weight_words64, uint64_t *cycles)
{
    uint64_t program_base = kPage;
    uint64_t weight_base = program_base + page_up(program_words * 8 + 1);
    uint64_t end = weight_base + page_up(weight_words64 * 8 + 1);
    if (end > sim->mem_bytes) return PROGRAM_ERR_SIZE;
    if (program_words) memcpy(sim->mem + program_base, program, program_words * 8);
    if (weight_words64) memcpy(sim->mem + weight_base, weights, weight_words64 * 8);
    poke_window(sim, REG_PROGRAM, REG_PROGRAM_SIZE, program_base, program_words * 8);
    poke_window(sim, REG_WEIGHT, REG_WEIGHT_SIZE, weight_base, weight_words64 * 8);
    sim->io_base = end;
    sim->scratch = program_words >= PROGRAM_HEADER_WORDS && program_scratch_pages(program) ? program_output_window(program, 1) : 0;
    return start(sim, 1, cycles);
}

static uint64_t beats_up(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

extern "C" int bpsim_run_images(struct bpsim *sim, const uint8_t *image, size_t image_bytes, uint32_t images,
                                int32_t *logits, size_t logit_bytes, uint64_t *cycles)
{
    uint64_t each_in = beats_up(image_bytes), each_out = beats_up(logit_bytes);
    uint64_t input_size = (images - 1) * each_in + image_bytes, input_base = sim->io_base ? sim->io_base : kPage;
    uint64_t output_base = input_base + page_up(input_size + 1);
    uint64_t window = sim->scratch ? sim->scratch : (images - 1) * each_out + logit_bytes;
    if (output_base + window > sim->mem_bytes || (sim->scratch && images * each_out > kPage)) return PROGRAM_ERR_IO;
    for (uint32_t i = 0; i < images; i++) memcpy(sim->mem + input_base + i * each_in, image + i * image_bytes, image_bytes);
    poke_window(sim, REG_INPUT, REG_INPUT_SIZE, input_base, input_size);
    poke_window(sim, REG_OUTPUT, REG_OUTPUT_SIZE, output_base, window);
    bpsim_poke(sim, REG_IMAGES, images);
    int status = start(sim, 0, cycles);
    for (uint32_t i = 0; i < images; i++) memcpy((uint8_t *)logits + i * logit_bytes, sim->mem + output_base + i * each_out, logit_bytes);
    return status;
}

extern "C" int bpsim_run(struct bpsim *sim, const uint8_t *image, size_t image_bytes,
                         int32_t *logits, size_t logit_bytes, uint64_t *cycles)
{
    return bpsim_run_images(sim, image, image_bytes, 1, logits, logit_bytes, cycles);
}

extern "C" void bpsim_fault(struct bpsim *sim, uint64_t first, uint64_t last)
{
    sim->ddr->fault(first, last);
}

extern "C" uint64_t bpsim_violations(const struct bpsim *sim, const char **what)
{
    if (what) *what = sim->ddr->violations() ? sim->ddr->violation().c_str() : nullptr;
    return sim->ddr->violations();
}
