/* area_yosys.h: what Yosys 0.23 counted for whole kernels (synth_xilinx -family xc7, the depths of the PYNQ-Z2's
 * board): rows as `make bench-area` prints them. */
#ifndef AREA_YOSYS_H
#define AREA_YOSYS_H

static const struct { int n, drain, lut, bram36, dsp; } area_yosys[] = {
    { 8, 32, 38995, 118, 196 },
};

#endif
