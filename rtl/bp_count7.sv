// Number of ones of seven bits. In synthesis two LUTs and half a carry chain: the first stage adds in_i[6], the
// chain's carry in, to the parity of the other six; with an even parity it hands on in_i[5] instead, and the second
// stage, which looks at in_i[4:0] alone, makes good what that leaves out. in_i[6] is the fastest input.
module bp_count7 #(
`ifdef SYNTHESIS
  parameter bit Primitive = 1'b1
`else
  parameter bit Primitive = 1'b0
`endif
) (
  input  logic [6:0] in_i,
  output logic [2:0] count_o
);

  if (Primitive) begin : gen_chain
    // Of the ones among five bits: upper half, two or three of them; lower half, four or more.
    localparam logic [63:0] Second = 64'h177e7ee8_e8808000;
    logic       parity, second, four;
    logic [3:0] out, carry;

    assign parity = ^in_i[5:0];
    LUT6_2 #(.INIT(Second)) u_second (
      .I0(in_i[0]), .I1(in_i[1]), .I2(in_i[2]), .I3(in_i[3]), .I4(in_i[4]), .I5(1'b1),
      .O6(second), .O5(four));
    CARRY4 u_carry (
      .CI(1'b0), .CYINIT(in_i[6]), .S({2'b00, second, parity}), .DI({2'b00, four, in_i[5]}),
      .O(out), .CO(carry));
    assign count_o = {carry[1], out[1:0]};
  end else begin : gen_count
    assign count_o = 3'($countones(in_i));
  end

endmodule
