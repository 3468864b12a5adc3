// AXI4-Lite slave: the register map of docs/rtl/registers.md. Vitis ap_ctrl_hs control; a write is
// taken when address and data are both there, one transaction of each kind at a time.
module bp_regs #(
  parameter int unsigned M           = 16,
  parameter int unsigned N           = 8,
  parameter int unsigned K           = 144,
  parameter int unsigned ActDepth    = 1024,
  parameter int unsigned WeightDepth = 1024,
  parameter int unsigned CoefDepth   = 1024,
  parameter int unsigned ScaleDepth  = 512,
  parameter int unsigned KwordDepth  = 1024,
  parameter int unsigned LayerDepth  = 128,
  parameter int unsigned MapDepth    = 128,
  parameter int unsigned Hash        = 0
) (
  input  logic         clk_i,
  input  logic         rst_ni,

  input  logic         awvalid_i,
  output logic         awready_o,
  input  logic [11:0]  awaddr_i,
  input  logic         wvalid_i,
  output logic         wready_o,
  input  logic [31:0]  wdata_i,
  input  logic [3:0]   wstrb_i,
  output logic         bvalid_o,
  input  logic         bready_i,
  input  logic         arvalid_i,
  output logic         arready_o,
  input  logic [11:0]  araddr_i,
  output logic         rvalid_o,
  input  logic         rready_i,
  output logic [31:0]  rdata_o,
  output logic         interrupt_o,

  output logic         start_o,         // pulse in the cycle of the write
  output logic         mode_load_o,
  output logic         abort_o,         // pulse
  output logic [31:0]  limit_o,
  output logic [31:0]  images_o,
  output logic [63:0]  program_addr_o,
  output logic [63:0]  program_size_o,
  output logic [63:0]  weight_addr_o,
  output logic [63:0]  weight_size_o,
  output logic [63:0]  input_addr_o,
  output logic [63:0]  input_size_o,
  output logic [63:0]  output_addr_o,
  output logic [63:0]  output_size_o,

  input  logic         busy_i,
  input  logic         done_i,          // pulse
  input  logic [7:0]   status_i,
  input  logic [15:0]  error_layer_i,
  input  logic [63:0]  cycles_i,
  input  logic [31:0]  run_cycles_i,    // cycles the counters saw
  input  logic [32*2*bp_shell_pkg::NumUnits-1:0] counters_i,  // {stall, run} of each unit

  input  logic         layer_we_i,
  input  logic [7:0]   layer_waddr_i,
  input  logic [31:0]  layer_cycles_i
);

  localparam int unsigned NumUnits = bp_shell_pkg::NumUnits;

  // ---- writes ----
  logic write;
  logic [31:0] mask;

  assign write = awvalid_i & wvalid_i & ~bvalid_o;
  assign awready_o = write;
  assign wready_o = write;
  assign mask = {{8{wstrb_i[3]}}, {8{wstrb_i[2]}}, {8{wstrb_i[1]}}, {8{wstrb_i[0]}}};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) bvalid_o <= 1'b0;
    else if (write) bvalid_o <= 1'b1;
    else if (bready_i) bvalid_o <= 1'b0;
  end

  logic wr_ctrl, wr_abort;
  assign wr_ctrl = write && awaddr_i == bp_shell_pkg::RegCtrl && wstrb_i[0];
  assign wr_abort = write && awaddr_i == bp_shell_pkg::RegAbort && wstrb_i[0];
  assign start_o = wr_ctrl && wdata_i[0] && !busy_i;
  assign abort_o = wr_abort && wdata_i[0];

  // Windows, limit and images stay as they are while a start is running.
  logic [31:0] win_q [16];
  logic [31:0] limit_q, images_q;
  logic        mode_q, gie_q;
  logic [1:0]  ier_q, isr_q;
  logic        done_q, ready_q, over_q;

  for (genvar i = 0; i < 16; i++) begin : gen_win
    localparam int unsigned Pair = (i / 2) % 2;          // address or size
    localparam int unsigned Win = i / 4;
    localparam logic [11:0] Base =
        (Win == 0) ? (Pair == 0 ? bp_shell_pkg::RegProgram : bp_shell_pkg::RegProgramSize) :
        (Win == 1) ? (Pair == 0 ? bp_shell_pkg::RegWeight : bp_shell_pkg::RegWeightSize) :
        (Win == 2) ? (Pair == 0 ? bp_shell_pkg::RegInput : bp_shell_pkg::RegInputSize) :
                     (Pair == 0 ? bp_shell_pkg::RegOutput : bp_shell_pkg::RegOutputSize);
    localparam logic [11:0] Addr = Base + 12'(4 * (i % 2));
    always_ff @(posedge clk_i) begin
      if (!rst_ni) win_q[i] <= '0;
      else if (write && awaddr_i == Addr && !busy_i)
        win_q[i] <= (win_q[i] & ~mask) | (wdata_i & mask);
    end
  end

  assign program_addr_o = {win_q[1], win_q[0]};
  assign program_size_o = {win_q[3], win_q[2]};
  assign weight_addr_o  = {win_q[5], win_q[4]};
  assign weight_size_o  = {win_q[7], win_q[6]};
  assign input_addr_o   = {win_q[9], win_q[8]};
  assign input_size_o   = {win_q[11], win_q[10]};
  assign output_addr_o  = {win_q[13], win_q[12]};
  assign output_size_o  = {win_q[15], win_q[14]};
  assign mode_load_o    = mode_q;
  assign limit_o        = limit_q;
  assign images_o       = images_q;

  // ---- reads ----
  logic        read, rd_ctrl, rd_wait_q;
  logic [11:0] raddr_q;
  logic [31:0] rdata_d, rdata_q, layer_q;
  logic [31:0] layer_mem [256];

  assign arready_o = ~rd_wait_q & ~rvalid_o;
  assign read = arvalid_i & arready_o;
  assign rd_ctrl = rd_wait_q && raddr_q == bp_shell_pkg::RegCtrl;

  always_ff @(posedge clk_i) begin
    if (layer_we_i) layer_mem[layer_waddr_i] <= layer_cycles_i;
    layer_q <= layer_mem[araddr_i[9:2]];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      rd_wait_q <= 1'b0;
      rvalid_o  <= 1'b0;
    end else begin
      rd_wait_q <= read;
      if (rd_wait_q) rvalid_o <= 1'b1;
      else if (rready_i) rvalid_o <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (read) raddr_q <= araddr_i;
    if (rd_wait_q) rdata_q <= (raddr_q[11:10] == 2'b01) ? layer_q : rdata_d;
  end
  assign rdata_o = rdata_q;

  // ---- done, interrupt ----
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      done_q  <= 1'b0;
      ready_q <= 1'b0;
      over_q  <= 1'b0;
      isr_q   <= '0;
      ier_q   <= '0;
      gie_q   <= 1'b0;
      mode_q  <= 1'b0;
      limit_q <= '0;
      images_q <= '0;
    end else begin
      over_q <= done_i;                        // what ends a start is known late in its cycle
      if (start_o || (rd_ctrl && !over_q)) begin
        done_q  <= 1'b0;
        ready_q <= 1'b0;
      end else if (over_q) begin
        done_q  <= 1'b1;
        ready_q <= 1'b1;
      end
      if (over_q) isr_q <= isr_q | ier_q;
      else if (write && awaddr_i == bp_shell_pkg::RegIsr && wstrb_i[0])
        isr_q <= isr_q ^ wdata_i[1:0];   // toggled by ones
      if (write && awaddr_i == bp_shell_pkg::RegGie && wstrb_i[0]) gie_q <= wdata_i[0];
      if (write && awaddr_i == bp_shell_pkg::RegIer && wstrb_i[0]) ier_q <= wdata_i[1:0];
      if (write && awaddr_i == bp_shell_pkg::RegMode && wstrb_i[0] && !busy_i)
        mode_q <= wdata_i[0];
      if (write && awaddr_i == bp_shell_pkg::RegLimit && !busy_i)
        limit_q <= (limit_q & ~mask) | (wdata_i & mask);
      if (write && awaddr_i == bp_shell_pkg::RegImages && !busy_i)
        images_q <= (images_q & ~mask) | (wdata_i & mask);
    end
  end
  assign interrupt_o = gie_q & (isr_q != '0);

  // ---- read data ----
  // Counter registers: run, stall, idle of each unit; idle is what is left.
  logic [31:0] count_rd [3*NumUnits];
  for (genvar u = 0; u < NumUnits; u++) begin : gen_count
    assign count_rd[3*u]   = counters_i[64*u +: 32];
    assign count_rd[3*u+1] = counters_i[64*u+32 +: 32];
    assign count_rd[3*u+2] = run_cycles_i - counters_i[64*u +: 32] - counters_i[64*u+32 +: 32];
  end
  logic [11:0] count_off;
  assign count_off = raddr_q - bp_shell_pkg::RegCounter;

  always_comb begin
    rdata_d = '0;
    unique case (raddr_q)
      bp_shell_pkg::RegCtrl:             rdata_d = {28'd0, ready_q, ~(busy_i | over_q), done_q, busy_i | over_q};
      bp_shell_pkg::RegGie:              rdata_d = {31'd0, gie_q};
      bp_shell_pkg::RegIer:              rdata_d = {30'd0, ier_q};
      bp_shell_pkg::RegIsr:              rdata_d = {30'd0, isr_q};
      bp_shell_pkg::RegMode:             rdata_d = {31'd0, mode_q};
      bp_shell_pkg::RegProgram:          rdata_d = win_q[0];
      bp_shell_pkg::RegProgram + 12'd4:  rdata_d = win_q[1];
      bp_shell_pkg::RegProgramSize:      rdata_d = win_q[2];
      bp_shell_pkg::RegProgramSize + 12'd4: rdata_d = win_q[3];
      bp_shell_pkg::RegWeight:           rdata_d = win_q[4];
      bp_shell_pkg::RegWeight + 12'd4:   rdata_d = win_q[5];
      bp_shell_pkg::RegWeightSize:       rdata_d = win_q[6];
      bp_shell_pkg::RegWeightSize + 12'd4: rdata_d = win_q[7];
      bp_shell_pkg::RegInput:            rdata_d = win_q[8];
      bp_shell_pkg::RegInput + 12'd4:    rdata_d = win_q[9];
      bp_shell_pkg::RegInputSize:        rdata_d = win_q[10];
      bp_shell_pkg::RegInputSize + 12'd4: rdata_d = win_q[11];
      bp_shell_pkg::RegOutput:           rdata_d = win_q[12];
      bp_shell_pkg::RegOutput + 12'd4:   rdata_d = win_q[13];
      bp_shell_pkg::RegOutputSize:       rdata_d = win_q[14];
      bp_shell_pkg::RegOutputSize + 12'd4: rdata_d = win_q[15];
      bp_shell_pkg::RegLimit:            rdata_d = limit_q;
      bp_shell_pkg::RegImages:           rdata_d = images_q;
      bp_shell_pkg::RegStatus:           rdata_d = {24'd0, status_i};
      bp_shell_pkg::RegErrorLayer:       rdata_d = {16'd0, error_layer_i};
      bp_shell_pkg::RegIdMagic:          rdata_d = bp_shell_pkg::IdMagic;
      bp_shell_pkg::RegIdVersion: rdata_d = {bp_shell_pkg::ProgramMajor, bp_shell_pkg::ProgramMinor};
      bp_shell_pkg::RegIdArray:          rdata_d = {16'(K), 8'(N), 8'(M)};
      bp_shell_pkg::RegIdAct:            rdata_d = 32'(ActDepth);
      bp_shell_pkg::RegIdWeight:         rdata_d = 32'(WeightDepth);
      bp_shell_pkg::RegIdCoef:           rdata_d = 32'(CoefDepth);
      bp_shell_pkg::RegIdScale:          rdata_d = 32'(ScaleDepth);
      bp_shell_pkg::RegIdKword:          rdata_d = 32'(KwordDepth);
      bp_shell_pkg::RegIdLayer:          rdata_d = 32'(LayerDepth);
      bp_shell_pkg::RegIdMap:            rdata_d = 32'(MapDepth);
      bp_shell_pkg::RegIdHash:           rdata_d = 32'(Hash);
      bp_shell_pkg::RegCycles:           rdata_d = cycles_i[31:0];
      bp_shell_pkg::RegCycles + 12'd4:   rdata_d = cycles_i[63:32];
      default: begin
        if (count_off < 12'(12 * NumUnits)) rdata_d = count_rd[count_off[5:2]];
      end
    endcase
  end

  logic unused;
  assign unused = ^{araddr_i[1:0], count_off[1:0]};

endmodule
