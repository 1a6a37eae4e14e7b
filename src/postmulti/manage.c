/* -e: which instances there are, and their names. */
#include "postmulti/postmulti.h"

#define NAME_PREFIX STR("postfix-")

void set_parameters(struct postmulti *m, const char *dir, const struct config_setting *settings,
                    size_t n)
{
    struct why why = {0};

    if (main_cf_edit(dir, EDIT_REPLACE, settings, n, NULL, &why) != RC_OK)
        log_fatal(m->log, 1, "%s", why.text);
}

static void set_parameter(struct postmulti *m, const struct instance *i, struct str name,
                          struct str value)
{
    struct config_setting s = {.name = name, .value = value};

    set_parameters(m, i->dir.p, &s, 1);
}

/* The primary calls postmulti for "postfix start" and the like. Once is enough. */
static int init(struct postmulti *m)
{
    const struct config_setting settings[] = {
        {.name = STR("multi_instance_wrapper"),
         .value = STR("${command_directory}/postmulti -p --")},
        {.name = STR("multi_instance_enable"), .value = STR("yes")},
    };

    if (m->instances[0].config->multi_instance_wrapper.n == 0)
        set_parameters(m, m->instances[0].dir.p, settings, 2);
    return 0;
}

static void check_name(struct postmulti *m, struct str name)
{
    struct instance *other = instance_find(m, name);

    if (!str_has_prefix(name, NAME_PREFIX) || name.n == NAME_PREFIX.n ||
        str_index_any(name, "/ \t,$") >= 0)
        log_fatal(m->log, 1, "\"" STR_FMT "\": the name of an instance is postfix-something",
                  STR_ARG(name));
    if (other)
        log_fatal(m->log, 1, "instance " STR_FMT " is there already: %s", STR_ARG(name),
                  other->dir.p);
}

static void check_group(struct postmulti *m, struct str group)
{
    if (group.n && !str_eq(group, STR("-")) && instance_find(m, group))
        log_fatal(m->log, 1, "\"" STR_FMT "\" is the name of an instance, it cannot be a group",
                  STR_ARG(group));
}

static void check_initialised(struct postmulti *m)
{
    if (m->instances[0].config->multi_instance_wrapper.n == 0)
        log_fatal(m->log, 1, "there is one instance only; run first: postmulti -e init");
}

static struct str parent_of(struct str path)
{
    ssize_t slash = str_rindex(path, '/');

    return slash > 0 ? str_head(path, (size_t)slash) : STR("");
}

/* As the primary's directory, with the instance's name at the end. */
static struct str beside(struct postmulti *m, struct str primary, struct str name)
{
    struct str parent = parent_of(primary);

    return arena_printf(m->arena, STR_FMT "/" STR_FMT, STR_ARG(parent), STR_ARG(name));
}

struct settings {
    struct config_setting *v;
    size_t n, cap;
};

static struct config_setting *find(struct settings *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->v[i].name, name))
            return &list->v[i];
    return NULL;
}

static void set_default(struct postmulti *m, struct settings *list, struct str name,
                        struct str value)
{
    struct config_setting s = {.name = name, .value = value};

    if (find(list, name) == NULL)
        vec_add(m->arena, list, s);
}

static struct settings read_settings(struct postmulti *m)
{
    struct settings list = {0};
    struct why why = {0};

    for (char **arg = m->o->args; *arg; arg++) {
        struct config_setting s;
        if (config_parse_setting(str_of(*arg), &s, &why) != RC_OK)
            log_fatal(m->log, 1, "%s", why.text);
        vec_add(m->arena, &list, s);
    }
    return list;
}

/* The name from -I, else the last part of config_directory. */
static struct str new_name(struct postmulti *m, struct settings *settings)
{
    struct config_setting *dir = find(settings, STR("config_directory"));
    ssize_t slash;

    if (m->o->new_name)
        return str_of(m->o->new_name);
    if (dir == NULL)
        log_fatal(m->log, 1, "-e %s requires -I name or config_directory=path", m->o->action);
    slash = str_rindex(dir->value, '/');
    return arena_copy(m->arena, str_from(dir->value, (size_t)(slash + 1)));
}

