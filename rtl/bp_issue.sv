// Issues one weight plane a cycle: a window is taken with its first plane and stays in the array
// for the others. A tile's last issue keeps `gap` cycles from the one before, so that draining and
// writing never overrun.
module bp_issue (
  input  logic            clk_i,
  input  logic            rst_ni,
  input  logic            clear_i,
  input  logic [3:0]      gap_i,          // cycles a tile takes at least, 1..
  input  logic [3:0]      end_gap_i,      // the first of the next layer, after the layer's last
  output logic            end_o,          // the layer's last plane

  input  logic            hold_i,         // no new window
  input  logic            window_valid_i,
  output logic            window_take_o,
  input  bp_pkg::window_t window_i,

  output logic            valid_o,
  output logic            first_o,        // of a tile
  output logic            last_o,
  output logic [15:0]     waddr_o,
  output logic [15:0]     coef_o,
  output logic            wait_o          // held back by the gap
);

  logic [3:0]  left_q, left_d, gap_q, gap_d; // planes of the window in the array; cycles to wait
  logic        more_q, final_q, wait_q;    // left_q is not zero; its last plane ends the tile; gap_q is not zero
  logic        tile_last_q, tile_last, layer_last_q, layer_last;
  logic [15:0] waddr_q, coef_q;
  logic        final_plane, window_valid;

  assign window_valid = window_valid_i & !hold_i;
  assign final_plane = more_q ? final_q : window_i.single;
  assign wait_o = (more_q | window_valid) & final_plane & wait_q;
  assign valid_o = (more_q | window_valid) & !wait_o;
  assign window_take_o = window_valid & !more_q & !(window_i.single & wait_q);
  assign first_o = window_take_o & window_i.first;
  assign last_o = valid_o & final_plane;
  assign waddr_o = more_q ? waddr_q : window_i.waddr;
  assign coef_o = more_q ? coef_q : window_i.coef;

  assign left_d = !valid_o ? left_q : (more_q ? left_q : window_i.wn) - 4'd1;
  assign end_o = last_o && layer_last;
  assign layer_last = window_take_o ? window_i.layer_last : layer_last_q;
  assign gap_d = end_o ? end_gap_i - 4'd1 : last_o ? gap_i - 4'd1 : wait_q ? gap_q - 4'd1 : gap_q;
  assign tile_last = window_take_o ? window_i.last : tile_last_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      left_q  <= '0;
      gap_q   <= '0;
      more_q  <= 1'b0;
      wait_q  <= 1'b0;
    end else begin
      left_q  <= left_d;
      gap_q   <= gap_d;
      more_q  <= left_d != '0;
      wait_q  <= gap_d != '0;
    end
    final_q <= left_d == 4'd1 && tile_last;
    if (valid_o) begin
      waddr_q <= waddr_o + 16'd1;
      coef_q  <= coef_o + 16'd1;
    end
    tile_last_q <= tile_last;
    layer_last_q <= layer_last;
  end

endmodule
