#include "sasl/login.h"

static const struct {
    const char *word;
    enum login_security bit;
} words[] = {
    {"noplaintext", LOGIN_NOPLAINTEXT},         {"noactive", LOGIN_NOACTIVE},
    {"nodictionary", LOGIN_NODICTIONARY},       {"noanonymous", LOGIN_NOANONYMOUS},
    {"forward_secrecy", LOGIN_FORWARD_SECRECY}, {"mutual_auth", LOGIN_MUTUAL_AUTH},
};

enum rc login_security_parse(const char *parameter, struct str list, unsigned *security,
                             struct why *why)
{
    const size_t n = sizeof words / sizeof *words;
    unsigned found = 0;
    struct str word;

    while (str_token(&list, LIST_SEPARATORS, &word)) {
        size_t i = 0;
        while (i < n && !str_eq_nocase(word, str_of(words[i].word)))
            i++;
        if (i == n)
            return FAIL(why, RC_CONFIG,
                        "%s: unknown word \"" STR_FMT "\"; choose from noplaintext noactive "
                        "nodictionary noanonymous forward_secrecy mutual_auth",
                        parameter, STR_ARG(word));
        found |= words[i].bit;
    }
    *security = found;
    return RC_OK;
}

/* What each lacks, in terms of what may be asked. */
static const struct {
    const char *name;
    unsigned lacks;
} mechanisms[] = {
    {"PLAIN", LOGIN_NOPLAINTEXT | LOGIN_NOACTIVE | LOGIN_NODICTIONARY | LOGIN_FORWARD_SECRECY |
                  LOGIN_MUTUAL_AUTH},
    {"LOGIN", LOGIN_NOPLAINTEXT | LOGIN_NOACTIVE | LOGIN_NODICTIONARY | LOGIN_FORWARD_SECRECY |
                  LOGIN_MUTUAL_AUTH},
    {"ANONYMOUS", LOGIN_NOANONYMOUS | LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH},
    {"CRAM-MD5", LOGIN_NOACTIVE | LOGIN_NODICTIONARY | LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH},
    {"DIGEST-MD5", LOGIN_NOACTIVE | LOGIN_NODICTIONARY | LOGIN_FORWARD_SECRECY},
    {"SCRAM-SHA-1", LOGIN_NODICTIONARY | LOGIN_FORWARD_SECRECY},
    {"SCRAM-SHA-256", LOGIN_NODICTIONARY | LOGIN_FORWARD_SECRECY},
    {"SCRAM-SHA-256-PLUS", LOGIN_NODICTIONARY | LOGIN_FORWARD_SECRECY},
    {"EXTERNAL", LOGIN_FORWARD_SECRECY | LOGIN_MUTUAL_AUTH},
};

bool login_mechanism_is_safe(struct str mechanism, unsigned security)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (str_eq_nocase(mechanism, str_of(mechanisms[i].name)))
            return (security & mechanisms[i].lacks) == 0;
    return (security & ~(unsigned)LOGIN_NOANONYMOUS) == 0;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct str login_encode(struct arena *a, struct str bytes)
{
    const unsigned char *in = (const unsigned char *)bytes.p;
    char *out = arena_alloc(a, (bytes.n + 2) / 3 * 4 + 1), *o = out;

    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        unsigned v = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                     (left > 2 ? in[i + 2] : 0);
        *o++ = digits[v >> 18];
        *o++ = digits[v >> 12 & 63];
        *o++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *o++ = left > 2 ? digits[v & 63] : '=';
    }
    return (struct str){out, (size_t)(o - out)};
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t padding_of(struct str text)
{
    return str_has_suffix(text, STR("==")) ? 2 : str_has_suffix(text, STR("=")) ? 1 : 0;
}

bool login_is_base64(struct str text)
{
    size_t pad = padding_of(text);
    int v = 0;

    if (text.n % 4 != 0)
        return false;
    for (size_t i = 0; i < text.n - pad; i++)
        if ((v = value_of(text.p[i])) < 0)
            return false;
    return (pad != 2 || (v & 15) == 0) && (pad != 1 || (v & 3) == 0);
}

enum rc login_decode(struct arena *a, struct str text, size_t max, struct str *bytes,
                     struct why *why)
{
    size_t pad = padding_of(text);
    char *out, *o;
    unsigned bits = 0;

    if (!login_is_base64(text))
        return FAIL(why, RC_PERM, "malformed base64");
    if (text.n / 4 * 3 - pad > max)
        return FAIL(why, RC_PERM, "longer than %zu bytes", max);
    out = o = arena_alloc(a, text.n / 4 * 3 + 1);
    for (size_t i = 0; i < text.n - pad; i++) {
        bits = bits << 6 | (unsigned)value_of(text.p[i]);
        if (i % 4 == 1)
            *o++ = (char)(bits >> 4);
        else if (i % 4 == 2)
            *o++ = (char)(bits >> 2);
        else if (i % 4 == 3)
            *o++ = (char)bits;
    }
    *bytes = (struct str){out, (size_t)(o - out)};
    return RC_OK;
}

bool login_same_secret(struct str a, struct str b)
{
    volatile unsigned char difference = a.n != b.n;
    size_t n = a.n < b.n ? a.n : b.n;

    for (size_t i = 0; i < n; i++)
        difference |= (unsigned char)(a.p[i] ^ b.p[i]);
    return difference == 0;
}

void login_forget(void *secret, size_t n)
{
    if (n)
        explicit_bzero(secret, n);
}
