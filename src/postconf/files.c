#include <stdio.h>

#include "config/check.h"
#include "postconf/postconf.h"

static const char *directory(const struct postconf *p)
{
    return p->o->dir ? p->o->dir : config_default_dir();
}

static void say_warning(void *context, bool is_error, const char *words)
{
    (void)is_error;
    log_warning(context, "%s", words);
}

static void say_bad_line(void *context, const char *words)
{
    log_warning(context, "%s", words);
}

static void read_services(struct postconf *p)
{
    struct master_reading how = {
        .keep_replaced = true, .on_error = say_bad_line, .context = (void *)p->log};
    struct why why = {0};

    p->has_services = master_cf_load(directory(p), &how, p->arena, &p->services, &why) == RC_OK;
    if (!p->has_services)
        log_warning(p->log, "%s", why.text);
}

void read_files(struct postconf *p)
{
    struct why why = {0};

    if (main_cf_load(directory(p), p->arena, &p->main, &why) != RC_OK)
        log_fatal(p->log, 1, "%s", why.text);
    read_services(p);
    p->usage = usage_find(&p->main, p->has_services ? &p->services : NULL, p->arena);
}

void warn_about_names(struct postconf *p)
{
    struct check_report report = {say_warning, p->log};

    fflush(stdout);
    if (p->o->quiet)
        return;
    if (p->o->subject == MAIN_CF)
        check_names(&p->main, p->has_services ? &p->services : NULL, &report);
    else
        check_master_names(&p->main, p->has_services ? &p->services : NULL, &report);
}

static void free_source(void *config)
{
    config_free(config);
}

struct config_source *definitions(struct postconf *p, const struct master_entry *service)
{
    struct config *c = source_new(16 * 1024);
    struct config_source *s = (struct config_source *)c->source;
    struct config_request request = {
        .dir = directory(p), .process_name = "postconf", .service_name = ""};
    struct str nothing = STR("");
    struct why why = {0};

    if (p->o->defaults)
        request.main_cf = &nothing;
    if (service) {
        request.service_name = service->name.p;
        request.process_name = service->command.p;
        request.overrides = service->overrides;
        request.overrides_n = service->overrides_n;
    } else {
        request.overrides = p->o->overrides;
        request.overrides_n = p->o->overrides_n;
    }
    if (source_read(s, &request, &why) != RC_OK)
        log_fatal(p->log, 1, "%s", why.text);
    arena_defer(p->arena, free_source, c);
    return s;
}
