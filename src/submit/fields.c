/* Header fields of the message: what is dropped, counted, rewritten and added. */
#include <stdio.h>

#include "global/address.h"
#include "global/date.h"
#include "global/logline.h"
#include "submit/intake.h"

static bool was_seen(const struct submission *s, enum header_type type)
{
    return s->headers_seen & 1ul << type;
}

static bool is_dropped(const struct submit_library *lib, struct str name)
{
    for (size_t i = 0; i < lib->n_drop; i++)
        if (str_eq_nocase(lib->drop[i], name))
            return true;
    return false;
}

/* ---- address rewriting ---- */

struct change {
    struct submission *s;
    bool sender;
};

static enum rc change_address(void *context, struct str address, struct arena *a, struct str *out,
                              struct why *why)
{
    struct change *c = context;
    struct submission *s = c->s;
    struct str new;

    (void)a;
    (void)why;
    new = mapping_rewrite(s, s->rewrite_remote, address);
    if (s->flags & SUBMIT_MAP_OK)
        new = c->sender ? mapping_sender(s, new, HEADER_SENDERS)
                        : mapping_recipient(s, new, HEADER_RECIPIENTS);
    if (str_eq(new, address))
        return RC_NONE;
    *out = new;
    return RC_OK;
}

static struct str rewrite_addresses(struct submission *s, struct str header, bool sender)
{
    struct change c = {s, sender};
    ssize_t colon = str_index(header, ':');
    struct str head = str_head(header, (size_t)colon + 1), body = str_from(header, colon + 1), new;
    struct why why;

    if (address_list_rewrite(body, change_address, &c, s->arena, &new, &why) != RC_OK)
        return header; /* nothing changed, or not understood: left as it is */
    return arena_join(s->arena, head, new);
}

/* header_address_token_limit */
static struct str limit_addresses(const struct submission *s, struct str header)
{
    long limit = s->lib->config->header_address_token_limit;
    size_t name = (size_t)str_index(header, ':') + 1;

    if (header.n <= (size_t)limit) /* a token has at least one byte */
        return header;
    return str_head(header, name + address_list_limit(str_from(header, name), limit).n);
}

/* ---- single fields ---- */

static void take_received(struct submission *s)
{
    if (++s->hops < s->lib->config->hopcount_limit || (s->status & SUBMIT_HOPS))
        return;
    log_warning(&s->log, "message rejected: hopcount exceeded");
    submission_fail(s, SUBMIT_HOPS, STR_NONE);
}

static void take_message_id(struct submission *s, struct str header, bool resent)
{
    struct str id = header_body(header);

    if (!resent)
        s->message_id = arena_copy(s->arena, id);
    logline_message_id(&s->log, id, resent);
}

static void take_encoding(struct submission *s, struct str header)
{
    if (!s->lib->config->detect_8bit_encoding_header || str_eq(s->encoding, STR("8bit")) ||
        !str_eq_nocase(header_body(header), STR("8bit")))
        return;
    s->encoding = STR("8bit");
}

static void take_special(struct submission *s, int type, struct str header)
{
    switch (type) {
    case HEADER_IS_RECEIVED: take_received(s); break;
    case HEADER_IS_MESSAGE_ID: take_message_id(s, header, false); break;
    case HEADER_IS_RESENT_MESSAGE_ID: take_message_id(s, header, true); break;
    case HEADER_IS_CONTENT_ENCODING: take_encoding(s, header); break;
    case HEADER_IS_TLS_REQUIRED:
        if (s->lib->config->tls_required_enable && str_eq_nocase(header_body(header), STR("no")))
            s->sendopts |= SENDOPT_TLS_NOT_REQUIRED;
        break;
    case HEADER_IS_REQUIRE_TLS: /* REQUIRETLS, carried across a filter */
        if (s->lib->config->requiretls_enable && s->lib->config->requiretls_esmtp_header &&
            str_eq_nocase(header_body(header), STR("yes")))
            s->sendopts |= SENDOPT_REQUIRETLS;
        break;
    default: break;
    }
}

static enum rc to_sender(void *context, struct str address, struct arena *a, struct str *out,
                         struct why *why)
{
    struct submission *s = context;

