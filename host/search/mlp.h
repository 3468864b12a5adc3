/* mlp: a small network for agents: two hidden layers of 64 ReLUs, one output, Adam. Batches are row-major.
 * Deterministic: one thread, the caller's random numbers. */
#ifndef SEARCH_MLP_H
#define SEARCH_MLP_H

#include "base/base.h"

enum { MLP_WIDTH = 64 };
struct mlp {
    int in, batch, n;                  /* inputs; rows at most; parameters */
    int steps;                         /* of Adam so far */
    float *param, *grad, *first, *second; /* [n] */
    float *h1, *h2, *d1, *d2;          /* [batch][64] */
    float *y, *dx;                     /* [batch], [batch][in] */
    const float *x;                    /* of the last forward pass */
};

/* Uniform in +-1/sqrt(fan in), the last layer's weights in +-3e-3. Owns its memory; mlp_free also after an error. */
int mlp_new(struct mlp *m, int in, int batch, struct base_rng *rng);
void mlp_free(struct mlp *m);
/* m->y [rows] of x [rows][in], which must live until mlp_backward. */
void mlp_forward(struct mlp *m, const float *x, int rows);
/* m->grad and m->dx [rows][in] from dy [rows], after mlp_forward with as many rows. */
void mlp_backward(struct mlp *m, const float *dy, int rows);
void mlp_adam(struct mlp *m, float rate);
/* The parameters move by `share` towards those of `to`. */
void mlp_follow(struct mlp *m, const struct mlp *to, float share);

#endif
