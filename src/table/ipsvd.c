#include "table/ipsvd.h"

#include "config/client_settings.h"
#include "util/buf.h"
#include "util/file.h"
#include "util/net.h"

enum { LINE_LIMIT = 8192, SETTINGS_LIMIT = 64, RUN_MAX = 1024 * 1024 };

enum ipsvd_kind ipsvd_kind_of(unsigned mode)
{
    return mode & 0100 ? IPSVD_RUN : mode & 0400 ? IPSVD_INSTRUCT : IPSVD_DENY;
}

bool ipsvd_skips(struct str name)
{
    return str_eq(name, STR(".")) || str_has_prefix(name, STR("..")) ||
           str_has_suffix(name, STR("~"));
}

/* ---- one line ---- */

struct line {
    char kind; /* '+', 'C', '='; 0: nothing */
    struct str name, value;
    bool has_value;
    long number;
};

static enum rc parse_line(struct str text, struct line *l, struct why *why)
{
    struct str rest = str_rtrim(text);

    *l = (struct line){0};
    if (text.n > LINE_LIMIT)
        return FAIL(why, RC_CONFIG, "longer than %d bytes", LINE_LIMIT);
    if (rest.n == 0 || rest.p[0] == '#')
        return RC_OK;
    l->kind = rest.p[0];
    rest = str_from(rest, 1);
    l->has_value = str_index(rest, l->kind == '+' ? '=' : ':') >= 0;
    l->name = str_cut(&rest, l->kind == '+' ? '=' : ':');
    l->value = l->has_value && rest.p ? rest : STR("");
    if (l->kind == 'C' && str_to_long(l->name, 0, INT_MAX, &l->number))
        return RC_OK;
    if ((l->kind == '+' || l->kind == '=') && l->name.n)
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                "unknown instruction: " STR_FMT "; there are +NAME=VALUE, +NAME, CNUMBER:TEXT and "
                "=HOST:FILE",
                STR_ARG(str_head(text, 100)));
}

enum rc ipsvd_check(struct str text, const char *path, const struct log *log, struct why *why)
{
    long number = 0, variables = 0;

    while (text.n) {
        struct line l;
        enum rc rc = parse_line(str_cut(&text, '\n'), &l, why);
        number++;
        if (rc == RC_OK && l.kind == '+' && ++variables > SETTINGS_LIMIT)
            rc = FAIL(why, RC_CONFIG, "more than %d variables", SETTINGS_LIMIT);
        if (rc == RC_OK && l.kind == '+' && l.has_value)
            rc = client_setting_check(l.name, l.value, why);
        if (rc == RC_NONE && log)
            log_warning(log, "%s, line %ld: variable " STR_FMT " has no meaning here", path, number,
                        STR_ARG(l.name));
        if (rc != RC_OK && rc != RC_NONE) {
            why_prefix(why, "%s, line %ld", path, number);
            return RC_CONFIG;
        }
    }
    return RC_OK;
}

/* ---- what they say ---- */

static void set(struct arena *a, struct client_rule *rule, struct str name, struct str value)
{
    struct config_setting s = {name, value, STR_NONE};

    for (size_t i = 0; i < rule->variables.n; i++)
        if (str_eq(rule->variables.v[i].name, name)) {
            rule->variables.v[i].value = value;
            return;
        }
    vec_add(a, &rule->variables, s);
}

static void unset(struct arena *a, struct client_rule *rule, struct str name)
{
    for (size_t i = 0; i < rule->variables.n; i++)
        if (str_eq(rule->variables.v[i].name, name)) {
            rule->variables.v[i] = rule->variables.v[--rule->variables.n];
            break;
        }
    vec_add(a, &rule->unset, name);
}

/* Escapes \\ \n \r; the line end of a reply is the session's business. */
static struct str message_text(struct arena *a, struct str text)
{
    AUTO_BUF b = {0};

    buf_init(&b, LINE_LIMIT);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\\' && i + 1 < text.n) {
            c = text.p[++i];
            c = (char)(c == 'n' ? '\n' : c == 'r' ? '\r' : c);
        }
        buf_addc(&b, c);
    }
    return arena_copy(a, str_rtrim(buf_str(&b)));
}

static void set_concurrency(struct arena *a, struct client_rule *rule, const struct line *l)
{
    set(a, rule, STR("smtpd_client_connection_count_limit"), arena_printf(a, "%ld", l->number));
    set(a, rule, STR("smtpd_client_connection_limit_text"), message_text(a, l->value));
}

/* "0" stands for every host. */
static enum rc host_matches(const struct client_query *q, struct str host, struct why *why)
{
    if (str_eq(host, STR("0")))
        return RC_OK;
    return q->has_address ? q->has_address(q->context, host, &q->address)
                          : FAIL(why, RC_NONE, "host names are not looked up here");
}

enum rc ipsvd_apply(struct str text, const struct client_query *q, bool with_hosts, struct arena *a,
                    struct client_rule *rule, struct str *forward, struct why *why)
{
    bool asked = false;

    *forward = STR("");
    rule->decision = CLIENT_ALLOW;
    while (text.n) {
        struct line l;
        enum rc rc;
        TRY(parse_line(str_cut(&text, '\n'), &l, why));
        if (l.kind == '+' && l.has_value)
            set(a, rule, l.name, l.value);
        else if (l.kind == '+')
            unset(a, rule, l.name);
        else if (l.kind == 'C')
            set_concurrency(a, rule, &l);
        if (l.kind != '=' || !with_hosts)
            continue;
        asked = true;
        rc = host_matches(q, l.name, why);
        if (rc == RC_OK)
            *forward = l.value;
        if (rc != RC_NONE)
            return rc;
    }
    if (asked)
        rule->decision = CLIENT_DENY;
    return RC_OK;
}

size_t ipsvd_names(const struct client_query *q, struct arena *a, struct str **out)
{
    VEC(struct str) names = {0};
    struct addr address = q->address;
    struct str rest;
    char text[ADDR_TEXT_SIZE];

    addr_unmap(&address);
    addr_format(&address, text);
    rest = arena_copy(a, str_of(text));
    vec_add(a, &names, rest);
    while (addr_family(&address) == AF_INET && str_rindex(rest, '.') > 0) {
        rest = str_head(rest, (size_t)str_rindex(rest, '.'));
        vec_add(a, &names, arena_copy(a, rest));
    }
    rest = arena_lower(a, q->name);
    while (rest.n) {
        vec_add(a, &names, rest);
        (void)str_cut(&rest, '.');
    }
    vec_add(a, &names, STR("0"));
    *out = names.v;
    return names.n;
}

/* Is "-t" among the words of a line, behind the name of tcpsvd(8) or sslsvd(8)? */
static bool has_expiry(struct str line, bool *inside)
{
    struct str word;

    while (str_token(&line, " \t\"", &word)) {
        if (word.p[0] == '#')
            return false;
        if (*inside && str_has_prefix(word, STR("-t")))
            return true;
        *inside |= str_has_suffix(word, STR("svd"));
    }
    return false;
}

long ipsvd_expiry_line(const char *directory)
{
    AUTO_ARENA a = arena_new(4096);
    struct str text = STR_NONE, path = arena_printf(a, "%s/../run", directory);
    bool inside = false;

    if (file_read(path.p, RUN_MAX, a, &text, NULL) != RC_OK)
        return 0;
    for (long line = 1; text.n; line++) {
        struct str words = str_cut(&text, '\n');
        if (has_expiry(words, &inside))
            return line;
        inside = inside && str_has_suffix(words, STR("\\"));
    }
    return 0;
}
