/*
 * The load generator: what to send, and the sessions that send it.
 */
#pragma once

#include "util/arena.h"
#include "util/buf.h"
#include "util/duplex.h"
#include "util/log.h"
#include "util/net.h"

struct source_options {
    const char *host; /* own name for HELO */
    struct str from, to, subject;
    const char *file;
    long length; /* bytes of payload; < 0: a few lines */
    long messages, recipients, sessions, tries, window, fixed_pause, random_pause;
    int family; /* AF_UNSPEC: both */
    bool keep_going, counter, keep_connection, lmtp, number_recipients, old, verbose;
};

struct source {
    struct source_options o;
    struct log log;
    struct loop *loop;
    struct addr *targets;
    size_t n_targets;
    struct buf payload;          /* header lines that are always the same, and the body */
    long left, done, recipients; /* messages to send, messages sent, numbers given out */
    long running;                /* sessions */
    char own_name[256];
};

/* options.c: ends the program when something is wrong with them. */
void source_options_read(struct source *s, int argc, char **argv);

/* target.c */
void source_resolve(struct source *s, const char *where);

/* message.c: the fixed part once; then the header of one message. */
void message_prepare(struct source *s);
void message_send(struct source *s, struct duplex *wire, long number);

/* session.c */
void session_start(struct source *s); /* there must be a message left for it */
