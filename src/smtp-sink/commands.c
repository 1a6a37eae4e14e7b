#include <stdio.h>
#include <stdlib.h>

#include "smtp-sink/sink.h"

static void say(struct client *c, const char *text)
{
    if (c->sink->o.verbose)
        fprintf(stderr, "%s> %s\n", c->address, text);
    duplex_put(c->wire, str_of(text));
    duplex_put(c->wire, STR("\r\n"));
}

static void connected(struct client *c, struct str arguments)
{
    const struct sink_options *o = &c->sink->o;
    char text[512];

    (void)arguments;
    if (o->pix)
        say(c, "220 ********");
    else {
        snprintf(text, sizeof text, "220 %s %s", o->hostname,
                 o->lmtp       ? "LMTP"
                 : o->no_esmtp ? "SMTP"
                               : "ESMTP");
        say(c, text);
    }
}

static void forget_mail(struct client *c)
{
    dump_abandon(c);
    c->has_mail = c->in_data = false;
    c->recipients = 0;
    c->mail = STR_NONE;
    c->rcpts.v = NULL;
    c->rcpts.n = c->rcpts.cap = 0;
    arena_reset(c->arena);
}

static void greeted(struct client *c, struct str arguments, const char *protocol)
{
    forget_mail(c);
    c->protocol = protocol;
    c->helo = arena_copy(c->session, arguments);
}

static void helo(struct client *c, struct str arguments)
{
    char text[512];

    greeted(c, arguments, "SMTP");
    snprintf(text, sizeof text, "250 %s", c->sink->o.hostname);
    say(c, text);
}

static void ehlo(struct client *c, struct str arguments)
{
    const struct sink_options *o = &c->sink->o;
    char text[512];

    greeted(c, arguments, o->lmtp ? "LMTP" : "ESMTP");
    snprintf(text, sizeof text, "250-%s", o->hostname);
    say(c, text);
    if (!o->no_pipelining)
        say(c, "250-PIPELINING");
    if (!o->no_8bitmime)
        say(c, "250-8BITMIME");
    if (!o->no_auth)
        say(c, "250-AUTH PLAIN LOGIN");
    if (!o->no_xclient)
        say(c, "250-XCLIENT NAME HELO");
    if (!o->no_xforward)
        say(c, "250-XFORWARD NAME ADDR PROTO HELO");
    if (!o->no_codes)
        say(c, "250-ENHANCEDSTATUSCODES");
    if (!o->no_dsn)
        say(c, "250-DSN");
    say(c, "250 ");
}

static void yes(struct client *c, struct str arguments)
{
    (void)arguments;
    say(c, "250 2.0.0 Ok");
}

/* Any password is right. The client's lines are counted, not read. */
static void auth(struct client *c, struct str arguments)
{
    struct str mechanism = str_cut(&arguments, ' ');

    c->auth_lines = str_eq_nocase(mechanism, STR("LOGIN")) ? 2 : 1;
    if (str_trim(arguments).n)
        c->auth_lines--;
    client_auth_line(c);
}

void client_auth_line(struct client *c)
{
    if (c->auth_lines == 0)
        say(c, "235 2.7.0 Ok");
    else
        say(c, c->auth_lines == 2 ? "334 VXNlcm5hbWU6" : "334 UGFzc3dvcmQ6");
}

/* "FROM:<a@b> SIZE=1" is what stands behind MAIL: the colon separates. */
static struct str behind_colon(struct str arguments)
{
    ssize_t colon = str_index(arguments, ':');

    return str_trim(str_from(arguments, colon < 0 ? 0 : (size_t)colon + 1));
}

static void mail(struct client *c, struct str arguments)
{
    if (c->has_mail) {
        say(c, "503 5.5.1 Error: nested MAIL command");
        return;
    }
    forget_mail(c);
    c->has_mail = true;
    c->mail = arena_copy(c->arena, behind_colon(arguments));
    say(c, "250 2.1.0 Ok");
}

static void rcpt(struct client *c, struct str arguments)
{
    if (!c->has_mail) {
        say(c, "503 5.5.1 Error: need MAIL command");
        return;
    }
    c->recipients++;
    if (c->sink->o.single_dump || c->sink->o.multi_dump)
        vec_add(c->arena, &c->rcpts, arena_copy(c->arena, behind_colon(arguments)));
    say(c, "250 2.1.5 Ok");
}

static void abort_data(void *context)
{
    struct client *c = context;

    c->timer = NULL;
    say(c, "550 5.0.0 Error: aborted");
    duplex_flush(c->wire);
    client_free(c);
}

static void resume_reading(void *context)
{
    struct client *c = context;

    c->timer = NULL;
    duplex_pause(c->wire, false);
}

