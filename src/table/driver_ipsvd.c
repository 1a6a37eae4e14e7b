/*
 * ipsvd: directories of instruction files, or the cdb file that ipsvd-cdb(8) or postmap(1) has made
 * of one. DIR.cdb counts when it is there; a name that is no directory is the cdb file itself.
 *
 * A directory is read anew for each client, as ipsvd does it, so that a changed file holds at once.
 * A lookup key is "ADDR[,NAME[,USER]]"; the result is the rule's text.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "config/snapshot.h"
#include "table/cdb_file.h"
#include "table/driver.h"
#include "table/ipsvd.h"
#include "util/buf.h"
#include "util/file.h"

enum { TEXT_MAX = 64 * 1024, FILE_MAX = 256 * 1024 * 1024 };

struct handle {
    const char *path;
    const struct table_env *env;
    int dir; /* -1: compiled */
    struct cdb_file cdb;
};

struct record {
    enum ipsvd_kind kind;
    struct str text;
};

/* ---- one file or record ---- */

static enum rc read_file(const struct handle *h, struct str name, struct arena *a,
                         struct record *out, struct why *why)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;

    if (str_index(name, '/') >= 0 || ipsvd_skips(name))
        return RC_NONE;
    if (fstatat(h->dir, arena_text(a, name), &st, 0) < 0)
        return errno == ENOENT ? RC_NONE
                               : FAIL(why, RC_TEMP, "%s/" STR_FMT ": %m", h->path, STR_ARG(name));
    if (S_ISDIR(st.st_mode))
        return RC_NONE;
    out->kind = ipsvd_kind_of(st.st_mode);
    out->text = STR("");
    if (out->kind == IPSVD_DENY)
        return RC_OK;
    fd = openat(h->dir, arena_text(a, name), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return FAIL(why, RC_TEMP, "open %s/" STR_FMT ": %m", h->path, STR_ARG(name));
    return fd_read_all(fd, TEXT_MAX, a, &out->text, why);
}

/* Lines end with NUL in there; the last byte tells the kind. */
static enum rc parse_record(const struct handle *h, struct str data, struct arena *a,
                            struct record *out, struct why *why)
{
    char *text;

    if (data.n == 0 || strchr("DIX", data.p[data.n - 1]) == NULL)
        return FAIL(why, RC_TEMP, "%s: bad record; make the file again", h->path);
    out->kind = (enum ipsvd_kind)data.p[data.n - 1];
    text = arena_text(a, str_head(data, data.n - 1));
    for (size_t i = 0; i + 1 < data.n; i++)
        if (text[i] == '\0')
            text[i] = '\n';
    out->text = (struct str){text, data.n - 1};
    return RC_OK;
}

static enum rc find_record(const struct handle *h, struct str name, struct arena *a,
                           struct record *out, struct why *why)
{
    struct str data;

    if (h->dir >= 0)
        return read_file(h, name, a, out, why);
    TRY(cdb_file_get(&h->cdb, name, &data, why));
    return parse_record(h, data, a, out, why);
}

/* ---- all of them ---- */

typedef enum rc record_visit(void *context, struct str name, const struct record *r,
                             struct why *why);

static enum rc each_file(const struct handle *h, record_visit *visit, void *context,
                         struct why *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    int fd = openat(h->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    enum rc rc = RC_OK;
    struct dirent *e;

    if (d == NULL)
        return FAIL(why, RC_TEMP, "read directory %s: %m", h->path);
    while (rc == RC_OK && (e = readdir(d))) {
        struct record r = {0};
        rc = read_file(h, str_of(e->d_name), a, &r, why);
        if (rc == RC_OK)
            rc = visit(context, str_of(e->d_name), &r, why);
        else if (rc == RC_NONE)
            rc = RC_OK;
        arena_reset(a);
    }
    closedir(d);
    return rc;
}

static enum rc each_record(const struct handle *h, record_visit *visit, void *context,
                           struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct str name, data;
    size_t at = 0;
    enum rc rc;

    if (h->dir >= 0)
        return each_file(h, visit, context, why);
    while ((rc = cdb_file_next(&h->cdb, &at, &name, &data, why)) == RC_OK) {
        struct record r;
        if (ipsvd_skips(name))
            continue;
        TRY(parse_record(h, data, a, &r, why));
        TRY(visit(context, name, &r, why));
        arena_reset(a);
    }
    return rc == RC_NONE ? RC_OK : FAIL(why, rc, "%s is damaged; make it again", h->path);
}

/* ---- open ---- */

static enum rc check_program(const struct handle *h, struct str path, const struct record *r,
                             struct why *why)
{
    if (r->kind != IPSVD_RUN || h->env->config->smtpd_instruction_programs)
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                STR_FMT ", line 1: the file is executable, which means: run it instead of a "
                        "session; set smtpd_instruction_programs = yes, or take the permission "
                        "away",
                STR_ARG(path));
}

