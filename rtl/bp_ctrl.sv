// Control of a start: checks the windows, runs the loader or the engine, watches bus, cycle limit
// and abort, and ends every start with done and a status, in order:
//   Idle -> Check -> Load | Run -> Idle             without an error
//                       \-> Stop -> Idle            with one: everything is halted first
// In Run the engine runs once for each image of the start.
// Cycles are counted from the cycle of the accepted start to done; the register shows it a cycle later.
module bp_ctrl (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        start_i,
  input  logic        mode_load_i,
  input  logic        abort_i,
  input  logic [31:0] limit_i,
  input  logic [31:0] images_i,        // 0 as 1
  input  logic [63:0] input_addr_i,
  input  logic [63:0] input_size_i,
  input  logic [63:0] output_addr_i,
  input  logic [63:0] output_size_i,
  output logic        busy_o,
  output logic        done_o,          // pulse, the results below are stable from the next cycle
  output logic [7:0]  status_o,
  output logic [15:0] error_layer_o,
  output logic [63:0] cycles_o,
  output logic        running_o,       // counters count

  output logic        load_start_o,
  input  logic        load_done_i,
  input  logic [7:0]  load_error_i,
  output logic        loading_o,       // the read port belongs to the loader

  input  logic [31:0] input_bytes_i,
  input  logic [15:0] output_bytes_i,
  input  logic [15:0] pages_i,         // of the scratch, behind the page of the result
  output logic        run_start_o,     // an image's run: engine and logit collection begin, the image's read unless it is ahead
  input  logic        ahead_start_i,   // the next image's read begins
  input  logic        ahead_i,         // it has begun
  output logic [63:0] image_addr_o,    // of the next image to read
  output logic        another_o,       // there is one
  output logic [63:0] result_addr_o,   // of the image whose run begins
  output logic        stop_o,          // level: halt and drop everything
  input  logic        core_done_i,
  input  logic [7:0]  core_error_i,
  input  logic [15:0] core_error_layer_i,
  input  logic [15:0] core_layer_i,

  input  logic        stream_error_i,  // pulse: a block is malformed
  input  logic        image_over_i,
  input  logic        stream_left_i,   // blocks or beats of the stream that no layer waited for

  input  logic        read_busy_i,
  input  logic        read_error_i,
  input  logic        out_free_i,      // another run's logits can be collected
  input  logic        out_got_last_i,
  input  logic        out_busy_i,
  input  logic        out_done_i,
  input  logic        out_error_i,
  input  logic        out_count_error_i
);

  typedef enum logic [2:0] {StIdle, StCheck, StLoad, StRun, StStop} state_e;
  state_e state_q, state_d;

  logic [63:0] cycles_q;
  logic [7:0]  status_q, fault, refusal;
  logic [15:0] layer_q;
  logic        loaded_q, core_busy_q, core_over_q, mode_q, first_start;
  logic        check_q, may_run_q;     // StCheck; a run, and something is loaded
  logic        bad_window_q, over_limit_q, failed;
  logic        core_failed_q, left_q, short_q;   // the engine ended: with an error; without the whole stream; without image or result
  logic [7:0]  core_error_q;
  logic        bus_error_q, abort_q;

  // The windows hold image and result, and do not wrap. They stand still from the start write on, so
  // what was true in its cycle is in StCheck.
  logic [63:0] unused_in, unused_out;
  logic input_wraps, output_wraps;
  assign {input_wraps, unused_in} = {1'b0, input_addr_i} + {1'b0, input_size_i};
  assign {output_wraps, unused_out} = {1'b0, output_addr_i} + {1'b0, output_size_i};
  always_ff @(posedge clk_i) begin
    bad_window_q <= input_addr_i[2:0] != '0 || output_addr_i[2:0] != '0 ||
                    input_size_i < {32'd0, input_bytes_i} ||
                    output_size_i < ((pages_i == '0) ? 64'(output_bytes_i) :
                                     {35'd0, 17'(pages_i) + 17'd1, {bp_shell_pkg::LgPage{1'b0}}}) ||
                    input_wraps || output_wraps;
  end

  // ---- the images of a run, the first of which was checked with its window ----
  logic [31:0] images, unread_q, unrun_q;  // whose read, whose run has not begun
  logic [63:0] image_addr_q, image_left_q, image_left, result_addr_q, result_left_q, result_left;
  logic [32:0] image_stride;
  logic [16:0] result_stride;
  logic [1:0]  owed_q;                 // results that are not written
  logic        image_short, result_short, image_fits_q, result_fits_q, more_q, again_q, no_room_q;
  assign images = (images_i == '0) ? 32'd1 : images_i;
  assign image_stride  = (33'(input_bytes_i) + 33'd7) & ~33'd7;
  assign result_stride = (17'(output_bytes_i) + 17'd7) & ~17'd7;
  assign {image_short, image_left}   = {1'b0, image_left_q} - 65'(image_stride);
  assign {result_short, result_left} = {1'b0, result_left_q} - 65'(result_stride);
  always_ff @(posedge clk_i) begin
    if (state_q == StIdle) begin
      image_addr_q  <= input_addr_i;
      image_left_q  <= input_size_i;
      result_addr_q <= output_addr_i;
      result_left_q <= (pages_i == '0) ? output_size_i : 64'd1 << bp_shell_pkg::LgPage;
      unread_q      <= images;
      unrun_q       <= images;
    end else begin
      if ((run_start_o && !ahead_i) || ahead_start_i) begin
        image_addr_q <= image_addr_q + 64'(image_stride);
        image_left_q <= image_short ? '0 : image_left;
        unread_q     <= unread_q - 32'd1;
      end
      if (run_start_o) begin
        result_addr_q <= result_addr_q + 64'(result_stride);
        result_left_q <= result_short ? '0 : result_left;
        unrun_q       <= unrun_q - 32'd1;
      end
    end
    image_fits_q  <= state_q == StRun && unread_q != '0 && image_left_q >= 64'(input_bytes_i);
    result_fits_q <= result_left_q >= 64'(output_bytes_i);
    more_q        <= unrun_q != '0;
  end

  // The next image's run: two cycles after the engine's end, or when its result has a place.
  logic ran, room;
  assign ran  = state_q == StRun && core_over_q && more_q && !again_q;
  assign room = (ahead_i || image_fits_q) && result_fits_q;
  always_ff @(posedge clk_i) begin
    again_q   <= rst_ni && ran && room && out_free_i && !failed;
    no_room_q <= ran && !room;
    if (!rst_ni || state_q == StIdle) owed_q <= '0;
    else if (run_start_o != out_done_i) owed_q <= run_start_o ? owed_q + 2'd1 : owed_q - 2'd1;
  end
  assign image_addr_o  = image_addr_q;
  assign another_o     = image_fits_q;
  assign result_addr_o = result_addr_q;

  // The engine's end, errors of the bus and an abort are judged a cycle later. Nothing else can end a start in between: the
  // last response tells an error or the end, and what was read is looked at later.
  always_ff @(posedge clk_i) begin
    bus_error_q   <= read_error_i | out_error_i;
    abort_q       <= abort_i;
    over_limit_q  <= state_q != StIdle && limit_i != '0 && cycles_q >= {32'd0, limit_i};
    core_failed_q <= core_done_i && core_error_i != bp_shell_pkg::ErrNone;
    core_error_q  <= core_error_i;
    left_q        <= core_done_i && stream_left_i;
    short_q       <= core_done_i && !(out_got_last_i && (image_over_i || ahead_i));
  end

  // What keeps a start from starting; it depends on registers alone, as do the pulses that start units.
  always_comb begin
    refusal = bp_shell_pkg::ErrNone;
    if (!mode_q && !loaded_q) refusal = bp_shell_pkg::ErrNotLoaded;
    else if (!mode_q && bad_window_q) refusal = bp_shell_pkg::ErrIo;
  end
  assign load_start_o = check_q && mode_q;
  assign first_start  = check_q && may_run_q && !bad_window_q;
  assign run_start_o  = first_start || again_q;

  // The first thing that went wrong in this cycle.
  always_comb begin
    fault = bp_shell_pkg::ErrNone;
    unique case (state_q)
      StCheck: fault = refusal;
      StLoad, StRun: begin
        if (bus_error_q) fault = bp_shell_pkg::ErrBus;
        else if (state_q == StLoad && load_done_i) fault = load_error_i;
        else if (state_q == StRun && core_failed_q) fault = core_error_q;
        else if (state_q == StRun && (stream_error_i || left_q)) fault = bp_shell_pkg::ErrStream;
        else if (state_q == StRun && (out_count_error_i || short_q || no_room_q)) fault = bp_shell_pkg::ErrIo;
        else if (abort_q) fault = bp_shell_pkg::ErrAbort;
        else if (over_limit_q) fault = bp_shell_pkg::ErrLimit;
      end
      default: ;
    endcase
  end
  // There is one, without saying which.
  assign failed = (state_q == StLoad && load_done_i && load_error_i != bp_shell_pkg::ErrNone) ||
                  (state_q == StRun && (core_failed_q || stream_error_i || left_q || out_count_error_i || short_q || no_room_q)) ||
                  ((state_q == StLoad || state_q == StRun) && (bus_error_q || abort_q || over_limit_q));

  always_comb begin
    state_d = state_q;
    done_o = 1'b0;
    unique case (state_q)
      StIdle: if (start_i) state_d = StCheck;
      StCheck: state_d = load_start_o ? StLoad : first_start ? StRun : StStop;
      StLoad: begin
        if (failed) begin
          state_d = StStop;
        end else if (load_done_i) begin
          state_d = StIdle;
          done_o = 1'b1;
        end
      end
      StRun: begin
        if (failed) begin
          state_d = StStop;
        end else if (core_over_q && !more_q && (owed_q == '0 || (owed_q == 2'd1 && out_done_i))) begin
          state_d = StIdle;
          done_o = 1'b1;
        end
      end
      StStop: begin
        if (!core_busy_q && !read_busy_i && !out_busy_i) begin
          state_d = StIdle;
          done_o = 1'b1;
        end
      end
      default: state_d = StIdle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q     <= StIdle;
      busy_o      <= 1'b0;
      check_q     <= 1'b0;
      running_o   <= 1'b0;             // registers: who has the read port's beats hangs on them
      loading_o   <= 1'b0;
      stop_o      <= 1'b0;
      status_q    <= bp_shell_pkg::ErrNone;
      layer_q     <= '0;
      loaded_q    <= 1'b0;
      core_busy_q <= 1'b0;
      core_over_q <= 1'b0;
      mode_q      <= 1'b0;
      cycles_q    <= '0;
    end else begin
      state_q <= state_d;
      busy_o    <= state_d != StIdle;
      check_q   <= state_d == StCheck;
      running_o <= state_d == StRun;
      loading_o <= state_d == StLoad;
      stop_o    <= state_d == StStop;
      if (state_q == StIdle && start_i) begin
        cycles_q <= 64'd1;
        status_q <= bp_shell_pkg::ErrNone;
        layer_q  <= '0;
        mode_q   <= mode_load_i;
        may_run_q <= !mode_load_i && loaded_q;
        if (mode_load_i) loaded_q <= 1'b0;
      end else if (state_q != StIdle) begin
        cycles_q <= cycles_q + 64'd1;
      end
      if (state_q != StStop && fault != bp_shell_pkg::ErrNone) begin
        status_q <= fault;
        layer_q  <= core_failed_q ? core_error_layer_i : state_q == StRun ? core_layer_i : '0;
      end
      if (state_q == StLoad && done_o) loaded_q <= 1'b1;
      if (run_start_o) core_busy_q <= 1'b1;
      else if (core_done_i) core_busy_q <= 1'b0;
      if (run_start_o) core_over_q <= 1'b0;
      else if (core_done_i) core_over_q <= 1'b1;
    end
  end

  assign status_o      = status_q;
  assign error_layer_o = layer_q;
  assign cycles_o      = cycles_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_state:     assert (state_q <= StStop);
      a_one_start: assert (!(load_start_o && run_start_o));
      a_failed:    assert (state_q == StCheck || failed == (state_q != StStop && fault != bp_shell_pkg::ErrNone));
      a_owed:      assert (!done_o || (!read_busy_i || status_q == bp_shell_pkg::ErrNone));
      a_core_idle: assert (!run_start_o || !core_busy_q);
    end
  end
`endif

endmodule
