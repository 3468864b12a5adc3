// DSP48E2 as AMD UG579 describes it, as far as bp_dsp48 uses it: input registers, the multiplier 27 x 18 with its
// register, X = Y = M, Z = 0, P or C, addition, output register. For the bench of bp_dsp48 only.
module DSP48E2 #(
  parameter AMULTSEL = "A", parameter BMULTSEL = "B", parameter USE_MULT = "MULTIPLY",
  parameter int AREG = 1, parameter int ACASCREG = 1, parameter int BREG = 1, parameter int BCASCREG = 1,
  parameter int ADREG = 1, parameter int DREG = 1, parameter int CREG = 1, parameter int MREG = 1, parameter int PREG = 1,
  parameter int OPMODEREG = 1, parameter int ALUMODEREG = 1, parameter int INMODEREG = 1, parameter int CARRYINREG = 1,
  parameter int CARRYINSELREG = 1
) (
  input  logic CLK, input logic [29:0] A, input logic [17:0] B, input logic [47:0] C, input logic [26:0] D,
  output logic [47:0] P,
  input  logic [8:0] OPMODE, input logic [3:0] ALUMODE, input logic [4:0] INMODE, input logic CARRYIN,
  input  logic [2:0] CARRYINSEL,
  input  logic CEA1, CEA2, CEB1, CEB2, CEC, CED, CEAD, CEM, CEP, CECTRL, CEALUMODE, CEINMODE, CECARRYIN,
  input  logic RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL, RSTALUMODE, RSTINMODE, RSTALLCARRYIN,
  input  logic [29:0] ACIN, input logic [17:0] BCIN, input logic [47:0] PCIN, input logic CARRYCASCIN, MULTSIGNIN
);
  logic signed [29:0] a_q, a;
  logic signed [17:0] b_q, b;
  logic signed [44:0] m_q;
  logic [47:0] z, m;

  assign a = (AREG == 0) ? A : a_q;
  assign b = (BREG == 0) ? B : b_q;
  assign m = 48'(m_q);
  always_comb begin
    unique case (OPMODE[6:4])
      3'b000: z = 48'd0;
      3'b010: z = P;
      3'b011: z = C;
      default: z = 48'hbad_bad_bad_bad;    // PCIN and shifts are not modelled
    endcase
  end

  always_ff @(posedge CLK) begin
    if (CEA2) a_q <= A;
    if (CEB2) b_q <= B;
    if (CEM) m_q <= 45'(signed'(a[26:0])) * 45'(b);   // the multiplier takes 27 bits of A
    if (CEP) P <= z + m;
  end

  initial begin
    if (AREG > 1 || BREG > 1 || CREG != 0 || MREG != 1 || PREG != 1 || OPMODEREG != 0 || ALUMODEREG != 0)
      $error("DSP48E2: not modelled");
  end
  always_ff @(posedge CLK) begin
    a_mode: assert (OPMODE[8:7] == 2'b00 && OPMODE[3:0] == 4'b0101 && ALUMODE == 4'd0 && INMODE == 5'd0);
    a_rest: assert ({CARRYIN, CARRYINSEL, RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL} == '0);
  end
endmodule
