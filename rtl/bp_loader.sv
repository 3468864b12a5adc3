// Program and weight loader (MODE 1): header -> checks -> tables -> weights. One record is
// shifted together from 64-bit words and written to its table in the cycle after its last word.
// In a run it reads the program's stream, behind the image on the port: blocks of a header word and the records of
// one table, each written when as many layers have ended as its header says:
//   Command -> Block -> Wait -> section -> Block ... Wait -> Idle at the block END
// With scratch the stream has segments: each is a read command of its own and ends with a block FILL, whose record bp_fill
// carries out (Filling) and which tells how long the next segment is. The first segment is such a block alone.
module bp_loader #(
  parameter int unsigned M           = 16,
  parameter int unsigned N           = 8,
  parameter int unsigned K           = 144,
  parameter int unsigned Hash        = 0,
  parameter int unsigned MapDepth    = 128,
  parameter int unsigned LayerDepth  = 128,
  parameter int unsigned KwordDepth  = 1024,
  parameter int unsigned CoefDepth   = 1024,
  parameter int unsigned ScaleDepth  = 512,
  parameter int unsigned WeightDepth = 1024,
  parameter int unsigned LogitBytes  = 4096
) (
  input  logic              clk_i,
  input  logic              rst_ni,

  input  logic              start_i,
  input  logic              stop_i,          // level: give up
  output logic              done_o,          // pulse
  output logic [7:0]        error_o,         // with done_o
  input  logic [63:0]       program_addr_i,
  input  logic [63:0]       program_size_i,
  input  logic [63:0]       weight_addr_i,
  input  logic [63:0]       weight_size_i,

  input  logic              run_start_i,
  input  logic              rd_busy_i,
  input  logic [15:0]       ended_i,         // layers that have ended in this run
  output logic              streaming_o,
  output logic              stuck_o,         // waits for a layer's end, or nothing comes any more
  output logic              stream_error_o,  // pulse: a malformed block; streaming is over
  input  logic              image_left_i,    // the port belongs to an image that no layer reads on
  output logic              fill_start_o,    // pulse
  output logic [255:0]      fill_record_o,   // stable until fill_done_i
  output logic [63:0]       segment_o,       // address of the next segment
  input  logic              segment_i,       // which is asked for
  input  logic              fill_done_i,
  input  logic              fill_error_i,
  output logic [15:0]       layers_in_o,     // layer records written, those of the load included
  output logic [23:0]       blocks_in_o,     // blocks written in this run

  output logic              rd_start_o,
  output logic [63:0]       rd_addr_o,
  output logic [31:0]       rd_beats_o,
  input  logic              beat_valid_i,
  output logic              beat_ready_o,
  input  logic [63:0]       beat_data_i,

  output logic              map_we_o,
  output logic              layer_we_o,
  output logic              kword_we_o,
  output logic              coef_we_o,
  output logic              scale_we_o,
  output logic              weight_we_o,
  output logic [15:0]       waddr_o,
  output logic [127:0]      map_wdata_o,
  output logic [255:0]      layer_wdata_o,
  output logic [127:0]      kword_wdata_o,
  output logic [M*18-1:0]   coef_wdata_o,
  output logic [M*66-1:0]   scale_wdata_o,
  output logic [M*K-1:0]    weight_wdata_o,

  output logic [15:0]       n_layer_o,
  output logic [15:0]       n_loaded_o,      // of them those of the load
  output logic [15:0]       n_map_o,
  output logic [15:0]       n_kword_o,
  output logic [15:0]       n_coef_o,
  output logic [15:0]       n_scale_o,
  output logic [31:0]       n_weight_o,
  output logic [31:0]       input_bytes_o,
  output logic [15:0]       output_bytes_o,
  output logic [15:0]       pages_o,         // of the scratch
  output logic [127:0]      pad_o
);

  // Words of 64 bits in one record of each section.
  localparam int unsigned MapWords    = 2;
  localparam int unsigned LayerWords  = 4;
  localparam int unsigned KwordWords  = 2;
  localparam int unsigned CoefWords   = M / 2;
  localparam int unsigned ScaleWords  = 2 * M;
  localparam int unsigned WeightWords = M * K / 64;
  localparam int unsigned ShiftBits   = M * K;   // the longest record
  localparam int unsigned HeaderWords = bp_shell_pkg::HeaderWords;

  if (M % 2 != 0 || (M * K) % 64 != 0 || K < 128 || WeightWords > 255) begin : gen_check
    $error("bp_loader: M * K must be whole 64-bit words and hold a scale record");
  end

  typedef enum logic [4:0] {
    StIdle, StHeader, StCheck, StMap, StLayer, StKword, StCoef, StScale, StWeightCmd, StWeight,
    StEnd, StFail, StCommand, StBlock, StWait, StFill, StFilling
  } state_e;
  state_e state_q, state_d;

  logic [ShiftBits-1:0] shift_q;     // newest word on top
  logic [7:0]  word_q;               // words of the record so far
  logic [7:0]  words, last_word_q;   // of the present section's record; the last one's number
  logic [15:0] rec_q, recs;          // record being filled; records of the section
  logic [7:0]  error_q, error_d;
  logic        pop, rec_done, rec_last_q, section_done, section, empty;
  logic [63:0] behind;
  logic        streaming_q;
  logic        run_q;                  // the cycle after a run's start, with a stream
  logic [5:0]  none_q;               // sections of the load without records
  logic [15:0] base_q, records_q;    // of the block's section

  // ---- header ----
  logic [63:0] head_q [HeaderWords];
  logic [15:0] n_layer, n_map, n_kword, n_coef, n_scale;
  logic [31:0] n_weight, words_want_q, weight_words_q, stream_words;

  assign n_layer  = head_q[2][15:0];
  assign n_map    = head_q[2][31:16];
  assign n_kword  = head_q[2][47:32];
  assign n_coef   = head_q[2][63:48];
  assign n_scale  = head_q[3][15:0];
  assign n_weight = head_q[3][63:32];
  assign stream_words = head_q[5][63:32];

  // Times a constant by its bits, without a DSP.
  logic [31:0] weight_words;
  always_comb begin
    weight_words = '0;
    for (int i = 0; i < 8; i++) begin
      if (WeightWords[i]) weight_words = weight_words + ({16'd0, n_weight[15:0]} << i);
    end
  end

  // Registered twice on the way: the words that count are there three cycles before the check.
  logic bad_magic_q, bad_array_q, bad_size_q, bad_weights_q, bad_io_q, has_stream_q, has_scratch_q, has_ring_q;
  logic bad_window_q, large_window_q;  // the window's registers stand still a cycle before the start
  logic [32:0] all_words_q;            // of header, tables and stream
  always_ff @(posedge clk_i) begin
    words_want_q <= 32'(HeaderWords) + 32'(n_map) * 32'(MapWords) +
                    32'(n_layer) * 32'(LayerWords) + 32'(n_kword) * 32'(KwordWords) +
                    32'(n_coef) * 32'(CoefWords) + 32'(n_scale) * 32'(ScaleWords);
    weight_words_q <= weight_words;
    has_stream_q <= stream_words != '0;
    has_scratch_q <= head_q[4][63:48] != '0;
    has_ring_q <= 32'(n_layer) != LayerDepth;
    bad_window_q <= program_addr_i[2:0] != '0 || weight_addr_i[2:0] != '0 ||
                    program_size_i < 64'(HeaderWords * 8);
    all_words_q <= {1'b0, words_want_q} + {1'b0, stream_words};
    bad_magic_q <= head_q[0][31:0] != bp_shell_pkg::ProgramMagic ||
                   head_q[0][47:32] != bp_shell_pkg::ProgramMajor;
    bad_array_q <= head_q[1] != {32'(Hash), 16'(K), 8'(N), 8'(M)};
    bad_size_q  <= n_layer == '0 || 32'(n_layer) > LayerDepth || 32'(n_map) > MapDepth ||
                   32'(n_kword) > KwordDepth || 32'(n_coef) > CoefDepth ||
                   32'(n_scale) > ScaleDepth || n_weight > WeightDepth ||
                   head_q[5][31:0] != words_want_q ||
                   (!large_window_q && program_size_i[35:0] < {all_words_q, 3'd0}) || bad_weights_q;
    large_window_q <= |program_size_i[63:36];
    bad_weights_q <= weight_size_i < {29'd0, weight_words_q, 3'd0};
    bad_io_q    <= head_q[4][31:0] == '0 || head_q[4][47:32] == '0 ||
                   head_q[4][33:32] != '0 || 32'(head_q[4][47:32]) > LogitBytes;
  end

  // ---- sections ----
  always_comb begin
    unique case (state_q)
      StMap:    begin words = 8'(MapWords);    recs = n_map; end
      StLayer:  begin words = 8'(LayerWords);  recs = n_layer; end
      StKword:  begin words = 8'(KwordWords);  recs = n_kword; end
      StCoef:   begin words = 8'(CoefWords);   recs = n_coef; end
      StScale:  begin words = 8'(ScaleWords);  recs = n_scale; end
      StWeight: begin words = 8'(WeightWords); recs = n_weight[15:0]; end
      StFill:   begin words = 8'(bp_shell_pkg::FillWords); recs = 16'd1; end
      default:  begin words = 8'(HeaderWords); recs = 16'd1; end
    endcase
    if (streaming_q) recs = records_q;
  end

  // ---- the stream ----
  typedef struct packed {
    logic [15:0] records;
    logic [15:0] first;
    logic [15:0] kind;
  } section_t;
  typedef struct packed {
    logic [15:0] after;                // layers that must have ended
    logic [15:0] records;
    logic [15:0] first;
    logic [15:0] kind;
  } block_t;
  section_t block_in;                  // on its way in
  block_t block;
  logic        block_bad_q, block_may, block_end, block_end_q, record_end_q;
  logic [15:0] layers_in_q, depth;
  logic [23:0] blocks_in_q;
  logic [15:0] place_q;                // of the next layer record: a ring behind record 0

  assign block = shift_q[ShiftBits-1 -: 64];
  assign block_in = beat_data_i[47:0];
  always_comb begin
    unique case (block_in.kind[7:0])
      bp_shell_pkg::KindMap:    depth = 16'(MapDepth);
      bp_shell_pkg::KindKword:  depth = 16'(KwordDepth);
      bp_shell_pkg::KindCoef:   depth = 16'(CoefDepth);
      bp_shell_pkg::KindScale:  depth = 16'(ScaleDepth);
      bp_shell_pkg::KindWeight: depth = 16'(WeightDepth);
      bp_shell_pkg::KindLayer:  depth = 16'(has_ring_q);
      bp_shell_pkg::KindFill:   depth = 16'(has_scratch_q);
      default:                  depth = 16'd0;
    endcase
  end
  always_ff @(posedge clk_i) begin
    if (pop) block_bad_q <= block_in.kind != 16'(bp_shell_pkg::KindEnd) &&
                            (block_in.kind[15:8] != '0 || block_in.records == '0 ||
                             17'(block_in.first) + 17'(block_in.records) > 17'(depth));
  end
  assign block_may = block.after <= ended_i;
  assign block_end = streaming_q && ((section_done && state_q != StFill) || fill_done_i ||
                                     (state_q == StWait && block.kind == 16'(bp_shell_pkg::KindEnd)));

  always_ff @(posedge clk_i) begin
    run_q <= run_start_i && has_stream_q && rst_ni;
    if (!rst_ni || stop_i) streaming_q <= 1'b0;
    else if (run_start_i) streaming_q <= has_stream_q;
    else if (state_d == StIdle) streaming_q <= 1'b0;
    block_end_q  <= block_end & rst_ni;
    record_end_q <= section_done && streaming_q && state_q == StLayer;
    // Counted in the cycle in which the last record is in the table.
    if (run_start_i) begin
      blocks_in_q <= '0;
      layers_in_q <= n_layer;
      place_q     <= n_layer;
    end else begin
      if (block_end_q) blocks_in_q <= blocks_in_q + 24'd1;
      if (record_end_q) begin
        layers_in_q <= layers_in_q + 16'd1;
        place_q     <= (place_q == 16'(LayerDepth - 1)) ? n_layer : place_q + 16'd1;
      end
    end
  end

  assign streaming_o = streaming_q;
  assign stuck_o = !streaming_q || (state_q == StWait && !block_may) || (state_q == StCommand && image_left_i) ||
                   (state_q != StCommand && state_q != StFilling && !beat_valid_i && !rd_busy_i);

  // What is left of the stream behind this segment; the next one, told by a FILL's last word, is longer.
  logic [31:0] left_q, next_words;
  logic [63:0] next_q;
  logic        segment, fill_error_q, too_long_q;
  assign segment = (state_q == StCommand && rd_start_o) || segment_i;
  assign next_words = segment_i ? shift_q[ShiftBits-64 +: 32] : rd_beats_o;
  always_ff @(posedge clk_i) begin
    fill_error_q <= fill_error_i;
    if (pop) too_long_q <= left_q < beat_data_i[31:0];
    fill_start_o <= section_done && state_q == StFill && !stop_i;
    if (run_start_i) left_q <= stream_words;
    else if (segment) left_q <= left_q - next_words;
    if (segment) next_q <= (segment_i ? next_q : behind) + {29'd0, next_words, 3'd0};
  end
  assign segment_o = next_q;
  assign fill_record_o = shift_q[ShiftBits-1 -: 256];
  assign stream_error_o = state_q == StFail && streaming_q;
  assign layers_in_o = layers_in_q;
  assign blocks_in_o = blocks_in_q;

  // An empty section is left at once; the pop waits for a section with something in it.
  assign section = state_q == StMap || state_q == StLayer || state_q == StKword ||
                   state_q == StCoef || state_q == StScale || state_q == StWeight || state_q == StFill;
  assign beat_ready_o = state_q == StHeader || state_q == StBlock || (section && !empty);
  assign pop = beat_valid_i & beat_ready_o;
  assign rec_done = pop && word_q == last_word_q;
  assign section_done = section && (empty || (rec_done && rec_last_q));
  // A record has two words at least, so number and flag are there before its last.
  always_ff @(posedge clk_i) begin
    last_word_q <= words - 8'd1;
    rec_last_q <= rec_q + 16'd1 == recs;
    none_q <= {n_weight[15:0] == '0, n_scale == '0, n_coef == '0, n_kword == '0, n_layer == '0, n_map == '0};
  end
  // Blocks of a stream are never empty.
  assign empty = !streaming_q && ((state_q == StMap && none_q[0]) || (state_q == StLayer && none_q[1]) || (state_q == StKword && none_q[2]) ||
                                  (state_q == StCoef && none_q[3]) || (state_q == StScale && none_q[4]) || (state_q == StWeight && none_q[5]));

  always_comb begin
    state_d = state_q;
    error_d = error_q;
    rd_start_o = 1'b0;
    rd_addr_o = program_addr_i;
    rd_beats_o = 32'(HeaderWords);
    unique case (state_q)
      StIdle: begin
        if (start_i) begin
          if (bad_window_q) begin
            error_d = bp_shell_pkg::ErrSize;
            state_d = StFail;
          end else begin
            error_d = bp_shell_pkg::ErrNone;
            rd_start_o = 1'b1;
            state_d = StHeader;
          end
        end else if (run_q) begin              // the port has the image first
          state_d = StCommand;
        end
      end
      StHeader: if (rec_done) state_d = StCheck;
      StCheck: begin
        rd_addr_o = behind;
        rd_beats_o = words_want_q - 32'(HeaderWords);
        state_d = StFail;
        if (bad_magic_q) error_d = bp_shell_pkg::ErrMagic;
        else if (bad_array_q) error_d = bp_shell_pkg::ErrArray;
        else if (bad_size_q) error_d = bp_shell_pkg::ErrSize;
        else if (bad_io_q) error_d = bp_shell_pkg::ErrIo;
        else begin
          rd_start_o = 1'b1;
          state_d = StMap;
        end
      end
      StMap:   if (section_done) state_d = streaming_q ? StBlock : StLayer;
      StLayer: if (section_done) state_d = streaming_q ? StBlock : StKword;
      StKword: if (section_done) state_d = streaming_q ? StBlock : StCoef;
      StCoef:  if (section_done) state_d = streaming_q ? StBlock : StScale;
      StScale: if (section_done) state_d = streaming_q ? StBlock : StWeightCmd;
      StWeightCmd: begin
        rd_addr_o = weight_addr_i;
        rd_beats_o = weight_words_q;
        rd_start_o = weight_words_q != '0;
        state_d = StWeight;
      end
      StWeight: if (section_done) state_d = streaming_q ? StBlock : StEnd;
      StEnd, StFail: state_d = StIdle;
      StCommand: begin
        rd_addr_o = behind;
        rd_beats_o = has_scratch_q ? 32'(1 + bp_shell_pkg::FillWords) : stream_words;
        if (bad_size_q || program_addr_i[2:0] != '0) begin   // the window is not that of the load
          state_d = StFail;
        end else if (!rd_busy_i) begin
          rd_start_o = 1'b1;
          state_d = StBlock;
        end
      end
      StBlock: if (pop) state_d = StWait;
      StWait: begin
        unique case (block.kind[7:0])
          bp_shell_pkg::KindMap:    state_d = StMap;
          bp_shell_pkg::KindLayer:  state_d = StLayer;
          bp_shell_pkg::KindKword:  state_d = StKword;
          bp_shell_pkg::KindCoef:   state_d = StCoef;
          bp_shell_pkg::KindScale:  state_d = StScale;
          bp_shell_pkg::KindWeight: state_d = StWeight;
          bp_shell_pkg::KindFill:   state_d = StFill;
          default:                  state_d = StIdle;
        endcase
        if (block_bad_q) state_d = StFail;
        else if (!block_may) state_d = StWait;
      end
      StFill: if (section_done) state_d = StFilling;
      StFilling: begin
        if (fill_error_q || (fill_start_o && too_long_q)) state_d = StFail;
        else if (fill_done_i) state_d = StBlock;
      end
      default: state_d = StIdle;
    endcase
    if (stop_i) begin
      state_d = StIdle;
      rd_start_o = 1'b0;
    end
  end

  // Behind the header, or behind the tables.
  assign behind = program_addr_i + ((state_q == StCommand) ? {29'd0, words_want_q, 3'd0} : 64'(HeaderWords * 8));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      error_q <= bp_shell_pkg::ErrNone;
    end else begin
      state_q <= state_d;
      error_q <= error_d;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!beat_ready_o || section_done) begin
      word_q <= '0;
      rec_q  <= '0;
    end else if (pop) begin
      word_q <= rec_done ? '0 : word_q + 8'd1;
      if (rec_done) rec_q <= rec_q + 16'd1;
    end
    if (pop) shift_q <= {beat_data_i, shift_q[ShiftBits-1:64]};
    if (pop && state_q == StHeader) head_q[word_q[2:0]] <= beat_data_i;
    if (!streaming_q) base_q <= '0;
    else if (state_q == StWait)
      base_q <= (block.kind[7:0] == bp_shell_pkg::KindLayer) ? place_q : block.first;
    if (state_q == StWait) records_q <= block.records;
  end

  // ---- table writes, the cycle after ----
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      map_we_o    <= 1'b0;
      layer_we_o  <= 1'b0;
      kword_we_o  <= 1'b0;
      coef_we_o   <= 1'b0;
      scale_we_o  <= 1'b0;
      weight_we_o <= 1'b0;
    end else begin
      map_we_o    <= rec_done && state_q == StMap;
      layer_we_o  <= rec_done && state_q == StLayer;
      kword_we_o  <= rec_done && state_q == StKword;
      coef_we_o   <= rec_done && state_q == StCoef;
      scale_we_o  <= rec_done && state_q == StScale;
      weight_we_o <= rec_done && state_q == StWeight;
    end
  end

  always_ff @(posedge clk_i) waddr_o <= base_q + rec_q;

  assign map_wdata_o    = shift_q[ShiftBits-1 -: MapWords*64];
  assign layer_wdata_o  = shift_q[ShiftBits-1 -: LayerWords*64];
  assign kword_wdata_o  = shift_q[ShiftBits-1 -: KwordWords*64];
  assign weight_wdata_o = shift_q;
  for (genvar m = 0; m < M; m++) begin : gen_channel
    // two int32 a word; B as int64, then M
    assign coef_wdata_o[m*18 +: 18] = shift_q[ShiftBits - CoefWords*64 + m*32 +: 18];
    assign scale_wdata_o[m*66 +: 66] = {shift_q[ShiftBits - ScaleWords*64 + m*128 +: 48],
                                        shift_q[ShiftBits - ScaleWords*64 + m*128 + 64 +: 18]};
  end

  assign done_o  = state_q == StEnd || state_q == StFail;
  assign error_o = error_q;

  // A stream may write, and layers may read, all of every table.
  assign n_layer_o      = has_stream_q ? head_q[3][31:16] : n_layer;
  assign n_map_o        = has_stream_q ? 16'(MapDepth) : n_map;
  assign n_kword_o      = has_stream_q ? 16'(KwordDepth) : n_kword;
  assign n_coef_o       = has_stream_q ? 16'(CoefDepth) : n_coef;
  assign n_scale_o      = has_stream_q ? 16'(ScaleDepth) : n_scale;
  assign n_weight_o     = has_stream_q ? 32'(WeightDepth) : n_weight;
  assign input_bytes_o  = head_q[4][31:0];
  assign output_bytes_o = head_q[4][47:32];
  assign pages_o        = head_q[4][63:48];
  assign n_loaded_o     = n_layer;
  assign pad_o          = {head_q[7], head_q[6]};

  logic unused_head;
  assign unused_head = ^head_q[0][63:48];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_state: assert (state_q <= StFilling);
      a_word:  assert (!beat_ready_o || word_q < words);
      a_start: assert (!start_i || state_q == StIdle);
    end
  end
`endif

endmodule
