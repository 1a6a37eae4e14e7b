#include "submit/drop.h"

#include <stddef.h>

void drop_init(struct drop *d, enum drop_source source, uid_t uid, struct arena *a)
{
    *d = (struct drop){.source = source, .uid = uid, .arena = a};
    d->begin.origin.rewrite_context = STR("local");
}

static enum rc refuse_type(const struct drop *d, int type, struct why *why)
{
    return FAIL(why, RC_PERM, "uid=%u: unexpected record type: %d", d->uid, type);
}

/* ---- named attributes ---- */

static bool take_encoding(struct drop *d, struct str value)
{
    if (value.n && !str_eq(value, STR("7bit")) && !str_eq(value, STR("8bit")))
        return false;
    d->begin.encoding = arena_copy(d->arena, value);
    return true;
}

static bool take_envelope_id(struct drop *d, struct str value)
{
    d->begin.envid = arena_copy(d->arena, str_head(value, 255));
    return true;
}

static bool take_ret_flags(struct drop *d, struct str value)
{
    return str_to_long(value, 0, 3, &d->begin.dsn_ret);
}

static bool take_context(struct drop *d, struct str value)
{
    if (!str_eq(value, STR("local")) && !str_eq(value, STR("remote")))
        return false;
    d->begin.origin.rewrite_context = arena_copy(d->arena, value);
    return true;
}

static bool take_trace_flags(struct drop *d, struct str value)
{
    enum { USER_VERIFY = 512, RECORD = 1024 };
    long flags;

    if (!str_to_long(value, USER_VERIFY, RECORD, &flags) ||
        (flags != USER_VERIFY && flags != RECORD))
        return false;
    d->begin.trace_flags = flags;
    return true;
}

static bool take_notify(struct drop *d, struct str value)
{
    return str_to_long(value, 0, 15, &d->recipient.dsn_notify);
}

static bool take_orcpt(struct drop *d, struct str value)
{
    d->recipient.dsn_orcpt = arena_copy(d->arena, str_head(value, 1024));
    return true;
}

static bool take_nothing(struct drop *d, struct str value)
{
    (void)d, (void)value;
    return true;
}

static const struct {
    const char *name;
    bool (*take)(struct drop *d, struct str value);
} attributes[] = {
    {"encoding", take_encoding},       {"envelope_id", take_envelope_id},
    {"ret_flags", take_ret_flags},     {"rewrite_context", take_context},
    {"trace_flags", take_trace_flags}, {"notify_flags", take_notify},
    {"dsn_orig_rcpt", take_orcpt},     {"create_time", take_nothing},
};

