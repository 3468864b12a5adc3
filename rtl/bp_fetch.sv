// Reads the activation memory and builds windows: N lanes x 9 taps x CG channels of one plane.
// Three stages that wait for each other: the read is issued; the words arrive, rows are put in
// order (bank), columns rotated by the shift and masked by padding; the window is complete and
// waits to be taken. A window of L reads can follow another every L cycles.
//   part: number of the read of a plane. Spatial: block. Group mode: tap column, and at stride 2
//   the first half of the lanes, then the other half of each. A map of one block is read once.
// Planes of a pixel are in neighbouring banks, so that a read can give two (next): the second row of the window and the third are
// of the plane behind the first row's, or nothing behind the last.
module bp_fetch #(
  parameter int unsigned N        = 8,
  parameter int unsigned CG       = 16,
  parameter int unsigned ActDepth = 1024,
  localparam int unsigned Aw   = $clog2(ActDepth),
  localparam int unsigned Word = (N + 2) * CG,
  localparam int unsigned K    = 9 * CG
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              clear_i,

  input  logic              pool_i,        // MAXPOOL: planes from the top
  input  logic              signed_i,      // MAXPOOL: of signed codes
  input  logic [127:0]      pad_i,         // of raw maps, 16 bits a plane

  input  logic              valid_i,
  output logic              ready_o,
  input  bp_pkg::place_t    place_i,

  output logic              act_re_o,
  output logic [4*Aw-1:0]   act_raddr_o,
  input  logic [4*Word-1:0] act_rdata_i,

  output logic              window_valid_o,
  input  logic              window_take_i,
  output bp_pkg::window_t   window_ctl_o,
  output logic [N*K-1:0]    window_o,

  output logic              read_o,        // a read is issued in this cycle
  output logic [7:0]        error_o
);

  localparam int unsigned LgN  = $clog2(N);
  localparam int unsigned Half = N / 2;

  if (N != (1 << LgN) || N < 8 || N > 32 || CG != 16) begin : gen_check
    $error("bp_fetch: blocks of 8, 16 or 32 pixels and groups of 16 channels only");
  end

  localparam int unsigned AddrW = bp_pkg::AddrW;

  // ---- issue ----
  logic [3:0] plane_q, plane, top_plane;
  logic [2:0] part_q;
  logic [1:0] column;                      // group mode
  logic       half;
  logic [7:0] coef_off_q;
  logic signed [AddrW-1:0] off_q, off_step, addr;
  logic [AddrW-1:0] row_addr0, row_addr1, row_addr2;
  logic [1:0] bank;
  logic [2:0] row_ok, group_ok;
  logic       blk_ok, last_part, last_plane, issue, read_free;

  assign issue = valid_i & read_free;
  assign last_part = part_q == place_i.parts - 3'd1;
  assign top_plane = place_i.planes - 4'd1;
  assign last_plane = plane_q[3:1] == top_plane[3:1] && (plane_q[0] == top_plane[0] || place_i.next);
  assign ready_o = issue & last_part & last_plane;
  assign plane = pool_i ? place_i.planes - 4'd1 - plane_q : plane_q;
  assign column = place_i.stride2 ? part_q[2:1] : part_q[1:0];
  assign half = place_i.stride2 & part_q[0];

  always_comb begin
    if ((place_i.behind[1] || place_i.ahead[0]) && part_q == 3'd0) off_step = '0;
    else if (!place_i.group || (place_i.stride2 && !half)) off_step = AddrW'(place_i.px_stride);
    else off_step = (place_i.repeats ? AddrW'(place_i.planes) : AddrW'(place_i.planes * 6'd3)) - (half ? AddrW'(place_i.px_stride) : '0);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      plane_q    <= '0;
      part_q     <= '0;
      off_q      <= '0;
      coef_off_q <= '0;
    end else if (issue) begin
      part_q <= last_part ? '0 : part_q + 3'd1;
      off_q  <= last_part ? '0 : off_q + off_step;
      if (last_part) begin
        plane_q    <= last_plane ? '0 : plane_q + (place_i.next ? 4'd2 : 4'd1);
        coef_off_q <= last_plane ? '0 : coef_off_q + 8'(place_i.wn);
      end
    end
  end

  // Rows of the window: in group mode the groups of a tap column.
  assign addr = $signed(place_i.addr) + off_q + AddrW'(plane);
  always_comb begin
    row_addr0 = addr;
    if (place_i.group) begin
      row_addr1 = addr + (place_i.repeats ? AddrW'(place_i.next) : AddrW'(place_i.planes));
      row_addr2 = addr + (place_i.repeats ? '0 : AddrW'({place_i.planes, 1'b0}));
      bank = place_i.repeats ? place_i.bank + column + plane[1:0] : place_i.bank - column + plane[1:0];  // + 3 * column
    end else begin
      row_addr1 = addr + ((place_i.row == 2'd3) ? AddrW'(place_i.row_stride) : '0);
      row_addr2 = addr + (place_i.row[1] ? AddrW'(place_i.row_stride) : '0);
      bank = place_i.bank + plane[1:0];
    end
  end

  for (genvar b = 0; b < 4; b++) begin : gen_addr
    logic [1:0] row;
    assign row = 2'(b) - bank;
    assign act_raddr_o[b*Aw +: Aw] = (row == 2'd1) ? row_addr1[Aw-1:0] :
                                     (row == 2'd2) ? row_addr2[Aw-1:0] : row_addr0[Aw-1:0];
  end

  assign row_ok = (place_i.next && plane_q == top_plane) ? group_ok & 3'b001 : group_ok;
  assign group_ok = !place_i.group ? place_i.row_ok[2:0] :
                  (column == 2'd0) ? place_i.row_ok[2:0] :
                  (column == 2'd1) ? place_i.row_ok[5:3] : place_i.row_ok[8:6];
  assign blk_ok = place_i.group ? place_i.blk_ok[half ? 1 : 0] :
                  (part_q == 3'd0) ? place_i.blk_ok[0] :
                  (part_q == 3'd1) ? place_i.blk_ok[1] : place_i.blk_ok[2];
  // An address beyond the memory is seen a cycle later.
  logic [2:0] used_q;
  logic [3*(AddrW-Aw)-1:0] beyond_q;
  always_ff @(posedge clk_i) begin
    used_q <= (issue && blk_ok && !clear_i) ? row_ok : '0;
    beyond_q <= {row_addr2[AddrW-1:Aw], row_addr1[AddrW-1:Aw], row_addr0[AddrW-1:Aw]};
  end
  assign error_o = ((used_q[0] && beyond_q[0 +: AddrW-Aw] != '0) ||
                    (used_q[1] && beyond_q[AddrW-Aw +: AddrW-Aw] != '0) ||
                    (used_q[2] && beyond_q[2*(AddrW-Aw) +: AddrW-Aw] != '0)) ?
                   bp_pkg::ErrAct : bp_pkg::ErrNone;
  assign act_re_o = issue;
  assign read_o = issue;

  // ---- words ----
  logic            read_valid_q, read_move;
  logic            group_q, repeats_q, next_q, lone_q, stride2_q, last_part_q, half_q, behind_q, ahead_q;
  logic [1:0]      column_q, bank_q;
  logic [2:0]      part_q2, row_ok_q;
  logic [LgN-1:0]  shift_q;
  logic [2*N:0]    col_ok_q;
  logic [CG-1:0]   pad_q, pad;
  bp_pkg::window_t ctl_q;

  assign read_free = !read_valid_q | read_move;
  assign pad = pool_i ? {CG{signed_i && plane_q == '0}} :
               (place_i.raw && !place_i.group) ? pad_i[plane[2:0]*CG +: CG] : '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) read_valid_q <= 1'b0;
    else read_valid_q <= issue | (read_valid_q & !read_move);
    if (issue) begin
      group_q     <= place_i.group;
      repeats_q   <= place_i.repeats;
      next_q      <= place_i.next;
      lone_q      <= place_i.lone;
      stride2_q   <= place_i.stride2;
      last_part_q <= last_part;
      half_q      <= half;
      behind_q    <= (part_q == 3'd0) ? place_i.behind[0] : place_i.behind[1];
      ahead_q     <= (part_q == 3'd0) ? place_i.ahead[0] : place_i.ahead[1];
      column_q    <= column;
      bank_q      <= bank;
      part_q2     <= part_q;
      // Group mode: the rotation brings pixel q, column q + 1 at shift 0, to column q + p.
      shift_q     <= place_i.group ? LgN'(1) - LgN'(column) : place_i.shift[LgN-1:0];
      row_ok_q    <= row_ok;
      col_ok_q    <= place_i.col_ok[2*N:0];
      pad_q       <= pad;
      ctl_q.layer_last <= place_i.layer_last && last_plane;
      ctl_q.single <= place_i.wn == 4'd1 && place_i.tile_last && last_plane;
      ctl_q.first <= place_i.tile_first && plane_q == '0;
      ctl_q.last  <= place_i.tile_last && last_plane;
      ctl_q.wn    <= place_i.wn;
      ctl_q.waddr <= place_i.waddr;
      ctl_q.coef  <= place_i.coef + 16'(coef_off_q);
    end
  end

  // Rotated columns: from the first block the slots from the shift on, the others from the next.
  logic [N+1:0] early;                     // the column is in the first block's word
  for (genvar j = 0; j < N; j++) begin : gen_early
    assign early[j] = 32'(shift_q) + j <= N;
  end
  assign early[N] = 32'(shift_q) <= 32'd1;
  assign early[N+1] = shift_q == '0;

  for (genvar r = 0; r < 3; r++) begin : gen_row
    logic [Word-1:0] columns;
    bp_rotate #(.N(N), .CG(CG)) u_rotate (
      .banks_i(act_rdata_i), .bank_i(!repeats_q ? bank_q + 2'(r) : bank_q + 2'(next_q && r > 0)), .shift_i(shift_q), .behind_i(behind_q), .ahead_i(ahead_q),
      .columns_o(columns));
  end

  // ---- window ----
  logic            full_q;
  bp_pkg::window_t window_ctl_q;
  logic [N*K-1:0]  window_q;

  assign read_move = read_valid_q & (!full_q | window_take_i);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) full_q <= 1'b0;
    else full_q <= (read_move & last_part_q) | (full_q & !window_take_i);
    if (read_move && last_part_q) window_ctl_q <= ctl_q;
  end

  for (genvar q = 0; q < N; q++) begin : gen_lane
    for (genvar p = 0; p < 3; p++) begin : gen_tap
      // Column of the window: relative to the lane's half, and of the whole.
      localparam int unsigned One      = q + p;
      localparam int unsigned Two      = 2 * (q % Half) + p;
      localparam int unsigned GroupOne = q + 1;
      localparam int unsigned GroupTwo = 2 * (q % Half) + 1;
      localparam int unsigned Far      = (q < Half) ? 0 : N;
      logic late, write, ok, mine, keep;
      logic [2:0] part_rel;
      assign part_rel = part_q2 - 3'(stride2_q && q >= Half);
      assign late = stride2_q ? !early[Two] : !early[One];
      assign mine = column_q == 2'(p) && (!stride2_q || half_q == 1'(q >= Half));
      // The first read of group mode clears the taps of the other columns.
      assign write = read_move & (group_q ? (mine || part_q2 == '0) : part_rel == 3'(late) || lone_q);
      assign ok = group_q ? (stride2_q ? col_ok_q[GroupTwo+Far] : col_ok_q[GroupOne]) :
                            (stride2_q ? col_ok_q[Two+Far] : col_ok_q[One]);
      // Of the columns that are wanted; taps of other columns of group mode are zero, as its padding.
      assign keep = ok && (!group_q || mine);
      for (genvar r = 0; r < 3; r++) begin : gen_px
        logic [CG-1:0] px;
        assign px = stride2_q ? gen_row[r].columns[Two*CG +: CG] : gen_row[r].columns[One*CG +: CG];
        always_ff @(posedge clk_i) begin
          if (write) window_q[q*K+(3*r+p)*CG +: CG] <= (keep && row_ok_q[r]) ? px : pad_q;
        end
      end
    end
  end

  assign window_valid_o = full_q;
  assign window_ctl_o = window_ctl_q;
  assign window_o = window_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !clear_i) begin
      a_take: assert (!window_take_i || full_q);
      a_part: assert (!valid_i || part_q < place_i.parts);
    end
  end
`endif

endmodule
