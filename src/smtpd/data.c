/* DATA (RFC 5321 4.1.1.4) and BDAT (RFC 3030). */
#include "smtpd/filters.h"
#include "smtpd/paranoid.h"
#include "smtpd/standalone.h"
#include "util/clock.h"

/* With a deadline for the whole request, a message may take the longer the more of it has come. */
static void extend_deadline(struct session *s, long begin_ms)
{
    if (s->config->smtpd_per_request_deadline)
        s->wire.stream.deadline_ms = begin_ms + s->config->smtpd_timeout * 1000 +
                                     s->t.content.bytes * 1000 / s->config->smtpd_min_data_rate;
}

static bool has_recipients(struct session *s)
{
    if (s->t.recipients)
        return true;
    session_reply(s, s->access.sender.p ? STR("554 5.5.1 Error: no valid recipients")
                                        : STR("503 5.5.1 Error: need RCPT command"));
    return false;
}

static bool data_allowed(struct session *s)
{
    enum verdict v;
    struct str reply;

    s->access.recipient = s->t.only_recipient;
    v = access_at_data(&s->access);
    s->access.recipient = STR_NONE;
    if (!session_obeys(s, v))
        return false;
    if (filters_data(s, &reply))
        return true;
    session_reply(s, reply);
    return false;
}

/* False: the session is over. */
static bool take_line(struct session *s, struct str line, bool more)
{
    service_progress(s->env);
    if (!paranoid_takes_line(s, line, more))
        return false;
    if (message_status(s) == 0)
        filters_line(s, line, more);
    return true;
}

/* The message is complete: queue it and tell the client. */
static bool end_of_message(struct session *s, struct str ok)
{
    struct str reply;
    bool queued = filters_content_ends(s, &reply) && transaction_finish(s, &reply);

    filters_message(s, queued);
    stream_shrink(&s->wire.stream);
    if (queued) {
        s->errors = s->junk = 0;
        xforward_reset(s);
    }
    if (queued && ok.p && s->access.queue_id.n)
        session_replyf(s, STR_FMT " queued as " STR_FMT, STR_ARG(ok), STR_ARG(s->access.queue_id));
    else if (reply.p)
        session_reply(s, reply);
    transaction_done(s);
    return queued;
}

bool cmd_data(struct session *s, struct str arguments)
{
    long begin_ms = s->config->smtpd_per_request_deadline ? clock_ms() : 0;
    struct str line;
    bool more;
    enum rc rc;

    if (!has_recipients(s))
        return false;
    if (arguments.n) {
        session_reply(s, STR("501 5.5.4 Syntax: DATA"));
        return false;
    }
    if (!data_allowed(s))
        return false;
    session_reply(s, STR("354 End data with <CR><LF>.<CR><LF>"));
    transaction_begin_content(s);
    extend_deadline(s, begin_ms);
    while ((rc = wire_data_line(&s->t.content, &line, &more, &s->why)) == RC_OK) {
        if (!take_line(s, line, more))
            return false;
        extend_deadline(s, begin_ms);
    }
    if (rc == RC_NONE)
        return end_of_message(s, STR_NONE);
    session_broke(s, rc);
    return false;
}

/* ---- BDAT ---- */

static bool bdat_syntax(struct str arguments, long *size, bool *last)
{
    struct str rest = arguments, number, word;

    *last = false;
    if (!str_token(&rest, " \t", &number) || !str_is_digits(number) ||
        !str_to_long(number, 0, LONG_MAX, size))
        return false;
    if (!str_token(&rest, " \t", &word))
        return true;
    *last = true;
    return str_eq_nocase(word, STR("LAST")) && !str_token(&rest, " \t", &word);
}

/* Read the chunk so that the next command is found, and answer. */
static bool refuse_chunk(struct session *s, bool last, struct str reply)
{
    long size = (long)s->t.content.left;
    enum rc rc = wire_chunk_skip(&s->t.content, &s->why);

    if (rc != RC_OK) {
        session_broke(s, rc);
        return false;
    }
    if (reply.n)
        session_reply(s, reply);
    else
        session_replyf(s, "551 5.0.0 Discarded %ld bytes after earlier error", size);
    if (last)
        transaction_done(s);
    else
        s->t.chunking = s->t.broken = true;
    return false;
}

static enum rc take_chunk(struct session *s)
{
    long begin_ms = s->config->smtpd_per_request_deadline ? clock_ms() : 0;
    struct str line;
    bool more;
    enum rc rc;

    while ((rc = wire_chunk_line(&s->t.content, &line, &more, &s->why)) == RC_OK) {
        if (!take_line(s, line, more))
            return RC_PERM;
        extend_deadline(s, begin_ms);
    }
    return rc;
}

/* Before the first chunk: as at DATA. Leaves the refusal in *reply. */
static bool chunks_allowed(struct session *s, struct str *reply)
{
    enum verdict v;

    *reply = STR_NONE;
    if (s->t.broken)
        return false;
    if (s->t.recipients == 0) {
        *reply = s->access.sender.p ? STR("554 5.5.1 Error: no valid recipients")
                                    : STR("503 5.5.1 Error: need RCPT command");
        return false;
    }
    if (s->t.chunking)
        return true;
    s->access.recipient = s->t.only_recipient;
    v = access_at_data(&s->access);
    s->access.recipient = STR_NONE;
    if (v == REJECT)
        *reply = s->access.reply;
    if (v == HANGUP || (v == REJECT && (s->access.closes || s->config->smtpd_disconnect_on_reject)))
        s->over = true;
    return (v == DUNNO || v == PERMIT) && filters_data(s, reply);
}

bool cmd_bdat(struct session *s, struct str arguments)
{
    struct str refusal;
    long size = 0;
    bool last, allowed;
    enum rc rc;

    if (!bdat_syntax(arguments, &size, &last)) {
        /* where the next command begins is unknown now */
        log_warning(&s->message_log,
                    "%smalformed BDAT command syntax from " STR_FMT ": BDAT " STR_FMT,
                    s->message_log.queue_id[0] ? "" : "NOQUEUE: ", STR_ARG(s->access.client.label),
                    STR_ARG(str_head(arguments, 100)));
        session_reply(s, STR("521 5.5.4 Syntax: BDAT count [LAST]"));
        return false;
    }
    allowed = chunks_allowed(s, &refusal);
    if (allowed && !s->t.chunking)
        transaction_begin_content(s);
    else if (!s->t.content.wire)
        wire_content_begin(&s->t.content, &s->wire);
    wire_chunk_begin(&s->t.content, (size_t)size, last);
    if (!allowed)
        return refuse_chunk(s, last, refusal);
    s->t.chunking = true;
    if (size == 0 && !last) { /* a client that says nothing, for ever? */
        log_warning(&s->message_log, "null BDAT request from " STR_FMT,
                    STR_ARG(s->access.client.label));
        return refuse_chunk(s, last, STR("551 5.7.1 Null BDAT request"));
    }
    rc = take_chunk(s);
    if (s->over)
        return false;
    if (rc != RC_NONE) {
        session_broke(s, rc);
        return false;
    }
    if (last)
        return end_of_message(
            s, arena_printf(s->access.arena, "250 2.0.0 Ok: %ld bytes", s->t.content.bytes));
    session_replyf(s, "250 2.0.0 Ok: %ld bytes", size);
    return true;
}
