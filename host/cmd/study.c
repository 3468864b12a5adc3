/* study: the record of a search: its trials, one in full, the best, all as CSV or JSON. */
#include <stdlib.h>
#include <string.h>

#include "cmd/output.h"
#include "search/search.h"

enum { ALL = -2 };                   /* finalists of any parent */

struct study_options { const char *format, *out; bool fastest, recipe; };

struct study { struct search_study *file; struct search_trials trials; struct search_finalists finalists; bool *pareto; };

static int open_study(struct study *s, const char *path)
{
    memset(s, 0, sizeof *s);
    int rc = search_study_open(&s->file, path, SEARCH_READ);
    if (!rc)
        rc = search_study_trials(s->file, &s->trials);
    if (!rc)
        rc = search_study_finalists(s->file, &s->finalists);
    if (!rc) {
        s->pareto = BASE_NEW_N(bool, s->trials.n + 1);
        if (!s->pareto)
            return BASE_NOMEM;
        search_pareto(&s->trials, s->pareto);
    }
    return rc;
}

static void close_study(struct study *s)
{
    base_free(s->pareto);
    search_finalists_free(&s->finalists);
    search_trials_free(&s->trials);
    search_study_close(s->file);
}

static const char *state_name(const struct search_trial *t)
{
    if (t->state == SEARCH_DONE)
        return t->rung < SEARCH_CHEAP ? "given up" : "done";
    return t->state == SEARCH_FAILED ? "failed" : "running";
}

/* The study as the room exports it; the caller's. */
static int study_json(json_t **out, struct study *s)
{
    struct base_text t = { 0 };
    int rc = search_study_json(s->file, &t);
    *out = rc ? NULL : json_loadb(t.s, t.len, 0, NULL);
    base_text_free(&t);
    return rc || *out ? rc : base_fail(BASE_NOMEM, "out of memory for the study's JSON");
}

/* ---- list -------------------------------------------------------------------------- */

static void print_trial_line(const struct search_trial *t, bool pareto)
{
    char text[256], source[256];
    if (t->state == SEARCH_DONE)
        printf("%5d %5d  %-8s %-8s %7.2f %7.2f %12lld %-10s %10lld %7.1f %8s %6s\n", t->id, t->rung, state_name(t), cmd_clean(text, t->agent), 100 * t->top1, 100 * t->loss,
               (long long)t->cycles, cmd_clean(source, t->cycles_source), (long long)t->size_bytes, t->wall_s, t->feasible ? "yes" : "no", pareto ? "yes" : "");
    else
        printf("%5d %5d  %-8s %s\n", t->id, t->rung, state_name(t), cmd_clean(text, t->error));
}

static const char *finalist_state(const struct search_finalist *f)
{
    return f->state == SEARCH_DONE ? "done" : f->state == SEARCH_FAILED ? "failed" : "running";
}

static void print_finalist_line(const struct search_finalist *f)
{
    char text[256], source[256], id[16], parent[24] = "-";
    snprintf(id, sizeof id, "f%d", f->id);
    if (f->parent >= 0)
        snprintf(parent, sizeof parent, "trial %d", f->parent);
    if (f->state == SEARCH_DONE)
        printf("%5s %5d  %-8s %-10s %7.2f %7.2f %12lld %-10s %10lld %7.1f  %s\n", id, f->rung, finalist_state(f), parent, 100 * f->top1, 100 * f->loss, (long long)f->cycles,
               cmd_clean(source, f->cycles_source), (long long)f->size_bytes, f->wall_s, cmd_clean(text, f->name));
    else
        printf("%5s %5d  %-8s %-10s %s\n", id, f->rung, finalist_state(f), parent, cmd_clean(text, f->error));
}

