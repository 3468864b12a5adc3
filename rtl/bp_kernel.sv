// Top: the shell around the engine. Port names are those of a Vitis RTL kernel: AXI4-Lite control
// (s_axi_control), one 64-bit AXI4 memory port (m_axi_gmem), ap_clk, ap_rst_n, interrupt.
module bp_kernel (
  input  logic        ap_clk,
  input  logic        ap_rst_n,
  output logic        interrupt,

  input  logic        s_axi_control_awvalid,
  output logic        s_axi_control_awready,
  input  logic [11:0] s_axi_control_awaddr,
  input  logic        s_axi_control_wvalid,
  output logic        s_axi_control_wready,
  input  logic [31:0] s_axi_control_wdata,
  input  logic [3:0]  s_axi_control_wstrb,
  output logic        s_axi_control_bvalid,
  input  logic        s_axi_control_bready,
  output logic [1:0]  s_axi_control_bresp,
  input  logic        s_axi_control_arvalid,
  output logic        s_axi_control_arready,
  input  logic [11:0] s_axi_control_araddr,
  output logic        s_axi_control_rvalid,
  input  logic        s_axi_control_rready,
  output logic [31:0] s_axi_control_rdata,
  output logic [1:0]  s_axi_control_rresp,

  output logic        m_axi_gmem_awvalid,
  input  logic        m_axi_gmem_awready,
  output logic [63:0] m_axi_gmem_awaddr,
  output logic [7:0]  m_axi_gmem_awlen,
  output logic [2:0]  m_axi_gmem_awsize,
  output logic [1:0]  m_axi_gmem_awburst,
  output logic [3:0]  m_axi_gmem_awcache,
  output logic [2:0]  m_axi_gmem_awprot,
  output logic        m_axi_gmem_wvalid,
  input  logic        m_axi_gmem_wready,
  output logic [63:0] m_axi_gmem_wdata,
  output logic [7:0]  m_axi_gmem_wstrb,
  output logic        m_axi_gmem_wlast,
  input  logic        m_axi_gmem_bvalid,
  output logic        m_axi_gmem_bready,
  input  logic [1:0]  m_axi_gmem_bresp,
  output logic        m_axi_gmem_arvalid,
  input  logic        m_axi_gmem_arready,
  output logic [63:0] m_axi_gmem_araddr,
  output logic [7:0]  m_axi_gmem_arlen,
  output logic [2:0]  m_axi_gmem_arsize,
  output logic [1:0]  m_axi_gmem_arburst,
  output logic [3:0]  m_axi_gmem_arcache,
  output logic [2:0]  m_axi_gmem_arprot,
  input  logic        m_axi_gmem_rvalid,
  output logic        m_axi_gmem_rready,
  input  logic [63:0] m_axi_gmem_rdata,
  input  logic [1:0]  m_axi_gmem_rresp,
  input  logic        m_axi_gmem_rlast
);

  localparam int unsigned M           = bitpress_hw_pkg::M;
  localparam int unsigned N           = bitpress_hw_pkg::N;
  localparam int unsigned K           = bitpress_hw_pkg::K;
  localparam int unsigned CG          = bitpress_hw_pkg::CG;
  localparam int unsigned BurstBeats  = bitpress_hw_pkg::BURST_BEATS;
  localparam int unsigned Hash        = 32'(bitpress_hw_pkg::HASH);
  localparam int unsigned LogitFifo   = bp_shell_pkg::LogitFifo;

  // ---- control and registers ----
  logic start, mode_load, abort, busy, done, running, loading, stop;
  logic load_start, load_done, run_start;
  logic [7:0]  load_error, status;
  logic [15:0] error_layer;
  logic [31:0] limit, images;
  logic [63:0] cycles;
  logic [63:0] program_addr, program_size, weight_addr, weight_size;
  logic [63:0] input_addr, input_size, output_addr, output_size;
  logic [31:0] input_bytes;
  logic [15:0] output_bytes, pages;
  logic [63:0] scratch_addr;
  logic [31:0] scratch_words;

  // ---- engine ----
  logic         core_done, layer_done;
  logic [7:0]   core_error;
  logic [15:0]  core_error_layer, core_layer;
  logic         map_we, layer_we, kword_we, coef_we, scale_we, weight_we;
  logic [15:0]  table_waddr;
  logic [127:0] map_wdata, kword_wdata, pad;
  logic [255:0] layer_wdata;
  logic [M*18-1:0] coef_wdata;
  logic [M*66-1:0] scale_wdata;
  logic [M*K-1:0]  weight_wdata;
  logic [15:0] n_layer, n_loaded, n_map, n_kword, n_coef, n_scale;
  logic [31:0] n_weight;
  logic [15:0] layers_in, ended;
  logic [23:0] blocks_in;
  logic        stuck, streaming, stream_error, beat_mine, image_over;
  logic        fill_start, fill_done, fill_error, fill_we, fill_left_we, fill_right_we, segment_go, write_busy;
  logic [255:0] fill_record;
  logic [63:0] segment_addr;
  logic [1:0]  fill_bank;
  logic [15:0] fill_addr, fill_left_addr, fill_right_addr;
  logic [N*CG-1:0] fill_data;
  logic        spill_start, spill_valid, spill_hold, spill_busy, spill_port, spill_done, spill_fault;
  logic [7:0]  spill_error;
  logic [N*CG-1:0] spill_data;
  logic         input_start, input_done, ahead_start, ahead, another, image_start, out_free;
  logic [63:0]  image_addr, result_addr;
  logic [255:0] input_layer;
  logic [127:0] input_map;
  logic [7:0]   input_error;
  logic         input_we, input_left_we, input_right_we;
  logic [1:0]   input_bank;
  logic [15:0]  input_waddr, input_left_addr, input_right_addr;
  logic [N*CG-1:0] input_data;
  logic        logit_valid, logit_ready, logit_last;
  logic [63:0] logit_data;
  logic [31:0] fetch_run, fetch_stall, array_run, array_stall;
  logic [31:0] drain_run, drain_stall, write_run, write_stall;

  // ---- memory port ----
  logic        rd_start, load_rd_start, fill_rd_start, fill_busy, rd_asked, rd_busy, rd_error;
  logic [63:0] rd_addr, load_rd_addr, fill_rd_addr;
  logic [31:0] rd_beats, load_rd_beats, fill_rd_beats;
  logic        beat_valid, beat_ready, load_beat_ready, fill_beat_ready, input_beat_ready;
  logic [63:0] beat_data;
  logic        out_got_last, out_busy, out_done, out_error, out_count_error;

  // ---- counters of the memory port and of the layers ----
  logic [31:0] memory_run_q, memory_stall_q, run_cycles_q, layer_timer_q;
  logic [8:0]  layer_index_q;              // layers beyond the registers are not listed
  logic        mem_beat, mem_busy;

  assign mem_beat = (m_axi_gmem_rvalid & m_axi_gmem_rready) |
                    (m_axi_gmem_wvalid & m_axi_gmem_wready);
  assign mem_busy = rd_busy | out_busy | spill_busy;

  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n || run_start) begin
      memory_run_q   <= '0;
      memory_stall_q <= '0;
      run_cycles_q   <= '0;
      layer_timer_q  <= '0;
      layer_index_q  <= '0;
    end else if (running) begin
      memory_run_q   <= memory_run_q + 32'(mem_beat);
      memory_stall_q <= memory_stall_q + 32'(mem_busy && !mem_beat);
      run_cycles_q   <= run_cycles_q + 32'd1;
      layer_timer_q  <= layer_done ? 32'd1 : layer_timer_q + 32'd1;
      layer_index_q  <= layer_index_q + 9'(layer_done && !layer_index_q[8]);
    end
  end

  bp_regs #(
    .M(M), .N(N), .K(K),
    .ActDepth(bitpress_hw_pkg::ACT_DEPTH),
    .WeightDepth(bitpress_hw_pkg::WEIGHT_DEPTH),
    .CoefDepth(bitpress_hw_pkg::COEF_DEPTH),
    .ScaleDepth(bitpress_hw_pkg::SCALE_DEPTH),
    .KwordDepth(bitpress_hw_pkg::KWORD_DEPTH),
    .LayerDepth(bitpress_hw_pkg::LAYER_DEPTH),
    .MapDepth(bitpress_hw_pkg::MAP_DEPTH),
    .Hash(Hash)
  ) u_regs (
    .clk_i         (ap_clk),
    .rst_ni        (ap_rst_n),
    .awvalid_i     (s_axi_control_awvalid),
    .awready_o     (s_axi_control_awready),
    .awaddr_i      (s_axi_control_awaddr),
    .wvalid_i      (s_axi_control_wvalid),
    .wready_o      (s_axi_control_wready),
    .wdata_i       (s_axi_control_wdata),
    .wstrb_i       (s_axi_control_wstrb),
    .bvalid_o      (s_axi_control_bvalid),
    .bready_i      (s_axi_control_bready),
    .arvalid_i     (s_axi_control_arvalid),
    .arready_o     (s_axi_control_arready),
    .araddr_i      (s_axi_control_araddr),
    .rvalid_o      (s_axi_control_rvalid),
    .rready_i      (s_axi_control_rready),
    .rdata_o       (s_axi_control_rdata),
    .interrupt_o   (interrupt),
    .start_o       (start),
    .mode_load_o   (mode_load),
    .abort_o       (abort),
    .limit_o       (limit),
    .images_o      (images),
    .program_addr_o(program_addr),
    .program_size_o(program_size),
    .weight_addr_o (weight_addr),
    .weight_size_o (weight_size),
    .input_addr_o  (input_addr),
    .input_size_o  (input_size),
    .output_addr_o (output_addr),
    .output_size_o (output_size),
    .busy_i        (busy),
    .done_i        (done),
    .status_i      (status),
    .error_layer_i (error_layer),
    .cycles_i      (cycles),
    .run_cycles_i  (run_cycles_q),
    .counters_i    ({memory_stall_q, memory_run_q, write_stall, write_run, drain_stall, drain_run,
                     array_stall, array_run, fetch_stall, fetch_run}),
    .layer_we_i    (running & layer_done & !layer_index_q[8]),
    .layer_waddr_i (layer_index_q[7:0]),
    .layer_cycles_i(layer_timer_q)
  );

  assign s_axi_control_bresp = 2'b00;
  assign s_axi_control_rresp = 2'b00;

  bp_ctrl u_ctrl (
    .clk_i             (ap_clk),
    .rst_ni            (ap_rst_n),
    .start_i           (start),
    .mode_load_i       (mode_load),
    .abort_i           (abort),
    .limit_i           (limit),
    .images_i          (images),
    .input_addr_i      (input_addr),
    .input_size_i      (input_size),
    .output_addr_i     (output_addr),
    .output_size_i     (output_size),
    .busy_o            (busy),
    .done_o            (done),
    .status_o          (status),
    .error_layer_o     (error_layer),
    .cycles_o          (cycles),
    .running_o         (running),
    .load_start_o      (load_start),
    .load_done_i       (load_done),
    .load_error_i      (load_error),
    .loading_o         (loading),
    .input_bytes_i     (input_bytes),
    .output_bytes_i    (output_bytes),
    .pages_i           (pages),
    .run_start_o       (run_start),
    .ahead_start_i     (ahead_start),
    .ahead_i           (ahead),
    .image_addr_o      (image_addr),
    .another_o         (another),
    .result_addr_o     (result_addr),
    .stop_o            (stop),
    .core_done_i       (core_done),
    .core_error_i      (core_error),
    .core_error_layer_i(core_error_layer),
    .core_layer_i      (core_layer),
    .stream_error_i    (stream_error),
    .image_over_i      (image_over),
    .stream_left_i     (streaming | ((rd_busy | beat_valid) & ~ahead)),
    .read_busy_i       (rd_busy),
    .read_error_i      (rd_error),
    .out_free_i        (out_free),
    .out_got_last_i    (out_got_last),
    .out_busy_i        (out_busy | spill_busy),
    .out_done_i        (out_done),
    .out_error_i       (out_error | spill_fault),
    .out_count_error_i (out_count_error)
  );

  // The read port belongs to the loader while it loads, else to the image and, behind it, the stream and what it brings
  // from the scratch.
  assign image_start = (run_start & ~ahead) | ahead_start;
  assign rd_start   = load_rd_start | fill_rd_start | image_start;
  assign rd_addr    = image_start ? image_addr : fill_busy ? fill_rd_addr : load_rd_addr;
  assign rd_beats   = image_start ? 32'((33'(input_bytes) + 33'd7) >> 3) : fill_busy ? fill_rd_beats : load_rd_beats;
  assign beat_ready = (loading || !beat_mine) ? load_beat_ready | fill_beat_ready : input_beat_ready;
  assign scratch_addr  = output_addr + (64'd1 << bp_shell_pkg::LgPage);
  assign scratch_words = {4'd0, pages, {bp_shell_pkg::LgPage{1'b0}}} >> $clog2(N * CG / 8);

  bp_axi_read #(
    .BurstBeats(BurstBeats),
    .FifoDepth (bp_shell_pkg::ReadFifo)
  ) u_read (
    .clk_i    (ap_clk),
    .rst_ni   (ap_rst_n),
    .start_i  (rd_start),
    .addr_i   (rd_addr),
    .beats_i  (rd_beats),
    .flush_i  (stop),
    .asked_o  (rd_asked),
    .busy_o   (rd_busy),
    .error_o  (rd_error),
    .valid_o  (beat_valid),
    .ready_i  (beat_ready),
    .data_o   (beat_data),
    .arvalid_o(m_axi_gmem_arvalid),
    .arready_i(m_axi_gmem_arready),
    .araddr_o (m_axi_gmem_araddr),
    .arlen_o  (m_axi_gmem_arlen),
    .rvalid_i (m_axi_gmem_rvalid),
    .rready_o (m_axi_gmem_rready),
    .rdata_i  (m_axi_gmem_rdata),
    .rresp_i  (m_axi_gmem_rresp)
  );

  // 8-byte beats, incrementing, normal non-cacheable bufferable
  assign m_axi_gmem_arsize  = 3'd3;
  assign m_axi_gmem_arburst = 2'b01;
  assign m_axi_gmem_arcache = 4'b0011;
  assign m_axi_gmem_arprot  = 3'd0;
  assign m_axi_gmem_awsize  = 3'd3;
  assign m_axi_gmem_awburst = 2'b01;
  assign m_axi_gmem_awcache = 4'b0011;
  assign m_axi_gmem_awprot  = 3'd0;

  bp_loader #(
    .M(M), .N(N), .K(K), .Hash(Hash),
    .MapDepth(bitpress_hw_pkg::MAP_DEPTH),
    .LayerDepth(bitpress_hw_pkg::LAYER_DEPTH),
    .KwordDepth(bitpress_hw_pkg::KWORD_DEPTH),
    .CoefDepth(bitpress_hw_pkg::COEF_DEPTH),
    .ScaleDepth(bitpress_hw_pkg::SCALE_DEPTH),
    .WeightDepth(bitpress_hw_pkg::WEIGHT_DEPTH),
    .LogitBytes(LogitFifo * 8)
  ) u_loader (
    .clk_i         (ap_clk),
    .rst_ni        (ap_rst_n),
    .start_i       (load_start),
    .stop_i        (stop),
    .done_o        (load_done),
    .error_o       (load_error),
    .program_addr_i(program_addr),
    .program_size_i(program_size),
    .weight_addr_i (weight_addr),
    .weight_size_i (weight_size),
    .rd_start_o    (load_rd_start),
    .rd_addr_o     (load_rd_addr),
    .rd_beats_o    (load_rd_beats),
    .run_start_i   (run_start),
    .rd_busy_i     (rd_busy),
    .ended_i       (ended),
    .streaming_o   (streaming),
    .stuck_o       (stuck),
    .stream_error_o(stream_error),
    .image_left_i  (beat_mine),
    .fill_start_o  (fill_start),
    .fill_record_o (fill_record),
    .segment_o     (segment_addr),
    .segment_i     (segment_go),
    .fill_done_i   (fill_done),
    .fill_error_i  (fill_error),
    .layers_in_o   (layers_in),
    .blocks_in_o   (blocks_in),
    .beat_valid_i  (beat_valid && (loading || !beat_mine)),
    .beat_ready_o  (load_beat_ready),
    .beat_data_i   (beat_data),
    .map_we_o      (map_we),
    .layer_we_o    (layer_we),
    .kword_we_o    (kword_we),
    .coef_we_o     (coef_we),
    .scale_we_o    (scale_we),
    .weight_we_o   (weight_we),
    .waddr_o       (table_waddr),
    .map_wdata_o   (map_wdata),
    .layer_wdata_o (layer_wdata),
    .kword_wdata_o (kword_wdata),
    .coef_wdata_o  (coef_wdata),
    .scale_wdata_o (scale_wdata),
    .weight_wdata_o(weight_wdata),
    .n_layer_o     (n_layer),
    .n_loaded_o    (n_loaded),
    .n_map_o       (n_map),
    .n_kword_o     (n_kword),
    .n_coef_o      (n_coef),
    .n_scale_o     (n_scale),
    .n_weight_o    (n_weight),
    .input_bytes_o (input_bytes),
    .output_bytes_o(output_bytes),
    .pages_o       (pages),
    .pad_o         (pad)
  );

  bp_fill #(
    .N       (N),
    .CG      (CG),
    .ActDepth(bitpress_hw_pkg::ACT_DEPTH)
  ) u_fill (
    .clk_i       (ap_clk),
    .rst_ni      (ap_rst_n),
    .start_i     (fill_start),
    .stop_i      (stop),
    .record_i    (fill_record),
    .addr_i      (scratch_addr),
    .limit_i     (scratch_words),
    .segment_i   (segment_addr),
    .asked_i     (rd_asked),
    .rd_start_o  (fill_rd_start),
    .rd_addr_o   (fill_rd_addr),
    .rd_beats_o  (fill_rd_beats),
    .segment_o   (segment_go),
    .busy_o      (fill_busy),
    .done_o      (fill_done),
    .error_o     (fill_error),
    .beat_valid_i(beat_valid && !loading && !beat_mine),
    .beat_ready_o(fill_beat_ready),
    .beat_data_i (beat_data),
    .write_i     (write_busy || input_we),
    .we_o        (fill_we),
    .bank_o      (fill_bank),
    .addr_o      (fill_addr),
    .left_we_o   (fill_left_we),
    .left_addr_o (fill_left_addr),
    .right_we_o  (fill_right_we),
    .right_addr_o(fill_right_addr),
    .data_o      (fill_data)
  );

  bp_input #(
    .N       (N),
    .CG      (CG),
    .ActDepth(bitpress_hw_pkg::ACT_DEPTH)
  ) u_input (
    .clk_i       (ap_clk),
    .rst_ni      (ap_rst_n),
    .clear_i     ((run_start & ~ahead) | stop),
    .again_i     (ahead_start),
    .hold_i      (write_busy),
    .enable_i    (running),
    .bytes_i     (input_bytes),
    .start_i     (input_start),
    .layer_i     (input_layer),
    .map_i       (input_map),
    .done_o      (input_done),
    .error_o     (input_error),
    .beat_valid_i(beat_valid),
    .beat_ready_o(input_beat_ready),
    .beat_mine_o (beat_mine),
    .over_o      (image_over),
    .beat_data_i (beat_data),
    .we_o        (input_we),
    .bank_o      (input_bank),
    .addr_o      (input_waddr),
    .left_we_o   (input_left_we),
    .left_addr_o (input_left_addr),
    .right_we_o  (input_right_we),
    .right_addr_o(input_right_addr),
    .data_o      (input_data)
  );

  bp_ahead u_ahead (
    .clk_i        (ap_clk),
    .rst_ni       (ap_rst_n),
    .run_i        (run_start),
    .stop_i       (stop),
    .input_start_i(input_start),
    .free_i       (input_layer[143:128]),
    .input_done_i (input_done),
    .ended_i      (ended),
    .another_i    (another),
    .read_i       (streaming | rd_busy | beat_valid),
    .go_o         (ahead_start),
    .ahead_o      (ahead)
  );

  bp_core u_core (
    .clk_i             (ap_clk),
    .rst_ni            (ap_rst_n),
    .map_we_i          (map_we),
    .map_waddr_i       (table_waddr),
    .map_wdata_i       (map_wdata),
    .layer_we_i        (layer_we),
    .layer_waddr_i     (table_waddr),
    .layer_wdata_i     (layer_wdata),
    .kword_we_i        (kword_we),
    .kword_waddr_i     (table_waddr),
    .kword_wdata_i     (kword_wdata),
    .coef_we_i         (coef_we),
    .coef_waddr_i      (table_waddr),
    .coef_wdata_i      (coef_wdata),
    .scale_we_i        (scale_we),
    .scale_waddr_i     (table_waddr),
    .scale_wdata_i     (scale_wdata),
    .weight_we_i       (weight_we),
    .weight_waddr_i    (table_waddr),
    .weight_wdata_i    (weight_wdata),
    .pad_i             (pad),
    .n_layer_i         (n_layer),
    .n_loaded_i        (n_loaded),
    .n_map_i           (n_map),
    .n_kword_i         (n_kword),
    .n_coef_i          (n_coef),
    .n_scale_i         (n_scale),
    .odd_i             (output_bytes[2]),
    .n_weight_i        (n_weight),
    .layers_in_i       (layers_in),
    .blocks_in_i       (blocks_in),
    .stuck_i           (stuck),
    .ended_o           (ended),
    .start_i           (run_start),
    .abort_i           (stop),
    .done_o            (core_done),
    .error_o           (core_error),
    .error_layer_o     (core_error_layer),
    .layer_o           (core_layer),
    .layer_done_o      (layer_done),
    .input_start_o     (input_start),
    .input_layer_o     (input_layer),
    .input_map_o       (input_map),
    .input_done_i      (input_done),
    .input_error_i     (input_error),
    .write_o           (write_busy),
    .input_we_i        (input_we | fill_we),
    .input_bank_i      (input_we ? input_bank : fill_bank),
    .input_addr_i      (input_we ? input_waddr : fill_addr),
    .input_left_we_i   (input_we ? input_left_we : fill_left_we),
    .input_left_addr_i (input_we ? input_left_addr : fill_left_addr),
    .input_right_we_i  (input_we ? input_right_we : fill_right_we),
    .input_right_addr_i(input_we ? input_right_addr : fill_right_addr),
    .input_data_i      (input_we ? input_data : fill_data),
    .spill_start_o     (spill_start),
    .spill_valid_o     (spill_valid),
    .spill_data_o      (spill_data),
    .spill_hold_i      (spill_hold),
    .spill_done_i      (spill_done),
    .spill_error_i     (spill_error),
    .logit_valid_o     (logit_valid),
    .logit_ready_i     (logit_ready),
    .logit_data_o      (logit_data),
    .logit_last_o      (logit_last),
    .fetch_run_o       (fetch_run),
    .fetch_stall_o     (fetch_stall),
    .array_run_o       (array_run),
    .array_stall_o     (array_stall),
    .drain_run_o       (drain_run),
    .drain_stall_o     (drain_stall),
    .write_run_o       (write_run),
    .write_stall_o     (write_stall)
  );

  // ---- the write port: the scratch while a layer spills, then the result ----
  logic        out_awvalid, out_wvalid, out_wlast, out_bready, spill_awvalid, spill_wvalid, spill_wlast, spill_bready;
  logic [63:0] out_awaddr, out_wdata, spill_awaddr, spill_wdata;
  logic [7:0]  out_awlen, out_wstrb, spill_awlen, spill_wstrb;
  assign m_axi_gmem_awvalid = spill_port ? spill_awvalid : out_awvalid;
  assign m_axi_gmem_awaddr  = spill_port ? spill_awaddr : out_awaddr;
  assign m_axi_gmem_awlen   = spill_port ? spill_awlen : out_awlen;
  assign m_axi_gmem_wvalid  = spill_port ? spill_wvalid : out_wvalid;
  assign m_axi_gmem_wdata   = spill_port ? spill_wdata : out_wdata;
  assign m_axi_gmem_wstrb   = spill_port ? spill_wstrb : out_wstrb;
  assign m_axi_gmem_wlast   = spill_port ? spill_wlast : out_wlast;
  assign m_axi_gmem_bready  = spill_port ? spill_bready : out_bready;

  bp_spill #(
    .N         (N),
    .CG        (CG),
    .BurstBeats(BurstBeats)
  ) u_spill (
    .clk_i    (ap_clk),
    .rst_ni   (ap_rst_n),
    .start_i  (spill_start),
    .stop_i   (stop),
    .layer_i  (input_layer),
    .planes_i (input_map[51:48]),
    .addr_i   (scratch_addr),
    .limit_i  (scratch_words),
    .wait_i   (out_busy),
    .busy_o   (spill_busy),
    .port_o   (spill_port),
    .done_o   (spill_done),
    .fault_o  (spill_fault),
    .error_o  (spill_error),
    .hold_o   (spill_hold),
    .valid_i  (spill_valid),
    .data_i   (spill_data),
    .awvalid_o(spill_awvalid),
    .awready_i(m_axi_gmem_awready),
    .awaddr_o (spill_awaddr),
    .awlen_o  (spill_awlen),
    .wvalid_o (spill_wvalid),
    .wready_i (m_axi_gmem_wready),
    .wdata_o  (spill_wdata),
    .wstrb_o  (spill_wstrb),
    .wlast_o  (spill_wlast),
    .bvalid_i (m_axi_gmem_bvalid && spill_port),
    .bready_o (spill_bready),
    .bresp_i  (m_axi_gmem_bresp)
  );

  bp_output #(
    .BurstBeats(BurstBeats),
    .Depth     (LogitFifo)
  ) u_output (
    .clk_i        (ap_clk),
    .rst_ni       (ap_rst_n),
    .start_i      (run_start),
    .stop_i       (stop),
    .addr_i       (result_addr),
    .bytes_i      (output_bytes),
    .free_o       (out_free),
    .got_last_o   (out_got_last),
    .busy_o       (out_busy),
    .done_o       (out_done),
    .error_o      (out_error),
    .count_error_o(out_count_error),
    .logit_valid_i(logit_valid),
    .logit_ready_o(logit_ready),
    .logit_data_i (logit_data),
    .logit_last_i (logit_last),
    .awvalid_o    (out_awvalid),
    .awready_i    (m_axi_gmem_awready && !spill_port),
    .awaddr_o     (out_awaddr),
    .awlen_o      (out_awlen),
    .wvalid_o     (out_wvalid),
    .wready_i     (m_axi_gmem_wready && !spill_port),
    .wdata_o      (out_wdata),
    .wstrb_o      (out_wstrb),
    .wlast_o      (out_wlast),
    .bvalid_i     (m_axi_gmem_bvalid && !spill_port),
    .bready_o     (out_bready),
    .bresp_i      (m_axi_gmem_bresp)
  );

  logic unused_rlast;
  assign unused_rlast = m_axi_gmem_rlast;

endmodule
