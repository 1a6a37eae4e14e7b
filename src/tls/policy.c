#include "tls/policy.h"

enum { FINGERPRINT_MAX = 128 }; /* hex digits of a 512 bit digest */

static const struct {
    struct str word;
    enum tls_level level;
} levels[] = {
    {STR_INIT("none"), TLS_LEVEL_NONE},       {STR_INIT("may"), TLS_LEVEL_MAY},
    {STR_INIT("encrypt"), TLS_LEVEL_ENCRYPT}, {STR_INIT("fingerprint"), TLS_LEVEL_FINGERPRINT},
    {STR_INIT("dane"), TLS_LEVEL_DANE},       {STR_INIT("dane-only"), TLS_LEVEL_DANE_ONLY},
    {STR_INIT("verify"), TLS_LEVEL_VERIFY},   {STR_INIT("secure"), TLS_LEVEL_SECURE},
};

const char *tls_level_name(enum tls_level level)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (levels[i].level == level)
            return levels[i].word.p;
    return "halfdane";
}

bool tls_level_parse(struct str word, enum tls_level *out)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (str_eq_nocase(word, levels[i].word)) {
            *out = levels[i].level;
            return true;
        }
    return false;
}

static bool has_names(enum tls_level level)
{
    return level == TLS_LEVEL_VERIFY || level == TLS_LEVEL_SECURE;
}

static void list_add(struct arena *a, struct str_list *list, struct str item)
{
    struct str *grown = arena_array(a, struct str, list->n + 1);

    if (list->n)
        memcpy(grown, list->v, list->n * sizeof *grown);
    grown[list->n++] = item;
    list->v = grown;
}

/* ---- table entries ---- */

typedef enum rc attribute(struct tls_policy_entry *e, struct str value, struct arena *a,
                          struct why *why);

static enum rc set_protocols(struct tls_policy_entry *e, struct str value, struct arena *a,
                             struct why *why)
{
    (void)a;
    (void)why;
    e->protocols = value;
    return RC_OK;
}

static enum rc set_ciphers(struct tls_policy_entry *e, struct str value, struct arena *a,
                           struct why *why)
{
    static const char *const grades[] = {"export", "low", "medium", "high", "null"};

    (void)a;
    for (size_t i = 0; i < sizeof grades / sizeof *grades; i++)
        if (str_eq_nocase(value, str_of(grades[i]))) {
            e->ciphers = str_of(grades[i]);
            return RC_OK;
        }
    return FAIL(why, RC_CONFIG, "invalid cipher grade \"" STR_FMT "\"", STR_ARG(value));
}

static enum rc set_exclude(struct tls_policy_entry *e, struct str value, struct arena *a,
                           struct why *why)
{
    (void)a;
    (void)why;
    e->exclude = value;
    e->has_exclude = true;
    return RC_OK;
}

static enum rc set_match(struct tls_policy_entry *e, struct str value, struct arena *a,
                         struct why *why)
{
    const char *separator = e->level == TLS_LEVEL_FINGERPRINT ? "|" : ":";
    struct str item;

    if (!has_names(e->level) && e->level != TLS_LEVEL_FINGERPRINT)
        return FAIL(why, RC_CONFIG, "attribute \"match\" has no meaning at level \"%s\"",
                    tls_level_name(e->level));
    if (value.n == 0)
        return FAIL(why, RC_CONFIG, "attribute \"match\" has an empty value");
    while (str_token(&value, separator, &item))
        list_add(a, &e->match, item);
    return RC_OK;
}

static enum rc set_tafile(struct tls_policy_entry *e, struct str value, struct arena *a,
                          struct why *why)
{
    if (!has_names(e->level))
        return FAIL(why, RC_CONFIG, "attribute \"tafile\" has no meaning at level \"%s\"",
                    tls_level_name(e->level));
    if (value.n == 0)
        return FAIL(why, RC_CONFIG, "attribute \"tafile\" has an empty value");
    list_add(a, &e->trust_anchors, value);
    return RC_OK;
}

