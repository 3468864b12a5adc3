// M x N dot-product units with the weight memory of each row, the window register of each lane,
// and the drain. An issue in cycle t (weight address, window on load_i) is in the sums from t + 5; the
// sums of a tile are captured then and leave DRAIN a cycle from t + 6 on, lane (pixel) by lane,
// channel first.
module bp_array #(
  parameter int unsigned M      = 16,
  parameter int unsigned N      = 8,
  parameter int unsigned K      = 144,
  parameter int unsigned Drain  = 32,
  parameter int unsigned WeightDepth = 1024,
  parameter int unsigned CoefDepth   = 1024,
  localparam int unsigned Ww = $clog2(WeightDepth),
  localparam int unsigned Cw = $clog2(CoefDepth),
  localparam int unsigned Steps = M * N / Drain
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                clear_i,

  input  logic                valid_i,       // an issue
  input  logic                load_i,        // of a new window
  input  logic                first_i,       // of a tile
  input  logic                last_i,
  input  logic [Ww-1:0]       waddr_i,
  input  logic [Cw-1:0]       coef_i,
  input  logic [N*K-1:0]      window_i,

  input  logic                weight_we_i,
  input  logic [Ww-1:0]       weight_waddr_i,
  input  logic [M*K-1:0]      weight_wdata_i,
  input  logic                coef_we_i,
  input  logic [Cw-1:0]       coef_waddr_i,
  input  logic [M*18-1:0]     coef_wdata_i,

  output logic                drain_valid_o,
  output logic                drain_last_o,  // the tile's last sums
  output logic [7:0]          drain_step_o,
  output logic [Drain*32-1:0] drain_o
);

  if (Drain % M != 0 || (M * N) % Drain != 0) begin : gen_check
    $error("bp_array: Drain must be a multiple of M that divides M * N");
  end

  // ---- control pipeline: index = cycles after the issue ----
  logic [5:1] valid_q, last_q;
  logic [4:1] first_q;
  logic [Cw-1:0] coef_q, coef_q2;
  logic [M*18-1:0] coef_data;
  logic capture, drain_q;
  logic [7:0] step_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_q <= '0;
    else valid_q <= {valid_q[4:1], valid_i};
    first_q <= {first_q[3:1], first_i};
    last_q  <= {last_q[4:1], last_i};
    coef_q  <= coef_i;
    coef_q2 <= coef_q;
  end

  bp_ram #(.Width(M*18), .Depth(CoefDepth)) u_coef (
    .clk_i, .we_i(coef_we_i), .waddr_i(coef_waddr_i), .wdata_i(coef_wdata_i),
    .re_i(valid_q[2]), .raddr_i(coef_q2), .rdata_o(coef_data));

  // ---- lanes and rows ----
  for (genvar q = 0; q < N; q++) begin : gen_lane
    logic [K-1:0] window_q;
    always_ff @(posedge clk_i) begin
      if (valid_i && load_i) window_q <= window_i[q*K +: K];
    end
  end

  for (genvar m = 0; m < M; m++) begin : gen_row
    logic [K-1:0] weight;
    logic signed [17:0] coef;
    assign coef = coef_data[m*18 +: 18];
    bp_weight_mem #(.K(K), .Depth(WeightDepth)) u_weight (
      .clk_i, .we_i(weight_we_i), .waddr_i(weight_waddr_i), .wdata_i(weight_wdata_i[m*K +: K]),
      .re_i(valid_i), .raddr_i(waddr_i), .rdata_o(weight));
  end

  // ---- units and captured sums; unit i = lane * M + row ----
  assign capture = valid_q[5] & last_q[5];

  for (genvar i = 0; i < M*N; i++) begin : gen_unit
    logic signed [31:0] sum;
    logic [31:0] sum_q;

    bp_dpu #(.K(K)) u_dpu (
      .clk_i,
      .valid_i (valid_q[1]),
      .window_i(gen_lane[i/M].window_q),
      .weight_i(gen_row[i%M].weight),
      .coef_i  (gen_row[i%M].coef),
      .mul_i   (valid_q[3]),
      .add_i   (valid_q[4]),
      .first_i (first_q[4]),
      .sum_o   (sum)
    );

    always_ff @(posedge clk_i) begin
      if (capture) sum_q <= sum;
    end
  end

  for (genvar l = 0; l < Drain; l++) begin : gen_drain
    logic [Steps*32-1:0] sums;
    for (genvar s = 0; s < Steps; s++) begin : gen_step
      assign sums[s*32 +: 32] = gen_unit[s*Drain+l].sum_q;
    end
    if (Steps == 1) begin : gen_all
      assign drain_o[l*32 +: 32] = sums;
    end else begin : gen_select
      assign drain_o[l*32 +: 32] = sums[step_q[$clog2(Steps)-1:0]*32 +: 32];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      drain_q <= 1'b0;
      step_q  <= '0;
    end else if (capture) begin
      drain_q <= 1'b1;
      step_q  <= '0;
    end else if (drain_q) begin
      step_q  <= step_q + 8'd1;
      drain_q <= !drain_last_o;
    end
  end

  assign drain_valid_o = drain_q;
  assign drain_step_o = step_q;
  assign drain_last_o = step_q == 8'(Steps - 1);

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !clear_i) begin
      a_drained: assert (!capture || !drain_q || drain_last_o);
    end
  end
`endif

endmodule
