#include <limits.h>

#include "config/config.h"
#include "global/date.h"
#include "global/logline.h"
#include "pickup/pickup.h"
#include "util/clock.h"

void local_message_init(struct local_message *m, struct pickup *p, struct service_env *env,
                        struct arena *a, long uid)
{
    *m = (struct local_message){.pickup = p, .env = env, .arena = a, .uid = uid};
    m->begin.flags = submit_flags_for(env->config, SUBMIT_FROM_SENDMAIL) | SUBMIT_BOUNCE;
    m->begin.origin.rewrite_context = STR("local");
    m->begin.filter = env->config->content_filter;
}

static long number(struct str text)
{
    long value = 0;

    (void)str_to_long(str_trim(text), LONG_MIN, LONG_MAX, &value);
    return value;
}

/* Where the value of a named attribute goes. */
static struct str *text_of(struct local_message *m, struct str name)
{
    struct submit_begin *b = &m->begin;
    const struct {
        const char *name;
        struct str *place;
        bool trusted;
    } rows[] = {
        {"encoding", &b->encoding, false},
        {"envelope_id", &b->envid, false},
        {"dsn_orig_rcpt", &m->next.dsn_orcpt, false},
        {"rewrite_context", &b->origin.rewrite_context, false},
        {"log_ident", &b->origin.log_ident, true},
        {"log_client_name", &b->origin.client_name, true},
        {"log_client_address", &b->origin.client_address, true},
        {"log_client_port", &b->origin.client_port, true},
        {"log_helo_name", &b->origin.helo, true},
        {"log_protocol_name", &b->origin.protocol, true},
        {"sasl_method", &b->origin.sasl_method, true},
        {"sasl_username", &b->origin.sasl_username, true},
        {"sasl_sender", &b->origin.sasl_sender, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_eq(name, str_of(rows[i].name)) && (m->trusted || !rows[i].trusted))
            return rows[i].place;
    return NULL;
}

static void take_attribute(struct local_message *m, struct str payload)
{
    struct str value = payload, name = str_cut(&value, '='), *text = text_of(m, name);

    if (text)
        *text = arena_copy(m->arena, value);
    else if (str_eq(name, STR("notify_flags")))
        m->next.dsn_notify = number(value);
    else if (str_eq(name, STR("ret_flags")))
        m->begin.dsn_ret = number(value);
    else if (str_eq(name, STR("trace_flags")))
        m->begin.trace_flags = number(value);
}

static void take_time(struct local_message *m, struct str payload)
{
    struct str usec = payload, sec = str_cut(&usec, ' ');

    m->begin.arrival_sec = number(sec);
    m->begin.arrival_usec = number(usec);
}

/* Last of the six numbers: the options of this message. */
static void take_size(struct local_message *m, struct str payload)
{
    struct str word, rest = payload;
    long value = 0;

    for (int i = 0; i < 6 && str_token(&rest, " ", &word); i++)
        value = i == 5 ? number(word) : 0;
    m->begin.sendopts = value > 0 ? value : 0;
    if (m->begin.sendopts & 1)
        m->begin.flags |= SUBMIT_SMTPUTF8;
    if (m->begin.sendopts & 32)
        m->begin.flags |= SUBMIT_REQUIRETLS;
}

static void take_recipient(struct local_message *m, struct str address)
{
    m->next.address = arena_copy(m->arena, address);
    vec_add(m->arena, &m->recipients, m->next);
    m->next = (struct recipient){0};
}

static void received_header(struct local_message *m)
{
    const struct config *c = m->env->config;
    char date[DATE_SIZE];

    date_rfc5322(date, clock_seconds());
    submit_prepend_header(m->submission,
                          arena_printf(m->arena,
                                       "Received: by " STR_FMT " (" STR_FMT
                                       ", from userid %ld)\n\tid %s; %s",
                                       STR_ARG(c->myhostname), STR_ARG(c->mail_name), m->uid,
                                       submit_queue_id(m->submission), date));
}

static void give_recipients(struct local_message *m)
{
    for (size_t i = 0; i < m->recipients.n; i++)
        submit_recipient(m->submission, &m->recipients.v[i]);
    m->recipients.n = 0;
}

static enum rc begin_content(struct local_message *m, struct why *why)
{
    struct log log = m->env->log;

    TRY(submit_begin(m->pickup->submit, &m->begin, m->arena, &log, &m->submission, why));
    log_set_queue_id(&log, str_of(submit_queue_id(m->submission)));
    logline_uid(&log, m->uid, m->begin.sender, m->original_id);
    give_recipients(m);
    received_header(m);
    return RC_OK;
}

/* A requeued file has more kinds of records than sendmail makes; what was done or replaced is left
 * out. */
static enum rc envelope_record(struct local_message *m, int type, struct str payload,
                               struct why *why)
{
    switch (type) {
    case REC_SIZE: take_size(m, payload); return RC_OK;
    case REC_TIME: take_time(m, payload); return RC_OK;
    case REC_FULL: m->begin.full_name = arena_copy(m->arena, payload); return RC_OK;
    case REC_SENDER: m->begin.sender = arena_copy(m->arena, payload); return RC_OK;
    case REC_RCPT: take_recipient(m, payload); return RC_OK;
    case REC_DONE:
    case REC_CANCELLED: m->next = (struct recipient){0}; return RC_OK;
    case REC_VERP: m->begin.verp = arena_copy(m->arena, payload); return RC_OK;
    case REC_ATTR: take_attribute(m, payload); return RC_OK;
    case REC_DSN_ENVID: m->begin.envid = arena_copy(m->arena, payload); return RC_OK;
    case REC_DSN_NOTIFY: m->next.dsn_notify = number(payload); return RC_OK;
    case REC_ORCPT:
    case REC_WARN:
    case REC_KILLED:
    case REC_CTIME:
    case REC_FILTER:
    case REC_INSPECT:
    case REC_REDIRECT: return RC_OK;
    case REC_MESSAGE: return begin_content(m, why);
    default: return FAIL(why, RC_PERM, "unexpected record type: %c", type);
    }
}

enum rc local_message_record(struct local_message *m, int type, struct str payload, struct why *why)
{
    if (m->submission == NULL)
        return envelope_record(m, type, payload, why);
    switch (type) {
    case REC_NORM:
    case REC_CONT:
        if (submit_status(m->submission) == 0)
            submit_line(m->submission, payload, type == REC_CONT);
        return RC_OK;
    case REC_EXTRACTED:
    case REC_END:
    case REC_RRTO:
    case REC_ERTO: return RC_OK;
    case REC_RCPT:
        take_recipient(m, payload);
        give_recipients(m);
        return RC_OK;
    case REC_DONE:
    case REC_CANCELLED:
    case REC_ORCPT: return RC_OK;
    case REC_ATTR: take_attribute(m, payload); return RC_OK;
    default: return FAIL(why, RC_PERM, "unexpected record type: %c", type);
    }
}

unsigned local_message_finish(struct local_message *m, struct str *reason)
{
    *reason = STR("");
    return m->submission ? submit_finish(m->submission, reason) : (unsigned)SUBMIT_BAD;
}
