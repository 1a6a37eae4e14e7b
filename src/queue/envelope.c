/* The envelope of a queue file: what stands before the content, and what was found in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "config/config.h"
#include "queue/queue.h"
#include "queue/record.h"

enum { WARN_BYTES = 2 + 15 };

struct envelope {
    struct arena *arena;
    struct message_ready *out;
    size_t max;
    VEC(struct recipient) list;
    struct envelope_rest rest;
    /* of the recipient to come */
    struct str original, orcpt, action;
    long notify;
    long start; /* of its first record; 0: none yet */
};

struct text_attribute {
    const char *name;
    size_t offset; /* in struct message_ready */
};

/* Names as Postfix writes them; the log_ ones are about the sender of this message. */
static const struct text_attribute text_attributes[] = {
    {"log_client_name", offsetof(struct message_ready, origin.client_name)},
    {"log_client_address", offsetof(struct message_ready, origin.client_address)},
    {"log_client_port", offsetof(struct message_ready, origin.client_port)},
    {"log_protocol_name", offsetof(struct message_ready, origin.protocol)},
    {"log_helo_name", offsetof(struct message_ready, origin.helo)},
    {"sasl_method", offsetof(struct message_ready, origin.sasl_method)},
    {"sasl_username", offsetof(struct message_ready, origin.sasl_username)},
    {"sasl_sender", offsetof(struct message_ready, origin.sasl_sender)},
    {"log_ident", offsetof(struct message_ready, origin.log_ident)},
    {"rewrite_context", offsetof(struct message_ready, origin.rewrite_context)},
    {"encoding", offsetof(struct message_ready, encoding)},
    {"envelope_id", offsetof(struct message_ready, envid)},
};

static void forget_recipient(struct envelope *e)
{
    e->original = e->orcpt = e->action = STR_NONE;
    e->notify = 0;
    e->start = 0;
}

static void take_recipient(struct envelope *e, struct str address, long offset)
{
    if (e->list.n < e->max) {
        struct recipient r = {.address = arena_copy(e->arena, address),
                              .original = e->original,
                              .dsn_orcpt = e->orcpt,
                              .action = e->action,
                              .dsn_notify = e->notify,
                              .offset = offset};
        vec_add(e->arena, &e->list, r);
    } else {
        if (e->rest.unread++ == 0)
            e->rest.offset = e->start ? e->start : offset;
    }
    forget_recipient(e);
}

/* Attributes of the recipient that comes next. */
static bool take_recipient_attribute(struct envelope *e, struct str name, struct str value)
{
    if (str_eq(name, STR("dsn_orig_rcpt")))
        e->orcpt = arena_copy(e->arena, value);
    else if (str_eq(name, STR("recipient_action")))
        e->action = arena_copy(e->arena, value);
    else if (str_eq(name, STR("notify_flags")))
        (void)str_to_long(value, 0, 15, &e->notify);
    else
        return false;
    return true;
}

static void take_attribute(struct envelope *e, struct str name, struct str value)
{
    struct message_ready *m = e->out;

    for (size_t i = 0; i < sizeof text_attributes / sizeof *text_attributes; i++)
        if (str_eq(name, str_of(text_attributes[i].name))) {
            *(struct str *)((char *)m + text_attributes[i].offset) = arena_copy(e->arena, value);
            return;
        }
    if (str_eq(name, STR("create_time")))
        (void)str_to_long(value, 0, LONG_MAX, &m->create_sec);
    else if (str_eq(name, STR("ret_flags")))
        (void)str_to_long(value, 0, 3, &m->dsn_ret);
    else if (str_eq(name, STR("trace_flags")))
        (void)str_to_long(value, 0, INT_MAX, &m->trace_flags);
}

static void take_size(struct message_ready *m, struct str payload)
{
    long n[SIZES];

    record_sizes(payload, n);
    m->data_size = n[SIZE_DATA];
    m->data_offset = n[SIZE_OFFSET];
    m->size = n[SIZE_MESSAGE] > 0 ? n[SIZE_MESSAGE] : n[SIZE_DATA];
    m->sendopts = n[SIZE_SENDOPTS] > 0 ? n[SIZE_SENDOPTS] : 0;
}

