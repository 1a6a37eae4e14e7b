#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "smtp-sink/sink.h"
#include "util/memory.h"

static void work(struct client *c);

void client_free(struct client *c)
{
    struct sink *s = c->sink;

    loop_cancel(s->loop, c->timer);
    dump_abandon(c);
    duplex_free(c->wire);
    arena_free(c->arena);
    arena_free(c->session);
    free(c);
    s->open--;
    s->sessions++;
    sink_show(s);
    if (s->sessions == s->o.quit_sessions)
        loop_stop(s->loop);
    else if (!s->listening)
        sink_listen(s, true);
}

static void delayed(void *context)
{
    struct client *c = context;
    enum verb verb = c->waiting;

    c->timer = NULL;
    c->waiting = VERBS;
    duplex_pause(c->wire, false);
    client_answer(c, verb, c->arguments);
    work(c);
}

/* Throw a die of 100 sides until it shows odds or more: that many delays. */
static long delay_of(const struct verb_setting *v)
{
    long times = 1;

    while (v->odds && random() % 100 < v->odds)
        times++;
    return v->delay_seconds * times;
}

/* The command that has just come: answer it, or have it wait. */
static void act(struct client *c)
{
    const struct verb_setting *v;
    enum verb verb = c->waiting;

    if (verb == VERBS)
        return;
    v = &c->sink->o.verbs[verb];
    if (v->how & LOG_IT)
        log_info(&c->sink->log, "%s: %s%s" STR_FMT, c->address, verb_name(verb),
                 c->arguments.n ? " " : "", STR_ARG(c->arguments));
    if (v->delay_seconds) {
        duplex_flush(c->wire);
        duplex_pause(c->wire, true);
        c->arguments = arena_copy(c->session, c->arguments);
        c->timer = loop_after(c->sink->loop, delay_of(v) * 1000, delayed, c);
        return;
    }
    c->waiting = VERBS;
    client_answer(c, verb, c->arguments);
}

/* Text of the message; true when its end was there. */
static bool take_text(struct client *c)
{
    struct str in = duplex_input(c->wire);
    size_t at = 0;
    bool ended = false;

    while (at < in.n && !ended) {
        struct str rest = str_from(in, at);
        ssize_t end = str_index(rest, '\n');
        size_t n = end < 0 ? rest.n : (size_t)end + 1;
        if (end < 0 && n < LINE_MAX_BYTES)
            break;
        rest.n = n;
        ended = !c->mid_line && (str_eq(rest, STR(".\r\n")) || str_eq(rest, STR(".\n")));
        if (!ended && c->dump)
            dump_add(c, !c->mid_line && rest.p[0] == '.' ? str_from(rest, 1) : rest);
        c->mid_line = end < 0;
        at += n;
    }
    duplex_consume(c->wire, at);
    return ended;
}

static bool take_command(struct client *c)
{
    struct str line;

    if (c->in_data) {
        if (!take_text(c))
            return false;
        c->in_data = false;
        c->waiting = VERB_DOT;
        c->arguments = STR_NONE;
        return true;
    }
    if (duplex_line(c->wire, LINE_MAX_BYTES, &line) != RC_OK)
        return false;
    if (c->auth_lines) {
        c->auth_lines--;
        client_auth_line(c);
    } else
        client_command(c, line);
    return true;
}

static void work(struct client *c)
{
    while (!c->over && !c->timer && take_command(c))
        act(c);
    duplex_flush(c->wire);
    if (c->over)
        client_free(c);
}

static void input(void *context)
{
    work(context);
}

static void over(void *context, int error)
{
    struct client *c = context;

    if (c->sink->o.verbose)
        fprintf(stderr, "%s: %s\n", c->address, error ? strerror(error) : "lost connection");
    client_free(c);
}

static const struct duplex_events events = {input, over};

void client_new(struct sink *s, int fd, const struct addr *from)
{
    struct client *c = NEW(struct client);
    int window = (int)s->o.window;

    *c = (struct client){.sink = s, .protocol = "SMTP", .waiting = VERB_CONNECT};
    if (addr_family(from) == AF_INET6)
        memcpy(c->address, "ipv6:", 5);
    addr_format(from, c->address + (addr_family(from) == AF_INET6 ? 5 : 0));
    if (window)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &window, sizeof window);
    c->arena = arena_new(256);
    c->session = arena_new(256);
    c->wire = duplex_new(s->loop, fd, s->o.timeout * 1000, &events, c);
    if (++s->open >= s->o.max_sessions)
        sink_listen(s, false);
    act(c);
    work(c);
}
