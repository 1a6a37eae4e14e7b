#include "config/master_cf.h"

#include "config/lines.h"
#include "config/snapshot.h"
#include "util/map.h"

#define BLANKS " \t\r\n\v\f"

static const struct str type_names[] = {
    [MASTER_INET] = STR_INIT("inet"),
    [MASTER_UNIX] = STR_INIT("unix"),
    [MASTER_UNIX_DGRAM] = STR_INIT("unix-dgram"),
    [MASTER_FIFO] = STR_INIT("fifo"),
    [MASTER_PASS] = STR_INIT("pass"),
};

const char *master_type_name(enum master_type type)
{
    return type_names[type].p;
}

static bool master_type_parse(struct str text, enum master_type *type)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (str_eq(type_names[i], text)) {
            *type = (enum master_type)i;
            return true;
        }
    return false;
}

struct entry_list {
    struct master_entry *v;
    size_t n, cap;
};

/* One line on its way into an entry. */
struct parse {
    const char *path;
    const struct config *config;
    struct arena *arena;
    struct master_entry *e;
    struct why *why;
};

#define BAD(p, ...) bad((p), (FAIL((p)->why, RC_CONFIG, __VA_ARGS__)))

static enum rc bad(struct parse *p, enum rc rc)
{
    if (p->e->line)
        why_prefix(p->why, "%s, line %d", p->path, p->e->line);
    else
        why_prefix(p->why, "%s", p->path);
    return rc;
}

static enum rc parse_flag(struct parse *p, enum master_field field, const char *name, bool dflt,
                          bool *out)
{
    struct str text = p->e->fields[field];

    if (str_eq(text, STR("-")))
        *out = dflt;
    else if (str_eq(text, STR("y")))
        *out = true;
    else if (str_eq(text, STR("n")))
        *out = false;
    else
        return BAD(p, "invalid %s field \"" STR_FMT "\"; write y, n or -", name, STR_ARG(text));
    return RC_OK;
}

static enum rc parse_wakeup(struct parse *p)
{
    struct str text = p->e->fields[MASTER_WAKEUP];

    if (str_eq(text, STR("-")))
        return RC_OK;
    p->e->wakeup_only_if_used = str_has_suffix(text, STR("?"));
    if (p->e->wakeup_only_if_used)
        text.n--;
    if (!str_to_long(text, 0, INT_MAX, &p->e->wakeup))
        return BAD(p, "invalid wakeup field \"" STR_FMT "\"; write seconds, seconds and ?, or -",
                   STR_ARG(p->e->fields[MASTER_WAKEUP]));
    return RC_OK;
}

static enum rc parse_maxproc(struct parse *p)
{
    struct str text = p->e->fields[MASTER_MAXPROC];

    p->e->maxproc = p->config ? p->config->default_process_limit : 100;
    if (!str_eq(text, STR("-")) && !str_to_long(text, 0, INT_MAX, &p->e->maxproc))
        return BAD(p, "invalid process_limit field \"" STR_FMT "\"; write a number or -",
                   STR_ARG(text));
    return RC_OK;
}

static enum rc parse_name_and_type(struct parse *p)
{
    struct master_entry *e = p->e;
    struct str type = e->fields[MASTER_TYPE];

    e->name = e->fields[MASTER_NAME];
    if (!master_type_parse(type, &e->type))
        return BAD(p,
                   "invalid type field \"" STR_FMT "\"; write inet, unix, unix-dgram, fifo or pass",
                   STR_ARG(type));
    if (e->type != MASTER_INET &&
        (str_index(e->name, '/') >= 0 || str_eq(e->name, STR(".")) || str_eq(e->name, STR(".."))))
        return BAD(p, "invalid service field \"" STR_FMT "\"; write a name without /",
                   STR_ARG(e->name));
    return RC_OK;
}

static enum rc parse_flags(struct parse *p)
{
    struct master_entry *e = p->e;
    bool chroot_default = p->config && config_level_below(p->config, "1");

    TRY(parse_flag(p, MASTER_PRIVATE, "private", true, &e->is_private));
    if (e->type == MASTER_INET && e->is_private)
        return BAD(p, "an inet service cannot be private; write n in the private field");
    TRY(parse_flag(p, MASTER_UNPRIV, "unprivileged", true, &e->is_unprivileged));
    TRY(parse_flag(p, MASTER_CHROOT, "chroot", chroot_default, &e->is_chrooted));
    return RC_OK;
}

/* "{ text }" is text. Braces within an argument that has blanks must match, so that it can be
 * written again. */
static enum rc unbrace(struct parse *p, struct str token, struct str *arg)
{
    bool has_blanks = str_index_any(token, BLANKS) >= 0;
    int depth = 0;

    for (size_t i = 0; i < token.n; i++) {
        depth += token.p[i] == '{';
        depth -= token.p[i] == '}';
        if (token.p[0] == '{' && depth == 0 && i + 1 < token.n)
            return BAD(p, "text after } in \"" STR_FMT "\"; write a blank there", STR_ARG(token));
        if (depth < 0 && has_blanks)
            return BAD(p, "missing { in \"" STR_FMT "\"", STR_ARG(token));
    }
    if (depth > 0)
        return BAD(p, "missing } in \"" STR_FMT "\"", STR_ARG(token));
    if (token.p[0] == '{')
        token = str_trim((struct str){token.p + 1, token.n - 2});
    *arg = arena_copy(p->arena, token);
    return RC_OK;
}

static enum rc parse_args(struct parse *p, struct str rest)
{
    VEC(struct str) args = {0};
    struct str token, arg;

    while (str_token_braced(&rest, BLANKS, &token)) {
        TRY(unbrace(p, token, &arg));
        vec_add(p->arena, &args, arg);
    }
    p->e->args = args.v;
    p->e->args_n = args.n;
    return RC_OK;
}

