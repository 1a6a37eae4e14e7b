/* listen on ..., current grammar. */
#include "smtpdconf/parse.h"

enum { TAG_MAX = 63 };

static bool want_tag(struct parser *p, struct conf_listen *l)
{
    struct str tag;

    if (!parse_want_string(p, &tag) || !parse_once(p, l->tag.n, "tag already specified"))
        return false;
    if (tag.n > TAG_MAX)
        return parse_error(p, "tag name too long");
    l->tag = tag;
    return true;
}

static bool want_filter(struct parser *p, struct conf_listen *l)
{
    struct str name;

    if (!parse_filter_reference(p, &name) ||
        !parse_once(p, l->filter.n, "filter already specified"))
        return false;
    l->filter = name;
    return true;
}

static bool set_flag(struct parser *p, bool *flag, const char *message)
{
    if (!parse_once(p, *flag, message))
        return false;
    *flag = true;
    return true;
}

/* One option that both kinds of listeners have; *taken says whether it was one. */
static bool common_option(struct parser *p, struct conf_listen *l, bool *taken)
{
    *taken = true;
    if (parse_take_word(p, "tag"))
        return want_tag(p, l);
    if (parse_take_word(p, "filter"))
        return want_filter(p, l);
    if (parse_take_word(p, "mask-src"))
        return set_flag(p, &l->mask_src, "mask-source already specified");
    if (parse_take_word(p, "no-dsn"))
        return set_flag(p, &l->no_dsn, "no-dsn already specified");
    *taken = false;
    return true;
}

static bool tls_option(struct parser *p, struct conf_listen *l, bool *taken)
{
    bool before = l->tls || l->tls_require || l->smtps;

    *taken = true;
    if (parse_take_word(p, "tls"))
        l->tls = true;
    else if (parse_take_word(p, "tls-require"))
        l->tls_require = true;
    else if (parse_take_word(p, "smtps"))
        l->smtps = true;
    else {
        *taken = false;
        return true;
    }
    if (!l->tls && parse_take_word(p, "verify"))
        l->tls_verify = true;
    return parse_once(p, before, "TLS mode already specified");
}

static bool want_auth(struct parser *p, struct conf_listen *l, bool optional)
{
    if (!parse_once(p, l->auth || l->auth_optional, "auth already specified"))
        return false;
    *(optional ? &l->auth_optional : &l->auth) = true;
    if (!parse_starts_table(p))
        return true;
    l->auth_table = parse_want_table(p);
    return l->auth_table && parse_table_is(p, l->auth_table, AS_MAP | AS_BACKEND, "auth");
}

static bool want_text(struct parser *p, struct str *to, const char *message)
{
    struct str text;

    if (!parse_want_string(p, &text) || !parse_once(p, to->n, message))
        return false;
    *to = text;
    return true;
}

/* The first is the one that clients get who ask for no name. */
static bool want_pki(struct parser *p, struct conf_listen *l)
{
    struct str name;

    if (!parse_want_string(p, &name) ||
        !parse_once(p, str_eq_nocase(l->pki, name), "pki already specified"))
        return false;
    if (l->pki.n)
        vec_add(p->arena, &l->other_pkis, name);
    else
        l->pki = name;
    return true;
}

static bool want_map(struct parser *p, struct conf_table **to, const char *message, const char *use)
{
    struct conf_table *t = parse_want_table(p);

    if (t == NULL || !parse_once(p, *to != NULL, message))
        return false;
    if (t->kind == TABLE_IS_LIST)
        return parse_error(p, "invalid use of table \"" STR_FMT "\" as %s parameter",
                           STR_ARG(parse_table_title(p, t)), use);
    *to = t;
    return true;
}

static bool want_senders(struct parser *p, struct conf_listen *l)
{
    if (!want_map(p, &l->senders, "senders already specified", "SENDERS"))
        return false;
    l->masquerade = parse_take_word(p, "masquerade");
    return true;
}

static bool network_option(struct parser *p, struct conf_listen *l)
{
    if (parse_is_word(p, "inet4") || parse_is_word(p, "inet6")) {
        if (!parse_once(p, l->inet4 || l->inet6, "address family already specified"))
            return false;
        *(parse_is_word(p, "inet4") ? &l->inet4 : &l->inet6) = true;
        parse_advance(p);
        return true;
    }
    if (parse_take_word(p, "port"))
        return parse_once(p, l->port != 0, "port already specified") &&
               parse_want_port(p, true, &l->port);
    if (parse_take_word(p, "auth"))
        return want_auth(p, l, false);
    if (parse_take_word(p, "auth-optional"))
        return want_auth(p, l, true);
    if (parse_take_word(p, "pki"))
        return want_pki(p, l);
    if (parse_take_word(p, "ca"))
        return want_text(p, &l->ca, "ca already specified");
    if (parse_take_word(p, "hostname"))
        return want_text(p, &l->hostname, "hostname already specified");
    if (parse_take_word(p, "ciphers"))
        return want_text(p, &l->ciphers, "ciphers already specified");
    if (parse_take_word(p, "protocols"))
        return want_text(p, &l->protocols, "protocols already specified");
    if (parse_take_word(p, "hostnames"))
        return want_map(p, &l->hostnames, "hostnames already specified", "HOSTNAMES");
    if (parse_take_word(p, "senders"))
        return want_senders(p, l);
    if (parse_take_word(p, "received-auth"))
        return set_flag(p, &l->received_auth, "received-auth already specified");
    if (parse_take_word(p, "proxy-v2"))
        return set_flag(p, &l->proxy_v2, "proxy-v2 already specified");
    return parse_syntax_error(p);
}

static bool option(struct parser *p, struct conf_listen *l)
{
    bool taken;

    if (!common_option(p, l, &taken))
        return false;
    if (taken)
        return true;
    if (l->is_socket)
        return parse_syntax_error(p);
    if (!tls_option(p, l, &taken))
        return false;
    return taken || network_option(p, l);
}

/* What the original finds out when it opens the sockets. */
static void check(struct parser *p, const struct conf_listen *l)
{
    bool has_tls = l->tls || l->tls_require || l->smtps;

    if ((l->auth || l->auth_optional) && !has_tls)
        parse_complaint(p, "invalid listen option: auth requires tls/smtps");
    else if (l->pki.n && !has_tls)
        parse_complaint(p, "invalid listen option: pki requires tls/smtps");
    else if (!p->request->offline && !parse_is_interface(l->interface))
        parse_complaint(p, "invalid virtual ip or interface: " STR_FMT, STR_ARG(l->interface));
}

static bool is_second_socket(const struct conf *c)
{
    for (size_t i = 0; i < c->listens.n; i++)
        if (c->listens.v[i]->is_socket)
            return true;
    return false;
}

bool parse_listen(struct parser *p)
{
    struct conf_listen *l = arena_new_of(p->arena, struct conf_listen);

    parse_advance(p);
    if (!parse_want_word(p, "on"))
        return false;
    l->place = p->lexer.place;
    l->is_socket = parse_take_word(p, "socket");
    if (!l->is_socket && !parse_want_string(p, &l->interface))
        return false;
    while (!parse_at_line_end(p))
        if (!option(p, l))
            return false;
    if (l->is_socket && is_second_socket(p->conf))
        return parse_error(p, "socket listener already configured");
    if (!l->is_socket)
        check(p, l);
    vec_add(p->arena, &p->conf->listens, l);
    return true;
}
