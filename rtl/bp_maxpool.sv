// Max pooling from the top plane down. A tap is in the race while its bits equal those of the
// best; the output bit is the OR over the taps in the race. The top plane of signed codes is
// inverted on the way in and out, so that the order is that of unsigned codes.
module bp_maxpool #(
  parameter int unsigned N  = 8,
  parameter int unsigned CG = 16,
  localparam int unsigned K = 9 * CG
) (
  input  logic            clk_i,
  input  logic            rst_ni,
  input  logic            clear_i,
  input  logic [8:0]      taps_i,
  input  logic            signed_i,
  input  logic            valid_i,
  input  logic            top_i,         // the first plane of a window
  input  logic [N*K-1:0]  window_i,
  output logic            valid_o,
  output logic [N*CG-1:0] plane_o
);

  logic invert;
  assign invert = signed_i & top_i;

  for (genvar q = 0; q < N; q++) begin : gen_lane
    logic [K-1:0]  in, race_q, race;
    logic [CG-1:0] best;

    assign in = window_i[q*K +: K] ^ {K{invert}};

    always_comb begin
      best = '0;
      for (int unsigned t = 0; t < 9; t++) begin
        race[t*CG +: CG] = top_i ? {CG{taps_i[t]}} : race_q[t*CG +: CG];
        best = best | (race[t*CG +: CG] & in[t*CG +: CG]);
      end
    end

    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        race_q <= race & (in | ~{9{best}});
        plane_o[q*CG +: CG] <= best ^ {CG{invert}};
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_o <= 1'b0;
    else valid_o <= valid_i;
  end

endmodule
