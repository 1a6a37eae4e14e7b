/*
 * The grammar of 2011: settings, map, and rules that say at once who, whither and how. Each rule
 * gets an action of its own, named for its line.
 */
#include <pwd.h>

#include "smtpdconf/parse.h"

const char *const keywords_2011[] = {
    "accept",  "alias",    "all",     "as",       "auth",   "certificate", "config", "db",
    "deliver", "dns",      "domain",  "enable",   "expire", "external",    "for",    "from",
    "hash",    "hostname", "include", "interval", "list",   "listen",      "local",  "maildir",
    "map",     "mbox",     "mda",     "network",  "on",     "plain",       "port",   "queue",
    "reject",  "relay",    "single",  "size",     "smtps",  "source",      "ssl",    "tag",
    "tls",     "to",       "type",    "via",      "virtual"};
const size_t n_keywords_2011 = sizeof keywords_2011 / sizeof *keywords_2011;

enum { LISTENERS_MAX = 16, TAG_MAX = 31 };

static void set_number(struct parser *p, struct conf_number *n, long value)
{
    *n = (struct conf_number){p->lexer.place, value};
}

/* ---- settings ---- */

static bool queue(struct parser *p)
{
    struct str text;
    long n;

    if (!parse_want_word(p, "interval"))
        return false;
    if (p->token.kind == TOKEN_NUMBER) {
        n = p->token.number;
        parse_advance(p);
        if (n < 1)
            return parse_error(p, "invalid expire delay: %ld", n);
    } else {
        if (!parse_want_string(p, &text))
            return false;
        if (!parse_delay(text, &n))
            return parse_error(p, "invalid expire delay: " STR_FMT, STR_ARG(text));
    }
    set_number(p, &p->conf->queue_interval, n);
    return true;
}

static bool size(struct parser *p)
{
    struct str text;
    long n;

    if (p->token.kind != TOKEN_NUMBER && p->token.kind != TOKEN_STRING)
        return parse_syntax_error(p);
    text = p->token.text;
    parse_advance(p);
    if (!parse_size(text, &n))
        return parse_error(p, "invalid size");
    set_number(p, &p->conf->max_message_size, n);
    return true;
}

static bool hostname(struct parser *p)
{
    struct str name;

    if (!parse_want_string(p, &name))
        return false;
    if (name.n > 255)
        return parse_error(p, "hostname truncated");
    p->conf->hostname = (struct conf_text){p->lexer.place, name};
    return true;
}

static bool want_tag(struct parser *p, struct str *tag)
{
    if (!parse_want_string(p, tag))
        return false;
    return tag->n <= TAG_MAX || parse_error(p, "tag name too long");
}

/* A certificate NAME stands for files of that name in one directory. */
static void use_certificate(struct parser *p, struct str name)
{
    struct conf_pki *k = conf_pki_find(p->conf, name);
    struct conf_ca *c;

    if (k)
        return;
    k = arena_new_of(p->arena, struct conf_pki);
    c = arena_new_of(p->arena, struct conf_ca);
    k->place = c->place = p->lexer.place;
    k->name = c->name = name;
    k->cert = arena_printf(p->arena, "/etc/mail/certs/" STR_FMT ".crt", STR_ARG(name));
    k->key = arena_printf(p->arena, "/etc/mail/certs/" STR_FMT ".key", STR_ARG(name));
    c->cert = arena_printf(p->arena, "/etc/mail/certs/" STR_FMT ".ca", STR_ARG(name));
    vec_add(p->arena, &p->conf->pkis, k);
    vec_add(p->arena, &p->conf->cas, c);
}

