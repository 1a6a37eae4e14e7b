/*
 * The client's half of the SMTP and LMTP line protocol (RFC 5321, RFC 2033): replies in, what a
 * server offers (EHLO), and message content out as DATA wants it.
 *
 * Commands are collected with wire_client_say() and leave in one write when a reply is read,
 * which is all that pipelining (RFC 2920) needs. A server cannot make anything here grow without
 * limit: long lines are cut, long replies are given up. Every view is valid until the next read.
 */
#pragma once

#include "util/buf.h"
#include "util/stream.h"
#include "wire/transcript.h"

enum {
    WIRE_REPLY_LINE_MAX = 2048,   /* of a line; the rest is dropped */
    WIRE_REPLY_MAX = 16 * 1024,   /* of a reply's text; lines that do not fit are dropped */
    WIRE_REPLY_LINES_MAX = 1000,  /* more are no reply */
    WIRE_PIPELINE_MAX = 8 * 1024, /* bytes of commands without reply: never blocks both sides */
};

struct wire_reply_filter { /* smtp_reply_filter: line in, line out (may be the same) */
    struct str (*replace)(void *context, struct str line);
    void *context;
};

struct wire_client {
    struct stream stream;
    struct buf text; /* of the latest reply */
    struct wire_reply_filter filter;
    struct transcript *transcript; /* of commands and replies; NULL: none is kept */
};

struct wire_client_reply {
    int code;          /* 200-599; 0: the code is none of SMTP */
    struct str text;   /* all lines with their codes, "\n" between, control bytes as '?' */
    struct str status; /* enhanced status code (RFC 3463) of the last line, else "X.0.0" */
    struct str odd;    /* first line that does not start with a code, as lines of a reply must */
    char status_text[6];
};

void wire_client_init(struct wire_client *w, int fd, long timeout_ms);
void wire_client_done(struct wire_client *w); /* closes */

/* Collect a command, with its CRLF. Credentials are put on .stream instead: they are not noted. */
void wire_client_say(struct wire_client *w, struct str command);

/* Send what was collected, if anything, and wait for a reply. Lines without code are taken as part
 * of it. RC_EOF, RC_TIMEOUT, RC_TEMP. */
enum rc wire_client_read(struct wire_client *w, struct wire_client_reply *reply,
                         struct why *why) MUST_USE;

/* ---- what a server offers ---- */

enum wire_feature {
    FEATURE_8BITMIME = 1 << 0,
    FEATURE_PIPELINING = 1 << 1,
    FEATURE_SIZE = 1 << 2,
    FEATURE_STARTTLS = 1 << 3,
    FEATURE_AUTH = 1 << 4,
    FEATURE_ENHANCEDSTATUSCODES = 1 << 5,
    FEATURE_DSN = 1 << 6,
    FEATURE_SMTPUTF8 = 1 << 7,
    FEATURE_CHUNKING = 1 << 8,
    FEATURE_REQUIRETLS = 1 << 9,
    FEATURE_VRFY = 1 << 10,
    FEATURE_ETRN = 1 << 11,
    FEATURE_XCLIENT = 1 << 12,
    FEATURE_XFORWARD = 1 << 13,
    FEATURE_SILENT_DISCARD = 1 << 30, /* no keyword: the word "silent-discard" of discard lists */
};

enum wire_xforward {
    XFORWARD_NAME = 1 << 0,
    XFORWARD_ADDR = 1 << 1,
    XFORWARD_PORT = 1 << 2,
    XFORWARD_PROTO = 1 << 3,
    XFORWARD_HELO = 1 << 4,
    XFORWARD_IDENT = 1 << 5,
    XFORWARD_SOURCE = 1 << 6,
};

struct wire_features {
    unsigned bits;     /* enum wire_feature */
    unsigned xforward; /* enum wire_xforward */
    long size_limit;   /* 0: none, or not told */
    bool bad_size;     /* SIZE with something that is no number */
    char host[256];    /* the name the server calls itself; cut when longer */
    char auth[512];    /* mechanisms, blanks between */
};

/* Reply to EHLO or LHLO. discard: bits that are left out, as if the server had not said them. */
void wire_features_parse(struct str reply_text, unsigned discard, struct wire_features *out);

/* List of keywords, as in smtp_discard_ehlo_keywords. RC_CONFIG names the unknown word. */
enum rc wire_features_mask(struct str words, unsigned *bits, struct why *why) MUST_USE;

/* ---- content ---- */

struct wire_text {
    struct stream *stream;
    size_t line_limit; /* longer lines are folded with CRLF and a blank; 0: no limit */
    size_t column;     /* in the line that is being written; 0: at its start */
    bool folded;       /* sticky: some line was */
};

/* A line of content, or with more a part of one; dots are doubled. */
void wire_text_put(struct wire_text *t, struct str line, bool more);

/* End a line that lacks its end, then the line with the dot. Nothing is flushed. */
void wire_text_end(struct wire_text *t);
