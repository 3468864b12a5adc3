// Requantization, Drain lanes: code = clamp((sum * M + B) >> S, lo, hi), five cycles. Lane l holds
// channel l mod M; the scale vector advances with the filter group. For logits the first M lanes
// also give the shifted value clamped to int32. The product is made of two of 18 bits, low and high
// part of the sum; both additions are those of the DSPs. Of lo and hi the low 10 bits count.
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
    logic signed [17:0] mul, mul_q;
    logic signed [47:0] add_q;
    logic               negative_q;
    assign mul = scale[m*66 +: 18];
    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        mul_q <= mul;
        add_q <= scale[m*66+18 +: 48];
      end
      if (valid_q[1]) negative_q <= add_q[47];
    end
  end

  for (genvar l = 0; l < Drain; l++) begin : gen_lane
    localparam int unsigned Out = (l < M) ? 32 : 10;
    logic signed [17:0] low;
    logic signed [14:0] high_q;
    logic signed [35:0] low_product_q;
    logic signed [32:0] high_product_q;
    logic signed [47:0] low_sum_q;
    logic signed [31:0] carry;
    logic signed [33:0] high_sum_q;
    logic [16:0]        rest_q;
    logic [Out-1:0]     value, value_q;
    logic               over, over_q, sign_q;

    assign low = {1'b0, sum_i[l*32 +: 17]};
    // Products are not negative: the sum wraps only if the addend is not negative either.
    assign carry = {low_sum_q[47] & gen_channel[l%M].negative_q, low_sum_q[47:17]};

    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        low_product_q <= low * gen_channel[l%M].mul;
        high_q        <= sum_i[l*32+17 +: 15];
      end
      if (valid_q[1]) begin
        low_sum_q      <= 48'(low_product_q) + gen_channel[l%M].add_q;
        high_product_q <= high_q * gen_channel[l%M].mul_q;
      end
      if (valid_q[2]) begin
        high_sum_q <= 34'(high_product_q) + 34'(carry);
        rest_q     <= low_sum_q[16:0];
      end
      if (valid_q[3]) begin
        value_q <= value;
        over_q  <= over;
        sign_q  <= high_sum_q[33];
      end
    end

    bp_shift #(.In(51), .Out(Out)) u_shift (
      .data_i({high_sum_q, rest_q}), .shift_i, .data_o(value), .over_o(over));

    // ---- code ----
    logic signed [9:0] small_q, lo, hi;
    logic [7:0]        code_q;
    logic              over_small;
    assign small_q = value_q[9:0];
    assign lo = lo_i[9:0];
    assign hi = hi_i[9:0];
    always_ff @(posedge clk_i) begin
      if (valid_q[4]) begin
        if (over_small ? sign_q : small_q < lo) code_q <= lo[7:0];
        else if (over_small || small_q > hi) code_q <= hi[7:0];
        else code_q <= small_q[7:0];
      end
    end
    assign code_o[l*8 +: 8] = code_q;

    if (l < M) begin : gen_logit
      assign over_small = over_q || value_q[31:9] != {23{sign_q}};
      always_ff @(posedge clk_i) begin
        if (valid_q[4] && logits_i) begin
          logit_o[l*32 +: 32] <= over_q ? {sign_q, {31{!sign_q}}} : value_q;
        end
      end
    end else begin : gen_small
      assign over_small = over_q;
    end
  end

  logic unused;
  assign unused = ^{lo_i[15:10], hi_i[15:10]};

endmodule