static bool listen(struct parser *p)
{
    struct conf_listen *l = arena_new_of(p->arena, struct conf_listen);

    if (!parse_want_word(p, "on"))
        return false;
    l->place = p->lexer.place;
    if (!parse_want_string(p, &l->interface))
        return false;
    if (parse_take_word(p, "port") && !parse_want_port(p, false, &l->port))
        return false;
    l->tls = parse_take_word(p, "tls");
    l->smtps = !l->tls && parse_take_word(p, "smtps");
    if (parse_take_word(p, "certificate") && !parse_want_string(p, &l->pki))
        return false;
    if (parse_take_word(p, "enable")) {
        if (!parse_want_word(p, "auth"))
            return false;
        l->auth_optional = true;
    }
    if (parse_take_word(p, "tag") && !want_tag(p, &l->tag))
        return false;
    if (!parse_at_line_end(p))
        return parse_syntax_error(p);
    if ((l->pki.n || l->auth_optional) && !l->tls && !l->smtps)
        return parse_error(p, "error: must specify tls or smtps");
    if (p->conf->listens.n >= LISTENERS_MAX)
        return parse_error(p, "too many listeners: at most %d", LISTENERS_MAX);
    if (!p->request->offline && !parse_is_interface(l->interface))
        return parse_error(p, "invalid virtual ip or interface: " STR_FMT, STR_ARG(l->interface));
    if (l->tls || l->smtps) {
        if (l->pki.n == 0)
            l->pki = l->interface;
        use_certificate(p, l->pki);
    }
    vec_add(p->arena, &p->conf->listens, l);
    return true;
}

/* ---- maps ---- */

static bool map_source(struct parser *p, struct conf_table *t)
{
    struct str path = STR("");

    t->kind = TABLE_IS_BACKEND;
    if (parse_take_word(p, "dns")) {
        t->type = STR("dns");
    } else if (parse_take_word(p, "plain")) {
        t->type = STR("plain");
        if (!parse_want_string(p, &path))
            return false;
    } else if (parse_take_word(p, "db")) {
        t->type = STR("db");
        if (!parse_want_string(p, &path))
            return false;
    } else if (parse_take_word(p, "external")) {
        t->type = STR("external");
    } else {
        return parse_syntax_error(p);
    }
    t->path = path;
    return true;
}

static bool map_option(struct parser *p, struct conf_table *t)
{
    struct str text;

    if (parse_take_word(p, "type")) {
        if (parse_take_word(p, "single") || parse_take_word(p, "list") ||
            parse_take_word(p, "hash"))
            return true;
        return parse_syntax_error(p);
    }
    if (parse_take_word(p, "config"))
        return parse_want_string(p, &text);
    return parse_want_word(p, "source") && map_source(p, t);
}

static bool map(struct parser *p)
{
    struct conf_table *t = parse_new_table(p);
    bool twice;

    if (!parse_want_string(p, &t->name))
        return false;
    twice = conf_table_find(p->conf, t->name) != NULL;
    if (twice)
        return parse_error(p, "map " STR_FMT " defined twice", STR_ARG(t->name));
    if (!parse_want_char(p, '{'))
        return false;
    parse_skip_lines(p);
    while (!parse_is_char(p, '}')) {
        if (!map_option(p, t))
            return false;
        parse_skip_lines(p);
    }
    if (t->type.n == 0)
        return parse_error(p, "map " STR_FMT " has no source defined", STR_ARG(t->name));
    parse_advance(p);
    if (str_eq(t->type, STR("plain")) && !p->request->offline && t->path.n) {
        struct conf_table file = *t; /* its lines may be read now; when they cannot, later */
        struct conf scratch = *p->conf;
        struct parser quiet = *p;
        scratch.messages.v = NULL;
        scratch.messages.n = scratch.messages.cap = 0;
        quiet.conf = &scratch;
        if (parse_table_file(&quiet, &file)) {
            *t = file;
            t->type = STR("file");
        }
    }
    parse_add_table(p, t);
    return true;
}

static struct conf_table *want_map_name(struct parser *p)
{
    struct conf_table *t;
    struct str name;

    if (!parse_want_string(p, &name))
        return NULL;
    t = conf_table_find(p->conf, name);
    if (t == NULL)
        (void)parse_error(p, "no such map: " STR_FMT, STR_ARG(name));
    return t;
}

/* STRING, ( a, b ), { k => v }, map NAME */
static struct conf_table *want_mapref(struct parser *p)
{
    struct conf_table *t = parse_new_table(p);
    struct conf_entry e = {0};