static void print_finalists(const struct study *s, int parent)
{
    bool head = false;
    for (int i = 0; i < s->finalists.n; i++) {
        const struct search_finalist *f = &s->finalists.finalist[i];
        if (parent != ALL && f->parent != parent)
            continue;
        if (!head)
            printf("\nfinalists, on all held-out images: rung 0 not fine-tuned, 1 short, 2 in full\n%5s %5s  %-8s %-10s %7s %7s %12s %-10s %10s %7s  %s\n", "", "rung", "state", "parent", "top-1 %", "loss %",
                   "cycles", "source", "bytes", "wall s", "name");
        head = true;
        print_finalist_line(f);
    }
}

static int list(const struct cmd *c, const void *options)
{
    (void)options;
    struct study s;
    json_t *all = NULL;
    int rc = open_study(&s, c->arg[1]);
    if (!rc && c->json) {
        rc = study_json(&all, &s);
        if (!rc)
            rc = cmd_print_json(all);
    } else if (!rc) {
        printf("%5s %5s  %-8s %-8s %7s %7s %12s %-10s %10s %7s %8s %6s\n", "trial", "rung", "state", "agent", "top-1 %", "loss %", "cycles", "source", "bytes", "wall s", "feasible", "pareto");
        for (int i = 0; i < s.trials.n; i++)
            print_trial_line(&s.trials.trial[i], s.pareto[i]);
        print_finalists(&s, ALL);
        rc = cmd_end_output();
    }
    close_study(&s);
    return rc;
}

/* ---- show -------------------------------------------------------------------------- */

static json_t *trial_json(struct study *s, const char *list, int index, int *rc)
{
    json_t *all;
    *rc = study_json(&all, s);
    json_t *one = *rc ? NULL : json_incref(json_array_get(json_object_get(all, list), (size_t)index));
    json_decref(all);
    return one;
}

/* Studies of an earlier build do not say it. */
static void print_board(const char *board)
{
    char text[256];
    if (*board)
        printf("board     %s\n", cmd_clean(text, board));
}

static void print_trial(const struct search_trial *t, bool pareto)
{
    char text[256];
    printf("trial     %d: %s, rung %d%s%s\n", t->id, state_name(t), t->rung, t->feasible && t->state == SEARCH_DONE ? ", feasible" : "", pareto ? ", on the Pareto front" : "");
    printf("agent     %s, seed %llu\n", cmd_clean(text, t->agent), (unsigned long long)t->seed);
    if (t->state == SEARCH_DONE) {
        printf("accuracy  %.2f %% of the %s, %.2f points lost\n", 100 * t->top1, t->rung < SEARCH_CHEAP ? "first quarter of the validation images" : "validation images", 100 * t->loss);
        printf("cycles    %lld (%s)\n", (long long)t->cycles, cmd_clean(text, t->cycles_source));
        print_board(t->board);
        printf("size      %lld bytes\n", (long long)t->size_bytes);
        printf("wall      %.1f s\n", t->wall_s);
    }
    if (*t->error)
        printf("error     %s\n", cmd_clean(text, t->error));
    if (*t->recipe) {
        printf("recipe:\n");
        cmd_print_text(t->recipe);
    }
}

static int show_index(const struct cmd *c, struct study *s, int index)
{
    if (c->json) {
        int rc;
        json_t *j = trial_json(s, "trials", index, &rc);
        return rc ? rc : cmd_print_json(j);
    }
    print_trial(&s->trials.trial[index], s->pareto[index]);
    print_finalists(s, s->trials.trial[index].id);
    return cmd_end_output();
}

static void print_finalist(const struct search_finalist *f)
{
    char text[256], parent[32] = "none, a uniform recipe";
    if (f->parent >= 0)
        snprintf(parent, sizeof parent, "trial %d", f->parent);
    printf("finalist  f%d: %s, rung %d (%s)\nparent    %s\n", f->id, finalist_state(f), f->rung, f->rung == SEARCH_FULL ? "fine-tuned in full" : f->rung == SEARCH_SHORT ? "fine-tuned" : "not fine-tuned", parent);
    if (f->state == SEARCH_DONE) {
        printf("accuracy  %.2f %% of %d held-out images, %.2f points lost\n", 100 * f->top1, f->images, 100 * f->loss);
        printf("cycles    %lld (%s)\n", (long long)f->cycles, cmd_clean(text, f->cycles_source));
        print_board(f->board);
        printf("size      %lld bytes\nwall      %.1f s\n", (long long)f->size_bytes, f->wall_s);
    }
    if (*f->error)
        printf("error     %s\n", cmd_clean(text, f->error));
    printf("recipe:\n");
    cmd_print_text(f->recipe);
}

