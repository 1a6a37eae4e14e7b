#include <arpa/inet.h>

#include "global/address.h"
#include "global/dsn.h"
#include "global/text.h"
#include "smtp/transaction.h"

enum {
    OPT_SMTPUTF8 = 1,
    COMMAND_MAX = 4096,
};

/* The address as the envelope has it. Without SMTPUTF8 a domain goes in its ASCII form. */
static struct str path(struct attempt *at, const struct session *s, struct str address)
{
    struct address_parts parts;

    if (address.n == 0)
        return address;
    if (!str_is_ascii(address) && !(s->features.bits & FEATURE_SMTPUTF8)) {
        parts = address_split(address);
        if (parts.has_domain && str_is_ascii(parts.local))
            address =
                address_join(at->arena, parts.local, domain_to_ascii(at->arena, parts.domain));
    }
    return at->smtp->set.quote_rfc821_envelope ? address_quote(at->arena, address) : address;
}

struct str mail_command(struct attempt *at, const struct session *s)
{
    const struct deliver_request *q = &at->d->request;
    unsigned has = s->features.bits;
    struct str out;
    struct buf b;

    buf_init(&b, COMMAND_MAX);
    buf_addf(&b, "MAIL FROM:<" STR_FMT ">", STR_ARG(path(at, s, at->sender)));
    if (has & FEATURE_SIZE)
        buf_addf(&b, " SIZE=%ld", q->size);
    if (has & FEATURE_8BITMIME && str_eq(q->encoding, STR("8bit")))
        buf_add(&b, STR(" BODY=8BITMIME"));
    else if (has & FEATURE_8BITMIME && str_eq(q->encoding, STR("7bit")))
        buf_add(&b, STR(" BODY=7BIT"));
    if (has & FEATURE_DSN && q->envid.n)
        buf_addf(&b, " ENVID=" STR_FMT, STR_ARG(xtext_encode(at->arena, q->envid)));
    if (has & FEATURE_DSN && q->dsn_ret)
        buf_addf(&b, " RET=%s", q->dsn_ret == DSN_RET_FULL ? "FULL" : "HDRS");
    if (has & FEATURE_SMTPUTF8 && q->sendopts & OPT_SMTPUTF8)
        buf_add(&b, STR(" SMTPUTF8"));
    if (has & FEATURE_REQUIRETLS && s->tls && at->tls.asked)
        buf_add(&b, STR(" REQUIRETLS"));
    if (has & FEATURE_AUTH && at->smtp->set.send_dummy_mail_auth)
        buf_add(&b, STR(" AUTH=<>"));
    buf_add(&b, STR("\r\n"));
    out = arena_copy(at->arena, buf_str(&b));
    buf_done(&b);
    return out;
}

/* The original recipient (RFC 3461 4.2): the type as it is, the address as xtext. */
static void add_orcpt(struct attempt *at, struct buf *b, const struct recipient *r)
{
    struct str rest = r->dsn_orcpt, type;

    if (rest.n) {
        type = str_cut(&rest, ';');
        buf_addf(b, " ORCPT=" STR_FMT ";" STR_FMT, STR_ARG(type),
                 STR_ARG(xtext_encode(at->arena, rest)));
    } else if (r->original.n) {
        buf_addf(b, " ORCPT=rfc822;" STR_FMT,
                 STR_ARG(xtext_encode(at->arena, address_quote(at->arena, r->original))));
    }
}

static void add_notify(struct buf *b, long notify)
{
    static const struct {
        long bit;
        const char *word;
    } words[] = {
        {DSN_NOTIFY_SUCCESS, "SUCCESS"},
        {DSN_NOTIFY_FAILURE, "FAILURE"},
        {DSN_NOTIFY_DELAY, "DELAY"},
    };
    const char *separator = " NOTIFY=";

    if (notify & DSN_NOTIFY_NEVER) {
        buf_add(b, STR(" NOTIFY=NEVER"));
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!(notify & words[i].bit))
            continue;
        buf_addf(b, "%s%s", separator, words[i].word);
        separator = ",";
    }
}

struct str rcpt_command(struct attempt *at, const struct session *s, size_t i)
{
    const struct recipient *r = &at->d->request.recipients[i];
    struct str out;
    struct buf b;

    buf_init(&b, COMMAND_MAX);
    buf_addf(&b, "RCPT TO:<" STR_FMT ">", STR_ARG(path(at, s, at->to[i])));
    if (s->features.bits & FEATURE_DSN) {
        add_orcpt(at, &b, r);
        add_notify(&b, r->dsn_notify);
    }
    buf_add(&b, STR("\r\n"));
    out = arena_copy(at->arena, buf_str(&b));
    buf_done(&b);
    return out;
}

/* " WORD=value" with the value as xtext. */
static void add_attribute(struct attempt *at, struct buf *b, const struct session *s, unsigned bit,
                          const char *word, struct str value)
{
    if (s->features.xforward & bit)
        buf_addf(b, " %s=" STR_FMT, word,
                 STR_ARG(value.n ? xtext_encode(at->arena, value) : STR("[UNAVAILABLE]")));
}

struct str xforward_commands(struct attempt *at, const struct session *s, int *n)
{
    const struct deliver_request *q = &at->d->request;
    const struct origin *o = &q->origin;
    struct str address = o->client_address, out;
    struct buf b;

    *n = 0;
    if (!at->smtp->set.send_xforward_command || s->features.xforward == 0)
        return STR("");
    if (str_index(address, ':') >= 0 && !str_has_prefix_nocase(address, STR("IPv6:")))
        address = arena_join(at->arena, STR("IPV6:"), address);
    buf_init(&b, COMMAND_MAX);
    if (s->features.xforward & (XFORWARD_NAME | XFORWARD_ADDR | XFORWARD_PORT)) {
        buf_add(&b, STR("XFORWARD"));
        add_attribute(at, &b, s, XFORWARD_NAME, "NAME", o->client_name);
        add_attribute(at, &b, s, XFORWARD_ADDR, "ADDR", address);
        add_attribute(at, &b, s, XFORWARD_PORT, "PORT", o->client_port);
        buf_add(&b, STR("\r\n"));
        ++*n;
    }
    if (s->features.xforward &
        (XFORWARD_PROTO | XFORWARD_HELO | XFORWARD_IDENT | XFORWARD_SOURCE)) {
        buf_add(&b, STR("XFORWARD"));
        add_attribute(at, &b, s, XFORWARD_PROTO, "PROTO", o->protocol);
        add_attribute(at, &b, s, XFORWARD_HELO, "HELO", o->helo);
        add_attribute(at, &b, s, XFORWARD_IDENT, "IDENT",
                      o->log_ident.n ? o->log_ident : q->queue_id);
        if (s->features.xforward & XFORWARD_SOURCE)
            buf_addf(&b, " SOURCE=%s",
                     str_eq(o->rewrite_context, STR("local")) ? "LOCAL" : "REMOTE");
        buf_add(&b, STR("\r\n"));
        ++*n;
    }
    out = arena_copy(at->arena, buf_str(&b));
    buf_done(&b);
    return out;
}
