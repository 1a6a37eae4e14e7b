/*
 * The test server: what it was told to do, and its sessions.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "util/arena.h"
#include "util/buf.h"
#include "util/duplex.h"
#include "util/log.h"
#include "util/net.h"

enum { LINE_MAX_BYTES = 4096 };

/* What each command may be told to do instead of its work. */
enum how {
    AS_USUAL = 0,
    HARD_REJECT = 1,
    SOFT_REJECT = 2,
    HANG_UP = 4,
    SAY_421 = 8,
    LOG_IT = 16,
};

struct verb_setting {
    unsigned how;
    long delay_seconds;
    int odds; /* 0: always that delay; 1-99: a multiple of it, by throwing dice */
};

enum verb {
    VERB_CONNECT,
    VERB_HELO,
    VERB_EHLO,
    VERB_LHLO,
    VERB_XCLIENT,
    VERB_XFORWARD,
    VERB_AUTH,
    VERB_MAIL,
    VERB_RCPT,
    VERB_VRFY,
    VERB_DATA,
    VERB_DOT,
    VERB_RSET,
    VERB_NOOP,
    VERB_QUIT,
    VERBS
};

struct sink_options {
    const char *hostname, *soft_reply, *hard_reply;
    const char *single_dump, *multi_dump; /* strftime(3) templates, or NULL */
    struct str dump_start;
    const char *root, *user;
    int family; /* AF_UNSPEC: both */
    bool no_8bitmime, no_auth, no_esmtp, no_codes, no_xforward, no_xclient, no_dsn, no_pipelining;
    bool lmtp, pix, counters, verbose;
    long abort_delay, read_delay; /* seconds after DATA; abort_delay < 0: no abort */
    long max_sessions, quit_messages, quit_sessions, timeout, window;
    struct verb_setting verbs[VERBS];
};

struct sink {
    struct sink_options o;
    struct log log;
    struct loop *loop;
    int listeners[8];
    size_t n_listeners;
    bool listening;
    long open, sessions, quits, messages;
};

struct client {
    struct sink *sink;
    struct duplex *wire;
    char address[ADDR_TEXT_SIZE + 8];
    const char *protocol; /* SMTP, ESMTP, LMTP */
    struct loop_timer *timer;
    enum verb waiting; /* the command whose answer is delayed */
    struct str arguments;
    bool has_mail, in_data, mid_line, over;
    int auth_lines; /* responses of the client still to come */
    long recipients;
    struct arena *arena; /* of the current transaction */
    struct str helo, mail;
    VEC(struct str) rcpts;
    struct arena *session; /* helo, and a command that waits */
    FILE *dump;
    char *dump_text;
    size_t dump_bytes;
    unsigned dump_id;
};

/* options.c: ends the program when something is wrong with them. */
void sink_options_read(struct sink *s, int argc, char **argv);

/* listen.c */
void sink_open(struct sink *s, const char *where, long backlog);
void sink_listen(struct sink *s, bool on);
void sink_show(const struct sink *s);

/* session.c */
void client_new(struct sink *s, int fd, const struct addr *from);
void client_free(struct client *c);

/* commands.c: the name of a verb; VERBS when unknown. */
enum verb verb_of(struct str name);
const char *verb_name(enum verb verb);
void client_command(struct client *c, struct str line);
void client_answer(struct client *c, enum verb verb, struct str arguments);
void client_auth_line(struct client *c);

/* dump.c */
void dump_begin(struct client *c);
void dump_add(struct client *c, struct str bytes);
void dump_end(struct client *c);
void dump_abandon(struct client *c);
