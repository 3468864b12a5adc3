// Arithmetic right shift by 0..63 that keeps Out bits, and whether the value needs more. Three ranks of
// 4:1 multiplexers that narrow: by 16, by 4, by 1.
module bp_shift #(
  parameter int unsigned In  = 51,
  parameter int unsigned Out = 10
) (
  input  logic [In-1:0]  data_i,      // signed
  input  logic [5:0]     shift_i,
  output logic [Out-1:0] data_o,
  output logic           over_o       // the shifted value is not data_o
);

  localparam int unsigned WideA = Out + 15;
  localparam int unsigned WideB = Out + 3;
  localparam int unsigned Ext   = WideA + 48;

  if (In > Ext) begin : gen_check
    $error("bp_shift: In must be at most Out + 63");
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
      2'd2: a = ext[32 +: WideA];
      default: a = ext[48 +: WideA];
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

  // Bits that each rank leaves out, and at last the sign itself.
  logic high_a, mid_a, top_b, mid_b, low_b, over_a, over_b, over_c;
  assign high_a = ext[Ext-1:WideA+16] != {(Ext-WideA-16){sign}};
  assign mid_a  = ext[WideA+15:WideA] != {16{sign}};
  assign top_b  = a[WideB+11:WideB+8] != {4{sign}};
  assign mid_b  = a[WideB+7:WideB+4] != {4{sign}};
  assign low_b  = a[WideB+3:WideB] != {4{sign}};
  assign over_a = (shift_i[5:4] <= 2'd1 && high_a) || (shift_i[5:4] == 2'd0 && mid_a);
  assign over_b = (shift_i[3:2] <= 2'd2 && top_b) || (shift_i[3:2] <= 2'd1 && mid_b) ||
                  (shift_i[3:2] == 2'd0 && low_b);
  always_comb begin
    unique case (shift_i[1:0])
      2'd0: over_c = b[WideB-1:Out-1] != {4{sign}};
      2'd1: over_c = b[WideB-1:Out] != {3{sign}};
      2'd2: over_c = b[WideB-1:Out+1] != {2{sign}};
      default: over_c = b[WideB-1] != sign;
    endcase
  end
  assign over_o = over_a | over_b | over_c;

endmodule
