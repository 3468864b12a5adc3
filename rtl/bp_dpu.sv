// One dot-product unit: AND, popcount, and a DSP48 that multiplies the count by the plane's
// coefficient and accumulates. Operands in cycle 0 are in the sum after cycle 3.
module bp_dpu #(
  parameter int unsigned K = 144
) (
  input  logic               clk_i,
  input  logic               valid_i,        // of window and weights
  input  logic [K-1:0]       window_i,
  input  logic [K-1:0]       weight_i,
  input  logic signed [17:0] coef_i,         // two cycles after the operands
  input  logic               mul_i,          // likewise: the count is valid
  input  logic               add_i,          // three cycles after
  input  logic               first_i,        // three cycles after: start a new sum
  output logic signed [31:0] sum_o
);

  localparam int unsigned CntW = $clog2(K + 1);

  logic [CntW-1:0] count;

  bp_popcount #(.K(K)) u_popcount (
    .clk_i, .valid_i, .a_i(window_i), .b_i(weight_i), .count_o(count));

  bp_dsp48 #(.Aw(CntW + 1), .Cw(1), .Pw(32), .Accumulate(1'b1)) u_dsp (
    .clk_i, .a_i($signed({1'b0, count})), .b_i(coef_i), .c_i(1'b0), .ce_ab_i(1'b0), .ce_m_i(mul_i), .ce_p_i(add_i),
    .first_i, .p_o(sum_o));

endmodule
