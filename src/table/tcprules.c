#include "table/tcprules.h"

#include <stdio.h>

#include "config/client_settings.h"
#include "util/buf.h"
#include "util/map.h"
#include "util/net.h"

enum { LINE_LIMIT = 8192, OCTET_MAX = 255 };

/* What a rule needs until somebody asks for it: there may be a million of them. */
struct entry {
    struct str address, instructions; /* views of the text; each address of a range is its own */
    long line;
};

struct tcprules {
    struct arena *arena;
    const char *path;
    struct map by_key; /* to struct entry */
    struct map warned; /* variables that nobody knows */
    VEC(struct entry *) rules;
    struct tcprules_masks masks;
    bool wants_user;
};

/* ---- one line ---- */

static enum rc cannot_parse(struct str line, struct why *why)
{
    return FAIL(why, RC_PERM,
                "cannot parse: " STR_FMT
                "; write address:allow or address:deny, and ,NAME=\"value\" "
                "for each variable",
                STR_ARG(str_head(line, 100)));
}

/* Where "allow" or "deny" begins behind a colon; -1: nowhere. */
static ssize_t find_instructions(struct str line)
{
    for (size_t i = 0; i < line.n; i++) {
        struct str rest = str_from(line, i + 1);
        if (line.p[i] == ':' &&
            (str_has_prefix(rest, STR("allow")) || str_has_prefix(rest, STR("deny"))))
            return (ssize_t)i + 1;
    }
    return -1;
}

/* ",NAME=QvalueQ": any one character is the quote. */
static bool take_variable(struct str *rest, struct config_setting *s)
{
    ssize_t equals = str_index(*rest, '='), end;
    struct str value;

    if (rest->p[0] != ',' || equals < 2 || (size_t)equals + 2 >= rest->n)
        return false;
    s->name = str_head(str_from(*rest, 1), (size_t)equals - 1);
    value = str_from(*rest, (size_t)equals + 2);
    end = str_index(value, rest->p[equals + 1]);
    if (end < 0)
        return false;
    s->value = str_head(value, (size_t)end);
    *rest = str_from(value, (size_t)end + 1);
    return true;
}

/* "allow,NAME=QvalueQ,...". RC_PERM: cannot be parsed. */
static enum rc parse_instructions(struct str text, struct arena *a, struct client_rule *rule,
                                  struct why *why)
{
    struct str rest = text;

    rule->decision = rest.p[0] == 'a' ? CLIENT_ALLOW : CLIENT_DENY;
    rest = str_from(rest, rule->decision == CLIENT_ALLOW ? 5 : 4);
    while (rest.n) {
        struct config_setting s = {0};
        if (!take_variable(&rest, &s))
            return cannot_parse(text, why);
        if (rule->variables.n == TCPRULES_VARIABLES_MAX)
            return FAIL(why, RC_PERM, "more than %d variables", TCPRULES_VARIABLES_MAX);
        vec_add(a, &rule->variables, s);
    }
    return RC_OK;
}

static enum rc split_line(struct str line, struct entry *e, struct why *why)
{
    ssize_t at = find_instructions(line);

    if (str_index(line, ':') < 0)
        return FAIL(why, RC_PERM, "no colon: " STR_FMT "; write address:allow or address:deny",
                    STR_ARG(str_head(line, 100)));
    if (at < 0)
        return cannot_parse(line, why);
    e->address = str_head(line, (size_t)at - 1);
    e->instructions = str_from(line, (size_t)at);
    return RC_OK;
}

/* ---- addresses ---- */

/* "10.", "192.168.": whole octets with a dot behind each. */
static int prefix_octets(struct str key)
{
    int octets = 0;
    size_t digits = 0;

    for (size_t i = 0; i < key.n; i++) {
        if (is_digit(key.p[i]) && digits < 3) {
            digits++;
        } else if (key.p[i] == '.' && digits) {
            octets++;
            digits = 0;
        } else {
            return 0;
        }
    }
    return digits ? 0 : octets;
}

static struct str network_key(struct arena *a, const struct network *n)
{
    char text[ADDR_TEXT_SIZE];

    addr_format(&n->base, text);
    if (n->bits == (addr_family(&n->base) == AF_INET6 ? 128 : 32))
        return arena_copy(a, str_of(text));
    if (addr_family(&n->base) == AF_INET && n->bits && n->bits % 8 == 0) {
        struct str dotted = str_of(text);
        size_t end = 0;
        for (int octets = n->bits / 8; octets; end++)
            octets -= dotted.p[end] == '.';
        return arena_copy(a, str_head(dotted, end));
    }
    return arena_printf(a, "%s/%d", text, n->bits);
}

