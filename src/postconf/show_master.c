#include <stdio.h>
#include <stdlib.h>

#include "postconf/postconf.h"

/* service[/type[/item]]; what is left out matches anything. */
struct selector {
    struct str name, type, item;
    const char *text;
    bool has_matched;
};

static bool matches(struct str pattern, struct str text)
{
    return str_eq(pattern, STR("*")) || str_eq(pattern, text);
}

static struct selector parse_selector(struct postconf *p, const char *text)
{
    struct selector s = {STR("*"), STR("*"), STR("*"), text, false};
    struct str rest = str_of(text);
    bool has_item = p->o->subject != MASTER_ENTRIES;

    s.name = str_cut(&rest, '/');
    if (rest.p)
        s.type = str_cut(&rest, '/');
    if (rest.p && has_item) {
        s.item = str_cut(&rest, '/');
        if (p->o->subject == MASTER_FIELDS_OF && !str_eq(s.item, STR("*")) &&
            master_field_find(s.item) < 0)
            log_fatal(p->log, 1, "invalid service attribute name: \"" STR_FMT "\"",
                      STR_ARG(s.item));
    }
    if (rest.p)
        log_fatal(p->log, 1, "-%c option requires service_name[/type%s], not \"%s\"",
                  p->o->subject == MASTER_ENTRIES     ? 'M'
                  : p->o->subject == MASTER_FIELDS_OF ? 'F'
                                                      : 'P',
                  has_item ? "[/item]" : "", text);
    return s;
}

/* With -x the -o settings are expanded as the service would. */
static struct master_entry expanded(struct postconf *p, const struct master_entry *e)
{
    struct master_entry copy = *e;
    struct config_source *s;

    if (!p->o->expanded || e->overrides_n == 0)
        return copy;
    s = definitions(p, e);
    copy.overrides = arena_array(p->arena, struct config_setting, e->overrides_n);
    for (size_t i = 0; i < e->overrides_n; i++) {
        struct why why = {0};
        copy.overrides[i] = e->overrides[i];
        if (source_expand(s, e->overrides[i].value, &copy.overrides[i].value, &why) != RC_OK)
            log_fatal(p->log, 1, STR_FMT ": %s", STR_ARG(e->overrides[i].origin), why.text);
    }
    return copy;
}

static const char *key_of(struct postconf *p, const struct master_entry *e, struct str item)
{
    return arena_printf(p->arena, "%s/%s%s" STR_FMT, e->name.p, master_type_name(e->type),
                        item.n ? "/" : "", STR_ARG(item))
        .p;
}

static void print_entry(struct postconf *p, const struct master_entry *e)
{
    AUTO_BUF line;

    buf_init(&line, CONFIG_LINE_MAX);
    master_entry_format(e, p->o->folded && !p->o->json, &line);
    if (p->o->json)
        print_json(key_of(p, e, STR("")), buf_str(&line));
    else
        puts(buf_text(&line));
}

/* The command field: the line behind the other fields. */
static struct str command_text(struct postconf *p, const struct master_entry *e)
{
    struct str rest, word;
    AUTO_BUF line;

    buf_init(&line, CONFIG_LINE_MAX);
    master_entry_format(e, false, &line);
    rest = buf_str(&line);
    for (int i = 0; i < MASTER_COMMAND; i++)
        str_token_braced(&rest, " ", &word);
    return arena_copy(p->arena, str_trim(rest));
}

static void print_fields(struct postconf *p, const struct master_entry *e, struct selector *s)
{
    for (int i = 0; i < MASTER_FIELDS; i++)
        if (matches(s->item, str_of(master_field_name((enum master_field)i)))) {
            print_setting(p->o, key_of(p, e, str_of(master_field_name((enum master_field)i))),
                          i == MASTER_COMMAND ? command_text(p, e) : e->fields[i]);
            s->has_matched = true;
        }
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct config_setting *)a)->name,
                   ((const struct config_setting *)b)->name);
}

struct settings {
    struct config_setting *v;
    size_t n, cap;
};

static void set(struct postconf *p, struct settings *list, const struct config_setting *s)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->v[i].name, s->name)) {
            list->v[i] = *s;
            return;
        }
    vec_add(p->arena, list, *s);
}

/* -PP: the SERVICE_suffix parameters as well, with their value or default. */
static void add_service_parameters(struct postconf *p, const struct master_entry *e,
                                   struct settings *list)
{
    for (size_t i = 0; i < transport_params_n; i++) {
        const struct transport_param *t = &transport_params[i];
        struct config_setting s = {.name = arena_printf(p->arena, STR_FMT "_" STR_FMT,
                                                        STR_ARG(e->name), STR_ARG(t->suffix)),
                                   .value = transport_param_default(t, e->name)};
        const struct main_cf_entry *entry = main_cf_find(&p->main, s.name);
        if (!usage_fits(t, e) || param_find(s.name) >= 0)
            continue;
        if (entry)
            s.value = entry->value;
        set(p, list, &s);
    }
}

static void print_parameters(struct postconf *p, const struct master_entry *e, struct selector *s)
{
    struct settings list = {0};

    if (p->o->all_parameters > 1)
        add_service_parameters(p, e, &list);
    for (size_t i = 0; i < e->overrides_n; i++)
        set(p, &list, &e->overrides[i]);
    if (list.n)
        qsort(list.v, list.n, sizeof *list.v, by_name);
    for (size_t i = 0; i < list.n; i++)
        if (matches(s->item, list.v[i].name)) {
            print_setting(p->o, key_of(p, e, list.v[i].name), list.v[i].value);
            s->has_matched = true;
        }
}

static void print_selected(struct postconf *p, const struct master_entry *e, struct selector *s)
{
    struct master_entry shown;

    if (!matches(s->name, e->name) || !matches(s->type, str_of(master_type_name(e->type))))
        return;
    shown = expanded(p, e);
    if (p->o->subject == MASTER_ENTRIES) {
        print_entry(p, &shown);
        s->has_matched = true;
    } else if (p->o->subject == MASTER_FIELDS_OF) {
        print_fields(p, &shown, s);
    } else {
        print_parameters(p, &shown, s);
    }
}

int show_master(struct postconf *p)
{
    char *everything[] = {(char[]){"*"}, NULL};
    char **args = *p->o->args ? p->o->args : everything;

    read_files(p);
    for (; *args; args++) {
        struct selector s = parse_selector(p, *args);
        for (size_t i = 0; p->has_services && i < p->services.n; i++)
            print_selected(p, &p->services.entries[i], &s);
        if (!s.has_matched && *p->o->args)
            log_warning(p->log, "unmatched request: \"%s\"", *args);
    }
    warn_about_names(p);
    return 0;
}
