/* Where sessions and filters meet; questions and reports are in filter/link.h. */
#include "smtpd/filters.h"

#include "filter/link.h"
#include "smtpd/standalone.h"
#include "tls/tls.h"
#include "util/memory.h"

enum rc filters_load(struct smtpd *smtpd, struct why *why)
{
    const struct config *c = smtpd->config;

    if (str_trim(c->smtpd_filters).n == 0 || smtpd->env->on_stdin)
        return RC_OK;
    smtpd->filters = NEW(struct filter_set);
    return filter_set_load(c->smtpd_filter_definitions.p, c->smtpd_filters, &smtpd->env->log,
                           arena_new(4096), smtpd->filters, why);
}

/* ---- asking ---- */

/* The session cannot go on without an answer. */
static void give_up(struct session *s, struct verdict_of_filters *v)
{
    log_warning(&s->log, "filter: %s; the client is told to come again", s->why.text);
    s->filters->broken = true;
    *v = (struct verdict_of_filters){
        .decision = DECIDE_DISCONNECT,
        .text =
            arena_printf(s->filters->arena,
                         "421 4.3.0 " STR_FMT " Error: filter is not available, try again later",
                         STR_ARG(s->config->myhostname))};
}

static bool has_address(enum filter_phase phase)
{
    return phase == FILTER_MAIL_FROM || phase == FILTER_RCPT_TO;
}

static struct verdict_of_filters ask_all(struct session *s, enum filter_phase phase,
                                         struct str first, struct str parameter)
{
    struct filters *fl = s->filters;
    struct filter_facts facts = access_filter_facts(&s->access);
    struct verdict_of_filters v;
    unsigned long before = fl->answers;

    if (filters_ask(fl, phase, first, parameter, &facts, &s->message_log, s->access.client.label,
                    &v, &s->why) != RC_OK)
        give_up(s, &v);
    board_count(&s->smtpd->env->board, COUNTER_filter_answers, (long)(fl->answers - before));
    return v;
}

static bool obey(struct session *s, const struct verdict_of_filters *v)
{
    s->filters->refused = filters_refuse(v);
    if (!filters_refuse(v))
        return true;
    session_reply(s, v->text);
    s->over = s->over || v->decision == DECIDE_DISCONNECT;
    return false;
}

/* ---- telling ---- */

static void tell(struct session *s, enum filter_event e, struct str first, struct str second,
                 struct str last)
{
    filters_tell(s->filters, e, first, second, last);
}

static void flush(struct session *s)
{
    struct verdict_of_filters v;

    if (s->filters->broken || filters_flush(s->filters, &s->why) == RC_OK)
        return;
    give_up(s, &v);
    if (!s->over)
        session_reply(s, v.text);
    s->over = true;
}

static void tell_tls(struct session *s)
{
    const struct tls_session *t = s->access.tls;

    if (t)
        tell(s, EVENT_LINK_TLS, STR_NONE, STR_NONE,
             arena_printf(s->filters->arena, STR_FMT ":" STR_FMT ":%d", STR_ARG(t->protocol),
                          STR_ARG(t->cipher), t->bits));
}

bool filters_connect(struct session *s)
{
    const struct filter_set *set = s->smtpd->filters;
    struct verdict_of_filters v;
    struct filter_facts facts;

    if (set == NULL || set->n == 0)
        return true;
    if (filters_open(set, false, s->config, s->arena, &s->filters, &s->why) != RC_OK) {
        give_up(s, &v);
        return obey(s, &v);
    }
    facts = access_filter_facts(&s->access);
    filters_tell_connect(
        s->filters, &facts,
        filters_endpoint(s->filters, s->access.client.address_text, s->access.client.port),
        filters_endpoint(s->filters, s->access.client.server_address,
                         s->access.client.server_port));
    tell_tls(s); /* wrapper mode */
    v = ask_all(s, FILTER_CONNECT, facts.rdns.p ? facts.rdns : STR(""),
                s->access.client.address_text.n ? s->access.client.address_text : STR("local"));
    flush(s);
    if (v.decision == DECIDE_REJECT) /* as a rule at connect: what follows is refused as well */
        s->denied = arena_copy(s->arena, v.text);
    return obey(s, &v);
}

void filters_greeted(struct session *s)
{
    if (s->filters == NULL)
        return;
    tell(s, EVENT_LINK_GREETING, STR_NONE, STR_NONE, s->config->myhostname);
    flush(s);
}

/* how: tx-commit is told by the caller; tx-rollback here. */
static void end_transaction(struct session *s, enum filter_event how)
{
    struct filters *fl = s->filters;

    if (fl->message[0] && how == EVENT_TX_ROLLBACK)
        tell(s, how, STR_NONE, STR_NONE, str_of(fl->message));
    if (fl->message[0])
        tell(s, EVENT_TX_RESET, STR_NONE, STR_NONE, str_of(fl->message));
    fl->message[0] = '\0';
    fl->junk_message = false;
}