    (void)a;
    (void)why;
    if (str_eq(address, s->sender))
        return RC_NONE;
    *out = s->sender;
    return RC_OK;
}

/* smtpd_masquerade_from: who has logged in does not choose what From: says. */
static struct str masquerade_from(struct submission *s, struct str header)
{
    struct str body = header, name = str_cut(&body, ':'), new;
    struct why why;
    enum rc rc = address_list_rewrite(body, to_sender, s, s->arena, &new, &why);

    if (s->sender.n == 0 || rc == RC_NONE)
        return header;
    if (rc != RC_OK) /* not understood: nobody else may read something into it */
        new = arena_join(s->arena, STR(" "), address_quote_822(s->arena, s->sender));
    return arena_printf(s->arena, STR_FMT ":" STR_FMT, STR_ARG(name), STR_ARG(new));
}

static void take_primary(struct submission *s, const struct header_field *f, struct str name,
                         struct str header)
{
    if (s->lib->n_drop && is_dropped(s->lib, name))
        return;
    if ((s->flags & (SUBMIT_AUTO_UTF8 | SUBMIT_SMTPUTF8)) && !str_is_ascii(header))
        s->sendopts |= SENDOPT_UTF8_HEADER;
    if (f) {
        s->headers_seen |= 1ul << f->type;
        if (f->flags & HEADER_RESENT)
            s->resent = true;
        take_special(s, f->type, header);
        if (f->flags & (HEADER_SENDER | HEADER_RECIPIENT))
            header = limit_addresses(s, header);
        if (s->rewrites_headers && (f->flags & (HEADER_SENDER | HEADER_RECIPIENT)))
            header = rewrite_addresses(s, header, f->flags & HEADER_SENDER);
        if ((s->flags & SUBMIT_MASQUERADE_FROM) && f->type == HEADER_IS_FROM)
            header = masquerade_from(s, header);
    }
    fields_put(s, header);
}

/* Fields about MIME are checked as such, wherever they stand. */
static bool passes(struct submission *s, const struct header_field *f, enum mime_header_class class,
                   struct str *header)
{
    static const char *const parameters[] = {"header_checks", "mime_header_checks",
                                             "nested_header_checks"};
    if (f && (f->flags & HEADER_MIME))
        class = MIME_HEADER_MIME;
    if (s->lib->checks[class] == NULL || !(s->flags & SUBMIT_FILTER) || s->checks_over)
        return true;
    return checks_apply(s, s->lib->checks[class], parameters[class], "header", header);
}

void fields_take(struct submission *s, enum mime_header_class class, struct str header)
{
    struct str name = str_head(header, header_name_length(header));
    const struct header_field *f = header_find(name);
    struct str before = header;

    if (!passes(s, f, class, &header))
        return;
    if (header.p != before.p) { /* another text stands there now */
        name = str_head(header, header_name_length(header));
        f = header_find(name);
    }
    if (class == MIME_HEADER_PRIMARY && name.n)
        take_primary(s, f, name, header);
    else
        fields_put(s, header);
}

/* ---- what is missing ---- */

static void add_message_id(struct submission *s)
{
    const char *id = queue_file_id(s->file), *resent = s->resent ? "Resent-" : "";
    time_t created = queue_file_created(s->file).tv_sec;
    struct str host = s->lib->config->myhostname, value;
    struct tm tm;

    gmtime_r(&created, &tm);
    if (s->lib->config->enable_long_queue_ids)
        value = arena_printf(s->arena, "<%s@" STR_FMT ">", id, STR_ARG(host));
    else
        value = arena_printf(s->arena, "<%04d%02d%02d%02d%02d%02d.%s@" STR_FMT ">",
                             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                             tm.tm_sec, id, STR_ARG(host));
    fields_put(s, arena_printf(s->arena, "%sMessage-Id: " STR_FMT, resent, STR_ARG(value)));
    if (!s->resent)
        s->message_id = value;
    logline_message_id(&s->log, value, s->resent);
}

static bool is_phrase(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!address_is_atom_byte(name.p[i]) && !is_blank(name.p[i]))
            return false;
    return true;
}

