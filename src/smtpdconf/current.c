/* The current grammar: statements that are neither listen, action, match nor filter. */
#include "smtpdconf/parse.h"

const char *const keywords_current[] = {"action",
                                        "admd",
                                        "alias",
                                        "any",
                                        "auth",
                                        "auth-optional",
                                        "backup",
                                        "bounce",
                                        "bypass",
                                        "ca",
                                        "cert",
                                        "chain",
                                        "chroot",
                                        "ciphers",
                                        "commit",
                                        "compression",
                                        "connect",
                                        "data",
                                        "dhe",
                                        "disconnect",
                                        "domain",
                                        "ehlo",
                                        "encryption",
                                        "expand-only",
                                        "fcrdns",
                                        "filter",
                                        "for",
                                        "forward-only",
                                        "from",
                                        "group",
                                        "helo",
                                        "helo-src",
                                        "host",
                                        "hostname",
                                        "hostnames",
                                        "include",
                                        "inet4",
                                        "inet6",
                                        "junk",
                                        "key",
                                        "limit",
                                        "listen",
                                        "lmtp",
                                        "local",
                                        "mail-from",
                                        "maildir",
                                        "mask-src",
                                        "masquerade",
                                        "match",
                                        "max-deferred",
                                        "max-message-size",
                                        "mbox",
                                        "mda",
                                        "mta",
                                        "mx",
                                        "no-dsn",
                                        "no-verify",
                                        "on",
                                        "phase",
                                        "pki",
                                        "port",
                                        "proc",
                                        "proc-exec",
                                        "protocols",
                                        "proxy-v2",
                                        "queue",
                                        "quit",
                                        "rcpt-to",
                                        "rdns",
                                        "received-auth",
                                        "regex",
                                        "reject",
                                        "relay",
                                        "report",
                                        "rewrite",
                                        "rset",
                                        "scheduler",
                                        "senders",
                                        "smtp",
                                        "smtps",
                                        "socket",
                                        "src",
                                        "srs",
                                        "sub-addr-delim",
                                        "table",
                                        "tag",
                                        "tls",
                                        "tls-require",
                                        "ttl",
                                        "user",
                                        "userbase",
                                        "verify",
                                        "virtual",
                                        "warn-interval",
                                        "wrapper"};
const size_t n_keywords_current = sizeof keywords_current / sizeof *keywords_current;

struct conf_action *conf_action_find(const struct conf *conf, struct str name)
{
    return map_get(&conf->names->actions, name);
}

void parse_add_action(struct parser *p, struct conf_action *a)
{
    vec_add(p->arena, &p->conf->actions, a);
    map_put(&p->conf->names->actions, a->name, a);
}

struct conf_pki *conf_pki_find(const struct conf *conf, struct str name)
{
    for (size_t i = 0; i < conf->pkis.n; i++)
        if (str_eq_nocase(conf->pkis.v[i]->name, name))
            return conf->pkis.v[i];
    return NULL;
}

struct conf_ca *conf_ca_find(const struct conf *conf, struct str name)
{
    for (size_t i = 0; i < conf->cas.n; i++)
        if (str_eq_nocase(conf->cas.v[i]->name, name))
            return conf->cas.v[i];
    return NULL;
}

struct conf_wrapper *conf_wrapper_find(const struct conf *conf, struct str name)
{
    for (size_t i = 0; i < conf->wrappers.n; i++)
        if (str_eq(conf->wrappers.v[i]->name, name))
            return conf->wrappers.v[i];
    return NULL;
}

static void set_text(struct parser *p, struct conf_text *t, struct str value)
{
    *t = (struct conf_text){p->lexer.place, value};
}

static void set_number(struct parser *p, struct conf_number *n, long value)
{
    *n = (struct conf_number){p->lexer.place, value};
}

static bool admd(struct parser *p)
{
    struct str name;

    if (!parse_want_string(p, &name))
        return false;
    set_text(p, &p->conf->admd, name);
    return true;
}

/* bounce warn-interval DELAY, ... */
static bool bounce(struct parser *p)
{
    size_t n = 0;
    long seconds;

    if (!parse_want_word(p, "warn-interval"))
        return false;
    do {
        if (!parse_want_delay(p, "bounce", &seconds))
            return false;
        if (n < CONF_WARN_INTERVALS) /* further ones were always ignored */
            p->conf->warn_intervals[n++] = seconds;
    } while (parse_take_char(p, ','));
    p->conf->n_warn_intervals = n;
    p->conf->warn_place = p->lexer.place;
    return true;
}

