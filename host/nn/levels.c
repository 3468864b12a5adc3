/* Non-uniform weights: levels that are sums of planes' values, the nearest one to a weight, and what training does to them.
 *
 * A plane's value v moves so that v * scale, its real value, follows its gradient as a weight would: d loss / d v is the sum over
 * the weights in the plane of gradient * scale, divided by the mean square of the scale. As with LSQ the sum is divided by the
 * root of how many weights share the value, and a step is bounded: by 1, so that levels keep their order for a while. */
#include "nn/nn_internal.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_VALUE = 127, MAX_STEP = 1 };

/* Value first, then few planes, then the number. */
static int ascending(const void *a, const void *b)
{
    const struct nn_level *x = a, *y = b;
    if (x->value != y->value)
        return (x->value > y->value) - (x->value < y->value);
    int p = __builtin_popcount(x->code), q = __builtin_popcount(y->code);
    return p != q ? p - q : x->code - y->code;
}

const float *nn_level_values(const struct nn_levels *l, int o)
{
    return l->value + (l->rows > 1 ? o * l->planes : 0);
}

int nn_level_table(struct nn_level table[NN_MAX_LEVELS], const struct nn_levels *l, int o)
{
    const float *value = nn_level_values(l, o);
    int n = 0;
    for (int i = 0; i < l->n_code; i++) {
        float sum = 0;
        for (int t = 0; t < l->planes; t++)
            if (l->code[i] >> t & 1)
                sum += floorf(value[t] + 0.5f);
        table[i] = (struct nn_level){ sum, l->code[i] };
    }
    qsort(table, (size_t)l->n_code, sizeof *table, ascending);
    for (int i = 0; i < l->n_code; i++)
        if (!n || table[i].value != table[n - 1].value)
            table[n++] = table[i];
    return n;
}

int nn_level_nearest(const struct nn_level *table, int n, float u)
{
    int low = 0, high = n - 1;
    while (low < high) {                 /* half way goes up, as in rounding */
        int mid = (low + high) / 2;
        if (u >= (table[mid].value + table[mid + 1].value) / 2)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int nn_levels_check(const struct nn_levels *l, const char *name)
{
    bool ok = l->planes >= 1 && l->planes <= NN_MAX_PLANES && l->n_code >= 1 && l->n_code <= NN_MAX_LEVELS;
    for (int i = 0; ok && i < l->rows * l->planes; i++)
        ok = fabsf(l->value[i]) <= MAX_VALUE + 1;
    return ok ? BASE_OK : base_fail(BASE_INPUT, "layer '%s': weight levels of %d planes and %d codes, or values beyond 128", name, l->planes, l->n_code);
}

int nn_levels_plan(struct nn *m, struct nn_term *t)
{
    const struct nn_levels *l = t->quant->levels;
    if (!l || !m->training || t->level_velocity)
        return BASE_OK;
    t->level_grad = BASE_ARENA_NEW_N(m->arena, float, l->rows * l->planes);
    t->level_norm = BASE_ARENA_NEW_N(m->arena, float, l->rows);
    t->level_velocity = BASE_ARENA_NEW_N(m->arena, float, l->rows * l->planes);
    return t->level_grad && t->level_norm && t->level_velocity ? BASE_OK : BASE_NOMEM;
}

void nn_levels_clear(struct nn_term *t)
{
    const struct nn_levels *l = t->quant->levels;
    for (int i = 0; i < l->rows * l->planes; i++)
        t->level_grad[i] = 0;
    for (int r = 0; r < l->rows; r++)
        t->level_norm[r] = 0;
}

void nn_levels_add(struct nn_term *t, int o, uint16_t code, float grad, float step)
{
    const struct nn_levels *l = t->quant->levels;
    int row = l->rows > 1 ? o : 0;
    t->level_norm[row] += step * step;
    for (int k = 0; k < l->planes; k++)
        if (code >> k & 1)
            t->level_grad[row * l->planes + k] += grad * step;
}

void nn_levels_step(struct nn_term *t, double weights, const struct nn_sgd *o, float rate)
{
    struct nn_levels *l = t->quant->levels;
    float n = (float)(weights / l->rows);
    for (int i = 0; l->learned && i < l->rows * l->planes; i++) {
        float norm = t->level_norm[i / l->planes] / n, g = norm > 0 ? t->level_grad[i] / norm / sqrtf(n) : 0, *v = &t->level_velocity[i];
        *v = o->momentum * *v + g;
        float step = o->lr * rate * (o->nesterov ? g + o->momentum * *v : *v);
        l->value[i] = fminf(fmaxf(l->value[i] - fminf(fmaxf(step, -MAX_STEP), MAX_STEP), -MAX_VALUE), MAX_VALUE);
    }
}