/* A name as phrase: RFC 2047 when it is not ASCII, quoted where it must be. */
static struct str name_as_phrase(struct submission *s, struct str name)
{
    static const char hex[] = "0123456789ABCDEF";
    AUTO_BUF b;

    buf_init(&b, 16 * 1024);
    if (!str_is_ascii(name) && s->lib->config->full_name_encoding_charset.n) {
        buf_addf(&b, "=?" STR_FMT "?Q?", STR_ARG(s->lib->config->full_name_encoding_charset));
        for (size_t i = 0; i < name.n; i++) {
            unsigned char c = (unsigned char)name.p[i];
            if (is_alnum((char)c)) {
                buf_addc(&b, (char)c);
            } else if (c == ' ') {
                buf_addc(&b, '_');
            } else {
                char code[3] = {'=', hex[c >> 4], hex[c & 15]};
                buf_add(&b, (struct str){code, sizeof code});
            }
        }
        buf_add(&b, STR("?="));
    } else if (is_phrase(name)) {
        return name;
    } else {
        buf_addc(&b, '"');
        for (size_t i = 0; i < name.n; i++) {
            if (name.p[i] == '"' || name.p[i] == '\\')
                buf_addc(&b, '\\');
            buf_addc(&b, name.p[i]);
        }
        buf_addc(&b, '"');
    }
    return arena_copy(s->arena, buf_str(&b));
}

static void add_from(struct submission *s)
{
    const char *resent = s->resent ? "Resent-" : "";
    struct str sender = s->sender, name, text;

    if (sender.n == 0) {
        fields_put(s, arena_printf(s->arena, "%sFrom: MAILER-DAEMON", resent));
        return;
    }
    sender = mapping_rewrite(s, s->rewrite_remote, sender);
    if (s->flags & SUBMIT_MAP_OK)
        sender = mapping_sender(s, sender, HEADER_SENDERS);
    sender = address_quote_822(s->arena, sender);
    name = str_trim(s->full_name);
    if (name.n == 0)
        text = arena_printf(s->arena, "%sFrom: " STR_FMT, resent, STR_ARG(sender));
    else if (str_eq(s->lib->config->header_from_format, STR("obsolete")))
        text = arena_printf(s->arena, "%sFrom: " STR_FMT " (" STR_FMT ")", resent, STR_ARG(sender),
                            STR_ARG(name));
    else {
        name = name_as_phrase(s, name);
        text = arena_printf(s->arena, "%sFrom: " STR_FMT " <" STR_FMT ">", resent, STR_ARG(name),
                            STR_ARG(sender));
    }
    fields_put(s, text);
}

static void add_undisclosed(struct submission *s)
{
    struct str header = s->lib->config->undisclosed_recipients_header;

    if (header.n == 0 || was_seen(s, HEADER_IS_TO) || was_seen(s, HEADER_IS_CC) ||
        was_seen(s, HEADER_IS_RESENT_TO) || was_seen(s, HEADER_IS_RESENT_CC))
        return;
    if (header_name_length(header) == 0)
        log_warning(&s->log,
                    "bad undisclosed_recipients_header text \"" STR_FMT
                    "\" -- need \"headername: headervalue\"",
                    STR_ARG(header));
    else
        fields_put(s, header);
}

void fields_complete(struct submission *s)
{
    bool adds = s->rewrites_headers || s->lib->config->always_add_missing_headers;
    char date[DATE_SIZE];

    if (s->status && !submission_may_bounce(s))
        return;
    if (adds && !was_seen(s, s->resent ? HEADER_IS_RESENT_MESSAGE_ID : HEADER_IS_MESSAGE_ID))
        add_message_id(s);
    if (s->message_id.n == 0)
        logline_message_id(&s->log, STR("<>"), false);
    if (!adds)
        return;
    if (!was_seen(s, s->resent ? HEADER_IS_RESENT_DATE : HEADER_IS_DATE)) {
        date_rfc5322(date, s->arrival.tv_sec);
        fields_put(s, arena_printf(s->arena, "%sDate: %s", s->resent ? "Resent-" : "", date));
    }
    if (!was_seen(s, s->resent ? HEADER_IS_RESENT_FROM : HEADER_IS_FROM))
        add_from(s);
    add_undisclosed(s);
}
