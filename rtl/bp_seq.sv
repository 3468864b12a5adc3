// Layer sequencer: reads a layer record and its output map, checks both, starts the unit that does
// the work and waits for its last word. Five cycles a layer before the work begins:
//   Layer -> Decode -> Map -> Go -> Run -> Layer of the next, or End
// Layer waits until the record is in the table, Decode until the blocks of the stream that the layer needs are. The
// table is a ring behind the records of the load.
// The first error of any unit, or abort, ends the run with done_o; a unit's error is seen a cycle later, so
// that of a layer's last write is in Layer or End.
module bp_seq #(
  parameter int unsigned M        = 16,
  parameter int unsigned N        = 8,
  parameter int unsigned LayerDepth = 128,
  parameter int unsigned MapDepth   = 128,
  localparam int unsigned Lw = $clog2(LayerDepth),
  localparam int unsigned Mw = $clog2(MapDepth)
) (
  input  logic           clk_i,
  input  logic           rst_ni,

  input  logic           start_i,
  input  logic           abort_i,
  input  logic [15:0]    n_layer_i,
  input  logic [15:0]    n_loaded_i,     // records of the load: the ring lies behind them
  input  logic [15:0]    n_map_i,
  input  logic [15:0]    n_scale_i,
  input  logic           odd_i,          // the result has an odd number of logits

  input  logic [15:0]    layers_in_i,    // records that are or were in the table
  input  logic [23:0]    blocks_in_i,    // blocks of the stream that are in
  input  logic           stuck_i,        // no block will come before another layer ends
  output logic [15:0]    ended_o,        // layers that have ended

  output logic           layer_re_o,
  output logic [Lw-1:0]  layer_raddr_o,
  input  bp_pkg::layer_t layer_i,
  output logic           map_re_o,
  output logic [Mw-1:0]  map_raddr_o,
  input  bp_pkg::map_t   map_i,

  output bp_pkg::layer_t layer_o,        // stable from Go to the layer's end
  output bp_pkg::map_t   map_o,
  output logic [6:0]     last_block_o,
  output logic [23:0]    tiles_o,        // a filter group
  output logic           input_go_o,     // pulses
  output logic           mac_go_o,
  output logic           pool_go_o,
  input  logic           unit_done_i,    // of MAC and MAXPOOL
  input  logic           input_done_i,
  input  logic [7:0]     input_error_i,
  input  logic [7:0]     unit_error_i,   // nonzero at any time: end

  output logic           running_o,
  output logic           done_o,
  output logic [7:0]     error_o,
  output logic [15:0]    index_o,
  output logic           layer_done_o    // pulse, the cycle after the record's end
);

  typedef enum logic [2:0] {StIdle, StLayer, StDecode, StMap, StGo, StRun, StEnd} state_e;
  state_e state_q, state_d;

  logic [15:0]    index_q, index_d, ended_q;
  logic [Lw-1:0]  place_q, place_d;        // of the record in the ring
  logic [3:0]     stuck_q;
  logic           record_in, waiting, starved;
  logic           first_q;
  bp_pkg::layer_t layer_q;
  bp_pkg::map_t   map_q;
  logic [7:0]     error, layer_error, check_q, unit_error_q;
  logic           layer_bad_q, map_bad, map_bad_q;
  logic           is_input_q, is_mac_q, is_pool_q, logits, part, paired, finished, stop, good;
  logic [15:0]    first_group, groups_there;
  logic [16:0]    last_group_q;            // behind the layer's last output group
  logic [3:0]     raw_planes;              // 8 / P of INPUT

  always_ff @(posedge clk_i) begin
    if (state_q == StDecode) begin
      is_input_q <= layer_i.op == bp_pkg::OpInput;
      is_mac_q   <= layer_i.op == bp_pkg::OpMac;
      is_pool_q  <= layer_i.op == bp_pkg::OpMaxpool;
    end
  end
  assign part     = is_mac_q && layer_q.flags[bp_pkg::LyPart];
  assign logits   = is_mac_q && layer_q.flags[bp_pkg::LyLogits] && !layer_q.flags[bp_pkg::LyPart];
  // Two groups of a paired map for each of the layer's; the last may lack one.
  assign paired = is_mac_q & map_i.paired;
  assign groups_there = paired ? 16'(map_i.groups[15:1]) + 16'(map_i.groups[0]) : map_i.groups;
  assign first_group = (layer_i.op == bp_pkg::OpMac) ? layer_i.arg3 : layer_i.arg2;
  assign raw_planes = {layer_q.arg1[0], layer_q.arg1[1], layer_q.arg1[2], layer_q.arg1[3]};

  // ---- checks ----
  always_comb begin
    layer_error = bp_pkg::ErrNone;
    if (index_q >= n_layer_i || !(is_input_q || is_mac_q || is_pool_q) || (index_q == '0 && !is_input_q)) begin
      layer_error = bp_pkg::ErrOp;
    end else if (is_mac_q) begin
      if (layer_q.count == '0 || layer_q.misc[7:0] > 8'd47) layer_error = bp_pkg::ErrOp;
      else if ((logits || part) && (layer_q.rows != 16'd1 || layer_q.cols != 16'd1)) layer_error = bp_pkg::ErrOp;
      else if (part && layer_q.count != 16'd1) layer_error = bp_pkg::ErrOp;
      else if (logits && (layer_q.logits == '0 || layer_q.logits > 32'(layer_q.count) * 32'(M) ||
                          layer_q.logits[0] != (odd_i && !layer_q.flags[bp_pkg::LyMore])))
        layer_error = bp_pkg::ErrIo;
      else if (17'(layer_q.arg2) + 17'(layer_q.count) > 17'(n_scale_i)) layer_error = bp_pkg::ErrScale;
    end else if (is_pool_q) begin
      if (layer_q.count == '0 || layer_q.arg3 == '0 || layer_q.arg3[15:9] != '0) layer_error = bp_pkg::ErrOp;
      else if (layer_q.arg1 >= n_map_i || layer_q.arg1[15:8] != '0) layer_error = bp_pkg::ErrMap;
    end
  end

  always_comb begin
    map_bad = 1'b0;
    if (!logits && !part) begin
      if (layer_q.out_map >= n_map_i || map_i.planes == '0 || map_i.planes > 4'd8 ||
          map_i.h == '0 || map_i.h[15:10] != '0 || map_i.w == '0 || map_i.w[15:10] != '0 ||
          map_i.h != layer_q.rows || map_i.w != layer_q.cols ||
          (is_input_q ? map_i.groups == '0 || map_i.planes != raw_planes
                    : last_group_q > 17'(groups_there) || (paired && map_i.planes > 4'd4)))
        map_bad = 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || state_q == StIdle) unit_error_q <= bp_pkg::ErrNone;
    else unit_error_q <= unit_error_i;
    check_q <= layer_error;
    layer_bad_q <= layer_error != '0;
    map_bad_q <= map_bad;
  end

  // Neither side can go on. The other's last step takes a few cycles to be seen.
  assign record_in = index_d < layers_in_i;
  assign waiting = (state_q == StLayer && !record_in) ||
                   (state_q == StDecode && layer_i.need > blocks_in_i);
  assign starved = &stuck_q;
  always_ff @(posedge clk_i) stuck_q <= {stuck_q[2:0], waiting & stuck_i & rst_ni};

  assign error = abort_i ? bp_pkg::ErrAbort :
                 starved ? bp_pkg::ErrStream :
                 (unit_error_q != '0) ? unit_error_q :
                 (state_q == StGo) ? (layer_bad_q ? check_q : map_bad_q ? bp_pkg::ErrMap : bp_pkg::ErrNone) :
                 (state_q == StRun && is_input_q && input_done_i) ? input_error_i : bp_pkg::ErrNone;

  // ---- states ----
  assign stop = state_q != StIdle && (error != '0 || state_q == StEnd);
  assign finished = is_input_q ? input_done_i : unit_done_i;

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      StIdle:   if (start_i) state_d = StLayer;
      StLayer:  if (!waiting) state_d = StDecode;
      StDecode: if (!waiting) state_d = StMap;
      StMap:    state_d = StGo;
      StGo:     state_d = StRun;
      StRun:    if (finished) state_d = (index_q == n_layer_i - 16'd1) ? StEnd : StLayer;
      default:  state_d = StIdle;
    endcase
    if (stop) state_d = StIdle;
  end

  // The number moves on in Layer: until then an error belongs to the layer before.
  assign index_d = first_q ? '0 : index_q + 16'd1;
  assign place_d = first_q ? '0 : (place_q == Lw'(LayerDepth - 1)) ? n_loaded_i[Lw-1:0] : place_q + Lw'(1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= StIdle;
    else state_q <= state_d;
    layer_done_o <= rst_ni && state_q == StRun && finished && error == '0;
    if (start_i && state_q == StIdle) begin
      index_q <= '0;
      first_q <= 1'b1;
      ended_q <= '0;
    end else begin
      if (state_q == StLayer && !waiting && !stop) begin
        index_q <= index_d;
        place_q <= place_d;
        first_q <= 1'b0;
      end
      if (state_q == StRun && finished) ended_q <= ended_q + 16'd1;
    end
    if (state_q == StDecode) layer_q <= layer_i;
    if (state_q == StDecode) last_group_q <= 17'(first_group) + 17'(layer_i.count);
    if (state_q == StMap) map_q <= map_i;
    if (state_q == StGo) tiles_o <= (24'(last_block_o) + 24'd1) * 24'(layer_q.rows[9:0]);
  end

  assign layer_re_o    = state_q == StLayer;
  assign layer_raddr_o = place_d;
  assign map_re_o      = state_q == StDecode;
  assign map_raddr_o   = layer_i.out_map[Mw-1:0];

  assign layer_o      = layer_q;
  assign map_o        = map_q;
  assign last_block_o = 7'((layer_q.cols[9:0] - 10'd1) >> $clog2(N));
  assign good         = state_q == StGo && !layer_bad_q && !map_bad_q;
  assign input_go_o   = good && is_input_q;
  assign mac_go_o     = good && is_mac_q;
  assign pool_go_o    = good && is_pool_q;
  assign running_o    = state_q != StIdle;
  assign done_o       = stop;
  assign error_o      = error;
  assign index_o      = index_q;
  assign ended_o      = ended_q;

  if (N != (1 << $clog2(N)) || N < 8) begin : gen_check
    $error("bp_seq: blocks of 8, 16 or 32 pixels only");
  end

  logic unused;
  assign unused = ^n_loaded_i;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_state: assert (state_q <= StEnd);
      a_idle:  assert (!start_i || state_q == StIdle);
    end
  end
`endif

endmodule
