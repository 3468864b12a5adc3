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
  input  logic [31:0] beats_i,    // > 0
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

  localparam int unsigned CntW    = $clog2(FifoDepth) + 1;
  localparam int unsigned LgBurst = $clog2(BurstBeats);

  if (BurstBeats > FifoDepth || BurstBeats > 256 || BurstBeats != (1 << LgBurst)) begin : gen_check
    $error("bp_axi_read: a burst must fit the FIFO and AXI's 256 beats and be a power of two");
  end

  logic [63:0] addr_q;
  logic [31:0] left_q;        // beats not yet asked for
  logic        some_q;        // there are some
  logic        ar_valid_q;
  logic [63:0] ar_addr_q;
  logic [7:0]  ar_len_q;
  logic [CntW-1:0] asked_q;   // numbers of beats: asked for, arrived, out of the FIFO
  logic [CntW-1:0] arrived_q, popped_q, arrived_d;
  logic        owed_q;        // some that were asked for have not arrived

  // The longest burst from here: to the end, the burst limit or the 4 KB boundary. In a page's last BurstBeats beats `past`
  // of them are behind, and the boundary is nearer than the limit by these.
  logic [LgBurst-1:0] past;
  logic [LgBurst:0]   len;
  logic [LgBurst+1:0] reach;
  logic issue, arrive, pop, fifo_ready, last;

  assign past = (&addr_q[11:3+LgBurst]) ? addr_q[3 +: LgBurst] : '0;
  assign reach = {1'b0, left_q[LgBurst:0]} + (LgBurst+2)'(past);
  assign last = left_q[31:LgBurst+1] == '0 && reach <= (LgBurst+2)'(BurstBeats);
  assign len = last ? left_q[LgBurst:0] : (LgBurst+1)'(BurstBeats) - {1'b0, past};

  assign issue = (!ar_valid_q || arready_i) && some_q && !flush_i &&
                 asked_q - popped_q <= CntW'(FifoDepth - BurstBeats);
  assign arrive = rvalid_i & rready_o;
  assign pop = valid_o & ready_i;
  assign arrived_d = arrived_q + CntW'(arrive);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ar_valid_q <= 1'b0;
      some_q     <= 1'b0;
      asked_q    <= '0;
      owed_q     <= 1'b0;
      arrived_q  <= '0;
      popped_q   <= '0;
    end else begin
      some_q <= start_i || (some_q && !flush_i && !(issue && last));
      if (issue) ar_valid_q <= 1'b1;
      else if (arready_i) ar_valid_q <= 1'b0;
      if (issue) asked_q <= asked_q + CntW'(len);
      arrived_q <= arrived_d;
      owed_q <= issue || (owed_q && !(arrive && arrived_q + 1'b1 == asked_q));
      if (flush_i || pop) popped_q <= flush_i ? arrived_d : popped_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) addr_q <= addr_i;
    else if (issue) addr_q <= addr_q + {{(60-LgBurst){1'b0}}, len, 3'd0};
    if (start_i) left_q <= beats_i;
    else if (issue) left_q <= left_q - 32'(len);
    if (issue) begin
      ar_addr_q <= addr_q;
      ar_len_q  <= 8'(len) - 8'd1;
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
  assign asked_o   = !some_q;
  assign busy_o    = some_q || ar_valid_q || owed_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_fifo_room: assert (!rvalid_i || flush_i || fifo_ready);
      a_owed:      assert (!rvalid_i || asked_q != arrived_q);
      a_count:     assert (owed_q == (asked_q != arrived_q));
      a_start:     assert (!start_i || (addr_i[2:0] == 3'd0 && beats_i != '0));
    end
  end
`else
  logic unused_ready;
  assign unused_ready = fifo_ready;
`endif
  logic unused_rresp;
  assign unused_rresp = rresp_i[0];

endmodule