static enum rc set_servername(struct tls_policy_entry *e, struct str value, struct arena *a,
                              struct why *why)
{
    (void)a;
    (void)why;
    e->servername = value;
    e->has_servername = true;
    return RC_OK;
}

static enum rc yes_no(int *to, struct str value, struct why *why)
{
    if (str_eq_nocase(value, STR("yes")))
        *to = 1;
    else if (str_eq_nocase(value, STR("no")))
        *to = -1;
    else
        return FAIL(why, RC_CONFIG, "\"" STR_FMT "\" is neither yes nor no", STR_ARG(value));
    return RC_OK;
}

static enum rc set_reuse(struct tls_policy_entry *e, struct str value, struct arena *a,
                         struct why *why)
{
    (void)a;
    return yes_no(&e->connection_reuse, value, why);
}

static enum rc set_rpk(struct tls_policy_entry *e, struct str value, struct arena *a,
                       struct why *why)
{
    (void)a;
    return yes_no(&e->enable_rpk, value, why);
}

static enum rc set_type(struct tls_policy_entry *e, struct str value, struct arena *a,
                        struct why *why)
{
    (void)a;
    (void)why;
    e->sts = str_eq_nocase(value, STR("sts"));
    return RC_OK;
}

static enum rc set_mx_pattern(struct tls_policy_entry *e, struct str value, struct arena *a,
                              struct why *why)
{
    (void)why;
    list_add(a, &e->mx_patterns, value);
    return RC_OK;
}

/* What MTA-STS plug-ins tell for reports. */
static enum rc set_nothing(struct tls_policy_entry *e, struct str value, struct arena *a,
                           struct why *why)
{
    (void)e;
    (void)value;
    (void)a;
    (void)why;
    return RC_OK;
}

/* clang-format off */
static const struct {
    struct str name;
    attribute *set;
} attributes[] = {
    {STR_INIT("protocols"), set_protocols},
    {STR_INIT("ciphers"), set_ciphers},
    {STR_INIT("exclude"), set_exclude},
    {STR_INIT("match"), set_match},
    {STR_INIT("tafile"), set_tafile},
    {STR_INIT("servername"), set_servername},
    {STR_INIT("connection_reuse"), set_reuse},
    {STR_INIT("enable_rpk"), set_rpk},
    {STR_INIT("policy_type"), set_type},
    {STR_INIT("mx_host_pattern"), set_mx_pattern},
    {STR_INIT("policy_domain"), set_nothing},
    {STR_INIT("policy_ttl"), set_nothing},
    {STR_INIT("policy_string"), set_nothing},
    {STR_INIT("policy_failure"), set_nothing},
};
/* clang-format on */

static enum rc set_attribute(struct tls_policy_entry *e, struct str text, struct arena *a,
                             struct why *why)
{
    struct str value = text, name = str_trim(str_cut(&value, '='));

    if (value.p == NULL || name.n == 0)
        return FAIL(why, RC_CONFIG, "malformed attribute \"" STR_FMT "\"", STR_ARG(text));
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (str_eq_nocase(name, attributes[i].name))
            return attributes[i].set(e, str_trim(value), a, why);
    return FAIL(why, RC_CONFIG, "unknown attribute \"" STR_FMT "\"", STR_ARG(name));
}

/* "{ name = value }" may hold blanks. */
static struct str without_braces(struct str text)
{
    if (text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}')
        return str_trim((struct str){text.p + 1, text.n - 2});
    return text;
}

enum rc tls_policy_parse(struct str text, struct arena *a, struct tls_policy_entry *out,
                         struct why *why)
{
    struct tls_policy_entry e = {0};
    struct str word;

    if (!str_token(&text, LIST_SEPARATORS, &word))
        return FAIL(why, RC_CONFIG, "empty");
    if (!tls_level_parse(word, &e.level))
        return FAIL(why, RC_CONFIG, "invalid security level \"" STR_FMT "\"", STR_ARG(word));
    while (str_token_braced(&text, LIST_SEPARATORS, &word)) {
        if (e.level == TLS_LEVEL_NONE)
            return FAIL(why, RC_CONFIG, "attributes have no meaning at level \"none\"");
        TRY(set_attribute(&e, without_braces(word), a, why));
    }
    *out = e;
    return RC_OK;
}

