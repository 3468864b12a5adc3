// Weights of one output channel: a K-bit row of every weight word.
module bp_weight_mem #(
  parameter int unsigned K     = 144,
  parameter int unsigned Depth = 1024
) (
  input  logic                     clk_i,
  input  logic                     we_i,
  input  logic [$clog2(Depth)-1:0] waddr_i,
  input  logic [K-1:0]             wdata_i,
  input  logic                     re_i,
  input  logic [$clog2(Depth)-1:0] raddr_i,
  output logic [K-1:0]             rdata_o
);

  bp_ram #(.Width(K), .Depth(Depth)) u_ram (
    .clk_i, .we_i, .waddr_i, .wdata_i, .re_i, .raddr_i, .rdata_o);

endmodule
