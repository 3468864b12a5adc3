// An area of a map on its way from the scratch to the activation memory: one read command a line, and behind the last that
// of the stream's next segment; beats become words, which are written with their halos when the engine does not write.
module bp_fill #(
  parameter int unsigned N        = 8,
  parameter int unsigned CG       = 16,
  parameter int unsigned ActDepth = 1024
) (
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            start_i,
  input  logic            stop_i,       // level: give up
  input  logic [255:0]    record_i,     // of the block, stable until done_o
  input  logic [63:0]     addr_i,       // of the scratch
  input  logic [31:0]     limit_i,      // words of it
  input  logic [63:0]     segment_i,    // address of the next segment
  input  logic            asked_i,      // the port can take a command
  output logic            rd_start_o,
  output logic [63:0]     rd_addr_o,
  output logic [31:0]     rd_beats_o,
  output logic            segment_o,    // the command is the segment's
  output logic            busy_o,       // commands are its own
  output logic            done_o,       // pulse: all words are in, the segment is asked for
  output logic            error_o,      // a malformed record

  input  logic            beat_valid_i,
  output logic            beat_ready_o,
  input  logic [63:0]     beat_data_i,

  input  logic            write_i,      // the memory's write port is another's
  output logic            we_o,
  output logic [1:0]      bank_o,
  output logic [15:0]     addr_o,
  output logic            left_we_o,
  output logic [15:0]     left_addr_o,
  output logic            right_we_o,
  output logic [15:0]     right_addr_o,
  output logic [N*CG-1:0] data_o
);

  localparam int unsigned Beats  = N * CG / 64;
  localparam int unsigned LgWord = $clog2(N * CG / 8);
  localparam int unsigned LgN    = $clog2(N);
  localparam int unsigned Aw     = $clog2(ActDepth);
  localparam int unsigned AddrW  = 18;             // a word beyond the memory is seen before the next address is made

  typedef enum logic [1:0] {StIdle, StLine, StNext, StWords} state_e;
  state_e state_q, state_d;

  // ---- record ----
  logic [15:0] base, row_stride, px_stride, groups;
  logic [3:0]  planes;
  logic [9:0]  rows;
  logic [6:0]  last_block;
  logic [31:0] next;
  logic        bad_q;
  assign {px_stride, row_stride, base} = record_i[47:0];
  assign planes = record_i[51:48];
  assign rows = record_i[73:64];
  assign last_block = 7'((record_i[89:80] - 10'd1) >> LgN);
  assign groups = record_i[111:96];
  assign next = record_i[223:192];

  always_ff @(posedge clk_i) begin
    bad_q <= planes == '0 || planes > 4'd8 || record_i[79:64] == '0 || record_i[79:74] != '0 ||
             record_i[95:80] == '0 || record_i[95:90] != '0;
  end

  // ---- commands ----
  logic        line_valid, line_bad, line_last, line_next;
  logic [31:0] line_addr;
  logic [10:0] words_q;
  always_ff @(posedge clk_i) words_q <= 11'(bp_pkg::times(16'(last_block) + 16'd1, planes));

  bp_lines u_lines (
    .clk_i, .rst_ni, .start_i, .next_i(line_next), .first_i(record_i[159:128]), .pitch_i(record_i[127:112]),
    .whole_i(record_i[175:160]), .rows_i(rows), .groups_i(groups), .words_i(words_q), .limit_i,
    .valid_o(line_valid), .bad_o(line_bad), .last_o(line_last), .addr_o(line_addr));

  logic over_q, address_bad;

  always_comb begin
    state_d = state_q;
    line_next = 1'b0;
    segment_o = 1'b0;
    unique case (state_q)
      StIdle: if (start_i) state_d = (groups == '0) ? StNext : StLine;
      StLine: begin
        if (line_valid && !line_bad && !bad_q && asked_i) begin
          line_next = 1'b1;
          if (line_last) state_d = StNext;
        end
      end
      StNext: begin
        if (asked_i) begin
          segment_o = next != '0;
          state_d = StWords;
        end
      end
      StWords: if (over_q) state_d = StIdle;
      default: state_d = StIdle;
    endcase
    if (stop_i) begin
      state_d = StIdle;
      line_next = 1'b0;
      segment_o = 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= StIdle;
    else state_q <= state_d;
  end

  assign rd_start_o = line_next | segment_o;
  assign rd_addr_o  = (state_q == StNext) ? segment_i : addr_i + {{(32-LgWord){1'b0}}, line_addr, {LgWord{1'b0}}};
  assign rd_beats_o = (state_q == StNext) ? next : 32'(words_q) * 32'(Beats);
  assign busy_o     = state_q != StIdle;
  assign done_o     = state_q == StWords && over_q;
  assign error_o    = (state_q == StLine && line_valid && (line_bad || bad_q)) || address_bad;

  // ---- words ----
  logic [N*CG-65:0] part_q, part_next;            // beats of the next word but its last
  logic [N*CG-1:0]  word_q;
  logic             full_q, last_q, pop, take, part_last;
  logic [2:0]       beat_q;

  if (Beats == 2) begin : gen_two
    assign part_next = beat_data_i;
  end else begin : gen_more
    assign part_next = {beat_data_i, part_q[N*CG-65:64]};
  end
  assign part_last = beat_q == 3'(Beats - 1);
  assign beat_ready_o = state_q != StIdle && !over_q && (!full_q || (!part_last && !last_q));
  assign pop = beat_valid_i & beat_ready_o;
  assign take = full_q & !write_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i || stop_i) begin
      full_q <= 1'b0;
      beat_q <= '0;
    end else begin
      full_q <= (pop & part_last) | (full_q & !take);
      if (pop) beat_q <= part_last ? '0 : beat_q + 3'd1;
    end
    if (pop && part_last) word_q <= {beat_data_i, part_q};
    if (pop && !part_last) part_q <= part_next;
  end

  // ---- where the word goes: group, row, block, plane from the top ----
  logic [3:0]  plane_q;
  logic [6:0]  x_q;
  logic [9:0]  y_q;
  logic [15:0] count_q;
  logic [AddrW-1:0] group_addr_q, row_addr_q, block_addr_q, addr_q, next_group, next_row;
  logic        plane_end, row_end, map_end, all_end;

  assign plane_end = plane_q == '0;
  assign row_end = plane_end && x_q == last_block;
  assign map_end = row_end && y_q == rows - 10'd1;
  assign all_end = map_end && count_q == groups - 16'd1;
  assign next_group = group_addr_q + AddrW'(planes);
  assign next_row = row_addr_q + ((y_q[1:0] == 2'd3) ? AddrW'(row_stride) : '0);

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      plane_q      <= planes - 4'd1;
      x_q          <= '0;
      y_q          <= '0;
      count_q      <= '0;
      group_addr_q <= AddrW'(base);
      row_addr_q   <= AddrW'(base);
      block_addr_q <= AddrW'(base);
      over_q       <= groups == '0;
    end else if (take) begin
      plane_q <= plane_end ? planes - 4'd1 : plane_q - 4'd1;
      if (plane_end) begin
        x_q <= row_end ? '0 : x_q + 7'd1;
        block_addr_q <= map_end ? next_group : row_end ? next_row : block_addr_q + AddrW'(px_stride);
      end
      if (row_end) begin
        y_q <= map_end ? '0 : y_q + 10'd1;
        row_addr_q <= map_end ? next_group : next_row;
      end
      if (map_end) begin
        count_q <= count_q + 16'd1;
        group_addr_q <= next_group;
      end
      over_q <= all_end;
    end
    // A word comes at the earliest two cycles after the one before.
    last_q       <= all_end;
    addr_q       <= block_addr_q + AddrW'(plane_q);
    left_addr_o  <= 16'(block_addr_q + AddrW'(plane_q) - AddrW'(px_stride));
    right_addr_o <= 16'(block_addr_q + AddrW'(plane_q) + AddrW'(px_stride));
    left_we_o    <= x_q != '0;
    right_we_o   <= x_q != last_block;
    bank_o       <= y_q[1:0] + count_q[1:0] + plane_q[1:0];
  end

  assign address_bad = full_q && addr_q[AddrW-1:Aw] != '0;
  assign we_o   = full_q && addr_q[AddrW-1:Aw] == '0;
  assign addr_o = addr_q[15:0];
  assign data_o = word_q;

  logic unused;
  assign unused = ^{record_i[255:224], record_i[191:176], record_i[63:52], record_i[111:96]};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_start: assert (!start_i || state_q == StIdle);
      a_over:  assert (!take || !over_q);
    end
  end
`endif

endmodule
