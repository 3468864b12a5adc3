// Planes of a MAXPOOL layer on their way to the scratch: line after line as bursts that never cross 4 KB, several of which may
// wait for their response. The layer has ended when all responses are there, so whoever reads the words later reads these.
module bp_spill #(
  parameter int unsigned N          = 8,
  parameter int unsigned CG         = 16,
  parameter int unsigned BurstBeats = 16
) (
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            start_i,      // the layer begins
  input  logic            stop_i,       // level: the run failed: finish the burst, write nothing
  input  logic [255:0]    layer_i,
  input  logic [3:0]      planes_i,
  input  logic [63:0]     addr_i,       // of the scratch
  input  logic [31:0]     limit_i,      // words of it
  input  logic            wait_i,       // the write port is another's
  output logic            busy_o,
  output logic            port_o,       // the write port is its own: from the first address to the last response
  output logic            done_o,       // pulse
  output logic            fault_o,      // pulse, SLVERR or DECERR
  output logic [7:0]      error_o,      // the layer's lines do not lie in the scratch

  output logic            hold_o,       // no more planes for now
  input  logic            valid_i,
  input  logic [N*CG-1:0] data_i,

  output logic            awvalid_o,
  input  logic            awready_i,
  output logic [63:0]     awaddr_o,
  output logic [7:0]      awlen_o,
  output logic            wvalid_o,
  input  logic            wready_i,
  output logic [63:0]     wdata_o,
  output logic [7:0]      wstrb_o,
  output logic            wlast_o,
  input  logic            bvalid_i,
  output logic            bready_o,
  input  logic [1:0]      bresp_i
);

  localparam int unsigned Beats   = N * CG / 64;   // of a word
  localparam int unsigned LgBeats = $clog2(Beats);
  localparam int unsigned LgWord = $clog2(N * CG / 8);
  localparam int unsigned LgN    = $clog2(N);
  localparam int unsigned Depth  = 16;             // words; half of it is for what is on its way when hold_o comes

  if (N * CG % 64 != 0 || Beats != (1 << LgBeats) || Beats < 2) begin : gen_check
    $error("bp_spill: a word must be 2, 4 or 8 beats");
  end

  typedef enum logic [2:0] {StIdle, StLine, StAddr, StData, StResp} state_e;
  state_e state_q, state_d;

  bp_pkg::layer_t layer;
  assign layer = layer_i;

  // ---- lines ----
  logic        line_valid, line_bad, line_last, line_next;
  logic [31:0] line_addr;
  logic [10:0] words_q;
  logic [6:0]  blocks;               // less one
  assign blocks = 7'((layer.cols[9:0] - 10'd1) >> LgN);
  always_ff @(posedge clk_i) words_q <= 11'(bp_pkg::times(16'(blocks) + 16'd1, planes_i));

  bp_lines u_lines (
    .clk_i, .rst_ni, .start_i, .next_i(line_next), .first_i(layer.logits), .pitch_i(layer.hi), .whole_i(16'(layer.lo[15:4])),
    .rows_i(layer.rows[9:0]), .groups_i(layer.count), .words_i(words_q), .limit_i,
    .valid_o(line_valid), .bad_o(line_bad), .last_o(line_last), .addr_o(line_addr));

  // ---- words on their way ----
  logic            fifo_valid, fifo_pop, push, sent, fifo_ready;
  logic [N*CG-1:0] fifo_data;
  logic [4:0]      count_q;
  logic [LgBeats-1:0] part_q;  // beat of the word
  assign push = valid_i & !stop_i;

  bp_fifo #(.Width(N*CG), .Depth(Depth)) u_fifo (
    .clk_i, .rst_ni, .clear_i(start_i), .valid_i(push), .ready_o(fifo_ready), .data_i,
    .valid_o(fifo_valid), .ready_i(fifo_pop), .data_o(fifo_data));

  assign sent = wvalid_o & wready_i;
  assign fifo_pop = sent && fifo_valid && part_q == LgBeats'(Beats - 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      count_q <= '0;
      part_q  <= '0;
      hold_o  <= 1'b0;
    end else begin
      count_q <= count_q + 5'(push) - 5'(fifo_pop);
      hold_o  <= count_q >= 5'(Depth / 2) && state_q != StIdle;
      if (sent && fifo_valid) part_q <= part_q + 1'b1;
    end
  end

  // ---- bursts ----
  logic [63:0] addr_q;
  logic [13:0] left_q;               // beats of the line not asked for
  logic [9:0]  beat_q, boundary, len;
  logic        last_q, asked;
  logic [3:0]  owed_q, owed_d;       // responses

  assign boundary = 10'd512 - {1'b0, addr_q[11:3]};
  always_comb begin
    len = 10'(BurstBeats);
    if (boundary < len) len = boundary;
    if (left_q < 14'(len)) len = left_q[9:0];
  end
  assign asked = awvalid_o & awready_i;
  assign owed_d = owed_q + 4'(asked) - 4'(bvalid_i);

  always_comb begin
    state_d = state_q;
    line_next = 1'b0;
    unique case (state_q)
      StIdle: if (start_i) state_d = StLine;
      StLine: begin
        if (stop_i) begin
          state_d = StResp;
        end else if (line_valid && !line_bad && !wait_i) begin
          state_d = StAddr;
          line_next = 1'b1;
        end
      end
      StAddr: if (asked) state_d = StData;
      StData: begin
        if (sent && beat_q == '0) state_d = (stop_i || (left_q == '0 && last_q)) ? StResp : (left_q == '0) ? StLine : StAddr;
      end
      StResp: if (owed_q == '0) state_d = StIdle;
      default: state_d = StIdle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      owed_q  <= '0;
      port_o  <= 1'b0;
    end else begin
      state_q <= state_d;
      owed_q  <= owed_d;
      port_o  <= state_d == StAddr || state_d == StData || owed_d != '0;
    end
    if (line_next) begin
      addr_q <= addr_i + {{(32-LgWord){1'b0}}, line_addr, {LgWord{1'b0}}};
      left_q <= 14'(words_q) * 14'(Beats);
      last_q <= line_last;
    end else if (asked) begin
      addr_q <= addr_q + {51'd0, len, 3'd0};
      left_q <= left_q - 14'(len);
    end
    if (asked) beat_q <= len - 10'd1;
    else if (sent) beat_q <= beat_q - 10'd1;
  end

  assign awvalid_o = state_q == StAddr && owed_q != 4'd15;
  assign awaddr_o  = addr_q;
  assign awlen_o   = 8'(len - 10'd1);
  assign wvalid_o  = state_q == StData && (fifo_valid || stop_i);
  assign wdata_o   = fifo_data[part_q*64 +: 64];
  assign wstrb_o   = fifo_valid ? 8'hff : 8'h00;
  assign wlast_o   = beat_q == '0;
  assign bready_o  = 1'b1;
  assign busy_o    = state_q != StIdle;
  assign done_o    = state_q == StResp && owed_q == '0 && !stop_i;
  assign fault_o   = bvalid_i & bresp_i[1];
  assign error_o   = (state_q == StLine && line_valid && line_bad) ? bp_pkg::ErrIo : bp_pkg::ErrNone;

  logic unused;
  assign unused = ^{bresp_i[0], fifo_ready, layer};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_room:  assert (!push || fifo_ready);
      a_start: assert (!start_i || state_q == StIdle);
      a_owed:  assert (!bvalid_i || owed_q != '0);
    end
  end
`endif

endmodule
