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

  // The record is there a cycle before the layer begins, the map with it; its first word comes 1 + Steps cycles after it at
  // the soonest, so that addresses begin a cycle after the layer.
  logic        start_q, pool_q, logits_q, spill_q, paired_q;
  logic [15:0] first_group_q;
  logic [3:0]  planes_less_q;
  logic [19:0] first_offset_q;
  always_ff @(posedge clk_i) begin
    start_q        <= start_i;
    pool_q         <= layer_i.op == bp_pkg::OpMaxpool;
    spill_q        <= layer_i.op == bp_pkg::OpMaxpool && layer_i.flags[bp_pkg::LySpill];
    logits_q       <= layer_i.op != bp_pkg::OpMaxpool && layer_i.flags[bp_pkg::LyLogits];
    first_group_q  <= (layer_i.op == bp_pkg::OpMaxpool) ? layer_i.arg2 : layer_i.arg3;
    paired_q       <= !pool_q && map_i.paired;
    planes_less_q  <= map_i.planes - 4'd1;
    first_offset_q <= bp_pkg::times(first_group_q, map_i.planes);
  end

  // ---- planes of a tile ----
  logic [8*Plane-1:0] collect_q, write_q;
  logic collected_q, write_valid_q;

  for (genvar p = 0; p < 8; p++) begin : gen_plane
    // Where the word p is: paired, its low half is plane 2 (p mod 4) of eight channels, those of half p / 4.
    localparam int unsigned Low = 2 * (p % 4);
    logic [Drain-1:0] bits;
    for (genvar l = 0; l < Drain; l++) begin : gen_bit
      localparam int unsigned From = l - l % CG + (p / 4) * CG / 2 + l % (CG / 2);
      assign bits[l] = paired_q ? code_i[From*8+Low+(l%CG)/(CG/2)] : code_i[l*8+p];
    end
    for (genvar s = 0; s < Steps; s++) begin : gen_step
      always_ff @(posedge clk_i) begin
        if (code_valid_i && code_step_i == 8'(s)) collect_q[p*Plane+s*Drain +: Drain] <= bits;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) collected_q <= 1'b0;
    else collected_q <= code_valid_i & code_last_i & !logits_q;
    if (collected_q) write_q <= collect_q;
  end

  // ---- position: words in order, one plane a cycle; ends of the loops are flags in registers ----
  logic [3:0]  left_q, plane_q;            // words of the group behind this one; place in the tile, of pools the plane
  logic [2:0]  word_q;                     // of write_q
  logic        half_q;                     // paired: the second group of the tile
  logic [15:0] groups_q;                   // paired: of the map, from the tile's on
  logic        single_q;                   // one
  logic        left_block_q;               // the row's first block
  logic [1:0]  row_q, group_q;
  logic [AddrW-1:0] group_addr_q, row_addr_q, block_addr_q, addr, start_addr;
  logic write, plane_end, tile_end, row_end, map_end, last_block, last_row, last_map, out_of_range;

  assign write = write_valid_q | pool_valid_i;
  assign addr = block_addr_q + AddrW'(plane_q);
  assign plane_end = write && left_q == '0;
  assign tile_end = logit_end || (plane_end && (!paired_q || half_q || single_q));
  assign row_end = tile_end && last_block;
  assign map_end = row_end && last_row;
  assign done_o = map_end && last_map;

  bp_count #(.Width(7)) u_block (.clk_i, .start_i(start_q), .step_i(tile_end), .less_one_i(last_block_i), .last_o(last_block));
  bp_count #(.Width(10)) u_row (.clk_i, .start_i(start_q), .step_i(row_end), .less_one_i(10'(layer_i.rows - 16'd1)), .last_o(last_row));
  bp_count #(.Width(16)) u_map (.clk_i, .start_i(start_q), .step_i(map_end), .less_one_i(layer_i.count - 16'd1), .last_o(last_map));

  assign start_addr = AddrW'(map_i.base) + (AddrW'(first_offset_q) << paired_q);

  logic [AddrW-1:0] next_group_addr, next_row_addr;
  assign next_group_addr = group_addr_q + (AddrW'(map_i.planes) << paired_q);
  assign next_row_addr = (row_q == 2'd3) ? row_addr_q + AddrW'(map_i.row_stride) : row_addr_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) write_valid_q <= 1'b0;
    else if (collected_q) write_valid_q <= 1'b1;
    else if (tile_end) write_valid_q <= 1'b0;
    if (start_q) groups_q <= map_i.groups - {first_group_q[14:0], 1'b0};
    else if (map_end) groups_q <= groups_q - 16'd2;
    single_q <= groups_q == (map_end ? 16'd3 : 16'd1);
    if (start_q) begin
      left_q       <= planes_less_q;
      plane_q      <= pool_q ? planes_less_q : '0;
      word_q       <= '0;
      half_q       <= 1'b0;
      left_block_q <= 1'b1;
      row_q        <= '0;
      group_q      <= first_group_q[1:0] << paired_q;
      group_addr_q <= start_addr;
      row_addr_q   <= start_addr;
      block_addr_q <= start_addr;
    end else begin
      if (write) begin
        left_q  <= plane_end ? planes_less_q : left_q - 4'd1;
        plane_q <= tile_end ? (pool_q ? planes_less_q : '0) : pool_q ? plane_q - 4'd1 : plane_q + 4'd1;
        word_q  <= tile_end ? '0 : plane_end ? 3'd4 : word_q + 3'd1;
        half_q  <= !tile_end && (plane_end || half_q);
      end
      if (tile_end) begin
        left_block_q <= row_end;
        block_addr_q <= block_addr_q + AddrW'(map_i.px_stride);
      end
      if (row_end) begin
        row_q <= map_end ? '0 : row_q + 2'd1;
        row_addr_q <= next_row_addr;
        block_addr_q <= next_row_addr;
      end
      if (map_end) begin
        group_q <= group_q + (paired_q ? 2'd2 : 2'd1);
        group_addr_q <= next_group_addr;
        row_addr_q <= next_group_addr;
        block_addr_q <= next_group_addr;
      end
    end
  end

  assign out_of_range = addr[AddrW-1:Aw] != '0 && !spill_q;
  assign error_o = (write && out_of_range) ? bp_pkg::ErrAct : bp_pkg::ErrNone;
  assign we_o = write & !spill_q;            // where it is out of range the run fails: what is written does not matter
  assign write_o = write & !spill_q;
  assign bank_o = row_q + group_q + 2'(half_q) + (pool_q ? plane_q[1:0] : word_q[1:0]);
  assign addr_o = addr[Aw-1:0];
  assign left_we_o = !left_block_q;
  assign left_addr_o = Aw'(addr - AddrW'(map_i.px_stride));
  assign right_we_o = !last_block;
  assign right_addr_o = Aw'(addr + AddrW'(map_i.px_stride));
  assign data_o = pool_q ? pool_plane_i : write_q[word_q*Plane +: Plane];

  // ---- logits: pixel 0 of every tile ----
  logic            logit_busy_q, logit_end;
  logic [31:0]     logits_left_q;        // to come
  logic            none_q, few_q, one_q; // of them: none, at most 2, 1
  logic [7:0]      pair_q;
  logic            last_pair_q, first_code;

  assign first_code = code_valid_i && code_step_i == '0;
  assign logit_valid_o = logit_busy_q && !none_q;
  assign logit_end = logit_busy_q && (last_pair_q || few_q);
  assign logit_last_o = few_q && !layer_i.flags[bp_pkg::LyMore];
  assign logit_data_o = {one_q ? 32'd0 : logit_i[63:32], logit_i[31:0]};

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) logit_busy_q <= 1'b0;
    else if (first_code && logits_q) logit_busy_q <= 1'b1;
    else if (logit_end) logit_busy_q <= 1'b0;
    pair_q <= first_code ? '0 : pair_q + 8'd1;
    last_pair_q <= !first_code && pair_q == 8'(M/2 - 2);
    // The flags look at what will be left, by what is.
    if (start_i) logits_left_q <= layer_i.logits;
    else if (logit_busy_q) logits_left_q <= few_q ? '0 : logits_left_q - 32'd2;
    none_q <= logit_busy_q ? few_q : logits_left_q == '0;
    few_q  <= logits_left_q <= (logit_busy_q ? 32'd4 : 32'd2);
    one_q  <= logits_left_q == (logit_busy_q ? 32'd3 : 32'd1);
  end

  logic unused;
  assign unused = ^{layer_i, map_i};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !clear_i) begin
      a_overrun: assert (!collected_q || !write_valid_q || tile_end);
      a_logits:  assert (!(first_code && logits_q) || !logit_busy_q || logit_end);
      a_ready:   assert (!logit_valid_o || logit_ready_i);
      a_one:     assert (!write_valid_q || !pool_valid_i);
    end
  end
`endif

endmodule