static void data(struct client *c, struct str arguments)
{
    const struct sink_options *o = &c->sink->o;

    (void)arguments;
    if (c->recipients == 0) {
        say(c, "503 5.5.1 Error: need RCPT command");
        return;
    }
    say(c, "354 End data with <CR><LF>.<CR><LF>");
    c->in_data = true;
    c->mid_line = false;
    dump_begin(c);
    if (o->abort_delay < 0 && o->read_delay == 0)
        return;
    duplex_flush(c->wire);
    duplex_pause(c->wire, true);
    if (o->abort_delay >= 0)
        c->timer = loop_after(c->sink->loop, o->abort_delay * 1000, abort_data, c);
    else
        c->timer = loop_after(c->sink->loop, o->read_delay * 1000, resume_reading, c);
}

/* LMTP has one answer for each recipient. */
static void dot(struct client *c, struct str arguments)
{
    struct sink *s = c->sink;

    (void)arguments;
    if (s->o.lmtp)
        for (long i = 0; i < c->recipients; i++)
            say(c, "250 2.2.0 Ok");
    else
        say(c, "250 2.0.0 Ok");
    dump_end(c);
    forget_mail(c);
    s->messages++;
    sink_show(s);
    if (s->messages == s->o.quit_messages) {
        duplex_flush(c->wire);
        loop_stop(s->loop);
    }
}

static void rset(struct client *c, struct str arguments)
{
    (void)arguments;
    forget_mail(c);
    say(c, "250 2.1.0 Ok");
}

static void quit(struct client *c, struct str arguments)
{
    (void)arguments;
    say(c, "221 Bye");
    c->sink->quits++;
    sink_show(c->sink);
    c->over = true;
}

static const struct {
    const char *name;
    void (*answer)(struct client *c, struct str arguments);
} verbs[VERBS] = {
    [VERB_CONNECT] = {"CONNECT", connected},
    [VERB_HELO] = {"HELO", helo},
    [VERB_EHLO] = {"EHLO", ehlo},
    [VERB_LHLO] = {"LHLO", ehlo},
    [VERB_XCLIENT] = {"XCLIENT", yes},
    [VERB_XFORWARD] = {"XFORWARD", yes},
    [VERB_AUTH] = {"AUTH", auth},
    [VERB_MAIL] = {"MAIL", mail},
    [VERB_RCPT] = {"RCPT", rcpt},
    [VERB_VRFY] = {"VRFY", yes},
    [VERB_DATA] = {"DATA", data},
    [VERB_DOT] = {".", dot},
    [VERB_RSET] = {"RSET", rset},
    [VERB_NOOP] = {"NOOP", yes},
    [VERB_QUIT] = {"QUIT", quit},
};

enum verb verb_of(struct str name)
{
    for (int v = 0; v < VERBS; v++)
        if (str_eq_nocase(name, str_of(verbs[v].name)))
            return (enum verb)v;
    return VERBS;
}

const char *verb_name(enum verb verb)
{
    return verbs[verb].name;
}

static bool is_offered(const struct sink_options *o, enum verb verb)
{
    switch (verb) {
    case VERB_CONNECT:
    case VERB_DOT: return false;
    case VERB_HELO: return !o->lmtp;
    case VERB_EHLO: return !o->lmtp && !o->no_esmtp;
    case VERB_LHLO: return o->lmtp;
    default: return true;
    }
}

static void refuse(struct client *c, enum verb verb, const char *reply)
{
    if (verb != VERB_DOT) {
        say(c, reply);
        return;
    }
    for (long i = 0; i < (c->sink->o.lmtp ? c->recipients : 1); i++)
        say(c, reply);
    forget_mail(c);
}

void client_answer(struct client *c, enum verb verb, struct str arguments)
{
    const struct verb_setting *setting = &c->sink->o.verbs[verb];

    if (setting->how & HANG_UP)
        c->over = true;
    else if (setting->how & SAY_421) {
        say(c, "421 4.0.0 Server closing connection");
        c->over = true;
    } else if (setting->how & HARD_REJECT)
        refuse(c, verb, c->sink->o.hard_reply);
    else if (setting->how & SOFT_REJECT)
        refuse(c, verb, c->sink->o.soft_reply);
    else
        verbs[verb].answer(c, arguments);
}

void client_command(struct client *c, struct str line)
{
    struct str arguments = str_trim(line), name = str_cut(&arguments, ' ');
    enum verb verb = verb_of(str_rtrim(name));

    if (c->sink->o.verbose)
        fprintf(stderr, "%s< " STR_FMT "\n", c->address, STR_ARG(line));
    if (verb == VERBS || !is_offered(&c->sink->o, verb))
        say(c, "500 5.5.1 Error: unknown command");
    else {
        c->waiting = verb;
        c->arguments = str_trim(arguments);
    }
}