static void take_time(struct message_ready *m, struct str payload)
{
    struct str seconds = str_cut(&payload, ' ');

    (void)str_to_long(str_trim(seconds), 0, LONG_MAX, &m->arrival_sec);
    (void)str_to_long(str_trim(payload), 0, 999999, &m->arrival_usec);
}

static void take_record(struct envelope *e, int type, struct str payload, long offset)
{
    struct message_ready *m = e->out;
    struct str value = payload, name;

    switch (type) {
    case REC_RCPT: take_recipient(e, payload, offset); return;
    case REC_DONE:
    case REC_CANCELLED: forget_recipient(e); return;
    case REC_ORCPT: e->original = arena_copy(e->arena, payload); break;
    case REC_DSN_ORCPT: e->orcpt = arena_copy(e->arena, payload); break;
    case REC_DSN_NOTIFY: (void)str_to_long(payload, 0, 15, &e->notify); break;
    case REC_ATTR:
        name = str_cut(&value, '=');
        if (!take_recipient_attribute(e, name, value)) {
            if (m)
                take_attribute(e, name, value);
            return;
        }
        break;
    default:
        if (m == NULL)
            return;
        switch (type) {
        case REC_SIZE: take_size(m, payload); break;
        case REC_TIME: take_time(m, payload); break;
        case REC_SENDER: m->sender = arena_copy(e->arena, payload); break;
        case REC_FILTER: m->filter = arena_copy(e->arena, payload); break;
        case REC_REDIRECT: m->redirect = arena_copy(e->arena, payload); break;
        case REC_VERP: m->verp = arena_copy(e->arena, payload); break;
        case REC_DSN_ENVID: m->envid = arena_copy(e->arena, payload); break;
        case REC_DSN_RET: (void)str_to_long(payload, 0, 3, &m->dsn_ret); break;
        case REC_WARN:
            m->warn_offset = offset;
            (void)str_to_long(str_trim(payload), -1, LONG_MAX, &m->warn_time);
            break;
        default: break;
        }
        return;
    }
    if (e->start == 0)
        e->start = offset; /* the recipient's first record */
}

/* Read up to the end of this part of the file, or (in later portions) until the list is full. */
static enum rc read_part(struct envelope *e, struct record_reader *r, bool stop_when_full,
                         int *ended_with, struct why *why)
{
    struct str payload;

    for (;;) {
        enum rc rc = record_read(r, true, ended_with, &payload, why);
        if (rc == RC_NONE)
            return FAIL(why, RC_PERM, "the file has no end record");
        if (rc != RC_OK)
            return rc;
        if (*ended_with == REC_MESSAGE || *ended_with == REC_END)
            return RC_OK;
        if (record_type_name(*ended_with) == NULL || *ended_with == REC_PACKED)
            return FAIL(why, RC_PERM, "unknown record type %d at %ld", *ended_with, r->offset);
        take_record(e, *ended_with, payload, r->offset);
        if (stop_when_full && e->list.n == e->max) {
            e->rest.offset = record_tell(r);
            return RC_OK;
        }
    }
}

/* Past the content there must be the record that begins the extracted part. */
static enum rc skip_content(struct record_reader *r, long data_end, struct why *why)
{
    struct str payload;
    int type;
    enum rc rc;

    record_seek(r, data_end);
    rc = record_read(r, true, &type, &payload, why);
    if (rc == RC_TEMP)
        return rc;
    if (rc != RC_OK || type != REC_EXTRACTED)
        return FAIL(why, RC_PERM, "the content does not end at %ld", data_end);
    return RC_OK;
}

enum rc queue_file_read_envelope(int fd, struct str id, size_t max, struct arena *a,
                                 struct message_ready *out, struct envelope_rest *more,
                                 struct why *why)
{
    struct message_ready m = {.queue_id = arena_copy(a, id)};
    struct envelope e = {.arena = a, .out = &m, .max = max};
    struct record_reader r;
    size_t before;
    int type;