/* A mapped network "::ffff:10.0.0.0/104" is one of IPv4; plain IPv4 stays as it is written. */
static bool parse_network(struct str text, struct network *n)
{
    return (str_index(text, '/') >= 0 || str_index(text, ':') >= 0) &&
           network_parse(text, n, NULL) == RC_OK;
}

struct str tcprules_key(struct arena *a, struct str address)
{
    struct network n;
    ssize_t at = str_index(address, '@');
    struct str user = at < 0 ? STR("") : str_head(address, (size_t)at + 1);
    struct str host = str_from(address, user.n);

    if (host.n && host.p[0] == '=')
        host = arena_lower(a, host);
    else if (parse_network(host, &n))
        host = network_key(a, &n);
    return user.n ? arena_join(a, user, host) : host;
}

/* "10.2-3.": one octet is a range. RC_NONE: there is none. */
struct range {
    struct str before, after;
    long low, high;
};

static enum rc parse_range(struct str address, struct range *r, struct why *why)
{
    ssize_t at = str_index(address, '@');
    size_t host = at < 0 ? 0 : (size_t)at + 1, low, high;
    ssize_t dash = str_index(str_from(address, host), '-');

    if (dash < 0 || host >= address.n || address.p[host] == '=' ||
        str_index(str_from(address, host), ':') >= 0)
        return RC_NONE;
    low = high = host + (size_t)dash;
    while (low > host && is_digit(address.p[low - 1]))
        low--;
    while (high + 1 < address.n && is_digit(address.p[high + 1]))
        high++;
    r->before = str_head(address, low);
    r->after = str_from(address, high + 1);
    if (!str_to_long(str_head(str_from(address, low), host + (size_t)dash - low), 0, OCTET_MAX,
                     &r->low) ||
        !str_to_long(
            str_head(str_from(address, host + (size_t)dash + 1), high - host - (size_t)dash), 0,
            OCTET_MAX, &r->high) ||
        str_index(r->after, '-') >= 0)
        return FAIL(why, RC_PERM, "bad range: " STR_FMT "; one octet may be LOW-HIGH, up to %d",
                    STR_ARG(address), OCTET_MAX);
    if (r->low > r->high)
        return FAIL(why, RC_PERM, "empty range: " STR_FMT "; write the lower number first",
                    STR_ARG(address));
    return RC_OK;
}

static enum rc check_address(struct str address, struct why *why)
{
    struct str host = str_from(address, (size_t)(str_index(address, '@') + 1));
    bool is_name = host.n && host.p[0] == '=';
    struct network n;
    struct why words = {0};

    for (size_t i = 0; i < address.n; i++)
        if (is_white(address.p[i]))
            return FAIL(why, RC_PERM, "blank in address: \"" STR_FMT "\"; remove it",
                        STR_ARG(address));
    for (size_t i = 0; i < address.n; i++)
        if ((unsigned char)address.p[i] < ' ' || (unsigned char)address.p[i] > '~')
            return FAIL(why, RC_PERM,
                        "address has a byte that is no printable ASCII; remove it (a byte order "
                        "mark?)");
    if (!is_name && (str_index(host, '/') >= 0 || str_index(host, ':') >= 0) &&
        network_parse(host, &n, &words) != RC_OK)
        return FAIL(why, RC_PERM, "%s; write an address, or a network such as 2001:db8::/32",
                    words.text);
    return RC_OK;
}

/* ---- all lines ---- */

static void warn_of_unknown(struct tcprules *r, const struct log *log, long line, struct str name)
{
    if (log == NULL || map_get(&r->warned, name))
        return;
    log_warning(log, "%s, line %ld: variable " STR_FMT " has no meaning here", r->path, line,
                STR_ARG(name));
    map_put(&r->warned, name, r);
}

static enum rc check_instructions(struct tcprules *r, const struct entry *e, const struct log *log,
                                  struct arena *a, struct why *why)
{
    struct client_rule rule = {0};

    TRY(parse_instructions(e->instructions, a, &rule, why));
    for (size_t i = 0; i < rule.variables.n; i++) {
        const struct config_setting *s = &rule.variables.v[i];
        enum rc rc = client_setting_check(s->name, s->value, why);
        if (rc == RC_CONFIG)
            return RC_PERM;
        if (rc == RC_NONE)
            warn_of_unknown(r, log, e->line, s->name);
    }
    return RC_OK;
}

