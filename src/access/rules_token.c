/* Lists and tokens of check rules. */
#include <arpa/inet.h>

#include "access/rule.h"

/* In capitals only: "user" and "all" are names of people and lists. */
static bool is_word(struct str text, const char *word)
{
    return str_eq(text, str_of(word));
}

/* Somebody may have meant the word, and such a rule would never match. */
static enum rc refuse_small_word(struct str text, const char *const *words, struct why *why)
{
    for (; *words; words++)
        if (str_eq_nocase(text, str_of(*words)))
            return FAIL(why, RC_CONFIG,
                        "\"" STR_FMT "\" is no name of a host or address; write %s in capitals, or "
                        "/^" STR_FMT "$/",
                        STR_ARG(text), *words, STR_ARG(text));
    if (str_has_prefix_nocase(text, STR("NS=")))
        return FAIL(why, RC_CONFIG, "\"" STR_FMT "\": write NS= in capitals", STR_ARG(text));
    return RC_OK;
}

/* "/expression/", and not "/expression/@/expression/" */
static bool is_regex(struct str text)
{
    return text.n > 2 && text.p[0] == '/' && text.p[text.n - 1] == '/' &&
           str_find(text, STR("/@")) < 0;
}

static enum rc parse_regex(struct arena *a, struct str text, struct text_pattern *out,
                           struct why *why)
{
    *out = (struct text_pattern){TEXT_REGEX, STR_NONE, NULL};
    return regex_compile(a, (struct str){text.p + 1, text.n - 2}, &out->regex, why);
}

static enum rc parse_text(struct arena *a, struct str text, struct text_pattern *out,
                          struct why *why)
{
    if (is_regex(text))
        return parse_regex(a, text, out, why);
    if (text.n == 0)
        return FAIL(why, RC_CONFIG, "nothing stands before or behind \"@\"; write * or ALL there");
    if (is_word(text, "ALL") || str_eq(text, STR("*")))
        *out = (struct text_pattern){TEXT_ANY, STR_NONE, NULL};
    else
        *out = (struct text_pattern){str_index(text, '*') < 0 ? TEXT_EXACT : TEXT_WILD,
                                     arena_lower(a, text), NULL};
    return RC_OK;
}

/* ---- networks ---- */

static bool is_dotted_number(struct str text)
{
    bool digit = false;

    for (size_t i = 0; i < text.n; i++) {
        digit = digit || is_digit(text.p[i]);
        if (!is_digit(text.p[i]) && text.p[i] != '.')
            return false;
    }
    return digit;
}

static int count_dots(struct str text)
{
    int n = 0;

    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '.';
    return n;
}

static void clear_host_bits(struct network *n)
{
    bool v4 = addr_family(&n->base) == AF_INET;
    unsigned char *bytes =
        v4 ? (unsigned char *)&n->base.in.sin_addr : (unsigned char *)&n->base.in6.sin6_addr;

    for (int i = 0; i < (v4 ? 4 : 16); i++) {
        int keep = n->bits - 8 * i;
        if (keep < 8)
            bytes[i] &= (unsigned char)(keep <= 0 ? 0 : 0xff00 >> keep);
    }
}

static enum rc parse_bits(struct str token, struct str text, int all, struct network *out,
                          struct why *why)
{
    long bits = all;

    if (text.p && (!str_is_digits(text) || !str_to_long(text, 0, all, &bits)))
        return FAIL(why, RC_CONFIG, "bad netmask in \"" STR_FMT "\"; write /0 to /%d",
                    STR_ARG(token), all);
    out->bits = (int)bits;
    clear_host_bits(out);
    return RC_OK;
}

static enum rc parse_ipv4(struct str token, struct network *out, struct why *why)
{
    struct str bits = token, base = str_cut(&bits, '/');

    if (str_eq(base, STR("0")))
        base = STR("0.0.0.0");
    else if (count_dots(base) != 3)
        return FAIL(why, RC_CONFIG,
                    "netmask needs four octets: \"" STR_FMT "\"; write 192.0.2.0/24",
                    STR_ARG(token));
    if (addr_parse(base, 0, &out->base, NULL) != RC_OK || addr_family(&out->base) != AF_INET)
        return FAIL(why, RC_CONFIG, "bad address \"" STR_FMT "\"; write four numbers from 0 to 255",
                    STR_ARG(token));
    return parse_bits(token, bits, 32, out, why);
}

