/* Greetings that are no welcome, and those that take their time. */
#include <errno.h>
#include <poll.h>

#include "smtpd/smtpd.h"
#include "util/clock.h"

/* Does the client talk before it is its turn? Waits that long at most. */
static bool talks_early(struct session *s, long ms)
{
    struct pollfd p = {.fd = s->wire.stream.fd, .events = POLLIN};

    return stream_has_input(&s->wire.stream) || poll(&p, 1, (int)ms) > 0;
}

static bool drop_early_talker(struct session *s)
{
    long end = clock_ms() + s->config->smtpd_greet_delay * 1000, left;

    while ((left = end - clock_ms()) > 0)
        if (talks_early(s, left > 1000 ? 1000 : left)) {
            log_info(&s->log,
                     "NOQUEUE: reject: CONNECT from " STR_FMT ": talks before the greeting",
                     STR_ARG(s->access.client.label));
            session_reply(s, STR("554 5.5.0 Error: SMTP protocol synchronization"));
            session_end(s, NULL);
            return true;
        }
    return false;
}

/* One character a second; the rest follows at the end. */
static void stutter(struct session *s, struct str greeting)
{
    long n = s->config->smtpd_greet_delay;

    for (long i = 0; i < n && !s->over; i++) {
        if ((size_t)i < greeting.n)
            stream_put(&s->wire.stream, (struct str){greeting.p + i, 1});
        if (stream_flush(&s->wire.stream, &s->why) != RC_OK)
            session_end(s, "lost connection");
        else
            s->access.wait(s, 1);
    }
    stream_put(&s->wire.stream, str_from(greeting, (size_t)n));
    stream_put(&s->wire.stream, STR("\r\n"));
}

void greet_slowly(struct session *s)
{
    if (s->config->smtpd_greet_drop_early_talkers && drop_early_talker(s))
        return;
    if (s->config->smtpd_greet_delay == 0 || s->config->smtpd_greet_drop_early_talkers)
        session_replyf(s, "220 " STR_FMT, STR_ARG(s->config->smtpd_banner));
    else
        stutter(s, arena_printf(s->access.arena, "220 " STR_FMT, STR_ARG(s->config->smtpd_banner)));
}

/* The words that stand for everything that is said from now on. */
static void refuse_all(struct session *s, const char *code, struct str text, struct str later)
{
    struct str reply = arena_printf(s->arena, "%s " STR_FMT " " STR_FMT, code,
                                    STR_ARG(s->config->myhostname), STR_ARG(text));

    access_log(&s->access, "reject", reply);
    wire_reply(&s->wire, reply); /* the session goes on, also behind 421 */
    s->denied = later;
    s->greeting_refused = true;
    if (s->config->smtpd_disconnect_on_reject)
        session_end(s, NULL);
}

bool greeting_refuses(struct session *s)
{
    const struct config *c = s->config;

    if (c->smtpd_reject_greeting.n) {
        refuse_all(s, "554", c->smtpd_reject_greeting,
                   STR("503 5.5.1 Error: service not available"));
        s->wire.stream.deadline_ms = clock_ms() + c->smtpd_reject_greeting_timeout * 1000;
        return true;
    }
    if (c->smtpd_defer_greeting.n) {
        refuse_all(s, "421", c->smtpd_defer_greeting,
                   arena_printf(s->arena, "421 4.3.2 " STR_FMT " Error: " STR_FMT,
                                STR_ARG(c->myhostname), STR_ARG(c->smtpd_defer_greeting)));
        return true;
    }
    return false;
}
