/*
 * memcache: answers of a table that memcached keeps, with or without a table behind it;
 * memcache_table(5).
 */
#include <stdint.h>
#include <time.h>

#include "table/dbconf.h"
#include "table/peers.h"

enum { KEY_MAX = 250 };

struct memcache {
    struct peers *peers;
    struct table *backup; /* NULL: none */
    struct dbquery *key;  /* key_format, domain */
    long flags, ttl, max_try, retry_pause, line_max, data_max;
};

/* ---- open and close ---- */

static void memcache_close(void *state)
{
    struct memcache *m = state;

    table_close(m->backup);
    dbquery_free(m->key);
}

static enum rc read_numbers(struct memcache *m, struct dbconf *c, long *timeout, struct why *why)
{
    TRY(dbconf_number(c, "flags", 0, 0, 0xffff, &m->flags, why));
    TRY(dbconf_number(c, "ttl", 3600, 0, INT32_MAX, &m->ttl, why));
    TRY(dbconf_number(c, "max_try", 2, 1, 100, &m->max_try, why));
    TRY(dbconf_number(c, "retry_pause", 1, 0, 100, &m->retry_pause, why));
    TRY(dbconf_number(c, "line_size_limit", 1024, 1, 1024 * 1024, &m->line_max, why));
    TRY(dbconf_number(c, "data_size_limit", 10240, 1, 64 * 1024 * 1024, &m->data_max, why));
    return dbconf_number(c, "timeout", 2, 1, 100, timeout, why);
}

static enum rc configure(struct memcache *m, struct dbconf *c, struct driver_open *o,
                         struct why *why)
{
    struct str backup = dbconf_text(c, "backup", "");
    long timeout;

    if (dbconf_text(c, "key_digest", "").n)
        return FAIL(why, RC_CONFIG, STR_FMT ": key_digest is not supported", STR_ARG(o->name));
    TRY(read_numbers(m, c, &timeout, why));
    TRY(peers_new(o->arena, dbconf_text(c, "memcache", "inet:localhost:11211"), timeout * 1000,
                  &m->peers, why));
    TRY(dbquery_new(c, o, dbconf_text(c, "key_format", "%s"), &m->key, why));
    if (backup.n)
        TRY(table_open(backup, o->flags | TABLE_STRICT, o->env, &m->backup, why));
    dbconf_warn_unused(c);
    return RC_OK;
}

static enum rc memcache_open(struct driver_open *o, struct why *why)
{
    struct memcache *m = arena_new_of(o->arena, struct memcache);
    struct dbconf *c;
    enum rc rc;

    TRY(dbconf_open(o, &c, why));
    rc = configure(m, c, o, why);
    if (rc != RC_OK) {
        memcache_close(m);
        return rc;
    }
    o->state = m;
    return RC_OK;
}

/* ---- protocol ---- */

struct command {
    const struct memcache *m;
    struct str key;   /* as the server sees it */
    struct str value; /* to set, or found */
    struct arena *a;
};

static enum rc read_line(const struct memcache *m, struct stream *s, struct str *line,
                         struct why *why)
{
    bool crlf;

    return stream_line(s, (size_t)m->line_max, line, &crlf, why);
}

static enum rc read_value(struct command *c, struct stream *s, struct str line, struct why *why)
{
    struct str word, bytes = STR_NONE, end;
    long n;
    char *p;

    while (str_token(&line, " ", &word)) /* VALUE key flags bytes */
        bytes = word;
    if (!str_to_long(bytes, 0, c->m->data_max, &n))
        return FAIL(why, RC_PERM, "malformed or too large value");
    p = arena_alloc(c->a, (size_t)n + 3);
    TRY(stream_read(s, p, (size_t)n + 2, why));
    TRY(read_line(c->m, s, &end, why));
    if (memcmp(p + n, "\r\n", 2) != 0 || !str_eq(end, STR("END")))
        return FAIL(why, RC_PERM, "malformed value");
    c->value = (struct str){p, (size_t)n};
    return RC_OK;
}

static enum rc get(void *context, struct stream *s, struct why *why)
{
    struct command *c = context;
    struct str line;

    stream_putf(s, "get " STR_FMT "\r\n", STR_ARG(c->key));
    TRY(stream_flush(s, why) == RC_OK ? RC_OK : RC_EOF);
    TRY(read_line(c->m, s, &line, why));
    if (str_eq(line, STR("END")))
        return RC_NONE;
    if (str_has_prefix(line, STR("VALUE ")))
        return read_value(c, s, line, why);
    return FAIL(why, RC_PERM, "unexpected reply: " STR_FMT, STR_ARG(line));
}