/* Where the message came from, when it was in the queue before. */
static bool take_origin(struct drop *d, struct str name, struct str value)
{
    static const struct {
        const char *name;
        size_t offset;
    } texts[] = {
        {"log_client_name", offsetof(struct origin, client_name)},
        {"log_client_address", offsetof(struct origin, client_address)},
        {"log_client_port", offsetof(struct origin, client_port)},
        {"log_protocol_name", offsetof(struct origin, protocol)},
        {"log_helo_name", offsetof(struct origin, helo)},
        {"sasl_method", offsetof(struct origin, sasl_method)},
        {"sasl_username", offsetof(struct origin, sasl_username)},
        {"sasl_sender", offsetof(struct origin, sasl_sender)},
        {"log_ident", offsetof(struct origin, log_ident)},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (str_eq(name, str_of(texts[i].name))) {
            *(struct str *)((char *)&d->begin.origin + texts[i].offset) =
                arena_copy(d->arena, value);
            return true;
        }
    return false;
}

static enum drop_kind take_attribute(struct drop *d, struct str payload, struct why *why)
{
    struct str value = payload, name = str_cut(&value, '=');

    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (value.p && str_eq(name, str_of(attributes[i].name)) && attributes[i].take(d, value))
            return DROP_KEPT;
    if (d->source == DROP_FROM_QUEUE)
        return take_origin(d, name, value) ? DROP_KEPT : DROP_IGNORED;
    why_set(why, RC_OK, "uid=%u: ignoring attribute record: " STR_FMT, d->uid,
            STR_ARG(str_head(payload, 200)));
    return DROP_UNKNOWN;
}

/* ---- records ---- */

static enum drop_kind take_recipient(struct drop *d, struct str address)
{
    struct recipient next = {.dsn_orcpt = d->recipient.dsn_orcpt,
                             .dsn_notify = d->recipient.dsn_notify};

    if (d->n_recipients && d->recipient.address.p) /* attributes of the one before do not count */
        next = (struct recipient){0};
    next.address = next.original = arena_copy(d->arena, address);
    d->recipient = next;
    d->n_recipients++;
    return DROP_RECIPIENT;
}

/* Attributes that come now belong to the next recipient. */
static void forget_recipient(struct drop *d)
{
    if (d->recipient.address.p)
        d->recipient = (struct recipient){0};
}

static void take_time(struct drop *d, struct str payload)
{
    struct str usec = payload, sec = str_cut(&usec, ' ');
    long seconds, micros = 0;

    if (!str_to_long(sec, 1, LONG_MAX, &seconds))
        return;
    (void)str_to_long(usec, 0, 999999, &micros);
    d->begin.arrival_sec = seconds;
    d->begin.arrival_usec = micros;
}

/* The sixth number of the size record; all else in it is ours to say. */
static void take_size(struct drop *d, struct str payload)
{
    enum { SMTPUTF8 = 1, REQUIRETLS = 32 };
    struct str field = STR("");
    long sendopts = 0;

    for (int i = 0; i < 6; i++)
        if (!str_token(&payload, " ", &field))
            return;
    if (str_to_long(field, 0, 255, &sendopts))
        d->begin.sendopts =
            d->source == DROP_FROM_QUEUE ? sendopts : sendopts & (SMTPUTF8 | REQUIRETLS);
}

static bool is_clean(struct str payload)
{
    return str_index_any(payload, "\r\n") < 0 &&
           memchr(payload.p ? payload.p : "", 0, payload.n) == NULL;
}

static enum rc envelope_record(struct drop *d, int type, struct str payload, enum drop_kind *kind,
                               struct why *why)
{
    if (!is_clean(payload))
        return FAIL(why, RC_PERM, "uid=%u: bad character in record type %d", d->uid, type);
    *kind = DROP_KEPT;
    switch (type) {
    case REC_SIZE: take_size(d, payload); break;
    case REC_TIME:
        *kind = DROP_IGNORED;
        if (d->source != DROP_FROM_PROGRAM)
            take_time(d, payload);
        break;
    case REC_FULL: d->begin.full_name = arena_copy(d->arena, str_head(payload, 1024)); break;
    case REC_SENDER:
        if (payload.n > 1024)
            return FAIL(why, RC_PERM, "uid=%u: the sender address is too long", d->uid);
        d->begin.sender = arena_copy(d->arena, payload);
        d->has_sender = true;
        break;
    case REC_VERP: d->begin.verp = arena_copy(d->arena, str_head(payload, 2)); break;
    case REC_ATTR:
        forget_recipient(d);
        *kind = take_attribute(d, payload, why);
        break;
    case REC_RCPT:
        if (payload.n > 1024)
            return FAIL(why, RC_PERM, "uid=%u: a recipient address is too long", d->uid);
        *kind = take_recipient(d, payload);
        break;
    case REC_DSN_ENVID:
    case REC_DSN_NOTIFY: *kind = DROP_IGNORED; break;
    case REC_DONE:
    case REC_CANCELLED:
        if (d->source != DROP_FROM_QUEUE)
            return refuse_type(d, type, why);
        d->recipient = (struct recipient){0};
        *kind = DROP_IGNORED;
        break;
    case REC_MESSAGE: d->part = DROP_CONTENT; break;
    default:
        if (d->source != DROP_FROM_QUEUE)
            return refuse_type(d, type, why);
        *kind = DROP_IGNORED;
    }
    return RC_OK;
}

static enum rc extracted_record(struct drop *d, int type, struct str payload, enum drop_kind *kind,
                                struct why *why)
{
    switch (type) {
    case REC_ATTR:
    case REC_RCPT: return envelope_record(d, type, payload, kind, why);
    case REC_END:
        *kind = DROP_KEPT;
        d->part = DROP_COMPLETE;
        return RC_OK;
    default:
        *kind = DROP_IGNORED;
        return d->source == DROP_FROM_QUEUE ? RC_OK : refuse_type(d, type, why);
    }
}

enum rc drop_record(struct drop *d, int type, struct str payload, enum drop_kind *kind,
                    struct why *why)
{
    switch (d->part) {
    case DROP_ENVELOPE: return envelope_record(d, type, payload, kind, why);
    case DROP_CONTENT:
        if (type == REC_NORM || type == REC_CONT) {
            *kind = DROP_TEXT;
        } else if (type == REC_EXTRACTED) {
            *kind = DROP_KEPT;
            d->part = DROP_EXTRACTED;
        } else {
            return refuse_type(d, type, why);
        }
        return RC_OK;
    case DROP_EXTRACTED: return extracted_record(d, type, payload, kind, why);
    default: return refuse_type(d, type, why);
    }
}

enum rc drop_check(const struct drop *d, struct why *why)
{
    if (d->part != DROP_COMPLETE)
        return FAIL(why, RC_PERM, "uid=%u: the message is not complete", d->uid);
    if (!d->has_sender)
        return FAIL(why, RC_PERM, "uid=%u: the message has no sender record", d->uid);
    if (d->n_recipients == 0)
        return FAIL(why, RC_PERM, "uid=%u: the message has no recipient record", d->uid);
    return RC_OK;
}