static enum rc look_up(const struct tls_policy_settings *set, struct str key, struct arena *a,
                       struct tls_policy_entry *entry, bool partial, struct why *why)
{
    struct str value;
    struct why cause = {0};
    enum rc rc;

    if (partial)
        rc = maps_get_fixed(set->policy_maps, key, a, &value, &cause);
    else
        rc = maps_get(set->policy_maps, key, a, &value, &cause);
    if (rc == RC_NONE)
        return RC_NONE;
    if (rc == RC_OK)
        rc = tls_policy_parse(value, a, entry, &cause);
    if (rc == RC_OK)
        return RC_OK;
    log_warning(set->log, "%s_tls_policy_maps, entry for \"" STR_FMT "\": %s", set->prefix,
                STR_ARG(key), cause.text);
    return FAIL(why, rc == RC_CONFIG ? RC_CONFIG : RC_TEMP, "%s",
                rc == RC_CONFIG ? "client TLS configuration problem" : "Temporary lookup error");
}

/* The next hop as written; when that is a plain domain, also its parents with a dot in front. */
static enum rc find_entry(const struct tls_policy_settings *set, const struct tls_peer *peer,
                          struct arena *a, struct tls_policy_entry *entry, struct why *why)
{
    struct str key = arena_lower(a, peer->nexthop);
    enum rc rc = look_up(set, key, a, entry, false, why);

    if (str_index_any(key, "[]:/") >= 0)
        return rc;
    while (rc == RC_NONE && key.n) {
        ssize_t dot = str_index(str_from(key, 1), '.');
        if (dot < 0)
            break;
        key = str_from(key, (size_t)dot + 1);
        rc = look_up(set, key, a, entry, true, why);
    }
    return rc;
}

/* ---- smtp_tls_per_site ---- */

/* More specific beats less, more secure beats less: see the manual of the parameter. */
static enum rc per_site(const struct tls_policy_settings *set, struct str key, struct arena *a,
                        int *level, struct why *why)
{
    struct str value;
    struct why cause = {0};
    enum rc rc = maps_get(set->per_site, arena_lower(a, key), a, &value, &cause);

    if (rc == RC_NONE)
        return RC_OK;
    if (rc != RC_OK) {
        log_warning(set->log, "%s_tls_per_site: %s", set->prefix, cause.text);
        return FAIL(why, RC_TEMP, "Temporary lookup error");
    }
    value = str_trim(value);
    if (str_eq_nocase(value, STR("NONE"))) {
        if (*level <= TLS_LEVEL_MAY)
            *level = TLS_LEVEL_NONE;
    } else if (str_eq_nocase(value, STR("MAY"))) {
        if (*level < 0)
            *level = TLS_LEVEL_MAY;
    } else if (str_eq_nocase(value, STR("MUST_NOPEERMATCH"))) {
        if (*level < TLS_LEVEL_ENCRYPT)
            *level = TLS_LEVEL_ENCRYPT;
    } else if (str_eq_nocase(value, STR("MUST"))) {
        *level = TLS_LEVEL_VERIFY;
    } else {
        log_warning(set->log, "%s_tls_per_site: unknown TLS policy \"" STR_FMT "\" for " STR_FMT,
                    set->prefix, STR_ARG(value), STR_ARG(key));
        return FAIL(why, RC_CONFIG, "client TLS configuration problem");
    }
    return RC_OK;
}

static enum rc find_site(const struct tls_policy_settings *set, const struct tls_peer *peer,
                         struct arena *a, struct tls_policy_entry *entry, struct why *why)
{
    int level = -1;

    TRY(per_site(set, peer->nexthop, a, &level, why));
    TRY(per_site(set, peer->host, a, &level, why));
    if (level < 0)
        return RC_NONE;
    /* MAY is less specific than a stronger default */
    entry->level =
        level == TLS_LEVEL_MAY && set->level > TLS_LEVEL_MAY ? set->level : (enum tls_level)level;
    return RC_OK;
}

/* ---- from words to demands ---- */

