#include <stdlib.h>

#include "config/defaults.h"
#include "postconf/postconf.h"

/* A parameter to print. */
struct row {
    struct str name;
    enum class class;
    int index;                             /* in params[]; -1 */
    const struct transport_param *pattern; /* SERVICE_suffix */
    struct str service;
};

struct rows {
    struct row *v;
    size_t n, cap;
};

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void add_builtin(struct postconf *p, struct rows *rows)
{
    for (int i = 0; i < PARAM_COUNT; i++) {
        struct row row = {.name = params[i].name, .class = CLASS_BUILTIN, .index = i};
        if (params[i].kind == PARAM_LEGACY) {
            if (main_cf_find(&p->main, row.name) == NULL || p->o->defaults)
                continue; /* shown only where it is used */
            row.class = CLASS_USER;
        }
        vec_add(p->arena, rows, row);
    }
}

static bool has_row(struct rows *rows, size_t start, struct str name)
{
    for (size_t i = start; i < rows->n; i++)
        if (str_eq(rows->v[i].name, name))
            return true;
    return false;
}

/* SERVICE_suffix for each service; those of any service only where main.cf sets them. */
static void add_service_rows(struct postconf *p, struct rows *rows)
{
    size_t start = rows->n;

    for (size_t i = 0; p->has_services && i < p->services.n; i++) {
        const struct master_entry *e = &p->services.entries[i];
        for (size_t j = 0; j < transport_params_n; j++) {
            const struct transport_param *t = &transport_params[j];
            struct row row = {
                .class = CLASS_SERVICE, .index = -1, .pattern = t, .service = e->name};
            if (!usage_fits(t, e))
                continue;
            row.name =
                arena_printf(p->arena, STR_FMT "_" STR_FMT, STR_ARG(e->name), STR_ARG(t->suffix));
            if (t->any_service && (main_cf_find(&p->main, row.name) == NULL || p->o->defaults))
                continue;
            if (param_find(row.name) < 0 && !has_row(rows, start, row.name))
                vec_add(p->arena, rows, row);
        }
    }
}

static void add_user_rows(struct postconf *p, struct rows *rows)
{
    for (size_t i = 0; !p->o->defaults && i < p->main.n; i++) {
        const struct main_cf_entry *e = &p->main.entries[i];
        struct row row = {.name = e->name, .class = CLASS_USER, .index = -1};
        if (main_cf_find(&p->main, e->name) == e && !usage_is_known(p->usage, e->name) &&
            usage_is_mentioned(p->usage, e->name))
            vec_add(p->arena, rows, row);
    }
}

/* The definition in effect, as written; false when there is none. */
static bool find_written(struct config_source *s, const struct row *row, struct str *text)
{
    const struct user_parameter *u;

    if (row->index >= 0) {
        if (s->definitions[row->index])
            *text = s->definitions[row->index]->text;
        return s->definitions[row->index] != NULL;
    }
    u = map_get(&s->user, row->name);
    if (u)
        *text = u->definition.text;
    return u != NULL;
}

static enum rc default_text(struct postconf *p, struct config_source *s, const struct row *row,
                            struct str *text, struct why *why)
{
    if (row->index < 0) {
        *text = row->pattern ? transport_param_default(row->pattern, row->service) : STR("");
        return RC_OK;
    }
    *text = params[row->index].dflt;
    if (!computed_is(row->index) || (p->o->defaults && row->index == PARAM_INDEX_config_directory))
        return RC_OK;
    TRY(source_evaluate(s, row->index, why));
    *text = s->texts[row->index];
    return RC_OK;
}

/* -x: all but the texts that are templates for somebody else. */
static enum rc expand_row(struct config_source *s, const struct row *row, struct str *text,
                          struct why *why)
{
    if (row->index >= 0 && params[row->index].kind == PARAM_RAW)
        return RC_OK;
    return source_expand(s, *text, text, why);
}

static void print_row(struct postconf *p, struct config_source *s, const struct row *row)
{
    bool is_set = row->index == PARAM_INDEX_config_directory && !p->o->defaults;
    struct str text = STR("");
    struct why why = {0};

    is_set = find_written(s, row, &text) || is_set;
    if (p->o->only_set && !is_set)
        return;
    if (is_set && row->index == PARAM_INDEX_config_directory)
        text = str_of(s->dir);
    else if (!is_set && default_text(p, s, row, &text, &why) != RC_OK)
        log_fatal(p->log, 1, "%s", why.text);
    if (p->o->expanded && !p->o->only_names && expand_row(s, row, &text, &why) != RC_OK)
        log_fatal(p->log, 1, "%s", why.text);
    print_setting(p->o, row->name.p, text);
}

static const struct row *find_row(const struct rows *rows, struct str name)
{
    struct row key = {.name = name};

    return rows->n ? bsearch(&key, rows->v, rows->n, sizeof key, by_name) : NULL;
}

/* A legacy name is known, though it is in no listing. */
static bool find_legacy(struct str name, struct row *row)
{
    int index = param_find(name);

    *row = (struct row){.name = name, .class = CLASS_BUILTIN, .index = index};
    return index >= 0;
}

/* A name that -o defines. */
static bool find_override(struct postconf *p, struct config_source *s, struct str name,
                          struct row *row)
{
    *row = (struct row){.name = name, .class = CLASS_USER, .index = -1};
    return !p->o->defaults && p->o->overrides_n && map_get(&s->user, name) != NULL &&
           main_cf_find(&p->main, name) == NULL;
}

static void print_named(struct postconf *p, struct config_source *s, const struct rows *rows)
{
    for (char **arg = p->o->args; *arg; arg++) {
        const struct row *row = find_row(rows, str_of(*arg));
        struct row other;

        if (row)
            print_row(p, s, row);
        else if (find_legacy(str_of(*arg), &other) || find_override(p, s, str_of(*arg), &other))
            print_row(p, s, &other);
        else
            log_warning(p->log, "%s: unknown parameter", *arg);
    }
}

int show_main(struct postconf *p)
{
    struct rows rows = {0};
    struct config_source *s;

    read_files(p);
    s = definitions(p, NULL);
    add_builtin(p, &rows);
    add_service_rows(p, &rows);
    add_user_rows(p, &rows);
    qsort(rows.v, rows.n, sizeof *rows.v, by_name);
    if (*p->o->args)
        print_named(p, s, &rows);
    else
        for (size_t i = 0; i < rows.n; i++)
            if (rows.v[i].class & p->o->classes)
                print_row(p, s, &rows.v[i]);
    if (!p->o->defaults)
        warn_about_names(p);
    return 0;
}
