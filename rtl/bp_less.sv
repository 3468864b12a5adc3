// Signed a < b of ten bits, unless force_i says that force_value_i is the answer. In synthesis two bits a LUT before a
// carry chain: the carry of the highest pair of bits that differ.
module bp_less #(
`ifdef SYNTHESIS
  parameter bit Primitive = 1'b1
`else
  parameter bit Primitive = 1'b0
`endif
) (
  input  logic signed [9:0] a_i,
  input  logic signed [9:0] b_i,
  input  logic              force_i,
  input  logic              force_value_i,
  output logic              less_o
);

  if (Primitive) begin : gen_chain
    // Of a pair of bits each, a below b: upper half, equal; lower half, a less.
    localparam logic [63:0] Pair = 64'h00008421_00007310;
    logic [9:0]  a, b;
    logic [7:0] same, less, carry, out;
    assign a = {b_i[9], a_i[8:0]};         // the signs count the other way round
    assign b = {a_i[9], b_i[8:0]};
    for (genvar p = 0; p < 5; p++) begin : gen_pair
      LUT6_2 #(.INIT(Pair)) u_pair (
        .I0(a[2*p]), .I1(a[2*p+1]), .I2(b[2*p]), .I3(b[2*p+1]), .I4(1'b0), .I5(1'b1),
        .O6(same[p]), .O5(less[p]));
    end
    assign same[7:5] = {2'd0, !force_i};
    assign less[7:5] = {2'd0, force_value_i};
    for (genvar c = 0; c < 2; c++) begin : gen_carry
      CARRY4 u_carry (
        .CI(c == 0 ? 1'b0 : carry[3]), .CYINIT(1'b0), .S(same[4*c +: 4]), .DI(less[4*c +: 4]),
        .O(out[4*c +: 4]), .CO(carry[4*c +: 4]));
    end
    assign less_o = carry[5];
  end else begin : gen_compare
    assign less_o = force_i ? force_value_i : a_i < b_i;
  end

endmodule
