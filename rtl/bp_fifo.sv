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
  logic [PtrW:0] wptr_q, rptr_q;
  logic push, pop, some_q;             // there is a word

  assign ready_o = (wptr_q - rptr_q) != (PtrW + 1)'(Depth);
  assign valid_o = some_q;
  assign push = valid_i & ready_o;
  assign pop = valid_o & ready_i;
  assign data_o = mem[rptr_q[PtrW-1:0]];

  always_ff @(posedge clk_i) begin
    if (push) mem[wptr_q[PtrW-1:0]] <= data_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      wptr_q <= '0;
      rptr_q <= '0;
      some_q <= 1'b0;
    end else begin
      some_q <= push || (some_q && !(pop && rptr_q + 1'b1 == wptr_q));
      if (push) wptr_q <= wptr_q + 1'b1;
      if (pop) rptr_q <= rptr_q + 1'b1;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_level: assert ((wptr_q - rptr_q) <= (PtrW + 1)'(Depth));
      a_some:  assert (some_q == (wptr_q != rptr_q));
    end
  end
`endif

endmodule
