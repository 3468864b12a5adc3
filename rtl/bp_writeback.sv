// Writes finished tiles in the layer's order. MAC: the codes of a tile are collected as planes,
// then one plane a cycle goes to the activation memory with its halos, or two logits a cycle to
// the output, which takes them at once. A paired map gets words of two planes of the tile's first eight channels, then,
// as its next group, if it has one, of the last eight. MAXPOOL: planes arrive one by one, the top one first.
module bp_writeback #(
  parameter int unsigned M        = 16,
  parameter int unsigned N        = 8,
  parameter int unsigned CG       = 16,
  parameter int unsigned Drain    = 32,
  parameter int unsigned ActDepth = 1024,
  localparam int unsigned Aw    = $clog2(ActDepth),
  localparam int unsigned Steps = M * N / Drain
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               clear_i,

  input  logic               start_i,      // a layer begins
  input  bp_pkg::layer_t     layer_i,
  input  bp_pkg::map_t       map_i,
  input  logic [6:0]         last_block_i,
  output logic               done_o,       // its last word is being written (or goes to the scratch)

  input  logic               code_valid_i,
  input  logic               code_last_i,
  input  logic [7:0]         code_step_i,
  input  logic [Drain*8-1:0] code_i,
  input  logic [63:0]        logit_i,      // from the cycle after the code's on, a pair a cycle
  input  logic               pool_valid_i,
  input  logic [N*CG-1:0]    pool_plane_i,

  output logic               write_o,      // the memory's write port is taken
  output logic               we_o,
  output logic [1:0]         bank_o,
  output logic [Aw-1:0]      addr_o,
  output logic               left_we_o,
  output logic [Aw-1:0]      left_addr_o,
  output logic               right_we_o,
  output logic [Aw-1:0]      right_addr_o,
  output logic [N*CG-1:0]    data_o,

  output logic               logit_valid_o,
  input  logic               logit_ready_i,
  output logic [63:0]        logit_data_o,
  output logic               logit_last_o,
  output logic [7:0]         error_o
);

  if (M != CG) begin : gen_check
    $error("bp_writeback: a filter group must be a channel group (M == CG)");
  end

  localparam int unsigned AddrW = bp_pkg::AddrW;
  localparam int unsigned Plane = N * CG;

  logic pool, logits, spill, paired;
  assign pool = layer_i.op == bp_pkg::OpMaxpool;
  assign spill = pool && layer_i.flags[bp_pkg::LySpill];
  assign logits = !pool && layer_i.flags[bp_pkg::LyLogits];
  assign paired = !pool && map_i.paired;

  // ---- planes of a tile ----
  logic [8*Plane-1:0] collect_q, write_q;
  logic collected_q, write_valid_q;

  for (genvar p = 0; p < 8; p++) begin : gen_plane
    // Where the word p is: paired, its low half is plane 2 (p mod 4) of eight channels, those of half p / 4.
    localparam int unsigned Low = 2 * (p % 4);
    logic [Drain-1:0] bits;
    for (genvar l = 0; l < Drain; l++) begin : gen_bit
      localparam int unsigned From = l - l % CG + (p / 4) * CG / 2 + l % (CG / 2);
      assign bits[l] = paired ? code_i[From*8+Low+(l%CG)/(CG/2)] : code_i[l*8+p];
    end
    for (genvar s = 0; s < Steps; s++) begin : gen_step
      always_ff @(posedge clk_i) begin
        if (code_valid_i && code_step_i == 8'(s)) collect_q[p*Plane+s*Drain +: Drain] <= bits;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) collected_q <= 1'b0;
    else collected_q <= code_valid_i & code_last_i & !logits;
    if (collected_q) write_q <= collect_q;
  end

  // ---- position: words in order, one plane a cycle ----
  logic [15:0] count_q;
  logic [9:0]  y_q;
  logic [6:0]  x_q;
  logic [3:0]  plane_q, place_q, plane;    // of the group; of the tile
  logic        half_q, plane_end;          // paired: the second group of the tile
  logic [15:0] groups_q, groups_d;         // paired: of the map, from the tile's on
  logic        single_q;                   // one
  logic [1:0]  group_q;
  logic [AddrW-1:0] group_addr_q, row_addr_q, block_addr_q, addr, start_addr;
  logic tile_end, row_end, map_end, all_end, write, out_of_range;

  assign write = write_valid_q | pool_valid_i;
  assign plane = pool ? map_i.planes - 4'd1 - plane_q : place_q;
  assign addr = block_addr_q + AddrW'(plane);
  assign plane_end = write && plane_q == map_i.planes - 4'd1;
  assign tile_end = logits ? logit_end : plane_end && (!paired || half_q || single_q);
  assign groups_d = start_i ? map_i.groups - {first_group[14:0], 1'b0} : map_end ? groups_q - 16'd2 : groups_q;
  assign row_end = tile_end && x_q == last_block_i;
  assign map_end = row_end && y_q == 10'(layer_i.rows - 16'd1);
  assign all_end = map_end && count_q == layer_i.count - 16'd1;
  assign done_o = all_end;

  logic [15:0] first_group;
  assign first_group = pool ? layer_i.arg2 : layer_i.arg3;
  assign start_addr = AddrW'(map_i.base) + (AddrW'(bp_pkg::times(first_group, map_i.planes)) << paired);

  logic [AddrW-1:0] next_group_addr, next_row_addr;
  assign next_group_addr = group_addr_q + (AddrW'(map_i.planes) << paired);
  assign next_row_addr = (y_q[1:0] == 2'd3) ? row_addr_q + AddrW'(map_i.row_stride) : row_addr_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) write_valid_q <= 1'b0;
    else if (collected_q) write_valid_q <= 1'b1;
    else if (tile_end) write_valid_q <= 1'b0;
    groups_q <= groups_d;
    single_q <= groups_d == 16'd1;
    if (start_i) begin
      count_q      <= '0;
      y_q          <= '0;
      x_q          <= '0;
      plane_q      <= '0;
      place_q      <= '0;
      half_q       <= 1'b0;
      group_q      <= first_group[1:0] << paired;
      group_addr_q <= start_addr;
      row_addr_q   <= start_addr;
      block_addr_q <= start_addr;
    end else begin
      if (write) begin
        plane_q <= plane_end ? '0 : plane_q + 4'd1;
        place_q <= tile_end ? '0 : place_q + 4'd1;
        half_q  <= !tile_end && (plane_end || half_q);
      end
      if (tile_end) begin
        x_q <= row_end ? '0 : x_q + 7'd1;
        block_addr_q <= block_addr_q + AddrW'(map_i.px_stride);
      end
      if (row_end) begin
        y_q <= map_end ? '0 : y_q + 10'd1;
        row_addr_q <= next_row_addr;
        block_addr_q <= next_row_addr;
      end
      if (map_end) begin
        count_q <= count_q + 16'd1;
        group_q <= group_q + (paired ? 2'd2 : 2'd1);
        group_addr_q <= next_group_addr;
        row_addr_q <= next_group_addr;
        block_addr_q <= next_group_addr;
      end
    end
  end

  assign out_of_range = addr[AddrW-1:Aw] != '0 && !spill;
  assign error_o = (write && out_of_range) ? bp_pkg::ErrAct : bp_pkg::ErrNone;
  assign we_o = write & !spill;              // where it is out of range the run fails: what is written does not matter
  assign write_o = write & !spill;
  assign bank_o = y_q[1:0] + group_q + 2'(half_q);
  assign addr_o = addr[Aw-1:0];
  assign left_we_o = x_q != '0;
  assign left_addr_o = Aw'(addr - AddrW'(map_i.px_stride));
  assign right_we_o = x_q != last_block_i;
  assign right_addr_o = Aw'(addr + AddrW'(map_i.px_stride));
  logic [2:0] word;
  assign word = {plane_q[2] | half_q, plane_q[1:0]};
  assign data_o = pool ? pool_plane_i : write_q[word*Plane +: Plane];

  // ---- logits: pixel 0 of every tile ----
  logic            logit_busy_q, logit_end;
  logic [31:0]     left_q, left_d;       // logits to come
  logic            none_q, few_q, one_q; // of them: none, at most 2, 1
  logic [7:0]      pair_q;

  assign logit_valid_o = logit_busy_q && !none_q;
  assign logit_end = logit_busy_q && (pair_q == 8'(M/2 - 1) || few_q);
  assign logit_last_o = few_q && !layer_i.flags[bp_pkg::LyMore];
  assign left_d = start_i ? layer_i.logits : few_q ? '0 : left_q - 32'd2;
  assign logit_data_o = {one_q ? 32'd0 : logit_i[63:32], logit_i[31:0]};

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) logit_busy_q <= 1'b0;
    else if (code_valid_i && code_step_i == '0 && logits) logit_busy_q <= 1'b1;
    else if (logit_end) logit_busy_q <= 1'b0;
    pair_q <= (code_valid_i && code_step_i == '0) ? '0 : pair_q + 8'd1;
    if (start_i || logit_busy_q) begin
      left_q <= left_d;
      none_q <= left_d == '0;
      few_q  <= left_d <= 32'd2;
      one_q  <= left_d == 32'd1;
    end
  end

  logic unused;
  assign unused = ^{layer_i, map_i};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !clear_i) begin
      a_overrun: assert (!collected_q || !write_valid_q || tile_end);
      a_logits:  assert (!(code_valid_i && code_step_i == '0 && logits) || !logit_busy_q || logit_end);
      a_ready:   assert (!logit_valid_o || logit_ready_i);
      a_one:     assert (!write_valid_q || !pool_valid_i);
    end
  end
`endif

endmodule
