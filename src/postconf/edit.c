#include "postconf/postconf.h"

static const char *directory(const struct postconf *p)
{
    return p->o->dir ? p->o->dir : config_default_dir();
}

static void say_warning(void *context, const char *words)
{
    log_warning(context, "%s", words);
}

static size_t count(char **args)
{
    size_t n = 0;

    while (args[n])
        n++;
    return n;
}

static void parse_settings(struct postconf *p, size_t n, struct config_setting *settings)
{
    for (size_t i = 0; i < n; i++) {
        struct str text = str_of(p->o->args[i]);
        struct why why = {0};
        settings[i] = (struct config_setting){.name = str_trim(text)};
        if (p->o->action == 'e' && config_parse_setting(text, &settings[i], &why) != RC_OK)
            log_fatal(p->log, 1, "%s", why.text);
    }
}

static int edit_main(struct postconf *p, size_t n)
{
    enum edit_action action = p->o->action == 'e'   ? EDIT_REPLACE
                              : p->o->action == 'X' ? EDIT_DELETE
                                                    : EDIT_COMMENT;
    struct config_setting *settings = arena_array(p->arena, struct config_setting, n);
    struct edit_warnings warnings = {say_warning, p->log};
    struct why why = {0};

    parse_settings(p, n, settings);
    if (main_cf_edit(directory(p), action, settings, n, &warnings, &why) != RC_OK)
        log_fatal(p->log, 1, "%s", why.text);
    return 0;
}

static enum master_edit_kind kind_of(const struct options *o)
{
    if (o->subject == MASTER_FIELDS_OF)
        return MASTER_EDIT_FIELD;
    if (o->subject == MASTER_PARAMETERS)
        return o->action == 'e' ? MASTER_EDIT_PARAM : MASTER_DELETE_PARAM;
    return o->action == 'e'   ? MASTER_EDIT_ENTRY
           : o->action == 'X' ? MASTER_DELETE_ENTRY
                              : MASTER_COMMENT_ENTRY;
}

static int edit_master(struct postconf *p, size_t n)
{
    struct master_edit *edits = arena_array(p->arena, struct master_edit, n);
    struct why why = {0};

    for (size_t i = 0; i < n; i++)
        if (master_edit_parse(kind_of(p->o), str_of(p->o->args[i]), &edits[i], &why) != RC_OK)
            log_fatal(p->log, 1, "%s", why.text);
    if (master_cf_edit(directory(p), edits, n, &why) != RC_OK)
        log_fatal(p->log, 1, "%s", why.text);
    for (size_t i = 0; i < n; i++)
        if (!edits[i].is_done)
            log_warning(p->log, "unmatched request: \"%s\"", p->o->args[i]);
    return 0;
}

int edit_files(struct postconf *p)
{
    size_t n = count(p->o->args);

    if (n == 0 && p->o->action == 'e')
        log_fatal(p->log, 1, "-e requires name=value argument");
    if (n == 0)
        log_fatal(p->log, 1, "-%c requires an argument: what to edit", p->o->action);
    return p->o->subject == MAIN_CF ? edit_main(p, n) : edit_master(p, n);
}
