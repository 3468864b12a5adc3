#include "cmd/candidate.h"

#include <pthread.h>
#include <string.h>

/* ---- the two steps ------------------------------------------------------------------------------ */

/* *c is the caller's after success; it need not be scored where out->rung says that it was given up. */
static int judge(struct contender *c, const struct candidate_bench *b, const int *genes, struct search_result *out)
{
    struct compress_recipe recipe;
    struct compress_options o = b->options;
    int rc = space_recipe(&recipe, b->space, genes);
    if (rc)
        return rc;
    o.hopeless_below = out->hopeless_below;
    out->recipe_yaml = compress_recipe_text(&recipe, compress_cache_layers(b->cache));
    rc = contender_build(c, "candidate", -1, &recipe, b->cache, b->arrays, &o);
    compress_recipe_free(&recipe);
    if (rc)
        return rc;
    out->top1 = c->val_top1;
    out->loss = b->float_val - c->val_top1;
    out->size_bytes = c->size_bytes;
    out->cycles = c->model_cycles;
    out->cycles_source = "model";
    out->board = c->hw->name;
    if (c->val_images < BASE_MIN(o.val_images, b->n_val))
        out->rung = SEARCH_GIVEN_UP;
    return BASE_OK;
}

static int score(struct contender *c, const struct candidate_bench *b, struct search_result *out)
{
    if (out->rung == SEARCH_GIVEN_UP)
        return BASE_OK;
    int rc = contender_score(c, b->scorer, b->pixels, 1, b->cache_dir);
    out->cycles = rc ? 0 : c->score->cycles;
    out->cycles_source = rc ? "" : c->score->cycles_source;
    return rc;
}

int candidate_evaluate(const struct candidate_bench *b, const int *genes, struct search_result *out)
{
    struct contender c;
    int rc = judge(&c, b, genes, out);
    if (rc)
        return rc;
    rc = score(&c, b, out);
    contender_free(&c);
    return rc;
}

/* ---- several of them ------------------------------------------------------------------------------ */

struct seat {
    const struct candidate_bench *bench;
    pthread_t thread;
    bool is_scored;                  /* by the thread, which must be waited for */
    double start, end;
    struct contender contender;
    struct search_result result;
    int rc;
    char *message, *hint;            /* base_fail's belong to the thread */
};

struct candidate_queue {
    const struct candidate_bench *bench;
    int n;
    struct seat seat[];              /* by id modulo n */
};

static void note(struct seat *s, int rc)
{
    s->rc = rc;
    s->message = rc ? base_strdup(base_error()) : NULL;
    s->hint = rc ? base_strdup(base_error_hint()) : NULL;
    s->end = base_seconds();
}

static void *run(void *arg)
{
    struct seat *s = arg;
    note(s, score(&s->contender, s->bench, &s->result));
    return NULL;
}

int candidate_queue_new(struct candidate_queue **out, const struct candidate_bench *b, int n)
{
    *out = base_alloc(sizeof **out + sizeof *(*out)->seat * (size_t)n);
    if (!*out)
        return BASE_NOMEM;
    (*out)->bench = b;
    (*out)->n = n;
    return BASE_OK;
}

void candidate_queue_free(struct candidate_queue *q)
{
    base_free(q);
}

int candidate_start(struct candidate_queue *q, int id, const int *genes, double hopeless_below)
{
    struct seat *s = &q->seat[id % q->n];
    *s = (struct seat){ .bench = q->bench, .start = base_seconds(), .result = { .feasible = 1, .hopeless_below = hopeless_below } };
    note(s, judge(&s->contender, q->bench, genes, &s->result));
    if (s->rc || s->result.rung == SEARCH_GIVEN_UP)
        return BASE_OK;              /* collect says so */
    s->is_scored = !pthread_create(&s->thread, NULL, run, s);
    if (!s->is_scored)
        run(s);
    return BASE_OK;
}

int candidate_collect(struct candidate_queue *q, int id, struct search_result *out)
{
    struct seat *s = &q->seat[id % q->n];
    if (s->is_scored)
        pthread_join(s->thread, NULL);
    *out = s->result;
    out->wall_s = s->end - s->start;
    contender_free(&s->contender);
    int rc = s->rc;
    if (rc)
        base_fail_again(rc, s->message, s->hint);
    *s = (struct seat){ .rc = BASE_OK };
    return rc;
}