static bool ca(struct parser *p)
{
    struct str name, file;
    struct conf_ca *c;

    if (!parse_want_string(p, &name) || !parse_want_word(p, "cert") || !parse_want_string(p, &file))
        return false;
    c = conf_ca_find(p->conf, name);
    if (c == NULL) {
        c = arena_new_of(p->arena, struct conf_ca);
        c->name = name;
        vec_add(p->arena, &p->conf->cas, c);
    }
    c->place = p->lexer.place;
    c->cert = file;
    return true;
}

static bool pki_dhe(struct parser *p, struct conf_pki *k)
{
    static const char *const words[] = {"none", "auto", "legacy"};
    struct str word;

    if (!parse_want_string(p, &word))
        return false;
    for (size_t i = 0; i < 3; i++)
        if (str_eq_nocase(word, str_of(words[i]))) {
            k->dhe = word;
            return true;
        }
    return parse_error(p, "invalid DHE keyword: " STR_FMT, STR_ARG(word));
}

static bool pki(struct parser *p)
{
    struct conf_pki *k;
    struct str name;

    if (!parse_want_string(p, &name))
        return false;
    k = conf_pki_find(p->conf, name);
    if (k == NULL) {
        k = arena_new_of(p->arena, struct conf_pki);
        k->name = name;
        vec_add(p->arena, &p->conf->pkis, k);
    }
    k->place = p->lexer.place;
    while (!parse_at_line_end(p)) {
        if (parse_take_word(p, "cert")) {
            if (!parse_want_string(p, &k->cert))
                return false;
        } else if (parse_take_word(p, "key")) {
            if (!parse_want_string(p, &k->key))
                return false;
        } else if (parse_take_word(p, "dhe")) {
            if (!pki_dhe(p, k))
                return false;
        } else {
            return parse_syntax_error(p);
        }
    }
    return true;
}

static bool is_one_of(struct str word, const char *const *words)
{
    for (; *words; words++)
        if (str_eq(word, str_of(*words)))
            return true;
    return false;
}

static const char *const mta_limits[] = {"max-conn-per-host",
                                         "max-conn-per-route",
                                         "max-conn-per-source",
                                         "max-conn-per-relay",
                                         "max-conn-per-domain",
                                         "max-conn-per-connector",
                                         "conn-delay-host",
                                         "conn-delay-route",
                                         "conn-delay-source",
                                         "conn-delay-relay",
                                         "conn-delay-domain",
                                         "conn-delay-connector",
                                         "reconn-delay-route",
                                         "session-mail-max",
                                         "session-transaction-delay",
                                         "session-keepalive",
                                         "max-failures-per-session",
                                         "task-hiwat",
                                         "task-lowat",
                                         "task-release",
                                         "inet4",
                                         "inet6",
                                         NULL};
static const char *const mda_limits[] = {"max-session", "max-session-per-user", "task-hiwat",
                                         "task-lowat",  "task-release",         NULL};
static const char *const scheduler_limits[] = {"max-inflight", "max-evp-batch-size",
                                               "max-msg-batch-size", "max-schedule", NULL};

/* { NAME NUMBER } */
static bool limits(struct parser *p, const char *of, const char *const *known, struct str domain)
{
    struct conf_limit l = {.of = str_of(of), .domain = domain};

    while (!parse_at_line_end(p)) {
        if (parse_is_word(p, "inet4") || parse_is_word(p, "inet6")) {
            l.name = p->token.text;
            l.value = 1;
            parse_advance(p);
        } else {
            if (!parse_want_string(p, &l.name) || !parse_want_number(p, &l.value))
                return false;
        }
        l.place = p->lexer.place;
        if (!is_one_of(l.name, known))
            return parse_error(p, "invalid %s limit keyword: " STR_FMT, of, STR_ARG(l.name));
        vec_add(p->arena, &p->conf->limits, l);
    }
    return true;
}

static bool mda_wrapper(struct parser *p)
{
    struct conf_wrapper *w = arena_new_of(p->arena, struct conf_wrapper);

    if (!parse_want_string(p, &w->name) || !parse_want_string(p, &w->command))
        return false;
    w->place = p->lexer.place;
    if (conf_wrapper_find(p->conf, w->name))
        return parse_error(p, "mda wrapper already declared with that name: " STR_FMT,
                           STR_ARG(w->name));
    vec_add(p->arena, &p->conf->wrappers, w);
    return true;
}

static bool mda(struct parser *p)
{
    if (parse_take_word(p, "limit"))
        return limits(p, "mda", mda_limits, STR_NONE);
    return parse_want_word(p, "wrapper") && mda_wrapper(p);
}

