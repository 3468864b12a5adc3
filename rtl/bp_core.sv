// The engine: runs the layers of a loaded program. Tables are written while it is idle, or where no layer reads them.
//   bp_seq -> bp_walk -> bp_fetch -> bp_issue -> bp_array -> bp_requant -> bp_writeback
//                                        \-> bp_maxpool ------------------------/
// docs/rtl/engine.md has the latencies, host/accel/model.c counts with them.
module bp_core #(
  parameter int unsigned M           = bitpress_hw_pkg::M,
  parameter int unsigned N           = bitpress_hw_pkg::N,
  parameter int unsigned K           = bitpress_hw_pkg::K,
  parameter int unsigned CG          = bitpress_hw_pkg::CG,
  parameter int unsigned Drain       = bitpress_hw_pkg::DRAIN,
  parameter int unsigned ActDepth    = bitpress_hw_pkg::ACT_DEPTH,
  parameter int unsigned WeightDepth = bitpress_hw_pkg::WEIGHT_DEPTH,
  parameter int unsigned CoefDepth   = bitpress_hw_pkg::COEF_DEPTH,
  parameter int unsigned ScaleDepth  = bitpress_hw_pkg::SCALE_DEPTH,
  parameter int unsigned KwordDepth  = bitpress_hw_pkg::KWORD_DEPTH,
  parameter int unsigned LayerDepth  = bitpress_hw_pkg::LAYER_DEPTH,
  parameter int unsigned MapDepth    = bitpress_hw_pkg::MAP_DEPTH
) (
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            map_we_i,
  input  logic [15:0]     map_waddr_i,
  input  logic [127:0]    map_wdata_i,
  input  logic            layer_we_i,
  input  logic [15:0]     layer_waddr_i,
  input  logic [255:0]    layer_wdata_i,
  input  logic            kword_we_i,
  input  logic [15:0]     kword_waddr_i,
  input  logic [127:0]    kword_wdata_i,
  input  logic            coef_we_i,
  input  logic [15:0]     coef_waddr_i,
  input  logic [M*18-1:0] coef_wdata_i,
  input  logic            scale_we_i,
  input  logic [15:0]     scale_waddr_i,
  input  logic [M*66-1:0] scale_wdata_i,
  input  logic            weight_we_i,
  input  logic [15:0]     weight_waddr_i,
  input  logic [M*K-1:0]  weight_wdata_i,
  input  logic [127:0]    pad_i,
  input  logic [15:0]     n_layer_i,
  input  logic [15:0]     n_loaded_i,
  input  logic [15:0]     n_map_i,
  input  logic [15:0]     n_kword_i,
  input  logic [15:0]     n_coef_i,
  input  logic [15:0]     n_scale_i,
  input  logic            odd_i,           // see bp_seq
  input  logic [31:0]     n_weight_i,
  input  logic [15:0]     layers_in_i,     // of the stream, see bp_seq
  input  logic [23:0]     blocks_in_i,
  input  logic            stuck_i,
  output logic [15:0]     ended_o,

  input  logic            start_i,
  input  logic            abort_i,
  output logic            done_o,
  output logic [7:0]      error_o,
  output logic [15:0]     error_layer_o,
  output logic [15:0]     layer_o,
  output logic            layer_done_o,    // pulse, the cycle after the end of the last record of a layer

  output logic            input_start_o,
  output logic [255:0]    input_layer_o,
  output logic [127:0]    input_map_o,
  input  logic            input_done_i,
  input  logic [7:0]      input_error_i,
  output logic            write_o,         // the engine writes its memory: no input_we_i is heard
  input  logic            input_we_i,
  input  logic [1:0]      input_bank_i,
  input  logic [15:0]     input_addr_i,
  input  logic            input_left_we_i,
  input  logic [15:0]     input_left_addr_i,
  input  logic            input_right_we_i,
  input  logic [15:0]     input_right_addr_i,
  input  logic [N*CG-1:0] input_data_i,

  output logic            spill_start_o,   // MAXPOOL to the scratch: input_layer_o, input_map_o; its planes
  output logic            spill_valid_o,
  output logic [N*CG-1:0] spill_data_o,
  input  logic            spill_hold_i,    // only while such a layer runs
  input  logic            spill_done_i,
  input  logic [7:0]      spill_error_i,

  output logic            logit_valid_o,
  input  logic            logit_ready_i,
  output logic [63:0]     logit_data_o,
  output logic            logit_last_o,

  output logic [31:0]     fetch_run_o,
  output logic [31:0]     fetch_stall_o,
  output logic [31:0]     array_run_o,
  output logic [31:0]     array_stall_o,
  output logic [31:0]     drain_run_o,
  output logic [31:0]     drain_stall_o,
  output logic [31:0]     write_run_o,
  output logic [31:0]     write_stall_o
);

  localparam int unsigned Aw = $clog2(ActDepth);
  localparam int unsigned Ww = $clog2(WeightDepth);
  localparam int unsigned Cw = $clog2(CoefDepth);
  localparam int unsigned Sw = $clog2(ScaleDepth);
  localparam int unsigned Kw = $clog2(KwordDepth);
  localparam int unsigned Lw = $clog2(LayerDepth);
  localparam int unsigned Mw = $clog2(MapDepth);
  localparam int unsigned Word  = (N + 2) * CG;
  localparam int unsigned Steps = M * N / Drain;

  if (K != 9 * CG || M != CG) begin : gen_check
    $error("bp_core: K must be 9 CG and M must be CG");
  end

  // ---- sequence ----
  bp_pkg::layer_t layer, next, table_layer;  // that runs, that the walk is at
  bp_pkg::map_t   map, next_map, table_map;
  bp_pkg::kword_t table_kword;
  logic [6:0]  last_block, next_last_block;
  logic        walk_go, open;
  logic window_valid, window_take;
  bp_pkg::window_t window_ctl;
  logic [23:0] tiles;
  logic input_go, mac_go, pool_go, unit_done, write_done, running, clear_q, pool, logits, spill, part, part_done_q, carry_q;
  logic [7:0] walk_error, fetch_error, write_error, unit_error, next_error_q;
  logic [3:0] gap, shortest, next_gap, next_shortest, end_gap;
  logic       early, layer_end, late;
  logic layer_re, seq_map_re, walk_map_re, kword_re, record_done;
  logic [Lw-1:0] layer_raddr;
  logic [Mw-1:0] seq_map_raddr, walk_map_raddr;
  logic [Kw-1:0] kword_raddr;

  // The cycle after a start or an end; a layer begins later.
  always_ff @(posedge clk_i) clear_q <= !rst_ni | start_i | done_o;
  // The record is there a cycle before Go, the map with it.
  always_ff @(posedge clk_i) begin
    pool   <= layer.op == bp_pkg::OpMaxpool;
    logits <= layer.op == bp_pkg::OpMac && layer.flags[bp_pkg::LyLogits];
    spill  <= layer.op == bp_pkg::OpMaxpool && layer.flags[bp_pkg::LySpill];
    part   <= layer.op == bp_pkg::OpMac && layer.flags[bp_pkg::LyPart];
    gap    <= early ? next_gap : (pool || part) ? 4'd1 : (shortest < 4'(Steps)) ? 4'(Steps) : shortest;
    next_gap <= (next_shortest < 4'(Steps)) ? 4'(Steps) : next_shortest;
    end_gap  <= (pool || part || Steps > 4) ? gap : (4'(Steps + 3) + shortest < 4'(Steps + 5)) ? 4'(Steps + 5) : 4'(Steps + 3) + shortest;
  end
  // A tile's drain, and its planes or pairs of logits.
  assign shortest = logits ? 4'(M / 2) : map.paired ? {map.planes[2:0], 1'b0} : map.planes;
  assign next_shortest = next_map.paired ? {next_map.planes[2:0], 1'b0} : next_map.planes;
  // What is read early is the next layer's.
  assign unit_error = (fetch_error != '0 && !early) ? fetch_error : (write_error != '0) ? write_error : spill_error_i;
  always_ff @(posedge clk_i) next_error_q <= (walk_error != '0) ? walk_error : early ? fetch_error : bp_pkg::ErrNone;
  assign unit_done = spill ? spill_done_i : (write_done || part_done_q);

  bp_seq #(.M(M), .N(N), .LayerDepth(LayerDepth), .MapDepth(MapDepth)) u_seq (
    .clk_i, .rst_ni, .start_i, .abort_i, .n_layer_i, .n_loaded_i, .n_map_i, .n_scale_i, .odd_i,
    .layers_in_i, .blocks_in_i, .stuck_i, .ended_o,
    .layer_re_o(layer_re), .layer_raddr_o(layer_raddr), .layer_i(table_layer),
    .map_re_o(seq_map_re), .map_raddr_o(seq_map_raddr), .map_i(table_map),
    .next_o(next), .next_map_o(next_map), .next_last_block_o(next_last_block), .walk_go_o(walk_go), .open_o(open),
    .taken_i(window_take & window_ctl.layer_last), .walk_bad_i(walk_error != '0), .next_error_i(next_error_q),
    .late_i(late || Steps < 2 || Steps > 4), .early_o(early),
    .layer_o(layer), .map_o(map), .last_block_o(last_block), .tiles_o(tiles),
    .input_go_o(input_go), .mac_go_o(mac_go), .pool_go_o(pool_go), .unit_done_i(unit_done),
    .input_done_i, .input_error_i, .unit_error_i(unit_error),
    .running_o(running), .done_o, .error_o, .index_o(layer_o), .layer_done_o(record_done));

  assign error_layer_o = layer_o;
  assign layer_done_o = record_done && !layer.flags[bp_pkg::LyMore];
  assign input_start_o = input_go;
  assign input_layer_o = layer;
  assign input_map_o = map;

  bp_ram #(.Width(256), .Depth(LayerDepth)) u_layers (
    .clk_i, .we_i(layer_we_i), .waddr_i(layer_waddr_i[Lw-1:0]), .wdata_i(layer_wdata_i),
    .re_i(layer_re), .raddr_i(layer_raddr), .rdata_o(table_layer));

  bp_ram #(.Width(128), .Depth(MapDepth)) u_maps (
    .clk_i, .we_i(map_we_i), .waddr_i(map_waddr_i[Mw-1:0]), .wdata_i(map_wdata_i),
    .re_i(seq_map_re | walk_map_re), .raddr_i(seq_map_re ? seq_map_raddr : walk_map_raddr),
    .rdata_o(table_map));

  bp_ram #(.Width(128), .Depth(KwordDepth)) u_kwords (
    .clk_i, .we_i(kword_we_i), .waddr_i(kword_waddr_i[Kw-1:0]), .wdata_i(kword_wdata_i),
    .re_i(kword_re), .raddr_i(kword_raddr), .rdata_o(table_kword));

  // ---- walk and fetch ----
  bp_pkg::place_t place;
  logic place_valid, place_ready;

  bp_walk #(.N(N), .KwordDepth(KwordDepth), .MapDepth(MapDepth)) u_walk (
    .clk_i, .rst_ni, .clear_i(clear_q), .start_i(walk_go), .layer_i(next),
    .last_block_i(next_last_block), .out_planes_i(next_map.planes),
    .n_map_i, .n_kword_i, .n_coef_i, .n_weight_i,
    .kword_re_o(kword_re), .kword_raddr_o(kword_raddr), .kword_i(table_kword),
    .map_re_o(walk_map_re), .map_raddr_o(walk_map_raddr), .map_i(table_map),
    .valid_o(place_valid), .ready_i(place_ready), .place_o(place), .error_o(walk_error));

  logic act_re, read;
  logic [4*Aw-1:0] act_raddr;
  logic [4*Word-1:0] act_rdata;
  logic [N*K-1:0] window;

  bp_fetch #(.N(N), .CG(CG), .ActDepth(ActDepth)) u_fetch (
    .clk_i, .rst_ni, .clear_i(clear_q), .pool_i(pool), .signed_i(layer.flags[bp_pkg::LySigned]),
    .pad_i, .valid_i(place_valid & open), .ready_o(place_ready), .place_i(place),
    .act_re_o(act_re), .act_raddr_o(act_raddr), .act_rdata_i(act_rdata),
    .window_valid_o(window_valid), .window_take_i(window_take), .window_ctl_o(window_ctl),
    .window_o(window), .read_o(read), .error_o(fetch_error));

  // ---- array ----
  logic issue_valid, issue_first, issue_last, issue_wait;
  logic [15:0] issue_waddr, issue_coef;
  logic drain_valid, drain_last;
  logic [7:0] drain_step;
  logic [Drain*32-1:0] drain;

  bp_issue u_issue (
    .clk_i, .rst_ni, .clear_i(clear_q), .gap_i(gap), .end_gap_i(end_gap), .end_o(layer_end), .hold_i(spill_hold_i), .window_valid_i(window_valid),
    .window_take_o(window_take), .window_i(window_ctl),
    .valid_o(issue_valid), .first_o(issue_first), .last_o(issue_last), .waddr_o(issue_waddr),
    .coef_o(issue_coef), .wait_o(issue_wait));

  bp_array #(.M(M), .N(N), .K(K), .Drain(Drain), .WeightDepth(WeightDepth), .CoefDepth(CoefDepth)) u_array (
    .clk_i, .rst_ni, .clear_i(clear_q), .valid_i(issue_valid & !pool), .load_i(window_take),
    .first_i(issue_first & !carry_q), .last_i(issue_last & !part),
    .waddr_i(issue_waddr[Ww-1:0]), .coef_i(issue_coef[Cw-1:0]), .window_i(window),
    .weight_we_i, .weight_waddr_i(weight_waddr_i[Ww-1:0]), .weight_wdata_i,
    .coef_we_i, .coef_waddr_i(coef_waddr_i[Cw-1:0]), .coef_wdata_i,
    .drain_valid_o(drain_valid), .drain_last_o(drain_last), .drain_step_o(drain_step),
    .drain_o(drain));

  // The last weight plane ends a part of a list: its sums stay, and the next tile goes on with them.
  always_ff @(posedge clk_i) begin
    part_done_q <= issue_last && part && rst_ni && !clear_q;
    if (!rst_ni || clear_q) carry_q <= 1'b0;
    else if (part_done_q) carry_q <= 1'b1;
    else if (issue_valid && !pool) carry_q <= 1'b0;
  end

  // ---- results ----
  // A layer that begins early has its requantization from the moment on in which the last codes of the one before are made, and
  // none begins early after that. Pools and parts of a list make no codes.
  localparam int unsigned EndDelay = 9 + Steps;
  logic [EndDelay:1] end_q;
  logic              late_q, scale_load, scale_start;
  logic [15:0]       scale_first;
  logic [23:0]       scale_tiles;
  logic [5:0]        scale_shift;
  logic [15:0]       scale_lo, scale_hi;
  logic              scale_logits;

  assign late = late_q || end_q[EndDelay];
  assign scale_load = early ? end_q[EndDelay] : mac_go;
  always_ff @(posedge clk_i) begin
    end_q <= (!rst_ni || clear_q) ? '0 : {end_q[EndDelay-1:1], layer_end & !pool & !part};
    late_q <= rst_ni && !clear_q && !mac_go && late;
    scale_start <= scale_load && rst_ni && !clear_q;
    if (scale_load) begin
      scale_first  <= next.arg2;
      scale_tiles  <= tiles;
      scale_shift  <= next.misc[5:0];
      scale_lo     <= next.lo;
      scale_hi     <= next.hi;
      scale_logits <= next.flags[bp_pkg::LyLogits] && !next.flags[bp_pkg::LyPart];
    end
  end

  logic code_valid, code_last, pool_valid;
  logic [7:0] code_step;
  logic [Drain*8-1:0] code;
  logic [63:0] logit;
  logic [N*CG-1:0] pool_plane;

  bp_requant #(.M(M), .Drain(Drain), .ScaleDepth(ScaleDepth)) u_requant (
    .clk_i, .rst_ni, .clear_i(clear_q), .start_i(scale_start), .scale_i(scale_first), .tiles_i(scale_tiles),
    .shift_i(scale_shift), .lo_i(scale_lo), .hi_i(scale_hi), .logits_i(scale_logits),
    .valid_i(drain_valid), .last_i(drain_last), .step_i(drain_step), .sum_i(drain),
    .scale_we_i, .scale_waddr_i(scale_waddr_i[Sw-1:0]), .scale_wdata_i,
    .valid_o(code_valid), .last_o(code_last), .step_o(code_step), .code_o(code), .logit_o(logit));

  bp_maxpool #(.N(N), .CG(CG)) u_maxpool (
    .clk_i, .rst_ni, .clear_i(clear_q), .start_i(pool_go), .taps_i(layer.arg3[8:0]),
    .signed_i(layer.flags[bp_pkg::LySigned]), .valid_i(issue_valid & pool),
    .top_i(window_ctl.first), .last_i(window_ctl.last), .window_i(window), .valid_o(pool_valid), .plane_o(pool_plane));

  logic wb_we, wb_left_we, wb_right_we;
  logic [1:0] wb_bank;
  logic [Aw-1:0] wb_addr, wb_left_addr, wb_right_addr;
  logic [N*CG-1:0] wb_data;

  bp_writeback #(.M(M), .N(N), .CG(CG), .Drain(Drain), .ActDepth(ActDepth)) u_writeback (
    .clk_i, .rst_ni, .clear_i(clear_q), .start_i(mac_go | pool_go), .layer_i(layer), .map_i(map),
    .last_block_i(last_block), .done_o(write_done),
    .code_valid_i(code_valid), .code_last_i(code_last), .code_step_i(code_step), .code_i(code),
    .logit_i(logit), .pool_valid_i(pool_valid), .pool_plane_i(pool_plane),
    .write_o(write_o), .we_o(wb_we), .bank_o(wb_bank), .addr_o(wb_addr), .left_we_o(wb_left_we),
    .left_addr_o(wb_left_addr), .right_we_o(wb_right_we), .right_addr_o(wb_right_addr),
    .data_o(wb_data), .logit_valid_o, .logit_ready_i, .logit_data_o, .logit_last_o,
    .error_o(write_error));

  bp_act_mem #(.N(N), .CG(CG), .Depth(ActDepth)) u_act_mem (
    .clk_i, .re_i(act_re), .raddr_i(act_raddr), .rdata_o(act_rdata),
    .we_i        (write_o ? wb_we : input_we_i),
    .bank_i      (write_o ? wb_bank : input_bank_i),
    .addr_i      (write_o ? wb_addr : input_addr_i[Aw-1:0]),
    .left_we_i   (write_o ? wb_left_we : input_left_we_i),
    .left_addr_i (write_o ? wb_left_addr : input_left_addr_i[Aw-1:0]),
    .right_we_i  (write_o ? wb_right_we : input_right_we_i),
    .right_addr_i(write_o ? wb_right_addr : input_right_addr_i[Aw-1:0]),
    .data_i      (write_o ? wb_data : input_data_i));

  assign spill_start_o = pool_go && spill;
  assign spill_valid_o = pool_valid && spill;
  assign spill_data_o  = pool_plane;

  // ---- counters: run = moved, stall = had work and waited; counted a cycle later ----
  logic [7:0] count_q;
  logic       count_on_q;

  always_ff @(posedge clk_i) begin
    count_on_q <= running && rst_ni && !start_i;
    count_q <= {logit_valid_o && !logit_ready_i, (write_o ? wb_we : input_we_i) || (logit_valid_o && logit_ready_i),
                issue_wait, drain_valid, place_valid && !issue_valid, issue_valid, place_valid && !read, read};
    if (!rst_ni || start_i) begin
      fetch_run_o   <= '0;
      fetch_stall_o <= '0;
      array_run_o   <= '0;
      array_stall_o <= '0;
      drain_run_o   <= '0;
      drain_stall_o <= '0;
      write_run_o   <= '0;
      write_stall_o <= '0;
    end else if (count_on_q) begin
      fetch_run_o   <= fetch_run_o + 32'(count_q[0]);
      fetch_stall_o <= fetch_stall_o + 32'(count_q[1]);
      array_run_o   <= array_run_o + 32'(count_q[2]);
      array_stall_o <= array_stall_o + 32'(count_q[3]);
      drain_run_o   <= drain_run_o + 32'(count_q[4]);
      drain_stall_o <= drain_stall_o + 32'(count_q[5]);
      write_run_o   <= write_run_o + 32'(count_q[6]);
      write_stall_o <= write_stall_o + 32'(count_q[7]);
    end
  end

  logic unused;
  assign unused = ^{map_waddr_i, layer_waddr_i, kword_waddr_i, coef_waddr_i, scale_waddr_i,
                    weight_waddr_i, input_addr_i, input_left_addr_i, input_right_addr_i,
                    issue_waddr, issue_coef, layer, map, next_map, window_ctl};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !clear_q) begin
      a_part:  assert (!part || !(drain_valid || code_valid || write_done));
      a_carry: assert (!part_done_q || !issue_valid);
    end
  end
`endif

endmodule
