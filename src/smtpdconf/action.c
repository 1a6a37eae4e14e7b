/* action NAME method options, current grammar. */
#include "smtpdconf/parse.h"

/* ---- local delivery ---- */

static bool want_map(struct parser *p, struct conf_table **to, const char *message, unsigned kinds,
                     const char *use)
{
    struct conf_table *t = parse_want_table(p);

    if (t == NULL || !parse_once(p, *to != NULL, message) || !parse_table_is(p, t, kinds, use))
        return false;
    *to = t;
    return true;
}

static bool want_text(struct parser *p, struct str *to, const char *message)
{
    struct str text;

    if (!parse_want_string(p, &text) || !parse_once(p, to->n, message))
        return false;
    *to = text;
    return true;
}

static bool want_ttl(struct parser *p, struct conf_action *a)
{
    return parse_once(p, a->ttl, "ttl already specified for this dispatcher") &&
           parse_want_delay(p, NULL, &a->ttl);
}

static bool want_user(struct parser *p, struct conf_action *a)
{
    if (!want_text(p, &a->user, "user already specified for this dispatcher"))
        return false;
    switch (a->method) {
    case METHOD_MBOX: return parse_error(p, "user may not be specified for this dispatcher");
    case METHOD_FORWARD_ONLY: return parse_error(p, "user may not be specified for forward-only");
    case METHOD_EXPAND_ONLY: return parse_error(p, "user may not be specified for expand-only");
    default: return true;
    }
}

static bool want_wrapper(struct parser *p, struct conf_action *a)
{
    if (!want_text(p, &a->wrapper, "wrapper already specified for this dispatcher"))
        return false;
    if (conf_wrapper_find(p->conf, a->wrapper) == NULL)
        return parse_error(p, "no mda wrapper with that name: " STR_FMT, STR_ARG(a->wrapper));
    return true;
}

static bool local_option(struct parser *p, struct conf_action *a)
{
    if (parse_take_word(p, "alias")) {
        if (a->virtual)
            return parse_error(p, "virtual mapping already specified for this dispatcher");
        return want_map(p, &a->alias, "alias mapping already specified for this dispatcher",
                        AS_MAP | AS_BACKEND, "alias");
    }
    if (parse_take_word(p, "virtual")) {
        if (a->alias)
            return parse_error(p, "alias mapping already specified for this dispatcher");
        return want_map(p, &a->virtual, "virtual mapping already specified for this dispatcher",
                        AS_MAP | AS_BACKEND, "virtual");
    }
    if (parse_take_word(p, "userbase"))
        return want_map(p, &a->userbase, "userbase mapping already specified for this dispatcher",
                        AS_MAP | AS_BACKEND, "userbase");
    if (parse_take_word(p, "user"))
        return want_user(p, a);
    if (parse_take_word(p, "wrapper"))
        return want_wrapper(p, a);
    if (parse_take_word(p, "ttl"))
        return want_ttl(p, a);
    return parse_syntax_error(p);
}

/* ---- relaying ---- */

static bool want_tls(struct parser *p, struct conf_action *a)
{
    if (!parse_once(p, a->tls, "tls already specified for this dispatcher"))
        return false;
    a->tls = true;
    a->tls_no_verify = parse_take_word(p, "no-verify");
    return true;
}

static const char host_twice[] = "host mapping already specified for this dispatcher";
static const char backup_host[] = "backup and host are mutually exclusive";
static const char backup_domain[] = "backup and domain are mutually exclusive";

static bool want_backup(struct parser *p, struct conf_action *a)
{
    if (parse_take_word(p, "mx") && !parse_want_string(p, &a->backup_mx))
        return false;
    if (!parse_once(p, a->host, backup_host) || !parse_once(p, a->domain, backup_domain) ||
        !parse_once(p, a->backup, "backup already specified for this dispatcher"))
        return false;
    a->backup = true;
    return true;
}

static bool want_srs(struct parser *p, struct conf_action *a)
{
    if (p->conf->srs_key.value.n == 0)
        return parse_error(p, "an srs key is required for srs to be specified in an action");
    if (!parse_once(p, a->srs, "srs already specified for this dispatcher"))
        return false;
    a->srs = true;
    return true;
}

/* Written here, the urls can be looked at now. */
static bool check_urls(struct parser *p, const struct conf_table *t)
{
    struct relay_url url;
    struct why why = {0};

    for (size_t i = 0; t->name.n == 0 && i < t->entries.n; i++)
        if (relay_url_parse(t->entries.v[i].key, &url, &why) != RC_OK)
            return parse_error(p, "%s", why.text);
    return true;
}

