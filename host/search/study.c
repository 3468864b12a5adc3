/* study: the record of a search in SQLite (write-ahead log).
 *
 * A trial's row is there as `running` before its evaluation and gets its outcome in one
 * transaction after it; a killed process therefore loses the trial in flight and nothing else.
 * Who writes holds PATH.lock, which the kernel lets go of when the process dies. */
#include "search/search_internal.h"
#include "search/study_db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x42507374, VERSION = 3, BUSY_MS = 5000 };

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS trial(id INTEGER PRIMARY KEY, genes TEXT NOT NULL, recipe TEXT, seed INTEGER NOT NULL,"
    " agent TEXT NOT NULL, state TEXT NOT NULL CHECK(state IN ('running','done','failed')),"
    " rung INTEGER NOT NULL DEFAULT 0, feasible INTEGER, top1 REAL, loss REAL, cycles INTEGER, cycles_source TEXT,"
    " size_bytes INTEGER, wall_s REAL, started TEXT NOT NULL, ended TEXT, error TEXT, board TEXT);"
    "CREATE TABLE IF NOT EXISTS test_opening(id INTEGER PRIMARY KEY, what TEXT NOT NULL, \"when\" TEXT NOT NULL,"
    " result TEXT);"
    "CREATE TABLE IF NOT EXISTS finalist(id INTEGER PRIMARY KEY, parent INTEGER, name TEXT NOT NULL, recipe TEXT NOT NULL,"
    " rung INTEGER NOT NULL, state TEXT NOT NULL CHECK(state IN ('running','done','failed')), images INTEGER, top1 REAL, loss REAL,"
    " cycles INTEGER, cycles_source TEXT, size_bytes INTEGER, wall_s REAL, started TEXT NOT NULL, ended TEXT, error TEXT, board TEXT);"
    "PRAGMA application_id=1112568692; PRAGMA user_version=3;"
    "COMMIT;";

/* ---- SQLite's errors in our words ----------------------------------------- */
int search_db_fail(const struct search_study *s, int code)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return base_fail(BASE_NOMEM, "%s: out of memory", s->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return base_fail(BASE_IO, "%s: another process is writing to this study; try again when it is done", s->path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return base_hint(base_fail(BASE_INPUT, "%s: not a study, or damaged (%s)", s->path, sqlite3_errstr(code)), DAMAGED_HINT);
    case SQLITE_ERROR:             /* a table or a column is not there */
        return base_hint(base_fail(BASE_INPUT, "%s: damaged: %s", s->path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code)), DAMAGED_HINT);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return base_hint(base_fail(BASE_IO, "%s: %s", s->path, sqlite3_errstr(code)), "one must be able to write to the file and its folder");
    default:
        return base_fail(BASE_IO, "%s: %s", s->path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
    }
}

static int db_exec(const struct search_study *s, const char *sql)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return code ? search_db_fail(s, code) : BASE_OK;
}

/* Binds by letters: i = int64_t, d = double, t = text (NULL = SQL NULL). */
int search_db_prepare(const struct search_study *s, sqlite3_stmt **out, const char *sql, const char *types, ...)
{
    int code = sqlite3_prepare_v2(s->db, sql, -1, out, NULL);
    va_list ap;
    va_start(ap, types);
    for (int i = 0; types[i] && !code; i++) {
        if (types[i] == 'i')
            code = sqlite3_bind_int64(*out, i + 1, va_arg(ap, int64_t));
        else if (types[i] == 'd')
            code = sqlite3_bind_double(*out, i + 1, va_arg(ap, double));
        else
            code = sqlite3_bind_text(*out, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
    }
    va_end(ap);
    if (!code)
        return BASE_OK;
    int rc = search_db_fail(s, code);
    sqlite3_finalize(*out);
    *out = NULL;
    return rc;
}

/* Ends a statement that gives no rows. */
int search_db_run(const struct search_study *s, sqlite3_stmt *st)
{
    int code = sqlite3_step(st), rc = code == SQLITE_DONE || code == SQLITE_ROW ? BASE_OK : search_db_fail(s, code);
    sqlite3_finalize(st);
    return rc;
}

static int db_pragma(const struct search_study *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, sql, "");
    if (rc)
        return rc;
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    else
        rc = search_db_fail(s, code);
    sqlite3_finalize(st);
    return rc;
}