static void add_names(struct str words, const struct tls_peer *peer, struct arena *a,
                      struct str_list *out)
{
    struct str word;

    while (str_token(&words, LIST_SEPARATORS ":", &word)) {
        if (str_eq_nocase(word, STR("nexthop")))
            list_add(a, out, arena_lower(a, peer->domain));
        else if (str_eq_nocase(word, STR("dot-nexthop")))
            list_add(a, out, arena_join(a, STR("."), arena_lower(a, peer->domain)));
        else if (str_eq_nocase(word, STR("hostname")))
            list_add(a, out, arena_lower(a, peer->host));
        else
            list_add(a, out, arena_lower(a, word));
    }
}

static bool add_fingerprint(struct str text, struct arena *a, struct str_list *out)
{
    char hex[FINGERPRINT_MAX];
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        char c = to_lower(text.p[i]);
        if (c == ':')
            continue;
        if (n == sizeof hex || !(is_digit(c) || (c >= 'a' && c <= 'f')))
            return false;
        hex[n++] = c;
    }
    if (n < 16 || n % 2)
        return false;
    list_add(a, out, arena_copy(a, (struct str){hex, n}));
    return true;
}

static enum rc add_fingerprints(const struct tls_policy_settings *set, struct str words,
                                struct arena *a, struct tls_policy *p, struct why *why)
{
    struct str word;

    while (str_token(&words, LIST_SEPARATORS "|", &word))
        if (!add_fingerprint(word, a, &p->match)) {
            log_warning(set->log, "\"" STR_FMT "\" is no certificate fingerprint", STR_ARG(word));
            return FAIL(why, RC_CONFIG, "client TLS configuration problem");
        }
    return RC_OK;
}

/* What the server's certificate must have, at the levels that look. */
static enum rc set_matches(const struct tls_policy_settings *set, const struct tls_peer *peer,
                           const struct tls_policy_entry *e, struct arena *a, struct tls_policy *p,
                           struct why *why)
{
    struct str files = set->trust_anchors, file;

    if (p->level == TLS_LEVEL_FINGERPRINT) {
        for (size_t i = 0; i < e->match.n; i++)
            TRY(add_fingerprints(set, e->match.v[i], a, p, why));
        if (e->match.n == 0)
            TRY(add_fingerprints(set, set->fingerprint_match, a, p, why));
        if (p->match.n)
            return RC_OK;
        log_warning(set->log,
                    "no fingerprint for " STR_FMT " at TLS level \"fingerprint\"; see postconf "
                    "%s_tls_fingerprint_cert_match",
                    STR_ARG(peer->nexthop), set->prefix);
        return FAIL(why, RC_CONFIG, "client TLS configuration problem");
    }
    if (!has_names(p->level))
        return RC_OK;
    for (size_t i = 0; i < e->match.n; i++)
        add_names(e->match.v[i], peer, a, &p->match);
    if (e->match.n == 0)
        add_names(p->level == TLS_LEVEL_VERIFY ? set->verify_match : set->secure_match, peer, a,
                  &p->match);
    p->trust_anchors = e->trust_anchors;
    while (e->trust_anchors.n == 0 && str_token(&files, LIST_SEPARATORS, &file))
        list_add(a, &p->trust_anchors, file);
    return RC_OK;
}

static bool is_host_name(struct str name)
{
    if (name.n == 0 || name.n > 253 || name.p[0] == '.' || name.p[0] == '-')
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!is_alnum(name.p[i]) && strchr("-_.", name.p[i]) == NULL)
            return false;
    return true;
}

static enum rc set_sni(const struct tls_policy_settings *set, const struct tls_peer *peer,
                       const struct tls_policy_entry *e, struct tls_policy *p, struct why *why)
{
    struct addr literal;
    struct str name = e->has_servername ? e->servername : set->servername;

    if (str_eq_nocase(name, STR("hostname")))
        name = peer->host;
    else if (str_eq_nocase(name, STR("nexthop")))
        name = peer->domain;
    else if (name.n && !is_host_name(name)) {
        log_warning(set->log,
                    "\"" STR_FMT "\" is no server name for TLS; see postconf "
                    "%s_tls_servername",
                    STR_ARG(name), set->prefix);
        return FAIL(why, RC_CONFIG, "client TLS configuration problem");
    }
    /* RFC 6066 3: no addresses */
    if (is_host_name(name) && addr_parse(name, 0, &literal, NULL) != RC_OK)
        p->servername = name;
    return RC_OK;
}

