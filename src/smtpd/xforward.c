/* XCLIENT and XFORWARD: a trusted front end speaks for the client behind it. */
#include "global/dsn.h"
#include "global/text.h"
#include "smtpd/smtpd.h"

enum { VALUE_MAX = 255 };

void xforward_reset(struct session *s)
{
    s->xforward = (struct xforward){0};
}

/* Attribute with decoded value; "[UNAVAILABLE]" and "[TEMPUNAVAIL]" stay as they are. */
typedef bool take_attribute(struct session *s, struct str name, struct str value);

static bool is_unavailable(struct str value)
{
    return str_eq_nocase(value, STR("[UNAVAILABLE]")) || str_eq_nocase(value, STR("[TEMPUNAVAIL]"));
}

static bool bad_syntax(struct session *s, const char *what, struct str text)
{
    session_replyf(s, "501 5.5.4 Bad %s: " STR_FMT, what, STR_ARG(str_head(text, 100)));
    return false;
}

static bool bad_value(struct session *s, struct str name, struct str value)
{
    session_replyf(s, "501 5.5.4 Bad " STR_FMT " syntax: " STR_FMT, STR_ARG(name),
                   STR_ARG(str_head(value, 100)));
    return false;
}

static bool each_attribute(struct session *s, struct str arguments, take_attribute *take,
                           const char *verb)
{
    struct str word;
    bool any = false;

    while (str_token(&arguments, " \t", &word)) {
        struct str value = word, name = str_cut(&value, '='), decoded;
        if (value.p == NULL) {
            session_reply(s, STR("501 5.5.4 Error: attribute=value expected"));
            return false;
        }
        if (value.n > VALUE_MAX || xtext_decode(s->arena, value, &decoded, &s->why) != RC_OK)
            return bad_value(s, name, value);
        text_printable((char *)decoded.p, decoded.n, '?', true);
        if (!take(s, name, decoded))
            return false;
        any = true;
    }
    if (!any)
        session_replyf(s, "501 5.5.4 Syntax: %s attribute=value...", verb);
    return any;
}

static bool parse_address(struct str value, struct addr *a, struct str *text, struct arena *arena)
{
    char shown[ADDR_TEXT_SIZE];

    if (addr_parse(value, 0, a, NULL) != RC_OK)
        return false;
    addr_format(a, shown);
    *text = arena_copy(arena, str_of(shown));
    return true;
}

static bool is_port(struct str value)
{
    long port;

    return str_is_digits(value) && str_to_long(value, 0, 65535, &port);
}

/* ---- XCLIENT ---- */

static void take_name(struct session *s, struct str value, struct str *name,
                      enum peer_status *status)
{
    (void)s;
    if (!is_unavailable(value)) {
        *name = value;
        *status = PEER_OK;
        return;
    }
    *name = STR("unknown");
    *status = str_eq_nocase(value, STR("[TEMPUNAVAIL]")) ? PEER_TEMP : PEER_PERM;
}

static bool take_address(struct session *s, struct str value)
{
    struct access_client *c = &s->access.client;

    if (is_unavailable(value)) {
        c->address = (struct addr){0};
        c->address_text = STR("unknown");
        return true;
    }
    return parse_address(value, &c->address, &c->address_text, s->arena) ||
           bad_syntax(s, "ADDR syntax", value);
}