    if (parse_take_word(p, "map"))
        return want_map_name(p);
    if (parse_take_char(p, '(')) {
        do {
            (void)parse_take_char(p, ',');
            if (!parse_want_string(p, &e.key))
                return NULL;
            vec_add(p->arena, &t->entries, e);
        } while (!parse_is_char(p, ')'));
        parse_advance(p);
        return t;
    }
    if (parse_is_char(p, '{'))
        return parse_want_table(p);
    if (!parse_want_string(p, &e.key))
        return NULL;
    vec_add(p->arena, &t->entries, e);
    return t;
}

/* ---- rules ---- */

static bool from(struct parser *p, struct conf_rule *r)
{
    struct conf_condition c = {.fact = FACT_LOCAL_CLIENT};

    if (parse_take_word(p, "from")) {
        if (parse_take_word(p, "all")) {
            c.fact = FACT_ANY;
        } else if (!parse_take_word(p, "local")) {
            c.fact = FACT_CLIENT;
            c.table = want_mapref(p);
            if (c.table == NULL)
                return false;
        }
    }
    vec_add(p->arena, &r->conditions, c);
    return true;
}

static bool want_alias(struct parser *p, struct conf_action *a)
{
    struct conf_table *t;

    if (!parse_take_word(p, "alias"))
        return true;
    t = want_map_name(p);
    if (t == NULL)
        return false;
    a->alias = t;
    return true;
}

static bool cond(struct parser *p, struct conf_rule *r, struct conf_action *a)
{
    struct conf_condition c = {.fact = FACT_ANY};

    if (parse_take_word(p, "all")) {
        c.fact = FACT_ANY;
    } else if (parse_take_word(p, "local")) {
        c.fact = FACT_LOCAL_DOMAIN;
    } else if (parse_take_word(p, "domain")) {
        c.fact = FACT_DOMAIN;
        c.table = want_mapref(p);
    } else if (parse_take_word(p, "virtual")) {
        c.fact = FACT_VIRTUAL;
        c.table = a->virtual = want_map_name(p);
        if (c.table == NULL)
            return false;
        vec_add(p->arena, &r->any_of, c);
        return true;
    } else if (parse_take_word(p, "network")) {
        c.fact = FACT_CLIENT;
        c.table = want_mapref(p);
    } else {
        return parse_syntax_error(p);
    }
    if (c.table == NULL && (c.fact == FACT_DOMAIN || c.fact == FACT_CLIENT))
        return false;
    if (!want_alias(p, a))
        return false;
    vec_add(p->arena, &r->any_of, c);
    return true;
}

static bool conds(struct parser *p, struct conf_rule *r, struct conf_action *a)
{
    if (!parse_take_char(p, '{'))
        return cond(p, r, a);
    parse_skip_lines(p);
    while (!parse_is_char(p, '}')) {
        if (!cond(p, r, a))
            return false;
        (void)parse_take_char(p, ',');
        parse_skip_lines(p);
    }
    parse_advance(p);
    return r->any_of.n ? true : parse_syntax_error(p);
}

static bool deliver(struct parser *p, struct conf_action *a)
{
    if (!parse_want_word(p, "to"))
        return false;
    if (parse_take_word(p, "mbox")) {
        a->method = METHOD_MBOX;
    } else if (parse_take_word(p, "maildir")) {
        a->method = METHOD_MAILDIR;
        (void)parse_take_string(p, &a->path);
    } else {
        a->method = METHOD_MDA;
        if (!parse_want_word(p, "mda") || !parse_want_string(p, &a->path))
            return false;
    }
    if (!parse_take_word(p, "as"))
        return true;
    if (!parse_want_string(p, &a->user))
        return false;
    return p->request->offline || getpwnam(a->user.p) ||
           parse_error(p, "user '" STR_FMT "' does not exist.", STR_ARG(a->user));
}

static bool relay_as(struct parser *p, struct conf_action *a)
{
    if (!parse_take_word(p, "as"))
        return true;
    if (!parse_want_string(p, &a->mail_from))
        return false;
    if (a->mail_from.n == 0 || str_eq(a->mail_from, STR("@")))
        return parse_error(p, "invalid 'relay as' value");
    return true;
}

