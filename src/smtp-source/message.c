#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "global/date.h"
#include "smtp-source/source.h"

enum { PAYLOAD_MAX = 1 << 30, LINE_BYTES = 80 };

/* Lines of 80 bytes with their line end; the first byte counts them. */
static void add_bytes(struct buf *b, long length)
{
    char line[LINE_BYTES];

    memset(line, 'X', sizeof line);
    memcpy(line + LINE_BYTES - 2, "\r\n", 2);
    for (long at = 0, row = 1; at < length; at += LINE_BYTES, row++) {
        size_t n = length - at < LINE_BYTES ? (size_t)(length - at) : LINE_BYTES;
        line[0] = (char)('0' + row % 10);
        if (n >= 2)
            memcpy(line + n - 2, "\r\n", 2);
        buf_add(b, (struct str){line, n});
    }
    if (length % LINE_BYTES == 1)
        buf_add(b, STR("\r\n"));
}

static void add_file(struct source *s)
{
    FILE *file = fopen(s->o.file, "r");
    int c, last = '\n';

    if (file == NULL)
        log_fatal(&s->log, 1, "open %s: %m", s->o.file);
    while ((c = getc(file)) != EOF) {
        if (last == '\n' && c == '.')
            buf_addc(&s->payload, '.');
        if (c == '\n' && last != '\r')
            buf_addc(&s->payload, '\r');
        buf_addc(&s->payload, (char)c);
        last = c;
    }
    if (last != '\n')
        buf_add(&s->payload, STR("\r\n"));
    if (ferror(file))
        log_fatal(&s->log, 1, "read %s: %m", s->o.file);
    fclose(file);
}

void message_prepare(struct source *s)
{
    struct buf *b = &s->payload;

    buf_init(b, PAYLOAD_MAX);
    if (s->o.file)
        add_file(s);
    else {
        if (!s->o.old) {
            if (s->o.subject.n)
                buf_addf(b, "Subject: " STR_FMT "\r\n", STR_ARG(s->o.subject));
            buf_add(b, STR("\r\n"));
        }
        if (s->o.length >= 0)
            add_bytes(b, s->o.length);
        else
            for (int i = 1; i <= 4; i++)
                buf_addf(b, "This is line %d of a test message.\r\n", i);
    }
    buf_add(b, STR(".\r\n"));
    if (b->over)
        log_fatal(&s->log, 1, "the message is larger than %d bytes", PAYLOAD_MAX);
}

static struct str local_or(struct str address)
{
    return address.p ? address : STR("foo@");
}

void message_send(struct source *s, struct duplex *wire, long number)
{
    struct str from = local_or(s->o.from), to = local_or(s->o.to);
    char date[DATE_SIZE];

    if (!s->o.old && s->o.file == NULL) {
        date_rfc5322(date, time(NULL));
        duplex_putf(wire, "From: <" STR_FMT "%s>\r\nTo: <" STR_FMT "%s>\r\n", STR_ARG(from),
                    s->o.from.p ? "" : s->o.host, STR_ARG(to), s->o.to.p ? "" : s->o.host);
        duplex_putf(wire, "Date: %s\r\nMessage-Id: <%04x.%04lx@%s>\r\n", date,
                    (unsigned)getpid() & 0xffff, (unsigned long)number, s->o.host);
    }
    duplex_put(wire, buf_str(&s->payload));
}
