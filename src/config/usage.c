#include "config/usage.h"

#include "config/expand.h"

struct usage {
    struct arena *arena;
    const struct main_cf *main;
    const struct master_cf *services;
    struct map mentioned;       /* name: itself */
    struct map tables;          /* table name of "ldap:name" */
    VEC(struct str) main_names; /* mentioned by main.cf, in order, once each */
    VEC(struct str) master_names;
};

/* Database types whose tables main.cf may configure as TABLE_parameter. */
static const struct str database_types[] = {
    STR_INIT("ldap"),    STR_INIT("mysql"),  STR_INIT("pgsql"),
    STR_INIT("mongodb"), STR_INIT("sqlite"), STR_INIT("memcache"),
};

static void undo_map(void *map)
{
    map_done(map);
}

static void start_map(struct usage *u, struct map *m)
{
    map_init(m);
    arena_defer(u->arena, undo_map, m);
}

static bool is_one_of(struct str word, const char *const *list)
{
    for (; *list; list++)
        if (str_eq(word, str_of(*list)))
            return true;
    return false;
}

bool usage_fits(const struct transport_param *p, const struct master_entry *e)
{
    static const char *const scheduled[] = {"local", "error", "virtual",  "smtp",
                                            "lmtp",  "pipe",  "smtpfwdd", NULL};
    static const char *const commands[] = {"pipe", "spawn", "smtpfwdd", NULL};
    ssize_t slash = str_rindex(e->command, '/');
    struct str command = str_from(e->command, (size_t)(slash + 1));

    if (p->any_service)
        return true;
    if (p->is_scheduled)
        return e->type == MASTER_UNIX && is_one_of(command, scheduled);
    return is_one_of(command, commands);
}

static bool has_service(const struct usage *u, const struct transport_param *p, struct str name)
{
    for (size_t i = 0; u->services && i < u->services->n; i++) {
        const struct master_entry *e = &u->services->entries[i];
        if ((str_eq(e->name, name) || (p->any_service && str_eq(e->command, name))) &&
            usage_fits(p, e))
            return true;
    }
    return false;
}

bool usage_is_known(const struct usage *u, struct str name)
{
    const struct transport_param *p;
    struct str service;

    if (param_find(name) >= 0)
        return true;
    p = transport_param_find(name, &service);
    return p && has_service(u, p, service);
}

bool usage_is_mentioned(const struct usage *u, struct str name)
{
    if (map_get(&u->mentioned, name))
        return true;
    for (size_t i = 0; u->tables.n && i < name.n; i++)
        if (name.p[i] == '_' && map_get(&u->tables, str_head(name, i)))
            return true;
    return false;
}

/* One value on the way through its names. */
struct walk {
    struct usage *u;
    bool in_master;
};

static void walk_value(struct walk *w, struct str value);

static void mention(void *context, struct str name)
{
    struct walk *w = context;
    struct usage *u = w->u;
    const struct main_cf_entry *e;

    if (map_get(&u->mentioned, name))
        return;
    map_put(&u->mentioned, name, u);
    if (w->in_master)
        vec_add(u->arena, &u->master_names, name);
    else
        vec_add(u->arena, &u->main_names, name);
    e = main_cf_find(u->main, name);
    if (e && !usage_is_known(u, name)) {
        struct walk inner = {u, false};
        walk_value(&inner, e->value);
    }
}

/* "ldap:table", "proxy:mysql:table": remember the table, unless it is a file. */
static void remember_table(struct usage *u, struct str word)
{
    for (size_t i = 0; i < sizeof database_types / sizeof *database_types; i++) {
        struct str rest = word, part;
        while ((part = str_cut(&rest, ':')).n && rest.p)
            if (str_eq(part, database_types[i]) && rest.n && rest.p[0] != '/' && rest.p[0] != '.')
                map_put(&u->tables, rest, u);
    }
}

static void walk_value(struct walk *w, struct str value)
{
    struct str rest = value, word;

    expand_names(value, mention, w);
    if (str_index(value, ':') < 0)
        return;
    while (str_token(&rest, LIST_SEPARATORS "{}", &word))
        remember_table(w->u, word);
}

static bool is_raw(struct str name)
{
    int index = param_find(name);

    return index >= 0 && params[index].kind == PARAM_RAW;
}

/* The values of a parameter that is known, or -o settings. */
static void walk_setting(struct walk *w, struct str name, struct str value)
{
    struct str rest = value, word;

    if (is_raw(name)) /* its names are for somebody else */
        return;
    walk_value(w, value);
    if (str_eq(name, STR("smtpd_restriction_classes")))
        while (str_token(&rest, LIST_SEPARATORS, &word))
            mention(w, word);
}

static void walk_all(struct usage *u)
{
    struct walk from_main = {u, false}, from_master = {u, true};

    for (size_t i = 0; i < u->main->n; i++) {
        const struct main_cf_entry *e = &u->main->entries[i];
        if (main_cf_find(u->main, e->name) == e && usage_is_known(u, e->name))
            walk_setting(&from_main, e->name, e->value);
    }
    for (size_t i = 0; u->services && i < u->services->n; i++)
        for (size_t j = 0; j < u->services->entries[i].overrides_n; j++) {
            const struct config_setting *s = &u->services->entries[i].overrides[j];
            walk_setting(&from_master, s->name, s->value);
        }
}

struct usage *usage_find(const struct main_cf *m, const struct master_cf *services, struct arena *a)
{
    struct usage *u = arena_new_of(a, struct usage);

    *u = (struct usage){.arena = a, .main = m, .services = services};
    start_map(u, &u->mentioned);
    start_map(u, &u->tables);
    walk_all(u);
    return u;
}

static bool is_override(const struct usage *u, struct str name)
{
    for (size_t i = 0; u->services && i < u->services->n; i++)
        for (size_t j = 0; j < u->services->entries[i].overrides_n; j++)
            if (str_eq(u->services->entries[i].overrides[j].name, name))
                return true;
    return false;
}

static void report_undefined(const struct usage *u, const struct str *names, size_t n,
                             bool in_master,
                             void (*undefined)(void *context, bool in_master, struct str name),
                             void *context)
{
    struct str service;

    for (size_t i = 0; i < n; i++)
        if (param_find(names[i]) < 0 && main_cf_find(u->main, names[i]) == NULL &&
            transport_param_find(names[i], &service) == NULL && !is_override(u, names[i]))
            undefined(context, in_master, names[i]);
}

void usage_undefined(const struct usage *u,
                     void (*undefined)(void *context, bool in_master, struct str name),
                     void *context)
{
    report_undefined(u, u->main_names.v, u->main_names.n, false, undefined, context);
    report_undefined(u, u->master_names.v, u->master_names.n, true, undefined, context);
}
