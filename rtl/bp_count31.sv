// Sum of three bits and of one of twice their weight; in synthesis two LUTs before a carry chain, in_i[2] being its
// carry in. Without the fourth bit it is a full adder of one LUT.
module bp_count31 #(
`ifdef SYNTHESIS
  parameter bit Primitive = 1'b1
`else
  parameter bit Primitive = 1'b0
`endif
) (
  input  logic [2:0] in_i,
  input  logic       twice_i,
  output logic [2:0] count_o
);

  if (Primitive) begin : gen_chain
    logic [3:0] out, carry;
    CARRY4 u_carry (
      .CI(1'b0), .CYINIT(in_i[2]), .S({2'b00, twice_i, in_i[0] ^ in_i[1]}), .DI({3'b000, in_i[0]}),
      .O(out), .CO(carry));
    assign count_o = {carry[1], out[1:0]};
  end else begin : gen_count
    assign count_o = 3'($countones(in_i)) + {1'b0, twice_i, 1'b0};
  end

endmodule