/* ---- opening -------------------------------------------------------------- */
static int take_lock(struct search_study *s)
{
    char *path = base_format("%s.lock", s->path);
    if (!path)
        return BASE_NOMEM;
    int rc = BASE_OK;
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->lock < 0)
        rc = base_fail(BASE_IO, "%s: cannot open: %s", path, strerror(errno));
    else if (flock(s->lock, LOCK_EX | LOCK_NB))
        rc = base_hint(base_fail(BASE_IO, "%s: another process is searching with this study", s->path),
                       "wait for it, or give this search another output folder");
    base_free(path);
    return rc;
}

static int check_identity(struct search_study *s, enum search_open how)
{
    int64_t id = 0, version = 0, tables = 0;
    int rc = db_pragma(s, "PRAGMA application_id", &id);
    if (!rc)
        rc = db_pragma(s, "PRAGMA user_version", &version);
    if (!rc)
        rc = db_pragma(s, "SELECT count(*) FROM sqlite_master", &tables);
    if (rc)
        return rc;
    /* Without tables: its maker was killed before it wrote them. */
    if (id != APPLICATION_ID && (tables || how == SEARCH_READ))
        return base_hint(base_fail(BASE_INPUT, "%s: this database is not a study of bitpress", s->path), "the study of a run is study.db in its folder");
    if (id == APPLICATION_ID && (version < 1 || version > VERSION))
        return base_fail(BASE_INPUT, "%s: study format %lld; this program reads 1 to %d", s->path, (long long)version, VERSION);
    s->version = id == APPLICATION_ID ? (int)version : VERSION;
    return BASE_OK;
}

/* Looks at every page: damage is found here, not in the middle of a search. */
static int check_pages(struct search_study *s)
{
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, "PRAGMA quick_check(1)", "");
    if (rc)
        return rc;
    int code = sqlite3_step(st);
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    if (!text || strcmp(text, "ok"))
        rc = search_db_fail(s, code == SQLITE_ROW ? SQLITE_CORRUPT : code);
    sqlite3_finalize(st);
    return rc;
}

static int check_empty(struct search_study *s)
{
    int64_t n = 0;
    int rc = db_pragma(s, "SELECT count(*) FROM trial", &n);
    if (!rc && n)
        rc = base_hint(base_fail(BASE_INPUT, "%s: has %lld trials already", s->path, (long long)n),
                       "go on with --resume, or remove the file");
    return rc;
}

/* To read a log SQLite needs to write beside it. Where it may not (a folder of someone else's, a medium that is only read) a
 * study without a log is read as a file that does not change; one with a log is refused. */
