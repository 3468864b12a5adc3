// Number of ones of six bits: three functions of six inputs, one LUT6 each.
module bp_compress63 (
  input  logic [5:0] in_i,
  output logic [2:0] count_o
);

  logic [1:0] a, b;
  assign a = {(in_i[0] & in_i[1]) | (in_i[0] & in_i[2]) | (in_i[1] & in_i[2]), ^in_i[2:0]};
  assign b = {(in_i[3] & in_i[4]) | (in_i[3] & in_i[5]) | (in_i[4] & in_i[5]), ^in_i[5:3]};
  assign count_o[0] = ^in_i;
  assign count_o[1] = a[1] ^ b[1] ^ (a[0] & b[0]);
  assign count_o[2] = (a[1] & b[1]) | ((a[1] ^ b[1]) & a[0] & b[0]);

endmodule
