// One DSP: product, then a sum, each in a register of its own: m <= a * b, p <= m + (c, or with Accumulate p again
// or 0 for the first). With Inputs a and b are registered before. Synthesis for 7-series finds this by itself; for
// UltraScale+ it finds the product only, so a DSP48E2 is instantiated.
module bp_dsp48 #(
`ifdef ULTRASCALE
  parameter bit          Primitive  = 1'b1,
`else
  parameter bit          Primitive  = 1'b0,
`endif
  parameter int unsigned Aw         = 18,
  parameter int unsigned Cw         = 48,
  parameter int unsigned Pw         = 48,
  parameter bit          Inputs     = 1'b0,
  parameter bit          Accumulate = 1'b0
) (
  input  logic                 clk_i,
  input  logic signed [Aw-1:0] a_i,
  input  logic signed [17:0]   b_i,
  input  logic signed [Cw-1:0] c_i,
  input  logic                 ce_ab_i,
  input  logic                 ce_m_i,
  input  logic                 ce_p_i,
  input  logic                 first_i,
  output logic signed [Pw-1:0] p_o
);

  if (Aw > 27 || Cw > 48 || Pw > 48) begin : gen_check
    $error("bp_dsp48: a has at most 27 bits, c and p at most 48");
  end

  if (Primitive) begin : gen_e2
    logic [47:0] p;
    DSP48E2 #(
      .AMULTSEL("A"), .BMULTSEL("B"), .USE_MULT("MULTIPLY"),
      .AREG(Inputs ? 1 : 0), .ACASCREG(Inputs ? 1 : 0), .BREG(Inputs ? 1 : 0), .BCASCREG(Inputs ? 1 : 0),
      .ADREG(0), .DREG(0), .CREG(0), .MREG(1), .PREG(1),
      .OPMODEREG(0), .ALUMODEREG(0), .INMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0)
    ) u_dsp (
      .CLK(clk_i), .A(30'(a_i)), .B(b_i), .C(48'(c_i)), .D(27'd0), .P(p),
      // W: 0; Z: 0, P (2) or C (3); Y and X: the product
      .OPMODE({2'b00, !Accumulate ? 3'b011 : first_i ? 3'b000 : 3'b010, 4'b0101}),
      .ALUMODE(4'd0), .INMODE(5'd0), .CARRYIN(1'b0), .CARRYINSEL(3'd0),
      .CEA1(1'b0), .CEA2(ce_ab_i), .CEB1(1'b0), .CEB2(ce_ab_i), .CEC(1'b0), .CED(1'b0), .CEAD(1'b0),
      .CEM(ce_m_i), .CEP(ce_p_i), .CECTRL(1'b0), .CEALUMODE(1'b0), .CEINMODE(1'b0), .CECARRYIN(1'b0),
      .RSTA(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTM(1'b0), .RSTP(1'b0), .RSTCTRL(1'b0),
      .RSTALUMODE(1'b0), .RSTINMODE(1'b0), .RSTALLCARRYIN(1'b0),
      .ACIN(30'd0), .BCIN(18'd0), .PCIN(48'd0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0));
    assign p_o = p[Pw-1:0];
  end else begin : gen_plain
    logic signed [Aw-1:0]  a;
    logic signed [17:0]    b;
    logic signed [Aw+17:0] m_q;
    if (Inputs) begin : gen_inputs
      always_ff @(posedge clk_i) begin
        if (ce_ab_i) begin
          a <= a_i;
          b <= b_i;
        end
      end
    end else begin : gen_direct
      assign a = a_i;
      assign b = b_i;
    end
    always_ff @(posedge clk_i) begin
      if (ce_m_i) m_q <= a * b;
    end
    if (Accumulate) begin : gen_accumulate
      always_ff @(posedge clk_i) begin
        if (ce_p_i) p_o <= (first_i ? '0 : p_o) + Pw'(m_q);
      end
    end else begin : gen_add
      always_ff @(posedge clk_i) begin
        if (ce_p_i) p_o <= Pw'(m_q) + Pw'(c_i);
      end
    end
    logic unused;
    assign unused = ^{ce_ab_i, first_i, c_i};
  end

endmodule