static int open_settled(struct search_study *s)
{
    struct stat st;
    struct base_text uri = { 0 };
    int code = sqlite3_exec(s->db, "SELECT 1 FROM sqlite_master", NULL, NULL, NULL), primary = code & 0xff;
    char *wal = primary == SQLITE_READONLY || primary == SQLITE_CANTOPEN ? base_format("%s-wal", s->path) : NULL;
    if (!wal || (!stat(wal, &st) && st.st_size)) {
        base_free(wal);
        return code;
    }
    base_text_add(&uri, "file:");
    for (const char *p = s->path; *p; p++)
        base_text_add(&uri, strchr("%?#", *p) ? "%%%02x" : "%c", (unsigned char)*p);
    base_text_add(&uri, "?immutable=1");
    sqlite3_close(s->db);
    s->db = NULL;
    code = uri.failed ? SQLITE_NOMEM : sqlite3_open_v2(uri.s, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    base_text_free(&uri);
    base_free(wal);
    return code;
}

/* Tables of an earlier format get what they lack, before the schema makes those that are not there. */
static int complete(struct search_study *s)
{
    int had = s->version, rc = db_exec(s, "BEGIN IMMEDIATE");
    if (!rc && had < 3)
        rc = db_exec(s, "ALTER TABLE trial ADD COLUMN board TEXT");
    if (!rc && had == 2)
        rc = db_exec(s, "ALTER TABLE finalist ADD COLUMN board TEXT");
    return rc ? rc : db_exec(s, schema);
}

static int open_db(struct search_study *s, enum search_open how)
{
    struct stat st;
    bool there = !stat(s->path, &st);
    if (how != SEARCH_CREATE && !there)
        return base_fail(BASE_INPUT, "%s: no such study", s->path);
    if (there && !S_ISREG(st.st_mode))
        return base_hint(base_fail(BASE_INPUT, "%s: not a file", s->path), "the study of a run is study.db in its folder");
    int rc = how == SEARCH_READ ? BASE_OK : take_lock(s);
    if (rc)
        return rc;
    int flags = how == SEARCH_CREATE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
              : how == SEARCH_RESUME ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    int code = sqlite3_open_v2(s->path, &s->db, flags, NULL);
    if (!code && how == SEARCH_READ)
        code = open_settled(s);
    if (code)
        return search_db_fail(s, code);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    rc = check_identity(s, how);
    if (!rc)
        rc = check_pages(s);
    if (!rc && how != SEARCH_READ)
        rc = db_exec(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
    if (!rc && how != SEARCH_READ)
        rc = complete(s);
    if (!rc && how == SEARCH_CREATE)
        rc = check_empty(s);
    /* without a trial nothing depends on what an earlier, interrupted run noted */
    if (!rc && how == SEARCH_CREATE)
        rc = db_exec(s, "DELETE FROM meta; DELETE FROM finalist");
    if (!rc && how != SEARCH_READ) {
        s->version = VERSION;          /* the schema has just been completed */
        rc = db_exec(s, "DELETE FROM trial WHERE state='running'; DELETE FROM finalist WHERE state='running'");
    }
    return rc;
}

int search_study_open(struct search_study **out, const char *path, enum search_open how)
{
    *out = NULL;
    struct search_study *s = BASE_NEW(struct search_study);
    if (!s)
        return BASE_NOMEM;
    s->lock = -1;
    s->path = base_strdup(path);
    int rc = s->path ? open_db(s, how) : BASE_NOMEM;
    if (rc)
        search_study_close(s);
    else
        *out = s;
    return rc;
}

void search_study_close(struct search_study *s)
{
    if (!s)
        return;
    sqlite3_close(s->db);
    if (s->lock >= 0)
        close(s->lock);
    base_free(s->path);
    base_free(s);
}

const char *search_study_path(const struct search_study *s)
{
    return s->path;
}

/* ---- notes ---------------------------------------------------------------- */
int search_study_set(struct search_study *s, const char *key, const char *value)
{
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, "INSERT OR REPLACE INTO meta VALUES(?,?)", "tt", key, value);
    return rc ? rc : search_db_run(s, st);
}

int search_study_get(struct search_study *s, const char *key, char **out)
{
    *out = NULL;
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, "SELECT value FROM meta WHERE key=?", "t", key);
    if (rc)
        return rc;
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW) {
        *out = base_strdup((const char *)sqlite3_column_text(st, 0));
        rc = *out ? BASE_OK : BASE_NOMEM;
    } else if (code != SQLITE_DONE) {
        rc = search_db_fail(s, code);
    }
    sqlite3_finalize(st);
    return rc;
}

static int set_config(struct search_study *s, const struct search_setting *setting, int n, const char *hash)
{
    int rc = db_exec(s, "BEGIN IMMEDIATE");
    if (rc)
        return rc;
    rc = search_study_set(s, "config_hash", hash);
    for (int i = 0; !rc && i < n; i++) {
        char *key = base_format("config.%s", setting[i].key);
        rc = key ? search_study_set(s, key, setting[i].value) : BASE_NOMEM;
        base_free(key);
    }
    if (!rc)
        return db_exec(s, "COMMIT");
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* Names every key whose value is not the study's. */
static int config_differs(struct search_study *s, const struct search_setting *setting, int n)
{
    struct base_text diff = {0};
    int rc = BASE_OK;
    for (int i = 0; !rc && i < n; i++) {
        char *key = base_format("config.%s", setting[i].key), *was = NULL;
        rc = key ? search_study_get(s, key, &was) : BASE_NOMEM;
        if (!rc && (!was || strcmp(was, setting[i].value)))
            base_text_add(&diff, "%s%s: %s (was %s)", diff.len ? ", " : "", setting[i].key, setting[i].value,
                          was ? was : "not set");
        base_free(was);
        base_free(key);
    }
    if (!rc)
        rc = base_hint(base_fail(BASE_INPUT, "%s: made with another configuration: %s", s->path,
                                 diff.len ? diff.s : "it has settings that are gone now"),
                       "restore the configuration, or search anew in another output folder");
    base_text_free(&diff);
    return rc;
}

int search_study_bind(struct search_study *s, const struct search_setting *setting, int n)
{
    uint64_t h = 0;
    for (int i = 0; i < n; i++) {
        h = base_hash64(h, setting[i].key, strlen(setting[i].key) + 1);
        h = base_hash64(h, setting[i].value, strlen(setting[i].value) + 1);
    }
    char hash[17], *was;
    snprintf(hash, sizeof hash, "%016" PRIx64, h);
    int rc = search_study_get(s, "config_hash", &was);
    if (rc)
        return rc;
    if (!was)
        rc = set_config(s, setting, n, hash);
    else if (strcmp(was, hash))
        rc = config_differs(s, setting, n);
    base_free(was);
    return rc;
}

/* ---- the test set --------------------------------------------------------- */
void search_db_now(char out[32])
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

int search_study_test_open(struct search_study *s, const char *what, int64_t *id)
{
    char now[32];
    search_db_now(now);
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, "INSERT INTO test_opening(what,\"when\") VALUES(?,?)", "tt", what, now);
    if (!rc)
        rc = search_db_run(s, st);
    if (!rc)
        *id = sqlite3_last_insert_rowid(s->db);
    return rc;
}

