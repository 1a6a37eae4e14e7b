/*
 * sqlite: queries to an SQLite database; sqlite_table(5). One connection for each table and
 * process, used by one thread at a time (table.c sees to that).
 */
#include <sqlite3.h>

#include "table/dbconf.h"

enum { QUERY_MAX = 64 * 1024, RESULT_MAX = 1024 * 1024, BUSY_MS = 5000 };

struct handle {
    sqlite3 *db;
    struct dbquery *query;
};

static void sqlite_close(void *state)
{
    struct handle *h = state;

    sqlite3_close(h->db);
    dbquery_free(h->query);
}

/* The obsolete form of a query. */
static struct str legacy_query(struct dbconf *c, struct arena *a)
{
    struct str field = dbconf_text(c, "select_field", NULL), table = dbconf_text(c, "table", NULL),
               where = dbconf_text(c, "where_field", NULL),
               more = dbconf_text(c, "additional_conditions", "");

    if (field.n == 0 || table.n == 0 || where.n == 0)
        return STR_NONE;
    return arena_printf(a, "SELECT " STR_FMT " FROM " STR_FMT " WHERE " STR_FMT " = '%%s' " STR_FMT,
                        STR_ARG(field), STR_ARG(table), STR_ARG(where), STR_ARG(more));
}

/* SQLite takes "text" for the name of a column, and no quoting of ours helps there. */
static void warn_double_quotes(const struct driver_open *o, struct str query)
{
    bool inside = false;

    for (size_t i = 0; i + 1 < query.n; i++) {
        if (query.p[i] == '"')
            inside = !inside;
        if (inside && query.p[i] == '%' && query.p[i + 1] != '%' && o->env->log) {
            log_warning(o->env->log,
                        STR_FMT ": %%%c inside double quotes in the query; use single quotes",
                        STR_ARG(o->name), query.p[i + 1]);
            return;
        }
    }
}

static enum rc open_database(struct handle *h, struct dbconf *c, struct driver_open *o,
                             struct why *why)
{
    struct str path = dbconf_text(c, "dbpath", NULL), query = dbconf_text(c, "query", NULL);

    if (path.n == 0)
        return FAIL(why, RC_CONFIG, STR_FMT ": dbpath is not set", STR_ARG(o->name));
    if (query.n == 0)
        query = legacy_query(c, o->arena);
    if (query.n == 0)
        return FAIL(why, RC_CONFIG, STR_FMT ": query is not set", STR_ARG(o->name));
    warn_double_quotes(o, query);
    TRY(dbquery_new(c, o, query, &h->query, why));
    dbconf_warn_unused(c);
    if (sqlite3_open_v2(arena_text(o->arena, path), &h->db,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return FAIL(why, RC_TEMP, "open database " STR_FMT ": %s", STR_ARG(path),
                    h->db ? sqlite3_errmsg(h->db) : "out of memory");
    sqlite3_busy_timeout(h->db, BUSY_MS);
    return RC_OK;
}

static enum rc sqlite_open(struct driver_open *o, struct why *why)
{
    struct handle *h = arena_new_of(o->arena, struct handle);
    struct dbconf *c;
    enum rc rc;

    TRY(dbconf_open(o, &c, why));
    rc = open_database(h, c, o, why);
    if (rc != RC_OK) {
        sqlite_close(h);
        return rc;
    }
    o->state = h;
    return RC_OK;
}

static enum rc quote(void *context, struct str text, struct buf *out, struct why *why)
{
    (void)context;
    if (text.n && memchr(text.p, 0, text.n))
        return FAIL(why, RC_TEMP, "NUL byte in key");
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\'')
            buf_addc(out, '\'');
        buf_addc(out, text.p[i]);
    }
    return RC_OK;
}

static enum rc take_rows(struct handle *h, sqlite3_stmt *statement, struct str key,
                         struct buf *result, struct why *why)
{
    long n = 0;
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *text = (const char *)sqlite3_column_text(statement, i);
            size_t bytes = (size_t)sqlite3_column_bytes(statement, i);
            if (text)
                TRY(dbquery_add(h->query, key, (struct str){text, bytes}, result, &n, why));
        }
    if (code != SQLITE_DONE)
        return FAIL(why, RC_TEMP, "query: %s", sqlite3_errmsg(h->db));
    return n ? RC_OK : RC_NONE;
}

static enum rc sqlite_get(void *state, struct str key, struct arena *a, struct str *value,
                          struct why *why)
{
    struct handle *h = state;
    AUTO_BUF query = {0}, result = {0};
    sqlite3_stmt *statement = NULL;
    enum rc rc;

    buf_init(&query, QUERY_MAX);
    buf_init(&result, RESULT_MAX);
    TRY(dbquery_make(h->query, key, quote, NULL, &query, why));
    if (sqlite3_prepare_v2(h->db, buf_text(&query), (int)query.n, &statement, NULL) != SQLITE_OK)
        return FAIL(why, RC_TEMP, "bad query \"" STR_FMT "\": %s", STR_ARG(buf_str(&query)),
                    sqlite3_errmsg(h->db));
    rc = take_rows(h, statement, key, &result, why);
    sqlite3_finalize(statement);
    if (rc == RC_OK)
        *value = arena_copy(a, buf_str(&result));
    return rc;
}

MODULE_EXPORT extern const struct table_driver table_driver_sqlite;
const struct table_driver table_driver_sqlite = {
    .type = "sqlite",
    .flags = DRIVER_FOLDS,
    .open = sqlite_open,
    .get = sqlite_get,
    .close = sqlite_close,
};
