/* choose: one network, several arrays: the one that it is fastest on. */
#include "accel/accel.h"

/* What this array takes, if that is less than *cycles or there is no program yet. */
static int try_array(struct accel_program **out, int64_t *cycles, bool *taken, const struct fixed_net *net, const struct hw *hw)
{
    struct accel_program *program = NULL;
    struct accel_cycles *c = BASE_NEW(struct accel_cycles);
    int rc = c ? accel_compile(&program, net, hw) : BASE_NOMEM;
    if (!rc)
        rc = accel_model(c, hw, program->image, program->image_words);
    *taken = !rc && (!*out || c->total < *cycles);
    if (*taken)
        *cycles = c->total;
    accel_program_free(*taken ? *out : program);
    if (*taken)
        *out = program;
    base_free(c);
    return rc;
}

int accel_compile_fastest(struct accel_program **out, int *which, int64_t *cycles, const struct fixed_net *net, const struct hw *hw, int n)
{
    int rc = BASE_OK;
    *out = NULL;
    *which = -1;
    for (int i = 0; (!rc || rc == BASE_INPUT) && i < n; i++) {
        bool taken;
        rc = try_array(out, cycles, &taken, net, &hw[i]);
        *which = taken ? i : *which;
    }
    if (rc == BASE_INPUT && *out) {
        base_error_clear();              /* it fits another */
        rc = BASE_OK;
    }
    if (rc) {
        accel_program_free(*out);
        *out = NULL;
    }
    return rc;
}