int search_study_test_result(struct search_study *s, int64_t id, const char *result)
{
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st, "UPDATE test_opening SET result=? WHERE id=?", "ti", result, id);
    return rc ? rc : search_db_run(s, st);
}

int search_study_test_openings(struct search_study *s, int *count)
{
    int64_t n = 0;
    int rc = db_pragma(s, "SELECT count(*) FROM test_opening", &n);
    *count = (int)n;
    return rc;
}

/* ---- trials: writing ------------------------------------------------------ */
int search_study_begin(struct search_study *s, const struct search_trial *t)
{
    struct base_text genes = {0};
    for (int i = 0; i < t->n_genes; i++)
        base_text_add(&genes, "%s%d", i ? " " : "", t->genes[i]);
    if (genes.failed) {
        base_text_free(&genes);
        return BASE_NOMEM;
    }
    char now[32];
    search_db_now(now);
    sqlite3_stmt *st;
    int rc = search_db_prepare(s, &st,
                        "INSERT INTO trial(id,genes,seed,agent,state,rung,started) VALUES(?,?,?,?,'running',?,?)",
                        "ititit", (int64_t)t->id, genes.s, (int64_t)t->seed, t->agent, (int64_t)t->rung, now);
    base_text_free(&genes);
    return rc ? rc : search_db_run(s, st);
}

int search_study_finish(struct search_study *s, const struct search_trial *t)
{
    char now[32];
    search_db_now(now);
    sqlite3_stmt *st;
    bool done = t->state == SEARCH_DONE;
    int rc = done ? search_db_prepare(s, &st,
                               "UPDATE trial SET state='done',recipe=?,rung=?,feasible=?,top1=?,loss=?,cycles=?,"
                               "cycles_source=?,board=?,size_bytes=?,wall_s=?,ended=? WHERE id=?",
                               "tiiddittidti", t->recipe, (int64_t)t->rung, (int64_t)t->feasible, t->top1, t->loss, t->cycles,
                               t->cycles_source, t->board, t->size_bytes, t->wall_s, now, (int64_t)t->id)
                  : search_db_prepare(s, &st,
                               "UPDATE trial SET state='failed',recipe=?,feasible=0,error=?,wall_s=?,ended=? WHERE id=?",
                               "ttdti", t->recipe, t->error, t->wall_s, now, (int64_t)t->id);
    return rc ? rc : search_db_run(s, st);
}

/* Best effort, and leaves the error message alone: a resume drops the row anyway. */
int search_study_forget(struct search_study *s, int id)
{
    char sql[64];
    snprintf(sql, sizeof sql, "DELETE FROM trial WHERE id=%d AND state='running'", id);
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? BASE_IO : BASE_OK;
}

/* ---- trials: reading ------------------------------------------------------ */
const char *search_db_text(struct base_arena *a, sqlite3_stmt *st, int i)
{
    const char *text = (const char *)sqlite3_column_text(st, i);
    return text ? base_arena_strdup(a, text) : "";
}

static bool is_number(sqlite3_stmt *st, int i, double lo, double hi)
{
    int type = sqlite3_column_type(st, i);
    double x = sqlite3_column_double(st, i);
    return (type == SQLITE_INTEGER || type == SQLITE_FLOAT) && x >= lo && x <= hi;
}

