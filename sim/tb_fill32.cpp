// bp_fill with blocks of 32 pixels, words of eight beats.
// top: bp_fill -GN=32
#define BENCH_N 32
#include "tb_fill.cpp"