static void take_out(struct settings *list, struct str name)
{
    struct config_setting *s = find(list, name);

    if (s)
        *s = list->v[--list->n];
}

static struct str directories(struct postmulti *m, const struct instance *without, struct str with)
{
    struct str list = STR("");

    for (size_t i = 1; i < m->n; i++)
        if (&m->instances[i] != without)
            list = arena_printf(m->arena, STR_FMT "%s" STR_FMT, STR_ARG(list), list.n ? " " : "",
                                STR_ARG(m->instances[i].dir));
    if (with.n)
        list = arena_printf(m->arena, STR_FMT "%s" STR_FMT, STR_ARG(list), list.n ? " " : "",
                            STR_ARG(with));
    return list;
}

static struct instance describe(struct postmulti *m, struct settings *settings)
{
    const struct instance *primary = &m->instances[0];
    struct instance i = {.name = new_name(m, settings), .group = str_of(m->o->new_group)};
    struct config_setting *dir = find(settings, STR("config_directory"));

    i.dir = arena_copy(m->arena, dir ? dir->value : beside(m, primary->dir, i.name));
    if (i.dir.p[0] != '/')
        log_fatal(m->log, 1, "config_directory=%s is no absolute path name", i.dir.p);
    check_name(m, i.name);
    check_group(m, i.group);
    if (instance_find(m, i.dir))
        log_fatal(m->log, 1, "there is an instance in %s already", i.dir.p);
    return i;
}

/* Two mail systems in one directory would take each other's mail. */
static void check_directory(struct postmulti *m, struct str name, struct str wanted)
{
    struct str theirs;

    for (size_t i = 0; i < m->n; i++)
        if (config_get(m->instances[i].config, name, &theirs) == RC_OK && str_eq(theirs, wanted))
            log_fatal(m->log, 1, STR_FMT "=" STR_FMT " is that of the instance in %s",
                      STR_ARG(name), STR_ARG(wanted), m->instances[i].dir.p);
}

static int create(struct postmulti *m)
{
    const struct config *primary = m->instances[0].config;
    struct settings settings = read_settings(m);
    struct instance i;

    check_initialised(m);
    i = describe(m, &settings);
    take_out(&settings, STR("config_directory"));
    set_default(m, &settings, STR("multi_instance_name"), i.name);
    if (i.group.n)
        set_default(m, &settings, STR("multi_instance_group"), i.group);
    set_default(m, &settings, STR("multi_instance_enable"), STR("no"));
    set_default(m, &settings, STR("queue_directory"), beside(m, primary->queue_directory, i.name));
    set_default(m, &settings, STR("data_directory"), beside(m, primary->data_directory, i.name));
    for (size_t k = 0; k < settings.n; k++)
        if (str_eq(settings.v[k].name, STR("queue_directory")) ||
            str_eq(settings.v[k].name, STR("data_directory")))
            check_directory(m, settings.v[k].name, settings.v[k].value);
    create_files(m, &i, settings.v, settings.n);
    set_parameter(m, &m->instances[0], STR("multi_instance_directories"),
                  directories(m, NULL, i.dir));
    return 0;
}

/* A directory that is there: the names in its main.cf count unless others are given. */
static void read_names(struct postmulti *m, const char *dir, struct options *o)
{
    struct config_request request = {.dir = dir};
    struct config *config = NULL;
    struct why why = {0};

    if (config_load(&request, &config, &why) != RC_OK)
        log_fatal(m->log, 1, "%s", why.text);
    if (o->new_name == NULL && config->multi_instance_name.n)
        o->new_name = arena_text(m->arena, config->multi_instance_name);
    if (o->new_group == NULL && config->multi_instance_group.n)
        o->new_group = arena_text(m->arena, config->multi_instance_group);
    check_directory(m, STR("queue_directory"), config->queue_directory);
    check_directory(m, STR("data_directory"), config->data_directory);
    config_free(config);
}

