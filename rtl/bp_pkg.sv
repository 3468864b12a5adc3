// The program's records and codes as the engine reads them: the numbers of host/accel/program.h
// (docs/rtl/program.md), and what its stages hand to each other.
package bp_pkg;

  localparam logic [7:0] OpInput   = 8'd1;
  localparam logic [7:0] OpMac     = 8'd2;
  localparam logic [7:0] OpMaxpool = 8'd3;

  localparam logic [7:0] ErrNone   = 8'd0;
  localparam logic [7:0] ErrOp     = 8'd4;
  localparam logic [7:0] ErrMap    = 8'd5;
  localparam logic [7:0] ErrKword  = 8'd6;
  localparam logic [7:0] ErrCoef   = 8'd7;
  localparam logic [7:0] ErrScale  = 8'd8;
  localparam logic [7:0] ErrWeight = 8'd9;
  localparam logic [7:0] ErrAct    = 8'd10;
  localparam logic [7:0] ErrIo     = 8'd11;
  localparam logic [7:0] ErrAbort  = 8'd14;
  localparam logic [7:0] ErrStream = 8'd16;

  typedef struct packed {
    logic [8:0]  unused1;
    logic [6:0]  left;        // the map is an area of a larger one: its first block and row there
    logic [15:0] groups;
    logic [15:0] w;
    logic [15:0] h;
    logic        paired;      // a word holds planes 2j and 2j + 1 of 8 channels
    logic [9:0]  top;
    logic        raw;
    logic [3:0]  planes;
    logic [15:0] px_stride;
    logic [15:0] row_stride;
    logic [15:0] base;
  } map_t;

  typedef struct packed {
    logic [7:0]  first_block; // of the output, and its first row
    logic [23:0] need;        // blocks of the stream that must be in
    logic [31:0] logits;      // MAC; SPILL: word of the scratch
    logic [15:0] first_row;
    logic [15:0] hi;          // MAC: clamp; SPILL: words of a row
    logic [15:0] lo;          // SPILL: [15:4] rows of the whole map
    logic [15:0] misc;        // MAC: S; MAXPOOL: {ox, oy}; stride 2 is lo[0]
    logic [15:0] arg3;        // MAC: first output group; MAXPOOL: taps
    logic [15:0] arg2;        // MAC: first scale; MAXPOOL: first output group
    logic [15:0] arg1;        // MAC: first K-word; MAXPOOL: source map
    logic [15:0] count;       // filter groups or groups
    logic [15:0] cols;
    logic [15:0] rows;
    logic [15:0] out_map;
    logic [7:0]  flags;
    logic [7:0]  op;
  } layer_t;

  localparam int unsigned LyLogits = 0;
  localparam int unsigned LySigned = 1;
  localparam int unsigned LyMore   = 2;   // the next record goes on with this layer
  localparam int unsigned LySpill  = 3;   // MAXPOOL: the result goes to the scratch
  localparam int unsigned LyPart   = 4;   // INPUT: another one goes on with the image; MAC: the next one with the sums
  localparam int unsigned LyEarly  = 5;   // MAC after a MAC: what its first tiles read is written before that drains

  typedef struct packed {
    logic [31:0] unused0;
    logic [15:0] coef;
    logic [15:0] waddr;
    logic [7:0]  ox;
    logic [7:0]  oy;
    logic [15:0] group;
    logic [7:0]  columns;
    logic [7:0]  wn;
    logic [7:0]  flags;
    logic [7:0]  in_map;
  } kword_t;

  localparam int unsigned KwGroup   = 0;
  localparam int unsigned KwStride2 = 1;
  localparam int unsigned KwLast    = 2;
  localparam int unsigned KwRepeat  = 3;  // group mode: the three taps of a column are one group
  localparam int unsigned KwNext    = 4;  // and the second and third are of the plane behind: a window has two planes

  // Pixels of a block, at most (an array has 8, 16 or 32: what a smaller one leaves is zero).
  localparam int unsigned MaxN = 32;

  // Addresses before the check against the depth: wide enough for any record.
  localparam int unsigned AddrW = 30;

  // A K-word at one place of the output: all that the fetch needs.
  typedef struct packed {
    logic             layer_last; // the layer's last place
    logic             tile_first;
    logic             tile_last;
    logic             group;
    logic             repeats;    // group mode: each group in the three rows of a column
    logic             next;       // of them the second and third with the next plane
    logic             lone;       // spatial: one read is all, what it lacks is padding
    logic             stride2;
    logic             raw;
    logic [3:0]       planes;
    logic [3:0]       wn;
    logic [15:0]      waddr;
    logic [15:0]      coef;
    logic [2:0]       parts;      // reads a plane
    logic [4:0]       shift;      // of the first column in its block's word
    logic [1:0]       bank;       // of the window's first row
    logic [1:0]       row;        // the first row modulo 4
    logic [AddrW-1:0] addr;       // plane 0, first row, first block
    logic [15:0]      row_stride;
    logic [15:0]      px_stride;
    logic [2*MaxN:0]  col_ok;     // columns of the window inside the map
    logic [8:0]       row_ok;     // rows (or, by 3 * tap column + r, groups) inside
    logic [2:0]       blk_ok;     // blocks inside
    // Parts 0 and 1 whose block is not in the map but whose halo is wanted: it is the last pixel of
    // the map's last block (behind), or the first of its first block (ahead), which is read instead.
    logic [1:0]       behind;
    logic [1:0]       ahead;
  } place_t;

  // a x b without a DSP, for numbers that stand still long before they count.
  function automatic logic [19:0] times(input logic [15:0] a, input logic [3:0] b);
    times = (b[0] ? 20'(a) : 20'd0) + (b[1] ? {3'd0, a, 1'b0} : 20'd0) + ((b[2] ? {2'd0, a, 2'd0} : 20'd0) + (b[3] ? {1'b0, a, 3'd0} : 20'd0));
  endfunction

  // What goes with a window.
  typedef struct packed {
    logic        layer_last;      // the layer's last window
    logic        single;          // one weight plane, the tile's last
    logic        first;           // window of a tile
    logic        last;
    logic [3:0]  wn;
    logic [15:0] waddr;
    logic [15:0] coef;
  } window_t;

endpackage
