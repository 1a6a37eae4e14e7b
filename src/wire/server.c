#include "wire/server.h"

#include <stdio.h>

void wire_server_init(struct wire_server *w, int fd, size_t line_limit, long timeout_ms)
{
    *w = (struct wire_server){.line_limit = line_limit, .bare_lf = BARE_LF_NORMALIZE};
    stream_init(&w->stream, fd, timeout_ms);
}

void wire_server_done(struct wire_server *w)
{
    stream_done(&w->stream);
}

/* The rest of an over-long line, up to its line end. */
static enum rc skip_line(struct wire_server *w, struct why *why)
{
    struct str line;
    enum rc rc;

    do
        rc = stream_line(&w->stream, w->line_limit, &line, NULL, NULL);
    while (rc == RC_PERM);
    return rc == RC_OK ? RC_OK : FAIL(why, rc, "lost connection in an over-long command");
}

/* Credentials stay out of it (RFC 4954). */
static void note_command(struct wire_server *w, struct str line)
{
    bool secret = str_has_prefix_nocase(str_ltrim(line), STR("AUTH"));

    transcript_in(w->transcript, secret ? STR("AUTH ...") : line);
}

enum rc wire_command(struct wire_server *w, struct str *line, struct why *why)
{
    bool crlf;
    enum rc rc = stream_line(&w->stream, w->line_limit, line, &crlf, why);

    if (rc == RC_PERM) {
        snprintf(w->shown, sizeof w->shown, STR_FMT, STR_ARG(str_head(*line, WIRE_SHOWN_MAX)));
        TRY(skip_line(w, why));
        return RC_PERM;
    }
    if (rc != RC_OK)
        return rc;
    if (!crlf)
        w->saw_bare_lf = true;
    *line = str_rtrim(*line);
    note_command(w, *line);
    return RC_OK;
}

void wire_reply(struct wire_server *w, struct str reply)
{
    transcript_out(w->transcript, reply);
    do {
        stream_put(&w->stream, str_cut(&reply, '\n'));
        stream_put(&w->stream, STR("\r\n"));
    } while (reply.p);
}

bool wire_has_more(const struct wire_server *w)
{
    return stream_peek(&w->stream).n > 0;
}
