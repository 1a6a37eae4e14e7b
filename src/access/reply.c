#include <stdio.h>

#include "access/restrictions.h"
#include "config/config.h"
#include "global/address.h"
#include "global/text.h"
#include "util/buf.h"

enum { REPLY_MAX = 510 }; /* RFC 5321 4.5.3.1.5, without CRLF */

/* Bytes that could confuse whoever reads the name. */
struct str access_helo_name(struct arena *a, struct str said)
{
    char *name = arena_text(a, str_head(said, 255));
    size_t n = strlen(name);

    text_printable(name, n, '?', true);
    for (char *p = name; *(p += strcspn(p, " <>()\\\";@"));)
        *p = '?';
    return (struct str){name, n};
}

/* At most max bytes, no character cut in two. */
static struct str cut_text(struct str text, size_t max)
{
    if (text.n <= max)
        return text;
    while (max && ((unsigned char)text.p[max] & 0xc0) == 0x80)
        max--;
    return str_head(text, max);
}

struct str access_reply(struct access_context *c, long code, const char *dsn, struct str text)
{
    struct str reply;

    if (code < 400 || code > 599) {
        log_warning(c->log, "reply code %ld of an access rule is not between 400 and 599: " STR_FMT,
                    code, STR_ARG(text));
        code = 450;
        dsn = "4.7.1";
        text = STR("Service unavailable");
    }
    if (c->access->config->soft_bounce && code >= 500)
        code -= 100;
    reply = arena_printf(c->arena, "%ld %ld%s " STR_FMT, code, code / 100, dsn + 1, STR_ARG(text));
    reply = cut_text(reply, REPLY_MAX);
    text_printable((char *)reply.p, reply.n, ' ', true);
    return reply;
}

static struct str shown_address(const struct access_context *c, struct str address)
{
    return str_eq(c->access->config->info_log_address_format, STR("internal"))
               ? address
               : address_quote(c->arena, address);
}

void access_log(const struct access_context *c, const char *action, struct str text)
{
    AUTO_BUF b = {0};

    if (c->dry_run || c->log->hush)
        return;
    buf_init(&b, 8192);
    if (c->log->queue_id[0] == '\0')
        buf_add(&b, STR("NOQUEUE: "));
    buf_addf(&b, "%s: %s from " STR_FMT ": " STR_FMT ";", action, c->stage,
             STR_ARG(c->client.label), STR_ARG(text));
    if (c->sender.p)
        buf_addf(&b, " from=<" STR_FMT ">", STR_ARG(shown_address(c, c->sender)));
    if (c->recipient.p)
        buf_addf(&b, " to=<" STR_FMT ">", STR_ARG(shown_address(c, c->recipient)));
    if (c->protocol.n)
        buf_addf(&b, " proto=" STR_FMT, STR_ARG(c->protocol));
    if (c->helo.p)
        buf_addf(&b, " helo=<" STR_FMT ">", STR_ARG(c->helo));
    if (c->sasl_method.n)
        buf_addf(&b, " sasl_method=" STR_FMT, STR_ARG(c->sasl_method));
    if (c->sasl_username.n)
        buf_addf(&b, " sasl_username=" STR_FMT, STR_ARG(c->sasl_username));
    if (c->sasl_sender.n)
        buf_addf(&b, " sasl_sender=" STR_FMT, STR_ARG(c->sasl_sender));
    buf_add(&b, c->log_note);
    if (c->instruction.n && strncmp(action, "reject", 6) == 0)
        buf_addf(&b, " instruction=" STR_FMT, STR_ARG(c->instruction));
    log_info(c->log, "%s", buf_text(&b));
}

struct str subject_text(struct access_context *c, struct str subject, const char *class,
                        struct str text)
{
    return arena_printf(c->arena, "<" STR_FMT ">: %s rejected: " STR_FMT, STR_ARG(subject), class,
                        STR_ARG(text));
}

enum verdict access_refuse(struct access_context *c, long code, const char *dsn, struct str text)
{
    return access_refuse_as(c, access_reply(c, code, dsn, text));
}

enum verdict access_refuse_as(struct access_context *c, struct str reply)
{
    if (c->warn_only) {
        access_log(c, "reject_warning", reply);
        return DUNNO;
    }
    /* a client that might have been let in after a look-up that failed is told to come again */
    if (c->if_reject.active && reply.p[0] == '5')
        reply = c->if_reject.reply;
    access_log(c, "reject", reply);
    c->reply = reply;
    return REJECT;
}

enum verdict refuse_subject(struct access_context *c, long code, const char *dsn,
                            struct str subject, const char *class, struct str text)
{
    return access_refuse(c, code, dsn, subject_text(c, subject, class, text));
}

enum verdict refuse_trouble(struct access_context *c, struct str subject, const char *class)
{
    return refuse_subject(c, 451, "4.3.5", subject, class, STR("Server configuration error"));
}

enum verdict defer_if(struct access_context *c, struct access_pending *pending, long code,
                      const char *dsn, struct str text)
{
    if (pending->active)
        return DUNNO;
    if (c->warn_only) {
        access_log(c, "reject_warning", access_reply(c, code, dsn, text));
        return DUNNO;
    }
    *pending = (struct access_pending){true, access_reply(c, code, dsn, text)};
    return DUNNO;
}

enum verdict refuse_for_now(struct access_context *c, struct str action, long code, const char *dsn,
                            struct str subject, const char *class, struct str text)
{
    text = subject_text(c, subject, class, text);
    if (str_eq(action, STR("defer")))
        return access_refuse(c, code, dsn, text);
    return defer_if(c, &c->if_permit, code, dsn, text);
}