static int import(struct postmulti *m)
{
    struct options *o = arena_new_of(m->arena, struct options);
    struct settings settings = read_settings(m);
    struct config_setting *dir = find(&settings, STR("config_directory"));
    struct instance i;

    check_initialised(m);
    if (dir == NULL)
        log_fatal(m->log, 1, "-e import requires config_directory=path");
    *o = *m->o;
    read_names(m, arena_text(m->arena, dir->value), o);
    m->o = o;
    i = describe(m, &settings);
    take_out(&settings, STR("config_directory"));
    set_default(m, &settings, STR("multi_instance_name"), i.name);
    if (i.group.n)
        set_default(m, &settings, STR("multi_instance_group"), i.group);
    set_parameters(m, i.dir.p, settings.v, settings.n);
    set_parameter(m, &m->instances[0], STR("multi_instance_directories"),
                  directories(m, NULL, i.dir));
    return 0;
}

static void forget(struct postmulti *m, const struct instance *i)
{
    set_parameter(m, &m->instances[0], STR("multi_instance_directories"),
                  directories(m, i, STR("")));
}

static void need_secondary(struct postmulti *m, const struct instance *i)
{
    if (i->is_primary)
        log_fatal(m->log, 1, "-e %s is not for the primary instance", m->o->action);
}

static void need_stopped(struct postmulti *m, const struct instance *i)
{
    if (is_running(m, i))
        log_fatal(m->log, 1, "instance %s is running; run: postfix -c %s stop", i->name.p,
                  i->dir.p);
}

static void deport(struct postmulti *m, struct instance *i)
{
    need_secondary(m, i);
    if (i->is_enabled)
        log_fatal(m->log, 1, "instance %s is enabled; run: postmulti -i %s -e disable", i->name.p,
                  i->name.p);
    need_stopped(m, i);
    forget(m, i);
}

static void destroy(struct postmulti *m, struct instance *i)
{
    need_secondary(m, i);
    if (i->is_enabled)
        log_fatal(m->log, 1, "instance %s is enabled; run: postmulti -i %s -e disable", i->name.p,
                  i->name.p);
    need_stopped(m, i);
    destroy_files(m, i);
    forget(m, i);
}

static void enable(struct postmulti *m, struct instance *i)
{
    set_parameter(m, i, STR("multi_instance_enable"), STR("yes"));
}

static void disable(struct postmulti *m, struct instance *i)
{
    set_parameter(m, i, STR("multi_instance_enable"), STR("no"));
}

static void assign(struct postmulti *m, struct instance *i)
{
    struct str name = str_of(m->o->new_name), group = str_of(m->o->new_group);

    if (name.p == NULL && group.p == NULL)
        log_fatal(m->log, 1, "-e assign requires -I newname or -G newgroup");
    if (name.p) {
        if (!str_eq(name, i->name) && !(i->is_primary && str_eq(name, STR("-"))))
            check_name(m, name);
        set_parameter(m, i, STR("multi_instance_name"), str_eq(name, STR("-")) ? STR("") : name);
    }
    if (group.p) {
        check_group(m, group);
        set_parameter(m, i, STR("multi_instance_group"), str_eq(group, STR("-")) ? STR("") : group);
    }
}

static const struct {
    const char *action;
    int (*whole)(struct postmulti *m);                    /* of all of it */
    void (*one)(struct postmulti *m, struct instance *i); /* of one, which -i names */
} actions[] = {
    {"init", init, NULL},       {"create", create, NULL},   {"import", import, NULL},
    {"deport", NULL, deport},   {"destroy", NULL, destroy}, {"enable", NULL, enable},
    {"disable", NULL, disable}, {"assign", NULL, assign},
};

int manage(struct postmulti *m)
{
    for (size_t k = 0; k < sizeof actions / sizeof *actions; k++) {
        struct instance *i;
        if (strcmp(actions[k].action, m->o->action) != 0)
            continue;
        if (actions[k].whole)
            return actions[k].whole(m);
        if (m->o->name == NULL)
            log_fatal(m->log, 1, "-e %s requires -i name", m->o->action);
        i = instance_find(m, str_of(m->o->name));
        if (i == NULL)
            log_fatal(m->log, 1, "no instance named %s", m->o->name);
        actions[k].one(m, i);
        return 0;
    }
    log_fatal(m->log, 1,
              "unknown action \"%s\"; there are: init create import destroy deport enable disable "
              "assign",
              m->o->action);
}
