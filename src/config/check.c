#include "config/check.h"

#include "config/evaluate.h"
#include "config/snapshot.h"
#include "config/usage.h"
#include "config/value.h"

static void say(const struct check_report *r, bool is_error, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void say(const struct check_report *r, bool is_error, const char *format, ...)
{
    AUTO_BUF words;
    va_list args;

    buf_init(&words, 100000);
    va_start(args, format);
    buf_vaddf(&words, format, args);
    va_end(args);
    r->say(r->context, is_error, buf_text(&words));
}

static void say_obsolete(const struct check_report *r, const char *path, struct str name)
{
    const char *replacement = param_replacement(name);

    if (replacement)
        say(r, false,
            "%s: support for parameter \"" STR_FMT "\" will be removed; instead, use \"%s\"", path,
            STR_ARG(name), replacement);
}

static void say_no_effect(const struct check_report *r, const char *path, struct str name)
{
    static const struct {
        struct str name;
        const char *why;
    } rows[] = {
#define NO_EFFECT(name, why) {STR_INIT(#name), why},
#include "config/no_effect.def"
#undef NO_EFFECT
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_eq(name, rows[i].name) ||
            (rows[i].name.p[rows[i].name.n - 1] == '_' && str_has_prefix(name, rows[i].name)))
            say(r, false, "%s: parameter \"" STR_FMT "\" has no effect: %s", path, STR_ARG(name),
                rows[i].why);
}

/* Obsolete names alone. */
static void check_obsolete(const struct main_cf *m, const struct master_cf *services,
                           const struct check_report *r)
{
    for (size_t i = 0; i < m->n; i++)
        if (main_cf_find(m, m->entries[i].name) == &m->entries[i])
            say_obsolete(r, m->path, m->entries[i].name);
    for (size_t i = 0; services && i < services->n; i++)
        for (size_t j = 0; j < services->entries[i].overrides_n; j++)
            say_obsolete(r, services->path, services->entries[i].overrides[j].name);
}

/* Where the report goes, and the paths for it. */
struct names {
    const struct check_report *report;
    const char *main_path, *master_path;
};

static void say_undefined(void *context, bool in_master, struct str name)
{
    struct names *n = context;

    say(n->report, false, "%s: undefined parameter: " STR_FMT,
        in_master ? n->master_path : n->main_path, STR_ARG(name));
}

/* "name = value # note": the note is part of the value. */
static void check_comment(const struct main_cf *m, const struct main_cf_entry *e,
                          const struct check_report *r)
{
    for (size_t i = 1; i < e->value.n; i++)
        if (e->value.p[i] == '#' && is_white(e->value.p[i - 1])) {
            say(r, false, "%s, line %d: #comment after other text is not allowed: %s", m->path,
                e->line, e->value.p + i);
            return;
        }
}

/* A second setting with another value: the first has no effect. */
static void check_repeated(const struct main_cf *m, const struct main_cf_entry *e,
                           const struct check_report *r)
{
    const struct main_cf_entry *next = e + 1;

    if (main_cf_find(m, e->name) == e)
        return;
    while (!str_eq(next->name, e->name))
        next++;
    if (!str_eq(next->value, e->value))
        say(r, false, "%s, line %d: overriding earlier entry: " STR_FMT "=" STR_FMT, m->path,
            next->line, STR_ARG(e->name), STR_ARG(e->value));
}

static void unused_in_main(const struct main_cf *m, const struct usage *u,
                           const struct check_report *r)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct main_cf_entry *e = &m->entries[i];
        check_repeated(m, e, r);
        if (main_cf_find(m, e->name) != e)
            continue;
        check_comment(m, e, r);
        say_no_effect(r, m->path, e->name);
        if (!usage_is_known(u, e->name) && !usage_is_mentioned(u, e->name))
            say(r, false, "%s: unused parameter: " STR_FMT "=" STR_FMT, m->path, STR_ARG(e->name),
                STR_ARG(e->value));
    }
}

static void unused_in_master(const struct master_cf *services, const struct usage *u,
                             const struct check_report *r)
{
    for (size_t i = 0; i < services->n; i++)
        for (size_t j = 0; j < services->entries[i].overrides_n; j++) {
            const struct config_setting *s = &services->entries[i].overrides[j];
            say_no_effect(r, services->path, s->name);
            if (!usage_is_known(u, s->name) && !usage_is_mentioned(u, s->name))
                say(r, false, "%s: unused parameter: " STR_FMT "=" STR_FMT, services->path,
                    STR_ARG(s->name), STR_ARG(s->value));
        }
}

static void warn_names(const struct main_cf *m, const struct master_cf *services, bool with_main,
                       const struct check_report *r)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct usage *u = usage_find(m, services, a);
    struct names n = {r, m->path, services ? services->path : "master.cf"};

    usage_undefined(u, say_undefined, &n);
    if (with_main)
        unused_in_main(m, u, r);
    if (services)
        unused_in_master(services, u, r);
    check_obsolete(m, services, r);
}

void check_names(const struct main_cf *m, const struct master_cf *services,
                 const struct check_report *r)
{
    warn_names(m, services, true, r);
}

void check_master_names(const struct main_cf *m, const struct master_cf *services,
                        const struct check_report *r)
{
    warn_names(m, services, false, r);
}

/* Everything in a directory. */
struct whole {
    const struct check_report *report;
    struct arena *arena;
    struct map said; /* words: each is said once */
    bool has_errors;
    struct config_request request;
};

