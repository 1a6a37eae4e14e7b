/*
 * smtpd_spool_directory: a message becomes a file for smtpfwdd(8) instead of one in the queue. It
 * is on disk before the client hears so.
 */
#include "smtpd/spool.h"

#include "submit/spool_file.h"

struct spooled {
    struct spool_writer *file;
    long size, recipients;
    unsigned status;
};

bool spool_message_open(struct session *s)
{
    struct arena *a = s->access.arena;
    struct spooled *m = arena_new_of(a, struct spooled);

    if (spool_create(s->smtpd->spool_directory, s->t.begin.sender, a, &m->file, &s->why) != RC_OK) {
        log_warning(&s->log, "%s", s->why.text);
        session_reply(s, STR("451 4.3.0 Error: queue file write error"));
        return false;
    }
    s->t.spooled = m;
    s->access.queue_id = str_of(spool_name(m->file));
    log_set_queue_id(&s->message_log, s->access.queue_id);
    return true;
}

void spool_message_recipient(struct session *s, const struct recipient *r)
{
    s->t.spooled->recipients++;
    spool_recipient(s->t.spooled->file, r->address);
}

void spool_message_header(struct session *s, struct str lines)
{
    spool_content(s->t.spooled->file, lines);
    spool_content(s->t.spooled->file, STR("\n"));
}

void spool_message_line(struct session *s, struct str line, bool more)
{
    struct spooled *m = s->t.spooled;
    long limit = s->config->message_size_limit;

    m->size += (long)line.n + !more;
    m->status |= count_hops(s, line, more);
    if (limit > 0 && m->size > limit) {
        m->status |= SUBMIT_SIZE;
        return;
    }
    spool_content(m->file, line);
    if (!more)
        spool_content(m->file, STR("\n"));
}

unsigned spool_message_status(const struct session *s)
{
    return s->t.spooled->status;
}

long spool_message_size(const struct session *s)
{
    return s->t.spooled->size;
}

unsigned spool_message_finish(struct session *s)
{
    struct spooled *m = s->t.spooled;

    if (m->status)
        return m->status;
    if (spool_commit(m->file, &s->why) != RC_OK) {
        log_warning(&s->message_log, "%s", s->why.text);
        return SUBMIT_WRITE;
    }
    log_info(&s->message_log, "spooled: from=<" STR_FMT ">, size=%ld, nrcpt=%ld, client=" STR_FMT,
             STR_ARG(s->t.begin.sender), m->size, m->recipients, STR_ARG(s->access.client.label));
    return 0;
}