static void note_user(struct tcprules *r, struct str address)
{
    if (str_index(address, '@') > 0)
        r->wants_user = true;
}

static enum rc add_rule(struct tcprules *r, const struct entry *e, struct why *why)
{
    AUTO_ARENA a = arena_new(256);
    struct str key = tcprules_key(a, e->address);
    struct entry *copy;

    if (map_get(&r->by_key, key))
        return RC_OK; /* the first one counts */
    if (r->rules.n == TCPRULES_MAX)
        return FAIL(why, RC_PERM, "more than %d rules", TCPRULES_MAX);
    copy = arena_new_of(r->arena, struct entry);
    *copy = *e;
    map_put(&r->by_key, key, copy);
    vec_add(r->arena, &r->rules, copy);
    tcprules_note_mask(&r->masks, key);
    note_user(r, e->address);
    return RC_OK;
}

static enum rc add_range(struct tcprules *r, const struct entry *e, const struct range *range,
                         struct why *why)
{
    for (long n = range->low; n <= range->high; n++) {
        struct entry one = *e;
        one.address = arena_printf(r->arena, STR_FMT "%ld" STR_FMT, STR_ARG(range->before), n,
                                   STR_ARG(range->after));
        TRY(add_rule(r, &one, why));
    }
    return RC_OK;
}

static enum rc add_line(struct tcprules *r, struct str line, long number, const struct log *log,
                        struct arena *a, struct why *why)
{
    struct entry e = {.line = number};
    struct range range = {0};
    enum rc rc;

    if (line.n > LINE_LIMIT)
        return FAIL(why, RC_PERM, "longer than %d bytes", LINE_LIMIT);
    line = str_rtrim(line);
    if (line.n == 0 || line.p[0] == '#')
        return RC_OK;
    TRY(split_line(line, &e, why));
    TRY(check_address(e.address, why));
    TRY(check_instructions(r, &e, log, a, why));
    rc = parse_range(e.address, &range, why);
    if (rc == RC_OK)
        return add_range(r, &e, &range, why);
    return rc == RC_NONE ? add_rule(r, &e, why) : rc;
}

static void forget_maps(void *rules)
{
    struct tcprules *r = rules;

    map_done(&r->by_key);
    map_done(&r->warned);
}

enum rc tcprules_parse(struct str text, const char *path, const struct log *log, struct arena *a,
                       struct tcprules **out, struct why *why)
{
    struct tcprules *r = arena_new_of(a, struct tcprules);
    AUTO_ARENA line = arena_new(4096);
    long number = 0;

    r->arena = a;
    r->path = path;
    map_init(&r->by_key);
    map_init(&r->warned);
    arena_defer(a, forget_maps, r);
    while (text.n) {
        if (add_line(r, str_cut(&text, '\n'), ++number, log, line, why) != RC_OK) {
            why_prefix(why, "%s, line %ld", path, number);
            return RC_CONFIG;
        }
        arena_reset(line);
    }
    *out = r;
    return RC_OK;
}

static void rule_of(const struct tcprules *r, const struct entry *e, struct arena *a,
                    struct client_rule *rule)
{
    *rule = (struct client_rule){.key = e->address, .file = str_of(r->path), .line = e->line};
    (void)parse_instructions(e->instructions, a, rule, NULL); /* was good when it was read */
}

bool tcprules_rule(const struct tcprules *r, size_t index, struct arena *a,
                   struct client_rule *rule)
{
    if (index >= r->rules.n)
        return false;
    rule_of(r, r->rules.v[index], a, rule);
    return true;
}

bool tcprules_want_user(const struct tcprules *r)
{
    return r->wants_user;
}

/* ---- search ---- */

static void set_bit(unsigned char *bits, int i)
{
    bits[i / 8] |= (unsigned char)(1 << i % 8);
}

static bool has_bit(const unsigned char *bits, int i)
{
    return bits[i / 8] & 1 << i % 8;
}

void tcprules_note_mask(struct tcprules_masks *masks, struct str key)
{
    struct network n;
    int octets = prefix_octets(key);

    if (octets > 0 && octets < 5)
        set_bit(masks->v4, octets * 8);
    else if (str_index(key, '/') > 0 && network_parse(key, &n, NULL) == RC_OK)
        set_bit(addr_family(&n.base) == AF_INET6 ? masks->v6 : masks->v4, n.bits);
}

