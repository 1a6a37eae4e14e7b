/* The way of messages of sendmail -bs (standalone.c), and the choice between it, the queue and a
 * spool directory. */
#pragma once

#include "smtpd/spool.h"

bool standalone_open(struct session *s); /* false: answered */
void standalone_recipient(struct session *s, const struct recipient *r);
void standalone_line(struct session *s, struct str line, bool more);
unsigned standalone_status(const struct session *s);
long standalone_size(const struct session *s);
unsigned standalone_finish(struct session *s);
size_t standalone_recipients(const struct session *s, const struct str **recipients);
/* Descriptor of the whole message, at its start. */
enum rc standalone_content(struct session *s, int *fd, struct why *why) MUST_USE;

static inline void message_recipient(struct session *s, const struct recipient *r)
{
    if (s->t.submission)
        submit_recipient(s->t.submission, r);
    else if (s->t.spooled)
        spool_message_recipient(s, r);
    else
        standalone_recipient(s, r);
}

static inline void message_line(struct session *s, struct str line, bool more)
{
    if (s->t.scan)
        signature_scan_line(s->t.scan, line, more);
    if (s->t.submission)
        submit_line(s->t.submission, line, more);
    else if (s->t.spooled)
        spool_message_line(s, line, more);
    else
        standalone_line(s, line, more);
}

static inline unsigned message_status(const struct session *s)
{
    if (s->t.submission)
        return submit_status(s->t.submission);
    return s->t.spooled ? spool_message_status(s) : standalone_status(s);
}

static inline long message_size(const struct session *s)
{
    if (s->t.submission)
        return submit_size(s->t.submission);
    return s->t.spooled ? spool_message_size(s) : standalone_size(s);
}