static bool want_host(struct parser *p, struct conf_action *a)
{
    if (a->backup)
        return parse_want_table(p) && parse_error(p, "%s", backup_host);
    return parse_once(p, a->domain, host_twice) &&
           want_map(p, &a->host, host_twice, AS_LIST | AS_BACKEND, "host") &&
           check_urls(p, a->host);
}

static bool want_domain(struct parser *p, struct conf_action *a)
{
    if (a->backup)
        return parse_want_table(p) && parse_error(p, "%s", backup_domain);
    return parse_once(p, a->host, host_twice) &&
           want_map(p, &a->domain, host_twice, AS_MAP | AS_BACKEND, "host");
}

static bool relay_table(struct parser *p, struct conf_action *a)
{
    if (parse_take_word(p, "helo-src"))
        return want_map(p, &a->helo_src,
                        "helo-source mapping already specified for this dispatcher",
                        AS_MAP | AS_BACKEND, "helo-source");
    if (parse_take_word(p, "domain"))
        return want_domain(p, a);
    if (parse_take_word(p, "host"))
        return want_host(p, a);
    if (parse_take_word(p, "auth"))
        return want_map(p, &a->auth, "auth mapping already specified for this dispatcher",
                        AS_MAP | AS_BACKEND, "auth");
    if (parse_take_word(p, "src"))
        return want_map(p, &a->src, "source mapping already specified for this dispatcher",
                        AS_LIST | AS_BACKEND, "source");
    return parse_syntax_error(p);
}

static bool relay_option(struct parser *p, struct conf_action *a)
{
    if (parse_take_word(p, "backup"))
        return want_backup(p, a);
    if (parse_take_word(p, "ca"))
        return want_text(p, &a->ca, "ca already specified for this dispatcher");
    if (parse_take_word(p, "pki"))
        return want_text(p, &a->pki, "pki already specified for this dispatcher");
    if (parse_take_word(p, "helo"))
        return want_text(p, &a->helo, "helo already specified for this dispatcher");
    if (parse_take_word(p, "mail-from"))
        return want_text(p, &a->mail_from, "mail-from already specified for this dispatcher");
    if (parse_take_word(p, "ciphers"))
        return want_text(p, &a->ciphers, "ciphers already specified for this dispatcher");
    if (parse_take_word(p, "protocols"))
        return want_text(p, &a->protocols, "protocols already specified for this dispatcher");
    if (parse_take_word(p, "srs"))
        return want_srs(p, a);
    if (parse_take_word(p, "tls"))
        return want_tls(p, a);
    if (parse_take_word(p, "ttl"))
        return want_ttl(p, a);
    if (parse_take_word(p, "filter"))
        return parse_once(p, a->filter.n, "filter already specified for this dispatcher") &&
               parse_filter_reference(p, &a->filter);
    return relay_table(p, a);
}

static bool check_relay(struct parser *p, const struct conf_action *a)
{
    if (a->auth && !a->host && !a->domain)
        return parse_error(p, "auth may not be specified without host on a dispatcher");
    return true;
}

/* ---- the statement ---- */

static bool method(struct parser *p, struct conf_action *a)
{
    if (parse_take_word(p, "mbox")) {
        a->method = METHOD_MBOX;
    } else if (parse_take_word(p, "maildir")) {
        a->method = METHOD_MAILDIR;
        (void)parse_take_string(p, &a->path);
        a->junk = parse_take_word(p, "junk");
    } else if (parse_take_word(p, "lmtp")) {
        a->method = METHOD_LMTP;
        if (!parse_want_string(p, &a->path))
            return false;
        a->rcpt_to = parse_take_word(p, "rcpt-to");
    } else if (parse_take_word(p, "mda")) {
        a->method = METHOD_MDA;
        return parse_want_string(p, &a->path);
    } else if (parse_take_word(p, "forward-only")) {
        a->method = METHOD_FORWARD_ONLY;
    } else if (parse_take_word(p, "expand-only")) {
        a->method = METHOD_EXPAND_ONLY;
    } else if (parse_take_word(p, "relay")) {
        a->method = METHOD_RELAY;
    } else {
        return parse_syntax_error(p);
    }
    return true;
}

bool parse_action(struct parser *p)
{
    struct conf_action *a = arena_new_of(p->arena, struct conf_action);

    parse_advance(p);
    a->place = p->lexer.place;
    if (!parse_want_string(p, &a->name))
        return false;
    if (conf_action_find(p->conf, a->name))
        return parse_error(p, "dispatcher already declared with that name: " STR_FMT,
                           STR_ARG(a->name));
    if (!method(p, a))
        return false;
    while (!parse_at_line_end(p))
        if (!(a->method == METHOD_RELAY ? relay_option(p, a) : local_option(p, a)))
            return false;
    if (a->method == METHOD_RELAY && !check_relay(p, a))
        return false;
    parse_add_action(p, a);
    return true;
}
