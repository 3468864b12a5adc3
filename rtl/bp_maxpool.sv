// Max pooling from the top plane down. A tap is in the race while its bits equal those of the
// best; the output bit is the OR over the taps in the race. The top plane of signed codes is
// inverted on the way in and out, so that the order is that of unsigned codes. All listed taps enter the
// race at the layer's start and with the last plane of the window before.
module bp_maxpool #(
  parameter int unsigned N  = 8,
  parameter int unsigned CG = 16,
  localparam int unsigned K = 9 * CG
) (
  input  logic            clk_i,
  input  logic            rst_ni,
  input  logic            clear_i,
  input  logic            start_i,       // a layer begins, taps_i is that layer's
  input  logic [8:0]      taps_i,
  input  logic            signed_i,
  input  logic            valid_i,
  input  logic            top_i,         // with valid_i: the first plane of a window
  input  logic            last_i,        // with valid_i: the last one
  input  logic [N*K-1:0]  window_i,
  output logic            valid_o,
  output logic [N*CG-1:0] plane_o
);

  logic invert, enter;
  assign invert = signed_i & top_i;
  assign enter = start_i | last_i;

  for (genvar q = 0; q < N; q++) begin : gen_lane
    logic [K-1:0]  in, race_q;
    logic [CG-1:0] best;

    assign in = window_i[q*K +: K] ^ {K{invert}};

    always_comb begin
      best = '0;
      for (int unsigned t = 0; t < 9; t++) begin
        best = best | (race_q[t*CG +: CG] & in[t*CG +: CG]);
      end
    end

    always_ff @(posedge clk_i) begin
      for (int unsigned t = 0; t < 9; t++) begin
        if (valid_i || start_i) begin
          race_q[t*CG +: CG] <= enter ? {CG{taps_i[t]}} : race_q[t*CG +: CG] & (in[t*CG +: CG] | ~best);
        end
      end
      if (valid_i) plane_o[q*CG +: CG] <= best ^ {CG{invert}};
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_o <= 1'b0;
    else valid_o <= valid_i;
  end

endmodule