bool search_db_measured(sqlite3_stmt *st, int first)
{
    return is_number(st, first, 0, 1) && is_number(st, first + 1, -1, 1) && is_number(st, first + 2, 1, 1e18) && is_number(st, first + 4, 0, 1e18) && is_number(st, first + 5, 0, 1e9);
}

/* "4 3 8" -> numbers; BASE_INPUT for anything else. */
static int read_genes(const struct search_study *s, struct base_arena *a, struct search_trial *t, const char *text)
{
    int n = 0;
    int *genes = BASE_ARENA_NEW_N(a, int, strlen(text) / 2 + 1);
    if (!genes)
        return BASE_NOMEM;
    for (const char *p = text; *p;) {
        char *end;
        long v = strtol(p, &end, 10);
        if (end == p || v < -1000 || v > 1000 || (*end && *end != ' '))
            return base_fail(BASE_INPUT, "%s: trial %d: the genes '%.40s' are damaged", s->path, t->id, text);
        genes[n++] = (int)v;
        p = *end ? end + 1 : end;
    }
    t->genes = genes;
    t->n_genes = n;
    return BASE_OK;
}

#define TRIALS(board) "SELECT id,genes,recipe,seed,agent,state,rung,feasible,top1,loss,cycles,cycles_source,size_bytes,wall_s,started,ended,error," board " FROM trial ORDER BY id"

static int read_trial(const struct search_study *s, struct base_arena *a, sqlite3_stmt *st, struct search_trial *t)
{
    bool measured = search_db_measured(st, 8);
    t->id = sqlite3_column_int(st, 0);
    const char *genes = search_db_text(a, st, 1);
    t->recipe = search_db_text(a, st, 2);
    t->seed = (uint64_t)sqlite3_column_int64(st, 3);
    t->agent = search_db_text(a, st, 4);
    const char *state = search_db_text(a, st, 5);
    t->rung = sqlite3_column_int(st, 6);
    t->feasible = sqlite3_column_int(st, 7);
    t->top1 = sqlite3_column_double(st, 8);
    t->loss = sqlite3_column_double(st, 9);
    t->cycles = sqlite3_column_int64(st, 10);
    t->cycles_source = search_db_text(a, st, 11);
    t->size_bytes = sqlite3_column_int64(st, 12);
    t->wall_s = sqlite3_column_double(st, 13);
    t->started = search_db_text(a, st, 14);
    t->ended = search_db_text(a, st, 15);
    t->error = search_db_text(a, st, 16);
    t->board = search_db_text(a, st, 17);
    if (!genes || !t->recipe || !t->agent || !state || !t->cycles_source || !t->board || !t->started || !t->ended || !t->error)
        return BASE_NOMEM;
    t->state = !strcmp(state, "done") ? SEARCH_DONE : !strcmp(state, "failed") ? SEARCH_FAILED : SEARCH_RUNNING;
    if (t->state == SEARCH_DONE && !measured)
        return base_hint(base_fail(BASE_INPUT, "%s: trial %d: its numbers are damaged", s->path, t->id), DAMAGED_HINT);
    return read_genes(s, a, t, genes);
}

int search_study_trials(struct search_study *s, struct search_trials *out)
{
    *out = (struct search_trials){0};
    int64_t n = 0;
    int rc = db_exec(s, "BEGIN");
    if (rc)
        return rc;
    rc = db_pragma(s, "SELECT count(*) FROM trial", &n);
    out->arena = base_arena_new();
    out->trial = out->arena ? BASE_ARENA_NEW_N(out->arena, struct search_trial, n ? n : 1) : NULL;
    if (!rc && !out->trial)
        rc = BASE_NOMEM;
    sqlite3_stmt *st = NULL;
    if (!rc)
        rc = search_db_prepare(s, &st, s->version < 3 ? TRIALS("NULL") : TRIALS("board"), "");
    int code = SQLITE_ROW;
    while (!rc && out->n < n && (code = sqlite3_step(st)) == SQLITE_ROW) {
        rc = read_trial(s, out->arena, st, &out->trial[out->n]);
        out->n++;
    }
    if (!rc && code != SQLITE_ROW)
        rc = search_db_fail(s, code);
    sqlite3_finalize(st);
    sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    if (rc)
        search_trials_free(out);
    return rc;
}

void search_trials_free(struct search_trials *t)
{
    base_arena_free(t->arena);
    *t = (struct search_trials){0};
}