static void undo_map(void *map)
{
    map_done(map);
}

static void start_said(struct whole *w)
{
    map_init(&w->said);
    arena_defer(w->arena, undo_map, &w->said);
}

static void say_error(void *context, const char *words)
{
    struct whole *w = context;

    w->has_errors = true;
    if (*words == '\0' || map_get(&w->said, str_of(words)))
        return;
    map_put(&w->said, str_of(words), w);
    w->report->say(w->report->context, true, words);
}

/* SERVICE_suffix parameters that have numbers. */
static void check_instances(struct whole *w, const struct config *c)
{
    struct map_item *i = NULL;

    while ((i = map_next(&c->source->user, i))) {
        struct str service;
        const struct transport_param *p = transport_param_find(i->key, &service);
        struct why why = {0};
        long n;

        if (p && p->kind != PARAM_STR &&
            config_transport_long(c, service, p->suffix.p, &n, &why) != RC_OK)
            say_error(w, why.text);
    }
}

/* All parameters as one service sees them. */
static void check_values(struct whole *w)
{
    struct config *c = source_new(16 * 1024);
    struct config_source *s = (struct config_source *)c->source;
    struct why why = {0};

    if (source_read(s, &w->request, &why) != RC_OK) {
        say_error(w, why.text);
        config_free(c);
        return;
    }
    for (int i = 0; i < PARAM_COUNT; i++) {
        s->why_has_place = false;
        if (s->states[i] != TEXT_BAD && source_fill_one(s, i, c, &why) != RC_OK)
            say_error(w, why.text);
    }
    for (struct map_item *i = NULL; (i = map_next(&s->user, i));) {
        s->why_has_place = false;
        if (source_evaluate_user(s, i->key, i->value, &why) != RC_OK)
            say_error(w, why.text);
    }
    check_instances(w, c);
    config_free(c);
}

/* The good lines of main.cf, each on the line where it starts: bad ones are told already. */
static struct str good_lines(const struct main_cf *m, struct arena *a)
{
    AUTO_BUF text;
    int line = 1;

    buf_init(&text, CONFIG_FILE_MAX * 2);
    for (size_t i = 0; i < m->n; i++, line++) {
        for (; line < m->entries[i].line; line++)
            buf_addc(&text, '\n');
        buf_addf(&text, STR_FMT " = " STR_FMT "\n", STR_ARG(m->entries[i].name),
                 STR_ARG(m->entries[i].value));
    }
    return arena_copy(a, buf_str(&text));
}

static enum rc read_main(struct whole *w, const char *dir, struct main_cf *m, struct why *why)
{
    struct str text;

    TRY(config_file_read(dir, "main.cf", w->arena, &text, why));
    return main_cf_parse(text, arena_printf(w->arena, "%s/main.cf", dir).p, say_error, w, w->arena,
                         m, why);
}

static enum rc read_master(struct whole *w, const char *dir, struct master_cf *m, struct why *why)
{
    struct master_reading how = {.on_error = say_error, .context = w};

    return master_cf_load(dir, &how, w->arena, m, why);
}

/* Services that only work with one process, or that must not have a limit. */
static const struct {
    const char *command, *limit;
} process_limits[] = {
    {"anvil", "1"},   {"pickup", "1"},  {"postlogd", "1"}, {"qmgr", "1"},
    {"scache", "1"},  {"tlsmgr", "1"},  {"verify", "1"},   {"bounce", "0"},
    {"cleanup", "0"}, {"dnsblog", "0"}, {"flush", "0"},    {"tlsproxy", "0"},
};

static void check_process_limit(struct whole *w, const struct master_cf *m,
                                const struct master_entry *e)
{
    for (size_t i = 0; i < sizeof process_limits / sizeof *process_limits; i++)
        if (str_eq(e->command, str_of(process_limits[i].command)) &&
            !str_eq(e->fields[MASTER_MAXPROC], str_of(process_limits[i].limit)))
            say_error(w, arena_printf(w->arena,
                                      "%s, line %d: service %s requires a process limit of %s, not "
                                      "%s; write %s in the maxproc field",
                                      m->path, e->line, e->name.p, process_limits[i].limit,
                                      e->fields[MASTER_MAXPROC].p, process_limits[i].limit)
                             .p);
}

static void check_services(struct whole *w, const struct master_cf *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct master_entry *e = &m->entries[i];
        check_process_limit(w, m, e);
        if (e->overrides_n == 0)
            continue;
        w->request.service_name = e->name.p;
        w->request.process_name = e->command.p;
        w->request.overrides = e->overrides;
        w->request.overrides_n = e->overrides_n;
        check_values(w);
    }
}

enum rc config_check(const char *dir, const struct check_report *r)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct whole w = {.report = r, .arena = a};
    struct main_cf m = {0};
    struct master_cf services = {0};
    struct str good;
    struct why why = {0};
    bool has_master;

    dir = dir ? dir : config_default_dir();
    start_said(&w);
    if (read_main(&w, dir, &m, &why) != RC_OK) {
        say_error(&w, why.text);
        return RC_CONFIG;
    }
    good = good_lines(&m, a);
    w.request = (struct config_request){.dir = dir, .main_cf = &good};
    check_values(&w);
    has_master = read_master(&w, dir, &services, &why) == RC_OK;
    if (has_master)
        check_services(&w, &services);
    else
        say_error(&w, why.text);
    check_names(&m, has_master ? &services : NULL, r);
    return w.has_errors ? RC_CONFIG : RC_OK;
}