/* Does this option of a daemon take the next argument as its value? */
static bool takes_argument(struct str option)
{
    return option.n == 2 && strchr("imnst", option.p[1]) != NULL;
}

static bool is_option(struct str arg)
{
    return arg.n > 1 && arg.p[0] == '-' && !str_eq(arg, STR("--"));
}

/* -o among the options in front of the plain arguments. */
static enum rc parse_overrides(struct parse *p)
{
    struct master_entry *e = p->e;
    VEC(struct config_setting) found = {0};
    struct str origin = arena_printf(p->arena, "%s, line %d", p->path, e->line);
    size_t i;

    e->is_override = arena_array(p->arena, bool, e->args_n + 1);
    for (i = 0; i < e->args_n && is_option(e->args[i]); i++) {
        struct config_setting setting;
        struct str text = str_from(e->args[i], 2);

        if (e->args[i].p[1] != 'o') {
            i += takes_argument(e->args[i]);
            continue;
        }
        e->is_override[i] = true;
        if (text.n == 0 && ++i == e->args_n)
            return BAD(p, "-o without name=value at the end of the line");
        if (config_parse_setting(text.n ? text : e->args[i], &setting, p->why) != RC_OK)
            return bad(p, RC_CONFIG);
        setting.origin = origin;
        vec_add(p->arena, &found, setting);
    }
    e->overrides = found.v;
    e->overrides_n = found.n;
    e->options_n = i < e->args_n ? i : e->args_n;
    return RC_OK;
}

static enum rc parse_line(struct parse *p, struct str line)
{
    struct str rest = line, token;

    for (int i = 0; i < MASTER_FIELDS; i++) {
        if (!str_token_braced(&rest, BLANKS, &token))
            return BAD(p,
                       "bad field count: %d of 8; write: service type private unpriv chroot wakeup "
                       "maxproc command",
                       i);
        p->e->fields[i] = arena_copy(p->arena, token);
    }
    TRY(parse_name_and_type(p));
    TRY(parse_flags(p));
    TRY(parse_wakeup(p));
    TRY(parse_maxproc(p));
    p->e->command = p->e->fields[MASTER_COMMAND];
    TRY(parse_args(p, rest));
    return parse_overrides(p);
}

static void undo_map(void *map)
{
    map_done(map);
}

/* A later entry takes the place of an earlier one of the same name and type. */
static void add_entry(struct entry_list *list, struct map *places, bool keep_replaced,
                      struct arena *a, const struct master_entry *e)
{
    struct str key = arena_printf(a, STR_FMT "/%s", STR_ARG(e->name), master_type_name(e->type));
    size_t place = (size_t)map_get(places, key);

    if (place && !keep_replaced) {
        list->v[place - 1] = *e;
        return;
    }
    vec_add(a, list, *e);
    map_put(places, key, (void *)list->n);
}

enum rc master_cf_parse(struct str text, const char *path, const struct master_reading *how,
                        struct arena *a, struct master_cf *out, struct why *why)
{
    static const struct master_reading plain = {0};
    struct entry_list entries = {0};
    struct map *places = arena_new_of(a, struct map);
    struct line_reader lines;
    struct str line;
    int number;

    how = how ? how : &plain;
    map_init(places);
    arena_defer(a, undo_map, places);
    path = arena_text(a, str_of(path));
    lines_start(&lines, arena_text(a, text), text.n);
    while (lines_next(&lines, &line, &number)) {
        struct master_entry e = {.line = number};
        struct parse p = {path, how->config, a, &e, why};
        enum rc rc = parse_line(&p, line);

        if (rc == RC_OK)
            add_entry(&entries, places, how->keep_replaced, a, &e);
        else if (how->on_error)
            how->on_error(how->context, why->text);
        else
            return rc;
    }
    *out = (struct master_cf){entries.v, entries.n, path};
    return RC_OK;
}

enum rc master_cf_load(const char *dir, const struct master_reading *how, struct arena *a,
                       struct master_cf *out, struct why *why)
{
    const char *where = dir ? dir : config_default_dir();
    struct str text, path = arena_printf(a, "%s/master.cf", where);

    if (dir == NULL && snapshot_is_there())
        TRY(snapshot_read(true, a, &text, why));
    else
        TRY(config_file_read(where, "master.cf", a, &text, why));
    return master_cf_parse(text, path.p, how, a, out, why);
}

const struct master_entry *master_cf_find(const struct master_cf *m, struct str name,
                                          enum master_type type)
{
    for (size_t i = m->n; i-- > 0;)
        if (m->entries[i].type == type && str_eq(m->entries[i].name, name))
            return &m->entries[i];
    return NULL;
}

enum rc config_for_service(const struct config_request *request, const struct master_cf *m,
                           struct str name, struct config **out, struct why *why)
{
    struct config_request r = *request;
    AUTO_ARENA a = arena_new(256);

    for (size_t i = m->n; i-- > 0;) {
        const struct master_entry *e = &m->entries[i];
        if (e->type == MASTER_INET || !str_eq(e->name, name))
            continue;
        r.service_name = arena_text(a, name);
        r.process_name = arena_text(a, e->command);
        r.overrides = e->overrides;
        r.overrides_n = e->overrides_n;
        return config_load(&r, out, why);
    }
    return FAIL(why, RC_NONE, "%s: no service " STR_FMT, m->path, STR_ARG(name));
}

enum rc master_entry_parse(struct str line, const char *path, int number, struct arena *a,
                           struct master_entry *out, struct why *why)
{
    struct master_entry e = {.line = number};
    struct parse p = {path, NULL, a, &e, why};

    TRY(parse_line(&p, arena_copy(a, line)));
    *out = e;
    return RC_OK;
}
