// Register map and the shell's error codes: the numbers of host/accel/program.h
// (docs/rtl/registers.md). tests compare them through the simulation.
package bp_shell_pkg;


  // Register offsets
  localparam logic [11:0] RegCtrl        = 12'h000;
  localparam logic [11:0] RegGie         = 12'h004;
  localparam logic [11:0] RegIer         = 12'h008;
  localparam logic [11:0] RegIsr         = 12'h00c;
  localparam logic [11:0] RegMode        = 12'h010;
  localparam logic [11:0] RegProgram     = 12'h018;
  localparam logic [11:0] RegProgramSize = 12'h024;
  localparam logic [11:0] RegWeight      = 12'h030;
  localparam logic [11:0] RegWeightSize  = 12'h03c;
  localparam logic [11:0] RegInput       = 12'h048;
  localparam logic [11:0] RegInputSize   = 12'h054;
  localparam logic [11:0] RegOutput      = 12'h060;
  localparam logic [11:0] RegOutputSize  = 12'h06c;
  localparam logic [11:0] RegLimit       = 12'h078;
  localparam logic [11:0] RegImages      = 12'h07c;
  localparam logic [11:0] RegAbort       = 12'h080;
  localparam logic [11:0] RegStatus      = 12'h084;
  localparam logic [11:0] RegErrorLayer  = 12'h088;
  localparam logic [11:0] RegIdMagic     = 12'h090;
  localparam logic [11:0] RegIdVersion   = 12'h094;
  localparam logic [11:0] RegIdArray     = 12'h098;
  localparam logic [11:0] RegIdAct       = 12'h09c;
  localparam logic [11:0] RegIdWeight    = 12'h0a0;
  localparam logic [11:0] RegIdCoef      = 12'h0a4;
  localparam logic [11:0] RegIdScale     = 12'h0a8;
  localparam logic [11:0] RegIdKword     = 12'h0ac;
  localparam logic [11:0] RegIdLayer     = 12'h0b0;
  localparam logic [11:0] RegIdMap       = 12'h0b4;
  localparam logic [11:0] RegIdHash      = 12'h0b8;
  localparam logic [11:0] RegCycles      = 12'h0c0;
  localparam logic [11:0] RegCounter     = 12'h0d0;
  localparam int unsigned NumUnits       = 5;  // fetch, array, drain, write, memory

  localparam logic [31:0] IdMagic      = 32'h5352_5042;
  localparam logic [31:0] ProgramMagic = 32'h4752_5042;
  localparam logic [15:0] ProgramMajor = 16'd1;
  localparam logic [15:0] ProgramMinor = 16'd5;
  localparam int unsigned HeaderWords  = 8;

  // STATUS
  localparam logic [7:0] ErrNone      = 8'd0;
  localparam logic [7:0] ErrMagic     = 8'd1;
  localparam logic [7:0] ErrArray     = 8'd2;
  localparam logic [7:0] ErrSize      = 8'd3;
  localparam logic [7:0] ErrOp        = 8'd4;
  localparam logic [7:0] ErrAct       = 8'd10;
  localparam logic [7:0] ErrIo        = 8'd11;
  localparam logic [7:0] ErrBus       = 8'd12;
  localparam logic [7:0] ErrLimit     = 8'd13;
  localparam logic [7:0] ErrAbort     = 8'd14;
  localparam logic [7:0] ErrNotLoaded = 8'd15;
  localparam logic [7:0] ErrStream    = 8'd16;

  // Kinds of a block of the stream: its end, or the table it goes to.
  localparam logic [7:0] KindEnd    = 8'd0;
  localparam logic [7:0] KindMap    = 8'd1;
  localparam logic [7:0] KindLayer  = 8'd2;
  localparam logic [7:0] KindKword  = 8'd3;
  localparam logic [7:0] KindCoef   = 8'd4;
  localparam logic [7:0] KindScale  = 8'd5;
  localparam logic [7:0] KindWeight = 8'd6;
  localparam logic [7:0] KindFill   = 8'd7;  // no table: an area of a map comes from the scratch
  localparam int unsigned FillWords = 4;

  // The scratch begins a page behind the result.
  localparam int unsigned LgPage = 12;

  // The read FIFO holds this many 64-bit beats; bursts are only asked for when they fit.
  localparam int unsigned ReadFifo = 64;
  // Logits are collected whole before they are written: the most beats of two int32.
  localparam int unsigned LogitFifo = 512;

endpackage
