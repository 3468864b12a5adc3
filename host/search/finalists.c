/* finalists: the study's table of what was built again for the verdict. Beside `trial`, whose rows an agent counts. */
#include "search/study_db.h"

#include <string.h>

int search_study_finalist_begin(struct search_study *s, struct search_finalist *f)
{
    char now[32];
    search_db_now(now);
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, "INSERT INTO finalist(parent,name,recipe,rung,state,started) VALUES(NULLIF(?,-1),?,?,?,'running',?)",
                               "ittit", (int64_t)f->parent, f->name, f->recipe, (int64_t)f->rung, now);
    if (!rc)
        rc = search_db_run(s, st);
    if (!rc)
        f->id = (int)sqlite3_last_insert_rowid(s->db);
    return rc;
}

int search_study_finalist_finish(struct search_study *s, const struct search_finalist *f)
{
    char now[32];
    search_db_now(now);
    sqlite3_stmt *st;
    int rc = f->state == SEARCH_DONE
        ? search_db_prepare(s, &st, "UPDATE finalist SET state='done',images=?,top1=?,loss=?,cycles=?,cycles_source=?,board=?,size_bytes=?,wall_s=?,ended=? WHERE id=?",
                            "iddittidti", (int64_t)f->images, f->top1, f->loss, f->cycles, f->cycles_source, f->board, f->size_bytes, f->wall_s, now, (int64_t)f->id)
        : search_db_prepare(s, &st, "UPDATE finalist SET state='failed',error=?,wall_s=?,ended=? WHERE id=?", "tdti", f->error, f->wall_s, now, (int64_t)f->id);
    return rc ? rc : search_db_run(s, st);
}

int search_study_finalist_cycles(struct search_study *s, int id, int64_t cycles, const char *cycles_source)
{
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, "UPDATE finalist SET cycles=?,cycles_source=? WHERE id=?", "iti", cycles, cycles_source, (int64_t)id);
    return rc ? rc : search_db_run(s, st);
}

static int read_finalist(const struct search_study *s, struct base_arena *a, sqlite3_stmt *st, struct search_finalist *f)
{
    bool measured = search_db_measured(st, 7);
    f->id = sqlite3_column_int(st, 0);
    f->parent = sqlite3_column_int(st, 1);
    f->name = search_db_text(a, st, 2);
    f->recipe = search_db_text(a, st, 3);
    f->rung = sqlite3_column_int(st, 4);
    const char *state = search_db_text(a, st, 5);
    f->images = sqlite3_column_int(st, 6);
    f->top1 = sqlite3_column_double(st, 7);
    f->loss = sqlite3_column_double(st, 8);
    f->cycles = sqlite3_column_int64(st, 9);
    f->cycles_source = search_db_text(a, st, 10);
    f->size_bytes = sqlite3_column_int64(st, 11);
    f->wall_s = sqlite3_column_double(st, 12);
    f->started = search_db_text(a, st, 13);
    f->ended = search_db_text(a, st, 14);
    f->error = search_db_text(a, st, 15);
    f->board = search_db_text(a, st, 16);
    if (!f->name || !f->recipe || !state || !f->cycles_source || !f->board || !f->started || !f->ended || !f->error)
        return BASE_NOMEM;
    f->state = !strcmp(state, "done") ? SEARCH_DONE : !strcmp(state, "failed") ? SEARCH_FAILED : SEARCH_RUNNING;
    if (f->state == SEARCH_DONE && !measured)
        return base_hint(base_fail(BASE_INPUT, "%s: finalist f%d: its numbers are damaged", s->path, f->id), DAMAGED_HINT);
    return BASE_OK;
}

#define FINALISTS(board) "SELECT id,ifnull(parent,-1),name,recipe,rung,state,images,top1,loss,cycles,cycles_source,size_bytes,wall_s,started,ended,error," board " FROM finalist ORDER BY id"

int search_study_finalists(struct search_study *s, struct search_finalists *out)
{
    *out = (struct search_finalists){0};
    if (s->version < 2)
        return BASE_OK;
    sqlite3_stmt *st;
    int capacity = 0, code = SQLITE_DONE;
    int rc = search_db_prepare(s, &st, s->version < 3 ? FINALISTS("NULL") : FINALISTS("board"), "");
    if (rc)
        return rc;
    rc = (out->arena = base_arena_new()) ? BASE_OK : BASE_NOMEM;
    while (!rc && (code = sqlite3_step(st)) == SQLITE_ROW) {
        if (out->n == capacity) {
            capacity = capacity ? 2 * capacity : 32;
            struct search_finalist *more = BASE_ARENA_NEW_N(out->arena, struct search_finalist, capacity);
            if (!more) {
                rc = BASE_NOMEM;
                break;
            }
            if (out->n)
                memcpy(more, out->finalist, sizeof *more * (size_t)out->n);
            out->finalist = more;
        }
        rc = read_finalist(s, out->arena, st, &out->finalist[out->n++]);
    }
    if (!rc && code != SQLITE_DONE)
        rc = search_db_fail(s, code);
    sqlite3_finalize(st);
    if (rc)
        search_finalists_free(out);
    return rc;
}

void search_finalists_free(struct search_finalists *f)
{
    base_arena_free(f->arena);
    *f = (struct search_finalists){0};
}
