/* study_db: SQLite as the study's two files use it. */
#ifndef SEARCH_STUDY_DB_H
#define SEARCH_STUDY_DB_H

#include <sqlite3.h>

#include "search/search.h"

struct search_study {
    sqlite3 *db;
    char *path;
    int version;                   /* of the file; 1 had no finalists, 2 no boards */
    int lock;                      /* descriptor of PATH.lock, -1 when only reading */
};

#define DAMAGED_HINT "move the file away and search anew"

/* SQLite's errors in our words. */
int search_db_fail(const struct search_study *s, int code);
/* Binds by letters: i = int64_t, d = double, t = text (NULL = SQL NULL). */
int search_db_prepare(const struct search_study *s, sqlite3_stmt **out, const char *sql, const char *types, ...);
/* Ends a statement that gives no rows. */
int search_db_run(const struct search_study *s, sqlite3_stmt *st);
/* A column's text in the arena, "" for SQL's NULL; NULL: no memory. */
const char *search_db_text(struct base_arena *a, sqlite3_stmt *st, int i);
/* Whether what a finished row measured can be: numbers, in their ranges. The columns follow one another from `first`: top1, loss, cycles,
 * its source, bytes, seconds. To be asked before they are read: SQLite forgets what they were. */
bool search_db_measured(sqlite3_stmt *st, int first);
/* UTC. */
void search_db_now(char out[32]);

#endif
