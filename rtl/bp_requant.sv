// Requantization, Drain lanes: code = clamp((sum * M + B) >> S, lo, hi), five cycles. Lane l holds
// channel l mod M; the scale vector advances with the filter group. The product is made of two of 18 bits,
// low and high part of the sum; both additions are those of the DSPs. Of lo and hi the low 10 bits count.
// Logits, the first M sums of a tile: kept before the shift; from the sixth cycle on two a cycle leave,
// shifted and clamped to int32. Such tiles begin at least M / 2 cycles apart.
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
  output logic [63:0]         logit_o
);

  localparam int unsigned In     = 51;        // bits of a scaled sum
  localparam int unsigned Groups = (In - 10 + 2) / 3;

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

  // ---- control: index = cycles after the sums ----
  logic [5:1] valid_q, last_q;
  logic [7:0] step_q1, step_q2, step_q3, step_q4;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_q <= '0;
    else valid_q <= {valid_q[4:1], valid_i};
    last_q  <= {last_q[4:1], last_i};
    step_q1 <= step_i;
    step_q2 <= step_q1;
    step_q3 <= step_q2;
    step_q4 <= step_q3;
    step_o  <= step_q4;
  end

  assign valid_o = valid_q[5];
  assign last_o = last_q[5];

  // ---- the vector, with the sums and a cycle later ----
  for (genvar m = 0; m < M; m++) begin : gen_channel
    logic signed [17:0] mul;
    logic signed [47:0] add_q;
    logic               negative_q;
    assign mul = scale[m*66 +: 18];
    always_ff @(posedge clk_i) begin
      if (valid_i) add_q <= scale[m*66+18 +: 48];
      if (valid_q[1]) negative_q <= add_q[47];
    end
  end

  // The shift stands still from long before the first sum of a layer.
  logic [2*Groups-1:0] mask, mask_q;
  bp_mask #(.Groups(Groups)) u_mask (.shift_i, .mask_o(mask));
  always_ff @(posedge clk_i) mask_q <= mask;

  for (genvar l = 0; l < Drain; l++) begin : gen_lane
    logic signed [17:0] low;
    logic signed [47:0] low_sum_q;
    logic signed [31:0] carry;
    logic signed [33:0] high_sum_q;
    logic [16:0]        rest_q;
    logic signed [9:0]  value, value_q, lo, hi;
    logic [7:0]         code_q;
    logic               over, over_q, sign_q, below, above;

    assign low = {1'b0, sum_i[l*32 +: 17]};
    // Products are not negative: the sum wraps only if the addend is not negative either.
    assign carry = {low_sum_q[47] & gen_channel[l%M].negative_q, low_sum_q[47:17]};

    bp_dsp48 u_low (
      .clk_i, .a_i(low), .b_i(gen_channel[l%M].mul), .c_i(gen_channel[l%M].add_q), .ce_ab_i(1'b0),
      .ce_m_i(valid_i), .ce_p_i(valid_q[1]), .first_i(1'b0), .p_o(low_sum_q));
    bp_dsp48 #(.Aw(15), .Cw(32), .Pw(34), .Inputs(1'b1)) u_high (
      .clk_i, .a_i(sum_i[l*32+17 +: 15]), .b_i(gen_channel[l%M].mul), .c_i(carry), .ce_ab_i(valid_i),
      .ce_m_i(valid_q[1]), .ce_p_i(valid_q[2]), .first_i(1'b0), .p_o(high_sum_q));

    always_ff @(posedge clk_i) begin
      if (valid_q[2]) rest_q <= low_sum_q[16:0];
      if (valid_q[3]) begin
        value_q <= value;
        over_q  <= over;
        sign_q  <= high_sum_q[33];
      end
    end

    bp_shift #(.In(In), .Out(10), .Groups(Groups)) u_shift (
      .data_i({high_sum_q, rest_q}), .shift_i, .mask_i(mask_q), .data_o(value), .over_o(over));

    assign lo = lo_i[9:0];
    assign hi = hi_i[9:0];
    bp_less u_below (.a_i(value_q), .b_i(lo), .force_i(over_q), .force_value_i(sign_q), .less_o(below));
    bp_less u_above (.a_i(hi), .b_i(value_q), .force_i(over_q), .force_value_i(!sign_q), .less_o(above));
    always_ff @(posedge clk_i) begin
      if (valid_q[4]) begin
        code_q <= below ? lo[7:0] : above ? hi[7:0] : value_q[7:0];
      end
    end
    assign code_o[l*8 +: 8] = code_q;
  end

  // ---- logits ----
  logic [M*In-1:0]        wide_q;          // of the tile, before the shift
  logic [$clog2(M/2)-1:0] pair_q;          // counts on its own from the tile's first sums
  logic                   keep;
  assign keep = valid_q[3] && step_q3 == '0 && logits_i;

  for (genvar m = 0; m < M; m++) begin : gen_wide
    always_ff @(posedge clk_i) begin
      if (keep) wide_q[m*In +: In] <= {gen_lane[m].high_sum_q, gen_lane[m].rest_q};
    end
  end

  always_ff @(posedge clk_i) pair_q <= keep ? '0 : pair_q + 1'b1;

  for (genvar h = 0; h < 2; h++) begin : gen_half
    logic [M/2*In-1:0] halves;
    logic [In-1:0]     data_q;
    logic [31:0]       value, logit_q;
    logic              over;
    for (genvar p = 0; p < M/2; p++) begin : gen_pair
      assign halves[p*In +: In] = wide_q[(2*p+h)*In +: In];
    end
    bp_shift #(.In(In), .Out(32), .Groups(Groups)) u_shift (
      .data_i(data_q), .shift_i, .mask_i(mask_q), .data_o(value), .over_o(over));
    always_ff @(posedge clk_i) begin
      data_q  <= halves[pair_q*In +: In];
      logit_q <= over ? {data_q[In-1], {31{!data_q[In-1]}}} : value;
    end
    assign logit_o[h*32 +: 32] = logit_q;
  end

  logic unused;
  assign unused = ^{lo_i[15:10], hi_i[15:10]};

endmodule