void filters_disconnect(struct session *s)
{
    struct filters *fl = s->filters;

    if (fl == NULL)
        return;
    end_transaction(s, EVENT_TX_ROLLBACK);
    if (s->reason && strcmp(s->reason, "timeout") == 0)
        tell(s, EVENT_TIMEOUT, STR_NONE, STR_NONE, STR_NONE);
    tell(s, EVENT_LINK_DISCONNECT, STR_NONE, STR_NONE, STR_NONE);
    s->over = true;
    flush(s);
    filters_close(fl);
    s->filters = NULL;
}

/* ---- commands ---- */

static const struct {
    enum command_id command;
    enum filter_phase phase;
} phases[] = {
    {CMD_HELO, FILTER_HELO}, {CMD_EHLO, FILTER_EHLO},      {CMD_STARTTLS, FILTER_STARTTLS},
    {CMD_AUTH, FILTER_AUTH}, {CMD_MAIL, FILTER_MAIL_FROM}, {CMD_RCPT, FILTER_RCPT_TO},
    {CMD_RSET, FILTER_RSET}, {CMD_QUIT, FILTER_QUIT},      {CMD_NOOP, FILTER_NOOP},
    {CMD_HELP, FILTER_HELP},
};

static bool phase_of(const struct command *c, enum filter_phase *phase)
{
    if (c == NULL) {
        *phase = FILTER_WIZ;
        return true;
    }
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (phases[i].command == c->id) {
            *phase = phases[i].phase;
            return true;
        }
    return false;
}

/* The address in "FROM:<address> SIZE=1": without < >. */
static struct str address_in(struct str arguments)
{
    ssize_t open = str_index(arguments, '<'), colon = str_index(arguments, ':'), end;
    struct str rest;

    if (open >= 0) {
        rest = str_from(arguments, (size_t)open + 1);
        end = str_index(rest, '>');
        return end < 0 ? rest : str_head(rest, (size_t)end);
    }
    rest = str_ltrim(str_from(arguments, (size_t)(colon + 1)));
    return str_cut(&rest, ' ');
}

static bool is_closed(struct str arguments)
{
    return str_index(arguments, '<') < 0 || str_index(arguments, '>') >= 0;
}

static struct str with_parameter(struct filters *fl, enum filter_phase phase, struct str arguments,
                                 struct str old, struct str new)
{
    struct str before, after;

    if (!has_address(phase))
        return new;
    before = str_head(arguments, (size_t)(old.p - arguments.p));
    after = str_from(arguments, (size_t)(old.p - arguments.p) + old.n);
    return arena_printf(fl->arena, STR_FMT STR_FMT STR_FMT, STR_ARG(before), STR_ARG(new),
                        STR_ARG(after));
}

bool filters_command(struct session *s, const struct command *c, struct str *arguments)
{
    struct filters *fl = s->filters;
    enum filter_phase phase;
    struct verdict_of_filters v;
    struct str parameter;

    if (fl == NULL || fl->broken || !phase_of(c, &phase))
        return true;
    fl->refused = false;
    if (has_address(phase) && !is_closed(*arguments))
        return true; /* smtpd says what is wrong with it */
    arena_reset(fl->arena);
    parameter = has_address(phase) ? address_in(*arguments) : *arguments;
    v = ask_all(s, phase, STR_NONE, parameter);
    if (v.decision == DECIDE_REWRITE)
        *arguments = with_parameter(fl, phase, *arguments, parameter, v.text);
    return obey(s, &v);
}

void filters_client_says(struct session *s, struct str line)
{
    if (s->filters)
        tell(s, EVENT_PROTOCOL_CLIENT, STR_NONE, STR_NONE, line);
}

void filters_server_says(struct session *s, struct str reply)
{
    struct str rest = reply;

    if (s->filters == NULL)
        return;
    if (reply.n > 3) {
        s->filters->last_class = reply.p[0];
        s->filters->last_subclass = reply.p[1];
    }
    while (rest.n)
        tell(s, EVENT_PROTOCOL_SERVER, STR_NONE, STR_NONE, str_cut(&rest, '\n'));
}

static struct str result_of(const struct session *s, bool done)
{
    return done ? STR("ok") : s->filters->last_class == '5' ? STR("permfail") : STR("tempfail");
}

static void tell_mail(struct session *s, struct str arguments, bool done)
{
    struct filters *fl = s->filters;

    if (done && fl->message[0] == '\0')
        filters_tell_begin(fl);
    tell(s, EVENT_TX_MAIL, fl->message[0] ? str_of(fl->message) : STR("00000000"),
         result_of(s, done), address_in(arguments));
}

