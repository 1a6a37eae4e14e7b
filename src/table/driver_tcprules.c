/*
 * tcprules: the rules of tcp.rules files. FILE.cdb, made by postmap(1) or tcprules(1), counts when
 * it is there; else the text FILE is read.
 *
 * A lookup key is "ADDR[,NAME[,USER]]"; the result is the rule's text.
 */
#include <unistd.h>

#include "config/client_settings.h"
#include "config/snapshot.h"
#include "table/cdb_file.h"
#include "table/driver.h"
#include "table/tcprules.h"
#include "util/file.h"

enum { TEXT_MAX = 256 * 1024 * 1024 };

struct handle {
    const char *path; /* of what is read */
    const struct table_env *env;
    struct tcprules *text; /* NULL: compiled */
    struct cdb_file cdb;
    struct tcprules_masks masks; /* that occur in the compiled rules */
    bool wants_user;
    size_t at; /* next() */
};

/* ---- open ---- */

static enum rc record_rule(struct handle *h, struct str key, struct str data, struct arena *a,
                           struct client_rule *rule, struct why *why)
{
    *rule = (struct client_rule){.key = key, .file = str_of(h->path)};
    return tcprules_data_parse(data, a, rule, why);
}

static enum rc check_record(struct handle *h, struct str key, struct str data, struct arena *a,
                            struct why *why)
{
    struct client_rule rule;

    TRY(record_rule(h, key, data, a, &rule, why));
    for (size_t i = 0; i < rule.variables.n; i++) {
        const struct config_setting *s = &rule.variables.v[i];
        if (client_setting_check(s->name, s->value, why) == RC_CONFIG)
            return RC_CONFIG;
    }
    tcprules_note_mask(&h->masks, key);
    h->wants_user |= str_index(key, '@') > 0;
    return RC_OK;
}

/* All is looked at once, so that lookups meet no surprise. */
static enum rc check_compiled(struct handle *h, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct str key, data;
    size_t at = 0;
    enum rc rc;

    while ((rc = cdb_file_next(&h->cdb, &at, &key, &data, why)) == RC_OK) {
        rc = check_record(h, key, data, a, why);
        if (rc != RC_OK) {
            why_prefix(why, "%s, rule \"" STR_FMT "\"", h->path, STR_ARG(key));
            return RC_CONFIG;
        }
        arena_reset(a);
    }
    return rc == RC_NONE ? RC_OK : FAIL(why, RC_CONFIG, "%s is damaged; make it again", h->path);
}

static void warn_if_older(const struct driver_open *o, const char *compiled)
{
    char *source = arena_text(o->arena, str_head(str_of(compiled), strlen(compiled) - 4));
    struct stat text, made;

    if (stat(source, &text) == 0 && stat(compiled, &made) == 0 && text.st_mtime > made.st_mtime &&
        o->env->log)
        log_warning(o->env->log, "%s is older than %s; run: postmap tcprules:%s", compiled, source,
                    source);
}

static enum rc open_compiled(struct driver_open *o, struct handle *h, const char *path,
                             struct why *why)
{
    enum rc rc;

    h->path = path;
    TRY(cdb_file_open(&h->cdb, path, why));
    rc = check_compiled(h, why);
    if (rc != RC_OK) {
        cdb_file_close(&h->cdb);
        return rc;
    }
    o->watch_fd = h->cdb.fd;
    warn_if_older(o, path);
    return RC_OK;
}

static enum rc parse_text(void *context, struct str text, struct why *why)
{
    struct driver_open *o = context;
    struct handle *h = o->state;

    return tcprules_parse(text, h->path, o->env->log, o->arena, &h->text, why);
}

static enum rc open_text(struct driver_open *o, struct handle *h, const char *path, struct why *why)
{
    enum rc rc;

    h->path = path;
    rc = snapshot_parse_file(path, TEXT_MAX, o->again, o->env->log, o->arena, parse_text, o, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG,
                    "neither %s.cdb nor %s is there; write the rules, and run: postmap tcprules:%s",
                    path, path, path);
    return rc;
}

static enum rc tcprules_open(struct driver_open *o, struct why *why)
{
    struct handle *h = arena_new_of(o->arena, struct handle);
    bool compiled = str_has_suffix(o->name, STR(".cdb"));
    char *path = arena_text(o->arena, o->name);
    char *cdb = compiled ? path : arena_text(o->arena, arena_join(o->arena, o->name, STR(".cdb")));

    if (o->flags & TABLE_WRITE)
        return FAIL(why, RC_CONFIG,
                    "tcprules tables are not changed but made anew; run: postmap tcprules:%s",
                    path);
    h->env = o->env;
    o->state = h;
    if (access(cdb, F_OK) == 0) {
        o->watch_path = cdb;
        return open_compiled(o, h, cdb, why);
    }
    if (compiled)
        return FAIL(why, RC_CONFIG, "%s is missing; run: postmap tcprules:" STR_FMT, cdb,
                    STR_ARG(str_head(o->name, o->name.n - 4)));
    o->watch_path = path;
    return open_text(o, h, path, why);
}

