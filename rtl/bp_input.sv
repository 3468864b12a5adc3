// Image unpacker, the INPUT layer: bytes of a raw NHWC image -> bit-planes in the activation
// memory. At most 16 channels. A step takes at most 8 bytes: 8, 4 or 2 pixels of 1, 2 or 3..4
// channels, else one pixel, or half of one of more than 8. After every N pixels (and at a row's
// end) the block is copied, and its 8 / P plane words are written with their halos, one a cycle,
// while the next block's pixels come in.
// Plane word j: slot b * CS + c holds bit j * P + b of channel c, CS = 16 / P.
// The next image of a start may be unpacked ahead, as the last INPUT record said, while layers compute; its own INPUT layer
// then only waits for that.
module bp_input #(
  parameter int unsigned N        = 8,
  parameter int unsigned CG       = 16,
  parameter int unsigned ActDepth = 1024
) (
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            clear_i,       // a run begins: forget buffered bytes
  input  logic            enable_i,      // the byte stream is the image
  input  logic [31:0]     bytes_i,       // of the image, from the program's header

  input  logic            again_i,       // the bytes of the next image follow: unpack it ahead
  input  logic            hold_i,        // ahead: the engine writes, so nothing else is

  input  logic            start_i,       // the INPUT layer begins; its record is there a cycle before
  input  logic [255:0]    layer_i,
  input  logic [127:0]    map_i,
  output logic            done_o,
  output logic [7:0]      error_o,       // with done_o

  input  logic            beat_valid_i,
  output logic            beat_ready_o,
  output logic            beat_mine_o,   // beats of the image are still to come
  output logic            over_o,        // the image has been read
  input  logic [63:0]     beat_data_i,

  output logic            we_o,
  output logic [1:0]      bank_o,
  output logic [15:0]     addr_o,
  output logic            left_we_o,
  output logic [15:0]     left_addr_o,
  output logic            right_we_o,
  output logic [15:0]     right_addr_o,
  output logic [N*CG-1:0] data_o
);

  localparam int unsigned LgN = $clog2(N);
  localparam int unsigned Aw  = $clog2(ActDepth);

  if (N != (1 << LgN) || N < 8 || CG != 16) begin : gen_check
    $error("bp_input: blocks of 8, 16 or 32 pixels and groups of 16 channels only");
  end

  typedef enum logic [1:0] {StIdle, StFill, StDone} state_e;
  logic ahead_q;                     // the image's layer has not begun: being unpacked, or (StIdle) unpacked
  logic begin_image, record, written;
  logic part_q;                      // another INPUT layer goes on with the image
  state_e state_q, state_d;

  // ---- descriptor ----
  logic [9:0]  rows_q, cols_q;
  logic [4:0]  chan_q;               // 1..16
  logic [3:0]  p_q;                  // planes a word: 1, 2, 4, 8
  logic [15:0] row_stride_q, px_stride_q;
  logic [15:0] base_q, row_addr_q, blk_addr_q;
  logic [7:0]  error_q, error_d;
  logic        bad_op;

  // ---- bytes ----
  logic [63:0]  word0_q, word1_q;    // the oldest beats, word0_q partly used
  logic [4:0]   have_q;              // bytes in them
  logic [31:0]  left_q;              // bytes of the image not yet taken
  logic [3:0]   pixels_q, want_q;    // pixels and bytes of this step
  logic         take, push, over_q, more_q, room, short_q;
  logic [4:0]   have_after;
  logic [63:0]  head;                // the next 8 bytes, oldest lowest

  // ---- position ----
  logic [9:0] y_q, x_q, x_after;
  logic       upper_q;               // channels 8..15 of the pixel
  logic [3:0] word_q;                // plane word being written
  logic       last_px_q, pixel_done, block_done, word_last;

  // The N pixels, 16 channels of 8 bits each: those that come in, and the block that is written.
  logic [N*CG*8-1:0] px_q, block_q;
  logic              full_q;         // px_q is a whole block, not yet copied
  logic              write_q;        // block_q is being written
  logic              copy, filled_q; // filled: the layer's last pixels are in px_q or further

  bp_count #(.Width(3)) u_word (     // the 8 / P words of a block
    .clk_i, .start_i(copy), .step_i(written), .less_one_i({p_q[0], |p_q[1:0], |p_q[2:0]}), .last_o(word_last));

  // A step's pixels and bytes are known a cycle ahead: they are those of the place after this step. All steps of a row
  // but the last have `lanes` pixels.
  logic [9:0] rest_q, rest;          // pixels of the row from this step on
  logic [4:0] chan;
  logic [3:0] lanes_q, pixels, want;
  logic       idle, upper, fits, new_row;
  assign idle   = state_q == StIdle;
  assign chan   = layer_i[68:64];
  assign upper  = !idle && chan_q > 5'd8 && !upper_q;
  assign new_row = idle || (last_px_q && !upper);
  assign rest   = new_row ? cols_q : upper ? rest_q : rest_q - 10'(lanes_q);
  assign fits   = new_row ? cols_q <= 10'(lanes_q) : upper ? last_px_q : rest_q <= {5'd0, lanes_q, 1'b0};
  assign pixels = fits ? rest[3:0] : lanes_q;
  always_comb begin
    unique case (chan_q)
      5'd1: want = pixels;
      5'd2: want = {pixels[2:0], 1'b0};
      5'd3: want = {pixels[2:0], 1'b0} + pixels;
      5'd4: want = {pixels[1:0], 2'd0};
      5'd5, 5'd6, 5'd7, 5'd8: want = chan_q[3:0];
      default: want = upper ? 4'(chan_q - 5'd8) : 4'd8;
    endcase
  end
  always_ff @(posedge clk_i) begin
    if (idle || take) begin
      rest_q    <= rest;
      pixels_q  <= pixels;
      want_q    <= want;
      last_px_q <= fits;
    end
  end

  // Ahead, a block is copied when the one before has been written: what the engine does is not in the way of the bytes.
  assign written = write_q && !hold_i;
  assign copy = full_q && (!write_q || (word_last && !ahead_q));
  assign take = state_q == StFill && !filled_q && (!full_q || copy) && have_q >= {1'b0, want_q};
  assign pixel_done = take && (chan_q <= 5'd8 || upper_q);
  assign x_after = x_q + 10'(pixels_q);
  assign block_done = pixel_done && (x_after[LgN-1:0] == '0 || last_px_q);

  assign have_after = take ? have_q - {1'b0, want_q} : have_q;
  assign room = have_q <= 5'd8 || (take && have_q - {1'b0, want_q} <= 5'd8);
  assign beat_mine_o = enable_i && !over_q && more_q;
  assign beat_ready_o = beat_mine_o && room;
  assign push = beat_valid_i & beat_ready_o;

  // Bytes of the image that are not here: taking does not change their number. Fewer than the layer wants is seen a cycle
  // late: what has been taken by then does not matter.
  always_ff @(posedge clk_i) begin
    if (begin_image) more_q <= bytes_i != '0;
    else if (push) more_q <= left_q > 32'(have_q) + 32'd8;
    short_q <= state_q == StFill && !filled_q && left_q < 32'(want_q);
  end

  // What follows the image on the port is not its own.
  always_ff @(posedge clk_i) begin
    if (!rst_ni || begin_image) over_q <= 1'b0;
    else if ((state_q == StDone || (state_q == StFill && state_d == StIdle)) && !part_q) over_q <= 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || begin_image) begin
      have_q <= '0;
    end else begin
      have_q <= push ? have_after + 5'd8 : have_after;
    end
  end

  // Beats are whole: what has been used of word0_q makes have_q no multiple of 8. There is room for a beat when one
  // word or none is left.
  logic used_up;
  assign used_up = take && {1'b0, want_q} >= 5'd8 - {2'd0, 3'd0 - have_q[2:0]};
  always_ff @(posedge clk_i) begin
    if (have_q > 5'd8) begin
      if (used_up) word0_q <= word1_q;
    end else if (push && have_after == '0) begin
      word0_q <= beat_data_i;
    end
    if (push && have_after != '0) word1_q <= beat_data_i;
  end
  assign head = 64'({word1_q, word0_q} >> {3'd0 - have_q[2:0], 3'd0});

  // ---- control ----
  assign bad_op = over_q || layer_i[79:64] == '0 || layer_i[79:64] > 16'd16 || layer_i[111:96] != 16'd1 ||
                  !(layer_i[95:80] == 16'd1 || layer_i[95:80] == 16'd2 ||
                    layer_i[95:80] == 16'd4 || layer_i[95:80] == 16'd8) ||
                  32'(layer_i[79:64]) * 32'(layer_i[95:80]) > 32'd16 ||
                  layer_i[47:32] == '0 || layer_i[47:42] != '0 ||
                  layer_i[63:48] == '0 || layer_i[63:58] != '0;

  assign begin_image = clear_i | again_i;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i || start_i) ahead_q <= 1'b0;
    else if (again_i) ahead_q <= 1'b1;
  end

  always_comb begin
    state_d = state_q;
    error_d = error_q;
    unique case (state_q)
      StIdle: begin
        if (again_i) begin
          state_d = StFill;
          error_d = bp_shell_pkg::ErrNone;
        end else if (start_i && ahead_q) begin
          state_d = StDone;
        end else if (start_i) begin
          state_d = bad_op ? StDone : StFill;
          error_d = bad_op ? bp_shell_pkg::ErrOp : bp_shell_pkg::ErrNone;
        end
      end
      StFill: begin
        if (short_q) begin                            // the image is smaller than the layer
          error_d = bp_shell_pkg::ErrIo;
          state_d = StDone;
        end else if (write_q && addr_o[15:Aw] != '0) begin
          error_d = bp_shell_pkg::ErrAct;
          state_d = StDone;
        end else if (written && word_last && filled_q && !full_q) begin
          state_d = StDone;
          if ((left_q != '0) != part_q) error_d = bp_shell_pkg::ErrIo;
        end
        if (state_d == StDone && ahead_q && !start_i) state_d = StIdle;
      end
      StDone: state_d = StIdle;
      default: state_d = StIdle;
    endcase
    if (clear_i) state_d = StIdle;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      error_q <= bp_shell_pkg::ErrNone;
    end else begin
      state_q <= state_d;
      error_q <= error_d;
    end
  end

  logic       px_first_q, px_last_q, wr_first_q, wr_last_q; // the block is the row's first / last
  logic [1:0] px_bank_q, wr_bank_q;

  always_ff @(posedge clk_i) begin
    if (begin_image) left_q <= bytes_i;
    else if (take) left_q <= left_q - 32'(want_q);
  end

  // The record stays: an image that is unpacked ahead has the same.
  assign record = layer_i[7:0] == bp_pkg::OpInput;
  always_ff @(posedge clk_i) begin
    if (state_q == StIdle && record) begin
      rows_q       <= layer_i[41:32];
      cols_q       <= layer_i[57:48];
      chan_q       <= chan;
      lanes_q      <= (chan == 5'd1) ? 4'd8 : (chan == 5'd2) ? 4'd4 : (chan <= 5'd4) ? 4'd2 : 4'd1;
      p_q          <= layer_i[83:80];
      base_q       <= map_i[15:0];
      row_stride_q <= map_i[31:16];
      px_stride_q  <= map_i[47:32];
      part_q       <= layer_i[8 + bp_pkg::LyPart];
    end
    if (state_q == StIdle) begin
      row_addr_q   <= record ? map_i[15:0] : base_q;
      blk_addr_q   <= record ? map_i[15:0] : base_q;
      y_q          <= '0;
      x_q          <= '0;
      upper_q      <= 1'b0;
      word_q       <= '0;
      full_q       <= 1'b0;
      filled_q     <= 1'b0;
      write_q      <= 1'b0;
    end else begin
      if (take) begin
        upper_q <= chan_q > 5'd8 && !upper_q;
      end
      if (pixel_done) begin
        x_q <= last_px_q ? '0 : x_after;
        if (last_px_q) y_q <= y_q + 10'd1;
        filled_q <= last_px_q && y_q + 10'd1 == rows_q;
      end
      full_q <= block_done || (full_q && !copy);
      if (block_done) begin
        px_first_q <= x_q[9:LgN] == '0;
        px_last_q  <= last_px_q;
        px_bank_q  <= y_q[1:0];
      end
      if (copy) begin
        wr_first_q <= px_first_q;
        wr_last_q  <= px_last_q;
        wr_bank_q  <= px_bank_q;
      end
      write_q <= copy || (write_q && !(written && word_last));
      if (copy) word_q <= '0;
      else if (written) word_q <= word_q + 4'd1;
      if (written) begin
        if (word_last) begin
          if (!wr_last_q) begin
            blk_addr_q <= blk_addr_q + px_stride_q;
          end else if (wr_bank_q == 2'd3) begin
            row_addr_q <= row_addr_q + row_stride_q;
            blk_addr_q <= row_addr_q + row_stride_q;
          end else begin
            blk_addr_q <= row_addr_q;
          end
        end
      end
    end
  end

  // Channels that the pixel does not have read as zeros.
  logic [63:0] mask, bytes;
  logic [31:0] second;               // of two pixels
  assign mask = ~(64'hffff_ffff_ffff_ffff << {(chan_q <= 5'd4) ? chan_q[3:0] : want_q, 3'd0});
  assign bytes = head & mask;
  assign second = (chan_q[0] ? head[55:24] : head[63:32]) & mask[31:0];

  always_ff @(posedge clk_i) begin
    if (copy) block_q <= px_q;
  end

  for (genvar q = 0; q < N; q++) begin : gen_px
    logic [31:0] mine;               // the pixel's first 4 bytes, first channel lowest; the others are in `bytes`
    logic        step;               // this step has the pixel
    always_comb begin
      mine = (lanes_q == 4'd2 && q % 2 == 1) ? second : bytes[31:0];
      unique case (lanes_q)
        4'd8: begin
          step = x_q[LgN-1:0] == LgN'(q - q % 8);
          mine[7:0] = head[(q%8)*8 +: 8];
        end
        4'd4: begin
          step = x_q[LgN-1:2] == (LgN-2)'(q / 4);
          mine[15:0] = head[(q%4)*16 +: 16];
        end
        4'd2: step = x_q[LgN-1:1] == (LgN-1)'(q / 2);
        default: step = x_q[LgN-1:0] == LgN'(q);
      endcase
    end
    always_ff @(posedge clk_i) begin
      if (take && step && !upper_q) px_q[q*CG*8 +: 64] <= {bytes[63:32], mine};
      if (take && step && !upper_q) px_q[q*CG*8+64 +: 64] <= '0;
      else if (take && step) px_q[q*CG*8+64 +: 64] <= bytes;
    end

    // The word's 16 slots of this pixel, for each P.
    for (genvar s = 0; s < CG; s++) begin : gen_slot
      logic [7:0] ch1, ch2, ch4;
      assign ch1 = block_q[(q*CG+s)*8 +: 8];
      assign ch2 = block_q[(q*CG+s%8)*8 +: 8];
      assign ch4 = block_q[(q*CG+s%4)*8 +: 8];
      bp_slot #(.Slot(s)) u_slot (
        .ch1_i(ch1), .ch2_i(ch2), .ch4_i(ch4), .ch8_i(block_q[(q*CG+s%2)*8+s/2]), .p_i(p_q), .word_i(word_q[2:0]),
        .bit_o(data_o[q*CG+s]));
    end
  end

  assign we_o         = state_q == StFill && write_q && addr_o[15:Aw] == '0;
  assign bank_o       = wr_bank_q + word_q[1:0];
  assign addr_o       = blk_addr_q + 16'(word_q);
  assign left_we_o    = we_o && !wr_first_q;
  assign left_addr_o  = addr_o - px_stride_q;
  assign right_we_o   = we_o && !wr_last_q && right_addr_o[15:Aw] == '0;
  assign right_addr_o = addr_o + px_stride_q;
  assign done_o       = state_q == StDone;
  assign over_o       = over_q;
  assign error_o      = error_q;

  logic unused;
  assign unused = ^{layer_i[255:112], layer_i[31:13], layer_i[11:0], map_i[127:48]};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_have:  assert (have_q <= 5'd16);
      a_start: assert (!start_i || state_q == StIdle || ahead_q);
      a_again: assert (!again_i || state_q == StIdle);
      a_hold:  assert (!hold_i || !write_q || ahead_q);
      a_write: assert (!left_we_o || we_o);
    end
  end
`endif

endmodule
