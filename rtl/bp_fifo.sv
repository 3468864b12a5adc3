// FIFO with the oldest word on the output (first word falls through); `clear_i` empties it.
module bp_fifo #(
  parameter int unsigned Width = 64,
  parameter int unsigned Depth = 64   // a power of two
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             clear_i,
  input  logic             valid_i,
  output logic             ready_o,
  input  logic [Width-1:0] data_i,
  output logic             valid_o,
  input  logic             ready_i,
  output logic [Width-1:0] data_o
);

  localparam int unsigned PtrW = $clog2(Depth);

  if (Depth != (1 << PtrW)) begin : gen_check
    $error("bp_fifo: Depth must be a power of two");
  end

  logic [Width-1:0] mem [Depth];
  logic [PtrW-1:0] wptr_q, rptr_q;
  logic [PtrW:0]   level_q;            // words
  logic push, pop, some_q, one_q;      // there are words; there is one

  assign ready_o = !level_q[PtrW];
  assign valid_o = some_q;
  assign push = valid_i & ready_o;
  assign pop = valid_o & ready_i;
  assign data_o = mem[rptr_q];

  always_ff @(posedge clk_i) begin
    if (push) mem[wptr_q] <= data_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      wptr_q  <= '0;
      rptr_q  <= '0;
      level_q <= '0;
      some_q  <= 1'b0;
      one_q   <= 1'b0;
    end else begin
      if (push) wptr_q <= wptr_q + 1'b1;
      if (pop) rptr_q <= rptr_q + 1'b1;
      if (push != pop) begin
        level_q <= push ? level_q + 1'b1 : level_q - 1'b1;
        one_q   <= push ? level_q == '0 : level_q == (PtrW + 1)'(2);
      end
      some_q <= push || (some_q && !(pop && one_q));
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_level: assert (level_q <= (PtrW + 1)'(Depth) && PtrW'(level_q) == wptr_q - rptr_q);
      a_some:  assert (some_q == (level_q != '0) && one_q == (level_q == (PtrW + 1)'(1)));
    end
  end
`endif

endmodule
