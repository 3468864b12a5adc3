// Number of ones of a & b, two cycles later. In synthesis triples of products become two LUT6, and 7:3 counters on
// carry chains reduce the two ranks; in simulation $countones.
module bp_popcount #(
  parameter int unsigned K   = 144,
`ifdef SYNTHESIS
  parameter bit          Tree = 1'b1,
`else
  parameter bit          Tree = 1'b0,
`endif
  localparam int unsigned CntW = $clog2(K + 1)
) (
  input  logic            clk_i,
  input  logic            valid_i,
  input  logic [K-1:0]    a_i,
  input  logic [K-1:0]    b_i,
  output logic [CntW-1:0] count_o
);

  logic [CntW-1:0] count;

  if (Tree) begin : gen_tree
    if (K != 144) begin : gen_check
      $error("bp_popcount: the tree is made for K = 144");
    end

    localparam int unsigned Triples = 48;
    localparam int unsigned Sevens  = 7;
    logic [Sevens*7-1:0] ones, twos;
    logic [Sevens*3-1:0] low_d, high_d, low_q, high_q;

    for (genvar t = 0; t < Triples; t++) begin : gen_triple
      logic [2:0] p;
      assign p = a_i[t*3 +: 3] & b_i[t*3 +: 3];
      assign ones[t] = ^p;
      assign twos[t] = (p[0] & p[1]) | (p[0] & p[2]) | (p[1] & p[2]);
    end
    assign ones[Triples] = 1'b0;
    assign twos[Triples] = 1'b0;

    for (genvar s = 0; s < Sevens; s++) begin : gen_seven
      bp_count7 u_low (.in_i(ones[s*7 +: 7]), .count_o(low_d[s*3 +: 3]));
      bp_count7 u_high (.in_i(twos[s*7 +: 7]), .count_o(high_d[s*3 +: 3]));
    end

    bp_heap u_heap (.low_i(low_q), .high_i(high_q), .count_o(count));

    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        low_q  <= low_d;
        high_q <= high_d;
      end
    end
  end else begin : gen_count
    always_ff @(posedge clk_i) begin
      if (valid_i) count <= CntW'($countones(a_i & b_i));
    end
  end

  always_ff @(posedge clk_i) count_o <= count;

endmodule