    record_reader_init(&r, fd, a, 0);
    TRY(read_part(&e, &r, false, &type, why));
    if (type != REC_MESSAGE)
        return FAIL(why, RC_PERM, "the file has no content");
    if (m.data_offset <= 0 || m.data_size < 0)
        return FAIL(why, RC_PERM, "the size record is damaged or was never filled in");
    e.rest.data_end = m.data_offset + m.data_size;
    before = e.rest.unread;
    TRY(skip_content(&r, e.rest.data_end, why));
    forget_recipient(&e);
    TRY(read_part(&e, &r, false, &type, why));
    if (type != REC_END)
        return FAIL(why, RC_PERM, "the file has two contents");
    e.rest.after_content = before == 0 && e.rest.unread > 0;
    if (m.create_sec == 0)
        m.create_sec = m.arrival_sec;
    m.recipients = e.list.v;
    m.n_recipients = e.list.n;
    m.complete = e.rest.unread == 0;
    *out = m;
    *more = e.rest;
    return RC_OK;
}

enum rc queue_file_read_recipients(int fd, struct envelope_rest *more, size_t max, struct arena *a,
                                   struct recipient **recipients, size_t *n, struct why *why)
{
    struct envelope e = {.arena = a, .max = max, .rest = *more};
    struct record_reader r;
    int type = 0;

    record_reader_init(&r, fd, a, more->offset);
    TRY(read_part(&e, &r, true, &type, why));
    if (type == REC_MESSAGE && !e.rest.after_content) {
        forget_recipient(&e);
        TRY(skip_content(&r, e.rest.data_end, why));
        e.rest.after_content = true;
        TRY(read_part(&e, &r, true, &type, why));
    }
    if (type == REC_END || e.list.n >= e.rest.unread)
        e.rest = (struct envelope_rest){0};
    else
        e.rest.unread -= e.list.n;
    *more = e.rest;
    *recipients = e.list.v;
    *n = e.list.n;
    return RC_OK;
}

enum rc queue_file_mark_done(int fd, long offset, struct why *why)
{
    char type = 0;

    if (pread(fd, &type, 1, offset) != 1)
        return FAIL(why, RC_TEMP, "read at %ld: %m", offset);
    if (type == REC_DONE)
        return RC_OK;
    if (type != REC_RCPT)
        return FAIL(why, RC_PERM, "no recipient stands at %ld", offset);
    type = REC_DONE;
    if (pwrite(fd, &type, 1, offset) != 1)
        return FAIL(why, RC_TEMP, "write at %ld: %m", offset);
    return RC_OK;
}

long queue_warn_delay(const struct config *config, long age)
{
    struct str rest = config->delay_warning_times, word;
    long next = 0, t;

    if (rest.n == 0)
        return age < config->delay_warning_time ? config->delay_warning_time : 0;
    while (str_token(&rest, LIST_SEPARATORS, &word))
        if (config_parse_time(word, 'h', &t) && t > age && (next == 0 || t < next))
            next = t;
    return next;
}

enum rc queue_file_set_warn_time(int fd, long offset, long when, struct why *why)
{
    char record[WARN_BYTES + 1], old[2] = {0};

    if (pread(fd, old, sizeof old, offset) != (ssize_t)sizeof old)
        return FAIL(why, RC_TEMP, "read at %ld: %m", offset);
    if (old[0] != REC_WARN || old[1] != WARN_BYTES - 2)
        return FAIL(why, RC_PERM, "no warning record stands at %ld", offset);
    snprintf(record, sizeof record, "%c%c%15ld", REC_WARN, WARN_BYTES - 2, when);
    if (pwrite(fd, record, WARN_BYTES, offset) != WARN_BYTES)
        return FAIL(why, RC_TEMP, "write at %ld: %m", offset);
    return RC_OK;
}
