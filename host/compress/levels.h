/* Inside compress: non-uniform levels: where they lie, and which AND planes make them. */
#ifndef COMPRESS_LEVELS_H
#define COMPRESS_LEVELS_H

#include "compress/compress.h"

enum { LEVELS_MAX_ENTRIES = 16, LEVELS_MAX_PLANES = 8, LEVELS_MAX_VALUE = 127 };

/* k-means of n weights x with weights `mass` (NULL: all 1), the best there is: centre [k] ascending, and the sum of mass * squared
 * distance, or < 0 without memory. More than 4096 points are first put together to so many, neighbours to neighbours. */
double levels_kmeans(float *centre, int k, const float *x, const float *mass, int64_t n);
/* Start values of a codebook: k-means, the means of k equal parts of the sorted weights, or even steps from least to largest. */
int levels_codebook(float *centre, int k, const float *x, const float *mass, int64_t n, enum compress_codebook_init init);

/* Values of `planes` planes, integers up to 127, and the scale of one step, for n weights w (mask NULL: all count) of least squared
 * error found by descent from several starts; `pot`: signed powers of two only. Returns the error, < 0 without memory. */
double levels_basis(float *value, float *scale, int planes, bool pot, const float *w, const float *mask, int64_t n);

/* Few planes (nearly always as few as there are) whose sums hold all n integers (n <= 16, of up to 8 bits in two's complement): value [planes],
 * set [n] of planes of each. Returns how many, at most 8. */
int levels_planes(int value[LEVELS_MAX_PLANES], uint16_t *set, const int *entry, int n);

/* Levels that were found for a term on all of its weights, and its scales; they depend on nothing but the key. */
struct levels_memo {
    struct levels_memo *next;
    struct { int layer, term, levels, w_bits, planes, init; } key;
    float *value, *scale;
};
void levels_memo_free(struct levels_memo *memo);
/* Levels of a model's terms, with scales in place of the uniform ones; what is found on all weights is kept in *memo. `draft`: so
 * are those of a term with masked weights, which cost as many cycles. */
int levels_begin(struct compress_model *m, struct levels_memo **memo, bool draft);

#endif