bool tls_mx_pattern_matches(struct str pattern, struct str host)
{
    ssize_t dot;

    if (!str_has_prefix(pattern, STR("*.")))
        return str_eq_nocase(pattern, host);
    dot = str_index(host, '.');
    return dot > 0 && str_eq_nocase(str_from(pattern, 1), str_from(host, (size_t)dot));
}

/* MTA-STS names the hosts that may be MX; their certificates must be for themselves. */
static enum rc apply_sts(const struct tls_policy_settings *set, const struct tls_peer *peer,
                         struct tls_policy_entry *e, struct arena *a, struct why *why)
{
    bool found = false;

    if (!set->enforce_sts || !e->sts || e->mx_patterns.n == 0 || e->level != TLS_LEVEL_SECURE)
        return RC_OK;
    for (size_t i = 0; i < e->mx_patterns.n; i++)
        found = found || tls_mx_pattern_matches(e->mx_patterns.v[i], peer->host);
    if (!found)
        return FAIL(why, RC_PERM, "MTA-STS policy of " STR_FMT " does not name the host " STR_FMT,
                    STR_ARG(peer->domain), STR_ARG(peer->host));
    e->match = (struct str_list){0};
    list_add(a, &e->match, STR("hostname"));
    if (!e->has_servername) {
        e->servername = STR("hostname");
        e->has_servername = true;
    }
    return RC_OK;
}

/* Colons separate in table entries, where blanks end an attribute. */
static struct str blanks(struct arena *a, struct str text)
{
    char *p = arena_text(a, text);

    for (size_t i = 0; i < text.n; i++)
        if (p[i] == ':')
            p[i] = ' ';
    return (struct str){p, text.n};
}

static void set_ways(const struct tls_policy_settings *set, const struct tls_policy_entry *e,
                     struct arena *a, struct tls_policy *p)
{
    bool may = p->level <= TLS_LEVEL_MAY;

    p->protocols = may ? set->protocols : set->mandatory_protocols;
    if (e->protocols.n)
        p->protocols = blanks(a, e->protocols);
    p->grade = e->ciphers.n ? e->ciphers : may ? set->ciphers : set->mandatory_ciphers;
    if (e->has_exclude)
        p->exclude = blanks(a, e->exclude);
    else if (may)
        p->exclude = set->exclude;
    else
        p->exclude = arena_printf(a, STR_FMT " " STR_FMT, STR_ARG(set->exclude),
                                  STR_ARG(set->mandatory_exclude));
    p->connection_reuse = e->connection_reuse ? e->connection_reuse > 0 : set->connection_reuse;
    p->enable_rpk = e->enable_rpk ? e->enable_rpk > 0 : set->enable_rpk;
}

enum rc tls_policy_find(const struct tls_policy_settings *set, const struct tls_peer *peer,
                        struct arena *a, struct tls_policy *out, struct why *why)
{
    struct tls_policy_entry e = {.level = set->level};
    struct tls_policy p = {0};
    enum rc rc = RC_NONE;

    if (set->policy_maps && !maps_empty(set->policy_maps))
        rc = find_entry(set, peer, a, &e, why);
    else if (set->per_site && !maps_empty(set->per_site))
        rc = find_site(set, peer, a, &e, why);
    if (rc != RC_OK && rc != RC_NONE)
        return rc;
    if (rc == RC_NONE)
        e = (struct tls_policy_entry){.level = set->level};
    TRY(apply_sts(set, peer, &e, a, why));
    p.wanted = p.level = e.level;
    set_ways(set, &e, a, &p);
    TRY(set_matches(set, peer, &e, a, &p, why));
    TRY(set_sni(set, peer, &e, &p, why));
    *out = p;
    return RC_OK;
}
