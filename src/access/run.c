/* The evaluator, and the restrictions that need nothing but themselves. */
#include <unistd.h>

#include "access/restrictions.h"
#include "config/config.h"

enum { DEPTH_MAX = 100 };

void log_permit(struct access_context *c, struct str action, struct str subject, const char *class,
                struct str table)
{
    if (c->list == ACCESS_LISTS || c->access->permit_actions == NULL ||
        match_get(c->access->permit_actions, action, NULL) != RC_OK)
        return;
    access_log(c, "permit",
               arena_printf(c->arena, "action=" STR_FMT " for %s=" STR_FMT " %s" STR_FMT,
                            STR_ARG(action), class, STR_ARG(subject), table.n ? "from " : "",
                            STR_ARG(table)));
}

/* Tables and policy servers log by themselves, with the word that permitted. */
static void log_step(struct access_context *c, const struct step *s)
{
    if (s->table || s->addresses || s->policy || s->run == run_class)
        return;
    if (s->run == run_permit)
        log_permit(c, s->name, c->subject, c->subject_class, STR_NONE);
    else if (s->run == permit_auth_destination || s->run == permit_mx_backup)
        log_permit(c, s->name, c->recipient, CLASS_RECIPIENT, STR_NONE);
    else
        log_permit(c, s->name, c->client.label, CLASS_CLIENT, STR_NONE);
}

enum verdict access_run(const struct program *program, struct access_context *c)
{
    for (const struct step *s = program->steps; s < program->steps + program->n; s++) {
        enum verdict v;
        c->warn_only += s->warn_only;
        v = s->run(c, s);
        c->warn_only -= s->warn_only;
        if (c->trace)
            c->trace(c->tracer, program, s, v);
        if (v == PERMIT)
            log_step(c, s);
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

void let_wait(struct access_context *c, long seconds)
{
    c->delay_seconds += seconds;
    if (c->dry_run || seconds <= 0)
        return;
    if (c->wait)
        c->wait(c->session, seconds);
    else
        sleep((unsigned)seconds);
}

enum verdict run_sleep(struct access_context *c, const struct step *s)
{
    let_wait(c, s->number);
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
