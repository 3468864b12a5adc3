// Counts a loop of `less_one_i` + 1 steps, again and again: `last_o` is a register that says that the present step is the last.
module bp_count #(
  parameter int unsigned Width = 8
) (
  input  logic             clk_i,
  input  logic             start_i,      // the first step is the next
  input  logic             step_i,
  input  logic [Width-1:0] less_one_i,   // stable from the cycle before start_i on
  output logic             last_o
);

  logic [Width-1:0] left_q;              // steps behind this one
  logic             one_q, begin_step;

  assign begin_step = start_i || (step_i && last_o);

  always_ff @(posedge clk_i) begin
    one_q <= less_one_i == '0;
    if (begin_step) begin
      left_q <= less_one_i;
      last_o <= one_q;
    end else if (step_i) begin
      left_q <= left_q - 1'b1;
      last_o <= left_q == Width'(1);
    end
  end

endmodule
