// AXI4 write master: one command (address, bytes) becomes INCR bursts that never cross 4 KB and
// never exceed BurstBeats, one outstanding. The source must not starve a burst.
// `done_o` pulses with the last response, if that is no error.
module bp_axi_write #(
  parameter int unsigned BurstBeats = 16
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        start_i,
  input  logic [63:0] addr_i,     // 8-byte aligned
  input  logic [15:0] bytes_i,    // > 0, a multiple of 4
  output logic        busy_o,
  output logic        done_o,
  output logic        error_o,    // pulse: SLVERR or DECERR

  output logic        ready_o,    // takes data_i (always valid while busy)
  input  logic [63:0] data_i,

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

  typedef enum logic [1:0] {StIdle, StAddr, StData, StResp} state_e;
  state_e state_q, state_d;

  logic [63:0] addr_q;
  logic [15:0] left_q;        // bytes not yet sent
  logic [9:0]  beat_q;        // beats of this burst not yet sent, less one
  logic [9:0]  boundary, len;
  logic [13:0] beats_left;
  logic        sent, none_q;           // all bytes are sent

  assign boundary = 10'd512 - {1'b0, addr_q[11:3]};
  assign beats_left = 14'((17'(left_q) + 17'd7) >> 3);
  always_comb begin
    len = 10'(BurstBeats);
    if (boundary < len) len = boundary;
    if (beats_left < 14'(len)) len = beats_left[9:0];
  end

  assign sent = wvalid_o & wready_i;

  always_comb begin
    state_d = state_q;
    done_o = 1'b0;
    unique case (state_q)
      StIdle: if (start_i) state_d = StAddr;
      StAddr: if (awready_i) state_d = StData;
      StData: if (sent && beat_q == '0) state_d = StResp;
      StResp: begin
        if (bvalid_i) begin
          state_d = none_q ? StIdle : StAddr;
          done_o = none_q && !bresp_i[1];
        end
      end
      default: state_d = StIdle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= StIdle;
    else state_q <= state_d;
  end

  always_ff @(posedge clk_i) begin
    if (state_q == StIdle && start_i) begin
      addr_q <= addr_i;
      left_q <= bytes_i;
    end else if (sent) begin
      addr_q <= addr_q + 64'd8;
      left_q <= (left_q > 16'd8) ? left_q - 16'd8 : '0;
    end
    if (sent) none_q <= left_q <= 16'd8;
    if (state_q == StAddr) beat_q <= len - 10'd1;
    else if (sent) beat_q <= beat_q - 10'd1;
  end

  assign awvalid_o = state_q == StAddr;
  assign awaddr_o  = addr_q;
  assign awlen_o   = 8'(len - 10'd1);
  assign wvalid_o  = state_q == StData;
  assign wdata_o   = data_i;
  assign wstrb_o   = (left_q >= 16'd8) ? 8'hff : 8'h0f;
  assign wlast_o   = beat_q == '0;
  assign bready_o  = state_q == StResp;
  assign ready_o   = sent;
  assign busy_o    = state_q != StIdle;
  assign error_o   = bvalid_i & bready_o & bresp_i[1];

  logic unused_bresp;
  assign unused_bresp = bresp_i[0];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_start: assert (!start_i || (addr_i[2:0] == 3'd0 && bytes_i != '0));
    end
  end
`endif

endmodule
