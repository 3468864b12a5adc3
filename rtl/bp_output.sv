// Logit writer: collects a run's logits (two int32 a beat) and writes them when the last one is
// there, so a burst never starves and the time does not depend on how they trickled in. While they are written, those of
// the next image are collected: in the other half of the buffer, if they fit it.
// A count other than the program's is an error (`count_error_o`, with the last beat or overflow).
module bp_output #(
  parameter int unsigned BurstBeats = 16,
  parameter int unsigned Depth      = 512  // beats, a power of two
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        start_i,        // an image's run begins
  input  logic        stop_i,         // the run failed: take and drop
  input  logic [63:0] addr_i,         // with start_i
  input  logic [15:0] bytes_i,        // of the result
  output logic        got_last_o,     // the last beat is there, from the cycle after it
  output logic        free_o,         // another image's run may begin
  output logic        busy_o,
  output logic        done_o,         // pulse, with the last write response of an image
  output logic        error_o,        // pulse, SLVERR or DECERR
  output logic        count_error_o,  // pulse

  input  logic        logit_valid_i,
  output logic        logit_ready_o,
  input  logic [63:0] logit_data_i,
  input  logic        logit_last_i,

  output logic        awvalid_o,
  input  logic        awready_i,
  output logic [63:0] awaddr_o,
  output logic [7:0]  awlen_o,
  output logic        wvalid_o,
  input  logic        wready_i,
  output logic [63:0] wdata_o,
  output logic [7:0]  wstrb_o,
  output logic        wlast_o,
  input  logic        bvalid_i,
  output logic        bready_o,
  input  logic [1:0]  bresp_i
);

  localparam int unsigned PtrW = $clog2(Depth);

  logic [63:0] mem [Depth];
  logic [63:0] rdata_q;
  logic [63:0] addr_q;
  logic [PtrW:0] wptr_q;
  logic [PtrW-1:0] rptr_q, rptr_d;
  logic last_q, waits_q, at_end_q, beyond_q, error_q, launch;
  logic half_q, small_q;              // the half that collects; a result fits one
  logic [13:0] beats;
  logic take, sent, last_ok, last_bad;

  assign beats = 14'((17'(bytes_i) + 17'd7) >> 3);
  assign take = logit_valid_i & logit_ready_o & ~stop_i;
  assign last_ok = take & logit_last_i & at_end_q;
  assign last_bad = take & (logit_last_i ? !at_end_q : beyond_q);
  assign launch = waits_q & ~busy_o & ~stop_i;
  // Until a result is launched its first beat is read again and again.
  assign rptr_d = !busy_o ? {half_q, {(PtrW-1){1'b0}}} : rptr_q + PtrW'(sent);

  always_ff @(posedge clk_i) begin
    if (take && !last_q && !wptr_q[PtrW]) mem[wptr_q[PtrW-1:0] ^ {half_q, {(PtrW-1){1'b0}}}] <= logit_data_i;
    rdata_q <= mem[rptr_d];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      wptr_q   <= '0;
      last_q   <= 1'b0;
      waits_q  <= 1'b0;
    end else begin
      if (step) wptr_q <= wptr_q + 1'b1;
      if (last_ok) last_q <= 1'b1;
      waits_q <= (last_ok & !last_q) | (waits_q & ~launch);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) half_q <= 1'b0;
    else if (start_i) half_q <= small_q & ~half_q;
    if (start_i) addr_q <= addr_i;
    small_q <= beats <= 14'(Depth / 2);
  end

  // Is the next beat the last, or beyond? A wrong number is told a cycle later.
  logic [13:0] next;
  logic        step;
  assign step = take & !wptr_q[PtrW];
  assign next = 14'(wptr_q) + (step ? 14'd2 : 14'd1);
  always_ff @(posedge clk_i) begin
    at_end_q <= start_i ? beats == 14'd1 : next == beats;
    beyond_q <= start_i ? beats <= 14'd1 : next >= beats;
    error_q  <= last_bad & rst_ni;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) rptr_q <= '0;
    else rptr_q <= rptr_d;
  end

  // One cycle between the last beat and the command: the memory has been read by then.
  bp_axi_write #(
    .BurstBeats(BurstBeats)
  ) u_write (
    .clk_i,
    .rst_ni,
    .start_i(launch),
    .addr_i (addr_q),
    .bytes_i,
    .busy_o,
    .done_o,
    .error_o,
    .ready_o(sent),
    .data_i (rdata_q),
    .awvalid_o,
    .awready_i,
    .awaddr_o,
    .awlen_o,
    .wvalid_o,
    .wready_i,
    .wdata_o,
    .wstrb_o,
    .wlast_o,
    .bvalid_i,
    .bready_o,
    .bresp_i
  );

  assign logit_ready_o = 1'b1;
  assign free_o = !waits_q && (small_q || !busy_o);
  assign got_last_o = last_q;
  assign count_error_o = error_q;

endmodule
