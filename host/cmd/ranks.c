#include "cmd/ranks.h"

#include <stdlib.h>
#include <string.h>

int ranks_open(struct dist **out, struct cmd *c)
{
    int rc = dist_open(out);
    if (rc || dist_ranks(*out) == 1)
        return rc;
    if (dist_rank(*out) > 0) {
        base_log_level(BASE_LOG_QUIET);
        c->quiet = true;
    }
    if (c->threads <= 0)
        c->threads = dist_threads(*out);
    return BASE_OK;
}

static int hash_file(uint64_t *out, const char *path)
{
    uint8_t *file = NULL;
    size_t len = 0;
    int rc = base_file_read(&file, &len, path, (size_t)1 << 40);
    if (!rc)
        *out = base_hash64(0, file, len);
    base_free(file);
    return rc;
}

int ranks_same_job(struct dist *d, const char *settings, const char *model)
{
    if (dist_ranks(d) == 1)
        return BASE_OK;
    struct dist_fact fact[] = { { "program", 0 }, { "configuration", base_hash64(0, settings, strlen(settings)) },
                                { "model", base_hash64(0, model, strlen(model)) } };
    int rc = hash_file(&fact[0].hash, "/proc/self/exe");
    if (!rc && pipeline_is_file(model))
        rc = hash_file(&fact[2].hash, model);
    return rc ? rc : dist_same(d, fact, BASE_COUNT(fact));
}

uint64_t ranks_data_hash(const struct data_set *s)
{
    uint64_t labels = base_hash64(0, s->label, sizeof *s->label * (size_t)s->n);
    return base_hash64(labels, s->pixels, (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->c);
}

int ranks_same_data(struct dist *d, const struct data_set *s)
{
    if (dist_ranks(d) == 1)
        return BASE_OK;
    const struct dist_fact fact = { "set of training images", ranks_data_hash(s) };
    return dist_same(d, &fact, 1);
}

int ranks_gradients(struct dist_gradients **out, struct dist *d, const struct run_distributed *how, long seed)
{
    struct dist_code code = DIST_CODE_INIT;
    code.method = !strcmp(how->gradients, "ecq") ? DIST_ECQ : !strcmp(how->gradients, "qsgd") ? DIST_QSGD : DIST_EXACT;
    code.bits = atoi(how->bits);
    code.bucket = (int)how->bucket;
    code.feedback = (float)how->feedback;
    code.decay = (float)how->decay;
    code.seed = (uint64_t)seed;
    code.local_batchnorm = !strcmp(how->batchnorm, "local");
    return dist_gradients_new(out, d, &code);
}

void ranks_traffic_words(char out[static RANKS_WORDS], const struct dist *d, const struct dist_gradients *g)
{
    struct dist_traffic f = dist_gradients_traffic(g);
    double steps = BASE_MAX(f.steps, 1);
    snprintf(out, RANKS_WORDS, "each of %d ranks sent %.0f + %.0f bytes a step (gradients, the rest); %.0f %% of the gradients were there before the backward pass ended; waited %.1f s", dist_ranks(d),
             f.gradient_bytes / steps, f.other_bytes / steps, 100.0 * (double)f.early / (double)BASE_MAX(f.arrays, 1), f.wait_s);
}

void ranks_log_traffic(const struct dist *d, const struct dist_gradients *g)
{
    char words[RANKS_WORDS];
    ranks_traffic_words(words, d, g);
    base_log("%s", words);
}

int ranks_end(struct dist *d, int rc)
{
    if (!rc) {
        dist_close(d);
        return 0;
    }
    int code = dist_reports(d, rc) ? cmd_fail(rc) : base_exit_code(rc);
    if (d && dist_ranks(d) > 1)
        dist_abort(d, code);
    dist_close(d);
    return code;
}
