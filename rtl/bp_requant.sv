// Requantization, Drain lanes: code = clamp((sum * M + B) >> S, lo, hi), four cycles. Lane l holds
// channel l mod M; the scale vector advances with the filter group. For logits the first M lanes
// also give the shifted value clamped to int32.
module bp_requant #(
  parameter int unsigned M          = 16,
  parameter int unsigned Drain      = 32,
  parameter int unsigned ScaleDepth = 512,
  localparam int unsigned Sw = $clog2(ScaleDepth)
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                clear_i,

  input  logic                start_i,       // a MAC layer begins
  input  logic [15:0]         scale_i,       // its first scale vector
  input  logic [23:0]         tiles_i,       // tiles a filter group
  input  logic [5:0]          shift_i,
  input  logic signed [15:0]  lo_i,
  input  logic signed [15:0]  hi_i,
  input  logic                logits_i,

  input  logic                valid_i,
  input  logic                last_i,        // last sums of a tile
  input  logic [7:0]          step_i,
  input  logic [Drain*32-1:0] sum_i,

  input  logic                scale_we_i,
  input  logic [Sw-1:0]       scale_waddr_i,
  input  logic [M*66-1:0]     scale_wdata_i,

  output logic                valid_o,
  output logic                last_o,
  output logic [7:0]          step_o,
  output logic [Drain*8-1:0]  code_o,
  output logic [M*32-1:0]     logit_o
);

  // ---- the vector in use ----
  logic [15:0] scale_q, scale_d;
  logic [23:0] tile_q;
  logic tile_end, group_end;
  logic [M*66-1:0] scale;

  assign tile_end = valid_i & last_i;
  assign group_end = tile_end && tile_q == tiles_i - 24'd1;
  assign scale_d = start_i ? scale_i : scale_q + 16'(group_end);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) scale_q <= '0;
    else scale_q <= scale_d;
    if (start_i || group_end) tile_q <= '0;
    else if (tile_end) tile_q <= tile_q + 24'd1;
  end

  bp_ram #(.Width(M*66), .Depth(ScaleDepth)) u_scale (
    .clk_i, .we_i(scale_we_i), .waddr_i(scale_waddr_i), .wdata_i(scale_wdata_i),
    .re_i(start_i | group_end), .raddr_i(scale_d[Sw-1:0]), .rdata_o(scale));

  // ---- control ----
  logic [4:1] valid_q, last_q;
  logic [7:0] step_q1, step_q2, step_q3;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_q <= '0;
    else valid_q <= {valid_q[3:1], valid_i};
    last_q  <= {last_q[3:1], last_i};
    step_q1 <= step_i;
    step_q2 <= step_q1;
    step_q3 <= step_q2;
    step_o  <= step_q3;
  end

  assign valid_o = valid_q[4];
  assign last_o = last_q[4];

  // ---- addends: one cycle after the multipliers ----
  for (genvar m = 0; m < M; m++) begin : gen_channel
    logic signed [17:0] mul;
    logic signed [47:0] add_q;
    assign mul = scale[m*66 +: 18];
    always_ff @(posedge clk_i) begin
      if (valid_i) add_q <= scale[m*66+18 +: 48];
    end
  end

  for (genvar l = 0; l < Drain; l++) begin : gen_lane
    logic signed [31:0] sum;
    logic signed [49:0] product_q;
    logic signed [51:0] total_q, value_q, lo, hi;
    logic [7:0] code_q;

    assign sum = sum_i[l*32 +: 32];
    assign lo = 52'(lo_i);
    assign hi = 52'(hi_i);

    always_ff @(posedge clk_i) begin
      if (valid_i) product_q <= sum * gen_channel[l%M].mul;
      if (valid_q[1]) total_q <= 52'(product_q) + 52'(gen_channel[l%M].add_q);
      if (valid_q[2]) value_q <= total_q >>> shift_i;
      if (valid_q[3]) code_q <= (value_q < lo) ? lo_i[7:0] : (value_q > hi) ? hi_i[7:0] : value_q[7:0];
    end
    assign code_o[l*8 +: 8] = code_q;

    if (l < M) begin : gen_logit
      logic above, below;
      assign below = value_q[51] && value_q[50:31] != '1;
      assign above = !value_q[51] && value_q[50:31] != '0;
      always_ff @(posedge clk_i) begin
        if (valid_q[3] && logits_i) begin
          logit_o[l*32 +: 32] <= below ? 32'h8000_0000 : above ? 32'h7fff_ffff : value_q[31:0];
        end
      end
    end
  end

endmodule