static void cut_to(struct addr *a, int bits)
{
    bool v6 = addr_family(a) == AF_INET6;
    unsigned char *bytes = v6 ? a->in6.sin6_addr.s6_addr : (unsigned char *)&a->in.sin_addr;

    for (int i = bits; i < (v6 ? 128 : 32); i++)
        bytes[i / 8] &= (unsigned char)~(0x80 >> i % 8);
}

typedef VEC(struct str) keys_t;

static void add_networks(const struct client_query *q, const struct tcprules_masks *masks,
                         struct arena *a, keys_t *keys)
{
    bool v6 = addr_family(&q->address) == AF_INET6;
    const unsigned char *occurs = masks ? v6 ? masks->v6 : masks->v4 : NULL;

    for (int bits = v6 ? 128 : 32; bits >= 0; bits--) {
        struct network n = {q->address, bits};
        if (occurs && !has_bit(occurs, bits))
            continue;
        cut_to(&n.base, bits);
        if (!v6 && bits == 32)
            continue; /* "1.2.3.4." is a prefix of nothing, but can be written */
        vec_add(a, keys, network_key(a, &n));
    }
}

size_t tcprules_keys(const struct client_query *q, const struct tcprules_masks *masks,
                     struct arena *a, struct str **out)
{
    struct str name = arena_lower(a, q->name);
    struct addr address = q->address;
    char text[ADDR_TEXT_SIZE];
    keys_t keys = {0};
    struct str ip;

    addr_unmap(&address);
    addr_format(&address, text);
    ip = arena_copy(a, str_of(text));
    if (q->user.n)
        vec_add(a, &keys, arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(q->user), STR_ARG(ip)));
    if (q->user.n && name.n)
        vec_add(a, &keys, arena_printf(a, STR_FMT "@=" STR_FMT, STR_ARG(q->user), STR_ARG(name)));
    vec_add(a, &keys, ip);
    if (name.n)
        vec_add(a, &keys, arena_join(a, STR("="), name));
    add_networks(&(struct client_query){.address = address}, masks, a, &keys);
    for (struct str rest = name; rest.n && str_index(rest, '.') >= 0;) {
        rest = str_from(rest, (size_t)str_index(rest, '.'));
        vec_add(a, &keys, arena_join(a, STR("="), rest));
        rest = str_from(rest, 1);
    }
    if (name.n)
        vec_add(a, &keys, STR("="));
    vec_add(a, &keys, STR(""));
    *out = keys.v;
    return keys.n;
}

enum rc tcprules_find(const struct tcprules *r, const struct client_query *q, struct arena *a,
                      struct client_rule *rule)
{
    struct str *keys = NULL;
    size_t n = tcprules_keys(q, &r->masks, a, &keys);

    for (size_t i = 0; i < n; i++) {
        const struct entry *found = map_get(&r->by_key, keys[i]);
        if (found) {
            rule_of(r, found, a, rule);
            return RC_OK;
        }
    }
    return RC_NONE;
}

/* ---- compiled ---- */

struct str tcprules_data(struct arena *a, const struct client_rule *rule)
{
    AUTO_BUF b = {0};

    buf_init(&b, 1 << 20);
    if (rule->decision == CLIENT_DENY)
        buf_add(&b, (struct str){"D", 2});
    for (size_t i = 0; i < rule->variables.n; i++) {
        buf_addf(&b, "+" STR_FMT "=" STR_FMT, STR_ARG(rule->variables.v[i].name),
                 STR_ARG(rule->variables.v[i].value));
        buf_addc(&b, '\0');
    }
    return arena_copy(a, buf_str(&b));
}

enum rc tcprules_data_parse(struct str data, struct arena *a, struct client_rule *rule,
                            struct why *why)
{
    rule->decision = CLIENT_ALLOW;
    while (data.n) {
        struct str item = str_cut(&data, '\0'), value = str_from(item, 1);
        struct config_setting s = {0};
        if (str_eq(item, STR("D"))) {
            rule->decision = CLIENT_DENY;
            continue;
        }
        if (item.n < 2 || item.p[0] != '+' || str_index(value, '=') < 1)
            return FAIL(why, RC_TEMP, "bad data in the compiled rules; make them again");
        s.name = str_cut(&value, '=');
        s.value = value.p ? value : STR("");
        vec_add(a, &rule->variables, s);
    }
    return RC_OK;
}
