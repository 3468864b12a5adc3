// AXI4 read master: one command (address, beats) at a time becomes INCR bursts that never cross
// 4 KB and never exceed BurstBeats; data leaves as a stream of 64-bit beats, in order.
// A burst is only asked for when the FIFO has room for it, so RREADY is always high.
// `flush_i` (held) stops new bursts and throws away what still arrives; busy_o falls when the
// bus owes nothing any more.
module bp_axi_read #(
  parameter int unsigned BurstBeats = 16,
  parameter int unsigned FifoDepth  = 64
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        start_i,    // only while asked_o
  input  logic [63:0] addr_i,     // 8-byte aligned
  input  logic [31:0] beats_i,
  input  logic        flush_i,
  output logic        asked_o,    // no burst of the command is to come; its beats may be
  output logic        busy_o,
  output logic        error_o,    // pulse: SLVERR or DECERR

  output logic        valid_o,
  input  logic        ready_i,
  output logic [63:0] data_o,

  output logic        arvalid_o,
  input  logic        arready_i,
  output logic [63:0] araddr_o,
  output logic [7:0]  arlen_o,
  input  logic        rvalid_i,
  output logic        rready_o,
  input  logic [63:0] rdata_i,
  input  logic [1:0]  rresp_i
);

  localparam int unsigned CntW = $clog2(FifoDepth) + 1;

  if (BurstBeats > FifoDepth || BurstBeats > 256) begin : gen_check
    $error("bp_axi_read: a burst must fit the FIFO and AXI's 256 beats");
  end

  logic [63:0] addr_q;
  logic [31:0] left_q;        // beats not yet asked for
  logic        ar_valid_q;
  logic [63:0] ar_addr_q;
  logic [7:0]  ar_len_q;
  logic [CntW-1:0] owed_q;    // beats asked for that have not arrived
  logic [CntW-1:0] held_q;    // beats asked for that have not left the FIFO

  logic [9:0] boundary, len;
  logic issue, arrive, pop, fifo_ready, many_q, some;

  // The longest burst from here: to the end, the burst limit or the 4 KB boundary. Of left_q the low bits count unless a
  // cycle ago there were several bursts more than they can hold.
  assign boundary = 10'd512 - {1'b0, addr_q[11:3]};
  always_comb begin
    len = 10'(BurstBeats);
    if (boundary < len) len = boundary;
    if (!many_q && left_q[9:0] < len) len = left_q[9:0];
  end
  assign some = many_q || left_q[9:0] != '0;

  assign issue = (!ar_valid_q || arready_i) && some && !flush_i &&
                 held_q <= CntW'(FifoDepth - BurstBeats);
  assign arrive = rvalid_i & rready_o;
  assign pop = valid_o & ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ar_valid_q <= 1'b0;
      left_q     <= '0;
      many_q     <= 1'b0;
      owed_q     <= '0;
      held_q     <= '0;
    end else begin
      if (start_i) begin
        left_q <= beats_i;
      end else if (flush_i) begin
        left_q <= '0;
      end else if (issue) begin
        left_q <= left_q - 32'(len);
      end
      many_q <= start_i ? beats_i[31:9] != '0 : left_q[31:9] != '0 && !flush_i;
      if (issue) ar_valid_q <= 1'b1;
      else if (arready_i) ar_valid_q <= 1'b0;
      owed_q <= owed_q + (issue ? CntW'(len) : '0) - CntW'(arrive);
      if (flush_i) held_q <= owed_q - CntW'(arrive);
      else held_q <= held_q + (issue ? CntW'(len) : '0) - CntW'(pop);
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) addr_q <= addr_i;
    else if (issue) addr_q <= addr_q + {51'd0, len, 3'd0};
    if (issue) begin
      ar_addr_q <= addr_q;
      ar_len_q  <= 8'(len - 10'd1);
    end
  end

  bp_fifo #(
    .Width(64),
    .Depth(FifoDepth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .clear_i(flush_i),
    .valid_i(rvalid_i & !flush_i),
    .ready_o(fifo_ready),
    .data_i (rdata_i),
    .valid_o,
    .ready_i,
    .data_o
  );

  assign rready_o  = 1'b1;
  assign arvalid_o = ar_valid_q;
  assign araddr_o  = ar_addr_q;
  assign arlen_o   = ar_len_q;
  assign error_o   = arrive & rresp_i[1];
  assign asked_o   = !some;
  assign busy_o    = some || ar_valid_q || owed_q != '0;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_fifo_room: assert (!rvalid_i || flush_i || fifo_ready);
      a_owed:      assert (!rvalid_i || owed_q != '0);
      a_aligned:   assert (!start_i || addr_i[2:0] == 3'd0);
    end
  end
`else
  logic unused_ready;
  assign unused_ready = fifo_ready;
`endif
  logic unused_rresp;
  assign unused_rresp = rresp_i[0];

endmodule
