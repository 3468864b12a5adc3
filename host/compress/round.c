/* round.c: integer weights of least squared output error.
 *
 * With H = L L', the error is the sum over i of (L' (w - want))_i^2, and term i holds weights i and later
 * only: taken from the last to the first, each weight is rounded to what cancels the errors of those before
 * it (Babai's nearest plane; in its outcome the error feedback of Frantar et al., GPTQ, 2022). Descent over
 * single codes follows. */
#include <math.h>

#include "compress/reconstruct.h"

enum { MAX_SWEEPS = 32, FIT_SWEEPS = 16 };

/* Code of weight number i at u = w / step. */
static int nearest(double u, const struct compress_grid *g, int i)
{
    double half = 1 << (g->bits - 1);
    if (g->mask && g->mask[i] == 0)
        return 0;
    if (g->level)
        return (int)g->level[nn_level_nearest(g->level, g->levels, (float)u)].value;
    return g->bits == 1 ? (u < 0 ? -1 : 1) : (int)fmin(fmax(floor(u + 0.5), -half), half - 1);
}

/* off = w - want; carried [i] = what the weights behind i, rounded already, put into term i. */
static void round_in_turn(int *code, double *off, double *carried, const double *l, const double *want, const double *step, int k, const struct compress_grid *grid)
{
    for (int i = 0; i < k; i++)
        carried[i] = 0;
    for (int i = k - 1; i >= 0; i--) {
        const double *row = l + (int64_t)i * k;
        code[i] = nearest((want[i] - carried[i] / row[i]) / step[i], grid, i);
        off[i] = code[i] * step[i] - want[i];
        for (int j = 0; j < i; j++)
            carried[j] += row[j] * off[i];
    }
}

/* slope = H off. A code's best place, the others held, is off by slope / H_ii. */
static bool sweep(int *code, double *off, double *slope, const double *h, const double *want, const double *step, int k, const struct compress_grid *grid)
{
    bool moved = false;
    for (int i = 0; i < k; i++) {
        const double *row = h + (int64_t)i * k;
        int to = nearest((want[i] + off[i] - slope[i] / row[i]) / step[i], grid, i);
        double d = (to - code[i]) * step[i];
        if (to == code[i] || !(d * (2 * slope[i] + d * row[i]) < 0))
            continue;
        code[i] = to;
        off[i] += d;
        for (int j = 0; j < k; j++)
            slope[j] += d * row[j];
        moved = true;
    }
    return moved;
}

static void slopes(double *slope, const double *h, const double *off, int k)
{
    for (int i = 0; i < k; i++) {
        slope[i] = 0;
        for (int j = 0; j < k; j++)
            slope[i] += h[(int64_t)i * k + j] * off[j];
    }
}

/* Gauss-Seidel, one weight after the other to its best place. */
void compress_fit_kept(double *want, const double *h, const float *mask, int k, double *scratch)
{
    double *off = scratch, *slope = scratch + k;
    for (int i = 0; i < k; i++)
        off[i] = mask[i] == 0 ? -want[i] : 0;
    slopes(slope, h, off, k);
    for (int n = 0; n < FIT_SWEEPS; n++)
        for (int i = 0; i < k; i++) {
            const double *row = h + (int64_t)i * k;
            double d = mask[i] == 0 ? 0 : -slope[i] / row[i];
            off[i] += d;
            for (int j = 0; d != 0 && j < k; j++)
                slope[j] += d * row[j];
        }
    for (int i = 0; i < k; i++)
        want[i] = mask[i] == 0 ? 0 : want[i] + off[i];
}

double compress_round(int *code, const double *h, const double *l, const double *want, const double *step, int k, const struct compress_grid *grid, double *scratch)
{
    double *off = scratch, *slope = scratch + k, error = 0;
    round_in_turn(code, off, slope, l, want, step, k, grid);
    slopes(slope, h, off, k);
    for (int n = 0; n < MAX_SWEEPS && sweep(code, off, slope, h, want, step, k, grid); n++)
        ;
    for (int i = 0; i < k; i++)
        error += off[i] * slope[i];
    return error;
}