static enum rc check_record(void *context, struct str name, const struct record *r, struct why *why)
{
    const struct handle *h = context;
    AUTO_ARENA a = arena_new(512);
    struct str path = arena_printf(a, "%s/" STR_FMT, h->path, STR_ARG(name));

    TRY(check_program(h, path, r, why));
    return r->kind == IPSVD_INSTRUCT ? ipsvd_check(r->text, path.p, h->env->log, why) : RC_OK;
}

/* Under master a file that has become bad is the trouble of its clients alone. */
static bool is_tolerated(const struct handle *h)
{
    return h->dir >= 0 && snapshot_is_there();
}

static enum rc check_all(struct handle *h, struct why *why)
{
    struct why words = {0};
    enum rc rc = each_record(h, check_record, h, &words);

    if (rc == RC_OK)
        return RC_OK;
    if (rc != RC_CONFIG || !is_tolerated(h))
        return FAIL(why, rc, "%s", words.text);
    if (h->env->log)
        log_error(h->env->log, "%s; clients of this file are told to come again", words.text);
    return RC_OK;
}

static enum rc parse_compiled(void *context, struct str bytes, struct why *why)
{
    struct handle *h = context;

    if (cdb_file_open(&h->cdb, bytes, why) != RC_OK) {
        why_prefix(why, "%s", h->path);
        return RC_CONFIG;
    }
    return check_all(h, why) == RC_OK ? RC_OK : RC_CONFIG;
}

/* Also what stood in a file that is gone or broken, see snapshot_parse_file(). RC_NONE: nothing. */
static enum rc open_compiled(struct driver_open *o, const char *path, struct why *why)
{
    struct handle *h = o->state;

    h->path = o->watch_path = path;
    return snapshot_parse_file(path, FILE_MAX, o->again, o->env->log, o->arena, parse_compiled, h,
                               why);
}

static enum rc open_directory(struct driver_open *o, const char *path, struct why *why)
{
    struct handle *h = o->state;
    enum rc rc;

    h->path = o->watch_path = path;
    h->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->dir < 0)
        return FAIL(why, snapshot_is_there() ? RC_TEMP : RC_CONFIG,
                    "open directory %s: %m; make it, and a file \"0\" in it", path);
    rc = check_all(h, why);
    if (rc != RC_OK)
        close(h->dir);
    return rc;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum rc open_either(struct driver_open *o, const char *path, const char *cdb,
                           struct why *why)
{
    bool has_cdb = access(cdb, F_OK) == 0;
    enum rc rc;

    if (!has_cdb && is_directory(path))
        return open_directory(o, path, why);
    rc = open_compiled(o, has_cdb ? cdb : path, why);
    if (rc == RC_NONE)
        rc = open_compiled(o, cdb, why);
    if (rc != RC_NONE)
        return rc;
    if (str_has_suffix(o->name, STR(".cdb")))
        return FAIL(why, RC_CONFIG, "%s is missing; run: postmap ipsvd:" STR_FMT, path,
                    STR_ARG(str_head(o->name, o->name.n - 4)));
    return open_directory(o, path, why);
}

static void ipsvd_close(void *state)
{
    struct handle *h = state;

    if (h->dir >= 0)
        close(h->dir);
}

static enum rc ipsvd_open(struct driver_open *o, struct why *why)
{
    struct handle *h = arena_new_of(o->arena, struct handle);
    char *path = arena_text(o->arena, o->name);

    h->dir = -1;
    h->env = o->env;
    o->state = h;
    if (o->flags & TABLE_WRITE)
        return FAIL(why, RC_CONFIG,
                    "ipsvd tables are not changed but made anew; run: postmap ipsvd:%s", path);
    return open_either(o, path, arena_text(o->arena, arena_join(o->arena, o->name, STR(".cdb"))),
                       why);
}

/* ---- lookups ---- */

static enum rc forward_rule(const struct handle *h, const struct client_query *q, struct str name,
                            struct arena *a, struct client_rule *rule, struct why *why)
{
    struct record r;
    struct str again;
    enum rc rc = find_record(h, name, a, &r, why);

    if (rc == RC_NONE || (rc == RC_OK && r.kind != IPSVD_INSTRUCT))
        rule->decision = CLIENT_DENY;
    if (rc != RC_OK || r.kind != IPSVD_INSTRUCT)
        return rc == RC_NONE ? RC_OK : rc;
    return ipsvd_apply(r.text, q, false, a, rule, &again, why);
}

static enum rc record_rule(const struct handle *h, const struct client_query *q,
                           const struct record *r, struct arena *a, struct client_rule *rule,
                           struct why *why)
{
    struct str forward = STR("");

    TRY(check_program(h, rule->file, r, why));
    if (r->kind != IPSVD_INSTRUCT) {
        rule->decision = r->kind == IPSVD_RUN ? CLIENT_RUN : CLIENT_DENY;
        rule->text = r->kind == IPSVD_RUN ? r->text : STR("");
        return RC_OK;
    }
    TRY(ipsvd_apply(r->text, q, true, a, rule, &forward, why));
    return forward.n ? forward_rule(h, q, forward, a, rule, why) : RC_OK;
}

