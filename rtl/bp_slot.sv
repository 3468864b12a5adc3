// One slot of a plane word of a raw image: of P planes a word, the bit word * P + b of a channel. Two
// ranks of choices, five LUT6.
module bp_slot #(
  parameter int unsigned Slot = 0
) (
  input  logic [7:0] ch1_i,          // the slot's channel for P = 1, 2, 4
  input  logic [7:0] ch2_i,
  input  logic [7:0] ch4_i,
  input  logic       ch8_i,          // its bit for P = 8
  input  logic [3:0] p_i,
  input  logic [2:0] word_i,
  output logic       bit_o
);

  logic low, high, two, more;
  assign low  = ch1_i[{1'b0, word_i[1:0]}];
  assign high = ch1_i[{1'b1, word_i[1:0]}];
  assign two  = ch2_i[{word_i[1:0], 1'(Slot / 8)}];
  assign more = p_i[3] ? ch8_i : ch4_i[{word_i[0], 2'(Slot / 4)}];
  always_comb begin
    unique case ({p_i[0], p_i[0] ? word_i[2] : p_i[1]})
      2'b10: bit_o = low;
      2'b11: bit_o = high;
      2'b01: bit_o = two;
      default: bit_o = more;
    endcase
  end

  logic unused;
  assign unused = ^{ch2_i, ch4_i, p_i[2]};

endmodule
