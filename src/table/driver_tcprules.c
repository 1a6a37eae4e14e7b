/*
 * tcprules: the rules of tcp.rules files. FILE.cdb, made by postmap(1) or tcprules(1), counts when
 * it is there; else the text FILE is read. What is bad or missing later does not count: what stood
 * there before stays.
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

enum { FILE_MAX = 256 * 1024 * 1024 };

struct handle {
    const char *path; /* of what is read */
    const struct table_env *env;
    struct arena *arena;
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
    if (rule.variables.n > TCPRULES_VARIABLES_MAX)
        return FAIL(why, RC_CONFIG, "more than %d variables", TCPRULES_VARIABLES_MAX);
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
    size_t at = 0, rules = 0;
    enum rc rc;

    while ((rc = cdb_file_next(&h->cdb, &at, &key, &data, why)) == RC_OK) {
        if (++rules > TCPRULES_MAX)
            return FAIL(why, RC_CONFIG, "%s: more than %d rules", h->path, TCPRULES_MAX);
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

static enum rc parse_compiled(void *context, struct str bytes, struct why *why)
{
    struct handle *h = context;

    h->masks = (struct tcprules_masks){0};
    h->wants_user = false;
    if (cdb_file_open(&h->cdb, bytes, why) != RC_OK) {
        why_prefix(why, "%s", h->path);
        return RC_CONFIG;
    }
    return check_compiled(h, why);
}

static enum rc parse_text(void *context, struct str text, struct why *why)
{
    struct handle *h = context;

    return tcprules_parse(text, h->path, h->env->log, h->arena, &h->text, why);
}

/* Also what stood in a file that is gone or broken, see snapshot_parse_file(). RC_NONE: nothing. */
static enum rc open_file(struct driver_open *o, const char *path, bool compiled, struct why *why)
{
    struct handle *h = o->state;

    h->path = o->watch_path = path;
    return snapshot_parse_file(path, FILE_MAX, o->again, o->env->log, o->arena,
                               compiled ? parse_compiled : parse_text, h, why);
}

static enum rc open_either(struct driver_open *o, const char *path, const char *cdb,
                           struct why *why)
{
    bool has_cdb = access(cdb, F_OK) == 0;
    enum rc rc = open_file(o, has_cdb ? cdb : path, has_cdb, why);

    if (rc == RC_NONE && !has_cdb)
        rc = open_file(o, cdb, true, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG,
                    "neither %s nor %s is there; write the rules, and run: postmap tcprules:%s",
                    cdb, path, path);
    return rc;
}

static enum rc tcprules_open(struct driver_open *o, struct why *why)
{
    struct handle *h = arena_new_of(o->arena, struct handle);
    char *path = arena_text(o->arena, o->name);
    char *cdb = arena_text(o->arena, arena_join(o->arena, o->name, STR(".cdb")));
    enum rc rc;

    if (o->flags & TABLE_WRITE)
        return FAIL(why, RC_CONFIG,
                    "tcprules tables are not changed but made anew; run: postmap tcprules:%s",
                    path);
    h->env = o->env;
    h->arena = o->arena;
    o->state = h;
    if (!str_has_suffix(o->name, STR(".cdb"))) {
        rc = open_either(o, path, cdb, why);
    } else {
        rc = open_file(o, path, true, why);
        if (rc == RC_NONE)
            return FAIL(why, RC_CONFIG, "%s is missing; run: postmap tcprules:" STR_FMT, path,
                        STR_ARG(str_head(o->name, o->name.n - 4)));
    }
    if (rc == RC_OK && h->text == NULL)
        warn_if_older(o, h->path);
    return rc;
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

    return h->text ? tcprules_find(h->text, q, a, rule) : find_compiled(h, q, a, rule, why);
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
    struct str key, data;

    if (h->text == NULL) {
        TRY(cdb_file_next(&h->cdb, at, &key, &data, why));
        return record_rule(h, key, data, a, rule, why);
    }
    return tcprules_rule(h->text, (*at)++, a, rule) ? RC_OK : RC_NONE;
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

static enum rc tcprules_each(void *state, client_rule_visit *visit, void *context, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct client_rule rule;
    size_t at = 0;
    enum rc rc;

    while ((rc = next_rule(state, &at, a, &rule, why)) == RC_OK) {
        TRY(visit(context, &rule, why));
        arena_reset(a);
    }
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
    AUTO_ARENA a = arena_new(4096);
    struct client_rule rule;

    for (size_t i = 0; tcprules_rule(rules, i, a, &rule); i++) {
        TRY(table_put(t, tcprules_key(a, rule.key), tcprules_data(a, &rule), why));
        arena_reset(a);
    }
    return table_commit(t, why);
}

static enum rc tcprules_compile(struct str name, const struct table_env *env, struct why *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str text, cdb = arena_join(a, STR("cdb:"), name);
    struct tcprules *rules = NULL;
    struct table *t;
    enum rc rc = file_read(arena_text(a, name), FILE_MAX, a, &text, why);

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
    .find_rule = tcprules_find_rule,
    .each_rule = tcprules_each,
    .wants_user = tcprules_wants,
    .compile = tcprules_compile,
};
