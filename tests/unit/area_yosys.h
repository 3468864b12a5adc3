/* area_yosys.h: what Yosys 0.23 counted for whole kernels (synth_xilinx -family xc7, the depths of the PYNQ-Z2's
 * board): rows as `make bench-area` prints them, but for a few LUTs of changes between one and the next. */
#ifndef AREA_YOSYS_H
#define AREA_YOSYS_H

static const struct { int n, drain, lut, bram36, dsp; } area_yosys[] = {
    { 8, 16, 37822, 118, 164 },
    { 8, 32, 39029, 118, 196 },
    { 8, 64, 42868, 118, 260 },
};

#endif
