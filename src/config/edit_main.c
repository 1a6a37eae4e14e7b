#include "config/edit.h"

struct main_edit {
    enum edit_action action;
    const struct config_setting *settings;
    size_t n;
    size_t *lines; /* how many lines each setting has */
    const struct edit_warnings *warnings;
    const char *path;
    struct arena *arena;
};

static struct str setting_line(struct arena *a, const struct config_setting *s)
{
    return arena_printf(a, STR_FMT " =%s" STR_FMT, STR_ARG(s->name), s->value.n ? " " : "",
                        STR_ARG(s->value));
}

/* The last setting of that name is the one that counts. */
static const struct config_setting *find_setting(const struct main_edit *m, struct str name)
{
    for (size_t i = m->n; i-- > 0;)
        if (str_eq(m->settings[i].name, name))
            return &m->settings[i];
    return NULL;
}

static enum rc decide_main(void *context, struct str line, int number, struct edit_decision *d,
                           struct why *why)
{
    struct main_edit *m = context;
    struct str rest = line;
    const struct config_setting *s = find_setting(m, str_trim(str_cut(&rest, '=')));

    (void)number;
    (void)why;
    if (s == NULL || rest.p == NULL)
        return RC_OK;
    if (++m->lines[s - m->settings] == 2 && m->warnings)
        m->warnings->warn(m->warnings->context,
                          arena_printf(m->arena, "%s: multiple entries for \"" STR_FMT "\"",
                                       m->path, STR_ARG(s->name))
                              .p);
    d->action = m->action;
    if (d->action == EDIT_REPLACE)
        d->text = setting_line(m->arena, s);
    return RC_OK;
}

static enum rc rewrite_main(void *context, const char *path, struct str old, struct buf *out,
                            struct why *why)
{
    struct main_edit *m = context;

    m->path = path;
    TRY(edit_text(old, decide_main, m, out, why));
    for (size_t i = 0; m->action == EDIT_REPLACE && i < m->n; i++)
        if (m->lines[i] == 0 && find_setting(m, m->settings[i].name) == &m->settings[i])
            edit_add_line(out, setting_line(m->arena, &m->settings[i]));
    return RC_OK;
}

static enum rc check_setting(const struct config_setting *s, struct why *why)
{
    if (str_index_any(s->name, "\r\n") >= 0 || str_index_any(s->value, "\r\n") >= 0)
        return FAIL(why, RC_PERM, "-e, -X, or -# accepts no multi-line input");
    if (str_has_prefix(s->name, STR("#")))
        return FAIL(why, RC_PERM, "-e, -X, or -# accepts no comment input");
    if (s->name.n == 0 || str_index_any(s->name, " \t=") >= 0)
        return FAIL(why, RC_PERM, "\"" STR_FMT "\" is no parameter name", STR_ARG(s->name));
    return RC_OK;
}

enum rc main_cf_edit(const char *dir, enum edit_action action,
                     const struct config_setting *settings, size_t n,
                     const struct edit_warnings *warnings, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct main_edit m = {.action = action, .settings = settings, .n = n, .warnings = warnings};

    m.arena = a;
    m.lines = arena_array(a, size_t, n + 1);
    for (size_t i = 0; i < n; i++)
        TRY(check_setting(&settings[i], why));
    return edit_file(dir, "main.cf", rewrite_main, &m, why);
}
