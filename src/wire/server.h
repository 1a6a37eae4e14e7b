/*
 * The server's half of the SMTP line protocol (RFC 5321, RFC 3030): command lines in, replies out,
 * and the content of DATA and BDAT as lines.
 *
 * Line ends: CRLF is the standard, a bare LF is tolerated as enum bare_lf says. Except in
 * BARE_LF_ALLOW mode only CRLF "." CRLF ends DATA, so that no part of a message can pass for a
 * command (SMTP smuggling). Every line is a view, valid until the next read.
 */
#pragma once

#include "util/buf.h"
#include "util/stream.h"
#include "wire/transcript.h"

enum bare_lf {
    BARE_LF_ALLOW,     /* ends lines, and "." lines end DATA */
    BARE_LF_NORMALIZE, /* ends lines, but never DATA */
    BARE_LF_NOTE,      /* the same, and is noted in the disconnect line */
    BARE_LF_REJECT,    /* the same, and the command or message is refused */
};

enum { WIRE_SHOWN_MAX = 30 }; /* how much of an over-long command is shown in the log */

struct wire_server {
    struct stream stream;
    size_t line_limit; /* line_length_limit: longer commands are refused, longer text is folded */
    enum bare_lf bare_lf;
    bool saw_bare_lf;               /* sticky; the owner clears it */
    struct transcript *transcript;  /* of commands and replies; NULL: none is kept */
    char shown[WIRE_SHOWN_MAX + 1]; /* start of the last command that was too long */
};

void wire_server_init(struct wire_server *w, int fd, size_t line_limit, long timeout_ms);
void wire_server_done(struct wire_server *w); /* closes */

/*
 * Next command line, blanks at its end removed. RC_PERM: it was longer than the limit and is
 * skipped as a whole; w->shown holds its start. Otherwise as stream_line(). Collected replies are
 * sent first when nothing more is buffered.
 */
enum rc wire_command(struct wire_server *w, struct str *line, struct why *why) MUST_USE;

/* Reply of one or more lines, separated by "\n", each complete with its code. Collected until the
 * next read that has to wait. */
void wire_reply(struct wire_server *w, struct str reply);

/* Has the client sent more than the current command? Looks only at what was read already. */
bool wire_has_more(const struct wire_server *w);

/* ---- content ---- */

struct wire_content {
    struct wire_server *wire;
    long bytes;         /* of the lines so far, each line end counted as CRLF */
    bool previous_crlf; /* the line before ended with CRLF: a "." may end the data now */
    bool continued;     /* in the middle of an over-long line */
    bool given;         /* BDAT: partial was handed out by the latest call */
    size_t left;        /* BDAT: bytes of this chunk that were not read yet */
    bool last;          /* BDAT: no other chunk follows */
    struct buf partial; /* BDAT: a line that stands in several reads or chunks */
};

/* For each message; the command line before it has ended with CRLF or not: after_crlf. */
void wire_content_begin(struct wire_content *c, struct wire_server *w);
void wire_content_done(struct wire_content *c);

/*
 * DATA: the next line, without line end, dot stuffing removed. more: the line is longer than the
 * limit and goes on in the next call. A "." line that must not end the data is left out. RC_NONE:
 * the end of the data.
 */
enum rc wire_data_line(struct wire_content *c, struct str *line, bool *more,
                       struct why *why) MUST_USE;

/* BDAT: a chunk of that size follows. */
void wire_chunk_begin(struct wire_content *c, size_t size, bool last);

/* BDAT: as wire_data_line(), without dot stuffing. RC_NONE: the chunk is used up; what is left of
 * a line waits for the next chunk, or was given out as a line when this was the last one. */
enum rc wire_chunk_line(struct wire_content *c, struct str *line, bool *more,
                        struct why *why) MUST_USE;

/* BDAT: read the rest of the chunk and forget it. */
enum rc wire_chunk_skip(struct wire_content *c, struct why *why) MUST_USE;
