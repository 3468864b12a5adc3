// When the next image of a start is unpacked while one computes: its place in the activation memory is free when `free`
// layers have ended (the INPUT record's number, 0: never), and the port when nothing else is read.
module bp_ahead (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        run_i,          // an image's run begins
  input  logic        stop_i,
  input  logic        input_start_i,
  input  logic [15:0] free_i,         // with input_start_i
  input  logic        input_done_i,
  input  logic [15:0] ended_i,        // layers of this image's run that have ended
  input  logic        another_i,      // there is an image to read
  input  logic        read_i,         // the port reads, or will

  output logic        go_o,           // pulse: read and unpack it
  output logic        ahead_o         // from go_o on, until that image's run begins
);

  logic [15:0] free_q;
  logic        armed_q, due_q, go_q, ahead_q;

  always_ff @(posedge clk_i) begin
    if (input_start_i) free_q <= free_i;
    due_q <= ended_i >= free_q;       // of the run at hand: armed later than it begins
    go_q  <= rst_ni && armed_q && due_q && another_i && !read_i && !go_q && !run_i && !stop_i;
    if (!rst_ni || run_i || stop_i || go_q) armed_q <= 1'b0;
    else if (input_done_i) armed_q <= free_q != '0;
    if (!rst_ni || run_i || stop_i) ahead_q <= 1'b0;
    else if (go_o) ahead_q <= 1'b1;
  end

  assign go_o = go_q & !stop_i;     // a stop waits for no read that it has not seen
  assign ahead_o = ahead_q | go_o;

endmodule
