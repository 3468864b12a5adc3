/* export: a study as CSV and JSON. */
#include "search/search_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *state_name(enum search_state s)
{
    static const char *const name[] = {"running", "done", "failed"};
    return name[s];
}

static void csv_trial(struct base_text *out, const struct search_trial *t, bool pareto)
{
    base_text_add(out, "%d,%s,%s,%d,%d,%.17g,%.17g,%lld,%s,%lld,%.3f,%d,%llu,", t->id, state_name(t->state), t->agent,
                  t->rung, t->feasible, t->top1, t->loss, (long long)t->cycles, t->cycles_source,
                  (long long)t->size_bytes, t->wall_s, pareto, (unsigned long long)t->seed);
    for (int i = 0; i < t->n_genes; i++)
        base_text_add(out, "%s%d", i ? " " : "", t->genes[i]);
    base_text_add(out, ",%s,%s,", t->started, t->ended);
    base_text_add_csv(out, t->error);
    base_text_add(out, ",,%s\n", t->board);
}

/* The columns of a trial, as far as it has them, and its parent. */
static void csv_finalist(struct base_text *out, const struct search_finalist *f)
{
    base_text_add(out, "f%d,%s,,%d,,%.17g,%.17g,%lld,%s,%lld,%.3f,,,,%s,%s,", f->id, state_name(f->state), f->rung, f->top1, f->loss, (long long)f->cycles, f->cycles_source,
                  (long long)f->size_bytes, f->wall_s, f->started, f->ended);
    base_text_add_csv(out, f->error);
    if (f->parent >= 0)
        base_text_add(out, ",%d,%s\n", f->parent, f->board);
    else
        base_text_add(out, ",,%s\n", f->board);
}

int search_study_csv(struct search_study *s, struct base_text *out)
{
    struct search_trials t;
    struct search_finalists f;
    int rc = search_study_trials(s, &t);
    if (rc)
        return rc;
    if ((rc = search_study_finalists(s, &f))) {
        search_trials_free(&t);
        return rc;
    }
    bool *pareto = BASE_NEW_N(bool, t.n + 1);
    if (pareto) {
        search_pareto(&t, pareto);
        base_text_add(out, "id,state,agent,rung,feasible,top1,loss,cycles,cycles_source,size_bytes,wall_s,pareto,seed,"
                           "genes,started,ended,error,parent,board\n");
        for (int i = 0; i < t.n; i++)
            csv_trial(out, &t.trial[i], pareto[i]);
        for (int i = 0; i < f.n; i++)
            csv_finalist(out, &f.finalist[i]);
    }
    rc = pareto && !out->failed ? BASE_OK : BASE_NOMEM;
    base_free(pareto);
    search_finalists_free(&f);
    search_trials_free(&t);
    return rc;
}

/* Messages may quote names of any bytes; jansson takes UTF-8 only. */
static json_t *json_text(const char *s)
{
    json_t *j = json_string(s);
    char *copy = j ? NULL : base_strdup(s);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c > 127)
            *c = '?';
    if (copy)
        j = json_string(copy);
    base_free(copy);
    return j;
}

static json_t *json_trial(const struct search_trial *t, bool pareto)
{
    json_t *genes = json_array();
    for (int i = 0; i < t->n_genes; i++)
        json_array_append_new(genes, json_integer(t->genes[i]));
    char seed[24];                 /* text: 64 bits are more than JSON numbers promise */
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->seed);
    return json_pack("{s:i, s:s, s:o, s:i, s:b, s:f, s:f, s:I, s:o, s:I, s:f, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "id", t->id, "state", state_name(t->state), "agent", json_text(t->agent), "rung", t->rung,
                     "feasible", t->feasible, "top1", t->top1, "loss", t->loss, "cycles", (json_int_t)t->cycles,
                     "cycles_source", json_text(t->cycles_source), "size_bytes", (json_int_t)t->size_bytes, "wall_s", t->wall_s,
                     "pareto", pareto, "seed", seed, "genes", genes, "recipe", json_text(t->recipe), "started", json_text(t->started),
                     "ended", json_text(t->ended), "error", json_text(t->error), "board", json_text(t->board));
}

static json_t *json_finalist(const struct search_finalist *f)
{
    return json_pack("{s:i, s:o, s:i, s:s, s:o, s:i, s:f, s:f, s:I, s:o, s:I, s:f, s:o, s:o, s:o, s:o, s:o}", "id", f->id, "parent", f->parent < 0 ? json_null() : json_integer(f->parent),
                     "rung", f->rung, "state", state_name(f->state), "name", json_text(f->name), "images", f->images, "top1", f->top1, "loss", f->loss, "cycles", (json_int_t)f->cycles,
                     "cycles_source", json_text(f->cycles_source), "size_bytes", (json_int_t)f->size_bytes, "wall_s", f->wall_s, "recipe", json_text(f->recipe),
                     "started", json_text(f->started), "ended", json_text(f->ended), "error", json_text(f->error), "board", json_text(f->board));
}

int search_study_json(struct search_study *s, struct base_text *out)
{
    struct search_trials t;
    struct search_finalists f;
    int rc = search_study_trials(s, &t);
    if (rc)
        return rc;
    if ((rc = search_study_finalists(s, &f))) {
        search_trials_free(&t);
        return rc;
    }
    bool *pareto = BASE_NEW_N(bool, t.n + 1);
    json_t *list = json_array(), *finalists = json_array();
    bool ok = pareto && list && finalists;
    if (ok)
        search_pareto(&t, pareto);
    for (int i = 0; ok && i < t.n; i++)
        ok = !json_array_append_new(list, json_trial(&t.trial[i], pareto[i]));
    for (int i = 0; ok && i < f.n; i++)
        ok = !json_array_append_new(finalists, json_finalist(&f.finalist[i]));
    json_t *root = json_pack("{s:o, s:o}", "trials", list, "finalists", finalists);
    char *text = ok && root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    if (text)
        base_text_add_bytes(out, text, strlen(text));
    rc = text && !out->failed ? BASE_OK : base_fail(BASE_NOMEM, "out of memory for the study's JSON");
    free(text);
    json_decref(root);
    base_free(pareto);
    search_finalists_free(&f);
    search_trials_free(&t);
    return rc;
}
