// Lines of a map in the scratch: the address of each row of each group, one after another, in words of a plane of N pixels.
// A line is there three cycles after the start or the one before; `bad_o` with it: it ends beyond the scratch.
module bp_lines (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        start_i,     // the numbers below stand still from then on, words_i from the cycle after
  input  logic        next_i,      // the line is taken
  input  logic [31:0] first_i,     // word of the first line
  input  logic [15:0] pitch_i,     // words from row to row
  input  logic [15:0] whole_i,     // rows from group to group
  input  logic [9:0]  rows_i,      // of a group
  input  logic [15:0] groups_i,
  input  logic [10:0] words_i,     // of a line
  input  logic [31:0] limit_i,     // words of the scratch

  output logic        valid_o,
  output logic        bad_o,
  output logic        last_o,
  output logic [31:0] addr_o
);

  logic [31:0] pitch_group_q;
  logic [33:0] line_q, group_q, next, end_q;
  logic [9:0]  row_q;
  logic [15:0] count_q;
  logic [1:0]  wait_q;
  logic        row_last_q, group_last_q, bad_q;

  // What is not beyond the scratch is far from the sum's end: every line is looked at before the next is made.
  assign next = (row_last_q ? group_q : line_q) + (row_last_q ? 34'(pitch_group_q) : 34'(pitch_i));

  always_ff @(posedge clk_i) begin
    pitch_group_q <= 32'(pitch_i) * 32'(whole_i);
    end_q         <= line_q + 34'(words_i);
    bad_q         <= end_q > 34'(limit_i);
    row_last_q    <= row_q == rows_i - 10'd1;
    group_last_q  <= count_q == groups_i - 16'd1;
    if (start_i) begin
      line_q  <= 34'(first_i);
      group_q <= 34'(first_i);
      row_q   <= '0;
      count_q <= '0;
    end else if (next_i) begin
      line_q <= next;
      row_q  <= row_last_q ? '0 : row_q + 10'd1;
      if (row_last_q) begin
        group_q <= next;
        count_q <= count_q + 16'd1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) wait_q <= '0;
    else if (start_i || next_i) wait_q <= 2'd2;
    else if (!valid_o) wait_q <= wait_q - 2'd1;
  end

  assign valid_o = wait_q == '0;
  assign bad_o   = bad_q;
  assign last_o  = row_last_q & group_last_q;
  assign addr_o  = line_q[31:0];

endmodule
