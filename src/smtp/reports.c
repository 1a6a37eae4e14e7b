#include "smtp/reports.h"

#include <stdio.h>

#include "filter/link.h"

static void give_up(struct session *s, const struct why *why)
{
    log_warning(&s->log, "filter: %s; it hears no more of %s", why->text, s->where);
    s->wire.transcript->watch = NULL;
    filters_close(s->filters);
    s->filters = NULL;
}

void reports_flush(struct session *s)
{
    struct why why;

    if (s->filters && filters_flush(s->filters, &why) != RC_OK)
        give_up(s, &why);
}

/* Commands and replies, line by line. */
static void on_line(void *context, bool from_server, struct str line)
{
    struct session *s = context;

    if (s->filters)
        filters_tell(s->filters, from_server ? EVENT_PROTOCOL_SERVER : EVENT_PROTOCOL_CLIENT,
                     STR_NONE, STR_NONE, line);
}

static struct str endpoint_of(struct session *s, const struct addr *a)
{
    char text[ADDR_TEXT_SIZE], port[8];

    if (addr_family(a) != AF_INET && addr_family(a) != AF_INET6)
        return STR("unix:local");
    addr_format(a, text);
    snprintf(port, sizeof port, "%u", addr_port(a));
    return filters_endpoint(s->filters, str_of(text), str_of(port));
}

void reports_begin(struct session *s, struct str server_name)
{
    struct filter_facts facts = {.rdns = server_name, .fcrdns = true};
    struct addr own = {0};
    struct why why;

    if (s->smtp->filters.n == 0)
        return;
    if (filters_open(&s->smtp->filters, true, s->smtp->config, s->arena, &s->filters, &why) !=
        RC_OK) {
        give_up(s, &why);
        return;
    }
    s->transcript.watch = on_line;
    s->transcript.context = s;
    (void)!addr_of_socket(s->wire.stream.fd, false, &own, &why);
    filters_tell_connect(s->filters, &facts, endpoint_of(s, &own), endpoint_of(s, &s->address));
    reports_flush(s);
}

void reports_tls(struct session *s)
{
    const struct tls_session *t = s->tls;

    if (s->filters && t)
        filters_tell(s->filters, EVENT_LINK_TLS, STR_NONE, STR_NONE,
                     arena_printf(s->filters->arena, STR_FMT ":" STR_FMT ":%d",
                                  STR_ARG(t->protocol), STR_ARG(t->cipher), t->bits));
}

void reports_greeting(struct session *s, struct str reply)
{
    struct str rest = str_from(reply, 4), name;

    if (s->filters && str_token(&rest, " \n", &name))
        filters_tell(s->filters, EVENT_LINK_GREETING, STR_NONE, STR_NONE, name);
}

void reports_identify(struct session *s, const char *verb, struct str name)
{
    if (s->filters)
        filters_tell(s->filters, EVENT_LINK_IDENTIFY, str_of(verb), STR_NONE, name);
}

void reports_auth(struct session *s, struct str user, bool accepted)
{
    if (s->filters)
        filters_tell(s->filters, EVENT_LINK_AUTH, accepted ? STR("pass") : STR("fail"), STR_NONE,
                     user);
}

void reports_timeout(struct session *s)
{
    if (s->filters)
        filters_tell(s->filters, EVENT_TIMEOUT, STR_NONE, STR_NONE, STR_NONE);
}

/* ---- the transaction ---- */

static struct str result_of(int code)
{
    return code / 100 == 2 || code / 100 == 3 ? STR("ok")
           : code / 100 == 5                  ? STR("permfail")
                                              : STR("tempfail");
}

static void end_transaction(struct filters *fl, bool committed)
{
    if (fl->message[0] == '\0')
        return;
    if (!committed)
        filters_tell(fl, EVENT_TX_ROLLBACK, STR_NONE, STR_NONE, str_of(fl->message));
    filters_tell(fl, EVENT_TX_RESET, STR_NONE, STR_NONE, str_of(fl->message));
    fl->message[0] = '\0';
    arena_reset(fl->arena);
}

void reports_mail(struct session *s, struct str sender, int code)
{
    if (s->filters == NULL)
        return;
    end_transaction(s->filters, false);
    filters_tell_begin(s->filters);
    filters_tell(s->filters, EVENT_TX_MAIL, str_of(s->filters->message), result_of(code), sender);
}

void reports_rcpt(struct session *s, struct str recipient, int code)
{
    if (s->filters)
        filters_tell_recipient(s->filters, recipient, result_of(code));
}

void reports_data(struct session *s, int code)
{
    if (s->filters)
        filters_tell(s->filters, EVENT_TX_DATA, str_of(s->filters->message), STR_NONE,
                     result_of(code));
}

void reports_commit(struct session *s, long bytes, int code)
{
    bool done = code / 100 == 2;

    if (s->filters == NULL)
        return;
    if (done && s->filters->message[0])
        filters_tell(s->filters, EVENT_TX_COMMIT, str_of(s->filters->message), STR_NONE,
                     arena_printf(s->filters->arena, "%ld", bytes));
    end_transaction(s->filters, done);
    reports_flush(s);
}

void reports_end(struct session *s)
{
    if (s->filters == NULL)
        return;
    end_transaction(s->filters, false);
    filters_tell(s->filters, EVENT_LINK_DISCONNECT, STR_NONE, STR_NONE, STR_NONE);
    reports_flush(s);
    if (s->filters)
        filters_close(s->filters);
    s->filters = NULL;
}