static void tcprules_close(void *state)
{
    struct handle *h = state;

    if (h->text == NULL)
        cdb_file_close(&h->cdb);
}

/* ---- lookups ---- */

static enum rc find_compiled(struct handle *h, const struct client_query *q, struct arena *a,
                             struct client_rule *rule, struct why *why)
{
    struct str *keys = NULL, data;
    size_t n = tcprules_keys(q, &h->masks, a, &keys);

    for (size_t i = 0; i < n; i++) {
        enum rc rc = cdb_file_get(&h->cdb, keys[i], &data, why);
        if (rc == RC_OK)
            return record_rule(h, keys[i], data, a, rule, why);
        if (rc != RC_NONE)
            return rc;
    }
    return RC_NONE;
}

static enum rc tcprules_find_rule(void *state, const struct client_query *q, struct arena *a,
                                  struct client_rule *rule, struct why *why)
{
    struct handle *h = state;

    return h->text ? tcprules_find(h->text, q, rule) : find_compiled(h, q, a, rule, why);
}

static enum rc tcprules_get(void *state, struct str key, struct arena *a, struct str *value,
                            struct why *why)
{
    struct client_query q;
    struct client_rule rule = {0};

    if (client_query_parse(key, &q, NULL) != RC_OK)
        return RC_NONE;
    TRY(tcprules_find_rule(state, &q, a, &rule, why));
    *value = client_rule_text(a, &rule);
    return RC_OK;
}

/* The n-th rule from *at. */
static enum rc next_rule(struct handle *h, size_t *at, struct arena *a, struct client_rule *rule,
                         struct why *why)
{
    const struct client_rule *found;
    struct str key, data;

    if (h->text == NULL) {
        TRY(cdb_file_next(&h->cdb, at, &key, &data, why));
        return record_rule(h, key, data, a, rule, why);
    }
    found = tcprules_rule(h->text, (*at)++);
    if (found == NULL)
        return RC_NONE;
    *rule = *found;
    return RC_OK;
}

static enum rc tcprules_next(void *state, bool first, struct arena *a, struct str *key,
                             struct str *value, struct why *why)
{
    struct handle *h = state;
    struct client_rule rule;

    if (first)
        h->at = 0;
    TRY(next_rule(h, &h->at, a, &rule, why));
    *key = rule.key;
    *value = client_rule_text(a, &rule);
    return RC_OK;
}

static enum rc tcprules_each(void *state, struct arena *a, client_rule_visit *visit, void *context,
                             struct why *why)
{
    struct client_rule rule;
    size_t at = 0;
    enum rc rc;

    while ((rc = next_rule(state, &at, a, &rule, why)) == RC_OK)
        TRY(visit(context, &rule, why));
    return rc == RC_NONE ? RC_OK : rc;
}

static bool tcprules_wants(void *state)
{
    struct handle *h = state;

    return h->text ? tcprules_want_user(h->text) : h->wants_user;
}

/* ---- postmap ---- */

static enum rc put_all(struct table *t, const struct tcprules *rules, struct why *why)
{
    const struct client_rule *rule;

    for (size_t i = 0; (rule = tcprules_rule(rules, i)); i++) {
        AUTO_ARENA a = arena_new(1024);
        TRY(table_put(t, tcprules_key(a, rule->key), tcprules_data(a, rule), why));
    }
    return table_commit(t, why);
}

static enum rc tcprules_compile(struct str name, const struct table_env *env, struct why *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str text, cdb = arena_join(a, STR("cdb:"), name);
    struct tcprules *rules = NULL;
    struct table *t;
    enum rc rc = file_read(arena_text(a, name), TEXT_MAX, a, &text, why);

    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG, "open " STR_FMT ": no such file", STR_ARG(name));
    TRY(rc);
    TRY(tcprules_parse(text, arena_text(a, name), env->log, a, &rules, why));
    TRY(table_open(cdb, TABLE_CREATE | TABLE_NO_NUL | TABLE_FOLD_KEEP | TABLE_BYTES | TABLE_STRICT,
                   env, &t, why));
    rc = put_all(t, rules, why);
    table_close(t);
    return rc;
}

const struct table_driver table_driver_tcprules = {
    .type = "tcprules",
    .flags = DRIVER_WHOLE | DRIVER_THREADS,
    .open = tcprules_open,
    .get = tcprules_get,
    .next = tcprules_next,
    .close = tcprules_close,
    .find_rule = tcprules_find_rule,
    .each_rule = tcprules_each,
    .wants_user = tcprules_wants,
    .compile = tcprules_compile,
};
