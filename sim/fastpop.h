/* fastpop.h: included before each verilated source: $countones by the CPU's own instruction
 * (-march=x86-64-v3 has POPCNT). Verilator's shift-and-mask version costs most of a run. */
#ifndef BITPRESS_FASTPOP_H
#define BITPRESS_FASTPOP_H

#include "verilated.h"

static inline IData bitpress_popcount_words(int words, const EData *word)
{
    IData sum = 0;
    for (int i = 0; i < words; i++) sum += __builtin_popcount(word[i]);
    return sum;
}

#define VL_COUNTONES_I(x) ((IData)__builtin_popcount(x))
#define VL_COUNTONES_Q(x) ((IData)__builtin_popcountll(x))
#define VL_COUNTONES_W(words, x) bitpress_popcount_words(words, x)

#endif
