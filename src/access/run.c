/* The evaluator, and the restrictions that need nothing but themselves. */
#include <unistd.h>

#include "access/restrictions.h"
#include "config/config.h"

enum { DEPTH_MAX = 100 };

static bool permit_is_logged(struct access_context *c, const struct step *s)
{
    return c->access->permit_actions &&
           match_get(c->access->permit_actions, s->name, NULL) == RC_OK;
}

enum verdict access_run(const struct program *program, struct access_context *c)
{
    for (const struct step *s = program->steps; s < program->steps + program->n; s++) {
        enum verdict v;
        c->warn_only += s->warn_only;
        v = s->run(c, s);
        c->warn_only -= s->warn_only;
        if (v == PERMIT && s->run != run_class && permit_is_logged(c, s))
            access_log(c, "permit",
                       arena_printf(c->arena, "action=" STR_FMT " for %s=" STR_FMT,
                                    STR_ARG(s->name), c->subject_class, STR_ARG(c->subject)));
        if (v != DUNNO)
            return v;
    }
    return DUNNO;
}

enum verdict run_class(struct access_context *c, const struct step *s)
{
    enum verdict v;

    if (c->depth >= DEPTH_MAX) {
        log_warning(c->log, "restriction class " STR_FMT " calls itself: remove the loop from %s",
                    STR_ARG(s->name), s->program->parameter);
        return access_refuse(c, 451, "4.3.5", STR("Server configuration error"));
    }
    c->depth++;
    v = access_run(s->program, c);
    c->depth--;
    return v;
}

enum verdict run_permit(struct access_context *c, const struct step *s)
{
    (void)c;
    (void)s;
    return PERMIT;
}

enum verdict run_reject(struct access_context *c, const struct step *s)
{
    (void)s;
    return refuse_subject(c, c->access->config->reject_code, "5.7.1", c->subject, c->subject_class,
                          STR("Access denied"));
}

enum verdict run_defer(struct access_context *c, const struct step *s)
{
    (void)s;
    return refuse_subject(c, c->access->config->defer_code, "4.3.2", c->subject, c->subject_class,
                          STR("Try again later"));
}

enum verdict run_defer_if_permit(struct access_context *c, const struct step *s)
{
    (void)s;
    return defer_if(
        c, &c->if_permit, 450, "4.7.0",
        subject_text(c, c->subject, c->subject_class, STR("defer_if_permit requested")));
}

enum verdict run_defer_if_reject(struct access_context *c, const struct step *s)
{
    (void)s;
    return defer_if(
        c, &c->if_reject, 450, "4.7.0",
        subject_text(c, c->subject, c->subject_class, STR("defer_if_reject requested")));
}

enum verdict run_sleep(struct access_context *c, const struct step *s)
{
    if (!c->dry_run)
        sleep((unsigned)s->number);
    return DUNNO;
}

enum verdict reject_multi_recipient_bounce(struct access_context *c, const struct step *s)
{
    /* at RCPT the recipient being looked at is not counted yet */
    long n = c->recipient_count + (c->list == ACCESS_DATA || c->list == ACCESS_END_OF_DATA ? 0 : 1);

    (void)s;
    if (c->sender.p == NULL || c->sender.n || n < 2)
        return DUNNO;
    return refuse_subject(c, c->access->config->multi_recipient_bounce_reject_code, "5.5.3",
                          c->subject, c->subject_class, STR("Multi-recipient bounce"));
}
