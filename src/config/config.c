#include "config/config.h"

#include <stdlib.h>

#include "config/defaults.h"
#include "config/evaluate.h"
#include "config/main_cf.h"
#include "config/snapshot.h"
#include "config/value.h"

const char *config_default_dir(void)
{
    const char *dir = getenv("MAIL_CONFIG");

    return dir && *dir ? dir : DEF_CONFIG_DIRECTORY;
}

/* These say what is, not what somebody wants. */
static bool is_fixed(int index)
{
    return index == PARAM_INDEX_config_directory || index == PARAM_INDEX_process_id ||
           index == PARAM_INDEX_process_name || index == PARAM_INDEX_service_name;
}

/* A later definition of a name replaces an earlier one. */
static void define(struct config_source *s, struct str name, const struct definition *d)
{
    int index = param_find(name);

    if (index >= 0 && is_fixed(index) && d->path)
        return;
    if (index >= 0) {
        struct definition *copy = arena_new_of(s->arena, struct definition);
        *copy = *d;
        s->definitions[index] = copy;
        s->states[index] = TEXT_TO_DO;
    } else {
        struct user_parameter *u = arena_new_of(s->arena, struct user_parameter);
        *u = (struct user_parameter){.definition = *d};
        map_put(&s->user, name, u);
    }
}

static void define_overrides(struct config_source *s, const struct config_setting *o, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct definition d = {.text = arena_copy(s->arena, o[i].value),
                               .origin = o[i].origin.n ? arena_copy(s->arena, o[i].origin)
                                                       : STR("option -o")};
        define(s, str_trim(o[i].name), &d);
    }
}

static enum rc define_main_cf(struct config_source *s, struct str text, const char *path,
                              struct why *why)
{
    struct line_reader lines;
    struct main_cf_entry e;
    enum rc rc;

    lines_start(&lines, (char *)text.p, text.n);
    while ((rc = main_cf_next(&lines, path, &e, why)) == RC_OK) {
        struct definition d = {.text = e.value, .path = path, .line = e.line};
        define(s, e.name, &d);
    }
    return rc == RC_NONE ? RC_OK : rc;
}

static enum rc read_main_cf(const struct config_request *request, struct config_source *s,
                            struct why *why)
{
    struct str text, path = arena_printf(s->arena, "%s/main.cf", s->dir);

    if (request->main_cf)
        text = arena_copy(s->arena, *request->main_cf);
    else if (request->dir == NULL && snapshot_is_there())
        TRY(snapshot_read(false, s->arena, &text, why));
    else
        TRY(config_file_read(s->dir, "main.cf", s->arena, &text, why));
    return define_main_cf(s, text, path.p, why);
}

static void undo_map(void *map)
{
    map_done(map);
}

struct config *source_new(size_t text_bytes)
{
    struct arena *a = arena_new(sizeof(struct config) + sizeof(struct config_source) + text_bytes);
    struct config *c = arena_new_of(a, struct config);
    struct config_source *s = arena_new_of(a, struct config_source);

    map_init(&s->user);
    arena_defer(a, undo_map, &s->user);
    s->arena = a;
    c->source = s;
    return c;
}

enum rc source_read(struct config_source *s, const struct config_request *request, struct why *why)
{
    s->dir = arena_text(s->arena, str_of(request->dir ? request->dir : config_default_dir()));
    s->service_name = arena_copy(s->arena, str_of(request->service_name));
    s->process_name = arena_copy(s->arena, str_of(request->process_name));
    TRY(read_main_cf(request, s, why));
    define_overrides(s, request->overrides, request->overrides_n);
    return RC_OK;
}

/* User-defined parameters that nobody refers to; trouble with one concerns who asks for it. */
static void evaluate_user(struct config_source *s)
{
    for (struct map_item *i = NULL; (i = map_next(&s->user, i));)
        if (source_evaluate_user(s, i->key, i->value, NULL) != RC_OK)
            s->why_has_place = false;
}

static enum rc build(const struct config_request *request, struct config *c,
                     struct config_source *s, struct why *why)
{
    TRY(source_read(s, request, why));
    TRY(source_fill(s, c, why));
    evaluate_user(s);
    return RC_OK;
}

