// Seven 3-bit counts and seven of twice the weight, added by 7:3 counters. wN: bits of weight N.
// What comes late goes in at a counter's carry in.
module bp_heap (
  input  logic [20:0] low_i,
  input  logic [20:0] high_i,
  output logic [7:0]  count_o
);

  logic [6:0] w1, w2_low, w2_high, w4_low, w4_high, w8;
  for (genvar k = 0; k < 7; k++) begin : gen_weight
    assign {w4_low[k], w2_low[k], w1[k]}     = low_i[3*k +: 3];
    assign {w8[k], w4_high[k], w2_high[k]}   = high_i[3*k +: 3];
  end

  // Seven bits of a weight become one of it, one of twice and one of four times.
  logic [2:0] a1, a2, b2, a4, b4, a8;
  bp_count7 u_a1 (.in_i(w1),      .count_o(a1));
  bp_count7 u_a2 (.in_i(w2_low),  .count_o(a2));
  bp_count7 u_b2 (.in_i(w2_high), .count_o(b2));
  bp_count7 u_a4 (.in_i(w4_low),  .count_o(a4));
  bp_count7 u_b4 (.in_i(w4_high), .count_o(b4));
  bp_count7 u_a8 (.in_i(w8),      .count_o(a8));

  // Left are 3 bits of weight 2, 5 of 4, 5 of 8, 3 of 16 and 1 of 32: from the bottom up to one of each.
  logic [2:0] c2, c4, c8, c16, c32;
  bp_count31 u_c2 (.in_i({a1[1], b2[0], a2[0]}), .twice_i(1'b0), .count_o(c2));
  bp_count7 u_c4  (.in_i({c2[1], 1'b0, a1[2], a2[1], b2[1], a4[0], b4[0]}), .count_o(c4));
  bp_count7 u_c8  (.in_i({c4[1], 1'b0, a2[2], b2[2], a4[1], b4[1], a8[0]}), .count_o(c8));
  bp_count7 u_c16 (.in_i({c8[1], 2'b00, c4[2], a4[2], b4[2], a8[1]}), .count_o(c16));
  bp_count31 u_c32 (.in_i({c16[1], c8[2], a8[2]}), .twice_i(c16[2]), .count_o(c32));

  assign count_o = {c32, c16[0], c8[0], c4[0], c2[0], a1[0]};

  logic unused;
  assign unused = c2[2];

endmodule
