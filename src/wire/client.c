#include "wire/client.h"

#include "global/dsn.h"
#include "global/text.h"

void wire_client_init(struct wire_client *w, int fd, long timeout_ms)
{
    *w = (struct wire_client){0};
    stream_init(&w->stream, fd, timeout_ms);
    buf_init(&w->text, WIRE_REPLY_MAX);
}

void wire_client_done(struct wire_client *w)
{
    stream_done(&w->stream);
    buf_done(&w->text);
}

/* A line of at most WIRE_REPLY_LINE_MAX bytes; what goes beyond is read and dropped. */
static enum rc read_line(struct wire_client *w, struct str *line, struct why *why)
{
    enum rc rc = stream_line(&w->stream, WIRE_REPLY_LINE_MAX, line, NULL, why);
    struct str rest;

    if (rc != RC_PERM)
        return rc;
    buf_add(&w->text, *line); /* keep it: the view ends with the next read */
    *line = STR("");
    do
        rc = stream_line(&w->stream, WIRE_REPLY_LINE_MAX, &rest, NULL, why);
    while (rc == RC_PERM);
    return rc;
}

/* Reply code at the start of a line, -1 when there is none; *last: no other line follows. */
static int line_code(struct str line, bool *last)
{
    bool coded = line.n >= 3 && is_digit(line.p[0]) && is_digit(line.p[1]) && is_digit(line.p[2]) &&
                 (line.n == 3 || line.p[3] == ' ' || line.p[3] == '-');

    *last = coded && (line.n == 3 || line.p[3] == ' ');
    return coded ? (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + line.p[2] - '0' : -1;
}

static void set_status(struct wire_client_reply *r, struct str last_line)
{
    struct str text = str_from(last_line, 4);
    size_t n = dsn_prefix(text);

    r->status_text[0] = (char)('0' + r->code / 100);
    memcpy(r->status_text + 1, ".0.0", 5);
    r->status = STR_NONE;
    if (n && text.p[0] == last_line.p[0])
        r->status = str_head(text, n);
}

void wire_client_say(struct wire_client *w, struct str command)
{
    transcript_out(w->transcript, command);
    stream_put(&w->stream, command);
}

enum rc wire_client_read(struct wire_client *w, struct wire_client_reply *reply, struct why *why)
{
    size_t start = 0, odd = 0, odd_n = 0;
    struct str line;
    bool last = false;

    *reply = (struct wire_client_reply){0};
    buf_reset(&w->text);
    for (int lines = 0; !last; lines++) {
        if (lines == WIRE_REPLY_LINES_MAX)
            return FAIL(why, RC_EOF, "reply of more than %d lines", WIRE_REPLY_LINES_MAX);
        if (lines > 0)
            buf_addc(&w->text, '\n');
        if (!w->text.over)
            start = w->text.n;
        TRY(read_line(w, &line, why));
        if (w->filter.replace && line.n)
            line = w->filter.replace(w->filter.context, line);
        buf_add(&w->text, line);
        if (!w->text.over)
            line = str_from(buf_str(&w->text), start);
        if (w->text.n > start)
            text_printable(w->text.p + start, w->text.n - start, '?', str_is_utf8(line));
        reply->code = line_code(line, &last);
        if (reply->code < 0 && odd_n == 0) {
            odd = start;
            odd_n = w->text.n - start;
        }
    }
    if (reply->code < 200 || reply->code > 599)
        reply->code = 0;
    line = str_from(buf_str(&w->text), start);
    reply->text = buf_str(&w->text);
    transcript_in(w->transcript, reply->text);
    reply->odd = str_head(str_from(reply->text, odd), odd_n);
    if (reply->code)
        set_status(reply, line);
    if (reply->status.n == 0)
        reply->status = (struct str){reply->status_text, reply->code ? 5 : 0};
    return RC_OK;
}