static int show_finalist(const struct cmd *c, struct study *s, const char *text)
{
    char *end;
    long id = strtol(text + 1, &end, 10);
    for (int i = 0; end != text + 1 && !*end && i < s->finalists.n; i++) {
        if (s->finalists.finalist[i].id != id)
            continue;
        if (!c->json) {
            print_finalist(&s->finalists.finalist[i]);
            return cmd_end_output();
        }
        int rc;
        json_t *j = trial_json(s, "finalists", i, &rc);
        return rc ? rc : cmd_print_json(j);
    }
    return base_hint(base_fail(BASE_INPUT, "%s: there is no finalist '%.20s'", c->arg[1], text), "bitpress study list %s", c->arg[1]);
}

static int find_trial(const struct study *s, const char *path, const char *text, int *index)
{
    char *end;
    long id = strtol(text, &end, 10);
    for (int i = 0; end != text && !*end && i < s->trials.n; i++)
        if (s->trials.trial[i].id == id) {
            *index = i;
            return BASE_OK;
        }
    return base_hint(base_fail(BASE_INPUT, "%s: there is no trial '%.20s'", path, text), "bitpress study list %s", path);
}

/* Counts, notes and how often the test images were looked at. */
static int summary(const struct cmd *c, struct study *s)
{
    static const char *const notes[] = { "chosen", "hypervolume", "float_top1", "config_hash" };
    int done = 0, failed = 0, front = 0, openings = 0;
    for (int i = 0; i < s->trials.n; i++) {
        done += s->trials.trial[i].state == SEARCH_DONE;
        failed += s->trials.trial[i].state == SEARCH_FAILED;
        front += s->pareto[i];
    }
    int best = search_best(&(struct search_objective){ .goal = SEARCH_MAX_TOP1 }, &s->trials);
    int rc = search_study_test_openings(s->file, &openings);
    int tuned = 0;
    for (int i = 0; i < s->finalists.n; i++)
        tuned += s->finalists.finalist[i].state == SEARCH_DONE && s->finalists.finalist[i].rung > SEARCH_CHEAP;
    json_t *j = json_pack("{s:o, s:i, s:i, s:i, s:i, s:o, s:i, s:i, s:i}", "file", cmd_json_text(c->arg[1]), "trials", s->trials.n, "done", done, "failed", failed,
                          "pareto", front, "best", best < 0 ? json_null() : json_integer(s->trials.trial[best].id), "test_openings", openings, "finalists", s->finalists.n, "fine_tuned", tuned);
    if (!c->json && !rc) {
        printf("%s: %d trials, %d done, %d failed, %d on the Pareto front\n", c->arg[1], s->trials.n, done, failed, front);
        if (best >= 0)
            printf("best feasible  trial %d: %.2f %% at %lld cycles\n", s->trials.trial[best].id, 100 * s->trials.trial[best].top1, (long long)s->trials.trial[best].cycles);
        if (s->finalists.n)
            printf("finalists      %d built, %d of them fine-tuned\n", s->finalists.n, tuned);
        printf("test openings  %d\n", openings);
    }
    for (int i = 0; !rc && i < BASE_COUNT(notes); i++) {
        char *value, text[256];
        rc = search_study_get(s->file, notes[i], &value);
        if (!rc && value && !c->json)
            printf("%-14s %s\n", notes[i], cmd_clean(text, value));
        if (!rc)
            json_object_set_new(j, notes[i], cmd_json_text(value));
        base_free(value);
    }
    if (!rc && c->json)
        return cmd_print_json(j);
    json_decref(j);
    return rc ? rc : cmd_end_output();
}

