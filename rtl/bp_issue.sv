// Issues one weight plane a cycle: a window is taken with its first plane and stays in the array
// for the others. A tile's last issue keeps `gap` cycles from the one before, so that draining and
// writing never overrun.
module bp_issue (
  input  logic            clk_i,
  input  logic            rst_ni,
  input  logic            clear_i,
  input  logic [3:0]      gap_i,          // cycles a tile takes at least, 1..

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

  logic [3:0]  left_q, gap_q;             // planes of the window in the array; cycles to wait
  logic        tile_last_q;
  logic [15:0] waddr_q, coef_q;
  logic        more, final_plane;

  assign more = left_q != '0;
  assign final_plane = more ? (left_q == 4'd1 && tile_last_q)
                            : (window_i.wn == 4'd1 && window_i.last);
  assign wait_o = (more | window_valid_i) & final_plane & (gap_q != '0);
  assign valid_o = (more | window_valid_i) & !wait_o;
  assign window_take_o = valid_o & !more;
  assign first_o = window_take_o & window_i.first;
  assign last_o = valid_o & final_plane;
  assign waddr_o = more ? waddr_q : window_i.waddr;
  assign coef_o = more ? coef_q : window_i.coef;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      left_q <= '0;
      gap_q  <= '0;
    end else begin
      if (valid_o) left_q <= (more ? left_q : window_i.wn) - 4'd1;
      if (last_o) gap_q <= gap_i - 4'd1;
      else if (gap_q != '0) gap_q <= gap_q - 4'd1;
    end
    if (valid_o) begin
      waddr_q <= waddr_o + 16'd1;
      coef_q  <= coef_o + 16'd1;
    end
    if (window_take_o) tile_last_q <= window_i.last;
  end

endmodule