/* The original's three ways to say TLS are the protocols of a relay url. */
static bool relay_via(struct parser *p, struct conf_action *a)
{
    struct conf_entry url = {0};
    struct str host, certificate = STR_NONE;
    const char *protocol = "smtp+notls";
    unsigned port = 0;
    bool has_tls = true;

    if (!parse_want_string(p, &host))
        return false;
    if (parse_take_word(p, "port") && !parse_want_port(p, false, &port))
        return false;
    if (parse_take_word(p, "tls"))
        protocol = "smtp+tls";
    else if (parse_take_word(p, "smtps") || parse_take_word(p, "ssl"))
        protocol = "smtps";
    else
        has_tls = false;
    if (parse_take_word(p, "certificate")) {
        if (!parse_want_string(p, &certificate))
            return false;
        if (!has_tls)
            return parse_error(p, "error: must specify tls, smtps, or ssl");
        a->pki = certificate;
        use_certificate(p, certificate);
    }
    if (parse_take_word(p, "auth")) {
        a->auth = want_map_name(p);
        if (a->auth == NULL)
            return false;
        if (!has_tls)
            return parse_error(p, "error: must specify tls, smtps, or ssl");
    }
    a->host = parse_new_table(p);
    a->tls_no_verify = true; /* the version of 2011 looked at no certificate */
    url.key = arena_printf(p->arena, "%s://%s" STR_FMT STR_FMT, protocol, a->auth ? host.p : "",
                           STR_ARG(a->auth ? STR("@") : STR("")), STR_ARG(host));
    if (port)
        url.key = arena_printf(p->arena, STR_FMT ":%u", STR_ARG(url.key), port);
    vec_add(p->arena, &a->host->entries, url);
    return relay_as(p, a);
}

static bool action(struct parser *p, struct conf_action *a)
{
    if (parse_take_word(p, "deliver"))
        return deliver(p, a);
    if (!parse_want_word(p, "relay"))
        return false;
    a->method = METHOD_RELAY;
    if (parse_take_word(p, "via") ? !relay_via(p, a) : !relay_as(p, a))
        return false;
    if (a->alias || a->virtual)
        return parse_error(p, "aliases set on a relay rule");
    return true;
}

static bool rule_rest(struct parser *p, struct conf_rule *r, struct conf_action *a)
{
    struct conf_condition on = {.fact = FACT_TAG};

    if (parse_take_word(p, "on")) {
        struct conf_entry e = {0};
        if (!want_tag(p, &e.key))
            return false;
        on.table = parse_new_table(p);
        vec_add(p->arena, &on.table->entries, e);
        vec_add(p->arena, &r->conditions, on);
    }
    if (!from(p, r) || !parse_want_word(p, "for") || !conds(p, r, a) || !action(p, a))
        return false;
    if (parse_take_word(p, "tag")) {
        struct str tag;
        if (!want_tag(p, &tag))
            return false;
    }
    return !parse_take_word(p, "expire") || parse_want_delay(p, "expire", &a->ttl);
}

static bool rule(struct parser *p)
{
    struct conf_rule *r = arena_new_of(p->arena, struct conf_rule);
    struct conf_action *a = arena_new_of(p->arena, struct conf_action);
    bool accepts = parse_is_word(p, "accept");

    r->place = a->place = p->lexer.place;
    a->old_formats = true;
    parse_advance(p);
    if (!rule_rest(p, r, a) || !parse_at_line_end(p))
        return parse_syntax_error(p);
    if (accepts) {
        a->name = arena_printf(p->arena, "rule%zu", p->conf->rules.n + 1);
        r->action = a;
        parse_add_action(p, a);
    }
    vec_add(p->arena, &p->conf->rules, r);
    return true;
}

bool parse_statement_2011(struct parser *p)
{
    if (parse_is_word(p, "accept") || parse_is_word(p, "reject"))
        return rule(p);
    if (parse_take_word(p, "expire")) {
        long seconds;
        if (!parse_want_delay(p, "expire", &seconds))
            return false;
        set_number(p, &p->conf->ttl, seconds);
        return true;
    }
    if (parse_take_word(p, "queue"))
        return queue(p);
    if (parse_take_word(p, "size"))
        return size(p);
    if (parse_take_word(p, "hostname"))
        return hostname(p);
    if (parse_take_word(p, "listen"))
        return listen(p);
    return parse_take_word(p, "map") ? map(p) : parse_syntax_error(p);
}
