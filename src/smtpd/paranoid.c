/*
 * smtpd_paranoid: who says something that no mail client says, or has a name that does not lead
 * back to its address, is sent away.
 */
#include "smtpd/paranoid.h"

static bool leave(struct session *s, const char *what)
{
    log_warning(&s->message_log, "%s%s after %s from " STR_FMT ": session ended",
                s->message_log.queue_id[0] ? "" : "NOQUEUE: ", what, s->access.stage,
                STR_ARG(s->access.client.label));
    session_replyf(s, "421 4.7.0 " STR_FMT " Error: %s", STR_ARG(s->config->myhostname), what);
    return false;
}

bool paranoid_takes_client(struct session *s)
{
    if (s->config->smtpd_paranoid && s->access.client.reverse_status == PEER_OK &&
        s->access.client.name_status == PEER_FORGED)
        return leave(s, "client name that does not lead back to its address");
    return true;
}

/* Bytes that programs behind us might take for something else than text. */
static bool is_odd(char c)
{
    return c <= ' ' || c > '~' || strchr("\"'`$|;&<>(){}\\*?", c) != NULL;
}

bool paranoid_takes_text(struct session *s, struct str text, const char *what)
{
    if (s->config->smtpd_paranoid)
        for (size_t i = 0; i < text.n; i++)
            if (is_odd(text.p[i]))
                return leave(s, what);
    return true;
}

bool paranoid_takes_line(struct session *s, struct str line, bool more)
{
    if (!s->config->smtpd_paranoid || s->t.in_body)
        return true;
    s->t.in_body = line.n == 0 && !more;
    for (size_t i = 0; i < line.n; i++)
        if ((line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] > '~')
            return leave(s, "unprintable byte in message header");
    return true;
}
