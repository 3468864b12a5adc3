// Activation memory: 4 row banks. A word is one bit-plane of N pixels and two halo pixels; the
// halos are RAMs with addresses of their own, so one cycle writes a word and its copies in the
// words of the blocks to the left and to the right. The write port is registered: what is written is there a cycle
// later than in a plain RAM.
module bp_act_mem #(
  parameter int unsigned N     = 8,
  parameter int unsigned CG    = 16,
  parameter int unsigned Depth = 1024,
  localparam int unsigned Aw   = $clog2(Depth),
  localparam int unsigned Word = (N + 2) * CG
) (
  input  logic              clk_i,

  input  logic              re_i,
  input  logic [4*Aw-1:0]   raddr_i,       // one address a bank
  output logic [4*Word-1:0] rdata_o,

  input  logic              we_i,
  input  logic [1:0]        bank_i,
  input  logic [Aw-1:0]     addr_i,
  input  logic              left_we_i,     // the word of block xb - 1 gets its right halo
  input  logic [Aw-1:0]     left_addr_i,
  input  logic              right_we_i,    // the word of block xb + 1 gets its left halo
  input  logic [Aw-1:0]     right_addr_i,
  input  logic [N*CG-1:0]   data_i
);

  logic            we_q, left_we_q, right_we_q;
  logic [1:0]      bank_q;
  logic [Aw-1:0]   addr_q, left_addr_q, right_addr_q;
  logic [N*CG-1:0] data_q;

  always_ff @(posedge clk_i) begin
    we_q         <= we_i;
    left_we_q    <= left_we_i;
    right_we_q   <= right_we_i;
    bank_q       <= bank_i;
    addr_q       <= addr_i;
    left_addr_q  <= left_addr_i;
    right_addr_q <= right_addr_i;
    data_q       <= data_i;
  end

  for (genvar b = 0; b < 4; b++) begin : gen_bank
    logic hit;
    assign hit = we_q && bank_q == 2'(b);

    bp_ram #(.Width(N*CG), .Depth(Depth)) u_main (
      .clk_i, .we_i(hit), .waddr_i(addr_q), .wdata_i(data_q),
      .re_i, .raddr_i(raddr_i[b*Aw +: Aw]), .rdata_o(rdata_o[b*Word+CG +: N*CG]));

    bp_ram #(.Width(CG), .Depth(Depth)) u_left_halo (
      .clk_i, .we_i(hit & right_we_q), .waddr_i(right_addr_q), .wdata_i(data_q[(N-1)*CG +: CG]),
      .re_i, .raddr_i(raddr_i[b*Aw +: Aw]), .rdata_o(rdata_o[b*Word +: CG]));

    bp_ram #(.Width(CG), .Depth(Depth)) u_right_halo (
      .clk_i, .we_i(hit & left_we_q), .waddr_i(left_addr_q), .wdata_i(data_q[CG-1:0]),
      .re_i, .raddr_i(raddr_i[b*Aw +: Aw]), .rdata_o(rdata_o[b*Word+(N+1)*CG +: CG]));
  end

endmodule
