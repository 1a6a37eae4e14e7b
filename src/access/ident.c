#include "access/ident.h"

#include <stdio.h>

#include "config/config.h"
#include "util/clock.h"
#include "util/stream.h"

enum { IDENT_PORT = 113, ANSWER_MAX = 1000 };

/* Nothing in it may act as a pattern, or do harm in a reply or log. */
static void clean(char *user)
{
    for (; *user; user++) {
        if (*user < ' ' || *user > '~' || strchr("*?\\()[]`$|;", *user))
            *user = '?';
        *user = to_lower(*user);
    }
}

static bool is_port(struct str text, unsigned port)
{
    long number;

    return str_to_long(str_trim(text), 1, 65535, &number) && number == (long)port;
}

bool ident_parse(struct str line, unsigned their_port, unsigned our_port,
                 char user[ACCESS_USER_SIZE])
{
    struct str rest = line, ports = str_cut(&rest, ':'), kind = str_trim(str_cut(&rest, ':'));
    struct str theirs = str_cut(&ports, ','), name;

    if (!is_port(theirs, their_port) || !is_port(ports, our_port) ||
        !str_eq_nocase(kind, STR("USERID")))
        return false;
    str_cut(&rest, ':'); /* the operating system */
    name = str_trim(rest);
    if (name.n == 0)
        return false;
    snprintf(user, ACCESS_USER_SIZE, STR_FMT, STR_ARG(name));
    clean(user);
    return user[0] != '\0';
}

static bool read_answer(struct stream *s, unsigned theirs, unsigned ours, char *user,
                        struct why *why)
{
    struct str line;
    bool crlf;

    stream_putf(s, "%u , %u\r\n", theirs, ours);
    return stream_flush(s, why) == RC_OK &&
           stream_line(s, ANSWER_MAX, &line, &crlf, why) == RC_OK &&
           ident_parse(line, theirs, ours, user);
}

static void ask(struct access_context *c, long timeout_ms)
{
    long theirs, ours, deadline = clock_ms() + timeout_ms;
    struct addr to = c->client.address, from;
    struct stream s;
    struct why why;
    int fd;

    if (!str_to_long(c->client.port, 1, 65535, &theirs) ||
        !str_to_long(c->client.server_port, 1, 65535, &ours) ||
        addr_parse(c->client.server_address, 0, &from, NULL) != RC_OK)
        return;
    addr_set_port(&to, IDENT_PORT);
    if (net_connect(&to, &from, timeout_ms, &fd, &why) != RC_OK)
        return;
    stream_init(&s, fd, timeout_ms);
    s.deadline_ms = deadline;
    (void)read_answer(&s, (unsigned)theirs, (unsigned)ours, c->ident.user, &why);
    stream_done(&s);
}

struct str ident_user(struct access_context *c)
{
    long seconds = access_config(c)->check_rules_ident_timeout;

    if (!c->ident.asked) {
        c->ident.asked = true;
        if (seconds > 0 && !c->dry_run)
            ask(c, seconds * 1000);
    }
    return str_of(c->ident.user);
}