static bool take_xclient(struct session *s, struct str name, struct str value)
{
    struct access_client *c = &s->access.client;
    struct addr a;

    if (str_eq_nocase(name, STR("NAME"))) {
        take_name(s, value, &c->name, &c->name_status);
        if (c->name_status != PEER_OK) {
            c->reverse_name = STR("unknown");
            c->reverse_status = c->name_status;
        } else {
            c->reverse_name = c->name;
            c->reverse_status = PEER_OK;
        }
    } else if (str_eq_nocase(name, STR("REVERSE_NAME"))) {
        take_name(s, value, &c->reverse_name, &c->reverse_status);
    } else if (str_eq_nocase(name, STR("ADDR"))) {
        return take_address(s, value);
    } else if (str_eq_nocase(name, STR("PORT"))) {
        if (!is_unavailable(value) && !is_port(value))
            return bad_syntax(s, "PORT syntax", value);
        c->port = is_unavailable(value) ? STR("0") : value;
    } else if (str_eq_nocase(name, STR("HELO"))) {
        s->access.helo = is_unavailable(value) ? STR_NONE : value;
    } else if (str_eq_nocase(name, STR("PROTO"))) {
        if (!str_eq_nocase(value, STR("SMTP")) && !str_eq_nocase(value, STR("ESMTP")))
            return bad_syntax(s, "PROTO syntax", value);
        s->access.protocol = str_eq_nocase(value, STR("SMTP")) ? STR("SMTP") : STR("ESMTP");
    } else if (str_eq_nocase(name, STR("LOGIN"))) {
        s->access.sasl_username = is_unavailable(value) ? STR_NONE : value;
        s->access.sasl_method = is_unavailable(value) ? STR_NONE : STR("XCLIENT");
    } else if (str_eq_nocase(name, STR("DESTADDR"))) {
        return parse_address(value, &a, &c->server_address, s->arena) ||
               bad_syntax(s, "DESTADDR syntax", value);
    } else if (str_eq_nocase(name, STR("DESTPORT"))) {
        if (!is_port(value))
            return bad_syntax(s, "DESTPORT syntax", value);
        c->server_port = value;
    } else {
        return bad_syntax(s, "XCLIENT attribute name", name);
    }
    return true;
}

bool cmd_xclient(struct session *s, struct str arguments)
{
    if (s->access.sender.p) {
        session_reply(s, STR("503 5.5.1 Error: MAIL transaction in progress"));
        return false;
    }
    if (!s->may_xclient) {
        session_reply(s, STR("550 5.7.0 Error: insufficient authorization"));
        return false;
    }
    s->access.helo = STR_NONE;
    s->access.protocol = STR("SMTP");
    if (!each_attribute(s, arguments, take_xclient, "XCLIENT"))
        return false;
    transaction_done(s);
    xforward_reset(s);
    s->denied = STR_NONE;
    s->greeting_refused = false;
    s->access.esmtp = false;
    s->access.ident = (struct access_ident){0}; /* that of the client before */
    peer_is_known(s);
    if (instructions_admit(s))
        session_greet(s);
    return true;
}

/* ---- XFORWARD ---- */

static bool take_xforward(struct session *s, struct str name, struct str value)
{
    struct xforward *x = &s->xforward;
    bool unknown = is_unavailable(value);
    struct addr a;

    if (str_eq_nocase(name, STR("NAME")))
        x->name = unknown ? STR("unknown") : value;
    else if (str_eq_nocase(name, STR("HELO")))
        x->helo = unknown ? STR("") : value;
    else if (str_eq_nocase(name, STR("PROTO")))
        x->protocol = unknown ? STR("") : value;
    else if (str_eq_nocase(name, STR("IDENT")))
        x->ident = unknown ? STR_NONE : value;
    else if (str_eq_nocase(name, STR("SOURCE")))
        return unknown || str_eq_nocase(value, STR("LOCAL")) ||
               str_eq_nocase(value, STR("REMOTE")) || bad_value(s, name, value);
    else if (str_eq_nocase(name, STR("PORT")) && (unknown || is_port(value)))
        x->port = unknown ? STR_NONE : value;
    else if (str_eq_nocase(name, STR("PORT")))
        return bad_value(s, name, value);
    else if (str_eq_nocase(name, STR("ADDR")) && unknown)
        x->address = STR("unknown");
    else if (str_eq_nocase(name, STR("ADDR")))
        return parse_address(value, &a, &x->address, s->arena) ||
               bad_syntax(s, "ADDR syntax", value);
    else
        return bad_syntax(s, "XFORWARD attribute name", name);
    return true;
}

bool cmd_xforward(struct session *s, struct str arguments)
{
    if (s->access.sender.p) {
        session_reply(s, STR("503 5.5.1 Error: MAIL transaction in progress"));
        return false;
    }
    if (!s->may_xforward) {
        session_reply(s, STR("550 5.7.0 Error: insufficient authorization"));
        return false;
    }
    if (!each_attribute(s, arguments, take_xforward, "XFORWARD"))
        return false;
    session_reply(s, STR("250 2.0.0 Ok"));
    return true;
}
