// Number of ones of a & b as two addends, two cycles later: the adder before a DSP's multiplier adds them. In synthesis
// triples of products become two LUT6, 6:3 compressors reduce the two ranks, and for K = 144 two more
// levels of compressors reduce the counts; in simulation $countones.
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
  output logic [CntW-1:0] count_o,
  output logic [CntW-1:0] more_o
);

  if (K % 18 != 0) begin : gen_check
    $error("bp_popcount: K must be a multiple of 18");
  end

  if (Tree) begin : gen_tree
    localparam int unsigned Triples = K / 3;
    localparam int unsigned Sixes   = Triples / 6;
    logic [Triples-1:0] ones, twos;
    logic [Sixes*3-1:0] low_d, high_d, low_q, high_q;
    logic [CntW-1:0]    count, more;

    for (genvar t = 0; t < Triples; t++) begin : gen_triple
      logic [2:0] p;
      assign p = a_i[t*3 +: 3] & b_i[t*3 +: 3];
      assign ones[t] = ^p;
      assign twos[t] = (p[0] & p[1]) | (p[0] & p[2]) | (p[1] & p[2]);
    end

    for (genvar s = 0; s < Sixes; s++) begin : gen_six
      bp_compress63 u_low (.in_i(ones[s*6 +: 6]), .count_o(low_d[s*3 +: 3]));
      bp_compress63 u_high (.in_i(twos[s*6 +: 6]), .count_o(high_d[s*3 +: 3]));
    end

    if (Sixes == 8) begin : gen_heap
      bp_heap48 u_heap (.low_i(low_q), .high_i(high_q), .count_o(count), .more_o(more));
    end else begin : gen_sum
      always_comb begin
        count = '0;
        more = '0;
        for (int unsigned s = 0; s < Sixes; s++) begin
          count = count + CntW'(low_q[s*3 +: 3]);
          more = more + CntW'({high_q[s*3 +: 3], 1'b0});
        end
      end
    end

    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        low_q <= low_d;
        high_q <= high_d;
      end
      count_o <= count;
      more_o  <= more;
    end
  end else begin : gen_count
    logic [CntW-1:0] count_q;
    always_ff @(posedge clk_i) begin
      if (valid_i) count_q <= CntW'($countones(a_i & b_i));
      count_o <= count_q;
      more_o  <= '0;
    end
  end

endmodule
