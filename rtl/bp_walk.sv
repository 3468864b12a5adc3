// Walks a layer in its fixed order (filter group, row, block, K-word) and turns every K-word at its
// place of the output into addresses and masks. Five stages, one K-word a cycle, all held while a
// second place waits behind place_o, so that what holds them is a register and not ready_i:
//   0 record from the K-word table   1 its map   2 first row and column   3 products   4 place_o
// MAXPOOL walks (group, row, block) with one made-up K-word each.
module bp_walk #(
  parameter int unsigned N          = 8,
  parameter int unsigned KwordDepth = 1024,
  parameter int unsigned MapDepth   = 128,
  localparam int unsigned Kw = $clog2(KwordDepth),
  localparam int unsigned Mw = $clog2(MapDepth)
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             clear_i,

  input  logic             start_i,
  input  bp_pkg::layer_t   layer_i,        // stable from the cycle before until the layer is done
  input  logic [6:0]       last_block_i,   // blocks of a row - 1
  input  logic [3:0]       out_planes_i,
  input  logic [15:0]      n_map_i,
  input  logic [15:0]      n_kword_i,
  input  logic [15:0]      n_coef_i,
  input  logic [31:0]      n_weight_i,

  output logic             kword_re_o,
  output logic [Kw-1:0]    kword_raddr_o,
  input  bp_pkg::kword_t   kword_i,
  output logic             map_re_o,
  output logic [Mw-1:0]    map_raddr_o,
  input  bp_pkg::map_t     map_i,

  output logic             valid_o,
  input  logic             ready_i,
  output bp_pkg::place_t   place_o,
  output logic [7:0]       error_o         // nonzero: the run must end; the cycle after the record was looked at
);

  localparam int unsigned LgN = $clog2(N);

  if (N != (1 << LgN) || N < 8 || N > bp_pkg::MaxN) begin : gen_check
    $error("bp_walk: blocks of 8, 16 or 32 pixels only");
  end

  logic advance, pool;
  logic valid_q1, valid_q2, valid_q3, valid_q4, spare_valid_q;
  assign advance = !spare_valid_q;
  always_ff @(posedge clk_i) pool <= layer_i.op == bp_pkg::OpMaxpool;

  // ---- 0: position ----
  logic        run_q, run_d, first_q;      // first: K-word of a tile
  logic [15:0] count_q, kword_q, kword_d, list_q;
  logic [9:0]  y_q;
  logic [6:0]  x_q;
  logic [9:0]  y_last_q;                   // of the layer
  logic [6:0]  x_last_q;
  logic        list_end, row_end, map_end, all_end, kword_bad;
  bp_pkg::kword_t kword, pool_kword;

  always_comb begin
    pool_kword = '0;
    pool_kword.in_map = layer_i.arg1[7:0];
    pool_kword.wn = 8'd1;
    pool_kword.group = count_q;
    pool_kword.oy = layer_i.misc[7:0];
    pool_kword.ox = layer_i.misc[15:8];
    pool_kword.flags[bp_pkg::KwStride2] = layer_i.lo[0];
    pool_kword.flags[bp_pkg::KwLast] = 1'b1;
  end

  assign kword = pool ? pool_kword : kword_i;
  assign list_end = kword.flags[bp_pkg::KwLast];
  assign row_end = list_end && x_q == x_last_q;
  assign map_end = row_end && y_q == y_last_q;
  assign all_end = map_end && count_q == layer_i.count - 16'd1;
  assign kword_bad = run_q && !pool && kword_q >= n_kword_i;
  assign kword_d = start_i ? layer_i.arg1 : (list_end && !map_end) ? list_q : kword_q + 16'd1;
  assign run_d = start_i || (run_q && !(advance && all_end));

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) run_q <= 1'b0;
    else run_q <= run_d;
    y_last_q <= 10'(layer_i.first_row + layer_i.rows - 16'd1);
    x_last_q <= layer_i.first_block[6:0] + last_block_i;
    if (start_i) begin
      count_q <= '0;
      y_q     <= layer_i.first_row[9:0];
      x_q     <= layer_i.first_block[6:0];
      first_q <= 1'b1;
      kword_q <= kword_d;
      list_q  <= kword_d;
    end else if (run_q && advance) begin
      kword_q <= kword_d;
      first_q <= list_end;
      if (list_end) x_q <= row_end ? layer_i.first_block[6:0] : x_q + 7'd1;
      if (row_end) y_q <= map_end ? layer_i.first_row[9:0] : y_q + 10'd1;
      if (map_end) begin
        count_q <= count_q + 16'd1;
        list_q  <= kword_d;
      end
    end
  end

  assign kword_re_o = start_i | (run_q & advance);
  assign kword_raddr_o = kword_d[Kw-1:0];
  assign map_re_o = run_q & advance;
  assign map_raddr_o = Mw'(kword.in_map);

  // ---- 1: map, checks, first row and column ----
  bp_pkg::kword_t kword_q1;
  logic [9:0]  y_q1;
  logic [6:0]  x_q1;
  logic        first_q1, end_q1;
  logic [6:0]  bad, bad_q;               // what is wrong; the lowest counts
  logic        group_mode, stride2;
  logic [3:0]  windows;                  // that the planes make
  logic signed [12:0] row_d, col_d;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_q1 <= 1'b0;
    else if (advance) valid_q1 <= run_q;
    if (advance) begin
      kword_q1 <= kword;
      y_q1     <= y_q;
      x_q1     <= x_q;
      first_q1 <= first_q;
      end_q1   <= all_end;
    end
  end

  assign windows = kword_q1.flags[bp_pkg::KwNext] ? (map_i.planes + 4'd1) >> 1 : map_i.planes;
  assign group_mode = kword_q1.flags[bp_pkg::KwGroup];
  assign stride2 = kword_q1.flags[bp_pkg::KwStride2];

  always_comb begin
    bad[0] = kword_bad;
    bad[1] = kword_q1.wn == '0 || kword_q1.wn[7:4] != '0 || kword_q1.flags[7:5] != '0 ||
             (group_mode && (kword_q1.columns == '0 || kword_q1.columns > 8'd3)) ||
             (!group_mode && kword_q1.flags[bp_pkg::KwRepeat]) || (!kword_q1.flags[bp_pkg::KwRepeat] && kword_q1.flags[bp_pkg::KwNext]);
    bad[2] = 16'(kword_q1.in_map) >= n_map_i || map_i.planes == '0 || map_i.planes > 4'd8 ||
             map_i.h == '0 || map_i.h[15:10] != '0 || map_i.w == '0 || map_i.w[15:10] != '0;
    bad[3] = kword_q1.group >= map_i.groups;
    bad[4] = pool && map_i.planes != out_planes_i;
    bad[5] = !pool && 17'(kword_q1.coef) + 17'(bp_pkg::times(16'(kword_q1.wn[3:0]), windows)) > 17'(n_coef_i);
    bad[6] = !pool && 32'(kword_q1.waddr) + 32'(kword_q1.wn) > n_weight_i;
    if (!valid_q1) bad[6:1] = '0;
  end
  always_ff @(posedge clk_i) bad_q <= (rst_ni && !clear_i) ? bad : '0;
  assign error_o = (bad_q[1:0] != '0) ? bp_pkg::ErrKword : bad_q[2] ? bp_pkg::ErrMap :
                   bad_q[3] ? (pool ? bp_pkg::ErrMap : bp_pkg::ErrKword) : bad_q[4] ? bp_pkg::ErrMap :
                   bad_q[5] ? bp_pkg::ErrCoef : bad_q[6] ? bp_pkg::ErrWeight : bp_pkg::ErrNone;

  // Group mode reads the tap of column 1 at shift 0: the window begins one pixel to the left. Rows and columns are those of
  // the area that the map record describes.
  always_comb begin
    row_d = stride2 ? 13'({y_q1, 1'b0}) : 13'(y_q1);
    col_d = stride2 ? 13'(x_q1) << (LgN + 1) : 13'(x_q1) << LgN;
    if (group_mode) begin
      col_d = col_d - 13'sd1;
    end else begin
      row_d = row_d + 13'($signed(kword_q1.oy));
      col_d = col_d + 13'($signed(kword_q1.ox));
    end
    row_d = row_d - 13'(map_i.top);
    col_d = col_d - (13'(map_i.left) << LgN);
  end

  // ---- 2: block and shift ----
  bp_pkg::kword_t kword_q2;
  bp_pkg::map_t   map_q2;
  logic           first_q2, end_q2;
  logic signed [12:0] row_q2, col_q2;
  logic signed [12:0] col1;              // of slot 0 of the first block, + the shift
  logic [LgN-1:0]     shift;
  logic signed [9:0]  block;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_q2 <= 1'b0;
    else if (advance) valid_q2 <= valid_q1;
    if (advance) begin
      kword_q2 <= kword_q1;
      map_q2   <= map_i;
      first_q2 <= first_q1;
      end_q2   <= end_q1;
      row_q2   <= row_d;
      col_q2   <= col_d;
    end
  end

  assign col1 = col_q2 + 13'sd1;
  assign shift = col1[LgN-1:0];
  assign block = 10'(col1 >>> LgN);

  // ---- 3: products and masks ----
  bp_pkg::place_t place_d, place_q3;
  logic signed [bp_pkg::AddrW-1:0] row_off_q3, col_off_q3, group_off_q3;
  logic [15:0] base_q3;
  logic [15:0] groups_left;
  logic signed [12:0] rows_left, cols_left;
  logic [6:0] block_last;
  logic [1:0] behind, ahead;
  logic signed [9:0] first_block;        // that is read
  logic spatial, two;

  assign groups_left = map_q2.groups - kword_q2.group;
  assign rows_left = $signed(map_q2.h[12:0]) - row_q2;
  assign cols_left = $signed(map_q2.w[12:0]) - col_q2;
  assign block_last = 7'((map_q2.w[9:0] - 10'd1) >> LgN);
  // At shift 0 column 0 of the window is a left halo, and at stride 2 also that of the second half; at shifts
  // 0 and 1 its last column is a right halo.
  assign spatial = !kword_q2.flags[bp_pkg::KwGroup];
  assign two = kword_q2.flags[bp_pkg::KwStride2];
  assign behind[0] = spatial && shift == '0 && 10'(col_q2 >>> LgN) == $signed({3'd0, block_last});
  assign behind[1] = spatial && two && shift == '0 && block == $signed({3'd0, block_last});
  assign ahead[0] = spatial && shift[LgN-1:1] == '0 && block == -10'sd1;
  assign ahead[1] = spatial && two && shift[LgN-1:1] == '0 && block == -10'sd2;
  assign first_block = behind[0] ? $signed({3'd0, block_last}) : ahead[0] ? 10'sd0 : ahead[1] ? -10'sd1 : block;

  always_comb begin
    place_d = '0;
    place_d.layer_last = end_q2;
    place_d.tile_first = first_q2;
    place_d.tile_last = kword_q2.flags[bp_pkg::KwLast];
    place_d.group = kword_q2.flags[bp_pkg::KwGroup];
    place_d.repeats = kword_q2.flags[bp_pkg::KwRepeat];
    place_d.next = kword_q2.flags[bp_pkg::KwNext];
    place_d.stride2 = two;
    place_d.raw = map_q2.raw;
    place_d.planes = map_q2.planes;
    place_d.wn = kword_q2.wn[3:0];
    place_d.waddr = kword_q2.waddr;
    place_d.coef = kword_q2.coef;
    place_d.shift = 5'(shift);
    // The map has one block, and the window begins in it or behind.
    place_d.lone = spatial && !two && block_last == '0 && !kword_q2.ox[7];
    if (place_d.group) begin
      place_d.parts = place_d.stride2 ? {kword_q2.columns[1:0], 1'b0} : {1'b0, kword_q2.columns[1:0]};
    end else if (place_d.stride2) begin
      place_d.parts = (shift[LgN-1:1] == '0) ? 3'd2 : 3'd3;
    end else begin
      place_d.parts = (shift == '0 || place_d.lone) ? 3'd1 : 3'd2;
    end
    place_d.bank = row_q2[1:0] + kword_q2.group[1:0];
    place_d.row = row_q2[1:0];
    place_d.row_stride = map_q2.row_stride;
    place_d.px_stride = map_q2.px_stride;
    for (int j = 0; j <= 2 * N; j++) begin
      place_d.col_ok[j] = col_q2 + 13'(j) >= 13'sd0 && cols_left > 13'(j);
    end
    for (int r = 0; r < 9; r++) begin
      if (place_d.group) place_d.row_ok[r] = groups_left > 16'(place_d.repeats ? r / 3 : r) && rows_left > 13'sd0 && !row_q2[12];
      else place_d.row_ok[r] = row_q2 + 13'(r) >= 13'sd0 && rows_left > 13'(r);
    end
    for (int b = 0; b < 3; b++) begin
      place_d.blk_ok[b] = block + 10'(b) >= 10'sd0 && block + 10'(b) <= $signed({3'd0, block_last});
    end
    place_d.blk_ok[1:0] = place_d.blk_ok[1:0] | behind | ahead;
    place_d.behind = behind;
    place_d.ahead = ahead;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_q3 <= 1'b0;
    else if (advance) valid_q3 <= valid_q2;
    if (advance) begin
      place_q3     <= place_d;
      base_q3      <= map_q2.base;
      row_off_q3   <= 30'($signed(row_q2[12:2]) * $signed({1'b0, map_q2.row_stride}));
      col_off_q3   <= 30'(first_block * $signed({1'b0, map_q2.px_stride}));
      group_off_q3 <= 30'(bp_pkg::times(kword_q2.group, map_q2.planes));
    end
  end

  // ---- 4: address ----
  bp_pkg::place_t place_d4, place_q4, spare_q;
  logic           moves;

  assign moves = !valid_q4 || ready_i;
  always_comb begin
    place_d4 = place_q3;
    place_d4.addr = (30'(base_q3) + row_off_q3) + (col_off_q3 + group_off_q3);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      valid_q4      <= 1'b0;
      spare_valid_q <= 1'b0;
    end else begin
      valid_q4      <= !moves || spare_valid_q || valid_q3;
      spare_valid_q <= !moves && (spare_valid_q || valid_q3);
    end
    if (moves) place_q4 <= spare_valid_q ? spare_q : place_d4;
    if (advance) spare_q <= place_d4;
  end

  assign valid_o = valid_q4;
  assign place_o = place_q4;

  logic unused;
  assign unused = ^{layer_i.first_block[7], layer_i.need, layer_i.logits, layer_i.first_row[15:10], layer_i.hi, layer_i.lo[15:1],
                    layer_i.arg3, layer_i.arg2, layer_i.out_map, layer_i.flags, layer_i.cols,
                    kword_q2, map_q2, place_q3.addr};

endmodule