/* "[2001:db8::]/32"; an IPv4-mapped one counts as IPv4, as clients do */
static enum rc parse_ipv6(struct str token, struct network *out, struct why *why)
{
    ssize_t end = str_index(token, ']');
    struct str base = end < 0 ? STR_NONE : (struct str){token.p + 1, (size_t)end - 1};
    struct str bits = end < 0 ? STR_NONE : str_from(token, (size_t)end + 1);
    char text[INET6_ADDRSTRLEN] = "";
    long mapped_bits;

    *out = (struct network){0};
    out->base.in6.sin6_family = AF_INET6;
    out->base.bytes = sizeof out->base.in6;
    if (base.n < sizeof text)
        memcpy(text, base.p ? base.p : "", base.n);
    if (inet_pton(AF_INET6, text, &out->base.in6.sin6_addr) != 1 || (bits.n && bits.p[0] != '/'))
        return FAIL(why, RC_CONFIG, "bad address \"" STR_FMT "\"; write [2001:db8::]/32",
                    STR_ARG(token));
    bits = bits.n ? str_from(bits, 1) : STR_NONE;
    if (IN6_IS_ADDR_V4MAPPED(&out->base.in6.sin6_addr) &&
        (bits.p == NULL || (str_to_long(bits, 96, 128, &mapped_bits)))) {
        addr_unmap(&out->base);
        out->bits = bits.p ? (int)mapped_bits - 96 : 32;
        clear_host_bits(out);
        return RC_OK;
    }
    return parse_bits(token, bits, 128, out, why);
}

/* RC_NONE: it does not look like an address. */
static enum rc parse_network(struct str token, struct network *out, struct why *why)
{
    struct str bits = token, base = str_cut(&bits, '/');

    if (token.n && token.p[0] == '[')
        return parse_ipv6(token, out, why);
    if (is_dotted_number(base) && (bits.p || count_dots(base) == 3 || str_eq(base, STR("0"))))
        return parse_ipv4(token, out, why);
    if (bits.p)
        return FAIL(why, RC_CONFIG,
                    "bad netmask: no address stands before it in \"" STR_FMT
                    "\"; write 192.0.2.0/24, or /expression/",
                    STR_ARG(token));
    return RC_NONE;
}

static enum rc token_network(struct arena *a, struct str text, struct token *t, struct why *why)
{
    struct network n = {0}, *kept;

    TRY(parse_network(text, &n, why));
    kept = arena_new_of(a, struct network);
    *kept = n;
    t->network = kept;
    return RC_OK;
}

/* ---- tokens ---- */

static enum rc parse_ns(struct arena *a, struct str text, struct token *t, struct why *why)
{
    static const struct {
        const char *word;
        enum ns_kind kind;
    } words[] = {{"ALL", NS_ALL}, {"KNOWN", NS_KNOWN}, {"UNKNOWN", NS_UNKNOWN}};
    enum rc rc;

    t->kind = TOKEN_NS;
    if (text.n == 0)
        return FAIL(why, RC_CONFIG,
                    "nothing behind \"NS=\"; write a name, an address, KNOWN or UNKNOWN");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(text, words[i].word)) {
            t->ns = words[i].kind;
            return RC_OK;
        }
    rc = token_network(a, text, t, why);
    t->ns = rc == RC_OK ? NS_NETWORK : NS_TEXT;
    return rc == RC_NONE ? parse_text(a, text, &t->text, why) : rc;
}

static const char *const host_words[] = {"ALL", "KNOWN", "UNKNOWN", "TRUSTED", "UNTRUSTED", NULL};
static const char *const address_words[] = {"ALL", NULL};

static enum rc parse_host(struct arena *a, struct str text, struct token *t, struct why *why)
{
    static const struct {
        const char *word;
        enum token_kind kind;
    } words[] = {
        {"ALL", TOKEN_ALL},         {"KNOWN", TOKEN_KNOWN},         {"UNKNOWN", TOKEN_UNKNOWN},
        {"TRUSTED", TOKEN_TRUSTED}, {"UNTRUSTED", TOKEN_UNTRUSTED},
    };
    enum rc rc;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(text, words[i].word)) {
            t->kind = words[i].kind;
            return RC_OK;
        }
    if (str_has_prefix(text, STR("NS=")))
        return parse_ns(a, str_from(text, 3), t, why);
    if (str_has_prefix(text, STR("RBL."))) {
        t->kind = TOKEN_RBL;
        t->zone = arena_lower(a, str_from(text, 4));
        return t->zone.n ? RC_OK
                         : FAIL(why, RC_CONFIG, "nothing behind \"RBL.\"; write RBL.domain");
    }
    TRY(refuse_small_word(text, host_words, why));
    t->kind = TOKEN_TEXT;
    if (is_regex(text))
        return parse_regex(a, text, &t->text, why);
    rc = token_network(a, text, t, why);
    if (rc == RC_OK)
        t->kind = TOKEN_NETWORK;
    return rc == RC_NONE ? parse_text(a, text, &t->text, why) : rc;
}

