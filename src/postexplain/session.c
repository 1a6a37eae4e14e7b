/* What a session would do: stage by stage, as far as the client gets. */
#include <limits.h>

#include "global/address.h"
#include "postexplain/postexplain.h"

struct walk {
    const struct question *q;
    const struct config *config;
    struct access_context *c;
    struct explanation *e;
};

void note_step(void *tracer, const struct program *program, const struct step *s,
               enum verdict verdict)
{
    struct explanation *e = tracer;
    struct trace_step step = {
        .list = str_of(program->parameter),
        .restriction = s->argument.n ? arena_printf(e->arena, STR_FMT " " STR_FMT, STR_ARG(s->name),
                                                    STR_ARG(s->argument))
                                     : arena_copy(e->arena, s->name),
        .verdict = verdict,
        .place = e->context->decided,
    };

    if (e->context->if_permit.active && e->deferring < 0)
        e->deferring = (ssize_t)e->steps.n;
    vec_add(e->arena, &e->steps, step);
}

/* ---- stages ---- */

static enum verdict at_stage(struct walk *w, const char *stage,
                             enum verdict (*ask)(struct access_context *c))
{
    enum verdict v;

    w->c->stage = stage;
    w->c->delay_seconds = 0;
    v = ask(w->c);
    w->e->delay_seconds += w->c->delay_seconds;
    return v;
}

/* The answer that no rule gives. */
static enum verdict refuse(struct walk *w, const char *setting, const char *reply)
{
    w->c->reply = str_of(reply);
    w->c->setting = setting;
    w->e->is_error = true;
    return REJECT;
}

/* An address as it stands between < and >. */
static enum verdict take_address(struct walk *w, enum filter_phase phase, const char *verb,
                                 const char *bad, const char *given, struct str *address)
{
    struct str text = str_of(given), path, rest;
    struct why why;

    w->c->stage = verb;
    if (!explain_filters(w->e, phase, STR_NONE, &text))
        return REJECT;
    path = arena_printf(w->e->arena, "<" STR_FMT ">", STR_ARG(text));
    if (access_path_parse(w->c, path, verb, address, &rest, &why) != RC_OK)
        return refuse(w, NULL, bad);
    if (w->config->strict_smtputf8 && !str_is_ascii(*address))
        return refuse(w, "strict_smtputf8", REPLY_NEEDS_UTF8);
    if (address->p == NULL)
        *address = STR("");
    return DUNNO;
}

static enum verdict connect_and_greet(struct walk *w)
{
    struct str address = w->c->client.address_text, rdns = w->c->client.reverse_name;
    struct str name = str_of(w->q->helo);
    enum verdict v;

    if (!explain_filters(w->e, FILTER_CONNECT, str_eq(rdns, STR("unknown")) ? STR("") : rdns,
                         &address))
        return REJECT;
    v = at_stage(w, "CONNECT", access_at_connect);
    if (is_no(v))
        return v;
    w->e->delay_seconds += w->config->smtpd_greet_delay;
    if (w->q->helo == NULL)
        return v;
    if (!explain_filters(w->e, FILTER_EHLO, STR_NONE, &name))
        return REJECT;
    w->c->helo = access_helo_name(w->e->arena, name);
    w->c->protocol = STR("ESMTP");
    w->c->esmtp = true;
    return at_stage(w, "EHLO", access_at_helo);
}

static enum verdict mail(struct walk *w)
{
    struct str sender = STR_NONE;
    enum verdict v;

    access_begin_message(w->c);
    v = take_address(w, FILTER_MAIL_FROM, "MAIL", REPLY_BAD_SENDER, w->q->sender, &sender);
    if (is_no(v))
        return v;
    w->c->sender = sender;
    return at_stage(w, "MAIL", access_at_mail);
}

static enum verdict rcpt(struct walk *w)
{
    const struct config *config = w->config;
    struct str recipient = STR_NONE;
    enum verdict v =
        take_address(w, FILTER_RCPT_TO, "RCPT", REPLY_BAD_RECIPIENT, w->q->recipient, &recipient);