static int show(const struct cmd *c, const void *options)
{
    (void)options;
    struct study s;
    int index = 0, rc = open_study(&s, c->arg[1]);
    if (!rc && c->n_arg == 2)
        rc = summary(c, &s);
    else if (!rc && c->arg[2][0] == 'f')
        rc = show_finalist(c, &s, c->arg[2]);
    else if (!rc) {
        rc = find_trial(&s, c->arg[1], c->arg[2], &index);
        if (!rc)
            rc = show_index(c, &s, index);
    }
    close_study(&s);
    return rc;
}

/* ---- best and export ---------------------------------------------------------------- */

static int best(const struct cmd *c, const void *options)
{
    const struct study_options *o = options;
    struct study s;
    int rc = open_study(&s, c->arg[1]);
    if (!rc) {
        int index = search_best(&(struct search_objective){ .goal = o->fastest ? SEARCH_MIN_CYCLES : SEARCH_MAX_TOP1 }, &s.trials);
        if (index < 0)
            rc = base_hint(base_fail(BASE_TARGET, "%s: no finished trial meets the target", c->arg[1]), "continue with more trials: bitpress compress CONFIG --resume");
        else if (o->recipe) {
            cmd_print_text(s.trials.trial[index].recipe);
            rc = cmd_end_output();
        } else
            rc = show_index(c, &s, index);
    }
    close_study(&s);
    return rc;
}

static int export(const struct cmd *c, const void *options)
{
    const struct study_options *o = options;
    bool json = c->json || !strcmp(o->format, "json");
    if (!json && strcmp(o->format, "csv"))
        return base_fail(BASE_INPUT, "study export: --format is csv or json, not '%.20s'", o->format);
    struct search_study *s = NULL;
    struct base_text t = { 0 };
    int rc = search_study_open(&s, c->arg[1], SEARCH_READ);
    if (!rc)
        rc = json ? search_study_json(s, &t) : search_study_csv(s, &t);
    if (!rc && json)
        base_text_add(&t, "\n");
    if (!rc && t.failed)
        rc = BASE_NOMEM;
    if (!rc && o->out)
        rc = base_file_write(o->out, t.s, t.len);
    else if (!rc) {
        fwrite(t.s, 1, t.len, stdout);
        rc = cmd_end_output();
    }
    base_text_free(&t);
    search_study_close(s);
    return rc;
}

int cmd_study(int argc, char **argv)
{
    static const struct cmd_action actions[] = {
        { "list", "STUDY.db", 1, 1, list },
        { "show", "STUDY.db [TRIAL|fN]", 1, 2, show },
        { "best", "STUDY.db", 1, 1, best },
        { "export", "STUDY.db", 1, 1, export },
    };
    struct study_options o = { .format = "csv" };
    const struct cmd_option options[] = {
        { "fastest", CMD_FLAG, &o.fastest, NULL, "best: the fewest cycles instead of the highest accuracy, of those that meet the target" },
        { "recipe", CMD_FLAG, &o.recipe, NULL, "best: its recipe alone, for 'bitpress apply --recipe'" },
        { "format", CMD_TEXT, &o.format, "csv|json", "export: the format (csv)" },
        { "out", CMD_TEXT, &o.out, "FILE", "export: where to (standard output)" },
    };
    const struct cmd_usage u = { "list|show|best|export STUDY.db",
                                 "list    the trials of a search and, rung by rung, its finalists\n"
                                 "show    the study in brief, or one trial or finalist in full: show STUDY.db TRIAL, show STUDY.db fN\n"
                                 "best    the best trial that meets the target\n"
                                 "export  all trials as CSV or JSON",
                                 options, BASE_COUNT(options), 1, 3 };
    return cmd_act(&u, actions, BASE_COUNT(actions), &o, argc, argv);
}
