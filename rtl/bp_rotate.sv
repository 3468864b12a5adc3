// The columns of one row of a window, from the words of the four banks: the row's bank, its slots 1..N rotated by the
// shift, and the halos. The last pixel of a block, slot N, comes from its own word: the next block may not exist.
// A module of its own so that synthesis keeps its multiplexers apart from those of the windows.
module bp_rotate #(
  parameter int unsigned N  = 8,
  parameter int unsigned CG = 16,
  localparam int unsigned LgN  = $clog2(N),
  localparam int unsigned Word = (N + 2) * CG
) (
  input  logic [4*Word-1:0] banks_i,
  input  logic [1:0]        bank_i,
  input  logic [LgN-1:0]    shift_i,
  input  logic              behind_i,      // the halo wanted on the left is the block's last pixel
  input  logic              ahead_i,       // the halo wanted on the right is the block's first pixel
  output logic [Word-1:0]   columns_o
);

  localparam int unsigned Ranks = (LgN + 1) / 2;

  logic [Word-1:0] word;
  logic [CG-1:0]   right;
  assign right = ahead_i ? word[CG +: CG] : word[(N+1)*CG +: CG];
  always_comb begin
    unique case (bank_i)
      2'd0: word = banks_i[0*Word +: Word];
      2'd1: word = banks_i[1*Word +: Word];
      2'd2: word = banks_i[2*Word +: Word];
      default: word = banks_i[3*Word +: Word];
    endcase
  end

  // Two bits of the shift a rank, from the top. Slot N is number 0 here.
  for (genvar k = 0; k < Ranks; k++) begin : gen_rank
    localparam int unsigned High = LgN - 1 - 2 * k;
    localparam int unsigned Step = (High == 0) ? 1 : 1 << (High - 1);
    logic [N*CG-1:0] from, to;
    logic [1:0]      by;
    if (k == 0) begin : gen_first
      assign from = {word[CG +: (N-1)*CG], word[N*CG +: CG]};
    end else begin : gen_next
      assign from = gen_rank[k-1].to;
    end
    if (High == 0) begin : gen_one
      assign by = {1'b0, shift_i[0]};
    end else begin : gen_two
      assign by = shift_i[High -: 2];
    end
    for (genvar j = 0; j < N; j++) begin : gen_slot
      always_comb begin
        unique case (by)
          2'd0: to[j*CG +: CG] = from[j*CG +: CG];
          2'd1: to[j*CG +: CG] = from[((j+Step)%N)*CG +: CG];
          2'd2: to[j*CG +: CG] = from[((j+2*Step)%N)*CG +: CG];
          default: to[j*CG +: CG] = from[((j+3*Step)%N)*CG +: CG];
        endcase
      end
    end
  end

  for (genvar j = 0; j < N + 2; j++) begin : gen_col
    logic [CG-1:0] rotated;
    assign rotated = gen_rank[Ranks-1].to[(j%N)*CG +: CG];
    if (j == 0) begin : gen_first
      assign columns_o[j*CG +: CG] = (shift_i == '0 && !behind_i) ? word[0 +: CG] : rotated;
    end else if (j < N) begin : gen_inner
      assign columns_o[j*CG +: CG] = rotated;
    end else begin : gen_last
      assign columns_o[j*CG +: CG] = (shift_i == LgN'(N + 1 - j)) ? right : rotated;
    end
  end

endmodule
