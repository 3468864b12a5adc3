// Layer sequencer: reads a layer record and its output map, checks both, starts the unit that does
// the work and waits for its last word. In two halves, so that the next layer's record, map and walk are there when a
// layer ends:
//   front  Layer -> Decode -> Map -> Check, in which the walk starts -> Hold until the layer before has ended
//   run    Wait for the front -> Set -> Go -> Run -> Wait for the next, or End
// Layer waits until the record is in the table, Decode until the blocks of the stream that the layer needs are and the walk is free: the
// layer before has taken its last window. The table is a ring behind the records of the load.
// The first error of any unit, or abort, ends the run with done_o; a unit's error is seen a cycle later, so
// that of a layer's last write is in Wait or End. What the walk finds wrong ahead counts when its layer has begun.
// A layer with EARLY whose walk starts before the layer before has drained has its windows let through from then on; its Go comes as any other's.
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

  output bp_pkg::layer_t next_o,         // for the walk: stable from its start to its last place
  output bp_pkg::map_t   next_map_o,
  output logic [6:0]     next_last_block_o,
  output logic           walk_go_o,      // pulse
  output logic           open_o,         // the next layer's places may be taken: none behind what the walk found wrong
  input  logic           taken_i,        // the layer's last window is taken
  input  logic           late_i,         // too late to begin early
  output logic           early_o,        // windows are of the next layer
  input  logic           walk_bad_i,     // from then on no place may be taken
  input  logic [7:0]     next_error_i,   // of walk and fetch; the next layer's while they are ahead

  output bp_pkg::layer_t layer_o,        // stable from the cycle before Go to the layer's end
  output bp_pkg::map_t   map_o,
  output logic [6:0]     last_block_o,
  output logic [23:0]    tiles_o,        // of the next layer's filter groups
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

  typedef enum logic [2:0] {FrIdle, FrLayer, FrDecode, FrMap, FrCheck, FrHold} front_e;
  typedef enum logic [2:0] {StIdle, StWait, StSet, StGo, StRun, StEnd} state_e;
  front_e front_q, front_d;
  state_e state_q, state_d;

  // ---- front ----
  logic [15:0]    next_index_q, next_index_d;
  logic [Lw-1:0]  place_q, place_d;        // of the record in the ring
  logic           first_q, record_in, waiting, loaded, decoded, more_q;
  logic           walking_q;               // windows of a layer are still to be taken
  bp_pkg::layer_t next_q;
  bp_pkg::map_t   next_map_q;
  logic [7:0]     layer_error, check_q;
  logic           layer_bad_q, map_bad, map_bad_q, groups_bad, groups_bad_q;
  logic           is_input_q, is_mac_q, is_pool_q, logits, part, paired, good;
  logic           many, overlaps_q;        // MAC that may begin while another drains, or drain while another begins
  logic [15:0]    first_group, groups_there;
  logic [16:0]    last_group_q;            // behind the layer's last output group
  logic [3:0]     raw_planes;              // 8 / P of INPUT

  // ---- run ----
  logic [15:0]    index_q, ended_q;
  logic [3:0]     stuck_q;
  logic           starved, finished, stop, ahead_q, begins_early;
  bp_pkg::layer_t layer_q;
  bp_pkg::map_t   map_q;
  logic           run_input_q, run_mac_q, run_pool_q, run_overlaps_q, bad_q;
  logic [7:0]     bad_error_q, error, unit_error_q, next_error_q, next_now_q;
  logic           walk_bad_q;

  always_ff @(posedge clk_i) begin
    if (decoded) begin
      is_input_q <= layer_i.op == bp_pkg::OpInput;
      is_mac_q   <= layer_i.op == bp_pkg::OpMac;
      is_pool_q  <= layer_i.op == bp_pkg::OpMaxpool;
    end
  end
  assign part     = is_mac_q && next_q.flags[bp_pkg::LyPart];
  assign logits   = is_mac_q && next_q.flags[bp_pkg::LyLogits] && !next_q.flags[bp_pkg::LyPart];
  // Two groups of a paired map for each of the layer's; the last may lack one.
  assign paired = is_mac_q & map_i.paired;
  assign groups_there = paired ? 16'(map_i.groups[15:1]) + 16'(map_i.groups[0]) : map_i.groups;
  assign first_group = (layer_i.op == bp_pkg::OpMac) ? layer_i.arg3 : layer_i.arg2;
  assign raw_planes = {next_q.arg1[0], next_q.arg1[1], next_q.arg1[2], next_q.arg1[3]};

  // ---- checks ----
  always_comb begin
    layer_error = bp_pkg::ErrNone;
    if (next_index_q >= n_layer_i || !(is_input_q || is_mac_q || is_pool_q) || (next_index_q == '0 && !is_input_q)) begin
      layer_error = bp_pkg::ErrOp;
    end else if (is_mac_q) begin
      if (next_q.count == '0 || next_q.misc[7:0] > 8'd47) layer_error = bp_pkg::ErrOp;
      else if ((logits || part) && (next_q.rows != 16'd1 || next_q.cols != 16'd1)) layer_error = bp_pkg::ErrOp;
      else if (part && next_q.count != 16'd1) layer_error = bp_pkg::ErrOp;
      else if (logits && (next_q.logits == '0 || next_q.logits > 32'(next_q.count) * 32'(M) ||
                          next_q.logits[0] != (odd_i && !next_q.flags[bp_pkg::LyMore])))
        layer_error = bp_pkg::ErrIo;
      else if (17'(next_q.arg2) + 17'(next_q.count) > 17'(n_scale_i)) layer_error = bp_pkg::ErrScale;
    end else if (is_pool_q) begin
      if (next_q.count == '0 || next_q.arg3 == '0 || next_q.arg3[15:9] != '0) layer_error = bp_pkg::ErrOp;
      else if (next_q.arg1 >= n_map_i || next_q.arg1[15:8] != '0) layer_error = bp_pkg::ErrMap;
    end
  end

  assign map_bad = next_q.out_map >= n_map_i || map_i.planes == '0 || map_i.planes > 4'd8 ||
                   map_i.h == '0 || map_i.h[15:10] != '0 || map_i.w == '0 || map_i.w[15:10] != '0 ||
                   map_i.h != next_q.rows || map_i.w != next_q.cols || (paired && map_i.planes > 4'd4);
  assign groups_bad = is_input_q ? map_i.groups == '0 || map_i.planes != raw_planes : last_group_q > 17'(groups_there);

  // Enough tiles that the layer is not over before the one before it has drained.
  assign many = |next_q.rows[9:3] || |next_q.count[15:3] || (next_q.rows[2] && |next_q.count[2:1]) || (|next_q.rows[2:1] && next_q.count[2]);

  always_ff @(posedge clk_i) begin
    overlaps_q <= is_mac_q && !part && !logits && many;
    check_q <= layer_error;
    layer_bad_q <= layer_error != '0;
    map_bad_q <= map_bad && !logits && !part;
    groups_bad_q <= groups_bad && !logits && !part;
  end

  // Neither side can go on. The other's last step takes a few cycles to be seen.
  assign record_in = next_index_d < layers_in_i;
  assign waiting = (front_q == FrLayer && !record_in) ||
                   (front_q == FrDecode && layer_i.need > blocks_in_i);
  assign starved = &stuck_q;
  always_ff @(posedge clk_i) stuck_q <= {stuck_q[2:0], waiting & stuck_i & (state_q == StWait) & rst_ni};

  assign good = !layer_bad_q && !map_bad_q && !groups_bad_q;   // in Check
  assign loaded = front_q == FrCheck || front_q == FrHold;
  assign decoded = front_q == FrDecode && !waiting && (!walking_q || taken_i);

  always_comb begin
    front_d = front_q;
    unique case (front_q)
      FrIdle:   if (state_q == StIdle && start_i) front_d = FrLayer;
      FrLayer:  if (!waiting) front_d = FrDecode;
      FrDecode: if (decoded) front_d = FrMap;
      FrMap:    front_d = FrCheck;
      default:  front_d = (state_q != StWait) ? FrHold : more_q ? FrLayer : FrIdle;
    endcase
    if (stop) front_d = FrIdle;
  end

  assign next_index_d = first_q ? '0 : next_index_q + 16'd1;
  assign place_d = first_q ? '0 : (place_q == Lw'(LayerDepth - 1)) ? n_loaded_i[Lw-1:0] : place_q + Lw'(1);

  // What the checks have said stays while the record is held.
  logic hold_bad_q;
  logic [7:0] hold_error_q, front_error;
  logic front_bad;
  assign front_bad = (front_q == FrCheck) ? !good : hold_bad_q;
  assign front_error = (front_q == FrHold) ? hold_error_q : layer_bad_q ? check_q : bp_pkg::ErrMap;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) front_q <= FrIdle;
    else front_q <= front_d;
    if (start_i && state_q == StIdle) begin
      first_q <= 1'b1;
    end else if (front_q == FrLayer && !waiting && !stop) begin
      next_index_q <= next_index_d;
      place_q <= place_d;
      first_q <= 1'b0;
    end
    more_q <= next_index_q != n_layer_i - 16'd1;
    walking_q <= rst_ni && state_q != StIdle && (walk_go_o || (walking_q && !taken_i));
    if (decoded) next_q <= layer_i;
    if (decoded) last_group_q <= 17'(first_group) + 17'(layer_i.count);
    if (front_q == FrMap) next_map_q <= map_i;
    if (front_q == FrCheck) begin
      hold_bad_q   <= !good;
      hold_error_q <= front_error;
    end
  end

  assign layer_re_o    = front_q == FrLayer;
  assign layer_raddr_o = place_d;
  assign map_re_o      = decoded;
  assign map_raddr_o   = layer_i.out_map[Mw-1:0];
  assign next_o        = next_q;
  assign next_map_o    = next_map_q;
  assign next_last_block_o = 7'((next_q.cols[9:0] - 10'd1) >> $clog2(N));
  assign walk_go_o     = front_q == FrCheck && good && !is_input_q && !stop;

  // ---- errors ----
  // The walk is ahead of the layer from its start to the layer's Go.
  always_ff @(posedge clk_i) begin
    if (!rst_ni || state_q == StIdle) begin
      unit_error_q <= bp_pkg::ErrNone;
      next_error_q <= bp_pkg::ErrNone;
      next_now_q   <= bp_pkg::ErrNone;
      walk_bad_q   <= 1'b0;
      ahead_q      <= 1'b0;
    end else begin
      unit_error_q <= unit_error_i;
      next_now_q   <= ahead_q ? bp_pkg::ErrNone : (next_error_i != '0) ? next_error_i : next_error_q;
      if (next_error_i != '0 && next_error_q == '0) next_error_q <= next_error_i;
      walk_bad_q   <= walk_bad_q || walk_bad_i;
      ahead_q <= walk_go_o || (ahead_q && state_q != StGo);
    end
  end

  assign error = abort_i ? bp_pkg::ErrAbort :
                 starved ? bp_pkg::ErrStream :
                 (next_now_q != '0) ? next_now_q :
                 (unit_error_q != '0) ? unit_error_q :
                 (state_q == StGo && bad_q) ? bad_error_q :
                 (state_q == StRun && run_input_q && input_done_i) ? input_error_i : bp_pkg::ErrNone;

  assign begins_early = walk_go_o && next_q.flags[bp_pkg::LyEarly] && overlaps_q && state_q == StRun && run_overlaps_q && !late_i;

  // ---- run ----
  assign stop = state_q != StIdle && (error != '0 || state_q == StEnd);
  assign finished = run_input_q ? input_done_i : unit_done_i;

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      StIdle:   if (start_i) state_d = StWait;
      StWait:   if (loaded) state_d = StSet;
      StSet:    state_d = StGo;
      StGo:     state_d = StRun;
      StRun:    if (finished) state_d = (index_q == n_layer_i - 16'd1) ? StEnd : StWait;
      default:  state_d = StIdle;
    endcase
    if (stop) state_d = StIdle;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= StIdle;
    else state_q <= state_d;
    layer_done_o <= rst_ni && state_q == StRun && finished && error == '0;
    if (start_i && state_q == StIdle) ended_q <= '0;
    else if (state_q == StRun && finished) ended_q <= ended_q + 16'd1;
    if (start_i && state_q == StIdle) index_q <= '0;
    if (state_q == StWait && loaded && !stop) begin
      layer_q     <= next_q;
      map_q       <= next_map_q;
      run_input_q <= is_input_q;
      run_mac_q   <= is_mac_q;
      run_pool_q  <= is_pool_q;
      run_overlaps_q <= overlaps_q;
      bad_q       <= front_bad;
      bad_error_q <= front_error;
      index_q     <= next_index_q;
    end
    tiles_o <= (24'(next_last_block_o) + 24'd1) * 24'(next_q.rows[9:0]);
    if (!rst_ni || state_q == StIdle || taken_i || walk_bad_i) open_o <= 1'b0;
    else if (begins_early) open_o <= 1'b1;
    else if (state_q == StSet && !early_o) open_o <= !run_input_q && !bad_q && !walk_bad_q;
    early_o <= rst_ni && state_q != StIdle && (begins_early || (early_o && state_q != StGo));
  end

  assign layer_o      = layer_q;
  assign map_o        = map_q;
  assign last_block_o = 7'((layer_q.cols[9:0] - 10'd1) >> $clog2(N));
  assign input_go_o   = state_q == StGo && !bad_q && run_input_q;
  assign mac_go_o     = state_q == StGo && !bad_q && run_mac_q;
  assign pool_go_o    = state_q == StGo && !bad_q && run_pool_q;
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
      a_walk:  assert (!walk_go_o || !walking_q);
    end
  end
`endif

endmodule
