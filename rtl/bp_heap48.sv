// Eight 3-bit counts and eight of twice the weight, reduced to two addends by 6:3 compressors and full adders.
// wN: bits of weight N.
module bp_heap48 (
  input  logic [23:0] low_i,
  input  logic [23:0] high_i,
  output logic [7:0]  count_o,
  output logic [7:0]  more_o
);

  logic [7:0]  w1, w8;
  logic [15:0] w2, w4;
  for (genvar k = 0; k < 8; k++) begin : gen_weight
    assign w1[k]     = low_i[3*k];
    assign w2[k]     = low_i[3*k+1];
    assign w2[8+k]   = high_i[3*k];
    assign w4[k]     = low_i[3*k+2];
    assign w4[8+k]   = high_i[3*k+1];
    assign w8[k]     = high_i[3*k+2];
  end

  // First rank: six bits of a weight become one of it, one of twice and one of four times.
  logic [2:0] a1, a2, b2, a4, b4, a8;
  bp_compress63 u_a1 (.in_i(w1[5:0]),  .count_o(a1));
  bp_compress63 u_a2 (.in_i(w2[5:0]),  .count_o(a2));
  bp_compress63 u_b2 (.in_i(w2[11:6]), .count_o(b2));
  bp_compress63 u_a4 (.in_i(w4[5:0]),  .count_o(a4));
  bp_compress63 u_b4 (.in_i(w4[11:6]), .count_o(b4));
  bp_compress63 u_a8 (.in_i(w8[5:0]),  .count_o(a8));

  // Second rank.
  logic [1:0] c1, c4, c8;
  logic [2:0] d2, d4, d8, d16;
  assign c1 = 2'(a1[0]) + 2'(w1[6]) + 2'(w1[7]);
  assign c4 = 2'(w4[13]) + 2'(w4[14]) + 2'(w4[15]);
  bp_compress63 u_d2 (.in_i({a1[1], a2[0], b2[0], w2[14:12]}), .count_o(d2));
  bp_compress63 u_d4 (.in_i({a1[2], a2[1], b2[1], a4[0], b4[0], w4[12]}), .count_o(d4));
  bp_compress63 u_d8 (.in_i({a2[2], b2[2], a4[1], b4[1], a8[0], w8[6]}), .count_o(d8));
  assign c8 = 2'(d8[0]) + 2'(w8[7]) + 2'(c4[1]);
  bp_compress63 u_d16 (.in_i({a4[2], b4[2], a8[1], d4[2], d8[1], c8[1]}), .count_o(d16));

  // Three rows are left; two of them are added here.
  assign count_o = {1'b0, d16[2], d8[2], d16[0], d2[2], d2[1], c1[1], c1[0]} +
                   {2'b00, a8[2], 1'b0, d4[1], d4[0], d2[0], 1'b0};
  assign more_o = {2'b00, d16[1], 1'b0, c8[0], c4[0], w2[15], 1'b0};

endmodule