static enum rc set(void *context, struct stream *s, struct why *why)
{
    struct command *c = context;
    struct str line;

    stream_putf(s, "set " STR_FMT " %ld %ld %zu\r\n", STR_ARG(c->key), c->m->flags, c->m->ttl,
                c->value.n);
    stream_put(s, c->value);
    stream_put(s, STR("\r\n"));
    TRY(stream_flush(s, why) == RC_OK ? RC_OK : RC_EOF);
    TRY(read_line(c->m, s, &line, why));
    return str_eq(line, STR("STORED"))
               ? RC_OK
               : FAIL(why, RC_PERM, "unexpected reply: " STR_FMT, STR_ARG(line));
}

static enum rc delete (void *context, struct stream *s, struct why *why) {
    struct command *c = context; struct str line;

    stream_putf(s, "delete " STR_FMT "\r\n", STR_ARG(c->key));
    TRY(stream_flush(s, why) == RC_OK ? RC_OK : RC_EOF);
    TRY(read_line(c->m, s, &line, why));
    if (str_eq(line, STR("DELETED"))) return RC_OK;
    return str_eq(line, STR("NOT_FOUND"))
               ? RC_NONE
               : FAIL(why, RC_PERM, "unexpected reply: " STR_FMT, STR_ARG(line));
}

static enum rc run(struct memcache *m,
                   enum rc (*exchange)(void *context, struct stream *s, struct why *why),
                   struct command *c, struct why *why)
{
    enum rc rc = RC_TEMP;

    for (long i = 0; i < m->max_try && rc == RC_TEMP; i++) {
        struct timespec pause = {.tv_sec = m->retry_pause};
        if (i > 0)
            nanosleep(&pause, NULL);
        rc = peers_ask(m->peers, exchange, c, why);
    }
    return rc;
}

/* The key in key_format. RC_NONE: not asked for, or nothing that memcached could take. */
static enum rc make_key(const struct memcache *m, struct command *c, struct str key,
                        struct why *why)
{
    AUTO_BUF text = {0};

    buf_init(&text, KEY_MAX);
    TRY(dbquery_make(m->key, key, NULL, NULL, &text, why));
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f)
            return RC_NONE;
    *c = (struct command){.m = m, .key = arena_copy(c->a, buf_str(&text)), .a = c->a};
    return RC_OK;
}

/* ---- operations ---- */

static enum rc memcache_get(void *state, struct str key, struct arena *a, struct str *value,
                            struct why *why)
{
    struct memcache *m = state;
    struct command c = {.a = a};
    enum rc rc;

    TRY(make_key(m, &c, key, why));
    rc = run(m, get, &c, m->backup ? NULL : why);
    if (rc == RC_OK)
        *value = c.value;
    if (rc == RC_OK || m->backup == NULL)
        return rc;
    TRY(table_get(m->backup, key, a, value, why)); /* also when the server is away */
    c.value = *value;
    if (rc == RC_NONE)
        (void)!peers_ask(m->peers, set, &c, NULL);
    return RC_OK;
}

static enum rc memcache_put(void *state, struct str key, struct str value, bool replace,
                            struct why *why)
{
    struct memcache *m = state;
    AUTO_ARENA a = arena_new(512);
    struct command c = {.a = a};
    enum rc rc;

    (void)replace; /* as the backup table was opened; the cache itself always replaces */
    TRY(make_key(m, &c, key, why));
    if (m->backup)
        TRY(table_put(m->backup, key, value, why));
    c.value = value;
    rc = run(m, set, &c, why);
    return m->backup ? RC_OK : rc;
}

static enum rc memcache_delete(void *state, struct str key, struct why *why)
{
    struct memcache *m = state;
    AUTO_ARENA a = arena_new(512);
    struct command c = {.a = a};
    enum rc rc;

    TRY(make_key(m, &c, key, why));
    rc = run(m, delete, &c, why);
    return m->backup ? table_delete(m->backup, key, why) : rc;
}

static enum rc memcache_next(void *state, bool first, struct arena *a, struct str *key,
                             struct str *value, struct why *why)
{
    struct memcache *m = state;

    if (m->backup == NULL)
        return FAIL(why, RC_PERM, "memcache without a backup table cannot be listed");
    return table_next(m->backup, first, a, key, value, why);
}

const struct table_driver table_driver_memcache = {
    .type = "memcache",
    .flags = DRIVER_FOLDS | DRIVER_THREADS | DRIVER_UPDATES | DRIVER_CHECKS_UTF8,
    .open = memcache_open,
    .get = memcache_get,
    .put = memcache_put,
    .delete = memcache_delete,
    .next = memcache_next,
    .close = memcache_close,
};
