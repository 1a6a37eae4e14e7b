#include <stdio.h>

#include "postmulti/postmulti.h"

struct instances {
    struct instance *v;
    size_t n, cap;
};

static void free_config(void *config)
{
    config_free(config);
}

static struct instance load(struct postmulti *m, struct str dir, bool is_primary)
{
    struct instance i = {.dir = arena_copy(m->arena, dir), .is_primary = is_primary};
    struct config_request request = {.dir = i.dir.p, .process_name = "postmulti"};
    struct why why = {0};

    if (config_load(&request, &i.config, &why) != RC_OK)
        log_fatal(m->log, 1, "%s", why.text);
    arena_defer(m->arena, free_config, i.config);
    i.name = i.config->multi_instance_name;
    i.group = i.config->multi_instance_group;
    i.is_enabled = i.config->multi_instance_enable;
    return i;
}

static void check_unique(struct postmulti *m, const struct instances *list,
                         const struct instance *i)
{
    if (i->name.n == 0 && !i->is_primary)
        log_fatal(m->log, 1,
                  "%s/main.cf: multi_instance_name is empty; set it to postfix-something",
                  i->dir.p);
    for (size_t k = 0; k < list->n; k++) {
        if (str_eq(list->v[k].dir, i->dir))
            log_fatal(m->log, 1, "multi_instance_directories: %s is there twice", i->dir.p);
        if (i->name.n && str_eq(list->v[k].name, i->name))
            log_fatal(m->log, 1, "%s and %s have the same multi_instance_name %s", i->dir.p,
                      list->v[k].dir.p, i->name.p);
    }
}

void instances_load(struct postmulti *m)
{
    struct instances list = {0};
    struct instance i = load(m, str_of(config_default_dir()), true);
    struct str rest = i.config->multi_instance_directories, dir;

    vec_add(m->arena, &list, i);
    while (str_token(&rest, LIST_SEPARATORS, &dir)) {
        if (dir.p[0] != '/')
            log_fatal(m->log, 1,
                      "multi_instance_directories: \"" STR_FMT "\" is no absolute path name",
                      STR_ARG(dir));
        i = load(m, dir, false);
        check_unique(m, &list, &i);
        vec_add(m->arena, &list, i);
    }
    if (list.n == 1) /* alone, nothing keeps it from its start */
        list.v[0].is_enabled = true;
    m->instances = list.v;
    m->n = list.n;
}

struct instance *instance_find(struct postmulti *m, struct str name)
{
    for (size_t i = 0; i < m->n; i++)
        if ((m->instances[i].name.n && str_eq(m->instances[i].name, name)) ||
            str_eq(m->instances[i].dir, name) ||
            (m->instances[i].is_primary && str_eq(name, STR("-"))))
            return &m->instances[i];
    return NULL;
}

static bool is_selected(struct postmulti *m, const struct instance *i)
{
    if (m->o->name)
        return instance_find(m, str_of(m->o->name)) == i;
    return m->o->group == NULL || str_eq(i->group, str_of(m->o->group));
}

struct instance **instances_select(struct postmulti *m, bool reverse, size_t *n)
{
    struct instance **found = arena_array(m->arena, struct instance *, m->n);

    *n = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct instance *one = &m->instances[reverse ? m->n - 1 - i : i];
        if (is_selected(m, one))
            found[(*n)++] = one;
    }
    return found;
}

static const char *or_dash(struct str s)
{
    return s.n ? s.p : "-";
}

int list_instances(struct postmulti *m)
{
    size_t n;
    struct instance **found = instances_select(m, m->o->reverse, &n);

    for (size_t i = 0; i < n; i++) {
        const char *enabled = found[i]->is_enabled ? "y" : "n";
        printf(m->o->mode == LIST ? "%-15s %-15s %-9s %s\n"
                                  : "{\"name\": \"%s\",\"group\": \"%s\",\"enabled\": \"%s\","
                                    "\"config_directory\": \"%s\"}\n",
               or_dash(found[i]->name), or_dash(found[i]->group), enabled, found[i]->dir.p);
    }
    return 0;
}
