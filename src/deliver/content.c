/* The content of a message: walked record by record, or copied into a mailbox. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "deliver/shared.h"
#include "global/address.h"
#include "global/date.h"
#include "global/header.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/memory.h"

enum { COPY_BUFFER = 64 * 1024 };

enum rc deliver_content(struct delivery *d, enum rc (*line)(void *, struct str, bool, struct why *),
                        void *context, struct why *why)
{
    struct record_reader r;
    struct str text;
    int type;

    record_reader_init(&r, d->fd, d->arena, d->request.data_offset);
    record_reader_unpack(&r, d->shared->keys);
    for (;;) {
        enum rc rc = record_read(&r, true, &type, &text, why);
        service_progress(d->env);
        if (rc == RC_NONE)
            return FAIL(why, RC_TEMP, "queue file ends early");
        if (rc != RC_OK)
            return rc;
        if (type == REC_NORM || type == REC_CONT)
            TRY(line(context, text, type == REC_CONT, why));
        else if (type == REC_EXTRACTED || type == REC_END)
            return RC_OK;
    }
}

struct copier {
    deliver_writer *write;
    void *context;
    unsigned flags;
    struct str eol;
    bool line_start;
    char *buffer;
    size_t n;
};

static enum rc flush(struct copier *c, struct why *why)
{
    struct str bytes = {c->buffer, c->n};

    c->n = 0;
    return c->write(c->context, bytes, why);
}

static enum rc put(struct copier *c, struct str s, struct why *why)
{
    if (c->n + s.n > COPY_BUFFER)
        TRY(flush(c, why));
    if (s.n > COPY_BUFFER)
        return c->write(c->context, s, why);
    memcpy(c->buffer + c->n, s.p, s.n);
    c->n += s.n;
    return RC_OK;
}

static enum rc put_line(void *context, struct str text, bool more, struct why *why)
{
    struct copier *c = context;

    if (c->line_start && text.n) {
        if ((c->flags & COPY_QUOTE_FROM) && str_has_prefix(text, STR("From ")))
            TRY(put(c, STR(">"), why));
        if ((c->flags & COPY_DOT_STUFF) && text.p[0] == '.')
            TRY(put(c, STR("."), why));
    }
    TRY(put(c, text, why));
    c->line_start = !more;
    return more ? RC_OK : put(c, c->eol, why);
}

static enum rc put_prefix(struct copier *c, struct delivery *d, size_t i, struct str delivered_to,
                          struct why *why)
{
    const struct recipient *r = &d->request.recipients[i];
    struct str sender = address_quote_822(d->arena, d->request.sender),
               original = r->original.n ? r->original : r->address;
    char date[DATE_SIZE];

    if (c->flags & COPY_FROM_LINE) {
        date_ctime(date, clock_seconds());
        TRY(put_line(c,
                     arena_printf(d->arena, "From " STR_FMT "  %s",
                                  STR_ARG(sender.n ? sender : STR("MAILER-DAEMON")), date),
                     false, why));
    }
    if (c->flags & COPY_RETURN_PATH)
        TRY(put_line(c, arena_printf(d->arena, "Return-Path: <" STR_FMT ">", STR_ARG(sender)),
                     false, why));
    if (c->flags & COPY_ORIGINAL_TO) {
        original = address_quote_822(d->arena, original);
        TRY(put_line(c, arena_printf(d->arena, "X-Original-To: " STR_FMT, STR_ARG(original)), false,
                     why));
    }
    if ((c->flags & COPY_DELIVERED_TO) && delivered_to.n) {
        delivered_to = address_quote_822(d->arena, delivered_to);
        TRY(put_line(c, arena_printf(d->arena, "Delivered-To: " STR_FMT, STR_ARG(delivered_to)),
                     false, why));
    }
    return RC_OK;
}

static enum rc copy_all(struct copier *c, struct delivery *d, size_t i, struct str delivered_to,
                        struct why *why)
{
    unsigned quote = c->flags & COPY_QUOTE_FROM;

    c->flags &= ~(unsigned)COPY_QUOTE_FROM; /* the From_ line itself stays as it is */
    TRY(put_prefix(c, d, i, delivered_to, why));
    c->flags |= quote;
    TRY(deliver_content(d, put_line, c, why));
    if (!c->line_start)
        TRY(put_line(c, STR(""), false, why));
    if (c->flags & COPY_BLANK_AT_END)
        TRY(put(c, c->eol, why));
    return flush(c, why);
}

enum rc deliver_copy_to(struct delivery *d, size_t index, deliver_writer *write, void *context,
                        unsigned flags, struct str delivered_to, struct str eol, struct why *why)
{
    struct copier c = {.write = write,
                       .context = context,
                       .flags = flags,
                       .eol = eol,
                       .line_start = true,
                       .buffer = memory_resize(NULL, COPY_BUFFER)};
    enum rc rc = copy_all(&c, d, index, delivered_to, why);

    free(c.buffer);
    return rc;
}

static enum rc write_fd(void *context, struct str bytes, struct why *why)
{
    const int *fd = context;

    return fd_write_all(*fd, bytes, why);
}

enum rc deliver_copy(struct delivery *d, size_t index, int to, unsigned flags,
                     struct str delivered_to, struct str eol, struct why *why)
{
    return deliver_copy_to(d, index, write_fd, &to, flags, delivered_to, eol, why);
}

struct loop_search {
    struct str wanted;
    bool found;
};

static enum rc find_delivered_to(void *context, struct str text, bool more, struct why *why)
{
    struct loop_search *s = context;

    (void)more, (void)why;
    if (text.n == 0)
        return RC_NONE; /* end of the header */
    if (str_has_prefix_nocase(text, STR("Delivered-To:")) &&
        str_eq_nocase(str_trim(str_from(text, 13)), s->wanted))
        s->found = true;
    return s->found ? RC_NONE : RC_OK;
}

bool deliver_is_loop(struct delivery *d, struct str delivered_to)
{
    struct loop_search search = {.wanted = address_quote_822(d->arena, delivered_to)};
    struct why why;

    (void)!deliver_content(d, find_delivered_to, &search, &why);
    return search.found;
}