enum rc config_load(const struct config_request *request, struct config **out, struct why *why)
{
    struct config *c = source_new(16 * 1024);
    enum rc rc = build(request, c, (struct config_source *)c->source, why);

    if (rc != RC_OK) {
        config_free(c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

void config_free(struct config *config)
{
    if (config)
        arena_free(config->source->arena);
}

/* Texts that name other parameters may change with them; all others stay as in the base. */
static void inherit(struct config_source *s, const struct config_source *base)
{
    s->dir = base->dir;
    s->service_name = base->service_name;
    s->process_name = base->process_name;
    memcpy(s->definitions, base->definitions, sizeof s->definitions);
    memcpy(s->texts, base->texts, sizeof s->texts);
    for (int i = 0; i < PARAM_COUNT; i++)
        s->states[i] = computed_is(i) || (params[i].kind != PARAM_RAW &&
                                          expand_is_needed(source_written(s, i)))
                           ? TEXT_TO_DO
                           : TEXT_INHERITED;
    for (struct map_item *i = NULL; (i = map_next(&base->user, i));) {
        struct user_parameter *u = arena_new_of(s->arena, struct user_parameter);
        *u = (struct user_parameter){.definition = ((struct user_parameter *)i->value)->definition};
        map_put(&s->user, i->key, u);
    }
}

enum rc config_overlay(const struct config *base, const struct config_setting *overrides, size_t n,
                       struct config **out, struct why *why)
{
    struct config *c = source_new(8 * 1024);
    struct config_source *s = (struct config_source *)c->source;
    enum rc rc;

    *c = *base;
    c->source = s;
    s->base = base;
    inherit(s, base->source);
    define_overrides(s, overrides, n);
    rc = source_fill(s, c, why);
    if (rc != RC_OK) {
        config_free(c);
        return rc;
    }
    evaluate_user(s);
    *out = c;
    return RC_OK;
}

enum rc config_get(const struct config *config, struct str name, struct str *value)
{
    const struct config_source *s = config->source;
    const struct transport_param *p;
    struct user_parameter *u;
    struct str service;
    int index = param_find(name);

    if (index >= 0) {
        *value = s->texts[index];
        return RC_OK;
    }
    u = map_get(&s->user, name);
    if (u && u->state != TEXT_DONE)
        return RC_CONFIG;
    if (u) {
        *value = u->text;
        return RC_OK;
    }
    p = transport_param_find(name, &service);
    if (p == NULL)
        return RC_NONE;
    *value = config_transport_get(config, service, p->suffix.p);
    return RC_OK;
}

bool config_is_set(const struct config *config, struct str name)
{
    int index = param_find(name);

    return index >= 0 ? config->source->definitions[index] != NULL
                      : map_get(&config->source->user, name) != NULL;
}

static const struct definition *definition_of(const struct config_source *s, struct str name)
{
    int index = param_find(name);
    const struct user_parameter *u = index < 0 ? map_get(&s->user, name) : NULL;

    return index >= 0 ? s->definitions[index] : u ? &u->definition : NULL;
}

struct str config_place(const struct config *config, struct arena *a, struct str name)
{
    const struct definition *d = definition_of(config->source, name);

    if (d == NULL)
        return STR("");
    if (d->origin.n)
        return d->origin;
    return d->path ? arena_printf(a, "%s, line %d", d->path, d->line) : STR("");
}

static const struct transport_param *find_suffix(const char *suffix)
{
    for (size_t i = 0; i < transport_params_n; i++)
        if (str_eq(transport_params[i].suffix, str_of(suffix)))
            return &transport_params[i];
    return NULL;
}

/* The definition of TRANSPORT_suffix, if there is one. */
static struct user_parameter *find_instance(const struct config *config, struct str transport,
                                            const struct transport_param *p)
{
    char name[512];

    if (transport.n + p->suffix.n + 1 > sizeof name)
        return NULL;
    if (transport.n)
        memcpy(name, transport.p, transport.n);
    name[transport.n] = '_';
    memcpy(name + transport.n + 1, p->suffix.p, p->suffix.n);
    return map_get(&config->source->user, (struct str){name, transport.n + 1 + p->suffix.n});
}

/* A row's default is a text without '$', or the name of one built-in parameter. */
static struct str default_of(const struct config *config, const struct transport_param *p,
                             struct str transport)
{
    struct str text = transport_param_default(p, transport);
    int index;

    if (!str_has_prefix(text, STR("$")))
        return text;
    index = param_find(str_from(text, 1));
    return index < 0 ? STR("") : config->source->texts[index];
}

struct str config_transport_get(const struct config *config, struct str transport,
                                const char *suffix)
{
    const struct transport_param *p = find_suffix(suffix);
    const struct user_parameter *u;

    if (p == NULL)
        return STR("");
    u = find_instance(config, transport, p);
    return u && u->state == TEXT_DONE ? u->text : default_of(config, p, transport);
}

static enum rc transport_number(const struct config *config, struct str transport,
                                const char *suffix, long *value, struct why *why)
{
    const struct transport_param *p = find_suffix(suffix);
    const struct user_parameter *u;
    struct str text;

    if (p == NULL)
        return FAIL(why, RC_CONFIG, "no parameter TRANSPORT_%s", suffix);
    u = find_instance(config, transport, p);
    text = config_transport_get(config, transport, suffix);
    if (value_parse_number(p->kind, text, p->min, p->max, value, why) == RC_OK)
        return RC_OK;
    why_prefix(why, STR_FMT "_%s = " STR_FMT, STR_ARG(transport), suffix, STR_ARG(text));
    if (u && u->definition.path)
        why_prefix(why, "%s, line %d", u->definition.path, u->definition.line);
    if (why)
        why->rc = RC_CONFIG;
    return RC_CONFIG;
}

enum rc config_transport_long(const struct config *config, struct str transport, const char *suffix,
                              long *value, struct why *why)
{
    return transport_number(config, transport, suffix, value, why);
}

enum rc config_transport_time(const struct config *config, struct str transport, const char *suffix,
                              long *seconds, struct why *why)
{
    return transport_number(config, transport, suffix, seconds, why);
}

/* An expansion after the configuration was published. */
struct late {
    const struct config *config;
    struct arena *arena;
    int depth; /* of RAW parameters in each other */
};

static enum rc expand_late(struct late *late, struct str text, struct str *out, struct why *why);

static enum rc lookup_late(void *context, struct str name, struct str *value, struct why *why)
{
    struct late *late = context;
    int index = param_find(name);
    enum rc rc;

    if (index < 0 && map_get(&late->config->source->user, name) == NULL)
        return RC_NONE; /* an unset TRANSPORT_suffix has no value in texts */
    if (config_get(late->config, name, value) != RC_OK)
        return FAIL(why, RC_CONFIG, "the value of " STR_FMT " cannot be expanded", STR_ARG(name));
    if (index < 0 || params[index].kind != PARAM_RAW)
        return RC_OK;
    if (++late->depth > EXPAND_DEPTH)
        return FAIL(why, RC_CONFIG, "the value of " STR_FMT " refers to itself", STR_ARG(name));
    rc = expand_late(late, *value, value, why);
    late->depth--;
    return rc;
}

static enum rc expand_late(struct late *late, struct str text, struct str *out, struct why *why)
{
    struct expander e = {lookup_late, late};
    AUTO_BUF buf;

    buf_init(&buf, EXPAND_MAX);
    TRY(expand_text(&e, text, &buf, why));
    *out = arena_copy(late->arena, buf_str(&buf));
    return RC_OK;
}

enum rc config_expand(const struct config *config, struct arena *arena, struct str text,
                      struct str *out, struct why *why)
{
    struct late late = {config, arena, 0};

    return expand_late(&late, text, out, why);
}

bool config_level_below(const struct config *config, const char *level)
{
    int order = 0;

    return level_compare(config->compatibility_level, str_of(level), &order, NULL) == RC_OK &&
           order < 0;
}
