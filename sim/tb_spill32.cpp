// bp_spill with blocks of 32 pixels, words of eight beats.
// top: bp_spill -GN=32
#define BENCH_N 32
#include "tb_spill.cpp"
