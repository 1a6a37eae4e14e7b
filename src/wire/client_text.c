#include "wire/client.h"

/* Write part of a line; fold where it gets longer than the limit. */
static void put_folded(struct wire_text *t, struct str part)
{
    while (t->line_limit && t->column + part.n > t->line_limit) {
        size_t room = t->column < t->line_limit ? t->line_limit - t->column : 0;
        stream_put(t->stream, str_head(part, room));
        stream_put(t->stream, STR("\r\n "));
        part = str_from(part, room);
        t->column = 1;
        t->folded = true;
        if (t->line_limit < 2) /* no room beside the blank: one byte a line at least */
            break;
    }
    stream_put(t->stream, part);
    t->column += part.n;
}

void wire_text_put(struct wire_text *t, struct str line, bool more)
{
    if (t->column == 0 && line.n && line.p[0] == '.')
        stream_put(t->stream, STR("."));
    if (t->line_limit && t->column + line.n > t->line_limit) {
        put_folded(t, line);
    } else {
        stream_put(t->stream, line);
        t->column += line.n;
    }
    if (!more) {
        stream_put(t->stream, STR("\r\n"));
        t->column = 0;
    }
}

void wire_text_end(struct wire_text *t)
{
    if (t->column)
        stream_put(t->stream, STR("\r\n"));
    t->column = 0;
    stream_put(t->stream, STR(".\r\n"));
}
