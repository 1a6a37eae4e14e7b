#include "global/dsn.h"

/* Digits at the start, at most max of them. */
static size_t digits(struct str s, size_t max)
{
    size_t n = 0;

    while (n < s.n && n < max && is_digit(s.p[n]))
        n++;
    return n;
}

size_t dsn_prefix(struct str text)
{
    size_t n = 2, subject, detail;

    if (text.n < 5 || memchr("245", text.p[0], 3) == NULL || text.p[1] != '.')
        return 0;
    subject = digits(str_from(text, n), 3);
    n += subject;
    if (subject == 0 || n >= text.n || text.p[n] != '.')
        return 0;
    detail = digits(str_from(text, ++n), 3);
    n += detail;
    return detail > 0 && (n == text.n || is_white(text.p[n])) ? n : 0;
}

void dsn_split(struct str text, const char *fallback, struct str *status, struct str *rest)
{
    size_t n = dsn_prefix(text);

    *status = n ? str_head(text, n) : str_of(fallback);
    *rest = n ? str_ltrim(str_from(text, n)) : text;
}

bool dsn_notify_parse(struct str value, long *notify)
{
    long bits = 0;

    if (str_eq_nocase(value, STR("NEVER"))) {
        *notify = DSN_NOTIFY_NEVER;
        return true;
    }
    while (value.p) {
        struct str word = str_cut(&value, ',');
        if (str_eq_nocase(word, STR("SUCCESS")))
            bits |= DSN_NOTIFY_SUCCESS;
        else if (str_eq_nocase(word, STR("FAILURE")))
            bits |= DSN_NOTIFY_FAILURE;
        else if (str_eq_nocase(word, STR("DELAY")))
            bits |= DSN_NOTIFY_DELAY;
        else
            return false;
    }
    if (bits)
        *notify = bits;
    return bits != 0;
}

bool dsn_ret_parse(struct str value, long *ret)
{
    if (str_eq_nocase(value, STR("FULL")))
        *ret = DSN_RET_FULL;
    else if (str_eq_nocase(value, STR("HDRS")))
        *ret = DSN_RET_HDRS;
    else
        return false;
    return true;
}

struct str xtext_encode(struct arena *a, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = arena_alloc(a, text.n * 3 + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c > 126 || c == '+' || c == '=') {
            p[n++] = '+';
            p[n++] = hex[c >> 4];
            p[n++] = hex[c & 15];
        } else {
            p[n++] = (char)c;
        }
    }
    return (struct str){p, n};
}

static int hex_digit(char c) /* upper case only: RFC 3461 4 */
{
    if (is_digit(c))
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum rc xtext_decode(struct arena *a, struct str text, struct str *out, struct why *why)
{
    char *p = arena_alloc(a, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '+') {
            int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(text.p[i + 2]);
            if (low < 0)
                return FAIL(why, RC_PERM, "malformed xtext: " STR_FMT, STR_ARG(text));
            p[n++] = (char)(high << 4 | low);
            i += 2;
        } else if (c <= ' ' || c == 127) {
            return FAIL(why, RC_PERM, "malformed xtext: " STR_FMT, STR_ARG(text));
        } else {
            p[n++] = (char)c;
        }
    }
    *out = (struct str){p, n};
    return RC_OK;
}

/* sysexits(3) as pipe(8) tells them */
static const struct exit_status exits[] = {
    {64, "5.3.0", "command line usage error"},  {65, "5.6.0", "data format error"},
    {66, "5.3.0", "cannot open input"},         {67, "5.1.1", "user unknown"},
    {68, "5.1.2", "host name unknown"},         {69, "5.3.0", "service unavailable"},
    {70, "5.3.0", "internal software error"},   {71, "4.3.0", "system resource problem"},
    {72, "5.3.0", "critical OS file missing"},  {73, "5.2.0", "can't create user output file"},
    {74, "5.3.0", "input/output error"},        {75, "4.3.0", "temporary failure"},
    {76, "5.5.0", "remote error in protocol"},  {77, "5.7.0", "permission denied"},
    {78, "5.3.5", "local configuration error"},
};

const struct exit_status *exit_status_find(int code)
{
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        if (exits[i].code == code)
            return &exits[i];
    return NULL;
}