static void tell_rcpt(struct session *s, struct str arguments, bool done)
{
    filters_tell_recipient(s->filters, address_in(arguments), result_of(s, done));
}

/* 50x: the command itself was wrong. Neither that nor what a filter has refused is of the
 * transaction. */
static bool was_understood(const struct session *s)
{
    return !s->filters->refused &&
           !(s->filters->last_class == '5' && s->filters->last_subclass == '0');
}

void filters_told(struct session *s, const struct command *c, struct str arguments, bool done)
{
    struct filters *fl = s->filters;

    if (fl == NULL)
        return;
    switch (c->id) {
    case CMD_HELO:
    case CMD_EHLO:
        end_transaction(s, EVENT_TX_ROLLBACK);
        if (done)
            tell(s, EVENT_LINK_IDENTIFY, str_of(c->name), STR_NONE, arguments);
        break;
    case CMD_STARTTLS:
        if (done)
            tell_tls(s);
        break;
    case CMD_AUTH:
        tell(s, EVENT_LINK_AUTH,
             done                    ? STR("pass")
             : fl->last_class == '4' ? STR("error")
                                     : STR("fail"),
             STR_NONE, s->access.sasl_username.p ? s->access.sasl_username : STR(""));
        break;
    case CMD_MAIL:
        if (was_understood(s))
            tell_mail(s, arguments, done);
        break;
    case CMD_RCPT:
        if (was_understood(s))
            tell_rcpt(s, arguments, done);
        break;
    case CMD_RSET: end_transaction(s, EVENT_TX_ROLLBACK); break;
    case CMD_DATA:
        if (!done && fl->message[0] && s->access.sender.p)
            tell(s, EVENT_TX_DATA, str_of(fl->message), STR_NONE, result_of(s, false));
        break;
    default: break;
    }
    flush(s);
}

/* ---- content ---- */

bool filters_data(struct session *s, struct str *reply)
{
    struct verdict_of_filters v;

    *reply = STR_NONE;
    if (s->filters == NULL || s->filters->broken)
        return true;
    v = ask_all(s, FILTER_DATA, STR_NONE, STR_NONE);
    if (!filters_refuse(&v))
        return true;
    *reply = v.text;
    s->over = s->over || v.decision == DECIDE_DISCONNECT;
    return false;
}

void filters_content_begins(struct session *s)
{
    struct filters *fl = s->filters;

    if (fl == NULL)
        return;
    tell(s, EVENT_TX_DATA, str_of(fl->message), STR_NONE, STR("ok"));
    fl->content_rc = filtered_begin(fl, &s->why);
    if (fl->junk_session || fl->junk_message)
        transaction_header(s, STR("X-Spam: yes"));
}

/* What stands in front of the content is content for filters. */
bool filters_take_header(struct session *s, struct str header)
{
    struct str rest = header;

    if (s->filters == NULL || !s->filters->has_content)
        return false;
    while (rest.n)
        filters_line(s, str_cut(&rest, '\n'), false);
    return true;
}

void filters_line(struct session *s, struct str line, bool more)
{
    struct filters *fl = s->filters;

    if (fl == NULL || !fl->has_content)
        message_line(s, line, more);
    else if (fl->content_rc == RC_OK)
        fl->content_rc = filtered_add(fl, line, more, &s->why);
}

/* Lines longer than smtpd takes from clients go on in pieces. */
static void take_filtered(void *context, struct str line)
{
    struct session *s = context;
    size_t limit = (size_t)s->config->line_length_limit;

    while (line.n > limit) {
        message_line(s, str_head(line, limit), true);
        line = str_from(line, limit);
    }
    message_line(s, line, false);
}

bool filters_content_ends(struct session *s, struct str *reply)
{
    struct filters *fl = s->filters;
    struct verdict_of_filters v;

    *reply = STR_NONE;
    if (fl == NULL)
        return true;
    if (!s->t.chunking)
        filters_client_says(s, STR("."));
    if (fl->has_content && fl->content_rc == RC_OK)
        fl->content_rc = filtered_end(fl, take_filtered, s, &s->why);
    if (fl->content_rc != RC_OK)
        give_up(s, &v);
    else
        v = ask_all(s, FILTER_COMMIT, STR_NONE, STR_NONE);
    if (!filters_refuse(&v))
        return true;
    *reply = v.text;
    s->over = s->over || v.decision == DECIDE_DISCONNECT;
    return false;
}

void filters_message(struct session *s, bool queued)
{
    struct filters *fl = s->filters;

    if (fl == NULL)
        return;
    if (queued && fl->message[0])
        tell(s, EVENT_TX_COMMIT, str_of(fl->message), STR_NONE,
             arena_printf(fl->arena, "%ld", message_size(s)));
    end_transaction(s, queued ? EVENT_TX_COMMIT : EVENT_TX_ROLLBACK);
    flush(s);
}
