#include "opensmtpd/generate.h"

#include <stdio.h>

#include "util/memory.h"

enum { FILE_BYTES_MAX = 512 * 1024 * 1024 };

struct buf *generate_file(struct generator *g, const char *name, bool is_secret)
{
    struct generated_file *f = arena_new_of(g->arena, struct generated_file);

    f->name = arena_copy(g->arena, str_of(name));
    f->is_secret = is_secret;
    buf_init(&f->text, FILE_BYTES_MAX);
    vec_add(g->arena, &g->files, f);
    map_put(&g->file_names, f->name, f);
    return &f->text;
}

struct str generate_place(struct generator *g, const struct conf_place *place)
{
    if (place == NULL || place->line == 0)
        return STR("default");
    return arena_printf(g->arena, STR_FMT ":%d", STR_ARG(place->file), place->line);
}

PRINTF_LIKE(3, 0)
static void note(struct generator *g, const struct conf_place *place, const char *format,
                 va_list args, bool is_error)
{
    AUTO_BUF b;

    buf_init(&b, 10000);
    if (place && place->line)
        buf_addf(&b, STR_FMT ": ", STR_ARG(generate_place(g, place)));
    if (!is_error)
        buf_add(&b, STR("warning: "));
    buf_vaddf(&b, format, args);
    if (is_error)
        vec_add(g->arena, &g->errors, arena_copy(g->arena, buf_str(&b)));
    else
        vec_add(g->arena, &g->warnings, arena_copy(g->arena, buf_str(&b)));
}

void warn(struct generator *g, const struct conf_place *place, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    note(g, place, format, args, false);
    va_end(args);
}

void complain(struct generator *g, const struct conf_place *place, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    note(g, place, format, args, true);
    va_end(args);
}

struct str literal(struct generator *g, struct str text)
{
    AUTO_BUF b;

    buf_init(&b, 2 * text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '$')
            buf_addc(&b, '$');
        buf_addc(&b, text.p[i] == '\n' || text.p[i] == '\r' ? ' ' : text.p[i]);
    }
    return arena_copy(g->arena, buf_str(&b));
}

struct str plain_name(struct generator *g, const char *prefix, struct str text)
{
    struct str name = arena_printf(g->arena, "%s" STR_FMT, prefix, STR_ARG(text));
    char *p = (char *)name.p;

    for (size_t i = 0; i < name.n; i++)
        if (!is_alnum(p[i]) && p[i] != '_')
            p[i] = '_';
    return str_head(name, 90);
}

void set(struct generator *g, const struct conf_place *place, const char *name, const char *format,
         ...)
{
    va_list args;

    buf_addf(g->main_cf, "# " STR_FMT "\n%s = ", STR_ARG(generate_place(g, place)), name);
    va_start(args, format);
    buf_vaddf(g->main_cf, format, args);
    va_end(args);
    buf_addc(g->main_cf, '\n');
}

void option(struct generator *g, const char *name, const char *format, ...)
{
    va_list args;

    buf_addf(g->master_cf, "  -o { %s = ", name);
    va_start(args, format);
    buf_vaddf(g->master_cf, format, args);
    va_end(args);
    buf_add(g->master_cf, STR(" }\n"));
}

/* Names that are generated must not meet: "a.b" and "a_b" would be one service. */
static void check_names(struct generator *g)
{
    const struct conf *c = g->conf;
    struct map names;

    map_init(&names);
    for (size_t i = 0; i < c->actions.n; i++) {
        const struct conf_action *a = c->actions.v[i], *other;
        struct str plain = arena_lower(g->arena, plain_name(g, "", action_name(g, a)));
        if (plain.n > 80)
            complain(g, &a->place, "action name \"" STR_FMT "\" is too long", STR_ARG(a->name));
        if ((other = map_get(&names, plain)))
            complain(g, &a->place, "action names \"" STR_FMT "\" and \"" STR_FMT "\" are too alike",
                     STR_ARG(a->name), STR_ARG(other->name));
        else
            map_put(&names, plain, (void *)a);
    }
    map_done(&names);
}

void generate(struct generator *g)
{
    struct str from = str_of(g->options->file);

    map_init(&g->lists);
    map_init(&g->services);
    map_init(&g->action_names);
    map_init(&g->file_names);
    g->main_cf = generate_file(g, "main.cf", false);
    g->master_cf = generate_file(g, "master.cf", false);
    g->rules = generate_file(g, "match_rules", false);
    g->actions = generate_file(g, "actions", false);
    g->filters = generate_file(g, "smtpd_filters", false);
    for (size_t i = 0; i < g->files.n; i++)
        buf_addf(&g->files.v[i]->text,
                 "# made from " STR_FMT " by opensmtpd(8); changes are lost at the next start\n",
                 STR_ARG(from));
    check_names(g);
    generate_base(g);
    generate_settings(g);
    generate_services(g);
    generate_filters(g);
    generate_certificates(g);
    generate_listeners(g);
    generate_actions(g);
    generate_rules(g);
}

void generator_done(struct generator *g)
{
    for (size_t i = 0; i < g->files.n; i++)
        buf_done(&g->files.v[i]->text);
    map_done(&g->lists);
    map_done(&g->services);
    map_done(&g->action_names);
    map_done(&g->file_names);
}
