// The three uses of bp_dsp48 beside themselves: with the primitive, and plain. For its bench.
module dsp48_pair (
  input  logic               clk_i,
  input  logic signed [24:0] a_i,
  input  logic signed [17:0] b_i,
  input  logic signed [47:0] c_i,
  input  logic               ce_ab_i,
  input  logic               ce_m_i,
  input  logic               ce_p_i,
  input  logic               first_i,
  output logic [47:0]        low_o  [2],
  output logic [33:0]        high_o [2],
  output logic [31:0]        sum_o  [2]
);
  for (genvar p = 0; p < 2; p++) begin : gen_kind
    bp_dsp48 #(.Primitive(1'(p)), .Aw(18)) u_low (
      .clk_i, .a_i(a_i[17:0]), .b_i, .c_i, .ce_ab_i, .ce_m_i, .ce_p_i, .first_i, .p_o(low_o[p]));
    bp_dsp48 #(.Primitive(1'(p)), .Aw(15), .Cw(32), .Pw(34), .Inputs(1'b1)) u_high (
      .clk_i, .a_i(a_i[14:0]), .b_i, .c_i(c_i[31:0]), .ce_ab_i, .ce_m_i, .ce_p_i, .first_i, .p_o(high_o[p]));
    bp_dsp48 #(.Primitive(1'(p)), .Aw(9), .Pw(32), .Accumulate(1'b1)) u_sum (
      .clk_i, .a_i(a_i[8:0]), .b_i, .c_i, .ce_ab_i, .ce_m_i, .ce_p_i, .first_i, .p_o(sum_o[p]));
  end
endmodule
