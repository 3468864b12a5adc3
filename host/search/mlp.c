#include "search/mlp.h"

#include <math.h>
#include <string.h>

#include "tensor/tensor.h"

enum { H = MLP_WIDTH };

/* param: w1 [in][H], b1 [H], w2 [H][H], b2 [H], w3 [H], b3 [1] */
struct parts { float *w1, *b1, *w2, *b2, *w3, *b3; };

static struct parts parts_of(float *p, int in)
{
    float *b1 = p + in * H, *w2 = b1 + H, *b2 = w2 + H * H, *w3 = b2 + H;
    return (struct parts){p, b1, w2, b2, w3, w3 + H};
}

static void fill(float *w, int n, float limit, struct base_rng *rng)
{
    for (int i = 0; i < n; i++)
        w[i] = limit * (2 * base_rng_uniform(rng) - 1);
}

int mlp_new(struct mlp *m, int in, int batch, struct base_rng *rng)
{
    *m = (struct mlp){.in = in, .batch = batch, .n = in * H + H + H * H + H + H + 1};
    if (!(m->param = BASE_NEW_N(float, m->n)) || !(m->grad = BASE_NEW_N(float, m->n)) || !(m->first = BASE_NEW_N(float, m->n)) || !(m->second = BASE_NEW_N(float, m->n)) ||
        !(m->h1 = BASE_NEW_N(float, batch * H)) || !(m->h2 = BASE_NEW_N(float, batch * H)) || !(m->d1 = BASE_NEW_N(float, batch * H)) ||
        !(m->d2 = BASE_NEW_N(float, batch * H)) || !(m->y = BASE_NEW_N(float, batch)) || !(m->dx = BASE_NEW_N(float, batch * in)))
        return BASE_NOMEM;
    struct parts p = parts_of(m->param, in);
    fill(p.w1, in * H, 1 / sqrtf((float)in), rng);
    fill(p.w2, H * H, 1 / sqrtf(H), rng);
    fill(p.w3, H, 3e-3f, rng);
    return BASE_OK;
}

void mlp_free(struct mlp *m)
{
    float *const all[] = {m->param, m->grad, m->first, m->second, m->h1, m->h2, m->d1, m->d2, m->y, m->dx};
    for (int i = 0; i < BASE_COUNT(all); i++)
        base_free(all[i]);
    *m = (struct mlp){0};
}

/* out [rows][H] = relu(x [rows][in] * w + b) */
static void hidden(float *out, const float *x, const float *w, const float *b, int rows, int in)
{
    for (int i = 0; i < rows; i++)
        memcpy(out + i * H, b, H * sizeof *b);
    tensor_gemm(out, x, false, w, false, rows, H, in, 1, 1);
    for (int i = 0; i < rows * H; i++)
        out[i] = BASE_MAX(out[i], 0);
}

void mlp_forward(struct mlp *m, const float *x, int rows)
{
    struct parts p = parts_of(m->param, m->in);
    m->x = x;
    hidden(m->h1, x, p.w1, p.b1, rows, m->in);
    hidden(m->h2, m->h1, p.w2, p.b2, rows, H);
    tensor_gemv(m->y, m->h2, p.w3, rows, H, 0);
    for (int i = 0; i < rows; i++)
        m->y[i] += *p.b3;
}

/* Of one hidden layer: d [rows][H], the gradient of its output, loses what ReLU held back; then weights and bias. */
static void hidden_back(float *dw, float *db, float *d, const float *out, const float *x, int rows, int in)
{
    for (int i = 0; i < rows * H; i++)
        d[i] = out[i] > 0 ? d[i] : 0;
    tensor_gemm(dw, x, true, d, false, in, H, rows, 1, 0);
    memset(db, 0, H * sizeof *db);
    for (int i = 0; i < rows * H; i++)
        db[i % H] += d[i];
}

void mlp_backward(struct mlp *m, const float *dy, int rows)
{
    struct parts p = parts_of(m->param, m->in), g = parts_of(m->grad, m->in);
    *g.b3 = 0;
    for (int i = 0; i < rows; i++)
        *g.b3 += dy[i];
    tensor_gemm(g.w3, dy, false, m->h2, false, 1, H, rows, 1, 0);
    tensor_gemm(m->d2, dy, false, p.w3, false, rows, H, 1, 1, 0);
    hidden_back(g.w2, g.b2, m->d2, m->h2, m->h1, rows, H);
    tensor_gemm(m->d1, m->d2, false, p.w2, true, rows, H, H, 1, 0);
    hidden_back(g.w1, g.b1, m->d1, m->h1, m->x, rows, m->in);
    tensor_gemm(m->dx, m->d1, false, p.w1, true, rows, m->in, H, 1, 0);
}

void mlp_adam(struct mlp *m, float rate)
{
    const float b1 = 0.9f, b2 = 0.999f;
    m->steps++;
    float scale = rate * sqrtf(1 - powf(b2, (float)m->steps)) / (1 - powf(b1, (float)m->steps));
    for (int i = 0; i < m->n; i++) {
        m->first[i] = b1 * m->first[i] + (1 - b1) * m->grad[i];
        m->second[i] = b2 * m->second[i] + (1 - b2) * m->grad[i] * m->grad[i];
        m->param[i] -= scale * m->first[i] / (sqrtf(m->second[i]) + 1e-8f);
    }
}

void mlp_follow(struct mlp *m, const struct mlp *to, float share)
{
    for (int i = 0; i < m->n; i++)
        m->param[i] += share * (to->param[i] - m->param[i]);
}
