#include "pickup/filters.h"

#include "config/config.h"
#include "filter/link.h"

static struct filter_facts facts_of(const struct message *m)
{
    return (struct filter_facts){
        .fcrdns = true,
        .rdns = STR("localhost"),
        .helo = STR("localhost"),
        .mail_from = m->drop.begin.sender,
    };
}

static enum rc in_trouble(struct message *m, struct why *why)
{
    log_warning(&m->log, "filter: %s; the message has to wait", why->text);
    return FAIL(why, RC_TEMP, "4.3.0 filter is not available, try again later");
}

/* *value: the parameter, rewritten or not, in the arena of the message. */
static enum rc ask(struct message *m, enum filter_phase phase, struct str first, struct str *value,
                   struct why *why)
{
    struct filter_facts facts = facts_of(m);
    struct verdict_of_filters v;
    struct str text;

    if (filters_ask(m->filters, phase, first, value ? *value : STR_NONE, &facts, &m->log,
                    STR("local"), &v, why) != RC_OK)
        return in_trouble(m, why);
    if (filters_refuse(&v)) {
        m->refusal = arena_copy(m->arena, v.text);
        text = str_trim(str_from(m->refusal, 3));
        return FAIL(why, m->refusal.p[0] == '4' ? RC_TEMP : RC_PERM, "%s" STR_FMT,
                    text.n > 2 && is_digit(text.p[0]) && text.p[1] == '.' ? ""
                    : m->refusal.p[0] == '4'                              ? "4.7.1 "
                                                                          : "5.7.1 ",
                    STR_ARG(text));
    }
    if (value && v.decision == DECIDE_REWRITE)
        *value = arena_copy(m->arena, v.text);
    return RC_OK;
}

static enum rc connect_and_greet(struct message *m, struct why *why)
{
    struct str local = STR("local"), name = STR("localhost");
    struct filters *fl = m->filters;
    struct filter_facts facts = facts_of(m);

    filters_tell_connect(fl, &facts, filters_endpoint(fl, STR(""), STR("")),
                         filters_endpoint(fl, STR(""), STR("")));
    TRY(ask(m, FILTER_CONNECT, name, &local, why));
    filters_tell(fl, EVENT_LINK_GREETING, STR_NONE, STR_NONE, m->env->config->myhostname);
    TRY(ask(m, FILTER_EHLO, STR_NONE, &name, why));
    filters_tell(fl, EVENT_LINK_IDENTIFY, STR("EHLO"), STR_NONE, name);
    return RC_OK;
}

static enum rc ask_envelope(struct message *m, struct why *why)
{
    struct filters *fl = m->filters;

    TRY(ask(m, FILTER_MAIL_FROM, STR_NONE, &m->drop.begin.sender, why));
    filters_tell_begin(fl);
    filters_tell(fl, EVENT_TX_MAIL, str_of(fl->message), STR("ok"), m->drop.begin.sender);
    for (size_t i = 0; i < m->recipients.n; i++) {
        TRY(ask(m, FILTER_RCPT_TO, STR_NONE, &m->recipients.v[i].address, why));
        filters_tell_recipient(fl, m->recipients.v[i].address, STR("ok"));
    }
    TRY(ask(m, FILTER_DATA, STR_NONE, NULL, why));
    filters_tell(fl, EVENT_TX_DATA, str_of(fl->message), STR_NONE, STR("ok"));
    return RC_OK;
}

enum rc filters_envelope(struct message *m, struct why *why)
{
    const struct filter_set *set = &m->pickup->filters;

    if (set->n == 0 || m->drop.source == DROP_FROM_QUEUE || m->refusal.n)
        return RC_OK;
    if (filters_open(set, false, m->env->config, m->arena, &m->filters, why) != RC_OK)
        return in_trouble(m, why);
    TRY(connect_and_greet(m, why));
    TRY(ask_envelope(m, why));
    return filtered_begin(m->filters, why);
}

void filters_line(struct message *m, struct str line, bool more)
{
    struct filters *fl = m->filters;

    if (fl == NULL || !fl->has_content)
        submit_line(m->submission, line, more);
    else if (fl->content_rc == RC_OK)
        fl->content_rc = filtered_add(fl, line, more, &m->why);
}

void filters_header(struct message *m, struct str header)
{
    if (m->filters == NULL || !m->filters->has_content) {
        submit_prepend_header(m->submission, header);
        return;
    }
    while (header.n)
        filters_line(m, str_cut(&header, '\n'), false);
}

/* Lines longer than is taken from programs go on in pieces. */
static void take_filtered(void *context, struct str line)
{
    struct message *m = context;
    size_t limit = (size_t)m->env->config->line_length_limit;

    while (line.n > limit) {
        submit_line(m->submission, str_head(line, limit), true);
        line = str_from(line, limit);
    }
    submit_line(m->submission, line, false);
}

enum rc filters_content(struct message *m, struct why *why)
{
    struct filters *fl = m->filters;

    if (fl == NULL)
        return RC_OK;
    if (fl->has_content && fl->content_rc == RC_OK)
        fl->content_rc = filtered_end(fl, take_filtered, m, &m->why);
    if (fl->content_rc != RC_OK) {
        *why = m->why;
        return in_trouble(m, why);
    }
    return ask(m, FILTER_COMMIT, STR_NONE, NULL, why);
}

void filters_end(struct message *m, bool queued)
{
    struct filters *fl = m->filters;
    struct why why;

    if (fl == NULL)
        return;
    if (fl->message[0] && queued)
        filters_tell(fl, EVENT_TX_COMMIT, str_of(fl->message), STR_NONE,
                     arena_printf(fl->arena, "%ld", submit_size(m->submission)));
    else if (fl->message[0])
        filters_tell(fl, EVENT_TX_ROLLBACK, STR_NONE, STR_NONE, str_of(fl->message));
    filters_tell(fl, EVENT_LINK_DISCONNECT, STR_NONE, STR_NONE, STR_NONE);
    (void)!filters_flush(fl, &why);
    filters_close(fl);
    m->filters = NULL;
}