static bool mta(struct parser *p)
{
    struct str domain = STR_NONE;
    long n;

    if (parse_take_word(p, "max-deferred")) {
        if (!parse_want_number(p, &n))
            return false;
        set_number(p, &p->conf->max_deferred, n);
        return true;
    }
    if (!parse_want_word(p, "limit"))
        return false;
    if (parse_take_word(p, "for") &&
        (!parse_want_word(p, "domain") || !parse_want_string(p, &domain)))
        return false;
    return limits(p, "mta", mta_limits, domain);
}

static bool queue(struct parser *p)
{
    struct str key = STR_NONE;
    long seconds;

    if (parse_take_word(p, "compression")) {
        set_number(p, &p->conf->compression, 1);
    } else if (parse_take_word(p, "encryption")) {
        set_number(p, &p->conf->encryption, 1);
        if (parse_take_string(p, &key))
            set_text(p, &p->conf->encryption_key, key);
    } else {
        if (!parse_want_word(p, "ttl") || !parse_want_delay(p, "ttl", &seconds))
            return false;
        set_number(p, &p->conf->ttl, seconds);
    }
    return true;
}

static bool scheduler(struct parser *p)
{
    return parse_want_word(p, "limit") && limits(p, "scheduler", scheduler_limits, STR_NONE);
}

static bool session_limits(struct parser *p)
{
    struct str name;
    long n;

    while (!parse_at_line_end(p)) {
        if (!parse_want_string(p, &name) || !parse_want_number(p, &n))
            return false;
        if (str_eq(name, STR("max-mails")))
            set_number(p, &p->conf->max_mails, n);
        else if (str_eq(name, STR("max-rcpt")))
            set_number(p, &p->conf->max_rcpt, n);
        else
            return parse_error(p, "invalid session limit keyword: " STR_FMT, STR_ARG(name));
    }
    return true;
}

static bool delimiter(struct parser *p)
{
    struct str c;

    if (!parse_want_string(p, &c))
        return false;
    if (c.n != 1)
        return parse_error(p, "subaddressing-delimiter must be one character");
    if (is_white(c.p[0]) || c.p[0] < ' ' || c.p[0] == '@')
        return parse_error(p, "sub-addr-delim uses invalid character");
    set_text(p, &p->conf->sub_addr_delim, c);
    return true;
}

static bool message_size(struct parser *p)
{
    struct str text;
    long n;

    if (p->token.kind == TOKEN_NUMBER) {
        n = p->token.number;
        parse_advance(p);
        if (n < 0)
            return parse_error(p, "invalid size: %ld", n);
    } else {
        if (!parse_want_string(p, &text))
            return false;
        if (!parse_size(text, &n))
            return parse_error(p, "invalid size: " STR_FMT, STR_ARG(text));
    }
    set_number(p, &p->conf->max_message_size, n);
    return true;
}

static bool smtp(struct parser *p)
{
    struct str text;

    if (parse_take_word(p, "limit"))
        return session_limits(p);
    if (parse_take_word(p, "max-message-size"))
        return message_size(p);
    if (parse_take_word(p, "sub-addr-delim"))
        return delimiter(p);
    if (!parse_want_word(p, "ciphers") || !parse_want_string(p, &text))
        return false;
    set_text(p, &p->conf->ciphers, text);
    return true;
}

static bool srs(struct parser *p)
{
    struct str text;
    long seconds;

    if (parse_take_word(p, "ttl")) {
        if (!parse_want_delay(p, NULL, &seconds))
            return false;
        set_number(p, &p->conf->srs_ttl, seconds);
        return true;
    }
    if (!parse_want_word(p, "key"))
        return false;
    if (parse_take_word(p, "backup")) {
        if (!parse_want_string(p, &text))
            return false;
        set_text(p, &p->conf->srs_backup, text);
        return true;
    }
    if (!parse_want_string(p, &text))
        return false;
    set_text(p, &p->conf->srs_key, text);
    return true;
}

bool parse_statement_current(struct parser *p)
{
    static const struct {
        const char *word;
        bool (*parse)(struct parser *p);
        bool keeps_word; /* the function takes the first word itself */
    } statements[] = {
        {"action", parse_action, true},
        {"admd", admd, false},
        {"bounce", bounce, false},
        {"ca", ca, false},
        {"filter", parse_filter, true},
        {"listen", parse_listen, true},
        {"match", parse_match, true},
        {"mda", mda, false},
        {"mta", mta, false},
        {"pki", pki, false},
        {"proc", parse_proc, true},
        {"queue", queue, false},
        {"scheduler", scheduler, false},
        {"smtp", smtp, false},
        {"srs", srs, false},
        {"table", parse_table, true},
    };

    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (parse_is_word(p, statements[i].word)) {
            if (!statements[i].keeps_word)
                parse_advance(p);
            return statements[i].parse(p);
        }
    return parse_syntax_error(p);
}
