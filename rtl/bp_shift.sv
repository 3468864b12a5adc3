// Arithmetic right shift by 0..47 that keeps Out bits, and whether the value needs more. Three ranks of
// multiplexers that narrow: by 16, by 4, by 1. mask_i, from bp_mask of the same shift, says which of the bits
// above the result must equal the sign: two bits for three data bits and the sign make one LUT6.
module bp_shift #(
  parameter int unsigned In  = 51,
  parameter int unsigned Out = 10,
  parameter int unsigned Groups = (In - 10 + 2) / 3
) (
  input  logic [In-1:0]       data_i,      // signed
  input  logic [5:0]          shift_i,
  input  logic [2*Groups-1:0] mask_i,
  output logic [Out-1:0]      data_o,
  output logic                over_o       // the shifted value is not data_o
);

  localparam int unsigned WideA = Out + 15;
  localparam int unsigned WideB = Out + 3;
  localparam int unsigned Ext   = Out + 47;
  localparam int unsigned Used  = (In - Out + 2) / 3;

  if (In > Ext || Used > Groups) begin : gen_check
    $error("bp_shift: In must be at most Out + 47, Out at least 10");
  end

  logic sign;
  logic [Ext-1:0] ext;
  logic [WideA-1:0] a;
  logic [WideB-1:0] b;
  assign sign = data_i[In-1];
  assign ext = {{(Ext-In){sign}}, data_i};

  always_comb begin
    unique case (shift_i[5:4])
      2'd0: a = ext[0 +: WideA];
      2'd1: a = ext[16 +: WideA];
      default: a = ext[32 +: WideA];
    endcase
    unique case (shift_i[3:2])
      2'd0: b = a[0 +: WideB];
      2'd1: b = a[4 +: WideB];
      2'd2: b = a[8 +: WideB];
      default: b = a[12 +: WideB];
    endcase
    unique case (shift_i[1:0])
      2'd0: data_o = b[0 +: Out];
      2'd1: data_o = b[1 +: Out];
      2'd2: data_o = b[2 +: Out];
      default: data_o = b[3 +: Out];
    endcase
  end

  logic [Used-1:0] wrong;
  for (genvar g = 0; g < Used; g++) begin : gen_group
    logic [2:0] bits;
    assign bits = ext[Out-1+3*g +: 3];
    assign wrong[g] = (mask_i[2*g +: 2] >= 2'd1 && bits[2] != sign) || (mask_i[2*g +: 2] >= 2'd2 && bits[1] != sign) ||
                      (mask_i[2*g +: 2] == 2'd3 && bits[0] != sign);
  end
  assign over_o = wrong != '0;

  logic unused;
  assign unused = ^mask_i;

endmodule