static enum rc parse_source_user(struct arena *a, struct str text, struct token *t, struct why *why)
{
    if (is_word(text, "KNOWN")) {
        t->user = USER_KNOWN;
        return RC_OK;
    }
    t->user = USER_TEXT;
    TRY(parse_text(a, text, &t->user_text, why));
    if (t->user_text.kind == TEXT_ANY && is_word(text, "ALL"))
        t->user = USER_NONE; /* needs no answer */
    return RC_OK;
}

static enum rc parse_source_token(struct arena *a, struct str text, struct token *t,
                                  struct why *why)
{
    ssize_t at = is_regex(text) ? -1 : str_rindex(text, '@');

    if (at < 0)
        return parse_host(a, text, t, why);
    TRY(parse_source_user(a, str_head(text, (size_t)at), t, why));
    return parse_host(a, str_from(text, (size_t)at + 1), t, why);
}

static enum rc parse_domain(struct arena *a, struct str text, struct token *t, struct why *why)
{
    if (str_has_prefix(text, STR("NS=")))
        return parse_ns(a, str_from(text, 3), t, why);
    t->kind = TOKEN_TEXT;
    return parse_text(a, text, &t->text, why);
}

static enum rc parse_address_token(struct arena *a, struct str text, struct token *t,
                                   struct why *why)
{
    ssize_t at = is_regex(text) ? -1 : str_rindex(text, '@');

    if (at >= 0) {
        struct str left = str_head(text, (size_t)at);
        t->user = is_word(left, "USER") ? USER_IDENT : USER_TEXT;
        if (t->user == USER_TEXT)
            TRY(parse_text(a, left, &t->user_text, why));
        return parse_domain(a, str_from(text, (size_t)at + 1), t, why);
    }
    if (is_word(text, "ALL")) {
        t->kind = TOKEN_ALL;
        return RC_OK;
    }
    if (str_eq(text, STR("<>"))) {
        t->kind = TOKEN_NULL_SENDER;
        return RC_OK;
    }
    if (!str_has_prefix(text, STR("NS=")))
        TRY(refuse_small_word(text, address_words, why));
    return parse_domain(a, text, t, why);
}

/* What one needs to know for the token. */
static void note_questions(struct rule_list *l, const struct token *t, enum rule_field field)
{
    if (t->kind == TOKEN_NS || t->kind == TOKEN_RBL)
        l->asks_dns = true;
    if (t->user == USER_IDENT || (field == FIELD_SOURCE && t->user != USER_NONE))
        l->asks_ident = true;
}

typedef VEC(struct token) token_list;
typedef VEC(struct token_group) group_list;

static enum rc end_group(struct arena *a, group_list *groups, token_list *tokens, struct why *why)
{
    if (tokens->n == 0)
        return FAIL(why, RC_CONFIG,
                    "EXCEPT needs something before and behind it; write ALL EXCEPT "
                    "token");
    if (groups->n > RULES_EXCEPT_MAX)
        return FAIL(why, RC_CONFIG, "more than %d times EXCEPT; write several rules",
                    RULES_EXCEPT_MAX);
    vec_add(a, groups, ((struct token_group){tokens->v, tokens->n}));
    *tokens = (token_list){0};
    return RC_OK;
}

enum rc rule_list_parse(struct arena *a, enum rule_field field, struct str text,
                        struct rule_list *out, struct why *why)
{
    token_list tokens = {0};
    group_list groups = {0};
    struct str word;

    *out = (struct rule_list){0};
    while (str_token(&text, " \t,", &word)) {
        struct token t = {0};
        if (word.n > RULES_TOKEN_MAX)
            return FAIL(why, RC_CONFIG, "token longer than %d bytes; shorten it", RULES_TOKEN_MAX);
        if (str_eq_nocase(word, STR("EXCEPT"))) {
            TRY(end_group(a, &groups, &tokens, why));
            continue;
        }
        TRY(field == FIELD_SOURCE ? parse_source_token(a, word, &t, why)
                                  : parse_address_token(a, word, &t, why));
        note_questions(out, &t, field);
        vec_add(a, &tokens, t);
    }
    if (tokens.n == 0 && groups.n == 0)
        return FAIL(why, RC_CONFIG, "empty field; write ALL where everything is meant");
    TRY(end_group(a, &groups, &tokens, why));
    out->groups = groups.v;
    out->n = groups.n;
    return RC_OK;
}