/* A directory that was removed under us says nothing about anybody. */
static enum rc check_that_it_is_there(const struct handle *h, struct why *why)
{
    struct stat st;

    if (h->dir >= 0 && fstat(h->dir, &st) == 0 && st.st_nlink == 0)
        return FAIL(why, RC_TEMP, "directory %s is gone; make it, and a file \"0\" in it", h->path);
    return RC_NONE;
}

static enum rc ipsvd_find_rule(void *state, const struct client_query *q, struct arena *a,
                               struct client_rule *rule, struct why *why)
{
    struct handle *h = state;
    struct str *names = NULL;
    size_t n = ipsvd_names(q, a, &names);

    for (size_t i = 0; i < n; i++) {
        struct record r;
        enum rc rc = find_record(h, names[i], a, &r, why);
        if (rc == RC_NONE)
            continue;
        TRY(rc);
        rule->key = names[i];
        rule->file = h->dir >= 0 ? arena_printf(a, "%s/" STR_FMT, h->path, STR_ARG(names[i]))
                                 : str_of(h->path);
        return record_rule(h, q, &r, a, rule, why);
    }
    return check_that_it_is_there(h, why);
}

static enum rc ipsvd_get(void *state, struct str key, struct arena *a, struct str *value,
                         struct why *why)
{
    struct client_query q;
    struct client_rule rule = {0};

    if (client_query_parse(key, &q, NULL) != RC_OK)
        return RC_NONE;
    TRY(ipsvd_find_rule(state, &q, a, &rule, why));
    *value = client_rule_text(a, &rule);
    return RC_OK;
}

struct listing {
    const struct handle *handle;
    client_rule_visit *visit;
    void *context;
};

/* As if each "=" line matched nothing: what the file itself says. */
static enum rc visit_rule(void *context, struct str name, const struct record *r, struct why *why)
{
    struct listing *l = context;
    AUTO_ARENA a = arena_new(1024);
    struct client_rule rule = {.key = name};
    struct str forward;

    rule.file = arena_printf(a, "%s/" STR_FMT, l->handle->path, STR_ARG(name));
    if (r->kind != IPSVD_INSTRUCT)
        rule.decision = r->kind == IPSVD_RUN ? CLIENT_RUN : CLIENT_DENY;
    else if (is_tolerated(l->handle) && ipsvd_check(r->text, "", NULL, NULL) != RC_OK)
        return RC_OK; /* that was said when the table was opened */
    else
        TRY(ipsvd_apply(r->text, &(struct client_query){0}, false, a, &rule, &forward, why));
    return l->visit(l->context, &rule, why);
}

static enum rc ipsvd_each(void *state, client_rule_visit *visit, void *context, struct why *why)
{
    struct listing l = {state, visit, context};

    return each_record(state, visit_rule, &l, why);
}

/* ---- postmap ---- */

struct making {
    const struct handle *handle;
    struct table *table;
};

static enum rc put_record(void *context, struct str name, const struct record *r, struct why *why)
{
    struct making *m = context;
    size_t n = r->text.n && r->text.p[r->text.n - 1] == '\n' ? r->text.n - 1 : r->text.n;
    AUTO_BUF b = {0};

    TRY(check_record((void *)m->handle, name, r, why));
    buf_init(&b, TEXT_MAX + 1);
    for (size_t i = 0; i < n; i++)
        buf_addc(&b, (char)(r->kind == IPSVD_INSTRUCT && r->text.p[i] == '\n' ? 0 : r->text.p[i]));
    buf_addc(&b, (char)r->kind);
    return table_put(m->table, name, buf_str(&b), why);
}

static enum rc ipsvd_compile(struct str name, const struct table_env *env, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct handle h = {.path = arena_text(a, name), .env = env};
    AUTO_CLOSE int dir = open(h.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct making m = {.handle = &h};
    enum rc rc;

    if (dir < 0)
        return FAIL(why, RC_CONFIG, "open directory %s: %m", h.path);
    h.dir = dir;
    TRY(table_open(arena_join(a, STR("cdb:"), name),
                   TABLE_CREATE | TABLE_NO_NUL | TABLE_FOLD_KEEP | TABLE_BYTES | TABLE_STRICT, env,
                   &m.table, why));
    rc = each_file(&h, put_record, &m, why);
    if (rc == RC_OK)
        rc = table_commit(m.table, why);
    table_close(m.table);
    return rc;
}

const struct table_driver table_driver_ipsvd = {
    .type = "ipsvd",
    .flags = DRIVER_WHOLE | DRIVER_THREADS,
    .open = ipsvd_open,
    .get = ipsvd_get,
    .close = ipsvd_close,
    .find_rule = ipsvd_find_rule,
    .each_rule = ipsvd_each,
    .compile = ipsvd_compile,
};