    if (is_no(v))
        return v;
    w->c->recipient = recipient;
    v = at_stage(w, "RCPT", access_at_rcpt);
    if (!is_no(v) && config->smtpd_tarpit_recipient_count == 1)
        w->e->delay_seconds += config->smtpd_tarpit_delay;
    return v;
}

static enum verdict run(struct walk *w)
{
    struct str nothing = STR_NONE;
    enum verdict v = connect_and_greet(w);

    if (is_no(v) || (w->q->sender == NULL && w->q->etrn == NULL))
        return v;
    if (w->config->smtpd_helo_required && w->c->helo.p == NULL)
        return refuse(w, "smtpd_helo_required", REPLY_SEND_HELO);
    if (w->q->etrn) {
        w->c->etrn_domain = str_of(w->q->etrn);
        return at_stage(w, "ETRN", access_at_etrn);
    }
    v = mail(w);
    if (is_no(v) || w->q->recipient == NULL)
        return v;
    v = rcpt(w);
    if (is_no(v))
        return v;
    w->c->recipient_count = 1;
    v = at_stage(w, "DATA", access_at_data);
    if (is_no(v))
        return v;
    if (!explain_filters(w->e, FILTER_DATA, STR_NONE, &nothing) ||
        !explain_filters(w->e, FILTER_COMMIT, STR_NONE, &nothing))
        return REJECT;
    return at_stage(w, "END-OF-MESSAGE", access_at_end_of_data);
}

/* ---- who has decided ---- */

/* The step that decided; the outermost when restrictions called others. */
static const struct trace_step *decider(const struct explanation *e, enum verdict v)
{
    const struct access_context *c = e->context;

    if (v == REJECT && e->deferring >= 0 && c->if_permit.active &&
        str_eq(c->reply, c->if_permit.reply))
        return &e->steps.v[e->deferring];
    for (size_t i = e->steps.n; i-- > 0;)
        if (e->steps.v[i].verdict == (is_no(v) ? v : PERMIT))
            return &e->steps.v[i];
    return NULL;
}

/* "/etc/postfix/main.cf, line 12" */
void place_of_setting(const struct config *config, struct str parameter, struct explanation *e)
{
    struct str place = config_place(config, e->arena, parameter);
    ssize_t line = str_find(place, STR(", line "));

    if (line < 0 || !str_to_long(str_from(place, (size_t)line + 7), 0, LONG_MAX, &e->place.line))
        return;
    e->place.file = arena_copy(e->arena, str_head(place, (size_t)line));
}

static void note_decider(const struct config *config, const struct trace_step *s,
                         struct explanation *e)
{
    struct str setting = str_of(e->context->setting);

    if (s && s->place.file.n && s->place.line)
        e->place = s->place;
    else if (s || setting.n)
        place_of_setting(config, s ? s->list : setting, e);
    e->restriction = s ? s->restriction : setting;
}

void conclude(const struct config *config, enum verdict v, struct explanation *e)
{
    const struct access_context *c = e->context;
    const struct trace_step *s = e->is_error ? NULL : decider(e, v);

    if (v == REJECT)
        e->reply = c->reply;
    e->closes = v == HANGUP || e->hangs_up ||
                (v == REJECT && !e->is_error && (c->closes || config->smtpd_disconnect_on_reject));
    e->verdict = is_no(v)             ? "reject"
                 : c->actions.discard ? "discard"
                 : c->actions.hold    ? "hold"
                 : s                  ? "permit"
                                      : "none";
    note_decider(config, s, e);
}

enum rc explain_session(const struct question *q, const struct config *config,
                        struct explanation *e, struct why *why)
{
    struct walk w = {q, config, e->context, e};

    TRY(explain_filters_open(config, e, why));
    conclude(config, run(&w), e);
    return RC_OK;
}
